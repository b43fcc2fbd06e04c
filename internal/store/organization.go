package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Settings is the document of an organization's settings, each under its name in the operator's file. What is left out has
// the default that the accessor of the same name gives.
type Settings struct {
	AllowedDomains []string `json:"allowed_domains,omitempty"`
	RequireMFA     bool     `json:"require_mfa,omitempty"`
	EnforceSSO     bool     `json:"enforce_sso,omitempty"`
	// LocalSignIn are the ways to sign in without a provider. Nil says nothing (see connection.Local), an empty list says none.
	LocalSignIn          []connection.Method `json:"local_sign_in,omitzero"`
	Session              SessionSettings     `json:"session,omitzero"`
	AvailableRoles       []id.Role           `json:"available_roles,omitempty"` // none: every role
	DefaultRoles         []access.RoleAt     `json:"default_roles,omitempty"`
	DefaultProviderRoles []id.Role           `json:"default_provider_roles,omitempty"`
	InvitationSeconds    int64               `json:"invitation_seconds,omitempty"`
	// Successor is the address of who is promoted when a directory takes the last holder of a protected role away.
	Successor string `json:"successor,omitempty"`
	// Messages says who carries codes to telephones.
	Messages MessageSettings `json:"messages,omitzero"`
}

// SessionSettings bound the sessions of an organization's users.
type SessionSettings struct {
	LifetimeSeconds int64 `json:"lifetime_seconds,omitempty"`
	IdleSeconds     int64 `json:"idle_seconds,omitempty"`
}

// The defaults of an organization that says nothing: a working day, and the two weeks a mail may lie.
const (
	DefaultSessionLifetime    = 12 * time.Hour
	DefaultSessionIdle        = 2 * time.Hour
	DefaultInvitationLifetime = 14 * 24 * time.Hour
)

// Lifetime gives how long a session lasts.
func (s SessionSettings) Lifetime() time.Duration {
	return seconds(s.LifetimeSeconds, DefaultSessionLifetime)
}

// Idle gives how long a session lasts unused.
func (s SessionSettings) Idle() time.Duration { return seconds(s.IdleSeconds, DefaultSessionIdle) }

// InvitationLifetime gives how long an invitation can be accepted.
func (s Settings) InvitationLifetime() time.Duration {
	return seconds(s.InvitationSeconds, DefaultInvitationLifetime)
}

// Available gives the roles the organization may use.
func (s Settings) Available() []id.Role {
	if len(s.AvailableRoles) == 0 {
		return []id.Role{access.Every}
	}
	return s.AvailableRoles
}

func seconds(n int64, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// Organization is what decisions about one organization rest on: itself, its tree and its custom roles. It is shared and never changed.
type Organization struct {
	ID        id.Organization
	Name      string
	SeatLimit int64 // 0: no limit
	Settings  Settings
	Flags     map[string]string // what operator and administrators should see, each with a sentence
	Version   int64
	Created   time.Time
	Tree      *access.Tree

	customs []access.Role // the roles it made for itself, as they stand in the store
	own     atomic.Pointer[ownCatalogue]
}

// ownCatalogue is what an operator's catalogue and an organization's custom roles make together. It needs no version of its own: an
// organization is read anew when a role of it has changed, and a changed catalogue of the operator's is another one.
type ownCatalogue struct {
	operators *access.Catalogue
	made      *access.Catalogue
}

// catalogue gives the organization's catalogue: the operator's itself where it made no role.
func (o *Organization) catalogue(operators *access.Catalogue) *access.Catalogue {
	if len(o.customs) == 0 {
		return operators
	}
	if kept := o.own.Load(); kept != nil && kept.operators == operators {
		return kept.made
	}
	made := operators.With(o.Settings.Available(), o.customs)
	o.own.Store(&ownCatalogue{operators, made})
	return made
}

// Access gives what the organization's settings say about access. Its own roles it may always use: what they hold was bounded when they
// were joined to the catalogue.
func (o *Organization) Access() access.Organization {
	available := o.Settings.Available()
	if len(o.customs) > 0 {
		available = slices.Grow(slices.Clip(available), len(o.customs)) // never into the settings, which are shared
	}
	for _, r := range o.customs {
		available = append(available, r.ID)
	}
	return access.Organization{
		ID: o.ID, Name: o.Name, Available: available, DefaultRoles: o.Settings.DefaultRoles, RequireMFA: o.Settings.RequireMFA,
	}
}

// Self gives the transaction's organization with its settings and tree. A fault of kind NotFound where there is none.
func (tx *Tx) Self(ctx context.Context) (*Organization, error) {
	var seen edition
	err := tx.queryRow(ctx, `
		select version, created
		from organizations
		where organization = $1`, tx.Organization).Scan(&seen.version, &seen.created)
	if errors.Is(err, errNoRows) {
		return nil, noOrganization(tx.Organization)
	}
	if err != nil {
		return nil, fmt.Errorf("read the version of %s: %w", tx.Organization, err)
	}
	return tx.organizationAt(ctx, seen)
}

// Tree gives the resources of the transaction's organization.
func (tx *Tx) Tree(ctx context.Context) (*access.Tree, error) {
	o, err := tx.Self(ctx)
	if err != nil {
		return nil, err
	}
	return o.Tree, nil
}

func noOrganization(org id.Organization) error {
	return fault.New(fault.NotFound, "There is no organization %q.", org)
}

// organizationAt gives the organization as of an edition that this transaction has just read.
func (tx *Tx) organizationAt(ctx context.Context, seen edition) (*Organization, error) {
	cache := &tx.db.declared
	cache.mu.Lock()
	kept := cache.organizations[tx.Organization]
	cache.mu.Unlock()
	if kept.value != nil && kept.edition == seen {
		return kept.value, nil
	}
	o, err := tx.loadOrganization(ctx)
	if err != nil {
		return nil, err
	}
	if !tx.bumped {
		cache.mu.Lock()
		// Replaced, not changed: what another request holds stays as it was.
		next := maps.Clone(cache.organizations)
		if next == nil {
			next = map[id.Organization]versioned[*Organization]{}
		}
		next[tx.Organization] = versioned[*Organization]{seen, o}
		cache.organizations = next
		cache.mu.Unlock()
	}
	return o, nil
}

func (tx *Tx) loadOrganization(ctx context.Context) (*Organization, error) {
	o := &Organization{ID: tx.Organization}
	err := tx.queryRow(ctx, `
		select name, seat_limit, settings, flags, version, created
		from organizations
		where organization = $1`, tx.Organization).
		Scan(&o.Name, orZero(&o.SeatLimit), decode(&o.Settings), decode(&o.Flags), &o.Version, at(&o.Created))
	if errors.Is(err, errNoRows) {
		return nil, noOrganization(tx.Organization)
	}
	if err != nil {
		return nil, fmt.Errorf("read organization %s: %w", tx.Organization, err)
	}
	resources, err := collect[access.Resource](tx.query(ctx, `
		select id, parent, type, name, position
		from resources
		where organization = $1`, tx.Organization))(func(s scanner) (r access.Resource, err error) {
		err = s.Scan(&r.ID, orEmpty(&r.Parent), &r.Type, &r.Name, &r.Position)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the tree of %s: %w", tx.Organization, err)
	}
	if o.Tree, err = access.NewTree(o.ID, o.Name, resources); err != nil {
		return nil, fmt.Errorf("the stored tree of %s: %s", tx.Organization, err.Error())
	}
	if o.customs, err = tx.customRoles(ctx); err != nil {
		return nil, err
	}
	return o, nil
}

// OrganizationSummary is a line of the list of organizations.
type OrganizationSummary struct {
	ID        id.Organization
	Name      string
	SeatLimit int64
	Seated    int64
	Flags     map[string]string
	Created   time.Time
}

// Organizations lists the installation's organizations by id.
func (tx *SystemTx) Organizations(ctx context.Context) ([]OrganizationSummary, error) {
	return collect[OrganizationSummary](tx.query(ctx, `
		select o.organization, o.name, o.seat_limit, o.flags, o.created,
			(select count(*)
			from users u
			where u.organization = o.organization
				and u.status = 'active'
				and u.seated = true)
		from organizations o
		order by o.organization`))(func(s scanner) (o OrganizationSummary, err error) {
		err = s.Scan(&o.ID, &o.Name, orZero(&o.SeatLimit), decode(&o.Flags), at(&o.Created), &o.Seated)
		return o, err
	})
}

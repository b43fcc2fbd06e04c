package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// Roles and entitlements of a pushed user become grants as far as the directory's setting names them: role by role and
// resource by resource, so that whoever runs the directory gives what an operator wrote down and nothing that a role
// includes or a resource contains besides.

// sentRoles are the values of roles and entitlements that a record carries, each once.
func sentRoles(a scim.Attributes) []string {
	var out []string
	for _, name := range []string{"roles", "entitlements"} {
		list, _ := a[name].([]any)
		for _, e := range list {
			m, _ := e.(map[string]any)
			if v := strings.TrimSpace(asText(m, "value")); v != "" && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out
}

// pushRoles gives and takes what a record's roles and entitlements say, where they differ from what it said before. What
// people gave, and what another directory gave, is left as it is.
func (p *Push) pushRoles(ctx context.Context, user id.User, before, after scim.Attributes) error {
	if len(p.Directory.Roles.Accept) == 0 {
		return nil
	}
	sent := sentRoles(after)
	if slices.Equal(sent, sentRoles(before)) {
		return nil
	}
	p.tx.Lock(ctx, accessLock)
	ground, err := p.tx.ground(ctx)
	if err != nil {
		return err
	}
	wanted := map[directory.RoleAt]bool{}
	var refused []string
	for _, value := range sent {
		if r, ok := p.acceptedRole(ground, value); ok {
			wanted[r] = true
		} else {
			refused = append(refused, value)
		}
	}
	if len(refused) > 0 {
		if !p.Dialect.Allows(scim.SkipRefusedRoles) {
			return fault.New(fault.Invalid, "This directory may not give the role %q. It may give: %s.", refused[0],
				strings.Join(roleValues(p.assignable(ground)), ", "))
		}
		if p.Repaired != nil {
			p.Repaired(scim.Repairs{scim.SkipRefusedRoles: len(refused)})
		}
	}
	return p.settleRoles(ctx, user, wanted)
}

// settleRoles makes the directory's grants of a user those wanted.
func (p *Push) settleRoles(ctx context.Context, user id.User, wanted map[directory.RoleAt]bool) error {
	held, err := collect[Grant](p.tx.query(ctx, `
		select `+grantColumns+`
		from grants
		where organization = $1
			and user_id = $2
			and source = $3
			and granted_by = $4`, p.tx.Organization, user, access.SCIM, p.Directory.ID))(scanGrant)
	if err != nil {
		return fmt.Errorf("read the roles of user %s: %w", user, err)
	}
	var gone []Grant
	for _, g := range held {
		at := directory.RoleAt{Role: g.Role, Resource: g.Resource}
		if wanted[at] {
			delete(wanted, at)
		} else {
			gone = append(gone, g)
		}
	}
	if len(gone)+len(wanted) == 0 {
		return nil
	}
	before, err := p.tx.Access(ctx, user)
	if err != nil {
		return err
	}
	for i := range gone {
		p.tx.queue(`
			delete from grants
			where organization = $1
				and id = $2`, p.tx.Organization, gone[i].ID)
		if err := p.tx.recordGrant(ctx, p.Actor, "grant.revoked", &gone[i], nil); err != nil {
			return err
		}
	}
	for _, at := range p.Directory.Roles.Accept {
		if !wanted[at.Rooted(p.tx.Organization)] {
			continue
		}
		at = at.Rooted(p.tx.Organization)
		if _, err := p.tx.newGrant(ctx, p.Actor, Grant{
			User: user, Role: at.Role, Resource: at.Resource, Source: access.SCIM, GrantedBy: string(p.Directory.ID),
			GrantedByName: p.Directory.Name, Reason: "Pushed by " + p.Directory.Name + ".",
		}); err != nil {
			return err
		}
	}
	if err := p.tx.NoteParked(ctx, "", user); err != nil {
		return err
	}
	if len(gone) > 0 {
		if err := p.tx.HolderLost(ctx, p.Actor, before); err != nil {
			return err
		}
	}
	return p.tx.holdersFound(ctx, []id.User{user})
}

// WithdrawRoles takes away what a directory gave and by its settings may give no longer, each with its event: what it may not
// give, it has not given.
func (tx *SystemTx) WithdrawRoles(ctx context.Context, d DeclaredDirectory, actor audit.Actor) error {
	in := tx.In(d.Organization)
	accepted := []string{}
	for _, r := range d.Roles.Accept {
		r = r.Rooted(d.Organization)
		accepted = append(accepted, r.String())
	}
	gone, err := collect[Grant](in.query(ctx, `
		delete from grants
		where organization = $1
			and source = $2
			and granted_by = $3
			and role || '@' || resource not in (`+tx.d.elements("$4")+`)
		returning `+grantColumns, d.Organization, access.SCIM, d.ID, encode(accepted)))(scanGrant)
	if err != nil {
		return fmt.Errorf("withdraw the roles of directory %s: %w", d.ID, err)
	}
	slices.SortFunc(gone, func(a, b Grant) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for _, g := range gone {
		g.Reason = d.Name + " may no longer give it."
		if err := in.recordGrant(ctx, actor, "grant.revoked", &g, nil); err != nil {
			return err
		}
	}
	return nil
}

// acceptedRole reads a pushed value as a role that the directory may give: "viewer", or "viewer@london-1".
func (p *Push) acceptedRole(ground *access.Facts, value string) (directory.RoleAt, bool) {
	for _, r := range p.assignable(ground) {
		if scim.Fold(value) == scim.Fold(r.value) {
			return r.RoleAt, true
		}
	}
	return directory.RoleAt{}, false
}

// assignableRole is a role that a directory may give, as it writes it.
type assignableRole struct {
	directory.RoleAt
	value string
}

func roleValues(roles []assignableRole) []string {
	var out []string
	for _, r := range roles {
		out = append(out, r.value)
	}
	return out
}

// assignable are the roles of the setting that the organization has and may use now: an operator who takes a role out of
// available_roles takes it from its directories too.
func (p *Push) assignable(ground *access.Facts) []assignableRole {
	var out []assignableRole
	for _, accept := range p.Directory.Roles.Accept {
		at := accept.Rooted(p.tx.Organization)
		_, known := ground.Catalogue.Role(at.Role)
		_, there := ground.Tree.Get(at.Resource)
		if known && there && ground.Catalogue.Covers(ground.Organization.Available, at.Role) {
			out = append(out, assignableRole{at, accept.String()})
		}
	}
	return out
}

// Roles answers the roles that the directory may give, as resources of a type that only reads (OpenID IPSIE, account
// lifecycle level 3: the roles that an application knows are discovered, not copied by hand).
func (p *Push) Roles(ctx context.Context, rt *scim.ResourceType) ([]*scim.Resource, error) {
	ground, err := p.tx.ground(ctx)
	if err != nil {
		return nil, err
	}
	var out []*scim.Resource
	for _, r := range p.assignable(ground) {
		node, _ := ground.Tree.Get(r.Resource)
		out = append(out, &scim.Resource{
			ID: r.value, Version: p.Directory.Version, Created: p.Directory.Created, Modified: p.Directory.Created,
			Document: rt.StoredDocument(scim.Attributes{
				"schemas": []any{rt.Schema.ID}, "value": r.value, "displayName": ground.Catalogue.Name(r.Role), "role": string(r.Role),
				"resource": map[string]any{"value": string(r.Resource), "display": ground.Tree.Name(r.Resource), "type": node.Type},
			}),
		})
	}
	return out, nil
}

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/scim"
)

// Provider relationships: organization P may serve organization C. The row belongs to the installation, and is all that lets a
// statement of one organization see a row of another; what it lets be seen is here, and in AccessFacts.
//
// A provider's user stays in its home. Its sessions, codes and tokens live there with it, so that whatever ends them there ends them
// everywhere; a family names as its client the organization it speaks of, and the statement that finds a token reads whether the
// relationship still is in force. What the user was given lies with the organization that gave it.

// servedStill is the condition on a family f, with the time as $3, that the relationship it speaks of another organization by is in
// force, and is the same one as when the family began: a relationship that ended brings nothing back when it is made anew.
const servedStill = `(f.client is null
				or exists (
					select 1
					from relationships r
					where r.provider = f.organization
						and r.client = f.client
						and r.approved <= f.created
						and (r.expires is null or r.expires > $3)))`

// inForceAt is the condition on a relationship r that it is in force at a time.
func inForceAt(now string) string {
	return `r.approved <= ` + now + ` and (r.expires is null or r.expires > ` + now + `)`
}

// Relationship is a provider relationship as both sides see it.
type Relationship struct {
	Provider     id.Organization
	ProviderName string
	Client       id.Organization
	ClientName   string
	Terms        access.RelationshipSettings
	Approved     time.Time // zero: proposed and not approved yet
	Source       string    // file where an operator's file declares it, else manual
	Created      time.Time
}

// FromFile says that an operator's file declares it; applying the file again brings it back as it stands there.
func (r Relationship) FromFile() bool { return r.Source == fromFile }

// InForce reports whether the provider's users may work for the client now.
func (r Relationship) InForce(now time.Time) bool { return r.Terms.InForce(r.Approved, now) }

// The states of a relationship.
const (
	RelationshipProposed = "proposed"
	RelationshipInForce  = "in-force"
	RelationshipEnded    = "ended"
)

// State says how a relationship stands.
func (r Relationship) State(now time.Time) string {
	switch {
	case r.Approved.IsZero():
		return RelationshipProposed
	case r.InForce(now):
		return RelationshipInForce
	}
	return RelationshipEnded
}

// key is how a log names a relationship, as a file does.
func (r Relationship) key() string { return string(r.Provider) + "/" + string(r.Client) }

const relationshipColumns = `r.provider, p.name, r.client, c.name, r.document, r.approved, r.source, r.created`

func scanRelationship(s scanner) (r Relationship, err error) {
	err = s.Scan(&r.Provider, &r.ProviderName, &r.Client, &r.ClientName, decode(&r.Terms), at(&r.Approved), &r.Source, at(&r.Created))
	return r, err
}

// across runs fn with rows of other organizations in its reach. It is for the statements of this file alone, each of which names the
// relationship that allows it.
func (tx *Tx) across(fn func() error) error {
	sql := tx.d.across()
	if sql == "" || tx.everywhere {
		return fn()
	}
	tx.queue(sql, "on")
	tx.everywhere = true
	defer func() {
		tx.everywhere = false
		tx.queue(sql, "")
	}()
	return fn()
}

func (tx *Tx) relationships(ctx context.Context, condition string, args ...any) (out []Relationship, err error) {
	err = tx.across(func() error {
		out, err = collect[Relationship](tx.query(ctx, `
			select `+relationshipColumns+`
			from relationships r
			join organizations p on p.organization = r.provider
			join organizations c on c.organization = r.client
			where `+condition+`
			order by r.provider, r.client`, args...))(scanRelationship)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the provider relationships of %s: %w", tx.Organization, err)
	}
	return out, nil
}

// Providers gives who serves the transaction's organization, or asks to.
func (tx *Tx) Providers(ctx context.Context) ([]Relationship, error) {
	return tx.relationships(ctx, `r.client = $1`, tx.Organization)
}

// Clients gives whom the transaction's organization serves, or asks to.
func (tx *Tx) Clients(ctx context.Context) ([]Relationship, error) {
	return tx.relationships(ctx, `r.provider = $1`, tx.Organization)
}

// Relationship gives one of the organization's, from either side. A fault of kind NotFound where there is none.
func (tx *Tx) Relationship(ctx context.Context, provider, client id.Organization) (Relationship, error) {
	if tx.Organization != provider && tx.Organization != client {
		return Relationship{}, notFound("provider relationship", provider)
	}
	found, err := tx.relationships(ctx, `r.provider = $1 and r.client = $2`, provider, client)
	if err == nil && len(found) == 0 {
		other := provider
		if tx.Organization == provider {
			other = client
		}
		return Relationship{}, fault.New(fault.NotFound, "There is no provider relationship with %q.", other)
	}
	if err != nil {
		return Relationship{}, err
	}
	return found[0], nil
}

// ProvidersInForce gives who serves an organization at this moment.
func (tx *SystemTx) ProvidersInForce(ctx context.Context, client id.Organization) ([]id.Organization, error) {
	if client == "" {
		return nil, nil
	}
	return column[id.Organization](tx.query(ctx, `
		select r.provider
		from relationships r
		where r.client = $1
			and `+inForceAt("$2")+`
		order by r.provider`, client, micros(tx.now)))
}

// Serves reports whether the transaction's organization serves another at this moment.
func (tx *Tx) Serves(ctx context.Context, client id.Organization) (bool, error) {
	var n int64
	err := tx.queryRow(ctx, `
		select count(*)
		from relationships r
		where r.provider = $1
			and r.client = $2
			and `+inForceAt("$3"), tx.Organization, client, micros(tx.now)).Scan(&n)
	return n > 0, err
}

// relationshipRecord is a relationship as the audit log keeps it.
type relationshipRecord struct {
	access.RelationshipSettings
	Approved bool `json:"approved"`
}

func (r Relationship) record() json.RawMessage {
	return auditJSON(relationshipRecord{r.Terms, !r.Approved.IsZero()})
}

// recordBoth writes an event to the logs of both organizations.
func (tx *Tx) recordBoth(ctx context.Context, r Relationship, e audit.Event) error {
	e.TargetKind, e.TargetID = "relationship", r.key()
	e.TargetName = fmt.Sprintf("%s serves %s", r.ProviderName, r.ClientName)
	return tx.across(func() error {
		for _, org := range []id.Organization{r.Provider, r.Client} {
			(&Tx{tx.work, org}).Record(ctx, e)
		}
		return nil
	})
}

func (tx *Tx) putRelationship(ctx context.Context, r Relationship) error {
	_, err := tx.exec(ctx, `
		insert into relationships (provider, client, document, approved, expires, source, version, created)
		values ($1, $2, $3, $4, $5, $6, 1, $7)
		on conflict (provider, client) do update set document = excluded.document, approved = excluded.approved,
			expires = excluded.expires, source = excluded.source, version = relationships.version + 1`,
		r.Provider, r.Client, encode(r.Terms), microsOrNull(r.Approved), microsOrNull(r.Terms.Expires), r.Source, micros(tx.now))
	if err != nil {
		return fmt.Errorf("write the provider relationship %s: %w", r.key(), err)
	}
	return nil
}

// lockRelationship holds the pair of organizations until the transaction ends, so that two who decide on it at once do so one after
// the other.
func (tx *Tx) lockRelationship(provider, client id.Organization) {
	if sql := tx.d.lock(); sql != "" {
		tx.queue(sql, "relationship/"+string(provider)+"/"+string(client))
	}
}

// thereIs refuses the id of an organization that is not there.
func (tx *Tx) thereIs(ctx context.Context, org id.Organization, field string) error {
	var n int64
	err := tx.across(func() error {
		return tx.queryRow(ctx, `
			select count(*)
			from organizations
			where organization = $1`, org).Scan(&n)
	})
	if err == nil && n == 0 {
		err = fault.New(fault.Invalid, "There is no organization %q here. Whoever runs it can tell its id.", org).
			WithField(field, "There is no such organization.")
	}
	return err
}

// byHand marks a relationship that people made, beside those that an operator's file declares.
const byHand = "manual"

func trimmed(terms access.RelationshipSettings) access.RelationshipSettings {
	terms.Expires = terms.Expires.UTC().Truncate(time.Microsecond)
	return terms
}

// Propose asks another organization to be let in on these terms, in the name of the transaction's. Nothing is in force by it. While
// a relationship is in force, its terms are the client's to change.
func (tx *Tx) Propose(ctx context.Context, actor audit.Actor, client id.Organization, terms access.RelationshipSettings) (Relationship, error) {
	if client == tx.Organization {
		return Relationship{}, fault.New(fault.Invalid, "An organization does not serve itself.").WithField("client", "It is the same one.")
	}
	tx.lockRelationship(tx.Organization, client)
	if err := tx.thereIs(ctx, client, "client"); err != nil {
		return Relationship{}, err
	}
	before, err := tx.Relationship(ctx, tx.Organization, client)
	fresh := fault.KindOf(err) == fault.NotFound
	switch {
	case err != nil && !fresh:
		return Relationship{}, err
	case !fresh && before.InForce(tx.now):
		return Relationship{}, fault.New(fault.Conflict, "%s has approved other terms, which are in force. An administrator there can change them.",
			before.ClientName)
	}
	var ground *access.Facts
	if err := tx.across(func() error {
		ground, err = (&Tx{tx.work, client}).ground(ctx)
		return err
	}); err != nil {
		return Relationship{}, err
	}
	if err := access.Propose(ground, terms, tx.now); err != nil {
		return Relationship{}, err
	}
	if err := tx.putRelationship(ctx, Relationship{
		Provider: tx.Organization, Client: client, Terms: trimmed(terms), Source: byHand,
	}); err != nil {
		return Relationship{}, err
	}
	r, err := tx.Relationship(ctx, tx.Organization, client)
	if err != nil {
		return r, err
	}
	e := audit.Event{Actor: actor, Action: "provider.proposed", After: r.record()}
	if !fresh {
		e.Before = before.record()
	}
	return r, tx.recordBoth(ctx, r, e)
}

// SetTerms is the client's word on a provider: it approves what was proposed, on these terms, or changes what is in force. Only who
// could give each of the roles there may. An operator speaks for both sides, and needs no proposal.
func (tx *Tx) SetTerms(ctx context.Context, actor audit.Actor, provider id.Organization, terms access.RelationshipSettings) (Relationship, error) {
	if provider == tx.Organization {
		return Relationship{}, fault.New(fault.Invalid, "An organization does not serve itself.").WithField("provider", "It is the same one.")
	}
	tx.lockRelationship(provider, tx.Organization)
	tx.Lock(ctx, accessLock)
	before, err := tx.Relationship(ctx, provider, tx.Organization)
	fresh := fault.KindOf(err) == fault.NotFound
	if err != nil && (!fresh || actor.Kind != audit.ActorOperator) {
		return Relationship{}, err
	}
	if err := tx.thereIs(ctx, provider, "provider"); err != nil {
		return Relationship{}, err
	}
	ground, err := tx.ground(ctx)
	if err != nil {
		return Relationship{}, err
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return Relationship{}, err
	}
	if err := access.Approve(giver, ground, terms, tx.now); err != nil {
		return Relationship{}, err
	}
	r := Relationship{Provider: provider, Client: tx.Organization, Terms: trimmed(terms), Approved: before.Approved, Source: before.Source}
	if fresh {
		r.Source = byHand
	}
	if !before.InForce(tx.now) {
		// From here on, and not before: what was handed out under one that has ended stays dead.
		r.Approved = tx.now.UTC().Truncate(time.Microsecond)
		if err := tx.endServing(ctx, provider, tx.Organization); err != nil {
			return Relationship{}, err
		}
	}
	if err := tx.putRelationship(ctx, r); err != nil {
		return Relationship{}, err
	}
	if r, err = tx.Relationship(ctx, provider, tx.Organization); err != nil {
		return r, err
	}
	e := audit.Event{Actor: actor, Action: "provider.approved", After: r.record()}
	if !fresh {
		e.Before = before.record()
		if before.InForce(tx.now) {
			e.Action = "provider.changed"
		}
	}
	return r, tx.recordBoth(ctx, r, e)
}

// Cut ends a provider relationship, or withdraws or refuses a proposal, by either side and at once: what the provider's users were
// given is gone with it, and whatever they hold towards the client is refused from this commit on.
func (tx *Tx) Cut(ctx context.Context, actor audit.Actor, provider, client id.Organization, reason string) error {
	tx.lockRelationship(provider, client)
	before, err := tx.Relationship(ctx, provider, client)
	if err != nil {
		return err
	}
	return tx.across(func() error {
		if err := tx.endServing(ctx, provider, client); err != nil {
			return err
		}
		given, err := (&Tx{tx.work, client}).forgetProviderUsers(ctx, provider)
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `
			delete from relationships
			where provider = $1
				and client = $2`, provider, client); err != nil {
			return fmt.Errorf("cut the provider relationship %s: %w", before.key(), err)
		}
		e := audit.Event{Actor: actor, Action: "provider.cut", Before: before.record(), Reason: reason}
		if given > 0 {
			e.After = auditJSON(map[string]int64{"grants_taken_away": given})
		}
		return tx.recordBoth(ctx, before, e)
	})
}

// endServing ends what a provider's users hold towards a client, and tells the applications. Their sessions at home go on.
func (tx *Tx) endServing(ctx context.Context, provider, client id.Organization) error {
	return tx.across(func() error {
		home := &Tx{tx.work, provider}
		if err := home.queueLogouts(ctx, `client`, string(client)); err != nil {
			return err
		}
		home.queue(`
			update families
			set revoked = $1
			where organization = $2
				and client = $3
				and revoked is null`, micros(tx.now), provider, client)
		return nil
	})
}

// forgetProviderUsers takes what the transaction's organization gave to a provider's users, and says how many grants those were.
func (tx *Tx) forgetProviderUsers(ctx context.Context, provider id.Organization) (int64, error) {
	const theirs = `
		where organization = $1
			and user_id in (
				select g.user_id
				from provider_users g
				where g.organization = $1
					and g.home = $2)`
	given, err := tx.exec(ctx, `delete from grants`+theirs, tx.Organization, provider)
	if err != nil {
		return 0, fmt.Errorf("take the grants of %s: %w", provider, err)
	}
	tx.queue(`delete from restrictions`+theirs, tx.Organization, provider)
	tx.queue(`delete from provider_users where organization = $1 and home = $2`, tx.Organization, provider)
	return given, nil
}

// EndServed ends, on every node's behalf, what is held by relationships whose time is over. Nothing of it could be used any more; this
// tells the applications.
func (db *DB) EndServed(ctx context.Context) error {
	type pair struct{ provider, client id.Organization }
	var over []pair
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		over, err = collect[pair](tx.lastQuery(ctx, `
			select r.provider, r.client
			from relationships r
			where r.expires <= $1
				and exists (
					select 1
					from families f
					where f.organization = r.provider
						and f.client = r.client
						and f.revoked is null)`, micros(tx.now)))(func(s scanner) (p pair, err error) {
			err = s.Scan(&p.provider, &p.client)
			return p, err
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("read which provider relationships are over: %w", err)
	}
	for _, p := range over {
		err := db.System().Write(ctx, func(tx *SystemTx) error {
			in := tx.In(p.provider)
			in.lockRelationship(p.provider, p.client)
			r, err := in.Relationship(ctx, p.provider, p.client)
			if fault.KindOf(err) == fault.NotFound || err == nil && (r.InForce(tx.now) || r.Approved.IsZero()) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := in.endServing(ctx, p.provider, p.client); err != nil {
				return err
			}
			return in.recordBoth(ctx, r, audit.Event{Actor: concluded, Action: "provider.ended", Before: r.record()})
		})
		if err != nil {
			return fmt.Errorf("end what %s holds towards %s: %w", p.provider, p.client, err)
		}
	}
	return nil
}

// ProviderUser is a provider's user as the organization that is served sees them: no more than who they are and when they were here.
type ProviderUser struct {
	User          id.User
	Home          id.Organization
	HomeName      string
	Name          string
	UserName      string
	Email         string
	EmailVerified bool
	Status        directory.Status
	Seated        bool
	Created       time.Time // at home
	Since         time.Time // zero: not given anything yet, and never here
	LastLogin     time.Time
	LastLoginIP   string
	Logins        int64
}

const providerUserColumns = `u.id, u.organization, o.name, case when u.display_name <> '' then u.display_name else u.user_name end,
		u.user_name, u.email, u.email_verified, u.status, u.seated, u.created, coalesce(g.created, 0), coalesce(g.last_login, 0),
		g.last_login_ip, coalesce(g.logins, 0)`

const providerUserQuery = `
	select ` + providerUserColumns + `
	from relationships r
	join organizations o on o.organization = r.provider
	join users u on u.organization = r.provider`

func scanProviderUser(s scanner) (g ProviderUser, err error) {
	var since, seen int64
	err = s.Scan(&g.User, &g.Home, &g.HomeName, &g.Name, &g.UserName, orEmpty(&g.Email), &g.EmailVerified, &g.Status, &g.Seated,
		at(&g.Created), &since, &seen, orEmpty(&g.LastLoginIP), &g.Logins)
	g.Since, g.LastLogin = momentOf(since), momentOf(seen)
	return g, err
}

// ProviderUser gives one user of an approved provider. A fault of kind NotFound for anybody else.
func (tx *Tx) ProviderUser(ctx context.Context, user id.User) (g ProviderUser, err error) {
	err = tx.across(func() error {
		g, err = scanProviderUser(tx.queryRow(ctx, providerUserQuery+`
			left join provider_users g on g.organization = r.client and g.user_id = u.id
			where r.client = $1
				and r.approved is not null
				and u.id = $2
				and u.status <> 'deleted'`, tx.Organization, user))
		return err
	})
	if errors.Is(err, errNoRows) {
		return g, notFound("user", user)
	}
	return g, err
}

// ProviderUserByAddress finds a provider's user by the whole address: who serves an organization is no directory of its people. Several
// accounts of one address are none.
func (tx *Tx) ProviderUserByAddress(ctx context.Context, provider id.Organization, address string) (ProviderUser, error) {
	var found []ProviderUser
	err := tx.across(func() (err error) {
		found, err = collect[ProviderUser](tx.query(ctx, providerUserQuery+`
			left join provider_users g on g.organization = r.client and g.user_id = u.id
			where r.client = $1
				and r.provider = $2
				and `+inForceAt("$4")+`
				and u.email_key = $3
				and u.status <> 'deleted'
			order by u.id
			limit 2`, tx.Organization, provider, scim.Fold(address), micros(tx.now)))(scanProviderUser)
		return err
	})
	if err != nil {
		return ProviderUser{}, err
	}
	if len(found) != 1 {
		return ProviderUser{}, fault.New(fault.NotFound, "Nobody of that provider, or more than one, has the address %q.", address)
	}
	return found[0], nil
}

// ProviderUsers lists who of a provider has access here or was here, by id: to whom the organization has given something, who has
// opened an application for it, and everybody active, where the provider's default roles come to something within the terms. Nobody
// else of the provider is anybody's here.
//
// A query narrows the list to a part of a name, a userName or an address: of those who are listed, so nobody is found who is not here.
func (tx *Tx) ProviderUsers(
	ctx context.Context, provider id.Organization, query, cursor string, limit int,
) (out []ProviderUser, next string, err error) {
	after, limit, err := page(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	everybody, err := tx.ProviderDefaults(ctx, provider)
	if fault.KindOf(err) == fault.NotFound {
		return nil, "", nil // nothing was approved, so nobody is here
	}
	if err != nil {
		return nil, "", err
	}
	// Two statements, since one would go through all people of a provider in search of the few who were given something.
	from := `
		from provider_users g
		join relationships r on r.provider = g.home and r.client = g.organization
		join organizations o on o.organization = g.home
		join users u on u.organization = g.home and u.id = g.user_id
		where r.client = $1
			and r.provider = $2`
	if len(everybody.Grants) > 0 {
		from = `
		from relationships r
		join organizations o on o.organization = r.provider
		join users u on u.organization = r.provider
		left join provider_users g on g.organization = r.client and g.user_id = u.id
		where r.client = $1
			and r.provider = $2
			and (g.user_id is not null or ` + inForce + `)`
	}
	list := listed[ProviderUser]{
		// Everybody active of a provider has an index, the few who were given something have none.
		narrow: len(everybody.Grants) == 0,
		names:  func(u *ProviderUser) (id.User, string, string, string) { return u.User, u.UserName, u.Email, u.Name },
		read: func(ctx context.Context, ids []string, after string, limit int) ([]ProviderUser, error) {
			text := `
			select ` + providerUserColumns + from + `
			and u.status <> 'deleted'`
			if ids != nil {
				return collect[ProviderUser](tx.query(ctx, text+`
			and `+tx.d.amongFew("u.id", tx.d.elements("$3"))+`
		order by u.id`, tx.Organization, provider, encode(ids)))(scanProviderUser)
			}
			return collect[ProviderUser](tx.query(ctx, text+`
			and u.id > $3
		order by u.id
		limit $4`, tx.Organization, provider, after, limit))(scanProviderUser)
		},
	}
	err = tx.across(func() error {
		if n, ok := needleOf(query); ok {
			out, err = list.named(ctx, &Tx{tx.work, provider}, n, after, limit+1)
		} else {
			out, err = list.read(ctx, nil, after, limit+1)
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list the users of %s: %w", provider, err)
	}
	out, next = nextPage(out, limit, func(u ProviderUser) string { return string(u.User) })
	return out, next, nil
}

// ProviderUserHere gives one of those whom ProviderUsers lists, and what they may do here. Anybody else of a provider is not found.
func (tx *Tx) ProviderUserHere(ctx context.Context, provider id.Organization, user id.User) (ProviderUser, *access.Effective, error) {
	u, err := tx.ProviderUser(ctx, user)
	if err == nil && u.Home != provider {
		err = notFound("user", user)
	}
	if err != nil {
		return ProviderUser{}, nil, err
	}
	e, err := tx.Access(ctx, user)
	if err == nil && u.Since.IsZero() && len(e.Grants) == 0 {
		err = notFound("user", user)
	}
	if err != nil {
		return ProviderUser{}, nil, err
	}
	return u, e, nil
}

// ProviderDefaults is what the provider's default roles, cut down to the terms, give here to everybody active of a provider: the access
// of somebody of whom nothing else is known. A fault of kind NotFound where nothing was approved.
func (tx *Tx) ProviderDefaults(ctx context.Context, provider id.Organization) (*access.Effective, error) {
	f, err := tx.ground(ctx)
	if err != nil {
		return nil, err
	}
	var name string
	var settings Settings
	var terms access.RelationshipSettings
	err = tx.across(func() error {
		return tx.queryRow(ctx, `
			select o.name, o.settings, r.document
			from relationships r
			join organizations o on o.organization = r.provider
			where r.client = $1
				and r.provider = $2
				and r.approved is not null`, tx.Organization, provider).Scan(&name, decode(&settings), decode(&terms))
	})
	if errors.Is(err, errNoRows) {
		return nil, fault.New(fault.NotFound, "There is no provider relationship with %q that was approved.", provider)
	}
	if err != nil {
		return nil, fmt.Errorf("read the default roles of %s: %w", provider, err)
	}
	f.User = access.User{Name: "Everybody of " + name, Home: provider, Status: access.Active, Seated: true, MFA: true}
	f.Relationship = relationshipFacts(provider, name, settings, terms)
	return access.Decide(f, tx.now), nil
}

// relationshipFacts is what access looks at of an approved relationship.
func relationshipFacts(provider id.Organization, name string, settings Settings, terms access.RelationshipSettings) *access.Relationship {
	return &access.Relationship{
		Provider: provider, ProviderName: name, Approved: true, AllowedRoles: terms.AllowedRoles, Resources: terms.Resources,
		Expires: terms.Expires, RequireMFA: terms.RequireMFA, DefaultRoles: settings.DefaultProviderRoles,
	}
}

// noteProviderUser keeps that a provider's user was given something.
func (tx *Tx) noteProviderUser(e *access.Effective) {
	if !e.External() {
		return
	}
	tx.queue(`
		insert into provider_users (organization, user_id, home, created, logins)
		values ($1, $2, $3, $4, 0)
		on conflict (organization, user_id) do nothing`, tx.Organization, e.User.ID, e.User.Home, micros(tx.now))
}

// providerFacts loads what is asked of provider's users in the organization that is served, in place of a user's row. Whoever is none is
// left as they are.
func (tx *Tx) providerFacts(ctx context.Context, of map[id.User]*access.Facts, users []id.User) error {
	if len(users) == 0 {
		return nil
	}
	condition, asked := "u.id = $2", any(users[0])
	if len(users) > 1 {
		condition, asked = tx.d.amongFew("u.id", tx.d.elements("$2")), encode(users)
	}
	err := tx.across(func() error {
		_, err := collect[struct{}](tx.query(ctx, `
			select u.id, u.organization, case when u.display_name <> '' then u.display_name else u.user_name end, u.status, u.seated,
				o.name, o.settings, r.document
			from relationships r
			join organizations o on o.organization = r.provider
			join users u on u.organization = r.provider
			where r.client = $1
				and r.approved is not null
				and `+condition, tx.Organization, asked))(func(s scanner) (none struct{}, err error) {
			var name string
			var terms access.RelationshipSettings
			var settings Settings
			u := access.User{MFA: true}
			if err := s.Scan(&u.ID, &u.Home, &u.Name, &u.Status, &u.Seated, &name, decode(&settings), decode(&terms)); err != nil {
				return none, err
			}
			of[u.ID].User, of[u.ID].Relationship = u, relationshipFacts(u.Home, name, settings, terms)
			return none, nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("read the provider's users: %w", err)
	}
	return nil
}

// providerShownFactor is shownFactor of a provider's user, who signs in at home.
func (tx *Tx) providerShownFactor(ctx context.Context, u access.User, session id.Session) (shown bool, err error) {
	err = tx.across(func() error {
		shown, err = twoAmong(tx.query(ctx, `
			select f.amr
			from relationships r
			join families f on f.organization = r.provider
			where r.client = $1
				and r.provider = $2
				and r.approved is not null
				and f.user_id = $4
				and ($5 = '' or f.session_id = $5)
				and `+goesOn, tx.Organization, u.Home, micros(tx.now), u.ID, session))
		return err
	})
	return shown, err
}

// AccessToward is what a user of the transaction's organization may do in another, which it serves, in a session in which these
// methods were shown. A fault of kind NotFound where it does not serve it.
func (tx *Tx) AccessToward(ctx context.Context, client id.Organization, user id.User, amr []string) (e *access.Effective, err error) {
	if client == "" || client == tx.Organization {
		return tx.AccessIn(ctx, user, amr)
	}
	err = tx.across(func() error {
		e, err = (&Tx{tx.work, client}).AccessIn(ctx, user, amr)
		return err
	})
	return e, err
}

// MFADemandToward says why a user of the transaction's organization must show a second factor to have what was given to it in another,
// which it serves. Nobody is asked for more by one that it does not serve: they get nothing there.
func (tx *Tx) MFADemandToward(ctx context.Context, client id.Organization, user id.User) (d mfa.Demand, err error) {
	if client == "" || client == tx.Organization {
		return d, nil
	}
	err = tx.across(func() error {
		d, err = (&Tx{tx.work, client}).MFADemand(ctx, user)
		return err
	})
	if fault.KindOf(err) == fault.NotFound {
		return mfa.Demand{}, nil
	}
	return d, err
}

// OpenedToward keeps, in the organization that is served, that one of its provider's users has opened an application for it, with the
// event of its log.
func (tx *Tx) OpenedToward(ctx context.Context, client id.Organization, user id.User, e audit.Event) error {
	return tx.across(func() error {
		in := &Tx{tx.work, client}
		in.queue(`
			insert into provider_users (organization, user_id, home, created, last_login, last_login_ip, logins)
			values ($1, $2, $3, $4, $4, $5, 1)
			on conflict (organization, user_id) do update set last_login = excluded.last_login,
				last_login_ip = excluded.last_login_ip, logins = provider_users.logins + 1`,
			client, user, tx.Organization, micros(tx.now), e.Actor.IP)
		in.Record(ctx, e)
		return nil
	})
}

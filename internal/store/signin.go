package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// SignInConnection reads a connection. A fault of kind NotFound where the organization has none of that id.
func (tx *Tx) SignInConnection(ctx context.Context, way id.Connection) (c SignInConnection, err error) {
	c.Organization = tx.Organization
	err = tx.queryRow(ctx, `
		select c.id, c.name, c.protocol, c.directory, c.document, o.name
		from connections c
		join organizations o on o.organization = c.organization
		where c.organization = $1
			and c.id = $2`, tx.Organization, way).
		Scan(&c.ID, &c.Name, &c.Protocol, orEmpty(&c.Directory), decode(&c.Settings), &c.OrganizationName)
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "This organization has no such way to sign in.").WithCode(string(connection.CodeUnknownConnection))
	}
	return c, err
}

// SignInConnection is a connection with its organization's name, for the pages that name both.
type SignInConnection struct {
	connection.Connection
	OrganizationName string
}

// RouteFacts loads what home realm discovery decides over: what the request names, and the domain of its hinted address.
func (tx *SystemTx) RouteFacts(
	ctx context.Context, org id.Organization, asked id.Connection, domain string,
) (connection.RouteFacts, error) {
	f := connection.RouteFacts{Organization: org, Connection: asked}
	if domain != "" {
		err := tx.queryRow(ctx, `
			select organization, connection
			from domains
			where domain = $1`, domain).Scan(&f.Hinted.Organization, &f.Hinted.Connection)
		f.Hinted.Domain = domain
		if err != nil && !errors.Is(err, errNoRows) {
			return f, fmt.Errorf("read the owner of a domain: %w", err)
		}
	}
	if org != "" {
		var n int64
		if err := tx.queryRow(ctx, `
			select count(*)
			from organizations
			where organization = $1`, org).Scan(&n); err != nil {
			return f, fmt.Errorf("read organization %s: %w", org, err)
		}
		f.Known = n > 0
	}
	var err error
	if f.Providers, err = tx.ProvidersInForce(ctx, org); err != nil {
		return f, err
	}
	if err = tx.localFacts(ctx, &f, domain); err != nil {
		return f, err
	}
	f.Ways, err = collect[connection.Way](tx.query(ctx, `
		select organization, id, name, protocol, document
		from connections
		where organization = $1
			or organization = $2
			or ($1 = '' and $2 = '' and id = $3)
			or (id = $3 and organization in (
				select r.provider
				from relationships r
				where r.client = $1
					and `+inForceAt("$4")+`))
		order by organization, name, id`, org, f.Hinted.Organization, asked, micros(tx.now)))(func(s scanner) (connection.Way, error) {
		var w connection.Way
		var settings connection.Settings
		err := s.Scan(&w.Organization, &w.ID, &w.Name, &w.Protocol, decode(&settings))
		w.Disabled, w.Domains = settings.Closed(), settings.Domains
		return w, err
	})
	if err != nil {
		return f, fmt.Errorf("read the connections: %w", err)
	}
	return f, nil
}

// localFacts loads what the two organizations say of signing in without a provider.
func (tx *SystemTx) localFacts(ctx context.Context, f *connection.RouteFacts, domain string) error {
	f.Local = map[id.Organization]connection.LocalPolicy{}
	declared := map[id.Organization]Settings{}
	_, err := collect[struct{}](tx.query(ctx, `
		select organization, settings
		from organizations
		where organization = $1
			or organization = $2`, f.Organization, f.Hinted.Organization))(func(s scanner) (none struct{}, err error) {
		var org id.Organization
		var settings Settings
		err = s.Scan(&org, decode(&settings))
		declared[org] = settings
		switch {
		case settings.LocalSignIn == nil:
			f.Local[org] = connection.LocalQuiet
		case len(settings.LocalSignIn) > 0:
			f.Local[org] = connection.LocalOffered
		}
		return none, err
	})
	if err != nil || f.Hinted.Organization == "" {
		return err
	}
	var works, demanded bool
	err = tx.queryRow(ctx, `
		select `+connectionWorks+`, exists (
			select 1
			from sso_enforcements e
			where e.organization = d.organization)
		from domains d
		where d.domain = $1`, domain).Scan(&works, &demanded)
	f.Enforced = works && (demanded || declared[f.Hinted.Organization].EnforceSSO)
	return err
}

// OrganizationName gives the name of an organization, or its id where there is none.
func (tx *SystemTx) OrganizationName(ctx context.Context, org id.Organization) (string, error) {
	name := string(org)
	err := tx.queryRow(ctx, `
		select name
		from organizations
		where organization = $1`, org).Scan(&name)
	if errors.Is(err, errNoRows) {
		err = nil
	}
	return name, err
}

// standing is a user's state as sign-in sees it.
func standing(status directory.Status, suspended time.Time, seated bool) connection.Standing {
	switch status {
	case directory.Active:
		if !seated {
			return connection.Unseated
		}
		return connection.Active
	case directory.Pending:
		return connection.Pending
	case directory.Deleted:
		return connection.Deleted
	case directory.Suspended:
		if !suspended.IsZero() {
			return connection.Suspended
		}
	}
	return connection.Deactivated
}

// SignInFacts loads what connection.Find decides over. A known identity, which is nearly every sign-in, needs nothing else.
func (tx *Tx) SignInFacts(ctx context.Context, c connection.Connection, p connection.Person) (connection.Facts, error) {
	var f connection.Facts
	if err := tx.identityFacts(ctx, c, p, &f); err != nil || f.Identity != "" {
		return f, err
	}
	// A newcomer in two tabs: the second one waits for the first and then finds what it wrote. Without the lock it could see
	// that nobody has the identity and, a statement later, that somebody has just taken the address.
	tx.Lock(ctx, "sign-in/"+string(c.ID)+"/"+p.Issuer+"/"+p.Subject)
	if err := tx.identityFacts(ctx, c, p, &f); err != nil || f.Identity != "" {
		return f, err
	}
	if err := tx.addressFacts(ctx, c, p, &f); err != nil {
		return f, err
	}
	var err error
	if c.Directory != "" {
		key := c.Settings.Match.Attribute
		if p.Match != "" {
			if f.ByKey, err = tx.recordsByKey(ctx, c, key, p.Match); err != nil {
				return f, err
			}
		}
		if p.Email != "" {
			if f.ByEmail, err = tx.recordsByEmail(ctx, c, key, p.Email); err != nil {
				return f, err
			}
		}
		for i, r := range f.ByEmail {
			e, err := tx.Access(ctx, r.User.ID)
			if err != nil {
				return f, err
			}
			f.ByEmail[i].Protected = len(e.ProtectedHeld()) > 0
		}
	}
	return f, nil
}

func (tx *Tx) identityFacts(ctx context.Context, c connection.Connection, p connection.Person, f *connection.Facts) error {
	rows, err := tx.query(ctx, `
		select i.id, i.closed, u.id, u.status, u.suspended_at, u.seated
		from identities i
		join users u on u.organization = i.organization and u.id = i.user_id
		where i.organization = $1
			and i.connection = $2
			and i.issuer = $3
			and i.subject = $4`, tx.Organization, c.ID, p.Issuer, p.Subject)
	if err != nil {
		return fmt.Errorf("read the identity: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var identity id.Identity
		var closed, suspended time.Time
		var user id.User
		var status directory.Status
		var seated bool
		if err := rows.Scan(&identity, at(&closed), &user, &status, at(&suspended), &seated); err != nil {
			return fmt.Errorf("read the identity: %w", err)
		}
		if !closed.IsZero() {
			f.Closed = true
			continue
		}
		f.Identity, f.User = identity, connection.User{ID: user, Standing: standing(status, suspended, seated)}
	}
	return rows.Err()
}

const recordFacts = `
	select r.user_id, coalesce(r.external_id, ''), u.user_name, r.active, u.status, u.suspended_at, u.seated,
		(select count(*)
			from identities i
			where i.organization = r.organization and i.user_id = r.user_id and i.connection = $3),
		(select count(*)
			from identities i
			where i.organization = r.organization and i.user_id = r.user_id and i.connection = $3 and i.closed is null)
	from directory_records r
	join users u on u.organization = r.organization and u.id = r.user_id
	where r.organization = $1
		and r.directory = $2`

func (tx *Tx) records(ctx context.Context, c connection.Connection, key connection.Attribute, where string, value string) ([]connection.Record, error) {
	records, err := collect[connection.Record](tx.query(ctx, recordFacts+where+`
		order by r.user_id
		limit 3`, tx.Organization, c.Directory, c.ID, value))(func(s scanner) (connection.Record, error) {
		var r connection.Record
		var externalID, userName string
		var status directory.Status
		var suspended time.Time
		var seated bool
		var bound, open int64
		err := s.Scan(&r.User.ID, &externalID, &userName, &r.Active, &status, at(&suspended), &seated, &bound, &open)
		r.User.Standing = standing(status, suspended, seated)
		r.Bound, r.BoundOpen = bound > 0, open > 0
		r.Key = externalID
		if key != connection.ExternalID {
			// A record always has a userName, and one found by its address has that: so an address never joins there.
			r.Key = userName
		}
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the records of directory %s: %w", c.Directory, err)
	}
	return records, nil
}

func (tx *Tx) recordsByKey(ctx context.Context, c connection.Connection, key connection.Attribute, value string) ([]connection.Record, error) {
	switch key {
	case connection.UserName:
		return tx.records(ctx, c, key, ` and r.user_name_key = $4`, scim.UserNameKey(value))
	case connection.Emails:
		return tx.records(ctx, c, key, byAddress, scim.Fold(value))
	case connection.ExternalID:
		// RFC 7643 section 3.1: externalId is compared exactly.
		return tx.records(ctx, c, key, ` and r.external_id = $4`, value)
	}
	return nil, fmt.Errorf("connection %s matches on %q, which no directory is keyed by", c.ID, key)
}

const byAddress = `
		and exists (
			select 1
			from record_emails e
			where e.organization = r.organization
				and e.directory = r.directory
				and e.user_id = r.user_id
				and e.value_key = $4)`

func (tx *Tx) recordsByEmail(ctx context.Context, c connection.Connection, key connection.Attribute, email string) ([]connection.Record, error) {
	return tx.records(ctx, c, key, byAddress, scim.Fold(email))
}

// addressFacts loads what the address of a newcomer is worth, and whether there is room.
func (tx *Tx) addressFacts(ctx context.Context, c connection.Connection, p connection.Person, f *connection.Facts) error {
	self, err := tx.Self(ctx)
	if err != nil {
		return err
	}
	domain := connection.DomainOf(p.Email)
	if domain != "" {
		var owner id.Connection
		err := tx.queryRow(ctx, `
			select connection
			from domains
			where domain = $1
				and organization = $2`, domain, tx.Organization).Scan(&owner)
		if err != nil && !errors.Is(err, errNoRows) {
			return fmt.Errorf("read the owner of a domain: %w", err)
		}
		f.DomainProven = err == nil
		f.DomainOwn = f.DomainProven && (owner == c.ID || slices.Contains(c.Settings.Domains, domain))
		f.DomainAllowed = len(self.Settings.AllowedDomains) == 0 ||
			slices.ContainsFunc(self.Settings.AllowedDomains, func(d string) bool { return connection.Domain(d) == domain })
	}
	var taken, invited int64
	err = tx.queryRow(ctx, `
		select count(*), count(case when h.status = 'pending' then h.id end)
		from (`+liveUsers("id, status", "email_key = $2", "user_name_key = $3")+`) h`,
		tx.Organization, scim.Fold(p.Email), scim.UserNameKey(p.Email)).Scan(&taken, &invited)
	if err != nil {
		return fmt.Errorf("read who holds an address: %w", err)
	}
	f.Taken = p.Email != "" && taken > 0
	f.Invited = invited == taken && invited > 0
	if f.SeatFree = self.SeatLimit == 0; f.SeatFree {
		return nil // and nobody needs to be counted
	}
	limit, used, err := tx.seats(ctx)
	f.SeatFree = limit == 0 || used < limit
	return err
}

// matchKept is a match value as an identity keeps it: in the form in which the connection's directory compares its key, so
// that a push finds it by its index. RFC 7643 section 4.1.1 has userName compared without regard to case, and externalId exactly.
// The value stands in the statement as $1, folded as a userName in $2, as an address in $3.
const matchKept = `
	case (
			select d.match_key
			from connections c
			join directories d on d.organization = c.organization
				and d.id = c.directory
			where c.organization = identities.organization
				and c.id = identities.connection)
		when '` + directory.KeyUserName + `' then $2
		when '` + directory.KeyEmail + `' then $3
		else $1 end`

// AttachIdentity links a user to an upstream subject. A subject that another transaction has linked meanwhile is a Conflict.
func (tx *Tx) AttachIdentity(ctx context.Context, c id.Connection, user id.User, p connection.Person) id.Identity {
	identity := id.New[id.Identity]()
	tx.queue(`
		insert into identities (organization, id, user_id, connection, issuer, subject, created, last_used)
		values ($1, $2, $3, $4, $5, $6, $7, $7)`,
		tx.Organization, identity, user, c, p.Issuer, p.Subject, micros(tx.now))
	tx.UseIdentity(ctx, identity, p.Match)
	return identity
}

// UseIdentity notes that a known identity signed in, and what its match claim says now.
func (tx *Tx) UseIdentity(_ context.Context, identity id.Identity, match string) {
	tx.queue(`
		update identities
		set last_used = $4, match_value = coalesce(`+matchKept+`, match_value)
		where organization = $5 and id = $6`,
		orNull(match), orNull(scim.UserNameKey(match)), orNull(scim.Fold(match)), micros(tx.now), tx.Organization, identity)
}

// ConnectionDocument is a discovery document or a key set as last fetched.
type ConnectionDocument struct {
	Body    string
	Fetched time.Time
	Expires time.Time
}

// ConnectionDocument reads one, and says whether there is one.
func (tx *Tx) ConnectionDocument(ctx context.Context, c id.Connection, kind string) (ConnectionDocument, bool, error) {
	var d ConnectionDocument
	err := tx.queryRow(ctx, `
		select body, fetched, expires
		from connection_documents
		where organization = $1 and connection = $2 and kind = $3`, tx.Organization, c, kind).
		Scan(&d.Body, at(&d.Fetched), at(&d.Expires))
	if errors.Is(err, errNoRows) {
		return d, false, nil
	}
	return d, err == nil, err
}

// KeepConnectionDocument keeps one as fetched now. It is a cache of a public document: no event is recorded.
func (tx *Tx) KeepConnectionDocument(_ context.Context, c id.Connection, kind, body string, ttl time.Duration) {
	tx.queue(`
		insert into connection_documents (organization, connection, kind, body, fetched, expires)
		values ($1, $2, $3, $4, $5, $6)
		on conflict (organization, connection, kind) do update
		set body = excluded.body, fetched = excluded.fetched, expires = excluded.expires`,
		tx.Organization, c, kind, body, micros(tx.now), micros(tx.now.Add(ttl)))
}

// ClaimFetch takes the right to fetch a document anew out of turn: one node, once in the given time, whether the fetch then
// succeeds or not. Otherwise tokens with made-up key ids would have us fetch as fast as they arrive.
func (tx *Tx) ClaimFetch(ctx context.Context, c id.Connection, kind string, every time.Duration) (bool, error) {
	n, err := tx.exec(ctx, `
		update connection_documents
		set fetched = $1
		where organization = $2 and connection = $3 and kind = $4 and fetched <= $5`,
		micros(tx.now), tx.Organization, c, kind, micros(tx.now.Add(-every)))
	return n > 0, err
}

package store

import (
	"context"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// fromFile marks the rows that an operator's file has declared, where others may have been made by hand beside them.
const fromFile = directory.TokenFromFile

// Declared is everything that operators' files can declare, as the store holds it. Of what can also be made by hand (groups,
// group roles, tokens, domains) it holds only what came from a file.
type Declared struct {
	Permissions   []DeclaredPermission
	Roles         []DeclaredRole
	Exclusive     []DeclaredExclusive
	Organizations []DeclaredOrganization
	CustomRoles   []DeclaredCustomRole
	Resources     []DeclaredResource
	Groups        []DeclaredGroup
	GroupRoles    []DeclaredGroupRole
	Directories   []DeclaredDirectory
	Tokens        []DeclaredToken
	Clients       []DeclaredClient
	Connections   []connection.Connection
	Domains       []DeclaredDomain
	Exceptions    []DeclaredException
	Webhooks      []DeclaredWebhook
	Relationships []DeclaredRelationship
	Applications  []application.Application
}

// DeclaredPermission is a permission at its place in the catalogue.
type DeclaredPermission struct {
	access.Permission
	Position int64
}

// DeclaredRole is a role at its place in the catalogue.
type DeclaredRole struct {
	access.Role
	Position int64
}

// DeclaredExclusive is a set of roles that one person must not hold together.
type DeclaredExclusive struct {
	Roles    []id.Role
	Position int64
}

// DeclaredOrganization is an organization without what belongs to it.
type DeclaredOrganization struct {
	ID        id.Organization
	Name      string
	SeatLimit int64 // 0: no limit
	Settings  Settings
}

// DeclaredResource is a node of an organization's tree.
type DeclaredResource struct {
	Organization id.Organization
	access.Resource
}

// DeclaredGroup is a local group.
type DeclaredGroup struct {
	Organization id.Organization
	ID           id.Group
	Name         string
}

// DeclaredGroupRole gives a group, which may arrive later, a role at a resource.
type DeclaredGroupRole struct {
	Organization id.Organization
	ID           id.GroupRole
	Group        string // a local group's id, or the name of a pushed or claimed one
	Directory    id.Directory
	Role         id.Role
	Resource     id.Resource
}

// DeclaredDirectory is an identity provider that pushes.
type DeclaredDirectory struct {
	Organization id.Organization
	ID           id.Directory
	Name         string
	Dialect      string
	Key          string
	directory.Settings
}

// DeclaredToken is a directory's bearer token.
type DeclaredToken struct {
	Organization id.Organization
	Directory    id.Directory
	ID           string
	Hash         string
	Prefix       string
	Expires      time.Time // zero: never
}

// DeclaredDomain leads addresses to a connection.
type DeclaredDomain struct {
	Domain       string
	Organization id.Organization
	Connection   id.Connection
}

// DeclaredRelationship says that one organization may serve another.
type DeclaredRelationship struct {
	Provider id.Organization
	Client   id.Organization
	access.RelationshipSettings
}

// LockDeclared lets one apply at a time compare and change.
func (tx *SystemTx) LockDeclared(ctx context.Context) { tx.In("").Lock(ctx, "apply") }

// Declared reads everything that files have declared.
func (tx *SystemTx) Declared(ctx context.Context) (*Declared, error) {
	d := &Declared{}
	for _, read := range []func(context.Context, *Declared) error{
		tx.declaredCatalogue, tx.declaredOrganizations, tx.declaredGroups, tx.declaredDirectories, tx.declaredConnections,
		tx.declaredRelationships, tx.declaredExceptions, tx.declaredWebhooks, tx.declaredCustomRoles,
	} {
		if err := read(ctx, d); err != nil {
			return nil, err
		}
	}
	var err error
	d.Applications, err = tx.Applications(ctx)
	return d, err
}

func (tx *SystemTx) declaredCatalogue(ctx context.Context, d *Declared) (err error) {
	d.Permissions, err = collect[DeclaredPermission](tx.query(ctx, `
		select id, name, position
		from permissions
		order by position, id`))(func(s scanner) (p DeclaredPermission, err error) {
		err = s.Scan(&p.ID, &p.Name, &p.Position)
		return p, err
	})
	if err != nil {
		return err
	}
	d.Roles, err = collect[DeclaredRole](tx.query(ctx, `
		select id, name, document, position
		from roles
		order by position, id`))(func(s scanner) (r DeclaredRole, err error) {
		err = s.Scan(&r.ID, &r.Name, decode(&r.Role), &r.Position)
		return r, err
	})
	if err != nil {
		return err
	}
	d.Exclusive, err = collect[DeclaredExclusive](tx.query(ctx, `
		select roles, position
		from exclusive_roles
		order by position`))(func(s scanner) (e DeclaredExclusive, err error) {
		err = s.Scan(decode(&e.Roles), &e.Position)
		return e, err
	})
	return err
}

func (tx *SystemTx) declaredOrganizations(ctx context.Context, d *Declared) (err error) {
	d.Organizations, err = collect[DeclaredOrganization](tx.query(ctx, `
		select organization, name, seat_limit, settings
		from organizations
		order by organization`))(func(s scanner) (o DeclaredOrganization, err error) {
		err = s.Scan(&o.ID, &o.Name, orZero(&o.SeatLimit), decode(&o.Settings))
		return o, err
	})
	if err != nil {
		return err
	}
	d.Resources, err = collect[DeclaredResource](tx.query(ctx, `
		select organization, id, parent, type, name, position
		from resources
		order by organization, position, id`))(func(s scanner) (r DeclaredResource, err error) {
		err = s.Scan(&r.Organization, &r.ID, orEmpty(&r.Parent), &r.Type, &r.Name, &r.Position)
		return r, err
	})
	return err
}

func (tx *SystemTx) declaredGroups(ctx context.Context, d *Declared) (err error) {
	d.Groups, err = collect[DeclaredGroup](tx.query(ctx, `
		select organization, id, display_name
		from groups
		where directory is null
			and connection is null
			and document ->> 'source' = $1
		order by organization, id`, fromFile))(func(s scanner) (g DeclaredGroup, err error) {
		err = s.Scan(&g.Organization, &g.ID, &g.Name)
		return g, err
	})
	if err != nil {
		return err
	}
	d.GroupRoles, err = collect[DeclaredGroupRole](tx.query(ctx, `
		select organization, id, group_name, directory, role, resource
		from group_roles
		where source = $1
		order by organization, id`, MappingDeclared))(func(s scanner) (g DeclaredGroupRole, err error) {
		err = s.Scan(&g.Organization, &g.ID, &g.Group, orEmpty(&g.Directory), &g.Role, &g.Resource)
		return g, err
	})
	return err
}

func (tx *SystemTx) declaredDirectories(ctx context.Context, d *Declared) (err error) {
	d.Directories, err = collect[DeclaredDirectory](tx.query(ctx, `
		select organization, id, name, dialect, match_key, document
		from directories
		order by organization, id`))(func(s scanner) (r DeclaredDirectory, err error) {
		err = s.Scan(&r.Organization, &r.ID, &r.Name, &r.Dialect, &r.Key, decode(&r.Settings))
		return r, err
	})
	if err != nil {
		return err
	}
	d.Tokens, err = collect[DeclaredToken](tx.query(ctx, `
		select organization, directory, id, hash, prefix, expires
		from directory_tokens
		where source = $1
		order by organization, directory, id`, fromFile))(func(s scanner) (t DeclaredToken, err error) {
		err = s.Scan(&t.Organization, &t.Directory, &t.ID, &t.Hash, &t.Prefix, at(&t.Expires))
		return t, err
	})
	if err != nil {
		return err
	}
	return tx.declaredClients(ctx, d)
}

func (tx *SystemTx) declaredConnections(ctx context.Context, d *Declared) (err error) {
	d.Connections, err = collect[connection.Connection](tx.query(ctx, `
		select organization, id, name, protocol, directory, document
		from connections
		where source = $1
		order by organization, id`, fromFile))(func(s scanner) (c connection.Connection, err error) {
		err = s.Scan(&c.Organization, &c.ID, &c.Name, &c.Protocol, orEmpty(&c.Directory), decode(&c.Settings))
		return c, err
	})
	if err != nil {
		return err
	}
	d.Domains, err = collect[DeclaredDomain](tx.query(ctx, `
		select domain, organization, connection
		from domains
		where source = $1
		order by domain`, fromFile))(func(s scanner) (m DeclaredDomain, err error) {
		err = s.Scan(&m.Domain, &m.Organization, &m.Connection)
		return m, err
	})
	return err
}

func (tx *SystemTx) declaredRelationships(ctx context.Context, d *Declared) (err error) {
	d.Relationships, err = collect[DeclaredRelationship](tx.query(ctx, `
		select provider, client, document
		from relationships
		where source = $1
			and approved is not null
		order by provider, client`, fromFile))(func(s scanner) (r DeclaredRelationship, err error) {
		err = s.Scan(&r.Provider, &r.Client, decode(&r.RelationshipSettings))
		return r, err
	})
	return err
}

// The writers below keep to one rule: whoever calls them has checked what they write, records the event and bumps the
// versions.

// PutDeclaredPermission makes a permission or replaces it.
func (tx *SystemTx) PutDeclaredPermission(p DeclaredPermission) {
	tx.queue(`
		insert into permissions (id, name, position)
		values ($1, $2, $3)
		on conflict (id) do update set name = excluded.name, position = excluded.position`, p.ID, p.Name, p.Position)
}

// DropDeclaredPermission takes a permission away, out of custom roles too.
func (tx *SystemTx) DropDeclaredPermission(ctx context.Context, p DeclaredPermission, actor audit.Actor) error {
	tx.queue(`delete from permissions where id = $1`, p.ID)
	return tx.withdrawFromRoles(ctx, actor, "its permission "+string(p.ID)+" is removed", withoutPermission(p.ID))
}

// PutDeclaredRole makes a role or replaces it.
func (tx *SystemTx) PutDeclaredRole(r DeclaredRole) {
	tx.queue(`
		insert into roles (id, name, document, position)
		values ($1, $2, $3, $4)
		on conflict (id) do update set name = excluded.name, document = excluded.document, position = excluded.position`,
		r.ID, r.Name, encode(r.Role), r.Position)
}

// DropDeclaredRole takes a role away, out of custom roles too, and every grant and mapping of it: a role that came back under the same
// id must not find old holders.
func (tx *SystemTx) DropDeclaredRole(ctx context.Context, r DeclaredRole, actor audit.Actor) error {
	users, err := column[id.Organization](tx.query(ctx, `
		select organization
		from grants
		where role = $1
		union
		select organization
		from group_roles
		where role = $1
		order by 1`, r.ID))
	if err != nil {
		return err
	}
	for _, org := range users {
		if err := tx.In(org).noteGone(ctx, actor, "role", string(r.ID), "its role is removed"); err != nil {
			return err
		}
	}
	tx.queue(`delete from grants where role = $1`, r.ID)
	tx.queue(`delete from group_roles where role = $1`, r.ID)
	tx.queue(`delete from roles where id = $1`, r.ID)
	return tx.withdrawFromRoles(ctx, actor, "the role "+string(r.ID)+" is removed", withoutRole(r.ID))
}

// PutDeclaredExclusive makes a set of exclusive roles or replaces the one at its position.
func (tx *SystemTx) PutDeclaredExclusive(e DeclaredExclusive) {
	tx.queue(`
		insert into exclusive_roles (position, roles)
		values ($1, $2)
		on conflict (position) do update set roles = excluded.roles`, e.Position, encode(e.Roles))
}

// DropDeclaredExclusive takes a set of exclusive roles away.
func (tx *SystemTx) DropDeclaredExclusive(e DeclaredExclusive) {
	tx.queue(`delete from exclusive_roles where position = $1`, e.Position)
}

// PutDeclaredOrganization makes an organization or replaces its name, limit and settings.
func (tx *SystemTx) PutDeclaredOrganization(o DeclaredOrganization) {
	tx.queue(`
		insert into organizations (organization, name, seat_limit, settings, flags, version, created)
		values ($1, $2, $3, $4, '{}', 1, $5)
		on conflict (organization) do update set name = excluded.name, seat_limit = excluded.seat_limit,
			settings = excluded.settings`, o.ID, o.Name, orNull(o.SeatLimit), encode(o.Settings), micros(tx.Now()))
}

// DropDeclaredOrganization takes an organization away with everyone and everything in it; its audit events stay.
func (tx *SystemTx) DropDeclaredOrganization(o DeclaredOrganization) {
	tx.In(o.ID).alone()
	tx.queue(`delete from domains where organization = $1`, o.ID)
	tx.queue(`delete from attempts where organization = $1`, o.ID)
	tx.queue(`delete from relationships where provider = $1 or client = $1`, o.ID)
	for _, given := range []string{"grants", "restrictions"} {
		tx.queue(`
			delete from `+given+`
			where exists (
				select 1
				from provider_users g
				where g.home = $1
					and g.organization = `+given+`.organization
					and g.user_id = `+given+`.user_id)`, o.ID)
	}
	tx.queue(`delete from provider_users where home = $1`, o.ID)
	tx.queue(`delete from organizations where organization = $1`, o.ID)
}

// PutDeclaredResource makes a resource or replaces it.
func (tx *SystemTx) PutDeclaredResource(r DeclaredResource) {
	tx.queue(`
		insert into resources (organization, id, parent, type, name, position, created)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (organization, id) do update set parent = excluded.parent, type = excluded.type, name = excluded.name,
			position = excluded.position`,
		r.Organization, r.ID, orNull(r.Parent), r.Type, r.Name, r.Position, micros(tx.Now()))
}

// DropDeclaredResource takes a resource away, with everything that was given or taken away at it.
func (tx *SystemTx) DropDeclaredResource(ctx context.Context, r DeclaredResource, actor audit.Actor) error {
	if err := tx.In(r.Organization).noteGone(ctx, actor, "resource", string(r.ID), "its resource is removed"); err != nil {
		return err
	}
	for _, table := range []string{"grants", "group_roles", "restrictions"} {
		tx.queue(`delete from `+table+` where organization = $1 and resource = $2`, r.Organization, r.ID)
	}
	tx.queue(`delete from resources where organization = $1 and id = $2`, r.Organization, r.ID)
	return nil
}

// PutDeclaredGroup makes a local group or renames it.
func (tx *SystemTx) PutDeclaredGroup(g DeclaredGroup) {
	tx.queue(`
		insert into groups (organization, id, display_name, display_name_key, document, folded, version, created, modified)
		values ($1, $2, $3, $4, $5, '{}', 1, $6, $6)
		on conflict (organization, id) do update set display_name = excluded.display_name,
			display_name_key = excluded.display_name_key, document = excluded.document, version = groups.version + 1,
			modified = excluded.modified`,
		g.Organization, g.ID, g.Name, scim.Fold(g.Name), encode(map[string]string{"source": fromFile}), micros(tx.Now()))
}

// DropDeclaredGroup takes a local group away with its memberships and what was given to it; a mapping that named it waits
// for another.
func (tx *SystemTx) DropDeclaredGroup(ctx context.Context, g DeclaredGroup, actor audit.Actor) error {
	in := tx.In(g.Organization)
	if err := in.dropGroup(ctx, actor, g.ID); err != nil {
		return err
	}
	return in.BindGroupRoles(ctx, actor, g.ID)
}

// PutDeclaredGroupRole makes a mapping. It is bound to its group afterwards, or when the group arrives.
func (tx *SystemTx) PutDeclaredGroupRole(g DeclaredGroupRole) {
	tx.queue(`
		insert into group_roles (organization, id, group_name, group_name_key, directory, role, resource, source, granted_by, created)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		on conflict (organization, id) do update set group_name = excluded.group_name`,
		g.Organization, g.ID, g.Group, scim.Fold(g.Group), orNull(g.Directory), g.Role, g.Resource, MappingDeclared, "apply", micros(tx.Now()))
}

// DropDeclaredGroupRole takes a mapping away.
func (tx *SystemTx) DropDeclaredGroupRole(g DeclaredGroupRole) {
	tx.queue(`delete from group_roles where organization = $1 and id = $2`, g.Organization, g.ID)
}

// PutDeclaredDirectory makes a directory or replaces its settings. WithdrawRoles follows where it may give less than before.
func (tx *SystemTx) PutDeclaredDirectory(d DeclaredDirectory) {
	tx.queue(`
		insert into directories (organization, id, name, dialect, match_key, document, version, created)
		values ($1, $2, $3, $4, $5, $6, 1, $7)
		on conflict (organization, id) do update set name = excluded.name, dialect = excluded.dialect,
			match_key = excluded.match_key, document = excluded.document, version = directories.version + 1`,
		d.Organization, d.ID, d.Name, d.Dialect, d.Key, encode(d.Settings), micros(tx.Now()))
}

// DropDeclaredDirectory takes a directory away with its tokens, its records and the groups it pushed. Whoever rested on a
// record of it alone is deleted with it, as if the directory had deleted them one by one.
func (tx *SystemTx) DropDeclaredDirectory(ctx context.Context, d DeclaredDirectory, actor audit.Actor) error {
	in := tx.In(d.Organization)
	in.alone()
	groups, err := column[id.Group](in.query(ctx, `
		select id
		from groups
		where organization = $1
			and directory = $2`, d.Organization, d.ID))
	if err != nil {
		return err
	}
	users, err := column[id.User](in.query(ctx, `
		select user_id
		from directory_records
		where organization = $1
			and directory = $2`, d.Organization, d.ID))
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := in.dropGroup(ctx, actor, g); err != nil {
			return err
		}
		if err := in.BindGroupRoles(ctx, actor, g); err != nil {
			return err
		}
	}
	in.queue(`delete from directories where organization = $1 and id = $2`, d.Organization, d.ID)
	for _, user := range users {
		if err := in.withoutRecord(ctx, user, actor); err != nil {
			return err
		}
	}
	return nil
}

// withoutRecord gives a user that has just lost a record the status its other sources leave it.
func (tx *Tx) withoutRecord(ctx context.Context, user id.User, actor audit.Actor) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	next, err := tx.statusOf(ctx, u, !u.SuspendedAt.IsZero())
	if err != nil || next == u.Status {
		return err
	}
	if err := tx.transition(ctx, u, next, actor); err != nil {
		return err
	}
	if next == directory.Deleted {
		tx.bury(u)
	}
	tx.recordUser(ctx, actor, "user."+string(next), u, status(u.Status), status(next), "its directory was removed")
	return nil
}

// PutDeclaredToken makes a directory's token or replaces it.
func (tx *SystemTx) PutDeclaredToken(t DeclaredToken) {
	tx.queue(`
		insert into directory_tokens (organization, directory, id, hash, prefix, source, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (organization, directory, id) do update set hash = excluded.hash, prefix = excluded.prefix,
			source = excluded.source, expires = excluded.expires`,
		t.Organization, t.Directory, t.ID, t.Hash, t.Prefix, fromFile, micros(tx.Now()), microsOrNull(t.Expires))
}

// DropDeclaredToken takes a directory's token away.
func (tx *SystemTx) DropDeclaredToken(t DeclaredToken) {
	tx.queue(`delete from directory_tokens where organization = $1 and directory = $2 and id = $3`, t.Organization, t.Directory, t.ID)
}

// PutDeclaredConnection makes a connection or replaces it, and forgets what was fetched for the one it was. A SAML provider's
// metadata stays: an administrator approved it, and its kind says for which settings.
func (tx *SystemTx) PutDeclaredConnection(c connection.Connection) {
	tx.queue(`
		insert into connections (organization, id, name, protocol, directory, document, version, created, source)
		values ($1, $2, $3, $4, $5, $6, 1, $7, $8)
		on conflict (organization, id) do update set name = excluded.name, protocol = excluded.protocol,
			directory = excluded.directory, document = excluded.document, version = connections.version + 1, source = excluded.source`,
		c.Organization, c.ID, c.Name, c.Protocol, orNull(c.Directory), encode(c.Settings), micros(tx.Now()), fromFile)
	tx.queue(`delete from connection_documents where organization = $1 and connection = $2 and kind not like 'saml-%'`, c.Organization, c.ID)
}

// DropDeclaredConnection takes a connection away with its domains; the identities it made stay, and mean nothing without it.
func (tx *SystemTx) DropDeclaredConnection(c connection.Connection) {
	tx.queue(`delete from domains where organization = $1 and connection = $2 and source = $3`, c.Organization, c.ID, fromFile)
	tx.queue(`delete from connections where organization = $1 and id = $2`, c.Organization, c.ID)
}

// PutDeclaredDomain leads a domain to a connection; the operator's word proves it.
func (tx *SystemTx) PutDeclaredDomain(d DeclaredDomain) {
	tx.queue(`
		insert into domains (domain, organization, connection, verified, source)
		values ($1, $2, $3, $4, $5)
		on conflict (domain) do update set organization = excluded.organization, connection = excluded.connection,
			verified = excluded.verified, source = excluded.source`,
		d.Domain, d.Organization, d.Connection, micros(tx.Now()), fromFile)
}

// DropDeclaredDomain leads a domain nowhere.
func (tx *SystemTx) DropDeclaredDomain(d DeclaredDomain) {
	tx.queue(`delete from domains where domain = $1 and source = $2`, d.Domain, fromFile)
}

// PutDeclaredRelationship makes a provider relationship or replaces its terms. An operator's file speaks for both sides: what it
// declares is approved.
func (tx *SystemTx) PutDeclaredRelationship(ctx context.Context, r DeclaredRelationship, actor audit.Actor) error {
	in := tx.In(r.Client)
	in.lockRelationship(r.Provider, r.Client)
	before, err := in.Relationship(ctx, r.Provider, r.Client)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	now := Relationship{Provider: r.Provider, Client: r.Client, Terms: r.RelationshipSettings, Approved: before.Approved, Source: fromFile}
	action := "provider.changed"
	if !before.InForce(tx.now) {
		now.Approved, action = tx.now.UTC().Truncate(time.Microsecond), "provider.approved"
		if err := in.endServing(ctx, r.Provider, r.Client); err != nil {
			return err
		}
	}
	if err := in.putRelationship(ctx, now); err != nil {
		return err
	}
	if now, err = in.Relationship(ctx, r.Provider, r.Client); err != nil {
		return err
	}
	e := audit.Event{Actor: actor, Action: action, After: now.record()}
	if before.Provider != "" {
		e.Before = before.record()
	}
	return in.recordBoth(ctx, now, e)
}

// DropDeclaredRelationship cuts a provider relationship.
func (tx *SystemTx) DropDeclaredRelationship(ctx context.Context, r DeclaredRelationship, actor audit.Actor) error {
	err := tx.In(r.Client).Cut(ctx, actor, r.Provider, r.Client, "no longer in the file")
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

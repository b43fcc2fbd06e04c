package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// factsQuery reads everything that access depends on in one statement, the versions of what is cached among it, so that
// asking costs one round trip and is never answered from an older catalogue or tree than the rest. It asks about one user, or about
// all those of a JSON array.
//
// The walk up the groups remembers edges, not groups: a loop of groups ends because a set of pairs does, and the edges are
// the path that a reason shows. Each step looks up its memberships in an index, and so do the few groups what they give,
// whatever the planners believe of the tables: or all memberships of the organization would be read at each sign-in.
func factsQuery(d dialect, many bool) string {
	few := d.amongFew("group_id", "select id from mine")
	asked := func(column string) string { return column + " = $2" }
	memberships := `from group_members m
		where m.organization = $1
			and m.member_id = $2`
	if many {
		memberships = "from (" + d.elements("$2") + `) asked
		` + d.each("group_members m", "m.group_id, m.member_id", `m.organization = $1
			and m.member_id = asked.value`)
		asked = func(column string) string { return d.amongFew(column, d.elements("$2")) }
	}
	return `
	with recursive mine (id, member) as (
		select m.group_id, m.member_id
		` + memberships + `
		union
		select m.group_id, m.member_id
		from mine
		` + d.each("group_members m", "m.group_id, m.member_id", `m.organization = $1
			and m.member_id = mine.id`) + `
	)
	select 'configuration' as kind, '' as id, '' as a, '' as b, '' as c, '' as d, '' as e, '' as f,
		version as x, 0 as y, 0 as z
	from versions
	where name = 'configuration'
	union all
	select 'organization', '', '', '', '', '', '', '', version, created, 0
	from organizations
	where organization = $1
	union all
	select 'user', id, case when display_name <> '' then display_name else user_name end, status, '', '', '', '',
		case when seated then 1 else 0 end, case when custom_access then 1 else 0 end, 0
	from users
	where organization = $1
		and ` + asked("id") + `
	union all
	select 'group', g.id, g.display_name, mine.member, '', '', '', '', 0, 0, 0
	from mine
	` + d.each("groups g", "g.id, g.display_name", `g.organization = $1
		and g.id = mine.id`) + `
	union all
	select 'grant', id, user_id, '', role, resource, source, granted_by_name,
		created, coalesce(starts, 0), coalesce(expires, 0)
	from grants
	where organization = $1
		and ` + asked("user_id") + `
	union all
	select 'grant', id, '', group_id, role, resource, source, granted_by_name,
		created, coalesce(starts, 0), coalesce(expires, 0)
	from grants
	where organization = $1
		and ` + few + `
	union all
	select 'mapping', id, '', group_id, role, resource, '', '', 0, 0, 0
	from group_roles
	where organization = $1
		and ` + few + `
	union all
	select 'restriction', id, user_id, '', '', resource, cast(actions as text), reason, 0, 0, 0
	from restrictions
	where organization = $1
		and ` + asked("user_id") + `
	union all
	select 'restriction', id, '', group_id, '', resource, cast(actions as text), reason, 0, 0, 0
	from restrictions
	where organization = $1
		and ` + few
}

var factsQueries, manyFactsQueries = sync.OnceValue(func() map[dialect]string {
	return map[dialect]string{sqliteDialect: factsQuery(sqliteDialect, false), postgresDialect: factsQuery(postgresDialect, false)}
}), sync.OnceValue(func() map[dialect]string {
	return map[dialect]string{sqliteDialect: factsQuery(sqliteDialect, true), postgresDialect: factsQuery(postgresDialect, true)}
})

// factRows is what factsQuery reads.
type factRows struct {
	catalogueVersion int64
	organization     edition
	users            map[id.User]access.User
	groups           map[id.Group]string
	in               map[string][]id.Group // which groups a member is in directly
	grants           []access.Grant
	mappings         []access.Mapping
	restrictions     []access.Restriction
}

// readFacts runs a factsQuery.
func (tx *Tx) readFacts(ctx context.Context, query string, asked any) (*factRows, error) {
	f := &factRows{users: map[id.User]access.User{}, groups: map[id.Group]string{}, in: map[string][]id.Group{}}
	_, err := collect[struct{}](tx.query(ctx, query, tx.Organization, asked))(func(s scanner) (none struct{}, err error) {
		var kind, rowID, a, b, c, d, e, g string
		var x, y, z int64
		if err := s.Scan(&kind, &rowID, &a, &b, &c, &d, &e, &g, &x, &y, &z); err != nil {
			return none, err
		}
		switch kind {
		case "configuration":
			f.catalogueVersion = x
		case "organization":
			f.organization = edition{x, y}
		case "user":
			f.users[id.User(rowID)] = access.User{
				ID: id.User(rowID), Name: a, Home: tx.Organization, Status: b, Seated: x == 1, CustomAccess: y == 1, MFA: true,
			}
		case "group":
			f.groups[id.Group(rowID)] = a
			f.in[b] = append(f.in[b], id.Group(rowID))
		case "grant":
			f.grants = append(f.grants, access.Grant{
				ID: id.Grant(rowID), User: id.User(a), Group: id.Group(b), Role: id.Role(c), Resource: id.Resource(d),
				Source: access.Source(e), By: g, Created: fromMicros(x), Starts: momentOf(y), Expires: momentOf(z),
			})
		case "mapping":
			f.mappings = append(f.mappings, access.Mapping{
				ID: id.GroupRole(rowID), Group: id.Group(b), Role: id.Role(c), Resource: id.Resource(d),
			})
		case "restriction":
			r := access.Restriction{
				ID: id.Restriction(rowID), User: id.User(a), Group: id.Group(b), Resource: id.Resource(d), Reason: g,
			}
			if err := json.Unmarshal([]byte(e), &r.Actions); err != nil {
				return none, fmt.Errorf("restriction %s: %w", rowID, err)
			}
			f.restrictions = append(f.restrictions, r)
		}
		return none, nil
	})
	return f, err
}

// of gives what of it is about one user.
func (f *factRows) of(user id.User) *access.Facts {
	out := &access.Facts{User: f.users[user]}
	places := map[id.Group]int{}
	walk := func(member string, step func(*access.Group)) {
		for _, g := range f.in[member] {
			at, seen := places[g]
			if !seen {
				at = len(out.Groups)
				places[g] = at
				out.Groups = append(out.Groups, access.Group{ID: g, Name: f.groups[g]})
			}
			step(&out.Groups[at])
		}
	}
	walk(string(user), func(g *access.Group) { g.Direct = true })
	for i := 0; i < len(out.Groups); i++ {
		through := out.Groups[i].ID
		walk(string(through), func(g *access.Group) { g.Through = append(g.Through, through) })
	}
	about := func(of id.User, group id.Group) bool {
		_, in := places[group]
		return in || of == user
	}
	for _, g := range f.grants {
		if about(g.User, g.Group) {
			out.Grants = append(out.Grants, g)
		}
	}
	for _, m := range f.mappings {
		if about("", m.Group) {
			out.Mappings = append(out.Mappings, m)
		}
	}
	for _, r := range f.restrictions {
		if about(r.User, r.Group) {
			out.Restrictions = append(out.Restrictions, r)
		}
	}
	return out
}

// AccessFacts loads what access.Decide looks at for one user, in one statement; for a provider's user, in two. A fault of kind NotFound
// where neither the organization nor a provider of it has such a user.
func (tx *Tx) AccessFacts(ctx context.Context, user id.User) (*access.Facts, error) {
	facts, err := tx.accessFacts(ctx, factsQueries()[tx.d], user, user)
	if err == nil && facts[user] == nil {
		err = fault.New(fault.NotFound, "There is no user %q in this organization.", user)
	}
	return facts[user], err
}

// AccessFactsOf does the same for many users at once, in no more statements. Whoever is not found is left out.
func (tx *Tx) AccessFactsOf(ctx context.Context, users []id.User) (map[id.User]*access.Facts, error) {
	if len(users) == 0 {
		return nil, nil
	}
	return tx.accessFacts(ctx, manyFactsQueries()[tx.d], encode(users), users...)
}

func (tx *Tx) accessFacts(ctx context.Context, query string, asked any, users ...id.User) (map[id.User]*access.Facts, error) {
	rows, err := tx.readFacts(ctx, query, asked)
	if err != nil {
		return nil, fmt.Errorf("read the access of user %s: %w", users[0], err)
	}
	out := make(map[id.User]*access.Facts, len(users))
	var strangers []id.User
	for _, user := range users {
		if out[user] = rows.of(user); out[user].User.ID == "" {
			strangers = append(strangers, user)
		}
	}
	if err := tx.providerFacts(ctx, out, strangers); err != nil {
		return nil, err
	}
	maps.DeleteFunc(out, func(_ id.User, f *access.Facts) bool { return f.User.ID == "" })
	if len(out) == 0 {
		return out, nil
	}
	operators, err := tx.catalogueAt(ctx, rows.catalogueVersion)
	if err != nil {
		return nil, err
	}
	self, err := tx.organizationAt(ctx, rows.organization)
	if err != nil {
		return nil, err
	}
	catalogue := self.catalogue(operators)
	for _, f := range out {
		f.Catalogue, f.Organization, f.Tree = catalogue, self.Access(), self.Tree
	}
	return out, nil
}

// Access is what a user may do in the transaction's organization, and why, once everything that is demanded of them was shown: what
// administrators look at. What a session or a token may do is AccessIn.
func (tx *Tx) Access(ctx context.Context, user id.User) (*access.Effective, error) {
	f, err := tx.AccessFacts(ctx, user)
	if err != nil {
		return nil, err
	}
	return access.Decide(f, tx.now), nil
}

// AccessOf is Access of many users at once.
func (tx *Tx) AccessOf(ctx context.Context, users []id.User) (map[id.User]*access.Effective, error) {
	facts, err := tx.AccessFactsOf(ctx, users)
	if err != nil {
		return nil, err
	}
	out := make(map[id.User]*access.Effective, len(facts))
	for user, f := range facts {
		out[user] = access.Decide(f, tx.now)
	}
	return out, nil
}

// momentOf gives the time of stored microseconds, 0 as the zero time.
func momentOf(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return fromMicros(n)
}

// ground gives the facts of an organization without a user: what rules about roles and resources look at.
func (tx *Tx) ground(ctx context.Context) (*access.Facts, error) {
	catalogue, self, err := tx.configuration(ctx)
	if err != nil {
		return nil, err
	}
	if self == nil {
		return nil, noOrganization(tx.Organization)
	}
	return &access.Facts{Catalogue: catalogue, Organization: self.Access(), Tree: self.Tree}, nil
}

// Ground is ground for those who show the rules.
func (tx *Tx) Ground(ctx context.Context) (*access.Facts, error) { return tx.ground(ctx) }

// Giver gives what an actor may give in the transaction's organization: an operator everything, a user of it what its own
// access allows. Nobody else gives roles: what a directory or a connection brings is bounded by mappings that people made.
func (tx *Tx) Giver(ctx context.Context, actor audit.Actor) (access.Giver, error) {
	switch {
	case actor.Kind == audit.ActorOperator:
		return access.Giver{Operator: true}, nil
	case actor.Kind == audit.ActorUser && actor.Organization == tx.Organization:
		e, err := tx.AccessIn(ctx, id.User(actor.ID), actor.AMR)
		if fault.KindOf(err) == fault.NotFound {
			break
		}
		return access.Giver{Access: e}, err
	}
	return access.Giver{}, fault.New(fault.Forbidden, "Roles of this organization are given by its own users and by operators.").
		WithCode(access.CodeCeiling)
}

// accessLock makes everything that a rule over several people's access depends on happen one after the other.
const accessLock = "access"

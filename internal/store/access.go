package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// factsQuery reads everything that access depends on in one statement, the versions of what is cached among it, so that
// asking costs one round trip and is never answered from an older catalogue or tree than the rest.
//
// The walk up the groups remembers edges, not groups: a loop of groups ends because a set of pairs does, and the edges are
// the path that a reason shows. Each step looks up its memberships in an index, and so do the few groups what they give,
// whatever the planners believe of the tables: or all memberships of the organization would be read at each sign-in.
func factsQuery(d dialect) string {
	few := d.amongFew("group_id", "select id from mine")
	return `
	with recursive mine (id, member) as (
		select m.group_id, m.member_id
		from group_members m
		where m.organization = $1
			and m.member_id = $2
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
		and id = $2
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
		and user_id = $2
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
		and user_id = $2
	union all
	select 'restriction', id, '', group_id, '', resource, cast(actions as text), reason, 0, 0, 0
	from restrictions
	where organization = $1
		and ` + few
}

var factsQueries = sync.OnceValue(func() map[dialect]string {
	return map[dialect]string{sqliteDialect: factsQuery(sqliteDialect), postgresDialect: factsQuery(postgresDialect)}
})

// AccessFacts loads what access.Decide looks at for one user, in one statement; for a provider's user, in two. A fault of kind NotFound
// where neither the organization nor a provider of it has such a user.
func (tx *Tx) AccessFacts(ctx context.Context, user id.User) (*access.Facts, error) {
	var catalogueVersion int64
	var ofOrganization edition
	f := &access.Facts{}
	groups := map[id.Group]int{}
	_, err := collect[struct{}](tx.query(ctx, factsQueries()[tx.d], tx.Organization, user))(func(s scanner) (none struct{}, err error) {
		var kind, rowID, a, b, c, d, e, g string
		var x, y, z int64
		if err := s.Scan(&kind, &rowID, &a, &b, &c, &d, &e, &g, &x, &y, &z); err != nil {
			return none, err
		}
		switch kind {
		case "configuration":
			catalogueVersion = x
		case "organization":
			ofOrganization = edition{x, y}
		case "user":
			f.User = access.User{
				ID: id.User(rowID), Name: a, Home: tx.Organization, Status: b, Seated: x == 1, CustomAccess: y == 1, MFA: true,
			}
		case "group":
			at, seen := groups[id.Group(rowID)]
			if !seen {
				at = len(f.Groups)
				groups[id.Group(rowID)] = at
				f.Groups = append(f.Groups, access.Group{ID: id.Group(rowID), Name: a})
			}
			if b == string(user) {
				f.Groups[at].Direct = true
			} else {
				f.Groups[at].Through = append(f.Groups[at].Through, id.Group(b))
			}
		case "grant":
			f.Grants = append(f.Grants, access.Grant{
				ID: id.Grant(rowID), User: id.User(a), Group: id.Group(b), Role: id.Role(c), Resource: id.Resource(d),
				Source: access.Source(e), By: g, Created: fromMicros(x), Starts: momentOf(y), Expires: momentOf(z),
			})
		case "mapping":
			f.Mappings = append(f.Mappings, access.Mapping{
				ID: id.GroupRole(rowID), Group: id.Group(b), Role: id.Role(c), Resource: id.Resource(d),
			})
		case "restriction":
			r := access.Restriction{
				ID: id.Restriction(rowID), User: id.User(a), Group: id.Group(b), Resource: id.Resource(d), Reason: g,
			}
			if err := json.Unmarshal([]byte(e), &r.Actions); err != nil {
				return none, fmt.Errorf("restriction %s: %w", rowID, err)
			}
			f.Restrictions = append(f.Restrictions, r)
		}
		return none, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the access of user %s: %w", user, err)
	}
	if f.User.ID == "" {
		if theirs, err := tx.providerFacts(ctx, f, user); err != nil {
			return nil, err
		} else if !theirs {
			return nil, fault.New(fault.NotFound, "There is no user %q in this organization.", user)
		}
	}
	operators, err := tx.catalogueAt(ctx, catalogueVersion)
	if err != nil {
		return nil, err
	}
	self, err := tx.organizationAt(ctx, ofOrganization)
	if err != nil {
		return nil, err
	}
	f.Catalogue, f.Organization, f.Tree = self.catalogue(operators), self.Access(), self.Tree
	return f, nil
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

package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
)

// RoleUse says where a role is in use by its own name, whatever includes it.
type RoleUse struct {
	People      []string // to whom it was given, and is not over; a provider's people by their id
	Invited     []string // who are invited with it
	Groups      []string
	Mappings    []string // names of mapped groups
	Default     string   // the organization, where it is one of its default roles
	Directories []string // that may give it by what they push
	Roles       []string // custom roles that include it, or let their holders give it
	PeopleMore  int      // beyond those that are named, in all
	InvitedMore int
}

// namedUses bounds how many are named of those to whom a role was given: more make a refusal no clearer.
const namedUses = 5

// Sentences says it, each use as a part of a sentence; none for a role that is in use nowhere.
func (u RoleUse) Sentences() []string {
	var out []string
	say := func(what string, names []string, more int) {
		if len(names) == 0 {
			return
		}
		line := what
		for i, name := range names {
			switch {
			case i == 0:
				line += " " + name
			case i == len(names)-1 && more == 0:
				line += " and " + name
			default:
				line += ", " + name
			}
		}
		if more > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, line)
	}
	say("given to", u.People, u.PeopleMore)
	say("invited with it:", u.Invited, u.InvitedMore)
	say("given to the group", u.Groups, 0)
	say("mapped to the group", u.Mappings, 0)
	if u.Default != "" {
		out = append(out, "a default role of "+u.Default)
	}
	say("given by the directory", u.Directories, 0)
	say("named in the custom role", u.Roles, 0)
	return out
}

// RoleUse looks where a role is in use.
func (tx *Tx) RoleUse(ctx context.Context, role id.Role) (RoleUse, error) {
	var u RoleUse
	ground, err := tx.ground(ctx)
	if err != nil {
		return u, err
	}
	_, err = collect[struct{}](tx.query(ctx, `
		select case when g.group_id is not null then 'group' when u.status = 'pending' then 'invited' else 'user' end as kind,
			coalesce(n.display_name, u.display_name, ''), coalesce(u.user_name, g.user_id, g.group_id)
		from grants g
		left join users u on u.organization = g.organization and u.id = g.user_id
		left join groups n on n.organization = g.organization and n.id = g.group_id
		where g.organization = $1
			and g.role = $2
			and (g.expires is null or g.expires > $3)
			and (u.status is null or u.status <> 'deleted')
		union
		select 'mapping', group_name, id
		from group_roles
		where organization = $1
			and role = $2
		order by 1, 2, 3`, tx.Organization, role, micros(tx.now)))(func(s scanner) (none struct{}, err error) {
		var kind, name, otherwise string
		if err := s.Scan(&kind, &name, &otherwise); err != nil {
			return none, err
		}
		if name == "" {
			name = otherwise
		}
		switch kind {
		case "group":
			u.Groups = append(u.Groups, name)
		case "mapping":
			u.Mappings = append(u.Mappings, name)
		case "invited":
			if u.Invited = append(u.Invited, name); len(u.Invited) > namedUses {
				u.Invited, u.InvitedMore = u.Invited[:namedUses], u.InvitedMore+1
			}
		default:
			if u.People = append(u.People, name); len(u.People) > namedUses {
				u.People, u.PeopleMore = u.People[:namedUses], u.PeopleMore+1
			}
		}
		return none, nil
	})
	if err != nil {
		return u, fmt.Errorf("look where the role %s is in use: %w", role, err)
	}
	if slices.ContainsFunc(ground.Organization.DefaultRoles, func(d access.RoleAt) bool { return d.Role == role }) {
		u.Default = ground.Organization.Name
	}
	for _, r := range ground.Catalogue.Customs() {
		if r.ID != role && (slices.Contains(r.Includes, role) || slices.Contains(r.MayGrant, role)) {
			u.Roles = append(u.Roles, r.Name)
		}
	}
	directories, err := tx.Directories(ctx)
	if err != nil {
		return u, err
	}
	for _, d := range directories {
		for _, r := range d.Roles.Accept {
			if r.Role == role && !slices.Contains(u.Directories, d.Name) {
				u.Directories = append(u.Directories, d.Name)
			}
		}
	}
	return u, nil
}

// rolesInUse gives those of some roles that anybody has, or is to have by a mapping or a default.
func (tx *Tx) rolesInUse(ctx context.Context, ground *access.Facts, roles []id.Role) ([]id.Role, error) {
	args := arguments{tx.Organization, micros(tx.now)}
	which := in("g.role", roles, args.add)
	used, err := column[id.Role](tx.query(ctx, `
		select g.role
		from grants g
		left join users u on u.organization = g.organization and u.id = g.user_id
		where g.organization = $1
			and (g.expires is null or g.expires > $2)
			and (u.status is null or u.status <> 'deleted')
			and `+which+`
		union
		select g.role
		from group_roles g
		where g.organization = $1
			and `+which+`
		order by 1`, args...))
	if err != nil {
		return nil, fmt.Errorf("look which roles are in use: %w", err)
	}
	for _, d := range ground.Organization.DefaultRoles {
		if slices.Contains(roles, d.Role) && !slices.Contains(used, d.Role) {
			used = append(used, d.Role)
		}
	}
	return used, nil
}

// having is a subquery of the ids of those to whom one of some roles was given and is not over, themselves or by a group they are in,
// a provider's people among them; defaults are no part of it. Unlike given, which is a condition on users, it begins with what was given, and
// so costs what its holders cost, however many others there are.
func (tx *Tx) having(roles []id.Role, add func(any) string) string {
	organization, now := add(tx.Organization), add(micros(tx.now))
	which := in("g.role", roles, add)
	return `
			with recursive bearing (id) as (
				select g.group_id
				from grants g
				where g.organization = ` + organization + `
					and g.group_id is not null
					and (g.expires is null or g.expires > ` + now + `)
					and ` + which + `
				union
				select g.group_id
				from group_roles g
				where g.organization = ` + organization + `
					and g.group_id is not null
					and ` + which + `
				union
				select m.member_id
				from bearing
				` + tx.d.each("group_members m", "m.member_id", `m.organization = `+organization+`
					and m.group_id = bearing.id
					and m.kind = 'group'`) + `
			)
			select g.user_id as id
			from grants g
			where g.organization = ` + organization + `
				and g.user_id is not null
				and (g.expires is null or g.expires > ` + now + `)
				and ` + which + `
			union
			select m.member_id
			from bearing
			cross join group_members m
			where m.organization = ` + organization + `
				and m.group_id = bearing.id
				and m.kind = 'user'`
}

// byDefault reports whether everybody has one of some roles who was not switched to custom access.
func byDefault(ground *access.Facts, roles []id.Role) bool {
	return slices.ContainsFunc(ground.Organization.DefaultRoles, func(d access.RoleAt) bool { return slices.Contains(roles, d.Role) })
}

// CountPeople counts those who have a role, itself or by another that includes it, by whatever way: what a change of it reaches.
func (tx *Tx) CountPeople(ctx context.Context, role id.Role) (n int64, err error) {
	ground, err := tx.ground(ctx)
	if err != nil {
		return 0, err
	}
	roles := ground.Catalogue.Carriers(role)
	args := arguments{tx.Organization}
	having, everybody, besides := tx.having(roles, args.add), "0", ""
	if byDefault(ground, roles) {
		besides = " and u.custom_access = true"
		everybody = `(
				select count(*)
				from users u
				where u.organization = $1
					and u.status <> 'deleted'
					and u.custom_access = false)`
	}
	err = tx.queryRow(ctx, `
		select count(*) + `+everybody+`
		from (`+having+`) h
		left join users u on u.organization = $1
			and u.id = h.id
		where u.id is null
			or u.status <> 'deleted'`+besides, args...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count who has the role %s: %w", role, err)
	}
	return n, nil
}

// peopleWith lists those who have one of some roles, by whatever way, by id.
func (tx *Tx) peopleWith(ctx context.Context, roles []id.Role) ([]id.User, error) {
	ground, err := tx.ground(ctx)
	if err != nil {
		return nil, err
	}
	args := arguments{tx.Organization}
	having, everybody := tx.having(roles, args.add), ""
	if byDefault(ground, roles) {
		everybody = `
		union
		select u.id
		from users u
		where u.organization = $1
			and u.status <> 'deleted'
			and u.custom_access = false`
	}
	people, err := column[id.User](tx.query(ctx, `
		select h.id
		from (`+having+`) h
		left join users u on u.organization = $1
			and u.id = h.id
		where u.id is null
			or u.status <> 'deleted'`+everybody+`
		order by 1`, args...))
	if err != nil {
		return nil, fmt.Errorf("list who has a role: %w", err)
	}
	return people, nil
}

// meeting lists those who have one of some roles and one of others that exclude it, and could hold them so far: whose roles collide
// already wait for a decision, and that is no reason to refuse another.
func (tx *Tx) meeting(ctx context.Context, roles, excluded []id.Role) ([]id.User, error) {
	with, err := tx.peopleWith(ctx, roles)
	if err != nil || len(excluded) == 0 {
		return nil, err
	}
	against, err := tx.peopleWith(ctx, excluded)
	if err != nil {
		return nil, err
	}
	var out []id.User
	for _, u := range with {
		if _, both := slices.BinarySearch(against, u); !both {
			continue
		}
		e, err := tx.Access(ctx, u)
		if err != nil {
			return nil, err
		}
		if access.Exclusive(e) == nil {
			out = append(out, u)
		}
	}
	return out, nil
}

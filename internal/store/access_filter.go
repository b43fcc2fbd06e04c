package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
)

// arguments collects the values of a statement and gives each its placeholder.
type arguments []any

func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprintf("$%d", len(*a))
}

// in gives "column in (...)", which is false for no values at all.
func in[T ~string](column string, values []T, add func(any) string) string {
	if len(values) == 0 {
		return "1 = 0"
	}
	list := ""
	for i, v := range values {
		if i > 0 {
			list += ", "
		}
		list += add(v)
	}
	return column + " in (" + list + ")"
}

// given is a condition on users u: that one of the roles (nil: any) was given to the user at one of the resources (nil:
// anywhere) by a grant or a mapping that is not over, its own or of a group it is in, however deep. Defaults are no part of
// it. It says what was given; what of it is in force, access.Decide says.
//
// Groups are walked from those that bear a role down to the groups within them, over the pairs of nested groups alone, so
// that the members of a large group are never walked; the user is then looked up by its own memberships.
func (tx *Tx) given(roles []id.Role, resources []id.Resource, add func(any) string) string {
	organization, now := add(tx.Organization), add(micros(tx.now))
	which := ""
	if roles != nil {
		which += "\n\t\t\t\t\tand " + in("g.role", roles, add)
	}
	if resources != nil {
		which += "\n\t\t\t\t\tand " + in("g.resource", resources, add)
	}
	return `(exists (
				select 1
				from grants g
				where g.organization = ` + organization + `
					and g.user_id = u.id
					and (g.expires is null or g.expires > ` + now + `)` + which + `)
			or exists (
				select 1
				from group_members m
				where m.organization = ` + organization + `
					and m.member_id = u.id
					and m.group_id in (
						with recursive nested (outer_id, inner_id) as (
							select m.group_id, m.member_id
							from groups g
							cross join group_members m
							where g.organization = ` + organization + `
								and m.organization = ` + organization + `
								and m.member_id = g.id
						), bearing (id) as (
							select g.group_id
							from grants g
							where g.organization = ` + organization + `
								and g.group_id is not null
								and (g.expires is null or g.expires > ` + now + `)` + which + `
							union
							select g.group_id
							from group_roles g
							where g.organization = ` + organization + `
								and g.group_id is not null` + which + `
							union
							select nested.inner_id
							from bearing
							join nested on nested.outer_id = bearing.id
						)
						select id
						from bearing)))`
}

// holding is the condition behind "users with this role, at this resource": like given, with included roles, what is held
// above the resource, and default roles where a role is asked for.
func (tx *Tx) holding(ctx context.Context, role id.Role, resource id.Resource, add func(any) string) (string, error) {
	ground, err := tx.ground(ctx)
	if err != nil {
		return "", err
	}
	var roles []id.Role
	var resources []id.Resource
	if role != "" {
		roles = append([]id.Role{}, ground.Catalogue.Carriers(role)...)
	}
	if resource != "" {
		resources = append([]id.Resource{}, ground.Tree.Path(resource)...)
	}
	condition := tx.given(roles, resources, add)
	byDefault := role != "" && slices.ContainsFunc(ground.Organization.DefaultRoles, func(d access.RoleAt) bool {
		at := d.Resource
		if at == "" {
			at = ground.Tree.Root()
		}
		return slices.Contains(roles, d.Role) && (resource == "" || slices.Contains(resources, at))
	})
	if byDefault {
		condition = "(u.custom_access = false or " + condition + ")"
	}
	return condition, nil
}

// awaiting is the inbox as a condition on users u: active ones who signed in or were pushed, to whom nothing was given
// beyond defaults by any source, and of whom nobody said "leave as is".
func (tx *Tx) awaiting(add func(any) string) string {
	return `(u.status = 'active'
			and u.settled_at is null
			and (u.last_login is not null
				or exists (
					select 1
					from directory_records r
					where r.organization = u.organization
						and r.user_id = u.id))
			and not ` + tx.given(nil, nil, add) + `)`
}

// Reached gives the users whom a permission about users, held by a viewer below the root, reaches: those who were given
// something there or below. All says that it reaches everyone, since the viewer holds it at the root.
func (tx *Tx) Reached(ctx context.Context, viewer *access.Effective, p id.Permission) (users []id.User, all bool, err error) {
	if viewer.Everywhere(p) {
		return nil, true, nil
	}
	at := append([]id.Resource{}, viewer.Resources(p)...)
	users, err = tx.givenTo(ctx, nil, at, "", 0)
	return append([]id.User{}, users...), false, err
}

// givenTo lists users, after one id, to whom one of the roles (nil: any) was given at one of the resources (nil: anywhere),
// whatever their state. A limit of 0 lists all.
func (tx *Tx) givenTo(
	ctx context.Context, roles []id.Role, resources []id.Resource, after id.User, limit int,
) ([]id.User, error) {
	args := arguments{tx.Organization, after}
	condition := tx.given(roles, resources, args.add)
	end := ""
	if limit > 0 {
		end = "\n\t\tlimit " + args.add(limit)
	}
	users, err := column[id.User](tx.query(ctx, `
		select u.id
		from users u
		where u.organization = $1
			and u.id > $2
			and u.status <> 'deleted'
			and `+condition+`
		order by u.id`+end, args...))
	if err != nil {
		return nil, fmt.Errorf("list who was given a role: %w", err)
	}
	return users, nil
}

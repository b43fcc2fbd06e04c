package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// GroupDeclared reports whether the operator's file declares a group: such a one is renamed and taken away there.
func (tx *Tx) GroupDeclared(ctx context.Context, group id.Group) (bool, error) {
	var document struct{ Source string }
	err := tx.queryRow(ctx, `
		select document
		from groups
		where organization = $1
			and id = $2`, tx.Organization, group).Scan(decode(&document))
	if errors.Is(err, errNoRows) {
		return false, notFound("group", group)
	}
	return document.Source == fromFile, err
}

// GroupFacts gives the facts about somebody who is in a group and was given nothing else, default roles aside: what the
// group brings, that of the groups around it included.
func (tx *Tx) GroupFacts(ctx context.Context, group id.Group) (*access.Facts, error) {
	g, err := tx.Group(ctx, group)
	if err != nil {
		return nil, err
	}
	f, err := tx.ground(ctx)
	if err != nil {
		return nil, err
	}
	f.User = access.User{Name: "Whoever is in " + g.Name, Home: tx.Organization, Status: access.Active, Seated: true, CustomAccess: true}
	f.Groups = []access.Group{{ID: g.ID, Name: g.Name, Direct: true}}
	at := map[id.Group]int{g.ID: 0}
	const around = `
		with recursive mine (id, member) as (
			select m.group_id, m.member_id
			from group_members m
			where m.organization = $1
				and m.member_id = $2
			union
			select m.group_id, m.member_id
			from mine
			join group_members m on m.organization = $1
				and m.member_id = mine.id
		)`
	if _, err := collect[struct{}](tx.query(ctx, around+`
		select g.id, g.display_name, mine.member
		from mine
		join groups g on g.organization = $1
			and g.id = mine.id`, tx.Organization, group))(func(s scanner) (none struct{}, err error) {
		var outer access.Group
		var member id.Group
		if err := s.Scan(&outer.ID, &outer.Name, &member); err != nil {
			return none, err
		}
		i, seen := at[outer.ID]
		if !seen {
			i = len(f.Groups)
			at[outer.ID] = i
			f.Groups = append(f.Groups, outer)
		}
		f.Groups[i].Through = append(f.Groups[i].Through, member)
		return none, nil
	}); err != nil {
		return nil, fmt.Errorf("read the groups around group %s: %w", group, err)
	}
	grants, err := collect[Grant](tx.query(ctx, around+`
		select `+grantColumns+`
		from grants
		where organization = $1
			and (group_id = $2 or group_id in (select mine.id from mine))
		order by id`, tx.Organization, group))(scanGrant)
	if err != nil {
		return nil, fmt.Errorf("read the grants of group %s: %w", group, err)
	}
	for _, g := range grants {
		f.Grants = append(f.Grants, g.fact())
	}
	f.Mappings, err = collect[access.Mapping](tx.query(ctx, around+`
		select id, group_id, role, resource
		from group_roles
		where organization = $1
			and (group_id = $2 or group_id in (select mine.id from mine))
		order by id`, tx.Organization, group))(func(s scanner) (m access.Mapping, err error) {
		err = s.Scan(&m.ID, &m.Group, &m.Role, &m.Resource)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the mappings of group %s: %w", group, err)
	}
	return f, nil
}

// fact is a grant as access.Decide looks at it.
func (g Grant) fact() access.Grant {
	return access.Grant{
		ID: g.ID, User: g.User, Group: g.Group, Role: g.Role, Resource: g.Resource, Source: g.Source, By: g.GrantedByName,
		Created: g.Created, Starts: g.Starts, Expires: g.Expires,
	}
}

// Mapping gives one mapping. A fault of kind NotFound where the organization has none of that id.
func (tx *Tx) Mapping(ctx context.Context, mapping id.GroupRole) (Mapping, error) {
	m, err := scanMapping(tx.queryRow(ctx, `
		select `+mappingColumns+`
		from group_roles
		where organization = $1
			and id = $2`, tx.Organization, mapping))
	if errors.Is(err, errNoRows) {
		return m, notFound("mapping", mapping)
	}
	return m, err
}

// UsersInGroup lists the users of a group, those of groups within it included, by id.
func (tx *Tx) UsersInGroup(ctx context.Context, group id.Group) ([]id.User, error) {
	return tx.members(ctx, group)
}

// GroupMember gives one direct member of a group. A fault of kind NotFound where the group has none of that id.
func (tx *Tx) GroupMember(ctx context.Context, group id.Group, member string) (directory.Member, error) {
	m := directory.Member{ID: member}
	err := tx.queryRow(ctx, `
		select m.kind, m.source, m.added, coalesce(u.display_name, g.display_name, '')
		from group_members m
		left join users u on u.organization = m.organization and u.id = m.member_id
		left join groups g on g.organization = m.organization and g.id = m.member_id
		where m.organization = $1
			and m.group_id = $2
			and m.member_id = $3`, tx.Organization, group, member).Scan(&m.Kind, &m.Source, at(&m.Added), &m.Name)
	if errors.Is(err, errNoRows) {
		return m, fault.New(fault.NotFound, "This group has no such member.")
	}
	return m, err
}

// InGroup gives which of some users and groups are direct members of a group.
func (tx *Tx) InGroup(ctx context.Context, group id.Group, members []string) (map[string]bool, error) {
	in := map[string]bool{}
	if len(members) == 0 {
		return in, nil
	}
	list, args := placeholders(3, members)
	found, err := column[string](tx.query(ctx, `
		select member_id
		from group_members
		where organization = $1
			and group_id = $2
			and member_id in (`+list+`)`, append([]any{tx.Organization, group}, args...)...))
	for _, m := range found {
		in[m] = true
	}
	return in, err
}

const maxGroupName = 200

// groupName checks a local group's name: two of one name would be told apart by nobody.
func (tx *Tx) groupName(ctx context.Context, name string, but id.Group) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", fault.New(fault.Invalid, "A group needs a name.").WithField("name", "Enter a name.")
	case len(name) > maxGroupName:
		return "", fault.New(fault.Invalid, "A group's name has at most %d characters.", maxGroupName).WithField("name", "This is too long.")
	}
	var taken int
	if err := tx.queryRow(ctx, `
		select count(*)
		from groups
		where organization = $1
			and display_name_key = $2
			and id <> $3`, tx.Organization, scim.Fold(name), but).Scan(&taken); err != nil {
		return "", fmt.Errorf("look for a group's name: %w", err)
	}
	if taken > 0 {
		return "", fault.New(fault.Conflict, "There is a group called %s already.", name).WithField("name", "This name is taken.")
	}
	return name, nil
}

// CreateGroup makes a group of the organization's own, empty. Its id is new, so no mapping can be waiting for it.
func (tx *Tx) CreateGroup(ctx context.Context, actor audit.Actor, name string) (*directory.Group, error) {
	tx.Lock(ctx, accessLock)
	name, err := tx.groupName(ctx, name, "")
	if err != nil {
		return nil, err
	}
	g := &directory.Group{ID: id.New[id.Group](), Name: name, Version: 1, Created: tx.now, Modified: tx.now}
	tx.queue(`
		insert into groups (organization, id, display_name, display_name_key, document, folded, version, created, modified)
		values ($1, $2, $3, $4, '{}', '{}', 1, $5, $5)`, tx.Organization, g.ID, name, scim.Fold(name), micros(tx.now))
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "group.created", TargetKind: "group", TargetID: string(g.ID), TargetName: name,
		After: object(map[string]any{"displayName": name}),
	})
	return g, nil
}

// ownGroup gives a group that people may rename and delete here, or the reason why not.
func (tx *Tx) ownGroup(ctx context.Context, group id.Group) (*directory.Group, error) {
	g, err := tx.Group(ctx, group)
	if err != nil {
		return nil, err
	}
	if !g.Local() {
		return nil, fault.New(fault.Conflict, "%s comes from the identity provider; change it there.", g.Name)
	}
	declared, err := tx.GroupDeclared(ctx, group)
	if err == nil && declared {
		err = fault.New(fault.Conflict, "%s is declared in the operator's file and is changed there.", g.Name)
	}
	return g, err
}

// RenameGroup gives a group of the organization's own another name. What it gives stays: mappings name a local group by id.
func (tx *Tx) RenameGroup(ctx context.Context, actor audit.Actor, group id.Group, name string) error {
	tx.Lock(ctx, accessLock)
	g, err := tx.ownGroup(ctx, group)
	if err != nil {
		return err
	}
	if name, err = tx.groupName(ctx, name, group); err != nil || name == g.Name {
		return err
	}
	tx.queue(`
		update groups
		set display_name = $3, display_name_key = $4, version = version + 1, modified = $5
		where organization = $1
			and id = $2`, tx.Organization, group, name, scim.Fold(name), micros(tx.now))
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "group.changed", TargetKind: "group", TargetID: string(group), TargetName: name,
		Before: object(map[string]any{"displayName": g.Name}), After: object(map[string]any{"displayName": name}),
	})
	return nil
}

// DeleteGroup takes a group of the organization's own away with everything it gave and all that it took, each under the rules
// of taking it away by itself, and never from the last holder of a protected role.
func (tx *Tx) DeleteGroup(ctx context.Context, actor audit.Actor, group id.Group, reason string) error {
	tx.Lock(ctx, accessLock)
	g, err := tx.ownGroup(ctx, group)
	if err != nil {
		return err
	}
	if err := tx.GuardMembership(ctx, actor, group); err != nil {
		return err
	}
	mappings, err := tx.Mappings(ctx)
	if err != nil {
		return err
	}
	for _, m := range mappings {
		if m.Group == group && m.Source == MappingManual {
			if err := tx.Unmap(ctx, actor, m.ID); err != nil {
				return err
			}
		}
	}
	if err := tx.takeFromGroup(ctx, actor, group, reason); err != nil {
		return err
	}
	users, err := tx.protectedMembers(ctx, group, string(group))
	if err != nil {
		return err
	}
	return tx.keepHolders(ctx, users, func() error {
		if err := tx.dropGroup(ctx, actor, group); err != nil {
			return err
		}
		tx.Record(ctx, audit.Event{
			Actor: actor, Action: "group.deleted", TargetKind: "group", TargetID: string(group), TargetName: g.Name,
			Before: object(map[string]any{"displayName": g.Name}), Reason: reason,
		})
		if err := tx.BindGroupRoles(ctx, actor, group); err != nil {
			return err
		}
		return tx.reviewParked(ctx)
	})
}

// takeFromGroup takes away what was given to a group and lifts what restricts it. A restriction that went with its group
// unasked would be a way to lift what one may not lift.
func (tx *Tx) takeFromGroup(ctx context.Context, actor audit.Actor, group id.Group, reason string) error {
	if _, err := tx.guardRestrictions(ctx, actor, group, string(group), directory.GroupMember); err != nil {
		return err
	}
	all, err := tx.Restrictions(ctx, "")
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Group == group {
			if err := tx.LiftRestriction(ctx, actor, r.ID); err != nil {
				return err
			}
		}
	}
	grants, _, err := tx.ListGrants(ctx, GrantFilter{Group: group, Source: access.Manual, Limit: 500})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if err := tx.RevokeGrant(ctx, actor, g.ID, reason); err != nil {
			return err
		}
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

const groupColumns = `g.id, g.display_name, g.directory, g.connection, g.external_id, g.version, g.created, g.modified`

func scanGroup(s scanner) (directory.Group, error) {
	var g directory.Group
	err := s.Scan(&g.ID, &g.Name, orEmpty(&g.Directory), orEmpty(&g.Connection), orEmpty(&g.ExternalID), &g.Version, at(&g.Created), at(&g.Modified))
	return g, err
}

// Groups gives all groups of the organization by name, with the number of their direct members.
func (tx *Tx) Groups(ctx context.Context) ([]directory.Group, error) {
	all, err := collect[directory.Group](tx.query(ctx, `
		select `+groupColumns+`, (
			select count(*)
			from group_members m
			where m.organization = g.organization
				and m.group_id = g.id)
		from groups g
		where g.organization = $1
		order by g.display_name_key, g.id`, tx.Organization))(func(s scanner) (directory.Group, error) {
		var g directory.Group
		err := s.Scan(&g.ID, &g.Name, orEmpty(&g.Directory), orEmpty(&g.Connection), orEmpty(&g.ExternalID), &g.Version,
			at(&g.Created), at(&g.Modified), &g.MemberCount)
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	return all, nil
}

// Group gives one group. A fault of kind NotFound where there is none.
func (tx *Tx) Group(ctx context.Context, group id.Group) (*directory.Group, error) {
	g, err := scanGroup(tx.queryRow(ctx, `
		select `+groupColumns+`
		from groups g
		where g.organization = $1
			and g.id = $2`, tx.Organization, group))
	if errors.Is(err, errNoRows) {
		return nil, fault.New(fault.NotFound, "There is no group %s in this organization.", group)
	}
	if err != nil {
		return nil, fmt.Errorf("read group %s: %w", group, err)
	}
	return &g, nil
}

// GroupsOf gives some groups at once. Whichever is not there is left out.
func (tx *Tx) GroupsOf(ctx context.Context, groups []id.Group) (map[id.Group]directory.Group, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	out := make(map[id.Group]directory.Group, len(groups))
	_, err := collect[struct{}](tx.query(ctx, `
		select `+groupColumns+`
		from groups g
		where g.organization = $1
			and `+tx.d.amongFew("g.id", tx.d.elements("$2")), tx.Organization, encode(groups)))(func(s scanner) (none struct{}, err error) {
		g, err := scanGroup(s)
		out[g.ID] = g
		return none, err
	})
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	return out, nil
}

// GroupMembers gives a page of a group's direct members by id, from behind after.
func (tx *Tx) GroupMembers(ctx context.Context, group id.Group, after string, limit int) ([]directory.Member, error) {
	all, err := collect[directory.Member](tx.query(ctx, `
		select m.member_id, m.kind, m.source, m.added, coalesce(u.display_name, g.display_name, '')
		from group_members m
		left join users u on u.organization = m.organization and u.id = m.member_id
		left join groups g on g.organization = m.organization and g.id = m.member_id
		where m.organization = $1
			and m.group_id = $2
			and m.member_id > $3
			and coalesce(u.status, '') <> 'deleted'
		order by m.member_id
		limit $4`, tx.Organization, group, after, limit))(func(s scanner) (directory.Member, error) {
		var m directory.Member
		err := s.Scan(&m.ID, &m.Kind, &m.Source, at(&m.Added), &m.Name)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the members of group %s: %w", group, err)
	}
	return all, nil
}

// dropGroup removes a group, its members and its place in other groups. The members of a group are gone with it by the
// foreign key; what it was a member of changes and says so.
func (tx *Tx) dropGroup(ctx context.Context, actor audit.Actor, group id.Group) error {
	if err := tx.noteGone(ctx, actor, "group_id", string(group), "its group is deleted"); err != nil {
		return err
	}
	tx.leaveGroups(string(group))
	tx.queue(`
		delete from grants
		where organization = $1
			and group_id = $2`, tx.Organization, group)
	tx.queue(`
		delete from restrictions
		where organization = $1
			and group_id = $2`, tx.Organization, group)
	tx.queue(`
		delete from groups
		where organization = $1
			and id = $2`, tx.Organization, group)
	return nil
}

// leaveGroups takes a member out of every group and moves their versions on, so that nobody who holds an older one is told
// "not modified" (RFC 7644 section 3.14). SQLite deletes from a table without row ids by its key alone, so the groups are
// looked up first: without that it would read every membership of the organization.
func (tx *Tx) leaveGroups(member string) {
	tx.queue(`
		update groups
		set version = version + 1, modified = $3
		where organization = $1
			and id in (select m.group_id from group_members m where m.organization = $1 and m.member_id = $2)`,
		tx.Organization, member, micros(tx.now))
	tx.queue(`
		delete from group_members
		where organization = $1
			and member_id = $2
			and group_id in (select m.group_id from group_members m where m.organization = $1 and m.member_id = $2)`,
		tx.Organization, member)
}

// AddMember puts a user or a group into a group of the organization's own. What a directory pushed or a connection claimed
// is theirs to fill.
func (tx *Tx) AddMember(ctx context.Context, group id.Group, member string, kind directory.MemberKind, actor audit.Actor) error {
	g, err := tx.localGroup(ctx, group)
	if err != nil {
		return err
	}
	if kind == directory.UserMember {
		_, err = tx.User(ctx, id.User(member))
	} else {
		_, err = tx.Group(ctx, id.Group(member))
	}
	if err != nil {
		return err
	}
	if err := tx.GuardMembership(ctx, actor, group); err != nil {
		return err
	}
	restricted, err := tx.guardRestrictions(ctx, actor, group, member, kind)
	if err != nil {
		return err
	}
	return tx.keepHolders(ctx, restricted, func() error {
		n, err := tx.exec(ctx, `
			insert into group_members (organization, group_id, member_id, kind, source, added)
			values ($1, $2, $3, $4, $5, $6)
			on conflict do nothing`, tx.Organization, group, member, kind, directory.MemberByHand, micros(tx.now))
		if err != nil || n == 0 {
			return err
		}
		tx.recordMembership(ctx, g, "group.member-added", member, kind, actor)
		return tx.refuseExclusive(ctx, member, kind)
	})
}

// RemoveMember takes a user or a group out of a group of the organization's own.
func (tx *Tx) RemoveMember(ctx context.Context, group id.Group, member string, actor audit.Actor) error {
	g, err := tx.localGroup(ctx, group)
	if err != nil {
		return err
	}
	if err := tx.GuardMembership(ctx, actor, group); err != nil {
		return err
	}
	inner := directory.UserMember
	if _, err := tx.Group(ctx, id.Group(member)); err == nil {
		inner = directory.GroupMember
	} else if fault.KindOf(err) != fault.NotFound {
		return err
	}
	if _, err := tx.guardRestrictions(ctx, actor, group, member, inner); err != nil {
		return err
	}
	users, err := tx.protectedMembers(ctx, group, member)
	if err != nil {
		return err
	}
	return tx.keepHolders(ctx, users, func() error {
		var kind directory.MemberKind
		err := tx.queryRow(ctx, `
			delete from group_members
			where organization = $1
				and group_id = $2
				and member_id = $3
			returning kind`, tx.Organization, group, member).Scan(&kind)
		if errors.Is(err, errNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		tx.recordMembership(ctx, g, "group.member-removed", member, kind, actor)
		return nil
	})
}

func (tx *Tx) localGroup(ctx context.Context, group id.Group) (*directory.Group, error) {
	g, err := tx.Group(ctx, group)
	if err != nil {
		return nil, err
	}
	if !g.Local() {
		return nil, fault.New(fault.Conflict, "The members of %s come from the identity provider; change them there.", g.Name)
	}
	return g, nil
}

func (tx *Tx) recordMembership(ctx context.Context, g *directory.Group, action, member string, kind directory.MemberKind, actor audit.Actor) {
	tx.queue(`
		update groups
		set version = version + 1, modified = $3
		where organization = $1
			and id = $2`, tx.Organization, g.ID, micros(tx.now))
	e := audit.Event{
		Actor: actor, Action: action, TargetKind: "group", TargetID: string(g.ID), TargetName: g.Name,
		After: object(map[string]any{"member": member, "kind": kind}),
	}
	if kind == directory.UserMember {
		e.User = id.User(member)
	}
	tx.Record(ctx, e)
}

package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// ClaimGroups brings a user's claimed memberships to what a complete group claim says. A value names the group of the
// connection's directory with that externalId, else that displayName, else a group of the connection's own, which is made if
// it is new. What a directory pushed or a person gave stays as it is.
func (tx *Tx) ClaimGroups(ctx context.Context, actor audit.Actor, c connection.Connection, user id.User, values []string) error {
	known, err := tx.groupsNamed(ctx, c, values)
	if err != nil {
		return err
	}
	wanted := map[id.Group]bool{}
	for _, value := range values {
		g, found := named(known, c, value)
		if !found {
			if g, err = tx.createClaimed(ctx, actor, c, value); err != nil {
				return err
			}
			known = append(known, g)
		}
		wanted[g.ID] = true
	}
	type membership struct {
		directory.Group
		source directory.MemberSource
	}
	held, err := collect[membership](tx.query(ctx, `
		select m.source, `+groupColumns+`
		from group_members m
		join groups g on g.organization = m.organization and g.id = m.group_id
		where m.organization = $1
			and m.member_id = $2`, tx.Organization, user))(func(s scanner) (m membership, err error) {
		m.Group, err = scanGroup(shifted{s, []any{&m.source}})
		return m, err
	})
	if err != nil {
		return fmt.Errorf("read the groups of user %s: %w", user, err)
	}
	var leave []directory.Group
	for _, m := range held {
		ours := m.Connection == c.ID || (c.Directory != "" && m.Directory == c.Directory)
		if m.source == directory.MemberClaimed && ours && !wanted[m.ID] {
			leave = append(leave, m.Group)
		}
		delete(wanted, m.ID)
	}
	joined := len(wanted)
	for _, g := range known {
		if !wanted[g.ID] {
			continue
		}
		delete(wanted, g.ID)
		tx.queue(`
			insert into group_members (organization, group_id, member_id, kind, source, added)
			values ($1, $2, $3, $4, $5, $6)
			on conflict do nothing`,
			tx.Organization, g.ID, user, directory.UserMember, directory.MemberClaimed, micros(tx.now))
		tx.recordClaimed(ctx, &g, "group.member-added", user, actor)
	}
	if err := tx.leaveClaimed(ctx, actor, user, leave); err != nil || joined+len(leave) == 0 {
		return err
	}
	// What a claim brings is parked like a push where roles exclude each other, and listed.
	if err := tx.NoteParked(ctx, "", user); err != nil {
		return err
	}
	return tx.holdersFound(ctx, []id.User{user})
}

// leaveClaimed takes a user out of groups that the claim no longer names. Like a directory's write it is never refused, so the
// last holder of a protected role who loses it that way is reported.
func (tx *Tx) leaveClaimed(ctx context.Context, actor audit.Actor, user id.User, groups []directory.Group) error {
	if len(groups) == 0 {
		return nil
	}
	before, err := tx.Access(ctx, user)
	if err != nil {
		return err
	}
	for _, g := range groups {
		tx.queue(`
			delete from group_members
			where organization = $1
				and group_id = $2
				and member_id = $3
				and source = $4`, tx.Organization, g.ID, user, directory.MemberClaimed)
		tx.recordClaimed(ctx, &g, "group.member-removed", user, actor)
	}
	return tx.HolderLost(ctx, actor, before)
}

// groupsNamed loads the groups of the connection and of its directory that any of the values may name.
func (tx *Tx) groupsNamed(ctx context.Context, c connection.Connection, values []string) ([]directory.Group, error) {
	if len(values) == 0 {
		return nil, nil
	}
	keys := make([]string, len(values))
	for i, v := range values {
		keys[i] = scim.Fold(v)
	}
	groups, err := collect[directory.Group](tx.query(ctx, `
		select `+groupColumns+`
		from groups g
		where g.organization = $1
			and ((g.directory = $2 and (g.external_id in (`+tx.d.elements("$4")+`) or g.display_name_key in (`+tx.d.elements("$5")+`)))
				or (g.connection = $3 and g.display_name_key in (`+tx.d.elements("$5")+`)))
		order by g.id`, tx.Organization, c.Directory, c.ID, encode(values), encode(keys)))(scanGroup)
	if err != nil {
		return nil, fmt.Errorf("read the groups a claim names: %w", err)
	}
	return groups, nil
}

// named finds the group a value names. Two groups of the directory with the same name are not told apart by it: none is meant.
func named(groups []directory.Group, c connection.Connection, value string) (directory.Group, bool) {
	for _, is := range []func(directory.Group) bool{
		func(g directory.Group) bool {
			return g.Directory != "" && g.Directory == c.Directory && g.ExternalID == value
		},
		func(g directory.Group) bool {
			return g.Directory != "" && g.Directory == c.Directory && scim.Fold(g.Name) == scim.Fold(value)
		},
		func(g directory.Group) bool { return g.Connection == c.ID && scim.Fold(g.Name) == scim.Fold(value) },
	} {
		found := slices.DeleteFunc(slices.Clone(groups), func(g directory.Group) bool { return !is(g) })
		if len(found) == 1 {
			return found[0], true
		}
	}
	return directory.Group{}, false
}

func (tx *Tx) createClaimed(ctx context.Context, actor audit.Actor, c connection.Connection, name string) (directory.Group, error) {
	g := directory.Group{ID: id.New[id.Group](), Name: name, Connection: c.ID, Version: 1, Created: tx.now, Modified: tx.now}
	_, err := tx.exec(ctx, `
		insert into groups (organization, id, connection, display_name, display_name_key, document, folded, version, created, modified)
		values ($1, $2, $3, $4, $5, '{}', '{}', 1, $6, $6)`,
		tx.Organization, g.ID, c.ID, name, scim.Fold(name), micros(tx.now))
	if err != nil {
		return g, fmt.Errorf("make the claimed group: %w", err)
	}
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "group.created", TargetKind: "group", TargetID: string(g.ID), TargetName: name,
		After: auditJSON(map[string]any{"connection": c.ID}),
	})
	return g, tx.BindGroupRoles(ctx, actor, g.ID)
}

// recordClaimed records a membership. The group's version stays: to the directory that pushed it nothing has changed.
func (tx *Tx) recordClaimed(ctx context.Context, g *directory.Group, action string, user id.User, actor audit.Actor) {
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: action, TargetKind: "group", TargetID: string(g.ID), TargetName: g.Name, User: user,
		After: auditJSON(map[string]any{"member": user, "source": directory.MemberClaimed}),
	})
}

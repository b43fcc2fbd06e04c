package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// Mapping gives whoever is in a group a role at a resource. It names a group that may arrive later, binds to the first one
// of that name, and follows it through renames.
type Mapping struct {
	ID        id.GroupRole
	GroupName string
	Directory id.Directory // narrows the name to groups of this directory; empty: of any
	Group     id.Group     // once bound
	Role      id.Role
	Resource  id.Resource
	Source    string // "file" for what an operator's file declares, else "manual"
	GrantedBy string
	Created   time.Time
}

// The sources of a mapping.
const (
	MappingDeclared = fromFile
	MappingManual   = "manual"
)

const mappingColumns = `id, group_name, directory, group_id, role, resource, source, granted_by, created`

func scanMapping(s scanner) (m Mapping, err error) {
	err = s.Scan(&m.ID, &m.GroupName, orEmpty(&m.Directory), orEmpty(&m.Group), &m.Role, &m.Resource, &m.Source, &m.GrantedBy,
		at(&m.Created))
	return m, err
}

type mappingRecord struct {
	GroupName string       `json:"group"`
	Directory id.Directory `json:"directory,omitempty"`
	Bound     id.Group     `json:"bound,omitempty"`
	Role      id.Role      `json:"role"`
	Resource  id.Resource  `json:"resource"`
	Source    string       `json:"source"`
}

func (m Mapping) record() mappingRecord {
	return mappingRecord{m.GroupName, m.Directory, m.Group, m.Role, m.Resource, m.Source}
}

// Mappings lists the group roles of the organization, oldest first.
func (tx *Tx) Mappings(ctx context.Context) ([]Mapping, error) {
	return collect[Mapping](tx.query(ctx, `
		select `+mappingColumns+`
		from group_roles
		where organization = $1
		order by id`, tx.Organization))(scanMapping)
}

// Map makes a mapping, under the ceiling of giving the role itself, and binds it at once where the group is there already.
func (tx *Tx) Map(ctx context.Context, actor audit.Actor, m Mapping) (Mapping, error) {
	tx.Lock(ctx, accessLock)
	ground, err := tx.ground(ctx)
	if err != nil {
		return m, err
	}
	if m.GroupName == "" {
		return m, fault.New(fault.Invalid, "A mapping names a group.").WithField("group", "Name a group.")
	}
	if m.Resource == "" {
		m.Resource = ground.Tree.Root()
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return m, err
	}
	if m.Group, err = tx.groupNamed(ctx, m.GroupName, m.Directory); err != nil {
		return m, err
	}
	var receivers []*access.Effective
	if m.Group != "" {
		if receivers, err = tx.excludedMembers(ctx, ground, m.Group, m.Role); err != nil {
			return m, err
		}
	}
	if err := access.Give(giver, ground, access.Want{Role: m.Role, Resource: m.Resource}, tx.now, receivers...); err != nil {
		return m, err
	}
	m.ID, m.Source, m.GrantedBy, m.Created = id.New[id.GroupRole](), MappingManual, actor.ID, tx.now.UTC().Truncate(time.Microsecond)
	return m, tx.insertMapping(ctx, actor, ground, m)
}

func (tx *Tx) insertMapping(ctx context.Context, actor audit.Actor, ground *access.Facts, m Mapping) error {
	if _, err := tx.exec(ctx, `
		insert into group_roles (organization, id, group_name, group_name_key, directory, group_id, role, resource, source,
			granted_by, created)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		tx.Organization, m.ID, m.GroupName, scim.Fold(m.GroupName), orNull(m.Directory), orNull(m.Group), m.Role, m.Resource,
		m.Source, m.GrantedBy, micros(m.Created)); err != nil {
		return fmt.Errorf("write a mapping: %w", err)
	}
	after := auditJSON(m.record())
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "mapping.created", TargetKind: "mapping", TargetID: string(m.ID), TargetName: mappingName(ground, m),
		After: after,
	})
	return nil
}

func mappingName(ground *access.Facts, m Mapping) string {
	return fmt.Sprintf("%s: %s at %s", m.GroupName, ground.Catalogue.Name(m.Role), ground.Tree.Name(m.Resource))
}

// Unmap takes a mapping away, under the ceiling it was made under. What the operator's file declares is changed there, or
// the next apply would bring it back.
func (tx *Tx) Unmap(ctx context.Context, actor audit.Actor, mapping id.GroupRole) error {
	tx.Lock(ctx, accessLock)
	m, err := scanMapping(tx.queryRow(ctx, `
		select `+mappingColumns+`
		from group_roles
		where organization = $1
			and id = $2`, tx.Organization, mapping))
	if errors.Is(err, errNoRows) {
		return notFound("mapping", mapping)
	}
	if err != nil {
		return err
	}
	if m.Source == MappingDeclared {
		return fault.New(fault.Conflict, "The mapping of %s is declared in the operator's file and is changed there.", m.GroupName)
	}
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return err
	}
	if err := access.Revoke(giver, ground, access.Grant{Role: m.Role, Resource: m.Resource, Source: access.Manual}); err != nil {
		return err
	}
	users, err := tx.protectedBy(ctx, ground, "", m.Group, m.Role)
	if err != nil {
		return err
	}
	return tx.keepHolders(ctx, users, func() error {
		if _, err := tx.exec(ctx, `
			delete from group_roles
			where organization = $1
				and id = $2`, tx.Organization, m.ID); err != nil {
			return fmt.Errorf("delete mapping %s: %w", m.ID, err)
		}
		if _, err := tx.exec(ctx, `
			update conflicts
			set resolved = $1, resolution = 'over'
			where organization = $2
				and kind = $3
				and subject like $4 escape '\'
				and resolved is null`, micros(tx.now), tx.Organization, ConflictGroupName, escapeLike(string(m.ID))+"/%"); err != nil {
			return fmt.Errorf("close the conflicts of mapping %s: %w", m.ID, err)
		}
		before := auditJSON(m.record())
		tx.Record(ctx, audit.Event{
			Actor: actor, Action: "mapping.deleted", TargetKind: "mapping", TargetID: string(m.ID),
			TargetName: mappingName(ground, m), Before: before,
		})
		return tx.reviewParked(ctx)
	})
}

// groupNamed gives the group a mapping's name means now: the local group of that id, else the oldest pushed or claimed group
// of that displayName; "" where there is none yet.
func (tx *Tx) groupNamed(ctx context.Context, name string, directory id.Directory) (id.Group, error) {
	var group id.Group
	err := tx.queryRow(ctx, `
		select id
		from groups
		where organization = $1
			and (id = $2 and directory is null and connection is null
				or display_name_key = $3
					and (directory is not null or connection is not null)
					and ($4 = '' or directory = $4))
		order by case when id = $2 then 0 else 1 end, created, id
		limit 1`, tx.Organization, name, scim.Fold(name), directory).Scan(&group)
	if errors.Is(err, errNoRows) {
		return "", nil
	}
	return group, err
}

// BindGroupRoles is called when a group was created, renamed or deleted, in the same transaction and after the change.
//
// A mapping that waits for the group's name binds to it. One that is bound to another group stays there, and the group
// waits in the conflict list: a second directory that pushes a group called "Platform Admins" must not make its members
// administrators. A rename changes nothing that is bound, so nobody gains or loses a role by it; a deleted group lets go
// of its mappings, which then wait for a group of that name again.
func (tx *Tx) BindGroupRoles(ctx context.Context, actor audit.Actor, group id.Group) error {
	var name, key string
	var directory id.Directory
	var connection id.Connection
	err := tx.queryRow(ctx, `
		select display_name, display_name_key, directory, connection
		from groups
		where organization = $1
			and id = $2`, tx.Organization, group).Scan(&name, &key, orEmpty(&directory), orEmpty(&connection))
	if errors.Is(err, errNoRows) {
		return tx.unbind(ctx, actor, group)
	}
	if err != nil {
		return fmt.Errorf("read group %s: %w", group, err)
	}
	if directory == "" && connection == "" {
		key = "" // a local group is named by its id alone: whoever may name groups would else give roles
	}
	mappings, err := collect[Mapping](tx.query(ctx, `
		select `+mappingColumns+`
		from group_roles
		where organization = $1
			and (group_name = $2 and $3 = ''
				or group_name_key = $3 and $3 <> '' and (directory is null or directory = $4))
		order by id`, tx.Organization, group, key, directory))(scanMapping)
	if err != nil {
		return fmt.Errorf("read the mappings of group %s: %w", group, err)
	}
	for _, m := range mappings {
		switch m.Group {
		case group:
		case "":
			if err := tx.bind(ctx, actor, m, group, name); err != nil {
				return err
			}
		default:
			if err := tx.openConflict(ctx, Conflict{
				Kind: ConflictGroupName, Subject: string(m.ID) + "/" + string(group),
				Document: auditJSON(groupNameConflict{m.ID, m.GroupName, m.Group, group, directory}),
			}, m.GroupName, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// BindAllGroupRoles binds every mapping that waits to a group that is there already: after apply has written mappings.
func (tx *Tx) BindAllGroupRoles(ctx context.Context, actor audit.Actor) error {
	mappings, err := collect[Mapping](tx.query(ctx, `
		select `+mappingColumns+`
		from group_roles
		where organization = $1
			and group_id is null
		order by id`, tx.Organization))(scanMapping)
	if err != nil {
		return err
	}
	for _, m := range mappings {
		group, err := tx.groupNamed(ctx, m.GroupName, m.Directory)
		if err != nil {
			return err
		}
		if group == "" {
			continue
		}
		if err := tx.bind(ctx, actor, m, group, m.GroupName); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) bind(ctx context.Context, actor audit.Actor, m Mapping, group id.Group, name string) error {
	if _, err := tx.exec(ctx, `
		update group_roles
		set group_id = $1
		where organization = $2
			and id = $3`, orNull(group), tx.Organization, m.ID); err != nil {
		return fmt.Errorf("bind mapping %s: %w", m.ID, err)
	}
	before := m.record()
	m.Group = group
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "mapping.bound", TargetKind: "mapping", TargetID: string(m.ID), TargetName: name,
		Before: auditJSON(before), After: auditJSON(m.record()),
	})
	return tx.noteBound(ctx, m)
}

// noteBound lists the members of a group to whom a mapping that has just found it brings a role that excludes another.
func (tx *Tx) noteBound(ctx context.Context, m Mapping) error {
	catalogue, err := tx.Catalogue(ctx)
	if err != nil || m.Group == "" || len(catalogue.Excluded(m.Role)) == 0 {
		return err
	}
	users, err := tx.members(ctx, m.Group)
	if err != nil {
		return err
	}
	return tx.NoteParked(ctx, "", users...)
}

// unbind lets go of the mappings of a group that is gone, and of the conflicts it waited in.
func (tx *Tx) unbind(ctx context.Context, actor audit.Actor, group id.Group) error {
	mappings, err := tx.Mappings(ctx)
	if err != nil {
		return err
	}
	for _, m := range mappings {
		if m.Group == group {
			if err := tx.bind(ctx, actor, m, "", m.GroupName); err != nil {
				return err
			}
			continue
		}
		if err := tx.conflictOver(ctx, ConflictGroupName, string(m.ID)+"/"+string(group)); err != nil {
			return err
		}
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// CustomRole is a role that an organization made for itself, as it stands in the store: what of it is in force, the catalogue says.
type CustomRole struct {
	access.Role
	Source     string // "file" for what an operator's file declares, else "manual"
	MadeBy     string
	MadeByName string
	Version    int64 // grows with each change
	Created    time.Time
	Modified   time.Time
}

const customRoleColumns = `id, name, document, source, made_by, made_by_name, version, created, modified`

func scanCustomRole(s scanner) (r CustomRole, err error) {
	var role id.Role
	var name string
	err = s.Scan(&role, &name, decode(&r.Role), &r.Source, &r.MadeBy, &r.MadeByName, &r.Version, at(&r.Created), at(&r.Modified))
	r.ID, r.Name, r.Custom = role, name, true
	return r, err
}

// Declared reports whether an operator's file declares it; it is then changed there alone.
func (r CustomRole) Declared() bool { return r.Source == fromFile }

// customRoleRecord is a custom role as the audit log keeps it.
type customRoleRecord struct {
	ID   id.Role `json:"id"`
	Name string  `json:"name"`
	access.Role
}

func (r CustomRole) record() customRoleRecord { return customRoleRecord{r.ID, r.Name, r.Role} }

// customRoles are those of the organization as the catalogue takes them.
func (tx *Tx) customRoles(ctx context.Context) ([]access.Role, error) {
	stored, err := tx.CustomRoles(ctx)
	var out []access.Role
	for _, r := range stored {
		out = append(out, r.Role)
	}
	return out, err
}

// CustomRoles lists the organization's own roles by name.
func (tx *Tx) CustomRoles(ctx context.Context) ([]CustomRole, error) {
	out, err := collect[CustomRole](tx.query(ctx, `
		select `+customRoleColumns+`
		from custom_roles
		where organization = $1
		order by name, id`, tx.Organization))(scanCustomRole)
	if err != nil {
		return nil, fmt.Errorf("read the custom roles of %s: %w", tx.Organization, err)
	}
	return out, nil
}

// CustomRole gives one of them. A fault of kind NotFound where the organization has none of that id.
func (tx *Tx) CustomRole(ctx context.Context, role id.Role) (CustomRole, error) {
	r, err := scanCustomRole(tx.queryRow(ctx, `
		select `+customRoleColumns+`
		from custom_roles
		where organization = $1
			and id = $2`, tx.Organization, role))
	if errors.Is(err, errNoRows) {
		return r, notFound("custom role", role)
	}
	return r, err
}

// MakeRole makes a custom role, under access.Define, and audits it.
func (tx *Tx) MakeRole(ctx context.Context, actor audit.Actor, role access.Role) (CustomRole, error) {
	tx.Lock(ctx, accessLock)
	ground, giver, err := tx.definer(ctx, actor)
	if err != nil {
		return CustomRole{}, err
	}
	if _, err := access.Define(giver, ground, nil, role); err != nil {
		return CustomRole{}, err
	}
	if len(ground.Catalogue.Customs()) >= access.MaxCustomRoles {
		return CustomRole{}, fault.New(fault.Conflict, "%s has %d custom roles, which is as many as anybody can keep apart. Delete one first.",
			ground.Organization.Name, access.MaxCustomRoles)
	}
	now := tx.now.UTC().Truncate(time.Microsecond)
	r := CustomRole{Role: role.Tidied(), Source: MappingManual, MadeBy: actor.ID, MadeByName: actor.Name, Version: 1, Created: now, Modified: now}
	if _, err := tx.exec(ctx, `
		insert into custom_roles (organization, `+customRoleColumns+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		tx.Organization, r.ID, r.Name, encode(r.Role), r.Source, r.MadeBy, r.MadeByName, r.Version, micros(r.Created),
		micros(r.Modified)); err != nil {
		return CustomRole{}, fmt.Errorf("write a custom role: %w", err)
	}
	tx.recordRole(ctx, actor, "custom-role.created", nil, &r, "")
	return r, nil
}

func (tx *Tx) definer(ctx context.Context, actor audit.Actor) (*access.Facts, access.Giver, error) {
	ground, err := tx.ground(ctx)
	if err != nil {
		return nil, access.Giver{}, err
	}
	giver, err := tx.Giver(ctx, actor)
	return ground, giver, err
}

// recordRole writes what follows from a change: the event, and that what is cached of the organization is another.
func (tx *Tx) recordRole(ctx context.Context, actor audit.Actor, action string, before, after *CustomRole, reason string) {
	e := audit.Event{Actor: actor, Action: action, TargetKind: "custom-role", Reason: reason}
	if before != nil {
		e.TargetID, e.TargetName, e.Before = string(before.ID), before.Name, auditJSON(before.record())
	}
	if after != nil {
		e.TargetID, e.TargetName, e.After = string(after.ID), after.Name, auditJSON(after.record())
	}
	tx.Record(ctx, e)
	tx.BumpOrganization(ctx)
}

// changeable refuses to change here what a file declares, since the next apply would bring it back, and to build upon a state that is no
// longer the role's; version 0 asks for none.
func (r CustomRole) changeable(version int64) error {
	switch {
	case r.Declared():
		return fault.New(fault.Conflict, "The role %s is declared in the operator's file and is changed there.", r.Name)
	case version != 0 && version != r.Version:
		return fault.New(fault.Conflict, "Somebody has changed %s since you opened it. Look at it again, and change what it is now.", r.Name).
			WithCode(access.CodeRoleStale)
	}
	return nil
}

// ChangeRole makes a custom role what it is to be, for all who hold it from the commit on. Version is the state it was changed from,
// 0 for whatever it is.
func (tx *Tx) ChangeRole(ctx context.Context, actor audit.Actor, role access.Role, version int64) (CustomRole, error) {
	tx.Lock(ctx, accessLock)
	ground, giver, err := tx.definer(ctx, actor)
	if err != nil {
		return CustomRole{}, err
	}
	before, err := tx.CustomRole(ctx, role.ID)
	if err != nil {
		return CustomRole{}, err
	}
	if err := before.changeable(version); err != nil {
		return CustomRole{}, err
	}
	after := before
	after.Role = role.Tidied()
	next, err := access.Define(giver, ground, &before.Role, after.Role)
	if err != nil {
		return CustomRole{}, err
	}
	alters := before.Alters(after.Role)
	if !alters && before.Name == after.Name && before.Description == after.Description {
		return before, nil
	}
	after.Version, after.Modified = before.Version+1, tx.now.UTC().Truncate(time.Microsecond)
	write := func() error { return tx.putRole(ctx, actor, before, after, "") }
	if !alters {
		return after, write()
	}
	carriers := ground.Catalogue.Carriers(role.ID)
	used, err := tx.rolesInUse(ctx, ground, carriers)
	if err != nil {
		return CustomRole{}, err
	}
	if err := access.Redefine(giver, ground, used); err != nil {
		return CustomRole{}, err
	}
	return after, tx.redefine(ctx, ground.Catalogue, next, role.ID, carriers, write)
}

// redefine changes what people have by a role, and refuses it where it would leave a protected role without its last holder or
// somebody with roles that exclude each other.
func (tx *Tx) redefine(
	ctx context.Context, was, next *access.Catalogue, role id.Role, carriers []id.Role, write func() error,
) error {
	var people, meeting []id.User
	var err error
	loses := slices.ContainsFunc(was.Protected(), func(p id.Role) bool { return was.Carries(role, p) && !next.Carries(role, p) })
	if loses {
		if people, err = tx.peopleWith(ctx, carriers); err != nil {
			return err
		}
	}
	excludes := slices.ContainsFunc(next.Exclusives(role), func(r id.Role) bool { return !was.Carries(role, r) })
	if excludes {
		if meeting, err = tx.meeting(ctx, carriers, next.Excluded(role)); err != nil {
			return err
		}
	}
	if err := tx.keepHolders(ctx, people, write); err != nil {
		return err
	}
	for _, u := range meeting {
		e, err := tx.Access(ctx, u)
		if err != nil {
			return err
		}
		if err := access.Exclusive(e); err != nil {
			return err
		}
	}
	if was.HasExclusive() {
		if err := tx.reviewParked(ctx); err != nil {
			return err
		}
	}
	if gains := slices.ContainsFunc(next.Protected(), func(p id.Role) bool { return next.Carries(role, p) && !was.Carries(role, p) }); gains {
		if people, err = tx.peopleWith(ctx, carriers); err != nil {
			return err
		}
		return tx.holdersFound(ctx, people)
	}
	return nil
}

func (tx *Tx) putRole(ctx context.Context, actor audit.Actor, before, after CustomRole, reason string) error {
	if _, err := tx.exec(ctx, `
		update custom_roles
		set name = $1, document = $2, version = $3, modified = $4
		where organization = $5
			and id = $6`, after.Name, encode(after.Role), after.Version, micros(after.Modified), tx.Organization, after.ID); err != nil {
		return fmt.Errorf("change the custom role %s: %w", after.ID, err)
	}
	tx.recordRole(ctx, actor, "custom-role.changed", &before, &after, reason)
	return nil
}

// DeleteRole deletes a custom role that is in use nowhere; else the refusal says where. What is over goes with it, or a role made
// under the same id would find old holders.
func (tx *Tx) DeleteRole(ctx context.Context, actor audit.Actor, role id.Role, version int64) error {
	tx.Lock(ctx, accessLock)
	ground, giver, err := tx.definer(ctx, actor)
	if err != nil {
		return err
	}
	before, err := tx.CustomRole(ctx, role)
	if err != nil {
		return err
	}
	if err := before.changeable(version); err != nil {
		return err
	}
	if err := access.Undefine(giver, ground, before.Role); err != nil {
		return err
	}
	use, err := tx.RoleUse(ctx, role)
	if err != nil {
		return err
	}
	if where := use.Sentences(); len(where) > 0 {
		return fault.New(fault.Conflict, "%s is in use: %s. Take it out there first.", before.Name, strings.Join(where, "; ")).
			WithCode(access.CodeRoleInUse)
	}
	if err := tx.noteGone(ctx, actor, "role", string(role), "its role is deleted"); err != nil {
		return err
	}
	for _, table := range []string{"grants", "custom_roles"} {
		column := "role"
		if table == "custom_roles" {
			column = "id"
		}
		if _, err := tx.exec(ctx, `
			delete from `+table+`
			where organization = $1
				and `+column+` = $2`, tx.Organization, role); err != nil {
			return fmt.Errorf("delete the custom role %s: %w", role, err)
		}
	}
	tx.recordRole(ctx, actor, "custom-role.deleted", &before, nil, "")
	return nil
}

// withdrawFromRoles takes out of every organization's custom roles what the operator takes away, each with its event: what came back
// under the same id must not stand in them unasked.
func (tx *SystemTx) withdrawFromRoles(ctx context.Context, actor audit.Actor, reason string, without func(*access.Role) bool) error {
	organizations, err := column[id.Organization](tx.query(ctx, `
		select distinct organization
		from custom_roles
		order by organization`))
	if err != nil {
		return fmt.Errorf("read who has custom roles: %w", err)
	}
	for _, org := range organizations {
		if err := tx.In(org).withdrawFromRoles(ctx, actor, reason, without); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) withdrawFromRoles(ctx context.Context, actor audit.Actor, reason string, without func(*access.Role) bool) error {
	all, err := tx.CustomRoles(ctx)
	if err != nil {
		return err
	}
	for _, before := range all {
		after := before
		if !without(&after.Role) {
			continue
		}
		after.Version, after.Modified = before.Version+1, tx.now.UTC().Truncate(time.Microsecond)
		if err := tx.putRole(ctx, actor, before, after, reason); err != nil {
			return err
		}
	}
	return nil
}

func withoutPermission(gone id.Permission) func(*access.Role) bool {
	return func(r *access.Role) bool {
		kept := slices.DeleteFunc(slices.Clone(r.Permissions), func(p id.Permission) bool { return p == gone })
		changed := len(kept) < len(r.Permissions)
		r.Permissions = kept
		return changed
	}
}

func withoutRole(gone id.Role) func(*access.Role) bool {
	return func(r *access.Role) bool {
		named := func(other id.Role) bool { return other == gone }
		before := len(r.Includes) + len(r.MayGrant)
		r.Includes, r.MayGrant = slices.DeleteFunc(slices.Clone(r.Includes), named), slices.DeleteFunc(slices.Clone(r.MayGrant), named)
		return len(r.Includes)+len(r.MayGrant) < before
	}
}

package store

import (
	"context"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
)

// DeclaredCustomRole is a role that a file makes in one organization.
type DeclaredCustomRole struct {
	Organization id.Organization
	access.Role
}

func (tx *SystemTx) declaredCustomRoles(ctx context.Context, d *Declared) (err error) {
	d.CustomRoles, err = collect[DeclaredCustomRole](tx.query(ctx, `
		select organization, id, name, document
		from custom_roles
		where source = $1
		order by organization, id`, fromFile))(func(s scanner) (r DeclaredCustomRole, err error) {
		var role id.Role
		var name string
		err = s.Scan(&r.Organization, &role, &name, decode(&r.Role))
		r.ID, r.Name, r.Custom = role, name, true
		return r, err
	})
	if err != nil {
		return fmt.Errorf("read the custom roles of files: %w", err)
	}
	return nil
}

// PutDeclaredCustomRole makes a custom role or replaces what it is, one that was made by hand under the same id too.
func (tx *SystemTx) PutDeclaredCustomRole(ctx context.Context, r DeclaredCustomRole) {
	tx.queue(`
		insert into custom_roles (organization, id, name, document, source, made_by, made_by_name, version, created, modified)
		values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)
		on conflict (organization, id) do update set name = excluded.name, document = excluded.document, source = excluded.source,
			version = custom_roles.version + 1, modified = excluded.modified`,
		r.Organization, r.ID, r.Name, encode(r.Role), fromFile, "apply", "the operator's file", micros(tx.now))
	// Read anew by whatever this transaction still decides.
	tx.In(r.Organization).BumpOrganization(ctx)
}

// DropDeclaredCustomRole takes a custom role away, out of others too, and every grant and mapping of it.
func (tx *SystemTx) DropDeclaredCustomRole(ctx context.Context, r DeclaredCustomRole, actor audit.Actor) error {
	in := tx.In(r.Organization)
	if err := in.noteGone(ctx, actor, "role", string(r.ID), "its role is removed"); err != nil {
		return err
	}
	tx.queue(`delete from grants where organization = $1 and role = $2`, r.Organization, r.ID)
	tx.queue(`delete from group_roles where organization = $1 and role = $2`, r.Organization, r.ID)
	tx.queue(`delete from custom_roles where organization = $1 and id = $2`, r.Organization, r.ID)
	in.BumpOrganization(ctx)
	return in.withdrawFromRoles(ctx, actor, "the role "+string(r.ID)+" is removed", withoutRole(r.ID))
}

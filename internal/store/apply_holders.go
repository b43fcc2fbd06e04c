package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// HeldRoles says which protected roles have an active holder, by organization.
type HeldRoles map[id.Organization][]id.Role

// HeldRoles reads them.
func (tx *SystemTx) HeldRoles(ctx context.Context) (HeldRoles, error) {
	organizations, err := column[id.Organization](tx.query(ctx, `
		select organization
		from organizations
		order by organization`))
	if err != nil {
		return nil, fmt.Errorf("list the organizations: %w", err)
	}
	held := HeldRoles{}
	for _, org := range organizations {
		in := tx.In(org)
		catalogue, err := in.Catalogue(ctx)
		if err != nil {
			return nil, err
		}
		held[org] = []id.Role{}
		for _, role := range catalogue.Protected() {
			holder, err := in.holder(ctx, catalogue, role, in.now, nil)
			if err != nil {
				return nil, err
			}
			if holder != nil {
				held[org] = append(held[org], role)
			}
		}
	}
	return held, nil
}

// KeepHeldRoles refuses what a declaration has just changed where it takes the last active holder of a protected role from
// an organization. An organization that is gone, and a role that is protected no longer, lose nothing.
func (tx *SystemTx) KeepHeldRoles(ctx context.Context, before HeldRoles) error {
	after, err := tx.HeldRoles(ctx)
	if err != nil {
		return err
	}
	for _, org := range slices.Sorted(maps.Keys(before)) {
		still, exists := after[org]
		if !exists {
			continue
		}
		in := tx.In(org)
		catalogue, err := in.Catalogue(ctx)
		if err != nil {
			return err
		}
		for _, role := range before[org] {
			if slices.Contains(still, role) || !slices.Contains(catalogue.Protected(), role) {
				continue
			}
			self, err := in.Self(ctx)
			if err != nil {
				return err
			}
			name := catalogue.Name(role)
			return fault.New(fault.Conflict, "%s would lose its last active %s. Make someone else %s of %s first.",
				self.Name, name, name, self.Name).WithCode(access.CodeLast)
		}
	}
	return nil
}

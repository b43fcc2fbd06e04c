package store

import (
	"context"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/audit"
)

// noteGone records what goes with a role, a resource or a group that is about to be taken away: each grant, mapping and
// restriction by itself, so that the log of a person says why a role is there no longer. The column's name comes from this
// package only.
func (tx *Tx) noteGone(ctx context.Context, actor audit.Actor, column, value, reason string) error {
	grants, err := collect[Grant](tx.query(ctx, `
		select `+grantColumns+`
		from grants
		where organization = $1
			and `+column+` = $2
		order by id`, tx.Organization, value))(scanGrant)
	if err != nil {
		return fmt.Errorf("read the grants that go: %w", err)
	}
	for _, g := range grants {
		g.Reason = reason
		if err := tx.recordGrant(ctx, actor, "grant.revoked", &g, nil); err != nil {
			return err
		}
	}
	// The mappings of a group that goes stay and wait for another; a declared one goes by the file's own word.
	if column != "group_id" {
		mappings, err := collect[Mapping](tx.query(ctx, `
			select `+mappingColumns+`
			from group_roles
			where organization = $1
				and source = $2
				and `+column+` = $3
			order by id`, tx.Organization, MappingManual, value))(scanMapping)
		if err != nil {
			return fmt.Errorf("read the mappings that go: %w", err)
		}
		ground, err := tx.ground(ctx)
		if err != nil {
			return err
		}
		for _, m := range mappings {
			tx.Record(ctx, audit.Event{
				Actor: actor, Action: "mapping.deleted", TargetKind: "mapping", TargetID: string(m.ID),
				TargetName: mappingName(ground, m), Before: auditJSON(m.record()), Reason: reason,
			})
		}
	}
	if column == "role" {
		return nil // a restriction names actions, no role
	}
	return tx.noteLifted(ctx, actor, column, value, reason)
}

func (tx *Tx) noteLifted(ctx context.Context, actor audit.Actor, column, value, reason string) error {
	restrictions, err := collect[Restriction](tx.query(ctx, `
		select `+restrictionColumns+`
		from restrictions
		where organization = $1
			and `+column+` = $2
		order by id`, tx.Organization, value))(scanRestriction)
	if err != nil {
		return fmt.Errorf("read the restrictions that go: %w", err)
	}
	for _, r := range restrictions {
		tx.Record(ctx, audit.Event{
			Actor: actor, Action: "restriction.lifted", TargetKind: "restriction", TargetID: string(r.ID), TargetName: string(r.Resource),
			User: r.User, Before: auditJSON(r.record()), Reason: reason,
		})
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// SetCustomAccess switches a user off the organization's default roles, or back to them. It is a switch of its own: a grant
// never sets it, and switching back brings the defaults back as they are then. Whoever switches manages the user and could
// give the default roles.
func (tx *Tx) SetCustomAccess(ctx context.Context, user id.User, custom bool, actor audit.Actor, reason string) error {
	var name, status string
	var now bool
	// The user's row is locked before the access of the organization, in the order that suspending takes.
	err := tx.queryRow(ctx, `
		select case when display_name <> '' then display_name else user_name end, status, custom_access
		from users
		where organization = $1
			and id = $2`+tx.d.forUpdate(), tx.Organization, user).Scan(&name, &status, &now)
	if errors.Is(err, errNoRows) || err == nil && status == statusDeleted {
		return notFound("user", user)
	}
	if err != nil || now == custom {
		return err
	}
	tx.Lock(ctx, accessLock)
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return err
	}
	if err := tx.mayManage(ctx, giver, user); err != nil {
		return err
	}
	for _, d := range ground.Organization.DefaultRoles {
		at := d.Resource
		if at == "" {
			at = ground.Tree.Root()
		}
		if _, may := giver.May(ground, d.Role, at); !may {
			return fault.New(fault.Forbidden, "You may not give or take the default role %s at %s.", ground.Catalogue.Name(d.Role),
				ground.Tree.Name(at)).WithCode(access.CodeCeiling)
		}
	}
	return tx.keepHolders(ctx, []id.User{user}, func() error {
		if _, err := tx.exec(ctx, `
			update users
			set custom_access = $1, updated = $2
			where organization = $3
				and id = $4`, custom, micros(tx.now), tx.Organization, user); err != nil {
			return fmt.Errorf("switch the access of user %s: %w", user, err)
		}
		tx.Record(ctx, audit.Event{
			Actor: actor, Action: "user.access-switched", TargetKind: "user", TargetID: string(user), TargetName: name, User: user,
			Before: auditJSON(map[string]bool{"custom_access": now}), After: auditJSON(map[string]bool{"custom_access": custom}),
			Reason: reason,
		})
		if !custom {
			e, err := tx.Access(ctx, user)
			if err != nil {
				return err
			}
			return access.Exclusive(e)
		}
		return tx.reviewParked(ctx)
	})
}

// mayManage refuses a giver whose users.manage does not reach the user.
func (tx *Tx) mayManage(ctx context.Context, giver access.Giver, user id.User) error {
	if giver.Operator {
		return nil
	}
	of, err := tx.Access(ctx, user)
	if err != nil {
		return err
	}
	if !giver.Access.Reaches(access.UsersManage, of) {
		return fault.New(fault.Forbidden, "You do not manage %s. Whoever manages users there, or above, can.", of.User.Name)
	}
	return nil
}

// Settle is "leave as is" in the inbox: nobody needs to give these users a role. It is for those who may give roles, and a
// note that a user writes later brings the user back into it. Whoever is settled already stays so. The fault is NotFound where one
// alone is asked for who is not there; of several, whoever has gone is left out.
func (tx *Tx) Settle(ctx context.Context, actor audit.Actor, users ...id.User) error {
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return err
	}
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	if !giver.Operator && !giver.Any(ground) {
		return fault.New(fault.Forbidden, "The inbox is for those who may give roles.").WithCode(access.CodeCeiling)
	}
	found, err := collect[directory.User](tx.query(ctx, `
		select `+userColumns+`
		from users u
		where u.organization = $1
			and `+tx.d.amongFew("u.id", tx.d.elements("$2"))+`
		order by u.id`+tx.d.forUpdate(), tx.Organization, encode(users)))(func(s scanner) (directory.User, error) { return tx.scanUser(s) })
	if err != nil {
		return fmt.Errorf("read whom to settle: %w", err)
	}
	if len(users) == 1 && len(found) == 0 {
		return noUser(users[0])
	}
	var settled []id.User
	for i := range found {
		u := &found[i]
		if !u.SettledAt.IsZero() {
			continue
		}
		settled = append(settled, u.ID)
		tx.Record(ctx, audit.Event{
			Actor: actor, Action: "user.settled", TargetKind: "user", TargetID: string(u.ID), TargetName: u.Name(), User: u.ID,
			Before: auditJSON(map[string]bool{"settled": false}), After: auditJSON(map[string]bool{"settled": true}),
		})
	}
	if len(settled) > 0 {
		tx.queue(`
			update users
			set settled_at = $3, settled_by = $4
			where organization = $1
				and `+tx.d.amongFew("id", tx.d.elements("$2")), tx.Organization, encode(settled), micros(tx.now), actor.Name)
	}
	return nil
}

package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Suspend takes a user's access until it is lifted, whatever the user's sources say: sessions, codes and tokens end with
// this transaction. The last active holder of a protected role is refused, and so is oneself.
func (tx *Tx) Suspend(ctx context.Context, user id.User, actor audit.Actor, reason string) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	switch {
	case u.Status == directory.Deleted:
		return fault.New(fault.Conflict, "%s is deleted.", u.Name())
	case actor.Kind == audit.ActorUser && actor.ID == string(user):
		return fault.New(fault.Conflict, "You cannot suspend yourself: you could not lift it again. Another administrator can.")
	case !u.SuspendedAt.IsZero():
		return nil
	}
	if err := tx.guardLastHolder(ctx, u.ID); err != nil {
		return err
	}
	tx.queue(`
		update users
		set suspended_at = $3, suspended_by = $4
		where organization = $1
			and id = $2`, tx.Organization, user, micros(tx.now), actor.Name)
	if err := tx.transition(ctx, u, directory.Suspended, actor); err != nil {
		return err
	}
	tx.recordUser(ctx, actor, "user.suspended", u, status(u.Status), status(directory.Suspended), reason)
	return nil
}

// Reactivate lifts an administrator's suspension. It is refused while the user's directory says inactive, since the user
// would stay without access and nobody would see why, and while no seat is free.
func (tx *Tx) Reactivate(ctx context.Context, user id.User, actor audit.Actor, reason string) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	if u.Status == directory.Deleted {
		return fault.New(fault.Conflict, "%s is deleted; restore the user instead.", u.Name())
	}
	next, err := tx.statusOf(ctx, u, false)
	if err != nil {
		return err
	}
	if next == directory.Suspended {
		return fault.New(fault.Conflict, "The directory that pushes %s says that the account is inactive. Activate it there, or keep the user without the directory.", u.Name()).WithCode("directory-inactive")
	}
	if u.SuspendedAt.IsZero() {
		return nil
	}
	tx.queue(`
		update users
		set suspended_at = null, suspended_by = null
		where organization = $1
			and id = $2`, tx.Organization, user)
	if err := tx.activate(ctx, u, next, actor); err != nil {
		return err
	}
	tx.recordUser(ctx, actor, "user.reactivated", u, status(u.Status), status(next), reason)
	return nil
}

// KeepWithoutDirectory is an administrator's explicit word that a user stays though the user's directory says otherwise,
// or takes that word back.
func (tx *Tx) KeepWithoutDirectory(ctx context.Context, user id.User, keep bool, actor audit.Actor, reason string) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	switch {
	case err != nil:
		return err
	case u.Status == directory.Deleted:
		return fault.New(fault.Conflict, "%s is deleted; restore the user instead.", u.Name())
	case u.KeptWithoutDirectory == keep:
		return nil
	}
	u.KeptWithoutDirectory = keep
	next, err := tx.statusOf(ctx, u, !u.SuspendedAt.IsZero())
	if err != nil {
		return err
	}
	if next != directory.Active && u.Status == directory.Active {
		if err := tx.guardLastHolder(ctx, u.ID); err != nil {
			return err
		}
	}
	tx.queue(`
		update users
		set kept_without_directory = $3
		where organization = $1
			and id = $2`, tx.Organization, user, keep)
	if err := tx.activate(ctx, u, next, actor); err != nil {
		return err
	}
	if next == directory.Deleted {
		tx.bury(u)
	}
	tx.recordUser(ctx, actor, "user.kept", u, map[string]any{"kept_without_directory": !keep, "status": u.Status},
		map[string]any{"kept_without_directory": keep, "status": next}, reason)
	return nil
}

// DeleteUser deletes a user that no directory speaks for; the tombstone keeps the grants for a restore. One that a
// directory pushes is refused: the directory would go on telling of it.
func (tx *Tx) DeleteUser(ctx context.Context, user id.User, actor audit.Actor, reason string) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	if u.Status == directory.Deleted {
		return nil
	}
	records, err := tx.recordsOf(ctx, user)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		return fault.New(fault.Conflict, "%s is pushed by a directory. Remove the user there, or suspend it here.", u.Name()).WithCode("pushed")
	}
	if err := tx.guardLastHolder(ctx, u.ID); err != nil {
		return err
	}
	if err := tx.transition(ctx, u, directory.Deleted, actor); err != nil {
		return err
	}
	tx.bury(u)
	tx.recordUser(ctx, actor, "user.deleted", u, status(u.Status), status(directory.Deleted), reason)
	return nil
}

// RestoreUser brings a deleted user back with the grants it had, and with the ways to sign in that closed with the user, as
// far as nobody else has come by them since: who is restored must be able to come in, and may do so on the administrator's
// word, not by signing in. Old sessions and tokens stay dead. Refused while a live user holds the userName, or no seat is
// free.
func (tx *Tx) RestoreUser(ctx context.Context, user id.User, actor audit.Actor, reason string) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	if u.Status != directory.Deleted {
		return nil
	}
	holder, err := tx.UserNamed(ctx, u.UserName)
	if err != nil {
		return err
	}
	if holder != nil {
		return fault.New(fault.Conflict, "%s holds the userName %s now. Change one of the two first.", holder.Name(), u.UserName).WithCode("user-name-taken")
	}
	// What the directory that spoke for the user took back, it does not give again: from here on the user stands on the
	// administrator's word.
	u.KeptWithoutDirectory = u.KeptWithoutDirectory || u.Local == directory.NoSource
	next, err := tx.statusOf(ctx, u, !u.SuspendedAt.IsZero())
	if err != nil {
		return err
	}
	tx.queue(`
		update users
		set deleted_at = null, kept_without_directory = $3
		where organization = $1
			and id = $2`, tx.Organization, user, u.KeptWithoutDirectory)
	tx.queue(`
		update identities
		set closed = null
		where organization = $1
			and user_id = $2
			and closed = $3
			and not exists (
				select 1
				from identities o
				where o.organization = $1
					and o.connection = identities.connection
					and o.issuer = identities.issuer
					and o.subject = identities.subject
					and o.closed is null)`, tx.Organization, user, micros(u.DeletedAt))
	if err := tx.activate(ctx, u, next, actor); err != nil {
		return err
	}
	tx.recordUser(ctx, actor, "user.restored", u, status(u.Status), status(next), reason)
	return nil
}

// SetNote keeps what somebody without access wrote to the administrators.
func (tx *Tx) SetNote(ctx context.Context, user id.User, note string, actor audit.Actor) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil || u.Note == note {
		return err
	}
	tx.queue(`
		update users
		set note = $3, noted_at = $4, settled_at = null, settled_by = null
		where organization = $1
			and id = $2`, tx.Organization, user, orNull(note), micros(tx.now))
	tx.recordUser(ctx, actor, "user.noted", u, nil, map[string]any{"note": note}, "")
	return tx.tellNote(ctx, u, note)
}

// activate is transition for our own doors, where a user without a seat is refused instead of waiting.
func (tx *Tx) activate(ctx context.Context, u *directory.User, next directory.Status, actor audit.Actor) error {
	if err := tx.transition(ctx, u, next, actor); err != nil {
		return err
	}
	if next == directory.Active && !u.Seated {
		return fault.New(fault.Conflict, "All seats of this organization are taken, so %s cannot become active. Suspend somebody, or raise the limit.", u.Name()).WithCode("no-seat")
	}
	return nil
}

// transition moves a user to a status in this transaction: on the way in a seat is taken if one is free, and u.Seated says
// so; on the way out everything the user holds ends and the next in line gets the seat. It leaves u.Status for the event.
func (tx *Tx) transition(ctx context.Context, u *directory.User, next directory.Status, actor audit.Actor) error {
	if next == u.Status {
		return nil
	}
	seated := false
	if next == directory.Active {
		free, err := tx.seatFree(ctx)
		if err != nil {
			return err
		}
		seated = free
	}
	tx.queue(`
		update users
		set status = $3, seated = $4, updated = $5
		where organization = $1
			and id = $2`, tx.Organization, u.ID, next, seated, micros(tx.now))
	had := u.Status == directory.Active
	u.Seated = seated
	if had {
		if _, err := tx.EndUserSessions(ctx, u.ID); err != nil {
			return fmt.Errorf("end the sessions of user %s: %w", u.ID, err)
		}
		return tx.SeatWaiting(ctx, actor)
	}
	return nil
}

// bury closes what a deleted user could still be found by: its identities hold no claim on the upstream subject.
func (tx *Tx) bury(u *directory.User) {
	tx.queue(`
		update users
		set deleted_at = $3
		where organization = $1
			and id = $2`, tx.Organization, u.ID, micros(tx.now))
	tx.queue(`
		update identities
		set closed = $3
		where organization = $1
			and user_id = $2
			and closed is null`, tx.Organization, u.ID, micros(tx.now))
}

// statusOf works out what status the user's sources give.
func (tx *Tx) statusOf(ctx context.Context, u *directory.User, suspended bool) (directory.Status, error) {
	records, err := tx.recordsOf(ctx, u.ID)
	if err != nil {
		return "", err
	}
	return directory.StatusOf(directory.Facts{
		SuspendedByAdministrator: suspended, KeptWithoutDirectory: u.KeptWithoutDirectory, Local: u.Local, Records: records,
	}), nil
}

// recordsOf tells of each record of a user whether it counts as active: it says so, or an administrator undid that it does not.
func (tx *Tx) recordsOf(ctx context.Context, user id.User) ([]bool, error) {
	records, err := column[bool](tx.query(ctx, `
		select active = true or undone is not null
		from directory_records
		where organization = $1
			and user_id = $2`, tx.Organization, user))
	if err != nil {
		return nil, fmt.Errorf("read the records of user %s: %w", user, err)
	}
	return records, nil
}

// seatFree reports whether one more user may be active. Whoever asks about a limit waits for whoever asked before, so that
// two do not take the last seat.
func (tx *Tx) seatFree(ctx context.Context) (bool, error) {
	limit, _, err := tx.seats(ctx)
	if err != nil || limit == 0 {
		return err == nil, err
	}
	tx.Lock(ctx, "seats")
	limit, used, err := tx.seats(ctx)
	return used < limit, err
}

func (tx *Tx) seats(ctx context.Context) (limit, used int64, err error) {
	err = tx.queryRow(ctx, `
		select seat_limit, case when seat_limit is null then 0 else (
			select count(*)
			from users
			where organization = $1
				and status = 'active'
				and seated = true) end
		from organizations
		where organization = $1`, tx.Organization).Scan(orZero(&limit), &used)
	if err != nil {
		return 0, 0, fmt.Errorf("count the seats: %w", err)
	}
	return limit, used, nil
}

// Seats gives the organization's limit, 0 for none, and how many are taken.
func (tx *Tx) Seats(ctx context.Context) (limit, used int64, err error) {
	if limit, used, err = tx.seats(ctx); err != nil || limit != 0 {
		return limit, used, err
	}
	err = tx.queryRow(ctx, `
		select count(*)
		from users
		where organization = $1
			and status = 'active'
			and seated = true`, tx.Organization).Scan(&used)
	return 0, used, err
}

// SeatWaiting gives free seats to the active users that wait for one, in order of arrival. It follows whatever frees a
// seat: a user that leaves, a limit that is raised.
func (tx *Tx) SeatWaiting(ctx context.Context, actor audit.Actor) error {
	// The coalesce leads SQLite to the few without a seat; by the index of statuses it would read everybody who has one.
	var waiting bool
	err := tx.queryRow(ctx, `
		select exists (
			select 1
			from users
			where organization = $1
				and seated = false
				and coalesce(status, '') = 'active')`, tx.Organization).Scan(&waiting)
	if err != nil || !waiting {
		return err
	}
	tx.Lock(ctx, "seats")
	limit, used, err := tx.seats(ctx)
	if err != nil {
		return err
	}
	free := limit - used
	if limit == 0 {
		free = 1 << 40
	}
	if free <= 0 {
		return nil
	}
	seated, err := collect[directory.User](tx.query(ctx, `
		update users
		set seated = true
		where organization = $1
			and id in (
				select w.id
				from users w
				where w.organization = $1
					and w.seated = false
					and coalesce(w.status, '') = 'active'
				order by w.id
				limit $2)
		returning id, user_name, display_name`, tx.Organization, free))(func(s scanner) (u directory.User, err error) {
		err = s.Scan(&u.ID, &u.UserName, &u.DisplayName)
		return u, err
	})
	if err != nil {
		return fmt.Errorf("give free seats: %w", err)
	}
	for i := range seated {
		tx.recordUser(ctx, actor, "user.seated", &seated[i], map[string]any{"seated": false}, map[string]any{"seated": true}, "")
	}
	return nil
}

func status(s directory.Status) map[string]any { return map[string]any{"status": s} }

// recordUser writes the audit event of a change to a user.
func (tx *Tx) recordUser(ctx context.Context, actor audit.Actor, action string, u *directory.User, before, after map[string]any, reason string) {
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: action, TargetKind: "user", TargetID: string(u.ID), TargetName: u.Name(), User: u.ID,
		Before: object(before), After: object(after), Reason: reason,
	})
}

func object(m map[string]any) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	return json.RawMessage(encode(m))
}

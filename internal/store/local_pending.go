package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/scim"
)

// PendingLifetime is how long a provider's subject waits to be linked: as long as signing in the other way takes.
const PendingLifetime = 10 * time.Minute

// PendingIdentity is somebody whom a provider vouched for and whose address an account holds.
type PendingIdentity struct {
	ID         id.PendingIdentity
	Browser    string
	Attempt    id.Attempt // the sign-in that waits
	Connection id.Connection
	User       id.User // who holds the address
	Arrival    string  // what the provider said, sealed for PendingPlace
	Expires    time.Time
}

// PendingPlace is where what a provider said is sealed to.
func PendingPlace(p id.PendingIdentity) string { return "pending-identity/" + string(p) }

// HolderOf finds the one user to whom somebody with this address may be linked after showing that both are the same: active, alone in
// holding it, and without a subject of this connection. Nil where there is none.
func (tx *Tx) HolderOf(ctx context.Context, c id.Connection, address string) (*directory.User, error) {
	if scim.Fold(address) == "" {
		return nil, nil
	}
	users, err := collect[directory.User](tx.query(ctx, liveUsers(userColumns, "u.email_key = $2", "u.user_name_key = $3")+`
		order by id
		limit 2`, tx.Organization, scim.Fold(address), scim.UserNameKey(address)))(func(s scanner) (directory.User, error) { return tx.scanUser(s) })
	if err != nil {
		return nil, fmt.Errorf("look for who holds an address: %w", err)
	}
	if len(users) != 1 || !users[0].HasAccess() {
		return nil, nil
	}
	var bound bool
	err = tx.queryRow(ctx, `
		select exists (
			select 1
			from identities
			where organization = $1
				and user_id = $2
				and connection = $3
				and closed is null)`, tx.Organization, users[0].ID, c).Scan(&bound)
	if err != nil || bound {
		return nil, err
	}
	return &users[0], nil
}

// KeepPending keeps one.
func (tx *Tx) KeepPending(_ context.Context, p PendingIdentity) {
	tx.queue(`
		insert into pending_identities (organization, id, browser_hash, attempt, connection, user_id, arrival, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		tx.Organization, p.ID, p.Browser, p.Attempt, p.Connection, p.User, p.Arrival, micros(tx.now), micros(tx.now.Add(PendingLifetime)))
}

// Pending finds one that this browser brought.
func (tx *Tx) Pending(ctx context.Context, pending id.PendingIdentity, browser string) (PendingIdentity, error) {
	var p PendingIdentity
	err := tx.queryRow(ctx, `
		select id, browser_hash, attempt, connection, user_id, arrival, expires
		from pending_identities
		where organization = $1
			and id = $2
			and browser_hash = $3
			and expires > $4`, tx.Organization, pending, browser, micros(tx.now)).
		Scan(&p.ID, &p.Browser, &p.Attempt, &p.Connection, &p.User, &p.Arrival, at(&p.Expires))
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.Gone, "This took longer than ten minutes, was finished already, or was begun in another browser. Sign in again.").WithCode("attempt-over")
	}
	return p, err
}

// SessionOf finds the live session of a cookie's fingerprint in this transaction, and does not move its last use on.
func (tx *Tx) SessionOf(ctx context.Context, hash string) (sessions.Session, error) {
	return tx.scanSession(tx.queryRow(ctx, liveSession+` and s.hash = $3`, tx.Organization, micros(tx.now), hash))
}

// LinkIdentity links a provider's subject to a user who has just shown that both are the same person, and ends what somebody else
// could have prepared on the account: every session but the one in which it was shown, open links, a change of address under way,
// factors that were never shown to work. base is the public base URL, for the letter.
func (tx *Tx) LinkIdentity(
	ctx context.Context, c id.Connection, user id.User, p connection.Person, keep id.Session, base string, actor audit.Actor,
) (id.Identity, error) {
	if _, err := tx.oneUser(ctx, user, tx.d.forUpdate()); err != nil {
		return "", err
	}
	identity := tx.AttachIdentity(ctx, c, user, p)
	ended, err := tx.shutOut(ctx, user, keep)
	if err != nil {
		return "", err
	}
	tx.queue(`
		delete from factors
		where organization = $1
			and user_id = $2
			and confirmed is null`, tx.Organization, user)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "identity.attached", TargetKind: "identity", TargetID: string(identity), User: user,
		After: object(map[string]any{
			"connection": c, "subject": p.Subject, "found_by": "linked by the person", "match_value": p.Match, "sessions_ended": ended,
		}),
	})
	return identity, tx.PostSecurityNotice(ctx, user, "Your account can now be signed in to through your organization's identity provider.", actor.IP, "", base)
}

package store

import (
	"context"
	"errors"

	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
)

// AnswerAttempt spends the handle that came back beside a SAML response, whoever brought it: another site's page posts it, and
// with such a request no cookie comes (RFC 6265bis section 5.5.7.1, Lax). What it leads to is parked and waits for the browser
// that began. The handle is spent by the first response, believed or not, so that nobody asks twice with one.
func (tx *Tx) AnswerAttempt(ctx context.Context, connection id.Connection, stateHash string) (sessions.Attempt, Away, error) {
	return tx.takeAttempt(ctx, connection, stateHash, "")
}

// ParkAttempt keeps what a believed response said, sealed, under a new handle that only the browser that began can spend
// (TakeAttempt). A sign-in that was sent away again meanwhile is over.
func (tx *Tx) ParkAttempt(ctx context.Context, attempt id.Attempt, connection id.Connection, stateHash, sealed string) error {
	n, err := tx.exec(ctx, `
		update attempts
		set state_hash = $1, verifier = $2
		where id = $3 and organization = $4 and connection = $5 and state_hash is null and session_id is null
			and finished is null and expires > $6`,
		stateHash, sealed, attempt, tx.Organization, connection, micros(tx.now))
	if err == nil && n == 0 {
		err = attemptOver()
	}
	return err
}

// unasked stands in place of a browser on an attempt that a provider began: nobody's yet.
const unasked = "unasked/"

// ParkUnasked keeps what a response said that nobody asked for, as an attempt of its own whose browser is not known: the form
// came without cookies. The first browser that shows the handle is it (ClaimUnasked).
func (tx *Tx) ParkUnasked(_ context.Context, a sessions.Attempt, connection id.Connection, stateHash, sealed string) {
	tx.queue(`
		insert into attempts (id, browser_hash, organization, connection, state_hash, verifier, request, purpose, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		a.ID, unasked+string(a.ID), tx.Organization, connection, stateHash, sealed, string(a.Request), a.Purpose, micros(tx.now),
		micros(tx.now.Add(sessions.AttemptLifetime)))
}

// ClaimUnasked gives such an attempt to a browser, once, and what it keeps; the same browser may look again.
func (tx *Tx) ClaimUnasked(ctx context.Context, connection id.Connection, stateHash, browser string) (attempt id.Attempt, sealed string, err error) {
	err = tx.queryRow(ctx, `
		update attempts
		set browser_hash = $1
		where state_hash = $2 and organization = $3 and connection = $4 and finished is null and session_id is null
			and expires > $5 and verifier is not null and (browser_hash = '`+unasked+`' || id or browser_hash = $1)
		returning id, verifier`, browser, stateHash, tx.Organization, connection, micros(tx.now)).Scan(&attempt, &sealed)
	if errors.Is(err, errNoRows) {
		err = attemptOver()
	}
	return attempt, sealed, err
}

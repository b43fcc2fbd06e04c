package store

import (
	"context"
	"time"

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

// ConsumeMessage remembers a message's name until the given instant and says whether it is new: of two nodes that got the same
// one, one wins, and its row waits for the other's to commit or vanish.
func (tx *Tx) ConsumeMessage(ctx context.Context, name string, until time.Time) (fresh bool, err error) {
	n, err := tx.exec(ctx, `
		insert into counters (name, started, expires, hits)
		values ($1, 0, $2, 1)
		on conflict (name, started) do nothing`, name, micros(until))
	return n > 0, err
}

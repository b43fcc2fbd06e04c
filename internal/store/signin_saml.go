package store

import (
	"context"
	"errors"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
)

// samlAlgorithm marks the one key of signing_keys that is not the OpenID Provider's: it never rotates by itself, since every
// identity provider holds its certificate.
const samlAlgorithm = "SAML"

// SAMLKey reads the key that signs our SAML requests, and says whether there is one. Its Public is a JSON object that holds the certificate.
func (tx *SystemTx) SAMLKey(ctx context.Context) (SigningKey, bool, error) {
	var k SigningKey
	err := tx.queryRow(ctx, `
		select id, algorithm, state, private_key, public_key, created, activates
		from signing_keys
		where algorithm = $1 and gone is null
		order by created, id
		limit 1`, samlAlgorithm).
		Scan(&k.ID, &k.Algorithm, &k.State, &k.Private, &k.Public, at(&k.Created), at(&k.Activates))
	if errors.Is(err, errNoRows) {
		return k, false, nil
	}
	return k, err == nil, err
}

// AddSAMLKey keeps it.
func (tx *SystemTx) AddSAMLKey(_ context.Context, k SigningKey) {
	tx.queue(`
		insert into signing_keys (id, algorithm, state, private_key, public_key, created, activates)
		values ($1, $2, 'active', $3, $4, $5, $5)`,
		k.ID, samlAlgorithm, k.Private, k.Public, micros(tx.now))
}

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

package store

import (
	"context"
	"errors"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
)

// attemptOver is the one answer for an attempt that is not there, expired, finished, or another browser's: which of them, a
// stranger is not told.
func attemptOver() error {
	return fault.New(fault.Gone,
		"This sign-in is over: it was finished already, took longer than ten minutes, or was begun in another browser.").
		WithCode("attempt-over")
}

const attemptColumns = `id, browser_hash, organization, connection, purpose, request, session_id, created, expires`

func scanAttempt(r scanner) (sessions.Attempt, error) {
	var a sessions.Attempt
	err := r.Scan(&a.ID, &a.Browser, orEmpty(&a.Organization), orEmpty(&a.Connection), &a.Purpose, rawJSON(&a.Request),
		orEmpty(&a.Session), at(&a.Created), at(&a.Expires))
	if errors.Is(err, errNoRows) {
		err = attemptOver()
	}
	return a, err
}

// CreateAttempt begins a sign-in. ID, Browser, Purpose and Request are the caller's; the times are set here.
func (tx *SystemTx) CreateAttempt(_ context.Context, a sessions.Attempt) error {
	if a.Browser == "" {
		return fault.New(fault.Invalid, "A sign-in belongs to a browser.")
	}
	tx.queue(`
		insert into attempts (id, browser_hash, request, purpose, created, expires)
		values ($1, $2, $3, $4, $5, $6)`,
		a.ID, a.Browser, string(a.Request), a.Purpose, micros(tx.now), micros(tx.now.Add(sessions.AttemptLifetime)))
	return nil
}

// Attempt finds a sign-in that this browser has under way.
func (tx *SystemTx) Attempt(ctx context.Context, attempt id.Attempt, browser string) (sessions.Attempt, error) {
	return scanAttempt(tx.queryRow(ctx, `
		select `+attemptColumns+`
		from attempts
		where id = $1 and browser_hash = $2 and finished is null and expires > $3`, attempt, browser, micros(tx.now)))
}

// Away is what an attempt keeps while its person is at the upstream provider.
type Away struct {
	Organization id.Organization
	Connection   id.Connection
	StateHash    string
	Nonce        string
	Verifier     string // sealed
}

// SendAttempt keeps what the upstream callback will be judged by. Sending again, by a second click, makes the first one's
// state worthless.
func (tx *SystemTx) SendAttempt(ctx context.Context, attempt id.Attempt, browser string, a Away) error {
	n, err := tx.exec(ctx, `
		update attempts
		set organization = $1, connection = $2, state_hash = $3, nonce = $4, verifier = $5
		where id = $6 and browser_hash = $7 and finished is null and session_id is null and expires > $8`,
		a.Organization, a.Connection, a.StateHash, a.Nonce, a.Verifier, attempt, browser, micros(tx.now))
	if err == nil && n == 0 {
		err = attemptOver()
	}
	return err
}

// TakeAttempt spends the state of a callback: once, by the browser that was sent, at the connection it was sent to. Another
// browser's try spends nothing (it must not be able to burn a stranger's sign-in).
func (tx *Tx) TakeAttempt(ctx context.Context, connection id.Connection, stateHash, browser string) (sessions.Attempt, Away, error) {
	return tx.takeAttempt(ctx, connection, stateHash, ` and browser_hash = $5`, browser)
}

func (tx *Tx) takeAttempt(ctx context.Context, connection id.Connection, stateHash, whose string, browser ...any) (sessions.Attempt, Away, error) {
	var away Away
	var a sessions.Attempt
	// The row is read before it is emptied: returning gives new values only.
	err := tx.queryRow(ctx, `
		select `+attemptColumns+`, nonce, verifier
		from attempts
		where state_hash = $1 and organization = $2 and connection = $3 and finished is null and session_id is null
			and expires > $4`+whose+tx.d.forUpdate(),
		append([]any{stateHash, tx.Organization, connection, micros(tx.now)}, browser...)...).
		Scan(&a.ID, &a.Browser, orEmpty(&a.Organization), orEmpty(&a.Connection), &a.Purpose, rawJSON(&a.Request),
			orEmpty(&a.Session), at(&a.Created), at(&a.Expires), orEmpty(&away.Nonce), orEmpty(&away.Verifier))
	if errors.Is(err, errNoRows) {
		return a, away, attemptOver()
	}
	if err != nil {
		return a, away, err
	}
	away.Organization, away.Connection, away.StateHash = a.Organization, a.Connection, stateHash
	n, err := tx.exec(ctx, `
		update attempts
		set state_hash = null, nonce = null, verifier = null
		where id = $1 and state_hash = $2`, a.ID, stateHash)
	if err == nil && n == 0 {
		err = attemptOver()
	}
	return a, away, err
}

// LandAttempt ties an attempt to the session that came of it, in the transaction that keeps the session.
func (tx *Tx) LandAttempt(ctx context.Context, attempt id.Attempt, browser string, session id.Session) error {
	n, err := tx.exec(ctx, `
		update attempts
		set session_id = $1
		where id = $2 and browser_hash = $3 and organization = $4 and session_id is null and finished is null
			and expires > $5`, session, attempt, browser, tx.Organization, micros(tx.now))
	if err == nil && n == 0 {
		err = attemptOver()
	}
	return err
}

// FinishAttempt consumes a landed attempt: once, by the browser that began it. Its Organization is the one the person signed
// in to, its Session the one that came of it.
func (tx *SystemTx) FinishAttempt(ctx context.Context, attempt id.Attempt, browser string) (sessions.Attempt, error) {
	return scanAttempt(tx.queryRow(ctx, `
		update attempts
		set finished = $1
		where id = $2 and browser_hash = $3 and session_id is not null and finished is null and expires > $1
		returning `+attemptColumns, micros(tx.now), attempt, browser))
}

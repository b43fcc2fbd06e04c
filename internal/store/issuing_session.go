package store

import (
	"context"

	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
)

// SessionByHash finds the live session of a cookie's fingerprint, with its person's state, inside a transaction. The fault is
// Unauthenticated where there is none.
func (tx *Tx) SessionByHash(ctx context.Context, hash string) (sessions.Session, error) {
	return tx.scanSession(tx.queryRow(ctx, liveSession+` and s.hash = $3`, tx.Organization, micros(tx.now), hash))
}

// SessionByID is the same for the session an attempt landed with, or the one a page view found a moment ago.
func (tx *Tx) SessionByID(ctx context.Context, session id.Session) (sessions.Session, error) {
	return tx.scanSession(tx.queryRow(ctx, liveSession+` and s.id = $3`, tx.Organization, micros(tx.now), session))
}

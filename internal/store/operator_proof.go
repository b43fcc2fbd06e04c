package store

import (
	"context"
	"errors"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// OperatorSessionSince gives when the operator of a live session gave their password. A fault of kind Unauthenticated where
// there is none.
func (tx *SystemTx) OperatorSessionSince(ctx context.Context, hash string) (since time.Time, err error) {
	err = tx.queryRow(ctx, `
		select created
		from operator_sessions
		where hash = $1
			and expires > $2`, hash, micros(tx.now)).Scan(at(&since))
	if errors.Is(err, errNoRows) {
		return time.Time{}, fault.New(fault.Unauthenticated, "Your session is over.")
	}
	return since, err
}

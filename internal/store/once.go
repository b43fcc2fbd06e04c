package store

import (
	"context"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// What may be met once, on whichever node: messages of other parties, and forms that make a secret.

// ConsumeMessage remembers a message's name until the given instant and says whether it is new: of two nodes that got the same
// one, one wins, and its row waits for the other's to commit or vanish.
func (tx *Tx) ConsumeMessage(ctx context.Context, name string, until time.Time) (fresh bool, err error) {
	n, err := tx.exec(ctx, `
		insert into counters (name, started, expires, hits)
		values ($1, 0, $2, 1)
		on conflict (name, started) do nothing`, name, micros(until))
	return n > 0, err
}

// onceFor is how long the id of a form that was sent is remembered: longer than a browser keeps a page, or anybody a session.
const onceFor = 30 * 24 * time.Hour

// SentFirst says whether a form is sent for the first time, on whichever node, by the id that it carries (page.OnceField). It is
// undone with its transaction: what was refused for another reason may be sent again.
func (tx *Tx) SentFirst(ctx context.Context, form string) (first bool, err error) {
	if form == "" {
		return true, nil // of a page that an older node drew; it guards its own sender alone, so nobody gains by leaving it out
	}
	// The table is the installation's, and what somebody writes into a form has no bounds.
	if len(form) != len(id.New[string]()) {
		return false, fault.New(fault.Invalid, "The form could not be read.")
	}
	return tx.ConsumeMessage(ctx, "form/"+string(tx.Organization)+"/"+form, tx.now.Add(onceFor))
}

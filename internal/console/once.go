package console

import (
	"context"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// A form whose answer shows a secret cannot end in a redirect, which would have to keep the secret somewhere. So whoever loads the
// answer again sends the form again, and would make a second of what it makes. Such a form carries the id of its showing
// (page.OnceField), which is written down in the transaction that makes the thing: the second time it is met, on whichever node,
// nothing is made and a page says so.

// shownOnce is what a form makes and shows.
type shownOnce struct {
	What  string // "The token of Entra"
	Do    string // what to do where nobody copied it
	Back  templ.SafeURL
	Where string
}

// sentTwice is the answer to a form that was sent before.
type sentTwice struct{ of shownOnce }

func (s sentTwice) Error() string { return s.Unwrap().Error() }

func (s sentTwice) Unwrap() error {
	return fault.New(fault.Conflict, "%s was made when this form was sent the first time. What was shown then is not shown again, and nothing was made now.", s.of.What)
}

// failure is the page that says so.
func (s sentTwice) failure() (int, page.Failure) {
	status, f := page.FailureOf(s)
	f.Title, f.Do, f.Back, f.Where = "This form was sent already", s.of.Do, string(s.of.Back), s.of.Where
	return status, f
}

// once refuses a form that was sent before. It is undone with its transaction: what was refused for another reason may be sent again.
func (v *visit) once(tx *store.Tx, of shownOnce) error {
	return firstTime(v.ctx, tx, v.form("once"), of)
}

func firstTime(ctx context.Context, tx *store.Tx, form string, of shownOnce) error {
	first, err := tx.SentFirst(ctx, form)
	if err == nil && !first {
		err = sentTwice{of}
	}
	return err
}

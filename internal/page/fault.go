package page

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Failure is a page that says why something did not happen: what happened, what to do, and the code under which an
// administrator finds the whole story.
type Failure struct {
	Title string // what happened, as a heading
	Said  string // the fault's own sentence
	Do    string // what the reader can do about it
	Code  string // the short code, as in log and audit event
	Back  string // where "Back" leads; none when empty
	Where string // what "Back" is called; "Back" when empty
}

// answers says for each kind of fault which status a page has, what its heading is and what the reader can do.
var answers = map[fault.Kind]struct {
	status int
	title  string
	do     string
}{
	fault.Internal:        {http.StatusInternalServerError, "Something went wrong on our side", "Try again. If it stays, give the code below to whoever runs this installation."},
	fault.Invalid:         {http.StatusUnprocessableEntity, "That does not work as entered", "Go back, correct what is named above, and send it again."},
	fault.Unauthenticated: {http.StatusUnauthorized, "Please sign in", "Sign in and open the page again."},
	fault.Forbidden:       {http.StatusForbidden, "You may not do this", "Ask for the access named above, or go back to what you may see."},
	fault.NotFound:        {http.StatusNotFound, "There is nothing here", "Check the address. It may have been deleted, or it belongs to another organization."},
	fault.Conflict:        {http.StatusConflict, "That collides with something that exists", "Resolve what is named above, then try again."},
	fault.Stale:           {http.StatusPreconditionFailed, "Someone else changed this meanwhile", "Open the page again to see the present state, then repeat your change."},
	fault.Gone:            {http.StatusGone, "This is over", "Ask for a new link from whoever sent you this one."},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, "That is too much at once", "Send less and try again."},
	fault.TooMany:         {http.StatusTooManyRequests, "Too many attempts", "Wait a few minutes, then try again."},
	fault.Unavailable:     {http.StatusServiceUnavailable, "Not reachable at the moment", "Try again in a minute. Nothing was changed."},
	fault.Unsupported:     {http.StatusNotImplemented, "Not served here", "Nothing was changed. The documentation says what is served."},
}

// FailureOf is the one translation of a fault into a page. An error without a kind is an internal error: the reader
// gets a short code, the log gets everything.
func FailureOf(err error) (int, Failure) {
	kind := fault.KindOf(err)
	a := answers[kind]
	f := Failure{Title: a.title, Do: a.do}
	if ft := fault.As(err); ft != nil {
		f.Said, f.Code = ft.Message, ft.Code
	}
	if kind == fault.Internal {
		// The message of an internal fault may quote what a person should not see.
		f.Said = "The request could not be finished. Nothing was changed."
		if f.Code == "" {
			f.Code = Code()
		}
	}
	return a.status, f
}

// Refuse answers with the page of a fault. What only the log may know goes there, under the code the page shows.
func Refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	RefuseBack(w, r, log, err, "", "")
}

// RefuseBack is Refuse with a link that leads on from there.
func RefuseBack(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error, back, where string) {
	status, f := FailureOf(err)
	f.Back, f.Where = back, where
	if status >= http.StatusInternalServerError && status != http.StatusNotImplemented {
		log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "code", f.Code, "error", err)
	}
	RefuseWith(w, r, log, status, f)
}

// RefuseWith answers with a page of failure of the caller's own wording.
func RefuseWith(w http.ResponseWriter, r *http.Request, log *slog.Logger, status int, f Failure) {
	if err := Render(w, r, status, FailurePage(f)); err != nil {
		log.ErrorContext(r.Context(), "page of failure", "path", r.URL.Path, "error", err)
		http.Error(w, f.Title+".", status)
	}
}

// Code makes a short code for page, log and audit event: eight letters that are not mistaken for one another when read
// out over the telephone.
func Code() string {
	const letters = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	var s strings.Builder
	for i, c := range b {
		if i == 4 {
			s.WriteByte('-')
		}
		s.WriteByte(letters[int(c)%len(letters)])
	}
	return s.String()
}

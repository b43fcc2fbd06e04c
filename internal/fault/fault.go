// Package fault is the one kind of error that crosses packages: a kind that a face translates into its protocol's
// answer, and a sentence for a person. Whatever has no kind is an internal error: the caller gets a short code, the log
// gets everything.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what sort of refusal an error is. Each face (SCIM, OAuth, problem+json, page) maps every kind in one table.
type Kind int

// The kinds. Internal is the zero value: an error nobody classified.
const (
	Internal        Kind = iota
	Invalid              // the input is wrong: a field, a form, a value
	Unauthenticated      // no credential, or one that does not hold
	Forbidden            // known, but may not: the ceiling, a missing permission
	NotFound             // no such thing in this organization
	Conflict             // it exists already, or two rules collide
	Stale                // a precondition (If-Match) no longer holds
	Gone                 // it was there and is over: an expired link, a used code
	TooLarge             // more than a limit allows
	TooMany              // too often: a rate limit
	Unavailable          // an upstream or the store cannot be reached; trying again may help
	Unsupported          // lawful, and not served here
)

// Kinds lists all of them, for tests that walk every kind through a face.
var Kinds = []Kind{
	Internal, Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Stale, Gone, TooLarge, TooMany, Unavailable,
	Unsupported,
}

var kindNames = [...]string{
	"internal", "invalid", "unauthenticated", "forbidden", "not-found", "conflict", "stale", "gone", "too-large",
	"too-many", "unavailable", "unsupported",
}

// String gives the kind's name as it stands in logs.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "internal"
	}
	return kindNames[k]
}

// Field names one wrong part of an input, by its path as the caller wrote it.
type Field struct {
	Path    string
	Message string
}

// Fault is an error with a kind and a sentence that is safe to show.
type Fault struct {
	Kind    Kind
	Message string
	Code    string  // a short code that page, log and audit event share; may be empty
	Fields  []Field // the wrong fields, where the caller can use them
	cause   error
}

// New makes a fault with a sentence for a person.
func New(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a fault of an error that only the log may show.
func Wrap(cause error, kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Message: fmt.Sprintf(format, args...), cause: cause}
}

// WithCode gives the fault its short code and returns it.
func (f *Fault) WithCode(code string) *Fault {
	f.Code = code
	return f
}

// WithField adds one wrong field and returns the fault.
func (f *Fault) WithField(path, format string, args ...any) *Fault {
	f.Fields = append(f.Fields, Field{Path: path, Message: fmt.Sprintf(format, args...)})
	return f
}

// Error is for the log: the sentence and its cause.
func (f *Fault) Error() string {
	if f.cause != nil {
		return f.Message + ": " + f.cause.Error()
	}
	return f.Message
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.cause }

// As finds the fault in err, or nil where nobody classified it.
func As(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// KindOf gives err's kind; Internal where it has none.
func KindOf(err error) Kind {
	if f := As(err); f != nil {
		return f.Kind
	}
	return Internal
}

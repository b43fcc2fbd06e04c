// Package id holds the types of Vestibule's ids, so that swapping two of them does not compile, and makes new ones.
//
// Ids that an operator declares (organization, directory, connection, role, resource, application) are the operator's
// own words; the others are UUIDv7 (RFC 9562 section 5.7): ordered by time, so that an index grows at its end and a
// listing by id is a listing by age. An id is never a credential.
package id

import (
	"regexp"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// The kinds of id.
type (
	Organization    string
	User            string
	Group           string
	Resource        string
	Role            string
	Permission      string
	Grant           string
	Restriction     string
	GroupRole       string
	Directory       string
	Connection      string
	Application     string
	Identity        string
	Session         string
	Attempt         string
	Factor          string
	SSOException    string
	PendingIdentity string // a provider's subject that waits to be linked
	Family          string
	Conflict        string
	Operator        string
	APIToken        string
	Event           string
	Delivery        string
	Request         string // of a directory, in its log
	Invitation      string
	Webhook         string
	SetupLink       string
)

// New makes a UUIDv7 of the asked kind. It panics only if the system has no randomness, which is a broken machine.
func New[T ~string]() T {
	return T(uuid.Must(uuid.NewV7()).String())
}

var made atomic.Uint32

// At makes a UUIDv7 for what happened at t, which need not be now: the clock is the caller's. Those that one process makes for the
// same moment are in the order of their making (RFC 9562 section 6.2, method 1).
func At[T ~string](t time.Time) T {
	u, n := uuid.Must(uuid.NewRandom()), made.Add(1)
	stamp(&u, t)
	u[8], u[9], u[10] = 0x80|byte(n>>16)&0x3f, byte(n>>8), byte(n)
	return T(u.String())
}

// From gives the least UUIDv7 of t: what was made for t or later is not below it, what was made for a microsecond before is.
func From[T ~string](t time.Time) T {
	var u uuid.UUID
	stamp(&u, t)
	u[8] = 0x80
	return T(u.String())
}

// stamp writes the time as New does: milliseconds, and in the next twelve bits what is beyond them, by 256 nanoseconds.
func stamp(u *uuid.UUID, t time.Time) {
	if t.Before(time.Unix(0, 0)) {
		t = time.Unix(0, 0) // no id is older
	}
	ms, rest := t.UnixMilli(), t.Nanosecond()%int(time.Millisecond)>>8
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6], u[7] = 0x70|byte(rest>>8), byte(rest)
}

var declared = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Declared reports whether s may be an id in an operator's file: lower-case letters, digits, dot, dash and underscore,
// starting with a letter or digit, at most 63 characters. Such an id stands unescaped in a path, a cookie name and a log.
func Declared(s string) bool {
	return declared.MatchString(s)
}

// IsUUID reports whether s has the form of an id that New makes.
func IsUUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}

// Package id holds the types of Vestibule's ids, so that swapping two of them does not compile, and makes new ones.
//
// Ids that an operator declares (organization, directory, connection, role, resource, application) are the operator's
// own words; the others are UUIDv7 (RFC 9562 section 5.7): ordered by time, so that an index grows at its end and a
// listing by id is a listing by age. An id is never a credential.
package id

import (
	"regexp"

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

// Package session is what a browser holds after its person has signed in, and what it holds while they do: the words of
// a session and of an attempt, and the cookies that carry them. Rows are kept by the store; nothing here touches one.
//
// A browser has one session per organization, each in a cookie of its own, so that working for two organizations in two
// tabs works. The cookie holds a 256-bit handle; only its SHA-256 is kept (RFC 6265 section 8.4: a cookie is a bearer
// credential). A session that is used reads its user's state in the statement that finds it (store.Session), so a person who
// was deactivated is refused from that commit on, on every node.
package session

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Lifetimes of an organization that sets none.
const (
	DefaultLifetime = 12 * time.Hour
	DefaultIdle     = 2 * time.Hour
)

// TouchEvery is how stale last_seen may be: a page view within the same minute writes nothing.
const TouchEvery = time.Minute

// Session is one live session together with the person's facts, as the one statement read them.
type Session struct {
	ID           id.Session
	Organization id.Organization
	User         id.User
	Connection   id.Connection // empty when the person signed in without one
	Identity     id.Identity
	Created      time.Time
	LastSeen     time.Time
	Expires      time.Time
	Idle         time.Duration
	IP           string
	UserAgent    string
	// AuthTime is when the person authenticated, as the upstream provider says. It is the zero Time when the provider
	// did not say: such a session satisfies no max_age, and no auth_time is told downstream.
	AuthTime    time.Time
	ACR         string
	AMR         []string
	UpstreamSID string

	Email         string // of the user, now
	EmailVerified bool
	DisplayName   string
	UserName      string
}

// Start is what is needed to begin a session; the store makes the row.
type Start struct {
	ID          id.Session
	Hash        string // seal.Fingerprint of the handle in the cookie
	User        id.User
	Connection  id.Connection
	Identity    id.Identity
	Expires     time.Time
	Idle        time.Duration
	IP          string
	UserAgent   string
	AuthTime    time.Time
	ACR         string
	AMR         []string
	UpstreamSID string
	// Replaces is the fingerprint of the handle this browser held for this organization before, or empty. That session ends.
	Replaces string
}

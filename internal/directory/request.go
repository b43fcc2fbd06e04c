package directory

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// RequestLog says how a directory's requests are kept. The zero value keeps them for DefaultRetention, with their bodies.
type RequestLog struct {
	RetentionSeconds int64 `json:"retention_seconds,omitempty"`
	WithoutBodies    bool  `json:"without_bodies,omitempty"`
}

// DefaultRetention is how long requests are kept where the operator's file says nothing: long enough to find out about
// somebody who was missed when they came back from a holiday.
const DefaultRetention = 30 * 24 * time.Hour

// Retention is how long requests are kept.
func (l RequestLog) Retention() time.Duration {
	if l.RetentionSeconds <= 0 {
		return DefaultRetention
	}
	return time.Duration(l.RetentionSeconds) * time.Second
}

// TokenState says what a request had to show for itself.
type TokenState string

// The states of a request's token.
const (
	TokenGood    TokenState = "good"
	TokenExpired TokenState = "expired" // it was one of the directory's
	TokenUnknown TokenState = "unknown" // none, or one that never was the directory's
	TokenNone    TokenState = "console" // an administrator's dry run or replay
)

// Request is one request of a directory as its log keeps it: what was asked, what it came to, and what it changed. It
// holds no password and no token.
type Request struct {
	Directory    id.Directory
	ID           id.Request
	At           time.Time
	Method       string
	Path         string // below the directory's SCIM root
	Query        string
	Status       int
	Type         scim.ScimType
	Detail       string // of an error
	Took         time.Duration
	Operation    string // in words: "Added 3 people to London Team"
	ResourceKind string // User or Group, where it is about one
	ResourceID   string
	ResourceName string
	Search       string // everything it may be looked for by, folded
	Token        string // the id of the token it came with
	TokenState   TokenState
	IP           string
	Request      string // its id in the server's log and in the audit log
	Repairs      scim.Repairs
	Effects      []Effect
	ReplayOf     id.Request
	Whole        bool // the request's body is here as it came, but for what is masked
	Body, Answer string
}

// Failed reports whether the request was refused.
func (r *Request) Failed() bool { return r.Status >= 400 }

// Replayable says why the request cannot be sent again, or nil.
func (r *Request) Replayable() error {
	switch {
	case !r.Failed():
		return fault.New(fault.Conflict, "This request succeeded. Only a refused one is sent again; what the directory has said since must not be undone.")
	case r.TokenState == TokenExpired || r.TokenState == TokenUnknown:
		return fault.New(fault.Forbidden, "This request came without a valid token, so nobody knows who sent it. Once the token is renewed, the directory sends it again.")
	case r.Method == "GET":
		return fault.New(fault.Conflict, "This request only read. There is nothing to send again.")
	case !r.Whole:
		return fault.New(fault.Conflict, "The body of this request was not kept whole, so it cannot be sent again.")
	}
	return nil
}

// Effect is one thing that a request did.
type Effect struct {
	Action string `json:"action"` // of the audit event: user.created
	Said   string `json:"said"`   // as a sentence
	User   string `json:"user,omitempty"`
	Group  string `json:"group,omitempty"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Access string `json:"access,omitempty"` // "given" or "taken", where the effect is about access
}

// The values of Effect.Access.
const (
	AccessGiven = "given"
	AccessTaken = "taken"
)

// Pasted is a request that an administrator wants to see answered.
type Pasted struct {
	Method string
	Path   string // below the directory's SCIM root, with its query
	Body   string
}

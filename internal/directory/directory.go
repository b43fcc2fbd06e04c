// Package directory knows what an identity provider that pushes people to us says about them, and what follows for the
// person: a directory record holds the state, and a user's status is worked out from its records and its other sources.
// It decides over loaded facts and touches no database.
package directory

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Directory is an identity provider that pushes users and groups by SCIM.
type Directory struct {
	ID      id.Directory
	Name    string
	Dialect string // of package scim
	// Key is the attribute that identifies a person here and at sign-in: externalId, userName or emails.
	Key         string
	Version     int64
	Created     time.Time
	LastRequest time.Time
	Tokens      []Token
	Clients     []Client
	Settings
}

// Token is a directory's bearer token, known by its hash.
type Token struct {
	ID        string
	Hash      string
	Prefix    string // the first characters, for people to tell tokens apart
	Source    string // file, cli or console: only what a file declared does a file take away
	MadeBy    string // the name of who made it, where it was not a file
	Created   time.Time
	Expires   time.Time // zero: never
	FirstUsed time.Time
	LastUsed  time.Time
}

// Live reports whether a token opens the door at a time.
func (t *Token) Live(now time.Time) bool { return t.Expires.IsZero() || now.Before(t.Expires) }

// TokenMark starts every token made here, so that a scanner for leaked secrets knows one when it sees it.
const TokenMark = "vsc_"

// Client is an OAuth client of a directory: it gets short-lived bearer tokens at the directory's own token endpoint, by a
// secret or by an assertion under one of its keys.
type Client struct {
	ID         string
	SecretHash string
	Keys       string // a JWK Set as JSON
	KeysURL    string // where its JWK Set is
	Created    time.Time
	LastUsed   time.Time
}

// Sources of a token.
const (
	TokenFromFile    = "file"
	TokenFromCLI     = "cli"
	TokenFromConsole = "console"
)

// The keys a directory may identify people by.
const (
	KeyExternalID = "externalId"
	KeyUserName   = "userName"
	KeyEmail      = "emails"
)

// Status is what a user may do at all.
type Status string

// The statuses.
const (
	Pending   Status = "pending" // invited, not accepted
	Active    Status = "active"
	Suspended Status = "suspended"
	Deleted   Status = "deleted" // kept as a tombstone
)

// LocalSource is why a user exists whom no directory speaks for.
type LocalSource string

// The local sources.
const (
	NoSource     LocalSource = ""
	JustInTime   LocalSource = "just-in-time"
	Invited      LocalSource = "invited" // not accepted yet
	Invitation   LocalSource = "invitation"
	ByOperator   LocalSource = "operator"
	WithoutOne   LocalSource = "without-directory" // named in Sources of a user kept by an administrator
	SourceRecord LocalSource = "directory"         // named in Sources of a user with a live record
)

// Facts is all that a user's status follows from.
type Facts struct {
	SuspendedByAdministrator bool
	KeptWithoutDirectory     bool
	Local                    LocalSource
	Records                  []bool // of each live record, whether it says active
}

// StatusOf works out a user's status from its sources.
//
//   - An administrator's suspension holds whatever the sources say.
//   - A live record speaks for the user: an earlier just-in-time sign-in or invitation no longer counts, so that
//     active=false cannot be outvoted by it. Another directory's live record, or an administrator's explicit "keep without
//     directory", can.
//   - Without any record the local source counts, and without any source the user is deleted.
func StatusOf(f Facts) Status {
	alive := f.KeptWithoutDirectory
	for _, active := range f.Records {
		alive = alive || active
	}
	none := len(f.Records) == 0 && !f.KeptWithoutDirectory
	switch {
	case none && f.Local == NoSource:
		return Deleted
	case f.SuspendedByAdministrator:
		return Suspended
	case none && f.Local == Invited:
		return Pending
	case none || alive:
		return Active
	}
	return Suspended
}

// User is a person's account in one organization.
type User struct {
	Organization id.Organization
	ID           id.User
	Status       Status
	// Seated is false for an active user beyond the organization's seat limit, who waits for a seat and has no access.
	Seated               bool
	SuspendedAt          time.Time // by an administrator; zero where a directory's active=false is the reason
	SuspendedBy          string
	UserName             string
	Email                string
	EmailVerified        bool
	DisplayName          string
	GivenName            string
	FamilyName           string
	Local                LocalSource
	KeptWithoutDirectory bool
	CustomAccess         bool
	SettledAt            time.Time // "leave as is" was pressed in the inbox
	SettledBy            string
	Note                 string // what the person wrote on the page that said there is no access
	NotedAt              time.Time
	Created, Updated     time.Time
	DeletedAt            time.Time
	LastSeen             time.Time
	LastLogin            time.Time
	LastLoginIP          string
	Logins               int64
	Groups               []Group  // direct ones, where they were asked for
	Sources              []Source // where they were asked for
}

// Name is the user as a person would say it.
func (u *User) Name() string {
	switch {
	case u.DisplayName != "":
		return u.DisplayName
	case u.Email != "":
		return u.Email
	}
	return u.UserName
}

// HasAccess reports whether the user may have access at all: active and within the seats.
func (u *User) HasAccess() bool { return u.Status == Active && u.Seated }

// Source is one thing a user's access rests on, for people to read.
type Source struct {
	Kind      LocalSource
	Directory id.Directory // of a record
	Active    bool
	Unsaid    bool // the record no longer says whether the person is active; Active is what it said last
	Undone    bool // an administrator undid that it says inactive
	Since     time.Time
}

// Unsaid says that a directory took away what it said about active, and what holds instead.
func Unsaid(active bool) string {
	kept := "inactive"
	if active {
		kept = "active"
	}
	return "The directory no longer says whether this person is active; kept: " + kept + "."
}

// Record is what one directory says about one person.
type Record struct {
	Directory  id.Directory
	User       id.User
	ExternalID string
	Active     bool
	Unsaid     time.Time // since then it does not say whether the person is active; Active is what it said last
	Document   []byte    // as scim.StoredDocument wrote it
	Version    int64
	Created    time.Time
	Modified   time.Time
}

// Group is a set of users and groups: local, pushed by a directory, or named by a connection's claims.
type Group struct {
	ID          id.Group
	Name        string
	Directory   id.Directory  // pushed by it
	Connection  id.Connection // claimed by it
	ExternalID  string
	Version     int64
	Created     time.Time
	Modified    time.Time
	MemberCount int // where it was asked for
}

// Local reports whether the group is the organization's own.
func (g *Group) Local() bool { return g.Directory == "" && g.Connection == "" }

// Member is a user or a group in a group.
type Member struct {
	ID     string
	Kind   MemberKind
	Source MemberSource
	Name   string
	Added  time.Time
}

// MemberKind says what a member is.
type MemberKind string

// The kinds of member.
const (
	UserMember  MemberKind = "user"
	GroupMember MemberKind = "group"
)

// MemberSource says who put a member into a group; only the same side takes it out.
type MemberSource string

// The sources of membership.
const (
	MemberPushed  MemberSource = "scim"
	MemberClaimed MemberSource = "claim"
	MemberByHand  MemberSource = "manual"
)

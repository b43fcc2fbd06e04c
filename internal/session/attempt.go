package session

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// AttemptLifetime is how long a person may take to sign in: long enough to find a phone, short enough that a request left
// open on a shared machine dies.
const AttemptLifetime = 10 * time.Minute

// Purpose says where a finished attempt goes.
type Purpose string

// The purposes.
const (
	ForApplication Purpose = "authorize" // to /authorize/resume
	ForSAML        Purpose = "saml"      // to /saml/idp/resume
	ForConsole     Purpose = "console"   // to its return target
	ForTest        Purpose = "test"      // to its report: nobody is signed in
	ForLogout      Purpose = "logout"    // to its return target, once the provider has ended its own session
	ForParting     Purpose = "parting"   // from one SAML application to the next, each of which is told that the session has ended
)

// Attempt is a sign-in under way. Its row is the whole state: any node may serve the next step, two tabs have two rows, and
// each step is one conditional statement.
//
//	state      reached by                                     left by
//	---------  ---------------------------------------------  --------------------------------------------------------
//	begun      GET /authorize or /signin keeps the request    choosing a connection -> away; expiry
//	away       state, nonce and verifier kept, browser sent   callback with that state, by the same browser, once ->
//	           to the upstream provider                       landed; refused -> begun (the state is spent either way)
//	landed     the person is found, the session row exists    GET .../resume of issuing or the console's redirect -> finished
//	finished   consumed                                       nothing
//
// All states are bound to the browser that began: its cookie's hash stands on the row, and every statement compares it. That
// is what stops an attacker's browser from collecting what a victim signed in to, and the reverse (login CSRF, RFC 6749
// section 10.12).
type Attempt struct {
	ID           id.Attempt
	Browser      string          // seal.Fingerprint of the browser cookie
	Organization id.Organization // where the person signs in; empty until known
	Connection   id.Connection   // empty until known
	Purpose      Purpose
	Request      json.RawMessage // the saved request; its keys that matter here are those of Request
	Session      id.Session      // set once landed
	Created      time.Time
	Expires      time.Time
}

// Hints is what sign-in reads of a saved request. The names are those of the authorize request's parameters, so the
// request of an application can be kept as it is.
type Hints struct {
	Application  id.Application  `json:"client_id,omitempty"`
	LoginHint    string          `json:"login_hint,omitempty"`
	Organization id.Organization `json:"organization,omitempty"`
	Connection   id.Connection   `json:"connection,omitempty"`
	Prompt       []string        `json:"prompt,omitempty"`
	MaxAge       *int64          `json:"max_age,omitempty"`
	ReturnTo     string          `json:"return_to,omitempty"` // console only
	ACRValues    []string        `json:"acr_values,omitempty"`
	StepUp       bool            `json:"step_up,omitempty"` // the person is signed in and proves it again
	// Invitation is the one that is accepted by this sign-in, InvitationHash the hash of the link that opened it.
	Invitation     id.Invitation `json:"invitation,omitempty"`
	InvitationHash string        `json:"invitation_hash,omitempty"`
	Enrol          string        `json:"enrol,omitempty"` // and then enrols a factor of this kind
}

// Hints reads the saved request.
func (a Attempt) Hints() (Hints, error) {
	var h Hints
	err := json.Unmarshal(a.Request, &h)
	return h, err
}

// Forced says whether the person must authenticate anew.
func (h Hints) Forced() bool {
	for _, p := range h.Prompt {
		if p == "login" {
			return true
		}
	}
	return h.MaxAge != nil && *h.MaxAge == 0
}

// OwnPath gives s back if it is a path of this host, else "/". Browsers read a backslash as a slash, drop tabs and line
// ends, and take two leading slashes for a host, so each of these is an open redirect in disguise.
func OwnPath(s string) string {
	if len(s) > 2048 || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return "/"
	}
	for _, r := range s {
		if r == '\\' || r <= ' ' || r == 0x7f || r > 0x7e {
			return "/"
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.ContainsAny(u.Path, "\\\r\n\t") {
		return "/"
	}
	return s
}

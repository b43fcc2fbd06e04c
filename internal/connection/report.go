package connection

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// CheckName is one of the things a test sign-in looks at.
type CheckName string

// The checks of an OpenID sign-in, and those of a SAML one. What both have bears one name.
const (
	CheckProvider  CheckName = "provider"  // its documents can be had and used
	CheckAnswer    CheckName = "answer"    // it sent the person back, without an error
	CheckCode      CheckName = "code"      // the code and our proof are worth tokens
	CheckSignature CheckName = "signature" // signed by a key that is pinned or published
	CheckIssuer    CheckName = "issuer"
	CheckSubject   CheckName = "subject"
	CheckAudience  CheckName = "audience"
	CheckTimes     CheckName = "times"
	CheckNonce     CheckName = "nonce" // it answers this very sign-in
	CheckPins      CheckName = "pins"  // tid, hd and acr are those demanded
	CheckFresh     CheckName = "fresh" // as recent as demanded
	CheckUserinfo  CheckName = "userinfo"

	CheckShape       CheckName = "shape" // XML that can be read in one way only
	CheckStatus      CheckName = "status"
	CheckDestination CheckName = "destination"
	CheckDecryption  CheckName = "decryption"
	CheckContext     CheckName = "authn-context"
	CheckAttributes  CheckName = "attributes"
	CheckReplay      CheckName = "replay"

	CheckMatch   CheckName = "match"   // the declared claim is there
	CheckAddress CheckName = "address" // an address, vouched for
	CheckGroups  CheckName = "groups"  // the group claim is there and complete
	CheckRecord  CheckName = "record"  // somebody would be signed in
)

// Checks lists what is looked at, in the order in which it is; one that fails keeps those after it from being reached. The last
// four judge a sign-in that was believed, each by itself.
func Checks(p Protocol) []CheckName {
	if p == SAML {
		return []CheckName{
			CheckProvider, CheckShape, CheckDestination, CheckIssuer, CheckNonce, CheckStatus, CheckDecryption, CheckSignature,
			CheckTimes, CheckAudience, CheckSubject, CheckContext, CheckAttributes, CheckReplay, CheckMatch, CheckAddress,
			CheckGroups, CheckRecord,
		}
	}
	return []CheckName{
		CheckProvider, CheckAnswer, CheckCode, CheckSignature, CheckIssuer, CheckSubject, CheckAudience, CheckTimes, CheckNonce,
		CheckPins, CheckFresh, CheckUserinfo, CheckMatch, CheckAddress, CheckGroups, CheckRecord,
	}
}

// Outcome is how a check ended.
type Outcome string

// The outcomes. A warning does not keep a test from being passed.
const (
	Passed     Outcome = "pass"
	Warned     Outcome = "warn"
	Failed     Outcome = "fail"
	NotReached Outcome = "not-reached"
)

// Check is one line of a report.
type Check struct {
	Name    CheckName `json:"name"`
	Outcome Outcome   `json:"outcome"`
	Said    string    `json:"said,omitempty"` // what was found, for the administrator
	Fix     string    `json:"fix,omitempty"`  // in the provider's words
}

// Claim is one thing the provider said. Values are shown as they came, but for what could be used again.
type Claim struct {
	From   string   `json:"from"` // "ID token", "userinfo", "assertion"
	Name   string   `json:"name"`
	Values []string `json:"values"`
	Masked bool     `json:"masked,omitempty"`
	Means  string   `json:"means,omitempty"` // what it is taken for here
}

// Coverage says how many people of the directory could sign in through the connection as it is.
type Coverage struct {
	Directory id.Directory `json:"directory"`
	Name      string       `json:"name"`
	Records   int64        `json:"records"`           // live ones
	Keyless   int64        `json:"keyless,omitempty"` // without a value of the key
	Shared    int64        `json:"shared,omitempty"`  // whose key another record has too
	// Sampled records were looked at for whether their key looks like the value that came; Unlike did not, Example is one of them.
	Sampled int64  `json:"sampled,omitempty"`
	Unlike  int64  `json:"unlike,omitempty"`
	Example string `json:"example,omitempty"`
}

// Passed says whether everything that must hold did; a warning does not count against it.
func (r *Report) Passed() bool {
	if len(r.Checks) == 0 {
		return false
	}
	for _, c := range r.Checks {
		if c.Outcome == Failed || c.Outcome == NotReached {
			return false
		}
	}
	return true
}

// Report is what a test sign-in showed. Nothing of it was acted upon.
type Report struct {
	Protocol Protocol `json:"protocol"`
	Provider string   `json:"provider"` // id of the Provider whose words the fixes use
	Checks   []Check  `json:"checks"`
	Claims   []Claim  `json:"claims,omitempty"`
	// Unproven: the claims stand in a token that was refused; they are shown to find out why.
	Unproven bool      `json:"unproven,omitempty"`
	Person   *Person   `json:"person,omitempty"`
	Finding  *Finding  `json:"finding,omitempty"`
	Why      []string  `json:"why,omitempty"` // how the finding came about, a sentence each
	User     string    `json:"user,omitempty"`
	Groups   []string  `json:"groups,omitempty"`
	Coverage *Coverage `json:"coverage,omitempty"`
}

// Test is a test sign-in as it is kept.
type Test struct {
	ID         id.Attempt // also that of its attempt
	Connection id.Connection
	Version    int64 // of the connection's settings when it began
	TesterKind string
	Tester     string // id of who started it: a user, an operator
	TesterName string
	Started    time.Time
	Finished   time.Time // zero: under way, or given up
	Passed     time.Time // zero: not
	User       id.User   // whom it would have signed in
	Report     *Report   // nil until finished
}

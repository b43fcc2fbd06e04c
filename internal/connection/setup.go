package connection

import (
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// SetupPurpose is one thing that a setup link opens to somebody without an account.
type SetupPurpose string

// The purposes of a setup link.
const (
	SetUpSSO         SetupPurpose = "sso"         // a connection, from the choice of the provider to its test sign-in
	SetUpSCIM        SetupPurpose = "scim"        // one directory's base URL and a token for it
	SetUpDomain      SetupPurpose = "domain"      // the proof of domains
	SetUpCertificate SetupPurpose = "certificate" // the certificates of one SAML connection
)

// SetupPurposes are all of them, in the order of the steps.
var SetupPurposes = []SetupPurpose{SetUpDomain, SetUpSCIM, SetUpSSO, SetUpCertificate}

// Words says what is set up, as part of a sentence.
func (p SetupPurpose) Words() string {
	switch p {
	case SetUpSSO:
		return "single sign-on"
	case SetUpSCIM:
		return "provisioning (SCIM)"
	case SetUpDomain:
		return "the proof of your domain"
	case SetUpCertificate:
		return "a renewed certificate"
	}
	return string(p)
}

// SetupWords says what a link is for, as part of a sentence.
func SetupWords(purposes []SetupPurpose) string {
	var words []string
	for _, p := range purposes {
		words = append(words, p.Words())
	}
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ", ") + " and " + words[last]
	}
	return strings.Join(words, "")
}

// SetupTerm is how long a setup link lasts where nothing else is asked for; MaxSetupTerm, how long at most.
const (
	SetupTerm    = 7 * 24 * time.Hour
	MaxSetupTerm = 90 * 24 * time.Hour
)

// CleanSetup puts purposes in order, once each, and refuses what is none.
func CleanSetup(purposes []SetupPurpose) ([]SetupPurpose, error) {
	var out []SetupPurpose
	for _, p := range purposes {
		if !slices.Contains(SetupPurposes, p) {
			return nil, fault.New(fault.Invalid, "A setup link cannot be for %q.", p).WithField("purposes", "One of sso, scim, domain, certificate.")
		}
	}
	for _, p := range SetupPurposes {
		if slices.Contains(purposes, p) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "Say what the link is for.").WithField("purposes", "Choose at least one.")
	}
	return out, nil
}

// SetupState is what a link still is.
type SetupState string

// The states of a setup link. Only a waiting or opened one opens anything.
const (
	SetupWaiting  SetupState = "waiting"
	SetupOpened   SetupState = "opened"
	SetupFinished SetupState = "finished"
	SetupRevoked  SetupState = "revoked"
	SetupExpired  SetupState = "expired"
)

// Codes of a link that opens nothing.
const (
	CodeSetupUnknown  Code = "setup-link-unknown"
	CodeSetupFinished Code = "setup-link-finished"
	CodeSetupRevoked  Code = "setup-link-revoked"
	CodeSetupExpired  Code = "setup-link-expired"
	CodeSetupScope    Code = "setup-link-scope"
)

// ForContact is a report as somebody without an account may read it: what their provider sent and which checks it passed, and of the
// people here only whether one was found. Names, keys and counts of the directory's records are for the organization's administrators.
func (r *Report) ForContact() *Report {
	if r == nil {
		return nil
	}
	out := *r
	out.User, out.Coverage, out.Why, out.Finding = "", nil, nil, nil
	out.Checks = slices.Clone(r.Checks)
	for i := range out.Checks {
		c := &out.Checks[i]
		switch {
		case c.Name == CheckRecord && c.Outcome == Passed && r.Finding != nil && r.Finding.User == "":
			c.Said = "Nobody is known by this yet; a new user would be made."
		case c.Name == CheckRecord && c.Outcome == Passed:
			c.Said = "It leads to one person, who would be signed in."
		case c.Name == CheckRecord && r.Finding != nil:
			c.Said = string(r.Finding.Code) + ": this sign-in leads to nobody here. An administrator sees which record it was compared with."
		case c.Name == CheckMatch && r.Coverage != nil && c.Outcome == Warned:
			c.Said = "It looks unlike what the directory pushes as the same key. Compare the attribute mapping of both."
		}
	}
	return &out
}

package connection

import (
	"github.com/vestibule-id/vestibule/internal/id"
)

// Code is the short code of a refusal: page, log and audit event carry the same one.
type Code string

// The codes of this package.
const (
	CodeUnknownOrganization Code = "unknown-organization"
	CodeUnknownConnection   Code = "unknown-connection"
	CodeConnectionDisabled  Code = "connection-disabled"
	CodeNoConnection        Code = "no-connection"
	CodeOtherOrganization   Code = "other-organization"

	CodeSuspended     Code = "suspended"        // by an administrator
	CodeDeactivated   Code = "deactivated"      // by the directory
	CodePending       Code = "not-accepted"     // invited, not accepted
	CodeDeleted       Code = "deleted"          // a tombstone, never revived by signing in
	CodeOverLimit     Code = "over-the-limit"   // the user holds no seat
	CodeNoSeat        Code = "no-seat"          // a new user would need one
	CodeBoundElse     Code = "bound-to-another" // the record belongs to another subject of this connection
	CodeSeveral       Code = "several-records"  // the key fits more than one
	CodeKeysDiffer    Code = "keys-differ"      // the address fits a record whose key is another
	CodeNotPushed     Code = "not-provisioned"  // the directory knows nobody by this key
	CodeNoEmail       Code = "no-email"         // just in time needs an address
	CodeForeignDomain Code = "foreign-domain"   // an address outside the organization's proven domains
	CodeUnverified    Code = "email-unverified" // the provider does not vouch for the address
	CodeEmailTaken    Code = "address-taken"    // somebody else of the organization holds it
)

// Codes lists them, so that a test can see that each has its words on a page.
var Codes = []Code{
	CodeUnknownOrganization, CodeUnknownConnection, CodeConnectionDisabled, CodeNoConnection, CodeOtherOrganization,
	CodeSuspended, CodeDeactivated, CodePending, CodeDeleted, CodeOverLimit, CodeNoSeat, CodeBoundElse, CodeSeveral,
	CodeKeysDiffer, CodeEnforced, CodeNotLocal, CodeNotPushed, CodeNoEmail, CodeForeignDomain, CodeUnverified, CodeEmailTaken,
}

// Verified is what a provider says of an address. Three values, not two: silence is not a denial.
type Verified int

// The three.
const (
	Unsaid Verified = iota
	Yes
	No
)

// Person is whom a verified ID token speaks of. Subject and Match are compared byte for byte, without trimming or folding:
// a key that is nearly right is another person's.
type Person struct {
	Issuer        string
	Subject       string
	Match         string // the value of the connection's match claim; empty: absent
	Email         string
	EmailVerified Verified
}

// Standing is a user's state as sign-in sees it.
type Standing int

// The standings. Only Active signs in, and no sign-in ever changes a standing.
const (
	Active      Standing = iota
	Suspended            // by an administrator
	Deactivated          // by what the user's access rests on
	Pending              // invited, not accepted
	Deleted              // a tombstone
	Unseated             // active beyond the seat limit
)

// refusals says with which code each standing is turned away.
var refusals = map[Standing]Code{
	Suspended: CodeSuspended, Deactivated: CodeDeactivated, Pending: CodePending, Deleted: CodeDeleted, Unseated: CodeOverLimit,
}

// User is a user whom the facts mention.
type User struct {
	ID       id.User
	Standing Standing
}

// Record is a record of the connection's directory together with its user.
type Record struct {
	User   User
	Key    string // the value of the directory's key attribute; empty: none
	Active bool
	// Bound says that the user has an identity of this connection, of whatever subject, open or closed.
	Bound bool
	// BoundOpen says that one of them is open, hence another subject's than the one who now comes.
	BoundOpen bool
	// Protected says that the user holds a protected role: loaded only where the address is compared.
	Protected bool
}

// Facts is what the store knows about the person who comes.
type Facts struct {
	// Identity is the open identity of this connection, issuer and subject; User is whose.
	Identity id.Identity
	User     User
	// Closed says that a closed identity of the same subject exists: somebody was deprovisioned.
	Closed bool
	// ByKey are the live records of the connection's directory whose key equals the match value; ByEmail those with the address.
	ByKey, ByEmail []Record
	// DomainProven: the address lies in a domain proven for the organization. DomainOwn: for this very connection.
	DomainProven, DomainOwn bool
	// DomainAllowed: allowed_domains is empty or contains it.
	DomainAllowed bool
	// Taken: a live user of the organization holds the address, or a userName equal to it.
	Taken bool
	// Invited: who holds it is somebody who was invited and has not accepted, so the person who comes is sent to the invitation.
	Invited  bool
	SeatFree bool
}

// Step is what a finding asks the store to do, all in one transaction.
type Step int

// The steps.
const (
	Refuse Step = iota
	SignIn      // the identity is known
	Bind        // attach an identity to the user, then sign in
	Create      // make the user and its identity, then sign in
)

// How a record was found, for the audit event.
const (
	ByIdentity   = "identity"
	ByMatch      = "match"
	ByAddress    = "email"
	ByJustInTime = "just-in-time"
)

// Finding is the decision. Nothing is written on Refuse but one audit event with the code.
type Finding struct {
	Step     Step
	How      string
	User     id.User // the user who signs in, or whom the refusal concerns
	Identity id.Identity
	Code     Code
	// Held is the record's key where it differs from the person's: shown to the administrator beside it, never on the page.
	Held string
}

func refuse(code Code, user id.User) Finding { return Finding{Step: Refuse, Code: code, User: user} }

// Find decides who a person is; the first hit wins. The table is MODEL's "Finding the record at sign-in":
//
//	situation                                                                    outcome
//	---------------------------------------------------------------------------  --------------------------------------------
//	the identity is known                                                        sign in, if the user's standing allows
//	several live records of the directory carry the key                          refuse: several-records
//	one does, and an identity of this connection is open on its user             refuse: bound-to-another, never re-bound
//	one does                                                                     bind, if the user's standing allows
//	(where the key is itself an address, only in a domain proven for the organization)
//	one record has the address and no key, its user was never bound here, the    bind
//	domain is proven, the provider says verified, no protected role is held
//	one record has the address and another key                                   refuse: keys-differ
//	the connection makes users just in time                                      create, if justInTime allows
//	otherwise                                                                    refuse: not-provisioned
func Find(c Connection, p Person, f Facts) Finding {
	if f.Identity != "" {
		if code, turned := refusals[f.User.Standing]; turned {
			return refuse(code, f.User.ID)
		}
		return Finding{Step: SignIn, How: ByIdentity, User: f.User.ID, Identity: f.Identity}
	}
	if p.Match != "" && c.Directory != "" && (c.Settings.Match.Claim != "email" || f.DomainProven) {
		switch len(f.ByKey) {
		case 0:
		case 1:
			return bind(f.ByKey[0], ByMatch)
		default:
			return refuse(CodeSeveral, "")
		}
	}
	if c.Directory != "" && len(f.ByEmail) == 1 {
		r := f.ByEmail[0]
		switch {
		case r.Key != "" && p.Match != "":
			// Both sides have keys and they differ. A recycled address (a leaver's, given to a newcomer) looks just like this.
			found := refuse(CodeKeysDiffer, r.User.ID)
			found.Held = r.Key
			return found
		case r.Key == "" && !r.Bound && !r.Protected && f.DomainProven && p.EmailVerified == Yes && !f.Closed:
			return bind(r, ByAddress)
		}
	}
	return justInTime(c, p, f)
}

func bind(r Record, how string) Finding {
	if r.BoundOpen {
		return refuse(CodeBoundElse, r.User.ID)
	}
	if code, turned := refusals[r.User.Standing]; turned {
		return refuse(code, r.User.ID)
	}
	if !r.Active {
		// Another source keeps the user active, but the directory this connection belongs to says no.
		return refuse(CodeDeactivated, r.User.ID)
	}
	return Finding{Step: Bind, How: how, User: r.User.ID}
}

func justInTime(c Connection, p Person, f Facts) Finding {
	switch {
	case !c.Settings.JustInTime():
		return refuse(CodeNotPushed, "")
	case f.Closed:
		return refuse(CodeDeleted, "")
	}
	if code := holding(p, f); code != "" {
		return refuse(code, "")
	}
	if !f.SeatFree {
		return refuse(CodeNoSeat, "")
	}
	return Finding{Step: Create, How: ByJustInTime}
}

// holding says why a person may not hold their address here, or "".
func holding(p Person, f Facts) Code {
	switch {
	case p.Email == "":
		return CodeNoEmail
	case !f.DomainProven || !f.DomainAllowed:
		return CodeForeignDomain
	case p.EmailVerified == No, p.EmailVerified == Unsaid && !f.DomainOwn:
		return CodeUnverified
	case f.Taken && f.Invited:
		return CodePending
	case f.Taken:
		return CodeEmailTaken
	}
	return ""
}

// MayHold says whether a user whom no directory speaks for may take the address that their provider now sends: the same
// conditions as for a newcomer.
func MayHold(p Person, f Facts) bool { return holding(p, f) == "" }

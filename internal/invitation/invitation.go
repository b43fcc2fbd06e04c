// Package invitation decides who may be invited and what an invitation's link still opens. Like its neighbours it looks at
// loaded facts and touches no database.
//
// An invitation makes its user at once, of the status pending, and gives the roles to that user: so the address counts as
// held, the ceiling is asked at the moment of giving, and whatever the pending user becomes (accepted, joined by a
// directory) keeps what was given.
package invitation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/scim"
)

// State is where an invitation stands.
type State string

// The states.
const (
	Pending   State = "pending"
	Expired   State = "expired"   // can be sent again
	Accepted  State = "accepted"  //
	Revoked   State = "revoked"   //
	Overtaken State = "overtaken" // a directory has brought the person meanwhile
)

// The codes with which a link, or a row of a list, is refused. Page, log and audit event share them.
const (
	CodeUnknown   = "invitation-unknown"
	CodeExpired   = "invitation-expired"
	CodeUsed      = "invitation-used"
	CodeRevoked   = "invitation-revoked"
	CodeOvertaken = "invitation-overtaken"

	CodeAddress   = "bad-address"
	CodeTwice     = "twice-in-list"
	CodeHere      = "already-here"
	CodeInvited   = "already-invited"
	CodeDomain    = "domain-not-allowed"
	CodeReach     = "outside-reach"
	CodeNoSeatNow = "no-seat-now" // a warning: it can be accepted when a seat is free
)

// StateOf works an invitation's state out.
func StateOf(now, expires, accepted, revoked time.Time, waiting bool) State {
	switch {
	case !accepted.IsZero():
		return Accepted
	case !revoked.IsZero():
		return Revoked
	case !waiting:
		return Overtaken
	case !now.Before(expires):
		return Expired
	}
	return Pending
}

// Open refuses what is not pending, in words for whoever holds the link.
func (s State) Open(organization string) error {
	switch s {
	case Pending:
		return nil
	case Expired:
		return fault.New(fault.Gone, "This invitation to %s has expired. Whoever invited you, or an administrator of %s, can send it again.", organization, organization).WithCode(CodeExpired)
	case Accepted:
		return fault.New(fault.Gone, "This invitation to %s was accepted already. Sign in the way you chose then.", organization).WithCode(CodeUsed)
	case Overtaken:
		return fault.New(fault.Gone, "You do not need this invitation any more: %s knows you by now. Sign in with your company's account.", organization).WithCode(CodeOvertaken)
	case Revoked:
	}
	return fault.New(fault.Gone, "This invitation to %s was taken back. Ask whoever invited you.", organization).WithCode(CodeRevoked)
}

// Row is somebody to be invited.
type Row struct {
	Line   int // in what was pasted or uploaded; 0 for one that was typed
	Email  string
	Name   string
	Grants []access.Want
	Fault  string // why the row could not be read, where it could not
}

// Key is the address as it is compared.
func (r Row) Key() string { return Fold(r.Email) }

// Fold gives an address as addresses are compared here: without case, although RFC 5321 section 2.4 would let a host tell it apart.
func Fold(email string) string { return scim.Fold(strings.TrimSpace(email)) }

// Verdict is what would become of a row.
type Verdict struct {
	Code    string // empty: it can be sent
	Said    string
	Warning bool // it can be sent all the same
}

// Send reports whether the row can be sent.
func (v Verdict) Send() bool { return v.Code == "" || v.Warning }

// Err is the verdict as a refusal, or nil.
func (v Verdict) Err() error {
	if v.Send() {
		return nil
	}
	kind := fault.Invalid
	switch v.Code {
	case CodeHere, CodeInvited, CodeTwice, access.CodeExclusive:
		kind = fault.Conflict
	case CodeReach, access.CodeCeiling, access.CodeOutlasts:
		kind = fault.Forbidden
	}
	f := fault.New(kind, "%s", v.Said).WithCode(v.Code)
	if kind == fault.Invalid {
		f = f.WithField("email", "%s", v.Said)
	}
	return f
}

// Holder is a live user who holds an address already.
type Holder struct {
	Name    string
	Pending bool // invited, not accepted
}

// Facts is what Check looks at.
type Facts struct {
	Ground         *access.Facts // the organization, without a user
	Giver          access.Giver
	AllowedDomains []string
	Holders        map[string]Holder // by folded address or userName, of the rows at hand
	// Free is how many seats are free beyond those that pending users will want; negative: no limit.
	Free int64
}

// Check gives the verdict of each row, before anything is sent.
func Check(f *Facts, rows []Row, now time.Time) []Verdict {
	out := make([]Verdict, len(rows))
	first := map[string]int{}
	offers := map[string]Verdict{}
	sent := int64(0)
	for i, r := range rows {
		v := address(f, r)
		if v.Code == "" {
			if earlier, twice := first[r.Key()]; twice {
				v = Verdict{Code: CodeTwice, Said: fmt.Sprintf("The same address stands in %s already.", place(rows[earlier], earlier))}
			} else {
				first[r.Key()] = i
			}
		}
		if v.Code == "" {
			// A list gives most rows the same roles: what may be given is decided once for each set.
			key := fmt.Sprint(r.Grants)
			known, seen := offers[key]
			if !seen {
				known = offer(f, r.Grants, now)
				offers[key] = known
			}
			v = known
		}
		if v.Code == "" {
			if sent++; f.Free >= 0 && sent > f.Free {
				v = Verdict{Code: CodeNoSeatNow, Warning: true, Said: "No seat is free for this person now; the invitation can be accepted when one is."}
			}
		}
		out[i] = v
	}
	return out
}

func place(r Row, i int) string {
	if r.Line > 0 {
		return fmt.Sprintf("line %d", r.Line)
	}
	return fmt.Sprintf("row %d", i+1)
}

// address judges whom a row names.
func address(f *Facts, r Row) Verdict {
	if r.Fault != "" {
		return Verdict{Code: CodeAddress, Said: r.Fault}
	}
	if _, err := mail.ParseAddress(r.Email); err != nil {
		return Verdict{Code: CodeAddress, Said: fault.As(err).Message}
	}
	if holder, held := f.Holders[r.Key()]; held {
		if holder.Pending {
			return Verdict{Code: CodeInvited, Said: fmt.Sprintf("%s is invited already. Send that invitation again instead.", holder.Name)}
		}
		return Verdict{Code: CodeHere, Said: fmt.Sprintf("%s holds this address in %s already.", holder.Name, f.Ground.Organization.Name)}
	}
	domain := connection.DomainOf(r.Email)
	if len(f.AllowedDomains) > 0 && !slices.ContainsFunc(f.AllowedDomains, func(d string) bool { return connection.Domain(d) == domain }) {
		return Verdict{Code: CodeDomain, Said: fmt.Sprintf("%s invites only addresses of %s.", f.Ground.Organization.Name, strings.Join(f.AllowedDomains, ", "))}
	}
	return Verdict{}
}

// offer judges the roles of a row: under the giver's ceiling each, none excluding another or a default role, and within
// what the giver manages.
func offer(f *Facts, wants []access.Want, now time.Time) Verdict {
	reached := f.Giver.Operator || f.Giver.Access != nil && f.Giver.Access.Everywhere(access.UsersManage)
	who := *f.Ground
	who.User = access.User{ID: "invited", Name: "The person", Home: f.Ground.Organization.ID, Status: access.Active, Seated: true}
	for i, w := range wants {
		if err := access.Give(f.Giver, f.Ground, w, now); err != nil {
			return refusal(err)
		}
		reached = reached || f.Giver.Access != nil && f.Giver.Access.Allowed(access.UsersManage, w.Resource)
		who.Grants = append(who.Grants, access.Grant{
			ID: id.Grant(fmt.Sprint(i)), User: who.User.ID, Role: w.Role, Resource: w.Resource, Source: access.Invitation,
			Starts: w.Starts, Expires: w.Expires,
		})
	}
	if !reached {
		return Verdict{Code: CodeReach, Said: fmt.Sprintf("You manage users of a part of %s only: give the person a role there with the invitation.", f.Ground.Organization.Name)}
	}
	if err := access.Exclusive(access.Decide(&who, now)); err != nil {
		return refusal(err)
	}
	return Verdict{}
}

func refusal(err error) Verdict {
	f := fault.As(err)
	if f == nil {
		return Verdict{Code: "invalid", Said: "This cannot be given."}
	}
	v := Verdict{Code: f.Code, Said: f.Message}
	if v.Code == "" {
		v.Code = "invalid"
	}
	return v
}

package access

import (
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Giver is who gives or takes a role: the operator, whom no ceiling binds, or a user by its effective access in the
// organization the role is given in.
type Giver struct {
	Operator bool
	Access   *Effective // of the giver; nil for the operator
}

// Want is a role to be given at a resource.
type Want struct {
	Role     id.Role
	Resource id.Resource
	Starts   time.Time
	Expires  time.Time
}

// Codes that console, API and log share.
const (
	CodeCeiling   = "above-ceiling"
	CodeOutlasts  = "outlasts-own-grant"
	CodeExclusive = "exclusive-roles"
	CodeLast      = "last-holder"
)

// Give decides whether a role may be given. Receivers are those who would hold it: the user, or the members of a group as
// far as exclusive roles concern them.
func Give(giver Giver, f *Facts, want Want, now time.Time, receivers ...*Effective) error {
	if err := checkWant(f, want, now); err != nil {
		return err
	}
	if err := giver.ceiling(f, want); err != nil {
		return err
	}
	excluded := f.Catalogue.Excluded(want.Role)
	for _, r := range receivers {
		if err := r.outside(want); err != nil {
			return err
		}
		for _, h := range r.kept {
			if slices.Contains(excluded, h.Role) {
				return fault.New(fault.Conflict, "%s already holds %s, and nobody in %s may hold that together with %s.",
					r.User.Name, f.Catalogue.Name(h.Role), f.Organization.Name, f.Catalogue.Name(want.Role)).
					WithCode(CodeExclusive)
			}
		}
	}
	return nil
}

func checkWant(f *Facts, want Want, now time.Time) error {
	bad := fault.New(fault.Invalid, "This role cannot be given.")
	if _, known := f.Catalogue.Role(want.Role); !known {
		bad.WithField("role", "There is no role %q.", want.Role)
	}
	if _, known := f.Tree.Get(want.Resource); !known {
		bad.WithField("resource", "%s has no resource %q.", f.Organization.Name, want.Resource)
	}
	if !want.Expires.IsZero() && (!want.Expires.After(now) || !want.Expires.After(want.Starts)) {
		bad.WithField("expires", "It would be over before it began.")
	}
	if len(bad.Fields) > 0 {
		bad.Message += " " + bad.Fields[0].Message
		return bad
	}
	return nil
}

// ceiling holds the rule of every door: a role may be given at a resource by whoever holds, there or above, a role whose
// may_grant names it, and for no longer than the giver holds that role.
func (g Giver) ceiling(f *Facts, want Want) error {
	if !f.Catalogue.Covers(f.Organization.Available, want.Role) {
		return fault.New(fault.Forbidden, "%s may not use the role %s; an operator decides on that.", f.Organization.Name,
			f.Catalogue.Name(want.Role)).WithCode(CodeCeiling)
	}
	until, may := g.until(want.Role, want.Resource)
	switch {
	case !may:
		return fault.New(fault.Forbidden, "You may not give %s at %s. Whoever holds a role there, or above, that may give it can.",
			f.Catalogue.Name(want.Role), f.Tree.Name(want.Resource)).WithCode(CodeCeiling)
	case !until.IsZero() && (want.Expires.IsZero() || want.Expires.After(until)):
		return fault.New(fault.Forbidden, "Your own right to give %s ends on %s; what you give may not last longer.",
			f.Catalogue.Name(want.Role), until.UTC().Format("2006-01-02 15:04 UTC")).WithCode(CodeOutlasts)
	}
	return nil
}

// until gives how long the giver may give a role at a resource: the zero time for ever.
func (g Giver) until(r id.Role, at id.Resource) (until time.Time, may bool) {
	return g.longest(at, func(held *role) bool { return g.Access.catalogue.MayGrant(held.ID, r) })
}

// longest gives how long the giver holds one of some roles at a resource: the zero time for ever.
func (g Giver) longest(at id.Resource, of func(*role) bool) (until time.Time, may bool) {
	if g.Operator {
		return time.Time{}, true
	}
	if g.Access == nil {
		return time.Time{}, false
	}
	for _, h := range g.Access.Grants {
		if held := g.Access.catalogue.byID[h.Role]; held == nil || !of(held) || !g.Access.tree.Reaches(h.Resource, at) {
			continue
		}
		if h.Expires.IsZero() {
			return time.Time{}, true
		}
		if h.Expires.After(until) {
			until = h.Expires
		}
		may = true
	}
	return until, may
}

// May reports whether the giver may give a role at a resource at all, and until when (zero: for ever).
func (g Giver) May(f *Facts, r id.Role, at id.Resource) (until time.Time, may bool) {
	if _, known := f.Tree.Get(at); !known || !f.Catalogue.Covers(f.Organization.Available, r) {
		return time.Time{}, false
	}
	return g.until(r, at)
}

// Roles gives the roles the giver may give at a resource, in catalogue order: what a dialog offers.
func (g Giver) Roles(f *Facts, at id.Resource) []id.Role {
	var out []id.Role
	for _, r := range f.Catalogue.roles {
		if _, may := g.May(f, r.ID, at); may {
			out = append(out, r.ID)
		}
	}
	return out
}

// Any reports whether the giver may give anything anywhere: who may, sees the inbox.
func (g Giver) Any(f *Facts) bool {
	for _, at := range f.Tree.order {
		if len(g.Roles(f, at.ID)) > 0 {
			return true
		}
	}
	return false
}

// Revoke decides whether a stored grant may be taken away: under the same ceiling, without regard to time. What a
// directory or a claim gave is taken away there, or the next sync would bring it back and the log would lie.
func Revoke(giver Giver, f *Facts, g Grant) error {
	if !g.Source.byPeople() {
		return fault.New(fault.Conflict, "This role was given by %s and is taken away there.", g.By)
	}
	if _, may := giver.until(g.Role, g.Resource); !may {
		return fault.New(fault.Forbidden, "You may not take %s at %s away: you could not give it.", f.Catalogue.Name(g.Role),
			f.Tree.Name(g.Resource)).WithCode(CodeCeiling)
	}
	return nil
}

// Restrict decides whether a restriction may be put on a principal or lifted from it: the giver manages users there, and
// could give and take every role it cuts. Else a restriction would be a way to disarm one's own administrators, and lifting
// one a way to give what one may not give.
func Restrict(giver Giver, f *Facts, r Restriction, receivers ...*Effective) error {
	bad := fault.New(fault.Invalid, "This restriction cannot be set.")
	if _, known := f.Tree.Get(r.Resource); !known {
		bad.WithField("resource", "%s has no resource %q.", f.Organization.Name, r.Resource)
	}
	if len(r.Actions) == 0 {
		bad.WithField("actions", "At least one action is wanted.")
	}
	for i, a := range r.Actions {
		if !slices.ContainsFunc(f.Catalogue.permissions, func(p Permission) bool { return Action(p.ID) == a }) {
			bad.WithField(path("actions", i), "No permission ends in %q.", a)
		}
	}
	if len(bad.Fields) > 0 {
		bad.Message += " " + bad.Fields[0].Message
		return bad
	}
	if giver.Operator {
		return nil
	}
	if giver.Access == nil || !giver.Access.Allowed(UsersManage, r.Resource) {
		return fault.New(fault.Forbidden, "Restrictions at %s are set by those who manage users there.", f.Tree.Name(r.Resource)).
			WithCode(CodeCeiling)
	}
	for _, receiver := range receivers {
		for _, h := range receiver.kept {
			at := h.Resource
			switch {
			case f.Tree.Reaches(h.Resource, r.Resource):
				at = r.Resource
			case !f.Tree.Reaches(r.Resource, h.Resource):
				continue
			}
			cuts := slices.ContainsFunc(f.Catalogue.PermissionsOf(h.Role), func(p id.Permission) bool {
				return slices.Contains(r.Actions, Action(p))
			})
			if _, may := giver.until(h.Role, at); cuts && !may && h.Source != Default {
				return fault.New(fault.Forbidden, "%s holds %s, which you could not give; so you may not restrict it.",
					receiver.User.Name, f.Catalogue.Name(h.Role)).WithCode(CodeCeiling)
			}
		}
	}
	return nil
}

// Entrust decides whether someone may say whose account another's is: only who could give everything it was given.
func Entrust(giver Giver, f *Facts, of *Effective) error {
	for _, h := range of.kept {
		if h.Source == Default {
			continue
		}
		if _, may := giver.until(h.Role, h.Resource); !may {
			return fault.New(fault.Forbidden, "%s holds %s at %s, which you could not give. Whoever may give it decides this.",
				of.User.Name, f.Catalogue.Name(h.Role), f.Tree.Name(h.Resource)).WithCode(CodeCeiling)
		}
	}
	return nil
}

// ProtectedHeld gives the protected roles a user holds for its organization: at the root, in force, not cut by a
// restriction. A provider's users do not count: they leave with the relationship.
func (e *Effective) ProtectedHeld() []id.Role {
	if e.External() {
		return nil
	}
	return intersect(e.RootRoles(), e.catalogue.Protected())
}

// ProtectedUntil gives how long a user holds a protected role, the zero time for ever; false where it does not hold it.
func (e *Effective) ProtectedUntil(r id.Role) (until time.Time, held bool) {
	if !slices.Contains(e.ProtectedHeld(), r) {
		return time.Time{}, false
	}
	for _, h := range e.Grants {
		if h.Resource != e.tree.Root() || !e.catalogue.Carries(h.Role, r) {
			continue
		}
		if h.Expires.IsZero() {
			return time.Time{}, true
		}
		if h.Expires.After(until) {
			until = h.Expires
		}
	}
	return until, true
}

// Outlasts reports whether something that ends at a time (zero: never) lasts as long as another.
func Outlasts(end, other time.Time) bool {
	return end.IsZero() || !other.IsZero() && !end.Before(other)
}

// LastHolder refuses a change after which nobody active would hold a protected role that someone held before it, or hold it
// as long: a holder whose role ends next week is no one to leave an organization to. Before and after are the access of
// those the change concerns, after it also that of the longest other holder. The refusal says who must be promoted first.
func LastHolder(before, after []*Effective) error {
	for _, e := range before {
		for _, r := range e.ProtectedHeld() {
			until, _ := e.ProtectedUntil(r)
			kept, shorter := false, (*Effective)(nil)
			for _, other := range after {
				end, held := other.ProtectedUntil(r)
				kept = kept || held && Outlasts(end, until)
				if held {
					shorter = other
				}
			}
			if kept {
				continue
			}
			role, org := e.catalogue.Name(r), e.tree.Name(e.tree.Root())
			refused := fmt.Sprintf("%s is the last active %s of %s.", e.User.Name, role, org)
			if shorter != nil {
				end, _ := shorter.ProtectedUntil(r)
				refused = fmt.Sprintf("%s is the last active %s of %s who stays it: what %s holds ends on %s.", e.User.Name, role, org,
					shorter.User.Name, end.UTC().Format(time.DateOnly))
			}
			return fault.New(fault.Conflict, "%s Make someone else %s of %s first.", refused, role, org).WithCode(CodeLast)
		}
	}
	return nil
}

// Exclusive refuses a user's access as it would be after something people did, when roles in it exclude each other. It looks
// at what is given whatever the user's state: a suspension does not make the two compatible.
func Exclusive(after *Effective) error {
	_, parked := after.catalogue.park(after.kept)
	if len(parked) == 0 {
		return nil
	}
	return fault.New(fault.Conflict, "%s would hold %s together, which nobody in %s may.", after.User.Name,
		join(parked[0].Against, " and "), after.tree.Name(after.tree.Root())).WithCode(CodeExclusive)
}

// String says a role at a resource for a log line.
func (r RoleAt) String() string { return fmt.Sprintf("%s at %s", r.Role, r.Resource) }

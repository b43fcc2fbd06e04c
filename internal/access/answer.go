package access

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Because is the reason of an answer in a word, for programs.
type Because string

// The reasons. Where several hold, the one that would have to go first is given.
const (
	UnknownResource   Because = "unknown-resource"
	UnknownPermission Because = "unknown-action"
	NotActive         Because = "not-active"    // pending, suspended or deleted
	NoSeat            Because = "no-seat"       // over the organization's limit
	NotServed         Because = "not-served"    // a provider's user whose relationship is not in force
	NoSecondFactor    Because = "second-factor" // demanded and not shown
	Restricted        Because = "restricted"
	Conflicting       Because = "conflict" // parked: exclusive roles meet
	NotYet            Because = "not-yet"
	Over              Because = "expired"
	Elsewhere         Because = "elsewhere"   // held, but not here or above
	NotGiven          Because = "not-granted" // roles carry it, and none was given
	NoRole            Because = "no-role"     // no role of the organization carries it
	Granted           Because = "granted"
)

// Answer says whether a permission holds at a resource, and why or why not: in a sentence, and as what the sentence is made of.
type Answer struct {
	Allowed bool
	Because Because
	Paths   [][]Hop // every way it is held; also when a restriction takes it away
	Reason  string  // a sentence: the first way, or the nearest thing that is missing

	Restriction *Restriction // takes it away
	Near        []Held       // what carries it and is not in force here: parked, outside its time, not proved, or elsewhere
	Roles       []id.Role    // what would carry it, where nothing given does
}

// Can answers one question, with its reasons. Unknown permissions and resources are a "no" that says so.
func (e *Effective) Can(p id.Permission, r id.Resource) Answer {
	resource, known := e.tree.Get(r)
	switch {
	case !known:
		return Answer{Because: UnknownResource, Reason: fmt.Sprintf("There is no resource %q in %s.", r, e.tree.Name(e.tree.Root()))}
	case !e.catalogue.Known(p):
		return Answer{Because: UnknownPermission, Reason: fmt.Sprintf("There is no permission %q.", p)}
	case e.Nothing != "":
		return Answer{Because: e.because, Reason: e.Nothing}
	}
	var a Answer
	for _, h := range e.Grants {
		if e.carries(h, p) && e.tree.Reaches(h.Resource, r) {
			a.Paths = append(a.Paths, e.way(h, p, r))
		}
	}
	if len(a.Paths) == 0 {
		return e.missing(p, r)
	}
	for _, x := range e.Restrictions {
		if e.tree.Reaches(x.Resource, r) && slices.Contains(x.Actions, Action(p)) {
			a.Because, a.Restriction = Restricted, &x
			a.Reason = fmt.Sprintf("A restriction at %s takes %q away.", e.tree.Name(x.Resource), Action(p))
			return a
		}
	}
	a.Allowed, a.Because = true, Granted
	a.Reason = fmt.Sprintf("%s holds %s at %s: %s.", e.User.Name, p, resource.Name, Sentence(a.Paths[0]))
	return a
}

// Allowed is Can without the reasons.
func (e *Effective) Allowed(p id.Permission, r id.Resource) bool {
	i, known := e.catalogue.index[p]
	return known && e.at(r).has(i)
}

// holds reports whether a permission holds at the whole organization, and whether for good: by something that does not end.
func (e *Effective) holds(p id.Permission) (held, lasting bool) {
	if e == nil || !e.Everywhere(p) {
		return false, false
	}
	return true, slices.ContainsFunc(e.Grants, func(h Held) bool {
		return h.Resource == e.tree.Root() && h.Expires.IsZero() && e.carries(h, p)
	})
}

// way is the reason of a grant, led on to a permission at a resource.
func (e *Effective) way(h Held, p id.Permission, r id.Resource) []Hop {
	why := slices.Clone(h.Why[:len(h.Why)-1])
	at := h.Why[len(h.Why)-1]
	for _, carrier := range e.catalogue.Expand(h.Role) {
		if !slices.Contains(e.catalogue.byID[carrier].Permissions, p) {
			continue
		}
		for _, included := range e.catalogue.Chain(h.Role, carrier)[1:] {
			why = append(why, Hop{HopIncluded, string(included), e.catalogue.Name(included)})
		}
		break
	}
	why = append(why, at)
	if h.Resource != r {
		why = append(why, Hop{HopInherited, string(r), e.tree.Name(r)})
	}
	return why
}

func (e *Effective) carries(h Held, p id.Permission) bool {
	info, known := e.catalogue.byID[h.Role]
	return known && info.permissions.has(e.catalogue.index[p])
}

// missing names the nearest thing that would have made it a yes: a parked grant, one that waits for a second factor or is outside its
// time, the same role elsewhere, and last the roles that carry the permission.
func (e *Effective) missing(p id.Permission, r id.Resource) Answer {
	near := func(why Because, h Held, format string, args ...any) Answer {
		return Answer{Because: why, Near: []Held{h}, Reason: fmt.Sprintf(format, append([]any{e.catalogue.Name(h.Role)}, args...)...)}
	}
	for _, h := range e.Parked {
		if e.carries(h.Held, p) && e.tree.Reaches(h.Resource, r) {
			return near(Conflicting, h.Held, "%s would carry it, but waits in the conflict list: %s must not be held together.",
				join(h.Against, " and "))
		}
	}
	for _, h := range e.Unproved {
		if e.carries(h, p) && e.tree.Reaches(h.Resource, r) {
			return near(NoSecondFactor, h, "%s carries it once a second factor was shown.")
		}
	}
	for _, h := range e.Outside {
		if !e.carries(h, p) || !e.tree.Reaches(h.Resource, r) {
			continue
		}
		if e.now.Before(h.Starts) {
			return near(NotYet, h, "%s carries it from %s on.", h.Starts.UTC().Format("2006-01-02 15:04 UTC"))
		}
		return near(Over, h, "%s carried it until %s.", h.Expires.UTC().Format("2006-01-02 15:04 UTC"))
	}
	var a Answer
	var elsewhere []string
	for _, h := range e.Grants {
		if e.carries(h, p) {
			a.Near = append(a.Near, h)
			elsewhere = append(elsewhere, fmt.Sprintf("%s at %s", e.catalogue.Name(h.Role), e.tree.Name(h.Resource)))
		}
	}
	if len(elsewhere) > 0 {
		a.Because, a.Reason = Elsewhere, fmt.Sprintf("%s holds it elsewhere only: %s.", e.User.Name, join(unique(elsewhere), ", "))
		return a
	}
	var roles []string
	for _, info := range e.catalogue.roles {
		if info.permissions.has(e.catalogue.index[p]) && e.catalogue.Covers(e.available, info.ID) {
			a.Roles = append(a.Roles, info.ID)
			roles = append(roles, e.catalogue.Name(info.ID))
		}
	}
	if len(roles) == 0 {
		a.Because, a.Reason = NoRole, fmt.Sprintf("No role of this organization carries %s.", p)
		return a
	}
	a.Because = NotGiven
	a.Reason = fmt.Sprintf("%s holds no role that carries %s; these do: %s.", e.User.Name, p, join(roles, ", "))
	return a
}

// at gives the permissions at one resource.
func (e *Effective) at(r id.Resource) set {
	out := make(set, len(e.catalogue.permissions)/64+1)
	for _, h := range e.Grants {
		if e.tree.Reaches(h.Resource, r) {
			out = out.union(e.catalogue.byID[h.Role].permissions)
		}
	}
	return out.minus(e.taken(r))
}

// taken gives the permissions that restrictions take away at one resource.
func (e *Effective) taken(r id.Resource) set {
	out := make(set, len(e.catalogue.permissions)/64+1)
	for _, x := range e.Restrictions {
		if !e.tree.Reaches(x.Resource, r) {
			continue
		}
		for i, p := range e.catalogue.permissions {
			if slices.Contains(x.Actions, Action(p.ID)) {
				out.add(i)
			}
		}
	}
	return out
}

// Permissions gives what the user may do at a resource, in catalogue order.
func (e *Effective) Permissions(r id.Resource) []id.Permission { return e.catalogue.list(e.at(r)) }

// ByResource gives what the user may do at every resource where it may do anything.
func (e *Effective) ByResource() map[id.Resource][]id.Permission {
	out := map[id.Resource][]id.Permission{}
	for _, r := range e.tree.All() {
		if here := e.at(r.ID); here.len() > 0 {
			out[r.ID] = e.catalogue.list(here)
		}
	}
	return out
}

// Resources gives the resources at which a permission holds, in tree order.
func (e *Effective) Resources(p id.Permission) []id.Resource {
	var out []id.Resource
	for _, r := range e.tree.All() {
		if e.Allowed(p, r.ID) {
			out = append(out, r.ID)
		}
	}
	return out
}

// Everywhere reports whether a permission holds at the root.
func (e *Effective) Everywhere(p id.Permission) bool { return e.Allowed(p, e.tree.Root()) }

// RootRoles gives every role in force at the root, included roles spelled out, in catalogue order: the `roles` claim. A
// role of which a restriction at the root takes a permission is left out, since an application that reads only names would
// otherwise take the restriction for nothing.
func (e *Effective) RootRoles() []id.Role {
	taken := e.taken(e.tree.Root())
	var out []id.Role
	for _, info := range e.catalogue.roles {
		held := slices.ContainsFunc(e.Grants, func(h Held) bool {
			return h.Resource == e.tree.Root() && e.catalogue.Carries(h.Role, info.ID)
		})
		if held && !info.permissions.meets(taken) {
			out = append(out, info.ID)
		}
	}
	return out
}

// Claims gives every grant in force as applications see it, not expanded and each once: the `grants` claim.
func (e *Effective) Claims() []RoleAt {
	var out []RoleAt
	for _, h := range e.Grants {
		out = append(out, RoleAt{h.Role, h.Resource})
	}
	return unique(out)
}

// GroupNames gives the names of the groups the user is in: the `groups` claim.
func (e *Effective) GroupNames() []string {
	var out []string
	for _, g := range e.Groups {
		out = append(out, g.Name)
	}
	return unique(out)
}

// Holds reports whether the user holds a role, itself or by inclusion, at a resource or above.
func (e *Effective) Holds(r id.Role, at id.Resource) bool {
	return slices.ContainsFunc(e.Grants, func(h Held) bool {
		return e.catalogue.Carries(h.Role, r) && e.tree.Reaches(h.Resource, at)
	})
}

// BeyondDefaults reports whether anything was given to the user beyond what everyone has, whatever the user's state: who
// has nothing beyond stands in the inbox. What was given and is over does not count, what is to come does.
func (e *Effective) BeyondDefaults() bool {
	return slices.ContainsFunc(e.kept, func(h Held) bool { return h.Source != Default && h.Source != Provider })
}

// Kept gives what was given and is not over, whatever the user's state: what a reactivation brings back.
func (e *Effective) Kept() []Held { return e.kept }

// Catalogue gives the catalogue the answer was worked out with.
func (e *Effective) Catalogue() *Catalogue { return e.catalogue }

// Tree gives the tree the answer was worked out with.
func (e *Effective) Tree() *Tree { return e.tree }

// Change is what a user may do at a resource in one answer and not in another.
type Change struct {
	Resource id.Resource
	Gained   []id.Permission
	Lost     []id.Permission
}

// Compare gives what changes from one answer to another, at the topmost resources where it does: the preview of a change.
func Compare(before, after *Effective) []Change {
	var out []Change
	type difference struct{ gained, lost set }
	seen := map[id.Resource]difference{}
	for _, r := range after.tree.All() {
		was, is := before.at(r.ID), after.at(r.ID)
		d := difference{is.minus(was), was.minus(is)}
		seen[r.ID] = d
		if up := after.tree.Path(r.ID); len(up) > 1 {
			above := seen[up[1]]
			if slices.Equal(above.gained, d.gained) && slices.Equal(above.lost, d.lost) {
				continue
			}
		}
		if d.gained.len()+d.lost.len() > 0 {
			out = append(out, Change{r.ID, after.catalogue.list(d.gained), after.catalogue.list(d.lost)})
		}
	}
	return out
}

// Reaches reports whether a permission about users (users.read, users.manage) reaches a user: everyone when it is held at
// the root; below the root only those who hold a grant there or below. Invited says where pending invitations would give
// that user roles.
func (e *Effective) Reaches(p id.Permission, of *Effective, invited ...id.Resource) bool {
	if e.Everywhere(p) {
		return true
	}
	for _, h := range of.kept {
		if e.Allowed(p, h.Resource) {
			return true
		}
	}
	return slices.ContainsFunc(invited, func(r id.Resource) bool { return e.Allowed(p, cmp.Or(r, e.tree.Root())) })
}

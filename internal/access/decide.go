package access

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Decide works out what a user may do in an organization at a time. It is the only place that does.
func Decide(f *Facts, now time.Time) *Effective {
	because, nothing := f.nothing(now)
	e := &Effective{
		Organization: f.Organization.ID,
		User:         f.User,
		Nothing:      nothing,
		because:      because,
		catalogue:    f.Catalogue,
		tree:         f.Tree,
		available:    f.Organization.Available,
		now:          now,
	}
	if f.external() {
		e.cut = f.cut
	}
	ways := f.groupWays()
	for _, g := range f.Groups {
		if _, in := ways[g.ID]; in {
			e.Groups = append(e.Groups, g)
		}
	}
	slices.SortFunc(e.Groups, func(a, b Group) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	var inTime []Held
	for _, h := range f.held(ways) {
		switch {
		case !h.Expires.IsZero() && !now.Before(h.Expires):
			e.Outside = append(e.Outside, h)
		case now.Before(h.Starts):
			e.Outside = append(e.Outside, h)
			e.kept = append(e.kept, h)
		default:
			inTime = append(inTime, h)
			e.kept = append(e.kept, h)
		}
	}
	for _, l := range [][]Held{inTime, e.kept, e.Outside} {
		e.sort(l)
	}
	// Parking comes before: that a second factor is missing must not decide which of two exclusive roles somebody has.
	e.Grants, e.Parked = f.Catalogue.park(inTime)
	e.Demands = f.demands(e.Grants)
	if !f.User.MFA {
		e.Grants, e.Unproved = f.Catalogue.unproved(e.Grants)
	}
	for _, r := range f.Restrictions {
		_, in := ways[r.Group]
		if _, known := f.Tree.Get(r.Resource); known && (r.User == f.User.ID && r.User != "" || r.Group != "" && in) {
			e.Restrictions = append(e.Restrictions, r)
		}
	}
	slices.SortFunc(e.Restrictions, func(a, b Restriction) int {
		return cmp.Or(cmp.Compare(f.Tree.index[a.Resource], f.Tree.index[b.Resource]), cmp.Compare(a.ID, b.ID))
	})
	if e.Nothing != "" {
		e.Grants, e.Parked = nil, nil
	}
	return e
}

// demands says why a second factor is asked of a user who holds these.
func (f *Facts) demands(held []Held) []string {
	var out []string
	if f.Organization.RequireMFA {
		out = append(out, fmt.Sprintf("%s asks for a second factor at sign-in.", f.Organization.Name))
	}
	if f.external() && f.Relationship != nil && f.Relationship.RequireMFA {
		out = append(out, fmt.Sprintf("%s asks for a second factor of everyone from %s.", f.Organization.Name, f.Relationship.ProviderName))
	}
	for _, h := range held {
		if f.Catalogue.AsksMFA(h.Role) {
			out = append(out, fmt.Sprintf("The role %s asks for a second factor.", f.Catalogue.Name(h.Role)))
		}
	}
	return unique(out)
}

// unproved takes out what counts only with a second factor.
func (c *Catalogue) unproved(held []Held) (inForce, missing []Held) {
	for _, h := range held {
		if c.AsksMFA(h.Role) {
			missing = append(missing, h)
			continue
		}
		inForce = append(inForce, h)
	}
	return inForce, missing
}

// nothing says why the user has no access whatever was given to it, in a word and in a sentence, or "".
func (f *Facts) nothing(now time.Time) (Because, string) {
	switch {
	case f.User.Status != Active:
		return NotActive, fmt.Sprintf("%s is %s.", f.User.Name, f.User.Status)
	case !f.User.Seated:
		return NoSeat, fmt.Sprintf("%s has more users than seats; %s waits for a free one.", f.Organization.Name, f.User.Name)
	case f.Organization.RequireMFA && !f.User.MFA:
		return NoSecondFactor, fmt.Sprintf("%s asks for a second factor at sign-in.", f.Organization.Name)
	case !f.external():
		return "", ""
	}
	r := f.Relationship
	switch {
	case r == nil || r.Provider != f.User.Home || !r.Approved:
		return NotServed, fmt.Sprintf("%s has not approved %s as a provider.", f.Organization.Name, f.User.Home)
	case !r.Expires.IsZero() && !now.Before(r.Expires):
		return NotServed, fmt.Sprintf("What %s allowed %s ended on %s.", f.Organization.Name, r.ProviderName,
			r.Expires.UTC().Format(time.DateOnly))
	case r.RequireMFA && !f.User.MFA:
		return NoSecondFactor, fmt.Sprintf("%s asks for a second factor of everyone from %s.", f.Organization.Name, r.ProviderName)
	}
	return "", ""
}

func (f *Facts) external() bool { return f.User.Home != "" && f.User.Home != f.Organization.ID }

// groupWays gives, for every group the user is really in, a shortest way to it: the groups passed, the nearest to the user
// first. A loop of groups is walked once; a group that no direct membership leads to is not the user's.
func (f *Facts) groupWays() map[id.Group][]Hop {
	groups := slices.Clone(f.Groups)
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Compare(a.ID, b.ID) })
	ways := make(map[id.Group][]Hop, len(groups))
	hop := func(g Group) Hop { return Hop{HopGroup, string(g.ID), g.Name} }
	above := map[id.Group][]Group{}
	var level []Group
	for _, g := range groups {
		if g.Direct {
			ways[g.ID] = []Hop{hop(g)}
			level = append(level, g)
		}
		for _, member := range g.Through {
			above[member] = append(above[member], g)
		}
	}
	for len(level) > 0 {
		var next []Group
		for _, g := range level {
			for _, outer := range above[g.ID] {
				if _, seen := ways[outer.ID]; !seen {
					ways[outer.ID] = append(slices.Clone(ways[g.ID]), hop(outer))
					next = append(next, outer)
				}
			}
		}
		level = next
	}
	return ways
}

// held gives everything that was given to the user, whatever its time, cut down to what the organization may use and what
// a relationship allows. What names a role or a resource that is no more gives nothing.
func (f *Facts) held(ways map[id.Group][]Hop) []Held {
	var out []Held
	add := func(h Held, why ...Hop) {
		for _, part := range f.cut(h) {
			part.Why = append(slices.Clone(why),
				Hop{HopRole, string(part.Role), f.Catalogue.Name(part.Role)},
				Hop{HopResource, string(part.Resource), f.Tree.Name(part.Resource)})
			out = append(out, part)
		}
	}
	for _, g := range f.Grants {
		h := Held{
			Role: g.Role, Resource: g.Resource, Source: g.Source, Grant: g.ID, Group: g.Group,
			Starts: g.Starts, Expires: g.Expires,
		}
		by := Hop{HopGrant, string(g.ID), g.By}
		if g.Group == "" {
			if g.User == f.User.ID {
				add(h, by)
			}
			continue
		}
		if way, in := ways[g.Group]; in {
			h.Source = ByGroup
			add(h, append(slices.Clone(way), by)...)
		}
	}
	for _, m := range f.Mappings {
		if way, in := ways[m.Group]; in {
			add(Held{Role: m.Role, Resource: m.Resource, Source: ByGroup, Mapping: m.ID, Group: m.Group},
				append(slices.Clone(way), Hop{HopMapping, string(m.ID), way[len(way)-1].Name})...)
		}
	}
	switch {
	case f.external():
		if f.Relationship == nil {
			break
		}
		for _, r := range f.Relationship.DefaultRoles {
			if IsCustom(r) {
				continue // the provider wrote it, and means none of this organization's
			}
			add(Held{Role: r, Resource: f.Tree.Root(), Source: Provider},
				Hop{HopProvider, string(f.Relationship.Provider), f.Relationship.ProviderName})
		}
	case !f.User.CustomAccess:
		for _, d := range f.Organization.DefaultRoles {
			add(Held{Role: d.Role, Resource: cmp.Or(d.Resource, f.Tree.Root()), Source: Default},
				Hop{HopDefault, string(f.Organization.ID), f.Organization.Name})
		}
	}
	return out
}

// cut gives what is left of a grant: nothing where role or resource are unknown or the organization may not use the role;
// for a provider's user, the parts of the role and of the tree below the resource that the relationship allows.
func (f *Facts) cut(h Held) []Held {
	if _, known := f.Tree.Get(h.Resource); !known || !f.Catalogue.Covers(f.Organization.Available, h.Role) {
		return nil
	}
	if !f.external() {
		return []Held{h}
	}
	if f.Relationship == nil {
		return nil
	}
	resources := []id.Resource{h.Resource}
	if len(f.Relationship.Resources) > 0 {
		resources = nil
		for _, allowed := range f.Relationship.Resources {
			switch {
			case f.Tree.Reaches(allowed, h.Resource):
				resources = append(resources, h.Resource)
			case f.Tree.Reaches(h.Resource, allowed):
				resources = append(resources, allowed)
			}
		}
	}
	// Of a role that is not allowed whole, the widest included roles that are.
	var roles []id.Role
	for _, r := range f.Catalogue.Expand(h.Role) {
		covered := slices.ContainsFunc(roles, func(wider id.Role) bool { return f.Catalogue.Carries(wider, r) })
		if !covered && f.Catalogue.Covers(f.Relationship.AllowedRoles, r) {
			roles = append(roles, r)
		}
	}
	var out []Held
	for _, r := range roles {
		for _, at := range unique(resources) {
			part := h
			part.Role, part.Resource = r, at
			out = append(out, part)
		}
	}
	return out
}

// park takes out the grants that would make the user hold two roles of an exclusive set. What people gave stays and what
// arrived against it is parked; where only arrivals meet, or people's own decisions meet because the catalogue changed
// after them, all of them are parked: neither wins silently.
func (c *Catalogue) park(held []Held) (inForce []Held, parked []Parked) {
	against := make([][]id.Role, len(held))
	for _, members := range c.exclusive {
		carried := make([][]id.Role, len(held))
		var all, given []id.Role
		for i, h := range held {
			carried[i] = intersect(c.Expand(h.Role), members)
			all = append(all, carried[i]...)
			if h.Source.byPeople() {
				given = append(given, carried[i]...)
			}
		}
		all, given = unique(all), unique(given)
		if len(all) < 2 {
			continue
		}
		slices.Sort(all)
		for i, mine := range carried {
			stays := len(mine) == 0 || len(given) == 1 && mine[0] == given[0]
			if !stays {
				against[i] = unique(append(against[i], all...))
			}
		}
	}
	for i, h := range held {
		if len(against[i]) > 0 {
			parked = append(parked, Parked{h, against[i]})
			continue
		}
		inForce = append(inForce, h)
	}
	return inForce, parked
}

// sort puts grants in the order of the tree, then of the catalogue, so that the facts' order shows nowhere.
func (e *Effective) sort(held []Held) {
	position := func(r id.Role) int {
		if info, ok := e.catalogue.byID[r]; ok {
			return info.position
		}
		return -1
	}
	slices.SortFunc(held, func(a, b Held) int {
		return cmp.Or(
			cmp.Compare(e.tree.index[a.Resource], e.tree.index[b.Resource]),
			cmp.Compare(position(a.Role), position(b.Role)),
			cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Group, b.Group),
			cmp.Compare(a.Grant, b.Grant),
			cmp.Compare(a.Mapping, b.Mapping),
		)
	})
}

// Sentence says a reason as a line for a person.
func Sentence(why []Hop) string {
	var out []string
	for _, h := range why {
		switch h.Kind {
		case HopGroup:
			out = append(out, "group "+h.Name)
		case HopMapping:
			out = append(out, "mapping of "+h.Name)
		case HopGrant:
			out = append(out, "given by "+cmp.Or(h.Name, "an operator"))
		case HopDefault:
			out = append(out, "default of "+h.Name)
		case HopProvider:
			out = append(out, "default of the provider "+h.Name)
		case HopRole:
			out = append(out, "role "+h.Name)
		case HopIncluded:
			out = append(out, "which includes "+h.Name)
		case HopResource:
			out = append(out, "at "+h.Name)
		case HopInherited:
			out = append(out, "and so at "+h.Name)
		}
	}
	return strings.Join(out, ", ")
}

func unique[T comparable](in []T) []T {
	var out []T
	for _, v := range in {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func intersect[T comparable](a, b []T) []T {
	var out []T
	for _, v := range a {
		if slices.Contains(b, v) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func join[T ~string](in []T, sep string) string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = string(v)
	}
	return strings.Join(out, sep)
}

// path writes where in an operator's file something stands: roles[2].includes[0].
func path(parts ...any) string {
	var b strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(p) + "]")
		case string:
			if b.Len() > 0 && p != "" {
				b.WriteByte('.')
			}
			b.WriteString(p)
		}
	}
	return b.String()
}

package access

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// A custom role is made in an organization and is known there alone. To everything that reads a catalogue it is a role like any other:
// With adds an organization's to the operator's, and whoever asks about that organization asks the result.
//
// It never holds more than the organization may use: of what it names, only what a role of available_roles carries is in force, so
// that an operator who takes a role away takes it out of custom roles too. And where every such role that carries a permission asks
// for a second factor, so does the custom role: else it would be a way around the question.

// CustomPrefix begins the id of every custom role. An id that an operator declares holds no colon, so no role of theirs, however
// late it comes, is ever taken for one of these, by us or by an application that reads names alone.
const CustomPrefix = "custom:"

// The bounds of a custom role's texts and lists: a name fits a line, a description a paragraph, and a list a page.
const (
	maxRoleName        = 80
	maxRoleDescription = 400
	MaxCustomRoles     = 200
)

// Codes of refusals about custom roles.
const (
	CodeRoleInUse = "role-in-use"
	CodeRoleCycle = "role-cycle"
	CodeRoleStale = "role-changed"
)

var customID = regexp.MustCompile(`^custom:[a-z0-9][a-z0-9-]{0,47}$`)

// IsCustom reports whether an id is of the form that custom roles have.
func IsCustom(r id.Role) bool { return strings.HasPrefix(string(r), CustomPrefix) }

// CustomID makes a custom role's id of what somebody typed as its id or, where they typed none, of its name; "" where neither gives one.
func CustomID(typed, name string) id.Role {
	text := strings.TrimPrefix(strings.TrimSpace(typed), CustomPrefix)
	if text == "" {
		var b strings.Builder
		for _, r := range strings.ToLower(name) {
			switch {
			case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				b.WriteRune(r)
			case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
				b.WriteByte('-')
			}
		}
		text = strings.Trim(b.String()[:min(b.Len(), 48)], "-")
	}
	if text == "" {
		return ""
	}
	return id.Role(CustomPrefix + text)
}

// With gives an organization's catalogue: the operator's roles and, behind them, those that the organization made. Of these it leaves
// out what is no more and what the organization may not use. It never fails: what stands in the store was checked when it was made,
// and what an operator declared since must not lock an organization out.
func (c *Catalogue) With(available []id.Role, customs []Role) *Catalogue {
	if c.operators != nil {
		c = c.operators
	}
	out := &Catalogue{
		permissions: c.permissions, index: c.index, exclusive: c.exclusive,
		roles: slices.Clone(c.roles), byID: maps.Clone(c.byID),
		operators: c, customs: customs, available: available,
		reach: make(set, len(c.permissions)/64+1),
	}
	free := make(set, len(c.permissions)/64+1) // what a role that asks for no second factor carries
	for _, r := range c.roles {
		if !c.Covers(available, r.ID) {
			continue
		}
		out.reach = out.reach.union(r.permissions)
		if !r.mfa {
			free = free.union(r.permissions)
		}
	}
	added := make([]*role, 0, len(customs))
	for _, r := range customs {
		if _, taken := out.byID[r.ID]; taken || !IsCustom(r.ID) {
			continue
		}
		r.Custom, r.Protected = true, false
		r.Permissions = slices.DeleteFunc(slices.Clone(r.Permissions), func(p id.Permission) bool {
			i, known := c.index[p]
			if known && out.reach.has(i) && !free.has(i) {
				r.RequireMFA = true
			}
			return !known || !out.reach.has(i)
		})
		info := &role{Role: r, position: len(out.roles)}
		out.byID[r.ID] = info
		out.roles = append(out.roles, info)
		added = append(added, info)
	}
	for _, r := range added {
		r.Includes = slices.DeleteFunc(slices.Clone(r.Includes), func(other id.Role) bool {
			info, known := out.byID[other]
			return !known || !info.Custom && !c.Covers(available, other)
		})
		r.MayGrant = slices.DeleteFunc(slices.Clone(r.MayGrant), func(other id.Role) bool {
			_, known := out.byID[other]
			return !known && other != Every
		})
	}
	for _, r := range added {
		out.close(r)
	}
	for _, r := range added {
		out.closeMayGrant(r)
	}
	return out
}

// Own is With over what is known already: it says of an organization without custom roles, too, what one could contain.
func (c *Catalogue) Own(available []id.Role) *Catalogue {
	if c.operators != nil {
		return c
	}
	return c.With(available, nil)
}

// InReach reports whether a role that the organization may use carries a permission, so that a custom role can.
func (c *Catalogue) InReach(p id.Permission) bool {
	i, known := c.index[p]
	return known && c.reach != nil && c.reach.has(i)
}

// Customs gives the organization's own roles as they stand in the store, what is not in force among it.
func (c *Catalogue) Customs() []Role { return c.customs }

// Custom gives one of the organization's own roles as it stands in the store.
func (c *Catalogue) Custom(r id.Role) (Role, bool) {
	i := slices.IndexFunc(c.customs, func(other Role) bool { return other.ID == r })
	if i < 0 {
		return Role{}, false
	}
	return c.customs[i], true
}

// Exclusives gives the roles of exclusive sets that a role carries.
func (c *Catalogue) Exclusives(r id.Role) []id.Role {
	var out []id.Role
	for _, members := range c.exclusive {
		out = append(out, intersect(c.Expand(r), members)...)
	}
	return unique(out)
}

// Tidied gives a custom role with each name once, in one order where the order says nothing, and without what it cannot say.
func (r Role) Tidied() Role {
	r.Permissions, r.Includes, r.MayGrant = unique(r.Permissions), unique(r.Includes), unique(r.MayGrant)
	slices.Sort(r.Permissions)
	r.Custom, r.Protected = true, false
	return r
}

// Alters reports whether two states of a role give differently, and not only read differently.
func (r Role) Alters(other Role) bool {
	same := func(a, b []id.Role) bool {
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	return r.RequireMFA != other.RequireMFA || !same(r.Includes, other.Includes) || !same(r.MayGrant, other.MayGrant) ||
		!slices.Equal(slices.Sorted(slices.Values(r.Permissions)), slices.Sorted(slices.Values(other.Permissions)))
}

// Define decides whether somebody may make a custom role, or make one what it is to be (before is what it was, nil for a new one).
// Facts are the organization's before the change. The answer is the catalogue as it would be.
//
// The ceiling is the one of giving. Permissions are those its maker holds at the whole organization; included roles, and those its
// holders may give, are such as the maker may give there; and what goes into a role stays, so all of it must be the maker's
// for good. What the role was is held against the same measure: else to change it would be a way to take from others what one
// could not give them.
func Define(giver Giver, f *Facts, before *Role, after Role) (*Catalogue, error) {
	if err := giver.managesRoles(f); err != nil {
		return nil, err
	}
	own := *f
	f, own.Catalogue = &own, f.Catalogue.Own(f.Organization.Available)
	next, err := f.Catalogue.checkCustom(f, before, after)
	if err != nil {
		return nil, err
	}
	if before != nil {
		if err := giver.mayUndefine(f, *before); err != nil {
			return nil, err
		}
	}
	return next, giver.mayHold(f, after)
}

// Undefine decides whether somebody may delete a custom role that nobody has.
func Undefine(giver Giver, f *Facts, r Role) error {
	if err := giver.managesRoles(f); err != nil {
		return err
	}
	own := *f
	f, own.Catalogue = &own, f.Catalogue.Own(f.Organization.Available)
	return giver.mayUndefine(f, r)
}

// Redefine decides whether somebody may change what a role gives while people have it, itself or by a role that includes it: that is
// giving and taking it, and so for whoever could give it. Used are those of the roles concerned that are in use.
func Redefine(giver Giver, f *Facts, used []id.Role) error {
	for _, r := range used {
		if _, may := giver.until(r, f.Tree.Root()); !may {
			return fault.New(fault.Forbidden, "%s is in use, and you could not give it. What it gives is changed by whoever may give it at %s.",
				f.Catalogue.Name(r), f.Tree.Name(f.Tree.Root())).WithCode(CodeCeiling)
		}
	}
	return nil
}

// MayPut reports whether the giver may put a permission into a custom role.
func (g Giver) MayPut(p id.Permission) bool {
	if g.Operator {
		return true
	}
	held, lasting := g.Access.holds(p)
	return held && lasting
}

// MayName reports whether the giver may put a role into a custom role, or into what its holders may give; self is that role's own id.
func (g Giver) MayName(f *Facts, self, r id.Role) bool {
	until, may := g.untilNamed(self, r, f.Tree.Root())
	return may && until.IsZero()
}

func (g Giver) managesRoles(f *Facts) error {
	if g.Operator || g.Access != nil && g.Access.Everywhere(RolesManage) {
		return nil
	}
	return fault.New(fault.Forbidden, "Custom roles of %s are made by those who hold %q at the whole organization.", f.Organization.Name,
		RolesManage).WithCode(CodeCeiling)
}

// checkCustom looks at the form of a custom role: what it names exists, may be used here and holds together.
func (c *Catalogue) checkCustom(f *Facts, before *Role, r Role) (*Catalogue, error) {
	bad := fault.New(fault.Invalid, "This role does not hold together.")
	if !customID.MatchString(string(r.ID)) {
		bad.WithField("id", "Small letters, digits and hyphens, at most 48: night-shift.")
	}
	if _, taken := c.byID[r.ID]; taken && before == nil {
		bad.WithField("id", "%s has a role %s already.", f.Organization.Name, r.ID)
	}
	switch n := utf8.RuneCountInString(r.Name); {
	case n == 0 || strings.TrimSpace(r.Name) != r.Name:
		bad.WithField("name", "A role wants a name.")
	case n > maxRoleName:
		bad.WithField("name", "At most %d characters.", maxRoleName)
	}
	if utf8.RuneCountInString(r.Description) > maxRoleDescription {
		bad.WithField("description", "At most %d characters.", maxRoleDescription)
	}
	for _, other := range c.roles {
		if other.ID != r.ID && strings.EqualFold(c.Name(other.ID), r.Name) {
			bad.WithField("name", "Another role is called %s already; nobody could tell the two apart.", c.Name(other.ID))
			break
		}
	}
	if len(r.Permissions)+len(r.Includes)+len(r.MayGrant) == 0 {
		bad.WithField("permissions", "A role that contains nothing gives nothing.")
	}
	for i, p := range r.Permissions {
		switch {
		case !c.Known(p):
			bad.WithField(path("permissions", i), "There is no permission %q.", p)
		case !c.InReach(p):
			bad.WithField(path("permissions", i), "No role that %s may use carries %q; an operator decides on that.", f.Organization.Name, p)
		}
	}
	for i, other := range r.Includes {
		c.checkNamed(f, bad, path("includes", i), other)
		if other == r.ID {
			bad.WithField(path("includes", i), "A role does not include itself.")
		}
	}
	for i, other := range r.MayGrant {
		if other != Every && other != r.ID {
			c.checkNamed(f, bad, path("may_grant", i), other)
		}
	}
	customs := slices.DeleteFunc(slices.Clone(c.customs), func(other Role) bool { return other.ID == r.ID })
	next := c.With(f.Organization.Available, append(customs, r))
	if len(bad.Fields) == 0 {
		if cycle := next.cycle(r.ID); cycle != nil {
			bad.WithField("includes", "%s would include itself: %s.", r.Name, next.names(cycle, " > "))
			bad.Code = CodeRoleCycle
		}
		// Whoever includes it is looked at as well: it would hold what this one brings.
		for _, carrier := range next.Carriers(r.ID) {
			for _, members := range next.exclusive {
				if both := intersect(next.Expand(carrier), members); len(both) > 1 {
					bad.WithField("includes", "%s would hold %s, which one person must not hold together.", next.Name(carrier),
						next.names(both, " and "))
					bad.Code = CodeExclusive
				}
			}
		}
	}
	if len(bad.Fields) > 0 {
		bad.Message += " " + bad.Fields[0].Message
		return nil, bad
	}
	return next, nil
}

func (c *Catalogue) checkNamed(f *Facts, bad *fault.Fault, field string, r id.Role) {
	switch {
	case c.byID[r] == nil:
		bad.WithField(field, "There is no role %q.", r)
	case !c.Covers(f.Organization.Available, r):
		bad.WithField(field, "%s may not use the role %s; an operator decides on that.", f.Organization.Name, c.Name(r))
	}
}

// mayHold holds the ceiling over what a role is to contain.
func (g Giver) mayHold(f *Facts, r Role) error {
	if g.Operator {
		return nil
	}
	root, at := f.Tree.Root(), f.Tree.Name(f.Tree.Root())
	for _, p := range r.Permissions {
		if held, lasting := g.Access.holds(p); !held || !lasting {
			return fault.New(fault.Forbidden, "You may put into a role only what you hold at %s yourself, for good; %q you do not.", at, p).
				WithField("permissions", "You do not hold %q at %s for good.", p, at).WithCode(CodeCeiling)
		}
	}
	for i, other := range slices.Concat(r.Includes, r.MayGrant) {
		until, may := g.untilNamed(r.ID, other, root)
		if may && until.IsZero() {
			continue
		}
		field, name := "includes", f.Catalogue.Name(other)
		if i >= len(r.Includes) {
			field = "may_grant"
		}
		if other == Every {
			name = "every role"
		}
		return fault.New(fault.Forbidden, "You may put into a role only roles that you may give at %s yourself, for good; %s you may not.", at, name).
			WithField(field, "You may not give %s at %s for good.", name, at).WithCode(CodeCeiling)
	}
	return nil
}

// mayUndefine holds the ceiling over what a role contains now, as far as it is in force.
func (g Giver) mayUndefine(f *Facts, r Role) error {
	if g.Operator {
		return nil
	}
	refuse := func(what string) error {
		return fault.New(fault.Forbidden, "%s contains %s, which you could not put into it. Whoever could may change it.",
			f.Catalogue.Name(r.ID), what).WithCode(CodeCeiling)
	}
	for _, p := range r.Permissions {
		if held, _ := g.Access.holds(p); !held && f.Catalogue.InReach(p) {
			return refuse(string(p))
		}
	}
	for _, other := range slices.Concat(r.Includes, r.MayGrant) {
		if other != Every && !f.Catalogue.Covers(f.Organization.Available, other) {
			continue
		}
		if _, may := g.untilNamed(r.ID, other, f.Tree.Root()); !may {
			return refuse(f.Catalogue.Name(other))
		}
	}
	return nil
}

// untilNamed is until for a role as may_grant and includes name it. To let others give every role one must be so oneself. That a role
// gives itself on takes somebody who may give whatever is made here: nobody's may_grant names a role that is not there yet.
func (g Giver) untilNamed(self, r id.Role, at id.Resource) (until time.Time, may bool) {
	if r != Every && (r != self || g.Access.catalogue.byID[r] != nil) {
		return g.until(r, at)
	}
	return g.longest(at, func(held *role) bool { return held.every })
}

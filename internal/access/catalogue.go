package access

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Vestibule's own permissions: they open its console and API. They are in every catalogue, declared or not.
const (
	UsersRead         id.Permission = "users.read"
	UsersManage       id.Permission = "users.manage"
	RolesManage       id.Permission = "roles.manage"
	ConnectionsManage id.Permission = "connections.manage"
	AuditRead         id.Permission = "audit.read"
)

var own = []Permission{
	{UsersRead, "See users, groups and their access"},
	{UsersManage, "Invite, edit, deactivate users and manage groups"},
	{RolesManage, "Create custom roles"},
	{ConnectionsManage, "Set up sign-in and provisioning"},
	{AuditRead, "Read and export the audit log"},
}

// Every stands for every role the organization may use, in may_grant, available_roles and allowed_roles.
const Every id.Role = "*"

// Permission is something an application can ask about: kind.action.
type Permission struct {
	ID   id.Permission
	Name string
}

// Action is the part after the last dot of a permission's id: what a restriction takes away.
func Action(p id.Permission) string {
	return string(p[strings.LastIndexByte(string(p), '.')+1:])
}

// Role is a named set of permissions as it was declared, before inclusion is worked out.
type Role struct {
	ID          id.Role         `json:"-"`
	Name        string          `json:"-"`
	Permissions []id.Permission `json:"permissions,omitempty"`
	Includes    []id.Role       `json:"includes,omitempty"`
	MayGrant    []id.Role       `json:"may_grant,omitempty"`
	Protected   bool            `json:"protected,omitempty"`
	// RequireMFA says that the role counts only in a session that passed a second factor.
	RequireMFA bool `json:"require_mfa,omitempty"`

	// Custom says that an organization made it, and Description what it is for there.
	Custom      bool   `json:"-"`
	Description string `json:"description,omitempty"`
}

// Catalogue is the operator's permissions and roles, validated, with inclusion worked out once, and in an organization that made
// roles of its own those as well (With). It never changes after it was made, so that all requests of a node share one.
type Catalogue struct {
	permissions []Permission
	index       map[id.Permission]int
	roles       []*role
	byID        map[id.Role]*role
	exclusive   [][]id.Role

	// Of an organization with custom roles:
	operators *Catalogue // the operator's roles alone
	customs   []Role     // as they stand in the store
	available []id.Role
	reach     set // what the operator's roles that it may use carry
}

type role struct {
	Role
	position    int
	closure     []id.Role            // itself first, then what it includes, nearest first
	parent      map[id.Role]id.Role  // the role of the closure that includes it, on a shortest way
	permissions set                  // of the whole closure
	mayGrant    map[id.Role]struct{} // of the whole closure, with what the named roles include
	every       bool                 // may_grant holds *
	mfa         bool                 // a role of the closure asks for a second factor
}

// NewCatalogue validates and precomputes a catalogue. A fault of kind Invalid names every wrong field, with the path as it
// stands in an operator's file (roles[2].includes[0]).
func NewCatalogue(permissions []Permission, roles []Role, exclusive [][]id.Role) (*Catalogue, error) {
	c := &Catalogue{index: map[id.Permission]int{}, byID: map[id.Role]*role{}, exclusive: exclusive}
	bad := fault.New(fault.Invalid, "The catalogue of permissions and roles does not hold together.")
	for i, p := range permissions {
		kind, action, dotted := strings.Cut(string(p.ID), ".")
		switch _, twice := c.index[p.ID]; {
		case twice:
			bad.WithField(path("permissions", i, "id"), "%s is declared twice.", p.ID)
		case !dotted || kind == "" || action == "" || strings.HasSuffix(action, "."):
			bad.WithField(path("permissions", i, "id"), "%q is not of the form kind.action.", p.ID)
		default:
			c.index[p.ID] = len(c.permissions)
			c.permissions = append(c.permissions, p)
		}
	}
	for _, p := range own {
		if _, declared := c.index[p.ID]; !declared {
			c.index[p.ID] = len(c.permissions)
			c.permissions = append(c.permissions, p)
		}
	}
	for i, r := range roles {
		switch _, twice := c.byID[r.ID]; {
		case r.ID == "" || r.ID == Every:
			bad.WithField(path("roles", i, "id"), "%q cannot be a role's id.", r.ID)
		case IsCustom(r.ID):
			bad.WithField(path("roles", i, "id"), "%q cannot be a role's id: what begins with %s is made in an organization.", r.ID,
				CustomPrefix)
		case twice:
			bad.WithField(path("roles", i, "id"), "%s is declared twice.", r.ID)
		default:
			info := &role{Role: r, position: i}
			c.byID[r.ID] = info
			c.roles = append(c.roles, info)
		}
	}
	for i, r := range roles {
		for j, p := range r.Permissions {
			if _, known := c.index[p]; !known {
				bad.WithField(path("roles", i, "permissions", j), "There is no permission %q.", p)
			}
		}
		for j, other := range r.Includes {
			if _, known := c.byID[other]; !known {
				bad.WithField(path("roles", i, "includes", j), "There is no role %q.", other)
			}
		}
		for j, other := range r.MayGrant {
			if _, known := c.byID[other]; !known && other != Every {
				bad.WithField(path("roles", i, "may_grant", j), "There is no role %q.", other)
			}
		}
	}
	for i, set := range exclusive {
		for j, r := range set {
			if _, known := c.byID[r]; !known {
				bad.WithField(path("exclusive_roles", i, "", j), "There is no role %q.", r)
			}
		}
		if len(set) < 2 {
			bad.WithField(path("exclusive_roles", i, ""), "An exclusive set names at least two roles.")
		}
	}
	if len(bad.Fields) > 0 {
		return nil, bad
	}
	for _, r := range c.roles {
		c.close(r)
	}
	for i, r := range c.roles {
		if cycle := c.cycle(r.ID); cycle != nil {
			bad.WithField(path("roles", i, "includes"), "%s includes itself: %s.", r.ID, join(cycle, " > "))
		}
		for _, set := range exclusive {
			if both := intersect(r.closure, set); len(both) > 1 {
				bad.WithField(path("roles", i, "includes"), "%s holds %s, which one person must not hold together.",
					r.ID, join(both, " and "))
			}
		}
	}
	if len(bad.Fields) > 0 {
		return nil, bad
	}
	for _, r := range c.roles {
		c.closeMayGrant(r)
	}
	return c, nil
}

// close works out what r includes, breadth first, so that the way to each included role is a shortest one.
func (c *Catalogue) close(r *role) {
	r.closure = []id.Role{r.ID}
	r.parent = map[id.Role]id.Role{}
	r.permissions = make(set, len(c.permissions)/64+1)
	for i := 0; i < len(r.closure); i++ {
		at := c.byID[r.closure[i]]
		r.mfa = r.mfa || at.RequireMFA
		for _, p := range at.Permissions {
			r.permissions.add(c.index[p])
		}
		for _, next := range at.Includes {
			if _, seen := r.parent[next]; !seen && next != r.ID {
				r.parent[next] = at.ID
				r.closure = append(r.closure, next)
			}
		}
	}
}

// cycle gives a way from r back to r, or nil. An included cycle is refused rather than borne: the two roles of it would be
// the same role, which nobody who wrote it meant.
func (c *Catalogue) cycle(r id.Role) []id.Role {
	info := c.byID[r]
	for _, at := range info.closure {
		if slices.Contains(c.byID[at].Includes, r) {
			return append(info.chain(at), r)
		}
	}
	return nil
}

func (c *Catalogue) closeMayGrant(r *role) {
	r.mayGrant = map[id.Role]struct{}{}
	for _, at := range r.closure {
		for _, named := range c.byID[at].MayGrant {
			if named == Every {
				r.every = true
				continue
			}
			for _, covered := range c.byID[named].closure {
				r.mayGrant[covered] = struct{}{}
			}
		}
	}
}

// chain gives the way from r to an included role, both ends included.
func (r *role) chain(to id.Role) []id.Role {
	way := []id.Role{to}
	for way[0] != r.ID {
		way = slices.Insert(way, 0, r.parent[way[0]])
	}
	return way
}

// Permissions gives all permissions in the order they were declared.
func (c *Catalogue) Permissions() []Permission { return c.permissions }

// Known reports whether the permission exists.
func (c *Catalogue) Known(p id.Permission) bool {
	_, ok := c.index[p]
	return ok
}

// Roles gives all roles as declared, in their order.
func (c *Catalogue) Roles() []Role {
	out := make([]Role, len(c.roles))
	for i, r := range c.roles {
		out[i] = r.Role
	}
	return out
}

// names says roles by their names.
func (c *Catalogue) names(list []id.Role, sep string) string {
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = c.Name(r)
	}
	return strings.Join(names, sep)
}

// Role gives one role as declared.
func (c *Catalogue) Role(r id.Role) (Role, bool) {
	info, ok := c.byID[r]
	if !ok {
		return Role{}, false
	}
	return info.Role, true
}

// Name gives a role's name, or its id where it is not known.
func (c *Catalogue) Name(r id.Role) string {
	if info, ok := c.byID[r]; ok && info.Name != "" {
		return info.Name
	}
	return string(r)
}

// Expand gives the role and everything it includes, nearest first; nothing for an unknown role.
func (c *Catalogue) Expand(r id.Role) []id.Role {
	if info, ok := c.byID[r]; ok {
		return info.closure
	}
	return nil
}

// Chain gives the shortest way of inclusion from a role to one it includes, both ends included; nil where there is none.
func (c *Catalogue) Chain(from, to id.Role) []id.Role {
	info, ok := c.byID[from]
	if !ok || !slices.Contains(info.closure, to) {
		return nil
	}
	return info.chain(to)
}

// Carries reports whether holding one role is holding the other: the same, or included.
func (c *Catalogue) Carries(held, r id.Role) bool {
	return slices.Contains(c.Expand(held), r)
}

// PermissionsOf gives all permissions of a role, those of included roles with them, in catalogue order.
func (c *Catalogue) PermissionsOf(r id.Role) []id.Permission {
	info, ok := c.byID[r]
	if !ok {
		return nil
	}
	return c.list(info.permissions)
}

// Carriers gives the roles whose holder holds r: r itself and every role that includes it.
func (c *Catalogue) Carriers(r id.Role) []id.Role {
	var out []id.Role
	for _, info := range c.roles {
		if slices.Contains(info.closure, r) {
			out = append(out, info.ID)
		}
	}
	return out
}

// Protected gives the roles whose last active holder an organization must keep.
func (c *Catalogue) Protected() []id.Role {
	var out []id.Role
	for _, info := range c.roles {
		if info.Protected {
			out = append(out, info.ID)
		}
	}
	return out
}

// MayGrant reports whether the may_grant of a held role, inherited through what it includes, names the other role or one
// that includes it. Whether the organization may use that role is asked apart: Covers.
func (c *Catalogue) MayGrant(held, r id.Role) bool {
	info, ok := c.byID[held]
	if !ok || c.byID[r] == nil {
		return false
	}
	_, named := info.mayGrant[r]
	return named || info.every
}

// Covers reports whether a list of role names (available_roles, allowed_roles) names r, or a role that includes it, or
// every role.
func (c *Catalogue) Covers(named []id.Role, r id.Role) bool {
	if c.byID[r] == nil {
		return false
	}
	for _, n := range named {
		if n == Every || c.Carries(n, r) {
			return true
		}
	}
	return false
}

// Excluded gives the roles that a holder of r must not hold: every carrier of another member of an exclusive set that r
// carries a member of.
func (c *Catalogue) Excluded(r id.Role) []id.Role {
	var out []id.Role
	for _, members := range c.exclusive {
		mine := intersect(c.Expand(r), members)
		if len(mine) == 0 {
			continue
		}
		for _, m := range members {
			if slices.Contains(mine, m) {
				continue
			}
			for _, carrier := range c.Carriers(m) {
				if !slices.Contains(out, carrier) {
					out = append(out, carrier)
				}
			}
		}
	}
	return out
}

func (c *Catalogue) list(s set) []id.Permission {
	var out []id.Permission
	for i, p := range c.permissions {
		if s.has(i) {
			out = append(out, p.ID)
		}
	}
	return out
}

// set is a set of permissions by their position in the catalogue.
type set []uint64

func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s set) union(o set) set {
	out := slices.Clone(s)
	for i := range o {
		out[i] |= o[i]
	}
	return out
}

func (s set) minus(o set) set {
	out := slices.Clone(s)
	for i := range o {
		out[i] &^= o[i]
	}
	return out
}

func (s set) meets(o set) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

func (s set) len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// HasExclusive reports whether any roles exclude each other.
func (c *Catalogue) HasExclusive() bool { return len(c.exclusive) > 0 }

// AsksMFA reports whether a role counts only with a second factor: it says so itself, or a role that it includes does, since holding
// a role is holding what it includes.
func (c *Catalogue) AsksMFA(r id.Role) bool {
	info, known := c.byID[r]
	return known && info.mfa
}

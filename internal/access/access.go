// Package access answers what a user may do in an organization, why, and who may change it.
//
// It decides over loaded facts and touches no database: Decide works out effective access, Give and Revoke hold the
// ceiling, LastHolder and the exclusive sets guard an organization. Everything that answers about access (tokens, the API,
// the console) asks Decide, so that no two of them can disagree.
//
// Access is computed, never stored as truth:
//
//	the user's own grants
//	+ the grants and mappings of every group it is in, nested groups included
//	+ the organization's default roles, unless the user was switched to custom access
//	+ for a provider's users: the provider's default roles, and everything cut down to what the relationship allows
//	- restrictions, which win over every grant
//	= nothing at all if the user is not active or has no seat, if the relationship is not in force, or if a demanded MFA is
//	  missing; and no grant outside its time
//
// A role held at a resource is held at everything below it. Holding a role is holding every role it includes.
package access

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Source says where a grant comes from: only the side that gave it takes it away.
type Source string

// The sources. Manual and Invitation are given by people, the others arrive by themselves.
const (
	Manual     Source = "manual"
	Invitation Source = "invitation"
	SCIM       Source = "scim"     // roles and entitlements a directory sent
	SSO        Source = "sso"      // a claim of a connection
	ByGroup    Source = "group"    // a mapping or a grant of a group the user is in
	Default    Source = "default"  // the organization's default roles
	Provider   Source = "provider" // the provider's default roles
)

// byPeople reports whether a person decided on this grant for this user: such a grant is not parked for one that arrives.
func (s Source) byPeople() bool { return s == Manual || s == Invitation }

// RoleAt is an entry of default roles: a role, at the organization where no resource is named.
type RoleAt struct {
	Role     id.Role     `json:"role"`
	Resource id.Resource `json:"resource,omitempty"`
}

// Organization is what an organization's settings say about access.
type Organization struct {
	ID           id.Organization
	Name         string
	Available    []id.Role // available_roles; Every for all
	DefaultRoles []RoleAt
	RequireMFA   bool
}

// User is the state of the user that is asked about.
type User struct {
	ID           id.User
	Name         string
	Home         id.Organization // the organization of the account; another than the one spoken of for a provider's user
	Status       string          // Active, or nothing is in force
	Seated       bool
	CustomAccess bool // switched off the default roles by an administrator
	// MFA is set where the session at hand passed a second factor, and where no session is at hand: what is asked is then what
	// the user has once it is passed.
	MFA bool
}

// Active is the only status of a user that has access.
const Active = "active"

// Group is a group the user is in, directly or through groups that are its members.
type Group struct {
	ID      id.Group
	Name    string
	Direct  bool       // the user itself is a member
	Through []id.Group // members of this group that are groups the user is in
}

// Grant is a stored grant of the user or of one of its groups.
type Grant struct {
	ID       id.Grant
	User     id.User  // one of User and Group
	Group    id.Group //
	Role     id.Role
	Resource id.Resource
	Source   Source
	By       string // the granter, as a person would say it
	Reason   string
	Created  time.Time
	Starts   time.Time // zero: at once
	Expires  time.Time // zero: never
}

// Mapping gives whoever is in a group a role at a resource (group_roles), once it is bound to a group.
type Mapping struct {
	ID       id.GroupRole
	Group    id.Group
	Role     id.Role
	Resource id.Resource
}

// Restriction takes actions away from a user or a group's members at a resource and below.
type Restriction struct {
	ID       id.Restriction
	User     id.User
	Group    id.Group
	Resource id.Resource
	Actions  []string
	Reason   string
}

// Relationship is what the organization allows the provider that a user belongs to.
type Relationship struct {
	Provider     id.Organization
	ProviderName string
	Approved     bool
	AllowedRoles []id.Role
	Resources    []id.Resource // empty: the whole organization
	Expires      time.Time
	RequireMFA   bool
	DefaultRoles []id.Role // the provider's default_provider_roles
}

// Facts is everything Decide looks at. Order within the lists means nothing.
type Facts struct {
	Catalogue    *Catalogue
	Tree         *Tree
	Organization Organization
	User         User
	Groups       []Group
	Grants       []Grant
	Mappings     []Mapping
	Restrictions []Restriction
	Relationship *Relationship
}

// HopKind names a step on the way from a user to a permission.
type HopKind string

// The kinds of hop, in the order they can follow one another.
const (
	HopGroup     HopKind = "group"    // a member of this group
	HopMapping   HopKind = "mapping"  // a group role
	HopGrant     HopKind = "grant"    // a grant; Name says who gave it
	HopDefault   HopKind = "default"  // a default role of the organization
	HopProvider  HopKind = "provider" // a provider's default role
	HopRole      HopKind = "role"
	HopIncluded  HopKind = "included"  // a role that the one before includes
	HopResource  HopKind = "resource"  // where the role is held
	HopInherited HopKind = "inherited" // a resource below
)

// Hop is one step of a reason.
type Hop struct {
	Kind HopKind `json:"kind"`
	ID   string  `json:"id"`
	Name string  `json:"name"`
}

// Held is a role at a resource together with where it comes from.
type Held struct {
	Role     id.Role
	Resource id.Resource
	Source   Source
	Grant    id.Grant     // the stored grant, if it is one
	Mapping  id.GroupRole // the mapping, if it is one
	Group    id.Group     // the group it comes through
	Starts   time.Time
	Expires  time.Time
	Why      []Hop
}

// Parked is a grant that waits in the conflict list: it would make the user hold roles that exclude each other.
type Parked struct {
	Held
	Against []id.Role // the members of the exclusive set that would be held together
}

// Effective is the answer of Decide.
type Effective struct {
	Organization id.Organization
	User         User
	Groups       []Group       // in which the user is, by name
	Grants       []Held        // in force
	Parked       []Parked      // would be in force, but for an exclusive set
	Outside      []Held        // not yet, or no longer
	Restrictions []Restriction // in force
	Unproved     []Held        // would be in force, but the session at hand showed no second factor
	Demands      []string      // why a second factor is asked for, each a sentence; whether or not it was shown
	Nothing      string        // why nothing at all is in force, as a sentence; empty when the user has access

	because   Because // Nothing in a word
	catalogue *Catalogue
	tree      *Tree
	available []id.Role
	cut       func(Held) []Held // what a relationship leaves of a grant; nil for the organization's own users
	kept      []Held            // what is given whatever the user's state: what comes back with a reactivation
	now       time.Time
}

package directory

import (
	"strings"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Roles says which roles a directory may give by roles and entitlements of the users it pushes. The zero value is none: they
// are then attributes like any other.
type Roles struct {
	Accept []RoleAt `json:"accept,omitempty"`
}

// RoleAt is a role at a resource; at the whole organization where no resource is named.
type RoleAt struct {
	Role     id.Role     `json:"role"`
	Resource id.Resource `json:"resource,omitempty"`
}

// ParseRoleAt reads "viewer" and "viewer@london-1".
func ParseRoleAt(s string) RoleAt {
	role, resource, _ := strings.Cut(s, "@")
	return RoleAt{id.Role(role), id.Resource(resource)}
}

// String is how a file and a directory write it.
func (r RoleAt) String() string {
	if r.Resource == "" {
		return string(r.Role)
	}
	return string(r.Role) + "@" + string(r.Resource)
}

// Rooted names the organization itself where no resource is named.
func (r RoleAt) Rooted(org id.Organization) RoleAt {
	if r.Resource == "" {
		r.Resource = id.Resource(org)
	}
	return r
}

package issuing

import (
	"slices"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// maxEntries is how many grants and restrictions a token carries at most. Beyond it, they are left out whole: half a list
// would be read as a whole one.
const maxEntries = 200

type restriction struct {
	Resource id.Resource `json:"resource"`
	Actions  []string    `json:"actions"`
}

// claims is what an application is told about a person, beside sub: the same in ID token, userinfo and introspection,
// whatever the scope, as the application's setting says.
func claims(a application.Application, f store.Family, e *access.Effective) map[string]any {
	c := map[string]any{"name": f.DisplayName}
	if f.Email != "" {
		c["email"], c["email_verified"] = f.Email, f.EmailVerified
	}
	if a.Tells(application.Organization) {
		c["organization"] = e.Organization
	}
	if home := e.User.Home; home != "" && home != e.Organization {
		c["home_organization"], c["external"] = home, true
	}
	if a.Tells(application.Groups) {
		c["groups"] = orEmpty(e.GroupNames())
	}
	if a.Tells(application.Roles) {
		c["roles"] = orEmpty(e.RootRoles())
	}
	if !a.Tells(application.Grants) && !a.Tells(application.Roles) {
		return c
	}
	var grants []access.RoleAt
	if a.Tells(application.Grants) {
		grants = orEmpty(e.Claims())
	}
	// Restrictions come with roles as well as with grants: a role name without what is taken from it says too much.
	restrictions := restrictionsOf(e)
	if len(grants)+len(restrictions) > maxEntries {
		c["grants_overage"] = true
		return c
	}
	if grants != nil {
		c["grants"] = grants
	}
	if len(restrictions) > 0 {
		c["restrictions"] = restrictions
	}
	return c
}

// restrictionsOf joins the restrictions in force of each resource, in the order of the tree's answer.
func restrictionsOf(e *access.Effective) []restriction {
	var out []restriction
	for _, r := range e.Restrictions {
		i := slices.IndexFunc(out, func(o restriction) bool { return o.Resource == r.Resource })
		if i < 0 {
			i = len(out)
			out = append(out, restriction{Resource: r.Resource})
		}
		for _, action := range r.Actions {
			if !slices.Contains(out[i].Actions, action) {
				out[i].Actions = append(out[i].Actions, action)
			}
		}
	}
	return out
}

// orEmpty makes an absent list an empty one: [] says "none", a missing claim would say "not told".
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

package apply

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// checker looks at what the store would hold, and reports what does not hold together where the file says it.
type checker struct {
	*Declaration
	merged    *store.Declared
	catalogue *access.Catalogue // nil where the catalogue itself is wrong
	resources map[id.Organization]map[id.Resource]bool
	problems  Problems
}

func (d *Declaration) check(merged *store.Declared) Problems {
	c := &checker{Declaration: d, merged: merged, resources: map[id.Organization]map[id.Resource]bool{}}
	c.checkCatalogue()
	for _, o := range merged.Organizations {
		c.resources[o.ID] = map[id.Resource]bool{id.Resource(o.ID): true}
	}
	for _, r := range merged.Resources {
		if tree := c.resources[r.Organization]; tree != nil {
			tree[r.ID] = true
		}
	}
	for _, o := range d.want.Organizations {
		c.checkOrganization(o)
	}
	for _, r := range merged.CustomRoles {
		c.checkCustomRole(r)
	}
	for _, r := range d.want.Resources {
		c.checkParent(r)
	}
	for _, g := range d.want.GroupRoles {
		c.checkGroupRole(g)
	}
	for _, r := range d.want.Directories {
		c.checkDirectory(r)
	}
	for i := range d.want.Connections {
		c.checkConnection(&d.want.Connections[i])
	}
	for _, r := range d.want.Relationships {
		c.checkRelationship(r)
	}
	named := map[string]id.Application{}
	for _, a := range d.want.Applications {
		if a.Protocol == application.SAML && a.EntityID != "" {
			// By its entity id a request is told from another application's.
			if other, twice := named[a.EntityID]; twice {
				c.at(key(applicationKind, "", string(a.ID)), "entity_id", "it is the application %s's already", other)
			}
			named[a.EntityID] = a.ID
		}
		for i, o := range a.Organizations {
			if o != application.Every && c.resources[o] == nil {
				c.at(key(applicationKind, "", string(a.ID)), fmt.Sprintf("organizations[%d]", i), "there is no organization %q", o)
			}
		}
	}
	return c.problems
}

// at reports something about an object. One that lies only in the store is not this file's line to mend, but this file is
// why it no longer fits.
func (c *checker) at(key, field, format string, args ...any) {
	where, declared := c.places[key]
	if !declared {
		c.problems = append(c.problems, Problem{
			File: c.Files[0], Line: 1, Message: fmt.Sprintf("%s, which lies in the store, no longer fits: %s",
				strings.TrimPrefix(strings.ReplaceAll(key, "\x00", " "), " "), fmt.Sprintf(format, args...)),
		})
		return
	}
	c.problems.at(where, field, format, args...)
}

func (c *checker) checkCatalogue() {
	var permissions []access.Permission
	for _, p := range c.merged.Permissions {
		permissions = append(permissions, p.Permission)
	}
	var roles []access.Role
	for _, r := range c.merged.Roles {
		roles = append(roles, r.Role)
	}
	var exclusive [][]id.Role
	for _, e := range c.merged.Exclusive {
		exclusive = append(exclusive, e.Roles)
	}
	var err error
	c.catalogue, err = access.NewCatalogue(permissions, roles, exclusive)
	f := fault.As(err)
	if f == nil {
		return
	}
	for _, field := range f.Fields {
		var list string
		var i int
		open, shut := strings.IndexByte(field.Path, '['), strings.IndexByte(field.Path, ']')
		list = field.Path[:open]
		_, _ = fmt.Sscanf(field.Path[open:shut+1], "[%d]", &i)
		rest := strings.TrimPrefix(field.Path[shut+1:], ".")
		switch list {
		case "permissions":
			if permissionID.MatchString(string(c.merged.Permissions[i].ID)) { // else reported with the file's own form
				c.at(key(permissionKind, "", string(c.merged.Permissions[i].ID)), rest, "%s", field.Message)
			}
		case "roles":
			if c.merged.Roles[i].ID != "" {
				c.at(key(roleKind, "", string(c.merged.Roles[i].ID)), rest, "%s", field.Message)
			}
		case "exclusive_roles":
			c.at(key(exclusiveKind, "", exclusiveKey(c.merged.Exclusive[i].Roles)), rest, "%s", field.Message)
		}
	}
}

// role checks that a role exists and that an organization may use it.
func (c *checker) role(object, field string, r id.Role, available []id.Role) {
	known := slices.ContainsFunc(c.merged.Roles, func(m store.DeclaredRole) bool { return m.ID == r })
	switch {
	case !known:
		c.at(object, field, "there is no role %q; %s", r, c.nearestRole(r))
	case available != nil && c.catalogue != nil && !c.catalogue.Covers(available, r):
		c.at(object, field, "available_roles does not let this organization use %q", r)
	}
}

func (c *checker) nearestRole(r id.Role) string {
	var known []string
	for _, m := range c.merged.Roles {
		known = append(known, string(m.ID))
	}
	if len(known) == 0 {
		return "no roles are declared"
	}
	return strings.Replace(suggestion(string(r), known), "fields", "roles", 1)
}

func (c *checker) resource(object, field string, org id.Organization, r id.Resource) {
	if tree := c.resources[org]; tree != nil && !tree[r] {
		c.at(object, field, "there is no resource %q in %s", r, org)
	}
}

func (c *checker) checkOrganization(o store.DeclaredOrganization) {
	c.checkEnforced(o)
	k := key(organizationKind, o.ID, "")
	for i, r := range o.Settings.AvailableRoles {
		if r != access.Every {
			c.role(k, fmt.Sprintf("available_roles[%d]", i), r, nil)
		}
	}
	for i, r := range o.Settings.DefaultRoles {
		field := fmt.Sprintf("default_roles[%d]", i)
		c.roleOf(o.ID, k, field, r.Role, o.Settings.Available())
		if r.Resource != "" {
			c.resource(k, field, o.ID, r.Resource)
		}
		f := c.facts(o.ID)
		if f == nil {
			continue
		}
		for _, other := range o.Settings.DefaultRoles[:i] {
			if slices.Contains(f.Catalogue.Excluded(r.Role), other.Role) {
				c.at(k, field, "nobody may hold %s and %s together, and everybody would", other.Role, r.Role)
			}
		}
	}
	for i, r := range o.Settings.DefaultProviderRoles {
		c.role(k, fmt.Sprintf("default_provider_roles[%d]", i), r, nil)
	}
}

// checkParent refuses a tree that would bite its tail: a resource declared below one that the store still has below it.
func (c *checker) checkParent(r store.DeclaredResource) {
	parents := map[id.Resource]id.Resource{}
	for _, m := range c.merged.Resources {
		if m.Organization == r.Organization {
			parents[m.ID] = m.Parent
		}
	}
	seen := map[id.Resource]bool{}
	for at := r.ID; at != ""; at = parents[at] {
		if seen[at] {
			c.at(key(resourceKind, r.Organization, string(r.ID)), "id", "%s would lie below itself", r.ID)
			return
		}
		seen[at] = true
	}
}

func (c *checker) checkGroupRole(g store.DeclaredGroupRole) {
	k := key(groupRoleKind, g.Organization, groupRoleKey(g))
	for _, o := range c.merged.Organizations {
		if o.ID == g.Organization && g.Role != "" {
			c.roleOf(o.ID, k, "role", g.Role, o.Settings.Available())
		}
	}
	c.resource(k, "resource", g.Organization, g.Resource)
	if g.Directory != "" && c.directory(g.Organization, g.Directory) == nil {
		c.at(k, "directory", "there is no directory %q in %s", g.Directory, g.Organization)
	}
}

func (c *checker) checkDirectory(d store.DeclaredDirectory) {
	k := key(directoryKind, d.Organization, string(d.ID))
	for _, o := range c.merged.Organizations {
		if o.ID != d.Organization {
			continue
		}
		for i, r := range d.Roles.Accept {
			field := fmt.Sprintf("roles.accept[%d]", i)
			c.roleOf(o.ID, k, field, r.Role, o.Settings.Available())
			if r.Resource != "" {
				c.resource(k, field, d.Organization, r.Resource)
			}
		}
	}
}

func (c *checker) directory(org id.Organization, dir id.Directory) *connection.Directory {
	for _, d := range c.merged.Directories {
		if d.Organization == org && d.ID == dir {
			return &connection.Directory{ID: d.ID, Dialect: d.Dialect, Key: connection.Attribute(d.Key)}
		}
	}
	return nil
}

// checkConnection completes the connection as well: its preset match depends on its directory, which may lie in the store.
func (c *checker) checkConnection(conn *connection.Connection) {
	k := key(connectionKind, conn.Organization, string(conn.ID))
	at := c.places[k]
	f := fault.As(connection.Validate(conn, c.directory(conn.Organization, conn.Directory)))
	if f == nil {
		return
	}
	for _, field := range f.Fields {
		switch {
		case field.Path == "domains": // reported by each domain's own line
		case field.Path == "protocol" && !at.has("protocol"):
		case (field.Path == "issuer" || field.Path == "metadata" || field.Path == "client_id") && at.has(field.Path) &&
			strings.HasSuffix(field.Message, "missing."): // its value could not be read, which is reported
		default:
			c.at(k, field.Path, "%s", field.Message)
		}
	}
}

func (c *checker) checkRelationship(r store.DeclaredRelationship) {
	k := key(relationshipKind, "", relationshipKey(r))
	for field, org := range map[string]id.Organization{"provider": r.Provider, "client": r.Client} {
		if c.resources[org] == nil && org != "" {
			c.at(k, field, "there is no organization %q", org)
		}
	}
	for i, role := range r.AllowedRoles {
		c.role(k, fmt.Sprintf("allowed_roles[%d]", i), role, nil)
	}
	for i, resource := range r.Resources {
		c.resource(k, fmt.Sprintf("resources[%d]", i), r.Client, resource)
	}
}

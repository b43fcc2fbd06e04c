package apply

import (
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// fileCustomRole is a role of one organization. Its id is written with custom: in front or without; everywhere else it is named with.
type fileCustomRole struct {
	At          place
	ID          id.Role         `yaml:"id,required"`
	Name        string          `yaml:"name"`
	Description string          `yaml:"description"`
	Includes    []id.Role       `yaml:"includes"`
	Permissions []id.Permission `yaml:"permissions"`
	MayGrant    []id.Role       `yaml:"may_grant"`
	RequireMFA  bool            `yaml:"require_mfa"`
}

func (d *Declaration) customRole(org id.Organization, r fileCustomRole) {
	name := orElse(r.Name, id.Role(strings.TrimPrefix(string(r.ID), access.CustomPrefix)))
	r.ID = access.CustomID(string(r.ID), "")
	if r.ID == "" || !d.once(key(customRoleKind, org, string(r.ID)), r.At, "id") {
		return
	}
	d.want.CustomRoles = append(d.want.CustomRoles, store.DeclaredCustomRole{Organization: org, Role: access.Role{
		ID: r.ID, Name: name, Description: r.Description, Permissions: r.Permissions, Includes: r.Includes, MayGrant: r.MayGrant,
		RequireMFA: r.RequireMFA,
	}.Tidied()})
}

// facts are an organization's roles as the store would hold them, those of its own that a file makes among them; nil where the
// catalogue itself is wrong, or there is no such organization.
func (c *checker) facts(org id.Organization) *access.Facts {
	i := slices.IndexFunc(c.merged.Organizations, func(o store.DeclaredOrganization) bool { return o.ID == org })
	if c.catalogue == nil || i < 0 {
		return nil
	}
	o := c.merged.Organizations[i]
	available := slices.Clone(o.Settings.Available())
	var customs []access.Role
	for _, r := range c.merged.CustomRoles {
		if r.Organization == org {
			customs, available = append(customs, r.Role), append(available, r.ID)
		}
	}
	return &access.Facts{
		Catalogue:    c.catalogue.With(o.Settings.Available(), customs),
		Organization: access.Organization{ID: org, Name: o.Name, Available: available},
	}
}

// checkCustomRole holds a role to the rules of one that is made by hand; an operator has no ceiling.
func (c *checker) checkCustomRole(r store.DeclaredCustomRole) {
	f := c.facts(r.Organization)
	if f == nil {
		return
	}
	_, err := access.Define(access.Giver{Operator: true}, f, &r.Role, r.Role)
	if refused := fault.As(err); refused != nil {
		for _, field := range refused.Fields {
			c.at(key(customRoleKind, r.Organization, string(r.ID)), field.Path, "%s", field.Message)
		}
	}
}

// roleOf is role for what an organization may name: its own roles too, as far as a file makes them.
func (c *checker) roleOf(org id.Organization, object, field string, r id.Role, available []id.Role) {
	if !access.IsCustom(r) {
		c.role(object, field, r, available)
		return
	}
	if !slices.ContainsFunc(c.merged.CustomRoles, func(m store.DeclaredCustomRole) bool { return m.Organization == org && m.ID == r }) {
		c.at(object, field, "there is no role %q under custom_roles of %s; one that is made in the console is given there", r, org)
	}
}

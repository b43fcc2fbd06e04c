package provisioning

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// RoleURN names the schema of the roles that a directory may give.
const RoleURN = "urn:vestibule:params:scim:schemas:1.0:Role"

// roleType is served under directories that may give roles: what a provider's administrator may map to, and no more.
var roleType = &scim.ResourceType{
	Name: "Role", Endpoint: "/Roles", Description: "Role that users of this directory may be given", Schema: roleSchema(), ReadOnly: true,
}

func roleSchema() *scim.Schema {
	s, err := scim.LoadSchema([]byte(`{
		"id": "` + RoleURN + `",
		"name": "Role",
		"description": "A role at a resource, given to a user by its value in roles or entitlements.",
		"attributes": [
			{"name": "value", "type": "string", "multiValued": false, "description": "What to push.", "required": true, "caseExact": false, "mutability": "readOnly", "returned": "default", "uniqueness": "server"},
			{"name": "displayName", "type": "string", "multiValued": false, "description": "Name of the role.", "required": false, "caseExact": false, "mutability": "readOnly", "returned": "default", "uniqueness": "none"},
			{"name": "role", "type": "string", "multiValued": false, "description": "Id of the role.", "required": false, "caseExact": true, "mutability": "readOnly", "returned": "default", "uniqueness": "none"},
			{"name": "resource", "type": "complex", "multiValued": false, "description": "Where it holds, there and below.", "required": false, "mutability": "readOnly", "returned": "default", "uniqueness": "none", "subAttributes": [
				{"name": "value", "type": "string", "multiValued": false, "description": "Id of the resource.", "required": false, "caseExact": true, "mutability": "readOnly", "returned": "default", "uniqueness": "none"},
				{"name": "display", "type": "string", "multiValued": false, "description": "Name of the resource.", "required": false, "caseExact": false, "mutability": "readOnly", "returned": "default", "uniqueness": "none"},
				{"name": "type", "type": "string", "multiValued": false, "description": "What the resource is.", "required": false, "caseExact": false, "mutability": "readOnly", "returned": "default", "uniqueness": "none"}
			]}
		]
	}`))
	if err != nil {
		panic(err)
	}
	return s
}

// roles answers from memory what the setting of a directory holds.
func (t *tenant) roles(ctx context.Context) (all []*scim.Resource, err error) {
	err = t.read(ctx, func(p *store.Push) (err error) {
		all, err = p.Roles(ctx, roleType)
		return err
	})
	return all, err
}

func (t *tenant) role(ctx context.Context, resource string) (*scim.Resource, error) {
	all, err := t.roles(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.ID == resource {
			return r, nil
		}
	}
	return nil, scim.Errorf(http.StatusNotFound, "", "This directory may give no role %q.", resource)
}

func (t *tenant) listRoles(ctx context.Context, q scim.Query) (*scim.Page, error) {
	all, err := t.roles(ctx)
	if err != nil {
		return nil, err
	}
	var found []*scim.Resource
	for _, r := range all {
		a, err := scim.DecodeStored(r.Document)
		if err != nil {
			return nil, err
		}
		a["id"] = r.ID
		if q.Filter.Match(a) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *scim.Resource) int {
		by := cmp.Compare(text(a, q.SortBy), text(b, q.SortBy))
		if q.Descending {
			by = -by
		}
		return cmp.Or(by, cmp.Compare(a.ID, b.ID))
	})
	page := &scim.Page{Total: len(found)}
	found = found[min(q.Offset, len(found)):]
	page.More = len(found) > q.Count
	page.Resources = found[:min(q.Count, len(found))]
	return page, nil
}

// text is what a role is sorted by.
func text(r *scim.Resource, by *scim.Path) string {
	if by == nil || by.Attribute == nil {
		return ""
	}
	a, err := scim.DecodeStored(r.Document)
	if err != nil {
		return ""
	}
	v := a[by.Attribute.Name]
	if m, ok := v.(map[string]any); ok && by.Sub != nil {
		v = m[by.Sub.Name]
	}
	s, _ := v.(string)
	return scim.Fold(s)
}

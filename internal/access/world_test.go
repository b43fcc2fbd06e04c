package access_test

import (
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// The world of the tests: Northwind's catalogue and tree, as an operator's file declares them.

var now = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

func permissions() []access.Permission {
	return []access.Permission{
		{ID: "assets.read", Name: "View assets"},
		{ID: "assets.update", Name: "Edit assets"},
		{ID: "assets.delete", Name: "Delete assets"},
		{ID: "dashboards.read", Name: "View dashboards"},
		{ID: "tasks.manage", Name: "Manage tasks"},
		{ID: "billing.read", Name: "View billing"},
	}
}

func roles() []access.Role {
	return []access.Role{
		{ID: "viewer", Name: "Viewer", Permissions: []id.Permission{"assets.read", "dashboards.read"}},
		{ID: "user", Name: "User", Includes: []id.Role{"viewer"}},
		{ID: "task-manager", Name: "Task Manager", Permissions: []id.Permission{"tasks.manage"}},
		{
			ID: "asset-editor", Name: "Asset Editor", Includes: []id.Role{"user"},
			Permissions: []id.Permission{"assets.update", "assets.delete"},
		},
		{
			ID: "user-admin", Name: "User Admin", Includes: []id.Role{"asset-editor"},
			Permissions: []id.Permission{"users.read", "users.manage", "audit.read"},
			MayGrant:    []id.Role{"task-manager", "user-admin"},
		},
		{
			ID: "owner", Name: "Owner", Includes: []id.Role{"user-admin", "task-manager"},
			Permissions: []id.Permission{"billing.read"}, MayGrant: []id.Role{access.Every}, Protected: true,
		},
		{ID: "auditor", Name: "Auditor", Permissions: []id.Permission{"audit.read", "users.read"}},
		{ID: "billing-clerk", Name: "Billing Clerk", Permissions: []id.Permission{"billing.read"}},
		{ID: "chief-auditor", Name: "Chief Auditor", Includes: []id.Role{"auditor"}},
	}
}

var exclusive = [][]id.Role{{"auditor", "billing-clerk"}}

func catalogue(t testing.TB) *access.Catalogue {
	t.Helper()
	c, err := access.NewCatalogue(permissions(), roles(), exclusive)
	if err != nil {
		t.Fatalf("the catalogue: %v %+v", err, fault.As(err))
	}
	return c
}

func resources() []access.Resource {
	return []access.Resource{
		{ID: "emea", Type: "portfolio", Name: "EMEA"},
		{ID: "london-1", Parent: "emea", Type: "site", Name: "London 1"},
		{ID: "london-1-roof", Parent: "london-1", Type: "building", Name: "Roof plant"},
		{ID: "berlin-1", Parent: "emea", Type: "site", Name: "Berlin 1", Position: 1},
		{ID: "americas", Parent: "northwind", Type: "portfolio", Name: "Americas", Position: 1},
		{ID: "austin-1", Parent: "americas", Type: "site", Name: "Austin 1"},
	}
}

func tree(t testing.TB) *access.Tree {
	t.Helper()
	tr, err := access.NewTree("northwind", "Northwind", resources())
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// facts are those of an active user of Northwind with a seat and nothing else.
func facts(t testing.TB, name string) *access.Facts {
	t.Helper()
	return &access.Facts{
		Catalogue:    catalogue(t),
		Tree:         tree(t),
		Organization: access.Organization{ID: "northwind", Name: "Northwind", Available: []id.Role{access.Every}},
		User:         access.User{ID: id.User(name), Name: name, Home: "northwind", Status: access.Active, Seated: true},
	}
}

// give adds a manual grant to the facts.
func give(f *access.Facts, role id.Role, resource id.Resource) *access.Facts {
	f.Grants = append(f.Grants, access.Grant{
		ID: id.Grant(string(role) + "@" + string(resource)), User: f.User.ID, Role: role, Resource: resource,
		Source: access.Manual, By: "Ines",
	})
	return f
}

// synced adds a grant that a directory brought.
func synced(f *access.Facts, role id.Role, resource id.Resource) *access.Facts {
	give(f, role, resource)
	f.Grants[len(f.Grants)-1].Source = access.SCIM
	return f
}

func who(t testing.TB, name string, role id.Role, resource id.Resource) *access.Effective {
	t.Helper()
	return access.Decide(give(facts(t, name), role, resource), now)
}

func wantKind(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	f := fault.As(err)
	if f == nil || f.Kind != kind || f.Code != code {
		t.Errorf("got %v (%+v), want a fault of kind %s with the code %q", err, f, kind, code)
	}
}

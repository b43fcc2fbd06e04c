package access_test

import (
	"slices"
	"testing"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

var every = []id.Role{access.Every}

// custom gives Northwind's catalogue with roles of its own, of the given available roles.
func custom(t testing.TB, available []id.Role, roles ...access.Role) *access.Catalogue {
	t.Helper()
	return catalogue(t).With(available, roles)
}

func TestWith_ACustomRoleIsBoundedByWhatTheOrganizationMayUse(t *testing.T) {
	t.Parallel()
	night := access.Role{
		ID: "custom:night", Name: "Night shift", Permissions: []id.Permission{"billing.read", "tasks.manage", "gone.read"},
		Includes: []id.Role{"asset-editor", "viewer", "gone"}, MayGrant: []id.Role{"viewer", "gone"},
	}
	for _, c := range []struct {
		available []id.Role
		want      []id.Permission
	}{
		{every, []id.Permission{"assets.read", "assets.update", "assets.delete", "dashboards.read", "tasks.manage", "billing.read"}},
		{[]id.Role{"viewer", "billing-clerk"}, []id.Permission{"assets.read", "dashboards.read", "billing.read"}},
		{[]id.Role{"auditor"}, nil},
	} {
		got := custom(t, c.available, night)
		if p := got.PermissionsOf("custom:night"); !slices.Equal(p, c.want) {
			t.Errorf("of %v: got %v, want %v", c.available, p, c.want)
		}
		if stored, _ := got.Custom("custom:night"); len(stored.Permissions) != 3 {
			t.Errorf("what stands in the store is changed: %+v", stored)
		}
	}
}

func TestWith_NothingInTheStoreLocksAnOrganizationOut(t *testing.T) {
	t.Parallel()
	c := custom(t, every,
		access.Role{ID: "custom:a", Name: "A", Includes: []id.Role{"custom:b"}, Permissions: []id.Permission{"assets.read"}},
		access.Role{ID: "custom:b", Name: "B", Includes: []id.Role{"custom:a"}},
		access.Role{ID: "custom:both", Name: "Both", Includes: []id.Role{"auditor", "billing-clerk"}},
		access.Role{ID: "owner", Name: "No custom role", Permissions: []id.Permission{"assets.read"}, Protected: true},
	)
	if !slices.Equal(c.PermissionsOf("custom:b"), []id.Permission{"assets.read"}) {
		t.Errorf("a cycle: %v", c.PermissionsOf("custom:b"))
	}
	if role, _ := c.Role("owner"); role.Custom || role.Name != "Owner" {
		t.Errorf("a stored role took the place of the operator's: %+v", role)
	}
	// Roles that exclude each other since are parked, as if they had been given one by one.
	f := give(facts(t, "dana"), "custom:both", "northwind")
	f.Catalogue = c
	if e := access.Decide(f, now); len(e.Grants) != 0 || len(e.Parked) != 1 {
		t.Errorf("got %+v in force and %+v parked", e.Grants, e.Parked)
	}
}

func TestWith_ACustomRoleIsNoWayAroundASecondFactor(t *testing.T) {
	t.Parallel()
	declared := roles()
	i := slices.IndexFunc(declared, func(r access.Role) bool { return r.ID == "billing-clerk" })
	declared[i].RequireMFA = true
	j := slices.IndexFunc(declared, func(r access.Role) bool { return r.ID == "owner" })
	declared[j].RequireMFA = true
	operators, err := access.NewCatalogue(permissions(), declared, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := operators.With(every, []access.Role{
		{ID: "custom:billing", Name: "Billing", Permissions: []id.Permission{"billing.read"}},
		{ID: "custom:around", Name: "Around", Includes: []id.Role{"custom:billing"}},
		{ID: "custom:tasks", Name: "Tasks", Permissions: []id.Permission{"tasks.manage"}},
		{ID: "custom:asks", Name: "Asks", Permissions: []id.Permission{"tasks.manage"}, RequireMFA: true},
	})
	for role, want := range map[id.Role]bool{"custom:billing": true, "custom:around": true, "custom:tasks": false, "custom:asks": true} {
		if got := c.AsksMFA(role); got != want {
			t.Errorf("%s asks for a second factor: got %v, want %v", role, got, want)
		}
	}
}

// What a provider wrote means none of the roles that the organization it serves made, whatever they are called.
func TestDecide_AProvidersDefaultsNameNoCustomRole(t *testing.T) {
	t.Parallel()
	f := facts(t, "fred")
	f.User.Home = "fieldserv"
	f.Catalogue = custom(t, every, access.Role{ID: "custom:night", Name: "Night shift", Permissions: []id.Permission{"billing.read"}})
	f.Relationship = &access.Relationship{
		Provider: "fieldserv", ProviderName: "Fieldserv", Approved: true, AllowedRoles: every, DefaultRoles: []id.Role{"custom:night", "viewer"},
	}
	if got := access.Decide(f, now).RootRoles(); !slices.Equal(got, []id.Role{"viewer"}) {
		t.Errorf("got %v", got)
	}
	err := access.Propose(f, access.RelationshipSettings{AllowedRoles: []id.Role{"custom:night"}}, now)
	wantKind(t, err, fault.Invalid, "")
	// Within terms of every role its people may be given one; within others it is cut to what they allow of it.
	give(f, "custom:night", "northwind")
	if !access.Decide(f, now).Everywhere("billing.read") {
		t.Error("terms of every role leave nothing of a custom role")
	}
	f.Relationship.AllowedRoles = []id.Role{"viewer"}
	if access.Decide(f, now).Everywhere("billing.read") {
		t.Error("terms that name other roles let a custom one through")
	}
}

func TestCan_SaysTheWayThroughACustomRole(t *testing.T) {
	t.Parallel()
	f := give(facts(t, "dana"), "custom:night", "emea")
	f.Catalogue = custom(t, every, access.Role{ID: "custom:night", Name: "Night shift", Includes: []id.Role{"asset-editor"}})
	got := access.Decide(f, now).Can("assets.read", "london-1")
	const want = "dana holds assets.read at London 1: given by Ines, role Night shift, which includes Asset Editor, which includes User, " +
		"which includes Viewer, at EMEA, and so at London 1."
	if got.Reason != want {
		t.Errorf("got %s\nwant %s", got.Reason, want)
	}
}

func TestDefine_WhoMayNotGiveEveryRoleLetsNobodyGiveIt(t *testing.T) {
	t.Parallel()
	f := facts(t, "olive")
	f.Catalogue = custom(t, every, access.Role{ID: "custom:maker", Name: "Maker", Permissions: []id.Permission{access.RolesManage}})
	// The catalogue of the tests gives roles.manage to nobody; a role of the organization that no operator's role carries is empty.
	if got := f.Catalogue.PermissionsOf("custom:maker"); len(got) > 0 {
		t.Errorf("got %v, want nothing that no role of the operator's carries", got)
	}
	_, err := access.Define(access.Giver{Access: access.Decide(give(f, "owner", "northwind"), now)}, f, nil,
		access.Role{ID: "custom:x", Name: "X", Permissions: []id.Permission{"assets.read"}})
	wantKind(t, err, fault.Forbidden, access.CodeCeiling)
	_, err = access.Define(access.Giver{Operator: true}, f, nil, access.Role{ID: "custom:x", Name: "X", Permissions: []id.Permission{access.RolesManage}})
	wantKind(t, err, fault.Invalid, "")
}

func TestCustomID_IsMadeOfTheNameAndNeverADeclaredOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typed, name string
		want        id.Role
	}{
		{"", "Night shift", "custom:night-shift"},
		{"", "  Öl & Gas (2)", "custom:l-gas-2"},
		{"", "夜勤", ""},
		{"owner", "Night shift", "custom:owner"},
		{"custom:owner", "Night shift", "custom:owner"},
	} {
		if got := access.CustomID(c.typed, c.name); got != c.want || id.Declared(string(got)) {
			t.Errorf("%q, %q: got %q, want %q", c.typed, c.name, got, c.want)
		}
	}
	if _, err := access.NewCatalogue(nil, []access.Role{{ID: "custom:owner"}}, nil); err == nil {
		t.Error("an operator declares a role with a custom role's id")
	}
}

package access_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

func TestNewCatalogue_RefusesWhatDoesNotHoldTogether(t *testing.T) {
	t.Parallel()
	read := []access.Permission{{ID: "assets.read"}}
	for name, test := range map[string]struct {
		permissions []access.Permission
		roles       []access.Role
		exclusive   [][]id.Role
		field       string
	}{
		"an unknown permission":    {read, []access.Role{{ID: "a", Permissions: []id.Permission{"assets.fly"}}}, nil, "roles[0].permissions[0]"},
		"an unknown included role": {read, []access.Role{{ID: "a", Includes: []id.Role{"b"}}}, nil, "roles[0].includes[0]"},
		"an unknown grantable":     {read, []access.Role{{ID: "a", MayGrant: []id.Role{"b"}}}, nil, "roles[0].may_grant[0]"},
		"an unknown exclusive":     {read, []access.Role{{ID: "a"}}, [][]id.Role{{"a", "b"}}, "exclusive_roles[0][1]"},
		"a lonely exclusive":       {read, []access.Role{{ID: "a"}}, [][]id.Role{{"a"}}, "exclusive_roles[0]"},
		"a role of itself":         {read, []access.Role{{ID: "a", Includes: []id.Role{"a"}}}, nil, "roles[0].includes"},
		"a loop":                   {read, []access.Role{{ID: "a", Includes: []id.Role{"b"}}, {ID: "b", Includes: []id.Role{"a"}}}, nil, "roles[0].includes"},
		"a role twice":             {read, []access.Role{{ID: "a"}, {ID: "a"}}, nil, "roles[1].id"},
		"a role called *":          {read, []access.Role{{ID: "*"}}, nil, "roles[0].id"},
		"a permission twice":       {append(read, read...), nil, nil, "permissions[1].id"},
		"a permission without dot": {[]access.Permission{{ID: "assets"}}, nil, nil, "permissions[0].id"},
		"a role nobody could hold": {read, []access.Role{{ID: "a"}, {ID: "b"}, {ID: "c", Includes: []id.Role{"a", "b"}}}, [][]id.Role{{"a", "b"}}, "roles[2].includes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := access.NewCatalogue(test.permissions, test.roles, test.exclusive)
			f := fault.As(err)
			if f == nil || f.Kind != fault.Invalid {
				t.Fatalf("got %v, want a fault of kind invalid", err)
			}
			if !slices.ContainsFunc(f.Fields, func(x fault.Field) bool { return x.Path == test.field }) {
				t.Errorf("got fields %+v, want one at %s", f.Fields, test.field)
			}
		})
	}
}

func TestCatalogue_InclusionIsWorkedOut(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	check := func(what string, got, want any) {
		t.Helper()
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("%s (-got +want):\n%s", what, d)
		}
	}
	check("expanded, nearest first", c.Expand("user-admin"), []id.Role{"user-admin", "asset-editor", "user", "viewer"})
	check("the way to an included role", c.Chain("asset-editor", "viewer"), []id.Role{"asset-editor", "user", "viewer"})
	check("no way back", c.Chain("viewer", "user"), []id.Role(nil))
	check("carriers", c.Carriers("asset-editor"), []id.Role{"asset-editor", "user-admin", "owner"})
	check("protected", c.Protected(), []id.Role{"owner"})
	check("permissions with those of included roles", c.PermissionsOf("asset-editor"),
		[]id.Permission{"assets.read", "assets.update", "assets.delete", "dashboards.read"})
	check("our own permissions are always there", c.Known(access.ConnectionsManage), true)
	check("what excludes a role counts included ones", c.Excluded("billing-clerk"), []id.Role{"auditor", "chief-auditor"})
	check("and from the other side", c.Excluded("chief-auditor"), []id.Role{"billing-clerk"})
	check("roles without an exclusive set exclude nothing", c.Excluded("viewer"), []id.Role(nil))
}

func TestCatalogue_MayGrantIsInheritedAndCoversIncludedRoles(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	for _, test := range []struct {
		held, role id.Role
		want       bool
	}{
		{"user-admin", "user-admin", true},
		{"user-admin", "task-manager", true},
		{"user-admin", "viewer", true}, // user-admin is named, and includes it
		{"user-admin", "owner", false}, // never more than named
		{"user-admin", "billing-clerk", false},
		/* not named */ {"owner", "billing-clerk", true}, // *
		{"owner", "owner", true},
		{"asset-editor", "viewer", false}, // holding a role is not being able to give it
		{"owner", "nobody", false},
		{"nobody", "viewer", false},
	} {
		if got := c.MayGrant(test.held, test.role); got != test.want {
			t.Errorf("may a holder of %s give %s: got %v, want %v", test.held, test.role, got, test.want)
		}
	}
	deputy, err := access.NewCatalogue(permissions(), append(roles(), access.Role{ID: "deputy", Includes: []id.Role{"user-admin"}}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !deputy.MayGrant("deputy", "task-manager") {
		t.Error("may_grant of an included role is not inherited")
	}
}

func TestCatalogue_CoversWhatANamedRoleIncludes(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	for _, test := range []struct {
		named []id.Role
		role  id.Role
		want  bool
	}{
		{[]id.Role{"asset-editor"}, "viewer", true},
		{[]id.Role{"viewer"}, "asset-editor", false},
		{[]id.Role{access.Every}, "owner", true},
		{[]id.Role{access.Every}, "nobody", false},
		{nil, "viewer", false},
	} {
		if got := c.Covers(test.named, test.role); got != test.want {
			t.Errorf("%v covers %s: got %v, want %v", test.named, test.role, got, test.want)
		}
	}
}

// Names of roles as rapid draws them; role n may include lower ones only, so that there is no loop.
func drawRoles(t *rapid.T) []access.Role {
	all := permissions()
	n := rapid.IntRange(1, 8).Draw(t, "roles")
	out := make([]access.Role, n)
	for i := range out {
		out[i].ID = id.Role(rune('a' + i))
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "included") == 0 {
				out[i].Includes = append(out[i].Includes, id.Role(rune('a'+j)))
			}
			if rapid.IntRange(0, 3).Draw(t, "grantable") == 0 {
				out[i].MayGrant = append(out[i].MayGrant, id.Role(rune('a'+j)))
			}
		}
		out[i].Permissions = []id.Permission{rapid.SampledFrom(all).Draw(t, "permission").ID}
		out[i].Protected = i == n-1
	}
	return out
}

func TestCatalogue_OrderOfIncludesMeansNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		roles := drawRoles(t)
		straight, err := access.NewCatalogue(permissions(), roles, nil)
		if err != nil {
			t.Fatal(err)
		}
		turned := make([]access.Role, len(roles))
		for i, r := range roles {
			r.Includes = rapid.Permutation(r.Includes).Draw(t, "includes")
			turned[i] = r
		}
		other, err := access.NewCatalogue(permissions(), turned, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range roles {
			if d := cmp.Diff(straight.PermissionsOf(a.ID), other.PermissionsOf(a.ID)); d != "" {
				t.Fatal(d)
			}
			for _, b := range roles {
				if straight.Carries(a.ID, b.ID) != other.Carries(a.ID, b.ID) || straight.MayGrant(a.ID, b.ID) != other.MayGrant(a.ID, b.ID) {
					t.Fatalf("%s and %s", a.ID, b.ID)
				}
			}
		}
	})
}

func TestTree_ReachesExactlyWhatLiesBelow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "resources")
		list := []access.Resource{}
		for i := range n {
			r := access.Resource{ID: id.Resource(rune('a' + i)), Position: int64(rapid.IntRange(0, 3).Draw(t, "position"))}
			if up := rapid.IntRange(-1, i-1).Draw(t, "parent"); up >= 0 {
				r.Parent = id.Resource(rune('a' + up))
			}
			list = append(list, r)
		}
		tr, err := access.NewTree("org", "Org", rapid.Permutation(list).Draw(t, "order"))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range tr.All() {
			for _, b := range tr.All() {
				want := slices.Contains(tr.Path(b.ID), a.ID)
				if got := tr.Reaches(a.ID, b.ID); got != want {
					t.Fatalf("%s reaches %s: got %v, want %v", a.ID, b.ID, got, want)
				}
				if got := slices.Contains(tr.Below(a.ID), b.ID); got != want {
					t.Fatalf("%s below %s: got %v, want %v", b.ID, a.ID, got, want)
				}
			}
		}
	})
}

func TestNewTree_RefusesWhatIsNoTree(t *testing.T) {
	t.Parallel()
	for name, list := range map[string][]access.Resource{
		"twice":             {{ID: "a"}, {ID: "a"}},
		"the organization":  {{ID: "org"}},
		"an unknown parent": {{ID: "a", Parent: "b"}},
		"a loop":            {{ID: "a", Parent: "b"}, {ID: "b", Parent: "a"}},
	} {
		if _, err := access.NewTree("org", "Org", list); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v, want a fault of kind invalid", name, err)
		}
	}
	if _, err := access.NewTree("org", "Org", nil); err != nil {
		t.Errorf("an organization without resources: %v", err)
	}
	if got := access.Action("assets.sub.read"); !strings.EqualFold(got, "read") {
		t.Errorf("got the action %q", got)
	}
}

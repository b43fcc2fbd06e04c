package access_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
)

func TestDecide_AGrantReachesItsResourceAndEverythingBelow(t *testing.T) {
	t.Parallel()
	e := who(t, "dana", "asset-editor", "london-1")
	for resource, want := range map[id.Resource]bool{
		"london-1": true, "london-1-roof": true, "berlin-1": false, "emea": false, "northwind": false, "nowhere": false,
	} {
		if got := e.Can("assets.update", resource); got.Allowed != want || got.Reason == "" {
			t.Errorf("assets.update at %s: got %+v, want %v with a reason", resource, got, want)
		}
		if got := e.Allowed("assets.update", resource); got != want {
			t.Errorf("Allowed at %s: got %v, want %v", resource, got, want)
		}
	}
	if got := e.Can("assets.fly", "london-1"); got.Allowed || !strings.Contains(got.Reason, "no permission") {
		t.Errorf("an unknown permission: got %+v", got)
	}
	if len(e.RootRoles()) != 0 {
		t.Errorf("a role at a site is no role of the organization: %v", e.RootRoles())
	}
}

func TestDecide_NothingIsInForceWithoutTheUser(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*access.Facts){
		"pending":              func(f *access.Facts) { f.User.Status = "pending" },
		"suspended":            func(f *access.Facts) { f.User.Status = "suspended" },
		"deleted":              func(f *access.Facts) { f.User.Status = "deleted" },
		"no seat":              func(f *access.Facts) { f.User.Seated = false },
		"MFA demanded":         func(f *access.Facts) { f.Organization.RequireMFA = true },
		"another organization": func(f *access.Facts) { f.User.Home = "fieldserv" },
		"not approved": func(f *access.Facts) {
			f.User.Home = "fieldserv"
			f.Relationship = &access.Relationship{Provider: "fieldserv", AllowedRoles: []id.Role{access.Every}}
		},
		"relationship with another": func(f *access.Facts) {
			f.User.Home = "fieldserv"
			f.Relationship = &access.Relationship{Provider: "other", Approved: true, AllowedRoles: []id.Role{access.Every}}
		},
		"relationship over": func(f *access.Facts) {
			f.User.Home = "fieldserv"
			f.Relationship = &access.Relationship{Provider: "fieldserv", Approved: true, AllowedRoles: []id.Role{access.Every}, Expires: now}
		},
		"relationship asks for MFA": func(f *access.Facts) {
			f.User.Home = "fieldserv"
			f.Relationship = &access.Relationship{Provider: "fieldserv", Approved: true, AllowedRoles: []id.Role{access.Every}, RequireMFA: true}
		},
	} {
		f := give(facts(t, "dana"), "owner", "northwind")
		f.Organization.DefaultRoles = []access.RoleAt{{Role: "viewer"}}
		change(f)
		e := access.Decide(f, now)
		if e.Nothing == "" || len(e.Grants) > 0 || len(e.ByResource()) > 0 || len(e.RootRoles()) > 0 || len(e.ProtectedHeld()) > 0 {
			t.Errorf("%s: got %+v", name, e)
		}
		if got := e.Can("assets.read", "northwind"); got.Allowed || got.Reason != e.Nothing {
			t.Errorf("%s: got %+v, want the reason %q", name, got, e.Nothing)
		}
	}
	f := give(facts(t, "dana"), "owner", "northwind")
	f.User.Status = "suspended"
	if e := access.Decide(f, now); len(e.Kept()) != 1 {
		t.Errorf("a suspended user keeps its grants for the day it comes back: %v", e.Kept())
	}
}

func TestDecide_AGrantHoldsWithinItsTime(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	for _, test := range []struct {
		name            string
		starts, expires time.Duration
		want            bool
		reason          string
	}{
		{"no bounds", 0, 0, true, ""},
		{"not yet", hour, 0, false, "from 2026-03-02 10:00 UTC on"},
		{"from now", -1, 0, true, ""},
		{"until later", 0, hour, true, ""},
		{"over", -2 * hour, -hour, false, "until 2026-03-02 08:00 UTC"},
	} {
		f := give(facts(t, "dana"), "viewer", "emea")
		if test.starts != 0 {
			f.Grants[0].Starts = now.Add(test.starts)
		}
		if test.expires != 0 {
			f.Grants[0].Expires = now.Add(test.expires)
		}
		got := access.Decide(f, now).Can("assets.read", "london-1")
		if got.Allowed != test.want || !strings.Contains(got.Reason, test.reason) {
			t.Errorf("%s: got %+v, want %v because %q", test.name, got, test.want, test.reason)
		}
	}
	f := give(facts(t, "dana"), "viewer", "emea")
	f.Grants[0].Expires = now
	if access.Decide(f, now).Allowed("assets.read", "emea") {
		t.Error("a grant is over at its expiry, not after it")
	}
}

func TestDecide_DefaultRolesAreForInternalUsersNotSwitchedOff(t *testing.T) {
	t.Parallel()
	f := facts(t, "dana")
	f.Organization.DefaultRoles = []access.RoleAt{{Role: "viewer"}, {Role: "task-manager", Resource: "emea"}}
	e := access.Decide(f, now)
	if d := cmp.Diff(e.Claims(), []access.RoleAt{{Role: "viewer", Resource: "northwind"}, {Role: "task-manager", Resource: "emea"}}); d != "" {
		t.Errorf("default roles (-got +want):\n%s", d)
	}
	if e.BeyondDefaults() {
		t.Error("defaults are nothing beyond defaults")
	}
	if e := access.Decide(give(f, "viewer", "london-1"), now); !e.BeyondDefaults() || len(e.Grants) != 3 {
		t.Errorf("a grant sets no custom access: %+v", e.Grants)
	}
	f.User.CustomAccess = true
	if e := access.Decide(f, now); len(e.Grants) != 1 {
		t.Errorf("custom access leaves the own grants: %+v", e.Grants)
	}
}

func TestDecide_GroupsGiveThroughNestingAndLoopsDoNoHarm(t *testing.T) {
	t.Parallel()
	f := facts(t, "dana")
	f.Groups = []access.Group{
		{ID: "crew", Name: "Crew", Direct: true, Through: []id.Group{"all"}}, // a loop: all is in crew, crew is in all
		{ID: "london", Name: "London Team", Through: []id.Group{"crew"}},
		{ID: "all", Name: "All", Through: []id.Group{"london", "crew"}},
		{ID: "island", Name: "Island", Through: []id.Group{"island"}}, // in itself, and nobody in it
	}
	f.Mappings = []access.Mapping{
		{ID: "m1", Group: "all", Role: "asset-editor", Resource: "london-1"},
		{ID: "m2", Group: "island", Role: "owner", Resource: "northwind"},
		{ID: "m3", Group: "elsewhere", Role: "owner", Resource: "northwind"},
	}
	f.Grants = []access.Grant{
		{ID: "g1", Group: "london", Role: "task-manager", Resource: "emea", Source: access.Manual, By: "Ines"},
		{ID: "g2", Group: "island", Role: "owner", Resource: "northwind", Source: access.Manual},
		{ID: "g3", User: "somebody else", Role: "owner", Resource: "northwind", Source: access.Manual},
	}
	e := access.Decide(f, now)
	want := []access.RoleAt{{Role: "task-manager", Resource: "emea"}, {Role: "asset-editor", Resource: "london-1"}}
	if d := cmp.Diff(e.Claims(), want); d != "" {
		t.Errorf("grants (-got +want):\n%s", d)
	}
	if d := cmp.Diff(e.GroupNames(), []string{"All", "Crew", "London Team"}); d != "" {
		t.Errorf("groups (-got +want):\n%s", d)
	}
	for _, h := range e.Grants {
		if h.Source != access.ByGroup {
			t.Errorf("%s comes from %s, want group", h.Role, h.Source)
		}
	}
	answer := e.Can("dashboards.read", "london-1-roof")
	var kinds []string
	for _, hop := range answer.Paths[0] {
		kinds = append(kinds, string(hop.Kind)+" "+hop.ID)
	}
	path := []string{
		"group crew", "group all", "mapping m1", "role asset-editor", "included user", "included viewer",
		"resource london-1", "inherited london-1-roof",
	}
	if d := cmp.Diff(kinds, path); d != "" {
		t.Errorf("the way, group to inherited resource (-got +want):\n%s", d)
	}
}

func TestDecide_RestrictionsWinThereAndBelow(t *testing.T) {
	t.Parallel()
	f := give(facts(t, "dana"), "asset-editor", "northwind")
	f.Groups = []access.Group{{ID: "crew", Name: "Crew", Direct: true}}
	f.Restrictions = []access.Restriction{
		{ID: "r1", User: "dana", Resource: "london-1", Actions: []string{"delete"}},
		{ID: "r2", Group: "crew", Resource: "americas", Actions: []string{"read"}},
		{ID: "r3", User: "somebody else", Resource: "northwind", Actions: []string{"read"}},
		{ID: "r4", Group: "not mine", Resource: "northwind", Actions: []string{"update"}},
	}
	e := access.Decide(f, now)
	for _, test := range []struct {
		permission id.Permission
		resource   id.Resource
		want       bool
	}{
		{"assets.delete", "berlin-1", true},
		{"assets.delete", "london-1", false},
		{"assets.delete", "london-1-roof", false},
		{"assets.update", "london-1", true},
		{"assets.read", "austin-1", false},     // by the group's
		{"dashboards.read", "austin-1", false}, // of every kind
		{"assets.read", "northwind", true},
	} {
		got := e.Can(test.permission, test.resource)
		if got.Allowed != test.want || e.Allowed(test.permission, test.resource) != test.want {
			t.Errorf("%s at %s: got %+v, want %v", test.permission, test.resource, got, test.want)
		}
		if !test.want && (len(got.Paths) == 0 || !strings.Contains(got.Reason, "restriction")) {
			t.Errorf("%s at %s: a restriction's answer shows what it wins over: %+v", test.permission, test.resource, got)
		}
	}
	if len(e.Restrictions) != 2 {
		t.Errorf("got %d restrictions, want the user's and its group's", len(e.Restrictions))
	}
}

func TestRootRoles_AreSpelledOutAndCutByARestrictionAtTheRoot(t *testing.T) {
	t.Parallel()
	f := give(give(facts(t, "dana"), "asset-editor", "northwind"), "task-manager", "emea")
	if d := cmp.Diff(access.Decide(f, now).RootRoles(), []id.Role{"viewer", "user", "asset-editor"}); d != "" {
		t.Errorf("included roles spelled out (-got +want):\n%s", d)
	}
	f.Restrictions = []access.Restriction{{ID: "r", User: "dana", Resource: "emea", Actions: []string{"read"}}}
	if got := access.Decide(f, now).RootRoles(); len(got) != 3 {
		t.Errorf("a restriction below the root cuts no root role: %v", got)
	}
	f.Restrictions[0].Resource, f.Restrictions[0].Actions = "northwind", []string{"delete"}
	if d := cmp.Diff(access.Decide(f, now).RootRoles(), []id.Role{"viewer", "user"}); d != "" {
		t.Errorf("a role whose permission is cut is left out (-got +want):\n%s", d)
	}
}

func TestDecide_ARoleTheOrganizationMayNotUseGivesNothing(t *testing.T) {
	t.Parallel()
	f := give(give(facts(t, "dana"), "viewer", "northwind"), "owner", "northwind")
	f.Organization.Available = []id.Role{"asset-editor"}
	if d := cmp.Diff(access.Decide(f, now).Claims(), []access.RoleAt{{Role: "viewer", Resource: "northwind"}}); d != "" {
		t.Errorf("available_roles covers what a named role includes, and no more (-got +want):\n%s", d)
	}
	f = give(give(facts(t, "dana"), "gone", "northwind"), "viewer", "gone")
	if got := access.Decide(f, now).Claims(); len(got) != 0 {
		t.Errorf("a role or a resource that is no more gives nothing: %v", got)
	}
}

func TestDecide_AProvidersUserGetsWhatTheRelationshipAllows(t *testing.T) {
	t.Parallel()
	f := facts(t, "sam")
	f.User.Home = "fieldserv"
	f.Organization.DefaultRoles = []access.RoleAt{{Role: "task-manager"}}
	f.Relationship = &access.Relationship{
		Provider: "fieldserv", ProviderName: "Fieldserv", Approved: true,
		AllowedRoles: []id.Role{"viewer", "asset-editor"}, Resources: []id.Resource{"london-1"},
		Expires: now.Add(time.Hour), DefaultRoles: []id.Role{"user-admin", "task-manager"},
	}
	e := access.Decide(f, now)
	// user-admin is cut to the widest allowed role in it, the root to the allowed site; task-manager is not allowed, and the
	// client's default roles are for its own users.
	want := []access.RoleAt{{Role: "asset-editor", Resource: "london-1"}}
	if d := cmp.Diff(e.Claims(), want); d != "" {
		t.Errorf("provider defaults (-got +want):\n%s", d)
	}
	give(give(f, "owner", "emea"), "viewer", "berlin-1")
	if d := cmp.Diff(access.Decide(f, now).Claims(), want); d != "" {
		t.Errorf("own grants are cut alike (-got +want):\n%s", d)
	}
	if access.Decide(f, now).BeyondDefaults() != true {
		t.Error("a grant of a client to a provider's user is something beyond defaults")
	}
}

func TestDecide_ExclusiveRolesThatArriveAreParked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		facts   *access.Facts
		inForce []access.RoleAt
		parked  []access.RoleAt
	}{
		{
			"two arrivals: neither wins",
			synced(synced(facts(t, "dana"), "auditor", "northwind"), "billing-clerk", "emea"),
			nil,
			[]access.RoleAt{{Role: "auditor", Resource: "northwind"}, {Role: "billing-clerk", Resource: "emea"}},
		},
		{
			"what a person gave stays",
			synced(give(facts(t, "dana"), "auditor", "northwind"), "billing-clerk", "northwind"),
			[]access.RoleAt{{Role: "auditor", Resource: "northwind"}},
			[]access.RoleAt{{Role: "billing-clerk", Resource: "northwind"}},
		},
		{
			"an included role counts",
			synced(give(facts(t, "dana"), "billing-clerk", "northwind"), "chief-auditor", "northwind"),
			[]access.RoleAt{{Role: "billing-clerk", Resource: "northwind"}},
			[]access.RoleAt{{Role: "chief-auditor", Resource: "northwind"}},
		},
		{
			"the same member twice is no conflict",
			synced(synced(give(facts(t, "dana"), "auditor", "northwind"), "auditor", "emea"), "viewer", "emea"),
			[]access.RoleAt{{Role: "auditor", Resource: "northwind"}, {Role: "viewer", Resource: "emea"}, {Role: "auditor", Resource: "emea"}},
			nil,
		},
		{
			"two that people gave before the roles excluded each other",
			give(give(facts(t, "dana"), "auditor", "northwind"), "billing-clerk", "northwind"),
			nil,
			[]access.RoleAt{{Role: "auditor", Resource: "northwind"}, {Role: "billing-clerk", Resource: "northwind"}},
		},
	} {
		e := access.Decide(test.facts, now)
		var parked []access.RoleAt
		for _, p := range e.Parked {
			parked = append(parked, access.RoleAt{Role: p.Role, Resource: p.Resource})
			if d := cmp.Diff(p.Against, []id.Role{"auditor", "billing-clerk"}); d != "" {
				t.Errorf("%s: what excludes what (-got +want):\n%s", test.name, d)
			}
		}
		if d := cmp.Diff(e.Claims(), test.inForce); d != "" {
			t.Errorf("%s: in force (-got +want):\n%s", test.name, d)
		}
		if d := cmp.Diff(parked, test.parked); d != "" {
			t.Errorf("%s: parked (-got +want):\n%s", test.name, d)
		}
		if len(parked) > 0 && !strings.Contains(e.Can("billing.read", "austin-1").Reason+e.Can("audit.read", "austin-1").Reason, "conflict list") {
			t.Errorf("%s: the nearest missing thing is the conflict", test.name)
		}
	}
}

func TestCan_SaysTheNearestMissingThing(t *testing.T) {
	t.Parallel()
	e := who(t, "dana", "asset-editor", "berlin-1")
	if got := e.Can("assets.update", "london-1"); !strings.Contains(got.Reason, "Asset Editor at Berlin 1") {
		t.Errorf("held elsewhere: got %q", got.Reason)
	}
	if got := e.Can("tasks.manage", "london-1"); !strings.Contains(got.Reason, "Task Manager, Owner") {
		t.Errorf("which roles carry it: got %q", got.Reason)
	}
	if got := e.Can("connections.manage", "london-1"); !strings.Contains(got.Reason, "No role") {
		t.Errorf("no role carries it: got %q", got.Reason)
	}
}

func TestCan_ShowsEveryWay(t *testing.T) {
	t.Parallel()
	f := give(give(facts(t, "dana"), "viewer", "northwind"), "asset-editor", "london-1")
	got := access.Decide(f, now).Can("assets.read", "london-1")
	if len(got.Paths) != 2 {
		t.Fatalf("got %d ways, want 2: %v", len(got.Paths), got.Paths)
	}
	want := "given by Ines, role Viewer, at Northwind, and so at London 1"
	if s := access.Sentence(got.Paths[0]); s != want {
		t.Errorf("got %q, want %q", s, want)
	}
}

func TestCompare_ShowsWhatAChangeBringsWhereItBegins(t *testing.T) {
	t.Parallel()
	f := give(facts(t, "dana"), "viewer", "northwind")
	before := access.Decide(f, now)
	f.Restrictions = []access.Restriction{{ID: "r", User: "dana", Resource: "americas", Actions: []string{"read"}}}
	after := access.Decide(give(f, "asset-editor", "london-1"), now)
	want := []access.Change{
		{Resource: "london-1", Gained: []id.Permission{"assets.update", "assets.delete"}},
		{Resource: "americas", Lost: []id.Permission{"assets.read", "dashboards.read"}},
	}
	if d := cmp.Diff(access.Compare(before, after), want); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}

func TestReaches_BelowTheRootOnlyThoseWithAGrantOrAnInvitationThere(t *testing.T) {
	t.Parallel()
	site, all := who(t, "ines", "user-admin", "emea"), who(t, "olga", "user-admin", "northwind")
	for _, test := range []struct {
		name    string
		of      *access.Effective
		invited []id.Resource
		want    bool
	}{
		{"a grant there", who(t, "a", "viewer", "emea"), nil, true},
		{"a grant below", who(t, "b", "viewer", "london-1-roof"), nil, true},
		{"a grant above", who(t, "c", "owner", "northwind"), nil, false},
		{"a grant elsewhere", who(t, "d", "viewer", "austin-1"), nil, false},
		{"nothing", access.Decide(facts(t, "e"), now), nil, false},
		{"an invitation there", access.Decide(facts(t, "f"), now), []id.Resource{"berlin-1"}, true},
		{"an invitation to the organization", access.Decide(facts(t, "g"), now), []id.Resource{""}, false},
	} {
		if got := site.Reaches(access.UsersManage, test.of, test.invited...); got != test.want {
			t.Errorf("held at EMEA, %s: got %v, want %v", test.name, got, test.want)
		}
		if !all.Reaches(access.UsersManage, test.of, test.invited...) {
			t.Errorf("held at the root, %s: does not reach", test.name)
		}
		if who(t, "x", "viewer", "northwind").Reaches(access.UsersManage, test.of, test.invited...) {
			t.Errorf("not held at all, %s: reaches", test.name)
		}
	}
	suspended := give(facts(t, "s"), "viewer", "london-1")
	suspended.User.Status = "suspended"
	if !site.Reaches(access.UsersManage, access.Decide(suspended, now)) {
		t.Error("who is suspended is still managed, or nobody could lift it")
	}
}

func TestByResource_AgreesWithCan(t *testing.T) {
	t.Parallel()
	f := give(give(facts(t, "dana"), "viewer", "emea"), "task-manager", "london-1")
	f.Restrictions = []access.Restriction{{ID: "r", User: "dana", Resource: "london-1-roof", Actions: []string{"read"}}}
	e := access.Decide(f, now)
	by := e.ByResource()
	for _, r := range e.Tree().All() {
		for _, p := range e.Catalogue().Permissions() {
			if got, want := slices.Contains(by[r.ID], p.ID), e.Can(p.ID, r.ID).Allowed; got != want {
				t.Errorf("%s at %s: got %v, want %v", p.ID, r.ID, got, want)
			}
		}
	}
	if d := cmp.Diff(by["london-1-roof"], []id.Permission{"tasks.manage"}); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}

// The word of an answer, and what stands beside it, say what its sentence says.
func TestCan_SaysWhyInAWordAndAsData(t *testing.T) {
	t.Parallel()
	mfa := func(f *access.Facts) {
		changed := roles()
		changed[3].RequireMFA = true // asset-editor
		c, err := access.NewCatalogue(permissions(), changed, exclusive)
		if err != nil {
			t.Fatal(err)
		}
		f.Catalogue = c
	}
	near := func(role id.Role, at id.Resource) []access.RoleAt { return []access.RoleAt{{Role: role, Resource: at}} }
	for name, test := range map[string]struct {
		change     func(*access.Facts)
		permission id.Permission
		resource   id.Resource
		because    access.Because
		near       []access.RoleAt
		roles      []id.Role
	}{
		"granted":         {nil, "assets.update", "london-1", access.Granted, nil, nil},
		"no resource":     {nil, "assets.update", "paris-1", access.UnknownResource, nil, nil},
		"no permission":   {nil, "assets.fly", "london-1", access.UnknownPermission, nil, nil},
		"suspended":       {func(f *access.Facts) { f.User.Status = "suspended" }, "assets.update", "london-1", access.NotActive, nil, nil},
		"no seat":         {func(f *access.Facts) { f.User.Seated = false }, "assets.update", "london-1", access.NoSeat, nil, nil},
		"MFA of all":      {func(f *access.Facts) { f.Organization.RequireMFA = true }, "assets.update", "london-1", access.NoSecondFactor, nil, nil},
		"MFA of the role": {mfa, "assets.update", "london-1", access.NoSecondFactor, near("asset-editor", "emea"), nil},
		"not served": {func(f *access.Facts) {
			f.User.Home = "fieldserv"
			f.Relationship = &access.Relationship{Provider: "fieldserv", AllowedRoles: []id.Role{access.Every}}
		}, "assets.update", "london-1", access.NotServed, nil, nil},
		"not yet":   {func(f *access.Facts) { f.Grants[0].Starts = now.Add(time.Hour) }, "assets.update", "london-1", access.NotYet, near("asset-editor", "emea"), nil},
		"over":      {func(f *access.Facts) { f.Grants[0].Expires = now }, "assets.update", "london-1", access.Over, near("asset-editor", "emea"), nil},
		"elsewhere": {nil, "assets.update", "americas", access.Elsewhere, near("asset-editor", "emea"), nil},
		"not given": {nil, "billing.read", "london-1", access.NotGiven, nil, []id.Role{"owner", "billing-clerk"}},
		"no role":   {nil, "connections.manage", "london-1", access.NoRole, nil, nil},
		"parked": {func(f *access.Facts) {
			synced(f, "auditor", "emea")
			synced(f, "billing-clerk", "emea")
		}, "billing.read", "london-1", access.Conflicting, near("billing-clerk", "emea"), nil},
		"restricted": {func(f *access.Facts) {
			f.Restrictions = []access.Restriction{{ID: "r", User: f.User.ID, Resource: "london-1", Actions: []string{"update"}}}
		}, "assets.update", "london-1", access.Restricted, nil, nil},
	} {
		f := give(facts(t, "dana"), "asset-editor", "emea")
		if test.change != nil {
			test.change(f)
		}
		got := access.Decide(f, now).Can(test.permission, test.resource)
		var held []access.RoleAt
		for _, h := range got.Near {
			held = append(held, access.RoleAt{Role: h.Role, Resource: h.Resource})
		}
		if got.Because != test.because || got.Allowed != (test.because == access.Granted) || got.Reason == "" ||
			(got.Restriction != nil) != (test.because == access.Restricted) || !slices.Equal(held, test.near) || !slices.Equal(got.Roles, test.roles) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

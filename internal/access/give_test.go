package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

func TestGive_TheCeiling(t *testing.T) {
	t.Parallel()
	operator := access.Giver{Operator: true}
	as := func(role id.Role, at id.Resource) access.Giver { return access.Giver{Access: who(t, "ines", role, at)} }
	for _, test := range []struct {
		name  string
		giver access.Giver
		role  id.Role
		at    id.Resource
		want  bool
	}{
		{"there", as("user-admin", "emea"), "asset-editor", "emea", true},
		{"below", as("user-admin", "emea"), "asset-editor", "london-1-roof", true},
		{"above", as("user-admin", "emea"), "asset-editor", "northwind", false},
		{"beside", as("user-admin", "emea"), "asset-editor", "austin-1", false},
		{"its own role", as("user-admin", "emea"), "user-admin", "london-1", true},
		{"what it does not hold itself", as("user-admin", "emea"), "task-manager", "london-1", true},
		{"what a named role includes", as("user-admin", "emea"), "viewer", "london-1", true},
		{"more than named", as("user-admin", "northwind"), "owner", "northwind", false},
		{"not named", as("user-admin", "northwind"), "billing-clerk", "northwind", false},
		{"holding is not giving", as("asset-editor", "northwind"), "viewer", "london-1", false},
		{"the owner gives all", as("owner", "northwind"), "owner", "northwind", true},
		{"the owner of a site", as("owner", "london-1"), "owner", "northwind", false},
		{"the operator", operator, "owner", "northwind", true},
		{"nobody", access.Giver{}, "viewer", "london-1", false},
	} {
		err := access.Give(test.giver, facts(t, "dana"), access.Want{Role: test.role, Resource: test.at}, now)
		if test.want && err != nil {
			t.Errorf("%s: got %v", test.name, err)
		}
		if !test.want {
			t.Run(test.name, func(t *testing.T) { wantKind(t, err, fault.Forbidden, access.CodeCeiling) })
		}
		if _, may := test.giver.May(facts(t, "dana"), test.role, test.at); may != test.want {
			t.Errorf("%s: May got %v", test.name, may)
		}
	}
}

func TestGive_WhoIsNotActiveGivesNothing(t *testing.T) {
	t.Parallel()
	f := give(facts(t, "ines"), "owner", "northwind")
	f.User.Status = "suspended"
	err := access.Give(access.Giver{Access: access.Decide(f, now)}, f, access.Want{Role: "viewer", Resource: "emea"}, now)
	wantKind(t, err, fault.Forbidden, access.CodeCeiling)
}

func TestGive_NothingOutlastsTheGiversOwnGrant(t *testing.T) {
	t.Parallel()
	f := give(facts(t, "ines"), "user-admin", "emea")
	f.Grants[0].Expires = now.Add(24 * time.Hour)
	giver := access.Giver{Access: access.Decide(f, now)}
	want := access.Want{Role: "viewer", Resource: "london-1"}
	wantKind(t, access.Give(giver, f, want, now), fault.Forbidden, access.CodeOutlasts)
	want.Expires = now.Add(25 * time.Hour)
	wantKind(t, access.Give(giver, f, want, now), fault.Forbidden, access.CodeOutlasts)
	want.Expires = now.Add(24 * time.Hour)
	if err := access.Give(giver, f, want, now); err != nil {
		t.Errorf("as long as the giver's own: %v", err)
	}
	// Of two grants the longer one counts, and one without an end has none.
	give(f, "owner", "london-1")
	if err := access.Give(access.Giver{Access: access.Decide(f, now)}, f, access.Want{Role: "viewer", Resource: "london-1"}, now); err != nil {
		t.Errorf("with a lasting grant beside it: %v", err)
	}
}

func TestGive_RefusesWhatDoesNotExist(t *testing.T) {
	t.Parallel()
	operator := access.Giver{Operator: true}
	for _, test := range []struct {
		want  access.Want
		field string
	}{
		{access.Want{Role: "nobody", Resource: "emea"}, "role"},
		{access.Want{Role: "viewer", Resource: "nowhere"}, "resource"},
		{access.Want{Role: "viewer", Resource: "emea", Expires: now}, "expires"},
		{access.Want{Role: "viewer", Resource: "emea", Starts: now.Add(time.Hour), Expires: now.Add(time.Minute)}, "expires"},
	} {
		err := access.Give(operator, facts(t, "dana"), test.want, now)
		f := fault.As(err)
		if f == nil || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Path != test.field {
			t.Errorf("%+v: got %v, want invalid at %s", test.want, err, test.field)
		}
	}
}

func TestGive_RefusesARoleTheOrganizationMayNotUse(t *testing.T) {
	t.Parallel()
	f := facts(t, "dana")
	f.Organization.Available = []id.Role{"asset-editor"}
	operator := access.Giver{Operator: true}
	wantKind(t, access.Give(operator, f, access.Want{Role: "owner", Resource: "emea"}, now), fault.Forbidden, access.CodeCeiling)
	if err := access.Give(operator, f, access.Want{Role: "viewer", Resource: "emea"}, now); err != nil {
		t.Errorf("what a named role includes is available: %v", err)
	}
	if d := cmp.Diff(operator.Roles(f, "emea"), []id.Role{"viewer", "user", "asset-editor"}); d != "" {
		t.Errorf("what a dialog offers (-got +want):\n%s", d)
	}
}

func TestGive_RefusesExclusiveRolesIncludedOnesCounted(t *testing.T) {
	t.Parallel()
	operator := access.Giver{Operator: true}
	for _, test := range []struct {
		name string
		held *access.Facts
		role id.Role
		want bool
	}{
		{"both", give(facts(t, "dana"), "auditor", "emea"), "billing-clerk", false},
		{"at another resource", give(facts(t, "dana"), "auditor", "austin-1"), "billing-clerk", false},
		{"by inclusion", give(facts(t, "dana"), "chief-auditor", "emea"), "billing-clerk", false},
		{"the same again", give(facts(t, "dana"), "auditor", "emea"), "chief-auditor", true},
		{"none of the set", give(facts(t, "dana"), "auditor", "emea"), "viewer", true},
	} {
		for _, state := range []string{access.Active, "suspended"} {
			test.held.User.Status = state // what comes back with a reactivation counts
			err := access.Give(operator, facts(t, "x"), access.Want{Role: test.role, Resource: "emea"}, now, access.Decide(test.held, now))
			if test.want && err != nil {
				t.Errorf("%s, %s: got %v", test.name, state, err)
			}
			if !test.want {
				t.Run(test.name, func(t *testing.T) { wantKind(t, err, fault.Conflict, access.CodeExclusive) })
			}
		}
	}
	later := give(facts(t, "dana"), "auditor", "emea")
	later.Grants[0].Starts = now.Add(time.Hour)
	err := access.Give(operator, facts(t, "x"), access.Want{Role: "billing-clerk", Resource: "emea"}, now, access.Decide(later, now))
	wantKind(t, err, fault.Conflict, access.CodeExclusive)
	wantKind(t, access.Exclusive(access.Decide(synced(give(facts(t, "dana"), "auditor", "emea"), "billing-clerk", "emea"), now)),
		fault.Conflict, access.CodeExclusive)
	if err := access.Exclusive(who(t, "dana", "auditor", "emea")); err != nil {
		t.Errorf("one of the set: %v", err)
	}
}

func TestRevoke_UnderTheSameCeilingAndOnlyWhatPeopleGave(t *testing.T) {
	t.Parallel()
	f := facts(t, "dana")
	admin := access.Giver{Access: who(t, "ines", "user-admin", "emea")}
	if err := access.Revoke(admin, f, access.Grant{Role: "viewer", Resource: "london-1", Source: access.Manual}); err != nil {
		t.Errorf("within the ceiling: %v", err)
	}
	if err := access.Revoke(admin, f, access.Grant{Role: "viewer", Resource: "london-1", Source: access.Invitation}); err != nil {
		t.Errorf("given by invitation: %v", err)
	}
	wantKind(t, access.Revoke(admin, f, access.Grant{Role: "owner", Resource: "london-1", Source: access.Manual}), fault.Forbidden, access.CodeCeiling)
	wantKind(t, access.Revoke(admin, f, access.Grant{Role: "viewer", Resource: "northwind", Source: access.Manual}), fault.Forbidden, access.CodeCeiling)
	wantKind(t, access.Revoke(access.Giver{Operator: true}, f, access.Grant{Role: "viewer", Resource: "emea", Source: access.SCIM, By: "Entra"}),
		fault.Conflict, "")
	// Taking away ends early, so the giver's own term is no bound.
	ending := give(facts(t, "ines"), "user-admin", "emea")
	ending.Grants[0].Expires = now.Add(time.Hour)
	if err := access.Revoke(access.Giver{Access: access.Decide(ending, now)}, f, access.Grant{Role: "viewer", Resource: "emea", Source: access.Manual}); err != nil {
		t.Errorf("by a giver whose own grant ends: %v", err)
	}
}

func TestRestrict_ByWhoManagesThereAndCouldGiveWhatItCuts(t *testing.T) {
	t.Parallel()
	admin := access.Giver{Access: who(t, "ines", "user-admin", "emea")}
	delete := func(at id.Resource) access.Restriction {
		return access.Restriction{User: "dana", Resource: at, Actions: []string{"delete"}}
	}
	for _, test := range []struct {
		name     string
		giver    access.Giver
		r        access.Restriction
		receiver *access.Effective
		want     bool
	}{
		{"an editor there", admin, delete("london-1"), who(t, "dana", "asset-editor", "london-1"), true},
		{"an editor from above", admin, delete("london-1"), who(t, "dana", "asset-editor", "northwind"), true},
		{"an owner", admin, delete("london-1"), who(t, "dana", "owner", "northwind"), false},
		{"an owner elsewhere", admin, delete("london-1"), who(t, "dana", "owner", "austin-1"), true},
		{"an owner below", admin, delete("emea"), who(t, "dana", "owner", "london-1"), false},
		{"outside its reach", admin, delete("austin-1"), who(t, "dana", "asset-editor", "austin-1"), false},
		{"without users.manage", access.Giver{Access: who(t, "x", "asset-editor", "northwind")}, delete("emea"), who(t, "dana", "viewer", "emea"), false},
		{"the operator", access.Giver{Operator: true}, delete("northwind"), who(t, "dana", "owner", "northwind"), true},
	} {
		err := access.Restrict(test.giver, facts(t, "dana"), test.r, test.receiver)
		if test.want && err != nil {
			t.Errorf("%s: got %v", test.name, err)
		}
		if !test.want {
			t.Run(test.name, func(t *testing.T) { wantKind(t, err, fault.Forbidden, access.CodeCeiling) })
		}
	}
	for field, r := range map[string]access.Restriction{
		"resource":   {User: "dana", Resource: "nowhere", Actions: []string{"read"}},
		"actions":    {User: "dana", Resource: "emea"},
		"actions[0]": {User: "dana", Resource: "emea", Actions: []string{"fly"}},
	} {
		f := fault.As(access.Restrict(access.Giver{Operator: true}, facts(t, "dana"), r))
		if f == nil || f.Kind != fault.Invalid || f.Fields[0].Path != field {
			t.Errorf("%s: got %+v", field, f)
		}
	}
}

func TestLastHolder_IsNeverLost(t *testing.T) {
	t.Parallel()
	owner, other := who(t, "olga", "owner", "northwind"), who(t, "dana", "owner", "northwind")
	list := func(e ...*access.Effective) []*access.Effective { return e }
	wantKind(t, access.LastHolder(list(owner), nil), fault.Conflict, access.CodeLast)
	wantKind(t, access.LastHolder(list(owner), list(who(t, "olga", "user-admin", "northwind"))), fault.Conflict, access.CodeLast)
	wantKind(t, access.LastHolder(list(owner), list(who(t, "dana", "owner", "emea"))), fault.Conflict, access.CodeLast)
	wantKind(t, access.LastHolder(list(owner, other), nil), fault.Conflict, access.CodeLast)
	for name, after := range map[string][]*access.Effective{"another holder": list(other), "still the same": list(owner)} {
		if err := access.LastHolder(list(owner), after); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := access.LastHolder(list(who(t, "dana", "user-admin", "northwind")), nil); err != nil {
		t.Errorf("a role that is not protected: %v", err)
	}
	for name, change := range map[string]func(*access.Facts){
		"suspended": func(f *access.Facts) { f.User.Status = "suspended" },
		"restricted": func(f *access.Facts) {
			f.Restrictions = []access.Restriction{{ID: "r", User: "sam", Resource: "northwind", Actions: []string{"update"}}}
		},
		"expired": func(f *access.Facts) { f.Grants[0].Expires = now },
		"external": func(f *access.Facts) {
			f.User.Home = "fieldserv"
			f.Relationship = &access.Relationship{Provider: "fieldserv", Approved: true, AllowedRoles: []id.Role{access.Every}}
		},
	} {
		f := give(facts(t, "sam"), "owner", "northwind")
		change(f)
		err := access.LastHolder(list(owner), list(access.Decide(f, now)))
		t.Run("a holder that does not count: "+name, func(t *testing.T) { wantKind(t, err, fault.Conflict, access.CodeLast) })
	}
}

func TestLastHolder_NoHolderStandsInWhoGoesSooner(t *testing.T) {
	t.Parallel()
	until := func(user string, days ...int) []*access.Effective {
		f := facts(t, user)
		for _, d := range days {
			give(f, "owner", "northwind")
			if d > 0 {
				f.Grants[len(f.Grants)-1].Expires = now.AddDate(0, 0, d)
			}
		}
		return []*access.Effective{access.Decide(f, now)}
	}
	for _, c := range []struct {
		name          string
		before, after []*access.Effective
		kept          bool
	}{
		{"for ever, and one for a week", until("olga", 0), until("dana", 7), false},
		{"a month, and one for a week", until("olga", 30), until("dana", 7), false},
		{"a week, and one for a week", until("olga", 7), until("dana", 7), true},
		{"a week, and one for ever", until("olga", 7), until("dana", 0), true},
		{"the longer of two grants counts", until("olga", 7, 30), until("dana", 7), false},
		{"the longer of two grants counts for the other too", until("olga", 30), until("dana", 7, 0), true},
	} {
		err := access.LastHolder(c.before, c.after)
		if c.kept && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.kept {
			wantKind(t, err, fault.Conflict, access.CodeLast)
			if !strings.Contains(err.Error(), "ends on 20") {
				t.Errorf("%s: the end is not told: %v", c.name, err)
			}
		}
	}
}

// drawWorld draws a catalogue, a tree and users, each with a few grants.
func drawWorld(t *rapid.T) (*access.Catalogue, *access.Tree, []*access.Facts) {
	declared := drawRoles(t)
	c, err := access.NewCatalogue(permissions(), declared, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := access.NewTree("northwind", "Northwind", resources())
	if err != nil {
		t.Fatal(err)
	}
	var people []*access.Facts
	for i := range rapid.IntRange(1, 4).Draw(t, "people") {
		f := &access.Facts{
			Catalogue: c, Tree: tr,
			Organization: access.Organization{ID: "northwind", Name: "Northwind", Available: []id.Role{access.Every}},
			User:         access.User{ID: id.User(rune('A' + i)), Home: "northwind", Status: access.Active, Seated: true},
		}
		for j := range rapid.IntRange(0, 3).Draw(t, "grants") {
			f.Grants = append(f.Grants, drawGrant(t, f, j))
		}
		people = append(people, f)
	}
	return c, tr, people
}

func drawGrant(t *rapid.T, f *access.Facts, n int) access.Grant {
	g := access.Grant{
		ID: id.Grant(rune('0' + n)), User: f.User.ID, Source: access.Manual,
		Role:     rapid.SampledFrom(f.Catalogue.Roles()).Draw(t, "role").ID,
		Resource: rapid.SampledFrom(f.Tree.All()).Draw(t, "resource").ID,
	}
	if hours := rapid.IntRange(0, 3).Draw(t, "hours"); hours > 0 {
		g.Expires = now.Add(time.Duration(hours) * time.Hour)
	}
	return g
}

// Whatever people give one another, nobody ever holds a role at a resource, or for a time, that nobody held or could give
// from the start: the ceiling is not climbed by any sequence of steps.
func TestGive_NoSequenceClimbsAboveTheCeiling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, tr, people := drawWorld(t)
		// What could be given at the start is closed over: whoever may be given a role may give what that role may give, there
		// and below, and no longer.
		type at struct {
			role     id.Role
			resource id.Resource
		}
		forever := now.Add(1000 * time.Hour)
		reach := map[at]time.Time{}
		var open []at
		add := func(r id.Role, where id.Resource, until time.Time) {
			if until.IsZero() {
				until = forever
			}
			for _, part := range c.Expand(r) {
				for _, below := range tr.Below(where) {
					if k := (at{part, below}); until.After(reach[k]) {
						reach[k] = until
						open = append(open, k)
					}
				}
			}
		}
		for _, f := range people {
			for _, g := range f.Grants {
				add(g.Role, g.Resource, g.Expires)
			}
		}
		for len(open) > 0 {
			k := open[0]
			open = open[1:]
			for _, r := range c.Roles() {
				if c.MayGrant(k.role, r.ID) {
					add(r.ID, k.resource, reach[k])
				}
			}
		}
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			from, to := rapid.SampledFrom(people).Draw(t, "from"), rapid.SampledFrom(people).Draw(t, "to")
			g := drawGrant(t, to, len(to.Grants))
			want := access.Want{Role: g.Role, Resource: g.Resource, Expires: g.Expires}
			if access.Give(access.Giver{Access: access.Decide(from, now)}, to, want, now, access.Decide(to, now)) == nil {
				to.Grants = append(to.Grants, g)
			}
		}
		for _, f := range people {
			for _, h := range access.Decide(f, now).Grants {
				until := h.Expires
				if until.IsZero() {
					until = forever
				}
				for _, part := range c.Expand(h.Role) {
					if limit := reach[at{part, h.Resource}]; until.After(limit) {
						t.Fatalf("%s holds %s at %s until %s; the ceiling is %s", f.User.ID, part, h.Resource, until, limit)
					}
				}
			}
		}
	})
}

// More grants never take anything away, more restrictions never give anything, whatever their order.
func TestDecide_GrantsOnlyAddAndRestrictionsOnlyTake(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		_, tr, people := drawWorld(t)
		f := people[0]
		for i := range rapid.IntRange(0, 2).Draw(t, "restrictions") {
			f.Restrictions = append(f.Restrictions, drawRestriction(t, f, i))
		}
		before := access.Decide(f, now)
		more, less := *f, *f
		more.Grants = rapid.Permutation(append(append([]access.Grant{}, f.Grants...), drawGrant(t, f, 9))).Draw(t, "order")
		less.Restrictions = rapid.Permutation(append(append([]access.Restriction{}, f.Restrictions...), drawRestriction(t, f, 9))).Draw(t, "order")
		gained, lost := access.Decide(&more, now), access.Decide(&less, now)
		for _, r := range tr.All() {
			for _, p := range f.Catalogue.Permissions() {
				if before.Allowed(p.ID, r.ID) && !gained.Allowed(p.ID, r.ID) {
					t.Fatalf("a grant took %s at %s away", p.ID, r.ID)
				}
				if !before.Allowed(p.ID, r.ID) && lost.Allowed(p.ID, r.ID) {
					t.Fatalf("a restriction gave %s at %s", p.ID, r.ID)
				}
				if before.Allowed(p.ID, r.ID) != before.Can(p.ID, r.ID).Allowed {
					t.Fatalf("%s at %s: Can and Allowed disagree", p.ID, r.ID)
				}
			}
		}
	})
}

func drawRestriction(t *rapid.T, f *access.Facts, n int) access.Restriction {
	return access.Restriction{
		ID: id.Restriction(rune('0' + n)), User: f.User.ID, Resource: rapid.SampledFrom(f.Tree.All()).Draw(t, "resource").ID,
		Actions: []string{access.Action(rapid.SampledFrom(f.Catalogue.Permissions()).Draw(t, "permission").ID)},
	}
}

// The order of the facts means nothing, exclusive sets and nested groups included.
func TestDecide_OrderOfFactsMeansNothing(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	rapid.Check(t, func(t *rapid.T) {
		tr, err := access.NewTree("northwind", "Northwind", resources())
		if err != nil {
			t.Fatal(err)
		}
		f := &access.Facts{
			Catalogue: c, Tree: tr,
			Organization: access.Organization{ID: "northwind", Name: "Northwind", Available: []id.Role{access.Every}},
			User:         access.User{ID: "A", Home: "northwind", Status: access.Active, Seated: true},
		}
		names := []id.Group{"g0", "g1", "g2", "g3"}
		for _, g := range names {
			f.Groups = append(f.Groups, access.Group{
				ID: g, Name: string(g), Direct: rapid.Bool().Draw(t, "direct"),
				Through: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID[id.Group]).Draw(t, "through"),
			})
			f.Mappings = append(f.Mappings, access.Mapping{
				ID: id.GroupRole(g), Group: g, Role: rapid.SampledFrom(c.Roles()).Draw(t, "role").ID, Resource: "emea",
			})
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "grants") {
			g := drawGrant(t, f, i)
			g.Source = rapid.SampledFrom([]access.Source{access.Manual, access.SCIM}).Draw(t, "source")
			f.Grants = append(f.Grants, g)
		}
		other := *f
		other.Groups = rapid.Permutation(f.Groups).Draw(t, "groups")
		other.Mappings = rapid.Permutation(f.Mappings).Draw(t, "mappings")
		other.Grants = rapid.Permutation(f.Grants).Draw(t, "order")
		a, b := access.Decide(f, now), access.Decide(&other, now)
		if d := cmp.Diff(a.Grants, b.Grants); d != "" {
			t.Fatal(d)
		}
		if d := cmp.Diff(a.Parked, b.Parked); d != "" {
			t.Fatal(d)
		}
	})
}

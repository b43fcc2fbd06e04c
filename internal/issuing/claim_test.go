package issuing

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

func TestClaims_OverageLeavesTheListsOutWhole(t *testing.T) {
	t.Parallel()
	app := application.Application{Claims: []string{"roles", "grants"}}
	f := &access.Facts{User: access.User{ID: "u", Home: "northwind", Status: access.Active, Seated: true}}
	f.Organization = access.Organization{ID: "northwind", Available: []id.Role{"*"}}
	var resources []access.Resource
	for i := range maxEntries + 1 {
		r := id.Resource(fmt.Sprintf("r%d", i))
		resources = append(resources, access.Resource{ID: r, Type: "site", Name: string(r)})
		f.Grants = append(f.Grants, access.Grant{ID: id.Grant(r), User: "u", Role: "viewer", Resource: r, Source: access.Manual})
	}
	var err error
	if f.Tree, err = access.NewTree("northwind", "Northwind", resources); err != nil {
		t.Fatal(err)
	}
	if f.Catalogue, err = access.NewCatalogue([]access.Permission{{ID: "assets.read"}},
		[]access.Role{{ID: "viewer", Permissions: []id.Permission{"assets.read"}}}, nil); err != nil {
		t.Fatal(err)
	}
	all := f.Grants
	for n, overage := range map[int]bool{maxEntries: false, maxEntries + 1: true} {
		f.Grants = all[:n]
		c := claims(app, store.Family{}, access.Decide(f, all[0].Created))
		grants, _ := c["grants"].([]access.RoleAt)
		if (c["grants_overage"] == true) != overage || (len(grants) == n) == overage {
			t.Errorf("%d grants: overage %v, %d told", n, c["grants_overage"], len(grants))
		}
	}
	f.Grants = all[:1]
	f.Restrictions = []access.Restriction{
		{ID: "1", User: "u", Resource: "r0", Actions: []string{"delete"}},
		{ID: "2", User: "u", Resource: "r0", Actions: []string{"delete", "update"}},
	}
	got := claims(app, store.Family{}, access.Decide(f, all[0].Created))["restrictions"]
	if d := cmp.Diff(got, any([]restriction{{"r0", []string{"delete", "update"}}})); d != "" {
		t.Errorf("restrictions, got - want +\n%s", d)
	}
	f.User.Home = "fieldserv"
	f.Relationship = &access.Relationship{Provider: "fieldserv", Approved: true, AllowedRoles: []id.Role{"viewer"}}
	c := claims(app, store.Family{}, access.Decide(f, all[0].Created))
	if c["external"] != true || c["home_organization"] != id.Organization("fieldserv") {
		t.Errorf("a provider's user: %v", c)
	}
}

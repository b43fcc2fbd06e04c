package adminapi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

const (
	served = northwind + "/providers/fieldserv"
	serves = "/api/v1/organizations/fieldserv/clients/northwind"
)

func TestProviders_AreProposedApprovedChangedAndCut(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		c.want(422, "PUT", serves, `{"allowed_roles":["no-such"]}`)
		proposed := c.want(200, "PUT", serves, `{"allowed_roles":["viewer","asset-editor"],"resources":["london-1"]}`)
		if proposed["state"] != "proposed" || proposed["approved"] != nil || proposed["client_name"] == "" {
			t.Errorf("got %v", proposed)
		}
		approved := c.want(200, "PUT", served, `{"allowed_roles":["viewer"],"resources":["london-1"],"require_mfa":true,"expires":"2099-01-01T00:00:00Z"}`)
		if approved["state"] != "in-force" || approved["require_mfa"] != true || approved["source"] != "manual" {
			t.Errorf("got %v", approved)
		}
		for _, list := range []string{northwind + "/providers", "/api/v1/organizations/fieldserv/clients"} {
			items := c.want(200, "GET", list, "")["items"].([]any)
			if d := cmp.Diff(items, []any{any(approved)}); d != "" {
				t.Errorf("%s (-got +want):\n%s", list, d)
			}
		}
		c.want(409, "PUT", serves, `{"allowed_roles":["owner"]}`)
		c.want(422, "PUT", served, `{"allowed_roles":["viewer"],"resources":["nowhere"]}`)
		c.want(422, "PUT", northwind+"/providers/northwind", `{"allowed_roles":["viewer"]}`)
		for _, org := range []string{northwind, "/api/v1/organizations/fieldserv"} {
			log := c.want(200, "GET", org+"/audit?limit=50", "")["items"].([]any)
			var actions []string
			for _, e := range log {
				if a := e.(map[string]any)["action"].(string); strings.HasPrefix(a, "provider.") {
					actions = append(actions, a)
				}
			}
			if d := cmp.Diff(actions, []string{"provider.approved", "provider.proposed"}); d != "" {
				t.Errorf("the log of %s (-got +want):\n%s", org, d)
			}
		}
		c.want(204, "DELETE", serves+"?reason=done", "")
		c.want(404, "GET", served, "")
		c.want(404, "DELETE", served, "")
	})
}

func TestProviders_TheirUsersAreGivenRolesByAddressAndNothingElseIsSeen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		sam := c.person("fieldserv", "sam")
		give := func(role string) string { return `{"user":"` + string(sam) + `","role":"` + role + `"}` }
		c.want(404, "GET", served+"/users?email=sam@fieldserv.example", "")
		c.want(422, "POST", northwind+"/grants", give("viewer"))
		c.want(404, "GET", northwind+"/users/"+string(sam), "")
		c.want(200, "PUT", serves, `{"allowed_roles":["asset-editor"]}`)
		c.want(404, "GET", served+"/users?email=sam@fieldserv.example", "")
		c.want(422, "POST", northwind+"/grants", give("viewer"))
		c.want(200, "PUT", served, `{"allowed_roles":["asset-editor"],"resources":["london-1"]}`)

		found := c.want(200, "GET", served+"/users?email=SAM@fieldserv.example", "")["items"].([]any)
		if len(found) != 1 || found[0].(map[string]any)["id"] != string(sam) {
			t.Fatalf("by the address: %v", found)
		}
		c.want(404, "GET", served+"/users?email=sam", "")
		c.want(404, "GET", served+"/users?email=dana@northwind.example", "")
		if code, got, _ := c.call("POST", northwind+"/grants", give("auditor")); code != 403 || !strings.Contains(got["detail"].(string), "relationship") {
			t.Errorf("a role outside the relationship: %d %v", code, got)
		}
		grant := c.want(201, "POST", northwind+"/grants", give("asset-editor"))
		if people := c.want(200, "GET", served+"/users", "")["items"].([]any); len(people) != 1 {
			t.Errorf("whom something was given to: %v", people)
		}
		user := c.want(200, "GET", northwind+"/users/"+string(sam), "")
		if user["external"] != true || user["home_organization"] != "fieldserv" || user["email"] != "sam@fieldserv.example" {
			t.Errorf("got %v", user)
		}
		access := c.want(200, "GET", northwind+"/users/"+string(sam)+"/access", "")
		grants := access["grants"].([]any)
		if len(grants) != 1 || grants[0].(map[string]any)["resource"] != "london-1" {
			t.Errorf("cut to the one site: %v", grants)
		}
		// Nothing of it makes the person one of the organization's own, or lets it do anything to the account.
		for _, item := range c.want(200, "GET", northwind+"/users?q=sam", "")["items"].([]any) {
			t.Errorf("among the organization's own: %v", item)
		}
		c.want(404, "POST", northwind+"/users/"+string(sam)+"/suspend", "{}")
		c.want(404, "DELETE", northwind+"/users/"+string(sam), "")
		// Nor does it let the provider see its client's people.
		c.want(404, "GET", "/api/v1/organizations/fieldserv/users/"+string(c.dana), "")
		c.want(422, "POST", "/api/v1/organizations/fieldserv/grants", `{"user":"`+string(c.dana)+`","role":"viewer"}`)

		c.want(204, "DELETE", served, "")
		c.want(404, "GET", northwind+"/users/"+string(sam), "")
		c.want(404, "GET", northwind+"/grants/"+grant["id"].(string), "")
	})
}

// Whoever has access by the provider's default roles alone is listed too, and with the reason; who has none is not.
func TestProviders_TheirUsersWithAccessAreListed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		sam, tom := c.person("fieldserv", "sam"), c.person("fieldserv", "tom")
		c.want(200, "PUT", served, `{"allowed_roles":["viewer"],"resources":["london-1"]}`)
		if got := c.ids(served + "/users"); len(got) != 0 {
			t.Errorf("nobody has anything, and listed are %v", got)
		}
		err := c.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "fieldserv", Name: "fieldserv", Settings: store.Settings{DefaultProviderRoles: []id.Role{"asset-editor"}}})
			tx.Bump(t.Context(), "configuration")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		first := c.want(200, "GET", served+"/users?limit=1", "")
		rest := c.want(200, "GET", served+"/users?limit=1&cursor="+first["next"].(string), "")
		got := []any{first["items"].([]any)[0].(map[string]any)["id"], rest["items"].([]any)[0].(map[string]any)["id"], rest["next"]}
		if d := cmp.Diff(got, []any{string(sam), string(tom), nil}); d != "" {
			t.Errorf("by pages (-got +want):\n%s", d)
		}
		if access := toText(t, c.want(200, "GET", northwind+"/users/"+string(sam)+"/access", "")); !strings.Contains(access, "default of the provider fieldserv") {
			t.Errorf("why: %s", access)
		}
		c.want(200, "POST", "/api/v1/organizations/fieldserv/users/"+string(tom)+"/suspend", "{}")
		if got := c.ids(served + "/users"); len(got) != 1 || got[0] != string(sam) {
			t.Errorf("somebody suspended has nothing: %v", got)
		}
		c.want(422, "GET", served+"/users?cursor=***", "")
	})
}

package adminapi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoles_CustomOnesAreMadeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		const path = northwind + "/roles"
		made := c.want(201, "POST", path, `{"name":"Night shift","description":"For the nights.","permissions":["billing.read"],"includes":["viewer"]}`)
		if made["id"] != "custom:night-shift" || made["custom"] != true || made["version"] != 1.0 || made["people"] != 0.0 {
			t.Errorf("what was made: %v", made)
		}
		if d := cmp.Diff(made["permissions"], []any{"assets.read", "billing.read"}); d != "" {
			t.Errorf("its permissions (-got +want):\n%s", d)
		}
		if got := c.ids(path); got[len(got)-1] != "custom:night-shift" {
			t.Errorf("the list: %v", got)
		}
		c.want(422, "POST", path, `{"name":"Night shift","permissions":["billing.read"]}`)
		c.want(422, "POST", path, `{"id":"viewer!","name":"V","permissions":["billing.read"]}`)
		// No role that the organization may use carries it, so none of its own does.
		c.want(422, "POST", path, `{"name":"Keys","permissions":["connections.manage"]}`)
		c.want(422, "POST", path, `{"name":"Keys","includes":["forbidden"]}`)

		grant := c.want(201, "POST", northwind+"/grants", `{"user":"`+string(c.dana)+`","role":"custom:night-shift"}`)["id"].(string)
		if got := c.want(200, "GET", path+"/custom:night-shift", ""); got["people"] != 1.0 || len(got["uses"].([]any)) != 1 {
			t.Errorf("who has it: %v", got)
		}
		refusal := c.want(409, "DELETE", path+"/custom:night-shift", "")
		if refusal["code"] != "role-in-use" || !strings.Contains(refusal["detail"].(string), "given to") {
			t.Errorf("the refusal: %v", refusal)
		}
		c.want(200, "PUT", path+"/custom:night-shift", `{"version":1,"name":"Night shift","permissions":["audit.read"]}`)
		c.want(409, "PUT", path+"/custom:night-shift", `{"version":1,"name":"Night shift","permissions":["assets.read"]}`)
		access := toText(t, c.want(200, "GET", northwind+"/users/"+string(c.dana)+"/access", ""))
		if !strings.Contains(access, "audit.read") || strings.Contains(access, "billing.read") || !strings.Contains(access, "Night shift") {
			t.Errorf("the access of who has it: %s", access)
		}
		c.want(204, "DELETE", northwind+"/grants/"+grant, "")
		c.want(204, "DELETE", path+"/custom:night-shift", "")
		c.want(404, "GET", path+"/custom:night-shift", "")
	})
}

func TestRoles_DeclaredOnesAreSeenAndNotChanged(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		const path = northwind + "/roles"
		if got := c.want(200, "GET", path+"/owner", ""); got["contains"] != nil || got["protected"] != true {
			t.Errorf("a role of the operator's: %v", got)
		}
		c.want(404, "GET", path+"/forbidden", "")
		c.want(404, "PUT", path+"/owner", `{"version":1,"name":"Owner","permissions":["assets.read"]}`)
		c.want(404, "DELETE", path+"/owner", "")
	})
}

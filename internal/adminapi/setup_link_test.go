package adminapi_test

import (
	"strings"
	"testing"
)

func TestSetupLinks_AreMadeListedAndRevoked(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		at := northwind + "/setup-links"
		for _, bad := range []string{
			`{"purposes":["sso"],"contact":"nobody"}`,
			`{"purposes":["everything"],"contact":"it@northwind.example"}`,
			`{"purposes":[],"contact":"it@northwind.example"}`,
			`{"purposes":["scim"],"contact":"it@northwind.example"}`,
			`{"purposes":["certificate"],"contact":"it@northwind.example"}`,
			`{"purposes":["sso"],"contact":"it@northwind.example","expires":"2001-01-01T00:00:00Z"}`,
			`{"purposes":["sso"],"contact":"it@northwind.example","expires":"2101-01-01T00:00:00Z"}`,
		} {
			c.want(422, "POST", at, bad)
		}
		made := c.want(201, "POST", at, `{"purposes":["sso","domain"],"contact":"it@northwind.example"}`)
		link, _ := made["link"].(string)
		if !strings.Contains(link, "/setup-link/northwind/"+made["id"].(string)+"/open/") || made["state"] != "waiting" {
			t.Errorf("made is %v", made)
		}
		list := c.want(200, "GET", at, "")["items"].([]any)
		if len(list) != 1 || list[0].(map[string]any)["link"] != nil {
			t.Errorf("listed are %v", list)
		}
		c.want(404, "DELETE", "/api/v1/organizations/fieldserv/setup-links/"+made["id"].(string), "")
		c.want(204, "DELETE", at+"/"+made["id"].(string), "")
		if got := c.want(200, "GET", at, "")["items"].([]any)[0].(map[string]any)["state"]; got != "revoked" {
			t.Errorf("after revoking its state is %v", got)
		}
	})
}

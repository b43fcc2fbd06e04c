package adminapi_test

import (
	"strings"
	"testing"
	"time"
)

func TestSSO_ExceptionsAndEnforcementByTheAPI(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		c.person("northwind", "olga")
		soon := time.Now().AddDate(0, 1, 0).UTC().Format(time.RFC3339)
		exception := func(address, kind, expires string) string {
			return `{"address":"` + address + `","kind":"` + kind + `","reason":"the provider may be away","expires":"` + expires + `"}`
		}
		for _, bad := range []string{
			exception("olga", "guest", soon), exception("olga@northwind.example", "guest", "2020-01-01T00:00:00Z"),
			exception("olga@northwind.example", "guest", time.Now().AddDate(2, 0, 0).UTC().Format(time.RFC3339)),
			exception("olga@northwind.example", "friend", soon),
		} {
			c.want(422, "POST", northwind+"/sso-exceptions", bad)
		}
		made := c.want(201, "POST", northwind+"/sso-exceptions", exception("olga@northwind.example", "break-glass", soon))
		if made["source"] != "api" || made["has_code"] != false || made["over"] != false {
			t.Errorf("the exception: %v", made)
		}
		again := c.want(201, "POST", northwind+"/sso-exceptions", exception("Olga@northwind.example", "break-glass", soon))
		if again["id"] != made["id"] {
			t.Errorf("renewing makes another: %v and %v", again["id"], made["id"])
		}
		if items := c.want(200, "GET", northwind+"/sso-exceptions", "")["items"].([]any); len(items) != 1 {
			t.Errorf("%d exceptions", len(items))
		}
		if got := c.want(200, "GET", northwind+"/sso", ""); got["enforced"] != false || got["in_force"] != false {
			t.Errorf("before: %v", got)
		}
		// Nobody has passed a test sign-in, so nobody is locked out by a call.
		refused := c.want(409, "PUT", northwind+"/sso", `{"enforced":true}`)
		if !strings.Contains(refused["detail"].(string), "domain") && !strings.Contains(refused["detail"].(string), "test") {
			t.Errorf("the refusal: %v", refused)
		}
		c.want(200, "PUT", northwind+"/sso", `{"enforced":false}`)
		c.want(204, "DELETE", northwind+"/sso-exceptions/"+made["id"].(string), "")
		c.want(404, "DELETE", northwind+"/sso-exceptions/"+made["id"].(string), "")
	})
}

func TestPasswordLink_IsSentAndNeverShown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		gus := c.person("northwind", "gus")
		if got := c.want(204, "POST", northwind+"/users/"+string(gus)+"/password-link", ""); got["text"] != "" {
			t.Errorf("an answer: %v", got)
		}
		c.want(204, "DELETE", northwind+"/users/"+string(gus)+"/password", "")
		c.want(404, "POST", northwind+"/users/0198aaaa-0000-7000-8000-000000000000/password-link", "")
	})
}

package adminapi_test

import (
	"testing"
)

func TestInvitations_AreSentListedResentAndRevoked(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		made := c.want(201, "POST", northwind+"/invitations", `{"email":"new@northwind.example","name":"New\r\nPerson","grants":[{"role":"auditor"},{"role":"viewer","resource":"london-1"}],"letters":[]}`)
		grants := made["grants"].([]any)
		if made["state"] != "pending" || made["name"] != "New Person" || len(grants) != 2 || grants[0].(map[string]any)["resource"] != "northwind" ||
			grants[0].(map[string]any)["source"] != "invitation" {
			t.Errorf("got %v", made)
		}
		// Without a mail server the link is in the answer, once, and no letter is posted.
		link, _ := made["link"].(string)
		if link == "" || made["letter"] != "none" {
			t.Errorf("got %v", made)
		}
		path := northwind + "/invitations/" + made["id"].(string)
		if got := c.want(200, "GET", path, ""); got["link"] != nil || got["email"] != "new@northwind.example" {
			t.Errorf("got %v", got)
		}
		if got := c.want(200, "GET", northwind+"/users/"+made["user"].(string), ""); got["status"] != "pending" {
			t.Errorf("got %v", got)
		}
		for body, code := range map[string]int{
			`{"email":"NEW@northwind.example"}`:                                                             409,
			`{"email":"dana@northwind.example"}`:                                                            409,
			`{"email":"no address"}`:                                                                        422,
			`{"email":"a@b.example\r\nBcc: c@d.example"}`:                                                   422,
			`{"email":"x@northwind.example","grants":[{"role":"nobody"}]}`:                                  422,
			`{"email":"x@northwind.example","grants":[{"role":"viewer","resource":"nowhere"}]}`:             422,
			`{"email":"x@northwind.example","grants":[{"role":"auditor"},{"role":"billing-clerk"}]}`:        409,
			`{"email":"x@northwind.example","grants":[{"role":"viewer","expires":"2020-01-01T00:00:00Z"}]}`: 422,
			`{"grants":[]}`: 422,
		} {
			if got, answer, _ := c.call("POST", northwind+"/invitations", body); got != code {
				t.Errorf("%s: got %d %v, want %d", body, got, answer, code)
			}
		}
		again := c.want(200, "POST", path+"/resend", "")
		if again["times"] != float64(2) || again["link"] == nil || again["link"] == link {
			t.Errorf("got %v", again)
		}
		if got := items(c.want(200, "GET", northwind+"/invitations?q=NEW@", "")); len(got) != 1 {
			t.Errorf("got %v", got)
		}
		c.want(204, "DELETE", path+"?reason=a+slip", "")
		c.want(409, "DELETE", path, "")
		c.want(409, "POST", path+"/resend", "")
		c.want(404, "GET", northwind+"/invitations/nothing", "")
		c.want(404, "GET", northwind+"/users/"+made["user"].(string), "")
		if got := items(c.want(200, "GET", northwind+"/invitations", "")); len(got) != 0 {
			t.Errorf("got %v", got)
		}
		if got := items(c.want(200, "GET", northwind+"/invitations?all=true", "")); len(got) != 1 || got[0].(map[string]any)["state"] != "revoked" {
			t.Errorf("got %v", got)
		}
	})
}

func items(answer map[string]any) []any { return answer["items"].([]any) }

package adminapi_test

import (
	"testing"
	"time"
)

func TestExpiries_ListsWhatEnds(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		ends := time.Now().AddDate(0, 0, 40).UTC().Truncate(time.Second).Format(time.RFC3339)
		c.want(201, "POST", northwind+"/sso-exceptions", `{"address":"olga@northwind.example","kind":"break-glass","reason":"drill","expires":"`+ends+`"}`)
		items := func(query string) []any {
			t.Helper()
			return c.want(200, "GET", northwind+"/expiries"+query, "")["items"].([]any)
		}
		all := items("?kind=exception")
		if len(all) != 1 {
			t.Fatalf("got %v", all)
		}
		e := all[0].(map[string]any)
		if e["expires"] != ends || e["told"] != true || e["what"] != "The exception of olga@northwind.example from single sign-on" {
			t.Errorf("got %v", e)
		}
		if got := items("?kind=exception&days=30"); len(got) != 0 {
			t.Errorf("within 30 days: %v", got)
		}
		if got := items("?kind=exception&days=41"); len(got) != 1 {
			t.Errorf("within 41 days: %v", got)
		}
		c.want(422, "GET", northwind+"/expiries?kind=milk", "")
		c.want(404, "GET", "/api/v1/organizations/nowhere/expiries", "")
	})
}

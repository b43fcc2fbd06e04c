package console_test

import (
	"net/http"
	"testing"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestRefusals_LeadBackToAPageThatOpens(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		const o = "/o/northwind"
		owner, newcomer, operator := h.as("northwind", "Olivia Owner"), h.as("northwind", "Niko New"), h.operator()
		const nobody = "0190f000-0000-7000-8000-000000000000"
		// What is not there leads to the list of its kind.
		for path, list := range map[string]string{
			o + "/users/" + nobody:                         o + "/users",
			o + "/users/" + nobody + "/give":               o + "/users",
			o + "/groups/" + nobody:                        o + "/groups",
			o + "/roles/nothing/edit":                      o + "/roles",
			o + "/connections/nowhere":                     o + "/connections",
			o + "/connections/nowhere/edit":                o + "/connections",
			o + "/directories/nowhere/tokens":              o + "/directories",
			o + "/directories/entra/tokens/of/none":        o + "/directories",
			o + "/directories/entra/tokens/of/none/revoke": o + "/directories",
			o + "/directories/nowhere/drift":               o + "/directories",
			o + "/directories/nowhere/drift.csv":           o + "/directories",
			o + "/directories/nowhere/wave/undo":           o + "/directories",
			o + "/directories/entra/requests/" + nobody:    o + "/directories",
			o + "/domains/nowhere.example/release":         o + "/domains",
			o + "/webhooks/" + nobody:                      o + "/webhooks",
			o + "/providers/nobody/give":                   o + "/providers",
			o + "/invitations/" + nobody + "/revoke":       o + "/invitations",
			o + "/setup-links/" + nobody + "/revoke":       o + "/connections",
		} {
			for who, b := range map[string]*browser{"the owner": owner, "the operator": operator} {
				got := b.get(path)
				if back, _ := got.Find("main a.button").Attr("href"); got.status < 400 || got.status >= 500 || back != list {
					t.Errorf("%s sends %s with %d to %q, want %q", path, who, got.status, back, list)
				} else {
					b.page(back)
				}
			}
		}
		// What somebody may not open leads to what they may.
		for _, path := range []string{
			"", "/inbox", "/users", "/users/" + nobody, "/groups", "/roles", "/roles/new", "/connections", "/directories", "/directories/entra/tokens",
			"/domains", "/rules", "/webhooks", "/webhooks/new", "/providers", "/applications", "/conflicts", "/calendar", "/calendar.ics", "/audit", "/audit.csv",
			"/setup-links", "/invitations", "/resources",
		} {
			got := newcomer.get(o + path)
			if got.status == http.StatusOK || got.status == http.StatusSeeOther {
				continue
			}
			if back, _ := got.Find("main a.button").Attr("href"); got.status >= 500 || back != o+"/me" {
				t.Errorf("%s sends somebody without access with %d to %q", path, got.status, back)
			}
		}
		newcomer.page(o + "/me")
		// A change that came from no page does too.
		for who, b := range map[string]*browser{"the owner": owner, "a newcomer": newcomer, "the operator": operator} {
			got := b.post(o + "/users/" + nobody + "/settle")
			if back, _ := got.Find("main a.button").Attr("href"); got.status < 400 || got.status >= 500 || back == "" {
				t.Errorf("%s: %d to %q", who, got.status, back)
			} else {
				b.page(back)
			}
		}
		// Where there is no organization, or no page of it, the start page knows on.
		for _, got := range []answer{
			operator.get("/o/nowhere/users"), operator.post("/o/nowhere/users/" + nobody + "/settle"), owner.get("/o/nowhere"), owner.get(o + "/nothing/here"),
		} {
			if back, _ := got.Find("main a.button").Attr("href"); got.status != http.StatusNotFound || back != "/" {
				t.Errorf("%d to %q: %s", got.status, back, got.text("main"))
			}
		}
	})
}

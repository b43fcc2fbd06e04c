package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// Fieldserv offers, Northwind approves what it likes of it, gives a role to one person by address, and either side ends it.
func TestProviders_AreOfferedApprovedAndCut(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		theirs, owner := h.operator(), h.as("northwind", "Olivia Owner")
		done := func(b *browser, path string, form ...string) {
			t.Helper()
			if got := b.post(path, form...); got.status != http.StatusSeeOther || strings.HasPrefix(got.location, "/signin") {
				t.Fatalf("%s: %d to %q: %s", path, got.status, got.location, got.text("main"))
			}
		}
		if got := owner.page("/o/northwind/providers"); !strings.Contains(got.text("main"), "Nobody does") {
			t.Errorf("before: %s", got.text("main"))
		}
		theirs.page("/o/fieldserv/providers/offer")
		done(theirs, "/o/fieldserv/providers/offer", "client", "northwind", "role", "viewer", "role", "asset-editor", "resources", "london-1")
		if got := owner.page("/o/northwind/providers"); !strings.Contains(got.text("main"), "Waits for your approval") || !strings.Contains(got.text("main"), "London 1") {
			t.Errorf("offered: %s", got.text("main"))
		}
		owner.page("/o/northwind/providers/fieldserv/terms")
		if got := owner.post("/o/northwind/providers/fieldserv/terms", "role", "viewer"); got.status != http.StatusUnprocessableEntity {
			t.Errorf("without a place: %d %s", got.status, got.text("main"))
		}
		done(owner, "/o/northwind/providers/fieldserv/terms", "role", "asset-editor", "resource", "london-1")
		owner.page("/o/northwind/providers/fieldserv/give")
		if got := owner.post("/o/northwind/providers/fieldserv/give", "email", "nobody@fieldserv.example", "role", "viewer", "resource", "london-1"); got.status != http.StatusNotFound {
			t.Errorf("an address that is nobody's: %d %s", got.status, got.text("main"))
		}
		done(owner, "/o/northwind/providers/fieldserv/give", "email", "femi@fieldserv.example", "role", "viewer", "resource", "northwind")
		got := owner.page("/o/northwind/providers/fieldserv")
		for _, want := range []string{"In force", "Femi Field", "at London 1"} {
			if !strings.Contains(got.text("main"), want) {
				t.Errorf("%q is missing: %s", want, got.text("main"))
			}
		}
		take, _ := got.Find(`form[action$="/remove"]`).Attr("action")
		// From the provider's side the terms are seen and no person of the client's, and nothing is decided.
		if got := theirs.page("/o/fieldserv/providers/northwind"); !strings.Contains(got.text("main"), "In force") || strings.Contains(got.text("main"), "Their people") {
			t.Errorf("the provider's side: %s", got.text("main"))
		}
		if got := theirs.post("/o/fieldserv/providers/northwind/terms", "role", "owner", "resource", "fieldserv"); got.status != http.StatusForbidden {
			t.Errorf("the provider sets its own terms: %d %s", got.status, got.text("main"))
		}
		// Nobody without the permission, and nobody of the other organization, comes to any of it.
		for _, who := range []*browser{h.as("northwind", "Adam Admin"), h.as("northwind", "Niko New"), h.as("fieldserv", "Femi Field")} {
			for _, path := range []string{"", "/offer", "/fieldserv", "/fieldserv/terms", "/fieldserv/give", "/fieldserv/cut"} {
				if got := who.get("/o/northwind/providers" + path); got.status < 400 {
					t.Errorf("%s: %d", path, got.status)
				}
			}
			for _, path := range []string{take, "/o/northwind/providers/fieldserv/cut", "/o/northwind/providers/fieldserv/terms", "/o/northwind/providers/fieldserv/give"} {
				if got := who.post(path, "role", "viewer", "resource", "northwind", "email", "femi@fieldserv.example"); got.status < 400 {
					t.Errorf("%s: %d to %q", path, got.status, got.location)
				}
			}
		}
		done(owner, take)
		owner.page("/o/northwind/providers/fieldserv/cut")
		done(owner, "/o/northwind/providers/fieldserv/cut", "reason", "done")
		if got := owner.get("/o/northwind/providers/fieldserv"); got.status != http.StatusNotFound {
			t.Errorf("after the cut: %d", got.status)
		}
	})
}

// Who lets a provider in gives what the provider's people may hold: no more than they could give themselves.
func TestProviders_TheCeilingHoldsForTheTerms(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		theirs := h.operator()
		theirs.page("/o/fieldserv/providers/offer")
		theirs.post("/o/fieldserv/providers/offer", "client", "northwind", "role", "owner")
		h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredRole(store.DeclaredRole{Position: 20, Role: access.Role{
				ID: "technician", Name: "Technician", Permissions: []id.Permission{"connections.manage"}, MayGrant: []id.Role{"viewer"},
			}})
			tx.Bump(t.Context(), "configuration")
			return nil
		}))
		h.give("Niko New", "technician", "northwind")
		niko := h.as("northwind", "Niko New")
		got := niko.post("/o/northwind/providers/fieldserv/terms", "role", "owner", "resource", "northwind")
		if got.status != http.StatusForbidden || !strings.Contains(got.body, "may not give") {
			t.Errorf("a role beyond his own ceiling: %d %s", got.status, got.text("main"))
		}
		if got := niko.post("/o/northwind/providers/fieldserv/terms", "role", "viewer", "resource", "northwind"); got.status != http.StatusSeeOther {
			t.Errorf("a role he may give: %d %s", got.status, got.text("main"))
		}
	})
}

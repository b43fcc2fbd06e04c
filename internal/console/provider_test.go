package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
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

// served lets Fieldserv's people work for Northwind on terms, and for the other customer as they like; its default roles for clients are
// those named.
func (h *house) served(defaults []id.Role, terms access.RelationshipSettings) {
	h.t.Helper()
	ctx := h.t.Context()
	h.must(h.db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "fieldserv", Name: "Fieldserv", Settings: store.Settings{
			DefaultRoles: []access.RoleAt{{Role: "viewer"}}, DefaultProviderRoles: defaults,
		}})
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "southwind", Name: "Southwind"})
		tx.Bump(ctx, "configuration")
		return nil
	}))
	for client, t := range map[id.Organization]access.RelationshipSettings{
		"northwind": terms, "southwind": {AllowedRoles: []id.Role{access.Every}},
	} {
		h.must(h.db.Write(ctx, client, func(tx *store.Tx) error {
			_, err := tx.SetTerms(ctx, h.system, "fieldserv", t)
			return err
		}))
	}
}

// The customer sees who of its provider has access here, why, and nothing of anybody else's.
func TestProviders_TheirPeopleAreShownWithWhatTheyMayDoAndWhy(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		ctx := t.Context()
		h.served([]id.Role{"user-admin"}, access.RelationshipSettings{AllowedRoles: []id.Role{"asset-editor", "billing-clerk"}, Resources: []id.Resource{"london-1"}, Expires: db.Now().AddDate(1, 0, 0)})
		h.users["Sally South"] = h.user("southwind", "Sally South")
		h.users["Felix Field"] = h.user("fieldserv", "Felix Field")
		h.must(h.db.Write(ctx, "fieldserv", func(tx *store.Tx) error { return tx.Suspend(ctx, h.users["Felix Field"], h.system, "left") }))
		for client, g := range map[id.Organization]store.Grant{
			"northwind": {Role: "billing-clerk", Resource: "northwind", Reason: "for the audit"}, "southwind": {Role: "receptionist", Resource: "southwind", Reason: "their own affair"},
		} {
			h.must(h.db.Write(ctx, client, func(tx *store.Tx) error {
				g.User = h.users["Femi Field"]
				_, err := tx.Give(ctx, h.system, g)
				return err
			}))
		}
		h.must(h.db.Write(ctx, "fieldserv", func(tx *store.Tx) error {
			return tx.OpenedToward(ctx, "southwind", h.users["Femi Field"], audit.Event{Action: "application.opened", Actor: audit.Actor{Kind: audit.ActorUser, IP: "198.51.100.9"}})
		}))
		owner := h.as("northwind", "Olivia Owner")
		const list = "/o/northwind/providers/fieldserv"
		femi := list + "/users/" + string(h.users["Femi Field"])
		got := owner.page(list)
		row := got.Find(`tr:has(a[href="` + femi + `"])`)
		if row.Length() != 1 || got.Find("tbody tr").Length() != 1 {
			t.Fatalf("who is listed: %s", got.text("main"))
		}
		for _, want := range []string{"Femi Field", "Asset Editor at London 1", "Billing Clerk at London 1", "Billing Clerk at Northwind Energy", "In force of it: Billing Clerk at London 1", "Never"} {
			if text := strings.Join(strings.Fields(row.Text()), " "); !strings.Contains(text, want) {
				t.Errorf("%q is missing: %s", want, text)
			}
		}
		if !strings.Contains(got.text("main"), "Everybody active at Fieldserv holds here") {
			t.Errorf("what everybody holds: %s", got.text("main"))
		}
		if got := owner.page("/o/northwind/users"); got.Find(`a[href="`+list+`"]`).Length() != 1 || strings.Contains(got.text("main"), "Femi") {
			t.Errorf("the list of users: %s", got.text("main"))
		}

		// The page of one of them, also under the address that the audit log leads to.
		for _, at := range []string{femi, "/o/northwind/users/" + string(h.users["Femi Field"])} {
			got = owner.page(at + "?permission=assets.update&at=london-1")
			for _, want := range []string{
				"Of Fieldserv", "Default role of Fieldserv, within the terms", "Given by Setup", "for the audit", "In force of it: Billing Clerk at London 1",
				"Last here Never", "Yes.",
			} {
				if !strings.Contains(got.text("main"), want) {
					t.Errorf("%s: %q is missing: %s", at, want, got.text("main"))
				}
			}
			for _, never := range []string{"outhwind", "Receptionist", "their own affair", "198.51.100.9", "Felix", "User Admin"} {
				if strings.Contains(got.text("main"), never) {
					t.Errorf("%s shows %q: %s", at, never, got.text("main"))
				}
			}
		}

		// Nobody who has no access here, of whichever organization; and nobody but who decides on relationships.
		for _, who := range []string{"Felix Field", "Sally South", "Olivia Owner"} {
			if got := owner.get(list + "/users/" + string(h.users[who])); got.status != http.StatusNotFound || strings.Contains(got.body, who) && who != "Olivia Owner" {
				t.Errorf("%s: %d %s", who, got.status, got.text("main"))
			}
		}
		for _, who := range []*browser{h.as("northwind", "Adam Admin"), h.as("northwind", "Niko New"), h.as("fieldserv", "Femi Field")} {
			for _, at := range []string{femi, "/o/northwind/users/" + string(h.users["Femi Field"])} {
				if got := who.get(at); got.status < 400 {
					t.Errorf("%s: %d", at, got.status)
				}
			}
		}
		if got := h.as("northwind", "Adam Admin").page("/o/northwind/users"); strings.Contains(got.text("main"), "Fieldserv") {
			t.Errorf("who may not open it is led to it: %s", got.text("main"))
		}
		if got := h.operator().page("/o/fieldserv/providers/northwind"); strings.Contains(got.text("main"), "Everybody active") {
			t.Errorf("the provider's side: %s", got.text("main"))
		}

		// Nothing outlasts the relationship.
		if ends := owner.page(femi).Find(`[aria-labelledby=grants] td[data-label=Until] time`).Length(); ends != 2 {
			t.Errorf("%d of two roles end with the terms", ends)
		}

		// Taking the grant away leaves what everybody has, and narrower terms take that.
		take, _ := owner.page(femi).Find(`form[action$="/remove"]`).Attr("action")
		if got := owner.post(take, "back", "person"); got.location != femi {
			t.Fatalf("%d to %q: %s", got.status, got.location, got.text("main"))
		}
		if got := owner.page(femi); got.Find(`form[action$="/remove"]`).Length() != 0 || !strings.Contains(got.text("main"), "Asset Editor") {
			t.Errorf("after it was taken: %s", got.text("main"))
		}
		h.served([]id.Role{"user-admin"}, access.RelationshipSettings{AllowedRoles: []id.Role{"billing-clerk"}})
		got = owner.page(list)
		if got.Find("tbody tr").Length() != 1 || !strings.Contains(got.text("tbody"), "Nothing") || strings.Contains(got.text("main"), "Everybody active") {
			t.Errorf("within narrower terms: %s", got.text("main"))
		}
	})
}

// A provider with many people is shown page by page.
func TestProviders_ManyPeopleAreShownByPages(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.served([]id.Role{"viewer"}, access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}})
		for i := range 25 {
			h.user("fieldserv", "Somebody"+string(rune('A'+i))+" Field")
		}
		owner := h.as("northwind", "Olivia Owner")
		first := owner.page("/o/northwind/providers/fieldserv")
		next, _ := first.Find(`a[rel=next]`).Attr("href")
		second := owner.page(next)
		if a, b := first.Find("tbody tr").Length(), second.Find("tbody tr").Length(); a != 25 || b != 1 {
			t.Errorf("%d and then %d: %s", a, b, second.text("main"))
		}
		if first.text("tbody th a") == "" || strings.Contains(first.text("tbody"), second.text("tbody th a")) {
			t.Errorf("the second page: %s", second.text("tbody"))
		}
		found := owner.page("/o/northwind/providers/fieldserv?q=SOMEBODYC")
		if found.Find("tbody tr").Length() != 1 || found.text("tbody th a") != "SomebodyC Field" {
			t.Errorf("by name: %s", found.text("main"))
		}
		nobody := owner.page("/o/northwind/providers/fieldserv?q=Olivia")
		if value, _ := nobody.Find("#q").Attr("value"); value != "Olivia" || !strings.Contains(nobody.text("main"), "Nobody matches") {
			t.Errorf("nobody by name: %s", nobody.text("main"))
		}
	})
}

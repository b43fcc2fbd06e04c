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

// makers lets Olivia make roles, who may give every role, and Adam, who may give some.
func (h *house) makers() {
	h.t.Helper()
	h.must(h.db.System().Write(h.t.Context(), func(tx *store.SystemTx) error {
		tx.PutDeclaredRole(store.DeclaredRole{Position: 20, Role: access.Role{
			ID: "role-maker", Name: "Role Maker", Permissions: []id.Permission{access.RolesManage},
		}})
		tx.Bump(h.t.Context(), "configuration")
		return nil
	}))
	h.give("Olivia Owner", "role-maker", "northwind")
	h.give("Adam Admin", "role-maker", "northwind")
}

func TestRoles_AreMadeGivenChangedAndRefusedToBeDeleted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.makers()
		b := h.as("northwind", "Olivia Owner")
		const roles = "/o/northwind/roles"
		if got := b.page(roles); !strings.Contains(got.text("main"), "No custom role") || got.Find(`a[href="`+roles+`/new"]`).Length() != 1 {
			t.Errorf("the list: %s", got.text("main"))
		}
		form := b.page(roles + "/new")
		if got := form.Find(`input[name="permission"][value="billing.read"]`); got.Length() != 1 || got.AttrOr("disabled", "no") == "no" {
			t.Error("a permission that she does not hold can be chosen, or is not shown")
		}
		if strings.Contains(form.text("main"), "could not give this role") {
			t.Error("who may give every role is told that she could not give this one")
		}
		// What is wrong stands at its field, and what was typed stays.
		got := b.post(roles, "name", "Owner", "permission", "assets.update", "description", "For the nights")
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("#name-error"), "Owner already") ||
			got.Find("#description").AttrOr("value", "") != "For the nights" || got.Find(`input[value="assets.update"][checked]`).Length() != 1 {
			t.Errorf("%d %s", got.status, got.text("main"))
		}
		if got = b.post(roles, "name", "Night watch", "permission", "billing.read"); got.status != http.StatusForbidden || !strings.Contains(got.text("main"), "billing.read") {
			t.Errorf("above the ceiling: %d %s", got.status, got.text("main"))
		}
		if got = b.post(roles, "name", "Night watch", "permission", "assets.update", "include", "viewer"); got.location != roles+"#custom-night-watch" {
			t.Fatalf("%d to %q: %s", got.status, got.location, got.text("main"))
		}
		card := b.page(roles).Find("#custom-night-watch")
		if text := read(card); !strings.Contains(text, "Night watch custom:night-watch") || !strings.Contains(text, "Edit assets") || !strings.Contains(text, "Standard Viewer") {
			t.Errorf("the card: %s", text)
		}
		dana := "/o/northwind/users/" + string(h.users["Dana Dubois"])
		if got := b.page(dana + "/give"); !strings.Contains(got.text("main"), "Night watch custom role") {
			t.Errorf("the dialog: %s", got.text("main"))
		}
		if got := b.post(dana+"/give", "role", "custom:night-watch", "resource", "berlin-1"); got.status != http.StatusSeeOther {
			t.Fatalf("%d %s", got.status, got.text("main"))
		}
		if got := b.page(dana); !strings.Contains(got.text("main"), "Night watch") {
			t.Errorf("her access: %s", got.text("main"))
		}
		const edit = roles + "/custom:night-watch/edit"
		if got := b.page(edit); !strings.Contains(got.text("main"), "1 person has this role") || !strings.Contains(got.text("main"), "given to Dana Dubois") {
			t.Errorf("the form: %s", got.text("main"))
		}
		if got := b.post(edit, "version", "1", "name", "Night watch", "permission", "assets.read"); got.status != http.StatusSeeOther {
			t.Fatalf("%d %s", got.status, got.text("main"))
		}
		for _, version := range []string{"1", "", "0", "x"} {
			if got := b.post(edit, "version", version, "name", "Night watch", "permission", "assets.delete"); got.status == http.StatusSeeOther {
				t.Errorf("a form made of version %q overwrites what is there", version)
			}
		}
		if got := b.page(roles + "/custom:night-watch/delete"); !strings.Contains(got.text("#sheet"), "given to Dana Dubois") || got.Find("#sheet form").Length() != 0 {
			t.Errorf("the dialog: %s", got.text("#sheet"))
		}
		if got := b.post(roles+"/custom:night-watch/delete", "version", "2"); got.status != http.StatusConflict || !strings.Contains(got.text("main"), "Dana Dubois") {
			t.Errorf("%d %s", got.status, got.text("main"))
		}
	})
}

func TestRoles_OpenToWhoMakesThemAndToNobodyElse(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.makers()
		const roles = "/o/northwind/roles"
		olivia, adam := h.as("northwind", "Olivia Owner"), h.as("northwind", "Adam Admin")
		if got := olivia.post(roles, "name", "Night watch", "permission", "connections.manage"); got.status != http.StatusSeeOther {
			t.Fatalf("%d %s", got.status, got.text("main"))
		}
		// Adam makes roles, but may not give every one: the form says what he could not do with what he makes.
		if got := adam.page(roles + "/new"); !strings.Contains(got.text("main"), "You could not give this role to anybody yourself") {
			t.Errorf("the form: %s", got.text("main"))
		}
		if got := adam.page(roles + "/custom:night-watch/edit"); !strings.Contains(got.text("main"), "connections.manage") || got.Find("main form").Length() != 0 {
			t.Errorf("what is beyond him: %s", got.text("main"))
		}
		for who, b := range map[string]*browser{"Sven sees users of a part": h.as("northwind", "Sven Site"), "Dana": h.as("northwind", "Dana Dubois")} {
			for _, path := range []string{"/new", "/custom:night-watch/edit", "/custom:night-watch/delete"} {
				if got := b.get(roles + path); got.status != http.StatusForbidden {
					t.Errorf("%s at %s: %d", who, path, got.status)
				}
			}
			if got := b.post(roles, "name", "Mine", "permission", "assets.read"); got.status != http.StatusForbidden {
				t.Errorf("%s makes a role: %d", who, got.status)
			}
		}
		if got := h.as("fieldserv", "Femi Field").get(roles); got.status != http.StatusNotFound {
			t.Errorf("another organization: %d", got.status)
		}
		// The terms of a provider name what the operator declared.
		if got := h.operator().page("/o/northwind/providers/offer"); got.Find(`input[value="custom:night-watch"]`).Length() != 0 {
			t.Error("an offer names a custom role")
		}
	})
}

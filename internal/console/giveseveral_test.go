package console_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// given lists what people hold by hand: "Niko New: asset-editor at london-1 until 2027-01-31".
func (h *house) given(names ...string) (out []string) {
	h.t.Helper()
	for _, name := range names {
		h.must(h.db.Read(h.t.Context(), "northwind", func(tx *store.Tx) error {
			grants, _, err := tx.ListGrants(h.t.Context(), store.GrantFilter{User: h.users[name]})
			for _, g := range grants {
				line := name + ": " + string(g.Role) + " at " + string(g.Resource)
				if !g.Expires.IsZero() {
					line += " until " + g.Expires.UTC().Format(time.DateOnly)
				}
				out = append(out, line)
			}
			return err
		}))
	}
	slices.Sort(out)
	return out
}

func TestGiveSeveral_TheSameToAllWhoAreChosen(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		lena, liv := string(h.user("northwind", "Lena Later")), string(h.user("northwind", "Liv Later"))
		niko := string(h.users["Niko New"])
		b := h.as("northwind", "Adam Admin")
		const inbox, give = "/o/northwind/inbox", "/o/northwind/users/give"
		for _, list := range []string{inbox, "/o/northwind/users"} {
			if n := b.page(list).Find(`tbody input[name=user][form=chosen]`).Length(); n < 3 {
				t.Errorf("%s: %d people can be chosen", list, n)
			}
		}

		query := "?back=inbox&user=" + niko + "&user=" + lena + "&user=" + liv + "&user=" + liv
		a := b.page(give + query + "&role=asset-editor&resource=london-1")
		if got := a.text("h1"); got != "Give 3 people the same roles" {
			t.Errorf("the dialog is headed %q", got)
		}
		if got := a.text("#sheet form > p.field"); !strings.Contains(got, "3 people: Lena Later, Liv Later, Niko New") {
			t.Errorf("for whom: %q", got)
		}
		if got := a.text(".preview"); !strings.Contains(got, "3 people of 3 gain something") || !strings.Contains(got, "At London 1") {
			t.Errorf("the preview: %q", got)
		}

		events := h.eventCount()
		got := b.post(give, "back", "inbox", "user", niko, "user", lena, "role", "asset-editor", "resource", "london-1", "reason", "the new team")
		if got.status != http.StatusSeeOther || got.location != inbox {
			t.Fatalf("answers %d to %q: %s", got.status, got.location, got.text("main"))
		}
		if got := b.page(inbox).text(".main > [role=status]"); got != "2 people hold Asset Editor at London 1 now." {
			t.Errorf("the page says %q", got)
		}
		if diff := cmp.Diff(h.given("Niko New", "Lena Later", "Liv Later"), []string{
			"Lena Later: asset-editor at london-1", "Niko New: asset-editor at london-1",
		}); diff != "" {
			t.Error(diff)
		}
		if n := h.eventCount() - events; n != 2 {
			t.Errorf("%d events, want one for each", n)
		}

		// Whoever holds it already, for as long, keeps it as it is: an end that others are given reaches nobody who has none.
		events = h.eventCount()
		got = b.post(give, "user", niko, "user", liv, "role", "asset-editor", "resource", "london-1", "expires", "2099-01-31")
		if got.status != http.StatusSeeOther || got.location != "/o/northwind/users" {
			t.Fatalf("answers %d to %q: %s", got.status, got.location, got.text("main"))
		}
		if diff := cmp.Diff(h.given("Niko New", "Liv Later"), []string{
			"Liv Later: asset-editor at london-1 until 2099-02-01", "Niko New: asset-editor at london-1",
		}); diff != "" {
			t.Error(diff)
		}
		if n := h.eventCount() - events; n != 1 {
			t.Errorf("%d events, want one", n)
		}
		// And who holds it for less is given the rest.
		if got := b.post(give, "user", niko, "user", liv, "user", lena, "role", "asset-editor", "resource", "london-1"); got.status != http.StatusSeeOther {
			t.Fatalf("answers %d: %s", got.status, got.text("main"))
		}
		if diff := cmp.Diff(h.given("Liv Later"), []string{"Liv Later: asset-editor at london-1"}); diff != "" {
			t.Error(diff)
		}

		// Whoever gives and does not read users goes back to the list that opens for them.
		h.user("northwind", "Rita Reception")
		h.give("Rita Reception", "receptionist", "northwind")
		newcomer := string(h.user("northwind", "Nell Newcomer"))
		got = h.as("northwind", "Rita Reception").post(give, "user", newcomer, "role", "asset-editor", "resource", "london-1")
		if got.status != http.StatusSeeOther || got.location != inbox {
			t.Errorf("answers %d to %q: %s", got.status, got.location, got.text("main"))
		}
	})
}

func TestGiveSeveral_AllOfThemOrNobody(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		niko, dana, femi := string(h.users["Niko New"]), string(h.users["Dana Dubois"]), string(h.users["Femi Field"])
		gone := string(h.user("northwind", "Gwen Gone"))
		h.must(db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			return tx.DeleteUser(t.Context(), h.users["Gwen Gone"], h.system, "left")
		}))
		h.give("Dana Dubois", "auditor", "northwind")
		const give = "/o/northwind/users/give"
		events := h.eventCount()
		chosen := []string{"role", "billing-clerk", "resource", "northwind"}
		many := make([]string, 0, 202)
		for n := range 101 {
			many = append(many, "user", fmt.Sprint("usr_", n))
		}
		for name, c := range map[string]struct {
			who    string
			users  []string
			role   []string
			status int
			says   string
		}{
			"an exclusive role":       {"Olivia Owner", []string{"user", niko, "user", dana}, chosen, http.StatusUnprocessableEntity, "Dana Dubois already holds Auditor"},
			"of another organization": {"Olivia Owner", []string{"user", niko, "user", femi}, chosen, http.StatusNotFound, "Choose again"},
			"deleted":                 {"Olivia Owner", []string{"user", niko, "user", gone}, chosen, http.StatusConflict, "Gwen Gone is deleted"},
			"nobody":                  {"Olivia Owner", nil, chosen, http.StatusUnprocessableEntity, "Nobody is chosen"},
			"too many":                {"Olivia Owner", many, chosen, http.StatusUnprocessableEntity, "Choose at most 100 at once"},
			"above the ceiling":       {"Adam Admin", []string{"user", niko}, []string{"role", "owner", "resource", "northwind"}, http.StatusUnprocessableEntity, "You may not give"},
			"out of sight":            {"Sven Site", []string{"user", niko}, []string{"role", "asset-editor", "resource", "london-1"}, http.StatusNotFound, "Choose again"},
			"who gives nothing":       {"Dana Dubois", []string{"user", niko}, []string{"role", "viewer", "resource", "northwind"}, http.StatusForbidden, "may give others"},
		} {
			got := h.as("northwind", c.who).post(give, append(slices.Clone(c.users), c.role...)...)
			if got.status != c.status || !strings.Contains(got.text("main"), c.says) {
				t.Errorf("%s: %d: %s", name, got.status, got.text("main"))
			}
		}
		if diff := cmp.Diff(h.given("Niko New", "Dana Dubois"), []string{"Dana Dubois: auditor at northwind"}); diff != "" {
			t.Error(diff)
		}
		if n := h.eventCount() - events; n != 0 {
			t.Errorf("%d events of what was refused", n)
		}
		// What one of them may not hold is greyed beforehand, with the name.
		a := h.as("northwind", "Olivia Owner").page(give + "?user=" + niko + "&user=" + dana)
		if got := a.text("label[for=role-billing-clerk] .because"); !strings.Contains(got, "Dana Dubois holds Auditor") {
			t.Errorf("beside the role: %q", got)
		}
	})
}

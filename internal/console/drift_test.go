package console_test

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// pushed has Northwind's directory push people, and gives what deactivates or deletes one.
func (h *house) pushed(brake directory.Brake, names ...string) func(name string, remove bool) {
	h.t.Helper()
	ctx := h.t.Context()
	h.must(h.db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredDirectory(store.DeclaredDirectory{
			Organization: "northwind", ID: "entra", Name: "Northwind Entra ID", Dialect: "entra", Key: directory.KeyExternalID,
			Settings: directory.Settings{Brake: brake},
		})
		tx.Bump(ctx, "configuration")
		return nil
	}))
	push := func(do func(p *store.Push) error) {
		h.t.Helper()
		h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
			d, err := tx.Directory(ctx, "entra")
			if err != nil {
				return err
			}
			return do(tx.Push(store.Pusher{
				Directory: *d, Dialect: scim.RFC, Actor: h.system, User: scim.UserType(scim.Extension{Schema: scim.EnterpriseUser()}), Group: scim.GroupType(),
			}))
		}))
	}
	for _, name := range names {
		push(func(p *store.Push) error {
			res, refusal, err := p.CreateUser(ctx, scim.Result{Attributes: scim.Attributes{
				"schemas": []any{scim.UserURN}, "userName": name, "displayName": "Pushed " + name, "active": true,
			}}, scim.Want{})
			if err == nil && refusal == nil {
				h.users[name] = id.User(res.ID)
			}
			return errors.Join(err, refusal)
		})
	}
	return func(name string, remove bool) {
		h.t.Helper()
		push(func(p *store.Push) error {
			if remove {
				return p.DeleteUser(ctx, string(h.users[name]), nil)
			}
			_, err := p.ModifyUser(ctx, string(h.users[name]), nil, func(a scim.Attributes) (scim.Result, error) {
				a = maps.Clone(a)
				a["active"] = false
				return scim.Result{Attributes: a, Changed: true}, nil
			}, scim.Want{})
			return err
		})
	}
}

func TestDrift_ShowsWhoIsHereAndWhatToDo(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.pushed(directory.Brake{}, "una", "ben")
		b, at := h.as("northwind", "Olivia Owner"), "/o/northwind/directories/entra/drift"
		if got := b.page(at).text("main"); !strings.Contains(got, "has not gone through everybody it knows yet") || !strings.Contains(got, "Nobody and nothing") {
			t.Errorf("before a walk: %q", got)
		}
		h.must(db.Write(h.t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Listed("entra", "User", tx.Now().Add(-time.Minute), 2)
			tx.Listed("entra", "Group", tx.Now().Add(-time.Minute), 0)
			return nil
		}))
		p := b.page(at)
		if got := p.text("section[aria-labelledby=walks] dd"); !strings.Contains(got, "It read its whole list of 2 users") {
			t.Errorf("the walk: %q", got)
		}
		if got := p.text("tbody"); !strings.Contains(got, "Olivia Owner") || !strings.Contains(got, "First sign-in") || strings.Contains(got, "Pushed una") {
			t.Errorf("whom the list could not show it: %q", got)
		}
		if got := b.page(at + "?kind=stale&days=1").text("tbody"); got != "" {
			t.Errorf("stale: %q", got)
		}
		if got := b.page(at + "?of=groups&kind=manual").text("tbody"); !strings.Contains(got, "Night shift") {
			t.Errorf("groups: %q", got)
		}
		csv := b.get(at + ".csv?kind=manual")
		if csv.status != 200 || !strings.HasPrefix(csv.header.Get("Content-Type"), "text/csv") || !strings.Contains(csv.body, "Olivia Owner,olivia@northwind.example,"+string(h.users["Olivia Owner"])+",Active,First sign-in,") {
			t.Errorf("%d %s", csv.status, csv.body)
		}
		for query, status := range map[string]int{"?kind=weird": 422, "?kind=stale&days=0": 422, "?kind=orphaned&of=groups": 200, "?kind=orphaned": 200} {
			if got := b.get(at + query).status; got != status {
				t.Errorf("%s: %d, want %d", query, got, status)
			}
		}
		// A user administrator does not set up directories.
		for _, page := range []string{at, at + ".csv", "/o/northwind/directories/entra/wave", "/o/northwind/directories/entra/wave/undo"} {
			if got := h.as("northwind", "Adam Admin").get(page).status; got != http.StatusForbidden {
				t.Errorf("%s for a user administrator: %d", page, got)
			}
		}
	})
}

func TestWave_IsShownUndoneAndReleased(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		away := h.pushed(directory.Brake{Minimum: 2, Percent: 50}, "una", "ben", "cara", "dan")
		b, at := h.as("northwind", "Olivia Owner"), "/o/northwind/directories/entra/wave"
		if got := b.page(at).text("main"); !strings.Contains(got, "took nobody away lately") || strings.Contains(got, "Undo") {
			t.Errorf("before: %q", got)
		}
		if got := b.get(at + "/undo").status; got != http.StatusConflict {
			t.Errorf("undo of nothing: %d", got)
		}
		away("una", false)
		away("ben", true)
		h.logged(directory.Request{Method: "DELETE", Path: "/Groups/g", Status: 503, Operation: "Could not delete Crew", Detail: "none of its groups is deleted", ResourceKind: "Group"},
			directory.Request{Method: "DELETE", Path: "/Groups/g", Status: 503, Operation: "Could not delete Crew", Detail: "none of its groups is deleted", ResourceKind: "Group"})
		p := b.page(at)
		for _, want := range []string{"took 2 people away at once", "Pushed una", "Deactivated", "Pushed ben", "Deleted", "Undo all of it", "Release"} {
			if !strings.Contains(p.text("main"), want) {
				t.Errorf("%q is missing in %q", want, p.text("main"))
			}
		}
		if got := p.Find("section[aria-labelledby=held] tbody tr").Length(); got != 1 {
			t.Errorf("%d rows are held, want the one that came twice", got)
		}
		if got := b.page("/o/northwind/").Find(`a[href="` + at + `"]`).Length(); got != 1 {
			t.Errorf("the overview leads there %d times", got)
		}
		if csv := b.get(at + ".csv"); !strings.Contains(csv.body, "Pushed ben,ben,"+string(h.users["ben"])+",Deleted,") {
			t.Errorf("%s", csv.body)
		}
		// The preview says what would be, and does nothing.
		preview := b.page(at + "/undo").text("#sheet")
		if !strings.Contains(preview, "2 people can sign in again") || !strings.Contains(preview, "The brake is off") {
			t.Errorf("preview: %q", preview)
		}
		if got := b.page(at + "/release").text("#sheet"); !strings.Contains(got, "Deactivated, and stays so: 1 person") || !strings.Contains(got, "Held until now: 2 requests") {
			t.Errorf("preview of a release: %q", got)
		}
		if got := b.page(at).Find("section[aria-labelledby=departed] tbody tr").Length(); got != 2 {
			t.Errorf("after looking, %d rows", got)
		}
		got := b.post(at+"/undo", "reason", "a slip")
		if got.status != http.StatusSeeOther || got.location != at {
			t.Fatalf("undo: %d %s", got.status, got.text("main"))
		}
		if flash := b.page(at).text("main"); !strings.Contains(flash, "took nobody away lately") {
			t.Errorf("after: %q", flash)
		}
		if got := b.page("/o/northwind/users/" + string(h.users["una"])).text("main"); !strings.Contains(got, "Active") || !strings.Contains(got, "inactive there, undone by an administrator") {
			t.Errorf("una: %q", got)
		}
		// And again: this time they did leave.
		away("cara", true)
		away("dan", true)
		if got := b.post(at+"/release", "reason", "closed"); got.status != http.StatusSeeOther {
			t.Fatalf("release: %d %s", got.status, got.text("main"))
		}
		if got := b.page(at).text("main"); !strings.Contains(got, "was released") || strings.Contains(got, "Undo all") {
			t.Errorf("released: %q", got)
		}
		if got := b.post(at+"/undo", "reason", "").status; got != http.StatusConflict {
			t.Errorf("undo after the release: %d", got)
		}
		if got := h.as("northwind", "Adam Admin").post(at+"/undo", "reason", "").status; got != http.StatusForbidden {
			t.Errorf("undo by a user administrator: %d", got)
		}
	})
}

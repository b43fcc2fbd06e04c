package provisioning_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

func (w *world) wave() *store.Wave {
	w.t.Helper()
	var wave *store.Wave
	w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
		wave, err = tx.Wave(ctx, "plain")
		return err
	})
	return wave
}

func (w *world) flags() map[string]string {
	w.t.Helper()
	var flags map[string]string
	w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
		self, err := tx.Self(ctx)
		if err == nil {
			flags = self.Flags
		}
		return err
	})
	return flags
}

func (w *world) undo() store.Undone {
	w.t.Helper()
	var undone store.Undone
	w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
		undone, err = tx.UndoWave(ctx, admin, "plain", "a mistake")
		return err
	}))
	return undone
}

// braked pushes ten people, of whom the first four leave: three deactivated and one deleted. The brake is at four.
func (w *world) braked() (c *client, people []string, group string) {
	w.t.Helper()
	w.settings(directory.Settings{Brake: directory.Brake{Percent: 40, Minimum: 2}})
	c = w.plain()
	for i := range 10 {
		people = append(people, c.user(fmt.Sprintf("u%02d", i), fmt.Sprintf(`"displayName":"User %d"`, i)))
	}
	group = c.group("Crew", people[:4]...)
	w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Map(ctx, admin, store.Mapping{GroupName: "Crew", Role: "owner"})
		return err
	}))
	for i := range 3 {
		c.active(people[i], false)
	}
	if len(w.flags()) != 0 || w.wave().Holds() {
		w.t.Fatalf("braked too early: %v", w.flags())
	}
	c.do(204, "DELETE", "/Users/"+people[3], "")
	return c, people, group
}

func TestBrake_DeparturesAreDoneAndNewRightsAreHeld(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c, people, group := w.braked()
		wave := w.wave()
		if !wave.Holds() || wave.Departed != 4 || wave.Threshold != 4 || w.flags()["brake/plain"] == "" {
			t.Fatalf("not braked: %+v, %v", wave, w.flags())
		}
		// Departures go on at once.
		c.active(people[4], false)
		for _, gone := range people[:5] {
			if w.account(gone).HasAccess() {
				t.Errorf("%s has access still", gone)
			}
		}
		c.do(404, "GET", "/Users/"+people[3], "")

		// Nobody comes into a group that gives roles; the provider is told to come again, and nothing of it has happened.
		add := `{` + patchOp + `,"Operations":[{"op":"add","path":"members","value":[{"value":"` + people[9] + `"}]}]}`
		a := c.do(503, "PATCH", "/Groups/"+group, add)
		if a.header.Get("Retry-After") != "600" {
			t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
		}
		w.wantHolds(people[9])
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Map(ctx, admin, store.Mapping{GroupName: "Bridge", Role: "owner"})
			return err
		}))
		c.do(503, "POST", "/Groups", `{`+coreGroup+`,"displayName":"Bridge","members":[{"value":"`+people[9]+`"}]}`)
		// A group without roles, new people and leaving a group are no matter of it.
		other := c.group("Choir", people[9])
		c.patch(204, "/Groups/"+other, `{"op":"add","path":"members","value":[{"value":"`+people[8]+`"}]}`)
		c.patch(204, "/Groups/"+group, `{"op":"remove","path":"members[value eq \"`+people[0]+`\"]"}`)
		c.user("new")

		// It holds beyond the window until somebody decides.
		w.clock.Advance(3 * time.Hour)
		c.do(503, "PATCH", "/Groups/"+group, add)
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.ReleaseWave(ctx, admin, "plain", "they did leave")
		}))
		if w.flags()["brake/plain"] != "" {
			t.Errorf("the flag stays: %v", w.flags())
		}
		c.do(204, "PATCH", "/Groups/"+group, add)
		w.wantHolds(people[9], "owner@northwind group")
		for _, action := range []string{"directory.braked", "directory.released"} {
			if !slices.ContainsFunc(w.actions(), func(got string) bool { return got == action }) {
				t.Errorf("%s is not in the log", action)
			}
		}
	})
}

func (w *world) actions() (all []string) {
	for _, e := range w.events() {
		all = append(all, e.Action)
	}
	return all
}

func TestBrake_AWaveIsUndoneInOneStep(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c, people, group := w.braked()
		before := c.do(200, "GET", "/Users/"+people[4], "")
		if got := w.undo(); got.Restored != 4 || len(got.Left) != 0 {
			t.Fatalf("got %+v", got)
		}
		for i, back := range people[:4] {
			a := c.do(200, "GET", "/Users/"+back, "")
			// The record of who was deactivated says what the directory sent; ours is the word beside it.
			if deactivated := a.body["active"] == false; deactivated != (i < 3) || a.text("displayName") != fmt.Sprintf("User %d", i) || !slices.Equal(a.values("groups"), []string{group}) {
				t.Errorf("not as it was: %s", a.raw)
			}
			w.wantHolds(back, "owner@northwind group")
			if u := w.account(back); u.Status != directory.Active || u.KeptWithoutDirectory {
				t.Errorf("%+v", u)
			}
		}
		if after := c.do(200, "GET", "/Users/"+people[4], ""); after.raw != before.raw {
			t.Errorf("somebody else changed: %s", after.raw)
		}
		if len(w.flags()) != 0 || w.wave() != nil {
			t.Errorf("still braked: %v", w.flags())
		}
		// The directory finds the person under the id of before, and takes it away for good if it means it.
		if got := c.list("/Users", `userName eq "u03"`); !slices.Equal(got, []string{people[3]}) {
			t.Errorf("got %v", got)
		}
		c.active(people[0], false)
		if w.account(people[0]).HasAccess() {
			t.Error("a leaver was kept by what was undone before")
		}
	})
}

// What an administrator undid holds until the directory says again whether the person is active, and no longer.
func TestBrake_AnUndoneDeactivationIsNoAttribute(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c, people, _ := w.braked()
		before := c.do(200, "GET", "/Users/"+people[0], "")
		w.undo()
		if after := c.do(200, "GET", "/Users/"+people[0], ""); after.raw != before.raw || after.header.Get("ETag") != before.header.Get("ETag") {
			t.Errorf("the directory reads %s, and had sent %s", after.raw, before.raw)
		}
		if got := c.list("/Users", `active eq false`); !slices.Contains(got, people[0]) {
			t.Errorf("a filter finds %v", got)
		}
		access := func(want bool, after string) {
			t.Helper()
			if got := w.account(people[0]).HasAccess(); got != want {
				t.Errorf("%s: access %t", after, got)
			}
		}
		access(true, "undone")
		// Another word about the person is none about this.
		c.patch(200, "/Users/"+people[0], `{"op":"replace","path":"title","value":"T"}`)
		access(true, "another attribute")
		c.patch(200, "/Users/"+people[0], `{"op":"replace","path":"title","value":"T"}`)
		access(true, "the same again")
		if a := c.do(200, "GET", "/Users/"+people[0], ""); a.body["active"] != false {
			t.Errorf("not as sent: %s", a.raw)
		}
		c.active(people[0], false)
		access(false, "inactive again, which changes nothing on the record")
		if wave := w.wave(); wave == nil || wave.Departed != 1 {
			t.Errorf("no departure: %+v", wave)
		}
		// A PUT says the whole.
		c.do(200, "PUT", "/Users/"+people[1], `{`+coreUser+`,"userName":"u01","active":false}`)
		if w.account(people[1]).HasAccess() {
			t.Error("a PUT that says inactive was outvoted")
		}
		// And what the directory says itself needs no word beside it.
		c.active(people[2], true)
		c.active(people[2], false)
		if w.account(people[2]).HasAccess() {
			t.Error("what was undone once outlives the directory's own word")
		}
	})
}

// Who looks after provisioning gets a letter when the brake takes hold, once.
func TestBrake_AdministratorsAreTold(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
			tx.PutDeclaredPermission(store.DeclaredPermission{Permission: access.Permission{ID: access.ConnectionsManage}})
			tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "wirer", Name: "Wirer", Permissions: []id.Permission{access.ConnectionsManage}}})
			tx.Bump(context.Background(), "configuration")
			return nil
		}))
		wirer := w.signedIn("wirer@northwind.example", "w")
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Give(ctx, admin, store.Grant{User: id.User(wirer), Role: "wirer", Resource: "northwind"})
			return err
		}))
		w.db.Public = publicURL
		c, people, _ := w.braked()
		c.active(people[5], false)
		var letters []outbox.Delivery
		w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
			letters, err = tx.Deliveries(ctx, outbox.Mail, "", 100)
			return err
		})
		if len(letters) != 1 || letters[0].Destination != "wirer@northwind.example" {
			t.Fatalf("got %+v", letters)
		}
		m, err := w.db.Letter(letters[0])
		if err != nil || !strings.Contains(m.Subject, "plain of northwind took 4 people away") || !strings.Contains(m.Text, publicURL+"/o/northwind/directories/plain/wave") {
			t.Errorf("%v: %s\n%s", err, m.Subject, m.Text)
		}
	})
}

// Nothing is gone for good while administrators have not decided: not a deleted record with who reported to it, not a group.
func TestBrake_PurgesAreHeldUntilARelease(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.settings(directory.Settings{Brake: directory.Brake{Percent: 40, Minimum: 2}})
		c := w.plain()
		boss := c.user("boss", `"title":"Boss"`)
		report := c.user("report")
		c.patch(200, "/Users/"+report, `{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":{"value":"`+boss+`"}}`)
		other, group, empty := c.user("other"), c.group("Choir", report), c.group("Nothing")
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Map(ctx, admin, store.Mapping{GroupName: "Choir", Role: "owner"})
			return err
		}))
		c.do(204, "DELETE", "/Users/"+boss, "")
		c.active(other, false)
		if !w.wave().Holds() {
			t.Fatalf("not braked: %+v", w.wave())
		}
		a := c.do(503, "DELETE", "/Groups/"+group, "")
		if a.header.Get("Retry-After") != "600" || !strings.Contains(a.text("detail"), "no group that gives or restricts anything is deleted") {
			t.Errorf("got %s", a.raw)
		}
		c.patch(204, "/Groups/"+group, `{"op":"remove","path":"members"}`)
		c.do(204, "DELETE", "/Groups/"+empty, "") // with it goes nothing of ours

		// No clean-up takes what a decision may need, however long that takes.
		clean := func() {
			t.Helper()
			w.clock.Advance(30 * 24 * time.Hour)
			if _, err := w.db.Cleanup(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		clean()
		if got := w.undo(); got.Restored != 2 {
			t.Fatalf("got %+v", got)
		}
		if a := c.do(200, "GET", "/Users/"+boss, ""); a.text("title") != "Boss" {
			t.Errorf("not as it was: %s", a.raw)
		}
		if a := c.do(200, "GET", "/Users/"+report, ""); !strings.Contains(a.raw, `"manager":{"value":"`+boss) {
			t.Errorf("without the manager: %s", a.raw)
		}

		// After a release nothing is kept.
		c.do(204, "DELETE", "/Users/"+boss, "")
		c.active(other, false)
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.ReleaseWave(ctx, admin, "plain", "they left") }))
		if got := w.departures(); len(got) != 0 {
			t.Errorf("kept after the release: %+v", got)
		}
		if err := w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.UndoWave(ctx, admin, "plain", "")
			return err
		}); fault.KindOf(err) != fault.Conflict {
			t.Errorf("undone after the release: %v", err)
		}
		c.do(204, "DELETE", "/Groups/"+group, "")

		// And a wave that was none is purged a day after its window.
		clean()
		c.do(204, "DELETE", "/Users/"+report, "")
		if got := w.departures(); len(got) != 1 || !got[0].Deleted || got[0].UserName != "report" {
			t.Errorf("got %+v", got)
		}
		clean()
		if got := w.departures(); len(got) != 0 || w.wave() != nil {
			t.Errorf("kept: %+v", got)
		}
	})
}

func (w *world) departures() []store.Departed {
	w.t.Helper()
	var list []store.Departed
	w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
		list, err = tx.Departures(ctx, "plain", 0, 100)
		return err
	})
	return list
}

func TestBrake_WhoseNameIsTakenStaysAway(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c, people, _ := w.braked()
		again := c.user("u03")
		got := w.undo()
		if got.Restored != 3 || len(got.Left) != 1 || got.Left[w.account(people[3]).ID] == "" {
			t.Errorf("got %+v", got)
		}
		if !w.account(again).HasAccess() || w.account(people[3]).Status != directory.Deleted {
			t.Error("the one who holds the name lost it")
		}
	})
}

// A few who leave day by day are no wave.
func TestBrake_AWindowEnds(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.settings(directory.Settings{Brake: directory.Brake{Percent: 1, Minimum: 2, WindowSeconds: 60}})
		c := w.plain()
		for i := range 6 {
			c.active(c.user(fmt.Sprintf("u%d", i)), false)
			w.clock.Advance(2 * time.Minute)
		}
		if wave := w.wave(); wave.Departed != 1 || wave.Holds() {
			t.Errorf("got %+v", wave)
		}
	})
}

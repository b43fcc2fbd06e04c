package provisioning_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
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
			if a.body["active"] != true || a.text("displayName") != fmt.Sprintf("User %d", i) || !slices.Equal(a.values("groups"), []string{group}) {
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

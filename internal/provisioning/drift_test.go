package provisioning_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

func TestDrift_NamesWhoIsHereForWhatReason(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		old := c.user("old")
		left, manual := c.user("left"), w.signedIn("jit@x.org", "k")
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.KeepWithoutDirectory(ctx, id.User(left), true, admin, "")
		}))
		c.do(204, "DELETE", "/Users/"+left, "")
		gone := c.user("gone")
		c.do(204, "DELETE", "/Users/"+gone, "")
		w.clock.Advance(100 * 24 * time.Hour)
		fresh := c.user("fresh")
		_ = w.entra().user("elsewhere")

		drifted := func(kind store.Drift, after string, limit int) []string {
			t.Helper()
			out := []string{}
			w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
				list, err := tx.Drifted(ctx, store.DriftQuery{Directory: "plain", Kind: kind, Before: w.clock.Now().AddDate(0, 0, -90), Limit: limit}, id.User(after))
				for _, d := range list {
					out = append(out, string(d.User))
				}
				return err
			})
			return out
		}
		for kind, want := range map[store.Drift][]string{
			store.DriftManual: {manual}, store.DriftOrphaned: {left}, store.DriftStale: {old},
		} {
			if diff := cmp.Diff(drifted(kind, "", 10), want); diff != "" {
				t.Errorf("%s: %s", kind, diff)
			}
			if got := drifted(kind, want[0], 10); len(got) != 0 {
				t.Errorf("%s behind the last: %v", kind, got)
			}
		}
		// Who has been changed, or was here, is not stale.
		c.patch(200, "/Users/"+old, `{"op":"replace","path":"title","value":"T"}`)
		if got := drifted(store.DriftStale, "", 10); len(got) != 0 {
			t.Errorf("got %v, with %s", got, fresh)
		}
	})
}

// A full walk is a list that was read to its end, or a pass that named nearly everybody.
func TestDrift_KnowsAFullWalk(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		var people []string
		for i := range 6 {
			people = append(people, c.user(fmt.Sprintf("u%d", i)))
		}
		groups := []string{c.group("A"), c.group("B")}
		manual := w.signedIn("jit@x.org", "k")
		w.log("plain")
		w.clock.Advance(time.Hour)

		walks := func(groups bool) []store.Walk {
			t.Helper()
			w.log("plain") // what was asked is noted
			var list []store.Walk
			w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
				list, err = tx.Walks(ctx, "plain", groups)
				return err
			})
			return list
		}
		unseen := func(walk store.Walk) (out []string) {
			t.Helper()
			w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
				list, err := tx.Drifted(ctx, store.DriftQuery{Directory: "plain", Kind: store.DriftUnseen, Walk: walk, Limit: 10}, "")
				for _, d := range list {
					out = append(out, string(d.User))
				}
				return err
			})
			return out
		}
		// The first push names everybody.
		if got := walks(false); len(got) != 1 || got[0].Means != store.WalkNamed || got[0].Seen != 6 || len(unseen(got[0])) != 0 {
			t.Fatalf("first push: %+v", got)
		}

		// Parts of a list are no walk: a page, one found by a filter, a jump.
		began := w.clock.Now()
		c.do(200, "GET", "/Users?count=2", "")
		c.do(200, "GET", `/Users?filter=active eq true`, "")
		c.do(200, "GET", "/Users?startIndex=5&count=4", "")
		if got := walks(false); len(got) != 1 {
			t.Fatalf("a part: %+v", got)
		}
		for start := 1; start <= 6; start += 2 {
			c.do(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=2", start), "")
			w.clock.Advance(time.Second)
		}
		listed := walks(false)
		if len(listed) != 2 || listed[0].Means != store.WalkListed || listed[0].Seen != 6 || !listed[0].Started.Equal(began) {
			t.Fatalf("by index: %+v", listed)
		}
		if diff := cmp.Diff(unseen(listed[0]), []string{manual}); diff != "" {
			t.Error(diff)
		}
		began = w.clock.Now()
		next := ""
		for range 3 {
			next = c.do(200, "GET", "/Users?count=2&cursor="+next, "").text("nextCursor")
			w.clock.Advance(time.Second)
		}
		if got := walks(false); next != "" || !got[0].Started.Equal(began) {
			t.Errorf("by cursor: %+v", got)
		}

		// A resynchronization: five of six are looked up, sent again, or read, and one is not.
		w.clock.Advance(time.Hour)
		began = w.clock.Now()
		c.list("/Users", `userName eq "u0"`)
		c.do(200, "PUT", "/Users/"+people[1], `{`+coreUser+`,"userName":"u1"}`)
		c.patch(200, "/Users/"+people[2], `{"op":"replace","path":"title","value":"T"}`)
		c.do(200, "GET", "/Users/"+people[3], "")
		w.log("plain")
		w.clock.Advance(10 * time.Minute)
		c.active(people[4], true)
		c.do(200, "GET", "/Groups/"+groups[0], "")
		c.list("/Groups", `displayName eq "b"`)
		if got := walks(false); got[0].Means != store.WalkListed {
			t.Errorf("judged while it goes on: %+v", got)
		}
		w.clock.Advance(20 * time.Minute)
		got := walks(false)
		if got[0].Means != store.WalkNamed || got[0].Seen != 5 || !got[0].Started.Equal(began) {
			t.Fatalf("resynchronization: %+v", got)
		}
		if diff := cmp.Diff(unseen(got[0]), []string{people[5]}); diff != "" {
			t.Error(diff)
		}
		if got := walks(true); len(got) != 1 || got[0].Seen != 2 {
			t.Errorf("groups: %+v", got)
		}

		// Two of six who change are none, and leave the last one as it was.
		w.clock.Advance(time.Hour)
		c.list("/Users", `userName eq "u0"`)
		c.list("/Users", `userName eq "u5"`)
		w.log("plain")
		w.clock.Advance(time.Hour)
		if again := walks(false); !again[0].Started.Equal(got[0].Started) {
			t.Errorf("an ordinary cycle: %+v", again)
		}
	})
}

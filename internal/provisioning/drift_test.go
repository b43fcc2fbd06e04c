package provisioning_test

import (
	"context"
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

package provisioning_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Every repair is counted by kind, with when it came first and last, and stays so when the log of requests is cleared.
func TestRepairs_AreCountedByKind(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		first := w.clock.Now().UTC()
		user := c.user("ann", `"active":"True","shoeSize":7`)
		w.log("entra")
		w.clock.Advance(time.Minute)
		c.patch(200, "/Users/"+user, `{"op":"Replace","path":"active","value":"False"},{"op":"Add","path":"emails[type eq \"work\"].value","value":"a@x"}`)
		last := w.clock.Now().UTC()
		w.plain().user("ben")
		w.log("entra")
		w.log("plain")
		for dir, want := range map[string][]store.Repaired{
			"entra": {
				{Deviation: "boolean-strings", Times: 2, First: first, Latest: last},
				{Deviation: "create-on-miss", Times: 1, First: last, Latest: last},
				{Deviation: "unknown-attribute", Times: 1, First: first, Latest: first},
			},
			"plain": nil,
		} {
			w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
				got, err := tx.Repairs(ctx, id.Directory(dir))
				if diff := cmp.Diff(got, want); diff != "" {
					t.Errorf("%s: got -, want +:\n%s", dir, diff)
				}
				return err
			})
		}
		// Of another organization's directory of the same name nothing is told.
		w.must(w.db.Read(context.Background(), "fieldserv", func(tx *store.Tx) error {
			got, err := tx.Repairs(context.Background(), "entra")
			if len(got) > 0 {
				t.Errorf("got %v", got)
			}
			return err
		}))
	})
}

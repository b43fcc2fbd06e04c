package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func version(t *testing.T, db *store.DB, name string) int64 {
	t.Helper()
	v, err := db.Version(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func bump(t *testing.T, db *store.DB, name string) {
	t.Helper()
	err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
		tx.Bump(t.Context(), name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVersion_OwnChangeIsSeenAtOnceAndAnotherNodesSoon(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.URL(t, kind)
		here, there := storetest.OpenURL(t, url), storetest.OpenURL(t, url)
		before, other := version(t, here, "configuration"), version(t, here, "keys")
		if got := version(t, there, "configuration"); got != before {
			t.Fatalf("got %d and %d on two nodes", before, got)
		}
		bump(t, here, "configuration")
		if got := version(t, here, "configuration"); got != before+1 {
			t.Errorf("got %d after our own change, want %d", got, before+1)
		}
		deadline := time.Now().Add(5 * time.Second)
		for version(t, there, "configuration") != before+1 {
			if time.Now().After(deadline) {
				t.Fatal("the other node still believes the old version")
			}
		}
		if got := version(t, here, "keys"); got != other {
			t.Errorf("got %d for what nobody changed, want %d", got, other)
		}
		if got := version(t, here, "unheard of"); got != 0 {
			t.Errorf("got %d for a name nobody ever bumped, want 0", got)
		}
	})
}

func TestVersion_RolledBackChangeChangesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		before := version(t, db, "configuration")
		_ = db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.Bump(t.Context(), "configuration")
			return errRefused
		})
		if got := version(t, db, "configuration"); got != before {
			t.Errorf("got %d, want %d", got, before)
		}
	})
}

func TestVersion_WhoeverAsksAfterAChangeSeesIt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.Version(ctx, "keys"); err == nil {
			t.Error("a cancelled caller got a version that was not read")
		}
		start := version(t, db, "keys")
		// Reads that began before a change must not be shared with who asks after it.
		for i := range int64(30) {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { version(t, db, "keys") })
			}
			bump(t, db, "keys")
			if got, want := version(t, db, "keys"), start+i+1; got != want {
				t.Errorf("got %d, want %d", got, want)
			}
			wg.Wait()
		}
	})
}

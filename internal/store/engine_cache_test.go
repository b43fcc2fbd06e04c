package store_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// named caches the organization's name, counting how often it is read.
func named(db *store.DB, loads *atomic.Int64) *store.Cache {
	return store.NewOrganizationCache(db, func(ctx context.Context, key string) (name string, err error) {
		loads.Add(1)
		err = db.Read(ctx, id.Organization(key), func(tx *store.Tx) error {
			return tx.LastRow(ctx, "select name from organizations where organization = $1", tx.Organization).Scan(&name)
		})
		return name, err
	})
}

func rename(t *testing.T, db *store.DB, o id.Organization, name string) {
	t.Helper()
	err := db.Write(t.Context(), o, func(tx *store.Tx) error {
		tx.Queue("update organizations set name = $1 where organization = $2", name, tx.Organization)
		tx.BumpOrganization(t.Context())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCache_OwnChangeIsSeenAtOnceAndAnotherNodesSoon(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.URL(t, kind)
		here, there := storetest.OpenURL(t, url), storetest.OpenURL(t, url)
		organization(t, here, "northwind")
		organization(t, here, "eastwind")
		var hereLoads, thereLoads atomic.Int64
		ours, theirs := named(here, &hereLoads), named(there, &thereLoads)
		get := func(c *store.Cache, key string) string {
			t.Helper()
			v, err := c.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if a, b := get(ours, "northwind"), get(theirs, "northwind"); a != "northwind" || b != "northwind" {
			t.Fatalf("got %q and %q", a, b)
		}
		get(ours, "eastwind")
		rename(t, here, "northwind", "Northwind Traders")
		if got := get(ours, "northwind"); got != "Northwind Traders" {
			t.Errorf("got %q after our own change", got)
		}
		deadline := time.Now().Add(5 * time.Second)
		for get(theirs, "northwind") != "Northwind Traders" {
			if time.Now().After(deadline) {
				t.Fatal("the other node still shows the old name")
			}
		}
		get(ours, "eastwind")
		for range 100 {
			get(ours, "northwind")
			get(theirs, "northwind")
		}
		if a, b := hereLoads.Load(), thereLoads.Load(); a != 3 || b != 2 {
			t.Errorf("loaded %d times here and %d there, want 3 (two organizations, one change) and 2", a, b)
		}
	})
}

func TestCache_ManyWhoWaitShareOneLoad(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		release := make(chan struct{})
		var loads atomic.Int64
		c := store.NewOrganizationCache(db, func(context.Context, string) (string, error) {
			loads.Add(1)
			<-release
			return "loaded", nil
		})
		organization(t, db, "northwind")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if v, err := c.Get(t.Context(), "northwind"); v != "loaded" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
			})
		}
		// One who gives up leaves the others their load.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Get(ctx, "northwind"); err == nil {
			t.Error("a cancelled caller got a value that was not loaded")
		}
		for loads.Load() == 0 {
			runtime.Gosched()
		}
		close(release)
		wg.Wait()
		if got := loads.Load(); got != 1 {
			t.Errorf("loaded %d times, want once", got)
		}
	})
}

package store_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/migrations"
)

func TestOpen_ManyAtOnceOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.EmptyURL(t, kind)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				db, err := store.Open(t.Context(), store.Options{URL: url, Keys: storetest.Keys(), Migrate: true, MaxConns: 2})
				if err != nil {
					t.Error(err)
					return
				}
				defer db.Close()
				if err := db.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestOpen_EmptyPostgreSQLIsNotMigratedUnasked(t *testing.T) {
	t.Parallel()
	_, err := store.Open(t.Context(), store.Options{URL: storetest.EmptyURL(t, storetest.Postgres)})
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "vestibule migrate") {
		t.Errorf("got %v, want the advice to migrate", err)
	}
}

func TestOpen_SchemaThatServesThisBinaryNoLongerIsRefused(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.URL(t, kind)
		db := storetest.OpenURL(t, url)
		set := func(version, oldest int64) {
			t.Helper()
			err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
				tx.Queue("update schema_info set schema_version = $1, oldest_binary = $2", version, oldest)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		latest := migrations.Latest()
		// A newer schema that still serves us: the neighbour was upgraded first.
		set(latest+2, latest)
		if err := db.Ready(t.Context()); err != nil {
			t.Errorf("got %v, want a newer schema that serves us to do", err)
		}
		storetest.OpenURL(t, url)
		set(latest+2, latest+1)
		if err := db.Ready(t.Context()); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v, want a running node to be no longer ready", err)
		}
		_, err := store.Open(t.Context(), store.Options{URL: url, Keys: storetest.Keys()})
		if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "newer release") {
			t.Errorf("got %v, want a refusal that advises a newer release", err)
		}
	})
}

func TestOpen_UnusableAddressIsRefusedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "mysql://root:secret@db/x", "sqlite:", "sqlite:/nowhere/at/all.db", "postgres://vestibule:secret@127.0.0.1:1/x?connect_timeout=1",
		"postgres://vestibule:secret@127.0.0.1:1/x?pool=session", "postgres://vestibule:secret@127.0.0.1:%zz/x",
	} {
		_, err := store.Open(t.Context(), store.Options{URL: url})
		if err == nil {
			t.Errorf("%q was opened", url)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("got %q, which tells the password", err)
		}
	}
}

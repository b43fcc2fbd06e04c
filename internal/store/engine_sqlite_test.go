package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// What undoes a whole batch is SQLite's alone: PostgreSQL shares no commit. The promise is the same one for both, and
// TestWrite_ManyAtOnceAndEachStandsOrFallsAlone holds them to it.
func TestGroupCommit_WhatUndoesTheBatchFailsOnlyItsCause(t *testing.T) {
	t.Parallel()
	for name, break_ := range map[string]func(t *testing.T, tx *store.Tx){
		// A constraint with this clause makes SQLite roll back everything by itself, as a full disk does.
		"SQLite rolls back by itself": func(t *testing.T, tx *store.Tx) {
			_, _ = tx.Exec(t.Context(), "insert or rollback into organizations select * from organizations")
		},
		// The constraint is looked at only at the commit, which then fails for all.
		"the commit fails": func(t *testing.T, tx *store.Tx) {
			tx.Queue("pragma defer_foreign_keys = 1")
			tx.Queue(insertResource, "nowhere", "hamburg")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t, storetest.SQLite)
			organization(t, db, "northwind")
			inside, goOn := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = db.Write(t.Context(), "northwind", func(*store.Tx) error {
					close(inside)
					<-goOn
					return nil
				})
			})
			<-inside
			// Everybody else queues up behind the first, and so shares a commit.
			runs := make([]int, 10)
			var want []string
			queued := make(chan struct{}, len(runs))
			for i := range runs {
				site := fmt.Sprintf("site-%d", i)
				if i != 5 {
					want = append(want, site)
				}
				wg.Go(func() {
					queued <- struct{}{}
					err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
						runs[i]++
						tx.Queue(insertResource, tx.Organization, site)
						if i == 5 {
							break_(t, tx)
						}
						return nil
					})
					switch {
					case i != 5 && err != nil:
						t.Errorf("%s: got %v, though it did nothing wrong", site, err)
					case i == 5 && fault.KindOf(err) != fault.Conflict:
						t.Errorf("%s: got %v, want a conflict", site, err)
					}
				})
			}
			for range runs {
				<-queued
			}
			close(goOn)
			wg.Wait()
			if diff := cmp.Diff(want, resources(t, db, "northwind")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOpen_NewFileIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	// A path may hold what means something in a URL.
	path := filepath.Join(t.TempDir(), "a store, 100%?#&.db")
	db := storetest.OpenURL(t, "sqlite:"+path)
	organization(t, db, "northwind")
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has the mode %o, want 600", name, got)
		}
	}
}

// SQLite refuses a log at once, without the wait it keeps for everything else, to who asks while another writes the first page.
func TestOpen_WaitsForWhoMakesTheSameFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vestibule.db")
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "create table first (a)"); err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	time.AfterFunc(100*time.Millisecond, func() { released <- tx.Rollback() })
	storetest.OpenURL(t, "sqlite:"+path)
	if err := <-released; err != nil {
		t.Error(err)
	}
}

// What was answered must survive a power cut: nothing less than a synced log will do.
func TestOpen_EveryConnectionIsDurableAndHoldsReferences(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	organization(t, db, "northwind")
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
		for door, run := range map[string]func(context.Context, id.Organization, func(*store.Tx) error) error{"read": db.Read, "write": db.Write} {
			var got string
			err := run(t.Context(), "northwind", func(tx *store.Tx) error {
				return tx.Row(t.Context(), "pragma "+pragma).Scan(&got)
			})
			if err != nil || got != want {
				t.Errorf("%s, %s: got %q (%v), want %q", door, pragma, got, err, want)
			}
		}
	}
}

// Without being told what memberships are like SQLite read those of the whole organization for the groups of one person.
func TestSQLite_FindsAMembershipByItsMember(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
		var a, b, c int
		var plan string
		err := tx.Row(t.Context(), `
			explain query plan
			select m.group_id
			from group_members m
			where m.organization = $1
				and m.member_id = $2
				and m.source = 'scim'`, "northwind", "usr_1").Scan(&a, &b, &c, &plan)
		if !strings.Contains(plan, "group_members_member (organization=? AND member_id=?)") {
			t.Errorf("it goes by %s", plan)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A statement's arguments may stand in it in any order, more than once or not at all, and what is quoted is none of them.
func TestSQLite_ReadsArgumentsByTheirNumber(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
		var got string
		err := tx.Row(t.Context(), `select $10 || $2 || '$1 it''s $1' || $2 || 1 as "$3"`, "1", "2", "3", "4", "5", "6", "7", "8", "9", "10").Scan(&got)
		if want := "102$1 it's $121"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := tx.Row(t.Context(), `select $2`, "1").Scan(&got); err == nil {
			t.Error("an argument that is missing was not missed")
		}
		return err
	})
	if err == nil {
		t.Error("the transaction was kept")
	}
}

// A full disk is the store's trouble and not the caller's: whoever pushes is asked to come again, and is served once there is room.
func TestSQLite_AFullDiskAsksToComeAgain(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	organization(t, db, "northwind")
	pages := func(limit string) {
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			var n int
			return tx.Row(t.Context(), "pragma max_page_count = "+limit).Scan(&n)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	grow := func() error {
		return db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, strings.Repeat("x", 1<<20))
			return nil
		})
	}
	pages("1") // SQLite takes it as: no page more than there are
	if err := grow(); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want that the store is unavailable", err)
	}
	pages("1000000")
	if err := grow(); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

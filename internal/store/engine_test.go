package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const insertOrganization = `
	insert into organizations (organization, name, settings, flags, version, created)
	values ($1, $2, '{}', '{}', 1, 1)`

const insertResource = `
	insert into resources (organization, id, type, name, position, created)
	values ($1, $2, 'site', $2, 0, 1)`

func organization(t *testing.T, db *store.DB, o id.Organization) {
	t.Helper()
	err := db.Write(t.Context(), o, func(tx *store.Tx) error {
		tx.Queue(insertOrganization, tx.Organization, string(o))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// resources gives the ids of the organization's resources.
func resources(t *testing.T, db *store.DB, o id.Organization) []string {
	t.Helper()
	var ids []string
	err := db.Read(t.Context(), o, func(tx *store.Tx) error {
		rows, err := tx.Query(t.Context(), "select id from resources where organization = $1 order by id", tx.Organization)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r string
			if err := rows.Scan(&r); err != nil {
				return err
			}
			ids = append(ids, r)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

var errRefused = errors.New("refused by the closure")

func TestWrite_ClosureThatAnswersAnErrorLeavesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			if _, err := tx.Exec(t.Context(), insertResource, tx.Organization, "hamburg"); err != nil {
				return err
			}
			tx.Queue(insertResource, tx.Organization, "berlin")
			tx.Record(t.Context(), audit.Event{Action: "resource.created"})
			return errRefused
		})
		if !errors.Is(err, errRefused) {
			t.Errorf("got %v, want the closure's own error", err)
		}
		if got := resources(t, db, "northwind"); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
		if got := events(t, db, "northwind", store.AuditFilter{}); len(got) != 0 {
			t.Errorf("got %d events, want none of what did not happen", len(got))
		}
	})
}

func TestWrite_QueuedViolationIsRefusedWithASentence(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		for name, write := range map[string]func(tx *store.Tx) error{
			"queued": func(tx *store.Tx) error {
				tx.Queue(insertOrganization, "northwind", "again")
				return nil
			},
			"executed": func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), insertOrganization, "northwind", "again")
				if fault.KindOf(err) != fault.Conflict {
					t.Errorf("inside: got %v, want a conflict", err)
				}
				return err
			},
			"returning": func(tx *store.Tx) error {
				var name string
				err := tx.Row(t.Context(), insertOrganization+" returning name", "northwind", "again").Scan(&name)
				if fault.KindOf(err) != fault.Conflict {
					t.Errorf("inside: got %v, want a conflict", err)
				}
				return err
			},
		} {
			err := db.Write(t.Context(), "northwind", write)
			if got := fault.KindOf(err); got != fault.Conflict {
				t.Fatalf("%s: got %v (%v), want a conflict", name, got, err)
			}
			if got, want := fault.As(err).Message, "An organization with this id exists already."; got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		err := db.Write(t.Context(), "nowhere", func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, "hamburg")
			return nil
		})
		if got := fault.KindOf(err); got != fault.Conflict {
			t.Errorf("got %v, want a conflict with the organization that does not exist", err)
		}
	})
}

// A closure that overlooks a failed statement must not commit the rest of its work.
func TestWrite_OverlookedFailureIsNotCommitted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			_, _ = tx.Exec(t.Context(), insertResource, tx.Organization, "hamburg")
			_, _ = tx.Exec(t.Context(), insertResource, tx.Organization, "hamburg")
			if _, err := tx.Exec(t.Context(), insertResource, tx.Organization, "berlin"); err == nil {
				t.Error("a statement after the failed one was run")
			}
			return nil
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("got %v, want the failed statement's conflict", err)
		}
		if got := resources(t, db, "northwind"); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	})
}

func TestWrite_ManyAtOnceAndEachStandsOrFallsAlone(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		var want []string
		var wg sync.WaitGroup
		for i := range 200 {
			name := fmt.Sprintf("site-%03d", i)
			if i%4 == 0 {
				want = append(want, name)
			}
			wg.Go(func() {
				defer func() { _ = recover() }() // i%4 == 3
				err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
					tx.Queue(insertResource, tx.Organization, name)
					switch i % 4 {
					case 1: // breaks a constraint
						tx.Queue(insertResource, tx.Organization, name)
					case 2: // thinks better of it
						return errRefused
					case 3:
						panic("attack")
					}
					return nil
				})
				if (err == nil) != (i%4 == 0) {
					t.Errorf("%s: got %v", name, err)
				}
			})
		}
		wg.Wait()
		if diff := cmp.Diff(want, resources(t, db, "northwind")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWrite_PanicReachesTheCallerAndLeavesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		for name, leave := range map[string]func(){
			"panic":  func() { panic("attack") },
			"goexit": runtime.Goexit,
		} {
			var wg sync.WaitGroup
			var got any
			wg.Go(func() {
				defer func() { got = recover() }()
				_ = db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
					if _, err := tx.Exec(t.Context(), insertResource, tx.Organization, name); err != nil {
						t.Error(err)
					}
					leave()
					return nil
				})
				t.Errorf("%s: the write returned", name)
			})
			wg.Wait()
			if name == "panic" && got != "attack" {
				t.Errorf("got %v, want the closure's panic", got)
			}
		}
		if got := resources(t, db, "northwind"); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	})
}

func TestWrite_CancelledRequestIsNotRun(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		ctx, cancel := context.WithCancel(t.Context())
		inside, goOn := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		// With one connection to write on, the second request waits behind the first.
		wg.Go(func() {
			_ = db.Write(t.Context(), "northwind", func(*store.Tx) error {
				close(inside)
				<-goOn
				return nil
			})
		})
		<-inside
		wg.Go(func() {
			err := db.Write(ctx, "northwind", func(*store.Tx) error {
				t.Error("the cancelled request was run")
				return nil
			})
			if fault.KindOf(err) != fault.Unavailable || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want it cancelled", err)
			}
		})
		cancel()
		close(goOn)
		wg.Wait()
	}, storetest.With(func(o *store.Options) { o.MaxConns = 1 }))
}

func TestWrite_CallerWhoLeftKeepsNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, "northwind", func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, "hamburg")
			cancel()
			return nil
		})
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v, want it unavailable", err)
		}
		if got := resources(t, db, "northwind"); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	})
}

func TestTransaction_InsideAnotherOnesClosureFailsLoudly(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		nested := map[string]func() error{
			"read":   func() error { return db.Read(t.Context(), "northwind", func(*store.Tx) error { return nil }) },
			"write":  func() error { return db.Write(t.Context(), "northwind", func(*store.Tx) error { return nil }) },
			"system": func() error { return db.System().Read(t.Context(), func(*store.SystemTx) error { return nil }) },
			"version": func() error {
				_, err := db.Version(t.Context(), "configuration")
				return err
			},
		}
		for name, inner := range nested {
			for kind, outer := range map[string]func(context.Context, id.Organization, func(*store.Tx) error) error{"read": db.Read, "write": db.Write} {
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("%s inside %s did not panic", name, kind)
						}
					}()
					_ = outer(t.Context(), "northwind", func(*store.Tx) error { return inner() })
				}()
			}
		}
	}, storetest.With(func(o *store.Options) { o.MaxConns = 1 }))
}

func TestTransaction_OneConnectionIsEnough(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
					if _, err := tx.Exec(t.Context(), insertResource, tx.Organization, fmt.Sprint(i)); err != nil {
						return err
					}
					tx.Record(t.Context(), audit.Event{Action: "resource.created"})
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				resources(t, db, "northwind")
			})
		}
		wg.Wait()
		if got := len(resources(t, db, "northwind")); got != 50 {
			t.Errorf("got %d resources, want 50", got)
		}
	}, storetest.With(func(o *store.Options) { o.MaxConns = 1 }))
}

// Transactions that take the same rows in opposite orders deadlock on PostgreSQL; its victims run again.
func TestWrite_VictimsOfADeadlockRunAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, "a")
			tx.Queue(insertResource, tx.Organization, "b")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		const add = "update resources set position = position + 1 where organization = $1 and id = $2"
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				for range 20 {
					err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
						order := []string{"a", "b"}
						for j := range order {
							if _, err := tx.Exec(t.Context(), add, tx.Organization, order[(i+j)%2]); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var sum int
		err = db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			return tx.LastRow(t.Context(), "select sum(position) from resources where organization = $1", tx.Organization).Scan(&sum)
		})
		if err != nil || sum != 80 {
			t.Errorf("got %d, %v, want every addition once: 80", sum, err)
		}
	})
}

func TestLock_KeepsReadAndWriteTogether(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				// The rule "at most three" holds over rows that no constraint joins.
				_ = db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
					tx.Lock(t.Context(), "resources")
					var n int
					if err := tx.Row(t.Context(), "select count(*) from resources where organization = $1", tx.Organization).Scan(&n); err != nil {
						return err
					}
					if n >= 3 {
						return errRefused
					}
					tx.Queue(insertResource, tx.Organization, fmt.Sprint(i))
					return nil
				})
			})
		}
		wg.Wait()
		if got := len(resources(t, db, "northwind")); got != 3 {
			t.Errorf("got %d, want 3", got)
		}
	})
}

func TestRead_SeesOneMoment(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			const count = "select count(*) from resources where organization = $1"
			var before, after int
			if err := tx.Row(t.Context(), count, tx.Organization).Scan(&before); err != nil {
				return err
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
					tx.Queue(insertResource, tx.Organization, "late")
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			if err := tx.Row(t.Context(), count, tx.Organization).Scan(&after); err != nil {
				return err
			}
			if before != 0 || after != 0 {
				t.Errorf("got %d and %d in one transaction, want 0 twice", before, after)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestRead_WritesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), insertResource, tx.Organization, "hamburg")
			return err
		})
		if err == nil {
			t.Error("a reading transaction wrote")
		}
		err = db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, "hamburg")
			return nil
		})
		if err == nil {
			t.Error("a reading transaction wrote what it had queued")
		}
		if got := resources(t, db, "northwind"); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	})
}

func TestRead_LastRowAnswersWhatIsThereAndWhatIsNot(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		for range 3 {
			err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				var name string
				err := tx.LastRow(t.Context(), "select name from organizations where organization = $1", tx.Organization).Scan(&name)
				if err != nil || name != "northwind" {
					t.Errorf("got %q, %v", name, err)
				}
				// It was not the last one after all: that only costs a round trip.
				err = tx.Row(t.Context(), "select name from organizations where organization = $1", "eastwind").Scan(&name)
				if !errors.Is(err, store.ErrNoRows) {
					t.Errorf("got %v, want no rows", err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestQuery_StatementWhileRowsAreOpenIsRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			rows, err := tx.Query(t.Context(), "select name from organizations")
			if err != nil {
				return err
			}
			defer rows.Close()
			rows.Next()
			var n int
			return tx.Row(t.Context(), "select 1").Scan(&n)
		})
		if err == nil {
			t.Error("a second statement was run while rows were open; on one store alone that would pass")
		}
		// Rows left open end with their transaction.
		for range 10 {
			err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				rows, err := tx.Query(t.Context(), "select name from organizations")
				if err == nil {
					rows.Next()
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// Two nodes, or a node and a command, on one store.
func TestWrite_TwoStoresOnOneDatabase(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.URL(t, kind)
		nodes := []*store.DB{storetest.OpenURL(t, url), storetest.OpenURL(t, url)}
		organization(t, nodes[0], "northwind")
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				err := nodes[i%2].Write(t.Context(), "northwind", func(tx *store.Tx) error {
					tx.Queue(insertResource, tx.Organization, fmt.Sprint(i))
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, db := range nodes {
			if got := len(resources(t, db, "northwind")); got != 60 {
				t.Errorf("got %d, want 60", got)
			}
		}
	})
}

func TestClose_WhatWaitsIsDoneAndWhatComesIsRefused(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.URL(t, kind)
		db := storetest.OpenURL(t, url)
		organization(t, db, "northwind")
		var wg sync.WaitGroup
		started := make(chan struct{}, 20)
		var mu sync.Mutex
		done := 0
		for i := range 20 {
			wg.Go(func() {
				err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
					started <- struct{}{}
					tx.Queue(insertResource, tx.Organization, fmt.Sprint(i))
					return nil
				})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done++
				}
			})
		}
		<-started
		db.Close()
		wg.Wait()
		if err := db.Write(t.Context(), "northwind", func(*store.Tx) error { return nil }); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("write after close: got %v, want it unavailable", err)
		}
		if err := db.Read(t.Context(), "northwind", func(*store.Tx) error { return nil }); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("read after close: got %v, want it unavailable", err)
		}
		again := storetest.OpenURL(t, url)
		if got := len(resources(t, again, "northwind")); got != done || done == 0 {
			t.Errorf("%d writes were told they are kept, %d are", done, got)
		}
	})
}

// A caller who leaves takes the statement along, and the connection serves the next one.
func TestRead_CancelledStatementEnds(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			err := db.Read(ctx, "northwind", func(tx *store.Tx) error {
				var n int
				return tx.Row(ctx, `
					with recursive endless (n) as (
						select 1
						union all
						select 1 - n
						from endless
					)
					select count(*) from endless`).Scan(&n)
			})
			cancel()
			if fault.KindOf(err) != fault.Unavailable {
				t.Errorf("got %v, want it unavailable", err)
			}
			if got := resources(t, db, "northwind"); len(got) != 0 {
				t.Errorf("got %v", got)
			}
		}
	}, storetest.With(func(o *store.Options) { o.MaxConns = 1 }))
}

package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestTry_KeepsNothingAndMeetsTheRulesOfTheSchema(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		ran := 0
		err := db.Try(t.Context(), "northwind", func(tx *store.Tx) error {
			ran++
			if _, err := tx.Exec(t.Context(), insertResource, tx.Organization, "hamburg"); err != nil {
				return err
			}
			tx.Queue(insertResource, tx.Organization, "berlin")
			tx.Record(t.Context(), audit.Event{Action: "resource.created", TargetID: "berlin"})
			if got := tx.Recorded(); len(got) != 1 || got[0].TargetID != "berlin" {
				t.Errorf("recorded: %v", got)
			}
			return nil
		})
		if err != nil || ran == 0 {
			t.Fatalf("ran %d times: %v", ran, err)
		}
		if diff := cmp.Diff(resources(t, db, "northwind"), []string(nil)); diff != "" {
			t.Errorf("something stayed: %s", diff)
		}
		var events []audit.Event
		if err := db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			events, err = tx.Events(t.Context(), store.AuditFilter{})
			return err
		}); err != nil || len(events) != 0 {
			t.Errorf("events: %v, %v", events, err)
		}

		// What is only queued is refused here as it would be at the commit.
		err = db.Try(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, "berlin")
			tx.Queue(insertResource, tx.Organization, "berlin")
			return nil
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("the same id twice: %v", err)
		}
		if err := db.Try(t.Context(), "northwind", func(*store.Tx) error { return errRefused }); !errors.Is(err, errRefused) {
			t.Errorf("the closure's own error: %v", err)
		}
	})
}

// However many rows a statement takes: what belongs to a directory that is gone by now takes none of the others along.
func TestLogRequests_LeaveOutWhatIsOfADirectoryThatIsGone(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db, _ := newcomers(t, kind)
		var list []directory.Request
		for i := range 32 + 4 + 2 {
			r := directory.Request{Directory: "entra", ID: id.New[id.Request](), At: db.Now(), Status: 200 + i, TokenState: directory.TokenGood}
			if i%3 == 0 {
				r.Directory = "gone"
			}
			list = append(list, r)
		}
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.LogRequests(t.Context(), list)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			var n, sum int
			err := tx.Row(t.Context(), `
				select count(*), sum(status)
				from scim_requests
				where organization = 'northwind'
					and directory = 'entra'`).Scan(&n, &sum)
			if n != 25 || sum != 25*200+469 {
				t.Errorf("%d rows are kept, their statuses add up to %d", n, sum)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

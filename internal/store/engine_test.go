package store_test

import (
	"context"
	"testing"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const insertOrganization = `
	insert into organizations (organization, name, settings, flags, version, created)
	values ($1, $2, '{}', '{}', 1, 1)`

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

func TestWrite_QueuedViolationIsRefusedWithASentence(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		err := db.Write(context.Background(), "northwind", func(tx *store.Tx) error {
			tx.Queue(insertOrganization, "northwind", "again")
			return nil
		})
		if got := fault.KindOf(err); got != fault.Conflict {
			t.Fatalf("got %v (%v), want a conflict", got, err)
		}
		if got, want := fault.As(err).Message, "An organization with this id exists already."; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		var name string
		err = db.Read(context.Background(), "northwind", func(tx *store.Tx) error {
			return tx.LastRow(context.Background(), "select name from organizations where organization = $1", tx.Organization).Scan(&name)
		})
		if err != nil || name != "northwind" {
			t.Errorf("got %q, %v, want the first one", name, err)
		}
	})
}

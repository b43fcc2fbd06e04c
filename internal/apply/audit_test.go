package apply_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// events are all of the installation's and of Northwind's.
func events(t *testing.T, db *store.DB) (all []audit.Event) {
	t.Helper()
	err := db.System().Read(context.Background(), func(tx *store.SystemTx) error {
		own, err := tx.Events(context.Background(), store.AuditFilter{Limit: 1000})
		if err != nil {
			return err
		}
		northwind, err := tx.In("northwind").Events(context.Background(), store.AuditFilter{Limit: 1000})
		all = append(own, northwind...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRun_EachChangeHasItsEventAndNothingElseHasOne(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		mustRun(t, db, apply.Options{}, getenv(), contract)
		first := events(t, db)
		if len(first) < 40 {
			t.Fatalf("got %d events for the contract's file", len(first))
		}
		for _, e := range first {
			if e.Actor.Kind != audit.ActorOperator || e.Actor.Door != audit.Apply || e.Actor.Name != "apply of northwind.yaml" ||
				e.Actor.Request != first[0].Actor.Request || !strings.HasSuffix(e.Action, ".created") && e.Action != "provider.approved" {
				t.Errorf("got %+v", e)
			}
			if len(e.After) == 0 {
				t.Errorf("%s of %s says nothing of what was made", e.Action, e.TargetName)
			}
		}
		mustRun(t, db, apply.Options{}, getenv(), contract)
		mustRun(t, db, apply.Options{DryRun: true, Prune: true}, getenv(), edited(t, "seat_limit: 500", "seat_limit: 600"))
		if got := events(t, db); len(got) != len(first) {
			t.Errorf("%d events where nothing was changed", len(got)-len(first))
		}

		mustRun(t, db, apply.Options{}, getenv("NORTHWIND_OIDC_SECRET", "another-secret"), edited(t, "seat_limit: 500", "seat_limit: 600"))
		changed := map[string]string{}
		for _, e := range events(t, db) {
			if strings.HasSuffix(e.Action, ".changed") {
				changed[e.Action+" "+e.TargetID] = string(e.Before) + " -> " + string(e.After)
			}
		}
		if diff := cmp.Diff(changed, map[string]string{
			"organization.changed northwind": `{"seat_limit":"500"} -> {"seat_limit":"600"}`,
			"connection.changed corp":        `{"client_secret":"(secret)"} -> {"client_secret":"(secret)"}`,
		}); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRun_ARefusedFileLeavesNoEvent(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	if _, err := run(db, apply.Options{}, getenv("DASHBOARD_CLIENT_SECRET", ""), contract); err == nil {
		t.Fatal("it was applied without its secret")
	}
	if got := events(t, db); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

package store_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// The second belt: a statement that forgets its organization, or names a foreign one, meets row-level security. SQLite
// has no such belt; there the statement is all, and the tests of every statement run on it too.
func TestRowLevelSecurity_StopsAStatementWithoutItsOrganization(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.Postgres)
	organizations := []id.Organization{"northwind", "eastwind"}
	for _, o := range organizations {
		organization(t, db, o)
		record(t, db, o, audit.Event{Action: "user.created"})
		err := db.Write(t.Context(), o, func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, "hamburg")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"organizations", "resources", "audit"} {
		var n int
		err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			return tx.Row(t.Context(), "select count(*) from "+table).Scan(&n)
		})
		if err != nil || n != 1 {
			t.Errorf("%s: a forgotten organization shows %d rows (%v), want its own one", table, n, err)
		}
		err = db.System().Read(t.Context(), func(tx *store.SystemTx) error {
			return tx.Row(t.Context(), "select count(*) from "+table).Scan(&n)
		})
		if err != nil || n != 2 {
			t.Errorf("%s: the installation sees %d rows (%v), want both", table, n, err)
		}
	}
	err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
		n, err := tx.Exec(t.Context(), "update resources set name = 'taken' where organization = $1", "eastwind")
		if n != 0 {
			t.Errorf("%d rows of another organization were changed", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	err = db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
		tx.Queue(insertResource, "eastwind", "berlin")
		return nil
	})
	if err == nil {
		t.Error("a row was put into another organization")
	}
}

// The store's own role, on a connection that no transaction has bound.
func TestRowLevelSecurity_UnboundConnectionSeesNothing(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t, storetest.Postgres)
	db := storetest.OpenURL(t, url)
	organization(t, db, "northwind")
	record(t, db, "northwind", audit.Event{Action: "user.created"})
	err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
		tx.Record(t.Context(), audit.Event{Action: "operator.created"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	see := func(when string) {
		t.Helper()
		for _, table := range []string{"organizations", "audit"} {
			var n int
			if err := conn.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s: %s shows %d rows (%v), want none", when, table, n, err)
			}
		}
	}
	see("never bound")
	if _, err := conn.Exec(t.Context(), "begin; select set_config('vestibule.organization', 'northwind', true); commit"); err != nil {
		t.Fatal(err)
	}
	// A setting that has ended is '' and no longer null: it must not open the installation's own events.
	see("bound before")
	var super, bypass bool
	err = conn.QueryRow(t.Context(), "select rolsuper, rolbypassrls from pg_roles where rolname = current_user").Scan(&super, &bypass)
	if err != nil || super || bypass {
		t.Errorf("the tests' role may bypass row-level security (%v %v %v): they prove nothing", super, bypass, err)
	}
	rows, err := conn.Query(t.Context(), `
		select c.relname
		from pg_class c
		join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization' and a.attnum > 0
		where c.relkind = 'r'
		and c.relnamespace = 'public'::regnamespace
		and not (c.relrowsecurity and c.relforcerowsecurity)
		order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	// These are the installation's: an attempt and a domain are looked up before the organization is known, and the job
	// takes deliveries of all.
	installation := map[string]bool{"attempts": true, "domains": true, "outbox": true}
	for _, table := range open {
		if !installation[table] {
			t.Errorf("%s has an organization and no row-level security", table)
		}
	}
}

// Through a pooler in transaction mode a statement prepared by name is unknown at the next transaction.
func TestPoolTransaction_NamesNoStatement(t *testing.T) {
	t.Parallel()
	db := storetest.OpenURL(t, storetest.URL(t, storetest.Postgres)+"&pool=transaction",
		storetest.With(func(o *store.Options) { o.MaxConns = 1 }))
	organization(t, db, "northwind")
	record(t, db, "northwind", audit.Event{Action: "user.created", Before: []byte(`{"a": 1}`)})
	for range 3 {
		if got := events(t, db, "northwind", store.AuditFilter{Text: "created"}); len(got) != 1 || string(got[0].Before) != `{"a": 1}` {
			t.Errorf("got %v, want the one event", got)
		}
	}
	var prepared int
	err := db.System().Read(t.Context(), func(tx *store.SystemTx) error {
		return tx.LastRow(t.Context(), "select count(*) from pg_prepared_statements").Scan(&prepared)
	})
	if err != nil || prepared != 0 {
		t.Errorf("got %d named statements (%v), want none", prepared, err)
	}
}

// A restart of the server leaves dead connections in the pool. Reading does not notice; a write is told, since nobody
// knows whether its commit arrived, unless nothing had been sent yet.
func TestRead_SurvivesTheLossOfItsConnections(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t, storetest.Postgres)
	db := storetest.OpenURL(t, url)
	organization(t, db, "northwind")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { resources(t, db, "northwind") })
	}
	wg.Wait()
	conn, err := pgx.Connect(t.Context(), storetest.AdminURL(t, url))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for range 5 {
		_, err = conn.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
		if err != nil {
			t.Fatal(err)
		}
		if got := resources(t, db, "northwind"); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	}
}

// A neighbour's migration changes what a prepared statement answers.
func TestRead_SurvivesAMigrationUnderneath(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t, storetest.Postgres)
	db := storetest.OpenURL(t, url, storetest.With(func(o *store.Options) { o.Migrate, o.MaxConns = true, 1 }))
	organization(t, db, "northwind")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, change := range []string{"", "alter table resources add column altitude bigint", "alter table resources alter altitude type text"} {
		if _, err := conn.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			rows, err := tx.Query(t.Context(), "select * from resources where organization = $1", tx.Organization)
			if err != nil {
				return err
			}
			rows.Close()
			return rows.Err()
		})
		if err != nil {
			t.Errorf("after %q: %v", change, err)
		}
	}
}

func TestRead_StatementWithoutEndIsStopped(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.Postgres)
	organization(t, db, "northwind")
	err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
		if _, err := tx.Exec(t.Context(), "set local statement_timeout = 10"); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), "select pg_sleep(60)")
		return err
	})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want it unavailable", err)
	}
	var timeout string
	err = db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
		return tx.Row(t.Context(), "show statement_timeout").Scan(&timeout)
	})
	if err != nil || timeout != "20s" {
		t.Errorf("got a limit of %q (%v), want 20s", timeout, err)
	}
}

// What only queues needs no begin and no commit, and still stands or falls as one, also where its end fails.
func TestWrite_PipelinedTransactionFailsAsOne(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t, storetest.Postgres)
	db := storetest.OpenURL(t, url, storetest.With(func(o *store.Options) { o.Migrate = true }))
	organization(t, db, "northwind")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "create table deferred (id bigint, constraint once unique (id) deferrable initially deferred)"); err != nil {
		t.Fatal(err)
	}
	for name, twice := range map[string]bool{"kept": false, "undone": true} {
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, name)
			if twice {
				tx.Queue("insert into deferred (id) values (1), (1)")
			}
			return nil
		})
		if twice != (fault.KindOf(err) == fault.Conflict) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := resources(t, db, "northwind"); len(got) != 1 || got[0] != "kept" {
		t.Errorf("got %v, want what was kept", got)
	}
}

func TestOpen_TellsOfARoleThatSlipsOutOfRowLevelSecurity(t *testing.T) {
	t.Parallel()
	address := storetest.PostgresURL(t)
	var said bytes.Buffer
	for _, role := range []struct {
		url    string
		warned bool
	}{{address, false}, {storetest.AdminURL(t, address), true}} {
		said.Reset()
		db, err := store.Open(t.Context(), store.Options{URL: role.url, Migrate: true, Log: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		if got := strings.Contains(said.String(), "slips out of row-level security"); got != role.warned {
			t.Errorf("warned: %v, want %v: %s", got, role.warned, said.String())
		}
	}
}

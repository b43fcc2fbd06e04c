package store_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// The migration that teaches a new PostgreSQL what its columns are like makes rows up. None may stay, and a store that is in
// use must not be taken for a new one: the made-up rows go by truncating.
func TestStatistics_LeaveNothingBehindAndTakeNothingAway(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := storetest.PostgresURL(t)
	storetest.OpenURL(t, url, func(o *store.Options) { o.Migrate = true })
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "select set_config('vestibule.system', 'on', false)"); err != nil {
		t.Fatal(err)
	}
	count := func(table string) (n int) {
		if err := conn.QueryRow(ctx, "select count(*) from "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, table := range []string{"organizations", "users", "directory_records", "group_members", "grants", "sessions", "audit"} {
		if n := count(table); n != 0 {
			t.Errorf("%s holds %d rows after the migrations", table, n)
		}
	}

	if _, err := conn.Exec(ctx, `insert into organizations (organization, name, settings, flags, version, created)
		values ('northwind', 'Northwind', '{}', '{}', 1, 1)`); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../migrations/postgres/00003_statistics.sql")
	if err != nil {
		t.Fatal(err)
	}
	// As a migration finds it: a session that has said nothing about which organization it is bound to.
	if _, err := conn.Exec(ctx, "select set_config('vestibule.system', '', false)"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, string(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "select set_config('vestibule.system', 'on', false)"); err != nil {
		t.Fatal(err)
	}
	if n := count("organizations"); n != 1 {
		t.Errorf("run again on a store in use it left %d organizations of one", n)
	}
}

package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
)

// What a request costs a node that does nothing of its own: the HTTP server, the store's driver, and one row. Between null
// create and this lies what no code above the driver can save, between this and Vestibule's figure what Vestibule does: whose
// request it is, the checks, the copy that filters read, the event, the log.

// bareStore is a table of SCIM-shaped rows behind the driver that Vestibule uses.
type bareStore interface {
	// insert stores a document as a row of its own, in a transaction of its own.
	insert(ctx context.Context, n int64, document string) error
	// read gives the document of row id.
	read(ctx context.Context, id int64) (string, error)
}

const bareRows = 1000

// bareStores opens each store when it is first asked for: by then its database is there.
type bareStores struct {
	n     atomic.Int64
	mu    sync.Mutex
	known map[string]bareStore // guarded by mu
}

func (b *bareStores) of(kind string) (bareStore, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.known[kind]; s != nil {
		return s, nil
	}
	var s bareStore
	var err error
	if kind == "postgres" {
		s, err = openBarePostgres(context.Background())
	} else {
		s, err = openBareSQLite(context.Background())
	}
	if err != nil {
		return nil, err
	}
	if b.known == nil {
		b.known = map[string]bareStore{}
	}
	b.known[kind] = s
	return s, nil
}

// barePostgres uses the tables that pgbench's floor uses.
type barePostgres struct{ *pgxpool.Pool }

func openBarePostgres(ctx context.Context) (bareStore, error) {
	config, err := pgxpool.ParseConfig(replaceDatabase(os.Getenv("VESTIBULE_TEST_POSTGRES"), "floor"))
	if err != nil {
		return nil, err
	}
	config.MaxConns = 16 // as many as a node on two cores
	pool, err := pgxpool.NewWithConfig(ctx, config)
	return barePostgres{pool}, err
}

func (b barePostgres) insert(ctx context.Context, n int64, document string) error {
	_, err := b.Exec(ctx, `insert into scim_row (organization, user_name, external_id, document) values ('bench', $1, $2, $3)`,
		fmt.Sprintf("bare-%d", n), fmt.Sprintf("bare-%d", n), document)
	return err
}

func (b barePostgres) read(ctx context.Context, id int64) (document string, err error) {
	err = b.QueryRow(ctx, `select document from counter_row where id = $1`, id+1).Scan(&document)
	return document, err
}

type bareSQLite struct {
	mu     sync.Mutex // one writer
	add    *sql.Stmt  // guarded by mu
	lookUp *sql.Stmt
}

func openBareSQLite(ctx context.Context) (bareStore, error) {
	db, err := sql.Open("sqlite", "file:bare.db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	document := `{"filler":"` + strings.Repeat("x", 1000) + `"}`
	if _, err := db.ExecContext(ctx, rawSchema+fmt.Sprintf(`;
insert into scim_row with recursive s (n) as (select 0 union all select n + 1 from s where n < %d)
	select 'bench', printf('row-%%d', n), printf('row-%%d', n), printf('row-%%d', n), '%s' from s`, bareRows, document)); err != nil {
		return nil, err
	}
	b := &bareSQLite{}
	if b.add, err = db.PrepareContext(ctx, rawInsert); err != nil {
		return nil, err
	}
	b.lookUp, err = db.PrepareContext(ctx, `select document from scim_row where id = $1`)
	return b, err
}

func (b *bareSQLite) insert(ctx context.Context, n int64, document string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.add.ExecContext(ctx, fmt.Sprintf("%032d", n), fmt.Sprintf("bare-%d", n), fmt.Sprintf("bare-%d", n), document)
	return err
}

func (b *bareSQLite) read(ctx context.Context, id int64) (document string, err error) {
	err = b.lookUp.QueryRowContext(ctx, fmt.Sprintf("row-%d", id)).Scan(&document)
	return document, err
}

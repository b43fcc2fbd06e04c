package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/migrations"
)

// schema is what a store says of itself: the step it stands at, and the oldest binary (by the step it was written for)
// that it still serves. So a node may be upgraded while its neighbour is not.
type schema struct {
	version int64
	oldest  int64
}

const schemaQuery = `
	select schema_version, oldest_binary
	from schema_info
	where id = 1`

// check refuses a schema this binary cannot serve.
func (s schema) check() error {
	mine := migrations.Latest()
	switch {
	case s.version < mine:
		return fault.New(fault.Unavailable,
			"The store's schema is at step %d and this program needs step %d: run \"vestibule migrate\" first.", s.version, mine)
	case s.oldest > mine:
		return fault.New(fault.Unavailable,
			"The store's schema is at step %d and serves programs from step %d on; this one was built for step %d: install a newer release.",
			s.version, s.oldest, mine)
	}
	return nil
}

// tell notes an upgrade of a store that held something.
func (s schema) tell(log *slog.Logger, before int64) {
	if before > 0 && s.version > before {
		log.Info("the schema was brought up", "from", before, "to", s.version)
	}
}

func (s schema) behind() bool { return s.version < migrations.Latest() }

// migrateSQLite asks the schema with one query and calls goose only where there is something to do: a start on a store
// that is up to date costs no more than that.
func migrateSQLite(ctx context.Context, pool *sql.DB, c *sqliteConn, path string, log *slog.Logger) error {
	read := func() (s schema, err error) {
		err = c.conn.QueryRowContext(ctx, schemaQuery).Scan(&s.version, &s.oldest)
		if err != nil && missingTable(ctx, c.conn) {
			return schema{}, nil
		}
		return s, err
	}
	s, err := read()
	if err != nil {
		return err
	}
	if s.behind() {
		p, err := goose.NewProvider(goose.DialectSQLite3, pool, migrations.SQLite(),
			goose.WithSessionLocker(&sqliteLock{path: path}), goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return err
		}
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		before := s.version
		if s, err = read(); err != nil {
			return err
		}
		s.tell(log, before)
	}
	return s.check()
}

// missingTable reports whether the store is still empty.
func missingTable(ctx context.Context, conn *sql.Conn) bool {
	var n int
	err := conn.QueryRowContext(ctx, `
		select count(*)
		from sqlite_master
		where name = 'schema_info'`).Scan(&n)
	return err == nil && n == 0
}

// sqliteLock makes processes that start together on one file migrate it one after the other: each holds an exclusive
// transaction on a neighbouring empty file meanwhile. The file stays: whoever removed it could let two in.
type sqliteLock struct {
	path string
	pool *sql.DB
	conn *sql.Conn
}

var _ lock.SessionLocker = (*sqliteLock)(nil)

func (l *sqliteLock) SessionLock(ctx context.Context, _ *sql.Conn) (err error) {
	if l.pool, err = sql.Open("sqlite", sqliteDSN(l.path+"-migrate")+"&_pragma=busy_timeout(60000)"); err != nil {
		return err
	}
	if l.conn, err = l.pool.Conn(ctx); err == nil {
		_, err = l.conn.ExecContext(ctx, "begin exclusive")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("wait for another program that migrates: %w", err), l.pool.Close())
	}
	return nil
}

func (l *sqliteLock) SessionUnlock(_ context.Context, _ *sql.Conn) error {
	return errors.Join(l.conn.Close(), l.pool.Close())
}

func migratePostgres(ctx context.Context, e *postgresEngine, direct string, migrate bool) error {
	read := func() (s schema, err error) {
		err = e.pool.QueryRow(ctx, schemaQuery).Scan(&s.version, &s.oldest)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "42P01" { // undefined_table: nobody has migrated it yet
			return schema{}, nil
		}
		return s, err
	}
	s, err := read()
	if err != nil {
		return err
	}
	if s.behind() && migrate {
		if err := gooseUp(ctx, direct); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		before := s.version
		if s, err = read(); err != nil {
			return err
		}
		s.tell(e.log, before)
	}
	return s.check()
}

func gooseUp(ctx context.Context, direct string) error {
	config, err := postgresConfig(direct)
	if err != nil {
		return err
	}
	conn := config.ConnConfig.Copy()
	conn.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	pool := stdlib.OpenDB(*conn)
	defer func() { _ = pool.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, pool, migrations.Postgres(),
		goose.WithSessionLocker(postgresLock{}), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// postgresLock makes nodes that start together migrate one after the other, by an advisory lock that ends with its
// connection. Unlike goose's own it waits inside the database, and so not a moment longer than needed.
type postgresLock struct{}

var _ lock.SessionLocker = postgresLock{}

const postgresLockKey = 7361620

func (postgresLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "select pg_advisory_lock($1)", postgresLockKey)
	return err
}

func (postgresLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "select pg_advisory_unlock($1)", postgresLockKey)
	return err
}

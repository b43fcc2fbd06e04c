package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The PostgreSQL engine. A transaction's beginning and its binding to an organization travel with its first statement, and
// what it queues travels with the next one or with the commit. A closure that only queues, or only reads one last row, is
// one round trip and needs neither begin nor commit: what is pipelined up to one synchronization is one transaction of
// its own (PostgreSQL's protocol, "Pipelining").
//
// Writing transactions run at READ COMMITTED: what must not change between reading and writing is read with
// dialect.forUpdate, compared by its version, held by a constraint, or kept apart with Tx.Lock. Reading ones see one
// snapshot (REPEATABLE READ), as they do on SQLite.

// maxRetries is how often a transaction runs again after PostgreSQL chose it as the victim of a conflict.
const maxRetries = 5

// statementTimeout bounds one statement: far longer than any that is served by an index, and shorter than people wait.
const statementTimeout = 20 * time.Second

type postgresEngine struct {
	pool      *pgxpool.Pool
	log       *slog.Logger
	listening context.CancelFunc
	listener  sync.WaitGroup
	closed    atomic.Bool
}

// openPostgres opens the pool. Changed is told the name of what another node changed, "" when it may have missed some.
func openPostgres(ctx context.Context, o Options, log *slog.Logger, changed func(name string)) (engine, error) {
	config, err := postgresConfig(o.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(o.MaxConns)
	if o.MaxConns == 0 {
		config.MaxConns = int32(max(16, 4*runtime.GOMAXPROCS(0)))
	}
	if !pooled(config) {
		// A statement that finds no index is stopped instead of holding its connection. A pooler lets no such setting
		// through; there the database's own must do.
		config.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(statementTimeout.Milliseconds(), 10)
		config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(2*statementTimeout.Milliseconds(), 10)
		// Every statement is written for an index, and its plan is made once and kept: planning costs several times what
		// running does. A kept plan outlives the table's being small, so none may begin by reading the whole table; and with
		// that forbidden by its price, nothing may take a price for a reason to compile.
		config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
		config.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
		config.ConnConfig.RuntimeParams["jit"] = "off"
	}
	config.AfterConnect = fastArrays
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	e := &postgresEngine{pool: pool, log: log}
	direct := o.DirectURL
	if direct == "" {
		direct = o.URL
	}
	if err := migratePostgres(ctx, e, direct, o.Migrate); err != nil {
		pool.Close()
		return nil, err
	}
	if err := e.warnOfBypass(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	listen, err := postgresConfig(direct)
	if err != nil {
		pool.Close()
		return nil, err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.listening = cancel
	if !pooled(listen) {
		e.listener.Go(func() { e.listen(background, listen.ConnConfig, changed) })
	}
	return e, nil
}

// warnOfBypass tells of a role that row-level security does not hold. It does not stop the start: every statement names its
// organization, and row-level security is there for the one that forgets.
func (e *postgresEngine) warnOfBypass(ctx context.Context) error {
	var name string
	var bypasses bool
	err := e.pool.QueryRow(ctx, `
		select rolname, rolsuper or rolbypassrls
		from pg_roles
		where rolname = current_user`).Scan(&name, &bypasses)
	if err == nil && bypasses {
		e.log.Warn("this PostgreSQL role is superuser or bypassrls and slips out of row-level security; serve with one that is neither and owns its database",
			"role", name)
	}
	return err
}

// pooled reports whether a pooler in transaction mode stands between: a LISTEN through it hears nothing.
func pooled(config *pgxpool.Config) bool {
	return config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheDescribe
}

// listen hears what other nodes changed, on a connection of its own. While it is down, caches still look each second.
func (e *postgresEngine) listen(ctx context.Context, config *pgx.ConnConfig, changed func(name string)) {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, time.Minute) {
		err := hear(ctx, config, func(name string) {
			wait = time.Second
			changed(name)
		})
		if ctx.Err() != nil {
			return
		}
		e.log.Warn("notifications are interrupted; versions are still looked up each second", "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func hear(ctx context.Context, config *pgx.ConnConfig, changed func(name string)) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
		return err
	}
	changed("") // whatever happened before we listened
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		changed(n.Payload)
	}
}

// postgresConfig reads a URL, taking our own word pool=transaction out of it.
func postgresConfig(raw string) (*pgxpool.Config, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the URL cannot be read; characters such as %, /, @ and # of a password are written %25, %2F, %40 and %23")
	}
	q := u.Query()
	pool := q.Get("pool")
	q.Del("pool")
	u.RawQuery = q.Encode()
	config, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, err
	}
	switch pool {
	case "":
	case "transaction":
		// A pooler in transaction mode gives each transaction another server connection, where a statement prepared by
		// name is unknown. Unnamed statements with remembered descriptions travel in one piece.
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	default:
		return nil, fmt.Errorf("pool=%s is not known; pool=transaction is", pool)
	}
	return config, nil
}

func (e *postgresEngine) close() {
	e.closed.Store(true)
	e.listening()
	e.listener.Wait()
	e.pool.Close()
}

func (e *postgresEngine) transact(ctx context.Context, b binding, fn func(runner) error) error {
	for try := 0; ; try++ {
		err := e.once(ctx, b, fn)
		if err == nil || try == maxRetries || !passing(err, b.write) {
			return err
		}
		// Jitter, so that the two that met do not meet again.
		wait := time.NewTimer(time.Duration(rand.Int64N(int64(5*time.Millisecond) << try)))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

func (e *postgresEngine) once(ctx context.Context, b binding, fn func(runner) error) error {
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		if e.closed.Load() {
			return errClosed
		}
		return err
	}
	s := &postgresSession{conn: conn.Conn(), b: b}
	// Released whatever happens, a panic included; a connection left inside a transaction is closed by the pool.
	defer func() {
		s.end()
		conn.Release()
	}()
	if err := fn(s); err != nil {
		return err
	}
	return s.commit(ctx)
}

// passing reports whether the same transaction may pass when it is run again, and cannot have been committed.
func passing(err error, write bool) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "40001", "40P01": // undone in favour of another one
			return true
		case "0A000": // a prepared plan no longer fits: a neighbour has migrated; pgx prepares it anew
			return true
		}
	}
	// The connection was dead (a restart, a failover) before anything was sent, or nothing was to be kept.
	var network net.Error
	slow := errors.As(err, &network) && network.Timeout() // the next one would wait as long
	return pgconn.SafeToRetry(err) || !write && !slow && disconnected(err)
}

// disconnected reports whether the connection was lost.
func disconnected(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08")
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

const bindToWrite = "select set_config('vestibule.organization', $1, true), pg_advisory_xact_lock_shared(hashtextextended($1, " + organizationLock + "))"

// boundBy stands in the first select of a statement that binds itself to the organization $1. What it gives has to be what each
// table is read by, directly or by way of a row that was: then nothing is read before. If it were, row-level security would hide it.
const boundBy = "set_config('vestibule.organization', $1, true) as organization"

type statement struct {
	sql  string
	args []any
}

type postgresSession struct {
	conn    *pgx.Conn
	b       binding
	begun   bool
	single  bool
	alone   bool // the next query is the transaction, and binds itself
	over    bool
	pending []statement
	open    *postgresRows
	failure error
}

func (s *postgresSession) last() { s.single = !s.b.write && !s.begun }

func (s *postgresSession) bound() { s.alone = !s.b.write && !s.begun && len(s.pending) == 0 }

func (s *postgresSession) only() { s.single = s.b.write && !s.begun && len(s.pending) == 0 }

// batch starts a batch with what must come before the next statement, and says how many results to skip. Whole says that
// the batch will be the whole transaction.
func (s *postgresSession) batch(whole bool) (*pgx.Batch, int, error) {
	switch {
	case s.over:
		return nil, 0, errOver
	case s.failure != nil:
		return nil, 0, s.failure
	case s.open != nil:
		return nil, 0, s.fail(errRowsOpen)
	}
	batch := &pgx.Batch{}
	if !s.begun {
		if !whole {
			begin := "begin isolation level repeatable read read only"
			if s.b.write {
				begin = "begin"
			}
			batch.Queue(begin)
			s.begun = true
		}
		switch {
		case s.b.system:
			batch.Queue("select set_config('vestibule.system', 'on', true)")
		case s.b.write:
			// Who writes in an organization keeps it, and its directories, from being taken away meanwhile.
			batch.Queue(bindToWrite, string(s.b.organization))
		default:
			batch.Queue("select set_config('vestibule.organization', $1, true)", string(s.b.organization))
		}
	}
	for _, st := range s.pending {
		batch.Queue(st.sql, st.args...)
	}
	s.pending = nil
	return batch, batch.Len(), nil
}

func (s *postgresSession) fail(err error) error {
	if s.failure == nil {
		s.failure = err
	}
	return err
}

// skip reads the results nobody waits for.
func (s *postgresSession) skip(results pgx.BatchResults, n int) error {
	for range n {
		if _, err := results.Exec(); err != nil {
			_ = results.Close()
			return s.fail(err)
		}
	}
	return nil
}

func (s *postgresSession) query(ctx context.Context, sql string, args []any) (rows, error) {
	if s.alone {
		return s.queryAlone(ctx, sql, args)
	}
	batch, before, err := s.batch(s.single)
	if err != nil {
		return nil, err
	}
	batch.Queue(sql, args...)
	results := s.conn.SendBatch(ctx, batch)
	if err := s.skip(results, before); err != nil {
		return nil, err
	}
	r, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, s.fail(err)
	}
	s.open = &postgresRows{Rows: r, s: s, results: results}
	s.single = false
	return s.open, nil
}

// queryAlone sends a statement that is a transaction by itself. To watch a context costs a goroutine, which has to be woken, so the
// connection gets a deadline instead.
func (s *postgresSession) queryAlone(ctx context.Context, sql string, args []any) (rows, error) {
	switch {
	case s.over:
		return nil, errOver
	case s.failure != nil:
		return nil, s.failure
	case s.open != nil:
		return nil, s.fail(errRowsOpen)
	}
	s.alone = false
	if err := s.conn.PgConn().Conn().SetDeadline(time.Now().Add(statementTimeout)); err != nil {
		return nil, s.fail(err)
	}
	r, err := s.conn.Query(context.WithoutCancel(ctx), sql, args...)
	if err != nil {
		return nil, s.fail(err)
	}
	s.open = &postgresRows{Rows: r, s: s}
	return s.open, nil
}

func (s *postgresSession) exec(ctx context.Context, sql string, args []any) (int64, error) {
	batch, before, err := s.batch(false)
	if err != nil {
		return 0, err
	}
	batch.Queue(sql, args...)
	s.single = false
	results := s.conn.SendBatch(ctx, batch)
	if err := s.skip(results, before); err != nil {
		return 0, err
	}
	tag, err := results.Exec()
	if err = errors.Join(err, results.Close()); err != nil {
		return 0, s.fail(err)
	}
	return tag.RowsAffected(), nil
}

func (s *postgresSession) queue(sql string, args []any) {
	s.pending = append(s.pending, statement{sql, args})
}

// commit sends what is queued together with the commit.
func (s *postgresSession) commit(ctx context.Context) error {
	if s.open != nil {
		s.open.Close()
	}
	if s.failure != nil {
		return s.failure
	}
	if len(s.pending) == 0 && !s.begun {
		return nil
	}
	batch, n, err := s.batch(s.b.write)
	if err != nil {
		return err
	}
	if s.begun {
		batch.Queue("commit")
		n++
	}
	// A commit that has begun is waited for: cut off, nobody would know whether it happened, and the connection were lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	results := s.conn.SendBatch(ctx, batch)
	if err := s.skip(results, n); err != nil {
		return err
	}
	if err := results.Close(); err != nil {
		return s.fail(err)
	}
	s.begun = false
	return nil
}

// end undoes what was not committed. A connection on which that fails is closed by the pool when it is released.
func (s *postgresSession) end() {
	if s.open != nil {
		s.open.Close()
	}
	s.over = true
	if s.begun && !s.conn.IsClosed() && s.conn.PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, _ = s.conn.Exec(ctx, "rollback")
	}
}

type postgresRows struct {
	pgx.Rows
	s       *postgresSession
	results pgx.BatchResults // nil where the statement went alone
	err     error
}

// Close frees the connection for the next statement, and keeps the failure that ended the rows early.
func (r *postgresRows) Close() {
	if r.s.open != r {
		return
	}
	r.s.open = nil
	r.Rows.Close()
	if r.err = r.Rows.Err(); r.results != nil {
		r.err = errors.Join(r.err, r.results.Close())
	} else if r.err == nil {
		r.err = r.s.conn.PgConn().Conn().SetDeadline(time.Time{})
	}
	if r.err != nil {
		_ = r.s.fail(r.err)
	}
}

// Next closes the rows after the last one.
func (r *postgresRows) Next() bool {
	if r.s.open == r && r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Err is what ended the rows early.
func (r *postgresRows) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.Rows.Err()
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The SQLite engine: WAL, synchronous=FULL, one connection that writes and a pool of connections that read.
//
// Writers wait in a queue. One goroutine takes what waits, up to maxBatch and waiting for nobody, begins an immediate
// transaction and gives each request its turn on the connection, inside a savepoint of its own. The closure runs in the
// goroutine that asked, so that a panic or Goexit in it unwinds where it belongs; until it is through, nobody else touches
// the connection. Nobody is answered before the commit of the whole batch has returned. If that fails, or SQLite rolls
// back by itself, each request of the batch runs again alone.

// maxBatch is how many writers share one commit: enough for the fsync to vanish among them, few enough for the first to
// wait only milliseconds for the last.
const maxBatch = 128

// busyTimeout is how long a statement waits for another process (apply) to finish its write.
const busyTimeout = 10 * time.Second

// checkpointPages is after how many pages of its log, of 4 kB, SQLite carries them over into the file. Neighbouring pushes write
// the same pages: the longer the log, the fewer are carried over. SQLite's own 1,000 last a busy sync for a fifth of a second.
const checkpointPages = 4000

type sqliteEngine struct {
	pool    *sql.DB
	log     *slog.Logger
	writer  *sqliteConn
	queue   chan *writeRequest
	readers *readers
	closing chan struct{}
	stopped chan struct{}
	once    sync.Once
}

// writeRequest is one caller's transaction in the writer's queue.
type writeRequest struct {
	ctx   context.Context
	turn  chan turn       // the writer to the caller
	ended chan turnResult // the caller to the writer
}

// turn either gives the caller the connection, or ends its request with err.
type turn struct {
	session *sqliteSession
	err     error
}

type turnResult struct {
	err  error
	gone bool // the closure panicked: the caller waits for nothing more
}

func openSQLite(ctx context.Context, path string, o Options, log *slog.Logger) (engine, error) {
	if path == "" {
		return nil, errors.New("it names no file")
	}
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	pool, err := sql.Open("sqlite", sqliteDSN(path))
	if err != nil {
		return nil, err
	}
	n := o.MaxConns
	if n == 0 {
		n = max(4, 2*runtime.GOMAXPROCS(0))
	}
	e := &sqliteEngine{
		pool: pool, log: log,
		queue: make(chan *writeRequest, maxBatch), readers: newReaders(n),
		closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	if e.writer, err = e.connect(ctx); err == nil {
		err = e.writer.keepLog(ctx)
	}
	if err == nil {
		err = migrateSQLite(ctx, pool, e.writer, path, log)
	}
	if err != nil {
		_ = pool.Close()
		return nil, err
	}
	go e.write()
	return e, nil
}

// createPrivate makes a new store's file, empty and readable for its owner alone; SQLite would let everybody of the machine
// read it. Its log and index files take over the mode. The file gets its name only after it is closed: closing it later
// would drop the locks that another store of this process holds on it (SQLite, "How To Corrupt", 2.2).
func createPrivate(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".vestibule-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// sqliteDSN gives the driver's address of a file. What every connection needs is set here, so that none can lack it.
func sqliteDSN(path string) string {
	q := url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "foreign_keys(1)", "synchronous(full)",
		"temp_store(memory)", "cache_size(-8000)", fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
	}}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// connect opens one more connection of the pool.
func (e *sqliteEngine) connect(ctx context.Context, pragmas ...string) (*sqliteConn, error) {
	conn, err := e.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range pragmas {
		if _, err := conn.ExecContext(ctx, p); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", p, err), conn.Close())
		}
	}
	return &sqliteConn{conn: conn, stmts: map[string]*sqliteStmt{}}, nil
}

// keepLog has the file written by way of a log (WAL), which a new file is not. Where several programs ask for that at once,
// SQLite refuses it to all but one of them without a wait, since each has the file open for reading and would wait for the
// others; so it is asked for again.
func (c *sqliteConn) keepLog(ctx context.Context) error {
	const statement = "pragma journal_mode = wal"
	for end := time.Now().Add(busyTimeout); ; {
		var mode string
		switch err := c.conn.QueryRowContext(ctx, statement).Scan(&mode); {
		case err == nil && mode != "wal":
			return fmt.Errorf("%s: the file stays in the mode %q; keep it on a local disk", statement, mode)
		case err == nil:
			return nil
		case !sqliteBusy(err) || time.Now().After(end):
			return fmt.Errorf("%s: %w", statement, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// readers are the connections that read. The one used last is used next: its pages are still in its cache, while those of the
// others have to be read from the file again. So there are no more of them in use than there are readers at the same moment.
type readers struct {
	free chan struct{} // one for each that may be taken

	mu   sync.Mutex
	idle []*sqliteConn // guarded by mu; of those not opened yet there is nothing
}

func newReaders(n int) *readers {
	r := &readers{free: make(chan struct{}, n)}
	for range n {
		r.free <- struct{}{}
	}
	return r
}

// take gives a connection to who has received from free, nil where it has to be opened.
func (r *readers) take() (c *sqliteConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.idle); n > 0 {
		c, r.idle = r.idle[n-1], r.idle[:n-1]
	}
	return c
}

// put gives it back; a nil is one that could not be opened, or was closed.
func (r *readers) put(c *sqliteConn) {
	r.mu.Lock()
	if c != nil {
		r.idle = append(r.idle, c)
	}
	r.mu.Unlock()
	r.free <- struct{}{}
}

// sqliteConn is one connection with its prepared statements.
type sqliteConn struct {
	conn  *sql.Conn
	stmts map[string]*sqliteStmt
	args  []any // of the statement that is being started
}

// sqliteStmt is a prepared statement and which argument each of its placeholders stands for.
type sqliteStmt struct {
	*sql.Stmt
	order []int
}

// arguments puts a statement's arguments into the order of its placeholders. What it gives is good until the next call.
func (c *sqliteConn) arguments(st *sqliteStmt, args []any) ([]any, error) {
	c.args = c.args[:0]
	for _, n := range st.order {
		if n > len(args) {
			return nil, fmt.Errorf("a statement asks for argument %d of %d", n, len(args))
		}
		c.args = append(c.args, args[n-1])
	}
	return c.args, nil
}

// positional makes each $1 of a statement a ?, and says which is which; it may come with a ? for each already. For each parameter
// with a name the driver asks SQLite for the name and looks for its argument, which costs more than to bind it.
func positional(text string) (changed string, order []int) {
	var b strings.Builder
	b.Grow(len(text))
	for quote := byte(0); text != ""; text = text[1:] {
		switch c := text[0]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '?':
			order = append(order, len(order)+1)
		case c == '$':
			digits := 1
			for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
				digits++
			}
			if n, err := strconv.Atoi(text[1:digits]); err == nil {
				order = append(order, n)
				text = "?" + text[digits:]
			}
		}
		b.WriteByte(text[0])
	}
	return b.String(), order
}

// maxStatements bounds the prepared statements of a connection: filters make texts without end.
const maxStatements = 512

func (c *sqliteConn) prepare(ctx context.Context, text string) (*sqliteStmt, error) {
	if st, ok := c.stmts[text]; ok {
		return st, nil
	}
	changed, order := positional(text)
	prepared, err := c.conn.PrepareContext(ctx, changed)
	if err != nil {
		return nil, err
	}
	st := &sqliteStmt{prepared, order}
	if len(c.stmts) >= maxStatements {
		for k, old := range c.stmts {
			delete(c.stmts, k)
			_ = old.Close()
			break
		}
	}
	c.stmts[text] = st
	return st, nil
}

// run executes a statement of the engine's own (begin, savepoint, commit).
func (c *sqliteConn) run(text string) error {
	st, err := c.prepare(context.Background(), text)
	if err != nil {
		return err
	}
	_, err = st.ExecContext(context.Background())
	return err
}

func (c *sqliteConn) close() {
	for _, st := range c.stmts {
		_ = st.Close()
	}
	_ = c.conn.Close()
}

var errClosed = errors.New("the store is closed")

func (e *sqliteEngine) transact(ctx context.Context, b binding, fn func(runner) error) error {
	if b.write {
		return e.enqueue(ctx, fn)
	}
	return e.read(ctx, fn)
}

func (e *sqliteEngine) read(ctx context.Context, fn func(runner) error) error {
	select {
	case <-e.readers.free:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closing:
		return errClosed
	}
	c := e.readers.take()
	if c == nil {
		var err error
		if c, err = e.connect(ctx, "pragma query_only = 1"); err != nil {
			e.readers.put(nil)
			return err
		}
	}
	s := &sqliteSession{c: c, lazy: true}
	defer func() {
		if err := s.end(); err != nil {
			e.log.Error("a reading connection is replaced", "error", err)
			c.close()
			c = nil
		}
		e.readers.put(c)
	}()
	if err := fn(s); err != nil {
		return err
	}
	return s.failure
}

// enqueue hands the request to the writer and runs fn whenever its turn comes.
func (e *sqliteEngine) enqueue(ctx context.Context, fn func(runner) error) error {
	r := &writeRequest{ctx: ctx, turn: make(chan turn, 1), ended: make(chan turnResult, 1)}
	select {
	case e.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closing:
		return errClosed
	}
	for {
		var t turn
		select {
		case t = <-r.turn:
		case <-e.stopped:
			// The writer may have answered just before it stopped.
			select {
			case t = <-r.turn:
			default:
				return errClosed
			}
		}
		if t.session == nil {
			return t.err
		}
		r.take(t.session, fn)
	}
}

// take is one turn: it runs fn and tells the writer how it went, also when fn never returns.
func (r *writeRequest) take(s *sqliteSession, fn func(runner) error) {
	result := turnResult{err: errors.New("the closure did not return"), gone: true}
	defer func() { r.ended <- result }()
	err := fn(s)
	if err == nil {
		err = s.failure
	}
	result = turnResult{err: err}
}

// write is the writer goroutine.
func (e *sqliteEngine) write() {
	defer close(e.stopped)
	for {
		select {
		case r := <-e.queue:
			e.batch(e.gather(r))
		case <-e.closing:
			// What waits is still served; what comes later is refused.
			for {
				select {
				case r := <-e.queue:
					e.batch(e.gather(r))
				default:
					return
				}
			}
		}
	}
}

func (e *sqliteEngine) gather(first *writeRequest) []*writeRequest {
	batch := []*writeRequest{first}
	for len(batch) < maxBatch {
		select {
		case r := <-e.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// batch runs the requests in one transaction and answers them; where that breaks for all, each runs again alone.
func (e *sqliteEngine) batch(requests []*writeRequest) {
	answers, waiting, broken := e.together(requests)
	if broken == nil {
		for i, r := range waiting {
			r.turn <- turn{err: answers[i]}
		}
		return
	}
	if len(requests) == 1 {
		for _, r := range waiting {
			r.turn <- turn{err: broken}
		}
		return
	}
	e.log.Warn("a batch of writes is run again one by one", "writes", len(waiting), "error", broken)
	for _, r := range waiting {
		e.batch([]*writeRequest{r})
	}
}

// together runs one transaction. It answers who still waits and what each is to be told, or the error that undid
// everything.
func (e *sqliteEngine) together(requests []*writeRequest) (answers []error, waiting []*writeRequest, broken error) {
	if err := e.writer.run("begin immediate"); err != nil {
		// Another process has held the write lock for longer than busyTimeout. Alone nobody would fare better.
		answers = make([]error, len(requests))
		for i := range answers {
			answers[i] = err
		}
		return answers, requests, nil
	}
	defer func() {
		if broken != nil {
			// SQLite may have rolled back by itself, and then there is nothing to roll back.
			_ = e.writer.run("rollback")
		}
	}()
	for i, r := range requests {
		if err := r.ctx.Err(); err != nil {
			answers, waiting = append(answers, err), append(waiting, r)
			continue
		}
		result, err := e.serve(r)
		if !result.gone {
			answers, waiting = append(answers, result.err), append(waiting, r)
		}
		if err != nil {
			return nil, append(waiting, requests[i+1:]...), err
		}
	}
	if err := e.writer.run("commit"); err != nil {
		return nil, waiting, err
	}
	return answers, waiting, nil
}

// serve gives one request its turn inside a savepoint. The error it answers breaks the batch.
func (e *sqliteEngine) serve(r *writeRequest) (turnResult, error) {
	if err := e.writer.run("savepoint request"); err != nil {
		return turnResult{err: err}, err
	}
	s := &sqliteSession{c: e.writer, write: true}
	r.turn <- turn{session: s}
	result := <-r.ended
	s.closeRows()
	s.over = true
	if result.err != nil {
		// Where SQLite rolled the whole transaction back by itself (disk full, out of memory), the savepoint is gone
		// with everybody's work, and this fails.
		if err := e.writer.run("rollback to request"); err != nil {
			return result, errors.Join(s.failure, err)
		}
	}
	if err := e.writer.run("release request"); err != nil {
		return result, err
	}
	return result, nil
}

func (e *sqliteEngine) close() {
	e.once.Do(func() {
		close(e.closing)
		<-e.stopped
		for range cap(e.readers.free) {
			<-e.readers.free
			if c := e.readers.take(); c != nil {
				c.close()
			}
		}
		e.writer.close()
		_ = e.pool.Close()
	})
}

// sqliteSession is one request on a connection.
type sqliteSession struct {
	c       *sqliteConn
	write   bool
	lazy    bool // a reading transaction that has not begun
	single  bool // the next statement is the only one, and needs no transaction around it
	begun   bool
	over    bool
	open    *sqliteRows
	failure error
}

var (
	errRowsOpen = errors.New("a statement was run while the rows of another were open")
	errOver     = errors.New("a statement was run after its transaction had ended")
)

func (s *sqliteSession) last() { s.single = s.lazy && !s.begun }

// bound is last: there is nothing to bind to.
func (s *sqliteSession) bound() { s.last() }

// only changes nothing: the batch of the writer decides when it is committed.
func (s *sqliteSession) only() {}

// ready begins a reading transaction at its first statement, and refuses what cannot run.
func (s *sqliteSession) ready() error {
	switch {
	case s.over:
		return errOver
	case s.failure != nil:
		return s.failure
	case s.open != nil:
		return s.fail(errRowsOpen)
	}
	if s.lazy && !s.begun && !s.single {
		if err := s.c.run("begin"); err != nil {
			return s.fail(err)
		}
		s.begun = true
	}
	s.single = false
	return nil
}

func (s *sqliteSession) fail(err error) error {
	if s.failure == nil {
		s.failure = err
	}
	return err
}

// statementContext keeps the writer's statements from being interrupted: an interrupted insert rolls back the whole batch.
// A reading statement is interrupted where its caller has set it a time. To listen for anything less takes two goroutines
// a statement, and with their wake-ups more than to read a row: who leaves meanwhile is noticed behind the closure.
func (s *sqliteSession) statementContext(ctx context.Context) context.Context {
	if _, bounded := ctx.Deadline(); s.write || !bounded {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

func (s *sqliteSession) query(ctx context.Context, text string, args []any) (rows, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	ctx = s.statementContext(ctx)
	st, err := s.c.prepare(ctx, text)
	if err != nil {
		return nil, s.fail(err)
	}
	if args, err = s.c.arguments(st, args); err != nil {
		return nil, s.fail(err)
	}
	r, err := st.QueryContext(ctx, args...) //nolint:rowserrcheck // whoever reads the rows asks them, as of any rows
	if err != nil {
		return nil, s.fail(err)
	}
	s.open = &sqliteRows{r, s}
	return s.open, nil
}

func (s *sqliteSession) exec(ctx context.Context, text string, args []any) (int64, error) {
	if err := s.ready(); err != nil {
		return 0, err
	}
	ctx = s.statementContext(ctx)
	st, err := s.c.prepare(ctx, text)
	if err != nil {
		return 0, s.fail(err)
	}
	if args, err = s.c.arguments(st, args); err != nil {
		return 0, s.fail(err)
	}
	result, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, s.fail(err)
	}
	return result.RowsAffected()
}

// queue runs the statement at once: there is no round trip to save. Its failure is the next statement's, or the end's.
func (s *sqliteSession) queue(text string, args []any) {
	if _, err := s.exec(context.Background(), text, args); err != nil {
		_ = s.fail(err)
	}
}

func (s *sqliteSession) closeRows() {
	if s.open != nil {
		s.open.Close()
	}
}

// end finishes a reading transaction.
func (s *sqliteSession) end() error {
	s.closeRows()
	s.over = true
	if !s.begun {
		return nil
	}
	return s.c.run("rollback")
}

type sqliteRows struct {
	*sql.Rows
	s *sqliteSession
}

// Close frees the connection for the next statement, and keeps the failure that ended the rows early.
func (r *sqliteRows) Close() {
	if r.s.open != r {
		return
	}
	r.s.open = nil
	if err := errors.Join(r.Rows.Err(), r.Rows.Close()); err != nil {
		_ = r.s.fail(err)
	}
}

// Next closes the rows after the last one, as pgx does.
func (r *sqliteRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// sqliteCode gives the extended result code of an error of SQLite, or 0.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// sqliteStuck reports whether the disk, and not the statement, is what failed: it is full, broken, or may not be written.
func sqliteStuck(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}

func sqliteBusy(err error) bool {
	code := sqliteCode(err) & 0xff
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

package store

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// Options say which store to open and how.
type Options struct {
	// URL is sqlite:PATH or postgres://...; ?pool=transaction on the latter says that a pooler in transaction mode stands
	// between, so that neither named statements nor LISTEN work through it.
	URL string
	// DirectURL is PostgreSQL without the pooler: for migrations and LISTEN. URL where it is empty.
	DirectURL string
	// Keys seal and hash what is secret at rest.
	Keys *seal.Keys
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
	// Log gets what no caller can be told; silent where it is nil.
	Log *slog.Logger
	// Migrate brings an older PostgreSQL schema up to date. SQLite always does: nobody else could.
	Migrate bool
	// MaxConns bounds PostgreSQL's pool, or SQLite's readers; 0 chooses.
	MaxConns int
	// RefuseNested panics where a transaction is opened inside another one's closure, which with one connection would never
	// return. Looking for it takes two microseconds of each transaction, so it is for tests.
	RefuseNested bool
}

// DB is an open store.
type DB struct {
	Keys *seal.Keys
	// Public is the public base URL, for the links of letters; empty where nobody serves, and no letters of this sort are posted.
	// It is set before the first request.
	Public string

	url    string
	now    func() time.Time
	log    *slog.Logger
	d      dialect
	engine engine
	// declared is what decisions rest on, as last read.
	declared declared

	versions *versionWatch
	// newcomers are pushes that wait to share a statement.
	newcomers newcomers
	// rewrites are changes of a document that do.
	rewrites queue[pushing, *rewrite]
	// lookups are those that wait to share a statement.
	lookups queue[looking, *lookup]
	// quiet says of directories whether their last change was of nothing, or of the document alone.
	quiet sync.Map
	// recent are records that a change may be decided over.
	recent recentRecords
	posted chan struct{}
	totals totals

	refuseNested bool
}

// binding is what a transaction is bound to.
type binding struct {
	organization id.Organization
	system       bool
	write        bool
}

// engine is one of the two stores: sqliteEngine, postgresEngine.
type engine interface {
	// transact runs fn in a transaction and answers its error, or the commit's. It may run fn more than once, always in
	// the caller's goroutine.
	transact(ctx context.Context, b binding, fn func(runner) error) error
	close()
}

// Open opens a store, migrating it first where Options say so, and refuses a schema this binary cannot serve.
func Open(ctx context.Context, o Options) (*DB, error) {
	db := &DB{Keys: o.Keys, url: o.URL, now: o.Now, log: o.Log, posted: make(chan struct{}, 1), refuseNested: o.RefuseNested}
	db.versions = &versionWatch{db: db, known: map[string]knownVersion{}}
	// Who looks somebody up often changes them next, and the other way round, and is not back in the same queue for a while.
	db.lookups.patience, db.rewrites.patience = queuePatience/10, queuePatience/10
	if db.now == nil {
		db.now = time.Now
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	var err error
	switch {
	case strings.HasPrefix(o.URL, "sqlite:"):
		db.d = sqliteDialect
		db.engine, err = openSQLite(ctx, strings.TrimPrefix(o.URL, "sqlite:"), o, db.log)
	case strings.HasPrefix(o.URL, "postgres://"), strings.HasPrefix(o.URL, "postgresql://"):
		db.d = postgresDialect
		db.awaitCrowds()
		db.engine, err = openPostgres(ctx, o, db.log, db.versions.forget)
	default:
		return nil, fmt.Errorf("the store %q is neither sqlite:PATH nor postgres://...", redact(o.URL))
	}
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", redact(o.URL), err)
	}
	return db, nil
}

// awaitCrowds lets the leaders of all batches wait for those who are about in their directory. On SQLite lookups share no statement, so
// that nobody knows who is.
func (db *DB) awaitCrowds() {
	about := &crowds{}
	db.lookups.crowds, db.rewrites.crowds, db.newcomers.crowds = about, about, about
	db.lookups.reads = true
}

// redact gives a store's URL without its password, for logs and refusals.
func redact(raw string) string {
	if strings.HasPrefix(raw, "sqlite:") {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	return u.Redacted()
}

// Close ends the store: what is under way is finished, what comes later is refused.
func (db *DB) Close() { db.engine.close() }

// Now is the store's clock.
func (db *DB) Now() time.Time { return db.now() }

// Ready says whether the store can be reached and holds a schema this binary serves.
func (db *DB) Ready(ctx context.Context) error {
	var s schema
	err := db.System().Read(ctx, func(tx *SystemTx) error {
		return tx.lastRow(ctx, schemaQuery).Scan(&s.version, &s.oldest)
	})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "The store cannot be reached.")
	}
	return s.check()
}

// Read runs fn in a read-only transaction bound to org.
func (db *DB) Read(ctx context.Context, org id.Organization, fn func(tx *Tx) error) error {
	return db.run(ctx, binding{organization: org}, func(w *work) error { return fn(&Tx{w, org}) })
}

// Write runs fn in a transaction bound to org and commits it unless fn answers an error. Fn may run more than once.
func (db *DB) Write(ctx context.Context, org id.Organization, fn func(tx *Tx) error) error {
	return db.run(ctx, binding{organization: org, write: true}, func(w *work) error { return fn(&Tx{w, org}) })
}

// System is the door to what belongs to the installation.
func (db *DB) System() System { return System{db} }

// System is the marked exception: transactions that see every organization.
type System struct{ db *DB }

// Read runs fn in a read-only transaction over the whole store.
func (s System) Read(ctx context.Context, fn func(tx *SystemTx) error) error {
	return s.db.run(ctx, binding{system: true}, func(w *work) error { return fn(&SystemTx{w}) })
}

// Write runs fn in a transaction over the whole store and commits it unless fn answers an error.
func (s System) Write(ctx context.Context, fn func(tx *SystemTx) error) error {
	return s.db.run(ctx, binding{system: true, write: true}, func(w *work) error { return fn(&SystemTx{w}) })
}

func (db *DB) run(ctx context.Context, b binding, fn func(*work) error) error {
	if db.refuseNested && insideClosure() {
		panic(nested)
	}
	if !b.system && b.organization == "" {
		return fault.New(fault.NotFound, "There is no organization without an id.")
	}
	var w *work
	err := db.engine.transact(ctx, b, func(s runner) error {
		w = &work{s: s, now: db.now(), d: db.d, db: db, everywhere: b.system}
		if err := closure(fn, w); err != nil {
			return err
		}
		if err := w.tellChanged(ctx); err != nil {
			return err
		}
		// Whoever has left would not learn that it was kept, and will ask again.
		return ctx.Err()
	})
	if err != nil {
		return classify(err)
	}
	for _, name := range w.announced {
		db.versions.forget(name)
	}
	if w.posted {
		select {
		case db.posted <- struct{}{}:
		default: // the job has not looked since the last one, and will find both
		}
	}
	return nil
}

const nested = "store: a transaction was opened inside another one's closure; with a pool of one connection this never returns"

// closure is the frame insideClosure looks for: a caller's function runs nowhere else.
//
//go:noinline
func closure(fn func(*work) error, w *work) error {
	closures.Add(1)
	defer closures.Add(-1)
	return fn(w)
}

// closures counts those under way in any goroutine: where there are none, nobody is inside one.
var closures atomic.Int64

// closureFrame is where a caller's function returns to in closure.
var closureFrame = func() uintptr {
	var pcs [1]uintptr
	_ = closure(func(*work) error {
		runtime.Callers(2, pcs[:])
		return nil
	}, nil)
	return pcs[0]
}()

// insideClosure reports whether this goroutine is already inside a transaction's closure, by its own stack: a closure gets
// no context of its own that could say so. It looks at so many frames as a closure plausibly calls down, and costs two
// microseconds at most.
func insideClosure() bool {
	if closures.Load() == 0 {
		return false
	}
	var pcs [32]uintptr
	n := runtime.Callers(3, pcs[:])
	return slices.Contains(pcs[:n], closureFrame)
}

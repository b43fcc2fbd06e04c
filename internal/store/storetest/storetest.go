// Package storetest gives tests a store of their own, on SQLite and on PostgreSQL: Each runs one test on both, so that
// what a store promises is tested once and holds twice.
//
// SQLite is a copy of a migrated file, PostgreSQL a database cloned from a migrated template. PostgreSQL itself is the
// server VESTIBULE_TEST_POSTGRES names (the URL of a role that may create databases and roles), or a throw-away cluster
// that the first test of this machine starts and later ones share. The store connects as an ordinary role that owns its
// database and cannot bypass row-level security, as in production. A machine without PostgreSQL fails the test: skipping
// would let one half of the promise rot unseen.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/migrations"
)

// Kind is one of the two stores.
type Kind string

// The stores.
const (
	SQLite   Kind = "sqlite"
	Postgres Kind = "postgres"
)

// Kinds lists both.
var Kinds = []Kind{SQLite, Postgres}

// Option changes how a test's store is opened.
type Option func(*store.Options)

// With changes the options directly.
func With(change func(*store.Options)) Option { return change }

// WithClock opens the store on a clock the test moves.
func WithClock(c *Clock) Option {
	return func(o *store.Options) { o.Now = c.Now }
}

// Clock is a time that moves only when the test says so.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a Monday morning.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)}
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Each runs the test on both stores, in parallel, each on a migrated store of its own.
func Each(t *testing.T, test func(t *testing.T, db *store.DB), options ...Option) {
	t.Helper()
	EachKind(t, func(t *testing.T, kind Kind) {
		test(t, Open(t, kind, options...))
	})
}

// EachKind runs the test for both kinds, for tests that open the store themselves.
func EachKind(t *testing.T, test func(t *testing.T, kind Kind)) {
	t.Helper()
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// Open opens a fresh migrated store and closes it with the test.
func Open(t testing.TB, kind Kind, options ...Option) *store.DB {
	t.Helper()
	return OpenURL(t, URL(t, kind), options...)
}

// OpenURL opens the store at an address that URL or EmptyURL gave: a second node on the same store.
func OpenURL(t testing.TB, url string, options ...Option) *store.DB {
	t.Helper()
	o := store.Options{URL: url, Keys: Keys(), MaxConns: 4, RefuseNested: true}
	for _, change := range options {
		change(&o)
	}
	db, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(db.Close)
	watch(t, db, url)
	return db
}

// Keys are the node keys of tests.
func Keys() *seal.Keys { return testKeys() }

var testKeys = sync.OnceValue(func() *seal.Keys {
	k, err := seal.ParseKeys("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		panic(err)
	}
	return k
})

// URL gives the address of a fresh migrated store that nobody has opened.
func URL(t testing.TB, kind Kind) string {
	t.Helper()
	if kind == Postgres {
		return server(t).clone(t)
	}
	template, err := sqliteTemplate()
	if err != nil {
		t.Fatalf("prepare the SQLite template: %v", err)
	}
	raw, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vestibule.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// EmptyURL gives the address of a store without any schema.
func EmptyURL(t testing.TB, kind Kind) string {
	t.Helper()
	if kind == Postgres {
		return PostgresURL(t)
	}
	return "sqlite:" + filepath.Join(t.TempDir(), "vestibule.db")
}

// PostgresURL gives the address of an empty database, dropped with the test: for tests that start whole programs.
func PostgresURL(t testing.TB) string {
	t.Helper()
	return server(t).empty(t)
}

// fingerprint names a schema, so that a template is made once for each.
var fingerprint = sync.OnceValue(func() string {
	h := sha256.New()
	for _, folder := range []fs.FS{migrations.SQLite(), migrations.Postgres()} {
		names, _ := fs.Glob(folder, "*.sql")
		for _, name := range names {
			raw, _ := fs.ReadFile(folder, name)
			fmt.Fprintf(h, "%s %d\n%s", name, len(raw), raw)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
})

// home is the folder that the tests of this machine's user share: templates and the throw-away cluster.
func home() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("vestibule-storetest-%d", os.Getuid()))
	// The server runs under another user when the tests run as root, and passes through here to its own folder.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", err
	}
	return dir, nil
}

// sqliteTemplate gives the path of a migrated file that nobody has open.
var sqliteTemplate = sync.OnceValues(func() (string, error) {
	dir, err := home()
	if err != nil {
		return "", err
	}
	final := filepath.Join(dir, "template-"+fingerprint()+".db")
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	work, err := os.MkdirTemp(dir, "template-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	path := filepath.Join(work, "vestibule.db")
	db, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + path})
	if err != nil {
		return "", err
	}
	db.Close()
	return final, os.Rename(path, final)
})

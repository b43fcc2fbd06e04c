package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/vestibule-id/vestibule/internal/id"
)

// The names of what caches follow: rows of versions, and organizations.version.
const (
	configurationVersion = "configuration"
	keysVersion          = "keys"
)

// organizationVersion is the name an organization's version is followed by.
func organizationVersion(org id.Organization) string { return organizationPrefix + string(org) }

const organizationPrefix = "organization/"

// pollEvery is how long a node may believe a version it has read. It bounds how long another node's change of
// configuration stays unseen; a notification only makes that shorter.
const pollEvery = time.Second

// versionWatch remembers, for each followed name, the version last read and when.
type versionWatch struct {
	db     *DB
	flight singleflight.Group
	mu     sync.Mutex
	known  map[string]knownVersion // guarded by mu
	epoch  int64                   // guarded by mu; counts what was forgotten, so that a read under way is not believed
}

type knownVersion struct {
	version int64
	read    time.Time // by the machine's own clock: it measures staleness, not when something happened
}

// current gives the version of name, at most pollEvery old.
func (v *versionWatch) current(ctx context.Context, name string) (int64, error) {
	v.mu.Lock()
	k, ok := v.known[name]
	epoch := v.epoch
	v.mu.Unlock()
	if ok && time.Since(k.read) < pollEvery {
		return k.version, nil
	}
	// The epoch in the key keeps who comes after a change from sharing a read that began before it.
	return share(ctx, &v.flight, name+"@"+strconv.FormatInt(epoch, 10), func(ctx context.Context) (int64, error) {
		read := time.Now()
		version, err := v.read(ctx, name)
		if err != nil {
			return 0, err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.epoch == epoch {
			if len(v.known) >= maxCached {
				clear(v.known)
			}
			v.known[name] = knownVersion{version, read}
		}
		return version, nil
	})
}

func (v *versionWatch) read(ctx context.Context, name string) (version int64, err error) {
	if org, ok := strings.CutPrefix(name, organizationPrefix); ok {
		err = v.db.Read(ctx, id.Organization(org), func(tx *Tx) error {
			return tx.lastRow(ctx, `
				select version
				from organizations
				where organization = $1`, tx.Organization).Scan(&version)
		})
	} else {
		err = v.db.System().Read(ctx, func(tx *SystemTx) error {
			return tx.lastRow(ctx, `
				select version
				from versions
				where name = $1`, name).Scan(&version)
		})
	}
	if errors.Is(err, errNoRows) {
		return 0, nil
	}
	return version, err
}

// forget makes the next look at name ask the store; "" forgets everything.
func (v *versionWatch) forget(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.epoch++
	if name == "" {
		clear(v.known)
		return
	}
	delete(v.known, name)
}

// maxCached bounds a cache; beyond it something is dropped and loaded again when wanted.
const maxCached = 10000

// cache keeps one loaded value for each key, as long as the version the key follows stands.
type cache[T any] struct {
	db     *DB
	follow func(key string) string
	load   func(ctx context.Context, key string) (T, error)
	flight singleflight.Group
	mu     sync.RWMutex
	values map[string]cachedValue[T] // guarded by mu
}

type cachedValue[T any] struct {
	version int64
	value   T
}

// newCache makes a cache. Follow says which version a key's value depends on; load runs outside of any transaction, once
// for all who wait for the same key. Values are shared: nobody changes one.
func newCache[T any](db *DB, follow func(key string) string, load func(ctx context.Context, key string) (T, error)) *cache[T] {
	return &cache[T]{db: db, follow: follow, load: load, values: map[string]cachedValue[T]{}}
}

// get gives the value of key. It is not called from inside a transaction.
func (c *cache[T]) get(ctx context.Context, key string) (T, error) {
	version, err := c.db.versions.current(ctx, c.follow(key))
	if err != nil {
		var none T
		return none, err
	}
	c.mu.RLock()
	v, ok := c.values[key]
	c.mu.RUnlock()
	if ok && v.version == version {
		return v.value, nil
	}
	// The version was read before the value: a change in between is loaded once more than needed, never once less. It is
	// part of what is shared, so that nobody who knows of a change shares a load that began before it.
	return share(ctx, &c.flight, key+"@"+strconv.FormatInt(version, 10), func(ctx context.Context) (T, error) {
		value, err := c.load(ctx, key)
		if err != nil {
			return value, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.values) >= maxCached {
			clear(c.values)
		}
		c.values[key] = cachedValue[T]{version, value}
		return value, nil
	})
}

// share runs fn once for all who ask for key at the same time. Fn outlives the caller who started it, since the others
// still wait; a caller who is cancelled leaves alone.
func share[T any](ctx context.Context, g *singleflight.Group, key string, fn func(context.Context) (T, error)) (T, error) {
	if insideClosure() {
		panic(nested)
	}
	shared := context.WithoutCancel(ctx)
	result := g.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(shared, 10*time.Second)
		defer cancel()
		return fn(ctx)
	})
	var none T
	select {
	case r := <-result:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

package store

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// pollEvery is how long a node may believe a version it has read. It bounds how long another node's change stays unseen by
// who caches something; a notification only makes that shorter.
const pollEvery = time.Second

// versionWatch remembers the version last read of each name in versions, and when.
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

// current gives the version of name, at most pollEvery old, and never older than a change this node has made. It is not
// called from inside a transaction.
func (v *versionWatch) current(ctx context.Context, name string) (int64, error) {
	v.mu.Lock()
	k, ok := v.known[name]
	epoch := v.epoch
	v.mu.Unlock()
	if ok && time.Since(k.read) < pollEvery {
		return k.version, nil
	}
	if insideClosure() {
		panic(nested)
	}
	// One read serves all who ask meanwhile, so it outlives the one who started it. The epoch in the key keeps who comes
	// after a change from sharing a read that began before it.
	shared := context.WithoutCancel(ctx)
	result := v.flight.DoChan(name+"@"+strconv.FormatInt(epoch, 10), func() (any, error) {
		ctx, cancel := context.WithTimeout(shared, 10*time.Second)
		defer cancel()
		read := time.Now()
		version, err := v.read(ctx, name)
		if err != nil {
			return nil, err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.epoch == epoch {
			v.known[name] = knownVersion{version, read}
		}
		return version, nil
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return 0, r.Err
		}
		return r.Val.(int64), nil
	case <-ctx.Done():
		return 0, classify(ctx.Err())
	}
}

func (v *versionWatch) read(ctx context.Context, name string) (version int64, err error) {
	err = v.db.System().Read(ctx, func(tx *SystemTx) error {
		return tx.lastRow(ctx, `
			select version
			from versions
			where name = $1`, name).Scan(&version)
	})
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

package store

import (
	"context"
	"errors"
	"time"
)

// Hit counts one event under name in the window that the clock stands in, on all nodes together, and gives the count so
// far: the base of every rate limit. Windows are fixed and start at multiples of their length.
func (db *DB) Hit(ctx context.Context, name string, window time.Duration) (hits int64, err error) {
	return db.HitMany(ctx, name, window, 1)
}

// HitMany counts several at once: for a node that takes a share of what all may do and spends it by itself.
func (db *DB) HitMany(ctx context.Context, name string, window time.Duration, n int64) (hits int64, err error) {
	err = db.System().Write(ctx, func(tx *SystemTx) error {
		hits, err = tx.hit(ctx, name, window, n)
		return err
	})
	return hits, err
}

// Hit counts in this transaction, and is undone with it.
func (tx *SystemTx) Hit(ctx context.Context, name string, window time.Duration) (int64, error) {
	return tx.hit(ctx, name, window, 1)
}

func (tx *SystemTx) hit(ctx context.Context, name string, window time.Duration, n int64) (hits int64, err error) {
	started := tx.Now().Truncate(window)
	err = tx.queryRow(ctx, `
		insert into counters (name, started, expires, hits)
		values ($1, $2, $3, $4)
		on conflict (name, started) do update set hits = counters.hits + excluded.hits
		returning hits`, name, micros(started), micros(started.Add(window)), n).Scan(&hits)
	return hits, err
}

// Hits gives the count so far without adding to it.
func (db *DB) Hits(ctx context.Context, name string, window time.Duration) (int64, error) {
	var hits int64
	err := db.System().Read(ctx, func(tx *SystemTx) error {
		return tx.lastRow(ctx, `
			select hits
			from counters
			where name = $1
			and started = $2`, name, micros(tx.Now().Truncate(window))).Scan(&hits)
	})
	if errors.Is(err, errNoRows) {
		return 0, nil
	}
	return hits, err
}

// Forget sets the count under name back to nothing: after a success, earlier failures no longer count.
func (db *DB) Forget(ctx context.Context, name string) error {
	return db.System().Write(ctx, func(tx *SystemTx) error {
		tx.queue(`
			delete from counters
			where name = $1`, name)
		return nil
	})
}

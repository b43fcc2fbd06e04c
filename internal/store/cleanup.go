package store

import (
	"context"
	"strings"
	"time"
)

// expired says of one table which rows are over, and how long they are kept beyond that: for a person who asks why, and
// for reuse to be noticed.
type expired struct {
	table string
	key   []string
	over  string // with $1 for the moment they had to be over by
	keep  time.Duration
}

const day = 24 * time.Hour

// The order lets what cascades go last: a family takes its codes and tokens along. Its own rows outlive its used refresh
// tokens, so that a stolen one that comes back late still betrays itself.
var cleanups = []expired{
	{"attempts", []string{"id"}, "expires < $1", day},
	{"challenges", []string{"id"}, "expires < $1", 0},
	{"counters", []string{"name", "started"}, "expires < $1", 0},
	{"codes", []string{"organization", "hash"}, "expires < $1", day},
	{"access_tokens", []string{"organization", "hash"}, "expires < $1", day},
	{"families", []string{"organization", "id"}, "expires < $1 or revoked < $1", 30 * day},
	{"sessions", []string{"organization", "id"}, "expires < $1 or ended < $1", 30 * day},
	{"personal_links", []string{"organization", "hash"}, "expires < $1", 30 * day},
	{"pending_identities", []string{"organization", "id"}, "expires < $1", day},
	{"known_browsers", []string{"organization", "user_id", "browser_hash"}, "used < $1", 180 * day},
	{"sso_exceptions", []string{"organization", "id"}, "expires < $1", 90 * day},
	{"setup_links", []string{"organization", "id"}, "expires < $1", 90 * day},
	{"connection_tests", []string{"organization", "id"}, "started < $1", 30 * day},
	{"operator_links", []string{"hash"}, "expires < $1", day},
	{"operator_sessions", []string{"hash"}, "expires < $1", day},
	{"invitations", []string{"organization", "id"}, "accepted < $1 or revoked < $1", 90 * day},
	{"list_places", []string{"organization", "directory", "list", "position"}, "kept < $1", time.Hour},
	{"sightings", []string{"organization", "directory", "resource"}, "seen < $1", 400 * day},
	{"outbox", []string{"id"}, "delivered < $1 or failed < $1", 90 * day},
}

// A pass of Cleanup reads this many keys of a table, and deletes so many in a transaction: small enough for nobody who
// writes to wait long.
const (
	cleanupRead   = 10000
	cleanupDelete = 250
)

// Cleanup deletes what is over and gives the number of rows gone. Rows are found by a reading transaction, since a scan
// must not keep SQLite's one writer.
func (db *DB) Cleanup(ctx context.Context) (int, error) {
	total := 0
	for _, e := range cleanups {
		for {
			n, err := db.cleanup(ctx, e)
			total += n
			if err != nil {
				return total, err
			}
			if n < cleanupRead {
				break
			}
		}
	}
	waves, err := db.dropWaves(ctx)
	if err != nil {
		return total, err
	}
	n, err := db.dropRequests(ctx)
	return total + waves + n, err
}

func (db *DB) cleanup(ctx context.Context, e expired) (int, error) {
	before := micros(db.now().Add(-e.keep))
	var keys [][]any
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		keys, err = collect[[]any](tx.lastQuery(ctx, `
			select `+strings.Join(e.key, ", ")+`
			from `+e.table+`
			where `+e.over+`
			limit $2`, before, cleanupRead))(func(s scanner) ([]any, error) {
			key, to := make([]any, len(e.key)), make([]any, len(e.key))
			for i := range key {
				to[i] = &key[i]
			}
			return key, s.Scan(to...)
		})
		return err
	})
	if err != nil {
		return 0, err
	}
	// The condition is asked again: a row may have been renewed since.
	sql := `
		delete from ` + e.table + `
		where (` + e.over + `)`
	for i, column := range e.key {
		sql += "\n\t\tand " + column + " = $" + string(rune('2'+i))
	}
	for done := 0; done < len(keys); done += cleanupDelete {
		err := db.System().Write(ctx, func(tx *SystemTx) error {
			for _, key := range keys[done:min(done+cleanupDelete, len(keys))] {
				tx.queue(sql, append([]any{before}, key...)...)
			}
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	return len(keys), nil
}

package store

import (
	"context"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Plan gives what the store says of how it runs a statement. PostgreSQL runs it for that: it does not tell of what it leaves out
// otherwise.
func (tx *Tx) Plan(ctx context.Context, sql string, args ...any) (string, error) {
	if tx.d == postgresDialect {
		lines, err := tx.Strings(ctx, "explain (analyze, timing off, summary off) "+sql, args...)
		return strings.Join(lines, "\n"), err
	}
	lines, err := collect[string](tx.query(ctx, "explain query plan "+sql, args...))(func(s scanner) (line string, err error) {
		var node, parent, unused int64
		return line, s.Scan(&node, &parent, &unused, &line)
	})
	return strings.Join(lines, "\n"), err
}

// RequestPlans gives the plans of the statements that look for requests by their time.
func (tx *Tx) RequestPlans(ctx context.Context, dir id.Directory, t time.Time) (map[string]string, error) {
	plans := map[string]string{}
	var err error
	plan := func(name, sql string, args ...any) {
		if err == nil {
			plans[name], err = tx.Plan(ctx, sql, args...)
		}
	}
	plan("drop", dropOldRequests, tx.Organization, dir, id.From[id.Request](t), cleanupDelete)
	listed, args := RequestFilter{From: t, To: t.Add(time.Hour)}.query(tx.Organization, dir)
	plan("list", listed, args...)
	plan("refused", refusedRequests, tx.Organization, dir, id.From[id.Request](t), micros(t), 100)
	plan("calls", callsApart(tx.d), tx.Organization, dir, time.Hour.Microseconds(), micros(t))
	return plans, err
}

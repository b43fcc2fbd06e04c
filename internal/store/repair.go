package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// Repaired is how often a directory's dialect forgave one kind of departure from the standard.
type Repaired struct {
	Deviation     scim.Deviation
	Times         int64
	First, Latest time.Time
}

// countRepairs adds what the dialect forgave in these requests to the directories' counts. They outlive the log of requests.
func (tx *Tx) countRepairs(list []directory.Request) {
	type kind struct {
		directory id.Directory
		deviation scim.Deviation
	}
	counts := map[kind]*Repaired{}
	for i := range list {
		for deviation, n := range list[i].Repairs {
			k := kind{list[i].Directory, deviation}
			c := counts[k]
			if c == nil {
				c = &Repaired{Deviation: deviation, First: list[i].At, Latest: list[i].At}
				counts[k] = c
			}
			c.Times += int64(n)
			if list[i].At.Before(c.First) {
				c.First = list[i].At
			}
			if list[i].At.After(c.Latest) {
				c.Latest = list[i].At
			}
		}
	}
	// In one order everywhere, so that two nodes never wait for each other in a circle.
	for _, k := range slices.SortedFunc(maps.Keys(counts), func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.directory, b.directory), cmp.Compare(a.deviation, b.deviation))
	}) {
		c := counts[k]
		tx.queue(`
			insert into directory_repairs (organization, directory, deviation, hits, first, latest)
			select d.organization, d.id, cast($3 as text), cast($4 as bigint), cast($5 as bigint), cast($6 as bigint)
			from directories d
			where d.organization = $1
				and d.id = $2
			on conflict (organization, directory, deviation) do update
			set hits = directory_repairs.hits + excluded.hits,
				latest = case when excluded.latest > directory_repairs.latest then excluded.latest else directory_repairs.latest end`,
			tx.Organization, k.directory, k.deviation, c.Times, micros(c.First), micros(c.Latest))
	}
}

// Repairs gives what a directory's dialect has forgiven so far, the most frequent kind first.
func (tx *Tx) Repairs(ctx context.Context, dir id.Directory) ([]Repaired, error) {
	list, err := collect[Repaired](tx.query(ctx, `
		select deviation, hits, first, latest
		from directory_repairs
		where organization = $1
			and directory = $2
		order by hits desc, deviation`, tx.Organization, dir))(func(s scanner) (r Repaired, err error) {
		err = s.Scan(&r.Deviation, &r.Times, at(&r.First), at(&r.Latest))
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the repairs of %s: %w", dir, err)
	}
	return list, nil
}

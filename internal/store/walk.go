package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// A full walk is a directory going through everybody it knows, so that who is here and was not met is unknown to it. There
// are two ways. A listing that is read from its first page to its last shows the directory all it has pushed; nobody knows
// then of people and groups that were made here. And a pass of requests that name one resource after the other (a lookup, a
// PUT, a PATCH, whether anything changes or not) without a longer pause is a resynchronization when it names nearly all.

// WalkMeans is how a directory went through everybody.
type WalkMeans string

// The means of a walk.
const (
	WalkListed WalkMeans = "listed"
	WalkNamed  WalkMeans = "named"
)

// Walk is the last full walk by one means.
type Walk struct {
	Means             WalkMeans
	Started, Finished time.Time
	Seen              int64 // people or groups, so far as they say they are active
}

const (
	// walkPause ends a pass: providers that go through everybody do so without one, and their next look at what has changed
	// comes later than that.
	walkPause = 15 * time.Minute
	// walkShare is how much of a directory a pass has to name to be a full walk, in percent: when a fifth has drifted
	// away, something else is wrong.
	walkShare = 80
)

// Resource kinds, as in the request log.
const (
	kindUser  = "User"
	kindGroup = "Group"
)

// Shared reports whether other nodes may serve the same store.
func (db *DB) Shared() bool { return db.d == postgresDialect }

// KeepPlace keeps where a page of a listing ended, for the node that serves the next one.
func (tx *Tx) KeepPlace(_ context.Context, dir id.Directory, list string, before int, p scim.Place) {
	if sql := tx.d.hasty(); sql != "" {
		tx.queue(sql)
	}
	tx.queue(`
		insert into list_places (organization, directory, list, position, after, began, kept)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (organization, directory, list, position) do update
		set after = excluded.after, began = excluded.began, kept = excluded.kept`,
		tx.Organization, dir, list, before, p.After, microsOrNull(p.Began), micros(tx.now))
}

// PlaceOf gives what KeepPlace kept, if that was not too long ago.
func (tx *Tx) PlaceOf(ctx context.Context, dir id.Directory, list string, before int) (p scim.Place, found bool, err error) {
	err = tx.lastRow(ctx, `
		select after, began
		from list_places
		where organization = $1
			and directory = $2
			and list = $3
			and position = $4
			and kept > $5`, tx.Organization, dir, list, before, micros(tx.now.Add(-scim.PlaceAge))).Scan(&p.After, at(&p.Began))
	if errors.Is(err, errNoRows) {
		return p, false, nil
	}
	return p, err == nil, err
}

// Listed notes that a directory has read its whole list of a kind of resource.
func (tx *Tx) Listed(dir id.Directory, kind string, began time.Time, seen int) {
	tx.fullWalk(dir, kind, Walk{WalkListed, began, tx.now, int64(seen)})
}

func (tx *Tx) fullWalk(dir id.Directory, kind string, w Walk) {
	tx.queue(`
		insert into walks (organization, directory, kind, means, started, finished, seen)
		select d.organization, d.id, $3, $4, cast($5 as bigint), cast($6 as bigint), cast($7 as bigint)
		from directories d
		where d.organization = $1
			and d.id = $2
		on conflict (organization, directory, kind, means) do update
		set started = excluded.started, finished = excluded.finished, seen = excluded.seen`,
		tx.Organization, dir, kind, w.Means, micros(w.Started), micros(w.Finished), w.Seen)
}

// Sighted notes that a directory named these resources and changed nothing about them; a change stands on the record. Each
// stands in the list once.
func (tx *Tx) Sighted(dir id.Directory, resources []string) {
	if len(resources) == 0 {
		return
	}
	tx.queue(`
		insert into sightings (organization, directory, resource, seen)
		select d.organization, d.id, e.resource, cast($4 as bigint)
		from directories d
		cross join (`+tx.d.elements("$3", "resource")+`) e
		where d.organization = $1
			and d.id = $2
		on conflict (organization, directory, resource) do update
		set seen = excluded.seen`, tx.Organization, dir, encode(resources), micros(tx.now))
}

// Named notes that a directory is naming resources of a kind. The caller asks now and then, not for each request: a pass is
// judged when the next one begins.
func (db *DB) Named(ctx context.Context, org id.Organization, dir id.Directory, kind string) error {
	var over *Walk
	err := db.Read(ctx, org, func(tx *Tx) error {
		started, latest, err := tx.pass(ctx, dir, kind)
		if err == nil && !started.IsZero() && tx.now.Sub(latest) > walkPause {
			over, err = tx.judge(ctx, dir, kind, started, latest)
		}
		return err
	})
	if err != nil {
		return err
	}
	return db.Write(ctx, org, func(tx *Tx) error {
		if over != nil {
			tx.fullWalk(dir, kind, *over)
		}
		tx.queue(`
			insert into walks (organization, directory, kind, means, seen, pass_started, pass_latest)
			select d.organization, d.id, $3, $4, 0, cast($5 as bigint), cast($5 as bigint)
			from directories d
			where d.organization = $1
				and d.id = $2
			on conflict (organization, directory, kind, means) do update
			set pass_started = case
					when walks.pass_latest >= cast($6 as bigint) then walks.pass_started
					else excluded.pass_started end,
				pass_latest = excluded.pass_latest`,
			tx.Organization, dir, kind, WalkNamed, micros(tx.now), micros(tx.now.Add(-walkPause)))
		return nil
	})
}

func (tx *Tx) pass(ctx context.Context, dir id.Directory, kind string) (started, latest time.Time, err error) {
	err = tx.queryRow(ctx, `
		select pass_started, pass_latest
		from walks
		where organization = $1
			and directory = $2
			and kind = $3
			and means = $4`, tx.Organization, dir, kind, WalkNamed).Scan(at(&started), at(&latest))
	if errors.Is(err, errNoRows) {
		err = nil
	}
	return started, latest, err
}

// met is true of a row that the directory has named or changed since a moment, a placeholder.
func met(row, resource, since string) string {
	return fmt.Sprintf(`(%[1]s.created >= %[3]s
				or %[1]s.modified >= %[3]s
				or exists (
					select 1
					from sightings s
					where s.organization = $1
						and s.directory = $2
						and s.resource = %[2]s
						and s.seen >= %[3]s))`, row, resource, since)
}

// judge tells whether a pass was a full walk; nil: it was not.
func (tx *Tx) judge(ctx context.Context, dir id.Directory, kind string, started, latest time.Time) (*Walk, error) {
	from, row, resource := "directory_records r", "r", "r.user_id"
	active := "and r.active = true"
	if kind == kindGroup {
		from, row, resource, active = "groups g", "g", "g.id", ""
	}
	var all, seen int64
	err := tx.queryRow(ctx, `
		select count(*), coalesce(sum(case when `+met(row, resource, "$3")+` then 1 else 0 end), 0)
		from `+from+`
		where `+row+`.organization = $1
			and `+row+`.directory = $2
			`+active, tx.Organization, dir, micros(started)).Scan(&all, &seen)
	if err != nil {
		return nil, fmt.Errorf("count whom %s named: %w", dir, err)
	}
	if all == 0 || seen*100 < all*walkShare {
		return nil, nil
	}
	return &Walk{WalkNamed, started, latest, seen}, nil
}

// Walks gives the last full walks of a directory through its users, or its groups, the latest first.
func (tx *Tx) Walks(ctx context.Context, dir id.Directory, groups bool) ([]Walk, error) {
	kind := kindUser
	if groups {
		kind = kindGroup
	}
	list, err := collect[Walk](tx.query(ctx, `
		select means, started, finished, seen
		from walks
		where organization = $1
			and directory = $2
			and kind = $3
			and finished is not null
		order by finished desc, means`, tx.Organization, dir, kind))(func(s scanner) (w Walk, err error) {
		err = s.Scan(&w.Means, at(&w.Started), at(&w.Finished), &w.Seen)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the walks of %s: %w", dir, err)
	}
	// The last pass may be over and not judged yet, since none has begun after it.
	started, latest, err := tx.pass(ctx, dir, kind)
	if err != nil || started.IsZero() || tx.now.Sub(latest) <= walkPause {
		return list, err
	}
	w, err := tx.judge(ctx, dir, kind, started, latest)
	if err != nil || w == nil {
		return list, err
	}
	out := []Walk{*w}
	for _, old := range list {
		switch {
		case old.Means == WalkNamed:
		case old.Finished.After(w.Finished):
			out = append([]Walk{old}, out...)
		default:
			out = append(out, old)
		}
	}
	return out, nil
}

// DriftedGroup is one group of a drift list.
type DriftedGroup struct {
	Group     id.Group
	Name      string
	Directory id.Directory // "" for one that was made here, or named by a sign-in's claim
	Members   int64
	Since     time.Time // made here, or last changed by the directory
}

// DriftedGroups lists the groups of one kind of drift by id, from behind after: those made here (DriftManual), those that the
// directory has not changed before a moment (DriftStale), and those that its last full walk did not meet (DriftUnseen).
func (tx *Tx) DriftedGroups(ctx context.Context, q DriftQuery, after id.Group) ([]DriftedGroup, error) {
	where, since := "g.directory is null", "g.created"
	args := []any{tx.Organization, q.Directory, after, q.Limit}
	switch {
	case q.Kind == DriftManual || q.Kind == DriftUnseen && q.Walk.Means == WalkListed:
		// The directory stands in the text, so that PostgreSQL knows the placeholder's type.
		where += " and cast($2 as text) <> ''"
	case q.Kind == DriftUnseen:
		args = append(args, micros(q.Walk.Started))
		where, since = "g.directory = $2 and not "+met("g", "g.id", "$5"), "g.modified"
	case q.Kind == DriftStale:
		args = append(args, micros(q.Before))
		where, since = "g.directory = $2 and not "+met("g", "g.id", "$5"), "g.modified"
	default:
		return nil, nil
	}
	list, err := collect[DriftedGroup](tx.query(ctx, `
		select g.id, g.display_name, g.directory, `+since+`, (
				select count(*)
				from group_members m
				where m.organization = $1
					and m.group_id = g.id)
		from groups g
		where g.organization = $1
			and g.id > $3
			and `+where+`
		order by g.id
		limit cast($4 as bigint)`, args...))(func(s scanner) (d DriftedGroup, err error) {
		err = s.Scan(&d.Group, &d.Name, orEmpty(&d.Directory), at(&d.Since), &d.Members)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for %s groups: %w", q.Kind, err)
	}
	return list, nil
}

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Drift is why somebody is here although the identity provider may not know: what an administrator looks through now and
// then.
type Drift string

// The kinds of drift.
const (
	// DriftManual is a user whom no directory speaks for: invited, made by an operator, or signed in just in time.
	DriftManual Drift = "manual"
	// DriftOrphaned is a user who rests on an administrator's word alone, after the last record went or while every record
	// says inactive.
	DriftOrphaned Drift = "orphaned"
	// DriftStale is a user whose record its directory has not changed for long, and who has not been here either.
	DriftStale Drift = "stale"
)

// Drifted is one user of a drift list.
type Drifted struct {
	User     id.User
	Name     string
	UserName string
	Status   directory.Status
	Source   directory.LocalSource
	Since    time.Time // created, or the record's last change
	LastSeen time.Time
}

// Drifted lists the users of one kind of drift by id, from behind after. Stale ones are those of the directory whose record
// was last changed before the given time.
func (tx *Tx) Drifted(ctx context.Context, dir id.Directory, kind Drift, before time.Time, after id.User, limit int) ([]Drifted, error) {
	// The condition is closed where it is used.
	const none = `not exists (select 1 from directory_records r where r.organization = $1 and r.user_id = u.id`
	since, from, where := "u.created", "users u", ""
	args := []any{tx.Organization, after, limit}
	switch kind {
	case DriftManual:
		where = "u.kept_without_directory = false and " + none + ")"
	case DriftOrphaned:
		where = "u.kept_without_directory = true and " + none + " and r.active = true)"
	case DriftStale:
		since, from = "r.modified", "directory_records r cross join users u"
		where = `r.organization = $1 and r.directory = $4 and r.active = true and r.user_id = u.id and r.modified < $5
			and coalesce(u.last_seen, 0) < $5`
		args = append(args, dir, micros(before))
	default:
		return nil, fault.New(fault.Invalid, "%q is no kind of drift.", kind)
	}
	list, err := collect[Drifted](tx.query(ctx, `
		select u.id, u.display_name, u.user_name, u.status, u.local_source, `+since+`, u.last_seen
		from `+from+`
		where u.organization = $1
			and u.status <> 'deleted'
			and u.id > $2
			and `+where+`
		order by u.id
		limit cast($3 as bigint)`, args...))(func(s scanner) (d Drifted, err error) {
		err = s.Scan(&d.User, &d.Name, &d.UserName, &d.Status, orEmpty(&d.Source), at(&d.Since), at(&d.LastSeen))
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for %s users: %w", kind, err)
	}
	return list, nil
}

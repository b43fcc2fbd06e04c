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
	// DriftUnseen is a user whom the directory's last full walk did not meet.
	DriftUnseen Drift = "unseen"
)

// DriftQuery says which drift is looked for.
type DriftQuery struct {
	Directory id.Directory
	Kind      Drift
	Before    time.Time // of DriftStale: not changed and not here since
	Walk      Walk      // of DriftUnseen
	Limit     int
}

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
// was last changed before the given time. Unseen ones are the active users that the directory did not name in its walk; of a
// walk by listing, which shows a directory all of its own, those whom no directory pushed at all.
func (tx *Tx) Drifted(ctx context.Context, q DriftQuery, after id.User) ([]Drifted, error) {
	// The condition is closed where it is used.
	const none = `not exists (select 1 from directory_records r where r.organization = $1 and r.user_id = u.id`
	since, from, where := "u.created", "users u", ""
	args := []any{tx.Organization, q.Directory, after, q.Limit}
	switch q.Kind {
	case DriftManual:
		where = "u.kept_without_directory = false and " + none + ")"
	case DriftOrphaned:
		where = "u.kept_without_directory = true and " + none + " and (r.active = true or r.undone is not null))"
	case DriftStale:
		since, from = "r.modified", "directory_records r cross join users u"
		where = `r.organization = $1 and r.directory = $2 and r.active = true and r.user_id = u.id and r.modified < $5
			and coalesce(u.last_seen, 0) < $5`
		args = append(args, micros(q.Before))
	case DriftUnseen:
		if q.Walk.Means == WalkListed {
			where = none + ") and u.created < $5"
			args = append(args, micros(q.Walk.Finished))
			break
		}
		since, from = "r.modified", "directory_records r cross join users u"
		where = `r.organization = $1 and r.directory = $2 and r.active = true and r.user_id = u.id
			and not ` + met("r", "r.user_id", "$5")
		args = append(args, micros(q.Walk.Started))
	default:
		return nil, fault.New(fault.Invalid, "%q is no kind of drift.", q.Kind)
	}
	// The directory stands in every text, so that PostgreSQL knows the placeholder's type.
	where += " and cast($2 as text) <> ''"
	list, err := collect[Drifted](tx.query(ctx, `
		select u.id, u.display_name, u.user_name, u.status, u.local_source, `+since+`, u.last_seen
		from `+from+`
		where u.organization = $1
			and u.status <> 'deleted'
			and u.id > $3
			and `+where+`
		order by u.id
		limit cast($4 as bigint)`, args...))(func(s scanner) (d Drifted, err error) {
		err = s.Scan(&d.User, &d.Name, &d.UserName, &d.Status, orEmpty(&d.Source), at(&d.Since), at(&d.LastSeen))
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for %s users: %w", q.Kind, err)
	}
	return list, nil
}

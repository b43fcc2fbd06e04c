package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
)

// Rhythm learns from the request log how often a directory calls.
func (tx *Tx) Rhythm(ctx context.Context, d *directory.Directory) (directory.Rhythm, error) {
	calls, err := collect[time.Time](tx.query(ctx, callsApart(tx.d), tx.Organization, d.ID, directory.RhythmApart.Microseconds(),
		micros(d.LastRequest.Add(-directory.RhythmWindow))))(
		func(s scanner) (t time.Time, err error) {
			err = s.Scan(at(&t))
			return t, err
		})
	if err != nil {
		return directory.Rhythm{}, fmt.Errorf("learn when directory %s calls: %w", d.ID, err)
	}
	return directory.RhythmOf(d.Dialect, calls), nil
}

// callsApart finds each call from the one after it by the key, so that a day of a million requests costs no more than one with twenty.
func callsApart(d dialect) string {
	return `
		with recursive calls (at) as (
			select (
				select r.at
				from scim_requests r
				where r.organization = $1
					and r.directory = $2
					and r.token_state = 'good'
				order by r.id desc
				limit 1)
			union all
			select (
				select r.at
				from scim_requests r
				where r.organization = $1
					and r.directory = $2
					and r.token_state = 'good'
					and r.at <= calls.at - $3
					and r.id < ` + d.idFrom("(calls.at - $3 + 1)") + `
				order by r.id desc
				limit 1)
			from calls
			where calls.at > $4
		)
		select at
		from calls
		where at is not null
		order by at desc`
}

// silenceChange is a directory that has fallen silent, or calls again.
type silenceChange struct {
	directory *directory.Directory
	since     time.Time // when the silence began
	silent    bool
}

func (tx *Tx) silenceChanges(ctx context.Context) ([]silenceChange, error) {
	list, err := tx.Directories(ctx)
	if err != nil {
		return nil, err
	}
	var out []silenceChange
	for _, short := range list {
		d, err := tx.Directory(ctx, short.ID)
		if err != nil {
			return nil, err
		}
		since, err := tx.silentSince(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		rhythm, err := tx.Rhythm(ctx, d)
		if err != nil {
			return nil, err
		}
		switch silent := rhythm.Silent(d, tx.now); {
		case silent && !since.Equal(d.LastRequest):
			out = append(out, silenceChange{d, d.LastRequest, true})
		case !silent && !since.IsZero() && d.LastRequest.After(since):
			out = append(out, silenceChange{d, since, false})
		}
	}
	return out, nil
}

// TellSilences writes to those who look after provisioning, and to webhooks, once for each directory that has fallen silent beyond its
// own rhythm, and once when it is back.
func (db *DB) TellSilences(ctx context.Context) error {
	return db.tellEach(ctx, "of silent directories", func(tx *Tx) (bool, error) {
		changes, err := tx.silenceChanges(ctx)
		return len(changes) > 0, err
	}, func(tx *Tx) error {
		tx.Lock(ctx, "silences")
		changes, err := tx.silenceChanges(ctx)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if err := tx.tellSilence(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (tx *Tx) tellSilence(ctx context.Context, c silenceChange) error {
	action, template := "directory.back", mail.DirectoryBack
	if c.silent {
		action, template = "directory.silent", mail.DirectorySilent
		tx.queue(`
			insert into directory_silences (organization, directory, since, told)
			values ($1, $2, $3, $4)
			on conflict (organization, directory) do update
			set since = excluded.since, told = excluded.told`, tx.Organization, c.directory.ID, micros(c.since), micros(tx.now))
	} else {
		tx.queue(`
			delete from directory_silences
			where organization = $1
				and directory = $2`, tx.Organization, c.directory.ID)
	}
	letters, err := tx.NotifyHolders(ctx, notification.Directories, mail.Letter{Template: template, Data: map[string]any{
		"Directory": c.directory.Name, "Since": mail.When(c.since), "Link": tx.pageLink("directories/" + string(c.directory.ID) + "/requests"),
	}})
	if err != nil {
		return err
	}
	tx.Record(ctx, audit.Event{
		Actor: watcher, Action: action, TargetKind: "directory",
		TargetID: string(c.directory.ID), TargetName: c.directory.Name,
		After: auditJSON(map[string]any{"silent_since": c.since.UTC(), "letters": letters}),
	})
	return nil
}

// silentSince is the beginning of the silence that was told of; zero where none was.
func (tx *Tx) silentSince(ctx context.Context, dir id.Directory) (since time.Time, err error) {
	err = tx.queryRow(ctx, `
		select since
		from directory_silences
		where organization = $1
			and directory = $2`, tx.Organization, dir).Scan(at(&since))
	if errors.Is(err, errNoRows) {
		return time.Time{}, nil
	}
	return since, err
}

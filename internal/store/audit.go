package store

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
)

// AuditFilter says which events a listing shows; the zero value shows all. Page and export take the same one.
type AuditFilter struct {
	User    id.User   // events that concern this user
	Action  string    // an action ("grant.given"), or with a dot at its end all of one object ("grant.")
	Actor   string    // the actor's id
	IP      string    // the address it came from
	Target  string    // the target's id
	From    time.Time // not before
	To      time.Time // before
	Outcome string    // audit.Done or audit.Refused
	Code    string    // the code of a refusal, as shown on the page
	Text    string    // somewhere in the names of actor and target, the action, the reason or the code
	Before  id.Event  // the cursor: only events older than this one
	Limit   int       // 100 where it is 0
}

const auditColumns = `id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, target_name, user_id, outcome,
	code, before, after, reason, ip, door, request`

// Events lists the organization's events, newest first.
func (tx *Tx) Events(ctx context.Context, f AuditFilter) ([]audit.Event, error) {
	return tx.events(ctx, tx.Organization, f)
}

// Events lists the installation's own events, newest first.
func (tx *SystemTx) Events(ctx context.Context, f AuditFilter) ([]audit.Event, error) {
	return tx.events(ctx, "", f)
}

// streamPage is how many events EachEvent reads in one transaction.
const streamPage = 500

// EachEvent walks all events of the filter, newest first, a page a transaction: an export of years holds nothing open
// while its reader is slow. f.Limit is not regarded. Events newer than the first page are not in it.
func (db *DB) EachEvent(ctx context.Context, org id.Organization, f AuditFilter) iter.Seq2[audit.Event, error] {
	return func(yield func(audit.Event, error) bool) {
		f.Limit = streamPage
		for {
			var page []audit.Event
			err := db.Read(ctx, org, func(tx *Tx) (err error) {
				page, err = tx.Events(ctx, f)
				return err
			})
			if err != nil {
				yield(audit.Event{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) < streamPage {
				return
			}
			f.Before = page[len(page)-1].ID
		}
	}
}

// Event gives one event of the organization.
func (tx *Tx) Event(ctx context.Context, event id.Event) (audit.Event, error) {
	return scanEvent(tx.Organization, tx.queryRow(ctx, `
		select `+auditColumns+`
		from audit
		where organization = $1
		and id = $2`, tx.Organization, event))
}

func (w *work) events(ctx context.Context, org id.Organization, f AuditFilter) ([]audit.Event, error) {
	args := []any{org}
	var where strings.Builder
	// and adds a clause of ours; every value travels as an argument. ? stands for the argument's number.
	and := func(clause string, value any) {
		args = append(args, value)
		where.WriteString("\n\t\tand " + strings.ReplaceAll(clause, "?", "$"+strconv.Itoa(len(args))))
	}
	if f.User != "" {
		and("user_id = ?", f.User)
	}
	if strings.HasSuffix(f.Action, ".") {
		// Every action of an object lies between "grant." and "grant/": the index answers it.
		and("action >= ?", f.Action)
		and("action < ?", strings.TrimSuffix(f.Action, ".")+"/")
	} else if f.Action != "" {
		and("action = ?", f.Action)
	}
	if f.Actor != "" {
		and("actor_id = ?", f.Actor)
	}
	if f.IP != "" {
		and("ip = ?", f.IP)
	}
	if f.Target != "" {
		and("target_id = ?", f.Target)
	}
	if !f.From.IsZero() {
		and("at >= ?", micros(f.From))
	}
	if !f.To.IsZero() {
		and("at < ?", micros(f.To))
	}
	if f.Outcome != "" {
		and("outcome = ?", f.Outcome)
	}
	if f.Code != "" {
		and("code = ?", f.Code)
	}
	if f.Text != "" {
		like := " " + w.d.ilike() + ` ? escape '\'`
		and("(actor_name"+like+" or target_name"+like+" or action"+like+" or reason"+like+" or code"+like+")",
			"%"+escapeLike(f.Text)+"%")
	}
	if f.Before != "" {
		and("id < ?", f.Before)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	args = append(args, limit)
	return collect[audit.Event](w.query(ctx, `
		select `+auditColumns+`
		from audit
		where organization = $1`+where.String()+`
		order by id desc
		limit $`+strconv.Itoa(len(args)), args...))(func(s scanner) (audit.Event, error) {
		return scanEvent(org, s)
	})
}

func scanEvent(org id.Organization, s scanner) (e audit.Event, err error) {
	e.Actor.Organization = org
	err = s.Scan(&e.ID, &e.At, &e.Actor.Kind, &e.Actor.ID, &e.Actor.Name, &e.Action, &e.TargetKind, &e.TargetID,
		&e.TargetName, orEmpty(&e.User), &e.Outcome, orEmpty(&e.Code), rawJSON(&e.Before), rawJSON(&e.After),
		orEmpty(&e.Reason), &e.Actor.IP, &e.Actor.Door, &e.Actor.Request)
	return e, err
}

func (w *work) record(org id.Organization, e audit.Event) {
	if e.ID == "" {
		e.ID = id.New[id.Event]()
	}
	if e.At == 0 {
		e.At = micros(w.now)
	}
	if e.Outcome == "" {
		e.Outcome = audit.Done
	}
	w.recorded = append(w.recorded, e)
	w.queue(`
		insert into audit (organization, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id,
			target_name, user_id, outcome, code, before, after, reason, ip, door, request)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		org, e.ID, e.At, e.Actor.Kind, e.Actor.ID, e.Actor.Name, e.Action, e.TargetKind, e.TargetID,
		e.TargetName, orNull(e.User), e.Outcome, orNull(e.Code), jsonOrNull(e.Before), jsonOrNull(e.After),
		orNull(e.Reason), e.Actor.IP, e.Actor.Door, e.Actor.Request)
}

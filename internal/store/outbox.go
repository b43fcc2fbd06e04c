package store

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

const outboxColumns = `id, organization, kind, destination, payload, created, next_at, attempts, leased_until, delivered, failed,
	last_error, receipt`

func scanDelivery(s scanner) (d outbox.Delivery, err error) {
	err = s.Scan(&d.ID, &d.Organization, &d.Kind, &d.Destination, rawJSON(&d.Payload), &d.Created, &d.NextAt, &d.Attempts,
		orZero(&d.LeasedUntil), orZero(&d.Delivered), orZero(&d.Failed), orEmpty(&d.LastError), rawJSON(&d.Receipt))
	return d, err
}

func (w *work) post(org id.Organization, d outbox.Delivery) id.Delivery {
	if d.ID == "" {
		d.ID = id.New[id.Delivery]()
	}
	if d.NextAt == 0 {
		d.NextAt = micros(w.now)
	}
	w.queue(`
		insert into outbox (id, organization, kind, destination, payload, created, next_at, attempts)
		values ($1, $2, $3, $4, $5, $6, $7, 0)`,
		d.ID, org, d.Kind, d.Destination, string(d.Payload), micros(w.now), d.NextAt)
	w.posted = true
	return d.ID
}

// Posted has something to receive when a transaction of this node has posted a delivery, so that the job need not wait
// for its next look.
func (db *DB) Posted() <-chan struct{} { return db.posted }

// DueDeliveries gives up to n deliveries that are due and that nobody has, the longest due first, without what is full. It takes none
// of them: only what they are, for whom and where to is said. A look costs the writer nothing, and most of the time nothing is due.
func (db *DB) DueDeliveries(ctx context.Context, n int, full outbox.Full) (due []outbox.Delivery, err error) {
	err = db.System().Read(ctx, func(tx *SystemTx) (err error) {
		args := arguments{micros(tx.Now())}
		due, err = collect[outbox.Delivery](tx.query(ctx, `
			select id, organization, kind, destination
			from outbox
			where delivered is null
			and failed is null
			and next_at <= $1
			and (leased_until is null or leased_until <= $1)
			and not (`+in("kind", full.Kinds, args.add)+`)
			and not (`+in("kind || ' ' || organization", full.Organizations, args.add)+`)
			and not (`+in("kind || ' ' || destination", full.Destinations, args.add)+`)
			order by next_at
			limit `+args.add(n), args...))(func(s scanner) (d outbox.Delivery, err error) {
			return d, s.Scan(&d.ID, &d.Organization, &d.Kind, &d.Destination)
		})
		return err
	})
	return due, err
}

// LeaseDeliveries takes up to n deliveries that are due, of the chosen ones where any are named, for the length of the lease: nobody
// else gets them meanwhile, and if this node dies they are due again afterwards. Each counts as one more attempt. A chosen one that
// another node was quicker to take is not among them.
func (db *DB) LeaseDeliveries(ctx context.Context, n int, lease time.Duration, chosen ...id.Delivery) (taken []outbox.Delivery, err error) {
	err = db.System().Write(ctx, func(tx *SystemTx) (err error) {
		args := arguments{micros(tx.Now().Add(lease)), micros(tx.Now()), n}
		which := ""
		if len(chosen) > 0 {
			which = `
				and ` + in("id", chosen, args.add)
		}
		taken, err = collect[outbox.Delivery](tx.query(ctx, `
			update outbox
			set leased_until = $1, attempts = attempts + 1
			where id in (
				select id
				from outbox
				where delivered is null
				and failed is null
				and next_at <= $2
				and (leased_until is null or leased_until <= $2)`+which+`
				order by next_at
				limit $3`+tx.d.skipLocked()+`)
			returning `+outboxColumns, args...))(scanDelivery)
		return err
	})
	return taken, err
}

// Delivered keeps the receipt. A worker whose lease has run out meanwhile changes nothing: its attempt is not the row's.
func (db *DB) Delivered(ctx context.Context, d outbox.Delivery, receipt json.RawMessage) error {
	return db.System().Write(ctx, func(tx *SystemTx) error {
		tx.queue(`
			update outbox
			set delivered = $1, receipt = $2, payload = $5, leased_until = null, last_error = null
			where id = $3
			and attempts = $4
			and delivered is null`, micros(tx.Now()), jsonOrNull(receipt), d.ID, d.Attempts, string(remembered(d, receipt)))
		return nil
	})
}

// Undelivered keeps what went wrong and when to try again; the zero time gives up, which is an event of the organization.
func (db *DB) Undelivered(ctx context.Context, d outbox.Delivery, problem string, again time.Time) error {
	return db.System().Write(ctx, func(tx *SystemTx) error {
		if !again.IsZero() {
			tx.queue(`
				update outbox
				set next_at = $1, last_error = $2, leased_until = null
				where id = $3
				and attempts = $4
				and delivered is null`, micros(again), problem, d.ID, d.Attempts)
			return nil
		}
		n, err := tx.exec(ctx, `
			update outbox
			set failed = $1, last_error = $2, leased_until = null
			where id = $3
			and attempts = $4
			and delivered is null
			and failed is null`, micros(tx.Now()), problem, d.ID, d.Attempts)
		if err != nil || n == 0 {
			return err
		}
		tx.record(d.Organization, audit.Event{
			Actor:      audit.Actor{Kind: audit.ActorSystem, Name: "outbox", Door: audit.JobRunner},
			Action:     "delivery.failed",
			TargetKind: "delivery", TargetID: string(d.ID), TargetName: string(d.Kind) + " to " + d.Destination,
			Outcome: audit.Refused, Reason: problem,
		})
		return nil
	})
}

// Deliveries lists the organization's deliveries, newest first, older than before where that is given.
func (tx *Tx) Deliveries(ctx context.Context, kind outbox.Kind, before id.Delivery, limit int) ([]outbox.Delivery, error) {
	args := []any{tx.Organization, limit}
	var where string
	if kind != "" {
		args = append(args, kind)
		where += "\n\t\tand kind = $" + strconv.Itoa(len(args))
	}
	if before != "" {
		args = append(args, before)
		where += "\n\t\tand id < $" + strconv.Itoa(len(args))
	}
	return collect[outbox.Delivery](tx.query(ctx, `
		select `+outboxColumns+`
		from outbox
		where organization = $1`+where+`
		order by id desc
		limit $2`, args...))(scanDelivery)
}

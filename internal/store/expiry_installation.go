package store

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/mail"
)

// overShown is how long a token that has ended stands in the installation's calendar.
const overShown = 30 * 24 * time.Hour

// InstallationExpiries lists what ends of the installation's own, what ends first first.
func (tx *SystemTx) InstallationExpiries(ctx context.Context) ([]expiry.Item, error) {
	var f expiry.Installation
	var err error
	f.Tokens, err = collect[expiry.Timed](tx.query(ctx, `
		select id, name, prefix, created, expires
		from api_tokens
		where revoked is null
			and expires > $1
		order by expires, id
		limit $2`, micros(tx.now.Add(-overShown)), endingShown))(func(s scanner) (t expiry.Timed, err error) {
		var prefix string
		err = s.Scan(&t.ID, &t.Person, &prefix, at(&t.Made), at(&t.Expires))
		t.Person += " (" + prefix + "…)"
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the API tokens that expire: %w", err)
	}
	keys, err := tx.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		f.Keys = append(f.Keys, expiry.Signing{ID: k.ID, Algorithm: k.Algorithm, State: k.State, Activates: k.Activates, Retires: k.Retires})
	}
	asserting, err := tx.AssertionKeys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range asserting {
		f.Keys = append(f.Keys, expiry.Signing{ID: k.ID, Algorithm: expiry.Assertions, State: k.State, Activates: k.Activates, Retires: k.Retires})
	}
	return expiry.OfInstallation(f), nil
}

// TellInstallation writes to every operator about what ends of the installation's own: on each of the days ahead once, and once when
// it has ended.
func (db *DB) TellInstallation(ctx context.Context) error {
	if db.Public == "" {
		return nil
	}
	due := func(tx *SystemTx) (out []dueWarning, err error) {
		items, err := tx.InstallationExpiries(ctx)
		for _, i := range items {
			if step, is := expiry.Due(i, expiry.Told{}, tx.now); is {
				out = append(out, dueWarning{i, step})
			}
		}
		return out, err
	}
	var some []dueWarning
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		some, err = due(tx)
		return err
	})
	if err != nil || len(some) == 0 {
		return err
	}
	return db.System().Write(ctx, func(tx *SystemTx) error {
		now, err := due(tx)
		if err != nil {
			return err
		}
		operators, err := tx.operators(ctx)
		if err != nil {
			return err
		}
		for _, w := range now {
			// The first who says so on all nodes tells it; a token's end never moves.
			first, err := tx.once(ctx, "told/"+w.ID+"/"+strconv.Itoa(w.step), w.At.Add(2*overShown))
			if err != nil {
				return err
			}
			if first {
				if err := tx.tellOperators(ctx, operators, w); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (tx *SystemTx) tellOperators(ctx context.Context, operators []Operator, w dueWarning) error {
	template := mail.ExpiryWarning
	if w.step == expiry.LastWord {
		template = mail.Expired
	}
	for _, o := range operators {
		if _, err := tx.PostLetter(ctx, mail.Letter{
			Template: template, To: mail.Address{Name: o.Name, Email: o.Email},
			Data: map[string]any{
				"Organization": "this installation", "Operator": true, "What": w.What, "On": mail.When(w.At),
				"Days": int(math.Ceil(max(w.At.Sub(tx.now), 0).Hours() / 24)), "Then": w.Then, "Link": tx.db.Public + "/operator/calendar",
			},
		}); err != nil {
			return err
		}
	}
	tx.Record(ctx, audit.Event{
		Actor: watcher, Action: "expiry.told", TargetKind: string(w.Kind), TargetID: w.ID, TargetName: w.What,
		After: auditJSON(map[string]any{"expires": w.At.UTC(), "days_ahead": w.step, "letters": len(operators)}),
	})
	return nil
}

// operators lists who runs the installation.
func (tx *SystemTx) operators(ctx context.Context) ([]Operator, error) {
	return collect[Operator](tx.query(ctx, `
		select id, email, name
		from operators
		order by id`))(func(s scanner) (o Operator, err error) {
		return o, s.Scan(&o.ID, &o.Email, &o.Name)
	})
}

// once reports whether a name is met for the first time, on all nodes together, and remembers it until a time.
func (tx *SystemTx) once(ctx context.Context, name string, until time.Time) (bool, error) {
	var hits int64
	err := tx.queryRow(ctx, `
		insert into counters (name, started, expires, hits)
		values ($1, 0, $2, 1)
		on conflict (name, started) do update set hits = counters.hits + 1
		returning hits`, name, micros(until)).Scan(&hits)
	return hits == 1, err
}

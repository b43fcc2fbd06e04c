package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

// Webhook is an address of an organization's own program that is told of news.
type Webhook struct {
	ID     id.Webhook
	URL    string
	Secret string // sealed, for WebhookPlace
	Kinds  []notification.Kind
	Source string // file or console
	MadeBy string
}

// WebhookPlace binds a sealed secret to its webhook.
func WebhookPlace(org id.Organization, w id.Webhook) string {
	return "webhook/" + string(org) + "/" + string(w)
}

// Webhooks lists the organization's webhooks, oldest first.
func (tx *Tx) Webhooks(ctx context.Context) ([]Webhook, error) {
	return collect[Webhook](tx.query(ctx, `
		select id, url, secret, kinds, source, made_by
		from webhooks
		where organization = $1
		order by id`, tx.Organization))(func(s scanner) (w Webhook, err error) {
		err = s.Scan(&w.ID, &w.URL, &w.Secret, decode(&w.Kinds), &w.Source, &w.MadeBy)
		return w, err
	})
}

// PutWebhook makes or changes a webhook; a secret that is empty stays as it was.
func (tx *Tx) PutWebhook(ctx context.Context, w Webhook, secret string, actor audit.Actor) (Webhook, error) {
	action := "webhook.changed"
	if w.ID == "" {
		w.ID, action = id.New[id.Webhook](), "webhook.created"
	}
	w.Kinds = notification.Clean(w.Kinds)
	if secret != "" {
		w.Secret = tx.db.Keys.Seal(WebhookPlace(tx.Organization, w.ID), []byte(secret))
	}
	w.MadeBy = actor.Name
	if _, err := tx.exec(ctx, `
		insert into webhooks (organization, id, url, secret, kinds, source, made_by, created)
		values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (organization, id) do update
		set url = excluded.url, secret = excluded.secret, kinds = excluded.kinds`,
		tx.Organization, w.ID, w.URL, w.Secret, encode(w.Kinds), w.Source, w.MadeBy, micros(tx.now)); err != nil {
		return w, fmt.Errorf("write webhook %s: %w", w.ID, err)
	}
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: action, TargetKind: "webhook", TargetID: string(w.ID), TargetName: w.URL,
		After: object(map[string]any{"url": w.URL, "kinds": w.Kinds, "secret_changed": secret != ""}),
	})
	return w, nil
}

// DeleteWebhook takes a webhook away.
func (tx *Tx) DeleteWebhook(ctx context.Context, w id.Webhook, actor audit.Actor) error {
	address, err := column[string](tx.query(ctx, `
		delete from webhooks
		where organization = $1
			and id = $2
		returning url`, tx.Organization, w))
	if err != nil {
		return err
	}
	if len(address) == 0 {
		return notFound("webhook", w)
	}
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "webhook.deleted", TargetKind: "webhook", TargetID: string(w), TargetName: address[0],
		Before: object(map[string]any{"url": address[0]}),
	})
	return nil
}

// Hook is the payload of a webhook's delivery. The secret is read when it is sent: one that was changed meanwhile signs.
type Hook struct {
	Webhook id.Webhook      `json:"webhook"`
	Body    json.RawMessage `json:"body"`
}

// postHooks tells the organization's webhooks. What a letter says but its link and codes is what they get: a webhook is
// told of events, and given no credential.
func (tx *Tx) postHooks(ctx context.Context, kind notification.Kind, l mail.Letter) error {
	hooks, err := tx.Webhooks(ctx)
	if err != nil || len(hooks) == 0 {
		return err
	}
	data := map[string]any{}
	for k, v := range l.Data {
		switch k {
		case "Link", "Code":
		default:
			data[strings.ToLower(k)] = v
		}
	}
	body, err := json.Marshal(map[string]any{
		"type": string(kind) + "." + string(l.Template), "timestamp": tx.now.UTC(), "organization": tx.Organization, "data": data,
	})
	if err != nil {
		return err
	}
	for _, h := range hooks {
		if !slices.Contains(h.Kinds, kind) {
			continue
		}
		payload, err := json.Marshal(Hook{h.ID, body})
		if err != nil {
			return err
		}
		tx.Post(ctx, outbox.Delivery{Kind: outbox.Webhook, Destination: h.URL, Payload: payload})
	}
	return nil
}

// WebhookTarget gives where a webhook's news goes and under which secret it is signed, as they are now.
func (db *DB) WebhookTarget(ctx context.Context, org id.Organization, hook id.Webhook) (address, secret string, err error) {
	var w Webhook
	err = db.Read(ctx, org, func(tx *Tx) error {
		list, err := tx.Webhooks(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(w Webhook) bool { return w.ID == hook })
		if i < 0 {
			return fault.New(fault.Gone, "This webhook was taken away.")
		}
		w = list[i]
		return nil
	})
	if err != nil {
		return "", "", err
	}
	raw, err := db.Keys.Open(WebhookPlace(org, w.ID), w.Secret)
	return w.URL, string(raw), err
}

// HookDeliveries lists the deliveries to one webhook, newest first, older than before where that is given.
func (tx *Tx) HookDeliveries(ctx context.Context, hook id.Webhook, before id.Delivery, limit int) ([]outbox.Delivery, error) {
	args := arguments{tx.Organization, outbox.Webhook, hook}
	where := ""
	if before != "" {
		where = "\n\t\t\tand id < " + args.add(before)
	}
	return collect[outbox.Delivery](tx.query(ctx, `
		select `+outboxColumns+`
		from outbox
		where organization = $1
			and kind = $2
			and payload ->> 'webhook' = $3`+where+`
		order by id desc
		limit `+args.add(limit), args...))(scanDelivery)
}

// Redeliver makes a delivery to a webhook due again, with all its tries, whether it was given up or taken: whoever lost what they were
// told asks for it once more, and knows it again by its id.
func (tx *Tx) Redeliver(ctx context.Context, delivery id.Delivery, actor audit.Actor) error {
	to, err := column[string](tx.query(ctx, `
		update outbox
		set failed = null, delivered = null, attempts = 0, next_at = $1
		where organization = $2
			and id = $3
			and kind = $4
			and (failed is not null or delivered is not null)
		returning destination`, micros(tx.Now()), tx.Organization, delivery, outbox.Webhook))
	if err != nil {
		return err
	}
	if len(to) == 0 {
		return fault.New(fault.NotFound, "There is no delivery with this id that is over.")
	}
	tx.posted = true
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "delivery.repeated", TargetKind: "delivery", TargetID: string(delivery), TargetName: "webhook to " + to[0],
	})
	return nil
}

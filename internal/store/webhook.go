package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

// Webhook is an address of an organization's own program that is told of news.
type Webhook struct {
	ID      id.Webhook
	URL     string
	Secret  string // sealed, for WebhookPlace
	Kinds   []notification.Kind
	Source  string // file or console
	MadeBy  string
	Created time.Time
}

// Declared says that the operator's file declares it, and that it is changed there.
func (w Webhook) Declared() bool { return w.Source == fromFile }

// WebhookPlace binds a sealed secret to its webhook.
func WebhookPlace(org id.Organization, w id.Webhook) string {
	return "webhook/" + string(org) + "/" + string(w)
}

const webhookColumns = `id, url, secret, kinds, source, made_by, created`

func scanWebhook(s scanner) (w Webhook, err error) {
	err = s.Scan(&w.ID, &w.URL, &w.Secret, decode(&w.Kinds), &w.Source, &w.MadeBy, at(&w.Created))
	return w, err
}

// Webhooks lists the organization's webhooks, oldest first.
func (tx *Tx) Webhooks(ctx context.Context) ([]Webhook, error) {
	return collect[Webhook](tx.query(ctx, `
		select `+webhookColumns+`
		from webhooks
		where organization = $1
		order by id`, tx.Organization))(scanWebhook)
}

// Webhook gives one of them; a fault of kind NotFound where there is none.
func (tx *Tx) Webhook(ctx context.Context, hook id.Webhook) (Webhook, error) {
	w, err := scanWebhook(tx.queryRow(ctx, `
		select `+webhookColumns+`
		from webhooks
		where organization = $1
			and id = $2`, tx.Organization, hook))
	if errors.Is(err, errNoRows) {
		err = notFound("webhook", hook)
	}
	return w, err
}

// OwnWebhook is Webhook for one that was made here and may be changed here.
func (tx *Tx) OwnWebhook(ctx context.Context, hook id.Webhook) (Webhook, error) {
	w, err := tx.Webhook(ctx, hook)
	if err == nil && w.Declared() {
		err = fault.New(fault.Conflict, "This webhook is declared in the operator's file, and changed or taken away there.")
	}
	return w, err
}

func (w Webhook) record() json.RawMessage {
	return object(map[string]any{"url": w.URL, "kinds": w.Kinds})
}

func (tx *Tx) recordWebhook(ctx context.Context, actor audit.Actor, action string, w Webhook, before, after json.RawMessage) {
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "webhook." + action, TargetKind: "webhook", TargetID: string(w.ID), TargetName: w.URL, Before: before, After: after,
	})
}

// MakeWebhook makes a webhook of an address and kinds, whose deliveries are signed under the secret.
func (tx *Tx) MakeWebhook(ctx context.Context, actor audit.Actor, address string, kinds []notification.Kind, secret string) (Webhook, error) {
	if err := notification.CheckHook(address, kinds); err != nil {
		return Webhook{}, err
	}
	w := Webhook{ID: id.New[id.Webhook](), URL: address, Kinds: notification.Clean(kinds), Source: "console", MadeBy: actor.Name, Created: tx.now}
	w.Secret = tx.db.Keys.Seal(WebhookPlace(tx.Organization, w.ID), []byte(secret))
	if _, err := tx.exec(ctx, `
		insert into webhooks (organization, id, url, secret, kinds, source, made_by, created)
		values ($1, $2, $3, $4, $5, $6, $7, $8)`,
		tx.Organization, w.ID, w.URL, w.Secret, encode(w.Kinds), w.Source, w.MadeBy, micros(w.Created)); err != nil {
		return w, fmt.Errorf("write webhook %s: %w", w.ID, err)
	}
	tx.recordWebhook(ctx, actor, "created", w, nil, w.record())
	return w, nil
}

// ChangeWebhook changes where a webhook's news goes and of what it is told. What is on its way goes to the new address: it is read
// when a delivery is sent.
func (tx *Tx) ChangeWebhook(ctx context.Context, actor audit.Actor, hook id.Webhook, address string, kinds []notification.Kind) (Webhook, error) {
	w, err := tx.OwnWebhook(ctx, hook)
	if err != nil {
		return w, err
	}
	if err := notification.CheckHook(address, kinds); err != nil {
		return w, err
	}
	before := w.record()
	w.URL, w.Kinds = address, notification.Clean(kinds)
	if _, err := tx.exec(ctx, `
		update webhooks
		set url = $3, kinds = $4
		where organization = $1
			and id = $2`, tx.Organization, w.ID, w.URL, encode(w.Kinds)); err != nil {
		return w, fmt.Errorf("change webhook %s: %w", w.ID, err)
	}
	tx.recordWebhook(ctx, actor, "changed", w, before, w.record())
	return w, nil
}

// RenewWebhookSecret puts another secret in a webhook's place. The former one signs nothing from then on: whoever renews it may do so
// because it is known to a stranger. A receiver that does not know the new one yet refuses, and is told again for a day.
func (tx *Tx) RenewWebhookSecret(ctx context.Context, actor audit.Actor, hook id.Webhook, secret string) (Webhook, error) {
	w, err := tx.OwnWebhook(ctx, hook)
	if err != nil {
		return w, err
	}
	w.Secret = tx.db.Keys.Seal(WebhookPlace(tx.Organization, w.ID), []byte(secret))
	if _, err := tx.exec(ctx, `
		update webhooks
		set secret = $3
		where organization = $1
			and id = $2`, tx.Organization, w.ID, w.Secret); err != nil {
		return w, fmt.Errorf("renew the secret of webhook %s: %w", w.ID, err)
	}
	tx.recordWebhook(ctx, actor, "secret-renewed", w, nil, nil)
	return w, nil
}

// DeleteWebhook takes a webhook away.
func (tx *Tx) DeleteWebhook(ctx context.Context, actor audit.Actor, hook id.Webhook) error {
	w, err := tx.OwnWebhook(ctx, hook)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `
		delete from webhooks
		where organization = $1
			and id = $2`, tx.Organization, w.ID); err != nil {
		return fmt.Errorf("delete webhook %s: %w", w.ID, err)
	}
	tx.recordWebhook(ctx, actor, "deleted", w, w.record(), nil)
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
	body, err := tx.hookBody(string(kind)+"."+string(l.Template), data)
	if err != nil {
		return err
	}
	for _, h := range hooks {
		if !slices.Contains(h.Kinds, kind) {
			continue
		}
		if _, err := tx.postHook(ctx, h, body); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) hookBody(kind string, data map[string]any) (json.RawMessage, error) {
	return json.Marshal(map[string]any{"type": kind, "timestamp": tx.now.UTC(), "organization": tx.Organization, "data": data})
}

func (tx *Tx) postHook(ctx context.Context, w Webhook, body json.RawMessage) (id.Delivery, error) {
	payload, err := json.Marshal(Hook{w.ID, body})
	if err != nil {
		return "", err
	}
	return tx.Post(ctx, outbox.Delivery{Kind: outbox.Webhook, Destination: w.URL, Payload: payload}), nil
}

// TestWebhook posts a delivery that tells nothing, so that whoever set a webhook up sees whether it arrives and is understood.
func (tx *Tx) TestWebhook(ctx context.Context, actor audit.Actor, hook id.Webhook) (id.Delivery, error) {
	w, err := tx.Webhook(ctx, hook)
	if err != nil {
		return "", err
	}
	body, err := tx.hookBody("webhook.test", map[string]any{"webhook": w.ID})
	if err != nil {
		return "", err
	}
	d, err := tx.postHook(ctx, w, body)
	if err != nil {
		return "", err
	}
	tx.recordWebhook(ctx, actor, "tested", w, nil, object(map[string]any{"delivery": d}))
	return d, nil
}

// WebhookTarget gives where a webhook's news goes and under which secret it is signed, as they are now.
func (db *DB) WebhookTarget(ctx context.Context, org id.Organization, hook id.Webhook) (address, secret string, err error) {
	var w Webhook
	err = db.Read(ctx, org, func(tx *Tx) error {
		w, err = tx.Webhook(ctx, hook)
		if fault.KindOf(err) == fault.NotFound {
			err = fault.New(fault.Gone, "This webhook was taken away.")
		}
		return err
	})
	if err != nil {
		return "", "", err
	}
	raw, err := db.Keys.Open(WebhookPlace(org, w.ID), w.Secret)
	return w.URL, string(raw), err
}

// HookDelivery is a delivery to a webhook, with what was told and answered.
type HookDelivery struct {
	outbox.Delivery
	Type     string          // of the news, as its body says
	Body     json.RawMessage // as it is sent
	Answered int             // the status with which it was taken; 0 before
}

func scanHookDelivery(s scanner) (d HookDelivery, err error) {
	if d.Delivery, err = scanDelivery(s); err != nil {
		return d, err
	}
	var hook Hook
	var news struct {
		Type string `json:"type"`
	}
	var receipt struct {
		Status int `json:"status"`
	}
	if err := json.Unmarshal(d.Payload, &hook); err != nil {
		return d, fmt.Errorf("read what delivery %s tells: %w", d.ID, err)
	}
	if err := json.Unmarshal(hook.Body, &news); err != nil {
		return d, fmt.Errorf("read what delivery %s tells: %w", d.ID, err)
	}
	d.Type, d.Body = news.Type, hook.Body
	// One that is sent once more has the receipt of the time before.
	if d.Delivery.Delivered > 0 && json.Unmarshal(d.Receipt, &receipt) == nil {
		d.Answered = receipt.Status
	}
	return d, nil
}

// HookDeliveries lists the deliveries to one webhook, newest first, older than before where that is given.
func (tx *Tx) HookDeliveries(ctx context.Context, hook id.Webhook, before id.Delivery, limit int) ([]HookDelivery, error) {
	args := arguments{tx.Organization, outbox.Webhook, hook}
	where := ""
	if before != "" {
		where = "\n\t\t\tand id < " + args.add(before)
	}
	return collect[HookDelivery](tx.query(ctx, `
		select `+outboxColumns+`
		from outbox
		where organization = $1
			and kind = $2
			and payload ->> 'webhook' = $3`+where+`
		order by id desc
		limit `+args.add(limit), args...))(scanHookDelivery)
}

// HookDelivery gives one delivery to a webhook; a fault of kind NotFound where there is none.
func (tx *Tx) HookDelivery(ctx context.Context, hook id.Webhook, delivery id.Delivery) (HookDelivery, error) {
	d, err := scanHookDelivery(tx.queryRow(ctx, `
		select `+outboxColumns+`
		from outbox
		where organization = $1
			and kind = $2
			and payload ->> 'webhook' = $3
			and id = $4`, tx.Organization, outbox.Webhook, hook, delivery))
	if errors.Is(err, errNoRows) {
		err = notFound("delivery", delivery)
	}
	return d, err
}

// Redeliver makes a delivery to a webhook due again, with all its tries, whether it was given up or taken: whoever lost what they were
// told asks for it once more, and knows it again by its id.
func (tx *Tx) Redeliver(ctx context.Context, actor audit.Actor, hook id.Webhook, delivery id.Delivery) error {
	n, err := tx.exec(ctx, `
		update outbox
		set failed = null, delivered = null, attempts = 0, next_at = $1
		where organization = $2
			and id = $3
			and kind = $4
			and payload ->> 'webhook' = $5
			and (failed is not null or delivered is not null)`, micros(tx.Now()), tx.Organization, delivery, outbox.Webhook, hook)
	if err != nil {
		return fmt.Errorf("send delivery %s again: %w", delivery, err)
	}
	d, err := tx.HookDelivery(ctx, hook, delivery)
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.New(fault.Conflict, "This delivery is still under way, and tried again by itself. It can be sent again once it was taken or given up.")
	}
	tx.posted = true
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "delivery.repeated", TargetKind: "delivery", TargetID: string(delivery), TargetName: "webhook to " + d.Destination,
	})
	return nil
}

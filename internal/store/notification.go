package store

import (
	"context"
	"encoding/json"
	"errors"
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

// LetterChoice gives what letters a user chose.
func (tx *Tx) LetterChoice(ctx context.Context, user id.User) (c notification.Choice, err error) {
	err = tx.queryRow(ctx, `
		select kinds
		from notification_choices
		where organization = $1
			and user_id = $2`, tx.Organization, user).Scan(decode(&c.Kinds))
	if errors.Is(err, errNoRows) {
		return notification.Choice{}, nil
	}
	c.Made = true
	return c, err
}

// ChooseLetters keeps what letters a user wants.
func (tx *Tx) ChooseLetters(ctx context.Context, user id.User, kinds []notification.Kind, actor audit.Actor) error {
	u, err := tx.User(ctx, user)
	if err != nil {
		return err
	}
	before, err := tx.LetterChoice(ctx, user)
	if err != nil {
		return err
	}
	kinds = notification.Clean(kinds)
	tx.putChoice(user, kinds)
	e := map[string]any{"letters": kinds}
	var was map[string]any
	if before.Made {
		was = map[string]any{"letters": before.Kinds}
	}
	tx.recordUser(ctx, actor, "user.letters-chosen", u, was, e, "")
	return nil
}

func (tx *Tx) putChoice(user id.User, kinds []notification.Kind) {
	tx.queue(`
		insert into notification_choices (organization, user_id, kinds, updated)
		values ($1, $2, $3, $4)
		on conflict (organization, user_id) do update
		set kinds = excluded.kinds, updated = excluded.updated`,
		tx.Organization, user, encode(notification.Clean(kinds)), micros(tx.now))
}

// maxRecipients bounds the letters of one piece of news: an organization with more administrators than that reads it in
// the console.
const maxRecipients = 200

// Notify posts a letter to those of the users who want letters of its kind, are active and have an address, and tells the
// organization's webhooks. The letter's address and Name are filled in for each. It gives the number of letters.
func (tx *Tx) Notify(ctx context.Context, kind notification.Kind, l mail.Letter, users ...id.User) (int, error) {
	if len(users) > maxRecipients {
		users = users[:maxRecipients]
	}
	posted := 0
	if len(users) > 0 {
		args := arguments{tx.Organization}
		type recipient struct {
			name, email string
			choice      notification.Choice
		}
		list, err := collect[recipient](tx.query(ctx, `
			select u.display_name, u.email, n.kinds
			from users u
			left join notification_choices n on n.organization = u.organization and n.user_id = u.id
			where u.organization = $1
				and u.status = 'active'
				and u.email is not null
				and `+in("u.id", users, args.add)+`
			order by u.id`, args...))(func(s scanner) (r recipient, err error) {
			var kinds json.RawMessage
			if err = s.Scan(&r.name, &r.email, rawJSON(&kinds)); err == nil && kinds != nil {
				r.choice.Made = true
				err = json.Unmarshal(kinds, &r.choice.Kinds)
			}
			return r, err
		})
		if err != nil {
			return 0, fmt.Errorf("read who wants letters: %w", err)
		}
		for _, r := range list {
			if !r.choice.Wants(kind) {
				continue
			}
			// A directory may send anything as an address; what is none gets no letter, and stops nobody else's.
			if _, err := mail.ParseAddress(r.email); err != nil {
				continue
			}
			l.To = mail.Address{Name: r.name, Email: r.email}
			if r.name == r.email {
				l.To.Name = ""
			}
			if _, err := tx.PostLetter(ctx, l); err != nil {
				return posted, err
			}
			posted++
		}
	}
	return posted, tx.postHooks(ctx, kind, l)
}

// NotifyHolders is Notify to those who hold the permission that the kind is for, at the organization itself.
func (tx *Tx) NotifyHolders(ctx context.Context, kind notification.Kind, l mail.Letter) (int, error) {
	about, _ := notification.Known(kind)
	users, err := tx.Holders(ctx, about.For)
	if err != nil {
		return 0, err
	}
	return tx.Notify(ctx, kind, l, users...)
}

// Holders gives the active users who hold a permission at the organization itself.
func (tx *Tx) Holders(ctx context.Context, p id.Permission) ([]id.User, error) {
	ground, err := tx.ground(ctx)
	if err != nil {
		return nil, err
	}
	var roles []id.Role
	for _, r := range ground.Catalogue.Roles() {
		for _, carried := range ground.Catalogue.PermissionsOf(r.ID) {
			if carried == p {
				roles = append(roles, r.ID)
				break
			}
		}
	}
	if len(roles) == 0 {
		return nil, nil
	}
	given, err := tx.givenTo(ctx, roles, []id.Resource{ground.Tree.Root()}, "", maxRecipients)
	if err != nil {
		return nil, err
	}
	all, err := tx.accessOf(ctx, given)
	if err != nil {
		return nil, err
	}
	var out []id.User
	for _, e := range all {
		if e.Everywhere(p) {
			out = append(out, e.User.ID)
		}
	}
	return out, nil
}

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

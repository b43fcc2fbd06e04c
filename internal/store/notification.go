package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
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

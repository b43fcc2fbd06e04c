package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

// MessageSettings say who carries text messages to telephones for an organization: an address that takes them by HTTPS, and the
// secret under which each is signed.
type MessageSettings struct {
	URL    string `json:"url,omitempty"`
	Secret string `json:"secret,omitempty"` // sealed for MessagesPlace
}

// MessagesPlace is where the secret of an organization's messages is sealed to.
func MessagesPlace(org id.Organization) string { return "messages/" + string(org) }

// Message is a text message as it lies, sealed, in the outbox.
type Message struct {
	URL    string `json:"url"`
	Secret string `json:"secret"` // sealed for MessagesPlace
	To     string `json:"to"`
	Text   string `json:"text"`
}

type messagePayload struct {
	Sealed string `json:"sealed"`
}

func messagePlace(d id.Delivery) string { return "message/" + string(d) }

// PostMessage posts a code to a telephone. Number and code lie sealed; the list of deliveries shows the last digits.
func (tx *Tx) PostMessage(ctx context.Context, to, code string) (id.Delivery, error) {
	self, err := tx.Self(ctx)
	if err != nil {
		return "", err
	}
	by := self.Settings.Messages
	if by.URL == "" {
		return "", fault.New(fault.Unsupported, "%s has not set up how text messages are sent.", self.Name).WithCode("no-address")
	}
	text := code + " is your code for " + self.Name + ". It works for ten minutes, once. Nobody will ask you for it."
	// The last line is what a telephone offers to fill in, on the pages of this host alone (origin-bound one-time codes): another
	// site that asks for the code is not offered it.
	if u, err := url.Parse(tx.db.Public); err == nil && u.Hostname() != "" {
		text += "\n\n@" + u.Hostname() + " #" + code
	}
	raw, err := json.Marshal(Message{by.URL, by.Secret, to, text})
	if err != nil {
		return "", err
	}
	d := outbox.Delivery{ID: id.New[id.Delivery](), Kind: outbox.SMS, Destination: mfa.Masked(to)}
	if d.Payload, err = json.Marshal(messagePayload{tx.db.Keys.Seal(messagePlace(d.ID), raw)}); err != nil {
		return "", err
	}
	return tx.Post(ctx, d), nil
}

// CodeTaken says of a code that was sent whether whoever carries it has taken it, and whether it was tried at all.
func (tx *Tx) CodeTaken(ctx context.Context, sent id.Delivery) (taken, tried bool, err error) {
	err = tx.lastRow(ctx, `
		select delivered is not null, last_error is not null
		from outbox
		where organization = $1
		and id = $2
		and kind in ('sms', 'mail')`, tx.Organization, sent).Scan(&taken, &tried)
	if errors.Is(err, errNoRows) {
		return false, false, fault.New(fault.NotFound, "No such code was sent.")
	}
	return taken, tried, err
}

// Message opens the message of a delivery of the kind sms, with the secret under which it is signed.
func (db *DB) Message(d outbox.Delivery) (m Message, secret string, err error) {
	var p messagePayload
	if err := json.Unmarshal(d.Payload, &p); err != nil {
		return m, "", fmt.Errorf("read the message %s: %w", d.ID, err)
	}
	raw, err := db.Keys.Open(messagePlace(d.ID), p.Sealed)
	if err != nil {
		return m, "", fmt.Errorf("open the message %s: %w", d.ID, err)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, "", err
	}
	plain, err := db.Keys.Open(MessagesPlace(d.Organization), m.Secret)
	return m, string(plain), err
}

// PostSecurityNotice tells a user by mail what happened to the security of their account, where an address is known. Such letters
// cannot be switched off: they are how somebody learns that it was not them.
func (tx *Tx) PostSecurityNotice(ctx context.Context, user id.User, what, ip, device, base string) error {
	u, err := tx.User(ctx, user)
	if err != nil || u.Email == "" {
		return err
	}
	_, err = tx.PostLetter(ctx, mail.Letter{
		Template: mail.SecurityNotice, To: mail.Address{Name: u.Name(), Email: u.Email},
		Data: map[string]any{
			"What": what, "At": mail.When(tx.now), "IP": ip, "Device": device, "Link": base + "/o/" + string(tx.Organization) + "/me/security",
		},
	})
	if fault.KindOf(err) == fault.Invalid {
		return nil // what the directory holds as an address is none: nobody can be told there
	}
	return err
}

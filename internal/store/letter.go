package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

// PostLetter writes a letter out and puts it into the outbox; it goes out once this transaction is committed. Organization
// is filled in where Data does not name it. The whole letter lies sealed until it has been taken, and is forgotten then,
// since its link may be a credential.
func (tx *Tx) PostLetter(ctx context.Context, l mail.Letter) (id.Delivery, error) {
	if _, named := l.Data["Organization"]; !named {
		self, err := tx.Self(ctx)
		if err != nil {
			return "", err
		}
		data := map[string]any{"Organization": self.Name}
		for k, v := range l.Data {
			data[k] = v
		}
		l.Data = data
	}
	return tx.postLetter(tx.Organization, l)
}

// PostLetter posts a letter of the installation.
func (tx *SystemTx) PostLetter(_ context.Context, l mail.Letter) (id.Delivery, error) {
	return tx.postLetter("", l)
}

// letterPayload is a letter as it lies in the outbox. What it is about stands open, for lists; what it says is sealed.
type letterPayload struct {
	Template mail.Template `json:"template"`
	Sealed   string        `json:"sealed"`
}

func (w *work) postLetter(org id.Organization, l mail.Letter) (id.Delivery, error) {
	m, err := l.Write()
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	d := outbox.Delivery{ID: id.New[id.Delivery](), Kind: outbox.Mail, Destination: m.To.Email}
	d.Payload, err = json.Marshal(letterPayload{m.Template, w.db.Keys.Seal(letterPlace(d.ID), text)})
	if err != nil {
		return "", err
	}
	return w.post(org, d), nil
}

func letterPlace(d id.Delivery) string { return "outbox/" + string(d) }

// remembered is what is kept of a delivery that was taken: of a letter that has left the house only which it was.
func remembered(d outbox.Delivery, receipt json.RawMessage) json.RawMessage {
	if d.Kind == outbox.ResetAsked {
		return json.RawMessage("{}") // who asked for whom stands in the log of who was meant, if anybody was
	}
	if d.Kind != outbox.Mail {
		return d.Payload
	}
	var r mail.Receipt
	var p letterPayload
	if json.Unmarshal(receipt, &r) == nil && r.Mailbox || json.Unmarshal(d.Payload, &p) != nil {
		return d.Payload
	}
	return json.RawMessage(encode(map[string]any{"template": p.Template}))
}

// Letter opens the letter of a delivery of the kind mail.
func (db *DB) Letter(d outbox.Delivery) (mail.Message, error) {
	var p letterPayload
	var m mail.Message
	if err := json.Unmarshal(d.Payload, &p); err != nil {
		return m, fmt.Errorf("read the letter %s: %w", d.ID, err)
	}
	text, err := db.Keys.Open(letterPlace(d.ID), p.Sealed)
	if err != nil {
		return m, fmt.Errorf("open the letter %s: %w", d.ID, err)
	}
	return m, json.Unmarshal(text, &m)
}

// LetterTemplate says which letter a delivery is.
func LetterTemplate(d outbox.Delivery) mail.Template {
	var p letterPayload
	_ = json.Unmarshal(d.Payload, &p) // what is none has no template
	return p.Template
}

// Letters lists deliveries of the kind mail over all organizations, newest first, to addresses that contain q, with the
// cursor of the next page.
func (tx *SystemTx) Letters(ctx context.Context, q, cursor string, limit int) ([]outbox.Delivery, string, error) {
	before, limit, err := page(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	args := arguments{outbox.Mail}
	where := ""
	if before != "" {
		where += "\n\t\tand id < " + args.add(before)
	}
	if q != "" {
		where += "\n\t\tand lower(destination) like " + args.add("%"+escapeLike(strings.ToLower(q))+"%") + ` escape '\'`
	}
	list, err := collect[outbox.Delivery](tx.query(ctx, `
		select `+outboxColumns+`
		from outbox
		where kind = $1`+where+`
		order by id desc
		limit `+args.add(limit+1), args...))(scanDelivery)
	if err != nil {
		return nil, "", fmt.Errorf("list letters: %w", err)
	}
	list, next := nextPage(list, limit, func(d outbox.Delivery) string { return string(d.ID) })
	return list, next, nil
}

// Letter gives one delivery of the kind mail, or none.
func (tx *SystemTx) Letter(ctx context.Context, d id.Delivery) ([]outbox.Delivery, error) {
	return collect[outbox.Delivery](tx.query(ctx, `
		select `+outboxColumns+`
		from outbox
		where kind = $1
			and id = $2`, outbox.Mail, d))(scanDelivery)
}

package job

import (
	"context"
	"encoding/json"

	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Resets carries out deliveries of the kind reset-asked: whoever is meant by what somebody asked gets a letter.
func Resets(db *store.DB) Handler {
	return func(ctx context.Context, d outbox.Delivery) (json.RawMessage, error) {
		return nil, db.AnswerReset(ctx, d)
	}
}

// Letters carries out deliveries of the kind mail.
func Letters(db *store.DB, m *mail.Mailer) Handler {
	return func(ctx context.Context, d outbox.Delivery) (json.RawMessage, error) {
		letter, err := db.Letter(d)
		if err != nil {
			return nil, err
		}
		receipt, err := m.Send(ctx, string(d.ID), letter)
		if err != nil {
			return nil, err
		}
		return json.Marshal(receipt)
	}
}

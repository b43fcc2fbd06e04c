package job

import (
	"context"
	"encoding/json"

	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

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

package store

import (
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

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
	return d.ID
}

package store

import (
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
)

func (w *work) record(org id.Organization, e audit.Event) {
	if e.ID == "" {
		e.ID = id.New[id.Event]()
	}
	if e.At == 0 {
		e.At = micros(w.now)
	}
	if e.Outcome == "" {
		e.Outcome = audit.Done
	}
	w.queue(`
		insert into audit (organization, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id,
			target_name, user_id, outcome, code, before, after, reason, ip, door, request)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		org, e.ID, e.At, e.Actor.Kind, e.Actor.ID, e.Actor.Name, e.Action, e.TargetKind, e.TargetID,
		e.TargetName, orNull(e.User), e.Outcome, orNull(e.Code), jsonOrNull(e.Before), jsonOrNull(e.After),
		orNull(e.Reason), e.Actor.IP, e.Actor.Door, e.Actor.Request)
}

package store

import (
	"context"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/scim"
)

// newcomerInsert stores a newcomer's user, unless there is something to decide.
const newcomerInsert = `
	insert into users (organization, id, status, seated, user_name, user_name_key, email, email_key, email_verified,
		display_name, given_name, family_name, kept_without_directory, custom_access, created, updated, logins)
	select $1, s.user_id, $4, $5, $6, s.user_name_key, $7, $8, exists (
			select 1
			from domains m
			where m.domain = $9
				and m.organization = $1),
		$10, $11, $12, false, false, $3, $3, 0
	from (
		select $13 as user_id, $14 as user_name_key, $15 as key_sent, $16 as key_folded, $17 as manager) s
	where ` + newcomerUnmet

// storeNewcomersEach is storeNewcomers on SQLite: there is no round trip to save, and one row after the other costs no more
// than all at once. What they share is the savepoint, the turn at the writer and the commit.
func (tx *Tx) storeNewcomersEach(ctx context.Context, who pushing, batch []*newcomer) error {
	for _, n := range batch {
		pr := &n.profile
		state := directory.Active
		if !pr.active {
			state = directory.Suspended
		}
		stored, err := tx.exec(ctx, newcomerInsert,
			who.organization, who.directory, micros(tx.now), state, pr.active, pr.userName, orNull(pr.email), orNull(scim.Fold(pr.email)),
			domainOf(pr.email), n.shown, orNull(pr.given), orNull(pr.family), n.user, n.nameKey, n.key[0], n.key[1], n.manager)
		if err != nil {
			return err
		}
		if stored == 0 {
			continue
		}
		tx.queueRecord(who.directory, n.user, pr, n.nameKey, n.manager, string(n.document), n.folded)
		tx.queueEmails(who.directory, n.user, pr.emails)
		tx.record(who.organization, audit.Event{
			ID: n.event, Actor: n.actor, Action: "user.created", TargetKind: "user", TargetID: string(n.user), TargetName: n.shown,
			User: n.user, After: n.document,
		})
		n.created = tx.now.UTC()
	}
	return nil
}

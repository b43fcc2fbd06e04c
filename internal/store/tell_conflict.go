package store

import (
	"context"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
)

// conflictLetters bounds how many conflicts of one day are each told by a letter: a first push into an organization that has
// its people already may open thousands, and the list in the console says them all.
const conflictLetters = 20

// tellConflict tells those who manage users of a conflict that was opened in this transaction.
func (tx *Tx) tellConflict(ctx context.Context, what string) error {
	if tx.db.Public == "" {
		return nil
	}
	var today int
	if err := tx.queryRow(ctx, `
		select count(*)
		from (
			select 1
			from conflicts
			where organization = $1
				and created > $2
			limit $3
		) of_today`, tx.Organization, micros(tx.now.Add(-24*time.Hour)), conflictLetters+1).Scan(&today); err != nil {
		return fmt.Errorf("count the conflicts of a day: %w", err)
	}
	switch {
	case today > conflictLetters:
		return nil
	case today == conflictLetters:
		what += " Many wait by now: for a day no letter comes about further ones, and the list shows them all."
	}
	users, err := tx.Holders(ctx, access.UsersManage)
	if err != nil {
		return err
	}
	_, err = tx.Notify(ctx, notification.Directories, mail.Letter{Template: mail.Conflict, Data: map[string]any{
		"What": what, "Link": tx.pageLink("conflicts"),
	}}, users...)
	return err
}

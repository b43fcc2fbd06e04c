package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
)

// userAt is a user of an organization.
type userAt struct {
	organization id.Organization
	user         id.User
}

// accessChange is what people did to a user's access in one transaction.
type accessChange struct {
	by    string
	lines []string
}

// noteChanged keeps that somebody gave a user a role or took one away. What arrives by itself (a directory, a claim, a file)
// tells nobody by letter: a push of thousands would be thousands of letters about what the company's own IT did.
func (tx *Tx) noteChanged(actor audit.Actor, user id.User, action, what string) {
	people := actor.Kind == audit.ActorUser || actor.Kind == audit.ActorOperator
	if tx.db.Public == "" || user == "" || !people || actor.Kind == audit.ActorUser && actor.ID == string(user) {
		return
	}
	var line string
	switch action {
	case "grant.given":
		line = "given: " + what
	case "grant.revoked":
		line = "taken away: " + what
	case "grant.renewed":
		line = "for another time: " + what
	default:
		return
	}
	if tx.changed == nil {
		tx.changed = map[userAt]*accessChange{}
	}
	at := userAt{tx.Organization, user}
	if tx.changed[at] == nil {
		tx.changed[at] = &accessChange{}
	}
	c := tx.changed[at]
	c.by, c.lines = actor.Name, append(c.lines, line)
}

// tellChanged posts the letters of noteChanged, one to each person, at the end of the transaction.
func (w *work) tellChanged(ctx context.Context) error {
	for at, c := range w.changed {
		tx := &Tx{w, at.organization}
		_, err := tx.Notify(ctx, notification.AccessChanged, mail.Letter{Template: mail.AccessChanged, Data: map[string]any{
			"By": c.by, "Changes": c.lines, "Link": tx.pageLink("me"),
		}}, at.user)
		if err != nil {
			return fmt.Errorf("tell a user of a change: %w", err)
		}
	}
	return nil
}

// pageLink is the address of a page of the organization in the console.
func (tx *Tx) pageLink(path string) string {
	return tx.db.Public + "/o/" + string(tx.Organization) + "/" + path
}

// tellNote tells those who give roles that somebody without any has written to them.
func (tx *Tx) tellNote(ctx context.Context, u *directory.User, note string) error {
	if tx.db.Public == "" || note == "" {
		return nil
	}
	_, err := tx.NotifyHolders(ctx, notification.NeedsRoles, mail.Letter{Template: mail.NeedsRoles, Data: map[string]any{
		"Who": u.Name() + " waits", "Note": note, "Link": tx.pageLink("inbox"),
	}})
	return err
}

// TellWhoWaits writes, once a day, to those who give roles about people who have come since the day before and have none.
func (db *DB) TellWhoWaits(ctx context.Context) error {
	if db.Public == "" {
		return nil
	}
	var all []id.Organization
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		all, err = column[id.Organization](tx.lastQuery(ctx, `
			select organization
			from organizations
			order by organization`))
		return err
	})
	if err != nil {
		return err
	}
	for _, org := range all {
		err := db.Write(ctx, org, func(tx *Tx) error {
			args := arguments{tx.Organization, micros(tx.now.Add(-24 * time.Hour))}
			names, err := column[string](tx.query(ctx, `
				select case when u.display_name <> '' then u.display_name else u.user_name end
				from users u
				where u.organization = $1
					and u.created > $2
					and `+tx.awaiting(args.add)+`
				order by u.id
				limit 1000`, args...))
			if err != nil || len(names) == 0 {
				return err
			}
			who := names[0] + " waits"
			if len(names) > 1 {
				who = fmt.Sprintf("%d people wait", len(names))
			}
			note := ""
			if len(names) > 1 && len(names) <= 10 {
				note = strings.Join(names, ", ")
			}
			_, err = tx.NotifyHolders(ctx, notification.NeedsRoles, mail.Letter{Template: mail.NeedsRoles, Data: map[string]any{
				"Who": who, "Note": note, "Link": tx.pageLink("inbox"),
			}})
			return err
		})
		if err != nil {
			return fmt.Errorf("tell who waits in %s: %w", org, err)
		}
	}
	return nil
}

package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/config"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/store"
)

type recoverCommand struct {
	config.Store
	URL          string `name:"url" help:"The public base URL that the link begins with." env:"VESTIBULE_URL" default:"http://127.0.0.1:8080"`
	Organization string `required:"" help:"Whose user." placeholder:"ID"`
	User         string `required:"" help:"Who is shut out: an id, a userName or an address." placeholder:"U"`
}

// Run makes a link by which somebody comes in once: the way back on the day the identity provider does not answer, or was set up
// wrongly. The link is the only thing on the standard output, so that a script can take it from there.
func (c *recoverCommand) Run(t terminal) error {
	db, err := open(t, c.Store, slog.New(slog.NewTextHandler(t.err, nil)), false)
	if err != nil {
		return err
	}
	defer db.Close()
	org := id.Organization(c.Organization)
	actor := audit.Actor{
		Kind: audit.ActorOperator, ID: "cli", Name: "operator at the terminal", Door: audit.CLI, Request: string(id.New[id.Event]()),
	}
	var token string
	var u *directory.User
	err = db.Write(t, org, func(tx *store.Tx) error {
		if _, err := tx.Self(t); err != nil {
			return err
		}
		token, u, err = tx.RecoveryLink(t, c.User, actor)
		return err
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.err, "This link signs %s in to %s, once, until %s. It is in the audit log.\n",
		u.Name(), org, mail.When(db.Now().Add(store.PersonalLinkLifetime)))
	_, _ = fmt.Fprintln(t.out, strings.TrimSuffix(c.URL, "/")+store.PersonalPath(store.ToRecover, org, token))
	return nil
}

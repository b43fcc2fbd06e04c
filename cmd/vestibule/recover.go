package main

import (
	"errors"
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
	Organization string `help:"Whose user." placeholder:"ID"`
	User         string `help:"Who is shut out: an id, a userName or an address." placeholder:"U"`
	Operator     string `help:"The address of an operator who lost password or second factor, instead." placeholder:"EMAIL"`
}

// Validate checks that exactly one person is named.
func (c *recoverCommand) Validate() error {
	if (c.Operator != "") == (c.Organization != "" || c.User != "") || c.Operator == "" && (c.Organization == "" || c.User == "") {
		return errors.New("either --organization and --user, or --operator")
	}
	return nil
}

// Run makes a link by which somebody comes in once: the way back on the day the identity provider does not answer, or was set up
// wrongly. The link is the only thing on the standard output, so that a script can take it from there.
func (c *recoverCommand) Run(t terminal) error {
	db, err := open(t, c.Store, slog.New(slog.NewTextHandler(t.err, nil)), false)
	if err != nil {
		return err
	}
	defer db.Close()
	actor := audit.Actor{
		Kind: audit.ActorOperator, ID: "cli", Name: "operator at the terminal", Door: audit.CLI, Request: string(id.New[id.Event]()),
	}
	if c.Operator != "" {
		return c.operator(t, db, actor)
	}
	org := id.Organization(c.Organization)
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

// operator makes the link by which an operator chooses a new password. Nothing changes before it is used: who made it by mistake has
// shut nobody out.
func (c *recoverCommand) operator(t terminal, db *store.DB, actor audit.Actor) error {
	var token string
	var o store.Operator
	err := db.System().Write(t, func(tx *store.SystemTx) (err error) {
		token, o, err = tx.MakeOperatorRecovery(t, c.Operator, actor)
		return err
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.err, "With this link %s chooses a new password, once, until %s; second factors and sessions of before end with it. It is in the audit log.\n",
		o.Name, mail.When(db.Now().Add(store.OperatorRecoveryLifetime)))
	_, _ = fmt.Fprintln(t.out, strings.TrimSuffix(c.URL, "/")+"/operator/recover#"+token)
	return nil
}

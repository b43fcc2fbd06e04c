package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/config"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/issuing"
	"github.com/vestibule-id/vestibule/internal/mail"
)

type keyCommand struct {
	config.Store
	In  time.Duration `help:"How long from now the new key signs. Until then the metadata holds both." default:"336h"`
	Now bool          `help:"Sign by the new key at once and publish the old one no more, for a key that may have leaked: applications refuse people until they have the new certificate."`
}

// Validate checks that the term is one.
func (c *keyCommand) Validate() error {
	if c.In < time.Hour {
		return errors.New("--in must be an hour or more, which is how long applications keep the metadata; for at once there is --now")
	}
	return nil
}

// Run changes the key. The certificate is the only thing on the standard output, for applications that were given one by hand.
func (c *keyCommand) Run(t terminal) error {
	db, err := open(t, c.Store, slog.New(slog.NewTextHandler(t.err, nil)), false)
	if err != nil {
		return err
	}
	defer db.Close()
	actor := audit.Actor{
		Kind: audit.ActorOperator, ID: "cli", Name: "operator at the terminal", Door: audit.CLI, Request: string(id.New[id.Event]()),
	}
	in := c.In
	if c.Now {
		in = 0
	}
	cert, from, err := issuing.ChangeAssertionKey(t, db, actor, in)
	if err != nil {
		return err
	}
	if c.Now {
		_, _ = fmt.Fprintln(t.err, "Assertions are signed by a new key from now on. Give its certificate to every application that does not read the metadata by itself.")
	} else {
		_, _ = fmt.Fprintf(t.err, "Assertions are signed by the next key from %s on. Its certificate stands in the metadata from now on: give it to every application that does not read the metadata by itself, beside the one it has.\n", mail.When(from))
	}
	return pem.Encode(t.out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

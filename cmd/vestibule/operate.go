package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/config"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/server"
	"github.com/vestibule-id/vestibule/internal/store"
)

type applyCommand struct {
	config.Store
	DryRun bool     `help:"Only print what would change."`
	Prune  bool     `help:"Also remove what the files no longer declare."`
	Files  []string `arg:"" name:"file" help:"Files to apply, together."`
}

// Run brings the store to the files.
func (c *applyCommand) Run(t terminal) error {
	declared, err := apply.Read(c.Files, os.LookupEnv)
	if err != nil {
		return err
	}
	db, err := open(t, c.Store, slog.New(slog.NewTextHandler(t.err, nil)), false)
	if err != nil {
		// What is wrong with the files does not wait until the store can be reached.
		return errors.Join(asError(declared.Problems()), err)
	}
	defer db.Close()
	plan, err := declared.Run(t, db, apply.Options{DryRun: c.DryRun, Prune: c.Prune})
	var problems apply.Problems
	if errors.As(err, &problems) {
		_, _ = fmt.Fprintln(t.err, problems)
		return errNothingApplied
	}
	if err != nil {
		return err
	}
	plan.Print(t.out)
	return nil
}

var errNothingApplied = errors.New("nothing was applied")

func asError(p apply.Problems) error {
	if len(p) == 0 {
		return nil
	}
	return p
}

type migrateCommand struct {
	config.Store
}

// Run brings the schema up.
func (c *migrateCommand) Run(t terminal) error {
	db, err := open(t, c.Store, slog.New(slog.NewTextHandler(t.err, nil)), true)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Ready(t); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out, "the schema is up to date")
	return nil
}

type tokenCommand struct {
	config.Store
	Organization string `help:"The organization whose directory may push with the token." placeholder:"ID"`
	Directory    string `help:"The directory that may push with the token." placeholder:"ID"`
	Operator     bool   `help:"A token of the admin API with operator rights instead."`
	Expires      string `help:"When it ends: a day (2030-01-01), a time (RFC 3339), or how long from now (90d). Never by default." placeholder:"T"`
}

// Validate checks that exactly one kind of token is asked for.
func (c *tokenCommand) Validate() error {
	if c.Operator == (c.Organization != "" || c.Directory != "") {
		return errors.New("either --operator, or --organization and --directory")
	}
	if !c.Operator && (c.Organization == "" || c.Directory == "") {
		return errors.New("--organization and --directory go together")
	}
	return nil
}

// Run makes the token. It is the only thing on the standard output, so that a script can take it from there.
func (c *tokenCommand) Run(t terminal) error {
	db, err := open(t, c.Store, slog.New(slog.NewTextHandler(t.err, nil)), false)
	if err != nil {
		return err
	}
	defer db.Close()
	expires, err := c.expiry(db.Now())
	if err != nil {
		return err
	}
	actor := audit.Actor{
		Kind: audit.ActorOperator, ID: "cli", Name: "operator at the terminal", Door: audit.CLI, Request: string(id.New[id.Event]()),
	}
	var secret string
	if c.Operator {
		err = db.System().Write(t, func(tx *store.SystemTx) (err error) {
			secret, _, err = tx.CreateAPIToken(t, actor, "made at the terminal", expires)
			return err
		})
	} else {
		secret, err = c.directoryToken(t, db, actor, expires)
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.err, "This token is shown once; only its hash is kept.")
	_, _ = fmt.Fprintln(t.out, secret)
	return nil
}

func (c *tokenCommand) directoryToken(t terminal, db *store.DB, actor audit.Actor, expires time.Time) (string, error) {
	var secret string
	err := db.Write(t, id.Organization(c.Organization), func(tx *store.Tx) error {
		if _, err := tx.Self(t); err != nil {
			return err
		}
		var err error
		secret, _, err = tx.CreateDirectoryToken(t, actor, id.Directory(c.Directory), directory.Token{
			Source: directory.TokenFromCLI, Expires: expires,
		})
		return err
	})
	return secret, err
}

func (c *tokenCommand) expiry(now time.Time) (time.Time, error) {
	if c.Expires == "" {
		return time.Time{}, nil
	}
	if d, err := apply.ParseDuration(c.Expires); err == nil {
		return now.Add(d), nil
	}
	at, err := apply.ParseTime(c.Expires)
	if err != nil {
		return time.Time{}, fmt.Errorf("--expires: %q is neither a day such as 2030-01-01, nor a time such as 2030-01-01T12:00:00Z, nor a duration such as 90d", c.Expires)
	}
	if !at.After(now) {
		return time.Time{}, fmt.Errorf("--expires: %s lies in the past", c.Expires)
	}
	return at, nil
}

type versionCommand struct{}

// Run prints which program this is.
func (versionCommand) Run(t terminal) error {
	v := version()
	_, err := fmt.Fprintf(t.out, "vestibule %s, commit %s, %s\n", v.Version, v.Commit, v.Go)
	return err
}

// release is set by the linker (-X main.release=v1.2.3) when a release is built; else the build says what it was built from.
var release string

func version() server.Version {
	v := server.Version{Version: release, Commit: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		v.Version = cmp.Or(v.Version, "development")
		return v
	}
	v.Version = cmp.Or(v.Version, strings.Trim(info.Main.Version, "()"), "devel")
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Commit += " with changes"
		}
	}
	return v
}

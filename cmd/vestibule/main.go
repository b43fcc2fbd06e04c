// Command vestibule is the whole of Vestibule: a node (serve), the story on one machine (demo), and what an operator does
// from a terminal (apply, migrate, token create). It reads its settings, opens the store, and leaves the rest to the
// packages below it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/vestibule-id/vestibule/internal/config"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/store"
)

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Start a node."`
	Demo    demoCommand    `cmd:"" help:"Start the whole story on this machine, with nothing to configure: a node on a throw-away store, a sample identity provider, a sample application and two companies."`
	Apply   applyCommand   `cmd:"" help:"Bring the store to what the files declare."`
	Migrate migrateCommand `cmd:"" help:"Bring the schema of the store up to date."`
	Token   struct {
		Create tokenCommand `cmd:"" help:"Make a bearer token and print it, once."`
	} `cmd:"" help:"Tokens for identity providers and for the admin API."`
	Key struct {
		Change keyCommand `cmd:"" help:"Change the key that assertions to SAML applications are signed with before its time, and print the new certificate."`
	} `cmd:"" help:"The key of the SAML identity provider."`
	Recover  recoverCommand  `cmd:"" help:"Print a link by which one user comes in once, when their identity provider does not let them, or an operator who lost password or factor comes back."`
	Simulate simulateCommand `cmd:"" help:"Play an identity provider's provisioning against any SCIM server."`
	Check    checkCommand    `cmd:"" help:"Check a server against its standard."`
	Version  versionCommand  `cmd:"" help:"Print version, commit and Go version."`
}

// Exit codes: a command that was understood and went wrong, and one that was not understood.
const (
	exitFailed = 1
	exitUsage  = 2
)

// terminal is where a command speaks to a person, and what ends it.
type terminal struct {
	context.Context
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends what a first one has not
	if code := run(terminal{ctx, os.Stdout, os.Stderr}, os.Args[1:]); code != 0 {
		stop()
		os.Exit(code) //nolint:gocritic // stop was called
	}
}

func run(t terminal, args []string) int {
	var c commands
	parser, err := kong.New(&c, kong.Name("vestibule"), kong.Writers(t.out, t.err),
		kong.Description("Vestibule stands between companies' identity providers and the applications their people sign in to."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err) // the commands above are wrong, whatever was typed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(t.err, "vestibule: %v\n%s --help says more\n", err, understood(err))
		return exitUsage
	}
	if err := parsed.Run(t); err != nil {
		_, _ = fmt.Fprintf(t.err, "vestibule: %s\n", sentence(err))
		return exitFailed
	}
	return 0
}

// understood is the command as far as it was understood: whose help to read.
func understood(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		return parse.Context.Selected().FullPath()
	}
	return "vestibule"
}

// sentence is what a person at the terminal is told: everything, since the operator is who may see causes.
func sentence(err error) string {
	text := err.Error()
	if f := fault.As(err); f != nil {
		for _, field := range f.Fields {
			text += fmt.Sprintf("\n  %s: %s", field.Path, field.Message)
		}
	}
	return text
}

// open opens the store that the settings name.
func open(ctx context.Context, s config.Store, log *slog.Logger, migrate bool) (*store.DB, error) {
	keys, err := s.Keys()
	if err != nil {
		return nil, err
	}
	if path, ok := s.SQLitePath(); ok {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
	}
	db, err := store.Open(ctx, store.Options{URL: s.Database, DirectURL: s.DatabaseDirect, Keys: keys, Log: log, Migrate: migrate})
	if err != nil {
		return nil, err
	}
	if err := checkKeys(ctx, db, log); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

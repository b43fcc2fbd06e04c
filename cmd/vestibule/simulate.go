package main

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/vestibule-id/vestibule/internal/simulate"
)

type simulateCommand struct {
	Dialect     string `arg:"" enum:"entra,entra-compliant,okta,okta-wizard,onelogin,google,jumpcloud,ping" help:"The provider that is played: ${enum}."`
	Base        string `required:"" placeholder:"URL" help:"Address of the server's SCIM root, such as https://app.example/scim/v2."`
	Token       string `env:"SCIM_TOKEN" help:"Bearer token of the server."`
	Users       int    `default:"100" help:"How many people are pushed."`
	Groups      int    `default:"5" help:"How many groups are pushed, by providers that do."`
	Seed        uint64 `default:"1" help:"People and groups follow from it: the same seed finds its own records again."`
	Concurrency int    `default:"4" help:"How many requests are under way at once."`
	Cleanup     bool   `help:"Delete every record of this run at its end, also after an interrupt."`
}

// Help is what --help says below the first line.
func (*simulateCommand) Help() string {
	return `The server may be any that speaks SCIM 2.0; it need not be Vestibule. What is sent are the bodies, in the order, of the provider: test of the connection, first push, groups, changes, renames, leavers and those who come back, deletion, full resynchronization. Every answer is judged as the provider would judge it, and what was stored is read back.

It writes records at domains that begin with simulate-; use a test directory, and --cleanup. It ends with 0 only when nothing was found.`
}

var (
	errNotClean = errors.New("the provider would not get on with this server")
	errStopped  = errors.New("the run did not come to its end")
)

// Run plays the provider.
func (c *simulateCommand) Run(t terminal) error {
	report, err := simulate.Run(t, simulate.Options{
		Dialect: c.Dialect, Base: c.Base, Token: c.Token, Users: c.Users, Groups: c.Groups, Seed: c.Seed,
		Concurrency: c.Concurrency, Cleanup: c.Cleanup, Progress: simulate.Show(t.err, isTerminal(t.err), time.Now),
	})
	if err != nil {
		return err
	}
	report.Print(t.out)
	switch {
	case report.Stopped != nil:
		return errStopped
	case !report.Clean():
		return errNotClean
	}
	return nil
}

// isTerminal says whether a person watches w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

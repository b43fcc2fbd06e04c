package main

import (
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/scimcheck"
)

type checkCommand struct {
	SCIM checkSCIMCommand `cmd:"" name:"scim" help:"Walk a SCIM server, any one, and say where it keeps to the standard and where not."`
}

type checkSCIMCommand struct {
	Base  string `required:"" placeholder:"URL" help:"Address of the server's SCIM root, such as https://app.example/scim/v2."`
	Token string `env:"SCIM_TOKEN" help:"Bearer token of the server."`
	JSON  bool   `name:"json" help:"Write the report as JSON."`
}

// Help is what --help says below the first line.
func (*checkSCIMCommand) Help() string {
	return `The server may be any that speaks SCIM 2.0; it need not be Vestibule. Each check has an id, its clause in RFC 7643, 7644 or 9865, and its force: MUST, SHOULD, or choice where the standard leaves it open. A check that fails says what was sent, what came, and what should have come. What the server does not advertise is not checked.

The walk makes records whose names begin with vestibule-check-, and removes them. It ends with 1 when a MUST failed.`
}

// Run walks the server.
func (c *checkSCIMCommand) Run(t terminal) error {
	o := scimcheck.Options{Base: c.Base, Token: c.Token}
	if isTerminal(t.err) {
		last := time.Time{}
		o.Progress = func(done, of int, id string) {
			if done < of && time.Since(last) < 50*time.Millisecond {
				return
			}
			last = time.Now()
			_, _ = fmt.Fprintf(t.err, "\r\x1b[K%d/%d %s", done, of, id)
			if done == of {
				_, _ = fmt.Fprint(t.err, "\r\x1b[K")
			}
		}
	}
	report, err := scimcheck.Run(t, o)
	if err != nil {
		return err
	}
	if c.JSON {
		err = report.JSON(t.out)
	} else {
		report.Print(t.out)
	}
	if n := report.FailedMust(); err == nil && n > 0 {
		return fault.New(fault.Invalid, "%d checks of force MUST failed.", n)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strings"

	"github.com/vestibule-id/vestibule/internal/config"
	"github.com/vestibule-id/vestibule/internal/server"
	"github.com/vestibule-id/vestibule/internal/store"
)

type serveCommand struct {
	config.Config
	Migrate bool `help:"Bring a PostgreSQL schema up to date first; SQLite always does."`
}

// Run serves until a signal comes.
func (c *serveCommand) Run(t terminal) error {
	lines := server.NewLogWriter(t.err)
	defer lines.Flush()
	log := lines.Logger()
	// What a node keeps is a few megabytes. Collected each time that doubles, as Go does unasked, a busy node spends an eighth
	// of its time on it. At seven times as much it holds 60 MB and is done with it.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(600)
	}
	// Listening comes first: with port 0 only the listener knows the public URL, and who connects early waits instead of
	// being refused.
	l, err := new(net.ListenConfig).Listen(t, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("addr: %w; name another by --addr or VESTIBULE_ADDR (port 0 picks a free one)", err)
	}
	defer func() { _ = l.Close() }()
	db, err := open(t, c.Store, log, c.Migrate)
	if err != nil {
		return err
	}
	defer db.Close()
	url := c.BaseURL(l.Addr().String())
	if strings.HasPrefix(url, "http://") && !loopback(l.Addr()) {
		log.Warn("the public URL is not https: passwords and cookies travel in the clear between people and this node", "url", url)
	}
	s, err := server.New(t, server.Options{
		DB: db, Log: log, URL: url, AllowPrivateNetworks: bool(c.AllowPrivateNetworks), TrustedProxies: c.Proxies(), Version: version(),
		Mail: c.Mail(url), OperatorMFA: bool(c.OperatorMFA),
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.out, "Vestibule listens on http://%s\n", l.Addr())
	if url != "http://"+l.Addr().String() {
		_, _ = fmt.Fprintf(t.out, "and is called %s\n", url)
	}
	link, err := setupLink(t, db, url)
	if err != nil {
		return err
	}
	if link != "" {
		_, _ = fmt.Fprintf(t.out, "\nNobody runs this installation yet. Open this link once to become its operator:\n\n    %s\n\n", link)
	}
	return s.Run(t, l)
}

func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// setupLink makes a one-time link while nobody is operator. The token stands behind the #, which no browser sends along:
// it is in no log and no Referer.
func setupLink(ctx context.Context, db *store.DB, url string) (string, error) {
	var exists bool
	err := db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		exists, err = tx.HasOperator(ctx)
		return err
	})
	if err != nil || exists {
		return "", err
	}
	var token string
	err = db.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		token, err = tx.CreateOperatorLink(ctx)
		return err
	})
	if errors.Is(err, context.Canceled) {
		return "", nil
	}
	return url + "/setup#" + token, err
}

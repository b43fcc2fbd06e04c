package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/config"
	"github.com/vestibule-id/vestibule/internal/demo"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/server"
)

// The demo's parts listen where nothing else usually does; where something does, the system picks another port.
type demoCommand struct {
	Addr        string `help:"Where the node listens." default:"127.0.0.1:8080"`
	Application string `help:"Where the sample application listens." default:"127.0.0.1:9401" placeholder:"ADDR"`
	Provider    string `help:"Where the sample identity provider listens." default:"127.0.0.1:9403" placeholder:"ADDR"`
	Verbose     bool   `help:"Show the node's log, a line a request."`
}

// Run tells the story until Ctrl-C.
func (c *demoCommand) Run(t terminal) error {
	dir, err := os.MkdirTemp("", "vestibule-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: level}))

	var listeners [3]net.Listener
	for i, addr := range []string{c.Addr, c.Provider, c.Application} {
		if listeners[i], err = listen(t, addr); err != nil {
			return err
		}
		defer func() { _ = listeners[i].Close() }()
	}
	at := func(i int) string { return (&config.Config{}).BaseURL(listeners[i].Addr().String()) }
	world := demo.New(at(0), at(1), at(2))
	provider, err := world.IdentityProvider()
	if err != nil {
		return err
	}
	db, err := open(t, config.Store{Database: "sqlite:" + filepath.Join(dir, "vestibule.db"), Key: seal.NewKey()}, log, true)
	if err != nil {
		return err
	}
	defer db.Close()
	file := filepath.Join(dir, "demo.yaml")
	if err := os.WriteFile(file, demo.Configuration(), 0o600); err != nil {
		return err
	}
	declared, err := apply.Read([]string{file}, world.Getenv)
	if err != nil {
		return err
	}
	if _, err := declared.Run(t, db, apply.Options{}); err != nil {
		return err
	}
	node, err := server.New(t, server.Options{DB: db, Log: log, URL: at(0), AllowPrivateNetworks: true, Version: version()})
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(t)
	failed := make(chan error, 3)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { failed <- node.Run(ctx, listeners[0]) })
	running.Go(func() { failed <- serveUntil(ctx, listeners[1], provider) })
	running.Go(func() { failed <- serveUntil(ctx, listeners[2], world.SampleApplication()) })

	if err := world.Push(ctx); err != nil {
		if t.Err() != nil {
			return nil
		}
		return err
	}
	link, err := setupLink(ctx, db, at(0))
	if err != nil {
		return err
	}
	world.Tell(t.out, link)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		_, _ = fmt.Fprintln(t.out, "\n  The demo is over; its store is gone.")
		return nil
	}
}

// listen takes the address, or any port of its host where the port is taken.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		return l, nil
	}
	host, _, splitErr := net.SplitHostPort(addr)
	if splitErr != nil {
		return nil, err
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
}

func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return errors.Join(s.Close(), ignoreClosed(<-failed))
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

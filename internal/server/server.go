// Package server makes one node of everything: the one place where the parts are wired to each other, and where a request
// comes in before any of them sees it. It gives each request an id and the address it really came from, writes one line
// about it, counts it, bounds it, and turns a panic into an answer; what the request then means is for the face it reaches.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/adminapi"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/console"
	"github.com/vestibule-id/vestibule/internal/decision"
	"github.com/vestibule-id/vestibule/internal/issuing"
	"github.com/vestibule-id/vestibule/internal/job"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Options are what a node is made of. All are needed but TrustedProxies.
type Options struct {
	DB  *store.DB
	Log *slog.Logger
	// URL is the public base URL, an origin without a slash at its end.
	URL string
	// AllowPrivateNetworks lets outgoing requests reach loopback and private addresses.
	AllowPrivateNetworks bool
	// Mail says how letters leave the house; its URL is filled in.
	Mail mail.Settings
	// OperatorMFA asks operators for a second factor.
	OperatorMFA bool
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	Version        Version
}

// Version says which program this is.
type Version struct{ Version, Commit, Go string }

// Server is a node that is ready to serve.
type Server struct {
	handler  http.Handler
	doors    chi.Routes // all that it leads to
	log      *slog.Logger
	follow   []func(context.Context) // what runs beside the requests until the node stops
	draining atomic.Bool
}

// Bounds of a connection. A request's body has the bound of the face it reaches and never more than maxBody.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	writeTimeout      = 5 * time.Minute // a full read of a large group or audit log is streamed
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	maxBody           = 16 << 20
)

// How a node stops: readyz says so for a moment while requests are still taken, so that whoever balances can turn away;
// then what is under way gets its time.
const (
	drainNotice = 250 * time.Millisecond
	drainLimit  = 20 * time.Second
)

// eventLimit is how long an answer about a failed request waits for its event.
const eventLimit = 2 * time.Second

// New wires a node.
func New(ctx context.Context, o Options) (*Server, error) {
	s := &Server{log: o.Log}
	reports := &page.Reports{}
	metrics := newMetrics(o.Version, reports)
	guard := netguard.New(netguard.Policy{AllowPrivate: o.AllowPrivateNetworks})
	provider, err := issuing.New(ctx, issuing.Options{DB: o.DB, URL: o.URL, From: From, Log: o.Log, Stylesheet: page.Stylesheet()})
	if err != nil {
		return nil, fmt.Errorf("the OpenID Provider: %w", err)
	}
	o.DB.Public, o.Mail.URL = o.URL, o.URL
	mailer, err := mail.New(o.Mail)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	worker := job.New(o.DB, o.Log)
	worker.Every("cleanup", time.Hour, func(ctx context.Context) error {
		_, err := o.DB.Cleanup(ctx)
		return err
	})
	worker.Every("keys", time.Hour, provider.Rotate)
	worker.Every("needs-roles", 24*time.Hour, o.DB.TellWhoWaits)
	worker.Every("expiries", time.Hour, o.DB.TellExpiries)
	worker.Every("installation-expiries", time.Hour, o.DB.TellInstallation)
	worker.Every("relationships", time.Minute, o.DB.EndServed)
	worker.Every("silences", 15*time.Minute, o.DB.TellSilences)
	worker.Every("names", 5*time.Second, func(ctx context.Context) error { return o.DB.IndexNames(ctx, store.WorthIndexing) })
	// People come by directories and by other doors: an index that is half a minute late costs a search a few milliseconds.
	worker.Every("people", 30*time.Second, func(ctx context.Context) error { return o.DB.IndexPeople(ctx, store.WorthIndexing) })
	worker.Handle(outbox.BackChannelLogout, provider.SendLogout(guard.Client()))
	worker.Handle(outbox.Mail, job.Letters(o.DB, mailer))
	worker.Handle(outbox.ResetAsked, job.Resets(o.DB))
	worker.Handle(outbox.Webhook, job.Webhooks(o.DB, guard.Client()))
	worker.Handle(outbox.SMS, job.Messages(o.DB, guard.Client()))
	pushed := provisioning.New(provisioning.Config{DB: o.DB, URL: o.URL, Log: o.Log, Caller: caller, Count: metrics.pushed, Guard: guard})
	metrics.watchLog(pushed.Lost)
	s.follow = []func(context.Context){provider.Follow, worker.Run, pushed.Follow}

	r := chi.NewRouter()
	r.Use(headAsGet)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { refuse(w, r, o.Log, notFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, q *http.Request) {
		w.Header()["Allow"] = allowed(r, q.URL.Path)
		refuse(w, q, o.Log, methodNotAllowed)
	})
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r.MethodFunc(method, "/healthz", healthz)
		r.MethodFunc(method, "/readyz", s.readyz(o.DB))
	}
	r.Method(http.MethodGet, "/metrics", metrics.handler())
	provider.Mount(r)
	in := &signin.SignIn{DB: o.DB, Log: o.Log, URL: o.URL, Guard: guard, From: From, Patience: 2 * time.Second}
	in.Mount(r)
	worker.Every("saml-metadata", time.Hour, in.RefreshMetadata)
	worker.Every("domains", time.Hour, in.CheckDomains)
	(&console.Console{DB: o.DB, Log: o.Log, URL: o.URL, From: From, Reports: reports, Provisioning: pushed, Metadata: in.AskMetadata, Mail: mailer, CheckDomain: in.CheckDomain, OperatorMFA: o.OperatorMFA}).Mount(r)
	r.Handle("/scim/*", pushed)
	r.Get("/.well-known/oauth-authorization-server/scim/{organization}/{directory}", pushed.Metadata)
	r.Mount("/api/v1", lazily(func() http.Handler {
		api := chi.NewRouter()
		api.Use(headAsGet)
		(&adminapi.API{DB: o.DB, Log: o.Log, From: From, Metadata: in.AskMetadata, CheckDomain: in.CheckDomain, URL: o.URL, Mail: mailer}).Mount(api)
		return api
	}))
	(&decision.Decision{DB: o.DB, Log: o.Log, URL: o.URL, Caller: provider.Caller, From: From}).Mount(r)
	s.doors = r
	s.handler = chi.Chain(identify(o.TrustedProxies), observe(o.Log, metrics), recoverer(o.Log, record(o.DB)),
		bound(strings.HasPrefix(o.URL, "https://"))).Handler(ahead(pushed, r))
	return s, nil
}

// ahead takes what directories ask for past the router, which clones a request to note what its path is made of; provisioning
// reads the path by itself. What the router might see otherwise, an escaped path or a strange method, is left to it.
func ahead(pushed, r http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, "/scim/") && q.URL.RawPath == "" {
			switch q.Method {
			case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
				pushed.ServeHTTP(w, q)
				return
			}
		}
		r.ServeHTTP(w, q)
	})
}

// headAsGet leads HEAD to what answers GET where nobody answers HEAD by itself. It is chi's middleware.GetHead; that package brings
// the profiler of net/http along, with its doors on the default mux and a record of where memory is taken, which is some
// hundredths of a push.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := chi.RouteContext(r.Context()); r.Method == http.MethodHead {
			path := cmp.Or(at.RoutePath, r.URL.RawPath, r.URL.Path)
			if !at.Routes.Match(chi.NewRouteContext(), http.MethodHead, path) {
				at.RouteMethod, at.RoutePath = http.MethodGet, path
			}
		}
		next.ServeHTTP(w, r)
	})
}

// record writes an event of the installation.
func record(db *store.DB) func(context.Context, audit.Event) error {
	return func(ctx context.Context, e audit.Event) error {
		return db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.Record(ctx, e)
			return nil
		})
	}
}

// lazily makes a handler at its first request: the admin API describes itself by reflection, which is most of a start's time
// and nothing that a node needs to take its first push or sign-in.
func lazily(build func() http.Handler) http.Handler {
	handler := sync.OnceValue(build)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The handler is a router of its own and reads the whole path.
		handler().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, (*chi.Context)(nil))))
	})
}

// caller is From in the order that provisioning asks for it.
func caller(r *http.Request) (request, ip string) {
	ip, request = From(r)
	return request, ip
}

// ServeHTTP serves one request, as a node behind a listener of somebody else's would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		// Who is told leaves in good order; a connection that is merely closed may be carrying a request already.
		w.Header().Set("Connection", "close")
	}
	s.handler.ServeHTTP(w, r)
}

// Run serves on the listener until ctx ends, then drains: readyz answers 503, requests under way are finished, and what
// runs beside them is through. The store stays open; it is closed by whoever opened it.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	for _, f := range s.follow {
		running.Go(func() { f(beside) })
	}
	defer running.Wait()
	defer stop()

	h := &http.Server{
		Handler: s, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	notice := time.NewTimer(drainNotice)
	defer notice.Stop()
	<-notice.C
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if err := h.Shutdown(limit); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off after %s: %w", drainLimit, err), h.Close())
	}
	return nil
}

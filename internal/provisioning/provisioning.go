// Package provisioning is the bridge between SCIM and the store: it finds the directory behind a bearer token, opens the
// organization's transactions for it, and turns faults into SCIM errors.
//
// A request goes bearer -> directory -> scim.Handler -> Tenant's store -> store.Push. What a directory sees is its own: users
// under which it has a record, groups that it pushed. Everything else does not exist for it, and is answered so.
package provisioning

import (
	"context"
	"crypto/hmac"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// Config is what a Handler is made of.
type Config struct {
	DB *store.DB
	// URL is the public base URL, without a slash at the end.
	URL string
	Log *slog.Logger
	// Caller tells a request's id and the address it came from, for the audit event.
	Caller func(r *http.Request) (request, ip string)
	// Guard fetches the key sets of OAuth clients; where it is nil, only those in the file are known.
	Guard *netguard.Guard
	// Patience is how long a search may take; store.DefaultPatience where it is 0.
	Patience time.Duration
	// Count hears of each request in few words, for the metrics; it may be nil.
	Count func(resource, operation, dialect string, status int)
}

// Handler serves everything below /scim/.
type Handler struct {
	Config
	limit *limiter
	log   recorder

	mu      sync.Mutex
	spoken  map[spoken]*scim.Handler // guarded by mu
	known   map[place]*entry         // guarded by mu
	touched map[tokenID]time.Time    // guarded by mu
	keys    map[string]fetched       // guarded by mu
}

// place is where a directory's base URL points.
type place struct {
	organization id.Organization
	directory    id.Directory
}

type tokenID struct {
	place
	id string
}

// spoken is what a directory's resources are made of: those of one kind share a handler.
type spoken struct {
	user, group *scim.ResourceType
	roles       bool // of directories that may give roles
}

// entry is a directory as last read, and what follows from it alone: what its resources are made of, who serves them and where.
// A request is served by the one that it met, whatever becomes of the directory's file meanwhile.
type entry struct {
	directory *directory.Directory // nil is one that does not exist
	types     directory.Types
	unspoken  error // no types: no checked file leads to it, and nothing is served, since what is not known would be lost
	served    *scim.Handler
	base      string
	read      time.Time
}

const (
	// freshFor bounds how long a token that was taken away still opens the door.
	freshFor = time.Second
	// touchEvery is how often a token's last use is written down: a write for each request would cost more than the request.
	touchEvery = time.Minute
	// maxKnown bounds what strangers can make us remember.
	maxKnown = 10_000
)

// New makes a Handler.
func New(c Config) *Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Caller == nil {
		c.Caller = func(r *http.Request) (string, string) { return "", r.RemoteAddr }
	}
	h := &Handler{Config: c, known: map[place]*entry{}, touched: map[tokenID]time.Time{}, spoken: map[spoken]*scim.Handler{}}
	h.limit = &limiter{take: c.DB.HitMany, now: c.DB.Now, each: map[place]*allowance{}}
	h.log.wake, h.log.stranger = make(chan struct{}, 1), map[place]turnedAway{}
	return h
}

// ServeHTTP reads /scim/{organization}/{directory}/v2 and hands the rest to the protocol. Doubled slashes are read as one.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/scim")
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 4)
	for len(parts) < 4 {
		parts = append(parts, "")
	}
	at := place{id.Organization(parts[0]), id.Directory(parts[1])}
	if parts[2] == "oauth" && parts[3] == "token" {
		h.tokenEndpoint(w, r, at)
		return
	}
	rest := "/" + parts[3]
	if parts[2] != "v2" {
		rest = "/" + parts[2] + "/" // no version but 2 is spoken here; the protocol answers 404
	}
	t, r := h.watch(w, r, at, rest)
	defer func() { t.coming.Over() }()
	h.serve(t, r, rest)
	h.finish(t)
}

// serve lets the handler of a directory's resource types answer. Who has no token learns nothing by it: each asks open first.
func (h *Handler) serve(t *trace, r *http.Request, path string) {
	t.met, t.unmet = h.entry(r.Context(), t.at)
	t.never = t.met.types.Never
	t.met.served.ServePath(t, r, path)
}

func (h *Handler) handler(s spoken) *scim.Handler {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := h.spoken[s]
	if found == nil {
		if len(h.spoken) >= maxKnown {
			clear(h.spoken)
		}
		var served []*scim.ResourceType
		if s.user != nil {
			served = append(served, s.user, s.group)
		}
		if s.roles {
			served = append(served, roleType)
		}
		found = scim.NewHandler(scim.Config{Types: served, Open: h.open, Now: h.DB.Now, Log: h.Log})
		h.spoken[s] = found
	}
	return found
}

// open authenticates the request.
//
// Whether the organization, the directory or the token is wrong, the answer and the work are the same: a directory is looked
// up, and the token is hashed and compared, whatever there is to compare it with.
func (h *Handler) open(r *http.Request) (*scim.Tenant, error) {
	trace := traceOf(r.Context())
	if trace.unmet != nil {
		return nil, toSCIM(trace.unmet)
	}
	at, d := trace.at, trace.met.directory
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	known := h.recognize(d, strings.TrimSpace(token))
	if known == nil {
		known = h.issued(at, d, strings.TrimSpace(token))
	}
	by, now := standingIn(r.Context()), h.DB.Now()
	trace.opened(d, known, now, r)
	switch {
	case by != nil && d != nil:
	case known == nil || !known.Expires.IsZero() && !now.Before(known.Expires):
		return nil, toSCIM(fault.New(fault.Unauthenticated, "The bearer token of this directory is missing, wrong or expired."))
	}
	if by == nil {
		h.touch(r.Context(), at, known.ID)
		if err := h.limit.admit(r.Context(), at, d.RateLimit); err != nil {
			return nil, err
		}
	}

	dialect, ok := scim.DialectNamed(d.Dialect)
	if !ok {
		dialect = scim.RFC
	}
	if trace.met.unspoken != nil {
		return nil, fmt.Errorf("schemas of directory %s/%s: %w", at.organization, at.directory, trace.met.unspoken)
	}
	actor := audit.Actor{
		Kind: audit.ActorDirectory, ID: string(d.ID), Name: d.Name, Organization: at.organization, Door: audit.SCIM, IP: trace.ip, Request: trace.request,
	}
	if by != nil {
		actor = by.actor
	}
	repaired := func(repairs scim.Repairs) {
		trace.repaired(repairs)
		h.Log.InfoContext(r.Context(), "scim dialect", "organization", at.organization, "directory", at.directory,
			"request", trace.request, "repairs", repairs)
	}
	pusher := store.Pusher{
		Directory: *d, Dialect: dialect, Base: trace.met.base, User: trace.met.types.User, Group: trace.met.types.Group, Actor: actor, Repaired: repaired, Patience: h.Patience,
	}
	if trace.creates() {
		pusher.Coming = h.DB.Expect(at.organization, &pusher)
		trace.coming = pusher.Coming
	}
	return &scim.Tenant{
		Base:     trace.met.base,
		Dialect:  dialect,
		Store:    &tenant{db: h.DB, organization: at.organization, trace: trace, dry: by != nil && by.dry, pusher: pusher},
		Repaired: repaired,
	}, nil
}

// recognize finds the token among those of the directory, expired or not, comparing with all of them.
func (h *Handler) recognize(d *directory.Directory, token string) *directory.Token {
	hashes := h.DB.Keys.Hashes(token)
	if d == nil {
		d = &directory.Directory{Tokens: []directory.Token{{Hash: hashes[0][:len(hashes[0])-1] + "!"}}}
	}
	var found *directory.Token
	for i := range d.Tokens {
		t := &d.Tokens[i]
		for _, hash := range hashes {
			if hmac.Equal([]byte(hash), []byte(t.Hash)) && token != "" {
				found = t
			}
		}
	}
	return found
}

// directory gives the directory at a place, nil where there is none, as it was at most freshFor ago.
func (h *Handler) directory(ctx context.Context, at place) (*directory.Directory, error) {
	e, err := h.entry(ctx, at)
	return e.directory, err
}

// entry gives what is known of a place, never nil: with an error it is as if there were nothing.
func (h *Handler) entry(ctx context.Context, at place) (*entry, error) {
	now := h.DB.Now()
	h.mu.Lock()
	e := h.known[at]
	h.mu.Unlock()
	if e != nil && now.Sub(e.read) < freshFor && !now.Before(e.read) {
		return e, nil
	}
	return h.enter(ctx, at, now)
}

// enter reads what is at a place.
func (h *Handler) enter(ctx context.Context, at place, now time.Time) (*entry, error) {
	e := &entry{base: h.URL + "/scim/" + string(at.organization) + "/" + string(at.directory) + "/v2", read: now}
	var err error
	if id.Declared(string(at.organization)) && id.Declared(string(at.directory)) {
		err = h.DB.Read(ctx, at.organization, func(tx *store.Tx) (err error) {
			e.directory, err = tx.Directory(ctx, at.directory)
			return err
		})
		if fault.KindOf(err) == fault.NotFound {
			err = nil
		}
		if err != nil {
			e.directory = nil
		}
	}
	settings := &directory.Settings{}
	if e.directory != nil {
		settings = &e.directory.Settings
	}
	e.types, e.unspoken = settings.Types()
	e.served = h.handler(spoken{e.types.User, e.types.Group, len(settings.Roles.Accept) > 0})
	if err != nil {
		return e, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) >= maxKnown {
		clear(h.known)
	}
	h.known[at] = e
	return e, nil
}

// touch writes down that a token is in use.
func (h *Handler) touch(ctx context.Context, at place, token string) {
	now, key := h.DB.Now(), tokenID{at, token}
	h.mu.Lock()
	due := now.Sub(h.touched[key]) >= touchEvery
	if due {
		if len(h.touched) >= maxKnown {
			clear(h.touched)
		}
		h.touched[key] = now
	}
	h.mu.Unlock()
	if !due {
		return
	}
	err := h.DB.Write(ctx, at.organization, func(tx *store.Tx) error {
		tx.TouchDirectoryToken(ctx, at.directory, token)
		return nil
	})
	if err != nil {
		h.Log.WarnContext(ctx, "note a token's use", "organization", at.organization, "directory", at.directory, "error", err)
	}
}

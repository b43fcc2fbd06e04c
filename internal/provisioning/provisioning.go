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
	known   map[place]entry          // guarded by mu
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

// entry is a directory as last read, and what its resources are made of; nil is one that does not exist.
type entry struct {
	directory *directory.Directory
	speaks    speaks
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
	h := &Handler{Config: c, known: map[place]entry{}, touched: map[tokenID]time.Time{}, spoken: map[spoken]*scim.Handler{}}
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
	r.SetPathValue("organization", parts[0])
	r.SetPathValue("directory", parts[1])
	if parts[2] == "oauth" && parts[3] == "token" {
		h.tokenEndpoint(w, r, place{id.Organization(parts[0]), id.Directory(parts[1])})
		return
	}
	rest := "/" + parts[3]
	if parts[2] != "v2" {
		rest = "/" + parts[2] + "/" // no version but 2 is spoken here; the protocol answers 404
	}
	t, r := h.watch(w, r, place{id.Organization(parts[0]), id.Directory(parts[1])}, rest)
	defer func() { t.coming.Over() }()
	h.serve(t, r, place{id.Organization(parts[0]), id.Directory(parts[1])}, rest)
	h.finish(t)
}

// speaks is what the resources of a request are made of. With an error, which no checked file leads to, nothing is served:
// attributes that are not known would be lost.
type speaks struct {
	directory.Types
	err error
}

type speaksKey struct{}

// serve lets the handler of a directory's resource types answer. Who has no token learns nothing by it: each asks open first.
// What the resources are made of is found once for a request; its file may change while it is served.
func (h *Handler) serve(t *trace, r *http.Request, at place, path string) {
	ctx := r.Context()
	e, err := h.entry(ctx, at)
	if err != nil || e.directory == nil {
		var none directory.Settings // open meets the same error and answers it
		e.speaks.Types, e.speaks.err = none.Types()
	}
	t.never = e.speaks.Never
	s := spoken{e.speaks.User, e.speaks.Group, e.directory != nil && len(e.directory.Roles.Accept) > 0}
	h.handler(s).ServePath(t, r.WithContext(context.WithValue(ctx, speaksKey{}, e.speaks)), path)
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
	at := place{id.Organization(r.PathValue("organization")), id.Directory(r.PathValue("directory"))}
	d, err := h.directory(r.Context(), at)
	if err != nil {
		return nil, toSCIM(err)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	known := h.recognize(d, strings.TrimSpace(token))
	if known == nil {
		known = h.issued(at, d, strings.TrimSpace(token))
	}
	trace, by, now := traceOf(r.Context()), standingIn(r.Context()), h.DB.Now()
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
	types, _ := r.Context().Value(speaksKey{}).(speaks)
	if types.err != nil {
		return nil, fmt.Errorf("schemas of directory %s/%s: %w", at.organization, at.directory, types.err)
	}
	request, ip := h.Caller(r)
	base := h.URL + "/scim/" + string(at.organization) + "/" + string(at.directory) + "/v2"
	actor := audit.Actor{
		Kind: audit.ActorDirectory, ID: string(d.ID), Name: d.Name, Organization: at.organization, Door: audit.SCIM, IP: ip, Request: request,
	}
	if by != nil {
		actor = by.actor
	}
	repaired := func(repairs scim.Repairs) {
		trace.repaired(repairs)
		h.Log.InfoContext(r.Context(), "scim dialect", "organization", at.organization, "directory", at.directory,
			"request", request, "repairs", repairs)
	}
	pusher := store.Pusher{
		Directory: *d, Dialect: dialect, Base: base, User: types.User, Group: types.Group, Actor: actor, Repaired: repaired, Patience: h.Patience,
	}
	if trace != nil && trace.creates() {
		pusher.Coming = h.DB.Expect(at.organization, &pusher)
		trace.coming = pusher.Coming
	}
	return &scim.Tenant{
		Base:     base,
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

func (h *Handler) entry(ctx context.Context, at place) (entry, error) {
	now := h.DB.Now()
	h.mu.Lock()
	e, ok := h.known[at]
	h.mu.Unlock()
	if ok && now.Sub(e.read) < freshFor && !now.Before(e.read) {
		return e, nil
	}
	e = entry{read: now}
	if id.Declared(string(at.organization)) && id.Declared(string(at.directory)) {
		err := h.DB.Read(ctx, at.organization, func(tx *store.Tx) (err error) {
			e.directory, err = tx.Directory(ctx, at.directory)
			return err
		})
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return entry{}, err
		}
	}
	if e.directory != nil {
		e.speaks.Types, e.speaks.err = e.directory.Types()
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

package scim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
)

// MediaType is the type of every answer (RFC 7644 section 3.8).
const MediaType = "application/scim+json"

// The bounds a Handler keeps and tells of in ServiceProviderConfig.
const (
	DefaultPage   = 100
	MaxPage       = 1000
	MaxBody       = 4 << 20
	MaxBulk       = 8 << 20
	BulkLimit     = 1000
	CursorTimeout = time.Hour
)

// Config is what a Handler is made of.
type Config struct {
	Types []*ResourceType

	// Open authenticates a request and finds its tenant. Its error answers for every address, also for
	// those that do not exist, so that nobody learns anything without a credential.
	Open func(r *http.Request) (*Tenant, error)

	Now func() time.Time
	Log *slog.Logger
	// DocumentationURI stands in ServiceProviderConfig when it is set.
	DocumentationURI string
}

// Handler serves the protocol of RFC 7644 over the stores that Open finds. Mount it where the SCIM root
// is, or call ServePath with the rest of the path.
type Handler struct {
	Config
	// at has the addresses of which there is one, below those that an id follows. A handler has a dozen of
	// them, all of this form; a router for any form would clone the request and its context to answer an id.
	at, below map[string]route
	unknown   route
	hints     hints
	made      map[*ResourceType]made
}

// made is what every request asks of a type.
type made struct {
	// sparing tells that its stored document may be answered as it stands: no attribute of it is left out of
	// an answer that asks for nothing in particular.
	sparing bool
	groups  bool // it has the attribute groups
}

// NewHandler makes a Handler.
func NewHandler(c Config) *Handler {
	h := &Handler{Config: c, at: map[string]route{}, below: map[string]route{}, made: map[*ResourceType]made{}}
	if h.Now == nil {
		h.Now = time.Now
	}
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	at := func(path string, m methods) { h.at[path] = routeOf(m) }
	below := func(path string, m methods) { h.below[path] = routeOf(m) }
	at("/", methods{"GET": h.root})
	at("/.search", methods{"POST": h.rootSearch})
	at("/Bulk", methods{"POST": h.bulk})
	at("/ServiceProviderConfig", methods{"GET": h.serviceProviderConfig})
	at("/ResourceTypes", methods{"GET": h.resourceTypes})
	below("/ResourceTypes", methods{"GET": h.resourceType})
	at("/Schemas", methods{"GET": h.schemas})
	below("/Schemas", methods{"GET": h.schema})
	// A directory's credential has no person behind it (RFC 7644 section 3.11).
	at("/Me", nil)
	h.unknown = routeOf(methods{"*": func(*call) error {
		return Errorf(http.StatusNotFound, "", "There is no such address here.")
	}})
	for _, rt := range c.Types {
		h.made[rt] = made{sparing: sparing(rt), groups: rt.Schema.Attribute("groups") != nil}
		with := func(f func(*call, *ResourceType) error) endpoint {
			return func(c *call) error { return f(c, rt) }
		}
		at(rt.Endpoint+"/.search", methods{"POST": with(h.search)})
		if rt.ReadOnly {
			at(rt.Endpoint, methods{"GET": with(h.list)})
			below(rt.Endpoint, methods{"GET": with(h.get)})
			continue
		}
		at(rt.Endpoint, methods{"GET": with(h.list), "POST": with(h.create)})
		below(rt.Endpoint, methods{"GET": with(h.get), "PUT": with(h.replace), "PATCH": with(h.patch), "DELETE": with(h.delete)})
	}
	return h
}

// readableID refuses what no store could look for: NUL and broken UTF-8.
func readableID(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func sparing(rt *ResourceType) bool {
	schemas := []*Schema{rt.Schema}
	for _, e := range rt.Extensions {
		schemas = append(schemas, e.Schema)
	}
	asked := func(a *Attribute) bool { return a.Returned == ReturnedRequest }
	for _, s := range schemas {
		for _, a := range s.Attributes {
			if asked(a) || slices.ContainsFunc(a.Sub, asked) {
				return false
			}
		}
	}
	return true
}

func (h *Handler) typeNamed(name string) *ResourceType {
	for _, rt := range h.Types {
		if rt.Name == name {
			return rt
		}
	}
	return nil
}

// ServeHTTP serves the request's path, or what is left of it below a chi mount.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if rctx := chi.RouteContext(r.Context()); rctx != nil && rctx.RoutePath != "" {
		path = rctx.RoutePath
	}
	h.ServePath(w, r, path)
}

// ServePath serves the request as if path were its whole path. Some clients join the root and an
// endpoint with two slashes; they are read as one.
func (h *Handler) ServePath(w http.ResponseWriter, r *http.Request, path string) {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	if path == "" {
		path = "/"
	}
	found, id := h.route(path)
	if err := h.run(w, r, found, id); err != nil {
		h.fail(w, r, err)
	}
}

// route finds what is served at a path, and the id in it.
func (h *Handler) route(path string) (found route, id string) {
	if found, ok := h.at[path]; ok {
		return found, ""
	}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		if found, ok := h.below[path[:i]]; ok {
			return found, path[i+1:]
		}
	}
	return h.unknown, ""
}

// call is one request under way.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	tenant *Tenant
	id     string
	query  url.Values
}

type (
	endpoint func(c *call) error
	methods  map[string]endpoint
	route    struct {
		methods methods
		allow   []string
	}
)

func routeOf(m methods) route {
	var allow []string
	for name := range m {
		allow = append(allow, name)
	}
	if m["GET"] != nil {
		allow = append(allow, "HEAD")
	}
	slices.Sort(allow)
	return route{m, allow}
}

func (h *Handler) run(w http.ResponseWriter, r *http.Request, to route, id string) error {
	t, err := h.Open(r)
	if err != nil {
		return err
	}
	m := to.methods
	if m == nil {
		return Errorf(http.StatusNotImplemented, "", "This credential belongs to a directory and not to a person, so there is no /Me.")
	}
	f := m[r.Method]
	if r.Method == http.MethodHead {
		f = m["GET"]
	}
	if any := m["*"]; any != nil {
		f = any
	}
	if f == nil {
		allow := strings.Join(to.allow, ", ")
		w.Header().Set("Allow", allow)
		return Errorf(http.StatusMethodNotAllowed, "", "%s is not served here; allowed are %s.", r.Method, allow)
	}
	// url.URL.Query drops what it cannot read. A filter that vanished would list everybody.
	var query url.Values
	if r.URL.RawQuery != "" {
		if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return badRequest(InvalidValue, "The query string cannot be read: %v.", err)
		}
	}
	if !readableID(id) {
		return Errorf(http.StatusNotFound, "", "There is no such resource.")
	}
	return f(&call{w: w, r: r, tenant: t, id: id, query: query})
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := AsError(err)
	if e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented {
		h.Log.ErrorContext(r.Context(), "scim request", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	switch e.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds := max(1, (e.RetryAfter+time.Second-1)/time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	body, err := e.MarshalJSON()
	if err != nil {
		body = []byte(`{"schemas":["` + ErrorURN + `"],"status":"500"}`)
	}
	send(w, e.Status, body)
}

// Headers of every answer with a body. The values are shared; people's data is kept by no cache between us and the client.
var mediaType, noStore = []string{MediaType}, []string{"no-store"}

func send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = mediaType, noStore
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone; there is nobody to tell
}

// body reads a JSON body of at most limit bytes (RFC 7644 section 3.8).
func (c *call) body(limit int) (Attributes, error) {
	if ct := c.r.Header.Get("Content-Type"); ct != "" {
		mt, _, err := mime.ParseMediaType(ct)
		if err != nil || mt != MediaType && mt != "application/json" {
			return nil, Errorf(http.StatusUnsupportedMediaType, "", "A body must be %s or application/json, not %q.", MediaType, ct)
		}
	}
	tooLarge := Errorf(http.StatusRequestEntityTooLarge, "", "The body is larger than %d bytes.", limit)
	if c.r.ContentLength > int64(limit) {
		return nil, tooLarge
	}
	var buf bytes.Buffer
	if c.r.ContentLength > 0 {
		buf.Grow(int(c.r.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(c.r.Body, int64(limit)+1))
	switch {
	case n > int64(limit):
		return nil, tooLarge
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.Canceled):
		return nil, badRequest(InvalidSyntax, "The body ended early.")
	case err != nil:
		return nil, Errorf(http.StatusBadRequest, InvalidSyntax, "The body could not be read.")
	}
	return DecodeJSON(buf.Bytes(), Limits{Bytes: limit, Depth: DefaultLimits.Depth, Values: DefaultLimits.Values})
}

// projection reads attributes and excludedAttributes; nil answers everything that is returned by
// default.
func (h *Handler) projection(c *call, rt *ResourceType) (*Projection, error) {
	return h.projectionOf(rt, names(c.query["attributes"]), names(c.query["excludedAttributes"]))
}

func (h *Handler) projectionOf(rt *ResourceType, attributes, excluded []string) (*Projection, error) {
	if len(attributes) == 0 && len(excluded) == 0 && h.made[rt].sparing {
		return nil, nil
	}
	return ParseProjection(rt, attributes, excluded)
}

func names(values []string) []string {
	var out []string
	for _, v := range values {
		for _, name := range strings.Split(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				out = append(out, name)
			}
		}
	}
	return out
}

func (h *Handler) want(rt *ResourceType, p *Projection) Want {
	return Want{
		Rows:   rt.Rows != "" && (p == nil || p.Wants(rt.Rows)),
		Groups: h.made[rt].groups && (p == nil || p.Wants("groups")),
	}
}

package provisioning

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// The request log. A request is watched while it is served: its bytes are copied as they pass, and nothing of it is read. A
// writer beside the requests then says in words what happened and keeps a row, many in one transaction. The provider never
// waits for its log and never fails by it: what the writer cannot keep is counted.

// Bounds of the log.
const (
	keptBody   = 64 << 10 // of a request: what is larger is kept in part and cannot be sent again
	keptAnswer = 8 << 10
	keptPath   = 500
	keptQuery  = 2000
	// peeked is how much is read of a request whose token has expired: enough to say whom it was about.
	peeked = 16 << 10

	logQueue = 4096
	logBytes = 32 << 20 // of bodies in the queue; beyond it requests are kept without theirs
	logBatch = 256
	// logLinger is how long a row waits for others to share its transaction: shorter than anybody takes to look.
	logLinger = 200 * time.Millisecond
	logLimit  = 10 * time.Second

	// strangers is how many requests a minute with a token that never was the directory's are kept: whoever knows a
	// directory's address could fill its log otherwise, and hide in it.
	strangers = 30
)

// trace is what one request leaves behind.
type trace struct {
	http.ResponseWriter

	at            place
	met           *entry // what was known of it, or
	unmet         error  // why it could not be read
	began         time.Time
	method, path  string
	query         string
	ip, request   string
	status        int
	took          time.Duration
	body, answer  []byte
	cut, answered bool // the body is not all there; the answer is
	directory     *directory.Directory
	never         unspoken // what its own schemas never return
	token         string
	tokenExpired  time.Time
	state         directory.TokenState
	dialect       *scim.Dialect
	repairs       scim.Repairs
	events        []audit.Event
	replayOf      id.Request
	walked        *walked
	coming        *store.Coming
}

// creates reports whether the request is to create a user.
func (t *trace) creates() bool {
	resource, operation := kindOf(t.method, t.path)
	return resource == "User" && operation == "create"
}

func (t *trace) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *trace) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	if room := keptAnswer - len(t.answer); room > 0 {
		t.answer = append(t.answer, b[:min(room, len(b))]...)
		t.answered = len(b) <= room
	} else if len(b) > 0 {
		t.answered = false
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush and set deadlines.
func (t *trace) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// tee copies what is read of a body.
type tee struct {
	io.ReadCloser
	t *trace
}

func (b tee) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		room := keptBody - len(b.t.body)
		if n > room {
			b.t.cut = true
		}
		b.t.body = append(b.t.body, p[:max(0, min(room, n))]...)
	}
	return n, err
}

// peek reads the beginning of a body that nobody will read.
func (t *trace) peek(r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, peeked) // what does not come is not looked at
	t.cut = true
}

// change keeps what a committed transaction recorded.
func (t *trace) change(events []audit.Event) {
	if t != nil {
		t.events = append(t.events, events...)
	}
}

// repaired counts what the dialect forgave.
func (t *trace) repaired(repairs scim.Repairs) {
	if t == nil {
		return
	}
	if t.repairs == nil {
		t.repairs = scim.Repairs{}
	}
	for deviation, n := range repairs {
		t.repairs[deviation] += n
	}
}

type traceKey struct{}

// traceOf gives the trace of a request under way.
func traceOf(ctx context.Context) *trace {
	t, _ := ctx.Value(traceKey{}).(*trace)
	return t
}

// watch begins the trace of a request for rest, the path below the directory's root.
func (h *Handler) watch(w http.ResponseWriter, r *http.Request, at place, rest string) (*trace, *http.Request) {
	t := &trace{
		ResponseWriter: w, at: at, began: time.Now(), method: r.Method, path: rest, query: r.URL.RawQuery, state: directory.TokenUnknown,
	}
	t.request, t.ip = h.Caller(r)
	r = r.WithContext(context.WithValue(r.Context(), traceKey{}, t))
	if r.Body != nil && r.Body != http.NoBody {
		if n := r.ContentLength; n > 0 {
			t.body = make([]byte, 0, min(n, keptBody))
		}
		r.Body = tee{r.Body, t}
	}
	return t, r
}

// opened notes who is at the door.
func (t *trace) opened(d *directory.Directory, known *directory.Token, now time.Time, r *http.Request) {
	if d == nil {
		return
	}
	t.directory = d
	t.dialect, _ = scim.DialectNamed(d.Dialect)
	if known == nil {
		return
	}
	t.token, t.state = known.ID, directory.TokenGood
	if !known.Expires.IsZero() && !now.Before(known.Expires) {
		t.state, t.tokenExpired = directory.TokenExpired, known.Expires
		t.peek(r)
	}
}

// recorder is the queue between the requests and the log. A request puts its trace there and wakes the writer only where
// something changes for it: with the first, and when a batch is full. To wake it each time costs as much as all the rest.
type recorder struct {
	bytes atomic.Int64
	lost  atomic.Uint64
	wake  chan struct{} // holds one

	sights sights

	mu       sync.Mutex
	waiting  []*trace             // guarded by mu
	stranger map[place]turnedAway // guarded by mu
}

// put queues a trace, and reports whether there was room.
func (l *recorder) put(t *trace) bool {
	l.mu.Lock()
	n := len(l.waiting)
	if n < logQueue {
		l.waiting = append(l.waiting, t)
	}
	l.mu.Unlock()
	if n == 0 || n+1 == logBatch {
		l.rouse()
	}
	return n < logQueue
}

func (l *recorder) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take gives the next batch, and whether another full one follows.
func (l *recorder) take() (batch []*trace, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), logBatch)
	batch = slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	return batch, len(l.waiting) >= logBatch
}

func (l *recorder) waits() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// turnedAway counts the requests of strangers at a directory within a minute.
type turnedAway struct {
	minute int64
	n      int
}

// finish ends the trace: the request is counted and waits for the writer.
func (h *Handler) finish(t *trace) {
	t.took = time.Since(t.began)
	if t.status == 0 {
		t.status = http.StatusOK
	}
	resource, operation := kindOf(t.method, t.path)
	if h.Count != nil {
		dialect := "none"
		if t.dialect != nil && t.state == directory.TokenGood {
			dialect = t.dialect.Name
		}
		h.Count(resource, operation, dialect, t.status)
	}
	if t.directory == nil || t.state == directory.TokenUnknown && !h.log.admits(t.at, h.DB.Now()) {
		return
	}
	t.ResponseWriter = nil
	t.began = h.DB.Now()
	if t.state == directory.TokenUnknown {
		t.body, t.cut = nil, true // a stranger's words are not kept
	}
	size := int64(len(t.body) + len(t.answer))
	if h.log.bytes.Add(size) > logBytes {
		h.log.bytes.Add(-size)
		t.body, t.answer, t.cut = nil, nil, true
	}
	if !h.log.put(t) {
		h.log.bytes.Add(-int64(len(t.body) + len(t.answer)))
		h.log.lost.Add(1)
	}
}

func (l *recorder) admits(at place, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.stranger) >= maxKnown {
		clear(l.stranger)
	}
	s, minute := l.stranger[at], now.Unix()/60
	if s.minute != minute {
		s = turnedAway{minute: minute}
	}
	s.n++
	l.stranger[at] = s
	return s.n <= strangers
}

// Lost counts the requests that were served and could not be kept in the log.
func (h *Handler) Lost() uint64 { return h.log.lost.Load() }

// Follow keeps the log until ctx ends, and then what still waits.
func (h *Handler) Follow(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-h.log.wake:
		case <-ctx.Done():
		}
		linger := time.NewTimer(logLinger)
		for waiting := true; waiting && h.log.waits() < logBatch; {
			select {
			case <-h.log.wake:
			case <-linger.C:
				waiting = false
			case <-ctx.Done():
				waiting = false
			}
		}
		linger.Stop()
		for more := true; more; {
			var batch []*trace
			if batch, more = h.log.take(); len(batch) > 0 {
				h.keep(ctx, batch)
			}
		}
		if h.log.waits() > 0 { // whoever came meanwhile was not the first, and woke nobody
			h.log.rouse()
		}
	}
	h.Flush(ctx)
}

// Flush keeps what waits now.
func (h *Handler) Flush(ctx context.Context) {
	for {
		batch, _ := h.log.take()
		if len(batch) == 0 {
			return
		}
		h.keep(ctx, batch)
	}
}

// keep writes a batch, a transaction for each organization.
func (h *Handler) keep(ctx context.Context, batch []*trace) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logLimit)
	defer cancel()
	by := map[id.Organization][]*trace{}
	for _, t := range batch {
		h.log.bytes.Add(-int64(len(t.body) + len(t.answer)))
		by[t.at.organization] = append(by[t.at.organization], t)
	}
	for org, list := range by {
		rows, err := h.describe(ctx, org, list)
		if err == nil {
			resources, passes := h.log.sights.take(org, list, rows, h.DB.Now())
			err = h.DB.Write(ctx, org, func(tx *store.Tx) error {
				tx.LogRequests(ctx, rows)
				note(tx, list, resources)
				return nil
			})
			for _, p := range passes {
				err = errors.Join(err, h.DB.Named(ctx, p.organization, p.directory, p.kind))
			}
		}
		if err != nil {
			h.log.lost.Add(uint64(len(list)))
			h.Log.WarnContext(ctx, "keep requests in the log", "organization", org, "requests", len(list), "error", err)
		}
	}
}

// describe makes rows of traces.
func (h *Handler) describe(ctx context.Context, org id.Organization, list []*trace) ([]directory.Request, error) {
	parsed := make([]exchange, len(list))
	var n needs
	for i, t := range list {
		parsed[i] = parse(t)
		n.of(&parsed[i])
	}
	var k known
	if n.any() {
		err := h.DB.Read(ctx, org, func(tx *store.Tx) (err error) {
			k, err = n.look(ctx, tx)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	rows := make([]directory.Request, len(list))
	for i := range parsed {
		rows[i] = parsed[i].row(&k)
	}
	return rows, nil
}

// kindOf says what a request is about and does, in the few words that a counter may have.
func kindOf(method, path string) (resource, operation string) {
	endpoint, rest, one := strings.Cut(strings.Trim(path, "/"), "/")
	switch method {
	case http.MethodPost:
		operation = "create"
	case http.MethodPut:
		operation = "replace"
	case http.MethodPatch:
		operation = "patch"
	case http.MethodDelete:
		operation = "delete"
	}
	reading := method == http.MethodGet || method == http.MethodHead
	switch {
	case strings.HasSuffix(path, "/.search") && method == http.MethodPost:
		operation = "list"
	case reading && one:
		operation = "read"
	case reading:
		operation = "list"
	case operation == "":
		operation = "other"
	}
	switch endpoint {
	case "Users":
		resource = "User"
	case "Groups":
		resource = "Group"
	case "Bulk":
		return "Bulk", operation
	case "Schemas", "ResourceTypes", "ServiceProviderConfig":
		return "discovery", operation
	default:
		return "other", operation
	}
	if strings.Contains(rest, "/") {
		operation = "other"
	}
	return resource, operation
}

package provisioning

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// An administrator stands in for the directory here: to see what a request would do, or to send one again after a fix. Both
// run through the same handler as the directory's own, so that what they show is what it does.

// standIn is an administrator who sends a request in a directory's place.
type standIn struct {
	actor audit.Actor
	dry   bool
	of    id.Request
}

type standInKey struct{}

func standingIn(ctx context.Context) *standIn {
	s, _ := ctx.Value(standInKey{}).(*standIn)
	return s
}

// DryRun answers a request as the directory would be answered, and keeps nothing of it: neither its effect nor a row of the log.
func (h *Handler) DryRun(ctx context.Context, org id.Organization, dir id.Directory, p directory.Pasted, actor audit.Actor) (directory.Request, error) {
	return h.run(ctx, place{org, dir}, p, standIn{actor: actor, dry: true})
}

// Replay sends a refused request of the log again, for real. The administrator is the actor of everything it does, and the
// log has it as a request of its own that names the first.
//
// Only what the directory's own token brought is sent again, and only what was refused: a stranger's request in the log
// must not come true by an administrator's hand, nor yesterday's membership return against the directory's later word.
func (h *Handler) Replay(ctx context.Context, org id.Organization, dir id.Directory, request id.Request, actor audit.Actor) (directory.Request, error) {
	var r directory.Request
	err := h.DB.Write(ctx, org, func(tx *store.Tx) (err error) {
		if r, err = tx.Request(ctx, dir, request); err != nil {
			return err
		}
		if err := r.Replayable(); err != nil {
			return err
		}
		tx.Record(ctx, audit.Event{
			Actor: actor, Action: "directory.request-replayed", TargetKind: "request", TargetID: string(r.ID), TargetName: r.Operation,
		})
		return nil
	})
	if err != nil {
		return r, err
	}
	path := r.Path
	if r.Query != "" {
		path += "?" + r.Query
	}
	return h.run(ctx, place{org, dir}, directory.Pasted{Method: r.Method, Path: path, Body: r.Body}, standIn{actor: actor, of: r.ID})
}

// run serves a request in the directory's place.
func (h *Handler) run(ctx context.Context, at place, p directory.Pasted, by standIn) (directory.Request, error) {
	target, method, err := readPasted(p)
	if err != nil {
		return directory.Request{}, err
	}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, standInKey{}, &by), method, "/", strings.NewReader(p.Body))
	if err != nil {
		return directory.Request{}, fault.Wrap(err, fault.Invalid, "%q is not a method of HTTP.", p.Method)
	}
	r.URL = target
	if p.Body != "" {
		r.Header.Set("Content-Type", scim.MediaType)
	}
	t, r := h.watch(httptest.NewRecorder(), r, at, target.Path)
	t.ip, t.request, t.replayOf = by.actor.IP, by.actor.Request, by.of
	h.serve(t, r, target.Path)
	if t.directory == nil {
		return directory.Request{}, fault.New(fault.NotFound, "There is no directory %q in this organization.", at.directory)
	}
	t.state, t.began = directory.TokenNone, h.DB.Now()
	rows, err := h.describe(ctx, at.organization, []*trace{t})
	if err != nil {
		return directory.Request{}, err
	}
	row := rows[0]
	row.Took = 0
	if by.dry {
		return row, nil
	}
	return row, h.DB.Write(ctx, at.organization, func(tx *store.Tx) error {
		tx.LogRequests(ctx, rows)
		return nil
	})
}

// readPasted finds out what was pasted: a path below the directory's root, or an address as it stands in a provider's log.
func readPasted(p directory.Pasted) (*url.URL, string, error) {
	path := strings.TrimSpace(p.Path)
	if i := strings.Index(path, "/v2/"); i >= 0 {
		path = path[i+len("/v2"):]
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	target, err := url.Parse(strings.ReplaceAll(path, " ", "%20"))
	if err != nil {
		return nil, "", fault.Wrap(err, fault.Invalid, "The path %q cannot be read.", path)
	}
	method := strings.ToUpper(strings.TrimSpace(p.Method))
	if strings.HasPrefix(target.Path, "/Bulk") {
		return nil, "", fault.New(fault.Unsupported, "A dry run takes one operation at a time. Paste one operation of the bulk request with its own method and path.")
	}
	return &url.URL{Path: target.Path, RawPath: target.RawPath, RawQuery: target.RawQuery}, method, nil
}

package adminapi

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Event is one thing that happened.
type Event struct {
	ID      id.Event        `json:"id"`
	At      time.Time       `json:"at"`
	Actor   Actor           `json:"actor"`
	Action  string          `json:"action" example:"grant.given"`
	Target  Target          `json:"target"`
	User    id.User         `json:"user,omitempty" doc:"The user it concerns"`
	Outcome string          `json:"outcome" enum:"done,refused"`
	Code    string          `json:"code,omitempty" doc:"The code of a refusal, as shown on the page"`
	Reason  string          `json:"reason,omitempty"`
	Before  json.RawMessage `json:"before,omitempty"`
	After   json.RawMessage `json:"after,omitempty"`
	IP      string          `json:"ip"`
	Door    audit.Door      `json:"door" doc:"console, api, cli, apply, scim, sign-in, openid or job"`
	Request string          `json:"request" doc:"The request's id, as in the log"`
}

// Actor is who acted.
type Actor struct {
	Kind audit.ActorKind `json:"kind"`
	ID   string          `json:"id"`
	Name string          `json:"name"`
}

// Target is what was acted on.
type Target struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

func eventOf(e audit.Event) Event {
	return Event{
		ID: e.ID, At: time.UnixMicro(e.At).UTC(), Actor: Actor{e.Actor.Kind, e.Actor.ID, e.Actor.Name}, Action: e.Action,
		Target: Target{e.TargetKind, e.TargetID, e.TargetName}, User: e.User, Outcome: e.Outcome, Code: e.Code, Reason: e.Reason,
		Before: e.Before, After: e.After, IP: e.Actor.IP, Door: e.Actor.Door, Request: e.Actor.Request,
	}
}

// EventFilter says which events a listing, or its export, shows.
type EventFilter struct {
	Of
	Q       string  `query:"q" maxLength:"200" doc:"In the names of actor and target, the action, the reason or the code"`
	User    id.User `query:"user" doc:"Concerns this user"`
	Action  string  `query:"action" maxLength:"100" doc:"grant.given, or with a dot at its end all of one object: grant."`
	IP      string  `query:"ip" maxLength:"100"`
	From    string  `query:"from" maxLength:"40" doc:"Not before: RFC 3339, or a day" example:"2026-03-02T09:00:00Z"`
	To      string  `query:"to" maxLength:"40" doc:"Before: RFC 3339; a day is meant as a whole" example:"2026-03-31"`
	Outcome string  `query:"outcome" enum:"done,refused"`
	Code    string  `query:"code" maxLength:"100"`
}

func (f EventFilter) filter() (store.AuditFilter, error) {
	out := store.AuditFilter{Text: f.Q, User: f.User, Action: f.Action, IP: f.IP, Outcome: f.Outcome, Code: f.Code}
	var err error
	if out.From, _, err = moment("from", f.From); err != nil {
		return out, err
	}
	var day bool
	if out.To, day, err = moment("to", f.To); day {
		out.To = out.To.AddDate(0, 0, 1)
	}
	return out, err
}

// moment reads RFC 3339 or a day in UTC, and says whether it was a day.
func moment(field, s string) (t time.Time, day bool, err error) {
	if s == "" {
		return t, false, nil
	}
	if t, err = time.Parse(time.DateOnly, s); err == nil {
		return t, true, nil
	}
	if t, err = time.Parse(time.RFC3339, s); err != nil {
		return t, false, fault.Wrap(err, fault.Invalid, "%q is neither a day nor a time as RFC 3339 has it.", s).
			WithField(field, "Write 2026-03-02 or 2026-03-02T09:00:00Z.")
	}
	return t.UTC(), false, nil
}

func (a *API) events(api huma.API) {
	handle(a, api, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: "/organizations/{organization}/audit", Summary: "The audit log, newest first",
	}, func(ctx context.Context, in *struct {
		EventFilter
		Paging
	},
	) (out *List[Event], err error) {
		filter, err := in.filter()
		if err != nil {
			return nil, err
		}
		if in.Cursor != "" && !id.IsUUID(in.Cursor) {
			return nil, fault.New(fault.Invalid, "This cursor is not of this list.").WithField("cursor", "It names no event.")
		}
		filter.Before, filter.Limit = id.Event(in.Cursor), in.Limit+1
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			events, err := tx.Events(ctx, filter)
			next := ""
			if len(events) > in.Limit {
				events = events[:in.Limit]
				next = string(events[in.Limit-1].ID)
			}
			out = listOf(events, next, eventOf)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "export-events", Method: http.MethodGet, Path: "/organizations/{organization}/audit.csv",
		Summary: "The audit log of exactly this filter as CSV",
		Responses: map[string]*huma.Response{"200": {
			Description: "CSV, newest first", Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, func(ctx context.Context, in *EventFilter) (*huma.StreamResponse, error) {
		filter, err := in.filter()
		if err != nil {
			return nil, err
		}
		if err := a.read(ctx, in.Organization, func(*store.Tx) error { return nil }); err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.export(hc, in.Organization, filter) }}, nil
	})
}

// export writes the log while it is read: years fit through.
func (a *API) export(hc huma.Context, org id.Organization, filter store.AuditFilter) {
	ctx := hc.Context()
	hc.SetHeader("Content-Type", "text/csv; charset=utf-8")
	hc.SetHeader("Content-Disposition", `attachment; filename="`+string(org)+`-audit-`+a.DB.Now().UTC().Format(time.DateOnly)+`.csv"`)
	out := csv.NewWriter(hc.BodyWriter())
	_ = out.Write(audit.CSVHeader) // an error of the writer is kept and seen at the next row
	for e, err := range a.DB.EachEvent(ctx, org, filter) {
		if err != nil {
			// The answer has begun: cutting the connection is the only way left to say that it is not whole.
			a.Log.ErrorContext(ctx, "audit export broke off", "organization", org, "request", actorOf(ctx).Request, "error", err)
			panic(http.ErrAbortHandler)
		}
		if out.Write(audit.CSVRow(e)) != nil {
			return // the reader went away
		}
	}
	out.Flush()
}

// Package decision is the Policy Decision Point of OpenID AuthZEN Authorization API 1.0 (section numbers below are its): an application
// asks whether somebody may do something at a resource, and is told yes or no, and why.
//
// An application authenticates with the access token that client_credentials gave it, and asks about the organizations that it serves
// alone. Whoever or whatever lies outside of them answers like what does not exist, word for word: an answer that told the two apart
// would say who works where.
//
//	subject.type     "user"                   subject.id   the user's id: sub in a token, id in SCIM
//	action.name      a permission             resource     type and id as they stand in the organization's tree
//	resource.properties.organization          which organization; may be left out by an application that serves only one
//	subject.properties.sid                    the session the person is in (sid in an ID token), where a second factor is in question
//
// Nothing is decided here: access.Decide does, over facts read when they are asked for. No answer about a person is kept, so the first
// question after a commit is answered by that commit.
package decision

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// The addresses, and what is under them: those of the specification's table (section 10.1), and its well-known one (section 9.2).
const (
	PathEvaluation    = "/access/v1/evaluation"
	PathEvaluations   = "/access/v1/evaluations"
	PathConfiguration = "/.well-known/authzen-configuration"
)

// Bounds of a question. A page of a list asks about some hundred things at once; whoever asks about more asks twice.
const (
	maxBody        = 1 << 20
	maxEvaluations = 1000
)

// Decision answers applications. All fields are needed.
type Decision struct {
	DB  *store.DB
	Log *slog.Logger
	// URL is the public base URL, and the Policy Decision Point's identifier.
	URL string
	// Caller gives the application that an access token is for, or a fault.
	Caller func(ctx context.Context, token string) (application.Application, error)
	// From tells the address a request came from and its id in the log.
	From func(*http.Request) (ip, request string)
}

// Mount puts the endpoints on the router of the node's root.
func (d *Decision) Mount(r chi.Router) {
	r.HandleFunc(PathEvaluation, d.answering(d.evaluation))
	r.HandleFunc(PathEvaluations, d.answering(d.evaluations))
	configuration := d.configuration()
	r.Get(PathConfiguration, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		_, _ = w.Write(configuration) // a reader who went away is not our error
	})
}

// configuration is the metadata document (section 9.1). What is not served, the search endpoints, is left out of it.
func (d *Decision) configuration() []byte {
	document, err := json.Marshal(map[string]string{
		"policy_decision_point":       d.URL,
		"access_evaluation_endpoint":  d.URL + PathEvaluation,
		"access_evaluations_endpoint": d.URL + PathEvaluations,
	})
	if err != nil {
		panic(err) // three strings
	}
	return append(document, '\n')
}

// answering does what all endpoints do: who asks, in which form, and the answer's.
func (d *Decision) answering(answer func(ctx context.Context, app application.Application, asked object) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// Section 10.1.3: whoever gave a request an id gets it back, with any answer. In our log it goes by our own, since one that a
		// caller could choose would let them write under somebody else's.
		if theirs, given := r.Header["X-Request-Id"]; given {
			w.Header()["X-Request-Id"] = theirs[:1]
		}
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			say(w, http.StatusMethodNotAllowed, "A question is sent by POST.")
			return
		}
		app, err := d.caller(r)
		if err != nil {
			d.challenge(w, r, err)
			return
		}
		asked, err := read(w, r)
		if err != nil {
			d.refuse(w, r, err)
			return
		}
		said, err := answer(r.Context(), app, asked)
		if err != nil {
			d.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		_ = out.Encode(said) // a reader who went away is not our error
	}
}

// errNoToken is a request without any token: there is no error code to give for it (RFC 6750 section 3.1).
var errNoToken = fault.New(fault.Unauthenticated, "The access token is missing. Send one that client_credentials gave as Authorization: Bearer.")

// caller takes the token from the header alone: in an address it would lie in logs (RFC 6750 section 5.3), and the body is JSON.
func (d *Decision) caller(r *http.Request) (application.Application, error) {
	if r.URL.Query().Has("access_token") {
		return application.Application{}, fault.New(fault.Invalid, "An access token does not belong into the address. Send it as Authorization: Bearer.")
	}
	headers := r.Header["Authorization"]
	if len(headers) > 1 {
		return application.Application{}, fault.New(fault.Invalid, "Authorization was sent more than once.")
	}
	if len(headers) == 0 {
		return application.Application{}, errNoToken
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return application.Application{}, errNoToken
	}
	return d.Caller(r.Context(), token)
}

// challenge answers whoever could not be let in, as RFC 6750 section 3 has it.
func (d *Decision) challenge(w http.ResponseWriter, r *http.Request, err error) {
	const scheme = `Bearer realm="access"`
	switch f := fault.As(err); {
	case f == nil:
	case errors.Is(err, errNoToken):
		w.Header().Set("WWW-Authenticate", scheme)
	case f.Kind == fault.Unauthenticated:
		w.Header().Set("WWW-Authenticate", scheme+`, error="invalid_token", error_description="`+f.Message+`"`)
	case f.Kind == fault.Invalid:
		w.Header().Set("WWW-Authenticate", scheme+`, error="invalid_request"`)
	}
	d.refuse(w, r, err)
}

// statuses is the one table by which a fault becomes an answer. The specification names 400, 401, 403 and 500 (section 10.1.2); the
// others are what HTTP has for the same, so that a program can tell what is worth trying again.
var statuses = map[fault.Kind]int{
	fault.Internal:        http.StatusInternalServerError,
	fault.Invalid:         http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Stale:           http.StatusPreconditionFailed,
	fault.Gone:            http.StatusGone,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.TooMany:         http.StatusTooManyRequests,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.Unsupported:     http.StatusNotImplemented,
}

// refuse answers an error. What has no kind is ours: a code outside, everything in the log.
func (d *Decision) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.As(err)
	if f == nil || f.Kind == fault.Internal {
		code := page.Code()
		_, request := d.From(r)
		d.Log.ErrorContext(r.Context(), "a decision was not made", "request", request, "code", code, "error", err)
		say(w, http.StatusInternalServerError, "The question could not be answered. The code leads to the reason in the log: "+code+".")
		return
	}
	say(w, statuses[f.Kind], f.Message)
}

// say answers with an error message string (section 10.1.2). It is text: a JSON body has to be an object (section 10.1.1), and of an object
// for errors the specification knows nothing.
func say(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, sentence+"\n")
}

// read takes the body apart. Section 10.1 asks for application/json by that name.
func read(w http.ResponseWriter, r *http.Request) (object, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, fault.New(fault.Invalid, "The body is JSON, and says so: Content-Type: application/json.")
	}
	var body bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength <= maxBody {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, fault.New(fault.TooLarge, "A question has at most %d bytes. Ask about fewer things at once.", maxBody)
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "The body could not be read to its end.")
	}
	return parse(body.Bytes())
}

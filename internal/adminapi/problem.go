package adminapi

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// statuses is the one table by which a fault becomes an answer.
var statuses = map[fault.Kind]int{
	fault.Internal:        http.StatusInternalServerError,
	fault.Invalid:         http.StatusUnprocessableEntity,
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

// Problem is a refusal as RFC 9457 has it. Its type is about:blank and its title therefore the status's own phrase
// (section 4.2.1); what a program tells refusals apart by is the code.
type Problem struct {
	Type   string         `json:"type" doc:"Always about:blank" example:"about:blank"`
	Title  string         `json:"title" example:"Forbidden"`
	Status int            `json:"status" example:"403"`
	Detail string         `json:"detail" doc:"A sentence for a person"`
	Code   string         `json:"code,omitempty" doc:"A short code; the same in the log and the audit event" example:"above-ceiling"`
	Errors []ProblemField `json:"errors,omitempty" doc:"The wrong fields"`
}

// ProblemField names one wrong field.
type ProblemField struct {
	Field   string `json:"field" example:"role"`
	Message string `json:"message"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func newProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// huma finds wrong input by itself, before a handler runs, and asks this function for the error. It is the only user of the
// package in the program, so its one global is ours to set. What was sent is not echoed: it may be a secret.
func init() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		p := newProblem(status, sentence(message))
		for _, err := range errs {
			var d huma.ErrorDetailer
			if !errors.As(err, &d) {
				continue
			}
			p.Errors = append(p.Errors, fieldOf(d.ErrorDetail()))
		}
		return p
	}
}

// fieldOf names the field as the caller wrote it: without the part of the request it stood in, and itself where huma names
// what it is missing from.
func fieldOf(d *huma.ErrorDetail) ProblemField {
	_, field, _ := strings.Cut(d.Location, ".")
	if name, rest, found := strings.Cut(strings.TrimPrefix(d.Message, "expected required property "), " "); found && rest == "to be present" {
		if field != "" {
			name = field + "." + name
		}
		return ProblemField{name, "It is missing."}
	}
	return ProblemField{field, sentence(d.Message)}
}

// sentence makes one of huma's messages; it also asks with none, to learn the error's shape.
func sentence(message string) string {
	if message == "" {
		return ""
	}
	return strings.ToUpper(message[:1]) + message[1:] + "."
}

// problem turns an error into the answer. An error without a kind is ours: the caller gets a code that leads to it in the
// log, and nothing else.
func (a *API) problem(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	f := fault.As(err)
	if f == nil || f.Kind == fault.Internal {
		code := hex.EncodeToString(seal.Random(4))
		a.Log.ErrorContext(ctx, "a call of the admin API failed", "code", code, "request", actorOf(ctx).Request, "error", err)
		p := newProblem(http.StatusInternalServerError, "Something went wrong on our side. The code leads to it in the log.")
		p.Code = code
		return p
	}
	p = newProblem(statuses[f.Kind], f.Message)
	p.Code = f.Code
	for _, field := range f.Fields {
		p.Errors = append(p.Errors, ProblemField{field.Path, field.Message})
	}
	return p
}

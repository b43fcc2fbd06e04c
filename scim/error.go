package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// ScimType is the detail keyword of RFC 7644 section 3.12, table 9, with the three of RFC 9865
// section 2.1.
type ScimType string

// The keywords a service provider may send.
const (
	InvalidFilter ScimType = "invalidFilter"
	TooMany       ScimType = "tooMany"
	Uniqueness    ScimType = "uniqueness"
	Mutability    ScimType = "mutability"
	InvalidSyntax ScimType = "invalidSyntax"
	InvalidPath   ScimType = "invalidPath"
	NoTarget      ScimType = "noTarget"
	InvalidValue  ScimType = "invalidValue"
	InvalidVers   ScimType = "invalidVers"
	Sensitive     ScimType = "sensitive"
	InvalidCursor ScimType = "invalidCursor"
	ExpiredCursor ScimType = "expiredCursor"
	InvalidCount  ScimType = "invalidCount"
)

// ErrorURN names the message that carries an Error.
const ErrorURN = "urn:ietf:params:scim:api:messages:2.0:Error"

// Error is a SCIM error: an HTTP status, a keyword where the standard allows one, and a sentence
// for the administrator who reads the identity provider's log. Detail never holds a secret.
type Error struct {
	Status int
	Type   ScimType
	Detail string
	// RetryAfter is when to ask again, for a 429 or a 503 (RFC 9110 section 10.2.3).
	RetryAfter time.Duration
}

// Errorf makes an Error.
func Errorf(status int, t ScimType, format string, args ...any) *Error {
	return &Error{Status: status, Type: t, Detail: fmt.Sprintf(format, args...)}
}

// AsError finds the Error in a chain. Anything else is an internal error: its text stays in the
// log, since it may name tables, hosts or values.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Status: http.StatusInternalServerError, Detail: "The server could not complete the request."}
}

func (e *Error) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("scim: %d: %s", e.Status, e.Detail)
	}
	return fmt.Sprintf("scim: %d %s: %s", e.Status, e.Type, e.Detail)
}

// MarshalJSON renders the Error message. The status is a JSON string (RFC 7644 section 3.12), and
// a keyword is sent only with the statuses that have one: 400, 409 uniqueness and 403 sensitive
// (RFC 7644 section 7.5.2).
func (e *Error) MarshalJSON() ([]byte, error) {
	body := struct {
		Schemas []string `json:"schemas"`
		Status  string   `json:"status"`
		Type    ScimType `json:"scimType,omitempty"`
		Detail  string   `json:"detail,omitempty"`
	}{Schemas: []string{ErrorURN}, Status: strconv.Itoa(e.Status), Detail: e.Detail}
	switch {
	case e.Status == http.StatusBadRequest,
		e.Status == http.StatusConflict && e.Type == Uniqueness,
		e.Status == http.StatusForbidden && e.Type == Sensitive:
		body.Type = e.Type
	}
	return json.Marshal(body)
}

func badRequest(t ScimType, format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, t, format, args...)
}

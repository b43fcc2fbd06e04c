package oidc

import (
	"errors"
	"net/http"
	"time"

	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
)

// Error codes of RFC 6749 sections 4.1.2.1 and 5.2, OpenID Connect Core section 3.1.2.6,
// RFC 6750 section 3.1 and RFC 7591.
const (
	InvalidRequest           = string(zoidc.InvalidRequest)
	InvalidScope             = string(zoidc.InvalidScope)
	InvalidClient            = string(zoidc.InvalidClient)
	InvalidGrant             = string(zoidc.InvalidGrant)
	UnauthorizedClient       = string(zoidc.UnauthorizedClient)
	UnsupportedGrantType     = string(zoidc.UnsupportedGrantType)
	ServerError              = string(zoidc.ServerError)
	AccessDenied             = string(zoidc.AccessDenied)
	LoginRequired            = string(zoidc.LoginRequired)
	InteractionRequired      = string(zoidc.InteractionRequired)
	RequestNotSupported      = string(zoidc.RequestNotSupported)
	RequestURINotSupported   = "request_uri_not_supported"
	RegistrationNotSupported = "registration_not_supported"
	AccountSelectionRequired = "account_selection_required"
	ConsentRequired          = "consent_required"
	UnsupportedResponseType  = "unsupported_response_type"
	InvalidToken             = "invalid_token"
	TemporarilyUnavailable   = "temporarily_unavailable"
)

// An Error is a refusal that the application is told. Description is for its developer and never
// holds text from inside.
type Error struct {
	Code        string
	Description string
	// Status overrides the HTTP status where the error is answered directly, and RetryAfter says with
	// it when to come again.
	Status     int
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Code + ": " + e.Description }

func refuse(code, description string) *Error { return &Error{Code: code, Description: description} }

// A PageError is a refusal that the person in front of the browser is told, on a page of ours.
type PageError struct {
	Status  int // 400 when zero
	Title   string
	Message string
	Code    string // short, shared with log and audit; may be empty
}

func (e *PageError) Error() string { return e.Title + ": " + e.Message }

// asError turns whatever came back into what may be said: an *Error as it is, the rest server_error.
func asError(err error) (e *Error, ours bool) {
	if errors.As(err, &e) {
		return e, false
	}
	return refuse(ServerError, "The request could not be answered. Try again."), true
}

func (e *Error) status() int {
	switch {
	case e.Status != 0:
		return e.Status
	case e.Code == InvalidClient, e.Code == InvalidToken:
		return http.StatusUnauthorized
	case e.Code == ServerError:
		return http.StatusInternalServerError
	case e.Code == TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

package issuing

import (
	"errors"
	"net/http"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/oidc"
)

// translate is the one place that turns a fault into an OAuth answer. What the protocol said already stays as it is, and
// what has no kind is left to become server_error, its text in the log alone.
func translate(err error) error {
	var said *oidc.Error
	var page *oidc.PageError
	if err == nil || errors.Is(err, oidc.ErrNotFound) || errors.As(err, &said) || errors.As(err, &page) {
		return err
	}
	f := fault.As(err)
	if f == nil {
		return err
	}
	answer := func(code string, status int) error {
		return &oidc.Error{Code: code, Description: f.Message, Status: status}
	}
	switch f.Kind {
	case fault.Invalid, fault.Stale, fault.Unsupported, fault.TooLarge:
		return answer(oidc.InvalidRequest, 0)
	case fault.Unauthenticated, fault.NotFound, fault.Gone, fault.Conflict:
		return answer(oidc.InvalidGrant, 0)
	case fault.Forbidden:
		return answer(oidc.AccessDenied, 0)
	case fault.TooMany:
		return answer(oidc.TemporarilyUnavailable, http.StatusTooManyRequests)
	case fault.Unavailable:
		return answer(oidc.TemporarilyUnavailable, 0)
	case fault.Internal:
	}
	return err
}

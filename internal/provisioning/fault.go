package provisioning

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/scim"
)

// answers says what each kind of fault is in SCIM (RFC 7644 section 3.12). An internal fault has no answer of its own: the
// protocol answers 500 and says nothing.
var answers = map[fault.Kind]struct {
	status int
	typ    scim.ScimType
}{
	fault.Invalid:         {http.StatusBadRequest, scim.InvalidValue},
	fault.Unauthenticated: {http.StatusUnauthorized, ""},
	fault.Forbidden:       {http.StatusForbidden, ""},
	fault.NotFound:        {http.StatusNotFound, ""},
	fault.Conflict:        {http.StatusConflict, scim.Uniqueness},
	fault.Stale:           {http.StatusPreconditionFailed, ""},
	fault.Gone:            {http.StatusNotFound, ""},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, ""},
	fault.TooMany:         {http.StatusTooManyRequests, ""},
	fault.Unavailable:     {http.StatusServiceUnavailable, ""},
	fault.Unsupported:     {http.StatusNotImplemented, ""},
}

// toSCIM is the one translation of a fault into a SCIM error. The cause stays in the chain for the log.
func toSCIM(err error) error {
	var already *scim.Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	f := fault.As(err)
	if f == nil {
		return err
	}
	a, ok := answers[f.Kind]
	if !ok {
		return err
	}
	return fmt.Errorf("%w: %w", scim.Errorf(a.status, a.typ, "%s", f.Message), err)
}

package issuing

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/oidc"
)

func TestTranslate_EveryKindHasAnAnswer(t *testing.T) {
	t.Parallel()
	want := map[fault.Kind]string{
		fault.Invalid: oidc.InvalidRequest, fault.Stale: oidc.InvalidRequest, fault.Unsupported: oidc.InvalidRequest,
		fault.TooLarge: oidc.InvalidRequest, fault.Unauthenticated: oidc.InvalidGrant, fault.NotFound: oidc.InvalidGrant,
		fault.Gone: oidc.InvalidGrant, fault.Conflict: oidc.InvalidGrant, fault.Forbidden: oidc.AccessDenied,
		fault.TooMany: oidc.TemporarilyUnavailable, fault.Unavailable: oidc.TemporarilyUnavailable, fault.Internal: "",
	}
	for _, kind := range fault.Kinds {
		err := translate(fmt.Errorf("around: %w", fault.New(kind, "said to people")))
		var said *oidc.Error
		got := ""
		if errors.As(err, &said) {
			got = said.Code
		}
		if got != want[kind] {
			t.Errorf("%s: %q, want %q", kind, got, want[kind])
		}
	}
}

package issuing

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/oidc"
)

func TestStatusOf_EveryKindHasAStatus(t *testing.T) {
	t.Parallel()
	want := map[fault.Kind]string{
		fault.Invalid: saml.RequestUnsupported, fault.Stale: saml.RequestUnsupported, fault.Unsupported: saml.RequestUnsupported,
		fault.TooLarge: saml.RequestUnsupported, fault.Unauthenticated: saml.AuthnFailed, fault.NotFound: saml.AuthnFailed,
		fault.Gone: saml.AuthnFailed, fault.Conflict: saml.AuthnFailed, fault.Forbidden: saml.RequestDenied,
		fault.TooMany: "", fault.Unavailable: "", fault.Internal: "internal",
	}
	for _, kind := range fault.Kinds {
		got := "internal"
		if a := statusOf(fmt.Errorf("around: %w", fault.New(kind, "said to people")), false); a != nil {
			got = a.SubCode
			if a.Message != "said to people" || a.Code != saml.Requester && a.Code != saml.Responder {
				t.Errorf("%s: %+v", kind, a)
			}
		}
		if got != want[kind] {
			t.Errorf("%s: %q, want %q", kind, got, want[kind])
		}
	}
	for passive, want := range map[bool]string{true: saml.NoPassive, false: saml.AuthnFailed} {
		if a := statusOf(&oidc.Error{Code: oidc.LoginRequired}, passive); a.SubCode != want {
			t.Errorf("passive %v: %s", passive, a.SubCode)
		}
	}
	if a := statusOf(errors.New("the disk is full"), false); a != nil {
		t.Errorf("what is ours was told: %+v", a)
	}
}

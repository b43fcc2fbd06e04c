package connection_test

import (
	"testing"

	"github.com/vestibule-id/vestibule/internal/connection"
)

func TestLocal(t *testing.T) {
	t.Parallel()
	both, none := connection.Methods, []connection.Method{}
	for name, c := range map[string]struct {
		facts connection.LocalFacts
		want  connection.Code
	}{
		"somebody invited, and nothing said":             {connection.LocalFacts{}, ""},
		"linked to a provider, and nothing said":         {connection.LocalFacts{Upstream: true}, connection.CodeNotLocal},
		"linked to a provider, both methods named":       {connection.LocalFacts{Upstream: true, Methods: both}, ""},
		"passkeys alone":                                 {connection.LocalFacts{Methods: []connection.Method{connection.Passkey}}, connection.CodeNotLocal},
		"no local sign-in at all":                        {connection.LocalFacts{Methods: none}, connection.CodeNotLocal},
		"enforced":                                       {connection.LocalFacts{Enforced: true, Methods: both}, connection.CodeEnforced},
		"enforced, and excepted":                         {connection.LocalFacts{Enforced: true, Exception: true}, ""},
		"excepted where nobody has local sign-in":        {connection.LocalFacts{Exception: true, Methods: none}, ""},
		"excepted, of a directory":                       {connection.LocalFacts{Exception: true, Upstream: true, Enforced: true}, ""},
		"suspended":                                      {connection.LocalFacts{Standing: connection.Suspended}, connection.CodeSuspended},
		"deleted":                                        {connection.LocalFacts{Standing: connection.Deleted}, connection.CodeDeleted},
		"deactivated by the directory, and excepted":     {connection.LocalFacts{Standing: connection.Deactivated, Exception: true}, connection.CodeDeactivated},
		"without a seat":                                 {connection.LocalFacts{Standing: connection.Unseated}, connection.CodeOverLimit},
		"invited, not accepted":                          {connection.LocalFacts{Standing: connection.Pending}, connection.CodePending},
		"suspended, excepted, everything open otherwise": {connection.LocalFacts{Standing: connection.Suspended, Exception: true, Methods: both}, connection.CodeSuspended},
	} {
		if got := connection.Local(connection.Password, c.facts); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := connection.Local(connection.Passkey, connection.LocalFacts{Methods: []connection.Method{connection.Passkey}}); got != "" {
		t.Errorf("a passkey where passkeys are named: got %q", got)
	}
}

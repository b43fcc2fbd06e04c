package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/simulate"
)

// Both commands end with 1 on a server that says 200 to everything, and tell of it on standard output.
func TestSimulateAndCheck_ExitCodes(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/scim+json")
		_, _ = w.Write([]byte(`{}`))
	}))
	defer server.Close()
	for _, dialect := range simulate.Names() {
		var out, said strings.Builder
		if got := run(terminal{t.Context(), &out, &said}, []string{"simulate", dialect, "--base", server.URL, "--users", "2", "--groups", "1"}); got != exitFailed {
			t.Errorf("simulate %s: got %d, want %d (%s)", dialect, got, exitFailed, said.String())
		}
		if !strings.Contains(out.String(), "why it matters") || !strings.Contains(said.String(), "probe ") {
			t.Errorf("simulate %s: no report or no progress: %s%s", dialect, out.String(), said.String())
		}
	}
	var out, said strings.Builder
	if got := run(terminal{t.Context(), &out, &said}, []string{"check", "scim", "--base", server.URL, "--json"}); got != exitFailed {
		t.Errorf("check scim: got %d, want %d (%s)", got, exitFailed, said.String())
	}
	var report struct {
		FailedMust int `json:"failedMust"`
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil || report.FailedMust == 0 {
		t.Errorf("check scim: got %d failed, %v: %s", report.FailedMust, err, out.String())
	}
	for _, args := range [][]string{{"simulate", "keycloak", "--base", server.URL}, {"simulate", "entra"}, {"check", "scim"}} {
		if got := run(terminal{t.Context(), &out, &said}, args); got != exitUsage {
			t.Errorf("%v: got %d, want %d", args, got, exitUsage)
		}
	}
}

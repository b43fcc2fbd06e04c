package adminapi

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/fault"
)

func TestProblem_EveryKindHasItsStatus(t *testing.T) {
	t.Parallel()
	want := map[fault.Kind]int{
		fault.Internal: 500, fault.Invalid: 422, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404,
		fault.Conflict: 409, fault.Stale: 412, fault.Gone: 410, fault.TooLarge: 413, fault.TooMany: 429, fault.Unavailable: 503,
		fault.Unsupported: 501,
	}
	for _, kind := range fault.Kinds {
		var log bytes.Buffer
		a := &API{Log: slog.New(slog.NewTextHandler(&log, nil))}
		err := fmt.Errorf("on the way up: %w",
			fault.Wrap(errors.New("the cause"), kind, "A sentence.").WithCode("code").WithField("role", "No such role."))
		got := a.problem(t.Context(), err)
		if got.Status != want[kind] || got.Title != http.StatusText(want[kind]) || got.Type != "about:blank" {
			t.Errorf("%s: got %+v, want the status %d", kind, got, want[kind])
		}
		if kind == fault.Internal {
			if strings.Contains(got.Detail, "sentence") || got.Code == "" || len(got.Errors) != 0 || !strings.Contains(log.String(), "the cause") || !strings.Contains(log.String(), got.Code) {
				t.Errorf("an internal error tells the log and not the caller: %+v\n%s", got, &log)
			}
			continue
		}
		if d := cmp.Diff(got.Errors, []ProblemField{{"role", "No such role."}}); got.Detail != "A sentence." || got.Code != "code" || d != "" {
			t.Errorf("%s: got %+v %s", kind, got, d)
		}
	}
	a := &API{Log: slog.New(slog.DiscardHandler)}
	if got := a.problem(t.Context(), errors.New("secret")); got.Status != 500 || strings.Contains(got.Detail, "secret") {
		t.Errorf("an error without a kind: got %+v", got)
	}
}

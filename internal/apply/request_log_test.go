package apply_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestRun_RequestLogOfADirectory(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		settings := func() directory.RequestLog {
			d, _ := state(t, db)
			return d.Directories[1].RequestLog
		}
		mustRun(t, db, apply.Options{}, getenv(), contract)
		if got := settings(); got.Retention() != 30*24*time.Hour || got.WithoutBodies {
			t.Errorf("where the file says nothing: %+v", got)
		}
		out := mustRun(t, db, apply.Options{}, getenv(), withSettings(t, "        request_log: {retention: 7d, bodies: false}\n"))
		if !strings.Contains(out, "request_log.retention: 30d -> 7d") || !strings.Contains(out, "request_log.bodies: true -> false") {
			t.Errorf("the change is not told: %s", out)
		}
		if diff := cmp.Diff(settings(), directory.RequestLog{RetentionSeconds: 7 * 24 * 3600, WithoutBodies: true}); diff != "" {
			t.Error(diff)
		}
		_, err := run(db, apply.Options{}, getenv(), withSettings(t, "        request_log: {retention: soon, bodies: some}\n"))
		var problems apply.Problems
		if !errors.As(err, &problems) || len(problems) != 2 {
			t.Errorf("nonsense: %v", err)
		}
	})
}

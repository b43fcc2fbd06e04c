package console

import (
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
)

func TestWhen_NearTimesByDistanceFarOnesByDate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		-10 * time.Second: "just now", -time.Minute: "1 minute ago", -59 * time.Minute: "59 minutes ago", -25 * time.Hour: "1 day ago",
		-40 * 24 * time.Hour: "21 Jan 2026", 30 * time.Second: "in 1 minute", 3 * time.Hour: "in 3 hours", 14*24*time.Hour - time.Second: "in 14 days", 30 * 24 * time.Hour: "1 Apr 2026",
	} {
		if got := (when{at: now.Add(d), now: now}).words(); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestPlural_CountsAsPeopleWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    int
		noun string
		want string
	}{{1, "user", "1 user"}, {0, "user", "0 users"}, {12000, "directory", "12\u202f000 directories"}, {2, "access", "2 accesses"}, {3, "day", "3 days"}} {
		if got := plural(c.n, c.noun); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// A spreadsheet runs a cell that begins with one of these.
func TestNeutral_NoCellBeginsAFormula(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@sum": "'@sum", "\t=1": "'\t=1", "\r=1": "'\r=1", "Dana": "Dana", "": "", "a=b": "a=b",
	} {
		if got := audit.CSVRow(audit.Event{TargetName: in})[7]; got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

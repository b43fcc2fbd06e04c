package directory_test

import (
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
)

func TestRhythmOf(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC) // a Monday
	every := func(pause time.Duration, n int) (calls []time.Time) {
		for i := range n {
			calls = append(calls, start.Add(-time.Duration(i)*pause))
		}
		return calls
	}
	// Calls each two hours of four working weeks, from eight to six.
	var office []time.Time
	for d := range 28 {
		for h := 10; h >= 0; h -= 2 {
			at := start.AddDate(0, 0, -d).Add(time.Duration(h) * time.Hour)
			if w := at.Weekday(); w != time.Saturday && w != time.Sunday {
				office = append(office, at)
			}
		}
	}
	outage := every(time.Hour, 40)
	for i := 20; i < len(outage); i++ {
		outage[i] = outage[i].Add(-5 * 24 * time.Hour)
	}
	for name, c := range map[string]struct {
		dialect string
		calls   []time.Time
		want    time.Duration
	}{
		"entra that is new":          {"entra", every(time.Hour, 3), 3 * time.Hour},
		"okta that is new":           {"okta", nil, 7 * 24 * time.Hour},
		"every hour":                 {"okta", every(time.Hour, 100), 3 * time.Hour},
		"every day":                  {"entra", every(24*time.Hour, 20), 36 * time.Hour},
		"in working hours":           {"okta", office, 93 * time.Hour}, // a weekend of 62 hours is usual
		"one outage teaches nothing": {"okta", outage, 3 * time.Hour},
	} {
		if got := directory.RhythmOf(c.dialect, c.calls).Patience; got != c.want {
			t.Errorf("%s: waits %s, want %s", name, got, c.want)
		}
	}
}

func TestSilent_WantsADoorAndAFirstCall(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	r := directory.Rhythm{Patience: 3 * time.Hour}
	long := now.Add(-4 * time.Hour)
	token := []directory.Token{{ID: "main"}}
	for name, c := range map[string]struct {
		d    directory.Directory
		want bool
	}{
		"silent":              {directory.Directory{LastRequest: long, Tokens: token}, true},
		"called":              {directory.Directory{LastRequest: now.Add(-3 * time.Hour), Tokens: token}, false},
		"never called":        {directory.Directory{Tokens: token}, false},
		"without a token":     {directory.Directory{LastRequest: long}, false},
		"its token is over":   {directory.Directory{LastRequest: long, Tokens: []directory.Token{{Expires: now}}}, false},
		"by a client's token": {directory.Directory{LastRequest: long, Clients: []directory.Client{{}}}, true},
	} {
		if got := r.Silent(&c.d, now); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

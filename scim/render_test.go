package scim

import (
	"testing"
	"time"
)

func TestStamp_IsOfTheTimeForm(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		{},
		time.UnixMicro(0), time.Unix(1, 999), time.Unix(1, 1000), time.Unix(1, 999_999_999), time.Unix(1<<33, 120_340_560), time.Unix(-1, 1),
		time.Date(2026, 11, 22, 23, 59, 59, 987_654_321, time.FixedZone("", -3600)), time.Date(10_001, 1, 2, 3, 4, 5, 6000, time.UTC),
	} {
		if got, want := stamp(at), at.UTC().Format(timeForm); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

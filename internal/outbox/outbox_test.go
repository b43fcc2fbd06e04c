package outbox

import (
	"testing"
	"time"
)

func TestBackoff_GrowsToItsLimitAndGivesTheOtherSideADay(t *testing.T) {
	t.Parallel()
	var total, last time.Duration
	for n := 1; n < MaxAttempts; n++ {
		d := Backoff(n)
		if d < last || d > 4*time.Hour {
			t.Errorf("after %d tries: got %v after %v", n, d, last)
		}
		total, last = total+d, d
	}
	if Backoff(1) != 5*time.Second || total < 24*time.Hour || total > 36*time.Hour {
		t.Errorf("got %v at first and %v in all", Backoff(1), total)
	}
}

package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/store"
)

// Memory is bounded in number, size and time, and what a reading for a change found out outlives one that did not ask.
func TestRecent_IsBoundedAndKeepsWhatWasFoundOut(t *testing.T) {
	t.Parallel()
	var r store.Recent
	now := time.Unix(1_000_000, 0)
	known := func(user string, version int64, unsettled bool) {
		t.Helper()
		if v, u := r.Known(user, now); v != version || u != unsettled {
			t.Errorf("%s: version %d, unsettled %t; want %d, %t", user, v, u, version, unsettled)
		}
	}
	r.Note("ada", 1, "{}", false, false, now)
	known("ada", 1, false)
	r.Note("ada", 1, "{}", true, true, now)
	r.Note("ada", 2, "{}", false, false, now)
	known("ada", 2, true)
	r.Note("ada", 3, "{}", true, false, now)
	known("ada", 3, false)

	r.Note("long", 1, strings.Repeat("x", 4<<10+1), false, false, now)
	known("long", 0, false)

	now = now.Add(31 * time.Second)
	known("ada", 3, false)
	now = now.Add(31 * time.Second)
	known("ada", 0, false)

	const most = 4096
	for i := range 3 * most {
		r.Note(fmt.Sprint(i), 1, "{}", false, false, now)
	}
	kept := 0
	for i := range 3 * most {
		if v, _ := r.Known(fmt.Sprint(i), now); v > 0 {
			kept++
		}
	}
	if kept > most || kept < most/2 {
		t.Errorf("%d are remembered, want %d at most", kept, most)
	}
	known(fmt.Sprint(3*most-1), 1, false)
}

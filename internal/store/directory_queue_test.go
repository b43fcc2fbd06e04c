package store

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
)

// A leader waits for pushes that have begun, no longer than they take and never longer than its patience, and nobody is left in
// the line.
func TestNewcomers_LeaderWaitsForPushesThatHaveBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &DB{d: postgresDialect}
		by := &Pusher{Directory: directory.Directory{ID: "entra"}}
		who, w := pushingOf("northwind", by), &db.newcomers
		size := make(chan int)
		lead := func() {
			go func() {
				batch := w.take(who)
				w.leave(who, len(batch))
				size <- len(batch)
			}()
			synctest.Wait()
		}
		enter := func(c *Coming) bool { return c.enter(w, who, &newcomer{turn: make(chan bool, 1)}) }

		began := time.Now()
		first, second, refused := db.Expect("northwind", by), db.Expect("northwind", by), db.Expect("northwind", by)
		if !enter(first) {
			t.Fatal("the first does not lead")
		}
		lead()
		if enter(second) {
			t.Error("two lead")
		}
		refused.Over() // its body was refused: it never comes to a push
		if n := <-size; n != 2 {
			t.Errorf("the batch is of %d", n)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %s when nobody was coming any more", waited)
		}
		for range 2 { // said twice, it counts once
			first.Over()
			second.Over()
			refused.Over()
		}

		slow := db.Expect("northwind", by) // whose body does not end
		enter(nil)
		lead()
		if n := <-size; n != 1 {
			t.Errorf("the batch is of %d", n)
		}
		if waited := time.Since(began); waited != queuePatience {
			t.Errorf("waited %s", waited)
		}

		began = time.Now()
		enter(nil)
		lead()
		for range enoughTogether - 1 {
			enter(nil)
		}
		if n := <-size; n != enoughTogether || time.Since(began) != 0 {
			t.Errorf("a batch of %d after %s", n, time.Since(began))
		}
		slow.Over()

		// As many as were there a moment ago may come again: the leader waits for them, and for no more than those who came.
		again := func(come int) (batch int, waited time.Duration) {
			began := time.Now()
			enter(nil)
			lead()
			for range come - 1 {
				enter(nil)
			}
			return <-size, time.Since(began)
		}
		for i, c := range []struct {
			come   int
			waited time.Duration
		}{{5, queuePatience}, {5, 0}, {5, 0}, {1, queuePatience}, {1, 0}} {
			if n, waited := again(c.come); n != c.come || waited != c.waited {
				t.Errorf("%d: a batch of %d after %s", i, n, waited)
			}
		}
		if len(w.lines) != 0 {
			t.Errorf("%d lines are left", len(w.lines))
		}
	})
}

// Where two batches may be under way, each takes half of those who are about, a third one waits for either, and nobody is left behind.
func TestQueue_HasTwoBatchesUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := queue[string, *newcomer]{flights: 2}
		const takes = 10 * time.Millisecond
		type batch struct {
			size int
			at   time.Duration
		}
		var mu sync.Mutex
		var batches []batch // guarded by mu
		began := time.Now()
		push := func() {
			n := &newcomer{turn: make(chan bool, 1)}
			if w.enter("k", n) || <-n.turn {
				w.lead("k", n, func(all []*newcomer) {
					mu.Lock()
					batches = append(batches, batch{len(all), time.Since(began)})
					mu.Unlock()
					time.Sleep(takes) // by the clock of the bubble: what the database would take
				})
			}
		}
		var pushed atomic.Int64
		var pushers sync.WaitGroup
		for range 8 {
			pushers.Go(func() {
				for range 3 {
					push()
					pushed.Add(1)
				}
			})
			synctest.Wait() // one after the other, so that the figures are always the same
		}
		pushers.Wait()
		if n := pushed.Load(); n != 24 || len(w.lines) > 1 {
			t.Fatalf("%d of 24 are through, %d lines are left", n, len(w.lines))
		}
		// The first leads alone, since nobody else is about; the second waits for its half of two; the third for one of both to end.
		if got := batches[:2]; got[0].size != 1 || got[1].size != 1 || got[1].at != 0 {
			t.Errorf("it begins with %v", got)
		}
		if !slices.ContainsFunc(batches, func(b batch) bool { return b.size == 4 }) {
			t.Errorf("nobody goes in halves: %v", batches)
		}
		for i, b := range batches {
			under := 0
			for _, other := range batches[:i] {
				if other.at+takes > b.at {
					under++
				}
			}
			if under > 1 {
				t.Errorf("batch %d begins at %v while %d are under way", i, b.at, under)
			}
		}
	})
}

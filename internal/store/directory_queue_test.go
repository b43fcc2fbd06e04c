package store

import (
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
				w.leave(who)
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

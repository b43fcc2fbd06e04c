package store

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
)

// queued is a directory with its queues, and clients who use them.
type queued struct {
	t   *testing.T
	db  *DB
	in  looking
	who pushing
}

func newQueued(t *testing.T) *queued {
	t.Helper()
	q := &queued{t: t, db: &DB{d: postgresDialect}}
	q.db.awaitCrowds()
	q.in, q.who = looking{"northwind", "entra"}, pushingOf("northwind", &Pusher{Directory: directory.Directory{ID: "entra"}})
	return q
}

// served has one go through a queue, whose batches take a moment, and gives the size of their batch and how long they waited for
// it to begin.
func served[K keyed, T batched](w *queue[K, T], key K, n T, moment time.Duration) (batch int, waited time.Duration) {
	began := time.Now()
	if w.enter(key, n) || <-n.waits() {
		w.lead(key, n, func(all []T) {
			batch, waited = len(all), time.Since(began)
			time.Sleep(moment)
		})
	}
	return batch, waited
}

func (q *queued) lookUp() (batch int, waited time.Duration) {
	return served(&q.db.lookups, q.in, &lookup{turn: make(chan bool, 1)}, 200*time.Microsecond)
}

func (q *queued) change() (batch int, waited time.Duration) {
	return served(&q.db.rewrites, q.who, &rewrite{turn: make(chan bool, 1)}, 600*time.Microsecond)
}

// Eight who look up and change by turns come to share one statement for their lookups and one for their changes, though each
// needs a while for the next request.
func TestCrowd_ComesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueued(t)
		const clients, rounds = 8, 20
		full := make(chan int, clients*rounds)
		var all sync.WaitGroup
		for c := range clients {
			all.Go(func() {
				time.Sleep(time.Duration(c) * 150 * time.Microsecond) // not at the same time to begin with
				for round := range rounds {
					looked, _ := q.lookUp()
					time.Sleep(time.Duration(20+10*c) * time.Microsecond)
					changed, _ := q.change()
					time.Sleep(time.Duration(20+10*(c+round)%90) * time.Microsecond)
					if round < 5 || round >= rounds-2 { // they find each other, and leave one by one
						continue
					}
					for _, batch := range []int{looked, changed} {
						if batch > 0 { // the leader tells
							full <- batch
						}
					}
				}
			})
		}
		all.Wait()
		close(full)
		batches := 0
		for n := range full {
			if batches++; n < clients-1 {
				t.Errorf("a batch of %d", n)
			}
		}
		if batches < rounds {
			t.Errorf("%d batches", batches)
		}
		q.isEmpty()
	})
}

// isEmpty checks that nobody is left anywhere.
func (q *queued) isEmpty() {
	q.t.Helper()
	c := q.db.lookups.crowds.of(q.in)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in != 0 || c.reading != 0 || len(c.readers.waiting)+len(c.writers.waiting) != 0 {
		q.t.Errorf("%d are in, %d of them reading, and %d leaders wait", c.in, c.reading, len(c.readers.waiting)+len(c.writers.waiting))
	}
}

// One alone never waits, and those who do not come back are waited for ever more seldom.
func TestCrowd_IsNotAwaitedInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueued(t)
		for range 20 {
			if _, waited := q.lookUp(); waited != 0 {
				t.Fatalf("one alone waited %s for a lookup", waited)
			}
			if _, waited := q.change(); waited != 0 {
				t.Fatalf("one alone waited %s for a change", waited)
			}
		}

		// Somebody else reads all the time, and never comes to change anything.
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						q.lookUp()
					}
				}
			})
		}
		waits := 0
		for range 200 {
			switch _, waited := q.change(); {
			case waited > queuePatience:
				t.Errorf("a change waited %s", waited)
			case waited == queuePatience:
				waits++
			}
		}
		close(stop)
		readers.Wait()
		if waits == 0 || waits > 10 {
			t.Errorf("%d of 200 changes waited in vain", waits)
		}
		q.isEmpty()

		// All but one are gone: that is found out.
		waits = 0
		for range 20 {
			if _, waited := q.lookUp(); waited > 0 {
				waits++
			}
		}
		if waits > 4 {
			t.Errorf("one who is left waited %d times", waits)
		}
		q.isEmpty()
	})
}

package store

import (
	"cmp"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Pushes of one directory that arrive together may share a statement, and so may its lookups. Whoever comes first leads: it takes
// what waits as a batch and has it done, while the first of those who came meanwhile leads the next one.

// pushing is who pushes: what they push may share a statement.
type pushing struct {
	organization id.Organization
	directory    id.Directory
	kind         audit.ActorKind
	id, name     string
	door         audit.Door
}

func (p pushing) place() looking { return looking{p.organization, p.directory} }

// keyed is what those who may share a batch have in common.
type keyed interface {
	comparable
	place() looking // the directory it is about
}

// batched is what waits for a batch.
type batched interface {
	comparable
	// waits is where it is told whether to lead the next batch, or that it is through.
	waits() chan bool
}

// queue holds what of one kind waits for a batch. Those of one key may share one.
type queue[K keyed, T batched] struct {
	// patience is how long a leader who knows nothing of the crowd waits for others at the most; queuePatience where it is 0.
	patience time.Duration
	// crowds knows who is about in a directory, in this queue or another; nil where nobody asks.
	crowds *crowds
	// reads says that whoever is served here may be back with a change.
	reads bool

	mu    sync.Mutex
	lines map[K]*line[T] // guarded by mu, with all that is in it
}

// line is where those of one key wait.
type line[T batched] struct {
	waiting  []T
	busy     bool          // somebody gathers a batch, or one is under way
	aboard   int           // who is in it
	coming   int           // whose request has begun
	together int           // how many were about when the last batch was through
	ready    chan struct{} // where a leader who waits for others is told to wait no longer

	crowd *crowd // nil where nobody asks who is about
	reads bool
	hopes bool // the leader waits for the crowd
}

// A leader waits for those who are about, and each shares what the statement costs: for all of the crowd (directory_crowd.go), or, where
// that was in vain lately, for those whose requests have begun and as many as there were a moment ago. They are here within a
// fraction of a millisecond. Beyond enough of them, or after patience, the leader goes without the others; who pushes one after the
// other never waits.
const (
	enoughTogether = 16
	queuePatience  = time.Millisecond
)

// complete reports that there is nobody left to wait for.
func (l *line[T]) complete() bool {
	if l.hopes {
		return len(l.waiting) >= enoughTogether || l.crowd.isHere(l.reads)
	}
	return len(l.waiting) >= min(max(len(l.waiting)+l.coming, l.together), enoughTogether)
}

// look wakes the leader who waits, where there is nobody left to wait for.
func (l *line[T]) look() {
	if l.ready != nil && l.complete() {
		wake(l.ready)
	}
}

// wake tells a leader to wait no longer.
func wake(leader chan struct{}) {
	select {
	case leader <- struct{}{}:
	default: // that was said already
	}
}

func (w *queue[K, T]) line(key K) *line[T] {
	l := w.lines[key]
	if l == nil {
		if w.lines == nil {
			w.lines = map[K]*line[T]{}
		}
		l = &line[T]{reads: w.reads}
		if w.crowds != nil {
			l.crowd = w.crowds.of(key.place())
		}
		w.lines[key] = l
	}
	return l
}

// tidy forgets a line in which nobody is, and of which there is nothing to remember.
func (w *queue[K, T]) tidy(key K) {
	if l := w.lines[key]; l != nil && !l.busy && l.coming == 0 && len(l.waiting) == 0 && l.together <= 1 {
		delete(w.lines, key)
	}
}

func pushingOf(org id.Organization, by *Pusher) pushing {
	return pushing{org, by.Directory.ID, by.Actor.Kind, by.Actor.ID, by.Actor.Name, by.Actor.Door}
}

// enter queues it and tells whether it has to lead: nobody else does.
func (w *queue[K, T]) enter(key K, n T) (leads bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queued(w.line(key), n)
}

func (w *queue[K, T]) queued(l *line[T], n T) (leads bool) {
	l.waiting = append(l.waiting, n)
	l.crowd.arrive(l.reads)
	l.look()
	leads, l.busy = !l.busy, true
	return leads
}

// coming is one whose request has begun: a leader waits for it. Nil is of no consequence.
type coming[K keyed, T batched] struct {
	w    *queue[K, T]
	key  K
	here bool // guarded by w.mu
}

// expect says that one may be about to come. Whoever says so calls Over when the request has ended.
func (w *queue[K, T]) expect(key K) *coming[K, T] {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line(key).coming++
	return &coming[K, T]{w: w, key: key}
}

// Over says that the request has ended, whether anything came of it or not.
func (c *coming[K, T]) Over() {
	if c == nil || c.w == nil {
		return
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.arrive(c.w.line(c.key))
	c.w.tidy(c.key)
}

// enter is queue.enter for one whose coming was announced.
func (c *coming[K, T]) enter(w *queue[K, T], key K, n T) (leads bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.line(key)
	leads = w.queued(l, n)
	c.arrive(l)
	return leads
}

// arrive counts it as no longer coming, once. It is called with the lock held.
func (c *coming[K, T]) arrive(l *line[T]) {
	if c == nil || c.w == nil || c.here {
		return
	}
	c.here = true
	l.coming--
	l.look()
}

// take gives the next batch, for which it waits a moment where more are coming.
func (w *queue[K, T]) take(key K) []T {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.line(key)
	l.hopes = l.crowd.worthwhile(l.reads)
	if !l.complete() {
		patience := cmp.Or(w.patience, queuePatience)
		ready := make(chan struct{}, 1)
		l.ready = ready
		if l.hopes {
			patience = queuePatience
			l.crowd.await(l.reads, ready)
		}
		w.mu.Unlock()
		inVain := false
		timer := time.NewTimer(patience)
		select {
		case <-ready:
		case <-timer.C:
			inVain = true
		}
		timer.Stop()
		w.mu.Lock()
		l.ready = nil
		if l.hopes {
			l.crowd.awaited(l.reads, ready, inVain)
		}
	}
	batch := l.waiting[:min(len(l.waiting), maxBatch)]
	l.waiting = l.waiting[len(batch):]
	l.aboard = len(batch)
	return batch
}

// leave notes that the batch is through, and has the first who waits lead the next one.
func (w *queue[K, T]) leave(key K) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.line(key)
	l.together = l.aboard + len(l.waiting) + l.coming
	l.crowd.leave(l.reads, l.aboard)
	l.busy, l.aboard = len(l.waiting) > 0, 0
	if l.busy {
		l.waiting[0].waits() <- true
	}
	w.tidy(key)
}

// lead has a batch done, the leader's own among it, and tells the others that they are through.
func (w *queue[K, T]) lead(key K, leader T, do func(batch []T)) {
	batch := w.take(key)
	defer func() {
		for _, n := range batch {
			if n != leader {
				n.waits() <- false
			}
		}
		w.leave(key)
	}()
	do(batch)
}

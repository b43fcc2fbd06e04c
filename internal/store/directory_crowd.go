package store

import (
	"slices"
	"sync"
)

// Who pushes several at a time looks eight people up and then changes them, and the eight answers of one batch make the next eight
// requests. So a leader waits until all who are about are there: a directory's eight clients then share one statement for their
// lookups and one for their changes, by turns, where two halves of them would need four. Who waits to change somebody waits for those
// as well who are looking somebody up. Nobody knows who comes back: who is about is guessed by who was there lately.

// crowd is who is about in one directory: in a line or a batch of any queue, or expected back in a moment.
type crowd struct {
	mu      sync.Mutex
	in      int    // who is in a line or a batch; guarded by mu, with all that follows
	reading int    // those of them who look somebody up
	lately  [4]int // how many were in when the last batches were through, the latest at next-1
	next    int

	readers, writers leaders // of lookups, and of changes
}

// leaders are those who lead batches of one kind.
type leaders struct {
	waiting []chan struct{} // for the others
	vain    int             // for how many batches nobody waits, since the last one did in vain
	resting int             // how many of those are left
}

// longestRest is for how many batches nobody waits, where waiting was in vain again and again.
const longestRest = 63

// crowds are those of all directories. A few words are kept of each that has been asked for.
type crowds struct{ all sync.Map }

func (c *crowds) of(in looking) *crowd {
	got, ok := c.all.Load(in)
	if !ok {
		got, _ = c.all.LoadOrStore(in, &crowd{})
	}
	return got.(*crowd)
}

// isHere reports that there is nobody whom a leader of lookups, or one of changes, would wait for.
func (c *crowd) isHere(reads bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.complete(reads)
}

// complete is isHere with the lock held.
func (c *crowd) complete(reads bool) bool {
	return c.in >= slices.Max(c.lately[:]) && (reads || c.reading == 0)
}

// arrive notes that one has come into a line. A nil crowd is of no consequence, here and below.
func (c *crowd) arrive(reads bool) {
	c.move(reads, 1)
}

// leave notes that a batch is through.
func (c *crowd) leave(reads bool, aboard int) {
	c.move(reads, -aboard)
}

func (c *crowd) move(reads bool, n int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < 0 {
		c.lately[c.next] = c.in
		c.next = (c.next + 1) % len(c.lately)
	}
	c.in += n
	if reads {
		c.reading += n
	}
	c.look()
}

// look wakes the leaders who have nobody left to wait for. It is called with the lock held.
func (c *crowd) look() {
	for _, reads := range []bool{true, false} {
		if waiting := c.leaders(reads).waiting; len(waiting) > 0 && c.complete(reads) {
			for _, l := range waiting {
				wake(l)
			}
		}
	}
}

// leaders is called with the lock held.
func (c *crowd) leaders(reads bool) *leaders {
	if reads {
		return &c.readers
	}
	return &c.writers
}

// worthwhile tells a leader whether to wait for the crowd.
func (c *crowd) worthwhile(reads bool) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leaders(reads)
	if l.resting == 0 {
		return true
	}
	l.resting--
	return false
}

// await has a leader woken once all who are about are here.
func (c *crowd) await(reads bool, leader chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leaders(reads)
	l.waiting = append(l.waiting, leader)
	c.look()
}

// awaited ends that. Whoever waited in vain is followed by some who do not wait.
func (c *crowd) awaited(reads bool, leader chan struct{}, inVain bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leaders(reads)
	l.waiting = slices.DeleteFunc(l.waiting, func(other chan struct{}) bool { return other == leader })
	if inVain {
		l.vain = min(2*l.vain+1, longestRest)
	} else {
		l.vain = 0
	}
	l.resting = l.vain
}

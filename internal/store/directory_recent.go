package store

import (
	"sync"
	"time"
)

// Who is about to change somebody has looked at them a moment ago: providers look up first, and one change follows another. So the
// records that this node looked up or wrote last are remembered, and a change of one is decided over what is remembered. That is
// only ever a guess: the statement that writes it finds the record in just that version or writes nothing, and then the record is
// read. Nothing is answered from here.

const (
	rememberedMost = 2048 // records a generation; there are two
	rememberedLong = 4 << 10
	rememberedFor  = 30 * time.Second
)

// recordKey is whose record it is.
type recordKey struct {
	in   looking
	user string
}

// recentRecords holds records in two generations: when the younger one is full or old, the older one is forgotten. They are shared
// and never changed.
type recentRecords struct {
	mu         sync.Mutex
	young, old map[recordKey]*lookedUp // guarded by mu
	began      time.Time               // when the younger one did; guarded by mu
}

// note remembers a record as it was just read or written. Groups are of the moment and not remembered. Where it was read for a
// change, it is known whether the user is unsettled, and that stays known.
func (m *recentRecords) note(in looking, r *lookedUp, change bool, now time.Time) {
	if len(r.Document) > rememberedLong {
		return
	}
	kept := *r
	kept.Groups = nil
	m.mu.Lock()
	defer m.mu.Unlock()
	m.age(now)
	if len(m.young) >= rememberedMost {
		m.turn(now)
	}
	key := recordKey{in, r.ID}
	if had := m.known(key); had != nil && !change {
		kept.unsettled = had.unsettled
	}
	m.young[key] = &kept
}

// of gives what is remembered of a user, and nil where nothing is.
func (m *recentRecords) of(in looking, user string, now time.Time) *lookedUp {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.age(now)
	return m.known(recordKey{in, user})
}

// known is called with the lock held.
func (m *recentRecords) known(key recordKey) *lookedUp {
	if r := m.young[key]; r != nil {
		return r
	}
	return m.old[key]
}

// forget drops what turned out to be no longer so.
func (m *recentRecords) forget(in looking, user string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.young, recordKey{in, user})
	delete(m.old, recordKey{in, user})
}

// age is called with the lock held.
func (m *recentRecords) age(now time.Time) {
	switch since := now.Sub(m.began); {
	case m.young == nil || since >= 2*rememberedFor || since < 0:
		m.turn(now)
		m.old = nil
	case since >= rememberedFor:
		m.turn(now)
	}
}

func (m *recentRecords) turn(now time.Time) {
	m.young, m.old, m.began = make(map[recordKey]*lookedUp), m.young, now
}

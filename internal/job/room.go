package job

import (
	"sync"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

// measure is how many deliveries of a kind one node has under way: in all, for one organization, and to one destination.
type measure struct{ all, organization, destination int }

// Each kind has places of its own, so that nothing a person waits for (a code, a letter, the end of a session elsewhere)
// stands behind another kind's receivers. Within a kind the places of one organization, and those to one destination, are
// few: whoever lets its callers hang until they give up holds up nobody but itself. A webhook's receiver and a carrier
// of text messages are named by an organization and get the least; an application's logouts come in waves, when many
// people leave at once. Mail servers take only so many connections from one sender.
var (
	measures = map[outbox.Kind]measure{
		outbox.Mail:              {all: 16, organization: 8, destination: 2},
		outbox.SMS:               {all: 32, organization: 4, destination: 2},
		outbox.BackChannelLogout: {all: 64, organization: 8, destination: 8},
		outbox.Webhook:           {all: 32, organization: 4, destination: 2},
		outbox.ResetAsked:        {all: 4, organization: 4, destination: 4}, // leaves the house as a letter; here it is a transaction
	}
	unknown = measure{all: 4, organization: 2, destination: 2} // of a newer node: they are only put back
)

func measureOf(kind outbox.Kind) measure {
	if m, ok := measures[kind]; ok {
		return m
	}
	return unknown
}

type ofOrganization struct {
	kind         outbox.Kind
	organization id.Organization
}

type ofDestination struct {
	kind        outbox.Kind
	destination string
}

// room counts what a node has under way.
type room struct {
	mu            sync.Mutex
	kinds         map[outbox.Kind]int
	organizations map[ofOrganization]int
	destinations  map[ofDestination]int
}

func newRoom() *room {
	return &room{
		kinds: map[outbox.Kind]int{}, organizations: map[ofOrganization]int{}, destinations: map[ofDestination]int{},
	}
}

// enter takes a place for the delivery, if there is one.
func (r *room) enter(d outbox.Delivery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, o, to := measureOf(d.Kind), ofOrganization{d.Kind, d.Organization}, ofDestination{d.Kind, d.Destination}
	if r.kinds[d.Kind] >= m.all || r.organizations[o] >= m.organization || r.destinations[to] >= m.destination {
		return false
	}
	r.kinds[d.Kind]++
	r.organizations[o]++
	r.destinations[to]++
	return true
}

// leave gives the delivery's place back.
func (r *room) leave(d outbox.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	less(r.kinds, d.Kind)
	less(r.organizations, ofOrganization{d.Kind, d.Organization})
	less(r.destinations, ofDestination{d.Kind, d.Destination})
}

func less[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] == 0 {
		delete(counts, k) // the map holds what is under way, not everybody who ever was
	}
}

// full says for what there is no place.
func (r *room) full() outbox.Full {
	r.mu.Lock()
	defer r.mu.Unlock()
	var f outbox.Full
	for k, n := range r.kinds {
		if n >= measureOf(k).all {
			f.Kinds = append(f.Kinds, k)
		}
	}
	for o, n := range r.organizations {
		if n >= measureOf(o.kind).organization {
			f.Organizations = append(f.Organizations, outbox.OfOrganization(o.kind, o.organization))
		}
	}
	for to, n := range r.destinations {
		if n >= measureOf(to.kind).destination {
			f.Destinations = append(f.Destinations, outbox.OfDestination(to.kind, to.destination))
		}
	}
	return f
}

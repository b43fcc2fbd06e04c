package job

import (
	"fmt"
	"testing"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

// However many deliveries one organization has, by whatever addresses, another's find a place; and every place comes back.
func TestRoom_NoOrganizationAndNoDestinationTakesAllPlaces(t *testing.T) {
	t.Parallel()
	kinds := []outbox.Kind{outbox.Mail, outbox.SMS, outbox.BackChannelLogout, outbox.Webhook, "of-tomorrow"}
	r := newRoom()
	var inside []outbox.Delivery
	try := func(kind outbox.Kind, organization, destination string) bool {
		d := outbox.Delivery{Kind: kind, Organization: id.Organization(organization), Destination: destination}
		entered := r.enter(d)
		if entered {
			inside = append(inside, d)
		}
		return entered
	}
	for _, kind := range kinds {
		m, taken := measureOf(kind), 0
		for i := range 2 * m.all {
			if try(kind, "northwind", fmt.Sprintf("%d.northwind.example", i)) {
				taken++
			}
		}
		if taken != m.organization || taken >= m.all {
			t.Errorf("%s: one organization took %d of %d places, want %d", kind, taken, m.all, m.organization)
		}
		if try(kind, "northwind", "more.northwind.example") || !try(kind, "eastwind", "eastwind.example") {
			t.Errorf("%s: the next place is not another organization's", kind)
		}
		// Many organizations that name one destination.
		taken = 0
		for i := range m.all {
			if try(kind, fmt.Sprintf("o%d", i), "same.example") {
				taken++
			}
		}
		if free := m.all - m.organization - 1; taken != min(m.destination, free) {
			t.Errorf("%s: one destination took %d places of %d free ones, want %d", kind, taken, free, m.destination)
		}
		// As many as there are places, and none above.
		for i := range 2 * m.all {
			try(kind, fmt.Sprintf("p%d", i), fmt.Sprintf("p%d.example", i))
		}
		if r.kinds[kind] != m.all {
			t.Errorf("%s: %d are under way, want %d", kind, r.kinds[kind], m.all)
		}
	}
	if f := r.full(); len(f.Kinds) != len(kinds) || len(f.Organizations) < len(kinds) {
		t.Errorf("full of %+v, want every kind and northwind in each", f)
	}
	for _, d := range inside {
		r.leave(d)
	}
	if f := r.full(); f.Any() || len(r.kinds)+len(r.organizations)+len(r.destinations) != 0 {
		t.Errorf("when all have left: %+v, %v, %v, %v", f, r.kinds, r.organizations, r.destinations)
	}
}

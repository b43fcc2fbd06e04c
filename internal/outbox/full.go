package outbox

import "github.com/vestibule-id/vestibule/internal/id"

// Full says for which deliveries a worker has no place now; a look for due ones passes over them, however many they are.
type Full struct {
	Kinds         []Kind
	Organizations []string // by OfOrganization
	Destinations  []string // by OfDestination
}

// OfOrganization names the deliveries of one kind for one organization.
func OfOrganization(kind Kind, organization id.Organization) string {
	return string(kind) + " " + string(organization)
}

// OfDestination names the deliveries of one kind to one destination.
func OfDestination(kind Kind, destination string) string { return string(kind) + " " + destination }

// Any reports whether anything is full.
func (f Full) Any() bool { return len(f.Kinds)+len(f.Organizations)+len(f.Destinations) > 0 }

package connection

import (
	"slices"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Way is a connection as home realm discovery sees it.
type Way struct {
	Organization id.Organization
	ID           id.Connection
	Name         string
	Protocol     Protocol
	Disabled     bool
	Domains      []string // whose people sign in through it
	// Local: not a connection but a password or passkey of the person's own; only among the choices of a route.
	Local bool
}

// LocalPolicy is what an organization says of signing in without a provider, before anything is known of the person.
type LocalPolicy int

// The policies.
const (
	LocalOff     LocalPolicy = iota // nobody does
	LocalQuiet                      // nothing is said: those do whom no provider has
	LocalOffered                    // everybody may, so everybody is asked
)

func (w Way) same(other Way) bool { return w.Organization == other.Organization && w.ID == other.ID }

// RouteFacts is what is known before anybody has signed in.
type RouteFacts struct {
	Organization id.Organization // asked for by the request; empty: none
	Known        bool            // that organization exists
	Connection   id.Connection   // asked for by the request; empty: none
	// Providers serve that organization, by relationships that are in force: their people sign in at home.
	Providers []id.Organization
	// Hinted owns the domain of the hinted address; both are empty where no verified domain is hinted.
	Hinted struct {
		Domain       string
		Organization id.Organization
		Connection   id.Connection // the one the operator gave the domain to; empty: those that list it, or any
	}
	// Ways are all connections of the two organizations and those of the asked id: of all organizations when neither is named, else
	// of the providers.
	Ways []Way
	// Local says it of the two organizations.
	Local map[id.Organization]LocalPolicy
	// Address: the person typed an address, or the request hints at one. Typed: it is the person's own word.
	Address, Typed bool
	// Enforced: single sign-on is demanded, and in force, for the domain of the address.
	Enforced bool
	// Another: the person does not want the way that was gone by itself.
	Another bool
}

// RouteStep says how a sign-in goes on.
type RouteStep int

// The steps.
const (
	Ask     RouteStep = iota // for an address: nothing says where the person belongs
	Choose                   // between several connections: never a guess
	Go                       // to the one connection
	Locally                  // to the page for a password, of the organization or of whichever has the address
	Blocked                  // with a code
)

// Route is where a person signs in.
type Route struct {
	Step         RouteStep
	Organization id.Organization // the home
	Connection   id.Connection
	Choices      []Way
	Code         Code
}

// InvalidRequest says whether the request itself is wrong, so that an application is told invalid_request.
func (r Route) InvalidRequest() bool {
	return r.Step == Blocked && (r.Code == CodeUnknownConnection || r.Code == CodeUnknownOrganization)
}

// FindRoute decides where a person signs in. The connection and the hinted address choose the home; the organization is the
// home too if nothing else names one. A home that is not the organization asked for needs a provider relationship in force.
func FindRoute(f RouteFacts) Route {
	if f.Organization != "" && !f.Known {
		return Route{Step: Blocked, Code: CodeUnknownOrganization}
	}
	home := f.Hinted.Organization
	if home == "" {
		home = f.Organization
	}
	if f.Connection != "" {
		return f.asked(home)
	}
	if home == "" && f.Address && f.Typed {
		// The domain is nobody's. Whether somebody has the address is told no more than before.
		return Route{Step: Locally}
	}
	if home == "" {
		return Route{Step: Ask}
	}
	if f.foreign(home) {
		return Route{Step: Blocked, Organization: home, Code: CodeOtherOrganization}
	}
	mine := home == f.Hinted.Organization
	var open, hinted []Way
	for _, w := range f.Ways {
		if w.Organization != home || w.Disabled {
			continue
		}
		open = append(open, w)
		if mine && (w.ID == f.Hinted.Connection || slices.Contains(w.Domains, f.Hinted.Domain)) {
			hinted = append(hinted, w)
		}
	}
	if len(hinted) == 1 && !f.offered(home, mine) {
		return Route{Step: Go, Organization: home, Connection: hinted[0].ID}
	}
	if len(hinted) > 0 {
		open = hinted // several lead on from one domain: which is right, the person knows
	}
	if f.offered(home, mine) || len(open) != 1 && f.Local[home] != LocalOff && !(mine && f.Enforced) {
		open = append(open, Way{Organization: home, Name: "Password or passkey", Local: true})
	}
	switch {
	case len(open) == 0:
		return Route{Step: Blocked, Organization: home, Code: CodeNoConnection}
	case len(open) == 1 && open[0].Local:
		return Route{Step: Locally, Organization: home}
	case len(open) == 1:
		return Route{Step: Go, Organization: home, Connection: open[0].ID}
	}
	return Route{Step: Choose, Organization: home, Choices: open}
}

// offered says whether the local way stands beside a single connection. An address of a domain that is not the organization's own is
// more likely that of somebody who was invited. Asked for, it is always there: who may use it is decided after the person has shown
// who they are, and on the day the provider is away it must be found.
func (f RouteFacts) offered(home id.Organization, mine bool) bool {
	switch {
	case f.Another:
		return true
	case mine && f.Enforced:
		return false
	case f.Local[home] == LocalQuiet:
		return f.Address && !mine
	}
	return f.Local[home] == LocalOffered
}

// asked routes to a connection that the request names: the home's first, then the organization's. Named with neither, it
// must be the only one of its id.
func (f RouteFacts) asked(home id.Organization) Route {
	var found []Way
	for _, org := range []id.Organization{home, f.Organization} {
		for _, w := range f.Ways {
			if w.ID == f.Connection && (w.Organization == org || home == "") && !slices.ContainsFunc(found, w.same) {
				found = append(found, w)
			}
		}
	}
	if len(found) == 0 && f.Hinted.Organization == "" {
		// Nothing but the connection names a home, and that may be a provider's.
		for _, w := range f.Ways {
			if w.ID == f.Connection && slices.Contains(f.Providers, w.Organization) {
				found = append(found, w)
			}
		}
		if len(found) > 1 {
			return Route{Step: Ask}
		}
	}
	switch {
	case len(found) == 0:
		return Route{Step: Blocked, Organization: home, Code: CodeUnknownConnection}
	case home == "" && len(found) > 1:
		return Route{Step: Ask}
	}
	w := found[0]
	switch {
	case w.Disabled:
		return Route{Step: Blocked, Organization: w.Organization, Connection: w.ID, Code: CodeConnectionDisabled}
	case f.foreign(w.Organization):
		return Route{Step: Blocked, Organization: w.Organization, Code: CodeOtherOrganization}
	}
	return Route{Step: Go, Organization: w.Organization, Connection: w.ID}
}

func (f RouteFacts) foreign(home id.Organization) bool {
	return f.Organization != "" && home != f.Organization && !slices.Contains(f.Providers, home)
}

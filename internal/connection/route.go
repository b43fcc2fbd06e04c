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
}

// RouteFacts is what is known before anybody has signed in.
type RouteFacts struct {
	Organization id.Organization // asked for by the request; empty: none
	Known        bool            // that organization exists
	Connection   id.Connection   // asked for by the request; empty: none
	// Hinted owns the domain of the hinted address; both are empty where no verified domain is hinted.
	Hinted struct {
		Organization id.Organization
		Connection   id.Connection
	}
	// Ways are all connections of the two organizations and, when neither is named, those of the asked id.
	Ways []Way
}

// RouteStep says how a sign-in goes on.
type RouteStep int

// The steps.
const (
	Ask     RouteStep = iota // for an address: nothing says where the person belongs
	Choose                   // between several connections: never a guess
	Go                       // to the one connection
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
// home too if nothing else names one. A home that is not the organization asked for needs a provider relationship, and acting
// as a provider is refused here until the issuing side serves it.
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
	if home == "" {
		return Route{Step: Ask}
	}
	if f.foreign(home) {
		return Route{Step: Blocked, Organization: home, Code: CodeOtherOrganization}
	}
	var open []Way
	for _, w := range f.Ways {
		if w.Organization == home && !w.Disabled {
			open = append(open, w)
		}
	}
	if i := slices.IndexFunc(open, func(w Way) bool { return w.ID == f.Hinted.Connection && home == f.Hinted.Organization }); i >= 0 {
		return Route{Step: Go, Organization: home, Connection: open[i].ID}
	}
	switch len(open) {
	case 0:
		return Route{Step: Blocked, Organization: home, Code: CodeNoConnection}
	case 1:
		return Route{Step: Go, Organization: home, Connection: open[0].ID}
	}
	return Route{Step: Choose, Organization: home, Choices: open}
}

// asked routes to a connection that the request names: the home's first, then the organization's. Named with neither, it
// must be the only one of its id.
func (f RouteFacts) asked(home id.Organization) Route {
	var found []Way
	for _, org := range []id.Organization{home, f.Organization} {
		for _, w := range f.Ways {
			if w.ID == f.Connection && (w.Organization == org || home == "") && !slices.Contains(found, w) {
				found = append(found, w)
			}
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
	return f.Organization != "" && home != f.Organization
}

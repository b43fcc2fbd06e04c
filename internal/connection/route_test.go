package connection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
)

func TestFindRoute(t *testing.T) {
	t.Parallel()
	corp := connection.Way{Organization: "northwind", ID: "corp", Name: "Northwind SSO"}
	second := connection.Way{Organization: "northwind", ID: "lab", Name: "Lab"}
	off := connection.Way{Organization: "northwind", ID: "off", Name: "Off", Disabled: true}
	theirs := connection.Way{Organization: "fieldserv", ID: "okta", Name: "Fieldserv"}
	twin := connection.Way{Organization: "fieldserv", ID: "corp", Name: "Fieldserv's own corp"}

	facts := func(org id.Organization, asked id.Connection, hint *connection.Way, ways ...connection.Way) connection.RouteFacts {
		f := connection.RouteFacts{Organization: org, Known: org != "" && org != "nowhere", Connection: asked, Ways: ways}
		if hint != nil {
			f.Hinted.Organization, f.Hinted.Connection = hint.Organization, hint.ID
		}
		return f
	}
	served := func(f connection.RouteFacts) connection.RouteFacts {
		f.Providers = []id.Organization{"fieldserv", "roofers"}
		return f
	}
	to := func(w connection.Way) connection.Route {
		return connection.Route{Step: connection.Go, Organization: w.Organization, Connection: w.ID}
	}
	blocked := func(code connection.Code, org id.Organization, way id.Connection) connection.Route {
		return connection.Route{Step: connection.Blocked, Code: code, Organization: org, Connection: way}
	}
	for name, tt := range map[string]struct {
		facts connection.RouteFacts
		want  connection.Route
	}{
		"nothing is known":                                              {facts("", "", nil), connection.Route{Step: connection.Ask}},
		"the organization has one way":                                  {facts("northwind", "", nil, corp), to(corp)},
		"a switched-off way does not count":                             {facts("northwind", "", nil, corp, off), to(corp)},
		"several ways are a choice":                                     {facts("northwind", "", nil, corp, second), connection.Route{Step: connection.Choose, Organization: "northwind", Choices: []connection.Way{corp, second}}},
		"the hint chooses among several":                                {facts("northwind", "", &second, corp, second), to(second)},
		"the hint alone":                                                {facts("", "", &theirs, theirs), to(theirs)},
		"the hint's own way is off":                                     {facts("", "", &off, corp, off), to(corp)},
		"the hint's home is not the organization":                       {facts("northwind", "", &theirs, corp, theirs), blocked(connection.CodeOtherOrganization, "fieldserv", "")},
		"no way at all":                                                 {facts("northwind", "", nil, off), blocked(connection.CodeNoConnection, "northwind", "")},
		"the organization does not exist":                               {facts("nowhere", "", nil), blocked(connection.CodeUnknownOrganization, "", "")},
		"the connection of the organization":                            {facts("northwind", "lab", nil, corp, second), to(second)},
		"the connection of the hint's home":                             {facts("", "okta", &theirs, theirs), to(theirs)},
		"the connection of the organization, the hint elsewhere":        {facts("northwind", "lab", &theirs, second, theirs), to(second)},
		"the connection of the hint's home, the organization another":   {facts("northwind", "okta", &theirs, corp, theirs), blocked(connection.CodeOtherOrganization, "fieldserv", "")},
		"one id in both: the home's":                                    {facts("northwind", "corp", &theirs, corp, twin), blocked(connection.CodeOtherOrganization, "fieldserv", "")},
		"the connection belongs to neither":                             {facts("northwind", "okta", nil, corp), blocked(connection.CodeUnknownConnection, "northwind", "")},
		"another organization's connection loaded by mistake is no hit": {facts("northwind", "okta", nil, corp, theirs), blocked(connection.CodeUnknownConnection, "northwind", "")},
		"the connection alone":                                          {facts("", "okta", nil, theirs), to(theirs)},
		"the connection alone, of two organizations":                    {facts("", "corp", nil, corp, twin), connection.Route{Step: connection.Ask}},
		"the connection alone, of none":                                 {facts("", "gone", nil), blocked(connection.CodeUnknownConnection, "", "")},
		"the connection is off":                                         {facts("northwind", "off", nil, off), blocked(connection.CodeConnectionDisabled, "northwind", "off")},
		"the hint's home serves the organization":                       {served(facts("northwind", "", &theirs, corp, theirs)), to(theirs)},
		"the connection of a home that serves the organization":         {served(facts("northwind", "okta", &theirs, corp, theirs)), to(theirs)},
		"the connection alone names a home that serves":                 {served(facts("northwind", "okta", nil, corp, theirs)), to(theirs)},
		"one id in the organization and its provider":                   {served(facts("northwind", "corp", nil, corp, twin)), to(corp)},
		"one id in two providers":                                       {served(facts("northwind", "okta", nil, corp, theirs, connection.Way{Organization: "roofers", ID: "okta"})), connection.Route{Step: connection.Ask}},
		"a provider's connection, the hint elsewhere":                   {served(facts("northwind", "okta", &corp, corp, theirs)), blocked(connection.CodeUnknownConnection, "northwind", "")},
		"without anything that names a home, the organization is it":    {served(facts("northwind", "", nil, corp)), to(corp)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := connection.FindRoute(tt.facts)
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("got before want:\n%s", diff)
			}
			invalid := tt.want.Code == connection.CodeUnknownConnection || tt.want.Code == connection.CodeUnknownOrganization
			if got.InvalidRequest() != invalid {
				t.Errorf("InvalidRequest: got %v, want %v", got.InvalidRequest(), invalid)
			}
		})
	}
}

package invitation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
)

var byDefault = []access.Want{{Role: "viewer", Resource: "northwind"}}

func TestRead(t *testing.T) {
	t.Parallel()
	at := func(role, resource string) access.Want {
		return access.Want{Role: id.Role(role), Resource: id.Resource(resource)}
	}
	for name, c := range map[string]struct {
		text string
		want []invitation.Row
	}{
		"one on each line": {"a@x.example\r\n\r\n b@x.example \n", []invitation.Row{
			{Line: 1, Email: "a@x.example", Grants: byDefault}, {Line: 3, Email: "b@x.example", Grants: byDefault},
		}},
		"anything between": {"a@x.example, b@x.example;c@x.example\td@x.example", []invitation.Row{
			{Line: 1, Email: "a@x.example", Grants: byDefault},
			{Line: 1, Email: "b@x.example", Grants: byDefault},
			{Line: 1, Email: "c@x.example", Grants: byDefault},
			{Line: 1, Email: "d@x.example", Grants: byDefault},
		}},
		"spaces of a mail program": {"a@x.example\u00a0b@x.example \u2003c@x.example,\u00a0Dana <d@x.example>\u00a0", []invitation.Row{
			{Line: 1, Email: "a@x.example", Grants: byDefault},
			{Line: 1, Email: "b@x.example", Grants: byDefault},
			{Line: 1, Email: "c@x.example", Grants: byDefault},
			{Line: 1, Email: "d@x.example", Name: "Dana", Grants: byDefault},
		}},
		"with names": {`"Fox, Dana" <dana@x.example>, Bob <bob@x.example>; c@x.example`, []invitation.Row{
			{Line: 1, Email: "dana@x.example", Name: "Fox, Dana", Grants: byDefault},
			{Line: 1, Email: "bob@x.example", Name: "Bob", Grants: byDefault},
			{Line: 1, Email: "c@x.example", Grants: byDefault},
		}},
		"a CSV": {"\ufeffEmail,Name,Roles,Resource\na@x.example,\"Fox, Dana\",viewer auditor@emea,london-1\n\nb@x.example,,,\n", []invitation.Row{
			{Line: 2, Email: "a@x.example", Name: "Fox, Dana", Grants: []access.Want{at("viewer", "london-1"), at("auditor", "emea")}},
			{Line: 4, Email: "b@x.example", Grants: byDefault},
		}},
		"a CSV of another country": {"name;email\nDana;a@x.example", []invitation.Row{
			{Line: 2, Email: "a@x.example", Name: "Dana", Grants: byDefault},
		}},
		"a row with too much": {"email,name\na@x.example,Dana,viewer", []invitation.Row{
			{Line: 2, Email: "a@x.example", Name: "Dana", Grants: byDefault, Fault: "The row has more fields than the first line has columns."},
		}},
		"a quoted field that is not": {"email,name\na@x.example,Dana \"Day\" Fox", []invitation.Row{
			{Line: 2, Email: "a@x.example", Name: `Dana "Day" Fox`, Grants: byDefault},
		}},
		"blanks before a quoted field": {"email, name\na@x.example, \"Fox, Dana\"", []invitation.Row{
			{Line: 2, Email: "a@x.example", Name: "Fox, Dana", Grants: byDefault},
		}},
		"an empty field too much": {"email,name\na@x.example,Dana,,", []invitation.Row{
			{Line: 2, Email: "a@x.example", Name: "Dana", Grants: byDefault},
		}},
		"a sheet with tabs, after empty lines": {"\r\n\nemail\trole\tresource\na@x.example\tviewer\t\nb@x.example\t\"viewer,auditor\"\temea", []invitation.Row{
			{Line: 4, Email: "a@x.example", Grants: []access.Want{at("viewer", "northwind")}},
			{Line: 5, Email: "b@x.example", Grants: []access.Want{at("viewer", "emea"), at("auditor", "emea")}},
		}},
		"an address before a name": {"a@x.example Bob <bob@x.example>", []invitation.Row{
			{Line: 1, Email: "a@x.example", Grants: byDefault}, {Line: 1, Email: "bob@x.example", Name: "Bob", Grants: byDefault},
		}},
		"a semicolon before a name": {"nobody; Bob <bob@x.example>", []invitation.Row{
			{Line: 1, Email: "nobody", Grants: byDefault}, {Line: 1, Email: "bob@x.example", Name: "Bob", Grants: byDefault},
		}},
		"brackets the wrong way round": {"Bob> <bob@x.example", []invitation.Row{{Line: 1, Email: "bob@x.example", Name: "Bob>", Grants: byDefault}}},
		"a pasted name that breaks lines": {"Eve\rBcc: x <a@x.example>", []invitation.Row{
			{Line: 1, Email: "a@x.example", Name: "Eve Bcc: x", Grants: byDefault},
		}},
		"a name that breaks lines": {"email,name\na@x.example,\"Eve\r\nBcc: x\"", []invitation.Row{
			{Line: 2, Email: "a@x.example", Name: "Eve Bcc: x", Grants: byDefault},
		}},
	} {
		got, err := invitation.Read(c.text, byDefault, "northwind")
		if diff := cmp.Diff(got, c.want); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for name, text := range map[string]string{
		"as many as may be":          strings.Repeat("a@x.example\n", invitation.MaxRows),
		"as many as may be in a CSV": "email\n" + strings.Repeat("a@x.example\n", invitation.MaxRows),
	} {
		if rows, err := invitation.Read(text, nil, "northwind"); err != nil || len(rows) != invitation.MaxRows {
			t.Errorf("%s: got %d rows, %v", name, len(rows), err)
		}
	}
	for name, text := range map[string]string{
		"nothing": "  \n", "not text": "a@x.example\x00", "latin-1": "D\xe4na <a@x.example>",
		"unknown column": "email,password\na@x.example,x", "too many": strings.Repeat("a@x.example\n", 1001),
		"too many in a CSV": "email\n" + strings.Repeat("a@x.example\n", 1001),
	} {
		if rows, err := invitation.Read(text, nil, "northwind"); fault.As(err) == nil {
			t.Errorf("%s: got %d rows, %v", name, len(rows), err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("email,name,roles\na@x.example,Dana,viewer")
	f.Add("Dana <a@x.example>, b@x.example")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := invitation.Read(text, byDefault, "northwind")
		if err != nil && fault.As(err) == nil {
			t.Errorf("%q: %v is no sentence for a person", text, err)
		}
		if len(rows) > invitation.MaxRows {
			t.Errorf("%d rows", len(rows))
		}
		for _, r := range rows {
			if strings.ContainsAny(r.Name, "\r\n") || r.Line < 1 {
				t.Errorf("%q: got %+v", text, r)
			}
		}
	})
}

func TestStateOf(t *testing.T) {
	t.Parallel()
	now, then := time.Unix(2000, 0), time.Unix(1000, 0)
	var never time.Time
	for _, c := range []struct {
		expires, accepted, revoked time.Time
		waiting                    bool
		want                       invitation.State
		code                       string
	}{
		{now.Add(1), never, never, true, invitation.Pending, ""},
		{now, never, never, true, invitation.Expired, invitation.CodeExpired},
		{then, then, never, false, invitation.Accepted, invitation.CodeUsed},
		{then, never, then, false, invitation.Revoked, invitation.CodeRevoked},
		{now.Add(1), never, never, false, invitation.Overtaken, invitation.CodeOvertaken},
	} {
		got := invitation.StateOf(now, c.expires, c.accepted, c.revoked, c.waiting)
		if got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		err := got.Open("Northwind")
		if (err == nil) != (c.code == "") || err != nil && (fault.As(err).Code != c.code || fault.KindOf(err) != fault.Gone) {
			t.Errorf("%s: got %v", got, err)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		person connection.Person
		facts  connection.Facts
		want   invitation.Fit
	}{
		"vouched for":               {connection.Person{Email: "Dana@X.example", EmailVerified: connection.Yes}, connection.Facts{}, invitation.Fits},
		"silent in its own domain":  {connection.Person{Email: "dana@x.example"}, connection.Facts{DomainProven: true, DomainOwn: true}, invitation.Fits},
		"silent elsewhere":          {connection.Person{Email: "dana@x.example"}, connection.Facts{DomainProven: true}, invitation.Unproven},
		"denied":                    {connection.Person{Email: "dana@x.example", EmailVerified: connection.No}, connection.Facts{DomainOwn: true}, invitation.Unproven},
		"another address":           {connection.Person{Email: "eve@x.example", EmailVerified: connection.Yes}, connection.Facts{}, invitation.OtherAddress},
		"a look-alike":              {connection.Person{Email: "dana@x.example.evil.example", EmailVerified: connection.Yes}, connection.Facts{}, invitation.OtherAddress},
		"no address":                {connection.Person{EmailVerified: connection.Yes}, connection.Facts{}, invitation.OtherAddress},
		"a user's account":          {connection.Person{Email: "dana@x.example", EmailVerified: connection.Yes}, connection.Facts{Identity: "i"}, invitation.Known},
		"whom the directory knows":  {connection.Person{Email: "dana@x.example", EmailVerified: connection.Yes}, connection.Facts{ByKey: make([]connection.Record, 1)}, invitation.Known},
		"who was here and has left": {connection.Person{Email: "dana@x.example", EmailVerified: connection.Yes}, connection.Facts{Closed: true}, invitation.Fits},
	} {
		if got := invitation.Match("dana@x.example", c.person, c.facts); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
	if got := invitation.Match("", connection.Person{EmailVerified: connection.Yes}, connection.Facts{}); got != invitation.OtherAddress {
		t.Errorf("nobody is the one whom nothing names: got %d", got)
	}
}

// house is an organization with a tree, and roles of which some give others.
func house(t *testing.T) *access.Facts {
	t.Helper()
	catalogue, err := access.NewCatalogue([]access.Permission{{ID: "assets.read"}, {ID: "audit.read"}, {ID: "billing.read"}}, []access.Role{
		{ID: "viewer", Name: "Viewer", Permissions: []id.Permission{"assets.read"}},
		{ID: "auditor", Name: "Auditor", Permissions: []id.Permission{"audit.read"}},
		{ID: "clerk", Name: "Clerk", Permissions: []id.Permission{"billing.read"}},
		{ID: "manager", Name: "Manager", Permissions: []id.Permission{"users.manage"}, MayGrant: []id.Role{"viewer", "auditor", "clerk"}},
		{ID: "greeter", Name: "Greeter", Permissions: []id.Permission{"users.read"}, MayGrant: []id.Role{"viewer"}},
	}, [][]id.Role{{"auditor", "clerk"}})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := access.NewTree("northwind", "Northwind", []access.Resource{{ID: "emea", Name: "EMEA"}, {ID: "americas", Name: "Americas"}})
	if err != nil {
		t.Fatal(err)
	}
	return &access.Facts{Catalogue: catalogue, Tree: tree, Organization: access.Organization{
		ID: "northwind", Name: "Northwind", Available: []id.Role{access.Every}, DefaultRoles: []access.RoleAt{{Role: "viewer"}},
	}}
}

var checked = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// giver holds a role at a resource, until a time or for good.
func giver(ground *access.Facts, role, at string, until time.Time) access.Giver {
	who := *ground
	who.User = access.User{ID: "gil", Name: "Gil", Home: "northwind", Status: access.Active, Seated: true}
	who.Grants = []access.Grant{{ID: "g", User: "gil", Role: id.Role(role), Resource: id.Resource(at), Source: access.Manual, Expires: until}}
	return access.Giver{Access: access.Decide(&who, checked)}
}

func TestCheck_EachRowGetsItsOwnVerdict(t *testing.T) {
	t.Parallel()
	ground := house(t)
	role := func(roles ...string) (out []access.Want) {
		for _, r := range roles {
			name, at, found := strings.Cut(r, "@")
			if !found {
				at = "northwind"
			}
			out = append(out, access.Want{Role: id.Role(name), Resource: id.Resource(at)})
		}
		return out
	}
	operator, nobody := access.Giver{Operator: true}, time.Time{}
	holders := map[string]invitation.Holder{"here@x.example": {Name: "Hera"}, "asked@x.example": {Name: "Asa", Pending: true}}
	for name, c := range map[string]struct {
		giver   access.Giver
		domains []string
		free    int64
		rows    []invitation.Row
		want    []string // the codes
		kinds   []fault.Kind
	}{
		"an operator":                    {operator, nil, -1, []invitation.Row{{Email: "a@x.example"}, {Email: "b@x.example", Grants: role("auditor")}}, []string{"", ""}, nil},
		"no address":                     {operator, nil, -1, []invitation.Row{{Email: "nobody"}, {Email: "a@x.example", Fault: "Unreadable."}}, []string{invitation.CodeAddress, invitation.CodeAddress}, []fault.Kind{fault.Invalid, fault.Invalid}},
		"twice":                          {operator, nil, -1, []invitation.Row{{Email: "A@x.example"}, {Email: " a@X.example "}, {Email: "a@x.example"}}, []string{"", invitation.CodeTwice, invitation.CodeTwice}, []fault.Kind{-1, fault.Conflict, fault.Conflict}},
		"who is here, and who was asked": {operator, nil, -1, []invitation.Row{{Email: "HERE@x.example"}, {Email: "asked@x.example"}}, []string{invitation.CodeHere, invitation.CodeInvited}, []fault.Kind{fault.Conflict, fault.Conflict}},
		"a domain, in any case":          {operator, []string{"X.Example"}, -1, []invitation.Row{{Email: "a@x.example"}, {Email: "a@x.example.evil.example"}}, []string{"", invitation.CodeDomain}, []fault.Kind{-1, fault.Invalid}},
		"no seat at all":                 {operator, nil, 0, []invitation.Row{{Email: "a@x.example"}}, []string{invitation.CodeNoSeatNow}, []fault.Kind{-1}},
		"one seat, and rows that take none": {
			operator, nil, 1,
			[]invitation.Row{{Email: "nobody"}, {Email: "a@x.example"}, {Email: "b@x.example"}},
			[]string{invitation.CodeAddress, "", invitation.CodeNoSeatNow},
			nil,
		},
		"each set of roles for itself": {
			giver(ground, "manager", "northwind", nobody), nil, -1,
			[]invitation.Row{{Email: "a@x.example", Grants: role("viewer")}, {Email: "b@x.example", Grants: role("manager")}},
			[]string{"", access.CodeCeiling},
			[]fault.Kind{-1, fault.Forbidden},
		},
		"what must not be held together": {operator, nil, -1, []invitation.Row{{Email: "a@x.example", Grants: role("auditor", "clerk@emea")}}, []string{access.CodeExclusive}, []fault.Kind{fault.Conflict}},
		"no grant outlasts the giver's":  {giver(ground, "manager", "northwind", checked.AddDate(0, 0, 1)), nil, -1, []invitation.Row{{Email: "a@x.example", Grants: role("viewer")}}, []string{access.CodeOutlasts}, []fault.Kind{fault.Forbidden}},
		"who manages all needs no role":  {giver(ground, "manager", "northwind", nobody), nil, -1, []invitation.Row{{Email: "a@x.example"}}, []string{""}, nil},
		"who manages a part": {
			giver(ground, "manager", "emea", nobody), nil, -1,
			[]invitation.Row{{Email: "a@x.example"}, {Email: "b@x.example", Grants: role("viewer@emea")}},
			[]string{invitation.CodeReach, ""},
			[]fault.Kind{fault.Forbidden, -1},
		},
		"who sees and gives, and does not manage": {
			giver(ground, "greeter", "northwind", nobody), nil, -1,
			[]invitation.Row{{Email: "a@x.example"}, {Email: "b@x.example", Grants: role("viewer@emea")}},
			[]string{invitation.CodeReach, invitation.CodeReach},
			nil,
		},
		"a role that is none": {operator, nil, -1, []invitation.Row{{Email: "a@x.example", Grants: role("nothing")}}, []string{"invalid"}, []fault.Kind{fault.Invalid}},
	} {
		verdicts := invitation.Check(&invitation.Facts{Ground: ground, Giver: c.giver, AllowedDomains: c.domains, Holders: holders, Free: c.free}, c.rows, checked)
		var got []string
		for i, v := range verdicts {
			got = append(got, v.Code)
			err := v.Err()
			if (err == nil) != v.Send() || v.Code != "" && v.Said == "" {
				t.Errorf("%s: row %d: %+v is the refusal %v", name, i, v, err)
			}
			if i >= len(c.kinds) {
				continue
			}
			f := fault.As(err)
			if c.kinds[i] < 0 {
				if err != nil {
					t.Errorf("%s: row %d is refused: %v", name, i, err)
				}
			} else if f == nil || f.Kind != c.kinds[i] || f.Code != v.Code || (len(f.Fields) == 1) != (f.Kind == fault.Invalid) {
				t.Errorf("%s: row %d: got %v, want %s", name, i, err, c.kinds[i])
			}
		}
		if diff := cmp.Diff(got, c.want); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	lines := invitation.Check(&invitation.Facts{Ground: ground, Giver: operator, Free: -1}, []invitation.Row{
		{Line: 1, Email: "a@x.example"}, {Line: 2, Email: "a@x.example"}, {Email: "b@x.example"}, {Email: "b@x.example"},
	}, checked)
	if !strings.Contains(lines[1].Said, "line 1") || !strings.Contains(lines[3].Said, "row 3") {
		t.Errorf("where it stands already: %q, %q", lines[1].Said, lines[3].Said)
	}
	if got := invitation.Fold(" Dana@X.Example\n"); got != "dana@x.example" {
		t.Errorf("an address is compared as %q", got)
	}
}

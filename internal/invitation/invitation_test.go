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
}

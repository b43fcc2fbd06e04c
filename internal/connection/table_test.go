package connection_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
)

// way is one combination that a customer may run: what they sign in with, whether a directory pushes, whether newcomers are made.
type way struct {
	protocol     connection.Protocol
	scim, making bool
}

func (w way) String() string {
	return fmt.Sprintf("%s, SCIM %v, just in time %v", w.protocol, w.scim, w.making)
}

func (w way) connection() connection.Connection {
	c := connection.Connection{Organization: "northwind", ID: "corp", Protocol: w.protocol, Settings: connection.Settings{Provisioning: connection.DirectoryOnly}}
	if w.scim {
		c.Directory, c.Settings.Match = "entra", connection.Match{Claim: map[connection.Protocol]string{connection.OIDC: "oid", connection.SAML: "objectidentifier"}[w.protocol], Attribute: connection.ExternalID}
	}
	if w.making {
		c.Settings.Provisioning = connection.JustInTime
	}
	return c
}

// verified is the best a provider can say of an address: SAML says nothing of it.
func (w way) verified() connection.Verified {
	if w.protocol == connection.SAML {
		return connection.Unsaid
	}
	return connection.Yes
}

// facts are those that the store would load for this way: without a directory there are no records.
func (w way) facts(f connection.Facts) connection.Facts {
	if !w.scim {
		f.ByKey, f.ByEmail = nil, nil
	}
	return f
}

var ways = func() (all []way) {
	for _, p := range []connection.Protocol{connection.OIDC, connection.SAML} {
		for _, scim := range []bool{true, false} {
			for _, making := range []bool{true, false} {
				all = append(all, way{p, scim, making})
			}
		}
	}
	return all
}()

// The decision table, row by row, over every combination of OpenID and SAML, SCIM on and off, just in time on and off. Rows 15 and 17 to
// 20 are decided elsewhere and have their tests there: 15 in TestRefreshProfile… of the store (MayHold decides it, tested below), 17 to 19
// at the directory's doors, 20 where factors are demanded. Row 9 is as the model amends it: making people just in time beside a directory
// is the connection's choice.
func TestDecisionTable(t *testing.T) {
	t.Parallel()
	const email = "ann@northwind.example"
	own := connection.Facts{DomainProven: true, DomainOwn: true, DomainAllowed: true, SeatFree: true}
	with := func(changes ...func(*connection.Facts)) connection.Facts {
		f := own
		for _, change := range changes {
			change(&f)
		}
		return f
	}
	keyed := func(records ...connection.Record) func(*connection.Facts) {
		return func(f *connection.Facts) { f.ByKey, f.Taken = records, true }
	}
	mailed := func(records ...connection.Record) func(*connection.Facts) {
		return func(f *connection.Facts) { f.ByEmail, f.Taken = records, true }
	}
	refused := func(code connection.Code, user id.User) connection.Finding {
		return connection.Finding{Step: connection.Refuse, Code: code, User: user}
	}
	// made is what becomes of somebody whom nothing matches: the connection's choice.
	made := func(w way, code connection.Code) connection.Finding {
		switch {
		case !w.making:
			return refused(connection.CodeNotPushed, "")
		case code != "":
			return refused(code, "")
		}
		return connection.Finding{Step: connection.Create, How: connection.ByJustInTime}
	}
	same := func(f connection.Finding) func(way) connection.Finding {
		return func(way) connection.Finding { return f }
	}
	// pushed is what a directory's record decides, and otherwise what becomes of a stranger whose address somebody holds.
	pushed := func(f connection.Finding) func(way) connection.Finding {
		return func(w way) connection.Finding {
			if w.scim {
				return f
			}
			return made(w, connection.CodeEmailTaken)
		}
	}
	for _, row := range []struct {
		number string
		says   string
		person func(*connection.Person)
		facts  connection.Facts
		want   func(way) connection.Finding
	}{
		{
			"2", "identity known, user active", nil,
			with(func(f *connection.Facts) { f.Identity, f.User = "i1", connection.User{ID: ann} }),
			same(connection.Finding{Step: connection.SignIn, How: connection.ByIdentity, User: ann, Identity: "i1"}),
		},
		{
			"2b", "identity known: no address, no key and no domain matter", func(p *connection.Person) { p.Email, p.Match, p.EmailVerified = "", "", connection.No },
			connection.Facts{Identity: "i1", User: connection.User{ID: ann}},
			same(connection.Finding{Step: connection.SignIn, How: connection.ByIdentity, User: ann, Identity: "i1"}),
		},
		{
			"3", "identity known, deactivated by the directory: never reactivated", nil,
			with(func(f *connection.Facts) {
				f.Identity, f.User = "i1", connection.User{ID: ann, Standing: connection.Deactivated}
			}),
			same(refused(connection.CodeDeactivated, ann)),
		},
		{
			"3b", "identity known, suspended by an administrator", nil,
			with(func(f *connection.Facts) {
				f.Identity, f.User = "i1", connection.User{ID: ann, Standing: connection.Suspended}
			}),
			same(refused(connection.CodeSuspended, ann)),
		},
		{
			"4", "identity known, tombstone: no twin", nil,
			with(func(f *connection.Facts) {
				f.Identity, f.User = "i1", connection.User{ID: ann, Standing: connection.Deleted}
			}),
			same(refused(connection.CodeDeleted, ann)),
		},
		{
			"4b", "identity closed with its user: making never revives", nil,
			with(func(f *connection.Facts) { f.Closed = true }),
			func(w way) connection.Finding { return made(w, connection.CodeDeleted) },
		},
		{
			"5", "exactly one record with the key, not bound here", nil, with(keyed(record(ann, "k1"))),
			pushed(connection.Finding{Step: connection.Bind, How: connection.ByMatch, User: ann}),
		},
		{
			"5b", "the same, whose subject was closed before: the directory brought them back", nil,
			with(keyed(record(ann, "k1", func(r *connection.Record) { r.Bound = true })), func(f *connection.Facts) { f.Closed, f.Taken = true, false }),
			func(w way) connection.Finding {
				if w.scim {
					return connection.Finding{Step: connection.Bind, How: connection.ByMatch, User: ann}
				}
				return made(w, connection.CodeDeleted)
			},
		},
		{
			"6", "the record is bound to another subject", nil,
			with(keyed(record(ann, "k1", func(r *connection.Record) { r.Bound, r.BoundOpen = true, true }))),
			pushed(refused(connection.CodeBoundElse, ann)),
		},
		{"7", "several records with the key", nil, with(keyed(record(ann, "k1"), record(bob, "k1"))), pushed(refused(connection.CodeSeveral, ""))},
		{
			"8", "one record without key has the address, verified, in a proven domain", nil, with(mailed(record(ann, ""))),
			func(w way) connection.Finding {
				if w.scim && w.protocol == connection.OIDC {
					return connection.Finding{Step: connection.Bind, How: connection.ByAddress, User: ann}
				}
				return made(w, connection.CodeEmailTaken) // SAML says of no address that it is verified
			},
		},
		{
			"8b", "the same of a holder of a protected role", nil,
			with(mailed(record(ann, "", func(r *connection.Record) { r.Protected = true }))),
			func(w way) connection.Finding { return made(w, connection.CodeEmailTaken) },
		},
		{
			"8c", "the same, and both sides have keys that differ", nil, with(mailed(record(ann, "k2"))),
			pushed(connection.Finding{Step: connection.Refuse, Code: connection.CodeKeysDiffer, User: ann, Held: "k2"}),
		},
		{"9, 10, 13", "nothing matches and nobody holds the address", nil, own, func(w way) connection.Finding { return made(w, "") }},
		{
			"11", "the address is held by a record of this directory that may not be joined", nil,
			with(mailed(record(ann, "", func(r *connection.Record) { r.Bound = true }))),
			func(w way) connection.Finding { return made(w, connection.CodeEmailTaken) },
		},
		{
			"12", "the address is held by somebody of another door", nil, with(func(f *connection.Facts) { f.Taken = true }),
			func(w way) connection.Finding { return made(w, connection.CodeEmailTaken) },
		},
		{
			"14", "no address", func(p *connection.Person) { p.Email = "" }, own,
			func(w way) connection.Finding { return made(w, connection.CodeNoEmail) },
		},
		{
			"14b", "an address that the provider says is not verified", func(p *connection.Person) { p.EmailVerified = connection.No },
			with(mailed(record(ann, "")), func(f *connection.Facts) { f.Taken = false }),
			func(w way) connection.Finding { return made(w, connection.CodeUnverified) },
		},
		{
			"14c", "an address of a foreign domain", nil,
			with(mailed(record(ann, "")), func(f *connection.Facts) { f.DomainProven, f.DomainOwn, f.Taken = false, false, false }),
			func(w way) connection.Finding { return made(w, connection.CodeForeignDomain) },
		},
		{
			"14d", "nothing is said of the address, in another connection's domain", func(p *connection.Person) { p.EmailVerified = connection.Unsaid },
			with(func(f *connection.Facts) { f.DomainOwn = false }),
			func(w way) connection.Finding { return made(w, connection.CodeUnverified) },
		},
		{
			"16", "a second connection of the same person, by the address alone", nil, with(func(f *connection.Facts) { f.Taken = true }),
			func(w way) connection.Finding { return made(w, connection.CodeEmailTaken) },
		},
		{
			"seats", "a newcomer, and no seat is free", nil, with(func(f *connection.Facts) { f.SeatFree = false }),
			func(w way) connection.Finding { return made(w, connection.CodeNoSeat) },
		},
	} {
		t.Run("row "+row.number, func(t *testing.T) {
			t.Parallel()
			for _, w := range ways {
				p := connection.Person{Issuer: "https://idp", Subject: "s1", Match: "k1", Email: email, EmailVerified: w.verified()}
				if !w.scim {
					p.Match = ""
				}
				if row.person != nil {
					row.person(&p)
				}
				c := w.connection()
				got := connection.Find(c, p, w.facts(row.facts))
				if diff := cmp.Diff(got, row.want(w)); diff != "" {
					t.Errorf("%s (%s): got before want:\n%s", row.says, w, diff)
				}
				// What a test sign-in tells the administrator comes of the same facts, and there is always something.
				if why := connection.Explain(c, p, w.facts(row.facts), got); len(why) == 0 {
					t.Errorf("%s (%s): nothing is explained", row.says, w)
				}
			}
		})
	}
}

// Row 1: nobody falls back to another connection when theirs is closed.
func TestDecisionTable_Row1_AClosedConnectionLeadsNowhere(t *testing.T) {
	t.Parallel()
	f := connection.RouteFacts{Organization: "northwind", Known: true, Connection: "corp", Ways: []connection.Way{
		{Organization: "northwind", ID: "corp", Disabled: true}, {Organization: "northwind", ID: "other"},
	}}
	if got := connection.FindRoute(f); got.Step != connection.Blocked || got.Code != connection.CodeConnectionDisabled {
		t.Errorf("got %+v", got)
	}
}

// Row 15: an address that changed upstream is taken over only where a newcomer could hold it.
func TestDecisionTable_Row15_AChangedAddressIsATaken(t *testing.T) {
	t.Parallel()
	p := connection.Person{Email: "new@northwind.example", EmailVerified: connection.Yes}
	for want, f := range map[bool]connection.Facts{
		true:  {DomainProven: true, DomainOwn: true, DomainAllowed: true},
		false: {DomainProven: true, DomainOwn: true, DomainAllowed: true, Taken: true},
	} {
		if got := connection.MayHold(p, f); got != want {
			t.Errorf("taken %v: got %v", f.Taken, got)
		}
	}
}

// Several connections of one domain are a choice, never a guess.
func TestFindRoute_SeveralConnectionsOfOneDomainAreAChoice(t *testing.T) {
	t.Parallel()
	f := connection.RouteFacts{Ways: []connection.Way{
		{Organization: "northwind", ID: "a", Domains: []string{"northwind.example"}},
		{Organization: "northwind", ID: "b", Domains: []string{"northwind.example"}},
		{Organization: "northwind", ID: "c", Domains: []string{"other.example"}},
	}}
	f.Hinted.Domain, f.Hinted.Organization = "northwind.example", "northwind"
	got := connection.FindRoute(f)
	if got.Step != connection.Choose || len(got.Choices) != 2 {
		t.Errorf("two of three list it: %+v", got)
	}
	f.Ways[1].Disabled = true
	if got := connection.FindRoute(f); got.Step != connection.Go || got.Connection != "a" {
		t.Errorf("one open one lists it: %+v", got)
	}
	f.Hinted.Domain = "third.example"
	if got := connection.FindRoute(f); got.Step != connection.Choose || len(got.Choices) != 2 {
		t.Errorf("a domain that none lists: %+v", got)
	}
}

// Every provider's words and presets hold together, and every check has something to do about it.
func TestProviders(t *testing.T) {
	t.Parallel()
	for _, p := range connection.Providers {
		for _, protocol := range []connection.Protocol{connection.OIDC, connection.SAML} {
			if m := p.Match[protocol]; m.Claim == "" || m.Attribute == "" {
				t.Errorf("%s has no preset for %s", p.ID, protocol)
			}
			for _, check := range connection.Checks(protocol) {
				if connection.Fix(p, protocol, check) == "" {
					t.Errorf("%s: nothing to do about %s", p.ID, check)
				}
			}
		}
	}
	for address, want := range map[string]string{
		"https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555/v2.0": "entra", "https://acme.okta.com": "okta",
		"https://accounts.google.com": "google", "https://sso.example/realms/acme": "keycloak", "https://sts.example/adfs": "adfs",
		"https://okta.com.evil.example": "generic", "https://idp.example": "generic",
	} {
		c := connection.Connection{Protocol: connection.OIDC, Settings: connection.Settings{Issuer: address}}
		if got := connection.ProviderOf(c, "rfc").ID; got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := &connection.Directory{ID: "entra", Dialect: "entra", Key: connection.ExternalID}
	base := connection.Connection{Protocol: connection.OIDC, Directory: "entra", Settings: connection.Settings{Issuer: "https://login.microsoftonline.com/t/v2.0"}}
	base.Settings.Match = connection.Match{Claim: "sub", Attribute: connection.ExternalID}
	if got := connection.Warnings(base, dir); len(got) != 3 {
		t.Errorf("Entra by sub: %q", got)
	}
	base.Settings.Match.Claim = "oid"
	if got := connection.Warnings(base, dir); len(got) != 1 {
		t.Errorf("Entra as it should be, but for the mapping there: %q", got)
	}
}

package connection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
)

const (
	ann = id.User("ann")
	bob = id.User("bob")
)

func corp(change ...func(*connection.Connection)) connection.Connection {
	c := connection.Connection{
		Organization: "northwind", ID: "corp", Protocol: connection.OIDC, Directory: "entra",
		Settings: connection.Settings{
			Match:        connection.Match{Claim: "oid", Attribute: connection.ExternalID},
			Provisioning: connection.JustInTime,
		},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func directoryOnly(c *connection.Connection) { c.Settings.Provisioning = connection.DirectoryOnly }
func noDirectory(c *connection.Connection)   { c.Directory, c.Settings.Match = "", connection.Match{} }

func byAddress(c *connection.Connection) {
	c.Settings.Match = connection.Match{Claim: "email", Attribute: connection.UserName}
}

func record(user id.User, key string, change ...func(*connection.Record)) connection.Record {
	r := connection.Record{User: connection.User{ID: user}, Key: key, Active: true}
	for _, f := range change {
		f(&r)
	}
	return r
}

// Each row of the table in Find's comment, and what stands beside it.
func TestFind(t *testing.T) {
	t.Parallel()
	person := connection.Person{Issuer: "https://idp", Subject: "s1", Match: "k1", Email: "ann@northwind.example", EmailVerified: connection.Yes}
	// proven is the best an address can be: in a domain of the organization and of this connection, with room for one more.
	proven := func(f connection.Facts) connection.Facts {
		f.DomainProven, f.DomainOwn, f.DomainAllowed, f.SeatFree = true, true, true, true
		return f
	}
	refused := func(code connection.Code, user id.User) connection.Finding {
		return connection.Finding{Step: connection.Refuse, Code: code, User: user}
	}
	bound := func(how string, user id.User) connection.Finding {
		return connection.Finding{Step: connection.Bind, How: how, User: user}
	}
	created := connection.Finding{Step: connection.Create, How: connection.ByJustInTime}
	known := func(s connection.Standing) connection.Facts {
		return proven(connection.Facts{Identity: "i1", User: connection.User{ID: ann, Standing: s}})
	}
	keyed := func(r ...connection.Record) connection.Facts { return proven(connection.Facts{ByKey: r, Taken: true}) }
	mailed := func(r ...connection.Record) connection.Facts {
		return proven(connection.Facts{ByEmail: r, Taken: true})
	}
	standing := func(s connection.Standing) func(*connection.Record) {
		return func(r *connection.Record) { r.User.Standing = s }
	}
	openElsewhere := func(r *connection.Record) { r.Bound, r.BoundOpen = true, true }
	closedBefore := func(r *connection.Record) { r.Bound = true }
	with := func(change func(*connection.Person)) connection.Person {
		p := person
		change(&p)
		return p
	}
	without := func(f connection.Facts, change func(*connection.Facts)) connection.Facts {
		change(&f)
		return f
	}
	for name, tt := range map[string]struct {
		c    connection.Connection
		p    connection.Person
		f    connection.Facts
		want connection.Finding
	}{
		"identity known": {corp(), person, known(connection.Active), connection.Finding{
			Step: connection.SignIn, How: connection.ByIdentity, User: ann, Identity: "i1",
		}},
		"identity known, suspended":   {corp(), person, known(connection.Suspended), refused(connection.CodeSuspended, ann)},
		"identity known, deactivated": {corp(), person, known(connection.Deactivated), refused(connection.CodeDeactivated, ann)},
		"identity known, pending":     {corp(), person, known(connection.Pending), refused(connection.CodePending, ann)},
		"identity known, tombstone":   {corp(), person, known(connection.Deleted), refused(connection.CodeDeleted, ann)},
		"identity known, no seat":     {corp(), person, known(connection.Unseated), refused(connection.CodeOverLimit, ann)},

		"one record carries the key": {corp(), person, keyed(record(ann, "k1")), bound(connection.ByMatch, ann)},
		"the key needs no address": {
			corp(), with(func(p *connection.Person) { p.Email, p.EmailVerified = "", connection.No }),
			keyed(record(ann, "k1")), bound(connection.ByMatch, ann),
		},
		"several records carry the key":          {corp(), person, keyed(record(ann, "k1"), record(bob, "k1")), refused(connection.CodeSeveral, "")},
		"the record is another subject's":        {corp(), person, keyed(record(ann, "k1", openElsewhere)), refused(connection.CodeBoundElse, ann)},
		"the key binds a closed subject again":   {corp(), person, without(keyed(record(ann, "k1", closedBefore)), func(f *connection.Facts) { f.Closed = true }), bound(connection.ByMatch, ann)},
		"keyed record, suspended":                {corp(), person, keyed(record(ann, "k1", standing(connection.Suspended))), refused(connection.CodeSuspended, ann)},
		"keyed record, deactivated":              {corp(), person, keyed(record(ann, "k1", standing(connection.Deactivated))), refused(connection.CodeDeactivated, ann)},
		"keyed record, over the limit":           {corp(), person, keyed(record(ann, "k1", standing(connection.Unseated))), refused(connection.CodeOverLimit, ann)},
		"inactive record of an otherwise active": {corp(), person, keyed(record(ann, "k1", func(r *connection.Record) { r.Active = false })), refused(connection.CodeDeactivated, ann)},
		"an address as key, in a proven domain":  {corp(byAddress), with(func(p *connection.Person) { p.Match = p.Email }), keyed(record(ann, person.Email)), bound(connection.ByMatch, ann)},
		"an address as key, in a foreign domain": {
			corp(byAddress), with(func(p *connection.Person) { p.Match = p.Email }),
			connection.Facts{ByKey: []connection.Record{record(ann, person.Email)}, Taken: true},
			refused(connection.CodeForeignDomain, ""),
		},

		"email joins a record without key":     {corp(), person, mailed(record(ann, "")), bound(connection.ByAddress, ann)},
		"email, no key sent":                   {corp(), with(func(p *connection.Person) { p.Match = "" }), mailed(record(ann, "")), bound(connection.ByAddress, ann)},
		"email, record has another key":        {corp(), person, mailed(record(ann, "k2")), connection.Finding{Step: connection.Refuse, Code: connection.CodeKeysDiffer, User: ann, Held: "k2"}},
		"email, record has a key, none sent":   {corp(), with(func(p *connection.Person) { p.Match = "" }), mailed(record(ann, "k2")), refused(connection.CodeEmailTaken, "")},
		"email joins only once":                {corp(), person, mailed(record(ann, "", closedBefore)), refused(connection.CodeEmailTaken, "")},
		"email never a protected holder":       {corp(), person, mailed(record(ann, "", func(r *connection.Record) { r.Protected = true })), refused(connection.CodeEmailTaken, "")},
		"email, verified unsaid":               {corp(), with(func(p *connection.Person) { p.EmailVerified = connection.Unsaid }), mailed(record(ann, "")), refused(connection.CodeEmailTaken, "")},
		"email, verified false":                {corp(), with(func(p *connection.Person) { p.EmailVerified = connection.No }), mailed(record(ann, "")), refused(connection.CodeUnverified, "")},
		"email, domain not proven":             {corp(), person, without(mailed(record(ann, "")), func(f *connection.Facts) { f.DomainProven = false }), refused(connection.CodeForeignDomain, "")},
		"email, two records":                   {corp(), person, mailed(record(ann, ""), record(bob, "")), refused(connection.CodeEmailTaken, "")},
		"email, suspended":                     {corp(), person, mailed(record(ann, "", standing(connection.Suspended))), refused(connection.CodeSuspended, ann)},
		"email, subject was closed":            {corp(), person, without(mailed(record(ann, "")), func(f *connection.Facts) { f.Closed = true }), refused(connection.CodeDeleted, "")},
		"email, without a directory":           {corp(noDirectory), person, mailed(record(ann, "")), refused(connection.CodeEmailTaken, "")},
		"nobody, directory only":               {corp(directoryOnly), person, proven(connection.Facts{}), refused(connection.CodeNotPushed, "")},
		"just in time":                         {corp(), person, proven(connection.Facts{}), created},
		"just in time without directory":       {corp(noDirectory), person, proven(connection.Facts{}), created},
		"just in time, verified unsaid, own":   {corp(), with(func(p *connection.Person) { p.EmailVerified = connection.Unsaid }), proven(connection.Facts{}), created},
		"just in time, unsaid, not own domain": {corp(), with(func(p *connection.Person) { p.EmailVerified = connection.Unsaid }), without(proven(connection.Facts{}), func(f *connection.Facts) { f.DomainOwn = false }), refused(connection.CodeUnverified, "")},
		"just in time, verified, not own":      {corp(), person, without(proven(connection.Facts{}), func(f *connection.Facts) { f.DomainOwn = false }), created},
		"just in time, verified false":         {corp(), with(func(p *connection.Person) { p.EmailVerified = connection.No }), proven(connection.Facts{}), refused(connection.CodeUnverified, "")},
		"just in time, domain not proven":      {corp(), person, without(proven(connection.Facts{}), func(f *connection.Facts) { f.DomainProven = false }), refused(connection.CodeForeignDomain, "")},
		"just in time, domain not allowed":     {corp(), person, without(proven(connection.Facts{}), func(f *connection.Facts) { f.DomainAllowed = false }), refused(connection.CodeForeignDomain, "")},
		"just in time, no address":             {corp(), with(func(p *connection.Person) { p.Email = "" }), proven(connection.Facts{}), refused(connection.CodeNoEmail, "")},
		"just in time, address held":           {corp(), person, without(proven(connection.Facts{}), func(f *connection.Facts) { f.Taken = true }), refused(connection.CodeEmailTaken, "")},
		"just in time never revives":           {corp(), person, without(proven(connection.Facts{}), func(f *connection.Facts) { f.Closed = true }), refused(connection.CodeDeleted, "")},
		"just in time, seats gone":             {corp(), person, without(proven(connection.Facts{}), func(f *connection.Facts) { f.SeatFree = false }), refused(connection.CodeNoSeat, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(connection.Find(tt.c, tt.p, tt.f), tt.want); diff != "" {
				t.Errorf("got before want:\n%s", diff)
			}
		})
	}
}

// Whatever the facts are: nobody signs in whose user is not active, and no address that the provider does not vouch for joins
// anybody to a record.
func TestFind_NeverLetsAnybodyElseIn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) connection.Record {
			return connection.Record{
				User:   connection.User{ID: ann, Standing: connection.Standing(rapid.IntRange(0, 5).Draw(t, name+" standing"))},
				Key:    rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, name+" key"),
				Active: rapid.Bool().Draw(t, name+" active"), Bound: rapid.Bool().Draw(t, name+" bound"),
				BoundOpen: rapid.Bool().Draw(t, name+" open"), Protected: rapid.Bool().Draw(t, name+" protected"),
			}
		}
		p := connection.Person{
			Subject: "s", Match: rapid.SampledFrom([]string{"", "k1"}).Draw(t, "match"), Email: "ann@northwind.example",
			EmailVerified: connection.Verified(rapid.IntRange(0, 2).Draw(t, "verified")),
		}
		f := connection.Facts{
			Closed: rapid.Bool().Draw(t, "closed"), DomainProven: rapid.Bool().Draw(t, "proven"), DomainOwn: rapid.Bool().Draw(t, "own"),
			DomainAllowed: rapid.Bool().Draw(t, "allowed"), Taken: rapid.Bool().Draw(t, "taken"), SeatFree: rapid.Bool().Draw(t, "seat"),
		}
		var from connection.Record
		if rapid.Bool().Draw(t, "known") {
			f.Identity, f.User = "i", draw("user").User
			from.User = f.User
		} else if rapid.Bool().Draw(t, "keyed") {
			from = draw("keyed")
			f.ByKey = []connection.Record{from}
		} else if rapid.Bool().Draw(t, "mailed") {
			from = draw("mailed")
			f.ByEmail = []connection.Record{from}
		}
		got := connection.Find(corp(), p, f)
		if got.Step == connection.SignIn || got.Step == connection.Bind {
			if from.User.Standing != connection.Active {
				t.Fatalf("%+v signs in somebody of standing %d", got, from.User.Standing)
			}
		}
		if got.Step == connection.Bind && from.BoundOpen {
			t.Fatalf("%+v re-binds", got)
		}
		if got.How == connection.ByAddress && (p.EmailVerified != connection.Yes || !f.DomainProven || from.Protected || from.Key != "" || f.Closed) {
			t.Fatalf("%+v joins by an address: %+v %+v", got, p, f)
		}
		if got.Step == connection.Create && (p.EmailVerified == connection.No || !f.DomainProven || f.Taken || f.Closed || !f.SeatFree) {
			t.Fatalf("%+v makes a user: %+v %+v", got, p, f)
		}
		if got.Step == connection.Refuse && got.Code == "" {
			t.Fatal("a refusal without a code")
		}
	})
}

package signin_test

import (
	"testing"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

func (w *world) facts(c connection.Connection, p connection.Person) (f connection.Facts) {
	w.t.Helper()
	w.write(func(tx *store.Tx) (err error) {
		f, err = tx.SignInFacts(w.ctx, c, p)
		return err
	})
	return f
}

// A record is found by its key as its directory compares it, within the connection's directory, and by an address that this
// directory itself has told of.
func TestFacts_WhichRecordsAPersonMayBe(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: northwind, ID: "okta", Name: "Okta", Dialect: "okta", Key: directory.KeyUserName})
			c := w.connection(northwind, "okta-in", w.other.URL, nil)
			c.Directory = "okta"
			tx.PutDeclaredConnection(c)
			return nil
		}))
		// One person of two directories, each with an address of its own.
		w.write(func(tx *store.Tx) error {
			u, err := tx.CreateJustInTime(w.ctx, store.NewUser{Email: "two@northwind.example"}, administrator)
			if err != nil {
				return err
			}
			tx.AttachIdentity(w.ctx, "corp", u.ID, connection.Person{Issuer: w.idp.URL, Subject: "two", Match: "oid-two"})
			tx.AttachIdentity(w.ctx, "okta-in", u.ID, connection.Person{Issuer: w.other.URL, Subject: "two", Match: "Two"})
			return nil
		})
		two := w.push("oid-two", "Two", "two@northwind.example")
		w.write(func(tx *store.Tx) error {
			by := w.pusher()
			by.Directory = directory.Directory{ID: "okta", Name: "Okta", Dialect: "okta", Key: directory.KeyUserName}
			result, err := by.User.Create(w.attributes("", "two", "two@okta.example", true), by.Dialect)
			if err != nil {
				return err
			}
			made, refusal, err := tx.Push(by).CreateUser(w.ctx, result, scim.Want{})
			if err == nil && refusal == nil && made.ID != string(two) {
				t.Errorf("okta's record is %s, want %s", made.ID, two)
			}
			if err == nil {
				err = refusal
			}
			return err
		})
		w.push("oid-1", "Team-1", "team@northwind.example")
		w.push("oid-2", "Team-2", "team@northwind.example")

		corp := w.connection(northwind, "corp", w.idp.URL, nil)
		okta := corp
		okta.ID, okta.Directory = "okta-in", "okta"
		byName, byAddress := corp, corp
		byName.Settings.Match.Attribute, byAddress.Settings.Match.Attribute = connection.UserName, connection.Emails
		for name, c := range map[string]struct {
			way        connection.Connection
			person     connection.Person
			key, email int
		}{
			"externalId":                   {corp, connection.Person{Match: "oid-1"}, 1, 0},
			"externalId is exact":          {corp, connection.Person{Match: "OID-1"}, 0, 0},
			"another directory's":          {okta, connection.Person{Match: "oid-1"}, 0, 0},
			"userName in other letters":    {byName, connection.Person{Match: "TEAM-1"}, 1, 0},
			"an address that two have":     {byAddress, connection.Person{Match: "Team@northwind.example"}, 2, 0},
			"email that two have":          {corp, connection.Person{Email: "team@northwind.example"}, 0, 2},
			"email in other letters":       {corp, connection.Person{Email: "TWO@northwind.example"}, 0, 1},
			"email another directory told": {corp, connection.Person{Email: "two@okta.example"}, 0, 0},
			"and its own directory":        {okta, connection.Person{Email: "two@okta.example"}, 0, 1},
		} {
			c.person.Issuer, c.person.Subject = w.idp.URL, "nobody-yet"
			f := w.facts(c.way, c.person)
			if len(f.ByKey) != c.key || len(f.ByEmail) != c.email || f.Identity != "" {
				t.Errorf("%s: %d by key, %d by address (%q), want %d and %d", name, len(f.ByKey), len(f.ByEmail), f.Identity, c.key, c.email)
			}
		}
		// A subject is one of a connection: the same words of another connection's provider are somebody else's.
		if f := w.facts(corp, connection.Person{Issuer: w.idp.URL, Subject: "two"}); f.User.ID != two {
			t.Errorf("the identity: %+v", f)
		}
		if f := w.facts(okta, connection.Person{Issuer: w.idp.URL, Subject: "two"}); f.Identity != "" {
			t.Errorf("another connection's identity: %+v", f)
		}
	})
}

// What an address is worth: whose domain it lies in, and whether somebody holds it.
func TestFacts_WhatAnAddressIsWorth(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-zoe", "zoe@northwind.example", "z@northwind.example")
		w.write(func(tx *store.Tx) error {
			_, err := tx.Invite(w.ctx, administrator, []invitation.Row{{Email: "new@northwind.example"}}, store.InviteOptions{URL: w.app.URL})
			return err
		})
		corp := w.connection(northwind, "corp", w.idp.URL, nil)
		second := corp
		second.ID = "second"
		lists := second
		lists.Settings.Domains = []string{"northwind.example"}
		type worth struct{ proven, own, allowed, taken, invited bool }
		for name, c := range map[string]struct {
			way   connection.Connection
			email string
			want  worth
		}{
			"free":                         {corp, "ann@northwind.example", worth{true, true, true, false, false}},
			"another connection's domain":  {second, "ann@northwind.example", worth{true, false, true, false, false}},
			"a domain it lists":            {lists, "ann@northwind.example", worth{true, true, true, false, false}},
			"another organization's":       {corp, "ann@southwind.example", worth{false, false, false, false, false}},
			"held as an address":           {corp, "Z@northwind.example", worth{true, true, true, true, false}},
			"held as a userName":           {corp, "Zoe@northwind.example", worth{true, true, true, true, false}},
			"held by who was invited":      {corp, "NEW@northwind.example", worth{true, true, true, true, true}},
			"nobody's domain":              {corp, "ann@nobody.example", worth{}},
			"a domain within a proven one": {corp, "ann@sub.northwind.example", worth{}},
		} {
			f := w.facts(c.way, connection.Person{Issuer: w.idp.URL, Subject: "nobody-yet", Email: c.email})
			if got := (worth{f.DomainProven, f.DomainOwn, f.DomainAllowed, f.Taken, f.Invited}); got != c.want || !f.SeatFree {
				t.Errorf("%s: got %+v, want %+v", name, got, c.want)
			}
		}
		// The store refuses the same again, whoever asks.
		for email, userName := range map[string]string{"z@northwind.example": "other", "ZOE@northwind.example": "", "x@northwind.example": "Zoe@northwind.example"} {
			err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
				_, err := tx.CreateJustInTime(w.ctx, store.NewUser{Email: email, UserName: userName}, administrator)
				return err
			})
			if f := fault.As(err); f == nil || f.Code != "address-taken" {
				t.Errorf("%s, %s: %v", email, userName, err)
			}
		}
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: northwind, Name: "Northwind Energy", SeatLimit: 1})
			tx.In(northwind).BumpOrganization(w.ctx)
			return nil
		}))
		if f := w.facts(corp, connection.Person{Issuer: w.idp.URL, Subject: "nobody-yet", Email: "ann@northwind.example"}); f.SeatFree {
			t.Error("a seat is free beyond the limit")
		}
		err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
			_, err := tx.CreateJustInTime(w.ctx, store.NewUser{Email: "ann@northwind.example"}, administrator)
			return err
		})
		if f := fault.As(err); f == nil || f.Code != "no-seat" {
			t.Errorf("made beyond the limit: %v", err)
		}
	})
}

// The provider renames whom it made, and not who came by an invitation.
func TestSignIn_WhoWasInvitedIsNotRenamed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var user id.User
		w.write(func(tx *store.Tx) error {
			made, err := tx.Invite(w.ctx, administrator, []invitation.Row{{Email: "ann@northwind.example", Name: "Ann as invited"}}, store.InviteOptions{URL: w.app.URL})
			if err != nil {
				return err
			}
			u, err := tx.AcceptInvitation(w.ctx, store.Acceptance{Invitation: made[0].ID, TokenHash: made[0].TokenHash, By: "corp"}, administrator)
			if err != nil {
				return err
			}
			user = u.ID
			tx.AttachIdentity(w.ctx, "corp", user, connection.Person{Issuer: w.idp.URL, Subject: "sub-ann"})
			return nil
		})
		w.idp.person["name"] = "Ann by the provider"
		if s := w.mustSignIn(); s.User != user || s.DisplayName != "Ann as invited" {
			t.Errorf("%s is called %q", s.User, s.DisplayName)
		}
	})
}

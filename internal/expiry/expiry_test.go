package expiry_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/expiry"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func TestList_HasEverythingThatEndsInOrder(t *testing.T) {
	t.Parallel()
	cert := func(days time.Duration) *x509.Certificate {
		return &x509.Certificate{NotBefore: now.Add(-365 * day), NotAfter: now.Add(days * day)}
	}
	saml := connection.Connection{ID: "saml", Name: "ADFS", Protocol: connection.SAML}
	careless := saml
	careless.ID, careless.Settings.SAML.IgnoreCertificateDates = "careless", true
	off := saml
	off.ID, off.Settings.Disabled = "off", true
	oidc := connection.Connection{ID: "entra", Name: "Entra", Protocol: connection.OIDC, Settings: connection.Settings{ClientSecretExpires: "2026-03-10"}}
	keyed := oidc
	keyed.ID, keyed.Settings.AuthMethod = "keyed", connection.PrivateKey
	got := expiry.List(expiry.Facts{
		Directories: []directory.Directory{
			{ID: "entra", Name: "Entra", Tokens: []directory.Token{
				{ID: "old", Source: directory.TokenFromFile, Expires: now.Add(-day)},
				{ID: "new", Source: directory.TokenFromFile, Expires: now.Add(90 * day), LastUsed: now},
				{ID: "ever", Source: directory.TokenFromFile},
			}},
			{ID: "okta", Name: "Okta", Tokens: []directory.Token{{ID: "x", Prefix: "vsc_ab", Expires: now.Add(5 * day)}}},
		},
		Connections: []expiry.Connection{
			{Connection: saml, SAML: expiry.SAML{
				Provider: []*x509.Certificate{cert(3), cert(40)},
				Keys: []expiry.OwnKey{
					{ID: "k", Purpose: "signing", Certificate: cert(7000)}, {ID: "f", Purpose: "signing", Former: true, Certificate: cert(1)},
				},
			}},
			{Connection: careless, SAML: expiry.SAML{Provider: []*x509.Certificate{cert(3)}}},
			{Connection: off, SAML: expiry.SAML{Provider: []*x509.Certificate{cert(3)}}},
			{Connection: oidc},
			{Connection: keyed},
		},
		Proofs: []expiry.Proof{
			{Domain: "proven.example", Proof: connection.Proof{Verified: now}},
			{Domain: "failing.example", Proof: connection.Proof{Verified: now, Failing: now.Add(-day)}},
			{Domain: "lapsed.example", Proof: connection.Proof{Lapsed: now.Add(-2 * day)}},
		},
		Relationships: []expiry.Served{{Provider: "fieldserv", Client: "northwind", Expires: now.Add(20 * day)}, {Provider: "a", Client: "northwind"}},
		Exceptions:    []expiry.Timed{{ID: "1", Person: "ann", Expires: now.Add(2 * day)}, {ID: "2", Person: "over", Expires: now}},
		Invitations:   []expiry.Timed{{ID: "3", Person: "dana", Expires: now.Add(10 * day)}, {ID: "4", Person: "late", Expires: now.Add(-1)}},
	}, now)
	var list []string
	for _, i := range got {
		said := i.What + " " + i.At.Format(time.DateOnly)
		if i.Spare {
			said += " spare"
		}
		if !i.Told {
			said += " untold"
		}
		list = append(list, said)
	}
	want := []string{
		"The proof of lapsed.example 2026-02-27",
		"The token old of Entra 2026-02-28 spare",
		"The exception of ann from single sign-on 2026-03-03",
		"The token vsc_ab… of Okta 2026-03-06",
		"The proof of failing.example 2026-03-07",
		"The client secret of Entra 2026-03-10",
		"The invitation of dana 2026-03-11 untold",
		"What northwind allowed fieldserv 2026-03-21",
		"The certificate of ADFS 2026-04-10",
		"The token new of Entra 2026-05-30",
		"Our signing key towards ADFS 2045-04-30",
	}
	if diff := cmp.Diff(list, want); diff != "" {
		t.Error(diff)
	}
}

// told plays the hours from a moment on, and gives the steps that were told, with the days after the start.
func told(i expiry.Item, hours int) (steps []int) {
	var known expiry.Told
	for h := range hours {
		at := now.Add(time.Duration(h) * time.Hour)
		if step, due := expiry.Due(i, known, at); due {
			known = expiry.Told{At: i.At, Step: step}
			steps = append(steps, step)
		}
	}
	return steps
}

func TestDue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		item expiry.Item
		want []int
	}{
		"known for long":                {expiry.Item{Told: true, At: now.Add(100 * day)}, []int{60, 30, 14, 7, 1, 0}},
		"first seen near its end":       {expiry.Item{Told: true, At: now.Add(10 * day)}, []int{14, 7, 1, 0}},
		"made for twenty days":          {expiry.Item{Told: true, Made: now, At: now.Add(20 * day)}, []int{14, 7, 1, 0}},
		"made for an hour":              {expiry.Item{Told: true, Made: now, At: now.Add(time.Hour)}, []int{0}},
		"over for two days":             {expiry.Item{Told: true, At: now.Add(-2 * day)}, []int{0}},
		"over for a year":               {expiry.Item{Told: true, At: now.Add(-365 * day)}, nil},
		"another does its work already": {expiry.Item{Told: true, Spare: true, At: now.Add(10 * day)}, []int{14, 7, 1}},
		"only in the list":              {expiry.Item{At: now.Add(100 * day)}, nil},
	} {
		if diff := cmp.Diff(told(c.item, 200*24), c.want); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDue_BeginsAnewWhenTheEndMoves(t *testing.T) {
	t.Parallel()
	i := expiry.Item{Told: true, At: now.Add(5 * day)}
	if step, due := expiry.Due(i, expiry.Told{At: i.At.Add(-30 * day), Step: 0}, now); !due || step != 7 {
		t.Errorf("got %d, %t", step, due)
	}
}

func TestTone(t *testing.T) {
	t.Parallel()
	for days, want := range map[time.Duration]string{61: "", 60: "info", 30: "warn", 8: "warn", 1: "bad", 0: "bad", -9: "bad"} {
		if got := expiry.Tone(now.Add(days*day), now); got != want {
			t.Errorf("%d days: got %q, want %q", days, got, want)
		}
	}
}

// Applications that were given a certificate by hand stop when its key does, so operators are told of that key and of no other.
func TestOfInstallation_TellsOfTheKeyThatApplicationsHold(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var told []string
	for _, i := range expiry.OfInstallation(expiry.Installation{Keys: []expiry.Signing{
		{ID: "a", Algorithm: "ES256", State: "active", Activates: made},
		{ID: "b", Algorithm: expiry.Assertions, State: "active", Activates: made},
		{ID: "c", Algorithm: expiry.Assertions, State: "next", Activates: made.Add(expiry.AssertionKeyLife)},
		{ID: "d", Algorithm: expiry.Assertions, State: "retiring", Activates: made, Retires: made},
	}}) {
		if i.Told {
			told = append(told, i.ID+" "+i.At.Format(time.DateOnly))
		}
	}
	if d := cmp.Diff(told, []string{"signing-key/b 2029-10-31"}); d != "" {
		t.Errorf("told, got - want +\n%s", d)
	}
}

// Package expiry knows what ends: it lists everything of an organization that expires or is renewed, says what happens then and
// where that is mended, and on which days ahead people are told. It decides over loaded facts and touches no database.
package expiry

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Kind is a kind of thing that ends.
type Kind string

// The kinds.
const (
	Token        Kind = "token"        // a directory's
	ClientSecret Kind = "secret"       // ours, at an upstream OpenID Provider
	Certificate  Kind = "certificate"  // an upstream SAML provider's
	Key          Kind = "key"          // ours, towards a SAML provider
	Domain       Kind = "domain"       // a proof that has begun to fail
	Relationship Kind = "relationship" // between a provider and whom it serves
	Exception    Kind = "exception"    // from single sign-on
	Invitation   Kind = "invitation"
	SetupLink    Kind = "setup-link"
)

// About is a kind as pages show it.
type About struct {
	Kind Kind
	Name string
}

// Kinds are those of an organization, in the order of pages.
var Kinds = []About{
	{Token, "Tokens of directories"},
	{ClientSecret, "Client secrets"},
	{Certificate, "Certificates of SAML providers"},
	{Key, "Our keys towards SAML providers"},
	{Domain, "Proofs of domains"},
	{Relationship, "Provider relationships"},
	{Exception, "Exceptions from single sign-on"},
	{Invitation, "Invitations"},
	{SetupLink, "Setup links"},
}

// Item is one thing that ends.
type Item struct {
	Kind  Kind
	ID    string // the same after a renewal, which changes At alone
	What  string // "The token main of Entra"
	Made  time.Time
	At    time.Time
	Then  string        // what happens, as a sentence, and what prevents it
	Path  string        // the page of the organization's console where it is mended
	Where string        // what the link there says
	For   id.Permission // whoever holds it everywhere in the organization may see it
	// Told says that people are told ahead. What they gave an end on purpose, to a person, only stands in the list.
	Told bool
	// Spare says that something else does its work, so that nothing stops when it ends.
	Spare bool
}

// Over says that it has ended.
func (i Item) Over(now time.Time) bool { return !now.Before(i.At) }

// SAML is what is known of a connection's certificates.
type SAML struct {
	Provider []*x509.Certificate // of the approved metadata
	Keys     []OwnKey
}

// OwnKey is one of our keys towards a SAML provider.
type OwnKey struct {
	ID, Purpose string
	Former      bool // decrypts what still comes, and is not missed
	Certificate *x509.Certificate
}

// Connection is a connection with what it holds that ends.
type Connection struct {
	connection.Connection
	SAML SAML
}

// Proof is a claimed domain.
type Proof struct {
	Domain string
	connection.Proof
}

// Served is a provider relationship, seen from one of its sides.
type Served struct {
	Provider, Client id.Organization
	Made, Expires    time.Time
}

// Timed is something of a person's with an end: an invitation, an exception.
type Timed struct {
	ID, Person    string
	Made, Expires time.Time
}

// Facts is everything List looks at.
type Facts struct {
	Directories   []directory.Directory // with their tokens
	Connections   []Connection
	Proofs        []Proof
	Relationships []Served
	Exceptions    []Timed
	Invitations   []Timed
	SetupLinks    []Timed
}

// List gives everything that ends, what ends first first. Invitations, exceptions and setup links that are over are not in it: nothing is left to
// be done about them.
func List(f Facts, now time.Time) []Item {
	var out []Item
	for i := range f.Directories {
		out = append(out, tokens(&f.Directories[i], now)...)
	}
	for _, c := range f.Connections {
		if c.Settings.Disabled {
			continue
		}
		out = append(out, ofConnection(c)...)
	}
	for _, p := range f.Proofs {
		item := Item{
			Kind: Domain, ID: "domain/" + p.Domain, What: "The proof of " + p.Domain,
			Then: "Nobody is made just in time for it and nobody is led to a connection by it, until its record stands in the DNS again.",
			Path: "domains", Where: "See domains", For: access.ConnectionsManage, Told: true,
		}
		switch {
		case !p.Lapsed.IsZero():
			item.At = p.Lapsed
		case !p.Failing.IsZero() && !p.Verified.IsZero():
			item.Made, item.At = p.Failing, p.Failing.Add(connection.ProofGrace)
		default:
			continue
		}
		out = append(out, item)
	}
	for _, r := range f.Relationships {
		if r.Expires.IsZero() {
			continue
		}
		out = append(out, Item{
			Kind: Relationship, ID: "relationship/" + string(r.Provider) + "/" + string(r.Client), Made: r.Made, At: r.Expires,
			What: fmt.Sprintf("What %s allowed %s", r.Client, r.Provider),
			Then: fmt.Sprintf("The people of %s have no access in %s any more. Whoever keeps the operator's file can allow it for longer.", r.Provider, r.Client),
			For:  access.ConnectionsManage, Told: true,
		})
	}
	for _, e := range f.Exceptions {
		out = append(out, Item{
			Kind: Exception, ID: "exception/" + e.ID, What: "The exception of " + e.Person + " from single sign-on", Made: e.Made, At: e.Expires,
			Then: e.Person + " comes in through the organization's provider alone.", Path: "rules", Where: "See exceptions",
			For: access.ConnectionsManage, Told: true,
		})
	}
	for _, i := range f.Invitations {
		out = append(out, Item{
			Kind: Invitation, ID: "invitation/" + i.ID, What: "The invitation of " + i.Person, Made: i.Made, At: i.Expires,
			Then: "Its link opens nothing any more. Sending it once more renews it.", Path: "invitations/" + i.ID, Where: "Open it", For: access.UsersRead,
		})
	}
	for _, l := range f.SetupLinks {
		out = append(out, Item{
			Kind: SetupLink, ID: "setup-link/" + l.ID, What: "The setup link for " + l.Person, Made: l.Made, At: l.Expires,
			Then: "It opens nothing any more. What was set up through it stays; who has not finished needs another one.",
			Path: "setup-links", Where: "See setup links", For: access.ConnectionsManage,
		})
	}
	out = slices.DeleteFunc(out, func(i Item) bool {
		return i.Over(now) && (i.Kind == Exception || i.Kind == Invitation || i.Kind == SetupLink)
	})
	slices.SortFunc(out, func(a, b Item) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out
}

func tokens(d *directory.Directory, now time.Time) []Item {
	var out []Item
	for i := range d.Tokens {
		t := &d.Tokens[i]
		if t.Expires.IsZero() {
			continue
		}
		item := Item{
			Kind: Token, ID: "token/" + string(d.ID) + "/" + t.ID, What: "The token " + t.Name() + " of " + d.Name, Made: t.Created, At: t.Expires,
			Then: "Make a second one and enter it there before that day, or " + d.Name + " cannot reach us.",
			Path: "directories/" + string(d.ID) + "/tokens", Where: "See its tokens", For: access.ConnectionsManage, Told: true,
		}
		// A client proves itself without a token; a token that lasts longer and was used is what the provider shows by now.
		item.Spare = len(d.Clients) > 0 || slices.ContainsFunc(d.Tokens, func(o directory.Token) bool {
			return o.ID != t.ID && o.Live(now) && (o.Expires.IsZero() || o.Expires.After(t.Expires)) && !o.LastUsed.IsZero()
		})
		switch {
		case item.Spare && item.Over(now):
			item.Then = "It opens nothing any more and can be taken away."
		case item.Spare:
			item.Then = d.Name + " has another way in, which it uses already; this one can be taken away."
		case item.Over(now):
			item.Then = d.Name + " cannot reach us with it. Enter one there that is good."
		}
		out = append(out, item)
	}
	return out
}

func ofConnection(c Connection) []Item {
	var out []Item
	page := "connections/" + string(c.ID)
	if at := c.Settings.SecretEnds(); !at.IsZero() && c.Protocol == connection.OIDC && c.Settings.AuthMethod != connection.PrivateKey {
		out = append(out, Item{
			Kind: ClientSecret, ID: "secret/" + string(c.ID), What: "The client secret of " + c.Name, At: at,
			Then: "Nobody signs in through " + c.Name + " then. Make a new secret at the provider, enter it here, and the day it ends.",
			Path: page, Where: "Open " + c.Name, For: access.ConnectionsManage, Told: true,
		})
	}
	if c.Protocol != connection.SAML {
		return out
	}
	if certs := c.SAML.Provider; len(certs) > 0 && !c.Settings.SAML.IgnoreCertificateDates {
		// What matters is the last one to end: an older one beside a newer one is a rollover.
		last := slices.MaxFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		out = append(out, Item{
			Kind: Certificate, ID: "certificate/" + string(c.ID), What: "The certificate of " + c.Name, Made: last.NotBefore, At: last.NotAfter,
			Then: "Without a newer one nobody signs in through it then.",
			Path: page + "/keys", Where: "See its certificates", For: access.ConnectionsManage, Told: true,
		})
	}
	for _, k := range c.SAML.Keys {
		if k.Former {
			continue
		}
		out = append(out, Item{
			Kind: Key, ID: "key/" + string(c.ID) + "/" + k.ID, What: "Our " + k.Purpose + " key towards " + c.Name,
			Made: k.Certificate.NotBefore, At: k.Certificate.NotAfter,
			Then: "A provider that looks at the date refuses us then. Make the next key, and put it in use once the provider knows it.",
			Path: page + "/keys", Where: "See our keys", For: access.ConnectionsManage, Told: true,
		})
	}
	return out
}

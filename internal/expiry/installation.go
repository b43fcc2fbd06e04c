package expiry

import (
	"cmp"
	"slices"
	"time"
)

// The kinds of the installation, beside those of an organization.
const (
	APIToken   Kind = "api-token"   // of the admin API, with operator rights
	SigningKey Kind = "signing-key" // of what applications get
)

// SigningKeyLife is how long a key signs before the next one does.
const SigningKeyLife = 90 * 24 * time.Hour

// InstallationKinds are those of the installation.
var InstallationKinds = []About{{APIToken, "API tokens"}, {SigningKey, "Signing keys"}}

// Signing is a signing key of the installation.
type Signing struct {
	ID, Algorithm string
	State         string // next, active, retiring
	Activates     time.Time
	Retires       time.Time // of a retiring one
}

// Installation is what the installation's own calendar is made of. Of a token, Person is its name.
type Installation struct {
	Tokens []Timed
	Keys   []Signing
}

// Assertions stands for an algorithm with the keys of the SAML identity provider towards applications.
const Assertions = "SAML"

// AssertionKeyLife is how long such a key signs, and AssertionKeyAhead how long its successor is published before it does.
const (
	AssertionKeyLife  = 3 * 365 * 24 * time.Hour
	AssertionKeyAhead = 60 * 24 * time.Hour
)

// OfInstallation gives everything of the installation that ends, what ends first first. Keys renew themselves, so nobody is told of
// them; that one does not is the node's own alarm. Only the key of assertions is held by applications that never look again.
func OfInstallation(f Installation) []Item {
	var out []Item
	for _, t := range f.Tokens {
		out = append(out, Item{
			Kind: APIToken, ID: "api-token/" + t.ID, What: "The API token " + t.Person, Made: t.Made, At: t.Expires, Told: true,
			Then: "Whatever calls the admin API with it is refused. “vestibule token create --operator” makes another one.",
		})
	}
	for _, k := range f.Keys {
		item := Item{Kind: SigningKey, ID: "signing-key/" + k.ID, What: "The signing key " + k.ID + " (" + k.Algorithm + ")", Made: k.Activates, Spare: true}
		switch k.State {
		case "active":
			item.At = k.Activates.Add(SigningKeyLife)
			item.Then = "The next key signs; it is published a day before by itself. Nothing is to be done."
			if k.Algorithm == Assertions {
				// Nobody but its operators can tell the applications that were given a certificate by hand.
				item.At, item.Told, item.Spare = k.Activates.Add(AssertionKeyLife), true, false
				item.What = "The key that signs assertions for SAML applications"
				item.Then = "The next key signs, and applications that do not know its certificate refuse everybody. It is in our metadata for sixty days before: " +
					"applications that read that by themselves need nothing, all others are given it by hand."
			}
		case "retiring":
			if k.Algorithm == Assertions {
				continue // what it signed is over already
			}
			item.At, item.Then = k.Retires, "It is published no longer: the last token that it signed is over by then. Nothing is to be done."
		default:
			continue
		}
		out = append(out, item)
	}
	slices.SortFunc(out, func(a, b Item) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out
}

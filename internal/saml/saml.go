package saml

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Binding is how a message travels (SAML Bindings section 3).
type Binding string

// The two front-channel bindings. SOAP and Artifact make us or the provider call the other from the back: not served.
const (
	Redirect Binding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	Post     Binding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

// The NameID formats that are treated by name (SAML Core section 8.3). All others are kept as they come.
const (
	Unspecified  = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	EmailAddress = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	Persistent   = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	Transient    = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
)

// Endpoint is one address of a provider for one binding. ResponseURL, if it differs, takes the answers (Metadata 2.2.2).
type Endpoint struct {
	Binding     Binding
	URL         string
	ResponseURL string
}

// Key is one key pair of ours, with the certificate that carries its public half into our metadata.
type Key struct {
	Private     crypto.Signer // to decrypt it must be a crypto.Decrypter as well, which *rsa.PrivateKey is
	Certificate *x509.Certificate
	Former      bool // published no more; it only opens what the provider still encrypts to it
}

// ServiceProvider is us as one connection's provider knows us. The first key of each list is in use, those after it are
// published so that the provider knows them before they are: the next signing key signs nothing yet, every encryption key
// decrypts.
type ServiceProvider struct {
	EntityID   string
	ACS        string // assertion consumer service, HTTP-POST
	SLO        string // single logout service, both bindings; empty: none
	Signing    []Key
	Encryption []Key
}

// IdentityProvider is what an administrator approved of the other side. Nothing in a message can add to it.
type IdentityProvider struct {
	EntityID           string
	SSO                []Endpoint
	SLO                []Endpoint
	Certificates       []*x509.Certificate
	WantSignedRequests bool
}

// Signed says which signatures a connection demands. Whatever it says, the assertion is covered by one.
type Signed int

// The policies.
const (
	SignedEither    Signed = iota // the response or the assertion
	SignedAssertion               // the assertion itself
	SignedResponse                // the response around it
	SignedBoth
)

// Settings are a connection's choices. The zero value is what a new connection begins with.
type Settings struct {
	ClockSkew              time.Duration // 0 means DefaultClockSkew
	Signed                 Signed
	SignRequests           bool   // sign although the provider's metadata does not ask
	NameIDFormat           string // asked for in requests; empty means Unspecified
	NoNameIDPolicy         bool   // ask for none: the provider's own settings decide
	AllowUnsolicited       bool   // responses nobody asked for (IdP-initiated)
	AllowTransient         bool   // the identity's key is an attribute, so a NameID of one session does no harm
	IgnoreCertificateDates bool   // the provider means the key, and lets its certificate lapse
}

// DefaultClockSkew is how far clocks may differ where a connection does not say.
const DefaultClockSkew = time.Minute

// maxAge is how long after its making a message may arrive. A response travels through one browser in one redirect; what
// is older was kept by someone.
const maxAge = 5 * time.Minute

// Connection is one provider, us towards it, and the choices between. It holds no state and may be used concurrently.
type Connection struct {
	SP       ServiceProvider
	IdP      IdentityProvider
	Settings Settings
	Now      func() time.Time
}

func (c *Connection) skew() time.Duration {
	if c.Settings.ClockSkew == 0 {
		return DefaultClockSkew
	}
	return c.Settings.ClockSkew
}

// NameID is who the provider says somebody is. Together with the issuer all four fields are the identity's key: the same
// value under another format or qualifier is somebody else (SAML Core section 2.2.2). Compared byte for byte.
type NameID struct {
	Value           string
	Format          string // Unspecified where the provider left it out (SAML Core section 8.3.1)
	NameQualifier   string
	SPNameQualifier string
}

// Attribute is one claim of the provider's.
type Attribute struct {
	Name         string
	NameFormat   string
	FriendlyName string
	Values       []string
}

// Assertion is what a provider said and every check of this package believed.
type Assertion struct {
	ID                  string
	Issuer              string
	IssuedAt            time.Time
	Subject             NameID
	Attributes          []Attribute
	SessionIndex        string // needed to end the session at the provider; may be empty
	AuthenticatedAt     time.Time
	AuthnContext        string    // class reference: how the provider says it authenticated
	NotOnOrAfter        time.Time // of the confirmation that was accepted
	SessionNotOnOrAfter time.Time // caps our session; zero where the provider sets no cap
	Unsolicited         bool      // IdP-initiated
	Encrypted           bool
	SignedBy            string    // SHA-256 fingerprint of the certificate whose key verified
	ReplayUntil         time.Time // from then on its own times refuse it, and its id may be forgotten
}

// Values gives all values of the attribute of that name, in the order they came.
func (a *Assertion) Values(name string) []string {
	var all []string
	for _, attribute := range a.Attributes {
		if attribute.Name == name {
			all = append(all, attribute.Values...)
		}
	}
	return all
}

// Single gives an attribute that is mapped to one value. Two different values are refused: whoever can add a second one
// must not choose which of them counts.
func (a *Assertion) Single(name string) (value string, found bool, err error) {
	for _, v := range a.Values(name) {
		if found && v != value {
			return "", false, refuse(CheckAttribute, "attribute %.200q has more than one value", name)
		}
		value, found = v, true
	}
	return value, found, nil
}

// Replay remembers the ids of one connection's messages. Consume is called within the transaction that makes the session,
// so that of two nodes that got the same response one wins; it reports false if the id was there already.
type Replay interface {
	Consume(ctx context.Context, id string, until time.Time) (fresh bool, err error)
}

// Once refuses an assertion that was used before. The standard demands it of bearer assertions (Profiles section 4.1.4.5).
func (a *Assertion) Once(ctx context.Context, r Replay) error {
	return once(ctx, r, a.ID, a.ReplayUntil)
}

func once(ctx context.Context, r Replay, id string, until time.Time) error {
	fresh, err := r.Consume(ctx, id, until)
	if err != nil {
		return fmt.Errorf("consume message %.100q: %w", id, err)
	}
	if !fresh {
		return refuse(CheckReplay, "message %.100q was used before", id)
	}
	return nil
}

// Check names one thing that must hold before a message is believed.
type Check string

// The checks.
const (
	CheckShape        Check = "shape"         // the bytes: size, XML, structure
	CheckStatus       Check = "status"        // the provider reports success
	CheckIssuer       Check = "issuer"        // it is from the provider
	CheckDestination  Check = "destination"   // it was sent to this address
	CheckRequest      Check = "request"       // it answers our request, or none was needed
	CheckDecryption   Check = "decryption"    // one of our keys opens it, and what is inside is signed
	CheckSignature    Check = "signature"     // a pinned certificate's key signed it
	CheckTime         Check = "time"          // it is of now
	CheckAudience     Check = "audience"      // it is meant for us
	CheckSubject      Check = "subject"       // it names somebody, by a bearer confirmation for us
	CheckAuthnContext Check = "authn-context" // how and when the person signed in is what was asked
	CheckAttribute    Check = "attribute"     // a mapped attribute can be read in one way only
	CheckReplay       Check = "replay"        // it was not used before
)

// Checks lists them in the order in which a response is read: a refused one has passed those before its Check. Issuer,
// destination and request are asked twice, of the response before any key is touched and of the verified assertion.
var Checks = []Check{
	CheckShape, CheckStatus, CheckIssuer, CheckDestination, CheckRequest, CheckDecryption, CheckSignature, CheckTime,
	CheckAudience, CheckSubject, CheckAuthnContext, CheckAttribute, CheckReplay,
}

// Refusal is why a message was not believed. Its text is for the audit log and the administrator of the connection; it
// holds addresses and names of algorithms, nothing from inside an assertion. The person before the browser gets the one
// sentence of the fault it unwraps to, whatever the cause, since the person may be the attacker.
type Refusal struct {
	Check  Check
	Reason string
	Status *Status // what the provider answered, where Check is CheckStatus
}

// Status is the provider's own refusal (SAML Core section 3.2.2). Its text is anyone's: the response need not be signed.
type Status struct {
	Code    string // the top-level code
	SubCode string
	Message string // at most 300 bytes; escape it
}

func (r *Refusal) Error() string { return string(r.Check) + ": " + r.Reason }

// Unwrap gives the fault that a person may see.
func (r *Refusal) Unwrap() error {
	return fault.New(fault.Unauthenticated,
		"The answer of your organization's identity provider could not be accepted. Start again; if it happens again, your administrator finds the cause in the audit log.").
		WithCode("saml-refused")
}

func refuse(check Check, format string, args ...any) *Refusal {
	return &Refusal{Check: check, Reason: fmt.Sprintf(format, args...)}
}

// rescue turns a panic below into a refusal. The XML libraries are fed by strangers, and have panicked on their input
// before (a CBC text of odd length, an assertion without a Subject).
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = refuse(CheckShape, "reading it panicked: %.200v", p)
	}
}

// Fingerprint is the SHA-256 of a certificate in hexadecimal, as administrators compare it.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

var errWeakKey = errors.New("the key is not RSA of 2048 to 8192 bits, nor ECDSA on P-256 or P-384")

// strong says whether a certificate's key may sign anything we read. RSA below 2048 bits is within reach of an attacker;
// above 8192 every verification costs the attacker less than us.
func strong(cert *x509.Certificate) error {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= 2048 && bits <= 8192 {
			return nil
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
	}
	return errWeakKey
}

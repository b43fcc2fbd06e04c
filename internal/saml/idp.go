package saml

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Issuer is us as an identity provider, as all applications know us. The first signing key is in use; those after it are
// published so that applications hold them before they are.
type Issuer struct {
	EntityID string
	SSO      string // single sign-on service, both bindings
	SLO      string // single logout service, both bindings
	Signing  []Key
	Now      func() time.Time
}

// Party is an application as its operator registered it. Nothing in a message can add to it.
type Party struct {
	EntityID string
	ACS      string // assertion consumer service, HTTP-POST
	// SLO is where it takes our logout messages; none: it takes none.
	SLO []Endpoint
	// Certificates verify its messages. With any, a request without a signature by one of them is refused; without, it can ask for no
	// logout, since anyone could.
	Certificates []*x509.Certificate
	// Encryption is the certificate its assertions are encrypted to; nil: they are not.
	Encryption *x509.Certificate
}

// AuthnQuery is an application's AuthnRequest, believed as far as there was anything to believe it by (Core 3.4.1).
type AuthnQuery struct {
	ID          string
	Issuer      string
	RelayState  string // goes back as it came; at most MaxRelayState bytes
	ForceAuthn  bool
	IsPassive   bool
	LoginHint   string // the subject asked for
	ReplayUntil time.Time
	// What is asked of the answer. Refusal says what of it no answer of ours can hold.
	NameIDFormat    string
	SPNameQualifier string
	Comparison      string // of the contexts: exact where it is not said
	Contexts        []string
	Refusal         *Answer
}

// Answer is a status that is not a success, as an application is told it (Core 3.2.2.2).
type Answer struct {
	Code    string
	SubCode string
	Message string // for a person; nothing of ours that is secret
}

// The statuses we answer with.
const (
	Requester           = "urn:oasis:names:tc:SAML:2.0:status:Requester"
	Responder           = "urn:oasis:names:tc:SAML:2.0:status:Responder"
	AuthnFailed         = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
	InvalidNameIDPolicy = "urn:oasis:names:tc:SAML:2.0:status:InvalidNameIDPolicy"
	NoAuthnContext      = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
	NoPassive           = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"
	RequestDenied       = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
	RequestUnsupported  = "urn:oasis:names:tc:SAML:2.0:status:RequestUnsupported"
	UnsupportedBinding  = "urn:oasis:names:tc:SAML:2.0:status:UnsupportedBinding"
	ContextUnspecified  = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
	ContextTypedOverTLS = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	ContextTyped        = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
)

// MaxRelayState bounds what an application may have given back to it. Bindings 3.4.3 says 80 bytes; applications put
// addresses of their own there that are longer, and it is theirs alone to read.
const MaxRelayState = 1024

// AssertionLifetime is how long an assertion may be presented: as long as one form takes, and clocks differ.
const AssertionLifetime = 5 * time.Minute

// ReadAuthnRequest reads an application's request by either binding. Until the application is known and the address that it
// wants its answer at is the one registered, whatever is wrong stays on a page of ours: an answer sent where a message says is
// how an assertion is stolen. Party gives what is registered under an entity id, nil for none.
func (i *Issuer) ReadAuthnRequest(in Incoming, party func(entityID string) *Party) (query *AuthnQuery, err error) {
	defer rescue(&err)
	el, q, err := unverified(in, "SAMLRequest", "AuthnRequest", false)
	if err != nil {
		return nil, err
	}
	if len(q.relayState) > MaxRelayState || len(in.Form["RelayState"]) > 1 {
		return nil, refuse(CheckShape, "a RelayState of %d bytes, or several", len(q.relayState))
	}
	if err := header(el); err != nil {
		return nil, err
	}
	issuer, err := issuerOf(el)
	if err != nil {
		return nil, err
	}
	registered := party(issuer)
	if registered == nil {
		return nil, refuse(CheckIssuer, "no application is registered as %.200q", issuer)
	}
	signed := len(registered.Certificates) > 0
	if signed {
		if el, err = i.verified(el, in.Binding, q, registered); err != nil {
			return nil, err
		}
		// Only what was signed is read from here on.
		if err := header(el); err != nil {
			return nil, err
		}
		if again, err := issuerOf(el); err != nil || again != issuer {
			return nil, refuse(CheckIssuer, "the signature covers another issuer")
		}
	}
	// A signed message says where it was sent, so that nobody sends it on (Bindings 3.4.5.2, 3.5.5.2).
	if destination, given := attr(el, "Destination"); (given || signed) && destination != i.SSO {
		return nil, refuse(CheckDestination, "destination %.200q, not %s", destination, i.SSO)
	}
	issued, err := i.fresh(el)
	if err != nil {
		return nil, err
	}
	if acs, given := attr(el, "AssertionConsumerServiceURL"); given && acs != registered.ACS {
		return nil, refuse(CheckRequest, "the answer is asked for at %.200q, which is not registered", acs)
	}
	query = &AuthnQuery{
		ID: attrValue(el, "ID"), Issuer: issuer, RelayState: q.relayState, ForceAuthn: boolean(el, "ForceAuthn"),
		IsPassive: boolean(el, "IsPassive"), ReplayUntil: issued.Add(maxAge + 2*DefaultClockSkew),
	}
	if err := query.read(el); err != nil {
		return nil, err
	}
	return query, nil
}

// read takes what is asked of the answer. By now an answer can be given, so what cannot be met is told there.
func (q *AuthnQuery) read(el *etree.Element) error {
	if binding, given := attr(el, "ProtocolBinding"); given && binding != string(Post) {
		q.Refusal = &Answer{Requester, UnsupportedBinding, "Answers are posted by forms only."}
	}
	policy, err := only(el, nsProtocol, "NameIDPolicy")
	if err != nil {
		return err
	}
	if policy != nil {
		// AllowCreate is not asked for: our names for people are made at first use, and most applications leave it out.
		q.NameIDFormat, q.SPNameQualifier = attrValue(policy, "Format"), attrValue(policy, "SPNameQualifier")
	}
	subject, err := only(el, nsAssertion, "Subject")
	if err != nil {
		return err
	}
	if subject != nil {
		// Like a login_hint: it chooses where the person signs in, and proves nothing.
		if named, err := nameID(subject); err == nil && (named.Format == EmailAddress || named.Format == Unspecified) && strings.Contains(named.Value, "@") {
			q.LoginHint = strings.TrimSpace(named.Value)
		}
	}
	asked, err := only(el, nsProtocol, "RequestedAuthnContext")
	if err != nil || asked == nil {
		return err
	}
	q.Comparison = attrValue(asked, "Comparison")
	if q.Comparison == "" {
		q.Comparison = "exact" // Core 3.3.2.2.1
	}
	for _, class := range children(asked, nsAssertion, "AuthnContextClassRef") {
		value, err := text(class)
		if err != nil {
			return err
		}
		q.Contexts = append(q.Contexts, strings.TrimSpace(value))
	}
	if len(q.Contexts) == 0 || len(q.Contexts) > 20 || !slices.Contains([]string{"exact", "minimum", "maximum", "better"}, q.Comparison) {
		q.Refusal = &Answer{Responder, NoAuthnContext, "Authentication contexts are asked for by up to twenty class references."}
	}
	return nil
}

func (i *Issuer) verified(el *etree.Element, binding Binding, q *signedQuery, registered *Party) (*etree.Element, error) {
	// A registered certificate stands for its key, as in metadata: who lets it lapse has not given the key away.
	if binding == Redirect {
		if q.signature == nil {
			return nil, refuse(CheckSignature, "the query is not signed, and this application registered a certificate")
		}
		return el, verifyOctets(q.octets, q.signature, q.algorithm, registered.Certificates, i.Now(), true)
	}
	if signatureOf(el) == nil {
		return nil, refuse(CheckSignature, "the request is not signed, and this application registered a certificate")
	}
	el, _, err := verify(el, registered.Certificates, i.Now(), true)
	return el, err
}

func issuerOf(el *etree.Element) (string, error) {
	issuer, err := only(el, nsAssertion, "Issuer")
	if err != nil {
		return "", err
	}
	if issuer == nil {
		return "", refuse(CheckIssuer, "%s without an issuer", el.Tag)
	}
	if format, given := attr(issuer, "Format"); given && format != formatEntity {
		return "", refuse(CheckIssuer, "issuer of format %.100q", format)
	}
	return text(issuer)
}

func (i *Issuer) fresh(el *etree.Element) (time.Time, error) {
	issued, err := instant(el, "IssueInstant")
	if err != nil {
		return issued, err
	}
	return issued, (&Connection{Now: i.Now}).fresh(el, i.Now())
}

// Statement is what we say about somebody who signed in.
type Statement struct {
	Subject             NameID
	Attributes          []Attribute
	SessionIndex        string
	AuthenticatedAt     time.Time // zero: not known, and then the moment of the answer is said
	AuthnContext        string
	SessionNotOnOrAfter time.Time
}

// Respond makes the form that carries an assertion to an application: posted to the address registered, for one audience,
// in answer to one request (Profiles 4.1.4.2). Assertion and response are signed, once each.
func (i *Issuer) Respond(to *Party, inResponseTo, relayState string, s Statement) (out *Outgoing, err error) {
	defer rescue(&err)
	el, out := i.response(to, inResponseTo, &Answer{Code: statusSuccess})
	assertion := i.assertion(to, inResponseTo, s, out.IssuedAt)
	if err := sign(assertion, i.Signing[0]); err != nil {
		return nil, err
	}
	if to.Encryption == nil {
		el.AddChild(assertion)
	} else if err := encrypt(el, assertion, to.Encryption); err != nil {
		return nil, err
	}
	return i.post(out, el, relayState)
}

// Refuse makes the form that tells an application that nobody is signed in, and why. It is signed too, so that nobody else can
// say so.
func (i *Issuer) Refuse(to *Party, inResponseTo, relayState string, a Answer) (out *Outgoing, err error) {
	defer rescue(&err)
	el, out := i.response(to, inResponseTo, &a)
	return i.post(out, el, relayState)
}

func (i *Issuer) response(to *Party, inResponseTo string, a *Answer) (*etree.Element, *Outgoing) {
	us := &Connection{SP: ServiceProvider{EntityID: i.EntityID}, Now: i.Now}
	el, out := us.message("Response", Post, to.ACS)
	el.CreateAttr("InResponseTo", inResponseTo)
	status := add(el, "samlp:Status", "")
	code := add(status, "samlp:StatusCode", "", "Value", a.Code)
	if a.SubCode != "" {
		add(code, "samlp:StatusCode", "", "Value", a.SubCode)
	}
	if a.Message != "" {
		add(status, "samlp:StatusMessage", a.Message)
	}
	return el, out
}

func (i *Issuer) post(out *Outgoing, el *etree.Element, relayState string) (*Outgoing, error) {
	us := &Connection{SP: ServiceProvider{EntityID: i.EntityID, Signing: i.Signing}, Now: i.Now}
	return us.dispatch(out, el, "SAMLResponse", relayState, true)
}

func (i *Issuer) assertion(to *Party, inResponseTo string, s Statement, now time.Time) *etree.Element {
	until := stamp(now.Add(AssertionLifetime))
	el := etree.NewElement("saml:Assertion")
	el.CreateAttr("xmlns:saml", nsAssertion)
	el.CreateAttr("ID", newID())
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", stamp(now))
	add(el, "saml:Issuer", i.EntityID)
	subject := add(el, "saml:Subject", "")
	add(subject, "saml:NameID", s.Subject.Value, "Format", s.Subject.Format, "NameQualifier", s.Subject.NameQualifier,
		"SPNameQualifier", s.Subject.SPNameQualifier)
	// No Address: who asked and who posts the answer may come by different ways, and it is nobody's business.
	add(add(subject, "saml:SubjectConfirmation", "", "Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer"), "saml:SubjectConfirmationData", "",
		"InResponseTo", inResponseTo, "NotOnOrAfter", until, "Recipient", to.ACS)
	// A minute back, for an application whose clock is behind.
	conditions := add(el, "saml:Conditions", "", "NotBefore", stamp(now.Add(-DefaultClockSkew)), "NotOnOrAfter", until)
	add(add(conditions, "saml:AudienceRestriction", ""), "saml:Audience", to.EntityID)
	at := s.AuthenticatedAt
	if at.IsZero() {
		at = now
	}
	authn := add(el, "saml:AuthnStatement", "", "AuthnInstant", stamp(at), "SessionIndex", s.SessionIndex)
	if !s.SessionNotOnOrAfter.IsZero() {
		authn.CreateAttr("SessionNotOnOrAfter", stamp(s.SessionNotOnOrAfter))
	}
	add(add(authn, "saml:AuthnContext", ""), "saml:AuthnContextClassRef", s.AuthnContext)
	var said *etree.Element
	for _, a := range s.Attributes {
		if len(a.Values) == 0 {
			continue
		}
		if said == nil {
			said = add(el, "saml:AttributeStatement", "") // one without attributes is not lawful (Core 2.7.3)
		}
		attribute := add(said, "saml:Attribute", "", "Name", a.Name, "NameFormat", "urn:oasis:names:tc:SAML:2.0:attrname-format:basic")
		for _, v := range a.Values {
			add(attribute, "saml:AttributeValue", v)
		}
	}
	return el
}

// encrypt puts an assertion into a response so that only the application reads it: AES-256-GCM under a fresh key, which is
// wrapped by RSA-OAEP (Core section 6, XML Encryption 1.1 sections 5.2.4 and 5.5.2). OAEP's digest is SHA-1, where its
// collisions do not matter, since that is the form that every library opens.
func encrypt(response, assertion *etree.Element, to *x509.Certificate) error {
	public, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return errors.New("the encryption certificate's key is not RSA")
	}
	plain, err := serialize(assertion)
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	sealed, err := sealGCM(key, plain)
	if err != nil {
		return err
	}
	wrapped, err := wrapOAEP(public, key)
	if err != nil {
		return err
	}
	outer := add(response, "saml:EncryptedAssertion", "")
	data := add(outer, "xenc:EncryptedData", "", "xmlns:xenc", nsEncrypted, "Type", nsEncrypted+"Element")
	add(data, "xenc:EncryptionMethod", "", "Algorithm", nsEncrypt11+"aes256-gcm")
	wrap := add(add(data, "ds:KeyInfo", "", "xmlns:ds", nsSignature), "xenc:EncryptedKey", "")
	add(add(wrap, "xenc:EncryptionMethod", "", "Algorithm", nsEncrypted+"rsa-oaep-mgf1p"), "ds:DigestMethod", "", "Algorithm", nsSignature+"sha1")
	add(add(wrap, "xenc:CipherData", ""), "xenc:CipherValue", base64.StdEncoding.EncodeToString(wrapped))
	add(add(data, "xenc:CipherData", ""), "xenc:CipherValue", base64.StdEncoding.EncodeToString(sealed))
	return nil
}

// Metadata is what applications are given of us: our name, where to send requests, and the certificate of every key, the next
// one too, so that they hold it before it signs.
func (i *Issuer) Metadata() (raw []byte, err error) {
	defer rescue(&err)
	entity := etree.NewElement("md:EntityDescriptor")
	entity.CreateAttr("xmlns:md", nsMetadata)
	entity.CreateAttr("xmlns:ds", nsSignature)
	entity.CreateAttr("entityID", i.EntityID)
	// Whether requests are signed is each application's own matter: what registered a certificate must.
	role := add(entity, "md:IDPSSODescriptor", "", "WantAuthnRequestsSigned", "false", "protocolSupportEnumeration", nsProtocol)
	for _, key := range i.Signing {
		data := add(add(add(role, "md:KeyDescriptor", "", "use", "signing"), "ds:KeyInfo", ""), "ds:X509Data", "")
		add(data, "ds:X509Certificate", base64.StdEncoding.EncodeToString(key.Certificate.Raw))
	}
	for _, binding := range []Binding{Redirect, Post} {
		add(role, "md:SingleLogoutService", "", "Binding", string(binding), "Location", i.SLO)
	}
	for _, format := range []string{Persistent, EmailAddress, Unspecified} {
		add(role, "md:NameIDFormat", format)
	}
	for _, binding := range []Binding{Redirect, Post} {
		add(role, "md:SingleSignOnService", "", "Binding", string(binding), "Location", i.SSO)
	}
	body, err := serialize(entity)
	if err != nil {
		return nil, err
	}
	return append([]byte(`<?xml version="1.0" encoding="UTF-8"?>`+"\n"), body...), nil
}

// ReadCertificate reads a certificate as an operator gives it: PEM, or the base64 that stands in metadata. Its refusals are
// sentences for the operator.
func ReadCertificate(given string) (*x509.Certificate, error) {
	bad := func(format string, args ...any) (*x509.Certificate, error) {
		return nil, fault.New(fault.Invalid, format, args...)
	}
	given = strings.TrimSpace(given)
	var der []byte
	if strings.HasPrefix(given, "-----") {
		block, rest := pem.Decode([]byte(given))
		switch {
		case block == nil:
			return bad("This is not PEM.")
		case block.Type != "CERTIFICATE":
			return bad("This is a PEM block of type %.40q; a certificate is wanted, and never a private key.", block.Type)
		case len(bytes.TrimSpace(rest)) > 0:
			return bad("There is more than one PEM block; one certificate is wanted.")
		}
		der = block.Bytes
	} else {
		var err error
		if der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(given), "")); err != nil {
			return bad("This is neither PEM nor base64.")
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return bad("This is not an X.509 certificate.")
	}
	if err := strong(cert); err != nil {
		return bad("The certificate cannot be used: %v.", err)
	}
	return cert, nil
}

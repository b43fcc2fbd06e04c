package saml

import (
	"crypto/x509"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
)

const (
	statusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"
	methodBearer  = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	formatEntity  = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

	longestName = 1024 // bytes of a NameID; the standard ends at 256, some directories' distinguished names do not
)

// Expectation is what the attempt under way asked for.
type Expectation struct {
	RequestID          string    // the id of our AuthnRequest; empty: none, the response comes unasked
	AuthnContexts      []string  // one of these class references, if any is named
	AuthenticatedAfter time.Time // for ForceAuthn: when the request was made; zero: any time
}

// ReadResponse reads the form posted to the assertion consumer service. It believes the assertion only after every check
// but the last: the caller consumes it with Once in the transaction that makes the session, and ends the attempt whether it
// was believed or not, so that nobody asks twice with one.
func (c *Connection) ReadResponse(form url.Values, want Expectation) (assertion *Assertion, err error) {
	defer rescue(&err)
	encoded, err := single(form, "SAMLResponse")
	if err != nil {
		return nil, err
	}
	raw, err := decodeBase64(encoded, messageLimits.bytes)
	if err != nil {
		return nil, err
	}
	return c.readResponse(raw, want)
}

func single(form url.Values, name string) (string, error) {
	values := form[name]
	if len(values) != 1 || values[0] == "" {
		return "", refuse(CheckShape, "%d %s in the message, not one", len(values), name)
	}
	return values[0], nil
}

func (c *Connection) readResponse(raw []byte, want Expectation) (*Assertion, error) {
	now := c.Now()
	root, err := parse(raw, messageLimits)
	if err != nil {
		return nil, err
	}
	if !is(root, nsProtocol, "Response") {
		return nil, refuse(CheckShape, "the message is %.100q, not a Response", root.Tag)
	}
	if err := shape(root); err != nil {
		return nil, err
	}
	// Before any key is touched: whoever wants us to work on his cipher texts must start an attempt for each.
	if err := c.envelope(root, want); err != nil {
		return nil, err
	}
	// Read while nothing is verified yet, so that a message without the signature that the connection demands costs nothing.
	plain, encrypted := children(root, nsAssertion, "Assertion"), children(root, nsAssertion, "EncryptedAssertion")
	if len(plain)+len(encrypted) != 1 {
		return nil, refuse(CheckShape, "%d assertions, not one", len(plain)+len(encrypted))
	}
	whole := signatureOf(root) != nil
	if !whole && (c.Settings.Signed == SignedResponse || c.Settings.Signed == SignedBoth) {
		return nil, refuse(CheckSignature, "the response is not signed, and this connection demands it")
	}
	verified := root
	var signer *x509.Certificate
	if whole {
		if verified, signer, err = c.verify(root); err != nil {
			return nil, err
		}
		if err := c.envelope(verified, want); err != nil {
			return nil, err
		}
	}

	var el *etree.Element
	switch {
	case len(plain) == 1 && signatureOf(plain[0]) != nil:
		// In its place in the document as received: verified apart it has lost no prefix that its signature counts on.
		el, signer, err = c.verify(plain[0])
	case len(plain) == 1 && whole:
		el, err = the(verified, "Assertion")
	case len(plain) == 1:
		err = refuse(CheckSignature, "neither the response nor the assertion is signed")
	default:
		var sealed *etree.Element
		if sealed, err = the(verified, "EncryptedAssertion"); err == nil {
			el, signer, err = c.opened(sealed, root, signer)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(plain) == 1 && signatureOf(plain[0]) == nil && (c.Settings.Signed == SignedAssertion || c.Settings.Signed == SignedBoth) {
		return nil, refuse(CheckSignature, "the assertion is not signed, and this connection demands it")
	}

	if err := c.fresh(verified, now); err != nil {
		return nil, err
	}
	a, err := c.believe(el, want, now)
	if err != nil {
		return nil, err
	}
	a.Encrypted = len(encrypted) == 1
	a.SignedBy = Fingerprint(signer)
	return a, nil
}

func (c *Connection) verify(el *etree.Element) (*etree.Element, *x509.Certificate, error) {
	return verify(el, c.IdP.Certificates, c.Now(), c.Settings.IgnoreCertificateDates)
}

func the(parent *etree.Element, local string) (*etree.Element, error) {
	el, err := only(parent, nsAssertion, local)
	if err == nil && el == nil {
		err = refuse(CheckShape, "%s without %s", parent.Tag, local)
	}
	return el, err
}

// opened gives the assertion of an EncryptedAssertion. If the response around it was signed, the cipher text is the
// provider's own, and causes are told apart. If not, it is anyone's, and all are one.
func (c *Connection) opened(sealed, root *etree.Element, outer *x509.Certificate) (*etree.Element, *x509.Certificate, error) {
	raw, size, err := decrypt(sealed, c.SP.Encryption)
	if err != nil {
		return nil, nil, err
	}
	el, signer, compared, err := c.inside(raw, root, outer)
	if err != nil && outer == nil {
		if !compared { // the time must not tell either how far it came
			_, _, _, _ = c.inside(c.decoy(size), root, nil)
		}
		return nil, nil, undecipherable()
	}
	return el, signer, err
}

// inside reads what was decrypted. Compared says that it came as far as to the comparison of a signature.
func (c *Connection) inside(
	raw []byte, root *etree.Element, outer *x509.Certificate,
) (verified *etree.Element, signer *x509.Certificate, compared bool, err error) {
	el, err := parse(raw, messageLimits)
	if err != nil {
		return nil, nil, false, undecipherable()
	}
	if !is(el, nsAssertion, "Assertion") {
		return nil, nil, false, refuse(CheckShape, "the encrypted element is %.100q", el.Tag)
	}
	if err := shape(el); err != nil {
		return nil, nil, false, err
	}
	// Ids are unique over both documents, as if it had never been encrypted.
	scope, ids := map[string]string{"xml": nsXML}, map[string]bool{}
	if err := errors.Join(walk(root, scope, ids, messageLimits), walk(el, scope, ids, messageLimits)); err != nil {
		return nil, nil, false, refuse(CheckShape, "an id twice")
	}
	switch {
	case signatureOf(el) != nil:
		verified, signer, err = c.verify(el)
		return verified, signer, true, err
	case outer == nil:
		return nil, nil, false, refuse(CheckSignature, "neither the response nor the assertion is signed")
	case c.Settings.Signed == SignedAssertion || c.Settings.Signed == SignedBoth:
		return nil, nil, false, refuse(CheckSignature, "the assertion is not signed, and this connection demands it")
	}
	return el, outer, false, nil
}

// envelope checks what stands on a response itself (Core 3.2.2, Profiles 4.1.4.3).
func (c *Connection) envelope(response *etree.Element, want Expectation) error {
	if err := header(response); err != nil {
		return err
	}
	if err := status(response); err != nil {
		return err
	}
	// An issuer is optional on the response; there it must be the provider (Profiles section 4.1.4.2).
	if err := c.issued(response, false); err != nil {
		return err
	}
	// Bindings 3.5.5.2 has the destination on signed messages; every provider sends it on all, and with it a response for
	// one connection dies at another's.
	if destination := attrValue(response, "Destination"); destination != c.SP.ACS {
		return refuse(CheckDestination, "destination %.200q, not %s", destination, c.SP.ACS)
	}
	return c.answers(response, want)
}

func header(el *etree.Element) error {
	switch version := attrValue(el, "Version"); {
	case version != "2.0":
		return refuse(CheckShape, "version %.20q of %s", version, el.Tag)
	case attrValue(el, "ID") == "" || len(attrValue(el, "ID")) > 256:
		return refuse(CheckShape, "%s without an id", el.Tag)
	}
	return nil
}

func (c *Connection) issued(el *etree.Element, required bool) error {
	issuer, err := only(el, nsAssertion, "Issuer")
	if err != nil {
		return err
	}
	if issuer == nil {
		if required {
			return refuse(CheckIssuer, "%s without an issuer", el.Tag)
		}
		return nil
	}
	name, err := text(issuer)
	if err != nil {
		return err
	}
	if format, given := attr(issuer, "Format"); given && format != formatEntity {
		return refuse(CheckIssuer, "issuer of format %.100q", format)
	}
	if name != c.IdP.EntityID {
		return refuse(CheckIssuer, "issuer %.200q, not %s", name, c.IdP.EntityID)
	}
	return nil
}

// answers compares InResponseTo. A response that nobody asked for must not carry one: that would be somebody else's,
// stolen on its way.
func (c *Connection) answers(el *etree.Element, want Expectation) error {
	given := attrValue(el, "InResponseTo")
	switch {
	case want.RequestID == "" && !c.Settings.AllowUnsolicited:
		return refuse(CheckRequest, "nobody asked, and this connection takes no unsolicited responses")
	case given != want.RequestID:
		return refuse(CheckRequest, "in response to another request (%.100q)", given)
	}
	return nil
}

func (c *Connection) fresh(el *etree.Element, now time.Time) error {
	issued, err := instant(el, "IssueInstant")
	switch {
	case err != nil:
		return err
	case issued.IsZero():
		return refuse(CheckTime, "%s does not say when it was issued", el.Tag)
	case issued.After(now.Add(c.skew())):
		return refuse(CheckTime, "%s was issued in the future, at %s", el.Tag, stamp(issued))
	case issued.Before(now.Add(-maxAge - c.skew())):
		return refuse(CheckTime, "%s was issued at %s, too long ago", el.Tag, stamp(issued))
	}
	return nil
}

func status(el *etree.Element) error {
	s, err := only(el, nsProtocol, "Status")
	if err != nil {
		return err
	}
	if s == nil {
		return refuse(CheckShape, "%s without a status", el.Tag)
	}
	code, err := only(s, nsProtocol, "StatusCode")
	if err != nil {
		return err
	}
	if code == nil {
		return refuse(CheckShape, "%s without a status", el.Tag)
	}
	top := attrValue(code, "Value")
	if top == statusSuccess {
		return nil
	}
	answer := &Status{Code: clip(top, 200)}
	if sub, err := only(code, nsProtocol, "StatusCode"); err == nil && sub != nil {
		answer.SubCode = clip(attrValue(sub, "Value"), 200)
	}
	if message, err := childText(s, nsProtocol, "StatusMessage"); err == nil {
		answer.Message = clip(message, 300)
	}
	refusal := refuse(CheckStatus, "the provider answered %q, %q", answer.Code, answer.SubCode)
	refusal.Status = answer
	return refusal
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

// believe reads a verified assertion (Core 2.3.3, Profiles 4.1.4.3).
func (c *Connection) believe(el *etree.Element, want Expectation, now time.Time) (*Assertion, error) {
	if err := header(el); err != nil {
		return nil, err
	}
	if err := c.issued(el, true); err != nil {
		return nil, err
	}
	if err := c.fresh(el, now); err != nil {
		return nil, err
	}
	if err := c.conditions(el, now); err != nil {
		return nil, err
	}
	issued, err := instant(el, "IssueInstant")
	if err != nil {
		return nil, err
	}
	a := &Assertion{ID: attrValue(el, "ID"), Issuer: c.IdP.EntityID, IssuedAt: issued, Unsolicited: want.RequestID == ""}
	if err := c.subject(el, want, now, a); err != nil {
		return nil, err
	}
	if err := c.authentication(el, want, now, a); err != nil {
		return nil, err
	}
	if a.Attributes, err = attributes(el); err != nil {
		return nil, err
	}
	// It is refused by its age from here on, however long it claims to hold, so no id is kept for years.
	a.ReplayUntil = issued.Add(maxAge + 2*c.skew())
	return a, nil
}

// within checks a window of validity. NotOnOrAfter excludes its own instant (Core 2.5.1.2).
func (c *Connection) within(el *etree.Element, now time.Time, check Check) (end time.Time, err error) {
	begin, err := instant(el, "NotBefore")
	if err != nil {
		return end, err
	}
	if end, err = instant(el, "NotOnOrAfter"); err != nil {
		return end, err
	}
	if !begin.IsZero() && now.Add(c.skew()).Before(begin) {
		return end, refuse(check, "%s holds only from %s", el.Tag, stamp(begin))
	}
	if !end.IsZero() && !now.Add(-c.skew()).Before(end) {
		return end, refuse(check, "%s held until %s", el.Tag, stamp(end))
	}
	return end, nil
}

// conditions must be there, hold, and name us in each restriction: several are a conjunction, the audiences in one a
// choice (Core 2.5.1.4). A condition nobody here understands makes the assertion's validity unknown (Core 2.5.1).
func (c *Connection) conditions(el *etree.Element, now time.Time) error {
	conditions, err := the(el, "Conditions")
	if err != nil {
		return err
	}
	if _, err := c.within(conditions, now, CheckTime); err != nil {
		return err
	}
	restricted := false
	for _, child := range conditions.ChildElements() {
		switch {
		case is(child, nsAssertion, "AudienceRestriction"):
			restricted = true
			ours := false
			for _, audience := range children(child, nsAssertion, "Audience") {
				name, err := text(audience)
				if err != nil {
					return err
				}
				ours = ours || name == c.SP.EntityID
			}
			if !ours {
				return refuse(CheckAudience, "an audience restriction does not name %s", c.SP.EntityID)
			}
		case is(child, nsAssertion, "OneTimeUse"), is(child, nsAssertion, "ProxyRestriction"):
			// Every assertion is used once here. None is passed on: applications get our own word about our own user.
		default:
			return refuse(CheckAudience, "a condition %.100q that is not understood", child.Tag)
		}
	}
	if !restricted {
		return refuse(CheckAudience, "no audience restriction")
	}
	return nil
}

func (c *Connection) subject(el *etree.Element, want Expectation, now time.Time, a *Assertion) error {
	subject, err := only(el, nsAssertion, "Subject")
	if err != nil {
		return err
	}
	if subject == nil {
		return refuse(CheckSubject, "no subject")
	}
	if a.Subject, err = nameID(subject); err != nil {
		return err
	}
	if a.Subject.Format == Transient && !c.Settings.AllowTransient {
		return refuse(CheckSubject, "the NameID is transient, and no attribute is the key of this connection's identities")
	}
	// One that confirms is enough (Profiles 4.1.4.3); the last one's reason is told if none does.
	var reason error = refuse(CheckSubject, "no bearer confirmation")
	for _, confirmation := range children(subject, nsAssertion, "SubjectConfirmation") {
		if attrValue(confirmation, "Method") != methodBearer {
			continue
		}
		if a.NotOnOrAfter, reason = c.confirms(confirmation, want, now); reason == nil {
			return nil
		}
	}
	return reason
}

func (c *Connection) confirms(confirmation *etree.Element, want Expectation, now time.Time) (time.Time, error) {
	data, err := only(confirmation, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		return time.Time{}, err
	}
	if data == nil {
		return time.Time{}, refuse(CheckSubject, "a bearer confirmation without data")
	}
	if recipient := attrValue(data, "Recipient"); recipient != c.SP.ACS {
		return time.Time{}, refuse(CheckDestination, "recipient %.200q, not %s", recipient, c.SP.ACS)
	}
	if _, given := attr(data, "NotBefore"); given {
		return time.Time{}, refuse(CheckSubject, "a bearer confirmation with NotBefore")
	}
	end, err := c.within(data, now, CheckTime)
	if err != nil {
		return time.Time{}, err
	}
	if end.IsZero() {
		return time.Time{}, refuse(CheckTime, "a bearer confirmation without an end")
	}
	return end, c.answers(data, want)
}

func nameID(parent *etree.Element) (NameID, error) {
	el, err := only(parent, nsAssertion, "NameID")
	if err != nil {
		return NameID{}, err
	}
	if el == nil {
		return NameID{}, refuse(CheckSubject, "no NameID")
	}
	value, err := text(el)
	if err != nil {
		return NameID{}, err
	}
	if strings.TrimSpace(value) == "" || len(value) > longestName {
		return NameID{}, refuse(CheckSubject, "a NameID of %d bytes", len(value))
	}
	format := attrValue(el, "Format")
	if format == "" {
		format = Unspecified
	}
	return NameID{
		Value: value, Format: format, NameQualifier: attrValue(el, "NameQualifier"), SPNameQualifier: attrValue(el, "SPNameQualifier"),
	}, nil
}

func (c *Connection) authentication(el *etree.Element, want Expectation, now time.Time, a *Assertion) error {
	statements := children(el, nsAssertion, "AuthnStatement")
	if len(statements) == 0 {
		return refuse(CheckAuthnContext, "no statement about an authentication")
	}
	for i, statement := range statements {
		at, err := instant(statement, "AuthnInstant")
		if err != nil {
			return err
		}
		end, err := instant(statement, "SessionNotOnOrAfter")
		if err != nil {
			return err
		}
		switch {
		case at.IsZero():
			return refuse(CheckAuthnContext, "no instant of the authentication")
		case at.After(now.Add(c.skew())):
			return refuse(CheckTime, "an authentication in the future, at %s", stamp(at))
		case !end.IsZero() && !now.Add(-c.skew()).Before(end):
			return refuse(CheckTime, "the provider's session ended at %s", stamp(end))
		}
		if !end.IsZero() && (a.SessionNotOnOrAfter.IsZero() || end.Before(a.SessionNotOnOrAfter)) {
			a.SessionNotOnOrAfter = end
		}
		if i > 0 {
			continue // further statements may shorten the session, and say nothing else here
		}
		a.AuthenticatedAt, a.SessionIndex = at, attrValue(statement, "SessionIndex")
		if len(a.SessionIndex) > longestName {
			return refuse(CheckAuthnContext, "a session index of %d bytes", len(a.SessionIndex))
		}
		context, err := the(statement, "AuthnContext")
		if err != nil {
			return err
		}
		if a.AuthnContext, err = childText(context, nsAssertion, "AuthnContextClassRef"); err != nil {
			return err
		}
		a.AuthnContext = strings.TrimSpace(a.AuthnContext)
	}
	if !want.AuthenticatedAfter.IsZero() && a.AuthenticatedAt.Before(want.AuthenticatedAfter.Add(-c.skew())) {
		return refuse(CheckAuthnContext, "a fresh sign-in was asked for, this one is of %s", stamp(a.AuthenticatedAt))
	}
	if len(want.AuthnContexts) > 0 && !slices.Contains(want.AuthnContexts, a.AuthnContext) {
		return refuse(CheckAuthnContext, "authenticated by %.200q, which was not asked for", a.AuthnContext)
	}
	return nil
}

// attributes reads what can be read as text: character data, or the NameID that eduPersonTargetedID wraps. Values of
// other structure, and nil ones, are left out.
func attributes(el *etree.Element) ([]Attribute, error) {
	var all []Attribute
	for _, statement := range children(el, nsAssertion, "AttributeStatement") {
		for _, child := range children(statement, nsAssertion, "Attribute") {
			a := Attribute{Name: attrValue(child, "Name"), NameFormat: attrValue(child, "NameFormat"), FriendlyName: attrValue(child, "FriendlyName")}
			if a.Name == "" {
				return nil, refuse(CheckShape, "an attribute without a name")
			}
			for _, value := range children(child, nsAssertion, "AttributeValue") {
				if inner := value.ChildElements(); len(inner) == 1 && is(inner[0], nsAssertion, "NameID") {
					value = inner[0]
				}
				if len(value.ChildElements()) > 0 || slices.ContainsFunc(value.Attr, isNil) {
					continue
				}
				v, err := text(value)
				if err != nil {
					return nil, err
				}
				a.Values = append(a.Values, v)
			}
			all = append(all, a)
		}
	}
	return all, nil
}

func isNil(a etree.Attr) bool {
	return a.Key == "nil" && a.NamespaceURI() == "http://www.w3.org/2001/XMLSchema-instance" && (a.Value == "true" || a.Value == "1")
}

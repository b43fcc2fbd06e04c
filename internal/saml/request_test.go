package saml_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
)

func TestReadResponse_GivesWhatWasSaid(t *testing.T) {
	t.Parallel()
	for sign := samltest.SignAssertion; sign <= samltest.SignBoth; sign++ {
		for _, encryption := range []*samltest.Encryption{nil, {To: encryptTo(t)}} {
			idp, c := pairing(t)
			r := idp.Response(sp, requestID)
			r.Sign, r.Encryption = sign, encryption
			r.NameQualifier, r.SPNameQualifier, r.SessionNotOnOrAfter = "nq", "spnq", now.Add(time.Hour)
			r.Edit = func(el *etree.Element) {
				values := find(el, "AttributeStatement")
				targeted := samltest.Add(values, "saml:Attribute", "", "Name", "eduPersonTargetedID", "FriendlyName", "tid", "NameFormat", "uri")
				samltest.Add(samltest.Add(targeted, "saml:AttributeValue", ""), "saml:NameID", "wrapped")
				structured := samltest.Add(targeted, "saml:AttributeValue", "")
				samltest.Add(structured, "x", "left out")
				nothing := samltest.Add(targeted, "saml:AttributeValue", "", "xmlns:i", "http://www.w3.org/2001/XMLSchema-instance")
				nothing.CreateAttr("i:nil", "true")
			}
			got, err := c.ReadResponse(r.Form(t), saml.Expectation{
				RequestID: requestID, AuthnContexts: []string{"other", r.AuthnContext}, AuthenticatedAfter: r.AuthnInstant,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := &saml.Assertion{
				ID: r.AssertionID, Issuer: idp.EntityID, IssuedAt: now,
				Subject: saml.NameID{Value: "ada@example.com", Format: saml.EmailAddress, NameQualifier: "nq", SPNameQualifier: "spnq"},
				Attributes: []saml.Attribute{
					{Name: "mail", Values: []string{"ada@example.com"}},
					{Name: "eduPersonTargetedID", FriendlyName: "tid", NameFormat: "uri", Values: []string{"wrapped"}},
				},
				SessionIndex: "session-1", AuthenticatedAt: r.AuthnInstant, AuthnContext: r.AuthnContext,
				NotOnOrAfter: r.NotOnOrAfter, SessionNotOnOrAfter: now.Add(time.Hour), Encrypted: encryption != nil,
				SignedBy: saml.Fingerprint(idp.Signer.Cert), ReplayUntil: now.Add(7 * time.Minute),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("signed %d: (-want +got)\n%s", sign, diff)
			}
		}
	}
}

// Another implementation believes what the generator makes, so that a refusal elsewhere is for the reason named there.
func TestGenerator_AnotherServiceProviderBelievesIt(t *testing.T) {
	crewjam.TimeNow = func() time.Time { return now }
	t.Cleanup(func() { crewjam.TimeNow = func() time.Time { return time.Now().UTC() } })
	idp, c := pairing(t)
	var entity crewjam.EntityDescriptor
	if err := xml.Unmarshal(samltest.Bytes(t, idp.Describe("https://idp.example/sso", "", idp.Signer.Cert)), &entity); err != nil {
		t.Fatal(err)
	}
	acs, err := url.Parse(sp.ACS)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := c.SP.Encryption[0].Private.(*rsa.PrivateKey)
	other := crewjam.ServiceProvider{EntityID: sp.EntityID, AcsURL: *acs, IDPMetadata: &entity, Key: key, Certificate: c.SP.Encryption[0].Certificate}
	for sign := samltest.SignAssertion; sign <= samltest.SignBoth; sign++ {
		for _, encryption := range []*samltest.Encryption{nil, {To: encryptTo(t), Data: samltest.Xenc + "aes256-cbc"}} {
			r := idp.Response(sp, requestID)
			r.Sign, r.Encryption = sign, encryption
			got, err := other.ParseXMLResponse(r.XML(t), []string{requestID}, *acs)
			if err != nil {
				var cause *crewjam.InvalidResponseError
				_ = errors.As(err, &cause)
				t.Errorf("signed %d encrypted %t: %v", sign, encryption != nil, cause.PrivateErr)
			} else if got.Subject.NameID.Value != "ada@example.com" {
				t.Errorf("subject %q", got.Subject.NameID.Value)
			}
		}
	}
}

// Every wrapping would succeed against a verifier that looks for the signed element by its id and a reader that looks
// for the NameID elsewhere: the cases attack something.
func TestWraps_DeceiveANaiveVerifier(t *testing.T) {
	t.Parallel()
	idp, _ := pairing(t)
	for i, wrap := range samltest.Wraps {
		r := idp.Response(sp, requestID)
		r.After = func(response *etree.Element) { wrap(t, response, response.SelectElement("Assertion")) }
		doc := etree.NewDocument()
		if err := doc.ReadFromBytes(r.XML(t)); err != nil {
			t.Fatal(err)
		}
		var people []string
		for _, el := range doc.FindElements("//NameID") {
			people = append(people, el.Text())
		}
		if !strings.Contains(strings.Join(people, " "), samltest.Evil) || !naive(t, doc, idp.Signer.Cert) {
			t.Errorf("XSW%d would deceive nobody: %v", i+1, people)
		}
	}
}

// naive verifies any signature in a document over any element of the id it refers to.
func naive(t *testing.T, doc *etree.Document, cert *x509.Certificate) bool {
	t.Helper()
	canonical := func(el *etree.Element) []byte {
		c := el.Copy()
		for _, prefix := range [][2]string{{"xmlns:saml", samltest.Assertion}, {"xmlns:samlp", samltest.Protocol}, {"xmlns:ds", samltest.Dsig}} {
			c.CreateAttr(prefix[0], prefix[1])
		}
		raw, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(c)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	public, _ := cert.PublicKey.(*rsa.PublicKey)
	for _, signature := range doc.FindElements("//Signature") {
		value, err := base64.StdEncoding.DecodeString(find(signature, "SignatureValue").Text())
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(canonical(find(signature, "SignedInfo")))
		if rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], value) != nil {
			continue
		}
		for _, el := range doc.FindElements("//*[@ID='" + find(signature, "Reference").SelectAttrValue("URI", "")[1:] + "']") {
			c := el.Copy()
			if own := c.SelectElement("Signature"); own != nil {
				c.RemoveChild(own)
			}
			sum := sha256.Sum256(canonical(c))
			if base64.StdEncoding.EncodeToString(sum[:]) == find(signature, "DigestValue").Text() {
				return true
			}
		}
	}
	return false
}

func TestAuthnRequest_Redirect(t *testing.T) {
	t.Parallel()
	_, c := pairing(t)
	c.Settings.SignRequests = true
	c.Settings.NameIDFormat = saml.Persistent
	out, err := c.AuthnRequest(saml.AuthnOptions{RelayState: "handle-1", ForceAuthn: true, IsPassive: true, AuthnContexts: []string{"urn:a", "urn:b"}})
	if err != nil {
		t.Fatal(err)
	}
	before, query, _ := strings.Cut(out.URL, "SAMLRequest=")
	if before != "https://idp.example/sso?realm=a&" {
		t.Errorf("goes to %s", before)
	}
	// The octets that are signed are those that stand in the address.
	signed, encoded, _ := strings.Cut("SAMLRequest="+query, "&Signature=")
	encoded, err = url.QueryUnescape(encoded)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(signed))
	public, _ := c.SP.Signing[0].Certificate.PublicKey.(*rsa.PublicKey)
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature); err != nil {
		t.Error(err)
	}
	values, err := url.ParseQuery("SAMLRequest=" + query)
	if err != nil {
		t.Fatal(err)
	}
	if got := values.Get("RelayState"); got != "handle-1" {
		t.Errorf("RelayState %q", got)
	}
	raw := samltest.Bytes(t, samltest.Request(t, values))
	want := `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="` + out.ID +
		`" Version="2.0" IssueInstant="2026-11-21T12:00:00.000Z" Destination="https://idp.example/sso?realm=a" AssertionConsumerServiceURL="` + sp.ACS +
		`" ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" ForceAuthn="true" IsPassive="true"><saml:Issuer>` + sp.EntityID +
		`</saml:Issuer><samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" AllowCreate="true"/>` +
		`<samlp:RequestedAuthnContext Comparison="exact"><saml:AuthnContextClassRef>urn:a</saml:AuthnContextClassRef>` +
		`<saml:AuthnContextClassRef>urn:b</saml:AuthnContextClassRef></samlp:RequestedAuthnContext></samlp:AuthnRequest>`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	again, err := c.AuthnRequest(saml.AuthnOptions{})
	if err != nil || again.ID == out.ID {
		t.Errorf("a second request has the id %s (%v)", again.ID, err)
	}
}

func TestAuthnRequest_PostIsSignedWithin(t *testing.T) {
	t.Parallel()
	_, c := pairing(t)
	c.IdP.SSO = c.IdP.SSO[1:]
	c.IdP.WantSignedRequests = true
	out, err := c.AuthnRequest(saml.AuthnOptions{RelayState: "handle-1"})
	if err != nil {
		t.Fatal(err)
	}
	if out.Binding != saml.Post || out.URL != "https://idp.example/sso" || len(out.Fields) != 2 || out.Fields[1] != (saml.Field{Name: "RelayState", Value: "handle-1"}) {
		t.Fatalf("out %+v", out)
	}
	root := samltest.Request(t, url.Values{out.Fields[0].Name: {out.Fields[0].Value}})
	if second := root.ChildElements()[1].Tag; second != "Signature" {
		t.Errorf("after the issuer stands %s", second)
	}
	verifier := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{c.SP.Signing[0].Certificate}})
	verifier.Clock = dsig.NewFakeClockAt(now)
	if _, err := verifier.Validate(root); err != nil {
		t.Error(err)
	}
}

func TestAuthnRequest_WithoutAKeyOrAddressSaysSo(t *testing.T) {
	t.Parallel()
	_, c := pairing(t)
	c.SP.Signing = nil
	if _, err := c.AuthnRequest(saml.AuthnOptions{}); err != nil {
		t.Errorf("unsigned: %v", err)
	}
	c.IdP.WantSignedRequests = true
	if _, err := c.AuthnRequest(saml.AuthnOptions{}); err == nil || !strings.Contains(err.Error(), "no key to sign") {
		t.Errorf("got %v", err)
	}
	c.IdP.SSO, c.IdP.SLO = nil, nil
	if _, err := c.AuthnRequest(saml.AuthnOptions{}); err == nil || !strings.Contains(err.Error(), "no sign-in address") {
		t.Errorf("got %v", err)
	}
	if _, err := c.LogoutRequest(saml.NameID{Value: "x"}, nil, ""); err == nil || !strings.Contains(err.Error(), "no logout address") {
		t.Errorf("got %v", err)
	}
}

// Our metadata and our requests are read by another implementation of a provider, which then answers to us.
func TestConnection_AnotherProviderSignsIn(t *testing.T) {
	crewjam.TimeNow = func() time.Time { return now }
	t.Cleanup(func() { crewjam.TimeNow = func() time.Time { return time.Now().UTC() } })
	pair := samltest.RSA(t, 0, now)
	base, err := url.Parse("https://idp.example/metadata")
	if err != nil {
		t.Fatal(err)
	}
	_, c := pairing(t)
	idp := &crewjam.IdentityProvider{
		Key: pair.Key, Certificate: pair.Cert, SignatureMethod: dsig.RSASHA256SignatureMethod,
		MetadataURL: *base, SSOURL: *base.JoinPath("../sso"), ServiceProviderProvider: registered{t, c},
	}
	theirs, err := xml.Marshal(idp.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	m, err := saml.ReadMetadata(theirs, saml.MetadataOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	c.IdP = m.IdentityProvider
	out, err := c.AuthnRequest(saml.AuthnOptions{RelayState: "handle"})
	if err != nil {
		t.Fatal(err)
	}
	request, err := crewjam.NewIdpAuthnRequest(idp, httptest.NewRequestWithContext(t.Context(), http.MethodGet, out.URL, http.NoBody))
	if err != nil {
		t.Fatal(err)
	}
	if err := request.Validate(); err != nil {
		t.Fatal(err)
	}
	session := &crewjam.Session{ID: "s", NameID: "ada@example.com", NameIDFormat: saml.EmailAddress, UserEmail: "ada@example.com", CreateTime: now, Index: "s1"}
	if err := (crewjam.DefaultAssertionMaker{}).MakeAssertion(request, session); err != nil {
		t.Fatal(err)
	}
	form, err := request.PostBinding()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.ReadResponse(url.Values{"SAMLResponse": {form.SAMLResponse}}, saml.Expectation{RequestID: out.ID})
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject.Value != "ada@example.com" || got.SessionIndex != "s1" || !got.Encrypted || form.RelayState != "handle" {
		t.Errorf("got %+v with RelayState %q", got, form.RelayState)
	}
}

// registered is our metadata in the other provider's register.
type registered struct {
	t *testing.T
	c *saml.Connection
}

func (r registered) GetServiceProvider(*http.Request, string) (*crewjam.EntityDescriptor, error) {
	raw, err := r.c.Metadata()
	if err != nil {
		r.t.Fatal(err)
	}
	var entity crewjam.EntityDescriptor
	return &entity, xml.Unmarshal(raw, &entity)
}

func TestMetadata_PublishesEveryKey(t *testing.T) {
	t.Parallel()
	_, c := pairing(t)
	next := samltest.RSA(t, 3, now)
	c.Settings.SignRequests = true
	c.SP.Signing = append(c.SP.Signing, saml.Key{Private: next.Key, Certificate: next.Cert})
	raw, err := c.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, el := range doc.FindElements("//KeyDescriptor") {
		der, err := base64.StdEncoding.DecodeString(find(el, "X509Certificate").Text())
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, el.SelectAttrValue("use", "")+" "+saml.Fingerprint(cert))
	}
	want := []string{
		"signing " + saml.Fingerprint(c.SP.Signing[0].Certificate), "signing " + saml.Fingerprint(next.Cert),
		"encryption " + saml.Fingerprint(c.SP.Encryption[0].Certificate),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	role := find(&doc.Element, "SPSSODescriptor")
	if role.SelectAttrValue("AuthnRequestsSigned", "") != "true" || find(role, "AssertionConsumerService").SelectAttrValue("Location", "") != sp.ACS ||
		find(role, "SingleLogoutService").SelectAttrValue("Location", "") != sp.SLO {
		t.Errorf("metadata %s", raw)
	}
}

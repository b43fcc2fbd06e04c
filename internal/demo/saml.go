package demo

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/seal"
)

// The sample SAML identity provider: it answers a request by redirect with a signed assertion about whoever was picked. Its documents
// are written as exclusive canonicalization would write them (Exclusive XML Canonicalization 1.0), so that what is signed is the text
// itself. A real provider has a library for all of that, and a login; this one is a sample, and knows one service provider.

// samlKey is the sample's signing key with its certificate.
type samlKey struct {
	private     *ecdsa.PrivateKey
	certificate string // base64
}

func newSAMLKey() (samlKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return samlKey{}, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Sample identity provider"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, private.Public(), private)
	return samlKey{private, base64.StdEncoding.EncodeToString(der)}, err
}

// sign gives the signature of a canonical text: both numbers side by side (XML Signature section 6.4.3).
func (k samlKey) sign(text string) (string, error) {
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		return "", err
	}
	var raw [64]byte
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return base64.StdEncoding.EncodeToString(raw[:]), nil
}

func (w *World) samlEntity(c *Company) string { return w.Provider + "/" + c.ID + "/saml" }

// samlMetadata describes the provider.
func (p *provider) samlMetadata(rw http.ResponseWriter, _ *http.Request, c *Company) {
	rw.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = fmt.Fprintf(rw, `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="%[1]s">`+
		`<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`+
		`<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%[2]s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`+
		`<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>`+
		`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="%[1]s"></md:SingleSignOnService>`+
		`</md:IDPSSODescriptor></md:EntityDescriptor>`, escaped(p.samlEntity(c)), p.saml.certificate)
}

// samlRequest is what the sample reads of a request.
type samlRequest struct {
	XMLName xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol AuthnRequest"`
	ID      string   `xml:"ID,attr"`
	Issuer  string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
}

// samlSignIn asks who the person is; each choice carries the response about that person to Vestibule.
func (p *provider) samlSignIn(rw http.ResponseWriter, r *http.Request, c *Company) {
	var request samlRequest
	raw, err := base64.StdEncoding.DecodeString(r.URL.Query().Get("SAMLRequest"))
	if err == nil {
		raw, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(raw)), 64<<10))
	}
	if err == nil {
		err = xml.Unmarshal(raw, &request)
	}
	base := fmt.Sprintf("%s/sso/%s/corp", p.Vestibule, c.ID)
	if err != nil || request.Issuer != base+"/metadata" {
		http.Error(rw, "This is not a request of the one service provider that is known here.", http.StatusBadRequest)
		return
	}
	type choice struct {
		*Person
		Response string
	}
	var people []choice
	for _, person := range c.People {
		response, err := p.samlResponse(c, person, request.ID, base)
		if err != nil {
			http.Error(rw, "The response cannot be signed.", http.StatusInternalServerError)
			return
		}
		people = append(people, choice{person, response})
	}
	hint := r.URL.Query().Get("login_hint")
	slices.SortStableFunc(people, func(a, b choice) int { return hinted(b.Person, hint) - hinted(a.Person, hint) })
	show(rw, http.StatusOK, "pick-saml", map[string]any{
		"Company": c, "People": people, "Action": base + "/acs", "Relay": r.URL.Query().Get("RelayState"),
	})
}

func escaped(s string) string {
	// Text and attribute values as canonical XML writes them (Canonical XML 1.0 section 2.3), for what stands in these documents.
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

// samlResponse answers a request about a person, in base64.
func (p *provider) samlResponse(c *Company, of *Person, request, base string) (string, error) {
	now := time.Now().UTC()
	stamp := func(d time.Duration) string { return now.Add(d).Format("2006-01-02T15:04:05Z") }
	id := "_" + strings.ReplaceAll(seal.Handle(), "-", "x")
	entity, acs, inResponseTo := escaped(p.samlEntity(c)), escaped(base+"/acs"), escaped(request)
	attribute := func(name, value string) string {
		return `<saml:Attribute Name="` + name + `"><saml:AttributeValue>` + escaped(value) + `</saml:AttributeValue></saml:Attribute>`
	}
	head := `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="` + id + `" IssueInstant="` + stamp(0) + `" Version="2.0">` +
		`<saml:Issuer>` + entity + `</saml:Issuer>`
	rest := `<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">` + escaped(of.ID) + `</saml:NameID>` +
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="` + inResponseTo +
		`" NotOnOrAfter="` + stamp(5*time.Minute) + `" Recipient="` + acs + `"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="` + stamp(-time.Minute) + `" NotOnOrAfter="` + stamp(5*time.Minute) + `"><saml:AudienceRestriction><saml:Audience>` +
		escaped(base+"/metadata") + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="` + stamp(0) + `" SessionIndex="` + id + `"><saml:AuthnContext><saml:AuthnContextClassRef>` +
		`urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
		`<saml:AttributeStatement>` + attribute("email", of.Email) + attribute("displayName", of.Name()) + attribute("firstName", of.Given) +
		`</saml:AttributeStatement></saml:Assertion>`
	digest := sha256.Sum256([]byte(head + rest))
	signed := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` +
		`<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"></ds:SignatureMethod>` +
		`<ds:Reference URI="#` + id + `"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>` +
		`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>` +
		`<ds:DigestValue>` + base64.StdEncoding.EncodeToString(digest[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	value, err := p.saml.sign(signed)
	if err != nil {
		return "", err
	}
	signature := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + signed + `<ds:SignatureValue>` + value + `</ds:SignatureValue></ds:Signature>`
	response := `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Destination="` + acs + `" ID="` + id + `r" InResponseTo="` + inResponseTo +
		`" IssueInstant="` + stamp(0) + `" Version="2.0"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + entity + `</saml:Issuer>` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>` +
		head + signature + rest + `</samlp:Response>`
	return base64.StdEncoding.EncodeToString([]byte(response)), nil
}

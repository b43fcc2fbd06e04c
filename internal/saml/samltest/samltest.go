// Package samltest is a SAML identity provider for tests, able to say anything: it makes responses, logout messages and
// metadata with goxmldsig and the standard library alone, shares no code with the package that reads them, and lets a test
// change the document before it is signed, after, and in its bytes.
package samltest

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	_ "crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// The namespaces.
const (
	Assertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	Protocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	Metadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	Dsig      = "http://www.w3.org/2000/09/xmldsig#"
	Xenc      = "http://www.w3.org/2001/04/xmlenc#"
	Xenc11    = "http://www.w3.org/2009/xmlenc11#"
	xenc11OA  = Xenc11 + "rsa-oaep"
)

// Pair is a key and its certificate.
type Pair struct {
	Key  crypto.Signer
	Cert *x509.Certificate
}

// The keys are made once for all tests of a process: RSA keys are slow to find.
var (
	rsaKeys [4]func() *rsa.PrivateKey
	weakKey = sync.OnceValue(func() *rsa.PrivateKey { return mustRSA(1024) })
)

func init() {
	for i := range rsaKeys {
		rsaKeys[i] = sync.OnceValue(func() *rsa.PrivateKey { return mustRSA(2048) })
	}
}

func mustRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// RSA gives the n-th of four pairs of RSA 2048, with a certificate of its own for ten years around now.
func RSA(t testing.TB, n int, now time.Time) Pair {
	t.Helper()
	return Certify(t, rsaKeys[n](), now.Add(-5*365*24*time.Hour), now.Add(5*365*24*time.Hour))
}

// Weak gives a pair of RSA 1024.
func Weak(t testing.TB, now time.Time) Pair {
	t.Helper()
	return Certify(t, weakKey(), now.Add(-time.Hour), now.Add(time.Hour))
}

// ECDSA gives a new pair on the curve.
func ECDSA(t testing.TB, curve elliptic.Curve, now time.Time) Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Certify(t, key, now.Add(-time.Hour), now.Add(time.Hour))
}

// Certify makes a self-signed certificate. All have the same subject, as a forger's would.
func Certify(t testing.TB, key crypto.Signer, from, until time.Time) Pair {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "idp.example"}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Pair{Key: key, Cert: cert}
}

// Sign says what of a response is signed.
type Sign int

// The choices.
const (
	SignNone Sign = iota
	SignAssertion
	SignResponse
	SignBoth
)

// Encryption says how the assertion is encrypted.
type Encryption struct {
	To        *x509.Certificate
	Data      string // algorithm; empty: AES-256-GCM
	Transport string // algorithm; empty: rsa-oaep-mgf1p
	Digest    string // of OAEP; empty: left out, which means SHA-1
	MGF       string // of rsa-oaep of XML Encryption 1.1
	Beside    bool   // the EncryptedKey stands beside the EncryptedData
	Spoil     func(wrapped, data []byte) ([]byte, []byte)
	Plain     func([]byte) []byte // changes what is encrypted
}

// Response is one response with everything a test may want otherwise. Make one with IdP.Response.
type Response struct {
	Issuer, Destination, InResponseTo, ID string
	Status, SubStatus, Message            string
	IssueInstant                          time.Time

	AssertionID, NameID, Format, NameQualifier, SPNameQualifier string
	Recipient, ConfirmationInResponseTo, Method                 string
	NotBefore, NotOnOrAfter                                     time.Time
	AuthnInstant, SessionNotOnOrAfter                           time.Time
	Audiences                                                   [][]string // one restriction each
	SessionIndex, AuthnContext                                  string
	Attributes                                                  map[string][]string

	Sign       Sign
	Signer     Pair
	KeyInfo    *x509.Certificate // in KeyInfo, whoever signs
	NoKeyInfo  bool
	Signature  func(info *etree.Element) // changes SignedInfo before it is signed
	Prefixes   string                    // PrefixList of the transform
	Encryption *Encryption

	Edit  func(response *etree.Element) // before signing
	After func(response *etree.Element) // after signing and encrypting
}

// IdP is the provider.
type IdP struct {
	EntityID string
	Signer   Pair
	Now      time.Time
}

// SP is who it speaks to.
type SP struct {
	EntityID, ACS, SLO string
}

// ID makes a new message id.
func ID() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("_%x", b)
}

// Response gives a proper answer to a request, for a test to change.
func (p *IdP) Response(sp SP, requestID string) *Response {
	return &Response{
		Issuer: p.EntityID, Destination: sp.ACS, InResponseTo: requestID, ID: ID(), IssueInstant: p.Now,
		Status:      "urn:oasis:names:tc:SAML:2.0:status:Success",
		AssertionID: ID(), NameID: "ada@example.com", Format: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
		Recipient: sp.ACS, ConfirmationInResponseTo: requestID, Method: "urn:oasis:names:tc:SAML:2.0:cm:bearer",
		NotBefore: p.Now.Add(-time.Minute), NotOnOrAfter: p.Now.Add(5 * time.Minute), AuthnInstant: p.Now.Add(-10 * time.Second),
		Audiences: [][]string{{sp.EntityID}}, SessionIndex: "session-1",
		AuthnContext: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		Attributes:   map[string][]string{"mail": {"ada@example.com"}},
		Sign:         SignAssertion, Signer: p.Signer,
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// Add makes a child with text and attributes in pairs; an empty value leaves the attribute out.
func Add(parent *etree.Element, tag, text string, pairs ...string) *etree.Element {
	el := parent.CreateElement(tag)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			el.CreateAttr(pairs[i], pairs[i+1])
		}
	}
	if text != "" {
		el.SetText(text)
	}
	return el
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

// Element builds the unsigned response.
func (r *Response) Element() *etree.Element {
	doc := etree.NewElement("samlp:Response")
	for _, a := range [][2]string{
		{"xmlns:samlp", Protocol},
		{"xmlns:saml", Assertion},
		{"ID", r.ID},
		{"Version", "2.0"},
		{"IssueInstant", when(r.IssueInstant)},
		{"Destination", r.Destination},
		{"InResponseTo", r.InResponseTo},
	} {
		if a[1] != "" {
			doc.CreateAttr(a[0], a[1])
		}
	}
	if r.Issuer != "" {
		Add(doc, "saml:Issuer", r.Issuer)
	}
	code := Add(Add(doc, "samlp:Status", ""), "samlp:StatusCode", "", "Value", r.Status)
	if r.SubStatus != "" {
		Add(code, "samlp:StatusCode", "", "Value", r.SubStatus)
	}
	if r.Message != "" {
		Add(code.Parent(), "samlp:StatusMessage", r.Message)
	}
	if r.AssertionID == "" {
		return doc
	}
	a := Add(doc, "saml:Assertion", "", "xmlns:saml", Assertion, "ID", r.AssertionID, "Version", "2.0", "IssueInstant", when(r.IssueInstant))
	if r.Issuer != "" {
		Add(a, "saml:Issuer", r.Issuer)
	}
	subject := Add(a, "saml:Subject", "")
	Add(subject, "saml:NameID", r.NameID, "Format", r.Format, "NameQualifier", r.NameQualifier, "SPNameQualifier", r.SPNameQualifier)
	confirmation := Add(subject, "saml:SubjectConfirmation", "", "Method", r.Method)
	Add(confirmation, "saml:SubjectConfirmationData", "", "InResponseTo", r.ConfirmationInResponseTo, "Recipient", r.Recipient,
		"NotOnOrAfter", when(r.NotOnOrAfter))
	conditions := Add(a, "saml:Conditions", "", "NotBefore", when(r.NotBefore), "NotOnOrAfter", when(r.NotOnOrAfter))
	for _, restriction := range r.Audiences {
		el := Add(conditions, "saml:AudienceRestriction", "")
		for _, audience := range restriction {
			Add(el, "saml:Audience", audience)
		}
	}
	statement := Add(a, "saml:AuthnStatement", "", "AuthnInstant", when(r.AuthnInstant), "SessionIndex", r.SessionIndex,
		"SessionNotOnOrAfter", when(r.SessionNotOnOrAfter))
	Add(Add(statement, "saml:AuthnContext", ""), "saml:AuthnContextClassRef", r.AuthnContext)
	if len(r.Attributes) > 0 {
		attributes := Add(a, "saml:AttributeStatement", "")
		for name, values := range r.Attributes {
			el := Add(attributes, "saml:Attribute", "", "Name", name)
			for _, value := range values {
				Add(el, "saml:AttributeValue", value)
			}
		}
	}
	return doc
}

// Tree builds, signs and encrypts.
func (r *Response) Tree(t testing.TB) *etree.Element {
	t.Helper()
	doc := r.Element()
	if r.Edit != nil {
		r.Edit(doc)
	}
	assertion := doc.SelectElement("Assertion")
	if r.Sign == SignAssertion || r.Sign == SignBoth {
		r.sign(t, assertion)
	}
	if r.Encryption != nil {
		sealed := r.Encryption.seal(t, assertion)
		doc.InsertChildAt(assertion.Index(), sealed)
		doc.RemoveChild(assertion)
	}
	if r.Sign == SignResponse || r.Sign == SignBoth {
		r.sign(t, doc)
	}
	if r.After != nil {
		r.After(doc)
	}
	return doc
}

// XML gives the response's bytes.
func (r *Response) XML(t testing.TB) []byte {
	t.Helper()
	return Bytes(t, r.Tree(t))
}

// Form gives the response as a browser posts it.
func (r *Response) Form(t testing.TB) url.Values {
	t.Helper()
	return Form(r.XML(t))
}

// Form gives any bytes as a browser posts them.
func Form(raw []byte) url.Values {
	return url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(raw)}}
}

// Bytes serializes an element.
func Bytes(t testing.TB, el *etree.Element) []byte {
	t.Helper()
	doc := etree.NewDocument()
	doc.WriteSettings = etree.WriteSettings{CanonicalText: true, CanonicalAttrVal: true}
	doc.SetRoot(el.Copy())
	raw, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (r *Response) sign(t testing.TB, el *etree.Element) {
	t.Helper()
	SignElement(t, el, r.Signer, func(info, keyInfo *etree.Element) {
		if r.Prefixes != "" {
			transforms := info.FindElements("./ds:Reference/ds:Transforms/ds:Transform")
			Add(transforms[1], "ec:InclusiveNamespaces", "", "xmlns:ec", "http://www.w3.org/2001/10/xml-exc-c14n#", "PrefixList", r.Prefixes)
		}
		if r.Signature != nil {
			r.Signature(info)
		}
		if r.KeyInfo != nil {
			keyInfo.FindElement("./ds:X509Data/ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(r.KeyInfo.Raw))
		}
		if r.NoKeyInfo {
			keyInfo.Parent().RemoveChild(keyInfo)
		}
	}, r.Prefixes)
}

// SignElement puts an enveloped signature after the Issuer, or first where there is none. It is built by hand, so that
// edit may change SignedInfo before it is signed and KeyInfo at will; prefixes is a PrefixList for the digest.
func SignElement(t testing.TB, el *etree.Element, signer Pair, edit func(info, keyInfo *etree.Element), prefixes string) {
	t.Helper()
	canonical, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(detached(t, el))
	if err != nil {
		t.Fatal(err)
	}
	signature := etree.NewElement("ds:Signature")
	signature.CreateAttr("xmlns:ds", Dsig)
	info := Add(signature, "ds:SignedInfo", "")
	Add(info, "ds:CanonicalizationMethod", "", "Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#")
	algorithm := "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	if _, ok := signer.Key.(*ecdsa.PrivateKey); ok {
		algorithm = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	}
	Add(info, "ds:SignatureMethod", "", "Algorithm", algorithm)
	reference := Add(info, "ds:Reference", "", "URI", "#"+el.SelectAttrValue("ID", ""))
	transforms := Add(reference, "ds:Transforms", "")
	Add(transforms, "ds:Transform", "", "Algorithm", Dsig+"enveloped-signature")
	Add(transforms, "ds:Transform", "", "Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#")
	Add(reference, "ds:DigestMethod", "", "Algorithm", Xenc+"sha256")
	digest := Add(reference, "ds:DigestValue", "")
	value := Add(signature, "ds:SignatureValue", "")
	keyInfo := Add(signature, "ds:KeyInfo", "")
	Add(Add(keyInfo, "ds:X509Data", ""), "ds:X509Certificate", base64.StdEncoding.EncodeToString(signer.Cert.Raw))
	if edit != nil {
		edit(info, keyInfo)
	}
	h := crypto.SHA256.New()
	if m := reference.SelectElement("DigestMethod"); m != nil && m.SelectAttrValue("Algorithm", "") == Dsig+"sha1" {
		h = crypto.SHA1.New()
	}
	h.Write(canonical)
	digest.SetText(base64.StdEncoding.EncodeToString(h.Sum(nil)))
	at := 0
	if first := el.ChildElements(); len(first) > 0 && first[0].Tag == "Issuer" {
		at = first[0].Index() + 1
	}
	el.InsertChildAt(at, signature)

	method := info.SelectElement("SignatureMethod").SelectAttrValue("Algorithm", "")
	hash := map[string]crypto.Hash{
		Dsig + "rsa-sha1": crypto.SHA1, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5": crypto.MD5,
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512":   crypto.SHA512,
		"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384": crypto.SHA384,
	}[method]
	if hash == 0 {
		hash = crypto.SHA256
	}
	canonical, err = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(detached(t, info))
	if err != nil {
		t.Fatal(err)
	}
	value.SetText(base64.StdEncoding.EncodeToString(raw(t, signer, hash, canonical)))
}

// raw signs octets; for ECDSA r and s side by side, as XML Signature has it.
func raw(t testing.TB, signer Pair, hash crypto.Hash, octets []byte) []byte {
	t.Helper()
	h := hash.New()
	h.Write(octets)
	sig, err := signer.Key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := signer.Key.(*ecdsa.PrivateKey)
	if !ok {
		return sig
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		t.Fatal(err)
	}
	size := (key.Params().BitSize + 7) / 8
	sig = make([]byte, 2*size)
	rs.R.FillBytes(sig[:size])
	rs.S.FillBytes(sig[size:])
	return sig
}

// detached copies an element out of its document, with the prefixes it inherits.
func detached(t testing.TB, el *etree.Element) *etree.Element {
	t.Helper()
	c := el.Copy()
	for parent := el.Parent(); parent != nil; parent = parent.Parent() {
		for _, a := range parent.Attr {
			if (a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns") && c.SelectAttr(a.FullKey()) == nil {
				c.CreateAttr(a.FullKey(), a.Value)
			}
		}
	}
	return c
}

func (e *Encryption) seal(t testing.TB, assertion *etree.Element) *etree.Element {
	t.Helper()
	algorithm := e.Data
	if algorithm == "" {
		algorithm = Xenc11 + "aes256-gcm"
	}
	size := map[string]int{
		Xenc + "aes128-cbc": 16, Xenc + "aes192-cbc": 24, Xenc + "aes256-cbc": 32,
		Xenc11 + "aes128-gcm": 16, Xenc11 + "aes192-gcm": 24, Xenc11 + "aes256-gcm": 32,
	}[algorithm]
	if size == 0 {
		size = 32 // another algorithm's name over this one's data
	}
	plain := Bytes(t, detached(t, assertion))
	if e.Plain != nil {
		plain = e.Plain(plain)
	}
	key, iv := make([]byte, size), make([]byte, aes.BlockSize)
	_, _ = rand.Read(key)
	_, _ = rand.Read(iv)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	if algorithm[len(algorithm)-3:] == "gcm" {
		aead, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		data = append(bytes.Clone(iv[:12]), aead.Seal(nil, iv[:12], plain, nil)...)
	} else {
		n := aes.BlockSize - len(plain)%aes.BlockSize
		plain = append(append(plain, make([]byte, n-1)...), byte(n))
		data = make([]byte, len(plain))
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, plain)
		data = append(bytes.Clone(iv), data...)
	}
	transport := e.Transport
	if transport == "" {
		transport = Xenc + "rsa-oaep-mgf1p"
	}
	wrapped := e.wrap(t, transport, key)
	if e.Spoil != nil {
		wrapped, data = e.Spoil(wrapped, data)
	}

	sealed := etree.NewElement("saml:EncryptedAssertion")
	encrypted := Add(sealed, "xenc:EncryptedData", "", "xmlns:xenc", Xenc, "Type", Xenc+"Element")
	Add(encrypted, "xenc:EncryptionMethod", "", "Algorithm", algorithm)
	parent := sealed
	if !e.Beside {
		parent = Add(encrypted, "ds:KeyInfo", "", "xmlns:ds", Dsig)
	}
	el := Add(parent, "xenc:EncryptedKey", "", "xmlns:xenc", Xenc)
	method := Add(el, "xenc:EncryptionMethod", "", "Algorithm", transport)
	if e.Digest != "" {
		Add(method, "ds:DigestMethod", "", "xmlns:ds", Dsig, "Algorithm", e.Digest)
	}
	if e.MGF != "" {
		Add(method, "xenc11:MGF", "", "xmlns:xenc11", Xenc11, "Algorithm", e.MGF)
	}
	Add(Add(el, "xenc:CipherData", ""), "xenc:CipherValue", base64.StdEncoding.EncodeToString(wrapped))
	Add(Add(encrypted, "xenc:CipherData", ""), "xenc:CipherValue", base64.StdEncoding.EncodeToString(data))
	return sealed
}

func (e *Encryption) wrap(t testing.TB, transport string, key []byte) []byte {
	t.Helper()
	public, ok := e.To.PublicKey.(*rsa.PublicKey)
	if !ok {
		t.Fatal("the certificate to encrypt to is not RSA")
	}
	var wrapped []byte
	var err error
	if transport == Xenc+"rsa-1_5" {
		wrapped, err = rsa.EncryptPKCS1v15(rand.Reader, public, key) //nolint:staticcheck // what must be refused has to be made
	} else {
		o := &rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
		if e.Digest == Xenc+"sha256" {
			o.Hash = crypto.SHA256
		}
		if transport == xenc11OA && e.MGF == Xenc11+"mgf1sha256" {
			o.MGFHash = crypto.SHA256
		}
		wrapped, err = rsa.EncryptOAEPWithOptions(rand.Reader, public, key, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

// LogoutRequest builds an unsigned request to end somebody's session.
func (p *IdP) LogoutRequest(sp SP, nameID, sessionIndex string) *etree.Element {
	el := p.message("LogoutRequest", sp.SLO)
	el.CreateAttr("NotOnOrAfter", stamp(p.Now.Add(5*time.Minute)))
	Add(el, "saml:NameID", nameID, "Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress")
	if sessionIndex != "" {
		Add(el, "samlp:SessionIndex", sessionIndex)
	}
	return el
}

// LogoutResponse builds an unsigned answer.
func (p *IdP) LogoutResponse(sp SP, requestID, status string) *etree.Element {
	el := p.message("LogoutResponse", sp.SLO)
	el.CreateAttr("InResponseTo", requestID)
	Add(Add(el, "samlp:Status", ""), "samlp:StatusCode", "", "Value", status)
	return el
}

func (p *IdP) message(local, destination string) *etree.Element {
	el := etree.NewElement("samlp:" + local)
	for _, a := range [][2]string{
		{"xmlns:samlp", Protocol},
		{"xmlns:saml", Assertion},
		{"ID", ID()},
		{"Version", "2.0"},
		{"IssueInstant", stamp(p.Now)},
		{"Destination", destination},
	} {
		el.CreateAttr(a[0], a[1])
	}
	Add(el, "saml:Issuer", p.EntityID)
	return el
}

// Query encodes a message for the redirect binding and signs it: the parameters in the order given, of "message",
// "RelayState" and "SigAlg". The standard's order is that one.
func (p *IdP) Query(t testing.TB, parameter string, message []byte, relayState string, order ...string) string {
	t.Helper()
	algorithm := "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	if _, ok := p.Signer.Key.(*ecdsa.PrivateKey); ok {
		algorithm = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	}
	parts := map[string]string{
		"message":    parameter + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(Deflate(t, message))),
		"RelayState": "RelayState=" + url.QueryEscape(relayState),
		"SigAlg":     "SigAlg=" + url.QueryEscape(algorithm),
	}
	if len(order) == 0 {
		order = []string{"message", "RelayState", "SigAlg"}
	}
	var query string
	for _, name := range order {
		if name == "RelayState" && relayState == "" {
			continue
		}
		if query != "" {
			query += "&"
		}
		query += parts[name]
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(raw(t, p.Signer, crypto.SHA256, []byte(query))))
}

// Deflate compresses as the redirect binding does.
func Deflate(t testing.TB, message []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Request gives the message a provider was sent: the SAMLRequest of a query, deflated, or of a posted form.
func Request(t testing.TB, values url.Values) *etree.Element {
	t.Helper()
	message, err := base64.StdEncoding.DecodeString(values.Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	if inflated, err := io.ReadAll(flate.NewReader(bytes.NewReader(message))); err == nil {
		message = inflated
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(message); err != nil {
		t.Fatal(err)
	}
	return doc.Root()
}

// Describe builds the provider's metadata with the certificates given.
func (p *IdP) Describe(sso, slo string, certs ...*x509.Certificate) *etree.Element {
	el := etree.NewElement("md:EntityDescriptor")
	for _, a := range [][2]string{{"xmlns:md", Metadata}, {"xmlns:ds", Dsig}, {"ID", ID()}, {"entityID", p.EntityID}} {
		el.CreateAttr(a[0], a[1])
	}
	role := Add(el, "md:IDPSSODescriptor", "", "protocolSupportEnumeration", Protocol, "WantAuthnRequestsSigned", "true")
	for _, cert := range certs {
		data := Add(Add(Add(role, "md:KeyDescriptor", "", "use", "signing"), "ds:KeyInfo", ""), "ds:X509Data", "")
		Add(data, "ds:X509Certificate", base64.StdEncoding.EncodeToString(cert.Raw))
	}
	for _, binding := range []string{"HTTP-Redirect", "HTTP-POST"} {
		if slo != "" {
			Add(role, "md:SingleLogoutService", "", "Binding", "urn:oasis:names:tc:SAML:2.0:bindings:"+binding, "Location", slo)
		}
	}
	Add(role, "md:NameIDFormat", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent")
	for _, binding := range []string{"HTTP-Redirect", "HTTP-POST"} {
		Add(role, "md:SingleSignOnService", "", "Binding", "urn:oasis:names:tc:SAML:2.0:bindings:"+binding, "Location", sso)
	}
	return el
}

package saml

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

type method struct {
	hash crypto.Hash
	rsa  bool
}

// signatureMethods are those we read. SHA-1 and MD5 can be collided, HMAC makes the public certificate the secret, DSA
// has no place any more.
var signatureMethods = map[string]method{
	dsig.RSASHA256SignatureMethod:   {crypto.SHA256, true},
	dsig.RSASHA384SignatureMethod:   {crypto.SHA384, true},
	dsig.RSASHA512SignatureMethod:   {crypto.SHA512, true},
	dsig.ECDSASHA256SignatureMethod: {crypto.SHA256, false},
	dsig.ECDSASHA384SignatureMethod: {crypto.SHA384, false},
	dsig.ECDSASHA512SignatureMethod: {crypto.SHA512, false},
}

var digestMethods = []string{
	"http://www.w3.org/2001/04/xmlenc#sha256",
	"http://www.w3.org/2001/04/xmldsig-more#sha384",
	"http://www.w3.org/2001/04/xmlenc#sha512",
}

func signatureOf(el *etree.Element) *etree.Element {
	for _, child := range el.ChildElements() {
		if is(child, nsSignature, "Signature") {
			return child
		}
	}
	return nil
}

// candidates are the pinned certificates that may verify now.
func candidates(certs []*x509.Certificate, now time.Time, ignoreDates bool) ([]*x509.Certificate, error) {
	var usable []*x509.Certificate
	reason := errors.New("no certificate is pinned")
	for _, cert := range certs {
		if reason = strong(cert); reason != nil {
			continue
		}
		if !ignoreDates && (now.Before(cert.NotBefore) || now.After(cert.NotAfter)) {
			reason = errors.New("the pinned certificates are not valid at this time")
			continue
		}
		usable = append(usable, cert)
	}
	if len(usable) == 0 {
		return nil, refuse(CheckSignature, "%v", reason)
	}
	return usable, nil
}

// verify checks the enveloped signature of an element against each certificate and gives back the element that was
// digested, parsed anew from the very bytes that were. Only that may be read afterwards: reading the element that was
// passed in instead is the gap that signature wrapping uses. The shape of the signature has been checked by parse's callers.
func verify(el *etree.Element, certs []*x509.Certificate, now time.Time, ignoreDates bool) (*etree.Element, *x509.Certificate, error) {
	usable, err := candidates(certs, now, ignoreDates)
	if err != nil {
		return nil, nil, err
	}
	// The element as it stands in its document, with the prefixes it inherits, and apart from it.
	scope, err := etreeutils.NSBuildParentContext(el)
	if err != nil {
		return nil, nil, refuse(CheckSignature, "the namespaces cannot be resolved")
	}
	if el, err = etreeutils.NSDetatch(scope, el); err != nil {
		return nil, nil, refuse(CheckSignature, "the namespaces cannot be resolved")
	}
	signature := signatureOf(el)
	if signature == nil {
		return nil, nil, refuse(CheckSignature, "%s is not signed", el.Tag)
	}
	for _, child := range signature.ChildElements() {
		switch child.Tag {
		case "KeyInfo":
			// What a message says about its own key is the sender's claim. The pinned certificates are tried instead, which
			// also serves providers that send no KeyInfo while two certificates are pinned.
			signature.RemoveChild(child)
		case "SignatureValue":
			if err := library(signature, child); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, cert := range usable {
		if !suits(signature, cert) {
			continue
		}
		at := now
		if ignoreDates {
			at = cert.NotBefore
		}
		verifier := dsig.ValidationContext{
			CertificateStore: &dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}},
			IdAttribute:      "ID",
			Clock:            dsig.NewFakeClockAt(at),
		}
		if verified, err := verifier.Validate(el); err == nil && verified != nil {
			// goxmldsig refers to the element by id and takes what the transforms leave of it. That it is the same element
			// by name and id is our own check, and costs nothing.
			if verified.Tag != el.Tag || verified.NamespaceURI() != el.NamespaceURI() || attrValue(verified, "ID") != attrValue(el, "ID") {
				return nil, nil, refuse(CheckSignature, "the signature covers another element")
			}
			return verified, cert, nil
		}
	}
	return nil, nil, refuse(CheckSignature, "no pinned certificate verifies the signature of %s", el.Tag)
}

// suits says whether the key is of the kind the signature's algorithm names.
func suits(signature *etree.Element, cert *x509.Certificate) bool {
	_, isRSA := cert.PublicKey.(*rsa.PublicKey)
	info := signature.ChildElements()[0]
	algorithm := signatureMethods[attrValue(info.ChildElements()[1], "Algorithm")]
	return algorithm.hash != 0 && algorithm.rsa == isRSA
}

// library brings a SignatureValue into the form goxmldsig reads: no white space, and for ECDSA the DER that Go has instead
// of the r and s side by side that XML Signature has (XML Signature 1.1 section 6.4.3).
func library(signature, value *etree.Element) error {
	encoded, err := text(value)
	if err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	if err != nil {
		return refuse(CheckSignature, "the signature's value is not base64")
	}
	info := signature.ChildElements()[0]
	if algorithm := signatureMethods[attrValue(info.ChildElements()[1], "Algorithm")]; !algorithm.rsa {
		if raw, err = toDER(raw); err != nil {
			return refuse(CheckSignature, "the signature's value is malformed")
		}
	}
	value.SetText(base64.StdEncoding.EncodeToString(raw))
	return nil
}

func toDER(raw []byte) ([]byte, error) {
	if n := len(raw); n != 64 && n != 96 {
		return nil, errors.New("not the r and s of P-256 or P-384")
	}
	half := len(raw) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
}

func fromDER(der []byte, size int) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &sig); err != nil || len(rest) > 0 {
		return nil, errors.New("malformed ECDSA signature")
	}
	raw := make([]byte, 2*size)
	sig.R.FillBytes(raw[:size])
	sig.S.FillBytes(raw[size:])
	return raw, nil
}

// sign puts an enveloped signature by key after the element's Issuer (or first, if it has none).
func sign(el *etree.Element, key Key) error {
	signer, err := dsig.NewSigningContext(key.Private, [][]byte{key.Certificate.Raw})
	if err != nil {
		return err
	}
	signer.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	// The canonicalizer works in place; the message goes out as it was built.
	signature, err := signer.ConstructSignature(el.Copy(), true)
	if err != nil {
		return fmt.Errorf("sign %s: %w", el.Tag, err)
	}
	if public, ok := key.Private.Public().(*ecdsa.PublicKey); ok {
		value := signature.SelectElement("SignatureValue")
		der, err := base64.StdEncoding.DecodeString(value.Text())
		if err != nil {
			return err
		}
		raw, err := fromDER(der, (public.Params().BitSize+7)/8)
		if err != nil {
			return err
		}
		value.SetText(base64.StdEncoding.EncodeToString(raw))
	}
	at := 0
	if first := el.ChildElements(); len(first) > 0 && first[0].Tag == "Issuer" {
		at = first[0].Index() + 1
	}
	el.InsertChildAt(at, signature)
	return nil
}

// signOctets is the detached signature of the redirect binding (Bindings section 3.4.4.1).
func signOctets(octets []byte, key Key) ([]byte, error) {
	h := crypto.SHA256.New()
	h.Write(octets)
	sig, err := key.Private.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign the query: %w", err)
	}
	if public, ok := key.Private.Public().(*ecdsa.PublicKey); ok {
		return fromDER(sig, (public.Params().BitSize+7)/8)
	}
	return sig, nil
}

func queryAlgorithm(key Key) string {
	if _, ok := key.Private.Public().(*ecdsa.PublicKey); ok {
		return dsig.ECDSASHA256SignatureMethod
	}
	return dsig.RSASHA256SignatureMethod
}

// verifyOctets checks a detached signature against each certificate.
func verifyOctets(octets, signature []byte, algorithm string, certs []*x509.Certificate, now time.Time, ignoreDates bool) error {
	usable, err := candidates(certs, now, ignoreDates)
	if err != nil {
		return err
	}
	m, ok := signatureMethods[algorithm]
	if !ok {
		return refuse(CheckSignature, "signature algorithm %.100q is not accepted", algorithm)
	}
	h := m.hash.New()
	h.Write(octets)
	digest := h.Sum(nil)
	for _, cert := range usable {
		switch public := cert.PublicKey.(type) {
		case *rsa.PublicKey:
			if m.rsa && rsa.VerifyPKCS1v15(public, m.hash, digest, signature) == nil {
				return nil
			}
		case *ecdsa.PublicKey:
			if der, err := toDER(signature); !m.rsa && err == nil && ecdsa.VerifyASN1(public, digest, der) {
				return nil
			}
		}
	}
	return refuse(CheckSignature, "no pinned certificate verifies the signature of the query")
}

// decodeBase64 is strict: white space of line breaks only, no url-safe alphabet, no bits left over.
func decodeBase64(s string, most int) ([]byte, error) {
	if len(s) > most/3*4+most/16+8 {
		return nil, refuse(CheckShape, "%d characters, more than a message has", len(s))
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, refuse(CheckShape, "not base64")
	}
	return bytes.Clone(raw), nil
}

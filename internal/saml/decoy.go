package saml

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"strings"

	dsig "github.com/russellhaering/goxmldsig"
)

// decoy is an assertion that nobody signed, as long as what was to be decrypted, and in the form that leads it through every check up
// to the comparison of its digest. Judging it takes what judging the real one would have: without that, an answer comes sooner for a
// cipher text that does not become an assertion than for one that does, which is all that Jager and Somorovsky's attack on CBC has to
// know ("How to Break XML Encryption", 2011). Its id is new, so that no message can have it already and cut the work short.
func (c *Connection) decoy(size int) []byte {
	algorithm := dsig.RSASHA256SignatureMethod
	if len(c.IdP.Certificates) > 0 {
		if _, isRSA := c.IdP.Certificates[0].PublicKey.(*rsa.PublicKey); !isRSA {
			algorithm = dsig.ECDSASHA256SignatureMethod
		}
	}
	id := newID()
	var b bytes.Buffer
	b.WriteString(`<saml:Assertion xmlns:saml="` + nsAssertion + `" ID="` + id + `" Version="2.0"><saml:Issuer>-</saml:Issuer>` +
		`<ds:Signature xmlns:ds="` + nsSignature + `"><ds:SignedInfo>` +
		`<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>` +
		`<ds:SignatureMethod Algorithm="` + algorithm + `"/><ds:Reference URI="#` + id + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="` + nsSignature + `enveloped-signature"/>` +
		`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + digestMethods[0] + `"/>` +
		`<ds:DigestValue>` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>` +
		`<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 64)) + `</ds:SignatureValue></ds:Signature>` +
		`<saml:AttributeStatement><saml:Attribute Name="a"><saml:AttributeValue>`)
	const end = `</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>`
	b.WriteString(strings.Repeat("a", max(0, size-b.Len()-len(end))))
	b.WriteString(end)
	return b.Bytes()
}

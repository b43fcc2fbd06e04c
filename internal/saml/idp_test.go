package saml_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
)

const authnRequest = `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"` +
	` ID="ID-" Version="2.0" IssueInstant="2026-11-21T12:00:00Z" Destination="https://id.example/sso"><saml:Issuer>https://app.example</saml:Issuer></samlp:AuthnRequest>`

// issuing is us as a provider, and an application that signs by the provider's key of pairing.
func issuing(t testing.TB) (*saml.Issuer, *saml.Party) {
	t.Helper()
	ours := samltest.RSA(t, 1, now)
	us := &saml.Issuer{
		EntityID: "https://id.example/metadata", SSO: "https://id.example/sso", Signing: []saml.Key{{Private: ours.Key, Certificate: ours.Cert}},
		Now: func() time.Time { return now },
	}
	return us, &saml.Party{
		EntityID: "https://app.example", ACS: "https://app.example/acs", Certificates: []*x509.Certificate{samltest.RSA(t, 0, now).Cert},
	}
}

func asked(raw string) saml.Incoming {
	return saml.Incoming{Binding: saml.Post, Form: url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(raw))}}}
}

// The attack: the signed request is wrapped, and the reader reads another one.
func TestReadAuthnRequest_OnlyWhatWasSignedIsRead(t *testing.T) {
	t.Parallel()
	us, party := issuing(t)
	find := func(string) *saml.Party { return party }
	el := samltest.Request(t, asked(authnRequest).Form)
	samltest.SignElement(t, el, samltest.RSA(t, 0, now), nil, "")
	signed := string(samltest.Bytes(t, el))
	if q, err := us.ReadAuthnRequest(asked(signed), find); err != nil || q.ID != "ID-" {
		t.Fatalf("got %v %v", q, err)
	}
	signature := signed[strings.Index(signed, "<ds:Signature"):]
	signature = signature[:strings.Index(signature, "</ds:Signature>")+len("</ds:Signature>")]
	for name, forged := range map[string]string{
		"forced":     strings.Replace(signed, " Version=", ` ForceAuthn="true" Version=`, 1),
		"wrapped":    strings.Replace(authnRequest, "</saml:Issuer>", "</saml:Issuer><samlp:Extensions>"+signed+"</samlp:Extensions>", 1),
		"moved":      strings.Replace(strings.Replace(authnRequest, "ID-", "other", 1), "</saml:Issuer>", "</saml:Issuer>"+signature, 1),
		"no longer":  strings.Replace(signed, signature, "", 1),
		"twice":      strings.Replace(signed, signature, signature+signature, 1),
		"of nothing": strings.Replace(signed, `URI="#ID-"`, `URI=""`, 1),
	} {
		if _, err := us.ReadAuthnRequest(asked(forged), find); err == nil {
			t.Errorf("%s: it was believed", name)
		} else {
			refused(t, err, saml.CheckSignature, saml.CheckShape)
		}
	}
}

func TestReadAuthnRequest_ABombCostsNothing(t *testing.T) {
	t.Parallel()
	us, _ := issuing(t)
	bomb := url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(samltest.Deflate(t, make([]byte, 10<<20)))}}
	_, err := us.ReadAuthnRequest(saml.Incoming{Binding: saml.Redirect, RawQuery: bomb.Encode()}, func(string) *saml.Party { return nil })
	refused(t, err, saml.CheckShape)
}

func TestReadCertificate_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := samltest.RSA(t, 0, now).Cert
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Raw}))
	for _, given := range []string{text, "\n" + text + "\n", base64.StdEncoding.EncodeToString(good.Raw)} {
		if got, err := saml.ReadCertificate(given); err != nil || !got.Equal(good) {
			t.Errorf("%.30q: %v", given, err)
		}
	}
	for given, want := range map[string]string{
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("k")})): "never a private key",
		text + text:       "more than one",
		"-----BEGIN":      "not PEM",
		"ask the vendor!": "neither PEM nor base64",
		"AAAA":            "not an X.509 certificate",
		base64.StdEncoding.EncodeToString(samltest.Weak(t, now).Cert.Raw): "2048",
	} {
		if _, err := saml.ReadCertificate(given); err == nil || !strings.Contains(fault.As(err).Message, want) {
			t.Errorf("%.30q: got %v, want %q", given, err, want)
		}
	}
}

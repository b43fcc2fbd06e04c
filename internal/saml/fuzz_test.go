package saml_test

import (
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
)

func seeds(f *testing.F) (*samltest.IdP, *saml.Connection) {
	f.Helper()
	idp, c := pairing(f)
	for sign := samltest.SignNone; sign <= samltest.SignBoth; sign++ {
		r := idp.Response(sp, requestID)
		r.Sign = sign
		f.Add(r.XML(f))
		r = idp.Response(sp, requestID)
		r.Sign, r.Encryption = sign, &samltest.Encryption{To: encryptTo(f), Data: samltest.Xenc + "aes128-cbc"}
		f.Add(r.XML(f))
	}
	f.Add([]byte(`<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>`))
	f.Add([]byte(strings.Repeat("<a>", 100)))
	return idp, c
}

// FuzzReadResponse: nothing panics, and whatever is believed says what the provider signed.
func FuzzReadResponse(f *testing.F) {
	_, c := seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := c.ReadResponse(samltest.Form(raw), want)
		if (a == nil) == (err == nil) {
			t.Fatalf("assertion %v with error %v", a, err)
		}
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Fatal(err)
		}
		if a != nil && (a.Subject.Value != "ada@example.com" || a.Issuer != c.IdP.EntityID || len(a.Values("mail")) != 1) {
			t.Fatalf("believed %+v", a)
		}
	})
}

// FuzzReadLogoutRequest reads any query as a redirect.
func FuzzReadLogoutRequest(f *testing.F) {
	idp, c := pairing(f)
	f.Add(idp.Query(f, "SAMLRequest", samltest.Bytes(f, idp.LogoutRequest(sp, "ada@example.com", "s")), "handle"))
	f.Add("SAMLRequest=&SigAlg=&Signature=")
	f.Fuzz(func(t *testing.T, query string) {
		l, err := c.ReadLogoutRequest(redirected(query))
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Fatal(err)
		}
		if l != nil && l.Subject.Value != "ada@example.com" {
			t.Fatalf("believed %+v", l)
		}
	})
}

// FuzzReadMetadata: nothing panics, and what is taken can be used.
func FuzzReadMetadata(f *testing.F) {
	idp, el := described(f)
	f.Add(samltest.Bytes(f, el))
	samltest.SignElement(f, el, idp.Signer, nil, "")
	f.Add(samltest.Bytes(f, el))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := saml.ReadMetadata(raw, saml.MetadataOptions{Now: now})
		if err != nil {
			if strings.Contains(err.Error(), "It cannot be read.") {
				t.Fatal(err)
			}
			return
		}
		if m.EntityID == "" || len(m.SSO) == 0 || len(m.Certificates) == 0 {
			t.Fatalf("took %+v", m)
		}
	})
}

// FuzzReadAuthnRequest reads anything by both bindings: nothing panics, and what is believed of an application that signs is what
// it signed.
func FuzzReadAuthnRequest(f *testing.F) {
	idp, _ := pairing(f)
	us, party := issuing(f)
	request := func() []byte { return []byte(strings.Replace(authnRequest, "ID-", samltest.ID(), 1)) }
	f.Add(request(), idp.Query(f, "SAMLRequest", request(), "state"), true)
	f.Add(request(), "SAMLRequest=&SigAlg=&Signature=", false)
	f.Add([]byte(strings.Replace(authnRequest, "</saml:Issuer>", `</saml:Issuer><saml:Subject><saml:NameID>a@b</saml:NameID></saml:Subject>`+
		`<samlp:NameIDPolicy/><samlp:RequestedAuthnContext><saml:AuthnContextClassRef>x</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>`, 1)), "", false)
	f.Fuzz(func(t *testing.T, raw []byte, query string, signs bool) {
		known := *party
		if !signs {
			known.Certificates = nil
		}
		find := func(entityID string) *saml.Party {
			if entityID != known.EntityID {
				return nil
			}
			return &known
		}
		form := samltest.Form(raw)
		form["SAMLRequest"] = form["SAMLResponse"]
		for _, in := range []saml.Incoming{redirected(query), {Binding: saml.Post, Form: form}} {
			q, err := us.ReadAuthnRequest(in, find)
			if (q == nil) == (err == nil) {
				t.Fatalf("query %v with error %v", q, err)
			}
			if err != nil && strings.Contains(err.Error(), "panicked") {
				t.Fatal(err)
			}
			if err == nil && (q.ID == "" || q.Issuer != known.EntityID || len(q.RelayState) > saml.MaxRelayState) {
				t.Fatalf("believed %+v", q)
			}
		}
	})
}

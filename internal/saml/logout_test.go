package saml_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
)

func redirected(query string) saml.Incoming {
	return saml.Incoming{Binding: saml.Redirect, RawQuery: query}
}

func posted(t testing.TB, parameter string, el *etree.Element) saml.Incoming {
	t.Helper()
	return saml.Incoming{Binding: saml.Post, Form: url.Values{
		parameter: {base64.StdEncoding.EncodeToString(samltest.Bytes(t, el))}, "RelayState": {"theirs"},
	}}
}

func TestReadLogoutRequest_BothBindings(t *testing.T) {
	t.Parallel()
	idp, c := pairing(t)
	el := idp.LogoutRequest(sp, "ada@example.com", "session-1")
	query := idp.Query(t, "SAMLRequest", samltest.Bytes(t, el), "theirs & more")
	samltest.SignElement(t, el, idp.Signer, nil, "")
	for name, in := range map[string]saml.Incoming{
		"theirs & more": redirected(query), "theirs": posted(t, "SAMLRequest", el),
	} {
		got, err := c.ReadLogoutRequest(in)
		if err != nil {
			t.Fatalf("%s: %v", in.Binding, err)
		}
		want := &saml.LogoutRequest{
			ID: el.SelectAttrValue("ID", ""), Subject: saml.NameID{Value: "ada@example.com", Format: saml.EmailAddress},
			SessionIndexes: []string{"session-1"}, RelayState: name, ReplayUntil: now.Add(7 * time.Minute),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", in.Binding, diff)
		}
		out, err := c.LogoutResponse(got, saml.LogoutDone)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := url.Parse(out.URL); err != nil || u.Query().Get("RelayState") != name {
			t.Errorf("answered with %s (%v), want RelayState %q", out.URL, err, name)
		}
	}
}

func TestC162_LogoutRequestThatProvesNothingIsRefused(t *testing.T) {
	t.Parallel()
	idp, c := pairing(t)
	message := func(change func(el *etree.Element)) []byte {
		el := idp.LogoutRequest(sp, "ada@example.com", "session-1")
		if change != nil {
			change(el)
		}
		return samltest.Bytes(t, el)
	}
	good := idp.Query(t, "SAMLRequest", message(nil), "handle")
	stranger := *idp
	stranger.Signer = samltest.RSA(t, 3, now)
	unsigned, _, _ := strings.Cut(good, "&Signature=")
	for name, a := range map[string]struct {
		query string
		check saml.Check
	}{
		"unsigned":                  {unsigned, saml.CheckSignature},
		"signed by a stranger":      {stranger.Query(t, "SAMLRequest", message(nil), ""), saml.CheckSignature},
		"signed over another order": {idp.Query(t, "SAMLRequest", message(nil), "handle", "SigAlg", "message", "RelayState"), saml.CheckSignature},
		"RelayState moved":          {idp.Query(t, "SAMLRequest", message(nil), "handle", "RelayState", "message", "SigAlg"), saml.CheckSignature},
		"RelayState changed":        {strings.Replace(good, "RelayState=handle", "RelayState=another", 1), saml.CheckSignature},
		"RelayState left out":       {strings.Replace(good, "&RelayState=handle", "", 1), saml.CheckSignature},
		"escaped otherwise":         {strings.Replace(good, "RelayState=handle", "RelayState=h%61ndle", 1), saml.CheckSignature},
		"another algorithm":         {strings.Replace(good, "rsa-sha256", "rsa-sha512", 1), saml.CheckSignature},
		"SHA-1":                     {strings.Replace(good, url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"), url.QueryEscape(samltest.Dsig+"rsa-sha1"), 1), saml.CheckSignature},
		"a second message":          {good + "&SAMLRequest=x", saml.CheckShape},
		"a disguised second one":    {good + "&%53AMLRequest=x", saml.CheckShape},
		"another encoding":          {good + "&SAMLEncoding=x", saml.CheckShape},
		"malformed":                 {good + "&%zz=1", saml.CheckShape},
		"empty":                     {"", saml.CheckSignature},
		"expired": {idp.Query(t, "SAMLRequest", message(func(el *etree.Element) {
			el.CreateAttr("NotOnOrAfter", "2026-11-21T11:00:00Z")
		}), ""), saml.CheckTime},
		"old": {idp.Query(t, "SAMLRequest", message(func(el *etree.Element) {
			el.CreateAttr("IssueInstant", "2026-11-21T11:00:00Z")
		}), ""), saml.CheckTime},
		"for another": {idp.Query(t, "SAMLRequest", message(func(el *etree.Element) {
			el.CreateAttr("Destination", "https://other.example/slo")
		}), ""), saml.CheckDestination},
		"for nobody":     {idp.Query(t, "SAMLRequest", message(func(el *etree.Element) { el.RemoveAttr("Destination") }), ""), saml.CheckDestination},
		"by another":     {idp.Query(t, "SAMLRequest", message(func(el *etree.Element) { find(el, "Issuer").SetText("https://evil.example") }), ""), saml.CheckIssuer},
		"about nobody":   {idp.Query(t, "SAMLRequest", message(func(el *etree.Element) { drop(el, "NameID") }), ""), saml.CheckSubject},
		"a response":     {idp.Query(t, "SAMLRequest", samltest.Bytes(t, idp.LogoutResponse(sp, "_x", saml.LogoutDone)), ""), saml.CheckShape},
		"with a DOCTYPE": {idp.Query(t, "SAMLRequest", append([]byte("<!DOCTYPE x>"), message(nil)...), ""), saml.CheckShape},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.ReadLogoutRequest(redirected(a.query))
			if got != nil {
				t.Fatalf("got a request about %q", got.Subject.Value)
			}
			refused(t, err, a.check)
		})
	}

	// Posted, the signature is in the message, and a signature beside it counts nothing.
	el := idp.LogoutRequest(sp, "ada@example.com", "")
	in := posted(t, "SAMLRequest", el)
	in.Form.Set("Signature", "x")
	_, err := c.ReadLogoutRequest(in)
	refused(t, err, saml.CheckSignature)
	samltest.SignElement(t, el, idp.Signer, nil, "")
	find(el, "NameID").SetText(samltest.Evil)
	_, err = c.ReadLogoutRequest(posted(t, "SAMLRequest", el))
	refused(t, err, saml.CheckSignature)

	// By a certificate that has lapsed.
	lapsed := *c
	lapsed.IdP.Certificates = []*x509.Certificate{samltest.Certify(t, idp.Signer.Key, now.Add(-48*time.Hour), now.Add(-time.Hour)).Cert}
	_, err = lapsed.ReadLogoutRequest(redirected(good))
	refused(t, err, saml.CheckSignature)
	lapsed.Settings.IgnoreCertificateDates = true
	if _, err := lapsed.ReadLogoutRequest(redirected(good)); err != nil {
		t.Error(err)
	}

	// Carried out once.
	used := memory{}
	request, err := c.ReadLogoutRequest(redirected(good))
	if err != nil {
		t.Fatal(err)
	}
	if err := request.Once(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	refused(t, request.Once(t.Context(), used), saml.CheckReplay)
}

func TestReadLogoutRequest_ECDSAQuery(t *testing.T) {
	t.Parallel()
	idp, c := pairing(t)
	idp.Signer = samltest.ECDSA(t, elliptic.P256(), now)
	c.IdP.Certificates = []*x509.Certificate{idp.Signer.Cert}
	query := idp.Query(t, "SAMLRequest", samltest.Bytes(t, idp.LogoutRequest(sp, "ada@example.com", "")), "")
	if _, err := c.ReadLogoutRequest(redirected(query)); err != nil {
		t.Fatal(err)
	}
}

func TestReadLogoutResponse_AnswersOurRequest(t *testing.T) {
	t.Parallel()
	idp, c := pairing(t)
	out, err := c.LogoutRequest(saml.NameID{Value: "ada@example.com", Format: saml.Unspecified}, []string{"session-1", ""}, "handle")
	if err != nil {
		t.Fatal(err)
	}
	el := idp.LogoutResponse(sp, out.ID, saml.LogoutDone)
	got, err := c.ReadLogoutResponse(redirected(idp.Query(t, "SAMLResponse", samltest.Bytes(t, el), "handle")), out.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&saml.LogoutAnswer{RelayState: "handle", Complete: true}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	samltest.Add(find(el, "StatusCode"), "samlp:StatusCode", "", "Value", saml.LogoutPartial)
	samltest.SignElement(t, el, idp.Signer, nil, "")
	if got, err = c.ReadLogoutResponse(posted(t, "SAMLResponse", el), out.ID); err != nil || got.Complete {
		t.Errorf("partial: %+v %v", got, err)
	}
	_, err = c.ReadLogoutResponse(posted(t, "SAMLResponse", el), "_another")
	refused(t, err, saml.CheckRequest)
	failed := idp.LogoutResponse(sp, out.ID, "urn:oasis:names:tc:SAML:2.0:status:Responder")
	_, err = c.ReadLogoutResponse(redirected(idp.Query(t, "SAMLResponse", samltest.Bytes(t, failed), "")), out.ID)
	refused(t, err, saml.CheckStatus)
}

// What we send is read by our own reader in the provider's place: one connection each way.
func TestLogout_OurMessagesVerify(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string]samltest.Pair{"RSA": samltest.RSA(t, 1, now), "ECDSA": samltest.ECDSA(t, elliptic.P384(), now)} {
		for _, binding := range []saml.Binding{saml.Redirect, saml.Post} {
			_, c := pairing(t)
			c.SP.Signing = []saml.Key{{Private: pair.Key, Certificate: pair.Cert}}
			c.IdP.SLO = []saml.Endpoint{{Binding: binding, URL: "https://idp.example/slo?realm=a", ResponseURL: "https://idp.example/slo/done"}}
			mirror := saml.Connection{
				SP:  saml.ServiceProvider{EntityID: c.IdP.EntityID, SLO: c.IdP.SLO[0].URL},
				IdP: saml.IdentityProvider{EntityID: c.SP.EntityID, Certificates: []*x509.Certificate{pair.Cert}}, Now: c.Now,
			}
			subject := saml.NameID{Value: "Ἀδα & <x>", Format: saml.Persistent, NameQualifier: "a", SPNameQualifier: "b"}
			out, err := c.LogoutRequest(subject, []string{"s1", "s2"}, "handle")
			if err != nil {
				t.Fatal(err)
			}
			got, err := mirror.ReadLogoutRequest(arrived(t, out))
			if err != nil {
				t.Fatalf("%s %s: %v", name, binding, err)
			}
			if diff := cmp.Diff(&saml.LogoutRequest{
				ID: out.ID, Subject: subject, SessionIndexes: []string{"s1", "s2"}, RelayState: "handle", ReplayUntil: now.Add(7 * time.Minute),
			}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			mirror.SP.SLO = c.IdP.SLO[0].ResponseURL
			for _, result := range []string{saml.LogoutDone, saml.LogoutPartial, saml.LogoutUnknown} {
				if out, err = c.LogoutResponse(&saml.LogoutRequest{ID: "_theirs", RelayState: "any/thing?"}, result); err != nil {
					t.Fatal(err)
				}
				answer, err := mirror.ReadLogoutResponse(arrived(t, out), "_theirs")
				switch result {
				case saml.LogoutUnknown:
					refused(t, err, saml.CheckStatus)
				default:
					if err != nil || answer.Complete != (result == saml.LogoutDone) {
						t.Errorf("%s %s: %+v %v", name, result, answer, err)
					}
				}
			}
		}
	}
}

// arrived is an outgoing message as its receiver gets it.
func arrived(t testing.TB, out *saml.Outgoing) saml.Incoming {
	t.Helper()
	if out.Binding == saml.Redirect {
		u, err := url.Parse(out.URL)
		if err != nil {
			t.Fatal(err)
		}
		return redirected(u.RawQuery)
	}
	form := url.Values{}
	for _, field := range out.Fields {
		form.Add(field.Name, field.Value)
	}
	return saml.Incoming{Binding: saml.Post, Form: form}
}

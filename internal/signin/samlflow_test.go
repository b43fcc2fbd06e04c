package signin_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
)

const (
	sloURL    = "https://idp.example/slo"
	post      = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	redirects = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	success   = "urn:oasis:names:tc:SAML:2.0:status:Success"
)

// describe is the provider's metadata with a logout address.
func (w *samlWorld) describe(pairs ...samltest.Pair) *etree.Element {
	var certs []*x509.Certificate
	for _, p := range pairs {
		certs = append(certs, p.Cert)
	}
	return w.idp.Describe(ssoURL, sloURL, certs...)
}

// only leaves the endpoints of one binding.
func only(el *etree.Element, binding string) string {
	role := el.SelectElement("IDPSSODescriptor")
	for _, e := range append(role.SelectElements("SingleSignOnService"), role.SelectElements("SingleLogoutService")...) {
		e.CreateAttr("Binding", binding)
	}
	doc := etree.NewDocument()
	doc.SetRoot(el)
	text, err := doc.WriteToString()
	if err != nil {
		panic(err)
	}
	return text
}

func encoded(k *store.SAMLKey) string { return base64.StdEncoding.EncodeToString(k.Certificate.Raw) }

// begun is the page of ours that an address leads to first.
func (w *samlWorld) begun(target string) string {
	w.t.Helper()
	if to := w.get(target).header.Get("Location"); strings.HasPrefix(to, "/signin?attempt=") {
		return to
	}
	return target
}

// signedBy says whether requests are signed by that key now.
func (w *samlWorld) signedBy(k *store.SAMLKey) {
	w.t.Helper()
	_, query, _ := strings.Cut(w.away(toSAML), "?")
	octets, signature, _ := strings.Cut(query, "&Signature=")
	signature, err := url.QueryUnescape(signature)
	w.must(err)
	raw, err := base64.StdEncoding.DecodeString(signature)
	w.must(err)
	hash := sha256.Sum256([]byte(octets))
	public, ok := k.Certificate.PublicKey.(*rsa.PublicKey)
	if !ok || rsa.VerifyPKCS1v15(public, crypto.SHA256, hash[:], raw) != nil {
		w.t.Errorf("the request is not signed by the %s key", k.State)
	}
}

// form reads a page that carries a message by a form.
func (w *samlWorld) form(a answer, action string) url.Values {
	w.t.Helper()
	f := a.doc.Find("form[data-submit]")
	if got := f.AttrOr("action", ""); got != action || f.AttrOr("method", "") != "post" || f.Find("button").Length() != 1 {
		w.t.Fatalf("no form to %s: %d %s", action, a.status, a.body)
	}
	origin, _ := url.Parse(action)
	if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' "+origin.Scheme+"://"+origin.Host) {
		w.t.Errorf("the policy: %s", policy)
	}
	values := url.Values{}
	for i := range f.Find("input[type=hidden]").Length() {
		in := f.Find("input[type=hidden]").Eq(i)
		values.Add(in.AttrOr("name", ""), in.AttrOr("value", ""))
	}
	return values
}

func TestSAML_RequestsGoByAFormWhereTheProviderTakesNothingElse(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.declare(only(w.describe(w.idp.Signer), post), func(s *connection.Settings) {
			s.ACRValues = []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"}
			s.SAML = connection.SAMLChoices{NameIDFormat: "persistent", ForceAuthn: true, Signed: "both", ClockSkewSeconds: 120}
		})
		sent := w.form(w.get(w.begun(toSAML)), ssoURL)
		root := samltest.Request(t, sent)
		if root.SelectElement("Signature") == nil || root.SelectAttrValue("ForceAuthn", "") != "true" ||
			root.FindElement("NameIDPolicy").SelectAttrValue("Format", "") != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" ||
			root.FindElement("RequestedAuthnContext/AuthnContextClassRef").Text() != "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport" {
			t.Errorf("the request: %s", samltest.Bytes(t, root))
		}
		answered := func(change func(*samltest.Response)) answer {
			sent := w.form(w.get(w.begun(toSAML)), ssoURL)
			a := w.post(northwind, w.respond(samltest.Request(t, sent).SelectAttrValue("ID", ""), func(r *samltest.Response) {
				r.Sign, r.AuthnInstant = samltest.SignBoth, w.clock.Now()
				if change != nil {
					change(r)
				}
			}), sent.Get("RelayState"))
			if a.status != http.StatusSeeOther {
				return a
			}
			return w.get(a.header.Get("Location"))
		}
		if a := answered(nil); a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("not signed in: %d %s", a.status, a.doc.Find("main").Text())
		}
		// The connection's own choices are held against the answer.
		w.refuses(signin.CodeToken, func() answer { return answered(func(r *samltest.Response) { r.Sign = samltest.SignResponse }) })
		w.refuses(signin.CodeToken, func() answer {
			return answered(func(r *samltest.Response) { r.AuthnInstant = w.clock.Now().Add(-time.Hour) })
		})
		// Without a policy for the NameID nothing is asked.
		w.declare(w.document(w.idp.Signer), func(s *connection.Settings) { s.SAML.NameIDFormat = connection.NoNameIDPolicy })
		_, _, query := w.ask(toSAML)
		if samltest.Request(t, query).SelectElement("NameIDPolicy") != nil {
			t.Error("a NameIDPolicy was sent")
		}
	})
}

// 143, 144, 145, 153: what a provider's portal sends.
func TestSAML_144_UnaskedOnlyWhereItIsTakenAndOnlyByThePersonsOwnPress(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.declare(w.document(w.idp.Signer), func(s *connection.Settings) { s.SAML.Unsolicited = true })
		unasked := func(change func(*samltest.Response)) url.Values {
			return w.respond("", func(r *samltest.Response) {
				r.InResponseTo, r.ConfirmationInResponseTo = "", ""
				if change != nil {
					change(r)
				}
			})
		}
		// Stolen: it answers a request, of whomever.
		_, request, _ := w.ask(toSAML)
		w.refuses(signin.CodeToken, func() answer { return w.post(northwind, w.respond(request, nil), "") })
		w.refuses(signin.CodeToken, func() answer {
			return w.post(northwind, unasked(func(r *samltest.Response) { r.ConfirmationInResponseTo = request }), "")
		})
		w.refuses(signin.CodeToken, func() answer {
			return w.post(northwind, unasked(func(r *samltest.Response) { r.Sign = samltest.SignNone }), "")
		})
		for _, relay := range []string{
			"", "https://evil.example", "//evil.example", "javascript:alert(1)", "/o/northwind\r\nSet-Cookie: x=y", strings.Repeat("a", 10<<10),
		} {
			form := unasked(nil)
			parked := w.post(northwind, form, relay)
			to := parked.header.Get("Location")
			if parked.status != http.StatusSeeOther || !strings.HasPrefix(to, "/sso/northwind/saml/sent?state=") || parked.header.Get("Set-Cookie") != "" {
				t.Fatalf("%.20q: %d %v", relay, parked.status, parked.header)
			}
			w.refuses(signin.CodeToken, func() answer { return w.post(northwind, form, relay) }) // a replay
			asks := w.get(to)
			if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
				t.Fatal("signed in without being asked")
			}
			if !strings.Contains(asks.doc.Find("main").Text(), "ada@northwind.example") {
				t.Errorf("the page does not say who: %s", asks.doc.Find("main").Text())
			}
			state := asks.doc.Find("input[name=state]").AttrOr("value", "")
			// It is this browser's now.
			w.refuses(signin.CodeAttempt, func() answer { return w.do(newBrowser(), http.MethodGet, to, nil) })
			w.refuses(signin.CodeAttempt, func() answer {
				return w.do(newBrowser(), http.MethodPost, "/sso/northwind/saml/sent", url.Values{"state": {state}})
			})
			if again := w.get(to); again.status != http.StatusOK {
				t.Errorf("a reload: %d", again.status)
			}
			entered := w.do(w.browser, http.MethodPost, "/sso/northwind/saml/sent", url.Values{"state": {state}})
			if entered.status != http.StatusSeeOther || entered.header.Get("Location") != "/o/northwind/me" {
				t.Fatalf("not signed in: %d %s", entered.status, entered.doc.Find("main").Text())
			}
			w.refuses(signin.CodeAttempt, func() answer {
				return w.do(w.browser, http.MethodPost, "/sso/northwind/saml/sent", url.Values{"state": {state}})
			})
			w.browser = newBrowser()
		}
		w.declare(w.document(w.idp.Signer), nil)
		w.refuses(signin.CodeUnasked, func() answer { return w.post(northwind, unasked(nil), "") })
	})
}

func (w *samlWorld) withLogout(binding string) {
	w.t.Helper()
	w.declare(only(w.describe(w.idp.Signer), binding), func(s *connection.Settings) { s.UpstreamLogout = true })
}

func (w *samlWorld) slo() samltest.SP {
	sp := w.sp(northwind)
	sp.SLO = strings.TrimSuffix(sp.ACS, "/acs") + "/slo"
	return sp
}

// 162: the provider ends sessions.
func TestSAML_162_TheProviderEndsSessions(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.withLogout(redirects)
		asks := func(change func(*etree.Element)) string {
			w.idp.Now = w.clock.Now()
			el := w.idp.LogoutRequest(w.slo(), "ada@northwind.example", "session-1")
			el.SelectElement("NameID").CreateAttr("Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress")
			if change != nil {
				change(el)
			}
			return w.idp.Query(t, "SAMLRequest", samltest.Bytes(t, el), "theirs")
		}
		stays := func(name string) {
			t.Helper()
			if _, err := w.session(northwind); err != nil {
				t.Fatalf("%s: the session ended: %v", name, err)
			}
		}
		user := w.mustSignInBy(nil)
		good := asks(nil)
		query, err := url.ParseQuery(good)
		w.must(err)
		unsigned := url.Values{"SAMLRequest": query["SAMLRequest"], "RelayState": query["RelayState"]}
		signer := w.idp.Signer
		w.idp.Signer = samltest.RSA(t, 2, w.clock.Now())
		forged := asks(nil)
		w.idp.Signer = signer
		for name, query := range map[string]string{
			"unsigned": unsigned.Encode(), "another's key": forged,
			"altered":                 strings.Replace(good, "RelayState=theirs", "RelayState=ours", 1),
			"signed in another order": w.idp.Query(t, "SAMLRequest", samltest.Bytes(t, w.idp.LogoutRequest(w.slo(), "ada@northwind.example", "session-1")), "theirs", "RelayState", "message", "SigAlg"),
			"old": asks(func(el *etree.Element) {
				el.CreateAttr("IssueInstant", w.clock.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
			}),
			"expired": asks(func(el *etree.Element) {
				el.CreateAttr("NotOnOrAfter", w.clock.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
			}),
			"sent elsewhere": asks(func(el *etree.Element) { el.CreateAttr("Destination", w.app.URL+"/sso/southwind/saml/slo") }),
		} {
			if a := w.get("/sso/northwind/saml/slo?" + query); a.status < 400 || a.header.Get("Location") != "" {
				t.Errorf("%s: %d %v", name, a.status, a.header)
			}
			stays(name)
		}
		// Somebody else's name, format or session ends nothing, and is answered as done.
		for name, query := range map[string]string{
			"another's name": asks(func(el *etree.Element) { el.SelectElement("NameID").SetText("eve@northwind.example") }),
			"another format": asks(func(el *etree.Element) {
				el.SelectElement("NameID").CreateAttr("Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent")
			}),
			"another session": asks(func(el *etree.Element) { el.SelectElement("SessionIndex").SetText("session-2") }),
		} {
			if a := w.get("/sso/northwind/saml/slo?" + query); a.status != http.StatusSeeOther {
				t.Errorf("%s: %d %s", name, a.status, a.doc.Find("main").Text())
			}
			stays(name)
		}
		a := w.get("/sso/northwind/saml/slo?" + good)
		to, err := url.Parse(a.header.Get("Location"))
		w.must(err)
		if a.status != http.StatusSeeOther || !strings.HasPrefix(to.String(), sloURL+"?") || to.Query().Get("RelayState") != "theirs" || to.Query().Get("Signature") == "" {
			t.Fatalf("the answer: %d %v", a.status, a.header)
		}
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the session goes on: %v", err)
		}
		if e := w.events()[0]; e.Action != "session.ended" || e.User != user || e.Actor.Kind != audit.ActorConnection {
			t.Errorf("the event: %+v", e)
		}
		// The same once more.
		w.mustSignInBy(nil)
		if a := w.get("/sso/northwind/saml/slo?" + good); a.code() != string(signin.CodeToken) {
			t.Errorf("a replay: %d %s", a.status, a.code())
		}
		stays("a replay")
		// By a form with the signature within; without a session index all sessions of the name end.
		el := w.idp.LogoutRequest(w.slo(), "ada@northwind.example", "")
		el.SelectElement("NameID").CreateAttr("Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress")
		if index := el.SelectElement("SessionIndex"); index != nil {
			el.RemoveChild(index)
		}
		form := url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(samltest.Bytes(t, el))}}
		if a := w.do(newBrowser(), http.MethodPost, "/sso/northwind/saml/slo", form); a.status < 400 {
			t.Errorf("an unsigned form: %d", a.status)
		}
		samltest.SignElement(t, el, w.idp.Signer, nil, "")
		form = url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(samltest.Bytes(t, el))}}
		if a := w.do(newBrowser(), http.MethodPost, "/sso/northwind/saml/slo", form); a.status != http.StatusSeeOther {
			t.Errorf("a signed form: %d %s", a.status, a.doc.Find("main").Text())
		}
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the session goes on: %v", err)
		}
	})
}

// leaves ends the browser's session as a logout of ours does, and gives where the browser goes.
func (w *samlWorld) leaves(l store.Leaving) (path string) {
	w.t.Helper()
	s, err := w.session(northwind)
	w.must(err)
	w.must(w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
		if _, err := tx.EndSession(w.ctx, s.ID); err != nil {
			return err
		}
		path, err = tx.BeginLeaving(w.ctx, s, seal.Fingerprint(w.cookie("vestibule_b")), l)
		return err
	}))
	return path
}

func TestSAML_OurLogoutEndsTheProvidersSessionToo(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.mustSignInBy(nil)
		if path := w.leaves(store.Leaving{}); path != "" {
			t.Errorf("without upstream_logout: %s", path)
		}
		w.withLogout(redirects)
		// asked leaves and gives the request that the provider gets.
		asked := func(l store.Leaving) (*etree.Element, url.Values) {
			t.Helper()
			w.mustSignInBy(nil)
			path := w.leaves(l)
			if a := w.do(newBrowser(), http.MethodGet, path, nil); a.code() != string(signin.CodeAttempt) {
				t.Errorf("another browser: %d", a.status)
			}
			a := w.get(path)
			to, err := url.Parse(strings.TrimPrefix(a.header.Get("Refresh"), "0; url="))
			w.must(err)
			if a.status != http.StatusOK || !strings.HasPrefix(to.String(), sloURL+"?") || to.Query().Get("Signature") == "" {
				t.Fatalf("not sent to the provider: %d %v %s", a.status, a.header, a.doc.Find("main").Text())
			}
			return samltest.Request(t, to.Query()), to.Query()
		}
		answers := func(request *etree.Element, query url.Values, status string) answer {
			t.Helper()
			w.idp.Now = w.clock.Now()
			el := w.idp.LogoutResponse(w.slo(), request.SelectAttrValue("ID", ""), status)
			return w.get("/sso/northwind/saml/slo?" + w.idp.Query(t, "SAMLResponse", samltest.Bytes(t, el), query.Get("RelayState")))
		}
		request, query := asked(store.Leaving{To: "https://app.example/bye"})
		if n := request.FindElement("NameID"); n.Text() != "ada@northwind.example" ||
			n.SelectAttrValue("Format", "") != "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress" ||
			request.FindElement("SessionIndex").Text() != "session-1" {
			t.Errorf("whose session: %s", samltest.Bytes(t, request))
		}
		if a := answers(request, query, success); a.status != http.StatusSeeOther || a.header.Get("Location") != "https://app.example/bye" {
			t.Errorf("back: %d %v", a.status, a.header)
		}
		if e := w.events()[0]; e.Action != "session.ended-upstream" || e.Outcome == audit.Refused {
			t.Errorf("the event: %+v", e)
		}
		if a := answers(request, query, success); a.code() != string(signin.CodeAttempt) {
			t.Errorf("answered twice: %d %s", a.status, a.code())
		}
		// What the provider does not confirm is told.
		for name, status := range map[string]string{
			"refused": "urn:oasis:names:tc:SAML:2.0:status:Responder", "partial": "urn:oasis:names:tc:SAML:2.0:status:PartialLogout",
		} {
			request, query := asked(store.Leaving{To: "https://app.example/bye"})
			a := answers(request, query, status)
			if text := a.doc.Find("main").Text(); a.status != http.StatusOK || !strings.Contains(text, "did not confirm") ||
				a.doc.Find(`a[href="https://app.example/bye"]`).Length() != 1 {
				t.Errorf("%s: %d %s", name, a.status, text)
			}
			if e := w.events()[0]; e.Code != "logout-incomplete" {
				t.Errorf("%s: the event: %+v", name, e)
			}
		}
		// Unsigned, it confirms nothing.
		request, query = asked(store.Leaving{})
		el := w.idp.LogoutResponse(w.slo(), request.SelectAttrValue("ID", ""), success)
		unsigned := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(samltest.Deflate(t, samltest.Bytes(t, el)))}, "RelayState": query["RelayState"]}
		if a := w.get("/sso/northwind/saml/slo?" + unsigned.Encode()); !strings.Contains(a.doc.Find("main").Text(), "did not confirm") {
			t.Errorf("unsigned: %d %s", a.status, a.doc.Find("main").Text())
		}
		// By a form, and back by one, which brings no cookies.
		w.withLogout(post)
		w.browser = newBrowser()
		relay := w.form(w.get(w.begun(toSAML)), ssoURL)
		a := w.get(w.post(northwind, w.respond(samltest.Request(t, relay).SelectAttrValue("ID", ""), nil), relay.Get("RelayState")).header.Get("Location"))
		if a.header.Get("Location") != "/o/northwind/me" {
			t.Fatalf("not signed in: %d", a.status)
		}
		form := w.form(w.get(w.leaves(store.Leaving{To: "/somewhere", Ask: true})), sloURL)
		el = w.idp.LogoutResponse(w.slo(), samltest.Request(t, form).SelectAttrValue("ID", ""), success)
		samltest.SignElement(t, el, w.idp.Signer, nil, "")
		back := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(samltest.Bytes(t, el))}, "RelayState": {form.Get("RelayState")}}
		a = w.do(newBrowser(), http.MethodPost, "/sso/northwind/saml/slo", back)
		if a.status != http.StatusOK || a.doc.Find(`a[href="/somewhere"]`).Length() != 1 || !strings.Contains(a.doc.Find("main").Text(), "signed out here and at Okta") {
			t.Errorf("back by a form: %d %s", a.status, a.doc.Find("main").Text())
		}
		// A provider without a logout address.
		w.browser = newBrowser()
		w.declare(w.document(w.idp.Signer), func(s *connection.Settings) { s.UpstreamLogout = true })
		w.mustSignInBy(nil)
		if a := w.get(w.leaves(store.Leaving{})); !strings.Contains(a.doc.Find("main").Text(), "takes no logout") {
			t.Errorf("no address: %d %s", a.status, a.doc.Find("main").Text())
		}
		for _, address := range []string{"/sso/northwind/saml/slo", "/sso/northwind/saml/slo?SAMLRequest=a&SAMLResponse=b", "/sso/northwind/saml/leave"} {
			if a := w.get(address); a.status < 400 {
				t.Errorf("%s: %d", address, a.status)
			}
		}
	})
}

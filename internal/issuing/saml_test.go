package issuing_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

const (
	reports = "https://reports.example/metadata"
	archive = "https://archive.example/metadata"
	signOn  = issuer + "/saml/idp/sso"
)

// reporting is a world with two SAML applications: reports takes unsigned requests, archive signs its own and has its assertions
// encrypted.
type reporting struct {
	*world
	key samltest.Pair
}

func eachReporting(t *testing.T, test func(t *testing.T, w *reporting)) {
	t.Helper()
	each(t, func(t *testing.T, w *world) {
		r := &reporting{w, samltest.RSA(t, 1, w.clock.Now())}
		made := madeKey()
		cert64 := base64.StdEncoding.EncodeToString(r.key.Cert.Raw)
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			k := store.AssertionKey{ID: "first", State: "active", Certificate: made.certificate, Activates: w.clock.Now()}
			k.Private = w.db.Keys.Seal("assertion-key/first", made.private)
			tx.AddAssertionKey(w.ctx, k)
			app := application.Application{
				ID: "reports", Name: "Reports", Protocol: application.SAML, EntityID: reports, ACSURL: "https://reports.example/acs",
				Claims: []string{"roles", "grants", "groups", "organization"}, Organizations: []id.Organization{northwind},
			}
			tx.SaveApplication(w.ctx, app)
			app.ID, app.Name, app.EntityID, app.ACSURL = "archive", "Archive", archive, "https://archive.example/acs?x=1&y=2"
			app.Certificates, app.EncryptionCertificate = []string{cert64}, cert64
			tx.SaveApplication(w.ctx, app)
			return nil
		}))
		w.node, w.handler = w.start(w.db)
		test(t, r)
	})
}

// request is an AuthnRequest; edit changes its text.
func (w *reporting) request(entity string, edit ...string) []byte {
	at := w.clock.Now().UTC().Format("2006-01-02T15:04:05Z")
	text := `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="` +
		samltest.ID() + `" Version="2.0" IssueInstant="` + at + `" Destination="` + signOn + `"><saml:Issuer>` + entity + `</saml:Issuer></samlp:AuthnRequest>`
	for i := 0; i < len(edit); i += 2 {
		if !strings.Contains(text, edit[i]) {
			w.t.Fatalf("%q is not in %s", edit[i], text)
		}
		text = strings.Replace(text, edit[i], edit[i+1], 1)
	}
	return []byte(text)
}

func redirected(t *testing.T, message []byte, relay string) string {
	q := url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(samltest.Deflate(t, message))}}
	if relay != "" {
		q.Set("RelayState", relay)
	}
	return q.Encode()
}

func (w *reporting) ask(query string) *httptest.ResponseRecorder {
	return w.send(w.handler, newGet(signOn+"?"+query))
}

// posted sends a form as another site's page does: without cookies. What follows has them again.
func (w *reporting) posted(message []byte, relay string) *httptest.ResponseRecorder {
	rec := w.postTo(w.handler, "/saml/idp/sso", url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(message)}, "RelayState": {relay}})
	if rec.Code != http.StatusSeeOther {
		return rec
	}
	return w.send(w.handler, newGet(issuer+rec.Header().Get("Location")))
}

var (
	action = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// form reads the page that posts itself.
func form(t *testing.T, rec *httptest.ResponseRecorder) (to string, fields url.Values) {
	t.Helper()
	found := action.FindStringSubmatch(rec.Body.String())
	if rec.Code != http.StatusOK || found == nil {
		t.Fatalf("no form: %d %s %s", rec.Code, rec.Header().Get("Location"), rec.Body)
	}
	fields = url.Values{}
	for _, f := range hidden.FindAllStringSubmatch(rec.Body.String(), -1) {
		fields.Add(f[1], html.UnescapeString(f[2]))
	}
	return html.UnescapeString(found[1]), fields
}

// read is what an application makes of the form: our own reader of upstream responses, in the application's place.
func (w *reporting) read(entity, acs, requestID string, fields url.Values) (*saml.Assertion, error) {
	w.t.Helper()
	metadata := w.get("/saml/idp/metadata", nil)
	idp, err := saml.ReadMetadata(metadata.Body.Bytes(), saml.MetadataOptions{Now: w.clock.Now()})
	w.must(err)
	c := &saml.Connection{
		SP: saml.ServiceProvider{
			EntityID: entity, ACS: acs, Encryption: []saml.Key{{Private: w.key.Key, Certificate: w.key.Cert}},
		},
		IdP: idp.IdentityProvider, Settings: saml.Settings{Signed: saml.SignedBoth}, Now: w.clock.Now,
	}
	return c.ReadResponse(fields, saml.Expectation{RequestID: requestID})
}

func idOf(message []byte) string {
	return regexp.MustCompile(` ID="([^"]*)"`).FindStringSubmatch(string(message))[1]
}

func status(t *testing.T, fields url.Values) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:([^"]*)"`).FindAllStringSubmatch(string(raw), -1) {
		out = append(out, m[1])
	}
	if bytes.Contains(raw, []byte("Assertion")) && out[0] != "Success" {
		t.Errorf("an assertion beside the status %v", out)
	}
	return strings.Join(out, " ")
}

// traces gives what a refusal must leave as it was, and how many events it left: every change of the store has one.
func (w *reporting) traces() (kept map[string]int, refused int) {
	w.t.Helper()
	kept = map[string]int{}
	var all []audit.Event
	w.must(w.db.System().Read(w.ctx, func(tx *store.SystemTx) (err error) {
		all, err = tx.Events(w.ctx, store.AuditFilter{Limit: 500})
		return err
	}))
	for _, org := range []id.Organization{northwind, other} {
		for e, err := range w.db.EachEvent(w.ctx, org, store.AuditFilter{}) {
			w.must(err)
			all = append(all, e)
		}
	}
	for _, e := range all {
		if e.Action == "application.refused" && e.Outcome == audit.Refused && e.Code != "" {
			refused++
			continue
		}
		kept[e.Action]++
	}
	for org, user := range w.user {
		w.must(w.db.Read(w.ctx, org, func(tx *store.Tx) error {
			all, err := tx.SessionsOf(w.ctx, user)
			kept[string(org)+" sessions"] = len(all)
			return err
		}))
	}
	return kept, refused
}

// refuses does something that must be refused, and compares what it left.
func (w *reporting) refuses(t *testing.T, name string, do func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	t.Helper()
	before, events := w.traces()
	rec := do()
	after, more := w.traces()
	if d := cmp.Diff(after, before); d != "" {
		t.Errorf("%s: what is kept, got - want +\n%s", name, d)
	}
	if more != events+1 {
		t.Errorf("%s: %d events, want one", name, more-events)
	}
	return rec
}

// stays demands a page of ours that posts nothing anywhere.
func stays(t *testing.T, name string, rec *httptest.ResponseRecorder) {
	t.Helper()
	if rec.Code != http.StatusBadRequest || strings.Contains(rec.Body.String(), "<form") || rec.Header().Get("Location") != "" ||
		!strings.Contains(rec.Body.String(), "This sign-in cannot be answered") {
		t.Errorf("%s: got %d %s %s", name, rec.Code, rec.Header().Get("Location"), rec.Body)
	}
}

func TestSAML_SignInLeadsToAnAssertionWithRoles(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		message := w.request(reports)
		rec := w.ask(redirected(t, message, "deep/link?a=1") + "&organization=northwind")
		u, _ := url.Parse(rec.Header().Get("Location"))
		if rec.Code != http.StatusFound || u.Path != "/signin" {
			t.Fatalf("got %d %s", rec.Code, rec.Header().Get("Location"))
		}
		s := w.signIn(northwind, u.Query().Get("attempt"))
		rec = w.get("/saml/idp/resume", u.Query())
		to, fields := form(t, rec)
		if to != "https://reports.example/acs" || fields.Get("RelayState") != "deep/link?a=1" {
			t.Errorf("posted to %s with %q", to, fields.Get("RelayState"))
		}
		if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://reports.example") || strings.Contains(csp, "unsafe") {
			t.Errorf("policy %q", csp)
		}
		a, err := w.read(reports, to, idOf(message), fields)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for _, x := range a.Attributes {
			got[x.Name] = x.Values
		}
		want := map[string][]string{
			"sub": {string(w.user[northwind])}, "email": {"mia@northwind.example"}, "email_verified": {"true"}, "name": {"Mia northwind"},
			"organization": {"northwind"}, "roles": {"viewer"}, "grants": {`{"resource":"northwind","role":"viewer"}`},
		}
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("attributes, got - want +\n%s", d)
		}
		if a.AuthnContext != saml.ContextTypedOverTLS || a.Subject.Format != saml.Persistent || len(a.Subject.Value) != 43 ||
			a.Subject.SPNameQualifier != reports || !a.NotOnOrAfter.Equal(w.clock.Now().Add(5*time.Minute).Truncate(time.Millisecond)) {
			t.Errorf("assertion %+v", a)
		}
		if got := w.actions(northwind); !slices.Contains(got, "application.opened") {
			t.Errorf("audit %v", got)
		}
		// The session is the person's: another application, another name, nobody asked again.
		message = w.signed(w.request(archive))
		rec = w.posted(message, "")
		to, fields = form(t, rec)
		b, err := w.read(archive, to, idOf(message), fields)
		if err != nil {
			t.Fatal(err)
		}
		if b.Subject.Value == a.Subject.Value || !b.Encrypted || to != "https://archive.example/acs?x=1&y=2" {
			t.Errorf("the other application got %+v at %s", b, to)
		}
		// The same name at the next sign-in.
		message = w.request(reports)
		_, fields = form(t, w.ask(redirected(t, message, "")))
		if again, err := w.read(reports, "https://reports.example/acs", idOf(message), fields); err != nil || again.Subject != a.Subject {
			t.Errorf("again: %v %v", again, err)
		}
		// It ends with the session: no further assertion.
		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.EndSession(w.ctx, s)
			return err
		})
		if rec := w.ask(redirected(t, w.request(reports), "")); rec.Code != http.StatusFound {
			t.Errorf("after the session: %d", rec.Code)
		}
	})
}

func (w *reporting) signed(message []byte) []byte {
	el := samltest.Request(w.t, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(message)}})
	samltest.SignElement(w.t, el, w.key, nil, "")
	return samltest.Bytes(w.t, el)
}

func TestSAML_DeactivatedPersonGetsNoAssertion(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		rec := w.ask(redirected(t, w.request(reports), ""))
		u, _ := url.Parse(rec.Header().Get("Location"))
		w.signIn(northwind, u.Query().Get("attempt"))
		w.write(northwind, func(tx *store.Tx) error {
			return tx.Suspend(w.ctx, w.user[northwind], operator, "")
		})
		rec = w.refuses(t, "between", func() *httptest.ResponseRecorder { return w.get("/saml/idp/resume", u.Query()) })
		if _, fields := form(t, rec); status(t, fields) != "Responder RequestDenied" {
			t.Errorf("status %s", status(t, fields))
		}
		if rec := w.ask(redirected(t, w.request(reports), "")); rec.Code != http.StatusFound {
			t.Errorf("got %d", rec.Code)
		}
	})
}

func TestSAML_164_165_166_167_172_173_WhatCannotBeTrustedStaysHere(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		w.signIn(northwind, "")
		acs := func(url string) []string {
			return []string{` Version=`, ` AssertionConsumerServiceURL="` + url + `" Version=`}
		}
		at := w.clock.Now().UTC().Format("2006-01-02T15:04:05Z")
		for name, edit := range map[string][]string{
			"164 other address":     acs("https://evil.example/acs"),
			"164 script":            acs("javascript:alert(1)"),
			"164 look-alike":        acs("https://reports.example/acs/"),
			"164 another's":         acs("https://archive.example/acs"),
			"165 unknown":           {reports, "https://nobody.example"},
			"166 no issuer":         {"<saml:Issuer>" + reports + "</saml:Issuer>", ""},
			"166 no id":             {` ID="`, ` Id_="`},
			"166 nothing":           {"<saml:Issuer>" + reports + "</saml:Issuer></samlp:AuthnRequest>", "</samlp:AuthnRequest>"},
			"166 two issuers":       {"<saml:Issuer>", "<saml:Issuer>x</saml:Issuer><saml:Issuer>"},
			"167 not signed":        {reports, archive},
			"173 2099":              {at, "2099-01-01T00:00:00Z"},
			"173 last year":         {at, "2020-01-01T00:00:00Z"},
			"173 no instant":        {` IssueInstant="` + at + `"`, ""},
			"document type":         {"<samlp:AuthnRequest", `<!DOCTYPE a><samlp:AuthnRequest`},
			"another message":       {"samlp:AuthnRequest", "samlp:LogoutRequest", "</samlp:AuthnRequest", "</samlp:LogoutRequest"},
			"another's destination": {signOn, "https://evil.example/sso"},
		} {
			stays(t, name, w.refuses(t, name, func() *httptest.ResponseRecorder { return w.ask(redirected(t, w.request(reports, edit...), "")) }))
			stays(t, name+", posted", w.refuses(t, name, func() *httptest.ResponseRecorder { return w.posted(w.request(reports, edit...), "") }))
		}
		stays(t, "RelayState of 2 KiB", w.refuses(t, "relay", func() *httptest.ResponseRecorder {
			return w.ask(redirected(t, w.request(reports), strings.Repeat("a", 2048)))
		}))

		// 167: by the wrong key, by HMAC, over another query, cut short.
		idp := &samltest.IdP{Signer: samltest.RSA(t, 2, w.clock.Now())}
		right := &samltest.IdP{Signer: w.key}
		for name, query := range map[string]func() string{
			"another key": func() string { return idp.Query(t, "SAMLRequest", w.request(archive), "r") },
			"HMAC": func() string {
				return strings.Replace(right.Query(t, "SAMLRequest", w.request(archive), "r"), "rsa-sha256", "hmac-sha256", 1)
			},
			"SHA-1": func() string {
				return strings.Replace(right.Query(t, "SAMLRequest", w.request(archive), "r"), url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"), url.QueryEscape("http://www.w3.org/2000/09/xmldsig#rsa-sha1"), 1)
			},
			"another RelayState": func() string {
				return strings.Replace(right.Query(t, "SAMLRequest", w.request(archive), "r"), "RelayState=r", "RelayState=s", 1)
			},
			"re-ordered": func() string {
				return right.Query(t, "SAMLRequest", w.request(archive), "r", "RelayState", "message", "SigAlg")
			},
			"no algorithm": func() string {
				return regexp.MustCompile(`&SigAlg=[^&]*`).ReplaceAllString(right.Query(t, "SAMLRequest", w.request(archive), "r"), "")
			},
			"empty signature": func() string {
				return regexp.MustCompile(`&Signature=[^&]*`).ReplaceAllString(right.Query(t, "SAMLRequest", w.request(archive), "r"), "&Signature=")
			},
			"no destination": func() string {
				return right.Query(t, "SAMLRequest", w.request(archive, ` Destination="`+signOn+`"`, ""), "r")
			},
		} {
			stays(t, "167 "+name, w.refuses(t, name, func() *httptest.ResponseRecorder { return w.ask(query()) }))
		}
		forged := bytes.Replace(w.signed(w.request(archive)), []byte("<saml:Issuer>"), []byte(`<saml:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">`), 1)
		stays(t, "167 altered", w.refuses(t, "altered", func() *httptest.ResponseRecorder { return w.posted(forged, "") }))
		if to, _ := form(t, w.ask(right.Query(t, "SAMLRequest", w.request(archive), "r"))); !strings.HasPrefix(to, "https://archive.example/") {
			t.Errorf("a signed query leads to %s", to)
		}

		// 172: by either binding, and again after it was kept.
		message := w.request(reports)
		form(t, w.ask(redirected(t, message, "")))
		stays(t, "172 again", w.refuses(t, "again", func() *httptest.ResponseRecorder { return w.ask(redirected(t, message, "")) }))
		stays(t, "172 by POST", w.refuses(t, "again", func() *httptest.ResponseRecorder { return w.posted(message, "") }))
		clear(w.browser)
		message = w.request(reports)
		if rec := w.ask(redirected(t, message, "")); rec.Code != http.StatusFound {
			t.Fatalf("got %d", rec.Code)
		}
		stays(t, "172 while kept", w.refuses(t, "kept", func() *httptest.ResponseRecorder { return w.ask(redirected(t, message, "")) }))
	})
}

func TestSAML_168_169_170_TheRequestsWishesAreMetOrToldOf(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		with := func(attribute string) []string { return []string{` Version=`, ` ` + attribute + ` Version=`} }
		child := func(xml string) []string { return []string{"</saml:Issuer>", "</saml:Issuer>" + xml} }
		told := func(name, want string, edit []string) {
			t.Helper()
			message := w.request(reports, edit...)
			rec := w.refuses(t, name, func() *httptest.ResponseRecorder { return w.ask(redirected(t, message, "state")) })
			to, fields := form(t, rec)
			if got := status(t, fields); got != want || to != "https://reports.example/acs" || fields.Get("RelayState") != "state" {
				t.Errorf("%s: got %s at %s, want %s", name, got, to, want)
			}
		}
		told("168 passive without a session", "Responder NoPassive", with(`IsPassive="true"`))
		told("170 transient", "Requester InvalidNameIDPolicy", child(`<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient"/>`))
		told("170 another's name", "Requester InvalidNameIDPolicy", child(`<samlp:NameIDPolicy SPNameQualifier="`+archive+`"/>`))
		told("another binding", "Requester UnsupportedBinding", with(`ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"`))
		told("passive and forced", "Responder NoPassive", with(`IsPassive="1" ForceAuthn="1"`))

		first := w.signIn(northwind, "")
		message := w.request(reports, with(`IsPassive="true"`)...)
		if _, fields := form(t, w.ask(redirected(t, message, ""))); status(t, fields) != "Success" {
			t.Errorf("168 passive with a session: %s", status(t, fields))
		}
		told("168 passive and forced with a session", "Responder NoPassive", with(`IsPassive="true" ForceAuthn="true"`))

		// 169: the session does not do; the one that comes of a new sign-in does.
		rec := w.ask(redirected(t, w.request(reports, with(`ForceAuthn="true"`)...), ""))
		u, _ := url.Parse(rec.Header().Get("Location"))
		if rec.Code != http.StatusFound || u.Path != "/signin" {
			t.Fatalf("169: got %d %s", rec.Code, rec.Header().Get("Location"))
		}
		w.clock.Advance(time.Second)
		if second := w.signIn(northwind, u.Query().Get("attempt")); second == first {
			t.Fatal("no new session")
		}
		if _, fields := form(t, w.get("/saml/idp/resume", u.Query())); status(t, fields) != "Success" {
			t.Errorf("169: %s", status(t, fields))
		}

		context := func(comparison string, classes ...string) []string {
			xml := `<samlp:RequestedAuthnContext Comparison="` + comparison + `">`
			for _, c := range classes {
				xml += `<saml:AuthnContextClassRef>` + c + `</saml:AuthnContextClassRef>`
			}
			return child(xml + `</samlp:RequestedAuthnContext>`)
		}
		// The session is of a password.
		told("smart card", "Responder NoAuthnContext", context("exact", "urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard"))
		told("better than a password", "Responder NoAuthnContext", context("better", saml.ContextTypedOverTLS))
		told("no class", "Responder NoAuthnContext", context("exact"))
		for _, asked := range [][]string{
			context("exact", "urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard", saml.ContextTypedOverTLS), context("minimum", saml.ContextTypedOverTLS),
			context("maximum", saml.ContextTypedOverTLS), context("exact", saml.ContextUnspecified),
		} {
			if _, fields := form(t, w.ask(redirected(t, w.request(reports, asked...), ""))); status(t, fields) != "Success" {
				t.Errorf("%v: %s", asked, status(t, fields))
			}
		}
		// A second factor that can be asked for is.
		rec = w.ask(redirected(t, w.request(reports, context("exact", "https://refeds.org/profile/mfa")...), ""))
		if u, _ := url.Parse(rec.Header().Get("Location")); u.Path != "/signin" || u.Query().Get("step_up") != "northwind" {
			t.Errorf("a second factor: %d %s", rec.Code, u)
		}
	})
}

func TestSAML_171_RelayStateIsEscaped(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		w.signIn(northwind, "")
		const relay = `"><script>alert(1)</script>&amp;'`
		rec := w.ask(redirected(t, w.request(reports), relay))
		_, fields := form(t, rec)
		if fields.Get("RelayState") != relay || strings.Contains(rec.Body.String(), "<script>alert") {
			t.Errorf("got %q in %s", fields.Get("RelayState"), rec.Body)
		}
	})
}

func TestSAML_174_WhoHasNothingHereIsDenied(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		// Not of an organization that the application is for.
		rec := w.ask(redirected(t, w.request(reports), ""))
		u, _ := url.Parse(rec.Header().Get("Location"))
		w.signIn(other, u.Query().Get("attempt"))
		rec = w.refuses(t, "another organization", func() *httptest.ResponseRecorder { return w.get("/saml/idp/resume", u.Query()) })
		if _, fields := form(t, rec); status(t, fields) != "Responder RequestDenied" {
			t.Errorf("another organization: %s", status(t, fields))
		}
		rec = w.refuses(t, "asked for", func() *httptest.ResponseRecorder {
			return w.ask(redirected(t, w.request(reports), "") + "&organization=other")
		})
		if _, fields := form(t, rec); status(t, fields) != "Responder RequestDenied" {
			t.Errorf("asked for: %s", status(t, fields))
		}
		// Without any role: denied where nobody may be shown anything, else the page that takes a note to whoever gives roles.
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: northwind, Name: "northwind"})
			return nil
		}))
		w.signIn(northwind, "")
		rec = w.refuses(t, "passive", func() *httptest.ResponseRecorder {
			return w.ask(redirected(t, w.request(reports, " Version=", ` IsPassive="true" Version=`), "") + "&organization=northwind")
		})
		if _, fields := form(t, rec); status(t, fields) != "Responder RequestDenied" {
			t.Errorf("without a role, passive: %s", status(t, fields))
		}
		rec = w.ask(redirected(t, w.request(reports), "") + "&organization=northwind")
		if to := rec.Header().Get("Location"); !strings.HasPrefix(to, "/signin/no-access?") {
			t.Errorf("without a role: %d %s", rec.Code, to)
		}
	})
}

func TestSAML_175_AnAssertionIsForOneApplication(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		w.signIn(northwind, "")
		message := w.request(reports)
		to, fields := form(t, w.ask(redirected(t, message, "")))
		if _, err := w.read(archive, to, idOf(message), fields); err == nil || !strings.HasPrefix(err.Error(), "audience") {
			t.Errorf("another audience: %v", err)
		}
		if _, err := w.read(reports, "https://archive.example/acs", idOf(message), fields); err == nil {
			t.Error("another address was taken")
		}
		if _, err := w.read(reports, to, "_another", fields); err == nil {
			t.Error("another request was taken")
		}
		w.clock.Advance(7 * time.Minute)
		if _, err := w.read(reports, to, idOf(message), fields); err == nil {
			t.Error("it is valid for ever")
		}
	})
}

func TestSAML_AnotherBrowserCannotTakeASignInUp(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		rec := w.ask(redirected(t, w.request(reports), ""))
		u, _ := url.Parse(rec.Header().Get("Location"))
		w.signIn(northwind, u.Query().Get("attempt"))
		mine := w.browser
		w.browser = map[string]string{"__Host-vestibule_b": seal.Handle()}
		if rec := w.get("/saml/idp/resume", u.Query()); rec.Code != http.StatusBadRequest || strings.Contains(rec.Body.String(), "SAMLResponse") {
			t.Errorf("another browser: %d", rec.Code)
		}
		w.browser = mine
		// An attempt of the one protocol is not the other's.
		if rec := w.get("/authorize/resume", u.Query()); rec.Code != http.StatusBadRequest {
			t.Errorf("as an authorize request: %d", rec.Code)
		}
		form(t, w.get("/saml/idp/resume", u.Query()))
		if rec := w.get("/saml/idp/resume", u.Query()); rec.Code != http.StatusBadRequest {
			t.Errorf("twice: %d", rec.Code)
		}
	})
}

func TestSAML_AContinuationCannotBeAlteredOrKept(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		w.signIn(northwind, "")
		next := func() string {
			rec := w.postTo(w.handler, "/saml/idp/sso", url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(w.request(reports))}})
			return issuer + rec.Header().Get("Location")
		}
		to := next()
		stays(t, "altered", w.refuses(t, "altered", func() *httptest.ResponseRecorder { return w.send(w.handler, newGet(to[:len(to)-2]+"AA")) }))
		form(t, w.send(w.handler, newGet(to)))
		stays(t, "twice", w.refuses(t, "twice", func() *httptest.ResponseRecorder { return w.send(w.handler, newGet(to)) }))
		to = next()
		w.clock.Advance(2 * time.Minute)
		stays(t, "late", w.refuses(t, "late", func() *httptest.ResponseRecorder { return w.send(w.handler, newGet(to)) }))
	})
}

func TestSAML_NameIDIsWhatTheOperatorChose(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		w.signIn(northwind, "")
		for name, want := range map[application.NameID]saml.NameID{
			application.Email:      {Value: "mia@northwind.example", Format: saml.EmailAddress},
			application.ExternalID: {},
		} {
			w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
				app, err := tx.Application(w.ctx, "reports")
				app.NameID = name
				tx.SaveApplication(w.ctx, app)
				return err
			}))
			_, w.handler = w.start(w.db)
			message := w.request(reports)
			_, fields := form(t, w.ask(redirected(t, message, "")))
			if want.Value == "" {
				if got := status(t, fields); got != "Responder RequestDenied" {
					t.Errorf("%s: %s", name, got)
				}
				continue
			}
			a, err := w.read(reports, "https://reports.example/acs", idOf(message), fields)
			if err != nil || a.Subject != want {
				t.Errorf("%s: %v %v", name, a, err)
			}
		}
	})
}

func TestSAML_KeyRolloverIsPublishedFirst(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		certificates := func() []string {
			rec := w.get("/saml/idp/metadata", nil)
			if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/samlmetadata+xml" {
				t.Fatalf("metadata: %d %s", rec.Code, rec.Header())
			}
			m, err := saml.ReadMetadata(rec.Body.Bytes(), saml.MetadataOptions{Now: w.clock.Now()})
			w.must(err)
			var out []string
			for _, c := range m.Certificates {
				out = append(out, saml.Fingerprint(c))
			}
			return out
		}
		fresh := func() string {
			t.Helper()
			w.signIn(northwind, "")
			message := w.request(reports)
			_, fields := form(t, w.ask(redirected(t, message, "")))
			a, err := w.read(reports, "https://reports.example/acs", idOf(message), fields)
			if err != nil {
				t.Fatal(err)
			}
			return a.SignedBy
		}
		turn := func(d time.Duration) {
			w.clock.Advance(d)
			w.must(w.node.Rotate(w.ctx))
			_, w.handler = w.start(w.db)
		}
		first := certificates()
		if len(first) != 1 || fresh() != first[0] {
			t.Fatalf("certificates %v", first)
		}
		etag := w.get("/saml/idp/metadata", nil).Header().Get("ETag")
		again := newGet(issuer + "/saml/idp/metadata")
		again.Header.Set("If-None-Match", etag)
		if rec := w.send(w.handler, again); rec.Code != http.StatusNotModified || etag == "" {
			t.Errorf("asked again: %d", rec.Code)
		}
		turn(3*365*24*time.Hour - 59*24*time.Hour)
		both := certificates()
		if len(both) != 2 || both[0] != first[0] || fresh() != first[0] {
			t.Fatalf("published beside: %v", both)
		}
		turn(61 * 24 * time.Hour)
		if got := certificates(); len(got) != 1 || got[0] != both[1] || fresh() != both[1] {
			t.Errorf("in use: %v, want %s", got, both[1])
		}
		var keys map[string]any
		w.must(json.Unmarshal(w.get("/jwks", nil).Body.Bytes(), &keys))
		if n := len(keys["keys"].([]any)); n > 4 {
			t.Errorf("%d keys of the OpenID Provider", n)
		}
	})
}

func TestSAML_TheFirstKeyIsMadeByWhoeverAsksFirst(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.get("/saml/idp/metadata", nil)
		_, second := w.start(w.db)
		if again := w.send(second, newGet(issuer+"/saml/idp/metadata")); first.Code != http.StatusOK || again.Body.String() != first.Body.String() {
			t.Errorf("two nodes differ: %d %s\n%s", first.Code, first.Body, again.Body)
		}
	})
}

func TestSAML_OnlyWhatStayedRegisteredIsAnswered(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		rec := w.ask(redirected(t, w.request(reports), ""))
		u, _ := url.Parse(rec.Header().Get("Location"))
		w.signIn(northwind, u.Query().Get("attempt"))
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			app, err := tx.Application(w.ctx, "reports")
			app.ACSURL = "https://moved.example/acs"
			tx.SaveApplication(w.ctx, app)
			return err
		}))
		_, w.handler = w.start(w.db)
		if rec := w.get("/saml/idp/resume", u.Query()); rec.Code != http.StatusBadRequest || strings.Contains(rec.Body.String(), "SAMLResponse") {
			t.Errorf("got %d %s", rec.Code, rec.Body)
		}
	})
}

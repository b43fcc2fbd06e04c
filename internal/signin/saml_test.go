package signin_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

const (
	toSAML = "/signin?organization=northwind&connection=saml&return_to=/o/northwind/me"
	ssoURL = "https://idp.example/sso"
)

// samlWorld is a world whose organizations also sign in by SAML, northwind with an Okta directory keyed by userName.
type samlWorld struct {
	*world
	idp *samltest.IdP
}

func eachSAML(t *testing.T, test func(t *testing.T, w *samlWorld)) {
	t.Helper()
	each(t, func(t *testing.T, w *world) {
		s := &samlWorld{w, &samltest.IdP{EntityID: "https://idp.example/entity", Signer: samltest.RSA(t, 0, w.clock.Now()), Now: w.clock.Now()}}
		s.declare(s.document(s.idp.Signer), nil)
		for _, org := range []id.Organization{northwind, southwind} {
			_, err := w.db.EnsureSAMLKeys(w.ctx, org, "saml") // as the first reader of our metadata does
			w.must(err)
		}
		test(t, s)
	})
}

// document is the provider's metadata with these certificates.
func (w *samlWorld) document(pairs ...samltest.Pair) string {
	var certs []*x509.Certificate
	for _, p := range pairs {
		certs = append(certs, p.Cert)
	}
	return string(samltest.Bytes(w.t, w.idp.Describe(ssoURL, "", certs...)))
}

func (w *samlWorld) declare(metadata string, change func(*connection.Settings)) {
	w.t.Helper()
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		for _, org := range []id.Organization{northwind, southwind} {
			tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: org, ID: "okta", Name: "Okta", Dialect: "okta", Key: "userName"})
			c := connection.Connection{
				Organization: org, ID: "saml", Name: "Okta", Protocol: connection.SAML, Directory: "okta",
				Settings: connection.Settings{
					Metadata: metadata, Match: connection.Match{Claim: "nameid", Attribute: connection.UserName},
					Provisioning: connection.JustInTime, GroupsClaim: "groups",
				},
			}
			if change != nil {
				change(&c.Settings)
			}
			tx.PutDeclaredConnection(c)
			tx.PutDeclaredDomain(store.DeclaredDomain{Domain: string(org) + ".example", Organization: org, Connection: "saml"})
		}
		return nil
	}))
}

func (w *samlWorld) sp(org id.Organization) samltest.SP {
	base := w.app.URL + "/sso/" + string(org) + "/saml"
	return samltest.SP{EntityID: base + "/metadata", ACS: base + "/acs"}
}

// ask begins a sign-in and gives what the provider got.
func (w *samlWorld) ask(target string) (relay, request string, query url.Values) {
	w.t.Helper()
	to := w.away(target)
	u, err := url.Parse(to)
	w.must(err)
	if !strings.HasPrefix(to, ssoURL+"?") {
		w.t.Fatalf("sent to %s", to)
	}
	return u.Query().Get("RelayState"), samltest.Request(w.t, u.Query()).SelectAttrValue("ID", ""), u.Query()
}

// respond makes the provider's response, changed by the test, with the person Ada.
func (w *samlWorld) respond(request string, change func(*samltest.Response)) url.Values {
	w.t.Helper()
	w.idp.Now = w.clock.Now()
	r := w.idp.Response(w.sp(northwind), request)
	r.NameID, r.Attributes = "ada@northwind.example", map[string][]string{"mail": {"ada@northwind.example"}, "givenName": {"Ada"}}
	if change != nil {
		change(r)
	}
	return r.Form(w.t)
}

// post brings a response as the provider's page does: with a browser's Lax cookies left at home.
func (w *samlWorld) post(org id.Organization, form url.Values, relay string) answer {
	w.t.Helper()
	if relay != "" {
		form.Set("RelayState", relay)
	}
	return w.do(newBrowser(), http.MethodPost, "/sso/"+string(org)+"/saml/acs", form)
}

// signInBy is a whole sign-in.
func (w *samlWorld) signInBy(change func(*samltest.Response)) answer {
	w.t.Helper()
	relay, request, _ := w.ask(toSAML)
	a := w.post(northwind, w.respond(request, change), relay)
	if a.status != http.StatusSeeOther {
		return a
	}
	return w.get(a.header.Get("Location"))
}

func (w *samlWorld) mustSignInBy(change func(*samltest.Response)) id.User {
	w.t.Helper()
	a := w.signInBy(change)
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/o/northwind/me" {
		w.t.Fatalf("not signed in: %d %s %s; %+v", a.status, a.header.Get("Location"), a.doc.Find("main").Text(), w.events()[0])
	}
	s, err := w.session(northwind)
	w.must(err)
	return s.User
}

// pushed is Ada's record in the Okta directory.
func (w *samlWorld) pushed(active bool, user id.User) id.User {
	w.t.Helper()
	dialect, _ := scim.DialectNamed("okta")
	by := w.pusher()
	by.Directory, by.Dialect = directory.Directory{ID: "okta", Name: "Okta", Dialect: "okta", Key: directory.KeyUserName}, dialect
	by.Actor.ID, by.Actor.Name = "okta", "Okta"
	says := w.attributes("00u1", "ada@northwind.example", "ada.lovelace@elsewhere.example", active)
	w.write(func(tx *store.Tx) error {
		if user != "" {
			_, err := tx.Push(by).ModifyUser(w.ctx, string(user), nil, func(stored scim.Attributes) (scim.Result, error) {
				return by.User.Replace(stored, says, by.Dialect)
			}, scim.Want{})
			return err
		}
		result, err := by.User.Create(says, by.Dialect)
		if err != nil {
			return err
		}
		made, refusal, err := tx.Push(by).CreateUser(w.ctx, result, scim.Want{})
		if err == nil {
			err = refusal
		}
		if err == nil {
			user = id.User(made.ID)
		}
		return err
	})
	return user
}

func TestSAML_WhoNobodyPushedIsMadeJustInTime(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		user := w.mustSignInBy(func(r *samltest.Response) { r.SessionNotOnOrAfter = w.clock.Now().Add(20 * time.Minute) })
		got := w.state()
		if len(got.Users) != 1 || got.Users[0].ID != user {
			t.Fatalf("users: %+v", got.Users)
		}
		if u := got.Users[0]; u.Email != "ada@northwind.example" || u.EmailVerified || u.Local != directory.JustInTime || u.GivenName != "Ada" {
			t.Errorf("the user: %+v", u)
		}
		const format = "#format=urn%3Aoasis%3Anames%3Atc%3ASAML%3A1.1%3Anameid-format%3AemailAddress"
		if i := got.Identities[user]; len(i) != 1 || i[0].Subject != "ada@northwind.example" || i[0].Issuer != "https://idp.example/entity"+format {
			t.Errorf("identities: %+v", i)
		}
		s, err := w.session(northwind)
		w.must(err)
		if s.Connection != "saml" || s.ACR != "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport" || s.UpstreamSID != "session-1" ||
			!s.AuthTime.Equal(w.clock.Now().Add(-10*time.Second).Truncate(time.Second)) {
			t.Errorf("the session: %+v", s)
		}
		if left := s.Expires.Sub(w.clock.Now()); left > 20*time.Minute || left < 19*time.Minute {
			t.Errorf("the provider's session ends in 20 minutes, ours in %s", left)
		}
		// The same person comes again, by the identity; under another format the same name is somebody else.
		if again := w.mustSignInBy(nil); again != user {
			t.Errorf("the second time: got %s, want %s", again, user)
		}
		w.refuses(connection.CodeEmailTaken, func() answer {
			return w.signInBy(func(r *samltest.Response) { r.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" })
		})
	})
}

func TestSAML_APushedPersonIsFoundByTheNameIDAndStaysOutOnceDeactivated(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		ada := w.pushed(true, "")
		if got := w.mustSignInBy(nil); got != ada {
			t.Fatalf("got %s, want the pushed %s", got, ada)
		}
		w.pushed(false, ada)
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the session outlived the directory's active=false: %v", err)
		}
		w.refuses(connection.CodeDeactivated, func() answer { return w.signInBy(nil) })
	})
}

func TestSAML_WhatIsRefused(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		for name, c := range map[string]struct {
			code   connection.Code
			change func(*samltest.Response)
		}{
			"a foreign domain": {connection.CodeForeignDomain, func(r *samltest.Response) {
				r.NameID, r.Attributes = "ada@evil.example", nil
			}},
			"124, unsigned":         {signin.CodeToken, func(r *samltest.Response) { r.Sign = samltest.SignNone }},
			"132, another's key":    {signin.CodeToken, func(r *samltest.Response) { r.Signer = samltest.RSA(t, 1, w.clock.Now()) }},
			"137, another audience": {signin.CodeToken, func(r *samltest.Response) { r.Audiences = [][]string{{w.sp(southwind).EntityID}} }},
			"139, another issuer":   {signin.CodeIssuer, func(r *samltest.Response) { r.Issuer = "https://evil.example" }},
			"143, another request":  {signin.CodeToken, func(r *samltest.Response) { r.InResponseTo = "_other" }},
			"144, no request":       {signin.CodeToken, func(r *samltest.Response) { r.InResponseTo, r.ConfirmationInResponseTo = "", "" }},
			"156, the provider's no": {signin.CodeDenied, func(r *samltest.Response) {
				r.Status, r.Message = "urn:oasis:names:tc:SAML:2.0:status:Responder", "<script>"
			}},
			"158, two addresses": {signin.CodeToken, func(r *samltest.Response) {
				r.Attributes["mail"] = []string{"ada@northwind.example", "eve@northwind.example"}
			}},
		} {
			t.Log(name)
			w.refuses(c.code, func() answer { return w.signInBy(c.change) })
		}
		w.refuses(signin.CodeUnasked, func() answer {
			return w.post(northwind, w.respond("", nil), "https://northwind.example/portal") // 144, from the provider's portal; 153
		})
		w.refuses(signin.CodeUnasked, func() answer { return w.post(northwind, w.respond("", nil), "") })
		// The response to one attempt with the RelayState of another.
		relay, _, _ := w.ask(toSAML)
		_, request, _ := w.ask(toSAML)
		w.refuses(signin.CodeToken, func() answer { return w.post(northwind, w.respond(request, nil), relay) })
		// And the attempt was ended by its first response.
		w.refuses(signin.CodeAttempt, func() answer { return w.post(northwind, w.respond(request, nil), relay) })
	})
}

// 143: the response is good, the browser that brings the handle is not the one that began (login CSRF).
func TestSAML_143_AnotherBrowserCannotLand(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		relay, request, _ := w.ask(toSAML)
		parked := w.post(northwind, w.respond(request, nil), relay)
		if parked.status != http.StatusSeeOther || len(parked.header.Values("Set-Cookie")) != 0 {
			t.Fatalf("the consumer service: %d %v %s", parked.status, parked.header, parked.doc.Find("main").Text())
		}
		to := parked.header.Get("Location")
		other := newBrowser()
		w.refuses(signin.CodeAttempt, func() answer { return w.do(other, http.MethodGet, to, nil) })
		w.do(other, http.MethodGet, toConsole, nil) // now with a cookie of its own
		w.refuses(signin.CodeAttempt, func() answer { return w.do(other, http.MethodGet, to, nil) })
		// A stranger's try has not burnt it.
		if a := w.get(to); a.status != http.StatusSeeOther || a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("the right browser: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.refuses(signin.CodeAttempt, func() answer { return w.get(to) })
		// Nor does the RelayState itself lead anywhere.
		relay, _, _ = w.ask(toSAML)
		w.refuses(signin.CodeAttempt, func() answer { return w.get("/sso/northwind/saml/landed?state=" + relay) })
	})
}

// service is a second node on the same store, behind the same address.
func (w *samlWorld) service() *signin.SignIn {
	return &signin.SignIn{
		DB: w.db, URL: w.app.URL, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), Guard: netguard.New(netguard.Policy{AllowPrivate: true}),
		From: func(*http.Request) (string, string) { return "192.0.2.1", "request-1" },
	}
}

func (w *samlWorld) node() http.Handler {
	m := mux{http.NewServeMux()}
	w.service().Mount(m)
	return m
}

func TestSAML_145_AReplayIsRefusedOnAnotherNode(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		relay, request, _ := w.ask(toSAML)
		form := w.respond(request, nil)
		form.Set("RelayState", relay)
		nodes := []http.Handler{w.node(), w.node()}
		status := make([]int, len(nodes))
		var both sync.WaitGroup
		for i, n := range nodes {
			both.Go(func() {
				r := httptest.NewRequestWithContext(w.ctx, http.MethodPost, "/sso/northwind/saml/acs", strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				rec := httptest.NewRecorder()
				n.ServeHTTP(rec, r)
				status[i] = rec.Code
			})
		}
		both.Wait()
		if !(status[0] == http.StatusSeeOther && status[1] == http.StatusGone) && !(status[1] == http.StatusSeeOther && status[0] == http.StatusGone) {
			t.Errorf("both nodes at once: %v", status)
		}
		// A message is used once even where an attempt were to ask with the same request id.
		for _, want := range []bool{true, false} {
			w.write(func(tx *store.Tx) error {
				fresh, err := tx.ConsumeMessage(w.ctx, "saml/northwind/saml/message", w.clock.Now().Add(time.Minute))
				if fresh != want {
					t.Errorf("fresh: got %t, want %t", fresh, want)
				}
				return err
			})
		}
	})
}

// 161: the connection is the one of the address, never the one that the message names.
func TestSAML_161_AResponseForOneOrganizationAtAnothers(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		relay, request, _ := w.ask(toSAML)
		form := w.respond(request, nil)
		if a := w.post(southwind, form, relay); a.code() != string(signin.CodeAttempt) {
			t.Errorf("northwind's RelayState at southwind: %d %s", a.status, a.code())
		}
		relay, request, _ = w.ask("/signin?organization=southwind&connection=saml")
		for name, form := range map[string]url.Values{"northwind's message": w.respond(request, nil)} {
			if a := w.post(southwind, form, relay); a.code() != string(signin.CodeToken) {
				t.Errorf("%s at southwind: %d %s", name, a.status, a.code())
			}
		}
		if got := w.state(); len(got.Users) != 0 {
			t.Errorf("users: %+v", got.Users)
		}
	})
}

func TestSAML_160_OurSideForTheProvider(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		if a := w.get("/sso/northwind/saml/acs"); a.status != http.StatusMethodNotAllowed {
			t.Errorf("GET on the consumer service: %d", a.status)
		}
		a := w.get("/sso/northwind/saml/metadata")
		for _, want := range []string{`entityID="` + w.sp(northwind).EntityID + `"`, `Location="` + w.sp(northwind).ACS + `"`, `AuthnRequestsSigned="true"`} {
			if a.status != http.StatusOK || !strings.Contains(a.body, want) || a.header.Get("Content-Type") != "application/samlmetadata+xml" {
				t.Errorf("metadata without %s: %d %v %s", want, a.status, a.header, a.body)
			}
		}
		rec := httptest.NewRecorder()
		w.node().ServeHTTP(rec, httptest.NewRequestWithContext(w.ctx, http.MethodGet, "/sso/northwind/saml/metadata", nil))
		if diff := cmp.Diff(a.body, rec.Body.String()); diff != "" {
			t.Errorf("two nodes differ:\n%s", diff)
		}
		for _, unknown := range []string{"/sso/northwind/corp/metadata", "/sso/nowhere/saml/metadata"} {
			if a := w.get(unknown); a.code() != string(connection.CodeUnknownConnection) {
				t.Errorf("%s: %d %s", unknown, a.status, a.code())
			}
		}

		// The request is signed by that very certificate, over the octets as sent.
		_, encoded, _ := strings.Cut(a.body, "X509Certificate>")
		encoded, _, _ = strings.Cut(encoded, "<")
		der, err := base64.StdEncoding.DecodeString(encoded)
		w.must(err)
		certificate, err := x509.ParseCertificate(der)
		w.must(err)
		_, query, _ := strings.Cut(w.away(toSAML), "?")
		octets, encoded, _ := strings.Cut(query, "&Signature=")
		encoded, err = url.QueryUnescape(encoded)
		w.must(err)
		signature, err := base64.StdEncoding.DecodeString(encoded)
		w.must(err)
		hash := sha256.Sum256([]byte(octets))
		public, ok := certificate.PublicKey.(*rsa.PublicKey)
		if !ok || rsa.VerifyPKCS1v15(public, crypto.SHA256, hash[:], signature) != nil {
			t.Errorf("the request's signature does not verify: %s", query)
		}
	})
}

func TestSAML_AForcedSignInIsAskedForAndProved(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		for _, request := range []string{
			`{"organization":"northwind","connection":"saml","prompt":["login"]}`,
			`{"organization":"northwind","connection":"saml","max_age":60}`,
		} {
			asked := func(when time.Time) answer {
				w.clock.Advance(time.Second)
				relay, answered, query := w.ask(w.application(request))
				if samltest.Request(t, query).SelectAttrValue("ForceAuthn", "") != "true" {
					t.Errorf("%s: nothing was forced", request)
				}
				a := w.post(northwind, w.respond(answered, func(r *samltest.Response) { r.AuthnInstant = when }), relay)
				if a.status != http.StatusSeeOther {
					return a
				}
				return w.get(a.header.Get("Location"))
			}
			w.refuses(signin.CodeToken, func() answer { return asked(w.clock.Now().Add(-10 * time.Minute)) })
			if a := asked(w.clock.Now()); !strings.HasPrefix(a.header.Get("Location"), "/authorize/resume?attempt=") {
				t.Errorf("%s: %d %s", request, a.status, a.doc.Find("main").Text())
			}
		}
	})
}

package issuing_test

import (
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

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

const logoutAt = issuer + "/saml/idp/slo"

// member is an application that takes part in single logout: our own half towards upstream providers, in its place.
type member struct {
	w       *reporting
	entity  string
	pair    samltest.Pair
	binding saml.Binding
	index   string
	name    saml.NameID
}

func (m *member) acs() string { return strings.Replace(m.entity, "/metadata", "/acs", 1) }
func (m *member) slo() string { return strings.Replace(m.entity, "/metadata", "/slo", 1) }

// side is the application's view of us, at the address where it takes requests or answers.
func (m *member) side(at string) *saml.Connection {
	metadata := m.w.get("/saml/idp/metadata", nil)
	idp, err := saml.ReadMetadata(metadata.Body.Bytes(), saml.MetadataOptions{Now: m.w.clock.Now()})
	m.w.must(err)
	idp.SLO = slices.DeleteFunc(idp.SLO, func(e saml.Endpoint) bool { return e.Binding != m.binding })
	return &saml.Connection{
		SP:  saml.ServiceProvider{EntityID: m.entity, SLO: at, Signing: []saml.Key{{Private: m.pair.Key, Certificate: m.pair.Cert}}},
		IdP: idp.IdentityProvider, Now: m.w.clock.Now,
	}
}

// enter signs the browser in at the application.
func (m *member) enter() {
	m.w.t.Helper()
	el := samltest.Request(m.w.t, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(m.w.request(m.entity))}})
	samltest.SignElement(m.w.t, el, m.pair, nil, "")
	message := samltest.Bytes(m.w.t, el)
	to, fields := form(m.w.t, m.w.posted(message, ""))
	a, err := m.w.read(m.entity, to, idOf(message), fields)
	m.w.must(err)
	m.name, m.index = a.Subject, a.SessionIndex
}

// demand is a logout request of the application's; edit changes it before it is signed.
func (m *member) demand(name saml.NameID, indexes ...string) *saml.Outgoing {
	m.w.t.Helper()
	out, err := m.side(m.slo()).LogoutRequest(name, indexes, "relay-1")
	m.w.must(err)
	return out
}

// leaving is a world with two applications that take part: wiki by redirect, with an address of its own for answers, desk by form.
type leaving struct {
	*reporting
	wiki, desk *member
	session    id.Session
}

func eachLeaving(t *testing.T, test func(t *testing.T, w *leaving)) {
	t.Helper()
	eachReporting(t, func(t *testing.T, r *reporting) {
		w := &leaving{
			reporting: r,
			wiki:      &member{w: r, entity: "https://wiki.example/metadata", pair: samltest.RSA(t, 2, r.clock.Now()), binding: saml.Redirect},
			desk:      &member{w: r, entity: "https://desk.example/metadata", pair: samltest.RSA(t, 3, r.clock.Now()), binding: saml.Post},
		}
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			for _, m := range []*member{w.wiki, w.desk} {
				app := application.Application{
					ID: "wiki", Name: "Wiki", Protocol: application.SAML, EntityID: m.entity, ACSURL: m.acs(), SLOURL: m.slo(),
					SLOResponseURL: "https://wiki.example/slo/done?a=1", Organizations: []id.Organization{northwind},
					Certificates: []string{base64.StdEncoding.EncodeToString(m.pair.Cert.Raw)},
				}
				if m == w.desk {
					app.ID, app.Name, app.SLOResponseURL, app.SLOBinding = "desk", "Desk", "", application.Post
				}
				app.Organizations = append(app.Organizations, other)
				if err := app.Check(); err != nil {
					return err
				}
				tx.SaveApplication(w.ctx, app)
			}
			return nil
		}))
		w.node, w.handler = w.start(w.db)
		w.browser["__Host-vestibule_b"] = seal.Handle()
		w.session = w.signIn(northwind, "")
		test(t, w)
	})
}

// carry brings a message to where it goes, as the browser would. A form comes from another site, without cookies.
func (w *leaving) carry(out *saml.Outgoing) *httptest.ResponseRecorder {
	w.t.Helper()
	if out.Binding == saml.Redirect {
		return w.send(w.handler, newGet(out.URL))
	}
	fields := url.Values{}
	for _, f := range out.Fields {
		fields.Set(f.Name, f.Value)
	}
	return w.follow(w.postTo(w.handler, "/saml/idp/slo", fields))
}

// follow follows our own redirects.
func (w *leaving) follow(rec *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	w.t.Helper()
	for rec.Code == http.StatusSeeOther {
		to := strings.TrimPrefix(rec.Header().Get("Location"), issuer)
		if !strings.HasPrefix(to, "/") {
			w.t.Fatalf("a redirect to %s", to)
		}
		rec = w.send(w.handler, newGet(issuer+to))
	}
	return rec
}

// led gives what a page of ours carries on: by its Refresh header, or by its form.
func (w *leaving) led(rec *httptest.ResponseRecorder) (to string, in saml.Incoming) {
	w.t.Helper()
	if refresh, found := strings.CutPrefix(rec.Header().Get("Refresh"), "0; url="); found && rec.Code == http.StatusOK {
		u, err := url.Parse(refresh)
		w.must(err)
		return refresh, saml.Incoming{Binding: saml.Redirect, RawQuery: strings.TrimPrefix(u.RawQuery, "a=1&")}
	}
	to, fields := form(w.t, rec)
	return to, saml.Incoming{Binding: saml.Post, Form: fields}
}

// asked reads the request that a page carries to an application.
func (m *member) asked(w *leaving, rec *httptest.ResponseRecorder) *saml.LogoutRequest {
	w.t.Helper()
	to, in := w.led(rec)
	request, err := m.side(m.slo()).ReadLogoutRequest(in)
	if err != nil || !strings.HasPrefix(to, m.slo()) {
		w.t.Fatalf("led to %s: %v", to, err)
	}
	if request.Subject != m.name || !slices.Equal(request.SessionIndexes, []string{m.index}) {
		w.t.Errorf("asked about %+v %v, want %+v %s", request.Subject, request.SessionIndexes, m.name, m.index)
	}
	return request
}

func (m *member) answer(w *leaving, request *saml.LogoutRequest, result string) *httptest.ResponseRecorder {
	w.t.Helper()
	out, err := m.side(m.slo()).LogoutResponse(request, result)
	w.must(err)
	return w.follow(w.carry(out))
}

// open says whether the session goes on.
func (w *leaving) open(s id.Session) bool {
	w.t.Helper()
	err := w.db.Read(w.ctx, northwind, func(tx *store.Tx) error {
		_, err := tx.SessionByID(w.ctx, s)
		return err
	})
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		w.t.Fatal(err)
	}
	return err == nil
}

// told reads what the application that asked is answered.
func (w *leaving) told(rec *httptest.ResponseRecorder, requestID string) *saml.LogoutAnswer {
	w.t.Helper()
	to, in := w.led(rec)
	if !strings.HasPrefix(to, "https://wiki.example/slo/done?a=1&SAMLResponse=") {
		w.t.Fatalf("led to %s", to)
	}
	answer, err := w.wiki.side("https://wiki.example/slo/done?a=1").ReadLogoutResponse(in, requestID)
	w.must(err)
	if answer.RelayState != "relay-1" {
		w.t.Errorf("RelayState %q", answer.RelayState)
	}
	return answer
}

func TestSAMLLogout_AnApplicationEndsTheSessionAndEverybodyIsTold(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		tokens := w.tokens()
		w.wiki.enter()
		w.desk.enter()
		out := w.wiki.demand(w.wiki.name, w.wiki.index)
		rec := w.follow(w.carry(out))
		if w.open(w.session) || w.browser["__Host-vestibule_s_northwind"] != "" || w.introspect(tokens["access_token"])["active"] != false {
			t.Error("the session goes on")
		}
		if body := rec.Body.String(); !strings.Contains(body, "Desk</strong>") || strings.Contains(body, "Wiki</strong>") || !strings.Contains(body, "Go on without it") {
			t.Errorf("the page: %s", body)
		}
		if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://desk.example") {
			t.Errorf("policy %q", csp)
		}
		request := w.desk.asked(w, rec)
		rec = w.desk.answer(w, request, saml.LogoutDone)
		if !w.told(rec, out.ID).Complete {
			t.Error("partial, though everybody confirmed")
		}
		if got := w.actions(northwind); !slices.Equal(got[len(got)-2:], []string{"session.ended", "session.ended-applications"}) {
			t.Errorf("audit %v", got)
		}
		if n := len(w.notices("app")); n != 1 {
			t.Errorf("%d back-channel logouts", n)
		}
		// Answered twice, from the browser's history.
		if rec := w.desk.answer(w, request, saml.LogoutDone); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "cannot be continued") {
			t.Errorf("again: %d", rec.Code)
		}
		// A request for a session that has ended is met: there is nothing left to end.
		again := w.wiki.demand(w.wiki.name, w.wiki.index)
		if !w.told(w.carry(again), again.ID).Complete {
			t.Error("again: partial")
		}
	})
}

// notices are the back-channel logouts that wait for an application.
func (w *leaving) notices(app string) (out []store.LogoutNotice) {
	w.t.Helper()
	for {
		due, err := w.db.LeaseDeliveries(w.ctx, 10, time.Minute)
		w.must(err)
		if len(due) == 0 {
			return out
		}
		for _, d := range due {
			var n store.LogoutNotice
			if d.Destination == app && json.Unmarshal(d.Payload, &n) == nil {
				out = append(out, n)
			}
		}
	}
}

func TestSAMLLogout_ByFormAndWithoutAnIndexEverySessionOfTheNameEnds(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		w.desk.enter()
		mine := w.browser
		w.browser = map[string]string{}
		elsewhere := w.signIn(northwind, "")
		w.desk.enter()
		w.browser = mine
		name := w.desk.name
		name.Format, name.NameQualifier, name.SPNameQualifier = saml.Unspecified, "", ""
		out := w.desk.demand(name)
		to, in := w.led(w.carry(out))
		answer, err := w.desk.side(w.desk.slo()).ReadLogoutResponse(in, out.ID)
		if err != nil || !answer.Complete || to != w.desk.slo() {
			t.Errorf("answered at %s: %+v %v", to, answer, err)
		}
		if w.open(w.session) || w.open(elsewhere) {
			t.Error("a session goes on")
		}
	})
}

func TestSAMLLogout_AnotherBrowserEndsTheSessionAndSaysWhatWentUntold(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		w.wiki.enter()
		w.desk.enter()
		w.browser = map[string]string{"__Host-vestibule_b": seal.Handle()}
		out := w.wiki.demand(w.wiki.name, w.wiki.index)
		rec := w.carry(out)
		if w.told(rec, out.ID).Complete || w.open(w.session) {
			t.Errorf("open %v", w.open(w.session))
		}
	})
}

func TestSAMLLogout_AnIndexEndsOneSession(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		w.wiki.enter()
		first := w.wiki.index
		w.browser = map[string]string{"__Host-vestibule_b": seal.Handle()}
		second := w.signIn(northwind, "")
		w.wiki.enter()
		out := w.wiki.demand(w.wiki.name, first)
		if !w.told(w.carry(out), out.ID).Complete || w.open(w.session) || !w.open(second) {
			t.Errorf("open: %v %v", w.open(w.session), w.open(second))
		}
	})
}

func TestSAMLLogout_WhoeverDoesNotAnswerHoldsNobody(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		w.wiki.enter()
		w.desk.enter()
		out := w.wiki.demand(w.wiki.name, w.wiki.index)
		rec := w.carry(out)
		way := rec.Header().Get("Location")
		request := w.desk.asked(w, w.follow(rec))
		// The browser's back button, or the link past it.
		rec = w.send(w.handler, newGet(issuer+way))
		if body := rec.Body.String(); !strings.Contains(body, "did not answer") || !strings.Contains(body, "Desk did not confirm") {
			t.Fatalf("the page: %s", body)
		}
		on := html.UnescapeString(regexp.MustCompile(`href="(/saml/idp/leave[^"]*)"`).FindStringSubmatch(rec.Body.String())[1])
		if w.told(w.send(w.handler, newGet(issuer+on)), out.ID).Complete {
			t.Error("not partial")
		}
		events := w.events("session.ended-applications")
		if len(events) != 1 || events[0].Outcome != audit.Refused || !strings.Contains(string(events[0].After), `"desk"`) {
			t.Errorf("events %+v", events)
		}
		if rec := w.desk.answer(w, request, saml.LogoutDone); rec.Code != http.StatusBadRequest {
			t.Errorf("late: %d", rec.Code)
		}
	})
}

func TestSAMLLogout_AskedAgainItGoesOnWhereItWasLeft(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		w.wiki.enter()
		w.desk.enter()
		w.desk.asked(w, w.follow(w.carry(w.wiki.demand(w.wiki.name, w.wiki.index))))
		// The desk shows an error page, and the person signs out at the wiki again.
		again := w.wiki.demand(w.wiki.name, w.wiki.index)
		rec := w.follow(w.carry(again))
		if !strings.Contains(rec.Body.String(), "Desk did not confirm") {
			t.Fatalf("the page: %s", rec.Body)
		}
		on := regexp.MustCompile(`href="(/saml/idp/leave[^"]*)"`).FindStringSubmatch(rec.Body.String())[1]
		if w.told(w.send(w.handler, newGet(issuer+html.UnescapeString(on))), again.ID).Complete {
			t.Error("not partial")
		}
		// In another browser it is no business of this one's.
		w.signIn(northwind, "")
		w.wiki.enter()
		w.desk.enter()
		w.desk.asked(w, w.follow(w.carry(w.wiki.demand(w.wiki.name, w.wiki.index))))
		w.browser = map[string]string{"__Host-vestibule_b": seal.Handle()}
		again = w.wiki.demand(w.wiki.name, w.wiki.index)
		w.told(w.carry(again), again.ID)
	})
}

func (w *leaving) events(action string) (out []audit.Event) {
	for e, err := range w.db.EachEvent(w.ctx, northwind, store.AuditFilter{}) {
		w.must(err)
		if e.Action == action {
			out = append(out, e)
		}
	}
	return out
}

func TestSAMLLogout_AnApplicationThatFailsOrTakesNoneIsPartial(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		w.wiki.enter()
		w.desk.enter()
		out := w.wiki.demand(w.wiki.name, w.wiki.index)
		rec := w.desk.answer(w, w.desk.asked(w, w.follow(w.carry(out))), saml.LogoutDenied)
		if !strings.Contains(rec.Body.String(), "could not sign you out") {
			t.Errorf("the page: %s", rec.Body)
		}
		on := regexp.MustCompile(`href="(/saml/idp/leave[^"]*)"`).FindStringSubmatch(rec.Body.String())[1]
		if w.told(w.send(w.handler, newGet(issuer+html.UnescapeString(on))), out.ID).Complete {
			t.Error("not partial")
		}
		// One without an address is not gone to, and goes on all the same.
		w.signIn(northwind, "")
		w.wiki.enter()
		form(t, w.ask(redirected(t, w.request(reports), "")))
		out = w.wiki.demand(w.wiki.name, w.wiki.index)
		if w.told(w.follow(w.carry(out)), out.ID).Complete {
			t.Error("not partial, though reports goes on")
		}
	})
}

func TestSAMLLogout_SigningOutAtAnOpenIDApplicationTellsEachInTurn(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		tokens := w.tokens()
		w.wiki.enter()
		w.desk.enter()
		rec := w.get("/end_session", url.Values{
			"id_token_hint": {tokens["id_token"].(string)}, "post_logout_redirect_uri": {"https://app.example/bye"}, "state": {"st"},
		})
		if w.open(w.session) {
			t.Error("the session goes on")
		}
		rec = w.follow(rec)
		rec = w.desk.answer(w, w.desk.asked(w, rec), saml.LogoutDone)
		if body := rec.Body.String(); !strings.Contains(body, "signed out</span>") || !strings.Contains(body, "is being told") {
			t.Errorf("the page: %s", body)
		}
		rec = w.wiki.answer(w, w.wiki.asked(w, rec), saml.LogoutDone)
		if to := rec.Header().Get("Refresh"); to != "0; url=https://app.example/bye?state=st" {
			t.Errorf("ended at %q: %s", to, rec.Body)
		}
	})
}

// The attacks: each changes nothing, and no answer goes to where it came from.
func TestSAMLLogout_162_WhatCannotBeTrustedEndsNothing(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		w.wiki.enter()
		w.desk.enter()
		at := w.clock.Now()
		app := &samltest.IdP{EntityID: w.wiki.entity, Signer: w.wiki.pair, Now: at}
		stranger := &samltest.IdP{EntityID: w.wiki.entity, Signer: w.desk.pair, Now: at}
		us := samltest.SP{EntityID: issuer + "/saml/idp/metadata", SLO: logoutAt}
		message := func(edit ...string) []byte {
			el := app.LogoutRequest(us, w.wiki.name.Value, w.wiki.index)
			text := strings.Replace(string(samltest.Bytes(t, el)), saml.EmailAddress, saml.Persistent, 1)
			for i := 0; i < len(edit); i += 2 {
				if !strings.Contains(text, edit[i]) {
					t.Fatalf("%q is not in %s", edit[i], text)
				}
				text = strings.Replace(text, edit[i], edit[i+1], 1)
			}
			return []byte(text)
		}
		stamp := at.UTC().Format("2006-01-02T15:04:05Z")
		for name, query := range map[string]string{
			"unsigned":                    redirected(t, message(), ""),
			"signed by another":           stranger.Query(t, "SAMLRequest", message(), ""),
			"in another's name":           app.Query(t, "SAMLRequest", message(w.wiki.entity, w.desk.entity), ""),
			"of nobody":                   app.Query(t, "SAMLRequest", message(w.wiki.entity, "https://nobody.example"), ""),
			"of one without certificates": app.Query(t, "SAMLRequest", message(w.wiki.entity, reports), ""),
			"foreign destination":         app.Query(t, "SAMLRequest", message(logoutAt, "https://evil.example/slo"), ""),
			"the sign-on address":         app.Query(t, "SAMLRequest", message(logoutAt, signOn), ""),
			"no destination":              app.Query(t, "SAMLRequest", message(` Destination="`+logoutAt+`"`, ""), ""),
			"over":                        app.Query(t, "SAMLRequest", message(` NotOnOrAfter="`+at.Add(5*time.Minute).UTC().Format("2006-01-02T15:04:05Z"), ` NotOnOrAfter="`+at.Add(-5*time.Minute).UTC().Format("2006-01-02T15:04:05Z")), ""),
			"old":                         app.Query(t, "SAMLRequest", message(` IssueInstant="`+stamp, ` IssueInstant="`+at.Add(-time.Hour).UTC().Format("2006-01-02T15:04:05Z")), ""),
			"re-ordered":                  app.Query(t, "SAMLRequest", message(), "relay", "SigAlg", "message", "RelayState"),
			"relay changed":               strings.Replace(app.Query(t, "SAMLRequest", message(), "relay", "message", "RelayState", "SigAlg"), "RelayState=relay", "RelayState=evil", 1),
			"both":                        app.Query(t, "SAMLRequest", message(), "") + "&SAMLResponse=x",
			"neither":                     "RelayState=x",
		} {
			before := len(w.refused())
			rec := w.send(w.handler, newGet(logoutAt+"?"+query))
			if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "This sign-out cannot be carried out") || rec.Header().Get("Location")+rec.Header().Get("Refresh") != "" {
				t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
			}
			if !w.open(w.session) {
				t.Fatalf("%s: the session has ended", name)
			}
			if got := len(w.refused()) - before; got != 1 {
				t.Errorf("%s: %d events", name, got)
			}
		}

		// The signature counts for what it covers: wrapped, moved or altered, nothing is read that it does not.
		el := samltest.Request(t, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(message())}})
		samltest.SignElement(t, el, w.wiki.pair, nil, "")
		signed := string(samltest.Bytes(t, el))
		signature := signed[strings.Index(signed, "<ds:Signature"):]
		signature = signature[:strings.Index(signature, "</ds:Signature>")+len("</ds:Signature>")]
		forged := string(message(w.wiki.name.Value, "somebody-else"))
		for name, text := range map[string]string{
			"altered":  strings.Replace(signed, w.wiki.name.Value, "somebody-else", 1),
			"wrapped":  strings.Replace(forged, "</saml:Issuer>", "</saml:Issuer><samlp:Extensions>"+signed+"</samlp:Extensions>", 1),
			"moved":    strings.Replace(forged, "</saml:Issuer>", "</saml:Issuer>"+signature, 1),
			"stripped": strings.Replace(signed, signature, "", 1),
			"twice":    strings.Replace(signed, signature, signature+signature, 1),
		} {
			rec := w.postTo(w.handler, "/saml/idp/slo", url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(text))}})
			if rec.Code != http.StatusBadRequest || !w.open(w.session) {
				t.Errorf("%s: %d", name, rec.Code)
			}
		}

		// Believed, and about nobody it may speak of: it is told so, and nothing ends.
		for name, edit := range map[string][]string{
			"another's name":    {w.wiki.name.Value, w.desk.name.Value},
			"another's index":   {w.wiki.index, w.desk.index},
			"no such index":     {w.wiki.index, "1"},
			"another format":    {saml.Persistent, saml.EmailAddress},
			"foreign qualifier": {` Format="`, ` NameQualifier="https://evil.example" Format="`},
		} {
			rec := w.send(w.handler, newGet(logoutAt+"?"+app.Query(t, "SAMLRequest", message(edit...), "")))
			_, in := w.led(rec)
			values, _ := url.ParseQuery(in.RawQuery)
			if got := samltest.Request(t, url.Values{"SAMLRequest": values["SAMLResponse"]}); !strings.Contains(string(samltest.Bytes(t, got)), "status:UnknownPrincipal") || !w.open(w.session) {
				t.Errorf("%s: open %v", name, w.open(w.session))
			}
		}

		// Once, and what goes on from a form is ours alone.
		query := app.Query(t, "SAMLRequest", message(), "")
		w.send(w.handler, newGet(logoutAt+"?"+query))
		if w.open(w.session) {
			t.Error("the session goes on")
		}
		w.session = w.signIn(northwind, "")
		w.wiki.enter()
		if rec := w.send(w.handler, newGet(logoutAt+"?"+query)); rec.Code != http.StatusBadRequest || !w.open(w.session) {
			t.Errorf("replayed: %d", rec.Code)
		}
		if rec := w.send(w.handler, newGet(logoutAt+"?continue=AAAA")); rec.Code != http.StatusBadRequest {
			t.Errorf("continued: %d", rec.Code)
		}
	})
}

func (w *leaving) refused() (out []audit.Event) {
	w.t.Helper()
	w.must(w.db.System().Read(w.ctx, func(tx *store.SystemTx) error {
		all, err := tx.Events(w.ctx, store.AuditFilter{Limit: 500})
		for _, e := range all {
			if e.Action == "application.refused" {
				out = append(out, e)
			}
		}
		return err
	}))
	return out
}

func TestSAMLLogout_AnAnswerCountsFromWhoeverWasAskedAlone(t *testing.T) {
	eachLeaving(t, func(t *testing.T, w *leaving) {
		w.wiki.enter()
		w.desk.enter()
		tokens := w.tokens()
		rec := w.follow(w.get("/end_session", url.Values{"id_token_hint": {tokens["id_token"].(string)}}))
		request := w.desk.asked(w, rec)
		post := func(out *saml.Outgoing) *httptest.ResponseRecorder {
			fields := url.Values{}
			for _, f := range out.Fields {
				fields.Set(f.Name, f.Value)
			}
			return w.postTo(w.handler, "/saml/idp/slo", fields)
		}
		done := func(m *member, id string) *saml.Outgoing {
			side := m.side(m.slo())
			side.IdP.SLO = []saml.Endpoint{{Binding: saml.Post, URL: logoutAt}}
			out, err := side.LogoutResponse(&saml.LogoutRequest{ID: id, RelayState: request.RelayState}, saml.LogoutDone)
			w.must(err)
			return out
		}
		posing := *w.desk
		posing.pair = w.wiki.pair
		unsigned := done(w.desk, request.ID)
		raw, _ := base64.StdEncoding.DecodeString(unsigned.Fields[0].Value)
		unsigned.Fields[0].Value = base64.StdEncoding.EncodeToString(regexp.MustCompile(`(?s)<ds:Signature.*</ds:Signature>`).ReplaceAll(raw, nil))
		for name, out := range map[string]*saml.Outgoing{
			"unsigned": unsigned, "of another, by its own key": done(w.wiki, request.ID), "of another, posing": done(&posing, request.ID),
			"to nobody's request": done(w.desk, "_nobody"),
		} {
			// The browser goes on: it is under way, and the answer changes nothing.
			if rec := post(out); rec.Code != http.StatusSeeOther || !strings.HasPrefix(rec.Header().Get("Location"), "/saml/idp/leave?") {
				t.Errorf("%s: %d", name, rec.Code)
			}
		}
		if n := len(w.refused()); n != 4 {
			t.Errorf("%d events", n)
		}
		stray := done(w.desk, request.ID)
		stray.Fields[1].Value = "0198aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa"
		if rec := post(stray); rec.Code != http.StatusBadRequest {
			t.Errorf("stray: %d", rec.Code)
		}
		// Another browser goes nowhere with it.
		mine := w.browser
		for _, b := range []map[string]string{{}, {"__Host-vestibule_b": seal.Handle()}} {
			w.browser = b
			if rec := w.get("/saml/idp/leave", url.Values{"attempt": {request.RelayState}}); rec.Code != http.StatusBadRequest {
				t.Errorf("another browser: %d", rec.Code)
			}
		}
		w.browser = mine
		rec = w.get("/saml/idp/leave", url.Values{"attempt": {request.RelayState}})
		if body := rec.Body.String(); !strings.Contains(body, "did not answer") {
			t.Errorf("the forged answers counted: %s", body)
		}
		// A late answer counts as long as the sign-out is under way.
		if rec := w.desk.answer(w, request, saml.LogoutDone); !strings.Contains(rec.Body.String(), "signed out</span>") {
			t.Errorf("late: %s", rec.Body)
		}
	})
}

package signin_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
)

// demand makes northwind ask for a second factor.
func (w *world) demand() {
	w.t.Helper()
	w.organize(func(s *store.Settings) { s.RequireMFA = true })
}

func (w *world) organize(change func(*store.Settings)) {
	w.t.Helper()
	settings := store.Settings{DefaultRoles: []access.RoleAt{{Role: "viewer"}}, AllowedDomains: []string{"northwind.example"}}
	change(&settings)
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: northwind, Name: "Northwind Energy", Settings: settings})
		tx.In(northwind).BumpOrganization(w.ctx)
		return nil
	}))
}

// says has the provider's ID tokens say more.
func (w *world) says(more map[string]any) {
	w.idp.claims = func(c map[string]any) {
		for name, value := range more {
			c[name] = value
		}
	}
}

// lands follows a redirect that must lead to a page of ours.
func (w *world) lands(a answer, path string) answer {
	w.t.Helper()
	to := a.header.Get("Location")
	if a.status != http.StatusSeeOther || !strings.HasPrefix(to, path) {
		w.t.Fatalf("got %d to %q, want %s: %s", a.status, to, path, a.doc.Find("main").Text())
	}
	return w.get(to)
}

func attemptOf(a answer) string {
	v, _ := a.doc.Find("input[name=attempt]").First().Attr("value")
	return v
}

// post sends the form of a page with one more field.
func (w *world) post(target string, fields ...string) answer {
	w.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return w.do(w.browser, http.MethodPost, target, form)
}

// enrolApp enrols an authenticator app on the page that offers it and gives its key.
func (w *world) enrolApp(a answer) (key string, done answer) {
	w.t.Helper()
	key = strings.ReplaceAll(a.doc.Find("#totp-key").Text(), " ", "")
	if key == "" {
		w.t.Fatalf("no key on %s", a.doc.Find("main").Text())
	}
	return key, w.post("/signin/enrol", "attempt", attemptOf(a), "kind", "totp", "code", w.code(key))
}

func (w *world) code(key string) string {
	w.t.Helper()
	code, err := totp.GenerateCode(key, w.clock.Now())
	w.must(err)
	return code
}

// A second factor that the organization demands of somebody who has none: the sign-in offers to set one up, and then asks for it.
func TestFactor_IsEnrolledOnTheWayInAndAskedForNextTime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "ann@northwind.example")
		w.demand()
		page := w.lands(w.signIn(), "/signin/factor?attempt=")
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Fatalf("a session without the second factor: %v", err)
		}
		if text := page.doc.Find("main").Text(); !strings.Contains(text, "Northwind Energy asks for a second factor") || !strings.Contains(text, "An authenticator app") {
			t.Fatalf("the page: %s", text)
		}
		to, _ := page.doc.Find(`a[href*="kind=totp"]`).Attr("href")
		page = w.get(to)
		picture := w.get("/signin/enrol/qr.png?attempt=" + attemptOf(page))
		if picture.header.Get("Content-Type") != "image/png" || picture.header.Get("Cache-Control") != "no-store" {
			t.Errorf("the picture: %v", picture.header)
		}
		key, done := w.enrolApp(page)
		if done.status != http.StatusSeeOther || done.header.Get("Location") != "/o/northwind/me" {
			t.Fatalf("after enrolling: %d %s", done.status, done.doc.Find("main").Text())
		}
		s, err := w.session(northwind)
		w.must(err)
		if s.User != ann || !mfa.Two(s.AMR) || !s.AuthTime.Equal(w.clock.Now()) {
			t.Errorf("the session: %+v", s)
		}

		// The next time, the code is asked for; the one that enrolled the app is spent, on this node and on any other.
		w.browser = newBrowser()
		page = w.lands(w.signIn(), "/signin/factor?attempt=")
		a := w.post("/signin/factor", "attempt", attemptOf(page), "way", "totp", "code", w.code(key))
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.doc.Find("#code-error").Text(), "does not fit") {
			t.Fatalf("a code twice: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.clock.Advance(30 * time.Second)
		now := w.code(key)
		a = w.post("/signin/factor", "attempt", attemptOf(page), "way", "totp", "code", now[:3]+" "+now[3:])
		if a.header.Get("Location") != "/o/northwind/me" {
			t.Fatalf("the right code: %d %s", a.status, a.doc.Find("main").Text())
		}
		var actions []string
		for _, e := range w.events() {
			actions = append(actions, e.Action)
		}
		want := []string{
			"session.started", "factor.refused", "session.started", "factor.added", "identity.attached", "user.created",
		}
		if diff := cmp.Diff(actions, want); diff != "" {
			t.Errorf("events, newest first; got before want:\n%s", diff)
		}
	})
}

// What is kept between the factors is bound to the browser that showed the first one, like everything else of an attempt.
func TestFactor_IsOfTheBrowserThatBegan(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.demand()
		page := w.lands(w.signIn(), "/signin/factor?attempt=")
		to, _ := page.doc.Find(`a[href*="kind=totp"]`).Attr("href")
		key, _ := w.enrolApp(w.get(to))
		w.browser = newBrowser()
		page = w.lands(w.signIn(), "/signin/factor?attempt=")
		w.clock.Advance(time.Minute)
		thief := newBrowser()
		w.do(thief, http.MethodGet, "/signin?return_to=/", nil)
		form := url.Values{"attempt": {attemptOf(page)}, "way": {"totp"}, "code": {w.code(key)}}
		a := w.do(thief, http.MethodPost, "/signin/factor", form)
		if a.code() != string(signin.CodeAttempt) || len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("another browser: %d %s", a.status, a.doc.Find("main").Text())
		}
		if a := w.do(w.browser, http.MethodPost, "/signin/factor", form); a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("the theft burnt the sign-in: %d %s", a.status, a.doc.Find("main").Text())
		}
		// 176: the session's handle was made at this moment; what stood in the browser before is not taken over.
		if a := w.do(w.browser, http.MethodPost, "/signin/factor", form); a.code() != string(signin.CodeAttempt) {
			t.Errorf("the same answer twice: %d %s", a.status, a.doc.Find("main").Text())
		}
	})
}

// 184 and 185: guessing is bounded for whoever guesses, and shuts out nobody who comes from elsewhere.
func TestFactor_184_185_GuessingIsBoundedAndShutsOutNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.demand()
		page := w.lands(w.signIn(), "/signin/factor?attempt=")
		to, _ := page.doc.Find(`a[href*="kind=totp"]`).Attr("href")
		key, _ := w.enrolApp(w.get(to))
		w.clock.Advance(time.Minute)
		at := w.ip
		w.ip = "203.0.113.66"
		w.browser = newBrowser()
		page = w.lands(w.signIn(), "/signin/factor?attempt=")
		last := 0
		for range 12 {
			last = w.post("/signin/factor", "attempt", attemptOf(page), "way", "totp", "code", "000000").status
		}
		if last != http.StatusTooManyRequests {
			t.Errorf("the twelfth guess: %d", last)
		}
		if a := w.post("/signin/factor", "attempt", attemptOf(page), "way", "totp", "code", w.code(key)); a.status != http.StatusTooManyRequests {
			t.Errorf("the right one among the guesses: %d", a.status)
		}
		w.ip = at
		w.browser = newBrowser()
		page = w.lands(w.signIn(), "/signin/factor?attempt=")
		if a := w.post("/signin/factor", "attempt", attemptOf(page), "way", "totp", "code", w.code(key)); a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("the person, from elsewhere: %d %s", a.status, a.doc.Find("main").Text())
		}
	})
}

// A provider's word about a second factor counts where the connection is trusted with it, and nowhere else.
func TestFactor_TheProvidersWordCountsOnlyWhereItIsTrusted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.demand()
		w.says(map[string]any{"amr": []any{"pwd", "otp", "mfa"}, "acr": "urn:vestibule:acr:mfa"})
		w.lands(w.signIn(), "/signin/factor?attempt=")
		w.configure(func(s *connection.Settings) { s.TrustAMR = true })
		if s := w.mustSignIn(); !slices.Contains(s.AMR, "mfa") {
			t.Errorf("trusted: %+v", s)
		}
		w.says(map[string]any{"amr": []any{"pwd"}, "acr": "phrh"})
		w.lands(w.signIn(), "/signin/factor?attempt=")
		w.configure(func(s *connection.Settings) { s.TrustAMR, s.MFAContexts = true, []string{"phrh"} })
		if s := w.mustSignIn(); !mfa.Two(s.AMR) || s.ACR != "phrh" {
			t.Errorf("by its context: %+v", s)
		}
	})
}

// A role that asks for a second factor asks whoever holds it, and gives nothing to a session that has shown none.
func TestFactor_ARoleMayDemandIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "ann@northwind.example")
		s := w.mustSignIn()
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "keeper", Name: "Keeper", Permissions: []id.Permission{"assets.read"}, RequireMFA: true}, Position: 7})
			tx.Bump(w.ctx, "configuration")
			return nil
		}))
		w.write(func(tx *store.Tx) error {
			_, err := tx.Give(w.ctx, administrator, store.Grant{User: ann, Role: "keeper", Resource: "northwind"})
			return err
		})
		holds := func(amr []string) (roles []id.Role) {
			w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) error {
				e, err := tx.AccessIn(w.ctx, ann, amr)
				if err == nil {
					roles = e.RootRoles()
				}
				return err
			}))
			return roles
		}
		if diff := cmp.Diff(holds(s.AMR), []id.Role{"viewer"}); diff != "" {
			t.Errorf("in the session that there was; got before want:\n%s", diff)
		}
		if diff := cmp.Diff(holds([]string{"pwd", "otp", "mfa"}), []id.Role{"viewer", "keeper"}); diff != "" {
			t.Errorf("with a second factor; got before want:\n%s", diff)
		}
		page := w.lands(w.signIn(), "/signin/factor?attempt=")
		if text := page.doc.Find("main").Text(); !strings.Contains(text, "The role Keeper asks for a second factor.") {
			t.Errorf("the page: %s", text)
		}
	})
}

// stepUp begins to prove the session anew, on the way to enrolling a kind, or to a page.
func (w *world) stepUp(enrol mfa.Kind) answer {
	w.t.Helper()
	q := url.Values{"organization": {"northwind"}, "return_to": {"/o/northwind/me/security"}}
	if enrol != "" {
		q.Set("enrol", string(enrol))
	}
	return w.get("/signin/again?" + q.Encode())
}

// Step-up: an old session is proved anew before something sensitive, by a factor of its own person, and gets a new handle.
func TestStepUp_ProvesAnOldSessionAnewAndGivesItANewHandle(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		first := w.mustSignIn()
		key, a := w.enrolApp(w.lands(w.stepUp(mfa.TOTP), "/signin/enrol?"))
		if a.header.Get("Location") != "/o/northwind/me/security" {
			t.Fatalf("enrolling while fresh: %d %s", a.status, a.doc.Find("main").Text())
		}
		second, err := w.session(northwind)
		w.must(err)
		if second.ID == first.ID || !mfa.Two(second.AMR) || second.User != first.User {
			t.Errorf("the session after enrolling: %+v", second)
		}
		handle := w.cookie("vestibule_s_northwind")

		w.clock.Advance(11 * time.Minute)
		page := w.lands(w.stepUp(""), "/signin/factor?attempt=")
		if text := page.doc.Find("main").Text(); !strings.Contains(text, "show it once more") || !strings.Contains(text, "Corporate sign-in") {
			t.Errorf("the page: %s", text)
		}
		a = w.post("/signin/factor", "attempt", attemptOf(page), "way", "totp", "code", w.code(key))
		if a.header.Get("Location") != "/o/northwind/me/security" {
			t.Fatalf("proved anew: %d %s", a.status, a.doc.Find("main").Text())
		}
		third, err := w.session(northwind)
		w.must(err)
		if third.ID == second.ID || !third.AuthTime.Equal(w.clock.Now()) || w.cookie("vestibule_s_northwind") == handle {
			t.Errorf("the session after step-up: %+v", third)
		}
		// The old one is dead, and does not come back with its cookie.
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: "vestibule_s_northwind", Value: handle})
		if _, err := w.db.Session(w.ctx, northwind, session.For(w.app.URL).Hash(r, northwind)); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the session before: %v", err)
		}
		// While it is fresh, nothing is asked.
		if a := w.stepUp(""); a.header.Get("Location") != "/o/northwind/me/security" {
			t.Errorf("while fresh: %d to %s", a.status, a.header.Get("Location"))
		}
	})
}

// 179: what was begun before a sign-out brings nobody back after it.
func TestStepUp_179_DiesWithItsSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		w.mustSignIn()
		key, _ := w.enrolApp(w.lands(w.stepUp(mfa.TOTP), "/signin/enrol?"))
		w.clock.Advance(11 * time.Minute)
		page := w.lands(w.stepUp(""), "/signin/factor?attempt=")
		s, err := w.session(northwind)
		w.must(err)
		w.write(func(tx *store.Tx) error {
			_, err := tx.EndSession(w.ctx, s.ID)
			return err
		})
		a := w.post("/signin/factor", "attempt", attemptOf(page), "way", "totp", "code", w.code(key))
		if a.code() != string(signin.CodeAttempt) || len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("after the session ended: %d %s", a.status, a.doc.Find("main").Text())
		}
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("a session: %v", err)
		}
	})
}

func TestStepUp_ThroughTheProviderNeedsItsProofAndTheSamePerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "ann@northwind.example")
		w.push("oid-bob", "bob", "bob@northwind.example")
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		w.mustSignIn()
		w.clock.Advance(time.Hour)
		up := func() string {
			page := w.lands(w.stepUp(""), "/signin/factor?attempt=")
			to, _ := page.doc.Find(`#ways a[href^="/signin?attempt="]`).Attr("href")
			away := w.get(to).header.Get("Location")
			if u, err := url.Parse(away); err != nil || u.Query().Get("prompt") != "login" || u.Query().Get("max_age") != "0" {
				t.Fatalf("what the provider is asked: %s", away)
			}
			return away
		}
		if a := w.get(w.approve(up())); a.code() != string(signin.CodeToken) {
			t.Errorf("the provider's old sign-in: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		w.idp.person["sub"], w.idp.person["oid"] = "sub-bob", "oid-bob"
		if a := w.get(w.approve(up())); a.code() != string(signin.CodeOtherPerson) {
			t.Errorf("somebody else at the provider: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.idp.person["sub"], w.idp.person["oid"] = "sub-ann", "oid-ann"
		if a := w.get(w.approve(up())); a.header.Get("Location") != "/o/northwind/me/security" {
			t.Errorf("the same person, anew: %d %s", a.status, a.doc.Find("main").Text())
		}
		if s, err := w.session(northwind); err != nil || s.User != ann || !s.AuthTime.Equal(w.clock.Now()) {
			t.Errorf("the session: %+v %v", s, err)
		}
	})
}

// Whoever finds a browser signed in by one factor must not add a factor of their own beside the person's.
func TestEnrol_AsksForAFactorWhereThereIsOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		w.mustSignIn()
		w.enrolApp(w.lands(w.stepUp(mfa.TOTP), "/signin/enrol?"))
		w.browser = newBrowser()
		s := w.mustSignIn() // no second factor is demanded: the session has one
		if mfa.Two(s.AMR) {
			t.Fatalf("the session: %+v", s)
		}
		page := w.lands(w.stepUp(mfa.Mail), "/signin/factor?attempt=")
		if text := page.doc.Find("main").Text(); !strings.Contains(text, "adding another one asks for it") {
			t.Errorf("the page: %s", text)
		}
		a := w.post("/signin/enrol", "attempt", attemptOf(page), "kind", "mail")
		if a.code() != string(signin.CodeAttempt) {
			t.Errorf("straight to enrolling: %d %s", a.status, a.doc.Find("main").Text())
		}
	})
}

func TestRecoveryCodes_AreShownOnceAndWorkOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "ann@northwind.example")
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		w.mustSignIn()
		w.enrolApp(w.lands(w.stepUp(mfa.TOTP), "/signin/enrol?"))
		page := w.lands(w.stepUp(mfa.Recovery), "/signin/enrol?")
		attempt := attemptOf(page)
		once, _ := page.doc.Find("input[name=once]").Attr("value")
		page = w.post("/signin/enrol", "attempt", attempt, "kind", "recovery", "once", once)
		var codes []string
		for _, n := range page.doc.Find("#codes code").EachIter() {
			codes = append(codes, n.Text())
		}
		if len(codes) != mfa.RecoveryCount || len(codes[0]) != 19 {
			t.Fatalf("codes: %v", codes)
		}
		if to, _ := page.doc.Find("a[download]").Attr("href"); !strings.Contains(to, url.PathEscape(codes[9])) {
			t.Errorf("the file: %s", to)
		}
		// Who loads the page with the codes again sends the form again. It makes no others: these hold.
		again := w.post("/signin/enrol", "attempt", attempt, "kind", "recovery", "once", once)
		if next, _ := again.doc.Find("input[name=once]").Attr("value"); again.status != http.StatusConflict ||
			again.doc.Find("#codes").Length() != 0 || next == "" || next == once ||
			!strings.Contains(again.doc.Find("main").Text(), "They are not shown again") {
			t.Errorf("sent again: %d %s", again.status, again.doc.Find("main").Text())
		}
		if a := w.post("/signin/enrol", "attempt", attempt, "kind", "recovery", "kept", "yes"); a.header.Get("Location") != "/o/northwind/me/security" {
			t.Errorf("afterwards: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.demand()
		use := func(code string) answer {
			w.browser = newBrowser()
			page := w.lands(w.signIn(), "/signin/factor?attempt=")
			return w.post("/signin/factor", "attempt", attemptOf(page), "way", "recovery", "code", code)
		}
		if a := use(strings.ToUpper(strings.ReplaceAll(codes[3], "-", " "))); a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("the first time: %d %s", a.status, a.doc.Find("main").Text())
		}
		if a := use(codes[3]); a.status != http.StatusUnprocessableEntity {
			t.Errorf("the second time: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.write(func(tx *store.Tx) error {
			if left, err := tx.RecoveryCodes(w.ctx, ann); err != nil || left != mfa.RecoveryCount-1 {
				t.Errorf("%d left, %v", left, err)
			}
			return nil
		})
		// 190: nothing of what was typed or shown stands in the log.
		for _, e := range w.events() {
			for _, c := range codes {
				if strings.Contains(string(e.After)+string(e.Before)+e.Reason, c) {
					t.Errorf("the event %s holds a code", e.Action)
				}
			}
		}
	})
}

// Codes by mail: to an address that was shown to be the person's, five tries, ten minutes, the last one sent alone.
func TestMailCodes_AreGoodOnceAndForAWhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		w.mustSignIn()
		page := w.lands(w.stepUp(mfa.Mail), "/signin/enrol?")
		if text := page.doc.Find("main").Text(); !strings.Contains(text, "a***@northwind.example") {
			t.Errorf("the page: %s", text)
		}
		attempt := attemptOf(page)
		page = w.lands(w.post("/signin/enrol", "attempt", attempt, "kind", "mail"), "/signin/enrol?")
		if a := w.post("/signin/enrol", "attempt", attempt, "kind", "mail", "code", "12345678"); a.status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong code: %d", a.status)
		}
		if a := w.post("/signin/enrol", "attempt", attempt, "kind", "mail", "code", w.letter("Your sign-in code")); a.header.Get("Location") != "/o/northwind/me/security" {
			t.Fatalf("the code of the letter: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.demand()
		w.browser = newBrowser()
		page = w.lands(w.signIn(), "/signin/factor?attempt=")
		attempt = attemptOf(page)
		w.lands(w.post("/signin/factor/send", "attempt", attempt, "way", "mail"), "/signin/factor?")
		old := w.letter("Your sign-in code")
		w.lands(w.post("/signin/factor/send", "attempt", attempt, "way", "mail"), "/signin/factor?")
		if a := w.post("/signin/factor", "attempt", attempt, "way", "mail", "code", old); a.status != http.StatusUnprocessableEntity {
			t.Errorf("the code before the last: %d", a.status)
		}
		right := w.letter("Your sign-in code")
		for range mfa.Tries - 1 {
			w.post("/signin/factor", "attempt", attempt, "way", "mail", "code", "00000000")
		}
		if a := w.post("/signin/factor", "attempt", attempt, "way", "mail", "code", right); a.code() != string(signin.CodeChallenge) {
			t.Errorf("the right one after five wrong ones: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.clock.Advance(16 * time.Minute)
		page = w.lands(w.signIn(), "/signin/factor?attempt=")
		attempt = attemptOf(page)
		w.lands(w.post("/signin/factor/send", "attempt", attempt, "way", "mail"), "/signin/factor?")
		if a := w.post("/signin/factor", "attempt", attempt, "way", "mail", "code", w.letter("Your sign-in code")); a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("a fresh one: %d %s", a.status, a.doc.Find("main").Text())
		}
	})
}

// letter gives the code in the newest letter of a subject.
func (w *world) letter(subject string) string {
	w.t.Helper()
	var code string
	deliveries, err := w.db.LeaseDeliveries(w.ctx, 50, time.Millisecond)
	w.must(err)
	for _, d := range deliveries {
		if m, err := w.db.Letter(d); err == nil && strings.HasPrefix(m.Subject, subject) {
			for line := range strings.SplitSeq(m.Text, "\n") {
				if digits := mfa.Digits(line); len(digits) == 8 && strings.Trim(line, "# \r0123456789") == "" {
					code = digits
				}
			}
			w.must(w.db.Delivered(w.ctx, d, nil))
		}
	}
	return code
}

// Lifetimes: the organization's own, and never beyond the provider's; nor does proving it anew extend it.
func TestStepUp_NeverOutlivesTheSessionItCameFrom(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.organize(func(s *store.Settings) { s.Session.LifetimeSeconds = 7200 })
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		first := w.mustSignIn()
		if got := first.Expires.Sub(first.Created); got != 2*time.Hour {
			t.Errorf("the organization's lifetime: %v", got)
		}
		key, _ := w.enrolApp(w.lands(w.stepUp(mfa.TOTP), "/signin/enrol?"))
		w.clock.Advance(time.Hour)
		page := w.lands(w.stepUp(""), "/signin/factor?attempt=")
		w.post("/signin/factor", "attempt", attemptOf(page), "way", "totp", "code", w.code(key))
		s, err := w.session(northwind)
		w.must(err)
		if !s.Expires.Equal(first.Expires) {
			t.Errorf("it ends at %v, want %v", s.Expires, first.Expires)
		}
	})
}

// An application's acr_values ask for a second factor of a session that has shown one: the session goes on from where it is.
func TestFactor_AnApplicationMayAskForMore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		w.mustSignIn()
		to := w.application(`{"client_id":"dashboard","acr_values":["urn:vestibule:acr:mfa"]}`)
		page := w.lands(w.get(to+"&step_up=northwind"), "/signin/factor?attempt=")
		if text := page.doc.Find("main").Text(); !strings.Contains(text, "The application asks for a second factor.") {
			t.Errorf("the page: %s", text)
		}
		link, _ := page.doc.Find(`a[href*="kind=totp"]`).Attr("href")
		_, a := w.enrolApp(w.get(link))
		// Not by a redirect: the application's origin is not in the form's policy.
		if !strings.HasPrefix(a.header.Get("Refresh"), "0; url=/authorize/resume?attempt=") {
			t.Fatalf("afterwards: %d %s", a.status, a.doc.Find("main").Text())
		}
		if s, err := w.session(northwind); err != nil || s.ACR != mfa.ACRMultiple {
			t.Errorf("the session: %+v %v", s, err)
		}
	})
}

// Administrators can reset, under users.manage and its ceiling, and never see.
func TestResetFactors_IsForWhoCouldGiveWhatThePersonHolds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "ann@northwind.example")
		bob := w.push("oid-bob", "bob", "bob@northwind.example")
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "manager", Name: "Manager", Permissions: []id.Permission{access.UsersManage, access.UsersRead}, MayGrant: []id.Role{"viewer"}}, Position: 7})
			tx.Bump(w.ctx, "configuration")
			return nil
		}))
		w.write(func(tx *store.Tx) error {
			if _, err := tx.Give(w.ctx, administrator, store.Grant{User: ann, Role: "owner", Resource: "northwind"}); err != nil {
				return err
			}
			_, err := tx.Give(w.ctx, administrator, store.Grant{User: bob, Role: "manager", Resource: "northwind"})
			return err
		})
		w.says(map[string]any{"auth_time": w.clock.Now().Unix()})
		w.mustSignIn()
		w.enrolApp(w.lands(w.stepUp(mfa.TOTP), "/signin/enrol?"))
		manager := audit.Actor{Kind: audit.ActorUser, ID: string(bob), Name: "Bob", Organization: northwind, Door: audit.Console}
		reset := func(by audit.Actor) error {
			return w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
				return tx.ResetFactors(w.ctx, ann, by, "lost", "192.0.2.1", w.app.URL)
			})
		}
		if err := reset(manager); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("an administrator of users, of an owner: %v", err)
		}
		w.must(reset(administrator))
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("a session after the reset: %v", err)
		}
		if e := w.events()[0]; e.Action != "factors.reset" || e.User != ann {
			t.Errorf("the event: %+v", e)
		}
	})
}

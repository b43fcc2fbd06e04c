package signin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/password"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

const (
	herons  = "three herons left early"
	lantern = "a lantern under the stairs"
)

// guest makes a user whom no provider has: invited, say.
func (w *world) guest(email string) id.User {
	w.t.Helper()
	var user id.User
	w.write(func(tx *store.Tx) error {
		u, err := tx.CreateJustInTime(w.ctx, store.NewUser{Email: email, EmailVerified: true, DisplayName: "Gus Guest"}, administrator)
		if err == nil {
			user = u.ID
		}
		return err
	})
	return user
}

// chosen gives a user a password.
func (w *world) chosen(user id.User, plain string) {
	w.t.Helper()
	hash, err := password.Hash(w.ctx, plain)
	w.must(err)
	w.write(func(tx *store.Tx) error {
		return tx.SetPassword(w.ctx, user, store.NewPassword{Hash: hash, How: "account"}, administrator)
	})
}

// passwordPage is where somebody of an organization enters a password.
func (w *world) passwordPage() answer {
	w.t.Helper()
	return w.get(w.get("/signin?organization=northwind&way=password&return_to=/o/northwind/me").header.Get("Location"))
}

func hidden(a answer, name string) string {
	v, _ := a.doc.Find("input[name=" + name + "]").First().Attr("value")
	return v
}

// enter fills the page for a password in.
func (w *world) enter(email, plain string) answer {
	w.t.Helper()
	page := w.passwordPage()
	return w.do(w.browser, http.MethodPost, "/signin/password", url.Values{
		"attempt": {hidden(page, "attempt")}, "organization": {hidden(page, "organization")}, "email": {email}, "password": {plain},
	})
}

func (w *world) mustEnter(email, plain string) session.Session {
	w.t.Helper()
	a := w.enter(email, plain)
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/o/northwind/me" {
		w.t.Fatalf("not signed in: %d %s %s; %+v", a.status, a.header.Get("Location"), a.doc.Find("main").Text(), w.events()[0])
	}
	s, err := w.session(northwind)
	w.must(err)
	return s
}

// letters are those that lie in the outbox, the newest first.
func (w *world) letters() (out []mail.Message) {
	w.t.Helper()
	w.must(w.db.System().Read(w.ctx, func(tx *store.SystemTx) error {
		deliveries, _, err := tx.Letters(w.ctx, "", "", 100)
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			m, err := w.db.Letter(d)
			if err != nil {
				return err
			}
			out = append(out, m)
		}
		return nil
	}))
	return out
}

var linkIn = regexp.MustCompile(`https?://\S+(/signin/link/\S+)`)

// link is the address in the newest letter of a template.
func (w *world) link(template mail.Template, to string) string {
	w.t.Helper()
	for _, m := range w.letters() {
		if m.Template == template && m.To.Email == to {
			return linkIn.FindStringSubmatch(m.Text)[1]
		}
	}
	w.t.Fatalf("no letter %s to %s among %d", template, to, len(w.letters()))
	return ""
}

// forget asks for a link to choose a password, and has it answered.
func (w *world) forget(email string) answer {
	w.t.Helper()
	a := w.askLink(email)
	for _, d := range w.waiting() {
		taken, err := w.db.LeaseDeliveries(w.ctx, 1, time.Minute, d.ID)
		w.must(err)
		w.must(w.db.AnswerReset(w.ctx, taken[0]))
		w.must(w.db.Delivered(w.ctx, taken[0], nil))
	}
	return a
}

// waiting is what was asked and has no answer yet.
func (w *world) waiting() []outbox.Delivery {
	w.t.Helper()
	due, err := w.db.DueDeliveries(w.ctx, 100, outbox.Full{})
	w.must(err)
	return slices.DeleteFunc(due, func(d outbox.Delivery) bool { return d.Kind != outbox.ResetAsked })
}

// askLink only asks.
func (w *world) askLink(email string) answer {
	w.t.Helper()
	page := w.passwordPage()
	return w.do(w.browser, http.MethodPost, "/signin/forgot", url.Values{
		"attempt": {hidden(page, "attempt")}, "organization": {hidden(page, "organization")}, "email": {email},
	})
}

func TestPassword_WhoHasOneComesIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("gus@northwind.example")
		w.chosen(gus, herons)
		s := w.mustEnter("GUS@northwind.example", herons)
		if s.User != gus || s.Connection != "" || !s.AuthTime.Equal(w.clock.Now()) {
			t.Errorf("the session: %+v", s)
		}
		if diff := cmp.Diff(s.AMR, []string{mfa.Password}); diff != "" {
			t.Errorf("amr: %s", diff)
		}
		e := w.events()[0]
		if e.Action != "session.started" || e.User != gus || !strings.Contains(string(e.After), "password") {
			t.Errorf("the event: %+v", e)
		}
	})
}

// Negative case 176: a handle that somebody planted before the sign-in is worth nothing after it.
func TestPassword_176_ASessionGetsANewId(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.chosen(w.guest("gus@northwind.example"), herons)
		first := w.mustEnter("gus@northwind.example", herons)
		before := w.cookie("vestibule_s_northwind")
		second := w.mustEnter("gus@northwind.example", herons)
		if second.ID == first.ID || w.cookie("vestibule_s_northwind") == before {
			t.Error("the second sign-in keeps the first one's session")
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: "vestibule_s_northwind", Value: before})
		if _, err := w.db.Session(w.ctx, northwind, session.For(w.app.URL).Hash(r, northwind)); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the old cookie: %v", err)
		}
	})
}

// Negative case 182: an address that somebody has and one that nobody has get the same answers, and wait as long.
func TestPassword_182_KnownAndUnknownAreAlike(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.chosen(w.guest("gus@northwind.example"), herons)
		w.guest("new@northwind.example") // never chose one
		w.push("oid-ann", "ann", "ann@northwind.example")
		emails := []string{"gus@northwind.example", "new@northwind.example", "ann@northwind.example", "nobody@northwind.example"}
		for name, try := range map[string]func(email string) answer{
			"a wrong password": func(email string) answer { return w.enter(email, lantern) },
			"a forgotten one":  w.forget,
		} {
			var bodies []string
			for _, email := range emails {
				before := password.Hashed()
				a := try(email)
				// The hash is nearly all that a password takes; an address without one must not be told by its absence.
				if name == "a wrong password" && password.Hashed() == before {
					t.Errorf("%s, %s: no hash was computed", name, email)
				}
				body := strings.ReplaceAll(a.body, email, "EMAIL")
				body = strings.ReplaceAll(body, url.QueryEscape(email), "EMAIL")
				body = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).ReplaceAllString(body, "ATTEMPT")
				bodies = append(bodies, body)
			}
			for i := range emails {
				if diff := cmp.Diff(bodies[i], bodies[0]); diff != "" {
					t.Errorf("%s, %s:\n%s", name, emails[i], diff)
				}
			}
		}
		if n := len(w.letters()); n != 2 {
			t.Errorf("%d letters, want one to each of the two who may have a password", n)
		}
	})
}

// 182: what is done before the answer is the same, to the row, for an address that somebody has and one that nobody has: how long it takes
// tells nothing. Who is meant is looked up afterwards.
func TestForgot_182_AskingIsTheSameWorkForAnAddressThatNobodyHas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.chosen(w.guest("gus@northwind.example"), herons)
		w.push("oid-ann", "ann", "ann@northwind.example")
		for _, email := range []string{"gus@northwind.example", "ann@northwind.example", "eve@northwind.example", "eve@elsewhere.example"} {
			events, letters := len(w.events()), len(w.letters())
			if a := w.askLink(email); a.status != http.StatusOK {
				t.Fatalf("%s: %d", email, a.status)
			}
			asked := w.waiting()
			if len(asked) != 1 || len(w.events()) != events || len(w.letters()) != letters {
				t.Errorf("%s: %d asked, %d events, %d letters before the answer", email, len(asked), len(w.events())-events, len(w.letters())-letters)
			}
			taken, err := w.db.LeaseDeliveries(w.ctx, 1, time.Minute, asked[0].ID)
			w.must(err)
			// Sealed: neither the address nor whether it is somebody's shows in the outbox.
			if text := string(taken[0].Payload) + taken[0].Destination; strings.Contains(text, "northwind") || taken[0].Organization != "" {
				t.Errorf("%s: %+v", email, taken[0])
			}
			w.must(w.db.AnswerReset(w.ctx, taken[0]))
			w.must(w.db.Delivered(w.ctx, taken[0], nil))
			want := 0
			if email == "gus@northwind.example" {
				want = 1
			}
			if n := len(w.letters()) - letters; n != want {
				t.Errorf("%s: %d letters after it", email, n)
			}
		}
		// Who asked is in the log of who was meant.
		i := slices.IndexFunc(w.events(), func(e audit.Event) bool { return e.Action == "password.link-sent" })
		if i < 0 || w.events()[i].Actor.IP != w.ip || w.events()[i].Actor.Door != audit.SignIn {
			t.Errorf("the event: %+v", w.events())
		}
		// One that the node comes to much later is not answered.
		w.askLink("gus@northwind.example")
		late, letters := w.waiting()[0], len(w.letters())
		w.clock.Advance(store.PersonalLinkLifetime + time.Second)
		taken, err := w.db.LeaseDeliveries(w.ctx, 1, time.Minute, late.ID)
		w.must(err)
		if err := w.db.AnswerReset(w.ctx, taken[0]); fault.KindOf(err) != fault.Gone || len(w.letters()) != letters {
			t.Errorf("asked long ago: %v", err)
		}
	})
}

// Negative cases 184 and 185: guesses are bounded, with Retry-After, by counters in the store; and nobody's guesses keep the person
// out of a browser that has shown the password before, nor out of their mailbox.
func TestPassword_184_185_GuessesAreBoundedAndLockNobodyOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("gus@northwind.example")
		w.chosen(gus, herons)
		w.mustEnter("gus@northwind.example", herons)
		own := w.browser
		w.browser = newBrowser()
		for i := range 10 {
			if a := w.enter("gus@northwind.example", lantern); a.status != http.StatusUnauthorized {
				t.Fatalf("guess %d: %d", i, a.status)
			}
		}
		for _, plain := range []string{lantern, herons} {
			if a := w.enter("gus@northwind.example", plain); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
				t.Errorf("the eleventh: %d %v", a.status, a.header)
			}
		}
		// The same origin, the same address: the browser that is known comes in.
		w.browser = own
		w.mustEnter("gus@northwind.example", herons)
		// So does another person from the same origin.
		w.chosen(w.guest("gil@northwind.example"), herons)
		w.browser = newBrowser()
		w.mustEnter("gil@northwind.example", herons)
		// And a letter opens a new browser at once.
		w.browser = newBrowser()
		if a := w.forget("gus@northwind.example"); a.status != http.StatusOK {
			t.Errorf("a letter: %d", a.status)
		}
		w.link(mail.PasswordReset, "gus@northwind.example")
		w.clock.Advance(16 * time.Minute)
		w.browser = newBrowser()
		w.mustEnter("gus@northwind.example", herons)
	})
}

func TestForgot_ALinkSetsANewPasswordOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("gus@northwind.example")
		w.chosen(gus, herons)
		w.mustEnter("gus@northwind.example", herons)
		elsewhere := w.browser
		w.browser = newBrowser()
		w.forget("gus@northwind.example")
		first := w.link(mail.PasswordReset, "gus@northwind.example")
		w.forget("gus@northwind.example")
		link := w.link(mail.PasswordReset, "gus@northwind.example")
		if a := w.get(first); a.status != http.StatusGone || a.title() != "This link is over" {
			t.Errorf("the earlier letter: %d %s", a.status, a.title())
		}
		for range 2 { // opening spends nothing: scanners open links
			a := w.get(link)
			if field := a.doc.Find("input[autocomplete='new-password']"); a.status != http.StatusOK || field.Length() != 1 || a.doc.Find("input[autocomplete=username]").Length() != 1 {
				t.Errorf("the page: %d %s", a.status, a.body)
			}
			if got := a.header.Get("Referrer-Policy"); got != "no-referrer" {
				t.Errorf("Referrer-Policy %q", got)
			}
		}
		for _, bad := range []string{"", "short", "password1234", "gus.northwind", "Northwind Energy"} {
			if a := w.do(w.browser, http.MethodPost, link, url.Values{"password": {bad}}); a.status != http.StatusUnprocessableEntity || a.doc.Find("[aria-invalid]").Length() != 1 {
				t.Errorf("%q: %d", bad, a.status)
			}
		}
		if a := w.do(w.browser, http.MethodPost, link, url.Values{"password": {lantern}}); a.status != http.StatusOK || a.title() != "Your password is set" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if a := w.do(w.browser, http.MethodPost, link, url.Values{"password": {herons}}); a.status != http.StatusGone {
			t.Errorf("the second use: %d", a.status)
		}
		// 178: sessions of before are over, and the person is told.
		w.browser = elsewhere
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the session of before: %v", err)
		}
		if a := w.enter("gus@northwind.example", herons); a.status != http.StatusUnauthorized {
			t.Errorf("the old password: %d", a.status)
		}
		w.mustEnter("gus@northwind.example", lantern)
		if got := w.letters()[0]; got.Template != mail.SecurityNotice || !strings.Contains(got.Text, "password of your account was changed") {
			t.Errorf("the notice: %+v", got)
		}
		// Half an hour later a link is worth nothing.
		w.forget("gus@northwind.example")
		link = w.link(mail.PasswordReset, "gus@northwind.example")
		w.clock.Advance(31 * time.Minute)
		if a := w.get(link); a.status != http.StatusGone {
			t.Errorf("after half an hour: %d", a.status)
		}
	})
}

// A link of one organization is none of another, and none of another purpose.
func TestForgot_186_ALinkIsOfOneOrganizationAndPurpose(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.guest("gus@northwind.example")
		w.forget("gus@northwind.example")
		link := w.link(mail.PasswordReset, "gus@northwind.example")
		for _, wrong := range []string{
			strings.Replace(link, "northwind", "southwind", 1), strings.Replace(link, "/reset/", "/recover/", 1),
			strings.Replace(link, "/reset/", "/address/", 1), link[:len(link)-1], strings.Replace(link, "northwind", "nowhere", 1),
		} {
			if a := w.get(wrong); a.status != http.StatusGone {
				t.Errorf("%s: %d", wrong, a.status)
			}
			if a := w.do(w.browser, http.MethodPost, wrong, url.Values{"password": {herons}}); a.status != http.StatusGone {
				t.Errorf("POST %s: %d", wrong, a.status)
			}
		}
	})
}

// Signing in never brings anybody back, and a password is no way around a provider.
func TestPassword_WhoMayNotIsToldAfterTheRightOneAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("gus@northwind.example")
		w.chosen(gus, herons)
		w.mustEnter("gus@northwind.example", herons)
		right := func() answer { return w.enter("gus@northwind.example", herons) }

		w.write(func(tx *store.Tx) error { return tx.Suspend(w.ctx, gus, administrator, "left") })
		if a := w.enter("gus@northwind.example", lantern); a.status != http.StatusUnauthorized || a.code() != "" {
			t.Errorf("a wrong password of who is suspended: %d %s", a.status, a.code())
		}
		w.refuses(connection.CodeSuspended, right)
		w.write(func(tx *store.Tx) error { return tx.Reactivate(w.ctx, gus, administrator, "") })
		w.mustEnter("gus@northwind.example", herons)

		// A provider has the person now: the password is no longer a way in, unless the organization says so.
		w.write(func(tx *store.Tx) error {
			tx.AttachIdentity(w.ctx, "corp", gus, connection.Person{Issuer: "i", Subject: "s"})
			return nil
		})
		w.refuses(connection.CodeNotLocal, right)
		w.settings(func(s *store.Settings) { s.LocalSignIn = connection.Methods })
		w.mustEnter("gus@northwind.example", herons)
		w.settings(func(s *store.Settings) { s.LocalSignIn = []connection.Method{connection.Passkey} })
		w.refuses(connection.CodeNotLocal, right)
		w.settings(func(s *store.Settings) { s.LocalSignIn = nil })

		w.write(func(tx *store.Tx) error { return tx.DeleteUser(w.ctx, gus, administrator, "gone") })
		if a := right(); a.status != http.StatusUnauthorized {
			t.Errorf("who is deleted: %d", a.status)
		}
		letters := len(w.letters())
		w.forget("gus@northwind.example")
		if len(w.letters()) != letters {
			t.Error("who is deleted gets a letter")
		}
	})
}

// settings changes northwind's.
func (w *world) settings(change func(*store.Settings)) {
	w.t.Helper()
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		self, err := tx.In(northwind).Self(w.ctx)
		if err != nil {
			return err
		}
		s := self.Settings
		change(&s)
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: northwind, Name: self.Name, Settings: s})
		tx.In(northwind).BumpOrganization(w.ctx)
		return nil
	}))
}

func (w *world) exception(address, kind string, lasts time.Duration) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		_, err := tx.PutException(w.ctx, store.SSOException{
			Address: address, Kind: kind, Reason: "the provider may be away", Source: "console", Expires: w.clock.Now().Add(lasts),
		}, administrator)
		return err
	})
}

func TestEnforced_APasswordOpensNothingInAProvenDomain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("gus@northwind.example")
		w.chosen(gus, herons)
		w.settings(func(s *store.Settings) { s.EnforceSSO, s.AllowedDomains = true, nil })
		// Nobody has come in through the connection yet: the demand waits, or it would lock everybody out.
		w.mustEnter("gus@northwind.example", herons)
		w.mustSignIn()
		w.browser = newBrowser()
		w.refuses(connection.CodeEnforced, func() answer { return w.enter("gus@northwind.example", herons) })
		letters := len(w.letters())
		w.forget("gus@northwind.example")
		if len(w.letters()) != letters {
			t.Error("a letter goes out for a password that opens nothing")
		}
		// Whoever is of another domain is not meant.
		far := w.guest("far@elsewhere.example")
		w.chosen(far, lantern)
		w.mustEnter("far@elsewhere.example", lantern)

		// An exception, and its end.
		w.exception("gus@northwind.example", store.Guest, time.Hour)
		w.browser = newBrowser()
		w.mustEnter("gus@northwind.example", herons)
		w.clock.Advance(time.Hour + time.Minute)
		w.browser = newBrowser()
		w.refuses(connection.CodeEnforced, func() answer { return w.enter("gus@northwind.example", herons) })
		w.exception("gus@northwind.example", store.Guest, time.Hour)
		w.mustEnter("gus@northwind.example", herons)
		w.write(func(tx *store.Tx) error {
			list, err := tx.SSOExceptions(w.ctx)
			if err != nil || len(list) != 1 {
				return err
			}
			_, err = tx.EndException(w.ctx, list[0].ID, administrator)
			return err
		})
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("a session that came of the exception: %v", err)
		}
		// The way around it: no address of another domain.
		err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
			return tx.AskMove(w.ctx, gus, "gus@elsewhere.example", w.app.URL, administrator)
		})
		if f := fault.As(err); f == nil || f.Code != string(connection.CodeEnforced) {
			t.Errorf("an address of another domain: %v", err)
		}
	})
}

func TestEnforced_OnlyWhoCameThroughSwitchesItOn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("gus@northwind.example")
		enforce := func() string {
			err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error { return tx.EnforceSSO(w.ctx, administrator, string(gus)) })
			if f := fault.As(err); f != nil {
				return f.Code
			}
			w.must(err)
			return ""
		}
		if got := enforce(); got != "not-tested" {
			t.Errorf("untested: got %q", got)
		}
		test := func(by id.User) {
			actor := audit.Actor{Kind: audit.ActorUser, ID: string(by), Name: "Gus", Organization: northwind, Door: audit.Console}
			var attempt id.Attempt
			w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) (err error) {
				attempt, err = tx.BeginTest(w.ctx, northwind, "corp", "browser", "/", actor)
				return err
			}))
			w.write(func(tx *store.Tx) error {
				return tx.FinishTest(w.ctx, attempt, &connection.Report{Checks: []connection.Check{{Name: "signature", Outcome: connection.Passed}}}, by, actor)
			})
		}
		test(w.guest("gil@northwind.example"))
		if got := enforce(); got != "not-tested" {
			t.Errorf("somebody else's test: got %q", got)
		}
		test(gus)
		if got := enforce(); got != "no-break-glass" {
			t.Errorf("without a break-glass exception: got %q", got)
		}
		w.exception("nobody@northwind.example", store.BreakGlass, time.Hour)
		if got := enforce(); got != "no-break-glass" {
			t.Errorf("with one of nobody: got %q", got)
		}
		w.exception("gus@northwind.example", store.BreakGlass, time.Hour)
		if got := enforce(); got != "" {
			t.Errorf("got %q", got)
		}
		var e store.Enforcement
		w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
			e, err = tx.Enforcement(w.ctx)
			return err
		}))
		if !e.InForce() || e.MadeBy != "Olga" || len(e.Domains) != 1 || !e.Domains[0].Works {
			t.Errorf("%+v", e)
		}
		w.write(func(tx *store.Tx) error { return tx.ReleaseSSO(w.ctx, administrator) })
		var actions []string
		for _, e := range w.events()[:3] {
			actions = append(actions, e.Action)
		}
		if diff := cmp.Diff(actions, []string{"sso.released", "sso.enforced", "sso-exception.made"}); diff != "" {
			t.Errorf("events, newest first; got before want:\n%s", diff)
		}
	})
}

func TestBreakGlass_ACodeOpensOnceAndOnlyItsHolderMakesIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "ann@northwind.example")
		w.mustSignIn()
		w.settings(func(s *store.Settings) { s.EnforceSSO = true })
		w.exception("ann@northwind.example", store.BreakGlass, 24*time.Hour)
		var code string
		w.write(func(tx *store.Tx) (err error) {
			code, err = tx.NewExceptionCode(w.ctx, ann, administrator)
			return err
		})
		use := func(email, code string) answer {
			page := w.passwordPage()
			return w.do(w.browser, http.MethodPost, "/signin/break-glass", url.Values{
				"attempt": {hidden(page, "attempt")}, "organization": {"northwind"}, "email": {email}, "code": {code},
			})
		}
		w.browser = newBrowser()
		before := w.state()
		for _, try := range [][2]string{
			{"ann@northwind.example", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"}, {"nobody@northwind.example", code}, {"ann@northwind.example", ""},
		} {
			if a := use(try[0], try[1]); a.status != http.StatusUnauthorized || a.code() != "" {
				t.Errorf("%v: %d %s", try, a.status, a.doc.Find("main").Text())
			}
		}
		if diff := cmp.Diff(before, w.state()); diff != "" {
			t.Errorf("rows changed:\n%s", diff)
		}
		if a := use("ann@northwind.example", strings.ToLower(strings.ReplaceAll(code, "-", " "))); a.header.Get("Location") != "/o/northwind/me" {
			t.Fatalf("the code: %d %s", a.status, a.doc.Find("main").Text())
		}
		if s, err := w.session(northwind); err != nil || s.User != ann {
			t.Errorf("the session: %+v %v", s, err)
		}
		w.browser = newBrowser()
		if a := use("ann@northwind.example", code); a.status != http.StatusUnauthorized {
			t.Errorf("the second time: %d", a.status)
		}
		gus := w.guest("gus@northwind.example")
		err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
			_, err := tx.NewExceptionCode(w.ctx, gus, administrator)
			return err
		})
		if fault.KindOf(err) != fault.Forbidden {
			t.Errorf("a code of who is no exception: %v", err)
		}
	})
}

func TestRecover_TheOperatorsLinkBringsInOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "ann@northwind.example")
		w.mustSignIn()
		w.settings(func(s *store.Settings) { s.EnforceSSO = true })
		w.browser = newBrowser()
		make := func() (link string) {
			w.write(func(tx *store.Tx) error {
				token, _, err := tx.RecoveryLink(w.ctx, "ann", administrator)
				link = store.PersonalPath(store.ToRecover, northwind, token)
				return err
			})
			return link
		}
		link := make()
		if a := w.get(link); a.status != http.StatusOK || len(a.header.Values("Set-Cookie")) != 0 {
			t.Errorf("opening: %d %v", a.status, a.header)
		}
		if a := w.do(w.browser, http.MethodPost, link, url.Values{}); a.header.Get("Location") != "/o/northwind" {
			t.Fatalf("%d %s", a.status, a.doc.Find("main").Text())
		}
		if s, err := w.session(northwind); err != nil || s.User != ann {
			t.Errorf("the session: %+v %v", s, err)
		}
		if a := w.do(newBrowser(), http.MethodPost, link, url.Values{}); a.status != http.StatusGone {
			t.Errorf("the second time: %d", a.status)
		}
		link = make()
		w.write(func(tx *store.Tx) error { return tx.Suspend(w.ctx, ann, administrator, "left") })
		w.browser = newBrowser()
		w.refuses(connection.CodeSuspended, func() answer { return w.do(w.browser, http.MethodPost, link, url.Values{}) })
		err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
			_, _, err := tx.RecoveryLink(w.ctx, "ann", administrator)
			return err
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("a link for who is suspended: %v", err)
		}
	})
}

// joinLink is where the page of a refused sign-in leads who says that the account is theirs.
func joinLink(t *testing.T, a answer) string {
	t.Helper()
	link, found := a.doc.Find("a[href^='/signin/join']").Attr("href")
	if !found {
		t.Fatalf("no way to join: %d %s", a.status, a.doc.Find("main").Text())
	}
	return link
}

// The decision table's row 12: an account that a provider was never used with is joined by its holder alone, who shows the other way
// first, just now, and then says so.
func TestJoin_WhoHoldsTheAccountJoinsBothWays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("ann@northwind.example") // the address that the provider will send
		w.chosen(gus, herons)
		other := w.browser
		w.mustEnter("ann@northwind.example", herons) // a session elsewhere
		w.write(func(tx *store.Tx) error {
			return tx.AskMove(w.ctx, gus, "evil@northwind.example", w.app.URL, administrator)
		})
		move := w.link(mail.VerifyEmail, "evil@northwind.example")

		w.browser = newBrowser()
		var link string
		w.refuses(connection.CodeEmailTaken, func() answer {
			a := w.signIn()
			link = joinLink(t, a)
			return a
		})
		page := w.get(link)
		if page.doc.Find("form").Length() != 0 {
			t.Fatalf("joined without showing the other way: %s", page.body)
		}
		confirm := url.Values{"organization": {"northwind"}, "pending": {regexp.MustCompile(`pending=([0-9a-f-]+)`).FindStringSubmatch(link)[1]}}
		if a := w.do(w.browser, http.MethodPost, "/signin/join", confirm); a.status != http.StatusSeeOther || a.header.Get("Location") != link {
			t.Errorf("the button pressed without having shown it: %d %s", a.status, a.header.Get("Location"))
		}
		// Another browser's: it has shown the password and was not sent by the provider.
		if a := w.do(other, http.MethodPost, "/signin/join", confirm); a.code() != "attempt-over" {
			t.Errorf("another browser: %d %s", a.status, a.code())
		}
		// The other way, chosen from what the organization has.
		to, _ := page.doc.Find("a.button.primary").Attr("href")
		choice := w.get(w.get(to).header.Get("Location"))
		way, _ := choice.doc.Find("a.choice[href*='way=password']").Attr("href")
		form := w.get(way)
		a := w.do(w.browser, http.MethodPost, "/signin/password", url.Values{
			"attempt": {hidden(form, "attempt")}, "organization": {hidden(form, "organization")}, "email": {"ann@northwind.example"}, "password": {herons},
		})
		if a.header.Get("Location") != link {
			t.Fatalf("after the password: %d %s %s", a.status, a.header.Get("Location"), a.doc.Find("main").Text())
		}
		shown, err := w.session(northwind)
		w.must(err)
		// Six minutes later it is not fresh.
		w.clock.Advance(6 * time.Minute)
		if page := w.get(link); page.doc.Find("form").Length() != 0 {
			t.Error("an old sign-in counts as fresh")
		}
		w.mustEnter("ann@northwind.example", herons)
		if page := w.get(link); page.doc.Find("form[action='/signin/join']").Length() != 1 {
			t.Fatalf("nothing to press: %s", page.body)
		}
		if a := w.do(w.browser, http.MethodPost, "/signin/join", confirm); a.status != http.StatusSeeOther {
			t.Fatalf("joining: %d %s", a.status, a.doc.Find("main").Text())
		}
		s, err := w.session(northwind)
		w.must(err)
		if s.User != gus || s.Connection != "corp" || s.ID == shown.ID {
			t.Errorf("the session after joining: %+v", s)
		}
		// What was prepared on the account is dead: the other session, the change of address.
		w.browser = other
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the other session: %v", err)
		}
		if a := w.do(w.browser, http.MethodPost, move, url.Values{}); a.status != http.StatusGone {
			t.Errorf("the change of address: %d", a.status)
		}
		// From now on the provider opens it.
		w.browser = newBrowser()
		if s := w.mustSignIn(); s.User != gus {
			t.Errorf("the provider opens %s", s.User)
		}
		if a := w.do(w.browser, http.MethodPost, "/signin/join", confirm); a.code() != "attempt-over" {
			t.Errorf("joining twice: %d %s", a.status, a.code())
		}
	})
}

// What waits is for one account, as it was when the provider vouched: neither somebody else's session in the same browser nor an
// account that has given its address up since joins anything.
func TestJoin_OnlyTheHolderOfTheAddressJoins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("ann@northwind.example")
		w.chosen(gus, herons)
		eve := w.guest("eve@northwind.example")
		w.chosen(eve, herons)
		var link string
		w.refuses(connection.CodeEmailTaken, func() answer {
			a := w.signIn()
			link = joinLink(t, a)
			return a
		})
		confirm := url.Values{"organization": {"northwind"}, "pending": {regexp.MustCompile(`pending=([0-9a-f-]+)`).FindStringSubmatch(link)[1]}}
		unjoined := func(user id.User) {
			t.Helper()
			s, err := w.session(northwind)
			w.must(err)
			if s.User != user || s.Connection != "" {
				t.Errorf("the session is %s's by %q, want %s's by no connection", s.User, s.Connection, user)
			}
		}
		w.mustEnter("eve@northwind.example", herons)
		if page := w.get(link); page.doc.Find("form").Length() != 0 {
			t.Errorf("somebody else is offered to join: %s", page.body)
		}
		if a := w.do(w.browser, http.MethodPost, "/signin/join", confirm); a.header.Get("Location") != link {
			t.Errorf("somebody else joins: %d %s", a.status, a.header.Get("Location"))
		}
		unjoined(eve)
		// The account takes another address, so what the provider vouches for is its no more.
		w.write(func(tx *store.Tx) error {
			return tx.AskMove(w.ctx, gus, "gus@northwind.example", w.app.URL, administrator)
		})
		w.do(newBrowser(), http.MethodPost, w.link(mail.VerifyEmail, "gus@northwind.example"), url.Values{})
		w.mustEnter("gus@northwind.example", herons)
		if a := w.do(w.browser, http.MethodPost, "/signin/join", confirm); a.code() != "attempt-over" {
			t.Errorf("joined to an account without the address: %d %s", a.status, a.code())
		}
		unjoined(gus)
	})
}

// The five kinds of pre-hijacking (Sudhodanan and Paverd, 2022): an attacker prepares an account under the victim's address, and must
// have nothing of it once the victim uses it.
func TestPreHijacking(t *testing.T) {
	t.Parallel()
	t.Run("classic-federated merge", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			// The attacker's account has the victim's address and a password; the victim comes through the provider.
			w.chosen(w.guest("ann@northwind.example"), herons)
			w.refuses(connection.CodeEmailTaken, w.signIn)
		})
	})
	t.Run("unexpired session", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			w.chosen(w.guest("ann@northwind.example"), herons)
			w.mustEnter("ann@northwind.example", herons)
			attacker := w.browser
			w.browser = newBrowser()
			w.forget("ann@northwind.example")
			w.do(w.browser, http.MethodPost, w.link(mail.PasswordReset, "ann@northwind.example"), url.Values{"password": {lantern}})
			w.browser = attacker
			if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("the attacker is still in: %v", err)
			}
			if a := w.enter("ann@northwind.example", herons); a.status != http.StatusUnauthorized {
				t.Errorf("the attacker's password: %d", a.status)
			}
		})
	})
	t.Run("trojan identifier", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			// An address that nobody has proven, and a factor of the attacker's on it.
			var ann id.User
			w.write(func(tx *store.Tx) error {
				u, err := tx.CreateJustInTime(w.ctx, store.NewUser{Email: "ann@northwind.example"}, administrator)
				if err != nil {
					return err
				}
				ann = u.ID
				return tx.AddFactor(w.ctx, store.Factor{ID: id.New[id.Factor](), User: ann, Kind: mfa.TOTP, Name: "mine", Confirmed: w.clock.Now()})
			})
			w.forget("ann@northwind.example")
			w.do(w.browser, http.MethodPost, w.link(mail.PasswordReset, "ann@northwind.example"), url.Values{"password": {lantern}})
			w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) error {
				factors, err := tx.Factors(w.ctx, ann)
				if len(factors) != 0 {
					t.Errorf("the attacker's factor is still there: %+v", factors)
				}
				return err
			}))
		})
	})
	t.Run("unexpired change of address", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			ann := w.guest("ann@northwind.example")
			w.chosen(ann, herons)
			w.write(func(tx *store.Tx) error {
				return tx.AskMove(w.ctx, ann, "evil@northwind.example", w.app.URL, administrator)
			})
			evil := w.link(mail.VerifyEmail, "evil@northwind.example")
			w.told(mail.SecurityNotice, "ann@northwind.example") // the old address is told at once
			w.forget("ann@northwind.example")
			w.do(w.browser, http.MethodPost, w.link(mail.PasswordReset, "ann@northwind.example"), url.Values{"password": {lantern}})
			before := w.state()
			if a := w.do(newBrowser(), http.MethodPost, evil, url.Values{}); a.status != http.StatusGone {
				t.Errorf("the attacker's link: %d", a.status)
			}
			if diff := cmp.Diff(before, w.state()); diff != "" {
				t.Errorf("rows changed:\n%s", diff)
			}
		})
	})
	t.Run("non-verifying provider", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			// The victim has an account; the attacker's provider says the victim's address without having proven it.
			w.chosen(w.guest("ann@northwind.example"), herons)
			w.idp.person["email_verified"] = false
			w.refuses(connection.CodeUnverified, func() answer {
				a := w.signIn()
				if a.doc.Find("a[href^='/signin/join']").Length() != 0 {
					t.Error("an address that nobody vouches for is offered the account")
				}
				return a
			})
		})
	})
}

func TestMove_TheNewAddressIsProvenAndTheOldOneTold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("gus@northwind.example")
		w.chosen(gus, herons)
		ask := func(address string) error {
			return w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
				return tx.AskMove(w.ctx, gus, address, w.app.URL, administrator)
			})
		}
		for address, code := range map[string]string{
			"gus@evil.example": "domain-not-allowed", "no address": "bad-address", "gus@northwind.example": "bad-address",
			"gus@northwind.example\r\nBcc: all@northwind.example": "bad-address",
		} {
			if f := fault.As(ask(address)); f == nil || f.Code != code {
				t.Errorf("%q: got %+v, want %s", address, f, code)
			}
		}
		w.must(ask("august@northwind.example"))
		link := w.link(mail.VerifyEmail, "august@northwind.example")
		w.mustEnter("gus@northwind.example", herons) // nothing has changed yet
		if a := w.get(link); a.status != http.StatusOK {
			t.Errorf("opening: %d", a.status)
		}
		if a := w.do(w.browser, http.MethodPost, link, url.Values{}); a.status != http.StatusOK {
			t.Fatalf("confirming: %d %s", a.status, a.doc.Find("main").Text())
		}
		w.told(mail.EmailChanged, "gus@northwind.example")
		w.mustEnter("august@northwind.example", herons)
		if a := w.enter("gus@northwind.example", herons); a.status != http.StatusUnauthorized {
			t.Errorf("the old address: %d", a.status)
		}
		if a := w.do(w.browser, http.MethodPost, link, url.Values{}); a.status != http.StatusGone {
			t.Errorf("the second time: %d", a.status)
		}
		// Somebody else has the address meanwhile: whoever opens the letter there is told, and nobody before.
		w.must(ask("gil@northwind.example"))
		w.guest("gil@northwind.example")
		if a := w.do(w.browser, http.MethodPost, w.link(mail.VerifyEmail, "gil@northwind.example"), url.Values{}); a.status != http.StatusConflict {
			t.Errorf("an address that somebody has: %d", a.status)
		}
	})
}

// told demands a letter that has no personal link in it.
func (w *world) told(template mail.Template, to string) {
	w.t.Helper()
	for _, m := range w.letters() {
		if m.Template == template && m.To.Email == to {
			return
		}
	}
	w.t.Errorf("no letter %s to %s", template, to)
}

// Without an organization in the request, the address finds its account among all; a password of one organization opens no other.
func TestPassword_TheAddressFindsItsOrganization(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.settings(func(s *store.Settings) { s.AllowedDomains = nil })
		gus := w.guest("gus@elsewhere.example")
		w.chosen(gus, herons)
		start := w.get(w.get("/signin?return_to=/o/northwind/me").header.Get("Location"))
		form := w.do(w.browser, http.MethodPost, "/signin", url.Values{"attempt": {hidden(start, "attempt")}, "email": {"gus@elsewhere.example"}})
		if form.doc.Find("input[autocomplete='current-password']").Length() != 1 || hidden(form, "email") != "gus@elsewhere.example" {
			t.Fatalf("the page for a password: %d %s", form.status, form.body)
		}
		enter := func(org string) answer {
			return w.do(w.browser, http.MethodPost, "/signin/password", url.Values{
				"attempt": {hidden(start, "attempt")}, "organization": {org}, "email": {"gus@elsewhere.example"}, "password": {herons},
			})
		}
		if a := enter("southwind"); a.status != http.StatusUnauthorized {
			t.Errorf("186, another organization: %d", a.status)
		}
		if a := enter("../northwind"); a.status < 400 {
			t.Errorf("no organization at all: %d", a.status)
		}
		if a := enter(""); a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("%d %s", a.status, a.doc.Find("main").Text())
		}
		// The application speaks of another organization than the account's.
		w.browser = newBrowser()
		form = w.get(w.application(`{"organization":"southwind"}`) + "&way=password")
		a := w.do(w.browser, http.MethodPost, "/signin/password", url.Values{
			"attempt": {hidden(form, "attempt")}, "organization": {"northwind"}, "email": {"gus@elsewhere.example"}, "password": {herons},
		})
		if a.code() != string(connection.CodeOtherOrganization) {
			t.Errorf("another organization's application: %d %q", a.status, a.code())
		}
	})
}

// Negative case 190: nothing that opens anything stands in the log of events.
func TestPassword_190_TheLogHoldsNoSecret(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gus := w.guest("gus@northwind.example")
		w.chosen(gus, herons)
		w.enter("gus@northwind.example", lantern)
		w.enter(lantern, "x") // a password in the wrong field
		w.mustEnter("gus@northwind.example", herons)
		w.forget("gus@northwind.example")
		link := w.link(mail.PasswordReset, "gus@northwind.example")
		w.do(w.browser, http.MethodPost, link, url.Values{"password": {lantern}})
		for _, e := range w.events() {
			text := e.Code + e.Reason + string(e.Before) + string(e.After) + e.TargetID + e.TargetName
			for _, secret := range []string{herons, lantern, link[strings.LastIndexByte(link, '/')+1:], "argon2id"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s holds %q: %s", e.Action, secret, text)
				}
			}
		}
	})
}

package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
)

var administrator = audit.Actor{Kind: audit.ActorOperator, Name: "Olga", Door: audit.CLI}

func TestSignIn_APushedPersonIsFoundByTheDeclaredKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "someone.else@northwind.example")
		s := w.mustSignIn()
		if s.User != ann || s.Connection != "corp" {
			t.Errorf("got %s by %s, want %s", s.User, s.Connection, ann)
		}
		// From now on the identity counts, whatever key is sent.
		w.clock.Advance(time.Hour)
		w.idp.person["oid"] = "another"
		if s := w.mustSignIn(); s.User != ann {
			t.Errorf("the second time: got %s, want %s", s.User, ann)
		}
		var u *directory.User
		w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
			u, err = tx.User(w.ctx, ann)
			return err
		}))
		if u.Logins != 2 || !u.LastLogin.Equal(w.clock.Now()) || u.LastLoginIP != "192.0.2.1" || !u.LastSeen.Equal(w.clock.Now()) {
			t.Errorf("what the user's row says of sign-ins: %+v", u)
		}
	})
}

func TestSignIn_WhoNobodyPushedIsMadeJustInTime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.idp.person["given_name"] = "Ann"
		s := w.mustSignIn()
		got := w.state()
		if len(got.Users) != 1 || got.Users[0].ID != s.User {
			t.Fatalf("users: %+v", got.Users)
		}
		u := got.Users[0]
		if u.Email != "ann@northwind.example" || u.EmailVerified || u.Local != directory.JustInTime || u.GivenName != "Ann" || u.DisplayName != "Ann Archer" {
			t.Errorf("the user: %+v", u)
		}
		if i := got.Identities[s.User]; len(i) != 1 || i[0].Subject != "sub-ann" || i[0].Issuer != w.idp.URL {
			t.Errorf("identities: %+v", i)
		}
		var actions []string
		for _, e := range w.events() {
			actions = append(actions, e.Action)
		}
		if diff := cmp.Diff(actions, []string{"session.started", "identity.attached", "user.created"}); diff != "" {
			t.Errorf("events, newest first; got before want:\n%s", diff)
		}
	})
}

func TestSignIn_DirectoryOnlyMakesNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.configure(func(s *connection.Settings) { s.Provisioning = connection.DirectoryOnly })
		w.refuses(connection.CodeNotPushed, w.signIn)
	})
}

// The foreign domain: refused on a page that says what to do, nothing written but one event.
func TestSignIn_AForeignDomainIsRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.idp.person["email"] = "ann@evil.example"
		w.idp.person["email_verified"] = true
		e := w.refuses(connection.CodeForeignDomain, func() answer {
			a := w.signIn()
			if text := a.doc.Find("main").Text(); !strings.Contains(text, "Northwind Energy") || !strings.Contains(text, "ask one of its administrators") {
				t.Errorf("the page: %s", text)
			}
			return a
		})
		if !strings.Contains(string(e.After), "ann@evil.example") || !strings.Contains(string(e.After), "oid-ann") {
			t.Errorf("the event tells the administrator too little: %s", e.After)
		}
	})
}

func TestSignIn_WhoIsOutStaysOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("oid-ann", "ann", "ann@northwind.example")
		w.mustSignIn()
		w.deactivate(ann, "oid-ann", "ann", "ann@northwind.example")
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("178: the cookie still works after the directory's active=false: %v", err)
		}
		w.refuses(connection.CodeDeactivated, w.signIn)

		bob := w.push("oid-bob", "bob", "bob@northwind.example")
		w.idp.person = map[string]any{"sub": "sub-bob", "oid": "oid-bob"}
		w.mustSignIn()
		w.write(func(tx *store.Tx) error { return tx.Suspend(w.ctx, bob, administrator, "left") })
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the cookie still works after a suspension: %v", err)
		}
		w.refuses(connection.CodeSuspended, w.signIn)
		// A sign-in that found the person active a moment before the suspension was committed makes no session either.
		err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
			return tx.StartSession(w.ctx, session.Start{ID: id.New[id.Session](), Hash: "late", User: bob, Expires: w.clock.Now().Add(time.Hour), Idle: time.Hour})
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("a session of somebody suspended: %v", err)
		}
		w.write(func(tx *store.Tx) error { return tx.Reactivate(w.ctx, bob, administrator, "back") })
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("an old session came back to life: %v", err)
		}
		if s := w.mustSignIn(); s.User != bob {
			t.Errorf("after reactivation: got %s, want %s", s.User, bob)
		}

		// Deleted: the tombstone is not revived by just-in-time, only by the directory's own key.
		w.write(func(tx *store.Tx) error { return tx.Push(w.pusher()).DeleteUser(w.ctx, string(bob), nil) })
		w.idp.person["email"], w.idp.person["email_verified"] = "bob@northwind.example", true
		w.refuses(connection.CodeDeleted, w.signIn)
		again := w.push("oid-bob", "bob", "bob@northwind.example")
		if s := w.mustSignIn(); s.User != again || again == bob {
			t.Errorf("pushed again: got %s, want the new user %s (was %s)", s.User, again, bob)
		}
	})
}

func TestSignIn_ARecordBoundToAnotherSubjectIsNotReBound(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.mustSignIn()
		w.idp.person["sub"] = "another-subject"
		w.refuses(connection.CodeBoundElse, w.signIn)
	})
}

func TestSignIn_EmailJoinsOnceAndNeverAProtectedHolder(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.push("", "ann", "ann@northwind.example")
		w.idp.person["email_verified"] = true
		w.write(func(tx *store.Tx) error {
			_, err := tx.Give(w.ctx, administrator, store.Grant{User: ann, Role: "owner", Resource: id.Resource(northwind), Source: "manual"})
			return err
		})
		w.refuses(connection.CodeEmailTaken, w.signIn)

		bob := w.push("", "bob", "bob@northwind.example")
		w.idp.person = map[string]any{"sub": "sub-bob", "oid": "oid-bob", "email": "Bob@Northwind.example", "email_verified": true}
		if s := w.mustSignIn(); s.User != bob {
			t.Errorf("got %s, want %s", s.User, bob)
		}
		// A second subject with the same address is somebody else.
		w.idp.person["sub"] = "sub-bob-2"
		w.refuses(connection.CodeEmailTaken, w.signIn)
	})
}

func TestSignIn_KeysThatDifferAreShownToTheAdministrator(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-of-somebody-else", "ann", "ann@northwind.example")
		w.idp.person["email_verified"] = true
		e := w.refuses(connection.CodeKeysDiffer, func() answer {
			a := w.signIn()
			if strings.Contains(a.body, "oid-of-somebody-else") {
				t.Error("the page shows another record's key")
			}
			return a
		})
		for _, value := range []string{"oid-ann", "oid-of-somebody-else"} {
			if !strings.Contains(string(e.After), value) {
				t.Errorf("the event lacks %s: %s", value, e.After)
			}
		}
	})
}

func TestSignIn_NoSeatIsFree(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: northwind, Name: "Northwind Energy", SeatLimit: 1})
			return nil
		}))
		w.push("oid-bob", "bob", "bob@northwind.example")
		w.refuses(connection.CodeNoSeat, w.signIn)
		over := w.push("oid-ann", "ann", "ann@northwind.example")
		e := w.refuses(connection.CodeOverLimit, w.signIn)
		if e.User != over {
			t.Errorf("the event concerns %s, want %s", e.User, over)
		}
	})
}

func TestSignIn_ForAnApplicationEndsAtItsAttempt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		start := w.application(`{"client_id":"dashboard","login_hint":"ann@northwind.example","redirect_uri":"https://app.example/cb"}`)
		attempt := strings.TrimPrefix(start, "/signin?attempt=")
		a := w.get(w.approve(w.away(start)))
		if got, want := a.header.Get("Location"), "/authorize/resume?attempt="+attempt; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		s, err := w.session(northwind)
		w.must(err)
		finish := func(browser string) (got session.Attempt, err error) {
			err = w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
				got, err = tx.FinishAttempt(w.ctx, id.Attempt(attempt), browser)
				return err
			})
			return got, err
		}
		if _, err := finish(seal.Fingerprint("another browser")); fault.KindOf(err) != fault.Gone {
			t.Errorf("97: another browser finished it: %v", err)
		}
		got, err := finish(seal.Fingerprint(w.cookie("vestibule_b")))
		w.must(err)
		if got.Session != s.ID || got.Organization != northwind || !strings.Contains(string(got.Request), "app.example") {
			t.Errorf("the finished attempt: %+v", got)
		}
		if _, err := finish(seal.Fingerprint(w.cookie("vestibule_b"))); fault.KindOf(err) != fault.Gone {
			t.Errorf("it was finished twice: %v", err)
		}
		if q := w.idp.last; q.Get("login_hint") != "ann@northwind.example" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" {
			t.Errorf("the provider was asked: %v", q)
		}
	})
}

func TestSignIn_TwoTabsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.approve(w.away("/signin?organization=northwind&return_to=/first"))
		second := w.approve(w.away("/signin?organization=northwind&return_to=/second"))
		for target, want := range map[string]string{first: "/first", second: "/second"} {
			if got := w.get(target).header.Get("Location"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestSession_176_ANewOneAtEachSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		u, err := url.Parse(w.app.URL)
		w.must(err)
		planted := seal.Handle()
		w.browser.Jar.SetCookies(u, []*http.Cookie{{Name: "vestibule_s_northwind", Value: planted, Path: "/"}})
		first := w.mustSignIn()
		handle := w.cookie("vestibule_s_northwind")
		if handle == planted {
			t.Error("a cookie that was there before signing in became the session")
		}
		second := w.mustSignIn()
		if second.ID == first.ID || w.cookie("vestibule_s_northwind") == handle {
			t.Error("signing in again kept the session")
		}
		if _, err := w.db.Session(w.ctx, northwind, seal.Fingerprint(handle)); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the earlier session lives on: %v", err)
		}
	})
}

func TestSession_177_CookieFlags(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, line := range w.signIn().header.Values("Set-Cookie") {
			for _, flag := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
				if !strings.Contains(line, flag) {
					t.Errorf("%s lacks %s", line, flag)
				}
			}
		}
	})
}

func TestSession_EndsByIdleAndByAge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.mustSignIn()
		for range 11 {
			w.clock.Advance(time.Hour)
			if _, err := w.session(northwind); err != nil {
				t.Fatalf("used each hour it ended early: %v", err)
			}
		}
		w.clock.Advance(time.Hour)
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("it outlives twelve hours: %v", err)
		}
		w.mustSignIn()
		w.clock.Advance(2 * time.Hour)
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("it outlives two idle hours: %v", err)
		}
	})
}

// 186: what belongs to one organization is worth nothing at another.
func TestSession_186_IsWorthNothingAtAnotherOrganization(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.mustSignIn()
		hash := seal.Fingerprint(w.cookie("vestibule_s_northwind"))
		if _, err := w.db.Session(w.ctx, southwind, hash); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the other organization takes the cookie: %v", err)
		}
		if a := w.get(signin.NoAccessPath + "?organization=southwind"); a.status != http.StatusUnauthorized {
			t.Errorf("the other organization's page: %d", a.status)
		}
		// 187: a domain of the other organization makes no user here.
		w.idp.person = map[string]any{"sub": "x", "email": "root@southwind.example", "email_verified": true}
		w.refuses(connection.CodeForeignDomain, w.signIn)
	})
}

func TestSignIn_191_ReturnsToOwnPathsOnly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, target := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/\t/evil.example", "javascript:alert(1)", "/%5cevil.example"} {
			q := url.Values{"organization": {"northwind"}, "return_to": {target}}
			a := w.get(w.approve(w.away("/signin?" + q.Encode())))
			if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != "/" {
				t.Errorf("%q: got %d %q, want /", target, a.status, got)
			}
		}
	})
}

func TestHomeRealm_AsksForAnAddress(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.get("/signin?return_to=/o/northwind/me")
		page := w.get(a.header.Get("Location"))
		attempt, _ := page.doc.Find("input[name=attempt]").Attr("value")
		if page.status != http.StatusOK || attempt == "" || page.doc.Find("label[for=email]").Length() != 1 {
			t.Fatalf("the form: %d %s", page.status, page.body)
		}
		if strings.Contains(page.body, "northwind.example") {
			t.Error("the form lists customers")
		}
		post := func(email string) answer {
			return w.do(w.browser, http.MethodPost, "/signin", url.Values{"attempt": {attempt}, "email": {email}})
		}
		// 182: a known and an unknown person of one domain get the same answer, up to state and nonce.
		w.push("oid-ann", "ann", "ann@northwind.example")
		var bodies []string
		for _, email := range []string{"ann@northwind.example", "nob@northwind.example"} {
			sent := post(email)
			to := strings.TrimPrefix(sent.header.Get("Refresh"), "0; url=")
			if sent.status != http.StatusOK || !strings.HasPrefix(to, w.idp.URL+"/authorize?") {
				t.Fatalf("%s: %d %q", email, sent.status, to)
			}
			link, _ := sent.doc.Find("main a").Attr("href")
			if link != to {
				t.Errorf("the link goes to %q, the page to %q", link, to)
			}
			u, err := url.Parse(to)
			w.must(err)
			body := sent.body
			for _, name := range []string{"state", "nonce", "code_challenge", "login_hint"} {
				body = strings.ReplaceAll(body, url.QueryEscape(u.Query().Get(name)), name)
			}
			bodies = append(bodies, body)
		}
		if diff := cmp.Diff(bodies[0], bodies[1]); diff != "" {
			t.Errorf("known and unknown differ:\n%s", diff)
		}
		if got := w.get(w.approve(strings.TrimPrefix(post("ann@northwind.example").header.Get("Refresh"), "0; url="))).header.Get("Location"); got != "/o/northwind/me" {
			t.Errorf("after all this: got %q", got)
		}
		for email, status := range map[string]int{"ann": http.StatusUnprocessableEntity, "<script>@x.example": http.StatusUnprocessableEntity} {
			a := w.get("/signin?return_to=/")
			attempt, _ = w.get(a.header.Get("Location")).doc.Find("input[name=attempt]").Attr("value")
			if got := post(email); got.status != status || strings.Contains(got.body, "<script>@") || got.doc.Find("[aria-invalid]").Length() != 1 {
				t.Errorf("%q: %d %s", email, got.status, got.body)
			}
		}
		if got := post("ann@nobody.example"); got.status != http.StatusOK || got.doc.Find("input[type=password]").Length() != 1 {
			t.Errorf("an unknown domain: %d %s", got.status, got.body)
		}
	})
}

func TestHomeRealm_SeveralConnectionsAreAChoice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			second := w.connection(northwind, "lab", w.other.URL, nil)
			second.Name = "Laboratory"
			tx.PutDeclaredConnection(second)
			tx.PutDeclaredConnection(connection.Connection{
				Organization: southwind, ID: "adfs", Name: "ADFS", Protocol: connection.SAML, Settings: connection.Settings{Metadata: "m.xml"},
			})
			return nil
		}))
		page := w.get(w.get(toConsole).header.Get("Location"))
		if page.doc.Find("a.choice").Length() != 3 { // the third is a password of one's own
			t.Fatalf("the choice: %d %s", page.status, page.body)
		}
		link, _ := page.doc.Find("a.choice").Eq(1).Attr("href")
		if to := w.away(link); !strings.HasPrefix(to, w.other.URL) {
			t.Errorf("Laboratory leads to %q", to)
		}
		if to := w.away(toConsole + "&login_hint=ann@northwind.example"); !strings.HasPrefix(to, w.idp.URL) {
			t.Errorf("the hint leads to %q", to)
		}
		for target, code := range map[string]string{
			"/signin?organization=southwind&connection=adfs":                  "provider-error", // its metadata is none
			"/signin?organization=northwind&connection=adfs":                  "unknown-connection",
			"/signin?organization=nowhere":                                    "unknown-organization",
			"/signin?organization=southwind&login_hint=ann@northwind.example": "other-organization",
		} {
			if got := w.get(w.get(target).header.Get("Location")); got.code() != code {
				t.Errorf("%s: got %q (%d), want %q", target, got.code(), got.status, code)
			}
		}
	})
}

func TestNoAccess_TakesANote(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.mustSignIn()
		page := w.get(signin.NoAccessPath + "?organization=northwind&application=Energy+Dashboard%0d%0aX%3cb%3e")
		if text := page.doc.Find("main").Text(); page.status != http.StatusForbidden || !strings.Contains(text, "Northwind Energy") ||
			!strings.Contains(text, "Ann Archer") || !strings.Contains(text, "Energy Dashboard") || strings.Contains(page.body, "<b>") {
			t.Fatalf("the page: %d %s", page.status, page.body)
		}
		form := func(note string) url.Values {
			return url.Values{"organization": {"northwind"}, "application": {"Energy Dashboard"}, "note": {note}}
		}
		if got := w.do(w.browser, http.MethodPost, signin.NoAccessPath, form("  ")); got.status != http.StatusUnprocessableEntity {
			t.Errorf("an empty note: %d", got.status)
		}
		const note = "I look after London 1 since Monday. <script>alert(1)</script>"
		sent := w.do(w.browser, http.MethodPost, signin.NoAccessPath, form(note))
		if sent.status != http.StatusSeeOther {
			t.Fatalf("the note: %d %s", sent.status, sent.body)
		}
		if shown := w.get(sent.header.Get("Location")); !strings.Contains(shown.doc.Find("main").Text(), "Your note was kept") || strings.Contains(shown.body, "<script>alert") {
			t.Errorf("afterwards: %s", shown.body)
		}
		for _, u := range w.state().Users {
			if u.ID == s.User && (u.Note != note || !u.NotedAt.Equal(w.clock.Now())) {
				t.Errorf("the user: %+v", u)
			}
		}
		stranger := newBrowser()
		if got := w.do(stranger, http.MethodPost, signin.NoAccessPath, form("let me in")); got.status != http.StatusUnauthorized {
			t.Errorf("a stranger's note: %d", got.status)
		}
	})
}

func TestGroups_AClaimGivesAndTakesOnlyItsOwn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		names := func() (out []string) {
			for _, g := range w.state().Groups {
				if g.MemberCount > 0 {
					out = append(out, g.Name)
				}
			}
			return out
		}
		w.idp.person["groups"] = []string{"London Team", "Night shift"}
		w.mustSignIn()
		if diff := cmp.Diff(names(), []string{"London Team", "Night shift"}); diff != "" {
			t.Errorf("got before want:\n%s", diff)
		}
		w.idp.person["groups"] = []string{"London Team"}
		w.mustSignIn()
		if diff := cmp.Diff(names(), []string{"London Team"}); diff != "" {
			t.Errorf("after one was left out:\n%s", diff)
		}
		for name, change := range map[string]func(c map[string]any){
			"absent":    func(c map[string]any) { c["groups"] = nil },
			"malformed": func(c map[string]any) { c["groups"] = map[string]any{"a": 1} },
			"45 overage": func(c map[string]any) {
				c["groups"] = nil
				c["_claim_names"] = map[string]any{"groups": "src1"}
				c["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": w.idp.URL + "/trap"}}
			},
			"hasgroups": func(c map[string]any) { c["groups"], c["hasgroups"] = []string{}, true },
		} {
			w.idp.claims = change
			w.mustSignIn()
			if diff := cmp.Diff(names(), []string{"London Team"}); diff != "" {
				t.Errorf("%s changed the groups:\n%s", name, diff)
			}
		}
		if n := w.idp.count("/trap"); n != 0 {
			t.Errorf("the trap was fetched %d times", n)
		}
		w.idp.claims = func(c map[string]any) { c["groups"] = []string{} }
		w.mustSignIn()
		if got := names(); len(got) != 0 {
			t.Errorf("an empty claim left %v", got)
		}
	})
}

// Row 15: the address of somebody whom no directory speaks for follows the provider, if it is free and one of the
// organization's own; the subject decides who it is all the while.
func TestSignIn_TheProviderRenamesOnlyWhomNoDirectorySpeaksFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.mustSignIn().User
		shown := func(user id.User) string {
			for _, u := range w.state().Users {
				if u.ID == user {
					return u.DisplayName + " <" + u.Email + ">"
				}
			}
			return ""
		}
		w.push("oid-bob", "bob", "bob@northwind.example")
		for _, step := range []struct {
			name, email string
			want        string
		}{
			{"Ann Baker", "ann.baker@northwind.example", "Ann Baker <ann.baker@northwind.example>"},
			{"", "bob@northwind.example", "Ann Baker <ann.baker@northwind.example>"},
			{"", "ann@evil.example", "Ann Baker <ann.baker@northwind.example>"},
			{"", "", "Ann Baker <ann.baker@northwind.example>"},
		} {
			w.idp.person["name"], w.idp.person["email"] = step.name, step.email
			if s := w.mustSignIn(); s.User != ann {
				t.Fatalf("%+v: another user signed in", step)
			}
			if got := shown(ann); got != step.want {
				t.Errorf("%+v: got %s", step, got)
			}
		}
		w.idp.person = map[string]any{"sub": "sub-bob", "oid": "oid-bob"}
		bob := w.mustSignIn().User
		w.idp.person["name"], w.idp.person["email"] = "Root", "root@northwind.example"
		w.mustSignIn()
		if got := shown(bob); got != "Pushed bob <bob@northwind.example>" {
			t.Errorf("the provider outvoted the directory: %s", got)
		}
	})
}

// Who checks a link before it is followed spends nothing of it.
func TestSignIn_HeadSpendsNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		back := w.approve(w.away(toConsole))
		if a := w.do(w.browser, http.MethodHead, back, nil); a.status != http.StatusOK || len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("HEAD of the callback: %d, cookies %q", a.status, a.header.Values("Set-Cookie"))
		}
		if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("HEAD made a session: %v", err)
		}
		if a := w.get(back); a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("the callback after a HEAD: %d %s %s", a.status, a.header.Get("Location"), a.doc.Find("main").Text())
		}
	})
}

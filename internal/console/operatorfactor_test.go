package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/console"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// follow goes where an answer leads, until a page answers.
func (b *browser) follow(a answer) (answer, string) {
	b.h.t.Helper()
	at := a.location
	for a.status == http.StatusSeeOther {
		at = a.location
		a = b.get(at)
	}
	return a, at
}

// shown is the id of the sign-in under way, from the address it led to.
func shown(t *testing.T, at string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil || u.Query().Get("shown") == "" {
		t.Fatalf("no sign-in is under way at %q: %v", at, err)
	}
	return u.Query().Get("shown")
}

// app is an operator's authenticator app.
type app struct {
	clock *storetest.Clock
	key   string
}

func (a app) code(t *testing.T) string {
	t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(a.key, " ", ""), a.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// addApp enrols an app from the page that asks for its first code.
func (b *browser) addApp(t *testing.T, clock *storetest.Clock, page answer, at string) (app, answer) {
	t.Helper()
	a := app{clock, page.text("#totp-key")}
	if a.key == "" {
		t.Fatalf("%s shows no key: %s", at, page.text("main"))
	}
	return a, b.post("/operator/enrol", "shown", shown(t, at), "kind", "totp", "code", a.code(t))
}

func (b *browser) password() answer {
	b.h.t.Helper()
	return b.post("/operator/signin", "email", "opal@example.com", "password", operatorPassword)
}

// operatorEvents gives the actions of the installation's log, newest first.
func (h *house) operatorEvents() (out []string) {
	h.t.Helper()
	h.must(h.db.System().Read(h.t.Context(), func(tx *store.SystemTx) error {
		list, err := tx.Events(h.t.Context(), store.AuditFilter{Limit: 100})
		for _, e := range list {
			out = append(out, e.Action)
		}
		return err
	}))
	return out
}

func has(list []string, want string) bool {
	for _, s := range list {
		if s == want {
			return true
		}
	}
	return false
}

func TestOperatorFactors_AreEnrolledAskedForAndRemoved(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		h.declare()
		b := h.operator()
		got, at := b.follow(b.get("/operator/security/add?kind=totp"))
		own, got := b.addApp(t, clock, got, at)
		if got.location != "/operator/security" {
			t.Fatalf("%d to %q: %s", got.status, got.location, got.text("main"))
		}
		clock.Advance(time.Minute)

		// A browser that knows the password alone is nowhere.
		thief := h.browser()
		step := thief.password()
		id := shown(t, step.location)
		for _, path := range []string{"/operator/security", "/o/northwind/users", "/operator/log"} {
			if a := thief.get(path); a.status == http.StatusOK {
				t.Errorf("%s opens for the password alone", path)
			}
		}
		if a := thief.get("/operator/enrol?shown=" + id + "&kind=totp"); a.status == http.StatusOK {
			t.Error("the password alone may enrol a factor beside the operator's")
		}
		// What was shown in one browser is worth nothing in another.
		if a := h.browser().post("/operator/factor", "shown", id, "way", "totp", "code", own.code(t)); a.status != http.StatusGone {
			t.Errorf("another browser: %d", a.status)
		}
		if a := thief.post("/operator/factor", "shown", id, "way", "totp", "code", "000000"); a.status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong code: %d", a.status)
		}
		if !has(h.operatorEvents(), "factor.refused") {
			t.Error("the wrong code is in no log")
		}
		code := own.code(t)
		if a := thief.post("/operator/factor", "shown", id, "way", "totp", "code", code); a.location != "/" {
			t.Fatalf("the right code: %d to %q", a.status, a.location)
		}
		other := h.browser()
		if a := other.post("/operator/factor", "shown", shown(t, other.password().location), "way", "totp", "code", code); a.status != http.StatusUnprocessableEntity {
			t.Errorf("the same code once more: %d", a.status)
		}

		// Recovery codes, each good once.
		got, at = b.follow(b.get("/operator/security/add?kind=recovery"))
		mark := got.once("/operator/enrol")
		made := b.post("/operator/enrol", "shown", shown(t, at), "kind", "recovery", "once", mark)
		codes := strings.Fields(made.text("#codes"))
		if len(codes) != mfa.RecoveryCount {
			t.Fatalf("%d codes: %s", len(codes), made.text("main"))
		}
		again := b.post("/operator/enrol", "shown", shown(t, at), "kind", "recovery", "once", mark)
		if back, _ := again.Find("main a.button").Attr("href"); again.status != http.StatusConflict || again.Find("#codes").Length() > 0 || back == "" {
			t.Errorf("loaded again, the codes' page answers %d with the way %q: %s", again.status, back, again.text("main"))
		} else {
			b.page(back)
		}
		b.post("/operator/enrol", "shown", shown(t, at), "kind", "recovery", "kept", "yes")
		for i, want := range []int{http.StatusSeeOther, http.StatusUnprocessableEntity} {
			lost := h.browser()
			if a := lost.post("/operator/factor", "shown", shown(t, lost.password().location), "way", "recovery", "code", strings.ToUpper(codes[0])); a.status != want {
				t.Errorf("use %d of a recovery code: %d", i+1, a.status)
			}
		}

		// A sensitive door asks for the factor, not for the password.
		clock.Advance(mfa.FreshFor + time.Minute)
		got, at = b.follow(b.get("/o/northwind/webhooks/new"))
		if !strings.HasPrefix(at, "/operator/factor?") || !strings.Contains(got.text("main"), "show it once more") {
			t.Fatalf("the door leads to %q: %s", at, got.text("main"))
		}
		if a := b.post("/operator/factor", "shown", shown(t, at), "way", "totp", "code", own.code(t)); a.location != "/o/northwind/webhooks/new" {
			t.Fatalf("%d to %q", a.status, a.location)
		}
		b.page("/o/northwind/webhooks/new")

		// Removing it asks for nothing more now, and ends the others' sessions.
		link, _ := b.page("/operator/security").Find(`a.danger`).Attr("href")
		b.page(link)
		if a := b.post(link); a.location != "/operator/security" {
			t.Fatalf("%d: %s", a.status, a.text("main"))
		}
		if a := thief.get("/operator/security"); a.status == http.StatusOK {
			t.Error("another session outlives the factor")
		}
		if a := h.browser().password(); a.location != "/" {
			t.Errorf("without a factor the password leads to %q", a.location)
		}
		events := h.operatorEvents()
		for _, want := range []string{"factor.added", "factor.removed", "recovery-codes.made", "recovery-code.used"} {
			if !has(events, want) {
				t.Errorf("no event %s in %v", want, events)
			}
		}
	})
}

// A code has a million values, and an answer costs a try whatever was typed.
func TestOperatorFactors_GuessesAreBounded(t *testing.T) {
	t.Parallel()
	clock := storetest.NewClock()
	h := open(t, storetest.Open(t, storetest.SQLite, storetest.WithClock(clock)))
	b := h.operator()
	got, at := b.follow(b.get("/operator/security/add?kind=totp"))
	own, _ := b.addApp(t, clock, got, at)
	clock.Advance(20 * time.Minute)
	thief := h.browser()
	id := shown(t, thief.password().location)
	for range 10 {
		thief.post("/operator/factor", "shown", id, "way", "totp", "code", "000000")
	}
	if a := thief.post("/operator/factor", "shown", id, "way", "totp", "code", own.code(t)); a.status != http.StatusTooManyRequests {
		t.Errorf("the eleventh guess answers %d", a.status)
	}
}

func TestOperatorFactors_AreSetUpOnTheWayInWhereTheInstallationDemandsThem(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		before := open(t, db).operator() // a session from before the demand, at a node that does not know it
		h := open(t, db, func(c *console.Console) { c.OperatorMFA = true })
		before.h = h
		if a := before.get("/operator/security"); a.status == http.StatusOK {
			t.Error("a session without a second factor still opens pages")
		}
		b := h.browser()
		got, at := b.follow(b.password())
		if !strings.Contains(got.text("main"), "asks its operators for a second factor") {
			t.Fatalf("%s: %s", at, got.text("main"))
		}
		if a := b.get("/operator/security"); a.status == http.StatusOK {
			t.Error("in before it is set up")
		}
		at = "/operator/enrol?kind=totp&shown=" + shown(t, at)
		_, got = b.addApp(t, clock, b.page(at), at)
		if got.location != "/" {
			t.Fatalf("%d to %q", got.status, got.location)
		}
		link, _ := b.page("/operator/security").Find(`a.danger`).Attr("href")
		if a := b.post(link); a.status != http.StatusConflict {
			t.Errorf("the last one is removed with %d", a.status)
		}
	})
}

func TestOperatorRecovery_ALinkFromTheTerminalReplacesPasswordAndFactorsOnce(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		b := h.operator()
		got, at := b.follow(b.get("/operator/security/add?kind=totp"))
		b.addApp(t, clock, got, at)
		link := func() (token string) {
			h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) (err error) {
				token, _, err = tx.MakeOperatorRecovery(t.Context(), " OPAL@example.com", audit.Actor{Kind: audit.ActorOperator, ID: "cli", Door: audit.CLI})
				return err
			}))
			return token
		}
		first, second := link(), link()
		const chosen = "eleven quiet lanterns"
		lost := h.browser()
		if a := lost.post("/operator/recover", "token", first, "password", chosen); a.status != http.StatusGone {
			t.Errorf("a link that a later one replaced: %d", a.status)
		}
		if a := lost.post("/operator/recover", "token", second, "password", "short"); a.status != http.StatusUnprocessableEntity {
			t.Errorf("a bad password: %d", a.status)
		}
		b.page("/operator/security") // until it is used, nothing has changed
		if a := lost.post("/operator/recover", "token", h.url+"/operator/recover#"+second, "password", chosen); a.location != "/operator/security" {
			t.Fatalf("%d to %q: %s", a.status, a.location, a.text("main"))
		}
		if a := lost.page("/operator/security"); !strings.Contains(a.text("main"), "No second factor yet") {
			t.Errorf("factors of before: %s", a.text("main"))
		}
		if a := b.get("/operator/security"); a.status == http.StatusOK {
			t.Error("a session from before still opens pages")
		}
		if a := h.browser().post("/operator/recover", "token", second, "password", chosen); a.status != http.StatusGone {
			t.Errorf("the link once more: %d", a.status)
		}
		if a := h.browser().password(); a.status != http.StatusUnauthorized {
			t.Errorf("the password of before: %d", a.status)
		}
		expired := link()
		clock.Advance(store.OperatorRecoveryLifetime + time.Second)
		if a := h.browser().post("/operator/recover", "token", expired, "password", chosen); a.status != http.StatusGone {
			t.Errorf("an expired link: %d", a.status)
		}
		events := h.operatorEvents()
		if !has(events, "operator.recovered") || !has(events, "operator.recovery-link-made") {
			t.Errorf("in the log stands %v", events)
		}
	})
}

package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

var tester = audit.Actor{Kind: audit.ActorUser, ID: "ada", Name: "Ada Admin", Organization: northwind, Door: audit.Console}

// begin starts a test sign-in in this browser, as the console does, and gives its address.
func (w *world) test() (id.Attempt, string) {
	w.t.Helper()
	if w.cookie("vestibule_b") == "" {
		w.get("/signin?return_to=/")
	}
	var attempt id.Attempt
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) (err error) {
		attempt, err = tx.BeginTest(w.ctx, northwind, "corp", seal.Fingerprint(w.cookie("vestibule_b")), "/o/northwind/connections/corp/tests/", tester)
		return err
	}))
	return attempt, "/signin?attempt=" + string(attempt)
}

// tested runs a whole test sign-in, and gives what is kept of it. No row but its own may change.
func (w *world) tested() connection.Test {
	w.t.Helper()
	before := w.state()
	attempt, start := w.test()
	a := w.get(w.approve(w.away(start)))
	if to := a.header.Get("Location"); a.status != http.StatusSeeOther || to != "/o/northwind/connections/corp/tests/"+string(attempt) {
		w.t.Fatalf("the test ended at %d %q, not at its report: %s", a.status, to, a.doc.Find("main").Text())
	}
	for _, c := range a.header.Values("Set-Cookie") {
		if strings.Contains(c, "vestibule_s_") {
			w.t.Errorf("a test gave a session: %s", c)
		}
	}
	if diff := cmp.Diff(before, w.state()); diff != "" {
		w.t.Errorf("a test changed rows:\n%s", diff)
	}
	if _, err := w.session(northwind); err == nil {
		w.t.Error("a test signed somebody in")
	}
	return w.report(attempt)
}

func (w *world) report(attempt id.Attempt) (t connection.Test) {
	w.t.Helper()
	w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
		t, err = tx.Test(w.ctx, attempt)
		return err
	}))
	if t.Report == nil {
		w.t.Fatalf("no report is kept: %+v", t)
	}
	return t
}

func (w *world) passed(tester string) bool {
	w.t.Helper()
	var passed bool
	w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
		_, passed, err = tx.PassedTest(w.ctx, "corp", tester)
		return err
	}))
	return passed
}

func outcomes(r *connection.Report) map[connection.CheckName]connection.Outcome {
	out := map[connection.CheckName]connection.Outcome{}
	for _, c := range r.Checks {
		out[c.Name] = c.Outcome
	}
	return out
}

func TestTestSignIn_PassesThroughADraftAndCountsForWhoStartedIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.configure(func(s *connection.Settings) { s.Draft = true })
		w.push("11111111-2222-4333-8444-555555555555", "ann@northwind.example", "ann@northwind.example")
		w.idp.person["oid"], w.idp.person["email_verified"] = "11111111-2222-4333-8444-555555555555", true
		w.idp.person["groups"] = []any{"London Team"}

		// Nobody else comes in through a draft.
		w.refuses(connection.CodeConnectionDisabled, func() answer {
			return w.get(w.get("/signin?organization=northwind&connection=corp").header.Get("Location"))
		})
		got := w.tested()
		if !got.Report.Passed() || got.Passed.IsZero() || got.Tester != "ada" || got.User == "" {
			t.Fatalf("the test was not passed: %+v\n%+v", got, got.Report.Checks)
		}
		if got.Report.User != "Pushed ann@northwind.example" || len(got.Report.Why) != 3 || !strings.Contains(got.Report.Why[1], "11111111-2222") {
			t.Errorf("whom it found: %q %q", got.Report.User, got.Report.Why)
		}
		if !w.passed("ada") || w.passed("somebody") || !w.passed("") {
			t.Error("a pass counts for who started it")
		}
		for _, c := range got.Report.Claims {
			if c.Name == "nonce" && (!c.Masked || c.Values[0] != "…") {
				t.Errorf("the nonce is not masked: %+v", c)
			}
			if c.Name == "oid" && (c.Means != "matched with externalId" || c.From != "ID token") {
				t.Errorf("the match claim: %+v", c)
			}
		}
		// With other settings it counts no longer.
		w.configure(func(s *connection.Settings) { s.Draft, s.Scopes = true, []string{"openid"} })
		if w.passed("ada") {
			t.Error("a pass outlived the settings it was of")
		}
	})
}

func TestTestSignIn_SaysWhatFailedAndWhatToDo(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *world)
		failed connection.CheckName
		said   string
		fix    string
		after  connection.CheckName // the first one that was not reached
	}{
		"unreachable":    {func(w *world) { w.idp.Close() }, connection.CheckProvider, "cannot be reached", "letter by letter", connection.CheckAnswer},
		"turned away":    {func(w *world) { w.idp.respond = denied }, connection.CheckAnswer, "access_denied", "not assigned", connection.CheckCode},
		"another client": {func(w *world) { w.idp.claims = func(c map[string]any) { c["aud"] = "other" } }, connection.CheckAudience, "another client", "Application (client) ID", connection.CheckTimes},
		"wrong key":      {func(w *world) { w.idp.sign = func(map[string]any) string { return "a.b.c" } }, connection.CheckSignature, "base64url", "publishes", connection.CheckIssuer},
		"not pushed": {
			func(w *world) {
				w.configure(func(s *connection.Settings) { s.Provisioning = connection.DirectoryOnly })
			},
			connection.CheckRecord, "not-provisioned", "objectId to externalId", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				tt.change(w)
				before := w.state()
				attempt, start := w.test()
				a := w.get(start)
				for range 3 { // to the provider and back, as far as it goes
					to := a.header.Get("Location")
					if strings.HasPrefix(to, "/o/") {
						break
					}
					a = w.get(to)
				}
				got := w.report(attempt)
				if got.Report.Passed() || !got.Passed.IsZero() || w.passed("") {
					t.Error("it was passed")
				}
				for _, c := range got.Report.Checks {
					if c.Outcome == connection.Failed && c.Name != tt.failed {
						t.Errorf("%s failed: %s", c.Name, c.Said)
					}
					if c.Name == tt.failed && (c.Outcome != connection.Failed || !strings.Contains(c.Said, tt.said) || !strings.Contains(c.Fix, tt.fix)) {
						t.Errorf("%s: %s, %q, %q", c.Name, c.Outcome, c.Said, c.Fix)
					}
				}
				if tt.after != "" && outcomes(got.Report)[tt.after] != connection.NotReached {
					t.Errorf("%s: got %s, want it not reached", tt.after, outcomes(got.Report)[tt.after])
				}
				if diff := cmp.Diff(before, w.state()); diff != "" {
					t.Errorf("rows changed:\n%s", diff)
				}
				if e := w.events()[0]; e.Action != "connection.tested" || e.Outcome != audit.Refused || e.Code != "test-failed" {
					t.Errorf("the event: %+v", e)
				}
			})
		})
	}
}

func denied(back url.Values) {
	delete(back, "code")
	back["error"] = []string{"access_denied"}
}

// The claims of a token that was refused are shown to find out why, and marked as nobody's word.
func TestTestSignIn_ShowsWhatStandsInARefusedToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.idp.claims = func(c map[string]any) { c["iss"] = "https://elsewhere.example" }
		got := w.tested()
		if !got.Report.Unproven || got.Report.Person != nil {
			t.Errorf("%+v", got.Report)
		}
		for _, c := range got.Report.Claims {
			if c.From == "ID token" && c.Name == "iss" {
				if c.Values[0] != "https://elsewhere.example" {
					t.Errorf("%+v", c)
				}
				return
			}
		}
		t.Error("the issuer that came is not shown")
	})
}

// Keys that can never be equal are seen before anybody is turned away: Entra pushes mailNickname unless its mapping is changed.
func TestTestSignIn_WarnsOfKeysOfAnotherForm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("bob", "bob@northwind.example", "bob@northwind.example")
		w.push("", "cyd@northwind.example", "cyd@northwind.example")
		w.idp.person["oid"], w.idp.person["email_verified"] = "11111111-2222-4333-8444-555555555555", true
		got := w.tested()
		want := &connection.Coverage{Directory: "entra", Name: "Entra", Records: 2, Keyless: 1, Sampled: 1, Unlike: 1, Example: "bob"}
		if diff := cmp.Diff(got.Report.Coverage, want); diff != "" {
			t.Errorf("got before want:\n%s", diff)
		}
		for _, c := range got.Report.Checks {
			if c.Name == connection.CheckMatch && (c.Outcome != connection.Warned || !strings.Contains(c.Said, "a plain name") || !strings.Contains(c.Said, "a GUID")) {
				t.Errorf("%+v", c)
			}
		}
	})
}

// The attempt of a test is the browser's that began it, and leads to nothing else.
func TestTestSignIn_BelongsToTheBrowserThatBegan(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, start := w.test()
		back := w.approve(w.away(start))
		w.browser = newBrowser()
		if a := w.get(back); a.code() != "attempt-over" {
			t.Errorf("another browser's callback: %d %q", a.status, a.code())
		}
		if w.passed("") {
			t.Error("it was passed by another browser")
		}
	})
}

package signin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// tested runs a whole test sign-in by SAML as far as it goes, and gives what is kept of it. No row of any table but its own, the
// attempt's and the log's may change, and the browser ends at the report.
func (w *samlWorld) tested(change func(*samltest.Response)) connection.Test {
	w.t.Helper()
	if w.cookie("vestibule_b") == "" {
		w.get("/signin?return_to=/")
	}
	before := w.rows("connection_tests")
	var attempt id.Attempt
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) (err error) {
		attempt, err = tx.BeginTest(w.ctx, northwind, "saml", seal.Fingerprint(w.cookie("vestibule_b")), "/o/northwind/connections/saml/tests/", tester)
		return err
	}))
	a := w.get("/signin?attempt=" + string(attempt))
	if strings.HasPrefix(a.header.Get("Location"), ssoURL) {
		relay, request, _ := w.ask("/signin?attempt=" + string(attempt))
		a = w.post(northwind, w.respond(request, change), relay)
		if to := a.header.Get("Location"); strings.Contains(to, "/landed?") {
			a = w.get(to)
		}
	}
	if to := a.header.Get("Location"); a.status != http.StatusSeeOther || to != "/o/northwind/connections/saml/tests/"+string(attempt) {
		w.t.Fatalf("the test ended at %d %q, not at its report: %s", a.status, to, a.doc.Find("main").Text())
	}
	for _, c := range a.header.Values("Set-Cookie") {
		if strings.Contains(c, "vestibule_s_") {
			w.t.Errorf("a test gave a session: %s", c)
		}
	}
	if diff := cmp.Diff(before, w.rows("connection_tests")); diff != "" {
		w.t.Errorf("a test changed rows:\n%s", diff)
	}
	if _, err := w.session(northwind); err == nil {
		w.t.Error("a test signed somebody in")
	}
	return w.report(attempt)
}

func (w *samlWorld) counts(tester string) bool {
	w.t.Helper()
	var passed bool
	w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
		_, passed, err = tx.PassedTest(w.ctx, "saml", tester)
		return err
	}))
	return passed
}

func TestTestSignIn_BySAMLPassesThroughADraft(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.pushed(true, "")
		w.declare(w.document(w.idp.Signer), func(s *connection.Settings) { s.Draft = true })
		w.refuses(connection.CodeConnectionDisabled, func() answer { return w.get(w.get(toSAML).header.Get("Location")) })
		got := w.tested(func(r *samltest.Response) { r.Attributes["groups"] = []string{"London Team"} })
		for _, c := range got.Report.Checks {
			if c.Outcome != connection.Passed && c.Outcome != connection.Warned {
				t.Errorf("%s: %s %q", c.Name, c.Outcome, c.Said)
			}
		}
		if diff := cmp.Diff(len(got.Report.Checks), len(connection.Checks(connection.SAML))); diff != "" {
			t.Errorf("the checks: %s", diff)
		}
		if !got.Report.Passed() || got.Passed.IsZero() || got.User == "" || got.Report.User != "Pushed ada@northwind.example" || got.Report.Unproven {
			t.Errorf("the test was not passed: %+v\n%+v", got, got.Report)
		}
		if !w.counts("ada") || w.counts("somebody") {
			t.Error("a pass counts for who started it")
		}
		shown := map[string]connection.Claim{}
		for _, c := range got.Report.Claims {
			shown[c.Name] = c
		}
		if c := shown["NameID"]; len(c.Values) != 1 || c.Values[0] != "ada@northwind.example" || !strings.Contains(c.Means, "matched with userName") {
			t.Errorf("the NameID: %+v", c)
		}
		if c := shown["groups"]; c.Means != "groups" || cmp.Diff(c.Values, []string{"London Team"}) != "" {
			t.Errorf("the groups: %+v", c)
		}
		if e := w.events()[0]; e.Action != "connection.tested" || e.Outcome != audit.Done {
			t.Errorf("the event: %+v", e)
		}
		// With other settings it counts no longer.
		w.declare(w.document(w.idp.Signer), func(s *connection.Settings) { s.Draft, s.GroupsClaim = true, "teams" })
		if w.counts("ada") {
			t.Error("a pass outlived the settings it was of")
		}
	})
}

// Whatever a test ends at, its report names that check and what to do about it, and what comes after it was not reached.
func TestTestSignIn_BySAMLSaysWhatFailedAndWhatToDo(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		good := func() { w.declare(w.document(w.idp.Signer), nil) }
		for _, c := range []struct {
			failed connection.CheckName
			said   string
			fix    string
			before func()
			change func(*samltest.Response)
		}{
			{failed: connection.CheckProvider, fix: "letter by letter", before: func() { w.declare("<none/>", nil) }},
			{failed: connection.CheckShape, fix: "read in one way only", change: func(r *samltest.Response) {
				r.After = func(el *etree.Element) { el.AddChild(el.SelectElement("Assertion").Copy()) }
			}},
			{failed: connection.CheckDestination, fix: "assertion consumer URL", change: func(r *samltest.Response) { r.Destination = "https://evil.example/acs" }},
			{failed: connection.CheckIssuer, fix: "calls itself something else", change: func(r *samltest.Response) { r.Issuer = "https://evil.example" }},
			{failed: connection.CheckNonce, fix: "Start the test again", change: func(r *samltest.Response) {
				r.InResponseTo, r.ConfirmationInResponseTo = "_other", "_other"
			}},
			{failed: connection.CheckStatus, said: "Responder", fix: "not assigned", change: func(r *samltest.Response) {
				r.Status, r.Message = "urn:oasis:names:tc:SAML:2.0:status:Responder", "<script>"
			}},
			{failed: connection.CheckDecryption, fix: "another certificate than ours", change: func(r *samltest.Response) {
				r.Encryption = &samltest.Encryption{To: samltest.RSA(w.t, 1, w.clock.Now()).Cert}
			}},
			{failed: connection.CheckSignature, fix: "by a key that the provider publishes", change: func(r *samltest.Response) {
				r.Signer = samltest.RSA(w.t, 1, w.clock.Now())
			}},
			{failed: connection.CheckTimes, fix: "clocks", change: func(r *samltest.Response) { r.NotOnOrAfter = w.clock.Now().Add(-10 * time.Minute) }},
			{failed: connection.CheckAudience, fix: "made for somebody else", change: func(r *samltest.Response) {
				r.Audiences = [][]string{{w.sp(southwind).EntityID}}
			}},
			{failed: connection.CheckSubject, fix: "something lasting", change: func(r *samltest.Response) {
				r.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
			}},
			{failed: connection.CheckContext, fix: "in another way", before: func() {
				w.declare(w.document(w.idp.Signer), func(s *connection.Settings) { s.ACRValues = []string{"urn:example:phishing-resistant"} })
			}},
			{failed: connection.CheckAttributes, said: "mail", fix: "came with several", change: func(r *samltest.Response) {
				r.Attributes["mail"] = []string{"ada@northwind.example", "eve@northwind.example"}
			}},
			{failed: connection.CheckRecord, said: "not-provisioned", fix: "Push the person", before: func() {
				w.declare(w.document(w.idp.Signer), func(s *connection.Settings) { s.Provisioning = connection.DirectoryOnly })
			}},
		} {
			w.clock.Advance(time.Second)
			good()
			if c.before != nil {
				c.before()
			}
			got := w.tested(c.change)
			if got.Report.Passed() || !got.Passed.IsZero() || w.counts("") {
				t.Errorf("%s: it was passed", c.failed)
			}
			reached := true
			for _, check := range got.Report.Checks {
				switch {
				case check.Name == c.failed:
					if check.Outcome != connection.Failed || check.Said == "" || !strings.Contains(check.Said, c.said) || !strings.Contains(check.Fix, c.fix) {
						t.Errorf("%s: %s, %q, %q", check.Name, check.Outcome, check.Said, check.Fix)
					}
					reached = false
				case check.Outcome == connection.Failed, reached && check.Outcome == connection.NotReached:
					t.Errorf("%s: %s %s: %q", c.failed, check.Name, check.Outcome, check.Said)
				case !reached && check.Outcome != connection.NotReached:
					t.Errorf("%s: %s after it: %s", c.failed, check.Name, check.Outcome)
				}
			}
			if reached {
				t.Errorf("%s is no check of the report: %+v", c.failed, got.Report.Checks)
			}
			if e := w.events()[0]; e.Action != "connection.tested" || e.Outcome != audit.Refused || e.Code != "test-failed" {
				t.Errorf("%s: the event: %+v", c.failed, e)
			}
		}
	})
}

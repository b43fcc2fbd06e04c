package console_test

import (
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestSAML_AnAdministratorApprovesTheProvidersNewCertificate(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		h.declare()
		ctx, now := t.Context(), clock.Now()
		c := connection.Connection{
			Organization: "northwind", ID: "okta", Name: "Northwind Okta", Protocol: connection.SAML,
			Settings: connection.Settings{Metadata: "https://idp.example/metadata"},
		}
		idp := &samltest.IdP{EntityID: "https://idp.example", Now: now}
		certify := func(n int, days time.Duration) *x509.Certificate {
			return samltest.Certify(t, samltest.RSA(t, n, now).Key, now.Add(-time.Hour), now.Add(days*24*time.Hour)).Cert
		}
		old, next := certify(0, 13), certify(1, 900)
		document := func(certs ...*x509.Certificate) string {
			return string(samltest.Bytes(t, idp.Describe("https://idp.example/sso", "https://idp.example/slo", certs...)))
		}
		approved, both := document(old), document(old, next)
		h.must(h.db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(c)
			return nil
		}))
		known := func() (m store.SAMLMetadata) {
			h.must(h.db.Read(ctx, "northwind", func(tx *store.Tx) (err error) {
				m, err = tx.SAMLMetadata(ctx, c)
				return err
			}))
			return m
		}
		wait := func(body string) {
			h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
				m, err := tx.SAMLMetadata(ctx, c)
				if err != nil {
					return err
				}
				tx.KeepSAMLPending(ctx, c, m, body, time.Hour, audit.Event{Actor: h.system, Action: "connection.metadata-changed", TargetKind: "connection", TargetID: "okta"})
				return nil
			}))
		}
		b := h.as("northwind", "Olivia Owner")
		at := "/o/northwind/connections/okta/keys"
		if got := b.page(at).text("main"); !strings.Contains(got, "Not yet: the first sign-in asks") || !strings.Contains(got, "No key yet") {
			t.Errorf("before anybody signed in the page says %q", got)
		}
		h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
			tx.KeepSAMLMetadata(ctx, c, approved, time.Hour, nil)
			return nil
		}))
		if got := b.page("/o/northwind").text("main"); !strings.Contains(got, "The certificate of Northwind Okta expires") {
			t.Errorf("the overview says %q", got)
		}
		wait(both)
		if got := b.page("/o/northwind").text("main"); !strings.Contains(got, "Northwind Okta publishes other keys or addresses") {
			t.Errorf("the overview says %q", got)
		}
		page := b.page(at)
		waiting := page.text("[aria-labelledby=waiting]")
		if !strings.Contains(waiting, saml.Fingerprint(next)) || !strings.Contains(waiting, "New") || !strings.Contains(waiting, "Stays") {
			t.Errorf("what waits: %q", waiting)
		}
		fingerprint := page.Find("input[name=fingerprint]").AttrOr("value", "")
		if fingerprint != seal.Fingerprint(both) {
			t.Errorf("the form names %q", fingerprint)
		}
		// Whoever may not set up sign-in neither sees nor approves it.
		other := h.as("northwind", "Adam Admin")
		if got := other.get(at); got.status != http.StatusForbidden {
			t.Errorf("without the permission the page answers %d", got.status)
		}
		for _, path := range []string{at + "/metadata", at + "/make", at + "/ask"} {
			if got := other.post(path, "fingerprint", fingerprint, "decision", "approve", "purpose", "signing"); got.status != http.StatusForbidden {
				t.Errorf("without the permission %s answers %d", path, got.status)
			}
		}
		if got := h.as("fieldserv", "Femi Field").post(strings.Replace(at, "northwind", "fieldserv", 1)+"/metadata", "fingerprint", fingerprint, "decision", "approve"); got.status < 400 {
			t.Errorf("from another organization: %d", got.status)
		}
		// Declined, then something else, which was not what this page showed.
		if got := b.post(at+"/metadata", "fingerprint", fingerprint, "decision", "decline", "reason", "nobody told us"); got.status != http.StatusSeeOther {
			t.Fatalf("declining answers %d: %s", got.status, got.text("main"))
		}
		if m := known(); m.Pending.Body != "" || m.Approved.Body != approved {
			t.Errorf("after declining: %+v", m)
		}
		wait(document(next, old))
		if got := b.post(at+"/metadata", "fingerprint", fingerprint, "decision", "approve"); got.status != http.StatusConflict {
			t.Errorf("approving what was not shown answers %d", got.status)
		}
		if got := b.post(at+"/metadata", "fingerprint", seal.Fingerprint(document(next, old)), "decision", "perhaps"); got.status < 400 {
			t.Errorf("no decision answers %d", got.status)
		}
		fingerprint = b.page(at).Find("input[name=fingerprint]").AttrOr("value", "")
		if got := b.post(at+"/metadata", "fingerprint", fingerprint, "decision", "approve", "reason", "compared by telephone"); got.status != http.StatusSeeOther {
			t.Fatalf("approving answers %d: %s", got.status, got.text("main"))
		}
		if m := known(); m.Pending.Body != "" || seal.Fingerprint(m.Approved.Body) != fingerprint {
			t.Errorf("after approving: %+v", m)
		}
		if got := b.page(at).text("[aria-labelledby=theirs]"); !strings.Contains(got, saml.Fingerprint(next)) {
			t.Errorf("what counts: %q", got)
		}
		if got := strings.Join(h.actions("okta"), " "); !strings.HasPrefix(got, "connection.metadata-approved ") || !strings.Contains(got, "connection.metadata-declined") {
			t.Errorf("the log holds %q", got)
		}

		// Our own keys.
		for _, purpose := range []string{"signing", "encryption"} {
			if got := b.post(at+"/make", "purpose", purpose); got.status != http.StatusSeeOther {
				t.Fatalf("making a key answers %d: %s", got.status, got.text("main"))
			}
			if got := b.post(at+"/make", "purpose", purpose); got.status != http.StatusConflict {
				t.Errorf("making a second next key answers %d", got.status)
			}
			row := "[aria-labelledby=own-" + purpose + "] tbody tr"
			page := b.page(at)
			if page.Find(row).Length() != 2 || !strings.Contains(page.text(row), "In use") || !strings.Contains(page.text(row), "Next, published") {
				t.Errorf("%s keys: %q", purpose, page.text(row))
			}
			use := page.Find(row+" form[action$='/use']").AttrOr("action", "")
			if got := b.post(use); got.status != http.StatusSeeOther {
				t.Errorf("%s answers %d", use, got.status)
			}
			remove := b.page(at).Find(row+" form[action$='/remove']").AttrOr("action", "")
			if got := b.post(remove); got.status != http.StatusSeeOther {
				t.Errorf("%s answers %d", remove, got.status)
			}
			if page = b.page(at); page.Find(row).Length() != 1 || !strings.Contains(page.text(row), "In use") {
				t.Errorf("%s keys: %q", purpose, page.text(row))
			}
		}
		if got := b.post(at+"/make", "purpose", "world"); got.status < 400 {
			t.Errorf("a key for nothing answers %d", got.status)
		}
		if got := b.get("/o/northwind/connections/corp/keys"); got.status != http.StatusNotFound {
			t.Errorf("a connection by OpenID answers %d", got.status)
		}
	})
}

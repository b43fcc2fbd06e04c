package signin_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
)

// address publishes a provider's metadata.
type address struct {
	mu      sync.Mutex
	body    string
	fetched int
	url     string
}

func (w *samlWorld) address(body string) *address {
	a := &address{body: body}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.fetched++
		if a.body == "" {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = rw.Write([]byte(a.body))
	}))
	w.t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *address) publish(body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.body = body
}

func (a *address) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetched
}

// refresh is the periodic work, after what is kept has become due.
func (w *samlWorld) refresh() {
	w.t.Helper()
	w.clock.Advance(7 * time.Hour)
	w.must(w.service().RefreshMetadata(w.ctx))
}

func (w *samlWorld) known(org id.Organization) (m store.SAMLMetadata) {
	w.t.Helper()
	w.must(w.db.Read(w.ctx, org, func(tx *store.Tx) error {
		c, err := tx.SignInConnection(w.ctx, "saml")
		if err == nil {
			m, err = tx.SAMLMetadata(w.ctx, c.Connection)
		}
		return err
	}))
	return m
}

func (w *samlWorld) decide(fingerprint string, approve bool) error {
	return w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
		return tx.DecideSAMLMetadata(w.ctx, audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Olga", Door: audit.Console}, "saml", fingerprint, approve, "compared")
	})
}

func (w *samlWorld) metadataEvents() (events []audit.Event) {
	for _, e := range w.events() {
		if strings.HasPrefix(e.Action, "connection.metadata-") {
			events = append(events, e)
		}
	}
	return events
}

func by(signer samltest.Pair) func(*samltest.Response) {
	return func(r *samltest.Response) { r.Signer = signer }
}

// The four phases of a provider's rollover, as its metadata's address shows them: the old certificate, both, the new one signing
// while both are published, the old one gone. An administrator approves once; no sign-in fails.
func TestSAML_163_RolloverByAddress(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		old, next := w.idp.Signer, samltest.RSA(t, 1, w.clock.Now())
		a := w.address(w.document(old))
		w.declare(a.url, nil)
		w.mustSignInBy(by(old))
		w.mustSignInBy(by(old))
		if a.asked() != 1 {
			t.Errorf("asked %d times", a.asked())
		}

		a.publish(w.document(old, next))
		w.refresh()
		w.mustSignInBy(by(old))
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(next)) }) // nobody has looked yet
		pending := w.known(northwind).Pending.Body
		if pending == "" {
			t.Fatal("nothing waits")
		}
		if err := w.decide("another", true); fault.KindOf(err) != fault.Conflict {
			t.Errorf("approved what nobody saw: %v", err)
		}
		w.must(w.decide(seal.Fingerprint(pending), true))
		w.mustSignInBy(by(old))

		w.mustSignInBy(by(next))
		w.refresh()
		w.mustSignInBy(by(next))

		a.publish(w.document(next))
		w.refresh()
		w.mustSignInBy(by(next))
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(old)) }) // 132
		var told []string
		for _, e := range w.metadataEvents() {
			if e.Actor.Organization == northwind {
				told = append(told, e.Action+" "+e.Outcome+" "+e.Code)
			}
		}
		want := "connection.metadata-changed done |connection.metadata-approved done |connection.metadata-changed refused metadata-waits|connection.metadata-changed done "
		if got := strings.Join(told, "|"); got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

// The same with metadata that a pinned key signs: nobody has to look, and a sign-in by a key that is published since yesterday does
// not wait for the periodic work.
func TestSAML_163_RolloverBySignedMetadata(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		old, next, federation := w.idp.Signer, samltest.RSA(t, 1, w.clock.Now()), samltest.RSA(t, 2, w.clock.Now())
		signed := func(by samltest.Pair, pairs ...samltest.Pair) string {
			el := w.describe(pairs...)
			samltest.SignElement(t, el, by, nil, "")
			return string(samltest.Bytes(t, el))
		}
		a := w.address(signed(federation, old))
		w.declare(a.url, func(s *connection.Settings) {
			s.SAML.MetadataSignedBy = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: federation.Cert.Raw}))
		})
		w.mustSignInBy(by(old))
		a.publish(signed(federation, old, next))
		w.refresh()
		w.mustSignInBy(by(old))
		w.mustSignInBy(by(next))
		a.publish(signed(federation, next))
		w.refresh()
		w.mustSignInBy(by(next))
		// At once, without a published overlap: the response that no known key signed asks the address again.
		last := samltest.RSA(t, 0, w.clock.Now())
		w.clock.Advance(time.Hour)
		a.publish(signed(federation, last))
		w.mustSignInBy(by(last))
		// But signed by anybody else it is not read.
		w.clock.Advance(time.Hour)
		a.publish(signed(next, next))
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(next)) })
		w.mustSignInBy(by(last))
	})
}

// By hand: the operator declares the document again in each phase.
func TestSAML_136_RolloverByHand(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		old, next := w.idp.Signer, samltest.RSA(t, 1, w.clock.Now())
		w.mustSignInBy(by(old))
		w.declare(w.document(old, next), nil)
		w.mustSignInBy(by(old))
		w.mustSignInBy(by(next))
		w.declare(w.document(next), nil)
		w.mustSignInBy(by(next))
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(old)) })
	})
}

func TestSAML_163_MetadataThatWaits(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		stranger := samltest.RSA(t, 2, w.clock.Now())
		a := w.address(w.document(w.idp.Signer))
		w.declare(a.url, nil)
		w.mustSignInBy(nil)
		// Another's key in place of the known one waits, and is told once.
		a.publish(w.document(stranger))
		for range 2 {
			w.refresh()
			w.mustSignInBy(nil)
			w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(stranger)) })
		}
		if e := w.metadataEvents(); len(e) < 1 || e[0].Code != "metadata-waits" || !strings.Contains(string(e[0].After), "certificates") || len(e) != 2 {
			t.Errorf("events: %+v", e)
		}
		// Declined, it is not asked about again, until something else is published.
		w.must(w.decide(seal.Fingerprint(w.known(northwind).Pending.Body), false))
		w.refresh()
		if w.known(northwind).Pending.Body != "" {
			t.Error("what was declined waits again")
		}
		a.publish(w.document(w.idp.Signer, stranger))
		w.refresh()
		if w.known(northwind).Pending.Body == "" {
			t.Error("another document does not wait")
		}
		// Declaring the connection anew, with the same address, does not trust what it publishes now.
		w.declare(a.url, func(s *connection.Settings) { s.GroupsClaim = "teams" })
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(stranger)) })
		// What the provider takes back no longer waits.
		a.publish(w.document(w.idp.Signer))
		w.refresh()
		if w.known(northwind).Pending.Body != "" {
			t.Error("what was taken back waits")
		}
		// An address that answers nothing, or rubbish, locks nobody out.
		for _, body := range []string{"", "<html></html>", strings.Repeat("x", 2<<20)} {
			a.publish(body)
			w.refresh()
			w.mustSignInBy(nil)
		}
	})
}

func TestSAML_163_MetadataWhoseTimeIsOver(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		until := func(d time.Duration) string {
			el := w.describe(w.idp.Signer)
			el.CreateAttr("validUntil", w.clock.Now().Add(d).UTC().Format(time.RFC3339))
			return string(samltest.Bytes(t, el))
		}
		a := w.address(until(24 * time.Hour))
		w.declare(a.url, nil)
		w.mustSignInBy(nil)
		a.publish("")
		w.clock.Advance(25 * time.Hour)
		w.refuses(signin.CodeProvider, func() answer { return w.get(w.begun(toSAML)) })
		// The next one is found by the sign-in itself.
		w.clock.Advance(11 * time.Minute)
		a.publish(until(24 * time.Hour))
		w.mustSignInBy(nil)
	})
}

// Our own keys: the next is published beside the current one, and both open what is encrypted to them.
func TestSAML_OurKeysRollOver(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		actor := audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Olga", Door: audit.Console}
		keys := func() (out []store.SAMLKey) {
			w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
				out, err = tx.SAMLKeys(w.ctx, "saml")
				return err
			}))
			return out
		}
		of := func(purpose store.KeyPurpose, state store.KeyState) *store.SAMLKey {
			for _, k := range keys() {
				if k.Purpose == purpose && k.State == state {
					return &k
				}
			}
			return nil
		}
		encrypted := func(k *store.SAMLKey, data string) func(*samltest.Response) {
			return func(r *samltest.Response) { r.Encryption = &samltest.Encryption{To: k.Certificate, Data: data} }
		}
		do := func(fn func(tx *store.Tx) error) error { return w.db.Write(w.ctx, northwind, fn) }
		published := func(k *store.SAMLKey) int {
			return strings.Count(w.get("/sso/northwind/saml/metadata").body, encoded(k))
		}
		first := of(store.KeyDecrypts, store.KeyCurrent)
		for _, algorithm := range []string{samltest.Xenc + "aes128-cbc", samltest.Xenc + "aes256-cbc", samltest.Xenc11 + "aes128-gcm", samltest.Xenc11 + "aes192-gcm", samltest.Xenc11 + "aes256-gcm"} {
			w.mustSignInBy(encrypted(first, algorithm))
		}
		if got := published(first); got != 1 {
			t.Errorf("the encryption key stands %d times in our metadata", got)
		}
		for _, purpose := range []store.KeyPurpose{store.KeySigns, store.KeyDecrypts} {
			made, err := w.db.MakeSAMLKey(northwind, "saml", purpose)
			w.must(err)
			w.must(do(func(tx *store.Tx) error { return tx.AddSAMLKey(w.ctx, actor, "saml", made) }))
			again, err := w.db.MakeSAMLKey(northwind, "saml", purpose)
			w.must(err)
			if err := do(func(tx *store.Tx) error { return tx.AddSAMLKey(w.ctx, actor, "saml", again) }); fault.KindOf(err) != fault.Conflict {
				t.Errorf("a second next key: %v", err)
			}
		}
		oldSigning, nextSigning, next := of(store.KeySigns, store.KeyCurrent), of(store.KeySigns, store.KeyNext), of(store.KeyDecrypts, store.KeyNext)
		for _, k := range []*store.SAMLKey{oldSigning, nextSigning, first, next} {
			if published(k) != 1 {
				t.Errorf("%s %s is not published", k.State, k.Purpose)
			}
		}
		w.signedBy(oldSigning)
		w.mustSignInBy(encrypted(first, ""))
		w.mustSignInBy(encrypted(next, ""))
		for _, k := range []*store.SAMLKey{nextSigning, next} {
			w.must(do(func(tx *store.Tx) error { return tx.UseSAMLKey(w.ctx, actor, "saml", k.ID) }))
		}
		w.signedBy(nextSigning)
		if published(oldSigning) != 0 || published(first) != 0 || published(next) != 1 {
			t.Error("what was replaced is still published")
		}
		w.mustSignInBy(encrypted(first, "")) // the provider has not read our metadata again
		w.mustSignInBy(encrypted(next, ""))
		for _, k := range []*store.SAMLKey{oldSigning, first} {
			w.must(do(func(tx *store.Tx) error { return tx.RemoveSAMLKey(w.ctx, actor, "saml", k.ID) }))
		}
		if err := do(func(tx *store.Tx) error { return tx.RemoveSAMLKey(w.ctx, actor, "saml", next.ID) }); fault.KindOf(err) != fault.Conflict {
			t.Errorf("the key in use was removed: %v", err)
		}
		w.mustSignInBy(encrypted(next, ""))
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(encrypted(first, "")) })
	})
}

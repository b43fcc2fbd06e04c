package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/oidc"
)

// The keys by which an OpenID Provider knows us are seen, and replaced one beside the other, like those towards SAML providers.
func TestClientKeys_AreSeenAndReplacedWithOverlap(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		h := open(t, storetest.Open(t, kind))
		h.declare()
		h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(connection.Connection{
				Organization: "northwind", ID: "keyed", Name: "Keyed", Protocol: connection.OIDC,
				Settings: connection.Settings{Issuer: "https://idp.example", ClientID: "vestibule", AuthMethod: connection.PrivateKey},
			})
			return nil
		}))
		b := h.as("northwind", "Olivia Owner")
		const at, row = "/o/northwind/connections/keyed/keys", "[aria-labelledby=own-signing] tbody tr"
		// The first key is made where none is, and stays in use beside the next.
		if got := b.post(at+"/make", "purpose", "encryption"); got.status < 400 {
			t.Errorf("a key that would open nothing answers %d", got.status)
		}
		if got := b.post(at+"/make", "purpose", "signing"); got.status != http.StatusSeeOther {
			t.Fatalf("a next key answers %d", got.status)
		}
		keys, err := h.db.EnsureSAMLKeys(t.Context(), "northwind", "keyed")
		h.must(err)
		page := b.page(at)
		if n := page.Find(row).Length(); n != 2 || page.Find("[aria-labelledby=own-encryption]").Length() != 0 {
			t.Errorf("%d keys are shown, want the current and the next, and none that opens", n)
		}
		if text := page.text("main"); !strings.Contains(text, "/sso/northwind/keyed/jwks") {
			t.Errorf("the key set's address is not shown: %q", text)
		}
		for _, k := range keys {
			if k.Purpose != store.KeySigns {
				continue
			}
			kid, err := oidc.Thumbprint(k.Certificate.PublicKey)
			h.must(err)
			if !strings.Contains(page.text(row), kid) {
				t.Errorf("the key id %s is not shown in %q", kid, page.text(row))
			}
			if k.State == store.KeyNext {
				if got := b.post(at + "/" + k.ID + "/use"); got.status != http.StatusSeeOther {
					t.Errorf("putting it in use answers %d", got.status)
				}
			}
		}
		text := b.page(at).text(row)
		if !strings.Contains(text, "In use") || !strings.Contains(text, "Former") || strings.Contains(text, "Next") {
			t.Errorf("after it is in use: %q", text)
		}
		for _, k := range keys {
			if k.Purpose == store.KeySigns && k.State == store.KeyCurrent {
				if got := b.post(at + "/" + k.ID + "/remove"); got.status != http.StatusSeeOther {
					t.Errorf("removing the former one answers %d", got.status)
				}
			}
		}
		if n := b.page(at).Find(row).Length(); n != 1 {
			t.Errorf("%d keys are left, want one", n)
		}
		// What is a SAML provider's alone stays so.
		for _, path := range []string{"/ask", "/metadata"} {
			if got := b.post(at + path); got.status != http.StatusNotFound {
				t.Errorf("%s answers %d", path, got.status)
			}
		}
	})
}

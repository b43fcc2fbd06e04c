package signin_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
)

// handIn is what the contact of a setup link for certificates does.
func (w *samlWorld) handIn(l *store.SetupLink, given string) (waits bool, err error) {
	err = w.db.Write(w.ctx, northwind, func(tx *store.Tx) (err error) {
		waits, err = tx.HandInSAML(w.ctx, l.Actor(northwind, audit.Actor{IP: "192.0.2.7", Door: audit.Console}), l, given)
		return err
	})
	return waits, err
}

func (w *samlWorld) retire(l *store.SetupLink, cert *x509.Certificate) error {
	return w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
		return tx.RetireSAMLCertificate(w.ctx, l.Actor(northwind, audit.Actor{IP: "192.0.2.7", Door: audit.Console}), l, saml.Fingerprint(cert))
	})
}

func pemOf(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// The four phases by hand, through a setup link's contact: the old certificate alone, the new one beside it, the new one signs, the old
// one is retired. No sign-in is lost, and nobody but an administrator puts a key in force.
func TestSAML_136_RolloverThroughASetupLink(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		old, next := w.idp.Signer, samltest.RSA(t, 1, w.clock.Now())
		w.declare(w.document(old), nil)
		w.mustSignInBy(by(old))
		l := &store.SetupLink{MadeBy: "Ada", Contact: "it@customer.example", Purposes: []connection.SetupPurpose{connection.SetUpCertificate}, Renews: "saml"}

		waits, err := w.handIn(l, pemOf(next.Cert))
		if err != nil || !waits {
			t.Fatalf("handed in: %v %v", waits, err)
		}
		w.mustSignInBy(by(old))
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(next)) })
		fingerprint := seal.Fingerprint(w.known(northwind).Pending.Body)
		if err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
			return tx.SetupCertificate(w.ctx, l.Actor(northwind, audit.Actor{Door: audit.Console}), l, fingerprint)
		}); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("the contact approves what the contact handed in: %v", err)
		}
		if err := w.retire(l, old.Cert); fault.KindOf(err) != fault.Conflict {
			t.Errorf("retired while the new one waits: %v", err)
		}
		w.must(w.decide(fingerprint, true))
		w.mustSignInBy(by(old))
		w.mustSignInBy(by(next))
		w.must(w.retire(l, old.Cert))
		w.mustSignInBy(by(next))
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(old)) })
		for _, cert := range []*x509.Certificate{next.Cert, old.Cert} {
			if err := w.retire(l, cert); fault.KindOf(err) != fault.Conflict {
				t.Errorf("the last one, or one that is gone: %v", err)
			}
		}

		// Where the link may open the connection, a certificate counts at once; metadata with the new one alone keeps the old one beside it.
		l.Opens = true
		last := samltest.RSA(t, 2, w.clock.Now())
		if waits, err := w.handIn(l, w.document(last)); err != nil || waits {
			t.Fatalf("handed in: %v %v", waits, err)
		}
		w.mustSignInBy(by(next))
		w.mustSignInBy(by(last))
		if _, err := w.handIn(l, base64.StdEncoding.EncodeToString(last.Cert.Raw)); fault.KindOf(err) != fault.Conflict {
			t.Errorf("the same again: %v", err)
		}
		// Addresses are never changed on the contact's word, whatever the link allows.
		moved := strings.Replace(w.document(samltest.RSA(t, 0, w.clock.Now())), "Location=\"http", "Location=\"http://elsewhere.example/?x=http", 1)
		if waits, err := w.handIn(l, moved); err != nil || !waits {
			t.Errorf("other addresses: %v %v", waits, err)
		}
		w.mustSignInBy(by(last))

		// A document that is declared anew counts alone.
		w.declare(w.document(old), func(s *connection.Settings) { s.Metadata += "\n<!-- of today -->" })
		w.mustSignInBy(by(old))
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(by(last)) })
	})
}

func TestSAML_WhatIsNoRenewal(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.declare(w.document(w.idp.Signer), nil)
		l := &store.SetupLink{MadeBy: "Ada", Purposes: []connection.SetupPurpose{connection.SetUpCertificate}, Renews: "saml", Opens: true}
		key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}))
		for what, given := range map[string]string{
			"nothing": "  ", "prose": "our certificate is attached", "half a certificate": pemOf(w.idp.Signer.Cert)[:300], "a private key": key,
			"a weak one":                  pemOf(samltest.Weak(t, w.clock.Now()).Cert),
			"one that is over":            pemOf(samltest.Certify(t, w.idp.Signer.Key, w.clock.Now().AddDate(-2, 0, 0), w.clock.Now().AddDate(-1, 0, 0)).Cert),
			"another provider's metadata": strings.ReplaceAll(w.document(samltest.RSA(t, 1, w.clock.Now())), "entityID=\"", "entityID=\"x"),
			"no metadata":                 "<html></html>",
		} {
			if _, err := w.handIn(l, given); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: %v", what, err)
			}
		}
		other := &store.SetupLink{MadeBy: "Ada", Purposes: []connection.SetupPurpose{connection.SetUpSSO}, Renews: "saml", Opens: true}
		if _, err := w.handIn(other, pemOf(samltest.RSA(t, 1, w.clock.Now()).Cert)); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("a link for something else: %v", err)
		}
		if err := w.retire(other, w.idp.Signer.Cert); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("a link for something else: %v", err)
		}
		w.declare(w.address(w.document(w.idp.Signer)).url, nil)
		if _, err := w.handIn(l, pemOf(samltest.RSA(t, 1, w.clock.Now()).Cert)); fault.KindOf(err) != fault.Conflict {
			t.Errorf("metadata at an address: %v", err)
		}
		w.mustSignInBy(nil)
	})
}

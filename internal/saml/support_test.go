package saml_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const requestID = "_request-1"

var sp = samltest.SP{
	EntityID: "https://vestibule.example/sso/northwind/corp/metadata",
	ACS:      "https://vestibule.example/sso/northwind/corp/acs",
	SLO:      "https://vestibule.example/sso/northwind/corp/slo",
}

var want = saml.Expectation{RequestID: requestID}

// pairing is a provider and a connection to it that fit.
func pairing(t testing.TB) (*samltest.IdP, *saml.Connection) {
	t.Helper()
	signer := samltest.RSA(t, 0, now)
	idp := &samltest.IdP{EntityID: "https://idp.example/saml", Signer: signer, Now: now}
	ours, theirs := samltest.RSA(t, 1, now), samltest.RSA(t, 2, now)
	return idp, &saml.Connection{
		SP: saml.ServiceProvider{
			EntityID: sp.EntityID, ACS: sp.ACS, SLO: sp.SLO,
			Signing:    []saml.Key{{Private: ours.Key, Certificate: ours.Cert}},
			Encryption: []saml.Key{{Private: theirs.Key, Certificate: theirs.Cert}},
		},
		IdP: saml.IdentityProvider{
			EntityID:     idp.EntityID,
			SSO:          []saml.Endpoint{{Binding: saml.Redirect, URL: "https://idp.example/sso?realm=a"}, {Binding: saml.Post, URL: "https://idp.example/sso"}},
			SLO:          []saml.Endpoint{{Binding: saml.Redirect, URL: "https://idp.example/slo"}},
			Certificates: []*x509.Certificate{signer.Cert},
		},
		Now: func() time.Time { return now },
	}
}

// refused demands a refusal at one of the checks, in the one sentence that people see.
func refused(t testing.TB, err error, checks ...saml.Check) *saml.Refusal {
	t.Helper()
	var r *saml.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal at %v", err, checks)
	}
	if strings.Contains(r.Reason, "panicked") {
		t.Fatal(r)
	}
	found := false
	for _, check := range checks {
		found = found || r.Check == check
	}
	if !found {
		t.Fatalf("refused at %q (%s), want %v", r.Check, r.Reason, checks)
	}
	if f := fault.As(err); f == nil || f.Kind != fault.Unauthenticated || f.Code != "saml-refused" {
		t.Fatalf("the refusal %v shows the fault %v", err, f)
	}
	return r
}

// attempt is one way to get a response wrong.
type attempt struct {
	name   string
	change func(r *samltest.Response)
	bytes  func(raw []byte) []byte
	form   func(form url.Values)
	conn   func(c *saml.Connection)
	want   *saml.Expectation
	checks []saml.Check // none: it is accepted
}

func run(t *testing.T, attempts []attempt) {
	t.Helper()
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			idp, c := pairing(t)
			if a.conn != nil {
				a.conn(c)
			}
			r := idp.Response(sp, requestID)
			if a.change != nil {
				a.change(r)
			}
			raw := r.XML(t)
			if a.bytes != nil {
				raw = a.bytes(raw)
			}
			form := samltest.Form(raw)
			if a.form != nil {
				a.form(form)
			}
			expect := want
			if a.want != nil {
				expect = *a.want
			}
			got, err := c.ReadResponse(form, expect)
			if len(a.checks) > 0 {
				if got != nil {
					t.Fatalf("got an assertion about %q with the refusal %v", got.Subject.Value, err)
				}
				refused(t, err, a.checks...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Subject.Value != r.NameID {
				t.Errorf("subject %q, want %q", got.Subject.Value, r.NameID)
			}
		})
	}
}

// find gives the first element of that local name.
func find(el *etree.Element, local string) *etree.Element { return el.FindElement(".//" + local) }

func drop(el *etree.Element, local string) {
	found := find(el, local)
	found.Parent().RemoveChild(found)
}

// memory is a Replay in a map.
type memory map[string]time.Time

func (m memory) Consume(_ context.Context, id string, until time.Time) (bool, error) {
	_, there := m[id]
	m[id] = until
	return !there, nil
}

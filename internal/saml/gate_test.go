package saml

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

// FuzzGate: whatever passes the gate is a tree in which every prefix is declared and every id is alone, and nothing takes
// longer than a bomb may.
func FuzzGate(f *testing.F) {
	for _, seed := range []string{
		`<r/>`, `<?xml version="1.0"?><a:r xmlns:a="b" ID="1"><c Id="2">x &amp; y</c></a:r>`, `<!DOCTYPE r><r/>`, `<r><![CDATA[x]]></r>`,
		`<r a="1" a="2"/>`, `<r><a ID="1"/><b id="1"/></r>`, `<x:r/>`, `<r xmlns:p=""/>`, `<r></s>`, "<r>\x00</r>", `<r>&lt;!</r>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		start := time.Now()
		for _, l := range []limits{messageLimits, metadataLimits} {
			root, err := parse(raw, l)
			var r *Refusal
			if err != nil && !errors.As(err, &r) {
				t.Fatalf("an error that is no refusal: %v", err)
			}
			if err != nil {
				continue
			}
			if err := walk(root, map[string]string{"xml": nsXML}, map[string]bool{}, l); err != nil {
				t.Fatal(err)
			}
			_ = shape(root)
			// What was let in is let in again as it is written.
			again, err := serialize(root.Copy())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parse(again, l); err != nil && len(again) <= l.bytes {
				t.Fatalf("%q passed, and %q did not: %v", raw, again, err)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

// FuzzBelieve reads assertions as if they had been verified, since no fuzzer signs: nothing panics, and what is believed
// holds what the caller counts on.
func FuzzBelieve(f *testing.F) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	f.Add([]byte(`<a:Assertion xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1" Version="2.0" IssueInstant="2026-11-21T12:00:00Z">` +
		`<a:Issuer>idp</a:Issuer><a:Subject><a:NameID Format="f">ada</a:NameID>` +
		`<a:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><a:SubjectConfirmationData Recipient="acs" InResponseTo="_r"` +
		` NotOnOrAfter="2026-11-21T12:05:00Z"/></a:SubjectConfirmation></a:Subject>` +
		`<a:Conditions><a:AudienceRestriction><a:Audience>us</a:Audience></a:AudienceRestriction></a:Conditions>` +
		`<a:AuthnStatement AuthnInstant="2026-11-21T12:00:00Z"><a:AuthnContext><a:AuthnContextClassRef>c</a:AuthnContextClassRef>` +
		`</a:AuthnContext></a:AuthnStatement><a:AttributeStatement><a:Attribute Name="n"><a:AttributeValue>v</a:AttributeValue>` +
		`</a:Attribute></a:AttributeStatement></a:Assertion>`))
	c := &Connection{
		SP: ServiceProvider{EntityID: "us", ACS: "acs"}, IdP: IdentityProvider{EntityID: "idp"}, Now: func() time.Time { return now },
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		root, err := parse(raw, messageLimits)
		if err != nil {
			return
		}
		a, err := c.believe(root, Expectation{RequestID: "_r"}, now)
		var r *Refusal
		if err != nil && !errors.As(err, &r) {
			t.Fatalf("an error that is no refusal: %v", err)
		}
		if err == nil && (a.ID == "" || a.Subject.Value == "" || a.Subject.Format == "" || a.AuthenticatedAt.IsZero() || !a.NotOnOrAfter.After(now.Add(-time.Minute))) {
			t.Fatalf("believed %+v", a)
		}
	})
}

func TestRescue_APanicIsARefusal(t *testing.T) {
	t.Parallel()
	f := func() (err error) {
		defer rescue(&err)
		var nothing *Connection
		return nothing.envelope(nil, Expectation{})
	}
	var r *Refusal
	if err := f(); !errors.As(err, &r) || r.Check != CheckShape {
		t.Errorf("got %v", err)
	}
}

// A decoy comes as far as what it stands in for: to the comparison, and no further.
func TestDecoy_ComesToTheComparison(t *testing.T) {
	t.Parallel()
	root, err := parse([]byte(`<a:Response xmlns:a="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1"/>`), messageLimits)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, cert, err := MakeKey(now)
	if err != nil {
		t.Fatal(err)
	}
	c := &Connection{IdP: IdentityProvider{Certificates: []*x509.Certificate{cert}}, Now: func() time.Time { return now }}
	for _, size := range []int{0, 32, 5000, 200 << 10} {
		decoy := c.decoy(size)
		if size >= 5000 && len(decoy) != size {
			t.Errorf("of %d bytes: got %d", size, len(decoy))
		}
		el, _, compared, err := c.inside(decoy, root, nil)
		var r *Refusal
		if el != nil || !compared || !errors.As(err, &r) || r.Reason != "no pinned certificate verifies the signature of Assertion" {
			t.Errorf("of %d bytes: compared %t: %v", size, compared, err)
		}
	}
}

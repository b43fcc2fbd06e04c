package saml_test

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
)

func described(t testing.TB, certs ...*x509.Certificate) (*samltest.IdP, *etree.Element) {
	t.Helper()
	idp, _ := pairing(t)
	if len(certs) == 0 {
		certs = []*x509.Certificate{idp.Signer.Cert}
	}
	return idp, idp.Describe("https://idp.example/sso", "https://idp.example/slo", certs...)
}

func TestReadMetadata_GivesTheProvider(t *testing.T) {
	t.Parallel()
	a, b := samltest.RSA(t, 0, now), samltest.RSA(t, 3, now)
	_, el := described(t, a.Cert, b.Cert, a.Cert)
	el.CreateAttr("validUntil", "2026-12-01T00:00:00Z")
	organization := samltest.Add(el, "md:Organization", "")
	samltest.Add(organization, "md:OrganizationDisplayName", " Northwind ", "xml:lang", "en")
	role := find(el, "IDPSSODescriptor")
	samltest.Add(role, "md:SingleSignOnService", "", "Binding", "urn:oasis:names:tc:SAML:2.0:bindings:SOAP", "Location", "http://idp.example/soap")
	raw := append([]byte(`<?xml version="1.0" encoding="UTF-8"?><!-- made by hand <!x -->`), samltest.Bytes(t, el)...)
	got, err := saml.ReadMetadata(raw, saml.MetadataOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	want := &saml.Metadata{
		IdentityProvider: saml.IdentityProvider{
			EntityID:     "https://idp.example/saml",
			SSO:          []saml.Endpoint{{Binding: saml.Redirect, URL: "https://idp.example/sso"}, {Binding: saml.Post, URL: "https://idp.example/sso"}},
			SLO:          []saml.Endpoint{{Binding: saml.Redirect, URL: "https://idp.example/slo"}, {Binding: saml.Post, URL: "https://idp.example/slo"}},
			Certificates: []*x509.Certificate{a.Cert, b.Cert}, WantSignedRequests: true,
		},
		DisplayName: "Northwind", NameIDFormats: []string{saml.Persistent}, ValidUntil: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *x509.Certificate) bool { return a.Equal(b) })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestC163_MetadataThatCannotBeTrustedIsRefused(t *testing.T) { // alone, since it measures
	weak := samltest.Weak(t, now)
	idp, _ := described(t)
	both := func() *etree.Element {
		all := etree.NewElement("md:EntitiesDescriptor")
		all.CreateAttr("xmlns:md", samltest.Metadata)
		_, one := described(t)
		_, two := described(t)
		two.CreateAttr("entityID", "https://evil.example/saml")
		all.AddChild(two)
		all.AddChild(one)
		return all
	}
	bytesOf := func(change func(el *etree.Element)) []byte {
		_, el := described(t)
		change(el)
		return samltest.Bytes(t, el)
	}
	signed := func(by samltest.Pair, after func(el *etree.Element)) []byte {
		return bytesOf(func(el *etree.Element) {
			samltest.SignElement(t, el, by, nil, "")
			if after != nil {
				after(el)
			}
		})
	}
	pinned := saml.MetadataOptions{Pinned: []*x509.Certificate{idp.Signer.Cert}}
	_, onlyWeak := described(t, weak.Cert)
	for name, a := range map[string]struct {
		raw     []byte
		options saml.MetadataOptions
		says    string // empty: it is taken
	}{
		"http": {bytesOf(func(el *etree.Element) {
			find(el, "SingleSignOnService").CreateAttr("Location", "http://idp.example/sso")
		}), saml.MetadataOptions{}, "not an https address"},
		"http where allowed": {bytesOf(func(el *etree.Element) {
			find(el, "SingleSignOnService").CreateAttr("Location", "http://127.0.0.1:8080/sso")
		}), saml.MetadataOptions{AllowHTTP: true}, ""},
		"javascript": {bytesOf(func(el *etree.Element) {
			find(el, "SingleSignOnService").CreateAttr("Location", "javascript:alert(1)")
		}), saml.MetadataOptions{AllowHTTP: true}, "not an https address"},
		"no address": {bytesOf(func(el *etree.Element) {
			find(el, "SingleSignOnService").CreateAttr("Location", "")
		}), saml.MetadataOptions{}, "not an https address"},
		"user in the address": {bytesOf(func(el *etree.Element) {
			find(el, "SingleLogoutService").CreateAttr("Location", "https://idp.example@evil.example/")
		}), saml.MetadataOptions{}, "not an https address"},
		"50 MiB":               {bytes.Repeat([]byte("<a>"), 50<<20/3), saml.MetadataOptions{}, "bytes"},
		"DOCTYPE":              {append([]byte("<!DOCTYPE x>"), samltest.Bytes(t, both())...), saml.MetadataOptions{}, "document type"},
		"two providers":        {samltest.Bytes(t, both()), saml.MetadataOptions{}, "2 identity providers; say which one: https://evil.example/saml, https://idp.example/saml"},
		"two, one chosen":      {samltest.Bytes(t, both()), saml.MetadataOptions{EntityID: "https://idp.example/saml"}, ""},
		"two, another chosen":  {samltest.Bytes(t, both()), saml.MetadataOptions{EntityID: "https://nobody.example"}, "does not describe the identity provider"},
		"expired":              {bytesOf(func(el *etree.Element) { el.CreateAttr("validUntil", "2026-11-21T12:00:00Z") }), saml.MetadataOptions{}, "valid until 21 November 2026"},
		"expired role":         {bytesOf(func(el *etree.Element) { find(el, "IDPSSODescriptor").CreateAttr("validUntil", "2026-01-01T00:00:00Z") }), saml.MetadataOptions{}, "valid until"},
		"validUntil of no day": {bytesOf(func(el *etree.Element) { el.CreateAttr("validUntil", "soon") }), saml.MetadataOptions{}, "no instant"},
		"no certificate":       {bytesOf(func(el *etree.Element) { drop(el, "KeyDescriptor") }), saml.MetadataOptions{}, "no certificate"},
		"only for encryption":  {bytesOf(func(el *etree.Element) { find(el, "KeyDescriptor").CreateAttr("use", "encryption") }), saml.MetadataOptions{}, "no certificate"},
		"use not said":         {bytesOf(func(el *etree.Element) { find(el, "KeyDescriptor").RemoveAttr("use") }), saml.MetadataOptions{}, ""},
		"weak key":             {samltest.Bytes(t, onlyWeak), saml.MetadataOptions{}, "RSA of 2048"},
		"no sign-in address":   {bytesOf(func(el *etree.Element) { drop(el, "SingleSignOnService"); drop(el, "SingleSignOnService") }), saml.MetadataOptions{}, "no SingleSignOnService"},
		"a service provider":   {bytesOf(func(el *etree.Element) { find(el, "IDPSSODescriptor").Tag = "SPSSODescriptor" }), saml.MetadataOptions{}, "does not describe an identity provider"},
		"SAML 1.1": {bytesOf(func(el *etree.Element) {
			find(el, "IDPSSODescriptor").CreateAttr("protocolSupportEnumeration", "urn:oasis:names:tc:SAML:1.1:protocol")
		}), saml.MetadataOptions{}, "does not speak SAML 2.0"},
		"two roles": {bytesOf(func(el *etree.Element) { el.AddChild(find(el, "IDPSSODescriptor").Copy()) }), saml.MetadataOptions{}, "2 times"},
		"no name":   {bytesOf(func(el *etree.Element) { el.RemoveAttr("entityID") }), saml.MetadataOptions{}, "no entityID"},
		"other XML": {[]byte("<html/>"), saml.MetadataOptions{}, "root is"},
		"no XML":    {[]byte("{}"), saml.MetadataOptions{}, "not SAML metadata"},
		"empty":     {nil, saml.MetadataOptions{}, "not SAML metadata"},

		"pinned, signed":               {signed(idp.Signer, nil), pinned, ""},
		"pinned, unsigned":             {bytesOf(func(*etree.Element) {}), pinned, "not signed"},
		"pinned, signed by a stranger": {signed(samltest.RSA(t, 3, now), nil), pinned, "no pinned certificate"},
		"pinned, changed after": {signed(idp.Signer, func(el *etree.Element) {
			find(el, "SingleSignOnService").CreateAttr("Location", "https://evil.example")
		}), pinned, "no pinned certificate"},
		"pinned, another role wrapped around": {signed(idp.Signer, func(el *etree.Element) {
			original := el.Copy()
			el.CreateAttr("ID", samltest.ID())
			samltest.Add(el, "md:Extensions", "").AddChild(original)
		}), pinned, "does not refer to its parent"},
		"not pinned, any signature is no reason": {signed(samltest.RSA(t, 3, now), nil), saml.MetadataOptions{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a.options.Now = now
			got, err := saml.ReadMetadata(a.raw, a.options)
			if a.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got.EntityID != idp.EntityID || got.Signed != (len(a.options.Pinned) > 0) {
					t.Errorf("got %s, signed %t", got.EntityID, got.Signed)
				}
				return
			}
			f := fault.As(err)
			if f == nil || f.Kind != fault.Invalid && f.Kind != fault.TooLarge || !strings.Contains(f.Message, a.says) {
				t.Errorf("got %v, want a fault that says %q", err, a.says)
			}
		})
	}
}

// The second half of case 163: a change of certificate waits for a person unless a pinned key signed it.
func TestC163_ChangedCertificateWaitsForApproval(t *testing.T) {
	t.Parallel()
	before, after := samltest.RSA(t, 0, now).Cert, samltest.RSA(t, 3, now).Cert
	approved := func(certs ...*x509.Certificate) saml.IdentityProvider {
		_, el := described(t, certs...)
		m, err := saml.ReadMetadata(samltest.Bytes(t, el), saml.MetadataOptions{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return m.IdentityProvider
	}
	published := func(change func(m *saml.Metadata), certs ...*x509.Certificate) *saml.Metadata {
		m := &saml.Metadata{IdentityProvider: approved(certs...)}
		if change != nil {
			change(m)
		}
		return m
	}
	signed := func(m *saml.Metadata) { m.Signed = true }
	for name, a := range map[string]struct {
		is        saml.IdentityProvider
		published *saml.Metadata
		none      bool
		approval  bool
	}{
		"same":                 {approved(before), published(nil, before), true, false},
		"same, other order":    {approved(before, after), published(nil, after, before), true, false},
		"added":                {approved(before), published(nil, before, after), false, true},
		"added, signed":        {approved(before), published(signed, before, after), false, false},
		"replaced":             {approved(before), published(nil, after), false, true},
		"removed, one stays":   {approved(before, after), published(nil, after), false, false},
		"another address":      {approved(before), published(func(m *saml.Metadata) { m.SSO[0].URL = "https://evil.example" }, before), false, true},
		"another name, signed": {approved(before), published(func(m *saml.Metadata) { m.EntityID = "https://evil.example"; m.Signed = true }, before), false, true},
	} {
		c := saml.Compare(a.is, a.published)
		if c.None() != a.none || c.NeedsApproval() != a.approval {
			t.Errorf("%s: none %t, needs approval %t", name, c.None(), c.NeedsApproval())
		}
	}
	c := saml.Compare(approved(before), published(nil, after))
	if len(c.Added) != 1 || !c.Added[0].Equal(after) || len(c.Removed) != 1 || !c.Removed[0].Equal(before) || len(c.Kept) != 0 {
		t.Errorf("changes %+v", c)
	}
}

func TestExpiring_SoonestFirst(t *testing.T) {
	t.Parallel()
	key := samltest.RSA(t, 0, now).Key
	until := func(d time.Duration) *x509.Certificate {
		return samltest.Certify(t, key, now.Add(-1000*time.Hour), now.Add(d)).Cert
	}
	month, week, lapsed := until(29*24*time.Hour), until(6*24*time.Hour), until(-time.Hour)
	got := saml.Expiring([]*x509.Certificate{month, week, lapsed}, now, 7*24*time.Hour)
	if len(got) != 2 || !got[0].Equal(lapsed) || !got[1].Equal(week) {
		t.Errorf("%d certificates expiring", len(got))
	}
}

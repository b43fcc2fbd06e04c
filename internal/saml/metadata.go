package saml

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Metadata is what a provider publishes about itself. It becomes an IdentityProvider only by an administrator's approval,
// or because a key that he pinned signed it.
type Metadata struct {
	IdentityProvider
	DisplayName   string // its organization's, if it says one
	NameIDFormats []string
	ValidUntil    time.Time // the earliest that applies; zero: it does not say
	Signed        bool      // by a pinned key
}

// MetadataOptions say how to read a document.
type MetadataOptions struct {
	EntityID  string              // which provider, where the document holds several
	Pinned    []*x509.Certificate // if any, the document must be signed by one of them
	AllowHTTP bool                // for development on one machine
	Now       time.Time
}

// ReadMetadata reads a provider's metadata (Metadata section 2). Its refusals are for the administrator who gave it.
func ReadMetadata(raw []byte, o MetadataOptions) (m *Metadata, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, badMetadata("It cannot be read.")
		}
	}()
	if len(raw) > metadataLimits.bytes {
		return nil, fault.New(fault.TooLarge, "The metadata has %d bytes; at most %d are read. Use the metadata of the one provider instead of a federation's.", len(raw), metadataLimits.bytes)
	}
	root, err := parse(raw, metadataLimits)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "This is not SAML metadata: %s.", reasonOf(err))
	}
	if !is(root, nsMetadata, "EntityDescriptor") && !is(root, nsMetadata, "EntitiesDescriptor") {
		return nil, badMetadata("Its root is %.100q, not EntityDescriptor or EntitiesDescriptor.", root.Tag)
	}
	m = &Metadata{}
	if len(o.Pinned) > 0 {
		// Only what was signed is read from here on, as with assertions.
		signature := signatureOf(root)
		if signature == nil {
			return nil, badMetadata("It is not signed, and this connection pins the key that signs it.")
		}
		if err := signatureShape(signature); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "The metadata's signature is not accepted: %s.", reasonOf(err))
		}
		// A pinned certificate stands for its key, as federations mean it; whoever pinned it takes it away.
		if root, _, err = verify(root, o.Pinned, o.Now, true); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "The metadata is not signed by the key that this connection pins: %s.", reasonOf(err))
		}
		m.Signed = true
	}
	entity, err := m.choose(root, o)
	if err != nil {
		return nil, err
	}
	return m, m.read(entity, o)
}

func badMetadata(format string, args ...any) error {
	return fault.New(fault.Invalid, "The metadata cannot be used. "+format, args...)
}

func reasonOf(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return err.Error()
}

// choose finds the one provider. Taking the first of several would let whoever adds one to a federation's file sign in
// everybody.
func (m *Metadata) choose(root *etree.Element, o MetadataOptions) (*etree.Element, error) {
	var found []*etree.Element
	var names []string
	var visit func(el *etree.Element) error
	visit = func(el *etree.Element) error {
		if err := m.limit(el, o.Now); err != nil {
			return err
		}
		if is(el, nsMetadata, "EntityDescriptor") {
			name := attrValue(el, "entityID")
			if len(children(el, nsMetadata, "IDPSSODescriptor")) > 0 && (o.EntityID == "" || name == o.EntityID) {
				found, names = append(found, el), append(names, clip(name, 200))
			}
			return nil
		}
		for _, child := range el.ChildElements() {
			if is(child, nsMetadata, "EntityDescriptor") || is(child, nsMetadata, "EntitiesDescriptor") {
				// The window of another provider says nothing about this one.
				if is(child, nsMetadata, "EntityDescriptor") && o.EntityID != "" && attrValue(child, "entityID") != o.EntityID {
					continue
				}
				if err := visit(child); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := visit(root); err != nil {
		return nil, err
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && o.EntityID != "":
		return nil, badMetadata("It does not describe the identity provider %s.", o.EntityID)
	case len(found) == 0:
		return nil, badMetadata("It does not describe an identity provider. A service provider's metadata is for the other side.")
	}
	return nil, badMetadata("It describes %d identity providers; say which one: %s.", len(found), strings.Join(names[:min(len(names), 20)], ", "))
}

// limit honours validUntil, which may stand on any level (Metadata 2.3.1, 2.3.2, 2.4.1).
func (m *Metadata) limit(el *etree.Element, now time.Time) error {
	until, err := instant(el, "validUntil")
	if err != nil {
		return badMetadata("Its validUntil is no instant.")
	}
	if until.IsZero() {
		return nil
	}
	if !now.Before(until) {
		return badMetadata("It was valid until %s.", until.Format("2 January 2006 15:04 UTC"))
	}
	if m.ValidUntil.IsZero() || until.Before(m.ValidUntil) {
		m.ValidUntil = until
	}
	return nil
}

func (m *Metadata) read(entity *etree.Element, o MetadataOptions) error {
	m.EntityID = attrValue(entity, "entityID")
	if m.EntityID == "" || len(m.EntityID) > 1024 {
		return badMetadata("The provider has no entityID of 1 to 1024 characters.")
	}
	roles := children(entity, nsMetadata, "IDPSSODescriptor")
	if len(roles) != 1 {
		return badMetadata("The provider describes itself %d times.", len(roles))
	}
	role := roles[0]
	if err := m.limit(role, o.Now); err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(attrValue(role, "protocolSupportEnumeration")), nsProtocol) {
		return badMetadata("The provider does not speak SAML 2.0.")
	}
	m.WantSignedRequests = boolean(role, "WantAuthnRequestsSigned")
	var err error
	if m.SSO, err = endpoints(role, "SingleSignOnService", o.AllowHTTP); err != nil {
		return err
	}
	if len(m.SSO) == 0 {
		return badMetadata("The provider has no SingleSignOnService for HTTP-Redirect or HTTP-POST.")
	}
	if m.SLO, err = endpoints(role, "SingleLogoutService", o.AllowHTTP); err != nil {
		return err
	}
	for _, format := range children(role, nsMetadata, "NameIDFormat") {
		if value, err := text(format); err == nil {
			m.NameIDFormats = append(m.NameIDFormats, strings.TrimSpace(value))
		}
	}
	if m.Certificates, err = signingCertificates(role); err != nil {
		return err
	}
	for _, organization := range children(entity, nsMetadata, "Organization") {
		for _, name := range children(organization, nsMetadata, "OrganizationDisplayName") {
			if value, err := text(name); err == nil && m.DisplayName == "" {
				m.DisplayName = clip(strings.TrimSpace(value), 200)
			}
		}
	}
	return nil
}

func endpoints(role *etree.Element, local string, allowHTTP bool) ([]Endpoint, error) {
	var all []Endpoint
	for _, el := range children(role, nsMetadata, local) {
		e := Endpoint{Binding: Binding(attrValue(el, "Binding")), URL: attrValue(el, "Location"), ResponseURL: attrValue(el, "ResponseLocation")}
		if e.Binding != Redirect && e.Binding != Post {
			continue
		}
		for _, address := range []string{e.URL, e.ResponseURL} {
			if address == "" && e.URL != "" {
				continue // no ResponseLocation
			}
			// A javascript: address would run in our page when the form is posted (CVE-2023-45683).
			u, err := url.Parse(address)
			if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !(allowHTTP && u.Scheme == "http") {
				return nil, badMetadata("The address %.200q of its %s is not an https address.", address, local)
			}
		}
		all = append(all, e)
	}
	return all, nil
}

// signingCertificates reads the keys for signing: those so marked and those with no mark (Metadata 2.4.1.1). One that
// cannot be used is told rather than left out, for it may be the one that signs.
func signingCertificates(role *etree.Element) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, descriptor := range children(role, nsMetadata, "KeyDescriptor") {
		if use := attrValue(descriptor, "use"); use != "" && use != "signing" {
			continue
		}
		for _, info := range children(descriptor, nsSignature, "KeyInfo") {
			for _, data := range children(info, nsSignature, "X509Data") {
				// Those after the first would be its chain, and the key of whoever certified the provider is not the provider's.
				first := children(data, nsSignature, "X509Certificate")
				for _, el := range first[:min(len(first), 1)] {
					encoded, err := text(el)
					if err != nil {
						return nil, badMetadata("A certificate is not text.")
					}
					der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
					if err != nil {
						return nil, badMetadata("A certificate is not base64.")
					}
					cert, err := x509.ParseCertificate(der)
					if err != nil {
						return nil, fault.Wrap(err, fault.Invalid, "The metadata cannot be used. A certificate in it cannot be read.")
					}
					if err := strong(cert); err != nil {
						return nil, badMetadata("The certificate of %q cannot be used: %v.", clip(cert.Subject.String(), 200), err)
					}
					if !slices.ContainsFunc(certs, cert.Equal) {
						certs = append(certs, cert)
					}
				}
			}
		}
	}
	if len(certs) == 0 {
		return nil, badMetadata("It holds no certificate for signing.")
	}
	if len(certs) > 10 {
		return nil, badMetadata("It holds %d certificates for signing; at most 10 are tried.", len(certs))
	}
	return certs, nil
}

// Changes are what a newer metadata document would change. Certificates are told apart by their bytes.
type Changes struct {
	Added     []*x509.Certificate
	Removed   []*x509.Certificate
	Kept      []*x509.Certificate
	EntityID  bool // it is another provider
	Endpoints bool // people or logouts would be sent elsewhere, or what is signed changes
	Signed    bool // a pinned key signed the newer document
}

// Compare says what changes from what was approved to what is published now.
func Compare(approved IdentityProvider, published *Metadata) Changes {
	c := Changes{
		EntityID: approved.EntityID != published.EntityID,
		Endpoints: !slices.Equal(approved.SSO, published.SSO) || !slices.Equal(approved.SLO, published.SLO) ||
			approved.WantSignedRequests != published.WantSignedRequests,
		Signed: published.Signed,
	}
	for _, cert := range published.Certificates {
		if slices.ContainsFunc(approved.Certificates, cert.Equal) {
			c.Kept = append(c.Kept, cert)
		} else {
			c.Added = append(c.Added, cert)
		}
	}
	for _, cert := range approved.Certificates {
		if !slices.ContainsFunc(published.Certificates, cert.Equal) {
			c.Removed = append(c.Removed, cert)
		}
	}
	return c
}

// None says that there is nothing to do.
func (c Changes) None() bool {
	return len(c.Added) == 0 && len(c.Removed) == 0 && !c.EntityID && !c.Endpoints
}

// NeedsApproval says whether a person must look before it counts. Whoever can change the file could otherwise sign in as
// anyone. Trust withdrawn while another certificate stays needs nobody; another entityID is another connection, signed or
// not.
func (c Changes) NeedsApproval() bool {
	return c.EntityID || !c.Signed && (len(c.Added) > 0 || c.Endpoints || len(c.Removed) > 0 && len(c.Kept) == 0)
}

// Expiring gives the certificates that lapse within the time given, or have, the soonest first.
func Expiring(certs []*x509.Certificate, now time.Time, within time.Duration) []*x509.Certificate {
	var soon []*x509.Certificate
	for _, cert := range certs {
		if cert.NotAfter.Before(now.Add(within)) {
			soon = append(soon, cert)
		}
	}
	slices.SortStableFunc(soon, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	return soon
}

// Metadata is our own document for this connection's provider: names, addresses, and every key's certificate, the next
// ones too, so that the provider holds them before they are used.
func (c *Connection) Metadata() (raw []byte, err error) {
	defer rescue(&err)
	entity := etree.NewElement("md:EntityDescriptor")
	entity.CreateAttr("xmlns:md", nsMetadata)
	entity.CreateAttr("xmlns:ds", nsSignature)
	entity.CreateAttr("entityID", c.SP.EntityID)
	signed := "false"
	if (c.IdP.WantSignedRequests || c.Settings.SignRequests) && len(c.SP.Signing) > 0 {
		signed = "true"
	}
	role := add(entity, "md:SPSSODescriptor", "", "AuthnRequestsSigned", signed, "WantAssertionsSigned", "true",
		"protocolSupportEnumeration", nsProtocol)
	describe := func(keys []Key, use string, algorithms ...string) {
		for _, key := range keys {
			if key.Former {
				continue
			}
			descriptor := add(role, "md:KeyDescriptor", "", "use", use)
			data := add(add(descriptor, "ds:KeyInfo", ""), "ds:X509Data", "")
			add(data, "ds:X509Certificate", base64.StdEncoding.EncodeToString(key.Certificate.Raw))
			for _, algorithm := range algorithms {
				add(descriptor, "md:EncryptionMethod", "", "Algorithm", algorithm)
			}
		}
	}
	describe(c.SP.Signing, "signing")
	// What is authenticated first; CBC remains for those that have nothing else.
	describe(c.SP.Encryption, "encryption", nsEncrypt11+"aes256-gcm", nsEncrypt11+"aes128-gcm", nsEncrypted+"aes256-cbc",
		nsEncrypted+"aes128-cbc", nsEncrypted+"rsa-oaep-mgf1p")
	if c.SP.SLO != "" {
		for _, binding := range []Binding{Redirect, Post} {
			add(role, "md:SingleLogoutService", "", "Binding", string(binding), "Location", c.SP.SLO)
		}
	}
	format := c.Settings.NameIDFormat
	if format == "" {
		format = Unspecified
	}
	add(role, "md:NameIDFormat", format)
	add(role, "md:AssertionConsumerService", "", "Binding", string(Post), "Location", c.SP.ACS, "index", "0", "isDefault", "true")
	body, err := serialize(entity)
	if err != nil {
		return nil, err
	}
	return append([]byte(`<?xml version="1.0" encoding="UTF-8"?>`+"\n"), body...), nil
}

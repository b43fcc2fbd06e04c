package saml

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Renewed makes the document that follows a provider's approved one, of what its administrator hands in: a certificate (PEM, or the
// base64 between its lines) or newer metadata. The certificates that were approved stay beside the new ones, so that nobody is shut out
// before the provider signs with the new key; WithoutCertificate takes the old one away afterwards. Metadata of a connection that pins
// its signer is taken as it was signed, since nothing may be added to it.
func Renewed(approved []byte, given string, o MetadataOptions) (string, error) {
	was, err := ReadMetadata(approved, MetadataOptions{EntityID: o.EntityID, AllowHTTP: o.AllowHTTP})
	if err != nil {
		return "", err
	}
	given = strings.TrimSpace(strings.TrimPrefix(given, "\ufeff"))
	if strings.HasPrefix(given, "<") {
		m, err := ReadMetadata([]byte(given), o)
		if err != nil {
			return "", err
		}
		if m.EntityID != was.EntityID {
			return "", fault.New(fault.Invalid, "This is the metadata of %.200q, and the connection is for %.200q.", m.EntityID, was.EntityID)
		}
		if len(o.Pinned) > 0 {
			return given, nil
		}
		return describeWith([]byte(given), o, union(m.Certificates, was.Certificates))
	}
	if len(o.Pinned) > 0 {
		return "", fault.New(fault.Invalid, "This connection takes signed metadata alone: hand in the whole document.")
	}
	certs, err := certificatesIn(given, o.Now)
	if err != nil {
		return "", err
	}
	return describeWith(approved, o, union(was.Certificates, certs))
}

// WithoutCertificate gives a provider's document without one certificate, which is named by its fingerprint. The last one stays.
func WithoutCertificate(approved []byte, fingerprint string, o MetadataOptions) (string, error) {
	was, err := ReadMetadata(approved, o)
	if err != nil {
		return "", err
	}
	rest := slices.DeleteFunc(slices.Clone(was.Certificates), func(c *x509.Certificate) bool { return Fingerprint(c) == fingerprint })
	switch {
	case len(rest) == len(was.Certificates):
		return "", fault.New(fault.Conflict, "This certificate does not count any more.")
	case len(rest) == 0:
		return "", fault.New(fault.Conflict, "This is the only certificate: without it nobody could sign in. Hand in the new one first.")
	}
	return describeWith(approved, o, rest)
}

// certificatesIn reads certificates as people have them: a file that holds one or several, or what they copied out of a page.
func certificatesIn(given string, now time.Time) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	add := func(der []byte) error {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "This is not a certificate: paste all of it, from BEGIN to END.")
		}
		if err := strong(cert); err != nil {
			return fault.Wrap(err, fault.Invalid, "The certificate of %.200q cannot be used: %v.", cert.Subject.String(), err)
		}
		if now.After(cert.NotAfter) {
			return fault.New(fault.Invalid, "The certificate of %.200q is over since %s.", cert.Subject.String(), cert.NotAfter.UTC().Format("2 January 2006"))
		}
		certs = append(certs, cert)
		return nil
	}
	rest := []byte(given)
	for len(certs) <= 10 {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, fault.New(fault.Invalid, "This is a private key. It must stay with the provider, and was not kept here; hand in the certificate.")
		}
		if err := add(block.Bytes); err != nil {
			return nil, err
		}
		rest = after
	}
	if len(certs) == 0 {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(given), ""))
		if err != nil || given == "" {
			return nil, fault.New(fault.Invalid, "This is neither a certificate (it begins with -----BEGIN CERTIFICATE-----) nor metadata (it begins with <).")
		}
		if err := add(der); err != nil {
			return nil, err
		}
	}
	return certs, nil
}

func union(first, second []*x509.Certificate) []*x509.Certificate {
	all := slices.Clone(first)
	for _, c := range second {
		if !slices.ContainsFunc(all, c.Equal) {
			all = append(all, c)
		}
	}
	return all
}

// describeWith gives a document with these certificates for signing in place of its own. A signature over it says nothing any more, and
// goes.
func describeWith(raw []byte, o MetadataOptions, certs []*x509.Certificate) (string, error) {
	root, err := parse(raw, metadataLimits)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "This is not SAML metadata: %s.", reasonOf(err))
	}
	entity, err := (&Metadata{}).choose(root, MetadataOptions{EntityID: o.EntityID})
	if err != nil {
		return "", err
	}
	role := children(entity, nsMetadata, "IDPSSODescriptor")[0]
	for _, el := range []*etree.Element{root, entity, role} {
		for _, signature := range children(el, nsSignature, "Signature") {
			el.RemoveChild(signature)
		}
	}
	at := 0
	for _, descriptor := range children(role, nsMetadata, "KeyDescriptor") {
		switch attrValue(descriptor, "use") {
		case "signing":
			role.RemoveChild(descriptor)
		case "":
			descriptor.CreateAttr("use", "encryption") // it was for both
		}
	}
	for _, cert := range certs {
		el := etree.NewElement("md:KeyDescriptor")
		el.CreateAttr("xmlns:md", nsMetadata)
		el.CreateAttr("use", "signing")
		info := el.CreateElement("ds:KeyInfo")
		info.CreateAttr("xmlns:ds", nsSignature)
		info.CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(cert.Raw))
		// Keys come first, after a signature and extensions (Metadata section 2.4.1).
		role.InsertChildAt(at, el)
		at++
	}
	var out bytes.Buffer
	doc := etree.NewDocument()
	doc.SetRoot(root)
	if _, err := doc.WriteTo(&out); err != nil {
		return "", err
	}
	// What was written is read as any document is: what cannot be read is not kept.
	if _, err := ReadMetadata(out.Bytes(), MetadataOptions{EntityID: o.EntityID, AllowHTTP: o.AllowHTTP}); err != nil {
		return "", err
	}
	return out.String(), nil
}

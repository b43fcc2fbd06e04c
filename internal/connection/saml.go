package connection

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// SAMLChoices are what a SAML connection may choose. The zero value is what a new one begins with.
type SAMLChoices struct {
	// EntityID names the provider, where the metadata describes several.
	EntityID string `json:"entity_id,omitempty"`
	// MetadataSignedBy are certificates in PEM: with them, only metadata that one of their keys signed is read, and what it
	// changes needs nobody's approval.
	MetadataSignedBy string `json:"metadata_signed_by,omitempty"`
	// Binding is how people are sent: RequestRedirect, RequestPost, or whichever the provider takes, the redirect first.
	Binding string `json:"binding,omitempty"`
	// NameIDFormat is asked for in requests; empty asks for any, NoNameIDPolicy does not speak of it.
	NameIDFormat string `json:"name_id_format,omitempty"`
	// ForceAuthn has everybody authenticate anew each time.
	ForceAuthn bool `json:"force_authn,omitempty"`
	// Signed is which signatures are demanded beyond the one that covers the assertion, of Signatures.
	Signed string `json:"signed,omitempty"`
	// Unsolicited takes people whom the provider sends without being asked, after asking them.
	Unsolicited bool `json:"unsolicited,omitempty"`
	// IgnoreCertificateDates is for a provider that means the key and lets its certificate lapse.
	IgnoreCertificateDates bool  `json:"ignore_certificate_dates,omitempty"`
	ClockSkewSeconds       int64 `json:"clock_skew_seconds,omitempty"` // 0: a minute
}

// The bindings of requests.
const (
	RequestRedirect = "redirect"
	RequestPost     = "post"
)

// Signatures that a connection may demand.
var Signatures = []string{"either", "assertion", "response", "both"}

// NoNameIDPolicy leaves the format of the NameID to the provider's own settings.
const NoNameIDPolicy = "none"

// nameIDFormats are the short names of SAML Core section 8.3.
var nameIDFormats = map[string]string{
	"unspecified":  "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
	"emailAddress": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
	"persistent":   "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
}

// maxClockSkew is as far as a clock may be off. Within it a stolen response lives longer.
const maxClockSkew = 5 * time.Minute

// Format gives the URI of the format that requests ask for: "" for any.
func (s SAMLChoices) Format() string {
	if uri, short := nameIDFormats[s.NameIDFormat]; short {
		return uri
	}
	return s.NameIDFormat
}

// ClockSkew is how far the provider's clock may be off; 0 leaves it at what is usual.
func (s SAMLChoices) ClockSkew() time.Duration {
	return time.Duration(s.ClockSkewSeconds) * time.Second
}

// Pinned gives the certificates that metadata must be signed by; none where any metadata is read.
func (s SAMLChoices) Pinned() ([]*x509.Certificate, error) {
	var pinned []*x509.Certificate
	for rest := []byte(strings.TrimSpace(s.MetadataSignedBy)); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("it is not a certificate in PEM")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("it is not a certificate in PEM")
		}
		pinned = append(pinned, certificate)
		rest = []byte(strings.TrimSpace(string(rest)))
	}
	return pinned, nil
}

func validateSAML(s *Settings, f *fault.Fault) {
	if s.Metadata == "" {
		f.WithField("metadata", "The identity provider's metadata is missing: a URL, a file's path or the XML itself.")
	}
	if _, err := s.SAML.Pinned(); err != nil {
		f.WithField("saml.metadata_signed_by", "The key that signs the metadata cannot be read: %v.", err)
	}
	switch s.SAML.Binding {
	case "", RequestRedirect, RequestPost:
	default:
		f.WithField("saml.binding", "%q is neither %s nor %s.", s.SAML.Binding, RequestRedirect, RequestPost)
	}
	if s.SAML.Signed != "" && !slices.Contains(Signatures, s.SAML.Signed) {
		f.WithField("saml.signed", "%q is none of %s.", s.SAML.Signed, strings.Join(Signatures, ", "))
	}
	if format := s.SAML.Format(); format != "" && format != NoNameIDPolicy && !strings.HasPrefix(format, "urn:") {
		f.WithField("saml.name_id_format", "%q is neither unspecified, emailAddress, persistent, none nor a URN.", format)
	} else if strings.HasSuffix(format, ":transient") {
		f.WithField("saml.name_id_format", "A transient NameID is another one each time, and would make another person of everybody.")
	}
	if skew := s.SAML.ClockSkew(); skew < 0 || skew > maxClockSkew {
		f.WithField("saml.clock_skew", "A clock may be up to five minutes off.")
	}
}

// KeyPlace is where one of our private keys towards a connection's provider is sealed to.
func KeyPlace(org id.Organization, connection id.Connection, key string) string {
	return "connection-key/" + string(org) + "/" + string(connection) + "/" + key
}

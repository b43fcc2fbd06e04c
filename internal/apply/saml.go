package apply

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/connection"
)

// fileSAML are the choices of a connection to a SAML identity provider.
type fileSAML struct {
	EntityID               string   `yaml:"entity_id"`
	MetadataSignedBy       string   `yaml:"metadata_signed_by"`
	Binding                string   `yaml:"binding"`
	NameIDFormat           string   `yaml:"name_id_format"`
	ForceAuthn             bool     `yaml:"force_authn"`
	Signed                 string   `yaml:"signed"`
	Unsolicited            bool     `yaml:"unsolicited"`
	IgnoreCertificateDates bool     `yaml:"ignore_certificate_dates"`
	ClockSkew              duration `yaml:"clock_skew"`
}

func (f fileSAML) choices() connection.SAMLChoices {
	return connection.SAMLChoices{
		EntityID: f.EntityID, MetadataSignedBy: f.MetadataSignedBy, Binding: f.Binding, NameIDFormat: f.NameIDFormat,
		ForceAuthn: f.ForceAuthn, Signed: f.Signed, Unsolicited: f.Unsolicited, IgnoreCertificateDates: f.IgnoreCertificateDates,
		ClockSkewSeconds: int64(time.Duration(f.ClockSkew) / time.Second),
	}
}

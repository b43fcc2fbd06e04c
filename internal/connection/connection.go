// Package connection knows the ways to sign in that an organization has: their settings, which of them a person is sent to
// (Route), and which record of the organization the person who comes back is (Find). It decides over facts that somebody else
// loaded and touches no store and no network.
//
// The first rule of this package is that an address is a claim of an identity provider, and a provider that may claim any
// address may claim an administrator's. People are found by the key that the operator declared; an address joins them to a
// record once, under conditions, or never.
package connection

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Protocol is what the upstream identity provider speaks.
type Protocol string

// The protocols.
const (
	OIDC Protocol = "oidc"
	SAML Protocol = "saml"
)

// Provisioning says what happens to a person whom the directory has not pushed.
type Provisioning string

// JustInTime makes a user at the first sign-in, under the conditions of Find; DirectoryOnly refuses.
const (
	JustInTime    Provisioning = "just-in-time"
	DirectoryOnly Provisioning = "directory-only"
)

// Attribute is the half of a match that lies in the directory record: what identifies a person there.
type Attribute string

// The attributes a directory may be keyed by.
const (
	ExternalID Attribute = "externalId"
	UserName   Attribute = "userName"
	Emails     Attribute = "emails"
)

// Match says which claim of the connection equals which attribute of the directory's records.
type Match struct {
	Claim     string    `json:"claim"`
	Attribute Attribute `json:"attribute"`
}

// How the client proves itself at the token endpoint (OpenID Connect Core section 9).
const (
	SecretBasic = "client_secret_basic"
	SecretPost  = "client_secret_post"
	PrivateKey  = "private_key_jwt" // by a key of ours, whose public half the provider reads at the connection's jwks address
)

// Connection is one way to sign in to one organization, as the store keeps it: the columns beside the document.
type Connection struct {
	Organization id.Organization
	ID           id.Connection
	Name         string
	Protocol     Protocol
	Directory    id.Directory // whose records it signs in to; empty: none
	Settings     Settings
}

// Settings is the connection's document. The JSON names are those of the operator's file.
type Settings struct {
	Disabled bool `json:"disabled,omitempty"`
	// Draft is a connection that was made and not yet opened: test sign-ins alone go through it.
	Draft bool `json:"draft,omitempty"`
	// Preset is the Provider whose words and match go with the connection; empty: what its address or its directory says.
	Preset string `json:"preset,omitempty"`

	// OpenID Provider.
	Issuer       string `json:"issuer,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"` // sealed for SecretPlace
	// ClientSecretExpires is the day on which the secret ends at the provider, as an administrator noted it there; empty: not known.
	ClientSecretExpires string   `json:"client_secret_expires,omitempty"`
	AuthMethod          string   `json:"auth_method,omitempty"` // empty: what the provider's discovery prefers
	Scopes              []string `json:"scopes,omitempty"`
	Algorithms          []string `json:"algorithms,omitempty"` // pinned; empty: DefaultAlgorithms
	// HostedDomain and Tenant pin the claims hd (Google) and tid (Entra): a token of another customer of the same provider is
	// refused even where both share an issuer.
	HostedDomain string `json:"hosted_domain,omitempty"`
	Tenant       string `json:"tenant,omitempty"`
	// ACRValues are asked for and one of them must come back.
	ACRValues []string `json:"acr_values,omitempty"`
	// TrustAMR lets the provider's word about a second factor count for what is demanded here: its amr, and the contexts (acr of
	// OpenID, AuthnContextClassRef of SAML) that MFAContexts lists.
	TrustAMR    bool     `json:"trust_amr,omitempty"`
	MFAContexts []string `json:"mfa_contexts,omitempty"`

	// SAML identity provider: a URL, a file's path or the XML itself.
	Metadata string      `json:"metadata,omitempty"`
	SAML     SAMLChoices `json:"saml,omitzero"`

	// UpstreamLogout ends the session at the provider too when somebody signs out here.
	UpstreamLogout bool `json:"upstream_logout,omitempty"`

	Domains      []string     `json:"domains,omitempty"` // declared verified by the operator
	Match        Match        `json:"match,omitzero"`
	Provisioning Provisioning `json:"provisioning,omitempty"`
	GroupsClaim  string       `json:"groups_claim,omitempty"`
}

// SecretEnds is when the client secret ends, the beginning of the day that is noted; zero where none is.
func (s Settings) SecretEnds() time.Time {
	day, err := time.Parse(time.DateOnly, s.ClientSecretExpires)
	if err != nil {
		return time.Time{}
	}
	return day
}

// SecretPlace is where a client secret is sealed to.
func SecretPlace(org id.Organization, connection id.Connection) string {
	return "connection/" + string(org) + "/" + string(connection)
}

// DefaultAlgorithms sign ID tokens unless a connection names others. All are asymmetric: with a symmetric one, whoever knows the
// client secret or can make us use a public key as secret mints tokens.
var DefaultAlgorithms = []string{"RS256", "ES256", "PS256"}

// Algorithms that a connection may name.
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// SigningAlgorithms are the pinned ones.
func (s Settings) SigningAlgorithms() []string {
	if len(s.Algorithms) > 0 {
		return s.Algorithms
	}
	return DefaultAlgorithms
}

// Closed says whether nobody signs in through the connection: switched off, or not opened yet.
func (s Settings) Closed() bool { return s.Disabled || s.Draft }

// JustInTime says whether the connection makes users at their first sign-in.
func (s Settings) JustInTime() bool { return s.Provisioning == JustInTime }

// Directory is what Validate needs to know of the directory a connection names.
type Directory struct {
	ID      id.Directory
	Dialect string
	Key     Attribute
}

// Validate checks a connection's form and completes it: scopes, provisioning and the preset match of its directory's dialect.
// Each wrong field is named by its path in the operator's file. directory is nil when the connection names none.
func Validate(c *Connection, directory *Directory) error {
	f := fault.New(fault.Invalid, "The connection %s is not complete.", c.ID)
	s := &c.Settings
	switch c.Protocol {
	case OIDC:
		validateOIDC(s, f)
	case SAML:
		validateSAML(s, f)
	default:
		f.WithField("protocol", "%q is no protocol; oidc or saml is.", c.Protocol)
	}
	if s.Preset != "" && ProviderNamed(s.Preset).ID != s.Preset {
		f.WithField("preset", "%q is none of %s.", s.Preset, strings.Join(presets(), ", "))
	}
	switch s.Provisioning {
	case "":
		s.Provisioning = DirectoryOnly
	case JustInTime, DirectoryOnly:
	default:
		f.WithField("provisioning", "%q is neither just-in-time nor directory-only.", s.Provisioning)
	}
	for i, d := range s.Domains {
		key := Domain(d)
		if key == "" {
			f.WithField("domains", "%q is not a domain.", d)
			continue
		}
		s.Domains[i] = key
	}
	validateMatch(c, directory, f)
	if len(f.Fields) > 0 {
		return f
	}
	return nil
}

func validateOIDC(s *Settings, f *fault.Fault) {
	u, err := url.Parse(s.Issuer)
	switch {
	case s.Issuer == "":
		f.WithField("issuer", "The issuer of the OpenID Provider is missing.")
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil ||
		(u.Scheme != "https" && u.Scheme != "http"):
		f.WithField("issuer", "The issuer must be a URL without query or fragment.")
	case strings.Contains(s.Issuer, "{") || isSharedEntra(u):
		// nOAuth: whoever has a tenant of his own can claim any address under a shared issuer.
		f.WithField("issuer", "This issuer speaks for every tenant of the provider; use the one of your own tenant.")
	}
	if s.ClientID == "" {
		f.WithField("client_id", "The client id that the provider knows us by is missing.")
	}
	switch s.AuthMethod {
	case "", SecretBasic, SecretPost, PrivateKey:
	default:
		f.WithField("auth_method", "%q is none of %s, %s and %s.", s.AuthMethod, SecretBasic, SecretPost, PrivateKey)
	}
	if s.ClientSecretExpires != "" && s.SecretEnds().IsZero() {
		f.WithField("client_secret_expires", "%q is no day; 2027-03-31 is one.", s.ClientSecretExpires)
	}
	for _, a := range s.Algorithms {
		if !slices.Contains(Algorithms, a) {
			f.WithField("algorithms", "%q is not an algorithm with a public key.", a)
		}
	}
	if len(s.Scopes) == 0 {
		s.Scopes = []string{"openid", "email", "profile"}
	}
	if !slices.Contains(s.Scopes, "openid") {
		f.WithField("scopes", "The scope openid is missing; without it there is no ID token.")
	}
}

func isSharedEntra(u *url.URL) bool {
	if u.Host != "login.microsoftonline.com" {
		return false
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return tenant == "common" || tenant == "organizations" || tenant == "consumers"
}

func validateMatch(c *Connection, directory *Directory, f *fault.Fault) {
	m := &c.Settings.Match
	if directory == nil {
		if c.Directory != "" {
			f.WithField("directory", "This organization has no directory %q.", c.Directory)
		}
		if m.Attribute != "" {
			f.WithField("match", "A match needs a directory whose records it finds.")
		}
		return
	}
	if *m == (Match{}) {
		*m = presetFor(*c, *directory)
	}
	if m.Claim == "" {
		f.WithField("match.claim", "The claim that carries the directory's key is missing.")
	}
	if m.Attribute != directory.Key {
		f.WithField("match.attribute", "The directory %s is keyed by %s, so the connection must match on that, not on %q.",
			directory.ID, directory.Key, m.Attribute)
	}
}

// Domain gives the form in which a domain is kept and compared: ASCII (RFC 5891 section 5), lower case, no trailing dot. It
// is empty for what is no domain.
func Domain(s string) string {
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(strings.TrimSpace(s), "."))
	if err != nil || ascii == "" || strings.ContainsAny(ascii, "@/:[] ") || !strings.Contains(ascii, ".") ||
		ascii[0] == '.' || strings.Contains(ascii, "..") {
		return ""
	}
	return strings.ToLower(ascii)
}

// DomainOf gives the domain of an address in the form of Domain, or "" for what is no plain address. Only the part after the
// last @ counts, and an address with quotes, comments or several @ is no plain one: "admin@northwind.example@evil.example".
func DomainOf(address string) string {
	local, domain, found := strings.Cut(address, "@")
	if !found || local == "" || len(address) > 254 || strings.ContainsAny(address, " \t\r\n\"<>()[],;:\\\x00") ||
		strings.Contains(domain, "@") {
		return ""
	}
	return Domain(domain)
}

// OwnsKeys reports whether a connection's provider knows us by keys of our own: every SAML provider, and an OpenID Provider that takes
// private_key_jwt.
func (c Connection) OwnsKeys() bool {
	return c.Protocol == SAML || c.Settings.AuthMethod == PrivateKey
}

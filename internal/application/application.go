// Package application knows what sits behind Vestibule: the OpenID clients and SAML service providers that an operator
// declares, what each may ask for and what it is told. It belongs to the installation, not to an organization; which
// organizations it serves is one of its settings.
package application

import (
	"crypto/rsa"
	"net/url"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/saml"
)

// Protocol is what an application speaks.
type Protocol string

// The protocols.
const (
	OIDC Protocol = "oidc"
	SAML Protocol = "saml"
)

// Every in Organizations means all of them.
const Every id.Organization = "*"

// The grant types an application may be allowed.
const (
	AuthorizationCode = "authorization_code"
	RefreshToken      = "refresh_token"
	ClientCredentials = "client_credentials"
)

// The claims an application may ask for beside sub, email, email_verified and name.
const (
	Roles        = "roles" // brings restrictions along: a role that says more than is allowed misleads
	Grants       = "grants"
	Groups       = "groups"
	Organization = "organization"
)

// Application is one of them as the store keeps it: the columns, and the document beside them.
type Application struct {
	ID       id.Application `json:"-"`
	Name     string         `json:"-"`
	Protocol Protocol       `json:"-"`
	// SecretHash is seal.Keys.Hash of the client secret; empty for a public client, which has PKCE alone.
	SecretHash string `json:"-"`
	Version    int64  `json:"-"`

	RedirectURIs           []string          `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string          `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI   string            `json:"backchannel_logout_uri,omitempty"`
	GrantTypes             []string          `json:"grant_types,omitempty"`
	Claims                 []string          `json:"claims,omitempty"`
	Organizations          []id.Organization `json:"organizations,omitempty"`
	// IDTokenAlgorithm is ES256 where it is empty, or RS256.
	IDTokenAlgorithm string `json:"id_token_signed_response_alg,omitempty"`

	EntityID string `json:"entity_id,omitempty"`
	ACSURL   string `json:"acs_url,omitempty"`
	// NameID is what the application knows a person by; empty means Persistent.
	NameID NameID `json:"name_id,omitempty"`
	// Certificates verify its requests: with any, unsigned ones are refused. EncryptionCertificate has assertions encrypted to it.
	// Both as PEM or as base64.
	Certificates          []string `json:"certificates,omitempty"`
	EncryptionCertificate string   `json:"encryption_certificate,omitempty"`
	// SLOURL is where the application is told that a session has ended; empty: it is not told. Messages go there by SLOBinding, answers
	// to SLOResponseURL where that is another address.
	SLOURL         string  `json:"slo_url,omitempty"`
	SLOResponseURL string  `json:"slo_response_url,omitempty"`
	SLOBinding     Binding `json:"slo_binding,omitempty"`
}

// Binding is how a logout message travels to an application; empty means Redirect.
type Binding string

// The bindings.
const (
	Redirect Binding = "redirect"
	Post     Binding = "post"
)

// NameID is what a SAML application knows a person by.
type NameID string

// The name ids. All but the first are for applications that have their people's accounts already.
const (
	Persistent NameID = "persistent" // random, of this person at this application
	Email      NameID = "email"
	UserName   NameID = "user_name"
	ExternalID NameID = "external_id"
)

// NameIDs are all of them.
var NameIDs = []NameID{Persistent, Email, UserName, ExternalID}

// Public says whether the application has no secret.
func (a *Application) Public() bool { return a.SecretHash == "" }

// Serves says whether people of an organization may use it.
func (a *Application) Serves(org id.Organization) bool {
	return slices.Contains(a.Organizations, Every) || slices.Contains(a.Organizations, org)
}

// Tells says whether the application is told a claim.
func (a *Application) Tells(claim string) bool { return slices.Contains(a.Claims, claim) }

// Origins are those of a public client's pages: where its redirect URIs lie. A confidential client calls from a server and
// needs none.
func (a *Application) Origins() []string {
	if !a.Public() {
		return nil
	}
	var out []string
	for _, raw := range a.RedirectURIs {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			continue
		}
		if origin := u.Scheme + "://" + u.Host; !slices.Contains(out, origin) {
			out = append(out, origin)
		}
	}
	return out
}

// Check says what is wrong with an application, field by field; nil when nothing is.
func (a *Application) Check() error {
	f := fault.New(fault.Invalid, "The application %s cannot be used as it is.", a.ID)
	if !id.Declared(string(a.ID)) {
		f.WithField("id", "Use lower-case letters, digits, dot, dash and underscore, at most 63.")
	}
	switch a.Protocol {
	case OIDC:
		a.checkOIDC(f)
	case SAML:
		a.checkSAML(f)
	default:
		f.WithField("protocol", "It is oidc or saml.")
	}
	for _, c := range a.Claims {
		if !slices.Contains([]string{Roles, Grants, Groups, Organization}, c) {
			f.WithField("claims", "%q is none of roles, grants, groups and organization.", c)
		}
	}
	if len(a.Organizations) == 0 {
		f.WithField("organizations", `Name the organizations it serves, or "*".`)
	}
	if len(f.Fields) > 0 {
		return f
	}
	return nil
}

// maxEntityID is SAML Core section 8.3.6's.
const maxEntityID = 1024

// maxCertificates are enough for a rollover: what was, what is, and what will be.
const maxCertificates = 4

func (a *Application) checkSAML(f *fault.Fault) {
	switch {
	case a.EntityID == "":
		f.WithField("entity_id", "A SAML application needs its entity id.")
	case len(a.EntityID) > maxEntityID || strings.TrimSpace(a.EntityID) != a.EntityID:
		f.WithField("entity_id", "An entity id has at most %d characters and no blanks around it.", maxEntityID)
	}
	// An address with javascript: would run in the page that posts the assertion (CVE-2023-45683).
	if !netguard.WebAddress(a.ACSURL) {
		f.WithField("acs_url", "A SAML application needs the https address that takes its assertions; http only for this machine.")
	}
	if a.NameID != "" && !slices.Contains(NameIDs, a.NameID) {
		f.WithField("name_id", "It is persistent, email, user_name or external_id.")
	}
	if len(a.Certificates) > maxCertificates {
		f.WithField("certificates", "At most %d are tried.", maxCertificates)
	}
	for _, c := range a.Certificates {
		if _, err := saml.ReadCertificate(c); err != nil {
			f.WithField("certificates", "%s", fault.As(err).Message)
		}
	}
	a.checkSLO(f)
	if a.EncryptionCertificate == "" {
		return
	}
	cert, err := saml.ReadCertificate(a.EncryptionCertificate)
	if err != nil {
		f.WithField("encryption_certificate", "%s", fault.As(err).Message)
	} else if _, is := cert.PublicKey.(*rsa.PublicKey); !is {
		f.WithField("encryption_certificate", "Assertions are encrypted to RSA keys.")
	}
}

func (a *Application) checkSLO(f *fault.Fault) {
	// As with the address of assertions, javascript: would run in a page of ours.
	for field, address := range map[string]string{"slo_url": a.SLOURL, "slo_response_url": a.SLOResponseURL} {
		if address != "" && !netguard.WebAddress(address) {
			f.WithField(field, "It must be an absolute https address without fragment; http only for this machine.")
		}
	}
	switch {
	case a.SLOURL == "" && (a.SLOResponseURL != "" || a.SLOBinding != ""):
		f.WithField("slo_url", "Without the address of its single logout service, the rest says nothing.")
	case a.SLOURL != "" && len(a.Certificates) == 0:
		// Anyone could end anyone's session, or say that it has ended.
		f.WithField("certificates", "Single logout needs the certificate that the application signs its logout messages by.")
	}
	if !slices.Contains([]Binding{"", Redirect, Post}, a.SLOBinding) {
		f.WithField("slo_binding", "It is redirect or post.")
	}
}

func (a *Application) checkOIDC(f *fault.Fault) {
	for _, g := range a.GrantTypes {
		switch g {
		case AuthorizationCode:
			if len(a.RedirectURIs) == 0 {
				f.WithField("redirect_uris", "The authorization code flow needs at least one.")
			}
		case RefreshToken:
		case ClientCredentials:
			if a.Public() {
				f.WithField("grant_types", "client_credentials needs a client_secret.")
			}
		default:
			f.WithField("grant_types", "%q is none of authorization_code, refresh_token and client_credentials.", g)
		}
	}
	if len(a.GrantTypes) == 0 {
		f.WithField("grant_types", "Name at least one.")
	}
	for _, u := range a.RedirectURIs {
		if !redirectAddress(u, a.Public()) {
			f.WithField("redirect_uris", "%q must be an absolute https address without fragment; http only for this machine.", u)
		}
	}
	for _, u := range a.PostLogoutRedirectURIs {
		if !redirectAddress(u, a.Public()) {
			f.WithField("post_logout_redirect_uris", "%q must be an absolute https address without fragment; http only for this machine.", u)
		}
	}
	if a.BackchannelLogoutURI != "" && !netguard.WebAddress(a.BackchannelLogoutURI) {
		f.WithField("backchannel_logout_uri", "It must be an absolute https address without fragment; http only for this machine.")
	}
	if !slices.Contains([]string{"", "ES256", "RS256"}, a.IDTokenAlgorithm) {
		f.WithField("id_token_signed_response_alg", "It is ES256 or RS256.")
	}
}

// redirectAddress: a code sent to it must not travel in the clear, so http is for this machine alone (RFC 9700 section 2.6);
// an app on a device may have a scheme of its own with a dot in it (RFC 8252 section 7.1); javascript: and data: run in the
// browser instead of leaving it.
func redirectAddress(raw string, public bool) bool {
	if netguard.WebAddress(raw) {
		return true
	}
	u, err := url.Parse(raw)
	return err == nil && public && strings.Contains(u.Scheme, ".") && u.Fragment == "" && !strings.Contains(raw, "#") && u.User == nil
}

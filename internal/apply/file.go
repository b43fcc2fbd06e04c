package apply

import (
	"reflect"

	"github.com/goccy/go-yaml/ast"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
)

// The shape of a file: the contract's names. A field that is not here is an error, so that a slip of the pen never passes
// for a setting. At is where the thing was declared.

type file struct {
	At             place
	Version        int                `yaml:"version,required"`
	Permissions    []filePermission   `yaml:"permissions"`
	Roles          []fileRole         `yaml:"roles"`
	ExclusiveRoles [][]id.Role        `yaml:"exclusive_roles"`
	Organizations  []fileOrganization `yaml:"organizations"`
	Providers      []fileProvider     `yaml:"providers"`
	Applications   []fileApplication  `yaml:"applications"`
}

type filePermission struct {
	At   place
	ID   id.Permission `yaml:"id,required"`
	Name string        `yaml:"name"`
}

type fileRole struct {
	At          place
	ID          id.Role         `yaml:"id,required"`
	Name        string          `yaml:"name"`
	Includes    []id.Role       `yaml:"includes"`
	Permissions []id.Permission `yaml:"permissions"`
	MayGrant    []id.Role       `yaml:"may_grant"`
	Protected   bool            `yaml:"protected"`
	RequireMFA  bool            `yaml:"require_mfa"`
}

type fileOrganization struct {
	At                   place
	ID                   id.Organization     `yaml:"id,required"`
	Name                 string              `yaml:"name"`
	SeatLimit            int64               `yaml:"seat_limit"`
	AllowedDomains       []string            `yaml:"allowed_domains"`
	RequireMFA           bool                `yaml:"require_mfa"`
	EnforceSSO           bool                `yaml:"enforce_sso"`
	LocalSignIn          []connection.Method `yaml:"local_sign_in"`
	SSOExceptions        []fileSSOException  `yaml:"sso_exceptions"`
	Session              fileSession         `yaml:"session"`
	AvailableRoles       []id.Role           `yaml:"available_roles"`
	DefaultRoles         []fileRoleAt        `yaml:"default_roles"`
	DefaultProviderRoles []id.Role           `yaml:"default_provider_roles"`
	InvitationLifetime   duration            `yaml:"invitation_lifetime"`
	Messages             fileMessages        `yaml:"messages"`
	Successor            string              `yaml:"successor"` // the address of who is promoted when a directory takes the last owner
	CustomRoles          []fileCustomRole    `yaml:"custom_roles"`
	Resources            []fileResource      `yaml:"resources"`
	Groups               []fileGroup         `yaml:"groups"`
	GroupRoles           []fileGroupRole     `yaml:"group_roles"`
	Directories          []fileDirectory     `yaml:"directories"`
	Connections          []fileConnection    `yaml:"connections"`
	Webhooks             []fileWebhook       `yaml:"webhooks"`
}

// fileMessages says who carries codes to telephones.
type fileMessages struct {
	URL    string `yaml:"url"`
	Secret secret `yaml:"secret"`
}

// fileSSOException lets one address in without the provider although single sign-on is demanded.
type fileSSOException struct {
	At      place
	Address string `yaml:"address,required"`
	Kind    string `yaml:"kind,required"`
	Expires moment `yaml:"expires,required"`
	Reason  string `yaml:"reason"`
}

type fileSession struct {
	Lifetime duration `yaml:"lifetime"`
	Idle     duration `yaml:"idle"`
}

// fileRoleAt is a role's id, or {role, resource}.
type fileRoleAt struct{ access.RoleAt }

func (r *fileRoleAt) fromYAML(d *decoder, n ast.Node, path string) {
	m, ok := n.(ast.MapNode)
	if ok {
		_, custom := customRole(m)
		ok = !custom
	}
	if !ok {
		r.Role = id.Role(d.text(n, path))
		return
	}
	var pair struct {
		Role     id.Role     `yaml:"role,required"`
		Resource id.Resource `yaml:"resource"`
	}
	d.mapping(n, reflect.ValueOf(&pair).Elem(), path)
	r.Role, r.Resource = pair.Role, pair.Resource
}

type fileResource struct {
	At       place
	ID       id.Resource    `yaml:"id,required"`
	Type     string         `yaml:"type,required"`
	Name     string         `yaml:"name"`
	Children []fileResource `yaml:"children"`
}

type fileGroup struct {
	At   place
	ID   id.Group `yaml:"id,required"`
	Name string   `yaml:"name"`
}

type fileGroupRole struct {
	At        place
	Group     string       `yaml:"group,required"`
	Directory id.Directory `yaml:"directory"`
	Role      id.Role      `yaml:"role,required"`
	Resource  id.Resource  `yaml:"resource"`
}

type fileDirectory struct {
	At         place
	ID         id.Directory    `yaml:"id,required"`
	Name       string          `yaml:"name"`
	Dialect    string          `yaml:"dialect"`
	Key        string          `yaml:"key"`
	Tokens     []fileToken     `yaml:"tokens"`
	Clients    []fileClient    `yaml:"clients"`
	RequestLog fileRequestLog  `yaml:"request_log"`
	RateLimit  fileRateLimit   `yaml:"rate_limit"`
	Roles      fileRoles       `yaml:"roles"`
	Brake      fileBrake       `yaml:"brake"`
	Extensions []fileExtension `yaml:"extensions"`
}

// fileBrake says how many people a directory may take away at once.
type fileBrake struct {
	Percent int64    `yaml:"percent"`
	Minimum int64    `yaml:"minimum"`
	Window  duration `yaml:"window"`
}

// fileRoles says which roles a directory may give by what it pushes.
type fileRoles struct {
	Accept []string `yaml:"accept"`
}

// fileRateLimit says how many requests of a directory are answered.
type fileRateLimit struct {
	PerMinute int64 `yaml:"per_minute"`
}

// fileRequestLog says how long a directory's requests are kept, and whether with their bodies.
type fileRequestLog struct {
	Retention duration `yaml:"retention"`
	Bodies    kept     `yaml:"bodies"`
}

type fileToken struct {
	At      place
	ID      string `yaml:"id,required"`
	Secret  secret `yaml:"secret,required"`
	Expires moment `yaml:"expires"`
}

type fileConnection struct {
	At           place
	ID           id.Connection           `yaml:"id,required"`
	Name         string                  `yaml:"name"`
	Protocol     connection.Protocol     `yaml:"protocol,required"`
	Disabled     bool                    `yaml:"disabled"`
	Issuer       string                  `yaml:"issuer"`
	ClientID     string                  `yaml:"client_id"`
	ClientSecret secret                  `yaml:"client_secret"`
	SecretEnds   string                  `yaml:"client_secret_expires"`
	AuthMethod   string                  `yaml:"auth_method"`
	Scopes       []string                `yaml:"scopes"`
	Algorithms   []string                `yaml:"algorithms"`
	HostedDomain string                  `yaml:"hosted_domain"`
	Tenant       string                  `yaml:"tenant"`
	ACRValues    []string                `yaml:"acr_values"`
	TrustAMR     bool                    `yaml:"trust_amr"`
	MFAContexts  []string                `yaml:"mfa_contexts"`
	Metadata     metadata                `yaml:"metadata"`
	SAML         fileSAML                `yaml:"saml"`
	Logout       bool                    `yaml:"upstream_logout"`
	Preset       string                  `yaml:"preset"`
	Domains      []string                `yaml:"domains"`
	Directory    id.Directory            `yaml:"directory"`
	Match        fileMatch               `yaml:"match"`
	Provisioning connection.Provisioning `yaml:"provisioning"`
	GroupsClaim  string                  `yaml:"groups_claim"`
}

type fileMatch struct {
	Claim     string               `yaml:"claim"`
	Attribute connection.Attribute `yaml:"attribute"`
}

type fileProvider struct {
	At           place
	Provider     id.Organization `yaml:"provider,required"`
	Client       id.Organization `yaml:"client,required"`
	AllowedRoles []id.Role       `yaml:"allowed_roles,required"`
	Resources    []id.Resource   `yaml:"resources"`
	Expires      moment          `yaml:"expires"`
	RequireMFA   bool            `yaml:"require_mfa"`
}

type fileApplication struct {
	At                     place
	ID                     id.Application    `yaml:"id,required"`
	Name                   string            `yaml:"name"`
	Protocol               string            `yaml:"protocol,required"`
	ClientSecret           secret            `yaml:"client_secret"`
	RedirectURIs           []string          `yaml:"redirect_uris"`
	PostLogoutRedirectURIs []string          `yaml:"post_logout_redirect_uris"`
	BackchannelLogoutURI   string            `yaml:"backchannel_logout_uri"`
	GrantTypes             []string          `yaml:"grant_types"`
	Claims                 []string          `yaml:"claims"`
	Organizations          []id.Organization `yaml:"organizations"`
	IDTokenAlgorithm       string            `yaml:"id_token_signed_response_alg"`
	EntityID               string            `yaml:"entity_id"`
	ACSURL                 string            `yaml:"acs_url"`
	NameID                 string            `yaml:"name_id"`
	Certificates           []certificate     `yaml:"certificates"`
	EncryptionCertificate  certificate       `yaml:"encryption_certificate"`
	SLOURL                 string            `yaml:"slo_url"`
	SLOResponseURL         string            `yaml:"slo_response_url"`
	SLOBinding             string            `yaml:"slo_binding"`
}

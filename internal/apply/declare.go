package apply

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Declaration is what the files declare, read and checked as far as it can be without the store.
type Declaration struct {
	Files []string

	want     store.Declared
	places   map[string]place  // by object key
	secrets  map[string]string // by object key, in the clear
	problems Problems
}

// Read reads the files. What is wrong with them stands in Problems, and Run refuses to go on with it; the references are
// checked there, since what they name may lie in the store.
func Read(files []string, getenv func(string) (string, bool)) (*Declaration, error) {
	d := &Declaration{Files: files, places: map[string]place{}, secrets: map[string]string{}}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		d.add(parse(name, text, getenv, &d.problems))
	}
	return d, nil
}

// Problems is what is wrong with the files by themselves; empty when nothing is.
func (d *Declaration) Problems() Problems { return d.problems.sorted() }

func (d *Declaration) add(f file) {
	if f.Version != 1 && f.At.has("version") {
		d.problems.at(f.At, "version", "this program reads version 1")
	}
	for _, p := range f.Permissions {
		d.permission(p)
	}
	for _, r := range f.Roles {
		d.role(r)
	}
	for i, roles := range f.ExclusiveRoles {
		d.exclusive(f.At, i, roles)
	}
	for _, o := range f.Organizations {
		d.organization(o)
	}
	for _, p := range f.Providers {
		d.provider(p)
	}
	for _, a := range f.Applications {
		d.application(a)
	}
}

// has says whether the file sets a field of the place.
func (p place) has(field string) bool {
	_, ok := p.source.lines[join(p.path, field)]
	return ok
}

// once notes where an object stands and refuses a second one of the same key.
func (d *Declaration) once(key string, at place, field string) bool {
	if first, twice := d.places[key]; twice {
		d.problems.at(at, field, "it is declared already at %s", first)
		return false
	}
	d.places[key] = at
	return true
}

// declaredID checks the form of an id that the operator chose. An absent one was reported by the decoder.
func (d *Declaration) declaredID(at place, value string) {
	if at.has("id") && !id.Declared(value) {
		d.problems.at(at, "id", "%q cannot be an id: lower-case letters, digits, dot, dash and underscore, at most 63, beginning with a letter or digit", value)
	}
}

func orElse[T ~string](name string, other T) string {
	if name == "" {
		return string(other)
	}
	return name
}

var permissionID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*$`)

func (d *Declaration) permission(p filePermission) {
	if p.At.has("id") && !permissionID.MatchString(string(p.ID)) {
		d.problems.at(p.At, "id", "%q is not of the form kind.action, such as assets.update", p.ID)
	}
	if !d.once(key(permissionKind, "", string(p.ID)), p.At, "id") {
		return
	}
	d.want.Permissions = append(d.want.Permissions, store.DeclaredPermission{
		Permission: access.Permission{ID: p.ID, Name: orElse(p.Name, p.ID)},
	})
}

func (d *Declaration) role(r fileRole) {
	if access.IsCustom(r.ID) {
		d.problems.at(r.At, "id", "what begins with %s is made in an organization and is known there alone; a role of the installation has an id without it",
			access.CustomPrefix)
	} else {
		d.declaredID(r.At, string(r.ID))
	}
	if !d.once(key(roleKind, "", string(r.ID)), r.At, "id") {
		return
	}
	d.want.Roles = append(d.want.Roles, store.DeclaredRole{Role: access.Role{
		ID: r.ID, Name: orElse(r.Name, r.ID), Permissions: r.Permissions, Includes: r.Includes, MayGrant: r.MayGrant,
		Protected: r.Protected, RequireMFA: r.RequireMFA,
	}})
}

// messages reads who carries codes to telephones. The address is asked through netguard; http is for this machine alone.
func (d *Declaration) messages(o fileOrganization) store.MessageSettings {
	m := o.Messages
	switch {
	case m.URL == "" && m.Secret == "":
	case !netguard.WebAddress(m.URL):
		d.problems.at(o.At, "messages.url", "%q is not an https address; http is for this machine alone", m.URL)
	case m.Secret == "":
		d.problems.at(o.At, "messages.secret", "a secret is wanted, under which each message is signed")
	}
	d.secrets[key(organizationKind, o.ID, "")] = string(m.Secret)
	return store.MessageSettings{URL: m.URL}
}

func (d *Declaration) exclusive(at place, i int, roles []id.Role) {
	where := place{at.source, at.path + "exclusive_roles[" + itoa(i) + "]"}
	if len(slices.Compact(slices.Sorted(slices.Values(roles)))) != len(roles) {
		d.problems.at(where, "", "a role stands in it twice")
	}
	if d.once(key(exclusiveKind, "", exclusiveKey(roles)), where, "") {
		d.want.Exclusive = append(d.want.Exclusive, store.DeclaredExclusive{Roles: roles})
	}
}

func (d *Declaration) organization(o fileOrganization) {
	d.declaredID(o.At, string(o.ID))
	if !d.once(key(organizationKind, o.ID, ""), o.At, "id") {
		return
	}
	if o.SeatLimit < 0 || o.SeatLimit == 0 && o.At.has("seat_limit") {
		d.problems.at(o.At, "seat_limit", "at least one seat; leave the field out for no limit")
	}
	session := store.SessionSettings{LifetimeSeconds: inSeconds(o.Session.Lifetime), IdleSeconds: inSeconds(o.Session.Idle)}
	if session.Idle() > session.Lifetime() {
		d.problems.at(o.At, "session.idle", "a session cannot lie idle longer (%s) than it lives (%s)",
			showDuration(session.Idle()), showDuration(session.Lifetime()))
	}
	d.want.Organizations = append(d.want.Organizations, store.DeclaredOrganization{
		ID: o.ID, Name: orElse(o.Name, o.ID), SeatLimit: o.SeatLimit,
		Settings: store.Settings{
			AllowedDomains: d.domains(o.At, "allowed_domains", o.AllowedDomains),
			Session:        session, AvailableRoles: o.AvailableRoles, DefaultRoles: defaultRoles(o.DefaultRoles),
			DefaultProviderRoles: o.DefaultProviderRoles, InvitationSeconds: inSeconds(o.InvitationLifetime),
			Successor: d.address(o.At, "successor", o.Successor), RequireMFA: o.RequireMFA, Messages: d.messages(o),
			EnforceSSO: o.EnforceSSO, LocalSignIn: d.localSignIn(o),
		},
	})
	for _, x := range o.SSOExceptions {
		d.ssoException(o.ID, x)
	}
	for _, r := range o.CustomRoles {
		d.customRole(o.ID, r)
	}
	for _, r := range o.Resources {
		d.resource(o.ID, "", r)
	}
	for _, g := range o.Groups {
		d.group(o.ID, g)
	}
	for _, r := range o.Directories {
		d.directory(o.ID, r)
	}
	for _, c := range o.Connections {
		d.connection(o.ID, c)
	}
	for _, w := range o.Webhooks {
		d.webhook(o.ID, w)
	}
	for _, g := range o.GroupRoles {
		d.groupRole(o.ID, g)
	}
}

func inSeconds(t duration) int64 { return int64(time.Duration(t) / time.Second) }

func defaultRoles(roles []fileRoleAt) []access.RoleAt {
	var out []access.RoleAt
	for _, r := range roles {
		out = append(out, r.RoleAt)
	}
	return out
}

func (d *Declaration) domains(at place, field string, domains []string) []string {
	var out []string
	for i, name := range domains {
		domain := connection.Domain(name)
		if domain == "" {
			d.problems.at(at, field+"["+itoa(i)+"]", "%q is not a domain such as northwind.example", name)
		}
		out = append(out, domain)
	}
	return out
}

func (d *Declaration) address(at place, field, value string) string {
	if value != "" && connection.DomainOf(value) == "" {
		d.problems.at(at, field, "%q is not an address such as ann@northwind.example", value)
	}
	return value
}

func (d *Declaration) resource(org id.Organization, parent id.Resource, r fileResource) {
	d.declaredID(r.At, string(r.ID))
	if string(r.ID) == string(org) {
		d.problems.at(r.At, "id", "%s is the organization itself, the root of its tree", r.ID)
	}
	if d.once(key(resourceKind, org, string(r.ID)), r.At, "id") {
		d.want.Resources = append(d.want.Resources, store.DeclaredResource{Organization: org, Resource: access.Resource{
			ID: r.ID, Parent: parent, Type: r.Type, Name: orElse(r.Name, r.ID),
		}})
	}
	for _, child := range r.Children {
		d.resource(org, r.ID, child)
	}
}

func (d *Declaration) group(org id.Organization, g fileGroup) {
	d.declaredID(g.At, string(g.ID))
	if d.once(key(groupKind, org, string(g.ID)), g.At, "id") {
		d.want.Groups = append(d.want.Groups, store.DeclaredGroup{Organization: org, ID: g.ID, Name: orElse(g.Name, g.ID)})
	}
}

func (d *Declaration) groupRole(org id.Organization, g fileGroupRole) {
	if g.Resource == "" {
		g.Resource = id.Resource(org)
	}
	m := store.DeclaredGroupRole{Organization: org, Group: g.Group, Directory: g.Directory, Role: g.Role, Resource: g.Resource}
	if d.once(key(groupRoleKind, org, groupRoleKey(m)), g.At, "") {
		d.want.GroupRoles = append(d.want.GroupRoles, m)
	}
}

var dialects = []string{"entra", "okta", "onelogin", "google", "jumpcloud", "ping", "rfc"}

func (d *Declaration) directory(org id.Organization, r fileDirectory) {
	d.declaredID(r.At, string(r.ID))
	if !d.once(key(directoryKind, org, string(r.ID)), r.At, "id") {
		return
	}
	if r.Dialect == "" {
		r.Dialect = "rfc"
	}
	if !slices.Contains(dialects, r.Dialect) {
		d.problems.at(r.At, "dialect", "%q is none of %s", r.Dialect, strings.Join(dialects, ", "))
	}
	if r.Key == "" {
		r.Key = directory.KeyUserName
	}
	if r.Key != directory.KeyUserName && r.Key != directory.KeyExternalID {
		d.problems.at(r.At, "key", "%q is neither %s nor %s", r.Key, directory.KeyExternalID, directory.KeyUserName)
	}
	if n := r.RateLimit.PerMinute; r.At.has("rate_limit.per_minute") && (n < 1 || n > directory.MaxPerMinute) {
		d.problems.at(r.At, "rate_limit.per_minute", "between 1 and %d requests; leave the field out for %d", directory.MaxPerMinute, directory.DefaultPerMinute)
	}
	if n := r.Brake.Percent; r.At.has("brake.percent") && (n < 1 || n > 100) {
		d.problems.at(r.At, "brake.percent", "between 1 and 100; leave the field out for %d", directory.DefaultBrakePercent)
	}
	if r.At.has("brake.minimum") && r.Brake.Minimum < 1 {
		d.problems.at(r.At, "brake.minimum", "at least 1; leave the field out for %d", directory.DefaultBrakeMinimum)
	}
	d.want.Directories = append(d.want.Directories, store.DeclaredDirectory{
		Organization: org, ID: r.ID, Name: orElse(r.Name, r.ID), Dialect: r.Dialect, Key: r.Key,
		Settings: directory.Settings{
			RequestLog: directory.RequestLog{RetentionSeconds: inSeconds(r.RequestLog.Retention), WithoutBodies: r.RequestLog.Bodies.off},
			RateLimit:  directory.RateLimit{PerMinute: r.RateLimit.PerMinute},
			Roles:      pushedRoles(r.Roles.Accept),
			Brake:      directory.Brake{Percent: r.Brake.Percent, Minimum: r.Brake.Minimum, WindowSeconds: inSeconds(r.Brake.Window)},
			Extensions: d.extensions(r),
		},
	})
	for _, t := range r.Tokens {
		d.token(org, r.ID, t)
	}
	for _, c := range r.Clients {
		d.client(org, r.ID, c)
	}
}

func pushedRoles(accept []string) (roles directory.Roles) {
	for _, s := range accept {
		roles.Accept = append(roles.Accept, directory.ParseRoleAt(s))
	}
	return roles
}

func (d *Declaration) token(org id.Organization, dir id.Directory, t fileToken) {
	d.declaredID(t.At, t.ID)
	k := key(tokenKind, org, string(dir)+"/"+t.ID)
	if !d.once(k, t.At, "id") {
		return
	}
	// A bearer token is one word (RFC 6750 section 2.1); anything else could never be presented.
	if strings.ContainsFunc(string(t.Secret), func(r rune) bool { return r <= ' ' || r > '~' }) {
		d.problems.at(t.At, "secret", "a bearer token holds no blanks, line breaks or letters outside ASCII")
	}
	for other, secret := range d.secrets {
		// Two directories behind one token: whoever pushes to one could push to the other.
		if secret == string(t.Secret) && secret != "" && strings.HasPrefix(other, key(tokenKind, org, "")) {
			d.problems.at(t.At, "secret", "the token declared at %s has the same secret", d.places[other])
		}
	}
	d.secrets[k] = string(t.Secret)
	d.want.Tokens = append(d.want.Tokens, store.DeclaredToken{
		Organization: org, Directory: dir, ID: t.ID, Expires: time.Time(t.Expires),
	})
}

func (d *Declaration) connection(org id.Organization, c fileConnection) {
	d.declaredID(c.At, string(c.ID))
	k := key(connectionKind, org, string(c.ID))
	if !d.once(k, c.At, "id") {
		return
	}
	if c.Issuer != "" && !netguard.WebAddress(c.Issuer) {
		d.problems.at(c.At, "issuer", "%q is not an https address; http is for this machine alone", c.Issuer)
	}
	if err := checkMetadata(string(c.Metadata)); err != nil {
		d.problems.at(c.At, "metadata", "%v", err)
	}
	d.domains(c.At, "domains", c.Domains)
	d.secrets[k] = string(c.ClientSecret)
	d.want.Connections = append(d.want.Connections, connection.Connection{
		Organization: org, ID: c.ID, Name: orElse(c.Name, c.ID), Protocol: c.Protocol, Directory: c.Directory,
		Settings: connection.Settings{
			Disabled: c.Disabled, Preset: c.Preset, Issuer: c.Issuer, ClientID: c.ClientID, AuthMethod: c.AuthMethod, Scopes: c.Scopes,
			Algorithms: c.Algorithms, HostedDomain: c.HostedDomain, Tenant: c.Tenant, ACRValues: c.ACRValues,
			TrustAMR: c.TrustAMR, MFAContexts: c.MFAContexts, ClientSecretExpires: c.SecretEnds,
			Metadata: string(c.Metadata), Domains: slices.Clone(c.Domains), Match: connection.Match(c.Match),
			Provisioning: c.Provisioning, GroupsClaim: c.GroupsClaim, SAML: c.SAML.choices(), UpstreamLogout: c.Logout,
		},
	})
	for i, name := range c.Domains {
		domain := connection.Domain(name)
		if domain == "" {
			continue
		}
		// An address leads to one organization: else its owner could be sent to somebody else's provider. Where several of its
		// connections have the domain, the person chooses.
		at := place{c.At.source, join(c.At.path, "domains["+itoa(i)+"]")}
		if i := slices.IndexFunc(d.want.Domains, func(m store.DeclaredDomain) bool {
			return m.Domain == domain && m.Organization == org && m.Connection != c.ID
		}); i >= 0 {
			d.want.Domains[i].Connection = ""
			continue
		}
		if d.once(key(domainKind, "", domain), at, "") {
			d.want.Domains = append(d.want.Domains, store.DeclaredDomain{Domain: domain, Organization: org, Connection: c.ID})
		}
	}
}

// checkMetadata looks at the form alone: a URL is fetched at first use. A DOCTYPE is refused here already, since nothing good
// comes of entities in a document that decides who may sign in.
func checkMetadata(text string) error {
	switch {
	case text == "":
		return nil
	case !strings.HasPrefix(text, "<"):
		if !netguard.WebAddress(text) {
			return errors.New("it is neither an https address nor a metadata document; http is for this machine alone")
		}
		return nil
	}
	tokens := xml.NewDecoder(strings.NewReader(text))
	root := ""
	for {
		switch t, err := tokens.Token(); {
		case errors.Is(err, io.EOF) && root != "":
			return nil
		case err != nil:
			return errors.New("the metadata document is not well-formed XML")
		default:
			switch t := t.(type) {
			case xml.Directive:
				return errors.New("the metadata document has a DOCTYPE, which is refused")
			case xml.StartElement:
				if root == "" {
					root = t.Name.Local
				}
				if root != "EntityDescriptor" && root != "EntitiesDescriptor" {
					return errors.New("the document is not SAML metadata: its root is not EntityDescriptor")
				}
			}
		}
	}
}

func (d *Declaration) provider(p fileProvider) {
	if p.Provider == p.Client && p.Provider != "" {
		d.problems.at(p.At, "client", "an organization does not serve itself")
	}
	r := store.DeclaredRelationship{Provider: p.Provider, Client: p.Client, RelationshipSettings: access.RelationshipSettings{
		AllowedRoles: p.AllowedRoles, Resources: p.Resources, Expires: time.Time(p.Expires), RequireMFA: p.RequireMFA,
	}}
	if d.once(key(relationshipKind, "", relationshipKey(r)), p.At, "provider") {
		d.want.Relationships = append(d.want.Relationships, r)
	}
}

func (d *Declaration) application(a fileApplication) {
	k := key(applicationKind, "", string(a.ID))
	if !d.once(k, a.At, "id") {
		return
	}
	app := application.Application{
		ID: a.ID, Name: orElse(a.Name, a.ID), Protocol: application.Protocol(a.Protocol), RedirectURIs: a.RedirectURIs,
		PostLogoutRedirectURIs: a.PostLogoutRedirectURIs, BackchannelLogoutURI: a.BackchannelLogoutURI, GrantTypes: a.GrantTypes,
		Claims: a.Claims, Organizations: a.Organizations, IDTokenAlgorithm: a.IDTokenAlgorithm, EntityID: a.EntityID, ACSURL: a.ACSURL,
		NameID: application.NameID(a.NameID), EncryptionCertificate: a.EncryptionCertificate.line(),
		SLOURL: a.SLOURL, SLOResponseURL: a.SLOResponseURL, SLOBinding: application.Binding(a.SLOBinding),
	}
	for _, c := range a.Certificates {
		app.Certificates = append(app.Certificates, c.line())
	}
	if app.Protocol == application.OIDC && len(app.GrantTypes) == 0 {
		app.GrantTypes = []string{application.AuthorizationCode, application.RefreshToken}
	}
	if len(app.Organizations) == 0 {
		app.Organizations = []id.Organization{application.Every}
	}
	d.secrets[k] = string(a.ClientSecret)
	checked := app
	if a.At.has("client_secret") {
		checked.SecretHash = "declared" // the hash is made when the store's own is known; confidential it is already
	}
	d.faults(a.At, checked.Check())
	d.want.Applications = append(d.want.Applications, app)
}

// faults turns the wrong fields of a thing into problems of the file. An absent field was reported by the decoder.
func (d *Declaration) faults(at place, err error) {
	f := fault.As(err)
	if f == nil {
		return
	}
	for _, field := range f.Fields {
		if slices.Contains([]string{"id", "protocol", "url"}, field.Path) && !at.has(field.Path) {
			continue
		}
		d.problems.at(at, field.Path, "%s", field.Message)
	}
}

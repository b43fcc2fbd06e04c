package connection

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Term is something that has to be found in an identity provider's own screens.
type Term string

// The terms.
const (
	TermRedirect Term = "redirect"  // where our redirect URI is entered
	TermIssuer   Term = "issuer"    // where the issuer stands
	TermClient   Term = "client"    // where the client id stands
	TermSecret   Term = "secret"    // where a client secret is made
	TermPublic   Term = "key"       // where our public key or certificate is entered
	TermLogout   Term = "logout"    // where our post-logout redirect URI is entered
	TermBack     Term = "back"      // where our back-channel logout URI, or our single logout URL, is entered
	TermImport   Term = "import"    // where our metadata is read in
	TermAttrs    Term = "attrs"     // where SAML attributes are added, if elsewhere than claims
	TermSAML     Term = "saml"      // where entity id and assertion consumer URL are entered
	TermMetadata Term = "metadata"  // where the metadata is had
	TermNameID   Term = "nameid"    // where the NameID is chosen
	TermClaims   Term = "claims"    // where claims or attributes are added
	TermGroups   Term = "groups"    // where a group claim is added
	TermMapping  Term = "mapping"   // where SCIM attributes are mapped
	TermAssign   Term = "assign"    // where people are assigned
	TermLog      Term = "log"       // where the provider says why it refused
	TermVerified Term = "verified"  // how it comes to vouch for an address
	TermTenant   Term = "tenant"    // where its id of the customer stands
	TermSigning  Term = "signature" // where the signature is chosen
)

// Provider is an identity provider as we know it: what equals what there, and what its screens call things.
type Provider struct {
	ID   string
	Name string
	// Match is the preset by protocol: which claim carries, at sign-in, what the provider pushes by SCIM.
	Match map[Protocol]Match
	// Groups is the claim that names groups, by protocol, where the provider has one of its own.
	Groups map[Protocol]string
	Issuer string // the form of its issuer, as a hint
	// Make says how an application for us is made there, by protocol.
	Make   map[Protocol]string
	Places map[Term]string
	// Errors are what its own pages show when it does not send people back, with what that means.
	Errors []ProviderError
	// Warn is what to know before relying on it.
	Warn []string
}

// ProviderError is a message of the provider's own pages.
type ProviderError struct{ Says, Means string }

// GenericProvider is any that we do not know.
const GenericProvider = "generic"

// Providers are the known ones, in the order in which a person chooses. Why each preset: Entra's sub differs per application and
// its mail is mutable, so only oid (SAML: objectidentifier) will do; Okta, OneLogin and Ping push the id that is also sub; Google's
// provisioning carries no stable id, so the address is the userName there and hosted_domain should be pinned; Keycloak pushes
// nothing by itself, and what does commonly sends its user id.
var Providers = []Provider{
	{
		ID: "entra", Name: "Microsoft Entra ID", Issuer: "https://login.microsoftonline.com/TENANT-ID/v2.0",
		Make: map[Protocol]string{
			OIDC: "App registrations › New registration",
			SAML: "Enterprise applications › New application › Create your own application › Integrate any other application you don’t find in the gallery",
		},
		Match: map[Protocol]Match{
			OIDC: {Claim: "oid", Attribute: ExternalID},
			SAML: {Claim: "http://schemas.microsoft.com/identity/claims/objectidentifier", Attribute: ExternalID},
		},
		Groups: map[Protocol]string{OIDC: "groups", SAML: "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"},
		Places: map[Term]string{
			TermRedirect: "App registrations › the application › Authentication › Web › Redirect URIs",
			TermIssuer:   "App registrations › the application › Overview › Endpoints › OpenID Connect metadata document, without /.well-known/…; it holds the Directory (tenant) ID",
			TermClient:   "App registrations › the application › Overview › Application (client) ID",
			TermSecret:   "App registrations › the application › Certificates & secrets › Client secrets: the Value, not the Secret ID",
			TermPublic:   "App registrations › the application › Certificates & secrets › Certificates › Upload certificate",
			TermLogout:   "App registrations › the application › Authentication › Web › Redirect URIs, beside the redirect URI",
			TermSAML:     "Enterprise applications › the application › Single sign-on › Basic SAML Configuration: Identifier (Entity ID) and Reply URL (Assertion Consumer Service URL)",
			TermMetadata: "Enterprise applications › the application › Single sign-on › SAML Certificates › App Federation Metadata Url",
			TermNameID:   "Enterprise applications › the application › Single sign-on › Attributes & Claims › Unique User Identifier (Name ID)",
			TermClaims:   "App registrations › the application › Token configuration › Add optional claim (SAML: Single sign-on › Attributes & Claims)",
			TermGroups:   "App registrations › the application › Token configuration › Add groups claim, with “Groups assigned to the application”",
			TermMapping:  "Enterprise applications › the application › Provisioning › Attribute mapping: objectId to externalId",
			TermAssign:   "Enterprise applications › the application › Users and groups",
			TermLog:      "Monitoring › Sign-in logs, by the Correlation ID on its error page",
			TermVerified: "App registrations › the application › Token configuration › Add optional claim › ID › email, xms_edov",
			TermTenant:   "Overview › Tenant ID",
			TermSigning:  "Enterprise applications › the application › Single sign-on › SAML Certificates › Signing Option and Algorithm",
		},
		Errors: []ProviderError{
			{"AADSTS50011", "The redirect URI is not entered at Entra, or differs in a letter."},
			{"AADSTS700016", "The client id is not one of this tenant: compare it with Application (client) ID, and the issuer with the tenant."},
			{"AADSTS7000215", "The client secret is wrong: the Secret ID was copied instead of the Value, or it has expired."},
			{"AADSTS50105", "The person is not assigned to the application, and the application demands it."},
			{"AADSTS650056", "The Identifier (Entity ID) is not the one shown here."},
			{"AADSTS75011", "The person signed in in another way than the authentication context asks for."},
		},
		Warn: []string{"Entra pushes mailNickname as externalId unless the mapping is changed to objectId; the two never match."},
	},
	{
		ID: "okta", Name: "Okta", Issuer: "https://YOUR-ORG.okta.com",
		Make: map[Protocol]string{
			OIDC: "Applications › Create App Integration › OIDC - OpenID Connect › Web Application",
			SAML: "Applications › Create App Integration › SAML 2.0",
		},
		Match: map[Protocol]Match{
			OIDC: {Claim: "sub", Attribute: ExternalID}, SAML: {Claim: "okta_id", Attribute: ExternalID},
		},
		Groups: map[Protocol]string{OIDC: "groups", SAML: "groups"},
		Places: map[Term]string{
			TermRedirect: "Applications › the application › General › Login › Sign-in redirect URIs",
			TermIssuer:   "Security › API › Authorization Servers › Issuer URI; for the org server, the address of your Okta organization",
			TermClient:   "Applications › the application › General › Client Credentials › Client ID",
			TermSecret:   "Applications › the application › General › Client Credentials › Client secrets",
			TermPublic:   "Applications › the application › General › Client Credentials › Public key / Private key › Use a URL to fetch keys dynamically",
			TermLogout:   "Applications › the application › General › Login › Sign-out redirect URIs",
			TermSAML:     "Applications › the application › General › SAML Settings: Single sign-on URL and Audience URI (SP Entity ID)",
			TermMetadata: "Applications › the application › Sign On › SAML 2.0 › Metadata URL",
			TermNameID:   "Applications › the application › General › SAML Settings › Name ID format and Application username",
			TermClaims:   "Applications › the application › General › SAML Settings › Attribute Statements: okta_id = user.id (OpenID: Security › API › Claims)",
			TermGroups:   "Applications › the application › Sign On › Group claims filter (SAML: Group Attribute Statements)",
			TermMapping:  "Applications › the application › Provisioning › To App; Okta pushes its user id as externalId by itself",
			TermAssign:   "Applications › the application › Assignments",
			TermLog:      "Reports › System Log",
			TermVerified: "Directory › Profile Editor; Okta says email_verified itself",
			TermSigning:  "Applications › the application › General › SAML Settings › Show Advanced Settings › Assertion Signature",
		},
		Errors: []ProviderError{
			{"The 'redirect_uri' parameter must be a Login redirect URI", "The redirect URI is not entered at Okta, or differs in a letter."},
			{"User is not assigned to the client application", "Assign the person, or a group of theirs, to the application."},
			{"Policy evaluation failed", "An access policy of the authorization server does not let this client or person in."},
		},
		Warn: []string{"Where SCIM sits on another Okta application than the sign-in, both must speak of the same user id."},
	},
	{
		ID: "google", Name: "Google Workspace", Issuer: "https://accounts.google.com",
		Make: map[Protocol]string{
			OIDC: "Google Cloud › APIs & Services › Credentials › Create credentials › OAuth client ID › Web application",
			SAML: "Admin console › Apps › Web and mobile apps › Add app › Add custom SAML app",
		},
		Match: map[Protocol]Match{
			OIDC: {Claim: "email", Attribute: UserName}, SAML: {Claim: "nameid", Attribute: UserName},
		},
		Places: map[Term]string{
			TermRedirect: "Google Cloud › APIs & Services › Credentials › the OAuth client › Authorized redirect URIs",
			TermIssuer:   "It is https://accounts.google.com for everybody; pin your hosted domain beside it",
			TermClient:   "Google Cloud › APIs & Services › Credentials › the OAuth client › Client ID",
			TermSecret:   "Google Cloud › APIs & Services › Credentials › the OAuth client › Client secret",
			TermSAML:     "Admin console › Apps › Web and mobile apps › the app › Service provider details: ACS URL and Entity ID",
			TermMetadata: "Admin console › Apps › Web and mobile apps › the app › Download metadata",
			TermNameID:   "Admin console › Apps › Web and mobile apps › the app › Service provider details › Name ID",
			TermClaims:   "Admin console › Apps › Web and mobile apps › the app › SAML attribute mapping",
			TermGroups:   "Admin console › Apps › Web and mobile apps › the app › SAML attribute mapping › Group membership; Google sends none by OpenID",
			TermMapping:  "Admin console › Apps › Web and mobile apps › the app › Autoprovisioning › Attribute mapping",
			TermAssign:   "Admin console › Apps › Web and mobile apps › the app › User access",
			TermLog:      "Admin console › Reporting › Audit and investigation › SAML log events",
			TermTenant:   "The hosted domain is your primary Workspace domain",
			TermSigning:  "Admin console › Apps › Web and mobile apps › the app › Service provider details › Signed response",
		},
		Errors: []ProviderError{
			{"redirect_uri_mismatch", "The redirect URI is not entered at Google, or differs in a letter."},
			{"invalid_client", "The client id or secret is not that of the OAuth client."},
			{"app_not_configured_for_user", "The app is switched off for this person's organizational unit."},
		},
		Warn: []string{"Anybody with a Google account can sign in there. Pin the hosted domain, so that only your own people can here."},
	},
	{
		ID: "onelogin", Name: "OneLogin", Issuer: "https://YOUR-COMPANY.onelogin.com/oidc/2",
		Make: map[Protocol]string{
			OIDC: "Applications › Add App › OpenId Connect (OIDC)",
			SAML: "Applications › Add App › SAML Custom Connector (Advanced)",
		},
		Match: map[Protocol]Match{
			OIDC: {Claim: "sub", Attribute: ExternalID}, SAML: {Claim: "nameid", Attribute: UserName},
		},
		Groups: map[Protocol]string{OIDC: "groups", SAML: "memberOf"},
		Places: map[Term]string{
			TermRedirect: "Applications › the application › Configuration › Redirect URIs",
			TermIssuer:   "Applications › the application › SSO › Issuer URL",
			TermClient:   "Applications › the application › SSO › Client ID",
			TermSecret:   "Applications › the application › SSO › Client Secret",
			TermLogout:   "Applications › the application › Configuration › Post Logout Redirect URIs",
			TermSAML:     "Applications › the application › Configuration: Audience (EntityID), ACS URL",
			TermMetadata: "Applications › the application › More Actions › SAML Metadata, or SSO › Issuer URL",
			TermNameID:   "Applications › the application › Parameters › NameID value",
			TermClaims:   "Applications › the application › Parameters",
			TermGroups:   "Applications › the application › Parameters › Groups",
			TermMapping:  "Applications › the application › Configuration › SCIM JSON Template: it must carry externalId",
			TermAssign:   "Users › the person › Applications, or Applications › the application › Access",
			TermLog:      "Activity › Events",
			TermSigning:  "Applications › the application › SSO › SAML Signature Algorithm",
		},
	},
	{
		ID: "jumpcloud", Name: "JumpCloud", Issuer: "https://oauth.id.jumpcloud.com",
		Make: map[Protocol]string{
			OIDC: "SSO Applications › Add New Application › Custom Application › Configure SSO with OIDC",
			SAML: "SSO Applications › Add New Application › Custom Application › Configure SSO with SAML",
		},
		Match: map[Protocol]Match{
			OIDC: {Claim: "sub", Attribute: ExternalID}, SAML: {Claim: "nameid", Attribute: UserName},
		},
		Groups: map[Protocol]string{OIDC: "groups", SAML: "memberOf"},
		Places: map[Term]string{
			TermRedirect: "SSO Applications › the application › SSO › Redirect URIs",
			TermIssuer:   "It is https://oauth.id.jumpcloud.com/, with the slash its discovery has",
			TermClient:   "SSO Applications › the application › SSO › Client ID",
			TermSecret:   "SSO Applications › the application › SSO › Client Secret",
			TermSAML:     "SSO Applications › the application › SSO: SP Entity ID, ACS URLs",
			TermMetadata: "SSO Applications › the application › SSO › Copy Metadata URL",
			TermNameID:   "SSO Applications › the application › SSO › SAMLSubject NameID",
			TermClaims:   "SSO Applications › the application › SSO › User Attribute Mapping",
			TermGroups:   "SSO Applications › the application › SSO › Include group attribute",
			TermMapping:  "SSO Applications › the application › Identity Management › attributes",
			TermAssign:   "SSO Applications › the application › User Groups",
			TermLog:      "Directory Insights",
		},
		Warn: []string{"Compare a pushed externalId with a sub before you rely on it; the test shows both."},
	},
	{
		ID: "ping", Name: "PingOne or PingFederate", Issuer: "https://auth.pingone.com/ENVIRONMENT-ID/as",
		Make: map[Protocol]string{
			OIDC: "Applications › + › OIDC Web App",
			SAML: "Applications › + › SAML Application",
		},
		Match: map[Protocol]Match{
			OIDC: {Claim: "sub", Attribute: ExternalID}, SAML: {Claim: "nameid", Attribute: UserName},
		},
		Groups: map[Protocol]string{OIDC: "groups", SAML: "groups"},
		Places: map[Term]string{
			TermRedirect: "Applications › the application › Configuration › Redirect URIs",
			TermIssuer:   "Applications › the application › Overview › Connection Details › Issuer ID",
			TermClient:   "Applications › the application › Overview › Client ID",
			TermSecret:   "Applications › the application › Overview › Client Secret",
			TermPublic:   "Applications › the application › Configuration › Token Endpoint Authentication Method › Private Key JWT › JWKS URL",
			TermLogout:   "Applications › the application › Configuration › Signoff URLs",
			TermSAML:     "Applications › the application › Configuration › SAML Settings: ACS URLs, Entity ID",
			TermMetadata: "Applications › the application › Configuration › Connection Details › IDP Metadata URL",
			TermNameID:   "Applications › the application › Attribute Mappings › saml_subject",
			TermClaims:   "Applications › the application › Attribute Mappings",
			TermGroups:   "Applications › the application › Attribute Mappings: Group Names",
			TermMapping:  "Integrations › Provisioning › the connection › Attribute Mapping",
			TermAssign:   "Applications › the application › Access",
			TermLog:      "Monitoring › Audit",
		},
	},
	{
		ID: "keycloak", Name: "Keycloak", Issuer: "https://YOUR-HOST/realms/REALM",
		Make: map[Protocol]string{
			OIDC: "Clients › Create client, with Client type OpenID Connect; on its second page Client authentication on, and Standard flow",
			SAML: "Clients › Import client, with the file of “Our metadata” as resource file. The file is there once step 2 is saved, so begin with step 2",
		},
		Match: map[Protocol]Match{
			OIDC: {Claim: "sub", Attribute: ExternalID}, SAML: {Claim: "nameid", Attribute: UserName},
		},
		Groups: map[Protocol]string{OIDC: "groups", SAML: "groups"},
		Places: map[Term]string{
			TermRedirect: "Clients › the client › Settings › Access settings › Valid redirect URIs",
			TermIssuer:   "Realm settings › General › Endpoints › OpenID Endpoint Configuration: what stands there as “issuer”",
			TermClient:   "Clients › the client › Settings › General settings › Client ID, the one that you chose",
			TermSecret:   "Clients › the client › Credentials › Client Secret; the tab is there while Client authentication is on",
			TermPublic:   "Clients › the client › Keys › Use JWKS URL, with Credentials › Client Authenticator › Signed JWT",
			TermLogout:   "Clients › the client › Settings › Access settings › Valid post logout redirect URIs",
			TermBack:     "Clients › the client › Settings › Logout settings › Backchannel logout URL; it shows when Front channel logout is off",
			TermImport:   "Clients › Import client › Resource file",
			TermSAML:     "Clients › the client › Settings: the entity id is its Client ID, and the assertion consumer URL stands in Valid redirect URIs; the import enters both",
			TermMetadata: "Realm settings › General › Endpoints › SAML 2.0 Identity Provider Metadata",
			TermNameID:   "Clients › the client › Settings › SAML capabilities › Name ID format (email, where addresses are pushed as user names) and Force name ID format",
			TermClaims:   "Clients › the client › Client scopes › the scope whose name ends in -dedicated › Configure a new mapper",
			TermAttrs:    "Clients › the client › Client scopes › the scope whose name ends in -dedicated › Add predefined mapper: X500 email, X500 givenName and X500 surname",
			TermGroups:   "Clients › the client › Client scopes › the scope whose name ends in -dedicated › Configure a new mapper › Group Membership (SAML: Group list), named groups and with Full group path off",
			TermMapping:  "the extension that pushes by SCIM decides",
			TermAssign:   "Clients › the client › Authorization, or the authentication flow's conditions",
			TermLog:      "Events › User events, which Realm settings › Events › User events settings › Save events keeps; and the server's log",
			TermVerified: "Users › the person › Email verified",
			TermSigning:  "Clients › the client › Settings › Signature and Encryption › Sign assertions",
		},
		Errors: []ProviderError{
			{"Invalid parameter: redirect_uri", "Valid redirect URIs does not hold the redirect URI."},
			{"Client not found", "The client id is not that of a client of this realm."},
			{"Invalid requester", "Client signature required is on, and the client holds another certificate than ours."},
		},
	},
	{
		ID: "adfs", Name: "Microsoft AD FS", Issuer: "https://YOUR-HOST/adfs",
		Make: map[Protocol]string{
			OIDC: "Application Groups › Add Application Group › Server application",
			SAML: "Relying Party Trusts › Add Relying Party Trust › Claims aware",
		},
		Match: map[Protocol]Match{
			OIDC: {Claim: "upn", Attribute: UserName}, SAML: {Claim: "nameid", Attribute: UserName},
		},
		Places: map[Term]string{
			TermRedirect: "Application Groups › the group › Server application › Redirect URI",
			TermIssuer:   "https://YOUR-HOST/adfs; its discovery has the exact text",
			TermClient:   "Application Groups › the group › Server application › Client Identifier",
			TermSecret:   "Application Groups › the group › Server application › Configure Application Credentials",
			TermSAML:     "Relying Party Trusts › Add Relying Party Trust › Import data from the metadata address",
			TermMetadata: "https://YOUR-HOST/FederationMetadata/2007-06/FederationMetadata.xml",
			TermNameID:   "Relying Party Trusts › the trust › Edit Claim Issuance Policy: Transform an Incoming Claim to Name ID",
			TermClaims:   "Relying Party Trusts › the trust › Edit Claim Issuance Policy",
			TermGroups:   "Relying Party Trusts › the trust › Edit Claim Issuance Policy: Token-Groups",
			TermAssign:   "Relying Party Trusts › the trust › Edit Access Control Policy",
			TermLog:      "Event Viewer › AD FS › Admin, by the activity id on its error page",
			TermSigning:  "Relying Party Trusts › the trust › Properties › Advanced: SHA-256",
		},
		Errors: []ProviderError{
			{"MSIS7070", "AD FS cannot give the NameID format that is asked for: ask for any, or issue that one."},
			{"MSIS9224", "The redirect URI is not entered at AD FS."},
		},
	},
	{
		ID: GenericProvider, Name: "the identity provider",
		Match: map[Protocol]Match{
			OIDC: {Claim: "sub", Attribute: ExternalID}, SAML: {Claim: "nameid", Attribute: UserName},
		},
		Places: map[Term]string{
			TermRedirect: "the client's redirect URIs", TermIssuer: "the issuer of its discovery document, letter by letter",
			TermClient: "the client's id", TermSecret: "the client's secret", TermPublic: "the client's key set (jwks_uri)",
			TermLogout: "the client's post-logout redirect URIs", TermBack: "the client's back-channel logout URL, or single logout URL",
			TermSAML:     "the service provider's entity id and assertion consumer service",
			TermMetadata: "the provider's metadata address", TermNameID: "the format and value of the NameID",
			TermClaims: "the claims or attributes the client gets", TermGroups: "the claim that carries groups",
			TermMapping: "the mapping of SCIM attributes", TermAssign: "who may use the application",
			TermLog: "the provider's own log", TermVerified: "how it verifies addresses (email_verified)",
			TermTenant: "its id of your organization", TermSigning: "what it signs, and how",
		},
	},
}

// ProviderNamed gives the provider of an id, or the generic one.
func ProviderNamed(name string) Provider {
	i := slices.IndexFunc(Providers, func(p Provider) bool { return p.ID == name })
	if i < 0 {
		i = len(Providers) - 1
	}
	return Providers[i]
}

// Place says where a term is found, or "".
func (p Provider) Place(t Term) string { return p.Places[t] }

// hosts tells providers by the address they are reached at.
var hosts = []struct{ ID, Suffix string }{
	{"entra", "login.microsoftonline.com"},
	{"entra", "login.microsoftonline.us"},
	{"entra", "login.partner.microsoftonline.cn"},
	{"entra", "sts.windows.net"},
	{"okta", ".okta.com"},
	{"okta", ".oktapreview.com"},
	{"okta", ".okta-emea.com"},
	{"google", "accounts.google.com"},
	{"onelogin", ".onelogin.com"},
	{"jumpcloud", ".jumpcloud.com"},
	{"ping", ".pingone.com"},
	{"ping", ".pingone.eu"},
	{"ping", ".pingone.ca"},
	{"ping", ".pingone.asia"},
}

var entityAddress = regexp.MustCompile(`entityID="([^"]{1,512})"`)

// ProviderOf recognizes a connection's provider by what was chosen, by its address, else by the dialect of its directory: for words
// and presets alone, never for a decision.
func ProviderOf(c Connection, dialect string) Provider {
	if c.Settings.Preset != "" {
		return ProviderNamed(c.Settings.Preset)
	}
	address := c.Settings.Issuer
	if c.Protocol == SAML {
		address = c.Settings.Metadata
		if found := entityAddress.FindStringSubmatch(address); strings.HasPrefix(address, "<") && found != nil {
			address = found[1]
		}
	}
	if u, err := url.Parse(address); err == nil {
		for _, h := range hosts {
			if u.Hostname() == h.Suffix || strings.HasPrefix(h.Suffix, ".") && strings.HasSuffix(u.Hostname(), h.Suffix) {
				return ProviderNamed(h.ID)
			}
		}
		switch {
		case strings.Contains(u.Path, "/realms/"):
			return ProviderNamed("keycloak")
		case strings.HasPrefix(u.Path, "/adfs"), strings.HasPrefix(u.Path, "/FederationMetadata/"):
			return ProviderNamed("adfs")
		}
	}
	return ProviderNamed(dialect)
}

// presetFor is the match of a connection that declares none.
func presetFor(c Connection, d Directory) Match {
	p := ProviderOf(c, d.Dialect)
	if c.Protocol == SAML {
		return p.Match[SAML]
	}
	return p.Match[OIDC]
}

func presets() (names []string) {
	for _, p := range Providers {
		names = append(names, p.ID)
	}
	return names
}

// Warnings are what an administrator ought to know about settings that are allowed: each is a way in which they have surprised others.
func Warnings(c Connection, directory *Directory) []string {
	dialect := ""
	if directory != nil {
		dialect = directory.Dialect
	}
	p, s := ProviderOf(c, dialect), c.Settings
	var out []string
	if preset, known := p.Match[c.Protocol]; known && directory != nil && p.ID != GenericProvider && s.Match != preset {
		out = append(out, p.Name+" usually matches "+preset.Claim+" with "+string(preset.Attribute)+", and this connection matches "+
			s.Match.Claim+" with "+string(s.Match.Attribute)+".")
	}
	switch {
	case p.ID == "entra" && c.Protocol == OIDC && s.Match.Claim == "sub":
		out = append(out, "Entra's sub differs for each application and is pushed nowhere, so it matches nobody. Use oid.")
	case p.ID == "entra" && (s.Match.Claim == "upn" || s.Match.Claim == "preferred_username"):
		out = append(out, "Entra's names are changed and given to others. Use oid, which never is.")
	case p.ID == "google" && c.Protocol == OIDC && s.HostedDomain == "":
		out = append(out, "Without a hosted domain, anybody with a Google account is taken for one of your people as far as the address allows.")
	}
	if s.Match.Claim == "email" {
		out = append(out, "An address as the key: who gets a leaver's address upstream gets their account here. A lasting id is safer.")
	}
	if c.Protocol == OIDC && c.Directory == "" && !s.JustInTime() {
		out = append(out, "Without a directory and without just in time, nobody new can come in.")
	}
	if s.JustInTime() && len(s.Domains) == 0 {
		out = append(out, "Just in time only makes accounts for addresses in proven domains, and no domain leads to this connection.")
	}
	return append(out, p.Warn...)
}

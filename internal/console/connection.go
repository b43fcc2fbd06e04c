package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// CheckDomain asks a claimed domain's zone for its proof now.
type CheckDomain func(ctx context.Context, actor audit.Actor, org id.Organization, domain string) (store.DomainClaim, error)

// mountConnections adds the pages of the ways to sign in: what is set, test sign-ins, and the domains that lead to them.
func (c *Console) mountConnections(r chi.Router) {
	r.Get("/connections", c.view("connections", "Connections", c.connectionList))
	r.Post("/connections", c.show(c.makeConnection))
	r.Get("/connections/new", c.view("connections", "New connection", c.newConnection))
	r.Get("/connections/{connection}", c.view("connections", "Connection", c.connection))
	r.Post("/connections/{connection}", c.show(c.changeConnection))
	r.Get("/connections/{connection}/edit", c.view("connections", "Change connection", c.editConnection))
	r.Post("/connections/{connection}/test", c.show(c.beginTest))
	r.Get("/connections/{connection}/tests/{test}", c.view("connections", "Test sign-in", c.test))
	r.Get("/connections/{connection}/do/{act}", c.view("connections", "Connection", c.confirmConnection))
	r.Post("/connections/{connection}/do/{act}", c.change(c.doConnection))
	r.Get("/domains", c.view("domains", "Domains", c.domains))
	r.Post("/domains", c.show(c.claimDomain))
	r.Post("/domains/{domain}/check", c.show(c.checkDomain))
	r.Get("/domains/{domain}/release", c.view("domains", "Release", c.releaseDomainDialog))
	r.Post("/domains/{domain}/release", c.show(c.releaseDomain))
}

// oneConnection is what every page about a connection shows.
type oneConnection struct {
	*frame
	store.ManagedConnection
	Provider      connection.Provider
	DirectoryName string
	Dialect       string
	Warnings      []string
	Ours          []ourValue
	Passed        when // the latest test that counts
	Tests         []testLine
}

func (o oneConnection) at(path string) templ.SafeURL {
	to := "connections/" + string(o.ID)
	if path != "" {
		to += "/" + path
	}
	return o.frame.at(to)
}

// state is a connection's state as a badge.
func (o oneConnection) state() (tone, icon, text string) {
	switch {
	case o.Settings.Draft:
		return "info", "pause", "Draft"
	case o.Settings.Disabled:
		return "plain", "pause", "Off"
	}
	return "ok", "check", "On"
}

func (o oneConnection) domainList() string { return strings.Join(o.Settings.Domains, ", ") }

// ourValue is an address or a name of ours, that the provider's administrator enters, and where.
type ourValue struct {
	Name, Value, Where string
	Said               string // instead of a value: what is chosen there
	Optional           bool   // not every provider has a field for it
	File               bool   // its value is the address of a document, which is there once the connection is
}

// oursAt lists what is entered at a provider. It is what a page of the console and one for somebody without an account show alike.
func oursAt(base string, org id.Organization, c id.Connection, protocol connection.Protocol, p connection.Provider, s connection.Settings) []ourValue {
	at := base + "/sso/" + url.PathEscape(string(org)) + "/" + url.PathEscape(string(c))
	if protocol == connection.SAML {
		return []ourValue{
			{Name: "Our metadata", Value: at + "/metadata", Where: p.Place(connection.TermImport), File: true},
			{Name: "Entity ID (Audience, Identifier)", Value: at + "/metadata", Where: p.Place(connection.TermSAML)},
			{Name: "Assertion consumer service URL (Reply URL)", Value: at + "/acs"},
			{Name: "Single logout URL", Value: at + "/slo", Optional: true},
			{
				Name: "Name ID", Where: p.Place(connection.TermNameID),
				Said: "Something that never changes for a person. Where a directory pushes people, what it pushes as their user name.",
			},
			{
				Name: "Attributes", Where: either(p.Place(connection.TermAttrs), p.Place(connection.TermClaims)),
				Said: "The address as email, the names as givenName and sn. Other usual names are understood.",
			},
		}
	}
	out := []ourValue{{Name: "Redirect URI", Value: at + "/callback", Where: p.Place(connection.TermRedirect)}}
	if s.AuthMethod == connection.PrivateKey {
		out = append(out, ourValue{Name: "Our key set (jwks_uri)", Value: at + "/jwks", Where: p.Place(connection.TermPublic)})
	}
	return append(out,
		ourValue{Name: "Post-logout redirect URI", Value: at + "/left", Where: p.Place(connection.TermLogout), Optional: true},
		ourValue{Name: "Back-channel logout URI", Value: at + "/backchannel-logout", Where: p.Place(connection.TermBack), Optional: true},
	)
}

// testLine is a test sign-in in a list.
type testLine struct {
	ID      id.Attempt
	By      string
	Started when
	Said    string
	Tone    string
	Icon    string
	Current bool // of the settings as they are
}

func testLineOf(v *visit, t *connection.Test, version int64) testLine {
	l := testLine{ID: t.ID, By: t.TesterName, Started: v.when(t.Started, ""), Current: t.Version == version, Tone: "plain", Icon: "clock", Said: "Not finished"}
	switch {
	case !t.Passed.IsZero():
		l.Tone, l.Icon, l.Said = "ok", "check", "Passed"
	case !t.Finished.IsZero():
		l.Tone, l.Icon, l.Said = "bad", "stop", "Failed"
	}
	return l
}

// describe completes a connection for its pages.
func (c *Console) describe(v *visit, tx *store.Tx, m store.ManagedConnection) (oneConnection, error) {
	o := oneConnection{frame: v.frame, ManagedConnection: m, Passed: v.when(time.Time{}, "Never")}
	var dir *connection.Directory
	if m.Directory != "" {
		d, err := tx.Directory(v.ctx, m.Directory)
		if err != nil {
			return o, err
		}
		o.DirectoryName, o.Dialect = d.Name, d.Dialect
		dir = &connection.Directory{ID: d.ID, Dialect: d.Dialect, Key: connection.Attribute(d.Key)}
	}
	o.Provider = connection.ProviderOf(m.Connection, o.Dialect)
	o.Warnings = connection.Warnings(m.Connection, dir)
	o.Ours = oursAt(c.URL, tx.Organization, m.ID, m.Protocol, o.Provider, m.Settings)
	passed, found, err := tx.PassedTest(v.ctx, m.ID, "")
	if err != nil {
		return o, err
	}
	if found {
		o.Passed = v.when(passed.Passed, "Never")
	}
	return o, nil
}

func (c *Console) connectionOf(v *visit, tx *store.Tx) (oneConnection, error) {
	v.section = "connections"
	if err := v.setsUp(); err != nil {
		return oneConnection{}, err
	}
	m, err := tx.ManagedConnection(v.ctx, id.Connection(chi.URLParam(v.r, "connection")))
	if err != nil {
		return oneConnection{}, err
	}
	v.title = m.Name
	return c.describe(v, tx, m)
}

type connectionList struct {
	*frame
	List []oneConnection
}

func (c *Console) connectionList(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.setsUp(); err != nil {
		return nil, err
	}
	all, err := tx.ManagedConnections(v.ctx)
	if err != nil {
		return nil, err
	}
	l := connectionList{frame: v.frame}
	for _, m := range all {
		o, err := c.describe(v, tx, m)
		if err != nil {
			return nil, err
		}
		l.List = append(l.List, o)
	}
	return connectionListPage(l), nil
}

func (c *Console) connection(v *visit, tx *store.Tx) (templ.Component, error) {
	o, err := c.connectionOf(v, tx)
	if err != nil {
		return nil, err
	}
	tests, err := tx.Tests(v.ctx, o.ID, 10)
	if err != nil {
		return nil, err
	}
	for i := range tests {
		o.Tests = append(o.Tests, testLineOf(v, &tests[i], o.Version))
	}
	return connectionPage(o), nil
}

// connectionForm is what the fields of a connection hold while they are filled in. It knows nothing of who fills them in, so that a
// page for somebody without an account uses the same fields.
type connectionForm struct {
	New         bool
	Provider    connection.Provider
	Connection  connection.Connection
	Version     int64
	Directories []directory.Directory
	Proven      []string
	HasSecret   bool
	Wrong       map[string]string // by field of the file
	Said        string            // what is wrong with the whole
}

func (f connectionForm) saml() bool { return f.Connection.Protocol == connection.SAML }

func (f connectionForm) wrong(field string) string { return f.Wrong[field] }

func (f connectionForm) list(values []string) string { return strings.Join(values, " ") }

func (f connectionForm) hint(t connection.Term, said string) string {
	where := f.Provider.Place(t)
	switch {
	case where == "":
		return said
	case said == "":
		return "In " + f.Provider.Name + ": " + where + "."
	}
	return said + " In " + f.Provider.Name + ": " + where + "."
}

// issuerForm is what an issuer of the provider looks like.
func (f connectionForm) issuerForm() string {
	if f.Provider.Issuer == "" {
		return ""
	}
	return "It looks like " + f.Provider.Issuer + "."
}

// readConnection reads the fields into a connection.
func readConnection(form url.Values, c *connection.Connection) {
	text := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	words := func(name string) []string {
		var out []string
		for _, w := range strings.FieldsFunc(form.Get(name), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\r' || r == '\t' }) {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
		return out
	}
	c.Name, c.Directory = either(text("name"), c.Name), id.Directory(text("directory"))
	s := &c.Settings
	s.Domains = form["domains"]
	s.Match = connection.Match{}
	if c.Directory != "" {
		s.Match = connection.Match{Claim: text("match.claim"), Attribute: connection.Attribute(text("match.attribute"))}
	}
	s.Provisioning = connection.DirectoryOnly
	if form.Get("just_in_time") != "" {
		s.Provisioning = connection.JustInTime
	}
	s.GroupsClaim, s.UpstreamLogout, s.ACRValues = text("groups_claim"), form.Get("upstream_logout") != "", words("acr_values")
	if c.Protocol == connection.SAML {
		s.Metadata = text("metadata")
		return
	}
	s.Issuer, s.ClientID, s.AuthMethod, s.Scopes = text("issuer"), text("client_id"), text("auth_method"), words("scopes")
	s.ClientSecretExpires = text("client_secret_expires")
	s.HostedDomain, s.Tenant, s.Algorithms = text("hosted_domain"), text("tenant"), words("algorithms")
}

// startConnection is a new connection as a provider's preset has it.
func startConnection(p connection.Provider, protocol connection.Protocol) connection.Connection {
	c := connection.Connection{Protocol: protocol, Name: p.Name, Settings: connection.Settings{
		Preset: p.ID, Match: p.Match[protocol], GroupsClaim: p.Groups[protocol], Provisioning: connection.DirectoryOnly,
	}}
	if protocol == connection.OIDC {
		c.Settings.Scopes = []string{"openid", "email", "profile"}
	}
	return c
}

type connectionEdit struct {
	*frame
	connectionForm
}

func (c *Console) fillForm(v *visit, tx *store.Tx, f *connectionForm) error {
	var err error
	if f.Directories, err = tx.Directories(v.ctx); err != nil {
		return err
	}
	all, err := tx.Domains(v.ctx)
	for _, d := range all {
		if d.State() == "proven" || d.State() == "failing" {
			f.Proven = append(f.Proven, d.Domain)
		}
	}
	return err
}

func (c *Console) newConnection(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.setsUp(); err != nil {
		return nil, err
	}
	protocol := connection.Protocol(v.query("protocol"))
	if protocol != connection.OIDC && protocol != connection.SAML {
		return chooseProviderPage(v.frame), nil
	}
	p := connection.ProviderNamed(v.query("provider"))
	e := connectionEdit{v.frame, connectionForm{New: true, Provider: p, Connection: startConnection(p, protocol)}}
	if err := c.fillForm(v, tx, &e.connectionForm); err != nil {
		return nil, err
	}
	if len(e.Directories) == 1 {
		e.Connection.Directory = e.Directories[0].ID
	}
	v.title = "New connection to " + p.Name
	return connectionEditPage(e), nil
}

func (c *Console) editConnection(v *visit, tx *store.Tx) (templ.Component, error) {
	o, err := c.connectionOf(v, tx)
	if err != nil {
		return nil, err
	}
	e := connectionEdit{v.frame, connectionForm{
		Provider: o.Provider, Connection: o.Connection, Version: o.Version, HasSecret: o.Settings.ClientSecret != "",
	}}
	v.title = "Change " + o.Name
	return connectionEditPage(e), c.fillForm(v, tx, &e.connectionForm)
}

// saveConnection is what making and changing have in common. A secret is sealed before it is kept, and shown by no page again.
func (c *Console) saveConnection(w http.ResponseWriter, r *http.Request, made bool) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "connections", "Connection")
	if err != nil {
		return redirected(w, r, err)
	}
	e := connectionEdit{v.frame, connectionForm{New: made}}
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		if err := v.setsUp(); err != nil {
			return err
		}
		if made {
			p := connection.ProviderNamed(v.form("provider"))
			protocol := connection.OIDC
			if v.form("protocol") == string(connection.SAML) {
				protocol = connection.SAML
			}
			e.Provider, e.Connection = p, startConnection(p, protocol)
			e.Connection.ID, e.Connection.Organization = id.Connection(strings.TrimSpace(v.form("id"))), tx.Organization
		} else {
			o, err := c.connectionOf(v, tx)
			if err != nil {
				return err
			}
			e.Provider, e.Connection, e.HasSecret = o.Provider, o.Connection, o.Settings.ClientSecret != ""
			e.Version, _ = strconv.ParseInt(v.form("version"), 10, 64)
		}
		if err := c.fillForm(v, tx, &e.connectionForm); err != nil {
			return err
		}
		readConnection(r.PostForm, &e.Connection)
		kept := e.Connection
		kept.Settings.ClientSecret = ""
		if secret := strings.TrimSpace(v.form("client_secret")); secret != "" {
			kept.Settings.ClientSecret = c.DB.Keys.Seal(connection.SecretPlace(tx.Organization, kept.ID), []byte(secret))
		}
		if made {
			return tx.MakeConnection(v.ctx, v.viewer.actor, kept)
		}
		return tx.ChangeConnection(v.ctx, v.viewer.actor, kept, e.Version)
	})
	if err != nil {
		// Nothing was saved; what was entered stays on the page, but for the secret.
		if f := fault.As(err); f != nil && e.Connection.Protocol != "" && (f.Kind == fault.Invalid || f.Kind == fault.Conflict) {
			status, failure := page.FailureOf(err)
			e.Said, e.Wrong = failure.Said, map[string]string{}
			for _, field := range f.Fields {
				e.Wrong[field.Path] = field.Message
			}
			v.title = "Change " + either(e.Connection.Name, "the connection")
			if made {
				v.title = "New connection to " + e.Provider.Name
			}
			return page.Render(w, r, status, connectionEditPage(e))
		}
		return c.refusedChange(v, err)
	}
	said := e.Connection.Name + " is saved. What was tested before counts no longer: test it again."
	if made {
		said = e.Connection.Name + " is kept as a draft. Enter the values at the provider, then test it."
	}
	c.setFlash(w, said)
	http.Redirect(w, r, string(v.at("connections/"+string(e.Connection.ID))), http.StatusSeeOther)
	return nil
}

func (c *Console) makeConnection(w http.ResponseWriter, r *http.Request) error {
	return c.saveConnection(w, r, true)
}

func (c *Console) changeConnection(w http.ResponseWriter, r *http.Request) error {
	return c.saveConnection(w, r, false)
}

// connectionAct is something done to a whole connection, after asking.
type connectionAct struct {
	oneConnection
	Act     string
	Heading string
	Follows []string
	Button  string
	Danger  bool
	Blocked string
}

func (o oneConnection) act(name string) (connectionAct, error) {
	a := connectionAct{oneConnection: o, Act: name}
	if o.Declared {
		a.Blocked = "It is declared in the operator's file, and changed there."
	}
	switch name {
	case "open":
		a.Heading, a.Button = "Let people sign in through "+o.Name+"?", "Open"
		a.Follows = []string{"People whose address leads here are sent to " + o.Provider.Name + " from now on."}
		if o.Settings.Draft && o.Passed.zero() {
			a.Blocked = "Nobody has passed a test sign-in with these settings yet. Pass one first."
		}
	case "close":
		a.Heading, a.Button, a.Danger = "Switch "+o.Name+" off?", "Switch off", true
		a.Follows = []string{"Nobody new signs in through it. Who is signed in stays so until their session ends.", "It can be switched on again at any time."}
	case "delete":
		a.Heading, a.Button, a.Danger = "Delete "+o.Name+"?", "Delete", true
		a.Follows = []string{"Its settings, its secret and its test sign-ins go.", "People keep their accounts; that they signed in through it counts no longer."}
		if !o.Settings.Closed() {
			a.Blocked = "People sign in through it. Switch it off first."
		}
	default:
		return a, fault.New(fault.NotFound, "There is nothing of this name to do with a connection.")
	}
	return a, nil
}

func (c *Console) confirmConnection(v *visit, tx *store.Tx) (templ.Component, error) {
	o, err := c.connectionOf(v, tx)
	if err != nil {
		return nil, err
	}
	a, err := o.act(chi.URLParam(v.r, "act"))
	return confirmConnectionPage(a), err
}

func (c *Console) doConnection(v *visit, tx *store.Tx) (string, string, error) {
	o, err := c.connectionOf(v, tx)
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	switch chi.URLParam(v.r, "act") {
	case "open":
		return "People sign in through " + o.Name + " from now on.", string(o.at("")), tx.OpenConnection(v.ctx, v.viewer.actor, o.ID)
	case "close":
		return o.Name + " is off.", string(o.at("")), tx.CloseConnection(v.ctx, v.viewer.actor, o.ID, reason)
	case "delete":
		return o.Name + " is deleted.", string(v.at("connections")), tx.DeleteConnection(v.ctx, v.viewer.actor, o.ID, reason)
	}
	return "", "", fault.New(fault.NotFound, "There is nothing of this name to do with a connection.")
}

// beginTest sends this browser through the connection.
func (c *Console) beginTest(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visit(w, r, "connections", "Test sign-in")
	if err != nil {
		return redirected(w, r, err)
	}
	browser, cookie := c.cookies().EnsureBrowser(r)
	var attempt id.Attempt
	err = c.DB.System().Write(v.ctx, func(tx *store.SystemTx) error {
		in := tx.In(organizationOf(r))
		if err := v.again(in); err != nil {
			return err
		}
		o, err := c.connectionOf(v, in)
		if err != nil {
			return err
		}
		attempt, err = tx.BeginTest(v.ctx, in.Organization, o.ID, browser, string(o.at("tests/")), v.viewer.actor)
		return err
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	if cookie != nil {
		http.SetCookie(w, cookie)
	}
	http.Redirect(w, r, string(v.at("connections/"+chi.URLParam(r, "connection")+"/tests/"+string(attempt))), http.StatusSeeOther)
	return nil
}

// testPage is a test sign-in with its report.
type testReport struct {
	oneConnection
	Test    connection.Test
	Line    testLine
	Own     bool   // the viewer started it
	Next    string // where it goes on while it is not finished
	Said    string
	Tone    string
	Means   string // of the finding
	Unknown bool
}

func (c *Console) test(v *visit, tx *store.Tx) (templ.Component, error) {
	o, err := c.connectionOf(v, tx)
	if err != nil {
		return nil, err
	}
	t, err := tx.Test(v.ctx, id.Attempt(chi.URLParam(v.r, "test")))
	if err != nil {
		return nil, err
	}
	if t.Connection != o.ID {
		return nil, fault.New(fault.NotFound, "This connection has no such test sign-in.")
	}
	v.title = "Test sign-in through " + o.Name
	out := testReport{
		oneConnection: o, Test: t, Line: testLineOf(v, &t, o.Version), Own: t.Tester == v.viewer.actor.ID,
		Next: "/signin?" + url.Values{"attempt": {string(t.ID)}}.Encode(),
	}
	switch {
	case t.Finished.IsZero():
		out.Tone, out.Said = "info", "Sign in at "+o.Provider.Name+" as one of the people would. You come back here, and are signed in as nobody."
	case !t.Passed.IsZero() && out.Line.Current:
		out.Tone, out.Said = "ok", "It works: "+either(t.Report.User, "a new user")+" would be signed in."
		if o.Settings.Draft {
			out.Said += " The connection can be opened now."
		}
	case !t.Passed.IsZero():
		out.Tone, out.Said = "warn", "It worked, with settings that were changed since. Test again."
	case t.Report.Passed():
		out.Tone, out.Said = "warn", "It worked, but the settings were changed while it ran. Test again."
	default:
		out.Tone, out.Said = "bad", "It does not work yet. What failed stands below, with what to do."
	}
	return testPage(out), nil
}

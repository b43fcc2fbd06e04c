package console

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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

// What a setup link opens, to whoever holds it and without an account.
//
//	request                          purpose      does
//	-------------------------------  -----------  -----------------------------------------------------------------
//	GET  …/open/{token}              any          keeps the token in a cookie of this link and leads on: it stands in no later address
//	GET  …/                          any          the steps and what is done; POST …/finish uses the link up
//	…/domain, …/domain/{d}/check     domain       claims a domain, shows its record, looks for it
//	…/scim, …/scim/token             scim         base URL, a token shown once, the requests that came with it
//	…/sso, …/sso/new, edit, drop     sso          provider, our values, theirs
//	…/sso/test, tests/{t}, open      sso          the test sign-in with its report; opens the connection where the link may
//	…/certificate, ask               certificate  compares and approves what a SAML provider publishes
//	…/certificate/new, retire        certificate  takes a certificate of one that publishes nothing; ends the old one
//
// Each request reads the link anew in its own transaction, by the cookie's token, and asks whether it is for this: an expired or revoked
// link ends between two pages. What it reaches is what stands in its row, never what a form or an address names.
func (c *Console) mountSetupGuide(r chi.Router) {
	r.Route("/setup-link/{organization}/{link}", func(r chi.Router) {
		r.Get("/open/{token}", c.show(c.openSetupLink))
		r.Get("/", c.guide("", c.setupSteps))
		r.Post("/finish", c.show(c.finishSetup))
		r.Get("/domain", c.guide(connection.SetUpDomain, c.setupDomains))
		r.Post("/domain", c.show(c.claimSetupDomain))
		r.Post("/domain/{domain}/check", c.show(c.checkSetupDomain))
		r.Get("/scim", c.guide(connection.SetUpSCIM, c.setupSCIM))
		r.Post("/scim/token", c.show(c.makeSetupToken))
		r.Get("/sso", c.guide(connection.SetUpSSO, c.setupSSO))
		r.Get("/sso/new", c.guide(connection.SetUpSSO, c.newSetupSSO))
		r.Get("/sso/edit", c.guide(connection.SetUpSSO, c.editSetupSSO))
		r.Post("/sso", c.show(c.saveSetupSSO))
		r.Post("/sso/drop", c.guideChange(connection.SetUpSSO, func(g *guide, tx *store.Tx) (string, error) {
			return "sso", tx.DropSetupConnection(g.ctx, g.actor, &g.Link)
		}))
		r.Post("/sso/open", c.guideChange(connection.SetUpSSO, func(g *guide, tx *store.Tx) (string, error) {
			return "", tx.OpenSetupConnection(g.ctx, g.actor, &g.Link)
		}))
		r.Post("/sso/test", c.show(c.beginSetupTest))
		r.Get("/sso/tests/{test}", c.guide(connection.SetUpSSO, c.setupTest))
		r.Get("/certificate", c.guide(connection.SetUpCertificate, c.setupCertificate))
		r.Post("/certificate/ask", c.show(c.askSetupMetadata))
		r.Post("/certificate/new", c.show(c.handInCertificate))
		r.Post("/certificate/retire", c.guideChange(connection.SetUpCertificate, func(g *guide, tx *store.Tx) (string, error) {
			if g.form("sure") == "" {
				return "", fault.New(fault.Invalid, "Say that your provider signs with another certificate now: without the right one nobody could sign in.")
			}
			return "certificate", tx.RetireSAMLCertificate(g.ctx, g.actor, &g.Link, g.form("fingerprint"))
		}))
		r.Post("/certificate", c.guideChange(connection.SetUpCertificate, func(g *guide, tx *store.Tx) (string, error) {
			return "certificate", tx.SetupCertificate(g.ctx, g.actor, &g.Link, g.form("fingerprint"))
		}))
		r.NotFound(c.show(func(http.ResponseWriter, *http.Request) error {
			return fault.New(fault.NotFound, "There is no page at this address.")
		}))
	})
}

// guide is one request of a link's holder. It has no viewer: nothing of the console is within its reach.
type guide struct {
	*visit
	Link  store.SetupLink
	actor audit.Actor
}

func (g *guide) here(path string, query ...string) templ.SafeURL {
	to := store.SetupPath(organizationOf(g.r), id.SetupLink(chi.URLParam(g.r, "link")))
	if path != "" {
		to += "/" + path
	}
	if len(query) > 0 {
		v := url.Values{}
		for i := 0; i+1 < len(query); i += 2 {
			v.Set(query[i], query[i+1])
		}
		to += "?" + v.Encode()
	}
	return templ.URL(to)
}

func (c *Console) newGuide(w http.ResponseWriter, r *http.Request, title string) *guide {
	return &guide{visit: &visit{frame: &frame{title: title, now: c.DB.Now()}, c: c, w: w, r: r, ctx: r.Context()}}
}

// enter lets the holder of the link in, or says why not.
func (g *guide) enter(tx *store.Tx, p connection.SetupPurpose, change bool) error {
	link := id.SetupLink(chi.URLParam(g.r, "link"))
	var err error
	if g.Link, err = tx.SetupLinkBy(g.ctx, link, g.c.cookies().SetupToken(g.r, link), change); err != nil {
		return err
	}
	if g.organization, err = tx.Self(g.ctx); err != nil {
		return err
	}
	g.now, g.actor = tx.Now(), g.Link.Actor(tx.Organization, g.c.from(g.r))
	if p != "" && !g.Link.For(p) {
		return fault.New(fault.Forbidden, "This setup link is for %s, and not for this.", connection.SetupWords(g.Link.Purposes)).
			WithCode(string(connection.CodeSetupScope))
	}
	return nil
}

// refused says why a link opens nothing or why something was not done, with the way back to the steps where there is one.
func (g *guide) refused(err error) error {
	status, f := page.FailureOf(err)
	if status >= http.StatusInternalServerError {
		return err
	}
	switch fault.KindOf(err) {
	case fault.Gone:
		f.Title = "This setup link is over"
	case fault.NotFound:
		f.Do = ""
	default:
		f.Back, f.Where = string(g.here("")), "Back to the steps"
		if fault.KindOf(err) == fault.Forbidden {
			f.Title, f.Do = "This link is not for that", "Whoever sent it can make another, for more."
		}
	}
	page.RefuseWith(g.w, g.r, g.c.Log, status, f)
	return nil
}

func knownOrganization(r *http.Request) error {
	if !id.Declared(string(organizationOf(r))) {
		return fault.New(fault.NotFound, "This setup link is not whole. Copy all of it from the letter.")
	}
	return nil
}

// guide makes a page for a link's holder.
func (c *Console) guide(p connection.SetupPurpose, read func(g *guide, tx *store.Tx) (templ.Component, error)) http.HandlerFunc {
	return c.show(func(w http.ResponseWriter, r *http.Request) error {
		g := c.newGuide(w, r, "Setup")
		var body templ.Component
		err := knownOrganization(r)
		if err == nil {
			err = c.DB.Read(g.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
				if err = g.enter(tx, p, false); err == nil {
					body, err = read(g, tx)
				}
				return err
			})
		}
		if err != nil {
			return g.refused(err)
		}
		return page.Render(w, r, http.StatusOK, body)
	})
}

// changes runs one change of a link's holder in one transaction.
func (g *guide) changes(p connection.SetupPurpose, do func(tx *store.Tx) error) error {
	if err := knownOrganization(g.r); err != nil {
		return err
	}
	return g.c.DB.Write(g.ctx, organizationOf(g.r), func(tx *store.Tx) error {
		if err := g.enter(tx, p, true); err != nil {
			return err
		}
		return do(tx)
	})
}

func (c *Console) guideChange(p connection.SetupPurpose, do func(g *guide, tx *store.Tx) (to string, err error)) http.HandlerFunc {
	return c.show(func(w http.ResponseWriter, r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return fault.Wrap(err, fault.Invalid, "The form could not be read.")
		}
		g := c.newGuide(w, r, "Setup")
		to := ""
		err := g.changes(p, func(tx *store.Tx) (err error) {
			to, err = do(g, tx)
			return err
		})
		if err != nil {
			return g.refused(err)
		}
		http.Redirect(w, r, string(g.here(to)), http.StatusSeeOther)
		return nil
	})
}

func (c *Console) openSetupLink(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Referrer-Policy", "no-referrer") // the address is a credential
	g := c.newGuide(w, r, "Setup")
	token := chi.URLParam(r, "token")
	err := knownOrganization(r)
	if err == nil {
		err = c.DB.Write(g.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
			if g.Link, err = tx.SetupLinkBy(g.ctx, id.SetupLink(chi.URLParam(r, "link")), token, true); err == nil {
				tx.OpenSetupLink(g.ctx, &g.Link, g.Link.Actor(tx.Organization, c.from(r)))
			}
			return err
		})
	}
	if err != nil {
		return g.refused(err)
	}
	http.SetCookie(w, c.cookies().SetupLink(g.Link.ID, token, g.Link.Expires.Sub(g.now)))
	http.Redirect(w, r, string(g.here("")), http.StatusSeeOther)
	return nil
}

// step is one thing the link is for, and how far it is.
type step struct {
	Purpose connection.SetupPurpose
	Path    string
	Title   string
	About   string
	State   statusLine
	Done    bool
}

type stepsPage struct {
	*guide
	Steps []step
	Until when
	Done  bool
}

var stepWords = map[connection.SetupPurpose]step{
	connection.SetUpDomain:      {Path: "domain", Title: "Prove your domain", About: "A record in your zone says that addresses of the domain are yours."},
	connection.SetUpSCIM:        {Path: "scim", Title: "Push people and groups (SCIM)", About: "Your directory pushes who is there and who has left, with a base URL and a token."},
	connection.SetUpSSO:         {Path: "sso", Title: "Connect single sign-on", About: "Choose your identity provider, copy our values there and its values here, then sign in once to test it."},
	connection.SetUpCertificate: {Path: "certificate", Title: "Renew the certificate", About: "Compare the certificates your provider publishes now with those that count here, and approve them."},
}

func (c *Console) setupSteps(g *guide, tx *store.Tx) (templ.Component, error) {
	g.title = "Set up " + connection.SetupWords(g.Link.Purposes) + " for " + g.organization.Name
	p := stepsPage{guide: g, Until: g.when(g.Link.Expires, ""), Done: true}
	for _, purpose := range g.Link.Purposes {
		s := stepWords[purpose]
		s.Purpose = purpose
		var err error
		if s.State, s.Done, err = c.progress(g, tx, purpose); err != nil {
			return nil, err
		}
		p.Done = p.Done && s.Done
		p.Steps = append(p.Steps, s)
	}
	return setupStepsPage(p), nil
}

var toDo = statusLine{"plain", "clock", "To do", ""}

// progress says how far one step is.
func (c *Console) progress(g *guide, tx *store.Tx, p connection.SetupPurpose) (statusLine, bool, error) {
	done := statusLine{"ok", "check", "Done", ""}
	begun := func(said string) (statusLine, bool, error) { return statusLine{"info", "clock", said, ""}, false, nil }
	switch p {
	case connection.SetUpDomain:
		all, err := tx.SetupDomains(g.ctx, &g.Link)
		// Those that the link was given were proven before.
		all = slices.DeleteFunc(all, func(d store.DomainClaim) bool { return !d.Verified.IsZero() && d.Verified.Before(g.Link.Created) })
		if err != nil || len(all) == 0 {
			return toDo, false, err
		}
		for _, d := range all {
			if d.Verified.IsZero() {
				return begun("Waits for its record")
			}
		}
		return done, true, nil
	case connection.SetUpSCIM:
		t, err := c.setupTokenOf(g, tx)
		switch {
		case err != nil || t == nil:
			return toDo, false, err
		case t.LastUsed.zero():
			return begun("Waits for the first request")
		}
		return done, true, nil
	case connection.SetUpSSO:
		if g.Link.Connection == "" {
			return toDo, false, nil
		}
		m, err := tx.ManagedConnection(g.ctx, g.Link.Connection)
		if fault.KindOf(err) == fault.NotFound {
			return toDo, false, nil
		}
		if err != nil {
			return toDo, false, err
		}
		_, passed, err := tx.PassedTest(g.ctx, m.ID, "")
		switch {
		case err != nil:
			return toDo, false, err
		case !m.Settings.Draft:
			done.Word = "Open: people sign in through it"
			return done, true, nil
		case !passed:
			return begun("Waits for a test sign-in")
		}
		done.Word = "Tested"
		return done, true, nil
	}
	s, err := c.certificatesOf(g, tx)
	switch {
	case err != nil:
		return toDo, false, err
	case s.Fingerprint != "":
		return begun("New certificates wait")
	}
	return statusLine{"plain", "check", "Nothing waits", ""}, true, nil
}

func (c *Console) finishSetup(w http.ResponseWriter, r *http.Request) error {
	g := c.newGuide(w, r, "Done")
	err := g.changes("", func(tx *store.Tx) error {
		tx.FinishSetupLink(g.ctx, g.actor, &g.Link)
		return nil
	})
	if err != nil {
		return g.refused(err)
	}
	return page.Render(w, r, http.StatusOK, setupFinishedPage(g))
}

// Domains.

type guideDomains struct {
	*guide
	List  []domainLine
	Wrong string
	Typed string
}

func (c *Console) guideDomains(g *guide, tx *store.Tx) (guideDomains, error) {
	g.title = "Prove your domain"
	p := guideDomains{guide: g}
	all, err := tx.SetupDomains(g.ctx, &g.Link)
	for _, d := range all {
		line := domainLine{DomainClaim: d, Name: connection.ChallengeName(d.Domain), Checked: g.when(d.Checked, "Not yet")}
		line.Tone, line.Icon, line.Said = "info", "clock", "Waits for its record"
		if d.State() == "proven" || d.State() == "failing" {
			line.Tone, line.Icon, line.Said = "ok", "check", "Proven"
		}
		p.List = append(p.List, line)
	}
	return p, err
}

func (c *Console) setupDomains(g *guide, tx *store.Tx) (templ.Component, error) {
	p, err := c.guideDomains(g, tx)
	return setupDomainsPage(p), err
}

func (c *Console) claimSetupDomain(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	g := c.newGuide(w, r, "Prove your domain")
	var p guideDomains
	err := g.changes(connection.SetUpDomain, func(tx *store.Tx) (err error) {
		if p, err = c.guideDomains(g, tx); err == nil {
			_, err = tx.SetupDomain(g.ctx, g.actor, &g.Link, g.form("domain"))
		}
		return err
	})
	if err != nil {
		if kind := fault.KindOf(err); p.guide != nil && (kind == fault.Invalid || kind == fault.Conflict) {
			status, failure := page.FailureOf(err)
			p.Wrong, p.Typed = failure.Said, g.form("domain")
			return page.Render(w, r, status, setupDomainsPage(p))
		}
		return g.refused(err)
	}
	http.Redirect(w, r, string(g.here("domain")), http.StatusSeeOther)
	return nil
}

// checkSetupDomain asks the zone, which no transaction waits for.
func (c *Console) checkSetupDomain(w http.ResponseWriter, r *http.Request) error {
	g := c.newGuide(w, r, "Prove your domain")
	domain := chi.URLParam(r, "domain")
	err := g.changes(connection.SetUpDomain, func(*store.Tx) error {
		if !slices.Contains(g.Link.Domains, domain) {
			return fault.New(fault.Forbidden, "This setup link is not for that domain.").WithCode(string(connection.CodeSetupScope))
		}
		return nil
	})
	if err == nil {
		_, err = c.CheckDomain(g.ctx, g.actor, organizationOf(r), domain)
	}
	if err != nil {
		return g.refused(err)
	}
	http.Redirect(w, r, string(g.here("domain")), http.StatusSeeOther)
	return nil
}

// SCIM.

type guideSCIM struct {
	*guide
	Directory *directory.Directory
	Provider  connection.Provider
	Base      string
	Enter     string
	Secret    string // on the page that made the token, and never again
	Token     *tokenLine
	Requests  []requestLine
}

// setupTokenOf gives the token that the link made, nil where none is left.
func (c *Console) setupTokenOf(g *guide, tx *store.Tx) (*tokenLine, error) {
	d, err := tx.Directory(g.ctx, g.Link.Directory)
	if err != nil || g.Link.Token == "" {
		return nil, err
	}
	for i := range d.Tokens {
		if d.Tokens[i].ID == g.Link.Token {
			line := tokenLineOf(g.visit, &d.Tokens[i])
			return &line, nil
		}
	}
	return nil, nil
}

func (c *Console) guideSCIM(g *guide, tx *store.Tx) (guideSCIM, error) {
	g.title = "Push people and groups (SCIM)"
	d, err := tx.Directory(g.ctx, g.Link.Directory)
	if err != nil {
		return guideSCIM{}, err
	}
	p := guideSCIM{
		guide: g, Directory: d, Enter: enterAt[d.Dialect], Provider: connection.ProviderNamed(d.Dialect),
		Base: c.URL + "/scim/" + url.PathEscape(string(g.organization.ID)) + "/" + url.PathEscape(string(d.ID)) + "/v2",
	}
	if p.Token, err = c.setupTokenOf(g, tx); err != nil || p.Token == nil {
		return p, err
	}
	all, err := tx.Requests(g.ctx, d.ID, store.RequestFilter{From: g.Link.Created, Limit: 50})
	if err != nil {
		return p, err
	}
	shown := pushed{frame: g.frame, Directory: *d}
	for _, r := range all {
		// Only what came with the link's own token: the rest of the log is the organization's.
		if r.Token == g.Link.Token && len(p.Requests) < 10 {
			p.Requests = append(p.Requests, shown.line(r))
		}
	}
	return p, nil
}

func (c *Console) setupSCIM(g *guide, tx *store.Tx) (templ.Component, error) {
	p, err := c.guideSCIM(g, tx)
	return setupSCIMPage(p), err
}

// makeSetupToken answers with the page that holds the secret: a redirect would have to keep it somewhere.
func (c *Console) makeSetupToken(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	g := c.newGuide(w, r, "Push people and groups (SCIM)")
	var p guideSCIM
	err := g.changes(connection.SetUpSCIM, func(tx *store.Tx) (err error) {
		if p, err = c.guideSCIM(g, tx); err != nil {
			return err
		}
		secret, made, err := tx.SetupToken(g.ctx, g.actor, &g.Link, g.form("replaces"))
		line := tokenLineOf(g.visit, &made)
		p.Secret, p.Token, p.Requests = secret, &line, nil
		return err
	})
	if err != nil {
		return g.refused(err)
	}
	return page.Render(w, r, http.StatusOK, setupSCIMPage(p))
}

// Single sign-on.

// guideSSO is the page of the connection that the link made, or of the form that makes it.
type guideSSO struct {
	*guide
	oneConnection
	Form connectionForm
	File string // what is wrong with the file of a metadata document
}

// bounded leaves of a form's choices what the link reaches.
func (g *guide) bounded(tx *store.Tx, f *connectionForm) error {
	if g.Link.Directory != "" {
		d, err := tx.Directory(g.ctx, g.Link.Directory)
		if err != nil {
			return err
		}
		f.Directories = []directory.Directory{*d}
	}
	all, err := tx.SetupDomains(g.ctx, &g.Link)
	for _, d := range all {
		if d.State() == "proven" || d.State() == "failing" {
			f.Proven = append(f.Proven, d.Domain)
		}
	}
	return err
}

// own describes the connection that the link made.
func (c *Console) own(g *guide, tx *store.Tx) (oneConnection, error) {
	if g.Link.Connection == "" {
		return oneConnection{}, fault.New(fault.Conflict, "Choose your identity provider first.")
	}
	m, err := tx.ManagedConnection(g.ctx, g.Link.Connection)
	if fault.KindOf(err) == fault.NotFound {
		return oneConnection{}, fault.New(fault.Conflict, "An administrator has taken the connection away that was set up here. Ask %s.", g.Link.MadeBy)
	}
	if err != nil {
		return oneConnection{}, err
	}
	return c.describe(g.visit, tx, m)
}

func (c *Console) setupSSO(g *guide, tx *store.Tx) (templ.Component, error) {
	g.title = "Connect single sign-on"
	if g.Link.Connection == "" {
		return setupChoosePage(g), nil
	}
	o, err := c.own(g, tx)
	if err != nil {
		return nil, err
	}
	tests, err := tx.Tests(g.ctx, o.ID, 10)
	if err != nil {
		return nil, err
	}
	for i := range tests {
		if tests[i].Tester == string(g.Link.ID) {
			o.Tests = append(o.Tests, testLineOf(g.visit, &tests[i], o.Version))
		}
	}
	return setupSSOPage(guideSSO{guide: g, oneConnection: o}), nil
}

// begin is a connection that the link is about to make.
func (c *Console) begin(g *guide, tx *store.Tx, provider, protocol string) (guideSSO, error) {
	p, by := connection.ProviderNamed(provider), connection.OIDC
	if protocol == string(connection.SAML) {
		by = connection.SAML
	}
	s := guideSSO{guide: g, Form: connectionForm{Provider: p, Connection: startConnection(p, by)}}
	s.Form.Connection.ID, s.Form.Connection.Organization = store.SetupConnectionID(&g.Link, p.ID, by), tx.Organization
	if p.ID == connection.GenericProvider {
		s.Form.Connection.Name = g.organization.Name
	}
	s.Form.Connection.Directory = g.Link.Directory
	s.Ours = oursAt(c.URL, tx.Organization, s.Form.Connection.ID, by, p, s.Form.Connection.Settings)
	s.oneConnection.Provider = p
	g.title = "Connect " + p.Name
	err := g.bounded(tx, &s.Form)
	s.Form.Connection.Settings.Domains = s.Form.Proven
	return s, err
}

func (c *Console) newSetupSSO(g *guide, tx *store.Tx) (templ.Component, error) {
	if g.Link.Connection != "" {
		return nil, fault.New(fault.Conflict, "A provider was chosen already. To choose another, take the draft away first.")
	}
	s, err := c.begin(g, tx, g.query("provider"), g.query("protocol"))
	return setupFormPage(s), err
}

// change is the connection of the link as its form shows it.
func (c *Console) changing(g *guide, tx *store.Tx) (guideSSO, error) {
	o, err := c.own(g, tx)
	if err != nil {
		return guideSSO{}, err
	}
	s := guideSSO{guide: g, oneConnection: o, Form: connectionForm{
		Provider: o.Provider, Connection: o.Connection, Version: o.Version, HasSecret: o.Settings.ClientSecret != "",
	}}
	g.title = "Change " + o.Name
	return s, g.bounded(tx, &s.Form)
}

func (c *Console) editSetupSSO(g *guide, tx *store.Tx) (templ.Component, error) {
	s, err := c.changing(g, tx)
	return setupFormPage(s), err
}

func (c *Console) saveSetupSSO(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseMultipartForm(1 << 20); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return fault.Wrap(err, fault.Invalid, "The form could not be read. A metadata file may be one megabyte long.")
	}
	file, err := uploaded(r)
	if err != nil {
		return err
	}
	g := c.newGuide(w, r, "Connect single sign-on")
	var s guideSSO
	err = g.changes(connection.SetUpSSO, func(tx *store.Tx) (err error) {
		if g.Link.Connection == "" {
			s, err = c.begin(g, tx, g.form("provider"), g.form("protocol"))
		} else {
			s, err = c.changing(g, tx)
		}
		if err != nil {
			return err
		}
		version, _ := strconv.ParseInt(g.form("version"), 10, 64)
		s.Form.Version = version
		readConnection(r.PostForm, &s.Form.Connection)
		if file = strings.TrimSpace(file); file != "" && s.Form.saml() {
			s.Form.Connection.Settings.Metadata = file
		}
		kept := s.Form.Connection
		kept.Settings.ClientSecret = ""
		if secret := strings.TrimSpace(g.form("client_secret")); secret != "" {
			kept.Settings.ClientSecret = c.DB.Keys.Seal(connection.SecretPlace(tx.Organization, kept.ID), []byte(secret))
		}
		return tx.SetupConnection(g.ctx, g.actor, &g.Link, kept, version)
	})
	if err != nil {
		// Nothing was saved; what was entered stays on the page, but for the secret.
		if f := fault.As(err); f != nil && s.guide != nil && (f.Kind == fault.Invalid || f.Kind == fault.Conflict) {
			status, failure := page.FailureOf(err)
			s.Form.Said, s.Form.Wrong = failure.Said, map[string]string{}
			for _, field := range f.Fields {
				s.Form.Wrong[field.Path] = field.Message
			}
			return page.Render(w, r, status, setupFormPage(s))
		}
		return g.refused(err)
	}
	http.Redirect(w, r, string(g.here("sso")), http.StatusSeeOther)
	return nil
}

// beginSetupTest sends this browser through the link's connection.
func (c *Console) beginSetupTest(w http.ResponseWriter, r *http.Request) error {
	g := c.newGuide(w, r, "Test sign-in")
	if err := knownOrganization(r); err != nil {
		return g.refused(err)
	}
	browser, cookie := c.cookies().EnsureBrowser(r)
	var attempt id.Attempt
	err := c.DB.System().Write(g.ctx, func(tx *store.SystemTx) error {
		in := tx.In(organizationOf(r))
		if err := g.enter(in, connection.SetUpSSO, true); err != nil {
			return err
		}
		o, err := c.own(g, in)
		if err != nil {
			return err
		}
		attempt, err = tx.BeginTest(g.ctx, in.Organization, o.ID, browser, string(g.here("sso/tests/")), g.actor)
		return err
	})
	if err != nil {
		return g.refused(err)
	}
	if cookie != nil {
		http.SetCookie(w, cookie)
	}
	http.Redirect(w, r, string(g.here("sso/tests/"+string(attempt))), http.StatusSeeOther)
	return nil
}

type guideTest struct {
	guideSSO
	Report *connection.Report
	Over   bool
	Passed bool
	Next   string
	Said   string
	Tone   string
}

func (c *Console) setupTest(g *guide, tx *store.Tx) (templ.Component, error) {
	o, err := c.own(g, tx)
	if err != nil {
		return nil, err
	}
	t, err := tx.Test(g.ctx, id.Attempt(chi.URLParam(g.r, "test")))
	if err != nil {
		return nil, err
	}
	if t.Connection != o.ID || t.Tester != string(g.Link.ID) {
		return nil, fault.New(fault.NotFound, "This setup link has no such test sign-in.")
	}
	g.title = "Test sign-in through " + o.Name
	out := guideTest{
		guideSSO: guideSSO{guide: g, oneConnection: o}, Report: t.Report.ForContact(), Over: !t.Finished.IsZero(),
		Next: "/signin?" + url.Values{"attempt": {string(t.ID)}}.Encode(),
	}
	current := t.Version == o.Version
	switch {
	case !out.Over:
		out.Tone, out.Said = "info", "Sign in at "+o.Provider.Name+" as one of the people would. You come back here, and are signed in as nobody."
	case !t.Passed.IsZero() && current:
		out.Passed, out.Tone, out.Said = true, "ok", "It works."
		if o.Settings.Draft && !g.Link.Opens {
			out.Said += " " + g.Link.MadeBy + " opens the connection; until then nobody is sent to it."
		}
	case !t.Passed.IsZero(), t.Report.Passed():
		out.Tone, out.Said = "warn", "It worked, with settings that were changed since. Test again."
	default:
		out.Tone, out.Said = "bad", "It does not work yet. What failed stands below, with what to do."
	}
	return setupTestPage(out), nil
}

// Certificates.

type guideCertificates struct {
	*guide
	samlPage
	Given, Wrong string // what was handed in and cannot be taken, and why
}

// describes names what stands beside the field for a new certificate.
func (s guideCertificates) describes() string {
	if s.Wrong != "" {
		return "document-hint document-error"
	}
	return "document-hint"
}

// certificatesOf reads what counts and what waits at the connection that the link is for.
func (c *Console) certificatesOf(g *guide, tx *store.Tx) (guideCertificates, error) {
	found, err := tx.SignInConnection(g.ctx, g.Link.Renews)
	if err != nil {
		return guideCertificates{}, err
	}
	of := found.Connection
	s := guideCertificates{guide: g, samlPage: samlPage{frame: g.frame, Connection: of}}
	known, err := tx.SAMLMetadata(g.ctx, of)
	if err != nil {
		return s, err
	}
	if known.Fetched {
		s.Source, s.Asked = of.Settings.Metadata, g.when(known.Approved.Fetched, "Not yet: the first sign-in asks")
	}
	if known.Approved.Body != "" {
		s.approved(g.visit, known)
	}
	return s, nil
}

func (c *Console) setupCertificate(g *guide, tx *store.Tx) (templ.Component, error) {
	s, err := c.certificatesOf(g, tx)
	g.title = "Renew the certificate"
	return setupCertificatePage(s), err
}

// askSetupMetadata asks the provider, which no transaction waits for.
func (c *Console) askSetupMetadata(w http.ResponseWriter, r *http.Request) error {
	g := c.newGuide(w, r, "Renew the certificate")
	err := g.changes(connection.SetUpCertificate, func(*store.Tx) error { return nil })
	if err == nil {
		err = c.ask(g.ctx, organizationOf(r), g.Link.Renews)
	}
	if err != nil {
		return g.refused(err)
	}
	http.Redirect(w, r, string(g.here("certificate")), http.StatusSeeOther)
	return nil
}

// handInCertificate takes a certificate, or metadata, of a provider that publishes none: pasted, or as a file.
func (c *Console) handInCertificate(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseMultipartForm(1 << 20); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	g := c.newGuide(w, r, "Renew the certificate")
	given := strings.TrimSpace(g.form("document"))
	if file, _, err := r.FormFile("file"); err == nil {
		raw, err := io.ReadAll(io.LimitReader(file, 1<<20))
		_ = file.Close()
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "The file could not be read.")
		}
		if len(raw) > 0 {
			given = fileText(raw)
		}
	}
	waits := false
	err := g.changes(connection.SetUpCertificate, func(tx *store.Tx) (err error) {
		waits, err = tx.HandInSAML(g.ctx, g.actor, &g.Link, given)
		return err
	})
	if f := fault.As(err); f != nil && (f.Kind == fault.Invalid || f.Kind == fault.TooLarge || f.Code == "nothing-new") {
		if strings.Contains(given, "PRIVATE KEY") {
			given = "" // it goes nowhere, the page that says so included
		}
		var s guideCertificates
		if err := c.DB.Read(g.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
			s, err = c.certificatesOf(g, tx)
			return err
		}); err != nil {
			return g.refused(err)
		}
		s.Given, s.Wrong = given, f.Message
		return page.Render(w, r, http.StatusUnprocessableEntity, setupCertificatePage(s))
	}
	if err != nil {
		return g.refused(err)
	}
	done := "counts"
	if waits {
		done = "waits"
	}
	http.Redirect(w, r, string(g.here("certificate", "done", done)), http.StatusSeeOther)
	return nil
}

// fileText is an uploaded certificate as text: many consoles give it as DER, which is not text.
func fileText(raw []byte) string {
	if utf8.Valid(raw) && !bytes.ContainsRune(raw, 0) {
		return string(raw)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}

func (c *Console) ask(ctx context.Context, org id.Organization, way id.Connection) error {
	return c.Metadata(ctx, org, way)
}

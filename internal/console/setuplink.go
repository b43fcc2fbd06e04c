package console

import (
	"net/http"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountSetupLinks adds the pages on which administrators make and revoke setup links. What a link opens stands in setupguide.go.
func (c *Console) mountSetupLinks(r chi.Router) {
	r.Get("/setup-links", c.view("connections", "Setup links", c.setupLinks))
	r.Post("/setup-links", c.show(c.makeSetupLink))
	r.Get("/setup-links/new", c.view("connections", "New setup link", c.newSetupLink))
	r.Get("/setup-links/{link}/revoke", c.view("connections", "Revoke a setup link", c.revokeSetupLinkDialog))
	r.Post("/setup-links/{link}/revoke", c.change(c.revokeSetupLink))
}

// setupLinkLine is a link as the list shows it.
type setupLinkLine struct {
	store.SetupLink
	For           string
	Until         when
	Made, LastUse when
	State         statusLine
	Live          bool
}

func setupLinkLineOf(v *visit, l store.SetupLink) setupLinkLine {
	line := setupLinkLine{
		SetupLink: l, For: connection.SetupWords(l.Purposes), Until: v.when(l.Expires, ""), Made: v.when(l.Created, ""),
		LastUse: v.when(l.Used, "Never"), Live: l.Live(v.now),
	}
	switch l.State(v.now) {
	case connection.SetupWaiting:
		line.State = statusLine{"plain", "clock", "Not opened yet", ""}
	case connection.SetupOpened:
		line.State = statusLine{"info", "link", "In use", ""}
	case connection.SetupFinished:
		line.State = statusLine{"ok", "check", "Done", ""}
	case connection.SetupRevoked:
		line.State = statusLine{"plain", "stop", "Revoked", ""}
	default:
		line.State = statusLine{"warn", "warn", "Expired", ""}
	}
	return line
}

type setupLinkList struct {
	*frame
	List []setupLinkLine
}

func (c *Console) setupLinks(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.setsUp(); err != nil {
		return nil, err
	}
	all, err := tx.SetupLinks(v.ctx)
	if err != nil {
		return nil, err
	}
	l := setupLinkList{frame: v.frame}
	for _, one := range all {
		l.List = append(l.List, setupLinkLineOf(v, one))
	}
	return setupLinksPage(l), nil
}

// setupLinkForm is what an administrator says of a new link.
type setupLinkForm struct {
	*frame
	Asked       store.NewSetupLink
	Until       string
	Mode        mail.Mode
	Directories []directory.Directory
	SAML        []store.ManagedConnection
	Proven      []string
	Said        string
	Wrong       map[string]string
}

func (f setupLinkForm) chosen(p connection.SetupPurpose) bool {
	return contains(purposeWords(f.Asked.Purposes), string(p))
}

func purposeWords(all []connection.SetupPurpose) []string {
	var out []string
	for _, p := range all {
		out = append(out, string(p))
	}
	return out
}

func (c *Console) setupLinkForm(v *visit, tx *store.Tx) (setupLinkForm, error) {
	f := setupLinkForm{frame: v.frame, Mode: c.letters(), Wrong: map[string]string{}}
	if err := v.setsUp(); err != nil {
		return f, err
	}
	var err error
	if f.Directories, err = tx.Directories(v.ctx); err != nil {
		return f, err
	}
	all, err := tx.ManagedConnections(v.ctx)
	for _, m := range all {
		if m.Protocol == connection.SAML {
			f.SAML = append(f.SAML, m)
		}
	}
	if err != nil {
		return f, err
	}
	domains, err := tx.Domains(v.ctx)
	for _, d := range domains {
		if d.State() == "proven" || d.State() == "failing" {
			f.Proven = append(f.Proven, d.Domain)
		}
	}
	return f, err
}

func (c *Console) newSetupLink(v *visit, tx *store.Tx) (templ.Component, error) {
	f, err := c.setupLinkForm(v, tx)
	f.Asked.Purposes = []connection.SetupPurpose{connection.SetUpSSO}
	f.Until = v.now.Add(connection.SetupTerm).UTC().Format(time.DateOnly)
	if len(f.Directories) == 1 {
		f.Asked.Directory = f.Directories[0].ID
	}
	f.Asked.Domains = f.Proven
	return newSetupLinkPage(f), err
}

// madeSetupLink is a link on the page that made it, and never again.
type madeSetupLink struct {
	*frame
	setupLinkLine
	Address string
	Mode    mail.Mode
}

// makeSetupLink answers with the page that holds the link: a redirect would have to keep it somewhere.
func (c *Console) makeSetupLink(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "connections", "New setup link")
	if err != nil {
		return redirected(w, r, err)
	}
	var f setupLinkForm
	var made madeSetupLink
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		if f, err = c.setupLinkForm(v, tx); err != nil {
			return err
		}
		f.Until = v.form("expires")
		f.Asked = store.NewSetupLink{
			Contact: v.form("contact"), ContactName: v.form("name"), Directory: id.Directory(v.form("directory")),
			Renews: id.Connection(v.form("renews")), Domains: r.PostForm["domains"], Opens: v.form("opens") != "", URL: c.URL, Write: c.letters() != mail.Off,
		}
		for _, p := range r.PostForm["purpose"] {
			f.Asked.Purposes = append(f.Asked.Purposes, connection.SetupPurpose(p))
		}
		if f.Asked.Expires, err = endOf(f.Until); err != nil {
			return err
		}
		if err := v.once(tx, shownOnce{
			"The setup link for " + f.Asked.Contact, "If nobody copied it and no letter came, revoke it in the list and make another.", v.at("setup-links"), "All setup links",
		}); err != nil {
			return err
		}
		l, address, err := tx.MakeSetupLink(v.ctx, v.viewer.actor, f.Asked)
		made = madeSetupLink{frame: v.frame, setupLinkLine: setupLinkLineOf(v, l), Address: address, Mode: c.letters()}
		return err
	})
	if err != nil {
		if why := fault.As(err); f.frame != nil && why != nil && why.Kind == fault.Invalid {
			status, failure := page.FailureOf(err)
			f.Said = failure.Said
			for _, field := range why.Fields {
				f.Wrong[field.Path] = field.Message
			}
			return page.Render(w, r, status, newSetupLinkPage(f))
		}
		return c.refusedChange(v, err)
	}
	v.title = "Setup link for " + made.Contact
	return page.Render(w, r, http.StatusOK, madeSetupLinkPage(made))
}

func (c *Console) oneSetupLink(v *visit, tx *store.Tx) (store.SetupLink, error) {
	if err := v.setsUp(); err != nil {
		return store.SetupLink{}, err
	}
	return tx.SetupLink(v.ctx, id.SetupLink(chi.URLParam(v.r, "link")))
}

func (c *Console) revokeSetupLinkDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	l, err := c.oneSetupLink(v, tx)
	if err != nil {
		return nil, err
	}
	return revokeSetupLinkPage(v.frame, setupLinkLineOf(v, l)), nil
}

func (c *Console) revokeSetupLink(v *visit, tx *store.Tx) (string, string, error) {
	l, err := c.oneSetupLink(v, tx)
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	return "The setup link of " + l.Contact + " opens nothing any more.", string(v.at("setup-links")),
		tx.RevokeSetupLink(v.ctx, v.viewer.actor, l.ID, reason)
}

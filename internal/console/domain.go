package console

import (
	"net/http"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// domainLine is a domain and what its proof wants.
type domainLine struct {
	store.DomainClaim
	Name       string // of the record
	Checked    when
	Since      when
	Tone, Icon string
	Said       string
	Leads      []string // to these connections
}

type domainList struct {
	*frame
	List  []domainLine
	Wrong string
	Typed string
}

func (c *Console) domainList(v *visit, tx *store.Tx) (domainList, error) {
	v.section, v.title = "domains", "Domains"
	l := domainList{frame: v.frame}
	if err := v.setsUp(); err != nil {
		return l, err
	}
	all, err := tx.Domains(v.ctx)
	if err != nil {
		return l, err
	}
	ways, err := tx.ManagedConnections(v.ctx)
	if err != nil {
		return l, err
	}
	for _, d := range all {
		line := domainLine{DomainClaim: d, Name: connection.ChallengeName(d.Domain), Checked: v.when(d.Checked, "Not yet"), Since: v.when(d.Verified, "")}
		switch {
		case d.Declared:
			line.Tone, line.Icon, line.Said = "ok", "check", "Declared by the operator"
		case d.State() == "proven":
			line.Tone, line.Icon, line.Said = "ok", "check", "Proven"
		case d.State() == "failing":
			line.Tone, line.Icon, line.Said = "warn", "warn", "Record missing"
		case d.State() == "lapsed":
			line.Tone, line.Icon, line.Said = "bad", "stop", "Lapsed"
		default:
			line.Tone, line.Icon, line.Said = "info", "clock", "Waits for its record"
		}
		for _, w := range ways {
			for _, listed := range w.Settings.Domains {
				if listed == d.Domain {
					line.Leads = append(line.Leads, w.Name)
				}
			}
		}
		l.List = append(l.List, line)
	}
	return l, nil
}

func (c *Console) domains(v *visit, tx *store.Tx) (templ.Component, error) {
	l, err := c.domainList(v, tx)
	return domainsPage(l), err
}

func (c *Console) claimDomain(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "domains", "Domains")
	if err != nil {
		return redirected(w, r, err)
	}
	var l domainList
	var made store.DomainClaim
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		if l, err = c.domainList(v, tx); err != nil {
			return err
		}
		made, err = tx.ClaimDomain(v.ctx, v.viewer.actor, v.form("domain"))
		return err
	})
	if err != nil {
		if kind := fault.KindOf(err); l.frame != nil && (kind == fault.Invalid || kind == fault.Conflict) {
			status, failure := page.FailureOf(err)
			l.Wrong, l.Typed = failure.Said, v.form("domain")
			return page.Render(w, r, status, domainsPage(l))
		}
		return c.refusedChange(v, err)
	}
	c.setFlash(w, "Add the record of "+made.Domain+" to its zone, then let it be looked for.")
	http.Redirect(w, r, string(v.at("domains")), http.StatusSeeOther)
	return nil
}

// setsUpHere lets in who may set up, before a step that is more than one transaction.
func (c *Console) setsUpHere(w http.ResponseWriter, r *http.Request) (*visit, error) {
	v, err := c.visit(w, r, "domains", "Domains")
	if err != nil {
		return nil, err
	}
	return v, c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.again(tx); err != nil {
			return err
		}
		return v.setsUp()
	})
}

func (c *Console) checkDomain(w http.ResponseWriter, r *http.Request) error {
	v, err := c.setsUpHere(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	d, err := c.CheckDomain(v.ctx, v.viewer.actor, organizationOf(r), chi.URLParam(r, "domain"))
	if err != nil {
		return c.refusedChange(v, err)
	}
	c.setFlash(w, d.Domain+": "+d.Found)
	http.Redirect(w, r, string(v.at("domains")), http.StatusSeeOther)
	return nil
}

func (c *Console) releaseDomainDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	l, err := c.domainList(v, tx)
	if err != nil {
		return nil, err
	}
	for _, d := range l.List {
		if d.Domain == chi.URLParam(v.r, "domain") {
			v.title = "Release " + d.Domain
			return releaseDomainPage(v.frame, d), nil
		}
	}
	return nil, fault.New(fault.NotFound, "This organization has not said that this domain is its own.")
}

func (c *Console) releaseDomain(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "domains", "Domains")
	if err != nil {
		return redirected(w, r, err)
	}
	domain := chi.URLParam(r, "domain")
	err = c.DB.System().Write(v.ctx, func(tx *store.SystemTx) error {
		in := tx.In(organizationOf(r))
		if err := v.again(in); err != nil {
			return err
		}
		if err := v.setsUp(); err != nil {
			return err
		}
		reason, err := reasonOf(v)
		if err != nil {
			return err
		}
		return tx.ReleaseDomain(v.ctx, v.viewer.actor, in.Organization, domain, reason)
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	c.setFlash(w, domain+" is released.")
	http.Redirect(w, r, string(v.at("domains")), http.StatusSeeOther)
	return nil
}

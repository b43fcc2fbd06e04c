package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// viewer is who looks at an organization: the operator, or one of its users with their own access.
type viewer struct {
	operator *store.Operator
	proved   bool // of an operator: the password was given lately, where a sensitive door asked
	session  *session.Session
	access   *access.Effective // of the user
	ground   *access.Facts     // what rules about roles look at: catalogue, organization, tree
	actor    audit.Actor
	only     []id.User // the users a viewer below the root may see; nil: all
}

func (v *viewer) name() string { return v.actor.Name }

// self is the user that looks, or "" for the operator.
func (v *viewer) self() id.User {
	if v.session == nil {
		return ""
	}
	return v.session.User
}

// giver is the viewer as one who gives roles.
func (v *viewer) giver() access.Giver {
	return access.Giver{Operator: v.operator != nil, Access: v.access}
}

// may reports whether a permission holds anywhere in the organization.
func (v *viewer) may(p id.Permission) bool {
	return v.operator != nil || (v.access != nil && len(v.access.Resources(p)) > 0)
}

// mayAt reports whether a permission holds at one resource.
func (v *viewer) mayAt(p id.Permission, at id.Resource) bool {
	return v.operator != nil || (v.access != nil && v.access.Allowed(p, at))
}

// everywhere reports whether a permission holds at the organization itself.
func (v *viewer) everywhere(p id.Permission) bool {
	return v.operator != nil || (v.access != nil && v.access.Everywhere(p))
}

// reaches reports whether a permission about users reaches one whose access is given.
func (v *viewer) reaches(p id.Permission, of *access.Effective) bool {
	return v.operator != nil || (v.access != nil && v.access.Reaches(p, of))
}

// gives reports whether the viewer may give any role anywhere: such people see the inbox.
func (v *viewer) gives() bool { return v.ground != nil && v.giver().Any(v.ground) }

// opens reports whether the console shows the viewer more than themselves.
func (v *viewer) opens() bool {
	return v.may(access.UsersRead) || v.may(access.UsersManage) || v.everywhere(access.AuditRead) ||
		v.everywhere(access.ConnectionsManage) || v.makesRoles() || v.gives()
}

// makesRoles reports whether the viewer makes and changes custom roles.
func (v *viewer) makesRoles() bool { return v.everywhere(access.RolesManage) }

// demand refuses who does not hold a permission anywhere, in words that say what to ask for.
func (v *viewer) demand(f *frame, p id.Permission) error {
	if v.may(p) {
		return nil
	}
	return fault.New(fault.Forbidden, "This page needs the permission %q in %s, and you do not hold it. An administrator of %s can give you a role that carries it.",
		p, f.organization.Name, f.organization.Name)
}

// signIn is the answer for who is not signed in: the way there, and back. Where it asks for a fresh proof alone, proved is the
// same way, ending on a page that says so.
type signIn struct{ to, proved string }

func (signIn) Error() string { return "not signed in" }

// look finds out who is looking at an organization. Whoever is signed in elsewhere and not here gets the same answer as for
// an organization that does not exist.
func (c *Console) look(r *http.Request, org id.Organization) (*viewer, error) {
	ctx, from := r.Context(), c.from(r)
	if o, err := c.operator(ctx, r); err != nil {
		return nil, err
	} else if o != nil {
		return &viewer{operator: o, actor: operatorActor(*o, from)}, nil
	}
	s, err := c.DB.Session(ctx, org, c.cookies().Hash(r, org))
	switch {
	case err == nil:
		v := &viewer{session: &s, actor: from}
		v.actor.Kind, v.actor.ID, v.actor.Organization, v.actor.AMR = audit.ActorUser, string(s.User), org, s.AMR
		v.actor.Name = either(s.DisplayName, s.Email, s.UserName)
		return v, nil
	case fault.KindOf(err) != fault.Unauthenticated:
		return nil, err
	}
	if others := c.cookies().Organizations(r); len(others) > 0 && !slices.Contains(others, org) {
		return nil, fault.New(fault.NotFound, "There is nothing at this address for the account you are signed in with.")
	}
	to := r.URL.RequestURI()
	if r.Method != http.MethodGet {
		to = "/o/" + url.PathEscape(string(org))
	}
	return nil, signIn{"/signin?" + url.Values{"return_to": {to}, "organization": {string(org)}}.Encode(), ""}
}

// operator gives the operator this browser is signed in as, or nil.
func (c *Console) operator(ctx context.Context, r *http.Request) (*store.Operator, error) {
	hash := c.operatorHash(r)
	if hash == "" {
		return nil, nil
	}
	var o store.Operator
	var stale bool
	err := c.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		o, stale, err = tx.OperatorSession(ctx, hash)
		return err
	})
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		return nil, nil
	case err != nil:
		return nil, err
	}
	if c.OperatorMFA && !mfa.Two(o.AMR) {
		return nil, nil // begun before a second factor was demanded
	}
	if stale {
		err = c.DB.System().Write(ctx, func(tx *store.SystemTx) error { return tx.TouchOperatorSession(ctx, hash) })
	}
	return &o, err
}

// load reads, in the transaction of the page or of the change, what the viewer may do there now.
func (v *viewer) load(ctx context.Context, tx *store.Tx) error {
	var err error
	if v.ground, err = tx.Ground(ctx); err != nil {
		return err
	}
	if v.session == nil {
		return nil
	}
	if v.access, err = tx.AccessIn(ctx, v.session.User, v.session.AMR); err != nil {
		return err
	}
	v.only, _, err = tx.Reached(ctx, v.access, access.UsersRead)
	return err
}

// visit is one request for a page of an organization.
type visit struct {
	*frame
	c   *Console
	w   http.ResponseWriter
	r   *http.Request
	ctx context.Context
}

func organizationOf(r *http.Request) id.Organization {
	return id.Organization(chi.URLParam(r, "organization"))
}

// view makes a page of a function that reads what it shows, in one transaction.
func (c *Console) view(section, title string, read func(v *visit, tx *store.Tx) (templ.Component, error)) http.HandlerFunc {
	return c.show(func(w http.ResponseWriter, r *http.Request) error {
		v, err := c.visit(w, r, section, title)
		if err != nil {
			return redirected(w, r, err)
		}
		v.flash = c.takeFlash(w, r)
		var body templ.Component
		err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
			if err = v.fill(tx); err != nil {
				return err
			}
			body, err = read(v, tx)
			return err
		})
		if err != nil {
			return c.refusedPage(v, err)
		}
		if body == nil {
			return nil // the page answered by itself
		}
		return page.Render(w, r, http.StatusOK, body)
	})
}

// change makes a form's target of a function that changes something, in one transaction, and answers what was done as a
// sentence and where to go. A refused change shows a page that says why.
func (c *Console) change(do func(v *visit, tx *store.Tx) (done, to string, err error)) http.HandlerFunc {
	return c.show(func(w http.ResponseWriter, r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return fault.Wrap(err, fault.Invalid, "The form could not be read.")
		}
		v, err := c.visit(w, r, "", "")
		if err != nil {
			return redirected(w, r, err)
		}
		var done, to string
		err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
			// The user may have lost what the page still offered: who may do it is decided in this transaction.
			if err = v.again(tx); err != nil {
				return err
			}
			done, to, err = do(v, tx)
			return err
		})
		if err != nil {
			return c.refusedChange(v, err)
		}
		if done != "" {
			c.setFlash(w, done)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	})
}

// refusedChange answers a change that was not made, with a way back to where it was asked for.
func (c *Console) refusedChange(v *visit, err error) error {
	status, f := page.FailureOf(err)
	if status >= http.StatusInternalServerError || errors.As(err, new(signIn)) {
		return redirected(v.w, v.r, err)
	}
	var twice sentTwice
	if errors.As(err, &twice) {
		status, f = twice.failure()
		page.RefuseWith(v.w, v.r, c.Log, status, f)
		return nil
	}
	if v.organization == nil {
		return err // there is none at this address, and so no page of it
	}
	f.Back, f.Where = v.list()
	if back, err := url.Parse(v.r.Referer()); err == nil && back.Path != "" {
		f.Back, f.Where = session.OwnPath(back.RequestURI()), "Back"
	}
	page.RefuseWith(v.w, v.r, c.Log, status, f)
	return nil
}

// refusedPage answers a page that is not shown, with the way to the list of what was asked for. What was refused is often a
// link in a letter or one kept for long, so the page before is none to go back to.
func (c *Console) refusedPage(v *visit, err error) error {
	if errors.As(err, new(signIn)) {
		return redirected(v.w, v.r, err)
	}
	if to, where := v.list(); to != "" {
		page.RefuseBack(v.w, v.r, c.Log, err, to, where)
		return nil
	}
	return err
}

// list is the page of the navigation that a page belongs to; where that is the page itself, or one the viewer may not open, the first
// that they may.
func (v *visit) list() (to, where string) {
	if v.organization == nil {
		return "", ""
	}
	for _, b := range v.navigation() {
		for _, l := range b.links {
			at := string(v.at(l.path))
			if at == v.r.URL.Path {
				continue
			}
			if l.section == v.section {
				return at, "To " + l.name
			}
			if to == "" {
				to, where = at, "To "+l.name
			}
		}
	}
	return to, where
}

func redirected(w http.ResponseWriter, r *http.Request, err error) error {
	var s signIn
	if errors.As(err, &s) {
		return prove(w, r, s)
	}
	return err
}

func (c *Console) visit(w http.ResponseWriter, r *http.Request, section, title string) (*visit, error) {
	org := organizationOf(r)
	if !id.Declared(string(org)) {
		return nil, fault.New(fault.NotFound, "There is no organization at this address.")
	}
	looking, err := c.look(r, org)
	if err != nil {
		return nil, err
	}
	return &visit{
		frame: &frame{viewer: looking, section: section, title: title, now: c.DB.Now()},
		c:     c, w: w, r: r, ctx: r.Context(),
	}, nil
}

// fill reads what the frame around a page shows.
func (v *visit) fill(tx *store.Tx) error {
	if err := v.again(tx); err != nil {
		return err
	}
	var err error
	if v.viewer.gives() {
		if v.waiting, err = tx.CountAwaiting(v.ctx, v.viewer.inboxOnly()); err != nil {
			return err
		}
	}
	if v.viewer.everywhere(access.UsersManage) {
		v.conflicts, err = tx.CountConflicts(v.ctx)
	}
	return err
}

// again reads who the viewer is and what they may do in this transaction.
func (v *visit) again(tx *store.Tx) error {
	var err error
	if v.organization, err = tx.Self(v.ctx); err != nil {
		return err
	}
	if v.viewer.session != nil {
		if _, err := tx.SessionByID(v.ctx, v.viewer.session.ID); fault.KindOf(err) == fault.Unauthenticated {
			return signIn{"/signin?" + url.Values{"return_to": {"/o/" + string(tx.Organization)}}.Encode(), ""}
		} else if err != nil {
			return err
		}
	}
	return v.viewer.load(v.ctx, tx)
}

func (v *visit) query(name string) string { return v.r.URL.Query().Get(name) }
func (v *visit) form(name string) string  { return v.r.PostForm.Get(name) }

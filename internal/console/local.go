package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/password"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountLocal adds what has to do with signing in without a provider: a person's own password, address and break-glass code, and the
// rules by which an organization's people sign in.
func (c *Console) mountLocal(r chi.Router) {
	r.Get("/me/password", c.view("account", "Password", c.ownPassword))
	r.Post("/me/password", c.show(c.setOwnPassword))
	r.Get("/me/email", c.view("account", "Address", c.ownAddress))
	r.Post("/me/email", c.change(c.askMove))
	r.Post("/me/email/drop", c.change(c.dropMove))
	r.Get("/me/break-glass", c.view("account", "Break-glass code", c.ownCode))
	r.Post("/me/break-glass", c.show(c.newCode))
	r.Get("/rules", c.view("rules", "Sign-in rules", c.rules))
	r.Post("/rules/enforce", c.change(c.enforce))
	r.Post("/rules/release", c.change(c.release))
	r.Post("/rules/exceptions", c.change(c.except))
	r.Post("/rules/exceptions/{exception}/end", c.change(c.endException))
}

// ownPage is a page of a person's own account.
type ownPage struct {
	*frame
	User  *directory.User
	Has   bool // a password
	When  when
	Wrong string
	Moves string // an address that is not confirmed yet
	Name  string // of the browser's account, for password managers
	Code  string // a new break-glass code, shown once
	Until when   // the exception's end
}

// own reads who looks at their own account, and refuses who has none here.
func own(v *visit, tx *store.Tx) (ownPage, error) {
	if v.viewer.session == nil {
		return ownPage{}, fault.New(fault.NotFound, "An operator belongs to no organization and has no account in it.")
	}
	u, err := tx.User(v.ctx, v.viewer.self())
	return ownPage{frame: v.frame, User: u}, err
}

func (c *Console) ownPassword(v *visit, tx *store.Tx) (templ.Component, error) {
	o, err := own(v, tx)
	if err != nil {
		return nil, err
	}
	if err := tx.MayLocal(v.ctx, o.User.ID, connection.Password); err != nil {
		return nil, err
	}
	if err := v.fresh(tx); err != nil {
		return nil, err
	}
	hash, changed, err := tx.PasswordOf(v.ctx, o.User.ID)
	o.Has, o.When = hash != "", v.when(changed, "")
	return ownPasswordPage(o), err
}

// setOwnPassword hashes between two transactions: a hash takes as long as many writes do.
func (c *Console) setOwnPassword(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "account", "Password")
	if err != nil {
		return redirected(w, r, err)
	}
	var o ownPage
	may := func(tx *store.Tx) (err error) {
		if o, err = own(v, tx); err == nil {
			err = tx.MayLocal(v.ctx, o.User.ID, connection.Password)
		}
		if err == nil {
			err = v.fresh(tx)
		}
		return err
	}
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		return may(tx)
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	chosen := v.form("password")
	o.Wrong = password.Judge(chosen, password.Whose{Name: o.User.Name(), Address: o.User.Email, Organization: v.organization.Name})
	if o.Wrong != "" {
		return page.Render(w, r, http.StatusUnprocessableEntity, ownPasswordPage(o))
	}
	hash, err := password.Hash(v.ctx, chosen)
	if err != nil {
		return c.refusedChange(v, err)
	}
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.again(tx); err != nil {
			return err
		}
		if err := may(tx); err != nil {
			return err
		}
		return tx.SetPassword(v.ctx, o.User.ID, store.NewPassword{
			Hash: hash, How: "account", Keep: v.viewer.session.ID, Device: browserName(*v.viewer.session), Base: c.URL,
		}, v.viewer.actor)
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	c.setFlash(w, "Your password is set. Every other session of yours has ended.")
	http.Redirect(w, r, string(v.at("me/security")), http.StatusSeeOther)
	return nil
}

func (c *Console) ownAddress(v *visit, tx *store.Tx) (templ.Component, error) {
	o, err := own(v, tx)
	if err != nil {
		return nil, err
	}
	if err := v.fresh(tx); err != nil {
		return nil, err
	}
	o.Moves, err = tx.PendingMove(v.ctx, o.User.ID)
	return ownAddressPage(o), err
}

func (c *Console) askMove(v *visit, tx *store.Tx) (string, string, error) {
	o, err := own(v, tx)
	if err != nil {
		return "", "", err
	}
	if err := v.fresh(tx); err != nil {
		return "", "", err
	}
	address := strings.TrimSpace(v.form("email"))
	if err := tx.AskMove(v.ctx, o.User.ID, address, c.URL, v.viewer.actor); err != nil {
		return "", "", err
	}
	return "A link is on its way to " + address + ". Nothing changes until it is opened and confirmed.", string(v.at("me/email")), nil
}

func (c *Console) dropMove(v *visit, tx *store.Tx) (string, string, error) {
	o, err := own(v, tx)
	if err == nil {
		err = tx.DropMove(v.ctx, o.User.ID, v.viewer.actor)
	}
	return "Your address stays as it is. The link that was sent is void.", string(v.at("me/email")), err
}

func (c *Console) ownCode(v *visit, tx *store.Tx) (templ.Component, error) {
	o, err := own(v, tx)
	if err != nil {
		return nil, err
	}
	e, err := tx.SSOExceptionOf(v.ctx, o.User.Email)
	if err != nil {
		return nil, err
	}
	if e == nil || e.Kind != store.BreakGlass {
		return nil, fault.New(fault.Forbidden, "A break-glass code is for who is named as a break-glass exception. An administrator of %s does that.", v.organization.Name)
	}
	if err := v.fresh(tx); err != nil {
		return nil, err
	}
	o.Until, o.Has = v.when(e.Expires, ""), e.HasCode
	return ownCodePage(o), nil
}

// newCode answers the form itself: the code is on no page that can be opened again.
func (c *Console) newCode(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "account", "Break-glass code")
	if err != nil {
		return redirected(w, r, err)
	}
	var o ownPage
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		if o, err = own(v, tx); err != nil {
			return err
		}
		if err = v.fresh(tx); err != nil {
			return err
		}
		if err = v.once(tx, shownOnce{
			"A break-glass code", "If you did not keep it, make another: it voids the one before.", v.at("me/break-glass"), "Break-glass code",
		}); err != nil {
			return err
		}
		o.Code, err = tx.NewExceptionCode(v.ctx, o.User.ID, v.viewer.actor)
		return err
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	return page.Render(w, r, http.StatusOK, ownCodePage(o))
}

// rules is how an organization's people sign in.
type rules struct {
	*frame
	Enforcement store.Enforcement
	Domains     []ruleDomain
	Exceptions  []ruleException
	Local       string
	Missing     []string // what must be before single sign-on can be demanded
	Own         bool     // the viewer has a break-glass exception
	Suggest     string
}

type ruleDomain struct {
	store.EnforcedDomain
	Tested when // by the viewer, as the connection is set up now
}

type ruleException struct {
	store.SSOException
	Until when
	Over  bool
	Ends  templ.SafeURL // empty: only the file ends it
}

func (r rules) state() (tone, icon, words string) {
	switch {
	case r.Enforcement.InForce():
		return "ok", "check", "In force"
	case r.Enforcement.Demanded():
		return "warn", "warn", "Demanded, and waits"
	}
	return "plain", "pause", "Not demanded"
}

func kindWords(kind string) string {
	if kind == store.BreakGlass {
		return "Break-glass"
	}
	return "Guest"
}

// tester is the viewer as the one who passed a test sign-in.
func (v *viewer) tester() string {
	if v.operator != nil {
		return string(v.operator.ID)
	}
	return string(v.self())
}

// ruler refuses who may not set up how people sign in.
func (v *visit) ruler() error {
	if v.viewer.everywhere(access.ConnectionsManage) {
		return nil
	}
	return fault.New(fault.Forbidden, "This needs the permission %q in the whole of %s, and you do not hold it.", access.ConnectionsManage, v.organization.Name)
}

func (c *Console) rules(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.ruler(); err != nil {
		return nil, err
	}
	e, err := tx.Enforcement(v.ctx)
	if err != nil {
		return nil, err
	}
	page := rules{frame: v.frame, Enforcement: e, Local: localWords(v.organization.Settings.LocalSignIn)}
	page.Suggest = v.now.AddDate(0, 3, 0).Format(time.DateOnly)
	if len(e.Domains) == 0 {
		page.Missing = append(page.Missing, "A domain that is proven to belong to "+v.organization.Name+".")
	}
	for _, d := range e.Domains {
		t, passed, err := tx.PassedTest(v.ctx, d.Connection, v.viewer.tester())
		if err != nil {
			return nil, err
		}
		page.Domains = append(page.Domains, ruleDomain{d, v.when(t.Passed, "Not yet")})
		switch {
		case d.Disabled:
			page.Missing = append(page.Missing, d.Name+" is switched off.")
		case !passed:
			page.Missing = append(page.Missing, "A test sign-in through "+d.Name+", passed by you, with its settings of now.")
		}
	}
	list, err := tx.SSOExceptions(v.ctx)
	if err != nil {
		return nil, err
	}
	glass := false
	for _, x := range list {
		line := ruleException{SSOException: x, Until: v.when(x.Expires.Add(-time.Second), ""), Over: x.Over(v.now)}
		if x.Source != "file" {
			line.Ends = v.at("rules/exceptions/" + string(x.ID) + "/end")
		}
		glass = glass || x.Kind == store.BreakGlass && !line.Over
		if s := v.viewer.session; s != nil && x.Kind == store.BreakGlass && !line.Over && strings.EqualFold(s.Email, x.Address) {
			page.Own = true
		}
		page.Exceptions = append(page.Exceptions, line)
	}
	if !glass {
		page.Missing = append(page.Missing, "Somebody named as a break-glass exception: who gets in on the day the provider does not answer.")
	}
	return rulesPage(page), nil
}

func localWords(methods []connection.Method) string {
	switch {
	case methods == nil:
		return "Who was invited and has no identity provider signs in with a password or a passkey. Whoever comes through a provider or a directory does not."
	case len(methods) == 0:
		return "Nobody signs in without an identity provider."
	}
	var names []string
	for _, m := range methods {
		names = append(names, map[connection.Method]string{connection.Password: "a password", connection.Passkey: "a passkey"}[m])
	}
	return "Everybody may sign in with " + strings.Join(names, " or ") + ", beside the identity provider."
}

func (c *Console) enforce(v *visit, tx *store.Tx) (string, string, error) {
	if err := v.ruler(); err != nil {
		return "", "", err
	}
	return "Single sign-on is demanded now. Passwords and passkeys of people in your domains open nothing any more, but for the exceptions.",
		string(v.at("rules")), tx.EnforceSSO(v.ctx, v.viewer.actor, v.viewer.tester())
}

func (c *Console) release(v *visit, tx *store.Tx) (string, string, error) {
	if err := v.ruler(); err != nil {
		return "", "", err
	}
	return "Single sign-on is no longer demanded.", string(v.at("rules")), tx.ReleaseSSO(v.ctx, v.viewer.actor)
}

func (c *Console) except(v *visit, tx *store.Tx) (string, string, error) {
	if err := v.ruler(); err != nil {
		return "", "", err
	}
	e := store.SSOException{Address: v.form("address"), Kind: v.form("kind"), Reason: v.form("reason"), Source: "console"}
	if day, err := time.Parse(time.DateOnly, v.form("expires")); err == nil {
		e.Expires = day.Add(24 * time.Hour) // the day itself is still in
	}
	e, err := tx.PutException(v.ctx, e, v.viewer.actor)
	if err != nil {
		return "", "", firstField(err)
	}
	return e.Address + " may sign in without the provider until " + e.Expires.Add(-time.Second).Format("2 January 2006") + ".", string(v.at("rules")), nil
}

// firstField says what is wrong with a form as the sentence of its first wrong field.
func firstField(err error) error {
	f := new(fault.Fault)
	if errors.As(err, &f) && len(f.Fields) > 0 {
		return fault.New(f.Kind, "%s", f.Fields[0].Message)
	}
	return err
}

func (c *Console) endException(v *visit, tx *store.Tx) (string, string, error) {
	if err := v.ruler(); err != nil {
		return "", "", err
	}
	e, err := tx.EndException(v.ctx, id.SSOException(chi.URLParam(v.r, "exception")), v.viewer.actor)
	return "The exception of " + e.Address + " has ended, and the sessions that came of it.", string(v.at("rules")), err
}

// sendsReset says whether an administrator may have a link to choose a password sent to a user.
func sendsReset(ctx context.Context, tx *store.Tx, user id.User) (bool, error) {
	f, u, err := tx.LocalFacts(ctx, user)
	return err == nil && connection.Local(connection.Password, f) == "" && u.Email != "", err
}

// sendReset has a link sent. Nobody but the person sees or sets a password.
func sendReset(name, email string) act {
	return act{
		Name: "send-reset", Heading: "Send " + name + " a link to choose a password?", Button: "Send the link",
		Follows: []string{
			"A letter goes to " + email + ". Its link works once, for half an hour.",
			"The present password stays until a new one is chosen; then every session of " + name + " ends.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, _ string) (string, error) {
			return "A link to choose a password is on its way to " + u.Email + ".", tx.SendReset(v.ctx, u.ID, v.c.URL, v.viewer.actor)
		},
	}
}

package console

import (
	"net/http"
	"net/mail"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/password"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

const operatorCookie = "vestibule_operator"

// operatorCookieOf makes the cookie of an operator's session. Lax, so that a colleague's link to a page opens it; forms of
// other sites are refused by what the browser says about them.
func (c *Console) operatorCookieOf(handle string, lifetime time.Duration) *http.Cookie {
	k := &http.Cookie{
		Name: operatorCookie, Value: handle, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(lifetime / time.Second),
	}
	if c.cookies().Secure {
		k.Secure, k.Name = true, "__Host-"+operatorCookie
	}
	return k
}

// operatorHash gives the hash of the operator session this browser shows, or "".
func (c *Console) operatorHash(r *http.Request) string {
	// Two cookies of the name mean that somebody planted one: neither is believed.
	cookies := r.CookiesNamed(c.operatorCookieOf("", 0).Name)
	if len(cookies) != 1 || cookies[0].Value == "" {
		return ""
	}
	return seal.Fingerprint(cookies[0].Value)
}

// operatorActor is the operator as the log names them.
func operatorActor(o store.Operator, from audit.Actor) audit.Actor {
	from.Kind, from.ID, from.Name, from.AMR = audit.ActorOperator, string(o.ID), o.Name, o.AMR
	return from
}

// setupForm is what the one-time link's page was filled in with, and what is wrong with it.
type setupForm struct {
	Token, Name, Email string
	Errors             map[string]string
}

func (c *Console) setup(w http.ResponseWriter, r *http.Request) error {
	var open, operator bool
	err := c.DB.System().Read(r.Context(), func(tx *store.SystemTx) (err error) {
		if open, err = tx.OperatorLinkOpen(r.Context()); err != nil {
			return err
		}
		operator, err = tx.HasOperator(r.Context())
		return err
	})
	switch {
	case err != nil:
		return err
	case open:
		return page.Render(w, r, http.StatusOK, setupPage(setupForm{}))
	case operator:
		page.RefuseWith(w, r, c.Log, http.StatusGone, page.Failure{
			Title: "This installation is set up", Said: "Its one-time link was used: there is an operator.",
			Do: "Sign in as operator with the address and the password that were chosen then. Who has lost them asks somebody at the machine to run “vestibule recover”.", Back: "/operator/signin", Where: "Sign in as operator",
		})
		return nil
	}
	page.RefuseWith(w, r, c.Log, http.StatusGone, page.Failure{
		Title: "This link is over", Said: "The one-time link has expired.", Do: "Start the node again: it prints a new link, for as long as there is no operator.",
	})
	return nil
}

func (c *Console) claim(w http.ResponseWriter, r *http.Request) error {
	ctx, from := r.Context(), c.from(r)
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	f := setupForm{
		Token: strings.TrimSpace(r.PostForm.Get("token")), Name: strings.TrimSpace(r.PostForm.Get("name")),
		Email: strings.TrimSpace(r.PostForm.Get("email")), Errors: map[string]string{},
	}
	// What is pasted may be the whole link.
	if _, fragment, found := strings.Cut(f.Token, "#"); found {
		f.Token = fragment
	}
	var usable bool
	err := c.DB.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		if err = tx.CountOperatorClaim(ctx, from.IP); err != nil {
			return err
		}
		usable, err = tx.OperatorLinkUsable(ctx, f.Token)
		return err
	})
	if err != nil {
		return err
	}
	if !usable {
		return fault.New(fault.Gone, "This one-time link was used already, has expired, or is not one of ours.")
	}
	chosen := r.PostForm.Get("password")
	if f.Name == "" || len(f.Name) > 200 {
		f.Errors["name"] = "Say how others should see you in the log, in at most 200 characters."
	}
	if a, err := mail.ParseAddress(f.Email); err != nil || a.Address != f.Email || len(f.Email) > 254 {
		f.Errors["email"] = "This is not an email address. It should look like you@company.example."
	}
	if bad := password.Judge(chosen, password.Whose{Name: f.Name, Address: f.Email}); bad != "" {
		f.Errors["password"] = bad
	}
	if len(f.Errors) > 0 {
		return page.Render(w, r, http.StatusUnprocessableEntity, setupPage(f))
	}
	hash, err := password.Hash(ctx, chosen)
	if err != nil {
		return err
	}
	n := store.NewOperator{Email: f.Email, Name: f.Name, Password: hash}
	browser, cookie := c.cookies().EnsureBrowser(r)
	var next operatorStep
	err = c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		o, err := tx.ClaimOperatorLink(ctx, f.Token, n, from)
		if err != nil {
			return err
		}
		next, err = c.passOperator(ctx, tx, r, operatorPending{browser: browser, operator: o, proof: operatorProof{
			Operator: o.ID, AMR: []string{mfa.Password}, Fresh: true, To: "/",
		}})
		return err
	})
	if err != nil {
		return err
	}
	return c.onward(w, r, next, cookie)
}

// operatorForm is what the operator's sign-in page was filled in with.
type operatorForm struct {
	Email, ReturnTo, Error string
	// Anew: they are signed in, and are asked once more before something that a browser left open must not do.
	Anew bool
}

func (f operatorForm) heading() string {
	if f.Anew {
		return "Show that it is you"
	}
	return "Operator sign-in"
}

// operatorSignIn asks for the password; of an operator who is signed in and is to show it anew, for a factor where they have one.
func (c *Console) operatorSignIn(w http.ResponseWriter, r *http.Request) error {
	o, err := c.operator(r.Context(), r)
	if err != nil {
		return err
	}
	if to := r.URL.Query().Get("return_to"); o != nil && to != "" && r.Method == http.MethodGet {
		next, cookie, err := c.proveOperator(r, *o, to, "", false)
		if err != nil {
			return err
		}
		if next.to != "" {
			return c.onward(w, r, next, cookie)
		}
	}
	f := operatorForm{ReturnTo: r.URL.Query().Get("return_to")}
	if o != nil && f.ReturnTo != "" {
		f.Email, f.Anew = o.Email, true
	}
	return page.Render(w, r, http.StatusOK, operatorSignInPage(f))
}

func (c *Console) operatorEnter(w http.ResponseWriter, r *http.Request) error {
	ctx, from := r.Context(), c.from(r)
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	f := operatorForm{Email: strings.TrimSpace(r.PostForm.Get("email")), ReturnTo: r.PostForm.Get("return_to"), Anew: r.PostForm.Get("anew") != ""}
	var o store.Operator
	var hash string
	err := c.DB.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		if err = tx.CountOperatorSignIn(ctx, f.Email, from.IP); err != nil {
			return err
		}
		o, hash, err = tx.OperatorByEmail(ctx, f.Email)
		if fault.KindOf(err) == fault.NotFound {
			o, hash, err = store.Operator{}, password.Nobody, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	// An unknown address takes as long as a wrong password and gets the same sentence: which addresses are operators'
	// is nobody's business.
	typed := r.PostForm.Get("password")
	fits, outdated, err := password.Verify(ctx, typed, hash)
	if err != nil {
		return err
	}
	if !fits {
		code := page.Code()
		if err := c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.Record(ctx, audit.Event{
				Actor: from, Action: "sign-in.refused", TargetKind: "operator", TargetID: string(o.ID), TargetName: o.Name,
				Outcome: audit.Refused, Code: code, Reason: "wrong address or password",
			})
			return nil
		}); err != nil {
			return err
		}
		f.Error = "Address and password do not fit together. Nothing was changed. Code " + code + "."
		return page.Render(w, r, http.StatusUnauthorized, operatorSignInPage(f))
	}
	renewed := ""
	if outdated {
		if renewed, err = password.Hash(ctx, typed); err != nil {
			return err
		}
	}
	browser, cookie := c.cookies().EnsureBrowser(r)
	var next operatorStep
	if err := c.DB.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		if renewed != "" {
			tx.RenewOperatorHash(ctx, o.ID, hash, renewed)
		}
		next, err = c.passOperator(ctx, tx, r, operatorPending{browser: browser, operator: o, proof: operatorProof{
			Operator: o.ID, AMR: []string{mfa.Password}, Fresh: true, Session: c.operatorHash(r), To: f.ReturnTo,
		}})
		return err
	}); err != nil {
		return err
	}
	return c.onward(w, r, next, cookie)
}

func (c *Console) operatorLeave(w http.ResponseWriter, r *http.Request) error {
	ctx, hash := r.Context(), c.operatorHash(r)
	if hash != "" {
		err := c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
			o, _, err := tx.OperatorSession(ctx, hash)
			if fault.KindOf(err) == fault.Unauthenticated {
				return nil
			}
			if err != nil {
				return err
			}
			return tx.EndOperatorSession(ctx, hash, operatorActor(o, c.from(r)))
		})
		if err != nil {
			return err
		}
	}
	http.SetCookie(w, c.operatorCookieOf("", -time.Second))
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

package signin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/password"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Signing in without a provider.
//
//	request                                  does
//	---------------------------------------  --------------------------------------------------------------------
//	GET  /signin?attempt=&way=password       the page for a password
//	POST /signin/password                    compares it, and goes on as after any first factor
//	GET, POST /signin/forgot                 has a link sent, whoever asks, and says the same to everybody
//	GET, POST /signin/link/{purpose}/        a personal link: the page behind it, and what it does when its button is
//	     {organization}/{token}              pressed: choose a password, confirm an address, come back in
//	GET, POST /signin/break-glass            comes in by the code of a break-glass exception
//	GET, POST /signin/join                   links a provider's subject to the account that has its address
//
// Before somebody has shown who they are, every answer is the same for an address that somebody has and for one that nobody has, and
// takes as long (catalogue 182).
func (f *flow) mountLocal(mount func(method, pattern string, serve http.HandlerFunc)) {
	const link = "/signin/link/{purpose}/{organization}/{token}"
	mount(http.MethodPost, "/signin/password", f.password)
	mount(http.MethodGet, "/signin/forgot", f.forgot)
	mount(http.MethodPost, "/signin/forgot", f.sendLink)
	mount(http.MethodGet, link, f.personalLink)
	mount(http.MethodPost, link, f.usePersonalLink)
	mount(http.MethodGet, "/signin/break-glass", f.breakGlass)
	mount(http.MethodPost, "/signin/break-glass", f.useBreakGlass)
	mount(http.MethodGet, "/signin/join", f.join)
	mount(http.MethodPost, "/signin/join", f.joined)
}

// local reads what the pages of this file have in common: the attempt of this browser, the organization and the address.
func (f *flow) local(r *http.Request, values url.Values) (v passwordView, attempt session.Attempt, hints session.Hints, err error) {
	for _, name := range []string{"attempt", "organization", "email", "password", "code"} {
		if _, one := single(values, name); !one {
			return v, attempt, hints, fault.New(fault.Invalid, "A field stands there twice.")
		}
	}
	if attempt, err = f.attempt(r.Context(), id.Attempt(values.Get("attempt")), f.cookies.Browser(r)); err != nil {
		return v, attempt, hints, err
	}
	if hints, err = attempt.Hints(); err != nil {
		return v, attempt, hints, err
	}
	v = passwordView{
		attempt: attempt.ID, organization: id.Organization(strings.TrimSpace(values.Get("organization"))),
		email: strings.TrimSpace(values.Get("email")), again: hints.StepUp,
	}
	if v.organization == "" {
		v.organization = hints.Organization
	}
	if v.organization != "" && !id.Declared(string(v.organization)) {
		return v, attempt, hints, refuse(connection.CodeUnknownOrganization, "")
	}
	if len(v.email) > 254 {
		return v, attempt, hints, fault.New(fault.TooLarge, "This address is too long.")
	}
	if v.email == "" {
		v.email = hints.LoginHint
	}
	return v, attempt, hints, nil
}

// smallForm reads a form of this file.
func smallForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		return fault.New(fault.TooLarge, "This form is too large.")
	}
	return nil
}

// turnAway answers an error of these pages: as the end of a sign-in where it is one, else as any other.
func (f *flow) turnAway(w http.ResponseWriter, r *http.Request, at stop, err error) {
	if fault.KindOf(err) == fault.TooMany {
		w.Header().Set("Retry-After", "900")
		page.Refuse(w, r, f.Log, err)
		return
	}
	if at.attempt == "" {
		at.recorded = true // nobody's sign-in
	}
	f.fail(w, r, at, err)
}

// passwordFor is the page for a password as far as the request says for whom. Whoever shows it once more is who is signed in.
func (f *flow) passwordFor(r *http.Request, attempt session.Attempt, hints session.Hints, org string) passwordView {
	v := passwordView{attempt: attempt.ID, organization: hints.Organization, email: hints.LoginHint, again: hints.StepUp}
	if typed := r.URL.Query().Get("email"); v.email == "" && connection.DomainOf(typed) != "" {
		v.email = typed
	}
	if id.Declared(org) {
		v.organization = id.Organization(org) // the home, which may serve the organization asked for
	}
	if v.again {
		if s, err := f.signedIn(r, v.organization); err == nil {
			v.email = s.Email
		}
	}
	return v
}

// askPassword shows the page for a password.
func (f *flow) askPassword(w http.ResponseWriter, r *http.Request, attempt session.Attempt, v passwordView, status int) {
	err := f.DB.System().Read(r.Context(), func(tx *store.SystemTx) (err error) {
		v.name, err = tx.OrganizationName(r.Context(), v.organization)
		return err
	})
	if err == nil && !v.again {
		v.challenge, v.passkey, err = f.beside(r.Context(), attempt)
	}
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	f.render(w, r, status, passwordPage(v))
}

// notYours is the one thing that is said of a password that does not open anything.
const notYours = "Address and password do not fit together. Nothing was changed. If you have accounts in several organizations, begin at the one you want."

// password serves POST /signin/password.
func (f *flow) password(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if err := smallForm(w, r); err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	v, attempt, hints, err := f.local(r, r.PostForm)
	at := stop{attempt: attempt.ID, organization: v.organization}
	if err != nil {
		f.turnAway(w, r, at, err)
		return
	}
	typed, ip := r.PostForm.Get("password"), ""
	ip, _ = f.From(r)
	var account store.LocalAccount
	err = f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		accounts, err := tx.LocalAccounts(ctx, v.organization, v.email, attempt.Browser)
		if err != nil {
			return err
		}
		account = store.LocalAccount{}
		if len(accounts) > 0 {
			account = accounts[0]
		}
		return tx.CountPassword(ctx, v.email, attempt.Browser, ip, account.Known)
	})
	if err != nil {
		f.turnAway(w, r, at, err)
		return
	}
	hash := account.Hash
	if hash == "" {
		// Of nobody, or of somebody who never chose one: one comparison like everybody's.
		hash = password.Nobody
	}
	fits, outdated, err := password.Verify(ctx, typed, hash)
	if err != nil {
		f.turnAway(w, r, at, err)
		return
	}
	if !fits || account.Hash == "" {
		at.organization = either2(account.Organization, v.organization)
		if err := f.recordWrong(ctx, r, at, account, v.email, CodeWrongPassword); err != nil {
			page.Refuse(w, r, f.Log, err)
			return
		}
		v.wrong = notYours
		f.askPassword(w, r, attempt, v, http.StatusUnauthorized)
		return
	}
	renewed := ""
	if outdated {
		if renewed, err = password.Hash(ctx, typed); err != nil {
			f.turnAway(w, r, at, err)
			return
		}
	}
	at.organization = account.Organization
	landed, err := f.enterLocal(ctx, r, attempt, hints, at, localProof{
		user: account.User, how: "password", methods: []string{mfa.Password}, method: connection.Password,
		check: func(tx *store.Tx) error {
			now, _, err := tx.PasswordOf(ctx, account.User)
			if err == nil && now != hash {
				err = refuse(CodeAttempt, "the password was changed in this very moment")
			}
			if err == nil {
				tx.KnowBrowser(ctx, account.User, attempt.Browser)
				if renewed != "" {
					tx.RenewHash(ctx, account.User, hash, renewed)
				}
			}
			return err
		},
	})
	if err == nil {
		err = f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.ForgivePassword(ctx, v.email, attempt.Browser, ip, account.Known)
			return nil
		})
	}
	f.finish(w, r, at, landed, err)
}

func either2(a, b id.Organization) id.Organization {
	if a != "" {
		return a
	}
	return b
}

// recordWrong keeps the event of a first factor that was wrong, with what was typed only where it is an address: people type
// passwords into the wrong field.
func (f *flow) recordWrong(ctx context.Context, r *http.Request, at stop, account store.LocalAccount, typed string, code connection.Code) error {
	e := audit.Event{
		Actor: f.actor(r, ""), Action: "sign-in.refused", TargetKind: "user", TargetID: string(account.User), TargetName: account.Name,
		User: account.User, Outcome: audit.Refused, Code: string(code),
	}
	if connection.DomainOf(typed) != "" {
		e.After = encode(map[string]string{"email": typed})
	}
	return f.DB.System().Write(context.WithoutCancel(ctx), func(tx *store.SystemTx) error {
		if at.organization == "" {
			tx.Record(ctx, e)
			return nil
		}
		e.Actor.Organization = at.organization
		tx.In(at.organization).Record(ctx, e)
		return nil
	})
}

// localProof is a first factor of a person's own that was right.
type localProof struct {
	user    id.User
	how     string
	methods []string
	method  connection.Method // whose permission it needs; empty: none
	check   func(tx *store.Tx) error
}

// enterLocal makes of it what is made of every first factor. Whether the person may come in this way at all is decided here, after
// they have shown who they are, and told to nobody else.
func (f *flow) enterLocal(
	ctx context.Context, r *http.Request, attempt session.Attempt, hints session.Hints, at stop, p localProof,
) (landing, error) {
	if err := f.serves(ctx, at.organization, hints.Organization); err != nil {
		return landing{}, err
	}
	var landed landing
	var stopped *refusal
	err := f.DB.Write(ctx, at.organization, func(tx *store.Tx) error {
		stopped = nil
		facts, u, err := tx.LocalFacts(ctx, p.user)
		if err != nil {
			return err
		}
		code := connection.Local(p.method, facts)
		if p.method == "" && (code == connection.CodeEnforced || code == connection.CodeNotLocal) {
			code = ""
		}
		if code != "" {
			actor := f.actor(r, "")
			actor.Organization = tx.Organization
			stopped = refuse(code, "")
			tx.Record(ctx, audit.Event{
				Actor: actor, Action: "sign-in.refused", TargetKind: "user", TargetID: string(u.ID), TargetName: u.Name(), User: u.ID,
				Outcome: audit.Refused, Code: string(code), After: encode(map[string]string{"way": p.how}),
			})
			return nil
		}
		if err := p.check(tx); err != nil {
			return err
		}
		landed, err = f.pass(ctx, tx, r, attempt, hints, proof{
			User: u.ID, Name: u.Name(), How: p.how, AMR: p.methods, AuthTime: tx.Now(),
		})
		return err
	})
	switch {
	case err != nil:
		return landing{}, err
	case stopped != nil:
		return landing{}, &found{refusal: stopped}
	}
	return f.onward(ctx, attempt, hints, landed)
}

// forgot serves GET /signin/forgot.
func (f *flow) forgot(w http.ResponseWriter, r *http.Request) {
	v, attempt, _, err := f.local(r, r.URL.Query())
	if err != nil {
		f.turnAway(w, r, stop{attempt: attempt.ID}, err)
		return
	}
	f.render(w, r, http.StatusOK, forgotPage(v))
}

// sendLink serves POST /signin/forgot.
func (f *flow) sendLink(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if err := smallForm(w, r); err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	v, attempt, _, err := f.local(r, r.PostForm)
	if err != nil {
		f.turnAway(w, r, stop{attempt: attempt.ID}, err)
		return
	}
	if connection.DomainOf(v.email) == "" {
		v.wrong = "This is not an email address. It looks like name@company.example."
		f.render(w, r, http.StatusUnprocessableEntity, forgotPage(v))
		return
	}
	ip, _ := f.From(r)
	err = f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		may, err := tx.MayWrite(ctx, v.email, ip)
		if err != nil || !may {
			return err
		}
		// Who is meant is looked up afterwards, so that this takes as long whether somebody is or nobody.
		return tx.AskReset(ctx, store.ResetAsked{Organization: v.organization, Address: v.email, Base: f.URL, Actor: f.actor(r, "")})
	})
	if err != nil {
		f.turnAway(w, r, stop{attempt: attempt.ID}, err)
		return
	}
	f.render(w, r, http.StatusOK, forgotSentPage(v))
}

// opened is a personal link with whom it is for.
type opened struct {
	store.PersonalLink
	user  *directory.User
	name  string // of the organization
	token string
}

// openLink finds what is behind a personal link's address.
func (f *flow) openLink(r *http.Request) (org id.Organization, o opened, err error) {
	ctx := r.Context()
	org = id.Organization(r.PathValue("organization"))
	purpose := store.Purpose(r.PathValue("purpose"))
	o.token = r.PathValue("token")
	if !id.Declared(string(org)) || len(o.token) != 43 {
		return "", o, fault.New(fault.Gone, "This link is not whole. Copy all of it from the letter.").WithCode("link-over")
	}
	ip, _ := f.From(r)
	err = f.DB.System().Write(ctx, func(tx *store.SystemTx) error { return tx.CountPersonalLink(ctx, ip) })
	if err != nil {
		return org, o, err
	}
	err = f.DB.Read(ctx, org, func(tx *store.Tx) (err error) {
		if o.PersonalLink, err = tx.PersonalLink(ctx, purpose, o.token); err != nil {
			return err
		}
		if o.user, err = tx.User(ctx, o.User); err != nil {
			return err
		}
		self, err := tx.Self(ctx)
		if err == nil {
			o.name = self.Name
		}
		return err
	})
	return org, o, err
}

// personalLink serves GET of a personal link. It spends nothing.
func (f *flow) personalLink(w http.ResponseWriter, r *http.Request) {
	org, o, err := f.openLink(r)
	if err != nil {
		f.linkRefused(w, r, err)
		return
	}
	w.Header().Set("Referrer-Policy", "no-referrer") // the address is a credential
	action := store.PersonalPath(o.Purpose, org, o.token)
	switch o.Purpose {
	case store.ToReset:
		f.render(w, r, http.StatusOK, choosePasswordPage(chooseView{action: action, name: o.name, email: o.user.Email}))
	case store.ToMove:
		f.render(w, r, http.StatusOK, confirmPage(confirmView{
			title: "Confirm your new address", action: action, label: "Use " + o.Address + " from now on",
			said: "Your account at " + o.name + " gets the address " + o.Address + ".",
			note: "You sign in with it, and letters go there. The old address, " + o.user.Email + ", is told.",
		}))
	case store.ToRecover:
		f.render(w, r, http.StatusOK, confirmPage(confirmView{
			title: "Come back in", action: action, label: "Sign in as " + o.user.Name(),
			said: o.MadeBy + " has made this link for you: it signs you in to " + o.name + " as " + o.user.Name() + ", once.",
			note: "Use it in the browser that you want to be signed in with.",
		}))
	}
}

// linkRefused says that a link is over, as a page of its own: there is no sign-in that it could end.
func (f *flow) linkRefused(w http.ResponseWriter, r *http.Request, err error) {
	if fault.KindOf(err) == fault.TooMany {
		w.Header().Set("Retry-After", "900")
	}
	if fault.KindOf(err) == fault.Gone {
		status, failure := page.FailureOf(err)
		failure.Title, failure.Back, failure.Where = "This link is over", "/signin?return_to=/", "Sign in, or ask for another"
		page.RefuseWith(w, r, f.Log, status, failure)
		return
	}
	page.Refuse(w, r, f.Log, err)
}

// usePersonalLink serves POST of a personal link.
func (f *flow) usePersonalLink(w http.ResponseWriter, r *http.Request) {
	if err := smallForm(w, r); err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	org, o, err := f.openLink(r)
	if err == nil {
		switch o.Purpose {
		case store.ToReset:
			err = f.reset(w, r, org, o)
		case store.ToMove:
			err = f.move(w, r, org, o)
		case store.ToRecover:
			err = f.recover(w, r, org, o)
		}
	}
	if err != nil {
		f.linkRefused(w, r, err)
	}
}

// self is the person of a link, as who acts.
func (f *flow) self(r *http.Request, org id.Organization, u *directory.User) audit.Actor {
	actor := f.actor(r, "")
	actor.Kind, actor.ID, actor.Name, actor.Organization = audit.ActorUser, string(u.ID), u.Name(), org
	return actor
}

func (f *flow) reset(w http.ResponseWriter, r *http.Request, org id.Organization, o opened) error {
	ctx := r.Context()
	chosen := r.PostForm.Get("password")
	if bad := password.Judge(chosen, password.Whose{Name: o.user.Name(), Address: o.user.Email, Organization: o.name}); bad != "" {
		w.Header().Set("Referrer-Policy", "no-referrer")
		f.render(w, r, http.StatusUnprocessableEntity, choosePasswordPage(chooseView{
			action: store.PersonalPath(o.Purpose, org, o.token), name: o.name, email: o.user.Email, wrong: bad,
		}))
		return nil
	}
	hash, err := password.Hash(ctx, chosen)
	if err != nil {
		return err
	}
	err = f.DB.Write(ctx, org, func(tx *store.Tx) error {
		if err := tx.SpendLink(ctx, o.PersonalLink); err != nil {
			return err
		}
		if err := tx.MayLocal(ctx, o.User, connection.Password); err != nil {
			return err
		}
		return tx.SetPassword(ctx, o.User, store.NewPassword{
			Hash: hash, How: "reset", Proven: true, Device: plain(r.UserAgent()), Base: f.URL,
		}, f.self(r, org, o.user))
	})
	if err != nil {
		return err
	}
	to := "/signin?" + url.Values{
		"organization": {string(org)}, "login_hint": {o.user.Email}, "way": {"password"}, "return_to": {"/o/" + string(org) + "/me"},
	}.Encode()
	f.render(w, r, http.StatusOK, donePage(doneView{
		title: "Your password is set", said: "Whoever was signed in to your account before is signed out. Sign in with the new password now.",
		to: to, label: "Sign in",
	}))
	return nil
}

func (f *flow) move(w http.ResponseWriter, r *http.Request, org id.Organization, o opened) error {
	ctx := r.Context()
	err := f.DB.Write(ctx, org, func(tx *store.Tx) error {
		_, err := tx.Move(ctx, o.PersonalLink, f.URL, f.self(r, org, o.user))
		return err
	})
	if err != nil {
		return err
	}
	f.render(w, r, http.StatusOK, donePage(doneView{
		title: "Your address is confirmed", said: "From now on your address at " + o.name + " is " + o.Address + ".",
		to: "/o/" + string(org) + "/me", label: "To your account",
	}))
	return nil
}

// recover signs in whom the operator has sent a link. It asks for a second factor like every other way.
func (f *flow) recover(w http.ResponseWriter, r *http.Request, org id.Organization, o opened) error {
	ctx := r.Context()
	attempt, hints, err := f.own(w, r, org, "/o/"+string(org))
	if err != nil {
		return err
	}
	at := stop{attempt: attempt.ID, organization: org, name: o.name}
	landed, err := f.enterLocal(ctx, r, attempt, hints, at, localProof{
		user: o.User, how: "recovery link", methods: []string{mfa.OneTime},
		check: func(tx *store.Tx) error { return tx.SpendLink(ctx, o.PersonalLink) },
	})
	f.finish(w, r, at, landed, err)
	return nil
}

// own begins an attempt for a sign-in that did not begin at the sign-in page.
func (f *flow) own(w http.ResponseWriter, r *http.Request, org id.Organization, to string) (session.Attempt, session.Hints, error) {
	hints := session.Hints{Organization: org, ReturnTo: session.OwnPath(to)}
	browser, cookie := f.cookies.EnsureBrowser(r)
	attempt := session.Attempt{
		ID: id.New[id.Attempt](), Browser: browser, Purpose: session.ForConsole, Request: encode(hints), Created: f.DB.Now(),
	}
	err := f.DB.System().Write(r.Context(), func(tx *store.SystemTx) error { return tx.CreateAttempt(r.Context(), attempt) })
	if err == nil && cookie != nil {
		http.SetCookie(w, cookie)
	}
	return attempt, hints, err
}

// breakGlass serves GET /signin/break-glass.
func (f *flow) breakGlass(w http.ResponseWriter, r *http.Request) {
	v, attempt, _, err := f.local(r, r.URL.Query())
	if err != nil {
		f.turnAway(w, r, stop{attempt: attempt.ID}, err)
		return
	}
	f.render(w, r, http.StatusOK, breakGlassPage(v))
}

// useBreakGlass serves POST /signin/break-glass.
func (f *flow) useBreakGlass(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if err := smallForm(w, r); err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	v, attempt, hints, err := f.local(r, r.PostForm)
	at := stop{attempt: attempt.ID, organization: v.organization}
	if err != nil {
		f.turnAway(w, r, at, err)
		return
	}
	ip, _ := f.From(r)
	var account store.LocalAccount
	err = f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		if err := tx.CountPersonalLink(ctx, ip); err != nil {
			return err
		}
		accounts, err := tx.LocalAccounts(ctx, v.organization, v.email, attempt.Browser)
		account = store.LocalAccount{}
		if len(accounts) > 0 && v.organization != "" {
			account = accounts[0]
		}
		return err
	})
	if err != nil {
		f.turnAway(w, r, at, err)
		return
	}
	wrong := &refusal{code: CodeWrongPassword}
	var landed landing
	if account.User == "" {
		err = wrong
	} else {
		landed, err = f.enterLocal(ctx, r, attempt, hints, at, localProof{
			user: account.User, how: "break-glass code", methods: []string{mfa.OneTime}, method: connection.Password,
			check: func(tx *store.Tx) error {
				u, err := tx.User(ctx, account.User)
				if err != nil {
					return err
				}
				spent, err := tx.SpendExceptionCode(ctx, u.Email, r.PostForm.Get("code"))
				if err == nil && !spent {
					err = wrong
				}
				if err != nil {
					return err
				}
				e := audit.Event{
					Actor: f.self(r, at.organization, u), Action: "sso-exception.code-used", TargetKind: "user", TargetID: string(u.ID),
					TargetName: u.Name(), User: u.ID,
				}
				tx.Record(ctx, e)
				return tx.PostSecurityNotice(ctx, u.ID, "Your break-glass code was used to sign in.", ip, plain(r.UserAgent()), f.URL)
			},
		})
	}
	if why := refusalOf(err); err != nil && why.code != CodeInternal && why.code != CodeAttempt {
		// The code is what shows who somebody is: until it is right, one answer for all.
		code := why.code
		if why != wrong {
			code = CodeWrongPassword
		}
		if err := f.recordWrong(ctx, r, at, account, v.email, code); err != nil {
			page.Refuse(w, r, f.Log, err)
			return
		}
		v.wrong = "Organization, address and code do not fit together, or the code was used already."
		f.render(w, r, http.StatusUnauthorized, breakGlassPage(v))
		return
	}
	f.finish(w, r, at, landed, err)
}

// joinFresh is how old the other sign-in may be before which two ways are joined: the person has just done it.
const joinFresh = 5 * time.Minute

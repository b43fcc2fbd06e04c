// Package signin brings people in: it finds out where a person signs in, sends them there, judges what comes back, and makes
// the session. It is an OpenID relying party, or a SAML service provider, towards each organization's own provider.
//
// The flow is a state machine whose state is the attempt's row (package session has its table); each step below reads it, does
// one thing and returns to a redirect, so any node may serve the next step.
//
//	request                                     does
//	------------------------------------------  -------------------------------------------------------------------
//	GET  /signin?attempt=                       route: by connection, hinted domain or organization; asks for an
//	                                            address, offers a choice, refuses, or sends the browser away
//	GET  /signin?return_to=&organization=       begins an attempt of its own for the console, then the same
//	POST /signin                                the same with the address a person typed
//	GET  /sso/{organization}/{connection}/      spends the state, redeems the code, verifies the ID token, finds the
//	     callback                               person, makes the session: all rows in one transaction
//	POST /sso/{organization}/{connection}/acs   spends the handle, judges a SAML response, parks what it says
//	GET  /sso/{organization}/{connection}/      the same browser's next step: finds the person and makes the session
//	     landed
//	GET  /sso/{organization}/{connection}/      asks whom a SAML provider sent unasked whether they mean it; POST signs
//	     sent                                   them in
//	GET  /sso/{organization}/{connection}/      our metadata as that connection's SAML service provider
//	     metadata
//	GET  /sso/{organization}/{connection}/      takes whom our logout has signed out to the provider's
//	     leave
//	GET  .../left                               whom an OpenID Provider's logout sends back
//	GET  .../jwks                               our public keys towards an OpenID Provider
//	POST .../backchannel-logout                 an OpenID Provider's demand to end sessions, from server to server
//	GET, POST .../slo                           a SAML provider's demand to end sessions, or its answer to ours
//	GET  /signin/no-access                      tells who has no access at all where they are and whom to ask
//	POST /signin/no-access                      keeps their note for the administrators
//
// A refusal is a page in plain words with a short code, and one audit event with the same code; no user, identity, session
// or token is written by it. No address of another host is ever taken from a request: where a person ends is this host's
// own path, or what issuing keeps for the application.
package signin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// SignIn serves the flow.
type SignIn struct {
	DB  *store.DB
	Log *slog.Logger
	// URL is the public base URL, without a slash at its end.
	URL string
	// Guard makes the requests to upstream providers.
	Guard *netguard.Guard
	// From gives the address a request came from and its id in the log.
	From func(*http.Request) (ip, request string)
	// Resolver asks the DNS for proofs of domains; nil: this machine's.
	Resolver Resolver
	// Patience is how long a page waits to learn whether a code was handed over.
	Patience time.Duration
}

// Router is where the routes go.
type Router interface {
	Method(method, pattern string, h http.Handler)
}

// Mount adds the routes.
func (s *SignIn) Mount(r Router) {
	up := newUpstream(s.DB, s.Guard, s.Log)
	f := &flow{SignIn: s, upstream: up, saml: &service{upstream: up, url: s.URL}, cookies: session.For(s.URL)}
	passkeys, err := mfa.NewPasskeys(s.URL)
	if err != nil {
		panic("signin: the public URL " + s.URL + " is no place for passkeys: " + err.Error())
	}
	f.passkeys = passkeys
	own := func(method, pattern string, serve http.HandlerFunc) {
		r.Method(method, pattern, page.Headers(f.sameOrigin(serve)))
	}
	f.mountFactors(own)
	f.mountLocal(own)
	f.mountInvitations(own)
	for _, route := range []struct {
		method, pattern string
		serve           http.HandlerFunc
	}{
		{http.MethodGet, "/signin", f.start},
		{http.MethodPost, "/signin", f.address},
		{http.MethodGet, "/signin/no-access", f.noAccess},
		{http.MethodPost, "/signin/no-access", f.note},
		{http.MethodGet, "/sso/{organization}/{connection}/callback", headless(f.callback)},
		{http.MethodGet, "/sso/{organization}/{connection}/landed", headless(f.landed)},
		{http.MethodGet, "/sso/{organization}/{connection}/metadata", f.metadata},
		{http.MethodGet, "/sso/{organization}/{connection}/sent", headless(f.sent)},
		{http.MethodPost, "/sso/{organization}/{connection}/sent", f.enterSent},
		{http.MethodGet, "/sso/{organization}/{connection}/leave", headless(f.depart)},
		{http.MethodGet, "/sso/{organization}/{connection}/left", headless(f.left)},
		{http.MethodGet, "/sso/{organization}/{connection}/jwks", f.clientKeySet},
	} {
		r.Method(route.method, route.pattern, page.Headers(f.sameOrigin(route.serve)))
	}
	// The provider's page posts here, so what stops forms of other sites must not stand before it. It gives nobody a session.
	r.Method(http.MethodPost, "/sso/{organization}/{connection}/acs", page.Headers(http.HandlerFunc(f.acs)))
	r.Method(http.MethodPost, "/sso/{organization}/{connection}/backchannel-logout", page.Headers(http.HandlerFunc(f.backChannel)))
	r.Method(http.MethodGet, "/sso/{organization}/{connection}/slo", page.Headers(headless(f.slo)))
	r.Method(http.MethodPost, "/sso/{organization}/{connection}/slo", page.Headers(http.HandlerFunc(f.slo)))
}

// headless answers a HEAD with nothing and does nothing. The protocols bring their answers by GET, so these handlers spend what they
// are given, and a HEAD is routed as the GET it asks about; it is a safe method (RFC 9110 section 9.2.1), and who checks links uses it.
func headless(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Cache-Control", "no-store")
			return
		}
		serve(w, r)
	}
}

type flow struct {
	*SignIn
	upstream *upstream
	saml     *service
	cookies  session.Cookies
	passkeys *mfa.Passkeys // nil where the installation's address allows none
}

// Rates, per address and minute. An office of a thousand people shares one address at nine o'clock, so what an honest browser
// does is bounded widely and what only a guesser does narrowly.
const (
	startsPerMinute    = 600
	addressesPerMinute = 60
	strayPerMinute     = 60 // callbacks that fit no attempt
)

// sameOrigin refuses forms that another site's page sends (login CSRF), by what the browser says about the sender.
func (f *flow) sameOrigin(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	if err := guard.AddTrustedOrigin(f.URL); err != nil {
		panic("signin: the public URL " + f.URL + " is not an origin: " + err.Error())
	}
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page.Refuse(w, r, f.Log, fault.New(fault.Forbidden,
			"This form was sent from another site's page, so nothing was done. Open the page here and send it again."))
	}))
	return guard.Handler(next)
}

// allow counts a request of an address and says whether it is within the rate; if not, the answer is given.
func (f *flow) allow(w http.ResponseWriter, r *http.Request, what string, rate int64) bool {
	ip, _ := f.From(r)
	hits, err := f.DB.Hit(r.Context(), "signin/"+what+"/"+store.Network(ip), time.Minute)
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return false
	}
	return f.within(w, r, hits, rate)
}

func (f *flow) within(w http.ResponseWriter, r *http.Request, hits, rate int64) bool {
	if hits <= rate {
		return true
	}
	w.Header().Set("Retry-After", "60")
	page.Refuse(w, r, f.Log, fault.New(fault.TooMany, "Too many sign-ins came from your network in the last minute.").WithCode("too-many"))
	return false
}

// single gives the one value of a parameter, and false where it stands there twice: two readers of a repeated parameter may
// read two different ones.
func single(v url.Values, name string) (string, bool) {
	if len(v[name]) > 1 {
		return "", false
	}
	return v.Get(name), true
}

// start serves GET /signin.
func (f *flow) start(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for name, values := range q {
		if len(values) > 1 || len(values[0]) > 2048 || len(name) > 64 {
			page.Refuse(w, r, f.Log, fault.New(fault.Invalid, "The parameter %.64q stands there twice or is too long.", name))
			return
		}
	}
	if !f.allow(w, r, "start", startsPerMinute) {
		return
	}
	if q.Get("attempt") == "" {
		f.begin(w, r, q)
		return
	}
	attempt, err := f.attempt(r.Context(), id.Attempt(q.Get("attempt")), f.cookies.Browser(r))
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	hints, err := attempt.Hints()
	if err != nil {
		f.fail(w, r, stop{attempt: attempt.ID}, err)
		return
	}
	if chosen := q.Get("connection"); chosen != "" {
		// A choice on our own page names both; the request's organization stays what was asked for.
		hints.Connection = id.Connection(chosen)
		if hints.Organization == "" {
			hints.Organization = id.Organization(q.Get("organization"))
		}
	}
	if org := id.Organization(q.Get("step_up")); org != "" && attempt.Session == "" {
		// Issuing found a session that fits but for what it has shown. Only what this browser holds is looked at.
		if s, err := f.DB.Session(r.Context(), org, f.cookies.Hash(r, org)); err == nil {
			f.stepUp(w, r, attempt, hints, s, false)
			return
		} else if fault.KindOf(err) != fault.Unauthenticated {
			f.fail(w, r, stop{attempt: attempt.ID}, err)
			return
		}
	}
	if q.Get("way") == "password" {
		f.askPassword(w, r, attempt, f.passwordFor(r, attempt, hints, q.Get("organization")), http.StatusOK)
		return
	}
	f.route(w, r, attempt, hints, origin{another: q.Get("way") == "other"})
}

// origin is how somebody comes to be sent on: by an address they typed, or because they want another way than the usual one.
type origin struct{ typed, another bool }

// begin starts an attempt for the console.
func (f *flow) begin(w http.ResponseWriter, r *http.Request, q url.Values) {
	hints := session.Hints{
		Organization: id.Organization(q.Get("organization")), Connection: id.Connection(q.Get("connection")),
		LoginHint: q.Get("login_hint"), ReturnTo: session.OwnPath(q.Get("return_to")),
	}
	browser, cookie := f.cookies.EnsureBrowser(r)
	attempt := session.Attempt{ID: id.New[id.Attempt](), Browser: browser, Purpose: session.ForConsole, Request: encode(hints)}
	err := f.DB.System().Write(r.Context(), func(tx *store.SystemTx) error { return tx.CreateAttempt(r.Context(), attempt) })
	if err != nil {
		f.fail(w, r, stop{}, err)
		return
	}
	if cookie != nil {
		http.SetCookie(w, cookie)
	}
	// The next page's address carries the attempt, so that a reload takes the same one up again.
	to := "/signin?attempt=" + string(attempt.ID)
	if way := q.Get("way"); way == "password" || way == "other" {
		to += "&way=" + way
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (f *flow) attempt(ctx context.Context, attempt id.Attempt, browser string) (a session.Attempt, err error) {
	if browser == "" || !id.IsUUID(string(attempt)) {
		return a, refuse(CodeAttempt, "")
	}
	err = f.DB.System().Read(ctx, func(tx *store.SystemTx) error {
		a, err = tx.Attempt(ctx, attempt, browser)
		return err
	})
	return a, err
}

// address serves POST /signin: the address a person typed. Whether an account of that address exists is neither looked up nor
// told; only the domain counts.
func (f *flow) address(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		page.Refuse(w, r, f.Log, fault.New(fault.TooLarge, "This form is too large."))
		return
	}
	if !f.allow(w, r, "address", addressesPerMinute) {
		return
	}
	name, one := single(r.PostForm, "attempt")
	email, only := single(r.PostForm, "email")
	if !one || !only {
		page.Refuse(w, r, f.Log, fault.New(fault.Invalid, "A field stands there twice."))
		return
	}
	attempt, err := f.attempt(r.Context(), id.Attempt(name), f.cookies.Browser(r))
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	hints, err := attempt.Hints()
	if err != nil {
		f.fail(w, r, stop{attempt: attempt.ID}, err)
		return
	}
	email = strings.TrimSpace(email)
	if connection.DomainOf(email) == "" {
		f.ask(w, r, attempt, email, "This is not an email address. It looks like name@company.example.", http.StatusUnprocessableEntity)
		return
	}
	hints.LoginHint, hints.Connection = email, ""
	f.route(w, r, attempt, hints, origin{typed: true})
}

// route decides where the person signs in and goes there.
func (f *flow) route(w http.ResponseWriter, r *http.Request, attempt session.Attempt, hints session.Hints, from origin) {
	if t := trialOf(attempt); t != nil {
		// The test of one connection, open or not: there is nothing to find out.
		f.send(w, r, attempt, hints, stop{attempt: attempt.ID, organization: hints.Organization, connection: hints.Connection, trial: t}, false)
		return
	}
	var route connection.Route
	var home string
	ctx := r.Context()
	err := f.DB.System().Read(ctx, func(tx *store.SystemTx) error {
		facts, err := tx.RouteFacts(ctx, hints.Organization, hints.Connection, connection.DomainOf(hints.LoginHint))
		if err != nil {
			return err
		}
		facts.Address = connection.DomainOf(hints.LoginHint) != ""
		facts.Typed, facts.Another = from.typed, from.another
		route = connection.FindRoute(facts)
		home, err = tx.OrganizationName(ctx, route.Organization)
		return err
	})
	at := stop{attempt: attempt.ID, organization: route.Organization, name: home, connection: route.Connection}
	if err != nil {
		f.fail(w, r, at, err)
		return
	}
	switch route.Step {
	case connection.Ask:
		f.ask(w, r, attempt, hints.LoginHint, "", http.StatusOK)
	case connection.Locally:
		v := f.passwordFor(r, attempt, hints, string(route.Organization))
		if route.Organization == "" {
			v.said = "No organization signs people of that domain in through an identity provider here. If you have chosen a password, enter it."
		}
		f.askPassword(w, r, attempt, v, http.StatusOK)
	case connection.Choose:
		f.render(w, r, http.StatusOK, choosePage(home, attempt.ID, route.Choices, hints.LoginHint))
	case connection.Blocked:
		if route.InvalidRequest() {
			at.organization, at.name = "", "" // what the request names does not exist
		}
		f.fail(w, r, at, refuse(route.Code, ""))
	case connection.Go:
		f.send(w, r, attempt, hints, at, from.typed)
	}
}

func (f *flow) ask(w http.ResponseWriter, r *http.Request, attempt session.Attempt, email, wrong string, status int) {
	challenge, passkey, err := f.beside(r.Context(), attempt)
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	f.render(w, r, status, addressPage(attempt.ID, email, wrong, challenge, passkey))
}

func (f *flow) render(w http.ResponseWriter, r *http.Request, status int, c component) {
	if err := page.Render(w, r, status, c); err != nil {
		page.Refuse(w, r, f.Log, err)
	}
}

// stop is where a sign-in was refused, as far as it is known.
type stop struct {
	attempt      id.Attempt
	organization id.Organization
	name         string // of the organization
	connection   id.Connection
	recorded     bool   // the event is written already, or nobody's sign-in was under way
	trial        *trial // a test sign-in, whose end is a report
	join         string // where somebody goes on whose address an account has
}

// fail ends a sign-in: a page, one audit event and, where we are at fault, a line in the log, all with the same code.
func (f *flow) fail(w http.ResponseWriter, r *http.Request, at stop, err error) {
	ctx := r.Context()
	why := refusalOf(err)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return // the person has gone; there is nobody to tell and nothing was decided
	}
	if at.trial != nil {
		f.tested(w, r, at, nil, err)
		return
	}
	if why.code == CodeInternal || why.cause != nil && why.code != CodeAttempt {
		f.Log.ErrorContext(ctx, "sign-in failed", "organization", at.organization, "connection", at.connection, "code", why.code, "error", err)
	}
	text, known := wordsOf[why.code]
	if !known {
		why.code, text = CodeInternal, wordsOf[CodeInternal]
	}
	if !at.recorded {
		// The reader's cancellation must not lose the event.
		if err := f.recordRefusal(context.WithoutCancel(ctx), r, at, why); err != nil {
			f.Log.ErrorContext(ctx, "refused sign-in not recorded", "organization", at.organization, "code", why.code, "error", err)
		}
	}
	if why.said != "" {
		text.said = why.said
	}
	if at.name == "" {
		at.name = "your organization"
	}
	_, request := f.From(r)
	f.render(w, r, text.status, refusalPage(refusalView{
		words: text, organization: at.name, code: why.code, at: f.DB.Now().UTC(), request: request, attempt: again(text, at.attempt),
		home: at.organization, join: at.join,
	}))
}

// again is the attempt that another try takes up, where one can help.
func again(text words, attempt id.Attempt) id.Attempt {
	if text.again {
		return attempt
	}
	return ""
}

func (f *flow) actor(r *http.Request, c id.Connection) audit.Actor {
	ip, request := f.From(r)
	a := audit.Actor{Kind: audit.ActorSystem, Door: audit.SignIn, IP: ip, Request: request}
	if c != "" {
		a.Kind, a.ID, a.Name = audit.ActorConnection, string(c), string(c)
	}
	return a
}

func (f *flow) recordRefusal(ctx context.Context, r *http.Request, at stop, why *refusal) error {
	e := audit.Event{
		Actor: f.actor(r, at.connection), Action: "sign-in.refused", TargetKind: "connection", TargetID: string(at.connection),
		Outcome: audit.Refused, Code: string(why.code), Reason: why.detail,
	}
	if at.organization == "" {
		return f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.Record(ctx, e)
			return nil
		})
	}
	return f.DB.Write(ctx, at.organization, func(tx *store.Tx) error {
		e.Actor.Organization = at.organization
		tx.Record(ctx, e)
		return nil
	})
}

package issuing

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// maxSessions bounds how many session cookies of one browser are looked at: a request may show as many as it likes.
const maxSessions = 16

// asking is a request for a person, by either protocol: what the rules about sessions read of it, and how it goes on.
type asking struct {
	app     application.Application
	req     oidc.AuthorizeRequest
	purpose session.Purpose
	kept    any // what an attempt keeps of it
	// once runs in the transaction that takes the request on, whether that answers it or keeps it; nil: nothing is to be done.
	once func(ctx context.Context, tx *store.Tx) error
	// open makes the answer for a session, if its person has access at all.
	open func(ctx context.Context, tx *store.Tx, s session.Session, effective *access.Effective) (oidc.Outcome, error)
}

// Authorize implements oidc.Browser: with a session that fits, a code; else the sign-in page, with the request kept.
func (p *Provider) Authorize(ctx context.Context, r *http.Request, req oidc.AuthorizeRequest) (oidc.Outcome, error) {
	app, err := p.application(ctx, id.Application(req.ClientID))
	if err != nil {
		return oidc.Outcome{}, translate(err)
	}
	return p.begin(ctx, r, p.authorizing(app, req))
}

// authorizing is an authorize request as an asking.
func (p *Provider) authorizing(app application.Application, req oidc.AuthorizeRequest) asking {
	return asking{
		app: app, req: req, purpose: session.ForApplication, kept: req,
		open: func(ctx context.Context, tx *store.Tx, s session.Session, effective *access.Effective) (oidc.Outcome, error) {
			return p.open(ctx, tx, app, req, s, effective)
		},
	}
}

// begin answers a request with a session that fits, or keeps it and sends the browser to sign in.
func (p *Provider) begin(ctx context.Context, r *http.Request, a asking) (oidc.Outcome, error) {
	app, req := a.app, a.req
	if err := p.judge(ctx, app, req); err != nil {
		return oidc.Outcome{}, translate(err)
	}
	live, err := p.live(ctx, r)
	if err != nil {
		return oidc.Outcome{}, translate(err)
	}
	providers, err := p.providers(ctx, req)
	if err != nil {
		return oidc.Outcome{}, translate(err)
	}
	fitting := slices.DeleteFunc(slices.Clone(live), func(s session.Session) bool {
		return unasked(app, req, s, providers, p.db.Now()) != nil
	})
	more := id.Organization("")
	if len(fitting) == 1 && !req.Asks("select_account") {
		out, err := p.openWith(ctx, a, fitting[0])
		if !errors.Is(err, errMore) {
			return out, translate(err)
		}
		if req.Asks("none") {
			return oidc.Outcome{}, &oidc.Error{Code: oidc.InteractionRequired, Description: "A further factor is asked for."}
		}
		more = fitting[0].Organization
	}
	if req.Asks("none") {
		if len(fitting) > 1 {
			return oidc.Outcome{}, &oidc.Error{
				Code: oidc.AccountSelectionRequired, Description: "This browser is signed in to several organizations; name one.",
			}
		}
		return oidc.Outcome{}, &oidc.Error{
			Code: oidc.LoginRequired, Description: "This browser holds no session that fits the request.",
		}
	}
	kept, err := json.Marshal(a.kept)
	if err != nil {
		return oidc.Outcome{}, err
	}
	browser, cookie := p.cookies.EnsureBrowser(r)
	attempt := session.Attempt{
		ID: id.New[id.Attempt](), Browser: browser, Purpose: a.purpose, Request: kept,
	}
	err = p.db.System().Write(ctx, func(tx *store.SystemTx) error {
		if a.once != nil {
			if err := a.once(ctx, tx.In("")); err != nil {
				return err
			}
		}
		return tx.CreateAttempt(ctx, attempt)
	})
	if err != nil {
		return oidc.Outcome{}, translate(err)
	}
	to := url.Values{"attempt": {string(attempt.ID)}}
	if more != "" {
		// The session fits and has shown too little: signing in goes on from it instead of beginning anew.
		to.Set("step_up", string(more))
	}
	out := oidc.Outcome{Location: "/signin?" + to.Encode()}
	if cookie != nil {
		out.Cookies = append(out.Cookies, cookie)
	}
	return out, nil
}

// judge refuses what names an organization or connection that is not there, by the rule that sign-in goes by, or an
// organization the application is not for.
func (p *Provider) judge(ctx context.Context, app application.Application, req oidc.AuthorizeRequest) error {
	org, way := id.Organization(req.Organization), id.Connection(req.Connection)
	if org == "" && way == "" {
		return nil
	}
	var facts connection.RouteFacts
	err := p.db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		facts, err = tx.RouteFacts(ctx, org, way, connection.DomainOf(req.LoginHint))
		return err
	})
	switch {
	case err != nil:
		return err
	case connection.FindRoute(facts).InvalidRequest():
		return &oidc.Error{Code: oidc.InvalidRequest, Description: "The organization is not known, or the connection is neither its own nor the person's."}
	case org != "" && !app.Serves(org):
		return &oidc.Error{Code: oidc.AccessDenied, Description: "This application is not open to that organization."}
	}
	return nil
}

// providers gives whose people may be signed in at home and have a token that speaks of the organization asked for.
func (p *Provider) providers(ctx context.Context, req oidc.AuthorizeRequest) (out []id.Organization, err error) {
	if req.Organization == "" || req.LoginHint == "" && req.Connection == "" && req.HintSubject == "" {
		return nil, nil // nothing names a home, so the organization is it
	}
	err = p.db.System().Read(ctx, func(tx *store.SystemTx) error {
		out, err = tx.ProvidersInForce(ctx, id.Organization(req.Organization))
		return err
	})
	return out, err
}

// live reads the sessions this browser holds, each with its person's state.
func (p *Provider) live(ctx context.Context, r *http.Request) ([]session.Session, error) {
	var out []session.Session
	orgs := p.cookies.Organizations(r)
	if len(orgs) > maxSessions {
		orgs = orgs[:maxSessions]
	}
	for _, org := range orgs {
		s, err := p.db.Session(ctx, org, p.cookies.Hash(r, org))
		switch {
		case err == nil:
			out = append(out, s)
		case fault.KindOf(err) != fault.Unauthenticated:
			return nil, err
		}
	}
	return out, nil
}

// unasked says why a session may not answer a request without its person being asked; nil: it may.
func unasked(app application.Application, req oidc.AuthorizeRequest, s session.Session, providers []id.Organization, now time.Time) error {
	if req.Forced() {
		return &oidc.Error{Code: oidc.LoginRequired, Description: "A new sign-in is asked for."}
	}
	// Another address than the session's means another person, whatever else fits.
	if req.LoginHint != "" && !strings.EqualFold(req.LoginHint, s.Email) && !strings.EqualFold(req.LoginHint, s.UserName) {
		return &oidc.Error{Code: oidc.LoginRequired, Description: "The session is another person's."}
	}
	return fits(app, req, s, slices.Contains(providers, s.Organization), now)
}

// spokenOf is the organization that a token for a session speaks of.
func spokenOf(req oidc.AuthorizeRequest, s session.Session) id.Organization {
	if req.Organization != "" {
		return id.Organization(req.Organization)
	}
	return s.Organization
}

// fits says why a session, asked for or not, cannot answer a request; nil: it can. Serves says that the session's organization is a
// provider of the one asked for, with a relationship in force.
func fits(app application.Application, req oidc.AuthorizeRequest, s session.Session, serves bool, now time.Time) error {
	switch {
	case spokenOf(req, s) != s.Organization && !serves:
		return &oidc.PageError{
			Status: http.StatusForbidden, Title: "You belong to another organization", Code: "other-organization",
			Message: "The application asked for the organization " + req.Organization + ", and you signed in to " +
				string(s.Organization) + ". Serving another organization's sites needs a provider relationship that is in force.",
		}
	case !app.Serves(spokenOf(req, s)):
		return &oidc.PageError{
			Status: http.StatusForbidden, Title: "This application is not open to your organization", Code: "application-closed",
			Message: app.Name + " is not open to " + string(spokenOf(req, s)) + ". Whoever runs this installation can open it.",
		}
	case req.Connection != "" && req.Connection != string(s.Connection):
		return &oidc.Error{Code: oidc.LoginRequired, Description: "The sign-in went through another connection than the one asked for."}
	case req.HintSubject != "" && req.HintSubject != string(s.User):
		return &oidc.Error{Code: oidc.LoginRequired, Description: "Another person signed in than the id_token_hint names."}
	case !req.FitsAuthTime(s.AuthTime, now):
		return &oidc.Error{Code: oidc.LoginRequired, Description: "The sign-in is older than asked for, or its moment is not known."}
	}
	return nil
}

// openWith makes the answer for a session that was read a moment ago; it is read again beside the answer.
func (p *Provider) openWith(ctx context.Context, a asking, s session.Session) (oidc.Outcome, error) {
	app, req := a.app, a.req
	var out oidc.Outcome
	err := p.db.Write(ctx, s.Organization, func(tx *store.Tx) error {
		s, err := tx.SessionByID(ctx, s.ID)
		if err != nil {
			return err
		}
		effective, err := tx.AccessToward(ctx, spokenOf(req, s), s.User, s.AMR)
		if err != nil {
			return err
		}
		demand := mfa.Demand{Multiple: effective.Demands}
		demand.Asked(req.ACRValues, app.Name)
		if len(demand.Missing(s.AMR)) > 0 {
			return errMore
		}
		if a.once != nil {
			if err := a.once(ctx, tx); err != nil {
				return err
			}
		}
		out, err = a.open(ctx, tx, s, effective)
		return err
	})
	if fault.KindOf(err) == fault.Unauthenticated {
		err = &oidc.Error{Code: oidc.LoginRequired, Description: "The session has just ended."}
	}
	return out, err
}

// errMore says that a session fits a request but for the factors it has shown.
var errMore = errors.New("the session has shown too few factors")

// noAccessPath is where somebody learns that he has no access at all, and can leave a note to those who give it.
const noAccessPath = "/signin/no-access"

// open makes a code for a session, with its family and its event, if its person has access at all.
func (p *Provider) open(
	ctx context.Context, tx *store.Tx, app application.Application, req oidc.AuthorizeRequest, s session.Session, effective *access.Effective,
) (oidc.Outcome, error) {
	at := place{tx.Organization, spokenOf(req, s)}
	if len(effective.Grants) == 0 {
		return withoutAccess(app, req, at)
	}
	code, hash := handle(at)
	family := store.Family{
		ID: id.New[id.Family](), User: s.User, Application: app.ID, Client: at.client(), Session: s.ID, Scope: req.Scope,
		AuthTime: s.AuthTime, ACR: mfa.ACR(s.ACR, s.AMR, req.ACRValues), AMR: mfa.Told(s.AMR), Expires: tx.Now().Add(oidc.RefreshAbsolute),
	}
	tx.KeepCode(ctx, family, store.Code{
		Hash: hash, RedirectURI: req.RedirectURI, Challenge: req.CodeChallenge, Nonce: req.Nonce,
		Expires: tx.Now().Add(oidc.CodeLifetime),
	})
	if err := recordOpened(ctx, tx, app, at, s, p.person(ctx, tx.Organization, s.User, s.DisplayName)); err != nil {
		return oidc.Outcome{}, err
	}
	return oidc.Outcome{Code: code}, nil
}

// withoutAccess is where somebody goes who has no access at all.
func withoutAccess(app application.Application, req oidc.AuthorizeRequest, at place) (oidc.Outcome, error) {
	if req.Asks("none") {
		return oidc.Outcome{}, &oidc.Error{Code: oidc.InteractionRequired, Description: "The person has no access yet."}
	}
	to := url.Values{"organization": {string(at.home)}, "application": {app.Name}}
	if at.client() != "" {
		to.Set("client", string(at.client()))
	}
	return oidc.Outcome{Location: noAccessPath + "?" + to.Encode()}, nil
}

// recordOpened writes that a person opened an application.
func recordOpened(ctx context.Context, tx *store.Tx, app application.Application, at place, s session.Session, by audit.Actor) error {
	opened := audit.Event{
		Actor: by, Action: "application.opened",
		TargetKind: "application", TargetID: string(app.ID), TargetName: app.Name, User: s.User,
	}
	if at.client() != "" {
		// In both logs: whom the organization's provider has sent, and for whom the provider's person has worked.
		opened.After, _ = json.Marshal(map[string]id.Organization{"organization": at.organization, "home_organization": at.home})
		if err := tx.OpenedToward(ctx, at.organization, s.User, opened); err != nil {
			return err
		}
	}
	tx.Record(ctx, opened)
	return nil
}

// Resume implements oidc.Browser.
func (p *Provider) Resume(ctx context.Context, r *http.Request, attempt string) (oidc.AuthorizeRequest, oidc.Outcome, error) {
	all, err := p.current(ctx)
	if err != nil {
		return oidc.AuthorizeRequest{}, oidc.Outcome{}, translate(err)
	}
	a, out, err := p.takeUp(ctx, r, attempt, session.ForApplication, func(kept json.RawMessage) (asking, error) {
		var req oidc.AuthorizeRequest
		if err := json.Unmarshal(kept, &req); err != nil {
			return asking{}, err
		}
		c, declared := all.byID[id.Application(req.ClientID)]
		if !declared {
			return asking{req: req}, oidc.ErrNotFound
		}
		return p.authorizing(c.application, req), nil
	})
	return a.req, out, err
}

// takeUp goes on with a request that was kept while its person signed in. What was asked is given whenever it was found and is this
// browser's, with an error too.
func (p *Provider) takeUp(
	ctx context.Context, r *http.Request, attempt string, purpose session.Purpose, read func(kept json.RawMessage) (asking, error),
) (asked asking, out oidc.Outcome, err error) {
	browser := p.cookies.Browser(r)
	if browser == "" || !id.IsUUID(attempt) {
		return asked, out, oidc.ErrNotFound
	}
	var refusal error
	err = p.db.System().Write(ctx, func(tx *store.SystemTx) error {
		asked, out, refusal = asking{}, oidc.Outcome{}, nil
		a, err := tx.FinishAttempt(ctx, id.Attempt(attempt), browser)
		if err != nil {
			return err
		}
		if a.Purpose != purpose {
			return oidc.ErrNotFound // and the console's attempt stays as it was
		}
		if asked, err = read(a.Request); err != nil {
			return err
		}
		req := asked.req
		in := tx.In(a.Organization)
		s, err := in.SessionByID(ctx, a.Session)
		if err != nil {
			return err
		}
		// A refusal spends the attempt all the same: the transaction commits, and signing in begins anew.
		serves := false
		if spoken := spokenOf(req, s); spoken != s.Organization {
			if serves, err = in.Serves(ctx, spoken); err != nil {
				return err
			}
		}
		if refusal = fits(asked.app, req, s, serves, tx.Now()); refusal != nil {
			return nil
		}
		if req.Forced() && s.Created.Before(req.Started.Truncate(time.Microsecond)) {
			refusal = &oidc.Error{Code: oidc.LoginRequired, Description: "A new sign-in is asked for."}
			return nil
		}
		// Signing in has asked for what was demanded. What came to be demanded since is left out of the access, and asked for next.
		effective, err := in.AccessToward(ctx, spokenOf(req, s), s.User, s.AMR)
		if err != nil {
			return err
		}
		out, err = asked.open(ctx, in, s, effective)
		return err
	})
	switch fault.KindOf(err) {
	case fault.Gone:
		return asked, out, oidc.ErrNotFound
	case fault.Unauthenticated:
		// The session ended between landing and here, by a sign-out or by a directory.
		return asked, out, &oidc.Error{Code: oidc.AccessDenied, Description: "The sign-in has ended meanwhile."}
	}
	if err != nil {
		return asked, out, translate(err)
	}
	return asked, out, refusal
}

// Sessions implements oidc.Browser.
func (p *Provider) Sessions(ctx context.Context, r *http.Request) ([]oidc.BrowserSession, error) {
	live, err := p.live(ctx, r)
	var out []oidc.BrowserSession
	for _, s := range live {
		out = append(out, oidc.BrowserSession{ID: string(s.ID), Subject: string(s.User)})
	}
	return out, translate(err)
}

// End implements oidc.Browser: each session ends with its tokens and its applications told, in one transaction of its own. Where a
// person leaves their identity providers too, it does so one after the other.
func (p *Provider) End(ctx context.Context, r *http.Request, ending []oidc.BrowserSession, after oidc.After) ([]*http.Cookie, string, error) {
	live, err := p.live(ctx, r)
	if err != nil {
		return nil, "", translate(err)
	}
	var cookies []*http.Cookie
	path, leaving := "", store.Leaving{To: after.Location, Ask: after.Ask}
	for _, s := range live {
		if !slices.ContainsFunc(ending, func(e oidc.BrowserSession) bool { return e.ID == string(s.ID) }) {
			continue
		}
		var way string
		err := p.db.Write(ctx, s.Organization, func(tx *store.Tx) error {
			way = ""
			open, err := tx.EndSession(ctx, s.ID)
			if err != nil || !open {
				return err
			}
			tx.Record(ctx, audit.Event{
				Actor: p.person(ctx, s.Organization, s.User, s.DisplayName), Action: "session.ended",
				TargetKind: "session", TargetID: string(s.ID), User: s.User,
			})
			way, err = tx.BeginLeaving(ctx, s, p.cookies.Browser(r), leaving)
			return err
		})
		if err != nil {
			return cookies, path, translate(err)
		}
		if way != "" {
			path, leaving = way, store.Leaving{To: way}
		}
		cookies = append(cookies, p.cookies.Clear(s.Organization))
	}
	return cookies, path, nil
}

var (
	_ oidc.Clients = (*Provider)(nil)
	_ oidc.Browser = (*Provider)(nil)
	_ oidc.Tokens  = (*Provider)(nil)
)

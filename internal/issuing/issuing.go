// Package issuing is what applications get: the OpenID Provider of package oidc and the SAML identity provider of package saml over the
// store, with the organization's people, sessions and access behind them.
//
// It decides three things that the protocol leaves open. Which session an authorize request may use unasked: one of this
// browser that fits every parameter, or none. What an application is told: access.Effective, as its claims setting says,
// read anew each time a token is made or asked about. And when a token dies: with its person's state, which the statement
// that finds the token reads along, with its family, its session, or its application.
//
// The seam to signing in is the attempt's row. An authorize request that needs a person is kept there as JSON, the browser
// is sent to /signin?attempt=ID, and comes back to /authorize/resume?attempt=ID once the attempt has landed with a session;
// both halves compare the browser's cookie with the row (a callback opened in another browser is how an attacker collects
// a victim's code).
//
// Applications are declared by the operator, so nobody is asked for consent and prompt=consent is met as it stands.
//
// Authorizing is recorded as the event application.opened, a replay as token.replayed, a revocation as token.revoked, a
// sign-out as session.ended. Redeeming a code and renewing a token write no event of their own: they change nobody's
// access, and their authorization is on record.
package issuing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// Options make a Provider. All are needed but Stylesheet.
type Options struct {
	DB *store.DB
	// URL is the public base URL and the issuer.
	URL string
	// From tells the address a request came from and its id, for the audit log.
	From func(*http.Request) (ip, request string)
	Log  *slog.Logger
	// Stylesheet is the address of the stylesheet for the pages of package oidc.
	Stylesheet string
}

// Provider is the OpenID Provider of one installation.
type Provider struct {
	db      *store.DB
	url     string
	from    func(*http.Request) (ip, request string)
	log     *slog.Logger
	cookies session.Cookies
	oidc    *oidc.Provider

	loading   sync.Mutex // held while clients or keys are loaded
	clients   atomic.Pointer[clients]
	keys      atomic.Int64 // the version of the keys in use
	asserting atomic.Pointer[issuer]
	locked    lockout
}

// New makes a provider. Where the store holds no signing key yet, it makes the first ones.
func New(ctx context.Context, o Options) (*Provider, error) {
	p := &Provider{db: o.DB, url: o.URL, from: o.From, log: o.Log, cookies: session.For(o.URL)}
	if err := p.Rotate(ctx); err != nil {
		return nil, fmt.Errorf("make signing keys: %w", err)
	}
	version, err := o.DB.Version(ctx, "keys")
	if err != nil {
		return nil, err
	}
	keys, err := p.loadKeys(ctx)
	if err != nil {
		return nil, err
	}
	p.oidc, err = oidc.New(oidc.Options{
		Issuer: o.URL, Clients: p, Browser: p, Tokens: p, Keys: keys, Now: o.DB.Now, Log: o.Log, Stylesheet: o.Stylesheet,
		ACRValues: []string{mfa.ACRPhishing, mfa.ACRMultiple, mfa.ACRRefeds, mfa.ACRRefedsOne},
		Claims: []string{
			"email", "email_verified", "name", "organization", "groups", "roles", "grants", "restrictions", "grants_overage",
			"home_organization", "external",
		},
	})
	if err != nil {
		return nil, err
	}
	p.keys.Store(version)
	return p, nil
}

// Mount puts the endpoints on the router of the issuer's root.
func (p *Provider) Mount(r chi.Router) {
	r.Group(func(r chi.Router) {
		r.Use(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ip, request := p.from(r)
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, call{ip, request})))
			})
		})
		p.oidc.Mount(r)
		r.Get(pathSAMLMetadata, p.samlMetadata)
		r.Get(pathSAMLSignOn, p.samlSignOn)
		r.Post(pathSAMLSignOn, p.samlSignOn)
		r.Get(pathSAMLResume, p.samlResume)
		r.Get(pathSAMLLogout, p.samlLogout)
		r.Post(pathSAMLLogout, p.samlLogout)
		r.Get(pathSAMLLeave, p.samlLeave)
	})
}

// Follow keeps the keys current until ctx ends. The key document is served without asking the store, so something else has
// to look.
func (p *Provider) Follow(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := p.refreshKeys(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "signing keys not looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// call is what the audit log wants to know of a request.
type call struct{ ip, request string }

type callKey struct{}

func (p *Provider) actor(ctx context.Context, kind audit.ActorKind, actor, name string) audit.Actor {
	c, _ := ctx.Value(callKey{}).(call)
	return audit.Actor{Kind: kind, ID: actor, Name: name, Door: audit.OpenID, IP: c.ip, Request: c.request}
}

func (p *Provider) person(ctx context.Context, org id.Organization, user id.User, name string) audit.Actor {
	a := p.actor(ctx, audit.ActorUser, string(user), name)
	a.Organization = org
	return a
}

// clients are the applications as of one version of the configuration. They are shared and never changed.
type clients struct {
	version int64
	byID    map[id.Application]*client // those of OpenID
	origins map[string]bool
	parties map[string]*party // those of SAML, by entity id
}

type client struct {
	application application.Application
	protocol    *oidc.Client
}

// current gives the applications, at most a second behind the store.
func (p *Provider) current(ctx context.Context) (*clients, error) {
	version, err := p.db.Version(ctx, "configuration")
	if err != nil {
		return nil, err
	}
	if c := p.clients.Load(); c != nil && c.version == version {
		return c, nil
	}
	p.loading.Lock()
	defer p.loading.Unlock()
	if c := p.clients.Load(); c != nil && c.version == version {
		return c, nil
	}
	// The version was read first: a change in between loads once more than needed, never once less.
	var all []application.Application
	err = p.db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		all, err = tx.Applications(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	c := &clients{version: version, byID: map[id.Application]*client{}, origins: map[string]bool{}, parties: map[string]*party{}}
	for _, a := range all {
		if a.Protocol == application.SAML {
			if party := p.party(ctx, a); party != nil {
				c.parties[a.EntityID] = party
			}
			continue
		}
		c.byID[a.ID] = &client{a, p.protocolClient(a)}
		for _, origin := range a.Origins() {
			c.origins[origin] = true
		}
	}
	p.clients.Store(c)
	return c, nil
}

func (p *Provider) protocolClient(a application.Application) *oidc.Client {
	c := &oidc.Client{
		ID: string(a.ID), Name: a.Name, RedirectURIs: a.RedirectURIs, PostLogoutRedirectURIs: a.PostLogoutRedirectURIs,
		GrantTypes: a.GrantTypes, Algorithm: a.IDTokenAlgorithm, Origins: a.Origins(),
	}
	if !a.Public() {
		c.CheckSecret = func(ctx context.Context, secret string) (bool, error) { return p.checkSecret(ctx, a, secret) }
	}
	return c
}

func (p *Provider) application(ctx context.Context, app id.Application) (application.Application, error) {
	all, err := p.current(ctx)
	if err != nil {
		return application.Application{}, err
	}
	c, ok := all.byID[app]
	if !ok {
		return application.Application{}, oidc.ErrNotFound
	}
	return c.application, nil
}

// Caller gives the application that acts for itself with an access token: one of ours, in force, and of an application that is still
// declared and still may ask for such. A fault of kind Unauthenticated for anything else, a person's token among it.
func (p *Provider) Caller(ctx context.Context, token string) (application.Application, error) {
	refused := fault.New(fault.Unauthenticated, "The access token is not in force. Ask %s for one with grant_type=client_credentials; it lasts ten minutes.", oidc.PathToken)
	t, err := p.oidc.VerifyClientToken(token)
	if err != nil {
		return application.Application{}, refused
	}
	app, err := p.application(ctx, id.Application(t.ClientID))
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return application.Application{}, refused
	case err != nil:
		return application.Application{}, err
	case app.Public() || !slices.Contains(app.GrantTypes, application.ClientCredentials):
		return application.Application{}, refused
	}
	return app, nil
}

// Client implements oidc.Clients.
func (p *Provider) Client(ctx context.Context, app string) (*oidc.Client, error) {
	all, err := p.current(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := all.byID[id.Application(app)]
	if !ok {
		return nil, oidc.ErrNotFound
	}
	return c.protocol, nil
}

// AllowsOrigin implements oidc.Clients.
func (p *Provider) AllowsOrigin(ctx context.Context, origin string) (bool, error) {
	all, err := p.current(ctx)
	if err != nil {
		return false, err
	}
	return all.origins[origin], nil
}

package issuing

import (
	"context"
	"errors"
	"strings"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// place is where a code or token is kept, and what it speaks of: the same organization, but for a provider's users. What they hold
// lies in their home, whose state it ends with, and speaks of the client.
type place struct {
	home, organization id.Organization
}

// client is the organization spoken of where it is not the home.
func (p place) client() id.Organization {
	if p.organization == p.home {
		return ""
	}
	return p.organization
}

// between stands between the two organizations of a handle; no id has it.
const between = "~"

// handle makes a code or token. Its place stands in front, so that the store finds it by its whole key; the 256 random bits
// behind it are what nobody guesses, and only the hash of the whole is kept.
func handle(at place) (token, hash string) {
	token = string(at.home)
	if client := at.client(); client != "" {
		token += between + string(client)
	}
	token += "." + seal.Handle()
	return token, seal.Fingerprint(token)
}

// readHandle splits a token that was presented. False: it cannot be one of ours.
func readHandle(token string) (at place, hash string, ok bool) {
	dot := strings.LastIndexByte(token, '.')
	if dot < 1 || len(token)-dot-1 != 43 {
		return place{}, "", false
	}
	home, client, two := strings.Cut(token[:dot], between)
	if !two {
		client = home
	}
	if !id.Declared(home) || !id.Declared(client) || two && home == client {
		return place{}, "", false
	}
	return place{id.Organization(home), id.Organization(client)}, seal.Fingerprint(token), true
}

var errGrant = &oidc.Error{
	Code:        oidc.InvalidGrant,
	Description: "It is unknown, expired, used already, was issued to another application, or its person's access has ended.",
}

// Redeem implements oidc.Tokens.
func (p *Provider) Redeem(ctx context.Context, r oidc.Redemption) (oidc.Grant, error) {
	return p.take(ctx, r.ClientID, r.Code, func(tx *store.Tx, hash string) (store.Family, []string, string, store.Taking, error) {
		f, nonce, taking, err := tx.TakeCode(ctx, id.Application(r.ClientID), store.Code{
			Hash: hash, RedirectURI: r.RedirectURI, Challenge: r.CodeChallenge,
		})
		return f, f.Scope, nonce, taking, err
	}, r.Refresh)
}

// Renew implements oidc.Tokens. What is in force is read anew.
func (p *Provider) Renew(ctx context.Context, r oidc.Renewal) (oidc.Grant, error) {
	return p.take(ctx, r.ClientID, r.Token, func(tx *store.Tx, hash string) (store.Family, []string, string, store.Taking, error) {
		f, taking, err := tx.TakeRefresh(ctx, id.Application(r.ClientID), hash, r.Scope)
		scope := f.Scope
		if len(r.Scope) > 0 {
			scope = r.Scope
		}
		return f, scope, "", taking, err
	}, true)
}

// take spends a code or refresh token and keeps what is handed out for it, in one transaction.
func (p *Provider) take(
	ctx context.Context, clientID, token string,
	spend func(tx *store.Tx, hash string) (f store.Family, scope []string, nonce string, t store.Taking, err error),
	refresh bool,
) (oidc.Grant, error) {
	app, err := p.application(ctx, id.Application(clientID))
	if err != nil {
		return oidc.Grant{}, err
	}
	at, hash, ok := readHandle(token)
	if !ok || !app.Serves(at.organization) {
		return oidc.Grant{}, errGrant
	}
	access, accessHash := handle(at)
	next, nextHash := handle(at)
	if !refresh {
		next, nextHash = "", ""
	}
	var g oidc.Grant
	var taking store.Taking
	err = p.db.Write(ctx, at.home, func(tx *store.Tx) error {
		f, scope, nonce, t, err := spend(tx, hash)
		taking = t
		if err != nil || t == store.Refused {
			return err
		}
		if t == store.Replayed {
			// The transaction commits: it is what revokes the family.
			tx.Record(ctx, audit.Event{
				Actor: p.actor(ctx, audit.ActorApplication, string(app.ID), app.Name), Action: "token.replayed",
				TargetKind: "application", TargetID: string(app.ID), TargetName: app.Name, User: f.User,
				Outcome: audit.Refused, Code: "token-replayed",
			})
			return nil
		}
		effective, err := tx.AccessToward(ctx, f.Client, f.User, f.AMR)
		if err != nil {
			return err
		}
		now := tx.Now()
		kept := store.Token{Hash: nextHash, Expires: now.Add(oidc.RefreshIdle)}
		if kept.Expires.After(f.Expires) {
			kept.Expires = f.Expires
		}
		expires := now.Add(oidc.AccessLifetime)
		tx.KeepTokens(ctx, f.ID, store.Token{Hash: accessHash, Scope: scope, Expires: expires}, kept)
		g = grant(app, f, scope)
		g.Nonce, g.IssuedAt, g.Expires = nonce, now, expires
		g.Claims = claims(app, f, effective)
		return nil
	})
	switch {
	case errors.Is(err, store.ErrScope):
		return oidc.Grant{}, &oidc.Error{Code: oidc.InvalidScope, Description: "The scope is wider than what was granted."}
	case err != nil:
		return oidc.Grant{}, translate(err)
	case taking != store.Taken:
		return oidc.Grant{}, errGrant
	}
	g.AccessToken, g.RefreshToken = access, next
	return g, nil
}

func grant(app application.Application, f store.Family, scope []string) oidc.Grant {
	return oidc.Grant{
		ClientID: string(app.ID), Subject: string(f.User), SessionID: string(f.Session), Scope: scope,
		AuthTime: f.AuthTime, ACR: f.ACR, AMR: f.AMR,
	}
}

// Access implements oidc.Tokens.
func (p *Provider) Access(ctx context.Context, token string) (oidc.Grant, error) {
	return p.look(ctx, token, (*store.Tx).AccessToken, true)
}

// Refresh implements oidc.Tokens.
func (p *Provider) Refresh(ctx context.Context, token string) (oidc.Grant, error) {
	return p.look(ctx, token, (*store.Tx).RefreshToken, false)
}

// look says what a token stands for now.
func (p *Provider) look(
	ctx context.Context, token string,
	find func(*store.Tx, context.Context, string) (store.Family, store.Token, bool, error),
	withClaims bool,
) (oidc.Grant, error) {
	at, hash, ok := readHandle(token)
	if !ok {
		return oidc.Grant{}, oidc.ErrNotFound
	}
	all, err := p.current(ctx)
	if err != nil {
		return oidc.Grant{}, translate(err)
	}
	var g oidc.Grant
	err = p.db.Read(ctx, at.home, func(tx *store.Tx) error {
		f, t, live, err := find(tx, ctx, hash)
		if err != nil {
			return err
		}
		c, declared := all.byID[f.Application]
		if !live || !declared || !c.application.Serves(at.organization) {
			return oidc.ErrNotFound
		}
		g = grant(c.application, f, t.Scope)
		g.IssuedAt, g.Expires = t.Created, t.Expires
		if !withClaims {
			return nil
		}
		effective, err := tx.AccessToward(ctx, f.Client, f.User, f.AMR)
		if err != nil {
			return err
		}
		g.Claims = claims(c.application, f, effective)
		return nil
	})
	return g, known(err)
}

// Revoke implements oidc.Tokens.
func (p *Provider) Revoke(ctx context.Context, clientID, token string) error {
	at, hash, ok := readHandle(token)
	if !ok {
		return oidc.ErrNotFound
	}
	app, err := p.application(ctx, id.Application(clientID))
	if err != nil {
		return err
	}
	err = p.db.Write(ctx, at.home, func(tx *store.Tx) error {
		revoked, err := tx.RevokeToken(ctx, app.ID, hash)
		if err != nil || !revoked {
			return err
		}
		tx.Record(ctx, audit.Event{
			Actor: p.actor(ctx, audit.ActorApplication, string(app.ID), app.Name), Action: "token.revoked",
			TargetKind: "application", TargetID: string(app.ID), TargetName: app.Name,
		})
		return nil
	})
	return known(err)
}

// known keeps ErrNotFound and gives the rest to translate. An organization that is not there is a token that is not there.
func known(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return oidc.ErrNotFound
	}
	return translate(err)
}

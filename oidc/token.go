package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
)

// Grant types served. Every other one, the device grant, token exchange and JWT assertions among
// them, is unsupported_grant_type.
const (
	GrantCode    = zoidc.GrantTypeCode
	GrantRefresh = zoidc.GrantTypeRefreshToken
	GrantClient  = zoidc.GrantTypeClientCredentials
)

type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if p.crossOrigin(w, r, http.MethodPost) || !allow(w, r, http.MethodPost) {
		return
	}
	q, client, err := p.clientCall(w, r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	var answer tokenResponse
	switch grant := zoidc.GrantType(q["grant_type"]); {
	case grant == "":
		err = refuse(InvalidRequest, "The grant_type is missing.")
	case grant != GrantCode && grant != GrantRefresh && grant != GrantClient:
		err = refuse(UnsupportedGrantType, "This grant_type is not supported.")
	case !slices.Contains(client.GrantTypes, string(grant)):
		err = refuse(UnauthorizedClient, "This application may not use this grant_type.")
	case grant == GrantCode:
		answer, err = p.redeem(r.Context(), client, q)
	case grant == GrantRefresh:
		answer, err = p.renew(r.Context(), client, q)
	default:
		answer, err = p.clientCredentials(client, q)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (p *Provider) redeem(ctx context.Context, c *Client, q params) (tokenResponse, error) {
	if !q.has("code") || !q.has("redirect_uri") {
		return tokenResponse{}, refuse(InvalidRequest, "code and redirect_uri are required.")
	}
	challenge, ok := challengeOf(q["code_verifier"])
	if !ok {
		return tokenResponse{}, refuse(InvalidGrant, "The code_verifier is missing or not well-formed.")
	}
	g, err := p.tokens.Redeem(ctx, Redemption{
		ClientID: c.ID, Code: q["code"], RedirectURI: q["redirect_uri"], CodeChallenge: challenge,
		Refresh: slices.Contains(c.GrantTypes, string(GrantRefresh)),
	})
	if err != nil {
		return tokenResponse{}, err
	}
	return p.issue(c, g)
}

func (p *Provider) renew(ctx context.Context, c *Client, q params) (tokenResponse, error) {
	if !q.has("refresh_token") {
		return tokenResponse{}, refuse(InvalidRequest, "refresh_token is required.")
	}
	scope, refusal := readScope(q)
	if refusal != nil {
		return tokenResponse{}, refusal
	}
	g, err := p.tokens.Renew(ctx, Renewal{ClientID: c.ID, Token: q["refresh_token"], Scope: scope})
	if err != nil {
		return tokenResponse{}, err
	}
	// An ID token got by refresh carries no nonce (OpenID Connect Core section 12.2).
	g.Nonce = ""
	return p.issue(c, g)
}

// issue writes the answer for a person's tokens.
func (p *Provider) issue(c *Client, g Grant) (tokenResponse, error) {
	answer := tokenResponse{
		AccessToken: g.AccessToken, TokenType: "Bearer", ExpiresIn: seconds(AccessLifetime),
		RefreshToken: g.RefreshToken, Scope: strings.Join(g.Scope, " "),
	}
	if !slices.Contains(g.Scope, zoidc.ScopeOpenID) {
		return answer, nil
	}
	claims := idClaims(p.issuer, p.now(), &g)
	claims["at_hash"] = atHash(g.AccessToken)
	var err error
	answer.IDToken, err = p.keys.Load().sign(c.Algorithm, typID, claims)
	return answer, err
}

// clientCredentials signs a token and keeps nothing. It is ES256 whatever the client's ID tokens
// are: its reader is us.
func (p *Provider) clientCredentials(c *Client, q params) (tokenResponse, error) {
	if c.Public() {
		// RFC 6749 section 4.4: a client without a secret has nothing to show.
		return tokenResponse{}, refuse(UnauthorizedClient, "A public application cannot act for itself.")
	}
	if q.has("scope") {
		return tokenResponse{}, refuse(InvalidScope, "No scope exists for an application acting for itself.")
	}
	now := p.now()
	token, err := p.keys.Load().sign(ES256, typAccess, ClientToken{
		Issuer: p.issuer, Subject: c.ID, Audience: p.issuer, ClientID: c.ID,
		IssuedAt: now.Unix(), Expires: now.Add(ClientTokenLifetime).Unix(), ID: random(),
	})
	if err != nil {
		return tokenResponse{}, err
	}
	return tokenResponse{AccessToken: token, TokenType: "Bearer", ExpiresIn: seconds(ClientTokenLifetime)}, nil
}

// challengeOf computes the S256 challenge of a verifier: 43 to 128 unreserved characters (RFC 7636
// section 4.1).
func challengeOf(verifier string) (string, bool) {
	if len(verifier) < 43 || len(verifier) > 128 || strings.IndexFunc(verifier, func(c rune) bool {
		return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~')
	}) >= 0 {
		return "", false
	}
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:]), true
}

// clientCall reads a call by an application and makes sure who calls.
func (p *Provider) clientCall(w http.ResponseWriter, r *http.Request) (params, *Client, error) {
	q, bad := form(w, r)
	if bad == nil {
		bad = q.judge()
	}
	if bad != nil {
		return nil, nil, bad
	}
	client, err := p.authenticate(r, q)
	if err != nil {
		return nil, nil, err
	}
	narrowOrigin(w, r, client)
	return q, client, nil
}

// authenticate tells which client calls: client_secret_basic, client_secret_post, or its name alone
// if it is public. Two methods at once are refused (RFC 6749 section 2.3): which of them would count?
func (p *Provider) authenticate(r *http.Request, q params) (*Client, error) {
	id, secret := q["client_id"], q["client_secret"]
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) > 1:
		return nil, refuse(InvalidRequest, "The application proves itself in more than one way.")
	case q.has("client_assertion") || q.has("client_assertion_type"):
		if len(headers) > 0 || secret != "" {
			return nil, refuse(InvalidRequest, "The application proves itself in more than one way.")
		}
		return nil, refuse(InvalidClient, "Client assertions are not supported.")
	case len(headers) == 1:
		if secret != "" {
			return nil, refuse(InvalidRequest, "The application proves itself in more than one way.")
		}
		basicID, basicSecret, ok := readBasic(headers[0])
		if !ok {
			return nil, refuse(InvalidClient, "The Authorization header cannot be read.")
		}
		if id != "" && id != basicID {
			return nil, refuse(InvalidRequest, "The body names another application than the header.")
		}
		id, secret = basicID, basicSecret
		if secret == "" {
			return nil, refuse(InvalidClient, "The application is not known or its secret is wrong.")
		}
	}
	client, err := p.client(r.Context(), id)
	if errors.Is(err, ErrNotFound) {
		return nil, refuse(InvalidClient, "The application is not known or its secret is wrong.")
	}
	if err != nil {
		return nil, err
	}
	if client.Public() {
		if secret != "" {
			return nil, refuse(InvalidClient, "This application has no secret and must not send one.")
		}
		return client, nil
	}
	right := false
	if secret != "" {
		if right, err = client.CheckSecret(r.Context(), secret); err != nil {
			return nil, err
		}
	}
	if !right {
		return nil, refuse(InvalidClient, "The application is not known or its secret is wrong.")
	}
	return client, nil
}

// readBasic: id and secret are each form-encoded before they are joined by a colon (RFC 6749 section
// 2.3.1), so a colon in the secret may stand as it is and a percent sign may not.
func readBasic(header string) (id, secret string, ok bool) {
	scheme, encoded, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Basic") || len(encoded) > 8<<10 {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	id, secret, found = strings.Cut(string(raw), ":")
	if !found {
		return "", "", false
	}
	if id, err = url.QueryUnescape(id); err != nil {
		return "", "", false
	}
	if secret, err = url.QueryUnescape(secret); err != nil {
		return "", "", false
	}
	return id, secret, true
}

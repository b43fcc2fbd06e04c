package oidc

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
)

// The endpoints that tell what a token is worth: userinfo for the application that holds it,
// introspection and revocation for the application it was issued to.

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if p.crossOrigin(w, r, "GET, POST") || !allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	token, err := bearer(w, r)
	if err != nil {
		p.challenge(w, r, err)
		return
	}
	g, err := p.tokens.Access(r.Context(), token)
	if errors.Is(err, ErrNotFound) {
		err = refuse(InvalidToken, "The access token is not in force.")
	} else if err == nil && !slices.Contains(g.Scope, zoidc.ScopeOpenID) {
		err = refuse(InvalidToken, "The access token was not issued with the openid scope.")
	}
	if err != nil {
		p.challenge(w, r, err)
		return
	}
	if client, err := p.client(r.Context(), g.ClientID); err != nil {
		p.challenge(w, r, refuse(InvalidToken, "The access token is not in force."))
		return
	} else {
		narrowOrigin(w, r, client)
	}
	claims := make(map[string]any, len(g.Claims)+1)
	for name, value := range g.Claims {
		claims[name] = value
	}
	claims["sub"] = g.Subject
	writeJSON(w, http.StatusOK, claims)
}

// bearer takes the token from the header or, in a POST, from the body (RFC 6750 sections 2.1, 2.2).
// A token in the address lies in logs and Referer headers and is refused (section 5.3).
func bearer(w http.ResponseWriter, r *http.Request) (string, error) {
	if r.URL.Query().Has("access_token") {
		return "", refuse(InvalidRequest, "An access token does not belong into the address.")
	}
	var inBody string
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		q, bad := form(w, r)
		if bad == nil {
			bad = q.judge()
		}
		if bad != nil {
			return "", bad
		}
		inBody = q["access_token"]
	}
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 || len(headers) == 1 && inBody != "" {
		return "", refuse(InvalidRequest, "The access token was sent more than once.")
	}
	if len(headers) == 1 {
		scheme, token, _ := strings.Cut(headers[0], " ")
		if strings.EqualFold(scheme, "Bearer") && token != "" {
			return token, nil
		}
	}
	if inBody != "" {
		return inBody, nil
	}
	return "", &Error{Status: http.StatusUnauthorized}
}

// challenge answers as RFC 6750 section 3 has it; without any token there is no error code to give.
func (p *Provider) challenge(w http.ResponseWriter, r *http.Request, err error) {
	e, ours := asError(err)
	if ours {
		p.report(r, err)
	}
	if e.status() != http.StatusUnauthorized {
		if e.Code == InvalidRequest {
			w.Header().Set("WWW-Authenticate", `Bearer realm="openid", error="invalid_request"`)
		}
		p.fail(w, r, e)
		return
	}
	if e.Code == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="openid"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("WWW-Authenticate",
		`Bearer realm="openid", error="`+e.Code+`", error_description="`+e.Description+`"`)
	p.fail(w, r, e)
}

// introspect tells a client about its own tokens. Another's is "not active", like one that never was:
// RFC 7662 section 4 warns that the answer is an oracle otherwise.
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if !allow(w, r, http.MethodPost) {
		return
	}
	q, client, err := p.clientCall(w, r)
	if err == nil && client.Public() {
		// Whoever knows a public client's name could try tokens (RFC 7662 section 2.1).
		err = refuse(InvalidClient, "Introspection needs an application with a secret.")
	}
	if err == nil && !q.has("token") {
		err = refuse(InvalidRequest, "The token is missing.")
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	answer, err := p.inspect(r, client, q["token"])
	if errors.Is(err, ErrNotFound) {
		answer, err = map[string]any{"active": false}, nil
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// inspect looks for the token among all kinds, whatever the hint says: the hint is allowed to be
// wrong (RFC 7662 section 2.1).
func (p *Provider) inspect(r *http.Request, c *Client, token string) (map[string]any, error) {
	if own, err := p.VerifyClientToken(token); err == nil {
		if own.ClientID != c.ID {
			return nil, ErrNotFound
		}
		return map[string]any{
			"active": true, "token_type": "Bearer", "client_id": own.ClientID, "sub": own.Subject,
			"aud": own.Audience, "iss": own.Issuer, "iat": own.IssuedAt, "exp": own.Expires, "jti": own.ID,
		}, nil
	}
	g, err := p.tokens.Access(r.Context(), token)
	kind := "Bearer"
	if errors.Is(err, ErrNotFound) {
		g, err = p.tokens.Refresh(r.Context(), token)
		kind = "" // a refresh token has no type a resource server could use
	}
	if err != nil {
		return nil, err
	}
	if g.ClientID != c.ID {
		return nil, ErrNotFound
	}
	answer := make(map[string]any, len(g.Claims)+12)
	for name, value := range g.Claims {
		answer[name] = value
	}
	for name, value := range map[string]any{
		"active": true, "client_id": g.ClientID, "sub": g.Subject, "iss": p.issuer, "aud": g.ClientID,
		"iat": g.IssuedAt.Unix(), "exp": g.Expires.Unix(),
		"scope": strings.Join(g.Scope, " "), "sid": g.SessionID,
	} {
		answer[name] = value
	}
	if !g.AuthTime.IsZero() {
		answer["auth_time"] = g.AuthTime.Unix()
	}
	if kind != "" {
		answer["token_type"] = kind
	}
	return answer, nil
}

// revoke ends a token of the calling client. The answer is 200 for any token, known or not, its own
// or not (RFC 7009 section 2.2).
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if p.crossOrigin(w, r, http.MethodPost) || !allow(w, r, http.MethodPost) {
		return
	}
	q, client, err := p.clientCall(w, r)
	if err == nil && !q.has("token") {
		err = refuse(InvalidRequest, "The token is missing.")
	}
	if err == nil {
		err = p.tokens.Revoke(r.Context(), client.ID, q["token"])
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		p.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

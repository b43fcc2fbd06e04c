package oidc

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
)

const (
	modeQuery    = string(zoidc.ResponseModeQuery)
	modeFragment = string(zoidc.ResponseModeFragment)
	modeFormPost = string(zoidc.ResponseModeFormPost)
)

var (
	scopes  = []string{zoidc.ScopeOpenID, zoidc.ScopeProfile, zoidc.ScopeEmail, zoidc.ScopeOfflineAccess}
	prompts = []string{zoidc.PromptNone, zoidc.PromptLogin, zoidc.PromptConsent, zoidc.PromptSelectAccount}
)

// authorize takes a request from a browser. Until client and redirect URI are certain, errors stay
// on a page of ours: sending them to an address that nobody registered is an open redirector
// (RFC 6749 section 4.1.2.1, RFC 9700 section 4.11).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if !allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	var q params
	var bad *Error
	if r.Method == http.MethodPost {
		q, bad = form(w, r)
	} else {
		q, bad = query(r)
	}
	if bad != nil {
		p.page(w, r, errorPage(bad))
		return
	}
	client, err := p.client(r.Context(), q["client_id"])
	if errors.Is(err, ErrNotFound) {
		p.page(w, r, errorPage(refuse(InvalidRequest, "No application is registered under this client_id.")))
		return
	}
	if err != nil {
		p.pageFailure(w, r, err)
		return
	}
	if !redirectRegistered(client, q["redirect_uri"]) {
		p.page(w, r, errorPage(refuse(InvalidRequest, "The redirect_uri is not registered for this application.")))
		return
	}
	req, refusal := p.judgeAuthorize(client, q)
	if refusal != nil {
		p.respond(w, r, &req, url.Values{"error": {refusal.Code}, "error_description": {refusal.Description}})
		return
	}
	if r.Method == http.MethodPost {
		// A form on the application's page is a cross-site POST, and SameSite=Lax keeps our cookies
		// out of it: the person would seem signed out. The same request as a GET has them.
		w.Header().Set("Location", PathAuthorize+"?"+q.encode())
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	outcome, err := p.browser.Authorize(r.Context(), r, req)
	p.proceed(w, r, &req, outcome, err)
}

// resume takes an attempt up again after sign-in.
func (p *Provider) resume(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if !allow(w, r, http.MethodGet) {
		return
	}
	q, bad := query(r)
	if bad == nil {
		bad = q.judge()
	}
	if bad != nil {
		p.page(w, r, errorPage(bad))
		return
	}
	req, outcome, err := p.browser.Resume(r.Context(), r, q["attempt"])
	if errors.Is(err, ErrNotFound) {
		p.page(w, r, &PageError{
			Status: http.StatusBadRequest, Title: "This sign-in cannot be continued",
			Message: "It was begun in another browser, has been used already, or has been left too long. Go back to the application and start again.",
		})
		return
	}
	if err == nil || req.RedirectURI != "" {
		// What was registered when the request came may have been taken away since.
		client, cerr := p.client(r.Context(), req.ClientID)
		if cerr != nil || !redirectRegistered(client, req.RedirectURI) {
			p.page(w, r, errorPage(refuse(InvalidRequest, "The application is no longer registered as it was.")))
			return
		}
	}
	p.proceed(w, r, &req, outcome, err)
}

// proceed answers with what the owner decided.
func (p *Provider) proceed(w http.ResponseWriter, r *http.Request, req *AuthorizeRequest, outcome Outcome, err error) {
	for _, c := range outcome.Cookies {
		http.SetCookie(w, c)
	}
	var page *PageError
	var refusal *Error
	switch {
	case errors.As(err, &page):
		p.page(w, r, page)
	case errors.As(err, &refusal) && req.RedirectURI != "":
		p.respond(w, r, req, url.Values{"error": {refusal.Code}, "error_description": {refusal.Description}})
	case err != nil && req.RedirectURI != "":
		p.report(r, err)
		p.respond(w, r, req, url.Values{"error": {ServerError}, "error_description": {"The request could not be answered. Try again."}})
	case err != nil:
		p.pageFailure(w, r, err)
	case outcome.Code != "":
		p.respond(w, r, req, url.Values{"code": {outcome.Code}})
	default:
		w.Header().Set("Location", outcome.Location)
		w.WriteHeader(http.StatusFound)
	}
}

// judgeAuthorize reads everything but client and redirect URI. What it returns beside a refusal is
// enough to send that refusal to the client.
func (p *Provider) judgeAuthorize(c *Client, q params) (AuthorizeRequest, *Error) {
	req := AuthorizeRequest{ClientID: c.ID, RedirectURI: q["redirect_uri"], Started: p.now().UTC()}
	// State and response mode first: they say how every later refusal travels. A state that is not
	// lawful is not sent back.
	unlawful := (params{"state": q["state"]}).judge()
	if unlawful == nil {
		req.State = q["state"]
	}
	switch mode := q["response_mode"]; mode {
	case "", modeQuery, modeFragment, modeFormPost:
		req.ResponseMode = mode
	default:
		return req, refuse(InvalidRequest, "This response_mode is not supported.")
	}
	if unlawful != nil {
		return req, unlawful
	}
	if refusal := q.judge(); refusal != nil {
		return req, refusal
	}
	switch {
	case q.has("request"):
		return req, refuse(RequestNotSupported, "Request objects are not supported.")
	case q.has("request_uri"):
		return req, refuse(RequestURINotSupported, "Request objects are not supported; none was fetched.")
	case q.has("registration"):
		return req, refuse(RegistrationNotSupported, "The registration parameter is not supported.")
	case !q.has("response_type"):
		return req, refuse(InvalidRequest, "The response_type is missing.")
	case q["response_type"] != string(zoidc.ResponseTypeCode):
		return req, refuse(UnsupportedResponseType, "Only response_type=code is supported.")
	case !slices.Contains(c.GrantTypes, string(GrantCode)):
		return req, refuse(UnauthorizedClient, "This application may not use the authorization code flow.")
	case !q.has("code_challenge"):
		return req, refuse(InvalidRequest, "A code_challenge is required (RFC 7636).")
	case q["code_challenge_method"] != string(zoidc.CodeChallengeMethodS256):
		return req, refuse(InvalidRequest, "The code_challenge_method must be S256.")
	case !isChallenge(q["code_challenge"]):
		return req, refuse(InvalidRequest, "The code_challenge must be 43 characters of base64url.")
	}
	req.CodeChallenge = q["code_challenge"]
	req.Nonce = q["nonce"]
	req.LoginHint, req.Organization, req.Connection = q["login_hint"], q["organization"], q["connection"]
	var refusal *Error
	if req.Scope, refusal = readScope(q); refusal != nil {
		return req, refusal
	}
	if req.Prompt = q.list("prompt"); len(req.Prompt) > 1 && req.Asks(zoidc.PromptNone) {
		return req, refuse(InvalidRequest, "prompt=none stands alone.")
	}
	for _, prompt := range req.Prompt {
		if !slices.Contains(prompts, prompt) {
			return req, refuse(InvalidRequest, "This prompt value is not supported.")
		}
	}
	if q.has("max_age") {
		age, err := strconv.ParseUint(q["max_age"], 10, 31)
		if err != nil {
			return req, refuse(InvalidRequest, "max_age must be a number of seconds.")
		}
		seconds := int64(age)
		req.MaxAge = &seconds
	}
	req.ACRValues = q.list("acr_values")
	if q.has("id_token_hint") {
		hint, err := p.readHint(q["id_token_hint"])
		if err != nil || hint.Audience != c.ID {
			return req, refuse(InvalidRequest, "The id_token_hint is not an ID token of ours for this application.")
		}
		req.HintSubject, req.HintSession = hint.Subject, hint.Session
	}
	return req, nil
}

func readScope(q params) ([]string, *Error) {
	scope := q.list("scope")
	for _, s := range scope {
		if !slices.Contains(scopes, s) {
			return nil, refuse(InvalidScope, "A scope was asked for that does not exist here.")
		}
	}
	slices.Sort(scope)
	return slices.Compact(scope), nil
}

// isChallenge: SHA-256 in base64url without padding is 43 characters, no more and no fewer
// (RFC 7636 section 4.2).
func isChallenge(s string) bool {
	return len(s) == 43 && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}) < 0
}

// A hint is what an earlier ID token says about who is meant.
type hint struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Session  string `json:"sid"`
}

// readHint checks an ID token of ours; an expired one is still a hint (OpenID Connect Core section
// 3.1.2.1, RP-Initiated Logout section 2).
func (p *Provider) readHint(token string) (hint, error) {
	var h hint
	if err := p.keys.Load().verify(token, typID, &h); err != nil {
		return hint{}, err
	}
	if h.Issuer != p.issuer || h.Subject == "" {
		return hint{}, errors.New("oidc: not an ID token of this issuer")
	}
	return h, nil
}

// redirectRegistered compares byte for byte. The value was decoded once, by the query parser, and is
// never decoded again: a second decoding makes "%252e" a path.
func redirectRegistered(c *Client, uri string) bool {
	if uri == "" {
		return false
	}
	for _, registered := range c.RedirectURIs {
		if uri == registered || c.Public() && sameLoopback(registered, uri) {
			return true
		}
	}
	return false
}

// sameLoopback: an app on a person's machine listens on whatever port is free (RFC 8252 section 7.3).
// Only the port of a loopback literal may differ; scheme, host, path and query stay as registered,
// and there is no userinfo in which another host could hide.
func sameLoopback(registered, uri string) bool {
	split := func(s string) (host, rest string, ok bool) {
		s, ok = strings.CutPrefix(s, "http://")
		at := strings.IndexAny(s, "/?#")
		if !ok || at < 0 {
			return "", "", false
		}
		authority, rest := s[:at], s[at:]
		if h, port, err := net.SplitHostPort(authority); err == nil {
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
				return "", "", false
			}
			host = h
		} else {
			host = strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]")
		}
		return host, rest, host == "127.0.0.1" || host == "::1"
	}
	wantHost, wantRest, ok := split(registered)
	if !ok {
		return false
	}
	host, rest, ok := split(uri)
	return ok && host == wantHost && rest == wantRest
}

// respond sends an answer to the client's redirect URI, with its state and our name: a client of
// several providers learns which one answered (RFC 9207).
func (p *Provider) respond(w http.ResponseWriter, r *http.Request, req *AuthorizeRequest, answer url.Values) {
	if req.State != "" {
		answer.Set("state", req.State)
	}
	answer.Set("iss", p.issuer)
	if req.ResponseMode == modeFormPost {
		p.formPost(w, r, req.RedirectURI, answer)
		return
	}
	w.Header().Set("Location", addTo(req.RedirectURI, req.ResponseMode == modeFragment, answer))
	w.WriteHeader(http.StatusFound)
}

// addTo appends to a URI without re-encoding what its owner registered.
func addTo(uri string, fragment bool, answer url.Values) string {
	switch {
	case fragment:
		return uri + "#" + answer.Encode()
	case strings.HasSuffix(uri, "?"):
		return uri + answer.Encode()
	case strings.Contains(uri, "?"):
		return uri + "&" + answer.Encode()
	}
	return uri + "?" + answer.Encode()
}

func (q params) encode() string {
	values := make(url.Values, len(q))
	for name, value := range q {
		values.Set(name, value)
	}
	return values.Encode()
}

// seconds is a lifetime as JSON has it.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

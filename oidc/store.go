package oidc

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Lifetimes. A code lives as long as a redirect takes; an access token for people is a handle that
// dies with its user, so its age only bounds how long a stolen one is of use; a token for an
// application is not stored anywhere and therefore short (RFC 9068 has no revocation).
const (
	CodeLifetime        = 60 * time.Second
	AccessLifetime      = 15 * time.Minute
	IDTokenLifetime     = 15 * time.Minute
	ClientTokenLifetime = 10 * time.Minute
	RefreshIdle         = 30 * 24 * time.Hour
	RefreshAbsolute     = 90 * 24 * time.Hour
	LogoutTokenLifetime = 2 * time.Minute
)

// ErrNotFound says that a client, attempt or token is not known, or not in force. Which of the two
// is never told: an answer that differs tells a guesser how close he is.
var ErrNotFound = errors.New("oidc: not found")

// A Client is an application as the protocol sees it.
type Client struct {
	ID   string
	Name string
	// CheckSecret compares in constant time; an error, an *Error of status 429 for one, is answered as
	// it is. Nil makes the client public: it has no secret, may not send one, and proves itself by
	// PKCE alone.
	CheckSecret func(ctx context.Context, secret string) (bool, error)
	// RedirectURIs and PostLogoutRedirectURIs are compared byte for byte.
	RedirectURIs           []string
	PostLogoutRedirectURIs []string
	// GrantTypes the client may use: authorization_code, refresh_token, client_credentials.
	GrantTypes []string
	// Algorithm signs its ID and logout tokens: ES256, which an empty value means, or RS256.
	Algorithm string
	// Origins from which its pages may call the token, revocation and userinfo endpoints.
	Origins []string
}

// Public says whether the client has no secret.
func (c *Client) Public() bool { return c.CheckSecret == nil }

// Clients are the applications that may ask.
type Clients interface {
	// Client returns a client or ErrNotFound. It is asked on every request, so it should be cached.
	Client(ctx context.Context, id string) (*Client, error)
	// AllowsOrigin says whether any client runs in pages of this origin.
	AllowsOrigin(ctx context.Context, origin string) (bool, error)
}

// An AuthorizeRequest is what an application asked for, judged and complete; it is kept as JSON
// while its person signs in.
type AuthorizeRequest struct {
	ClientID     string   `json:"client_id"`
	RedirectURI  string   `json:"redirect_uri"`
	ResponseMode string   `json:"response_mode,omitempty"`
	Scope        []string `json:"scope,omitempty"`
	State        string   `json:"state,omitempty"`
	Nonce        string   `json:"nonce,omitempty"`
	// CodeChallenge is always an S256 one.
	CodeChallenge string   `json:"code_challenge"`
	Prompt        []string `json:"prompt,omitempty"`
	// MaxAge in seconds; nil when not asked. Zero asks for a fresh sign-in, as prompt=login does.
	MaxAge *int64 `json:"max_age,omitempty"`
	// ACRValues are the contexts that the application would like, the most wanted first. They are voluntary (OpenID Connect Core
	// section 3.1.2.1): what came of them stands in the ID token's acr.
	ACRValues []string `json:"acr_values,omitempty"`
	// HintSubject and HintSession come from a verified id_token_hint.
	HintSubject string `json:"hint_subject,omitempty"`
	HintSession string `json:"hint_session,omitempty"`
	// LoginHint, Organization and Connection say where the person signs in and of which
	// organization the tokens speak; what they mean is the owner's business.
	LoginHint    string `json:"login_hint,omitempty"`
	Organization string `json:"organization,omitempty"`
	Connection   string `json:"connection,omitempty"`
	// Started is when the request arrived: a forced sign-in must be younger.
	Started time.Time `json:"started"`
}

// Asks says whether a prompt value was sent.
func (q *AuthorizeRequest) Asks(prompt string) bool {
	for _, p := range q.Prompt {
		if p == prompt {
			return true
		}
	}
	return false
}

// Forced says whether the person must sign in anew, whatever session there is.
func (q *AuthorizeRequest) Forced() bool {
	return q.Asks("login") || q.MaxAge != nil && *q.MaxAge == 0
}

// authTimeSkew is what another party's clock may be off by.
const authTimeSkew = time.Minute

// FitsAuthTime says whether a sign-in at that moment satisfies max_age and prompt=login. A forced one
// must not be older than the request; a moment that is not known (the zero Time) proves nothing.
func (q *AuthorizeRequest) FitsAuthTime(signedIn, now time.Time) bool {
	switch {
	case q.Forced():
		return !signedIn.IsZero() && !signedIn.Before(q.Started.Add(-authTimeSkew))
	case q.MaxAge != nil:
		return !signedIn.IsZero() && now.Sub(signedIn) <= time.Duration(*q.MaxAge)*time.Second
	}
	return true
}

// An Outcome is how an authorize request goes on: with a code, or to somewhere else first.
type Outcome struct {
	// Code is sent to the client; the owner keeps only its hash.
	Code string
	// Location is where the browser must go to sign in, when there is no code yet.
	Location string
	// Cookies are set on the answer either way.
	Cookies []*http.Cookie
}

// A BrowserSession is one of the sessions a browser holds.
type BrowserSession struct {
	ID      string // the sid claim
	Subject string // the sub claim
}

// Browser is the half of the owner that faces people. The requests are passed for their cookies.
//
// Errors: an *Error reaches the client (login_required for prompt=none); a *PageError is shown here;
// anything else is our fault and told as such, without its text.
type Browser interface {
	// Authorize decides over a judged request: make a code, or keep the request and say where to
	// sign in. With prompt=none it never does the latter.
	Authorize(ctx context.Context, r *http.Request, req AuthorizeRequest) (Outcome, error)
	// Resume takes an attempt up again once its person has signed in: it checks that this is the
	// browser that began it, consumes the attempt and makes the code. ErrNotFound: no such attempt,
	// another browser, or it was used. The request is returned whenever it was found and is this
	// browser's, with an error too, so that an *Error can be sent to its client.
	Resume(ctx context.Context, r *http.Request, attempt string) (AuthorizeRequest, Outcome, error)
	// Sessions are the live sessions of this browser.
	Sessions(ctx context.Context, r *http.Request) ([]BrowserSession, error)
	// End ends these sessions and all that hangs on them, and sees that applications are told. Where
	// the person leaves somewhere else too before this logout is over, it gives the path on this host
	// to send the browser to; from there it comes to where after says.
	End(ctx context.Context, r *http.Request, sessions []BrowserSession, after After) (cookies []*http.Cookie, path string, err error)
}

// After is where a logout ends: at an address that was judged, or on a page if it is empty. With Ask
// the person follows a link there.
type After struct {
	Location string
	Ask      bool
}

// A Grant is what a token stands for, at the moment it is asked about.
type Grant struct {
	ClientID  string
	Subject   string
	SessionID string
	Scope     []string
	Nonce     string
	AuthTime  time.Time // zero when not known
	ACR       string
	AMR       []string
	IssuedAt  time.Time
	Expires   time.Time
	// Claims go into ID token, userinfo and introspection as they are.
	Claims map[string]any
	// AccessToken and RefreshToken are the new tokens, after Redeem and Renew; the owner keeps only
	// their hashes. RefreshToken is empty where none was asked for.
	AccessToken, RefreshToken string
}

// A Redemption is a code presented at the token endpoint by a client that has proven itself.
type Redemption struct {
	ClientID    string
	Code        string
	RedirectURI string
	// CodeChallenge is computed from the verifier, so the owner compares it in the statement that
	// consumes the code.
	CodeChallenge string
	// Refresh says that the client may have a refresh token.
	Refresh bool
}

// A Renewal is a refresh token presented by a client that has proven itself.
type Renewal struct {
	ClientID string
	Token    string
	// Scope narrows the new access token; nil keeps what was granted.
	Scope []string
}

// Tokens is the half of the owner that keeps codes and tokens.
type Tokens interface {
	// Redeem consumes a code once and for all: one conditional statement over hash, client, redirect
	// URI, challenge and time, in the transaction that keeps the tokens. A code presented after it
	// was consumed revokes the family that came of it. Refusals are *Error, invalid_grant.
	Redeem(ctx context.Context, r Redemption) (Grant, error)
	// Renew spends a refresh token and keeps its successor. One presented a second time revokes its
	// family. Refusals are *Error, invalid_grant or invalid_scope.
	Renew(ctx context.Context, r Renewal) (Grant, error)
	// Access returns what an access token stands for, reading its person's state in the statement
	// that finds it, or ErrNotFound.
	Access(ctx context.Context, token string) (Grant, error)
	// Refresh is the same for a refresh token, for introspection; Claims stay empty.
	Refresh(ctx context.Context, token string) (Grant, error)
	// Revoke ends an access token, or the family of a refresh token, if it is this client's. What is
	// not is left alone and not spoken of (RFC 7009 section 2.1).
	Revoke(ctx context.Context, clientID string, token string) error
}

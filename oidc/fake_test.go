package oidc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/oidc"
)

const (
	issuer    = "https://id.example"
	callback  = "https://app.example/cb"
	verifier  = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	challenge = "g0tuZ6q412zO9IRkeAUs8HN6MQeXPsGce37J3Rsc8wQ"
)

// owner is the smallest owner that keeps the promises of the interfaces, in memory. The real one's
// own promises are tested where it lives.
type owner struct {
	mu       sync.Mutex
	clients  map[string]*oidc.Client
	codes    map[string]*code
	access   map[string]*held
	refresh  map[string]*held
	attempts map[string]oidc.AuthorizeRequest
	signedIn bool
	session  string
	ended    []string
	now      time.Time
	made     int
}

type code struct {
	req    oidc.AuthorizeRequest
	at     time.Time
	family string
	used   bool
}

type held struct {
	grant   oidc.Grant
	family  string
	used    bool
	revoked bool
}

func (o *owner) Client(_ context.Context, id string) (*oidc.Client, error) {
	if c, ok := o.clients[id]; ok {
		return c, nil
	}
	return nil, oidc.ErrNotFound
}

func (o *owner) AllowsOrigin(_ context.Context, origin string) (bool, error) {
	for _, c := range o.clients {
		if slices.Contains(c.Origins, origin) {
			return true, nil
		}
	}
	return false, nil
}

func (o *owner) handle(kind string) string {
	o.made++
	return fmt.Sprintf("%s-%d", kind, o.made)
}

func (o *owner) Authorize(_ context.Context, _ *http.Request, req oidc.AuthorizeRequest) (oidc.Outcome, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.signedIn && !req.Asks("login") && (req.HintSubject == "" || req.HintSubject == "person") {
		return oidc.Outcome{Code: o.code(req)}, nil
	}
	if req.Asks("none") {
		return oidc.Outcome{}, &oidc.Error{Code: oidc.LoginRequired, Description: "Sign in first."}
	}
	attempt := o.handle("attempt")
	o.attempts[attempt] = req
	return oidc.Outcome{
		Location: "/signin?attempt=" + attempt,
		Cookies:  []*http.Cookie{{Name: "browser", Value: attempt, HttpOnly: true}},
	}, nil
}

func (o *owner) code(req oidc.AuthorizeRequest) string {
	c := o.handle("code")
	o.codes[c] = &code{req: req, at: o.now, family: o.handle("family")}
	return c
}

func (o *owner) Resume(_ context.Context, r *http.Request, attempt string) (oidc.AuthorizeRequest, oidc.Outcome, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	req, ok := o.attempts[attempt]
	cookie, err := r.Cookie("browser")
	if !ok || err != nil || cookie.Value != attempt {
		return oidc.AuthorizeRequest{}, oidc.Outcome{}, oidc.ErrNotFound
	}
	delete(o.attempts, attempt)
	return req, oidc.Outcome{Code: o.code(req)}, nil
}

func (o *owner) Sessions(context.Context, *http.Request) ([]oidc.BrowserSession, error) {
	if !o.signedIn {
		return nil, nil
	}
	return []oidc.BrowserSession{{ID: o.session, Subject: "person"}}, nil
}

func (o *owner) End(_ context.Context, _ *http.Request, sessions []oidc.BrowserSession, _ oidc.After) ([]*http.Cookie, string, error) {
	for _, s := range sessions {
		o.ended = append(o.ended, s.ID)
	}
	o.signedIn = false
	return nil, "", nil
}

func (o *owner) endFamily(family string) {
	for _, m := range []map[string]*held{o.access, o.refresh} {
		for _, h := range m {
			if h.family == family {
				h.revoked = true
			}
		}
	}
}

var errGrant = &oidc.Error{Code: oidc.InvalidGrant, Description: "Not in force."}

func (o *owner) issue(g oidc.Grant, family string, refresh bool) oidc.Grant {
	g.IssuedAt, g.Expires = o.now, o.now.Add(oidc.AccessLifetime)
	g.AccessToken = o.handle("access")
	o.access[g.AccessToken] = &held{grant: g, family: family}
	if refresh {
		g.RefreshToken = o.handle("refresh")
		o.refresh[g.RefreshToken] = &held{grant: g, family: family}
	}
	return g
}

func (o *owner) Redeem(_ context.Context, r oidc.Redemption) (oidc.Grant, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.codes[r.Code]
	if ok && c.used {
		o.endFamily(c.family)
		return oidc.Grant{}, errGrant
	}
	if !ok || c.req.ClientID != r.ClientID || c.req.RedirectURI != r.RedirectURI ||
		c.req.CodeChallenge != r.CodeChallenge || o.now.Sub(c.at) > oidc.CodeLifetime {
		return oidc.Grant{}, errGrant
	}
	c.used = true
	return o.issue(oidc.Grant{
		ClientID: r.ClientID, Subject: "person", SessionID: "session", Scope: c.req.Scope, Nonce: c.req.Nonce,
		AuthTime: o.now, Claims: map[string]any{"roles": []string{"viewer"}, "iss": "https://evil.example"},
	}, c.family, r.Refresh), nil
}

func (o *owner) Renew(_ context.Context, r oidc.Renewal) (oidc.Grant, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h, ok := o.refresh[r.Token]
	if !ok || h.grant.ClientID != r.ClientID || h.revoked {
		return oidc.Grant{}, errGrant
	}
	if h.used {
		o.endFamily(h.family)
		return oidc.Grant{}, errGrant
	}
	for _, s := range r.Scope {
		if !slices.Contains(h.grant.Scope, s) {
			return oidc.Grant{}, &oidc.Error{Code: oidc.InvalidScope}
		}
	}
	h.used = true
	return o.issue(h.grant, h.family, true), nil
}

func (o *owner) find(m map[string]*held, token string) (oidc.Grant, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h, ok := m[token]
	if !ok || h.revoked || h.used || !o.now.Before(h.grant.Expires) {
		return oidc.Grant{}, oidc.ErrNotFound
	}
	return h.grant, nil
}

func (o *owner) Access(_ context.Context, token string) (oidc.Grant, error) {
	return o.find(o.access, token)
}

func (o *owner) Refresh(_ context.Context, token string) (oidc.Grant, error) {
	return o.find(o.refresh, token)
}

func (o *owner) Revoke(_ context.Context, client, token string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range []map[string]*held{o.access, o.refresh} {
		if h, ok := m[token]; ok && h.grant.ClientID == client {
			o.endFamily(h.family)
		}
	}
	return nil
}

// world is a provider over an owner, and a browser's cookies.
type world struct {
	*owner
	t        testing.TB
	provider *oidc.Provider
	handler  http.Handler
	cookies  map[string]*http.Cookie
}

func newWorld(t testing.TB) *world {
	t.Helper()
	secret := func(want string) func(context.Context, string) (bool, error) {
		return func(_ context.Context, got string) (bool, error) {
			if got == "too often" {
				return false, &oidc.Error{Code: oidc.InvalidClient, Status: 429, RetryAfter: 20 * time.Second}
			}
			return got == want, nil
		}
	}
	all := []string{"authorization_code", "refresh_token", "client_credentials"}
	o := &owner{
		codes: map[string]*code{}, access: map[string]*held{}, refresh: map[string]*held{},
		attempts: map[string]oidc.AuthorizeRequest{}, signedIn: true, session: "session",
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		clients: map[string]*oidc.Client{
			"app": {
				ID: "app", Name: "App", CheckSecret: secret("s3cret:with%"), GrantTypes: all,
				RedirectURIs:           []string{callback, "https://app.example/other", "http://127.0.0.1:9401/callback"},
				PostLogoutRedirectURIs: []string{"https://app.example/bye?x=1"},
			},
			"rs": {
				ID: "rs", Name: "RS", CheckSecret: secret("rs-secret"), GrantTypes: all, Algorithm: oidc.RS256,
				RedirectURIs: []string{"https://rs.example/cb"},
			},
			"native": {
				ID: "native", Name: "Native", GrantTypes: all[:2], Origins: []string{"https://spa.example"},
				RedirectURIs: []string{"http://127.0.0.1:1234/cb", "http://[::1]/cb", "https://spa.example/cb"},
			},
			"machine": {ID: "machine", Name: "Machine", CheckSecret: secret("m"), GrantTypes: all[2:]},
		},
	}
	p, err := oidc.New(oidc.Options{
		Issuer: issuer, Clients: o, Browser: o, Tokens: o, Keys: testKeys(t), Now: func() time.Time { return o.now },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Stylesheet: "/assets/site.css",
	})
	if err != nil {
		t.Fatal(err)
	}
	r := chi.NewRouter()
	p.Mount(r)
	return &world{owner: o, t: t, provider: p, handler: r, cookies: map[string]*http.Cookie{}}
}

var (
	keysOnce sync.Once
	someKeys []oidc.Key
)

// generated makes one set of keys for all tests: RSA keys are slow to make.
func generated(t testing.TB) []oidc.Key {
	t.Helper()
	keysOnce.Do(func() {
		for _, alg := range []string{oidc.ES256, oidc.RS256, oidc.ES256} {
			k, err := oidc.GenerateKey(alg)
			if err != nil {
				panic(err)
			}
			someKeys = append(someKeys, k)
		}
		someKeys[0].State, someKeys[1].State, someKeys[2].State = oidc.KeyActive, oidc.KeyActive, oidc.KeyNext
	})
	return slices.Clone(someKeys)
}

func testKeys(t testing.TB) *oidc.KeySet {
	t.Helper()
	set, err := oidc.NewKeySet(generated(t))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func (w *world) do(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	for _, c := range w.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		w.cookies[c.Name] = c
	}
	return rec
}

func (w *world) get(path string, q url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.do(httptest.NewRequest(http.MethodGet, path+"?"+q.Encode(), nil))
}

type edit func(*http.Request)

func basic(id, secret string) edit {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

var asApp = basic("app", "s3cret:with%")

func header(name, value string) edit { return func(r *http.Request) { r.Header.Set(name, value) } }

func (w *world) post(path, body string, edits ...edit) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, e := range edits {
		e(r)
	}
	return w.do(r)
}

// values makes parameters of pairs; a later pair replaces an earlier one, an empty value removes it.
func values(base url.Values, pairs ...string) url.Values {
	v := url.Values{}
	for name, all := range base {
		v[name] = all
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		} else {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func ask(pairs ...string) url.Values {
	return values(url.Values{
		"client_id": {"app"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"},
		"state": {"st"}, "nonce": {"no"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}, pairs...)
}

// answer reads what came back to the client's redirect URI.
func answer(t testing.TB, rec *httptest.ResponseRecorder) url.Values {
	t.Helper()
	u, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != http.StatusFound {
		t.Fatalf("got %d %q, want a redirect to the client: %s", rec.Code, rec.Header().Get("Location"), rec.Body)
	}
	return u.Query()
}

func (w *world) codeFor(pairs ...string) string {
	w.t.Helper()
	got := answer(w.t, w.get("/authorize", ask(pairs...)))
	if got.Get("code") == "" {
		w.t.Fatalf("no code in %v", got)
	}
	return got.Get("code")
}

func redemption(code string, pairs ...string) string {
	return values(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}, pairs...).Encode()
}

func decode(t testing.TB, rec *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return m
}

func (w *world) tokens(pairs ...string) map[string]any {
	w.t.Helper()
	rec := w.post("/token", redemption(w.codeFor(pairs...)), asApp)
	if rec.Code != http.StatusOK {
		w.t.Fatalf("token: %d %s", rec.Code, rec.Body)
	}
	return decode(w.t, rec)
}

// refused wants an OAuth error.
func refused(t testing.TB, rec *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if rec.Code != status || decode(t, rec)["error"] != code {
		t.Errorf("got %d %s, want %d %s", rec.Code, rec.Body, status, code)
	}
	if got := rec.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q on an error", got)
	}
}

func claimsOf(t testing.TB, jwt any) (head, body map[string]any) {
	t.Helper()
	parts := strings.Split(jwt.(string), ".")
	for i, into := range []*map[string]any{&head, &body} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return head, body
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

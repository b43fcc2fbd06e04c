package issuing_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/issuing"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/oidc"
)

const (
	issuer    = "https://id.example"
	callback  = "https://app.example/cb"
	verifier  = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	challenge = "g0tuZ6q412zO9IRkeAUs8HN6MQeXPsGce37J3Rsc8wQ"
	secret    = "an application's secret"
	northwind = id.Organization("northwind")
	other     = id.Organization("other")
)

// world is a node over a store with two organizations, three applications, one person in each organization, and a browser.
type world struct {
	t       *testing.T
	ctx     context.Context
	clock   *storetest.Clock
	db      *store.DB
	node    *issuing.Provider
	handler http.Handler
	user    map[id.Organization]id.User
	browser map[string]string
}

var operator = audit.Actor{Kind: audit.ActorOperator, Name: "Olga", Door: audit.CLI}

// each runs a test on a world on each store.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		test(t, newWorld(t, clock, storetest.Open(t, kind, storetest.WithClock(clock))))
	})
}

func newWorld(t *testing.T, clock *storetest.Clock, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, ctx: context.Background(), clock: clock, db: db, user: map[id.Organization]id.User{}, browser: map[string]string{}}
	w.must(db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		for i, p := range []id.Permission{"assets.read", "assets.update", "assets.delete"} {
			tx.PutDeclaredPermission(store.DeclaredPermission{Permission: access.Permission{ID: p, Name: string(p)}, Position: int64(i)})
		}
		for i, r := range []access.Role{
			{ID: "viewer", Name: "Viewer", Permissions: []id.Permission{"assets.read"}},
			{ID: "editor", Name: "Editor", Includes: []id.Role{"viewer"}, Permissions: []id.Permission{"assets.update", "assets.delete"}},
		} {
			tx.PutDeclaredRole(store.DeclaredRole{Role: r, Position: int64(i)})
		}
		for _, org := range []id.Organization{northwind, other} {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: org, Name: string(org), Settings: store.Settings{
				DefaultRoles: []access.RoleAt{{Role: "viewer"}},
			}})
			tx.PutDeclaredResource(store.DeclaredResource{Organization: org, Resource: access.Resource{ID: "london-1", Type: "site", Name: "London 1"}})
		}
		app := application.Application{
			ID: "app", Name: "App", Protocol: application.OIDC, SecretHash: db.Keys.Hash(secret),
			RedirectURIs: []string{callback}, PostLogoutRedirectURIs: []string{"https://app.example/bye"},
			BackchannelLogoutURI: "https://app.example/logout",
			GrantTypes:           []string{"authorization_code", "refresh_token", "client_credentials"},
			Claims:               []string{"roles", "grants", "groups", "organization"},
			Organizations:        []id.Organization{application.Every},
		}
		tx.SaveApplication(w.ctx, app)
		quiet := app
		quiet.ID, quiet.Name, quiet.Claims, quiet.BackchannelLogoutURI = "quiet", "Quiet", nil, ""
		tx.SaveApplication(w.ctx, quiet)
		closed := app
		closed.ID, closed.Name, closed.Organizations = "closed", "Closed", []id.Organization{other}
		tx.SaveApplication(w.ctx, closed)
		return nil
	}))
	for _, org := range []id.Organization{northwind, other} {
		w.write(org, func(tx *store.Tx) error {
			u, err := tx.CreateJustInTime(w.ctx, store.NewUser{
				Email: "mia@" + string(org) + ".example", EmailVerified: true, DisplayName: "Mia " + string(org),
			}, operator)
			if err == nil {
				w.user[org] = u.ID
			}
			return err
		})
	}
	w.must(db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		for _, k := range someKeys() {
			der, err := x509.MarshalPKCS8PrivateKey(k.Signer)
			if err != nil {
				return err
			}
			tx.AddSigningKey(w.ctx, store.SigningKey{
				ID: k.ID, Algorithm: k.Algorithm, State: string(oidc.KeyActive), Public: "{}", Activates: clock.Now(),
				Private: db.Keys.Seal("signing-key/"+k.ID, der),
			})
		}
		return nil
	}))
	w.node, w.handler = w.start(db)
	return w
}

// someKeys are made once: an RSA key takes longer than the rest of a test.
var someKeys = sync.OnceValue(func() (keys []oidc.Key) {
	for _, algorithm := range []string{oidc.ES256, oidc.RS256} {
		k, err := oidc.GenerateKey(algorithm)
		if err != nil {
			panic(err)
		}
		keys = append(keys, k)
	}
	return keys
})

// start opens another node on a store.
func (w *world) start(db *store.DB) (*issuing.Provider, http.Handler) {
	w.t.Helper()
	node, err := issuing.New(w.ctx, issuing.Options{
		DB: db, URL: issuer, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		From: func(r *http.Request) (string, string) { return r.Header.Get("Test-From"), "request-1" },
	})
	w.must(err)
	r := chi.NewRouter()
	node.Mount(r)
	return node, r
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(org id.Organization, fn func(tx *store.Tx) error) {
	w.t.Helper()
	w.must(w.db.Write(w.ctx, org, fn))
}

// signIn does what sign-in does once it has found the person: a session, its cookie, and the attempt landed.
func (w *world) signIn(org id.Organization, attempt string) id.Session {
	w.t.Helper()
	cookies := session.For(issuer)
	handle := seal.Handle()
	start := session.Start{
		ID: id.New[id.Session](), Hash: seal.Fingerprint(handle), User: w.user[org], Expires: w.clock.Now().Add(12 * time.Hour),
		Idle: 2 * time.Hour, IP: "192.0.2.1", AuthTime: w.clock.Now(), ACR: "1", AMR: []string{"pwd"},
	}
	browser := seal.Fingerprint(w.browser["__Host-vestibule_b"])
	if attempt != "" {
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			return tx.SendAttempt(w.ctx, id.Attempt(attempt), browser, store.Away{Organization: org, Connection: "corp", StateHash: handle})
		}))
	}
	w.write(org, func(tx *store.Tx) error {
		if err := tx.StartSession(w.ctx, start); err != nil || attempt == "" {
			return err
		}
		return tx.LandAttempt(w.ctx, id.Attempt(attempt), browser, start.ID)
	})
	w.browser[cookies.Name(org)] = handle
	return start.ID
}

func (w *world) send(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	for name, value := range w.browser {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(w.browser, c.Name)
		} else {
			w.browser[c.Name] = c.Value
		}
	}
	return rec
}

func (w *world) get(path string, q url.Values) *httptest.ResponseRecorder {
	return w.send(w.handler, httptest.NewRequest(http.MethodGet, path+"?"+q.Encode(), nil))
}

func (w *world) postTo(handler http.Handler, path string, q url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(q.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	return rec
}

// post calls as the application named, without any cookie.
func (w *world) post(app, path string, pairs ...string) (int, map[string]any) {
	w.t.Helper()
	q := url.Values{"client_id": {app}, "client_secret": {secret}}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	rec := w.postTo(w.handler, path, q)
	var m map[string]any
	if rec.Body.Len() > 0 {
		w.must(json.Unmarshal(rec.Body.Bytes(), &m))
	}
	return rec.Code, m
}

func ask(pairs ...string) url.Values {
	q := url.Values{
		"client_id": {"app"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"},
		"state": {"st"}, "nonce": {"no"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

// authorize gives where the browser is sent, split.
func (w *world) authorize(pairs ...string) (to *url.URL, q url.Values) {
	w.t.Helper()
	rec := w.get("/authorize", ask(pairs...))
	u, err := url.Parse(rec.Header().Get("Location"))
	w.must(err)
	if rec.Code != http.StatusFound {
		w.t.Fatalf("authorize: %d %s", rec.Code, rec.Body)
	}
	return u, u.Query()
}

func (w *world) code(pairs ...string) string {
	w.t.Helper()
	u, q := w.authorize(pairs...)
	if q.Get("code") == "" {
		w.t.Fatalf("no code: %s", u)
	}
	return q.Get("code")
}

func (w *world) redeem(code string) (int, map[string]any) {
	w.t.Helper()
	return w.post("app", "/token", "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier)
}

// tokens signs in, if need be, and gives the application's tokens.
func (w *world) tokens(pairs ...string) map[string]any {
	w.t.Helper()
	if w.browser["__Host-vestibule_s_northwind"] == "" {
		w.signIn(northwind, "")
	}
	status, m := w.redeem(w.code(pairs...))
	if status != http.StatusOK {
		w.t.Fatalf("token: %d %v", status, m)
	}
	return m
}

func (w *world) refresh(token any, pairs ...string) (int, map[string]any) {
	w.t.Helper()
	return w.post("app", "/token", append([]string{"grant_type", "refresh_token", "refresh_token", token.(string)}, pairs...)...)
}

func (w *world) introspect(token any) map[string]any {
	w.t.Helper()
	_, m := w.post("app", "/introspect", "token", token.(string))
	return m
}

func (w *world) userinfo(token any) (int, map[string]any) {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+token.(string))
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	var m map[string]any
	_ = json.Unmarshal(rec.Body.Bytes(), &m)
	return rec.Code, m
}

func payload(t *testing.T, jwt any) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt.(string), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// actions lists what the audit log of an organization says, oldest first.
func (w *world) actions(org id.Organization) []string {
	w.t.Helper()
	var out []string
	for e, err := range w.db.EachEvent(w.ctx, org, store.AuditFilter{}) {
		w.must(err)
		out = append([]string{e.Action}, out...)
	}
	return out
}

func newGet(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

// madeKey is the key of the SAML identity provider, made once likewise.
var madeKey = sync.OnceValue(func() (made struct {
	private     []byte
	certificate *x509.Certificate
},
) {
	var err error
	if made.private, made.certificate, err = saml.MakeKey(storetest.NewClock().Now()); err != nil {
		panic(err)
	}
	return made
})

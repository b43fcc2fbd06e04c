package decision_test

import (
	"context"
	"crypto/x509"
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
	"github.com/go-jose/go-jose/v4"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/decision"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/issuing"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/oidc"
)

const (
	issuer    = "https://id.example"
	secret    = "an application's secret"
	northwind = id.Organization("northwind")
	southwind = id.Organization("southwind")
	fieldserv = id.Organization("fieldserv")
)

var operator = audit.Actor{Kind: audit.ActorOperator, Name: "Olga", Door: audit.CLI}

// world is a node over a store with three organizations, of which fieldserv serves others, three applications and some people.
type world struct {
	t       testing.TB
	ctx     context.Context
	clock   *storetest.Clock
	db      *store.DB
	handler http.Handler
	tokens  map[id.Application]string
}

// each runs a test on a world on each store.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) { test(t, newWorld(t, kind)) })
}

func newWorld(t testing.TB, kind storetest.Kind) *world {
	t.Helper()
	clock := storetest.NewClock()
	w := &world{t: t, ctx: context.Background(), clock: clock, db: storetest.Open(t, kind, storetest.WithClock(clock)), tokens: map[id.Application]string{}}
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		for i, p := range []id.Permission{"assets.read", "assets.update", "billing.read"} {
			tx.PutDeclaredPermission(store.DeclaredPermission{Permission: access.Permission{ID: p, Name: string(p)}, Position: int64(i)})
		}
		for i, r := range []access.Role{
			{ID: "viewer", Name: "Viewer", Permissions: []id.Permission{"assets.read"}},
			{ID: "editor", Name: "Editor", Includes: []id.Role{"viewer"}, Permissions: []id.Permission{"assets.update"}},
			{ID: "clerk", Name: "Clerk", Permissions: []id.Permission{"billing.read"}, RequireMFA: true},
		} {
			tx.PutDeclaredRole(store.DeclaredRole{Role: r, Position: int64(i)})
		}
		for _, org := range []id.Organization{northwind, southwind, fieldserv} {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: org, Name: name(org)})
			for _, r := range []access.Resource{
				{ID: "emea", Type: "portfolio", Name: "EMEA"},
				{ID: "london-1", Parent: "emea", Type: "site", Name: "London 1"},
				{ID: id.Resource("only-" + org), Type: "site", Name: "Only here"},
			} {
				tx.PutDeclaredResource(store.DeclaredResource{Organization: org, Resource: r})
			}
		}
		for app, orgs := range map[id.Application][]id.Organization{
			"everywhere": {application.Every}, "reports": {northwind}, "both": {northwind, southwind},
		} {
			tx.SaveApplication(w.ctx, w.app(app, orgs...))
		}
		for _, k := range someKeys() {
			der, err := x509.MarshalPKCS8PrivateKey(k.Signer)
			if err != nil {
				return err
			}
			tx.AddSigningKey(w.ctx, store.SigningKey{
				ID: k.ID, Algorithm: k.Algorithm, State: string(oidc.KeyActive), Public: "{}", Activates: clock.Now(),
				Private: w.db.Keys.Seal("signing-key/"+k.ID, der),
			})
		}
		return nil
	}))
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	from := func(*http.Request) (string, string) { return "192.0.2.1", "request-1" }
	provider, err := issuing.New(w.ctx, issuing.Options{DB: w.db, URL: issuer, Log: quiet, From: from})
	w.must(err)
	r := chi.NewRouter()
	provider.Mount(r)
	(&decision.Decision{DB: w.db, Log: quiet, URL: issuer, Caller: provider.Caller, From: from}).Mount(r)
	w.handler = r
	return w
}

func name(org id.Organization) string { return strings.ToUpper(string(org[:1])) + string(org[1:]) }

func (w *world) app(app id.Application, orgs ...id.Organization) application.Application {
	return application.Application{
		ID: app, Name: string(app), Protocol: application.OIDC, SecretHash: w.db.Keys.Hash(secret),
		GrantTypes: []string{application.ClientCredentials}, Organizations: orgs,
	}
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

func (w *world) system(fn func(tx *store.SystemTx)) {
	w.t.Helper()
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		fn(tx)
		return nil
	}))
}

// person makes an active user with a seat.
func (w *world) person(org id.Organization, name string) (user id.User) {
	w.t.Helper()
	w.write(org, func(tx *store.Tx) error {
		u, err := tx.CreateJustInTime(w.ctx, store.NewUser{
			Email: strings.ToLower(name) + "@" + string(org) + ".example", EmailVerified: true, DisplayName: name,
		}, operator)
		if err == nil {
			user = u.ID
		}
		return err
	})
	return user
}

func (w *world) give(org id.Organization, user id.User, role id.Role, at id.Resource) (grant id.Grant) {
	w.t.Helper()
	w.write(org, func(tx *store.Tx) error {
		g, err := tx.Give(w.ctx, operator, store.Grant{User: user, Role: role, Resource: at})
		grant = g.ID
		return err
	})
	return grant
}

// signIn leaves what signing in to an application does: a session, and what was shown in it with the application's tokens.
func (w *world) signIn(org id.Organization, user id.User, amr ...string) id.Session {
	w.t.Helper()
	s := id.New[id.Session]()
	w.write(org, func(tx *store.Tx) error {
		err := tx.StartSession(w.ctx, session.Start{
			ID: s, Hash: seal.Fingerprint(seal.Handle()), User: user, Expires: w.clock.Now().Add(12 * time.Hour), Idle: 2 * time.Hour, AMR: amr,
		})
		tx.KeepCode(w.ctx, store.Family{
			ID: id.New[id.Family](), User: user, Application: "everywhere", Session: s, AMR: amr, Expires: w.clock.Now().Add(90 * 24 * time.Hour),
		}, store.Code{Hash: seal.Fingerprint(seal.Handle()), Expires: w.clock.Now().Add(time.Minute)})
		return err
	})
	return s
}

// later moves the clock on, beyond the life of every token.
func (w *world) later(d time.Duration) {
	w.clock.Advance(d)
	clear(w.tokens)
}

// token is what client_credentials gives.
func (w *world) token(app id.Application) string {
	w.t.Helper()
	if w.tokens[app] != "" {
		return w.tokens[app]
	}
	q := url.Values{"grant_type": {"client_credentials"}, "client_id": {string(app)}, "client_secret": {secret}}
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(q.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || answer.Token == "" {
		w.t.Fatalf("token: %d %s", rec.Code, rec.Body)
	}
	w.tokens[app] = answer.Token
	return answer.Token
}

// change alters a request.
type change func(*http.Request)

func header(name string, values ...string) change {
	return func(r *http.Request) {
		r.Header.Del(name)
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
}

// post asks as an application, or as nobody where it is "".
func (w *world) post(app id.Application, path, body string, changes ...change) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if app != "" {
		r.Header.Set("Authorization", "Bearer "+w.token(app))
	}
	for _, c := range changes {
		c(r)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// verdict is an answer as a stranger reads it.
type verdict struct {
	Decision *bool `json:"decision"`
	Context  struct {
		Code        string                `json:"code"`
		Reason      string                `json:"reason"`
		Paths       [][]access.Hop        `json:"paths"`
		Restriction map[string]any        `json:"restriction"`
		Near        []map[string]any      `json:"near"`
		Roles       []string              `json:"roles"`
		ACRValues   string                `json:"acr_values"`
		Error       *struct{ Status int } `json:"error"`
	} `json:"context"`
}

func (v verdict) yes() bool { return v.Decision != nil && *v.Decision }

// question writes one evaluation; an organization of "" is left out.
func question(user id.User, action string, resourceType, resource string, org id.Organization) map[string]any {
	r := map[string]any{"type": resourceType, "id": resource}
	if org != "" {
		r["properties"] = map[string]any{"organization": org, "color": "green"}
	}
	return map[string]any{
		"subject": map[string]any{"type": "user", "id": user}, "action": map[string]any{"name": action}, "resource": r,
		"context": map[string]any{"time": "2026-03-02T09:00:00Z"},
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// ask asks one question and wants an answer.
func (w *world) ask(app id.Application, q map[string]any) verdict {
	w.t.Helper()
	rec := w.post(app, "/access/v1/evaluation", text(q))
	var v verdict
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil || rec.Code != http.StatusOK || v.Decision == nil ||
		rec.Header().Get("Content-Type") != "application/json" || rec.Header().Get("Cache-Control") != "no-store" {
		w.t.Fatalf("%s: %d %v %s", text(q), rec.Code, rec.Header(), rec.Body)
	}
	return v
}

// wants asks whether user may assets.update at london-1 of northwind.
func (w *world) wants(when string, user id.User, yes bool, code string) verdict {
	w.t.Helper()
	v := w.ask("reports", question(user, "assets.update", "site", "london-1", ""))
	if v.yes() != yes || v.Context.Code != code || v.Context.Reason == "" {
		w.t.Errorf("%s: got %v %q %q, want %v %q", when, v.yes(), v.Context.Code, v.Context.Reason, yes, code)
	}
	return v
}

type claims map[string]any

// signed makes a token that lasts as long as those of client_credentials, with the node's own key.
func (w *world) signed(typ string, c claims) string {
	w.t.Helper()
	k := someKeys()[0]
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: jose.JSONWebKey{Key: k.Signer, KeyID: k.ID}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	w.must(err)
	c["iat"], c["exp"], c["jti"] = w.clock.Now().Unix(), w.clock.Now().Add(10*time.Minute).Unix(), "x"
	jws, err := signer.Sign([]byte(text(c)))
	w.must(err)
	token, err := jws.CompactSerialize()
	w.must(err)
	return token
}

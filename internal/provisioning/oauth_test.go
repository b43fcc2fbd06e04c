package provisioning_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/internal/store"
)

const clientSecret = "a secret / of: plain & enough"

// keyed is a client's key, and the set that makes it known.
type keyed struct {
	private *ecdsa.PrivateKey
	set     string
}

func newKey(t *testing.T, kid string) keyed {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &k.PublicKey, KeyID: kid, Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return keyed{k, string(set)}
}

// clients declares clients of northwind/plain and of its neighbours: by secret, by keys.
func (w *world) clients(key keyed) {
	w.t.Helper()
	err := w.db.System().Write(w.t.Context(), func(tx *store.SystemTx) error {
		tx.PutDeclaredClient(store.DeclaredClient{Organization: "northwind", Directory: "plain", ID: "by-secret", SecretHash: w.db.Keys.Hash(clientSecret)})
		tx.PutDeclaredClient(store.DeclaredClient{Organization: "northwind", Directory: "plain", ID: "by-key", Keys: key.set})
		tx.PutDeclaredClient(store.DeclaredClient{Organization: "northwind", Directory: "entra", ID: "neighbour", SecretHash: w.db.Keys.Hash(clientSecret)})
		tx.PutDeclaredClient(store.DeclaredClient{Organization: "fieldserv", Directory: "plain", ID: "stranger", SecretHash: w.db.Keys.Hash(clientSecret)})
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

const plainIssuer = publicURL + "/scim/northwind/plain"

// ask asks a token endpoint. A header of two words is Basic's name and secret.
func (w *world) ask(at string, form map[string]string, basic ...string) (int, map[string]any, http.Header) {
	w.t.Helper()
	values := url.Values{"grant_type": {"client_credentials"}}
	for k, v := range form {
		values.Set(k, v)
	}
	r := httptest.NewRequest("POST", publicURL+"/scim/"+at+"/oauth/token", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if len(basic) == 2 {
		r.SetBasicAuth(url.QueryEscape(basic[0]), url.QueryEscape(basic[1]))
	}
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, r)
	var body map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		w.t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return rec.Code, body, rec.Result().Header
}

func (w *world) granted(at string, form map[string]string, basic ...string) string {
	w.t.Helper()
	status, body, header := w.ask(at, form, basic...)
	token, _ := body["access_token"].(string)
	if status != http.StatusOK || token == "" {
		w.t.Fatalf("got %d %v", status, body)
	}
	delete(body, "access_token")
	if diff := cmp.Diff(body, map[string]any{"token_type": "Bearer", "expires_in": 600.0, "scope": "scim"}); diff != "" {
		w.t.Error(diff)
	}
	if header.Get("Cache-Control") != "no-store" {
		w.t.Error("the answer may be kept by a cache")
	}
	return token
}

// status answers what a SCIM read with a token gets.
func (w *world) status(at, token string) int {
	w.t.Helper()
	c := &client{w, "/scim/" + at + "/v2", token}
	return c.send(c.request("GET", "/Users?count=1", "")).status
}

// sign makes an assertion; a claim that is nil is left out.
func (k keyed) sign(t *testing.T, claims map[string]any, header map[string]any) map[string]string {
	t.Helper()
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for name, value := range header {
		options.ExtraHeaders[jose.HeaderKey(name)] = value
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.private}, options)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return assertion(text)
}

func assertion(text string) map[string]string {
	return map[string]string{
		"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": text, "scope": "scim",
	}
}

func (w *world) claims(jti string, change map[string]any) map[string]any {
	now := w.clock.Now()
	claims := map[string]any{
		"iss": "by-key", "sub": "by-key", "aud": plainIssuer, "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "jti": jti,
	}
	maps.Copy(claims, change)
	return claims
}

// RFC 6749 section 4.4, by client_secret_basic and client_secret_post (section 2.3.1).
func TestOAuth_SecretGetsATokenOfThisDirectoryAlone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.clients(newKey(t, "k1"))
		for _, token := range []string{
			w.granted("northwind/plain", nil, "by-secret", clientSecret),
			w.granted("northwind/plain", map[string]string{"client_id": "by-secret", "client_secret": clientSecret, "scope": "scim"}),
			w.granted("northwind/plain", map[string]string{"resource": plainIssuer + "/v2"}, "by-secret", clientSecret),
		} {
			if got := w.status("northwind/plain", token); got != 200 {
				t.Errorf("its own directory answers %d", got)
			}
			for _, other := range []string{"northwind/entra", "fieldserv/plain", "northwind/nowhere"} {
				if got := w.status(other, token); got != 401 {
					t.Errorf("%s answers %d", other, got)
				}
			}
		}
		if got := w.status("northwind/plain", token("northwind", "plain")); got != 200 {
			t.Errorf("the static token beside it: %d", got)
		}
		var d *directory.Directory
		if err := w.db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			d, err = tx.Directory(t.Context(), "plain")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if i := len(d.Clients) - 1; !d.Clients[i].LastUsed.Equal(w.clock.Now()) || d.LastRequest.IsZero() {
			t.Errorf("its use is not noted: %+v, last request %s", d.Clients, d.LastRequest)
		}
	})
}

func TestOAuth_TokenEndsWithItsTimeItsClientAndItsCredential(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.clients(newKey(t, "k1"))
		token := w.granted("northwind/plain", nil, "by-secret", clientSecret)
		w.clock.Advance(10*time.Minute - time.Second)
		if got := w.status("northwind/plain", token); got != 200 {
			t.Errorf("in its last second: %d", got)
		}
		w.clock.Advance(time.Second)
		if got := w.status("northwind/plain", token); got != 401 {
			t.Errorf("when it is over: %d", got)
		}
		put := func(c store.DeclaredClient) {
			t.Helper()
			if err := w.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
				tx.PutDeclaredClient(c)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(time.Second)
		}
		of := store.DeclaredClient{Organization: "northwind", Directory: "plain", ID: "by-secret", SecretHash: w.db.Keys.Hash("another secret of it, quite long")}
		token = w.granted("northwind/plain", nil, "by-secret", clientSecret)
		put(of)
		if got := w.status("northwind/plain", token); got != 401 {
			t.Errorf("with another secret: %d", got)
		}
		token = w.granted("northwind/plain", nil, "by-secret", "another secret of it, quite long")
		if err := w.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.DropDeclaredClient(of)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(time.Second)
		if got := w.status("northwind/plain", token); got != 401 {
			t.Errorf("without the client: %d", got)
		}
	})
}

func TestOAuth_TokenCannotBeMadeUpOrAltered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.clients(newKey(t, "k1"))
		token := w.granted("northwind/plain", nil, "by-secret", clientSecret)
		body, mac, _ := strings.Cut(strings.TrimPrefix(token, "vsa_"), ".")
		raw, err := base64.RawURLEncoding.DecodeString(body)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.SplitN(string(raw), " ", 3)
		for name, forged := range map[string]string{
			"later":          parts[0] + "0 " + parts[1] + " " + parts[2],
			"another client": parts[0] + " " + parts[1] + " by-key",
			"no client":      parts[0] + " " + parts[1] + " ",
			"short":          parts[0],
		} {
			if got := w.status("northwind/plain", "vsa_"+base64.RawURLEncoding.EncodeToString([]byte(forged))+"."+mac); got != 401 {
				t.Errorf("%s: %d", name, got)
			}
		}
		for _, forged := range []string{"vsa_", "vsa_" + body, "vsa_" + body + ".", "vsa_." + mac, body + "." + mac, "vsa_!." + mac} {
			if got := w.status("northwind/plain", forged); got != 401 {
				t.Errorf("%q: %d", forged, got)
			}
		}
	})
}

func TestOAuth_WhatIsAskedWronglyIsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.clients(newKey(t, "k1"))
		for name, c := range map[string]struct {
			at     string
			form   map[string]string
			basic  []string
			status int
			code   string
		}{
			"a wrong secret":              {"northwind/plain", nil, []string{"by-secret", "guess"}, 401, "invalid_client"},
			"no secret":                   {"northwind/plain", nil, []string{"by-secret", ""}, 401, "invalid_client"},
			"no proof":                    {"northwind/plain", map[string]string{"client_id": "by-secret"}, nil, 401, "invalid_client"},
			"an unknown client":           {"northwind/plain", nil, []string{"nobody", clientSecret}, 401, "invalid_client"},
			"a secret for a key's client": {"northwind/plain", nil, []string{"by-key", ""}, 401, "invalid_client"},
			"another directory's client":  {"northwind/plain", nil, []string{"neighbour", clientSecret}, 401, "invalid_client"},
			"another tenant's client":     {"northwind/plain", nil, []string{"stranger", clientSecret}, 401, "invalid_client"},
			"a directory that is not":     {"northwind/nowhere", nil, []string{"by-secret", clientSecret}, 401, "invalid_client"},
			"two proofs":                  {"northwind/plain", map[string]string{"client_secret": clientSecret}, []string{"by-secret", clientSecret}, 400, "invalid_request"},
			"two names":                   {"northwind/plain", map[string]string{"client_id": "by-key"}, []string{"by-secret", clientSecret}, 401, "invalid_client"},
			"another grant":               {"northwind/plain", map[string]string{"grant_type": "password"}, []string{"by-secret", clientSecret}, 400, "unsupported_grant_type"},
			"no grant":                    {"northwind/plain", map[string]string{"grant_type": ""}, []string{"by-secret", clientSecret}, 400, "invalid_request"},
			"a wrong scope":               {"northwind/plain", map[string]string{"scope": "scim openid"}, []string{"by-secret", clientSecret}, 400, "invalid_scope"},
			"another resource":            {"northwind/plain", map[string]string{"resource": publicURL + "/scim/northwind/entra/v2"}, []string{"by-secret", clientSecret}, 400, "invalid_target"},
			"another kind of assertion":   {"northwind/plain", map[string]string{"client_assertion": "x", "client_assertion_type": "saml"}, nil, 400, "invalid_request"},
		} {
			status, body, header := w.ask(c.at, c.form, c.basic...)
			if status != c.status || body["error"] != c.code || body["access_token"] != nil {
				t.Errorf("%s: got %d %v, want %d %s", name, status, body, c.status, c.code)
			}
			// RFC 6749 section 5.2: who came with a header is told which scheme is meant.
			if want := c.status == 401 && c.basic != nil; want == (header.Get("WWW-Authenticate") == "") {
				t.Errorf("%s: WWW-Authenticate %q", name, header.Get("WWW-Authenticate"))
			}
		}
		r := httptest.NewRequest("GET", publicURL+"/scim/northwind/plain/oauth/token", nil)
		rec := httptest.NewRecorder()
		w.http.ServeHTTP(rec, r)
		if rec.Code != 405 || rec.Header().Get("Allow") != "POST" {
			t.Errorf("GET: %d", rec.Code)
		}
		r = httptest.NewRequest("POST", publicURL+"/scim/northwind/plain/oauth/token", strings.NewReader("grant_type=client_credentials&scope=scim&scope=x"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec = httptest.NewRecorder()
		w.http.ServeHTTP(rec, r)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), "stands once") {
			t.Errorf("a doubled parameter: %d %s", rec.Code, rec.Body)
		}
	})
}

// RFC 7523 section 3, with draft-ietf-oauth-rfc7523bis on the audience.
func TestOAuth_AssertionIsTakenOnceAndOnlyAsItShouldBe(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		key, other := newKey(t, "k1"), newKey(t, "k1")
		w.clients(key)
		first := key.sign(t, w.claims("one", nil), map[string]any{"kid": "k1"})
		if got := w.status("northwind/plain", w.granted("northwind/plain", first)); got != 200 {
			t.Errorf("the token of an assertion: %d", got)
		}
		w.granted("northwind/plain", key.sign(t, w.claims("two", nil), map[string]any{"typ": "client-authentication+jwt"}))
		now := w.clock.Now()
		hs, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(key.set + strings.Repeat(" ", 64))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		payload, _ := json.Marshal(w.claims("hs", nil))
		shared, err := hs.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		byShared, _ := shared.CompactSerialize()
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
		refused := map[string]map[string]string{
			"the same again":          first,
			"its jti again":           key.sign(t, w.claims("one", map[string]any{"exp": now.Add(2 * time.Minute).Unix()}), nil),
			"no jti":                  key.sign(t, w.claims("", map[string]any{"jti": nil}), nil),
			"over":                    key.sign(t, w.claims("a", map[string]any{"exp": now.Add(-time.Minute).Unix()}), nil),
			"no exp":                  key.sign(t, w.claims("b", map[string]any{"exp": nil}), nil),
			"good for an hour":        key.sign(t, w.claims("c", map[string]any{"exp": now.Add(time.Hour).Unix()}), nil),
			"not valid yet":           key.sign(t, w.claims("d", map[string]any{"nbf": now.Add(time.Minute).Unix()}), nil),
			"made in the future":      key.sign(t, w.claims("e", map[string]any{"iat": now.Add(time.Minute).Unix()}), nil),
			"for the token endpoint":  key.sign(t, w.claims("f", map[string]any{"aud": plainIssuer + "/oauth/token"}), nil),
			"for another directory":   key.sign(t, w.claims("g", map[string]any{"aud": publicURL + "/scim/northwind/entra"}), nil),
			"for several":             key.sign(t, w.claims("h", map[string]any{"aud": []string{plainIssuer, "https://else.example"}}), nil),
			"for one, as a list":      key.sign(t, w.claims("i", map[string]any{"aud": []string{plainIssuer}}), nil),
			"for nobody":              key.sign(t, w.claims("j", map[string]any{"aud": nil}), nil),
			"by another issuer":       key.sign(t, w.claims("k", map[string]any{"iss": "by-secret"}), nil),
			"about another client":    key.sign(t, w.claims("l", map[string]any{"iss": "by-secret", "sub": "by-secret"}), nil),
			"about nobody":            key.sign(t, w.claims("m", map[string]any{"iss": "nobody", "sub": "nobody"}), nil),
			"by another key":          other.sign(t, w.claims("n", nil), map[string]any{"kid": "k1"}),
			"by a key id unknown":     key.sign(t, w.claims("o", nil), map[string]any{"kid": "k2"}),
			"a token of another kind": key.sign(t, w.claims("p", nil), map[string]any{"typ": "at+jwt"}),
			"under a shared secret":   assertion(byShared),
			"unsigned":                assertion(none),
			"not a token at all":      assertion("x.y.z"),
			"beside another client's id": func() map[string]string {
				f := key.sign(t, w.claims("q", nil), nil)
				f["client_id"] = "by-secret"
				return f
			}(),
		}
		for name, form := range refused {
			if status, body, _ := w.ask("northwind/plain", form); status != 401 || body["error"] != "invalid_client" {
				t.Errorf("%s: %d %v", name, status, body)
			}
		}
		// An assertion made out for this directory opens no other one, though the same client id were known there.
		if err := w.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredClient(store.DeclaredClient{Organization: "fieldserv", Directory: "plain", ID: "by-key", Keys: key.set})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(2 * time.Second)
		if status, _, _ := w.ask("fieldserv/plain", key.sign(t, w.claims("r", nil), nil)); status != 401 {
			t.Errorf("at another directory: %d", status)
		}
	})
}

// A key set behind a URL is fetched through the guard, and anew when a key id is not in it, but not for every stranger.
func TestOAuth_KeySetIsFetchedAndFollowsARotation(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		key := newKey(t, "k1")
		served, asked := key.set, 0
		provider := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			asked++
			rw.Header().Set("Content-Type", "application/jwk-set+json")
			_, _ = rw.Write([]byte(served))
		}))
		defer provider.Close()
		w.http = provisioning.New(provisioning.Config{DB: w.db, URL: publicURL, Guard: netguard.New(netguard.Policy{AllowPrivate: true})})
		if err := w.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredClient(store.DeclaredClient{Organization: "northwind", Directory: id.Directory("plain"), ID: "by-key", KeysURL: provider.URL + "/jwks"})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.granted("northwind/plain", key.sign(t, w.claims("1", nil), map[string]any{"kid": "k1"}))
		w.granted("northwind/plain", key.sign(t, w.claims("2", nil), map[string]any{"kid": "k1"}))
		if asked != 1 {
			t.Errorf("the set was fetched %d times for two tokens", asked)
		}
		next := newKey(t, "k2")
		served = next.set
		for range 3 {
			w.ask("northwind/plain", next.sign(t, w.claims("3", nil), map[string]any{"kid": "k2"}))
		}
		if asked != 1 {
			t.Errorf("an unknown key id made us look %d times within seconds", asked)
		}
		w.clock.Advance(time.Minute)
		w.granted("northwind/plain", next.sign(t, w.claims("4", nil), map[string]any{"kid": "k2"}))
		if status, _, _ := w.ask("northwind/plain", key.sign(t, w.claims("5", nil), map[string]any{"kid": "k1"})); status != 401 {
			t.Errorf("the key that was taken away: %d", status)
		}
	})
}

// RFC 8414 section 3.1: the path goes behind the well-known one, and section 3.3: the issuer is the one asked about.
func TestOAuth_MetadataNamesTheEndpoint(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		handler := w.http.(*provisioning.Handler)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /.well-known/oauth-authorization-server/scim/{organization}/{directory}", handler.Metadata)
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", publicURL+"/.well-known/oauth-authorization-server/scim/northwind/plain", nil))
		var got map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		want := map[string]any{
			"issuer": plainIssuer, "token_endpoint": plainIssuer + "/oauth/token", "grant_types_supported": []any{"client_credentials"},
			"response_types_supported": []any{}, "scopes_supported": []any{"scim"}, "protected_resources": []any{plainIssuer + "/v2"},
			"token_endpoint_auth_methods_supported":            []any{"client_secret_basic", "client_secret_post", "private_key_jwt"},
			"token_endpoint_auth_signing_alg_values_supported": []any{"ES256", "ES384", "PS256", "RS256", "EdDSA"},
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Error(diff)
		}
		rec = httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", publicURL+"/.well-known/oauth-authorization-server/scim/north%20wind/plain", nil))
		if rec.Code != 404 {
			t.Errorf("a name nobody can have: %d", rec.Code)
		}
	})
}

// Guessing from one address ends after a while.
func TestOAuth_AttemptsOfOneAddressAreBounded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.clients(newKey(t, "k1"))
		var last int
		for range 121 {
			last, _, _ = w.ask("northwind/plain", nil, "by-secret", "guess")
		}
		if last != http.StatusTooManyRequests {
			t.Errorf("attempt 121 in a minute answers %d", last)
		}
		w.clock.Advance(time.Minute)
		w.granted("northwind/plain", nil, "by-secret", clientSecret)
	})
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is the smallest lawful OpenID Provider: it signs in whomever login_hint names, so that the bench can have people's
// refresh tokens without a browser.
type issuer struct {
	base   string
	server *http.Server
	signer jose.Signer
	public jose.JSONWebKey
	mu     sync.Mutex
	codes  map[string]jwt.Claims
	nonces map[string]string
}

func startIssuer() (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "bench"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &issuer{
		base: "http://" + listener.Addr().String(), signer: signer, codes: map[string]jwt.Claims{}, nonces: map[string]string{},
		public: jose.JSONWebKey{Key: key.Public(), KeyID: "bench", Algorithm: "ES256", Use: "sig"},
	}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": s.base, "authorization_endpoint": s.base + "/authorize", "token_endpoint": s.base + "/token",
			"jwks_uri": s.base + "/jwks", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"S256"},
		})
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.public}})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		code := rand.Text()
		s.mu.Lock()
		s.codes[code] = jwt.Claims{Issuer: s.base, Subject: q.Get("login_hint"), Audience: jwt.Audience{q.Get("client_id")}}
		s.nonces[code] = q.Get("nonce")
		s.mu.Unlock()
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {s.base}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		code := r.FormValue("code")
		s.mu.Lock()
		claims, ok := s.codes[code]
		nonce := s.nonces[code]
		delete(s.codes, code)
		delete(s.nonces, code)
		s.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]string{"error": "invalid_grant"})
			return
		}
		now := time.Now()
		claims.IssuedAt, claims.Expiry = jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(5*time.Minute))
		var n int64
		_, _ = fmt.Sscanf(claims.Subject, "person%d@bench.example", &n)
		raw, err := jwt.Signed(s.signer).Claims(claims).Claims(map[string]any{
			"nonce": nonce, "email": claims.Subject, "email_verified": true, "name": claims.Subject, "auth_time": now.Unix(),
			"oid": fmt.Sprintf("0a21f0f2-8d2a-4f8e-bf98-%012d", n),
		}).Serialize()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 300, "id_token": raw})
	})
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return s, nil
}

func (s *issuer) stop() { _ = s.server.Close() }

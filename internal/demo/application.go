package demo

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/vestibule-id/vestibule/internal/seal"
)

// application is an OpenID client as an application's developer would write one: code flow with PKCE, the ID token
// verified, the refresh token kept on the server.
type application struct {
	*World

	mu       sync.Mutex
	sessions map[string]*visit // by cookie; guarded by mu
}

// visit is one browser's stay. Its fields are guarded by application.mu.
type visit struct {
	state, nonce, verifier string // of a sign-in under way
	idToken, refreshToken  string
	claims                 map[string]any
	said                   string // shown once
}

const (
	clientID      = "energy-dashboard"
	visitCookie   = "energy_dashboard"
	maxVisits     = 1000
	clockLeniency = time.Minute
)

// SampleApplication serves the sample application.
func (w *World) SampleApplication() http.Handler {
	a := &application{World: w, sessions: map[string]*visit{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /style.css", style)
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /login", a.login)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("POST /refresh", a.refresh)
	mux.HandleFunc("POST /logout", a.logout)
	return mux
}

// visit gives the browser's visit and a function to be called when it was changed or read.
func (a *application) visit(rw http.ResponseWriter, r *http.Request) (v *visit, done func()) {
	a.mu.Lock()
	if c, err := r.Cookie(visitCookie); err == nil && a.sessions[c.Value] != nil {
		return a.sessions[c.Value], a.mu.Unlock
	}
	if len(a.sessions) >= maxVisits {
		clear(a.sessions)
	}
	handle := seal.Handle()
	v = &visit{}
	a.sessions[handle] = v
	http.SetCookie(rw, &http.Cookie{Name: visitCookie, Value: handle, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return v, a.mu.Unlock
}

func (a *application) home(rw http.ResponseWriter, r *http.Request) {
	v, done := a.visit(rw, r)
	defer done()
	data := map[string]any{"Said": v.said}
	v.said = ""
	if v.claims != nil {
		text, _ := json.MarshalIndent(v.claims, "", "  ") // what was decoded encodes
		var told struct {
			Name   string
			Grants []struct{ Role, Resource string }
		}
		_ = json.Unmarshal(text, &told)
		data["Claims"], data["Name"], data["Grants"] = string(text), told.Name, told.Grants
	}
	show(rw, http.StatusOK, "home", data)
}

func (a *application) login(rw http.ResponseWriter, r *http.Request) {
	v, done := a.visit(rw, r)
	defer done()
	v.state, v.nonce, v.verifier = seal.Handle(), seal.Handle(), seal.Handle()
	sum := sha256.Sum256([]byte(v.verifier))
	q := url.Values{
		"client_id": {clientID}, "response_type": {"code"}, "redirect_uri": {a.Application + "/callback"},
		"scope": {"openid profile email"}, "state": {v.state}, "nonce": {v.nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for _, name := range []string{"organization", "login_hint", "connection", "prompt"} {
		if given := r.URL.Query().Get(name); given != "" {
			q.Set(name, given)
		}
	}
	http.Redirect(rw, r, a.Vestibule+"/authorize?"+q.Encode(), http.StatusSeeOther)
}

func (a *application) callback(rw http.ResponseWriter, r *http.Request) {
	v, done := a.visit(rw, r)
	defer done()
	q := r.URL.Query()
	switch {
	case v.state == "" || q.Get("state") != v.state || q.Get("iss") != a.Vestibule:
		v.said = "This answer belongs to no sign-in of yours."
	case q.Get("error") != "":
		v.said = "Vestibule said no: " + q.Get("error") + " " + q.Get("error_description")
	default:
		if err := a.redeem(r.Context(), v, url.Values{
			"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {a.Application + "/callback"}, "code_verifier": {v.verifier},
		}, v.nonce); err != nil {
			v.said = "Signing in failed: " + err.Error()
		}
	}
	v.state, v.nonce, v.verifier = "", "", ""
	http.Redirect(rw, r, "/", http.StatusSeeOther)
}

func (a *application) refresh(rw http.ResponseWriter, r *http.Request) {
	v, done := a.visit(rw, r)
	defer done()
	if v.refreshToken != "" {
		if err := a.redeem(r.Context(), v, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {v.refreshToken}}, ""); err != nil {
			*v = visit{said: "Vestibule renewed nothing, so you are signed out here: " + err.Error()}
		} else {
			v.said = "The token was refreshed at " + time.Now().Format(time.TimeOnly) + "."
		}
	}
	http.Redirect(rw, r, "/", http.StatusSeeOther)
}

func (a *application) logout(rw http.ResponseWriter, r *http.Request) {
	v, done := a.visit(rw, r)
	defer done()
	hint := v.idToken
	*v = visit{}
	if hint == "" {
		http.Redirect(rw, r, "/", http.StatusSeeOther)
		return
	}
	q := url.Values{"id_token_hint": {hint}, "client_id": {clientID}, "post_logout_redirect_uri": {a.Application + "/"}}
	http.Redirect(rw, r, a.Vestibule+"/end_session?"+q.Encode(), http.StatusSeeOther)
}

// redeem asks the token endpoint and keeps what it gives, once the ID token is proven to be Vestibule's, for us, and (at
// sign-in) for this very request.
func (a *application) redeem(ctx context.Context, v *visit, form url.Values, nonce string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Vestibule+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, url.QueryEscape(a.clientSecret))
	var got struct {
		IDToken      string `json:"id_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := exchange(r, &got); err != nil {
		return err
	}
	claims, err := a.verify(ctx, got.IDToken)
	if err != nil {
		return err
	}
	if nonce != "" && claims["nonce"] != nonce {
		return errors.New("the ID token was made for another sign-in")
	}
	v.idToken, v.claims = got.IDToken, claims
	if got.RefreshToken != "" {
		v.refreshToken = got.RefreshToken
	}
	return nil
}

func (a *application) verify(ctx context.Context, token string) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Vestibule+"/jwks", nil)
	if err != nil {
		return nil, err
	}
	var keys jose.JSONWebKeySet
	if err := exchange(r, &keys); err != nil {
		return nil, err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, fmt.Errorf("the ID token: %w", err)
	}
	var standard jwt.Claims
	claims := map[string]any{}
	if err := parsed.Claims(keys, &standard, &claims); err != nil {
		return nil, fmt.Errorf("the ID token: %w", err)
	}
	err = standard.ValidateWithLeeway(jwt.Expected{Issuer: a.Vestibule, AnyAudience: jwt.Audience{clientID}, Time: time.Now()}, clockLeniency)
	return claims, err
}

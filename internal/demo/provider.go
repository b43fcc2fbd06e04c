package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/vestibule-id/vestibule/internal/seal"
)

// provider is the identity provider of both companies: an OpenID Provider (authorization code with PKCE) for the one, a SAML identity
// provider for the other, and a page where people leave and come back.
type provider struct {
	*World
	signer jose.Signer
	keys   jose.JSONWebKeySet
	saml   samlKey

	mu    sync.Mutex
	codes map[string]code // guarded by mu
}

// code is what a person's choice is worth until it is redeemed, once.
type code struct {
	company                       *Company
	person                        *Person
	redirectURI, nonce, challenge string
	at                            time.Time
}

const codeLifetime = time.Minute

// IdentityProvider serves the sample identity provider.
func (w *World) IdentityProvider() (http.Handler, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	jwk := jose.JSONWebKey{Key: key, KeyID: seal.Handle()[:8], Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	signing, err := newSAMLKey()
	if err != nil {
		return nil, err
	}
	p := &provider{World: w, saml: signing, signer: signer, keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk.Public()}}, codes: map[string]code{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /style.css", style)
	mux.HandleFunc("GET /{$}", p.staff)
	mux.HandleFunc("POST /staff", p.move)
	mux.HandleFunc("GET /{company}/saml/metadata", p.of(p.samlMetadata))
	mux.HandleFunc("GET /{company}/saml", p.of(p.samlSignIn))
	mux.HandleFunc("GET /{company}/.well-known/openid-configuration", p.of(p.discovery))
	mux.HandleFunc("GET /{company}/jwks", p.of(p.jwks))
	mux.HandleFunc("GET /{company}/authorize", p.of(p.authorize))
	mux.HandleFunc("POST /{company}/authorize", p.of(p.authorize))
	mux.HandleFunc("POST /{company}/token", p.of(p.token))
	return mux, nil
}

func (p *provider) of(h func(http.ResponseWriter, *http.Request, *Company)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if c := p.company(r.PathValue("company")); c != nil {
			h(rw, r, c)
			return
		}
		http.NotFound(rw, r)
	}
}

func (p *provider) discovery(rw http.ResponseWriter, _ *http.Request, c *Company) {
	issuer := p.issuer(c)
	answer(rw, http.StatusOK, map[string]any{
		"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
		"jwks_uri": issuer + "/jwks", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)}, "scopes_supported": []string{"openid", "email", "profile"},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *provider) jwks(rw http.ResponseWriter, _ *http.Request, _ *Company) {
	answer(rw, http.StatusOK, p.keys)
}

// authorize asks who the person is, and sends whoever was picked back with a code.
func (p *provider) authorize(rw http.ResponseWriter, r *http.Request, c *Company) {
	if err := r.ParseForm(); err != nil {
		http.Error(rw, "This form cannot be read.", http.StatusBadRequest)
		return
	}
	q := r.Form
	back := q.Get("redirect_uri")
	if q.Get("client_id") != "vestibule" || back != fmt.Sprintf("%s/sso/%s/corp/callback", p.Vestibule, c.ID) {
		http.Error(rw, "This client or its redirect URI is not known here.", http.StatusBadRequest)
		return
	}
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" {
		http.Redirect(rw, r, back+"?"+url.Values{"error": {"invalid_request"}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
		return
	}
	person := c.person(q.Get("person"))
	if r.Method != http.MethodPost || person == nil {
		people := slices.Clone(c.People)
		slices.SortStableFunc(people, func(a, b *Person) int {
			return hinted(b, q.Get("login_hint")) - hinted(a, q.Get("login_hint"))
		})
		request := url.Values{}
		for _, name := range []string{"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method"} {
			if v := q.Get(name); v != "" {
				request.Set(name, v)
			}
		}
		show(rw, http.StatusOK, "pick", map[string]any{"Company": c, "People": people, "Request": request, "Action": "/" + c.ID + "/authorize"})
		return
	}
	handle := seal.Handle()
	p.mu.Lock()
	for k, v := range p.codes {
		if time.Since(v.at) > codeLifetime {
			delete(p.codes, k)
		}
	}
	p.codes[handle] = code{c, person, back, q.Get("nonce"), q.Get("code_challenge"), time.Now()}
	p.mu.Unlock()
	http.Redirect(rw, r, back+"?"+url.Values{"code": {handle}, "state": {q.Get("state")}, "iss": {p.issuer(c)}}.Encode(), http.StatusSeeOther)
}

func hinted(p *Person, hint string) int {
	if p.Email == hint {
		return 1
	}
	return 0
}

// token redeems a code for an ID token.
func (p *provider) token(rw http.ResponseWriter, r *http.Request, c *Company) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if plain, err := url.QueryUnescape(secret); err == nil && basic {
		secret = plain // RFC 6749 section 2.3.1 encodes both halves
	}
	if id != "vestibule" || subtle.ConstantTimeCompare([]byte(secret), []byte(c.clientSecret)) != 1 {
		answer(rw, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	handle := r.PostFormValue("code")
	p.mu.Lock()
	k, ok := p.codes[handle]
	delete(p.codes, handle)
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || k.company != c || time.Since(k.at) > codeLifetime || k.redirectURI != r.PostFormValue("redirect_uri") ||
		k.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		answer(rw, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	claims := map[string]any{
		"iss": p.issuer(c), "aud": "vestibule", "sub": k.person.ID, "oid": k.person.ID, "nonce": k.nonce,
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "auth_time": now.Unix(),
		"email": k.person.Email, "email_verified": true, "name": k.person.Name(), "given_name": k.person.Given,
		"family_name": k.person.Family, "preferred_username": k.person.Email,
	}
	token, err := jwt.Signed(p.signer).Claims(claims).Serialize()
	if err != nil {
		http.Error(rw, "The token cannot be signed.", http.StatusInternalServerError)
		return
	}
	answer(rw, http.StatusOK, map[string]any{"access_token": seal.Handle(), "token_type": "Bearer", "expires_in": 300, "id_token": token})
}

func answer(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(body) // a reader who went away is nobody's error
}

// staff shows everyone, with what the provider has told Vestibule of them.
func (p *provider) staff(rw http.ResponseWriter, r *http.Request) {
	show(rw, http.StatusOK, "staff", map[string]any{"Companies": p.Companies, "Said": r.URL.Query().Get("said")})
}

// move lets somebody leave or come back, and pushes it.
func (p *provider) move(rw http.ResponseWriter, r *http.Request) {
	// Another site's page must not be able to dismiss people, not even sample ones.
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(rw, "This form came from another site.", http.StatusForbidden)
		return
	}
	active := r.PostFormValue("active") == "true"
	said := "There is nobody of that id."
	for _, c := range p.Companies {
		person := c.person(r.PostFormValue("person"))
		if person == nil {
			continue
		}
		if err := p.setActive(r.Context(), c, person, active); err != nil {
			said = "The push failed: " + err.Error()
		} else if active {
			said = person.Name() + " is back. Vestibule was told by SCIM; what she or he held before is held again."
		} else {
			said = person.Name() + " has left. Vestibule was told by SCIM; every session and token is over."
		}
	}
	http.Redirect(rw, r, "/?"+url.Values{"said": {said}}.Encode(), http.StatusSeeOther)
}

package signin_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// idp is an OpenID Provider that does what a test tells it to. Left alone it is a good one: it approves everybody, checks PKCE
// and signs with RS256.
type idp struct {
	t *testing.T
	*httptest.Server
	now func() time.Time

	mu     sync.Mutex // guards the rest
	hits   map[string]int
	codes  map[string]url.Values // of the authorize request
	last   url.Values            // the last authorize request
	person map[string]any        // the claims of whoever signs in

	// The script. Nil: as a good provider does.
	claims    func(c map[string]any)                                              // changes the ID token's claims
	sign      func(c map[string]any) string                                       // makes the token
	respond   func(q url.Values)                                                  // changes the authorization response
	token     func(w http.ResponseWriter, r *http.Request, a map[string]any) bool // answers the token request itself
	userinfo  func(w http.ResponseWriter, r *http.Request, c map[string]any) bool
	discovery func(w http.ResponseWriter, r *http.Request, d map[string]any) bool
	keys      func() []jose.JSONWebKey
	stall     func(w http.ResponseWriter, r *http.Request) bool // comes before everything else
	noPKCE    bool
	proof     func(r *http.Request) bool // judges the client instead of its secret
}

// keyring holds keys that are slow to make; all providers of the tests share them, which also shows that a key proves nothing
// without its issuer.
var keyring = sync.OnceValue(func() (k struct {
	rsa, other *rsa.PrivateKey
	weak       *rsa.PrivateKey
	ec         *ecdsa.PrivateKey
},
) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.other, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.weak, err = rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return k
})

func public(kid, alg, use string, key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: kid, Algorithm: alg, Use: use}
}

func newIDP(t *testing.T, now func() time.Time) *idp {
	t.Helper()
	p := &idp{t: t, now: now, hits: map[string]int{}, codes: map[string]url.Values{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	p.person = map[string]any{"sub": "sub-ann", "oid": "oid-ann", "email": "ann@northwind.example", "name": "Ann Archer"}
	return p
}

func (p *idp) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits[path]
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.hits[r.URL.Path]++
	p.mu.Unlock()
	if p.stall != nil && p.stall(w, r) {
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		d := map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"userinfo_endpoint": p.URL + "/userinfo", "jwks_uri": p.URL + "/jwks",
		}
		if p.discovery == nil || !p.discovery(w, r, d) {
			reply(w, d)
		}
	case "/jwks":
		keys := []jose.JSONWebKey{public("rsa-1", "RS256", "sig", keyring().rsa), public("ec-1", "ES256", "sig", keyring().ec)}
		if p.keys != nil {
			keys = p.keys()
		}
		reply(w, map[string]any{"keys": keys})
	case "/authorize":
		p.authorize(w, r)
	case "/token":
		p.serveToken(w, r)
	case "/userinfo":
		c := map[string]any{"sub": p.person["sub"]}
		if p.userinfo == nil || !p.userinfo(w, r, c) {
			reply(w, c)
		}
	default:
		http.NotFound(w, r) // the trap: counted, never asked for
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (p *idp) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	p.mu.Lock()
	p.codes[code], p.last = q, q
	p.mu.Unlock()
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	if p.respond != nil {
		p.respond(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (p *idp) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "form", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	request, known := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	p.mu.Unlock()
	user, secret, _ := r.BasicAuth()
	challenge := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	proven := user == "vestibule" && secret == url.QueryEscape(clientSecret)
	if p.proof != nil {
		proven = p.proof(r)
	}
	switch {
	case !proven:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case !known || request.Get("redirect_uri") != r.PostForm.Get("redirect_uri"),
		!p.noPKCE && base64.RawURLEncoding.EncodeToString(challenge[:]) != request.Get("code_challenge"):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	c := map[string]any{
		"iss": p.URL, "aud": "vestibule", "nonce": request.Get("nonce"), "iat": p.now().Unix(), "exp": p.now().Add(5 * time.Minute).Unix(),
	}
	for name, v := range p.person {
		c[name] = v
	}
	if p.claims != nil {
		p.claims(c)
	}
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	sign := p.sign
	if sign == nil {
		sign = func(c map[string]any) string { return p.compact("RS256", "rsa-1", keyring().rsa, payload(c), nil) }
	}
	answer := map[string]any{"access_token": "upstream-access-token", "token_type": "Bearer", "id_token": sign(c)}
	if p.token != nil && p.token(w, r, answer) {
		return
	}
	reply(w, answer)
}

func payload(c map[string]any) []byte {
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return raw
}

// compact signs a payload with a header of the test's choosing.
func (p *idp) compact(alg, kid string, key any, payload []byte, header map[string]any) string {
	o := (&jose.SignerOptions{}).WithType("JWT")
	for name, v := range header {
		o = o.WithHeader(jose.HeaderKey(name), v)
	}
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, o)
	if err != nil {
		p.t.Errorf("signer: %v", err)
		return ""
	}
	jws, err := s.Sign(payload)
	if err != nil {
		p.t.Errorf("sign: %v", err)
		return ""
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		p.t.Errorf("serialize: %v", err)
	}
	return token
}

// raw puts a token together from its parts, unsigned or with a signature as given.
func raw(header string, payload []byte, signature []byte) string {
	b := base64.RawURLEncoding
	return fmt.Sprintf("%s.%s.%s", b.EncodeToString([]byte(header)), b.EncodeToString(payload), b.EncodeToString(signature))
}

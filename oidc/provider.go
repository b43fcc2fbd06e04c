package oidc

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
)

// Paths under the issuer.
const (
	PathDiscovery  = "/.well-known/openid-configuration"
	PathKeys       = "/jwks"
	PathAuthorize  = "/authorize"
	PathResume     = "/authorize/resume"
	PathToken      = "/token"
	PathUserinfo   = "/userinfo"
	PathIntrospect = "/introspect"
	PathRevoke     = "/revoke"
	PathEndSession = "/end_session"
)

// Options make a Provider. All but Stylesheet, Claims and ACRValues are needed.
type Options struct {
	// Issuer is fixed: it never comes from Host or a Forwarded header, which any caller may write.
	Issuer  string
	Clients Clients
	Browser Browser
	Tokens  Tokens
	Keys    *KeySet
	Now     func() time.Time
	// Log receives what the caller is not told.
	Log *slog.Logger
	// Stylesheet is the address, on this origin, of a stylesheet for the few pages shown here.
	Stylesheet string
	// Claims are names the owner puts into Grant.Claims, for the discovery document.
	Claims []string
	// ACRValues are the contexts the owner can meet, for the discovery document.
	ACRValues []string
}

// A Provider answers the endpoints of one issuer.
type Provider struct {
	issuer     string
	secure     bool
	clients    Clients
	browser    Browser
	tokens     Tokens
	keys       atomic.Pointer[KeySet]
	now        func() time.Time
	log        *slog.Logger
	stylesheet string
	discovery  document
}

// New makes a provider.
func New(o Options) (*Provider, error) {
	p := &Provider{
		issuer:     strings.TrimSuffix(o.Issuer, "/"),
		secure:     strings.HasPrefix(o.Issuer, "https:"),
		clients:    o.Clients,
		browser:    o.Browser,
		tokens:     o.Tokens,
		now:        o.Now,
		log:        o.Log,
		stylesheet: o.Stylesheet,
	}
	p.keys.Store(o.Keys)
	body, err := json.Marshal(p.metadata(o.Claims, o.ACRValues))
	if err != nil {
		return nil, err
	}
	p.discovery = newDocument(body)
	return p, nil
}

// Mount puts the endpoints on a router whose root is the issuer. Each route takes every method: the
// gate behind it answers the wrong ones itself, with 405 and Allow.
func (p *Provider) Mount(r chi.Router) {
	r.HandleFunc(PathDiscovery, p.publish(func() document { return p.discovery }))
	r.HandleFunc(PathKeys, p.publish(func() document { return p.keys.Load().jwks }))
	r.HandleFunc(PathAuthorize, p.authorize)
	r.HandleFunc(PathResume, p.resume)
	r.HandleFunc(PathToken, p.token)
	r.HandleFunc(PathUserinfo, p.userinfo)
	r.HandleFunc(PathIntrospect, p.introspect)
	r.HandleFunc(PathRevoke, p.revoke)
	r.HandleFunc(PathEndSession, p.endSession)
}

// metadata is the discovery document: zitadel's struct and the four members it lacks.
type metadata struct {
	zoidc.DiscoveryConfiguration
	// RFC 9207 section 3.
	IssParameter bool `json:"authorization_response_iss_parameter_supported"`
	// Initiating User Registration 1.0 section 4.1 names this member for prompt values.
	Prompts []string `json:"prompt_values_supported"`
	// Both default to what we do not do unless said (OpenID Connect Discovery section 3).
	Request          bool `json:"request_parameter_supported"`
	ClaimsParameters bool `json:"claims_parameter_supported"`
}

func (p *Provider) metadata(claims, acrValues []string) metadata {
	auth := []zoidc.AuthMethod{zoidc.AuthMethodBasic, zoidc.AuthMethodPost, zoidc.AuthMethodNone}
	return metadata{
		DiscoveryConfiguration: zoidc.DiscoveryConfiguration{
			Issuer:                                    p.issuer,
			AuthorizationEndpoint:                     p.issuer + PathAuthorize,
			TokenEndpoint:                             p.issuer + PathToken,
			UserinfoEndpoint:                          p.issuer + PathUserinfo,
			IntrospectionEndpoint:                     p.issuer + PathIntrospect,
			RevocationEndpoint:                        p.issuer + PathRevoke,
			EndSessionEndpoint:                        p.issuer + PathEndSession,
			JwksURI:                                   p.issuer + PathKeys,
			ScopesSupported:                           scopes,
			ResponseTypesSupported:                    []string{string(zoidc.ResponseTypeCode)},
			ResponseModesSupported:                    []string{modeQuery, modeFragment, modeFormPost},
			GrantTypesSupported:                       []zoidc.GrantType{GrantCode, GrantRefresh, GrantClient},
			SubjectTypesSupported:                     []string{"public"},
			IDTokenSigningAlgValuesSupported:          []string{ES256, RS256},
			TokenEndpointAuthMethodsSupported:         auth,
			RevocationEndpointAuthMethodsSupported:    auth,
			IntrospectionEndpointAuthMethodsSupported: auth[:2],
			ClaimTypesSupported:                       []string{"normal"},
			ClaimsSupported: append([]string{
				"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash",
			}, claims...),
			ACRValuesSupported:                acrValues,
			CodeChallengeMethodsSupported:     []zoidc.CodeChallengeMethod{zoidc.CodeChallengeMethodS256},
			RequestURIParameterSupported:      false,
			BackChannelLogoutSupported:        true,
			BackChannelLogoutSessionSupported: true,
		},
		IssParameter: true,
		Prompts:      prompts,
	}
}

// publish serves a document that changes with the keys at most: no store is asked, and a client that
// has it is told so. Any page may read it.
func (p *Provider) publish(current func() document) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("X-Content-Type-Options", "nosniff")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodOptions:
			h.Set("Access-Control-Allow-Methods", "GET")
			w.WriteHeader(http.StatusNoContent)
			return
		default:
			h.Set("Allow", "GET, HEAD, OPTIONS")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		d := current()
		h.Set("ETag", d.etag)
		// An hour: a key is published as next for a day before it signs, many times this.
		h.Set("Cache-Control", "public, max-age=3600")
		if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, d.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", "application/json")
		_, _ = w.Write(d.body)
	}
}

// client finds a client; any failure but "not found" is ours.
func (p *Provider) client(ctx context.Context, id string) (*Client, error) {
	if id == "" || len(id) > caps["client_id"] {
		return nil, ErrNotFound
	}
	return p.clients.Client(ctx, id)
}

// report logs what the caller is not told.
func (p *Provider) report(r *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	p.log.ErrorContext(r.Context(), "openid request", "path", r.URL.Path, "error", err)
}

// random is 256 bits as text, for values that are not kept.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

package provisioning

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// A directory may prove itself by OAuth instead of a long-lived token: each has an authorization server of its own (RFC 8414
// metadata, a token endpoint) that knows the grant client_credentials (RFC 6749 section 4.4) and the scope scim. What it
// gives is bound to that directory's base URL and good for ten minutes.
//
// The token is a handle that says client and end, under a MAC by the node's keys over both, the directory's base URL and the
// client's credential. So every node knows it without a row for it, no other directory takes it, and a client that is removed
// or gets another secret or key loses what it holds at once.

const (
	// tokenLife is long enough for a provider's cycle of calls, and little to have stolen.
	tokenLife = 10 * time.Minute
	// assertionLife bounds how far ahead an assertion may end, so that what must be remembered of it stays small.
	assertionLife = 5 * time.Minute
	// leeway is how far a client's clock may be off.
	leeway = 30 * time.Second
	// tokenAttempts is how many token requests an address may make in a minute; a client needs one in ten.
	tokenAttempts = 120
	// keysFreshFor is how long a key set fetched from a client's jwks_uri is believed.
	keysFreshFor = 5 * time.Minute
	// keysAskedAgain is how soon an unknown key id may make us look again: a stranger names one for nothing.
	keysAskedAgain = 30 * time.Second

	issuedMark = "vsa_"
	scimScope  = "scim"

	jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// assertionAlgorithms are asymmetric alone: under none or a shared secret, whoever reads the key set could sign.
var assertionAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.PS256, jose.RS256, jose.EdDSA}

// issuer names a directory's authorization server.
func (h *Handler) issuer(at place) string {
	return fmt.Sprintf("%s/scim/%s/%s", h.URL, url.PathEscape(string(at.organization)), url.PathEscape(string(at.directory)))
}

// base is the directory's base URL, and the audience of what its token endpoint gives.
func (h *Handler) base(at place) string { return h.issuer(at) + "/v2" }

// Metadata answers /.well-known/oauth-authorization-server/scim/{organization}/{directory} (RFC 8414 section 3.1), the same
// for a directory that does not exist.
func (h *Handler) Metadata(w http.ResponseWriter, r *http.Request) {
	at := place{id.Organization(r.PathValue("organization")), id.Directory(r.PathValue("directory"))}
	if !id.Declared(string(at.organization)) || !id.Declared(string(at.directory)) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=3600")
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                h.issuer(at),
		"token_endpoint":                        h.issuer(at) + "/oauth/token",
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{},
		"scopes_supported":                      []string{scimScope},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": assertionAlgorithms,
		"protected_resources":                              []string{h.base(at)},
	})
}

// refusal is an error of the token endpoint (RFC 6749 section 5.2).
type refusal struct {
	status      int
	code        string
	description string
}

func (r *refusal) Error() string { return r.code + ": " + r.description }

func badRequest(code, description string) *refusal {
	return &refusal{http.StatusBadRequest, code, description}
}

// notTheClient is one answer for everything that is wrong with a proof: which part was, is for the log.
var notTheClient = &refusal{http.StatusUnauthorized, "invalid_client", "The client is unknown here, or its proof is not valid."}

// tokenEndpoint answers /scim/{organization}/{directory}/oauth/token.
func (h *Handler) tokenEndpoint(w http.ResponseWriter, r *http.Request, at place) {
	w.Header().Set("Cache-Control", "no-store")
	answer, err := h.issue(w, r, at)
	var no *refusal
	switch {
	case errors.As(err, &no):
		if no.status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="`+h.issuer(at)+`"`)
		}
		request, ip := h.Caller(r)
		h.Log.InfoContext(r.Context(), "scim token refused", "organization", at.organization, "directory", at.directory, "request", request,
			"ip", ip, "error", err)
		writeJSON(w, no.status, map[string]string{"error": no.code, "error_description": no.description})
	case err != nil:
		h.Log.ErrorContext(r.Context(), "scim token", "organization", at.organization, "directory", at.directory, "error", err)
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// Whoever hangs up does not read the rest.
	_ = json.NewEncoder(w).Encode(body)
}

func (h *Handler) issue(w http.ResponseWriter, r *http.Request, at place) (map[string]any, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &refusal{http.StatusMethodNotAllowed, "invalid_request", "A token is asked for by POST."}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, badRequest("invalid_request", "The body is a form: application/x-www-form-urlencoded.")
	}
	_, ip := h.Caller(r)
	if hits, err := h.DB.Hit(r.Context(), "scim-token/"+store.Network(ip), time.Minute); err != nil {
		return nil, err
	} else if hits > tokenAttempts {
		w.Header().Set("Retry-After", "60")
		return nil, &refusal{http.StatusTooManyRequests, "slow_down", "Too many token requests from this address. A token is good for ten minutes."}
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return nil, badRequest("invalid_request", "The form could not be read.")
	}
	form := r.PostForm
	for name, values := range form {
		if len(values) > 1 {
			return nil, badRequest("invalid_request", "A parameter stands once (RFC 6749 section 3.2): "+name+" stands more often.")
		}
	}
	client, err := h.authenticate(r, at, form)
	if err != nil {
		return nil, err
	}
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return nil, badRequest("invalid_request", "grant_type is missing.")
	case grant != "client_credentials":
		return nil, badRequest("unsupported_grant_type", "Only client_credentials is served here.")
	}
	if scope := form.Get("scope"); scope != "" && scope != scimScope {
		return nil, badRequest("invalid_scope", "The only scope here is scim.")
	}
	if resource := form.Get("resource"); resource != "" && resource != h.base(at) {
		return nil, badRequest("invalid_target", "The only resource here is "+h.base(at)+" (RFC 8707).")
	}
	return map[string]any{
		"access_token": h.mint(at, client, h.DB.Now().Add(tokenLife)), "token_type": "Bearer",
		"expires_in": int(tokenLife / time.Second), "scope": scimScope,
	}, nil
}

// authenticate finds the client that asks, by exactly one kind of proof (RFC 6749 section 2.3).
func (h *Handler) authenticate(r *http.Request, at place, form url.Values) (*directory.Client, error) {
	d, err := h.directory(r.Context(), at)
	if err != nil {
		return nil, err
	}
	if d == nil {
		d = &directory.Directory{}
	}
	header := r.Header.Get("Authorization")
	proofs := 0
	for _, given := range []bool{header != "", form.Has("client_secret"), form.Has("client_assertion")} {
		if given {
			proofs++
		}
	}
	switch {
	case proofs > 1:
		return nil, badRequest("invalid_request", "A client proves itself in one way at a time.")
	case proofs == 0:
		return nil, notTheClient
	case header != "":
		name, secret, ok := basic(header)
		if !ok || form.Has("client_id") && form.Get("client_id") != name {
			return nil, notTheClient
		}
		return h.bySecret(d, name, secret)
	case form.Has("client_secret"):
		return h.bySecret(d, form.Get("client_id"), form.Get("client_secret"))
	case form.Get("client_assertion_type") != jwtBearer:
		return nil, badRequest("invalid_request", "client_assertion_type is "+jwtBearer+".")
	}
	return h.byAssertion(r.Context(), at, d, form)
}

// basic reads a client's id and secret, which are form-encoded before they are joined (RFC 6749 section 2.3.1).
func basic(header string) (name, secret string, ok bool) {
	scheme, value, _ := strings.Cut(header, " ")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	name, secret, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", false
	}
	var broken [2]error
	name, broken[0] = url.QueryUnescape(name)
	secret, broken[1] = url.QueryUnescape(secret)
	return name, secret, broken[0] == nil && broken[1] == nil
}

func clientNamed(d *directory.Directory, name string) *directory.Client {
	if i := slices.IndexFunc(d.Clients, func(c directory.Client) bool { return c.ID == name }); i >= 0 {
		return &d.Clients[i]
	}
	return nil
}

// bySecret does the same work for a client that is not there.
func (h *Handler) bySecret(d *directory.Directory, name, secret string) (*directory.Client, error) {
	c := clientNamed(d, name)
	hash := "none"
	if c != nil && c.SecretHash != "" {
		hash = c.SecretHash
	}
	if !h.DB.Keys.Matches(secret, hash) || secret == "" {
		return nil, notTheClient
	}
	return c, nil
}

// assertion is what a client says of itself (RFC 7523 section 3).
type assertion struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	Expires  *float64        `json:"exp"`
	NotFrom  float64         `json:"nbf"`
	Issued   float64         `json:"iat"`
	ID       string          `json:"jti"`
}

// byAssertion checks a signed assertion (private_key_jwt).
//
// Its audience is the issuer identifier and nothing beside it, as a string: an assertion made out for a token endpoint's
// address, or for several servers, could be carried from one server to another (draft-ietf-oauth-rfc7523bis; IPSIE demands
// the same). It is used once: whoever copies one from a log is late.
func (h *Handler) byAssertion(ctx context.Context, at place, d *directory.Directory, form url.Values) (*directory.Client, error) {
	no := func(why string) error {
		return fmt.Errorf("%w (%s)", notTheClient, why)
	}
	jws, err := jose.ParseSignedCompact(form.Get("client_assertion"), assertionAlgorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, no("the assertion is not signed by an asymmetric algorithm")
	}
	protected := jws.Signatures[0].Protected
	// A token of another kind by the same key is no proof (RFC 8725 section 3.11).
	if kind, _ := protected.ExtraHeaders[jose.HeaderType].(string); kind != "" && kind != "JWT" && kind != "client-authentication+jwt" {
		return nil, no("typ is " + strconv.Quote(kind))
	}
	var said assertion
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &said); err != nil {
		return nil, no("the claims cannot be read")
	}
	c := clientNamed(d, said.Subject)
	if c == nil || said.Issuer != said.Subject || form.Has("client_id") && form.Get("client_id") != said.Subject {
		return nil, no("iss and sub do not both name a client of this directory")
	}
	keys, err := h.keysOf(ctx, c, protected.KeyID)
	if err != nil {
		return nil, no(err.Error())
	}
	verified := false
	for _, k := range keys {
		if !fits(&k, protected) {
			continue
		}
		if _, err := jws.Verify(k.Key); err == nil {
			verified = true
			break
		}
	}
	now := h.DB.Now()
	var audience string
	switch {
	case !verified:
		return nil, no("no key of the client made the signature")
	case json.Unmarshal(said.Audience, &audience) != nil || audience != h.issuer(at):
		return nil, no("aud is not exactly " + h.issuer(at))
	case said.Expires == nil || !now.Add(-leeway).Before(moment(*said.Expires)):
		return nil, no("exp is over or missing")
	case moment(*said.Expires).After(now.Add(assertionLife + leeway)):
		return nil, no("exp lies more than five minutes ahead")
	case moment(said.NotFrom).After(now.Add(leeway)) || moment(said.Issued).After(now.Add(leeway)):
		return nil, no("it is not valid yet")
	case said.ID == "" || len(said.ID) > 200:
		return nil, no("jti is missing or too long")
	}
	name := "jti/" + seal.Fingerprint(h.issuer(at)+"\x00"+c.ID+"\x00"+said.ID)
	first, err := h.DB.Once(ctx, name, moment(*said.Expires).Add(leeway))
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, no("this jti was used before")
	}
	return c, nil
}

// moment is the time of a NumericDate; what no clock could mean is the end of time.
func moment(seconds float64) time.Time {
	if seconds > 1<<40 || seconds != seconds {
		seconds = 1 << 40
	}
	return time.Unix(int64(seconds), 0)
}

// fits reports whether a key is for signatures of this header: of the kind the algorithm asks for, long enough, not meant for
// another use.
func fits(k *jose.JSONWebKey, header jose.Header) bool {
	if header.KeyID != "" && k.KeyID != header.KeyID || k.Use == "enc" || k.Algorithm != "" && k.Algorithm != header.Algorithm {
		return false
	}
	switch of := k.Key.(type) {
	case *rsa.PublicKey:
		return of.N.BitLen() >= 2048 && (header.Algorithm == string(jose.RS256) || header.Algorithm == string(jose.PS256))
	case *ecdsa.PublicKey:
		return header.Algorithm == map[int]string{256: string(jose.ES256), 384: string(jose.ES384)}[of.Params().BitSize]
	case ed25519.PublicKey:
		return header.Algorithm == string(jose.EdDSA)
	}
	return false
}

// fetched is a key set from a client's jwks_uri.
type fetched struct {
	keys []jose.JSONWebKey
	read time.Time
}

// keysOf gives a client's keys: those in the file, or those at its jwks_uri, fetched anew when they are old or a key id is
// not among them.
func (h *Handler) keysOf(ctx context.Context, c *directory.Client, kid string) ([]jose.JSONWebKey, error) {
	switch {
	case c.Keys != "":
		return parseKeys([]byte(c.Keys))
	case c.KeysURL == "":
		return nil, errors.New("the client has no keys")
	case h.Guard == nil:
		return nil, errors.New("nothing is fetched here")
	}
	now := h.DB.Now()
	h.mu.Lock()
	have, ok := h.keys[c.KeysURL]
	h.mu.Unlock()
	age := now.Sub(have.read)
	listed := kid == "" || slices.ContainsFunc(have.keys, func(k jose.JSONWebKey) bool { return k.KeyID == kid })
	if ok && age >= 0 && (age < keysAskedAgain || age < keysFreshFor && listed) {
		return have.keys, nil
	}
	raw, _, err := h.Guard.Get(ctx, c.KeysURL)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", c.KeysURL, err)
	}
	keys, err := parseKeys(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.KeysURL, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys == nil || len(h.keys) >= maxKnown {
		h.keys = map[string]fetched{}
	}
	h.keys[c.KeysURL] = fetched{keys, now}
	return keys, nil
}

// parseKeys reads the public keys of a set; one of a kind that is not known here is nobody's loss.
func parseKeys(raw []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("a JWK Set: %w", err)
	}
	const most = 20
	var keys []jose.JSONWebKey
	for _, one := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(one) == nil && k.IsPublic() && k.Valid() && len(keys) < most {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// mint makes an access token for a client.
func (h *Handler) mint(at place, c *directory.Client, until time.Time) string {
	body := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s %s", until.Unix(), seal.Handle(), c.ID))
	return issuedMark + body + "." + h.DB.Keys.Hash(h.bound(at, c, body))
}

// bound is what the MAC of an access token is over.
func (h *Handler) bound(at place, c *directory.Client, body string) string {
	return strings.Join([]string{"scim access token", h.base(at), c.ID, c.SecretHash, c.Keys, c.KeysURL, body}, "\x00")
}

// issued recognizes an access token that this directory's token endpoint gave, expired or not, as if it were one of its
// tokens; nil for anything else.
func (h *Handler) issued(at place, d *directory.Directory, token string) *directory.Token {
	body, mac, ok := strings.Cut(strings.TrimPrefix(token, issuedMark), ".")
	if d == nil || !ok || !strings.HasPrefix(token, issuedMark) {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil
	}
	parts := strings.SplitN(string(raw), " ", 3)
	if len(parts) != 3 {
		return nil
	}
	until, err := strconv.ParseInt(parts[0], 10, 64)
	c := clientNamed(d, parts[2])
	if err != nil || c == nil || !h.DB.Keys.Matches(h.bound(at, c, body), mac) {
		return nil
	}
	return &directory.Token{ID: store.ClientMark + c.ID, Prefix: c.ID, Source: "client", Expires: time.Unix(until, 0)}
}

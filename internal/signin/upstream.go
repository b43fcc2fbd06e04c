package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Limits of what an upstream provider may cost a sign-in. Documents come fast or from the copy kept last; the two calls that
// need this very person's code get a little longer.
const (
	documentTimeout = 3 * time.Second
	callTimeout     = 5 * time.Second
	maxDocument     = 256 << 10
	maxKeys         = 100
	discoveryTTL    = time.Hour
	keysTTL         = 10 * time.Minute
	keysTTLMin      = 30 * time.Second // also between two fetches for unknown kids
	// lastGood is for how long after its expiry a copy still serves while the provider cannot be reached.
	lastGood = 24 * time.Hour
)

// upstream speaks to OpenID Providers. It keeps no state: documents are rows that all nodes share.
type upstream struct {
	db     *store.DB
	guard  *netguard.Guard
	client *http.Client
	log    *slog.Logger
}

func newUpstream(db *store.DB, guard *netguard.Guard, log *slog.Logger) *upstream {
	// No redirect is followed: from the token endpoint it would carry the secret elsewhere (307), and a document that moved to
	// another host is another provider's.
	client := *guard.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &upstream{db: db, guard: guard, client: &client, log: log}
}

// metadata is what we use of a provider's discovery document (OpenID Connect Discovery section 3, RFC 8414 section 2).
type metadata struct {
	authorization string
	token         string
	userinfo      string
	keys          string
	endSession    string // RP-Initiated Logout 1.0; empty: it takes none
	authMethods   []string
	// saysIssuer: the provider puts iss into its authorization responses (RFC 9207), so one without it is another's.
	saysIssuer bool
}

func (u *upstream) parseMetadata(raw []byte, issuer string) (metadata, error) {
	d, err := parseObject(raw)
	if err != nil {
		return metadata{}, fmt.Errorf("the discovery document: %w", err)
	}
	if d.text("issuer") != issuer {
		// Discovery section 4.3: anything else lets one provider speak for another.
		return metadata{}, errors.New("the discovery document is of another issuer")
	}
	m := metadata{
		authorization: d.text("authorization_endpoint"), token: d.text("token_endpoint"),
		userinfo: d.text("userinfo_endpoint"), keys: d.text("jwks_uri"), endSession: d.text("end_session_endpoint"),
	}
	m.authMethods, _ = d.texts("token_endpoint_auth_methods_supported")
	m.saysIssuer, _ = d["authorization_response_iss_parameter_supported"].(bool)
	for name, address := range map[string]string{"authorization_endpoint": m.authorization, "token_endpoint": m.token, "jwks_uri": m.keys} {
		if address == "" {
			return m, fmt.Errorf("the discovery document has no %s", name)
		}
	}
	for _, address := range []string{m.authorization, m.token, m.userinfo, m.keys, m.endSession} {
		if address == "" {
			continue
		}
		if err := u.guard.Check(address); err != nil {
			return m, fmt.Errorf("the discovery document: %w", err)
		}
	}
	return m, nil
}

// discover gives a provider's metadata: the kept copy while it is fresh, else a new one, else the last good one.
func (u *upstream) discover(ctx context.Context, c connection.Connection) (metadata, error) {
	issuer := c.Settings.Issuer
	body, err := u.document(ctx, c, "discovery", strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", discoveryTTL, func(raw []byte) error {
		_, err := u.parseMetadata(raw, issuer)
		return err
	})
	if err != nil {
		return metadata{}, err
	}
	return u.parseMetadata(body, issuer)
}

// document gives a document of a connection. Its address is part of the row's key, so that a connection whose issuer was
// changed never meets the old provider's keys.
func (u *upstream) document(
	ctx context.Context, c connection.Connection, kind, address string, ttl time.Duration, check func([]byte) error,
) ([]byte, error) {
	kind = kindOf(kind, address)
	var kept store.ConnectionDocument
	var found bool
	err := u.db.Read(ctx, c.Organization, func(tx *store.Tx) (err error) {
		kept, found, err = tx.ConnectionDocument(ctx, c.ID, kind)
		return err
	})
	if err != nil {
		return nil, err
	}
	now := u.db.Now()
	if found && now.Before(kept.Expires) {
		return []byte(kept.Body), nil
	}
	body, err := u.renew(ctx, c, kind, address, ttl, check)
	if err != nil && found && now.Before(kept.Expires.Add(lastGood)) {
		u.log.WarnContext(ctx, "upstream document not renewed, the last good one serves",
			"organization", c.Organization, "connection", c.ID, "document", kind, "error", err)
		return []byte(kept.Body), nil
	}
	return body, err
}

func kindOf(kind, address string) string { return kind + ":" + seal.Fingerprint(address)[:16] }

// renew fetches a document, checks it and keeps it.
func (u *upstream) renew(
	ctx context.Context, c connection.Connection, kind, address string, ttl time.Duration, check func([]byte) error,
) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, unreachable(err)
	}
	r.Header.Set("Accept", "application/json")
	body, header, err := u.do(r)
	if err != nil {
		return nil, err
	}
	if err := check(body); err != nil {
		return nil, refuse(CodeProvider, err.Error())
	}
	if age, ok := maxAge(header.Get("Cache-Control")); ok {
		ttl = min(ttl, max(age, keysTTLMin))
	}
	// The caller may be gone; what was fetched serves the next one.
	return body, u.db.Write(context.WithoutCancel(ctx), c.Organization, func(tx *store.Tx) error {
		tx.KeepConnectionDocument(context.WithoutCancel(ctx), c.ID, kind, string(body), ttl)
		return nil
	})
}

func maxAge(cacheControl string) (time.Duration, bool) {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		if v, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(directive)), "max-age="); ok {
			if n, err := strconv.ParseInt(strings.Trim(v, `"`), 10, 32); err == nil && n >= 0 {
				return time.Duration(n) * time.Second, true
			}
		}
	}
	return 0, false
}

// do sends a request and reads an answer of status 200, in JSON, of bounded size.
func (u *upstream) do(r *http.Request) ([]byte, http.Header, error) {
	response, err := u.client.Do(r)
	if err != nil {
		return nil, nil, unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, nil, unreachable(err)
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case len(body) > maxDocument:
		return nil, nil, refuse(CodeProvider, "the answer of "+r.URL.Host+" is too large")
	case response.StatusCode != http.StatusOK:
		return nil, nil, refuse(CodeProvider, fmt.Sprintf("%s answered %d%s", r.URL.Host, response.StatusCode, oauthError(kind, body)))
	case kind != "application/json" && !strings.HasSuffix(kind, "+json"):
		return nil, nil, refuse(CodeProvider, r.URL.Host+" did not answer in JSON")
	}
	return body, response.Header, nil
}

// oauthError gives the error code of an OAuth answer for the administrator. The description is the stranger's own words and
// stays out.
func oauthError(kind string, body []byte) string {
	if kind != "application/json" {
		return ""
	}
	o, err := parseObject(body)
	if err != nil || !plainCode(o.text("error")) {
		return ""
	}
	return ": " + o.text("error")
}

// plainCode says whether s looks like an OAuth error code: a short word.
func plainCode(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && r != '_'
	})
}

func unreachable(err error) error {
	if f := fault.As(err); f != nil {
		return refuse(CodeProvider, f.Message)
	}
	return &refusal{code: CodeUnreachable, detail: "the provider cannot be reached in time", cause: err}
}

// keySet gives the provider's keys of a kid ("" for all). An unknown kid fetches the set anew, once in half a minute for all
// nodes together, so that made-up kids cost nothing.
func (u *upstream) keySet(c connection.Connection, m metadata) func(context.Context, string) ([]jose.JSONWebKey, error) {
	check := func(raw []byte) error {
		_, err := parseKeys(raw)
		return err
	}
	return func(ctx context.Context, kid string) ([]jose.JSONWebKey, error) {
		raw, err := u.document(ctx, c, "jwks", m.keys, keysTTL, check)
		if err != nil {
			return nil, err
		}
		keys, err := parseKeys(raw)
		if err != nil || kid == "" {
			return keys, err
		}
		if found := ofKid(keys, kid); len(found) > 0 {
			return found, nil
		}
		var mayFetch bool
		err = u.db.Write(ctx, c.Organization, func(tx *store.Tx) (err error) {
			mayFetch, err = tx.ClaimFetch(ctx, c.ID, kindOf("jwks", m.keys), keysTTLMin)
			return err
		})
		if err != nil || !mayFetch {
			return nil, err
		}
		if raw, err = u.renew(ctx, c, kindOf("jwks", m.keys), m.keys, keysTTL, check); err != nil {
			return nil, err
		}
		keys, err = parseKeys(raw)
		return ofKid(keys, kid), err
	}
}

func ofKid(keys []jose.JSONWebKey, kid string) []jose.JSONWebKey {
	return slices.DeleteFunc(slices.Clone(keys), func(k jose.JSONWebKey) bool { return k.KeyID != kid })
}

// parseKeys reads a key set. Keys of kinds we do not know are left out (RFC 7517 section 5); secret ones are left out by kind,
// since a provider that publishes one has published its secret.
func parseKeys(raw []byte) ([]jose.JSONWebKey, error) {
	if _, err := parseObject(raw); err != nil {
		return nil, fmt.Errorf("the key set: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil || set.Keys == nil {
		return nil, errors.New("the key set has no keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.IsPublic() && k.Valid() {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// tokens is the answer of the token endpoint.
type tokens struct {
	id     string
	access string
}

// exchange redeems a code with the client's secret and the PKCE verifier. A code that somebody injected into this browser's
// sign-in was asked for with another challenge and fails here (RFC 9700 section 4.5).
func (u *upstream) exchange(ctx context.Context, c connection.Connection, m metadata, code, verifier, redirect string) (tokens, error) {
	var secret []byte
	if c.Settings.ClientSecret != "" {
		var err error
		if secret, err = u.db.Keys.Open(connection.SecretPlace(c.Organization, c.ID), c.Settings.ClientSecret); err != nil {
			return tokens{}, fmt.Errorf("open the client secret of connection %s: %w", c.ID, err)
		}
	}
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier},
	}
	method := authMethod(c.Settings.AuthMethod, m.authMethods)
	if method == connection.PrivateKey {
		secret = nil // one proof, or the provider refuses both (RFC 6749 section 2.3)
		if err := u.prove(ctx, c, form); err != nil {
			return tokens{}, err
		}
	}
	if secret == nil || method == connection.SecretPost {
		form.Set("client_id", c.Settings.ClientID)
	}
	if secret != nil && method == connection.SecretPost {
		form.Set("client_secret", string(secret))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.token, strings.NewReader(form.Encode()))
	if err != nil {
		return tokens{}, unreachable(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if secret != nil && method == connection.SecretBasic {
		// RFC 6749 section 2.3.1: both are form-encoded first.
		r.SetBasicAuth(url.QueryEscape(c.Settings.ClientID), url.QueryEscape(string(secret)))
	}
	body, _, err := u.do(r)
	if err != nil {
		return tokens{}, err
	}
	o, err := parseObject(body)
	if err != nil {
		return tokens{}, refuse(CodeProvider, "the token answer: "+err.Error())
	}
	t := tokens{id: o.text("id_token"), access: o.text("access_token")}
	if t.id == "" {
		return t, refuse(CodeProvider, "the token answer has no ID token")
	}
	return t, nil
}

// authMethod follows the connection, else what the provider supports; RFC 8414 section 2 makes basic the default.
func authMethod(set string, supported []string) string {
	switch {
	case set != "":
		return set
	case len(supported) > 0 && !slices.Contains(supported, connection.SecretBasic) && slices.Contains(supported, connection.SecretPost):
		return connection.SecretPost
	}
	return connection.SecretBasic
}

// userInfo gives the claims of the userinfo endpoint, which must be about the same subject (OpenID Connect Core section 5.3.2).
func (u *upstream) userInfo(ctx context.Context, m metadata, access, subject string) (object, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.userinfo, nil)
	if err != nil {
		return nil, unreachable(err)
	}
	r.Header.Set("Authorization", "Bearer "+access)
	r.Header.Set("Accept", "application/json")
	body, _, err := u.do(r)
	if err != nil {
		return nil, err
	}
	o, err := parseObject(body)
	if err != nil {
		return nil, refuse(CodeProvider, "userinfo: "+err.Error())
	}
	if o.text("sub") != subject {
		return nil, refuse(CodeToken, "userinfo speaks of another subject")
	}
	return o, nil
}

// callbackURL is the redirect URI of one connection. Each has its own: an answer can only be taken for the provider it came
// from, even where the provider does not say who it is (mix-up, RFC 9700 section 4.4.2).
func callbackURL(base string, org id.Organization, c id.Connection) string {
	return base + "/sso/" + string(org) + "/" + string(c) + "/callback"
}

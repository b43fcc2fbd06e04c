package signin

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// Proving ourselves to an OpenID Provider by a key (private_key_jwt, OpenID Connect Core section 9): each connection has its own
// signing key, kept and rotated like those towards SAML providers, whose public half the provider reads at .../jwks.

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// assertionLifetime is as short as two clocks and one call allow.
	assertionLifetime = time.Minute
)

// clientKeys gives a connection's own keys that its provider may meet: the one in use first.
func (u *upstream) clientKeys(ctx context.Context, c connection.Connection) ([]store.SAMLKey, error) {
	all, err := u.db.EnsureSAMLKeys(ctx, c.Organization, c.ID)
	if err != nil {
		return nil, err
	}
	var out []store.SAMLKey
	for _, k := range all {
		if k.Purpose == store.KeySigns && k.State != store.KeyFormer {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("connection %s has no key to prove itself with", c.ID)
	}
	return out, nil
}

// public gives a key as a JWK with its certificate: some providers take the one, some the other (Entra).
func publicKey(k store.SAMLKey) (jose.JSONWebKey, error) {
	jwk := jose.JSONWebKey{
		Key: k.Certificate.PublicKey, Algorithm: string(jose.RS256), Use: "sig", Certificates: []*x509.Certificate{k.Certificate},
	}
	var err error
	jwk.KeyID, err = oidc.Thumbprint(k.Certificate.PublicKey)
	return jwk, err
}

// assertion proves us to the token endpoint of one provider. Its audience is the issuer alone, never the endpoint: one that a hostile
// provider names as its own could otherwise be the honest one's (CVE-2025-27370).
func (u *upstream) assertion(ctx context.Context, c connection.Connection) (string, error) {
	keys, err := u.clientKeys(ctx, c)
	if err != nil {
		return "", err
	}
	k := keys[0]
	der, err := u.db.Keys.Open(connection.KeyPlace(c.Organization, c.ID, k.ID), k.Private)
	if err != nil {
		return "", fmt.Errorf("open the key of connection %s: %w", c.ID, err)
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return "", fmt.Errorf("read the key of connection %s: %w", c.ID, err)
	}
	public, err := publicKey(k)
	if err != nil {
		return "", err
	}
	thumbprint := crypto.SHA256.New()
	thumbprint.Write(k.Certificate.Raw)
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("x5t#S256", b64(thumbprint.Sum(nil))))
	if err != nil {
		return "", err
	}
	now := u.db.Now()
	signed, err := signer.Sign(encode(map[string]any{
		"iss": c.Settings.ClientID, "sub": c.Settings.ClientID, "aud": c.Settings.Issuer, "jti": seal.Handle(),
		"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
	}))
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// prove puts our proof into a token request.
func (u *upstream) prove(ctx context.Context, c connection.Connection, form url.Values) error {
	signed, err := u.assertion(ctx, c)
	if err != nil {
		return err
	}
	form.Set("client_id", c.Settings.ClientID)
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", signed)
	return nil
}

// keySet serves our public keys towards one connection's provider.
func (f *flow) clientKeySet(w http.ResponseWriter, r *http.Request) {
	way, _, ok := f.answered(w, r, connection.OIDC)
	if !ok {
		return
	}
	keys, err := f.upstream.clientKeys(r.Context(), way.Connection)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		var public jose.JSONWebKey
		if public, err = publicKey(k); err != nil {
			break
		}
		set.Keys = append(set.Keys, public)
	}
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_ = json.NewEncoder(w).Encode(set) // a provider that went away asks again
}

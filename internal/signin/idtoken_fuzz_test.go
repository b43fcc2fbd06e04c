package signin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/vestibule-id/vestibule/internal/connection"
)

// FuzzVerify feeds the readers of ID tokens and of logout tokens. Whatever comes: no panic, and nothing is believed that our key did not
// sign, byte for byte.
func FuzzVerify(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		f.Fatal(err)
	}
	signed := map[string]bool{} // header and payload of what our key has signed
	sign := func(payload string) string {
		jws, err := signer.Sign([]byte(payload))
		if err != nil {
			f.Fatal(err)
		}
		token, err := jws.CompactSerialize()
		if err != nil {
			f.Fatal(err)
		}
		signed[token[:strings.LastIndex(token, ".")]] = true
		return token
	}
	now := time.Unix(1772442000, 0)
	id := sign(`{"iss":"https://idp","sub":"s","aud":"c","nonce":"n","iat":1772442000,"exp":1772442300}`)
	logout := sign(`{"iss":"https://idp","sub":"s","aud":"c","jti":"j","iat":1772442000,"exp":1772442300,"events":{"` + logoutEvent + `":{}}}`)
	for _, seed := range []string{
		id, logout, "", ".", "..", "...", "a.b.c", strings.Replace(id, ".", "..", 1), id + ".", id[:len(id)-2],
		base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(id, ".")[1] + ".",
		sign(`{"iss":"https://idp","sub":"a","sub":"b"}`), sign(`[]`), sign(`{"exp":1e400}`),
	} {
		f.Add(seed)
	}
	want := expected{
		issuer: "https://idp", clientID: "c", nonce: "n", algorithms: connection.DefaultAlgorithms, now: now, accessToken: "access",
		passed: func(...connection.CheckName) {},
		keys: func(context.Context, string) ([]jose.JSONWebKey, error) {
			return []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}, nil
		},
	}
	f.Fuzz(func(t *testing.T, token string) {
		believed := func(err error) {
			if err != nil {
				return
			}
			if at := strings.LastIndex(token, "."); at < 0 || !signed[token[:at]] {
				t.Errorf("believed what was never signed: %q", token)
			}
		}
		_, err := verify(t.Context(), token, want)
		believed(err)
		_, err = readLogoutToken(t.Context(), token, want)
		believed(err)
	})
}

// FuzzParseKeys feeds the reader of key sets: what it gives is public and valid.
func FuzzParseKeys(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, `{"keys":null}`, `{"keys":[null]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":{}}`, `{"keys":[],"keys":[]}`, `[]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		keys, err := parseKeys([]byte(raw))
		if err != nil {
			return
		}
		for _, k := range keys {
			if !k.IsPublic() || !k.Valid() {
				t.Errorf("%q gives a key that is not public and valid", raw)
			}
		}
	})
}

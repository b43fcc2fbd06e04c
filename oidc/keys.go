package oidc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Algorithms we sign with. ES256 costs a twentieth of RS256 to sign; RS256 is for applications whose
// libraries know nothing else (OpenID Connect Core section 15.1 makes it the one every OP has).
const (
	ES256 = string(jose.ES256)
	RS256 = string(jose.RS256)
)

// A KeyState says what a signing key is used for. Every key in a set is published.
type KeyState string

const (
	KeyNext     KeyState = "next"     // published so that caches learn it, not signing yet
	KeyActive   KeyState = "active"   // signs; one for each algorithm
	KeyRetiring KeyState = "retiring" // verifies what it signed, until the longest such token is dead
)

// A Key is a signing key of the provider.
type Key struct {
	ID        string // RFC 7638 thumbprint
	Algorithm string
	State     KeyState
	Signer    crypto.Signer
}

// GenerateKey makes a key for an algorithm, named by its thumbprint.
func GenerateKey(algorithm string) (Key, error) {
	var signer crypto.Signer
	var err error
	switch algorithm {
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		return Key{}, fmt.Errorf("oidc: no keys are made for %q", algorithm)
	}
	if err != nil {
		return Key{}, err
	}
	id, err := Thumbprint(signer.Public())
	return Key{ID: id, Algorithm: algorithm, State: KeyNext, Signer: signer}, err
}

// Thumbprint is the kid of a key: RFC 7638 with SHA-256.
func Thumbprint(public crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// A KeySet is the provider's keys at one moment: the document it publishes, computed once, and the
// signers. They never change; a rotation makes a new set.
type KeySet struct {
	keys    []Key
	byID    map[string]Key
	signers map[signerKey]jose.Signer
	jwks    document

	clients verified // applications' own tokens that these keys have signed
}

// verified remembers tokens whose signature was found good, and what they say. An application asks with one token until it expires, and to
// verify it costs as much as to answer; that a key signed a text does not change. When it expires and whether its client is still there
// is asked each time.
type verified struct {
	mu     sync.RWMutex
	tokens map[[sha256.Size]byte]ClientToken // guarded by mu; by the hash of the whole token
}

// maxVerified is more than there are applications; beyond it, all are forgotten and found good again as they come.
const maxVerified = 1024

func (v *verified) get(token string) (ClientToken, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	t, known := v.tokens[sha256.Sum256([]byte(token))]
	return t, known
}

func (v *verified) put(token string, t ClientToken) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tokens == nil || len(v.tokens) >= maxVerified {
		v.tokens = map[[sha256.Size]byte]ClientToken{}
	}
	v.tokens[sha256.Sum256([]byte(token))] = t
}

type signerKey struct{ algorithm, typ string }

// Token types in the typ header. They keep one kind of token from being taken for another
// (RFC 8725 section 3.11).
const (
	typID     = "JWT"
	typAccess = "at+jwt"     // RFC 9068 section 2.1
	typLogout = "logout+jwt" // Back-Channel Logout 1.0 section 2.4
)

// NewKeySet checks the keys and computes what is published.
func NewKeySet(keys []Key) (*KeySet, error) {
	set := &KeySet{
		keys:    slices.Clone(keys),
		byID:    make(map[string]Key, len(keys)),
		signers: map[signerKey]jose.Signer{},
	}
	public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		if _, twice := set.byID[k.ID]; twice {
			return nil, fmt.Errorf("oidc: two keys are named %s", k.ID)
		}
		set.byID[k.ID] = k
		public.Keys = append(public.Keys, jose.JSONWebKey{
			Key: k.Signer.Public(), KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig",
		})
		if k.State != KeyActive {
			continue
		}
		for _, typ := range []string{typID, typAccess, typLogout} {
			at := signerKey{k.Algorithm, typ}
			if set.signers[at] != nil {
				return nil, fmt.Errorf("oidc: two keys are active for %s", k.Algorithm)
			}
			signer, err := jose.NewSigner(
				jose.SigningKey{
					Algorithm: jose.SignatureAlgorithm(k.Algorithm),
					Key:       jose.JSONWebKey{Key: k.Signer, KeyID: k.ID},
				},
				(&jose.SignerOptions{}).WithType(jose.ContentType(typ)),
			)
			if err != nil {
				return nil, fmt.Errorf("oidc: key %s: %w", k.ID, err)
			}
			set.signers[at] = signer
		}
	}
	body, err := json.Marshal(public)
	if err != nil {
		return nil, err
	}
	set.jwks = newDocument(body)
	return set, nil
}

// sign makes a compact JWS of a type.
func (s *KeySet) sign(algorithm, typ string, claims any) (string, error) {
	if algorithm == "" {
		algorithm = ES256
	}
	signer := s.signers[signerKey{algorithm, typ}]
	if signer == nil {
		return "", fmt.Errorf("oidc: no active key for %s", algorithm)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// verify checks one of our own tokens and decodes its claims. The key is the one its kid names and
// the algorithm the one that key was made for: a token chooses neither (RFC 8725 section 3.1).
func (s *KeySet) verify(token, typ string, claims any) error {
	// A JWS in JSON form could carry several signatures; only the compact form is read.
	if len(token) > 16<<10 {
		return fmt.Errorf("oidc: token too long")
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return err
	}
	header := jws.Signatures[0].Header
	if got, _ := header.ExtraHeaders[jose.HeaderType].(string); got != typ {
		return fmt.Errorf("oidc: typ %q, want %q", got, typ)
	}
	key, ok := s.byID[header.KeyID]
	if !ok || key.Algorithm != header.Algorithm {
		return fmt.Errorf("oidc: no key %q for %s", header.KeyID, header.Algorithm)
	}
	payload, err := jws.Verify(key.Signer.Public())
	if err != nil {
		return err
	}
	return json.NewDecoder(bytes.NewReader(payload)).Decode(claims)
}

// A document is a body computed once, with its validator.
type document struct {
	body []byte
	etag string
}

func newDocument(body []byte) document {
	sum := sha256.Sum256(body)
	return document{body: body, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// SetKeys replaces the keys from the next request on.
func (p *Provider) SetKeys(set *KeySet) { p.keys.Store(set) }

// idClaims are the claims of an ID token that are ours to set; the owner's Claims are merged in and
// cannot override them.
func idClaims(issuer string, now time.Time, g *Grant) map[string]any {
	claims := make(map[string]any, len(g.Claims)+12)
	for k, v := range g.Claims {
		claims[k] = v
	}
	claims["iss"] = issuer
	claims["sub"] = g.Subject
	claims["aud"] = g.ClientID
	claims["iat"] = now.Unix()
	claims["exp"] = now.Add(IDTokenLifetime).Unix()
	if delete(claims, "auth_time"); !g.AuthTime.IsZero() {
		claims["auth_time"] = g.AuthTime.Unix()
	}
	set := func(name, value string) {
		delete(claims, name)
		if value != "" {
			claims[name] = value
		}
	}
	set("sid", g.SessionID)
	set("nonce", g.Nonce)
	set("acr", g.ACR)
	if len(g.AMR) > 0 {
		claims["amr"] = g.AMR
	}
	return claims
}

// atHash ties an access token to its ID token (OpenID Connect Core section 3.1.3.6); both our
// algorithms use SHA-256.
func atHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// A ClientToken is a verified at+jwt: an application acting for itself.
type ClientToken struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ClientID string `json:"client_id"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
}

// VerifyClientToken checks an at+jwt of ours: signature, type, issuer, audience and time. Whether
// the client still exists is the caller's to ask.
func (p *Provider) VerifyClientToken(token string) (ClientToken, error) {
	keys := p.keys.Load()
	t, known := keys.clients.get(token)
	if !known {
		if err := keys.verify(token, typAccess, &t); err != nil {
			return ClientToken{}, ErrNotFound
		}
		keys.clients.put(token, t)
	}
	if t.Issuer != p.issuer || t.Audience != p.issuer || t.Subject != t.ClientID ||
		p.now().Unix() >= t.Expires {
		return ClientToken{}, ErrNotFound
	}
	return t, nil
}

// SignLogoutToken makes the token that tells a client that a session ended (Back-Channel Logout 1.0
// section 2.4). It lives two minutes, so it is made when it is sent, not when it is queued; jti names the
// message, so that one sent twice can be told.
func (p *Provider) SignLogoutToken(c *Client, subject, session, jti string) (string, error) {
	now := p.now()
	return p.keys.Load().sign(c.Algorithm, typLogout, map[string]any{
		"iss": p.issuer, "aud": c.ID, "sub": subject, "sid": session, "jti": jti,
		"iat": now.Unix(), "exp": now.Add(LogoutTokenLifetime).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": struct{}{}},
	})
}

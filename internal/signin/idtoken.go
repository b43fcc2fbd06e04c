package signin

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/vestibule-id/vestibule/internal/connection"
)

const (
	// skew is how far a provider's clock may be from ours.
	skew = time.Minute
	// maxToken bounds an ID token: one with two hundred groups is far smaller.
	maxToken = 64 << 10
	// maxSubject is the length OpenID Connect Core section 2 gives sub.
	maxSubject = 255
)

// expected is what an ID token must say, all of it known before it came.
type expected struct {
	issuer      string
	clientID    string
	nonce       string
	algorithms  []string
	accessToken string // for at_hash; may be empty
	tenant      string // tid, where the connection pins it
	domain      string // hd, where the connection pins it
	acrValues   []string
	now         time.Time
	// maxAge in seconds, or nil; since is the moment a forced authentication must not be older than, or zero.
	maxAge *int64
	since  time.Time
	types  []string // of the header; nil: that of an ID token
	// passed is told of each check that holds.
	passed func(...connection.CheckName)
	// keys gives the provider's keys of one kid, or all of them for "".
	keys func(ctx context.Context, kid string) ([]jose.JSONWebKey, error)
}

// verify checks an ID token in the order of OpenID Connect Core section 3.1.3.7 and gives its claims. What is refused is
// refused with a sentence for the administrator; no part of the token is in it.
func verify(ctx context.Context, token string, want expected) (object, error) {
	payload, algorithm, err := verifySignature(ctx, token, want)
	if err != nil {
		return nil, err
	}
	claims, err := parseObject(payload)
	if err != nil {
		return nil, fmt.Errorf("the ID token's claims: %w", err)
	}
	if hash, there := claims["at_hash"]; there && want.accessToken != "" && hash != accessTokenHash(algorithm, want.accessToken) {
		// OpenID Connect Core section 3.1.3.8: otherwise the access token may be another answer's.
		return nil, errors.New("at_hash does not fit the access token")
	}
	want.passed(connection.CheckSignature)
	for _, check := range []struct {
		name  connection.CheckName
		holds func(object, expected) error
	}{
		{connection.CheckIssuer, checkIssuer},
		{connection.CheckSubject, checkSubject},
		{connection.CheckAudience, checkAudience},
		{connection.CheckTimes, checkTimes},
		{connection.CheckNonce, checkNonce},
		{connection.CheckPins, checkPins},
		{connection.CheckFresh, checkFreshness},
	} {
		if err := check.holds(claims, want); err != nil {
			return nil, err
		}
		want.passed(check.name)
	}
	return claims, nil
}

// verifySignature gives the payload of a compact JWS signed by one of the provider's keys under a pinned algorithm. The header
// is the sender's word: it may name a key, never bring one (jwk, x5c) or say where one lies (jku, x5u: a request of our server to
// an address of the attacker's choosing).
func verifySignature(ctx context.Context, token string, want expected) (payload []byte, algorithm string, err error) {
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 {
		return nil, "", errors.New("the ID token is not a compact JWS")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil {
		return nil, "", errors.New("the ID token's header is not base64url")
	}
	header, err := parseObject(raw)
	if err != nil {
		return nil, "", fmt.Errorf("the ID token's header: %w", err)
	}
	for _, name := range []string{"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc"} {
		if _, there := header[name]; there {
			return nil, "", fmt.Errorf("the ID token's header has %s", name)
		}
	}
	// RFC 8725 section 3.11: a logout token or an access token is signed by the same key and is not an ID token.
	types := want.types
	if types == nil {
		types = []string{"JWT"}
	}
	if typ, there := header["typ"]; there && !slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(fmt.Sprint(typ), t) }) {
		return nil, "", errors.New("the token's typ is not the one it must have here")
	}
	algorithm = header.text("alg")
	if !slices.Contains(want.algorithms, algorithm) {
		return nil, "", errors.New("the ID token is not signed with an algorithm of this connection")
	}
	kid := header.text("kid")
	if _, there := header["kid"]; there && (kid == "" || len(kid) > 256) {
		return nil, "", errors.New("the ID token's kid is not a short string")
	}
	keys, err := want.keys(ctx, kid)
	if err != nil {
		return nil, "", err
	}
	keys = slices.DeleteFunc(keys, func(k jose.JSONWebKey) bool { return !fits(k, algorithm) })
	if len(keys) != 1 {
		// Trying each in turn would let the weakest of them speak for the provider.
		return nil, "", fmt.Errorf("%d keys of the provider fit the ID token; exactly one must", len(keys))
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
	if err != nil {
		return nil, "", errors.New("the ID token is not a compact JWS")
	}
	payload, err = jws.Verify(keys[0])
	if err != nil {
		return nil, "", errors.New("the ID token's signature does not verify")
	}
	return payload, algorithm, nil
}

// fits says whether a key may verify an algorithm: its type, its size, and what its owner says it is for.
func fits(k jose.JSONWebKey, algorithm string) bool {
	if k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != algorithm || !k.Valid() {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		// NIST SP 800-131A: less than 2048 bits is broken for signatures.
		return (strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")) && key.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return key.Curve == map[string]elliptic.Curve{
			"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521(),
		}[algorithm]
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

func checkIssuer(c object, want expected) error {
	if c.text("iss") != want.issuer {
		return errors.New("the ID token is of another issuer")
	}
	return nil
}

func checkSubject(c object, _ expected) error {
	sub := c.text("sub")
	if sub == "" || len(sub) > maxSubject || !utf8.ValidString(sub) || strings.ContainsFunc(sub, control) {
		return errors.New("sub is missing, too long or no plain text")
	}
	if _, there := c["events"]; there {
		return errors.New("the token is a security event, not an ID token")
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }

func checkAudience(c object, want expected) error {
	audience, ok := c.texts("aud")
	if !ok || !slices.Contains(audience, want.clientID) {
		return errors.New("the ID token is for another client")
	}
	azp, there := c["azp"]
	if there && azp != want.clientID || !there && len(audience) > 1 {
		// Section 3.1.3.7 steps 3 to 5: with several audiences, who asked for the token is only told by azp.
		return errors.New("the ID token was issued to another client")
	}
	return nil
}

func checkTimes(c object, want expected) error {
	exp, ok := c.seconds("exp")
	if !ok || !want.now.Before(time.Unix(exp, 0).Add(skew)) {
		return errors.New("the ID token has expired, or does not say when it does")
	}
	iat, ok := c.seconds("iat")
	if !ok || time.Unix(iat, 0).After(want.now.Add(skew)) {
		return errors.New("the ID token was issued in the future, or does not say when it was; check the clocks")
	}
	if _, there := c["nbf"]; there {
		if nbf, ok := c.seconds("nbf"); !ok || time.Unix(nbf, 0).After(want.now.Add(skew)) {
			return errors.New("the ID token is not valid yet; check the clocks")
		}
	}
	return nil
}

func checkNonce(c object, want expected) error {
	if want.nonce == "" || subtle.ConstantTimeCompare([]byte(c.text("nonce")), []byte(want.nonce)) != 1 {
		return errors.New("the nonce is not that of this sign-in")
	}
	return nil
}

func checkPins(c object, want expected) error {
	if want.tenant != "" && c.text("tid") != want.tenant {
		return errors.New("tid is not the tenant of this connection")
	}
	if want.domain != "" && c.text("hd") != want.domain {
		return errors.New("hd is not the hosted domain of this connection")
	}
	if len(want.acrValues) > 0 && !slices.Contains(want.acrValues, c.text("acr")) {
		return errors.New("acr is none of those this connection demands")
	}
	return nil
}

// checkFreshness proves by auth_time what max_age and prompt=login asked for; a provider that says nothing has proved nothing.
func checkFreshness(c object, want expected) error {
	at, ok := c.seconds("auth_time")
	if _, there := c["auth_time"]; there && (!ok || time.Unix(at, 0).After(want.now.Add(skew))) {
		return errors.New("auth_time is not a time in the past")
	}
	if want.maxAge == nil && want.since.IsZero() {
		return nil
	}
	if !ok {
		return errors.New("a recent sign-in was asked for and the provider does not say when it was (auth_time)")
	}
	signedIn := time.Unix(at, 0)
	if want.maxAge != nil && want.now.Sub(signedIn) > time.Duration(*want.maxAge)*time.Second+skew ||
		!want.since.IsZero() && signedIn.Before(want.since.Add(-skew)) {
		return errors.New("a more recent sign-in was asked for than the provider's auth_time says")
	}
	return nil
}

// accessTokenHash is the left half of the hash that goes with the signature's algorithm (section 3.1.3.6).
func accessTokenHash(algorithm, token string) string {
	var sum []byte
	switch algorithm[len(algorithm)-3:] {
	case "256":
		s := sha256.Sum256([]byte(token))
		sum = s[:]
	case "384":
		s := sha512.Sum384([]byte(token))
		sum = s[:]
	default: // 512, and EdDSA with Ed25519, whose hash is SHA-512
		s := sha512.Sum512([]byte(token))
		sum = s[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

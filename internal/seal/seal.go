// Package seal keeps secrets: it seals what must be read again (client secrets, private keys) and hashes what need only be
// recognized (tokens, application secrets), under the node's keys. It is also where randomness comes from.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
)

// KeySize is the size of a node key in bytes.
const KeySize = 32

// Keys is the node's key ring: the first key seals and hashes, all of them open and compare, so a key is rotated by
// putting the new one in front of the old one.
type Keys struct {
	ring []key
}

type key struct {
	id   string
	aead cipher.AEAD
	macs *sync.Pool // of *mac: to make one costs as much as to hash a token
}

// ParseKeys reads one or several 32-byte keys in base64 (standard or URL alphabet), separated by commas.
func ParseKeys(s string) (*Keys, error) {
	var k Keys
	for i, part := range strings.Split(s, ",") {
		raw, err := decodeKey(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("key %d of VESTIBULE_KEY: %w", i+1, err)
		}
		aead, err := newAEAD(derive(raw, "vestibule seal v1"))
		if err != nil {
			return nil, err
		}
		id := derive(raw, "vestibule key id v1")
		k.ring = append(k.ring, key{id: hex.EncodeToString(id[:4]), aead: aead, macs: macsOf(derive(raw, "vestibule hash v1"))})
	}
	return &k, nil
}

func decodeKey(s string) ([]byte, error) {
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := enc.DecodeString(s); err == nil {
			if len(raw) != KeySize {
				return nil, fmt.Errorf("it holds %d bytes; it must hold %d, in base64", len(raw), KeySize)
			}
			return raw, nil
		}
	}
	return nil, errors.New("it is not base64; 32 random bytes in base64 are wanted")
}

// derive separates the uses of one key: what seals never hashes.
func derive(secret []byte, purpose string) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(purpose))
	return m.Sum(nil)
}

func macsOf(secret []byte) *sync.Pool {
	return &sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, secret)} }}
}

// mac is one HMAC under way, and room for what it comes to.
type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

func newAEAD(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// NewKey makes a fresh node key, in base64.
func NewKey() string {
	return base64.StdEncoding.EncodeToString(Random(KeySize))
}

// sealedMark begins a sealed value. A hash begins with its key's id, which is longer.
const sealedMark = "v1."

// Seal encrypts secret. Place binds it to where it is kept ("connection/northwind/corp"), so that a sealed value copied
// into another row does not open there.
func (k *Keys) Seal(place string, secret []byte) string {
	first := k.ring[0]
	nonce := Random(first.aead.NonceSize())
	sealed := first.aead.Seal(nonce, nonce, secret, []byte(place))
	return sealedMark + first.id + "." + base64.RawURLEncoding.EncodeToString(sealed)
}

// ErrSealed is what Open answers when the value was sealed under a key this node does not have, for another place, or was
// altered.
var ErrSealed = errors.New("sealed value cannot be opened: its key is not among VESTIBULE_KEY, or it was altered")

// Open decrypts what Seal made for the same place.
func (k *Keys) Open(place, sealed string) ([]byte, error) {
	parts := strings.SplitN(sealed, ".", 3)
	if len(parts) != 3 || parts[0] != "v1" {
		return nil, ErrSealed
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, ErrSealed
	}
	for _, c := range k.ring {
		if c.id != parts[1] || len(raw) < c.aead.NonceSize() {
			continue
		}
		plain, err := c.aead.Open(nil, raw[:c.aead.NonceSize()], raw[c.aead.NonceSize():], []byte(place))
		if err == nil {
			return plain, nil
		}
	}
	return nil, ErrSealed
}

// Current reports whether a sealed value or a hash was made with the first key; an older one is to be made anew.
func (k *Keys) Current(kept string) bool { return KeyOf(kept) == k.ring[0].id }

// KeyOf gives the id of the key that a sealed value or a hash was made with.
func KeyOf(kept string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(kept, sealedMark), ".")
	return id
}

// Place says where in the list the key with this id stands, from 1 on; 0 if it does not.
func (k *Keys) Place(id string) int {
	return 1 + slices.IndexFunc(k.ring, func(c key) bool { return c.id == id })
}

// Len is how many keys are listed.
func (k *Keys) Len() int { return len(k.ring) }

// Hash gives the HMAC-SHA-256 of a secret an operator chose (a SCIM token, an application's secret) under the first key.
func (k *Keys) Hash(secret string) string {
	return k.ring[0].hash(secret)
}

// Hashes gives the hash under every key: a stored hash may have been made before a rotation.
func (k *Keys) Hashes(secret string) []string {
	out := make([]string, len(k.ring))
	for i, c := range k.ring {
		out[i] = c.hash(secret)
	}
	return out
}

// Matches compares a secret with a stored hash in constant time, under every key.
func (k *Keys) Matches(secret, hash string) bool {
	found := 0
	for _, h := range k.Hashes(secret) {
		if hmac.Equal([]byte(h), []byte(hash)) {
			found = 1
		}
	}
	return found == 1
}

func (c key) hash(secret string) string {
	m, _ := c.macs.Get().(*mac) // macsOf puts nothing else there
	defer func() {
		m.Reset() // nothing of the secret stays behind
		clear(m.sum[:])
		c.macs.Put(m)
	}()
	m.Write([]byte(secret))
	text := append(append(make([]byte, 0, 64), c.id...), '.')
	return string(base64.RawURLEncoding.AppendEncode(text, m.Sum(m.sum[:0])))
}

// Fingerprint gives the SHA-256 of a handle that we made with 256 bits of randomness (session, code, token): no key is
// needed, since it cannot be guessed.
func Fingerprint(handle string) string {
	sum := sha256.Sum256([]byte(handle))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Handle makes a 256-bit random handle, 43 characters of the URL alphabet.
func Handle() string {
	return base64.RawURLEncoding.EncodeToString(Random(32))
}

// Random gives n random bytes. crypto/rand never fails (it ends the program instead), so there is no error to handle.
func Random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // for OAEP, where its collisions do not matter
	"encoding/base64"
	"strings"

	"github.com/beevik/etree"
)

type blockCipher struct {
	key int // bytes
	gcm bool
}

// blockCiphers are those of XML Encryption 1.1 sections 5.2.2 and 5.2.4. 3DES is not among them: its blocks of eight bytes
// give way to a birthday, and nobody needs it any more.
var blockCiphers = map[string]blockCipher{
	nsEncrypted + "aes128-cbc": {16, false},
	nsEncrypted + "aes192-cbc": {24, false},
	nsEncrypted + "aes256-cbc": {32, false},
	nsEncrypt11 + "aes128-gcm": {16, true},
	nsEncrypt11 + "aes192-gcm": {24, true},
	nsEncrypt11 + "aes256-gcm": {32, true},
}

// undecipherable is the one answer to everything that goes wrong behind the key: a wrong key, bad padding, text that is no
// assertion, an assertion that is not signed. Told apart, they let a stranger decrypt what he recorded: Bleichenbacher's and
// Manger's attacks on the key, Jager and Somorovsky's on CBC.
func undecipherable() error {
	return refuse(CheckDecryption, "the encrypted assertion does not open with our keys, or what is inside is not signed by a pinned certificate")
}

// decrypt opens an EncryptedAssertion. What it refuses by name stands in the clear and says nothing about our keys; what
// depends on them ends in bytes, right or wrong, and the caller answers for both alike. Size is that of the cipher text.
func decrypt(encrypted *etree.Element, keys []Key) (plain []byte, size int, err error) {
	data, err := only(encrypted, nsEncrypted, "EncryptedData")
	if err != nil {
		return nil, 0, err
	}
	if data == nil {
		return nil, 0, refuse(CheckShape, "%s without EncryptedData", encrypted.Tag)
	}
	if kind, given := attr(data, "Type"); given && kind != nsEncrypted+"Element" {
		return nil, 0, refuse(CheckShape, "encrypted content other than an element")
	}
	algorithm, _, err := encryptionMethod(data)
	if err != nil {
		return nil, 0, err
	}
	block, ok := blockCiphers[algorithm]
	if !ok {
		return nil, 0, refuse(CheckDecryption, "encryption algorithm %.100q is not accepted", algorithm)
	}
	ciphertext, err := cipherValue(data)
	if err != nil {
		return nil, 0, err
	}
	// One EncryptedKey, within the data's KeyInfo or beside the data (SAML Core section 6.2).
	within := children(encrypted, nsEncrypted, "EncryptedKey")
	for _, info := range children(data, nsSignature, "KeyInfo") {
		within = append(within, children(info, nsEncrypted, "EncryptedKey")...)
	}
	if len(within) != 1 {
		return nil, 0, refuse(CheckShape, "%d encrypted keys", len(within))
	}
	options, err := keyTransport(within[0])
	if err != nil {
		return nil, 0, err
	}
	wrapped, err := cipherValue(within[0])
	if err != nil {
		return nil, 0, err
	}
	if block.gcm && len(ciphertext) < 12+16 || !block.gcm && (len(ciphertext) < 2*aes.BlockSize || len(ciphertext)%aes.BlockSize != 0) {
		return nil, 0, refuse(CheckDecryption, "the encrypted data is not of whole blocks")
	}
	// A key at random stands in where none of ours opens it, so that the same work follows.
	session := make([]byte, block.key)
	_, _ = rand.Read(session)
	for _, key := range keys {
		private, ok := key.Private.(crypto.Decrypter)
		if !ok {
			continue
		}
		if opened, err := private.Decrypt(nil, wrapped, options); err == nil && len(opened) == block.key {
			session = opened
		}
	}
	return open(block, session, ciphertext), len(ciphertext), nil
}

// open gives the plain text, and for what does not open nothing or whatever the bytes came to.
func open(block blockCipher, key, ciphertext []byte) []byte {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil
	}
	if block.gcm {
		aead, err := cipher.NewGCM(c)
		if err != nil {
			return nil
		}
		plain, _ := aead.Open(nil, ciphertext[:12], ciphertext[12:], nil)
		return plain
	}
	plain := make([]byte, len(ciphertext)-aes.BlockSize)
	cipher.NewCBCDecrypter(c, ciphertext[:aes.BlockSize]).CryptBlocks(plain, ciphertext[aes.BlockSize:])
	// The last byte counts the padding, whose other bytes are arbitrary (XML Encryption 1.1 section 5.2.1).
	if n := int(plain[len(plain)-1]); n >= 1 && n <= aes.BlockSize {
		plain = plain[:len(plain)-n]
	}
	return plain
}

func encryptionMethod(el *etree.Element) (string, *etree.Element, error) {
	m, err := only(el, nsEncrypted, "EncryptionMethod")
	if err != nil {
		return "", nil, err
	}
	if m == nil {
		return "", nil, refuse(CheckShape, "%s without its algorithm", el.Tag)
	}
	return attrValue(m, "Algorithm"), m, nil
}

var oaepHashes = map[string]crypto.Hash{
	"":                   crypto.SHA1,
	nsSignature + "sha1": crypto.SHA1,
	"http://www.w3.org/2001/04/xmlenc#sha256": crypto.SHA256,
	nsEncrypt11 + "mgf1sha1":                  crypto.SHA1,
	nsEncrypt11 + "mgf1sha256":                crypto.SHA256,
}

// keyTransport reads how the session key is wrapped: RSA-OAEP only (XML Encryption 1.1 section 5.5.2). PKCS #1 v1.5 makes
// the unwrapping itself an oracle. The older identifier fixes the mask to SHA-1 whatever the digest, the newer names both.
func keyTransport(key *etree.Element) (*rsa.OAEPOptions, error) {
	algorithm, m, err := encryptionMethod(key)
	if err != nil {
		return nil, err
	}
	var digest, mask string
	for _, child := range m.ChildElements() {
		switch {
		case is(child, nsSignature, "DigestMethod") && digest == "":
			digest = attrValue(child, "Algorithm")
		case is(child, nsEncrypt11, "MGF") && mask == "" && algorithm == nsEncrypt11+"rsa-oaep":
			mask = attrValue(child, "Algorithm")
		default:
			return nil, refuse(CheckDecryption, "a key transport with %.100q is not accepted", child.Tag)
		}
	}
	if algorithm != nsEncrypted+"rsa-oaep-mgf1p" && algorithm != nsEncrypt11+"rsa-oaep" {
		return nil, refuse(CheckDecryption, "key transport %.100q is not accepted", algorithm)
	}
	hash, known := oaepHashes[digest]
	maskHash, maskKnown := oaepHashes[mask]
	if !known || !maskKnown || strings.Contains(digest, "mgf1") || mask != "" && !strings.Contains(mask, "mgf1") {
		return nil, refuse(CheckDecryption, "the digests of the key transport are not accepted")
	}
	return &rsa.OAEPOptions{Hash: hash, MGFHash: maskHash}, nil
}

func cipherValue(el *etree.Element) ([]byte, error) {
	data, err := only(el, nsEncrypted, "CipherData")
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, refuse(CheckShape, "%s without its data", el.Tag)
	}
	value, err := childText(data, nsEncrypted, "CipherValue")
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), ""))
	if err != nil || len(raw) == 0 {
		return nil, refuse(CheckShape, "%s whose data is not base64", el.Tag)
	}
	return raw, nil
}

// sealGCM is AES-GCM as XML Encryption has it: the nonce of 12 bytes in front, the tag of 16 behind (1.1 section 5.2.4).
func sealGCM(key, plain []byte) ([]byte, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(c)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, nil), nil
}

func wrapOAEP(to *rsa.PublicKey, key []byte) ([]byte, error) {
	return rsa.EncryptOAEP(crypto.SHA1.New(), rand.Reader, to, key, nil)
}

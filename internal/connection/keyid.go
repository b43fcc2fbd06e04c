package connection

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"

	"github.com/go-jose/go-jose/v4"
)

// OwnsKeys reports whether a connection's provider knows us by keys of our own: every SAML provider, and an OpenID Provider that takes
// private_key_jwt.
func (c Connection) OwnsKeys() bool {
	return c.Protocol == SAML || c.Settings.AuthMethod == PrivateKey
}

// KeyID is the id under which a connection's key set publishes a key: the thumbprint of RFC 7638.
func KeyID(certificate *x509.Certificate) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: certificate.PublicKey}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

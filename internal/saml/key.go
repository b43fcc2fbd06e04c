package saml

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// certificateYears is how long our certificates hold. Providers compare their keys, and would otherwise lock everybody out on
// one day that nobody remembers; when a key has to go is an administrator's decision.
const certificateYears = 20

// MakeKey makes a key of ours with the certificate that carries it: RSA, which every provider can verify and encrypt to. The
// private half is PKCS #8.
func MakeKey(now time.Time) (private []byte, certificate *x509.Certificate, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	var serial [16]byte
	_, _ = rand.Read(serial[:])
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]), Subject: pkix.Name{CommonName: "Vestibule"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(certificateYears, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	if certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, err
	}
	private, err = x509.MarshalPKCS8PrivateKey(key)
	return private, certificate, err
}

// OpenKey reads a private key that MakeKey made.
func OpenKey(private []byte, certificate *x509.Certificate) (Key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return Key{}, err
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certificate.PublicKey) {
		return Key{}, fmt.Errorf("the key is a %T, or not the certificate's", parsed)
	}
	return Key{Private: key, Certificate: certificate}, nil
}

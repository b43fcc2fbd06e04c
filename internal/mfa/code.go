package mfa

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"image/png"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
)

// An app's codes (RFC 6238): six digits, new every thirty seconds, SHA-1. The other choices of the standard are not understood by
// the apps that people have; SHA-1 is sound here, since nobody can make collisions of an HMAC under a secret key.
const (
	period = 30
	digits = 6
	window = 1 // steps that a telephone's clock may be off, each way
)

// NewTOTP makes a secret for an authenticator app and the address that the app reads. Account is as the app shows it.
func NewTOTP(issuer, account string) (secret, address string, err error) {
	k, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: account, Period: period, Digits: otp.DigitsSix, SecretSize: 20})
	if err != nil {
		return "", "", err
	}
	return k.Secret(), k.URL(), nil
}

// WriteQR draws an app's address as a picture.
func WriteQR(w io.Writer, address string) error {
	k, err := otp.NewKeyFromURL(address)
	if err != nil {
		return err
	}
	picture, err := k.Image(240, 240)
	if err != nil {
		return err
	}
	return png.Encode(w, picture)
}

// SecretOf gives the secret in an app's address, in groups of four as one types it.
func SecretOf(address string) string {
	k, err := otp.NewKeyFromURL(address)
	if err != nil {
		return ""
	}
	return grouped(k.Secret(), 4, " ")
}

// TOTPStep finds the time step that a code belongs to, and 0 where it belongs to none near now. Who keeps the step refuses the code
// from then on, and every earlier one (RFC 6238 section 5.2).
func TOTPStep(address, code string, now time.Time) int64 {
	k, err := otp.NewKeyFromURL(address)
	code = Digits(code)
	if err != nil || len(code) != digits {
		return 0
	}
	found := int64(0)
	at := now.Unix() / period
	for step := at - window; step <= at+window; step++ {
		want, err := hotp.GenerateCodeCustom(k.Secret(), uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			found = step
		}
	}
	return found
}

// A code that is sent: eight digits by mail, where they are copied, six by telephone, where they are typed.
const (
	// SentFor is how long one is good.
	SentFor = 10 * time.Minute
	// Tries is how often one may be answered.
	Tries = 5
)

// NewCode makes a code to be sent.
func NewCode(kind Kind) string {
	n := 6
	if kind == Mail {
		n = 8
	}
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	v, err := rand.Int(rand.Reader, limit)
	if err != nil {
		panic("mfa: no randomness: " + err.Error()) // a broken machine
	}
	s := v.String()
	return strings.Repeat("0", n-len(s)) + s
}

// Digits gives the digits of what somebody typed or pasted.
func Digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// RecoveryCount is how many recovery codes a person has.
const RecoveryCount = 10

// NewRecoveryCodes makes them: eighty bits each, so that a hash that leaked does not give them away.
func NewRecoveryCodes() []string {
	out := make([]string, RecoveryCount)
	for i := range out {
		b := make([]byte, 10)
		_, _ = rand.Read(b)
		out[i] = grouped(strings.ToLower(base32.StdEncoding.EncodeToString(b)), 4, "-")
	}
	return out
}

// RecoveryForm gives a recovery code as it is hashed, whatever way it was typed.
func RecoveryForm(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '2' && r <= '7':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == '0':
			return 'o' // the alphabet has no 0 and no 1
		case r == '1':
			return 'l'
		}
		return -1
	}, s)
}

func grouped(s string, n int, by string) string {
	var out []string
	for len(s) > n {
		out, s = append(out, s[:n]), s[n:]
	}
	return strings.Join(append(out, s), by)
}

// Masked hides an address or a number, but for what its owner knows it by.
func Masked(s string) string {
	if local, domain, ok := strings.Cut(s, "@"); ok {
		r := []rune(local)
		if len(r) > 1 {
			r = r[:1]
		}
		return string(r) + "***@" + domain
	}
	if d := Digits(s); len(d) > 3 {
		return "***" + d[len(d)-3:]
	}
	return "***"
}

// Number gives a telephone number as it is kept: + and 7 to 15 digits (ITU-T E.164), or "" for what is none.
func Number(s string) string {
	s = strings.TrimSpace(s)
	plus := strings.HasPrefix(s, "+") || strings.HasPrefix(s, "00")
	d := Digits(s)
	if strings.HasPrefix(s, "00") {
		d = strings.TrimPrefix(d, "00")
	}
	if !plus || len(d) < 7 || len(d) > 15 || strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && !strings.ContainsRune("+ -()./", r)
	}) {
		return ""
	}
	return "+" + d
}

// Package notification says what a person or an organization's own program can be told of, and how a program can see that
// it was us who told it.
package notification

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
)

// Kind is a kind of news.
type Kind string

// The kinds.
const (
	// Security is news about one's own account: a new factor, a changed password. It cannot be switched off, or whoever
	// takes an account over would do that first.
	Security Kind = "security"
	// AccessChanged tells a person that their own access has changed.
	AccessChanged Kind = "access-changed"
	// NeedsRoles tells those who give roles of a new person without any.
	NeedsRoles Kind = "needs-roles"
	// Directories tells those who look after sign-in and provisioning that a directory is silent, braked or in conflict.
	Directories Kind = "directories"
	// Expiry tells them what expires soon: tokens, certificates, secrets.
	Expiry Kind = "expiry"
)

// About is a kind as pages show it.
type About struct {
	Kind  Kind
	Title string
	Text  string
	// For is the permission whose holders are told; "" for everybody about themselves.
	For id.Permission
	// Always says that it cannot be switched off.
	Always bool
}

// Kinds are all of them, in the order of pages.
var Kinds = []About{
	{Kind: Security, Title: "Security of your account", Text: "A new way to sign in, a changed password or address, a recovery code that was used.", Always: true},
	{Kind: AccessChanged, Title: "Changes of your access", Text: "Somebody gave you a role or took one away."},
	{Kind: NeedsRoles, Title: "New people who need roles", Text: "Somebody has come and has no roles beyond what everybody gets.", For: access.UsersManage},
	{Kind: Directories, Title: "Problems of a directory", Text: "A directory has fallen silent, took many people away at once, or sent what waits for a decision.", For: access.ConnectionsManage},
	{Kind: Expiry, Title: "What expires soon", Text: "Tokens of directories, certificates and secrets of connections, ahead of time.", For: access.ConnectionsManage},
}

// Known finds a kind.
func Known(k Kind) (About, bool) {
	i := slices.IndexFunc(Kinds, func(a About) bool { return a.Kind == k })
	if i < 0 {
		return About{}, false
	}
	return Kinds[i], true
}

// Choice is what a person chose; the zero value chose nothing yet and gets everything that is meant for them.
type Choice struct {
	Made  bool
	Kinds []Kind
}

// Wants reports whether a person who chose so is told of a kind.
func (c Choice) Wants(k Kind) bool {
	about, known := Known(k)
	return known && (about.Always || !c.Made || slices.Contains(c.Kinds, k))
}

// Choosable are the kinds that can be chosen or left, which are those that a webhook can be made for.
func Choosable() []Kind {
	var out []Kind
	for _, a := range Kinds {
		if !a.Always {
			out = append(out, a.Kind)
		}
	}
	return out
}

// maxAddress bounds a webhook's address: what is longer, proxies and servers on the way refuse.
const maxAddress = 2000

// CheckHook says what is wrong with a webhook, field by field, in the same words at every door; nil when nothing is.
func CheckHook(address string, kinds []Kind) error {
	f := fault.New(fault.Invalid, "The webhook cannot be used as it is.")
	switch {
	case !netguard.WebAddress(address):
		f.WithField("url", "It is not an https address, as https://example.com/hooks/vestibule. http is for this machine alone.")
	case len(address) > maxAddress:
		f.WithField("url", "It is longer than %d characters.", maxAddress)
	}
	for i, k := range kinds {
		if !slices.Contains(Choosable(), k) {
			f.WithField("kinds["+strconv.Itoa(i)+"]", "%q is none of %s.", k, commas(Choosable()))
		}
	}
	if len(kinds) == 0 {
		f.WithField("kinds", "Choose at least one kind of news.")
	}
	if len(f.Fields) == 0 {
		return nil
	}
	return f
}

func commas(kinds []Kind) string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = string(k)
	}
	return strings.Join(words, ", ")
}

// Clean keeps of a list what can be chosen, each once, in the order of Kinds.
func Clean(chosen []Kind) []Kind {
	out := []Kind{}
	for _, a := range Kinds {
		if !a.Always && slices.Contains(chosen, a.Kind) {
			out = append(out, a.Kind)
		}
	}
	return out
}

// SecretMark starts every webhook secret (Standard Webhooks).
const SecretMark = "whsec_"

// NewSecret writes random bytes as a webhook's secret.
func NewSecret(random []byte) string { return SecretMark + base64.StdEncoding.EncodeToString(random) }

// Signature signs a webhook as Standard Webhooks 1.0.0 asks: HMAC-SHA-256 over id, time in seconds and body with dots
// between, under the base64 behind the secret's mark; any other secret is taken as it is.
func Signature(secret, delivery string, seconds int64, body []byte) string {
	key := []byte(secret)
	if text, marked := strings.CutPrefix(secret, SecretMark); marked {
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
			key = raw
		}
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte(delivery + "." + strconv.FormatInt(seconds, 10) + "."))
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

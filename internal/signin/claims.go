package signin

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/connection"
)

const (
	maxName   = 256
	maxGroups = 500
	maxAMR    = 16
)

// arrival is a person as the provider describes them, with how they signed in there.
type arrival struct {
	person     connection.Person
	name       string
	givenName  string
	familyName string
	authTime   time.Time // zero: the provider did not say
	until      time.Time // the session ends by then; zero: the provider sets no end
	acr        string
	amr        []string
	sid        string
	hint       string // the ID token, where our logout will name it to the provider
	groups     []string
	grouped    bool // the group claim is there and complete
}

// wanted says whether something that only userinfo can still give is missing from the ID token.
func wanted(c connection.Connection, token object) bool {
	s := c.Settings
	for _, name := range []string{"email", "name", s.Match.Claim, s.GroupsClaim} {
		if _, there := token[name]; name != "" && !there {
			return true
		}
	}
	return false
}

// arrive reads the claims. What the ID token says stands; userinfo only adds what it leaves out, and never an issuer, a
// subject or how the person signed in.
func arrive(c connection.Connection, token, userinfo object) arrival {
	s := c.Settings
	a := arrival{
		person: connection.Person{Issuer: token.text("iss"), Subject: token.text("sub")},
		acr:    short(token.text("acr")), sid: short(token.text("sid")),
	}
	if at, ok := token.seconds("auth_time"); ok {
		a.authTime = time.Unix(at, 0).UTC()
	}
	if amr, ok := token.texts("amr"); ok && len(amr) <= maxAMR {
		for _, m := range amr {
			a.amr = append(a.amr, short(m))
		}
	}
	// An address and what is said of it come from the same answer: a verified flag from one must not vouch for the address
	// of the other.
	for _, o := range []object{token, userinfo} {
		if email := o.text("email"); email != "" {
			a.person.Email, a.person.EmailVerified = address(email), verified(o)
			break
		}
	}
	either := func(name string) string {
		if v, there := token[name]; there {
			s, _ := v.(string)
			return s
		}
		return userinfo.text(name)
	}
	a.name, a.givenName, a.familyName = plain(either("name")), plain(either("given_name")), plain(either("family_name"))
	if s.Match.Claim == "email" {
		// An address may only be the key where the provider vouches for it.
		if a.person.EmailVerified == connection.Yes {
			a.person.Match = a.person.Email
		}
	} else if s.Match.Claim != "" {
		a.person.Match = key(either(s.Match.Claim))
	}
	if s.GroupsClaim != "" {
		a.groups, a.grouped = groups(s.GroupsClaim, token, userinfo)
	}
	return a
}

// verified reads email_verified. Only the JSON true is one: "true" and 1 are what a provider sends that passes on what its
// users typed.
func verified(o object) connection.Verified {
	v, there := o["email_verified"]
	switch {
	case !there:
		return connection.Unsaid
	case v == true:
		return connection.Yes
	}
	return connection.No
}

// address gives an address that is one, else nothing.
func address(s string) string {
	if connection.DomainOf(s) == "" || strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
		return ""
	}
	return s
}

// key gives a match value that can be one: it is compared byte for byte, so it is taken as it is or not at all.
func key(s string) string {
	if len(s) > 512 || strings.ContainsFunc(s, control) || !utf8.ValidString(s) {
		return ""
	}
	return s
}

// plain is a name as a page may show it: no control or direction characters (a name that ends in U+202E turns the rest of a
// line around), one line, bounded.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Cf, r), unicode.IsControl(r):
			return -1
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > maxName {
		s = string(r[:maxName])
	}
	return s
}

func short(s string) string {
	s = plain(s)
	if len(s) > maxName {
		return ""
	}
	return s
}

// groups reads a group claim and says whether it may be believed to be complete. A provider with too many groups sends
// _claim_names or hasgroups instead (Entra above 200): that is not an empty list, and the address it names is never fetched,
// since it is the token's word. Nothing, an overage or a malformed claim change nothing.
func groups(name string, token, userinfo object) ([]string, bool) {
	for _, o := range []object{token, userinfo} {
		if names, ok := o["_claim_names"].(object); ok {
			if _, over := names[name]; over {
				return nil, false
			}
		}
		if o["hasgroups"] == true || o["hasgroups"] == "true" {
			return nil, false
		}
	}
	for _, o := range []object{token, userinfo} {
		if _, there := o[name]; !there {
			continue
		}
		values, ok := o.texts(name)
		if !ok || len(values) > maxGroups {
			return nil, false
		}
		var out []string
		for _, v := range values {
			if v = plain(v); v != "" && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
		return out, true
	}
	return nil, false
}

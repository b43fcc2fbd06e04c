package provisioning

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// masked stands where something secret stood.
const masked = "***"

// secrets are parts of the names of attributes whose values the log never holds. A password is sent by several providers
// whether it is wanted or not; it is checked and forgotten everywhere else, so it must not survive here.
var secrets = [][]byte{[]byte("passw"), []byte("secret"), []byte("token"), []byte("credential")}

// unspoken are the names, in lower case, of what a directory's own schemas never return: what is checked and forgotten
// everywhere else is not kept here either.
type unspoken []string

// suspects reports whether a text may name something secret. It looks at every byte of every request.
func (u unspoken) suspects(text []byte) bool {
	if len(u) == 0 {
		if found, told := namesSecret(text); told {
			return found
		}
	}
	lower := bytes.ToLower(text)
	return slices.ContainsFunc(secrets, func(word []byte) bool { return bytes.Contains(lower, word) }) ||
		slices.ContainsFunc(u, func(name string) bool { return bytes.Contains(lower, []byte(name)) })
}

// clues are the bytes that namesSecret stops at: of each of the secrets one letter that is rare in other texts, and the first
// bytes of the two characters outside of ASCII that become a letter of theirs in lower case (the Kelvin sign and a dotted I).
var clues = func() (t [256]bool) {
	for _, c := range []byte("wWkKcC\xe2\xc4") {
		t[c] = true
	}
	return t
}()

// namesSecret reports whether a text holds one of the secrets in any case, in one look at each byte. It does not tell where only
// the whole text in lower case would.
func namesSecret(text []byte) (found, told bool) {
	holds := func(at int, word []byte) bool {
		return at >= 0 && at+len(word) <= len(text) && bytes.EqualFold(text[at:at+len(word)], word)
	}
	for i, c := range text {
		if !clues[c] {
			continue
		}
		switch c {
		case 'w', 'W':
			found = holds(i-4, secrets[0])
		case 'c', 'C':
			found = holds(i-2, secrets[1]) || holds(i, secrets[3])
		case 'k', 'K':
			found = holds(i-2, secrets[2])
		default:
			if bytes.HasPrefix(text[i:], []byte("\u212a")) || bytes.HasPrefix(text[i:], []byte("\u0130")) {
				return false, false
			}
		}
		if found {
			return true, true
		}
	}
	return false, true
}

// secretive reports whether a name, or a path of names, is of something secret.
func (u unspoken) secretive(text string) bool {
	if unspoken(nil).suspects([]byte(text)) {
		return true
	}
	return len(u) > 0 && slices.ContainsFunc(parts(text), func(part string) bool { return slices.Contains(u, part) })
}

// parts are the names in a path, in lower case.
func parts(path string) []string {
	return strings.FieldsFunc(strings.ToLower(path), func(r rune) bool { return strings.ContainsRune(`:.[]()" `, r) })
}

// literal is a quoted value of a filter.
var literal = regexp.MustCompile(`"[^"]*("|$)`)

// mask gives a document as the log may hold it, as text and, where it is asked for or was needed, decoded. What cannot be
// read might hold anything: it is kept only where it names nothing secret. Same says that the text does what the document
// would: a password is forgotten anyway, and so may be masked; anything else that is masked is missing.
func (u unspoken) mask(raw []byte, decode bool) (m map[string]any, text string, same bool) {
	if len(raw) == 0 {
		return nil, "", true
	}
	// A name may be written in escapes; then only decoding shows it.
	suspect := u.suspects(raw) || bytes.Contains(raw, []byte(`\u`))
	plain := func() string {
		if utf8.Valid(raw) && bytes.IndexByte(raw, 0) < 0 {
			return string(raw)
		}
		return strings.ReplaceAll(strings.ToValidUTF8(string(raw), "\uFFFD"), "\x00", "")
	}
	if !suspect && !decode {
		return nil, plain(), true
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		if suspect {
			return nil, "(not kept: it cannot be read, and may hold a secret)", false
		}
		return nil, plain(), true
	}
	m, _ = v.(map[string]any)
	same = true
	if !suspect || !u.hide(v, &same) {
		return m, plain(), true
	}
	shown, err := json.Marshal(v)
	if err != nil {
		return nil, "(not kept)", false
	}
	return m, string(shown), same
}

// hide takes what is secret out of a decoded document, and reports whether there was any; same becomes false where it was
// more than a password. An operation of a PATCH names its attribute in path.
func (u unspoken) hide(v any, same *bool) bool {
	found := false
	take := func(name string) string {
		found = true
		last := strings.ToLower(name[strings.LastIndexAny(name, ":.")+1:])
		*same = *same && (last == "password" || slices.Contains(u, last))
		return masked
	}
	switch v := v.(type) {
	case map[string]any:
		var path string
		for name, value := range v {
			if p, ok := value.(string); ok && strings.EqualFold(name, "path") && u.secretive(p) {
				path = p
				if hidden := u.maskQuery(p); hidden != p {
					v[name], found, *same = hidden, true, false
				}
			}
		}
		for name, value := range v {
			switch {
			case u.secretive(name):
				v[name] = take(name)
			case path != "" && strings.EqualFold(name, "value"):
				v[name] = take(path)
			case u.hide(value, same):
				found = true
			}
		}
	case []any:
		for _, e := range v {
			if u.hide(e, same) {
				found = true
			}
		}
	}
	return found
}

// maskQuery takes every value out of a query or a path that names something secret.
func (u unspoken) maskQuery(query string) string {
	plain, err := url.QueryUnescape(query)
	if err != nil {
		plain = query
	}
	if !u.secretive(plain) {
		return query
	}
	return literal.ReplaceAllString(plain, `"`+masked+`"`)
}

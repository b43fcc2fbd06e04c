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

// secretive reports whether a text names something secret. It looks at every byte of every request.
func secretive(text []byte) bool {
	lower := bytes.ToLower(text)
	return slices.ContainsFunc(secrets, func(word []byte) bool { return bytes.Contains(lower, word) })
}

// literal is a quoted value of a filter.
var literal = regexp.MustCompile(`"[^"]*("|$)`)

// mask gives a document as the log may hold it, as text and, where it is asked for or was needed, decoded. What cannot be
// read might hold anything: it is kept only where it names nothing secret. Same says that the text does what the document
// would: a password is forgotten anyway, and so may be masked; anything else that is masked is missing.
func mask(raw []byte, decode bool) (m map[string]any, text string, same bool) {
	if len(raw) == 0 {
		return nil, "", true
	}
	// A name may be written in escapes; then only decoding shows it.
	suspect := secretive(raw) || bytes.Contains(raw, []byte(`\u`))
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
	if !suspect || !hide(v, &same) {
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
func hide(v any, same *bool) bool {
	found := false
	take := func(name string) string {
		found = true
		*same = *same && strings.EqualFold(name[strings.LastIndexAny(name, ":.")+1:], "password")
		return masked
	}
	switch v := v.(type) {
	case map[string]any:
		var path string
		for name, value := range v {
			if p, ok := value.(string); ok && strings.EqualFold(name, "path") && secretive([]byte(p)) {
				path = p
				if hidden := maskQuery(p); hidden != p {
					v[name], found, *same = hidden, true, false
				}
			}
		}
		for name, value := range v {
			switch {
			case secretive([]byte(name)):
				v[name] = take(name)
			case path != "" && strings.EqualFold(name, "value"):
				v[name] = take(path)
			case hide(value, same):
				found = true
			}
		}
	case []any:
		for _, e := range v {
			if hide(e, same) {
				found = true
			}
		}
	}
	return found
}

// maskQuery takes every value out of a query or a path that names something secret.
func maskQuery(query string) string {
	plain, err := url.QueryUnescape(query)
	if err != nil {
		plain = query
	}
	if !secretive([]byte(plain)) {
		return query
	}
	return literal.ReplaceAllString(plain, `"`+masked+`"`)
}

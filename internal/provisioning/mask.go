package provisioning

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
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
// read might hold anything: it is kept only where it names nothing secret.
func mask(raw []byte, decode bool) (map[string]any, string) {
	if len(raw) == 0 {
		return nil, ""
	}
	// A name may be written in escapes; then only decoding shows it.
	suspect := secretive(raw) || bytes.Contains(raw, []byte(`\u`))
	plain := func() string { return strings.ReplaceAll(strings.ToValidUTF8(string(raw), "\uFFFD"), "\x00", "") }
	if !suspect && !decode {
		return nil, plain()
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		if suspect {
			return nil, "(not kept: it cannot be read, and may hold a secret)"
		}
		return nil, plain()
	}
	m, _ := v.(map[string]any)
	if !suspect || !hide(v) {
		return m, plain()
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, "(not kept)"
	}
	return m, string(text)
}

// hide takes what is secret out of a decoded document, and reports whether there was any. An operation of a PATCH names its
// attribute in path.
func hide(v any) bool {
	found := false
	switch v := v.(type) {
	case map[string]any:
		byPath := false
		for name, value := range v {
			if path, ok := value.(string); ok && strings.EqualFold(name, "path") && secretive([]byte(path)) {
				byPath = true
			}
		}
		for name, value := range v {
			if secretive([]byte(name)) || byPath && strings.EqualFold(name, "value") {
				v[name], found = masked, true
			} else if text, ok := value.(string); ok && byPath && strings.EqualFold(name, "path") {
				v[name] = maskQuery(text)
				found = true
			} else if hide(value) {
				found = true
			}
		}
	case []any:
		for _, e := range v {
			if hide(e) {
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

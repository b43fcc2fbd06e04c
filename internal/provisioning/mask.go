package provisioning

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// masked stands where something secret stood.
const masked = "***"

// secretive finds the names of attributes whose values the log never holds. A password is sent by several providers whether
// it is wanted or not; it is checked and forgotten everywhere else, so it must not survive here.
var secretive = regexp.MustCompile(`(?i)password|passwd|secret|token|credential`)

// literal is a quoted value of a filter.
var literal = regexp.MustCompile(`"[^"]*("|$)`)

// mask gives a document as the log may hold it, decoded and as text. What cannot be read might hold anything: it is kept
// only where it names nothing secret.
func mask(raw []byte) (any, string) {
	if len(raw) == 0 {
		return nil, ""
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		if secretive.Match(raw) || strings.Contains(string(raw), `\u`) {
			return nil, "(not kept: it cannot be read, and may hold a secret)"
		}
		return nil, strings.ToValidUTF8(strings.ReplaceAll(string(raw), "\x00", ""), "\uFFFD")
	}
	if !hide(v) {
		return v, strings.ReplaceAll(strings.ToValidUTF8(string(raw), "\uFFFD"), "\x00", "")
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, "(not kept)"
	}
	return v, string(text)
}

// hide takes what is secret out of a decoded document, and reports whether there was any. An operation of a PATCH names its
// attribute in path.
func hide(v any) bool {
	found := false
	switch v := v.(type) {
	case map[string]any:
		byPath := false
		for name, value := range v {
			if path, ok := value.(string); ok && strings.EqualFold(name, "path") && secretive.MatchString(path) {
				byPath = true
			}
		}
		for name, value := range v {
			if secretive.MatchString(name) || byPath && strings.EqualFold(name, "value") {
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
	if !secretive.MatchString(plain) {
		return query
	}
	return literal.ReplaceAllString(plain, `"`+masked+`"`)
}

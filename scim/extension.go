package scim

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Bounds of a schema that an operator declares. A filter may name each attribute, and an answer about a thousand people
// holds them all.
const (
	MaxExtension           = 256 << 10
	maxExtensionAttributes = 200
)

// extensionURN is the form of RFC 8141 section 2 as far as a path can hold it.
var extensionURN = regexp.MustCompile(`^[uU][rR][nN]:[A-Za-z0-9][A-Za-z0-9-]{0,30}[A-Za-z0-9]:[A-Za-z0-9._~:/+@-]*[A-Za-z0-9._~-]$`)

// LoadExtension reads a schema that an operator declares for the resources of this server. Beyond what LoadSchema refuses, it
// refuses what a file could say and no server could keep.
func LoadExtension(data []byte) (*Schema, error) {
	if len(data) > MaxExtension {
		return nil, fmt.Errorf("scim schema: larger than %d bytes", MaxExtension)
	}
	s, err := LoadSchema(data)
	if err != nil {
		return nil, err
	}
	switch id := lower(s.ID); {
	case !extensionURN.MatchString(s.ID):
		return nil, fmt.Errorf("scim schema %q: the id of an extension is a URN such as urn:example:badge:1.0:User", clip(s.ID))
	case strings.HasPrefix(id, "urn:ietf:params:scim:api:"), strings.HasPrefix(id, "urn:ietf:params:scim:schemas:core:"), id == lower(EnterpriseURN):
		return nil, fmt.Errorf("scim schema %q: the standard defines it", s.ID)
	}
	n := 0
	for _, a := range s.Attributes {
		n += 1 + len(a.Sub)
		for _, x := range append([]*Attribute{a}, a.Sub...) {
			at := s.ID + ":" + a.Name
			if x != a {
				at += "." + x.Name
			}
			if err := keepable(x); err != "" {
				return nil, fmt.Errorf("scim schema: %s: %s", at, err)
			}
		}
	}
	if n > maxExtensionAttributes {
		return nil, fmt.Errorf("scim schema %q: %d attributes, and %d are kept at most", s.ID, n, maxExtensionAttributes)
	}
	return s, nil
}

// keepable says why what an attribute promises cannot be kept.
func keepable(a *Attribute) string {
	switch {
	case a.Uniqueness == UniqueGlobal:
		return "uniqueness global cannot be vouched for: server holds the values of one directory apart (RFC 7643 section 7)"
	case a.Uniqueness == UniqueServer && a.Type == TypeComplex:
		return "only a sub-attribute of a complex attribute can be unique"
	case a.Uniqueness == UniqueServer && a.Returned == ReturnedNever:
		return "what is never returned is not kept, so it cannot be unique"
	case a.Mutability == WriteOnly && a.Returned != ReturnedNever:
		return `what is writeOnly is never returned: say "returned": "never" (RFC 7643 section 7)`
	}
	return ""
}

// Definition is the schema in the form of RFC 7643 section 7, without meta: what LoadSchema reads again, and the same bytes
// for the same schema.
func (s *Schema) Definition() json.RawMessage {
	return mustJSON(struct {
		Schemas     []string        `json:"schemas"`
		ID          string          `json:"id"`
		Name        string          `json:"name,omitempty"`
		Description string          `json:"description,omitempty"`
		Attributes  []attributeJSON `json:"attributes"`
	}{[]string{SchemaURN}, s.ID, s.Name, s.Description, attributesJSON(s.Attributes)})
}

// UniqueValue is a value of an extension that no other resource of the type may have, in the form in which it is compared.
type UniqueValue struct{ Path, Value string }

// Unique gives the values of extensions' attributes whose uniqueness is "server". What the core schemas hold unique is known
// to every store.
func (rt *ResourceType) Unique(a Attributes) []UniqueValue {
	var out []UniqueValue
	seen := map[UniqueValue]bool{}
	add := func(path string, v any) {
		for _, x := range each(v, nil) {
			if empty(x) || x == "" {
				continue
			}
			if u := (UniqueValue{path, fmt.Sprint(x)}); !seen[u] {
				seen[u] = true
				out = append(out, u)
			}
		}
	}
	for _, x := range rt.Extensions {
		m, _ := a[x.Schema.ID].(map[string]any)
		if m == nil {
			continue
		}
		for _, attr := range x.Schema.Attributes {
			path := x.Schema.ID + ":" + attr.Name
			if attr.Uniqueness == UniqueServer {
				add(path, foldValues(rt, attr, m[attr.Name]))
			}
			for _, sub := range attr.Sub {
				if sub.Uniqueness != UniqueServer {
					continue
				}
				for _, e := range each(m[attr.Name], nil) {
					if e, ok := e.(map[string]any); ok {
						add(path+"."+sub.Name, foldValues(rt, sub, e[sub.Name]))
					}
				}
			}
		}
	}
	return out
}

// foldValues is foldValue for each value there is.
func foldValues(rt *ResourceType, a *Attribute, v any) any {
	var out []any
	for _, x := range each(v, nil) {
		if x = foldValue(rt, a, x); x != nil {
			out = append(out, x)
		}
	}
	return out
}

// Misfit finds the first part of a stored resource's extensions that the resource type, which may have changed since, could
// not keep, and says why; "" where all of it fits.
func (rt *ResourceType) Misfit(a Attributes) (path, why string) {
	w := newWriter(rt, nil)
	w.partial = true
	for name, v := range a {
		if !strings.Contains(name, ":") || empty(v) {
			continue
		}
		schema, rest := rt.schemaOf(name)
		data, _ := v.(map[string]any)
		if schema == nil || rest != "" {
			return name, "the schema is gone"
		}
		for name, v := range data {
			path := schema.ID + ":" + name
			attr := schema.Attribute(name)
			switch {
			case empty(v):
				continue
			case attr == nil:
				return path, "the attribute is gone"
			case attr.Returned == ReturnedNever:
				return path, "what is never returned is not kept"
			}
			if _, err := w.attribute(attr, v, &place{name: schema.ID, element: -1}); err != nil {
				return path, err.Detail
			}
			for _, e := range each(v, nil) {
				m, _ := e.(map[string]any)
				for _, sub := range attr.Sub {
					if sub.Returned == ReturnedNever && !empty(m[sub.Name]) {
						return path + "." + sub.Name, "what is never returned is not kept"
					}
				}
			}
		}
	}
	return "", ""
}

// Refit brings the values of a stored resource into the form that the resource type gives them: an integer that became a
// decimal. It is for a resource that Misfit has nothing against.
func (rt *ResourceType) Refit(a Attributes) Attributes {
	w := newWriter(rt, nil)
	w.partial = true
	out := clone(map[string]any(a)).(map[string]any)
	for _, x := range rt.Extensions {
		data, _ := out[x.Schema.ID].(map[string]any)
		for name, v := range data {
			attr := x.Schema.Attribute(name)
			if attr == nil || attr.Mutability == ReadOnly {
				continue
			}
			if c, err := w.attribute(attr, v, nil); err == nil && c != nil {
				data[name] = c
			}
		}
	}
	return rt.withSchemas(out)
}

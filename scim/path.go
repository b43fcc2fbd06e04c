package scim

import "strings"

// Path is an attribute path that has been resolved against a resource type.
type Path struct {
	// Extension is the schema under whose URN the attribute lies, nil for the core schema and the
	// common attributes (schemas, id, externalId, meta).
	Extension *Schema
	// Attribute is nil when the path names an extension as a whole.
	Attribute *Attribute
	// Sub is nil when the path names the attribute as a whole.
	Sub *Attribute
}

// Leaf is the attribute a comparison looks at: the sub-attribute if there is one.
func (p Path) Leaf() *Attribute {
	if p.Sub != nil {
		return p.Sub
	}
	return p.Attribute
}

// String is the path as a client would write it.
func (p Path) String() string {
	var s string
	if p.Extension != nil {
		s = p.Extension.ID
		if p.Attribute == nil {
			return s
		}
		s += ":"
	}
	s += p.Attribute.Name
	if p.Sub != nil {
		s += "." + p.Sub.Name
	}
	return s
}

// Resolve finds what an attribute path without a filter names: "userName", "name.givenName",
// an URN in any case followed by such a path, or an extension's URN alone. The longest known URN
// wins, since "…:2.0:User" ends in what looks like an attribute name. ok is false when the resource
// type has no such attribute.
func (rt *ResourceType) Resolve(path string) (p Path, ok bool) {
	schema, rest := rt.schemaOf(path)
	if schema != nil && rest == "" {
		return Path{Extension: schema}, schema != rt.Schema
	}
	name, sub, dotted := strings.Cut(rest, ".")
	switch {
	case schema == nil || schema == rt.Schema:
		p.Attribute = rt.Schema.Attribute(name)
		if p.Attribute == nil {
			p.Attribute = find(commonAttributes, name)
		}
	default:
		p.Extension, p.Attribute = schema, schema.Attribute(name)
	}
	if p.Attribute == nil {
		return Path{}, false
	}
	if dotted {
		if p.Sub = p.Attribute.SubAttribute(sub); p.Sub == nil {
			return Path{}, false
		}
	}
	return p, true
}

// schemaOf splits a known URN off a path. A path without one gives nil.
func (rt *ResourceType) schemaOf(path string) (schema *Schema, rest string) {
	rest = path
	consider := func(s *Schema) {
		n := len(s.ID)
		if len(path) < n || !sameName(path[:n], s.ID) || schema != nil && len(schema.ID) > n {
			return
		}
		switch {
		case len(path) == n:
			schema, rest = s, ""
		case path[n] == ':' && len(path) > n+1:
			schema, rest = s, path[n+1:]
		}
	}
	consider(rt.Schema)
	for _, x := range rt.Extensions {
		consider(x.Schema)
	}
	return schema, rest
}

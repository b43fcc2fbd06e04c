package scim

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
func (rt *ResourceType) Resolve(path string) (p Path, ok bool) { return resolve(rt, path) }

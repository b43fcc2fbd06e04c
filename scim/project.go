package scim

import "strings"

// Projection chooses what of a resource is answered (RFC 7644 section 3.9).
type Projection struct {
	rt *ResourceType
	// named are the attributes of the parameter in force: those wanted when only is set, else those
	// not wanted.
	named []Path
	only  bool
}

// ParseProjection reads the parameters attributes and excludedAttributes. A value may be a list
// joined by commas. Names that the resource type lacks are ignored; both parameters together are
// 400 invalidValue, since RFC 7644 section 3.9 says that they exclude each other.
func ParseProjection(rt *ResourceType, attributes, excluded []string) (*Projection, error) {
	p := &Projection{rt: rt}
	var without []Path
	p.named, p.only = p.paths(attributes)
	without, both := p.paths(excluded)
	if p.only && both {
		return nil, badRequest(InvalidValue, "attributes and excludedAttributes exclude each other.")
	}
	if !p.only {
		p.named = without
	}
	return p, nil
}

func (p *Projection) paths(names []string) (paths []Path, given bool) {
	for _, list := range names {
		for _, name := range strings.Split(list, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			given = true
			if path, ok := p.rt.Resolve(name); ok {
				paths = append(paths, path)
			} else if s, rest := p.rt.schemaOf(name); s == p.rt.Schema && s != nil && rest == "" {
				for _, a := range s.Attributes {
					paths = append(paths, Path{Attribute: a})
				}
			}
		}
	}
	return paths, given
}

// Project returns the part of the resource to answer. sent is the body of the request that wrote
// it, for a PATCH its Sent, or nil on a read: an attribute whose returned is "request" is answered
// to the client that just sent it (RFC 7643 section 7). The result may share values with a; do not
// change them.
func (p *Projection) Project(a, sent Attributes) Attributes {
	out := Attributes{}
	p.object(nil, commonAttributes, a, sent, out)
	p.object(nil, p.rt.Schema.Attributes, a, sent, out)
	for _, x := range p.rt.Extensions {
		m, _ := a[x.Schema.ID].(map[string]any)
		s, _ := pick(sent, x.Schema.ID)
		inner := map[string]any{}
		sentMap, _ := s.(map[string]any)
		p.object(x.Schema, x.Schema.Attributes, m, sentMap, inner)
		if len(inner) > 0 {
			out[x.Schema.ID] = inner
		}
	}
	return out
}

func (p *Projection) object(extension *Schema, attributes []*Attribute, m, sent, out map[string]any) {
	for _, a := range attributes {
		v := m[a.Name]
		if empty(v) {
			continue
		}
		s, wasSent := pick(sent, a.Name)
		whole, parts := p.says(extension, a)
		if !p.shows(a.Returned, whole || p.only && parts != nil, wasSent) {
			continue
		}
		if a.Type == TypeComplex {
			v = p.complex(a, v, s, whole, parts)
		}
		if !empty(v) {
			out[a.Name] = v
		}
	}
}

// says tells whether the parameter names an attribute as a whole, and which sub-attributes of it.
func (p *Projection) says(extension *Schema, a *Attribute) (whole bool, parts map[*Attribute]bool) {
	for _, n := range p.named {
		switch {
		case n.Extension != extension || n.Attribute != nil && n.Attribute != a:
		case n.Attribute == nil || n.Sub == nil:
			whole = true
		default:
			if parts == nil {
				parts = map[*Attribute]bool{}
			}
			parts[n.Sub] = true
		}
	}
	return whole, parts
}

// shows decides by an attribute's returned, whether the parameter names it, and whether the client
// just sent it.
func (p *Projection) shows(r ReturnedKind, named, sent bool) bool {
	switch r {
	case ReturnedAlways:
		return true
	case ReturnedNever:
		return false
	case ReturnedRequest:
		if p.only {
			return named
		}
		return sent && !named
	}
	return named == p.only
}

// complex projects the sub-attributes of a value or of each element of a list.
func (p *Projection) complex(a *Attribute, v, sent any, whole bool, parts map[*Attribute]bool) any {
	if list, ok := v.([]any); ok {
		out := make([]any, 0, len(list))
		for _, x := range list {
			if x = p.complex(a, x, sent, whole, parts); !empty(x) {
				out = append(out, x)
			}
		}
		return out
	}
	m, _ := v.(map[string]any)
	out := map[string]any{}
	for _, s := range a.Sub {
		x, ok := m[s.Name]
		if !ok {
			continue
		}
		wasSent := false
		for _, e := range each(sent, nil) {
			if e, ok := e.(map[string]any); ok {
				_, named := pick(e, s.Name)
				wasSent = wasSent || named
			}
		}
		// An attribute that is wanted as a whole, or always there, brings its ordinary parts along.
		named := parts[s]
		if p.only && parts == nil && s.Returned != ReturnedRequest {
			named = true
		}
		if p.only && whole && s.Returned != ReturnedRequest {
			named = true
		}
		if p.shows(s.Returned, named, wasSent) {
			out[s.Name] = x
		}
	}
	return out
}

// Wants tells whether any of the named attribute would be answered on a read, so that a caller can
// spare itself the loading of members.
func (p *Projection) Wants(attribute string) bool {
	path, ok := p.rt.Resolve(attribute)
	if !ok || path.Attribute == nil {
		return false
	}
	whole, parts := p.says(path.Extension, path.Attribute)
	return p.shows(path.Attribute.Returned, whole || p.only && parts != nil, false)
}

package scim

// Projection chooses what of a resource is answered (RFC 7644 section 3.9).
type Projection struct {
	rt       *ResourceType
	only     []Path
	without  []Path
	limited  bool
	sent     []Path
	excluded bool
}

// ParseProjection reads the parameters attributes and excludedAttributes. Names that the resource
// type lacks are ignored; both parameters together are 400 invalidValue.
func ParseProjection(rt *ResourceType, attributes, excluded []string) (*Projection, error) {
	return parseProjection(rt, attributes, excluded)
}

// Project returns the part of the resource to answer. sent is the body of the request that wrote
// it, or nil on a read: an attribute whose returned is "request" is answered to the client that
// just sent it (RFC 7643 section 7). The result shares values with a; do not change them.
func (p *Projection) Project(a, sent Attributes) Attributes { return project(p, a, sent) }

// Wants tells whether any of the named attribute would be answered, so that a caller can spare
// itself the loading of members.
func (p *Projection) Wants(attribute string) bool { return wants(p, attribute) }

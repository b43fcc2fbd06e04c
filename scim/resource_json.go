package scim

// Attributes is a resource, or part of one: attribute names as the schema writes them, extension
// attributes nested under the extension's URN. A value is a string, bool, int64, float64,
// map[string]any or []any; never nil, never an empty list or object.
type Attributes map[string]any

// Limits bounds what DecodeJSON reads.
type Limits struct {
	Bytes  int // of the whole document
	Depth  int // of nesting
	Values int // of all values together
}

// DefaultLimits suits one resource. A group with 100,000 members is past it: such a group is filled
// by PATCH.
var DefaultLimits = Limits{Bytes: 4 << 20, Depth: 32, Values: 200_000}

// DecodeJSON reads one JSON object strictly: valid UTF-8, nothing after it, no name twice in any
// case, every number exact. Names stay as they were sent. Errors are *Error: 400 invalidSyntax, or
// 413 past the size.
func DecodeJSON(data []byte, l Limits) (Attributes, error) { return decodeJSON(data, l) }

// EncodeJSON writes a resource in one canonical form: schemas, id, externalId, the attributes in
// schema order, extensions in theirs, meta last; nothing that is null or empty.
func (rt *ResourceType) EncodeJSON(a Attributes) []byte { return encodeJSON(rt, a) }

// Create checks the body of a POST and makes the resource of it (RFC 7644 section 3.3).
func (rt *ResourceType) Create(raw Attributes, d *Dialect) (Result, error) {
	return create(rt, raw, d)
}

// Replace checks the body of a PUT against what is stored (RFC 7644 section 3.5.1).
func (rt *ResourceType) Replace(stored, raw Attributes, d *Dialect) (Result, error) {
	return replace(rt, stored, raw, d)
}

package scim

// Type is a data type of RFC 7643 section 2.3.
type Type string

// The data types.
const (
	TypeString    Type = "string"
	TypeBoolean   Type = "boolean"
	TypeDecimal   Type = "decimal"
	TypeInteger   Type = "integer"
	TypeDateTime  Type = "dateTime"
	TypeBinary    Type = "binary"
	TypeReference Type = "reference"
	TypeComplex   Type = "complex"
)

// MutabilityKind says who may change an attribute, and when (RFC 7643 section 7).
type MutabilityKind string

// The kinds of mutability.
const (
	ReadOnly  MutabilityKind = "readOnly"
	ReadWrite MutabilityKind = "readWrite"
	Immutable MutabilityKind = "immutable"
	WriteOnly MutabilityKind = "writeOnly"
)

// ReturnedKind says when an attribute appears in an answer (RFC 7643 section 7).
type ReturnedKind string

// The kinds of return.
const (
	ReturnedAlways  ReturnedKind = "always"
	ReturnedNever   ReturnedKind = "never"
	ReturnedDefault ReturnedKind = "default"
	ReturnedRequest ReturnedKind = "request"
)

// UniquenessKind says within what bounds a value is unique (RFC 7643 section 7).
type UniquenessKind string

// The kinds of uniqueness.
const (
	UniqueNone   UniquenessKind = "none"
	UniqueServer UniquenessKind = "server"
	UniqueGlobal UniquenessKind = "global"
)

// Attribute is one attribute or sub-attribute of a schema, with all its characteristics.
type Attribute struct {
	Name            string
	Type            Type
	MultiValued     bool
	Description     string
	Required        bool
	CaseExact       bool
	Mutability      MutabilityKind
	Returned        ReturnedKind
	Uniqueness      UniquenessKind
	CanonicalValues []string
	ReferenceTypes  []string
	Sub             []*Attribute
}

// SubAttribute finds a sub-attribute by name in any case, nil when there is none.
func (a *Attribute) SubAttribute(name string) *Attribute { return find(a.Sub, name) }

// Schema is a named set of attributes. Treat it as read-only once it is in a ResourceType.
type Schema struct {
	ID, Name, Description string
	Attributes            []*Attribute
}

// Attribute finds an attribute by name in any case, nil when there is none.
func (s *Schema) Attribute(name string) *Attribute { return find(s.Attributes, name) }

func find(attributes []*Attribute, name string) *Attribute {
	for _, a := range attributes {
		if sameName(a.Name, name) {
			return a
		}
	}
	return nil
}

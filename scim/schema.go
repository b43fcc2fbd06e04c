package scim

import (
	"encoding/json"
	"strings"
)

// Type is a data type of RFC 7643 section 2.3.
type Type string

// The data types.
const (
	String    Type = "string"
	Boolean   Type = "boolean"
	Decimal   Type = "decimal"
	Integer   Type = "integer"
	DateTime  Type = "dateTime"
	Binary    Type = "binary"
	Reference Type = "reference"
	Complex   Type = "complex"
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

// JSON renders the schema for /Schemas (RFC 7643 section 7). The base is the URL of the SCIM root
// without a slash at the end.
func (s *Schema) JSON(base string) json.RawMessage { return schemaJSON(s, base) }

// LoadSchema reads a schema in the form of RFC 7643 section 7. What the standard forbids (a
// complex attribute inside a complex one, a name twice, a word outside its vocabulary) is an error.
func LoadSchema(data []byte) (*Schema, error) { return loadSchema(data) }

func find(attributes []*Attribute, name string) *Attribute {
	for _, a := range attributes {
		if strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return nil
}

package scim

import (
	"embed"
	"sync"
)

// The definitions are those of RFC 7643 section 8.7.1, except where its sections 2 to 4 say
// otherwise; schema_test.go lists every difference with its reason.
//
//go:embed schemas
var definitions embed.FS

// User is the core User schema of RFC 7643 section 4.1.
var User = sync.OnceValue(func() *Schema { return definition("user") })

// Group is the core Group schema of RFC 7643 section 4.2.
var Group = sync.OnceValue(func() *Schema { return definition("group") })

// EnterpriseUser is the extension of RFC 7643 section 4.3.
var EnterpriseUser = sync.OnceValue(func() *Schema { return definition("enterprise") })

func definition(name string) *Schema {
	data, err := definitions.ReadFile("schemas/" + name + ".json")
	if err != nil {
		panic(err)
	}
	s, err := LoadSchema(data)
	if err != nil {
		panic(err)
	}
	return s
}

// The attributes that every resource has (RFC 7643 section 3.1). They are in no schema. URNs compare
// without case (RFC 8141), hence schemas does.
var (
	schemasAttribute = &Attribute{
		Name: "schemas", Type: TypeReference, MultiValued: true, Required: true, ReferenceTypes: []string{"uri"},
		Mutability: ReadWrite, Returned: ReturnedAlways, Uniqueness: UniqueNone,
		Description: "URNs of the schemas of the resource.",
	}
	idAttribute = &Attribute{
		Name: "id", Type: TypeString, CaseExact: true,
		Mutability: ReadOnly, Returned: ReturnedAlways, Uniqueness: UniqueServer,
		Description: "Identifier that the service provider chose.",
	}
	externalIDAttribute = &Attribute{
		Name: "externalId", Type: TypeString, CaseExact: true,
		Mutability: ReadWrite, Returned: ReturnedDefault, Uniqueness: UniqueNone,
		Description: "Identifier that the client chose.",
	}
	metaAttribute = &Attribute{
		Name: "meta", Type: TypeComplex, Mutability: ReadOnly, Returned: ReturnedDefault, Uniqueness: UniqueNone,
		Description: "Facts about the resource itself.",
		Sub: []*Attribute{
			{Name: "resourceType", Type: TypeString, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault, Uniqueness: UniqueNone},
			{Name: "created", Type: TypeDateTime, Mutability: ReadOnly, Returned: ReturnedDefault, Uniqueness: UniqueNone},
			{Name: "lastModified", Type: TypeDateTime, Mutability: ReadOnly, Returned: ReturnedDefault, Uniqueness: UniqueNone},
			{Name: "location", Type: TypeReference, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault, Uniqueness: UniqueNone},
			{Name: "version", Type: TypeString, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault, Uniqueness: UniqueNone},
		},
	}
	commonAttributes = []*Attribute{schemasAttribute, idAttribute, externalIDAttribute, metaAttribute}
)

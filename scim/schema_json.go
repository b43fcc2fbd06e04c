package scim

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/elimity-com/scim/schema"
)

// The URNs of the schemas of discovery (RFC 7643 sections 6 and 7).
const (
	SchemaURN       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	ResourceTypeURN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
)

// LoadSchema reads a schema in the form of RFC 7643 section 7. What the standard forbids (a
// complex attribute inside a complex one, a name twice, a word outside its vocabulary) is an error
// that says where.
func LoadSchema(data []byte) (*Schema, error) {
	if _, err := DecodeJSON(data, DefaultLimits); err != nil {
		return nil, fmt.Errorf("scim schema: %w", err)
	}
	// The names and words are checked by the model we build on; what it lets through is checked
	// here: it keeps a complex attribute inside a complex one as one without parts.
	var shape attributeShape
	if err := json.Unmarshal(data, &shape); err != nil {
		return nil, fmt.Errorf("scim schema: %w", err)
	}
	var model schema.Schema
	if err := json.Unmarshal(data, &model); err != nil {
		return nil, fmt.Errorf("scim schema %q: %w", clip(shape.ID), err)
	}
	if !strings.Contains(model.ID, ":") || strings.ContainsAny(model.ID, " \t\r\n\"[]()") {
		return nil, fmt.Errorf("scim schema %q: the id is not a URI", clip(model.ID))
	}
	if len(shape.Attributes) == 0 {
		return nil, fmt.Errorf("scim schema %q: no attributes", model.ID)
	}
	for _, c := range commonAttributes {
		for _, a := range shape.Attributes {
			if sameName(a.Name, c.Name) {
				return nil, fmt.Errorf("scim schema %q: %q belongs to every resource (RFC 7643 section 3.1)", model.ID, a.Name)
			}
		}
	}
	if err := shape.check(model.ID); err != nil {
		return nil, err
	}
	s := &Schema{ID: model.ID, Name: model.Name.Value(), Description: model.Description.Value()}
	s.Attributes = attributesOf(model.Attributes)
	return s, nil
}

// attributeShape is the part of a definition that decides how attributes nest.
type attributeShape struct {
	ID, Name, Type string
	Attributes     []attributeShape
	SubAttributes  []attributeShape
}

func (a attributeShape) check(where string) error {
	seen := map[string]bool{}
	for _, x := range append(a.Attributes, a.SubAttributes...) {
		at := where + ":" + x.Name
		if len(a.SubAttributes) > 0 {
			at = where + "." + x.Name
		}
		if seen[lower(x.Name)] {
			return fmt.Errorf("scim schema: %s: the name stands twice", at)
		}
		seen[lower(x.Name)] = true
		complex := x.Type == string(TypeComplex)
		switch {
		case complex && a.Type == string(TypeComplex):
			return fmt.Errorf("scim schema: %s: a complex attribute inside a complex one (RFC 7643 section 2.3.8)", at)
		case complex && len(x.SubAttributes) == 0:
			return fmt.Errorf("scim schema: %s: a complex attribute without subAttributes", at)
		case !complex && len(x.SubAttributes) > 0:
			return fmt.Errorf("scim schema: %s: subAttributes of an attribute that is not complex", at)
		}
		if err := x.check(at); err != nil {
			return err
		}
	}
	return nil
}

func attributesOf(model schema.Attributes) []*Attribute {
	var out []*Attribute
	for _, m := range model {
		a := &Attribute{
			Name: m.Name(), Type: Type(m.AttributeType()), MultiValued: m.MultiValued(), Description: m.Description(),
			Required: m.Required(), CaseExact: m.CaseExact(), CanonicalValues: append([]string(nil), m.CanonicalValues()...), // an empty list is none
			Mutability: MutabilityKind(m.Mutability()), Returned: ReturnedKind(m.Returned()),
			Uniqueness: UniquenessKind(m.Uniqueness()), Sub: attributesOf(m.SubAttributes()),
		}
		for _, r := range m.ReferenceTypes() {
			a.ReferenceTypes = append(a.ReferenceTypes, string(r))
		}
		// RFC 7643 sections 2.3.6 and 2.3.7: binary and reference values are case-exact.
		if a.Type == TypeBinary || a.Type == TypeReference {
			a.CaseExact = true
		}
		out = append(out, a)
	}
	return out
}

type metaJSON struct {
	ResourceType string `json:"resourceType"`
	Location     string `json:"location"`
}

type attributeJSON struct {
	Name            string          `json:"name"`
	Type            Type            `json:"type"`
	MultiValued     bool            `json:"multiValued"`
	Description     string          `json:"description,omitempty"`
	Required        bool            `json:"required"`
	CaseExact       *bool           `json:"caseExact,omitempty"`
	CanonicalValues []string        `json:"canonicalValues,omitempty"`
	ReferenceTypes  []string        `json:"referenceTypes,omitempty"`
	Mutability      MutabilityKind  `json:"mutability"`
	Returned        ReturnedKind    `json:"returned"`
	Uniqueness      UniquenessKind  `json:"uniqueness"`
	SubAttributes   []attributeJSON `json:"subAttributes,omitempty"`
}

func attributesJSON(attributes []*Attribute) []attributeJSON {
	var out []attributeJSON
	for _, a := range attributes {
		j := attributeJSON{
			Name: a.Name, Type: a.Type, MultiValued: a.MultiValued, Description: a.Description, Required: a.Required,
			CanonicalValues: a.CanonicalValues, ReferenceTypes: a.ReferenceTypes, Mutability: a.Mutability,
			Returned: a.Returned, Uniqueness: a.Uniqueness, SubAttributes: attributesJSON(a.Sub),
		}
		if a.Type != TypeComplex && a.Type != TypeBoolean {
			j.CaseExact = &a.CaseExact
		}
		out = append(out, j)
	}
	return out
}

// JSON renders the schema for /Schemas (RFC 7643 section 7). The base is the URL of the SCIM root
// without a slash at the end.
func (s *Schema) JSON(base string) json.RawMessage {
	return mustJSON(struct {
		Schemas     []string        `json:"schemas"`
		ID          string          `json:"id"`
		Name        string          `json:"name,omitempty"`
		Description string          `json:"description,omitempty"`
		Attributes  []attributeJSON `json:"attributes"`
		Meta        metaJSON        `json:"meta"`
	}{
		[]string{SchemaURN},
		s.ID, s.Name, s.Description, attributesJSON(s.Attributes),
		metaJSON{"Schema", base + "/Schemas/" + s.ID},
	})
}

// JSON renders the resource type for /ResourceTypes (RFC 7643 section 6). The base is the URL of
// the SCIM root without a slash at the end.
func (rt *ResourceType) JSON(base string) json.RawMessage {
	type extension struct {
		Schema   string `json:"schema"`
		Required bool   `json:"required"`
	}
	var extensions []extension
	for _, x := range rt.Extensions {
		extensions = append(extensions, extension{x.Schema.ID, x.Required})
	}
	return mustJSON(struct {
		Schemas          []string    `json:"schemas"`
		ID               string      `json:"id"`
		Name             string      `json:"name"`
		Endpoint         string      `json:"endpoint"`
		Description      string      `json:"description,omitempty"`
		Schema           string      `json:"schema"`
		SchemaExtensions []extension `json:"schemaExtensions,omitempty"`
		Meta             metaJSON    `json:"meta"`
	}{
		[]string{ResourceTypeURN},
		rt.Name, rt.Name, rt.Endpoint, rt.Description, rt.Schema.ID, extensions,
		metaJSON{"ResourceType", base + "/ResourceTypes/" + rt.Name},
	})
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, booleans and lists of them always marshal
	}
	return b
}

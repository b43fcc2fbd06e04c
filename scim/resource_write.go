package scim

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Create checks the body of a POST and makes the resource of it (RFC 7644 section 3.3).
func (rt *ResourceType) Create(raw Attributes, d *Dialect) (Result, error) {
	w := newWriter(rt, d)
	out, err := w.read(raw)
	if err != nil {
		return Result{}, err
	}
	for name, v := range rt.Defaults {
		if _, ok := out[name]; !ok {
			out[name] = v
		}
	}
	res := Result{Changed: true, Repairs: w.repairs}
	if members, err := w.takeRows(out); err != nil {
		return Result{}, err
	} else if len(members) > 0 {
		res.Members = []MemberChange{{Op: MembersAdd, Members: members}}
	}
	res.Attributes = rt.withSchemas(out)
	return res, nil
}

// Replace checks the body of a PUT against what is stored (RFC 7644 section 3.5.1). What is readOnly
// is carried over, what has a default and is left out too.
func (rt *ResourceType) Replace(stored, raw Attributes, d *Dialect) (Result, error) {
	w := newWriter(rt, d)
	out, err := w.read(raw)
	if err != nil {
		return Result{}, err
	}
	res := Result{Repairs: w.repairs}
	if rt.Rows != "" {
		if _, named := pick(raw, rt.Rows); named || !d.Allows(KeepMembers) {
			members, err := w.takeRows(out)
			if err != nil {
				return Result{}, err
			}
			res.Members = []MemberChange{{Op: MembersReplace, Members: members}}
		} else {
			w.repair(KeepMembers)
		}
	}
	old := clone(map[string]any(stored)).(map[string]any)
	for name := range rt.Defaults {
		if _, ok := out[name]; !ok && !empty(old[name]) {
			out[name] = old[name]
		}
	}
	if err := carryOver(commonAttributes, old, out, ""); err != nil {
		return Result{}, err
	}
	if err := carryOver(rt.Schema.Attributes, old, out, ""); err != nil {
		return Result{}, err
	}
	for _, x := range rt.Extensions {
		was, _ := old[x.Schema.ID].(map[string]any)
		is, _ := out[x.Schema.ID].(map[string]any)
		if is == nil {
			is = map[string]any{}
		}
		if err := carryOver(x.Schema.Attributes, was, is, x.Schema.ID+":"); err != nil {
			return Result{}, err
		}
		if len(is) > 0 {
			out[x.Schema.ID] = is
		}
	}
	res.Attributes = rt.withSchemas(out)
	res.Changed = rt.differ(stored, res.Attributes)
	return res, nil
}

// differ compares two resources by their canonical form, as far as they are not the same to the letter.
func (rt *ResourceType) differ(a, b Attributes) bool {
	was, is := unlike(a, b), unlike(b, a)
	if len(was)+len(is) == 0 {
		return false
	}
	const few = 256
	return !bytes.Equal(rt.encode(rt.withSchemas(was), few), rt.encode(rt.withSchemas(is), few))
}

// unlike gives the attributes of a that b has otherwise, or not at all.
func unlike(a, b Attributes) Attributes {
	out := Attributes{}
	for name, v := range a {
		if name != schemasAttribute.Name && !Same(v, b[name]) {
			out[name] = v
		}
	}
	return out
}

// Same reports whether two values, as they are decoded from JSON, are the same to the letter. Of two ways to write a number it
// knows nothing.
func Same(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Same(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, v := range a {
			if other, ok := b[name]; !ok || !Same(v, other) {
				return false
			}
		}
		return true
	case nil, string, bool, int64, float64:
		return a == b // what b holds of another type is not equal, comparable or not
	}
	return false
}

// withSchemas returns the resource with the schemas that it has data of, whatever the client listed:
// RFC 7643 section 3 makes schemas the list of what is in the resource.
func (rt *ResourceType) withSchemas(a Attributes) Attributes {
	out := make(Attributes, len(a)+1)
	for k, v := range a {
		if !empty(v) {
			out[k] = v
		}
	}
	list := []any{rt.Schema.ID}
	for _, x := range rt.Extensions {
		if _, ok := out[x.Schema.ID]; ok {
			list = append(list, x.Schema.ID)
		}
	}
	out["schemas"] = list
	return out
}

// carryOver brings what the client may not write from the stored attributes to the new ones: readOnly
// values, and immutable ones, which must be left out or be the same (RFC 7643 section 7).
func carryOver(attributes []*Attribute, old, out map[string]any, prefix string) *Error {
	for _, a := range attributes {
		was, is := old[a.Name], out[a.Name]
		switch {
		case a == schemasAttribute:
		case a.Mutability == ReadOnly:
			if !empty(was) {
				out[a.Name] = was
			}
		case a.Mutability == Immutable && !empty(was):
			if !empty(is) && !equal(a, was, is) {
				return badRequest(Mutability, "%s%s has a value, and may not be changed.", prefix, a.Name)
			}
			out[a.Name] = was
		case a.Type == TypeComplex && !a.MultiValued:
			wasMap, _ := was.(map[string]any)
			isMap, _ := is.(map[string]any)
			if wasMap == nil || isMap == nil {
				continue
			}
			for _, s := range a.Sub {
				if s.Mutability == Immutable && !empty(wasMap[s.Name]) {
					if !empty(isMap[s.Name]) && !equal(s, wasMap[s.Name], isMap[s.Name]) {
						return badRequest(Mutability, "%s%s.%s has a value, and may not be changed.", prefix, a.Name, s.Name)
					}
					isMap[s.Name] = wasMap[s.Name]
				}
			}
			keepComputed(a, wasMap, isMap)
		case a.Type == TypeComplex:
			wasList, _ := was.([]any)
			isList, _ := is.([]any)
			for _, x := range isList {
				for _, y := range wasList {
					keepComputed(a, y.(map[string]any), x.(map[string]any))
				}
			}
		}
	}
	return nil
}

// keepComputed brings the readOnly sub-attributes along where the rest of the value is the same:
// otherwise they were computed from something else.
func keepComputed(a *Attribute, was, is map[string]any) {
	for _, s := range a.Sub {
		if s.Mutability != ReadOnly && !equal(s, was[s.Name], is[s.Name]) {
			return
		}
	}
	for _, s := range a.Sub {
		if s.Mutability == ReadOnly && !empty(was[s.Name]) {
			is[s.Name] = was[s.Name]
		}
	}
}

// equal compares two values exactly, as their canonical JSON.
func equal(a *Attribute, x, y any) bool {
	if empty(x) || empty(y) {
		return empty(x) && empty(y)
	}
	var e, f encoder
	e.b.WriteByte('{')
	f.b.WriteByte('{')
	e.attributes([]*Attribute{a}, map[string]any{a.Name: x})
	f.attributes([]*Attribute{a}, map[string]any{a.Name: y})
	return bytes.Equal(e.b.Bytes(), f.b.Bytes())
}

// pick finds a member of a raw object by name in any case.
func pick(m map[string]any, name string) (v any, ok bool) {
	if v, ok := m[name]; ok {
		return v, true
	}
	for k, v := range m {
		if sameName(k, name) {
			return v, true
		}
	}
	return nil, false
}

// writer turns what a client sent into values of the model, and counts what it forgave.
type writer struct {
	rt      *ResourceType
	dialect *Dialect
	repairs Repairs
	// partial tells that objects are parts of a PATCH: nothing is required of them, and a null in
	// them is kept, since it clears.
	partial bool
}

func newWriter(rt *ResourceType, d *Dialect) *writer {
	return &writer{rt: rt, dialect: d, repairs: Repairs{}}
}

func (w *writer) repair(x Deviation) { w.repairs[x]++ }

// forgive tells whether the dialect has the deviation, and counts it if so.
func (w *writer) forgive(x Deviation) bool {
	if w.dialect.Allows(x) {
		w.repair(x)
		return true
	}
	return false
}

// read turns a whole body into a resource.
func (w *writer) read(raw Attributes) (Attributes, *Error) {
	if err := w.schemas(raw); err != nil {
		return nil, err
	}
	core := make(map[string]any, len(raw))
	extensions := map[*Schema]map[string]any{}
	for name, v := range raw {
		switch schema, rest := w.rt.schemaOf(name); {
		case sameName(name, "schemas"), sameName(name, "id"), sameName(name, "meta"):
			// Checked above, or the server's own: RFC 7644 section 3.3 has readOnly ignored.
		case schema != nil && schema != w.rt.Schema && rest == "":
			if empty(v) {
				continue
			}
			m, ok := v.(map[string]any)
			if !ok {
				return nil, badRequest(InvalidValue, "%s must be an object.", schema.ID)
			}
			extensions[schema] = m
		default:
			core[name] = v
		}
	}
	attributes := append([]*Attribute{externalIDAttribute}, w.rt.Schema.Attributes...)
	out, err := w.object(attributes, core, nil)
	if err != nil {
		return nil, err
	}
	for _, x := range w.rt.Extensions {
		data, ok := extensions[x.Schema]
		if ok {
			m, err := w.object(x.Schema.Attributes, data, &place{name: x.Schema.ID, element: -1})
			if err != nil {
				return nil, err
			}
			if len(m) > 0 {
				out[x.Schema.ID] = m
				continue
			}
		}
		if x.Required {
			return nil, badRequest(InvalidValue, "%s is required.", x.Schema.ID)
		}
	}
	return out, nil
}

// schemas checks the list of URNs of a body (RFC 7643 section 3).
func (w *writer) schemas(raw Attributes) *Error {
	v, _ := pick(raw, "schemas")
	if empty(v) {
		if w.forgive(NoSchemas) {
			return nil
		}
		return badRequest(InvalidSyntax, "schemas is missing; it must name %s.", w.rt.Schema.ID)
	}
	list, ok := v.([]any)
	if !ok {
		return badRequest(InvalidSyntax, "schemas must be a list of URNs.")
	}
	core := false
	for _, x := range list {
		urn, ok := x.(string)
		if !ok {
			return badRequest(InvalidSyntax, "schemas must be a list of URNs.")
		}
		if schema, rest := w.rt.schemaOf(urn); schema != nil && rest == "" {
			core = core || schema == w.rt.Schema
			continue
		}
		// Providers list EnterpriseUser whether or not they send data of it, and a directory may do without.
		if sameName(urn, EnterpriseURN) && w.forgive(IgnoreUnknown) {
			continue
		}
		if !strings.HasPrefix(lower(urn), "urn:ietf:params:scim:") && !legacy(urn) && w.forgive(UnknownSchemas) {
			continue
		}
		if !legacy(urn) || !w.forgive(LegacySchemas) {
			return badRequest(InvalidSyntax, "%q is not a schema of %s.", clip(urn), w.rt.Name)
		}
		// A resource that names the schema of SCIM 1.0 means the core one.
		core = core || strings.HasPrefix(lower(urn), "urn:scim:schemas:core:")
	}
	if !core && !w.forgive(NoSchemas) {
		return badRequest(InvalidSyntax, "schemas must name %s.", w.rt.Schema.ID)
	}
	return nil
}

func legacy(urn string) bool {
	for _, l := range legacySchemas {
		if strings.HasPrefix(lower(urn), l) {
			return true
		}
	}
	return false
}

// place is where a value stands, for error texts: nil is the resource itself. It is put into words only where there is an error.
type place struct {
	in      *place
	name    string // of an attribute, or an extension's URN
	element int    // of a list, or -1
}

func (p *place) String() string {
	s := p.in.inside() + p.name
	if p.element >= 0 {
		s += "[" + strconv.Itoa(p.element) + "]"
	}
	return s
}

// inside is what stands before the name of something in the place.
func (p *place) inside() string {
	switch {
	case p == nil:
		return ""
	case p.in == nil && strings.Contains(p.name, ":"):
		return p.name + ":"
	}
	return p.String() + "."
}

// object converts the attributes of an object, which stands in a place.
func (w *writer) object(attributes []*Attribute, raw map[string]any, in *place) (map[string]any, *Error) {
	out := make(map[string]any, len(raw))
	for name, v := range raw {
		a := find(attributes, name)
		if a == nil {
			if !w.forgive(IgnoreUnknown) {
				return nil, badRequest(InvalidSyntax, "%s has no attribute %q.", w.rt.Name, clip(in.inside()+name))
			}
			continue
		}
		if a.Mutability == ReadOnly {
			continue
		}
		c, err := w.attribute(a, v, in)
		if err != nil {
			return nil, err
		}
		if c != nil || w.partial {
			out[a.Name] = c
		}
	}
	for _, a := range attributes {
		if a.Required && a.Mutability != ReadOnly && !w.partial && missing(out[a.Name]) {
			return nil, badRequest(InvalidValue, "%s%s is required.", in.inside(), a.Name)
		}
		if a.Returned == ReturnedNever {
			delete(out, a.Name) // checked, and now forgotten
		}
	}
	return out, nil
}

// missing is empty for something required: blanks are no user name either.
func missing(v any) bool {
	if s, ok := v.(string); ok {
		return strings.TrimSpace(s) == ""
	}
	return empty(v)
}

// attribute converts the value of one attribute. It gives nil for no value (RFC 7643 section 2.5).
func (w *writer) attribute(a *Attribute, v any, in *place) (any, *Error) {
	where := place{in: in, name: a.Name, element: -1}
	list, isList := v.([]any)
	if !a.MultiValued {
		if isList {
			if len(list) == 0 {
				return nil, nil
			}
			if len(list) > 1 || !w.forgive(LooseComplex) {
				return nil, badRequest(InvalidValue, "%s has one value, not a list.", where.String())
			}
			v = list[0]
		}
		return w.value(a, v, &where)
	}
	if v == nil {
		return nil, nil
	}
	if !isList {
		if s, ok := v.(string); ok && s == "" && w.forgive(EmptyClears) {
			return nil, nil
		}
		// A PATCH may add one value without a list around it: RFC 7644 section 3.5.2.1 gives no form.
		if !w.partial && !w.forgive(LooseComplex) {
			return nil, badRequest(InvalidValue, "%s must be a list.", where.String())
		}
		list = []any{v}
	}
	var out []any
	for i, x := range list {
		c, err := w.element(a, x, &place{in: in, name: a.Name, element: i})
		if err != nil {
			return nil, err
		}
		if c != nil {
			out = append(out, c)
		}
	}
	if out = unite(a, out, nil); primaries(out) > 1 {
		return nil, badRequest(InvalidValue, "%s has more than one primary value.", where.String())
	}
	if out == nil {
		return nil, nil
	}
	return out, nil
}

// element converts one element of a list. It is whole even in a PATCH.
func (w *writer) element(a *Attribute, v any, where *place) (any, *Error) {
	partial := w.partial
	w.partial = false
	defer func() { w.partial = partial }()
	c, err := w.value(a, v, where)
	m, ok := c.(map[string]any)
	if err != nil || !ok || !w.dialect.Allows(EmptyClears) {
		return c, err
	}
	// An element that was emptied keeps nothing but its labels, and says nothing.
	sent, _ := v.(map[string]any)
	for name := range m {
		if name != "type" && name != "primary" {
			return m, nil
		}
	}
	for _, x := range sent {
		if x == nil || x == "" {
			return nil, nil
		}
	}
	return m, nil
}

// value converts a single value.
func (w *writer) value(a *Attribute, v any, where *place) (any, *Error) {
	wrong := func() *Error { return badRequest(InvalidValue, "%s must be a %s.", where.String(), a.Type) }
	if v == nil {
		return nil, nil
	}
	s, isText := v.(string)
	if isText && strings.Contains(s, "\x00") {
		return nil, badRequest(InvalidValue, "%s holds the character NUL.", where.String())
	}
	// An empty boolean is no boolean: what is meant by it decides whether a person may sign in.
	if isText && s == "" && !a.Required && a.Type != TypeBoolean && w.forgive(EmptyClears) {
		return nil, nil
	}
	switch a.Type {
	case TypeComplex:
		if isText && a.SubAttribute("value") != nil && w.forgive(LooseComplex) {
			v = map[string]any{"value": s}
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, badRequest(InvalidValue, "%s must be an object.", where.String())
		}
		out, err := w.object(a.Sub, m, where)
		if err != nil || len(out) == 0 {
			return nil, err
		}
		return out, nil
	case TypeBoolean:
		if isText {
			b, ok := booleanString(s)
			if !ok || !w.forgive(BooleanStrings) {
				return nil, wrong()
			}
			return b, nil
		}
		if _, ok := v.(bool); !ok {
			return nil, wrong()
		}
		return v, nil
	case TypeInteger:
		if _, ok := v.(int64); !ok {
			return nil, badRequest(InvalidValue, "%s must be an integer, without fraction or exponent.", where.String())
		}
		return v, nil
	case TypeDecimal:
		f, ok := decimal(v)
		if !ok {
			return nil, wrong()
		}
		return f, nil
	}
	if !isText {
		return nil, wrong()
	}
	switch a.Type {
	case TypeDateTime:
		if _, ok := parseDateTime(s); !ok {
			return nil, badRequest(InvalidValue, "%s must be a dateTime such as 2026-01-31T09:30:00Z.", where.String())
		}
	case TypeBinary:
		if !base64Text(s) {
			return nil, badRequest(InvalidValue, "%s must be base64.", where.String())
		}
	}
	if a.Required && strings.TrimSpace(s) == "" {
		return nil, badRequest(InvalidValue, "%s is required and may not be blank.", where.String())
	}
	return s, nil
}

// base64Text accepts both alphabets, with and without padding: RFC 7643 section 2.3.6 names both.
func base64Text(s string) bool {
	if strings.ContainsAny(s, "\r\n") { // the decoder would skip them
		return false
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		if _, err := e.DecodeString(s); err == nil {
			return true
		}
	}
	return false
}

// unite appends elements to a list without repeating any. Two complex values are the same when their
// type and value are (RFC 7643 section 2.4); the later one then adds to the earlier. Others are the
// same when they are equal as a whole.
func unite(a *Attribute, add, list []any) []any {
	if len(list) == 0 && len(add) == 1 {
		return add
	}
	index := map[string]int{}
	for i, x := range list {
		index[identity(a, x)] = i
	}
	for _, x := range add {
		key := identity(a, x)
		i, ok := index[key]
		if !ok {
			index[key] = len(list)
			list = append(list, x)
			continue
		}
		if was, ok := list[i].(map[string]any); ok {
			for k, v := range x.(map[string]any) {
				was[k] = v
			}
		}
	}
	return list
}

// identity is what tells an element of a list from the others.
func identity(a *Attribute, x any) string {
	m, ok := x.(map[string]any)
	if !ok {
		if s, ok := x.(string); ok && !a.CaseExact && a.Type == TypeString {
			return Fold(s)
		}
		return fmt.Sprint(x)
	}
	value, isText := m["value"].(string)
	if !isText {
		var e encoder
		e.object(a.Sub, m)
		return e.b.String()
	}
	if s := a.SubAttribute("value"); s != nil && !s.CaseExact {
		value = Fold(value)
	}
	kind, _ := m["type"].(string)
	return Fold(kind) + "\x00" + value
}

func primaries(list []any) (n int) {
	for _, x := range list {
		if m, ok := x.(map[string]any); ok && m["primary"] == true {
			n++
		}
	}
	return n
}

// takeRows takes the Rows attribute out of a converted resource.
func (w *writer) takeRows(out Attributes) ([]Member, *Error) {
	if w.rt.Rows == "" {
		return nil, nil
	}
	list, _ := out[w.rt.Rows].([]any)
	delete(out, w.rt.Rows)
	return w.members(list)
}

// members reads elements of the Rows attribute as members, each value once.
func (w *writer) members(list []any) ([]Member, *Error) {
	var out []Member
	seen := map[string]bool{}
	for _, x := range list {
		m, _ := x.(map[string]any)
		value, _ := m["value"].(string)
		if ref, ok := m["$ref"].(string); ok && value == "" {
			value = ref[strings.LastIndexByte(ref, '/')+1:]
		}
		if strings.TrimSpace(value) == "" {
			return nil, Errorf(http.StatusBadRequest, InvalidValue, "An element of %s has no value.", w.rt.Rows)
		}
		kind, _ := m["type"].(string)
		if !seen[value] {
			seen[value] = true
			out = append(out, Member{Value: value, Type: kind})
		}
	}
	return out, nil
}

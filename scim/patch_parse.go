package scim

import (
	"net/http"
	"sort"
	"strings"

	ast "github.com/scim2/filter-parser/v2"
)

// PatchFrom is ParsePatch over a message that is decoded already, such as the data of a bulk
// operation.
func PatchFrom(rt *ResourceType, raw Attributes, d *Dialect) (*Patch, error) {
	w := newWriter(rt, d)
	w.partial = true
	p := patchParser{writer: w, patch: &Patch{rt: rt, dialect: d, repairs: w.repairs, sent: Attributes{}}}
	if err := p.message(raw); err != nil {
		return nil, err
	}
	return p.patch, nil
}

type patchParser struct {
	*writer
	patch  *Patch
	number int // of the operation being read, from 1
}

func (p *patchParser) add(o operation) {
	o.number = p.number
	p.patch.operations = append(p.patch.operations, o)
}

func (p *patchParser) message(raw Attributes) *Error {
	v, _ := pick(raw, "schemas")
	list, ok := v.([]any)
	named := false
	for _, x := range list {
		urn, _ := x.(string)
		named = named || sameName(urn, PatchURN)
	}
	if !named && (ok && len(list) > 0 || !p.forgive(NoSchemas)) {
		return badRequest(InvalidSyntax, "schemas must name %s.", PatchURN)
	}
	v, _ = pick(raw, "Operations")
	operations, _ := v.([]any)
	if len(operations) == 0 {
		return badRequest(InvalidSyntax, "Operations must be a list of at least one operation.")
	}
	if len(operations) > MaxOperations {
		return Errorf(http.StatusRequestEntityTooLarge, "", "A PATCH may hold at most %d operations.", MaxOperations)
	}
	for i, x := range operations {
		m, ok := x.(map[string]any)
		if !ok {
			return badRequest(InvalidSyntax, "Operation %d is not an object.", i+1)
		}
		p.number = i + 1
		if err := p.operation(m); err != nil {
			return inOperation(p.number, err)
		}
	}
	return nil
}

// operation reads one operation. Names and the value of "op" are taken in any case: Entra sends
// "Add" and "Replace".
func (p *patchParser) operation(m map[string]any) *Error {
	v, _ := pick(m, "op")
	word, _ := v.(string)
	kind := lower(word)
	if kind != "add" && kind != "replace" && kind != "remove" {
		return badRequest(InvalidSyntax, "op is %q, not add, replace or remove.", clip(word))
	}
	v, _ = pick(m, "path")
	path, ok := v.(string)
	if v != nil && !ok {
		return badRequest(InvalidPath, "path is not a string.")
	}
	path = strings.Trim(path, " \t\r\n")
	value, sent := pick(m, "value")
	switch {
	case kind == "remove" && path == "":
		return badRequest(NoTarget, "A remove needs a path.")
	case kind != "remove" && !sent:
		return badRequest(InvalidValue, "The value is missing.")
	case path != "":
		return p.step(kind, path, value)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return badRequest(InvalidSyntax, "Without a path the value must be an object.")
	}
	return p.steps(kind, "", object)
}

// steps reads the value of an operation without a path, or on an extension as a whole: each name in
// it is a path, dotted, with an URN or with a filter if it likes.
func (p *patchParser) steps(kind, prefix string, object map[string]any) *Error {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := object[name]
		switch {
		case prefix == "" && sameName(name, "id") && p.dialect.Allows(SameID):
			p.add(operation{kind: "id", value: value})
			continue
		case prefix != "" && sameName(name, "schemas"):
			// Clients that model an extension as a resource send its schemas along; it says what the object is and
			// changes nothing (RFC 7643 section 3: schemas belongs to the resource).
			continue
		case prefix == "" && (sameName(name, "schemas") || sameName(name, "meta")) && p.forgive(ReadOnlyInPatch):
			continue
		}
		path := prefix + strings.Trim(name, " \t\r\n")
		if !p.known(path) {
			if p.forgive(IgnoreUnknown) {
				continue
			}
			return p.unknown(path)
		}
		if err := p.step(kind, path, value); err != nil {
			return err
		}
	}
	return nil
}

// known tells whether the part of a path before its filter names an attribute.
func (p *patchParser) known(path string) bool {
	before, _, _ := strings.Cut(path, "[")
	_, ok := p.rt.Resolve(before)
	return ok
}

// withoutEnterprise tells whether a path lies in EnterpriseUser where the resource type does without it. A provider goes on
// patching department and manager there, in the same message that says who has left: that must not be refused for them.
func (p *patchParser) withoutEnterprise(path string) bool {
	if len(path) < len(EnterpriseURN) || !sameName(path[:len(EnterpriseURN)], EnterpriseURN) {
		return false
	}
	schema, _ := p.rt.schemaOf(path)
	return schema == nil
}

func (p *patchParser) unknown(path string) *Error {
	return badRequest(InvalidPath, "%s has no attribute %q.", p.rt.Name, clip(path))
}

// step reads one attribute's part of an operation.
func (p *patchParser) step(kind, text string, value any) *Error {
	o := operation{kind: kind}
	if p.withoutEnterprise(text) && p.forgive(IgnoreUnknown) {
		return nil
	}
	if err := p.target(text, &o); err != nil {
		return err
	}
	if o.path.Attribute == nil {
		if kind == "remove" || value == nil {
			p.add(operation{kind: "remove", path: o.path})
			return nil
		}
		object, ok := value.(map[string]any)
		if !ok {
			return badRequest(InvalidValue, "%s must be an object.", o.path)
		}
		return p.steps(kind, o.path.Extension.ID+":", object)
	}
	p.note(o.path, value)
	if o.path.Extension == nil && o.path.Attribute.Name == p.rt.Rows {
		return p.rows(o, value)
	}
	leaf := o.path.Leaf()
	if o.kind == "remove" {
		if o.filter == nil && o.path.Sub == nil && o.path.Attribute.MultiValued && value != nil {
			list, err := p.removed(o.path, value)
			if err != nil {
				return err
			}
			o.value = list
		}
	} else {
		var err *Error
		if o.value, err = p.convert(&o, value); err != nil {
			return err
		}
		if o.value == nil {
			// No value: a replace with null is a remove (RFC 7643 section 2.5), an add of nothing is
			// nothing. An add of "" that a dialect takes for no value means to clear as well.
			if o.kind == "add" && value != "" {
				return nil
			}
			o.kind = "remove"
		}
	}
	if o.path.Attribute.Returned == ReturnedNever || leaf.Returned == ReturnedNever {
		return nil // checked, and now forgotten
	}
	if o.kind == "remove" && o.value == nil && leaf.Required && (o.filter == nil || o.path.Sub != nil) {
		return badRequest(Mutability, "%s is required and cannot be removed.", o.path)
	}
	p.add(o)
	return nil
}

// target resolves the path of an operation, and refuses what no client may write.
func (p *patchParser) target(text string, o *operation) *Error {
	if len(text) > maxFilterBytes {
		return badRequest(InvalidPath, "The path is longer than %d bytes.", maxFilterBytes)
	}
	var ok bool
	if o.path, ok = p.rt.Resolve(text); ok {
		return writable(o.path)
	}
	path, err := parsePath(text)
	if err != nil {
		return badRequest(InvalidPath, "The path cannot be read: %s.", err)
	}
	o.path, ok = p.rt.Resolve(path.AttributePath.String())
	a := o.path.Attribute
	if !ok || a == nil || path.ValueExpression == nil {
		return p.unknown(path.AttributePath.String())
	}
	if o.path.Sub != nil || !a.MultiValued {
		return badRequest(InvalidPath, "%s has no elements that a filter could choose from.", o.path)
	}
	if err := writable(o.path); err != nil {
		return err
	}
	r := resolver{rt: p.rt, dialect: p.dialect, repairs: p.repairs}
	if err := r.readable(o.path); err != nil {
		return err
	}
	element := o.path
	var rerr *Error
	if o.filter, rerr = r.resolve(path.ValueExpression, &element); rerr != nil {
		return rerr
	}
	if o.kind != "remove" && p.dialect.Allows(CreateOnMiss) && a.Type == TypeComplex {
		o.seed = p.seed(a, path.ValueExpression)
	}
	if path.SubAttribute == nil {
		return nil
	}
	if a.Type != TypeComplex && sameName(*path.SubAttribute, "value") {
		return nil
	}
	if o.path.Sub = a.SubAttribute(*path.SubAttribute); o.path.Sub == nil {
		return badRequest(InvalidPath, "%s has no sub-attribute %q.", a.Name, clip(*path.SubAttribute))
	}
	return writable(o.path)
}

func writable(p Path) *Error {
	a := p.Attribute
	if a == nil {
		return nil
	}
	if a == schemasAttribute || a.Mutability == ReadOnly || p.Sub != nil && p.Sub.Mutability == ReadOnly {
		return badRequest(Mutability, "%s is read-only.", p)
	}
	return nil
}

// seed makes the element that a filter describes: one eq, or several joined by "and". It gives nil
// for any other filter.
func (p *patchParser) seed(a *Attribute, x ast.Expression) map[string]any {
	switch x := x.(type) {
	case *ast.LogicalExpression:
		if x.Operator != ast.AND {
			return nil
		}
		left, right := p.seed(a, x.Left), p.seed(a, x.Right)
		if left == nil || right == nil {
			return nil
		}
		for k, v := range right {
			left[k] = v
		}
		return left
	case *ast.AttributeExpression:
		s := a.SubAttribute(x.AttributePath.AttributeName)
		if x.Operator != ast.EQ || x.CompareValue == nil || s == nil || s.MultiValued || s.Mutability == ReadOnly {
			return nil
		}
		v, err := p.value(s, x.CompareValue, &place{name: s.Name, element: -1})
		if err != nil || v == nil {
			return nil
		}
		return map[string]any{s.Name: v}
	}
	return nil
}

// convert reads the value of an add or replace.
func (p *patchParser) convert(o *operation, value any) (any, *Error) {
	a := o.path.Attribute
	var in *place
	if o.path.Extension != nil {
		in = &place{name: o.path.Extension.ID, element: -1}
	}
	where := &place{in: in, name: a.Name, element: -1}
	switch {
	case o.path.Sub != nil:
		return p.attribute(o.path.Sub, value, where)
	case o.filter == nil:
		return p.attribute(a, value, in)
	}
	if list, ok := value.([]any); ok && len(list) == 1 {
		value = list[0]
	}
	return p.value(a, value, where)
}

// removed reads the value of a remove without a filter, which RFC 7644 section 3.5.2.2 does not
// know. A server that ignores it empties the attribute where the client meant one element: that is
// how groups were emptied elsewhere. So it means "these" to the dialects that send it, and is
// refused from the others.
func (p *patchParser) removed(path Path, value any) (any, *Error) {
	if !p.forgive(RemoveByValue) {
		return nil, badRequest(InvalidValue, "A remove takes no value; choose what to remove by a path such as %s[value eq \"…\"].", path)
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) == 0 {
		return nil, badRequest(InvalidValue, "A remove from %s with an empty list removes nothing; leave the value out to remove all.", path)
	}
	v, err := p.attribute(path.Attribute, list, nil)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, badRequest(InvalidValue, "The list of what to remove from %s names nothing.", path)
	}
	return v, nil
}

// rows reads an operation on the Rows attribute as a change of members.
func (p *patchParser) rows(o operation, value any) *Error {
	a := o.path.Attribute
	change := &MemberChange{}
	locked := badRequest(Mutability, "An element of %s cannot be changed; remove it and add another (RFC 7643 section 4.2).", a.Name)
	switch {
	case o.path.Sub != nil:
		return locked
	case o.kind == "remove" && o.filter == nil && value == nil:
		change.Op = MembersReplace
	case o.kind == "remove" && o.filter == nil:
		list, err := p.removed(o.path, value)
		if err != nil {
			return err
		}
		change.Op = MembersRemove
		if change.Members, err = p.members(list.([]any)); err != nil {
			return err
		}
	case o.kind == "remove":
		var ok bool
		if change.Members, ok = chosen(o.filter); ok {
			change.Op = MembersRemove
			break
		}
		if err := p.rowFilter(o.filter); err != nil {
			return err
		}
		change.Op, change.Where = MembersRemoveWhere, o.filter
	default:
		if s, ok := value.(string); ok && s == "" && o.filter == nil {
			return badRequest(InvalidValue, "%s must be a list.", a.Name)
		}
		v, err := p.attribute(a, value, nil)
		if err != nil {
			return err
		}
		list, _ := v.([]any)
		if change.Members, err = p.members(list); err != nil {
			return err
		}
		change.Op = MembersAdd
		if o.filter != nil {
			// Naming a member by itself adds it; anything else would change one in its place.
			want, ok := chosen(o.filter)
			if !ok || len(want) != 1 || len(change.Members) != 1 || want[0].Value != change.Members[0].Value {
				return locked
			}
		} else if o.kind == "replace" {
			change.Op = MembersReplace
		} else if len(change.Members) == 0 {
			return nil
		}
	}
	p.add(operation{kind: o.kind, path: o.path, rows: change})
	return nil
}

// chosen reads a filter that names members by their value, one or several joined by "or".
func chosen(x Expr) ([]Member, bool) {
	switch x := x.(type) {
	case Compare:
		value, ok := x.Value.(string)
		if !ok || x.Op != Eq || x.Path.Leaf().Name != "value" {
			return nil, false
		}
		return []Member{{Value: value}}, true
	case Or:
		var out []Member
		for _, t := range x.Terms {
			m, ok := chosen(t)
			if !ok {
				return nil, false
			}
			out = addMembers(out, m)
		}
		return out, true
	}
	return nil, false
}

// rowFilter holds a filter to what a row of members has: its value and type.
func (p *patchParser) rowFilter(x Expr) *Error {
	check := func(path Path) *Error {
		if s := path.Sub; s == nil || s.Name != "value" && s.Name != "type" {
			return badRequest(InvalidFilter, "A filter here can only look at value and type, not at %s.", path)
		}
		return nil
	}
	switch x := x.(type) {
	case And:
		for _, t := range x.Terms {
			if err := p.rowFilter(t); err != nil {
				return err
			}
		}
	case Or:
		for _, t := range x.Terms {
			if err := p.rowFilter(t); err != nil {
				return err
			}
		}
	case Not:
		return p.rowFilter(x.Expr)
	case Compare:
		return check(x.Path)
	case Present:
		return check(x.Path)
	}
	return nil
}

// note remembers that the message names an attribute.
func (p *patchParser) note(path Path, value any) {
	m := map[string]any(p.patch.sent)
	if path.Extension != nil {
		inner, ok := m[path.Extension.ID].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[path.Extension.ID] = inner
		}
		m = inner
	}
	if path.Sub == nil {
		m[path.Attribute.Name] = value
		return
	}
	inner, ok := m[path.Attribute.Name].(map[string]any)
	if !ok {
		inner = map[string]any{}
	}
	named := map[string]any{path.Sub.Name: true}
	for k, v := range inner { // a copy: the value belongs to the message
		named[k] = v
	}
	m[path.Attribute.Name] = named
}

package scim

import "reflect"

// inOperation says which operation of the message an error is about.
func inOperation(number int, err *Error) *Error {
	return Errorf(err.Status, err.Type, "Operation %d: %s", number, err.Detail)
}

// Apply computes what the resource becomes. It is pure and atomic: current is not touched, and an
// error means that no operation took place. For a resource type with Rows, current holds none of
// them.
func Apply(rt *ResourceType, current Attributes, p *Patch) (Result, error) {
	a := application{rt: rt, current: current, result: Result{Repairs: Repairs{}}}
	for x, n := range p.repairs {
		a.result.Repairs[x] = n
	}
	a.work = clone(map[string]any(current)).(map[string]any)
	delete(a.work, rt.Rows)
	for _, o := range p.operations {
		if err := a.run(o); err != nil {
			return Result{}, inOperation(o.number, err)
		}
	}
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	return a.result, nil
}

type application struct {
	rt      *ResourceType
	current Attributes
	work    map[string]any
	result  Result
}

func (a *application) run(o operation) *Error {
	switch {
	case o.kind == "id":
		if o.value != a.current["id"] {
			return badRequest(Mutability, "id is read-only, and not the one of this resource.")
		}
		a.result.Repairs[SameID]++
		return nil
	case o.rows != nil:
		a.result.Members = addChange(a.result.Members, *o.rows)
		return nil
	case o.path.Attribute == nil:
		return a.removeExtension(o.path.Extension)
	}
	m := a.work
	if x := o.path.Extension; x != nil {
		inner, ok := m[x.ID].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[x.ID] = inner
		}
		m = inner
	}
	switch {
	case o.filter != nil:
		return a.filtered(o, m)
	case o.path.Attribute.MultiValued:
		return a.list(o, m)
	}
	return a.single(o, m)
}

func (a *application) removeExtension(s *Schema) *Error {
	data, _ := a.work[s.ID].(map[string]any)
	kept := map[string]any{}
	for _, x := range s.Attributes {
		switch {
		case x.Mutability == ReadOnly && !empty(data[x.Name]):
			kept[x.Name] = data[x.Name]
		case x.Mutability == Immutable && !empty(data[x.Name]):
			return badRequest(Mutability, "%s:%s may not be removed.", s.ID, x.Name)
		}
	}
	delete(a.work, s.ID)
	if len(kept) > 0 {
		a.work[s.ID] = kept
	}
	return nil
}

// set gives an attribute of m a value, nil for none, unless it is immutable and has another.
func set(a *Attribute, m map[string]any, v any) *Error {
	was := m[a.Name]
	if a.Mutability == Immutable && !empty(was) && !equal(a, was, v) {
		return badRequest(Mutability, "%s has a value, and may not be changed.", a.Name)
	}
	if v == nil {
		delete(m, a.Name)
		return nil
	}
	m[a.Name] = v
	return nil
}

// merge brings the parts of a value into a complex value, clearing those that are nil.
func merge(a *Attribute, m, parts map[string]any) *Error {
	before := clone(m).(map[string]any)
	for _, s := range a.Sub {
		v, ok := parts[s.Name]
		if !ok {
			continue
		}
		if empty(v) {
			if s.Required {
				return badRequest(Mutability, "%s.%s is required and cannot be removed.", a.Name, s.Name)
			}
			v = nil
		}
		if err := set(s, m, clone(v)); err != nil {
			return err
		}
	}
	forgetComputed(a, before, m, parts)
	return nil
}

// forgetComputed drops what was computed from another value: the displayName and $ref of the manager
// before this one.
func forgetComputed(a *Attribute, before, m, parts map[string]any) {
	if s := a.SubAttribute("value"); s == nil || equal(s, before["value"], m["value"]) {
		return
	}
	for _, s := range a.Sub {
		if _, sent := parts[s.Name]; s.Mutability == ReadOnly || s.Name == "$ref" && !sent {
			delete(m, s.Name)
		}
	}
}

func (a *application) single(o operation, m map[string]any) *Error {
	attr := o.path.Attribute
	if attr.Type != TypeComplex || o.kind == "remove" && o.path.Sub == nil {
		return set(attr, m, o.value)
	}
	// RFC 7644 section 3.5.2.3: a replace of a complex attribute replaces the sub-attributes it names.
	parts, _ := o.value.(map[string]any)
	if o.path.Sub != nil {
		parts = map[string]any{o.path.Sub.Name: o.value}
	}
	old, _ := m[attr.Name].(map[string]any)
	if old == nil {
		old = map[string]any{}
	}
	next := clone(old).(map[string]any)
	if err := merge(attr, next, parts); err != nil {
		return err
	}
	if empty(next) {
		return set(attr, m, nil)
	}
	return set(attr, m, next)
}

func (a *application) list(o operation, m map[string]any) *Error {
	attr := o.path.Attribute
	old, _ := m[attr.Name].([]any)
	var next []any
	switch value := clone(o.value); {
	case o.path.Sub != nil:
		// RFC 7644 section 3.5.2.3: without a filter every element is meant.
		if len(old) == 0 && o.kind != "remove" {
			old = []any{map[string]any{}}
		}
		all := make([]int, len(old))
		for i := range old {
			all[i] = i
		}
		return a.elements(o, m, old, all)
	case o.kind == "remove" && o.value != nil:
		for _, x := range old {
			keep := true
			for _, y := range value.([]any) {
				keep = keep && !describes(a.rt, attr, y, x)
			}
			if keep {
				next = append(next, x)
			}
		}
	case o.kind == "add":
		add := value.([]any)
		next = unite(attr, add, clone(old).([]any))
		for _, x := range add {
			if e, ok := x.(map[string]any); ok && e["primary"] == true {
				onlyPrimary(next, identity(attr, x), attr)
			}
		}
	case o.kind == "replace":
		next = value.([]any)
	}
	if len(next) == 0 {
		return set(attr, m, nil)
	}
	return set(attr, m, next)
}

// onlyPrimary takes the mark from every element but one: RFC 7644 section 3.5.2 has the server do so
// when a client sets a new primary.
func onlyPrimary(list []any, key string, a *Attribute) {
	for _, x := range list {
		if m, ok := x.(map[string]any); ok && m["primary"] == true && identity(a, x) != key {
			m["primary"] = false
		}
	}
}

// describes tells whether everything that want says is true of have.
func describes(rt *ResourceType, a *Attribute, want, have any) bool {
	w, ok1 := want.(map[string]any)
	h, ok2 := have.(map[string]any)
	if !ok1 || !ok2 {
		return reflect.DeepEqual(foldValue(rt, a, want), foldValue(rt, a, have))
	}
	for _, s := range a.Sub {
		if v, ok := w[s.Name]; ok && !reflect.DeepEqual(foldValue(rt, s, v), foldValue(rt, s, h[s.Name])) {
			return false
		}
	}
	return len(w) > 0
}

// filtered runs an operation whose path has a filter.
func (a *application) filtered(o operation, m map[string]any) *Error {
	attr := o.path.Attribute
	old, _ := m[attr.Name].([]any)
	var hits []int
	for i, x := range old {
		if matchesElement(o.filter, foldValue(a.rt, attr, x)) {
			hits = append(hits, i)
		}
	}
	if len(hits) > 0 {
		return a.elements(o, m, old, hits)
	}
	if o.kind == "remove" {
		return nil // RFC 7644 section 3.5.2.2: the member that is not there is no error
	}
	if o.seed == nil {
		return badRequest(NoTarget, "Nothing in %s matches the filter of the path.", attr.Name)
	}
	a.result.Repairs[CreateOnMiss]++
	if o.seed["primary"] == true {
		onlyPrimary(old, "", attr)
	}
	old = append(old, clone(o.seed))
	o.kind = "add"
	return a.elements(o, m, old, []int{len(old) - 1})
}

// elements runs an operation on the chosen elements of a list.
func (a *application) elements(o operation, m map[string]any, list []any, chosen []int) *Error {
	attr := o.path.Attribute
	primary := false
	drop := map[int]bool{}
	for _, i := range chosen {
		element, _ := list[i].(map[string]any)
		switch {
		case o.path.Sub != nil:
			if err := merge(attr, element, map[string]any{o.path.Sub.Name: o.value}); err != nil {
				return err
			}
			primary = primary || o.path.Sub.Name == "primary" && o.value == true
		case o.kind == "remove":
			drop[i] = true
		case element == nil:
			list[i] = clone(o.value)
		default:
			parts := o.value.(map[string]any)
			if o.kind == "replace" {
				// RFC 7644 section 3.5.2.3: the matching values are replaced, not merged.
				for _, s := range attr.Sub {
					if _, ok := parts[s.Name]; !ok && s.Mutability != Immutable {
						delete(element, s.Name)
					}
				}
			}
			if err := merge(attr, element, parts); err != nil {
				return err
			}
			primary = primary || parts["primary"] == true
		}
	}
	if primary {
		if len(chosen) > 1 {
			return badRequest(InvalidValue, "%s cannot have more than one primary value.", attr.Name)
		}
		for i, x := range list {
			if e, ok := x.(map[string]any); ok && i != chosen[0] && e["primary"] == true {
				e["primary"] = false
			}
		}
	}
	var next []any
	for i, x := range list {
		if !drop[i] && !empty(x) {
			next = append(next, x)
		}
	}
	if len(next) == 0 {
		return set(attr, m, nil)
	}
	m[attr.Name] = next
	return nil
}

// finish checks what must hold of the resource as a whole.
func (a *application) finish() *Error {
	out := a.rt.withSchemas(a.work)
	if err := required(a.rt.Schema.Attributes, a.current, out, ""); err != nil {
		return err
	}
	for _, x := range a.rt.Extensions {
		was, _ := a.current[x.Schema.ID].(map[string]any)
		is, ok := out[x.Schema.ID].(map[string]any)
		if !ok {
			if x.Required && !empty(was) {
				return badRequest(Mutability, "%s is required and cannot be removed.", x.Schema.ID)
			}
			continue
		}
		if err := required(x.Schema.Attributes, was, is, x.Schema.ID+":"); err != nil {
			return err
		}
	}
	a.result.Attributes = out
	before := clone(map[string]any(a.current)).(map[string]any)
	delete(before, a.rt.Rows)
	a.result.Changed = a.rt.differ(before, out)
	return nil
}

// required checks that nothing required is missing and no list has two primaries. What was missing
// before, under an older schema, is not this request's fault.
func required(attributes []*Attribute, was, is map[string]any, prefix string) *Error {
	for _, a := range attributes {
		v := is[a.Name]
		if empty(v) {
			delete(is, a.Name)
		}
		if a.Required && a.Returned != ReturnedNever && a.Mutability != ReadOnly && missing(v) {
			if !missing(was[a.Name]) {
				return badRequest(Mutability, "%s%s is required and cannot be removed.", prefix, a.Name)
			}
			if len(was) == 0 {
				return badRequest(InvalidValue, "%s%s is required.", prefix, a.Name)
			}
		}
		if a.Type != TypeComplex || empty(v) {
			continue
		}
		list := each(v, nil)
		if primaries(list) > 1 {
			return badRequest(InvalidValue, "%s%s has more than one primary value.", prefix, a.Name)
		}
		for _, x := range list {
			for _, s := range a.Sub {
				if m := x.(map[string]any); s.Required && s.Returned != ReturnedNever && s.Mutability != ReadOnly && missing(m[s.Name]) {
					return badRequest(InvalidValue, "%s%s.%s is required.", prefix, a.Name, s.Name)
				}
			}
		}
	}
	return nil
}

// addChange appends a step, joining it with what went before where that leaves the same members in
// the end.
func addChange(list []MemberChange, c MemberChange) []MemberChange {
	if c.Op == MembersReplace {
		return []MemberChange{c}
	}
	if n := len(list); n > 0 && list[n-1].Op == c.Op && c.Op != MembersRemoveWhere {
		last := list[n-1]
		last.Members = addMembers(append([]Member(nil), last.Members...), c.Members)
		list[n-1] = last
		return list
	}
	return append(list, c)
}

func addMembers(list, more []Member) []Member {
	seen := make(map[string]bool, len(list)+len(more))
	for _, m := range list {
		seen[m.Value] = true
	}
	for _, m := range more {
		if !seen[m.Value] {
			seen[m.Value] = true
			list = append(list, m)
		}
	}
	return list
}

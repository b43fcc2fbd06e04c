package scim

import (
	"cmp"
	"strings"
)

// matches evaluates an expression over a Folded resource. It is the reference for what a store's
// SQL must answer.
func matches(x Expr, folded Attributes) bool {
	return eval(x, func(p Path) []any {
		var m map[string]any = folded
		if p.Extension != nil {
			m, _ = m[p.Extension.ID].(map[string]any)
		}
		return each(m[p.Attribute.Name], nil)
	})
}

// matchesElement evaluates an expression that stood inside the brackets of a value path over one
// folded element.
func matchesElement(x Expr, element any) bool {
	return eval(x, func(Path) []any { return []any{element} })
}

// eval walks an expression. values gives the values of a path's attribute.
func eval(x Expr, values func(Path) []any) bool {
	switch x := x.(type) {
	case And:
		for _, t := range x.Terms {
			if !eval(t, values) {
				return false
			}
		}
		return true
	case Or:
		for _, t := range x.Terms {
			if eval(t, values) {
				return true
			}
		}
		return false
	case Not:
		return !eval(x.Expr, values)
	case ValuePath:
		for _, v := range values(x.Path) {
			if matchesElement(x.Expr, v) {
				return true
			}
		}
		return false
	case Present:
		return len(leaves(x.Path, values(x.Path))) > 0
	case Compare:
		for _, v := range leaves(x.Path, values(x.Path)) {
			if compare(v, x.Op, x.Value) {
				return true
			}
		}
		return false
	}
	return false // Never
}

// leaves goes from the values of a path's attribute to those of its sub-attribute.
func leaves(p Path, values []any) []any {
	if p.Sub == nil {
		return values
	}
	var out []any
	for _, v := range values {
		if m, ok := v.(map[string]any); ok {
			out = each(m[p.Sub.Name], out)
		}
	}
	return out
}

// each appends the elements of a list, or the single value, unless it is nil.
func each(v any, out []any) []any {
	switch v := v.(type) {
	case nil:
		return out
	case []any:
		return append(out, v...)
	}
	return append(out, v)
}

func compare(have any, op Op, want any) bool {
	switch want := want.(type) {
	case string:
		have, ok := have.(string)
		if !ok {
			return false
		}
		switch op {
		case Co:
			return strings.Contains(have, want)
		case Sw:
			return strings.HasPrefix(have, want)
		case Ew:
			return strings.HasSuffix(have, want)
		}
		return ordered(have, op, want)
	case int64:
		have, ok := have.(int64)
		return ok && ordered(have, op, want)
	case float64:
		have, ok := decimal(have)
		return ok && ordered(have, op, want)
	case bool:
		return have == any(want)
	}
	return false
}

func ordered[T cmp.Ordered](have T, op Op, want T) bool {
	c := cmp.Compare(have, want)
	switch op {
	case Eq:
		return c == 0
	case Gt:
		return c > 0
	case Ge:
		return c >= 0
	case Lt:
		return c < 0
	case Le:
		return c <= 0
	}
	return false
}

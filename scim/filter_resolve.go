package scim

import (
	"math"
	"net/url"
	"strings"

	ast "github.com/scim2/filter-parser/v2"
)

// ParseFilter reads and checks a filter. A blank filter gives nil, nil. Every error is an *Error
// with status 400 and invalidFilter that says where and what.
func ParseFilter(rt *ResourceType, text string, d *Dialect) (*Filter, error) {
	return parseFilter(rt, text, d, false)
}

// ParseRootFilter is ParseFilter for a query over several resource types, where an attribute that
// this one lacks has no value instead of being an error (RFC 7644 section 3.4.2.1).
func ParseRootFilter(rt *ResourceType, text string, d *Dialect) (*Filter, error) {
	return parseFilter(rt, text, d, true)
}

func parseFilter(rt *ResourceType, text string, d *Dialect, root bool) (*Filter, error) {
	if strings.Trim(text, " \t\r\n") == "" {
		return nil, nil
	}
	x, rewritten, err := parseExpression(text)
	if err != nil {
		return nil, badRequest(InvalidFilter, "The filter cannot be read: %s.", err)
	}
	r := resolver{rt: rt, dialect: d, root: root, repairs: Repairs{}}
	if rewritten > 0 {
		if !d.Allows(SubAfterFilter) {
			return nil, badRequest(InvalidFilter, "A filter cannot go on with a sub-attribute after its bracket; write it inside the brackets.")
		}
		r.repairs[SubAfterFilter] += rewritten
	}
	expr, rerr := r.resolve(x, nil)
	if rerr != nil {
		return nil, rerr
	}
	return &Filter{Expr: expr, Repairs: r.repairs, rt: rt, syntax: x}, nil
}

// resolver turns syntax into expressions over a resource type's attributes.
type resolver struct {
	rt      *ResourceType
	dialect *Dialect
	root    bool
	repairs Repairs
}

// resolve handles one node. element is the attribute whose elements a value path looks at, nil
// outside of brackets.
func (r *resolver) resolve(x ast.Expression, element *Path) (Expr, *Error) {
	switch x := x.(type) {
	case *ast.LogicalExpression:
		left, err := r.resolve(x.Left, element)
		if err != nil {
			return nil, err
		}
		right, err := r.resolve(x.Right, element)
		if err != nil {
			return nil, err
		}
		if x.Operator == ast.OR {
			return or(left, right), nil
		}
		return and(left, right), nil
	case *ast.NotExpression:
		inner, err := r.resolve(x.Expression, element)
		if err != nil {
			return nil, err
		}
		return Not{inner}, nil
	case *ast.ValuePath:
		return r.valuePath(x)
	default:
		return r.compare(x.(*ast.AttributeExpression), element)
	}
}

// and and or keep chains flat, so that 200 terms are not 200 levels.
func and(a, b Expr) Expr {
	var terms []Expr
	for _, x := range []Expr{a, b} {
		if c, ok := x.(And); ok {
			terms = append(terms, c.Terms...)
		} else {
			terms = append(terms, x)
		}
	}
	return And{terms}
}

func or(a, b Expr) Expr {
	var terms []Expr
	for _, x := range []Expr{a, b} {
		if c, ok := x.(Or); ok {
			terms = append(terms, c.Terms...)
		} else {
			terms = append(terms, x)
		}
	}
	return Or{terms}
}

func (r *resolver) valuePath(x *ast.ValuePath) (Expr, *Error) {
	p, ok := r.rt.Resolve(x.AttributePath.String())
	if !ok {
		if r.root {
			return Never{}, nil
		}
		return nil, r.unknown(x.AttributePath.String())
	}
	if p.Sub != nil || p.Attribute == nil || p.Attribute.Type != TypeComplex && !p.Attribute.MultiValued {
		return nil, badRequest(InvalidFilter, "%s cannot be followed by a filter in brackets.", p)
	}
	if err := r.readable(p); err != nil {
		return nil, err
	}
	inner, err := r.resolve(x.ValueFilter, &p)
	if err != nil {
		return nil, err
	}
	if !p.Attribute.MultiValued {
		return and(Present{p}, inner), nil
	}
	return ValuePath{p, inner}, nil
}

func (r *resolver) unknown(path string) *Error {
	return badRequest(InvalidFilter, "%s has no attribute %q.", r.rt.Name, clip(path))
}

// readable refuses a path to what is never returned: an answer that depends on it tells one bit of
// it per request (RFC 7644 section 7.5).
func (r *resolver) readable(p Path) *Error {
	if p.Attribute.Returned == ReturnedNever || p.Sub != nil && p.Sub.Returned == ReturnedNever {
		return badRequest(InvalidFilter, "%s cannot be used in a filter.", p)
	}
	return nil
}

// path resolves the attribute of a comparison. Inside of brackets it is a sub-attribute, or "value"
// where the elements are simple values.
func (r *resolver) path(a ast.AttributePath, element *Path) (Path, bool) {
	if element == nil {
		return r.rt.Resolve(a.String())
	}
	if a.URIPrefix != nil || a.SubAttribute != nil {
		return Path{}, false
	}
	p := *element
	if p.Attribute.Type != TypeComplex {
		return p, sameName(a.AttributeName, "value")
	}
	p.Sub = p.Attribute.SubAttribute(a.AttributeName)
	return p, p.Sub != nil
}

func (r *resolver) compare(x *ast.AttributeExpression, element *Path) (Expr, *Error) {
	p, ok := r.path(x.AttributePath, element)
	if !ok {
		name := x.AttributePath.String()
		if element != nil {
			return nil, badRequest(InvalidFilter, "%s has no sub-attribute %q.", element, clip(name))
		}
		if !r.root {
			return nil, r.unknown(name)
		}
		// No value: equal to null and different from everything else.
		if (x.Operator == ast.EQ) == (x.CompareValue == nil) && x.Operator != ast.PR && (x.Operator == ast.EQ || x.Operator == ast.NE) {
			return Not{Never{}}, nil
		}
		return Never{}, nil
	}
	if p.Attribute == nil {
		return nil, badRequest(InvalidFilter, "%q names a schema, not an attribute.", p)
	}
	if err := r.readable(p); err != nil {
		return nil, err
	}
	if x.Operator == ast.PR {
		return Present{p}, nil
	}
	if x.CompareValue == nil {
		switch x.Operator {
		case ast.EQ:
			return Not{Present{p}}, nil
		case ast.NE:
			return Present{p}, nil
		}
		return nil, badRequest(InvalidFilter, "null can be compared with eq and ne only.")
	}
	if p.Leaf().Type == TypeComplex {
		value := p.Attribute.SubAttribute("value")
		if value == nil {
			return nil, badRequest(InvalidFilter, "%s is complex; name the sub-attribute to compare.", p)
		}
		p.Sub = value
		if err := r.readable(p); err != nil {
			return nil, err
		}
	}
	if x.Operator == ast.NE {
		e, err := r.typed(p, Eq, x.CompareValue)
		return Not{e}, err
	}
	return r.typed(p, Op(x.Operator), x.CompareValue)
}

// typed checks the operator and the literal against the type of the leaf.
func (r *resolver) typed(p Path, op Op, v any) (Expr, *Error) {
	leaf := p.Leaf()
	wrong := func() *Error {
		return badRequest(InvalidFilter, "%s is a %s and cannot be compared with %s.", p, leaf.Type, printLiteral(v))
	}
	allowed := func(ops ...Op) *Error {
		for _, o := range ops {
			if o == op {
				return nil
			}
		}
		return badRequest(InvalidFilter, "%s is a %s and cannot be compared with the operator %s.", p, leaf.Type, op)
	}
	switch leaf.Type {
	case TypeBoolean:
		if err := allowed(Eq); err != nil {
			return nil, err
		}
		b, ok := v.(bool)
		if s, isText := v.(string); isText && r.dialect.Allows(BooleanStrings) {
			if b, ok = booleanString(s); ok {
				r.repairs[BooleanStrings]++
			}
		}
		if !ok {
			return nil, wrong()
		}
		return Compare{p, op, b}, nil
	case TypeInteger:
		if err := allowed(Eq, Gt, Ge, Lt, Le); err != nil {
			return nil, err
		}
		if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
			v = int64(f)
		}
		if _, ok := v.(int64); !ok {
			return nil, wrong()
		}
		return Compare{p, op, v}, nil
	case TypeDecimal:
		if err := allowed(Eq, Gt, Ge, Lt, Le); err != nil {
			return nil, err
		}
		f, ok := decimal(v)
		if !ok {
			return nil, wrong()
		}
		return Compare{p, op, f}, nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, wrong()
	}
	switch leaf.Type {
	case TypeDateTime:
		if err := allowed(Eq, Gt, Ge, Lt, Le); err != nil {
			return nil, err
		}
		micros, ok := parseDateTime(s)
		if !ok {
			return nil, badRequest(InvalidFilter, "%s is a dateTime and %q is not, such as 2026-01-31T09:30:00Z.", p, clip(s))
		}
		return Compare{p, op, micros}, nil
	case TypeBinary:
		if err := allowed(Eq); err != nil {
			return nil, err
		}
	}
	e := compareText(p, op, foldText(r.rt, leaf, s))
	if once, err := url.PathUnescape(s); op == Eq && err == nil && once != s && r.dialect.Allows(TwiceEncoded) {
		r.repairs[TwiceEncoded]++
		return or(e, compareText(p, op, foldText(r.rt, leaf, once))), nil
	}
	return e, nil
}

// compareText keeps empty strings and NUL away from the back ends: a Folded resource holds neither,
// and PostgreSQL takes no NUL in a parameter.
func compareText(p Path, op Op, s string) Expr {
	if before, _, nul := strings.Cut(s, "\x00"); nul {
		// Text without NUL is never equal to s, and sorts after s exactly when it sorts after what
		// precedes the NUL.
		switch op {
		case Gt, Ge:
			return compareText(p, Gt, before)
		case Lt, Le:
			return compareText(p, Le, before)
		}
		return Never{}
	}
	if s != "" {
		return Compare{p, op, s}
	}
	// An empty string is no value: nothing equals it but what is absent, everything contains it and
	// sorts after it.
	switch op {
	case Eq:
		return Not{Present{p}}
	case Lt, Le:
		return Never{}
	}
	return Present{p}
}

func booleanString(s string) (value, ok bool) {
	switch lower(s) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// decimal gives a number as float64 if it is one exactly.
func decimal(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		f := float64(v)
		return f, f < 1<<63 && int64(f) == v
	}
	return 0, false
}

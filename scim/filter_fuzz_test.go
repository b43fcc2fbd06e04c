package scim

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	ast "github.com/scim2/filter-parser/v2"
)

// limited tells that a text was refused for its size, not for its form. A printed expression may be
// a little longer than what was read, and is not held against the printer.
func limited(err error) bool {
	var e *syntaxError
	return errors.As(err, &e) && (strings.HasPrefix(e.why, "more than") || strings.HasPrefix(e.why, "longer than"))
}

// Whatever is accepted prints as something that parses to the same, and where the reference parser
// accepts the text too, both read the same.
func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{
		`userName eq "bjensen"`, `a pr and not (b co "x\"y" or c gt 5)`, `emails[type eq "work" and (primary eq true or value pr)]`,
		`emails[type eq "work"].value eq "x"`, `urn:ietf:params:scim:schemas:core:2.0:User:name.familyName sw "O'M"`, `a eq null or b ne -1.5e3`,
		`a eq 1 and (b eq 2 or c eq 3) and (d eq 4 and e eq 5)`, "\ta  eq\t\"\u00e9\\u00e9\" ", `not(a pr)`, strings.Repeat("(", 40), `a[b pr`, `a.b.c pr`,
	} {
		f.Add(s)
	}
	user, err := DecodeJSON([]byte(ann), DefaultLimits)
	if err != nil {
		f.Fatal(err)
	}
	rt := userType()
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []*Dialect{RFC, Entra} {
			filter, err := ParseFilter(rt, text, d)
			if err != nil && answer(err) != "400 invalidFilter" {
				t.Fatalf("refused with %v", err)
			}
			if err == nil && filter != nil {
				again, err := ParseFilter(rt, filter.String(), d)
				if err != nil && len(filter.String()) <= len(text) {
					t.Fatalf("printed %s: %v", filter, err)
				}
				if err == nil && again.Match(user) != filter.Match(user) {
					t.Fatalf("printed %s matches otherwise", filter)
				}
			}
		}
		x, _, err := parseExpression(text)
		if err != nil {
			return
		}
		printed := printExpression(x)
		again, rewritten, err := parseExpression(printed)
		if limited(err) {
			return
		}
		if err != nil || rewritten != 0 {
			t.Fatalf("printed %s: %v", printed, err)
		}
		if !reflect.DeepEqual(again, x) {
			t.Fatalf("printed %s reads otherwise", printed)
		}
		reference, err := ast.ParseFilter([]byte(text))
		if err != nil {
			return
		}
		if theirs, ok := decodedLiterals(reference); ok && !reflect.DeepEqual(flat(theirs), flat(x)) {
			t.Fatalf("%s\nours   %s\ntheirs %s", text, printed, printExpression(theirs))
		}
	})
}

// decodedLiterals brings the reference parser's literals to our form: it leaves strings escaped and
// gives int. ok is false where it lost something (large numbers wrap round, and beyond 2^53 it counts in floats) or took what
// we decode differently.
func decodedLiterals(x ast.Expression) (out ast.Expression, ok bool) {
	switch x := x.(type) {
	case *ast.LogicalExpression:
		l, ok1 := decodedLiterals(x.Left)
		r, ok2 := decodedLiterals(x.Right)
		return &ast.LogicalExpression{Left: l, Right: r, Operator: x.Operator}, ok1 && ok2
	case *ast.NotExpression:
		inner, ok := decodedLiterals(x.Expression)
		return &ast.NotExpression{Expression: inner}, ok
	case *ast.ValuePath:
		inner, ok := decodedLiterals(x.ValueFilter)
		return &ast.ValuePath{AttributePath: x.AttributePath, ValueFilter: inner}, ok
	case *ast.AttributeExpression:
		c := *x
		c.Operator = ast.CompareOperator(lower(string(c.Operator)))
		switch v := x.CompareValue.(type) {
		case string:
			var s string
			if json.Unmarshal([]byte(`"`+v+`"`), &s) != nil {
				return nil, false
			}
			c.CompareValue = s
		case int:
			if v > 1<<53 || v < -1<<53 {
				return nil, false
			}
			c.CompareValue = int64(v)
		}
		return &c, true
	}
	return nil, false
}

// flat makes chains of one operator comparable, whichever way they lean.
func flat(x ast.Expression) any {
	switch x := x.(type) {
	case *ast.LogicalExpression:
		var terms []any
		var walk func(ast.Expression)
		walk = func(y ast.Expression) {
			if l, ok := y.(*ast.LogicalExpression); ok && l.Operator == x.Operator {
				walk(l.Left)
				walk(l.Right)
				return
			}
			terms = append(terms, flat(y))
		}
		walk(x)
		return []any{x.Operator, terms}
	case *ast.NotExpression:
		return []any{"not", flat(x.Expression)}
	case *ast.ValuePath:
		return []any{x.AttributePath.String(), flat(x.ValueFilter)}
	case *ast.AttributeExpression:
		return []any{x.AttributePath.String(), string(x.Operator), x.CompareValue}
	}
	return nil
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{
		`userName`, `name.familyName`, `emails[type eq "work"].value`, `members[value eq "u1"]`, `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User`,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value`, `addresses[type eq "work" and (primary eq true)].country`, `emails[`, `/members`, `emails[0]`, "[", "a]",
	} {
		f.Add(s)
	}
	rt := userType()
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePath(text)
		if err == nil {
			printed := p.AttributePath.String()
			if p.ValueExpression != nil {
				printed += "[" + printExpression(p.ValueExpression) + "]"
			}
			if p.SubAttribute != nil {
				printed += "." + *p.SubAttribute
			}
			again, err := parsePath(printed)
			if limited(err) {
				return
			}
			if err != nil || !reflect.DeepEqual(again, p) {
				t.Fatalf("printed %s: %v", printed, err)
			}
			if reference, err := ast.ParsePath([]byte(text)); err == nil && reference.ValueExpression != nil {
				theirs, ok := decodedLiterals(reference.ValueExpression)
				if ok && (p.ValueExpression == nil || !reflect.DeepEqual(flat(theirs), flat(p.ValueExpression)) || reference.AttributePath.String() != p.AttributePath.String() || reference.SubAttributeName() != p.SubAttributeName()) {
					t.Fatalf("%s\nours   %s\ntheirs %s", text, printed, reference)
				}
			}
		}
		if resolved, ok := rt.Resolve(text); ok {
			again, ok := rt.Resolve(resolved.String())
			if !ok || again != resolved {
				t.Fatalf("%s resolves to %s, which resolves to %s", text, resolved, again)
			}
		}
	})
}

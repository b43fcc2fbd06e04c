package scim

import (
	"bytes"
	"testing"
)

// Whether a change changed anything is found out without writing out what is the same on both sides. The answer is that of the
// canonical form, also for values that are written in several ways or say nothing.
func TestDiffer_AsTheCanonicalForm(t *testing.T) {
	t.Parallel()
	enterprise := EnterpriseUser()
	rt := UserType(Extension{Schema: enterprise})
	mail := func(parts ...any) any {
		m := map[string]any{}
		for i := 0; i < len(parts); i += 2 {
			m[parts[i].(string)] = parts[i+1]
		}
		return m
	}
	values := map[string][]any{
		"title":  {nil, "", "Engineer", "engineer"},
		"active": {nil, true, false},
		"name":   {nil, map[string]any{}, map[string]any{"givenName": nil}, map[string]any{"givenName": "Ada"}, map[string]any{"givenName": "Ada", "familyName": []any{}}, map[string]any{"familyName": "Ada"}},
		"emails": {
			nil,
			[]any{},
			[]any{nil},
			[]any{mail("value", "a@x.org")},
			[]any{nil, mail("value", "a@x.org", "type", nil)},
			[]any{mail("value", "a@x.org"), mail("value", "b@x.org")},
			[]any{mail("value", "b@x.org"), mail("value", "a@x.org")},
			[]any{mail("value", "a@x.org", "primary", true)},
			[]any{mail("value", "a@x.org", "primary", false)},
		},
		"schemas":     {nil, []any{rt.Schema.ID}, []any{enterprise.ID}},
		enterprise.ID: {nil, map[string]any{}, map[string]any{"department": nil}, map[string]any{"department": "D"}, map[string]any{"department": "D", "costCenter": "C"}},
	}
	given := func(name string, v any, there bool) Attributes {
		a := Attributes{"id": "1", "userName": "ada", "nickName": "A", enterprise.ID: map[string]any{"division": "X"}}
		if there {
			a[name] = v
		} else {
			delete(a, name)
		}
		return a
	}
	compared, different := 0, 0
	for name, list := range values {
		var all []Attributes
		for _, v := range list {
			all = append(all, given(name, v, true))
		}
		all = append(all, given(name, nil, false))
		for _, a := range all {
			for _, b := range all {
				want := !bytes.Equal(rt.EncodeJSON(rt.withSchemas(a)), rt.EncodeJSON(rt.withSchemas(b)))
				if got := rt.differ(a, b); got != want {
					t.Errorf("%v and %v: got %t, want %t", a, b, got, want)
				}
				if Same(map[string]any(a), map[string]any(b)) && want && name != "schemas" {
					t.Errorf("%v and %v are said to be the same", a, b)
				}
				compared++
				if want {
					different++
				}
			}
		}
	}
	if different == 0 || different == compared {
		t.Errorf("%d of %d are different: nothing is compared", different, compared)
	}
	for _, c := range []struct {
		a, b any
		same bool
	}{
		{"1", int64(1), false},
		{int64(1), int64(1), true},
		{int64(1), 1.0, false},
		{nil, nil, true},
		{nil, "", false},
		{true, "true", false},
		{[]any{"a"}, "a", false},
		{"a", []any{"a"}, false},
		{map[string]any{"a": nil}, map[string]any{"b": nil}, false},
		{nil, map[string]any{}, false},
	} {
		if Same(c.a, c.b) != c.same {
			t.Errorf("%#v and %#v: got %t", c.a, c.b, !c.same)
		}
	}
}

package scim

import (
	"reflect"
	"testing"
)

// A refused PATCH changes nothing, an accepted one leaves a resource that POST would take too, and
// says truly whether it changed it.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{
		`{"op":"Replace","path":"active","value":"False"}`, `{"op":"Add","path":"emails[type eq \"work\"].value","value":"n@x"}`,
		`{"op":"Add","path":"addresses[type eq \"work\"].country","value":"DE"}`, `{"op":"replace","value":{"displayName":"B","name.givenName":"G"}}`,
		`{"op":"remove","path":"emails[type eq \"home\"]"}`, `{"op":"Replace","path":"` + urnENT + `:manager","value":""}`,
		`{"op":"replace","path":"emails","value":[{"value":"a","primary":true},{"value":"b"}]}`, `{"op":"add","path":"name","value":{"givenName":null}}`,
		`{"op":"remove","path":"` + urnENT + `"}`, `{"op":"remove","path":"emails","value":[{"value":"w@x"}]}`, `{"op":"replace","value":{"id":"u1","active":false}}`,
		`{"op":"add","path":"title","value":"x"},{"op":"remove","path":"userName"}`, `{"op":"replace","path":"` + urnOwn + `:desk","value":{"number":5}}`,
	} {
		f.Add([]byte(operations(s)))
	}
	rt := userType()
	current, err := DecodeJSON([]byte(patched()), DefaultLimits)
	if err != nil {
		f.Fatal(err)
	}
	pristine := clone(map[string]any(current)).(map[string]any)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range Dialects {
			p, err := ParsePatch(rt, body, d)
			if err != nil {
				if e := AsError(err); e.Status != 400 && e.Status != 413 {
					t.Fatalf("%s: refused with %v", d.Name, err)
				}
				continue
			}
			res, err := Apply(rt, current, p)
			if !reflect.DeepEqual(map[string]any(current), pristine) {
				t.Fatalf("%s: changed its argument", d.Name)
			}
			if err != nil {
				if e := AsError(err); e.Status != 400 {
					t.Fatalf("%s: refused with %v", d.Name, err)
				}
				continue
			}
			out := rt.EncodeJSON(res.Attributes)
			if res.Changed == (string(out) == patched()) {
				t.Fatalf("%s: Changed is %v for %s", d.Name, res.Changed, out)
			}
			raw, err := DecodeJSON(out, DefaultLimits)
			if err != nil {
				t.Fatalf("%s: left %s: %v", d.Name, out, err)
			}
			if _, err := rt.Create(raw, RFC); err != nil {
				t.Fatalf("%s: left %s: %v", d.Name, out, err)
			}
		}
	})
}

func FuzzPatchGroup(f *testing.F) {
	for _, s := range []string{
		`{"op":"Add","path":"members","value":[{"$ref":null,"value":"u1"}]}`, `{"op":"Remove","path":"members","value":[{"value":"u1"}]}`,
		`{"op":"remove","path":"members[value eq \"u1\" or value eq \"u2\"]"}`, `{"op":"replace","path":"members","value":[]}`,
		`{"op":"remove","path":"members[type eq \"Group\" and not (value eq \"x\")]"}`, `{"op":"replace","value":{"id":"g1","displayName":"N","members":null}}`,
	} {
		f.Add([]byte(operations(s)))
	}
	rt := GroupType()
	current := Attributes{"id": "g1", "displayName": "G"}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range Dialects {
			p, err := ParsePatch(rt, body, d)
			if err != nil {
				continue
			}
			res, err := Apply(rt, current, p)
			if err != nil {
				continue
			}
			if res.Attributes["members"] != nil {
				t.Fatalf("%s: members in the attributes", d.Name)
			}
			for i, c := range res.Members {
				seen := map[string]bool{}
				for _, m := range c.Members {
					if m.Value == "" || seen[m.Value] {
						t.Fatalf("%s: %+v", d.Name, c)
					}
					seen[m.Value] = true
				}
				if c.Op == MembersReplace && i > 0 || c.Op == MembersRemoveWhere && c.Where == nil || (c.Op == MembersAdd || c.Op == MembersRemove) && len(c.Members) == 0 {
					t.Fatalf("%s: step %d is %+v", d.Name, i, c)
				}
			}
		}
	})
}

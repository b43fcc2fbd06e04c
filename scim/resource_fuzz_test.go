package scim

import (
	"encoding/json"
	"reflect"
	"testing"
)

// Whatever is accepted is JSON to the standard library too, with the same names and texts, and a
// resource made of it has one canonical form.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{
		ann, patched(), `{}`, `{"a":[1,-0,1.5,1e2,null,true,"x\u00e9\ud83d\ude00\ud800"]}`, `{"a":1,"A":2}`, `{"a":1e999}`, `[]`, `{"a":{"b":[[[[]]]]}}`, "{\"\u017fchemas\":1}",
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"a","emails":[{"value":"x","primary":"True"},{"value":"X"}],"active":"False"}`,
	} {
		f.Add([]byte(s))
	}
	rt := userType()
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := DecodeJSON(data, DefaultLimits)
		if err != nil {
			if e := AsError(err); e.Status != 400 && e.Status != 413 {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		var reference map[string]any
		if err := json.Unmarshal(data, &reference); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		ours, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var again map[string]any
		if err := json.Unmarshal(ours, &again); err != nil || !reflect.DeepEqual(again, reference) {
			t.Fatalf("read as %s: %v", ours, err)
		}
		for _, d := range Dialects {
			res, err := rt.Create(a, d)
			if err != nil {
				continue
			}
			once := rt.EncodeJSON(res.Attributes)
			back, err := DecodeJSON(once, DefaultLimits)
			if err != nil {
				t.Fatalf("%s: made %s: %v", d.Name, once, err)
			}
			same, err := rt.Replace(res.Attributes, back, RFC)
			if err != nil || same.Changed {
				t.Fatalf("%s: put back %s, got %s, %v", d.Name, once, rt.EncodeJSON(same.Attributes), err)
			}
			Folded(rt, res.Attributes)
		}
	})
}

package scim

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A file of an operator never stops the program, and what is read of it reads again as the same.
func FuzzLoadExtension(f *testing.F) {
	f.Add(string(testExtension().Definition()))
	f.Add(string(EnterpriseUser().Definition()))
	f.Add(`{"id":"urn:example:x","attributes":[{"name":"a","type":"complex","multiValued":true,"subAttributes":[{"name":"$ref","type":"reference","referenceTypes":["User"]}]}]}`)
	f.Add(`{"id":"urn:example:x","attributes":[{"name":"a"},{"name":"","type":"string"},{"name":"a b","type":"string"}]}`)
	f.Add(`{"id":"urn:example:x","attributes":[{"name":"a","type":"string","canonicalValues":["x","x",null],"caseExact":null}]}`)
	f.Add(`{"ID":"urn:example:x","Attributes":[{"NAME":"a","TYPE":"string"}],"attributes":{}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := LoadExtension([]byte(text))
		if err != nil {
			return
		}
		again, err := LoadExtension(s.Definition())
		if err != nil {
			t.Fatalf("%s: %v", s.Definition(), err)
		}
		if diff := cmp.Diff(again, s); diff != "" {
			t.Fatalf("read again: %s", diff)
		}
		rt := UserType(Extension{Schema: s})
		if !json.Valid(s.JSON("https://x")) || !json.Valid(rt.JSON("https://x")) {
			t.Fatalf("no JSON: %s", s.JSON("https://x"))
		}
	})
}

package decision

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse holds counting members to what reading them one by one finds: an object in which a name stands twice is refused, and nothing
// else is for it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"subject":{"type":"user","id":"a"}}`, `{"a":1,"a":2}`, `{"a":[{"b":{},"b":{}}]}`, `{"i":1,"\u0069":2}`, `{"a":":\":\\","b":"\\"}`,
		`{"":{"":{"":":"}}}`, `{"a":{"a":{"a":1}}}`, `{"a":[1,2,{"x":null}],"b":1e99999}`, `[]`, `{}{}`, `{"A":1,"a":2}`, strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := parse(raw)
		want := utf8.Valid(raw) && json.Valid(raw) && bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{"))
		if want {
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			twice, deep := walk(t, d, 0)
			want = !twice && !deep
		}
		if (err == nil) != want {
			t.Errorf("%q: got %v, want it read: %v", raw, err, want)
		}
	})
}

// walk reads one value of valid JSON word by word.
func walk(t *testing.T, d *json.Decoder, depth int) (twice, deep bool) {
	next := func() json.Token {
		word, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		return word
	}
	deep = depth > maxDepth
	opens, ok := next().(json.Delim)
	if !ok {
		return false, deep
	}
	seen := map[json.Token]bool{}
	for d.More() {
		if opens == '{' {
			name := next()
			twice = twice || seen[name]
			seen[name] = true
		}
		again, below := walk(t, d, depth+1)
		twice, deep = twice || again, deep || below
	}
	next()
	return twice, deep
}

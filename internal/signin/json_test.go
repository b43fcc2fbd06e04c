package signin

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseObject(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{
		`{}`: true, `{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}`: true, " {\"a\":null}\n": true,
		`{"a":1,"a":1}`: false, `{"b":{"a":1,"a":2}}`: false, `[{"a":1}]`: false, `{"c":[{"a":1,"a":2}]}`: false,
		`{"a":1,"\u0061":2}`: false, `{"a":1}{"a":2}`: false, `{"a":1}x`: false, `{"a":1,}`: false, `{"a"}`: false, ``: false,
		`null`: false, `"a"`: false, `{"a":`: false, `{"a":[1}`: false,
		`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`: false,
	} {
		if _, err := parseObject([]byte(in)); (err == nil) != ok {
			t.Errorf("%.60s: got %v", in, err)
		}
	}
}

// What parseObject takes, every other reader takes too, and sees the same members.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":{"b":[1,"x",null,true]}}`, `{"a":1,"a":2}`, `{"a":1}{"b":2}`, `{"\ud800":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := parseObject(raw)
		if err != nil {
			return
		}
		var other map[string]any
		if err := json.Unmarshal(raw, &other); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if len(o) != len(other) {
			t.Fatalf("%d members here, %d there", len(o), len(other))
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	f.Add("state=a&code=b")
	f.Add("state=a&error=access_denied&iss=https%3A%2F%2Fidp")
	f.Add("state=a&state=b")
	f.Fuzz(func(t *testing.T, query string) {
		a, err := readAnswer(query)
		if err == nil && (a.state == "" || strings.ContainsAny(a.failure, "<>&\r\n")) {
			t.Fatalf("an answer of %+v", a)
		}
	})
}

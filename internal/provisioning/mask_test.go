package provisioning

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A log that holds passwords is a list of passwords.
func TestMask_KeepsNothingSecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		same bool // what is left may be sent again
	}{
		"password":                {`{"userName":"a","password":"hunter2"}`, true},
		"any case":                {`{"PassWord":"hunter2"}`, true},
		"escaped name":            {`{"pass\u0077ord":"hunter2"}`, true},
		"deep":                    {`{"a":[{"b":{"clientSecret":{"value":["hunter2"]}}}]}`, false},
		"patch by path":           {`{"Operations":[{"op":"replace","value":"hunter2","path":"password"}]}`, true},
		"patch by path with urn":  {`{"Operations":[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:password","value":"hunter2"}]}`, true},
		"patch without path":      {`{"Operations":[{"op":"replace","value":{"password":"hunter2"}}]}`, true},
		"filter in a path":        {`{"Operations":[{"op":"remove","path":"a[token eq \"hunter2\"]"}]}`, false},
		"twice":                   {`{"password":"hunter2","password":"hunter2"}`, true},
		"broken":                  {`{"password":"hunter2"`, false},
		"broken with escapes":     {`{"pass\u0077ord":"hunter2"`, false},
		"not an object":           {`[{"apiToken":"hunter2"}]`, false},
		"a number":                {`{"userName":"hunter-two","passwordAge":42.5}`, false},
		"never returned":          {`{"urn:example:badge:1.0:User":{"PIN":"hunter2","shipping":"kept"}}`, true},
		"never, by path":          {`{"Operations":[{"op":"add","path":"urn:example:badge:1.0:User:desk.pin","value":"hunter2"}]}`, true},
		"never, by its filter":    {`{"Operations":[{"op":"remove","path":"urn:example:badge:1.0:User:keys[pin eq \"hunter2\"]"}]}`, false},
		"never, by a dotted name": {`{"Operations":[{"op":"add","value":{"urn:example:badge:1.0:User:desk.pin":"hunter2"}}]}`, true},
		"never, as a whole":       {`{"vault":{"code":["hunter2"]}}`, true},
		"never, in a part":        {`{"Operations":[{"op":"add","path":"vault.code","value":"hunter2"}]}`, false},
		"a bulk operation's data": {`{"Operations":[{"method":"POST","data":{"password":"hunter2"}}]}`, true},
	} {
		_, text, same := unspoken{"pin", "vault"}.mask([]byte(c.body), true)
		if strings.Contains(text, "hunter2") || strings.Contains(text, "42.5") || same != c.same {
			t.Errorf("%s: %s, %v", name, text, same)
		}
	}
	for _, plain := range []string{`{"userName":"a\u00e9"}`, `{"b":1,"a":2}`, `{`, `nonsense`} {
		if _, text, _ := unspoken(nil).mask([]byte(plain), true); text != plain && !strings.Contains(plain, `\u`) {
			t.Errorf("%s became %s", plain, text)
		}
	}
	for query, want := range map[string]string{
		"filter=userName+eq+%22a%22":            "filter=userName+eq+%22a%22",
		"filter=password%20eq%20%22hunter2%22":  `filter=password eq "***"`,
		"filter=pass%77ord+eq+%22hunter2":       `filter=password eq "***"`,
		"count=1&filter=token eq \"hunter2\"&x": `count=1&filter=token eq "***"&x`,
		"filter=urn:x:User:pin eq \"hunter2\"":  `filter=urn:x:User:pin eq "***"`,
		"filter=shipping eq \"here\"":           `filter=shipping eq "here"`,
	} {
		if got := (unspoken{"pin"}).maskQuery(query); got != want {
			t.Errorf("%s: %s", query, got)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add(`{"password":"x"}`, "secret-value")
	f.Add(`{"Operations":[{"path":"password","value":"x"}]}`, "y")
	f.Fuzz(func(t *testing.T, body, secret string) {
		quoted, err := json.Marshal("\x01" + secret + "\x01")
		if err != nil || !json.Valid([]byte(body)) {
			return
		}
		whole := `{"rest":` + body + `,"password":` + string(quoted) + `}`
		_, text, _ := unspoken(nil).mask([]byte(whole), false)
		if strings.Contains(text, string(quoted)) && !strings.Contains(body, string(quoted)) {
			t.Errorf("%s kept its password: %s", whole, text)
		}
	})
}

// The quick look finds what a text in lower case would show, wherever it does not pass the question on.
func TestMask_TheQuickLookMissesNothing(t *testing.T) {
	t.Parallel()
	slow := func(text []byte) bool {
		lower := bytes.ToLower(text)
		return slices.ContainsFunc(secrets, func(word []byte) bool { return bytes.Contains(lower, word) })
	}
	parts := []string{
		"passw", "PASSW", "pAsSw", "secret", "SeCRet", "token", "TOKEN", "to\u212aen", "credential", "CREDENT\u0130AL", "cred", "creden", "tok", "en", "ret",
		"se", "pass", "w", "k", "c", "\u0105", "\u2014", "\xe2", "\xc4", "\u017f", "x", " ", "",
	}
	rng := rand.New(rand.NewPCG(1, 2))
	passed := 0
	for range 20_000 {
		var text []byte
		for range rng.IntN(6) {
			text = append(text, parts[rng.IntN(len(parts))]...)
		}
		if found, told := namesSecret(text); told && found != slow(text) {
			t.Fatalf("%q: %v", text, found)
		} else if !told {
			passed++
		}
		if got := unspoken(nil).suspects(text); got != slow(text) {
			t.Fatalf("%q: suspects says %v", text, got)
		}
	}
	if passed == 0 || passed > 10_000 {
		t.Fatalf("the question was passed on %d times", passed)
	}
}

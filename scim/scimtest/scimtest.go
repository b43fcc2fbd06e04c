// Package scimtest holds conversations with a SCIM service provider as text, and plays them against one.
//
// A conversation is a file: for each exchange an optional comment, the request line, headers, a body, and behind an arrow
// the status, headers and body of the answer.
//
//	# Entra removes one member by value path.
//	PATCH /Groups/<group>
//	If-Match: W/"3"
//	{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
//	 "Operations":[{"op":"Remove","path":"members[value eq \"<ann>\"]"}]}
//	-> 204
//	ETag: W/"4"
//
// Of an answer's body the members that are named must be there as they stand; null says that a member is absent, "..." that
// it may be anything. Arrays are compared whole. A name in angle brackets keeps what stood there the first time, and stands
// for it from then on, in requests too. An answer without a body in the file must have none.
package scimtest

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

//go:embed testdata
var files embed.FS

// Provider is the service provider under test.
type Provider struct {
	Handler http.Handler
	// Base is what stands before the paths of a conversation, such as /scim/northwind/entra/v2.
	Base   string
	Header http.Header // sent with every request, such as the bearer token
}

// Folders are the folders of testdata: one for each identity provider whose conversations are known.
func Folders() []string {
	var out []string
	entries, _ := files.ReadDir("testdata") // it is embedded
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// Play plays every conversation of a folder of testdata, each against a provider of its own.
func Play(t *testing.T, folder string, provider func(t *testing.T) Provider) {
	t.Helper()
	names, err := fs.Glob(files, path.Join("testdata", folder, "*.txt"))
	if err != nil || len(names) == 0 {
		t.Fatalf("conversations of %s: %d files, %v", folder, len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(path.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := fs.ReadFile(files, name)
			if err != nil {
				t.Fatal(err)
			}
			Converse(t, provider(t), string(text))
		})
	}
}

// Exchange is one request with the answer it wants.
type Exchange struct {
	Line         int // of the request in the file
	Method, Path string
	Header       http.Header
	Body         string
	Status       int
	WantHeader   http.Header
	WantBody     string
}

// Converse plays one conversation.
func Converse(t *testing.T, p Provider, text string) {
	t.Helper()
	exchanges, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, x := range exchanges {
		if err := p.exchange(x, names); err != nil {
			t.Fatalf("line %d: %s %s: %v", x.Line, x.Method, x.Path, err)
		}
	}
}

var method = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (.+)$`)

// Parse reads a conversation.
func Parse(text string) ([]Exchange, error) {
	var out []Exchange
	var x *Exchange
	answering := false
	var body *string
	for i, line := range strings.Split(text, "\n") {
		n := i + 1
		trimmed := strings.TrimSpace(line)
		switch m := method.FindStringSubmatch(trimmed); {
		case m != nil && (x == nil || answering):
			out = append(out, Exchange{Line: n, Method: m[1], Path: m[2], Header: http.Header{}, WantHeader: http.Header{}})
			x, answering, body = &out[len(out)-1], false, nil
		case trimmed == "" && (x == nil || answering), strings.HasPrefix(line, "#"):
			body = nil
			if answering {
				x = nil
			}
		case x == nil:
			return nil, fmt.Errorf("line %d: %q belongs to no exchange", n, trimmed)
		case strings.HasPrefix(line, "-> "):
			status, err := strconv.Atoi(trimmed[3:])
			if err != nil {
				return nil, fmt.Errorf("line %d: %q is no status", n, trimmed)
			}
			x.Status, answering, body = status, true, nil
		case body != nil:
			*body += "\n" + line
		case strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "["):
			if body = &x.Body; answering {
				body = &x.WantBody
			}
			*body = line
		default:
			name, value, ok := strings.Cut(trimmed, ": ")
			if !ok {
				return nil, fmt.Errorf("line %d: %q is no header", n, trimmed)
			}
			if answering {
				x.WantHeader.Add(name, value)
			} else {
				x.Header.Add(name, value)
			}
		}
	}
	for _, x := range out {
		if x.Status == 0 {
			return nil, fmt.Errorf("line %d: the request has no answer", x.Line)
		}
	}
	return out, nil
}

func (p Provider) exchange(x Exchange, names map[string]string) error {
	r := httptest.NewRequest(x.Method, "http://localhost"+p.Base+spaces(fill(x.Path, names)), strings.NewReader(fill(x.Body, names)))
	if x.Body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for _, header := range []http.Header{p.Header, x.Header} {
		for name, values := range header {
			r.Header[name] = nil
			for _, v := range values {
				r.Header.Add(name, fill(v, names))
			}
		}
	}
	w := httptest.NewRecorder()
	p.Handler.ServeHTTP(w, r)
	answer := w.Result()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != x.Status {
		return fmt.Errorf("got %d, want %d: %s", answer.StatusCode, x.Status, got)
	}
	for name := range x.WantHeader {
		if got, want := answer.Header.Get(name), fill(x.WantHeader.Get(name), names); got != want && want != "..." {
			return fmt.Errorf("got %s: %q, want %q", name, got, want)
		}
	}
	if x.WantBody == "" {
		if len(got) > 0 {
			return fmt.Errorf("got a body where none is due: %s", got)
		}
		return nil
	}
	var have, want any
	if err := decode(got, &have); err != nil {
		return fmt.Errorf("the answer is not JSON: %w: %s", err, got)
	}
	if err := decode([]byte(x.WantBody), &want); err != nil {
		return fmt.Errorf("the wanted body is not JSON: %w", err)
	}
	if err := compare("", have, want, names); err != nil {
		return fmt.Errorf("%w\n%s", err, got)
	}
	return nil
}

func decode(data []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(to)
}

// spaces lets a conversation write a filter's spaces and quotes as they are read.
func spaces(s string) string {
	return strings.NewReplacer(`"`, "%22", " ", "%20").Replace(s)
}

var name = regexp.MustCompile(`<([a-z][a-z0-9-]*)>`)

func fill(s string, names map[string]string) string {
	return name.ReplaceAllStringFunc(s, func(m string) string {
		if v, ok := names[m[1:len(m)-1]]; ok {
			return v
		}
		return m
	})
}

func compare(at string, have, want any, names map[string]string) error {
	switch want := want.(type) {
	case string:
		if want == "..." {
			return nil
		}
		if m := name.FindString(want); m != "" && m == want {
			if _, known := names[want[1:len(want)-1]]; !known {
				s, ok := have.(string)
				if !ok || s == "" {
					return fmt.Errorf("%s: got %v, want a name for %s", at, have, want)
				}
				names[want[1:len(want)-1]] = s
				return nil
			}
		}
		if have != fill(want, names) {
			return fmt.Errorf("%s: got %v, want %s", at, have, fill(want, names))
		}
		return nil
	case map[string]any:
		m, ok := have.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: got %v, want an object", at, have)
		}
		for _, key := range slices.Sorted(func(yield func(string) bool) {
			for k := range want {
				if !yield(k) {
					return
				}
			}
		}) {
			v, there := m[key]
			if want[key] == nil {
				if there {
					return fmt.Errorf("%s.%s: got %v, want it absent", at, key, v)
				}
				continue
			}
			if !there {
				return fmt.Errorf("%s.%s is missing", at, key)
			}
			if err := compare(at+"."+key, v, want[key], names); err != nil {
				return err
			}
		}
		return nil
	case []any:
		list, ok := have.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("%s: got %v, want %d elements", at, have, len(want))
		}
		for i := range want {
			if err := compare(fmt.Sprintf("%s[%d]", at, i), list[i], want[i], names); err != nil {
				return err
			}
		}
		return nil
	}
	if !reflect.DeepEqual(have, want) {
		return fmt.Errorf("%s: got %v, want %v", at, have, want)
	}
	return nil
}

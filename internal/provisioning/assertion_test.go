package provisioning_test

import (
	_ "embed"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// What is asserted of the server stands in testdata/assertions.txt, one id a line; what follows in assertion_*_test.go is a
// test for each id, over HTTP, on both stores. A family shares a world: its tests use names of their own.

//go:embed testdata/assertions.txt
var assertionList string

type asserted = func(t *testing.T, c caller)

// assertions are the tests by family and number.
var assertions = map[string]map[string]asserted{
	"H": assertionsHTTP, "C": assertionsCreate, "R": assertionsRead, "L": assertionsList, "F": assertionsFilter, "P": assertionsPut,
	"X": assertionsPatch, "D": assertionsDelete, "V": assertionsDiscovery, "B": assertionsBulk, "S": assertionsSearch, "G": assertionsGroup,
}

func TestAssertions(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		for family, tests := range assertions {
			t.Run(family, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, kind)
				for _, id := range sorted(tests) {
					t.Run(id, func(t *testing.T) {
						w.t = t
						tests[id](t, caller{w.plain(), strings.ToLower(id)})
					})
				}
			})
		}
	})
}

// Every assertion has its test, and no test asserts what is not listed.
func TestAssertions_AreAllTested(t *testing.T) {
	t.Parallel()
	listed, tested := map[string]string{}, map[string]string{}
	for line := range strings.Lines(assertionList) {
		if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) == 3 {
			listed[fields[0]] = ""
			if !slices.Contains([]string{"MUST", "SHOULD", "MAY", "choice"}, fields[1]) || fields[2] != "ours" && !strings.HasPrefix(fields[2], "RFC ") {
				t.Errorf("%q has no force or no clause", strings.TrimSpace(line))
			}
		}
	}
	for family, tests := range assertions {
		for id := range tests {
			if tested[id] = ""; !strings.HasPrefix(id, family+"-") {
				t.Errorf("%s stands in the family %s", id, family)
			}
		}
	}
	if diff := cmp.Diff(listed, tested); diff != "" || len(listed) != 208 {
		t.Errorf("%d assertions; listed -, tested +:\n%s", len(listed), diff)
	}
}

// What the dialects change of the assertions stands in docs/standards.md: each deviation with the assertions it touches and
// exactly the dialects that have it.
func TestAssertions_WhatDialectsChangeIsWritten(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/standards.md")
	if err != nil {
		t.Fatal(err)
	}
	written, has := map[string]string{}, map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| ([A-Z0-9, -]+) \\| `([a-z-]+)` \\| ([a-z, ]+) \\| .+ \\|$").FindAllStringSubmatch(string(text), -1) {
		for id := range strings.SplitSeq(row[1], ", ") {
			if !strings.Contains(assertionList, "\n"+id+"\t") {
				t.Errorf("%s: there is no assertion %s", row[2], id)
			}
		}
		written[row[2]] = row[3]
	}
	for _, d := range scim.Dialects {
		for _, a := range d.Allowances {
			if has[string(a.Deviation)] != "" {
				has[string(a.Deviation)] += ", "
			}
			has[string(a.Deviation)] += d.Name
		}
	}
	if diff := cmp.Diff(written, has); diff != "" {
		t.Errorf("written -, of the tables +:\n%s", diff)
	}
}

// caller is a client with names of its own.
type caller struct {
	*client
	name string
}

// of gives the same test another directory, and names that nobody of this one has.
func (c caller) of(other *client) caller { return caller{other, c.name + "-other"} }

// as gives a userName or a displayName of this test.
func (c caller) as(name string) string { return c.name + "-" + name }

// who makes a user and gives its path.
func (c caller) who(name string, more ...string) string {
	return "/Users/" + c.user(c.as(name), more...)
}

// body is a user's.
func (c caller) body(name string, more ...string) string {
	return fmt.Sprintf(`{%s,"userName":%q%s}`, coreUser, c.as(name), tail(more))
}

// post wants the status of a user of this body.
func (c caller) post(status int, name string, more ...string) answer {
	c.w.t.Helper()
	return c.do(status, "POST", "/Users", c.body(name, more...))
}

func (c caller) noPost(scimType, name string, more ...string) {
	c.w.t.Helper()
	c.refused(400, scimType, "POST", "/Users", c.body(name, more...))
}

func (c caller) get(path string) answer {
	c.w.t.Helper()
	return c.do(200, "GET", path, "")
}

func patchBody(operations ...string) string {
	return `{` + patchOp + `,"Operations":[` + strings.Join(operations, ",") + `]}`
}

// ops patches and reads what came of it.
func (c caller) ops(path string, operations ...string) answer {
	c.w.t.Helper()
	a := c.send(c.request("PATCH", path, patchBody(operations...)))
	if a.status != 200 && a.status != 204 {
		c.w.t.Fatalf("PATCH %s %s: %d: %s", path, operations, a.status, a.raw)
	}
	return c.get(path)
}

// noOps wants a patch refused with nothing changed.
func (c caller) noOps(status int, scimType, path string, operations ...string) {
	c.w.t.Helper()
	before := c.get(path).raw
	c.refused(status, scimType, "PATCH", path, patchBody(operations...))
	if after := c.get(path).raw; after != before {
		c.w.t.Errorf("a refused PATCH changed something:\n%s\n%s", before, after)
	}
}

// op is an operation; a value that is "" is left out.
func op(kind, path, value string) string {
	out := fmt.Sprintf(`{"op":%q`, kind)
	if path != "" {
		out += fmt.Sprintf(`,"path":%q`, path)
	}
	if value != "" {
		out += `,"value":` + value
	}
	return out + "}"
}

// finds wants a filter to find exactly these users of the test, by the ends of their names.
func (c caller) finds(filter string, want ...string) {
	c.w.t.Helper()
	a := c.get("/Users?count=1000&filter=" + url.QueryEscape(filter))
	got := []string{}
	for _, r := range a.resources() {
		if name, _ := r["userName"].(string); strings.HasPrefix(name, c.name+"-") {
			got = append(got, strings.TrimPrefix(name, c.name+"-"))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(got, append([]string{}, want...)); diff != "" {
		c.w.t.Errorf("%s: got -, want +:\n%s", filter, diff)
	}
}

func (c caller) noFilter(filter string) {
	c.w.t.Helper()
	c.refused(400, "invalidFilter", "GET", "/Users?filter="+url.QueryEscape(filter), "")
}

func (a answer) resources() []map[string]any {
	out := []map[string]any{}
	list, _ := a.body["Resources"].([]any)
	for _, r := range list {
		m, _ := r.(map[string]any)
		out = append(out, m)
	}
	return out
}

// keys are the names of what an answer holds.
func (a answer) keys() []string { return sorted(a.body) }

func (a answer) id() string { return a.text("id") }

// same fails the test unless got is want.
func same[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
}

// that fails the test unless it is so.
func that(t *testing.T, so bool, a answer) {
	t.Helper()
	if !so {
		t.Errorf("%d %v: %s", a.status, a.header, a.raw)
	}
}

const entURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

func ent(data string) string { return fmt.Sprintf(`%q:%s`, entURN, data) }

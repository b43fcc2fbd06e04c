package provisioning_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

const badgeURN = "urn:example:badge:1.0:User"

// badge is an extension with attributes of every type, mutability and return, as an operator would declare it.
const badge = `{"id": "urn:example:badge:1.0:User", "name": "Badge", "attributes": [
	{"name": "number", "type": "string", "caseExact": false, "uniqueness": "server"},
	{"name": "serial", "type": "string", "caseExact": true, "mutability": "immutable"},
	{"name": "floor", "type": "integer"},
	{"name": "height", "type": "decimal"},
	{"name": "vip", "type": "boolean"},
	{"name": "hired", "type": "dateTime"},
	{"name": "photo", "type": "binary"},
	{"name": "page", "type": "reference", "referenceTypes": ["external"]},
	{"name": "tags", "type": "string", "multiValued": true, "caseExact": false},
	{"name": "doors", "type": "integer", "multiValued": true},
	{"name": "issued", "type": "string", "mutability": "readOnly"},
	{"name": "note", "type": "string", "returned": "request"},
	{"name": "pin", "type": "string", "mutability": "writeOnly", "returned": "never"},
	{"name": "desk", "type": "complex", "subAttributes": [
		{"name": "room", "type": "string", "caseExact": false}, {"name": "seat", "type": "integer"}, {"name": "asset", "type": "string", "uniqueness": "server"}]},
	{"name": "keys", "type": "complex", "multiValued": true, "subAttributes": [
		{"name": "value", "type": "string", "caseExact": true}, {"name": "type", "type": "string"}, {"name": "primary", "type": "boolean"}]}
]}`

const teamURN = "urn:example:team:1.0:Group"

const team = `{"id": "urn:example:team:1.0:Group", "name": "Team", "attributes": [
	{"name": "costCentre", "type": "string", "uniqueness": "server"}, {"name": "size", "type": "integer"}]}`

func extension(t testing.TB, text, resource string, required bool) directory.Extension {
	t.Helper()
	s, err := scim.LoadExtension([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return directory.Extension{ID: s.ID, Resource: resource, Required: required, Definition: s.Definition()}
}

// extended gives the directory plain of northwind these extensions, as apply does.
func (w *world) extended(extensions ...directory.Extension) error {
	w.t.Helper()
	err := w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
		return tx.ReviseDirectory(context.Background(), store.DeclaredDirectory{
			Organization: "northwind", ID: "plain", Name: "plain of northwind", Dialect: "rfc", Key: directory.KeyExternalID,
			Settings: directory.Settings{Extensions: append([]directory.Extension{}, extensions...)},
		})
	})
	w.clock.Advance(2 * time.Second) // a node knows a directory for a second
	return err
}

func badged(userName, data string) string {
	return fmt.Sprintf(`{%s,"userName":%q,%q:%s}`, coreUser, userName, badgeURN, data)
}

// at reads a path of names.
func at(v any, names ...string) any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func TestExtension_ADirectoryServesWhatItsFileDeclares(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		w.must(w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false), extension(t, team, directory.ResourceGroup, false)))

		// It stands in discovery, and only in that directory's.
		schema := c.do(200, "GET", "/Schemas/"+strings.ToUpper(badgeURN), "")
		if schema.text("id") != badgeURN || len(schema.body["attributes"].([]any)) != 15 || strings.Contains(schema.raw, "null") {
			t.Errorf("the schema: %s", schema.raw)
		}
		if got := len(c.do(200, "GET", "/Schemas", "").ids()); got != 5 {
			t.Errorf("schemas: %d", got)
		}
		want := []any{
			map[string]any{"schema": scim.EnterpriseURN, "required": false}, map[string]any{"schema": badgeURN, "required": false},
		}
		if diff := cmp.Diff(c.do(200, "GET", "/ResourceTypes/User", "").body["schemaExtensions"], any(want)); diff != "" {
			t.Error(diff)
		}
		w.entra().do(404, "GET", "/Schemas/"+badgeURN, "")
		w.dir("northwind", "okta").refused(400, "invalidSyntax", "POST", "/Users", badged("x", `{"floor":1}`)[:len(badged("x", `{"floor":1}`))-1]+`,"schemas":["urn:x"]}`)

		// Every type is kept as it came, in any case of the URN and the names.
		full := `{"NUMBER":"A-7","serial":"S1","floor":3,"height":1.5,"vip":true,"hired":"2026-01-02T03:04:05Z","photo":"aGk=","page":"https://x.example/a",
			"tags":["Red","red","blue"],"doors":[1,2],"issued":"me","note":"n","pin":"1234","desk":{"room":"R1","seat":4,"asset":"D-1"},
			"keys":[{"value":"K1","type":"main","primary":true},{"value":"k1","type":"main"}]}`
		a := c.do(201, "POST", "/Users", strings.Replace(badged("ann", full), badgeURN, strings.ToUpper(badgeURN), 1))
		ann := a.text("id")
		kept := map[string]any{
			"number": "A-7", "serial": "S1", "floor": 3.0, "height": 1.5, "vip": true, "hired": "2026-01-02T03:04:05Z", "photo": "aGk=", "page": "https://x.example/a",
			"tags": []any{"Red", "blue"}, "doors": []any{1.0, 2.0}, "note": "n", "desk": map[string]any{"room": "R1", "seat": 4.0, "asset": "D-1"},
			"keys": []any{map[string]any{"value": "K1", "type": "main", "primary": true}, map[string]any{"value": "k1", "type": "main"}},
		}
		if diff := cmp.Diff(a.body[badgeURN], any(kept)); diff != "" {
			t.Error("created:", diff)
		}
		if diff := cmp.Diff(a.body["schemas"], any([]any{scim.UserURN, badgeURN})); diff != "" {
			t.Error(diff)
		}
		delete(kept, "note") // returned: request
		read := c.do(200, "GET", "/Users/"+ann, "")
		if diff := cmp.Diff(read.body[badgeURN], any(kept)); diff != "" {
			t.Error("read:", diff)
		}
		if got := c.do(200, "GET", "/Users/"+ann+"?attributes="+badgeURN+":note,"+badgeURN+":desk.seat,"+badgeURN+":pin", "").body[badgeURN]; !cmp.Equal(got, any(map[string]any{"note": "n", "desk": map[string]any{"seat": 4.0}})) {
			t.Errorf("projected: %v", got)
		}
		if got := c.do(200, "GET", "/Users/"+ann+"?excludedAttributes="+badgeURN, "").body; got[badgeURN] != nil {
			t.Errorf("excluded: %v", got)
		}

		// Types are held.
		for _, data := range []string{`{"floor":"3"}`, `{"floor":1.5}`, `{"vip":"yes"}`, `{"hired":"2026"}`, `{"photo":"*"}`, `{"tags":"x"}`, `{"desk":"x"}`, `{"keys":[{"value":"a","primary":true},{"value":"b","primary":true}]}`} {
			c.refused(400, "invalidValue", "POST", "/Users", badged("wrong", data))
		}
		c.refused(400, "invalidSyntax", "POST", "/Users", badged("wrong", `{"flor":3}`))

		// Mutability: immutable, readOnly, writeOnly.
		path := "/Users/" + ann
		c.patch(200, path, `{"op":"replace","path":"`+badgeURN+`:serial","value":"S1"}`)
		c.refused(400, "mutability", "PATCH", path, `{`+patchOp+`,"Operations":[{"op":"replace","path":"`+badgeURN+`:serial","value":"S2"}]}`)
		c.refused(400, "mutability", "PUT", path, badged("ann", `{"serial":"S2"}`))
		c.refused(400, "mutability", "PATCH", path, `{`+patchOp+`,"Operations":[{"op":"add","path":"`+badgeURN+`:issued","value":"x"}]}`)
		c.refused(400, "mutability", "PATCH", path, `{`+patchOp+`,"Operations":[{"op":"remove","path":"`+badgeURN+`"}]}`)
		if got := c.patch(200, path, `{"op":"replace","path":"`+badgeURN+`:pin","value":"9"}`); strings.Contains(got.raw, "pin") {
			t.Errorf("pin: %s", got.raw)
		}

		// PATCH by path, by value filter, without a path.
		c.patch(200, path, `{"op":"add","path":"`+badgeURN+`:tags","value":["green","RED"]}`)
		c.patch(200, path, `{"op":"replace","path":"`+badgeURN+`:keys[value eq \"k1\"].type","value":"spare"}`)
		c.patch(200, path, `{"op":"replace","value":{"`+badgeURN+`":{"floor":5},"`+badgeURN+`:desk.room":"R2","`+badgeURN+`:vip":false}}`)
		c.patch(200, path, `{"op":"remove","path":"`+strings.ToUpper(badgeURN)+`:doors"}`)
		got := c.do(200, "GET", path, "").body[badgeURN]
		if !cmp.Equal(at(got, "tags"), any([]any{"Red", "blue", "green"})) || at(got, "floor") != 5.0 || at(got, "vip") != false || at(got, "doors") != nil ||
			!cmp.Equal(at(got, "desk"), any(map[string]any{"room": "R2", "seat": 4.0, "asset": "D-1"})) || at(at(got, "keys").([]any)[1], "type") != "spare" {
			t.Errorf("patched: %v", got)
		}

		// A group has its own.
		g := c.do(201, "POST", "/Groups", fmt.Sprintf(`{%s,"displayName":"T","%s":{"costCentre":"C1","size":3}}`, coreGroup, teamURN))
		c.refused(409, "uniqueness", "POST", "/Groups", fmt.Sprintf(`{%s,"displayName":"U","%s":{"costCentre":"c1"}}`, coreGroup, teamURN))
		if ids := c.list("/Groups", teamURN+":size gt 2"); !slices.Equal(ids, []string{g.text("id")}) {
			t.Errorf("groups: %v", ids)
		}
		c.do(204, "DELETE", "/Groups/"+g.text("id"), "")
		other := c.do(201, "POST", "/Groups", fmt.Sprintf(`{%s,"displayName":"U","%s":{"costCentre":"c1"}}`, coreGroup, teamURN)).text("id")
		c.refused(400, "invalidPath", "PATCH", "/Groups/"+other, `{`+patchOp+`,"Operations":[{"op":"add","value":{"`+badgeURN+`":{"floor":1}}}]}`)
		c.refused(400, "invalidPath", "PATCH", "/Groups/"+other, `{`+patchOp+`,"Operations":[{"op":"add","path":"`+badgeURN+`:floor","value":1}]}`)
	})
}

// C-28 in depth: a value is one person's, whichever way it comes and however many push it at once.
func TestExtension_UniqueValues(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		w.must(w.extended(extension(t, badge, directory.ResourceUser, false)))
		create := func(status int, name, data string) answer { return c.do(status, "POST", "/Users", badged(name, data)) }
		ann := create(201, "ann", `{"number":"A-7","desk":{"asset":"D-1"}}`).text("id")
		ben := create(201, "ben", `{"number":"B-8"}`).text("id")
		for _, data := range []string{`{"number":"a-7"}`, `{"desk":{"asset":"d-1"}}`} {
			refusal := create(409, "eve", data)
			if !strings.Contains(refusal.text("detail"), badgeURN) || refusal.text("scimType") != "uniqueness" {
				t.Errorf("%s: %s", data, refusal.raw)
			}
		}
		c.refused(409, "uniqueness", "PUT", "/Users/"+ben, badged("ben", `{"number":"A-7"}`))
		c.refused(409, "uniqueness", "PATCH", "/Users/"+ben, `{`+patchOp+`,"Operations":[{"op":"replace","path":"`+badgeURN+`:number","value":"a-7"}]}`)
		c.do(200, "PUT", "/Users/"+ann, badged("ann", `{"number":"A-7","desk":{"asset":"D-2"}}`)) // one's own value is no other's
		create(201, "dan", `{"desk":{"asset":"D-1"}}`)                                            // let go of, so free
		c.do(204, "DELETE", "/Users/"+ann, "")
		create(201, "eve", `{"number":"A-7"}`)
		long := strings.Repeat("x", 20_000)
		create(201, "long", `{"number":"`+long+`"}`)
		create(409, "longer", `{"number":"`+strings.ToUpper(long)+`"}`)

		var wg sync.WaitGroup
		statuses := make([]int, 8)
		for i := range statuses {
			wg.Go(func() {
				rec := httptest.NewRecorder()
				w.http.ServeHTTP(rec, c.request("POST", "/Users", badged(fmt.Sprintf("race-%d", i), `{"number":"R"}`)))
				statuses[i] = rec.Code
			})
		}
		wg.Wait()
		slices.Sort(statuses)
		if !slices.Equal(statuses, []int{201, 409, 409, 409, 409, 409, 409, 409}) {
			t.Errorf("at once: %v", statuses)
		}
	})
}

// Filters and sorting over an extension answer what Match answers over the resources as they are answered.
func TestExtension_FiltersAndSorts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		w.must(w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		for i, data := range []string{
			`{"number":"A1","floor":3,"height":1.5,"vip":true,"hired":"2026-01-02T03:04:05Z","tags":["Red"],"doors":[1,2],"keys":[{"value":"K","type":"main"}]}`,
			`{"number":"a2","floor":-3,"height":2,"vip":false,"hired":"2026-01-02T03:04:05+02:00","tags":["blue","red"],"doors":[7],"keys":[{"value":"k","type":"spare"}],"photo":"aGk="}`,
			`{"serial":"ſ","floor":20,"desk":{"room":"r%","seat":2},"page":"https://x.example/A"}`,
			`{"note":"here"}`,
		} {
			c.do(201, "POST", "/Users", badged(fmt.Sprintf("u%d", i), data))
		}
		c.user("none")
		types, err := (&directory.Settings{Extensions: []directory.Extension{directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)}}).Types()
		w.must(err)
		// note is returned on request, and is filtered like any other.
		everyone := map[string]scim.Attributes{}
		for _, id := range c.do(200, "GET", "/Users", "").ids() {
			a := c.do(200, "GET", "/Users/"+id+"?attributes="+badgeURN+","+badgeURN+":note,schemas", "")
			raw, _ := json.Marshal(a.body)
			everyone[id], err = scim.DecodeStored(raw)
			w.must(err)
		}
		for filter, found := range map[string]int{
			"X:number eq \"a1\"": 1, "X:NUMBER sw \"A\"": 2, "X:floor gt 2": 2, "X:floor ge -3": 3, "X:floor eq 3": 1, "X:floor ne 3": 4, "not (X:floor lt 5)": 3,
			"X:height eq 1.5": 1, "X:height eq 2": 1, "X:height gt 1.5": 1, "X:vip eq true": 1, "X:vip ne true": 4, "X:vip pr": 2,
			`X:hired lt "2026-01-02T03:04:05Z"`: 1, `X:hired eq "2026-01-02T04:04:05+01:00"`: 1, `X:tags eq "RED"`: 2, `X:tags co "l"`: 1, "X:tags pr": 2,
			"X:doors eq 2": 1, "X:doors gt 1": 2, `X:keys.value eq "K"`: 1, `X:keys[value eq "k" and type eq "MAIN"]`: 0, `X:keys[type pr]`: 2,
			`X:desk.room eq "R%"`: 1, "X:desk.seat eq 2": 1, "X:desk pr": 1, `X:note eq "HERE"`: 1, `X:serial eq "ſ"`: 1, `X:serial eq "s"`: 0,
			`X:page eq "https://x.example/A"`: 1, `X:page eq "https://x.example/a"`: 0, "X:photo pr": 1, `schemas eq "` + strings.ToUpper(badgeURN) + `"`: 4,
			"X:issued pr": 0,
		} {
			text := strings.ReplaceAll(filter, "X:", badgeURN+":")
			f, err := scim.ParseFilter(types.User, text, scim.RFC)
			if err != nil {
				t.Errorf("%s: %v", filter, err)
				continue
			}
			want := []string{}
			for _, id := range sorted(everyone) {
				if f.Match(everyone[id]) {
					want = append(want, id)
				}
			}
			if got := c.list("/Users", text); !slices.Equal(got, want) || len(want) != found {
				t.Errorf("%s: SQL finds %d, Match %d, want %d", filter, len(got), len(want), found)
			}
		}
		for _, filter := range []string{"X:pin eq \"1\"", "X:pin pr", "X:floor co 1", "X:floor eq \"3\"", "X:vip gt true", "X:nothing eq 1", "X:photo gt \"a\""} {
			c.refused(400, "invalidFilter", "GET", "/Users?filter="+url.QueryEscape(strings.ReplaceAll(filter, "X:", badgeURN+":")), "")
		}
		for by, want := range map[string][]any{"floor": {-3.0, 3.0, 20.0, nil, nil}, "number": {"A1", "a2", nil, nil, nil}, "height": {1.5, 2.0, nil, nil, nil}} {
			var got []any
			for _, r := range c.do(200, "GET", "/Users?sortBy="+badgeURN+":"+by, "").body["Resources"].([]any) {
				got = append(got, at(r, badgeURN, by))
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("by %s: %s", by, diff)
			}
		}
		c.refused(400, "invalidValue", "GET", "/Users?sortBy="+badgeURN+":pin", "")
	})
}

// C-27, and a leaver who never had what is now required still leaves.
func TestExtension_Required(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		old := c.user("old")
		w.must(w.extended(extension(t, badge, directory.ResourceUser, true)))
		c.refused(400, "invalidValue", "POST", "/Users", `{`+coreUser+`,"userName":"new"}`)
		ann := c.do(201, "POST", "/Users", badged("new", `{"floor":1}`)).text("id")
		c.refused(400, "mutability", "PATCH", "/Users/"+ann, `{`+patchOp+`,"Operations":[{"op":"remove","path":"`+badgeURN+`"}]}`)
		if a := c.active(old, false); a.body["active"] != false {
			t.Errorf("the leaver: %s", a.raw)
		}
		if required := c.do(200, "GET", "/ResourceTypes/User", "").body["schemaExtensions"]; !cmp.Equal(required, any([]any{map[string]any{"schema": badgeURN, "required": true}})) {
			t.Errorf("advertised: %v", required)
		}
	})
}

// Without the enterprise extension its data are refused by the letter, and left out and counted where the provider's
// administrator may map what he likes.
func TestExtension_WithoutEnterprise(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		w.must(w.extended())
		if got := c.do(200, "GET", "/Schemas", "").ids(); !slices.Equal(got, []string{scim.UserURN, scim.GroupURN}) {
			t.Errorf("schemas: %v", got)
		}
		if got := c.do(200, "GET", "/ResourceTypes/User", ""); got.body["schemaExtensions"] != nil {
			t.Errorf("advertised: %s", got.raw)
		}
		enterprise := fmt.Sprintf(`{"schemas":[%q,%q],"userName":"ann",%q:{"department":"D"}}`, scim.UserURN, scim.EnterpriseURN, scim.EnterpriseURN)
		c.refused(400, "invalidSyntax", "POST", "/Users", enterprise)
		c.refused(400, "invalidFilter", "GET", "/Users?filter="+url.QueryEscape(scim.EnterpriseURN+`:department eq "D"`), "")
		id := c.user("ann")
		c.refused(400, "invalidPath", "PATCH", "/Users/"+id, `{`+patchOp+`,"Operations":[{"op":"add","path":"`+scim.EnterpriseURN+`:department","value":"D"}]}`)

		w.must(w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
			return tx.ReviseDirectory(context.Background(), store.DeclaredDirectory{
				Organization: "northwind", ID: "entra", Name: "entra", Dialect: "entra", Key: directory.KeyExternalID,
				Settings: directory.Settings{Extensions: []directory.Extension{}},
			})
		}))
		w.clock.Advance(2 * time.Second)
		a := w.entra().do(201, "POST", "/Users", strings.Replace(enterprise, "ann", "eve", 1))
		if diff := cmp.Diff(a.body["schemas"], any([]any{scim.UserURN})); diff != "" || strings.Contains(a.raw, "department") {
			t.Errorf("under entra: %s %s", diff, a.raw)
		}
		w.entra().patch(200, "/Users/"+a.text("id"), `{"op":"Add","path":"`+scim.EnterpriseURN+`:department","value":"D"},{"op":"Replace","path":"active","value":"False"}`)
		if got := w.entra().do(200, "GET", "/Users/"+a.text("id"), ""); got.body["active"] != false {
			t.Errorf("the leaver: %s", got.raw)
		}
	})
}

// Nobody's data goes because a line went from a file.
func TestExtension_AFileCannotTakeDataAway(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		of := func(attributes string) directory.Extension {
			return extension(t, `{"id":"`+badgeURN+`","attributes":[`+attributes+`]}`, directory.ResourceUser, false)
		}
		w.must(w.extended(directory.Enterprise(), of(`{"name":"floor","type":"integer"},{"name":"room","type":"string","caseExact":true}`)))
		ann := c.do(201, "POST", "/Users", badged("ann", `{"floor":3,"room":"A"}`))
		ben := c.do(201, "POST", "/Users", badged("ben", `{"room":"a"}`))
		before := c.do(200, "GET", "/Users", "").raw
		for what, revised := range map[string][]directory.Extension{
			"the extension":        {directory.Enterprise()},
			"an attribute":         {of(`{"name":"room","type":"string"}`)},
			"its type":             {of(`{"name":"floor","type":"string"},{"name":"room","type":"string"}`)},
			"that it is kept":      {of(`{"name":"floor","type":"integer","mutability":"writeOnly","returned":"never"},{"name":"room","type":"string"}`)},
			"that two may have it": {of(`{"name":"floor","type":"integer"},{"name":"room","type":"string","caseExact":false,"uniqueness":"server"}`)},
		} {
			err := w.extended(revised...)
			if fault.KindOf(err) != fault.Conflict || !strings.Contains(fmt.Sprint(err), badgeURN) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if after := c.do(200, "GET", "/Users", "").raw; after != before {
			t.Errorf("a refused change left a trace:\n%s\n%s", before, after)
		}

		// What keeps everything is done: more attributes, an integer that becomes a decimal, another case, a unique value.
		w.must(w.extended(of(`{"name":"floor","type":"decimal"},{"name":"room","type":"string","caseExact":true,"uniqueness":"server"},{"name":"more","type":"string"}`)))
		c.do(409, "POST", "/Users", badged("eve", `{"room":"A"}`))
		if got := c.list("/Users", badgeURN+":floor lt 3.5"); !slices.Equal(got, []string{ann.text("id")}) {
			t.Errorf("after the change: %v", got)
		}
		w.must(w.extended(of(`{"name":"floor","type":"decimal"},{"name":"room","type":"string","caseExact":false}`)))
		if got := c.list("/Users", badgeURN+`:room eq "a"`); !slices.Equal(got, []string{ann.text("id"), ben.text("id")}) {
			t.Errorf("in another case: %v", got)
		}
		c.do(201, "POST", "/Users", badged("eve", `{"room":"A"}`))

		// A change of one schema leaves what another holds.
		both := []directory.Extension{of(`{"name":"floor","type":"decimal"},{"name":"room","type":"string"}`), extension(t, `{"id":"urn:example:locker","attributes":[{"name":"number","type":"string","uniqueness":"server"},{"name":"side","type":"string"}]}`, directory.ResourceUser, false)}
		w.must(w.extended(both...))
		c.patch(200, "/Users/"+ann.text("id"), `{"op":"add","path":"urn:example:locker:number","value":"7"}`)
		both[0] = of(`{"name":"floor","type":"decimal"},{"name":"room","type":"string"},{"name":"wing","type":"string"}`)
		w.must(w.extended(both...))
		taken := func() {
			t.Helper()
			c.refused(409, "uniqueness", "PATCH", "/Users/"+ben.text("id"), patchBody(op("add", "urn:example:locker:number", `"7"`)))
		}
		taken()
		w.must(w.extended(both[1], both[0]))
		taken()
		c.patch(200, "/Users/"+ann.text("id"), `{"op":"remove","path":"urn:example:locker"}`)
		c.patch(200, "/Users/"+ben.text("id"), `{"op":"add","path":"urn:example:locker:number","value":"7"}`, `If-Match`, "*")
		c.patch(200, "/Users/"+ben.text("id"), `{"op":"remove","path":"urn:example:locker"}`)

		// Once the directory has taken the values away, the extension may go.
		for _, id := range c.list("/Users", badgeURN+":room pr") {
			c.patch(200, "/Users/"+id, `{"op":"remove","path":"`+badgeURN+`"}`)
		}
		w.must(w.extended())
		c.do(404, "GET", "/Schemas/"+badgeURN, "")
	})
}

// What is never returned is nowhere: not in the log of requests, not in the audit log, not in an answer.
func TestExtension_WhatIsNeverReturnedIsNotKept(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		w.must(w.extended(extension(t, badge, directory.ResourceUser, false)))
		ann := c.do(201, "POST", "/Users", badged("ann", `{"pin":"hunter2","floor":1}`)).text("id")
		c.patch(200, "/Users/"+ann, `{"op":"replace","path":"`+badgeURN+`:pin","value":"hunter2"}`)
		c.do(400, "POST", "/Users", badged("ben", `{"pin":"hunter2","floor":"x"}`))
		c.do(400, "GET", "/Users?filter="+url.QueryEscape(badgeURN+`:pin eq "hunter2"`), "")
		log := w.log("plain")
		for _, kept := range []any{log, w.events(), c.do(200, "GET", "/Users", "").raw} {
			if text, _ := json.Marshal(kept); strings.Contains(string(text), "hunter2") {
				t.Errorf("it is kept: %s", text)
			}
		}
		if len(log) != 4 || !strings.Contains(fmt.Sprint(log), "***") {
			t.Errorf("the log: %v", log)
		}
	})
}

// A node that does not know yet that a schema has changed stores nothing by it: it asks the provider to come again.
func TestExtension_NothingIsStoredByASchemaThatIsGone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		w.must(w.extended(extension(t, badge, directory.ResourceUser, false)))
		ann, group := c.user("ann"), c.group("G")
		w.must(w.extended(directory.Enterprise()))
		w.clock.Advance(-2 * time.Second) // as for a node that read the directory a moment before
		for _, request := range []struct{ method, path, body string }{
			{"POST", "/Users", badged("ben", `{"floor":1}`)},
			{"PUT", "/Users/" + ann, badged("ann", `{"floor":1}`)},
			{"PATCH", "/Users/" + ann, patchBody(op("add", badgeURN+":floor", "1"))},
			{"POST", "/Groups", `{` + coreGroup + `,"displayName":"H"}`},
			{"PATCH", "/Groups/" + group, patchBody(op("replace", "displayName", `"H"`))},
		} {
			a := c.do(503, request.method, request.path, request.body)
			if a.header.Get("Retry-After") == "" {
				t.Errorf("%s %s: no Retry-After", request.method, request.path)
			}
		}
		w.clock.Advance(2 * time.Second)
		if a := c.do(200, "GET", "/Users", ""); a.number("totalResults") != 1 || strings.Contains(a.raw, badgeURN) {
			t.Errorf("something was stored: %s", a.raw)
		}
		c.refused(400, "invalidSyntax", "PUT", "/Users/"+ann, badged("ann", `{"floor":1}`))
		c.do(200, "PUT", "/Users/"+ann, `{`+coreUser+`,"userName":"ann","title":"T"}`)
	})
}

package provisioning_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vestibule-id/vestibule/scim"
)

var (
	testUser  = scim.UserType(scim.Extension{Schema: scim.EnterpriseUser()})
	testGroup = scim.GroupType()
)

// crowd makes users and groups with every sort of attribute, and awkward text.
func crowd(c *client) {
	texts := []string{"Ann", "ann", "Änn", "a%b", "a_b", `a\b`, `a"b`, "x' or 1=1 --", "ＡＮＮ", "Straße", "z", "work", "\U0001F600", "퟿"}
	var ids []string
	for i, s := range texts {
		q, _ := json.Marshal(s)
		more := []string{fmt.Sprintf(`"externalId":%s,"active":%t`, q, i%3 != 0)}
		if i%2 == 0 {
			more = append(more, fmt.Sprintf(`"displayName":%s,"title":%s,"name":{"familyName":%s,"givenName":"G%d"}`, q, q, q, i%4))
		}
		if i%3 != 1 {
			more = append(more, fmt.Sprintf(`"emails":[{"type":"work","value":"W%d@x.org","primary":true},{"type":"home","value":%s,"display":"D%d"}]`, i, q, i))
		}
		if i%4 == 1 {
			more = append(more, fmt.Sprintf(`"addresses":[{"type":"work","country":"DE","locality":%s,"primary":false},{"type":"other","country":"FR"}]`, q),
				`"roles":[{"value":"r1","primary":true},{"value":"R2"}]`)
		}
		if i%5 == 2 {
			manager := ""
			if len(ids) > 0 {
				manager = fmt.Sprintf(`,"manager":{"value":%q}`, ids[0])
			}
			more = append(more, fmt.Sprintf(`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":%s,"employeeNumber":"%d"%s}`, q, i, manager))
		}
		c.w.clock.Advance(1e9)
		ids = append(ids, c.user(fmt.Sprintf("user-%d-%s@x.org", i, strings.ReplaceAll(s, `"`, "")), more...))
	}
	inner := c.group("Inner", ids[0], ids[1], ids[2])
	outer := c.group("Outer", inner, ids[1], ids[5])
	c.group("a%b", outer)
	c.group("Empty")
}

// answered reads everything a directory has, as it is answered.
func answered(t *testing.T, c *client, path string) map[string]scim.Attributes {
	t.Helper()
	a := c.do(200, "GET", path+"?count=1000", "")
	out := map[string]scim.Attributes{}
	list, _ := a.body["Resources"].([]any)
	for _, r := range list {
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		attributes, err := scim.DecodeStored(raw)
		if err != nil {
			t.Fatal(err)
		}
		id, _ := attributes["id"].(string)
		out[id] = attributes
	}
	return out
}

// grammar draws filters over attributes of every kind, from the values that are there and others.
type grammar struct {
	texts  map[string][]string // path of a text: operands
	bools  []string
	dates  map[string][]string
	within map[string][]string // multi-valued: sub-attributes
}

func (g grammar) filter(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	switch {
	case depth > 0 && kind == 0:
		return "not (" + g.filter(t, depth-1) + ")"
	case depth > 0 && kind <= 2:
		return "(" + g.filter(t, depth-1) + ") and " + g.filter(t, depth-1)
	case depth > 0 && kind <= 4:
		return g.filter(t, depth-1) + " or (" + g.filter(t, depth-1) + ")"
	case depth > 0 && kind <= 6 && len(g.within) > 0:
		attribute := rapid.SampledFrom(sorted(g.within)).Draw(t, "within")
		return attribute + "[" + g.element(t, attribute, 2) + "]"
	case kind == 7 && len(g.bools) > 0:
		return rapid.SampledFrom(g.bools).Draw(t, "bool") + rapid.SampledFrom([]string{" eq true", " eq false", " ne true", " pr"}).Draw(t, "test")
	case kind == 8:
		path := rapid.SampledFrom(sorted(g.dates)).Draw(t, "date")
		return fmt.Sprintf("%s %s %q", path, rapid.SampledFrom([]string{"eq", "ne", "gt", "ge", "lt", "le"}).Draw(t, "op"), rapid.SampledFrom(g.dates[path]).Draw(t, "instant"))
	}
	path := rapid.SampledFrom(sorted(g.texts)).Draw(t, "text")
	return path + g.test(t, g.texts[path])
}

func (g grammar) element(t *rapid.T, attribute string, depth int) string {
	if depth > 0 {
		switch rapid.IntRange(0, 4).Draw(t, "inner") {
		case 0:
			return "not (" + g.element(t, attribute, depth-1) + ")"
		case 1:
			return g.element(t, attribute, depth-1) + " and " + g.element(t, attribute, depth-1)
		case 2:
			return "(" + g.element(t, attribute, depth-1) + ") or " + g.element(t, attribute, depth-1)
		}
	}
	sub := rapid.SampledFrom(g.within[attribute]).Draw(t, "sub")
	if sub == "primary" {
		return sub + rapid.SampledFrom([]string{" eq true", " eq false", " ne true", " pr"}).Draw(t, "primary")
	}
	return sub + g.test(t, g.texts[attribute+"."+sub])
}

func (g grammar) test(t *rapid.T, operands []string) string {
	op := rapid.SampledFrom([]string{"eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}).Draw(t, "op")
	if op == "pr" {
		return " pr"
	}
	s := rapid.SampledFrom(operands).Draw(t, "operand")
	if r := []rune(s); len(r) > 1 && rapid.Bool().Draw(t, "part") {
		from := rapid.IntRange(0, len(r)-1).Draw(t, "from")
		s = string(r[from:rapid.IntRange(from+1, len(r)).Draw(t, "to")])
	}
	q, _ := json.Marshal(s)
	return " " + op + " " + string(q)
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// A store's SQL answers exactly what Filter.Match answers over the resource as it is answered.
func TestFilter_SQLAgreesWithMatch(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		crowd(c)
		// Some names stand in the name index, some came later, and some are no longer what it says.
		if err := w.db.IndexNames(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		c.user("later-straße@x.org", `"displayName":"Later a%b Änn"`)
		c.user("later-a_b-ann")
		renamed := c.list("/Users", `userName sw "user-2-"`)
		c.patch(200, "/Users/"+renamed[0], `{"op":"replace","value":{"userName":"renamed-ann","displayName":"Straße of Änn"}}`)
		texts := []string{"Ann", "änn", "a%b", "a_b", `a\b`, `a"b`, "x' or 1=1 --", "straSSe", "%", "_", "work", "WORK", "w", "퟿", "zz", "\U0001F600", "de"}
		users, groups := answered(t, c, "/Users"), answered(t, c, "/Groups")
		userIDs, groupIDs := sorted(users), sorted(groups)
		var instants, locations, versions []string
		for _, id := range userIDs {
			meta, _ := users[id]["meta"].(map[string]any)
			created, _ := meta["created"].(string)
			location, _ := meta["location"].(string)
			instants, locations = append(instants, created), append(locations, location)
		}
		instants = append(instants, "2026-03-02T10:00:03+01:00", "2020-01-01T00:00:00Z")
		versions = []string{`W/"1"`, `W/"2"`, `1`, "w/"}
		enterprise := "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:"
		g := grammar{
			texts: map[string][]string{
				"userName": append([]string{"USER-0-ann@x.org", "ｕser-1"}, texts...), "externalId": texts, "displayName": texts, "title": texts,
				"name.familyName": texts, "name.givenName": {"G0", "g2"}, "id": userIDs,
				"emails": append([]string{"w0@x.org", "W2@X.ORG"}, texts...), "emails.value": append([]string{"w0@x.org"}, texts...),
				"emails.type": {"work", "HOME", "wo"}, "emails.display": {"d0", "D2"},
				"addresses.type": {"work", "other"}, "addresses.country": {"de", "FR"}, "addresses.locality": texts,
				"roles.value": {"R1", "r2"}, enterprise + "department": texts, enterprise + "employeeNumber": {"2", "7"},
				enterprise + "manager.value": userIDs, "meta.resourceType": {"User", "user"}, "meta.location": locations, "meta.version": versions,
				"schemas": {"urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"},
				"groups":  groupIDs, "groups.value": groupIDs, "groups.display": {"inner", "OUTER", "a%b"}, "groups.type": {"direct", "indirect"},
			},
			bools:  []string{"active", "emails.primary", "addresses.primary"},
			dates:  map[string][]string{"meta.created": instants, "meta.lastModified": instants},
			within: map[string][]string{"emails": {"value", "type", "primary", "display"}, "addresses": {"type", "country", "locality", "primary"}, "groups": {"value", "display", "type"}},
		}
		agree(t, c, "/Users", testUser, users, g)

		g = grammar{
			texts: map[string][]string{
				"displayName": {"INNER", "a%b", "empty", "%"}, "id": groupIDs, "externalId": texts, "meta.version": versions,
				"members": append(slices.Clone(groupIDs), userIDs...), "members.value": append(slices.Clone(groupIDs), userIDs...),
				"members.type": {"User", "group", "u"}, "members.display": append([]string{"inner", "Outer"}, texts...),
			},
			dates:  map[string][]string{"meta.created": instants},
			within: map[string][]string{"members": {"value", "type", "display"}},
		}
		agree(t, c, "/Groups", testGroup, groups, g)
	})
}

func agree(t *testing.T, c *client, path string, rt *scim.ResourceType, all map[string]scim.Attributes, g grammar) {
	t.Helper()
	rapid.Check(t, func(rt2 *rapid.T) {
		text := g.filter(rt2, 3)
		f, err := scim.ParseFilter(rt, text, scim.RFC)
		if err != nil {
			rt2.Fatalf("%s: %v", text, err)
		}
		want := []string{}
		for _, id := range sorted(all) {
			if f.Match(all[id]) {
				want = append(want, id)
			}
		}
		a := c.send(c.request("GET", path+"?attributes=id&count=1000&filter="+url.QueryEscape(text), ""))
		if a.status != 200 {
			rt2.Fatalf("%s: %d: %s", text, a.status, a.raw)
		}
		if diff := cmp.Diff(a.ids(), want); diff != "" {
			rt2.Fatalf("%s: got -, want +:\n%s", text, diff)
		}
		if a.number("totalResults") != len(want) {
			rt2.Fatalf("%s: totalResults %d, want %d", text, a.number("totalResults"), len(want))
		}
	})
}

package scim

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rfcAttribute is an attribute as RFC 7643 section 8.7.1 prints it.
type rfcAttribute struct {
	Name, Type            string
	MultiValued, Required bool
	CaseExact             bool
	Mutability, Returned  string
	Uniqueness            string
	CanonicalValues       []string
	ReferenceTypes        []string
	SubAttributes         []rfcAttribute
}

// The differences between our definitions and the representation in RFC 7643 section 8.7.1, each
// with the clause that the representation contradicts.
var departures = map[string]string{
	"User.profileUrl.caseExact":              "section 2.3.7: a reference is case-exact",
	"User.photos.value.caseExact":            "section 2.3.7: a reference is case-exact",
	"User.groups.$ref.caseExact":             "section 2.3.7: a reference is case-exact",
	"User.groups.$ref.referenceTypes":        "section 4.1.2: a user's groups are groups",
	"User.groups.value.caseExact":            "section 3.1: it is an id, which is case-exact",
	"User.x509Certificates.value.caseExact":  "section 2.3.6: a binary value is case-exact",
	"User.addresses.primary":                 "section 2.4: a sub-attribute of every multi-valued attribute",
	"Group.displayName.required":             "section 4.2: REQUIRED",
	"Group.members.value.caseExact":          "section 3.1: it is an id, which is case-exact",
	"Group.members.$ref.caseExact":           "section 2.3.7: a reference is case-exact",
	"Group.members.display":                  "section 2.4: a sub-attribute of every multi-valued attribute",
	"EnterpriseUser.manager.value.caseExact": "section 3.1: it is an id, which is case-exact",
	"EnterpriseUser.manager.$ref.caseExact":  "section 2.3.7: a reference is case-exact",
}

func TestSchemas_AreThoseOfTheStandard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/rfc7643/section-8.7.1.json")
	if err != nil {
		t.Fatal(err)
	}
	var standard []struct {
		ID, Name   string
		Attributes []rfcAttribute
	}
	if err := json.Unmarshal(data, &standard); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	differ := func(at, what string) { found[at+"."+what] = true }
	var compare func(at string, want []rfcAttribute, got []*Attribute)
	compare = func(at string, want []rfcAttribute, got []*Attribute) {
		names := map[string]bool{}
		for _, w := range want {
			names[w.Name] = true
			g := find(got, w.Name)
			at := at + "." + w.Name
			if g == nil || g.Name != w.Name {
				t.Errorf("%s is missing", at)
				continue
			}
			if w.Uniqueness == "" {
				w.Uniqueness = "none" // section 7 makes it the default
			}
			for what, same := range map[string]bool{
				"type": string(g.Type) == w.Type, "multiValued": g.MultiValued == w.MultiValued,
				"required": g.Required == w.Required, "caseExact": g.CaseExact == w.CaseExact,
				"mutability": string(g.Mutability) == w.Mutability, "returned": string(g.Returned) == w.Returned,
				"uniqueness":      string(g.Uniqueness) == w.Uniqueness,
				"canonicalValues": strings.Join(g.CanonicalValues, " ") == strings.Join(w.CanonicalValues, " "),
				"referenceTypes":  strings.Join(g.ReferenceTypes, " ") == strings.Join(w.ReferenceTypes, " "),
			} {
				if !same {
					differ(at, what)
				}
			}
			compare(at, w.SubAttributes, g.Sub)
		}
		for _, g := range got {
			if !names[g.Name] {
				differ(at, g.Name)
			}
		}
	}
	ours := map[string]*Schema{"User": User(), "Group": Group(), "EnterpriseUser": EnterpriseUser()}
	for _, s := range standard {
		if ours[s.Name].ID != s.ID {
			t.Errorf("%s has the id %s, want %s", s.Name, ours[s.Name].ID, s.ID)
		}
		compare(s.Name, s.Attributes, ours[s.Name].Attributes)
	}
	want := map[string]bool{}
	for at := range departures {
		want[at] = true
	}
	if diff := cmp.Diff(found, want); diff != "" {
		t.Errorf("departures from section 8.7.1, got before want:\n%s", diff)
	}
}

func TestLoadSchema_RefusesWhatTheStandardForbids(t *testing.T) {
	t.Parallel()
	attribute := func(s string) string {
		return `{"id":"urn:example:x","name":"X","attributes":[` + s + `]}`
	}
	for name, c := range map[string]struct{ in, why string }{
		"C-20 complex in complex":  {attribute(`{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"complex","subAttributes":[{"name":"c","type":"string"}]}]}`), "inside a complex"},
		"name twice":               {attribute(`{"name":"a","type":"string"},{"name":"A","type":"string"}`), "stands twice"},
		"sub-attribute twice":      {attribute(`{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"string"},{"name":"B","type":"string"}]}`), "duplicate name"},
		"bad name":                 {attribute(`{"name":"1a","type":"string"}`), "1a"},
		"bad type":                 {attribute(`{"name":"a","type":"text"}`), "text"},
		"bad mutability":           {attribute(`{"name":"a","type":"string","mutability":"never"}`), "never"},
		"bad returned":             {attribute(`{"name":"a","type":"string","returned":"often"}`), "often"},
		"bad uniqueness":           {attribute(`{"name":"a","type":"string","uniqueness":"galaxy"}`), "galaxy"},
		"complex without parts":    {attribute(`{"name":"a","type":"complex"}`), "without subAttributes"},
		"parts of a string":        {attribute(`{"name":"a","type":"string","subAttributes":[{"name":"b","type":"string"}]}`), "not complex"},
		"an attribute of them all": {attribute(`{"name":"externalID","type":"string"}`), "every resource"},
		"no attributes":            {attribute(``), "no attributes"},
		"no id":                    {`{"attributes":[{"name":"a","type":"string"}]}`, "not a URI"},
		"not an object":            {`[]`, "not a JSON object"},
		"not JSON":                 {`{`, "does not end"},
		"attributes not a list":    {`{"id":"urn:x:y","attributes":7}`, "Attributes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadSchema([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want an error with %q", err, c.why)
			}
		})
	}
}

func TestSchema_JSONLoadsAgain(t *testing.T) {
	t.Parallel()
	for _, s := range []*Schema{User(), Group(), EnterpriseUser(), testExtension()} {
		out := s.JSON("https://id.example/v2")
		if strings.Contains(string(out), "null") {
			t.Errorf("V-07: %s renders a null: %s", s.ID, out)
		}
		again, err := LoadSchema(out)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(again, s); diff != "" {
			t.Errorf("%s, got before want:\n%s", s.ID, diff)
		}
	}
}

func TestResourceType_JSON(t *testing.T) {
	t.Parallel()
	got := string(userType().JSON("https://id.example/v2"))
	want := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],"id":"User","name":"User","endpoint":"/Users","description":"User Account","schema":"urn:ietf:params:scim:schemas:core:2.0:User","schemaExtensions":[{"schema":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","required":false},{"schema":"urn:example:my-ext:1.0:User","required":false}],"meta":{"resourceType":"ResourceType","location":"https://id.example/v2/ResourceTypes/User"}}`
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("V-06, got before want:\n%s", diff)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	rt := userType()
	for in, want := range map[string]string{
		"userName":                             "userName",
		"USERNAME":                             "userName",
		"name.GIVENNAME":                       "name.givenName",
		"id":                                   "id",
		"Meta.lastmodified":                    "meta.lastModified",
		UserURN + ":name.familyName":           "name.familyName",
		strings.ToUpper(UserURN) + ":username": "userName",
		EnterpriseURN:                          EnterpriseURN,
		strings.ToUpper(EnterpriseURN) + ":department":  EnterpriseURN + ":department",
		EnterpriseURN + ":manager.value":                EnterpriseURN + ":manager.value",
		"urn:example:my-ext:1.0:User:badge":             "urn:example:my-ext:1.0:User:badge",
		"department":                                    "",
		UserURN:                                         "",
		UserURN + ":":                                   "",
		"urn:ietf:params:scim:schemas:core:2.0:Users:x": "",
		"name.givenName.x":                              "",
		"userName.value":                                "",
		"bogus":                                         "",
		"":                                              "",
		"\u017fchemas":                                  "",
	} {
		p, ok := rt.Resolve(in)
		got := ""
		if ok {
			got = p.String()
		}
		if got != want {
			t.Errorf("Resolve(%q) = %q, want %q", in, got, want)
		}
	}
}

// testExtension has what the standard's schemas lack: numbers, dates, binary values, other kinds of
// mutability and return.
func testExtension() *Schema {
	s, err := LoadSchema([]byte(`{
	 "id": "urn:example:my-ext:1.0:User", "name": "Test", "description": "Attributes of every kind", "attributes": [
	  {"name": "badge", "type": "string", "multiValued": false, "required": false, "caseExact": true, "mutability": "immutable", "returned": "default", "uniqueness": "server"},
	  {"name": "floor", "type": "integer", "multiValued": false, "required": false, "mutability": "readWrite", "returned": "default", "uniqueness": "none"},
	  {"name": "height", "type": "decimal", "multiValued": false, "required": false, "mutability": "readWrite", "returned": "default", "uniqueness": "none"},
	  {"name": "hired", "type": "dateTime", "multiValued": false, "required": false, "mutability": "readWrite", "returned": "default", "uniqueness": "none"},
	  {"name": "key", "type": "binary", "multiValued": false, "required": false, "caseExact": true, "mutability": "readWrite", "returned": "default", "uniqueness": "none"},
	  {"name": "tags", "type": "string", "multiValued": true, "required": false, "caseExact": false, "mutability": "readWrite", "returned": "default", "uniqueness": "none"},
	  {"name": "computed", "type": "string", "multiValued": false, "required": false, "caseExact": false, "mutability": "readOnly", "returned": "default", "uniqueness": "none"},
	  {"name": "onDemand", "type": "string", "multiValued": false, "required": false, "caseExact": false, "mutability": "readWrite", "returned": "request", "uniqueness": "none"},
	  {"name": "secret", "type": "string", "multiValued": false, "required": false, "caseExact": true, "mutability": "writeOnly", "returned": "never", "uniqueness": "none"},
	  {"name": "desk", "type": "complex", "multiValued": false, "required": false, "mutability": "readWrite", "returned": "default", "uniqueness": "none", "subAttributes": [
	    {"name": "number", "type": "integer", "multiValued": false, "required": true, "mutability": "readWrite", "returned": "always", "uniqueness": "none"},
	    {"name": "pin", "type": "string", "multiValued": false, "required": false, "caseExact": true, "mutability": "writeOnly", "returned": "never", "uniqueness": "none"},
	    {"name": "serial", "type": "string", "multiValued": false, "required": false, "caseExact": true, "mutability": "immutable", "returned": "default", "uniqueness": "none"},
	    {"name": "note", "type": "string", "multiValued": false, "required": false, "caseExact": true, "mutability": "readWrite", "returned": "request", "uniqueness": "none"}
	  ]}
	 ]}`))
	if err != nil {
		panic(err)
	}
	return s
}

func userType() *ResourceType {
	return UserType(Extension{Schema: EnterpriseUser()}, Extension{Schema: testExtension()})
}

// decoded reads JSON that a test wrote.
func decoded(t testing.TB, text string) Attributes {
	t.Helper()
	a, err := DecodeJSON([]byte(text), DefaultLimits)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return a
}

// answer is what an error says to a client: "400 invalidValue".
func answer(err error) string {
	if err == nil {
		return ""
	}
	e := AsError(err)
	if e.Type == "" {
		return strconv.Itoa(e.Status)
	}
	return strconv.Itoa(e.Status) + " " + string(e.Type)
}

package scim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	coreSchemas = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]`
	ent         = `"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`
	own         = `"urn:example:my-ext:1.0:User"`
)

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"H-10 not JSON":               {`userName`, "400 invalidSyntax"},
		"H-10 list":                   {`[]`, "400 invalidSyntax"},
		"H-10 string":                 {`"x"`, "400 invalidSyntax"},
		"H-10 empty":                  {` `, "400 invalidSyntax"},
		"H-10 two documents":          {`{} {}`, "400 invalidSyntax"},
		"H-10 trailing garbage":       {`{}x`, "400 invalidSyntax"},
		"H-10 invalid UTF-8":          {"{\"a\":\"\xff\"}", "400 invalidSyntax"},
		"H-10 byte order mark":        {"\ufeff{}", "400 invalidSyntax"},
		"H-10 trailing comma":         {`{"a":1,}`, "400 invalidSyntax"},
		"H-10 control character":      {"{\"a\":\"\n\"}", "400 invalidSyntax"},
		"H-10 comment":                {`{"a":1/**/}`, "400 invalidSyntax"},
		"H-11 same name":              {`{"userName":"a","userName":"b"}`, "400 invalidSyntax"},
		"H-11 same name, other case":  {`{"userName":"a","USERNAME":"b"}`, "400 invalidSyntax"},
		"H-11 escaped":                {`{"userName":"a","user\u004eame":"b"}`, "400 invalidSyntax"},
		"H-11 below":                  {`{"name":{"a":1,"A":2}}`, "400 invalidSyntax"},
		"H-11 among many":             {`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"r":1,"s":1,"B":1}`, "400 invalidSyntax"},
		"H-12 too long":               {`{"a":"` + strings.Repeat("x", 4<<20) + `"}`, "413"},
		"H-14 too deep":               {`{"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, "400 invalidSyntax"},
		"H-14 deep and open":          {strings.Repeat(`{"a":`, 100000), "400 invalidSyntax"},
		"H-14 huge number":            {`{"a":` + strings.Repeat("1", 3<<20) + `}`, "400 invalidSyntax"},
		"H-14 huge exponent":          {`{"a":1e999999999}`, "400 invalidSyntax"},
		"H-14 huge negative exponent": {`{"a":1e-999999999}`, "400 invalidSyntax"},
		"H-14 too many values":        {`{"members":[` + strings.Repeat(`{"value":"u"},`, 110000) + `{}]}`, "413"},
		"number past int64":           {`{"a":12345678901234567890}`, "400 invalidSyntax"},
		"number that would change":    {`{"a":0.12345678901234567890123}`, "400 invalidSyntax"},
		"number 01":                   {`{"a":01}`, "400 invalidSyntax"},
		"number -":                    {`{"a":-}`, "400 invalidSyntax"},
		"blank name":                  {`{"":1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := DecodeJSON([]byte(c.in), DefaultLimits)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if got := answer(err); got != c.want {
				t.Errorf("got %s (%v), want %s", got, err, c.want)
			}
		})
	}
	got := decoded(t, ` { "a" : [ 1 , -0 , 9223372036854775807 , 1.50, 1e2, 0.0, true, false, null, "x\u00e9\ud83d\ude00", {}, [] ] } `)
	want := Attributes{"a": []any{int64(1), int64(0), int64(9223372036854775807), 1.5, 100.0, 0.0, true, false, nil, "xé😀", map[string]any{}, []any{}}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got before want:\n%s", diff)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	user := func(s string) string { return `{` + coreSchemas + `,"userName":"ann",` + s + `}` }
	made := func(s string) string {
		return `{` + coreSchemas + `,"userName":"ann"` + s + `}`
	}
	const active = `,"active":true`
	withEnt := func(s string) string {
		return `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User",` + ent + `],"userName":"ann","active":true,` + ent + `:` + s + `}`
	}
	withOwn := func(s string) string {
		return `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User",` + own + `],"userName":"ann","active":true,` + own + `:` + s + `}`
	}
	for name, c := range map[string]struct {
		dialect  *Dialect
		in, want string
		repairs  Repairs
	}{
		"C-02 id and meta are ours":        {in: user(`"id":"mine","meta":{"location":"x","created":7}`), want: made(active)},
		"C-03 readOnly is ignored":         {in: user(`"groups":[{"value":"g"}]`), want: made(active)},
		"C-03 readOnly of any shape":       {in: user(`"groups":"none",` + own + `:{"computed":7}`), want: made(active)},
		"C-08 no schemas":                  {in: `{"userName":"ann"}`, want: "400 invalidSyntax"},
		"C-08 empty schemas":               {in: `{"schemas":[],"userName":"ann"}`, want: "400 invalidSyntax"},
		"C-08 no schemas, forgiven":        {dialect: OneLogin, in: `{"userName":"ann"}`, want: made(active), repairs: Repairs{NoSchemas: 1}},
		"C-08 schemas a string":            {in: `{"schemas":"` + UserURN + `","userName":"ann"}`, want: "400 invalidSyntax"},
		"C-09 unknown":                     {in: `{"schemas":["urn:bogus"],"userName":"ann"}`, want: "400 invalidSyntax"},
		"C-09 unknown beside":              {dialect: Entra, in: `{"schemas":["` + UserURN + `","urn:bogus"],"userName":"ann"}`, want: "400 invalidSyntax"},
		"C-09 of a group":                  {in: `{"schemas":["` + GroupURN + `"],"userName":"ann"}`, want: "400 invalidSyntax"},
		"C-09 only the extension":          {in: `{"schemas":[` + ent + `],"userName":"ann"}`, want: "400 invalidSyntax"},
		"C-09 legacy":                      {in: `{"schemas":["` + UserURN + `","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/User"],"userName":"ann"}`, want: "400 invalidSyntax"},
		"C-09 legacy, forgiven":            {dialect: Entra, in: `{"schemas":["` + UserURN + `","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/User"],"userName":"ann"}`, want: made(active), repairs: Repairs{LegacySchemas: 1}},
		"C-09 core 1.0, forgiven":          {dialect: Google, in: `{"schemas":["urn:scim:schemas:core:1.0"],"userName":"ann"}`, want: made(active), repairs: Repairs{LegacySchemas: 1}},
		"C-10 data of an unlisted one":     {in: user(ent + `:{"department":"D"}`), want: withEnt(`{"department":"D"}`)},
		"C-11 listed without data":         {in: `{"schemas":["` + UserURN + `",` + ent + `],"userName":"ann",` + ent + `:{}}`, want: made(active)},
		"C-12 names in any case":           {in: `{"SCHEMAS":["` + strings.ToUpper(UserURN) + `"],"USERNAME":"ann","NAME":{"GIVENNAME":"A"},` + strings.ToUpper(ent) + `:{"DEPARTMENT":"D"}}`, want: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User",` + ent + `],"userName":"ann","name":{"givenName":"A"},"active":true,` + ent + `:{"department":"D"}}`},
		"C-13 userName missing":            {in: `{` + coreSchemas + `}`, want: "400 invalidValue"},
		"C-13 userName null":               {in: `{` + coreSchemas + `,"userName":null}`, want: "400 invalidValue"},
		"C-13 userName empty":              {dialect: Entra, in: `{` + coreSchemas + `,"userName":""}`, want: "400 invalidValue"},
		"C-13 userName blank":              {in: `{` + coreSchemas + `,"userName":" \t"}`, want: "400 invalidValue"},
		"C-14 null and empty":              {in: user(`"nickName":null,"emails":[],"name":{},"phoneNumbers":[{"value":null}],"title":"x"`), want: made(`,"title":"x"` + active)},
		"C-14 empty string is a value":     {in: user(`"title":""`), want: made(`,"title":""` + active)},
		"C-14 empty string, forgiven":      {dialect: OneLogin, in: user(`"title":"","emails":"","phoneNumbers":[{"type":"work","value":""}]`), want: made(active), repairs: Repairs{EmptyClears: 3}},
		"C-15 active yes":                  {in: user(`"active":"yes"`), want: "400 invalidValue"},
		"C-15 active True":                 {in: user(`"active":"True"`), want: "400 invalidValue"},
		"C-15 active True, forgiven":       {dialect: Entra, in: user(`"active":"True"`), want: made(active), repairs: Repairs{BooleanStrings: 1}},
		"C-15 active False, forgiven":      {dialect: Entra, in: user(`"active":"False"`), want: made(`,"active":false`), repairs: Repairs{BooleanStrings: 1}},
		"C-15 active yes, unforgiven":      {dialect: Entra, in: user(`"active":"yes"`), want: "400 invalidValue"},
		"C-15 active empty, unforgiven":    {dialect: Entra, in: user(`"active":""`), want: "400 invalidValue"},
		"C-15 active 0":                    {dialect: Entra, in: user(`"active":0`), want: "400 invalidValue"},
		"C-15 integer 1.5":                 {in: user(own + `:{"floor":1.5}`), want: "400 invalidValue"},
		"C-15 integer 1e2":                 {in: user(own + `:{"floor":1e2}`), want: "400 invalidValue"},
		"C-15 integer":                     {in: user(own + `:{"floor":-3,"height":2}`), want: withOwn(`{"floor":-3,"height":2}`)},
		"C-15 date":                        {in: user(own + `:{"hired":"2020-01-01"}`), want: "400 invalidValue"},
		"C-15 dateTime":                    {in: user(own + `:{"hired":"2020-01-01T00:00:00Z"}`), want: withOwn(`{"hired":"2020-01-01T00:00:00Z"}`)},
		"C-15 base64":                      {in: user(own + `:{"key":"a*"}`), want: "400 invalidValue"},
		"C-15 string for complex":          {in: user(`"name":"Ann"`), want: "400 invalidValue"},
		"C-15 object for a list":           {in: user(`"emails":{"value":"a@b"}`), want: "400 invalidValue"},
		"C-15 object for a list, forgiven": {dialect: OneLogin, in: user(`"emails":{"value":"a@b"}`), want: made(active + `,"emails":[{"value":"a@b"}]`), repairs: Repairs{LooseComplex: 1}},
		"C-15 list for a single value":     {in: user(`"title":["x"]`), want: "400 invalidValue"},
		"C-15 number for a string":         {in: user(`"title":7`), want: "400 invalidValue"},
		"C-15 object for a string":         {dialect: Entra, in: user(`"title":{"value":"x"}`), want: "400 invalidValue"},
		"C-16 base64url":                   {in: user(own + `:{"key":"_-8"}`), want: withOwn(`{"key":"_-8"}`)},
		"C-17 two primaries":               {in: user(`"emails":[{"value":"a","primary":true},{"value":"b","primary":true}]`), want: "400 invalidValue"},
		"C-18 same type and value":         {in: user(`"emails":[{"value":"a","type":"work"},{"value":"A","type":"Work","display":"d"},{"value":"a","type":"home"}]`), want: made(active + `,"emails":[{"value":"A","display":"d","type":"Work"},{"value":"a","type":"home"}]`)},
		"C-19 type of their own":           {in: user(`"emails":[{"value":"a","type":"foo"}]`), want: made(active + `,"emails":[{"value":"a","type":"foo"}]`)},
		"C-21 unknown attribute":           {in: user(`"bogus":1`), want: "400 invalidSyntax"},
		"C-21 unknown, forgiven":           {dialect: Okta, in: user(`"bogus":1,"name":{"x":1,"givenName":"A"},` + ent + `:{"y":1}`), want: made(`,"name":{"givenName":"A"}` + active), repairs: Repairs{IgnoreUnknown: 3}},
		"C-22 password is forgotten":       {in: user(`"password":"s3cret",` + own + `:{"secret":"x","desk":{"number":1,"pin":"9"}}`), want: withOwn(`{"desk":{"number":1}}`)},
		"C-22 password of a wrong type":    {in: user(`"password":7`), want: "400 invalidValue"},
		"C-25 active by default":           {in: user(`"active":null`), want: made(active)},
		"C-27 required sub-attribute":      {in: user(own + `:{"desk":{"serial":"x"}}`), want: "400 invalidValue"},
		"NUL":                              {in: user(`"title":"a\u0000b"`), want: "400 invalidValue"},
		"simple list":                      {in: user(own + `:{"tags":["Red","red","Blue",null]}`), want: withOwn(`{"tags":["Red","Blue"]}`)},
		"extension not an object":          {in: user(ent + `:"D"`), want: "400 invalidValue"},
		"N3 manager as a string":           {dialect: Entra, in: user(ent + `:{"manager":"m1"}`), want: withEnt(`{"manager":{"value":"m1"}}`), repairs: Repairs{LooseComplex: 1}},
		"N3 manager as a string, strict":   {in: user(ent + `:{"manager":"m1"}`), want: "400 invalidValue"},
		"N3 manager as a list of one":      {dialect: Entra, in: user(ent + `:{"manager":[{"value":"m1","displayName":"x","$ref":null}]}`), want: withEnt(`{"manager":{"value":"m1"}}`), repairs: Repairs{LooseComplex: 1}},
		"roles with a primary True":        {dialect: Entra, in: user(`"roles":[{"primary":"True","value":"r","type":"t","display":"d"}]`), want: made(active + `,"roles":[{"value":"r","display":"d","type":"t","primary":true}]`), repairs: Repairs{BooleanStrings: 1}},
		"markup stays as it is":            {in: user(`"title":"<b>&\u2028"`), want: made(`,"title":"<b>&\u2028"` + active)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := c.dialect
			if d == nil {
				d = RFC
			}
			rt := userType()
			raw := decoded(t, c.in)
			res, err := rt.Create(raw, d)
			got := answer(err)
			if err == nil {
				got = string(rt.EncodeJSON(res.Attributes))
				if diff := cmp.Diff(res.Repairs, c.repairs, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("repairs, got before want:\n%s", diff)
				}
			}
			if got != c.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, c.want)
			}
			if strings.Contains(got, "s3cret") || err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Error("the password is answered")
			}
			if diff := cmp.Diff(raw, decoded(t, c.in)); diff != "" {
				t.Errorf("Create changed its argument:\n%s", diff)
			}
		})
	}
}

func TestCreate_C27_RequiredExtension(t *testing.T) {
	t.Parallel()
	rt := UserType(Extension{Schema: EnterpriseUser(), Required: true})
	if _, err := rt.Create(decoded(t, `{`+coreSchemas+`,"userName":"ann"}`), RFC); answer(err) != "400 invalidValue" {
		t.Errorf("got %v", err)
	}
	if _, err := rt.Create(decoded(t, `{`+coreSchemas+`,"userName":"ann",`+ent+`:{"division":"x"}}`), RFC); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestCreate_Group(t *testing.T) {
	t.Parallel()
	group := func(s string) string { return `{"schemas":["` + GroupURN + `"]` + s + `}` }
	for name, c := range map[string]struct {
		dialect  *Dialect
		in, want string
		members  []MemberChange
	}{
		"members apart": {
			in: group(`,"displayName":"G","members":[{"value":"u1","type":"User","display":"x","$ref":null},{"value":"u2"},{"value":"u1"}]`), want: group(`,"displayName":"G"`),
			members: []MemberChange{{Op: MembersAdd, Members: []Member{{"u1", "User"}, {"u2", ""}}}},
		},
		"G-05 a reference alone": {
			in: group(`,"displayName":"G","members":[{"$ref":"https://id.example/v2/Users/u1"}]`), want: group(`,"displayName":"G"`),
			members: []MemberChange{{Op: MembersAdd, Members: []Member{{"u1", ""}}}},
		},
		"G-07 no displayName":    {in: group(``), want: "400 invalidValue"},
		"N13 Entra":              {dialect: Entra, in: `{"schemas":["` + GroupURN + `","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],"externalId":"8aa1","displayName":"G","meta":{"resourceType":"Group"}}`, want: group(`,"externalId":"8aa1","displayName":"G"`)},
		"a member without value": {in: group(`,"displayName":"G","members":[{"type":"User"}]`), want: "400 invalidValue"},
		"O8 no members":          {in: group(`,"displayName":"G","members":[]`), want: group(`,"displayName":"G"`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := GroupType()
			res, err := rt.Create(decoded(t, c.in), c.dialect)
			got := answer(err)
			if err == nil {
				got = string(rt.EncodeJSON(res.Attributes))
			}
			if got != c.want {
				t.Errorf("got %s (%v), want %s", got, err, c.want)
			}
			if diff := cmp.Diff(res.Members, c.members); diff != "" {
				t.Errorf("members, got before want:\n%s", diff)
			}
		})
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	stored := `{"schemas":["` + UserURN + `",` + ent + `,` + own + `],"id":"u1","externalId":"e1","userName":"ann","title":"T","active":false,` +
		`"groups":[{"value":"g1","display":"G"}],` +
		ent + `:{"department":"D","manager":{"value":"m1","displayName":"Max"}},` +
		own + `:{"badge":"B1","computed":"c","desk":{"number":4,"serial":"S"}},"meta":{"resourceType":"User","version":"W/\"3\""}}`
	const tail = `,` + own + `:{"badge":"B1","computed":"c"},"meta":{"resourceType":"User","version":"W/\"3\""}}`
	kept := func(s string) string {
		return `{"schemas":["` + UserURN + `",` + own + `],"id":"u1"` + s
	}
	for name, c := range map[string]struct {
		dialect  *Dialect
		in, want string
		same     bool
	}{
		"P-02 readOnly and another id are ignored": {in: `{` + coreSchemas + `,"id":"u9","userName":"ann","groups":[],"meta":{"version":"7"}}`, want: kept(`,"userName":"ann","active":false,"groups":[{"value":"g1","display":"G"}]` + tail)},
		"P-03 immutable, same":                     {in: `{` + coreSchemas + `,"userName":"ann",` + own + `:{"badge":"B1"}}`, want: kept(`,"userName":"ann","active":false,"groups":[{"value":"g1","display":"G"}]` + tail)},
		"P-03 immutable, other":                    {in: `{` + coreSchemas + `,"userName":"ann",` + own + `:{"badge":"B2"}}`, want: "400 mutability"},
		"P-03 immutable sub-attribute, other":      {in: `{` + coreSchemas + `,"userName":"ann",` + own + `:{"desk":{"number":5,"serial":"R"}}}`, want: "400 mutability"},
		"P-03 immutable sub-attribute, left out":   {in: `{` + coreSchemas + `,"userName":"ann",` + own + `:{"desk":{"number":5}}}`, want: kept(`,"userName":"ann","active":false,"groups":[{"value":"g1","display":"G"}],` + own + `:{"badge":"B1","computed":"c","desk":{"number":5,"serial":"S"}},"meta":{"resourceType":"User","version":"W/\"3\""}}`)},
		"P-04 required missing":                    {in: `{` + coreSchemas + `,"title":"x"}`, want: "400 invalidValue"},
		"P-05 active left out is kept":             {dialect: Okta, in: `{` + coreSchemas + `,"userName":"ann","title":"N"}`, want: kept(`,"userName":"ann","title":"N","active":false,"groups":[{"value":"g1","display":"G"}]` + tail)},
		"P-05 active null is kept":                 {in: `{` + coreSchemas + `,"userName":"ann","active":null}`, want: kept(`,"userName":"ann","active":false,"groups":[{"value":"g1","display":"G"}]` + tail)},
		"P-06 null and [] clear":                   {in: `{` + coreSchemas + `,"userName":"ann","title":null,"emails":[]}`, want: kept(`,"userName":"ann","active":false,"groups":[{"value":"g1","display":"G"}]` + tail)},
		"P-09 the same again": {in: `{"schemas":["` + UserURN + `",` + ent + `,` + own + `],"externalId":"e1","userName":"ann","title":"T","active":false,` +
			ent + `:{"department":"D","manager":{"value":"m1"}},` + own + `:{"desk":{"number":4}}}`, want: stored, same: true},
		"P-09 its own answer":                          {in: stored, want: stored, same: true},
		"P-10 another manager loses the computed name": {in: `{` + coreSchemas + `,"userName":"ann",` + ent + `:{"manager":{"value":"m2"}}}`, want: `{"schemas":["` + UserURN + `",` + ent + `,` + own + `],"id":"u1","userName":"ann","active":false,"groups":[{"value":"g1","display":"G"}],` + ent + `:{"manager":{"value":"m2"}}` + tail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := userType()
			was := decoded(t, stored)
			res, err := rt.Replace(was, decoded(t, c.in), c.dialect)
			got := answer(err)
			if err == nil {
				got = string(rt.EncodeJSON(res.Attributes))
				if res.Changed == c.same {
					t.Errorf("Changed is %v", res.Changed)
				}
			}
			if got != c.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, c.want)
			}
			if diff := cmp.Diff(was, decoded(t, stored)); diff != "" {
				t.Errorf("Replace changed what is stored:\n%s", diff)
			}
		})
	}
}

func TestReplace_P11_GroupMembers(t *testing.T) {
	t.Parallel()
	rt := GroupType()
	stored := decoded(t, `{"schemas":["`+GroupURN+`"],"id":"g1","displayName":"G"}`)
	for name, c := range map[string]struct {
		dialect *Dialect
		in      string
		want    []MemberChange
	}{
		"left out, by the letter": {RFC, ``, []MemberChange{{Op: MembersReplace}}},
		"left out, forgiven":      {OneLogin, ``, nil},
		"empty":                   {OneLogin, `,"members":[]`, []MemberChange{{Op: MembersReplace}}},
		"null":                    {OneLogin, `,"Members":null`, []MemberChange{{Op: MembersReplace}}},
		"O14 given":               {Okta, `,"members":[{"value":"u1"}]`, []MemberChange{{Op: MembersReplace, Members: []Member{{Value: "u1"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := rt.Replace(stored, decoded(t, `{"schemas":["`+GroupURN+`"],"displayName":"G"`+c.in+`}`), c.dialect)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(res.Members, c.want); diff != "" || res.Changed {
				t.Errorf("changed %v, members got before want:\n%s", res.Changed, diff)
			}
		})
	}
}

func TestEncodeJSON_ReadsBackTheSame(t *testing.T) {
	t.Parallel()
	rt := userType()
	out := rt.EncodeJSON(decoded(t, ann))
	if !json.Valid(out) {
		t.Fatalf("not JSON: %s", out)
	}
	if diff := cmp.Diff(decoded(t, string(out)), decoded(t, ann)); diff != "" {
		t.Errorf("got before want:\n%s", diff)
	}
}

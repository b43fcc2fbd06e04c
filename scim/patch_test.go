package scim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// operations makes a PatchOp message.
func operations(list ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(list, ",") + `]}`
}

const (
	urnENT = EnterpriseURN
	urnOwn = "urn:example:my-ext:1.0:User"
	// the user that the tables below patch, between these two
	patchHead = `{"schemas":["` + UserURN + `","` + urnENT + `","` + urnOwn + `"],"id":"u1",`
	patchTail = `"` + urnENT + `":{"department":"D","manager":{"value":"m1","displayName":"Max"}},"` + urnOwn + `":{"badge":"B1","tags":["Red","Blue"],"desk":{"number":4,"serial":"S"}},"meta":{"resourceType":"User","version":"W/\"3\""}}`
)

func patched() string {
	return patchHead + `"userName":"ann","name":{"familyName":"F","givenName":"G"},"title":"T","active":true,"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home"}],"groups":[{"value":"g1"}],` + patchTail
}

func TestApply(t *testing.T) {
	t.Parallel()
	const (
		emails = `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home"}],`
		groups = `"groups":[{"value":"g1"}],`
		active = `"active":true,`
		name   = `"name":{"familyName":"F","givenName":"G"},`
		user   = `"userName":"ann",`
		title  = `"title":"T",`
		same   = "same"
	)
	with := func(s string) string { return patchHead + s + groups + patchTail }
	ext := func(e, o string) string {
		schemas := `"` + UserURN + `"`
		tail := ""
		if e != "" {
			schemas += `,"` + urnENT + `"`
			tail += `"` + urnENT + `":` + e + `,`
		}
		if o != "" {
			schemas += `,"` + urnOwn + `"`
			tail += `"` + urnOwn + `":` + o + `,`
		}
		return `{"schemas":[` + schemas + `],"id":"u1",` + user + name + title + active + emails + groups + tail + `"meta":{"resourceType":"User","version":"W/\"3\""}}`
	}
	const (
		entData = `{"department":"D","manager":{"value":"m1","displayName":"Max"}}`
		ownData = `{"badge":"B1","tags":["Red","Blue"],"desk":{"number":4,"serial":"S"}}`
	)
	for label, c := range map[string]struct {
		dialect *Dialect
		in      string // operations, or a whole message when it has schemas
		want    string
		repairs Repairs
	}{
		"X-01 schemas missing":                        {in: `{"schemas":[],"Operations":[{"op":"replace","path":"title","value":"x"}]}`, want: "400 invalidSyntax"},
		"X-01 schemas other":                          {dialect: Ping, in: `{"schemas":["` + UserURN + `"],"Operations":[{"op":"replace","path":"title","value":"x"}]}`, want: "400 invalidSyntax"},
		"X-02 Operations missing":                     {in: `{"schemas":["` + PatchURN + `"]}`, want: "400 invalidSyntax"},
		"X-02 Operations empty":                       {in: `{"schemas":["` + PatchURN + `"],"Operations":[]}`, want: "400 invalidSyntax"},
		"X-02 Operations an object":                   {in: `{"schemas":["` + PatchURN + `"],"Operations":{"op":"add"}}`, want: "400 invalidSyntax"},
		"X-02 an operation not an object":             {in: `{"schemas":["` + PatchURN + `"],"Operations":["add"]}`, want: "400 invalidSyntax"},
		"X-02 names in any case":                      {in: `{"SCHEMAS":["` + strings.ToUpper(PatchURN) + `"],"operations":[{"OP":"replace","PATH":"title","VALUE":"N"}]}`, want: with(user + name + `"title":"N",` + active + emails)},
		"X-03 op in any case":                         {in: `{"op":"Replace","path":"title","value":"N"}`, want: with(user + name + `"title":"N",` + active + emails)},
		"X-03 unknown op":                             {in: `{"op":"move","path":"title","value":"N"}`, want: "400 invalidSyntax"},
		"X-03 op missing":                             {in: `{"path":"title","value":"N"}`, want: "400 invalidSyntax"},
		"X-04 one fails, none happens":                {in: `{"op":"replace","path":"title","value":"N"},{"op":"replace","path":"emails[type eq \"x\"].value","value":"N"},{"op":"remove","path":"name"}`, want: "400 noTarget"},
		"X-05 a step sees the one before":             {in: `{"op":"add","path":"emails","value":[{"type":"other","value":"o@x"}]},{"op":"replace","path":"emails[type eq \"other\"].value","value":"p@x"}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home"},{"value":"p@x","type":"other"}],`)},
		"X-06 add what is there":                      {in: `{"op":"add","path":"emails","value":[{"type":"work","value":"w@x"}]},{"op":"add","path":"title","value":"T"},{"op":"add","path":"` + urnOwn + `:tags","value":["red"]}`, want: same},
		"X-07 add appends":                            {in: `{"op":"add","path":"emails","value":[{"type":"other","value":"o@x"},{"type":"home","value":"H@X","display":"d"}]}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"H@X","display":"d","type":"home"},{"value":"o@x","type":"other"}],`)},
		"X-07 add one without a list":                 {in: `{"op":"add","path":"emails","value":{"type":"other","value":"o@x"}}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home"},{"value":"o@x","type":"other"}],`)},
		"X-08 add to complex":                         {in: `{"op":"add","path":"name","value":{"middleName":"M"}}`, want: with(user + `"name":{"familyName":"F","givenName":"G","middleName":"M"},` + title + active + emails)},
		"X-09 add without value":                      {in: `{"op":"add","path":"title"}`, want: "400 invalidValue"},
		"X-09 replace without value":                  {in: `{"op":"replace","path":"title"}`, want: "400 invalidValue"},
		"X-10 add without path, no object":            {in: `{"op":"add","value":"x"}`, want: "400 invalidSyntax"},
		"X-11 remove without path":                    {in: `{"op":"remove","value":{"title":"T"}}`, want: "400 noTarget"},
		"X-11 remove with a blank path":               {in: `{"op":"remove","path":" "}`, want: "400 noTarget"},
		"X-12 remove required":                        {in: `{"op":"remove","path":"userName"}`, want: "400 mutability"},
		"X-12 null to required":                       {in: `{"op":"replace","path":"userName","value":null}`, want: "400 mutability"},
		"X-12 blank to required":                      {dialect: Entra, in: `{"op":"replace","path":"userName","value":""}`, want: "400 invalidValue"},
		"X-12 remove required part":                   {in: `{"op":"remove","path":"` + urnOwn + `:desk.number"}`, want: "400 mutability"},
		"X-12 null to required part":                  {in: `{"op":"replace","path":"` + urnOwn + `:desk","value":{"number":null}}`, want: "400 mutability"},
		"X-13 remove groups":                          {in: `{"op":"remove","path":"groups"}`, want: "400 mutability"},
		"X-13 remove a group":                         {in: `{"op":"remove","path":"groups[value eq \"g1\"]"}`, want: "400 mutability"},
		"X-13 remove id":                              {in: `{"op":"remove","path":"id"}`, want: "400 mutability"},
		"X-13 remove meta":                            {in: `{"op":"remove","path":"meta"}`, want: "400 mutability"},
		"X-14 remove absent":                          {in: `{"op":"remove","path":"nickName"},{"op":"remove","path":"addresses[type eq \"work\"].country"},{"op":"remove","path":"emails[value eq \"nobody\"]"},{"op":"remove","path":"name.middleName"}`, want: same},
		"X-16 replace, no match":                      {in: `{"op":"replace","path":"emails[type eq \"other\"].value","value":"o@x"}`, want: "400 noTarget"},
		"X-16 N7 replace, no match":                   {dialect: Entra, in: `{"op":"Replace","path":"addresses[type eq \"work\"].country","value":"DE"}`, want: with(user + name + title + active + emails + `"addresses":[{"country":"DE","type":"work"}],`), repairs: Repairs{CreateOnMiss: 1}},
		"X-16 N6 add, no match":                       {dialect: Entra, in: `{"op":"Add","path":"phoneNumbers[type eq \"mobile\" and primary eq \"True\"].value","value":"1"}`, want: with(user + name + title + active + emails + `"phoneNumbers":[{"value":"1","type":"mobile","primary":true}],`), repairs: Repairs{CreateOnMiss: 1, BooleanStrings: 2}},
		"X-16 a second primary is made":               {dialect: Entra, in: `{"op":"Add","path":"emails[type eq \"other\" and primary eq true].value","value":"o@x"}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","type":"work","primary":false},{"value":"h@x","type":"home"},{"value":"o@x","type":"other","primary":true}],`), repairs: Repairs{CreateOnMiss: 1}},
		"X-16 filter describes nothing":               {dialect: Entra, in: `{"op":"Replace","path":"emails[type co \"x\"].value","value":"1"}`, want: "400 noTarget"},
		"X-16 filter describes two":                   {dialect: Entra, in: `{"op":"Replace","path":"emails[type eq \"x\" or type eq \"y\"].value","value":"1"}`, want: "400 noTarget"},
		"X-17 replace a list":                         {in: `{"op":"replace","path":"emails","value":[{"value":"n@x"}]}`, want: with(user + name + title + active + `"emails":[{"value":"n@x"}],`)},
		"X-17 [] empties":                             {in: `{"op":"replace","path":"emails","value":[]}`, want: with(user + name + title + active)},
		"X-18 replace complex":                        {in: `{"op":"replace","path":"name","value":{"givenName":"N"}}`, want: with(user + `"name":{"familyName":"F","givenName":"N"},` + title + active + emails)},
		"X-19 replace absent":                         {in: `{"op":"replace","path":"nickName","value":"N"},{"op":"replace","path":"addresses","value":[{"country":"DE"}]}`, want: with(user + name + `"nickName":"N",` + title + active + emails + `"addresses":[{"country":"DE"}],`)},
		"X-20 two matches":                            {in: `{"op":"replace","path":"emails[type eq \"work\" or type eq \"home\"].display","value":"d"}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","display":"d","type":"work","primary":true},{"value":"h@x","display":"d","type":"home"}],`)},
		"X-21 a new primary":                          {in: `{"op":"replace","path":"emails[type eq \"home\"].primary","value":true}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","type":"work","primary":false},{"value":"h@x","type":"home","primary":true}],`)},
		"X-21 a new primary by add":                   {in: `{"op":"add","path":"emails","value":[{"value":"n@x","primary":true}]}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","type":"work","primary":false},{"value":"h@x","type":"home"},{"value":"n@x","primary":true}],`)},
		"X-22 two primaries":                          {in: `{"op":"add","path":"emails","value":[{"value":"n@x","primary":true},{"value":"m@x","primary":true}]}`, want: "400 invalidValue"},
		"X-22 two primaries by filter":                {in: `{"op":"replace","path":"emails[value co \"@\"].primary","value":true}`, want: "400 invalidValue"},
		"X-22 two primaries by path":                  {in: `{"op":"replace","path":"emails.primary","value":true}`, want: "400 invalidValue"},
		"X-23 id":                                     {in: `{"op":"replace","path":"id","value":"u1"}`, want: "400 mutability"},
		"X-23 meta.version":                           {in: `{"op":"replace","path":"meta.version","value":"9"}`, want: "400 mutability"},
		"X-23 groups":                                 {in: `{"op":"add","path":"groups","value":[{"value":"g2"}]}`, want: "400 mutability"},
		"X-23 groups without path":                    {dialect: Okta, in: `{"op":"add","value":{"groups":[{"value":"g2"}]}}`, want: "400 mutability"},
		"X-23 manager.displayName":                    {in: `{"op":"add","path":"` + urnENT + `:manager.displayName","value":"x"}`, want: "400 mutability"},
		"X-23 schemas":                                {in: `{"op":"add","path":"schemas","value":["` + urnENT + `"]}`, want: "400 mutability"},
		"X-24 immutable, same":                        {in: `{"op":"replace","path":"` + urnOwn + `:badge","value":"B1"},{"op":"add","path":"` + urnOwn + `:desk","value":{"serial":"S"}}`, want: same},
		"X-24 immutable, other":                       {in: `{"op":"replace","path":"` + urnOwn + `:badge","value":"B2"}`, want: "400 mutability"},
		"X-24 immutable part, other":                  {in: `{"op":"add","path":"` + urnOwn + `:desk.serial","value":"R"}`, want: "400 mutability"},
		"X-24 immutable, removed":                     {in: `{"op":"remove","path":"` + urnOwn + `:badge"}`, want: "400 mutability"},
		"X-24 immutable, with its schema":             {in: `{"op":"remove","path":"` + urnOwn + `"}`, want: "400 mutability"},
		"X-26 open bracket":                           {in: `{"op":"remove","path":"emails["}`, want: "400 invalidPath"},
		"X-26 pointer":                                {in: `{"op":"remove","path":"/members"}`, want: "400 invalidPath"},
		"X-26 index":                                  {in: `{"op":"remove","path":"emails[0]"}`, want: "400 invalidPath"},
		"X-26 not a string":                           {in: `{"op":"remove","path":7}`, want: "400 invalidPath"},
		"X-26 text after the path":                    {in: `{"op":"remove","path":"emails[type eq \"work\"].value x"}`, want: "400 invalidPath"},
		"X-27 unknown":                                {in: `{"op":"add","path":"bogus","value":1}`, want: "400 invalidPath"},
		"X-27 unknown, however lenient":               {dialect: Entra, in: `{"op":"add","path":"bogus","value":1}`, want: "400 invalidPath"},
		"X-27 unknown part":                           {in: `{"op":"add","path":"name.bogus","value":1}`, want: "400 invalidPath"},
		"X-27 unknown part of an element":             {in: `{"op":"add","path":"emails[type eq \"work\"].bogus","value":1}`, want: "400 invalidPath"},
		"X-28 bad filter":                             {in: `{"op":"remove","path":"emails[foo eq \"x\"]"}`, want: "400 invalidFilter"},
		"X-28 bad operator for a type":                {in: `{"op":"remove","path":"emails[primary gt true]"}`, want: "400 invalidFilter"},
		"X-29 core URN":                               {in: `{"op":"replace","path":"` + strings.ToUpper(UserURN) + `:TITLE","value":"N"},{"op":"remove","path":"` + UserURN + `:emails[type eq \"home\"]"}`, want: with(user + name + `"title":"N",` + active + `"emails":[{"value":"w@x","type":"work","primary":true}],`)},
		"X-30 an extension goes":                      {in: `{"op":"remove","path":"` + urnENT + `:department"},{"op":"remove","path":"` + urnENT + `:manager"}`, want: ext("", ownData)},
		"X-31 an extension sent with its own schemas": {in: `{"op":"replace","path":"` + urnENT + `","value":{"division":"V","schemas":["` + urnENT + `"]}}`, want: ext(`{"division":"V","department":"D","manager":{"value":"m1","displayName":"Max"}}`, ownData)},
		"X-31 remove an extension":                    {in: `{"op":"remove","path":"` + urnENT + `"}`, want: ext("", ownData)},
		"X-31 replace an extension":                   {in: `{"op":"replace","path":"` + urnENT + `","value":{"division":"V"}}`, want: ext(`{"division":"V","department":"D","manager":{"value":"m1","displayName":"Max"}}`, ownData)},
		"X-32 simple list":                            {in: `{"op":"remove","path":"` + urnOwn + `:tags[value eq \"red\"]"}`, want: ext(entData, `{"badge":"B1","tags":["Blue"],"desk":{"number":4,"serial":"S"}}`)},
		"X-32 simple list, replaced":                  {in: `{"op":"replace","path":"` + urnOwn + `:tags[value sw \"b\"]","value":"Green"}`, want: ext(entData, `{"badge":"B1","tags":["Red","Green"],"desk":{"number":4,"serial":"S"}}`)},
		"X-33 null":                                   {in: `{"op":"replace","path":"title","value":null},{"op":"replace","path":"name.givenName","value":null},{"op":"replace","value":{"emails":null}}`, want: with(user + `"name":{"familyName":"F"},` + active)},
		"X-33 null inside":                            {in: `{"op":"replace","path":"name","value":{"givenName":null}}`, want: with(user + `"name":{"familyName":"F"},` + title + active + emails)},
		"X-33 add null":                               {in: `{"op":"add","path":"title","value":null}`, want: same},
		"X-36 filter on a single value":               {in: `{"op":"replace","path":"name[givenName eq \"G\"]","value":{}}`, want: "400 invalidPath"},
		"X-36 filter on a part":                       {in: `{"op":"replace","path":"emails.value[value eq \"G\"]","value":"x"}`, want: "400 invalidPath"},
		"X-37 every element":                          {in: `{"op":"replace","path":"emails.display","value":"d"}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","display":"d","type":"work","primary":true},{"value":"h@x","display":"d","type":"home"}],`)},
		"X-37 of none":                                {in: `{"op":"add","path":"addresses.country","value":"DE"}`, want: with(user + name + title + active + emails + `"addresses":[{"country":"DE"}],`)},
		"X-38 names are paths":                        {in: `{"op":"replace","value":{"name.givenName":"N","` + urnENT + `:department":"E","` + urnENT + `":{"division":"X"},"emails[type eq \"work\"].value":"n@x"}}`, want: patchHead + user + `"name":{"familyName":"F","givenName":"N"},` + title + active + `"emails":[{"value":"n@x","type":"work","primary":true},{"value":"h@x","type":"home"}],` + groups + strings.Replace(patchTail, `"department":"D"`, `"division":"X","department":"E"`, 1)},
		"X-38 unknown name":                           {in: `{"op":"replace","value":{"bogus":1}}`, want: "400 invalidPath"},
		"X-38 unknown name, forgiven":                 {dialect: Okta, in: `{"op":"replace","value":{"bogus":1,"bogus[a eq 1].b":1,"title":"N"}}`, want: with(user + name + `"title":"N",` + active + emails), repairs: Repairs{IgnoreUnknown: 2}},
		"X-42 __proto__":                              {in: `{"op":"add","value":{"__proto__":{"active":false}}}`, want: "400 invalidPath"},
		"X-42 a path of 1 MB":                         {in: `{"op":"remove","path":"` + strings.Repeat("a", 1<<20) + `"}`, want: "400 invalidPath"},
		"X-42 5000 brackets":                          {in: `{"op":"remove","path":"emails` + strings.Repeat("[", 5000) + `"}`, want: "400 invalidPath"},
		"replace chosen elements":                     {in: `{"op":"replace","path":"emails[type eq \"work\"]","value":{"value":"n@x","type":"work"}}`, want: with(user + name + title + active + `"emails":[{"value":"n@x","type":"work"},{"value":"h@x","type":"home"}],`)},
		"add to chosen elements":                      {in: `{"op":"add","path":"emails[type eq \"work\"]","value":[{"display":"d"}]}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","display":"d","type":"work","primary":true},{"value":"h@x","type":"home"}],`)},
		"remove part of an element":                   {in: `{"op":"remove","path":"emails[type eq \"work\"].primary"}`, want: with(user + name + title + active + `"emails":[{"value":"w@x","type":"work"},{"value":"h@x","type":"home"}],`)},
		"remove the last element":                     {in: `{"op":"remove","path":"emails[value co \"@\"]"}`, want: with(user + name + title + active)},
		"remove with a value":                         {in: `{"op":"remove","path":"emails","value":[{"value":"w@x"}]}`, want: "400 invalidValue"},
		"remove with a value, forgiven":               {dialect: Entra, in: `{"op":"remove","path":"emails","value":[{"value":"W@X"}]}`, want: with(user + name + title + active + `"emails":[{"value":"h@x","type":"home"}],`), repairs: Repairs{RemoveByValue: 1}},
		"remove with an empty list":                   {dialect: Entra, in: `{"op":"remove","path":"emails","value":[]}`, want: "400 invalidValue"},
		"remove a single value with value":            {in: `{"op":"remove","path":"title","value":"T"}`, want: with(user + name + active + emails)},
		"wrong type":                                  {in: `{"op":"replace","path":"emails[type eq \"work\"].value","value":7}`, want: "400 invalidValue"},
		"wrong type inside":                           {in: `{"op":"add","path":"name","value":{"givenName":7}}`, want: "400 invalidValue"},
		"unknown part of a value":                     {in: `{"op":"add","path":"name","value":{"bogus":7}}`, want: "400 invalidSyntax"},
		"password is checked, forgotten":              {in: `{"op":"replace","path":"password","value":"s3cret"},{"op":"replace","value":{"password":"s3cret"}},{"op":"remove","path":"password"},{"op":"add","path":"` + urnOwn + `:desk.pin","value":"1"}`, want: same},
		"password of a wrong type":                    {in: `{"op":"replace","path":"password","value":7}`, want: "400 invalidValue"},
		"removing active":                             {in: `{"op":"remove","path":"active"}`, want: with(user + name + title + emails)},
		"removing active, and it comes back":          {in: `{"op":"remove","path":"active"},{"op":"add","path":"active","value":true}`, want: same},
		"N5 active False":                             {dialect: Entra, in: `{"op":"Replace","path":"active","value":"False"}`, want: with(user + name + title + `"active":false,` + emails), repairs: Repairs{BooleanStrings: 1}},
		"N9 manager as a string":                      {dialect: Entra, in: `{"op":"Add","path":"` + urnENT + `:manager","value":"m2"}`, want: ext(`{"department":"D","manager":{"value":"m2"}}`, ownData), repairs: Repairs{LooseComplex: 1}},
		"N9 manager as a list":                        {dialect: Entra, in: `{"op":"Replace","path":"` + urnENT + `:manager","value":[{"value":"m2","$ref":"https://x/Users/m2"}]}`, want: ext(`{"department":"D","manager":{"value":"m2","$ref":"https://x/Users/m2"}}`, ownData), repairs: Repairs{LooseComplex: 1}},
		"N9 manager as an object":                     {dialect: Entra, in: `{"op":"Replace","path":"` + urnENT + `:manager","value":{"value":"m2"}}`, want: ext(`{"department":"D","manager":{"value":"m2"}}`, ownData)},
		"N9 manager.value":                            {dialect: Entra, in: `{"op":"Replace","path":"` + urnENT + `:manager.value","value":"m2"}`, want: ext(`{"department":"D","manager":{"value":"m2"}}`, ownData)},
		"N9 the same manager":                         {dialect: Entra, in: `{"op":"Replace","path":"` + urnENT + `:manager","value":"m1"}`, want: same, repairs: Repairs{LooseComplex: 1}},
		"N9 manager as a string, strict":              {in: `{"op":"Add","path":"` + urnENT + `:manager","value":"m2"}`, want: "400 invalidValue"},
		"N10 manager removed by blank":                {dialect: Entra, in: `{"op":"Replace","path":"` + urnENT + `:manager","value":""}`, want: ext(`{"department":"D"}`, ownData), repairs: Repairs{EmptyClears: 1}},
		"N10 manager removed":                         {dialect: Entra, in: `{"op":"Remove","path":"` + urnENT + `:manager"}`, want: ext(`{"department":"D"}`, ownData)},
		"N11 dotted names":                            {dialect: Entra, in: `{"op":"replace","value":{"displayName":"B","name.givenName":"N","` + urnENT + `:employeeNumber":"7","schemas":["x"]}}`, want: patchHead + user + `"name":{"familyName":"F","givenName":"N"},"displayName":"B",` + title + active + emails + groups + strings.Replace(patchTail, `"department":"D"`, `"employeeNumber":"7","department":"D"`, 1), repairs: Repairs{ReadOnlyInPatch: 1}},
		"O6 without a path":                           {dialect: Okta, in: `{"op":"replace","value":{"active":false}}`, want: with(user + name + title + `"active":false,` + emails)},
		"O9 its own id":                               {dialect: Okta, in: `{"op":"replace","value":{"id":"u1","title":"N"}}`, want: with(user + name + `"title":"N",` + active + emails), repairs: Repairs{SameID: 1}},
		"O9 another id":                               {dialect: Okta, in: `{"op":"replace","value":{"id":"u2","title":"N"}}`, want: "400 mutability"},
		"O9 its own id, strict":                       {in: `{"op":"replace","value":{"id":"u1"}}`, want: "400 mutability"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			rt := userType()
			body := c.in
			if !strings.Contains(strings.ToLower(body), `{"schemas"`) {
				body = operations(body)
			}
			current := decoded(t, patched())
			start := time.Now()
			p, err := ParsePatch(rt, []byte(body), c.dialect)
			var res Result
			if err == nil {
				res, err = Apply(rt, current, p)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			got := answer(err)
			if err == nil {
				got = string(rt.EncodeJSON(res.Attributes))
				if res.Changed != (got != patched()) {
					t.Errorf("Changed is %v", res.Changed)
				}
				if got == patched() {
					got = same
				}
				if diff := cmp.Diff(res.Repairs, c.repairs, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("repairs, got before want:\n%s", diff)
				}
			}
			if got != c.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Error("the password is answered")
			}
			if diff := cmp.Diff(current, decoded(t, patched())); diff != "" {
				t.Errorf("Apply changed its argument:\n%s", diff)
			}
		})
	}
}

func TestApply_X30_FirstValueOfAnExtension(t *testing.T) {
	t.Parallel()
	rt := userType()
	p, err := ParsePatch(rt, []byte(operations(`{"op":"Add","path":"`+urnENT+`:department","value":"D2"}`)), Entra)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Apply(rt, decoded(t, `{`+coreSchemas+`,"userName":"ann","active":true}`), p)
	want := `{"schemas":["` + UserURN + `","` + urnENT + `"],"userName":"ann","active":true,"` + urnENT + `":{"department":"D2"}}`
	if got := string(rt.EncodeJSON(res.Attributes)); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// What has a default becomes unassigned like anything else: the default does not come back, since a null in a template
// would bring back a person who has left, and a success would have been said of nothing if the value stayed.
func TestApply_UnassignedIsNotTheDefault(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]any{
		`{"op":"remove","path":"active"}`:                      nil,
		`{"op":"remove","path":"` + UserURN + `:ACTIVE"}`:      nil,
		`{"op":"replace","path":"active","value":null}`:        nil,
		`{"op":"replace","value":{"active":null,"title":"x"}}`: nil,
		`{"op":"replace","path":"active","value":[]}`:          nil,
		`{"op":"add","path":"active","value":null}`:            false, // an add of nothing
	} {
		for _, d := range Dialects {
			p, err := ParsePatch(userType(), []byte(operations(in)), d)
			if err != nil {
				t.Fatalf("%s: %v", in, err)
			}
			res, err := Apply(userType(), Attributes{"userName": "ann", "active": false}, p)
			if err != nil || res.Attributes["active"] != want {
				t.Errorf("%s: active is %v, %v, want %v", in, res.Attributes["active"], err, want)
			}
			put, err := userType().Replace(res.Attributes, Attributes{"schemas": []any{UserURN}, "userName": "ann"}, d)
			if err != nil || put.Attributes["active"] != want {
				t.Errorf("%s, and a PUT that says nothing: active is %v, %v, want %v", in, put.Attributes["active"], err, want)
			}
		}
	}
}

func TestApply_X12_RequiredExtension(t *testing.T) {
	t.Parallel()
	rt := UserType(Extension{Schema: EnterpriseUser(), Required: true})
	current := Attributes{"userName": "ann", "active": true, urnENT: map[string]any{"department": "D"}}
	for _, in := range []string{`{"op":"remove","path":"` + urnENT + `"}`, `{"op":"remove","path":"` + urnENT + `:department"}`, `{"op":"replace","value":{"` + urnENT + `":null}}`} {
		p, err := ParsePatch(rt, []byte(operations(in)), RFC)
		if err == nil {
			_, err = Apply(rt, current, p)
		}
		if answer(err) != "400 mutability" {
			t.Errorf("%s: got %v", in, err)
		}
	}
}

func TestApply_NewComplexNeedsItsRequiredParts(t *testing.T) {
	t.Parallel()
	p, err := ParsePatch(userType(), []byte(operations(`{"op":"add","path":"`+urnOwn+`:desk","value":{"serial":"S"}}`)), RFC)
	if err == nil {
		_, err = Apply(userType(), Attributes{"userName": "ann", "active": true}, p)
	}
	if answer(err) != "400 invalidValue" {
		t.Errorf("got %v", err)
	}
}

func TestApply_ErrorsNameTheOperation(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"op":"remove","path":"title"},{"op":"remove","path":"userName"}`:                                                        "Operation 2: userName is required and cannot be removed.",
		`{"op":"replace","value":{"title":"x","nickName":"y"}},{"op":"replace","path":"emails[type eq \"x\"].value","value":"y"}`: "Operation 2: Nothing in emails matches the filter of the path.",
	} {
		p, err := ParsePatch(userType(), []byte(operations(in)), RFC)
		if err == nil {
			_, err = Apply(userType(), decoded(t, patched()), p)
		}
		if got := AsError(err).Detail; got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

// Every spelling of "inactive" must end inactive or answer an error: a 200 that leaves a leaver
// active is the one mistake that cannot be made.
func TestApply_NeverLosesALeaver(t *testing.T) {
	t.Parallel()
	for _, d := range Dialects {
		for _, path := range []string{"active", "Active", UserURN + ":active", ""} {
			for _, value := range []string{`false`, `"False"`, `"false"`, `"FALSE"`, `0`, `"0"`, `"no"`, `""`, `[false]`, `{"value":false}`, `["False"]`} {
				for _, op := range []string{"replace", "Replace", "add", "Add"} {
					in := fmt.Sprintf(`{"op":%q,"path":%q,"value":%s}`, op, path, value)
					if path == "" {
						in = fmt.Sprintf(`{"op":%q,"value":{"active":%s}}`, op, value)
					}
					p, err := ParsePatch(userType(), []byte(operations(in)), d)
					if err != nil {
						continue
					}
					res, err := Apply(userType(), decoded(t, patched()), p)
					if err == nil && res.Attributes["active"] != false {
						t.Errorf("%s: %s left the user active", d.Name, in)
					}
				}
			}
		}
	}
}

func TestApply_Members(t *testing.T) {
	t.Parallel()
	const locked = "400 mutability"
	u := func(ids ...string) (out []Member) {
		for _, id := range ids {
			out = append(out, Member{Value: id})
		}
		return out
	}
	for name, c := range map[string]struct {
		dialect *Dialect
		in      string
		answer  string
		want    []MemberChange
		attrs   string
	}{
		"N15 add":                        {dialect: Entra, in: `{"op":"Add","path":"members","value":[{"$ref":null,"value":"u1"}]}`, want: []MemberChange{{Op: MembersAdd, Members: u("u1")}}},
		"N16 remove by value":            {dialect: Entra, in: `{"op":"Remove","path":"members","value":[{"$ref":null,"value":"u1"}]}`, want: []MemberChange{{Op: MembersRemove, Members: u("u1")}}},
		"N16 remove by value, JumpCloud": {dialect: JumpCloud, in: `{"op":"remove","path":"members","value":[{"value":"u1"},{"value":"u2"}]}`, want: []MemberChange{{Op: MembersRemove, Members: u("u1", "u2")}}},
		"N16 remove by value, others":    {dialect: Okta, in: `{"op":"remove","path":"members","value":[{"value":"u1"}]}`, answer: "400 invalidValue"},
		"N16 remove an empty list":       {dialect: Entra, in: `{"op":"Remove","path":"members","value":[]}`, answer: "400 invalidValue"},
		"N16 remove a list of nothing":   {dialect: Entra, in: `{"op":"Remove","path":"members","value":[null]}`, answer: "400 invalidValue"},
		"N16 remove blank":               {dialect: Entra, in: `{"op":"Remove","path":"members","value":""}`, answer: "400 invalidValue"},
		"N16 remove by filter":           {dialect: Entra, in: `{"op":"remove","path":"members[value eq \"u1\"]"}`, want: []MemberChange{{Op: MembersRemove, Members: u("u1")}}},
		"N16 remove several by filter":   {in: `{"op":"remove","path":"members[value eq \"u1\" or value eq \"U1\"]"}`, want: []MemberChange{{Op: MembersRemove, Members: u("u1", "U1")}}},
		"N17 rename leaves members":      {dialect: Entra, in: `{"op":"Replace","path":"displayName","value":"G2"}`, attrs: `"displayName":"G2"`},
		"O9 rename":                      {dialect: Okta, in: `{"op":"replace","value":{"id":"g1","displayName":"G2"}}`, attrs: `"displayName":"G2"`},
		"O10 remove and add":             {dialect: Okta, in: `{"op":"remove","path":"members[value eq \"u1\"]"},{"op":"add","path":"members","value":[{"value":"u2","display":"t@x"}]}`, want: []MemberChange{{Op: MembersRemove, Members: u("u1")}, {Op: MembersAdd, Members: u("u2")}}},
		"O11 full push":                  {dialect: Okta, in: `{"op":"replace","path":"members","value":[{"value":"u1"},{"value":"u2"},{"value":"u1"}]}`, want: []MemberChange{{Op: MembersReplace, Members: u("u1", "u2")}}},
		"O11 full push of none":          {dialect: Okta, in: `{"op":"replace","path":"members","value":[]}`, want: []MemberChange{{Op: MembersReplace}}},
		"X-15 remove all":                {in: `{"op":"remove","path":"members"}`, want: []MemberChange{{Op: MembersReplace}}},
		"X-33 null":                      {in: `{"op":"replace","path":"members","value":null}`, want: []MemberChange{{Op: MembersReplace}}},
		"X-25 value of a member":         {in: `{"op":"replace","path":"members[value eq \"u1\"].value","value":"u2"}`, answer: locked},
		"X-25 type of a member":          {in: `{"op":"remove","path":"members[value eq \"u1\"].type"}`, answer: locked},
		"X-25 value of all members":      {in: `{"op":"replace","path":"members.value","value":"u2"}`, answer: locked},
		"X-25 a member for another":      {in: `{"op":"replace","path":"members[value eq \"u1\"]","value":{"value":"u2"}}`, answer: locked},
		"a member named twice":           {in: `{"op":"add","path":"members[value eq \"u1\"]","value":{"value":"u1"}}`, want: []MemberChange{{Op: MembersAdd, Members: u("u1")}}},
		"display is the server's":        {in: `{"op":"replace","path":"members[value eq \"u1\"].display","value":"x"}`, answer: locked},
		"without a path":                 {in: `{"op":"add","value":{"members":[{"value":"u1"}],"displayName":"G2"}}`, want: []MemberChange{{Op: MembersAdd, Members: u("u1")}}, attrs: `"displayName":"G2"`},
		"one without a list":             {in: `{"op":"add","path":"members","value":{"value":"u1"}}`, want: []MemberChange{{Op: MembersAdd, Members: u("u1")}}},
		"by type":                        {in: `{"op":"remove","path":"members[type eq \"Group\"]"}`, want: []MemberChange{{Op: MembersRemoveWhere}}},
		"by more than type":              {in: `{"op":"remove","path":"members[not (type eq \"User\") and (value sw \"x\" or type pr)]"}`, want: []MemberChange{{Op: MembersRemoveWhere}}},
		"by display, deep":               {in: `{"op":"remove","path":"members[not (type eq \"User\" or display pr)]"}`, answer: "400 invalidFilter"},
		"by display":                     {in: `{"op":"remove","path":"members[display eq \"x\"]"}`, answer: "400 invalidFilter"},
		"adds are joined":                {in: `{"op":"add","path":"members","value":[{"value":"u1"}]},{"op":"add","path":"members","value":[{"value":"u2"},{"value":"u1"}]}`, want: []MemberChange{{Op: MembersAdd, Members: u("u1", "u2")}}},
		"a replace forgets what was":     {in: `{"op":"add","path":"members","value":[{"value":"u1"}]},{"op":"replace","path":"members","value":[{"value":"u2"}]},{"op":"add","path":"members","value":[{"value":"u3"}]}`, want: []MemberChange{{Op: MembersReplace, Members: u("u2")}, {Op: MembersAdd, Members: u("u3")}}},
		"add of none":                    {in: `{"op":"add","path":"members","value":[]}`},
		"a member without a value":       {in: `{"op":"add","path":"members","value":[{"type":"User"}]}`, answer: "400 invalidValue"},
		"blank is not everybody":         {dialect: Entra, in: `{"op":"replace","path":"members","value":""}`, answer: "400 invalidValue"},
		"displayName cannot be removed":  {in: `{"op":"remove","path":"displayName"}`, answer: locked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := GroupType()
			p, err := ParsePatch(rt, []byte(operations(c.in)), c.dialect)
			var res Result
			if err == nil {
				res, err = Apply(rt, decoded(t, `{"schemas":["`+GroupURN+`"],"id":"g1","displayName":"G"}`), p)
			}
			if got := answer(err); got != c.answer {
				t.Fatalf("got %q (%v), want %q", got, err, c.answer)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(res.Members, c.want, cmpopts.IgnoreFields(MemberChange{}, "Where"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("members, got before want:\n%s", diff)
			}
			for _, m := range res.Members {
				if (m.Where != nil) != (m.Op == MembersRemoveWhere) {
					t.Errorf("%+v", m)
				}
			}
			attrs := c.attrs
			if attrs == "" {
				attrs = `"displayName":"G"`
			}
			if got, want := string(rt.EncodeJSON(res.Attributes)), `{"schemas":["`+GroupURN+`"],"id":"g1",`+attrs+`}`; got != want || res.Changed != (c.attrs != "") {
				t.Errorf("got %s, changed %v, want %s", got, res.Changed, want)
			}
		})
	}
}

func TestParsePatch_X39_TooManyOperations(t *testing.T) {
	t.Parallel()
	one := `{"op":"add","path":"title","value":"x"}`
	_, err := ParsePatch(userType(), []byte(operations(one+strings.Repeat(","+one, MaxOperations))), RFC)
	if answer(err) != "413" {
		t.Errorf("got %v", err)
	}
}

// An add or replace that went through once changes nothing the second time, as long as its filter
// still finds what it found.
func TestApply_IsIdempotent(t *testing.T) {
	t.Parallel()
	rt := userType()
	text := rapid.SampledFrom([]string{`"a"`, `"B"`, `"b"`, `null`, `"é"`})
	emails := rapid.SampledFrom([]string{`[]`, `[{"value":"a"}]`, `[{"value":"A","type":"work"},{"value":"b","primary":true}]`, `{"value":"c","type":"home"}`, `[{"value":"w@x","type":"work","display":"d"}]`})
	operation := rapid.Custom(func(t *rapid.T) string {
		op := rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(t, "op")
		target := rapid.SampledFrom([]string{
			"title", "name.givenName", "name.middleName", urnENT + ":department", urnENT + ":manager.value", urnENT,
			"emails", "emails.display", `emails[type eq \"work\"].value`, `emails[type eq \"home\"].display`, `emails[type eq \"work\"].primary`,
			`emails[value pr]`, urnOwn + ":tags", "name", "",
		}).Draw(t, "path")
		var value string
		switch target {
		case "emails":
			value = emails.Draw(t, "value")
		case urnOwn + ":tags":
			value = `["Red","green"]`
		case "name":
			value = `{"givenName":` + text.Draw(t, "value") + `}`
		case `emails[type eq \"work\"].primary`:
			value = rapid.SampledFrom([]string{"true", "false"}).Draw(t, "value")
		case `emails[value pr]`:
			value = `{"display":` + text.Draw(t, "value") + `}`
			op = rapid.SampledFrom([]string{"add", "remove"}).Draw(t, "op")
		case urnENT:
			value = `{"division":` + text.Draw(t, "value") + `}`
		case "":
			op = "replace"
			return fmt.Sprintf(`{"op":%q,"value":{"title":%s,"emails":%s}}`, op, text.Draw(t, "value"), emails.Draw(t, "value"))
		default:
			value = text.Draw(t, "value")
		}
		if op == "remove" {
			return fmt.Sprintf(`{"op":"remove","path":"%s"}`, target)
		}
		return fmt.Sprintf(`{"op":%q,"path":"%s","value":%s}`, op, target, value)
	})
	rapid.Check(t, func(t *rapid.T) {
		in := operation.Draw(t, "operation")
		p, err := ParsePatch(rt, []byte(operations(in)), Entra)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		current, _ := DecodeJSON([]byte(patched()), DefaultLimits)
		once, err := Apply(rt, current, p)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		twice, err := Apply(rt, once.Attributes, p)
		if err != nil {
			t.Fatalf("%s, again: %v", in, err)
		}
		if a, b := string(rt.EncodeJSON(once.Attributes)), string(rt.EncodeJSON(twice.Attributes)); a != b || twice.Changed {
			t.Fatalf("%s\nonce  %s\ntwice %s", in, a, b)
		}
	})
}

package scim

import (
	"strings"
	"testing"
	"time"
)

const ann = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
 "id":"usr_A","externalId":"E1","userName":"BJensen","displayName":"Bärbel","active":true,
 "name":{"givenName":"Barbara","familyName":"Jensen"},
 "emails":[{"type":"work","value":"b@example.com","primary":true},{"type":"home","value":"babs@home.org"}],
 "groups":[{"value":"grp_G","type":"direct"}],
 "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Tours","manager":{"value":"usr_M"}},
 "urn:example:my-ext:1.0:User":{"floor":7,"height":1.75,"hired":"2026-01-01T01:00:00+02:00","key":"aGk=","tags":["Red","Blue"],"badge":"B7"},
 "meta":{"resourceType":"User","lastModified":"2026-03-01T10:00:00.5Z"}}`

func TestFilter_Match(t *testing.T) {
	t.Parallel()
	const (
		yes = "yes"
		no  = "no"
		bad = "400 invalidFilter"
		ent = EnterpriseURN
		ext = "urn:example:my-ext:1.0:User"
	)
	for id, cases := range map[string]map[string]string{
		"F-01": {`USERNAME Eq "BJENSEN"`: yes, `userName EQ "bjensen"`: yes, `userName eq "bjense"`: no},
		"F-02": {`externalId eq "E1"`: yes, `externalId eq "e1"`: no, `id eq "usr_A"`: yes, `id eq "USR_A"`: no},
		"F-03": {
			`userName eq "bjensen" or userName eq "x" and userName eq "y"`:   yes,
			`(userName eq "bjensen" or userName eq "x") and userName eq "y"`: no,
			`not (userName eq "x") and userName eq "bjensen"`:                yes,
			`not(userName eq "bjensen")`:                                     no,
		},
		"F-04": {`not userName eq "x"`: bad, `not`: bad},
		"F-05": {
			`emails.type eq "work" and emails.value co "home.org"`: yes,
			`emails[type eq "work" and value co "home.org"]`:       no,
			`emails[type eq "home" and value co "home.org"]`:       yes,
		},
		"F-06": {
			`emails[type eq "work" and (primary eq true or value pr)]`: yes,
			`emails[type eq "work" and not (primary eq true)]`:         no,
			`emails[(type eq "home")]`:                                 yes,
			`emails[type eq "x" or type eq "home" and value pr]`:       yes,
		},
		"F-07": {`emails co "example.com"`: yes, `emails eq "B@EXAMPLE.COM"`: yes, `emails co "nowhere"`: no, `addresses co "x"`: bad, `name eq "x"`: bad},
		"F-08": {`title pr`: no, `emails pr`: yes, `name pr`: yes, `addresses pr`: no, `name.middleName pr`: no, `emails.value pr`: yes, `emails.display pr`: no},
		"F-09": {`nickName eq null`: yes, `userName eq null`: no, `nickName ne null`: no, `userName ne null`: yes, `nickName gt null`: bad},
		"F-10": {`title ne "x"`: yes, `userName ne "bjensen"`: no, `emails.type ne "work"`: no, `emails[type ne "work"]`: yes},
		"F-11": {
			`displayName eq "B\u00e4rbel"`: yes, `displayName eq "B\u00C4RBEL"`: yes, `displayName eq "Ba\u0308rbel"`: yes,
			`title eq "a\"b"`: no, `title eq "a\\b"`: no, `title eq "\ud83d\ude00"`: no, `title eq "a\/b"`: no, `title eq "\x"`: bad,
		},
		"F-12": {
			`meta.lastModified gt "2026-03-01T12:00:00+02:00"`:     yes,
			`meta.lastModified eq "2026-03-01T11:00:00.500+01:00"`: yes,
			`meta.lastModified lt "2026-03-01T10:00:00.5Z"`:        no,
			`meta.lastModified ge "yesterday"`:                     bad,
			ext + `:hired eq "2025-12-31T23:00:00Z"`:               yes,
			`meta.lastModified co "2026"`:                          bad,
		},
		"F-13": {`active gt true`: bad, ext + `:key gt "aGk="`: bad, ext + `:key eq "aGk="`: yes, ext + `:key eq "aGK="`: no},
		"F-14": {`active co true`: bad, `active co "t"`: bad, ext + `:floor sw 7`: bad, `userName eq 5`: bad, `userName eq true`: bad, ext + `:floor eq "7"`: bad},
		"F-15": {`userName gt "b"`: yes, `userName gt "bjensen"`: no, `userName ge "BJENSEN"`: yes, `userName lt "z"`: yes, `externalId lt "a"`: yes},
		"F-16": {`userName regex "x"`: bad},
		"F-17": {`bogus eq "x"`: bad, `bogus pr`: bad, `emails[bogus eq "x"]`: bad, `bogus[type eq "x"]`: bad, `emails.bogus pr`: bad},
		"F-19": {
			ent + `:department eq "tours"`:                                               yes,
			strings.ToUpper(ent) + `:DEPARTMENT eq "tours"`:                              yes,
			ent + `:manager.value eq "usr_M"`:                                            yes,
			ent + `:manager eq "usr_M"`:                                                  yes,
			`userName eq "bjensen" and ` + ent + `:department sw "To"`:                   yes,
			ext + `:floor ge 7 and ` + ext + `:floor lt 8 and ` + ext + `:tags eq "red"`: yes,
			ext + `:height eq 1.75`:                                                      yes,
			ext + `:floor eq 7.0`:                                                        yes,
			ext + `:floor eq 7.5`:                                                        bad,
			ext + `:tags[value eq "BLUE"]`:                                               yes,
			ext + `:tags[other eq "BLUE"]`:                                               bad,
			ent + ` pr`:                                                                  bad,
		},
		"F-20": {`schemas eq "` + ent + `"`: yes, `schemas eq "URN:bogus"`: no, `meta.resourceType eq "User"`: yes, `meta.resourceType eq "user"`: no},
		"F-21": {`password eq "x"`: bad, `password pr`: bad, `password sw "a"`: bad, `not (password eq null)`: bad, ext + `:desk.pin pr`: bad, ext + `:desk[pin pr]`: bad, ext + `:secret pr`: bad},
		"F-22": {
			`userName eq "x' or 1=1 --"`: no, `userName co "%"`: no, `userName sw "_"`: no, `userName co "jens"`: yes, `userName ew "SEN"`: yes,
			`userName eq "bjensen\u0000"`: no, `userName lt "c\u0000"`: yes, `userName gt "a\u0000z"`: yes, `userName gt "\u0000"`: yes, `userName co "\u0000"`: no,
		},
		"F-24":   {"  \t ": yes, "": yes},
		"F-25":   {`groups.value eq "grp_G"`: yes, `groups[value eq "grp_G" and type eq "DIRECT"]`: yes, `groups eq "grp_X"`: no},
		"F-26":   {`a.b.c eq "x"`: bad, `name.givenName.x eq "x"`: bad, `emails[emails[type eq "x"]]`: bad, `emails[emails.value eq "x"]`: bad, `emails[value.x eq "x"]`: bad},
		"F-27":   {ext + `:floor eq 12345678901234567890`: bad, ext + `:floor lt 9223372036854775807`: yes, ext + `:height lt 9007199254740993`: bad},
		"F-28":   {`active eq true`: yes, `active ne true`: no, `active eq false`: no},
		"empty":  {`title eq ""`: yes, `userName eq ""`: no, `userName ne ""`: yes, `userName co ""`: yes, `userName le ""`: no, `userName gt ""`: yes},
		"single": {`name[givenName eq "barbara" and familyName eq "jensen"]`: yes, `name[not (givenName eq "x")]`: yes, ext + `:desk[not (number eq 1)]`: no, `userName[value eq "x"]`: bad},
		"blanks": {"  userName\teq  \"bjensen\" ": yes, `userName eq "bjensen"and userName pr`: bad, `(userName pr)and(userName pr)`: yes},
		"syntax": {`userName`: bad, `userName eq`: bad, `userName eq bjensen`: bad, `userName eq "x" and`: bad, `(userName pr`: bad, `userName pr)`: bad, `emails[`: bad, `emails[type pr`: bad, `eq`: bad, `userName eq"x"`: bad, `userName eq "x`: bad, "userName eq \"\xff\"": bad, `userName eq 1e`: bad, `"x" eq userName`: bad},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			user := decoded(t, ann)
			for text, want := range cases {
				f, err := ParseFilter(userType(), text, RFC)
				got := answer(err)
				if err == nil {
					if got = no; f.Match(user) {
						got = yes
					}
					if f != nil && f.MatchFolded(Folded(userType(), user)) != f.Match(user) {
						t.Errorf("%s: Match and MatchFolded differ", text)
					}
				}
				if got != want {
					t.Errorf("%s: got %s (%v), want %s", text, got, err, want)
				}
			}
		})
	}
}

func TestFilter_F17_ErrorsNameAttributeAndPlace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`bogus eq "x"`:        `User has no attribute "bogus".`,
		`userName regex "x"`:  `The filter cannot be read: "regex" is not an operator at position 10.`,
		`email Co "a@b"`:      `User has no attribute "email".`,
		`emails[kind eq "x"]`: `emails has no sub-attribute "kind".`,
		`active gt true`:      `active is a boolean and cannot be compared with the operator gt.`,
		`password pr`:         `password cannot be used in a filter.`,
		`userName eq ann`:     `The filter cannot be read: "ann" is no value (a string stands in quotation marks) at position 13.`,
	} {
		_, err := ParseFilter(userType(), in, RFC)
		if got := AsError(err).Detail; got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestFilter_F18_RootQueryHasNoUnknownAttributes(t *testing.T) {
	t.Parallel()
	user := decoded(t, ann)
	for in, want := range map[string]bool{
		`members eq "x"`: false, `members pr`: false, `members eq null`: true, `members ne null`: false, `members ne "x"`: true,
		`members[value eq "x"]`: false, `userName eq "bjensen" or members pr`: true, `not (members co "x")`: true, `members gt "a"`: false,
	} {
		f, err := ParseRootFilter(userType(), in, RFC)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if got := f.Match(user); got != want {
			t.Errorf("%s: got %v, want %v", in, got, want)
		}
	}
	if _, err := ParseRootFilter(userType(), `password pr`, RFC); answer(err) != "400 invalidFilter" {
		t.Errorf("F-21: got %v", err)
	}
}

func TestFilter_F23_LimitsStandInFrontOfTheParser(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"9 KB":             `userName eq "` + strings.Repeat("x", 9<<10) + `"`,
		"33 levels":        strings.Repeat("(", 33) + `userName pr` + strings.Repeat(")", 33),
		"33 not":           strings.Repeat("not (", 33) + `userName pr` + strings.Repeat(")", 33),
		"1000 terms":       "id pr" + strings.Repeat(" or id pr", 999),
		"200 KB of (":      strings.Repeat("(", 200<<10),
		"8 KB of (":        strings.Repeat("(", 8<<10),
		"150000 open not":  strings.Repeat("not (", 30000),
		"8 KB of brackets": strings.Repeat("a[", 4<<10),
	} {
		t.Run(name, func(t *testing.T) {
			rt := userType()
			var err error
			// A parser that recursed would be here for seconds or kill the process; BenchmarkParseFilter_Refused has the time.
			start := time.Now()
			_, err = ParseFilter(rt, in, RFC)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if answer(err) != "400 invalidFilter" {
				t.Errorf("got %v", err)
			}
		})
	}
	// What is within the limits is accepted.
	for _, in := range []string{
		strings.Repeat("(", 32) + `userName pr` + strings.Repeat(")", 32),
		"id pr" + strings.Repeat(" or id pr", 199),
	} {
		if _, err := ParseFilter(userType(), in, RFC); err != nil {
			t.Error(err)
		}
	}
}

func TestFilter_Dialects(t *testing.T) {
	t.Parallel()
	user := decoded(t, ann)
	for in, deviation := range map[string]Deviation{
		`emails[type eq "work"].value eq "b@example.com"`:                           SubAfterFilter,
		`userName eq "BJENSEN" and emails[type eq "work"].value eq "b@example.com"`: SubAfterFilter,
		`emails[type eq "home" or type eq "work"].value sw "b@"`:                    SubAfterFilter,
		`emails[primary eq "True"]`:                                                 BooleanStrings,
	} {
		f, err := ParseFilter(userType(), in, Entra)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if !f.Match(user) || f.Repairs[deviation] != 1 {
			t.Errorf("%s: match %v, repairs %v", in, f.Match(user), f.Repairs)
		}
		if _, err := ParseFilter(userType(), in, RFC); answer(err) != "400 invalidFilter" {
			t.Errorf("%s as rfc: got %v", in, err)
		}
		// The printed form lies within the grammar.
		again, err := ParseFilter(userType(), f.String(), Entra)
		if err != nil || again.Repairs[SubAfterFilter] != 0 || !again.Match(user) {
			t.Errorf("%s: printed %s: %v", in, f, err)
		}
	}
	if f, err := ParseFilter(userType(), `emails[type eq "work"].value eq "babs@home.org"`, Entra); err != nil || f.Match(user) {
		t.Errorf("one element must satisfy both: %v", err)
	}
}

func TestFilter_PrintsItsParentheses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`a pr and (b pr or c pr)`:                          `a pr and (b pr or c pr)`,
		`(a pr and b pr) or c pr`:                          `a pr and b pr or c pr`,
		`a pr or (b pr or c pr)`:                           `a pr or (b pr or c pr)`,
		`not(a EQ "x\u00e9\"")`:                            `not (a eq "xé\"")`,
		`a[b eq 1 and (c eq 2.50 or d eq null)].e eq TRUE`: `a[b eq 1 and (c eq 2.5 or d eq null) and e eq true]`,
		`a eq 1e2`:                     `a eq 100.0`,
		`urn:x:y-z:1.0:U:a.b ne "<&>"`: `urn:x:y-z:1.0:U:a.b ne "<&>"`,
	} {
		x, _, err := parseExpression(in)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if got := printExpression(x); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// BenchmarkParseFilter_Refused is what 200 KB of opening brackets cost: refused by length before a character is read.
func BenchmarkParseFilter_Refused(b *testing.B) {
	in, rt := strings.Repeat("(", 200<<10), userType()
	for b.Loop() {
		if _, err := ParseFilter(rt, in, RFC); err == nil {
			b.Fatal("accepted")
		}
	}
}

package provisioning_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

var assertionsPut = map[string]asserted{
	"P-01": func(t *testing.T, c caller) {
		c.refused(404, "", "PUT", "/Users/nobody", c.body("a"))
		same(t, len(c.list("/Users", `userName eq "`+c.as("a")+`"`)), 0)
	},
	"P-02": func(t *testing.T, c caller) {
		path := c.who("a")
		g := c.group(c.as("g"))
		a := c.do(200, "PUT", path, c.body("a", `"id":"mine","meta":{"resourceType":"X"},"groups":[{"value":"`+g+`"}]`))
		that(t, "/Users/"+a.id() == path && a.meta("resourceType") == "User" && a.body["groups"] == nil, a)
	},
	"P-03": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		path := c.who("a")
		serial := func(s string) string { return c.body("a", `"`+badgeURN+`":{"serial":"`+s+`"}`) }
		that(t, at(c.do(200, "PUT", path, serial("S1")).body, badgeURN, "serial") == "S1", answer{})
		c.do(200, "PUT", path, serial("S1"))
		c.refused(400, "mutability", "PUT", path, serial("S2"))
		that(t, at(c.get(path).body, badgeURN, "serial") == "S1", answer{})
	},
	"P-04": func(_ *testing.T, c caller) {
		c.refused(400, "invalidValue", "PUT", c.who("a"), `{`+coreUser+`}`)
	},
	"P-05": func(t *testing.T, c caller) {
		path := c.who("a", `"title":"T","active":false,"password":"x"`)
		a := c.do(200, "PUT", path, c.body("a"))
		that(t, a.body["title"] == nil && a.body["active"] == false, a)
	},
	"P-06": func(t *testing.T, c caller) {
		a := c.do(200, "PUT", c.who("a", everyPart), c.body("a", `"title":null,"emails":[],"name":{"givenName":"G"}`))
		that(t, a.body["title"] == nil && a.body["emails"] == nil && at(a.body, "name", "familyName") == nil, a)
	},
	"P-07": func(_ *testing.T, c caller) {
		c.who("a")
		c.refused(409, "uniqueness", "PUT", c.who("b"), c.body("A"))
	},
	"P-08": func(t *testing.T, c caller) {
		path := c.who("a")
		a := c.do(200, "PUT", path, c.body("a", `"title":"T"`))
		that(t, a.text("title") == "T" && a.header.Get("ETag") == `W/"2"` && a.meta("version") == `W/"2"`, a)
	},
	"P-09": func(t *testing.T, c caller) {
		path := c.who("a", everyPart)
		before := c.get(path)
		c.w.clock.Advance(time.Hour)
		a := c.do(200, "PUT", path, c.body("a", everyPart))
		that(t, a.meta("lastModified") == before.meta("lastModified") && a.meta("version") == before.meta("version"), a)
	},
	"P-10": func(t *testing.T, c caller) {
		a := c.do(200, "PUT", c.who("a", ent(`{"department":"D"}`)), c.body("a"))
		that(t, a.body[entURN] == nil, a)
		same(t, a.body["schemas"], any([]any{scim.UserURN}))
	},
	"P-11": func(t *testing.T, c caller) {
		put := func(c caller, body string) []string {
			path := "/Groups/" + c.group(c.as("g"), c.user(c.as("ann")))
			c.do(200, "PUT", path, fmt.Sprintf(`{%s,"displayName":%q%s}`, coreGroup, c.as("g"), body))
			return c.get(path).values("members")
		}
		same(t, put(c, ""), []string{})
		same(t, len(put(c.of(c.w.entra()), "")), 1) // the dialects whose provider does not mean it keep them
	},
}

const (
	homeMail = `{"value":"h@x","type":"home"}`
	workMail = `{"value":"w@x","type":"work","primary":true}`
	mails    = `"emails":[` + workMail + `,` + homeMail + `]`
)

var assertionsPatch = map[string]asserted{
	"X-01": func(_ *testing.T, c caller) {
		path := c.who("a")
		c.refused(400, "invalidSyntax", "PATCH", path, `{"Operations":[`+op("add", "title", `"T"`)+`]}`)
		c.refused(400, "invalidSyntax", "PATCH", path, `{`+coreUser+`,"Operations":[`+op("add", "title", `"T"`)+`]}`)
	},
	"X-02": func(_ *testing.T, c caller) {
		path := c.who("a")
		for _, operations := range []string{"", `,"Operations":[]`, `,"Operations":{}`, `,"Operations":"x"`} {
			c.refused(400, "invalidSyntax", "PATCH", path, `{`+patchOp+operations+`}`)
		}
		c.do(200, "PATCH", path, `{`+patchOp+`,"operations":[`+op("add", "title", `"T"`)+`]}`)
	},
	"X-03": func(t *testing.T, c caller) {
		path := c.who("a")
		that(t, c.ops(path, op("Replace", "title", `"T"`), op("ADD", "nickName", `"N"`)).text("nickName") == "N", answer{})
		c.noOps(400, "invalidSyntax", path, op("move", "title", `"U"`))
	},
	"X-04": func(_ *testing.T, c caller) {
		c.noOps(400, "invalidPath", c.who("a"), op("add", "title", `"T"`), op("add", "nonsense", `"N"`), op("add", "nickName", `"N"`))
	},
	"X-05": func(t *testing.T, c caller) {
		a := c.ops(c.who("a"), op("add", "emails", `[`+homeMail+`]`), op("replace", `emails[type eq "home"].value`, `"n@x"`))
		same(t, a.values("emails"), []string{"n@x"})
	},
	"X-06": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"), mails)
		group := "/Groups/" + c.group(c.as("g"), ann)
		before, user := c.get(group), c.get("/Users/"+ann)
		c.w.clock.Advance(time.Hour)
		a := c.ops(group, op("add", "members", `[{"value":"`+ann+`"}]`))
		that(t, a.meta("lastModified") == before.meta("lastModified") && a.meta("version") == before.meta("version"), a)
		a = c.ops("/Users/"+ann, op("add", "emails", `[`+homeMail+`]`), op("add", "userName", `"`+c.as("ann")+`"`))
		that(t, a.meta("lastModified") == user.meta("lastModified") && a.meta("version") == user.meta("version"), a)
	},
	"X-07": func(t *testing.T, c caller) {
		a := c.ops(c.who("a", `"emails":[`+homeMail+`]`), op("add", "emails", `[`+homeMail+`,{"value":"n@x"}]`))
		same(t, a.values("emails"), []string{"h@x", "n@x"})
		ann, ben := c.user(c.as("ann")), c.user(c.as("ben"))
		g := c.ops("/Groups/"+c.group(c.as("g"), ann), op("add", "members", `[{"value":"`+ann+`","display":"other"},{"value":"`+ben+`"}]`))
		same(t, g.values("members"), []string{ann, ben})
	},
	"X-08": func(t *testing.T, c caller) {
		a := c.ops(c.who("a", `"name":{"familyName":"F"}`), op("add", "name", `{"givenName":"G"}`))
		same(t, a.body["name"], any(map[string]any{"familyName": "F", "givenName": "G"}))
	},
	"X-09": func(_ *testing.T, c caller) {
		path := c.who("a")
		c.noOps(400, "invalidValue", path, op("add", "title", ""))
		c.noOps(400, "invalidValue", path, op("replace", "title", ""))
	},
	"X-10": func(_ *testing.T, c caller) {
		path := c.who("a")
		c.noOps(400, "invalidSyntax", path, op("add", "", `"x"`))
		c.noOps(400, "invalidSyntax", path, op("add", "", `[{"title":"T"}]`))
	},
	"X-11": func(_ *testing.T, c caller) { c.noOps(400, "noTarget", c.who("a"), op("remove", "", "")) },
	"X-12": func(t *testing.T, c caller) {
		c.noOps(400, "mutability", c.who("a"), op("remove", "userName", ""))
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false),
			extension(t, `{"id":"urn:example:needs","attributes":[{"name":"sites","type":"string","multiValued":true,"required":true},{"name":"x","type":"string"}]}`, directory.ResourceUser, false)))
		path := c.who("b", `"urn:example:needs":{"sites":["a"],"x":"y"}`)
		c.noOps(400, "mutability", path, op("remove", `urn:example:needs:sites[value eq "a"]`, ""))
		c.do(204, "DELETE", path, "") // its extension goes with the next test
	},
	"X-13": func(_ *testing.T, c caller) {
		for _, path := range []string{"groups", "id", "meta"} {
			c.noOps(400, "mutability", c.who(path), op("remove", path, ""))
		}
	},
	"X-14": func(t *testing.T, c caller) {
		path := c.who("a")
		that(t, c.ops(path, op("remove", "title", "")).meta("version") == `W/"1"`, answer{})
		group := "/Groups/" + c.group(c.as("g"))
		that(t, c.ops(group, op("remove", `members[value eq "nobody"]`, "")).meta("version") == `W/"1"`, answer{})
	},
	"X-15": func(t *testing.T, c caller) {
		group := "/Groups/" + c.group(c.as("g"), c.user(c.as("a")), c.user(c.as("b")))
		same(t, c.ops(group, op("remove", "members", "")).values("members"), []string{})
	},
	"X-16": func(_ *testing.T, c caller) {
		c.noOps(400, "noTarget", c.who("a", `"emails":[`+homeMail+`]`), op("replace", `emails[type eq "work"].value`, `"n@x"`))
	},
	"X-17": func(t *testing.T, c caller) {
		path := c.who("a", mails)
		same(t, c.ops(path, op("replace", "emails", `[{"value":"n@x"}]`)).values("emails"), []string{"n@x"})
		that(t, c.ops(path, op("replace", "emails", `[]`)).body["emails"] == nil, answer{})
	},
	"X-18": func(t *testing.T, c caller) {
		a := c.ops(c.who("a", `"name":{"familyName":"F","givenName":"A"}`), op("replace", "name", `{"givenName":"G"}`))
		same(t, a.body["name"], any(map[string]any{"familyName": "F", "givenName": "G"}))
	},
	"X-19": func(t *testing.T, c caller) {
		a := c.ops(c.who("a"), op("replace", "title", `"T"`), op("replace", "emails", `[`+homeMail+`]`), op("replace", "name.givenName", `"G"`))
		that(t, a.text("title") == "T" && len(a.values("emails")) == 1 && at(a.body, "name", "givenName") == "G", a)
	},
	"X-20": func(t *testing.T, c caller) {
		a := c.ops(c.who("a", `"emails":[{"value":"a@x","type":"work"},{"value":"b@x","type":"work"},`+homeMail+`]`), op("replace", `emails[type eq "work"].display`, `"D"`))
		var got []any
		for _, e := range a.body["emails"].([]any) {
			got = append(got, at(e, "display"))
		}
		same(t, got, []any{"D", "D", nil})
	},
	"X-21": func(t *testing.T, c caller) {
		for name, operation := range map[string]string{
			"filter": op("replace", `emails[type eq "home"].primary`, "true"), "add": op("add", "emails", `[{"value":"n@x","type":"other","primary":true}]`),
		} {
			a := c.ops(c.who(name, mails), operation)
			n := 0
			for _, e := range a.body["emails"].([]any) {
				if at(e, "primary") == true {
					n++
					that(t, at(e, "type") != "work", a)
				}
			}
			same(t, n, 1)
		}
	},
	"X-22": func(_ *testing.T, c caller) {
		path := c.who("a", mails)
		two := `[{"value":"a@x","primary":true},{"value":"b@x","primary":true}]`
		c.noOps(400, "invalidValue", path, op("add", "emails", two))
		c.noOps(400, "invalidValue", path, op("replace", "emails", two))
		c.noOps(400, "invalidValue", path, op("replace", "", `{"emails":`+two+`}`))
	},
	"X-23": func(_ *testing.T, c caller) {
		path := c.who("a")
		c.noOps(400, "mutability", path, op("replace", "id", `"x"`))
		c.noOps(400, "mutability", path, op("replace", "meta.version", `"x"`))
		c.noOps(400, "mutability", path, op("add", "groups", `[{"value":"x"}]`))
	},
	"X-24": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		path, serial := c.who("a"), badgeURN+":serial"
		c.ops(path, op("add", serial, `"S1"`))
		that(t, at(c.ops(path, op("add", serial, `"S1"`)).body, badgeURN, "serial") == "S1", answer{})
		c.noOps(400, "mutability", path, op("add", serial, `"S2"`))
		c.noOps(400, "mutability", path, op("replace", serial, `"S2"`))
		c.noOps(400, "mutability", path, op("remove", serial, ""))
	},
	"X-25": func(_ *testing.T, c caller) {
		ann := c.user(c.as("a"))
		c.noOps(400, "mutability", "/Groups/"+c.group(c.as("g"), ann), op("replace", `members[value eq "`+ann+`"].value`, `"x"`))
	},
	"X-26": func(_ *testing.T, c caller) {
		user, group := c.who("a"), "/Groups/"+c.group(c.as("g"))
		c.noOps(400, "invalidPath", user, op("replace", "emails[", `"x"`))
		c.noOps(400, "invalidPath", group, op("replace", "/members", `[]`))
		c.noOps(400, "invalidPath", user, op("replace", "emails[0]", `"x"`))
	},
	"X-27": func(_ *testing.T, c caller) { c.noOps(400, "invalidPath", c.who("a"), op("add", "nonsense", `"x"`)) },
	"X-28": func(_ *testing.T, c caller) {
		c.noOps(400, "invalidFilter", c.who("a", mails), op("replace", `emails[foo eq "x"]`, `{"value":"x"}`))
	},
	"X-29": func(t *testing.T, c caller) {
		a := c.ops(c.who("a"), op("add", "urn:ietf:params:scim:schemas:core:2.0:USER:Title", `"T"`))
		that(t, a.text("title") == "T", a)
	},
	"X-30": func(t *testing.T, c caller) {
		path := c.who("a")
		a := c.ops(path, op("add", entURN+":employeeNumber", `"7"`))
		same(t, a.body["schemas"], any([]any{scim.UserURN, entURN}))
		a = c.ops(path, op("remove", entURN+":employeeNumber", ""))
		same(t, a.body["schemas"], any([]any{scim.UserURN}))
		that(t, a.body[entURN] == nil, a)
	},
	"X-31": func(t *testing.T, c caller) {
		a := c.ops(c.who("a", ent(`{"department":"D","costCenter":"C"}`)), op("remove", entURN, ""))
		that(t, a.body[entURN] == nil, a)
	},
	"X-32": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		a := c.ops(c.who("a", `"`+badgeURN+`":{"tags":["a","b"]}`), op("remove", badgeURN+`:tags[value eq "A"]`, ""))
		same(t, at(a.body, badgeURN, "tags"), any([]any{"b"}))
	},
	"X-33": func(t *testing.T, c caller) {
		a := c.ops(c.who("a", everyPart), op("replace", "title", "null"), op("replace", "", `{"emails":null}`))
		that(t, a.body["title"] == nil && a.body["emails"] == nil, a)
	},
	"X-34": func(t *testing.T, c caller) {
		a := c.do(200, "PATCH", c.who("a"), patchBody(op("add", "title", `"T"`)))
		that(t, a.text("title") == "T" && a.header.Get("ETag") == `W/"2"`, a)
		a = c.do(204, "PATCH", "/Groups/"+c.group(c.as("g")), patchBody(op("replace", "displayName", `"n"`)))
		that(t, a.raw == "" && a.header.Get("ETag") == `W/"2"`, a)
	},
	"X-35": func(_ *testing.T, c caller) {
		c.who("a")
		c.noOps(409, "uniqueness", c.who("b"), op("replace", "userName", `"`+c.as("A")+`"`))
	},
	"X-36": func(_ *testing.T, c caller) {
		c.noOps(400, "invalidPath", c.who("a", `"name":{"givenName":"x"}`), op("replace", `name[givenName eq "x"]`, `{"givenName":"y"}`))
	},
	"X-37": func(t *testing.T, c caller) {
		a := c.ops(c.who("a", mails), op("replace", "emails.display", `"D"`))
		for _, e := range a.body["emails"].([]any) {
			that(t, at(e, "display") == "D", a)
		}
	},
	"X-38": func(t *testing.T, c caller) {
		a := c.ops(c.who("a", mails), op("replace", "", `{"name.givenName":"G","`+entURN+`:department":"D","`+entURN+`":{"division":"X"},"emails[type eq \"work\"].value":"n@x"}`))
		same(t, a.values("emails"), []string{"n@x", "h@x"})
		same(t, a.body[entURN], any(map[string]any{"department": "D", "division": "X"}))
		that(t, at(a.body, "name", "givenName") == "G", a)
	},
	"X-39": func(t *testing.T, c caller) {
		path := c.who("a")
		many := slices.Repeat([]string{op("add", "title", `"T"`)}, scim.MaxOperations+1)
		a := c.do(413, "PATCH", path, patchBody(many...))
		that(t, strings.Contains(a.text("detail"), fmt.Sprint(scim.MaxOperations)), a)
		c.do(200, "PATCH", path, patchBody(many[1:]...))
	},
	"X-40": func(t *testing.T, c caller) {
		group := "/Groups/" + c.group(c.as("g"))
		var people []string
		for i := range 8 {
			people = append(people, c.user(c.as(fmt.Sprint(i))))
		}
		var wg sync.WaitGroup
		for _, p := range people {
			wg.Go(func() {
				c.w.http.ServeHTTP(httptest.NewRecorder(), c.request("PATCH", group, patchBody(op("add", "members", `[{"value":"`+p+`"}]`))))
			})
		}
		wg.Wait()
		same(t, c.get(group).values("members"), people)
	},
	"X-41": func(_ *testing.T, c caller) {
		c.refused(404, "", "PATCH", "/Users/nobody", patchBody(op("add", "title", `"T"`)))
	},
	"X-42": func(_ *testing.T, c caller) {
		path := c.who("a")
		c.noOps(400, "invalidPath", path, op("add", "", `{"__proto__":{"admin":true}}`))
		c.noOps(400, "invalidPath", path, op("add", strings.Repeat("a", 1<<20), `"x"`))
		c.noOps(400, "invalidPath", path, op("add", "emails"+strings.Repeat("[", 5000), `"x"`))
	},
}

var assertionsDelete = map[string]asserted{
	"D-01": func(t *testing.T, c caller) {
		path := c.who("a")
		a := c.do(204, "DELETE", path, "")
		that(t, a.raw == "", a)
		c.refused(404, "", "GET", path, "")
		c.refused(404, "", "PUT", path, c.body("a"))
		c.refused(404, "", "PATCH", path, patchBody(op("add", "title", `"T"`)))
		c.refused(404, "", "DELETE", path, "")
	},
	"D-02": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"))
		report := c.who("ben", ent(`{"manager":{"value":"`+ann+`"}}`))
		group := "/Groups/" + c.group(c.as("g"), ann)
		version := c.get(group).meta("version")
		c.do(204, "DELETE", "/Users/"+ann, "")
		c.finds(`userName sw "`+c.name+`-"`, "ben")
		g := c.get(group)
		that(t, len(g.values("members")) == 0 && g.meta("version") != version, g)
		that(t, c.get(report).body[entURN] == nil, c.get(report))
		same(t, c.list("/Groups", `members.value eq "`+ann+`"`), []string{})
		c.ops(group, op("add", "members", `[{"value":"`+last(report)+`"}]`))
		same(t, c.get(report).values("groups"), []string{last(group)})
		c.do(204, "DELETE", group, "")
		c.refused(404, "", "GET", group, "")
		that(t, c.get(report).body["groups"] == nil, c.get(report))
		c.finds(`groups.value eq "` + last(group) + `"`)
	},
	"D-03": func(t *testing.T, c caller) {
		a := c.get(c.who("a"))
		that(t, a.header.Get("ETag") == a.meta("version") && a.meta("version") == `W/"1"`, a)
	},
	"D-04": func(t *testing.T, c caller) {
		path := c.who("a")
		for _, tags := range []string{`W/"1"`, `"1"`, `W/"8", W/"1"`, "*"} {
			a := c.do(304, "GET", path, "", "If-None-Match", tags)
			that(t, a.raw == "" && a.header.Get("ETag") == `W/"1"`, a)
		}
		c.do(200, "GET", path, "", "If-None-Match", `W/"8"`)
	},
	"D-05": func(t *testing.T, c caller) {
		path := c.who("a")
		c.refused(412, "", "PUT", path, c.body("a", `"title":"T"`), "If-Match", `W/"9"`)
		c.refused(412, "", "PATCH", path, patchBody(op("add", "title", `"T"`)), "If-Match", `W/"9"`)
		c.refused(412, "", "DELETE", path, "", "If-Match", `W/"9"`)
		a := c.get(path)
		that(t, a.meta("version") == `W/"1"` && a.body["title"] == nil, a)
	},
	"D-06": func(_ *testing.T, c caller) {
		path := c.who("a")
		for i, tag := range []string{`W/"1"`, `"2"`, "*"} {
			c.do(200, "PATCH", path, patchBody(op("replace", "title", fmt.Sprintf(`"T%d"`, i))), "If-Match", tag)
		}
		c.do(204, "DELETE", path, "", "If-Match", `W/"4", W/"7"`)
	},
	"D-07": func(t *testing.T, c caller) {
		path := c.who("a")
		result := c.bulk("", `{"method":"PATCH","path":"`+path+`","data":`+patchBody(op("add", "title", `"T"`))+`}`)[0]
		one := c.get(path).meta("version")
		same(t, result["version"], any(one))
		same(t, at(c.get(`/Users?filter=userName eq "` + c.as("a") + `"`).resources()[0], "meta", "version"), any(one))
	},
	"D-08": func(t *testing.T, c caller) {
		path := c.who("a")
		var wg sync.WaitGroup
		got := make([]int, 2)
		for i := range got {
			wg.Go(func() {
				rec := httptest.NewRecorder()
				c.w.http.ServeHTTP(rec, c.request("PUT", path, c.body("a", fmt.Sprintf(`"title":"T%d"`, i)), "If-Match", `W/"1"`))
				got[i] = rec.Code
			})
		}
		wg.Wait()
		slices.Sort(got)
		same(t, got, []int{200, 412})
	},
	"D-09": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"))
		before := c.get("/Users/" + ann)
		c.group(c.as("g"), ann)
		after := c.get("/Users/" + ann)
		// The groups are computed and no part of what the tag vouches for.
		that(t, len(after.values("groups")) == 1 && after.meta("version") == before.meta("version"), after)
	},
	"D-10": func(_ *testing.T, c caller) {
		c.refused(404, "", "PUT", "/Users/nobody", c.body("a"), "If-Match", `W/"1"`)
		c.refused(404, "", "DELETE", "/Users/nobody", "", "If-Match", "*")
	},
}

var assertionsDiscovery = map[string]asserted{
	"V-01": func(_ *testing.T, c caller) {
		for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
			c.refused(403, "", "GET", path+`?filter=id eq "x"`, "")
		}
	},
	"V-02": func(t *testing.T, c caller) {
		for _, path := range []string{"/Schemas", "/ResourceTypes"} {
			same(t, c.get(path+"?count=1&startIndex=2&sortBy=id&attributes=id").raw, c.get(path).raw)
		}
		same(t, c.get("/ServiceProviderConfig?attributes=patch").raw, c.get("/ServiceProviderConfig").raw)
	},
	"V-03": func(t *testing.T, c caller) {
		that(t, c.get("/ResourceTypes/User").text("name") == "User", answer{})
		that(t, c.get("/Schemas/"+entURN).text("id") == entURN, answer{})
		c.refused(404, "", "GET", "/ResourceTypes/Nope", "")
		c.refused(404, "", "GET", "/Schemas/urn:nope", "")
	},
	"V-04": func(t *testing.T, c caller) {
		a := c.get("/ServiceProviderConfig")
		for name, on := range map[string]bool{"patch": true, "bulk": true, "filter": true, "sort": true, "etag": true, "changePassword": false} {
			that(t, at(a.body, name, "supported") == on, a)
		}
		that(t, len(a.body["authenticationSchemes"].([]any)) > 0 && a.meta("location") == publicURL+c.base+"/ServiceProviderConfig", a)
		that(t, at(a.body, "bulk", "maxOperations") == float64(scim.BulkLimit) && at(a.body, "bulk", "maxPayloadSize") == float64(scim.MaxBulk) && at(a.body, "filter", "maxResults") == float64(scim.MaxPage), a)
	},
	"V-05": func(t *testing.T, c caller) {
		a := c.get("/Schemas")
		that(t, !strings.Contains(a.raw, "api:messages:2.0:PatchOp") && !slices.ContainsFunc(a.ids(), func(s string) bool { return strings.Contains(s, "api:messages") }), a)
	},
	"V-06": func(t *testing.T, c caller) {
		a := c.get("/ResourceTypes/User")
		that(t, a.meta("location") == publicURL+c.base+"/ResourceTypes/User" && a.text("endpoint") == "/Users" && a.text("schema") == scim.UserURN, a)
		same(t, a.body["schemaExtensions"], any([]any{map[string]any{"schema": entURN, "required": false}}))
	},
	"V-07": func(t *testing.T, c caller) {
		a := c.get("/Schemas")
		that(t, !strings.Contains(a.raw, "null"), a)
		for _, s := range a.resources() {
			that(t, at(s, "meta", "resourceType") == "Schema" && at(s, "meta", "location") == publicURL+c.base+"/Schemas/"+s["id"].(string), a)
			for _, x := range s["attributes"].([]any) {
				that(t, at(x, "name") != nil && at(x, "type") != nil && at(x, "multiValued") != nil && at(x, "mutability") != nil && at(x, "returned") != nil && at(x, "required") != nil, a)
				that(t, (at(x, "type") == "complex") == (at(x, "subAttributes") != nil), a)
			}
		}
	},
	"V-08": func(_ *testing.T, c caller) {
		stranger := &client{c.w, c.base, ""}
		for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
			stranger.refused(401, "", "GET", path, "")
		}
	},
}

func last(location any) string {
	s, _ := location.(string)
	return s[strings.LastIndex(s, "/")+1:]
}

var assertionsBulk = map[string]asserted{
	"B-01": func(t *testing.T, c caller) {
		got := c.bulk("", postUser("a", c.as("a")), postUser("b", c.as("A")), postUser("c", c.as("c")))
		same(t, statuses(got), []string{"201", "409", "201"})
		same(t, at(got[1]["response"], "schemas"), any([]any{errorURN}))
		same(t, at(got[1]["response"], "status"), any("409"))
	},
	"B-02": func(t *testing.T, c caller) {
		got := c.bulk(`,"failOnErrors":1`, postUser("x", c.as("x")), postUser("a", c.as("X")), postUser("y", c.as("y")))
		same(t, statuses(got), []string{"201", "409"})
		c.finds(`userName sw "`+c.name+`-"`, "x")
	},
	"B-03": func(t *testing.T, c caller) {
		path := c.who("u")
		got := c.bulk("", postUser("a", c.as("a")), postUser("b", c.as("a")), `{"method":"PUT","path":"`+path+`","data":{`+coreUser+`}}`, `{"method":"DELETE","path":"`+path+`"}`)
		same(t, statuses(got), []string{"201", "409", "400", "204"})
		that(t, got[0]["bulkId"] == "a" && got[0]["version"] == `W/"1"` && strings.HasPrefix(got[0]["location"].(string), publicURL+c.base+"/Users/"), answer{})
		if got[1]["location"] != nil || got[1]["bulkId"] != "b" || got[2]["location"] != publicURL+c.base+path || got[3]["location"] != publicURL+c.base+path {
			t.Errorf("%v", got)
		}
	},
	"B-04": func(t *testing.T, c caller) {
		got := c.bulk("", postGroup("g", c.as("g"), "bulkId:u"), postUser("u", c.as("u")))
		same(t, statuses(got), []string{"201", "201"})
		same(t, c.get("/Groups/"+last(got[0]["location"])).values("members"), []string{last(got[1]["location"])})
	},
	"B-05": func(t *testing.T, c caller) {
		got := c.bulk("", postGroup("p", c.as("p"), "bulkId:q"), postGroup("q", c.as("q"), "bulkId:p"))
		same(t, statuses(got), []string{"201", "201"})
		p, q := last(got[0]["location"]), last(got[1]["location"])
		same(t, c.get("/Groups/"+p).values("members"), []string{q})
		same(t, c.get("/Groups/"+q).values("members"), []string{p})
	},
	"B-06": func(t *testing.T, c caller) {
		c.who("a")
		got := c.bulk("", postGroup("g", c.as("g"), "bulkId:nobody"), postUser("f", c.as("a")), postGroup("h", c.as("h"), "bulkId:f"))
		same(t, statuses(got), []string{"409", "409", "409"})
		same(t, len(c.list("/Groups", `displayName sw "`+c.name+`-"`)), 0)
	},
	"B-07": func(t *testing.T, c caller) {
		got := c.bulk("", `{"method":"POST","path":"/Users","data":{`+coreUser+`,"userName":"z"}}`, postUser("s", c.as("s1")), postUser("s", c.as("s2")),
			`{"method":"GET","path":"/Users/x"}`, `{"method":"DELETE","path":"/scim/fieldserv/plain/v2/Users/x"}`)
		same(t, statuses(got), []string{"400", "201", "400", "400", "400"})
		for _, i := range []int{0, 2, 3, 4} {
			same(t, at(got[i]["response"], "scimType"), any("invalidSyntax"))
		}
	},
	"B-08": func(t *testing.T, c caller) {
		many := make([]string, scim.BulkLimit+1)
		for i := range many {
			many[i] = postUser(fmt.Sprint(i), c.as(fmt.Sprint(i)))
		}
		a := c.do(413, "POST", "/Bulk", fmt.Sprintf(`{%s,"Operations":[%s]}`, bulkReq, strings.Join(many, ",")))
		that(t, strings.Contains(a.text("detail"), fmt.Sprint(scim.BulkLimit)), a)
		c.finds(`userName sw "` + c.name + `-"`)
		r := c.request("POST", "/Bulk", `{`+bulkReq+`,"x":"`+strings.Repeat("a", scim.MaxBulk)+`"}`)
		r.ContentLength = -1
		a = c.send(r)
		that(t, a.status == 413 && strings.Contains(a.text("detail"), fmt.Sprint(scim.MaxBulk)), a)
	},
	"B-09": func(t *testing.T, c caller) {
		path := c.who("a")
		patch := func(version string) string {
			return fmt.Sprintf(`{"method":"PATCH","path":%q,"version":%q,"data":%s}`, path, version, patchBody(op("add", "title", `"T"`)))
		}
		same(t, statuses(c.bulk("", patch(`W/"9"`), patch(`W/"1"`), patch(`W/"1"`))), []string{"412", "200", "412"})
	},
	"B-10": func(t *testing.T, c caller) {
		got := c.bulk("", `{"method":"PATCH","path":"/Users/bulkId:u","data":`+patchBody(op("add", "nickName", `"N"`))+`}`, postUser("u", c.as("u")))
		same(t, statuses(got), []string{"200", "201"})
		that(t, c.get("/Users/"+last(got[1]["location"])).text("nickName") == "N", answer{})
	},
	"B-11": func(_ *testing.T, c caller) {
		for _, n := range []string{"0", "-1"} {
			c.refused(400, "invalidValue", "POST", "/Bulk", `{`+bulkReq+`,"failOnErrors":`+n+`,"Operations":[`+postUser("a", c.as("a"))+`]}`)
		}
		c.finds(`userName sw "` + c.name + `-"`)
	},
	"B-12": func(_ *testing.T, c caller) {
		c.refused(400, "invalidSyntax", "POST", "/Bulk", `{`+searchReq+`,"Operations":[`+postUser("a", c.as("a"))+`]}`)
		c.refused(400, "invalidSyntax", "POST", "/Bulk", `{"Operations":[`+postUser("a", c.as("a"))+`]}`)
	},
}

var assertionsSearch = map[string]asserted{
	"S-01": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"), everyPart)
		for _, path := range []string{"/Users/.search", "/.search"} {
			a := c.do(200, "POST", path, `{`+searchReq+`,"filter":"userName eq \"`+c.as("ann")+`\"","attributes":["title","name.givenName"],"startIndex":1,"count":5,"sortBy":"userName","sortOrder":"ascending"}`)
			same(t, a.ids(), []string{ann})
			same(t, sorted(a.resources()[0]), []string{"id", "name", "schemas", "title"})
			that(t, a.number("totalResults") == 1 && a.number("startIndex") == 1, a)
		}
		c.refused(400, "invalidValue", "POST", "/Users/.search", `{`+searchReq+`,"attributes":[1]}`)
	},
	"S-02": func(_ *testing.T, c caller) {
		c.refused(400, "invalidSyntax", "POST", "/Users/.search", `{"schemas":["urn:x"]}`)
		c.refused(400, "invalidSyntax", "POST", "/.search", `{}`)
	},
	"S-03": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"), `"displayName":"`+c.as("x")+`"`)
		g := c.group(c.as("x"))
		a := c.do(200, "POST", "/.search", `{`+searchReq+`,"filter":"displayName eq \"`+c.as("X")+`\""}`)
		same(t, a.ids(), []string{ann, g})
		for i, want := range []string{scim.UserURN, scim.GroupURN} {
			r := a.resources()[i]
			same(t, r["schemas"], any([]any{want}))
			same(t, at(r, "meta", "location"), any(publicURL+c.base+[]string{"/Users/" + ann, "/Groups/" + g}[i]))
		}
	},
	"S-04": func(_ *testing.T, c caller) {
		for _, method := range []string{"GET", "PUT", "PATCH", "POST", "DELETE"} {
			c.refused(501, "", method, "/Me", "")
		}
	},
	"S-05": func(_ *testing.T, c caller) {
		// No token of a person opens a directory, so there is nobody whom /Me could mean.
		(&client{c.w, c.base, "the-access-token-of-a-person"}).refused(401, "", "GET", "/Me", "")
		c.refused(501, "", "GET", "/Me", "")
	},
}

var assertionsGroup = map[string]asserted{
	"G-01": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"))
		a := c.do(400, "POST", "/Groups", `{`+coreGroup+`,"displayName":"`+c.as("g")+`","members":[{"value":"`+ann+`"},{"value":"nobody-1"},{"value":"nobody-2"}]}`)
		that(t, a.text("scimType") == "invalidValue" && strings.Contains(a.text("detail"), "nobody-1") && strings.Contains(a.text("detail"), "nobody-2") && !strings.Contains(a.text("detail"), ann), a)
		okta := c.of(c.w.dir("northwind", "okta"))
		g := okta.group(okta.as("g"), okta.user(okta.as("ann")), "nobody")
		same(t, len(okta.get("/Groups/"+g).values("members")), 1)
	},
	"G-02": func(t *testing.T, c caller) {
		inner := c.group(c.as("inner"))
		a := c.get("/Groups/" + c.group(c.as("outer"), inner))
		same(t, a.body["members"], any([]any{map[string]any{"value": inner, "type": "Group", "$ref": publicURL + c.base + "/Groups/" + inner, "display": c.as("inner")}}))
	},
	"G-03": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"))
		a := c.group(c.as("a"), ann)
		b := c.group(c.as("b"), a)
		got := map[any]any{}
		for _, g := range c.get("/Users/" + ann).body["groups"].([]any) {
			got[at(g, "value")] = at(g, "type")
		}
		same(t, got, map[any]any{a: "direct", b: "indirect"})
	},
	"G-04": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"))
		a := c.group(c.as("a"), ann)
		b := c.group(c.as("b"), a)
		c.patch(204, "/Groups/"+a, op("add", "members", `[{"value":"`+b+`"},{"value":"`+a+`"}]`))
		same(t, len(c.get("/Users/"+ann).values("groups")), 2)
		c.finds(`groups.value eq "`+b+`"`, "ann")
	},
	"G-05": func(t *testing.T, c caller) {
		ann, ben := c.user(c.as("ann")), c.user(c.as("ben"))
		a := c.ops("/Groups/"+c.group(c.as("g")), op("add", "members", `[{"value":"`+ann+`","$ref":"https://elsewhere/v1/Users/x","type":"Group","display":"Nobody"},{"$ref":"https://elsewhere/v1/Users/`+ben+`"}]`))
		same(t, a.values("members"), []string{ann, ben})
		that(t, !strings.Contains(a.raw, "elsewhere") && !strings.Contains(a.raw, "Nobody") && at(a.body["members"].([]any)[0], "type") == "User", a)
	},
	"G-06": func(t *testing.T, c caller) {
		path, g := c.who("ann"), c.group(c.as("g"))
		a := c.do(200, "PUT", path, c.body("ann", `"groups":[{"value":"`+g+`"}]`))
		that(t, a.body["groups"] == nil, a)
		c.noOps(400, "mutability", path, op("add", "groups", `[{"value":"`+g+`"}]`))
	},
	"G-07": func(_ *testing.T, c caller) {
		c.refused(400, "invalidValue", "POST", "/Groups", `{`+coreGroup+`}`)
		c.refused(400, "invalidValue", "POST", "/Groups", `{`+coreGroup+`,"displayName":" "}`)
	},
	"G-08": func(_ *testing.T, c caller) {
		c.group(c.as("g"))
		c.group(c.as("g"))
		entra := c.of(c.w.entra())
		entra.group(c.as("g"))
		entra.refused(409, "uniqueness", "POST", "/Groups", `{`+coreGroup+`,"displayName":"`+strings.ToUpper(c.as("g"))+`"}`)
	},
	"G-09": func(t *testing.T, c caller) {
		var members []string
		for from := 0; from < 3000; from += scim.BulkLimit {
			var many []string
			for i := range scim.BulkLimit {
				many = append(many, postUser(fmt.Sprint(i), c.as(fmt.Sprint(from+i))))
			}
			for _, r := range c.bulk("", many...) {
				members = append(members, last(r["location"]))
			}
		}
		g := c.group(c.as("g"), members[1:]...)
		path, filled := "/Groups/"+g, c.w.clock.Now()
		c.w.clock.Advance(time.Hour)
		a := c.do(204, "PATCH", path, patchBody(op("add", "members", `[{"value":"`+members[0]+`"}]`)))
		that(t, a.raw == "", a)
		c.do(204, "PATCH", path, patchBody(op("remove", `members[value eq "`+members[1]+`"]`, "")))
		a = c.get(`/Groups?excludedAttributes=members&filter=displayName eq "` + c.as("g") + `"`)
		that(t, len(a.raw) < 2000 && a.number("totalResults") == 1, answer{status: len(a.raw)})
		// Of those who stayed no row was written anew.
		c.w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
			all, err := tx.GroupMembers(ctx, id.Group(g), "", 5000)
			old := 0
			for _, m := range all {
				if m.Added.Equal(filled) {
					old++
				}
			}
			if len(all) != len(members)-1 || old != len(members)-2 {
				t.Errorf("%d members, %d of them as they were; want %d and %d", len(all), old, len(members)-1, len(members)-2)
			}
			return err
		})
		same(t, len(c.get(path).values("members")), len(members)-1)
	},
	"G-10": func(t *testing.T, c caller) {
		foreign := c.of(c.w.dir("fieldserv", "plain"))
		stranger := foreign.user(foreign.as("x"))
		g := c.group(c.as("g"))
		alike := func(method, path, body string) {
			t.Helper()
			real := c.send(c.request(method, strings.ReplaceAll(path, "ID", stranger), strings.ReplaceAll(body, "ID", stranger)))
			made := c.send(c.request(method, strings.ReplaceAll(path, "ID", "nobody"), strings.ReplaceAll(body, "ID", "nobody")))
			if real.status != made.status || strings.ReplaceAll(real.raw, stranger, "nobody") != made.raw || real.status < 400 {
				t.Errorf("%s %s: %d %s, and of nobody %d %s", method, path, real.status, real.raw, made.status, made.raw)
			}
		}
		for _, method := range []string{"GET", "DELETE"} {
			alike(method, "/Users/ID", "")
			alike(method, "/Groups/ID", "")
		}
		alike("PUT", "/Users/ID", c.body("y"))
		alike("PATCH", "/Users/ID", patchBody(op("replace", "active", "false")))
		alike("PATCH", "/Groups/"+g, patchBody(op("add", "members", `[{"value":"ID"}]`)))
		alike("POST", "/Users", c.body("y", ent(`{"manager":{"value":"ID"}}`)))
		bulk := c.bulk("", `{"method":"DELETE","path":"/Users/`+stranger+`"}`, `{"method":"DELETE","path":"/Users/nobody"}`)
		same(t, statuses(bulk), []string{"404", "404"})
		text, _ := json.Marshal(c.list("/Groups", `members.value eq "`+stranger+`"`))
		same(t, string(text), "[]")
		foreign.do(200, "GET", "/Users/"+stranger, "")
	},
	"G-11": func(_ *testing.T, c caller) {
		c.who("ann")
		c.of(c.w.dir("fieldserv", "plain")).who("ann")
	},
}

package scimcheck

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

var discoveryChecks = []check{
	{"V-01", Should, "7644 4", "a filter on discovery is refused with 403", always, func(s *step) {
		s.refused(s.find("/ResourceTypes", `name eq "User"`), "", 403)
	}},
	{"V-02", Must, "7644 4", "discovery ignores paging and sorting", always, func(s *step) {
		all := s.read("/Schemas")
		some := s.read("/Schemas?count=1&startIndex=2&sortBy=id&attributes=id")
		s.that(len(all.resources()) > 0 && len(some.resources()) == len(all.resources()), "all %d schemas", len(all.resources()))
	}},
	{"V-03", Must, "7644 4", "a resource type and a schema have addresses of their own", always, func(s *step) {
		a := s.read("/ResourceTypes/User")
		s.that(a.at("schema") == coreUser, "the resource type User with its schema")
		a = s.read("/Schemas/" + coreUser)
		s.that(a.id() == coreUser, "the schema %s", coreUser)
		s.refused(s.get("/Schemas/urn:vestibule:check:nobody"), "", 404)
	}},
	{"V-04", Must, "7643 5", "ServiceProviderConfig tells of every feature and of a scheme to authenticate by", always, func(s *step) {
		a := s.read("/ServiceProviderConfig")
		for _, f := range []string{"patch", "bulk", "filter", "changePassword", "sort", "etag"} {
			_, ok := a.at(f + ".supported").(bool)
			s.that(ok, "%s.supported, true or false", f)
		}
		schemes, _ := a.at("authenticationSchemes").([]any)
		s.that(len(schemes) > 0, "authenticationSchemes with at least one scheme")
	}},
	{"V-05", Must, "7644 3.1", "messages are not among the schemas", always, func(s *step) {
		a := s.read("/Schemas")
		for _, x := range a.resources() {
			id, _ := x["id"].(string)
			s.that(!strings.HasPrefix(id, messages), "no schema %s", id)
		}
	}},
	{"V-06", Must, "7643 6", "a resource type says its endpoint, and of each extension whether it is required", always, func(s *step) {
		a := s.read("/ResourceTypes")
		s.that(len(a.resources()) > 0, "resource types")
		for _, t := range a.resources() {
			endpoint, _ := t["endpoint"].(string)
			s.that(strings.HasPrefix(endpoint, "/"), "an endpoint that begins with /, relative to the base")
			extensions, _ := t["schemaExtensions"].([]any)
			for _, x := range extensions {
				_, ok := at(x, "required").(bool)
				s.that(ok, "schemaExtensions[].required, true or false")
			}
		}
	}},
	{"V-07", Must, "7643 7", "schemas describe each attribute, without null", always, func(s *step) {
		a := s.read("/Schemas")
		s.that(slices.Contains(a.ids(), coreUser), "the schema %s in a ListResponse", coreUser)
		s.that(!strings.Contains(strings.ReplaceAll(a.text, " ", ""), ":null"), "no null")
		for _, x := range a.resources() {
			attributes, _ := x["attributes"].([]any)
			for _, attribute := range attributes {
				name, _ := at(attribute, "name").(string)
				_, ok := at(attribute, "multiValued").(bool)
				s.that(name != "" && ok && at(attribute, "type") != nil, "name, type and multiValued of every attribute; they are missing at %q of %v", name, x["id"])
			}
		}
	}},
}

var httpChecks = []check{
	{"H-01", Must, "7644 3.12", "an error has the Error schema, its status as a string, and the SCIM media type", always, func(s *step) {
		a := s.refused(s.get("/Users/"+s.name()), "", 404)
		s.that(strings.HasPrefix(a.header.Get("Content-Type"), "application/scim+json"), "Content-Type application/scim+json")
	}},
	{"H-02", Must, "7644 3.12", "a 404 carries no scimType", always, func(s *step) {
		a := s.ok(s.get("/Users/"+s.name()), 404)
		s.that(a.at("scimType") == nil, "no scimType, which Table 9 has for 400 and 409 only")
	}},
	{"H-03", Must, "7644 3.12", "an unknown endpoint is a 404 with an Error", always, func(s *step) {
		s.refused(s.get("/VestibuleCheckNope"), "", 404)
	}},
	{"H-04", Choice, "9110 15.5.6", "a method that is not served is a 405 with Allow", always, func(s *step) {
		a := s.refused(s.post("/ServiceProviderConfig", object{}), "", 405)
		s.that(a.header.Get("Allow") != "", "an Allow header")
	}},
	{"H-06", Must, "7644 2", "no token, or a wrong one, is a 401 with WWW-Authenticate", always, func(s *step) {
		s.skip(s.w.Token == "", "the walk has no token")
		for _, value := range []string{"", "Bearer vestibule-check-wrong"} {
			a := s.ok(s.get("/Users?count=1", "Authorization", value), 401)
			s.that(a.header.Get("WWW-Authenticate") != "", "a WWW-Authenticate header")
		}
	}},
	{"H-07", Must, "7644 3.8", "application/scim+json with a charset, and application/json, are accepted", always, func(s *step) {
		s.ok(s.post("/Users", s.body(), "Content-Type", "application/scim+json; charset=utf-8"), 201)
		s.ok(s.post("/Users", s.body(), "Content-Type", "application/json"), 201)
	}},
	{"H-08", Choice, "7644 3.8", "a body of another media type is a 415", always, func(s *step) {
		s.refused(s.post("/Users", s.body(), "Content-Type", "text/plain"), "", 415)
	}},
	{"H-09", Must, "7644 3.8", "who accepts application/scim+json gets it", always, func(s *step) {
		a := s.read("/Users?count=1")
		s.that(strings.HasPrefix(a.header.Get("Content-Type"), "application/scim+json"), "Content-Type application/scim+json")
	}},
	{"H-10", Must, "7644 3.12", "a body that is no JSON object is a 400", always, func(s *step) {
		for _, body := range []string{"{", "[]", `"x"`, ""} {
			s.refused(s.post("/Users", raw(body)), "", 400)
		}
	}},
	{"H-10b", Choice, "7644 3.12", "a body of two documents is a 400", always, func(s *step) {
		s.refused(s.post("/Users", raw(`{"schemas":["`+coreUser+`"],"userName":"`+s.name()+`"}{}`)), "", 400)
	}},
	{"H-10c", Choice, "8259 8.1", "a body that is not UTF-8 is a 400", always, func(s *step) {
		s.refused(s.post("/Users", raw(`{"schemas":["`+coreUser+`"],"userName":"`+s.name()+"\xff\"}")), "", 400)
	}},
	{"H-11", Choice, "7643 2.1", "an attribute that stands twice, in another case, is a 400", always, func(s *step) {
		name := s.name()
		s.refused(s.post("/Users", raw(`{"schemas":["`+coreUser+`"],"userName":"`+name+`","USERNAME":"`+name+`-b"}`)), "", 400)
	}},
	{"H-14", Choice, "7644 3.12", "JSON 10,000 levels deep is refused, and the server lives", always, func(s *step) {
		body := `{"schemas":["` + coreUser + `"],"userName":"` + s.name() + `","name":` + strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000) + "}"
		s.refused(s.post("/Users", raw(body)), "", 400, 413)
		s.ok(s.get("/Users?count=1"), 200)
	}},
}

var createChecks = []check{
	{"C-01", Must, "7644 3.3", "a created user has a Location, equal to meta.location and absolute", always, func(s *step) {
		a := s.user()
		u, err := url.Parse(a.header.Get("Location"))
		s.that(err == nil && u.IsAbs() && a.at("meta.location") == u.String(), "an absolute Location header, equal to meta.location")
	}},
	{"C-02", Must, "7643 3.1", "id and meta of the client are ignored", always, func(s *step) {
		a := s.user("id", "vestibule-check-mine", "meta", object{"location": "x", "resourceType": "X"})
		s.that(a.id() != "vestibule-check-mine" && a.id() != "" && !strings.Contains(a.id(), "bulkId"), "an id of the server")
		s.that(a.at("meta.location") != "x", "a location of the server")
	}},
	{"C-03", Must, "7644 3.3", "readOnly groups are ignored", grouping, func(s *step) {
		g := s.group()
		a := s.user("groups", []object{{"value": g.id()}})
		s.that(len(values(s.read(user(a)).at("groups"), "value")) == 0, "no membership")
	}},
	{"C-04", Must, "7644 3.3", "the same userName again is a 409 uniqueness", always, func(s *step) {
		a := s.user()
		s.refused(s.post("/Users", s.body("userName", a.at("userName"))), "uniqueness", 409)
	}},
	{"C-05", Must, "7643 4.1.1", "a userName that differs only in case is a 409", always, func(s *step) {
		a := s.user()
		name, _ := a.at("userName").(string)
		s.refused(s.post("/Users", s.body("userName", strings.ToUpper(name))), "uniqueness", 409)
	}},
	{"C-07", Must, "7643 3.1", "the same externalId twice is no conflict", always, func(s *step) {
		external := s.name()
		s.user("externalId", external)
		s.user("externalId", external)
	}},
	{"C-08", Must, "7643 3", "a user without schemas is a 400", always, func(s *step) {
		s.refused(s.post("/Users", s.body("schemas", nil)), "", 400)
	}},
	{"C-09", Must, "7643 3", "a user of an unknown schema, or of a group's, is a 400", always, func(s *step) {
		s.refused(s.post("/Users", s.body("schemas", []string{"urn:vestibule:check:bogus"})), "", 400)
		s.refused(s.post("/Users", s.body("schemas", []string{coreGroup})), "", 400)
	}},
	{"C-10", Choice, "7643 3.3", "enterprise data without its schema listed are kept, and the schema is listed", enterprise, func(s *step) {
		a := s.user(enterpriseUser, object{"department": "D"})
		s.that(at(a.body, "ent.department") == "D" && slices.Contains(strs(a.at("schemas")), enterpriseUser), "department D, and %s in schemas", enterpriseUser)
	}},
	{"C-11", Choice, "7643 3", "a listed extension without data is not listed in the answer", enterprise, func(s *step) {
		a := s.user("schemas", []string{coreUser, enterpriseUser})
		s.that(!slices.Contains(strs(a.at("schemas")), enterpriseUser), "schemas that list what is there")
	}},
	{"C-12", Must, "7643 2.1", "attribute names and the extension's URN are understood in any case", enterprise, func(s *step) {
		a := s.user("NICKNAME", "Nick", strings.ToUpper(enterpriseUser), object{"DEPARTMENT": "D"})
		s.that(a.at("nickName") == "Nick", "nickName Nick")
		s.that(at(a.body, "ent.department") == "D", "%s:department D", enterpriseUser)
	}},
	{"C-13", Must, "7644 3.12", "a user without userName, or with an empty one, is a 400", always, func(s *step) {
		s.refused(s.post("/Users", s.body("userName", nil)), "", 400)
		s.refused(s.post("/Users", raw(`{"schemas":["`+coreUser+`"],"userName":null}`)), "", 400)
		s.refused(s.post("/Users", s.body("userName", "")), "", 400)
	}},
	{"C-14", Must, "7643 2.5", "null and an empty list are no value", always, func(s *step) {
		a := s.ok(s.post("/Users", raw(`{"schemas":["`+coreUser+`"],"userName":"`+s.name()+`","nickName":null,"emails":[]}`)), 201)
		_, nick := a.body["nickName"]
		s.that(!nick && len(values(a.at("emails"), "value")) == 0, "no nickName and no e-mails")
	}},
	{"C-15", Must, "7643 2.3", "a value of a wrong type is a 400", always, func(s *step) {
		s.refused(s.post("/Users", s.body("active", "yes")), "", 400)
		s.refused(s.post("/Users", s.body("name", "Ann Lee")), "", 400)
		s.refused(s.post("/Users", s.body("nickName", 5)), "", 400)
	}},
	{"C-17", Must, "7643 2.4", "two primary values are a 400, or one of them is primary no more", always, func(s *step) {
		a := s.post("/Users", s.body("emails", []object{{"value": "a@check.example", "type": "work", "primary": true}, {"value": "b@check.example", "type": "home", "primary": true}}))
		if a.status == 400 {
			return
		}
		s.ok(a, 400, 201)
		s.that(primaries(a.at("emails")) <= 1, "at most one value with primary true")
	}},
	{"C-18", Should, "7643 2.4", "the same type and value twice are stored once", always, func(s *step) {
		e := object{"value": "a@check.example", "type": "work"}
		a := s.post("/Users", s.body("emails", []object{e, e}))
		if a.status == 400 {
			return
		}
		s.ok(a, 201, 400)
		s.that(len(values(a.at("emails"), "value")) == 1, "one e-mail")
	}},
	{"C-19", Choice, "7643 2.3.1", "a type that is not canonical is accepted", always, func(s *step) {
		a := s.user("emails", []object{{"value": "a@check.example", "type": "vestibule"}})
		s.that(slices.Equal(values(a.at("emails"), "type"), []string{"vestibule"}), "the type vestibule")
	}},
	{"C-22", Must, "7643 7", "a password is never answered", always, func(s *step) {
		const password = "vC!3k-9s.never-told"
		a := s.user("password", password)
		s.that(!strings.Contains(a.text, password) && a.at("password") == nil, "no password")
		b := s.read(user(a) + "?attributes=password")
		s.that(!strings.Contains(b.text, password) && b.at("password") == nil, "no password")
	}},
	{"C-23", Should, "7644 3.6", "the userName of a deleted user is free", always, func(s *step) {
		a := s.user()
		s.ok(s.send("DELETE", user(a), nil), 204)
		s.ok(s.post("/Users", s.body("userName", a.at("userName"))), 201)
	}},
	{"C-24", Must, "7643 3.1", "meta says the resource type, and created and lastModified with a zone", always, func(s *step) {
		a := s.user()
		s.that(a.at("meta.resourceType") == "User", "meta.resourceType User")
		for _, path := range []string{"meta.created", "meta.lastModified"} {
			text, _ := a.at(path).(string)
			_, err := time.Parse(time.RFC3339Nano, text)
			s.that(err == nil, "%s as a dateTime with a zone", path)
		}
	}},
	{"C-25", Choice, "7643 4.1.1", "active is true when it was not sent", always, func(s *step) {
		a := s.user()
		s.that(a.at("active") == true, "active true")
	}},
	{"C-26", Must, "7644 3.3", "ten POSTs of one userName at once make one user", always, func(s *step) {
		body := s.body()
		type outcome struct {
			s *step
			a answer
		}
		results := make([]outcome, 10)
		var wg sync.WaitGroup
		// Each has a walk of its own: what was made is gathered when all are done.
		for i := range results {
			walk := *s.w
			walk.made = nil
			results[i].s = &step{w: &walk, ctx: s.ctx}
			wg.Go(func() { results[i].a = results[i].s.post("/Users", body) })
		}
		wg.Wait()
		created := 0
		for _, r := range results {
			s.w.made = append(s.w.made, r.s.w.made...)
			if s.sent, s.came = r.s.sent, r.s.came; r.a.status == 201 {
				created++
				continue
			}
			s.that(r.a.status == 409, "409 for all but one")
		}
		s.that(created == 1, "one 201 of ten, not %d", created)
	}},
}

func primaries(v any) int {
	n := 0
	items, _ := v.([]any)
	for _, item := range items {
		if at(item, "primary") == true {
			n++
		}
	}
	return n
}

// keys are the names a resource has, sorted.
func keys(o object) []string {
	var out []string
	for name := range o {
		out = append(out, name)
	}
	return sorted(out)
}

func (s *step) full() answer {
	pairs := []any{
		"name",
		object{"givenName": "Ann", "familyName": "Lee"},
		"nickName", "Nick", "title", "T",
		"emails",
		[]object{{"value": "w@check.example", "type": "work", "primary": true}, {"value": "h@check.example", "type": "home"}},
	}
	if s.w.has[enterprise] {
		pairs = append(pairs, "ent", object{"department": "D", "employeeNumber": "7"})
	}
	return s.user(pairs...)
}

var readChecks = []check{
	{"R-01", Must, "7644 3.9", "attributes=userName answers schemas, id and userName alone", always, func(s *step) {
		a := s.read(user(s.full()) + "?attributes=userName")
		for _, name := range keys(a.body) {
			// id is always returned; schemas are, in every resource.
			s.that(slices.Contains([]string{"schemas", "id", "userName"}, name), "no %s", name)
		}
		s.that(a.id() != "" && a.at("userName") != nil, "id and userName")
	}},
	{"R-02", Must, "7644 3.4.2.5", "what is always returned cannot be excluded", always, func(s *step) {
		a := s.read(user(s.full()) + "?excludedAttributes=id,schemas,nickName")
		s.that(a.id() != "" && len(strs(a.at("schemas"))) > 0 && a.at("nickName") == nil, "id and schemas, and no nickName")
	}},
	{"R-04", Must, "7644 3.10", "attributes=name.givenName answers that part of the name", always, func(s *step) {
		a := s.read(user(s.full()) + "?attributes=name.givenName")
		s.that(a.at("name.givenName") == "Ann" && a.at("name.familyName") == nil, "name with givenName alone")
	}},
	{"R-05", Must, "7644 3.10", "attributes=emails.value answers the values alone", always, func(s *step) {
		a := s.read(user(s.full()) + "?attributes=emails.value")
		s.that(len(values(a.at("emails"), "value")) == 2 && len(values(a.at("emails"), "type")) == 0, "two e-mails with value alone")
	}},
	{"R-06", Must, "7644 3.10", "attributes of the extension are named by its URN", enterprise, func(s *step) {
		a := s.read(user(s.full()) + "?attributes=" + enterpriseUser + ":department")
		s.that(at(a.body, "ent.department") == "D" && at(a.body, "ent.employeeNumber") == nil && a.at("nickName") == nil, "the extension with department alone")
	}},
	{"R-08", Must, "7644 3.10", "the core URN in another case is the core URN", always, func(s *step) {
		a := s.read(user(s.full()) + "?attributes=urn:ietf:params:scim:schemas:core:2.0:USER:nickname")
		s.that(a.at("nickName") == "Nick" && a.at("title") == nil, "nickName alone")
	}},
	{"R-09", Must, "7644 3.9", "excludedAttributes leaves out what it names alone", always, func(s *step) {
		a := s.read(user(s.full()) + "?excludedAttributes=name.familyName")
		s.that(a.at("name.givenName") == "Ann" && a.at("name.familyName") == nil && a.at("nickName") == "Nick", "all but name.familyName")
	}},
	{"R-10", Choice, "7644 3.9", "attributes and excludedAttributes together are a 400", always, func(s *step) {
		s.refused(s.get(user(s.full())+"?attributes=nickName&excludedAttributes=title"), "", 400)
	}},
	{"R-11", Must, "7644 3.9", "attributes holds for the answers of POST and of lists", always, func(s *step) {
		a := s.ok(s.post("/Users?attributes=userName", s.body("nickName", "Nick")), 201)
		s.that(a.at("nickName") == nil && a.id() != "", "no nickName")
		if s.w.has[filtering] {
			l := s.ok(s.find("/Users", `userName eq "`+fmt.Sprint(a.at("userName"))+`"`, "&attributes=userName"), 200)
			s.that(len(l.resources()) == 1 && l.resources()[0]["nickName"] == nil, "one user without nickName")
		}
	}},
	{"R-12", Choice, "7644 3.9", "an unknown name in attributes is ignored", always, func(s *step) {
		a := s.read(user(s.full()) + "?attributes=nickName,vestibuleCheck")
		s.that(a.at("nickName") == "Nick", "nickName")
	}},
	{"R-14", Should, "7643 2.5", "what has no value is left out, not null", always, func(s *step) {
		a := s.read(user(s.user()))
		for _, name := range keys(a.body) {
			s.that(a.body[name] != nil, "no %s", name)
		}
	}},
	{"R-16", Must, "7643 4.1.2", "a user's groups are there, with value and display", grouping, func(s *step) {
		a := s.user()
		g := s.group(a.id())
		b := s.read(user(a))
		s.that(slices.Equal(values(b.at("groups"), "value"), []string{g.id()}), "groups with %s", g.id())
		s.that(slices.Equal(values(b.at("groups"), "display"), []string{fmt.Sprint(g.at("displayName"))}), "its display")
	}},
	{"R-17", Must, "7643 3.1", "meta.location is the same in a list as by itself", filtering, func(s *step) {
		a := s.user()
		l := s.ok(s.find("/Users", `userName eq "`+fmt.Sprint(a.at("userName"))+`"`), 200)
		s.that(len(l.resources()) == 1 && at(l.resources()[0], "meta.location") == a.at("meta.location"), "%v", a.at("meta.location"))
	}},
}

// some makes users that a filter of their displayName finds, and gives the filter.
func (s *step) some(n int) (string, []string) {
	tag := s.name()
	var ids []string
	for i := range n {
		ids = append(ids, s.user("displayName", tag, "name", object{"familyName": string(rune('A' + n - i))}).id())
	}
	return "filter=" + url.QueryEscape(`displayName eq "`+tag+`"`), ids
}

var listChecks = []check{
	{"L-01", Must, "7644 3.4.2.4", "startIndex below 1 is 1", filtering, func(s *step) {
		q, _ := s.some(2)
		for _, start := range []string{"0", "-5"} {
			a := s.read("/Users?" + q + "&startIndex=" + start)
			s.that(len(a.resources()) == 2, "the list from its beginning")
		}
	}},
	{"L-02", Must, "7644 3.4.2.4", "count=0 tells the total alone", filtering, func(s *step) {
		q, _ := s.some(2)
		a := s.read("/Users?" + q + "&count=0")
		s.that(a.total() == 2 && len(a.resources()) == 0, "totalResults 2 and no resources")
	}},
	{"L-03", Must, "7644 3.4.2.4", "a negative count is 0", filtering, func(s *step) {
		q, _ := s.some(2)
		a := s.read("/Users?" + q + "&count=-1")
		s.that(a.total() == 2 && len(a.resources()) == 0, "totalResults 2 and no resources")
	}},
	{"L-04", Must, "7644 3.4.2.4", "itemsPerPage is the number returned", filtering, func(s *step) {
		q, _ := s.some(2)
		a := s.read("/Users?" + q + "&count=100000")
		s.that(a.at("itemsPerPage") == float64(len(a.resources())), "itemsPerPage %d", len(a.resources()))
	}},
	{"L-05", Must, "7644 3.4.2", "no match, and a page past the end, are a 200 with an empty list", filtering, func(s *step) {
		for _, path := range []string{"/Users?filter=" + url.QueryEscape(`userName eq "`+s.name()+`"`), "/Users?startIndex=100000000"} {
			a := s.read(path)
			v, there := a.body["Resources"]
			s.that(slices.Contains(strs(a.at("schemas")), messages+"ListResponse") && len(a.resources()) == 0 && (!there || v != nil), "a ListResponse whose Resources are empty, not null")
		}
	}},
	{"L-06", Choice, "7644 3.12", "a count that is no number is a 400", always, func(s *step) {
		s.refused(s.get("/Users?count=abc"), "", 400)
	}},
	{"L-07", Must, "7644 3.4.2", "totalResults counts all pages, and the pages hold everybody once", filtering, func(s *step) {
		q, ids := s.some(5)
		var seen []string
		for start := 1; start <= 5; start += 2 {
			a := s.read(fmt.Sprintf("/Users?%s&startIndex=%d&count=2", q, start))
			s.that(a.total() == 5, "totalResults 5")
			seen = append(seen, a.ids()...)
		}
		s.that(slices.Equal(sorted(seen), sorted(ids)), "each of %s once over the pages", strings.Join(ids, ", "))
	}},
	{"L-10", Must, "7644 3.4.2.3", "sortBy orders ascending, and descending", sorting, func(s *step) {
		q, ids := s.some(3)
		down := slices.Clone(ids)
		slices.Reverse(ids) // some gives the names from the end of the alphabet
		a := s.read("/Users?" + q + "&sortBy=name.familyName")
		s.that(slices.Equal(a.ids(), ids), "the order %s", strings.Join(ids, ", "))
		a = s.read("/Users?" + q + "&sortBy=name.familyName&sortOrder=descending")
		s.that(slices.Equal(a.ids(), down), "the order %s", strings.Join(down, ", "))
	}},
	{"L-12", Choice, "7644 3.4.2.3", "sorting by a password, or in an unknown order, is a 400", sorting, func(s *step) {
		s.refused(s.get("/Users?sortBy=password"), "", 400)
		s.refused(s.get("/Users?sortBy=userName&sortOrder=up"), "", 400)
	}},
	{"L-13", Must, "9865 2", "a walk by cursor holds everybody once, and its last page has no nextCursor", cursors, func(s *step) {
		q, ids := s.some(5)
		var seen []string
		next := ""
		for page := 1; page <= 3; page++ {
			a := s.read("/Users?" + q + "&count=2&cursor=" + url.QueryEscape(next))
			_, start := a.body["startIndex"]
			s.that(!start, "no startIndex with a cursor")
			next, _ = a.body["nextCursor"].(string)
			_, there := a.body["nextCursor"]
			s.that(there == (page < 3), "nextCursor on all pages but the last, and there left out")
			s.that(strings.Trim(next, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == "", "a cursor of unreserved characters")
			seen = append(seen, a.ids()...)
		}
		s.that(slices.Equal(sorted(seen), sorted(ids)), "each of %s once", strings.Join(ids, ", "))
	}},
	{"L-15", Should, "9865 2.1", "a cursor that is none, or of another list, is a 400 invalidCursor", cursors, func(s *step) {
		s.refused(s.get("/Users?count=2&cursor=vestibule-check"), "invalidCursor", 400)
		q, _ := s.some(3)
		a := s.read("/Users?" + q + "&count=2&cursor")
		next, _ := a.body["nextCursor"].(string)
		s.refused(s.get("/Users?count=2&cursor="+url.QueryEscape(next)), "invalidCursor", 400)
	}},
	{"L-19", Should, "9865 4", "ServiceProviderConfig tells the limits of paging", cursors, func(s *step) {
		a := s.read("/ServiceProviderConfig")
		for _, name := range []string{"index", "defaultPaginationMethod", "defaultPageSize", "maxPageSize"} {
			s.that(a.at("pagination."+name) != nil, "pagination.%s", name)
		}
	}},
}

var deleteChecks = []check{
	{"D-01", Must, "7644 3.6", "a deleted user is a 404 for everything", always, func(s *step) {
		a := s.user()
		d := s.ok(s.send("DELETE", user(a), nil), 204)
		s.that(d.text == "", "no body")
		s.refused(s.get(user(a)), "", 404)
		s.refused(s.send("PUT", user(a), s.body("userName", a.at("userName"))), "", 404)
		s.refused(s.send("DELETE", user(a), nil), "", 404)
		if s.w.has[patching] {
			s.refused(s.patch(user(a), op{"op": "replace", "path": "nickName", "value": "x"}), "", 404)
		}
	}},
	{"D-02", Must, "7644 3.6", "a deleted user is in no list and in no group", filtering, func(s *step) {
		a := s.user()
		var g answer
		if s.w.has[grouping] {
			g = s.group(a.id())
		}
		s.ok(s.send("DELETE", user(a), nil), 204)
		l := s.ok(s.find("/Users", `userName eq "`+fmt.Sprint(a.at("userName"))+`"`), 200)
		s.that(l.total() == 0, "nobody")
		if s.w.has[grouping] {
			b := s.read(group(g))
			s.that(len(values(b.at("members"), "value")) == 0, "no members")
		}
	}},
	{"D-03", Must, "7644 3.14", "the ETag of a resource is its meta.version", tagging, func(s *step) {
		a := s.read(user(s.user()))
		s.that(a.header.Get("ETag") != "" && a.at("meta.version") == a.header.Get("ETag"), "ETag, equal to meta.version")
	}},
	{"D-04", Must, "7644 3.14", "If-None-Match of the current version is a 304 without a body", tagging, func(s *step) {
		a := s.user()
		for _, tag := range []string{a.header.Get("ETag"), `W/"vestibule-check", ` + a.header.Get("ETag"), "*"} {
			b := s.ok(s.get(user(a), "If-None-Match", tag), 304)
			s.that(b.text == "", "no body")
		}
	}},
	{"D-05", Must, "7644 3.14", "If-Match of another version is a 412, and nothing is done", tagging, func(s *step) {
		a := s.user("nickName", "Before")
		stale := []string{"If-Match", `W/"vestibule-check-stale"`}
		s.refused(s.send("PUT", user(a), s.body("userName", a.at("userName"), "nickName", "After"), stale...), "", 412)
		if s.w.has[patching] {
			s.refused(s.send("PATCH", user(a), message(op{"op": "replace", "path": "nickName", "value": "After"}), stale...), "", 412)
		}
		s.refused(s.send("DELETE", user(a), nil, stale...), "", 412)
		s.that(s.read(user(a)).at("nickName") == "Before", "nickName Before")
	}},
	{"D-06", Must, "7644 3.14", "If-Match of the current version lets a change happen", tagging, func(s *step) {
		a := s.user()
		b := s.ok(s.send("PUT", user(a), s.body("userName", a.at("userName"), "nickName", "After"), "If-Match", a.header.Get("ETag")), 200)
		s.that(b.header.Get("ETag") != a.header.Get("ETag"), "another ETag")
		s.ok(s.send("DELETE", user(a), nil, "If-Match", b.header.Get("ETag")), 204)
	}},
}

var groupChecks = []check{
	{"G-00", Must, "7644 3.3", "a group is created, read, replaced and deleted", grouping, func(s *step) {
		a, b := s.user(), s.user()
		g := s.group(a.id())
		s.that(slices.Equal(values(s.read(group(g)).at("members"), "value"), []string{a.id()}), "the member %s", a.id())
		r := s.ok(s.send("PUT", group(g), object{"schemas": []string{coreGroup}, "displayName": g.at("displayName"), "members": []object{{"value": b.id()}}}), 200)
		s.that(r.id() == g.id(), "the group")
		s.that(slices.Equal(values(s.read(group(g)).at("members"), "value"), []string{b.id()}), "the member %s alone", b.id())
		s.ok(s.send("DELETE", group(g), nil), 204)
		s.refused(s.get(group(g)), "", 404)
		s.ok(s.get(user(b)), 200)
	}},
	{"G-01", Choice, "7643 4.2", "a member who does not exist is a 400", grouping, func(s *step) {
		s.refused(s.post("/Groups", object{"schemas": []string{coreGroup}, "displayName": s.name(), "members": []object{{"value": s.name()}}}), "", 400)
	}},
	{"G-02", Must, "7643 4.2", "a group may be a member", grouping, func(s *step) {
		inner := s.group()
		outer := s.group(inner.id())
		s.that(slices.Equal(values(s.read(group(outer)).at("members"), "value"), []string{inner.id()}), "the member %s", inner.id())
	}},
	{"G-03", Should, "7643 4.1.2", "a user's groups tell direct from indirect", grouping, func(s *step) {
		a := s.user()
		inner := s.group(a.id())
		outer := s.group(inner.id())
		kinds := map[string]any{}
		items, _ := s.read(user(a)).at("groups").([]any)
		for _, x := range items {
			kinds[fmt.Sprint(at(x, "value"))] = at(x, "type")
		}
		s.that(kinds[inner.id()] == "direct" && kinds[outer.id()] == "indirect", "%s direct and %s indirect", inner.id(), outer.id())
	}},
	{"G-05", Choice, "7643 2.4", "a member's value wins over a $ref of elsewhere", grouping, func(s *step) {
		a := s.user()
		g := s.ok(s.post("/Groups", object{"schemas": []string{coreGroup}, "displayName": s.name(), "members": []object{{"value": a.id(), "$ref": "https://elsewhere.example/v1/Users/1"}}}), 201)
		b := s.read(group(g))
		s.that(slices.Equal(values(b.at("members"), "value"), []string{a.id()}) && !strings.Contains(b.text, "elsewhere.example"), "the member %s with a $ref of this server", a.id())
	}},
	{"G-06", Must, "7643 4.1.2", "a PUT of a user does not change its groups", grouping, func(s *step) {
		a := s.user()
		g := s.group(a.id())
		s.ok(s.send("PUT", user(a), s.body("userName", a.at("userName"), "groups", []object{})), 200)
		s.that(slices.Equal(values(s.read(group(g)).at("members"), "value"), []string{a.id()}), "the member %s still", a.id())
	}},
	{"G-07", Choice, "7643 4.2", "a group without displayName is a 400", grouping, func(s *step) {
		s.refused(s.post("/Groups", object{"schemas": []string{coreGroup}}), "", 400)
	}},
	{"G-09", Must, "7644 3.4.2.5", "excludedAttributes=members leaves the members out", grouping, func(s *step) {
		g := s.group(s.user().id())
		a := s.read(group(g) + "?excludedAttributes=members")
		s.that(a.at("members") == nil && a.at("displayName") != nil, "no members")
	}},
}

package scimcheck

import (
	"fmt"
	"slices"
	"strings"
)

var filterChecks = []check{
	{"F-01", Must, "7644 3.4.2.2", "attribute names, operators and userName compare without case", filtering, func(s *step) {
		a := s.user()
		s.finds(`USERNAME Eq "`+strings.ToUpper(fmt.Sprint(a.at("userName")))+`"`, a.id())
	}},
	{"F-02", Must, "7643 3.1", "externalId and id compare by case", filtering, func(s *step) {
		external := s.name()
		a := s.user("externalId", external)
		s.finds(`externalId eq "`+external+`"`, a.id())
		s.finds(`externalId eq "` + strings.ToUpper(external) + `"`)
		s.finds(`id eq "`+a.id()+`"`, a.id())
	}},
	{"F-03", Must, "7644 3.4.2.2", "and binds closer than or; not closest", filtering, func(s *step) {
		tag := s.name()
		a := s.user("displayName", tag, "nickName", "a", "title", "x")
		b := s.user("displayName", tag, "nickName", "b", "title", "y")
		c := s.user("displayName", tag, "nickName", "c", "title", "y")
		all := `displayName eq "` + tag + `" and `
		s.finds(all+`(nickName eq "a" or nickName eq "b" and title eq "x")`, a.id())
		s.finds(all+`(nickName eq "a" or nickName eq "b" and title eq "y")`, a.id(), b.id())
		s.finds(all+`not (nickName eq "a") and title eq "y"`, b.id(), c.id())
	}},
	{"F-04", Must, "7644 3.4.2.2", "not without parentheses is a 400 invalidFilter", filtering, func(s *step) {
		s.refused(s.find("/Users", `not userName eq "x"`), "invalidFilter", 400)
	}},
	{"F-05", Must, "7644 3.4.2.2", "brackets mean one element, a dotted path any", filtering, func(s *step) {
		tag := s.name()
		one := s.user("displayName", tag, "emails", []object{{"value": "x@check.example", "type": "work"}, {"value": "y@check.example", "type": "home"}})
		two := s.user("displayName", tag, "emails", []object{{"value": "y@check.example", "type": "work"}, {"value": "x@check.example", "type": "home"}})
		all := `displayName eq "` + tag + `" and `
		s.finds(all+`emails[type eq "work" and value sw "x"]`, one.id())
		s.finds(all+`emails.type eq "work" and emails.value sw "x"`, one.id(), two.id())
	}},
	{"F-06", Must, "7644 3.4.2.2", "or, not and parentheses stand within brackets", filtering, func(s *step) {
		tag := s.name()
		a := s.user("displayName", tag, "emails", []object{{"value": "x@check.example", "type": "work"}})
		all := `displayName eq "` + tag + `" and `
		s.finds(all+`emails[type eq "work" and (primary eq true or value pr)]`, a.id())
		s.finds(all+`emails[type eq "work" and not (value sw "y")]`, a.id())
	}},
	{"F-07", Must, "7644 3.4.2.2", "a multi-valued attribute without a sub-attribute compares its value", filtering, func(s *step) {
		mail := s.name() + "@check.example"
		a := s.user("emails", []object{{"value": mail, "type": "work"}})
		s.finds(`emails co "`+mail+`"`, a.id())
		s.finds(`emails.value eq "`+mail+`"`, a.id())
	}},
	{"F-08", Must, "7644 3.4.2.2", "pr is true of what has a value", filtering, func(s *step) {
		tag := s.name()
		a := s.user("displayName", tag, "title", "T", "name", object{"givenName": "G"}, "emails", []object{{"value": "x@check.example"}})
		s.user("displayName", tag)
		for _, name := range []string{"title", "name", "emails"} {
			s.finds(`displayName eq "`+tag+`" and `+name+` pr`, a.id())
		}
	}},
	{"F-09", Choice, "7643 2.5", "eq null finds who has no value", filtering, func(s *step) {
		tag := s.name()
		s.user("displayName", tag, "title", "T")
		b := s.user("displayName", tag)
		s.finds(`displayName eq "`+tag+`" and title eq null`, b.id())
	}},
	{"F-10", Choice, "7644 3.4.2.2", "ne finds who has no value, as not (eq) does", filtering, func(s *step) {
		tag := s.name()
		s.user("displayName", tag, "title", "T")
		b := s.user("displayName", tag)
		s.finds(`displayName eq "`+tag+`" and title ne "T"`, b.id())
		s.finds(`displayName eq "`+tag+`" and not (title eq "T")`, b.id())
	}},
	{"F-11", Must, "8259 7", "strings in filters are JSON strings", filtering, func(s *step) {
		tag := s.name()
		a := s.user("displayName", tag, "title", "a\"b\\c/é\U0001F600")
		s.finds(`displayName eq "`+tag+`" and title eq "a\"b\\c\/\u00e9\ud83d\ude00"`, a.id())
	}},
	{"F-12", Must, "7643 2.3.5", "times compare as instants; what is no time is a 400 invalidFilter", filtering, func(s *step) {
		tag := s.name()
		a := s.user("displayName", tag)
		s.finds(`displayName eq "`+tag+`" and meta.lastModified gt "2011-05-13T04:42:34+02:00"`, a.id())
		s.finds(`displayName eq "` + tag + `" and meta.lastModified lt "2011-05-13T04:42:34Z"`)
		s.refused(s.find("/Users", `meta.lastModified gt "yesterday"`), "invalidFilter", 400)
	}},
	{"F-13", Must, "7644 3.4.2.2", "booleans are not ordered: gt is a 400 invalidFilter", filtering, func(s *step) {
		s.refused(s.find("/Users", `active gt true`), "invalidFilter", 400)
	}},
	{"F-14", Choice, "7644 3.4.2.2", "a comparison with a value of another type is a 400 invalidFilter", filtering, func(s *step) {
		s.refused(s.find("/Users", `active co "t"`), "invalidFilter", 400)
		s.refused(s.find("/Users", `userName eq 5`), "invalidFilter", 400)
	}},
	{"F-16", Must, "7644 3.4.2.2", "an unknown operator is a 400 invalidFilter", filtering, func(s *step) {
		s.refused(s.find("/Users", `userName regex "x"`), "invalidFilter", 400)
	}},
	{"F-17", Choice, "7644 3.4.2.2", "an unknown attribute is a 400 invalidFilter", filtering, func(s *step) {
		s.refused(s.find("/Users", `vestibuleCheck eq "x"`), "invalidFilter", 400)
	}},
	{"F-19", Must, "7644 3.10", "attributes of the extension are filtered by, together with the core's", enterprise, func(s *step) {
		s.skip(!s.w.has[filtering], "the server does not advertise filter")
		a := s.user("ent", object{"department": "D"})
		s.finds(fmt.Sprintf(`userName eq %q and %s:department eq "D"`, a.at("userName"), enterpriseUser), a.id())
		s.finds(fmt.Sprintf(`userName eq %q and %s:department eq "D"`, a.at("userName"), strings.ToUpper(enterpriseUser)), a.id())
	}},
	{"F-20", Must, "7644 3.4.2.2", "schemas and meta.resourceType are filtered by", filtering, func(s *step) {
		a := s.user()
		s.finds(fmt.Sprintf(`userName eq %q and schemas eq %q`, a.at("userName"), coreUser), a.id())
		s.finds(fmt.Sprintf(`userName eq %q and meta.resourceType eq "User"`, a.at("userName")), a.id())
	}},
	{"F-21", Should, "7644 7.5", "a password is not filtered by", filtering, func(s *step) {
		for _, filter := range []string{`password eq "x"`, `password pr`, `password sw "a"`} {
			s.refused(s.find("/Users", filter), "", 400, 403)
		}
	}},
	{"F-22", Must, "7644 3.4.2.2", "what is special to a database is text", filtering, func(s *step) {
		tag := s.name()
		a := s.user("displayName", tag, "title", "100% _x' or 1=1 --")
		s.user("displayName", tag, "title", "100 plain")
		all := `displayName eq "` + tag + `" and `
		s.finds(all+`title co "%"`, a.id())
		s.finds(all+`title co "_"`, a.id())
		s.finds(all+`title eq "100% _x' or 1=1 --"`, a.id())
	}},
	{"F-23", Choice, "7644 3.4.2.2", "a filter of 1,000 parentheses is a 400, and the server lives", filtering, func(s *step) {
		s.refused(s.find("/Users", strings.Repeat("(", 1000)+`title pr`+strings.Repeat(")", 1000)), "", 400, 414)
		s.ok(s.get("/Users?count=1"), 200)
	}},
	{"F-25", Must, "7644 3.4.2.2", "groups are found by a member", grouping, func(s *step) {
		s.skip(!s.w.has[filtering], "the server does not advertise filter")
		a := s.user()
		g := s.group(a.id())
		for _, filter := range []string{`members.value eq "` + a.id() + `"`, `members[value eq "` + a.id() + `"]`} {
			l := s.ok(s.find("/Groups", filter), 200)
			s.that(slices.Equal(l.ids(), []string{g.id()}), "the group %s", g.id())
		}
	}},
	{"F-26", Must, "7644 3.4.2.2", "a path of three names, and brackets in brackets, are a 400 invalidFilter", filtering, func(s *step) {
		s.refused(s.find("/Users", `name.givenName.x eq "x"`), "invalidFilter", 400)
		s.refused(s.find("/Users", `emails[emails[type eq "x"]]`), "invalidFilter", 400)
	}},
}

var searchChecks = []check{
	{"S-01", Must, "7644 3.4.3", "POST /.search below /Users searches as GET does", filtering, func(s *step) {
		a := s.user("nickName", "Nick")
		l := s.post("/Users/.search", object{
			"schemas": []string{messages + "SearchRequest"}, "filter": fmt.Sprintf(`userName eq %q`, a.at("userName")),
			"attributes": []string{"userName"}, "startIndex": 1, "count": 10,
		})
		s.skip(l.status == 501 || l.status == 404 || l.status == 405, "the server does not offer .search")
		s.ok(l, 200)
		s.that(slices.Equal(l.ids(), []string{a.id()}) && l.resources()[0]["nickName"] == nil, "the user %s with userName alone", a.id())
	}},
	{"S-02", Must, "7644 3.4.3", "a search that is no SearchRequest is a 400", filtering, func(s *step) {
		a := s.post("/Users/.search", object{"filter": `userName eq "x"`})
		s.skip(a.status == 501 || a.status == 404 || a.status == 405, "the server does not offer .search")
		s.refused(a, "", 400)
	}},
	{"S-03", Must, "7644 3.4.2.1", "a search at the root finds users and groups", grouping, func(s *step) {
		tag := s.name()
		a := s.user("displayName", tag)
		g := s.ok(s.post("/Groups", object{"schemas": []string{coreGroup}, "displayName": tag}), 201)
		l := s.post("/.search", object{"schemas": []string{messages + "SearchRequest"}, "filter": `displayName eq "` + tag + `"`})
		s.skip(l.status == 501 || l.status == 404 || l.status == 405, "the server does not offer a search at the root")
		s.ok(l, 200)
		s.that(slices.Equal(sorted(l.ids()), sorted([]string{a.id(), g.id()})), "the user %s and the group %s", a.id(), g.id())
	}},
	{"S-04", Should, "7644 3.11", "/Me without a person behind the token is a 501, or 404", always, func(s *step) {
		a := s.get("/Me")
		s.skip(a.status == 200 || a.status == 308, "the token has a person behind it")
		s.refused(a, "", 501, 404)
	}},
}

func bulk(more object, operations ...object) object {
	body := object{"schemas": []string{messages + "BulkRequest"}, "Operations": operations}
	for name, v := range more {
		body[name] = v
	}
	return body
}

// inBulk sends a bulk request, gives its results, and notes what they made.
func (s *step) inBulk(body object) []object {
	a := s.ok(s.post("/Bulk", body), 200)
	s.that(slices.Contains(strs(a.at("schemas")), messages+"BulkResponse"), "a BulkResponse")
	items, _ := a.at("Operations").([]any)
	var out []object
	for _, item := range items {
		o, _ := item.(object)
		location, _ := o["location"].(string)
		if path, ok := strings.CutPrefix(location, s.w.base); ok && o["method"] == "POST" {
			s.w.made = append(s.w.made, path)
		} else if i := max(strings.LastIndex(location, "/Users/"), strings.LastIndex(location, "/Groups/")); i >= 0 && o["method"] == "POST" {
			s.w.made = append(s.w.made, location[i:])
		}
		_, text := o["status"].(string)
		s.that(text, "each status as a string")
		out = append(out, o)
	}
	return out
}

func (s *step) adding(bulkID string, pairs ...any) object {
	return object{"method": "POST", "path": "/Users", "bulkId": bulkID, "data": s.body(pairs...)}
}

// removal is an operation that fails on every server.
var removal = object{"method": "DELETE", "path": "/Users/" + Prefix + "nobody"}

var bulkChecks = []check{
	{"H-05", Should, "7644 3.12", "bulk that is not offered is a 501", always, func(s *step) {
		s.skip(s.w.has[bulking], "the server advertises bulk")
		s.refused(s.post("/Bulk", bulk(nil)), "", 501)
	}},
	{"B-01", Must, "7644 3.7", "without failOnErrors every operation is tried, and the failed ones say why", bulking, func(s *step) {
		r := s.inBulk(bulk(nil, s.adding("a"), removal, s.adding("c")))
		s.that(len(r) == 3 && r[0]["status"] == "201" && r[1]["status"] == "404" && r[2]["status"] == "201", "201, 404 and 201")
		if !s.over() {
			s.that(at(r[1]["response"], "status") == "404", "the Error as response of the second")
			s.that(r[0]["bulkId"] == "a" && r[0]["location"] != nil, "bulkId and location of the first")
		}
	}},
	{"B-02", Must, "7644 3.7.3", "failOnErrors stops", bulking, func(s *step) {
		r := s.inBulk(bulk(object{"failOnErrors": 1}, removal, s.adding("b")))
		s.that(len(r) == 1 && r[0]["status"] == "404", "the failed operation alone")
	}},
	{"B-04", Must, "7644 3.7.2", "a bulkId of a later operation is resolved", bulking, func(s *step) {
		s.skip(!s.w.has[grouping], "the server has no groups")
		r := s.inBulk(bulk(nil,
			object{"method": "POST", "path": "/Groups", "bulkId": "g", "data": object{"schemas": []string{coreGroup}, "displayName": s.name(), "members": []object{{"value": "bulkId:u"}}}},
			s.adding("u")))
		s.that(len(r) == 2 && r[0]["status"] == "201" && r[1]["status"] == "201", "201 and 201")
	}},
	{"B-06", Choice, "7644 3.7.2", "a bulkId that nothing has is a 409", bulking, func(s *step) {
		s.skip(!s.w.has[grouping], "the server has no groups")
		r := s.inBulk(bulk(nil, object{"method": "POST", "path": "/Groups", "bulkId": "g", "data": object{"schemas": []string{coreGroup}, "displayName": s.name(), "members": []object{{"value": "bulkId:nobody"}}}}))
		s.that(len(r) == 1 && (r[0]["status"] == "409" || r[0]["status"] == "400"), "409 or 400")
	}},
	{"B-07", Must, "7644 3.7", "a POST without bulkId fails", bulking, func(s *step) {
		operation := s.adding("")
		delete(operation, "bulkId")
		a := s.post("/Bulk", bulk(nil, operation))
		if a.status == 400 {
			return
		}
		items, _ := s.ok(a, 200, 400).at("Operations").([]any)
		s.that(len(items) == 1 && at(items[0], "status") == "400", "400 for the operation")
	}},
	{"B-08", Must, "7644 3.7.4", "more operations than maxOperations are a 413", bulking, func(s *step) {
		most, _ := s.read("/ServiceProviderConfig").at("bulk.maxOperations").(float64)
		s.that(most > 0, "bulk.maxOperations")
		s.skip(most > 20_000, "maxOperations is too large to be tried")
		operations := make([]object, int(most)+1)
		for i := range operations {
			operations[i] = removal
		}
		s.refused(s.post("/Bulk", bulk(nil, operations...)), "", 413)
	}},
	{"B-12", Must, "7644 3.7", "a body that is no BulkRequest is a 400", bulking, func(s *step) {
		s.refused(s.post("/Bulk", object{"Operations": []object{s.adding("a")}}), "", 400)
	}},
}

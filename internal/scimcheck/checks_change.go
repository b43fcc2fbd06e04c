package scimcheck

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

var replaceChecks = []check{
	{"P-01", Must, "7644 3.5.1", "a PUT of an unknown id is a 404, and creates nothing", always, func(s *step) {
		s.refused(s.send("PUT", "/Users/"+s.name(), s.body()), "", 404)
	}},
	{"P-02", Must, "7644 3.5.1", "readOnly values in a PUT are ignored", always, func(s *step) {
		a := s.user()
		b := s.ok(s.send("PUT", user(a), s.body("userName", a.at("userName"), "id", "vestibule-check-mine", "meta", object{"resourceType": "X"})), 200)
		s.that(b.id() == a.id() && b.at("meta.resourceType") == "User", "id %s and meta of the server", a.id())
	}},
	{"P-04", Must, "7644 3.5.1", "a PUT without what is required is a 400", always, func(s *step) {
		s.refused(s.send("PUT", user(s.user()), s.body("userName", nil)), "", 400)
	}},
	{"P-05", Choice, "7644 3.5.1", "what a PUT leaves out is cleared, but not active", always, func(s *step) {
		a := s.user("nickName", "Nick", "active", false)
		b := s.ok(s.send("PUT", user(a), s.body("userName", a.at("userName"))), 200)
		s.that(b.at("nickName") == nil && b.at("active") == false, "no nickName, and active false still")
	}},
	{"P-07", Must, "7644 3.5.1", "a PUT to a taken userName is a 409 uniqueness", always, func(s *step) {
		a, b := s.user(), s.user()
		s.refused(s.send("PUT", user(a), s.body("userName", b.at("userName"))), "uniqueness", 409)
	}},
	{"P-08", Must, "7644 3.5.1", "a PUT answers 200 with the resource", always, func(s *step) {
		a := s.user()
		b := s.ok(s.send("PUT", user(a), s.body("userName", a.at("userName"), "nickName", "Nick")), 200)
		s.that(b.id() == a.id() && b.at("nickName") == "Nick", "the user with nickName Nick")
		s.that(s.read(user(a)).at("nickName") == "Nick", "nickName Nick, also when it is read")
	}},
	{"P-09", Choice, "7644 3.5.1", "a PUT that changes nothing leaves lastModified alone", always, func(s *step) {
		body := s.body("nickName", "Nick")
		a := s.ok(s.post("/Users", body), 201)
		b := s.ok(s.send("PUT", user(a), body), 200)
		s.that(b.at("meta.lastModified") == a.at("meta.lastModified"), "lastModified %v", a.at("meta.lastModified"))
	}},
	{"P-10", Choice, "7644 3.5.1", "a PUT that leaves the extension out clears it", enterprise, func(s *step) {
		a := s.user("ent", object{"department": "D"})
		b := s.ok(s.send("PUT", user(a), s.body("userName", a.at("userName"))), 200)
		s.that(b.body[enterpriseUser] == nil && !slices.Contains(strs(b.at("schemas")), enterpriseUser), "no extension, and none in schemas")
	}},
}

var (
	work = object{"value": "w@check.example", "type": "work", "primary": true}
	home = object{"value": "h@check.example", "type": "home"}
)

func emails(a answer) []string { return sorted(values(a.at("emails"), "value")) }

func (s *step) refusedPatch(path, scimType string, status int, operations ...op) {
	s.refused(s.patch(path, operations...), scimType, status)
}

var patchChecks = []check{
	{"X-01", Must, "7644 3.5.2", "a PATCH that does not list PatchOp is a 400", patching, func(s *step) {
		a := s.user()
		body := message(op{"op": "replace", "path": "nickName", "value": "x"})
		delete(body, "schemas")
		s.refused(s.send("PATCH", user(a), body), "", 400)
		body["schemas"] = []string{coreUser}
		s.refused(s.send("PATCH", user(a), body), "", 400)
	}},
	{"X-02", Must, "7644 3.5.2", "a PATCH without operations is a 400", patching, func(s *step) {
		a := s.user()
		s.refused(s.send("PATCH", user(a), object{"schemas": []string{messages + "PatchOp"}}), "", 400)
		s.refused(s.send("PATCH", user(a), object{"schemas": []string{messages + "PatchOp"}, "Operations": "x"}), "", 400)
	}},
	{"X-03", Choice, "7644 3.5.2", `op is understood in any case; an unknown one is a 400`, patching, func(s *step) {
		a := s.user()
		s.that(s.patched(user(a), op{"op": "Replace", "path": "nickName", "value": "x"}).at("nickName") == "x", "nickName x")
		s.refusedPatch(user(a), "", 400, op{"op": "move", "path": "nickName", "value": "y"})
	}},
	{"X-04", Must, "7644 3.5.2", "a PATCH is done whole or not at all", patching, func(s *step) {
		a := s.user("nickName", "Before")
		s.refusedPatch(user(a), "", 400, op{"op": "replace", "path": "nickName", "value": "After"}, op{"op": "remove"})
		s.that(s.read(user(a)).at("nickName") == "Before", "nickName Before")
	}},
	{"X-05", Must, "7644 3.5.2", "an operation sees what those before it did", patching, func(s *step) {
		a := s.patched(user(s.user()), op{"op": "add", "path": "emails", "value": []object{work}}, op{"op": "replace", "path": `emails[type eq "work"].value`, "value": "n@check.example"})
		s.that(slices.Equal(emails(a), []string{"n@check.example"}), "n@check.example alone")
	}},
	{"X-06", Must, "7644 3.5.2.1", "adding what is there succeeds and leaves lastModified alone", patching, func(s *step) {
		a := s.user("emails", []object{home})
		b := s.patched(user(a), op{"op": "add", "path": "emails", "value": []object{home}})
		s.that(b.at("meta.lastModified") == a.at("meta.lastModified") && len(emails(b)) == 1, "one e-mail, and lastModified %v", a.at("meta.lastModified"))
	}},
	{"X-07", Must, "7644 3.5.2.1", "add to a multi-valued attribute appends", patching, func(s *step) {
		a := s.patched(user(s.user("emails", []object{work})), op{"op": "add", "path": "emails", "value": []object{home}})
		s.that(len(emails(a)) == 2, "both e-mails")
	}},
	{"X-08", Must, "7644 3.5.2.1", "add to a complex attribute keeps its other parts", patching, func(s *step) {
		a := s.patched(user(s.user("name", object{"familyName": "Lee"})), op{"op": "add", "path": "name", "value": object{"givenName": "Ann"}})
		s.that(a.at("name.familyName") == "Lee" && a.at("name.givenName") == "Ann", "both names")
	}},
	{"X-09", Must, "7644 3.5.2.1", "add without a value is a 400", patching, func(s *step) {
		s.refusedPatch(user(s.user()), "", 400, op{"op": "add", "path": "nickName"})
	}},
	{"X-10", Must, "7644 3.5.2.1", "add without a path takes an object of attributes", patching, func(s *step) {
		a := s.user()
		b := s.patched(user(a), op{"op": "add", "value": object{"nickName": "x", "title": "T"}})
		s.that(b.at("nickName") == "x" && b.at("title") == "T", "nickName x and title T")
		s.refusedPatch(user(a), "", 400, op{"op": "add", "value": "x"})
	}},
	{"X-11", Must, "7644 3.5.2.2", "remove without a path is a 400 noTarget", patching, func(s *step) {
		s.refusedPatch(user(s.user()), "noTarget", 400, op{"op": "remove"})
	}},
	{"X-12", Must, "7644 3.5.2.2", "removing what is required is a 400", patching, func(s *step) {
		s.refusedPatch(user(s.user()), "", 400, op{"op": "remove", "path": "userName"})
	}},
	{"X-13", Must, "7644 3.5.2.2", "removing what is readOnly is a 400 mutability", patching, func(s *step) {
		s.refusedPatch(user(s.user()), "mutability", 400, op{"op": "remove", "path": "id"})
	}},
	{"X-14", Should, "7644 3.5.2.2", "removing what is not there succeeds", patching, func(s *step) {
		s.patched(user(s.user()), op{"op": "remove", "path": "nickName"})
	}},
	{"X-14b", Choice, "7644 3.5.2.2", "a remove of active takes it away or is refused, and does not succeed without effect", patching, func(s *step) {
		a := s.user("active", false)
		b := s.patch(user(a), op{"op": "remove", "path": "active"})
		if b.status >= 400 && b.status < 500 {
			s.that(s.read(user(a)).at("active") == false, "active false still")
			return
		}
		s.ok(b, 200, 204)
		s.that(s.read(user(a)).at("active") == nil, "no active")
	}},
	{"X-15", Must, "7644 3.5.2.2", "remove members without a filter removes all", grouping, func(s *step) {
		s.skip(!s.w.has[patching], "the server does not advertise patch")
		g := s.group(s.user().id(), s.user().id())
		s.that(len(values(s.patched(group(g), op{"op": "remove", "path": "members"}).at("members"), "value")) == 0, "no members")
	}},
	{"X-15b", Must, "7644 3.5.2.2", "remove members[value eq x] removes that one", grouping, func(s *step) {
		s.skip(!s.w.has[patching], "the server does not advertise patch")
		a, b := s.user(), s.user()
		g := s.group(a.id(), b.id())
		c := s.patched(group(g), op{"op": "remove", "path": `members[value eq "` + a.id() + `"]`})
		s.that(slices.Equal(values(c.at("members"), "value"), []string{b.id()}), "the member %s alone", b.id())
	}},
	{"X-15c", Must, "7644 3.5.2.1", "add members keeps those who are there", grouping, func(s *step) {
		s.skip(!s.w.has[patching], "the server does not advertise patch")
		a, b := s.user(), s.user()
		g := s.group(a.id())
		c := s.patched(group(g), op{"op": "add", "path": "members", "value": []object{{"value": b.id()}}})
		s.that(slices.Equal(sorted(values(c.at("members"), "value")), sorted([]string{a.id(), b.id()})), "both members")
	}},
	{"X-16", Must, "7644 3.5.2.3", "replace by a filter that matches nothing is a 400 noTarget", patching, func(s *step) {
		s.refusedPatch(user(s.user("emails", []object{home})), "noTarget", 400, op{"op": "replace", "path": `emails[type eq "work"].value`, "value": "n@check.example"})
	}},
	{"X-17", Must, "7644 3.5.2.3", "replace of a multi-valued attribute replaces the list; [] empties it", patching, func(s *step) {
		a := s.user("emails", []object{work})
		b := s.patched(user(a), op{"op": "replace", "path": "emails", "value": []object{home}})
		s.that(slices.Equal(emails(b), []string{"h@check.example"}), "h@check.example alone")
		b = s.patched(user(a), op{"op": "replace", "path": "emails", "value": []object{}})
		s.that(len(emails(b)) == 0, "no e-mails")
	}},
	{"X-18", Must, "7644 3.5.2.3", "replace of a complex attribute keeps the parts it does not name", patching, func(s *step) {
		a := s.patched(user(s.user("name", object{"familyName": "Lee", "givenName": "A"})), op{"op": "replace", "path": "name", "value": object{"givenName": "Ann"}})
		s.that(a.at("name.familyName") == "Lee" && a.at("name.givenName") == "Ann", "Ann Lee")
	}},
	{"X-19", Must, "7644 3.5.2.3", "replace of what is not there adds it", patching, func(s *step) {
		a := s.patched(user(s.user()), op{"op": "replace", "path": "nickName", "value": "x"})
		s.that(a.at("nickName") == "x", "nickName x")
	}},
	{"X-20", Must, "7644 3.5.2.3", "replace by a filter changes every match", patching, func(s *step) {
		a := s.patched(user(s.user("emails", []object{{"value": "a@check.example", "type": "work"}, {"value": "b@check.example", "type": "work"}, home})),
			op{"op": "replace", "path": `emails[type eq "work"].display`, "value": "D"})
		s.that(len(values(a.at("emails"), "display")) == 2, "display D of the two of type work")
	}},
	{"X-21", Must, "7644 3.5.2", "a new primary takes the place of the old", patching, func(s *step) {
		a := s.patched(user(s.user("emails", []object{work, home})), op{"op": "replace", "path": `emails[type eq "home"].primary`, "value": true})
		s.that(primaries(a.at("emails")) == 1, "one primary")
		items, _ := a.at("emails").([]any)
		for _, e := range items {
			s.that(at(e, "type") != "home" || at(e, "primary") == true, "the one of type home")
		}
	}},
	{"X-23", Must, "7644 3.5.2", "replacing what is readOnly is a 400 mutability", patching, func(s *step) {
		a := s.user()
		s.refusedPatch(user(a), "mutability", 400, op{"op": "replace", "path": "id", "value": "vestibule-check-mine"})
		s.refusedPatch(user(a), "mutability", 400, op{"op": "replace", "path": "groups", "value": []object{{"value": "x"}}})
	}},
	{"X-26", Must, "7644 3.5.2", "a path that cannot be read is a 400 invalidPath", patching, func(s *step) {
		a := s.user()
		for _, path := range []string{"emails[", "/nickName"} {
			s.refused(s.patch(user(a), op{"op": "replace", "path": path, "value": "x"}), "invalidPath", 400)
		}
	}},
	{"X-27", Choice, "7644 3.5.2", "a path of an unknown attribute is a 400", patching, func(s *step) {
		s.refusedPatch(user(s.user()), "", 400, op{"op": "replace", "path": "vestibuleCheck", "value": "x"})
	}},
	{"X-29", Must, "7644 3.10", "a path may begin with the core URN, in any case", patching, func(s *step) {
		a := s.patched(user(s.user()), op{"op": "replace", "path": strings.ToLower(coreUser) + ":nickName", "value": "x"})
		s.that(a.at("nickName") == "x", "nickName x")
	}},
	{"X-30", Must, "7644 3.5.2", "adding to the extension lists its schema, and removing the last takes it away", enterprise, func(s *step) {
		s.skip(!s.w.has[patching], "the server does not advertise patch")
		a := s.user()
		b := s.patched(user(a), op{"op": "add", "path": enterpriseUser + ":employeeNumber", "value": "7"})
		s.that(at(b.body, "ent.employeeNumber") == "7" && slices.Contains(strs(b.at("schemas")), enterpriseUser), "employeeNumber 7, and the extension in schemas")
		b = s.patched(user(a), op{"op": "remove", "path": enterpriseUser + ":employeeNumber"})
		s.that(at(b.body, "ent.employeeNumber") == nil, "no employeeNumber")
	}},
	{"X-33", Must, "7643 2.5", "replace with null is a remove", patching, func(s *step) {
		a := s.patched(user(s.user("nickName", "x")), op{"op": "replace", "path": "nickName", "value": nil})
		s.that(a.at("nickName") == nil, "no nickName")
	}},
	{"X-34", Must, "7644 3.5.2", "a PATCH answers 200 with the resource, or 204 with nothing", patching, func(s *step) {
		a := s.user()
		b := s.ok(s.patch(user(a), op{"op": "replace", "path": "nickName", "value": "x"}), 200, 204)
		s.that(b.status == 204 && b.text == "" || b.status == 200 && b.id() == a.id(), "the user, or no body with 204")
	}},
	{"X-34b", Must, "7644 3.5.2", "active is set false, and true, by PATCH", patching, func(s *step) {
		a := s.user()
		s.that(s.patched(user(a), op{"op": "replace", "path": "active", "value": false}).at("active") == false, "active false")
		s.that(s.patched(user(a), op{"op": "replace", "value": object{"active": true}}).at("active") == true, "active true")
	}},
	{"X-34c", Must, "7644 3.9", "a PATCH that asks for attributes is answered 200 with them", patching, func(s *step) {
		a := s.user("title", "T")
		b := s.ok(s.send("PATCH", user(a)+"?attributes=nickName", message(op{"op": "replace", "path": "nickName", "value": "x"})), 200)
		s.that(b.at("nickName") == "x" && b.at("title") == nil, "nickName alone")
	}},
	{"X-35", Must, "7644 3.5.2", "a PATCH to a taken userName is a 409 uniqueness", patching, func(s *step) {
		a, b := s.user(), s.user()
		s.refusedPatch(user(a), "uniqueness", 409, op{"op": "replace", "path": "userName", "value": b.at("userName")})
	}},
	{"X-40", Must, "7644 3.5.2.1", "members that are added at once are all there", grouping, func(s *step) {
		s.skip(!s.w.has[patching], "the server does not advertise patch")
		g := s.group()
		var ids []string
		for range 5 {
			ids = append(ids, s.user().id())
		}
		if s.over() {
			return
		}
		var wg sync.WaitGroup
		each := make([]*step, len(ids))
		for i, id := range ids {
			each[i] = &step{w: s.w, ctx: s.ctx}
			wg.Go(func() {
				each[i].ok(each[i].patch(group(g), op{"op": "add", "path": "members", "value": []object{{"value": id}}}), 200, 204)
			})
		}
		wg.Wait()
		for _, x := range each {
			if x.over() && !s.over() {
				*s = *x
			}
		}
		s.that(slices.Equal(sorted(values(s.read(group(g)).at("members"), "value")), sorted(ids)), "the members %s", strings.Join(ids, ", "))
	}},
	{"X-41", Must, "7644 3.5.2", "a PATCH of an unknown id is a 404", patching, func(s *step) {
		s.refusedPatch("/Users/"+s.name(), "", 404, op{"op": "replace", "path": "nickName", "value": "x"})
	}},
	{"X-42", Choice, "7644 3.5.2", "a path of 5,000 brackets is a 400, and the server lives", patching, func(s *step) {
		a := s.user()
		s.refusedPatch(user(a), "", 400, op{"op": "replace", "path": "emails" + strings.Repeat("[", 5000), "value": "x"})
		s.that(s.read(user(a)).id() == a.id(), "%s", fmt.Sprint(a.id()))
	}},
}

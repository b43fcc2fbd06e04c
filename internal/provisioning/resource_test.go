package provisioning_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
)

// C-01, C-04 to C-07, C-22, C-23, C-28, P-07, X-35.
func TestCreate_UserNamesAreUnique(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		a := c.do(201, "POST", "/Users", `{`+coreUser+`,"userName":"Ann Ä","externalId":"e1","password":"hunter2","id":"mine","meta":{"location":"x"}}`)
		id := a.text("id")
		location := publicURL + c.base + "/Users/" + id
		if id == "mine" || a.header.Get("Location") != location || a.meta("location") != location || a.header.Get("ETag") != a.meta("version") ||
			a.meta("created") != a.meta("lastModified") || a.body["active"] != true {
			t.Errorf("C-01, C-02, C-24, C-25: %s", a.raw)
		}
		for _, name := range []string{"Ann Ä", "aNN ä", "ａｎｎ ä", "ann a\u0308"} {
			c.refused(409, "uniqueness", "POST", "/Users", fmt.Sprintf(`{%s,"userName":%q}`, coreUser, name))
		}
		if got := c.do(200, "GET", "/Users/"+id, "").text("userName"); got != "Ann Ä" {
			t.Errorf("C-06: answered as %q", got)
		}
		ben := c.user("ben", `"externalId":"e1"`)
		c.refused(409, "uniqueness", "PUT", "/Users/"+ben, `{`+coreUser+`,"userName":"ANN Ä"}`)
		c.refused(409, "uniqueness", "PATCH", "/Users/"+ben, `{`+patchOp+`,"Operations":[{"op":"replace","path":"userName","value":"ann ä"}]}`)
		if got := c.do(200, "GET", "/Users/"+ben, ""); got.text("userName") != "ben" || got.meta("version") != `W/"1"` {
			t.Errorf("a refused change changed something: %s", got.raw)
		}

		// G-11, and another directory of the same organization is another matter.
		w.dir("fieldserv", "plain").user("Ann Ä")

		// C-22
		c.patch(200, "/Users/"+ben, `{"op":"add","path":"password","value":"hunter2"}`)
		events := w.events()
		for _, e := range events {
			if strings.Contains(string(e.Before)+string(e.After)+e.Reason, "hunter2") {
				t.Errorf("C-22: %s tells the password", e.Action)
			}
		}
		for _, path := range []string{"/Users/" + id, "/Users/" + ben, "/Users?attributes=password", "/Users"} {
			if a := c.do(200, "GET", path, ""); strings.Contains(a.raw, "assword") {
				t.Errorf("C-22, R-03 %s: %s", path, a.raw)
			}
		}
		c.refused(400, "invalidFilter", "GET", `/Users?filter=password eq "hunter2"`, "")

		// C-23
		c.do(204, "DELETE", "/Users/"+ben, "")
		if again := c.user("ben"); again == ben {
			t.Error("C-23: a new user has the old id")
		}
	})
}

// C-26: of 32 creations of one name at once exactly one succeeds.
func TestCreate_ARaceHasOneWinner(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		got := make(chan int, 32)
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				got <- c.send(c.request("POST", "/Users", `{`+coreUser+`,"userName":"ann@x.org"}`)).status
			})
		}
		wg.Wait()
		close(got)
		count := map[int]int{}
		for status := range got {
			count[status]++
		}
		if diff := cmp.Diff(count, map[int]int{201: 1, 409: 31}); diff != "" {
			t.Error(diff)
		}
	})
}

// P-01, P-08, P-09, P-11, X-04, X-06, X-34, X-41, R-11, R-13.
func TestReplaceAndPatch(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		c.refused(404, "", "PUT", "/Users/nope", `{`+coreUser+`,"userName":"x"}`)
		c.refused(404, "", "PATCH", "/Users/nope", `{`+patchOp+`,"Operations":[{"op":"add","path":"title","value":"T"}]}`)
		c.refused(404, "", "PUT", "/Groups/nope", `{`+coreGroup+`,"displayName":"x"}`)
		c.refused(404, "", "PATCH", "/Groups/nope", `{`+patchOp+`,"Operations":[{"op":"add","path":"displayName","value":"T"}]}`)
		id := c.user("ann", `"title":"T"`)
		path := "/Users/" + id
		w.clock.Advance(1e9)

		same := c.do(200, "PUT", path, `{`+coreUser+`,"userName":"ann","title":"T"}`)
		if same.meta("version") != `W/"1"` || same.meta("lastModified") != same.meta("created") {
			t.Errorf("P-09: %s", same.raw)
		}
		same = c.patch(200, path, `{"op":"replace","path":"title","value":"T"}`)
		if same.meta("version") != `W/"1"` || same.header.Get("ETag") != `W/"1"` {
			t.Errorf("a PATCH that changes nothing: %s", same.raw)
		}
		changed := c.do(200, "PUT", path, `{`+coreUser+`,"userName":"ann","title":"U"}`)
		if changed.meta("version") != `W/"2"` || changed.meta("lastModified") == changed.meta("created") || changed.header.Get("ETag") != `W/"2"` {
			t.Errorf("P-08: %s", changed.raw)
		}
		c.refused(400, "mutability", "PATCH", path, `{`+patchOp+`,"Operations":[{"op":"replace","path":"title","value":"V"},{"op":"replace","path":"id","value":"x"},{"op":"remove","path":"title"}]}`)
		if got := c.do(200, "GET", path, ""); got.text("title") != "U" || got.meta("version") != `W/"2"` {
			t.Errorf("X-04: %s", got.raw)
		}
		if got := c.patch(200, path+"?attributes=title", `{"op":"replace","path":"title","value":"V"}`); got.text("title") != "V" || got.text("userName") != "" {
			t.Errorf("R-11: %s", got.raw)
		}

		group := c.group("G", id)
		if got := c.patch(200, "/Groups/"+group+"?attributes=displayName", `{"op":"replace","path":"displayName","value":"H"}`); got.text("displayName") != "H" || len(got.values("members")) != 0 {
			t.Errorf("R-11 on a group: %s", got.raw)
		}
		c.patch(204, "/Groups/"+group, `{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`)
		if got := c.do(200, "GET", "/Groups/"+group, ""); got.meta("version") != `W/"2"` {
			t.Errorf("X-06: %s", got.raw)
		}
		if got := c.do(200, "PUT", "/Groups/"+group, `{`+coreGroup+`,"displayName":"H"}`); len(got.values("members")) != 0 {
			t.Errorf("P-11: %s", got.raw)
		}
	})
}

// two who add at once are both heard.
func TestPatch_MembersAddedAtOnceAreAllThere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		group := c.group("G")
		var users []string
		for i := range 16 {
			users = append(users, c.user(fmt.Sprintf("u%d", i)))
		}
		var wg sync.WaitGroup
		tags := make(chan string, len(users))
		for _, u := range users {
			wg.Go(func() {
				a := c.send(c.request("PATCH", "/Groups/"+group, fmt.Sprintf(`{%s,"Operations":[{"op":"add","path":"members","value":[{"value":%q}]}]}`, patchOp, u)))
				tags <- a.header.Get("ETag")
			})
		}
		wg.Wait()
		close(tags)
		seen := map[string]bool{}
		for tag := range tags {
			seen[tag] = true
		}
		got := c.do(200, "GET", "/Groups/"+group, "")
		if diff := cmp.Diff(got.values("members"), users); diff != "" || len(seen) != len(users) || got.meta("version") != `W/"17"` {
			t.Errorf("%s; %d different versions, at last %s", diff, len(seen), got.meta("version"))
		}
	})
}

// D-01 to D-06, D-08, D-10.
func TestDeleteAndPreconditions(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		boss, ann := c.user("boss"), ""
		ann = c.user("ann", fmt.Sprintf(`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":%q}}`, boss))
		group := c.group("G", boss, ann)
		path := "/Users/" + ann

		// D-03, D-04
		a := c.do(200, "GET", path, "")
		if a.header.Get("ETag") != `W/"1"` || a.meta("version") != `W/"1"` {
			t.Errorf("D-03: %s", a.raw)
		}
		for _, tags := range []string{`W/"1"`, `"1"`, `W/"9", W/"1"`, "*"} {
			if a := c.do(304, "GET", path, "", "If-None-Match", tags); a.raw != "" || a.header.Get("ETag") != `W/"1"` {
				t.Errorf("D-04 %s: %q", tags, a.raw)
			}
		}
		c.do(200, "GET", path, "", "If-None-Match", `W/"2"`)

		// D-05, D-06, D-10
		patch := `{` + patchOp + `,"Operations":[{"op":"replace","path":"title","value":"%s"}]}`
		for _, tags := range []string{`W/"7"`, `"0"`, "nonsense"} {
			c.refused(412, "", "PATCH", path, fmt.Sprintf(patch, "x"), "If-Match", tags)
			c.refused(412, "", "PUT", path, `{`+coreUser+`,"userName":"x"}`, "If-Match", tags)
			c.refused(412, "", "DELETE", path, "", "If-Match", tags)
			c.refused(412, "", "DELETE", "/Groups/"+group, "", "If-Match", tags)
			c.refused(404, "", "PATCH", "/Users/nope", fmt.Sprintf(patch, "x"), "If-Match", tags)
		}
		c.refused(412, "", "PATCH", path, fmt.Sprintf(patch, "x"), "If-None-Match", "*")
		for i, tags := range []string{`W/"1"`, `"2"`, "*", `"x", W/"4"`} {
			c.do(200, "PATCH", path, fmt.Sprintf(patch, fmt.Sprint(i)), "If-Match", tags)
		}

		// D-08
		var wg sync.WaitGroup
		statuses := make(chan int, 8)
		for i := range 8 {
			wg.Go(func() {
				r := c.request("PUT", path, fmt.Sprintf(`{%s,"userName":"ann","title":"race %d"}`, coreUser, i), "If-Match", `W/"5"`)
				statuses <- c.send(r).status
			})
		}
		wg.Wait()
		close(statuses)
		count := map[int]int{}
		for s := range statuses {
			count[s]++
		}
		if diff := cmp.Diff(count, map[int]int{200: 1, 412: 7}); diff != "" {
			t.Errorf("D-08: %s", diff)
		}

		// D-01, D-02
		c.do(200, "PUT", path, fmt.Sprintf(`{%s,"userName":"ann","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":%q}}}`, coreUser, boss))
		before := c.do(200, "GET", "/Groups/"+group, "")
		if a := c.do(204, "DELETE", "/Users/"+boss, ""); a.raw != "" {
			t.Errorf("D-01: a body: %s", a.raw)
		}
		for _, method := range []string{"GET", "DELETE"} {
			c.refused(404, "", method, "/Users/"+boss, "")
		}
		c.refused(404, "", "PUT", "/Users/"+boss, `{`+coreUser+`,"userName":"boss"}`)
		c.refused(404, "", "PATCH", "/Users/"+boss, fmt.Sprintf(patch, "x"))
		if got := c.list("/Users", `userName eq "boss"`); len(got) != 0 {
			t.Errorf("D-02 lists: %v", got)
		}
		after := c.do(200, "GET", "/Groups/"+group, "")
		if !slices.Equal(after.values("members"), []string{ann}) || after.meta("version") == before.meta("version") {
			t.Errorf("D-02 members: %s", after.raw)
		}
		if got := c.do(200, "GET", path, ""); strings.Contains(got.raw, boss) || strings.Contains(got.raw, "enterprise") {
			t.Errorf("D-02 manager: %s", got.raw)
		}
	})
}

// G-01 to G-08, G-10, R-16.
func TestGroups(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		ann, ben := c.user("ann", `"displayName":"Ann"`), c.user("ben")
		foreign := w.dir("fieldserv", "plain").user("carl")
		neighbour := w.entra().user("dora")
		inner := c.group("Inner", ann)
		outer := c.group("Outer", inner, ben)

		// G-02, G-05
		a := c.do(200, "GET", "/Groups/"+outer, "")
		kinds := map[string]string{}
		for _, m := range a.body["members"].([]any) {
			e := m.(map[string]any)
			kinds[e["value"].(string)] = fmt.Sprint(e["type"], " ", e["$ref"], " ", e["display"])
		}
		if diff := cmp.Diff(kinds, map[string]string{
			inner: "Group " + publicURL + c.base + "/Groups/" + inner + " Inner", ben: "User " + publicURL + c.base + "/Users/" + ben + " <nil>",
		}); diff != "" {
			t.Errorf("G-02: %s", diff)
		}
		a = c.patch(200, "/Groups/"+outer+"?attributes=members", `{"op":"add","path":"members","value":[{"$ref":"https://elsewhere/v9/Users/`+ann+`"}]}`)
		if !slices.Contains(a.values("members"), ann) || strings.Contains(a.raw, "elsewhere") {
			t.Errorf("G-05: %s", a.raw)
		}
		c.patch(204, "/Groups/"+outer, `{"op":"remove","path":"members[value eq \"`+ann+`\"]"}`)

		// G-03, R-16
		u := c.do(200, "GET", "/Users/"+ann, "")
		types := map[string]any{}
		for _, g := range u.body["groups"].([]any) {
			e := g.(map[string]any)
			types[fmt.Sprint(e["display"])] = e["type"]
		}
		if diff := cmp.Diff(types, map[string]any{"Inner": "direct", "Outer": "indirect"}); diff != "" {
			t.Errorf("G-03: %s", diff)
		}

		// G-04
		c.patch(204, "/Groups/"+inner, `{"op":"add","path":"members","value":[{"value":"`+outer+`"},{"value":"`+inner+`"}]}`)
		if got := c.do(200, "GET", "/Users/"+ann, "").values("groups"); len(got) != 2 {
			t.Errorf("G-04: %v", got)
		}
		if got := c.list("/Users", `groups.value eq "`+outer+`"`); !slices.Equal(got, []string{ann, ben}) {
			t.Errorf("F-25: %v", got)
		}

		// G-01, G-10
		for _, stranger := range []string{"nobody", foreign, neighbour} {
			for _, request := range []struct{ method, path, body string }{
				{"POST", "/Groups", `{` + coreGroup + `,"displayName":"X","members":[{"value":"` + ann + `"},{"value":"` + stranger + `"}]}`},
				{"PATCH", "/Groups/" + inner, `{` + patchOp + `,"Operations":[{"op":"add","path":"members","value":[{"value":"` + ben + `"},{"value":"` + stranger + `"}]}]}`},
				{"PATCH", "/Groups/" + inner, `{` + patchOp + `,"Operations":[{"op":"replace","path":"members","value":[{"value":"` + stranger + `"}]}]}`},
				{"PUT", "/Groups/" + inner, `{` + coreGroup + `,"displayName":"Y","members":[{"value":"` + stranger + `"}]}`},
			} {
				a := c.do(400, request.method, request.path, request.body)
				if a.text("scimType") != "invalidValue" || !strings.Contains(a.text("detail"), stranger) || strings.Contains(a.text("detail"), ann) {
					t.Errorf("G-01: %s", a.raw)
				}
			}
			for _, method := range []string{"GET", "DELETE"} {
				c.refused(404, "", method, "/Users/"+stranger, "")
			}
			c.refused(404, "", "PATCH", "/Users/"+stranger, `{`+patchOp+`,"Operations":[{"op":"replace","path":"active","value":false}]}`)
			c.refused(400, "invalidValue", "POST", "/Users", `{`+coreUser+`,"userName":"m","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"`+stranger+`"}}}`)
			c.refused(400, "invalidValue", "PATCH", "/Users/"+ann, `{`+patchOp+`,"Operations":[{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":{"value":"`+stranger+`"}}]}`)
		}
		if got := c.list("/Groups", `displayName eq "X"`); len(got) != 0 {
			t.Errorf("G-01: a refused group was made: %v", got)
		}
		if got := c.do(200, "GET", "/Groups/"+inner, ""); got.text("displayName") != "Inner" || !slices.Contains(got.values("members"), ann) || slices.Contains(got.values("members"), ben) {
			t.Errorf("G-01: a refused change changed something: %s", got.raw)
		}
		if !w.account(neighbour).HasAccess() {
			t.Error("a directory deactivated another's user")
		}

		// G-06, G-07, G-08
		c.refused(400, "mutability", "PATCH", "/Users/"+ben, `{`+patchOp+`,"Operations":[{"op":"add","path":"groups","value":[{"value":"`+inner+`"}]}]}`)
		c.refused(400, "invalidValue", "POST", "/Groups", `{`+coreGroup+`}`)
		c.group("Inner")
		w.entra().group("Sales")
		w.entra().refused(409, "uniqueness", "POST", "/Groups", `{`+coreGroup+`,"displayName":"SALES"}`)

		// A group that goes takes its place in others along.
		c.do(204, "DELETE", "/Groups/"+inner, "")
		if got := c.do(200, "GET", "/Groups/"+outer, ""); !slices.Equal(got.values("members"), []string{ben}) {
			t.Errorf("a deleted group is still a member: %s", got.raw)
		}
	})
}

// What changed stands in the audit log with its before and after, by the directory, in the same transaction.
func TestEveryChangeIsInTheLog(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		ann := c.user("ann", `"title":"T"`)
		c.patch(200, "/Users/"+ann, `{"op":"replace","path":"title","value":"U"}`)
		c.patch(200, "/Users/"+ann, `{"op":"replace","path":"title","value":"U"}`)
		group := c.group("G", ann)
		c.patch(204, "/Groups/"+group, `{"op":"remove","path":"members"}`)
		c.do(204, "DELETE", "/Groups/"+group, "")
		c.do(204, "DELETE", "/Users/"+ann, "")
		c.send(c.request("POST", "/Users", `{`+coreUser+`}`))
		events := w.events()
		slices.Reverse(events)
		var got []string
		for _, e := range events {
			if e.Actor.Kind != audit.ActorDirectory || e.Actor.ID != "plain" || e.Actor.Door != audit.SCIM {
				t.Errorf("%s by %v", e.Action, e.Actor)
			}
			line := e.Action
			if e.Action == "user.changed" {
				line += fmt.Sprintf(" %s -> %s", e.Before, e.After)
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(got, []string{
			"user.created", `user.changed {"title":"T"} -> {"title":"U"}`, "group.created", "group.member-added", "group.member-removed",
			"group.deleted", "user.removed", "user.status",
		}); diff != "" {
			t.Error(diff)
		}
	})
}

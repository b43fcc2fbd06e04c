package provisioning_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/scim"
)

func (c *client) bulk(more string, operations ...string) []map[string]any {
	c.w.t.Helper()
	a := c.do(200, "POST", "/Bulk", fmt.Sprintf(`{%s%s,"Operations":[%s]}`, bulkReq, more, strings.Join(operations, ",")))
	var out []map[string]any
	for _, o := range a.body["Operations"].([]any) {
		out = append(out, o.(map[string]any))
	}
	return out
}

func statuses(results []map[string]any) []string {
	out := []string{}
	for _, r := range results {
		s, _ := r["status"].(string)
		out = append(out, s)
	}
	return out
}

func postUser(bulkID, userName string) string {
	return fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":%q,"data":{%s,"userName":%q}}`, bulkID, coreUser, userName)
}

func postGroup(bulkID, name string, members ...string) string {
	var list []string
	for _, m := range members {
		list = append(list, fmt.Sprintf(`{"value":%q}`, m))
	}
	return fmt.Sprintf(`{"method":"post","path":"/Groups","bulkId":%q,"data":{%s,"displayName":%q,"members":[%s]}}`, bulkID, coreGroup, name, strings.Join(list, ","))
}

// B-01 to B-12.
func TestBulk(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		id := func(r map[string]any) string {
			s, _ := r["location"].(string)
			return s[strings.LastIndex(s, "/")+1:]
		}

		got := c.bulk("", postUser("a", "ann"), postUser("b", "ANN"), postUser("c", "carl"))
		if diff := cmp.Diff(statuses(got), []string{"201", "409", "201"}); diff != "" {
			t.Errorf("B-01: %s", diff)
		}
		response, _ := got[1]["response"].(map[string]any)
		if response["status"] != "409" || response["scimType"] != "uniqueness" || got[1]["location"] != nil {
			t.Errorf("B-01, B-03: %v", got[1])
		}
		ann := id(got[0])
		one := c.do(200, "GET", "/Users/"+ann, "")
		if got[0]["location"] != one.meta("location") || got[0]["version"] != one.meta("version") || got[0]["bulkId"] != "a" {
			t.Errorf("B-03: %v", got[0])
		}

		got = c.bulk(`,"failOnErrors":1`, postUser("x", "dora"), postUser("a", "ann"), postUser("y", "emil"))
		if diff := cmp.Diff(statuses(got), []string{"201", "409"}); diff != "" {
			t.Errorf("B-02: %s", diff)
		}
		if len(c.list("/Users", `userName eq "dora"`)) != 1 || len(c.list("/Users", `userName eq "emil"`)) != 0 {
			t.Error("B-02: done work stays, the rest is not done")
		}

		got = c.bulk("", postGroup("g", "Forward", "bulkId:u1"), postUser("u1", "u1"))
		if diff := cmp.Diff(statuses(got), []string{"201", "201"}); diff != "" {
			t.Errorf("B-04: %s", diff)
		}
		if members := c.do(200, "GET", "/Groups/"+id(got[0]), "").values("members"); !slices.Equal(members, []string{id(got[1])}) {
			t.Errorf("B-04: %v", members)
		}

		got = c.bulk("", postGroup("p", "Pong", "bulkId:q", ann), postGroup("q", "Ping", "bulkId:p"))
		if diff := cmp.Diff(statuses(got), []string{"201", "201"}); diff != "" {
			t.Errorf("B-05: %s", diff)
		}
		p, q := id(got[0]), id(got[1])
		if members := c.do(200, "GET", "/Groups/"+p, "").values("members"); !slices.Contains(members, q) || !slices.Contains(members, ann) {
			t.Errorf("B-05: %v", members)
		}
		if members := c.do(200, "GET", "/Groups/"+q, ""); !slices.Equal(members.values("members"), []string{p}) || members.meta("version") != got[1]["version"] {
			t.Errorf("B-05: %s, %v", members.raw, got[1])
		}

		got = c.bulk("", postGroup("g", "G", "bulkId:nobody"), postUser("f", "ann"), postGroup("h", "H", "bulkId:f"))
		if diff := cmp.Diff(statuses(got), []string{"409", "409", "409"}); diff != "" {
			t.Errorf("B-06: %s", diff)
		}

		got = c.bulk("", `{"method":"POST","path":"/Users","data":{`+coreUser+`,"userName":"z"}}`, postUser("s", "s1"), postUser("s", "s2"),
			`{"method":"GET","path":"/Users/`+ann+`"}`, `{"method":"DELETE","path":"/scim/fieldserv/plain/v2/Users/x"}`, `{"method":"DELETE","path":"Users/x"}`,
			`{"method":"DELETE","path":"/Users"}`, `{"method":"POST","bulkId":"k","path":"/Users/x","data":{}}`, `{"method":"PUT","path":"/Users/x"}`, `{"method":"DELETE","path":"/Nope/x"}`)
		if diff := cmp.Diff(statuses(got), []string{"400", "201", "400", "400", "400", "400", "400", "400", "400", "400"}); diff != "" {
			t.Errorf("B-07: %s", diff)
		}

		many := make([]string, scim.BulkLimit+1)
		for i := range many {
			many[i] = postUser(fmt.Sprint(i), fmt.Sprintf("many%d", i))
		}
		a := c.do(413, "POST", "/Bulk", fmt.Sprintf(`{%s,"Operations":[%s]}`, bulkReq, strings.Join(many, ",")))
		if !strings.Contains(a.text("detail"), "1000") || len(c.list("/Users", `userName sw "many"`)) != 0 {
			t.Errorf("B-08: %s", a.raw)
		}
		r := c.request("POST", "/Bulk", `{`+bulkReq+`,"x":"`+strings.Repeat("a", scim.MaxBulk)+`"}`)
		r.ContentLength = -1
		if a := c.send(r); a.status != 413 {
			t.Errorf("B-08: %d", a.status)
		}

		patch := `{"method":"PATCH","path":"/Users/%s","version":%q,"data":{` + patchOp + `,"Operations":[{"op":"replace","path":"title","value":"T"}]}}`
		got = c.bulk("", fmt.Sprintf(patch, ann, `W/"9"`), fmt.Sprintf(patch, ann, `W/"1"`), fmt.Sprintf(patch, ann, `W/"1"`))
		if diff := cmp.Diff(statuses(got), []string{"412", "200", "412"}); diff != "" || got[1]["version"] != `W/"2"` {
			t.Errorf("B-09: %s %v", diff, got)
		}

		got = c.bulk("", `{"method":"PATCH","path":"/Users/bulkId:n","data":{`+patchOp+`,"Operations":[{"op":"add","path":"nickName","value":"N"}]}}`, postUser("n", "nick"))
		if diff := cmp.Diff(statuses(got), []string{"200", "201"}); diff != "" {
			t.Errorf("B-10: %s", diff)
		}
		if nick := c.do(200, "GET", "/Users/"+id(got[1]), ""); nick.text("nickName") != "N" {
			t.Errorf("B-10: %s", nick.raw)
		}
		got = c.bulk("", fmt.Sprintf(`{"method":"DELETE","path":"/Users/%s"}`, id(got[1])), fmt.Sprintf(`{"method":"PUT","path":"/Groups/%s","data":{%s,"displayName":"R"}}`, p, coreGroup))
		if diff := cmp.Diff(statuses(got), []string{"204", "200"}); diff != "" {
			t.Errorf("DELETE and PUT: %s", diff)
		}

		for _, n := range []string{"0", "-1", `"2"`, "1.5"} {
			c.refused(400, "invalidValue", "POST", "/Bulk", `{`+bulkReq+`,"failOnErrors":`+n+`,"Operations":[]}`)
		}
		c.refused(400, "invalidSyntax", "POST", "/Bulk", `{"schemas":["urn:x"],"Operations":[]}`)
		c.refused(400, "invalidSyntax", "POST", "/Bulk", `{`+bulkReq+`}`)
		c.refused(400, "invalidSyntax", "POST", "/Bulk", `{`+bulkReq+`,"Operations":["x"]}`)
	})
}

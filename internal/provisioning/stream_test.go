package provisioning_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// A group that is answered in pieces is the group that is answered whole.
func TestStream_AGroupOfManyPagesIsWhole(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		inner := c.group("Inner")
		group := c.fill(5200)
		c.patch(204, "/Groups/"+group, `{"op":"add","path":"members","value":[{"value":"`+inner+`"}]}`)
		whole := c.do(200, "GET", "/Groups/"+group+"?attributes=members", "")
		a := c.do(200, "GET", "/Groups/"+group, "", "Accept", "*/*")
		members, want := a.values("members"), whole.values("members")
		if len(members) != 5201 || !slices.Equal(members, want) || a.text("displayName") != "Everybody" || a.meta("resourceType") != "Group" {
			t.Errorf("got %d members, want %d", len(members), len(want))
		}
		if a.header.Get("ETag") == "" || a.header.Get("Content-Type") != "application/scim+json" {
			t.Errorf("headers: %v", a.header)
		}
		empty := c.do(200, "GET", "/Groups/"+inner, "")
		if _, there := empty.body["members"]; there || empty.header.Get("Content-Length") == "" {
			t.Errorf("a group without members: %s", empty.raw)
		}
		c.do(404, "GET", "/Groups/nobody", "")

		// A filter by a group of so many finds them all, and those in the groups in it. The first member is the inner group.
		late := c.user("late")
		c.patch(204, "/Groups/"+inner, `{"op":"add","path":"members","value":[{"value":"`+late+`"}]}`)
		in := url.QueryEscape(`groups.value eq "` + group + `"`)
		if a := c.do(200, "GET", "/Users?attributes=id&count=3&filter="+in, ""); a.number("totalResults") != 5201 || !slices.Equal(a.ids(), members[1:4]) {
			t.Errorf("by group: %d, %v", a.number("totalResults"), a.ids())
		}
		if got := c.list("/Users", `groups[value eq "`+group+`"] and userName sw "late"`); !slices.Equal(got, []string{late}) {
			t.Errorf("in a group in it: %v", got)
		}
	})
}

// Each member bears the name that the directory gave it, whether the group holds everybody, few of the people between its members, or
// somebody without a name.
func TestStream_MembersBearTheirNames(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		group := c.fill(5200)
		ids := c.do(200, "GET", "/Groups/"+group, "").values("members")
		c.patch(200, "/Users/"+ids[4500], `{"op":"remove","path":"displayName"}`)
		c.patch(200, "/Users/"+ids[4504], `{"op":"replace","path":"displayName","value":"Ævar"}`)
		want := map[string]string{}
		for first := 1; first <= len(ids); first += 200 {
			a := c.do(200, "GET", fmt.Sprintf("/Users?attributes=displayName&count=200&startIndex=%d", first), "")
			for _, u := range a.objects("Resources") {
				name, _ := u["displayName"].(string)
				want[u["id"].(string)] = name
			}
		}
		check := func(expected []string) {
			t.Helper()
			members := c.do(200, "GET", "/Groups/"+group, "").objects("members")
			if len(members) != len(expected) {
				t.Fatalf("%d members instead of %d", len(members), len(expected))
			}
			for i, m := range members {
				name, there := m["display"].(string)
				if id := m["value"].(string); id != expected[i] || name != want[id] || there != (name != "") {
					t.Fatalf("member %d is %v, instead of %s called %q", i, m, expected[i], want[expected[i]])
				}
			}
		}
		check(ids)

		// Two thousand fill a page; of those behind them every fourth is left.
		few := slices.Clone(ids[:2000])
		for i := 2000; i < len(ids); i += 4 {
			few = append(few, ids[i])
		}
		c.patch(204, "/Groups/"+group, `{"op":"replace","path":"members","value":[{"value":"`+strings.Join(few, `"},{"value":"`)+`"}]}`)
		check(few)
	})
}

// fill makes a group of so many users, pushed by bulk.
func (c *client) fill(n int) string {
	c.w.t.Helper()
	group := c.group("Everybody")
	for done := 0; done < n; done += 500 {
		var operations, members []string
		for i := done; i < min(n, done+500); i++ {
			operations = append(operations, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"u%d","data":{%s,"userName":"m%06d","displayName":"Member %d"}}`, i, coreUser, i, i))
			members = append(members, fmt.Sprintf(`{"value":"bulkId:u%d"}`, i))
		}
		operations = append(operations, fmt.Sprintf(`{"method":"PATCH","path":"/Groups/%s","data":{%s,"Operations":[{"op":"add","path":"members","value":[%s]}]}}`,
			group, patchOp, strings.Join(members, ",")))
		c.do(200, "POST", "/Bulk", fmt.Sprintf(`{%s,"Operations":[%s]}`, bulkReq, strings.Join(operations, ",")))
	}
	return group
}

// discard is a client that reads and keeps nothing.
type discard struct {
	*httptest.ResponseRecorder
	n int
}

func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }

func BenchmarkStream(b *testing.B) {
	const many = 20_000
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			w := newWorld(b, kind)
			c := w.plain()
			group := c.fill(many)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for b.Loop() {
				w.http.ServeHTTP(&discard{ResponseRecorder: httptest.NewRecorder()}, c.request("GET", "/Groups/"+group, ""))
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.Sys-before.Sys)/(1<<20), "MB-grown")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/many, "us/member")
		})
	}
}

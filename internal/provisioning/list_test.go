package provisioning_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// L-01 to L-08, R-11, R-17, D-07.
func TestList_PagesByIndex(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		var all []string
		for i := range 25 {
			all = append(all, c.user(fmt.Sprintf("u%02d", i)))
		}
		for _, q := range []string{"startIndex=0", "startIndex=-5", "startIndex=1", "", "count=100000"} {
			a := c.do(200, "GET", "/Users?"+q, "")
			if diff := cmp.Diff(a.ids(), all); diff != "" || a.number("startIndex") != 1 || a.number("itemsPerPage") != 25 {
				t.Errorf("%s: %s", q, a.raw)
			}
		}
		for _, q := range []string{"count=0", "count=-1"} {
			a := c.do(200, "GET", "/Users?"+q, "")
			if a.number("totalResults") != 25 || len(a.ids()) != 0 || a.number("itemsPerPage") != 0 {
				t.Errorf("L-02, L-03 %s: %s", q, a.raw)
			}
		}
		a := c.do(200, "GET", "/Users?startIndex=26&count=5", "")
		if list, ok := a.body["Resources"].([]any); !ok || len(list) != 0 || a.number("totalResults") != 25 {
			t.Errorf("L-05: %s", a.raw)
		}
		c.refused(400, "invalidValue", "GET", "/Users?count=abc", "")
		c.refused(400, "invalidValue", "GET", "/Users?startIndex=1.5", "")

		var walked []string
		for start := 1; start <= 25; start += 10 {
			page := c.do(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=10", start), "")
			if page.number("totalResults") != 25 {
				t.Errorf("L-07: %s", page.raw)
			}
			walked = append(walked, page.ids()...)
		}
		if diff := cmp.Diff(walked, all); diff != "" {
			t.Errorf("L-08: %s", diff)
		}

		one := c.do(200, "GET", "/Users/"+all[3], "")
		a = c.do(200, "GET", "/Users?startIndex=4&count=1", "")
		resource, _ := a.body["Resources"].([]any)[0].(map[string]any)
		if diff := cmp.Diff(resource, one.body); diff != "" {
			t.Errorf("R-17, D-07: a list answers another resource than GET:\n%s", diff)
		}
		a = c.do(200, "GET", "/Users?count=1&attributes=userName", "")
		resource, _ = a.body["Resources"].([]any)[0].(map[string]any)
		if len(resource) != 3 {
			t.Errorf("R-11: %v", resource)
		}
	})
}

// Whoever walks on loses nobody, though the people he has seen are deleted meanwhile.
func TestList_AWalkAmongDeletionsLosesNobody(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		var all []string
		for i := range 30 {
			all = append(all, c.user(fmt.Sprintf("u%02d", i)))
		}
		var byIndex, byCursor []string
		next := ""
		for start := 1; len(byIndex) < 30; start += 10 {
			page := c.do(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=10", start), "").ids()
			if len(page) == 0 {
				break
			}
			byIndex = append(byIndex, page...)
			a := c.do(200, "GET", "/Users?count=10&cursor="+next, "")
			byCursor, next = append(byCursor, a.ids()...), a.text("nextCursor")
			for _, id := range page[:5] {
				c.do(204, "DELETE", "/Users/"+id, "")
			}
		}
		if diff := cmp.Diff(byIndex, all); diff != "" {
			t.Errorf("by index: %s", diff)
		}
		if diff := cmp.Diff(byCursor, all); diff != "" || next != "" {
			t.Errorf("by cursor: %s, next %q", diff, next)
		}
	})
}

// L-10 to L-12.
func TestList_Sorts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		b := c.user("b", `"name":{"familyName":"beta"},"emails":[{"value":"z@x","type":"home"},{"value":"b@x","type":"work","primary":true}]`)
		a := c.user("a", `"name":{"familyName":"Alpha"},"emails":[{"value":"c@x"}],"title":"T"`)
		none := c.user("c")
		for _, tt := range []struct {
			query string
			want  []string
		}{
			{"sortBy=name.familyName", []string{a, b, none}},
			{"sortBy=name.familyName&sortOrder=descending", []string{none, b, a}},
			{"sortBy=emails", []string{b, a, none}},
			{"sortBy=EMAILS.value&sortOrder=descending", []string{none, a, b}},
			{"sortBy=userName", []string{a, b, none}},
			{"sortBy=meta.created&sortOrder=ascending", []string{b, a, none}},
			{"sortBy=title", []string{a, b, none}},
			{"sortBy=active", []string{b, a, none}},
			{"sortBy=id&sortOrder=descending", []string{none, a, b}},
		} {
			if diff := cmp.Diff(c.do(200, "GET", "/Users?"+tt.query, "").ids(), tt.want); diff != "" {
				t.Errorf("%s: %s", tt.query, diff)
			}
			var walked []string
			next := ""
			for range 3 {
				page := c.do(200, "GET", "/Users?count=1&"+tt.query+"&cursor="+next, "")
				walked, next = append(walked, page.ids()...), page.text("nextCursor")
			}
			if diff := cmp.Diff(walked, tt.want); diff != "" || next != "" {
				t.Errorf("by cursor %s: %s %q", tt.query, diff, next)
			}
		}
		for _, q := range []string{"sortBy=password", "sortBy=nonsense", "sortBy=userName&sortOrder=up", "sortBy=name", "sortBy=groups"} {
			c.refused(400, "invalidValue", "GET", "/Users?"+q, "")
		}
	})
}

// L-13 to L-18, L-20, L-21.
func TestList_Cursors(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		var all []string
		for i := range 5 {
			all = append(all, c.user(fmt.Sprintf("u%d", i)))
		}
		first := c.do(200, "GET", "/Users?cursor&count=2", "")
		next := first.text("nextCursor")
		if _, has := first.body["startIndex"]; has || next == "" || first.body["previousCursor"] != nil || url.QueryEscape(next) != next {
			t.Fatalf("L-13: %s", first.raw)
		}
		second := c.do(200, "GET", "/Users?count=2&cursor="+next, "")
		third := c.do(200, "GET", "/Users?count=2&cursor="+second.text("nextCursor"), "")
		if _, has := third.body["nextCursor"]; has {
			t.Errorf("L-14: %s", third.raw)
		}
		if diff := cmp.Diff(slices.Concat(first.ids(), second.ids(), third.ids()), all); diff != "" {
			t.Error(diff)
		}
		c.refused(400, "invalidCursor", "GET", "/Users?count=2&cursor=garbage", "")
		c.refused(400, "invalidCursor", "GET", "/Groups?count=2&cursor="+next, "")
		c.refused(400, "invalidCursor", "GET", `/Users?filter=active eq true&count=2&cursor=`+next, "")
		c.refused(400, "invalidCursor", "GET", "/Users?sortBy=userName&count=2&cursor="+next, "")
		w.entra().refused(400, "invalidCursor", "GET", "/Users?count=2&cursor="+next, "")
		w.dir("fieldserv", "plain").refused(400, "invalidCursor", "GET", "/Users?count=2&cursor="+next, "")
		c.refused(400, "invalidCount", "GET", "/Users?count=3&cursor="+next, "")
		c.refused(400, "invalidCursor", "GET", "/Users?startIndex=1&count=2&cursor="+next, "")
		if plain := c.do(200, "GET", "/Users", ""); plain.number("startIndex") != 1 || plain.body["nextCursor"] != nil {
			t.Errorf("L-18: %s", plain.raw)
		}
		search := c.do(200, "POST", "/Users/.search", `{`+searchReq+`,"cursor":"","count":2}`)
		if search.text("nextCursor") == "" {
			t.Errorf("L-20: %s", search.raw)
		}
		w.clock.Advance(2 * time.Hour)
		c.refused(400, "expiredCursor", "GET", "/Users?count=2&cursor="+next, "")
	})
}

// S-01 to S-03, R-10, R-11, F-17, F-18.
func TestSearch(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		ann := c.user("ann", `"displayName":"London"`)
		c.user("ben")
		london := c.group("London", ann)
		a := c.do(200, "POST", "/Users/.search", `{`+searchReq+`,"filter":"userName eq \"ann\"","attributes":["userName","emails"],"startIndex":1,"count":10}`)
		resource, _ := a.body["Resources"].([]any)[0].(map[string]any)
		if a.number("totalResults") != 1 || resource["id"] != ann || len(resource) != 3 {
			t.Errorf("S-01: %s", a.raw)
		}
		a = c.do(200, "POST", "/.search", `{`+searchReq+`,"filter":"displayName eq \"london\""}`)
		if diff := cmp.Diff(a.ids(), []string{ann, london}); diff != "" {
			t.Errorf("S-03: %s", diff)
		}
		for i, name := range []string{"User", "Group"} {
			r, _ := a.body["Resources"].([]any)[i].(map[string]any)
			meta, _ := r["meta"].(map[string]any)
			if meta["resourceType"] != name {
				t.Errorf("S-03: %v", r)
			}
		}
		if got := c.do(200, "POST", "/.search", `{`+searchReq+`,"filter":"userName eq \"ann\""}`).ids(); !slices.Equal(got, []string{ann}) {
			t.Errorf("F-18: %v", got)
		}
		var walked []string
		for start := 1; start <= 3; start++ {
			walked = append(walked, c.do(200, "GET", fmt.Sprintf("/?startIndex=%d&count=1", start), "").ids()...)
		}
		if len(walked) != 3 || walked[2] != london {
			t.Errorf("S-03 by page: %v", walked)
		}
		c.refused(400, "invalidFilter", "POST", "/Groups/.search", `{`+searchReq+`,"filter":"userName eq \"ann\""}`)
		c.refused(400, "invalidSyntax", "POST", "/Users/.search", `{"schemas":["urn:x"],"filter":"userName pr"}`)
		c.refused(400, "invalidValue", "POST", "/Users/.search", `{`+searchReq+`,"attributes":[1]}`)
		c.refused(400, "invalidValue", "POST", "/Users/.search", `{`+searchReq+`,"count":"2"}`)
		c.refused(400, "invalidValue", "GET", "/Users?attributes=id&excludedAttributes=name", "")
	})
}

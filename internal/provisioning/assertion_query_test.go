package provisioning_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/scim"
)

// some makes n users and gives the filter that finds them alone.
func (c caller) some(n int, more ...string) (ids []string, filter string) {
	c.w.t.Helper()
	for i := range n {
		c.w.clock.Advance(time.Second)
		ids = append(ids, c.user(c.as(fmt.Sprintf("u%d", i)), more...))
	}
	return ids, "filter=" + url.QueryEscape(`userName sw "`+c.name+`-"`)
}

var assertionsList = map[string]asserted{
	"L-01": func(t *testing.T, c caller) {
		ids, q := c.some(2)
		for _, start := range []string{"0", "-5"} {
			a := c.get("/Users?" + q + "&startIndex=" + start)
			that(t, a.number("startIndex") == 1 && slices.Equal(a.ids(), ids), a)
		}
	},
	"L-02": func(t *testing.T, c caller) {
		_, q := c.some(3)
		a := c.get("/Users?count=0&" + q)
		that(t, a.number("totalResults") == 3 && len(a.ids()) == 0 && strings.Contains(a.raw, `"Resources":[]`), a)
	},
	"L-03": func(t *testing.T, c caller) {
		_, q := c.some(2)
		a := c.get("/Users?count=-1&" + q)
		that(t, a.number("totalResults") == 2 && len(a.ids()) == 0, a)
	},
	"L-04": func(t *testing.T, c caller) {
		_, q := c.some(2)
		a := c.get("/Users?count=100000&" + q)
		that(t, a.number("itemsPerPage") == 2 && len(a.ids()) == 2, a)
		if got := c.get("/ServiceProviderConfig"); at(got.body, "filter", "maxResults") != float64(scim.MaxPage) {
			t.Errorf("the advertised maximum: %s", got.raw)
		}
		most := scim.MaxPage + 5
		for from := 0; from < most; from += scim.BulkLimit {
			var many []string
			for i := from; i < min(most, from+scim.BulkLimit); i++ {
				many = append(many, postUser(fmt.Sprint(i), c.as(fmt.Sprintf("many%d", i))))
			}
			c.bulk("", many...)
		}
		a = c.get("/Users?count=100000&" + q)
		that(t, a.number("itemsPerPage") == scim.MaxPage && len(a.ids()) == scim.MaxPage && a.number("totalResults") == most+2, answer{status: a.status})
	},
	"L-05": func(t *testing.T, c caller) {
		_, q := c.some(2)
		for query, total := range map[string]int{q + "&startIndex=9": 2, "filter=" + url.QueryEscape(`userName eq "nobody at all"`): 0} {
			a := c.get("/Users?" + query)
			that(t, a.number("totalResults") == total && strings.Contains(a.raw, `"Resources":[]`) && a.number("itemsPerPage") == 0, a)
		}
	},
	"L-06": func(_ *testing.T, c caller) {
		for _, q := range []string{"count=abc", "startIndex=1.5", "count=99999999999999999999"} {
			c.refused(400, "invalidValue", "GET", "/Users?"+q, "")
		}
	},
	"L-07": func(t *testing.T, c caller) {
		_, q := c.some(5)
		for start := 1; start <= 5; start += 2 {
			a := c.get(fmt.Sprintf("/Users?count=2&startIndex=%d&%s", start, q))
			that(t, a.number("totalResults") == 5 && strings.Contains(a.raw, `"totalResults":5`), a)
		}
	},
	"L-08": func(t *testing.T, c caller) {
		ids, q := c.some(6)
		first := c.get("/Users?count=2&startIndex=1&" + q).ids()
		c.do(204, "DELETE", "/Users/"+ids[0], "")
		late := c.user(c.as("u9"))
		seen := slices.Clone(first)
		for start := 3; start <= 7; start += 2 {
			seen = append(seen, c.get(fmt.Sprintf("/Users?count=2&startIndex=%d&%s", start, q)).ids()...)
		}
		same(t, seen, append(slices.Clone(ids), late)) // who stayed, once each, and the one who went was seen before
	},
	"L-09": func(_ *testing.T, c caller) {
		c.some(1)
		was := c.w.http
		defer func() { c.w.http = was }()
		c.w.http = provisioning.New(provisioning.Config{DB: c.w.db, URL: publicURL, Patience: time.Nanosecond})
		c.refused(400, "tooMany", "GET", `/Users?filter=title co "x"`, "")
	},
	"L-10": func(t *testing.T, c caller) {
		for name, family := range map[string]string{"a": "beta", "b": "Alpha", "c": "Gamma"} {
			c.user(c.as(name), `"name":{"familyName":"`+family+`"}`)
		}
		c.user(c.as("none"))
		for order, want := range map[string][]string{"": {"b", "a", "c", "none"}, "&sortOrder=ascending": {"b", "a", "c", "none"}, "&sortOrder=descending": {"none", "c", "a", "b"}} {
			var got []string
			for _, r := range c.get("/Users?sortBy=name.familyName" + order + "&filter=" + url.QueryEscape(`userName sw "`+c.as("")+`"`)).resources() {
				got = append(got, strings.TrimPrefix(r["userName"].(string), c.as("")))
			}
			same(t, got, want)
		}
	},
	"L-11": func(t *testing.T, c caller) {
		c.user(c.as("a"), `"emails":[{"value":"a@x"},{"value":"z@x","primary":true}]`)
		c.user(c.as("b"), `"emails":[{"value":"c@x"},{"value":"a@x"}]`)
		var got []string
		for _, r := range c.get("/Users?sortBy=emails&filter=" + url.QueryEscape(`userName sw "`+c.as("")+`"`)).resources() {
			got = append(got, r["userName"].(string))
		}
		same(t, got, []string{c.as("b"), c.as("a")})
	},
	"L-12": func(_ *testing.T, c caller) {
		for _, q := range []string{"sortBy=password", "sortBy=nonsense", "sortBy=userName&sortOrder=up"} {
			c.refused(400, "invalidValue", "GET", "/Users?"+q, "")
		}
	},
	"L-13": func(t *testing.T, c caller) {
		ids, q := c.some(3)
		a := c.get("/Users?cursor&count=2&" + q)
		next := a.text("nextCursor")
		that(t, slices.Equal(a.ids(), ids[:2]) && next != "" && a.body["startIndex"] == nil && url.QueryEscape(next) == next, a)
	},
	"L-14": func(t *testing.T, c caller) {
		ids, q := c.some(3)
		first := c.get("/Users?cursor=&count=2&" + q)
		that(t, first.body["previousCursor"] == nil, first)
		last := c.get("/Users?count=2&" + q + "&cursor=" + first.text("nextCursor"))
		that(t, slices.Equal(last.ids(), ids[2:]) && last.body["nextCursor"] == nil, last)
		whole := c.get("/Users?cursor=&count=3&" + q)
		that(t, len(whole.ids()) == 3 && whole.body["nextCursor"] == nil, whole)
	},
	"L-15": func(_ *testing.T, c caller) {
		_, q := c.some(3)
		cursor := c.get("/Users?cursor&count=2&" + q).text("nextCursor")
		for _, path := range []string{"/Users?" + q + "&count=2&cursor=garbage", "/Users?count=2&cursor=" + cursor, "/Users?sortBy=title&count=2&" + q + "&cursor=" + cursor, "/Groups?count=2&cursor=" + cursor} {
			c.refused(400, "invalidCursor", "GET", path, "")
		}
		c.w.dir("fieldserv", "plain").refused(400, "invalidCursor", "GET", "/Users?count=2&"+q+"&cursor="+cursor, "")
	},
	"L-16": func(_ *testing.T, c caller) {
		_, q := c.some(3)
		cursor := c.get("/Users?cursor&count=2&" + q).text("nextCursor")
		c.w.clock.Advance(scim.CursorTimeout + time.Second)
		c.refused(400, "expiredCursor", "GET", "/Users?count=2&"+q+"&cursor="+cursor, "")
	},
	"L-17": func(_ *testing.T, c caller) {
		_, q := c.some(3)
		cursor := c.get("/Users?cursor&count=2&" + q).text("nextCursor")
		c.refused(400, "invalidCount", "GET", "/Users?count=1&"+q+"&cursor="+cursor, "")
	},
	"L-18": func(t *testing.T, c caller) {
		_, q := c.some(3)
		a := c.get("/Users?" + q)
		that(t, a.number("startIndex") == 1 && a.body["nextCursor"] == nil, a)
		same(t, at(c.get("/ServiceProviderConfig").body, "pagination", "defaultPaginationMethod"), any("index"))
	},
	"L-19": func(t *testing.T, c caller) {
		same(t, c.get("/ServiceProviderConfig").body["pagination"], any(map[string]any{
			"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": float64(scim.DefaultPage), "maxPageSize": float64(scim.MaxPage),
			"cursorTimeout": scim.CursorTimeout.Seconds(),
		}))
	},
	"L-20": func(t *testing.T, c caller) {
		ids, _ := c.some(3)
		body := `{` + searchReq + `,"filter":"userName sw \"` + c.name + `-\"","count":2,"cursor":%q}`
		first := c.do(200, "POST", "/Users/.search", fmt.Sprintf(body, ""))
		second := c.do(200, "POST", "/Users/.search", fmt.Sprintf(body, first.text("nextCursor")))
		same(t, slices.Concat(first.ids(), second.ids()), ids)
	},
	"L-21": func(_ *testing.T, c caller) {
		c.refused(400, "invalidCursor", "GET", "/Users?cursor&startIndex=1", "")
	},
}

func (c caller) mine(filter string) string {
	return `userName sw "` + c.name + `-" and (` + filter + ")"
}

var assertionsFilter = map[string]asserted{
	"F-01": func(_ *testing.T, c caller) {
		c.who("bjensen")
		c.finds(`USERNAME Eq "`+strings.ToUpper(c.as("bjensen"))+`"`, "bjensen")
	},
	"F-02": func(_ *testing.T, c caller) {
		id := c.user(c.as("a"), `"externalId":"`+c.as("e1")+`"`)
		c.finds(`externalId eq "`+c.as("e1")+`"`, "a")
		c.finds(`externalId eq "` + c.as("E1") + `"`)
		c.finds(`id eq "`+id+`"`, "a")
		c.finds(`id eq "` + strings.ToUpper(id) + `"`)
	},
	"F-03": func(_ *testing.T, c caller) {
		c.who("a", `"title":"A"`)
		c.who("b", `"title":"B","nickName":"N"`)
		c.finds(c.mine(`title eq "A" or title eq "B" and nickName eq "X"`), "a")
		c.finds(c.mine(`not (title eq "A") and nickName eq "N"`), "b")
	},
	"F-04": func(_ *testing.T, c caller) { c.noFilter(`not userName eq "x"`) },
	"F-05": func(_ *testing.T, c caller) {
		c.who("a", `"emails":[{"value":"a@f5.example","type":"home"},{"value":"a@other","type":"work"}]`)
		c.finds(c.mine(`emails.type eq "work" and emails.value co "f5.example"`), "a")
		c.finds(c.mine(`emails[type eq "work" and value co "f5.example"]`))
	},
	"F-06": func(_ *testing.T, c caller) {
		c.who("a", `"emails":[{"value":"a@x","type":"work"}]`)
		c.who("b", `"emails":[{"type":"work","display":"D"}]`)
		c.finds(c.mine(`emails[type eq "work" and (primary eq true or value pr)]`), "a")
		c.finds(c.mine(`emails[type eq "work" and not (value pr)]`), "b")
	},
	"F-07": func(_ *testing.T, c caller) {
		c.who("a", `"emails":[{"value":"a@f7.example"}]`)
		c.finds(`emails co "f7.EXAMPLE"`, "a")
	},
	"F-08": func(_ *testing.T, c caller) {
		c.who("a", `"title":"T","emails":[{"value":"a@x"}],"name":{"givenName":"G"}`)
		c.who("b", `"title":"","emails":[],"name":{}`)
		for _, attribute := range []string{"title", "emails", "name"} {
			c.finds(c.mine(attribute+" pr"), "a")
		}
	},
	"F-09": func(_ *testing.T, c caller) {
		c.who("a", `"nickName":"N"`)
		c.who("b")
		c.finds(c.mine("nickName eq null"), "b")
		c.finds(c.mine("nickName ne null"), "a")
	},
	"F-10": func(_ *testing.T, c caller) {
		c.who("a", `"title":"x"`)
		c.who("b")
		c.finds(c.mine(`title ne "x"`), "b")
		c.finds(c.mine(`not (title eq "x")`), "b")
	},
	"F-11": func(_ *testing.T, c caller) {
		for name, tt := range map[string][2]string{
			"quote": {`a\"b`, `a\"b`}, "backslash": {`a\\b`, `a\\b`}, "letter": {`é`, `\u00e9`}, "pair": {"😀", `\ud83d\ude00`}, "slash": {`a/b`, `a\/b`},
		} {
			c.who(name, `"title":"`+tt[0]+`"`)
			c.finds(c.mine(`title eq "`+tt[1]+`"`), name)
		}
	},
	"F-12": func(_ *testing.T, c caller) {
		c.who("a")
		now := c.w.clock.Now()
		zone := time.FixedZone("", 2*3600)
		c.finds(c.mine(`meta.lastModified ge "`+now.In(zone).Format(time.RFC3339Nano)+`"`), "a")
		c.finds(c.mine(`meta.lastModified gt "` + now.In(zone).Format("2006-01-02T15:04:05.000000Z07:00") + `"`))
		c.noFilter(`meta.lastModified gt "yesterday"`)
	},
	"F-13": func(_ *testing.T, c caller) {
		c.noFilter("active gt true")
		c.noFilter(`x509Certificates.value gt "aGk="`)
	},
	"F-14": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		for _, filter := range []string{"active co true", `active sw "t"`, badgeURN + ":floor ew 1", "userName eq 5"} {
			c.noFilter(filter)
		}
	},
	"F-15": func(_ *testing.T, c caller) {
		c.who("a", `"title":"Zeta"`)
		c.who("b", `"title":"äpfel"`)
		c.who("c", `"title":"alpha"`)
		c.finds(c.mine(`title gt "ALPHA"`), "a", "b")
		c.finds(c.mine(`title gt "zeta"`), "b") // by code point, not as a dictionary would
	},
	"F-16": func(t *testing.T, c caller) {
		a := c.do(400, "GET", `/Users?filter=userName regex "x"`, "")
		that(t, a.text("scimType") == "invalidFilter" && strings.Contains(a.text("detail"), "regex"), a)
	},
	"F-17": func(_ *testing.T, c caller) {
		c.noFilter(`nonsense eq "x"`)
		c.noFilter(`emails[nonsense eq "x"]`)
		c.noFilter(`name.nonsense pr`)
	},
	"F-18": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"))
		same(t, c.get("/?filter="+url.QueryEscape(`userName eq "`+c.as("ann")+`"`)).ids(), []string{ann})
		same(t, c.do(200, "POST", "/.search", `{`+searchReq+`,"filter":"nonsense eq \"x\""}`).ids(), []string{})
	},
	"F-19": func(_ *testing.T, c caller) {
		boss := c.user(c.as("boss"))
		c.who("a", `"title":"T"`, ent(`{"department":"F19","manager":{"value":"`+boss+`"}}`))
		c.finds(entURN+`:department eq "f19"`, "a")
		c.finds(strings.ToUpper(entURN)+`:manager.value eq "`+boss+`" and title eq "t"`, "a")
	},
	"F-20": func(_ *testing.T, c caller) {
		id := c.user(c.as("a"), ent(`{"department":"D"}`))
		c.who("b")
		c.finds(c.mine(`schemas eq "`+entURN+`"`), "a")
		c.finds(c.mine(`meta.resourceType eq "User"`), "a", "b")
		c.finds(`id eq "`+id+`"`, "a")
	},
	"F-21": func(_ *testing.T, c caller) {
		c.who("a", `"password":"secret"`)
		for _, filter := range []string{`password eq "secret"`, "password pr", `password sw "s"`, `userName pr and not (password pr)`} {
			c.noFilter(filter)
		}
	},
	"F-22": func(t *testing.T, c caller) {
		c.who("a", `"title":"100%"`)
		c.who("b", `"title":"a_b"`)
		c.finds(`userName eq "x' or 1=1 --"`)
		c.finds(c.mine(`title co "%"`), "a")
		c.finds(c.mine(`title sw "_"`))
		c.finds(c.mine(`title co "_"`), "b")
		a := c.send(c.request("GET", "/Users?filter="+url.QueryEscape(`userName eq "\u0000"`), ""))
		that(t, a.status == 200 && len(a.ids()) == 0 || a.status == 400, a)
	},
	"F-23": func(t *testing.T, c caller) {
		for _, filter := range []string{
			`title eq "` + strings.Repeat("x", 9000) + `"`, strings.Repeat("(", 33) + "title pr" + strings.Repeat(")", 33), strings.Repeat("title pr or ", 999) + "title pr", strings.Repeat("(", 200_000),
		} {
			began := time.Now()
			body := fmt.Sprintf(`{%s,"filter":%q}`, searchReq, filter)
			c.refused(400, "invalidFilter", "POST", "/Users/.search", body)
			if took := time.Since(began); took > 2*time.Second { // well below a millisecond on a machine at rest
				t.Errorf("%d bytes took %s", len(filter), took)
			}
		}
	},
	"F-24": func(t *testing.T, c caller) {
		c.who("a")
		all := c.get("/Users").number("totalResults")
		that(t, all > 0 && c.get("/Users?filter=").number("totalResults") == all && c.get("/Users?filter=%20").number("totalResults") == all, answer{})
	},
	"F-25": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"))
		g := c.group(c.as("g"), ann)
		for _, filter := range []string{`members.value eq "` + ann + `"`, `members[value eq "` + ann + `"]`, `members eq "` + ann + `"`} {
			same(t, c.list("/Groups", filter), []string{g})
		}
		c.finds(`groups.value eq "`+g+`"`, "ann")
	},
	"F-26": func(_ *testing.T, c caller) {
		c.noFilter(`name.givenName.x eq "x"`)
		c.noFilter(`emails[emails[value eq "x"]]`)
	},
	"F-27": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		c.post(201, "a", `"`+badgeURN+`":{"floor":-9223372036854775808}`)
		a := c.send(c.request("GET", "/Users?filter="+url.QueryEscape(badgeURN+":floor eq 12345678901234567890"), ""))
		that(t, a.status == 400 && a.text("scimType") == "invalidFilter" || a.status == 200 && len(a.ids()) == 0, a)
		c.finds(badgeURN+":floor eq -9223372036854775808", "a")
	},
	"F-28": func(_ *testing.T, c caller) {
		c.who("a")
		c.finds(c.mine("active eq true"), "a")
	},
}

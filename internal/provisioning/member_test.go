package provisioning_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/vestibule-id/vestibule/scim"
)

// Of a group too large to be read as a whole the members are read as a list of users, page by page, by index or by cursor:
// RFC 7644 pages resources and not values. Who stays is seen once while others come and go.
func TestMembers_OfALargeGroupAreReadByPages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		var people []string
		for from := 0; from < 300; from += 100 {
			var many []string
			for i := range 100 {
				many = append(many, postUser(fmt.Sprint(i), fmt.Sprintf("u%03d", from+i)))
			}
			for _, r := range c.bulk("", many...) {
				people = append(people, last(r["location"]))
			}
		}
		inner := c.group("Inner", people[250:]...)
		group := c.group("Large", append(slices.Clone(people[:250]), inner)...)
		for filter, want := range map[string][]string{
			`groups.value eq "` + group + `"`: people, `groups[value eq "` + group + `" and type eq "direct"]`: people[:250], `groups[value eq "` + group + `" and type eq "indirect"]`: people[250:],
		} {
			list := "/Users?attributes=userName&count=90&filter=" + url.QueryEscape(filter)
			var byCursor, byIndex []string
			next := ""
			for page := 0; page == 0 || next != ""; page++ {
				a := c.do(200, "GET", list+"&cursor="+next, "")
				byCursor, next = append(byCursor, a.ids()...), a.text("nextCursor")
				if a.number("totalResults") != len(want) {
					t.Errorf("%s: totalResults %d, want %d", filter, a.number("totalResults"), len(want))
				}
			}
			for start := 1; start <= len(want); start += 90 {
				byIndex = append(byIndex, c.do(200, "GET", fmt.Sprintf("%s&startIndex=%d", list, start), "").ids()...)
			}
			same(t, byCursor, want)
			same(t, byIndex, want)
		}

		list := "/Users?attributes=userName&count=90&filter=" + url.QueryEscape(`groups[value eq "`+group+`" and type eq "direct"]`)
		first := c.do(200, "GET", list+"&cursor", "")
		seen := first.ids()
		c.patch(204, "/Groups/"+group,
			`{"op":"remove","path":"members[value eq \"`+people[3]+`\"]"},{"op":"remove","path":"members[value eq \"`+people[200]+`\"]"}`)
		for next := first.text("nextCursor"); next != ""; {
			a := c.do(200, "GET", list+"&cursor="+next, "")
			seen, next = append(seen, a.ids()...), a.text("nextCursor")
		}
		same(t, seen, slices.DeleteFunc(slices.Clone(people[:250]), func(s string) bool { return s == people[200] }))
	})
}

// RFC 7644 section 3.7.1 speaks of references, not of members: managers may name each other as well, in any order, and a
// chain may be as long as it likes.
func TestBulk_ReferencesInAnyOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		person := func(bulkID, manager string) string {
			return fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":%q,"data":{%s,"userName":%q,%q:{"manager":{"value":"bulkId:%s"}}}}`, bulkID, coreUser, bulkID, entURN, manager)
		}
		manager := func(r map[string]any) any {
			return at(c.do(200, "GET", "/Users/"+last(r["location"]), "").body, scim.EnterpriseURN, "manager", "value")
		}
		got := c.bulk("", person("ann", "ben"), person("ben", "ann"))
		same(t, statuses(got), []string{"201", "201"})
		same(t, manager(got[0]), any(last(got[1]["location"])))
		same(t, manager(got[1]), any(last(got[0]["location"])))

		got = c.bulk("", person("c1", "c2"), person("c2", "c3"), person("c3", "c1"))
		same(t, statuses(got), []string{"201", "201", "201"})
		for i := range got {
			same(t, manager(got[i]), any(last(got[(i+1)%3]["location"])))
		}

		got = c.bulk("", postGroup("g1", "G1", "bulkId:g2", "bulkId:u"), postGroup("g2", "G2", "bulkId:g3"), postGroup("g3", "G3", "bulkId:g1"), postUser("u", "u"))
		same(t, statuses(got), []string{"201", "201", "201", "201"})
		members := c.do(200, "GET", "/Groups/"+last(got[0]["location"]), "").values("members")
		want := []string{last(got[1]["location"]), last(got[3]["location"])}
		slices.Sort(want)
		same(t, members, want)

		var chain []string
		for i := range 100 {
			chain = append(chain, person(fmt.Sprintf("p%d", i), fmt.Sprintf("p%d", i+1)))
		}
		got = c.bulk("", append(chain, postUser("p100", "p100"))...)
		same(t, statuses(got), slices.Repeat([]string{"201"}, 101))
		same(t, manager(got[41]), any(last(got[42]["location"])))
	})
}

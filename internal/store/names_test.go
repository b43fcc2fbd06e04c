package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// searched is a store with two organizations and a directory in each, whose names are searched.
type searched struct {
	*testing.T
	db *store.DB
	by store.Pusher
}

func eachSearched(t *testing.T, test func(t searched)) {
	t.Helper()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db, by := newcomers(t, kind)
		test(searched{t, db, by})
	})
}

// push makes a user by the way a push would go, and gives the id.
func (t searched) push(org id.Organization, userName, displayName string) string {
	t.Helper()
	u, _ := json.Marshal(userName)
	d, _ := json.Marshal(displayName)
	body := `"userName":` + string(u)
	if displayName != "" {
		body += `,"displayName":` + string(d)
	}
	r := decided(t.T, t.by.User, body)
	res, _, err := t.db.CreateNewcomer(t.Context(), org, t.by, r)
	if err == nil && res == nil {
		err = t.db.Write(t.Context(), org, func(tx *store.Tx) error {
			made, refusal, err := tx.Push(t.by).CreateUser(t.Context(), r, scim.Want{})
			res = made
			return cmp2(refusal, err)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return res.ID
}

func (t searched) rename(org id.Organization, user, userName string) {
	t.Helper()
	err := t.db.Write(t.Context(), org, func(tx *store.Tx) error {
		_, err := tx.Push(t.by).ModifyUser(t.Context(), user, nil, func(a scim.Attributes) (scim.Result, error) {
			a = maps.Clone(a)
			a["userName"] = userName
			return scim.Result{Attributes: a, Changed: true}, nil
		}, scim.Want{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (t searched) index(least int) {
	t.Helper()
	if err := t.db.IndexNames(t.Context(), least); err != nil {
		t.Fatal(err)
	}
}

// page answers a list.
func (t searched) page(org id.Organization, filter string, q scim.Query) *scim.Page {
	t.Helper()
	f, err := scim.ParseFilter(t.by.User, filter, scim.RFC)
	if err != nil {
		t.Fatal(err)
	}
	q.Filter = f
	var page *scim.Page
	err = t.db.Read(t.Context(), org, func(tx *store.Tx) (err error) {
		page, err = tx.Push(t.by).List(t.Context(), t.by.User, q)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	return page
}

func ids(page *scim.Page) []string {
	out := []string{}
	for _, r := range page.Resources {
		out = append(out, r.ID)
	}
	return out
}

// finds fails unless the filter finds exactly these, in order of their ids, and counts them.
func (t searched) finds(org id.Organization, filter string, want ...string) {
	t.Helper()
	slices.Sort(want)
	page := t.page(org, filter, scim.Query{Count: 1000})
	if diff := cmp.Diff(append([]string{}, want...), ids(page)); diff != "" || page.Total != len(want) {
		t.Errorf("%s: total %d, wanted (-), found (+):\n%s", filter, page.Total, diff)
	}
}

func (t searched) count(org id.Organization, table string) (n int) {
	t.Helper()
	err := t.db.Read(t.Context(), org, func(tx *store.Tx) error {
		return tx.Row(t.Context(), `select count(*) from `+table+` where organization = $1`, org).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Who is in a pack, who came later, who was renamed since and who is gone: a search is exact about all of them, and about
// nobody of another organization.
func TestNames_ASearchIsExactWhateverIsIndexed(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		anna := t.push("northwind", "anna.schmidt@northwind.example", "Anna Schmidt")
		bert := t.push("northwind", "bert.schmied@northwind.example", "")
		weiss := t.push("northwind", "weiss", "Änne Weiß-İnan")
		odd := t.push("northwind", `100%_\"odd'`, "e\u0301ducation 😀😀😀")
		other := t.push("fieldserv", "anna.schmidt@fieldserv.example", "Anna Schmidt")
		look := func(schm ...string) {
			t.Helper()
			t.finds("northwind", `userName co "SCHM"`, schm...)
			t.finds("fieldserv", `userName co "schmi"`, other)
			t.finds("northwind", `displayName co "weiss-i"`, weiss)
			t.finds("northwind", `displayName ew "INAN"`)
			t.finds("northwind", `displayName co "Änn"`, weiss)
			t.finds("northwind", `displayName co "éduc"`, odd)
			t.finds("northwind", `displayName co "😀😀😀"`, odd)
			t.finds("northwind", `userName co "0%_"`, odd)
			t.finds("northwind", `userName co "%_\\\"o"`, odd)
			t.finds("northwind", `userName co "100__"`)
			t.finds("northwind", `userName ew "dd'"`, odd)
			t.finds("northwind", `userName sw "100"`, odd)
			t.finds("northwind", `userName co "%_"`, odd)
			t.finds("northwind", `userName co "\\"`, odd)
		}
		look(anna, bert)
		t.index(1)
		if t.count("northwind", "name_packs") != 1 || t.count("fieldserv", "name_packs") != 1 {
			t.Fatal("nothing was indexed")
		}
		look(anna, bert)

		carl := t.push("northwind", "carl.schmoll@northwind.example", "")
		look(anna, bert, carl)
		t.rename("northwind", weiss, "weiss.schmal")
		look(anna, bert, carl, weiss)
		t.rename("northwind", bert, "bert.bauer@northwind.example")
		look(anna, carl, weiss)
		t.finds("northwind", `userName co "bauer"`, bert)
		t.finds("northwind", `userName co "schm" and not (displayName co "anna")`, carl, weiss)
		t.finds("northwind", `userName co "bauer" or displayName co "schmidt"`, anna, bert)
		t.finds("northwind", `userName co "bauer" or active eq true`, anna, bert, carl, odd, weiss)

		err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			return tx.Push(t.by).DeleteUser(t.Context(), anna, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		look(carl, weiss)
		t.index(1)
		look(carl, weiss)
		if n := t.count("northwind", "name_changes"); n != 0 {
			t.Errorf("%d notes are left of what stands in a pack", n)
		}
		t.rename("northwind", weiss, "weiss")
		t.rename("northwind", weiss, "weiss.schmal")
		look(carl, weiss)

		err = t.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.Queue(`delete from directories where organization = 'northwind'`)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"name_indexes", "name_packs", "name_grams", "name_ids", "name_changes"} {
			if t.count("northwind", table) != 0 || table != "name_changes" && t.count("fieldserv", table) == 0 {
				t.Errorf("%s: the directory's going left rows, or took another's", table)
			}
		}
	})
}

// A search reads the packs, and not every record: with the lists emptied by hand nobody in a pack is found.
func TestNames_ASearchReadsThePacks(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		anna := t.push("northwind", "anna.schmidt", "")
		t.index(1)
		bert := t.push("northwind", "bert.schmidt", "")
		t.finds("northwind", `userName co "schmidt"`, anna, bert)
		if err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `delete from name_grams where organization = 'northwind'`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.finds("northwind", `userName co "schmidt"`, bert)
		t.finds("northwind", `userName co "mi"`, anna, bert) // too short for the packs
	})
}

// Pages of what the index finds are those of the list: by place, by index, and the totals.
func TestNames_PagesAreThoseOfTheList(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		var all []string
		for i := range 30 {
			name := fmt.Sprintf("person-%02d", i)
			if i%3 == 0 {
				name = fmt.Sprintf("nobody-%02d", i)
			}
			user := t.push("northwind", name, "")
			if i%3 != 0 {
				all = append(all, user)
			}
			if i == 20 {
				t.index(1)
			}
		}
		const filter = `userName co "person"`
		t.finds("northwind", filter, all...)
		var walked []string
		q := scim.Query{Count: 7}
		for {
			page := t.page("northwind", filter, q)
			walked = append(walked, ids(page)...)
			if page.Total != len(all) {
				t.Errorf("after %d: total %d, want %d", len(walked), page.Total, len(all))
			}
			if !page.More {
				break
			}
			q.After, q.Before = page.Place, len(walked)
		}
		if diff := cmp.Diff(all, walked); diff != "" {
			t.Errorf("walked:\n%s", diff)
		}
		for _, offset := range []int{1, 13, 19, 20, 40} {
			page := t.page("northwind", filter, scim.Query{Count: 5, Offset: offset})
			at := min(offset, len(all))
			if diff := cmp.Diff(append([]string{}, all[at:min(at+5, len(all))]...), ids(page)); diff != "" || page.Total != len(all) {
				t.Errorf("from %d, total %d:\n%s", offset, page.Total, diff)
			}
		}
		if page := t.page("northwind", filter, scim.Query{}); page.Total != len(all) || len(page.Resources) != 0 {
			t.Errorf("no page: %+v", page)
		}
		f, err := scim.ParseFilter(t.by.User, filter, scim.RFC)
		if err != nil {
			t.Fatal(err)
		}
		userName := f.Expr.(scim.Compare).Path
		page := t.page("northwind", filter, scim.Query{Count: 1000, SortBy: &userName, Descending: true})
		slices.Reverse(all)
		if diff := cmp.Diff(all, ids(page)); diff != "" || page.Total != len(all) {
			t.Errorf("sorted, total %d:\n%s", page.Total, diff)
		}
	})
}

// The first page of many who may match is read from the beginnings of the packs only, and is the list's first page all the same:
// where packs overlap, where somebody is in none, and where the first ones no longer match.
func TestNames_TheFirstPageOfManyIsThatOfTheList(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		const filter = `userName co "person"`
		var match, others []string
		people := func(n int) {
			for i := range n {
				if i%6 == 5 {
					others = append(others, t.push("northwind", fmt.Sprintf("nobody-%d", len(others)), ""))
				} else {
					match = append(match, t.push("northwind", fmt.Sprintf("person-%d", len(match)), ""))
				}
			}
		}
		people(700)
		t.index(1)
		people(500)
		t.index(1)
		for i, user := range others {
			if i%9 == 0 {
				t.rename("northwind", user, fmt.Sprintf("late-person-%d", i))
				match = append(match, user)
			}
		}
		t.index(1) // a pack of those alone, all through the others
		people(300)
		slices.Sort(match)
		if n := t.count("northwind", "name_packs"); n != 3 {
			t.Fatalf("%d packs", n)
		}
		counted := len(match)
		first := func() {
			t.Helper()
			for _, count := range []int{1, 7, 40, 115, 400, 1000} {
				page := t.page("northwind", filter, scim.Query{Count: count})
				if diff := cmp.Diff(match[:count], ids(page)); diff != "" || !page.More || page.Place != match[count-1] || page.Total != counted {
					t.Errorf("%d of %d, total %d, more %t:\n%s", count, counted, page.Total, page.More, diff)
				}
			}
		}
		first()
		first()
		for i := range 60 {
			t.rename("northwind", match[i], fmt.Sprintf("nobody-any-more-%d", i))
		}
		match = match[60:]
		first() // with the total of a moment ago
	})
}

// Many small packs become one, and packs that are mostly out of date are made anew: nobody is lost by either.
func TestNames_PacksAreUnited(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		var all []string
		for i := range 12 {
			all = append(all, t.push("northwind", fmt.Sprintf("person-%02d", i), ""))
			t.index(1)
			t.finds("northwind", `userName co "person"`, all...)
		}
		if n := t.count("northwind", "name_packs"); n > 9 {
			t.Errorf("%d packs of one each are left", n)
		}
		grams := t.count("northwind", "name_grams")
		t.rename("northwind", all[3], "somebody")
		t.index(1)
		t.finds("northwind", `userName co "person"`, slices.Concat(all[:3], all[4:])...)
		t.finds("northwind", `userName co "somebody"`, all[3])
		if grams == 0 {
			t.Error("there are no lists")
		}
	})
}

// Nodes index while others push, rename and search: once all have finished, everybody is found by the name they have, and
// nobody by another, with nothing left that is noted or half made.
func TestNames_NodesIndexAtOnceWhileOthersPush(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		ctx, cancel := context.WithCancel(t.Context())
		var indexing, pushing sync.WaitGroup
		for range 2 {
			indexing.Go(func() {
				for ctx.Err() == nil {
					if err := t.db.IndexNames(ctx, 1); err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
				}
			})
		}
		const workers, each = 4, 25
		var mu sync.Mutex
		now := map[string]string{}
		for w := range workers {
			pushing.Go(func() {
				for i := range each {
					name := fmt.Sprintf("early-%d-%d", w, i)
					user := t.push("northwind", name, "")
					page := t.page("northwind", `userName co "`+name[1:]+`"`, scim.Query{Count: 1000})
					if !slices.Contains(ids(page), user) {
						t.Errorf("%s is not found at once", name)
					}
					if i%2 == 0 {
						name = "late" + strings.TrimPrefix(name, "early")
						t.rename("northwind", user, name)
						page := t.page("northwind", `userName co "`+name[1:]+`"`, scim.Query{Count: 1000})
						if !slices.Contains(ids(page), user) {
							t.Errorf("%s is not found under the new name", name)
						}
					}
					mu.Lock()
					now[user] = name
					mu.Unlock()
				}
			})
		}
		pushing.Wait()
		cancel()
		indexing.Wait()
		t.index(1)
		var early, late []string
		for user, name := range now {
			if strings.HasPrefix(name, "early") {
				early = append(early, user)
			} else {
				late = append(late, user)
			}
		}
		t.finds("northwind", `userName co "early-"`, early...)
		t.finds("northwind", `userName co "late-"`, late...)
		if n := t.count("northwind", "name_changes"); n != 0 {
			t.Errorf("%d notes are left", n)
		}
	})
}

// A push that began before the fence was raised, and stores an id below it afterwards, is noted.
func TestNames_AnIdBelowTheFenceIsNoted(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		early := id.New[id.User]()
		t.push("northwind", "anna.schmidt", "")
		t.index(1)
		err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Queue(`insert into users (organization, id, status, seated, user_name, user_name_key, email_verified, display_name, kept_without_directory, custom_access, created, updated, logins)
				values ('northwind', $1, 'active', true, 'bert.schmidt', 'bert.schmidt', false, 'Bert', false, false, 1, 1, 0)`, early)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Push(t.by).InsertRecord(early, decided(t.T, t.by.User, `"userName":"bert.schmidt"`))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.finds("northwind", `userName co "bert.s"`, string(early))
		t.index(1)
		t.finds("northwind", `userName co "bert.s"`, string(early))
	})
}

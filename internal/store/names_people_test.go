package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// called is what somebody is called.
type called struct{ userName, email, shown string }

func (c called) attributes() scim.Attributes {
	a := scim.Attributes{"userName": c.userName}
	if c.shown != "" {
		a["displayName"] = c.shown
	}
	if c.email != "" {
		a["emails"] = []any{map[string]any{"value": c.email, "primary": true}}
	}
	return a
}

// pushes makes a user as a push would, with an address.
func (t searched) pushes(org id.Organization, c called) id.User {
	t.Helper()
	raw, err := json.Marshal(c.attributes())
	if err != nil {
		t.Fatal(err)
	}
	r := decided(t.T, t.by.User, string(raw[1:len(raw)-1]))
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
	return id.User(res.ID)
}

// calls gives somebody other names, as their directory would.
func (t searched) calls(org id.Organization, user id.User, c called) {
	t.Helper()
	err := t.db.Write(t.Context(), org, func(tx *store.Tx) error {
		_, err := tx.Push(t.by).ModifyUser(t.Context(), string(user), nil, func(a scim.Attributes) (scim.Result, error) {
			a = maps.Clone(a)
			delete(a, "displayName")
			delete(a, "emails")
			maps.Copy(a, c.attributes())
			return scim.Result{Attributes: a, Changed: true}, nil
		}, scim.Want{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (t searched) indexPeople(least int) {
	t.Helper()
	if err := t.db.IndexPeople(t.Context(), least); err != nil {
		t.Fatal(err)
	}
}

// users walks all pages of a list.
func (t searched) users(org id.Organization, f store.UserFilter) (all []directory.User) {
	t.Helper()
	for {
		err := t.db.Read(t.Context(), org, func(tx *store.Tx) error {
			page, next, err := tx.ListUsers(t.Context(), f)
			if f.Limit > 0 && (len(page) > f.Limit || next != "" && len(page) != f.Limit) {
				t.Errorf("%q: a page of %d users, where %d were asked for", f.Query, len(page), f.Limit)
			}
			all, f.Cursor = append(all, page...), next
			return err
		})
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		if f.Cursor == "" {
			return all
		}
	}
}

func idsOf(users []directory.User) []id.User {
	out := []id.User{}
	for _, u := range users {
		out = append(out, u.ID)
	}
	return out
}

// people fails unless a search finds exactly these, in order. Pages of few leave it to the packs who they are.
func (t searched) people(org id.Organization, query string, want ...id.User) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(append([]id.User{}, want...), idsOf(t.users(org, store.UserFilter{Query: query, Limit: 1}))); diff != "" {
		t.Errorf("%q: wanted (-), found (+):\n%s", query, diff)
	}
}

func TestListUsers_ASearchFoldsAsTheStandardSays(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		mueller := t.pushes("northwind", called{"mueller", "Anna.Müller@Northwind.example", "Anna MÜLLER-Weiß"})
		inan := t.pushes("northwind", called{"inan", "", "İNAN ışık"})
		odd := t.pushes("northwind", called{`100%_\"odd'`, "", "e\u0301ducation 😀😀"})
		wide := t.pushes("northwind", called{"ａｎｎａ.wide", "", ""})
		other := t.pushes("fieldserv", called{"mueller", "", "Anna Müller"})
		look := func() {
			t.Helper()
			t.people("northwind", "müll", mueller)
			t.people("northwind", " MÜLLER@ ", mueller)
			t.people("northwind", "WEISS", mueller)
			t.people("northwind", "ü", mueller)
			t.people("northwind", "Anna M", mueller)
			t.people("northwind", "anna", mueller, wide)
			t.people("northwind", "ＡＮＮＡ.", wide)
			t.people("northwind", "İN", inan)
			t.people("northwind", "IŞIK")
			t.people("northwind", "ıŞı", inan)
			t.people("northwind", "%", odd)
			t.people("northwind", "_", odd)
			t.people("northwind", `\`, odd)
			t.people("northwind", `%_\"`, odd)
			t.people("northwind", "0%", odd)
			t.people("northwind", "0_")
			t.people("northwind", "É", odd)
			t.people("northwind", "😀😀", odd)
			t.people("northwind", "😀😀😀")
			t.people("northwind", "@northwind.example", mueller)
			t.people("northwind", "nobody")
			t.people("northwind", "\xff")
			t.people("northwind", "a\x00")
			t.people("northwind", " ", mueller, inan, odd, wide)
			t.people("fieldserv", "mü", other)
		}
		look()
		t.indexPeople(1)
		if t.count("northwind", "name_packs") != 1 || t.count("fieldserv", "name_packs") != 1 {
			t.Fatal("nobody was indexed")
		}
		look()
		if err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `delete from name_grams where organization = 'northwind'`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		late := t.pushes("northwind", called{"late", "", "Mü"})
		// The packs are what was read: nobody in them is found any more.
		only := store.UserFilter{Query: "mü", Only: []id.User{mueller, late}}
		if diff := cmp.Diff([]id.User{late}, idsOf(t.users("northwind", only))); diff != "" {
			t.Error(diff)
		}
		t.people("fieldserv", "mü", other)

		err := t.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.Queue(`delete from directories where organization = 'northwind'`)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if t.count("northwind", "name_packs") != 1 {
			t.Error("the people's index went with a directory")
		}
		err = t.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.Queue(`delete from organizations where organization = 'northwind'`)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"name_indexes", "name_packs", "name_ids", "name_changes"} {
			if t.count("northwind", table) != 0 || table != "name_changes" && t.count("fieldserv", table) == 0 {
				t.Errorf("%s: the organization's going left rows, or took another's", table)
			}
		}
	})
}

// Whatever was pushed, renamed by whichever door, deleted, restored and indexed before, a search finds those of the list in whose
// names the needle stands, page by page.
func TestListUsers_ASearchIsTheListJudgedOneByOne(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		random := rand.New(rand.NewPCG(28, 1))
		one := func(of ...string) string { return of[random.IntN(len(of))] }
		name := func(i int) called {
			given := one("Anna", "Änne", "İsmail", "Işıl", "Øyvind", "José", "Jose\u0301", "李", "O'Neil", "Zoë", "ΣΟΦΊΑ", "a_b", "50%")
			family := one("Müller", "MÜLLER", "Weiß", "Weiss", "Şahin", "Straße", "van der Berg", "Ng", "Ó Briain", "x\\y", "")
			at := one("northwind.example", "Field.Example", "müller.example")
			c := called{userName: fmt.Sprintf("%s.%d", given, i)}
			if random.IntN(3) > 0 {
				c.email = fmt.Sprintf("%s%d@%s", strings.ToLower(family), i, at)
				if random.IntN(2) == 0 {
					c.userName = c.email
				}
			}
			if random.IntN(4) > 0 {
				c.shown = strings.TrimSpace(given + " " + family)
			}
			return c
		}
		var here []id.User
		n := 0
		act := func() {
			switch n++; random.IntN(9) {
			case 0, 1, 2, 3:
				here = append(here, t.pushes("northwind", name(n)))
			case 4:
				c := name(n)
				err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
					u, err := tx.CreateJustInTime(t.Context(), store.NewUser{UserName: c.userName, Email: c.email, DisplayName: c.shown}, operator)
					if err == nil && random.IntN(2) == 0 {
						// By whatever door, or another release.
						_, err = tx.Exec(t.Context(), `update users set display_name = $1 where organization = 'northwind' and id = $2`, name(n).shown+"!", u.ID)
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			default:
				if len(here) == 0 {
					return
				}
				at := random.IntN(len(here))
				switch random.IntN(4) {
				case 0:
					err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
						return tx.Push(t.by).DeleteUser(t.Context(), string(here[at]), nil)
					})
					if err != nil {
						t.Fatal(err)
					}
					here = slices.Delete(here, at, at+1)
				case 1:
					if err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
						_, err := tx.Exec(t.Context(), `update users set display_name = $1 where organization = 'northwind' and id = $2`, name(n).shown+"?", here[at])
						return err
					}); err != nil {
						t.Fatal(err)
					}
				default:
					t.calls("northwind", here[at], name(n))
				}
			}
		}
		for range 8 {
			for range 25 {
				act()
			}
			if random.IntN(3) > 0 {
				t.indexPeople(1 + random.IntN(20))
			}
			everybody := t.users("northwind", store.UserFilter{Deleted: true, Limit: 500})
			only := []id.User{}
			for _, u := range everybody {
				if random.IntN(4) == 0 {
					only = append(only, u.ID)
				}
			}
			for range 25 {
				of := everybody[random.IntN(len(everybody))]
				text := []rune(one(of.UserName, of.Email, of.DisplayName, "%_", "Example", "ss", "zzz", "e"))
				from := random.IntN(len(text) + 1)
				needle := text[from:min(len(text), from+1+random.IntN(6))]
				for i := range needle {
					if random.IntN(2) == 0 {
						needle[i] = unicode.ToUpper(needle[i])
					}
				}
				f := store.UserFilter{Limit: 2 + random.IntN(20)}
				switch random.IntN(6) {
				case 0:
					f.Status = directory.Active
				case 1:
					f.Status = directory.Deleted
				case 2:
					f.Deleted = true
				case 3:
					f.Only = only
				case 4:
					f.Awaiting = true
				}
				plain, want := f, []id.User{}
				plain.Limit = 500
				sought := strings.TrimSpace(string(needle))
				for _, u := range t.users("northwind", plain) {
					if strings.Contains(scim.UserNameKey(u.UserName), scim.UserNameKey(sought)) ||
						strings.Contains(scim.Fold(u.Email), scim.Fold(sought)) || strings.Contains(scim.Fold(u.DisplayName), scim.Fold(sought)) {
						want = append(want, u.ID)
					}
				}
				f.Query = string(needle)
				if diff := cmp.Diff(want, idsOf(t.users("northwind", f))); diff != "" {
					t.Fatalf("%+v: wanted (-), found (+):\n%s", f, diff)
				}
			}
		}
	})
}

// Pages of many who may match go on in each pack where the page before ended, whatever packs they are in.
func TestListUsers_PagesOfASearchGoOnWhereTheyEnded(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		var all []id.User
		for i := range 900 {
			user := t.pushes("northwind", called{userName: fmt.Sprintf("person-%d", i)})
			if all = append(all, user); i == 400 || i == 700 {
				t.indexPeople(1)
			}
			if i%7 == 0 {
				t.calls("northwind", all[i/2], called{userName: fmt.Sprintf("person-%d-again", i)})
			}
		}
		t.indexPeople(200)
		for _, limit := range []int{3, 97, 500} {
			if diff := cmp.Diff(all, idsOf(t.users("northwind", store.UserFilter{Query: "Person-", Limit: limit}))); diff != "" {
				t.Errorf("by %d:\n%s", limit, diff)
			}
		}
		n := 0
		err := t.db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			n, err = tx.Counted(func() error {
				_, _, err := tx.ListUsers(t.Context(), store.UserFilter{Query: "person-899", Limit: 25})
				return err
			})
			return err
		})
		if err != nil || n > 9 {
			t.Errorf("finding one took %d statements (%v)", n, err)
		}
	})
}

// While nodes index, push and rename, whoever was pushed or renamed is found at once.
func TestListUsers_ASearchIsExactWhileNodesIndex(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		ctx, cancel := context.WithCancel(t.Context())
		var indexing, pushing sync.WaitGroup
		for range 2 {
			indexing.Go(func() {
				for ctx.Err() == nil {
					if err := t.db.IndexPeople(ctx, 1); err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
				}
			})
		}
		const workers, each = 4, 20
		var mu sync.Mutex
		var all, late []id.User
		for w := range workers {
			pushing.Go(func() {
				for i := range each {
					name := fmt.Sprintf("early-%d-%d-", w, i)
					user := t.pushes("northwind", called{userName: name})
					t.people("northwind", name[1:], user)
					if i%2 == 0 {
						t.calls("northwind", user, called{userName: "late" + name, email: name + "@late.example"})
						t.people("northwind", name+"@LATE", user)
					}
					mu.Lock()
					if all = append(all, user); i%2 == 0 {
						late = append(late, user)
					}
					mu.Unlock()
				}
			})
		}
		pushing.Wait()
		cancel()
		indexing.Wait()
		t.indexPeople(1)
		t.people("northwind", "early-", all...)
		t.people("northwind", "late", late...)
		if n := t.count("northwind", "name_changes"); n != 0 {
			t.Errorf("%d notes are left", n)
		}
	})
}

// A node whose clock is behind stores ids below the fence: those are noted, by whichever door they come.
func TestListUsers_AnIdBelowTheFenceIsFound(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		t.pushes("northwind", called{userName: "anna"})
		t.indexPeople(1)
		if err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `update name_indexes set fence = 'ffffffff', reached = 'ffffffff' where organization = 'northwind' and directory = ''`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		bert := t.pushes("northwind", called{userName: "bert.late"})
		var carl id.User
		if err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			u, err := tx.CreateJustInTime(t.Context(), store.NewUser{Email: "carl.late@northwind.example"}, operator)
			if err == nil {
				carl = u.ID
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.people("northwind", "late", bert, carl)
		t.indexPeople(1)
		t.people("northwind", "late", bert, carl)
		if n := t.count("northwind", "name_changes"); n != 0 {
			t.Errorf("%d notes are left", n)
		}
	})
}

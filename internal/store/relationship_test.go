package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// Of a provider's people a customer sees those who have access with it or were there, and nobody else: not by the list, not by an id.
func TestProviderUsers_AreThoseWithAccessHere(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		world(t, db)
		defaults := func(roles ...id.Role) {
			t.Helper()
			must(t, db.System().Write(ctx, func(tx *store.SystemTx) error {
				for _, o := range []id.Organization{"fieldserv", "southwind"} {
					tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: o, Name: string(o), Settings: store.Settings{DefaultProviderRoles: roles}})
				}
				tx.Bump(ctx, "configuration")
				return nil
			}))
		}
		defaults()
		in := func(org id.Organization, fn func(ctx context.Context, tx *store.Tx) error) {
			t.Helper()
			must(t, db.Write(ctx, org, func(tx *store.Tx) error { return fn(ctx, tx) }))
		}
		terms := func(client, provider id.Organization, roles ...id.Role) {
			t.Helper()
			in(client, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.SetTerms(ctx, operator, provider, access.RelationshipSettings{AllowedRoles: roles})
				return err
			})
		}
		own := person(t, db, "northwind", "own@x.example")
		given, came, other, away, another := person(t, db, "fieldserv", "given@x.example"), person(t, db, "fieldserv", "came@x.example"),
			person(t, db, "fieldserv", "other@x.example"), person(t, db, "fieldserv", "away@x.example"), person(t, db, "southwind", "another@x.example")
		in("fieldserv", func(ctx context.Context, tx *store.Tx) error { return tx.Suspend(ctx, away, operator, "") })
		search := func(part string, limit int) (out []id.User) {
			t.Helper()
			for cursor := ""; ; {
				var users []store.ProviderUser
				in("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
					users, cursor, err = tx.ProviderUsers(ctx, "fieldserv", part, cursor, limit)
					return err
				})
				for _, u := range users {
					out = append(out, u.User)
				}
				if cursor == "" {
					return out
				}
			}
		}
		list := func(limit int) []id.User { return search("", limit) }
		here := func(user id.User) (ok bool) {
			t.Helper()
			in("northwind", func(ctx context.Context, tx *store.Tx) error {
				_, e, err := tx.ProviderUserHere(ctx, "fieldserv", user)
				ok = err == nil && e != nil
				if err != nil && fault.KindOf(err) != fault.NotFound {
					return err
				}
				return nil
			})
			return ok
		}
		want := func(when string, want ...id.User) {
			t.Helper()
			for _, limit := range []int{1, 50} {
				if diff := cmp.Diff(list(limit), want); diff != "" {
					t.Errorf("%s, by pages of %d (-got +want):\n%s", when, limit, diff)
				}
			}
			for part, has := range map[string][]id.User{
				"X.EXAMPLE": want, "e@x": {came}, " Given@": {given}, "away": {away}, "%": nil,
			} {
				searched := []id.User{}
				for _, u := range want {
					if slices.Contains(has, u) {
						searched = append(searched, u)
					}
				}
				for _, limit := range []int{1, 50} {
					if diff := cmp.Diff(append([]id.User{}, search(part, limit)...), searched); diff != "" {
						t.Errorf("%s, %q by pages of %d (-got +want):\n%s", when, part, limit, diff)
					}
				}
			}
			for _, u := range []id.User{own, given, came, other, away, another} {
				wanted := false
				for _, w := range want {
					wanted = wanted || w == u
				}
				if here(u) != wanted {
					t.Errorf("%s: %s is found: %t", when, u, !wanted)
				}
			}
		}
		want("without a relationship")
		in("fieldserv", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Propose(ctx, operator, "northwind", access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}})
			return err
		})
		defaults("viewer", "auditor")
		want("proposed")
		defaults()
		terms("northwind", "fieldserv", "viewer")
		terms("northwind", "southwind", "viewer")
		want("approved")
		in("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Give(ctx, operator, store.Grant{User: given, Role: "viewer", Resource: "london-1"})
			return err
		})
		in("fieldserv", func(ctx context.Context, tx *store.Tx) error {
			return tx.OpenedToward(ctx, "northwind", came, audit.Event{Action: "application.opened", Actor: operator})
		})
		want("given something, and come", given, came)
		defaults("auditor")
		want("a default role that the terms leave nothing of", given, came)
		defaults("auditor", "asset-editor")
		want("a default role of which a part is allowed", given, came, other)
		in("northwind", func(ctx context.Context, tx *store.Tx) error {
			e, err := tx.ProviderDefaults(ctx, "fieldserv")
			if err == nil {
				if diff := cmp.Diff(e.Claims(), []access.RoleAt{{Role: "viewer", Resource: "northwind"}}); diff != "" {
					t.Errorf("what everybody holds (-got +want):\n%s", diff)
				}
			}
			return err
		})
		terms("northwind", "fieldserv", "auditor", "billing-clerk")
		defaults("auditor")
		want("other terms", given, came, other)
		must(t, db.IndexPeople(ctx, 1))
		want("with everybody in an index", given, came, other)
		in("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.Cut(ctx, operator, "fieldserv", "northwind", "")
		})
		want("cut")
		terms("northwind", "fieldserv", "viewer")
		want("begun anew")
	})
}

// A page of people asks about all of them at once, and gets what each would be told alone.
func TestAccessOf_IsTheAccessOfEachInNoMoreStatements(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		world(t, db)
		var users []id.User
		for i := range 12 {
			users = append(users, person(t, db, "northwind", fmt.Sprintf("own-%d@x.example", i)))
		}
		group(t, db, "inner", "Inner", "", string(users[0]), string(users[1]))
		group(t, db, "outer", "Outer", "", "inner", string(users[1]), string(users[2]))
		group(t, db, "loop", "Loop", "entra", "outer", string(users[3]))
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `
				insert into group_members (organization, group_id, member_id, kind, source, added)
				values ($1, 'inner', 'loop', 'group', 'scim', 1)`, tx.Organization)
			return err
		}))
		for i, g := range []store.Grant{
			{User: users[0], Role: "user-admin", Resource: "london-1"},
			{User: users[4], Role: "auditor", Resource: "northwind"},
			{Group: "outer", Role: "asset-editor", Resource: "emea"},
			{User: users[5], Role: "viewer", Resource: "emea"},
		} {
			if _, err := given(t, db, operator, g); err != nil {
				t.Fatal(i, err)
			}
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Map(ctx, operator, store.Mapping{GroupName: "Loop", Role: "auditor", Resource: "london-1"}); err != nil {
				return err
			}
			_, err := tx.SetTerms(ctx, operator, "fieldserv", access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}})
			return err
		}))
		for i := range 3 {
			users = append(users, person(t, db, "fieldserv", fmt.Sprintf("theirs-%d@x.example", i)))
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Give(ctx, operator, store.Grant{User: users[13], Role: "viewer", Resource: "london-1"})
			return err
		}))
		must(t, db.Read(ctx, "northwind", func(tx *store.Tx) error {
			alone := map[id.User]*access.Effective{}
			grants := map[id.User][]store.Grant{}
			for _, u := range users {
				e, err := tx.Access(ctx, u)
				if err != nil {
					return err
				}
				alone[u] = e
				given, _, err := tx.ListGrants(ctx, store.GrantFilter{User: u})
				if err != nil {
					return err
				}
				if given != nil {
					grants[u] = given
				}
			}
			n, err := tx.Counted(func() error {
				together, err := tx.AccessOf(ctx, append(users, "nobody"))
				if err != nil {
					return err
				}
				if len(together) != len(users) {
					t.Errorf("got the access of %d, want %d", len(together), len(users))
				}
				for u, e := range alone {
					got := together[u]
					if got == nil {
						t.Errorf("%s is missing", u)
						continue
					}
					if diff := cmp.Diff(e.Kept(), got.Kept()); diff != "" || e.Nothing != got.Nothing || e.User != got.User {
						t.Errorf("%s: alone (-), together (+):\n%s", e.User.Name, diff)
					}
					if diff := cmp.Diff(e.GroupNames(), got.GroupNames()); diff != "" {
						t.Errorf("%s: alone (-), together (+):\n%s", e.User.Name, diff)
					}
				}
				held, err := tx.GrantsOf(ctx, users)
				if diff := cmp.Diff(grants, held); diff != "" {
					t.Errorf("grants alone (-), together (+):\n%s", diff)
				}
				return err
			})
			if n != 3 {
				t.Errorf("got %d statements, want 3: the organization's people, the provider's, and grants", n)
			}
			return err
		}))
	})
}

// What it costs to ask about somebody: a statement for one's own, one more for a provider's, and one for what was shown where a second
// factor is demanded. What rests on it stands in the tests of package decision.
func TestAccessShown_CostsAsManyStatementsAsItMust(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		world(t, db)
		own, theirs := person(t, db, "northwind", "own@x.example"), person(t, db, "fieldserv", "theirs@x.example")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.SetTerms(ctx, operator, "fieldserv", access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}}); err != nil {
				return err
			}
			_, err := tx.Give(ctx, operator, store.Grant{User: theirs, Role: "viewer", Resource: "london-1"})
			return err
		}))
		want := func(when string, user id.User, want int) {
			t.Helper()
			read := func(tx *store.Tx) (n int, err error) {
				return tx.Counted(func() error {
					_, err := tx.AccessShown(ctx, user, "")
					return err
				})
			}
			must(t, db.Read(ctx, "northwind", func(tx *store.Tx) error {
				if _, err := read(tx); err != nil { // reads what every node keeps
					return err
				}
				n, err := read(tx)
				if n != want {
					t.Errorf("%s: got %d statements, want %d", when, n, want)
				}
				return err
			}))
		}
		want("one's own", own, 1)
		want("a provider's", theirs, 2)
		must(t, db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind", Settings: store.Settings{
				DefaultRoles: []access.RoleAt{{Role: "viewer"}}, RequireMFA: true,
			}})
			tx.In("northwind").BumpOrganization(ctx)
			return nil
		}))
		want("one's own, with a second factor", own, 2)
		want("a provider's, with a second factor", theirs, 3)
		must(t, db.Read(ctx, "fieldserv", func(tx *store.Tx) error {
			if _, err := tx.AccessShown(ctx, own, ""); fault.KindOf(err) != fault.NotFound {
				t.Errorf("the customer's people are the provider's: %v", err)
			}
			return nil
		}))
	})
}

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

var operator = audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Operator", Door: audit.API}

// asUser is a user of Northwind who acts at the console.
func asUser(u id.User) audit.Actor {
	return audit.Actor{Kind: audit.ActorUser, ID: string(u), Name: string(u), Organization: "northwind", Door: audit.Console}
}

// world declares Northwind with a small tree, and Fieldserv beside it.
func world(t testing.TB, db *store.DB) {
	t.Helper()
	ctx := t.Context()
	err := db.System().Write(ctx, func(tx *store.SystemTx) error {
		for i, p := range []id.Permission{"assets.read", "assets.update", "billing.read"} {
			tx.PutDeclaredPermission(store.DeclaredPermission{Permission: access.Permission{ID: p, Name: string(p)}, Position: int64(i)})
		}
		for i, r := range []access.Role{
			{ID: "viewer", Name: "Viewer", Permissions: []id.Permission{"assets.read"}},
			{ID: "asset-editor", Name: "Asset Editor", Includes: []id.Role{"viewer"}, Permissions: []id.Permission{"assets.update"}},
			{
				ID: "user-admin", Name: "User Admin", Includes: []id.Role{"asset-editor"},
				Permissions: []id.Permission{"users.read", "users.manage"}, MayGrant: []id.Role{"user-admin"},
			},
			{ID: "owner", Name: "Owner", Includes: []id.Role{"user-admin"}, MayGrant: []id.Role{"*"}, Protected: true},
			{ID: "auditor", Name: "Auditor", Permissions: []id.Permission{"audit.read"}},
			{ID: "billing-clerk", Name: "Billing Clerk", Permissions: []id.Permission{"billing.read"}},
		} {
			tx.PutDeclaredRole(store.DeclaredRole{Role: r, Position: int64(i)})
		}
		tx.PutDeclaredExclusive(store.DeclaredExclusive{Roles: []id.Role{"auditor", "billing-clerk"}})
		for _, o := range []id.Organization{"northwind", "fieldserv"} {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{
				ID: o, Name: strings.ToUpper(string(o[:1])) + string(o[1:]),
				Settings: store.Settings{DefaultRoles: []access.RoleAt{{Role: "viewer"}}},
			})
		}
		for _, r := range []access.Resource{
			{ID: "emea", Type: "portfolio", Name: "EMEA"},
			{ID: "london-1", Parent: "emea", Type: "site", Name: "London 1"},
			{ID: "americas", Type: "portfolio", Name: "Americas", Position: 1},
		} {
			tx.PutDeclaredResource(store.DeclaredResource{Organization: "northwind", Resource: r})
		}
		tx.Bump(ctx, "configuration")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// write runs a change in Northwind and answers its error.
func write(t *testing.T, db *store.DB, fn func(ctx context.Context, tx *store.Tx) error) error {
	t.Helper()
	return db.Write(t.Context(), "northwind", func(tx *store.Tx) error { return fn(t.Context(), tx) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v %+v", err, fault.As(err))
	}
}

func refused(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	f := fault.As(err)
	if f == nil || f.Kind != kind || f.Code != code {
		t.Errorf("got %v (%+v), want a fault of kind %s with the code %q", err, f, kind, code)
	}
}

// person makes an active user with a seat who has signed in.
func person(t testing.TB, db *store.DB, org id.Organization, name string) id.User {
	t.Helper()
	user := id.New[id.User]()
	must(t, db.Write(t.Context(), org, func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `
			insert into users (organization, id, status, seated, user_name, user_name_key, email, email_key, email_verified,
				display_name, local_source, kept_without_directory, custom_access, created, updated, last_login, logins)
			values ($1, $2, 'active', true, $3, $3, $3, $3, true, $3, 'just-in-time', false, false, 1, 1, 1, 1)`,
			tx.Organization, user, name)
		return err
	}))
	return user
}

func group(t *testing.T, db *store.DB, g id.Group, name string, dir id.Directory, members ...string) {
	t.Helper()
	must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
		var from any
		if dir != "" {
			from = dir
		}
		if _, err := tx.Exec(ctx, `
			insert into groups (organization, id, directory, display_name, display_name_key, document, folded, version, created, modified)
			values ($1, $2, $3, $4, $5, '{}', '{}', 1, 1, 1)`, tx.Organization, g, from, name, strings.ToLower(name)); err != nil {
			return err
		}
		for _, m := range members {
			if _, err := tx.Exec(ctx, `
				insert into group_members (organization, group_id, member_id, kind, source, added)
				values ($1, $2, $3, coalesce((select 'group' from groups where organization = $1 and id = $3), 'user'), 'scim', 1)`,
				tx.Organization, g, m); err != nil {
				return err
			}
		}
		return nil
	}))
}

func given(t *testing.T, db *store.DB, actor audit.Actor, want store.Grant) (g store.Grant, err error) {
	t.Helper()
	err = write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
		g, err = tx.Give(ctx, actor, want)
		return err
	})
	return g, err
}

func effective(t *testing.T, db *store.DB, user id.User) (e *access.Effective) {
	t.Helper()
	must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
		e, err = tx.Access(t.Context(), user)
		return err
	}))
	return e
}

func listed(t *testing.T, db *store.DB, f store.UserFilter) []id.User {
	t.Helper()
	out := []id.User{}
	must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
		users, _, err := tx.ListUsers(t.Context(), f)
		out = out[:0]
		for _, u := range users {
			out = append(out, u.ID)
		}
		return err
	}))
	return out
}

func TestAccess_IsOneAnswerOverEverySource(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		group(t, db, "crew", "Crew", "", string(dana))
		group(t, db, "all", "All", "", "crew")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Map(ctx, operator, store.Mapping{GroupName: "all", Role: "asset-editor", Resource: "london-1"}); err != nil {
				return err
			}
			if _, err := tx.Give(ctx, operator, store.Grant{Group: "crew", Role: "billing-clerk"}); err != nil {
				return err
			}
			if _, err := tx.Give(ctx, operator, store.Grant{User: dana, Role: "asset-editor", Resource: "americas"}); err != nil {
				return err
			}
			_, err := tx.Restrict(ctx, operator, store.Restriction{User: dana, Resource: "emea", Actions: []string{"read"}})
			return err
		}))
		e := effective(t, db, dana)
		want := []access.RoleAt{
			{Role: "viewer", Resource: "northwind"},
			{Role: "billing-clerk", Resource: "northwind"},
			{Role: "asset-editor", Resource: "london-1"},
			{Role: "asset-editor", Resource: "americas"},
		}
		if d := cmp.Diff(e.Claims(), want); d != "" {
			t.Errorf("grants (-got +want):\n%s", d)
		}
		if d := cmp.Diff(e.Permissions("london-1"), []id.Permission{"assets.update"}); d != "" {
			t.Errorf("permissions under the restriction (-got +want):\n%s", d)
		}
		if got := access.Sentence(e.Can("assets.update", "london-1").Paths[0]); got != "group Crew, group All, mapping of All, role Asset Editor, at London 1" {
			t.Errorf("why: %s", got)
		}
		if d := cmp.Diff(e.GroupNames(), []string{"All", "Crew"}); d != "" {
			t.Errorf("groups (-got +want):\n%s", d)
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.Suspend(ctx, dana, operator, "")
		}))
		if e := effective(t, db, dana); len(e.Grants) != 0 || e.Nothing == "" {
			t.Errorf("a suspended user has %v, because %q", e.Grants, e.Nothing)
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.Reactivate(ctx, dana, operator, "")
		}))
		if d := cmp.Diff(effective(t, db, dana).Claims(), want); d != "" {
			t.Errorf("after the reactivation (-got +want):\n%s", d)
		}
	})
}

func TestAccess_SeesWhatTheOperatorDeclaresAtOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		if got := effective(t, db, dana).Claims(); len(got) != 1 {
			t.Fatalf("got %v, want the default role", got)
		}
		// A change that is undone leaves its version to the next one: what was read of it under that version must not be kept.
		declare := func(change func(tx *store.SystemTx)) {
			t.Helper()
			write := func(change func(tx *store.SystemTx) error) error {
				return db.System().Write(t.Context(), func(tx *store.SystemTx) error {
					tx.Bump(t.Context(), "configuration")
					tx.In("northwind").BumpOrganization(t.Context())
					return change(tx)
				})
			}
			err := write(func(tx *store.SystemTx) error {
				tx.PutDeclaredOrganization(store.DeclaredOrganization{
					ID: "northwind", Name: "Northwind", Settings: store.Settings{DefaultRoles: []access.RoleAt{{Role: "owner"}}},
				})
				tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "asset-editor", Name: "Undone", Includes: []id.Role{"auditor"}}, Position: 1})
				e, err := tx.In("northwind").Access(t.Context(), dana)
				if err == nil && !e.Holds("owner", "northwind") {
					t.Errorf("a transaction does not see its own change: %v", e.Claims())
				}
				return errors.Join(err, errRefused)
			})
			if !errors.Is(err, errRefused) {
				t.Fatalf("the change was to be undone: %v", err)
			}
			must(t, write(func(tx *store.SystemTx) error {
				change(tx)
				return nil
			}))
		}
		declare(func(tx *store.SystemTx) {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{
				ID: "northwind", Name: "Northwind", Settings: store.Settings{DefaultRoles: []access.RoleAt{{Role: "asset-editor"}}},
			})
		})
		if got := effective(t, db, dana).RootRoles(); !slices.Equal(got, []id.Role{"viewer", "asset-editor"}) {
			t.Errorf("after a change of settings: got %v", got)
		}
		declare(func(tx *store.SystemTx) {
			tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "asset-editor", Name: "Asset Editor"}, Position: 1})
		})
		if got := effective(t, db, dana).RootRoles(); !slices.Equal(got, []id.Role{"asset-editor"}) {
			t.Errorf("after a change of a role: got %v", got)
		}
	})
}

func TestGive_IsAuditedRenewedAndUnderTheCeiling(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		ines, dana := person(t, db, "northwind", "ines"), person(t, db, "northwind", "dana")
		sam := person(t, db, "fieldserv", "sam")
		_, err := given(t, db, operator, store.Grant{User: ines, Role: "user-admin", Resource: "emea"})
		must(t, err)

		g, err := given(t, db, asUser(ines), store.Grant{User: dana, Role: "asset-editor", Resource: "london-1", Reason: "night shift"})
		must(t, err)
		if !effective(t, db, dana).Allowed("assets.update", "london-1") {
			t.Error("the role given is not in force")
		}
		until := db.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		again, err := given(t, db, asUser(ines), store.Grant{User: dana, Role: "asset-editor", Resource: "london-1", Expires: until})
		must(t, err)
		if again.ID != g.ID || !again.Expires.Equal(until) {
			t.Errorf("given again: got %+v, want the same grant with a new term", again)
		}
		for name, want := range map[string]struct {
			actor audit.Actor
			grant store.Grant
			kind  fault.Kind
			code  string
		}{
			"above the ceiling":      {asUser(ines), store.Grant{User: dana, Role: "owner", Resource: "emea"}, fault.Forbidden, access.CodeCeiling},
			"outside the reach":      {asUser(ines), store.Grant{User: dana, Role: "viewer", Resource: "americas"}, fault.Forbidden, access.CodeCeiling},
			"by who holds nothing":   {asUser(dana), store.Grant{User: dana, Role: "viewer", Resource: "london-1"}, fault.Forbidden, access.CodeCeiling},
			"by a stranger":          {asUser("nobody"), store.Grant{User: dana, Role: "viewer"}, fault.Forbidden, access.CodeCeiling},
			"by another's user":      {audit.Actor{Kind: audit.ActorUser, ID: string(ines), Organization: "fieldserv"}, store.Grant{User: dana, Role: "viewer", Resource: "emea"}, fault.Forbidden, access.CodeCeiling},
			"by a directory":         {audit.Actor{Kind: audit.ActorDirectory, ID: "entra", Organization: "northwind"}, store.Grant{User: dana, Role: "viewer"}, fault.Forbidden, access.CodeCeiling},
			"an unknown role":        {operator, store.Grant{User: dana, Role: "king"}, fault.Invalid, ""},
			"an unknown resource":    {operator, store.Grant{User: dana, Role: "viewer", Resource: "mars"}, fault.Invalid, ""},
			"another's user":         {operator, store.Grant{User: sam, Role: "viewer"}, fault.Invalid, ""},
			"an unknown group":       {operator, store.Grant{Group: "nobody", Role: "viewer"}, fault.Invalid, ""},
			"to nobody":              {operator, store.Grant{Role: "viewer"}, fault.Invalid, ""},
			"to a user and a group":  {operator, store.Grant{User: dana, Group: "crew", Role: "viewer"}, fault.Invalid, ""},
			"over before it begins":  {operator, store.Grant{User: dana, Role: "viewer", Expires: db.Now().Add(-time.Hour)}, fault.Invalid, ""},
			"a role that is too big": {asUser(ines), store.Grant{User: dana, Role: "user-admin", Resource: "northwind"}, fault.Forbidden, access.CodeCeiling},
		} {
			_, err := given(t, db, want.actor, want.grant)
			t.Run(name, func(t *testing.T) { refused(t, err, want.kind, want.code) })
		}
		log := events(t, db, "northwind", store.AuditFilter{User: dana, Action: "grant."})
		var actions []string
		for _, e := range log {
			actions = append(actions, e.Action+" by "+e.Actor.Name)
		}
		if d := cmp.Diff(actions, []string{"grant.renewed by " + string(ines), "grant.given by " + string(ines)}); d != "" {
			t.Errorf("the log, newest first (-got +want):\n%s", d)
		}
		var after map[string]string
		if err := json.Unmarshal(log[1].After, &after); err != nil || after["resource"] != "london-1" || log[1].Reason != "night shift" {
			t.Errorf("after %s because %q: %v", log[1].After, log[1].Reason, err)
		}
	})
}

func TestGive_ExclusiveRolesAreRefusedForUsersAndForMembersOfGroups(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana, ines := person(t, db, "northwind", "dana"), person(t, db, "northwind", "ines")
		group(t, db, "crew", "Crew", "", string(dana))
		group(t, db, "all", "All", "", "crew", string(ines))
		_, err := given(t, db, operator, store.Grant{User: dana, Role: "auditor", Resource: "emea"})
		must(t, err)
		_, err = given(t, db, operator, store.Grant{User: dana, Role: "billing-clerk", Resource: "americas"})
		refused(t, err, fault.Conflict, access.CodeExclusive)
		_, err = given(t, db, operator, store.Grant{Group: "all", Role: "billing-clerk"})
		refused(t, err, fault.Conflict, access.CodeExclusive)
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Map(ctx, operator, store.Mapping{GroupName: "crew", Role: "billing-clerk"})
			return err
		})
		refused(t, err, fault.Conflict, access.CodeExclusive)
		group(t, db, "billing", "Billing", "")
		_, err = given(t, db, operator, store.Grant{Group: "billing", Role: "billing-clerk"})
		must(t, err)
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddMember(ctx, "billing", string(dana), directory.UserMember, operator)
		})
		refused(t, err, fault.Conflict, access.CodeExclusive)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddMember(ctx, "billing", string(ines), directory.UserMember, operator)
		}))
	})
}

func TestSuspend_NobodySuspendsThemselves(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		self := audit.Actor{Kind: audit.ActorUser, ID: string(dana), Organization: "northwind", Door: audit.Console}
		err := write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Suspend(ctx, dana, self, "") })
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "Another administrator can") {
			t.Errorf("got %v", err)
		}
		if got := effective(t, db, dana).User.Status; got != access.Active {
			t.Errorf("refused, and %s all the same", got)
		}
	})
}

func TestNoteParked_ListsWhatArrivedAndTakesItOffAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		group(t, db, "g1", "Auditors", "entra", string(dana))
		group(t, db, "g2", "Clerks", "entra")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Map(ctx, operator, store.Mapping{GroupName: "Auditors", Role: "auditor"}); err != nil {
				return err
			}
			_, err := tx.Map(ctx, operator, store.Mapping{GroupName: "clerks", Role: "billing-clerk", Resource: "emea"})
			return err
		}))
		note := func(change string) []store.Conflict {
			t.Helper()
			var list []store.Conflict
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
				if _, err := tx.Exec(ctx, change, tx.Organization, "g2", string(dana)); err != nil {
					return err
				}
				// Twice: the list holds a conflict once.
				if err := tx.NoteParked(ctx, "g2", dana); err != nil {
					return err
				}
				if err := tx.NoteParked(ctx, "", dana); err != nil {
					return err
				}
				list, err = tx.Conflicts(ctx, store.ConflictExclusive)
				return err
			}))
			return list
		}
		list := note(`
			insert into group_members (organization, group_id, member_id, kind, source, added)
			values ($1, $2, $3, 'user', 'scim', 1)`)
		if len(list) != 1 || list[0].Subject != string(dana) || !strings.Contains(string(list[0].Document), "billing-clerk") {
			t.Errorf("got %+v, want one conflict about dana", list)
		}
		if got := effective(t, db, dana); len(got.Parked) != 2 || len(got.Grants) != 1 {
			t.Errorf("neither wins: got %v in force and %v parked", got.Grants, got.Parked)
		}
		if list := note(`
			delete from group_members
			where organization = $1
				and group_id = $2
				and member_id = $3`); len(list) != 0 {
			t.Errorf("over, and still listed: %+v", list)
		}
		if got := effective(t, db, dana).RootRoles(); !slices.Contains(got, "auditor") {
			t.Errorf("the one that is left is in force again: %v", got)
		}
		seen := map[string]int{}
		for _, e := range events(t, db, "northwind", store.AuditFilter{Limit: 1000}) {
			if e.Code == store.ConflictExclusive {
				seen[e.Action]++
			}
		}
		if diff := cmp.Diff(map[string]int{"conflict.opened": 1, "conflict.over": 1}, seen); diff != "" {
			t.Errorf("each is recorded once: %s", diff)
		}
	})
}

func TestLastHolder_IsKeptAtEveryDoorOfPeople(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		olga, dana := person(t, db, "northwind", "olga"), person(t, db, "northwind", "dana")
		group(t, db, "board", "Board", "")
		own, err := given(t, db, operator, store.Grant{User: olga, Role: "owner"})
		must(t, err)
		doors := map[string]func(ctx context.Context, tx *store.Tx) error{
			"suspend": func(ctx context.Context, tx *store.Tx) error { return tx.Suspend(ctx, olga, operator, "") },
			"delete":  func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, olga, operator, "") },
			"revoke":  func(ctx context.Context, tx *store.Tx) error { return tx.RevokeGrant(ctx, operator, own.ID, "") },
			"restrict": func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Restrict(ctx, operator, store.Restriction{User: olga, Actions: []string{"update"}})
				return err
			},
		}
		for name, door := range doors {
			err := write(t, db, door)
			t.Run(name, func(t *testing.T) {
				refused(t, err, fault.Conflict, access.CodeLast)
				if err == nil || !strings.Contains(err.Error(), "Make someone else Owner") {
					t.Errorf("it says who must be promoted first: %v", err)
				}
			})
		}
		// Another holder, through a group, and a holder who does not count: suspended.
		_, err = given(t, db, operator, store.Grant{Group: "board", Role: "owner"})
		must(t, err)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddMember(ctx, "board", string(dana), directory.UserMember, operator)
		}))
		must(t, write(t, db, doors["suspend"]))
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.RemoveMember(ctx, "board", string(dana), operator)
		})
		refused(t, err, fault.Conflict, access.CodeLast)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Reactivate(ctx, olga, operator, "") }))
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.RemoveMember(ctx, "board", string(dana), operator)
		}))
	})
}

// Two administrators who suspend each other at the same moment: each sees the other still there, unless somebody makes them
// wait.
func TestLastHolder_TwoAtOnceLeaveOne(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		for range 5 {
			pair := []id.User{person(t, db, "northwind", string(id.New[id.User]())), person(t, db, "northwind", string(id.New[id.User]()))}
			for _, u := range pair {
				_, err := given(t, db, operator, store.Grant{User: u, Role: "owner"})
				must(t, err)
			}
			var both sync.WaitGroup
			errs := make([]error, 2)
			for i, u := range pair {
				both.Go(func() {
					errs[i] = db.Write(t.Context(), "northwind", func(tx *store.Tx) error { return tx.Suspend(t.Context(), u, operator, "") })
				})
			}
			both.Wait()
			left := pair[0]
			if errs[0] == nil {
				left = pair[1]
			}
			refused(t, errors.Join(errs...), fault.Conflict, access.CodeLast)
			if len(effective(t, db, left).ProtectedHeld()) != 1 || (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("got %v", errs)
			}
			// The one who is left makes way for the next pair.
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, "update users set status = 'suspended' where organization = $1", tx.Organization)
				return err
			}))
		}
	})
}

func TestHolderLost_FlagsTheOrganizationOrPromotesTheSuccessor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		olga, dana := person(t, db, "northwind", "olga"), person(t, db, "northwind", "dana@northwind.example")
		_, err := given(t, db, operator, store.Grant{User: olga, Role: "owner"})
		must(t, err)
		lose := func() {
			t.Helper()
			before := effective(t, db, olga)
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.Exec(ctx, "update users set status = 'suspended' where organization = $1 and id = $2", tx.Organization, olga); err != nil {
					return err
				}
				return tx.HolderLost(ctx, audit.Actor{Kind: audit.ActorDirectory, ID: "entra", Door: audit.SCIM}, before)
			}))
		}
		flags := func() (flags map[string]string) {
			t.Helper()
			must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				self, err := tx.Self(t.Context())
				if err == nil {
					flags = self.Flags
				}
				return err
			}))
			return flags
		}
		lose()
		if got := flags()["last-holder/owner"]; !strings.Contains(got, "Owner of Northwind") {
			t.Errorf("got flags %v", flags())
		}
		if n := len(events(t, db, "northwind", store.AuditFilter{Action: "organization.holder-lost"})); n != 1 {
			t.Errorf("got %d events, want 1", n)
		}
		_, err = given(t, db, operator, store.Grant{User: dana, Role: "owner"})
		must(t, err)
		if len(flags()) != 0 {
			t.Errorf("held again, and still flagged: %v", flags())
		}

		// With a named successor nobody has to act.
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "update users set status = 'active' where organization = $1 and id = $2", tx.Organization, olga)
			return err
		}))
		grants, _, err := list(t, db, store.GrantFilter{User: dana})
		must(t, err)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeGrant(ctx, operator, grants[0].ID, "") }))
		must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{
				ID: "northwind", Name: "Northwind", Settings: store.Settings{Successor: "Dana@northwind.example"},
			})
			tx.In("northwind").BumpOrganization(t.Context())
			return nil
		}))
		lose()
		if got := effective(t, db, dana).ProtectedHeld(); !slices.Equal(got, []id.Role{"owner"}) || len(flags()) != 0 {
			t.Errorf("the successor holds %v, flags %v", got, flags())
		}
	})
}

func list(t *testing.T, db *store.DB, f store.GrantFilter) (grants []store.Grant, next string, err error) {
	t.Helper()
	err = db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
		grants, next, err = tx.ListGrants(t.Context(), f)
		return err
	})
	return grants, next, err
}

func TestRevokeGrant_UnderTheCeilingAndOnlyOnesOwnOrganization(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		ines, dana := person(t, db, "northwind", "ines"), person(t, db, "northwind", "dana")
		_, err := given(t, db, operator, store.Grant{User: ines, Role: "user-admin", Resource: "emea"})
		must(t, err)
		low, err := given(t, db, operator, store.Grant{User: dana, Role: "viewer", Resource: "london-1"})
		must(t, err)
		high, err := given(t, db, operator, store.Grant{User: dana, Role: "viewer"})
		must(t, err)
		synced, err := given(t, db, operator, store.Grant{User: dana, Role: "viewer", Resource: "london-1", Source: access.SCIM})
		must(t, err)
		revoke := func(actor audit.Actor, g id.Grant) error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeGrant(ctx, actor, g, "left") })
		}
		refused(t, revoke(asUser(ines), high.ID), fault.Forbidden, access.CodeCeiling)
		refused(t, revoke(operator, synced.ID), fault.Conflict, "")
		refused(t, revoke(operator, "nothing"), fault.NotFound, "")
		err = db.Write(t.Context(), "fieldserv", func(tx *store.Tx) error { return tx.RevokeGrant(t.Context(), operator, low.ID, "") })
		refused(t, err, fault.NotFound, "")
		must(t, revoke(asUser(ines), low.ID))
		refused(t, revoke(asUser(ines), low.ID), fault.NotFound, "")
		if log := events(t, db, "northwind", store.AuditFilter{Action: "grant.revoked"}); len(log) != 1 || log[0].Reason != "left" || len(log[0].Before) == 0 {
			t.Errorf("got %+v", log)
		}
	})
}

func TestListGrants_FiltersAndPages(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana, ines := person(t, db, "northwind", "dana"), person(t, db, "northwind", "ines")
		group(t, db, "crew", "Crew", "")
		for _, g := range []store.Grant{
			{User: dana, Role: "viewer", Resource: "emea"},
			{User: dana, Role: "asset-editor", Resource: "london-1"},
			{User: ines, Role: "viewer", Resource: "london-1"},
			{Group: "crew", Role: "viewer"},
		} {
			_, err := given(t, db, operator, g)
			must(t, err)
		}
		for name, test := range map[string]struct {
			filter store.GrantFilter
			want   int
		}{
			"all":              {store.GrantFilter{}, 4},
			"of a user":        {store.GrantFilter{User: dana}, 2},
			"of a group":       {store.GrantFilter{Group: "crew"}, 1},
			"of a role":        {store.GrantFilter{Role: "viewer"}, 3},
			"at a resource":    {store.GrantFilter{Resource: "london-1"}, 2},
			"from a source":    {store.GrantFilter{Source: access.SCIM}, 0},
			"within resources": {store.GrantFilter{Only: []id.Resource{"emea", "london-1"}}, 3},
			"within none":      {store.GrantFilter{Only: []id.Resource{}}, 0},
		} {
			got, _, err := list(t, db, test.filter)
			must(t, err)
			if len(got) != test.want {
				t.Errorf("%s: got %d grants, want %d", name, len(got), test.want)
			}
		}
		seen, cursor := map[id.Grant]bool{}, ""
		for pages := 0; ; pages++ {
			got, next, err := list(t, db, store.GrantFilter{Limit: 3, Cursor: cursor})
			must(t, err)
			for _, g := range got {
				seen[g.ID] = true
			}
			if cursor = next; cursor == "" {
				if pages != 1 || len(seen) != 4 {
					t.Errorf("got %d grants on %d pages", len(seen), pages+1)
				}
				break
			}
		}
		_, _, err := list(t, db, store.GrantFilter{Cursor: "!"})
		refused(t, err, fault.Invalid, "")
	})
}

func TestListUsers_ByWhatTheyHoldAndTheInbox(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		nobody, direct, nested, mapped := person(t, db, "northwind", "nobody"), person(t, db, "northwind", "direct"),
			person(t, db, "northwind", "nested"), person(t, db, "northwind", "mapped")
		group(t, db, "inner", "Inner", "", string(nested))
		group(t, db, "outer", "Outer", "", "inner")
		group(t, db, "london", "London Team", "entra", string(mapped))
		for _, g := range []store.Grant{
			{User: direct, Role: "user-admin", Resource: "london-1"},
			{Group: "outer", Role: "asset-editor", Resource: "emea"},
		} {
			_, err := given(t, db, operator, g)
			must(t, err)
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Map(ctx, operator, store.Mapping{GroupName: "London Team", Role: "auditor", Resource: "london-1"})
			return err
		}))
		for name, test := range map[string]struct {
			filter store.UserFilter
			want   []id.User
		}{
			"a role by inclusion and through nested groups": {store.UserFilter{Role: "asset-editor"}, []id.User{direct, nested}},
			"a default role":                    {store.UserFilter{Role: "viewer"}, []id.User{nobody, direct, nested, mapped}},
			"a resource, from above too":        {store.UserFilter{Resource: "london-1"}, []id.User{direct, nested, mapped}},
			"a resource, not from below":        {store.UserFilter{Resource: "emea"}, []id.User{nested}},
			"a role at a resource":              {store.UserFilter{Role: "asset-editor", Resource: "emea"}, []id.User{nested}},
			"a role at a resource through maps": {store.UserFilter{Role: "auditor", Resource: "london-1"}, []id.User{mapped}},
			"an unknown role":                   {store.UserFilter{Role: "king"}, []id.User{}},
			"an unknown resource":               {store.UserFilter{Resource: "mars"}, []id.User{}},
			"the inbox":                         {store.UserFilter{Awaiting: true}, []id.User{nobody}},
		} {
			if d := cmp.Diff(listed(t, db, test.filter), test.want); d != "" {
				t.Errorf("%s (-got +want):\n%s", name, d)
			}
		}
		var reached []id.User
		must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			viewer, err := tx.Access(t.Context(), direct)
			if err != nil {
				return err
			}
			reached, _, err = tx.Reached(t.Context(), viewer, access.UsersRead)
			return err
		}))
		if d := cmp.Diff(reached, []id.User{direct, mapped}); d != "" {
			t.Errorf("whom users.read at a site reaches (-got +want):\n%s", d)
		}
	})
}

func TestInbox_IsForThoseWhoHaveNothingBeyondDefaults(t *testing.T) {
	t.Parallel()
	clock := storetest.NewClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana, ines := person(t, db, "northwind", "dana"), person(t, db, "northwind", "ines")
		never := person(t, db, "northwind", "never")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "update users set last_login = null where organization = $1 and id = $2", tx.Organization, never)
			return err
		}))
		inbox := func() []id.User { return listed(t, db, store.UserFilter{Awaiting: true}) }
		if d := cmp.Diff(inbox(), []id.User{dana, ines}); d != "" {
			t.Errorf("who has neither signed in nor was pushed does not wait (-got +want):\n%s", d)
		}
		err := write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Settle(ctx, asUser(ines), dana) })
		refused(t, err, fault.Forbidden, access.CodeCeiling)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Settle(ctx, operator, ines) }))
		if d := cmp.Diff(inbox(), []id.User{dana}); d != "" {
			t.Errorf("left as is (-got +want):\n%s", d)
		}
		until := db.Now().Add(time.Hour)
		_, err = given(t, db, operator, store.Grant{User: dana, Role: "viewer", Expires: until})
		must(t, err)
		if d := cmp.Diff(inbox(), []id.User{}); d != "" {
			t.Errorf("given something (-got +want):\n%s", d)
		}
		// Given, and over: nothing again.
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "update grants set expires = $1 where organization = $2", db.Now().Add(-time.Hour).UnixMicro(), tx.Organization)
			return err
		}))
		if d := cmp.Diff(inbox(), []id.User{dana}); d != "" {
			t.Errorf("the grant is over (-got +want):\n%s", d)
		}
	}, storetest.WithClock(clock))
}

func TestSetCustomAccess_IsASwitchOfItsOwn(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		ines, dana := person(t, db, "northwind", "ines"), person(t, db, "northwind", "dana")
		_, err := given(t, db, operator, store.Grant{User: ines, Role: "user-admin", Resource: "emea"})
		must(t, err)
		set := func(actor audit.Actor, custom bool) error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.SetCustomAccess(ctx, dana, custom, actor, "") })
		}
		refused(t, set(asUser(ines), true), fault.Forbidden, "") // does not reach dana
		_, err = given(t, db, operator, store.Grant{User: dana, Role: "asset-editor", Resource: "london-1"})
		must(t, err)
		if got := effective(t, db, dana).RootRoles(); len(got) != 1 {
			t.Errorf("a grant takes no default away: %v", got)
		}
		refused(t, set(asUser(ines), true), fault.Forbidden, access.CodeCeiling) // could not give the default role at the root
		must(t, set(operator, true))
		if got := effective(t, db, dana).RootRoles(); len(got) != 0 {
			t.Errorf("custom access: got %v", got)
		}
		must(t, set(operator, false))
		must(t, set(operator, false))
		if got := effective(t, db, dana).RootRoles(); len(got) != 1 {
			t.Errorf("switched back: got %v", got)
		}
		if n := len(events(t, db, "northwind", store.AuditFilter{User: dana, Action: "user.access-switched"})); n != 2 {
			t.Errorf("got %d events, want 2", n)
		}
	})
}

func TestGroupRoles_BindFollowAndWait(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana, eve := person(t, db, "northwind", "dana"), person(t, db, "northwind", "eve")
		bind := func(g id.Group) {
			t.Helper()
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.BindGroupRoles(ctx, operator, g) }))
		}
		run := func(sql string, args ...any) {
			t.Helper()
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, sql, append([]any{tx.Organization}, args...)...)
				return err
			}))
		}
		var m store.Mapping
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			m, err = tx.Map(ctx, operator, store.Mapping{GroupName: "Platform Admins", Role: "user-admin"})
			return err
		}))
		bound := func() id.Group {
			t.Helper()
			var g id.Group
			must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				all, err := tx.Mappings(t.Context())
				if err == nil {
					g = all[0].Group
				}
				return err
			}))
			return g
		}
		// A local group of that name is nobody: whoever may name groups would give roles.
		group(t, db, "local", "Platform Admins", "", string(eve))
		bind("local")
		if bound() != "" {
			t.Fatalf("bound to %s, a local group of the same name", bound())
		}
		group(t, db, "g1", "platform admins", "entra", string(dana))
		bind("g1")
		if bound() != "g1" || !effective(t, db, dana).Everywhere(access.UsersManage) {
			t.Fatalf("bound to %q, want g1", bound())
		}
		// A second source of the same name waits.
		group(t, db, "g2", "Platform Admins", "okta", string(eve))
		bind("g2")
		bind("g2")
		if bound() != "g1" || effective(t, db, eve).Everywhere(access.UsersManage) {
			t.Fatal("a second source took the mapping")
		}
		var conflicts []store.Conflict
		must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			conflicts, err = tx.Conflicts(t.Context(), store.ConflictGroupName)
			return err
		}))
		if len(conflicts) != 1 || conflicts[0].Subject != string(m.ID)+"/g2" {
			t.Fatalf("got %+v, want one conflict about g2", conflicts)
		}
		// The mapping follows its group through a rename, and stays away from one that takes the name.
		run("update groups set display_name = 'Admins', display_name_key = 'admins' where organization = $1 and id = $2", "g1")
		bind("g1")
		if bound() != "g1" || !effective(t, db, dana).Everywhere(access.UsersManage) {
			t.Error("a rename took the role away")
		}
		err := write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.ResolveGroupName(ctx, asUser(dana), conflicts[0].ID, store.Rebind)
		})
		must(t, err) // user-admin may give user-admin
		if bound() != "g2" || effective(t, db, dana).Everywhere(access.UsersManage) || !effective(t, db, eve).Everywhere(access.UsersManage) {
			t.Error("the decision was not followed")
		}
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.ResolveGroupName(ctx, operator, conflicts[0].ID, store.KeepBound)
		})
		refused(t, err, fault.NotFound, "")
		run("delete from groups where organization = $1 and id = $2", "g2")
		bind("g2")
		if bound() != "" {
			t.Errorf("bound to %s, which is gone", bound())
		}
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Unmap(ctx, asUser(dana), m.ID) })
		refused(t, err, fault.Forbidden, access.CodeCeiling)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Unmap(ctx, operator, m.ID) }))
	})
}

func TestGroupRoles_ConflictsEndWithWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		_, err := given(t, db, operator, store.Grant{User: dana, Role: "auditor"})
		must(t, err)
		group(t, db, "g1", "Clerks", "entra", string(dana))
		group(t, db, "g2", "Clerks", "okta")
		group(t, db, "g3", "Clerks", "google")
		open := func(kind string) (n int) {
			t.Helper()
			must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				list, err := tx.Conflicts(t.Context(), kind)
				n = len(list)
				return err
			}))
			return n
		}
		// A mapping that a file declares is bound whoever is in the group: who must not hold the role is parked and listed.
		must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredGroupRole(store.DeclaredGroupRole{Organization: "northwind", ID: "m", Group: "Clerks", Role: "billing-clerk", Resource: "northwind"})
			in := tx.In("northwind")
			if err := in.BindAllGroupRoles(t.Context(), operator); err != nil {
				return err
			}
			for _, g := range []id.Group{"g2", "g3"} {
				if err := in.BindGroupRoles(t.Context(), operator, g); err != nil {
					return err
				}
			}
			return nil
		}))
		if e := effective(t, db, dana); len(e.Parked) != 1 || e.Parked[0].Role != "billing-clerk" || open(store.ConflictExclusive) != 1 {
			t.Errorf("parked %+v, %d listed", e.Parked, open(store.ConflictExclusive))
		}
		if n := open(store.ConflictGroupName); n != 2 {
			t.Fatalf("got %d conflicts about the name, want 2", n)
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, "delete from groups where organization = $1 and id = 'g2'", tx.Organization); err != nil {
				return err
			}
			return tx.BindGroupRoles(ctx, operator, "g2")
		}))
		if n := open(store.ConflictGroupName); n != 1 {
			t.Errorf("g2 is gone: got %d conflicts, want 1", n)
		}
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Unmap(ctx, operator, "m") })
		refused(t, err, fault.Conflict, "") // declared in a file
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, "update group_roles set source = 'manual' where organization = $1", tx.Organization); err != nil {
				return err
			}
			return tx.Unmap(ctx, operator, "m")
		}))
		if n := open(store.ConflictGroupName); n != 0 {
			t.Errorf("the mapping is gone: got %d conflicts", n)
		}
	})
}

func TestMap_DirectoryNarrowsTheName(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		group(t, db, "g1", "London Team", "okta")
		group(t, db, "g2", "London Team", "entra")
		group(t, db, "night", "Night shift", "")
		for _, test := range []struct {
			mapping store.Mapping
			want    id.Group
		}{
			{store.Mapping{GroupName: "london team", Directory: "entra", Role: "viewer"}, "g2"},
			{store.Mapping{GroupName: "London Team", Role: "viewer", Resource: "emea"}, "g1"}, // the first of that name
			{store.Mapping{GroupName: "night", Role: "viewer", Resource: "emea"}, "night"},
			{store.Mapping{GroupName: "Night shift", Role: "viewer", Resource: "emea"}, ""},
		} {
			var m store.Mapping
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
				m, err = tx.Map(ctx, operator, test.mapping)
				return err
			}))
			if m.Group != test.want {
				t.Errorf("%+v: bound to %q, want %q", test.mapping, m.Group, test.want)
			}
		}
		admin := person(t, db, "northwind", "admin")
		_, err := given(t, db, operator, store.Grant{User: admin, Role: "user-admin", Resource: "emea"})
		must(t, err)
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Map(ctx, asUser(admin), store.Mapping{GroupName: "London Team", Role: "owner", Resource: "emea"})
			return err
		})
		refused(t, err, fault.Forbidden, access.CodeCeiling)
	})
}

func TestAddMember_IsADoorUnderTheCeiling(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		ines := person(t, db, "northwind", "ines")
		group(t, db, "board", "Board", "")
		group(t, db, "crew", "Crew", "")
		for _, g := range []store.Grant{
			{User: ines, Role: "user-admin"}, {Group: "board", Role: "owner"}, {Group: "crew", Role: "asset-editor"},
		} {
			_, err := given(t, db, operator, g)
			must(t, err)
		}
		add := func(g id.Group, member string, kind directory.MemberKind) error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.AddMember(ctx, g, member, kind, asUser(ines)) })
		}
		refused(t, add("board", string(ines), directory.UserMember), fault.Forbidden, access.CodeCeiling)
		must(t, add("crew", string(person(t, db, "northwind", "first")), directory.UserMember))
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddMember(ctx, "board", "crew", directory.GroupMember, operator)
		}))
		dana := person(t, db, "northwind", "dana")
		refused(t, add("crew", string(dana), directory.UserMember), fault.Forbidden, access.CodeCeiling) // crew is in board now
	})
}

func TestRestrict_IsAuditedAndLifted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		ines, dana, olga := person(t, db, "northwind", "ines"), person(t, db, "northwind", "dana"), person(t, db, "northwind", "olga")
		for _, g := range []store.Grant{
			{User: ines, Role: "user-admin", Resource: "emea"}, {User: dana, Role: "asset-editor", Resource: "london-1"}, {User: olga, Role: "owner"},
		} {
			_, err := given(t, db, operator, g)
			must(t, err)
		}
		restrict := func(user id.User, at id.Resource) (r store.Restriction, err error) {
			err = write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
				r, err = tx.Restrict(ctx, asUser(ines), store.Restriction{User: user, Resource: at, Actions: []string{"update", "update"}})
				return err
			})
			return r, err
		}
		_, err := restrict(olga, "emea")
		refused(t, err, fault.Forbidden, access.CodeCeiling)
		_, err = restrict(dana, "americas")
		refused(t, err, fault.Forbidden, access.CodeCeiling)
		_, err = restrict("nobody", "emea")
		refused(t, err, fault.Invalid, "")
		group(t, db, "crew", "Crew", "", string(dana))
		for g, want := range map[id.Group]bool{"crew": true, "nobody": false} {
			err := write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Restrict(ctx, operator, store.Restriction{Group: g, Resource: "americas", Actions: []string{"read"}})
				return err
			})
			if (err == nil) != want {
				t.Errorf("a restriction on the group %s: %v", g, err)
			}
		}
		if e := effective(t, db, dana); e.Allowed("assets.read", "americas") || !e.Allowed("assets.read", "emea") {
			t.Errorf("the group's restriction is not in force: %+v", e.Restrictions)
		}
		r, err := restrict(dana, "london-1")
		must(t, err)
		if effective(t, db, dana).Allowed("assets.update", "london-1") || len(r.Actions) != 1 {
			t.Errorf("the restriction %+v is not in force", r)
		}
		err = db.Write(t.Context(), "fieldserv", func(tx *store.Tx) error { return tx.LiftRestriction(t.Context(), operator, r.ID) })
		refused(t, err, fault.NotFound, "")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.LiftRestriction(ctx, asUser(ines), r.ID) }))
		if !effective(t, db, dana).Allowed("assets.update", "london-1") {
			t.Error("lifted, and still in force")
		}
		if n := len(events(t, db, "northwind", store.AuditFilter{User: dana, Action: "restriction."})); n != 2 {
			t.Errorf("got %d events, want 2", n)
		}
	})
}

func TestAPIToken_HoldsUntilItExpiresOrIsRevoked(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		ctx := t.Context()
		var secret, short string
		var token store.APIToken
		must(t, db.System().Write(ctx, func(tx *store.SystemTx) (err error) {
			if secret, token, err = tx.CreateAPIToken(ctx, operator, "ci", time.Time{}); err != nil {
				return err
			}
			short, _, err = tx.CreateAPIToken(ctx, operator, "short", clock.Now().Add(time.Hour))
			return err
		}))
		check := func(secret string) (t store.APIToken, stale bool, err error) {
			err = db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
				t, stale, err = tx.APIToken(ctx, secret)
				return err
			})
			return t, stale, err
		}
		got, stale, err := check(secret)
		if err != nil || got.ID != token.ID || !stale {
			t.Errorf("got %+v, stale %v, %v", got, stale, err)
		}
		must(t, db.System().Write(ctx, func(tx *store.SystemTx) error { return tx.TouchAPIToken(ctx, token.ID) }))
		if _, stale, _ := check(secret); stale {
			t.Error("just used, and said to be stale")
		}
		for name, wrong := range map[string]string{"unknown": secret + "x", "empty": "", "its prefix": token.Prefix} {
			if _, _, err := check(wrong); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("%s: got %v", name, err)
			}
		}
		clock.Advance(time.Hour)
		if _, _, err := check(short); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("expired: got %v", err)
		}
		must(t, db.System().Write(ctx, func(tx *store.SystemTx) error { return tx.RevokeAPIToken(ctx, operator, token.ID) }))
		if _, _, err := check(secret); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("revoked: got %v", err)
		}
	})
}

package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// roleWorld is Northwind with people who make roles: Ada may give everything, Bea makes roles and may give little.
func roleWorld(t *testing.T, db *store.DB) (ada, bea, cem id.User) {
	t.Helper()
	world(t, db)
	must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
		tx.PutDeclaredRole(store.DeclaredRole{Position: 10, Role: access.Role{
			ID: "chief", Name: "Chief", Includes: []id.Role{"owner"}, Permissions: []id.Permission{access.RolesManage},
		}})
		tx.PutDeclaredRole(store.DeclaredRole{Position: 11, Role: access.Role{
			ID: "role-maker", Name: "Role Maker", Includes: []id.Role{"viewer"}, Permissions: []id.Permission{access.RolesManage},
			MayGrant: []id.Role{"viewer"},
		}})
		tx.Bump(t.Context(), "configuration")
		return nil
	}))
	ada, bea, cem = person(t, db, "northwind", "ada"), person(t, db, "northwind", "bea"), person(t, db, "northwind", "cem")
	for u, r := range map[id.User]id.Role{ada: "chief", bea: "role-maker"} {
		if _, err := given(t, db, operator, store.Grant{User: u, Role: r}); err != nil {
			t.Fatal(err)
		}
	}
	return ada, bea, cem
}

func makeRole(t *testing.T, db *store.DB, actor audit.Actor, r access.Role) (made store.CustomRole, err error) {
	t.Helper()
	err = write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
		made, err = tx.MakeRole(ctx, actor, r)
		return err
	})
	return made, err
}

func changeRole(t *testing.T, db *store.DB, actor audit.Actor, r access.Role, version int64) error {
	t.Helper()
	return write(t, db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ChangeRole(ctx, actor, r, version)
		return err
	})
}

func deleteRole(t *testing.T, db *store.DB, actor audit.Actor, r id.Role) error {
	t.Helper()
	return write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRole(ctx, actor, r, 0) })
}

func night(permissions ...id.Permission) access.Role {
	return access.Role{ID: "custom:night", Name: "Night shift", Description: "For the nights.", Permissions: permissions}
}

func TestCustomRole_IsGivenAndInForceAndChangesForItsHoldersAtOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ada, _, cem := roleWorld(t, db)
		made, err := makeRole(t, db, asUser(ada), access.Role{
			ID: "custom:night", Name: "Night shift", Permissions: []id.Permission{"assets.update", "assets.update"}, Includes: []id.Role{"viewer"},
		})
		must(t, err)
		if diff := cmp.Diff([]id.Permission{"assets.update"}, made.Permissions); diff != "" {
			t.Error(diff)
		}
		if _, err := given(t, db, asUser(ada), store.Grant{User: cem, Role: "custom:night", Resource: "emea"}); err != nil {
			t.Fatal(err)
		}
		e := effective(t, db, cem)
		if a := e.Can("assets.update", "london-1"); !a.Allowed || !strings.Contains(a.Reason, "role Night shift, at EMEA, and so at London 1") {
			t.Errorf("got %v %q, want it to hold below EMEA", a.Allowed, a.Reason)
		}
		if a := e.Can("assets.update", "americas"); a.Allowed {
			t.Error("it holds beside the resource it was given at")
		}
		if got := listed(t, db, store.UserFilter{Role: "custom:night"}); !slices.Contains(got, cem) || len(got) != 1 {
			t.Errorf("users with the role: %v", got)
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.CountPeople(ctx, "custom:night")
			if n != 1 {
				t.Errorf("got %d people, want 1", n)
			}
			return err
		}))
		must(t, changeRole(t, db, asUser(ada), night("users.read"), made.Version))
		if e := effective(t, db, cem); e.Allowed("assets.update", "london-1") || !e.Allowed("users.read", "london-1") {
			t.Error("the change is not in force at the next look")
		}
		ours := events(t, db, "northwind", store.AuditFilter{Action: "custom-role."})
		if len(ours) != 2 || ours[0].Action != "custom-role.changed" || ours[0].Actor.ID != string(ada) ||
			!strings.Contains(string(ours[0].Before), "assets.update") || !strings.Contains(string(ours[0].After), "users.read") {
			t.Errorf("got the events %+v", ours)
		}
	})
}

// A change says whom it reaches: by a group within a group, by a role that includes it, by default, and a provider's people.
func TestCustomRole_CountsWhoHasIt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ada, bea, cem := roleWorld(t, db)
		dan := person(t, db, "northwind", "dan")
		_, err := makeRole(t, db, operator, night("assets.read"))
		must(t, err)
		_, err = makeRole(t, db, operator, access.Role{ID: "custom:day", Name: "Day shift", Includes: []id.Role{"custom:night"}})
		must(t, err)
		count := func(want int64) {
			t.Helper()
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				n, err := tx.CountPeople(ctx, "custom:night")
				if n != want {
					t.Errorf("got %d people, want %d", n, want)
				}
				return err
			}))
		}
		count(0)
		group(t, db, "inner", "Inner", "", string(bea), string(ada))
		group(t, db, "outer", "Outer", "", "inner")
		_, err = given(t, db, operator, store.Grant{Group: "outer", Role: "custom:day", Resource: "emea"})
		must(t, err)
		count(2)
		_, err = given(t, db, operator, store.Grant{User: cem, Role: "custom:night"})
		must(t, err)
		_, err = given(t, db, operator, store.Grant{User: bea, Role: "custom:night"})
		must(t, err)
		count(3)
		// A provider's user is none of the organization's, and its grant lies here.
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `
				insert into grants (organization, id, user_id, role, resource, source, granted_by, granted_by_name, reason, created)
				values ($1, 'g', 'somebody of fieldserv', 'custom:night', $1, 'manual', 'x', 'x', '', 1)`, tx.Organization)
			return err
		}))
		count(4)
		must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind", Settings: store.Settings{
				DefaultRoles: []access.RoleAt{{Role: "custom:night"}},
			}})
			tx.In("northwind").BumpOrganization(t.Context())
			return nil
		}))
		count(5)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.SetCustomAccess(ctx, dan, true, operator, "")
		}))
		count(4)
	})
}

// Another node has read the organization before the change, and keeps nothing of it.
func TestCustomRole_AChangeIsInForceOnEveryNodeAtOnce(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.URL(t, kind)
		here, there := storetest.OpenURL(t, url), storetest.OpenURL(t, url)
		_, _, cem := roleWorld(t, here)
		_, err := makeRole(t, here, operator, night("assets.update"))
		must(t, err)
		_, err = given(t, here, operator, store.Grant{User: cem, Role: "custom:night"})
		must(t, err)
		for _, p := range []id.Permission{"billing.read", "assets.update", "users.read"} {
			must(t, changeRole(t, here, operator, night(p), 0))
			for _, db := range []*store.DB{there, here} {
				if e := effective(t, db, cem); !slices.Equal(e.Permissions("northwind"), append([]id.Permission{"assets.read"}, p)) {
					t.Errorf("after the change to %s: %v", p, e.Permissions("northwind"))
				}
			}
		}
	})
}

// Each organization's roles are its own: another knows nothing of them, and one of the same id there is another role.
func TestCustomRole_IsUnknownInAnotherOrganization(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ada, _, _ := roleWorld(t, db)
		eve := person(t, db, "fieldserv", "eve")
		_, err := makeRole(t, db, asUser(ada), night("assets.update"))
		must(t, err)
		elsewhere := func(fn func(ctx context.Context, tx *store.Tx) error) error {
			return db.Write(t.Context(), "fieldserv", func(tx *store.Tx) error { return fn(t.Context(), tx) })
		}
		refused(t, elsewhere(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Give(ctx, operator, store.Grant{User: eve, Role: "custom:night"})
			return err
		}), fault.Invalid, "")
		refused(t, elsewhere(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CustomRole(ctx, "custom:night")
			return err
		}), fault.NotFound, "")
		refused(t, elsewhere(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ChangeRole(ctx, operator, night("billing.read"), 0)
			return err
		}), fault.NotFound, "")
		refused(t, elsewhere(func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteRole(ctx, operator, "custom:night", 0)
		}), fault.NotFound, "")
		// Whoever makes roles in one organization makes none in another.
		refused(t, elsewhere(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.MakeRole(ctx, asUser(ada), night("assets.update"))
			return err
		}), fault.Forbidden, access.CodeCeiling)
		must(t, elsewhere(func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.MakeRole(ctx, operator, night("billing.read")); err != nil {
				return err
			}
			if _, err := tx.Give(ctx, operator, store.Grant{User: eve, Role: "custom:night"}); err != nil {
				return err
			}
			e, err := tx.Access(ctx, eve)
			if err == nil && (e.Everywhere("assets.update") || !e.Everywhere("billing.read")) {
				t.Error("the roles of two organizations are taken for one")
			}
			return err
		}))
		must(t, db.System().Read(t.Context(), func(tx *store.SystemTx) error {
			c, err := tx.Catalogue(t.Context())
			if err == nil && c.Customs() != nil {
				t.Error("the installation's catalogue holds an organization's roles")
			}
			return err
		}))
	})
}

func TestCustomRole_IsMadeUnderTheCeiling(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ada, bea, cem := roleWorld(t, db)
		forbidden := map[string]access.Role{
			"a permission its maker does not hold": night("assets.read", "assets.update"),
			"a role its maker may not give":        {ID: "custom:night", Name: "N", Includes: []id.Role{"asset-editor"}},
			"the giving of one":                    {ID: "custom:night", Name: "N", MayGrant: []id.Role{"asset-editor"}},
			"the giving of every role":             {ID: "custom:night", Name: "N", MayGrant: []id.Role{access.Every}},
			"the giving of itself":                 {ID: "custom:night", Name: "N", Includes: []id.Role{"viewer"}, MayGrant: []id.Role{"custom:night"}},
		}
		for name, r := range forbidden {
			if _, err := makeRole(t, db, asUser(bea), r); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("%s: got %v, want it refused", name, err)
			}
		}
		_, err := makeRole(t, db, asUser(cem), night("assets.read"))
		refused(t, err, fault.Forbidden, access.CodeCeiling)
		made, err := makeRole(t, db, asUser(bea), night("assets.read"))
		must(t, err)
		// Bea made it, but nobody's may_grant names it: she cannot give it. Ada, who may give every role, can.
		_, err = given(t, db, asUser(bea), store.Grant{User: cem, Role: made.ID})
		refused(t, err, fault.Forbidden, access.CodeCeiling)
		held, err := given(t, db, asUser(ada), store.Grant{User: bea, Role: made.ID})
		must(t, err)
		// Now she holds it, and widens it.
		for name, r := range forbidden {
			r.ID, r.Name = "custom:night", "Night shift"
			if err := changeRole(t, db, asUser(bea), r, 0); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("widened by %s: got %v, want it refused", name, err)
			}
		}
		// It is in use, so what it gives is changed by whoever could give it; what it is called is not.
		refused(t, changeRole(t, db, asUser(bea), access.Role{ID: "custom:night", Name: "Night shift", Includes: []id.Role{"viewer"}}, 0),
			fault.Forbidden, access.CodeCeiling)
		renamed := night("assets.read")
		renamed.Name = "Nights"
		must(t, changeRole(t, db, asUser(bea), renamed, made.Version))
		// What Ada puts into it, Bea can neither take out nor delete while she does not hold it.
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeGrant(ctx, asUser(ada), held.ID, "") }))
		must(t, changeRole(t, db, asUser(ada), night("assets.read", "assets.update"), 0))
		refused(t, changeRole(t, db, asUser(bea), night("assets.read"), 0), fault.Forbidden, access.CodeCeiling)
		refused(t, deleteRole(t, db, asUser(bea), "custom:night"), fault.Forbidden, access.CodeCeiling)
	})
}

// What goes into a role stays there, so it must be its maker's for good.
func TestCustomRole_OutlastsNoRightOfItsMaker(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		_, _, cem := roleWorld(t, db)
		_, err := given(t, db, operator, store.Grant{User: cem, Role: "chief", Expires: db.Now().Add(time.Hour)})
		must(t, err)
		_, err = makeRole(t, db, asUser(cem), night("assets.update"))
		refused(t, err, fault.Forbidden, access.CodeCeiling)
		_, err = makeRole(t, db, asUser(cem), access.Role{ID: "custom:night", Name: "N", Includes: []id.Role{"viewer"}})
		refused(t, err, fault.Forbidden, access.CodeCeiling)
	})
}

func TestCustomRole_RefusesWhatDoesNotHoldTogether(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		roleWorld(t, db)
		for name, c := range map[string]struct {
			role  access.Role
			field string
		}{
			"an id like a built-in's": {access.Role{ID: "viewer", Name: "N", Permissions: []id.Permission{"assets.read"}}, "id"},
			"no form of an id":        {access.Role{ID: "custom:../x", Name: "N", Permissions: []id.Permission{"assets.read"}}, "id"},
			"no name":                 {access.Role{ID: "custom:n", Permissions: []id.Permission{"assets.read"}}, "name"},
			"a built-in's name":       {access.Role{ID: "custom:n", Name: "OWNER", Permissions: []id.Permission{"assets.read"}}, "name"},
			"nothing in it":           {access.Role{ID: "custom:n", Name: "N"}, "permissions"},
			"an unknown permission":   {access.Role{ID: "custom:n", Name: "N", Permissions: []id.Permission{"assets.fly"}}, "permissions[0]"},
			"an unknown role":         {access.Role{ID: "custom:n", Name: "N", Includes: []id.Role{"pilot"}}, "includes[0]"},
			"unknown in may_grant":    {access.Role{ID: "custom:n", Name: "N", MayGrant: []id.Role{"pilot"}}, "may_grant[0]"},
			"every role included":     {access.Role{ID: "custom:n", Name: "N", Includes: []id.Role{"*"}}, "includes[0]"},
			"itself":                  {access.Role{ID: "custom:n", Name: "N", Includes: []id.Role{"custom:n"}}, "includes[0]"},
			"exclusive roles":         {access.Role{ID: "custom:n", Name: "N", Includes: []id.Role{"auditor", "billing-clerk"}}, "includes"},
		} {
			_, err := makeRole(t, db, operator, c.role)
			f := fault.As(err)
			if f == nil || f.Kind != fault.Invalid || !slices.ContainsFunc(f.Fields, func(x fault.Field) bool { return x.Path == c.field }) {
				t.Errorf("%s: got %v %+v, want the field %s refused", name, err, f, c.field)
			}
		}
		_, err := makeRole(t, db, operator, night("assets.read"))
		must(t, err)
		_, err = makeRole(t, db, operator, night("assets.read"))
		refused(t, err, fault.Invalid, "")
		_, err = makeRole(t, db, operator, access.Role{ID: "custom:day", Name: "Day shift", Includes: []id.Role{"custom:night"}})
		must(t, err)
		refused(t, changeRole(t, db, operator, access.Role{ID: "custom:night", Name: "Night shift", Includes: []id.Role{"custom:day"}}, 0),
			fault.Invalid, access.CodeRoleCycle)
	})
}

func TestCustomRole_AStaleChangeIsRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		roleWorld(t, db)
		made, err := makeRole(t, db, operator, night("assets.read"))
		must(t, err)
		must(t, changeRole(t, db, operator, night("assets.update"), made.Version))
		refused(t, changeRole(t, db, operator, night("billing.read"), made.Version), fault.Conflict, access.CodeRoleStale)
		refused(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteRole(ctx, operator, made.ID, made.Version)
		}), fault.Conflict, access.CodeRoleStale)
		must(t, changeRole(t, db, operator, night("billing.read"), made.Version+1))
	})
}

func TestCustomRole_IsNotDeletedWhereItIsInUse(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		_, _, cem := roleWorld(t, db)
		made, err := makeRole(t, db, operator, night("assets.read"))
		must(t, err)
		inUse := func(want string, release func(ctx context.Context, tx *store.Tx) error) {
			t.Helper()
			err := deleteRole(t, db, operator, made.ID)
			refused(t, err, fault.Conflict, access.CodeRoleInUse)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want it to say %q", err, want)
			}
			must(t, write(t, db, release))
		}
		g, err := given(t, db, operator, store.Grant{User: cem, Role: made.ID})
		must(t, err)
		inUse("given to cem", func(ctx context.Context, tx *store.Tx) error { return tx.RevokeGrant(ctx, operator, g.ID, "") })
		var m store.Mapping
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			m, err = tx.Map(ctx, operator, store.Mapping{GroupName: "Night Owls", Role: made.ID})
			return err
		}))
		inUse("mapped to the group Night Owls", func(ctx context.Context, tx *store.Tx) error { return tx.Unmap(ctx, operator, m.ID) })
		_, err = makeRole(t, db, operator, access.Role{ID: "custom:day", Name: "Day shift", Includes: []id.Role{"custom:night"}})
		must(t, err)
		inUse("named in the custom role Day shift", func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteRole(ctx, operator, "custom:day", 0)
		})
		asDefault := func(roles ...access.RoleAt) {
			must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
				tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind", Settings: store.Settings{DefaultRoles: roles}})
				tx.In("northwind").BumpOrganization(t.Context())
				return nil
			}))
		}
		asDefault(access.RoleAt{Role: made.ID})
		inUse("a default role of Northwind", func(context.Context, *store.Tx) error { return nil })
		asDefault()
		// What is over is no use, and goes along: a role made again under the id finds no old holder.
		g, err = given(t, db, operator, store.Grant{User: cem, Role: made.ID})
		must(t, err)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "update grants set expires = 1 where organization = $1 and id = $2", tx.Organization, g.ID)
			return err
		}))
		must(t, deleteRole(t, db, operator, made.ID))
		if left, _, err := list(t, db, store.GrantFilter{Role: made.ID}); err != nil || len(left) > 0 {
			t.Errorf("got %v %v, want no grant left", left, err)
		}
		refused(t, deleteRole(t, db, operator, made.ID), fault.NotFound, "")
	})
}

func TestCustomRole_AChangeKeepsLastHoldersAndExclusiveRoles(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ada, _, cem := roleWorld(t, db)
		owns := access.Role{ID: "custom:board", Name: "Board", Includes: []id.Role{"owner"}}
		_, err := makeRole(t, db, operator, owns)
		must(t, err)
		_, err = given(t, db, operator, store.Grant{User: cem, Role: owns.ID})
		must(t, err)
		grants, _, err := list(t, db, store.GrantFilter{User: ada})
		must(t, err)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeGrant(ctx, operator, grants[0].ID, "") }))
		err = changeRole(t, db, operator, access.Role{ID: owns.ID, Name: "Board", Includes: []id.Role{"viewer"}}, 0)
		refused(t, err, fault.Conflict, access.CodeLast)
		if !effective(t, db, cem).Holds("owner", "northwind") {
			t.Error("the refused change is in force")
		}
		// Cem audits; what he holds besides must not come to hold a clerk's role.
		_, err = makeRole(t, db, operator, night("assets.read"))
		must(t, err)
		for _, r := range []id.Role{"auditor", "custom:night"} {
			_, err = given(t, db, operator, store.Grant{User: cem, Role: r})
			must(t, err)
		}
		clerk := access.Role{ID: "custom:night", Name: "Night shift", Includes: []id.Role{"billing-clerk"}}
		err = changeRole(t, db, operator, clerk, 0)
		refused(t, err, fault.Conflict, access.CodeExclusive)
		if err == nil || !strings.Contains(err.Error(), "cem") {
			t.Errorf("got %v, want it to say whom it concerns", err)
		}
		if effective(t, db, cem).Everywhere("billing.read") {
			t.Error("the refused change is in force")
		}
		// And a role that carries one of two counts when it is given.
		_, err = makeRole(t, db, operator, access.Role{ID: "custom:till", Name: "Till", Includes: []id.Role{"billing-clerk"}})
		must(t, err)
		_, err = given(t, db, operator, store.Grant{User: cem, Role: "custom:till"})
		refused(t, err, fault.Conflict, access.CodeExclusive)
	})
}

// What the operator takes away is taken out of custom roles, for good and with its event.
func TestCustomRole_LosesWhatTheOperatorTakesAway(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		_, _, cem := roleWorld(t, db)
		_, err := makeRole(t, db, operator, access.Role{
			ID: "custom:night", Name: "Night shift", Includes: []id.Role{"asset-editor"}, Permissions: []id.Permission{"billing.read"},
		})
		must(t, err)
		_, err = given(t, db, operator, store.Grant{User: cem, Role: "custom:night"})
		must(t, err)
		available := func(roles ...id.Role) {
			must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
				tx.PutDeclaredOrganization(store.DeclaredOrganization{
					ID: "northwind", Name: "Northwind", Settings: store.Settings{AvailableRoles: roles},
				})
				tx.In("northwind").BumpOrganization(t.Context())
				return nil
			}))
		}
		available("viewer", "billing-clerk")
		if e := effective(t, db, cem); e.Everywhere("assets.update") || !e.Everywhere("billing.read") {
			t.Error("a custom role gives what the organization may not use, or no longer what it may")
		}
		available("viewer")
		if e := effective(t, db, cem); e.Everywhere("billing.read") {
			t.Error("a permission is in force that no role of the organization carries")
		}
		refused(t, changeRole(t, db, operator, night("billing.read"), 0), fault.Invalid, "")
		available()
		must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			for _, r := range []access.Role{
				{ID: "owner", Name: "Owner", MayGrant: []id.Role{"*"}, Protected: true},
				{ID: "user-admin", Name: "User Admin", Permissions: []id.Permission{"users.read"}},
			} {
				tx.PutDeclaredRole(store.DeclaredRole{Role: r})
			}
			if err := tx.DropDeclaredRole(t.Context(), store.DeclaredRole{Role: access.Role{ID: "asset-editor"}}, operator); err != nil {
				return err
			}
			tx.Bump(t.Context(), "configuration")
			return nil
		}))
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			r, err := tx.CustomRole(ctx, "custom:night")
			if len(r.Includes) > 0 || len(r.Permissions) != 1 {
				t.Errorf("got %+v, want the role that is gone taken out and nothing else", r)
			}
			return err
		}))
		ours := events(t, db, "northwind", store.AuditFilter{Action: "custom-role.changed"})
		if len(ours) != 1 || !strings.Contains(ours[0].Reason, "asset-editor") {
			t.Errorf("got the events %+v", ours)
		}
	})
}

package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// Giving again renews the term, so a door that only gives would take: a beginning tomorrow is no owner today, an end in a
// minute none afterwards.
func TestLastHolder_IsNotTakenByNarrowingTheTerm(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		olga, dana := person(t, db, "northwind", "olga"), person(t, db, "northwind", "dana")
		_, err := given(t, db, operator, store.Grant{User: olga, Role: "owner"})
		must(t, err)
		later := store.Grant{User: olga, Role: "owner", Starts: db.Now().Add(time.Hour)}
		over := store.Grant{User: olga, Role: "owner", Expires: db.Now().Add(time.Hour)}
		for name, g := range map[string]store.Grant{"begins later": later, "ends": over} {
			_, err := given(t, db, operator, g)
			t.Run(name, func(t *testing.T) { refused(t, err, fault.Conflict, access.CodeLast) })
		}
		if got := effective(t, db, olga).ProtectedHeld(); !slices.Equal(got, []id.Role{"owner"}) {
			t.Errorf("after the refusals she holds %v", got)
		}
		_, err = given(t, db, operator, store.Grant{User: dana, Role: "owner"})
		must(t, err)
		g, err := given(t, db, operator, over)
		must(t, err)
		if !g.Expires.Equal(over.Expires.Truncate(time.Microsecond)) || len(effective(t, db, olga).ProtectedHeld()) != 1 {
			t.Errorf("beside another holder: %+v", g)
		}
		// A wider term takes nothing.
		_, err = given(t, db, operator, store.Grant{User: olga, Role: "owner"})
		must(t, err)
	})
}

func TestHolderLost_ASuccessorWithoutASeatLeavesTheFlag(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		olga, dana := person(t, db, "northwind", "olga"), person(t, db, "northwind", "dana@northwind.example")
		_, err := given(t, db, operator, store.Grant{User: olga, Role: "owner"})
		must(t, err)
		must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{
				ID: "northwind", Name: "Northwind", Settings: store.Settings{Successor: "dana@northwind.example"},
			})
			tx.In("northwind").BumpOrganization(t.Context())
			return nil
		}))
		before := effective(t, db, olga)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			for _, sql := range []string{
				"update users set status = 'suspended' where organization = $1 and id = $2",
				"update users set seated = false where organization = $1 and id <> $2",
			} {
				if _, err := tx.Exec(ctx, sql, tx.Organization, olga); err != nil {
					return err
				}
			}
			return tx.HolderLost(ctx, audit.Actor{Kind: audit.ActorDirectory, ID: "entra", Door: audit.SCIM}, before)
		}))
		must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			self, err := tx.Self(t.Context())
			if err == nil && self.Flags["last-holder/owner"] == "" {
				t.Error("nobody active is owner, and the organization is not flagged")
			}
			return err
		}))
		grants, _, err := list(t, db, store.GrantFilter{User: dana, Role: "owner"})
		must(t, err)
		if len(grants) != 1 {
			t.Errorf("the successor was given %v", grants)
		}
	})
}

// A restriction on a group comes and goes with membership: that is a way to disarm an owner, and a way out of a restriction.
func TestMembership_OfARestrictedGroupIsADoorOfRestrictions(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		olga, ines, dana := person(t, db, "northwind", "olga"), person(t, db, "northwind", "ines"), person(t, db, "northwind", "dana")
		for u, r := range map[id.User]id.Role{olga: "owner", ines: "user-admin", dana: "asset-editor"} {
			_, err := given(t, db, operator, store.Grant{User: u, Role: r})
			must(t, err)
		}
		group(t, db, "readers", "Readers", "")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Restrict(ctx, operator, store.Restriction{Group: "readers", Actions: []string{"update", "manage"}})
			return err
		}))
		add := func(actor audit.Actor, u id.User) error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error {
				return tx.AddMember(ctx, "readers", string(u), directory.UserMember, actor)
			})
		}
		refused(t, add(asUser(ines), olga), fault.Forbidden, access.CodeCeiling)
		refused(t, add(operator, olga), fault.Conflict, access.CodeLast)
		must(t, add(asUser(ines), dana))
		if slices.Contains(effective(t, db, dana).RootRoles(), "asset-editor") {
			t.Error("the group's restriction does not reach its new member")
		}
		must(t, add(operator, ines))
		err := write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.RemoveMember(ctx, "readers", string(ines), asUser(ines))
		})
		refused(t, err, fault.Forbidden, access.CodeCeiling)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.RemoveMember(ctx, "readers", string(ines), operator)
		}))
	})
}

// What a group gave, and what it took, does not vanish with it: each is taken away by itself, under its own rules.
func TestDeleteGroup_LiftsAndTakesUnderTheSameRules(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		ines, dana := person(t, db, "northwind", "ines"), person(t, db, "northwind", "dana")
		for u, r := range map[id.User]id.Role{ines: "user-admin", dana: "owner"} {
			_, err := given(t, db, operator, store.Grant{User: u, Role: r})
			must(t, err)
		}
		other := person(t, db, "northwind", "other")
		_, err := given(t, db, operator, store.Grant{User: other, Role: "owner"})
		must(t, err)
		group(t, db, "readers", "Readers", "", string(dana))
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Restrict(ctx, operator, store.Restriction{Group: "readers", Actions: []string{"update"}}); err != nil {
				return err
			}
			_, err := tx.Give(ctx, operator, store.Grant{Group: "readers", Role: "viewer", Resource: "emea"})
			return err
		}))
		remove := func(actor audit.Actor) error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteGroup(ctx, actor, "readers", "over") })
		}
		refused(t, remove(asUser(ines)), fault.Forbidden, access.CodeCeiling)
		if slices.Contains(effective(t, db, dana).RootRoles(), "owner") {
			t.Error("the restriction was lifted with its group by who could not lift it")
		}
		must(t, remove(operator))
		for action, want := range map[string]int{"grant.revoked": 1, "restriction.lifted": 1, "group.deleted": 1} {
			if got := len(events(t, db, "northwind", store.AuditFilter{Action: action})); got != want {
				t.Errorf("%d events %s, want %d", got, action, want)
			}
		}
	})
}

func TestSetCustomAccess_BackToDefaultsThatExcludeIsRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{
				ID: "northwind", Name: "Northwind", Settings: store.Settings{DefaultRoles: []access.RoleAt{{Role: "auditor"}}},
			})
			tx.In("northwind").BumpOrganization(t.Context())
			return nil
		}))
		custom := func(on bool) error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.SetCustomAccess(ctx, dana, on, operator, "") })
		}
		must(t, custom(true))
		_, err := given(t, db, operator, store.Grant{User: dana, Role: "billing-clerk"})
		must(t, err)
		refused(t, custom(false), fault.Conflict, access.CodeExclusive)
	})
}

// The conflict list says what waits: what a claim brings stands there as what a push brings, and nothing stays after the
// administrator took one of the two away.
func TestClaimGroups_ParksAndListsAndAnAdministratorEndsIt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		corp := connection.Connection{Organization: "northwind", ID: "corp", Name: "Corp", Protocol: connection.OIDC}
		var mapping store.Mapping
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			if _, err = tx.Map(ctx, operator, store.Mapping{GroupName: "Auditors", Role: "auditor"}); err != nil {
				return err
			}
			mapping, err = tx.Map(ctx, operator, store.Mapping{GroupName: "Clerks", Role: "billing-clerk"})
			return err
		}))
		claim := func(groups ...string) {
			t.Helper()
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				return tx.ClaimGroups(ctx, audit.Actor{Kind: audit.ActorConnection, ID: "corp", Door: audit.SignIn}, corp, dana, groups)
			}))
		}
		open := func() int {
			t.Helper()
			var all []store.Conflict
			must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
				all, err = tx.Conflicts(t.Context(), store.ConflictExclusive)
				return err
			}))
			return len(all)
		}
		claim("Auditors", "Clerks")
		if got := effective(t, db, dana).RootRoles(); slices.Contains(got, "auditor") || slices.Contains(got, "billing-clerk") || open() != 1 {
			t.Errorf("claimed both: holds %v, %d conflicts", got, open())
		}
		claim("Auditors")
		if open() != 0 {
			t.Error("the claim names one alone, and the conflict stays")
		}
		claim("Auditors", "Clerks")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Unmap(ctx, operator, mapping.ID) }))
		if got := effective(t, db, dana).RootRoles(); !slices.Contains(got, "auditor") || open() != 0 {
			t.Errorf("one is taken away: holds %v, %d conflicts", got, open())
		}
	})
}

package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func groupsOf(t *testing.T, db *store.DB, user id.User) map[id.Group]bool {
	t.Helper()
	out := map[id.Group]bool{}
	must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
		u, err := tx.UserDetail(t.Context(), user)
		if err != nil {
			return err
		}
		for _, g := range u.Groups {
			out[g.ID] = true
		}
		return nil
	}))
	return out
}

func TestClaimGroups_NamesTheDirectorysGroupsFirst(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		group(t, db, "g1", "London", "entra")
		group(t, db, "named-like-it", "ext-1", "entra")
		group(t, db, "p1", "Paris", "entra")
		group(t, db, "p2", "paris", "entra")
		group(t, db, "foreign", "Rome", "okta")
		group(t, db, "pushed", "Pushed", "entra", string(dana))
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "update groups set external_id = 'ext-1' where organization = $1 and id = 'g1'", tx.Organization)
			return err
		}))
		corp := connection.Connection{Organization: "northwind", ID: "corp", Name: "Corp", Protocol: connection.OIDC, Directory: "entra"}
		lab := connection.Connection{Organization: "northwind", ID: "lab", Name: "Lab", Protocol: connection.OIDC}
		claim := func(c connection.Connection, groups ...string) map[id.Group]bool {
			t.Helper()
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				return tx.ClaimGroups(ctx, audit.Actor{Kind: audit.ActorConnection, ID: string(c.ID), Door: audit.SignIn}, c, dana, groups)
			}))
			return groupsOf(t, db, dana)
		}
		if d := cmp.Diff(claim(corp, "ext-1"), map[id.Group]bool{"pushed": true, "g1": true}); d != "" {
			t.Errorf("an externalId (-got +want):\n%s", d)
		}
		if d := cmp.Diff(claim(corp, "LONDON"), map[id.Group]bool{"pushed": true, "g1": true}); d != "" {
			t.Errorf("a displayName (-got +want):\n%s", d)
		}
		if got := claim(corp, "Paris", "Rome"); len(got) != 3 || got["p1"] || got["p2"] || got["foreign"] || got["g1"] {
			t.Errorf("a name that two have, and one of another directory: %v", got)
		}
		labs := claim(lab, "Lab crew")
		if len(labs) != 4 {
			t.Fatalf("claimed by two connections: %v", labs)
		}
		if got := claim(corp); len(got) != 2 || !got["pushed"] {
			t.Errorf("an empty claim takes its own alone: %v", got)
		}
	})
}

func TestClaimGroups_TheLastHolderIsReported(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		corp := connection.Connection{Organization: "northwind", ID: "corp", Name: "Corp", Protocol: connection.OIDC}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Map(ctx, operator, store.Mapping{GroupName: "Board", Role: "owner"})
			return err
		}))
		for _, groups := range [][]string{{"Board"}, {}} {
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				return tx.ClaimGroups(ctx, audit.Actor{Kind: audit.ActorConnection, ID: "corp", Door: audit.SignIn}, corp, dana, groups)
			}))
		}
		if n := len(events(t, db, "northwind", store.AuditFilter{Action: "organization.holder-lost"})); n != 1 {
			t.Errorf("got %d events, want 1", n)
		}
	})
}

// A mapping is a grant without an end: whoever holds for a while cannot make one.
func TestMap_OutlastsNoGrantOfItsMaker(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		group(t, db, "crew", "Crew", "entra")
		admin := person(t, db, "northwind", "admin")
		_, err := given(t, db, operator, store.Grant{User: admin, Role: "user-admin", Resource: "emea", Expires: db.Now().Add(24 * time.Hour)})
		must(t, err)
		make := func() error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Map(ctx, asUser(admin), store.Mapping{GroupName: "Crew", Role: "viewer", Resource: "london-1"})
				return err
			})
		}
		refused(t, make(), fault.Forbidden, access.CodeOutlasts)
		_, err = given(t, db, operator, store.Grant{User: admin, Role: "user-admin", Resource: "london-1"})
		must(t, err)
		must(t, make())
	})
}

func TestGroupRoles_WaitForTheDirectoryTheyName(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		dana := person(t, db, "northwind", "dana")
		var mapping store.Mapping
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			mapping, err = tx.Map(ctx, operator, store.Mapping{GroupName: "Board", Directory: "entra", Role: "owner"})
			return err
		}))
		bound := func() (g id.Group) {
			t.Helper()
			must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				all, err := tx.Mappings(t.Context())
				if err == nil {
					g = all[0].Group
				}
				return err
			}))
			return g
		}
		for _, c := range []struct {
			group id.Group
			dir   id.Directory
			want  id.Group
		}{{"of-okta", "okta", ""}, {"of-entra", "entra", "of-entra"}} {
			group(t, db, c.group, "Board", c.dir, string(dana))
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.BindGroupRoles(ctx, operator, c.group) }))
			if got := bound(); got != c.want {
				t.Errorf("after the group of %s: bound to %q, want %q", c.dir, got, c.want)
			}
		}
		// Taking the mapping away would leave nobody.
		unmap := func() error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Unmap(ctx, operator, mapping.ID) })
		}
		if err := unmap(); fault.KindOf(err) != fault.Conflict || bound() != "of-entra" {
			t.Errorf("the last holder's mapping went: %v", err)
		}
		olga := person(t, db, "northwind", "olga")
		_, err := given(t, db, operator, store.Grant{User: olga, Role: "owner"})
		must(t, err)
		must(t, unmap())
	})
}

func TestResend_RenewsTheTermAndIsForWhoCouldGiveTheSame(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		world(t, db)
		bob := person(t, db, "northwind", "bob")
		_, err := given(t, db, operator, store.Grant{User: bob, Role: "user-admin"})
		must(t, err)
		made, _ := inviteOne(t, db, "boss@northwind.example", access.Want{Role: "owner", Resource: "northwind"})
		resend := func(actor audit.Actor) (again store.Invited, err error) {
			err = write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
				again, err = tx.ResendInvitation(ctx, actor, made.ID, letters)
				return err
			})
			return again, err
		}
		// Whoever could read the letter could be an owner.
		if _, err := resend(asUser(bob)); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("sent again by who could not give it: %v", err)
		}
		clock.Advance(10 * 24 * time.Hour)
		again, err := resend(operator)
		must(t, err)
		token := tokenOf(t, db, again.Letter.Delivery)
		for _, step := range []struct {
			pass  time.Duration
			opens bool
		}{{13 * 24 * time.Hour, true}, {2 * 24 * time.Hour, false}} {
			clock.Advance(step.pass)
			err := write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.OpenInvitation(ctx, seal.Fingerprint(token), operator)
				return err
			})
			if (err == nil) != step.opens {
				t.Errorf("%s later: %v", step.pass, err)
			}
		}
	})
}

// Who is invited has no seat yet, and is counted all the same: a list must not promise more than there are.
func TestInvite_CountsWhoIsInvitedAlready(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		person(t, db, "northwind", "dana")
		settings(t, db, func(o *store.DeclaredOrganization) { o.SeatLimit = 2 })
		inviteOne(t, db, "first@northwind.example")
		must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			v, err := tx.CheckInvitations(t.Context(), operator, []invitation.Row{{Email: "second@northwind.example"}})
			if err == nil && v[0].Code != invitation.CodeNoSeatNow {
				t.Errorf("got the verdict %q", v[0].Code)
			}
			return err
		}))
	})
}

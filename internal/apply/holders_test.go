package apply_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const mapped = `
version: 1
permissions: [{id: a.read}]
roles:
  - {id: owner, name: Owner, permissions: [a.read], may_grant: ["*"], protected: true}
  - {id: auditor, name: Auditor}
  - {id: clerk, name: Clerk}
organizations:
  - id: o
    name: Oak
    group_roles: [{group: "Owners", role: owner}]
    connections:
      - {id: corp, protocol: oidc, issuer: "https://idp.example", client_id: v, groups_claim: groups}
`

// arrive signs a new user of Oak in, who claims a group.
func arrive(t *testing.T, db *store.DB, group string) (user id.User) {
	t.Helper()
	ctx := context.Background()
	err := db.Write(ctx, "o", func(tx *store.Tx) error {
		actor := audit.Actor{Kind: audit.ActorConnection, ID: "corp", Organization: "o", Door: audit.SignIn}
		u, err := tx.CreateJustInTime(ctx, store.NewUser{Email: "olga@oak.example", DisplayName: "Olga"}, actor)
		if err != nil {
			return err
		}
		user = u.ID
		c, err := tx.SignInConnection(ctx, "corp")
		if err != nil {
			return err
		}
		return tx.ClaimGroups(ctx, actor, c.Connection, user, []string{group})
	})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

// A file is a door too: what it no longer declares must not leave an organization without an owner.
func TestRun_TheLastHolderIsKept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		full := file(t, "full.yaml", mapped)
		mustRun(t, db, apply.Options{}, getenv(), full)
		arrive(t, db, "Owners")
		without := file(t, "without.yaml", strings.Replace(mapped, `[{group: "Owners", role: owner}]`, "[]", 1))
		_, err := run(db, apply.Options{Prune: true}, getenv(), without)
		f := fault.As(err)
		if f == nil || f.Kind != fault.Conflict || f.Code != access.CodeLast || !strings.Contains(f.Message, "Make someone else Owner of Oak first") {
			t.Fatalf("the mapping of the last owner was removed: %v", err)
		}
		if d, _ := state(t, db); len(d.GroupRoles) != 1 {
			t.Errorf("refused, and written all the same: %+v", d.GroupRoles)
		}
		// A role that is protected no longer has no last holder.
		open := file(t, "open.yaml", strings.NewReplacer(`[{group: "Owners", role: owner}]`, "[]", ", protected: true", "").Replace(mapped))
		mustRun(t, db, apply.Options{Prune: true}, getenv(), open)
	})
}

// A directory that gave the only owner may not lose the right to: a leaver is let go, a file is asked to think again.
func TestRun_TheLastHolderByADirectoryIsKept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		accepting := strings.Replace(mapped, `    connections:`, `    directories:
      - {id: hr, name: HR, dialect: rfc, roles: {accept: [owner]}}
    connections:`, 1)
		mustRun(t, db, apply.Options{}, getenv(), file(t, "full.yaml", accepting))
		user := arrive(t, db, "Others")
		if err := db.Write(t.Context(), "o", func(tx *store.Tx) error {
			_, err := tx.Give(t.Context(), audit.Actor{Kind: audit.ActorOperator, ID: "hr", Door: audit.CLI}, store.Grant{
				User: user, Role: "owner", Resource: "o", Source: access.SCIM,
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		_, err := run(db, apply.Options{}, getenv(), file(t, "narrow.yaml", strings.Replace(accepting, "accept: [owner]", "accept: [clerk]", 1)))
		if f := fault.As(err); f == nil || f.Code != access.CodeLast {
			t.Fatalf("the only owner lost the role: %v", err)
		}
	})
}

// Roles that exclude each other from now on are parked where somebody holds both, and stand in the list.
func TestRun_RolesThatExcludeFromNowOnAreListed(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		mustRun(t, db, apply.Options{}, getenv(), file(t, "full.yaml", mapped))
		olga := arrive(t, db, "Owners")
		operator := audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Operator", Door: audit.API}
		if err := db.Write(ctx, "o", func(tx *store.Tx) error {
			for _, r := range []id.Role{"auditor", "clerk"} {
				if _, err := tx.Give(ctx, operator, store.Grant{User: olga, Role: r}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		listed := func() (n int) {
			t.Helper()
			if err := db.Read(ctx, "o", func(tx *store.Tx) error {
				all, err := tx.Conflicts(ctx, store.ConflictExclusive)
				n = len(all)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		excluding := strings.Replace(mapped, "organizations:", "exclusive_roles: [[auditor, clerk]]\norganizations:", 1)
		mustRun(t, db, apply.Options{}, getenv(), file(t, "excluding.yaml", excluding))
		if listed() != 1 {
			t.Errorf("%d listed, want 1", listed())
		}
		mustRun(t, db, apply.Options{Prune: true}, getenv(), file(t, "full.yaml", mapped))
		if listed() != 0 {
			t.Errorf("%d listed though nothing excludes, want 0", listed())
		}
	})
}

// Grants that people gave go with the role or the resource they name, and each says so in its person's own log.
func TestRun_PruneSaysWhichGrantsGo(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		sited := strings.Replace(mapped, "    group_roles:", "    resources: [{id: s, type: site, name: S}]\n    group_roles:", 1)
		mustRun(t, db, apply.Options{}, getenv(), file(t, "sited.yaml", sited))
		olga := arrive(t, db, "Owners")
		operator := audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Operator", Door: audit.API}
		if err := db.Write(ctx, "o", func(tx *store.Tx) error {
			for _, g := range []store.Grant{{User: olga, Role: "clerk"}, {User: olga, Role: "auditor", Resource: "s"}} {
				if _, err := tx.Give(ctx, operator, g); err != nil {
					return err
				}
			}
			_, err := tx.Map(ctx, operator, store.Mapping{GroupName: "Clerks", Role: "clerk"})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		smaller := strings.Replace(mapped, "  - {id: clerk, name: Clerk}\n", "", 1)
		mustRun(t, db, apply.Options{Prune: true}, getenv(), file(t, "smaller.yaml", smaller))
		var said []string
		if err := db.Read(ctx, "o", func(tx *store.Tx) error {
			events, err := tx.Events(ctx, store.AuditFilter{Limit: 500})
			for _, e := range events {
				if e.Action == "grant.revoked" && e.User == olga || e.Action == "mapping.deleted" {
					said = append(said, e.Action+" "+e.TargetName+": "+e.Reason)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(said)
		if diff := cmp.Diff(said, []string{
			"grant.revoked Auditor at S: its resource is removed", "grant.revoked Clerk at Oak: its role is removed",
			"mapping.deleted Clerks: Clerk at Oak: its role is removed",
		}); diff != "" {
			t.Error(diff)
		}
	})
}

package apply_test

import (
	"context"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// withCustomRoles is the contract's file with roles of northwind's own.
func withCustomRoles(t *testing.T, lines string, more ...string) string {
	t.Helper()
	return edited(t, append([]string{"    require_mfa: false\n    enforce_sso", "    custom_roles:\n" + lines + "    require_mfa: false\n    enforce_sso"}, more...)...)
}

func TestRun_CustomRolesOfAnOrganization(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, operator := context.Background(), audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Operator"}
		file := withCustomRoles(t, "      - {id: night-watch, name: Night watch, permissions: [assets.update], includes: [task-manager]}\n"+
			"      - {id: custom:lead, name: Lead, includes: [custom:night-watch], may_grant: [custom:night-watch]}\n",
			"default_roles: [viewer]", "default_roles: [viewer, custom:night-watch]")
		out := mustRun(t, db, apply.Options{}, getenv(), file)
		if !strings.Contains(out, "+ custom role northwind/custom:night-watch") || !strings.Contains(out, "+ custom role northwind/custom:lead") {
			t.Errorf("the plan says: %s", out)
		}
		if again := mustRun(t, db, apply.Options{}, getenv(), file); !strings.Contains(again, "nothing to change") {
			t.Errorf("the second time changes: %s", again)
		}
		catalogue := func() (c *access.Catalogue) {
			if err := db.Read(ctx, "northwind", func(tx *store.Tx) (err error) {
				c, err = tx.Catalogue(ctx)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return c
		}
		if c := catalogue(); !c.MayGrant("custom:lead", "custom:night-watch") || !c.Carries("custom:lead", "task-manager") {
			t.Error("the roles of the file are not in force")
		}
		// What the file says is changed there.
		err := db.Write(ctx, "northwind", func(tx *store.Tx) error {
			_, err := tx.ChangeRole(ctx, operator, access.Role{ID: "custom:lead", Name: "Leader", Includes: []id.Role{"viewer"}}, 0)
			return err
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("got %v, want it refused", err)
		}
		// What was made by hand stays whatever is pruned; what the file no longer makes goes, out of everything.
		if err := db.Write(ctx, "northwind", func(tx *store.Tx) error {
			if _, err := tx.MakeRole(ctx, operator, access.Role{
				ID: "custom:mine", Name: "Mine", Includes: []id.Role{"custom:lead", "viewer"},
			}); err != nil {
				return err
			}
			_, err := tx.Map(ctx, operator, store.Mapping{GroupName: "Leads", Role: "custom:lead"})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		file = withCustomRoles(t, "      - {id: night-watch, name: Night watch, permissions: [assets.update, assets.delete]}\n")
		out = mustRun(t, db, apply.Options{Prune: true}, getenv(), file)
		if !strings.Contains(out, "- custom role northwind/custom:lead") || strings.Contains(out, "custom:mine") {
			t.Errorf("the plan says: %s", out)
		}
		c := catalogue()
		if _, still := c.Role("custom:lead"); still || c.Carries("custom:mine", "custom:night-watch") || !c.Carries("custom:mine", "viewer") {
			t.Errorf("after the prune: %+v", c.Customs())
		}
		if err := db.Read(ctx, "northwind", func(tx *store.Tx) error {
			mapped, err := tx.Mappings(ctx)
			for _, m := range mapped {
				if m.Role == "custom:lead" {
					t.Error("a mapping of the role is still there")
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRun_CustomRolesThatDoNotHoldTogetherAreRefusedWhereTheyStand(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	wrong := func(file string) string {
		t.Helper()
		_, err := run(db, apply.Options{}, getenv(), file)
		if err == nil {
			return "no refusal"
		}
		return err.Error()
	}
	for what, c := range map[string]struct{ lines, want string }{
		"an unknown permission": {"      - {id: n, permissions: [assets.fly]}\n", "custom_roles[0].permissions[0]"},
		"an unknown role":       {"      - {id: n, includes: [pilot]}\n", "custom_roles[0].includes[0]"},
		"exclusive roles":       {"      - {id: n, includes: [auditor, billing-clerk]}\n", "custom_roles[0].includes"},
		"a cycle": {
			"      - {id: a, includes: [custom:b]}\n      - {id: b, includes: [custom:a]}\n", "include itself",
		},
		"an id of another form": {"      - {id: Night_Watch, permissions: [assets.read]}\n", "custom_roles[0].id"},
		"a built-in's name":     {"      - {id: n, name: Owner, permissions: [assets.read]}\n", "custom_roles[0].name"},
		"protected":             {"      - {id: n, permissions: [assets.read], protected: true}\n", "protected"},
	} {
		if got := wrong(withCustomRoles(t, c.lines)); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want it to say %s", what, got, c.want)
		}
	}
	for what, file := range map[string]string{
		"a default role that nobody makes": edited(t, "default_roles: [viewer]", "default_roles: [custom:none]"),
		"one of another organization":      withCustomRoles(t, "      - {id: n, permissions: [assets.read]}\n", "default_provider_roles: [asset-editor]", "default_provider_roles: [custom:n]"),
		"a built-in with such an id":       edited(t, "  - id: billing-clerk\n", "  - id: custom:clerk\n"),
	} {
		if got := wrong(file); !strings.Contains(got, "custom:") {
			t.Errorf("%s: got %s", what, got)
		}
	}
}

// Roles that are granted go in one run, also where another that stays included one of them: what is half changed decides nothing.
func TestRun_GrantedRolesGoTogether(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, operator := context.Background(), audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Operator"}
		const last = "  - id: billing-clerk\n"
		mustRun(t, db, apply.Options{}, getenv(), edited(t, last, "  - {id: first, name: First, permissions: [assets.read]}\n"+
			"  - {id: kept, name: Kept, includes: [first, second], permissions: [audit.read]}\n"+
			"  - {id: second, name: Second, permissions: [audit.read]}\n"+last))
		if err := db.Write(ctx, "northwind", func(tx *store.Tx) error {
			for _, r := range []id.Role{"first", "second", "kept"} {
				if _, err := tx.Map(ctx, operator, store.Mapping{GroupName: "Leads", Role: r}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		mustRun(t, db, apply.Options{Prune: true}, getenv(), edited(t, last, "  - {id: kept, name: Kept, permissions: [audit.read]}\n"+last))
		if err := db.Read(ctx, "northwind", func(tx *store.Tx) error {
			mapped, err := tx.Mappings(ctx)
			for _, m := range mapped {
				if m.Role == "first" || m.Role == "second" {
					t.Errorf("%s is mapped still", m.Role)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

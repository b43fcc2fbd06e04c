package store_test

import (
	"context"
	"testing"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// What a walk up or down the groups costs beside 100,000 memberships of others: nothing, as long as the planner goes along
// the walk and does not read them all for each of its steps.
func BenchmarkMembership(b *testing.B) {
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			db := storetest.Open(b, kind)
			ctx := context.Background()
			if err := db.System().Write(ctx, func(tx *store.SystemTx) error {
				tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			write := func(sql string) {
				b.Helper()
				if err := db.Write(ctx, "northwind", func(tx *store.Tx) error {
					_, err := tx.Exec(ctx, sql)
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
			const numbers = `with recursive n (i) as (select 1 union all select i + 1 from n where i < 100000) `
			write(numbers + `insert into users (organization, id, status, seated, user_name, user_name_key, email_verified, display_name,
				kept_without_directory, custom_access, created, updated, logins)
				select 'northwind', 'usr_' || i, 'active', true, 'u' || i, 'u' || i, false, 'U', false, false, 1, 1, 0 from n`)
			write(numbers + `insert into groups (organization, id, display_name, display_name_key, document, folded, version, created, modified)
				select 'northwind', 'grp_' || i, 'g' || i, 'g' || i, '{}', '{}', 1, 1, 1 from n where i <= 1000`)
			write(numbers + `insert into group_members (organization, group_id, member_id, kind, source, added)
				select 'northwind', 'grp_' || (1 + i % 1000), 'usr_' || i, 'user', 'hand', 1 from n`)
			write(`insert into group_members (organization, group_id, member_id, kind, source, added)
				values ('northwind', 'grp_1', 'grp_8', 'group', 'hand', 1), ('northwind', 'grp_2', 'grp_1', 'group', 'hand', 1)`)
			read := func(f func(tx *store.Tx) error) func(b *testing.B) {
				return func(b *testing.B) {
					for b.Loop() {
						if err := db.Read(ctx, "northwind", f); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.Run("access", read(func(tx *store.Tx) error {
				_, err := tx.AccessFacts(ctx, id.User("usr_7"))
				return err
			}))
			b.Run("members", read(func(tx *store.Tx) error {
				_, err := tx.Members(ctx, "grp_2")
				return err
			}))
			b.Run("roles", read(func(tx *store.Tx) error {
				_, err := tx.RolesOfGroup(ctx, "grp_8")
				return err
			}))
		})
	}
}

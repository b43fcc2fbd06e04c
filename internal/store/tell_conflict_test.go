package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// A conflict is told once, to those who manage users; of a flood the first are.
func TestConflict_IsToldOnceAndAFloodIsCutShort(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		db.Public = "https://id.example"
		world(t, db)
		admin := person(t, db, "northwind", "admin@x.example")
		_, err := given(t, db, operator, store.Grant{User: admin, Role: "user-admin", Resource: "northwind"})
		must(t, err)
		group(t, db, "g1", "Auditors", "entra")
		group(t, db, "g2", "Clerks", "entra")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Map(ctx, operator, store.Mapping{GroupName: "Auditors", Role: "auditor"}); err != nil {
				return err
			}
			_, err := tx.Map(ctx, operator, store.Mapping{GroupName: "Clerks", Role: "billing-clerk", Resource: "emea"})
			return err
		}))
		letters := func() (n int, last string) {
			t.Helper()
			due, err := db.LeaseDeliveries(t.Context(), 100, time.Hour)
			must(t, err)
			for _, d := range due {
				if d.Kind != outbox.Mail {
					continue
				}
				m, err := db.Letter(d)
				must(t, err)
				if m.Template == mail.Conflict && m.To.Email == "admin@x.example" {
					n, last = n+1, m.Text
				}
			}
			return n, last
		}
		letters()
		join := func(users ...id.User) {
			t.Helper()
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				for _, u := range users {
					for _, g := range []string{"g1", "g2"} {
						if _, err := tx.Exec(ctx, `
							insert into group_members (organization, group_id, member_id, kind, source, added)
							values ($1, $2, $3, 'user', 'scim', 1)
							on conflict do nothing`, tx.Organization, g, string(u)); err != nil {
							return err
						}
					}
				}
				return tx.NoteParked(ctx, "g2", users...)
			}))
		}
		dana := person(t, db, "northwind", "dana")
		join(dana)
		if n, last := letters(); n != 1 || !strings.Contains(last, "id.example/o/northwind/conflicts") {
			t.Errorf("%d letters about a conflict: %s", n, last)
		}
		join(dana)
		if n, _ := letters(); n != 0 {
			t.Errorf("%d letters about a conflict that was told", n)
		}
		many := make([]id.User, 30)
		for i := range many {
			many[i] = person(t, db, "northwind", "p"+string(rune('a'+i)))
		}
		join(many...)
		if n, _ := letters(); n != 19 {
			t.Errorf("%d letters about 30 further conflicts of the day, want 19", n)
		}
	})
}

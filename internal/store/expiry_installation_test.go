package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// Operators are told of each API token once on each of the days ahead, and once when it is over, whatever the number of looks.
func TestTellInstallation_EachStepOnce(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		ctx := t.Context()
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		db.Public = "https://id.example"
		op := audit.Actor{Kind: audit.ActorOperator, ID: "op"}
		write := func(fn func(tx *store.SystemTx) error) {
			t.Helper()
			if err := db.System().Write(ctx, fn); err != nil {
				t.Fatal(err)
			}
		}
		write(func(tx *store.SystemTx) error {
			token, err := tx.CreateOperatorLink(ctx)
			if err != nil {
				return err
			}
			if _, err := tx.ClaimOperatorLink(ctx, token, store.NewOperator{Email: "opal@operator.example", Name: "Opal", Password: "x"}, op); err != nil {
				return err
			}
			_, _, err = tx.CreateAPIToken(ctx, op, "terraform", clock.Now().AddDate(0, 0, 100))
			return err
		})
		letters := func() (n int) {
			t.Helper()
			write(func(tx *store.SystemTx) error {
				list, _, err := tx.Letters(ctx, "opal@", "", 50)
				n = len(list)
				return err
			})
			return n
		}
		look := func() {
			t.Helper()
			for range 2 {
				if err := db.TellInstallation(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		began := clock.Now()
		for _, c := range []struct{ day, letters int }{{1, 0}, {39, 0}, {41, 1}, {69, 1}, {71, 2}, {87, 3}, {94, 4}, {99, 5}, {100, 5}, {101, 6}, {140, 6}} {
			clock.Advance(began.AddDate(0, 0, c.day).Add(time.Hour).Sub(clock.Now()))
			look()
			want := c.letters
			if c.day == 100 {
				want = 6 // an hour after its end
			}
			if got := letters(); got != want {
				t.Errorf("day %d: %d letters, want %d", c.day, got, want)
			}
		}
		write(func(tx *store.SystemTx) error {
			list, _, err := tx.Letters(ctx, "opal@", "", 50)
			if err != nil {
				return err
			}
			m, err := db.Letter(list[len(list)-1])
			if err == nil && (!strings.Contains(m.Text, "The API token terraform") || !strings.Contains(m.Text, "you run this installation") ||
				!strings.Contains(m.Text, "https://id.example/operator/calendar")) {
				t.Errorf("the letter says: %s", m.Text)
			}
			return err
		})
	})
}

package store_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func post(t *testing.T, db *store.DB, o id.Organization, list ...outbox.Delivery) {
	t.Helper()
	err := db.Write(t.Context(), o, func(tx *store.Tx) error {
		for _, d := range list {
			tx.Post(t.Context(), d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, db *store.DB) []outbox.Delivery {
	t.Helper()
	out, err := db.LeaseDeliveries(t.Context(), 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func deliveries(t *testing.T, db *store.DB, o id.Organization) []outbox.Delivery {
	t.Helper()
	var out []outbox.Delivery
	err := db.Read(t.Context(), o, func(tx *store.Tx) (err error) {
		out, err = tx.Deliveries(t.Context(), "", "", 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOutbox_DeliveryIsTakenOnceUntilItsLeaseEnds(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		post(t, db, "northwind", outbox.Delivery{Kind: outbox.Webhook, Destination: "app", Payload: json.RawMessage(`{"a": 1}`)})
		select {
		case <-db.Posted():
		default:
			t.Error("the job was not told")
		}
		first := take(t, db)
		want := outbox.Delivery{
			Organization: "northwind", Kind: outbox.Webhook, Destination: "app", Payload: json.RawMessage(`{"a": 1}`),
			Created: clock.Now().UnixMicro(), NextAt: clock.Now().UnixMicro(), Attempts: 1,
			LeasedUntil: clock.Now().Add(time.Minute).UnixMicro(),
		}
		if len(first) != 1 {
			t.Fatalf("got %d deliveries, want one", len(first))
		}
		want.ID = first[0].ID
		if diff := cmp.Diff(want, first[0]); diff != "" {
			t.Error(diff)
		}
		if got := take(t, db); len(got) != 0 {
			t.Errorf("got it again while it is leased")
		}
		clock.Advance(time.Minute)
		second := take(t, db)
		if len(second) != 1 || second[0].Attempts != 2 {
			t.Fatalf("got %v after the lease, want the second attempt", second)
		}
		// The first worker comes back late: the row is no longer its own.
		if err := db.Undelivered(t.Context(), first[0], "late", time.Time{}); err != nil {
			t.Error(err)
		}
		if err := db.Delivered(t.Context(), second[0], json.RawMessage(`{"status": 200}`)); err != nil {
			t.Error(err)
		}
		if err := db.Undelivered(t.Context(), second[0], "late", clock.Now()); err != nil {
			t.Error(err)
		}
		clock.Advance(time.Hour)
		if got := take(t, db); len(got) != 0 {
			t.Errorf("got %v, though it was delivered", got)
		}
		got := deliveries(t, db, "northwind")
		if len(got) != 1 || got[0].Delivered == 0 || got[0].Failed != 0 || string(got[0].Receipt) != `{"status": 200}` || got[0].LastError != "" {
			t.Errorf("got %+v, want it delivered with its receipt", got)
		}
		if got := deliveries(t, db, "eastwind"); len(got) != 0 {
			t.Errorf("another organization sees %v", got)
		}
	})
}

func TestOutbox_GivenUpIsAnEventAndCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		post(t, db, "northwind", outbox.Delivery{Kind: outbox.Webhook, Destination: "hooks.northwind.example", Payload: json.RawMessage(`{"webhook":"w","body":{"type":"webhook.test"}}`)})
		d := take(t, db)[0]
		if err := db.Undelivered(t.Context(), d, "busy", clock.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got := take(t, db); len(got) != 0 {
			t.Errorf("got it before its time")
		}
		clock.Advance(time.Minute)
		d = take(t, db)[0]
		if err := db.Undelivered(t.Context(), d, "nobody wants it", time.Time{}); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Hour)
		if got := take(t, db); len(got) != 0 {
			t.Errorf("got it though it was given up")
		}
		failed := events(t, db, "northwind", store.AuditFilter{Action: "delivery.failed"})
		if len(failed) != 1 || failed[0].Reason != "nobody wants it" || failed[0].TargetName != "webhook to hooks.northwind.example" ||
			failed[0].Outcome != audit.Refused {
			t.Errorf("got %+v, want one event that says why", failed)
		}
		again := func(o id.Organization) error {
			return db.Write(t.Context(), o, func(tx *store.Tx) error {
				return tx.Redeliver(t.Context(), audit.Actor{Kind: audit.ActorOperator, ID: "op"}, "w", d.ID)
			})
		}
		if err := again("eastwind"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("another organization: got %v, want it not found", err)
		}
		if err := again("northwind"); err != nil {
			t.Error(err)
		}
		if got := take(t, db); len(got) != 1 || got[0].Attempts != 1 {
			t.Errorf("got %v, want it due with all its tries", got)
		}
	})
}

func TestOutbox_NodesShareWhatIsDue(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.URL(t, kind)
		nodes := []*store.DB{storetest.OpenURL(t, url), storetest.OpenURL(t, url)}
		list := make([]outbox.Delivery, 60)
		for i := range list {
			list[i] = outbox.Delivery{Kind: outbox.Webhook, Payload: json.RawMessage(`{}`)}
		}
		post(t, nodes[0], "northwind", list...)
		var mu sync.Mutex
		seen := map[id.Delivery]int{}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for {
					got, err := nodes[i%2].LeaseDeliveries(t.Context(), 7, time.Hour)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					for _, d := range got {
						seen[d.ID]++
					}
					enough := len(seen) == len(list)
					mu.Unlock()
					if err != nil || enough {
						return
					}
				}
			})
		}
		wg.Wait()
		for d, n := range seen {
			if n != 1 {
				t.Errorf("%s was taken %d times", d, n)
			}
		}
	})
}

func TestHit_CountsInItsWindowOnAllNodes(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		url := storetest.URL(t, kind)
		nodes := []*store.DB{
			storetest.OpenURL(t, url, storetest.WithClock(clock)), storetest.OpenURL(t, url, storetest.WithClock(clock)),
		}
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := nodes[i%2].Hit(t.Context(), "sign-in/192.0.2.1", time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		hits := func(name string) int64 {
			t.Helper()
			n, err := nodes[1].Hits(t.Context(), name, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if got := hits("sign-in/192.0.2.1"); got != 20 {
			t.Errorf("got %d, want 20", got)
		}
		if got := hits("sign-in/192.0.2.2"); got != 0 {
			t.Errorf("got %d for another name, want 0", got)
		}
		if n, err := nodes[0].Hit(t.Context(), "sign-in/192.0.2.1", time.Minute); n != 21 || err != nil {
			t.Errorf("got %d, %v, want 21", n, err)
		}
		clock.Advance(time.Minute)
		if got := hits("sign-in/192.0.2.1"); got != 0 {
			t.Errorf("got %d in the next window, want 0", got)
		}
		if n, err := nodes[0].Hit(t.Context(), "sign-in/192.0.2.1", time.Minute); n != 1 || err != nil {
			t.Errorf("got %d, %v, want 1", n, err)
		}
		if err := nodes[0].Forget(t.Context(), "sign-in/192.0.2.1"); err != nil {
			t.Error(err)
		}
		if got := hits("sign-in/192.0.2.1"); got != 0 {
			t.Errorf("got %d after it was forgotten, want 0", got)
		}
	})
}

func TestCleanup_TakesWhatIsOverAndNothingElse(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		organization(t, db, "northwind")
		now := clock.Now()
		ago := func(d time.Duration) int64 { return now.Add(-d).UnixMicro() }
		const day = 24 * time.Hour
		err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.Queue(`
				insert into users (organization, id, status, seated, user_name, user_name_key, email_verified, display_name,
					kept_without_directory, custom_access, created, updated, logins)
				values ('northwind', 'u', 'active', true, 'ada', 'ada', false, 'Ada', false, false, 1, 1, 0)`)
			for _, row := range []struct {
				name string
				age  time.Duration
			}{{"live", -time.Hour}, {"recent", time.Hour}, {"over", 31 * day}} {
				name, at := row.name, ago(row.age)
				tx.Queue(`insert into attempts (id, browser_hash, request, purpose, created, expires) values ($1, '', '{}', '', 1, $2)`, name, at)
				tx.Queue(`insert into operator_links (hash, created, expires) values ($1, 1, $2)`, name, at)
				tx.Queue(`
					insert into sessions (organization, id, hash, user_id, created, last_seen, expires, idle_seconds, ip, user_agent, auth_time)
					values ('northwind', $1, $1, 'u', 1, 1, $2, 1, '', '', 1)`, name, at)
				tx.Queue(`
					insert into families (organization, id, user_id, application, session_id, scope, auth_time, created, expires)
					values ('northwind', $1, 'u', 'app', 's', '', 1, 1, $2)`, name, at)
				tx.Queue(`insert into refresh_tokens (organization, hash, family, created, expires) values ('northwind', $1, $1, 1, 1)`, name)
				tx.Queue(`
					insert into codes (organization, hash, family, application, redirect_uri, challenge, created, expires)
					values ('northwind', $1, 'live', 'app', '', '', 1, $2)`, name, at)
				tx.Queue(`
					insert into access_tokens (organization, hash, family, scope, created, expires)
					values ('northwind', $1, 'live', '', 1, $2)`, name, at)
				tx.Queue(`
					insert into outbox (id, organization, kind, destination, payload, created, next_at, attempts, delivered)
					values ($1, 'northwind', 'mail', '', '{}', 1, 1, 1, $2)`, name, at-int64(60*day/time.Microsecond))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Hit(t.Context(), "old", time.Minute); err != nil {
			t.Fatal(err)
		}
		clock.Advance(2 * time.Minute)
		if _, err := db.Hit(t.Context(), "new", time.Hour); err != nil {
			t.Fatal(err)
		}
		n, err := db.Cleanup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n != 8 {
			t.Errorf("%d rows gone, want one of each of eight tables", n)
		}
		err = db.System().Read(t.Context(), func(tx *store.SystemTx) error {
			for table, want := range map[string]int{
				"attempts": 2, "operator_links": 2, "sessions": 2, "families": 2, "refresh_tokens": 2, "codes": 2,
				"access_tokens": 2, "outbox": 2, "counters": 1, "users": 1,
			} {
				var got int
				if err := tx.Row(t.Context(), "select count(*) from "+table).Scan(&got); err != nil {
					return err
				}
				if got != want {
					t.Errorf("%s: %d rows are left, want %d", table, got, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if n, err := db.Cleanup(t.Context()); n != 0 || err != nil {
			t.Errorf("a second time: got %d, %v, want nothing more", n, err)
		}
	})
}

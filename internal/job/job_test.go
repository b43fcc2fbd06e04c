package job

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func post(t *testing.T, db *store.DB, kinds ...outbox.Kind) {
	t.Helper()
	err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
		for _, k := range kinds {
			tx.Post(t.Context(), outbox.Delivery{Kind: k, Destination: "there", Payload: json.RawMessage(`{}`)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func deliveries(t *testing.T, db *store.DB) []outbox.Delivery {
	t.Helper()
	var out []outbox.Delivery
	err := db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
		out, err = tx.Deliveries(t.Context(), "", "", 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDeliver_IsTriedAgainUntilItIsTaken(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		w := New(db, slog.New(slog.DiscardHandler))
		tries := 0
		var ids []id.Delivery
		w.Handle(outbox.Webhook, func(_ context.Context, d outbox.Delivery) (json.RawMessage, error) {
			tries++
			ids = append(ids, d.ID)
			switch tries {
			case 1:
				return nil, fault.New(fault.Unavailable, "app.example answered 503.")
			case 2:
				panic("attack")
			case 3:
				return nil, errors.New("a secret of the network")
			default:
				return json.RawMessage(`{"status": 204}`), nil
			}
		})
		post(t, db, outbox.Webhook)
		for i, said := range []string{
			"app.example answered 503.", "It failed for a reason that stands in the log.",
			"It failed for a reason that stands in the log.",
		} {
			if n := w.Deliver(t.Context()); n != 1 {
				t.Fatalf("try %d: got %d tries, want one", i+1, n)
			}
			d := deliveries(t, db)[0]
			if d.LastError != said || d.Delivered != 0 || d.Failed != 0 {
				t.Errorf("try %d: got %+v, want it due again because %q", i+1, d, said)
			}
			if n := w.Deliver(t.Context()); n != 0 {
				t.Errorf("try %d: it did not wait", i+1)
			}
			wait := outbox.Backoff(i + 1)
			if got := time.UnixMicro(d.NextAt).Sub(clock.Now()); got < wait*9/10 || got > wait*11/10 {
				t.Errorf("try %d: waits %v, want about %v", i+1, got, wait)
			}
			clock.Advance(wait * 2)
		}
		w.Deliver(t.Context())
		d := deliveries(t, db)[0]
		if d.Delivered == 0 || string(d.Receipt) != `{"status": 204}` || d.Attempts != 4 {
			t.Errorf("got %+v, want it delivered at the fourth try", d)
		}
		for _, i := range ids {
			if i != d.ID {
				t.Errorf("a try had the id %s, want %s each time: the other side tells repetitions by it", i, d.ID)
			}
		}
	})
}

func TestDeliver_IsGivenUpWhenItIsRefusedOrTriedEnough(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		w := New(db, slog.New(slog.DiscardHandler))
		w.Handle(outbox.Mail, func(context.Context, outbox.Delivery) (json.RawMessage, error) {
			return nil, fault.New(fault.Invalid, "There is no such mailbox.")
		})
		tries := 0
		w.Handle(outbox.Webhook, func(context.Context, outbox.Delivery) (json.RawMessage, error) {
			tries++
			return nil, fault.New(fault.Unavailable, "app.example cannot be reached.")
		})
		post(t, db, outbox.Mail, outbox.Webhook)
		for range 3 * outbox.MaxAttempts {
			w.Deliver(t.Context())
			clock.Advance(5 * time.Hour)
		}
		if tries != outbox.MaxAttempts {
			t.Errorf("tried %d times, want %d", tries, outbox.MaxAttempts)
		}
		for _, d := range deliveries(t, db) {
			want := map[outbox.Kind]string{outbox.Mail: "There is no such mailbox.", outbox.Webhook: "app.example cannot be reached."}[d.Kind]
			if d.Failed == 0 || d.LastError != want {
				t.Errorf("%s: got %+v, want it given up because %q", d.Kind, d, want)
			}
			if d.Kind == outbox.Mail && d.Attempts != 1 {
				t.Errorf("a refused mail was tried %d times", d.Attempts)
			}
		}
	})
}

// A node that was not upgraded yet leaves what it does not know to one that was.
func TestDeliver_UnknownKindIsLeftForAnotherNode(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		post(t, db, outbox.Kind("of-tomorrow"))
		New(db, slog.New(slog.DiscardHandler)).Deliver(t.Context())
		clock.Advance(time.Minute)
		newer := New(db, slog.New(slog.DiscardHandler))
		newer.Handle(outbox.Kind("of-tomorrow"), func(context.Context, outbox.Delivery) (json.RawMessage, error) { return nil, nil })
		newer.Deliver(t.Context())
		if d := deliveries(t, db)[0]; d.Delivered == 0 {
			t.Errorf("got %+v, want it delivered", d)
		}
	})
}

func TestRun_DeliversWhatIsPostedAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := New(db, slog.New(slog.DiscardHandler))
		const n = 50 // more than a batch
		var delivered atomic.Int64
		all := make(chan struct{})
		w.Handle(outbox.Webhook, func(context.Context, outbox.Delivery) (json.RawMessage, error) {
			if delivered.Add(1) == n {
				close(all)
			}
			return nil, nil
		})
		ran := make(chan struct{})
		w.Every("tidy", time.Hour, func(context.Context) error {
			close(ran)
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.Run(ctx) })
		var kinds []outbox.Kind
		for range n {
			kinds = append(kinds, outbox.Webhook)
		}
		post(t, db, kinds...)
		for what, done := range map[string]chan struct{}{"every delivery": all, "the periodic work": ran} {
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Errorf("waited in vain for %s", what)
			}
		}
		cancel()
		wg.Wait()
		for _, d := range deliveries(t, db) {
			if d.Delivered == 0 {
				t.Errorf("%s was carried out and not noted", d.ID)
			}
		}
	})
}

func TestOnce_RunsOnOneNodeInEachInterval(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		url := storetest.URL(t, kind)
		var runs atomic.Int64
		var nodes []*Worker
		for range 3 {
			w := New(storetest.OpenURL(t, url, storetest.WithClock(clock)), slog.New(slog.DiscardHandler))
			w.Every("tidy", time.Hour, func(context.Context) error {
				runs.Add(1)
				panic("attack") // which is the work's own matter
			})
			nodes = append(nodes, w)
		}
		for interval := range 3 {
			failed := 0
			for _, w := range nodes {
				if err := w.Once(t.Context(), "tidy"); err != nil {
					failed++
				}
			}
			if got := runs.Load(); got != int64(interval+1) || failed != 1 {
				t.Errorf("ran %d times by interval %d with %d failures, want once in each", got, interval+1, failed)
			}
			clock.Advance(time.Hour)
		}
		if err := nodes[0].Once(t.Context(), "unheard of"); err == nil {
			t.Error("unknown work was run")
		}
	})
}

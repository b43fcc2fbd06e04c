package job_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/job"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// hanging is a webhook's receiver that takes a request and says nothing until it is released.
type hanging struct {
	*httptest.Server
	release   func()
	held      <-chan string // the ids of the requests it holds
	mu        sync.Mutex
	now, most int
	answered  map[string]int
}

// newHanging makes a receiver that holds the first n requests, and answers those after them at once.
func newHanging(t *testing.T, n int) *hanging {
	t.Helper()
	held, released := make(chan string, n), make(chan struct{})
	h := &hanging{held: held, answered: map[string]int{}, release: sync.OnceFunc(func() { close(released) })}
	came := 0
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		came++
		hold := came <= n
		h.now++
		h.most = max(h.most, h.now)
		h.mu.Unlock()
		if hold {
			held <- r.Header.Get("Webhook-Id")
			<-released
		}
		h.mu.Lock()
		h.now--
		h.answered[r.Header.Get("Webhook-Id")]++
		h.mu.Unlock()
	}))
	t.Cleanup(func() { h.release(); h.Close() })
	return h
}

func (h *hanging) taken() (most int, answered map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]int{}
	for k, n := range h.answered {
		out[k] = n
	}
	return h.most, out
}

// hook makes an organization with one webhook, and posts that many pieces of news for it.
func hook(t *testing.T, db *store.DB, organization id.Organization, address string, news int) {
	t.Helper()
	err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: organization, Name: string(organization)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), organization, func(tx *store.Tx) error {
		_, err := tx.MakeWebhook(t.Context(), audit.Actor{Kind: audit.ActorOperator, ID: "op"}, address,
			[]notification.Kind{notification.Directories}, hookSecret)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), organization, func(tx *store.Tx) error {
		for range news {
			if _, err := tx.Notify(t.Context(), notification.Directories, mail.Letter{Template: mail.DirectorySilent, Data: map[string]any{
				"Directory": "Entra", "Since": "yesterday",
			}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func webhookReceipts(t *testing.T, db *store.DB, organization id.Organization) (list []outbox.Delivery) {
	t.Helper()
	err := db.Read(t.Context(), organization, func(tx *store.Tx) (err error) {
		list, err = tx.Deliveries(t.Context(), outbox.Webhook, "", 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// soon waits for something that a worker does by itself.
func soon[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// run starts a worker; stop ends it and waits until it is through.
func run(t *testing.T, w *job.Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		w.Run(ctx)
		close(over)
	}()
	t.Cleanup(cancel)
	return func() {
		t.Helper()
		cancel()
		soon(t, "the worker's end", over)
	}
}

// One organization's program takes connections and never answers, with more news for it than the node has places. Everybody
// else's deliveries, and whatever a person waits for, go out while it hangs.
func TestRun_AHangingReceiverHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		const news = 150
		db := storetest.Open(t, kind)
		slow := newHanging(t, news)
		quick := make(chan string, 1)
		other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { quick <- r.Header.Get("Webhook-Id") }))
		t.Cleanup(other.Close)
		hook(t, db, "northwind", slow.URL, news) // the longest due
		hook(t, db, "eastwind", other.URL, 1)
		w := job.New(db, slog.New(slog.NewTextHandler(t.Output(), nil)))
		w.Handle(outbox.Webhook, job.Webhooks(db, http.DefaultClient))
		people := []outbox.Kind{outbox.SMS, outbox.Mail, outbox.BackChannelLogout}
		out := map[outbox.Kind]chan struct{}{}
		for _, k := range people {
			out[k] = make(chan struct{})
			w.Handle(k, func(context.Context, outbox.Delivery) (json.RawMessage, error) {
				close(out[k])
				return nil, nil
			})
		}
		stop := run(t, w)
		first, second := soon(t, "the first piece of news", slow.held), soon(t, "the second piece of news", slow.held)
		soon(t, "another organization's webhook", quick)
		// What is posted while it hangs does not wait either, not even for the same organization.
		if err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			for _, k := range people {
				tx.Post(t.Context(), outbox.Delivery{Kind: k, Destination: "there", Payload: json.RawMessage(`{}`)})
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, k := range people {
			soon(t, "the delivery of the kind "+string(k), out[k])
		}
		if most, answered := slow.taken(); most != 2 || len(answered) != 0 {
			t.Errorf("it held %d at once and answered %d, want two held: the test shows nothing otherwise", most, len(answered))
		}
		// Only what began counts as tried; the others' leases and tries are not spent while they wait.
		tried := map[string]bool{}
		for _, d := range webhookReceipts(t, db, "northwind") {
			if d.Attempts > 0 {
				tried[string(d.ID)] = true
			}
		}
		if len(tried) != 2 || !tried[first] || !tried[second] {
			t.Errorf("tried %v, want what is held: %s, %s", tried, first, second)
		}
		slow.release()
		stop()
		// A node that stops finishes what it has begun, and notes it.
		for _, d := range webhookReceipts(t, db, "northwind") {
			if (string(d.ID) == first || string(d.ID) == second) && d.Delivered == 0 {
				t.Errorf("%s was carried out and not noted", d.ID)
			}
		}
	})
}

// A place that becomes free is filled at once, whoever else is still under way: not batch by batch.
func TestRun_RefillsEachPlaceAsItBecomesFree(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		const news = 100 // more than a look takes in
		db := storetest.Open(t, kind)
		slow := newHanging(t, 1)
		hook(t, db, "northwind", slow.URL, news)
		noted := make(chan struct{}, news)
		w := job.New(db, slog.New(slog.NewTextHandler(t.Output(), nil)))
		send := job.Webhooks(db, http.DefaultClient)
		w.Handle(outbox.Webhook, func(ctx context.Context, d outbox.Delivery) (json.RawMessage, error) {
			receipt, err := send(ctx, d)
			noted <- struct{}{}
			return receipt, err
		})
		stop := run(t, w)
		held := soon(t, "the first piece of news", slow.held)
		for range news - 1 {
			soon(t, "the others, beside the one that is held", noted)
		}
		if _, answered := slow.taken(); len(answered) != news-1 || answered[held] != 0 {
			t.Errorf("answered %d while one was held, want %d", len(answered), news-1)
		}
		slow.release()
		stop()
		most, answered := slow.taken()
		for _, d := range webhookReceipts(t, db, "northwind") {
			if d.Delivered == 0 || d.Attempts != 1 || answered[string(d.ID)] != 1 {
				t.Errorf("%s came %d times, with %d tries, delivered at %d", d.ID, answered[string(d.ID)], d.Attempts, d.Delivered)
			}
		}
		if most != 2 {
			t.Errorf("%d at once to one receiver, want two", most)
		}
	})
}

// Two nodes look at the same rows, and each piece of news goes out once.
func TestRun_TwoNodesShareWhatIsDue(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		const news = 100
		url := storetest.URL(t, kind)
		receiver := newHanging(t, 0)
		sent := make(chan struct{}, 2*news)
		var stops []func()
		for node := range 2 {
			db := storetest.OpenURL(t, url)
			if node == 0 {
				hook(t, db, "northwind", receiver.URL, news)
			}
			w := job.New(db, slog.New(slog.NewTextHandler(t.Output(), nil)))
			send := job.Webhooks(db, http.DefaultClient)
			w.Handle(outbox.Webhook, func(ctx context.Context, d outbox.Delivery) (json.RawMessage, error) {
				defer func() { sent <- struct{}{} }()
				return send(ctx, d)
			})
			stops = append(stops, run(t, w))
		}
		for range news {
			soon(t, "every piece of news", sent)
		}
		for _, stop := range stops {
			stop()
		}
		_, answered := receiver.taken()
		for d, n := range answered {
			if n != 1 {
				t.Errorf("%s came %d times", d, n)
			}
		}
		if len(answered) != news {
			t.Errorf("%d came, want %d", len(answered), news)
		}
	})
}

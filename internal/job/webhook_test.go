package job_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/job"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is a program of an organization that is told of news.
type receiver struct {
	*httptest.Server
	t      *testing.T
	mu     sync.Mutex
	answer int
	ids    []string
	bodies []string
}

// What a receiver has to check, written out by the text of Standard Webhooks 1.0.0, "Verifying signatures".
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, _ := io.ReadAll(q.Body)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	if err != nil {
		r.t.Error(err)
	}
	m := hmac.New(sha256.New, key)
	_, _ = io.WriteString(m, q.Header.Get("webhook-id")+"."+q.Header.Get("webhook-timestamp")+"."+string(body))
	if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); q.Header.Get("webhook-signature") != want {
		r.t.Errorf("the signature is %q, want %q", q.Header.Get("webhook-signature"), want)
	}
	r.ids, r.bodies = append(r.ids, q.Header.Get("webhook-id")), append(r.bodies, string(body))
	w.WriteHeader(r.answer)
}

func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = status
}

func (r *receiver) got() (ids, bodies []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...), append([]string(nil), r.bodies...)
}

// hooked is an organization with one webhook at a receiver, and something to tell.
type hooked struct {
	*receiver
	t     *testing.T
	db    *store.DB
	clock *storetest.Clock
	w     *job.Worker
	hook  id.Webhook
}

func openHooked(t *testing.T, kind storetest.Kind, client func() *http.Client) *hooked {
	t.Helper()
	clock := storetest.NewClock()
	h := &hooked{receiver: &receiver{t: t, answer: http.StatusOK}, t: t, db: storetest.Open(t, kind, storetest.WithClock(clock)), clock: clock}
	h.Server = httptest.NewServer(h.receiver)
	t.Cleanup(h.Close)
	h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
		return nil
	}))
	h.write(func(tx *store.Tx) error {
		w, err := tx.MakeWebhook(t.Context(), audit.Actor{Kind: audit.ActorOperator, ID: "op"}, h.URL+"/hooks",
			[]notification.Kind{notification.Directories}, hookSecret)
		h.hook = w.ID
		return err
	})
	h.w = job.New(h.db, slog.New(slog.NewTextHandler(t.Output(), nil)))
	h.w.Handle(outbox.Webhook, job.Webhooks(h.db, client()))
	return h
}

func (h *hooked) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hooked) write(fn func(tx *store.Tx) error) {
	h.t.Helper()
	h.must(h.db.Write(h.t.Context(), "northwind", fn))
}

// tell posts a piece of news.
func (h *hooked) tell(kind notification.Kind) {
	h.t.Helper()
	h.write(func(tx *store.Tx) error {
		_, err := tx.Notify(h.t.Context(), kind, mail.Letter{Template: mail.DirectorySilent, Data: map[string]any{
			"Directory": "Entra", "Since": "yesterday", "Link": "https://id.example/secret",
		}})
		return err
	})
}

// receipts are the webhook's deliveries as the console lists them.
func (h *hooked) receipts() (list []store.HookDelivery) {
	h.t.Helper()
	h.must(h.db.Read(h.t.Context(), "northwind", func(tx *store.Tx) (err error) {
		list, err = tx.HookDeliveries(h.t.Context(), h.hook, "", 10)
		return err
	}))
	return list
}

func TestWebhooks_AreSignedTriedAgainAndLeaveAReceipt(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		ctx := context.Background()
		h := openHooked(t, kind, func() *http.Client { return http.DefaultClient })
		h.answers(http.StatusInternalServerError)
		h.tell(notification.Expiry) // not one that the webhook was made for
		h.tell(notification.Directories)
		h.w.Deliver(ctx)
		h.w.Deliver(ctx) // not before the pause is over
		h.clock.Advance(outbox.Backoff(1) * 12 / 10)
		h.w.Deliver(ctx)
		got := h.receipts()
		if len(got) != 1 || got[0].Attempts != 2 || !strings.Contains(got[0].LastError, "answered 500") || got[0].Delivered+got[0].Failed != 0 {
			t.Fatalf("after two tries: %+v", got)
		}
		h.answers(http.StatusNoContent)
		h.clock.Advance(outbox.Backoff(2) * 12 / 10)
		h.w.Deliver(ctx)
		if got = h.receipts(); got[0].Delivered == 0 || string(got[0].Receipt) != `{"status":204}` || got[0].Attempts != 3 {
			t.Errorf("the receipt: %+v", got[0])
		}
		ids, bodies := h.got()
		if len(ids) != 3 || ids[0] != ids[2] || ids[0] != string(got[0].ID) {
			t.Errorf("the tries came as %v", ids)
		}
		var said struct {
			Type         string
			Organization string
			Data         map[string]any
		}
		h.must(json.Unmarshal([]byte(bodies[2]), &said))
		if said.Type != "directories.directory-silent" || said.Organization != "northwind" || said.Data["directory"] != "Entra" || said.Data["link"] != nil {
			t.Errorf("it said %s", bodies[2])
		}

		// Once more, on request: the same id and the same words.
		h.write(func(tx *store.Tx) error {
			return tx.Redeliver(ctx, audit.Actor{Kind: audit.ActorOperator, ID: "op"}, h.hook, got[0].ID)
		})
		h.w.Deliver(ctx)
		if ids, bodies = h.got(); len(ids) != 4 || ids[3] != ids[0] || bodies[3] != bodies[0] {
			t.Errorf("again: %v", ids)
		}
		if got = h.receipts(); got[0].Delivered == 0 || got[0].Attempts != 1 {
			t.Errorf("again: %+v", got[0])
		}
	})
}

func TestWebhooks_AreGivenUpInTheOpen(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		ctx := context.Background()
		h := openHooked(t, kind, func() *http.Client { return http.DefaultClient })
		h.answers(http.StatusInternalServerError)
		h.tell(notification.Directories)
		began := h.clock.Now()
		for range outbox.MaxAttempts + 3 {
			h.w.Deliver(ctx)
			h.clock.Advance(5 * time.Hour)
		}
		if got := h.receipts(); got[0].Failed == 0 || got[0].Attempts != outbox.MaxAttempts || !strings.Contains(got[0].LastError, "500") {
			t.Errorf("given up as %+v", got[0])
		}
		if h.clock.Now().Sub(began) < 24*time.Hour {
			t.Error("a day of tries is promised")
		}
		h.must(h.db.Read(ctx, "northwind", func(tx *store.Tx) error {
			list, err := tx.Events(ctx, store.AuditFilter{Action: "delivery.failed"})
			if err == nil && len(list) != 1 {
				t.Errorf("%d events", len(list))
			}
			return err
		}))
		// 410 says that nobody wants it: no second try.
		h.answers(http.StatusGone)
		before, _ := h.got()
		h.tell(notification.Directories)
		h.w.Deliver(ctx)
		h.clock.Advance(time.Hour)
		h.w.Deliver(ctx)
		if after, _ := h.got(); len(after) != len(before)+1 {
			t.Errorf("%d tries after 410", len(after)-len(before))
		}
	})
}

// An administrator of one organization names the address: it must not reach what stands beside the node (SSRF).
func TestWebhooks_ReachNoPrivateNetwork(t *testing.T) {
	t.Parallel()
	h := openHooked(t, storetest.SQLite, func() *http.Client { return netguard.New(netguard.Policy{}).Client() })
	h.tell(notification.Directories)
	h.w.Deliver(context.Background())
	if ids, _ := h.got(); len(ids) != 0 {
		t.Error("a loopback address was reached")
	}
	if got := h.receipts(); got[0].LastError == "" {
		t.Errorf("the receipt says nothing: %+v", got[0])
	}
}

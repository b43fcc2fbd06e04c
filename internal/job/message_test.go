package job_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/job"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// A code goes to the organization's carrier, signed, sealed until then, and not at all once it is over.
func TestMessages_GoSignedAndNotTooLate(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		ctx := context.Background()
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		db.Public = "https://id.example"
		var got []string
		carrier := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			at, _ := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
			if r.Header.Get("Webhook-Signature") != notification.Signature("whsec_c2VjcmV0", r.Header.Get("Webhook-Id"), at, body) {
				t.Errorf("the signature does not fit: %v", r.Header)
			}
			var m map[string]string
			if err := json.Unmarshal(body, &m); err != nil {
				t.Error(err)
			}
			got = append(got, m["to"]+": "+m["text"])
		}))
		t.Cleanup(carrier.Close)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind", Settings: store.Settings{Messages: store.MessageSettings{
				URL: carrier.URL, Secret: db.Keys.Seal(store.MessagesPlace("northwind"), []byte("whsec_c2VjcmV0")),
			}}})
			return nil
		}))
		post := func() {
			must(db.Write(ctx, "northwind", func(tx *store.Tx) error {
				_, err := tx.PostMessage(ctx, "+491701234567", "123456")
				return err
			}))
		}
		w := job.New(db, slog.New(slog.NewTextHandler(t.Output(), nil)))
		carry := job.Messages(db, http.DefaultClient)
		w.Handle(outbox.SMS, func(ctx context.Context, d outbox.Delivery) (json.RawMessage, error) {
			if text := string(d.Payload) + d.Destination; strings.Contains(text, "123456") || strings.Contains(text, "4917") {
				t.Errorf("the outbox shows %s", text)
			}
			return carry(ctx, d)
		})
		post()
		w.Deliver(ctx)
		if len(got) != 1 || !strings.HasPrefix(got[0], "+491701234567: 123456 is your code for Northwind.") || !strings.HasSuffix(got[0], "\n\n@id.example #123456") {
			t.Errorf("sent: %v", got)
		}
		post()
		clock.Advance(11 * time.Minute)
		w.Deliver(ctx)
		if len(got) != 1 {
			t.Errorf("a code that was over was sent: %v", got)
		}
	})
}

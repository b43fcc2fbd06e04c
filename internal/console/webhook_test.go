package console_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestWebhooks_ShowAReceiptForEachDeliveryAndSendItAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		ctx := t.Context()
		var hook id.Webhook
		h.must(db.Write(ctx, "northwind", func(tx *store.Tx) error {
			w, err := tx.MakeWebhook(ctx, h.system, "https://hooks.northwind.example/v", []notification.Kind{notification.Directories},
				"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
			hook = w.ID
			if err != nil {
				return err
			}
			_, err = tx.Notify(ctx, notification.Directories, mail.Letter{Template: mail.DirectorySilent, Data: map[string]any{
				"Directory": "Entra", "Since": "yesterday", "Link": "https://id.example/o",
			}})
			return err
		}))
		taken, err := db.LeaseDeliveries(ctx, 100, time.Minute)
		h.must(err)
		// The people of the world have letters of their own under way.
		taken = slices.DeleteFunc(taken, func(d outbox.Delivery) bool { return d.Kind != outbox.Webhook })
		if len(taken) != 1 {
			t.Fatalf("%d webhook deliveries were posted, want one", len(taken))
		}
		at := "/o/northwind/webhooks/" + string(hook)
		again := at + "/deliveries/" + string(taken[0].ID) + "/again"
		owner := h.as("northwind", "Olivia Owner")
		if got := owner.post(again); got.status != http.StatusConflict {
			t.Errorf("one that is under way is sent again with %d", got.status)
		}
		h.must(db.Undelivered(ctx, taken[0], "hooks.northwind.example answered 500.", time.Time{}))
		got := owner.page(at)
		for _, want := range []string{"directories.directory-silent", "Given up", "hooks.northwind.example answered 500.", "Send again"} {
			if !strings.Contains(got.text("main"), want) {
				t.Errorf("%q is missing: %s", want, got.text("main"))
			}
		}
		if got := h.as("northwind", "Adam Admin").post(again); got.status != http.StatusForbidden {
			t.Errorf("somebody without connections.manage: %d", got.status)
		}
		if got := h.as("fieldserv", "Femi Field").post(again); got.status != http.StatusNotFound {
			t.Errorf("another organization: %d", got.status)
		}
		if got := owner.post(again); got.location != at {
			t.Fatalf("%d: %s", got.status, got.text("main"))
		}
		taken, err = db.LeaseDeliveries(ctx, 1, time.Minute)
		h.must(err)
		h.must(db.Delivered(ctx, taken[0], []byte(`{"status":202}`)))
		if got := owner.page(at); !strings.Contains(got.text("main"), "Answered 202.") {
			t.Errorf("the receipt: %s", got.text("main"))
		}
		h.must(db.Read(ctx, "northwind", func(tx *store.Tx) error {
			list, err := tx.Events(ctx, store.AuditFilter{Action: "delivery.repeated"})
			if err == nil && (len(list) != 1 || list[0].Actor.Kind != audit.ActorUser) {
				t.Errorf("in the log: %+v", list)
			}
			return err
		}))
	})
}

// What the installation's own ends is for operators alone.
func TestOperatorCalendar_ShowsTokensAndSpeaksUpWhenOneEnds(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.operator()
		h.must(db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			_, _, err := tx.CreateAPIToken(t.Context(), h.system, "terraform", tx.Now().AddDate(0, 0, 5))
			return err
		}))
		for _, path := range []string{"/operator/calendar", "/?choose=1"} {
			if got := b.page(path); !strings.Contains(got.text("main"), "The API token terraform") {
				t.Errorf("%s: %s", path, got.text("main"))
			}
		}
		if got := h.as("northwind", "Olivia Owner").get("/operator/calendar"); got.status == http.StatusOK {
			t.Error("an owner of an organization sees the installation's calendar")
		}
	})
}

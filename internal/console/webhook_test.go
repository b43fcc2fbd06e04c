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

func TestWebhooks_AreChangedTestedAndSignedUnderANewSecret(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		ctx := t.Context()
		owner := h.as("northwind", "Olivia Owner")
		owner.page("/o/northwind/webhooks/new")
		if got := owner.post("/o/northwind/webhooks", "url", "http://hooks.example/v", "letter", "expiry"); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "http is for this machine alone") {
			t.Errorf("in the clear: %d %s", got.status, got.text("main"))
		}
		made := owner.post("/o/northwind/webhooks", "url", "https://hooks.example/v", "letter", "expiry")
		first := made.text("dd code")
		if made.status != http.StatusOK || !strings.HasPrefix(first, notification.SecretMark) {
			t.Fatalf("%d %s", made.status, made.text("main"))
		}
		at, _ := owner.page("/o/northwind/webhooks").Find("th a").Attr("href")
		hook := id.Webhook(at[strings.LastIndexByte(at, '/')+1:])
		target := func(address, secret string) {
			t.Helper()
			gotAddress, gotSecret, err := db.WebhookTarget(ctx, "northwind", hook)
			if err != nil || gotAddress != address || gotSecret != secret {
				t.Errorf("it is told at %q: %v", gotAddress, err)
			}
		}
		edit := owner.page(at + "/edit")
		if v, _ := edit.Find("#url").Attr("value"); v != "https://hooks.example/v" || edit.Find("input[name=letter][checked]").Length() != 1 {
			t.Errorf("the form: %s", edit.body)
		}
		if got := owner.post(at, "url", "https://hooks.example/w"); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("main"), "Choose at least one") || !strings.Contains(got.text("main"), "Change a webhook") {
			t.Errorf("of nothing: %d %s", got.status, got.text("main"))
		}
		if got := owner.post(at, "url", "https://hooks.example/w", "letter", "directories"); got.location != at {
			t.Fatalf("%d: %s", got.status, got.text("main"))
		}
		target("https://hooks.example/w", first)
		owner.page(at + "/secret")
		second := owner.post(at + "/secret").text("dd code")
		if second == first {
			t.Error("the secret stays")
		}
		target("https://hooks.example/w", second)
		if got := owner.post(at + "/test"); got.location != at {
			t.Fatalf("%d: %s", got.status, got.text("main"))
		}
		got := owner.page(at)
		if !strings.Contains(got.text("main"), "webhook.test") || !strings.Contains(got.text("main"), "On its way") || strings.Contains(got.body, notification.SecretMark) {
			t.Errorf("after the test: %s", got.text("main"))
		}
		for _, who := range []*browser{h.as("northwind", "Adam Admin"), h.as("fieldserv", "Femi Field")} {
			for _, path := range []string{"", "/secret", "/test", "/delete"} {
				if got := who.post(at+path, "url", "https://evil.example", "letter", "expiry"); got.status < 400 {
					t.Errorf("%s: %d to %q", path, got.status, got.location)
				}
			}
		}
		h.must(db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredWebhook(store.DeclaredWebhook{Organization: "northwind", Webhook: store.Webhook{
				ID: "ops", URL: "https://hooks.example/ops", Kinds: []notification.Kind{notification.Expiry}, Secret: db.Keys.Seal(store.WebhookPlace("northwind", "ops"), []byte(first)),
			}})
			return nil
		}))
		const ops = "/o/northwind/webhooks/ops"
		if got := owner.page(ops); strings.Contains(got.text("main"), "New secret") || !strings.Contains(got.text("main"), "Send a test") {
			t.Errorf("the file's: %s", got.text("main"))
		}
		for _, path := range []string{"", "/secret", "/delete"} {
			if got := owner.post(ops+path, "url", "https://evil.example", "letter", "expiry"); got.status != http.StatusConflict {
				t.Errorf("the file's, %s: %d", path, got.status)
			}
		}
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

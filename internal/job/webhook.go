package job

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

// webhookTimeout is how long an organization's program may take to say that it has the news. It is meant to note it and
// answer; whatever follows is its own affair.
const webhookTimeout = 15 * time.Second

// Webhooks carries out deliveries of the kind webhook, in the form of Standard Webhooks 1.0.0: webhook-id, by which a
// second copy is known, webhook-timestamp and webhook-signature. The client is netguard's, since an administrator of one
// organization names the address (server-side request forgery), and follows no redirect, for the same reason.
func Webhooks(db *store.DB, client *http.Client) Handler {
	c := *client
	c.Timeout = webhookTimeout
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context, d outbox.Delivery) (json.RawMessage, error) {
		var hook store.Hook
		if err := json.Unmarshal(d.Payload, &hook); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "The news cannot be read.")
		}
		address, secret, err := db.WebhookTarget(ctx, d.Organization, hook.Webhook)
		if err != nil {
			return nil, err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(hook.Body))
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "The address of the webhook is none.")
		}
		now := time.Now().Unix()
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("User-Agent", "Vestibule")
		r.Header.Set("Webhook-Id", string(d.ID))
		r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now, 10))
		r.Header.Set("Webhook-Signature", notification.Signature(secret, string(d.ID), now, hook.Body))
		response, err := c.Do(r)
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "%s could not be reached.", r.URL.Host)
		}
		defer func() { _ = response.Body.Close() }()
		_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be used again
		switch {
		case response.StatusCode/100 == 2:
			return json.RawMessage(fmt.Sprintf(`{"status":%d}`, response.StatusCode)), nil
		case response.StatusCode == http.StatusGone:
			// Standard Webhooks: 410 says that nobody wants this any more.
			return nil, fault.New(fault.Gone, "%s answered 410: it wants no news any more.", r.URL.Host)
		default:
			return nil, fault.New(fault.Unavailable, "%s answered %d.", r.URL.Host, response.StatusCode)
		}
	}
}

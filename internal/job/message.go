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
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Messages carries codes to whoever sends text messages for an organization: {"to", "text"} as JSON, signed as a webhook is (Standard
// Webhooks 1.0.0), to an address that the organization's file names. The client is netguard's. A code that is over is not sent: a
// telephone that comes back to the network in the evening needs none of the morning.
func Messages(db *store.DB, client *http.Client) Handler {
	c := *client
	c.Timeout = webhookTimeout
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context, d outbox.Delivery) (json.RawMessage, error) {
		if age := db.Now().Sub(time.UnixMicro(d.Created)); age > mfa.SentFor {
			return nil, fault.New(fault.Gone, "The code was over before it could be sent.")
		}
		m, secret, err := db.Message(d)
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(map[string]string{"to": m.To, "text": m.Text})
		if err != nil {
			return nil, err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(body))
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "The address for text messages is none.")
		}
		now := db.Now().Unix()
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("User-Agent", "Vestibule")
		r.Header.Set("Webhook-Id", string(d.ID))
		r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now, 10))
		r.Header.Set("Webhook-Signature", notification.Signature(secret, string(d.ID), now, body))
		response, err := c.Do(r)
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "%s could not be reached.", r.URL.Host)
		}
		defer func() { _ = response.Body.Close() }()
		_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be used again
		if response.StatusCode/100 != 2 {
			return nil, fault.New(fault.Unavailable, "%s answered %d.", r.URL.Host, response.StatusCode)
		}
		return json.RawMessage(fmt.Sprintf(`{"status":%d}`, response.StatusCode)), nil
	}
}

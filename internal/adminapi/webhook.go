package adminapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// WebhookSettings are what is chosen of a webhook. What is wrong with them is said by notification.CheckHook, as in the file and the
// console, so that the document bounds nothing here.
type WebhookSettings struct {
	URL   string              `json:"url" doc:"Where the news goes: an https address. It gets a POST in JSON, signed by Standard Webhooks" example:"https://hooks.northwind.example/vestibule"`
	Kinds []notification.Kind `json:"kinds,omitempty" doc:"Of what it is told: access-changed, needs-roles, directories, expiry. Absent: of all of them"`
}

// chosen gives the kinds that were asked for; an empty list asks for none, which is refused, and is not the same as no list.
func (s WebhookSettings) chosen() []notification.Kind {
	if s.Kinds == nil {
		return notification.Choosable()
	}
	return s.Kinds
}

// Webhook is a program of an organization that is told of news.
type Webhook struct {
	ID       id.Webhook          `json:"id"`
	URL      string              `json:"url"`
	Kinds    []notification.Kind `json:"kinds"`
	Declared bool                `json:"declared" doc:"In the operator's file, and changed there"`
	MadeBy   string              `json:"made_by"`
	Created  time.Time           `json:"created"`
	Secret   string              `json:"secret,omitempty" doc:"Only in the answer that made it: deliveries are signed under it" readOnly:"true"`
}

func webhookOf(w store.Webhook) Webhook {
	return Webhook{ID: w.ID, URL: w.URL, Kinds: w.Kinds, Declared: w.Declared(), MadeBy: w.MadeBy, Created: w.Created.UTC()}
}

// WebhookDelivery is a delivery to a webhook, with its receipt.
type WebhookDelivery struct {
	ID        id.Delivery     `json:"id" doc:"The webhook-id of every try, by which the receiver knows a second copy"`
	Type      string          `json:"type" example:"directories.directory-silent"`
	State     outbox.State    `json:"state" enum:"waiting,retrying,delivered,failed" doc:"failed: given up; it can be sent again"`
	Created   time.Time       `json:"created"`
	Tries     int             `json:"tries"`
	NextTry   *time.Time      `json:"next_try" doc:"null: none follows by itself"`
	Problem   string          `json:"problem,omitempty" doc:"What the last try failed by"`
	Delivered *time.Time      `json:"delivered" doc:"When it was taken"`
	Answered  int             `json:"answered,omitempty" doc:"The status with which it was taken"`
	Failed    *time.Time      `json:"failed" doc:"When it was given up"`
	Body      json.RawMessage `json:"body" doc:"What is sent"`
}

func webhookDelivery(d store.HookDelivery) WebhookDelivery {
	out := WebhookDelivery{
		ID: d.ID, Type: d.Type, State: d.State(), Created: time.UnixMicro(d.Created).UTC(), Tries: d.Attempts, Problem: d.LastError,
		Delivered: moments(d.Delivered), Answered: d.Answered, Failed: moments(d.Failed), Body: d.Body,
	}
	if !d.Over() {
		out.NextTry = moments(d.NextAt)
	}
	return out
}

// moments reads microseconds, of which 0 is never.
func moments(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	return optional(time.UnixMicro(micros))
}

// OfWebhook is a call about one webhook.
type OfWebhook struct {
	Of
	Webhook id.Webhook `path:"webhook" doc:"The webhook's id"`
}

// OfDelivery is a call about one delivery to a webhook.
type OfDelivery struct {
	OfWebhook
	Delivery id.Delivery `path:"delivery" doc:"The delivery's id"`
}

func (a *API) webhooks(api huma.API) {
	const list, path = "/organizations/{organization}/webhooks", "/organizations/{organization}/webhooks/{webhook}"
	const deliveries = path + "/deliveries"
	handle(a, api, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: list, Summary: "Programs of an organization that are told of news, the oldest first",
	}, func(ctx context.Context, in *struct {
		Of
		Paging
	},
	) (out *List[Webhook], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			all, err := tx.Webhooks(ctx)
			if err != nil {
				return err
			}
			items, next, err := cut(in.Paging, all, func(w store.Webhook) string { return string(w.ID) })
			out = listOf(items, next, webhookOf)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "get-webhook", Method: http.MethodGet, Path: path, Summary: "One webhook",
	}, func(ctx context.Context, in *OfWebhook) (out *one[Webhook], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			w, err := tx.Webhook(ctx, in.Webhook)
			out = &one[Webhook]{webhookOf(w)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "make-webhook", Method: http.MethodPost, Path: list, DefaultStatus: http.StatusCreated,
		Summary:     "Have a program told of news",
		Description: "The answer holds the secret under which deliveries are signed, this once; what is kept is sealed. Private networks are not reached.",
	}, func(ctx context.Context, in *struct {
		Of
		Body WebhookSettings
	},
	) (out *made[Webhook], err error) {
		secret := notification.NewSecret(seal.Random(32))
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			w, err := tx.MakeWebhook(ctx, actorOf(ctx), strings.TrimSpace(in.Body.URL), in.Body.chosen(), secret)
			out = &made[Webhook]{"/api/v1/organizations/" + string(in.Organization) + "/webhooks/" + string(w.ID), webhookOf(w)}
			out.Body.Secret = secret
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "change-webhook", Method: http.MethodPut, Path: path,
		Summary:     "Change where a webhook's news goes, and of what it is told",
		Description: "What is on its way goes to the new address. The secret stays.",
	}, func(ctx context.Context, in *struct {
		OfWebhook
		Body WebhookSettings
	},
	) (out *one[Webhook], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			w, err := tx.ChangeWebhook(ctx, actorOf(ctx), in.Webhook, strings.TrimSpace(in.Body.URL), in.Body.chosen())
			out = &one[Webhook]{webhookOf(w)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "renew-webhook-secret", Method: http.MethodPost, Path: path + "/secret", DefaultStatus: http.StatusOK,
		Summary:     "Sign a webhook's deliveries under a new secret",
		Description: "The answer holds it, this once. The former one signs nothing from then on; what a receiver refuses before it knows the new one is tried again for a day.",
	}, func(ctx context.Context, in *OfWebhook) (out *one[Webhook], err error) {
		secret := notification.NewSecret(seal.Random(32))
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			w, err := tx.RenewWebhookSecret(ctx, actorOf(ctx), in.Webhook, secret)
			out = &one[Webhook]{webhookOf(w)}
			out.Body.Secret = secret
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "delete-webhook", Method: http.MethodDelete, Path: path, DefaultStatus: http.StatusNoContent,
		Summary: "Tell a program nothing more; what is on its way to it is given up",
	}, func(ctx context.Context, in *OfWebhook) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.DeleteWebhook(ctx, actorOf(ctx), in.Webhook)
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: path + "/test", DefaultStatus: http.StatusAccepted,
		Summary:     "Send a webhook a delivery that tells nothing, of the type webhook.test",
		Description: "The answer is the delivery, which is on its way. Whether it arrived is said by the address in Location.",
	}, func(ctx context.Context, in *OfWebhook) (out *made[WebhookDelivery], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			posted, err := tx.TestWebhook(ctx, actorOf(ctx), in.Webhook)
			if err != nil {
				return err
			}
			d, err := tx.HookDelivery(ctx, in.Webhook, posted)
			out = &made[WebhookDelivery]{
				"/api/v1/organizations/" + string(in.Organization) + "/webhooks/" + string(in.Webhook) + "/deliveries/" + string(posted), webhookDelivery(d),
			}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "list-webhook-deliveries", Method: http.MethodGet, Path: deliveries,
		Summary: "What a webhook was told, with each delivery's receipt, the newest first",
	}, func(ctx context.Context, in *struct {
		OfWebhook
		Paging
	},
	) (out *List[WebhookDelivery], err error) {
		if in.Cursor != "" && !id.IsUUID(in.Cursor) {
			return nil, fault.New(fault.Invalid, "This cursor is not of this list.").WithField("cursor", "It names no delivery.")
		}
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.Webhook(ctx, in.Webhook); err != nil {
				return err
			}
			items, err := tx.HookDeliveries(ctx, in.Webhook, id.Delivery(in.Cursor), in.Limit+1)
			next := ""
			if len(items) > in.Limit {
				items = items[:in.Limit]
				next = string(items[in.Limit-1].ID)
			}
			out = listOf(items, next, webhookDelivery)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "get-webhook-delivery", Method: http.MethodGet, Path: deliveries + "/{delivery}", Summary: "One delivery and its receipt",
	}, func(ctx context.Context, in *OfDelivery) (out *one[WebhookDelivery], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			d, err := tx.HookDelivery(ctx, in.Webhook, in.Delivery)
			out = &one[WebhookDelivery]{webhookDelivery(d)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "redeliver-webhook", Method: http.MethodPost, Path: deliveries + "/{delivery}/again", DefaultStatus: http.StatusAccepted,
		Summary:     "Send a delivery that was taken or given up once more, under the same id and with all its tries",
		Description: "409 while it is under way: it is then tried again by itself.",
	}, func(ctx context.Context, in *OfDelivery) (out *one[WebhookDelivery], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			if err := tx.Redeliver(ctx, actorOf(ctx), in.Webhook, in.Delivery); err != nil {
				return err
			}
			d, err := tx.HookDelivery(ctx, in.Webhook, in.Delivery)
			out = &one[WebhookDelivery]{webhookDelivery(d)}
			return err
		})
		return out, err
	})
}

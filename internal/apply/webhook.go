package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// fileWebhook is a program of an organization that is told of news.
type fileWebhook struct {
	At     place
	ID     id.Webhook          `yaml:"id,required"`
	URL    string              `yaml:"url,required"`
	Secret secret              `yaml:"secret,required"`
	Kinds  []notification.Kind `yaml:"kinds"`
}

func (d *Declaration) webhook(org id.Organization, w fileWebhook) {
	d.declaredID(w.At, string(w.ID))
	k := key(webhookKind, org, string(w.ID))
	if !d.once(k, w.At, "id") {
		return
	}
	// What is guessed offline from one signed body must be long (Standard Webhooks asks for 24 bytes).
	if w.Secret != "" && len(w.Secret) < minSecret {
		d.problems.at(w.At, "secret", "at least %d characters", minSecret)
	}
	if !w.At.has("kinds") {
		w.Kinds = notification.Choosable()
	}
	d.faults(w.At, notification.CheckHook(w.URL, w.Kinds))
	d.secrets[k] = string(w.Secret)
	d.want.Webhooks = append(d.want.Webhooks, store.DeclaredWebhook{Organization: org, Webhook: store.Webhook{
		ID: w.ID, URL: w.URL, Kinds: notification.Clean(w.Kinds),
	}})
}

// concealWebhooks seals the webhooks' secrets. What the store holds of the same secret is kept as it is.
func (d *Declaration) concealWebhooks(keys *seal.Keys, current, want *store.Declared) {
	kept := map[string]string{}
	for _, w := range current.Webhooks {
		kept[key(webhookKind, w.Organization, string(w.ID))] = w.Secret
	}
	want.Webhooks = slices.Clone(want.Webhooks)
	for i := range want.Webhooks {
		w := &want.Webhooks[i]
		k, place := key(webhookKind, w.Organization, string(w.ID)), store.WebhookPlace(w.Organization, w.ID)
		if plain, err := keys.Open(place, kept[k]); err == nil && string(plain) == d.secrets[k] && keys.Current(kept[k]) {
			w.Secret = kept[k]
		} else {
			w.Secret = keys.Seal(place, []byte(d.secrets[k]))
		}
	}
}

func webhookObject(w store.DeclaredWebhook) object {
	return object{
		kind: webhookKind, org: w.Organization, local: string(w.ID), label: string(w.ID),
		put: queued(w, (*store.SystemTx).PutDeclaredWebhook), drop: queued(w, (*store.SystemTx).DropDeclaredWebhook),
		fields: []field{
			{name: "url", value: w.URL}, {name: "kinds", value: list(w.Kinds, ", ")}, {name: "secret", value: w.Secret, secret: true},
		},
	}
}

// touches says of each removal how many people it touches, so that nobody prunes a directory of thousands unseen.
func touches(ctx context.Context, tx *store.SystemTx, plan *Plan) error {
	for i, c := range plan.Changes {
		words := map[kind]string{
			directoryKind: "who come from it", connectionKind: "who sign in through it", organizationKind: "in it",
		}[c.object.kind]
		if c.Verb != Remove || words == "" {
			continue
		}
		local := c.object.local
		if c.object.kind == organizationKind {
			local = string(c.object.org)
		}
		n, err := tx.People(ctx, c.object.org, kinds[c.object.kind].noun, local)
		if err != nil {
			return err
		}
		noun := "people"
		if n == 1 {
			noun = "person"
		}
		plan.Changes[i].touches = strings.TrimSpace(fmt.Sprintf("touches %d %s %s", n, noun, words))
	}
	return nil
}

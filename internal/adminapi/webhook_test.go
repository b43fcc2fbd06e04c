package adminapi_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

const hooks = northwind + "/webhooks"

// hookKey reads what deliveries are signed under now.
func (c *caller) hookKey(hook string) string {
	c.t.Helper()
	_, secret, err := c.db.WebhookTarget(c.t.Context(), "northwind", id.Webhook(hook))
	if err != nil {
		c.t.Fatal(err)
	}
	return secret
}

// actions are those of the organization's log that start so, oldest first.
func (c *caller) actions(start string) (out []string) {
	c.t.Helper()
	for _, e := range c.want(200, "GET", northwind+"/audit?limit=100", "")["items"].([]any) {
		if a := e.(map[string]any)["action"].(string); strings.HasPrefix(a, start) {
			out = append(out, a)
		}
	}
	slices.Reverse(out)
	return out
}

func TestWebhooks_AreMadeChangedRenewedAndTakenAway(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		made := c.want(201, "POST", hooks, `{"url":" https://hooks.northwind.example/v ","kinds":["expiry","directories","expiry"]}`)
		hook, first := made["id"].(string), made["secret"].(string)
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(first, notification.SecretMark))
		if err != nil || len(raw) != 32 || c.hookKey(hook) != first {
			t.Errorf("the secret: %q %v", first, err)
		}
		if d := cmp.Diff(made["kinds"], []any{"directories", "expiry"}); d != "" || made["url"] != "https://hooks.northwind.example/v" || made["made_by"] != "API token tests" || made["declared"] != false {
			t.Errorf("what was made: %v", made)
		}
		changed := c.want(200, "PUT", hooks+"/"+hook, `{"url":"https://hooks.northwind.example/w"}`)
		if d := cmp.Diff(changed["kinds"], []any{"access-changed", "needs-roles", "directories", "expiry"}); d != "" || changed["url"] != "https://hooks.northwind.example/w" || changed["secret"] != nil {
			t.Errorf("what was changed: %v", changed)
		}
		if c.hookKey(hook) != first {
			t.Error("changing the address changed the secret")
		}
		second := c.want(200, "POST", hooks+"/"+hook+"/secret", "")["secret"].(string)
		if second == first || c.hookKey(hook) != second {
			t.Error("the new secret is not what is signed under")
		}
		// Neither secret is said again, by any answer or by the log.
		for _, path := range []string{hooks, hooks + "/" + hook, hooks + "/" + hook + "/deliveries", northwind + "/audit"} {
			if text := toText(t, c.want(200, "GET", path, "")); strings.Contains(text, "whsec_") || strings.Contains(text, `"secret"`) {
				t.Errorf("%s shows a secret: %s", path, text)
			}
		}
		c.want(204, "DELETE", hooks+"/"+hook, "")
		for _, call := range [][2]string{{"GET", ""}, {"PUT", ""}, {"DELETE", ""}, {"POST", "/secret"}, {"POST", "/test"}, {"GET", "/deliveries"}} {
			body := ""
			if call[0] == "PUT" {
				body = `{"url":"https://hooks.northwind.example/v"}`
			}
			c.want(404, call[0], hooks+"/"+hook+call[1], body)
		}
		want := []string{"webhook.created", "webhook.changed", "webhook.secret-renewed", "webhook.deleted"}
		if d := cmp.Diff(c.actions("webhook."), want); d != "" {
			t.Errorf("the log (-got +want):\n%s", d)
		}
	})
}

// A refusal names the field and says what would be right, in the words of the file and the console.
func TestWebhooks_WhatCannotWorkIsRefusedByItsField(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		hook := c.want(201, "POST", hooks, `{"url":"https://hooks.northwind.example/v"}`)["id"].(string)
		for body, want := range map[string]string{
			`{}`:                                           "url",
			`{"url":"http://hooks.example/v"}`:             "url",
			`{"url":"hooks.example"}`:                      "url",
			`{"url":"https://a:b@hooks.example/v"}`:        "url",
			`{"url":"https://hooks.example/v","kinds":[]}`: "kinds",
			`{"url":"https://hooks.example/v","kinds":["expiry","security"]}`: "kinds[1]",
			`{"url":"https://hooks.example/v","kinds":["news"]}`:              "kinds[0]",
			`{"url":"https://hooks.example/v","secret":"mine"}`:               "secret",
		} {
			for _, call := range [][2]string{{"POST", hooks}, {"PUT", hooks + "/" + hook}} {
				got := c.want(422, call[0], call[1], body)
				errors, _ := got["errors"].([]any)
				if len(errors) != 1 || errors[0].(map[string]any)["field"] != want || errors[0].(map[string]any)["message"] == "" {
					t.Errorf("%s of %s: %v, want it at %s", call[0], body, got, want)
				}
			}
		}
		if got := c.want(422, "POST", hooks, `{"url":"https://hooks.example/v","kinds":["news"]}`); !strings.Contains(toText(t, got), "access-changed, needs-roles, directories, expiry") {
			t.Errorf("it does not say which kinds there are: %v", got)
		}
		if got := c.ids(hooks); len(got) != 1 || len(c.actions("webhook.")) != 1 {
			t.Errorf("a refused call changed something: %v %v", got, c.actions("webhook."))
		}
	})
}

func TestWebhooks_OfTheFileAreChangedThereAndTestedHere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		err := c.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredWebhook(store.DeclaredWebhook{Organization: "northwind", Webhook: store.Webhook{
				ID: "ops", URL: "https://hooks.northwind.example/ops", Kinds: []notification.Kind{notification.Expiry},
				Secret: c.db.Keys.Seal(store.WebhookPlace("northwind", "ops"), []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
			}})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.want(200, "GET", hooks+"/ops", ""); got["declared"] != true {
			t.Errorf("%v", got)
		}
		for _, call := range [][3]string{{"PUT", hooks + "/ops", `{"url":"https://evil.example"}`}, {"POST", hooks + "/ops/secret", ""}, {"DELETE", hooks + "/ops", ""}} {
			if got := c.want(409, call[0], call[1], call[2]); !strings.Contains(got["detail"].(string), "operator's file") {
				t.Errorf("%v: %v", call, got)
			}
		}
		c.want(202, "POST", hooks+"/ops/test", "")
		if c.hookKey("ops") != "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" {
			t.Error("the file's secret was changed")
		}
	})
}

func TestWebhooks_ShowAReceiptForEachDeliveryAndSendItAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		ctx := t.Context()
		hook := c.want(201, "POST", hooks, `{"url":"https://hooks.northwind.example/v","kinds":["directories"]}`)["id"].(string)
		other := c.want(201, "POST", hooks, `{"url":"https://hooks.northwind.example/other","kinds":["expiry"]}`)["id"].(string)
		if err := c.db.Write(ctx, "northwind", func(tx *store.Tx) error {
			_, err := tx.Notify(ctx, notification.Directories, mail.Letter{Template: mail.DirectorySilent, Data: map[string]any{
				"Directory": "Entra", "Since": "yesterday", "Link": "https://id.example/o",
			}})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		code, test, header := c.call("POST", hooks+"/"+hook+"/test", "")
		at := hooks + "/" + hook + "/deliveries"
		if code != 202 || test["type"] != "webhook.test" || test["state"] != "waiting" || test["next_try"] == nil || header.Get("Location") != at+"/"+test["id"].(string) {
			t.Fatalf("the test: %d %v, at %q", code, test, header.Get("Location"))
		}
		if d := cmp.Diff(test["body"].(map[string]any)["data"], map[string]any{"webhook": hook}); d != "" {
			t.Errorf("the test tells (-got +want):\n%s", d)
		}
		list := c.ids(at)
		if len(list) != 2 || list[0] != test["id"] || len(c.ids(hooks+"/"+other+"/deliveries")) != 0 {
			t.Fatalf("the deliveries: %v", list)
		}
		page := c.want(200, "GET", at+"?limit=1", "")
		rest := c.want(200, "GET", at+"?limit=1&cursor="+page["next"].(string), "")
		news := rest["items"].([]any)[0].(map[string]any)
		if news["id"] != list[1] || rest["next"] != nil || news["type"] != "directories.directory-silent" {
			t.Errorf("the second page: %v", rest)
		}
		c.want(422, "GET", at+"?cursor=x", "")

		again := func(hook, delivery string) string { return hooks + "/" + hook + "/deliveries/" + delivery + "/again" }
		if got := c.want(409, "POST", again(hook, list[0]), ""); !strings.Contains(got["detail"].(string), "under way") {
			t.Errorf("one that is under way: %v", got)
		}
		taken, err := c.db.LeaseDeliveries(ctx, 100, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range taken {
			switch string(d.ID) {
			case list[0]:
				err = c.db.Undelivered(ctx, d, "hooks.northwind.example answered 500.", time.Time{})
			case list[1]:
				err = c.db.Delivered(ctx, d, []byte(`{"status":204}`))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		failed, delivered := c.want(200, "GET", at+"/"+list[0], ""), c.want(200, "GET", at+"/"+list[1], "")
		if failed["state"] != "failed" || failed["failed"] == nil || failed["next_try"] != nil || failed["problem"] != "hooks.northwind.example answered 500." || failed["tries"] != 1.0 {
			t.Errorf("the one that was given up: %v", failed)
		}
		if delivered["state"] != "delivered" || delivered["delivered"] == nil || delivered["answered"] != 204.0 || delivered["problem"] != nil {
			t.Errorf("the one that was taken: %v", delivered)
		}
		// Not through another webhook, of this organization or another.
		c.want(404, "POST", again(other, list[0]), "")
		c.want(404, "GET", hooks+"/"+other+"/deliveries/"+list[0], "")
		for i, id := range list {
			got := c.want(202, "POST", again(hook, id), "")
			if got["state"] != []string{"retrying", "waiting"}[i] || got["tries"] != 0.0 || got["id"] != id || got["answered"] != nil {
				t.Errorf("again: %v", got)
			}
		}
		if d := cmp.Diff(c.actions("delivery."), []string{"delivery.failed", "delivery.repeated", "delivery.repeated"}); d != "" {
			t.Errorf("the log (-got +want):\n%s", d)
		}
		taken, err = c.db.LeaseDeliveries(ctx, 100, time.Minute)
		if n := len(slices.DeleteFunc(taken, func(d outbox.Delivery) bool { return d.Kind != outbox.Webhook })); err != nil || n != 2 {
			t.Errorf("%d are due again: %v", n, err)
		}
	})
}

package apply_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// withWebhooks is the contract's file with webhooks of northwind.
func withWebhooks(t *testing.T, lines string) string {
	t.Helper()
	return edited(t, "    require_mfa: false\n    enforce_sso", "    webhooks:\n"+lines+"    require_mfa: false\n    enforce_sso")
}

func TestRun_WebhooksOfAnOrganization(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		secrets := getenv("OPS_HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
		file := withWebhooks(t, "      - {id: ops, url: https://hooks.northwind.example/v, secret: {env: OPS_HOOK}, kinds: [expiry, directories]}\n"+
			"      - {id: all, url: https://hooks.northwind.example/all, secret: {env: OPS_HOOK}}\n")
		out := mustRun(t, db, apply.Options{}, secrets, file)
		if !strings.Contains(out, "+ webhook northwind/ops") || strings.Contains(out, "whsec_") {
			t.Errorf("the plan says: %s", out)
		}
		if again := mustRun(t, db, apply.Options{}, secrets, file); strings.Contains(again, "webhook") {
			t.Errorf("the second time changes: %s", again)
		}
		const byHand = "https://hooks.northwind.example/by-hand"
		hooks := func() (list []store.Webhook) {
			if err := db.Read(ctx, "northwind", func(tx *store.Tx) (err error) {
				list, err = tx.Webhooks(ctx)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return list
		}
		if err := db.Write(ctx, "northwind", func(tx *store.Tx) error {
			_, err := tx.MakeWebhook(ctx, audit.Actor{Kind: audit.ActorOperator, ID: "op"}, byHand, []notification.Kind{notification.Expiry},
				"whsec_aGVsbG8gdGhlcmUgd29ybGQ=")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		address, secret, err := db.WebhookTarget(ctx, "northwind", "ops")
		if err != nil || address != "https://hooks.northwind.example/v" || secret != "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" {
			t.Errorf("it is told at %q: %v", address, err)
		}
		for _, h := range hooks() {
			want := map[string][]notification.Kind{
				"ops": {notification.Directories, notification.Expiry},
				"all": {notification.AccessChanged, notification.NeedsRoles, notification.Directories, notification.Expiry},
			}[string(h.ID)]
			if diff := cmp.Diff(h.Kinds, want); want != nil && diff != "" {
				t.Errorf("%s; got before want:\n%s", h.ID, diff)
			}
		}
		// Another secret is a change; what was made by hand stays, whatever is pruned.
		changed := mustRun(t, db, apply.Options{}, getenv("OPS_HOOK", "another secret of the webhook"), file)
		if !strings.Contains(changed, "secret changed") {
			t.Errorf("another secret: %s", changed)
		}
		out = mustRun(t, db, apply.Options{Prune: true}, getenv(), contract)
		if list := hooks(); !strings.Contains(out, "- webhook northwind/ops") || len(list) != 1 || list[0].URL != byHand {
			t.Errorf("after the prune: %v\n%s", list, out)
		}
	})
}

func TestRun_AWebhookThatCannotWorkIsRefusedByItsField(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	for line, want := range map[string]string{
		"{id: ops, url: http://hooks.example/x, secret: {env: OPS_HOOK}}":                     "webhooks[0].url",
		"{id: ops, url: https://hooks.example/x, secret: {env: SHORT}}":                       "webhooks[0].secret",
		"{id: ops, url: https://hooks.example/x, secret: {env: NOWHERE}}":                     "NOWHERE",
		"{id: ops, url: https://hooks.example/x}":                                             "webhooks[0]",
		"{id: ops, url: https://hooks.example/x, secret: {env: OPS_HOOK}, kinds: [security]}": "webhooks[0].kinds[0]",
		"{id: ops, url: https://hooks.example/x, secret: {env: OPS_HOOK}, kinds: []}":         "webhooks[0].kinds",
	} {
		_, err := run(db, apply.Options{}, getenv("OPS_HOOK", "a secret that is long enough", "SHORT", "nineteen characters"), withWebhooks(t, "      - "+line+"\n"))
		var problems apply.Problems
		if !errors.As(err, &problems) || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: %v, want it at %s", line, err, want)
		}
	}
}

// Nobody prunes a directory of thousands unseen.
func TestRun_ARemovalSaysHowManyPeopleItTouches(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		mustRun(t, db, apply.Options{}, getenv(), contract)
		if err := db.Write(context.Background(), "fieldserv", func(tx *store.Tx) error {
			_, err := tx.CreateJustInTime(context.Background(), store.NewUser{Email: "femi@fieldserv.example", EmailVerified: true, DisplayName: "Femi"},
				audit.Actor{Kind: audit.ActorOperator, ID: "op"})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		smaller := file(t, "small.yaml", `
version: 1
organizations:
  - {id: northwind, name: Northwind Energy}
`)
		for _, o := range []apply.Options{{Prune: true, DryRun: true}, {Prune: true}} {
			plan := mustRun(t, db, o, getenv(), smaller)
			for _, want := range []string{
				"- organization fieldserv\n    touches 1 person in it\n", "- directory northwind/entra\n    touches 0 people who come from it\n",
				"- connection northwind/corp\n    touches 0 people who sign in through it\n",
			} {
				if !strings.Contains(plan, want) {
					t.Errorf("dry run %v; %q is missing:\n%s", o.DryRun, want, plan)
				}
			}
		}
	})
}

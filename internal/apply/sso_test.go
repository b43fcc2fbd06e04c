package apply_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestRun_SingleSignOnDemandedByTheFileWaitsUntilItWorks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		soon := time.Now().AddDate(0, 6, 0).Format(time.DateOnly)
		path := edited(t, "enforce_sso: false", "enforce_sso: true\n    local_sign_in: [passkey, password]\n    sso_exceptions:\n"+
			"      - {address: Olga@northwind.example, kind: break-glass, expires: "+soon+", reason: runs the place}")
		out := mustRun(t, db, apply.Options{}, getenv(), path)
		for _, want := range []string{
			"declared, not in force yet: enforce_sso of northwind waits for northwind.example: nobody has come in through corp yet",
			"+ sign-on exception northwind/Olga@northwind.example",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in:\n%s", want, out)
			}
		}
		if out := mustRun(t, db, apply.Options{}, getenv(), path); !strings.Contains(out, "nothing to change") || !strings.Contains(out, "not in force yet") {
			t.Errorf("the second time:\n%s", out)
		}
		err := db.Read(ctx, "northwind", func(tx *store.Tx) error {
			e, err := tx.Enforcement(ctx)
			if err != nil {
				return err
			}
			self, err := tx.Self(ctx)
			if !e.Demanded() || e.InForce() || len(self.Settings.LocalSignIn) != 2 {
				t.Errorf("%+v, %v", e, self.Settings.LocalSignIn)
			}
			if err != nil {
				return err
			}
			x, err := tx.SSOExceptionOf(ctx, "olga@NORTHWIND.example")
			if x == nil || x.Source != "file" || x.Kind != store.BreakGlass {
				t.Errorf("the exception: %+v", x)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		// Somebody comes in: from then on it holds, and nothing is left to say.
		err = db.Write(ctx, "northwind", func(tx *store.Tx) error {
			u, err := tx.CreateJustInTime(ctx, store.NewUser{Email: "ann@northwind.example"}, audit.Actor{Kind: audit.ActorOperator, Name: "Olga", Door: audit.CLI})
			if err == nil {
				tx.AttachIdentity(ctx, "corp", u.ID, connection.Person{Issuer: "i", Subject: "s"})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if out := mustRun(t, db, apply.Options{}, getenv(), path); strings.Contains(out, "not in force") {
			t.Errorf("after a sign-in:\n%s", out)
		}
		// An empty list is none, and not nothing; without prune the exception stays.
		path = edited(t, "enforce_sso: false", "enforce_sso: false\n    local_sign_in: []")
		if out := mustRun(t, db, apply.Options{}, getenv(), path); !strings.Contains(out, "local_sign_in: passkey, password -> none") || strings.Contains(out, "- sign-on exception") {
			t.Errorf("taken back:\n%s", out)
		}
		if out := mustRun(t, db, apply.Options{Prune: true}, getenv(), path); !strings.Contains(out, "- sign-on exception northwind/Olga@northwind.example") {
			t.Errorf("pruned:\n%s", out)
		}
		if out := mustRun(t, db, apply.Options{}, getenv(), path); !strings.Contains(out, "nothing to change") {
			t.Errorf("again:\n%s", out)
		}
	})
}

func TestRead_WhatIsWrongAboutSigningInIsNamed(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for text, want := range map[string]string{
			"local_sign_in: [password, magic]":                                                                                                     `organizations[0].local_sign_in[1]: "magic" is neither password nor passkey`,
			"local_sign_in: [password, password]":                                                                                                  `organizations[0].local_sign_in[1]: password stands there twice`,
			"sso_exceptions: [{address: olga, kind: guest, expires: 2026-12-01}]":                                                                  `organizations[0].sso_exceptions[0].address: This is not an email address`,
			"sso_exceptions: [{address: o@northwind.example, kind: friend, expires: 2026-12-01}]":                                                  `organizations[0].sso_exceptions[0].kind: "friend" is neither`,
			"sso_exceptions: [{address: o@northwind.example, kind: guest, expires: 2099-01-01}]":                                                   `organizations[0].sso_exceptions[0].expires: An exception ends within a year`,
			"sso_exceptions: [{address: o@northwind.example, kind: guest}]":                                                                        `organizations[0].sso_exceptions[0].expires`,
			"sso_exceptions: [{address: o@n.example, kind: guest, expires: 2026-12-01}, {address: O@n.example, kind: guest, expires: 2026-12-01}]": `organizations[0].sso_exceptions[1].address: it is declared already`,
		} {
			_, err := run(db, apply.Options{}, getenv(), edited(t, "enforce_sso: false", "enforce_sso: false\n    "+text))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s:\n got %v\nwant %s", text, err, want)
			}
		}
		_, err := run(db, apply.Options{}, getenv(), edited(t, "enforce_sso: false", "enforce_sso: true", "        domains: [northwind.example]", "        domains: []"))
		if err == nil || !strings.Contains(err.Error(), "organizations[0].enforce_sso: no connection of northwind that is on has a domain") {
			t.Errorf("without a domain: %v", err)
		}
	})
}

package adminapi_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/store"
)

func TestConnectionMetadata_WaitsUntilItIsApproved(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		ctx, now := context.Background(), c.db.Now()
		of := connection.Connection{
			Organization: "northwind", ID: "okta", Name: "Okta", Protocol: connection.SAML,
			Settings: connection.Settings{Metadata: "https://idp.example/metadata"},
		}
		idp := &samltest.IdP{EntityID: "https://idp.example", Now: now}
		old, next := samltest.RSA(t, 0, now).Cert, samltest.RSA(t, 1, now).Cert
		approved := string(samltest.Bytes(t, idp.Describe("https://idp.example/sso", "https://idp.example/slo", old)))
		both := string(samltest.Bytes(t, idp.Describe("https://idp.example/sso", "https://idp.example/slo", old, next)))
		if err := c.db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(of)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		metadata, keys := northwind+"/connections/okta/metadata", northwind+"/connections/okta/keys"
		if got := c.want(200, "GET", metadata, ""); got["approved"] != nil || got["pending"] != nil {
			t.Errorf("before the first sign-in: %v", got)
		}
		if err := c.db.Write(ctx, "northwind", func(tx *store.Tx) error {
			tx.KeepSAMLMetadata(ctx, of, approved, time.Hour, nil)
			m, err := tx.SAMLMetadata(ctx, of)
			if err != nil {
				return err
			}
			tx.KeepSAMLPending(ctx, of, m, both, time.Hour, audit.Event{Action: "connection.metadata-changed", TargetKind: "connection", TargetID: "okta"})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		got := c.want(200, "GET", metadata, "")
		pending, _ := got["pending"].(map[string]any)
		if certificates, _ := pending["certificates"].([]any); len(certificates) != 2 || pending["entity_id"] != "https://idp.example" {
			t.Fatalf("what waits: %v", got)
		}
		fingerprint, _ := pending["fingerprint"].(string)
		c.want(409, "POST", metadata+"/approve", `{"fingerprint":"another"}`)
		c.want(204, "POST", metadata+"/approve", `{"fingerprint":"`+fingerprint+`","reason":"compared"}`)
		if got := c.want(200, "GET", metadata, ""); got["pending"] != nil || got["approved"].(map[string]any)["fingerprint"] != fingerprint {
			t.Errorf("after approving: %v", got)
		}
		c.want(409, "POST", metadata+"/decline", `{"fingerprint":"`+fingerprint+`"}`)
		c.want(404, "GET", northwind+"/connections/nowhere/metadata", "")

		if got := c.want(200, "GET", keys, "")["items"].([]any); len(got) != 0 {
			t.Errorf("keys before they are needed: %v", got)
		}
		made := c.want(201, "POST", keys, `{"purpose":"encryption"}`)
		c.want(409, "POST", keys, `{"purpose":"encryption"}`)
		c.want(422, "POST", keys, `{"purpose":"decoration"}`)
		key, _ := made["id"].(string)
		states := func() map[string]int {
			n := map[string]int{}
			for _, k := range c.want(200, "GET", keys, "")["items"].([]any) {
				k := k.(map[string]any)
				n[k["purpose"].(string)+" "+k["state"].(string)]++
			}
			return n
		}
		if n := states(); n["signing current"] != 1 || n["encryption current"] != 1 || n["encryption next"] != 1 {
			t.Errorf("the next one: %v", n)
		}
		c.want(204, "POST", keys+"/"+key+"/use", "")
		c.want(409, "POST", keys+"/"+key+"/use", "")
		c.want(409, "DELETE", keys+"/"+key, "")
		if n := states(); n["encryption current"] != 1 || n["encryption former"] != 1 {
			t.Errorf("in use: %v", n)
		}
		c.want(404, "DELETE", keys+"/nothing", "")
	})
}

// Whether a provider knows us by keys of our own is decided in one place; each door says it in its own form.
func TestConnectionKeys_AreThoseThatTheProviderKnowsUsBy(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		at := northwind + "/connections/"
		c.want(201, "POST", northwind+"/connections", `{"id":"secret","protocol":"oidc","name":"By secret",`+corp+`}`)
		c.want(201, "POST", northwind+"/connections", `{"id":"keyed","protocol":"oidc","name":"By key","auth_method":"private_key_jwt",`+
			strings.Replace(corp, `"client_secret":"s3cret-word",`, "", 1)+`}`)
		for _, call := range [][2]string{{"GET", ""}, {"POST", `{"purpose":"signing"}`}} {
			if got := c.want(404, call[0], at+"secret/keys", call[1]); got["detail"] != "By secret does not know us by keys of our own." {
				t.Errorf("%v: %v", call, got)
			}
		}
		if got := c.want(404, "GET", at+"keyed/metadata", ""); got["detail"] != "By key does not sign people in by SAML." {
			t.Errorf("%v", got)
		}
		if got := c.want(422, "POST", at+"keyed/keys", `{"purpose":"encryption"}`); !strings.Contains(toText(t, got), `"field":"purpose"`) {
			t.Errorf("%v", got)
		}
		c.want(201, "POST", at+"keyed/keys", `{"purpose":"signing"}`)
		// Nor by the way behind the doors.
		key, err := c.db.MakeSAMLKey("northwind", "secret", store.KeySigns)
		if err == nil {
			err = c.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
				return tx.AddSAMLKey(t.Context(), audit.Actor{Kind: audit.ActorOperator, ID: "op"}, "secret", key)
			})
		}
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("a key that nobody knows us by: %v", err)
		}
	})
}

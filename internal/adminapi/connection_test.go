package adminapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/store"
)

const corp = `"issuer":"https://idp.example","client_id":"vestibule","client_secret":"s3cret-word","directory":"entra","match_claim":"oid","match_attribute":"externalId"`

func TestConnections_AreMadeAsDraftsAndKeepTheirSecret(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		const path = northwind + "/connections"
		made := c.want(201, "POST", path, `{"id":"corp","protocol":"oidc","name":"Corporate","preset":"entra",`+corp+`}`)
		if made["state"] != "draft" || made["has_secret"] != true || made["version"] != 1.0 || made["provisioning"] != "directory-only" {
			t.Errorf("what was made: %v", made)
		}
		var kept store.ManagedConnection
		err := c.db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			kept, err = tx.ManagedConnection(t.Context(), "corp")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		secret, err := c.db.Keys.Open(connection.SecretPlace("northwind", "corp"), kept.Settings.ClientSecret)
		if err != nil || string(secret) != "s3cret-word" {
			t.Errorf("the secret: %q %v", secret, err)
		}
		// A draft lets nobody in, so that a wrong one shuts nobody out; opening it needs somebody who passed a test.
		if got := c.want(409, "POST", path+"/corp/open", ""); !strings.Contains(got["detail"].(string), "test sign-in") {
			t.Errorf("the refusal: %v", got)
		}
		// Changing needs the version that was looked at, and leaves the secret where none is sent.
		c.want(409, "PUT", path+"/corp", `{"version":7,"name":"Corporate",`+strings.Replace(corp, `"client_secret":"s3cret-word",`, "", 1)+`}`)
		changed := c.want(200, "PUT", path+"/corp", `{"version":1,"name":"Company","groups_claim":"groups",`+strings.Replace(corp, `"client_secret":"s3cret-word",`, "", 1)+`}`)
		if changed["version"] != 2.0 || changed["has_secret"] != true || changed["name"] != "Company" {
			t.Errorf("what was changed: %v", changed)
		}
		// Negative case 189: no answer and no event has the secret, in the clear or sealed.
		list := c.want(200, "GET", path, "")
		events := c.want(200, "GET", northwind+"/audit", "")
		for _, said := range []any{made, changed, list, events} {
			if text := strings.ToLower(toText(t, said)); strings.Contains(text, "s3cret-word") || strings.Contains(text, strings.ToLower(kept.Settings.ClientSecret)) {
				t.Errorf("it shows the secret: %s", text)
			}
		}
		c.want(422, "PUT", path+"/corp", `{"version":2,"name":"Company","client_id":"vestibule","issuer":"https://login.microsoftonline.com/common/v2.0"}`)
		c.want(204, "DELETE", path+"/corp", "")
		c.want(404, "GET", path+"/corp", "")
	})
}

func TestConnections_OfTheFileAreChangedThere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		err := c.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(connection.Connection{
				Organization: "northwind", ID: "declared", Name: "Declared", Protocol: connection.OIDC,
				Settings: connection.Settings{Issuer: "https://idp.example", ClientID: "vestibule", Scopes: []string{"openid"}},
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		const path = northwind + "/connections/declared"
		if got := c.want(200, "GET", path, ""); got["declared"] != true || got["state"] != "on" {
			t.Errorf("%v", got)
		}
		for _, call := range [][2]string{{"PUT", path}, {"POST", path + "/close"}, {"DELETE", path}} {
			body := ""
			if call[0] == "PUT" {
				body = `{"version":1,"name":"Mine","issuer":"https://evil.example","client_id":"x"}`
			}
			if got := c.want(409, call[0], call[1], body); !strings.Contains(got["detail"].(string), "operator's file") {
				t.Errorf("%v: %v", call, got)
			}
		}
	})
}

// Negative case 187 on this door: claiming a domain gives nothing, and only a proven one may lead to a connection.
func TestDomains_AreClaimedByAnybodyAndProvenByTheirOwner(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		made := c.want(201, "POST", northwind+"/domains", `{"domain":"Northwind.Example."}`)
		if made["domain"] != "northwind.example" || made["state"] != "waiting" || made["record_name"] != "_vestibule-challenge.northwind.example" || len(made["record_value"].(string)) != 43 {
			t.Errorf("%v", made)
		}
		c.want(409, "POST", northwind+"/domains", `{"domain":"northwind.example"}`)
		c.want(422, "POST", northwind+"/domains", `{"domain":"no domain"}`)
		other := c.want(201, "POST", "/api/v1/organizations/fieldserv/domains", `{"domain":"northwind.example"}`)
		if other["record_value"] == made["record_value"] {
			t.Error("two organizations prove a domain with one value")
		}
		got := c.want(422, "POST", northwind+"/connections", `{"id":"corp","protocol":"oidc","name":"Corporate","domains":["northwind.example"],`+corp+`}`)
		if !strings.Contains(toText(t, got), "not proven") {
			t.Errorf("%v", got)
		}
		c.want(204, "DELETE", northwind+"/domains/northwind.example", "")
		c.want(404, "DELETE", northwind+"/domains/northwind.example", "")
	})
}

func toText(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

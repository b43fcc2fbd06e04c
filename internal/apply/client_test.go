package apply_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const publicKey = `{kty: EC, crv: P-256, kid: k1, x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`

func TestRun_ClientsOfADirectory(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		secrets := getenv("ENTRA_CLIENT_SECRET", "a long secret of the client")
		file := withSettings(t, `        clients:
          - {id: by-secret, secret: {env: ENTRA_CLIENT_SECRET}}
          - {id: by-key, jwks: {keys: [`+publicKey+`]}}
          - {id: by-address, jwks_uri: "https://login.northwind.example/keys"}
`)
		out := mustRun(t, db, apply.Options{}, secrets, file)
		if !strings.Contains(out, "directory client northwind/entra/by-secret") || strings.Contains(out, "a long secret") {
			t.Errorf("the plan says: %s", out)
		}
		d, _ := state(t, db)
		if len(d.Clients) != 3 {
			t.Fatalf("kept are %+v", d.Clients)
		}
		for _, c := range d.Clients {
			switch c.ID {
			case "by-secret":
				if !db.Keys.Matches("a long secret of the client", c.SecretHash) || c.Keys != "" {
					t.Errorf("kept is %+v", c)
				}
			case "by-key":
				if !strings.Contains(c.Keys, `"kid":"k1"`) || c.SecretHash != "" {
					t.Errorf("kept is %+v", c)
				}
			case "by-address":
				if c.KeysURL != "https://login.northwind.example/keys" {
					t.Errorf("kept is %+v", c)
				}
			}
		}
		if again := mustRun(t, db, apply.Options{}, secrets, file); strings.Contains(again, "client") {
			t.Errorf("the second time changes: %s", again)
		}
		gone := mustRun(t, db, apply.Options{Prune: true}, secrets, contract)
		if d, _ := state(t, db); len(d.Clients) != 0 {
			t.Errorf("left are %+v: %s", d.Clients, gone)
		}
	})
}

func TestRun_ASecretOfTwentyCharactersIsLongEnough(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	secrets := getenv("TWENTY", "exactly twenty chars")
	mustRun(t, db, apply.Options{}, secrets, withSettings(t, "        clients: [{id: a, secret: {env: TWENTY}}]\n"))
	mustRun(t, db, apply.Options{}, secrets, withWebhooks(t, "      - {id: ops, url: https://hooks.example/x, secret: {env: TWENTY}}\n"))
	if d, _ := state(t, db); len(d.Clients) != 1 || len(d.Webhooks) != 1 {
		t.Errorf("kept are %+v and %+v", d.Clients, d.Webhooks)
	}
}

func TestRun_WrongClientsAreRefused(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	private := strings.Replace(publicKey, "kid: k1", `kid: k1, d: "secret"`, 1)
	for client, want := range map[string]string{
		`{id: a}`:                                       "names 0 of them",
		`{id: a, secret: plain}`:                        "never written into the file",
		`{id: a, secret: {env: SHORT}}`:                 "at least 20 characters",
		`{id: a, jwks: {keys: []}}`:                     "list of keys",
		`{id: a, jwks: {keys: [` + private + `]}}`:      "only the public part",
		`{id: a, jwks: {keys: [{kty: oct, k: "AA"}]}}`:  "a shared secret",
		`{id: a, jwks: {keys: [{kty: DSA}]}}`:           "RSA, EC and OKP",
		`{id: a, jwks_uri: "http://keys.example/jwks"}`: "not an https address",
		`{id: a, jwks_uri: "https://k.example", jwks: {keys: [` + publicKey + `]}}`: "names 2 of them",
		`{id: a, jwks_url: "https://k.example"}`:                                    "jwks_url",
	} {
		_, err := run(db, apply.Options{}, getenv("SHORT", "nineteen characters"), withSettings(t, "        clients: ["+client+"]\n"))
		var problems apply.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", client, err, want)
		}
	}
}

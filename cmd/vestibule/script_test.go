package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vestibule": main})
}

// TestScripts runs testdata/script on both stores: what an operator types and what he reads. On each, a script begins with
// an empty store, and contract.yaml is the contract's file with everything in the environment that it asks for.
func TestScripts(t *testing.T) {
	t.Parallel()
	contract, err := os.ReadFile("../../internal/apply/testdata/northwind.yaml")
	if err != nil {
		t.Fatal(err)
	}
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		testscript.Run(t, testscript.Params{
			Dir: "testdata/script",
			Setup: func(env *testscript.Env) error {
				database := "sqlite:" + filepath.Join(env.WorkDir, "var", "v.db")
				if kind == storetest.Postgres {
					database = storetest.EmptyURL(t, kind)
					env.Setenv("VESTIBULE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
				}
				env.Setenv("VESTIBULE_DATABASE", database)
				for _, v := range []string{
					"NORTHWIND_SCIM_TOKEN=northwind-scim-token", "NORTHWIND_OIDC_ISSUER=http://127.0.0.1:9300",
					"NORTHWIND_OIDC_SECRET=northwind-oidc-secret", "FIELDSERV_SCIM_TOKEN=fieldserv-scim-token",
					"FIELDSERV_SAML_METADATA=https://idp.fieldserv.example/metadata", "DASHBOARD_CLIENT_SECRET=dashboard-client-secret",
				} {
					name, value, _ := strings.Cut(v, "=")
					env.Setenv(name, value)
				}
				return os.WriteFile(filepath.Join(env.WorkDir, "contract.yaml"), contract, 0o600)
			},
			Condition: func(cond string) (bool, error) { return cond == string(kind), nil },
		})
	})
}

func TestMain_UsageIsAnExitCodeOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"apply"}, {"serve", "--nonsense"}, {"token", "create"}, {"token", "create", "--operator", "--organization", "o"}} {
		var said strings.Builder
		if got := run(terminal{context.Background(), io.Discard, &said}, args); got != exitUsage {
			t.Errorf("%v: got %d, want %d (%s)", args, got, exitUsage, said.String())
		}
	}
}

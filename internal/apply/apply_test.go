package apply_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const contract = "testdata/northwind.yaml"

var environment = map[string]string{
	"NORTHWIND_SCIM_TOKEN":    "northwind-scim-token",
	"NORTHWIND_OIDC_ISSUER":   "http://127.0.0.1:9300",
	"NORTHWIND_OIDC_SECRET":   "northwind-oidc-secret",
	"FIELDSERV_SCIM_TOKEN":    "fieldserv-scim-token",
	"FIELDSERV_SAML_METADATA": "https://idp.fieldserv.example/metadata",
	"DASHBOARD_CLIENT_SECRET": "dashboard-client-secret",
}

// getenv reads the environment with some of it changed; "" takes a variable away.
func getenv(changes ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(changes); i += 2 {
			if changes[i] == name {
				return changes[i+1], changes[i+1] != ""
			}
		}
		v, ok := environment[name]
		return v, ok
	}
}

// edited is the contract's file with some of its text replaced.
func edited(t *testing.T, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	s := string(text)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(s, replace[i]) {
			t.Fatalf("%q does not stand in the file", replace[i])
		}
		s = strings.Replace(s, replace[i], replace[i+1], 1)
	}
	return file(t, "northwind.yaml", s)
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(db *store.DB, o apply.Options, env func(string) (string, bool), files ...string) (string, error) {
	d, err := apply.Read(files, env)
	if err != nil {
		return "", err
	}
	plan, err := d.Run(context.Background(), db, o)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	plan.Print(&out)
	return out.String(), nil
}

func mustRun(t *testing.T, db *store.DB, o apply.Options, env func(string) (string, bool), files ...string) string {
	t.Helper()
	out, err := run(db, o, env, files...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// state is everything declared, and the versions that a change moves.
func state(t *testing.T, db *store.DB) (d *store.Declared, versions []int64) {
	t.Helper()
	err := db.System().Read(context.Background(), func(tx *store.SystemTx) (err error) {
		if d, err = tx.Declared(context.Background()); err != nil {
			return err
		}
		for _, o := range d.Organizations {
			self, err := tx.In(o.ID).Self(context.Background())
			if err != nil {
				return err
			}
			versions = append(versions, self.Version)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d, versions
}

func TestRun_TheContractsFileLoadsAndTheSecondTimeChangesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		out := mustRun(t, db, apply.Options{}, getenv(), contract)
		for _, want := range []string{
			"+ permission assets.read\n", "+ role owner\n", "+ exclusive roles auditor and billing-clerk\n",
			"+ organization northwind\n", "+ resource northwind/london-1-roof\n", "+ directory token northwind/entra/main\n",
			"+ group role northwind/London Team: asset-editor at london-1\n", "+ application energy-dashboard\n",
			"+ application legacy-reports\n",
			"+ provider relationship fieldserv -> northwind\n",
			" to add, 0 to change, 0 to remove\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		before, versions := state(t, db)
		for _, secret := range environment {
			if strings.Contains(out, secret) && !strings.HasPrefix(secret, "http") {
				t.Errorf("the secret %s was printed", secret)
			}
		}
		out = mustRun(t, db, apply.Options{}, getenv(), contract)
		if !strings.HasSuffix(out, "nothing to change\n") || strings.ContainsAny(out[:1], "+~-") {
			t.Errorf("the second time did something:\n%s", out)
		}
		after, versionsAfter := state(t, db)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(versions, versionsAfter); diff != "" {
			t.Errorf("versions moved: %s", diff)
		}
		if out := mustRun(t, db, apply.Options{Prune: true}, getenv(), contract); out != "nothing to change\n" {
			t.Errorf("pruning by the same file did something:\n%s", out)
		}
	})
}

func TestRun_WhatIsKeptOfTheContractsFile(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	mustRun(t, db, apply.Options{}, getenv(), contract)
	d, _ := state(t, db)
	if got := d.Tokens[1].Hash; !db.Keys.Matches("northwind-scim-token", got) {
		t.Errorf("the token's hash %q is not of the token", got)
	}
	secret, err := db.Keys.Open("connection/northwind/corp", d.Connections[1].Settings.ClientSecret)
	if err != nil || string(secret) != "northwind-oidc-secret" {
		t.Errorf("the client secret opens to %q, %v", secret, err)
	}
	// Between braces a comma ends a plain text in YAML; the contract's file means the whole sentence.
	if got, want := d.Permissions[4].Name, "Create, edit and delete dashboards"; got != want {
		t.Errorf("name: got %q, want %q", got, want)
	}
	var domains []string
	for _, m := range d.Domains {
		domains = append(domains, m.Domain+" "+string(m.Organization)+"/"+string(m.Connection))
	}
	if diff := cmp.Diff(domains, []string{"fieldserv.example fieldserv/saml", "northwind.example northwind/corp"}); diff != "" {
		t.Error(diff)
	}
	for _, r := range d.Directories {
		if want := map[string]string{"entra": "externalId", "okta": "userName"}[string(r.ID)]; r.Key != want {
			t.Errorf("key of %s: got %s, want %s", r.ID, r.Key, want)
		}
	}
	if got := d.Organizations[1].Settings.Session.IdleSeconds; got != 2*3600 {
		t.Errorf("idle: got %d seconds, want two hours", got)
	}
}

func TestRun_ReadableDiffAndDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		mustRun(t, db, apply.Options{}, getenv(), contract)
		before, _ := state(t, db)
		changed := edited(t, "seat_limit: 500", "seat_limit: 600", "name: Berlin 1", "name: Berlin One",
			"  - {id: reports.export,     name: Export reports}\n", "  - {id: reports.export,     name: Export reports}\n  - {id: reports.read, name: Read reports}\n",
			"session: {lifetime: 12h, idle: 2h}", "session: {lifetime: 1d12h, idle: 90m}")
		env := getenv("NORTHWIND_SCIM_TOKEN", "another-token", "NORTHWIND_OIDC_SECRET", "another-secret")
		out := mustRun(t, db, apply.Options{DryRun: true}, env, changed)
		want := `+ permission reports.read
~ organization northwind
    seat_limit: 500 -> 600
    session.idle: 2h -> 1h30m
    session.lifetime: 12h -> 1d12h
~ resource northwind/berlin-1
    name: Berlin 1 -> Berlin One
~ directory token northwind/entra/main
    secret changed
~ connection northwind/corp
    secret changed
`
		got := out[:strings.LastIndex(strings.TrimSuffix(out, "\n"), "\n")+1]
		// A permission in the middle moves those behind it; that is one more line each, and no more.
		var lines []string
		for i, all := 0, strings.SplitAfter(got, "\n"); i < len(all); i++ {
			if i+1 < len(all) && strings.Contains(all[i+1], "its place in the order") {
				i++
				continue
			}
			lines = append(lines, all[i])
		}
		if diff := cmp.Diff(strings.Join(lines, ""), want); diff != "" {
			t.Error(diff)
		}
		after, _ := state(t, db)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("a dry run wrote: %s", diff)
		}
		mustRun(t, db, apply.Options{}, env, changed)
		if out := mustRun(t, db, apply.Options{}, env, changed); !strings.HasSuffix(out, "nothing to change\n") {
			t.Errorf("applied, and still:\n%s", out)
		}
	})
}

func TestRun_PruneRemovesWhatTheFilesNoLongerDeclare(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		mustRun(t, db, apply.Options{}, getenv(), contract)
		smaller := file(t, "small.yaml", `
version: 1
permissions:
  - {id: assets.read, name: View assets}
roles:
  - {id: viewer, name: Standard Viewer, permissions: [assets.read]}
organizations:
  - id: northwind
    name: Northwind Energy
    resources:
      - {id: emea, type: portfolio, name: EMEA}
`)
		if out := mustRun(t, db, apply.Options{}, getenv(), smaller); strings.Contains(out, "\n- ") {
			t.Errorf("removed without being asked to:\n%s", out)
		}
		out := mustRun(t, db, apply.Options{Prune: true}, getenv(), smaller)
		for _, want := range []string{
			"- application energy-dashboard\n", "- organization fieldserv\n", "- resource northwind/london-1\n",
			"- directory northwind/entra\n", "- role owner\n", "- domain northwind.example\n",
		} {
			if !strings.Contains("\n"+out, "\n"+want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		d, _ := state(t, db)
		if len(d.Organizations) != 1 || len(d.Roles) != 1 || len(d.Resources) != 1 || len(d.Connections)+len(d.Directories)+
			len(d.Tokens)+len(d.Domains)+len(d.Applications)+len(d.Relationships)+len(d.Exclusive)+len(d.GroupRoles)+len(d.Groups) != 0 {
			t.Errorf("something is left: %+v", d)
		}
	})
}

func TestRun_SeveralFilesMakeOneDeclaration(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	catalogue := file(t, "catalogue.yaml", "version: 1\npermissions: [{id: a.read}]\nroles: [{id: viewer, permissions: [a.read]}]\n")
	world := file(t, "world.yaml", "version: 1\norganizations: [{id: o, default_roles: [viewer]}]\n")
	if _, err := run(db, apply.Options{}, getenv(), world); err == nil {
		t.Error("a role that is declared nowhere was accepted")
	}
	mustRun(t, db, apply.Options{}, getenv(), world, catalogue)
	// What lies in the store may be referred to.
	another := file(t, "another.yaml", "version: 1\norganizations: [{id: p, default_roles: [viewer]}]\n")
	mustRun(t, db, apply.Options{}, getenv(), another)
	_, err := run(db, apply.Options{}, getenv(), world, file(t, "twice.yaml", "version: 1\n\norganizations:\n  - id: o\n"))
	if err == nil || !strings.Contains(err.Error(), "twice.yaml:4: organizations[0].id: it is declared already at ") {
		t.Errorf("declared twice: got %v", err)
	}
}

func TestRun_AMovedDomainLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	mustRun(t, db, apply.Options{}, getenv(), contract)
	out := mustRun(t, db, apply.Options{}, getenv(), edited(t,
		"domains: [northwind.example]        # home realm discovery", "domains: [nw.example] # home realm discovery"))
	if !strings.Contains(out, "+ domain nw.example\n") || !strings.Contains(out, "- domain northwind.example\n") {
		t.Errorf("got\n%s", out)
	}
}

func TestRun_Refusals(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	empty, _ := state(t, db)
	for name, c := range map[string]struct {
		replace []string
		env     []string
		want    string
	}{
		"unknown field":                {[]string{"seat_limit:", "seat_limmit:"}, nil, `northwind.yaml:71: organizations[0].seat_limmit: there is no such field here; did you mean "seat_limit"?`},
		"missing secret":               {nil, []string{"NORTHWIND_SCIM_TOKEN", ""}, "organizations[0].directories[0].tokens[0].secret: the environment variable NORTHWIND_SCIM_TOKEN is not set"},
		"missing file":                 {[]string{"{env: NORTHWIND_OIDC_SECRET}", "{file: none.txt}"}, nil, "client_secret: the file none.txt cannot be read"},
		"secret written out":           {[]string{"{env: DASHBOARD_CLIENT_SECRET}", "hunter2"}, nil, "applications[0].client_secret: a secret is never written into the file"},
		"unknown role":                 {[]string{"default_roles: [viewer] ", "default_roles: [veiwer] "}, nil, `default_roles[0]: there is no role "veiwer"; did you mean "viewer"?`},
		"unknown include":              {[]string{"includes: [viewer] ", "includes: [nobody] "}, nil, `roles[1].includes[0]: There is no role "nobody".`},
		"cycle":                        {[]string{"permissions: [assets.read, dashboards.read]", "permissions: [assets.read, dashboards.read]\n    includes: [user]"}, nil, "viewer includes itself"},
		"unknown permission":           {[]string{"permissions: [tasks.manage]", "permissions: [tasks.mangle]"}, nil, `roles[2].permissions[0]: There is no permission "tasks.mangle"`},
		"exclusive by inclusion":       {[]string{"permissions: [billing.read, billing.manage]\n\n", "permissions: [billing.read, billing.manage]\n    includes: [auditor]\n\n"}, nil, "one person must not hold together"},
		"duplicate id":                 {[]string{"id: task-manager", "id: viewer"}, nil, "roles[2].id: it is declared already at"},
		"messages without secret":      {[]string{"enforce_sso: false", "enforce_sso: false\n    messages: {url: https://sms.example/send}"}, nil, "organizations[0].messages.secret: a secret is wanted"},
		"messages in the clear":        {[]string{"enforce_sso: false", "enforce_sso: false\n    messages: {url: http://sms.example/send}"}, nil, "organizations[0].messages.url: \"http://sms.example/send\" is not an https address"},
		"duration":                     {[]string{"lifetime: 12h", "lifetime: 12 hours"}, nil, `session.lifetime: "12 hours" is not a duration such as`},
		"idle beyond lifetime":         {[]string{"idle: 2h", "idle: 13h"}, nil, "session.idle: a session cannot lie idle longer"},
		"date":                         {[]string{"expires: 2030-01-01}", "expires: soon}"}, nil, `tokens[0].expires: "soon" is neither a day`},
		"unknown resource":             {[]string{"resource: london-1}", "resource: paris-1}"}, nil, `group_roles[0].resource: there is no resource "paris-1" in northwind`},
		"dialect":                      {[]string{"dialect: entra ", "dialect: azure "}, nil, `directories[0].dialect: "azure" is none of entra`},
		"key":                          {[]string{"key: externalId", "key: mail"}, nil, `directories[0].key: "mail" is neither`},
		"match against key":            {[]string{"attribute: externalId", "attribute: userName"}, nil, "connections[0].match.attribute: The directory entra is keyed by externalId"},
		"unknown directory":            {[]string{"directory: entra ", "directory: azure "}, nil, `connections[0].directory: This organization has no directory "azure"`},
		"protocol":                     {[]string{"protocol: saml\n        metadata", "protocol: smal\n        metadata"}, nil, `connections[0].protocol: "smal" is no protocol`},
		"issuer in the clear":          {nil, []string{"NORTHWIND_OIDC_ISSUER", "http://idp.example"}, "connections[0].issuer: \"http://idp.example\" is not an https address"},
		"redirect in the clear":        {[]string{"http://127.0.0.1:9401/callback", "http://app.example/callback"}, nil, "applications[0].redirect_uris: "},
		"one domain twice":             {[]string{"domains: [fieldserv.example]\n        directory", "domains: [northwind.example]\n        directory"}, nil, "domains[0]: it is declared already at"},
		"metadata is no metadata":      {nil, []string{"FIELDSERV_SAML_METADATA", "<html></html>"}, "connections[0].metadata: the document is not SAML metadata"},
		"metadata with doctype":        {nil, []string{"FIELDSERV_SAML_METADATA", `<!DOCTYPE x><EntityDescriptor/>`}, "DOCTYPE"},
		"unknown organization":         {[]string{"organizations: [northwind]", "organizations: [westwind]"}, nil, `applications[1].organizations[0]: there is no organization "westwind"`},
		"unknown provider":             {[]string{"provider: fieldserv", "provider: nobody"}, nil, `providers[0].provider: there is no organization "nobody"`},
		"one token for two":            {nil, []string{"FIELDSERV_SCIM_TOKEN", "with blank"}, "a bearer token holds no blanks"},
		"version":                      {[]string{"version: 1", "version: 2"}, nil, "version: this program reads version 1"},
		"anchor":                       {[]string{"name: Standard Viewer", "name: &x Standard Viewer"}, nil, "anchors, aliases and tags are not read here"},
		"syntax":                       {[]string{"seat_limit: 500", "seat_limit: [500"}, nil, "northwind.yaml:"},
		"below itself":                 {[]string{"{id: london-1-roof, type: building, name: Roof plant}", "{id: london-1, type: building, name: Roof plant}"}, nil, "it is declared already at"},
		"default roles excluded":       {[]string{"default_roles: [viewer] ", "default_roles: [auditor, billing-clerk] "}, nil, "default_roles[1]: nobody may hold auditor and billing-clerk together"},
		"an older version":             {[]string{"version: 1", "version: 0"}, nil, "version: this program reads version 1"},
		"a custom role's id":           {[]string{"id: task-manager", "id: custom:task-manager"}, nil, "roles[2].id: what begins with custom: is made in an organization"},
		"excludes itself":              {[]string{"- [auditor, billing-clerk]", "- [auditor, billing-clerk, auditor]"}, nil, "exclusive_roles[0]: a role stands in it twice"},
		"no seat at all":               {[]string{"seat_limit: 500", "seat_limit: 0"}, nil, "organizations[0].seat_limit: at least one seat"},
		"the root below itself":        {[]string{"{id: london-1-roof, type: building, name: Roof plant}", "{id: northwind, type: building, name: Roof plant}"}, nil, "northwind is the organization itself"},
		"a token outside ASCII":        {nil, []string{"FIELDSERV_SCIM_TOKEN", "fieldserv-tokén-0123456789abcdef"}, "a bearer token holds no blanks"},
		"metadata without a root":      {nil, []string{"FIELDSERV_SAML_METADATA", "<!-- nothing -->"}, "connections[0].metadata: the metadata document is not well-formed XML"},
		"a successor's address":        {[]string{"require_mfa: false", "require_mfa: false\n    successor: ann"}, nil, `organizations[0].successor: "ann" is not an address`},
		"its own provider":             {[]string{"provider: fieldserv", "provider: northwind"}, nil, "providers[0].client: an organization does not serve itself"},
		"unknown directory of a group": {[]string{"resource: london-1}", "resource: london-1, directory: okta}"}, nil, `group_roles[0].directory: there is no directory "okta" in northwind`},
		"role not available":           {[]string{`available_roles: ["*"] `, "available_roles: [viewer] "}, nil, "group_roles[0].role: available_roles does not let"},
	} {
		t.Run(name, func(t *testing.T) {
			path := contract
			if c.replace != nil {
				path = edited(t, c.replace...)
			}
			_, err := run(db, apply.Options{}, getenv(c.env...), path)
			var problems apply.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v\nwant %q in it", err, c.want)
			}
			for _, line := range strings.Split(err.Error(), "\n") {
				if !strings.Contains(line, "northwind.yaml:") {
					t.Errorf("a problem names no file and line: %s", line)
				}
			}
			after, _ := state(t, db)
			if diff := cmp.Diff(empty, after); diff != "" {
				t.Errorf("something was applied: %s", diff)
			}
		})
	}
}

func TestRun_AllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	_, err := run(db, apply.Options{}, getenv("NORTHWIND_SCIM_TOKEN", "", "DASHBOARD_CLIENT_SECRET", ""),
		edited(t, "seat_limit:", "seatlimit:", "default_roles: [viewer] ", "default_roles: [viever] "))
	var problems apply.Problems
	if !errors.As(err, &problems) || len(problems) != 4 {
		t.Fatalf("got %v, want four problems", err)
	}
}

// The file that the console gives to begin from is one that can be applied as it stands, and leads to an owner.
func TestRun_TakesTheFileToStartFrom(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		path := filepath.Join("..", "console", "starter.yaml")
		mustRun(t, db, apply.Options{}, getenv(), path)
		if out := mustRun(t, db, apply.Options{}, getenv(), path); !strings.Contains(out, "nothing to change") {
			t.Errorf("got %q at the second time, want nothing to change", out)
		}
	})
}

// A secret that a file begins to name, or names no longer, shows in no plan: not even sealed.
func TestRun_ASecretThatComesOrGoesIsNotShown(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		secrets := getenv("SMS_SECRET", "a secret that is long enough")
		with := edited(t, "enforce_sso: false", "enforce_sso: false\n    messages: {url: https://sms.example/send, secret: {env: SMS_SECRET}}")
		mustRun(t, db, apply.Options{}, secrets, contract)
		for _, step := range []string{with, contract} {
			out := mustRun(t, db, apply.Options{}, secrets, step)
			if !strings.Contains(out, "secret changed") || strings.Contains(out, "messages.secret:") || strings.Contains(out, "long enough") {
				t.Errorf("the plan says:\n%s", out)
			}
		}
	})
}

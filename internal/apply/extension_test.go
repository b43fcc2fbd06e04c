package apply_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// beside puts a file next to another.
func beside(t *testing.T, file, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const badgeSchema = `{"id":"urn:example:badge:1.0:User","name":"Badge","attributes":[{"name":"number","type":"string","uniqueness":"server"}]}`

func TestRun_ExtensionsOfADirectory(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		mustRun(t, db, apply.Options{}, getenv(), contract)
		with := func(lines, schema string) string {
			name := withSettings(t, "        "+lines+"\n")
			beside(t, name, "badge.json", schema)
			return mustRun(t, db, apply.Options{}, getenv(), name)
		}
		held := func() []directory.Extension {
			d, _ := state(t, db)
			return d.Directories[1].Extensions
		}
		out := with("extensions: [enterprise, {file: badge.json, required: true}]", badgeSchema)
		if !strings.Contains(out, "extensions: enterprise -> enterprise, urn:example:badge:1.0:User of User, required (") {
			t.Errorf("the change is not told: %s", out)
		}
		schema, err := scim.LoadExtension([]byte(badgeSchema))
		if err != nil {
			t.Fatal(err)
		}
		badge := directory.Extension{ID: "urn:example:badge:1.0:User", Resource: "User", Required: true, Definition: schema.Definition()}
		if diff := cmp.Diff(held(), []directory.Extension{directory.Enterprise(), badge}); diff != "" {
			t.Error(diff)
		}
		// The same schema in another spelling is no change; another attribute is one.
		spelled := strings.ReplaceAll(badgeSchema, ",", " ,\n  ")
		if out := with("extensions: [enterprise, {file: badge.json, resource: User, required: true}]", spelled); strings.Contains(out, "extensions") {
			t.Errorf("a change is told where there is none: %s", out)
		}
		if out := with("extensions: [enterprise, {file: badge.json, required: true}]", strings.Replace(badgeSchema, "}]}", `},{"name":"floor","type":"integer"}]}`, 1)); !strings.Contains(out, "extensions: ") {
			t.Errorf("a new attribute is not told: %s", out)
		}
		if out := with("extensions: []", badgeSchema); !strings.Contains(out, "-> none") || held() == nil || len(held()) != 0 {
			t.Errorf("none: %s, %v", out, held())
		}
		mustRun(t, db, apply.Options{}, getenv(), contract)
		if held() != nil {
			t.Errorf("the default: %v", held())
		}
	})
}

// A dry run foretells what the run would be refused over: what the records hold. It keeps nothing.
func TestRun_ADryRunForetellsARefusalOverWhatIsStored(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		name := withSettings(t, "        extensions: [{file: badge.json}]\n")
		beside(t, name, "badge.json", badgeSchema)
		mustRun(t, db, apply.Options{}, getenv(), name)
		declared, _ := state(t, db)
		settled := declared.Directories[1]
		err := db.Write(ctx, settled.Organization, func(tx *store.Tx) error {
			d, err := tx.Directory(ctx, settled.ID)
			if err != nil {
				return err
			}
			types, err := d.Types()
			if err != nil {
				return err
			}
			_, refusal, err := tx.Push(store.Pusher{Directory: *d, Dialect: scim.RFC, User: types.User, Group: types.Group}).CreateUser(ctx, scim.Result{Attributes: scim.Attributes{
				"schemas": []any{scim.UserURN, "urn:example:badge:1.0:User"}, "userName": "ann", "active": true, "urn:example:badge:1.0:User": map[string]any{"number": "1"},
			}}, scim.Want{})
			return errors.Join(refusal, err)
		})
		if err != nil {
			t.Fatal(err)
		}
		before, versions := state(t, db)
		_, told := run(db, apply.Options{DryRun: true}, getenv(), contract)
		_, refused := run(db, apply.Options{}, getenv(), contract)
		if told == nil || refused == nil || told.Error() != refused.Error() || !strings.Contains(told.Error(), "of its records 1 hold urn:example:badge:1.0:User") {
			t.Errorf("foretold: %v; refused: %v", told, refused)
		}
		// What is not refused is told, and not done.
		beside(t, name, "badge.json", strings.Replace(badgeSchema, "}]}", `},{"name":"floor","type":"integer"}]}`, 1))
		if out := mustRun(t, db, apply.Options{DryRun: true}, getenv(), name); !strings.Contains(out, "extensions: ") {
			t.Errorf("a change is not told: %s", out)
		}
		after, now := state(t, db)
		if diff := cmp.Diff(before, after); diff != "" || cmp.Diff(versions, now) != "" {
			t.Errorf("a dry run changed something: %s", diff)
		}
	})
}

func TestRead_WrongExtensionsAreRefused(t *testing.T) {
	t.Parallel()
	attribute := func(s string) string { return `{"id":"urn:example:badge:1.0:User","attributes":[` + s + `]}` }
	for name, tt := range map[string]struct{ lines, schema, want string }{
		"a word":           {"extensions: [entreprise]", "", `extensions[0]: "entreprise" is neither`},
		"no file":          {"extensions: [{resource: User}]", "", "extensions[0].file: it is missing"},
		"file is not here": {"extensions: [{file: nobody.json}]", "", "extensions[0].file: the file nobody.json cannot be read"},
		"no JSON":          {"extensions: [{file: badge.json}]", "{\n\n \"id\": ", "badge.json:3: "},
		"resource":         {"extensions: [{file: badge.json, resource: Device}]", badgeSchema, `extensions[0].resource: "Device" is neither`},
		"twice":            {"extensions: [{file: badge.json}, {file: badge.json}]", badgeSchema, "extensions[1]: urn:example:badge:1.0:User stands in it twice"},
		"field":            {"extensions: [{file: badge.json, require: true}]", badgeSchema, `did you mean "required"?`},
		"the standard's":   {"extensions: [{file: badge.json}]", strings.Replace(badgeSchema, "urn:example:badge:1.0:User", scim.EnterpriseURN, 1), "the standard defines it"},
		"core":             {"extensions: [{file: badge.json}]", strings.Replace(badgeSchema, "urn:example:badge:1.0:User", "urn:ietf:params:scim:schemas:core:2.0:Car", 1), "the standard defines it"},
		"no URN":           {"extensions: [{file: badge.json}]", strings.Replace(badgeSchema, "urn:example:badge:1.0:User", "https://x.example/badge", 1), "is a URN"},
		"type":             {"extensions: [{file: badge.json}]", attribute(`{"name":"a","type":"text"}`), "text"},
		"nested":           {"extensions: [{file: badge.json}]", attribute(`{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"complex","subAttributes":[{"name":"c","type":"string"}]}]}`), "badge:1.0:User:a.b"},
		"global":           {"extensions: [{file: badge.json}]", attribute(`{"name":"a","type":"string","uniqueness":"global"}`), "badge:1.0:User:a: uniqueness global"},
		"returned pin":     {"extensions: [{file: badge.json}]", attribute(`{"name":"a","type":"string","mutability":"writeOnly"}`), "writeOnly is never returned"},
		"unique secret":    {"extensions: [{file: badge.json}]", attribute(`{"name":"a","type":"string","returned":"never","uniqueness":"server"}`), "not kept"},
		"unique object":    {"extensions: [{file: badge.json}]", attribute(`{"name":"a","type":"complex","uniqueness":"server","subAttributes":[{"name":"b","type":"string"}]}`), "only a sub-attribute"},
		"large":            {"extensions: [{file: badge.json}]", strings.Repeat(" ", scim.MaxExtension+1), "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := withSettings(t, "        "+tt.lines+"\n")
			beside(t, file, "badge.json", tt.schema)
			d, err := apply.Read([]string{file}, getenv())
			if err != nil {
				t.Fatal(err)
			}
			var problems apply.Problems
			if problems = d.Problems(); len(problems) != 1 || !strings.Contains(problems.Error(), tt.want) || !strings.Contains(problems.Error(), "northwind.yaml:") {
				t.Errorf("got %v, want one with %q", problems, tt.want)
			}
			if _, err := d.Run(t.Context(), storetest.Open(t, storetest.SQLite), apply.Options{}); !errors.As(err, &problems) {
				t.Errorf("it runs all the same: %v", err)
			}
		})
	}
}

// A schema's URI is a name in people's documents, and names are compared without regard to case.
func TestRead_ASchemaInAnotherSpellingIsTheSame(t *testing.T) {
	t.Parallel()
	file := withSettings(t, "        extensions: [{file: badge.json}, {file: other.json}]\n")
	beside(t, file, "badge.json", badgeSchema)
	beside(t, file, "other.json", strings.Replace(badgeSchema, "urn:example:badge", "urn:example:Badge", 1))
	d, err := apply.Read([]string{file}, getenv())
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Problems(); len(got) != 1 || !strings.Contains(got.Error(), "extensions[1]: urn:example:Badge:1.0:User stands in it twice") {
		t.Errorf("got %v", got)
	}
}

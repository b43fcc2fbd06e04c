package console_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

const badge = `{"id":"urn:example:badge:1.0:User","name":"Badge","attributes":[
	{"name":"number","type":"string","description":"Number on the badge."},
	{"name":"floor","type":"integer"},
	{"name":"keys","type":"complex","multiValued":true,"description":"Keys handed out","subAttributes":[{"name":"value","type":"string"},{"name":"type","type":"string"}]}]}`

// A person's record is shown as the directory sent it, in the words of the schemas that are in force, and what it no longer
// says as what it is. The directory's page names the extensions and what was repaired.
func TestRecord_IsShownInTheWordsOfItsSchemas(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		h := open(t, storetest.Open(t, kind))
		h.declare()
		ctx := t.Context()
		schema, err := scim.LoadExtension([]byte(badge))
		h.must(err)
		h.must(h.db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredDirectory(store.DeclaredDirectory{
				Organization: "northwind", ID: "entra", Name: "Northwind Entra ID", Dialect: "entra", Key: directory.KeyExternalID,
				Settings: directory.Settings{Extensions: []directory.Extension{
					directory.Enterprise(), {ID: schema.ID, Resource: directory.ResourceUser, Required: true, Definition: schema.Definition()},
				}},
			})
			tx.Bump(ctx, "configuration")
			return nil
		}))
		push := func(do func(p *store.Push) error) {
			t.Helper()
			h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
				d, err := tx.Directory(ctx, "entra")
				if err != nil {
					return err
				}
				types, err := d.Types()
				if err != nil {
					return err
				}
				return do(tx.Push(store.Pusher{Directory: *d, Dialect: scim.RFC, Actor: h.system, User: types.User, Group: types.Group}))
			}))
		}
		push(func(p *store.Push) error {
			res, refusal, err := p.CreateUser(ctx, scim.Result{Attributes: scim.Attributes{
				"schemas": []any{scim.UserURN, schema.ID}, "userName": "una@northwind.example", "displayName": "Una <b>", "active": true,
				"emails":  []any{map[string]any{"value": "una@northwind.example", "type": "work", "primary": true}, map[string]any{"value": "una@home.example"}},
				schema.ID: map[string]any{"number": "B-17", "floor": int64(4), "keys": []any{map[string]any{"value": "k1", "type": "roof"}, map[string]any{"value": "k2"}}},
			}}, scim.Want{})
			if res != nil {
				h.users["una"] = id.User(res.ID)
			}
			return errors.Join(err, refusal)
		})

		b, at := h.as("northwind", "Olivia Owner"), h.at("una")
		text := b.page(at + "/identities").text("main")
		for _, want := range []string{
			"userName una@northwind.example", "displayName Una <b>", "emails value: una@northwind.example, type: work, primary: true value: una@home.example",
			"Badge", "urn:example:badge:1.0:User", "Number on the badge number B-17", "floor 4", "Keys handed out keys value: k1, type: roof value: k2", "Active",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the record lacks %q: %s", want, text)
			}
		}
		if strings.Contains(text, "no longer says") {
			t.Errorf("got %s", text)
		}

		push(func(p *store.Push) error {
			_, err := p.ModifyUser(ctx, string(h.users["una"]), nil, func(a scim.Attributes) (scim.Result, error) {
				a = maps.Clone(a)
				delete(a, "active")
				return scim.Result{Attributes: a, Changed: true}, nil
			}, scim.Want{})
			return err
		})
		if text := b.page(at + "/identities").text("main"); !strings.Contains(text, "No longer says whether this person is active; kept: active") {
			t.Errorf("got %s", text)
		}
		if text := b.page(at).text("main"); !strings.Contains(text, "which no longer says whether this person is active; kept: active") {
			t.Errorf("got %s", text)
		}

		page := "/o/northwind/directories"
		if text := b.page(page).text("main"); !strings.Contains(text, "Badge, 3 attributes of users, declared in the file, required") || !strings.Contains(text, "Repairs Nothing so far") {
			t.Errorf("got %s", text)
		}
		h.logged(directory.Request{Repairs: scim.Repairs{scim.RemoveByValue: 2, scim.BooleanStrings: 1}, At: h.db.Now().Add(-time.Hour)}, directory.Request{Repairs: scim.Repairs{scim.RemoveByValue: 3}})
		text = b.page(page).text("main")
		for _, want := range []string{"2 kinds of departure, understood as meant", "Members to remove came as a list; only these were removed remove-by-value 5", "True or false came as a text boolean-strings 1"} {
			if !strings.Contains(text, want) {
				t.Errorf("the directory's page lacks %q: %s", want, text)
			}
		}
	})
}

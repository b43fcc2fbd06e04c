package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// newcomers is a store with two organizations that have the same directory.
func newcomers(t *testing.T, kind storetest.Kind) (*store.DB, store.Pusher) {
	t.Helper()
	db := storetest.Open(t, kind, storetest.WithClock(storetest.NewClock()))
	return db, pusherTo(t, db)
}

// pusherTo gives a store two organizations that have the same directory, and who pushes as it.
func pusherTo(t *testing.T, db *store.DB) store.Pusher {
	t.Helper()
	err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
		for _, org := range []id.Organization{"northwind", "fieldserv"} {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: org, Name: "Same"})
			tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: org, ID: "entra", Name: "Entra", Dialect: "entra", Key: directory.KeyExternalID})
			tx.Queue(`insert into domains (domain, organization, connection, verified, source) values ($1, $2, 'corp', 1, 'file')`, string(org)+".example", org)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return store.Pusher{
		Directory: directory.Directory{ID: "entra", Name: "Entra", Key: directory.KeyExternalID}, Dialect: scim.RFC, Base: "https://id.example",
		User: scim.UserType(scim.Extension{Schema: scim.EnterpriseUser()}), Group: scim.GroupType(),
		Actor: audit.Actor{Kind: audit.ActorDirectory, ID: "entra", Name: "Entra", Door: audit.SCIM, IP: "192.0.2.1", Request: "r-1"},
	}
}

func decided(t *testing.T, rt *scim.ResourceType, body string) scim.Result {
	t.Helper()
	raw, err := scim.DecodeJSON([]byte(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],`+body+`}`), scim.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rt.Create(raw, scim.RFC)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func bodies(domain string) []string {
	return []string{
		`"userName":"Ada@` + domain + `","externalId":"e-1","displayName":"Ada Ævar","name":{"givenName":"Ada","familyName":"Ævar"},"emails":[{"value":"Ada@` + domain + `","type":"Work","primary":true},{"value":"ada@home.example"},{"type":"other","display":"none"}]`,
		`"userName":"bob"`,
		`"userName":"Cleo","active":false,"title":"\"Quoted\" \\ {braced}, \u00e9","emails":[{"value":"cleo@elsewhere.example"}]`,
	}
}

// Other statements store a pushed user whom nobody knows. What they leave behind is the same to the last column.
func TestCreateNewcomer_StoresWhatCreateUserStores(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, storesWhatCreateUserStores)
}

func storesWhatCreateUserStores(t *testing.T, kind storetest.Kind) {
	db, by := newcomers(t, kind)
	ctx := t.Context()
	var wg sync.WaitGroup
	for _, body := range bodies("northwind.example") {
		r := decided(t, by.User, body)
		wg.Go(func() {
			res, events, err := db.CreateNewcomer(ctx, "northwind", by, r)
			if err != nil || res == nil || len(events) != 1 {
				t.Errorf("%s: got %v, %v, %v", body, res, events, err)
				return
			}
			err = db.Read(ctx, "northwind", func(tx *store.Tx) error {
				stored, err := tx.Event(ctx, events[0].ID)
				stored.Actor.Organization = events[0].Actor.Organization
				if diff := cmp.Diff(events[0], stored); diff != "" {
					t.Errorf("%s: told (-), stored (+):\n%s", body, diff)
				}
				return err
			})
			got, err2 := db.GetUser(ctx, "northwind", &by, res.ID, scim.Want{})
			if diff := cmp.Diff(res, got); diff != "" {
				t.Errorf("%s: answered (-), stored (+):\n%s", body, diff)
			}
			if err := cmp2(err, err2); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, body := range bodies("fieldserv.example") {
		err := db.Write(ctx, "fieldserv", func(tx *store.Tx) error {
			_, refusal, err := tx.Push(by).CreateUser(ctx, decided(t, by.User, body), scim.Want{})
			return cmp2(refusal, err)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The organizations differ, the ids too; the name of the one domain is made the same.
	for table, besides := range map[string]struct{ without, order string }{
		"users":             {"'organization', 'id'", "display_name"},
		"directory_records": {"'organization', 'user_id'", "user_name_key"},
		"record_emails":     {"'organization', 'user_id'", "position, type_key"},
		"audit":             {"'organization', 'id', 'user_id', 'target_id'", "target_name"},
	} {
		row := "to_jsonb(x) - array[" + besides.without + "]"
		if kind == storetest.SQLite {
			err := db.Read(ctx, "northwind", func(tx *store.Tx) error {
				return tx.Row(ctx, `
					select 'json_object(' || group_concat('"' || name || '", x.' || name, ', ') || ')'
					from pragma_table_info('`+table+`')
					where name not in (`+besides.without+`)`).Scan(&row)
			})
			if err != nil {
				t.Fatal(err)
			}
			row = strings.ReplaceAll(row, `"`, "'")
		}
		sql := `select ` + row + ` as j from ` + table + ` x where organization = $1 order by ` + besides.order
		var got [2][]string
		for i, org := range []id.Organization{"northwind", "fieldserv"} {
			err := db.Read(ctx, org, func(tx *store.Tx) error {
				rows, err := tx.Query(ctx, `select replace(cast(s.j as text), '`+string(org)+`.example', 'DOMAIN') from (`+sql+`) s`, org)
				if err != nil {
					return err
				}
				defer rows.Close()
				for rows.Next() {
					var s string
					if err := rows.Scan(&s); err != nil {
						return err
					}
					got[i] = append(got[i], s)
				}
				return rows.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(got[1], got[0]); diff != "" || len(got[0]) < 3 {
			t.Errorf("%s: by CreateUser (-), by CreateNewcomer (+):\n%s", table, diff)
		}
	}
}

func cmp2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Whoever is met by somebody is left to CreateUser, and of one name pushed many times at once one is stored.
func TestCreateNewcomer_LeavesOutWhomItWouldHaveToDecideAbout(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, leavesOutWhomItWouldHaveToDecideAbout)
}

func leavesOutWhomItWouldHaveToDecideAbout(t *testing.T, kind storetest.Kind) {
	db, by := newcomers(t, kind)
	ctx := t.Context()
	create := func(body string) bool {
		res, _, err := db.CreateNewcomer(ctx, "northwind", by, decided(t, by.User, body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
		}
		return res != nil
	}
	var stored atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if create(`"userName":"ada"`) {
				stored.Add(1)
			}
		})
	}
	wg.Wait()
	if n := stored.Load(); n != 1 {
		t.Errorf("of 32 pushes of one name %d were stored", n)
	}
	if create(`"userName":"ADA"`) {
		t.Error("a name that is held was stored again")
	}
	if create(`"userName":"bob","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"nobody"}}`) {
		t.Error("a manager who does not exist was stored")
	}
	err := db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Same", SeatLimit: 1})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if create(`"userName":"cleo"`) {
		t.Error("somebody was stored whose seat has to be counted")
	}
	gone := by
	gone.Directory.ID = "nowhere"
	if res, _, err := db.CreateNewcomer(ctx, "fieldserv", gone, decided(t, by.User, `"userName":"dan"`)); res != nil || err != nil {
		t.Errorf("a directory that is not there: got %v, %v", res, err)
	}
}

// A directory or an organization takes along what was under it, on PostgreSQL without a foreign key that said so.
func TestDirectoryAndOrganization_TakeAlongWhatWasUnderThem(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db, by := newcomers(t, kind)
		ctx := t.Context()
		for _, org := range []id.Organization{"northwind", "fieldserv"} {
			err := db.Write(ctx, org, func(tx *store.Tx) error {
				_, refusal, err := tx.Push(by).CreateUser(ctx, decided(t, by.User, bodies("x.example")[0]), scim.Want{})
				tx.LogRequests(ctx, []directory.Request{{Directory: "entra", ID: id.New[id.Request](), At: db.Now(), Method: "POST", TokenState: directory.TokenGood}})
				return cmp2(refusal, err)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		left := func(org id.Organization) string {
			var out string
			err := db.Read(ctx, org, func(tx *store.Tx) error {
				for _, table := range []string{"users", "directory_records", "record_emails", "scim_requests"} {
					var n int
					if err := tx.Row(ctx, `select count(*) from `+table+` where organization = $1`, org).Scan(&n); err != nil {
						return err
					}
					out += fmt.Sprintf("%s %d ", table, n)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		drop := func(f func(tx *store.SystemTx) error) {
			if err := db.System().Write(context.WithoutCancel(ctx), f); err != nil {
				t.Fatal(err)
			}
		}
		drop(func(tx *store.SystemTx) error {
			return tx.DropDeclaredDirectory(ctx, store.DeclaredDirectory{Organization: "northwind", ID: "entra"}, by.Actor)
		})
		if got, want := left("northwind"), "users 1 directory_records 0 record_emails 0 scim_requests 0 "; got != want {
			t.Errorf("without its directory: got %s, want %s", got, want)
		}
		drop(func(tx *store.SystemTx) error {
			tx.DropDeclaredOrganization(store.DeclaredOrganization{ID: "fieldserv"})
			return nil
		})
		if got, want := left("fieldserv"), "users 0 directory_records 0 record_emails 0 scim_requests 0 "; got != want {
			t.Errorf("without its organization: got %s, want %s", got, want)
		}
	})
}

package adminapi_test

import (
	"context"
	"testing"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

func TestWave_IsShownReleasedAndUndone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		wave := northwind + "/directories/entra/wave"
		c.want(404, "GET", wave, "")
		c.want(409, "POST", wave+"/undo", "")
		user := scim.UserType(scim.Extension{Schema: scim.EnterpriseUser()})
		by := store.Pusher{
			Directory: directory.Directory{ID: "entra", Name: "Entra", Key: directory.KeyExternalID, Settings: directory.Settings{Brake: directory.Brake{Minimum: 1, Percent: 1}}},
			Dialect:   scim.RFC, User: user, Group: scim.GroupType(),
		}
		push := func(f func(ctx context.Context, p *store.Push) error) {
			t.Helper()
			ctx := context.Background()
			if err := c.db.Write(ctx, "northwind", func(tx *store.Tx) error { return f(ctx, tx.Push(by)) }); err != nil {
				t.Fatal(err)
			}
		}
		var id string
		push(func(ctx context.Context, p *store.Push) error {
			decided, err := user.Create(scim.Attributes{"schemas": []any{scim.UserURN}, "userName": "zoe", "externalId": "z"}, scim.RFC)
			if err != nil {
				return err
			}
			r, _, err := p.CreateUser(ctx, decided, scim.Want{})
			id = r.ID
			return err
		})
		leave := func() {
			t.Helper()
			push(func(ctx context.Context, p *store.Push) error { return p.DeleteUser(ctx, id, nil) })
		}
		leave()
		if got := c.want(200, "GET", wave, ""); got["departed"] != 1.0 || got["braked"] == nil {
			t.Errorf("got %v", got)
		}
		if got := c.want(200, "POST", wave+"/undo", `{"reason":"a slip"}`); got["restored"] != 1.0 {
			t.Errorf("got %v", got)
		}
		if got := c.want(200, "GET", northwind+"/users/"+id, ""); got["status"] != "active" {
			t.Errorf("got %v", got)
		}
		leave()
		c.want(204, "POST", wave+"/release", "")
		c.want(409, "POST", wave+"/release", "")
	})
}

func TestDrift_IsAPagedListOfOneKind(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		c.person("northwind", "max")
		drift := northwind + "/directories/entra/drift"
		all := c.want(200, "GET", drift+"?kind=manual", "")["items"].([]any)
		page := c.want(200, "GET", drift+"?kind=manual&limit=1", "")
		if len(all) < 2 || len(page["items"].([]any)) != 1 || page["next"] == nil {
			t.Fatalf("got %d, then %v", len(all), page)
		}
		rest := c.want(200, "GET", drift+"?kind=manual&cursor="+page["next"].(string), "")["items"].([]any)
		if len(rest) != len(all)-1 {
			t.Errorf("got %d behind the first of %d", len(rest), len(all))
		}
		c.want(422, "GET", drift+"?kind=weird", "")
		c.want(404, "GET", northwind+"/directories/nobody/drift", "")
	})
}

func TestRepairs_AreListedByKind(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		path := northwind + "/directories/entra/repairs"
		if got := c.want(200, "GET", path, ""); len(got["items"].([]any)) != 0 {
			t.Errorf("got %v", got)
		}
		c.want(404, "GET", northwind+"/directories/nowhere/repairs", "")
		at := c.db.Now()
		err := c.db.Write(context.Background(), "northwind", func(tx *store.Tx) error {
			tx.LogRequests(context.Background(), []directory.Request{
				{Directory: "entra", ID: id.At[id.Request](at), At: at, TokenState: directory.TokenGood, Repairs: scim.Repairs{scim.BooleanStrings: 2}},
				{Directory: "nowhere", ID: id.At[id.Request](at), At: at, TokenState: directory.TokenGood, Repairs: scim.Repairs{scim.BooleanStrings: 5}},
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := c.want(200, "GET", path, "")["items"].([]any)
		if len(got) != 1 {
			t.Fatalf("got %v", got)
		}
		if r, _ := got[0].(map[string]any); r["kind"] != "boolean-strings" || r["times"] != 2.0 || r["said"] != directory.RepairWords[scim.BooleanStrings] || r["first"] == nil {
			t.Errorf("got %v", r)
		}
	})
}

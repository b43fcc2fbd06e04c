package issuing_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// An application that is closed to an organization gets nothing more of its people: no code, no refresh, and nothing of the
// tokens it holds.
func TestClosedApplication_GetsNothingOfTheOrganization(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		code := w.code()
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			app, err := tx.Application(w.ctx, "app")
			if err != nil {
				return err
			}
			app.Organizations = []id.Organization{other}
			tx.SaveApplication(w.ctx, app)
			return nil
		}))
		// The node reads declared applications at most a moment later.
		deadline := time.Now().Add(10 * time.Second)
		for w.introspect(m["access_token"])["active"] == true {
			if time.Now().After(deadline) {
				t.Fatal("the token is still introspected")
			}
		}
		if status, _ := w.userinfo(m["access_token"]); status != http.StatusUnauthorized {
			t.Errorf("userinfo: %d", status)
		}
		if got := w.introspect(m["refresh_token"]); got["active"] == true {
			t.Errorf("the refresh token: %v", got)
		}
		if status, body := w.refresh(m["refresh_token"]); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
			t.Errorf("refresh: %d %v", status, body)
		}
		if status, body := w.redeem(code); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
			t.Errorf("the code: %d %v", status, body)
		}
		if _, q := w.authorize("organization", string(northwind)); q.Get("error") != "access_denied" {
			t.Errorf("authorize for the organization: %v", q)
		}
		if u, q := w.authorize("prompt", "none"); q.Get("error") != "login_required" {
			t.Errorf("authorize with its session: %s", u)
		}
	})
}

// A grant that ends takes what it gave out of the tokens that are out, in the same moment.
func TestIntrospection_ShowsNoGrantThatIsOver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.Give(w.ctx, operator, store.Grant{
				User: w.user[northwind], Role: "editor", Resource: "london-1", Expires: w.clock.Now().Add(time.Minute),
			})
			return err
		})
		m := w.tokens()
		grants := func() int {
			list, _ := w.introspect(m["access_token"])["grants"].([]any)
			_, info := w.userinfo(m["access_token"])
			again, _ := info["grants"].([]any)
			if len(list) != len(again) {
				t.Errorf("introspection tells %v, userinfo %v", list, again)
			}
			return len(list)
		}
		if got := grants(); got != 2 {
			t.Errorf("in its time: %d grants", got)
		}
		w.clock.Advance(time.Minute)
		if got := grants(); got != 1 {
			t.Errorf("when it is over: %d grants", got)
		}
	})
}

package issuing_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// A default role may be one at a resource: it is told there, and among the roles of the whole organization it is none.
func TestClaims_ADefaultRoleAtAResourceIsToldThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: northwind, Name: "northwind", Settings: store.Settings{
				DefaultRoles: []access.RoleAt{{Role: "viewer"}, {Role: "editor", Resource: "london-1"}},
			}})
			tx.In(northwind).BumpOrganization(w.ctx)
			return nil
		}))
		m := w.tokens()
		_, info := w.userinfo(m["access_token"])
		want := []any{
			map[string]any{"role": "viewer", "resource": "northwind"}, map[string]any{"role": "editor", "resource": "london-1"},
		}
		for door, told := range map[string]map[string]any{
			"ID token": payload(t, m["id_token"]), "userinfo": info, "introspection": w.introspect(m["access_token"]),
		} {
			if d := cmp.Diff(told["grants"], any(want)); d != "" {
				t.Errorf("%s: grants, got - want +\n%s", door, d)
			}
			if d := cmp.Diff(told["roles"], any([]any{"viewer"})); d != "" {
				t.Errorf("%s: roles, got - want +\n%s", door, d)
			}
		}
	})
}

// A session answers a request that names a connection only if it came through that one.
func TestAuthorize_TheConnectionAskedForIsTheSessions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(connection.Connection{Organization: northwind, ID: "corp", Name: "Corp", Protocol: connection.OIDC})
			return nil
		}))
		w.signIn(northwind, "")
		if _, q := w.authorize("organization", "northwind"); q.Get("code") == "" {
			t.Fatalf("the session fits without a connection: %v", q)
		}
		if _, q := w.authorize("organization", "northwind", "connection", "corp", "prompt", "none"); q.Get("error") != oidc.LoginRequired {
			t.Errorf("a session of another way: %v", q)
		}
	})
}

// Whoever comes back from signing in is held against the request once more: another organization's person gets a page.
func TestResume_ASessionThatDoesNotFitGetsNoCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, q := w.authorize("organization", "northwind")
		w.signIn(other, q.Get("attempt"))
		rec := w.get("/authorize/resume", q)
		if rec.Code != http.StatusForbidden || strings.Contains(rec.Header().Get("Location"), "code=") || !strings.Contains(rec.Body.String(), "other-organization") {
			t.Errorf("another organization's session: %d %s %s", rec.Code, rec.Header().Get("Location"), rec.Body)
		}
		// A sign-in asked for anew is not answered by the session from before.
		old := w.signIn(northwind, "")
		w.clock.Advance(time.Minute)
		_, q = w.authorize("organization", "northwind", "prompt", "login")
		attempt, browser := id.Attempt(q.Get("attempt")), seal.Fingerprint(w.browser["__Host-vestibule_b"])
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			return tx.SendAttempt(w.ctx, attempt, browser, store.Away{Organization: northwind, Connection: "corp", StateHash: seal.Handle()})
		}))
		w.write(northwind, func(tx *store.Tx) error { return tx.LandAttempt(w.ctx, attempt, browser, old) })
		if to := w.get("/authorize/resume", q).Header().Get("Location"); !strings.Contains(to, "error="+oidc.LoginRequired) {
			t.Errorf("prompt=login with the session from before: %s", to)
		}
	})
}

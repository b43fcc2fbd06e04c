package issuing_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// strengthen proves the browser's session anew with a second factor, as sign-in does: a new session in its place.
func (w *world) strengthen() {
	w.t.Helper()
	name := session.For(issuer).Name(northwind)
	handle := seal.Handle()
	w.write(northwind, func(tx *store.Tx) error {
		return tx.StartSession(w.ctx, session.Start{
			ID: id.New[id.Session](), Hash: seal.Fingerprint(handle), User: w.user[northwind], Expires: w.clock.Now().Add(time.Hour),
			Idle: time.Hour, AuthTime: w.clock.Now(), ACR: "1", AMR: []string{"fed", "otp", "mfa"}, Replaces: seal.Fingerprint(w.browser[name]),
		})
	})
	w.browser[name] = handle
}

// A role that asks for a second factor stands in no token of a session that has shown none, and in the very next answer about a
// token once the session has.
func TestFactor_ARoleThatAsksForOneIsInNoTokenWithoutIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "keeper", Name: "Keeper", Permissions: []id.Permission{"assets.delete"}, RequireMFA: true}, Position: 9})
			tx.Bump(w.ctx, "configuration")
			return nil
		}))
		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.Give(w.ctx, operator, store.Grant{User: w.user[northwind], Role: "keeper", Resource: "northwind"})
			return err
		})
		roles := func(what string, got any, want ...any) {
			t.Helper()
			if diff := cmp.Diff(got, any(want)); diff != "" {
				t.Errorf("%s; got before want:\n%s", what, diff)
			}
		}
		roles("introspection before", w.introspect(m["access_token"])["roles"], "viewer")
		_, info := w.userinfo(m["access_token"])
		roles("userinfo before", info["roles"], "viewer")
		status, m := w.refresh(m["refresh_token"])
		if status != 200 {
			t.Fatal(status, m)
		}
		roles("introspection of a renewed token", w.introspect(m["access_token"])["roles"], "viewer")

		// The next authorization asks; prompt=none is told that somebody must be.
		to, q := w.authorize()
		if to.Path != "/signin" || q.Get("step_up") != "northwind" || q.Get("attempt") == "" {
			t.Errorf("sent to %s", to)
		}
		if _, q := w.authorize("prompt", "none"); q.Get("error") != "interaction_required" {
			t.Errorf("prompt=none: %v", q)
		}
		w.strengthen()
		roles("the same token once it was shown", w.introspect(m["access_token"])["roles"], "viewer", "keeper")
		_, fresh := w.redeem(w.code())
		claims := payload(t, fresh["id_token"])
		roles("a new ID token", claims["roles"], "viewer", "keeper")
		if diff := cmp.Diff(claims["amr"], any([]any{"otp", "mfa"})); diff != "" {
			t.Errorf("amr; got before want:\n%s", diff)
		}
	})
}

// An organization that asks for one gives nothing at all without it, whatever was given.
func TestFactor_AnOrganizationThatAsksForOneGivesNothingWithoutIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: northwind, Name: "northwind", Settings: store.Settings{
				DefaultRoles: []access.RoleAt{{Role: "viewer"}}, RequireMFA: true,
			}})
			tx.In(northwind).BumpOrganization(w.ctx)
			return nil
		}))
		if about := w.introspect(m["access_token"]); len(about["roles"].([]any)) != 0 || len(about["grants"].([]any)) != 0 {
			t.Errorf("without: %v", about)
		}
		if to, q := w.authorize(); to.Path != "/signin" || q.Get("step_up") != "northwind" {
			t.Errorf("sent to %s", to)
		}
		w.strengthen()
		if about := w.introspect(m["access_token"]); !slices.Equal(about["roles"].([]any), []any{"viewer"}) {
			t.Errorf("with: %v", about)
		}
	})
}

// acr_values are a wish that is met where it can be, and the ID token says what came of it.
func TestFactor_AnApplicationMayAskByContext(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.tokens()
		to, q := w.authorize("acr_values", "unknown urn:vestibule:acr:mfa")
		if to.Path != "/signin" || q.Get("step_up") != "northwind" {
			t.Errorf("sent to %s", to)
		}
		w.strengthen()
		_, m := w.redeem(w.code("acr_values", "https://refeds.org/profile/mfa"))
		if got := payload(t, m["id_token"])["acr"]; got != "https://refeds.org/profile/mfa" {
			t.Errorf("acr: %v", got)
		}
		// One it does not know asks for nothing.
		_, m = w.redeem(w.code("acr_values", "loa4"))
		if got := payload(t, m["id_token"])["acr"]; got != "1" {
			t.Errorf("acr: %v", got)
		}
		if _, q := w.authorize("acr_values", "phr"); q.Get("step_up") != "northwind" {
			t.Errorf("a passkey asked of a session without: %v", q)
		}
		rec := w.get("/.well-known/openid-configuration", url.Values{})
		if !strings.Contains(rec.Body.String(), `"acr_values_supported":["phr",`) {
			t.Errorf("discovery: %s", rec.Body)
		}
	})
}

package issuing_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// serve lets the people of other work for northwind, as editors at one site.
func (w *world) serve(change func(*access.RelationshipSettings)) {
	w.t.Helper()
	terms := access.RelationshipSettings{AllowedRoles: []id.Role{"editor"}, Resources: []id.Resource{"london-1"}}
	if change != nil {
		change(&terms)
	}
	w.write(northwind, func(tx *store.Tx) error {
		_, err := tx.SetTerms(w.ctx, operator, other, terms)
		return err
	})
}

// defaults sets what the people of other have at each client.
func (w *world) defaults(roles ...id.Role) {
	w.t.Helper()
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: other, Name: "other", Settings: store.Settings{
			DefaultRoles: []access.RoleAt{{Role: "viewer"}}, DefaultProviderRoles: roles,
		}})
		tx.In(other).BumpOrganization(w.ctx)
		return nil
	}))
}

// forNorthwind is a request of somebody of other who works for northwind.
var forNorthwind = []string{"organization", "northwind", "login_hint", "mia@other.example"}

func (w *world) supporter() map[string]any {
	w.t.Helper()
	w.signIn(other, "")
	status, m := w.redeem(w.code(forNorthwind...))
	if status != http.StatusOK {
		w.t.Fatalf("token: %d %v", status, m)
	}
	return m
}

func TestProvider_ATokenSpeaksOfTheClientAndSaysWhoComesFromOutside(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.serve(nil)
		w.defaults("viewer")
		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.Give(w.ctx, operator, store.Grant{User: w.user[other], Role: "editor", Resource: "northwind"})
			return err
		})
		m := w.supporter()
		_, info := w.userinfo(m["access_token"])
		_, refreshed := w.refresh(m["refresh_token"])
		want := map[string]any{
			"sub": string(w.user[other]), "organization": "northwind", "home_organization": "other", "external": true,
			"email": "mia@other.example", "roles": []any{}, "groups": []any{},
			// Given at the organization, and cut to the one site; the provider's default is cut the same way.
			"grants": []any{
				map[string]any{"role": "viewer", "resource": "london-1"}, map[string]any{"role": "editor", "resource": "london-1"},
			},
		}
		for door, told := range map[string]map[string]any{
			"ID token": payload(t, m["id_token"]), "userinfo": info, "introspection": w.introspect(m["access_token"]),
			"ID token of the refresh": payload(t, refreshed["id_token"]), "introspection of the refreshed": w.introspect(refreshed["access_token"]),
		} {
			for claim, is := range want {
				if d := cmp.Diff(told[claim], is); d != "" {
					t.Errorf("%s: %s, got - want +\n%s", door, claim, d)
				}
			}
		}
		// The same session at home says nothing of the client.
		_, m = w.redeem(w.code("organization", "other"))
		if told := payload(t, m["id_token"]); told["organization"] != "other" || told["external"] != nil || told["home_organization"] != nil {
			t.Errorf("at home: %v", told)
		}
		for org, want := range map[id.Organization]string{northwind: "application.opened", other: "application.opened"} {
			if got := w.actions(org); !slices.Contains(got, want) || !slices.Contains(got, "provider.approved") {
				t.Errorf("the log of %s: %v", org, got)
			}
		}
		w.write(northwind, func(tx *store.Tx) error {
			seen, _, err := tx.ProviderUsers(w.ctx, other, "", "", 50)
			if err == nil && (len(seen) != 1 || seen[0].Email != "mia@other.example" || seen[0].Logins != 1 || seen[0].HomeName != "other") {
				t.Errorf("who was here: %+v", seen)
			}
			return err
		})
	})
}

// Each of these ends everything towards the client at once, and nothing at home but with the person.
func TestProvider_WhatEndsTheRelationshipEndsItsTokens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, tt := range map[string]struct {
			end    func()
			atHome bool // the session and the tokens at home go on
			again  bool // the same relationship can be made anew
		}{
			"cut by the client": {func() {
				w.write(northwind, func(tx *store.Tx) error { return tx.Cut(w.ctx, operator, other, northwind, "") })
			}, true, true},
			"cut by the provider": {func() {
				w.write(other, func(tx *store.Tx) error { return tx.Cut(w.ctx, operator, other, northwind, "") })
			}, true, true},
			"expired": {func() { w.clock.Advance(90 * time.Minute) }, true, true},
		} {
			w.serve(func(s *access.RelationshipSettings) { s.Expires = w.clock.Now().Add(time.Hour) })
			w.defaults("viewer")
			m := w.supporter()
			_, home := w.redeem(w.code("organization", "other"))
			code := w.code(forNorthwind...)
			tt.end()
			if status, _ := w.userinfo(m["access_token"]); status != http.StatusUnauthorized {
				t.Errorf("%s: userinfo %d", name, status)
			}
			if told := w.introspect(m["access_token"]); told["active"] != false {
				t.Errorf("%s: introspection %v", name, told)
			}
			if status, told := w.refresh(m["refresh_token"]); status != http.StatusBadRequest {
				t.Errorf("%s: a refresh: %d %v", name, status, told)
			}
			if status, told := w.redeem(code); status != http.StatusBadRequest {
				t.Errorf("%s: a code from before: %d %v", name, status, told)
			}
			if status, _ := w.refresh(home["refresh_token"]); (status == http.StatusOK) != tt.atHome {
				t.Errorf("%s: a refresh at home: %d", name, status)
			}
			if _, q := w.authorize(append([]string{"prompt", "none"}, forNorthwind...)...); q.Get("error") != oidc.LoginRequired {
				t.Errorf("%s: another code: %v", name, q)
			}
			// Made anew, it brings nothing of the former one back.
			w.clock.Advance(time.Second)
			w.serve(nil)
			if told := w.introspect(m["access_token"]); told["active"] != false {
				t.Errorf("%s, and made anew: introspection %v", name, told)
			}
			if status, _ := w.refresh(m["refresh_token"]); status == http.StatusOK {
				t.Errorf("%s, and made anew: the refresh token works", name)
			}
		}
		// The home takes the person's access.
		w.serve(nil)
		m := w.supporter()
		w.write(other, func(tx *store.Tx) error { return tx.Suspend(w.ctx, w.user[other], operator, "left") })
		if told := w.introspect(m["access_token"]); told["active"] != false {
			t.Errorf("suspended at home: %v", told)
		}
		if status, _ := w.refresh(m["refresh_token"]); status == http.StatusOK {
			t.Error("suspended at home: the refresh token works")
		}
	})
}

func TestProvider_WhatIsNarrowedIsNarrowedInWhatIsHeld(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.serve(nil)
		w.defaults("editor")
		m := w.supporter()
		grants := func() any { return w.introspect(m["access_token"])["grants"] }
		if d := cmp.Diff(grants(), any([]any{map[string]any{"role": "editor", "resource": "london-1"}})); d != "" {
			t.Error(d)
		}
		w.serve(func(s *access.RelationshipSettings) { s.AllowedRoles = []id.Role{"viewer"} })
		if d := cmp.Diff(grants(), any([]any{map[string]any{"role": "viewer", "resource": "london-1"}})); d != "" {
			t.Error(d)
		}
		// A second factor that is demanded from now on: nothing without it.
		w.serve(func(s *access.RelationshipSettings) { s.RequireMFA = true })
		if d := cmp.Diff(grants(), any([]any{})); d != "" {
			t.Error(d)
		}
		u, q := w.authorize(forNorthwind...)
		if u.Path != "/signin" || q.Get("step_up") != "other" {
			t.Errorf("the session lacks a second factor: %s", u)
		}
		if _, q := w.authorize(append([]string{"prompt", "none"}, forNorthwind...)...); q.Get("error") != oidc.InteractionRequired {
			t.Errorf("without asking: %v", q)
		}
	})
}

func TestProvider_OnlyWhatNamesTheHomeUsesItsSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.serve(nil)
		w.defaults("viewer")
		w.signIn(other, "")
		if u, _ := w.authorize("organization", "northwind"); u.Path != "/signin" {
			t.Errorf("nothing names the home, so the organization is it: %s", u)
		}
		if u, _ := w.authorize("organization", "northwind", "login_hint", "zoe@other.example"); u.Path != "/signin" {
			t.Errorf("another person is hinted at: %s", u)
		}
		// The application must be open to the organization spoken of, whatever the home.
		rec := w.get("/authorize", func() url.Values { q := ask(forNorthwind...); q.Set("client_id", "closed"); return q }())
		if !strings.Contains(rec.Header().Get("Location"), "error="+oidc.AccessDenied) {
			t.Errorf("an application that is closed to the client: %d %s", rec.Code, rec.Header().Get("Location"))
		}
		// Signed in without having been named before: the home serves the organization, so it is served.
		_, q := w.authorize("organization", "northwind", "prompt", "login")
		w.signIn(other, q.Get("attempt"))
		rec = w.get("/authorize/resume", q)
		if !strings.Contains(rec.Header().Get("Location"), "code=") {
			t.Errorf("after the sign-in at home: %d %s", rec.Code, rec.Header().Get("Location"))
		}
		// And the other way round: northwind serves nobody.
		w.signIn(northwind, "")
		if u, q := w.authorize("organization", "other", "login_hint", "mia@northwind.example", "prompt", "none"); q.Get("error") != oidc.LoginRequired {
			t.Errorf("the client is no provider of its provider: %s", u)
		}
	})
}

func TestProvider_WithoutAnythingGivenThereIsAPageAndNoCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.serve(nil)
		w.signIn(other, "")
		u, q := w.authorize(forNorthwind...)
		if u.Path != "/signin/no-access" || q.Get("organization") != "other" || q.Get("client") != "northwind" {
			t.Errorf("got %s", u)
		}
		if _, q := w.authorize(append([]string{"prompt", "none"}, forNorthwind...)...); q.Get("error") != oidc.InteractionRequired {
			t.Errorf("without asking: %v", q)
		}
	})
}

// A proposal that was not approved lets nobody in, and shows neither side the other's people.
func TestProvider_AProposalIsNoRelationship(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.defaults("viewer")
		w.write(other, func(tx *store.Tx) error {
			_, err := tx.Propose(w.ctx, operator, northwind, access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}})
			return err
		})
		w.signIn(other, "")
		if u, q := w.authorize(append([]string{"prompt", "none"}, forNorthwind...)...); q.Get("error") != oidc.LoginRequired {
			t.Errorf("got %s", u)
		}
		w.write(northwind, func(tx *store.Tx) error {
			if _, err := tx.ProviderUser(w.ctx, w.user[other]); err == nil {
				t.Error("the client sees the user of who only asked")
			}
			if _, err := tx.ProviderUserByAddress(w.ctx, other, "mia@other.example"); err == nil {
				t.Error("the client finds the user of who only asked")
			}
			if _, err := tx.Access(w.ctx, w.user[other]); err == nil {
				t.Error("the user of who only asked has access to be looked at")
			}
			return nil
		})
	})
}

func TestProvider_ACutTellsTheApplications(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.serve(func(s *access.RelationshipSettings) { s.Expires = w.clock.Now().Add(time.Hour) })
		w.defaults("viewer")
		w.supporter()
		w.clock.Advance(2 * time.Hour)
		w.must(w.db.EndServed(w.ctx))
		w.must(w.db.EndServed(w.ctx))
		due, err := w.db.LeaseDeliveries(w.ctx, 10, time.Minute)
		w.must(err)
		if len(due) != 1 || due[0].Destination != "app" {
			t.Errorf("who is told of the end: %+v", due)
		}
		for _, org := range []id.Organization{northwind, other} {
			if got := w.actions(org); got[len(got)-1] != "provider.ended" || slices.Index(got, "provider.ended") != len(got)-1 {
				t.Errorf("the log of %s: %v", org, got)
			}
		}
	})
}

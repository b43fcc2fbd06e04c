package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// issued is a store with two organizations, each with a person, a session, and a family of the application "app".
type issued struct {
	t      *testing.T
	ctx    context.Context
	db     *store.DB
	clock  *storetest.Clock
	user   map[id.Organization]id.User
	family map[id.Organization]store.Family
}

var issuedBy = audit.Actor{Kind: audit.ActorOperator, Name: "Olga", Door: audit.CLI}

func eachIssued(t *testing.T, test func(t *testing.T, w *issued)) {
	t.Helper()
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		w := &issued{
			t: t, ctx: context.Background(), clock: clock, db: storetest.Open(t, kind, storetest.WithClock(clock)),
			user: map[id.Organization]id.User{}, family: map[id.Organization]store.Family{},
		}
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.SaveApplication(w.ctx, application.Application{
				ID: "app", Name: "App", Protocol: application.OIDC, BackchannelLogoutURI: "https://app.example/logout",
			})
			for _, org := range []id.Organization{"one", "two"} {
				tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: org, Name: string(org)})
			}
			return nil
		}))
		for _, org := range []id.Organization{"one", "two"} {
			w.write(org, func(tx *store.Tx) error {
				u, err := tx.CreateJustInTime(w.ctx, store.NewUser{Email: "mia@" + string(org) + ".example", DisplayName: "Mia"}, issuedBy)
				if err != nil {
					return err
				}
				s := sessions.Start{
					ID: id.New[id.Session](), Hash: "session-" + string(org), User: u.ID, Expires: clock.Now().Add(12 * time.Hour),
					Idle: 2 * time.Hour, AuthTime: clock.Now(),
				}
				if err := tx.StartSession(w.ctx, s); err != nil {
					return err
				}
				f := store.Family{
					ID: id.New[id.Family](), User: u.ID, Application: "app", Session: s.ID, Scope: []string{"email", "openid"},
					AuthTime: clock.Now(), AMR: []string{"pwd"}, Expires: clock.Now().Add(90 * 24 * time.Hour),
					DisplayName: "Mia", Email: "mia@" + string(org) + ".example",
				}
				tx.KeepCode(w.ctx, f, code(clock))
				w.user[org], w.family[org] = u.ID, f
				return nil
			})
		}
		test(t, w)
	})
}

// code has the same hash in both organizations, so that a statement that forgets its organization finds the other's.
func code(clock *storetest.Clock) store.Code {
	return store.Code{
		Hash: "code", RedirectURI: "https://app.example/cb", Challenge: "challenge", Nonce: "nonce",
		Expires: clock.Now().Add(time.Minute),
	}
}

func (w *issued) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *issued) write(org id.Organization, fn func(tx *store.Tx) error) {
	w.t.Helper()
	w.must(w.db.Write(w.ctx, org, fn))
}

func (w *issued) takeCode(org id.Organization, change func(*store.Code, *id.Application)) (f store.Family, nonce string, t store.Taking) {
	w.t.Helper()
	c, app := code(w.clock), id.Application("app")
	change(&c, &app)
	w.write(org, func(tx *store.Tx) (err error) {
		f, nonce, t, err = tx.TakeCode(w.ctx, app, c)
		return err
	})
	return f, nonce, t
}

func asIs(*store.Code, *id.Application) {}

func (w *issued) keep(org id.Organization, access, refresh string) {
	w.t.Helper()
	w.write(org, func(tx *store.Tx) error {
		tx.KeepTokens(w.ctx, w.family[org].ID,
			store.Token{Hash: access, Scope: []string{"openid"}, Expires: w.clock.Now().Add(15 * time.Minute)},
			store.Token{Hash: refresh, Expires: w.clock.Now().Add(24 * time.Hour)})
		return nil
	})
}

func (w *issued) live(org id.Organization, access string) (ok bool) {
	w.t.Helper()
	w.must(w.db.Read(w.ctx, org, func(tx *store.Tx) (err error) {
		_, _, ok, err = tx.AccessToken(w.ctx, access)
		return err
	}))
	return ok
}

func TestTakeCode_ComparesEverythingAndWorksOnce(t *testing.T) {
	eachIssued(t, func(t *testing.T, w *issued) {
		for name, change := range map[string]func(*store.Code, *id.Application){
			"another hash":         func(c *store.Code, _ *id.Application) { c.Hash = "x" },
			"another redirect URI": func(c *store.Code, _ *id.Application) { c.RedirectURI += "/" },
			"another challenge":    func(c *store.Code, _ *id.Application) { c.Challenge = "x" },
			"another application":  func(_ *store.Code, app *id.Application) { *app = "x" },
		} {
			if _, _, got := w.takeCode("one", change); got != store.Refused {
				t.Errorf("%s: %v, want refused", name, got)
			}
		}
		f, nonce, got := w.takeCode("one", asIs)
		if got != store.Taken || nonce != "nonce" {
			t.Fatalf("%v, nonce %q", got, nonce)
		}
		if d := cmp.Diff(f, w.family["one"]); d != "" {
			t.Errorf("family, got - want +\n%s", d)
		}
		w.keep("one", "access", "refresh")
		if _, _, got := w.takeCode("one", asIs); got != store.Replayed {
			t.Errorf("a second time: %v, want replayed", got)
		}
		if w.live("one", "access") {
			t.Error("the access token outlives the replay of its code")
		}
		if _, _, got := w.takeCode("two", asIs); got != store.Taken {
			t.Errorf("the other organization's code of the same hash: %v", got)
		}
	})
}

func TestTakeCode_ExpiredIsRefused(t *testing.T) {
	eachIssued(t, func(t *testing.T, w *issued) {
		w.clock.Advance(time.Minute)
		if _, _, got := w.takeCode("one", asIs); got != store.Refused {
			t.Errorf("%v, want refused", got)
		}
	})
}

func TestTakeRefresh_SpendsOnceAndRevokesOnReplay(t *testing.T) {
	eachIssued(t, func(t *testing.T, w *issued) {
		w.keep("one", "access", "refresh")
		take := func(org id.Organization, app id.Application, scope ...string) (got store.Taking, err error) {
			err = w.db.Write(w.ctx, org, func(tx *store.Tx) (err error) {
				_, got, err = tx.TakeRefresh(w.ctx, app, "refresh", scope)
				return err
			})
			return got, err
		}
		if got, _ := take("one", "x"); got != store.Refused {
			t.Errorf("another application: %v", got)
		}
		if got, _ := take("two", "app"); got != store.Refused {
			t.Errorf("another organization: %v", got)
		}
		if _, err := take("one", "app", "openid", "profile"); !errors.Is(err, store.ErrScope) {
			t.Errorf("a wider scope: %v", err)
		}
		if got, err := take("one", "app", "openid"); got != store.Taken || err != nil {
			t.Errorf("the first time, after three that spent nothing: %v %v", got, err)
		}
		if !w.live("one", "access") {
			t.Error("the access token ends with a lawful refresh")
		}
		if got, _ := take("one", "app"); got != store.Replayed {
			t.Errorf("the second time: %v", got)
		}
		if w.live("one", "access") {
			t.Error("the access token outlives the replay")
		}
	})
}

func TestTokens_AreReadWithTheirPersonsState(t *testing.T) {
	eachIssued(t, func(t *testing.T, w *issued) {
		w.keep("one", "access", "refresh")
		if !w.live("one", "access") || w.live("two", "access") || w.live("one", "refresh") {
			t.Error("a token is found by its own hash in its own organization alone")
		}
		w.write("one", func(tx *store.Tx) error { return tx.Suspend(w.ctx, w.user["one"], issuedBy, "") })
		if w.live("one", "access") {
			t.Error("a suspended person's token is live")
		}
		// A token that slips in after the suspension, as a refresh on another node may, is dead on arrival.
		w.keep("one", "late", "later")
		if w.live("one", "late") {
			t.Error("a token kept after the suspension is live")
		}
	})
}

func TestEndUserSessions_EndsAllOfOnePersonAndTellsOnce(t *testing.T) {
	eachIssued(t, func(t *testing.T, w *issued) {
		w.keep("one", "access", "refresh")
		w.keep("two", "access", "refresh")
		var ended int64
		w.write("one", func(tx *store.Tx) (err error) {
			ended, err = tx.EndUserSessions(w.ctx, w.user["one"])
			return err
		})
		if ended != 1 || w.live("one", "access") || !w.live("two", "access") {
			t.Errorf("ended %d, one live %v, two live %v", ended, w.live("one", "access"), w.live("two", "access"))
		}
		if _, _, got := w.takeCode("one", asIs); got != store.Refused {
			t.Errorf("the pending code: %v", got)
		}
		err := w.db.Read(w.ctx, "one", func(tx *store.Tx) error {
			_, err := tx.SessionByHash(w.ctx, "session-one")
			return err
		})
		if fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the session: %v", err)
		}
		w.write("one", func(tx *store.Tx) error { // what is ended is not told again
			_, err := tx.EndUserSessions(w.ctx, w.user["one"])
			return err
		})
		deliveries, err := w.db.LeaseDeliveries(w.ctx, 10, time.Minute)
		w.must(err)
		if len(deliveries) != 1 || deliveries[0].Destination != "app" || deliveries[0].Organization != "one" {
			t.Errorf("deliveries %+v", deliveries)
		}
	})
}

func TestRevokeToken_OnlyTheApplicationsOwn(t *testing.T) {
	eachIssued(t, func(t *testing.T, w *issued) {
		w.keep("one", "access", "refresh")
		w.keep("one", "second", "")
		revoke := func(org id.Organization, app id.Application, hash string) (ok bool) {
			w.write(org, func(tx *store.Tx) (err error) {
				ok, err = tx.RevokeToken(w.ctx, app, hash)
				return err
			})
			return ok
		}
		if revoke("one", "x", "access") || revoke("one", "x", "refresh") || revoke("two", "app", "access") || !w.live("one", "access") {
			t.Error("another application or organization revoked it")
		}
		if !revoke("one", "app", "access") || w.live("one", "access") || !w.live("one", "second") {
			t.Error("an access token goes alone")
		}
		if !revoke("one", "app", "refresh") || w.live("one", "second") || revoke("one", "app", "refresh") {
			t.Error("a refresh token takes its family along, once")
		}
	})
}

func TestApplications_AreSavedReadAndFollowed(t *testing.T) {
	eachIssued(t, func(t *testing.T, w *issued) {
		before, err := w.db.Version(w.ctx, "configuration")
		w.must(err)
		want := application.Application{
			ID: "dash", Name: "Dash", Protocol: application.OIDC, SecretHash: "h", Version: 1,
			RedirectURIs: []string{"https://dash.example/cb"}, GrantTypes: []string{"authorization_code"},
			Claims: []string{"roles"}, Organizations: []id.Organization{"*"},
		}
		save := func() {
			w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
				tx.SaveApplication(w.ctx, want)
				return nil
			}))
		}
		read := func() (got application.Application, err error) {
			err = w.db.System().Read(w.ctx, func(tx *store.SystemTx) (err error) {
				got, err = tx.Application(w.ctx, "dash")
				return err
			})
			return got, err
		}
		save()
		got, err := read()
		w.must(err)
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("application, got - want +\n%s", d)
		}
		want.Name = "Dashboard"
		save()
		if got, _ := read(); got.Version != 2 || got.Name != "Dashboard" {
			t.Errorf("saved again: %+v", got)
		}
		deadline := time.Now().Add(5 * time.Second)
		after := before
		for after == before && time.Now().Before(deadline) {
			after, err = w.db.Version(w.ctx, "configuration")
			w.must(err)
		}
		if after == before {
			t.Error("nobody would notice the change")
		}
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.RemoveApplication(w.ctx, "dash")
			return nil
		}))
		if _, err := read(); fault.KindOf(err) != fault.NotFound {
			t.Errorf("removed: %v", err)
		}
	})
}

func TestSigningKeys_MoveAndGo(t *testing.T) {
	eachIssued(t, func(t *testing.T, w *issued) {
		var got []store.SigningKey
		step := func(fn func(tx *store.SystemTx)) {
			t.Helper()
			w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) (err error) {
				tx.LockSigningKeys(w.ctx)
				fn(tx)
				got, err = tx.SigningKeys(w.ctx)
				return err
			}))
		}
		now := w.clock.Now()
		step(func(tx *store.SystemTx) {
			tx.AddSigningKey(w.ctx, store.SigningKey{ID: "k", Algorithm: "ES256", State: "next", Private: "sealed", Public: "{}", Activates: now})
		})
		step(func(tx *store.SystemTx) { tx.MoveKey(w.ctx, store.SigningKeys, "k", "retiring", now.Add(time.Hour)) })
		want := []store.SigningKey{{
			ID: "k", Algorithm: "ES256", State: "retiring", Private: "sealed", Public: "{}",
			Created: now, Activates: now, Retires: now.Add(time.Hour),
		}}
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("keys, got - want +\n%s", d)
		}
		step(func(tx *store.SystemTx) { tx.DropKey(w.ctx, store.SigningKeys, "k") })
		if len(got) != 0 {
			t.Errorf("a dropped key is listed: %+v", got)
		}
	})
}

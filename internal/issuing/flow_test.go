package issuing_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/oidc"
)

func TestFlow_SignInLeadsToTokensOfThePushedId(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		u, q := w.authorize("organization", "northwind", "login_hint", "mia@northwind.example")
		if u.Path != "/signin" || q.Get("attempt") == "" {
			t.Fatalf("sent to %s", u)
		}
		s := w.signIn(northwind, q.Get("attempt"))
		rec := w.get("/authorize/resume", q)
		back, _ := url.Parse(rec.Header().Get("Location"))
		if rec.Code != http.StatusFound || !strings.HasPrefix(back.String(), callback+"?") || back.Query().Get("state") != "st" ||
			back.Query().Get("iss") != issuer {
			t.Fatalf("got %d %s", rec.Code, back)
		}
		status, m := w.redeem(back.Query().Get("code"))
		if status != http.StatusOK {
			t.Fatalf("token: %d %v", status, m)
		}
		claims := payload(t, m["id_token"])
		for _, volatile := range []string{"iat", "exp", "at_hash"} {
			delete(claims, volatile)
		}
		want := map[string]any{
			"iss": issuer, "sub": string(w.user[northwind]), "aud": "app", "nonce": "no", "sid": string(s),
			"auth_time": float64(w.clock.Now().Unix()), "acr": "1", "amr": []any{"pwd"},
			"email": "mia@northwind.example", "email_verified": true, "name": "Mia northwind",
			"organization": "northwind", "groups": []any{}, "roles": []any{"viewer"},
			"grants": []any{map[string]any{"role": "viewer", "resource": "northwind"}},
		}
		if d := cmp.Diff(claims, want); d != "" {
			t.Errorf("ID token, got - want +\n%s", d)
		}
		status, info := w.userinfo(m["access_token"])
		if status != 200 || info["sub"] != want["sub"] || cmp.Diff(info["roles"], want["roles"]) != "" {
			t.Errorf("userinfo: %d %v", status, info)
		}
		about := w.introspect(m["access_token"])
		if about["active"] != true || about["client_id"] != "app" || cmp.Diff(about["grants"], want["grants"]) != "" {
			t.Errorf("introspection: %v", about)
		}
		if got := w.actions(northwind); !slices.Contains(got, "application.opened") {
			t.Errorf("audit %v", got)
		}
	})
}

func TestClaims_FollowTheApplicationsSetting(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(northwind, "")
		_, m := w.post("quiet", "/token", "grant_type", "authorization_code", "code", w.code("client_id", "quiet"),
			"redirect_uri", callback, "code_verifier", verifier)
		claims := payload(t, m["id_token"])
		for _, name := range []string{"organization", "groups", "roles", "grants", "restrictions"} {
			if _, told := claims[name]; told {
				t.Errorf("%s is told without being asked for", name)
			}
		}
		if claims["email"] != "mia@northwind.example" || claims["name"] == nil {
			t.Errorf("claims %v", claims)
		}
	})
}

func TestRefresh_076_CarriesWhatIsInForceThen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		var given store.Grant
		w.write(northwind, func(tx *store.Tx) (err error) {
			given, err = tx.Give(w.ctx, operator, store.Grant{User: w.user[northwind], Role: "editor", Resource: "london-1"})
			return err
		})
		status, m := w.refresh(m["refresh_token"])
		want := []any{
			map[string]any{"role": "viewer", "resource": "northwind"}, map[string]any{"role": "editor", "resource": "london-1"},
		}
		if d := cmp.Diff(payload(t, m["id_token"])["grants"], any(want)); status != 200 || d != "" {
			t.Errorf("%d, after giving, got - want +\n%s", status, d)
		}
		w.write(northwind, func(tx *store.Tx) error { return tx.RevokeGrant(w.ctx, operator, given.ID, "") })
		// The opaque token made before says the new state at once.
		if _, info := w.userinfo(m["access_token"]); cmp.Diff(info["grants"], any(want[:1])) != "" {
			t.Errorf("userinfo after revoking: %v", info["grants"])
		}
		_, m = w.refresh(m["refresh_token"])
		if d := cmp.Diff(payload(t, m["id_token"])["grants"], any(want[:1])); d != "" {
			t.Errorf("after revoking, got - want +\n%s", d)
		}
	})
}

func TestSuspension_072_076_103_178_EndsEverythingFromTheCommitOn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		pending := w.code()
		browser := map[string]string{}
		for k, v := range w.browser {
			browser[k] = v
		}
		w.write(northwind, func(tx *store.Tx) error { return tx.Suspend(w.ctx, w.user[northwind], operator, "left") })
		dead := func(when string) {
			t.Helper()
			if status, _ := w.userinfo(m["access_token"]); status != 401 {
				t.Errorf("%s: userinfo %d", when, status)
			}
			if got := w.introspect(m["access_token"]); got["active"] != false || len(got) != 1 {
				t.Errorf("%s: introspection %v", when, got)
			}
			if status, e := w.refresh(m["refresh_token"]); status != 400 || e["error"] != oidc.InvalidGrant {
				t.Errorf("%s: refresh %d %v", when, status, e)
			}
			if status, e := w.redeem(pending); status != 400 || e["error"] != oidc.InvalidGrant {
				t.Errorf("%s: pending code %d %v", when, status, e)
			}
			w.browser = browser
			if _, q := w.authorize("prompt", "none"); q.Get("error") != oidc.LoginRequired {
				t.Errorf("%s: session %v", when, q)
			}
		}
		dead("suspended")
		w.write(northwind, func(tx *store.Tx) error { return tx.Reactivate(w.ctx, w.user[northwind], operator, "back") })
		dead("reactivated: what was before stays dead")
	})
}

func TestResume_072_PersonDeactivatedMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, q := w.authorize()
		w.signIn(northwind, q.Get("attempt"))
		w.write(northwind, func(tx *store.Tx) error { return tx.Suspend(w.ctx, w.user[northwind], operator, "") })
		rec := w.get("/authorize/resume", q)
		u, _ := url.Parse(rec.Header().Get("Location"))
		if u.Query().Get("code") != "" || u.Query().Get("error") != oidc.AccessDenied {
			t.Errorf("got %d %s", rec.Code, u)
		}
	})
}

func TestResume_097_098_OnlyTheBrowserThatBeganAndOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, q := w.authorize()
		w.signIn(northwind, q.Get("attempt"))
		victim := w.browser
		w.browser = map[string]string{}
		_, own := w.authorize() // the attacker's browser has a cookie and an attempt of its own
		for name, attempt := range map[string]url.Values{"the victim's": q, "its own, not landed": own} {
			if rec := w.get("/authorize/resume", attempt); rec.Code != 400 || rec.Header().Get("Location") != "" {
				t.Errorf("%s: %d %s", name, rec.Code, rec.Header().Get("Location"))
			}
		}
		w.browser = victim
		if rec := w.get("/authorize/resume", q); !strings.Contains(rec.Header().Get("Location"), "code=") {
			t.Errorf("the browser that began: %d %s", rec.Code, rec.Header().Get("Location"))
		}
		if rec := w.get("/authorize/resume", q); rec.Code != 400 {
			t.Errorf("a second time: %d", rec.Code)
		}
	})
}

func TestResume_096_ForcedSignInMustBeNew(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(northwind, "")
		w.clock.Advance(10 * time.Minute)
		for _, force := range [][]string{{"prompt", "login"}, {"max_age", "0"}, {"max_age", "60"}, {"prompt", "select_account"}} {
			if u, _ := w.authorize(force...); u.Path != "/signin" {
				t.Errorf("%v: sent to %s", force, u)
			}
		}
		if _, q := w.authorize("max_age", "3600"); q.Get("code") == "" {
			t.Errorf("max_age not reached: %v", q)
		}
		_, q := w.authorize("prompt", "login")
		w.clock.Advance(time.Second)
		w.signIn(northwind, q.Get("attempt"))
		if rec := w.get("/authorize/resume", q); !strings.Contains(rec.Header().Get("Location"), "code=") {
			t.Errorf("after a new sign-in: %s", rec.Header().Get("Location"))
		}
	})
}

func TestAuthorize_SessionIsUsedUnaskedOnlyIfItFits(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(northwind, "")
		w.signIn(other, "")
		for name, c := range map[string]struct {
			ask  []string
			want string // an organization: a code for its person
		}{
			"two fit, none named":        {nil, oidc.AccountSelectionRequired},
			"organization named":         {[]string{"organization", "northwind"}, "northwind"},
			"the other named":            {[]string{"organization", "other"}, "other"},
			"address chooses":            {[]string{"login_hint", "MIA@northwind.example"}, "northwind"},
			"another address":            {[]string{"login_hint", "max@northwind.example"}, oidc.LoginRequired},
			"address against name":       {[]string{"login_hint", "mia@other.example", "organization", "northwind"}, oidc.LoginRequired},
			"application of one alone":   {[]string{"client_id", "closed"}, "other"},
			"closed to the one named":    {[]string{"client_id", "closed", "organization", "northwind"}, oidc.AccessDenied},
			"unknown organization":       {[]string{"organization", "nowhere"}, oidc.InvalidRequest},
			"unknown connection":         {[]string{"organization", "northwind", "connection", "corp"}, oidc.InvalidRequest},
			"unknown connection, no org": {[]string{"connection", "corp"}, oidc.InvalidRequest},
		} {
			_, q := w.authorize(append([]string{"prompt", "none"}, c.ask...)...)
			got := q.Get("error")
			if code := q.Get("code"); code != "" {
				got, _, _ = strings.Cut(code, ".")
			}
			if got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	})
}

func TestAuthorize_095_HintOfAnotherPerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hint := w.tokens()["id_token"].(string)
		if _, q := w.authorize("prompt", "none", "id_token_hint", hint); q.Get("code") == "" {
			t.Errorf("own hint: %v", q)
		}
		delete(w.browser, "__Host-vestibule_s_northwind")
		w.signIn(other, "")
		if _, q := w.authorize("prompt", "none", "id_token_hint", hint); q.Get("error") != oidc.LoginRequired {
			t.Errorf("another's hint: %v", q)
		}
	})
}

func TestAuthorize_NoAccessAtAllGetsNoCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write(northwind, func(tx *store.Tx) error {
			return tx.SetCustomAccess(w.ctx, w.user[northwind], true, operator, "")
		})
		sent := func(u *url.URL) {
			t.Helper()
			if u.Path != "/signin/no-access" || u.Query().Get("organization") != "northwind" || u.Query().Get("application") != "App" {
				t.Errorf("sent to %s", u)
			}
		}
		_, q := w.authorize()
		w.signIn(northwind, q.Get("attempt"))
		back, _ := url.Parse(w.get("/authorize/resume", q).Header().Get("Location"))
		sent(back)
		u, _ := w.authorize()
		sent(u)
		if _, q := w.authorize("prompt", "none"); q.Get("error") != oidc.InteractionRequired {
			t.Errorf("prompt=none: %v", q)
		}
	})
}

func TestToken_184_185_GuessingASecretIsSlowedFromThatAddressAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guess := func(handler http.Handler, from, secret string) int {
			q := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {secret}}
			r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(q.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Test-From", from)
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, r)
			return rec.Code
		}
		for i := range 10 {
			if got := guess(w.handler, "203.0.113.9", fmt.Sprint(i)); got != 401 {
				t.Fatalf("guess %d: %d", i, got)
			}
		}
		for _, s := range []string{"x", secret} {
			if got := guess(w.handler, "203.0.113.9", s); got != 429 {
				t.Errorf("after ten wrong ones: %d, want 429", got)
			}
		}
		_, second := w.start(w.db)
		if got := guess(second, "203.0.113.9", "x"); got != 429 {
			t.Errorf("at another node: %d, want 429", got)
		}
		if got := guess(w.handler, "192.0.2.1", secret); got != 200 {
			t.Errorf("from elsewhere: %d, want 200", got)
		}
		w.clock.Advance(time.Minute)
		if got := guess(w.handler, "203.0.113.9", secret); got != 200 {
			t.Errorf("a minute later: %d, want 200", got)
		}
	})
}

func TestToken_069_073_ReplayRevokesTheFamily(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(northwind, "")
		code := w.code()
		_, m := w.redeem(code)
		if status, e := w.redeem(code); status != 400 || e["error"] != oidc.InvalidGrant {
			t.Errorf("code twice: %d %v", status, e)
		}
		if status, _ := w.userinfo(m["access_token"]); status != 401 {
			t.Errorf("access token after a replayed code: %d", status)
		}
		if status, _ := w.refresh(m["refresh_token"]); status != 400 {
			t.Errorf("refresh token after a replayed code: %d", status)
		}

		m = w.tokens()
		_, second := w.refresh(m["refresh_token"])
		if status, _ := w.refresh(m["refresh_token"]); status != 400 {
			t.Errorf("spent refresh token: %d", status)
		}
		if status, _ := w.refresh(second["refresh_token"]); status != 400 {
			t.Errorf("the newest refresh token after a replay: %d", status)
		}
		if got := w.introspect(second["access_token"])["active"]; got != false {
			t.Errorf("the newest access token after a replay: %v", got)
		}
		if got := w.actions(northwind); !slices.Contains(got, "token.replayed") {
			t.Errorf("audit %v", got)
		}
	})
}

func TestToken_071_075_BoundToClientAndTime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(northwind, "")
		code := w.code()
		spoiled := func(name string, status int, e map[string]any) {
			t.Helper()
			if status != 400 || e["error"] != oidc.InvalidGrant {
				t.Errorf("%s: %d %v", name, status, e)
			}
		}
		status, e := w.post("quiet", "/token", "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier)
		spoiled("another client", status, e)
		status, e = w.post("app", "/token", "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", strings.Repeat("x", 43))
		spoiled("another verifier", status, e)
		status, e = w.redeem("other" + strings.TrimPrefix(code, "northwind"))
		spoiled("186: another organization in front", status, e)
		status, m := w.redeem(code)
		if status != 200 {
			t.Fatalf("none of these burn the code: %d %v", status, m)
		}
		status, e = w.post("quiet", "/token", "grant_type", "refresh_token", "refresh_token", m["refresh_token"].(string))
		spoiled("another client's refresh token", status, e)
		status, e = w.refresh(m["refresh_token"], "scope", "openid email")
		if status != 400 || e["error"] != oidc.InvalidScope {
			t.Errorf("wider scope: %d %v", status, e)
		}
		late := w.code()
		w.clock.Advance(61 * time.Second)
		status, e = w.redeem(late)
		spoiled("61 seconds later", status, e)
		w.clock.Advance(31 * 24 * time.Hour)
		status, e = w.refresh(m["refresh_token"])
		spoiled("refresh token idle for a month", status, e)
	})
}

func TestTokens_186_AnotherOrganizationInFrontOpensNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		moved := func(name string) string { return "other" + strings.TrimPrefix(m[name].(string), "northwind") }
		if status, _ := w.userinfo(moved("access_token")); status != 401 {
			t.Errorf("userinfo: %d", status)
		}
		if got := w.introspect(moved("refresh_token"))["active"]; got != false {
			t.Errorf("introspection: %v", got)
		}
		if status, _ := w.refresh(moved("refresh_token")); status != 400 {
			t.Errorf("refresh: %d", status)
		}
		for _, odd := range []string{"", ".", "northwind.", "nowhere." + strings.Repeat("a", 43), "../x." + strings.Repeat("a", 43), m["access_token"].(string) + "A", m["access_token"].(string)[:20]} {
			if got := w.introspect("x" + odd)["active"]; got != false {
				t.Errorf("%q: %v", odd, got)
			}
		}
	})
}

func TestRevoke_105_AccessTokenAloneRefreshTokenWithItsFamily(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		w.post("quiet", "/revoke", "token", m["refresh_token"].(string))
		if got := w.introspect(m["access_token"])["active"]; got != true {
			t.Errorf("revoked by another client: active %v", got)
		}
		w.post("app", "/revoke", "token", m["access_token"].(string), "token_type_hint", "refresh_token")
		if got := w.introspect(m["access_token"])["active"]; got != false {
			t.Errorf("access token: active %v", got)
		}
		status, m := w.refresh(m["refresh_token"])
		if status != 200 {
			t.Fatalf("refresh after revoking the access token: %d %v", status, m)
		}
		w.post("app", "/revoke", "token", m["refresh_token"].(string))
		if got := w.introspect(m["access_token"])["active"]; got != false {
			t.Errorf("access token of a revoked family: active %v", got)
		}
	})
}

func TestRemovedApplication_ItsTokensDie(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.RemoveApplication(w.ctx, "app")
			return nil
		}))
		deadline := time.Now().Add(5 * time.Second)
		status := 0
		for status, _ = w.userinfo(m["access_token"]); status != 401 && time.Now().Before(deadline); status, _ = w.userinfo(m["access_token"]) {
		}
		if status != 401 {
			t.Errorf("userinfo: %d", status)
		}
	})
}

func TestEndSession_EndsTokensAndTellsApplications(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		rec := w.get("/end_session", url.Values{"id_token_hint": {m["id_token"].(string)}, "post_logout_redirect_uri": {"https://app.example/bye"}, "state": {"s"}})
		if rec.Code != 303 || rec.Header().Get("Location") != "https://app.example/bye?state=s" {
			t.Fatalf("got %d %s", rec.Code, rec.Header().Get("Location"))
		}
		if w.browser["__Host-vestibule_s_northwind"] != "" {
			t.Error("the cookie is still there")
		}
		if status, _ := w.refresh(m["refresh_token"]); status != 400 {
			t.Errorf("refresh: %d", status)
		}
		deliveries, err := w.db.LeaseDeliveries(w.ctx, 10, time.Minute)
		w.must(err)
		if len(deliveries) != 1 || deliveries[0].Kind != outbox.BackChannelLogout || deliveries[0].Destination != "app" {
			t.Fatalf("deliveries %+v", deliveries)
		}
		claims := payload(t, m["id_token"])
		var told url.Values
		receipt, err := w.node.SendLogout(&http.Client{Transport: roundTrip(func(r *http.Request) *http.Response {
			_ = r.ParseForm()
			told = r.PostForm
			return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}}
		})})(w.ctx, deliveries[0])
		if err != nil || string(receipt) != `{"status":200}` {
			t.Errorf("receipt %s, %v", receipt, err)
		}
		logout := payload(t, told.Get("logout_token"))
		if logout["sid"] != claims["sid"] || logout["sub"] != claims["sub"] || logout["aud"] != "app" || logout["events"] == nil {
			t.Errorf("logout token %v", logout)
		}
		if got := w.actions(northwind); !slices.Contains(got, "session.ended") {
			t.Errorf("audit %v", got)
		}
	})
}

type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func TestSuspension_QueuesTheLogoutInItsTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.tokens()
		w.tokens() // the same application and session: told once
		w.write(northwind, func(tx *store.Tx) error { return tx.Suspend(w.ctx, w.user[northwind], operator, "") })
		deliveries, err := w.db.LeaseDeliveries(w.ctx, 10, time.Minute)
		w.must(err)
		if len(deliveries) != 1 || deliveries[0].Kind != outbox.BackChannelLogout {
			t.Errorf("deliveries %+v", deliveries)
		}
	})
}

func TestToken_070_074_OneWinnerAmongNodes(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		address := storetest.URL(t, kind)
		w := newWorld(t, clock, storetest.OpenURL(t, address, storetest.WithClock(clock)))
		handlers := []http.Handler{w.handler}
		for range 2 {
			_, h := w.start(storetest.OpenURL(t, address, storetest.WithClock(clock)))
			handlers = append(handlers, h)
		}
		race := func(q url.Values) (won []string) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range 30 {
				wg.Go(func() {
					rec := w.postTo(handlers[i%len(handlers)], "/token", q)
					if rec.Code == 200 {
						mu.Lock()
						defer mu.Unlock()
						won = append(won, rec.Body.String())
					}
				})
			}
			wg.Wait()
			return won
		}
		client := func(pairs ...string) url.Values {
			q := url.Values{"client_id": {"app"}, "client_secret": {secret}}
			for i := 0; i < len(pairs); i += 2 {
				q.Set(pairs[i], pairs[i+1])
			}
			return q
		}
		m := w.tokens()
		if won := race(client("grant_type", "refresh_token", "refresh_token", m["refresh_token"].(string))); len(won) != 1 {
			t.Errorf("%d refreshes won, want one", len(won))
		}
		if got := w.introspect(m["access_token"])["active"]; got != false {
			t.Error("the family outlives a refresh token presented thirty times")
		}
		won := race(client("grant_type", "authorization_code", "code", w.code(), "redirect_uri", callback, "code_verifier", verifier))
		if len(won) != 1 {
			t.Errorf("%d redemptions won, want one", len(won))
		}
	})
}

func TestIssuer_110_NeverFromAHeader(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil)
		r.Host = "evil.example"
		r.Header.Set("X-Forwarded-Host", "evil.example")
		if body := w.send(w.handler, r).Body.String(); strings.Contains(body, "evil") || !strings.Contains(body, fmt.Sprintf("%q", issuer)) {
			t.Errorf("discovery %s", body)
		}
	})
}

func TestStore_190_HoldsNoTokenInTheClear(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.tokens()
		for e, err := range w.db.EachEvent(w.ctx, northwind, store.AuditFilter{}) {
			w.must(err)
			line := fmt.Sprintf("%+v %s %s", e, e.Before, e.After)
			for _, name := range []string{"access_token", "refresh_token"} {
				_, random, _ := strings.Cut(m[name].(string), ".")
				if strings.Contains(line, random) {
					t.Errorf("the audit log holds the %s: %s", name, line)
				}
			}
		}
	})
}

func TestEndSession_179_ConcurrentWithRefreshLeavesNothingAlive(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 5 {
			m := w.tokens()
			held := id.Session(payload(t, m["id_token"])["sid"].(string))
			renewal := url.Values{
				"client_id": {"app"}, "client_secret": {secret}, "grant_type": {"refresh_token"},
				"refresh_token": {m["refresh_token"].(string)},
			}
			var wg sync.WaitGroup
			var renewed *httptest.ResponseRecorder
			wg.Go(func() { renewed = w.postTo(w.handler, "/token", renewal) })
			wg.Go(func() {
				err := w.db.Write(w.ctx, northwind, func(tx *store.Tx) error {
					_, err := tx.EndSession(w.ctx, held)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			tokens := []any{m["access_token"], m["refresh_token"]}
			if renewed.Code == http.StatusOK {
				var won map[string]any
				w.must(json.Unmarshal(renewed.Body.Bytes(), &won))
				tokens = append(tokens, won["access_token"], won["refresh_token"])
			}
			for i, token := range tokens {
				if got := w.introspect(token)["active"]; got != false {
					t.Errorf("token %d of %d is alive after the sign-out", i, len(tokens))
				}
			}
			delete(w.browser, "__Host-vestibule_s_northwind")
		}
	})
}

func TestAttempt_SignInReadsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	age := int64(60)
	request, err := json.Marshal(oidc.AuthorizeRequest{
		ClientID: "app", LoginHint: "mia@northwind.example", Organization: "northwind", Connection: "corp",
		Prompt: []string{"login"}, MaxAge: &age,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := session.Attempt{Request: request}.Hints()
	want := session.Hints{
		Application: "app", LoginHint: "mia@northwind.example", Organization: "northwind", Connection: "corp",
		Prompt: []string{"login"}, MaxAge: &age,
	}
	if d := cmp.Diff(got, want); err != nil || d != "" {
		t.Errorf("%v, hints, got - want +\n%s", err, d)
	}
}

package signin_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

const backChannel = "/sso/northwind/corp/backchannel-logout"

// logoutClaims are those of a good logout token of northwind's provider.
func (w *world) logoutClaims() map[string]any {
	return map[string]any{
		"iss": w.idp.URL, "aud": "vestibule", "sub": "sub-ann", "iat": w.clock.Now().Unix(), "exp": w.clock.Now().Add(2 * time.Minute).Unix(),
		"jti": "jti-1", "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
}

func (w *world) logoutToken(c map[string]any) string {
	return w.idp.compact("RS256", "rsa-1", keyring().rsa, payload(c), nil)
}

// post sends a logout token as the provider's server does: without a cookie.
func (w *world) backChannel(token string) answer {
	w.t.Helper()
	return w.do(newBrowser(), http.MethodPost, backChannel, url.Values{"logout_token": {token}})
}

func (w *world) signedIn() bool {
	w.t.Helper()
	_, err := w.session(northwind)
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		w.t.Fatal(err)
	}
	return err == nil
}

func TestBackChannelLogout_EndsTheSessionsItNames(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(c map[string]any)
		ends   bool
	}{
		"by subject":             {func(map[string]any) {}, true},
		"by session":             {func(c map[string]any) { delete(c, "sub"); c["sid"] = "upstream-1" }, true},
		"by both":                {func(c map[string]any) { c["sid"] = "upstream-1" }, true},
		"of another session":     {func(c map[string]any) { c["sid"] = "upstream-2" }, false},
		"of somebody else":       {func(c map[string]any) { c["sub"] = "sub-bob" }, false},
		"without exp, but fresh": {func(c map[string]any) { delete(c, "exp") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.idp.person["sid"], w.idp.person["email_verified"] = "upstream-1", true
				w.mustSignIn()
				c := w.logoutClaims()
				tt.change(c)
				if a := w.backChannel(w.logoutToken(c)); a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
					t.Fatalf("got %d %s", a.status, a.body)
				}
				if w.signedIn() == tt.ends {
					t.Errorf("signed in afterwards: %v", !tt.ends)
				}
				e := w.events()[0]
				if ended := e.Action == "session.ended" && e.Actor.Kind == audit.ActorConnection && e.Reason == "signed out at the identity provider"; ended != tt.ends {
					t.Errorf("the event: %+v", e)
				}
			})
		})
	}
}

// Negative case 52, and its neighbours: each is a 400, and the person stays signed in.
func TestCase052_LogoutTokensThatAreNone(t *testing.T) {
	for name, change := range map[string]func(c map[string]any){
		"with a nonce":  func(c map[string]any) { c["nonce"] = "n" },
		"no events":     func(c map[string]any) { delete(c, "events") },
		"another event": func(c map[string]any) { c["events"] = map[string]any{"https://x.example/e": map[string]any{}} },
		"event no object": func(c map[string]any) {
			c["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": true}
		},
		"no jti":             func(c map[string]any) { delete(c, "jti") },
		"other audience":     func(c map[string]any) { c["aud"] = "other" },
		"audience with more": func(c map[string]any) { c["aud"] = []any{"vestibule", "other"} },
		"other issuer":       func(c map[string]any) { c["iss"] = "https://elsewhere.example" },
		"nobody named":       func(c map[string]any) { delete(c, "sub") },
		"old":                func(c map[string]any) { c["iat"] = c["iat"].(int64) - 3600; delete(c, "exp") },
		"expired":            func(c map[string]any) { c["exp"] = c["exp"].(int64) - 600 },
		"of tomorrow":        func(c map[string]any) { c["iat"] = c["iat"].(int64) + 86400 },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.idp.person["email_verified"] = true
				w.mustSignIn()
				c := w.logoutClaims()
				change(c)
				w.refusesLogout(w.logoutToken(c))
			})
		})
	}
	for name, token := range map[string]func(w *world) string{
		"unsigned": func(w *world) string { return raw(`{"alg":"none"}`, payload(w.logoutClaims()), nil) },
		"another's key": func(w *world) string {
			return w.idp.compact("RS256", "rsa-1", keyring().other, payload(w.logoutClaims()), nil)
		},
		"an access token": func(w *world) string {
			return w.idp.compact("RS256", "rsa-1", keyring().rsa, payload(w.logoutClaims()), map[string]any{"typ": "at+jwt"})
		},
		"two subjects": func(w *world) string {
			return w.idp.compact("RS256", "rsa-1", keyring().rsa, []byte(`{"sub":"a","sub":"b"}`), nil)
		},
		"nothing":     func(*world) string { return "" },
		"not a token": func(*world) string { return "a.b" },
		"an ID token": func(w *world) string {
			c := w.logoutClaims()
			delete(c, "events")
			c["nonce"] = "n"
			return w.logoutToken(c)
		},
		"a very large one": func(*world) string { return strings.Repeat("a", 80<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.idp.person["email_verified"] = true
				w.mustSignIn()
				w.refusesLogout(token(w))
			})
		})
	}
}

func (w *world) refusesLogout(token string) {
	w.t.Helper()
	before, known := w.rows(), len(w.events())
	a := w.backChannel(token)
	if diff := cmp.Diff(before, w.rows()); diff != "" {
		w.t.Errorf("rows changed:\n%s", diff)
	}
	if n := len(w.events()) - known; n != 1 {
		w.t.Fatalf("%d events were written, want 1", n)
	}
	if a.status != http.StatusBadRequest || !strings.Contains(a.body, `"invalid_request"`) {
		w.t.Errorf("got %d %s", a.status, a.body)
	}
	if !w.signedIn() {
		w.t.Error("the session ended")
	}
	if e := w.events()[0]; e.Action != "sign-out.refused" || e.Outcome != audit.Refused || e.Code == "" || e.Reason == "" {
		w.t.Errorf("the event: %+v", e)
	}
}

func TestCase052_ReplayedLogoutToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.idp.person["email_verified"] = true
		w.mustSignIn()
		token := w.logoutToken(w.logoutClaims())
		if a := w.backChannel(token); a.status != http.StatusOK {
			t.Fatalf("the first: %d %s", a.status, a.body)
		}
		w.mustSignIn()
		w.refusesLogout(token)
	})
}

// leave begins to leave as the console does, and gives the page that goes on to the provider.
func (w *world) leave(s session.Session, to string) answer {
	w.t.Helper()
	var path string
	w.write(func(tx *store.Tx) (err error) {
		if _, err = tx.EndSession(w.ctx, s.ID); err != nil {
			return err
		}
		path, err = tx.BeginLeaving(w.ctx, s, session.For(w.app.URL).Browser(w.request()), store.Leaving{To: to})
		return err
	})
	if path == "" {
		w.t.Fatal("nothing is to be done at the provider")
	}
	return w.get(path)
}

func (w *world) request() *http.Request {
	u, err := url.Parse(w.app.URL)
	w.must(err)
	r, err := http.NewRequestWithContext(w.ctx, http.MethodGet, w.app.URL, nil)
	w.must(err)
	for _, c := range w.browser.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	return r
}

func TestUpstreamLogout_GoesToTheProviderAndComesBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.configure(func(s *connection.Settings) { s.UpstreamLogout = true })
		w.idp.person["email_verified"] = true
		w.idp.discovery = func(_ http.ResponseWriter, _ *http.Request, d map[string]any) bool {
			d["end_session_endpoint"] = w.idp.URL + "/end"
			return false
		}
		s := w.mustSignIn()
		a := w.leave(s, "/done")
		to, err := url.Parse(strings.TrimPrefix(a.header.Get("Refresh"), "0; url="))
		w.must(err)
		q := to.Query()
		if !strings.HasPrefix(to.String(), w.idp.URL+"/end?") || q.Get("client_id") != "vestibule" || q.Get("state") == "" ||
			q.Get("post_logout_redirect_uri") != w.app.URL+"/sso/northwind/corp/left" {
			t.Fatalf("the logout request: %s", to)
		}
		token, err := jose.ParseSignedCompact(q.Get("id_token_hint"), []jose.SignatureAlgorithm{jose.RS256})
		w.must(err)
		var claims map[string]any
		w.must(json.Unmarshal(token.UnsafePayloadWithoutVerification(), &claims))
		if claims["sub"] != "sub-ann" {
			t.Errorf("the hint is of %v", claims["sub"])
		}
		// Another browser comes back with nothing.
		mine := w.browser
		w.browser = newBrowser()
		if a := w.get("/sso/northwind/corp/left?state=" + q.Get("state")); a.code() != "attempt-over" {
			t.Errorf("another browser: %d %q", a.status, a.code())
		}
		w.browser = mine
		if a := w.get("/sso/northwind/corp/left?state=" + q.Get("state")); a.status != http.StatusSeeOther || a.header.Get("Location") != "/done" {
			t.Errorf("back: %d %s", a.status, a.header.Get("Location"))
		}
		if a := w.get("/sso/northwind/corp/left?state=" + q.Get("state")); a.code() != "attempt-over" {
			t.Errorf("twice: %d %q", a.status, a.code())
		}
		if e := w.events()[0]; e.Action != "session.ended-upstream" || e.Outcome == audit.Refused {
			t.Errorf("the event: %+v", e)
		}
	})
}

// A provider that cannot be told leaves nobody signed in here, and nobody in the dark.
func TestUpstreamLogout_SaysWhereTheProviderTakesNone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.configure(func(s *connection.Settings) { s.UpstreamLogout = true })
		w.idp.person["email_verified"] = true
		a := w.leave(w.mustSignIn(), "/done")
		if a.status != http.StatusOK || !strings.Contains(a.body, "takes no logout from us") || w.signedIn() {
			t.Errorf("%d %s", a.status, a.doc.Find("main").Text())
		}
	})
}

// private_key_jwt: the assertion is for the issuer alone, signed by the key that the provider reads at the connection's address.
func TestPrivateKey_ProvesUsToTheTokenEndpoint(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.configure(func(s *connection.Settings) { s.AuthMethod = connection.PrivateKey })
		w.idp.person["email_verified"] = true
		var proofs []url.Values
		w.idp.proof = func(r *http.Request) bool {
			proofs = append(proofs, r.PostForm)
			_, _, basic := r.BasicAuth()
			return !basic && r.PostForm.Get("client_secret") == ""
		}
		w.mustSignIn()
		w.mustSignIn()
		published := w.get("/sso/northwind/corp/jwks")
		var set jose.JSONWebKeySet
		w.must(json.Unmarshal([]byte(published.body), &set))
		if len(set.Keys) != 1 || !set.Keys[0].IsPublic() || len(set.Keys[0].Certificates) != 1 {
			t.Fatalf("the key set: %s", published.body)
		}
		seen := map[string]bool{}
		for _, form := range proofs {
			if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Get("client_id") != "vestibule" {
				t.Errorf("the form: %v", form)
			}
			jws, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS256})
			w.must(err)
			if jws.Signatures[0].Header.KeyID != set.Keys[0].KeyID {
				t.Error("the assertion names another key than is published")
			}
			raw, err := jws.Verify(set.Keys[0])
			w.must(err)
			var c map[string]any
			w.must(json.Unmarshal(raw, &c))
			if c["iss"] != "vestibule" || c["sub"] != "vestibule" || c["aud"] != w.idp.URL || c["exp"].(float64)-c["iat"].(float64) > 300 || seen[c["jti"].(string)] {
				t.Errorf("the assertion: %v", c)
			}
			seen[c["jti"].(string)] = true
		}
		if len(proofs) != 2 {
			t.Errorf("%d token requests", len(proofs))
		}
	})
}

package oidc_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vestibule-id/vestibule/oidc"
)

func TestToken_CodeBringsTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.tokens()
	if got["token_type"] != "Bearer" || got["expires_in"] != 900.0 || got["refresh_token"] == nil || got["scope"] != "openid" {
		t.Errorf("answer %v", got)
	}
	head, claims := claimsOf(t, got["id_token"])
	if head["alg"] != "ES256" || head["typ"] != "JWT" || head["kid"] != generated(t)[0].ID {
		t.Errorf("header %v", head)
	}
	delete(claims, "at_hash")
	want := map[string]any{
		"iss": issuer, "sub": "person", "aud": "app", "nonce": "no", "sid": "session", "roles": []any{"viewer"},
		"iat": float64(w.now.Unix()), "auth_time": float64(w.now.Unix()), "exp": float64(w.now.Add(15 * time.Minute).Unix()),
	}
	if d := cmp.Diff(claims, want); d != "" {
		t.Errorf("claims, got - want +\n%s", d)
	}
}

func TestToken_RS256ForTheClientThatNeedsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.codeFor("client_id", "rs", "redirect_uri", "https://rs.example/cb")
	rec := w.post("/token", redemption(code, "redirect_uri", "https://rs.example/cb"), basic("rs", "rs-secret"))
	if head, _ := claimsOf(t, decode(t, rec)["id_token"]); head["alg"] != "RS256" {
		t.Errorf("header %v", head)
	}
}

func TestToken_067_068_VerifierMustFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.codeFor()
	for name, v := range map[string]string{
		"missing": "", "wrong": strings.Repeat("x", 43), "42 characters": verifier[1:], "129 characters": strings.Repeat("x", 129),
		"padding": verifier[1:] + "=", "the challenge itself": challenge,
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, w.post("/token", redemption(code, "code_verifier", v), asApp), 400, oidc.InvalidGrant)
		})
	}
	if rec := w.post("/token", redemption(code), asApp); rec.Code != 200 {
		t.Errorf("the code survives wrong verifiers: got %d %s", rec.Code, rec.Body)
	}
}

func TestToken_069_CodeTwiceRevokesTheFamily(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.codeFor()
	first := decode(t, w.post("/token", redemption(code), asApp))
	refused(t, w.post("/token", redemption(code), asApp), 400, oidc.InvalidGrant)
	refused(t, w.post("/token", "grant_type=refresh_token&refresh_token="+first["refresh_token"].(string), asApp), 400, oidc.InvalidGrant)
	if rec := w.post("/userinfo", "access_token="+first["access_token"].(string)); rec.Code != 401 {
		t.Errorf("userinfo: %d, want 401", rec.Code)
	}
}

func TestToken_071_CodeIsBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.codeFor()
	refused(t, w.post("/token", redemption(code), basic("rs", "rs-secret")), 400, oidc.InvalidGrant)
	refused(t, w.post("/token", redemption(code, "redirect_uri", "https://app.example/other"), asApp), 400, oidc.InvalidGrant)
	w.now = w.now.Add(61 * time.Second)
	refused(t, w.post("/token", redemption(code), asApp), 400, oidc.InvalidGrant)
}

func TestToken_073_075_Refresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.tokens("scope", "openid email")["refresh_token"].(string)
	refresh := func(token string, more ...string) *httptest.ResponseRecorder {
		q := values(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, more...)
		return w.post("/token", q.Encode(), asApp)
	}
	refused(t, w.post("/token", "grant_type=refresh_token&refresh_token="+first, basic("rs", "rs-secret")), 400, oidc.InvalidGrant)
	refused(t, refresh(first, "scope", "openid profile"), 400, oidc.InvalidScope)
	second := decode(t, refresh(first))
	if _, claims := claimsOf(t, second["id_token"]); claims["nonce"] != nil {
		t.Errorf("an ID token by refresh has a nonce: %v", claims)
	}
	refused(t, refresh(first), 400, oidc.InvalidGrant)
	refused(t, refresh(second["refresh_token"].(string)), 400, oidc.InvalidGrant)
}

func TestToken_077_to_082_WhoCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const cc = "grant_type=client_credentials"
	raw := func(s string) edit {
		return header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s)))
	}
	for name, c := range map[string]struct {
		body   string
		auth   edit
		status int
		code   string
	}{
		"077 header and body secret":       {cc + "&client_secret=x", asApp, 400, oidc.InvalidRequest},
		"077 header and assertion":         {cc + "&client_assertion=x", asApp, 400, oidc.InvalidRequest},
		"078 header A, body B":             {cc + "&client_id=rs", asApp, 400, oidc.InvalidRequest},
		"080 public sends a secret":        {cc + "&client_id=native&client_secret=x", nil, 401, oidc.InvalidClient},
		"080 confidential sends none":      {cc + "&client_id=app", nil, 401, oidc.InvalidClient},
		"080 empty secret":                 {cc, basic("app", ""), 401, oidc.InvalidClient},
		"081 percent not encoded":          {cc, raw("app:s3cret:with%"), 401, oidc.InvalidClient},
		"082 assertion":                    {cc + "&client_id=app&client_assertion=x&client_assertion_type=y", nil, 401, oidc.InvalidClient},
		"wrong secret":                     {cc, basic("app", "wrong"), 401, oidc.InvalidClient},
		"unknown client":                   {cc, basic("nobody", "x"), 401, oidc.InvalidClient},
		"no colon":                         {cc, raw("app"), 401, oidc.InvalidClient},
		"not base64":                       {cc, header("Authorization", "Basic %%%"), 401, oidc.InvalidClient},
		"another scheme":                   {cc, header("Authorization", "Bearer x"), 401, oidc.InvalidClient},
		"084 assertion as grant":           {"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=x", asApp, 400, oidc.UnsupportedGrantType},
		"112 device":                       {"grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=x", asApp, 400, oidc.UnsupportedGrantType},
		"113 token exchange":               {"grant_type=urn:ietf:params:oauth:grant-type:token-exchange", asApp, 400, oidc.UnsupportedGrantType},
		"password":                         {"grant_type=password&username=a&password=b", asApp, 400, oidc.UnsupportedGrantType},
		"no grant type":                    {"", asApp, 400, oidc.InvalidRequest},
		"085 client not allowed the grant": {"grant_type=refresh_token&refresh_token=x", basic("machine", "m"), 400, oidc.UnauthorizedClient},
		"085 public for itself":            {cc + "&client_id=native", nil, 400, oidc.UnauthorizedClient},
		"086 scope for itself":             {cc + "&scope=openid", asApp, 400, oidc.InvalidScope},
		"089 grant_type twice":             {cc + "&" + cc, asApp, 400, oidc.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			var edits []edit
			if c.auth != nil {
				edits = append(edits, c.auth)
			}
			rec := w.post("/token", c.body, edits...)
			refused(t, rec, c.status, c.code)
			if got := rec.Header().Get("WWW-Authenticate"); (got != "") != (c.status == 401) {
				t.Errorf("WWW-Authenticate %q with %d", got, rec.Code)
			}
		})
	}
	for name, rec := range map[string]*httptest.ResponseRecorder{
		"081 encoded":             w.post("/token", cc, asApp),
		"081 colon as it is":      w.post("/token", cc, raw("app:s3cret:with%25")),
		"client_secret_post":      w.post("/token", cc+"&client_id=app&client_secret="+url.QueryEscape("s3cret:with%")),
		"header and its own name": w.post("/token", cc+"&client_id=app", asApp),
	} {
		if rec.Code != 200 {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}

func TestToken_184_TooManyWrongSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rec := w.post("/token", "grant_type=client_credentials", basic("app", "too often"))
	refused(t, rec, 429, oidc.InvalidClient)
	if got := rec.Header().Get("Retry-After"); got != "21" {
		t.Errorf("Retry-After %q", got)
	}
}

func TestToken_079_090_115_TheGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/token", "/introspect", "/revoke"} {
		rec := w.get(path, url.Values{"client_id": {"app"}, "client_secret": {"s3cret:with%"}, "grant_type": {"client_credentials"}})
		if rec.Code != 405 || rec.Header().Get("Allow") != "POST" {
			t.Errorf("GET %s: %d, Allow %q", path, rec.Code, rec.Header().Get("Allow"))
		}
		refused(t, w.post(path+"?client_secret=x", "grant_type=client_credentials", asApp), 400, oidc.InvalidRequest)
		refused(t, w.post(path, "x="+strings.Repeat("a", 64<<10), asApp), 413, oidc.InvalidRequest)
		for _, ct := range []string{"application/json", "", "multipart/form-data", "application/x-www-form-urlencoded; charset=latin1"} {
			refused(t, w.post(path, "a=b", asApp, header("Content-Type", ct)), 415, oidc.InvalidRequest)
		}
	}
	rec := w.post("/token", "grant_type=client_credentials", asApp, header("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"))
	if rec.Code != 200 || rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Pragma") != "no-cache" ||
		rec.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d %v", rec.Code, rec.Header())
	}
}

func TestToken_ClientCredentialsAreAnUnsavedToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := decode(t, w.post("/token", "grant_type=client_credentials", asApp))
	head, claims := claimsOf(t, got["access_token"])
	if head["typ"] != "at+jwt" || head["alg"] != "ES256" || got["expires_in"] != 600.0 || got["refresh_token"] != nil || got["id_token"] != nil {
		t.Errorf("header %v, answer %v", head, got)
	}
	if jti, _ := claims["jti"].(string); len(jti) < 40 {
		t.Errorf("jti %q", jti)
	}
	delete(claims, "jti")
	want := map[string]any{
		"iss": issuer, "aud": issuer, "sub": "app", "client_id": "app",
		"iat": float64(w.now.Unix()), "exp": float64(w.now.Add(10 * time.Minute).Unix()),
	}
	if d := cmp.Diff(claims, want); d != "" {
		t.Errorf("claims, got - want +\n%s", d)
	}
	token := got["access_token"].(string)
	if own, err := w.provider.VerifyClientToken(token); err != nil || own.ClientID != "app" {
		t.Errorf("VerifyClientToken: %v %v", own, err)
	}
	if rec := w.post("/userinfo", "access_token="+token); rec.Code != 401 {
		t.Errorf("userinfo takes an application's token: %d", rec.Code)
	}
	w.now = w.now.Add(10 * time.Minute)
	if _, err := w.provider.VerifyClientToken(token); err == nil {
		t.Error("an expired token is taken")
	}
}

func TestToken_086_WithoutOpenIDThereIsNoIDToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.tokens("scope", "email")
	if got["id_token"] != nil {
		t.Errorf("answer %v", got)
	}
	rec := w.post("/userinfo", "access_token="+got["access_token"].(string))
	if rec.Code != 401 || rec.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("103: userinfo without openid: %d", rec.Code)
	}
}

func TestUserinfo_103_106_OnlyATokenInForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.tokens()
	access := got["access_token"].(string)
	for name, token := range map[string]string{
		"ID token": got["id_token"].(string), "truncated": access[:len(access)-1], "extended": access + "x",
		"refresh token": got["refresh_token"].(string), "nonsense": "x",
	} {
		rec := w.do(func() *http.Request {
			r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			return r
		}())
		if rec.Code != 401 || !strings.Contains(rec.Header().Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s: %d %q", name, rec.Code, rec.Header().Get("WWW-Authenticate"))
		}
	}
	if rec := w.get("/userinfo", url.Values{"access_token": {access}}); rec.Code != 400 || rec.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("token in the address: %d", rec.Code)
	}
	if rec := w.get("/userinfo", nil); rec.Code != 401 || rec.Header().Get("WWW-Authenticate") != `Bearer realm="openid"` {
		t.Errorf("no token: %d %q", rec.Code, rec.Header().Get("WWW-Authenticate"))
	}
	ok := func() *httptest.ResponseRecorder {
		return w.post("/userinfo", "", header("Authorization", "Bearer "+access))
	}
	want := map[string]any{"sub": "person", "roles": []any{"viewer"}, "iss": "https://evil.example"}
	if d := cmp.Diff(decode(t, ok()), want); d != "" {
		t.Errorf("claims, got - want +\n%s", d)
	}
	if rec := w.post("/userinfo", "access_token="+access, header("Authorization", "Bearer "+access)); rec.Code != 400 {
		t.Errorf("token twice: %d", rec.Code)
	}
	w.now = w.now.Add(oidc.AccessLifetime)
	if rec := ok(); rec.Code != 401 {
		t.Errorf("expired: %d", rec.Code)
	}
}

func TestIntrospect_104_OnlyOnesOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.tokens()
	access := got["access_token"].(string)
	active := func(token string, auth edit) any {
		return decode(t, w.post("/introspect", "token="+token, auth))["active"]
	}
	refused(t, w.post("/introspect", "token="+access), 401, oidc.InvalidClient)
	refused(t, w.post("/introspect", "client_id=native&token="+access), 401, oidc.InvalidClient)
	own := decode(t, w.post("/introspect", "token_type_hint=refresh_token&token="+access, asApp))
	if own["active"] != true || own["sub"] != "person" || own["client_id"] != "app" || own["iss"] != issuer || own["roles"] == nil {
		t.Errorf("own token: %v", own)
	}
	machine := decode(t, w.post("/token", "grant_type=client_credentials", asApp))["access_token"].(string)
	for name, c := range map[string]struct {
		got, want any
	}{
		"foreign access token": {active(access, basic("rs", "rs-secret")), false},
		"ID token":             {active(got["id_token"].(string), asApp), false},
		"nonsense":             {active("x", asApp), false},
		"own refresh token":    {active(got["refresh_token"].(string), asApp), true},
		"own client token":     {active(machine, asApp), true},
		"foreign client token": {active(machine, basic("rs", "rs-secret")), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: active %v, want %v", name, c.got, c.want)
		}
	}
}

func TestRevoke_105_OnlyOnesOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.tokens()
	access := got["access_token"].(string)
	alive := func() bool { return w.post("/userinfo", "access_token="+access).Code == 200 }
	if rec := w.post("/revoke", "token="+access, basic("rs", "rs-secret")); rec.Code != 200 || !alive() {
		t.Errorf("another's: %d, alive %v", rec.Code, alive())
	}
	if rec := w.post("/revoke", "token=unknown", asApp); rec.Code != 200 {
		t.Errorf("unknown: %d", rec.Code)
	}
	if rec := w.post("/revoke", "token_type_hint=access_token&token="+got["refresh_token"].(string), asApp); rec.Code != 200 || alive() {
		t.Errorf("wrong hint: %d, alive %v", rec.Code, alive())
	}
}

func TestCrossOrigin_109_OnlyPagesOfItsClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/token", "/revoke", "/userinfo"} {
		for origin, want := range map[string]string{"https://spa.example": "https://spa.example", "https://evil.example": "", "null": ""} {
			r := httptest.NewRequest(http.MethodOptions, path, nil)
			r.Header.Set("Origin", origin)
			rec := w.do(r)
			if got := rec.Header().Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s from %s: %q, want %q", path, origin, got, want)
			}
			if got := rec.Header().Get("Access-Control-Allow-Credentials"); got != "" {
				t.Errorf("credentials allowed: %q", got)
			}
		}
	}
	rec := w.post("/token", "grant_type=client_credentials", asApp, header("Origin", "https://spa.example"))
	if got := rec.Header().Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("another client's page may read the answer: %q", got)
	}
}

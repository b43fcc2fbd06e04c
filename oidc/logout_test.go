package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"
	"github.com/vestibule-id/vestibule/oidc"
)

const bye = "https://app.example/bye?x=1"

func TestEndSession_HintOfThisSessionEndsItUnasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hint := w.tokens()["id_token"].(string)
	rec := w.get("/end_session", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}, "state": {"s t"}})
	if rec.Code != 303 || rec.Header().Get("Location") != bye+"&state=s+t" {
		t.Errorf("got %d %s", rec.Code, rec.Header().Get("Location"))
	}
	if d := cmp.Diff(w.ended, []string{"session"}); d != "" {
		t.Errorf("ended, got - want +\n%s", d)
	}
}

func TestEndSession_101_102_OnlyARegisteredAddressWithAHint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hint := w.tokens()["id_token"].(string)
	for name, q := range map[string]url.Values{
		"other address":     {"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://evil.example/"}},
		"without hint":      {"post_logout_redirect_uri": {bye}},
		"with a name alone": {"post_logout_redirect_uri": {bye}, "client_id": {"app"}},
		"query added":       {"id_token_hint": {hint}, "post_logout_redirect_uri": {bye + "&y=2"}},
		"hint changed":      {"id_token_hint": {hint[:len(hint)-6] + "AAAAAA"}},
		"hint of another":   {"id_token_hint": {hint}, "client_id": {"rs"}},
		"hint sent twice":   {"id_token_hint": {hint, hint}},
		"control in state":  {"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}, "state": {"a\nb"}},
	} {
		local(t, name, w.get("/end_session", q), 400)
	}
	if len(w.ended) > 0 {
		t.Errorf("ended %v", w.ended)
	}
}

func TestEndSession_101_AskedFirstWithoutAHint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rec := w.get("/end_session", url.Values{"state": {"s"}})
	doc, err := goquery.NewDocumentFromReader(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	confirm, _ := doc.Find("form[method=post] input[name=confirm]").Attr("value")
	if rec.Code != 200 || confirm == "" || len(w.ended) > 0 {
		t.Fatalf("got %d, confirm %q, ended %v", rec.Code, confirm, w.ended)
	}
	mine := w.cookies
	w.cookies = map[string]*http.Cookie{}
	local(t, "form in another browser", w.post("/end_session", "confirm="+confirm), 403)
	w.cookies = mine
	local(t, "another value", w.post("/end_session", "confirm=x"), 403)
	if len(w.ended) > 0 {
		t.Fatalf("ended %v", w.ended)
	}
	rec = w.post("/end_session", "confirm="+confirm)
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), "You are signed out") || len(w.ended) != 1 {
		t.Errorf("got %d %s, ended %v", rec.Code, rec.Body, w.ended)
	}
}

func TestEndSession_ConfirmedLeadsBackToTheApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hint := w.tokens("client_id", "app")["id_token"].(string)
	w.session = "another" // the hint is of an earlier session of this browser
	q := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}, "state": {`"><script>`}}
	doc, err := goquery.NewDocumentFromReader(w.get("/end_session", q).Body)
	if err != nil {
		t.Fatal(err)
	}
	confirmed := url.Values{}
	doc.Find("form input").Each(func(_ int, s *goquery.Selection) {
		confirmed.Set(s.AttrOr("name", ""), s.AttrOr("value", ""))
	})
	if confirmed.Get("state") != q.Get("state") || !strings.Contains(doc.Find("p.lead").Text(), "App asks") {
		t.Fatalf("form %v, %s", confirmed, doc.Text())
	}
	rec := w.post("/end_session", confirmed.Encode())
	want := "0; url=" + bye + "&state=%22%3E%3Cscript%3E"
	if got := rec.Header().Get("Refresh"); rec.Code != 200 || got != want || len(w.ended) != 1 {
		t.Errorf("got %d, Refresh %q, want %q, ended %v", rec.Code, got, want, w.ended)
	}
}

func TestEndSession_PostFromAnApplicationComesBackAsAGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hint := w.tokens()["id_token"].(string)
	rec := w.post("/end_session", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}}.Encode())
	if rec.Code != 303 || !strings.HasPrefix(rec.Header().Get("Location"), "/end_session?") || len(w.ended) > 0 {
		t.Errorf("got %d %s", rec.Code, rec.Header().Get("Location"))
	}
	u, _ := url.Parse(rec.Header().Get("Location"))
	if rec = w.get(u.Path, u.Query()); rec.Header().Get("Location") != bye || len(w.ended) != 1 {
		t.Errorf("got %d %s, ended %v", rec.Code, rec.Header().Get("Location"), w.ended)
	}
}

func TestDocuments_ArePrecomputedAndCached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{oidc.PathDiscovery, oidc.PathKeys} {
		rec := w.get(path, nil)
		etag := rec.Header().Get("ETag")
		if rec.Code != 200 || etag == "" || rec.Header().Get("Cache-Control") != "public, max-age=3600" ||
			rec.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v", path, rec.Code, rec.Header())
		}
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("If-None-Match", etag)
		if rec := w.do(r); rec.Code != 304 || rec.Body.Len() > 0 {
			t.Errorf("%s again: %d, %d bytes", path, rec.Code, rec.Body.Len())
		}
		if rec := w.post(path, ""); rec.Code != 405 {
			t.Errorf("POST %s: %d", path, rec.Code)
		}
	}
}

func TestDiscovery_110_SaysWhatIsServedUnderItsOwnName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := httptest.NewRequest(http.MethodGet, oidc.PathDiscovery, nil)
	r.Host = "evil.example"
	r.Header.Set("X-Forwarded-Host", "evil.example")
	r.Header.Set("Forwarded", "host=evil.example")
	rec := w.do(r)
	if strings.Contains(rec.Body.String(), "evil") {
		t.Errorf("issuer from a header: %s", rec.Body)
	}
	got := decode(t, rec)
	for name, want := range map[string]any{
		"issuer":                           issuer,
		"token_endpoint":                   issuer + "/token",
		"response_types_supported":         []any{"code"},
		"code_challenge_methods_supported": []any{"S256"},
		"grant_types_supported":            []any{"authorization_code", "refresh_token", "client_credentials"},
		"authorization_response_iss_parameter_supported": true,
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
		"claims_parameter_supported":                     false,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
	} {
		if d := cmp.Diff(got[name], want); d != "" {
			t.Errorf("%s, got - want +\n%s", name, d)
		}
	}
}

func TestKeys_111_RotationKeepsOldTokensGoodAndAnnouncesNewOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.tokens()["id_token"].(string)
	keys := generated(t)
	keys[0].State, keys[2].State = oidc.KeyRetiring, oidc.KeyActive
	set, err := oidc.NewKeySet(keys)
	if err != nil {
		t.Fatal(err)
	}
	published := func() string { return w.get(oidc.PathKeys, nil).Body.String() }
	if !strings.Contains(published(), keys[2].ID) {
		t.Error("the next key is not published before it signs")
	}
	w.provider.SetKeys(set)
	if !strings.Contains(published(), keys[0].ID) || strings.Contains(published(), `"d"`) {
		t.Errorf("published: %s", published())
	}
	if head, _ := claimsOf(t, w.tokens()["id_token"]); head["kid"] != keys[2].ID {
		t.Errorf("signed by %v", head["kid"])
	}
	if got := answer(t, w.get("/authorize", ask("id_token_hint", before))); got.Get("code") == "" {
		t.Errorf("a token of the retiring key: %v", got)
	}
	gone, err := oidc.NewKeySet(keys[1:])
	if err != nil {
		t.Fatal(err)
	}
	w.provider.SetKeys(gone)
	if got := answer(t, w.get("/authorize", ask("id_token_hint", before))); got.Get("error") != oidc.InvalidRequest {
		t.Errorf("a token of a key that is gone: %v", got)
	}
	keys[0].State = oidc.KeyActive
	if _, err := oidc.NewKeySet(keys); err == nil {
		t.Error("two active keys of one algorithm are taken")
	}
}

func TestKeys_108_TokenChoosesNeitherKeyNorAlgorithm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := decode(t, w.post("/token", "grant_type=client_credentials", asApp))["access_token"].(string)
	parts := strings.Split(token, ".")
	keys := generated(t)
	for name, head := range map[string]string{
		"alg none":        `{"alg":"none","typ":"at+jwt","kid":"` + keys[0].ID + `"}`,
		"another alg":     `{"alg":"RS256","typ":"at+jwt","kid":"` + keys[0].ID + `"}`,
		"another kid":     `{"alg":"ES256","typ":"at+jwt","kid":"` + keys[2].ID + `"}`,
		"no kid":          `{"alg":"ES256","typ":"at+jwt"}`,
		"another type":    `{"alg":"ES256","typ":"JWT","kid":"` + keys[0].ID + `"}`,
		"HS256":           `{"alg":"HS256","typ":"at+jwt","kid":"` + keys[0].ID + `"}`,
		"embedded key":    `{"alg":"ES256","typ":"at+jwt","jwk":{"kty":"EC"}}`,
		"critical header": `{"alg":"ES256","typ":"at+jwt","kid":"` + keys[0].ID + `","crit":["x"],"x":1}`,
	} {
		forged := b64(head) + "." + parts[1] + "." + parts[2]
		if _, err := w.provider.VerifyClientToken(forged); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// A signature is verified once; what else makes a token good is asked each time, and keys that are gone take along what they signed.
func TestKeys_AVerifiedTokenIsAskedAboutAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := decode(t, w.post("/token", "grant_type=client_credentials", asApp))["access_token"].(string)
	for range 2 {
		if own, err := w.provider.VerifyClientToken(token); err != nil || own.ClientID != "app" {
			t.Fatalf("got %v %v", own, err)
		}
	}
	if _, err := w.provider.VerifyClientToken(token + "A"); err == nil {
		t.Error("another token is taken for it")
	}
	keys := generated(t)
	before, err := oidc.NewKeySet(keys)
	if err != nil {
		t.Fatal(err)
	}
	after, err := oidc.NewKeySet(keys[2:])
	if err != nil {
		t.Fatal(err)
	}
	w.provider.SetKeys(after)
	if _, err := w.provider.VerifyClientToken(token); err == nil {
		t.Error("a key that is gone still vouches")
	}
	w.provider.SetKeys(before)
	w.now = w.now.Add(oidc.ClientTokenLifetime)
	if _, err := w.provider.VerifyClientToken(token); err == nil {
		t.Error("an expired token is taken")
	}
}

func TestLogoutToken_IsOfItsOwnType(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, err := w.provider.SignLogoutToken(w.clients["rs"], "person", "session", "message")
	if err != nil {
		t.Fatal(err)
	}
	head, claims := claimsOf(t, token)
	if head["typ"] != "logout+jwt" || head["alg"] != "RS256" || claims["jti"] != "message" || claims["nonce"] != nil {
		t.Errorf("header %v, claims %v", head, claims)
	}
	delete(claims, "jti")
	want := map[string]any{
		"iss": issuer, "aud": "rs", "sub": "person", "sid": "session",
		"iat": float64(w.now.Unix()), "exp": float64(w.now.Unix() + 120),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if d := cmp.Diff(claims, want); d != "" {
		t.Errorf("claims, got - want +\n%s", d)
	}
}

package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/vestibule-id/vestibule/oidc"
)

// The numbers are those of the catalogue of attacks on an OpenID Provider that this package answers.

func local(t *testing.T, name string, rec *httptest.ResponseRecorder, status int) {
	t.Helper()
	if rec.Code != status || rec.Header().Get("Location") != "" {
		t.Errorf("%s: got %d to %q, want a page with %d", name, rec.Code, rec.Header().Get("Location"), status)
	}
	if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") ||
		!strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("%s: Content-Security-Policy %q", name, csp)
	}
}

func TestAuthorize_060_UnknownClientStaysHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	local(t, "unknown", w.get("/authorize", ask("client_id", "nobody")), 400)
	local(t, "missing", w.get("/authorize", ask("client_id", "")), 400)
	local(t, "long", w.get("/authorize", ask("client_id", strings.Repeat("a", 300))), 400)
}

func TestAuthorize_061_062_063_RedirectURIIsComparedByteForByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	local(t, "missing", w.get("/authorize", ask("redirect_uri", "")), 400)
	for _, uri := range []string{
		"https://evil.example/cb", "https://app.example:444/cb", "http://app.example/cb", "https://app.example/CB",
		"https://app.example/cb/", "https://app.example/cb?x=1", "https://app.example/cb#f", "https://u:p@app.example/cb",
		`https://app.example\cb`, "https://app.example/x/../cb", "https://app.example/%2e/cb", "https://app.example/%63b",
		"https%3A%2F%2Fapp.example%2Fcb", "https://app.example/%2563b", "https://app.example/c\tb", "https://app.example/cb\n",
		"https://арр.example/cb", "javascript:alert(1)", "data:text/html,x", "HTTPS://app.example/cb",
		"http://127.0.0.1:9402/callback", // a confidential client's port is as fixed as the rest
	} {
		local(t, uri, w.get("/authorize", ask("redirect_uri", uri)), 400)
	}
	native := func(uri string) url.Values { return ask("client_id", "native", "redirect_uri", uri) }
	for _, uri := range []string{
		"https://127.0.0.1:5/cb", "http://u:p@127.0.0.1:5/cb", "http://127.0.0.1:5/other", "http://127.0.0.1:5@evil.example/cb",
		"http://127.0.0.2:5/cb", "http://localhost:5/cb", "http://127.0.0.1:5/cb?x", "http://127.0.0.1:/cb", "http://127.0.0.1:99999/cb",
		"http://127.0.0.1:05/cb", "https://spa.example:444/cb",
	} {
		local(t, uri, w.get("/authorize", native(uri)), 400)
	}
	for _, uri := range []string{"http://127.0.0.1:5/cb", "http://127.0.0.1/cb", "http://[::1]:61000/cb"} {
		if got := answer(t, w.get("/authorize", native(uri))); got.Get("code") == "" {
			t.Errorf("%s: %v, want a code", uri, got)
		}
	}
}

func TestAuthorize_RefusalsGoToTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		edit []string
		want string
	}{
		"064 no PKCE":                 {[]string{"code_challenge", "", "code_challenge_method", ""}, oidc.InvalidRequest},
		"065 plain":                   {[]string{"code_challenge_method", "plain"}, oidc.InvalidRequest},
		"065 no method means plain":   {[]string{"code_challenge_method", ""}, oidc.InvalidRequest},
		"065 S999":                    {[]string{"code_challenge_method", "S999"}, oidc.InvalidRequest},
		"065 s256":                    {[]string{"code_challenge_method", "s256"}, oidc.InvalidRequest},
		"066 42 characters":           {[]string{"code_challenge", challenge[1:]}, oidc.InvalidRequest},
		"066 44 characters":           {[]string{"code_challenge", challenge + "a"}, oidc.InvalidRequest},
		"066 padding":                 {[]string{"code_challenge", challenge[1:] + "="}, oidc.InvalidRequest},
		"086 unknown scope":           {[]string{"scope", "openid admin"}, oidc.InvalidScope},
		"087 token":                   {[]string{"response_type", "token"}, oidc.UnsupportedResponseType},
		"087 id_token":                {[]string{"response_type", "id_token"}, oidc.UnsupportedResponseType},
		"087 hybrid":                  {[]string{"response_type", "code id_token"}, oidc.UnsupportedResponseType},
		"087 missing":                 {[]string{"response_type", ""}, oidc.InvalidRequest},
		"088 unknown response_mode":   {[]string{"response_mode", "web_message"}, oidc.InvalidRequest},
		"090 long state":              {[]string{"state", strings.Repeat("s", 4097)}, oidc.InvalidRequest},
		"091 NUL in state":            {[]string{"state", "a\x00b"}, oidc.InvalidRequest},
		"091 CRLF in state":           {[]string{"state", "a\r\nSet-Cookie: x=y"}, oidc.InvalidRequest},
		"092 request":                 {[]string{"request", "e30.e30."}, oidc.RequestNotSupported},
		"092 request_uri":             {[]string{"request_uri", "http://127.0.0.1:1/x"}, oidc.RequestURINotSupported},
		"092 registration":            {[]string{"registration", "{}"}, oidc.RegistrationNotSupported},
		"094 none with login":         {[]string{"prompt", "none login"}, oidc.InvalidRequest},
		"094 bogus prompt":            {[]string{"prompt", "bogus"}, oidc.InvalidRequest},
		"096 max_age not a number":    {[]string{"max_age", "-1"}, oidc.InvalidRequest},
		"095 hint is forged":          {[]string{"id_token_hint", "e30.e30.e30"}, oidc.InvalidRequest},
		"long nonce":                  {[]string{"nonce", strings.Repeat("n", 1025)}, oidc.InvalidRequest},
		"control character in a hint": {[]string{"login_hint", "a\nb"}, oidc.InvalidRequest},
		"invalid UTF-8 in an unknown": {[]string{"foo", "\xff"}, oidc.InvalidRequest},
	} {
		rec := w.get("/authorize", ask(c.edit...))
		got := answer(t, rec)
		if got.Get("error") != c.want || got.Get("iss") != issuer || got.Has("code") {
			t.Errorf("%s: got %v, want %s", name, got, c.want)
		}
		wantState := "st"
		if c.edit[0] == "state" {
			wantState = ""
		}
		if got.Get("state") != wantState || len(rec.Result().Cookies()) > 0 {
			t.Errorf("%s: state %q, cookies %v", name, got.Get("state"), rec.Result().Cookies())
		}
	}
	if len(w.codes)+len(w.attempts) != 0 {
		t.Errorf("refusals left %d codes and %d attempts", len(w.codes), len(w.attempts))
	}
	w.signedIn = false
	if got := answer(t, w.get("/authorize", ask("prompt", "none"))); got.Get("error") != oidc.LoginRequired {
		t.Errorf("094: prompt=none without a session: %v", got)
	}
}

func TestAuthorize_089_090_ParametersTwiceOrTooMuchStayHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name := range ask() {
		q := ask()
		q[name] = append(q[name], q[name][0])
		local(t, name+" twice", w.get("/authorize", q), 400)
	}
	q := ask()
	q["unknown"] = []string{"a", "b"}
	local(t, "unknown twice", w.get("/authorize", q), 400)
	local(t, "long address", w.get("/authorize", ask("x", strings.Repeat("a", 64<<10))), 414)
	local(t, "large body", w.post("/authorize", ask("x", strings.Repeat("a", 64<<10)).Encode()), 413)
	local(t, "not a form", w.post("/authorize", "{}", header("Content-Type", "application/json")), 415)
	if rec := w.do(httptest.NewRequest(http.MethodPut, "/authorize", nil)); rec.Code != 405 || rec.Header().Get("Allow") == "" {
		t.Errorf("PUT: %d, Allow %q", rec.Code, rec.Header().Get("Allow"))
	}
}

func TestAuthorize_CodeGoesBackWithStateAndIssuer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for mode, part := range map[string]func(*url.URL) string{
		"":         func(u *url.URL) string { return u.RawQuery },
		"query":    func(u *url.URL) string { return u.RawQuery },
		"fragment": func(u *url.URL) string { return u.EscapedFragment() },
	} {
		rec := w.get("/authorize", ask("response_mode", mode, "state", "a b&c=é\""))
		u, err := url.Parse(rec.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := url.ParseQuery(part(u))
		if got.Get("code") == "" || got.Get("state") != "a b&c=é\"" || got.Get("iss") != issuer {
			t.Errorf("mode %q: %v", mode, got)
		}
		if got := rec.Header().Get("Referrer-Policy"); got != "no-referrer" {
			t.Errorf("114: Referrer-Policy %q", got)
		}
	}
}

func TestAuthorize_088_FormPostEscapesAndAdmitsOnlyItsScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	state := `"><script>alert(1)</script>`
	rec := w.get("/authorize", ask("response_mode", "form_post", "state", state))
	doc, err := goquery.NewDocumentFromReader(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	form := doc.Find("form")
	if got, _ := form.Attr("action"); rec.Code != 200 || got != callback {
		t.Errorf("action %q, status %d", got, rec.Code)
	}
	if got, _ := form.Find("input[name=state]").Attr("value"); got != state {
		t.Errorf("state %q, want %q", got, state)
	}
	if got := doc.Find("script").Length(); got != 1 {
		t.Errorf("%d scripts, want ours alone", got)
	}
	csp := rec.Header().Get("Content-Security-Policy")
	sum := sha256.Sum256([]byte(doc.Find("script").Text()))
	script := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	for _, want := range []string{"default-src 'none'", script, "form-action https://app.example", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("Content-Security-Policy %q lacks %q", csp, want)
		}
	}
}

func TestAuthorize_PostIsReadAndComesBackAsAGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rec := w.post("/authorize", ask().Encode())
	if rec.Code != http.StatusSeeOther {
		t.Fatalf("got %d", rec.Code)
	}
	u, _ := url.Parse(rec.Header().Get("Location"))
	if got := answer(t, w.get(u.Path, u.Query())); got.Get("code") == "" {
		t.Errorf("no code: %v", got)
	}
	rec = w.post("/authorize", ask("prompt", "bogus").Encode())
	if got := answer(t, rec); got.Get("error") != oidc.InvalidRequest {
		t.Errorf("a wrong POST: %v", got)
	}
}

func TestAuthorize_095_HintMaySpeakOfAnotherPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hint := w.tokens()["id_token"].(string)
	w.now = w.now.Add(48 * oidc.IDTokenLifetime)
	if got := answer(t, w.get("/authorize", ask("id_token_hint", hint, "prompt", "none"))); got.Get("code") == "" {
		t.Errorf("an expired hint is a hint: %v", got)
	}
	if got := answer(t, w.get("/authorize", ask("id_token_hint", hint, "client_id", "rs", "redirect_uri", "https://rs.example/cb"))); got.Get("error") != oidc.InvalidRequest {
		t.Errorf("another client's hint: %v", got)
	}
	at := decode(t, w.post("/token", "grant_type=client_credentials", asApp))["access_token"].(string)
	if got := answer(t, w.get("/authorize", ask("id_token_hint", at))); got.Get("error") != oidc.InvalidRequest {
		t.Errorf("an access token as hint: %v", got)
	}
}

func TestResume_097_OnlyTheBrowserThatBegan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signedIn = false
	rec := w.get("/authorize", ask())
	u, _ := url.Parse(rec.Header().Get("Location"))
	if rec.Code != http.StatusFound || u.Path != "/signin" {
		t.Fatalf("got %d %s", rec.Code, u)
	}
	mine := w.cookies
	w.cookies = map[string]*http.Cookie{}
	local(t, "another browser", w.get("/authorize/resume", u.Query()), 400)
	w.cookies = mine
	if got := answer(t, w.get("/authorize/resume", u.Query())); got.Get("code") == "" || got.Get("state") != "st" {
		t.Errorf("the browser that began: %v", got)
	}
	local(t, "a second time", w.get("/authorize/resume", u.Query()), 400)
}

func TestFitsAuthTime_096_AnUnknownMomentProvesNothing(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	zero, hour := int64(0), int64(3600)
	for name, c := range map[string]struct {
		req      oidc.AuthorizeRequest
		signedIn time.Time
		want     bool
	}{
		"nothing asked":              {oidc.AuthorizeRequest{}, time.Time{}, true},
		"max_age, unknown":           {oidc.AuthorizeRequest{MaxAge: &hour}, time.Time{}, false},
		"max_age, young":             {oidc.AuthorizeRequest{MaxAge: &hour}, started.Add(-time.Hour), true},
		"max_age, old":               {oidc.AuthorizeRequest{MaxAge: &hour}, started.Add(-time.Hour - time.Second), false},
		"login, before":              {oidc.AuthorizeRequest{Prompt: []string{"login"}}, started.Add(-2 * time.Minute), false},
		"login, after":               {oidc.AuthorizeRequest{Prompt: []string{"login"}}, started.Add(time.Second), true},
		"login, unknown":             {oidc.AuthorizeRequest{Prompt: []string{"login"}}, time.Time{}, false},
		"max_age=0 is like login":    {oidc.AuthorizeRequest{MaxAge: &zero}, started.Add(-2 * time.Minute), false},
		"max_age=0, signed in after": {oidc.AuthorizeRequest{MaxAge: &zero}, started.Add(time.Second), true},
	} {
		c.req.Started = started
		if got := c.req.FitsAuthTime(c.signedIn, started); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever stands in the query, a browser is sent to a registered address, to sign in, or nowhere.
func FuzzAuthorize(f *testing.F) {
	f.Add(ask().Encode())
	f.Add(ask("redirect_uri", "https://app.example%2fcb").Encode())
	f.Add(ask("client_id", "native", "redirect_uri", "http://127.0.0.1:1@evil.example/cb").Encode())
	f.Add(ask("state", "a\r\nb", "response_mode", "fragment").Encode())
	f.Add("client_id=app&client_id=rs;redirect_uri=%zz")
	w := newWorld(f)
	registered := append([]string{"/signin?"}, callback+"?", callback+"#", "https://app.example/other?", "https://app.example/other#",
		"http://127.0.0.1:9401/callback?", "http://127.0.0.1:9401/callback#", "https://rs.example/cb?", "https://rs.example/cb#",
		"https://spa.example/cb?", "https://spa.example/cb#")
	f.Fuzz(func(t *testing.T, raw string) {
		r := httptest.NewRequest(http.MethodGet, "/authorize", nil)
		r.URL.RawQuery = raw
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		to := rec.Header().Get("Location")
		if to == "" {
			return
		}
		if strings.ContainsAny(to, "\r\n\x00") {
			t.Fatalf("control characters in Location %q", to)
		}
		for _, prefix := range registered {
			if strings.HasPrefix(to, prefix) {
				return
			}
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "http" || u.User != nil || (u.Hostname() != "127.0.0.1" && u.Hostname() != "::1") || u.Path != "/cb" {
			t.Fatalf("sent to %q by %q", to, raw)
		}
	})
}

// Whatever is posted, only the right secret brings a token.
func FuzzToken(f *testing.F) {
	f.Add("grant_type=client_credentials", "Basic YXBwOng=")
	f.Add("grant_type=client_credentials&client_id=app&client_secret=x", "")
	f.Add("grant_type=authorization_code&code=x&client_id=native&redirect_uri=x&code_verifier="+verifier, "")
	f.Add("grant_type=refresh_token&refresh_token=%00&client_id=native", "Basic")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, body, authorization string) {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code < 300 {
			values, _ := url.ParseQuery(body)
			id, secret, _ := r.BasicAuth()
			if values.Get("client_secret") != "m" && values.Get("client_secret") != "rs-secret" && values.Get("client_secret") != "s3cret:with%" &&
				secret == "" {
				t.Fatalf("%q %q (%s) brought %s", body, authorization, id, rec.Body)
			}
		}
		if rec.Code >= 500 {
			t.Fatalf("%q: %d", body, rec.Code)
		}
	})
}

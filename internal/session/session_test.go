package session_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
)

func TestOwnPath_RefusesEveryFormOfAnotherHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/o/northwind/users?q=a%20b":      "/o/northwind/users?q=a%20b",
		"/":                               "/",
		"/o/northwind#inbox":              "/o/northwind#inbox",
		"":                                "/",
		"https://evil.example":            "/",
		"//evil.example":                  "/",
		"///evil.example":                 "/",
		`/\evil.example`:                  "/",
		`\\evil.example`:                  "/",
		"/\t/evil.example":                "/",
		"\t//evil.example":                "/",
		" //evil.example":                 "/",
		"/\r\nLocation: https://evil":     "/",
		"/%0d%0aSet-Cookie:a=b":           "/",
		"/%5cevil.example":                "/",
		"/%2fevil.example":                "/",
		"javascript:alert(1)":             "/",
		"data:text/html,hi":               "/",
		"evil.example":                    "/",
		"/ｅvil.example":                   "/",
		"/" + strings.Repeat("a", 3000):   "/",
		"/o/northwind?x=https://evil.com": "/o/northwind?x=https://evil.com",
	} {
		if got := session.OwnPath(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCookies_FlagsAndPrefix(t *testing.T) {
	t.Parallel()
	handle := seal.Handle()
	for url, want := range map[string]http.Cookie{
		"https://id.example": {
			Name: "__Host-vestibule_s_northwind", Value: handle, Path: "/", MaxAge: 3600, Secure: true, HttpOnly: true,
			SameSite: http.SameSiteLaxMode,
		},
		"http://127.0.0.1:8080": {
			Name: "vestibule_s_northwind", Value: handle, Path: "/", MaxAge: 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		},
	} {
		if diff := cmp.Diff(*session.For(url).Session("northwind", handle, time.Hour), want); diff != "" {
			t.Errorf("%s: got before want:\n%s", url, diff)
		}
	}
}

func request(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

func TestCookies_OfOneOrganizationAreNotThoseOfAnother(t *testing.T) {
	t.Parallel()
	c := session.For("https://id.example")
	mine, theirs := seal.Handle(), seal.Handle()
	r := request(c.Session("northwind", mine, time.Hour), c.Session("fieldserv", theirs, time.Hour))
	if got := c.Handle(r, "northwind"); got != mine {
		t.Errorf("northwind: got %q, want %q", got, mine)
	}
	if got := c.Hash(r, "fieldserv"); got != seal.Fingerprint(theirs) {
		t.Errorf("fieldserv: got %q", got)
	}
	if got := c.Handle(r, "other"); got != "" {
		t.Errorf("other: got %q", got)
	}
	if diff := cmp.Diff(c.Organizations(r), []id.Organization{"fieldserv", "northwind"}); diff != "" {
		t.Errorf("got before want:\n%s", diff)
	}
}

// A neighbour that can set a cookie for the parent domain adds a second one of the same name; believing either would let it
// choose whose session this browser uses.
func TestCookies_TwoOfOneNameAreNoneAtAll(t *testing.T) {
	t.Parallel()
	c := session.For("https://id.example")
	r := request(c.Session("northwind", seal.Handle(), time.Hour), c.Session("northwind", seal.Handle(), time.Hour))
	if got := c.Handle(r, "northwind"); got != "" {
		t.Errorf("got %q", got)
	}
	if got := c.Organizations(r); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// Over https a cookie without the __Host- prefix may be a neighbour's or a plain-http page's.
func TestCookies_WithoutPrefixAreNotReadOverHTTPS(t *testing.T) {
	t.Parallel()
	r := request(session.For("http://id.example").Session("northwind", seal.Handle(), time.Hour))
	if got := session.For("https://id.example").Handle(r, "northwind"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestEnsureBrowser_MakesOneCookieAndKeepsIt(t *testing.T) {
	t.Parallel()
	c := session.For("https://id.example")
	first, set := c.EnsureBrowser(request())
	if set == nil || !set.HttpOnly || !set.Secure || set.SameSite != http.SameSiteLaxMode || set.Name != "__Host-vestibule_b" {
		t.Fatalf("the cookie: %+v", set)
	}
	second, again := c.EnsureBrowser(request(set))
	if again != nil || second != first || second == set.Value {
		t.Errorf("got %q and %v, want %q and no cookie", second, again, first)
	}
}

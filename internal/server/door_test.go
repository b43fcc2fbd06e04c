package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// door is one route of a node.
type door struct{ method, pattern string }

// path fills the pattern's places in.
func (d door) path() string {
	var parts []string
	for _, part := range strings.Split(d.pattern, "/") {
		switch {
		case part == "{organization}":
			part = "northwind"
		case part == "{token}":
			part = strings.Repeat("t", 43)
		case strings.HasPrefix(part, "{"):
			part = "01a201b3-14ae-7473-817a-b0a7d6a7cc69"
		case part == "*":
			part = "x"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "/")
}

// doors are all of them, as the router itself lists them.
func doors(t *testing.T, s *Server) (all []door) {
	t.Helper()
	err := chi.Walk(s.doors, func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !slices.Contains([]string{http.MethodConnect, http.MethodTrace, http.MethodOptions}, method) {
			all = append(all, door{method, pattern})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d doors were found", len(all))
	}
	return all
}

// machines are the doors that programs use, or a provider's page: they read no cookie of a person, or only to ask the person.
var machines = []string{
	"/token", "/revoke", "/introspect", "/userinfo", "/authorize", "/authorize/resume", "/end_session", "/jwks", "/.well-known/",
	"/sso/{organization}/{connection}/acs", "/sso/{organization}/{connection}/backchannel-logout", "/sso/{organization}/{connection}/slo",
	"/scim/", "/api/v1", "/csp-report", "/access/v1/", "/metrics", "/saml/idp/",
	"/assets/", // which only reads
}

func machine(pattern string) bool {
	return slices.ContainsFunc(machines, func(m string) bool {
		return pattern == m || strings.HasSuffix(m, "/") && strings.HasPrefix(pattern, m) || m == "/api/v1" && strings.HasPrefix(pattern, m)
	})
}

// The attack: a page of another site sends a form with this browser's cookies (CSRF, login CSRF). Every door that changes anything,
// the ones that will be made too, refuses it before it looks at anything else.
func TestDoors_FormsOfAnotherSiteAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	s := node(t, storetest.Open(t, storetest.SQLite), io.Discard)
	tried := 0
	for _, d := range doors(t, s) {
		if d.method == http.MethodGet || d.method == http.MethodHead || machine(d.pattern) {
			continue
		}
		tried++
		for name, headers := range map[string][2]string{
			"another site":         {"Sec-Fetch-Site", "cross-site"},
			"a neighbour":          {"Sec-Fetch-Site", "same-site"},
			"another origin":       {"Origin", "https://evil.example"},
			"no origin":            {"Origin", "null"},
			"our name, other port": {"Origin", "http://127.0.0.1:8081"},
		} {
			r := httptest.NewRequest(d.method, "http://127.0.0.1:8080"+d.path(), strings.NewReader("x=y"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(headers[0], headers[1])
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, r)
			if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "from another site") {
				t.Errorf("%s %s, %s: got %d", d.method, d.pattern, name, rec.Code)
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d forms were tried", tried)
	}
}

// What holds for every answer that a stranger gets: it stands in no frame, keeps to itself where it was, and lies in no cache unless it
// is the same for everybody; and no name that the request gives us becomes ours (catalogue 110: a poisoned Host in links and letters).
func TestDoors_AnswersAreFencedAndBelieveNoHost(t *testing.T) {
	t.Parallel()
	s := node(t, storetest.Open(t, storetest.SQLite), io.Discard)
	for _, d := range doors(t, s) {
		r := httptest.NewRequest(d.method, "http://evil.example"+d.path(), strings.NewReader("x=y"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-Host", "evil.example")
		r.Header.Set("Forwarded", "host=evil.example;proto=http")
		r.Header.Set("X-Forwarded-Proto", "gopher")
		r.Header.Set("X-Original-URL", "/operator")
		r.Header.Set("Referer", "https://evil.example/o/northwind/users")
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		where := fmt.Sprintf("%s %s: %d", d.method, d.pattern, rec.Code)
		if rec.Code >= 500 && rec.Code != http.StatusNotImplemented {
			t.Errorf("%s: %s", where, rec.Body)
		}
		if strings.Contains(rec.Body.String(), "evil.example") || strings.Contains(fmt.Sprint(rec.Header()), "evil.example") {
			t.Errorf("%s: believed a name of the request: %v", where, rec.Header())
		}
		h := rec.Header()
		if h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", where)
		}
		for _, line := range h.Values("Set-Cookie") {
			if !strings.Contains(line, "HttpOnly") || !strings.Contains(line, "SameSite=") {
				t.Errorf("%s: the cookie %s", where, line)
			}
		}
		if !strings.HasPrefix(h.Get("Content-Type"), "text/html") || rec.Code >= 300 && rec.Code < 400 {
			continue
		}
		policy := h.Get("Content-Security-Policy")
		if !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
			h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" ||
			!slices.Contains([]string{"same-origin", "no-referrer"}, h.Get("Referrer-Policy")) {
			t.Errorf("%s: the headers %v", where, h)
		}
	}
}

// Over https every cookie that a stranger can get is a __Host- one (catalogue 177), and the browser is told to stay on https.
func TestDoors_177_CookiesOverHTTPS(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	s, err := New(t.Context(), Options{DB: db, URL: "https://id.example", Log: slog.New(slog.DiscardHandler), Version: Version{Version: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	set := 0
	for _, d := range doors(t, s) {
		r := httptest.NewRequest(d.method, "https://id.example"+d.path()+"?return_to=/&organization=northwind&state=x", nil)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Header().Get("Strict-Transport-Security") == "" {
			t.Errorf("%s %s: no Strict-Transport-Security", d.method, d.pattern)
		}
		for _, line := range rec.Header().Values("Set-Cookie") {
			set++
			if !strings.HasPrefix(line, "__Host-") || !strings.Contains(line, "; Secure") || !strings.Contains(line, "; HttpOnly") ||
				!strings.Contains(line, "; SameSite=Lax") || !strings.Contains(line, "; Path=/;") || strings.Contains(line, "Domain=") {
				t.Errorf("%s %s: the cookie %s", d.method, d.pattern, line)
			}
		}
	}
	if set == 0 {
		t.Error("no door set a cookie")
	}
}

// zeros is a body of any size that costs nothing to make.
type zeros struct{ left int }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), z.left)
	for i := range p[:n] {
		p[i] = 'a'
	}
	z.left -= n
	return n, nil
}

// 10 MB in the body of any door, from a stranger: refused within 100 ms of the processor and 32 MB.
func TestDoors_ALargeBodyIsRefusedAtOnce(t *testing.T) { // alone, since it measures
	s := node(t, storetest.Open(t, storetest.SQLite), io.Discard)
	ask(s, http.MethodGet, "/api/v1/openapi.json") // which describes itself once
	for _, d := range doors(t, s) {
		if d.method == http.MethodGet || d.method == http.MethodHead {
			continue
		}
		for _, kind := range []string{"application/x-www-form-urlencoded", "application/json"} {
			best, least, status := time.Hour, uint64(1<<62), 0
			for range 10 {
				r := httptest.NewRequest(d.method, "http://127.0.0.1:8080"+d.path(), &zeros{10 << 20})
				r.Header.Set("Content-Type", kind)
				rec := httptest.NewRecorder()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				began := processor(t)
				s.ServeHTTP(rec, r)
				best = min(best, processor(t)-began)
				runtime.ReadMemStats(&after)
				least, status = min(least, after.TotalAlloc-before.TotalAlloc), rec.Code
				if best <= 100*time.Millisecond && least <= 32<<20 {
					break
				}
			}
			if best > 100*time.Millisecond || least > 32<<20 || status >= 500 && status != http.StatusNotImplemented {
				t.Errorf("%s %s: %d after %v and %d bytes", d.method, d.pattern, status, best, least)
			}
		}
	}
}

// processor is the time this process has had.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Negative case 193, whole: a handler of a running node panics; the answer is a 500 with a code, the process serves on, and the event
// stands in the store.
func TestRecoverer_193_ThePanicIsInTheLogAndTheNodeLives(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := node(t, db, io.Discard)
		inner := s.handler
		s.handler = identify(nil)(recoverer(slog.New(slog.DiscardHandler), record(db))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Test-Panic") != "" {
				panic("broken " + r.Header.Get("X-Test-Panic"))
			}
			inner.ServeHTTP(w, r)
		})))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, l) }()
		paths := []string{"/signin", "/scim/northwind/entra/v2/Users", "/api/v1/organizations", "/o/northwind", "/token"}
		for _, path := range paths {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+path+"?code=secret-value", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Test-Panic", "secret-value")
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode != http.StatusInternalServerError || strings.Contains(string(body), "secret-value") {
				t.Errorf("%s: %d %s", path, response.StatusCode, body)
			}
		}
		response, err := http.Get("http://" + l.Addr().String() + "/readyz")
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("afterwards: %v %v", response, err)
		} else {
			_ = response.Body.Close()
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		var events []audit.Event
		if err := db.System().Read(t.Context(), func(tx *store.SystemTx) (err error) {
			events, err = tx.Events(t.Context(), store.AuditFilter{Limit: 100})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		var failed []string
		for _, e := range events {
			if e.Action == "request.failed" && e.Outcome == audit.Refused && e.Code != "" && e.Actor.IP == "127.0.0.1" {
				failed = append(failed, strings.TrimPrefix(e.TargetName, "GET "))
			}
		}
		slices.Reverse(failed)
		if !slices.Equal(failed, paths) {
			t.Errorf("events of %v, want of %v", failed, paths)
		}
	})
}

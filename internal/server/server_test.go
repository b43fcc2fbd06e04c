package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func node(t *testing.T, db *store.DB, log io.Writer) *Server {
	t.Helper()
	s, err := New(t.Context(), Options{
		DB: db, URL: "http://127.0.0.1:8080", Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Version: Version{Version: "test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(s http.Handler, method, target string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(method, target, nil))
	return rec
}

func TestServer_HealthOnBothStores(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := node(t, db, io.Discard)
		for _, target := range []string{"/healthz", "/readyz", "/metrics", "/.well-known/openid-configuration", "/jwks"} {
			if rec := ask(s, http.MethodGet, target); rec.Code != http.StatusOK {
				t.Errorf("%s: got %d: %s", target, rec.Code, rec.Body)
			} else if got := rec.Header().Get("Connection"); got != "" {
				t.Errorf("%s: the connection is to %s", target, got)
			}
		}
		s.draining.Store(true)
		if rec := ask(s, http.MethodGet, "/readyz"); rec.Code != http.StatusServiceUnavailable {
			t.Errorf("readyz of a node that stops: got %d", rec.Code)
		}
		if rec := ask(s, http.MethodGet, "/jwks"); rec.Code != http.StatusOK || rec.Header().Get("Connection") != "close" {
			t.Errorf("a request to a node that stops: got %d, and its connection is to %q", rec.Code, rec.Header().Get("Connection"))
		}
	})
}

// Each restart would be an alarm otherwise: whoever balances looks several times a second.
func TestServer_AStoppingNodeIsNoErrorInTheLog(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	s := node(t, storetest.Open(t, storetest.SQLite), &said)
	s.draining.Store(true)
	if rec := ask(s, http.MethodGet, "/readyz"); rec.Code != http.StatusServiceUnavailable || !strings.Contains(said.String(), `"level":"DEBUG","msg":"request"`) ||
		strings.Contains(said.String(), "ERROR") {
		t.Errorf("%d: %s", rec.Code, said.String())
	}
}

// RFC 9110 section 9.1: whoever serves GET serves HEAD. What takes neither still says so.
func TestServer_HeadIsServedWhereGetIs(t *testing.T) {
	t.Parallel()
	s := node(t, storetest.Open(t, storetest.SQLite), io.Discard)
	for _, target := range []string{"/", "/signin", "/jwks", "/.well-known/openid-configuration", "/api/v1/openapi.json", "/nothing"} {
		want := ask(s, http.MethodGet, target)
		if got := ask(s, http.MethodHead, target); got.Code != want.Code || got.Header().Get("Content-Type") != want.Header().Get("Content-Type") {
			t.Errorf("%s: got %d %s, GET gives %d %s", target, got.Code, got.Header().Get("Content-Type"), want.Code, want.Header().Get("Content-Type"))
		}
	}
	// RFC 9110 section 15.5.6: an answer 405 says what is taken instead.
	for target, want := range map[string]string{"/setup": "GET, HEAD, POST", "/operator/log": "GET, HEAD", "/operator/signout": "POST", "/o/northwind/users": "GET, HEAD"} {
		if got := ask(s, http.MethodDelete, target); got.Code != http.StatusMethodNotAllowed || got.Header().Get("Allow") != want {
			t.Errorf("%s: got %d, Allow %q, want %q", target, got.Code, got.Header().Get("Allow"), want)
		}
	}
	if got := ask(s, http.MethodHead, "/token"); got.Code != http.StatusMethodNotAllowed {
		t.Errorf("got %d at an address that takes POST alone", got.Code)
	}
}

func TestServer_AStoreThatIsAwayMakesANodeUnreadyAndNotDead(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	s := node(t, db, io.Discard)
	db.Close()
	if rec := ask(s, http.MethodGet, "/readyz"); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("readyz: got %d", rec.Code)
	}
	if rec := ask(s, http.MethodGet, "/healthz"); rec.Code != http.StatusOK {
		t.Errorf("healthz: got %d", rec.Code)
	}
}

func TestServer_ADecisionCarriesTheIDItWasAskedUnder(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := node(t, storetest.Open(t, storetest.SQLite), &log)
	for target, want := range map[string]int{
		"POST /access/v1/evaluation": http.StatusUnauthorized, "POST /access/v1/evaluations": http.StatusUnauthorized, "GET /access/v1/evaluation": http.StatusMethodNotAllowed,
	} {
		method, path, _ := strings.Cut(target, " ")
		r := httptest.NewRequest(method, path, strings.NewReader("{}"))
		r.Header.Set("X-Request-ID", "chosen-by-the-caller")
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code != want || rec.Header().Get("X-Request-Id") != "chosen-by-the-caller" || rec.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: got %d %v %s", target, rec.Code, rec.Header(), rec.Body)
		}
	}
	if rec := ask(s, http.MethodGet, "/.well-known/authzen-configuration"); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"policy_decision_point":"http://127.0.0.1:8080"`) {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	if strings.Contains(log.String(), "chosen-by-the-caller") || !strings.Contains(log.String(), "/access/v1/evaluations") {
		t.Errorf("the log: %s", log.String())
	}
}

func TestServer_RefusesInTheFormOfTheFace(t *testing.T) {
	t.Parallel()
	s := node(t, storetest.Open(t, storetest.SQLite), io.Discard)
	for target, want := range map[string]string{
		"GET /nothing/here":         "404 text/html; charset=utf-8",
		"GET /access/v1/nothing":    "404 text/plain; charset=utf-8",
		"GET /.well-known/nothing":  "404 application/problem+json",
		"GET /scim/o/d/v2/Users":    "401 application/scim+json",
		"GET /api/v1/organizations": "401 application/problem+json",
		"PUT /readyz":               "405 application/problem+json",
	} {
		method, path, _ := strings.Cut(target, " ")
		rec := ask(s, method, path)
		if got := rec.Result().Status[:3] + " " + rec.Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", target, got, want)
		}
		if rec.Header().Get("X-Content-Type-Options") != "nosniff" || rec.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: security headers or the request's id are missing", target)
		}
	}
}

func TestObserve_OneLineARequestWithoutWhatIsSecret(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := node(t, storetest.Open(t, storetest.SQLite), &log)
	log.Reset()
	r := httptest.NewRequest(http.MethodGet, "/authorize?code=SECRET-1&state=SECRET-2&login_hint=SECRET-3", nil)
	r.Header.Set("Authorization", "Bearer SECRET-4")
	r.Header.Set("Cookie", "vestibule_s_o=SECRET-5")
	r.Header.Set("X-Request-Id", "chosen-by-the-caller")
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if strings.Contains(log.String(), "SECRET") || strings.Contains(log.String(), "chosen-by") {
		t.Errorf("the log says too much: %s", log.String())
	}
	var line struct {
		Msg, Request, Method, Path, IP string
		Status                         int
	}
	if err := json.Unmarshal([]byte(strings.TrimSpace(log.String())), &line); err != nil {
		t.Fatalf("want one line, got %q: %v", log.String(), err)
	}
	if line.Msg != "request" || line.Path != "/authorize" || line.Method != http.MethodGet || line.Status != rec.Code ||
		line.Request != rec.Header().Get("X-Request-Id") || line.IP != "192.0.2.1" {
		t.Errorf("got %+v", line)
	}
}

// Negative case 193.
func TestRecoverer_APanicIsAnAnswerWithACodeThatTheLogHas(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for path, form := range map[string]string{"/scim/o/d/v2/Users": "application/scim+json", "/token": "application/json", "/": "text/html"} {
		log.Reset()
		var events []audit.Event
		failed := func(_ context.Context, e audit.Event) error {
			events = append(events, e)
			return nil
		}
		h := identify(nil)(recoverer(logger, failed)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken secret-value") })))
		rec := ask(h, http.MethodGet, path)
		var line struct{ Code, Stack string }
		if err := json.Unmarshal([]byte(strings.SplitN(log.String(), "\n", 2)[0]), &line); err != nil {
			t.Fatal(err)
		}
		if rec.Code != http.StatusInternalServerError || !strings.HasPrefix(rec.Header().Get("Content-Type"), form) ||
			line.Code == "" || !strings.Contains(rec.Body.String(), line.Code) || line.Stack == "" {
			t.Errorf("%s: got %d %s, code %q, body %s", path, rec.Code, rec.Header().Get("Content-Type"), line.Code, rec.Body)
		}
		if strings.Contains(rec.Body.String(), "secret-value") {
			t.Errorf("%s: the answer tells what only the log may: %s", path, rec.Body)
		}
		if len(events) != 1 || events[0].Code != line.Code || events[0].Action != "request.failed" || events[0].TargetName != "GET "+path {
			t.Errorf("%s: got the events %+v", path, events)
		}
	}
}

func TestClientIP_IsBelievedFromTrustedProxiesOnlyAndFromTheEnd(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32")}
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		// A stranger wrote the first one himself.
		{"10.0.0.1:1", []string{"1.1.1.1, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"1.1.1.1", "198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"1.1.1.1, nonsense"}, "10.0.0.1"},
		{"[::ffff:127.0.0.1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := clientIP(r, trusted); got != c.want {
			t.Errorf("%s %v: got %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

func TestMetrics_HaveNoLabelThatAStrangerCanGrow(t *testing.T) {
	t.Parallel()
	s := node(t, storetest.Open(t, storetest.SQLite), io.Discard)
	for _, target := range []string{"/a", "/b", "/scim/x/y/v2/Users", "/scim/z/y/v2/Users"} {
		ask(s, "BREW", target)
	}
	var lines []string
	for _, line := range strings.Split(ask(s, http.MethodGet, "/metrics").Body.String(), "\n") {
		if strings.HasPrefix(line, "vestibule_http_requests_total") {
			lines = append(lines, line)
		}
	}
	if diff := cmp.Diff(lines, []string{
		`vestibule_http_requests_total{face="console",method="other",status="405"} 2`,
		`vestibule_http_requests_total{face="scim",method="other",status="405"} 2`,
	}); diff != "" {
		t.Error(diff)
	}
}

func TestRun_FinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	s := node(t, db, io.Discard)
	entered, leave := make(chan struct{}), make(chan struct{})
	inner := s.handler
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-leave
			_, _ = io.WriteString(w, "done")
			return
		}
		inner.ServeHTTP(w, r)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	got := make(chan string, 1)
	go func() {
		response, err := http.Get("http://" + l.Addr().String() + "/slow")
		if err != nil {
			got <- err.Error()
			return
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		got <- string(body)
	}()
	<-entered
	stop()
	for deadline := time.Now().Add(5 * time.Second); !s.draining.Load(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not drain")
		}
		runtime.Gosched()
	}
	response, err := http.Get("http://" + l.Addr().String() + "/readyz")
	if err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz while it drains: %v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
	close(leave)
	if body := <-got; body != "done" {
		t.Errorf("the request under way got %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

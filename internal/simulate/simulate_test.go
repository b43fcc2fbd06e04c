package simulate_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/simulate"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// Every provider gets on with our own server, also with one that an earlier run left full, and leaves nothing behind.
func TestRun_OurServerIsClean(t *testing.T) {
	t.Parallel()
	for _, name := range simulate.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
				dialect, _, _ := strings.Cut(name, "-")
				base := serve(t, kind, dialect, cmp.Or(keys[dialect], directory.KeyExternalID))
				o := simulate.Options{Dialect: name, Base: base, Token: token, Users: 31, Groups: 4, Seed: 7, Concurrency: 4}
				clean(t, o)
				o.Cleanup = true
				clean(t, o)
				for _, path := range []string{"/Users", "/Groups"} {
					if left := total(t, base+path); left != 0 {
						t.Errorf("%s after the cleanup: got %d, want 0", path, left)
					}
				}
			})
		})
	}
}

func clean(t *testing.T, o simulate.Options) {
	t.Helper()
	report, err := simulate.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Clean() || len(report.Requests) == 0 {
		var b bytes.Buffer
		report.Print(&b)
		t.Fatal(b.String())
	}
}

func total(t *testing.T, address string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	var list struct {
		TotalResults int `json:"totalResults"`
	}
	if err := json.NewDecoder(a.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list.TotalResults
}

// A server that says 200 to everything is found out.
func TestRun_YesManIsFoundOut(t *testing.T) {
	t.Parallel()
	for _, name := range simulate.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{}`))
			}))
			defer server.Close()
			report, err := simulate.Run(t.Context(), simulate.Options{Dialect: name, Base: server.URL, Users: 3, Groups: 1, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			if report.Clean() {
				t.Error("a server that says {} to everything passes for clean")
			}
			for _, f := range report.Findings {
				if f.Row.Source == "" || f.Row.Breaks == "" || f.Request == "" {
					t.Errorf("a finding does not say where it is known from or why it matters: %+v", f)
				}
			}
		})
	}
}

// The outage of RFC 7644 section 3.5.2.2 read by its letter: a remove of some members empties the group.
func TestRun_EmptiedGroupsAreFound(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"entra", "jumpcloud"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
				base := serve(t, kind, name, directory.KeyExternalID)
				careless := httptest.NewServer(emptying(t, base))
				defer careless.Close()
				report, err := simulate.Run(t.Context(), simulate.Options{Dialect: name, Base: careless.URL, Token: token, Users: 8, Groups: 2, Seed: 3})
				if err != nil {
					t.Fatal(err)
				}
				row := map[string]string{"entra": "N16", "jumpcloud": "J7"}[name]
				for _, f := range report.Findings {
					if f.Row.ID == row && strings.Contains(f.Problem, "members are missing") || f.Row.ID == row && strings.Contains(f.Problem, "empty") {
						return
					}
				}
				var b bytes.Buffer
				report.Print(&b)
				t.Fatalf("no finding of row %s tells of the emptied group:\n%s", row, b.String())
			})
		})
	}
}

// Each fault of a server that is otherwise good is named, with the row it concerns.
func TestRun_FaultsAreNamed(t *testing.T) {
	t.Parallel()
	people := func(o map[string]any) []any { list, _ := o["Resources"].([]any); return list }
	is := func(r *http.Request, method, part string) bool {
		return r.Method == method && strings.Contains(r.URL.String(), part)
	}
	for name, c := range map[string]struct {
		dialect, row, problem string
		change                func(r *http.Request, body map[string]any, gone []string)
		swallow               func(r *http.Request) bool
	}{
		"a deleted person stays a member": {dialect: "entra", row: "N18", problem: "a deleted person is still a member", change: func(r *http.Request, body map[string]any, gone []string) {
			if members, ok := body["members"].([]any); ok && is(r, "GET", "/Groups/") && len(gone) > 0 {
				body["members"] = append(members, map[string]any{"value": gone[0]})
			}
		}},
		"a member is there twice": {dialect: "ping", row: "P6", problem: "somebody is a member twice", change: func(r *http.Request, body map[string]any, _ []string) {
			if members, ok := body["members"].([]any); ok && is(r, "GET", "/Groups/") && len(members) > 0 {
				body["members"] = append(members, members[0])
			}
		}},
		"a disabled person is hidden": {dialect: "okta", row: "O2", problem: "a disabled person is not found any more, and would be created again", change: func(r *http.Request, body map[string]any, _ []string) {
			if list := people(body); is(r, "GET", "/Users?filter") && len(list) == 1 && list[0].(map[string]any)["active"] == false {
				body["Resources"], body["totalResults"] = []any{}, 0
			}
		}},
		"a change is acknowledged and not done": {dialect: "entra", row: "N5", problem: "reading back gives another active", swallow: func(r *http.Request) bool {
			return is(r, "PATCH", "/Users/")
		}},
		"the password comes back": {dialect: "okta", row: "O3", problem: "the answer carries password", change: func(r *http.Request, body map[string]any, _ []string) {
			if is(r, "POST", "/Users") {
				body["password"] = "1mz050nq"
			}
		}},
		"no match is null": {dialect: "entra", row: "N1", problem: "Resources is null, not an array", change: func(_ *http.Request, body map[string]any, _ []string) {
			if list, ok := body["Resources"].([]any); ok && len(list) == 0 {
				body["Resources"] = nil
			}
		}},
		"a total as a string": {dialect: "jumpcloud", row: "J1", problem: `totalResults is "0", not an integer`, change: func(_ *http.Request, body map[string]any, _ []string) {
			if n, ok := body["totalResults"].(float64); ok {
				body["totalResults"] = strconv.Itoa(int(n))
			}
		}},
		"a page loses somebody": {dialect: "okta", row: "O12", problem: "the pages hold fewer people than totalResults says", change: func(r *http.Request, body map[string]any, _ []string) {
			if list := people(body); is(r, "GET", "/Users?startIndex") && len(list) > 0 {
				body["Resources"] = list[1:]
			}
		}},
		"members although they are excluded": {dialect: "entra", row: "N14", problem: "members are answered although excludedAttributes names them", change: func(r *http.Request, body map[string]any, _ []string) {
			if list := people(body); is(r, "GET", "/Groups?") && len(list) > 0 {
				list[0].(map[string]any)["members"] = []any{map[string]any{"value": "x"}}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(between(t, serve(t, storetest.SQLite, c.dialect, directory.KeyUserName), c.change, c.swallow))
			defer server.Close()
			report, err := simulate.Run(t.Context(), simulate.Options{Dialect: c.dialect, Base: server.URL, Token: token, Users: 10, Groups: 2, Seed: 5})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range report.Findings {
				if f.Row.ID == c.row && f.Problem == c.problem {
					return
				}
			}
			var b bytes.Buffer
			report.Print(&b)
			t.Errorf("no finding of row %s says %q:\n%s", c.row, c.problem, b.String())
		})
	}
}

// Same seed, same directory, same order of one worker: the same requests.
func TestRun_IsReproducible(t *testing.T) {
	t.Parallel()
	var runs [2][]string
	for i := range runs {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := new(bytes.Buffer)
			_, _ = body.ReadFrom(r.Body)
			runs[i] = append(runs[i], r.Method+" "+r.URL.String()+" "+body.String())
			w.Header().Set("Content-Type", "application/scim+json")
			switch r.Method {
			case http.MethodPost:
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write([]byte(`{"id":"1"}`))
			default:
				_, _ = w.Write([]byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"Resources":[]}`))
			}
		}))
		if _, err := simulate.Run(t.Context(), simulate.Options{Dialect: "okta", Base: server.URL, Users: 10, Groups: 2, Seed: 42}); err != nil {
			t.Fatal(err)
		}
		server.Close()
	}
	if diff := gocmp.Diff(runs[0], runs[1]); diff != "" || len(runs[0]) < 30 {
		t.Errorf("two runs of one seed differ (%d requests): %s", len(runs[0]), diff)
	}
}

// A server that asks for patience is asked again, and one that is not there ends the run.
func TestRun_PatienceAndItsEnd(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	report, err := simulate.Run(t.Context(), simulate.Options{Dialect: "google", Base: server.URL, Users: 1, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if report.Stopped == nil || report.Retries != 1 || report.Clean() {
		t.Errorf("got stopped %v, %d retries, clean %t", report.Stopped, report.Retries, report.Clean())
	}
}

func TestRun_WrongOptionsAreRefused(t *testing.T) {
	t.Parallel()
	good := simulate.Options{Dialect: "entra", Base: "https://scim.example/v2", Users: 1}
	for name, spoil := range map[string]func(*simulate.Options){
		"dialect": func(o *simulate.Options) { o.Dialect = "keycloak" },
		"scheme":  func(o *simulate.Options) { o.Base = "ftp://scim.example" },
		"query":   func(o *simulate.Options) { o.Base += "?x=1" },
		"users":   func(o *simulate.Options) { o.Users = 0 },
	} {
		o := good
		spoil(&o)
		if _, err := simulate.Run(t.Context(), o); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

func TestShow_OneLineOnATerminalPlainLinesElsewhere(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(1, 0) }
	for terminal, want := range map[bool]string{
		true:  "\r\x1b[Kpush         1/2, 3 requests, 0 findings\r\x1b[Kpush         2/2, 5 requests, 1 findings\n",
		false: "push         2/2, 5 requests, 1 findings\n",
	} {
		var b bytes.Buffer
		show := simulate.Show(&b, terminal, now)
		show(simulate.Progress{Phase: "push", Done: 1, Of: 2, Requests: 3})
		show(simulate.Progress{Phase: "push", Done: 2, Of: 2, Requests: 5, Findings: 1})
		if diff := gocmp.Diff(b.String(), want); diff != "" {
			t.Errorf("terminal %t: %s", terminal, diff)
		}
	}
}

// A run that is interrupted takes away what it made, also what it was just making.
func TestRun_InterruptedIsCleanedUp(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var mu sync.Mutex
	there := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/scim+json")
		switch r.Method {
		case http.MethodPost:
			id := strconv.Itoa(len(there) + 1)
			if there[id] = true; len(there) == 3 {
				interrupt()
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"id":"` + id + `"}`))
		case http.MethodDelete:
			delete(there, path.Base(r.URL.Path))
			w.WriteHeader(http.StatusNoContent)
		default:
			_, _ = w.Write([]byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"Resources":[]}`))
		}
	}))
	defer server.Close()
	report, err := simulate.Run(ctx, simulate.Options{Dialect: "google", Base: server.URL, Users: 50, Seed: 1, Cleanup: true})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(report.Stopped, context.Canceled) {
		t.Errorf("got %v, want the run stopped", report.Stopped)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(there) != 0 {
		t.Errorf("left behind: %v", there)
	}
}

package scimcheck_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/internal/scimcheck"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const token = "the-token-of-the-directory-under-test"

// serve starts our own server with one directory of the standard's dialect, and gives the address of its SCIM root.
func serve(t *testing.T, kind storetest.Kind) string {
	t.Helper()
	db := storetest.Open(t, kind)
	err := db.System().Write(context.Background(), func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
		tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: "northwind", ID: id.Directory("dir"), Name: "Directory", Dialect: "rfc", Key: directory.KeyUserName})
		tx.PutDeclaredToken(store.DeclaredToken{Organization: "northwind", Directory: "dir", ID: "main", Hash: db.Keys.Hash(token), Prefix: "token"})
		tx.Bump(context.Background(), "configuration")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = provisioning.New(provisioning.Config{
		DB: db, URL: "http://" + server.Listener.Addr().String(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	server.Start()
	t.Cleanup(server.Close)
	return server.URL + "/scim/northwind/dir/v2"
}

// Our own server passes every check, has everything that can be advertised, and holds no record
// of the walk afterwards.
func TestRun_OurServerKeepsToTheStandard(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		base := serve(t, kind)
		report, err := scimcheck.Run(t.Context(), scimcheck.Options{Base: base, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range report.Results {
			t.Logf("%s %s %s: %s %s", r.Outcome, r.ID, r.Force, r.Title, r.Reason)
			if r.Outcome == scimcheck.Failed {
				t.Errorf("%s %s\nsent %s\ncame %s\nwanted %s", r.ID, r.Title, r.Sent, r.Came, r.Wanted)
			}
			if r.Outcome == scimcheck.Skipped && r.ID != "H-05" {
				t.Errorf("%s was skipped: %s", r.ID, r.Reason)
			}
		}
		if len(report.LeftBehind) > 0 {
			t.Errorf("left behind: %v", report.LeftBehind)
		}
		empty(t, base)
	})
}

// empty wants nothing left of a walk.
func empty(t *testing.T, base string) {
	t.Helper()
	for _, path := range []string{"/Users", "/Groups"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			TotalResults int `json:"totalResults"`
		}
		err = json.NewDecoder(answer.Body).Decode(&list)
		if _ = answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if list.TotalResults != 0 {
			t.Errorf("%s after the walk: got %d, want 0", path, list.TotalResults)
		}
	}
}

// A walk that is interrupted removes what it made, also what it was just making.
func TestRun_InterruptedIsCleanedUp(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		base := serve(t, kind)
		to, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		var posts atomic.Int32
		proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			if p.SetURL(to); p.In.Method == http.MethodPost && posts.Add(1) == 12 {
				interrupt()
			}
		}})
		defer proxy.Close()
		if _, err := scimcheck.Run(ctx, scimcheck.Options{Base: proxy.URL, Token: token}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the walk interrupted", err)
		}
		if posts.Load() < 12 {
			t.Errorf("only %d POSTs were seen", posts.Load())
		}
		empty(t, base)
	})
}

// A server that says 200 to everything fails every MUST that it can be asked, and the report says by what.
func TestRun_YesManIsFoundOut(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/scim+json")
		_, _ = w.Write([]byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"Resources":[],"patch":{"supported":true},"filter":{"supported":true}}`))
	}))
	defer server.Close()
	report, err := scimcheck.Run(t.Context(), scimcheck.Options{Base: server.URL, Token: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var text, data bytes.Buffer
	report.Print(&text)
	if err := report.JSON(&data); err != nil {
		t.Fatal(err)
	}
	var back struct {
		FailedMust int `json:"failedMust"`
		Results    []scimcheck.Result
	}
	if err := json.Unmarshal(data.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.FailedMust != report.FailedMust() || len(back.Results) != len(report.Results) {
		t.Errorf("JSON: got %d failed of %d", back.FailedMust, len(back.Results))
	}
	failed := failures(report)
	for _, want := range []string{"H-01", "H-03", "H-06", "H-10", "C-01", "C-04", "C-13", "R-01", "F-04", "F-13", "P-01", "X-01", "X-11", "X-16", "D-01", "G-00"} {
		if !slices.Contains(failed, want) {
			t.Errorf("%s passed against a server that says 200 to everything", want)
		}
	}
	for _, r := range report.Results {
		if r.Outcome == scimcheck.Failed && (r.Sent == "" || r.Came == "" || r.Wanted == "") {
			t.Errorf("%s does not say what was sent, what came and what should have: %+v", r.ID, r)
		}
	}
	if !strings.Contains(text.String(), "FAIL C-01  MUST") {
		t.Errorf("the text does not name the failed check:\n%s", text.String())
	}
}

func failures(r *scimcheck.Report) []string {
	var out []string
	for _, x := range r.Results {
		if x.Outcome == scimcheck.Failed {
			out = append(out, x.ID)
		}
	}
	return out
}

// A good server that empties a group when one member is removed, forgets projection and loses If-Match fails exactly the
// checks of those.
func TestRun_FaultsAreToldApart(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		to, err := url.Parse(serve(t, kind))
		if err != nil {
			t.Fatal(err)
		}
		careless := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Header.Del("If-Match")
			q := p.In.URL.Query()
			q.Del("attributes")
			p.Out.URL.RawQuery = q.Encode()
			if body, err := io.ReadAll(p.In.Body); err == nil {
				body = memberFilter.ReplaceAll(body, []byte(`"members"`))
				p.Out.Body, p.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			}
		}})
		defer careless.Close()
		report, err := scimcheck.Run(t.Context(), scimcheck.Options{Base: careless.URL, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"D-05", "R-01", "R-04", "R-05", "R-06", "R-08", "R-10", "R-11", "X-15b", "X-34c"}
		got := failures(report)
		slices.Sort(got)
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("the failed checks differ: %s", diff)
		}
		if len(report.LeftBehind) > 0 {
			t.Errorf("left behind: %v", report.LeftBehind)
		}
	})
}

var memberFilter = regexp.MustCompile(`"members\[[^]]*\]"`)

func TestRun_WhatCannotBeWalkedIsRefused(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer silent.Close()
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer locked.Close()
	for base, want := range map[string]fault.Kind{
		"ftp://scim.example": fault.Invalid, "https://scim.example/v2?x=1": fault.Invalid,
		silent.URL: fault.Unavailable, locked.URL: fault.Unauthenticated,
	} {
		if _, err := scimcheck.Run(t.Context(), scimcheck.Options{Base: base}); fault.KindOf(err) != want {
			t.Errorf("%s: got %v, want %v", base, err, want)
		}
	}
}

package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const token = "the-token-of-the-directory-under-test"

// serve starts our own server with one directory of a dialect, and gives the address of its SCIM root.
func serve(t *testing.T, kind storetest.Kind, dialect, key string) string {
	t.Helper()
	db := storetest.Open(t, kind)
	err := db.System().Write(context.Background(), func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
		tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: "northwind", ID: id.Directory("dir"), Name: "Directory", Dialect: dialect, Key: key})
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

// keys say by what a provider's dialect knows people; Google sends no externalId.
var keys = map[string]string{"google": directory.KeyUserName, "okta": directory.KeyUserName}

// emptying stands before a good server and reads a remove of members as RFC 7644 section 3.5.2.2 has it: without the
// values, which empties the group.
func emptying(t *testing.T, base string) http.Handler {
	t.Helper()
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		body, err := io.ReadAll(p.In.Body)
		if err != nil {
			return
		}
		var message struct {
			Schemas    []string
			Operations []map[string]any
		}
		if p.In.Method == http.MethodPatch && json.Unmarshal(body, &message) == nil {
			for _, o := range message.Operations {
				if kind, _ := o["op"].(string); strings.EqualFold(kind, "remove") && o["path"] == "members" {
					delete(o, "value")
				}
			}
			if body, err = json.Marshal(message); err != nil {
				t.Error(err)
			}
		}
		p.Out.Body = io.NopCloser(bytes.NewReader(body))
		p.Out.ContentLength = int64(len(body))
	}}
}

// between stands before a good server and changes the bodies of its answers, or swallows requests with a 204. It tells
// change whose deletion it saw.
func between(t *testing.T, base string, change func(*http.Request, map[string]any, []string), swallow func(*http.Request) bool) http.Handler {
	t.Helper()
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var gone []string
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}
	proxy.ModifyResponse = func(a *http.Response) error {
		mu.Lock()
		defer mu.Unlock()
		if a.Request.Method == http.MethodDelete && strings.Contains(a.Request.URL.Path, "/Users/") {
			gone = append(gone, path.Base(a.Request.URL.Path))
		}
		raw, err := io.ReadAll(a.Body)
		if err != nil {
			return err
		}
		var body map[string]any
		if change != nil && json.Unmarshal(raw, &body) == nil {
			change(a.Request, body, gone)
			if raw, err = json.Marshal(body); err != nil {
				return err
			}
		}
		a.Body, a.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
		a.Header.Set("Content-Length", strconv.Itoa(len(raw)))
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if swallow != nil && swallow(r) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

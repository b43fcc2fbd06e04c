package provisioning_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// world is a store with two organizations and their directories, and the handler over it.
type world struct {
	t     testing.TB
	db    *store.DB
	clock *storetest.Clock
	http  http.Handler
}

const publicURL = "https://id.example"

var admin = audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Operator", Door: audit.Console}

func token(org, dir string) string { return "token-of-" + org + "-" + dir }

// each runs the test on both stores.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) { test(t, newWorld(t, kind)) })
}

func newWorld(t testing.TB, kind storetest.Kind) *world {
	t.Helper()
	clock := storetest.NewClock()
	db := storetest.Open(t, kind, storetest.WithClock(clock))
	w := &world{t: t, db: db, clock: clock}
	ctx := context.Background()
	err := db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredPermission(store.DeclaredPermission{Permission: access.Permission{ID: "users.manage", Name: "Manage users"}})
		tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "owner", Name: "Owner", Permissions: []id.Permission{"users.manage"}, MayGrant: []id.Role{access.Every}, Protected: true}})
		for _, org := range []id.Organization{"northwind", "fieldserv"} {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: org, Name: strings.ToUpper(string(org[:1])) + string(org[1:])})
			for _, d := range []struct{ id, dialect, key string }{
				{"entra", "entra", directory.KeyExternalID},
				{"okta", "okta", directory.KeyUserName},
				{"plain", "rfc", directory.KeyExternalID},
				{"onelogin", "onelogin", directory.KeyUserName},
				{"google", "google", directory.KeyUserName},
				{"jumpcloud", "jumpcloud", directory.KeyUserName},
				{"ping", "ping", directory.KeyUserName},
			} {
				tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: org, ID: id.Directory(d.id), Name: d.id + " of " + string(org), Dialect: d.dialect, Key: d.key})
				tx.PutDeclaredToken(store.DeclaredToken{Organization: org, Directory: id.Directory(d.id), ID: "main", Hash: db.Keys.Hash(token(string(org), d.id)), Prefix: "token"})
			}
		}
		tx.PutDeclaredConnection(connection.Connection{Organization: "northwind", ID: "corp", Name: "Corp", Protocol: connection.OIDC, Directory: "entra"})
		tx.Bump(ctx, "configuration")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.http = provisioning.New(provisioning.Config{DB: db, URL: publicURL, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	return w
}

// client speaks for one directory.
type client struct {
	w     *world
	base  string
	token string
}

func (w *world) dir(org, dir string) *client {
	return &client{w, "/scim/" + org + "/" + dir + "/v2", token(org, dir)}
}

func (w *world) plain() *client { return w.dir("northwind", "plain") }
func (w *world) entra() *client { return w.dir("northwind", "entra") }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (c *client) request(method, path, body string, headers ...string) *http.Request {
	path = strings.NewReplacer(" ", "%20", `"`, "%22").Replace(path)
	r := httptest.NewRequest(method, publicURL+c.base+path, strings.NewReader(body))
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (c *client) send(r *http.Request) answer {
	c.w.t.Helper()
	rec := httptest.NewRecorder()
	c.w.http.ServeHTTP(rec, r)
	raw, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		c.w.t.Fatal(err)
	}
	a := answer{status: rec.Code, header: rec.Result().Header, raw: string(raw)}
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			c.w.t.Fatalf("%s %s: not an object: %s", r.Method, r.URL, raw)
		}
	}
	return a
}

// do sends a request and fails the test unless it gets the status.
func (c *client) do(status int, method, path, body string, headers ...string) answer {
	c.w.t.Helper()
	a := c.send(c.request(method, path, body, headers...))
	if a.status != status {
		c.w.t.Fatalf("%s %s: got %d, want %d: %s", method, path, a.status, status, a.raw)
	}
	if status >= 400 && method != "HEAD" {
		c.w.t.Helper()
		if a.body["status"] != fmt.Sprint(status) || a.header.Get("Content-Type") != "application/scim+json" {
			c.w.t.Fatalf("%s %s: the error is not as RFC 7644 section 3.12 has it: %s", method, path, a.raw)
		}
	}
	return a
}

func (c *client) refused(status int, scimType, method, path, body string, headers ...string) {
	c.w.t.Helper()
	a := c.do(status, method, path, body, headers...)
	got, _ := a.body["scimType"].(string)
	if got != scimType {
		c.w.t.Fatalf("%s %s: got scimType %q, want %q: %s", method, path, got, scimType, a.raw)
	}
}

const (
	coreUser  = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]`
	coreGroup = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]`
	patchOp   = `"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]`
	searchReq = `"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]`
	bulkReq   = `"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]`
)

// user makes one and gives its id.
func (c *client) user(userName string, more ...string) string {
	c.w.t.Helper()
	a := c.do(201, "POST", "/Users", fmt.Sprintf(`{%s,"userName":%q%s}`, coreUser, userName, tail(more)))
	return a.text("id")
}

func (c *client) group(name string, members ...string) string {
	c.w.t.Helper()
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = fmt.Sprintf(`{"value":%q}`, m)
	}
	a := c.do(201, "POST", "/Groups", fmt.Sprintf(`{%s,"displayName":%q,"members":[%s]}`, coreGroup, name, strings.Join(list, ",")))
	return a.text("id")
}

func tail(more []string) string {
	if len(more) == 0 {
		return ""
	}
	return "," + strings.Join(more, ",")
}

func (c *client) patch(status int, path, operations string, headers ...string) answer {
	c.w.t.Helper()
	return c.do(status, "PATCH", path, fmt.Sprintf(`{%s,"Operations":[%s]}`, patchOp, operations), headers...)
}

func (c *client) active(user string, active bool) answer {
	c.w.t.Helper()
	return c.patch(200, "/Users/"+user, fmt.Sprintf(`{"op":"replace","path":"active","value":%t}`, active))
}

// list gives the ids a filter finds.
func (c *client) list(path, filter string) []string {
	c.w.t.Helper()
	return c.do(200, "GET", path+"?filter="+url.QueryEscape(filter), "").ids()
}

func (a answer) text(name string) string { s, _ := a.body[name].(string); return s }

func (a answer) number(name string) int { f, _ := a.body[name].(float64); return int(f) }

func (a answer) ids() []string {
	out := []string{}
	list, _ := a.body["Resources"].([]any)
	for _, r := range list {
		m, _ := r.(map[string]any)
		s, _ := m["id"].(string)
		out = append(out, s)
	}
	return out
}

// objects gives a list of the answer.
func (a answer) objects(name string) []map[string]any {
	list, _ := a.body[name].([]any)
	out := make([]map[string]any, len(list))
	for i, r := range list {
		out[i], _ = r.(map[string]any)
	}
	return out
}

func (a answer) meta(name string) string {
	m, _ := a.body["meta"].(map[string]any)
	s, _ := m[name].(string)
	return s
}

// members gives the values of a group's members.
func (a answer) values(name string) []string {
	out := []string{}
	list, _ := a.body[name].([]any)
	for _, r := range list {
		m, _ := r.(map[string]any)
		s, _ := m["value"].(string)
		out = append(out, s)
	}
	return out
}

func (w *world) read(org id.Organization, f func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	ctx := context.Background()
	if err := w.db.Read(ctx, org, func(tx *store.Tx) error { return f(ctx, tx) }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(org id.Organization, f func(ctx context.Context, tx *store.Tx) error) error {
	w.t.Helper()
	ctx := context.Background()
	return w.db.Write(ctx, org, func(tx *store.Tx) error { return f(ctx, tx) })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// account gives a user of northwind as the console sees it.
func (w *world) account(user string) *directory.User {
	w.t.Helper()
	var u *directory.User
	w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
		u, err = tx.UserDetail(ctx, id.User(user))
		return err
	})
	return u
}

func (w *world) seatLimit(limit int64) {
	w.t.Helper()
	ctx := context.Background()
	w.must(w.db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind", SeatLimit: limit})
		in := tx.In("northwind")
		in.BumpOrganization(ctx)
		return in.SeatWaiting(ctx, admin)
	}))
}

// events gives northwind's audit log, newest first.
func (w *world) events() []audit.Event {
	w.t.Helper()
	var events []audit.Event
	w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
		events, err = tx.Events(ctx, store.AuditFilter{Limit: 1000})
		return err
	})
	return events
}

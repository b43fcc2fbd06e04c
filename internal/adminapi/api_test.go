package adminapi_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/adminapi"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// caller speaks to an API over a store with two organizations, northwind and fieldserv.
type caller struct {
	t       *testing.T
	db      *store.DB
	handler http.Handler
	token   string
	dana    id.User
	group   id.Group
}

func each(t *testing.T, test func(t *testing.T, c *caller)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(t, begin(t, db)) })
}

func begin(t *testing.T, db *store.DB) *caller {
	t.Helper()
	c := &caller{t: t, db: db, group: "night-shift"}
	ctx, actor := t.Context(), audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Operator", Door: audit.CLI}
	err := db.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		for i, p := range []id.Permission{"assets.read", "assets.update", "billing.read"} {
			tx.PutDeclaredPermission(store.DeclaredPermission{Permission: access.Permission{ID: p, Name: string(p)}, Position: int64(i)})
		}
		for i, r := range []access.Role{
			{ID: "viewer", Name: "Viewer", Permissions: []id.Permission{"assets.read"}},
			{ID: "asset-editor", Name: "Asset Editor", Includes: []id.Role{"viewer"}, Permissions: []id.Permission{"assets.update"}, MayGrant: []id.Role{"viewer"}},
			{ID: "owner", Name: "Owner", Includes: []id.Role{"asset-editor"}, MayGrant: []id.Role{"*"}, Protected: true},
			{ID: "auditor", Name: "Auditor", Permissions: []id.Permission{"audit.read"}},
			{ID: "billing-clerk", Name: "Billing Clerk", Permissions: []id.Permission{"billing.read"}},
			{ID: "forbidden", Name: "Forbidden"},
		} {
			tx.PutDeclaredRole(store.DeclaredRole{Role: r, Position: int64(i)})
		}
		tx.PutDeclaredExclusive(store.DeclaredExclusive{Roles: []id.Role{"auditor", "billing-clerk"}})
		for _, o := range []id.Organization{"northwind", "fieldserv"} {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: o, Name: string(o), Settings: store.Settings{
				DefaultRoles: []access.RoleAt{{Role: "viewer"}}, AvailableRoles: []id.Role{"owner", "auditor", "billing-clerk"},
			}})
		}
		tx.PutDeclaredResource(store.DeclaredResource{Organization: "northwind", Resource: access.Resource{ID: "emea", Type: "portfolio", Name: "EMEA"}})
		tx.PutDeclaredResource(store.DeclaredResource{Organization: "northwind", Resource: access.Resource{ID: "london-1", Parent: "emea", Type: "site", Name: "London 1"}})
		tx.PutDeclaredGroup(store.DeclaredGroup{Organization: "northwind", ID: c.group, Name: "Night shift"})
		tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: "northwind", ID: "entra", Name: "Entra", Dialect: "entra", Key: "externalId"})
		tx.Bump(ctx, "configuration")
		c.token, _, err = tx.CreateAPIToken(ctx, actor, "tests", time.Time{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := chi.NewRouter()
	(&adminapi.API{
		DB: db, URL: "https://id.example", Log: slog.New(slog.DiscardHandler),
		From: func(*http.Request) (string, string) { return "192.0.2.7", "request-1" },
		Metadata: func(ctx context.Context, org id.Organization, c id.Connection) error {
			return db.Read(ctx, org, func(tx *store.Tx) error {
				_, err := tx.ManagedConnection(ctx, c)
				return err
			})
		},
	}).Mount(r)
	c.handler = r
	c.dana = c.person("northwind", "dana")
	return c
}

// person makes a user by just-in-time sign-in.
func (c *caller) person(org id.Organization, name string) (user id.User) {
	c.t.Helper()
	err := c.db.Write(c.t.Context(), org, func(tx *store.Tx) error {
		u, err := tx.CreateJustInTime(c.t.Context(), store.NewUser{
			UserName: name, Email: name + "@" + string(org) + ".example", DisplayName: strings.ToUpper(name[:1]) + name[1:],
		}, audit.Actor{Kind: audit.ActorConnection, Door: audit.SignIn})
		if err == nil {
			user = u.ID
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return user
}

// call sends a request and decodes the answer.
func (c *caller) call(method, path, body string, headers ...string) (int, map[string]any, http.Header) {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	var got map[string]any
	if strings.Contains(w.Header().Get("Content-Type"), "json") {
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	} else {
		got = map[string]any{"text": w.Body.String()}
	}
	if w.Code >= 400 {
		if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
			c.t.Errorf("%s %s: a refusal of type %q", method, path, ct)
		}
		if got["type"] != "about:blank" || got["title"] != http.StatusText(w.Code) || got["status"] != float64(w.Code) || got["detail"] == "" {
			c.t.Errorf("%s %s: not a problem: %v", method, path, got)
		}
	}
	return w.Code, got, w.Header()
}

const northwind = "/api/v1/organizations/northwind"

// want sends a request and fails unless the status is the wanted one.
func (c *caller) want(status int, method, path, body string) map[string]any {
	c.t.Helper()
	code, got, _ := c.call(method, path, body)
	if code != status {
		c.t.Fatalf("%s %s: got %d %v, want %d", method, path, code, got, status)
	}
	return got
}

func (c *caller) ids(path string) []string {
	c.t.Helper()
	out := []string{}
	for _, item := range c.want(200, "GET", path, "")["items"].([]any) {
		out = append(out, item.(map[string]any)["id"].(string))
	}
	return out
}

func TestAuthenticate_OnlyAnAPITokenInTheHeaderOpens(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		for call, want := range map[string]int{"GET /api/v1/nothing": 404, "PATCH " + northwind + "/users": 405, "GET /api/v1": 404} {
			method, path, _ := strings.Cut(call, " ")
			c.want(want, method, path, "")
		}
		for name, test := range map[string]struct {
			path, header string
			challenge    string
		}{
			"no header":               {northwind + "/users", "", `Bearer realm="vestibule"`},
			"another scheme":          {northwind + "/users", "Basic " + c.token, `Bearer realm="vestibule"`},
			"an empty token":          {northwind + "/users", "Bearer ", `Bearer realm="vestibule"`},
			"a wrong token":           {northwind + "/users", "Bearer " + c.token + "x", `Bearer realm="vestibule", error="invalid_token"`},
			"a token in the address":  {northwind + "/users?access_token=" + c.token, "", `Bearer realm="vestibule"`},
			"an unknown organization": {"/api/v1/organizations/nowhere/users", "Bearer nothing", `Bearer realm="vestibule", error="invalid_token"`},
		} {
			code, _, header := c.call("GET", test.path, "", "Authorization", test.header)
			if code != 401 || header.Get("WWW-Authenticate") != test.challenge {
				t.Errorf("%s: got %d and %q, want 401 and %q", name, code, header.Get("WWW-Authenticate"), test.challenge)
			}
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", northwind+"/users", nil)
		r.Header["Authorization"] = []string{"Bearer " + c.token, "Bearer other"}
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, r)
		if w.Code != 401 {
			t.Errorf("two credentials: got %d", w.Code)
		}
		if code, _, header := c.call("GET", northwind+"/users", "", "Authorization", "bearer "+c.token); code != 200 || header.Get("Cache-Control") != "no-store" {
			t.Errorf("the scheme in lower case: got %d, cached %q", code, header.Get("Cache-Control"))
		}
	})
}

// What cannot be read is refused on both stores alike, and never an empty filter.
func TestEveryCall_RefusesAnAddressThatCannotBeRead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		const of = "/api/v1/organizations/northwind"
		for _, path := range []string{
			"/users?q=%00", "/users?q=%ff", "/users?q=%25%zz", "/users?role=%2", "/users/%00", "/users/%ff", "/audit?user=%00",
			"/audit.csv?user=%00", "/grants?user=a;b",
		} {
			c.want(http.StatusUnprocessableEntity, "GET", of+path, "")
		}
	})
}

func TestUsers_ListAndOneUser(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		ines := c.person("northwind", "ines")
		if d := cmp.Diff(c.ids(northwind+"/users"), []string{string(c.dana), string(ines)}); d != "" {
			t.Errorf("users (-got +want):\n%s", d)
		}
		c.want(200, "POST", northwind+"/users/"+string(ines)+"/suspend", "")
		c.want(201, "POST", northwind+"/grants", `{"user":"`+string(c.dana)+`","role":"asset-editor","resource":"emea"}`)
		for query, want := range map[string][]string{
			"q=DAN":                                {string(c.dana)},
			"status=suspended":                     {string(ines)},
			"status=active&q=ines":                 {},
			"role=asset-editor":                    {string(c.dana)},
			"resource=london-1":                    {string(c.dana)},
			"role=viewer":                          {string(c.dana), string(ines)},
			"awaiting=true":                        {},
			"role=asset-editor&resource=emea":      {string(c.dana)},
			"role=nothing":                         {},
			"q=&status=&role=&resource=&awaiting=": {string(c.dana), string(ines)}, // as the contract writes it, unfilled
			"limit=1":                              {string(c.dana)},
		} {
			if d := cmp.Diff(c.ids(northwind+"/users?"+query), want); d != "" {
				t.Errorf("%s (-got +want):\n%s", query, d)
			}
		}
		first := c.want(200, "GET", northwind+"/users?limit=1", "")
		if d := cmp.Diff(c.ids(northwind+"/users?limit=1&cursor="+first["next"].(string)), []string{string(ines)}); d != "" {
			t.Errorf("the second page (-got +want):\n%s", d)
		}
		if last := c.want(200, "GET", northwind+"/users?limit=2", ""); last["next"] != nil {
			t.Errorf("the last page names a next one: %v", last["next"])
		}
		u := c.want(200, "GET", northwind+"/users/"+string(c.dana), "")
		for _, field := range []string{"status", "email", "user_name", "groups", "created", "last_seen", "last_login", "last_login_ip", "logins", "external", "sources"} {
			if _, there := u[field]; !there {
				t.Errorf("one user has no %s: %v", field, u)
			}
		}
		if u["email"] != "dana@northwind.example" || u["status"] != "active" || u["external"] != false {
			t.Errorf("got %v", u)
		}
		for _, wrong := range []string{"?state=active", "?status=great", "?limit=0", "?limit=501", "?awaiting=maybe", "?cursor=%21"} {
			if got := c.want(422, "GET", northwind+"/users"+wrong, ""); len(got["errors"].([]any)) != 1 {
				t.Errorf("%s: %v", wrong, got)
			}
		}
	})
}

func TestUsers_LeaveAndComeBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		path := northwind + "/users/" + string(c.dana)
		for _, step := range []struct {
			method, path, body string
			want               string
		}{
			{"POST", path + "/suspend", `{"reason":"lost laptop"}`, "suspended"},
			{"POST", path + "/suspend", "", "suspended"},
			{"POST", path + "/reactivate", "", "active"},
			{"POST", path + "/settle", "", "active"},
			{"PUT", path + "/custom-access", `{"custom":true}`, "active"},
		} {
			if got := c.want(200, step.method, step.path, step.body); got["status"] != step.want {
				t.Errorf("%s %s: got %v, want %s", step.method, step.path, got["status"], step.want)
			}
		}
		if got := c.want(200, "GET", path, ""); got["custom_access"] != true || got["settled_by"] != "API token tests" {
			t.Errorf("got %v", got)
		}
		if got := c.want(200, "GET", path+"/access", ""); len(got["grants"].([]any)) != 0 {
			t.Errorf("custom access, and the default role stays: %v", got["grants"])
		}
		c.want(204, "DELETE", path, "")
		if got := c.ids(northwind + "/users"); len(got) != 0 {
			t.Errorf("deleted, and listed: %v", got)
		}
		if got := c.ids(northwind + "/users?status=deleted"); len(got) != 1 {
			t.Errorf("the tombstone is not listed: %v", got)
		}
		c.want(200, "POST", path+"/restore", "")
		log := c.want(200, "GET", northwind+"/audit?user="+string(c.dana)+"&action=user.suspended", "")["items"].([]any)
		if len(log) != 1 || log[0].(map[string]any)["reason"] != "lost laptop" || log[0].(map[string]any)["ip"] != "192.0.2.7" {
			t.Errorf("the log says %v", log)
		}
	})
}

func TestGrants_GiveListAndRevoke(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		code, g, header := c.call("POST", northwind+"/grants", `{"user":"`+string(c.dana)+`","role":"asset-editor","resource":"london-1","expires":"2100-01-01T00:00:00Z"}`)
		if code != 201 || g["expires"] != "2100-01-01T00:00:00Z" || g["granted_by_name"] != "API token tests" || g["resource"] != "london-1" {
			t.Fatalf("got %d %v", code, g)
		}
		grant := northwind + "/grants/" + g["id"].(string)
		if header.Get("Location") != grant {
			t.Errorf("got the location %q, want %q", header.Get("Location"), grant)
		}
		root := c.want(201, "POST", northwind+"/grants", `{"group":"night-shift","role":"viewer"}`)
		if root["resource"] != "northwind" {
			t.Errorf("without a resource it is the organization: %v", root)
		}
		acc := c.want(200, "GET", northwind+"/users/"+string(c.dana)+"/access", "")
		held := acc["grants"].([]any)[1].(map[string]any)
		if held["role"] != "asset-editor" || held["source"] != "manual" || held["because"] != "given by API token tests, role Asset Editor, at London 1" || len(held["why"].([]any)) != 3 {
			t.Errorf("got %v", held)
		}
		permissions := acc["permissions"].(map[string]any)
		if d := cmp.Diff(permissions["london-1"], []any{"assets.read", "assets.update"}); d != "" {
			t.Errorf("permissions at london-1 (-got +want):\n%s", d)
		}
		if d := cmp.Diff(permissions["emea"], []any{"assets.read"}); d != "" {
			t.Errorf("permissions at emea (-got +want):\n%s", d)
		}
		c.want(201, "POST", northwind+"/grants", `{"user":"`+string(c.dana)+`","role":"auditor"}`)
		for body, want := range map[string]struct {
			status int
			code   any
			field  string
		}{
			`{"user":"` + string(c.dana) + `","role":"billing-clerk"}`:                           {409, "exclusive-roles", ""},
			`{"user":"` + string(c.dana) + `","role":"forbidden"}`:                               {403, "above-ceiling", ""},
			`{"user":"` + string(c.dana) + `","role":"king"}`:                                    {422, nil, "role"},
			`{"user":"` + string(c.dana) + `","role":"viewer","resource":"mars"}`:                {422, nil, "resource"},
			`{"user":"nobody","role":"viewer"}`:                                                  {422, nil, "user"},
			`{"role":"viewer"}`:                                                                  {422, nil, "user"},
			`{"user":"` + string(c.dana) + `"}`:                                                  {422, nil, "role"},
			`{"user":"` + string(c.dana) + `","role":"viewer","expires":"2000-01-01T00:00:00Z"}`: {422, nil, "expires"},
			`{"user":"` + string(c.dana) + `","role":"viewer","until":"tomorrow"}`:               {422, nil, "until"},
			`{"user":`: {400, nil, ""},
		} {
			got := c.want(want.status, "POST", northwind+"/grants", body)
			if got["code"] != want.code {
				t.Errorf("%s: got the code %v, want %v", body, got["code"], want.code)
			}
			if errs, _ := got["errors"].([]any); want.field != "" && (len(errs) != 1 || !strings.HasSuffix(errs[0].(map[string]any)["field"].(string), want.field)) {
				t.Errorf("%s: got the fields %v, want %s", body, errs, want.field)
			}
		}
		if n := len(c.ids(northwind + "/grants?user=" + string(c.dana))); n != 2 {
			t.Errorf("got %d grants of dana, want 2", n)
		}
		if n := len(c.ids(northwind + "/grants?role=viewer")); n != 1 {
			t.Errorf("got %d grants of viewer, want 1", n)
		}
		c.want(200, "GET", grant, "")
		c.want(204, "DELETE", grant+"?reason=left", "")
		c.want(404, "DELETE", grant, "")
		c.want(404, "GET", grant, "")
		own := c.want(201, "POST", northwind+"/grants", `{"user":"`+string(c.dana)+`","role":"owner"}`)
		for _, door := range []string{"DELETE " + northwind + "/grants/" + own["id"].(string), "POST " + northwind + "/users/" + string(c.dana) + "/suspend", "DELETE " + northwind + "/users/" + string(c.dana)} {
			method, path, _ := strings.Cut(door, " ")
			if got := c.want(409, method, path, ""); got["code"] != "last-holder" {
				t.Errorf("%s: got %v", door, got)
			}
		}
	})
}

func TestRestrictionsAndGroupRoles(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		r := c.want(201, "POST", northwind+"/restrictions", `{"user":"`+string(c.dana)+`","resource":"emea","actions":["read"]}`)
		acc := c.want(200, "GET", northwind+"/users/"+string(c.dana)+"/access", "")
		if len(acc["restrictions"].([]any)) != 1 || acc["permissions"].(map[string]any)["london-1"] != nil {
			t.Errorf("the restriction is not in force: %v", acc)
		}
		c.want(422, "POST", northwind+"/restrictions", `{"user":"`+string(c.dana)+`","actions":["fly"]}`)
		if n := len(c.ids(northwind + "/restrictions?user=" + string(c.dana))); n != 1 {
			t.Errorf("got %d restrictions", n)
		}
		c.want(204, "DELETE", northwind+"/restrictions/"+r["id"].(string), "")
		c.want(404, "DELETE", northwind+"/restrictions/"+r["id"].(string), "")

		m := c.want(201, "POST", northwind+"/group-roles", `{"group":"night-shift","role":"asset-editor","resource":"london-1"}`)
		waiting := c.want(201, "POST", northwind+"/group-roles", `{"group":"London Team","role":"asset-editor"}`)
		if m["bound"] != "night-shift" || waiting["bound"] != nil {
			t.Errorf("got %v and %v", m, waiting)
		}
		err := c.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			return tx.AddMember(t.Context(), c.group, string(c.dana), directory.UserMember, audit.Actor{Kind: audit.ActorOperator})
		})
		if err != nil {
			t.Fatal(err)
		}
		acc = c.want(200, "GET", northwind+"/users/"+string(c.dana)+"/access", "")
		if held := acc["grants"].([]any)[1].(map[string]any); held["source"] != "group" || held["group"] != "night-shift" {
			t.Errorf("through the group: %v", held)
		}
		if got := c.want(200, "GET", northwind+"/users/"+string(c.dana), "")["groups"]; !cmp.Equal(got, []any{"Night shift"}) {
			t.Errorf("groups: %v", got)
		}
		if got := c.ids(northwind + "/groups/night-shift/members"); !slices.Equal(got, []string{string(c.dana)}) {
			t.Errorf("members: %v", got)
		}
		c.want(204, "DELETE", northwind+"/group-roles/"+m["id"].(string), "")
		c.want(404, "DELETE", northwind+"/group-roles/"+m["id"].(string), "")
	})
}

func TestLists_OfWhatIsDeclared(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		for path, want := range map[string][]string{
			"/api/v1/organizations":              {"fieldserv", "northwind"},
			"/api/v1/organizations?q=north":      {"northwind"},
			"/api/v1/organizations?limit=1":      {"fieldserv"},
			northwind + "/resources":             {"northwind", "emea", "london-1"},
			northwind + "/resources?q=lond":      {"london-1"},
			northwind + "/resources?cursor=emea": {"london-1"},
			northwind + "/roles":                 {"viewer", "asset-editor", "owner", "auditor", "billing-clerk"},
			northwind + "/groups":                {"night-shift"},
			northwind + "/directories":           {"entra"},
			northwind + "/conflicts":             {},
			"/api/v1/permissions?limit=2":        {"assets.read", "assets.update"},
		} {
			if d := cmp.Diff(c.ids(path), want); d != "" {
				t.Errorf("%s (-got +want):\n%s", path, d)
			}
		}
		c.want(422, "GET", northwind+"/resources?cursor=nothing", "")
		if got := c.want(200, "GET", northwind, ""); got["id"] != "northwind" || got["seat_limit"] != nil || got["seated"] != float64(1) {
			t.Errorf("one organization: %v", got)
		}
		roles := c.want(200, "GET", northwind+"/roles", "")["items"].([]any)
		if d := cmp.Diff(roles[1], map[string]any{
			"id": "asset-editor", "name": "Asset Editor", "includes": []any{"viewer"}, "permissions": []any{"assets.read", "assets.update"},
			"may_grant": []any{"viewer"}, "protected": false,
		}); d != "" {
			t.Errorf("a role (-got +want):\n%s", d)
		}
	})
}

func TestConflicts_AreDecidedOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		c.want(201, "POST", northwind+"/group-roles", `{"group":"night-shift","role":"auditor"}`)
		c.want(201, "POST", northwind+"/grants", `{"group":"night-shift","role":"viewer"}`)
		err := c.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			ctx, actor := t.Context(), audit.Actor{Kind: audit.ActorOperator}
			if err := tx.AddMember(ctx, c.group, string(c.dana), directory.UserMember, actor); err != nil {
				return err
			}
			// As a directory would bring it, beside the group.
			if _, err := tx.Give(ctx, actor, store.Grant{User: c.dana, Role: "auditor", Source: access.SCIM}); err != nil {
				return err
			}
			return tx.NoteParked(ctx, "", c.dana)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ids(northwind + "/conflicts"); len(got) != 0 {
			t.Errorf("the same role twice is no conflict: %v", got)
		}
		c.want(404, "POST", northwind+"/conflicts/nothing/resolve", `{"decision":"keep"}`)
		c.want(422, "POST", northwind+"/conflicts/nothing/resolve", `{"decision":"perhaps"}`)
	})
}

func TestAudit_ListAndExportShowExactlyTheFilter(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		for _, role := range []string{"viewer", "asset-editor", "auditor"} {
			c.want(201, "POST", northwind+"/grants", `{"user":"`+string(c.dana)+`","role":"`+role+`"}`)
		}
		c.want(201, "POST", "/api/v1/organizations/fieldserv/grants", `{"user":"`+string(c.person("fieldserv", "sam"))+`","role":"viewer"}`)
		count := func(query string) int {
			t.Helper()
			return len(c.want(200, "GET", northwind+"/audit?"+query, "")["items"].([]any))
		}
		today := c.db.Now().UTC().Format(time.DateOnly)
		for query, want := range map[string]int{
			"user=&action=grant.given&ip=&from=&to=&outcome=":   3,
			"action=grant.given":                                3,
			"action=grant.":                                     3,
			"action=grant.given&user=" + string(c.dana):         3,
			"action=grant.given&user=nobody":                    0,
			"action=grant.given&ip=192.0.2.7":                   3,
			"action=grant.given&ip=192.0.2.8":                   0,
			"action=grant.given&from=" + today + "&to=" + today: 3,
			"action=grant.given&to=2020-01-01":                  0,
			"action=grant.given&from=2100-01-01T00:00:00Z":      0,
			"action=grant.given&outcome=refused":                0,
		} {
			if got := count(query); got != want {
				t.Errorf("%s: got %d events, want %d", query, got, want)
			}
		}
		page := c.want(200, "GET", northwind+"/audit?action=grant.given&limit=2", "")
		newest := page["items"].([]any)[0].(map[string]any)
		if newest["target"].(map[string]any)["name"] != "Auditor at northwind" || newest["after"].(map[string]any)["role"] != "auditor" || newest["door"] != "api" || newest["request"] != "request-1" {
			t.Errorf("the newest is first, and whole: %v", newest)
		}
		if got := count("action=grant.given&limit=2&cursor=" + page["next"].(string)); got != 1 {
			t.Errorf("the second page: got %d events", got)
		}
		c.want(422, "GET", northwind+"/audit?from=yesterday", "")
		c.want(422, "GET", northwind+"/audit?cursor=x", "")
		code, got, header := c.call("GET", northwind+"/audit.csv?action=grant.given", "")
		rows, err := csv.NewReader(bytes.NewBufferString(got["text"].(string))).ReadAll()
		if code != 200 || err != nil || len(rows) != 4 || rows[1][7] != "Auditor at northwind" || !strings.HasPrefix(header.Get("Content-Type"), "text/csv") {
			t.Errorf("got %d %v %v %v", code, rows, err, header)
		}
	})
}

// operations reads the calls from the document that the API serves.
func (c *caller) operations() map[string]map[string]any {
	c.t.Helper()
	_, doc, _ := c.call("GET", "/api/v1/openapi.json", "", "Authorization", "")
	out := map[string]map[string]any{}
	for path, methods := range doc["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			out[strings.ToUpper(method)+" "+path] = op.(map[string]any)
		}
	}
	return out
}

func TestOpenAPI_DescribesTheFixedPart(t *testing.T) {
	t.Parallel()
	c := begin(t, storetest.Open(t, storetest.SQLite))
	code, doc, _ := c.call("GET", "/api/v1/openapi.json", "", "Authorization", "")
	if code != 200 || !strings.HasPrefix(doc["openapi"].(string), "3.1") {
		t.Fatalf("got %d, OpenAPI %v", code, doc["openapi"])
	}
	operations := c.operations()
	for _, want := range []string{
		"GET /organizations/{organization}/users", "GET /organizations/{organization}/users/{user}",
		"POST /organizations/{organization}/users/{user}/suspend", "POST /organizations/{organization}/users/{user}/reactivate",
		"GET /organizations/{organization}/users/{user}/access", "POST /organizations/{organization}/grants",
		"GET /organizations/{organization}/grants", "DELETE /organizations/{organization}/grants/{grant}",
		"POST /organizations/{organization}/invitations", "POST /organizations/{organization}/invitations/{invitation}/resend",
		"DELETE /organizations/{organization}/invitations/{invitation}", "GET /organizations/{organization}/audit",
		"GET /organizations/{organization}/audit.csv",
	} {
		if operations[want] == nil {
			t.Errorf("the document does not describe %s", want)
		}
	}
	for name, op := range operations {
		if op["responses"].(map[string]any)["401"] == nil {
			t.Errorf("%s does not say that it wants a token", name)
		}
	}
}

// Every call is asked twice with what belongs to Northwind: under Fieldserv, where nothing of it may be found or changed,
// and under an organization that does not exist. The calls are read from the document, so that a new one is asked too.
func TestEveryCall_KeepsOrganizationsApart(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *caller) {
		c.person("fieldserv", "sam")
		grant := c.want(201, "POST", northwind+"/grants", `{"user":"`+string(c.dana)+`","role":"auditor"}`)["id"].(string)
		restriction := c.want(201, "POST", northwind+"/restrictions", `{"user":"`+string(c.dana)+`","actions":["update"]}`)["id"].(string)
		mapping := c.want(201, "POST", northwind+"/group-roles", `{"group":"night-shift","role":"auditor"}`)["id"].(string)
		invited := c.want(201, "POST", northwind+"/invitations", `{"email":"new@northwind.example"}`)["id"].(string)
		c.want(201, "POST", northwind+"/connections", `{"id":"theirs","protocol":"oidc","name":"Theirs","issuer":"https://idp.example","client_id":"x"}`)
		c.want(201, "POST", northwind+"/domains", `{"domain":"northwind.example"}`)
		hook := c.want(201, "POST", northwind+"/webhooks", `{"url":"https://hooks.northwind.example/v"}`)["id"].(string)
		delivery := c.want(202, "POST", northwind+"/webhooks/"+hook+"/test", "")["id"].(string)
		role := c.want(201, "POST", northwind+"/roles", `{"name":"Nights","permissions":["billing.read"]}`)["id"].(string)
		before := c.want(200, "GET", northwind+"/users/"+string(c.dana)+"/access", "")
		fill := strings.NewReplacer(
			"{user}", string(c.dana), "{grant}", grant, "{restriction}", restriction, "{mapping}", mapping, "{group}", "night-shift",
			"{directory}", "entra", "{conflict}", "c1", "{invitation}", invited, "{connection}", "theirs", "{key}", "k1",
			"{domain}", "northwind.example", "{exception}", "x1", "{link}", "01890000-0000-7000-8000-000000000000",
			"{provider}", "nobody", "{client}", "nobody", "{webhook}", hook, "{delivery}", delivery, "{role}", role,
		)
		bodies := map[string]string{
			"give-role":                   `{"user":"` + string(c.dana) + `","role":"viewer"}`,
			"restrict":                    `{"user":"` + string(c.dana) + `","actions":["read"]}`,
			"map-group":                   `{"group":"night-shift","role":"viewer"}`,
			"switch-access":               `{"custom":true}`,
			"invite":                      `{"email":"new@fieldserv.example"}`,
			"resolve-conflict":            `{"decision":"keep"}`,
			"approve-connection-metadata": `{"fingerprint":"x"}`, "decline-connection-metadata": `{"fingerprint":"x"}`,
			"make-connection-key": `{"purpose":"signing"}`,
			"make-connection":     `{"id":"corp","protocol":"oidc","name":"Corporate","issuer":"https://idp.example","client_id":"x"}`,
			"change-connection":   `{"version":1,"name":"Mine","issuer":"https://evil.example","client_id":"x"}`,
			"claim-domain":        `{"domain":"fieldserv.example"}`,
			"set-sso":             `{"enforced":false}`,
			"set-provider":        `{"allowed_roles":["viewer"]}`, "propose-to-client": `{"allowed_roles":["viewer"]}`,
			"make-role": `{"name":"Days","permissions":["assets.read"]}`, "change-role": `{"version":1,"name":"Mine","permissions":["assets.read"]}`,
			"make-webhook": `{"url":"https://hooks.fieldserv.example/v"}`, "change-webhook": `{"url":"https://evil.example/v"}`,
			"make-setup-link": `{"purposes":["sso"],"contact":"it@fieldserv.example"}`,
			"make-sso-exception": `{"address":"olga@fieldserv.example","kind":"guest","reason":"a test","expires":"` +
				time.Now().AddDate(0, 1, 0).Format(time.RFC3339) + `"}`,
		}
		asked := 0
		for name, op := range c.operations() {
			method, path, _ := strings.Cut(name, " ")
			if !strings.Contains(path, "{organization}") {
				continue
			}
			asked++
			operation := op["operationId"].(string)
			body := bodies[operation]
			target := "/api/v1" + fill.Replace(path)
			if strings.ContainsAny(strings.ReplaceAll(target, "{organization}", ""), "{}") {
				t.Fatalf("%s: the test does not know all of its parameters", name)
			}
			if code, got, _ := c.call(method, strings.Replace(target, "{organization}", "nowhere", 1), body); code != 404 {
				t.Errorf("%s in an organization that does not exist: got %d %v", name, code, got)
			}
			code, got, _ := c.call(method, strings.Replace(target, "{organization}", "fieldserv", 1), body)
			switch {
			case operation == "invite" || operation == "make-connection" || operation == "claim-domain" || operation == "make-sso-exception" || operation == "make-setup-link" || operation == "make-webhook" || operation == "make-role":
				if code != 201 {
					t.Errorf("%s: it is nobody else's: got %d %v", name, code, got)
				}
			case operation == "give-role" || operation == "restrict":
				// The user is named in the body, so it is a wrong field rather than a missing page.
				if code != 422 {
					t.Errorf("%s of a foreign user: got %d %v", name, code, got)
				}
			case operation == "set-provider" || operation == "propose-to-client":
				if code != 422 {
					t.Errorf("%s with an organization that is not there: got %d %v", name, code, got)
				}
			case operation == "map-group":
				if code != 201 || got["bound"] != nil {
					t.Errorf("%s bound a foreign group: got %d %v", name, code, got)
				}
			case strings.Count(path, "{") > 1:
				if code != 404 {
					t.Errorf("%s of a foreign id: got %d %v", name, code, got)
				}
			default:
				raw, err := json.Marshal(got)
				if code != 200 || err != nil {
					t.Errorf("%s: got %d %v", name, code, got)
				}
				if operation == "get-organization" && got["seated"] != float64(1) {
					t.Errorf("%s counts users of another organization: %v", name, got)
				}
				for _, foreign := range []string{string(c.dana), grant, restriction, mapping, hook, delivery, role, "Nights", "Night shift", "london-1", "entra", "northwind"} {
					if operation != "list-organizations" && bytes.Contains(raw, []byte(`"`+foreign+`"`)) {
						t.Errorf("%s shows %s of another organization: %s", name, foreign, raw)
					}
				}
			}
		}
		if asked < 25 {
			t.Errorf("asked %d calls only", asked)
		}
		if d := cmp.Diff(c.want(200, "GET", northwind+"/users/"+string(c.dana)+"/access", ""), before); d != "" {
			t.Errorf("something changed in the organization that was named nowhere (-got +want):\n%s", d)
		}
		// Filters take foreign ids and find nothing.
		for _, query := range []string{"grants?user=" + string(c.dana), "grants?group=night-shift", "users?q=dana", "audit?user=" + string(c.dana), "users?resource=london-1"} {
			got := c.want(200, "GET", "/api/v1/organizations/fieldserv/"+query, "")
			if n := len(got["items"].([]any)); n != 0 {
				t.Errorf("%s: got %d items", query, n)
			}
		}
	})
}

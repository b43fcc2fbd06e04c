package console_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/go-chi/chi/v5"
	"golang.org/x/net/html"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/console"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// house is a console over a store, with two organizations in it.
type house struct {
	t      testing.TB
	db     *store.DB
	url    string
	users  map[string]id.User
	system audit.Actor
	pushes *standIn
}

// open serves the console over a store.
func open(t testing.TB, db *store.DB, more ...func(*console.Console)) *house {
	t.Helper()
	r := chi.NewRouter()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	db.Public = server.URL
	pushes := &standIn{}
	c := &console.Console{
		Provisioning: pushes,
		DB:           db, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), URL: server.URL, Reports: &page.Reports{},
		From: func(*http.Request) (string, string) { return "192.0.2.7", "request-1" },
	}
	for _, set := range more {
		set(c)
	}
	c.Mount(r)
	return &house{
		pushes: pushes,
		t:      t, db: db, url: server.URL, users: map[string]id.User{},
		system: audit.Actor{Kind: audit.ActorOperator, ID: "op", Name: "Setup", Door: audit.CLI},
	}
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// declare makes Northwind, with a tree, roles, a group and people, and Fieldserv beside it.
func (h *house) declare() {
	h.t.Helper()
	ctx := h.t.Context()
	h.must(h.db.System().Write(ctx, func(tx *store.SystemTx) error {
		for i, p := range []access.Permission{
			{ID: "assets.read", Name: "View assets"},
			{ID: "assets.update", Name: "Edit assets"},
			{ID: "assets.delete", Name: "Delete assets"},
			{ID: "billing.read", Name: "View billing"},
		} {
			tx.PutDeclaredPermission(store.DeclaredPermission{Permission: p, Position: int64(i)})
		}
		for i, r := range []access.Role{
			{ID: "viewer", Name: "Standard Viewer", Permissions: []id.Permission{"assets.read"}},
			{ID: "asset-editor", Name: "Asset Editor", Includes: []id.Role{"viewer"}, Permissions: []id.Permission{"assets.update", "assets.delete"}},
			{
				ID: "user-admin", Name: "User Admin", Includes: []id.Role{"asset-editor"},
				Permissions: []id.Permission{"users.read", "users.manage", "audit.read"},
				MayGrant:    []id.Role{"viewer", "asset-editor", "user-admin"},
			},
			{
				ID: "owner", Name: "Owner", Includes: []id.Role{"user-admin"}, Permissions: []id.Permission{"connections.manage"},
				MayGrant: []id.Role{"*"}, Protected: true,
			},
			{ID: "receptionist", Name: "Receptionist", MayGrant: []id.Role{"viewer", "asset-editor"}},
			{ID: "auditor", Name: "Auditor", Permissions: []id.Permission{"audit.read", "users.read"}},
			{ID: "billing-clerk", Name: "Billing Clerk", Permissions: []id.Permission{"billing.read"}},
		} {
			tx.PutDeclaredRole(store.DeclaredRole{Role: r, Position: int64(i)})
		}
		tx.PutDeclaredExclusive(store.DeclaredExclusive{Roles: []id.Role{"auditor", "billing-clerk"}})
		for _, o := range []store.DeclaredOrganization{
			{ID: "northwind", Name: "Northwind Energy", SeatLimit: 500, Settings: store.Settings{DefaultRoles: []access.RoleAt{{Role: "viewer"}}}},
			{ID: "fieldserv", Name: "Fieldserv", Settings: store.Settings{DefaultRoles: []access.RoleAt{{Role: "viewer"}}}},
		} {
			tx.PutDeclaredOrganization(o)
		}
		for _, r := range []access.Resource{
			{ID: "emea", Type: "portfolio", Name: "EMEA"},
			{ID: "london-1", Parent: "emea", Type: "site", Name: "London 1"},
			{ID: "london-1-roof", Parent: "london-1", Type: "building", Name: "Roof plant"},
			{ID: "berlin-1", Parent: "emea", Type: "site", Name: "Berlin 1", Position: 1},
			{ID: "americas", Type: "portfolio", Name: "Americas", Position: 1},
		} {
			tx.PutDeclaredResource(store.DeclaredResource{Organization: "northwind", Resource: r})
		}
		tx.PutDeclaredGroup(store.DeclaredGroup{Organization: "northwind", ID: "night-shift", Name: "Night shift"})
		tx.PutDeclaredGroupRole(store.DeclaredGroupRole{
			Organization: "northwind", ID: "gr-1", Group: "night-shift", Role: "asset-editor", Resource: "london-1",
		})
		tx.PutDeclaredGroupRole(store.DeclaredGroupRole{
			Organization: "northwind", ID: "gr-2", Group: "Platform Admins", Role: "user-admin", Resource: "northwind",
		})
		tx.PutDeclaredDirectory(store.DeclaredDirectory{
			Organization: "northwind", ID: "entra", Name: "Northwind Entra ID", Dialect: "entra", Key: directory.KeyExternalID,
		})
		tx.PutDeclaredToken(store.DeclaredToken{
			Organization: "northwind", Directory: "entra", ID: "main", Hash: "x.hash", Prefix: "vsc_1a2b", Expires: tx.Now().Add(20 * 24 * time.Hour),
		})
		tx.PutDeclaredConnection(connection.Connection{
			Organization: "northwind", ID: "corp", Name: "Northwind SSO", Protocol: connection.OIDC, Directory: "entra",
			Settings: connection.Settings{
				Issuer: "https://login.northwind.example", ClientID: "vestibule", ClientSecret: "sealed-secret-never-shown",
				Scopes: []string{"openid", "email"}, Domains: []string{"northwind.example"},
				Match: connection.Match{Claim: "oid", Attribute: connection.ExternalID}, Provisioning: connection.JustInTime,
			},
		})
		tx.SaveApplication(ctx, application.Application{
			ID: "energy-dashboard", Name: "Energy Dashboard", Protocol: application.OIDC, SecretHash: "x.hash",
			RedirectURIs: []string{"http://127.0.0.1:9401/callback"}, GrantTypes: []string{"authorization_code", "refresh_token"},
			Claims: []string{"roles", "grants"}, Organizations: []id.Organization{"northwind"},
		})
		tx.Bump(ctx, "configuration")
		return nil
	}))
	h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error { return tx.BindAllGroupRoles(ctx, h.system) }))
	for _, name := range []string{"Olivia Owner", "Adam Admin", "Sven Site", "Dana Dubois", "Niko New"} {
		h.user("northwind", name)
	}
	h.user("fieldserv", "Femi Field")
	h.give("Olivia Owner", "owner", "northwind")
	h.give("Adam Admin", "user-admin", "northwind")
	h.give("Sven Site", "user-admin", "emea")
	h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
		return tx.AddMember(ctx, "night-shift", string(h.users["Dana Dubois"]), directory.UserMember, h.system)
	}))
}

// user makes a person who has signed in once: such a person waits in the inbox.
func (h *house) user(org id.Organization, name string) id.User {
	h.t.Helper()
	given, family, _ := strings.Cut(name, " ")
	email := strings.ToLower(given) + "@" + string(org) + ".example"
	h.must(h.db.Write(h.t.Context(), org, func(tx *store.Tx) error {
		u, err := tx.CreateJustInTime(h.t.Context(), store.NewUser{
			Email: email, EmailVerified: true, DisplayName: name, GivenName: given, FamilyName: family,
		}, h.system)
		if err != nil {
			return err
		}
		h.users[name] = u.ID
		tx.AttachIdentity(h.t.Context(), "corp", u.ID, connection.Person{
			Issuer: "https://login.northwind.example", Subject: "sub-" + given, Match: "oid-" + given,
		})
		return tx.StartSession(h.t.Context(), session.Start{
			ID: id.New[id.Session](), Hash: seal.Fingerprint(seal.Handle()), User: u.ID, Connection: "corp",
			Expires: tx.Now().Add(12 * time.Hour), Idle: 2 * time.Hour, IP: "198.51.100.23",
			UserAgent: "Mozilla/5.0 (Windows NT 10.0) Chrome/156.0", AuthTime: tx.Now(),
		})
	}))
	return h.users[name]
}

func (h *house) give(name string, role id.Role, at id.Resource) store.Grant {
	h.t.Helper()
	var g store.Grant
	h.must(h.db.Write(h.t.Context(), "northwind", func(tx *store.Tx) (err error) {
		g, err = tx.Give(h.t.Context(), h.system, store.Grant{User: h.users[name], Role: role, Resource: at})
		return err
	}))
	return g
}

// browser is somebody at the console.
type browser struct {
	h      *house
	client *http.Client
}

func (h *house) browser() *browser {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	h.must(err)
	return &browser{h, &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// as is a browser in which somebody has signed in through their organization.
func (h *house) as(org id.Organization, name string) *browser {
	h.t.Helper()
	b, handle := h.browser(), seal.Handle()
	h.must(h.db.Write(h.t.Context(), org, func(tx *store.Tx) error {
		return tx.StartSession(h.t.Context(), session.Start{
			ID: id.New[id.Session](), Hash: seal.Fingerprint(handle), User: h.users[name], Connection: "corp",
			Expires: tx.Now().Add(12 * time.Hour), Idle: 2 * time.Hour, IP: "192.0.2.7", UserAgent: "test", AuthTime: tx.Now(),
		})
	}))
	at, err := url.Parse(h.url)
	h.must(err)
	b.client.Jar.SetCookies(at, []*http.Cookie{session.For(h.url).Session(org, handle, time.Hour)})
	return b
}

const operatorPassword = "three herons left early"

// operator is a browser in which the operator has signed in, by the one-time link.
func (h *house) operator() *browser {
	h.t.Helper()
	b := h.browser()
	got := b.post("/setup", "token", h.link(), "name", "Opal Operator", "email", "opal@example.com", "password", operatorPassword)
	if got.status != http.StatusSeeOther {
		h.t.Fatalf("setup answers %d: %s", got.status, got.text("main"))
	}
	return b
}

func (h *house) link() (token string) {
	h.t.Helper()
	h.must(h.db.System().Write(h.t.Context(), func(tx *store.SystemTx) (err error) {
		token, err = tx.CreateOperatorLink(h.t.Context())
		return err
	}))
	return token
}

// answer is a page as it came.
type answer struct {
	*goquery.Document
	h        *house
	status   int
	location string
	header   http.Header
	body     string
}

// text is what a person reads in what a selector finds, with single spaces.
func (a answer) text(selector string) string { return read(a.Find(selector)) }

// read gives the words of a selection; neighboring elements are apart on the page, so they are here.
func read(s *goquery.Selection) string {
	var words []string
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode {
			words = append(words, strings.Fields(n.Data)...)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	for _, n := range s.Nodes {
		walk(n)
	}
	return strings.Join(words, " ")
}

func (b *browser) do(r *http.Request) answer {
	b.h.t.Helper()
	resp, err := b.client.Do(r)
	b.h.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	b.h.must(err)
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(string(body)))
	b.h.must(err)
	return answer{doc, b.h, resp.StatusCode, resp.Header.Get("Location"), resp.Header, string(body)}
}

func (b *browser) get(path string) answer {
	b.h.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, b.h.url+path, nil)
	b.h.must(err)
	return b.do(r)
}

// post sends a form of pairs, as a page of the console would.
func (b *browser) post(path string, pairs ...string) answer {
	b.h.t.Helper()
	return b.do(b.form(path, pairs...))
}

func (b *browser) form(path string, pairs ...string) *http.Request {
	b.h.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, b.h.url+path, strings.NewReader(form.Encode()))
	b.h.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// page gets a page that must be there.
func (b *browser) page(path string) answer {
	b.h.t.Helper()
	a := b.get(path)
	if a.status != http.StatusOK {
		b.h.t.Fatalf("%s answers %d (to %s): %s", path, a.status, a.location, a.text("main"))
	}
	return a
}

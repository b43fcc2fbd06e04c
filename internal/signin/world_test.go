package signin_test

import (
	"context"
	"encoding/json"
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
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

const (
	northwind    = id.Organization("northwind")
	southwind    = id.Organization("southwind")
	clientSecret = "s3cret & more"
)

// world is a node with two organizations, each with a provider of its own, and one browser.
type world struct {
	t       *testing.T
	ctx     context.Context
	clock   *storetest.Clock
	db      *store.DB
	idp     *idp // northwind's
	other   *idp // southwind's
	app     *httptest.Server
	browser *http.Client
	service *signin.SignIn
	ip      string // where the browser is
}

type mux struct{ *http.ServeMux }

func (m mux) Method(method, pattern string, h http.Handler) { m.Handle(method+" "+pattern, h) }

// each runs a test on a world on each store.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) { test(t, newWorld(t, kind)) })
}

func newWorld(t *testing.T, kind storetest.Kind) *world {
	t.Helper()
	clock := storetest.NewClock()
	w := &world{t: t, ctx: context.Background(), clock: clock, ip: "192.0.2.1", db: storetest.Open(t, kind, storetest.WithClock(clock))}
	w.idp, w.other = newIDP(t, clock.Now), newIDP(t, clock.Now)
	m := mux{http.NewServeMux()}
	w.app = httptest.NewServer(m)
	t.Cleanup(func() {
		w.app.CloseClientConnections()
		w.app.Close()
	})
	w.service = &signin.SignIn{
		DB: w.db, URL: w.app.URL, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		// The client as a whole waits for long: what ends earlier was ended by the sign-in's own limits.
		Guard: netguard.New(netguard.Policy{AllowPrivate: true, Timeout: time.Minute}),
		From:  func(*http.Request) (string, string) { return w.ip, "request-1" },
	}
	w.service.Mount(m)
	w.browser = newBrowser()
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredPermission(store.DeclaredPermission{Permission: access.Permission{ID: "assets.read", Name: "View assets"}})
		for i, r := range []access.Role{
			{ID: "viewer", Name: "Viewer", Permissions: []id.Permission{"assets.read"}},
			{ID: "owner", Name: "Owner", Includes: []id.Role{"viewer"}, MayGrant: []id.Role{"*"}, Protected: true},
		} {
			tx.PutDeclaredRole(store.DeclaredRole{Role: r, Position: int64(i)})
		}
		for _, org := range []struct {
			id   id.Organization
			name string
			idp  *idp
		}{{northwind, "Northwind Energy", w.idp}, {southwind, "Southwind", w.other}} {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: org.id, Name: org.name, Settings: store.Settings{
				DefaultRoles: []access.RoleAt{{Role: "viewer"}}, AllowedDomains: []string{string(org.id) + ".example"},
			}})
			tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: org.id, ID: "entra", Name: "Entra", Dialect: "entra", Key: "externalId"})
			tx.PutDeclaredConnection(w.connection(org.id, "corp", org.idp.URL, nil))
			tx.PutDeclaredDomain(store.DeclaredDomain{Domain: string(org.id) + ".example", Organization: org.id, Connection: "corp"})
		}
		return nil
	}))
	return w
}

func newBrowser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (w *world) connection(org id.Organization, name id.Connection, issuer string, change func(*connection.Settings)) connection.Connection {
	c := connection.Connection{
		Organization: org, ID: name, Name: "Corporate sign-in", Protocol: connection.OIDC, Directory: "entra",
		Settings: connection.Settings{
			Issuer: issuer, ClientID: "vestibule", Scopes: []string{"openid", "email"},
			ClientSecret: w.db.Keys.Seal(connection.SecretPlace(org, name), []byte(clientSecret)),
			Match:        connection.Match{Claim: "oid", Attribute: connection.ExternalID},
			Provisioning: connection.JustInTime, GroupsClaim: "groups",
		},
	}
	if change != nil {
		change(&c.Settings)
	}
	return c
}

// configure changes northwind's connection.
func (w *world) configure(change func(*connection.Settings)) {
	w.t.Helper()
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
		tx.PutDeclaredConnection(w.connection(northwind, "corp", w.idp.URL, change))
		return nil
	}))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.t.Helper()
	w.must(w.db.Write(w.ctx, northwind, fn))
}

var byDirectory = audit.Actor{Kind: audit.ActorDirectory, ID: "entra", Name: "Entra", Organization: northwind, Door: audit.SCIM}

func (w *world) pusher() store.Pusher {
	d, _ := scim.DialectNamed("entra")
	return store.Pusher{
		Directory: directory.Directory{ID: "entra", Name: "Entra", Dialect: "entra", Key: directory.KeyExternalID},
		Dialect:   d, Actor: byDirectory, Base: "https://id.example/scim", User: scim.UserType(), Group: scim.GroupType(),
	}
}

func (w *world) attributes(externalID, userName, email string, active bool) scim.Attributes {
	a := map[string]any{
		"schemas": []any{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": userName, "active": active,
		"displayName": "Pushed " + userName, "emails": []any{map[string]any{"value": email, "type": "work", "primary": true}},
	}
	if externalID != "" {
		a["externalId"] = externalID
	}
	return a
}

// push makes a directory record.
func (w *world) push(externalID, userName, email string) id.User {
	w.t.Helper()
	var user id.User
	w.write(func(tx *store.Tx) error {
		by := w.pusher()
		result, err := by.User.Create(w.attributes(externalID, userName, email, true), by.Dialect)
		if err != nil {
			return err
		}
		made, refusal, err := tx.Push(by).CreateUser(w.ctx, result, scim.Want{})
		if err == nil {
			err = refusal
		}
		if err == nil {
			user = id.User(made.ID)
		}
		return err
	})
	return user
}

// deactivate is what a directory sends for a leaver.
func (w *world) deactivate(user id.User, externalID, userName, email string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		by := w.pusher()
		_, err := tx.Push(by).ModifyUser(w.ctx, string(user), nil, func(stored scim.Attributes) (scim.Result, error) {
			return by.User.Replace(stored, w.attributes(externalID, userName, email, false), by.Dialect)
		}, scim.Want{})
		return err
	})
}

// answer is what the browser got.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
	doc    *goquery.Document
}

func (a answer) code() string  { return a.doc.Find("#code").Text() }
func (a answer) title() string { return a.doc.Find("h1").Text() }

func (w *world) do(browser *http.Client, method, target string, form url.Values) answer {
	w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	if strings.HasPrefix(target, "/") {
		target = w.app.URL + target
	}
	r, err := http.NewRequestWithContext(w.ctx, method, target, body)
	w.must(err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := browser.Do(r)
	w.must(err)
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	w.must(err)
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(string(raw)))
	w.must(err)
	return answer{t: w.t, status: response.StatusCode, header: response.Header, body: string(raw), doc: doc}
}

func (w *world) get(target string) answer {
	w.t.Helper()
	return w.do(w.browser, http.MethodGet, target, nil)
}

// away begins at an address of ours and gives the one at the provider that the browser is sent to.
func (w *world) away(target string) string {
	w.t.Helper()
	a := w.get(target)
	if to := a.header.Get("Location"); strings.HasPrefix(to, "/signin?attempt=") {
		a = w.get(to)
	}
	to := a.header.Get("Location")
	if a.status != http.StatusSeeOther || !strings.HasPrefix(to, "http") {
		w.t.Fatalf("not sent to a provider: %d %s %s", a.status, to, a.doc.Find("main").Text())
	}
	return to
}

// approve lets the person sign in at the provider and gives the address of ours it sends the browser back to.
func (w *world) approve(target string) string {
	w.t.Helper()
	return w.get(target).header.Get("Location")
}

const toConsole = "/signin?organization=northwind&return_to=/o/northwind/me"

// signIn is a whole sign-in for the console.
func (w *world) signIn() answer {
	w.t.Helper()
	return w.get(w.approve(w.away(toConsole)))
}

// mustSignIn is signIn that has to end at the return target.
func (w *world) mustSignIn() session.Session {
	w.t.Helper()
	a := w.signIn()
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/o/northwind/me" {
		w.t.Fatalf("not signed in: %d %s %s", a.status, a.header.Get("Location"), a.doc.Find("main").Text())
	}
	s, err := w.session(northwind)
	w.must(err)
	return s
}

// session is what the browser's cookie is worth now.
func (w *world) session(org id.Organization) (session.Session, error) {
	u, err := url.Parse(w.app.URL)
	w.must(err)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range w.browser.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	return w.db.Session(w.ctx, org, session.For(w.app.URL).Hash(r, org))
}

func (w *world) cookie(name string) string {
	u, err := url.Parse(w.app.URL)
	w.must(err)
	for _, c := range w.browser.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// application begins an attempt as issuing does, with the hints of an authorize request, and gives its sign-in address.
func (w *world) application(request string) string {
	w.t.Helper()
	if w.cookie("vestibule_b") == "" {
		w.get("/signin?return_to=/")
	}
	a := session.Attempt{
		ID: id.New[id.Attempt](), Browser: seal.Fingerprint(w.cookie("vestibule_b")), Purpose: session.ForApplication,
		Request: json.RawMessage(request),
	}
	w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error { return tx.CreateAttempt(w.ctx, a) }))
	return "/signin?attempt=" + string(a.ID)
}

// state is all that a refused sign-in must leave as it was. Logins counts every session ever made.
type state struct {
	Users      []directory.User
	Identities map[id.User][]store.UserIdentity
	Groups     []directory.Group
}

func (w *world) state() (s state) {
	w.t.Helper()
	s.Identities = map[id.User][]store.UserIdentity{}
	w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
		if s.Users, _, err = tx.ListUsers(w.ctx, store.UserFilter{Deleted: true, Limit: 500}); err != nil {
			return err
		}
		for _, u := range s.Users {
			if s.Identities[u.ID], err = tx.UserIdentities(w.ctx, u.ID); err != nil {
				return err
			}
		}
		s.Groups, err = tx.Groups(w.ctx)
		return err
	}))
	return s
}

func (w *world) events() (events []audit.Event) {
	w.t.Helper()
	w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
		events, err = tx.Events(w.ctx, store.AuditFilter{Limit: 1000})
		return err
	}))
	return events
}

// rows is everything in the store that a refused sign-in has to leave as it was: all but the log, the attempt itself with its
// challenges, the counters, and what was read of a provider and is kept as it was last good.
func (w *world) rows(except ...string) map[string][]string {
	w.t.Helper()
	return storetest.Rows(w.t, w.db, append(except, "audit", "attempts", "challenges", "counters", "connection_documents")...)
}

// refuses runs a sign-in that has to be refused with a code: the page says it, one event has it and says why, and no other row of
// any table is written. An address that somebody holds leaves what they may join by, for whoever shows that they hold it. Aside are
// tables that the test itself writes meanwhile.
func (w *world) refuses(code connection.Code, attempt func() answer, aside ...string) audit.Event {
	w.t.Helper()
	if code == connection.CodeEmailTaken {
		aside = append(aside, "pending_identities")
	}
	before, known := w.rows(aside...), len(w.events())
	a := attempt()
	if got := a.code(); got != string(code) {
		w.t.Fatalf("the page's code: got %q (%d %s), want %q; %+v", got, a.status, a.title(), code, w.events()[0])
	}
	if a.status < 400 || a.title() == "" || a.header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("the page: %d %q %v", a.status, a.title(), a.header)
	}
	for _, c := range a.header.Values("Set-Cookie") {
		if strings.Contains(c, "vestibule_s_") {
			w.t.Errorf("a session cookie: %s", c)
		}
	}
	if diff := cmp.Diff(before, w.rows(aside...)); diff != "" {
		w.t.Errorf("rows changed:\n%s", diff)
	}
	events := w.events()
	if len(events) != known+1 {
		w.t.Fatalf("%d events were written, want 1", len(events)-known)
	}
	e := events[0]
	if e.Action != "sign-in.refused" || e.Outcome != audit.Refused || e.Code != string(code) || e.Actor.IP != "192.0.2.1" || e.Actor.Request != "request-1" {
		w.t.Errorf("the event: %+v", e)
	}
	return e
}

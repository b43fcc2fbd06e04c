package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// setupLink makes a link behind the pages and gives its address on this host.
func (h *house) setupLink(org id.Organization, n store.NewSetupLink) (l store.SetupLink, open string) {
	h.t.Helper()
	if n.Contact == "" {
		n.Contact = "it@customer.example"
	}
	h.must(h.db.Write(h.t.Context(), org, func(tx *store.Tx) (err error) {
		l, open, err = tx.MakeSetupLink(h.t.Context(), h.system, n)
		return err
	}))
	return l, open
}

func (h *house) readLink(org id.Organization, link id.SetupLink) (l store.SetupLink) {
	h.t.Helper()
	h.must(h.db.Read(h.t.Context(), org, func(tx *store.Tx) (err error) {
		l, err = tx.SetupLink(h.t.Context(), link)
		return err
	}))
	return l
}

func everyPurpose(renews id.Connection) store.NewSetupLink {
	return store.NewSetupLink{
		Purposes: connection.SetupPurposes, Directory: "entra", Renews: renews,
	}
}

func (h *house) samlConnection(metadata string) {
	h.t.Helper()
	h.must(h.db.System().Write(h.t.Context(), func(tx *store.SystemTx) error {
		tx.PutDeclaredConnection(connection.Connection{
			Organization: "northwind", ID: "okta", Name: "Northwind Okta", Protocol: connection.SAML,
			Settings: connection.Settings{Metadata: metadata},
		})
		return nil
	}))
}

func TestSetupLink_AnAdministratorMakesOneSeesItOnceAndRevokesIt(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		h := open(t, storetest.Open(t, kind))
		h.declare()
		b := h.as("northwind", "Olivia Owner")
		at := "/o/northwind/setup-links"
		if got := b.post(at, "contact", "nobody", "purpose", "sso"); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text(".field-error"), "email address") {
			t.Errorf("without an address: %d %q", got.status, got.text("main"))
		}
		made := b.post(at, "contact", "it@customer.example", "purpose", "sso", "purpose", "scim", "directory", "entra")
		address := made.text("[aria-labelledby=link] code")
		if made.status != http.StatusOK || !strings.HasPrefix(address, h.url+"/setup-link/northwind/") {
			t.Fatalf("making one answers %d: %s", made.status, made.text("main"))
		}
		token := address[strings.LastIndex(address, "/")+1:]
		list := b.page(at)
		if got := list.text("main"); !strings.Contains(got, "it@customer.example") || !strings.Contains(got, "Not opened yet") {
			t.Errorf("the list says %q", got)
		}
		if strings.Contains(list.body, token) {
			t.Error("the list shows the link again")
		}
		contact := h.browser()
		if got := contact.get(strings.TrimPrefix(address, h.url)); got.status != http.StatusSeeOther || strings.Contains(got.location, token) {
			t.Fatalf("opening answers %d to %q", got.status, got.location)
		}
		link := strings.Split(strings.TrimPrefix(address, h.url), "/open/")[0]
		if got := contact.page(link).text("main"); !strings.Contains(got, "Set up provisioning (SCIM) and single sign-on for Northwind Energy") {
			t.Errorf("the first page says %q", got)
		}
		of := link[strings.LastIndex(link, "/")+1:]
		if got := b.post(at+"/"+of+"/revoke", "reason", "left the company"); got.status != http.StatusSeeOther {
			t.Fatalf("revoking answers %d", got.status)
		}
		for _, path := range []string{"", "/sso", "/scim", "/open/" + token} {
			if got := contact.get(link + path); got.status != http.StatusGone || !strings.Contains(got.text("main"), "taken back") {
				t.Errorf("revoked, %q answers %d: %s", path, got.status, got.text("main"))
			}
		}
		if got := strings.Join(h.actions(of), " "); got != "setup-link.revoked setup-link.opened setup-link.created" {
			t.Errorf("the log holds %q", got)
		}
		for _, other := range []*browser{h.as("northwind", "Adam Admin"), h.as("fieldserv", "Femi Field"), contact, h.browser()} {
			if got := other.get(at); got.status == http.StatusOK {
				t.Error("the list is shown to whom it is not for")
			}
			if got := other.post(at, "contact", "x@y.example", "purpose", "sso"); strings.Contains(got.body, "/open/") {
				t.Error("a link is made by whom it is not for")
			}
		}
	})
}

// A link for single sign-on alone takes the organization's proven domains along, those that were chosen and no other: without one, a
// SAML provider's people cannot be made at their first sign-in.
func TestSetupLink_TakesProvenDomainsAlong(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		h := open(t, storetest.Open(t, kind))
		h.declare()
		h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredDomain(store.DeclaredDomain{Domain: "northwind.example", Organization: "northwind", Connection: "corp"})
			tx.PutDeclaredDomain(store.DeclaredDomain{Domain: "fieldserv.example", Organization: "fieldserv", Connection: "corp"})
			return nil
		}))
		b := h.as("northwind", "Olivia Owner")
		at := "/o/northwind/setup-links"
		if form := b.page(at + "/new"); form.Find(`input[name=domains][value="northwind.example"][checked]`).Length() != 1 {
			t.Errorf("the form offers no proven domain: %s", form.text("main"))
		}
		for _, foreign := range []string{"fieldserv.example", "elsewhere.example"} {
			if got := b.post(at, "contact", "it@customer.example", "purpose", "sso", "domains", foreign); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("main"), "not a proven domain") {
				t.Errorf("%s answers %d: %s", foreign, got.status, got.text("main"))
			}
		}
		l, open := h.setupLink("northwind", store.NewSetupLink{Purposes: []connection.SetupPurpose{connection.SetUpSSO}, Domains: []string{"northwind.example"}})
		contact, base := h.browser(), store.SetupPath("northwind", l.ID)
		contact.get(open)
		if form := contact.page(base + "/sso/new?provider=keycloak&protocol=saml"); form.Find(`input[name=domains][value="northwind.example"][checked]`).Length() != 1 {
			t.Errorf("the contact's form: %s", form.text("main"))
		}
	})
}

// Every page and every form of a link is asked with links that are not for it.
func TestSetupLink_OpensWhatItIsForAndNothingElse(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		h.declare()
		h.samlConnection("https://idp.example/metadata")
		type call struct {
			purpose connection.SetupPurpose
			method  string
			path    string
		}
		calls := []call{
			{connection.SetUpDomain, "GET", "/domain"},
			{connection.SetUpDomain, "POST", "/domain"},
			{connection.SetUpDomain, "POST", "/domain/northwind.example/check"},
			{connection.SetUpSCIM, "GET", "/scim"},
			{connection.SetUpSCIM, "POST", "/scim/token"},
			{connection.SetUpSSO, "GET", "/sso"},
			{connection.SetUpSSO, "GET", "/sso/new?provider=okta&protocol=oidc"},
			{connection.SetUpSSO, "GET", "/sso/edit"},
			{connection.SetUpSSO, "POST", "/sso"},
			{connection.SetUpSSO, "POST", "/sso/drop"},
			{connection.SetUpSSO, "POST", "/sso/open"},
			{connection.SetUpSSO, "POST", "/sso/test"},
			{connection.SetUpSSO, "GET", "/sso/tests/x"},
			{connection.SetUpCertificate, "GET", "/certificate"},
			{connection.SetUpCertificate, "POST", "/certificate"},
			{connection.SetUpCertificate, "POST", "/certificate/ask"},
		}
		ask := func(b *browser, c call, base string) answer {
			if c.method == "POST" {
				return b.post(base+c.path, "domain", "evil.example", "provider", "okta", "protocol", "oidc")
			}
			return b.get(base + c.path)
		}
		enter := func(l store.SetupLink, open string) *browser {
			b := h.browser()
			if got := b.get(open); got.status != http.StatusSeeOther {
				t.Fatalf("opening answers %d: %s", got.status, got.text("main"))
			}
			return b
		}
		for _, p := range connection.SetupPurposes {
			n := everyPurpose("okta")
			n.Purposes = []connection.SetupPurpose{p}
			l, open := h.setupLink("northwind", n)
			b, base := enter(l, open), store.SetupPath("northwind", l.ID)
			for _, c := range calls {
				if c.purpose == p {
					continue
				}
				if got := ask(b, c, base); got.status != http.StatusForbidden || !strings.Contains(got.body, "setup-link-scope") {
					t.Errorf("a link for %s: %s %s answers %d", p, c.method, c.path, got.status)
				}
			}
		}

		mine, opens := h.setupLink("northwind", everyPurpose("okta"))
		theirs, opensTheirs := h.setupLink("fieldserv", store.NewSetupLink{Purposes: []connection.SetupPurpose{connection.SetUpSSO, connection.SetUpDomain}})
		b, other := enter(mine, opens), enter(theirs, opensTheirs)
		base := store.SetupPath("northwind", mine.ID)
		calls = append(calls, call{"", "GET", ""}, call{"", "POST", "/finish"})
		refused := func(what string, b *browser, base string, status int, code string) {
			t.Helper()
			for _, c := range calls {
				if got := ask(b, c, base); got.status != status || !strings.Contains(got.body, code) {
					t.Errorf("%s: %s %s answers %d: %s", what, c.method, c.path, got.status, got.text("main"))
				}
			}
		}
		refused("no token", h.browser(), base, http.StatusNotFound, "setup-link-unknown")
		refused("another organization's link", other, base, http.StatusNotFound, "setup-link-unknown")
		refused("its own link under another organization", other, store.SetupPath("northwind", theirs.ID), http.StatusNotFound, "setup-link-unknown")
		token := opens[strings.LastIndex(opens, "/")+1:]
		for _, path := range []string{
			store.SetupPath("fieldserv", theirs.ID) + "/open/" + token, store.SetupPath("fieldserv", mine.ID) + "/open/" + token,
			base + "/open/" + token[:42] + "!", base + "/open/x", "/setup-link/%20/" + string(mine.ID) + "/open/" + token,
		} {
			if got := h.browser().get(path); got.status != http.StatusNotFound || len(got.header.Values("Set-Cookie")) > 0 {
				t.Errorf("%s answers %d", path, got.status)
			}
		}

		// Nothing of the console is open to it.
		for _, path := range []string{"", "/users", "/connections", "/connections/corp", "/directories/entra/requests", "/audit"} {
			if got := b.get("/o/northwind" + path); got.status == http.StatusOK {
				t.Errorf("a setup link opens /o/northwind%s", path)
			}
		}

		// A form of another site (CSRF).
		for _, path := range []string{"/scim/token", "/sso", "/domain", "/finish", "/certificate"} {
			r := b.form(base + path)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			if got := b.do(r); got.status != http.StatusForbidden {
				t.Errorf("a form of another site to %s answers %d", path, got.status)
			}
		}

		clock.Advance(connection.SetupTerm)
		refused("expired", b, base, http.StatusGone, "setup-link-expired")
		if got := len(h.directory().Tokens); got != 1 {
			t.Errorf("%d tokens, want the declared one alone", got)
		}
		h.must(h.db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			all, err := tx.ManagedConnections(t.Context())
			if len(all) != 2 {
				t.Errorf("%d connections, want the declared ones alone", len(all))
			}
			return err
		}))
	})
}

func TestSetupLink_ConnectsAProviderAndReachesNothingElse(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		h := open(t, storetest.Open(t, kind))
		h.declare()
		ctx := t.Context()
		n := store.NewSetupLink{Purposes: []connection.SetupPurpose{connection.SetUpSSO, connection.SetUpDomain}, Opens: true}
		l, opens := h.setupLink("northwind", n)
		b, base := h.browser(), store.SetupPath("northwind", l.ID)
		b.get(opens)
		if got := b.page(base + "/sso").text("main"); !strings.Contains(got, "Okta") || strings.Contains(got, "Northwind SSO") {
			t.Errorf("the choice says %q", got)
		}
		form := b.page(base + "/sso/new?provider=okta&protocol=oidc")
		made := string(store.SetupConnectionID(&l, "okta", connection.OIDC))
		if got := form.text("main"); !strings.Contains(got, "/sso/northwind/"+made+"/callback") || !strings.Contains(got, "Sign-in redirect URIs") {
			t.Errorf("the form says %q", got)
		}
		for _, foreign := range []string{"Northwind Entra ID", "northwind.example"} {
			if strings.Contains(form.text("form"), foreign) {
				t.Errorf("the form offers %q, which is the organization's", foreign)
			}
		}
		fields := func(more ...string) []string {
			return append([]string{
				"provider", "okta", "protocol", "oidc", "name", "Customer Okta", "issuer", "https://customer.okta.com", "client_id", "abc",
				"client_secret", "hush-hush-secret", "version", "1",
			}, more...)
		}
		for what, more := range map[string][]string{"directory": {"directory", "entra"}, "domain": {"domains", "northwind.example"}} {
			if got := b.post(base+"/sso", fields(more...)...); got.status != http.StatusForbidden || !strings.Contains(got.body, "setup-link-scope") {
				t.Errorf("a %s that is not the link's: %d", what, got.status)
			}
		}
		nonsense := append([]string{"issuer", "nonsense"}, fields()...)
		if got := b.post(base+"/sso", nonsense...); got.status != http.StatusUnprocessableEntity || strings.Contains(got.body, "hush-hush") {
			t.Errorf("nonsense answers %d, with the secret or without the form", got.status)
		}
		if got := b.post(base+"/sso", fields()...); got.status != http.StatusSeeOther {
			t.Fatalf("saving answers %d: %s", got.status, got.text("main"))
		}
		for _, path := range []string{"", "/sso", "/sso/edit"} {
			if strings.Contains(b.page(base+path).body, "hush-hush") {
				t.Errorf("%q shows the secret", path)
			}
		}
		var c store.ManagedConnection
		h.must(h.db.Read(ctx, "northwind", func(tx *store.Tx) (err error) {
			c, err = tx.ManagedConnection(ctx, id.Connection(made))
			return err
		}))
		if !c.Settings.Draft || c.Settings.ClientSecret == "" || strings.Contains(c.Settings.ClientSecret, "hush") {
			t.Errorf("kept is %+v", c.Settings)
		}
		if got := b.get(base + "/sso/new?provider=okta&protocol=saml"); got.status != http.StatusConflict {
			t.Errorf("a second one answers %d", got.status)
		}
		if got := b.post(base + "/sso/open"); got.status != http.StatusConflict {
			t.Errorf("opening what nobody tested answers %d: %s", got.status, got.text("main"))
		}

		// The test begins at the link's connection and is read by this link alone.
		began := b.post(base + "/sso/test")
		if began.status != http.StatusSeeOther || !strings.HasPrefix(began.location, base+"/sso/tests/") {
			t.Fatalf("the test answers %d to %q", began.status, began.location)
		}
		if got := b.page(began.location); !strings.Contains(got.text("main"), "Sign in at Okta as one of the people would") {
			t.Errorf("the test says %q", got.text("main"))
		}
		another, opensAnother := h.setupLink("northwind", n)
		stranger := h.browser()
		stranger.get(opensAnother)
		attempt := began.location[strings.LastIndex(began.location, "/")+1:]
		if got := stranger.get(store.SetupPath("northwind", another.ID) + "/sso/tests/" + attempt); got.status == http.StatusOK {
			t.Error("another link reads the test")
		}
		user := h.users["Dana Dubois"]
		report := &connection.Report{
			Protocol: connection.OIDC, Checks: []connection.Check{{Name: connection.CheckRecord, Outcome: connection.Passed, Said: "Dana Dubois would be signed in."}},
			Finding: &connection.Finding{User: user}, Why: []string{"It is Dana Dubois."}, User: "Dana Dubois",
			Coverage: &connection.Coverage{Name: "Northwind Entra ID", Records: 321},
			Claims:   []connection.Claim{{From: "ID token", Name: "sub", Values: []string{"00u-sub"}}},
		}
		h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
			return tx.FinishTest(ctx, id.Attempt(attempt), report, user, h.system)
		}))
		seen := b.page(began.location).text("main")
		if !strings.Contains(seen, "It works") || !strings.Contains(seen, "00u-sub") {
			t.Errorf("the report says %q", seen)
		}
		for _, hidden := range []string{"Dana", "321", "Northwind Entra ID"} {
			if strings.Contains(seen, hidden) {
				t.Errorf("the report shows %q of the organization", hidden)
			}
		}
		if got := b.post(base + "/sso/open"); got.status != http.StatusSeeOther {
			t.Fatalf("opening answers %d: %s", got.status, got.text("main"))
		}
		// Open, it is the administrators' and no longer the link's.
		for _, path := range []string{"/sso", "/sso/drop"} {
			if got := b.post(base+path, fields("name", "Mine now")...); got.status != http.StatusConflict {
				t.Errorf("changing the open connection by %s answers %d", path, got.status)
			}
		}
		if got := strings.Join(h.actions(made), " "); got != "connection.opened connection.tested connection.test-started connection.created" {
			t.Errorf("the log holds %q", got)
		}
		h.must(h.db.Read(ctx, "northwind", func(tx *store.Tx) error {
			events, err := tx.Events(ctx, store.AuditFilter{Target: made})
			for _, e := range events {
				if e.Action == "connection.opened" && (e.Actor.Kind != audit.ActorSetupLink || e.Actor.ID != string(l.ID) || e.Actor.Name != "it@customer.example by setup link") {
					t.Errorf("it was opened by %+v", e.Actor)
				}
			}
			return err
		}))

		if got := b.post(base+"/domain", "domain", "customer.example"); got.status != http.StatusSeeOther {
			t.Fatalf("claiming a domain answers %d: %s", got.status, got.text("main"))
		}
		if got := b.page(base + "/domain").text("main"); !strings.Contains(got, connection.ChallengeName("customer.example")) {
			t.Errorf("the domain's page says %q", got)
		}
		if got := b.post(base + "/domain/northwind.example/check"); got.status != http.StatusForbidden {
			t.Errorf("looking for a domain that is not the link's answers %d", got.status)
		}
		if got := b.post(base + "/finish"); got.status != http.StatusOK || !strings.Contains(got.text("main"), "used up") {
			t.Errorf("finishing answers %d", got.status)
		}
		if got := b.get(base); got.status != http.StatusGone || !strings.Contains(got.body, "setup-link-finished") {
			t.Errorf("used up, it answers %d", got.status)
		}
	})
}

func TestSetupLink_AConnectionStaysADraftWhereTheLinkMayNotOpen(t *testing.T) {
	t.Parallel()
	h := declared(t)
	l, opens := h.setupLink("northwind", store.NewSetupLink{Purposes: []connection.SetupPurpose{connection.SetUpSSO}})
	b, base := h.browser(), store.SetupPath("northwind", l.ID)
	b.get(opens)
	b.post(base+"/sso", "provider", "generic", "protocol", "oidc", "name", "Own", "issuer", "https://idp.example", "client_id", "x")
	if got := b.post(base + "/sso/open"); got.status != http.StatusForbidden {
		t.Errorf("opening answers %d", got.status)
	}
	if got := b.post(base + "/sso/drop"); got.status != http.StatusSeeOther {
		t.Errorf("dropping answers %d: %s", got.status, got.text("main"))
	}
	if got := b.page(base + "/sso").text("main"); !strings.Contains(got, "Which identity provider") {
		t.Errorf("after that the page says %q", got)
	}
}

func TestSetupLink_ATokenIsShownOnceAndAFormSentTwiceMakesOne(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		h := open(t, storetest.Open(t, kind))
		h.declare()
		ctx := t.Context()
		l, opens := h.setupLink("northwind", store.NewSetupLink{Purposes: []connection.SetupPurpose{connection.SetUpSCIM}, Directory: "entra"})
		b, base := h.browser(), store.SetupPath("northwind", l.ID)
		b.get(opens)
		if got := b.page(base + "/scim").text("main"); !strings.Contains(got, h.url+"/scim/northwind/entra/v2") {
			t.Errorf("the page says %q", got)
		}
		made := b.post(base+"/scim/token", "replaces", "")
		secret := ""
		for _, word := range strings.Fields(made.text("[aria-labelledby=secret]")) {
			if strings.HasPrefix(word, directory.TokenMark) {
				secret = word
			}
		}
		if made.status != http.StatusOK || len(secret) != 47 {
			t.Fatalf("making a token answers %d: %s", made.status, made.text("main"))
		}
		if got := b.post(base+"/scim/token", "replaces", ""); got.status != http.StatusConflict || strings.Contains(got.body, directory.TokenMark) {
			t.Errorf("the same form again answers %d", got.status)
		}
		if strings.Contains(b.page(base+"/scim").body, secret) {
			t.Error("the secret is shown again")
		}
		first := h.readLink("northwind", l.ID).Token
		log := func(token, operation string) {
			h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
				tx.LogRequests(ctx, []directory.Request{{
					Directory: "entra", ID: id.At[id.Request](tx.Now()), At: tx.Now(), Method: "POST", Path: "/Users", Status: 201, Operation: operation,
					Token: token, TokenState: directory.TokenGood,
				}})
				return nil
			}))
		}
		log(first, "Created Ann")
		log("main", "Created somebody else")
		if got := b.page(base + "/scim").text("[aria-labelledby=requests]"); !strings.Contains(got, "Created Ann") || strings.Contains(got, "somebody else") {
			t.Errorf("the requests say %q", got)
		}
		if got := b.post(base+"/scim/token", "replaces", first); got.status != http.StatusOK {
			t.Fatalf("another in its place answers %d: %s", got.status, got.text("main"))
		}
		for _, token := range h.directory().Tokens {
			if token.ID == first {
				t.Error("the replaced token is still there")
			}
		}
		if got := len(h.directory().Tokens); got != 2 {
			t.Errorf("%d tokens, want the declared one and the link's", got)
		}
		if got := b.post(base+"/scim/token", "replaces", "main"); got.status != http.StatusConflict {
			t.Errorf("replacing a token that is not the link's answers %d", got.status)
		}
	})
}

func TestSetupLink_ApprovesANewCertificate(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		h.declare()
		h.samlConnection("https://idp.example/metadata")
		ctx, now := t.Context(), clock.Now()
		idp := &samltest.IdP{EntityID: "https://idp.example", Now: now}
		old := samltest.Certify(t, samltest.RSA(t, 0, now).Key, now.Add(-time.Hour), now.Add(240*time.Hour)).Cert
		next := samltest.Certify(t, samltest.RSA(t, 1, now).Key, now.Add(-time.Hour), now.Add(9000*time.Hour)).Cert
		approved := string(samltest.Bytes(t, idp.Describe("https://idp.example/sso", "https://idp.example/slo", old)))
		both := string(samltest.Bytes(t, idp.Describe("https://idp.example/sso", "https://idp.example/slo", old, next)))
		c := connection.Connection{Organization: "northwind", ID: "okta", Name: "Northwind Okta", Protocol: connection.SAML, Settings: connection.Settings{Metadata: "https://idp.example/metadata"}}
		h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
			tx.KeepSAMLMetadata(ctx, c, approved, time.Hour, nil)
			return nil
		}))
		h.must(h.db.Write(ctx, "northwind", func(tx *store.Tx) error {
			m, err := tx.SAMLMetadata(ctx, c)
			if err == nil {
				tx.KeepSAMLPending(ctx, c, m, both, time.Hour, audit.Event{Actor: h.system, Action: "connection.metadata-changed", TargetKind: "connection", TargetID: "okta"})
			}
			return err
		}))
		l, opens := h.setupLink("northwind", store.NewSetupLink{Purposes: []connection.SetupPurpose{connection.SetUpCertificate}, Renews: "okta"})
		b, base := h.browser(), store.SetupPath("northwind", l.ID)
		b.get(opens)
		if got := b.page(base).text("main"); !strings.Contains(got, "New certificates wait") {
			t.Errorf("the first page says %q", got)
		}
		p := b.page(base + "/certificate")
		if got := p.text("[aria-labelledby=waiting]"); !strings.Contains(got, "New") || !strings.Contains(got, "Stays") {
			t.Errorf("what waits: %q", got)
		}
		if got := b.post(base+"/certificate", "fingerprint", "another"); got.status != http.StatusConflict {
			t.Errorf("approving what was not seen answers %d", got.status)
		}
		seen, _ := p.Find("input[name=fingerprint]").Attr("value")
		if got := b.post(base+"/certificate", "fingerprint", seen); got.status != http.StatusSeeOther {
			t.Fatalf("approving answers %d: %s", got.status, got.text("main"))
		}
		h.must(h.db.Read(ctx, "northwind", func(tx *store.Tx) error {
			m, err := tx.SAMLMetadata(ctx, c)
			if m.Approved.Body != both || m.Pending.Body != "" {
				t.Error("the new certificate does not count")
			}
			return err
		}))
	})
}

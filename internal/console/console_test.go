package console_test

import (
	"encoding/csv"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// declared is a console over Northwind and Fieldserv on SQLite, for what does not depend on the store.
func declared(t *testing.T) *house {
	t.Helper()
	h := open(t, storetest.Open(t, storetest.SQLite))
	h.declare()
	return h
}

func (h *house) at(name string) string { return "/o/northwind/users/" + string(h.users[name]) }

// pages are all pages of an organization that answer the operator.
func (h *house) pages() []string {
	out := []string{"/", "/setup", "/operator/signin", "/operator/log"}
	for _, p := range []string{
		"", "/inbox", "/users", "/users/give?back=inbox", "/users/give?role=asset-editor&resource=emea&user=" + string(h.users["Niko New"]), "/groups", "/groups/night-shift", "/resources", "/roles", "/directories", "/directories/entra/tokens", "/directories/entra/tokens/new", "/directories/entra/tokens/of/main",
		"/directories/entra/tokens/of/main/revoke", "/groups/night-shift/give?role=viewer&resource=emea", "/groups/night-shift/add",
		"/groups/night-shift/delete", "/new-group", "/connections", "/applications",
		"/conflicts", "/audit",
	} {
		out = append(out, "/o/northwind"+p)
	}
	for _, p := range []string{
		"", "?permission=assets.update&at=london-1", "/groups", "/identities", "/sessions", "/activity", "/do/suspend", "/do/custom", "/do/delete",
		"/give", "/give?role=asset-editor&resource=emea", "/restrict",
	} {
		out = append(out, h.at("Dana Dubois")+p)
	}
	return out
}

func TestPages_CarryThePolicyAndNothingInline(t *testing.T) {
	t.Parallel()
	inline := regexp.MustCompile(`(?i)\s(style|on[a-z]+|hx-on[a-z:-]*)\s*=\s*"|javascript:|<style|<script>|hx-(vals|headers)="js:|hx-trigger="[^"]*\[`)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.operator()
		h.link()
		for _, path := range h.pages() {
			a := b.page(path)
			if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'; script-src 'self'; style-src 'self'") ||
				strings.Contains(got, "unsafe") {
				t.Errorf("%s: policy %q", path, got)
			}
			if got := a.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("%s: Cache-Control %q", path, got)
			}
			if m := inline.FindString(a.body); m != "" {
				t.Errorf("%s: inline %q", path, m)
			}
			if n := a.Find("h1").Length(); n != 1 {
				t.Errorf("%s: %d headings of the first rank", path, n)
			}
			seen := map[string]bool{}
			a.Find("[id]").Each(func(_ int, s *goquery.Selection) {
				if at := s.AttrOr("id", ""); seen[at] {
					t.Errorf("%s: the id %q twice", path, at)
				} else {
					seen[at] = true
				}
			})
		}
	})
}

func TestSetup_OneLinkMakesOneOperator(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		b := h.browser()
		if got := b.page("/").text("h1"); got != "Nobody runs this installation yet" {
			t.Errorf("the root of an unclaimed installation says %q", got)
		}
		if got := b.get("/setup"); got.status != http.StatusGone {
			t.Errorf("setup without a link answers %d", got.status)
		}
		token, other := h.link(), h.link()
		form := []string{"token", token, "name", "Opal", "email", "opal@example.com", "password"}
		for password, says := range map[string]string{
			"short": "at least 12", "Password1234": "first passwords", "abcdefghijklmnop": "pattern", "opalopalopal": "your own name",
		} {
			got := b.post("/setup", append(slices.Clone(form), password)...)
			if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("#password-error"), says) {
				t.Errorf("the password %q: %d %q, want a refusal that says %q", password, got.status, got.text("#password-error"), says)
			}
		}
		if got := b.post("/setup", "token", "guess", "name", "Eve", "email", "eve@example.com", "password", operatorPassword); got.status != http.StatusGone {
			t.Errorf("a guessed token answers %d", got.status)
		}
		if got := b.post("/setup", append(slices.Clone(form), operatorPassword)...); got.status != http.StatusSeeOther {
			t.Fatalf("the link answers %d: %s", got.status, got.text("main"))
		}
		if got := b.page("/").text("h1"); got != "Organizations" {
			t.Errorf("the new operator sees %q", got)
		}
		for _, spent := range []string{token, other} {
			got := h.browser().post("/setup", "token", spent, "name", "Eve", "email", "eve@example.com", "password", operatorPassword)
			if got.status != http.StatusGone {
				t.Errorf("a spent link answers %d", got.status)
			}
		}
		got := h.browser().get("/setup")
		if way, _ := got.Find("main a.button").Attr("href"); got.status != http.StatusGone || way != "/operator/signin" {
			t.Errorf("setup afterwards answers %d and leads to %q, want to the operators' sign-in", got.status, way)
		}
	})
}

// Whoever is signed in and is asked again reads why, and only for the password.
func TestOperator_IsToldWhyThePasswordIsAskedAgain(t *testing.T) {
	t.Parallel()
	h := declared(t)
	const there = "/operator/signin?return_to=%2Fo%2Fnorthwind%2Fusers"
	if got := h.browser().page(there).text("h1"); got != "Operator sign-in" {
		t.Errorf("a stranger reads %q", got)
	}
	b := h.operator()
	asked := b.page(there)
	if got := asked.text("h1"); got != "Show that it is you" {
		t.Errorf("who is signed in reads %q", got)
	}
	if got, _ := asked.Find("#email").Attr("value"); got != "opal@example.com" {
		t.Errorf("the address is %q", got)
	}
	if got := b.post("/operator/signin", "return_to", "/o/northwind/users", "anew", "1", "email", "opal@example.com", "password", "wrong horse battery"); got.text("h1") != "Show that it is you" {
		t.Errorf("after a wrong password: %d %q", got.status, got.text("h1"))
	}
	if got := b.post("/operator/signin", "return_to", "/o/northwind/users", "anew", "1", "email", "opal@example.com", "password", operatorPassword); got.location != "/o/northwind/users" {
		t.Errorf("the password leads to %q", got.location)
	}
}

func TestOperator_ComesBackWithThePassword(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.operator()
		b := h.browser()
		for _, wrong := range [][2]string{{"opal@example.com", "wrong horse battery"}, {"nobody@example.com", operatorPassword}} {
			got := b.post("/operator/signin", "email", wrong[0], "password", wrong[1])
			if got.status != http.StatusUnauthorized || !strings.Contains(got.text("[role=alert]"), "do not fit together") {
				t.Errorf("%s: %d %q", wrong[0], got.status, got.text("[role=alert]"))
			}
		}
		if got := h.browser().get("/operator/log"); got.location != "/operator/signin?return_to=/operator/log" {
			t.Errorf("the installation's log answers a stranger with %d to %q", got.status, got.location)
		}
		got := b.post("/operator/signin", "email", "OPAL@example.com", "password", operatorPassword, "return_to", "/o/northwind/users")
		if got.status != http.StatusSeeOther || got.location != "/o/northwind/users" {
			t.Fatalf("signing in answers %d to %s", got.status, got.location)
		}
		b.page("/o/northwind/users")
		if got := b.page("/operator/log").text("tbody tr:nth-child(2)"); !strings.Contains(got, "Sign in refused") || !strings.Contains(got, "wrong address or password") {
			t.Errorf("the refused sign-in stands in the log as %q", got)
		}
		if got := b.post("/operator/signout"); got.location != "/" {
			t.Errorf("signing out leads to %q", got.location)
		}
		if got := b.get("/o/northwind/users"); !strings.HasPrefix(got.location, "/signin?") {
			t.Errorf("after signing out the page answers %d to %q", got.status, got.location)
		}
		// An open redirect would hand the operator to a copy of this page.
		got = b.post("/operator/signin", "email", "opal@example.com", "password", operatorPassword, "return_to", "//evil.example/")
		if got.location != "/" {
			t.Errorf("return_to leads to %q", got.location)
		}
	})
}

func TestOperator_GuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	h := declared(t)
	h.operator()
	b := h.browser()
	for range 10 {
		if got := b.post("/operator/signin", "email", "opal@example.com", "password", strings.Repeat("x", 300)); got.status != http.StatusUnauthorized {
			t.Fatalf("an attempt answers %d", got.status)
		}
	}
	if got := b.post("/operator/signin", "email", "opal@example.com", "password", operatorPassword); got.status != http.StatusTooManyRequests {
		t.Errorf("the eleventh attempt answers %d", got.status)
	}
}

// A page of another site submits a form with this browser's cookies.
func TestForms_OfAnotherSiteAreRefused(t *testing.T) {
	t.Parallel()
	h := declared(t)
	b := h.as("northwind", "Olivia Owner")
	r := b.form(h.at("Dana Dubois") + "/do/suspend")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := b.do(r); got.status != http.StatusForbidden {
		t.Errorf("a cross-site form answers %d", got.status)
	}
	if got := b.page(h.at("Dana Dubois")).text(".page-head .badge"); got != "Active" {
		t.Errorf("Dana is %s", got)
	}
}

func TestTenants_AnotherOrganizationsPagesAreNotThere(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		foreign := h.as("fieldserv", "Femi Field")
		own := h.as("northwind", "Olivia Owner")
		for _, path := range h.pages()[4:] {
			if got := foreign.get(path); got.status != http.StatusNotFound {
				t.Errorf("%s answers a user of Fieldserv with %d", path, got.status)
			}
		}
		for _, act := range []string{"/do/suspend", "/settle", "/give", "/restrict"} {
			if got := foreign.post(h.at("Dana Dubois")+act, "role", "viewer", "resource", "northwind"); got.status != http.StatusNotFound {
				t.Errorf("POST %s answers a user of Fieldserv with %d", act, got.status)
			}
		}
		// An id of another organization means nothing here.
		femi := "/o/northwind/users/" + string(h.users["Femi Field"])
		for _, path := range []string{"", "/groups", "/give", "/do/suspend"} {
			if got := own.get(femi + path); got.status != http.StatusNotFound {
				t.Errorf("Femi's page%s in Northwind answers %d", path, got.status)
			}
		}
		if got := own.post(femi+"/do/suspend", "reason", ""); got.status != http.StatusNotFound {
			t.Errorf("suspending Femi from Northwind answers %d", got.status)
		}
		if got := h.browser().get("/o/northwind/users?q=x"); got.location != "/signin?organization=northwind&return_to=%2Fo%2Fnorthwind%2Fusers%3Fq%3Dx" {
			t.Errorf("without a session: %d to %q", got.status, got.location)
		}
		if got := own.get("/o/nothing-here/users"); got.status != http.StatusNotFound {
			t.Errorf("an organization that does not exist answers %d", got.status)
		}
	})
}

func TestAccess_EachPageAsksForItsPermission(t *testing.T) {
	t.Parallel()
	h := declared(t)
	// path: who may open it among a plain user, an administrator of EMEA, one of everything and the owner.
	pages := map[string]string{
		"/users": "seao", "/resources": "seao", "/roles": "seao", "/groups": "ao", "/inbox": "seao", "/audit": "ao", "/audit.csv": "ao",
		"/conflicts": "ao", "/directories": "o", "/connections": "o", "/applications": "o", "/me": "pseao",
	}
	for letter, name := range map[string]string{"p": "Dana Dubois", "s": "Sven Site", "a": "Adam Admin", "o": "Olivia Owner"} {
		b := h.as("northwind", name)
		for path, who := range pages {
			want := http.StatusForbidden
			if strings.Contains(who, letter) {
				want = http.StatusOK
			}
			got := b.get("/o/northwind" + path)
			if got.status != want {
				t.Errorf("%s answers %s with %d, want %d", path, name, got.status, want)
			}
			if got.status == http.StatusForbidden && !strings.Contains(got.text("main"), "administrator") && !strings.Contains(got.text("main"), "who hold") && !strings.Contains(got.text("main"), "You hold it for a part") {
				t.Errorf("%s refuses %s without saying who can help: %s", path, name, got.text("main"))
			}
		}
		// What is not to be opened is not offered.
		b.page("/o/northwind/me").Find(".side-menu nav a").Each(func(_ int, s *goquery.Selection) {
			href := s.AttrOr("href", "")
			if got := b.get(href); got.status != http.StatusOK {
				t.Errorf("%s is offered %s, which answers %d", name, href, got.status)
			}
		})
	}
}

func TestUsers_BelowTheRootOnlyThoseWithAGrantThereAreSeen(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.give("Niko New", "viewer", "americas")
		b := h.as("northwind", "Sven Site")
		a := b.page("/o/northwind/users")
		var got []string
		a.Find("#found tbody .who a").Each(func(_ int, s *goquery.Selection) { got = append(got, s.Text()) })
		// Dana through the group that gives a role at London 1; Olivia, Adam and Niko hold theirs elsewhere.
		if diff := cmp.Diff(got, []string{"Sven Site", "Dana Dubois"}); diff != "" {
			t.Error(diff)
		}
		if !strings.Contains(a.text(".page-head"), "EMEA") {
			t.Errorf("the page does not say what part is seen: %s", a.text(".page-head"))
		}
		for _, name := range []string{"Olivia Owner", "Niko New"} {
			if got := b.get(h.at(name)); got.status != http.StatusNotFound {
				t.Errorf("%s answers Sven with %d", name, got.status)
			}
		}
	})
}

func TestUsers_SearchFiltersAndDeleted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.as("northwind", "Olivia Owner")
		if got := b.post(h.at("Niko New")+"/do/delete", "reason", "left"); got.status != http.StatusSeeOther {
			t.Fatalf("deleting answers %d: %s", got.status, got.text("main"))
		}
		for query, want := range map[string][]string{
			"":                               {"Olivia Owner", "Adam Admin", "Sven Site", "Dana Dubois"},
			"?q=DANA":                        {"Dana Dubois"},
			"?q=nobody":                      nil,
			"?deleted=1&q=niko":              {"Niko New"},
			"?status=deleted":                {"Niko New"},
			"?role=user-admin&resource=emea": {"Olivia Owner", "Adam Admin", "Sven Site"},
		} {
			var got []string
			a := b.page("/o/northwind/users" + query)
			a.Find("#found tbody .who a").Each(func(_ int, s *goquery.Selection) { got = append(got, s.Text()) })
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("%s: %s", query, diff)
			}
			if want == nil && a.text("#found h2") != "Nobody matches" {
				t.Errorf("%s: the empty list says %q", query, a.text("#found"))
			}
		}
		dana := b.page("/o/northwind/users?q=dana").Find("#found tbody tr")
		var cells []string
		dana.Children().Each(func(_ int, s *goquery.Selection) { cells = append(cells, read(s)) })
		cells[4], cells[5] = "", "" // times
		if diff := cmp.Diff(cells, []string{
			"Dana Dubois dana@northwind.example", "Active", "Standard Viewer Asset Editor at London 1", "Night shift", "", "", "1", "198.51.100.23",
		}); diff != "" {
			t.Error(diff)
		}
	})
}

func TestUsers_PagesFollowOneAnother(t *testing.T) {
	t.Parallel()
	h := declared(t)
	for _, name := range strings.Fields("a b c d e f g h i j k l m n o p q r s t u v w x y z") {
		h.user("northwind", "Page-"+name+" Turner")
	}
	b := h.as("northwind", "Olivia Owner")
	seen := map[string]bool{}
	path := "/o/northwind/users?q=turner"
	for path != "" {
		a := b.page(path)
		a.Find("#found tbody .who a").Each(func(_ int, s *goquery.Selection) {
			if seen[s.Text()] {
				t.Errorf("%s stands on two pages", s.Text())
			}
			seen[s.Text()] = true
		})
		path = a.Find("a[rel=next]").AttrOr("href", "")
	}
	if len(seen) != 26 {
		t.Errorf("%d users on all pages, want 26", len(seen))
	}
}

func TestInbox_WhoGetsARoleOrIsLeftLeavesIt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.user("northwind", "Lena Later")
		b := h.as("northwind", "Adam Admin")
		names := func() (got []string) {
			b.page("/o/northwind/inbox").Find("tbody .who a").Each(func(_ int, s *goquery.Selection) { got = append(got, s.Text()) })
			return got
		}
		if diff := cmp.Diff(names(), []string{"Niko New", "Lena Later"}); diff != "" {
			t.Fatal(diff)
		}
		got := b.post(h.at("Niko New")+"/give", "role", "asset-editor", "resource", "london-1", "reason", "joins the team", "back", "inbox")
		if got.status != http.StatusSeeOther || got.location != "/o/northwind/inbox" {
			t.Fatalf("giving answers %d to %q: %s", got.status, got.location, got.text("main"))
		}
		a := b.page("/o/northwind/inbox")
		if got := a.text(".main > [role=status]"); got != "Niko New holds Asset Editor at London 1 now." {
			t.Errorf("the page says %q", got)
		}
		if got := b.post(h.at("Lena Later") + "/settle"); got.status != http.StatusSeeOther {
			t.Fatalf("leave as is answers %d", got.status)
		}
		if got := names(); got != nil {
			t.Errorf("still waiting: %v", got)
		}
		if got := b.page("/o/northwind/inbox").text(".empty h2"); got != "Nobody waits" {
			t.Errorf("the empty inbox says %q", got)
		}
		var grants []store.Grant
		h.must(db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			grants, _, err = tx.ListGrants(t.Context(), store.GrantFilter{User: h.users["Niko New"]})
			return err
		}))
		if len(grants) != 1 || grants[0].Role != "asset-editor" || grants[0].Resource != "london-1" || grants[0].Reason != "joins the team" ||
			grants[0].GrantedByName != "Adam Admin" {
			t.Errorf("stored: %+v", grants)
		}
	})
}

// The first push of a directory brings everybody at once: whom a search finds there, and all who wait, are left as they are in one step.
func TestInbox_AllWhoWaitAreLeftAsTheyAre(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.user("northwind", "Lena Later")
		h.user("northwind", "Liv Later")
		b := h.as("northwind", "Adam Admin")
		waiting := func(query string) []string {
			var got []string
			b.page("/o/northwind/inbox" + query).Find("tbody .who a").Each(func(_ int, s *goquery.Selection) { got = append(got, s.Text()) })
			return got
		}
		if diff := cmp.Diff(waiting("?q=LATER"), []string{"Lena Later", "Liv Later"}); diff != "" {
			t.Error(diff)
		}
		if got := b.page("/o/northwind/inbox?q=nobody").text(".empty h2"); got != "Nobody of this name waits" {
			t.Errorf("a search for nobody says %q", got)
		}
		if got := b.page("/o/northwind/inbox/settle?q=later").text(".follows li"); !strings.Contains(got, "2 people found by “later” keep what everybody has") {
			t.Errorf("asked before: %q", got)
		}
		if got := h.as("northwind", "Dana Dubois").post("/o/northwind/inbox/settle"); got.status != http.StatusForbidden {
			t.Errorf("who may give nothing: %d", got.status)
		}
		events := h.eventCount()
		if got := b.post("/o/northwind/inbox/settle", "q", "later"); got.status != http.StatusSeeOther {
			t.Fatalf("answers %d: %s", got.status, got.text("main"))
		}
		if diff := cmp.Diff(waiting(""), []string{"Niko New"}); diff != "" {
			t.Error(diff)
		}
		if got := h.eventCount() - events; got != 2 {
			t.Errorf("%d events, want one for each", got)
		}
		if got := b.post("/o/northwind/inbox/settle"); got.status != http.StatusSeeOther || waiting("") != nil {
			t.Errorf("answers %d, and there wait %v", got.status, waiting(""))
		}
	})
}

// may_grant alone gives: such a person sees the inbox, and of its people what is needed to give, and nobody else.
func TestInbox_WhoOnlyGivesSeesWhoWaitsAndNoMore(t *testing.T) {
	t.Parallel()
	h := declared(t)
	h.user("northwind", "Rita Reception")
	h.give("Rita Reception", "receptionist", "northwind")
	b := h.as("northwind", "Rita Reception")
	if got := b.page("/o/northwind/inbox").text("tbody .who a"); got != "Niko New" {
		t.Fatalf("the inbox shows %q", got)
	}
	if got := b.page(h.at("Niko New")).text(".tabs"); got != "Access and why" {
		t.Errorf("of who waits, Rita is offered %q", got)
	}
	for path, want := range map[string]int{
		"/o/northwind/users": http.StatusForbidden, h.at("Dana Dubois"): http.StatusNotFound, h.at("Niko New") + "/identities": http.StatusForbidden,
		h.at("Niko New") + "/sessions": http.StatusForbidden, h.at("Niko New") + "/do/suspend": http.StatusForbidden,
	} {
		if got := b.get(path); got.status != want {
			t.Errorf("%s answers %d, want %d", path, got.status, want)
		}
	}
	got := b.post(h.at("Niko New")+"/give", "role", "asset-editor", "resource", "london-1")
	if got.status != http.StatusSeeOther || got.location != "/o/northwind/inbox" {
		t.Fatalf("giving answers %d to %q: %s", got.status, got.location, got.text("main"))
	}
	if got := b.get(h.at("Niko New")); got.status != http.StatusNotFound {
		t.Errorf("who has a role now still answers %d", got.status)
	}
}

// pickOf is a checkbox of the dialog: whether it is ticked, whether it is greyed, and what stands beside it.
func pickOf(a answer, input string) string {
	s := a.Find("#" + input)
	out := "open"
	if _, checked := s.Attr("checked"); checked {
		out = "ticked"
	}
	if _, disabled := s.Attr("disabled"); disabled {
		out += " greyed: " + s.Parent().Find(".because").Text()
	}
	return out
}

func TestGive_GreysWhatIsImpliedHeldOrBeyondWithTheReason(t *testing.T) {
	t.Parallel()
	h := declared(t)
	for _, c := range []struct {
		who, whom, chosen string
		want              map[string]string
	}{
		{"Adam Admin", "Niko New", "", map[string]string{
			"role-viewer": "ticked greyed: Held already (default role)", "role-asset-editor": "open", "role-user-admin": "open",
			"role-owner": "open greyed: Above what you may give.", "resource-northwind": "open", "resource-london-1": "open",
		}},
		{"Adam Admin", "Niko New", "?role=user-admin&resource=emea", map[string]string{
			"role-user-admin": "ticked", "role-asset-editor": "ticked greyed: Included in User Admin", "resource-emea": "ticked",
			"resource-london-1": "ticked greyed: Included in EMEA", "resource-london-1-roof": "ticked greyed: Included in EMEA", "resource-americas": "open",
			"role-auditor": "open greyed: You may not give this at EMEA.",
		}},
		{"Sven Site", "Dana Dubois", "?role=asset-editor", map[string]string{
			"resource-northwind": "open greyed: You may give nothing here", "resource-americas": "open greyed: You may give nothing here",
			"resource-emea": "open", "role-owner": "open greyed: Above what you may give.",
		}},
		{"Sven Site", "Dana Dubois", "?resource=london-1", map[string]string{
			"role-asset-editor": "ticked greyed: Held already through Night shift",
		}},
	} {
		a := h.as("northwind", c.who).page(h.at(c.whom) + "/give" + c.chosen)
		got := map[string]string{}
		for input := range c.want {
			got[input] = pickOf(a, input)
		}
		if diff := cmp.Diff(got, c.want); diff != "" {
			t.Errorf("%s gives %s %s: %s", c.who, c.whom, c.chosen, diff)
		}
		if a.Find("#sheet [autofocus]").Length() != 1 {
			t.Errorf("%s: the first choice has no focus", c.chosen)
		}
	}
}

func TestGive_PreviewSaysWhatIsGained(t *testing.T) {
	t.Parallel()
	h := declared(t)
	b := h.as("northwind", "Adam Admin")
	a := b.page(h.at("Niko New") + "/give?role=asset-editor&resource=london-1")
	if got := a.text(".preview"); got != "What changes At London 1, and below Gains Edit assets Gains Delete assets" {
		t.Errorf("the preview says %q", got)
	}
	if got := b.page(h.at("Niko New") + "/give?role=asset-editor").text(".preview p"); got != "Choose where it holds." {
		t.Errorf("half a choice says %q", got)
	}
	if got := b.page(h.at("Niko New") + "/give?role=asset-editor&resource=emea&expires=2020-01-01").text(".preview p"); !strings.Contains(got, "over before it began") {
		t.Errorf("an end in the past says %q", got)
	}
}

// The page offers less than a hand-made form may ask for; the ceiling holds for both.
func TestGive_AboveTheCeilingIsRefusedAndNothingIsStored(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		for _, c := range []struct{ who, role, at string }{
			{"Adam Admin", "owner", "northwind"},
			{"Adam Admin", "auditor", "london-1"},
			{"Sven Site", "asset-editor", "americas"},
			{"Sven Site", "user-admin", "northwind"},
			{"Dana Dubois", "viewer", "london-1"},
		} {
			got := h.as("northwind", c.who).post(h.at("Dana Dubois")+"/give", "role", c.role, "resource", c.at)
			if got.status != http.StatusUnprocessableEntity && got.status != http.StatusForbidden {
				t.Errorf("%s gives %s at %s: %d", c.who, c.role, c.at, got.status)
			}
		}
		// A page from before a role was taken away saves nothing of what was chosen on it.
		if got := h.as("northwind", "Adam Admin").post(h.at("Dana Dubois")+"/give", "role", "viewer", "role", "king", "resource", "london-1"); got.status != http.StatusUnprocessableEntity {
			t.Errorf("beside a role that is gone: %d", got.status)
		}
		h.must(db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			grants, _, err := tx.ListGrants(t.Context(), store.GrantFilter{User: h.users["Dana Dubois"]})
			if len(grants) > 0 {
				t.Errorf("stored: %+v", grants)
			}
			return err
		}))
	})
}

func TestUser_WhyNamesTheWholePath(t *testing.T) {
	t.Parallel()
	h := declared(t)
	b := h.as("northwind", "Olivia Owner")
	a := b.page(h.at("Dana Dubois"))
	got := a.text("section[aria-labelledby=grants] tbody tr:nth-child(2)")
	for _, hop := range []string{"Asset Editor", "London 1", "Member of Night shift", "Comes with the group"} {
		if !strings.Contains(got, hop) {
			t.Errorf("the row lacks %q: %s", hop, got)
		}
	}
	if got := a.text("section[aria-labelledby=permissions] dl"); got != "Northwind Energy organization View assets London 1 site View assets Edit assets Delete assets" {
		t.Errorf("the permissions are %q", got)
	}
	asked := b.page(h.at("Dana Dubois") + "?permission=assets.update&at=london-1-roof")
	if got := asked.text("section[aria-labelledby=question] [role=status]"); !strings.HasPrefix(got, "Yes.") || !strings.Contains(got, "and so at Roof plant") {
		t.Errorf("the answer is %q", got)
	}
	asked = b.page(h.at("Dana Dubois") + "?permission=billing.read&at=london-1")
	if got := asked.text("section[aria-labelledby=question] [role=alert]"); !strings.HasPrefix(got, "No.") || !strings.Contains(got, "Billing Clerk") {
		t.Errorf("the answer is %q", got)
	}
}

func TestUser_TakingAGrantAwaySaysWhatIsLostAndWhatRemains(t *testing.T) {
	t.Parallel()
	h := declared(t)
	g := h.give("Dana Dubois", "asset-editor", "berlin-1")
	b := h.as("northwind", "Adam Admin")
	remove := h.at("Dana Dubois") + "/grants/" + string(g.ID) + "/remove"
	a := b.page(remove)
	if got := a.text(".preview"); got != "What changes At Berlin 1, and below Loses Edit assets Loses Delete assets" {
		t.Errorf("the preview says %q", got)
	}
	if got := a.text(".give ul:not(.delta)"); got != "Standard Viewer Asset Editor at London 1" {
		t.Errorf("remains: %q", got)
	}
	if got := h.as("northwind", "Dana Dubois").post(remove); got.status != http.StatusForbidden {
		t.Errorf("Dana takes it away herself: %d", got.status)
	}
	// A grant is not taken away under another user's address.
	if got := b.post(strings.Replace(remove, string(h.users["Dana Dubois"]), string(h.users["Niko New"]), 1)); got.status != http.StatusNotFound {
		t.Errorf("under Niko's address: %d", got.status)
	}
	if got := b.post(remove, "reason", "moved"); got.status != http.StatusSeeOther {
		t.Fatalf("taking away answers %d: %s", got.status, got.text("main"))
	}
	if got := b.page(h.at("Dana Dubois")).text("section[aria-labelledby=grants]"); strings.Contains(got, "Berlin") {
		t.Errorf("it is still there: %s", got)
	}
}

func TestUser_RestrictionsAreSetShownAndLifted(t *testing.T) {
	t.Parallel()
	h := declared(t)
	b := h.as("northwind", "Adam Admin")
	got := b.post(h.at("Dana Dubois")+"/restrict", "action", "delete", "resource", "london-1", "reason", "Probation")
	if got.status != http.StatusSeeOther {
		t.Fatalf("restricting answers %d: %s", got.status, got.text("main"))
	}
	a := b.page(h.at("Dana Dubois"))
	if got := a.text("section[aria-labelledby=restrictions] tbody tr"); got != "delete London 1 Probation Lift" {
		t.Errorf("shown as %q", got)
	}
	lift := a.Find("section[aria-labelledby=restrictions] form").AttrOr("action", "")
	if got := b.post(strings.Replace(lift, string(h.users["Dana Dubois"]), string(h.users["Niko New"]), 1)); got.status != http.StatusNotFound {
		t.Errorf("lifting it under Niko's address answers %d", got.status)
	}
	if got := b.post(lift); got.status != http.StatusSeeOther {
		t.Errorf("lifting answers %d", got.status)
	}
	if got := b.post(h.at("Dana Dubois")+"/restrict", "resource", "london-1"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("no action at all answers %d", got.status)
	}
	if got := h.as("northwind", "Sven Site").post(h.at("Dana Dubois")+"/restrict", "action", "read", "resource", "northwind"); got.status != http.StatusForbidden {
		t.Errorf("above what one manages answers %d", got.status)
	}
}

func TestUser_ActsNameTheirConsequenceAndAreDone(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b, dana := h.as("northwind", "Adam Admin"), h.as("northwind", "Dana Dubois")
		dana.page("/o/northwind/me")
		steps := []struct{ act, consequence, status string }{
			{"suspend", "signed out everywhere", "Suspended"},
			{"reactivate", "takes a seat", "Active"},
			{"custom", "default roles", "Active"},
			{"defaults", "apply to Dana", "Active"},
			{"end-sessions", "every browser", "Active"},
			{"delete", "show deleted", "Deleted"},
			{"restore", "roles given by hand back", "Active"},
		}
		for _, s := range steps {
			at := h.at("Dana Dubois") + "/do/" + s.act
			a := b.page(at)
			if got := a.text(".follows"); !strings.Contains(got, s.consequence) {
				t.Errorf("%s names no consequence: %q", s.act, got)
			}
			if got := b.post(at, "reason", "because"); got.status != http.StatusSeeOther {
				t.Fatalf("%s answers %d: %s", s.act, got.status, got.text("main"))
			}
			if got := b.page(h.at("Dana Dubois")).text(".page-head .badge"); got != s.status {
				t.Errorf("after %s Dana is %s", s.act, got)
			}
		}
		if got := dana.get("/o/northwind/me"); !strings.HasPrefix(got.location, "/signin?") {
			t.Errorf("Dana's old session still answers %d", got.status)
		}
		if got := b.post(h.at("Dana Dubois") + "/do/restore"); got.status != http.StatusConflict {
			t.Errorf("restoring an active user answers %d", got.status)
		}
		if got := h.as("northwind", "Dana Dubois").post(h.at("Niko New") + "/do/suspend"); got.status != http.StatusForbidden {
			t.Errorf("Dana suspends Niko: %d", got.status)
		}
	})
}

// Who comes back after a deletion is a new user; what people had given to the old one is carried over by people, as far as
// they may give it.
func TestUser_TheRolesOfAnEarlierAccountAreCarriedOver(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.give("Dana Dubois", "asset-editor", "berlin-1")
		h.give("Dana Dubois", "billing-clerk", "northwind")
		old := h.users["Dana Dubois"]
		b := h.as("northwind", "Adam Admin")
		b.post(h.at("Dana Dubois") + "/do/delete")
		if h.user("northwind", "Dana Dubois") == old {
			t.Fatal("the new account has the old one's id")
		}
		a := b.page(h.at("Dana Dubois"))
		got := a.text(".notice-info")
		if !strings.Contains(got, "Asset Editor at Berlin 1") || !strings.Contains(got, "1 role more beyond") {
			t.Fatalf("the page offers %q", got)
		}
		if got := h.as("northwind", "Dana Dubois").post(h.at("Dana Dubois")+"/carry", "from", string(old)); got.status != http.StatusForbidden {
			t.Errorf("Dana carries her own roles over: %d", got.status)
		}
		if got := b.post(h.at("Dana Dubois")+"/carry", "from", string(h.users["Niko New"])); got.status != http.StatusConflict {
			t.Errorf("carrying over from somebody else answers %d", got.status)
		}
		if got := b.post(h.at("Dana Dubois")+"/carry", "from", string(old)); got.status != http.StatusSeeOther {
			t.Fatalf("carrying over answers %d: %s", got.status, got.text("main"))
		}
		a = b.page(h.at("Dana Dubois"))
		if got := a.text("section[aria-labelledby=grants]"); !strings.Contains(got, "Berlin 1") || strings.Contains(got, "Billing Clerk") {
			t.Errorf("afterwards Dana holds %s", got)
		}
		if a.Find(".notice-info").Length() != 0 {
			t.Error("it is still offered")
		}
	})
}

func TestUser_TheLastOwnerIsNotSuspended(t *testing.T) {
	t.Parallel()
	h := declared(t)
	got := h.as("northwind", "Adam Admin").post(h.at("Olivia Owner")+"/do/suspend", "reason", "x")
	if got.status != http.StatusConflict || !strings.Contains(got.text("main"), "Make someone else Owner") {
		t.Errorf("answers %d: %s", got.status, got.text("main"))
	}
}

func TestSessions_AreEndedOneByOne(t *testing.T) {
	t.Parallel()
	h := declared(t)
	b, dana := h.as("northwind", "Adam Admin"), h.as("northwind", "Dana Dubois")
	end := b.page(h.at("Dana Dubois")+"/sessions").Find("tbody form").First().AttrOr("action", "")
	if got := b.post(end); got.status != http.StatusSeeOther {
		t.Fatalf("ending answers %d", got.status)
	}
	if got := dana.get("/o/northwind/me"); got.status != http.StatusSeeOther {
		t.Errorf("the ended session answers %d", got.status)
	}
	// One's own list ends one's own sessions only.
	other := h.as("northwind", "Niko New")
	foreign := b.page(h.at("Niko New")+"/sessions").Find("tbody form").First().AttrOr("action", "")
	mine := "/o/northwind/me/sessions/" + strings.Split(foreign, "/")[6] + "/end"
	b.post(mine)
	other.page("/o/northwind/me")
	if got := other.post("/o/northwind/signout"); got.location != "/" {
		t.Errorf("signing out leads to %q", got.location)
	}
	if got := other.get("/o/northwind/me"); got.status != http.StatusSeeOther {
		t.Errorf("after signing out the page answers %d", got.status)
	}
}

func TestDeclared_PagesShowValuesToCopyAndNoSecret(t *testing.T) {
	t.Parallel()
	h := declared(t)
	b := h.as("northwind", "Olivia Owner")
	for path, wants := range map[string][]string{
		"/connections":        {"OpenID", "northwind.example"},
		"/connections/corp":   {h.url + "/sso/northwind/corp/callback", "https://login.northwind.example", "northwind.example"},
		"/directories":        {h.url + "/scim/northwind/entra/v2", "vsc_1a2b", "has never called", "Expires"},
		"/applications":       {"energy-dashboard", "http://127.0.0.1:9401/callback"},
		"/resources":          {"Roof plant", "london-1-roof"},
		"/roles":              {"Never together with", "Every role", "Protected"},
		"/groups":             {"Night shift", "Asset Editor at London 1", "Platform Admins"},
		"/groups/night-shift": {"Dana Dubois", "Asset Editor", "London 1", "Managed by file"},
	} {
		a := b.page("/o/northwind" + path)
		for _, want := range wants {
			if !strings.Contains(a.text("main"), want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
		if strings.Contains(a.body, "sealed-secret-never-shown") || strings.Contains(a.body, "x.hash") {
			t.Errorf("%s shows a secret", path)
		}
	}
}

func TestAudit_FiltersAndTheirCSVShowTheSame(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.must(db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Record(t.Context(), audit.Event{
				Actor: h.system, Action: "user.noted", TargetKind: "user", TargetID: "x", TargetName: `=HYPERLINK("http://evil.example")`,
				Reason: "@sum(1)", Outcome: audit.Refused, Code: "ABCD-EFGH",
			})
			return nil
		}))
		b := h.as("northwind", "Adam Admin")
		b.post(h.at("Dana Dubois")+"/do/suspend", "reason", "found on the list")
		for query, want := range map[string]int{
			"?q=found+on+the+list": 1, "?action=grant.": 3, "?action=user.suspended": 1, "?ip=192.0.2.7": 1, "?ip=203.0.113.1": 0,
			"?outcome=refused": 1, "?q=ABCD-EFGH": 1, "?user=" + string(h.users["Olivia Owner"]): 2, "?from=2001-01-01&to=2001-01-02": 0,
			"?from=2001-01-01": -1,
		} {
			page := b.page("/o/northwind/audit" + query)
			href, _ := page.Find("#csv").Attr("href")
			got := b.get(href)
			if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/csv; charset=utf-8" {
				t.Fatalf("%s: the CSV answers %d as %q", query, got.status, got.header.Get("Content-Type"))
			}
			rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
			h.must(err)
			shown := page.Find("#found tbody > tr").Length()
			if shown != len(rows)-1 || (want >= 0 && shown != want) {
				t.Errorf("%s: the page shows %d, the CSV %d, want %d", query, shown, len(rows)-1, want)
			}
			for _, row := range rows[1:] {
				for _, cell := range row {
					if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
						t.Errorf("%s: a spreadsheet would run %q", query, cell)
					}
				}
			}
		}
		if got := b.get("/o/northwind/audit?from=yesterday"); got.status != http.StatusUnprocessableEntity {
			t.Errorf("a day that is none answers %d", got.status)
		}
		a := b.page("/o/northwind/audit?action=user.suspended")
		if got := a.text("#found tbody tr details"); !strings.Contains(got, "found on the list") || !strings.Contains(got, `"status": "suspended"`) {
			t.Errorf("the details say %q", got)
		}
	})
}

// Someone of two organizations works in both, each in its own tab.
func TestHome_LeadsToWhereOneIsSignedIn(t *testing.T) {
	t.Parallel()
	h := declared(t)
	if got := h.browser().page("/").text(".actions a[href^='/signin']"); got != "Sign in through your organization" {
		t.Errorf("before there is an operator, users are offered %q", got)
	}
	h.operator()
	if got := h.browser().page("/").text("h1"); got != "Sign in to the console" {
		t.Errorf("nobody sees %q", got)
	}
	b := h.as("northwind", "Adam Admin")
	if got := b.get("/"); got.location != "/o/northwind" {
		t.Errorf("one session leads to %q", got.location)
	}
	second := h.as("fieldserv", "Femi Field")
	at := h.as("northwind", "Adam Admin").form("/").URL
	second.client.Jar.SetCookies(at, b.client.Jar.Cookies(at))
	if got := second.page("/").text(".choices"); got != "F Fieldserv N Northwind Energy" {
		t.Errorf("two sessions offer %q", got)
	}
}

func TestConflicts_AreShownInWordsAndDecided(t *testing.T) {
	t.Parallel()
	h := declared(t)
	// Two groups of the name that a mapping waits for.
	h.must(h.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
		for _, from := range []id.Connection{"corp", "second"} {
			c := connection.Connection{Organization: "northwind", ID: from}
			if err := tx.ClaimGroups(t.Context(), h.system, c, h.users["Niko New"], []string{"Platform Admins"}); err != nil {
				return err
			}
		}
		return nil
	}))
	b := h.as("northwind", "Olivia Owner")
	a := b.page("/o/northwind/conflicts")
	if got := a.text("section h2"); got != "Two groups are called Platform Admins" {
		t.Errorf("the conflict is %q", got)
	}
	if got := a.text(".side-menu .count"); got != "1 waiting" {
		t.Errorf("the navigation counts %q", got)
	}
	to := a.Find("section form").AttrOr("action", "")
	if got := b.post(to, "decision", "whatever"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a decision that is none answers %d", got.status)
	}
	if got := b.post(to, "decision", store.KeepBound); got.status != http.StatusSeeOther {
		t.Fatalf("deciding answers %d: %s", got.status, got.text("main"))
	}
	if got := b.page("/o/northwind/conflicts").text(".empty h2"); got != "Nothing to decide" {
		t.Errorf("afterwards: %q", got)
	}
}

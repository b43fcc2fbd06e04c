package console_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// standIn answers in a directory's place and remembers what it was asked.
type standIn struct {
	asked  []string
	answer directory.Request
	err    error
}

func (s *standIn) DryRun(_ context.Context, org id.Organization, dir id.Directory, p directory.Pasted, by audit.Actor) (directory.Request, error) {
	s.asked = append(s.asked, strings.Join([]string{"dry", string(org), string(dir), p.Method, p.Path, p.Body, by.Name}, " "))
	return s.answer, s.err
}

func (s *standIn) Replay(_ context.Context, org id.Organization, dir id.Directory, request id.Request, by audit.Actor) (directory.Request, error) {
	s.asked = append(s.asked, strings.Join([]string{"replay", string(org), string(dir), string(request), by.Name}, " "))
	return s.answer, s.err
}

// logged puts requests into the log of Northwind's directory and gives their addresses.
func (h *house) logged(list ...directory.Request) []string {
	h.t.Helper()
	var links []string
	for i := range list {
		r := &list[i]
		if r.At.IsZero() {
			r.At = h.db.Now()
		}
		r.Directory, r.ID = "entra", id.At[id.Request](r.At)
		if r.TokenState == "" {
			r.TokenState = directory.TokenGood
		}
		links = append(links, "/o/northwind/directories/entra/requests/"+string(r.ID))
	}
	h.must(h.db.Write(h.t.Context(), "northwind", func(tx *store.Tx) error {
		tx.LogRequests(h.t.Context(), list)
		return nil
	}))
	return links
}

var (
	unmapped = directory.Request{
		Method: "POST", Path: "/Users", Status: 400, Type: "invalidValue", Detail: "userName is required.", Operation: "Could not create Una",
		ResourceKind: "User", ResourceName: "Una", Search: "una\nuna@northwind.example", Token: "main", IP: "192.0.2.5", Request: "request-7",
		Whole: true, Body: `{"displayName":"Una's <b>"}`, Answer: `{"status":"400"}`, Took: 3 * time.Millisecond,
	}
	added = directory.Request{
		Method: "PATCH", Path: "/Groups/g", Query: "a=b", Status: 204, Operation: "Added Dana to Night shift", ResourceKind: "Group", Search: "dana",
		Repairs: scim.Repairs{scim.RemoveByValue: 2}, Took: 300 * time.Microsecond,
		Effects: []directory.Effect{
			{Action: "group.member-added", Said: "Added Dana to Night shift", After: `{"member":"u"}`},
			{Action: "group.member-added", Said: "Dana gets by Night shift: Asset Editor at London 1", Access: directory.AccessGiven},
			{Action: "group.member-removed", Said: "Ben loses what Night shift gives", Access: directory.AccessTaken},
		},
	}
	late = directory.Request{
		Method: "POST", Path: "/Users", Status: 401, Detail: `The token "old" expired on 1 January 2026 at 00:00 UTC.`, Operation: "Could not create Late Lena",
		Search: "late lena", Token: "old", TokenState: directory.TokenExpired,
	}
)

func TestRequestLog_ShowsFiltersAndPages(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.as("northwind", "Olivia Owner")
		at := "/o/northwind/directories/entra/requests"
		if got := b.page(at).text(".empty h2"); got != "Nothing has come yet" {
			t.Errorf("an empty log: %q", got)
		}
		links := h.logged(unmapped, added)
		p := b.page(at)
		if diff := cmp.Diff(p.Find("#found tbody tr").Length(), 2); diff != "" {
			t.Error(diff)
		}
		if got := p.text("#found tbody tr:first-child th"); got != "Added Dana to Night shift" {
			t.Errorf("the newest: %q", got)
		}
		if _, live := p.Find("#found").Attr("hx-trigger"); live {
			t.Error("the log is asked for again and again without being asked to")
		}
		if got, _ := b.page(at + "?live=1").Find("#found").Attr("hx-trigger"); got != "every 2s" {
			t.Errorf("live: %q", got)
		}
		for query, want := range map[string]int{"?errors=1": 1, "?q=UNA@": 1, "?method=PATCH": 1, "?method=PUT": 0, "?from=2999-01-01": 0, "?q=una&method=PATCH": 0} {
			if got := b.page(at + query).Find("#found tbody tr").Length(); got != want {
				t.Errorf("%s: %d rows, want %d", query, got, want)
			}
		}
		many := make([]directory.Request, 60)
		for i := range many {
			many[i] = added
		}
		h.logged(many...)
		p = b.page(at + "?method=PATCH")
		next, _ := p.Find(".pager a[rel=next]").Attr("href")
		if rest := b.page(next).Find("#found tbody tr").Length(); p.Find("#found tbody tr").Length() != 50 || rest != 11 {
			t.Errorf("the second page holds %d", rest)
		}
		if got := b.page("/o/northwind/directories").text(".facts a"); got != "1 request refused in 24 hours" {
			t.Errorf("on Directories: %q", got)
		}
		if got := b.page("/o/northwind/").text("#provisioning"); got != "Provisioning" {
			t.Errorf("the overview: %q", got)
		}

		one := b.page(links[0])
		if got := one.text("#fix"); !strings.Contains(got, "Map userName there, usually from userPrincipalName") || !strings.Contains(got, "Provisioning › Mappings") {
			t.Errorf("the fix: %q", got)
		}
		curl := one.Find("#curl").Text()
		if want := `curl -X POST '` + h.url + `/scim/northwind/entra/v2/Users' -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/scim+json' --data-binary '{"displayName":"Una'\''s <b>"}'`; curl != want {
			t.Errorf("got  %s\nwant %s", curl, want)
		}
		if one.Find(`a[href$="/replay"]`).Length() != 1 {
			t.Error("a refused request is not offered to be sent again")
		}
		one = b.page(links[1])
		for selector, want := range map[string]string{
			"#given li": "Dana gets by Night shift: Asset Editor at London 1", "#taken li": "Ben loses what Night shift gives",
			"#repairs li": "Members to remove came as a list; only these were removed (2 times)",
		} {
			if got := one.text(selector); got != want {
				t.Errorf("%s: %q", selector, got)
			}
		}
		if one.Find("#fix").Length() != 0 || one.Find(`a[href$="/replay"]`).Length() != 0 {
			t.Error("a request that went well is offered a fix")
		}
	})
}

func TestRequestLog_AnswersWhySomebodyDidNotArrive(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.as("northwind", "Olivia Owner")
		why := func(whom string) string {
			return b.page("/o/northwind/directories/entra/why?q=" + strings.ReplaceAll(whom, " ", "+")).text("main")
		}
		h.logged(
			unmapped,
			directory.Request{Method: "GET", Path: "/Users", Status: 200, Operation: "Looked for userName zoe: nobody", Search: "zoe"},
			directory.Request{Method: "POST", Path: "/Users", Status: 409, Type: "uniqueness", Detail: `The userName "x" is taken.`, Operation: "Could not create Double Dora", Search: "double dora", ResourceKind: "User"},
		)
		for whom, want := range map[string][]string{
			"una":         {"Could not create Una", "userName is required.", "usually from userPrincipalName"},
			"Double Dora": {"Somebody here holds that userName already", "under Conflicts"},
			"zoe":         {"looked for them and sent nothing", "Users and groups"},
			"nobody":      {"has never spoken of “nobody”", "Users and groups"},
			"Niko New":    {"Niko New is here, and not by Northwind Entra ID"},
		} {
			got := why(whom)
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("%s: %q is missing in %q", whom, w, got)
				}
			}
		}
		h.logged(late)
		if got := why("late lena"); !strings.Contains(got, "is turned away at the door") || !strings.Contains(got, `The token "old" expired`) || !strings.Contains(got, "Secret Token") {
			t.Errorf("an expired token: %q", got)
		}
		h.logged(added)
		if got := why("una"); strings.Contains(got, "turned away at the door") {
			t.Errorf("it is let in again: %q", got)
		}
	})
}

func TestRequestLog_RunsInTheDirectorysPlace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.as("northwind", "Olivia Owner")
		link := h.logged(unmapped)[0]
		request := link[strings.LastIndex(link, "/")+1:]

		form := b.page("/o/northwind/directories/entra/try?request=" + request)
		if got, _ := form.Find("#path").Attr("value"); got != "/Users" || !strings.Contains(form.Find("#body").Text(), `"displayName"`) {
			t.Errorf("the form: %q, %q", got, form.Find("#body").Text())
		}
		h.pushes.answer = directory.Request{Method: "POST", Path: "/Users", Status: 201, Operation: "Created Una", Answer: `{"id":"1"}`}
		got := b.post("/o/northwind/directories/entra/try", "method", "POST", "path", "/Users", "body", "{}")
		if said := got.text("#result"); got.status != http.StatusOK || !strings.Contains(said, "Dry run: Created Una. Nothing of it was kept.") || !strings.Contains(said, "Done, 201") {
			t.Errorf("dry run: %d %q", got.status, said)
		}
		h.pushes.err = fault.New(fault.Unsupported, "One operation at a time.")
		if said := b.post("/o/northwind/directories/entra/try", "method", "POST", "path", "/Bulk").text(".notice"); said != "One operation at a time." {
			t.Errorf("refused: %q", said)
		}
		h.pushes.err = nil
		if got := b.page(link + "/replay").text("#sheet h1"); got != "Send again?" {
			t.Errorf("the question: %q", got)
		}
		h.pushes.answer.ID = "0198aaaa-0000-7000-8000-000000000000"
		got = b.post(link + "/replay")
		if got.status != http.StatusSeeOther || !strings.HasSuffix(got.location, "/requests/0198aaaa-0000-7000-8000-000000000000") {
			t.Errorf("replay: %d to %s", got.status, got.location)
		}
		if diff := cmp.Diff(h.pushes.asked, []string{
			"dry northwind entra POST /Users {} Olivia Owner", "dry northwind entra POST /Bulk  Olivia Owner", "replay northwind entra " + request + " Olivia Owner",
		}); diff != "" {
			t.Error(diff)
		}

		// Each page and each form is for those who set up sign-in and provisioning, and for nobody of another organization.
		for _, who := range []struct {
			org    id.Organization
			name   string
			status int
		}{{"northwind", "Adam Admin", http.StatusForbidden}, {"northwind", "Niko New", http.StatusForbidden}, {"fieldserv", "Femi Field", http.StatusNotFound}} {
			b := h.as(who.org, who.name)
			for _, path := range []string{"requests", "requests/" + request, "requests/" + request + "/replay", "why?q=una", "try"} {
				if got := b.get("/o/northwind/directories/entra/" + path).status; got != who.status && got != http.StatusSeeOther {
					t.Errorf("%s at %s: %d", who.name, path, got)
				}
			}
			for _, path := range []string{"requests/" + request + "/replay", "try"} {
				if got := b.post("/o/northwind/directories/entra/"+path, "method", "GET", "path", "/Users"); got.status != who.status && got.status != http.StatusSeeOther {
					t.Errorf("%s posts to %s: %d", who.name, path, got.status)
				}
			}
		}
		if len(h.pushes.asked) != 3 {
			t.Errorf("asked by those who may not: %q", h.pushes.asked[3:])
		}
		if got := b.get("/o/northwind/directories/nowhere/requests").status; got != http.StatusNotFound {
			t.Errorf("no such directory: %d", got)
		}
	})
}

package console_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// sensitiveForms are the forms of sensitive doors, each with something typed; those with get ask before they show the form.
func sensitiveForms(h *house) map[string]struct {
	post string
	get  string
	form []string
} {
	user := "/users/" + string(h.users["Niko New"])
	return map[string]struct {
		post string
		get  string
		form []string
	}{
		"make a token":            {"/directories/entra/tokens", "/directories/entra/tokens/new", []string{"name", "Second"}},
		"revoke a token":          {"/directories/entra/tokens/of/main/revoke", "/directories/entra/tokens/of/main/revoke", []string{"reason", "leaked"}},
		"undo a wave":             {"/directories/entra/wave/undo", "/directories/entra/wave/undo", []string{"reason", "a mistake"}},
		"release a wave":          {"/directories/entra/wave/release", "/directories/entra/wave/release", []string{"reason", "meant so"}},
		"make a connection":       {"/connections", "/connections/new", []string{"name", "Second"}},
		"change a connection":     {"/connections/corp", "/connections/corp/edit", []string{"name", "Renamed"}},
		"open a connection":       {"/connections/corp/do/open", "/connections/corp/do/open", []string{"reason", "tested"}},
		"approve metadata":        {"/connections/corp/keys/metadata", "", []string{"decision", "approve"}},
		"make a key":              {"/connections/corp/keys/make", "", []string{"use", "signing"}},
		"use a key":               {"/connections/corp/keys/k1/use", "", []string{"reason", "rollover"}},
		"remove a key":            {"/connections/corp/keys/k1/remove", "", []string{"reason", "rollover"}},
		"give up a domain":        {"/domains/northwind.example/release", "/domains/northwind.example/release", []string{"reason", "sold"}},
		"demand single sign-on":   {"/rules/enforce", "", []string{"sure", "yes"}},
		"no longer demand it":     {"/rules/release", "", []string{"sure", "yes"}},
		"make an exception":       {"/rules/exceptions", "", []string{"address", "ann@northwind.example"}},
		"end an exception":        {"/rules/exceptions/e1/end", "", []string{"reason", "left"}},
		"make a webhook":          {"/webhooks", "/webhooks/new", []string{"url", "https://hooks.example/x"}},
		"change a webhook":        {"/webhooks/w1", "/webhooks/w1/edit", []string{"url", "https://hooks.example/y"}},
		"a webhook's new secret":  {"/webhooks/w1/secret", "/webhooks/w1/secret", []string{"reason", "known"}},
		"take a webhook away":     {"/webhooks/w1/delete", "/webhooks/w1/delete", []string{"reason", "old"}},
		"make a role":             {"/roles", "/roles/new", []string{"name", "Night shift"}},
		"change a role":           {"/roles/custom:night/edit", "/roles/custom:night/edit", []string{"name", "Night shift"}},
		"delete a role":           {"/roles/custom:night/delete", "/roles/custom:night/delete", []string{"version", "1"}},
		"offer to serve":          {"/providers/offer", "/providers/offer", []string{"client", "fieldserv"}},
		"let a provider in":       {"/providers/fieldserv/terms", "/providers/fieldserv/terms", []string{"role", "viewer"}},
		"give to a provider's":    {"/providers/fieldserv/give", "/providers/fieldserv/give", []string{"email", "sam@fieldserv.example"}},
		"cut a provider":          {"/providers/fieldserv/cut", "/providers/fieldserv/cut", []string{"reason", "done"}},
		"give a protected role":   {user + "/give", "", []string{"role", "owner", "resource", "northwind", "reason", "deputy"}},
		"give who gives":          {user + "/give", "", []string{"role", "receptionist", "resource", "northwind"}},
		"give several who give":   {"/users/give", "", []string{"user", string(h.users["Niko New"]), "role", "receptionist", "resource", "northwind"}},
		"a group gives":           {"/groups/night-shift/give", "", []string{"role", "user-admin", "resource", "northwind"}},
		"invite an owner":         {"/invitations", "", []string{"email", "new@northwind.example", "role", "owner", "resource", "northwind"}},
		"invite a list":           {"/invitations/list/send", "", []string{"text", "new@northwind.example"}},
		"see a link again":        {"/invitations/i1/resend", "", []string{"reason", "lost"}},
		"custom access":           {user + "/do/custom", user + "/do/custom", []string{"reason", "apart"}},
		"back to default roles":   {user + "/do/defaults", user + "/do/defaults", []string{"reason", "as all"}},
		"delete a user":           {user + "/do/delete", user + "/do/delete", []string{"reason", "left"}},
		"keep a user":             {user + "/do/keep", user + "/do/keep", []string{"reason", "stays"}},
		"let a user in again":     {user + "/do/reactivate", user + "/do/reactivate", []string{"reason", "is back"}},
		"restore a user":          {user + "/do/restore", user + "/do/restore", []string{"reason", "is back"}},
		"carry grants over":       {user + "/carry", "", []string{"from", "u1"}},
		"decide a conflict":       {"/conflicts/c1", "", []string{"decision", "same-person"}},
		"add a member":            {"/groups/night-shift/members", "", []string{"user", "u1"}},
		"reset somebody's factor": {user + "/do/reset-factors", user + "/do/reset-factors", []string{"reason", "lost"}},
	}
}

// eventCount gives how many events Northwind's log holds.
func (h *house) eventCount() (n int) {
	h.t.Helper()
	h.must(h.db.Read(h.t.Context(), "northwind", func(tx *store.Tx) error {
		list, err := tx.Events(h.t.Context(), store.AuditFilter{Limit: 1000})
		n = len(list)
		return err
	}))
	return n
}

// A browser that somebody left open goes through no sensitive door, and what was typed there waits in it.
func TestSensitiveDoors_AskForAFreshProofAndKeepWhatWasTyped(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		old := h.proved("Olivia Owner", nil, h.db.Now().Add(-mfa.FreshFor-time.Minute))
		fresh := h.proved("Olivia Owner", nil, h.db.Now())
		events := h.eventCount()
		for what, d := range sensitiveForms(h) {
			const here = "/o/northwind"
			if d.get != "" {
				want := "/signin/again?" + url.Values{"organization": {"northwind"}, "return_to": {here + d.get}}.Encode()
				if got := old.get(here + d.get); got.status != http.StatusSeeOther || got.location != want {
					t.Errorf("%s: the form answers %d to %q, want a proof and back", what, got.status, got.location)
				}
				dialog, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+here+d.get, nil)
				h.must(err)
				dialog.Header.Set("HX-Request", "true")
				if got := old.do(dialog); got.header.Get("HX-Redirect") != want {
					t.Errorf("%s: a dialog leads to %q, want %q", what, got.header.Get("HX-Redirect"), want)
				}
			}
			got := old.post(here+d.post, d.form...)
			if got.status != http.StatusForbidden || !strings.Contains(got.text("main"), "Nothing was done yet") {
				t.Errorf("%s: %d to %q: %s", what, got.status, got.location, got.text("main"))
				continue
			}
			if action, _ := got.Find("main form").Attr("action"); action != here+d.post {
				t.Errorf("%s: it would be sent to %q", what, action)
			}
			for i := 0; i < len(d.form); i += 2 {
				if v, _ := got.Find(`main form input[name="` + d.form[i] + `"]`).Attr("value"); v != d.form[i+1] {
					t.Errorf("%s: of %s stays %q, want %q", what, d.form[i], v, d.form[i+1])
				}
			}
			way, _ := got.Find("main a.button").Attr("href")
			want := "/signin/again?" + url.Values{"organization": {"northwind"}, "return_to": {here + "/me/proved"}}.Encode()
			if way != want {
				t.Errorf("%s: the way to prove it is %q, want %q", what, way, want)
			}
		}
		if now := h.eventCount(); now != events {
			t.Errorf("%d events after doors that stayed shut, want %d", now, events)
		}
		for what, d := range sensitiveForms(h) {
			if got := fresh.post("/o/northwind"+d.post, d.form...); strings.HasPrefix(got.location, "/signin") || strings.Contains(got.body, "Show who you are first") ||
				strings.Contains(got.body, "There is no page at this address") {
				t.Errorf("%s, proved lately: %d to %q: %s", what, got.status, got.location, got.text("main"))
			}
		}
		if got := fresh.page("/o/northwind/me/proved"); !strings.Contains(got.text("main"), "You have shown who you are") {
			t.Errorf("after the proof: %s", got.text("main"))
		}
	})
}

// A door is shut however its form is written and whether its address ends with a slash.
func TestSensitiveDoors_NoOtherSpellingGoesAround(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		old := h.proved("Olivia Owner", nil, h.db.Now().Add(-mfa.FreshFor-time.Minute))
		events := h.eventCount()
		owner := []string{"email", "new@northwind.example", "role", "owner", "resource", "northwind"}
		shut := func(what string, got answer) {
			t.Helper()
			if got.status != http.StatusForbidden || !strings.Contains(got.text("main"), "Nothing was done yet") {
				t.Errorf("%s: %d to %q: %s", what, got.status, got.location, got.text("main"))
			}
		}
		for path, form := range map[string][]string{
			"/invitations/": owner, "/webhooks/": {"url", "https://hooks.example/x", "letter", "expiry"}, "/directories/entra/tokens/": {"name", "Second"},
		} {
			shut(path, old.post("/o/northwind"+path, form...))
		}
		for path, form := range map[string][]string{
			"/invitations": owner, "/users/" + string(h.users["Niko New"]) + "/give": owner[2:], "/groups/night-shift/give": owner[2:],
		} {
			var body bytes.Buffer
			parts := multipart.NewWriter(&body)
			for i := 0; i < len(form); i += 2 {
				h.must(parts.WriteField(form[i], form[i+1]))
			}
			h.must(parts.Close())
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/o/northwind"+path, &body)
			h.must(err)
			r.Header.Set("Content-Type", parts.FormDataContentType())
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			shut(path+" in parts", old.do(r))
		}
		if now := h.eventCount(); now != events {
			t.Errorf("%d events after doors that stayed shut, want %d", now, events)
		}
	})
}

// What gives no power over others asks for nothing.
func TestSensitiveDoors_AnOrdinaryRoleIsGivenWithoutAProof(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		old := h.proved("Olivia Owner", nil, h.db.Now().Add(-time.Hour))
		give := "/o/northwind/users/" + string(h.users["Niko New"]) + "/give"
		if got := old.post(give, "role", "asset-editor", "resource", "emea"); got.status != http.StatusSeeOther || strings.HasPrefix(got.location, "/signin") {
			t.Errorf("%d to %q: %s", got.status, got.location, got.text("main"))
		}
		for _, list := range []string{"/connections", "/directories/entra/tokens", "/webhooks", "/invitations"} {
			old.page("/o/northwind" + list)
		}
	})
}

// The operator's own password is asked for, and the session from before ends.
func TestSensitiveDoors_AskTheOperatorForThePassword(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		h.declare()
		b := h.operator()
		b.page("/o/northwind/webhooks/new")
		clock.Advance(mfa.FreshFor + time.Minute)
		const hooks = "/o/northwind/webhooks"
		again := "/operator/signin?" + url.Values{"return_to": {hooks + "/new"}}.Encode()
		if got := b.get(hooks + "/new"); got.location != again {
			t.Errorf("the form leads to %q", got.location)
		}
		got := b.post(hooks, "url", "https://hooks.example/x", "kinds", "expiry")
		if v, _ := got.Find(`input[name="url"]`).Attr("value"); got.status != http.StatusForbidden || v != "https://hooks.example/x" {
			t.Fatalf("%d keeps %q: %s", got.status, v, got.text("main"))
		}
		at, err := url.Parse(h.url)
		h.must(err)
		before := b.client.Jar.Cookies(at)
		if got := b.post("/operator/signin", "email", "opal@example.com", "password", operatorPassword, "return_to", "/o/northwind/me/proved"); got.location != "/o/northwind/me/proved" {
			t.Fatalf("%d to %q", got.status, got.location)
		}
		b.page("/o/northwind/me/proved")
		if got := b.post(hooks, "url", "https://hooks.example/x", "kinds", "expiry"); strings.Contains(got.body, "Show who you are first") {
			t.Errorf("proved lately: %d %s", got.status, got.text("main"))
		}
		stolen := h.browser()
		stolen.client.Jar.SetCookies(at, before)
		if got := stolen.get("/o/northwind/users"); got.status == http.StatusOK {
			t.Error("the session from before still opens pages")
		}
	})
}

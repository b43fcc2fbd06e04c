package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/store"
)

// The attack: single sign-on is demanded, and some door beside the sign-in page still opens, or stays open for whoever prepared it
// before. No door of an enforced domain lets anybody in or keeps what would, however the address is written.
func TestEnforced_NoDoorGoesAroundTheProvider(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.settings(func(s *store.Settings) { s.AllowedDomains = nil })
		gus := w.guest("gus@northwind.example")
		w.chosen(gus, herons)
		upper := w.guest("Gil@NORTHWIND.Example")
		w.chosen(upper, herons)
		w.mustSignIn() // somebody has come through the connection
		// What was begun while every way was open.
		w.browser = newBrowser()
		w.forget("gus@northwind.example")
		reset := w.link(mail.PasswordReset, "gus@northwind.example")
		var links []string
		w.write(func(tx *store.Tx) error {
			made, err := tx.Invite(w.ctx, administrator, []invitation.Row{{Email: "new@northwind.example"}, {Email: "two@northwind.example"}}, store.InviteOptions{URL: w.app.URL, Show: true})
			for _, m := range made {
				links = append(links, strings.TrimPrefix(m.Link, w.app.URL))
			}
			return err
		})
		opened := func(link string) answer {
			a := w.get(link)
			if a.status != http.StatusSeeOther {
				t.Fatalf("%s: %d %s", link, a.status, a.doc.Find("main").Text())
			}
			return w.get(a.header.Get("Location"))
		}
		begun := hidden(opened(links[0]), "attempt")
		if begun == "" {
			t.Fatal("the invitation does not open")
		}

		w.settings(func(s *store.Settings) { s.EnforceSSO = true })
		outside := func(name string, a answer) {
			t.Helper()
			if a.status < 400 || a.header.Get("Location") != "" {
				t.Errorf("%s: %d %s", name, a.status, a.header.Get("Location"))
			}
			if _, err := w.session(northwind); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("%s: signed in (%v)", name, err)
			}
		}
		before := w.rows("outbox")
		for _, address := range []string{"gus@northwind.example", "GUS@Northwind.Example", "ｇｕｓ@northwind.example", "gil@northwind.example"} {
			outside("password of "+address, w.enter(address, herons))
		}
		outside("a reset link of before", w.do(w.browser, http.MethodPost, reset, url.Values{"password": {lantern}}))
		outside("an invitation that was open", w.do(w.browser, http.MethodPost, "/invitation/password", url.Values{
			"attempt": {begun}, "password": {lantern}, "name": {"New"},
		}))
		outside("an invitation that was open, by passkey", w.do(w.browser, http.MethodPost, "/invitation/passkey", url.Values{"attempt": {begun}}))
		page := opened(links[1])
		if page.doc.Find("input[type=password]").Length() != 0 || page.doc.Find("form[action='/invitation/passkey']").Length() != 0 {
			t.Error("an invitation opened now offers a way around the provider")
		}
		form := w.passwordPage()
		outside("a break-glass code of nobody", w.do(w.browser, http.MethodPost, "/signin/break-glass", url.Values{
			"attempt": {hidden(form, "attempt")}, "organization": {"northwind"}, "email": {"gus@northwind.example"}, "code": {"AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"},
		}))
		for _, user := range []id.User{gus, upper} {
			for _, m := range connection.Methods {
				w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) error {
					facts, _, err := tx.LocalFacts(w.ctx, user)
					if got := connection.Local(m, facts); got != connection.CodeEnforced {
						t.Errorf("%s of %s: %q", m, user, got)
					}
					return err
				}))
			}
		}
		if diff := cmp.Diff(before, w.rows("outbox"), cmp.FilterPath(func(p cmp.Path) bool {
			return strings.Contains(p.GoString(), `["invitations"]`) // opening one is remembered
		}, cmp.Ignore())); diff != "" {
			t.Errorf("rows changed:\n%s", diff)
		}
	})
}

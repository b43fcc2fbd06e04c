package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// once gives the mark of the form that is sent to an address.
func (a answer) once(action string) string {
	a.h.t.Helper()
	value, _ := a.Find(`form[action="` + action + `"] input[name=once]`).Attr("value")
	if value == "" {
		a.h.t.Fatalf("the form for %s carries no mark: %s", action, a.text("main"))
	}
	return value
}

func TestSecrets_AReloadOfTheAnswerMakesNoSecond(t *testing.T) {
	t.Parallel()
	const o = "/o/northwind"
	for name, door := range map[string]struct {
		form, action string // the page with the form, and where it is sent
		fields       []string
		back         string
	}{
		"a directory's token": {o + "/directories/entra/tokens/new", o + "/directories/entra/tokens", []string{"expires", ""}, o + "/directories/entra/tokens"},
		"a setup link": {
			o + "/setup-links/new", o + "/setup-links",
			[]string{"contact", "it@northwind.example", "purpose", "sso"},
			o + "/setup-links",
		},
		"a webhook":          {o + "/webhooks/new", o + "/webhooks", []string{"url", "https://hooks.example/v", "letter", "expiry"}, o + "/webhooks"},
		"a webhook's secret": {o + "/webhooks/HOOK/secret", o + "/webhooks/HOOK/secret", nil, o + "/webhooks/HOOK"},
		"a break-glass code": {o + "/me/break-glass", o + "/me/break-glass", nil, o + "/me/break-glass"},
		"an invitation": {
			o + "/invitations/new", o + "/invitations",
			[]string{"email", "new@northwind.example", "role", "viewer", "resource", "emea"},
			o + "/invitations",
		},
		"an invitation's new link": {o + "/invitations/INVITATION/resend", o + "/invitations/INVITATION/resend", nil, o + "/invitations"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				h := open(t, db)
				h.declare()
				b := h.as("northwind", "Olivia Owner")
				h.must(db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
					_, err := tx.PutException(t.Context(), store.SSOException{
						Address: "olivia@northwind.example", Kind: "break-glass", Reason: "the provider is away", Expires: tx.Now().Add(24 * time.Hour),
					}, h.system)
					return err
				}))
				at := strings.NewReplacer()
				switch {
				case strings.Contains(door.form, "HOOK"):
					b.post(o+"/webhooks", "url", "https://hooks.example/v", "letter", "expiry")
					path, _ := b.page(o + "/webhooks").Find("th a").Attr("href")
					at = strings.NewReplacer("HOOK", path[strings.LastIndexByte(path, '/')+1:])
				case strings.Contains(door.form, "INVITATION"):
					b.post(o+"/invitations", "email", "new@northwind.example")
					path, _ := b.page(o + "/invitations").Find(`a[href$="/resend"]`).Attr("href")
					at = strings.NewReplacer("INVITATION", strings.Split(path, "/")[4])
				}
				form, action := at.Replace(door.form), at.Replace(door.action)
				mark := b.page(form).once(action)

				// What is refused for another reason is not spent.
				other := h.as("northwind", "Dana Dubois")
				if got := other.post(action, append(door.fields, "once", mark)...); got.status == http.StatusOK {
					t.Fatalf("somebody without the right: %d %s", got.status, got.text("main"))
				}
				made := b.post(action, append(door.fields, "once", mark)...)
				if made.status != http.StatusOK || made.Find("main code").Length() == 0 {
					t.Fatalf("%d: %s", made.status, made.text("main"))
				}
				secret := made.Find("main code").First().Text()
				events := h.eventCount()
				again := b.post(action, append(door.fields, "once", mark)...)
				if again.status != http.StatusConflict || !strings.Contains(again.text("main"), "was made when this form was sent the first time") {
					t.Errorf("the second time: %d %s", again.status, again.text("main"))
				}
				if strings.Contains(again.body, secret) || h.eventCount() != events {
					t.Errorf("the second time something is made or shown: %s", again.text("main"))
				}
				if back, _ := again.Find("main a.button").Attr("href"); back != at.Replace(door.back) {
					t.Errorf("the way back leads to %q", back)
				}
				if fresh := b.page(form).once(action); fresh == mark {
					t.Error("the form, shown anew, carries the same mark")
				}
				if got := b.post(action, append(door.fields, "once", strings.Repeat("x", 500))...); got.status != http.StatusUnprocessableEntity {
					t.Errorf("a mark that is none: %d", got.status)
				}
			})
		})
	}
}

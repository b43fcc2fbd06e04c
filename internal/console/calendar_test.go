package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestCalendar_ListsWhatEndsForWhoMayKnow(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		h.declare()
		h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(connection.Connection{
				Organization: "northwind", ID: "upstream", Name: "Entra, of Oslo", Protocol: connection.OIDC,
				Settings: connection.Settings{ClientSecretExpires: clock.Now().AddDate(0, 0, 100).Format(time.DateOnly)},
			})
			return nil
		}))
		owner := h.as("northwind", "Olivia Owner")
		all := owner.page("/o/northwind/calendar").text("main")
		for _, want := range []string{"The token main of Northwind Entra ID", "The client secret of Entra, of Oslo", "Make a second one", "Soon"} {
			if !strings.Contains(all, want) {
				t.Errorf("want %q in %q", want, all)
			}
		}
		if token, secret := strings.Index(all, "The token main"), strings.Index(all, "The client secret of"); token > secret {
			t.Error("what ends first does not stand first")
		}
		for query, want := range map[string]string{"kind=secret": "The client secret of", "within=60": "The token main", "kind=domain": "Nothing of this kind"} {
			got := owner.page("/o/northwind/calendar?" + query).text("main")
			for _, text := range []string{"The client secret of", "The token main", "Nothing of this kind"} {
				if strings.Contains(got, text) != (text == want) {
					t.Errorf("%s: %q in %q", query, text, got)
				}
			}
		}
		// The overview speaks of the same, once it is near.
		if got := owner.page("/o/northwind").text("[aria-labelledby=attention]"); strings.Contains(got, "client secret") {
			t.Errorf("spoken of too early: %q", got)
		}
		clock.Advance(60 * 24 * time.Hour)
		owner = h.as("northwind", "Olivia Owner")
		if got := owner.page("/o/northwind").text("[aria-labelledby=attention]"); !strings.Contains(got, "The client secret of Entra, of Oslo expires in 39 days") {
			t.Errorf("got %q", got)
		}
		file := owner.get("/o/northwind/calendar.ics?kind=secret").body
		for _, want := range []string{
			"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", "\r\nUID:northwind/secret/upstream\r\n", "\r\nSUMMARY:The client secret of Entra\\, of Oslo expires\r\n",
			"\r\nDTSTART;VALUE=DATE:20260610\r\n", "END:VCALENDAR\r\n",
		} {
			if !strings.Contains(file, want) {
				t.Errorf("want %q in %q", want, file)
			}
		}
		for line := range strings.SplitSeq(file, "\r\n") {
			if len(line) > 75 {
				t.Errorf("%d octets in %q", len(line), line)
			}
		}
		// Who only reads users sees the ends of invitations, and nothing of how sign-in is set up.
		if got := h.as("northwind", "Adam Admin").page("/o/northwind/calendar").text("main"); strings.Contains(got, "The token") || !strings.Contains(got, "Nothing expires") {
			t.Errorf("got %q", got)
		}
		for _, path := range []string{"/o/northwind/calendar", "/o/northwind/calendar.ics"} {
			if got := h.as("northwind", "Niko New").get(path); got.status != http.StatusForbidden {
				t.Errorf("%s answers %d to whom it is not for", path, got.status)
			}
		}
	})
}

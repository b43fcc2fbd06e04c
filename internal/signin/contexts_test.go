package signin_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/mfa"
)

// asked gives the acr_values of a redirect to the provider.
func (w *world) asked(a answer) string {
	w.t.Helper()
	u, err := url.Parse(a.header.Get("Location"))
	w.must(err)
	if !u.IsAbs() {
		w.t.Fatalf("%d to %q, want the provider: %s", a.status, u, a.doc.Find("main").Text())
	}
	return u.Query().Get("acr_values")
}

// A second factor that is asked for is had at the provider where its word counts: it is asked by the contexts that mean one, at once for
// an application and otherwise from the page that asks. What comes back without is asked for here.
func TestContexts_ATrustedProviderIsAskedForItsSecondFactor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		application := `{"client_id":"dashboard","organization":"northwind","connection":"corp","acr_values":["urn:vestibule:acr:mfa"]}`
		if got := w.asked(w.get(w.application(application))); got != "" {
			t.Errorf("a provider that is not trusted is asked for %q", got)
		}
		w.configure(func(s *connection.Settings) { s.TrustAMR, s.MFAContexts = true, []string{"gold", "phrh"} })
		if got := w.asked(w.get(w.application(application))); got != "gold phrh" {
			t.Errorf("for the application: %q", got)
		}
		for _, demanded := range []struct{ contexts, want string }{{"silver phrh", "phrh"}, {"silver", "silver"}} {
			w.configure(func(s *connection.Settings) {
				s.TrustAMR, s.MFAContexts, s.ACRValues = true, []string{"gold", "phrh"}, strings.Fields(demanded.contexts)
			})
			if got := w.asked(w.get(w.application(application))); got != demanded.want {
				t.Errorf("with %q demanded: %q, want %q", demanded.contexts, got, demanded.want)
			}
		}

		// The organization demands it of everybody: the page that asks offers the provider's beside our own.
		w.configure(func(s *connection.Settings) { s.TrustAMR, s.MFAContexts = true, []string{"gold"} })
		w.demand()
		offered := func(page answer) string {
			to, _ := page.doc.Find(`#ways a[href^="/signin?attempt="]`).Attr("href")
			if to == "" {
				t.Fatalf("the provider is not offered: %s", page.doc.Find("main").Text())
			}
			return to
		}
		to := offered(w.lands(w.signIn(), "/signin/factor?attempt="))
		away := w.get(to)
		if got := w.asked(away); got != "gold" {
			t.Errorf("from the page that asks: %q", got)
		}
		to = offered(w.lands(w.get(w.approve(away.header.Get("Location"))), "/signin/factor?attempt="))
		w.says(map[string]any{"acr": "gold"})
		if a := w.get(w.approve(w.get(to).header.Get("Location"))); a.header.Get("Location") != "/o/northwind/me" {
			t.Fatalf("with its second factor: %d %s", a.status, a.doc.Find("main").Text())
		}
		if s, err := w.session(northwind); err != nil || !mfa.Two(s.AMR) || s.ACR != "gold" {
			t.Errorf("the session: %+v %v", s, err)
		}
	})
}

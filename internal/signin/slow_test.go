package signin_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
)

// stalls makes a provider answer a path no more until whoever asked goes away: not at all, or with a byte now and then, which keeps
// a connection from ever being idle (slow loris). Each time it is reached is told.
func (p *idp) stalls(path string, drips bool, reached chan<- string) {
	p.stall = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		_ = r.ParseForm() // a body that is not read hides that the client has gone
		reached <- path
		if !drips {
			<-r.Context().Done()
			return true
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{"))
		every := time.NewTicker(200 * time.Millisecond)
		defer every.Stop()
		for {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return true
			case <-every.C:
				_, _ = w.Write([]byte(" "))
			}
		}
	}
}

// 55: a provider that hangs or drips costs a sign-in the few seconds it is given and no more, whichever of its endpoints it is, and
// costs nobody else anything. All of them are slow at once, each for a person of its own: the test takes as long as the slowest.
func TestUpstream_55_ASlowProviderIsGivenUpAndHoldsUpNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		reached := make(chan string, 16)
		slow := map[id.Connection]*world{}
		providers := map[id.Connection]*idp{}
		for name, at := range map[id.Connection]struct {
			path  string
			drips bool
		}{
			"discovery-hangs": {"/.well-known/openid-configuration", false}, "discovery-drips": {"/.well-known/openid-configuration", true},
			"token-hangs": {"/token", false}, "token-drips": {"/token", true},
			"userinfo-hangs": {"/userinfo", false}, "userinfo-drips": {"/userinfo", true},
			"keys-hang": {"/jwks", false}, "keys-drip": {"/jwks", true},
		} {
			p := newIDP(t, w.clock.Now)
			p.stalls(at.path, at.drips, reached)
			delete(p.person, "name") // so that userinfo is asked
			person := *w
			person.idp, person.browser = p, newBrowser()
			slow[name], providers[name] = &person, p
		}
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			for name, p := range providers {
				tx.PutDeclaredConnection(w.connection(northwind, name, p.URL, nil))
			}
			return nil
		}))
		before, known := w.rows(), len(w.events())

		var mu sync.Mutex // guards pages and took
		pages, took := map[id.Connection]answer{}, map[id.Connection]time.Duration{}
		var all sync.WaitGroup
		for name, person := range slow {
			all.Go(func() {
				a := person.get("/signin?organization=northwind&connection=" + string(name) + "&return_to=/o/northwind/me")
				began := time.Now()
				if a = person.get(a.header.Get("Location")); a.status == http.StatusSeeOther {
					back := person.approve(a.header.Get("Location"))
					began = time.Now()
					a = person.get(back)
				}
				mu.Lock()
				defer mu.Unlock()
				pages[name], took[name] = a, time.Since(began)
			})
		}
		for range slow {
			select {
			case <-reached:
			case <-time.After(time.Minute):
				t.Fatal("not every slow endpoint was asked")
			}
		}
		// While all of them wait, another organization's people are sent to their provider.
		bystander := *w
		bystander.browser = newBrowser()
		if to := bystander.away("/signin?organization=southwind"); !strings.HasPrefix(to, w.other.URL) {
			t.Errorf("the bystander was sent to %q", to)
		}
		mu.Lock()
		if len(pages) == len(slow) {
			t.Error("the bystander waited until all of them were over")
		}
		mu.Unlock()
		all.Wait()

		codes := map[id.Connection]string{}
		for name, a := range pages {
			if a.status != http.StatusServiceUnavailable || a.code() != string(signin.CodeUnreachable) || a.title() == "" || a.doc.Find("main p").Length() == 0 {
				t.Errorf("%s: the page: %d %q %s", name, a.status, a.code(), a.doc.Find("main").Text())
			}
			// The client as a whole waits a minute here, so whatever ends earlier was ended by the sign-in's own limit.
			if took[name] > 30*time.Second {
				t.Errorf("%s took %v", name, took[name])
			}
			if n := providers[name].count("/trap"); n != 0 {
				t.Errorf("%s: the trap was fetched %d times", name, n)
			}
		}
		if diff := cmp.Diff(before, w.rows()); diff != "" {
			t.Errorf("rows changed:\n%s", diff)
		}
		events := w.events()
		for _, e := range events[:len(events)-known] {
			if e.Action != "sign-in.refused" || e.Outcome != audit.Refused || e.Code != string(signin.CodeUnreachable) || !strings.Contains(e.Reason, "in time") {
				t.Errorf("the event: %+v", e)
			}
			codes[id.Connection(e.TargetID)] += e.Code
		}
		for name := range slow {
			if codes[name] != string(signin.CodeUnreachable) {
				t.Errorf("%s: the events' codes: %q, want one", name, codes[name])
			}
		}
		if len(codes) != len(slow) {
			t.Errorf("events of %d connections: %v", len(codes), codes)
		}
		// And the connection beside them is as good as ever.
		if a := w.get(w.approve(w.away(toConsole + "&connection=corp"))); a.header.Get("Location") != "/o/northwind/me" {
			t.Errorf("through the good one: %d %s", a.status, a.doc.Find("main").Text())
		}
	})
}

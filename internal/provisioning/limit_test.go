package provisioning_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// settings gives the directory plain of northwind other settings.
func (w *world) settings(s directory.Settings) {
	w.t.Helper()
	w.must(w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
		tx.PutDeclaredDirectory(store.DeclaredDirectory{
			Organization: "northwind", ID: "plain", Name: "plain of northwind", Dialect: "rfc", Key: directory.KeyExternalID, Settings: s,
		})
		return nil
	}))
	w.clock.Advance(2 * time.Second) // a node knows a directory for a second
}

// H-13.
func TestLimit_RequestsOfADirectoryAreCountedOnAllNodes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.settings(directory.Settings{RateLimit: directory.RateLimit{PerMinute: 30}})
		w.clock.Advance(w.clock.Now().Truncate(time.Minute).Add(time.Minute + 10*time.Second).Sub(w.clock.Now()))
		other := &world{t: t, db: w.db, clock: w.clock, http: provisioning.New(provisioning.Config{DB: w.db, URL: publicURL})}
		answered := 0
		var refused answer
		for i := range 40 {
			node := w
			if i%2 == 1 {
				node = other
			}
			switch a := node.plain().send(node.plain().request("GET", "/Users?count=0", "")); a.status {
			case 200:
				answered++
			case 429:
				refused = a
			default:
				t.Fatal(a.raw)
			}
		}
		if answered != 30 {
			t.Errorf("of 40 requests %d were answered, want 30", answered)
		}
		if refused.header.Get("Retry-After") != "50" || refused.text("status") != "429" || refused.text("scimType") != "" ||
			!strings.Contains(refused.text("detail"), "30 requests a minute") || refused.header.Get("Content-Type") != "application/scim+json" {
			t.Errorf("H-13: Retry-After %q: %s", refused.header.Get("Retry-After"), refused.raw)
		}
		// Neither another directory nor who has no token is counted with it.
		w.entra().do(200, "GET", "/Users?count=0", "")
		stranger := client{w, w.plain().base, "wrong"}
		stranger.do(401, "GET", "/Users", "")
		w.clock.Advance(50 * time.Second)
		w.plain().do(200, "GET", "/Users?count=0", "")
	})
}

// A stranger's requests do not use up the directory's.
func TestLimit_AStrangerDoesNotSpendIt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.settings(directory.Settings{RateLimit: directory.RateLimit{PerMinute: 2}})
		stranger := client{w, w.plain().base, "wrong"}
		for range 10 {
			stranger.do(401, "GET", "/Users", "")
		}
		w.plain().do(200, "GET", "/Users?count=0", "")
	})
}

// L-09: a search that reads too much is refused for good and not as a failure to try again. A list without a filter goes on.
func TestLimit_ASearchThatTakesTooLongIsTooMany(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.plain().user("ann")
		w.http = provisioning.New(provisioning.Config{DB: w.db, URL: publicURL, Patience: time.Nanosecond})
		w.plain().refused(400, "tooMany", "GET", `/Users?filter=title co "x"`, "")
		w.plain().refused(400, "tooMany", "GET", `/Users?sortBy=title`, "")
		w.plain().do(200, "GET", "/Users", "")
	})
}

// Each bound has its own answer and does nothing.
func TestLimit_EachHasItsError(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		ann := c.user("ann")
		// A page is cut and says so (L-04).
		if a := c.do(200, "GET", fmt.Sprintf("/Users?count=%d", scim.MaxPage+1), ""); a.number("itemsPerPage") != 1 {
			t.Error(a.raw)
		}
		operations := strings.Repeat(`{"op":"replace","path":"title","value":"x"},`, scim.MaxOperations) + `{"op":"replace","path":"title","value":"y"}`
		c.refused(413, "", "PATCH", "/Users/"+ann, `{`+patchOp+`,"Operations":[`+operations+`]}`)
		bulk := strings.Repeat(`{"method":"DELETE","path":"/Users/nobody"},`, scim.BulkLimit) + `{"method":"DELETE","path":"/Users/nobody"}`
		if a := c.do(413, "POST", "/Bulk", `{`+bulkReq+`,"Operations":[`+bulk+`]}`); !strings.Contains(a.text("detail"), "1000") {
			t.Errorf("B-08: %s", a.raw)
		}
		c.refused(413, "", "PUT", "/Users/"+ann, `{"x":"`+strings.Repeat("a", scim.MaxBody)+`"}`)
		c.refused(413, "", "POST", "/Bulk", `{"x":"`+strings.Repeat("a", scim.MaxBulk)+`"}`)
		for name, filter := range map[string]string{
			"length": `title eq "` + strings.Repeat("x", 9000) + `"`,
			"depth":  strings.Repeat("(", 40) + `title pr` + strings.Repeat(")", 40),
			"terms":  strings.Repeat(`title pr or `, 300) + `title pr`,
		} {
			a := c.do(400, "POST", "/Users/.search", `{`+searchReq+fmt.Sprintf(`,"filter":%q}`, filter))
			if a.text("scimType") != "invalidFilter" && a.text("scimType") != "tooMany" || a.text("detail") == "" {
				t.Errorf("%s: %s", name, a.raw)
			}
		}
		if a := c.do(200, "GET", "/Users/"+ann, ""); a.text("title") != "" {
			t.Errorf("a refused request did something: %s", a.raw)
		}
	})
}

package provisioning_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// After a change that changed nothing the next one is looked at by a read first. What it asks for is answered all the same.
func TestModify_AfterAChangeOfNothing(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, w *world) {
		c := w.plain()
		id := c.user("ada", `"title":"Engineer"`)
		same := `{"op":"replace","path":"title","value":"Engineer"}`
		first := c.patch(200, "/Users/"+id, same)
		if again := c.patch(200, "/Users/"+id, same); again.raw != first.raw {
			t.Errorf("the same once more: got %s, want %s", again.raw, first.raw)
		}
		c.refused(412, "", "PATCH", "/Users/"+id, `{`+patchOp+`,"Operations":[`+same+`]}`, "If-Match", `W/"7"`)
		c.refused(400, "invalidValue", "PATCH", "/Users/"+id, `{`+patchOp+`,"Operations":[{"op":"replace","path":"title","value":7}]}`)
		c.refused(404, "", "PATCH", "/Users/nobody", `{`+patchOp+`,"Operations":[`+same+`]}`)
		changed := c.patch(200, "/Users/"+id, `{"op":"replace","path":"title","value":"Director"}`)
		if got := c.do(200, "GET", "/Users/"+id, ""); got.text("title") != "Director" || got.raw != changed.raw || got.raw == first.raw {
			t.Errorf("a change after none: got %s, answered %s", got.raw, changed.raw)
		}
	})
}

// What changes in the document alone is written without the locks that other changes take. It leaves the same behind, the event
// with it, and what is more than the document is still seen, also straight after it.
func TestModify_OfTheDocumentAlone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		patch := func(id, op string) answer { return c.patch(200, "/Users/"+id, op) }
		title := func(s string) string { return fmt.Sprintf(`{"op":"replace","path":"title","value":%q}`, s) }
		// The first goes the long way, and says what the next ones are like; the others go the short one.
		ada, bob := c.user("ada"), c.user("bob")
		patch(ada, title("Engineer"))
		patch(bob, title("Engineer"))
		var told []string
		for _, e := range w.events() {
			if e.Action == "user.changed" {
				told = append(told, strings.NewReplacer(ada, "ID", bob, "ID", "ada", "NAME", "bob", "NAME").Replace(fmt.Sprintf("%s %s %s %s %s %s %s %s %s",
					e.Actor.Name, e.Actor.Door, e.TargetKind, e.TargetID, e.TargetName, e.User, e.Outcome, e.Before, e.After)))
			}
		}
		if len(told) != 2 {
			t.Fatalf("%d events: %q", len(told), told)
		}
		if diff := cmp.Diff(told[0], told[1]); diff != "" {
			t.Errorf("the short way tells another event than the long one:\n%s", diff)
		}
		if v := c.do(200, "GET", "/Users/"+bob, "").header.Get("ETag"); v != `W/"2"` {
			t.Errorf("the version is %s", v)
		}
		c.refused(412, "", "PATCH", "/Users/"+bob, `{`+patchOp+`,"Operations":[`+title("Other")+`]}`, "If-Match", `W/"1"`)

		// Ten at the same moment: none is lost, whichever way it goes.
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				a := c.send(c.request(http.MethodPatch, "/Users/"+bob, fmt.Sprintf(`{%s,"Operations":[{"op":"add","path":"phoneNumbers","value":[{"type":"work","value":"%d"}]}]}`, patchOp, i)))
				if a.status != http.StatusOK {
					t.Errorf("phone %d: %d %s", i, a.status, a.raw)
				}
			})
		}
		wg.Wait()
		got := c.do(200, "GET", "/Users/"+bob, "")
		if n := strings.Count(got.raw, `"work"`); n != 10 || got.header.Get("ETag") != `W/"12"` {
			t.Errorf("%d phones, version %s", n, got.header.Get("ETag"))
		}

		patch(bob, title("Director"))
		patch(bob, `{"op":"replace","path":"displayName","value":"Robert"}`)
		if u := w.account(bob); u.DisplayName != "Robert" {
			t.Errorf("the user is called %q", u.DisplayName)
		}
		patch(bob, title("Chief"))
		patch(bob, title("Head"))
		patch(bob, `{"op":"replace","path":"active","value":false}`)
		if u := w.account(bob); u.HasAccess() {
			t.Error("still has access")
		}
	})
}

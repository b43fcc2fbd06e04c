package provisioning_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

const takeActive = `{"op":"remove","path":"active"}`

// agree checks that everything that answers about active tells the same of a person, and gives the answer of GET.
func (c *client) agree(user string, want any) answer {
	c.w.t.Helper()
	a := c.do(200, "GET", "/Users/"+user, "")
	if got, there := a.body["active"]; got != want || there != (want != nil) {
		c.w.t.Errorf("GET says %v, want %v: %s", got, want, a.raw)
	}
	for filter, hit := range map[string]bool{
		"active pr": want != nil, "not (active pr)": want == nil, "active eq true": want == true, "active eq false": want == false,
		"active ne true": want != true, "active eq null": want == nil, "active ne null": want != nil,
	} {
		if got := slices.Contains(c.list("/Users", filter), user); got != hit {
			c.w.t.Errorf("%s finds the person: %t, want %t", filter, got, hit)
		}
	}
	list := c.do(200, "GET", `/Users?filter=id eq "`+user+`"&attributes=active`, "")
	if r := list.body["Resources"].([]any)[0].(map[string]any); r["active"] != want {
		c.w.t.Errorf("the list says %v, want %v", r["active"], want)
	}
	return a
}

// A success means that the effect is there: after a remove the record shows no active, for whoever reads it. And silence is
// no word about the person: who was let in stays in, who was not stays out, until the directory says something again.
func TestUnsaid_ARemovedActiveIsGoneAndChangesNobodysAccess(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		for name, c := range map[string]*client{"plain": w.plain(), "entra": w.entra(), "okta": w.dir("northwind", "okta")} {
			for _, was := range []bool{true, false} {
				for how, remove := range map[string]string{
					"remove": takeActive, "null": `{"op":"replace","path":"active","value":null}`, "without a path": `{"op":"replace","value":{"active":null}}`,
				} {
					user := c.user("u-" + name + "-" + how + map[bool]string{true: "-in", false: "-out"}[was])
					alive := w.session(user, user)
					if !was {
						c.active(user, false)
					}
					before := c.agree(user, was)
					events := len(w.events())
					a := c.patch(200, "/Users/"+user, remove)
					if _, there := a.body["active"]; there || a.meta("version") == before.meta("version") || a.header.Get("ETag") == before.header.Get("ETag") {
						t.Errorf("%s, %s: answered %s after %s", name, how, a.raw, before.raw)
					}
					if got := c.agree(user, nil); got.raw != a.raw {
						t.Errorf("%s, %s: answered %s, and then %s", name, how, a.raw, got.raw)
					}
					got := w.events()
					if len(got) != events+1 || got[0].Action != "user.changed" || got[0].Reason != directory.Unsaid(was) {
						t.Errorf("%s, %s: %d events more, the last is %+v", name, how, len(got)-events, got[0])
					}
					stays := func(after string) {
						t.Helper()
						if w.account(user).HasAccess() != was || alive() != was {
							t.Errorf("%s, %s: %s changed the access of who was active %t", name, how, after, was)
						}
					}
					stays("silence")
					if s := w.account(user).Sources[0]; !s.Unsaid || s.Active != was {
						t.Errorf("the source is told as %+v", s)
					}

					// The same again changes nothing, nor does another change, nor a PUT that says nothing.
					version := a.meta("version")
					if again := c.patch(200, "/Users/"+user, remove); again.raw != a.raw || len(w.events()) != events+1 {
						t.Errorf("%s, %s: the same again: %s", name, how, again.raw)
					}
					c.patch(200, "/Users/"+user, `{"op":"replace","path":"title","value":"T"}`)
					c.do(200, "PUT", "/Users/"+user, `{`+coreUser+`,"userName":"u-`+user+`"}`)
					if got := c.agree(user, nil); got.meta("version") == version {
						t.Error("the PUT changed nothing")
					}
					stays("a PUT that says nothing")

					// What is said is done.
					c.active(user, !was)
					c.agree(user, !was)
					if u := w.account(user); u.HasAccess() == was || u.Sources[0].Unsaid {
						t.Errorf("%s, %s: active %t was said, and %+v came of it", name, how, !was, u)
					}
					c.patch(200, "/Users/"+user, remove)
					c.do(200, "PUT", "/Users/"+user, `{`+coreUser+`,"userName":"u-`+user+`","active":true}`)
					c.agree(user, true)
					if !w.account(user).HasAccess() {
						t.Errorf("%s, %s: a PUT with active brought nobody back", name, how)
					}
				}
			}
		}
	})
}

// Whoever counts people counts by what holds, and a list sorts those of whom nothing is said last.
func TestUnsaid_ListsAndDrift(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		on, off, silent, left := c.user("on"), c.user("off", `"active":false`), c.user("silent"), c.user("left", `"active":false`)
		c.patch(200, "/Users/"+silent, takeActive)
		c.patch(200, "/Users/"+left, takeActive)
		for order, want := range map[string][]string{"ascending": {off, on, silent, left}, "descending": {silent, left, on, off}} {
			got := c.do(200, "GET", "/Users?sortBy=active&sortOrder="+order, "").ids()
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("%s: %s", order, diff)
			}
			var walked []string
			for next := "&cursor"; next != ""; {
				a := c.do(200, "GET", "/Users?sortBy=active&count=1&sortOrder="+order+next, "")
				walked = append(walked, a.ids()...)
				if next = a.text("nextCursor"); next != "" {
					next = "&cursor=" + next
				}
			}
			if diff := cmp.Diff(walked, want); diff != "" {
				t.Errorf("%s, by cursor: %s", order, diff)
			}
		}
		w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
			counts, err := tx.CountDirectory(ctx, "plain")
			if counts.Users != 4 || counts.Inactive != 2 {
				t.Errorf("got %+v", counts)
			}
			return err
		})
	})
}

// A wave that is undone brings a record back as it was: silent, with what had been said before the silence.
func TestUnsaid_AWaveIsUndone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		in, out := c.user("in"), c.user("out", `"active":false`)
		for _, user := range []string{in, out} {
			c.patch(200, "/Users/"+user, takeActive)
			c.do(204, "DELETE", "/Users/"+user, "")
		}
		gone := c.user("gone")
		c.active(gone, false)
		c.patch(200, "/Users/"+gone, takeActive)
		if got := w.undo(); got.Restored != 3 || len(got.Left) != 0 {
			t.Fatalf("got %+v", got)
		}
		for user, want := range map[string]bool{in: true, out: false, gone: true} {
			c.agree(user, nil)
			u := w.account(user)
			if u.HasAccess() != want || !u.Sources[0].Unsaid {
				t.Errorf("%s came back with access %t, %+v", u.UserName, u.HasAccess(), u.Sources)
			}
		}
		// The administrator's word holds through silence, until the directory says something.
		c.patch(200, "/Users/"+gone, takeActive)
		c.patch(200, "/Users/"+gone, `{"op":"replace","path":"title","value":"T"}`)
		if !w.account(gone).HasAccess() {
			t.Error("silence outvoted an administrator")
		}
		c.active(gone, false)
		if w.account(gone).HasAccess() {
			t.Error("who was brought back once outlives the directory's own word")
		}
		c.active(gone, true)
		c.agree(gone, true)
	})
}

// A user whom two directories name stays by the other's word, and a record that fell silent counts as it did.
func TestUnsaid_BesideAnotherDirectory(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		entra, plain := w.entra(), w.plain()
		user := entra.do(201, "POST", "/Users", post("ann@x.org", "oid-1")).text("id")
		plain.refused(409, "uniqueness", "POST", "/Users", `{`+coreUser+`,"userName":"ann@x.org","externalId":"p1"}`)
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.ResolveCollision(ctx, w.openCollision(ctx, tx), true, admin)
		}))
		plain.do(201, "POST", "/Users", `{`+coreUser+`,"userName":"ann@x.org","externalId":"p1","active":false}`)
		plain.patch(200, "/Users/"+user, takeActive)
		entra.agree(user, true)
		entra.active(user, false)
		if w.account(user).HasAccess() {
			t.Error("a silent record that had said inactive counts as active")
		}
		entra.active(user, true)
		entra.patch(200, "/Users/"+user, takeActive)
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.Suspend(ctx, id.User(user), admin, "left") }))
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.Reactivate(ctx, id.User(user), admin, "back") }))
		if !w.account(user).HasAccess() {
			t.Error("a silent record that had said active does not count")
		}
	})
}

// The log of requests and a dry run say what silence comes to.
func TestUnsaid_IsExplained(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		user := c.user("ada", `"displayName":"Ada"`)
		r, err := w.handler().DryRun(t.Context(), "northwind", "plain", directory.Pasted{
			Method: "PATCH", Path: "/Users/" + user, Body: `{` + patchOp + `,"Operations":[` + takeActive + `,{"op":"replace","path":"title","value":"T"}]}`,
		}, admin)
		w.must(err)
		if want := "Changed title of Ada; no longer says whether Ada is active"; r.Operation != want {
			t.Errorf("got %q, want %q", r.Operation, want)
		}
		if !slices.ContainsFunc(r.Effects, func(e directory.Effect) bool { return e.Said == directory.Unsaid(true) && e.Access == "" }) ||
			slices.ContainsFunc(r.Effects, func(e directory.Effect) bool { return e.Access != "" }) {
			t.Errorf("got %+v", r.Effects)
		}
		if a := c.agree(user, true); strings.Contains(a.raw, `"title"`) {
			t.Errorf("the dry run was none: %s", a.raw)
		}
	})
}

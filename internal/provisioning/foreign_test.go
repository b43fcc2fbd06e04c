package provisioning_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// A directory writes to its own records alone: what another one pushed, in this organization or in another, is not there for it,
// and neither is a user that no directory speaks for.
func TestDirectories_WriteNothingOfAnothers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		entra := w.entra()
		ann := entra.do(201, "POST", "/Users", post("ann@x.org", "oid-1")).text("id")
		team := entra.group("Team", ann)
		guest := w.signedIn("guest@x.org", "oid-2")
		// Each of the others has a record of its own, so that it is no stranger to the store.
		others := map[string]*client{
			"another directory": w.plain(), "another organization": w.dir("fieldserv", "plain"), "its namesake elsewhere": w.dir("fieldserv", "entra"),
		}
		own := map[string]string{}
		for name, c := range others {
			own[name] = c.user("own of " + name)
		}
		for name, c := range others {
			before := storetest.Rows(t, w.db, "scim_requests")
			for _, user := range []string{ann, guest} {
				for _, r := range []struct{ method, path, body string }{
					{"GET", "/Users/" + user, ""},
					{"PUT", "/Users/" + user, post("eve@x.org", "oid-9")},
					{"PUT", "/Users/" + user, `{` + coreUser + `,"userName":"ann@x.org","externalId":"oid-1","active":false}`},
					{"PATCH", "/Users/" + user, `{` + patchOp + `,"Operations":[{"op":"replace","path":"active","value":false}]}`},
					{"PATCH", "/Users/" + user, `{` + patchOp + `,"Operations":[{"op":"add","value":{"title":"Taken"}}]}`},
					{"DELETE", "/Users/" + user, ""},
				} {
					c.refused(404, "", r.method, r.path, r.body)
				}
			}
			for _, r := range []struct{ method, body string }{
				{"GET", ""},
				{"PUT", `{` + coreGroup + `,"displayName":"Taken","members":[]}`},
				{"PATCH", `{` + patchOp + `,"Operations":[{"op":"add","path":"members","value":[{"value":"` + own[name] + `"}]}]}`},
				{"PATCH", `{` + patchOp + `,"Operations":[{"op":"replace","path":"displayName","value":"Taken"}]}`},
				{"DELETE", ""},
			} {
				c.refused(404, "", r.method, "/Groups/"+team, r.body)
			}
			if diff := cmp.Diff(before, storetest.Rows(t, w.db, "scim_requests")); diff != "" {
				t.Errorf("%s: rows changed:\n%s", name, diff)
			}
		}
		// Its own directory still may.
		entra.active(ann, false)
		entra.do(204, "DELETE", "/Groups/"+team, "")
		entra.do(204, "DELETE", "/Users/"+ann, "")
	})
}

// A restore opens what the deletion closed. A way in that was closed before stays closed, even when nobody has it any more.
func TestRestore_LeavesClosedWhatTheDeletionDidNotClose(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		// By each act the clock goes on: it is the time that says which deletion closed what.
		act := func(do func(ctx context.Context, tx *store.Tx) error) {
			t.Helper()
			w.clock.Advance(1e9)
			w.change(do)
		}
		remove := func(user string) {
			t.Helper()
			act(func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, id.User(user), admin, "") })
		}
		restore := func(user string) {
			t.Helper()
			act(func(ctx context.Context, tx *store.Tx) error { return tx.RestoreUser(ctx, id.User(user), admin, "") })
		}
		attach := func(user, subject string) {
			t.Helper()
			act(func(ctx context.Context, tx *store.Tx) error {
				tx.AttachIdentity(ctx, "corp", id.User(user), connection.Person{Issuer: "https://idp", Subject: "sub-" + subject})
				return nil
			})
		}
		ben := w.signedIn("ben@x.org", "oid-2")
		remove(ben)
		carl := w.entra().user("carl")
		attach(carl, "ben@x.org") // the first way is Carl's now, and stays his at Ben's restore
		restore(ben)
		attach(ben, "second")
		w.entra().do(204, "DELETE", "/Users/"+carl, "") // now it is nobody's
		remove(ben)
		restore(ben)
		if user, closed := w.found("second"); string(user) != ben || closed {
			t.Errorf("the way in that closed with the user finds %q, closed %t", user, closed)
		}
		if user, closed := w.found("ben@x.org"); user != "" || !closed {
			t.Errorf("the way in that was closed before finds %q, closed %t", user, closed)
		}
	})
}

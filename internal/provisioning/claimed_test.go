package provisioning_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Two ways lead into a pushed group: the directory's word and the claim of a sign-in. Each takes only what it gave, and the
// directory reads back what it sent.
func TestGroups_AClaimedMemberIsNoneOfTheDirectorys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		ann := c.user("ann", `"externalId":"oid-1"`)
		guest := w.signedIn("guest@x.org", "")
		team := c.group("Team")
		claim := func(user string, groups ...string) {
			t.Helper()
			w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
				way, err := tx.SignInConnection(ctx, "corp")
				if err != nil {
					return err
				}
				return tx.ClaimGroups(ctx, audit.Actor{Kind: audit.ActorConnection, ID: "corp", Door: audit.SignIn}, way.Connection, id.User(user), groups)
			}))
		}
		in := func(user string) bool {
			t.Helper()
			return slices.Contains(w.effective(user).GroupNames(), "Team")
		}
		pushed := func(want ...string) {
			t.Helper()
			if want == nil {
				want = []string{}
			}
			if d := cmp.Diff(c.do(200, "GET", "/Groups/"+team, "").values("members"), want); d != "" {
				t.Errorf("members (-got +want):\n%s", d)
			}
			for _, user := range []string{ann, guest} {
				found := len(c.list("/Groups", fmt.Sprintf(`members.value eq %q`, user))) == 1
				if found != slices.Contains(want, user) {
					t.Errorf("a filter finds %s in the group: %t", user, found)
				}
			}
			if got := c.do(200, "GET", "/Users/"+ann, "").values("groups"); (len(got) == 1) != slices.Contains(want, ann) {
				t.Errorf("the groups of the record are %v", got)
			}
		}
		add := func(status int, user string) {
			t.Helper()
			c.patch(status, "/Groups/"+team, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, user))
		}
		claim(guest, "Team")
		claim(ann, "Team")
		pushed()
		w.dir("northwind", "plain").refused(404, "", "GET", "/Groups/"+team, "")
		// Emptying the group takes what the directory gave: nothing.
		c.patch(204, "/Groups/"+team, `{"op":"replace","path":"members","value":[]}`)
		if !in(guest) || !in(ann) {
			t.Error("the directory took what a claim had given")
		}
		// What the directory gives as well is its own from then on, and no claim takes it.
		add(204, ann)
		pushed(ann)
		claim(ann)
		if !in(ann) {
			t.Error("a claim took what the directory had given")
		}
		// A user it has no record of stays unknown to it, member by claim or not.
		c.refused(400, "invalidValue", "PATCH", "/Groups/"+team,
			fmt.Sprintf(`{%s,"Operations":[{"op":"add","path":"members","value":[{"value":%q}]}]}`, patchOp, guest))
		c.patch(204, "/Groups/"+team, `{"op":"remove","path":"members[value eq \"`+ann+`\"]"}`)
		pushed()
		if in(ann) {
			t.Error("leaving the group left a membership behind")
		}
		claim(guest)
		if in(guest) {
			t.Error("the claim names no group any more")
		}
	})
}

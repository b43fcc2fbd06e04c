package provisioning_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/internal/store"
)

// log gives what northwind's directory has in its log, oldest first, with the bodies.
func (w *world) log(dir id.Directory) []directory.Request {
	w.t.Helper()
	h, _ := w.http.(*provisioning.Handler)
	h.Flush(context.Background())
	var out []directory.Request
	w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
		list, err := tx.Requests(ctx, dir, store.RequestFilter{Limit: 1000})
		for i := len(list) - 1; i >= 0 && err == nil; i-- {
			var r directory.Request
			r, err = tx.Request(ctx, dir, list[i].ID)
			out = append(out, r)
		}
		return err
	})
	if lost := h.Lost(); lost != 0 {
		w.t.Errorf("%d requests were lost", lost)
	}
	return out
}

func (w *world) handler() *provisioning.Handler {
	h, _ := w.http.(*provisioning.Handler)
	return h
}

func operations(list []directory.Request) (out []string) {
	for _, r := range list {
		out = append(out, r.Operation)
	}
	return out
}

func TestLog_SaysInWordsWhatHappened(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredGroupRole(store.DeclaredGroupRole{Organization: "northwind", ID: "gr", Group: "London Team", Role: "owner", Resource: "northwind"})
			tx.Bump(t.Context(), "configuration")
			return nil
		}))
		c := w.entra()
		c.list("/Users", `userName eq "ann@x.org"`)
		ann := c.user("ann@x.org", `"displayName":"Ann Archer"`, `"password":"hunter2"`, `"externalId":"oid-ann"`)
		ben := c.user("ben@x.org", `"displayName":"Ben"`)
		c.list("/Users", `userName eq "ann@x.org"`)
		team := c.group("London Team")
		c.patch(204, "/Groups/"+team, `{"op":"Add","path":"members","value":[{"value":"`+ann+`"},{"value":"`+ben+`"}]}`)
		c.patch(204, "/Groups/"+team, `{"op":"Remove","path":"members","value":[{"value":"`+ben+`"}]}`)
		c.patch(204, "/Groups/"+team, `{"op":"Remove","path":"members","value":[{"value":"`+ben+`"}]}`)
		c.patch(200, "/Users/"+ann, `{"op":"Replace","path":"title","value":"T"}`)
		c.patch(200, "/Users/"+ann, `{"op":"Replace","path":"active","value":"False"}`)
		c.refused(409, "uniqueness", "POST", "/Users", `{`+coreUser+`,"userName":"ANN@x.org","displayName":"Another Ann"}`)
		c.refused(400, "invalidValue", "POST", "/Users", `{`+coreUser+`,"displayName":"Nameless Ned"}`)
		c.do(204, "DELETE", "/Users/"+ben, "")
		c.do(200, "GET", "/Schemas", "")

		got := w.log("entra")
		if diff := cmp.Diff(operations(got), []string{
			"Looked for userName ann@x.org: nobody",
			"Created Ann Archer",
			"Created Ben",
			"Looked for userName ann@x.org: found Ann Archer",
			"Created London Team",
			"Added Ann Archer and Ben to London Team",
			"Removed Ben from London Team",
			"Changed nothing about London Team",
			"Changed title of Ann Archer",
			"Deactivated Ann Archer",
			"Could not create Another Ann",
			"Could not create Nameless Ned",
			"Deleted Ben",
			"Asked what this server can do",
		}); diff != "" {
			t.Errorf("operations (-got +want):\n%s", diff)
		}
		for _, r := range got {
			if strings.Contains(r.Body+r.Answer+r.Search, "hunter2") || strings.Contains(r.Body+r.Answer, "token-of") {
				t.Errorf("a secret in the log: %+v", r)
			}
			if r.Token != "main" || r.TokenState != directory.TokenGood || r.Took <= 0 {
				t.Errorf("%s: token %q is %s, took %s", r.Operation, r.Token, r.TokenState, r.Took)
			}
		}
		if got := got[1]; got.ResourceID != ann || !strings.Contains(got.Body, `"password":"***"`) || !got.Whole || !strings.Contains(got.Answer, ann) {
			t.Errorf("the creation: %+v", got)
		}
		added := got[5]
		var given, taken []string
		for _, r := range got[5:7] {
			for _, f := range r.Effects {
				switch f.Access {
				case directory.AccessGiven:
					given = append(given, f.Said)
				case directory.AccessTaken:
					taken = append(taken, f.Said)
				}
			}
		}
		if len(given) != 2 || !strings.Contains(given[0], "gets by London Team: Owner at Northwind") || added.Repairs != nil {
			t.Errorf("given: %q, %v", given, added.Repairs)
		}
		if diff := cmp.Diff(taken, []string{"Ben loses what London Team gives: Owner at Northwind"}); diff != "" {
			t.Error(diff)
		}
		if got[6].Repairs["remove-by-value"] != 1 || got[9].Repairs["boolean-strings"] != 1 {
			t.Errorf("repairs: %v, %v", got[6].Repairs, got[9].Repairs)
		}
		if r := got[10]; r.Status != 409 || r.Type != "uniqueness" || r.ResourceID != ann || !strings.Contains(r.Detail, "is taken") {
			t.Errorf("the collision: %+v", r)
		}
		if r := got[11]; r.Status != 400 || r.Detail != "userName is required." || !strings.Contains(r.Search, "nameless ned") {
			t.Errorf("the missing attribute: %+v", r)
		}
	})
}

func TestLog_FiltersAndPages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		for _, name := range []string{"ann", "ben", "cleo"} {
			c.user(name + "@x.org")
		}
		c.refused(400, "invalidValue", "POST", "/Users", `{`+coreUser+`}`)
		c.do(404, "GET", "/Users/nobody", "")
		w.log("plain")
		find := func(f store.RequestFilter) (out []string) {
			w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
				list, err := tx.Requests(ctx, "plain", f)
				out = operations(list)
				return err
			})
			return out
		}
		now := w.clock.Now()
		for _, c := range []struct {
			name string
			f    store.RequestFilter
			want []string
		}{
			{"text", store.RequestFilter{Text: "CLEO@"}, []string{"Created cleo@x.org"}},
			{"text with a wildcard", store.RequestFilter{Text: "%leo"}, nil},
			{"method", store.RequestFilter{Method: "GET"}, []string{"Could not read the user nobody"}},
			{"errors", store.RequestFilter{Errors: true}, []string{"Could not read the user nobody", "Could not create a user without a name"}},
			{"from", store.RequestFilter{From: now.Add(time.Second)}, nil},
			{"to", store.RequestFilter{To: now}, nil},
			{"limit", store.RequestFilter{Errors: true, Limit: 1}, []string{"Could not read the user nobody"}},
		} {
			if diff := cmp.Diff(find(c.f), c.want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", c.name, diff)
			}
		}
		w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
			page, err := tx.Requests(ctx, "plain", store.RequestFilter{Limit: 2})
			if err != nil {
				return err
			}
			rest, err := tx.Requests(ctx, "plain", store.RequestFilter{Before: page[1].ID})
			if len(rest) != 3 {
				t.Errorf("the second page holds %d", len(rest))
			}
			n, err2 := tx.RefusedRequests(ctx, "plain", now.Add(-time.Hour), 100)
			if n != 2 || err2 != nil {
				t.Errorf("refused: %d, %v", n, err2)
			}
			return err
		})
		if list := w.log("entra"); len(list) != 0 {
			t.Errorf("another directory has %d of them", len(list))
		}
	})
}

func TestLog_RefusedTokenIsNamedAndNeverKept(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		old := &client{w, w.plain().base, "old-token-0123"}
		w.must(w.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredToken(store.DeclaredToken{
				Organization: "northwind", Directory: "plain", ID: "old", Hash: w.db.Keys.Hash("old-token-0123"), Expires: w.clock.Now().Add(-time.Hour),
			})
			return nil
		}))
		old.do(401, "POST", "/Users", `{`+coreUser+`,"userName":"late@x.org","displayName":"Late Lena"}`)
		stranger := &client{w, w.plain().base, "never-was-one"}
		for range 40 {
			stranger.do(401, "POST", "/Users", `{`+coreUser+`,"userName":"forged@x.org"}`)
		}
		(&client{w, "/scim/northwind/nowhere/v2", "x"}).do(401, "GET", "/Users", "")

		list := w.log("plain")
		r := list[0]
		if r.Token != "old" || r.TokenState != directory.TokenExpired || !strings.Contains(r.Detail, `The token "old" expired on`) ||
			r.Operation != "Could not create Late Lena" || !strings.Contains(r.Search, "late@x.org") {
			t.Errorf("the expired token: %+v", r)
		}
		if len(list) != 31 {
			t.Errorf("a stranger filled the log: %d", len(list))
		}
		for _, r := range list {
			if all := r.Body + r.Answer + r.Search + r.Detail; strings.Contains(all, "0123") || strings.Contains(all, "forged") || strings.Contains(all, "never-was") {
				t.Errorf("kept: %s", all)
			}
		}
		// Neither is sent again by an administrator's hand: nobody knows who sent it.
		for _, r := range []directory.Request{list[0], list[1]} {
			if _, err := w.handler().Replay(t.Context(), "northwind", "plain", r.ID, admin); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("replayed: %v", err)
			}
		}
	})
}

// everything is each row of what a push may touch.
func (w *world) everything() (out []any) {
	w.t.Helper()
	w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
		events, err := tx.Events(ctx, store.AuditFilter{Limit: 1000})
		if err != nil {
			return err
		}
		groups, err := tx.Groups(ctx)
		if err != nil {
			return err
		}
		people, err := tx.FindPushed(ctx, "plain", "")
		if err != nil {
			return err
		}
		conflicts, err := tx.Conflicts(ctx, "")
		out = []any{events, groups, people, conflicts}
		return err
	})
	return append(out, w.log("plain"))
}

func TestDryRun_ShowsTheAnswerAndTheEffectAndKeepsNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		ann := c.user("ann@x.org", `"displayName":"Ann"`)
		team := c.group("Team")
		w.dir("northwind", "okta").user("held@x.org")
		before := w.everything()
		for _, p := range []struct {
			name    string
			pasted  directory.Pasted
			status  int
			said    string
			effects int
		}{
			{"create", directory.Pasted{Method: "post", Path: "Users", Body: `{` + coreUser + `,"userName":"new@x.org","password":"p"}`}, 201, "Created new@x.org", 1},
			{"delete", directory.Pasted{Method: "DELETE", Path: publicURL + c.base + "/Users/" + ann}, 204, "Deleted Ann", 2},
			{"member", directory.Pasted{Method: "PATCH", Path: "/Groups/" + team, Body: `{` + patchOp + `,"Operations":[{"op":"add","path":"members","value":[{"value":"` + ann + `"}]}]}`}, 204, "Added Ann to Team", 1},
			{"refused", directory.Pasted{Method: "POST", Path: "/Users", Body: `{`}, 400, "Could not create a user without a name", 0},
			{"collision", directory.Pasted{Method: "POST", Path: "/Users", Body: `{` + coreUser + `,"userName":"held@x.org"}`}, 409, "Could not create held@x.org", 1},
			{"twice", directory.Pasted{Method: "POST", Path: "/Users", Body: `{` + coreUser + `,"userName":"ann@x.org"}`}, 409, "Could not create ann@x.org", 0},
			{"filter", directory.Pasted{Method: "GET", Path: `/Users?filter=userName eq "ann@x.org"`}, 200, "Looked for userName ann@x.org: found Ann", 0},
		} {
			got, err := w.handler().DryRun(t.Context(), "northwind", "plain", p.pasted, admin)
			if err != nil {
				t.Errorf("%s: %v", p.name, err)
				continue
			}
			if got.Status != p.status || got.Operation != p.said || len(got.Effects) < p.effects {
				t.Errorf("%s: %d %q %v %s", p.name, got.Status, got.Operation, got.Effects, got.Answer)
			}
			if diff := cmp.Diff(before, w.everything()); diff != "" {
				t.Fatalf("%s left something:\n%s", p.name, diff)
			}
		}
		for _, p := range []directory.Pasted{{Method: "POST", Path: "/Bulk"}, {Method: "GE T", Path: "/Users"}, {Method: "GET", Path: "/%zz"}} {
			if _, err := w.handler().DryRun(t.Context(), "northwind", "plain", p, admin); fault.As(err) == nil {
				t.Errorf("%+v: %v", p, err)
			}
		}
		if _, err := w.handler().DryRun(t.Context(), "northwind", "nowhere", directory.Pasted{Method: "GET", Path: "/Users"}, admin); fault.KindOf(err) != fault.NotFound {
			t.Errorf("no directory: %v", err)
		}
	})
}

func TestReplay_SendsARefusedRequestAgainInTheAdministratorsName(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		held := w.dir("northwind", "okta").user("ann@x.org")
		c := w.plain()
		c.refused(409, "uniqueness", "POST", "/Users", `{`+coreUser+`,"userName":"ann@x.org","displayName":"Ann"}`)
		original := w.log("plain")[0]
		w.dir("northwind", "okta").do(204, "DELETE", "/Users/"+held, "")

		actor := audit.Actor{Kind: audit.ActorUser, ID: "olive", Name: "Olive Owner", Door: audit.Console, IP: "192.0.2.9"}
		again, err := w.handler().Replay(t.Context(), "northwind", "plain", original.ID, actor)
		if err != nil || again.Status != 201 || again.ReplayOf != original.ID || again.TokenState != directory.TokenNone {
			t.Fatalf("%+v, %v", again, err)
		}
		if list := c.list("/Users", `userName eq "ann@x.org"`); len(list) != 1 {
			t.Errorf("after the replay: %v", list)
		}
		var said []string
		for _, e := range w.events() {
			if e.Actor.ID == "olive" {
				said = append(said, e.Action+" "+e.TargetKind)
				if e.Action == "directory.request-replayed" && e.TargetID != string(original.ID) {
					t.Errorf("the event names %s", e.TargetID)
				}
			}
		}
		if diff := cmp.Diff(said, []string{"user.created user", "directory.request-replayed request"}); diff != "" {
			t.Error(diff)
		}
		list := w.log("plain")
		if _, err := w.handler().Replay(t.Context(), "northwind", "plain", list[1].ID, actor); fault.KindOf(err) != fault.Conflict {
			t.Errorf("a request that succeeded is sent again: %v", err)
		}
		c.refused(400, "invalidValue", "POST", "/Users", `{`+coreUser+`,"title":"`+strings.Repeat("x", 70<<10)+`"}`)
		list = w.log("plain")
		if _, err := w.handler().Replay(t.Context(), "northwind", "plain", list[len(list)-1].ID, actor); fault.KindOf(err) != fault.Conflict {
			t.Errorf("a request that was kept in part is sent again: %v", err)
		}
	})
}

func TestLog_IsKeptForAsLongAsTheDirectoryWants(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			d := store.DeclaredDirectory{Organization: "northwind", ID: "entra", Name: "E", Dialect: "entra", Key: "externalId"}
			d.RequestLog = directory.RequestLog{RetentionSeconds: 3600, WithoutBodies: true}
			tx.PutDeclaredDirectory(d)
			return nil
		}))
		w.entra().user("ann@x.org")
		w.plain().user("ben@x.org")
		if r := w.log("entra")[0]; r.Body != "" || r.Answer != "" || r.Whole || r.Operation != "Created ann@x.org" {
			t.Errorf("without bodies: %+v", r)
		}
		counts := func() [2]int { return [2]int{len(w.log("entra")), len(w.log("plain"))} }
		for _, step := range []struct {
			wait time.Duration
			want [2]int
		}{{59 * time.Minute, [2]int{1, 1}}, {2 * time.Minute, [2]int{0, 1}}, {directory.DefaultRetention, [2]int{0, 0}}} {
			w.clock.Advance(step.wait)
			if _, err := w.db.Cleanup(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := counts(); got != step.want {
				t.Errorf("after %s: %v, want %v", step.wait, got, step.want)
			}
		}
	})
}

package provisioning_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// signedIn makes a just-in-time user of northwind who signed in through the connection of the directory entra.
func (w *world) signedIn(userName, key string) string {
	w.t.Helper()
	var user id.User
	w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.CreateJustInTime(ctx, store.NewUser{Email: userName, DisplayName: "Just in time"}, admin)
		if err != nil {
			return err
		}
		user = u.ID
		tx.AttachIdentity(ctx, "corp", user, connection.Person{Issuer: "https://idp", Subject: "sub-" + userName, Match: key})
		return nil
	}))
	return string(user)
}

// session starts one for a user and gives a question whether it is still alive.
func (w *world) session(user, hash string) (alive func() bool) {
	w.t.Helper()
	ctx := context.Background()
	w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
		return tx.StartSession(ctx, session.Start{
			ID: id.New[id.Session](), Hash: hash, User: id.User(user), Expires: w.clock.Now().Add(12 * time.Hour), Idle: 2 * time.Hour,
		})
	}))
	return func() bool {
		_, err := w.db.Session(ctx, "northwind", hash)
		return err == nil
	}
}

func (w *world) give(user, role string) {
	w.t.Helper()
	w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Give(ctx, admin, store.Grant{User: id.User(user), Role: id.Role(role), Resource: "northwind", Source: access.Manual})
		return err
	}))
}

func (w *world) effective(user string) *access.Effective {
	w.t.Helper()
	var e *access.Effective
	w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
		e, err = tx.Access(ctx, id.User(user))
		return err
	})
	return e
}

func (w *world) conflicts() []store.Conflict {
	w.t.Helper()
	var all []store.Conflict
	w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
		all, err = tx.Conflicts(ctx, store.ConflictCollision)
		return err
	})
	return all
}

func (w *world) last(action string) audit.Event {
	w.t.Helper()
	for _, e := range w.events() {
		if e.Action == action {
			return e
		}
	}
	w.t.Fatalf("no event %s", action)
	return audit.Event{}
}

func post(userName, externalID string) string {
	return fmt.Sprintf(`{%s,"userName":%q,"externalId":%q,"displayName":"Pushed"}`, coreUser, userName, externalID)
}

func TestPush_TheKeyJoinsWhoSignedInBefore(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		user := w.signedIn("ann@x.org", "oid-1")
		alive := w.session(user, "s1")
		a := w.entra().do(201, "POST", "/Users", post("ann.new@x.org", "oid-1"))
		if a.text("id") != user {
			t.Fatalf("joined %s, want %s", a.text("id"), user)
		}
		u := w.account(user)
		if u.UserName != "ann.new@x.org" || u.DisplayName != "Pushed" || u.Local != directory.NoSource || !u.HasAccess() || !alive() {
			t.Errorf("after joining: %+v", u)
		}
		// The earlier sign-in cannot outvote the directory.
		w.entra().active(user, false)
		if u := w.account(user); u.Status != directory.Suspended || alive() {
			t.Errorf("active=false left %s", u.Status)
		}
		// A key of another directory's connection is nobody's here.
		w.signedIn("ben@x.org", "oid-2")
		if a := w.plain().do(201, "POST", "/Users", post("other", "oid-2")); a.text("id") == user {
			t.Error("a directory without a connection joined by key")
		}
	})
}

func TestPush_AHeldUserNameIsACollisionUntilItIsDecided(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.db.Public = publicURL
		c := w.entra()
		w.give(w.signedIn("boss@x.org", "oid-boss"), "owner")
		user := w.signedIn("ann@x.org", "")
		for range 2 {
			c.refused(409, "uniqueness", "POST", "/Users", post("ANN@x.org", "oid-1"))
		}
		due, err := w.db.LeaseDeliveries(t.Context(), 100, time.Hour)
		w.must(err)
		due = slices.DeleteFunc(due, func(d outbox.Delivery) bool {
			return d.Kind != outbox.Mail || !strings.Contains(string(d.Payload), string(mail.Conflict))
		})
		if len(due) != 1 || due[0].Destination != "boss@x.org" {
			t.Errorf("letters about the collision: %+v", due)
		}
		open := w.conflicts()
		if len(open) != 1 || len(c.list("/Users", "id pr")) != 0 {
			t.Fatalf("%d collisions", len(open))
		}
		if e := w.last("user.collided"); e.User != id.User(user) || e.Outcome != audit.Refused {
			t.Errorf("%+v", e)
		}
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.ResolveCollision(ctx, open[0].ID, true, admin)
		}))
		// Somebody else of that name is not who was decided about.
		c.refused(409, "uniqueness", "POST", "/Users", post("ann@x.org", "oid-other"))
		if a := c.do(201, "POST", "/Users", post("ann@x.org", "oid-1")); a.text("id") != user {
			t.Errorf("joined %s, want %s", a.text("id"), user)
		}

		// A neighbour's user is a collision too, and deciding that they differ leaves it refused.
		w.plain().user("ben")
		c.refused(409, "uniqueness", "POST", "/Users", post("ben", "oid-2"))
		for _, open := range w.conflicts() {
			w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
				return tx.ResolveCollision(ctx, open.ID, false, admin)
			}))
		}
		c.refused(409, "uniqueness", "POST", "/Users", post("ben", "oid-2"))
		// The directory's own duplicate is no collision.
		before := len(w.conflicts())
		c.refused(409, "uniqueness", "POST", "/Users", post("ann@x.org", "oid-1"))
		if got := len(w.conflicts()); got != before {
			t.Errorf("%d collisions, want %d", got, before)
		}
		// A key that is somebody's while the name is another's joins neither.
		known := w.signedIn("carl@x.org", "oid-3")
		c.refused(409, "uniqueness", "POST", "/Users", post("ben", "oid-3"))
		if u := w.account(known); u.UserName != "carl@x.org" {
			t.Errorf("joined all the same: %+v", u)
		}
	})
}

func TestDeactivation_EndsEverythingAndReactivationBringsGrantsBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		boss, ann := c.user("boss"), c.user("ann")
		w.give(boss, "owner")
		w.give(ann, "owner")
		for i, off := range []string{`{"op":"Replace","path":"active","value":"False"}`, `{"op":"replace","value":{"active":false}}`, `{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:active","value":false}`} {
			alive := w.session(ann, fmt.Sprint("s", i))
			if !alive() || len(w.effective(ann).ProtectedHeld()) != 1 {
				t.Fatal("no access to lose")
			}
			c.patch(200, "/Users/"+ann, off)
			if alive() || w.account(ann).Status != directory.Suspended || len(w.effective(ann).RootRoles()) != 0 {
				t.Errorf("%s leaves access", off)
			}
			c.active(ann, true)
			if alive() || !w.account(ann).HasAccess() || len(w.effective(ann).ProtectedHeld()) != 1 {
				t.Errorf("after reactivation: session %t, %v", alive(), w.effective(ann).RootRoles())
			}
		}
		if got := w.last("user.status"); !strings.Contains(string(got.After), "active") {
			t.Errorf("%+v", got)
		}
		// PUT says it too.
		c.do(200, "PUT", "/Users/"+ann, `{`+coreUser+`,"userName":"ann","active":false}`)
		if w.account(ann).HasAccess() {
			t.Error("PUT active=false leaves access")
		}
	})
}

func TestSuspension_HoldsWhateverTheDirectorySays(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		ann := c.user("ann")
		alive := w.session(ann, "s")
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.Suspend(ctx, id.User(ann), admin, "left") }))
		if alive() {
			t.Error("the session outlives the suspension")
		}
		// What the directory reads back is what it sent.
		if a := c.do(200, "GET", "/Users/"+ann, ""); a.body["active"] != true || a.meta("version") != `W/"1"` {
			t.Errorf("our suspension shows in the record: %s", a.raw)
		}
		c.active(ann, false)
		c.active(ann, true)
		if got := w.account(ann).Status; got != directory.Suspended {
			t.Errorf("the directory lifted an administrator's suspension: %s", got)
		}
		c.active(ann, false)
		err := w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.Reactivate(ctx, id.User(ann), admin, "") })
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("lifting while the directory says inactive: %v", err)
		}
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.KeepWithoutDirectory(ctx, id.User(ann), true, admin, "contractor")
		}))
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.Reactivate(ctx, id.User(ann), admin, "back") }))
		if !w.account(ann).HasAccess() {
			t.Error("kept without the directory and not active")
		}
		c.do(204, "DELETE", "/Users/"+ann, "")
		if !w.account(ann).HasAccess() {
			t.Error("a kept user went with the record")
		}
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.KeepWithoutDirectory(ctx, id.User(ann), false, admin, "")
		}))
		if got := w.account(ann).Status; got != directory.Deleted {
			t.Errorf("without any source the user is %s", got)
		}
	})
}

func TestDirectories_SpeakForTheirOwnRecords(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		entra, plain := w.entra(), w.plain()
		user := entra.do(201, "POST", "/Users", post("ann@x.org", "oid-1")).text("id")
		plain.refused(409, "uniqueness", "POST", "/Users", `{`+coreUser+`,"userName":"ann@x.org","externalId":"p1","title":"Plain"}`)
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.ResolveCollision(ctx, w.openCollision(ctx, tx), true, admin)
		}))
		a := plain.do(201, "POST", "/Users", `{`+coreUser+`,"userName":"ann@x.org","externalId":"p1","title":"Plain"}`)
		if a.text("id") != user {
			t.Fatal("not joined")
		}
		alive := w.session(user, "s")
		if got := entra.do(200, "GET", "/Users/"+user, ""); got.body["title"] != nil || got.text("externalId") != "oid-1" || got.meta("version") != `W/"1"` {
			t.Errorf("another directory's attributes: %s", got.raw)
		}
		plain.patch(200, "/Users/"+user, `{"op":"replace","path":"displayName","value":"Of plain"}`)
		if got := w.account(user).DisplayName; got != "Pushed" {
			t.Errorf("the second record speaks: %s", got)
		}
		// One of two live records outvotes the other.
		entra.active(user, false)
		if !w.account(user).HasAccess() || !alive() {
			t.Error("one directory's active=false took what another gives")
		}
		entra.do(204, "DELETE", "/Users/"+user, "")
		entra.refused(404, "", "GET", "/Users/"+user, "")
		if u := w.account(user); !u.HasAccess() || u.DisplayName != "Of plain" {
			t.Errorf("after one record went: %+v", u)
		}
		plain.active(user, false)
		if alive() {
			t.Error("the last record's active=false leaves a session")
		}
		plain.do(204, "DELETE", "/Users/"+user, "")
		if got := w.account(user).Status; got != directory.Deleted {
			t.Errorf("without records: %s", got)
		}
	})
}

func (w *world) openCollision(ctx context.Context, tx *store.Tx) id.Conflict {
	w.t.Helper()
	all, err := tx.Conflicts(ctx, store.ConflictCollision)
	if err != nil || len(all) == 0 {
		w.t.Fatalf("%d collisions, %v", len(all), err)
	}
	return all[0].ID
}

func TestDelete_LeavesATombstoneThatClaimsNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		boss := c.user("boss")
		w.give(boss, "owner")
		user := w.signedIn("ann@x.org", "oid-1")
		c.do(201, "POST", "/Users", post("ann@x.org", "oid-1"))
		w.give(user, "owner")
		alive := w.session(user, "s")
		c.do(204, "DELETE", "/Users/"+user, "")
		u := w.account(user)
		if u.Status != directory.Deleted || u.DeletedAt.IsZero() || alive() {
			t.Errorf("after DELETE: %+v", u)
		}
		// The upstream subject is free: closed with the user, it may be linked again.
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			tx.AttachIdentity(ctx, "corp", id.User(boss), connection.Person{Issuer: "https://idp", Subject: "sub-ann@x.org"})
			return nil
		}))
		again := c.do(201, "POST", "/Users", post("ann@x.org", "oid-1")).text("id")
		if again == user || len(w.effective(again).RootRoles()) != 0 {
			t.Errorf("the new user is the old one, or has what it had")
		}
		// The tombstone comes back only while nobody holds its name, and with what it held.
		restore := func() error {
			return w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.RestoreUser(ctx, id.User(user), admin, "") })
		}
		if err := restore(); fault.KindOf(err) != fault.Conflict {
			t.Errorf("restored beside a live holder of the userName: %v", err)
		}
		c.do(204, "DELETE", "/Users/"+again, "")
		w.must(restore())
		if !w.account(user).HasAccess() || len(w.effective(user).ProtectedHeld()) != 1 || alive() {
			t.Errorf("restored: %+v", w.account(user))
		}
		var listed []string
		w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
			for _, deleted := range []bool{false, true} {
				users, _, err := tx.ListUsers(ctx, store.UserFilter{Deleted: deleted})
				if err != nil {
					return err
				}
				listed = append(listed, fmt.Sprint(len(users)))
			}
			return nil
		})
		if diff := cmp.Diff(listed, []string{"2", "3"}); diff != "" {
			t.Errorf("show deleted: %s", diff)
		}
	})
}

func TestSeats_OverTheLimitWaitsInOrderOfArrival(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.seatLimit(2)
		c := w.entra()
		a, b := c.user("a"), c.user("b")
		over := c.do(201, "POST", "/Users", post("c", "c"))
		if over.body["active"] != true {
			t.Errorf("the seat shows in the record: %s", over.raw)
		}
		d := c.user("d")
		inactive := c.user("off", `"active":false`)
		seated := func() string {
			var out []string
			for _, u := range []string{a, b, over.text("id"), d, inactive} {
				out = append(out, fmt.Sprint(w.account(u).HasAccess()))
			}
			return strings.Join(out, " ")
		}
		if got := seated(); got != "true true false false false" {
			t.Errorf("with two seats: %s", got)
		}
		w.last("user.over-the-limit")
		err := w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateJustInTime(ctx, store.NewUser{Email: "late@x.org"}, admin)
			return err
		})
		if f := fault.As(err); f == nil || f.Kind != fault.Conflict || f.Code != "no-seat" {
			t.Errorf("our own door: %v", err)
		}
		c.active(a, false)
		if got := seated(); got != "false true true false false" {
			t.Errorf("after one left: %s", got)
		}
		if e := w.last("user.seated"); e.User != id.User(over.text("id")) {
			t.Errorf("%+v", e)
		}
		c.active(a, true)
		if got := seated(); got != "false true true false false" {
			t.Errorf("who came back has no seat yet: %s", got)
		}
		c.do(204, "DELETE", "/Users/"+b, "")
		if got := seated(); got != "true false true false false" {
			t.Errorf("after a deletion: %s", got)
		}
		w.seatLimit(3)
		if got := seated(); got != "true false true true false" {
			t.Errorf("after the limit was raised: %s", got)
		}
		err = w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.RestoreUser(ctx, id.User(b), admin, "") })
		if f := fault.As(err); f == nil || f.Code != "no-seat" {
			t.Errorf("restored without a seat: %v", err)
		}
	})
}

func TestSeats_TwoAtOnceDoNotTakeTheLast(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.seatLimit(3)
		c := w.entra()
		statuses := make(chan int, 8)
		for i := range 8 {
			go func() {
				statuses <- c.send(c.request("POST", "/Users", post(fmt.Sprint("u", i), fmt.Sprint(i)))).status
			}()
		}
		for range 8 {
			if s := <-statuses; s != 201 {
				t.Errorf("got %d", s)
			}
		}
		w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
			limit, used, err := tx.Seats(ctx)
			if limit != 3 || used != 3 {
				t.Errorf("%d of %d seats are taken", used, limit)
			}
			return err
		})
	})
}

func TestLastHolder_ADirectoryIsNotRefusedAndTheOrganizationIsFlagged(t *testing.T) {
	t.Parallel()
	flags := func(w *world) int {
		n := 0
		w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
			self, err := tx.Self(ctx)
			if err == nil {
				n = len(self.Flags)
			}
			return err
		})
		return n
	}
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		ann, ben := c.user("ann"), c.user("ben")
		w.give(ann, "owner")
		err := w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.Suspend(ctx, id.User(ann), admin, "") })
		if err == nil {
			t.Error("an administrator took the last holder")
		}
		c.active(ann, false)
		if flags(w) != 1 || w.account(ann).HasAccess() {
			t.Errorf("%d flags", flags(w))
		}
		w.last("organization.holder-lost")
		c.active(ann, true)
		if flags(w) != 0 {
			t.Error("the flag stays though the role is held again")
		}
		// By a group's mapping it is the same.
		group := c.group("Owners", ben)
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Map(ctx, admin, store.Mapping{GroupName: "Owners", Role: "owner", Resource: "northwind"})
			return err
		}))
		if got := w.effective(ben).ProtectedHeld(); len(got) != 1 {
			t.Fatalf("the mapping gives %v", got)
		}
		c.do(204, "DELETE", "/Users/"+ann, "")
		if flags(w) != 0 {
			t.Error("flagged though another holds it")
		}
		c.patch(204, "/Groups/"+group, `{"op":"remove","path":"members[value eq \"`+ben+`\"]"}`)
		if flags(w) != 1 {
			t.Error("leaving the group took the last holder silently")
		}
		c.patch(204, "/Groups/"+group, `{"op":"add","path":"members","value":[{"value":"`+ben+`"}]}`)
		if flags(w) != 0 {
			t.Error("the flag stays")
		}
		c.do(204, "DELETE", "/Groups/"+group, "")
		if flags(w) != 1 {
			t.Error("deleting the group took the last holder silently")
		}
	})
}

func TestMappings_FollowAPushedGroup(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		ann := c.user("ann")
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Map(ctx, admin, store.Mapping{GroupName: "London Team", Role: "owner", Resource: "northwind"})
			return err
		}))
		holds := func() bool { return slices.Contains(w.effective(ann).RootRoles(), "owner") }
		group := c.group("london team", ann)
		if !holds() {
			t.Error("the group's arrival did not bind the mapping")
		}
		c.patch(204, "/Groups/"+group, `{"op":"replace","path":"displayName","value":"Renamed"}`)
		if !holds() {
			t.Error("the mapping did not follow the rename")
		}
		w.plain().group("London Team")
		if all := w.conflictsOf(store.ConflictGroupName); len(all) != 1 {
			t.Errorf("a second source of the name: %d conflicts", len(all))
		}
		c.do(204, "DELETE", "/Groups/"+group, "")
		if holds() {
			t.Error("the deleted group still gives")
		}
	})
}

func (w *world) conflictsOf(kind string) []store.Conflict {
	w.t.Helper()
	var all []store.Conflict
	w.read("northwind", func(ctx context.Context, tx *store.Tx) (err error) {
		all, err = tx.Conflicts(ctx, kind)
		return err
	})
	return all
}

// A provider and a directory write a name in different letters. Where the directory compares its key without regard to them,
// so does a push; RFC 7643 section 4.1.1 says so of userName, and the opposite of externalId.
func TestPush_TheKeyJoinsAsItsAttributeIsCompared(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
			tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: "northwind", ID: "posted", Name: "Posted", Dialect: "rfc", Key: directory.KeyEmail})
			tx.PutDeclaredToken(store.DeclaredToken{Organization: "northwind", Directory: "posted", ID: "main", Hash: w.db.Keys.Hash(token("northwind", "posted")), Prefix: "token"})
			for way, dir := range map[id.Connection]id.Directory{"okta-in": "okta", "posted-in": "posted"} {
				tx.PutDeclaredConnection(connection.Connection{Organization: "northwind", ID: way, Name: string(way), Protocol: connection.OIDC, Directory: dir})
			}
			tx.Bump(context.Background(), "configuration")
			return nil
		}))
		for _, c := range []struct {
			dir, way, email, key, body string
			joins                      bool
		}{
			{"okta", "okta-in", "ann@x.org", "Ann@X.org", `"userName":"ANN@x.org"`, true},
			{"okta", "okta-in", "ünal@x.org", "Ünal@x.org", `"userName":"ÜNAL@x.org"`, true},
			{"posted", "posted-in", "ben@x.org", "Ben@X.org", `"userName":"ben-1","emails":[{"value":"BEN@x.org"}]`, true},
			{"entra", "corp", "cleo@x.org", "oid-C", `"userName":"cleo-1","externalId":"oid-c"`, false},
			{"entra", "corp", "dan@x.org", "oid-D", `"userName":"dan-1","externalId":"oid-D"`, true},
		} {
			var user id.User
			var identity id.Identity
			w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
				u, err := tx.CreateJustInTime(ctx, store.NewUser{Email: c.email}, admin)
				if err != nil {
					return err
				}
				user = u.ID
				identity = tx.AttachIdentity(ctx, id.Connection(c.way), user, connection.Person{Issuer: "https://idp", Subject: "sub-" + c.email, Match: "before"})
				return nil
			}))
			// A sign-in says what the key is now, one without it leaves it.
			for _, said := range []string{c.key, ""} {
				w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
					tx.UseIdentity(ctx, identity, said)
					return nil
				}))
			}
			a := w.dir("northwind", c.dir).do(201, "POST", "/Users", `{`+coreUser+`,`+c.body+`}`)
			if got := a.text("id") == string(user); got != c.joins {
				t.Errorf("%s with the key %s: joined %t, want %t", c.body, c.key, got, c.joins)
			}
		}
	})
}

package provisioning_test

import (
	"context"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

func (w *world) change(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	w.must(w.write("northwind", fn))
}

// A key joins one person of this directory's own connections, or nobody.
func TestPush_AKeyThatIsNotOnePersonsHereJoinsNobody(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		ben := w.signedIn("ben@x.org", "oid-2")
		if got := w.plain().do(201, "POST", "/Users", post("ben-of-plain", "oid-2")).text("id"); got == ben {
			t.Error("joined by the key of another directory's connection")
		}
		w.signedIn("cleo@x.org", "oid-3")
		first := w.account(w.signedIn("dan@x.org", "oid-3"))
		a := w.entra().do(201, "POST", "/Users", post("somebody", "oid-3"))
		if u := w.account(a.text("id")); u.Created.Before(first.Created) || u.Local != directory.NoSource || len(u.Sources) != 1 || u.UserName != "somebody" {
			t.Errorf("%+v", u)
		}
		for _, name := range []string{"cleo@x.org", "dan@x.org"} {
			w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
				u, err := tx.UserNamed(ctx, name)
				if u == nil || u.Local != directory.JustInTime {
					t.Errorf("%s was joined by a key that two have: %+v", name, u)
				}
				return err
			})
		}
	})
}

// What an administrator decided about a collision holds for that person and that holder alone.
func TestPush_ADecidedCollisionIsAboutTheTwoItNamed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		decide := func() {
			t.Helper()
			open := w.conflicts()
			if len(open) != 1 {
				t.Fatalf("%d collisions", len(open))
			}
			w.clock.Advance(1e9) // the last word counts, so that each has its time
			w.change(func(ctx context.Context, tx *store.Tx) error {
				return tx.ResolveCollision(ctx, open[0].ID, true, admin)
			})
		}
		// The name has gone to somebody else since.
		first := w.signedIn("ann@x.org", "")
		for range 3 {
			c.refused(409, "uniqueness", "POST", "/Users", post("ann@x.org", "oid-1"))
		}
		told := 0
		for _, e := range w.events() {
			if e.Action == "user.collided" {
				told++
			}
		}
		if told != 1 {
			t.Errorf("three pushes of one collision are %d events", told)
		}
		decide()
		w.change(func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, id.User(first), admin, "") })
		next := w.signedIn("ann@x.org", "")
		c.refused(409, "uniqueness", "POST", "/Users", post("ann@x.org", "oid-1"))
		if u := w.account(next); u.Local != directory.JustInTime {
			t.Errorf("the next holder was joined on a word about the one before: %+v", u)
		}
		decide()
		// By now the key is another person's, who has signed in with it.
		w.signedIn("eva@x.org", "oid-1")
		c.refused(409, "uniqueness", "POST", "/Users", post("ann@x.org", "oid-1"))
		if u := w.account(next); u.Local != directory.JustInTime {
			t.Errorf("joined although the key is another's: %+v", u)
		}
		// A directory's second push of its own record is no collision, though another holds the name towards people.
		open := len(w.conflicts())
		w.plain().user("fay")
		w.plain().refused(409, "uniqueness", "POST", "/Users", post("FAY", "f-1"))
		if got := len(w.conflicts()); got != open {
			t.Errorf("%d collisions, want %d", got, open)
		}
	})
}

// Joining gives a record's word for the person, and an administrator's stays above it.
func TestPush_JoiningTakesTheRecordsState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		off := w.signedIn("ann@x.org", "oid-1")
		alive := w.session(off, "s1")
		w.entra().do(201, "POST", "/Users", `{`+coreUser+`,"userName":"ann@x.org","externalId":"oid-1","active":false}`)
		if u := w.account(off); u.Status != directory.Suspended || alive() {
			t.Errorf("joined by an inactive record: %s", u.Status)
		}
		held := w.signedIn("ben@x.org", "oid-2")
		w.change(func(ctx context.Context, tx *store.Tx) error { return tx.Suspend(ctx, id.User(held), admin, "") })
		w.entra().do(201, "POST", "/Users", post("ben@x.org", "oid-2"))
		if u := w.account(held); u.Status != directory.Suspended || u.SuspendedAt.IsZero() {
			t.Errorf("a push lifted a suspension: %+v", u)
		}
	})
}

// "Keep without directory" outvotes a record, and taking it back is one more way to lose the last holder.
func TestKept_OutvotesTheDirectoryUntilItIsTakenBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		ann := c.user("ann")
		w.give(ann, "owner")
		keep := func(keep bool) error {
			return w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
				return tx.KeepWithoutDirectory(ctx, id.User(ann), keep, admin, "")
			})
		}
		w.must(keep(true))
		alive := w.session(ann, "s1")
		c.active(ann, false)
		if u := w.account(ann); !u.HasAccess() || !alive() {
			t.Fatalf("kept, and %s all the same", u.Status)
		}
		if err := keep(false); fault.KindOf(err) != fault.Conflict || !w.account(ann).HasAccess() {
			t.Errorf("the last holder was let go: %v", err)
		}
		boss := c.user("boss")
		w.give(boss, "owner")
		w.must(keep(false))
		if u := w.account(ann); u.Status != directory.Suspended || alive() {
			t.Errorf("taken back: %s", u.Status)
		}
	})
}

// Who is pushed is deleted by the directory alone; a DELETE takes what the directory gave and nothing else.
func TestDelete_IsTheDirectorysOwn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		ann := c.user("ann@x.org")
		err := w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, id.User(ann), admin, "") })
		if f := fault.As(err); f == nil || f.Code != "pushed" || !w.account(ann).HasAccess() {
			t.Errorf("deleted beside a live record: %v", err)
		}
		pushed := c.group("Crew", ann)
		var local id.Group
		w.change(func(ctx context.Context, tx *store.Tx) error {
			g, err := tx.CreateGroup(ctx, admin, "Night shift")
			if err != nil {
				return err
			}
			local = g.ID
			return tx.AddMember(ctx, local, ann, directory.UserMember, admin)
		})
		w.change(func(ctx context.Context, tx *store.Tx) error {
			return tx.KeepWithoutDirectory(ctx, id.User(ann), true, admin, "")
		})
		c.do(204, "DELETE", "/Users/"+ann, "")
		u := w.account(ann)
		if u.Status != directory.Active || len(u.Groups) != 1 || u.Groups[0].ID != local {
			t.Errorf("left in %+v, want the local group and not %s", u.Groups, pushed)
		}
		// Without the word that kept it, nothing is left to rest on.
		w.change(func(ctx context.Context, tx *store.Tx) error {
			tx.AttachIdentity(ctx, "corp", id.User(ann), connection.Person{Issuer: "https://idp", Subject: "ann"})
			return nil
		})
		w.change(func(ctx context.Context, tx *store.Tx) error {
			return tx.KeepWithoutDirectory(ctx, id.User(ann), false, admin, "")
		})
		if u := w.account(ann); u.Status != directory.Deleted || u.DeletedAt.IsZero() {
			t.Errorf("no longer kept: %s, deleted at %s", u.Status, u.DeletedAt)
		}
	})
}

// A user of one directory who signs in by two connections is out by both when that directory lets go: the sign-in is no source,
// and nothing revives it.
func TestDelete_ClosesEveryWayIn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		second := connection.Connection{Organization: "northwind", ID: "second", Name: "Second", Protocol: connection.OIDC}
		second.Settings.Provisioning = connection.JustInTime
		w.must(w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(second)
			tx.Bump(context.Background(), "configuration")
			return nil
		}))
		ann := w.signedIn("ann@x.org", "oid-1")
		person := connection.Person{Issuer: "https://second", Subject: "ann", Email: "ann@x.org", EmailVerified: connection.Yes}
		w.change(func(ctx context.Context, tx *store.Tx) error {
			tx.AttachIdentity(ctx, second.ID, id.User(ann), person)
			return nil
		})
		c := w.entra()
		c.do(201, "POST", "/Users", post("ann@x.org", "oid-1"))
		c.do(204, "DELETE", "/Users/"+ann, "")
		if u := w.account(ann); u.Status != directory.Deleted || len(u.Sources) != 0 {
			t.Fatalf("with a second way to sign in: %s, %+v", u.Status, u.Sources)
		}
		w.change(func(ctx context.Context, tx *store.Tx) error {
			f, err := tx.SignInFacts(ctx, second, person)
			if err != nil {
				return err
			}
			f.DomainProven, f.DomainOwn, f.DomainAllowed = true, true, true
			if f.Identity != "" || !f.Closed {
				t.Errorf("%+v", f)
			}
			if found := connection.Find(second, person, f); found.Step != connection.Refuse || found.Code != connection.CodeDeleted {
				t.Errorf("by the second connection: %+v", found)
			}
			return nil
		})
	})
}

// A restore says who holds the name, and rests on what the user rested on before.
func TestRestore_NamesWhoHoldsTheName(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		ann := w.signedIn("ann@x.org", "")
		w.change(func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, id.User(ann), admin, "") })
		other := w.entra().user("ann@x.org")
		err := w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return tx.RestoreUser(ctx, id.User(ann), admin, "") })
		if f := fault.As(err); f == nil || f.Code != "user-name-taken" {
			t.Errorf("got %v", err)
		}
		w.entra().do(204, "DELETE", "/Users/"+other, "")
		w.change(func(ctx context.Context, tx *store.Tx) error { return tx.RestoreUser(ctx, id.User(ann), admin, "") })
		if u := w.account(ann); !u.HasAccess() || u.KeptWithoutDirectory || u.Local != directory.JustInTime {
			t.Errorf("restored: %+v", u)
		}
	})
}

// An address is vouched for by a domain of its own organization, never by a neighbour's.
func TestPush_AnAddressIsVerifiedByItsOwnOrganizationsDomain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.must(w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
			tx.PutDeclaredDomain(store.DeclaredDomain{Domain: "ours.example", Organization: "northwind", Connection: "corp"})
			tx.PutDeclaredDomain(store.DeclaredDomain{Domain: "theirs.example", Organization: "fieldserv"})
			return nil
		}))
		for address, want := range map[string]bool{"ann@ours.example": true, "ann@theirs.example": false, "ann@nobodys.example": false} {
			name, _, _ := strings.Cut(strings.ReplaceAll(address, "@", "-"), ".")
			u := w.account(w.entra().user(name, `"emails":[{"value":"`+address+`"}]`))
			if u.EmailVerified != want {
				t.Errorf("%s: verified %t, want %t", address, u.EmailVerified, want)
			}
		}
	})
}

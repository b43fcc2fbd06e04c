package provisioning_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// found says who the subject that signedIn gave a user is now.
func (w *world) found(userName string) (user id.User, closed bool) {
	w.t.Helper()
	w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
		c, err := tx.SignInConnection(ctx, "corp")
		if err != nil {
			return err
		}
		f, err := tx.SignInFacts(ctx, c.Connection, connection.Person{Issuer: "https://idp", Subject: "sub-" + userName})
		user, closed = f.User.ID, f.Closed
		return err
	})
	return user, closed
}

// Who is restored must be able to come in: otherwise the account is active, holds its roles, and nobody can use it.
func TestRestore_OpensTheWaysInThatClosedWithTheUser(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		ann, ben := w.signedIn("ann@x.org", "oid-1"), w.signedIn("ben@x.org", "oid-2")
		act := func(do func(ctx context.Context, tx *store.Tx, user id.User) error, users ...string) {
			t.Helper()
			for _, user := range users {
				w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error { return do(ctx, tx, id.User(user)) }))
			}
		}
		act(func(ctx context.Context, tx *store.Tx, user id.User) error {
			return tx.DeleteUser(ctx, user, admin, "")
		}, ann, ben)
		if user, closed := w.found("ann@x.org"); user != "" || !closed {
			t.Errorf("a deleted user is found by her subject: %q, closed %t", user, closed)
		}
		// Somebody else has come by Ben's way in meanwhile.
		carl := w.entra().user("carl")
		act(func(ctx context.Context, tx *store.Tx, user id.User) error {
			tx.AttachIdentity(ctx, "corp", user, connection.Person{Issuer: "https://idp", Subject: "sub-ben@x.org"})
			return nil
		}, carl)
		w.clock.Advance(1e9)
		act(func(ctx context.Context, tx *store.Tx, user id.User) error {
			return tx.RestoreUser(ctx, user, admin, "")
		}, ann, ben)
		if user, _ := w.found("ann@x.org"); string(user) != ann {
			t.Errorf("restored, and her subject finds %q", user)
		}
		if user, _ := w.found("ben@x.org"); string(user) != carl {
			t.Errorf("a restore took the subject from who has it: it finds %q", user)
		}
	})
}

// A directory that may claim any name may claim an owner's. Who says that it is the same person hands over what the owner
// holds, so that only who could give it may say so.
func TestResolveCollision_IsADoorUnderTheCeiling(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.must(w.db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredRole(store.DeclaredRole{Position: 1, Role: access.Role{
				ID: "user-admin", Name: "User Admin", Permissions: []id.Permission{"users.manage"}, MayGrant: []id.Role{"user-admin"},
			}})
			tx.Bump(ctx, "configuration")
			return nil
		}))
		owner, ines := w.signedIn("owner@x.org", ""), w.plain().user("ines")
		w.give(owner, "owner")
		w.give(ines, "user-admin")
		c := w.entra()
		c.refused(409, "uniqueness", "POST", "/Users", post("owner@x.org", "oid-9"))
		decide := func(by string) error {
			return w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
				return tx.ResolveCollision(ctx, w.openCollision(ctx, tx), true, audit.Actor{
					Kind: audit.ActorUser, ID: by, Name: by, Organization: "northwind", Door: audit.Console,
				})
			})
		}
		if err := decide(ines); fault.KindOf(err) != fault.Forbidden || fault.As(err).Code != access.CodeCeiling {
			t.Errorf("a user admin handed the owner's account over: %v", err)
		}
		c.refused(409, "uniqueness", "POST", "/Users", post("owner@x.org", "oid-9"))
		w.must(decide(owner))
		if a := c.do(201, "POST", "/Users", post("owner@x.org", "oid-9")); a.text("id") != owner {
			t.Errorf("joined %s", a.text("id"))
		}
	})
}

// Roles that exclude each other may arrive by a group within a group, and go with the group.
func TestExclusiveRoles_ByNestedGroupsAreListedAndEndWithTheGroup(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.must(w.db.System().Write(ctx, func(tx *store.SystemTx) error {
			for i, r := range []id.Role{"auditor", "clerk"} {
				tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: r, Name: string(r)}, Position: int64(i + 1)})
			}
			tx.PutDeclaredExclusive(store.DeclaredExclusive{Roles: []id.Role{"auditor", "clerk"}})
			tx.Bump(ctx, "configuration")
			return nil
		}))
		for _, r := range []id.Role{"auditor", "clerk"} {
			w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Map(ctx, admin, store.Mapping{GroupName: string(r), Role: r})
				return err
			}))
		}
		c := w.entra()
		ann := c.user("ann")
		team := c.group("Team", ann)
		c.group("auditor", ann)
		clerks := c.group("clerk")
		c.patch(204, "/Groups/"+clerks, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, team))
		if got := w.effective(ann); len(got.Grants) != 0 || len(got.Parked) != 2 || len(w.conflictsOf(store.ConflictExclusive)) != 1 {
			t.Errorf("through a nested group: %d in force, %d parked, %d listed", len(got.Grants), len(got.Parked),
				len(w.conflictsOf(store.ConflictExclusive)))
		}
		c.do(204, "DELETE", "/Groups/"+clerks, "")
		if got := w.effective(ann); len(got.Grants) != 1 || len(w.conflictsOf(store.ConflictExclusive)) != 0 {
			t.Errorf("after the group: %d in force, %d listed", len(got.Grants), len(w.conflictsOf(store.ConflictExclusive)))
		}
	})
}

// What people gave to a pushed group goes with it, and the log says so.
func TestDeleteGroup_SaysWhatWasGivenToIt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.entra()
		group := c.group("Team", c.user("ann"))
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Give(ctx, admin, store.Grant{Group: id.Group(group), Role: "owner"})
			return err
		}))
		c.do(204, "DELETE", "/Groups/"+group, "")
		if e := w.last("grant.revoked"); e.TargetName != "Owner at Northwind" || e.Actor.Door != audit.SCIM || len(e.Before) == 0 {
			t.Errorf("got %+v", e)
		}
	})
}

package store_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// A link that was shown to whoever invited proves nobody's mailbox; one that went out afterwards does.
func TestAccept_AShownLinkVerifiesNoAddress(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		shown := letters
		shown.Show = true
		made, err := invite(t, db, operator, shown, invitation.Row{Email: "shown@northwind.example"}, invitation.Row{Email: "vouched@northwind.example"},
			invitation.Row{Email: "mailed@northwind.example"})
		must(t, err)
		token := func(link string) string { return link[strings.LastIndex(link, "/")+1:] }
		u, err := accept(t, db, made[0].ID, token(made[0].Link))
		must(t, err)
		if u.EmailVerified {
			t.Error("a link that was shown verified the address")
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			u, err = tx.AcceptInvitation(ctx, store.Acceptance{
				Invitation: made[1].ID, TokenHash: seal.Fingerprint(token(made[1].Link)), By: "corp", EmailVerified: true,
			}, operator)
			return err
		}))
		if !u.EmailVerified {
			t.Error("what the provider vouches for is not verified")
		}
		// The same invitation by letter voids the shown link, and its own proves the mailbox.
		var again store.Invited
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			again, err = tx.ResendInvitation(ctx, operator, made[2].ID, letters)
			return err
		}))
		_, err = accept(t, db, made[2].ID, token(made[2].Link))
		refused(t, err, fault.Gone, invitation.CodeRevoked)
		if u, err = accept(t, db, made[2].ID, tokenOf(t, db, again.Letter.Delivery)); err != nil || !u.EmailVerified {
			t.Errorf("by letter: %+v %v", u, err)
		}
	})
}

// Who was invited as the holder of a protected role holds it from accepting on: the organization is flagged no longer.
func TestAccept_LiftsTheFlagOfALostHolder(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		flag := func() (set string) {
			must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				self, err := tx.Self(t.Context())
				if err == nil {
					set = self.Flags["last-holder/owner"]
				}
				return err
			}))
			return set
		}
		olga := person(t, db, "northwind", "olga")
		_, err := given(t, db, operator, store.Grant{User: olga, Role: "owner"})
		must(t, err)
		before := effective(t, db, olga)
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, "update users set status = 'suspended' where organization = $1 and id = $2", tx.Organization, olga); err != nil {
				return err
			}
			return tx.HolderLost(ctx, operator, before)
		}))
		made, token := inviteOne(t, db, "new@northwind.example", access.Want{Role: "owner", Resource: "northwind"})
		if flag() == "" {
			t.Fatal("who is invited holds nothing yet: the flag stays")
		}
		_, err = accept(t, db, made.ID, token)
		must(t, err)
		if got := flag(); got != "" {
			t.Errorf("still flagged: %q", got)
		}
	})
}

// Accepting and revoking in the same moment: one of both, never a user without an invitation or an invitation taken back that let
// somebody in.
func TestAccept_AgainstARevocationInTheSameMoment(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		for range 5 {
			made, token := inviteOne(t, db, "new@northwind.example", access.Want{Role: "auditor", Resource: "northwind"})
			var wait sync.WaitGroup
			var accepted, revoked error
			var u *directory.User
			wait.Go(func() { u, accepted = accept(t, db, made.ID, token) })
			wait.Go(func() {
				revoked = write(t, db, func(ctx context.Context, tx *store.Tx) error {
					return tx.RevokeInvitation(ctx, operator, made.ID, "a slip")
				})
			})
			wait.Wait()
			users := listed(t, db, store.UserFilter{})
			switch {
			case accepted == nil && revoked != nil:
				refused(t, revoked, fault.Conflict, fault.As(revoked).Code)
				if len(users) != 1 || users[0] != made.User || u.Status != directory.Active {
					t.Fatalf("accepted: %v %+v", users, u)
				}
				return // the address is taken from now on
			case accepted != nil && revoked == nil:
				refused(t, accepted, fault.Gone, invitation.CodeRevoked)
				if len(users) != 0 {
					t.Fatalf("revoked: %v", users)
				}
			default:
				t.Fatalf("accepting said %v, revoking %v", accepted, revoked)
			}
		}
	})
}

// A person's names are theirs where nobody upstream says them, and the change is an event.
func TestChangeNames(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		made, token := inviteOne(t, db, "new@northwind.example")
		change := func(n store.Names) error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.ChangeNames(ctx, operator, made.User, n) })
		}
		refused(t, change(store.Names{Display: "Dee"}), fault.Forbidden, "") // not accepted yet
		_, err := accept(t, db, made.ID, token)
		must(t, err)
		for what, n := range map[string]store.Names{
			"none": {Display: " \u200b "}, "too long": {Display: strings.Repeat("é", 101)}, "a given one too long": {Display: "Dee", Given: strings.Repeat("x", 101)},
			"a family one too long": {Display: "Dee", Family: strings.Repeat("x", 101)},
		} {
			if err := change(n); fault.KindOf(err) != fault.Invalid || len(fault.As(err).Fields) != 1 {
				t.Errorf("%s: %v", what, err)
			}
		}
		must(t, change(store.Names{Display: " Dee\r\nBcc: x ", Given: strings.Repeat("é", 100)}))
		must(t, change(store.Names{Display: "Dee Bcc: x", Given: strings.Repeat("é", 100)})) // nothing changed: no event
		must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			u, err := tx.User(t.Context(), made.User)
			if err == nil && (u.DisplayName != "Dee Bcc: x" || len([]rune(u.GivenName)) != 100 || u.FamilyName != "") {
				t.Errorf("kept: %+v", u)
			}
			return err
		}))
		if e := events(t, db, "northwind", store.AuditFilter{Action: "user.updated"}); len(e) != 1 || e[0].User != made.User ||
			!strings.Contains(string(e[0].After), "Dee Bcc: x") || strings.Contains(string(e[0].After), "family") {
			t.Errorf("events: %+v", e)
		}
		// Whoever a provider made is renamed there.
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "update users set local_source = 'just-in-time' where organization = $1 and id = $2", tx.Organization, made.User)
			return err
		}))
		refused(t, change(store.Names{Display: "Eve"}), fault.Forbidden, "profile-elsewhere")
	})
}

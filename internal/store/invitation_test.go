package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

var letters = store.InviteOptions{URL: "https://id.example"}

func invite(t *testing.T, db *store.DB, actor audit.Actor, o store.InviteOptions, rows ...invitation.Row) (made []store.Invited, err error) {
	t.Helper()
	err = write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
		made, err = tx.Invite(ctx, actor, rows, o)
		return err
	})
	return made, err
}

// inviteOne invites one person as the operator, and gives the link's token as the letter has it.
func inviteOne(t *testing.T, db *store.DB, email string, grants ...access.Want) (store.Invited, string) {
	t.Helper()
	made, err := invite(t, db, operator, letters, invitation.Row{Email: email, Grants: grants})
	must(t, err)
	return made[0], tokenOf(t, db, made[0].Letter.Delivery)
}

// tokenOf reads the token out of a letter, as its reader would.
func tokenOf(t *testing.T, db *store.DB, delivery id.Delivery) string {
	t.Helper()
	for line := range strings.SplitSeq(letterOf(t, db, delivery).Text, "\n") {
		if strings.HasPrefix(line, "https://id.example/invitation/northwind/") {
			return path.Base(line)
		}
	}
	t.Fatal("the letter has no link")
	return ""
}

func letterOf(t *testing.T, db *store.DB, delivery id.Delivery) (m mail.Message) {
	t.Helper()
	must(t, db.System().Read(t.Context(), func(tx *store.SystemTx) error {
		list, err := tx.Letter(t.Context(), delivery)
		if err != nil {
			return err
		}
		m, err = db.Letter(list[0])
		return err
	}))
	return m
}

func accept(t *testing.T, db *store.DB, i id.Invitation, token string) (u *directory.User, err error) {
	t.Helper()
	err = write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
		u, err = tx.AcceptInvitation(ctx, store.Acceptance{Invitation: i, TokenHash: seal.Fingerprint(token), By: "password"}, operator)
		return err
	})
	return u, err
}

func settings(t *testing.T, db *store.DB, change func(*store.DeclaredOrganization)) {
	t.Helper()
	must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
		o := store.DeclaredOrganization{ID: "northwind", Name: "Northwind", Settings: store.Settings{DefaultRoles: []access.RoleAt{{Role: "viewer"}}}}
		change(&o)
		tx.PutDeclaredOrganization(o)
		tx.In("northwind").BumpOrganization(t.Context())
		return nil
	}))
}

func TestInvite_MakesAPendingUserWhoGetsTheRolesOnAccepting(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		made, token := inviteOne(t, db, "new@northwind.example", access.Want{Role: "asset-editor", Resource: "london-1"})
		if e := effective(t, db, made.User); len(e.Grants) != 0 || len(e.Kept()) != 2 {
			t.Errorf("pending: got grants %v, kept %v", e.Grants, e.Kept())
		}
		if m := letterOf(t, db, made.Letter.Delivery); !strings.Contains(m.Text, "Asset Editor at London 1") || m.To.Email != "new@northwind.example" {
			t.Errorf("got the letter %+v", m)
		}
		u, err := accept(t, db, made.ID, token)
		must(t, err)
		if u.Status != directory.Active || u.Local != directory.Invitation || !u.EmailVerified {
			t.Errorf("got %+v", u)
		}
		e := effective(t, db, made.User)
		if !e.Holds("asset-editor", "london-1") || !e.Holds("viewer", "northwind") {
			t.Errorf("accepted: got %v", e.Grants)
		}
		for _, h := range e.Grants {
			if h.Role == "asset-editor" && h.Source != access.Invitation {
				t.Errorf("got the source %s", h.Source)
			}
		}
		_, err = accept(t, db, made.ID, token)
		refused(t, err, fault.Gone, invitation.CodeUsed)

		var actions []string
		must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			actions, err = tx.Strings(t.Context(), `
				select action
				from audit
				where organization = $1 and user_id = $2
				order by id`, tx.Organization, made.User)
			return err
		}))
		if diff := cmp.Diff(actions, []string{"user.created", "grant.given", "invitation.sent", "invitation.accepted"}); diff != "" {
			t.Error(diff)
		}
	})
}

func TestInvite_IsOneMoreDoorUnderTheCeiling(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		ann := person(t, db, "northwind", "ann")
		soon := db.Now().Add(24 * time.Hour).Truncate(time.Microsecond)
		_, err := given(t, db, operator, store.Grant{User: ann, Role: "user-admin", Resource: "emea", Expires: soon})
		must(t, err)
		row := func(role id.Role, at id.Resource, until time.Time) invitation.Row {
			return invitation.Row{Email: "new@northwind.example", Grants: []access.Want{{Role: role, Resource: at, Expires: until}}}
		}
		for _, c := range []struct {
			row  invitation.Row
			kind fault.Kind
			code string
		}{
			{row("owner", "london-1", soon), fault.Forbidden, access.CodeCeiling},
			{row("viewer", "americas", soon), fault.Forbidden, access.CodeCeiling},
			{row("viewer", "london-1", time.Time{}), fault.Forbidden, access.CodeOutlasts},
			{row("viewer", "london-1", soon.Add(time.Hour)), fault.Forbidden, access.CodeOutlasts},
			{invitation.Row{Email: "new@northwind.example"}, fault.Forbidden, invitation.CodeReach},
			{invitation.Row{Email: "ann", Grants: row("viewer", "london-1", soon).Grants}, fault.Invalid, invitation.CodeAddress},
		} {
			_, err := invite(t, db, asUser(ann), letters, c.row)
			refused(t, err, c.kind, c.code)
		}
		_, err = invite(t, db, operator, letters, invitation.Row{Email: "both@northwind.example", Grants: []access.Want{
			{Role: "auditor", Resource: "northwind"}, {Role: "billing-clerk", Resource: "london-1"},
		}})
		refused(t, err, fault.Conflict, access.CodeExclusive)
		made, err := invite(t, db, asUser(ann), letters, row("viewer", "london-1", soon))
		must(t, err)

		// Who has the same at another place reaches neither the invitation nor its link.
		bob := person(t, db, "northwind", "bob")
		_, err = given(t, db, operator, store.Grant{User: bob, Role: "user-admin", Resource: "americas"})
		must(t, err)
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ResendInvitation(ctx, asUser(bob), made[0].ID, letters)
			return err
		})
		refused(t, err, fault.Forbidden, "")
		err = write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.RevokeInvitation(ctx, asUser(bob), made[0].ID, "")
		})
		refused(t, err, fault.Forbidden, "")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.RevokeInvitation(ctx, asUser(ann), made[0].ID, "")
		}))
	})
}

func TestInvitation_ResentExpiredAndRevokedLinksOpenNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		open := func(token string) error {
			return write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.OpenInvitation(ctx, seal.Fingerprint(token), operator)
				return err
			})
		}
		made, first := inviteOne(t, db, "new@northwind.example", access.Want{Role: "auditor", Resource: "northwind"})
		must(t, open(first))
		var again store.Invited
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			again, err = tx.ResendInvitation(ctx, operator, made.ID, letters)
			return err
		}))
		second := tokenOf(t, db, again.Letter.Delivery)
		refused(t, open(first), fault.NotFound, invitation.CodeUnknown)
		_, err := accept(t, db, made.ID, first)
		refused(t, err, fault.Gone, invitation.CodeRevoked)
		if again.Times != 2 || again.Expires.Before(made.Expires) {
			t.Errorf("got %+v", again)
		}
		must(t, open(second))

		// The first letter had not gone out yet: it is taken back.
		must(t, db.System().Read(t.Context(), func(tx *store.SystemTx) error {
			list, err := tx.Letter(t.Context(), made.Letter.Delivery)
			if err == nil && list[0].Failed == 0 {
				t.Errorf("the void letter still goes out: %+v", list[0])
			}
			return err
		}))

		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `update invitations set expires = 1 where organization = $1`, tx.Organization)
			return err
		}))
		refused(t, open(second), fault.Gone, invitation.CodeExpired)
		_, err = accept(t, db, made.ID, second)
		refused(t, err, fault.Gone, invitation.CodeExpired)

		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.RevokeInvitation(ctx, operator, made.ID, "a slip")
		}))
		refused(t, open(second), fault.Gone, invitation.CodeRevoked)
		_, err = accept(t, db, made.ID, second)
		refused(t, err, fault.Gone, invitation.CodeRevoked)
		if users := listed(t, db, store.UserFilter{Deleted: true}); len(users) != 0 {
			t.Errorf("a person who never came is kept: %v", users)
		}
		if grants, _, err := list(t, db, store.GrantFilter{}); err != nil || len(grants) != 0 {
			t.Errorf("what the invitation gave is kept: %v %v", grants, err)
		}
		// The address is free again.
		inviteOne(t, db, "new@northwind.example")
	})
}

func TestInvite_DomainsHoldersAndSeats(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		person(t, db, "northwind", "dana@northwind.example")
		settings(t, db, func(o *store.DeclaredOrganization) {
			o.SeatLimit, o.Settings.AllowedDomains = 1, []string{"Northwind.example"}
		})
		made, token := inviteOne(t, db, "new@northwind.example")
		var verdicts []invitation.Verdict
		must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			verdicts, err = tx.CheckInvitations(t.Context(), operator, []invitation.Row{
				{Email: "NEW@northwind.example"},
				{Email: "Dana@Northwind.Example"},
				{Email: "x@gmail.example"},
				{Email: "y@northwind.example"},
				{Email: "Y@northwind.example"},
				{Email: "a\r\nBcc: b@northwind.example"},
			})
			return err
		}))
		var codes []string
		for _, v := range verdicts {
			codes = append(codes, v.Code)
		}
		if diff := cmp.Diff(codes, []string{
			invitation.CodeInvited, invitation.CodeHere, invitation.CodeDomain, invitation.CodeNoSeatNow, invitation.CodeTwice, invitation.CodeAddress,
		}); diff != "" {
			t.Error(diff)
		}
		_, err := accept(t, db, made.ID, token)
		refused(t, err, fault.Conflict, "no-seat")
		settings(t, db, func(o *store.DeclaredOrganization) { o.SeatLimit = 2 })
		_, err = accept(t, db, made.ID, token)
		must(t, err)
	})
}

func TestInvite_AListOfAThousand(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		var text strings.Builder
		text.WriteString("email,name,roles,resource\n")
		for n := range invitation.MaxRows {
			fmt.Fprintf(&text, "p%d@northwind.example,Person %d,viewer auditor@emea,london-1\n", n, n)
		}
		rows, err := invitation.Read(text.String(), nil, "northwind")
		must(t, err)
		o := letters
		o.Batch, o.Letters = "b1", []notification.Kind{notification.AccessChanged}
		started := time.Now()
		for n := 0; n < len(rows); n += 100 {
			_, err := invite(t, db, operator, o, rows[n:n+100]...)
			must(t, err)
		}
		t.Logf("%d people in %s", len(rows), time.Since(started))
		must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			p, err := tx.BatchProgress(t.Context(), "b1")
			if diff := cmp.Diff(p, store.BatchProgress{Invited: int64(len(rows))}); diff != "" {
				t.Error(diff)
			}
			if err != nil {
				return err
			}
			page, next, err := tx.ListInvitations(t.Context(), store.InvitationFilter{Q: "P99", Limit: 7})
			if len(page) != 7 || next == "" || len(page[0].Grants) != 2 {
				t.Errorf("got %d, next %q", len(page), next)
			}
			return err
		}))
	})
}

func TestLetters_AreSealedAndForgottenOnceTaken(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		made, token := inviteOne(t, db, "new@northwind.example")
		stored := func() (all string) {
			must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				for _, table := range []string{"outbox", "invitations", "audit"} {
					rows, err := tx.Strings(t.Context(), "select "+columnsOf[table]+" from "+table+" where organization = $1", tx.Organization)
					if err != nil {
						return err
					}
					all += strings.Join(rows, "\n")
				}
				return nil
			}))
			return all
		}
		if s := stored(); strings.Contains(s, token) || !strings.Contains(s, "sealed") {
			t.Errorf("the token stands in the store in the clear: %s", s)
		}
		due, err := db.LeaseDeliveries(t.Context(), 10, time.Minute)
		must(t, err)
		if len(due) != 1 || due[0].ID != made.Letter.Delivery {
			t.Fatalf("got %v", due)
		}
		must(t, db.Delivered(t.Context(), due[0], json.RawMessage(`{"server":"mx.example:587"}`)))
		if s := stored(); strings.Contains(s, "sealed") {
			t.Errorf("a letter that was taken is kept: %s", s)
		}
	})
}

var columnsOf = map[string]string{
	"outbox":      "cast(payload as text) || destination",
	"invitations": "token_hash || email",
	"audit":       "target_name || coalesce(cast(after as text), '')",
}

func TestNotify_WritesToWhoWantsIt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		world(t, db)
		users := []id.User{person(t, db, "northwind", "a@x.example"), person(t, db, "northwind", "b@x.example"), person(t, db, "northwind", "no-address")}
		for _, u := range users {
			_, err := given(t, db, operator, store.Grant{User: u, Role: "user-admin", Resource: "northwind"})
			must(t, err)
		}
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.MakeWebhook(ctx, operator, "https://hooks.example/a", []notification.Kind{notification.NeedsRoles}, "whsec_AAAA"); err != nil {
				return err
			}
			return tx.ChooseLetters(ctx, users[0], []notification.Kind{notification.AccessChanged}, asUser(users[0]))
		}))
		news := mail.Letter{Template: mail.NeedsRoles, Data: map[string]any{"Who": "Eve waits", "Note": "", "Link": "https://id.example/o/northwind/inbox"}}
		var n int
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.NotifyHolders(ctx, notification.NeedsRoles, news)
			return err
		}))
		due, err := db.LeaseDeliveries(t.Context(), 10, time.Minute)
		must(t, err)
		var to []string
		for _, d := range due {
			to = append(to, string(d.Kind)+" "+d.Destination)
			if d.Kind == outbox.Webhook && (strings.Contains(string(d.Payload), "inbox") || !strings.Contains(string(d.Payload), "Eve")) {
				t.Errorf("got the news %s", d.Payload)
			}
		}
		if n != 1 || len(to) != 2 {
			t.Errorf("got %d letters, %v", n, to)
		}
		// What concerns one's own account comes whatever was chosen.
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.Notify(ctx, notification.Security, mail.Letter{Template: mail.SecurityNotice, Data: map[string]any{
				"What": "A passkey was added.", "At": "now", "IP": "", "Device": "", "Link": "https://id.example/",
			}}, users[0])
			return err
		}))
		if n != 1 {
			t.Errorf("got %d letters about the account", n)
		}
	})
}

func TestGive_TellsThePersonInOneLetter(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		db.Public = "https://id.example"
		world(t, db)
		dana := person(t, db, "northwind", "dana@northwind.example")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			for _, want := range []store.Grant{{User: dana, Role: "auditor"}, {User: dana, Role: "asset-editor", Resource: "emea"}} {
				if _, err := tx.Give(ctx, operator, want); err != nil {
					return err
				}
			}
			return nil
		}))
		due, err := db.LeaseDeliveries(t.Context(), 10, time.Minute)
		must(t, err)
		if len(due) != 1 {
			t.Fatalf("got %d letters", len(due))
		}
		m := letterOf(t, db, due[0].ID)
		for _, want := range []string{"given: Auditor at Northwind", "given: Asset Editor at EMEA", "\nhttps://id.example/o/northwind/me\n"} {
			if !strings.Contains(m.Text, want) {
				t.Errorf("the letter lacks %q: %s", want, m.Text)
			}
		}

		// Somebody without any role writes to those who give them; and once a day they hear who has come.
		_, err = given(t, db, operator, store.Grant{User: dana, Role: "owner"})
		must(t, err)
		eve := person(t, db, "northwind", "eve@northwind.example")
		must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `update users set created = $1 where id = $2`, db.Now().UnixMicro(), eve); err != nil {
				return err
			}
			return tx.SetNote(ctx, eve, "I am the new surveyor.", asUser(eve))
		}))
		must(t, db.TellWhoWaits(t.Context()))
		due, err = db.LeaseDeliveries(t.Context(), 10, time.Minute)
		must(t, err)
		var got []string
		for _, d := range due {
			got = append(got, d.Destination+": "+letterOf(t, db, d.ID).Subject)
		}
		if diff := cmp.Diff(got, []string{
			"dana@northwind.example: Your access at Northwind has changed",
			"dana@northwind.example: eve@northwind.example waits for roles at Northwind",
			"dana@northwind.example: eve@northwind.example waits for roles at Northwind",
		}, cmpopts.SortSlices(strings.Compare)); diff != "" {
			t.Error(diff)
		}
	})
}

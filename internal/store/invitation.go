package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

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
	"github.com/vestibule-id/vestibule/scim"
)

// Invitation is an invitation together with the user that waits for it.
type Invitation struct {
	ID            id.Invitation
	User          id.User
	Email         string
	Name          string // of the user, as far as it was said
	InvitedBy     string
	InvitedByName string
	Batch         string
	TokenHash     string
	// Shown says that its link was given to whoever invited, and so proves nobody's address.
	Shown    bool
	Created  time.Time
	Sent     time.Time // last
	Times    int64     // how often
	Expires  time.Time
	Opened   time.Time
	Accepted time.Time
	Revoked  time.Time
	// Waiting says that the user is still pending: no directory has brought the person meanwhile.
	Waiting bool
	Letter  LetterState
	Grants  []Grant
}

// LetterState is how far the last letter of an invitation has come.
type LetterState struct {
	Delivery  id.Delivery // empty: none was sent
	Delivered time.Time
	Failed    time.Time
	LastError string
}

// State is where the invitation stands.
func (i *Invitation) State(now time.Time) invitation.State {
	return invitation.StateOf(now, i.Expires, i.Accepted, i.Revoked, i.Waiting)
}

// tokenActor begins the name of whoever calls the admin API: the name of a program, which means nothing to who is invited.
const tokenActor = "API token "

// Inviter is who invited, as the invited person is told.
func (i *Invitation) Inviter() string {
	if strings.HasPrefix(i.InvitedByName, tokenActor) {
		return "An administrator"
	}
	return i.InvitedByName
}

const invitationQuery = `
	select i.id, i.user_id, i.email, coalesce(u.display_name, ''), i.invited_by, i.invited_by_name, i.batch, i.token_hash, i.shown,
		i.created, i.sent, i.times, i.expires, i.opened, i.accepted, i.revoked,
		coalesce(u.status, '') = 'pending', i.delivery, o.delivered, o.failed, o.last_error
	from invitations i
	left join users u on u.organization = i.organization and u.id = i.user_id
	left join outbox o on o.id = i.delivery and o.organization = i.organization
	where i.organization = $1`

func scanInvitation(s scanner) (i Invitation, err error) {
	err = s.Scan(&i.ID, &i.User, &i.Email, &i.Name, &i.InvitedBy, &i.InvitedByName, orEmpty(&i.Batch), &i.TokenHash, &i.Shown,
		at(&i.Created), at(&i.Sent), &i.Times, at(&i.Expires), at(&i.Opened), at(&i.Accepted), at(&i.Revoked),
		&i.Waiting, orEmpty(&i.Letter.Delivery), at(&i.Letter.Delivered), at(&i.Letter.Failed), orEmpty(&i.Letter.LastError))
	if i.Name == i.Email {
		i.Name = ""
	}
	return i, err
}

// InviteOptions say what comes with the invitations of one call.
type InviteOptions struct {
	// URL is the public base URL, for the links.
	URL string
	// Show gives the links to the caller instead of sending letters: where there is no mail server.
	Show bool
	// Batch is the name of a list, for its progress; empty for a single one.
	Batch string
	// Letters are the kinds of letters the people shall get; nil leaves each the default.
	Letters []notification.Kind
}

// Invited is an invitation just made or sent again. Link is set only where the options say Show.
type Invited struct {
	Invitation
	Link string
}

// CheckInvitations gives the verdict of each row before anything is written.
func (tx *Tx) CheckInvitations(ctx context.Context, actor audit.Actor, rows []invitation.Row) ([]invitation.Verdict, error) {
	facts, err := tx.invitationFacts(ctx, actor, rows)
	if err != nil {
		return nil, err
	}
	return invitation.Check(facts, rows, tx.now), nil
}

func (tx *Tx) invitationFacts(ctx context.Context, actor audit.Actor, rows []invitation.Row) (*invitation.Facts, error) {
	self, err := tx.Self(ctx)
	if err != nil {
		return nil, err
	}
	f := &invitation.Facts{AllowedDomains: self.Settings.AllowedDomains, Holders: map[string]invitation.Holder{}, Free: -1}
	if f.Ground, err = tx.ground(ctx); err != nil {
		return nil, err
	}
	if f.Giver, err = tx.Giver(ctx, actor); err != nil {
		return nil, err
	}
	limit, used, err := tx.seats(ctx)
	if err != nil {
		return nil, err
	}
	if limit > 0 {
		var waiting int64
		if err := tx.queryRow(ctx, `
			select count(*)
			from users
			where organization = $1
				and status = 'pending'`, tx.Organization).Scan(&waiting); err != nil {
			return nil, fmt.Errorf("count who is invited: %w", err)
		}
		f.Free = max(0, limit-used-waiting)
	}
	// A hundred addresses to a statement: SQLite's planner and PostgreSQL's both take their index for each of them.
	for part := range slices.Chunk(rows, 100) {
		if err := tx.holders(ctx, part, f.Holders); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// holders finds the live users who hold an address of the rows, or it as their userName.
func (tx *Tx) holders(ctx context.Context, rows []invitation.Row, into map[string]invitation.Holder) error {
	args := arguments{tx.Organization}
	var emails, names []string
	key := map[string]string{}
	for _, r := range rows {
		name := scim.UserNameKey(r.Email)
		emails, names = append(emails, r.Key()), append(names, name)
		key[name] = r.Key()
	}
	type held struct{ email, name, display, status string }
	byEmail, byName := in("email_key", emails, args.add), in("user_name_key", names, args.add)
	found, err := collect[held](tx.query(ctx, liveUsers("coalesce(email_key, ''), user_name_key, display_name, status", byEmail, byName), args...))(func(s scanner) (h held, err error) {
		err = s.Scan(&h.email, &h.name, &h.display, &h.status)
		return h, err
	})
	if err != nil {
		return fmt.Errorf("look for who holds an address: %w", err)
	}
	for _, h := range found {
		holder := invitation.Holder{Name: h.display, Pending: h.status == string(directory.Pending)}
		into[h.email] = holder
		if k, asked := key[h.name]; asked {
			into[k] = holder
		}
	}
	return nil
}

// Invite makes a pending user with its grants and an invitation for each row, and posts the letters, all or none: a row
// that may not be invited refuses the call. The statements of a row depend on none of its answers, so a list of hundreds is
// a few round trips.
func (tx *Tx) Invite(ctx context.Context, actor audit.Actor, rows []invitation.Row, o InviteOptions) ([]Invited, error) {
	tx.Lock(ctx, accessLock)
	facts, err := tx.invitationFacts(ctx, actor, rows)
	if err != nil {
		return nil, err
	}
	for _, v := range invitation.Check(facts, rows, tx.now) {
		if err := v.Err(); err != nil {
			return nil, err
		}
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return nil, err
	}
	var out []Invited
	for _, r := range rows {
		made, err := tx.invite(ctx, actor, self, facts.Ground, r, o)
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}

func (tx *Tx) invite(
	ctx context.Context, actor audit.Actor, self *Organization, ground *access.Facts, r invitation.Row, o InviteOptions,
) (Invited, error) {
	email, err := mail.ParseAddress(r.Email)
	if err != nil {
		return Invited{}, err
	}
	u := directory.User{
		Organization: tx.Organization, ID: id.New[id.User](), Status: directory.Pending, UserName: email, Email: email,
		DisplayName: r.Name, Local: directory.Invited, Created: tx.now.UTC(), Updated: tx.now.UTC(),
	}
	if u.DisplayName == "" {
		u.DisplayName = email
	}
	tx.insertUser(&u)
	tx.recordUser(ctx, actor, "user.created", &u, nil, map[string]any{
		"user_name": u.UserName, "email": u.Email, "status": u.Status, "source": u.Local,
	}, "")
	i := Invited{Invitation: Invitation{
		ID: id.New[id.Invitation](), User: u.ID, Email: email, Name: r.Name, InvitedBy: actor.ID, InvitedByName: actor.Name,
		Batch: o.Batch, Shown: o.Show, Created: tx.now.UTC(), Sent: tx.now.UTC(), Times: 1, Waiting: true,
		Expires: tx.now.Add(self.Settings.InvitationLifetime()).UTC(),
	}}
	for _, w := range r.Grants {
		g, err := tx.newGrantQueued(ctx, actor, ground, Grant{
			User: u.ID, Role: w.Role, Resource: w.Resource, Source: access.Invitation, Starts: w.Starts, Expires: w.Expires,
		})
		if err != nil {
			return i, err
		}
		i.Grants = append(i.Grants, g)
	}
	token, err := tx.sendInvitation(ctx, actor, self, ground, &i, o, false)
	if err != nil {
		return i, err
	}
	tx.queue(`
		insert into invitations (organization, id, user_id, email, token_hash, batch, invited_by, invited_by_name, shown,
			delivery, created, sent, times, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, 1, $12)`,
		tx.Organization, i.ID, i.User, i.Email, token, orNull(o.Batch), i.InvitedBy, i.InvitedByName, i.Shown,
		orNull(i.Letter.Delivery), micros(tx.now), micros(i.Expires))
	if o.Letters != nil {
		tx.putChoice(u.ID, o.Letters)
	}
	tx.recordInvitation(ctx, actor, "invitation.sent", &i.Invitation, map[string]any{
		"email": email, "expires": i.Expires, "grants": offered(i.Grants), "letters": o.Letters,
	})
	return i, nil
}

// newGrantQueued is newGrant for a user just made, whose statements nobody waits for.
func (tx *Tx) newGrantQueued(ctx context.Context, actor audit.Actor, ground *access.Facts, g Grant) (Grant, error) {
	g.ID, g.Created = id.New[id.Grant](), tx.now.UTC().Truncate(time.Microsecond)
	g.GrantedBy, g.GrantedByName = actor.ID, actor.Name
	g.Starts, g.Expires = g.Starts.Truncate(time.Microsecond), g.Expires.Truncate(time.Microsecond)
	tx.queue(`
		insert into grants (organization, `+grantColumns+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		tx.Organization, g.ID, orNull(g.User), orNull(g.Group), g.Role, g.Resource, g.Source, g.GrantedBy, g.GrantedByName,
		g.Reason, micros(g.Created), microsOrNull(g.Starts), microsOrNull(g.Expires))
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "grant.given", TargetKind: "grant", TargetID: string(g.ID), User: g.User,
		TargetName: offer(ground, g), After: auditJSON(g.record()),
	})
	return g, nil
}

func offer(ground *access.Facts, g Grant) string {
	return fmt.Sprintf("%s at %s", ground.Catalogue.Name(g.Role), ground.Tree.Name(g.Resource))
}

func offered(grants []Grant) []grantRecord {
	out := make([]grantRecord, len(grants))
	for i, g := range grants {
		out[i] = g.record()
	}
	return out
}

// sendInvitation makes a link and posts the letter, or gives the link back where it is to be shown. It answers the hash.
func (tx *Tx) sendInvitation(
	ctx context.Context, actor audit.Actor, self *Organization, ground *access.Facts, i *Invited, o InviteOptions, again bool,
) (hash string, err error) {
	token := seal.Handle()
	i.TokenHash = seal.Fingerprint(token)
	link := o.URL + "/invitation/" + url.PathEscape(string(tx.Organization)) + "/" + token
	if o.Show {
		i.Link = link
		return i.TokenHash, nil
	}
	roles := []string{}
	for _, g := range i.Grants {
		roles = append(roles, offer(ground, g))
	}
	i.Letter = LetterState{}
	i.Letter.Delivery, err = tx.PostLetter(ctx, mail.Letter{
		Template: mail.Invitation, To: mail.Address{Name: i.Name, Email: i.Email},
		Data: map[string]any{
			"Organization": self.Name, "Inviter": i.Inviter(), "Link": link, "Until": mail.When(i.Expires), "Roles": roles, "Again": again,
		},
	})
	return i.TokenHash, err
}

func (tx *Tx) recordInvitation(ctx context.Context, actor audit.Actor, action string, i *Invitation, after map[string]any) {
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: action, TargetKind: "invitation", TargetID: string(i.ID), TargetName: i.Email, User: i.User,
		After: object(after),
	})
}

// Invitation gives one invitation. A fault of kind NotFound where there is none.
func (tx *Tx) Invitation(ctx context.Context, invited id.Invitation) (*Invitation, error) {
	return tx.oneInvitation(ctx, "\n\t\tand i.id = $2", invited, notFound("invitation", invited))
}

// InvitationByToken gives the invitation that a link opens, whatever its state: the page says which.
func (tx *Tx) InvitationByToken(ctx context.Context, hash string) (*Invitation, error) {
	return tx.oneInvitation(ctx, "\n\t\tand i.token_hash = $2", hash, fault.New(fault.NotFound,
		"This link opens no invitation. It was perhaps sent again since: take the link of the newest letter.").WithCode(invitation.CodeUnknown))
}

// PendingInvitation gives the invitation that a pending user waits for, or nil.
func (tx *Tx) PendingInvitation(ctx context.Context, user id.User) (*Invitation, error) {
	i, err := tx.oneInvitation(ctx, "\n\t\tand i.user_id = $2 and i.accepted is null and i.revoked is null", user, errNoRows)
	if errors.Is(err, errNoRows) {
		return nil, nil
	}
	return i, err
}

func (tx *Tx) oneInvitation(ctx context.Context, where string, value any, missing error) (*Invitation, error) {
	i, err := scanInvitation(tx.queryRow(ctx, invitationQuery+where, tx.Organization, value))
	if errors.Is(err, errNoRows) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("read an invitation: %w", err)
	}
	i.Grants, _, err = tx.ListGrants(ctx, GrantFilter{User: i.User, Source: access.Invitation, Limit: 500})
	return &i, err
}

// InvitationFilter narrows a list of invitations.
type InvitationFilter struct {
	// All lists those that are over too: accepted, revoked, overtaken.
	All    bool
	Q      string
	Batch  string
	Only   []id.User // unless nil: of these users, which is what a viewer below the root sees
	Cursor string
	Limit  int // 0: 50; at most 500
}

// ListInvitations gives invitations, newest first, and the cursor of the next page, empty on the last one.
func (tx *Tx) ListInvitations(ctx context.Context, f InvitationFilter) ([]Invitation, string, error) {
	before, limit, err := page(f.Cursor, f.Limit)
	if err != nil {
		return nil, "", err
	}
	args := arguments{tx.Organization}
	where := ""
	if !f.All {
		where += "\n\t\tand i.accepted is null and i.revoked is null and u.status = 'pending'"
	}
	if before != "" {
		where += "\n\t\tand i.id < " + args.add(before)
	}
	if f.Batch != "" {
		where += "\n\t\tand i.batch = " + args.add(f.Batch)
	}
	if q := invitation.Fold(f.Q); q != "" {
		where += "\n\t\tand (lower(i.email) like " + args.add("%"+escapeLike(q)+"%") + ` escape '\')`
	}
	if f.Only != nil {
		where += "\n\t\tand " + in("i.user_id", f.Only, args.add)
	}
	list, err := collect[Invitation](tx.query(ctx, invitationQuery+where+`
		order by i.id desc
		limit `+args.add(limit+1), args...))(scanInvitation)
	if err != nil {
		return nil, "", fmt.Errorf("list invitations: %w", err)
	}
	list, next := nextPage(list, limit, func(i Invitation) string { return string(i.ID) })
	if len(list) == 0 {
		return list, next, nil
	}
	args = arguments{tx.Organization, access.Invitation}
	users := make([]id.User, len(list))
	for n, i := range list {
		users[n] = i.User
	}
	grants, err := collect[Grant](tx.query(ctx, `
		select `+grantColumns+`
		from grants
		where organization = $1
			and source = $2
			and `+in("user_id", users, args.add)+`
		order by id`, args...))(scanGrant)
	if err != nil {
		return nil, "", fmt.Errorf("list what invitations give: %w", err)
	}
	for n := range list {
		for _, g := range grants {
			if g.User == list[n].User {
				list[n].Grants = append(list[n].Grants, g)
			}
		}
	}
	return list, next, nil
}

// BatchProgress is how far a list has come.
type BatchProgress struct{ Invited, Sent, Failed, Accepted int64 }

// BatchProgress counts what became of a list.
func (tx *Tx) BatchProgress(ctx context.Context, batch string) (p BatchProgress, err error) {
	err = tx.queryRow(ctx, `
		select count(*), count(o.delivered), count(o.failed), count(i.accepted)
		from invitations i
		left join outbox o on o.id = i.delivery and o.organization = i.organization
		where i.organization = $1
			and i.batch = $2`, tx.Organization, batch).Scan(&p.Invited, &p.Sent, &p.Failed, &p.Accepted)
	return p, err
}

// managed gives a pending invitation to who may resend or revoke it: who manages its user, and could give all that it
// gives. Otherwise somebody below could read, or take, what somebody above gave.
func (tx *Tx) managed(ctx context.Context, actor audit.Actor, invited id.Invitation) (*Invitation, *access.Facts, error) {
	tx.Lock(ctx, accessLock)
	i, err := tx.Invitation(ctx, invited)
	if err != nil {
		return nil, nil, err
	}
	ground, err := tx.ground(ctx)
	if err != nil {
		return nil, nil, err
	}
	switch s := i.State(tx.now); s {
	case invitation.Pending, invitation.Expired:
	case invitation.Accepted, invitation.Revoked, invitation.Overtaken:
		return nil, nil, fault.New(fault.Conflict, "The invitation of %s is over: it was %s.", i.Email, s).WithCode("invitation-" + string(s))
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return nil, nil, err
	}
	if err := tx.mayManage(ctx, giver, i.User); err != nil {
		return nil, nil, err
	}
	of, err := tx.Access(ctx, i.User)
	if err != nil {
		return nil, nil, err
	}
	return i, ground, access.Entrust(giver, ground, of)
}

// ResendInvitation renews the term, voids the old link and posts a new letter.
func (tx *Tx) ResendInvitation(ctx context.Context, actor audit.Actor, invited id.Invitation, o InviteOptions) (Invited, error) {
	i, ground, err := tx.managed(ctx, actor, invited)
	if err != nil {
		return Invited{}, err
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return Invited{}, err
	}
	again := Invited{Invitation: *i}
	earlier := i.Letter.Delivery
	again.Expires, again.Sent, again.Times = tx.now.Add(self.Settings.InvitationLifetime()).UTC(), tx.now.UTC(), i.Times+1
	again.Opened, again.Shown, again.Letter = time.Time{}, o.Show, LetterState{}
	hash, err := tx.sendInvitation(ctx, actor, self, ground, &again, o, true)
	if err != nil {
		return Invited{}, err
	}
	tx.queue(`
		update invitations
		set token_hash = $3, expires = $4, sent = $5, times = times + 1, opened = null, shown = $6, delivery = $7
		where organization = $1
			and id = $2`, tx.Organization, i.ID, hash, micros(again.Expires), micros(tx.now), o.Show, orNull(again.Letter.Delivery))
	tx.cancelLetter(earlier)
	tx.recordInvitation(ctx, actor, "invitation.resent", i, map[string]any{"expires": again.Expires, "times": again.Times})
	return again, nil
}

// cancelLetter takes a letter back that has not been sent yet: its link is void.
func (tx *Tx) cancelLetter(d id.Delivery) {
	tx.queue(`
		update outbox
		set failed = $3, last_error = 'The letter was not needed any more.', leased_until = null
		where organization = $1
			and id = $2
			and kind = '`+string(outbox.Mail)+`'
			and delivered is null
			and failed is null`, tx.Organization, d, micros(tx.now))
}

// RevokeInvitation voids the link at once and takes the pending user away with all that was given to it. Nothing of a
// person who never came is kept but the events.
func (tx *Tx) RevokeInvitation(ctx context.Context, actor audit.Actor, invited id.Invitation, reason string) error {
	i, _, err := tx.managed(ctx, actor, invited)
	if err != nil {
		return err
	}
	const why = "invitation revoked"
	all, _, err := tx.ListGrants(ctx, GrantFilter{User: i.User, Limit: 500})
	if err != nil {
		return err
	}
	for _, g := range all {
		g.Reason = why
		if err := tx.recordGrant(ctx, actor, "grant.revoked", &g, nil); err != nil {
			return err
		}
	}
	if err := tx.noteLifted(ctx, actor, "user_id", string(i.User), why); err != nil {
		return err
	}
	for _, table := range []string{"grants", "restrictions"} {
		tx.queue(`
			delete from `+table+`
			where organization = $1
				and user_id = $2`, tx.Organization, i.User)
	}
	tx.queue(`
		delete from group_members
		where organization = $1
			and member_id = $2`, tx.Organization, i.User)
	n, err := tx.exec(ctx, `
		delete from users
		where organization = $1
			and id = $2
			and status = 'pending'`, tx.Organization, i.User)
	if err != nil {
		return fmt.Errorf("take the pending user %s away: %w", i.User, err)
	}
	if n == 0 {
		return fault.New(fault.Conflict, "%s has just accepted.", i.Email).WithCode("invitation-accepted")
	}
	tx.queue(`
		update invitations
		set revoked = $3
		where organization = $1
			and id = $2`, tx.Organization, i.ID, micros(tx.now))
	tx.cancelLetter(i.Letter.Delivery)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "invitation.revoked", TargetKind: "invitation", TargetID: string(i.ID), TargetName: i.Email, User: i.User,
		Before: object(map[string]any{"email": i.Email, "expires": i.Expires, "grants": offered(i.Grants)}), Reason: reason,
	})
	return nil
}

// OpenInvitation notes that a pending invitation's link was opened, and gives it.
func (tx *Tx) OpenInvitation(ctx context.Context, hash string, actor audit.Actor) (*Invitation, error) {
	i, err := tx.InvitationByToken(ctx, hash)
	if err != nil {
		return nil, err
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return nil, err
	}
	if err := i.State(tx.now).Open(self.Name); err != nil {
		return nil, err
	}
	if i.Opened.IsZero() {
		tx.queue(`
			update invitations
			set opened = $3
			where organization = $1
				and id = $2`, tx.Organization, i.ID, micros(tx.now))
		tx.recordInvitation(ctx, actor, "invitation.opened", i, nil)
	}
	return i, nil
}

// Acceptance is what a person brings when accepting.
type Acceptance struct {
	Invitation id.Invitation
	TokenHash  string // of the link the person opened: a later letter voids it even when its page is open
	// EmailVerified says that somebody besides the letter vouches for the address.
	EmailVerified bool
	// Names, where the person or the provider says them.
	DisplayName, GivenName, FamilyName string
	By                                 string // "password", "passkey", or the connection's id: for the event
}

// AcceptInvitation makes a pending user active. It is refused when the link is void by now, and when no seat is free; what
// proves the person the next time (a password, a passkey, an identity) is written by the caller in the same transaction.
// The address counts as verified when the link went nowhere but there, or when EmailVerified says so.
func (tx *Tx) AcceptInvitation(ctx context.Context, a Acceptance, actor audit.Actor) (*directory.User, error) {
	i, err := tx.Invitation(ctx, a.Invitation)
	if err != nil {
		return nil, err
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return nil, err
	}
	// Whoever accepts twice at once waits here for the first and then reads what it wrote.
	u, err := tx.oneUser(ctx, i.User, tx.d.forUpdate())
	if fault.KindOf(err) == fault.NotFound {
		return nil, invitation.Revoked.Open(self.Name)
	}
	if err != nil {
		return nil, err
	}
	if i, err = tx.Invitation(ctx, a.Invitation); err != nil {
		return nil, err
	}
	if err := i.State(tx.now).Open(self.Name); err != nil {
		return nil, err
	}
	if i.TokenHash != a.TokenHash {
		return nil, fault.New(fault.Gone, "This invitation was sent once more. Take the link of the newest letter.").WithCode(invitation.CodeRevoked)
	}
	verified := a.EmailVerified || !i.Shown
	if name := strings.TrimSpace(a.DisplayName); name != "" {
		u.DisplayName = name
	}
	tx.queue(`
		update users
		set local_source = $3, email_verified = $4, display_name = $5, given_name = coalesce($6, given_name),
			family_name = coalesce($7, family_name)
		where organization = $1
			and id = $2`, tx.Organization, u.ID, directory.Invitation, verified, u.DisplayName, orNull(a.GivenName), orNull(a.FamilyName))
	u.Local, u.EmailVerified = directory.Invitation, verified
	if err := tx.activate(ctx, u, directory.Active, actor); err != nil {
		return nil, err
	}
	u.Status = directory.Active
	tx.queue(`
		update invitations
		set accepted = $3
		where organization = $1
			and id = $2`, tx.Organization, i.ID, micros(tx.now))
	tx.recordInvitation(ctx, actor, "invitation.accepted", i, map[string]any{"by": a.By, "email_verified": verified})
	e, err := tx.Access(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	return u, tx.liftHolderFlags(ctx, e)
}

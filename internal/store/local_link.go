package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/scim"
)

// Purpose is what a personal link is good for, and for nothing else.
type Purpose string

// The purposes.
const (
	ToReset   Purpose = "reset"   // to choose a password
	ToMove    Purpose = "address" // to confirm a new address
	ToRecover Purpose = "recover" // to come back in, on the operator's word
)

// PersonalLinkLifetime is how long a letter's link can be used: long enough for a slow mail server, short enough that a mailbox
// somebody opens tomorrow holds nothing.
const PersonalLinkLifetime = 30 * time.Minute

// PersonalLink is a one-time link as its row says.
type PersonalLink struct {
	Hash    string
	User    id.User
	Purpose Purpose
	Address string // of ToMove
	MadeBy  string
	Expires time.Time
}

// makeLink keeps a new link of a user. An earlier one of the same purpose is void: of two letters, the later counts.
func (tx *Tx) makeLink(_ context.Context, user id.User, purpose Purpose, address, by string, lasts time.Duration) (token string, until time.Time) {
	token, until = seal.Handle(), tx.now.Add(lasts)
	tx.queue(`
		update personal_links
		set used = $1
		where organization = $2
			and user_id = $3
			and purpose = $4
			and used is null`, micros(tx.now), tx.Organization, user, purpose)
	tx.queue(`
		insert into personal_links (organization, hash, user_id, purpose, address, made_by, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8)`,
		tx.Organization, seal.Fingerprint(token), user, purpose, orNull(address), by, micros(tx.now), micros(until))
	return token, until
}

// linkOver is the one answer for a link that is not there, used, void, expired, or for something else.
func linkOver() error {
	return fault.New(fault.Gone, "This link was used already, has expired, or was replaced by a later one.").WithCode("link-over")
}

// PersonalLink finds a link that can still be used. Opening the page behind a link spends nothing: mail scanners open links.
func (tx *Tx) PersonalLink(ctx context.Context, purpose Purpose, token string) (PersonalLink, error) {
	l := PersonalLink{Hash: seal.Fingerprint(token), Purpose: purpose}
	err := tx.queryRow(ctx, `
		select user_id, address, made_by, expires
		from personal_links
		where organization = $1
			and hash = $2
			and purpose = $3
			and used is null
			and expires > $4`, tx.Organization, l.Hash, purpose, micros(tx.now)).
		Scan(&l.User, orEmpty(&l.Address), &l.MadeBy, at(&l.Expires))
	if errors.Is(err, errNoRows) {
		err = linkOver()
	}
	return l, err
}

// SpendLink spends a link: once, of two tabs one.
func (tx *Tx) SpendLink(ctx context.Context, l PersonalLink) error {
	n, err := tx.exec(ctx, `
		update personal_links
		set used = $1
		where organization = $2
			and hash = $3
			and used is null
			and expires > $1`, micros(tx.now), tx.Organization, l.Hash)
	if err == nil && n == 0 {
		err = linkOver()
	}
	return err
}

// PersonalPath is where a link leads on this host.
func PersonalPath(purpose Purpose, org id.Organization, token string) string {
	return "/signin/link/" + string(purpose) + "/" + string(org) + "/" + token
}

// SendReset writes a letter with a link to choose a password, if this user may have one; else one event says why there was none, and
// whoever asked is not told. base is the public base URL.
func (tx *Tx) SendReset(ctx context.Context, user id.User, base string, actor audit.Actor) error {
	f, u, err := tx.LocalFacts(ctx, user)
	if err != nil {
		return err
	}
	if code := connection.Local(connection.Password, f); code != "" {
		e := personalEvent(actor, "password.link-refused", u, nil)
		e.Outcome, e.Code = audit.Refused, string(code)
		tx.Record(ctx, e)
		return nil
	}
	email, err := mail.ParseAddress(u.Email)
	if err != nil {
		return err
	}
	by := actor.Name
	if by == "" {
		by = "whoever typed the address"
	}
	token, until := tx.makeLink(ctx, user, ToReset, "", by, PersonalLinkLifetime)
	tx.Record(ctx, personalEvent(actor, "password.link-sent", u, nil))
	_, err = tx.PostLetter(ctx, mail.Letter{
		Template: mail.PasswordReset, To: mail.Address{Name: u.DisplayName, Email: email},
		Data: map[string]any{"Link": base + PersonalPath(ToReset, tx.Organization, token), "Until": mail.When(until)},
	})
	return err
}

// ResetAsked is what somebody asked who has forgotten a password.
type ResetAsked struct {
	Organization id.Organization // where it was asked; empty: at no organization's door
	Address      string          // as it was typed
	Base         string          // the public base URL
	Actor        audit.Actor
}

func resetPlace(d id.Delivery) string { return "reset-asked/" + string(d) }

// AskReset keeps what was asked, to be answered later. It looks nobody up: one that did would take longer for an address that somebody
// has than for one that nobody has, and so tell who has an account.
func (tx *SystemTx) AskReset(ctx context.Context, asked ResetAsked) error {
	raw, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	d := outbox.Delivery{ID: id.New[id.Delivery](), Kind: outbox.ResetAsked, Destination: "the address that was typed"}
	if d.Payload, err = json.Marshal(messagePayload{tx.db.Keys.Seal(resetPlace(d.ID), raw)}); err != nil {
		return err
	}
	tx.Post(ctx, d)
	return nil
}

// AnswerReset writes to whom a delivery of the kind reset-asked means. One that comes too late is not answered: whoever asked has asked
// again or gone away, and a link that comes out of nowhere frightens people.
func (db *DB) AnswerReset(ctx context.Context, d outbox.Delivery) error {
	if db.Now().Sub(time.UnixMicro(d.Created)) > PersonalLinkLifetime {
		return fault.New(fault.Gone, "It was asked too long ago.")
	}
	var p messagePayload
	if err := json.Unmarshal(d.Payload, &p); err != nil {
		return fmt.Errorf("read what was asked in %s: %w", d.ID, err)
	}
	raw, err := db.Keys.Open(resetPlace(d.ID), p.Sealed)
	if err != nil {
		return fmt.Errorf("open what was asked in %s: %w", d.ID, err)
	}
	var asked ResetAsked
	if err := json.Unmarshal(raw, &asked); err != nil {
		return fmt.Errorf("read what was asked in %s: %w", d.ID, err)
	}
	return db.System().Write(ctx, func(tx *SystemTx) error {
		accounts, err := tx.LocalAccounts(ctx, asked.Organization, asked.Address, "")
		if err != nil {
			return err
		}
		for _, a := range accounts {
			actor := asked.Actor
			actor.Organization = a.Organization
			// An address that was typed as a userName is not where a letter goes: it goes to the account's own address.
			if err := tx.In(a.Organization).SendReset(ctx, a.User, asked.Base, actor); err != nil && fault.KindOf(err) != fault.Invalid {
				return err
			}
		}
		return nil
	})
}

// AskMove begins a change of address: a link goes to the new one, and a word to the old one. Nothing changes until the link is used.
func (tx *Tx) AskMove(ctx context.Context, user id.User, address, base string, actor audit.Actor) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	if err := tx.mayMove(ctx, u, address); err != nil {
		return err
	}
	token, until := tx.makeLink(ctx, user, ToMove, address, actor.Name, PersonalLinkLifetime)
	tx.Record(ctx, personalEvent(actor, "address.change-asked", u, map[string]any{"email": address}))
	// Whether somebody else holds the new address is said only to who opens the letter there.
	if _, err := tx.PostLetter(ctx, mail.Letter{
		Template: mail.VerifyEmail, To: mail.Address{Name: u.DisplayName, Email: address},
		Data: map[string]any{"Link": base + PersonalPath(ToMove, tx.Organization, token), "Until": mail.When(until)},
	}); err != nil {
		return err
	}
	return tx.PostSecurityNotice(ctx, user, "Somebody asked to change the address of your account to "+address+".", actor.IP, "", base)
}

// mayMove says whether a person may change their address themselves: who signs in here without a provider. For others the directory
// or the provider says what it is.
func (tx *Tx) mayMove(ctx context.Context, u *directory.User, address string) error {
	f, _, err := tx.LocalFacts(ctx, u.ID)
	if err != nil {
		return err
	}
	if f.Upstream {
		return fault.New(fault.Forbidden, "Your address comes from your organization's directory or identity provider. It is changed there.").WithCode("address-elsewhere")
	}
	if f.Standing != connection.Active {
		return fault.New(fault.Forbidden, "Your account is not active.")
	}
	if scim.Fold(address) == scim.Fold(u.Email) {
		return fault.New(fault.Invalid, "This is your address already.").WithCode("bad-address")
	}
	return tx.MayMoveTo(ctx, u, address)
}

// Move carries a change of address out, by the link that went to the new one.
func (tx *Tx) Move(ctx context.Context, l PersonalLink, base string, actor audit.Actor) (*directory.User, error) {
	u, err := tx.oneUser(ctx, l.User, tx.d.forUpdate())
	if err != nil {
		return nil, err
	}
	if err := tx.mayMove(ctx, u, l.Address); err != nil {
		return nil, err
	}
	if err := tx.SpendLink(ctx, l); err != nil {
		return nil, err
	}
	if err := tx.changeAddress(ctx, u, l.Address); err != nil {
		return nil, err
	}
	// A link to the old address that is still open would lead back in.
	tx.queue(`
		update personal_links
		set used = $1
		where organization = $2
			and user_id = $3
			and used is null`, micros(tx.now), tx.Organization, u.ID)
	tx.recordUser(ctx, actor, "address.changed", u, map[string]any{"email": u.Email}, map[string]any{"email": l.Address, "email_verified": true}, "")
	if _, err := mail.ParseAddress(u.Email); err == nil {
		if _, err := tx.PostLetter(ctx, mail.Letter{
			Template: mail.EmailChanged, To: mail.Address{Name: u.DisplayName, Email: u.Email},
			Data: map[string]any{"NewEmail": l.Address, "At": mail.When(tx.now), "Link": base + "/o/" + string(tx.Organization) + "/me"},
		}); err != nil {
			return nil, err
		}
	}
	u.Email, u.EmailVerified = l.Address, true
	return u, nil
}

// PendingMove gives the address that a user has asked for and not confirmed yet, or "".
func (tx *Tx) PendingMove(ctx context.Context, user id.User) (string, error) {
	var address string
	err := tx.queryRow(ctx, `
		select address
		from personal_links
		where organization = $1
			and user_id = $2
			and purpose = $3
			and used is null
			and expires > $4`, tx.Organization, user, ToMove, micros(tx.now)).Scan(orEmpty(&address))
	if errors.Is(err, errNoRows) {
		return "", nil
	}
	return address, err
}

// DropMove takes back a change of address that is not confirmed yet.
func (tx *Tx) DropMove(ctx context.Context, user id.User, actor audit.Actor) error {
	n, err := tx.exec(ctx, `
		update personal_links
		set used = $1
		where organization = $2
			and user_id = $3
			and purpose = $4
			and used is null`, micros(tx.now), tx.Organization, user, ToMove)
	if err != nil || n == 0 {
		return err
	}
	u, err := tx.User(ctx, user)
	if err == nil {
		tx.Record(ctx, personalEvent(actor, "address.change-dropped", u, nil))
	}
	return err
}

// RecoveryLink makes a link by which a person comes in once, on the operator's word: for who is locked out while their provider
// cannot be reached. named is a user's id, userName or address.
func (tx *Tx) RecoveryLink(ctx context.Context, named string, actor audit.Actor) (token string, u *directory.User, err error) {
	users, err := column[id.User](tx.query(ctx, liveUsers("id", "id = $2", "user_name_key = $3", "email_key = $4")+`
		order by id
		limit 2`, tx.Organization, named, scim.UserNameKey(named), orNull(scim.Fold(named))))
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("look for %s: %w", named, err)
	case len(users) == 0:
		return "", nil, fault.New(fault.NotFound, "%s has no user %q; give an id, a userName or an address.", tx.Organization, named)
	case len(users) > 1:
		return "", nil, fault.New(fault.Conflict, "%q fits more than one user of %s; give the id.", named, tx.Organization)
	}
	if u, err = tx.oneUser(ctx, users[0], tx.d.forUpdate()); err != nil {
		return "", nil, err
	}
	if !u.HasAccess() {
		return "", nil, fault.New(fault.Conflict, "%s is %s, and a link does not change that. Reactivate the user first.", u.Name(), u.Status)
	}
	token, until := tx.makeLink(ctx, u.ID, ToRecover, "", actor.Name, PersonalLinkLifetime)
	tx.Record(ctx, personalEvent(actor, "recovery.link-made", u, map[string]any{"until": until}))
	return token, u, nil
}

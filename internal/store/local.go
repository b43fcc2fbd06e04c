package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/scim"
)

// LocalAccount is what is known of somebody who has typed an address and a password and has shown nothing yet.
type LocalAccount struct {
	Organization id.Organization
	User         id.User
	Name         string
	Hash         string // of the password; "" where none was chosen
	Known        bool   // this browser has shown the account's password before
}

// LocalAccounts finds the accounts that an address may mean: of an organization, or, where none is named, of all in which a
// password was chosen with that address. Where the organization has none, those of its providers count. The likeliest comes first.
func (tx *SystemTx) LocalAccounts(ctx context.Context, org id.Organization, address, browser string) ([]LocalAccount, error) {
	accounts := func(hash, from string) string {
		return `
		select u.organization, u.id, u.display_name, coalesce(` + hash + `, ''), (
			select k.user_id
			from known_browsers k
			where k.organization = u.organization
				and k.user_id = u.id
				and k.browser_hash = $2) is not null` + // with exists PostgreSQL may look for the browser among everybody's
			from + `
		order by (` + hash + ` is null), coalesce(u.last_login, 0) desc, u.organization, u.id
		limit 5`
	}
	scan := func(s scanner) (a LocalAccount, err error) {
		err = s.Scan(&a.Organization, &a.User, &a.Name, &a.Hash, &a.Known)
		return a, err
	}
	if scim.Fold(address) == "" {
		return nil, nil
	}
	if org == "" {
		return collect[LocalAccount](tx.query(ctx, accounts("p.hash", `
		from passwords p
		join users u on u.organization = p.organization and u.id = p.user_id
		where p.address_key = $1
			and u.email_key = $1
			and u.status <> 'deleted'`), scim.Fold(address), browser))(scan)
	}
	const hash = `(
			select p.hash
			from passwords p
			where p.organization = u.organization
				and p.user_id = u.id)`
	own, err := collect[LocalAccount](tx.query(ctx, accounts(hash, `
		from (`+liveUsers("u.organization, u.id, u.display_name, u.last_login", "u.email_key = $3", "u.user_name_key = $4")+`) u`),
		org, browser, scim.Fold(address), scim.UserNameKey(address)))(scan)
	if err != nil || len(own) > 0 {
		return own, err
	}
	// Nobody's here: somebody of a provider of it, who signs in at home.
	return collect[LocalAccount](tx.query(ctx, accounts("p.hash", `
		from relationships r
		join passwords p on p.organization = r.provider and p.address_key = $1
		join users u on u.organization = p.organization and u.id = p.user_id
		where r.client = $3
			and `+inForceAt("$4")+`
			and u.email_key = $1
			and u.status <> 'deleted'`), scim.Fold(address), browser, org, micros(tx.now)))(scan)
}

// Attempts to sign in with a password within one window. A browser that has shown the account's password before counts by itself,
// so that nobody's guesses keep the person out (catalogue 185). All others count by address and origin together, by origin alone
// against one who tries many addresses, and by address alone against many origins. An address that nobody has counts the same.
const (
	localWindow     = 15 * time.Minute
	localPerKnown   = 20
	localPerPair    = 10
	localPerIP      = 100
	localPerAddress = 60
	localLetters    = 3  // to one address
	localLettersIP  = 30 // asked for from one origin
	localLinks      = 60 // tried from one origin
)

func localLimits(address, browser, ip string, known bool) []limit {
	key, ip := spelling(address), Network(ip)
	if known {
		return []limit{{"password/" + key + "/b/" + browser, localPerKnown}}
	}
	return []limit{
		{"password/" + key + "/i/" + ip, localPerPair},
		{"password/address/" + key, localPerAddress},
		{"password/ip/" + ip, localPerIP},
	}
}

// spelling gives the name under which an address counts: what was typed is a stranger's text of any length, and every spelling that finds
// the same account has to count as one. A userName is found in full-width letters too, which are 2^n spellings of n letters.
func spelling(address string) string { return seal.Fingerprint(scim.UserNameKey(address)) }

// CountPassword counts a password that is about to be compared, and refuses one too many. It counts before the comparison, so that
// guesses at the same time are not more than the limit either.
func (tx *SystemTx) CountPassword(ctx context.Context, address, browser, ip string, known bool) error {
	return tx.countLocal(ctx, localLimits(address, browser, ip, known))
}

// ForgivePassword takes back what CountPassword counted: the password was right.
func (tx *SystemTx) ForgivePassword(_ context.Context, address, browser, ip string, known bool) {
	for i, l := range localLimits(address, browser, ip, known) {
		if i == 0 {
			tx.queue(`
				delete from counters
				where name = $1`, l.name)
			continue
		}
		tx.queue(`
			update counters
			set hits = hits - 1
			where name = $1
				and hits > 0`, l.name)
	}
}

// CountPersonalLink counts a one-time link or code that somebody presents.
func (tx *SystemTx) CountPersonalLink(ctx context.Context, ip string) error {
	return tx.countLocal(ctx, []limit{{"personal-link/ip/" + Network(ip), localLinks}})
}

func (tx *SystemTx) countLocal(ctx context.Context, limits []limit) error {
	tooMany := false
	for _, l := range limits {
		hits, err := tx.Hit(ctx, l.name, localWindow)
		if err != nil {
			return err
		}
		tooMany = tooMany || hits > l.hits
	}
	if tooMany {
		return fault.New(fault.TooMany, "There were too many attempts. Wait a quarter of an hour, or have a link sent to you: it works at once.").WithCode("too-many")
	}
	return nil
}

// MayWrite counts a letter to an address that somebody at an origin asks for. False: it is not sent, and nobody is told. One origin
// that asks for very many is refused.
func (tx *SystemTx) MayWrite(ctx context.Context, address, ip string) (bool, error) {
	if err := tx.countLocal(ctx, []limit{{"letters/ip/" + Network(ip), localLettersIP}}); err != nil {
		return false, err
	}
	hits, err := tx.Hit(ctx, "letters/address/"+spelling(address), localWindow)
	return hits <= localLetters, err
}

// LocalFacts loads what connection.Local decides over, with the user as it is now.
func (tx *Tx) LocalFacts(ctx context.Context, user id.User) (connection.LocalFacts, *directory.User, error) {
	var f connection.LocalFacts
	u, err := tx.oneUser(ctx, user, "")
	if err != nil {
		return f, nil, err
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return f, nil, err
	}
	f.Methods = self.Settings.LocalSignIn
	f.Standing = standing(u.Status, u.SuspendedAt, u.Seated)
	// An identity of a connection that is gone opens nothing, and keeps nothing else shut.
	err = tx.queryRow(ctx, `
		select
			exists (
				select 1
				from directory_records r
				where r.organization = $1
					and r.user_id = $2)
			or exists (
				select 1
				from identities i
				join connections c on c.organization = i.organization and c.id = i.connection
				where i.organization = $1
					and i.user_id = $2
					and i.closed is null),
			exists (
				select 1
				from sso_exceptions e
				where e.organization = $1
					and e.address_key in ($3, $4)
					and e.expires > $5)`,
		tx.Organization, user, scim.Fold(u.Email), scim.Fold(u.UserName), micros(tx.now)).Scan(&f.Upstream, &f.Exception)
	if err != nil {
		return f, nil, fmt.Errorf("read how user %s may sign in: %w", user, err)
	}
	f.Enforced, err = tx.enforcedFor(ctx, self, u.Email, u.UserName)
	return f, u, err
}

// MayLocal says whether a user may sign in, or set up to, by a method without a provider: a fault of kind Forbidden with the code
// of connection.Local where not.
func (tx *Tx) MayLocal(ctx context.Context, user id.User, m connection.Method) error {
	f, _, err := tx.LocalFacts(ctx, user)
	if err != nil {
		return err
	}
	switch code := connection.Local(m, f); code {
	case "":
		return nil
	case connection.CodeEnforced:
		return fault.New(fault.Forbidden, "Your organization signs its people in through its own identity provider alone.").WithCode(string(code))
	case connection.CodeNotLocal:
		return fault.New(fault.Forbidden, "You sign in through your organization's identity provider, so there is no %s here.", m).WithCode(string(code))
	default:
		return fault.New(fault.Forbidden, "Your account is not active.").WithCode(string(code))
	}
}

// PasswordOf gives the hash of a user's password and when it was chosen; "" where there is none.
func (tx *Tx) PasswordOf(ctx context.Context, user id.User) (hash string, changed time.Time, err error) {
	err = tx.queryRow(ctx, `
		select hash, changed
		from passwords
		where organization = $1
			and user_id = $2`, tx.Organization, user).Scan(&hash, at(&changed))
	if errors.Is(err, errNoRows) {
		return "", time.Time{}, nil
	}
	return hash, changed, err
}

// RenewHash keeps the same password's hash of today's parameters, unless the password was changed meanwhile. What it opens stays the
// same, so no event is recorded.
func (tx *Tx) RenewHash(_ context.Context, user id.User, was, now string) {
	tx.queue(`
		update passwords
		set hash = $1
		where organization = $2
			and user_id = $3
			and hash = $4`, now, tx.Organization, user, was)
}

// KnowBrowser remembers that a browser has shown a user's password.
func (tx *Tx) KnowBrowser(_ context.Context, user id.User, browser string) {
	tx.queue(`
		insert into known_browsers (organization, user_id, browser_hash, used)
		values ($1, $2, $3, $4)
		on conflict (organization, user_id, browser_hash) do update set used = excluded.used`,
		tx.Organization, user, browser, micros(tx.now))
}

// NewPassword is a password that a person has chosen.
type NewPassword struct {
	Hash string
	// How it came about: account, reset, invitation.
	How string
	// Keep is the session in which it was chosen; every other one ends.
	Keep id.Session
	// Proven: the person came by a letter to the account's address.
	Proven bool
	// Device and Base, the public base URL, are for the letter that says so; without Base there is none.
	Device, Base string
}

// SetPassword keeps a password that a person has chosen, and ends what somebody else could have got hold of before: every other
// session, every open link, a change of address under way, a provider's subject that waits to be linked. Whoever proves by letter
// an address that was never proven before takes the account over from somebody who did not: then also the factors enrolled until
// now go (pre-hijacking by a trojan identifier).
func (tx *Tx) SetPassword(ctx context.Context, user id.User, n NewPassword, actor audit.Actor) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	was, _, err := tx.PasswordOf(ctx, user)
	if err != nil {
		return err
	}
	tx.queue(`
		insert into passwords (organization, user_id, hash, address_key, changed)
		values ($1, $2, $3, $4, $5)
		on conflict (organization, user_id) do update
		set hash = excluded.hash, address_key = excluded.address_key, changed = excluded.changed`,
		tx.Organization, user, n.Hash, orNull(scim.Fold(u.Email)), micros(tx.now))
	said := map[string]any{"how": n.How, "first": was == ""}
	if n.Proven && !u.EmailVerified {
		gone, err := tx.RemoveFactors(ctx, user)
		if err != nil {
			return err
		}
		tx.queue(`
			update users
			set email_verified = true, updated = $1
			where organization = $2
				and id = $3`, micros(tx.now), tx.Organization, user)
		said["email_verified"], said["factors_removed"] = true, gone
	}
	ended, err := tx.shutOut(ctx, user, n.Keep)
	if err != nil {
		return err
	}
	said["sessions_ended"] = ended
	tx.recordUser(ctx, actor, "password.set", u, nil, said, "")
	if was == "" || n.Base == "" {
		return nil
	}
	return tx.PostSecurityNotice(ctx, user, "The password of your account was changed.", actor.IP, n.Device, n.Base)
}

// RemovePassword takes a user's password away.
func (tx *Tx) RemovePassword(ctx context.Context, user id.User, actor audit.Actor, reason string) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	n, err := tx.exec(ctx, `
		delete from passwords
		where organization = $1
			and user_id = $2`, tx.Organization, user)
	if err != nil || n == 0 {
		return err
	}
	if _, err := tx.shutOut(ctx, user, ""); err != nil {
		return err
	}
	tx.recordUser(ctx, actor, "password.removed", u, nil, nil, reason)
	return nil
}

// shutOut ends what a person who takes their account back in hand leaves to nobody: all sessions but one, open links, a change of
// address under way, what waits to be linked, and the browsers that were known.
func (tx *Tx) shutOut(ctx context.Context, user id.User, keep id.Session) (int, error) {
	ended, err := tx.EndOtherSessions(ctx, user, keep)
	if err != nil {
		return 0, err
	}
	tx.queue(`
		update personal_links
		set used = $1
		where organization = $2
			and user_id = $3
			and used is null`, micros(tx.now), tx.Organization, user)
	tx.queue(`
		delete from pending_identities
		where organization = $1
			and user_id = $2`, tx.Organization, user)
	tx.queue(`
		delete from known_browsers
		where organization = $1
			and user_id = $2`, tx.Organization, user)
	return ended, nil
}

// personalEvent is the event of something that concerns one person's way in.
func personalEvent(actor audit.Actor, action string, u *directory.User, after map[string]any) audit.Event {
	return audit.Event{
		Actor: actor, Action: action, TargetKind: "user", TargetID: string(u.ID), TargetName: u.Name(), User: u.ID,
		After: json.RawMessage(object(after)),
	}
}

// changeAddress gives a user another address, if nobody else holds it.
func (tx *Tx) changeAddress(ctx context.Context, u *directory.User, address string) error {
	var holders int64
	err := tx.queryRow(ctx, `
		select count(*)
		from (`+liveUsers("id", "email_key = $3", "user_name_key = $4")+`) h
		where h.id <> $2`,
		tx.Organization, u.ID, scim.Fold(address), scim.UserNameKey(address)).Scan(&holders)
	if err != nil {
		return err
	}
	if holders > 0 {
		return fault.New(fault.Conflict, "Somebody else of your organization holds this address.").WithCode("address-taken")
	}
	userName := u.UserName
	if scim.UserNameKey(userName) == scim.UserNameKey(u.Email) {
		userName = address
	}
	_, err = tx.exec(ctx, `
		update users
		set email = $1, email_key = $2, email_verified = true, user_name = $3, user_name_key = $4, updated = $5
		where organization = $6
			and id = $7`,
		address, scim.Fold(address), userName, scim.UserNameKey(userName), micros(tx.now), tx.Organization, u.ID)
	if err != nil {
		return err
	}
	tx.queue(`
		update passwords
		set address_key = $1
		where organization = $2
			and user_id = $3`, scim.Fold(address), tx.Organization, u.ID)
	return nil
}

// MayMoveTo refuses an address that a person must not give their account: one outside the organization's allowed domains, and, where
// single sign-on is demanded for the present one, any of another domain, since that would be the way around it.
func (tx *Tx) MayMoveTo(ctx context.Context, u *directory.User, address string) error {
	domain := connection.DomainOf(address)
	if _, err := mail.ParseAddress(address); err != nil || domain == "" {
		return fault.New(fault.Invalid, "This is not an email address. It looks like name@company.example.").WithCode("bad-address")
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return err
	}
	if allowed := self.Settings.AllowedDomains; len(allowed) > 0 &&
		!slices.ContainsFunc(allowed, func(d string) bool { return connection.Domain(d) == domain }) {
		return fault.New(fault.Forbidden, "%s only takes addresses of its own domains.", self.Name).WithCode("domain-not-allowed")
	}
	enforced, err := tx.enforcedFor(ctx, self, u.Email, u.UserName)
	if err == nil && enforced && domain != connection.DomainOf(u.Email) {
		err = fault.New(fault.Forbidden, "%s signs people of your address's domain in through its identity provider, so the address stays in that domain.", self.Name).
			WithCode(string(connection.CodeEnforced))
	}
	return err
}

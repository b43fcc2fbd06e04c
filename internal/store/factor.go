package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
)

// Factor is something a person enrolled here to prove who they are with.
type Factor struct {
	ID   id.Factor
	User id.User
	Kind mfa.Kind
	Name string // as the person calls it; of an address or a telephone number, itself
	// Credential is a passkey's credential id, in base64url: one in the whole installation.
	Credential string
	Secret     string // sealed for FactorPlace
	// Counter is a passkey's signature count, or the number of the last time step of which an app's code was taken.
	Counter   int64
	Preferred bool
	Created   time.Time
	Confirmed time.Time // zero: the person has not shown yet that it works
	LastUsed  time.Time
}

// FactorPlace is where a factor's secret is sealed to.
func FactorPlace(factor id.Factor) string { return "factor/" + string(factor) }

const factorColumns = `id, user_id, kind, name, credential, secret, counter, preferred, created, confirmed, last_used`

func scanFactor(s scanner) (f Factor, err error) {
	var confirmed, used int64
	err = s.Scan(&f.ID, &f.User, &f.Kind, &f.Name, orEmpty(&f.Credential), orEmpty(&f.Secret), &f.Counter, &f.Preferred,
		at(&f.Created), orZero(&confirmed), orZero(&used))
	f.Confirmed, f.LastUsed = momentOf(confirmed), momentOf(used)
	return f, err
}

// Factors lists a user's factors that were shown to work, the oldest first.
func (tx *Tx) Factors(ctx context.Context, user id.User) ([]Factor, error) {
	return collect[Factor](tx.query(ctx, `
		select `+factorColumns+`
		from factors
		where organization = $1 and user_id = $2 and confirmed is not null
		order by id`, tx.Organization, user))(scanFactor)
}

// Factor finds one of a user's factors, shown to work or not.
func (tx *Tx) Factor(ctx context.Context, user id.User, factor id.Factor) (Factor, error) {
	f, err := scanFactor(tx.queryRow(ctx, `
		select `+factorColumns+`
		from factors
		where organization = $1 and user_id = $2 and id = $3`, tx.Organization, user, factor))
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "This way to prove who you are is no longer there.")
	}
	return f, err
}

// UnfinishedFactor finds the factor of a kind that a user is enrolling and has not shown to work yet.
func (tx *Tx) UnfinishedFactor(ctx context.Context, user id.User, kind mfa.Kind) (Factor, error) {
	f, err := scanFactor(tx.queryRow(ctx, `
		select `+factorColumns+`
		from factors
		where organization = $1 and user_id = $2 and kind = $3 and confirmed is null
		order by id desc
		limit 1`, tx.Organization, user, kind))
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "Nothing of the kind is being enrolled.")
	}
	return f, err
}

// HitHere counts in this transaction, as SystemTx.Hit does: counters belong to the installation.
func (tx *Tx) HitHere(ctx context.Context, name string, window time.Duration) (int64, error) {
	return (&SystemTx{work: tx.work}).hit(ctx, name, window, 1)
}

// maxFactors bounds what one person keeps: more than anybody's devices, fewer than fill a page.
const maxFactors = 20

// AddFactor keeps a new factor. One that is not shown to work yet replaces any earlier unfinished one of its kind.
func (tx *Tx) AddFactor(ctx context.Context, f Factor) error {
	var have int64
	err := tx.queryRow(ctx, `
		select count(*)
		from factors
		where organization = $1 and user_id = $2 and confirmed is not null`, tx.Organization, f.User).Scan(&have)
	if err != nil {
		return err
	}
	if have >= maxFactors {
		return fault.New(fault.Conflict, "You have %d ways to prove who you are. Remove one that you no longer use first.", have)
	}
	if f.Confirmed.IsZero() {
		tx.queue(`
			delete from factors
			where organization = $1 and user_id = $2 and kind = $3 and confirmed is null`, tx.Organization, f.User, f.Kind)
	}
	n, err := tx.exec(ctx, `
		insert into factors (organization, id, user_id, kind, name, credential, secret, counter, preferred, created, confirmed)
		values ($1, $2, $3, $4, $5, $6, $7, $8, false, $9, $10)
		on conflict (credential) do nothing`,
		tx.Organization, f.ID, f.User, f.Kind, f.Name, orNull(f.Credential), orNull(f.Secret), f.Counter, micros(tx.now),
		microsOrNull(f.Confirmed))
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, "This passkey is enrolled already.")
	}
	return err
}

// ConfirmFactor notes that a factor was shown to work.
func (tx *Tx) ConfirmFactor(ctx context.Context, factor id.Factor, counter int64) error {
	n, err := tx.exec(ctx, `
		update factors
		set confirmed = $1, counter = $2
		where organization = $3 and id = $4 and confirmed is null`, micros(tx.now), counter, tx.Organization, factor)
	if err == nil && n == 0 {
		err = fault.New(fault.Gone, "This enrolment is over. Begin again.")
	}
	return err
}

// UseFactor moves a factor's counter on and notes the use, and says whether it did: a counter that was reached before, on this
// node or another, is a replay.
func (tx *Tx) UseFactor(ctx context.Context, factor id.Factor, counter int64) (bool, error) {
	n, err := tx.exec(ctx, `
		update factors
		set counter = $1, last_used = $2
		where organization = $3 and id = $4 and confirmed is not null and counter < $1`, counter, micros(tx.now), tx.Organization, factor)
	return n > 0, err
}

// UseCredential keeps a passkey's state after a use. An authenticator that counts never counts backwards: the credential record
// was judged before, so what is compared here is only that nobody else used the same count in between.
func (tx *Tx) UseCredential(ctx context.Context, factor id.Factor, before, counter int64, secret string) (bool, error) {
	n, err := tx.exec(ctx, `
		update factors
		set counter = $1, last_used = $2, secret = $3
		where organization = $4 and id = $5 and counter = $6`, counter, micros(tx.now), secret, tx.Organization, factor, before)
	return n > 0, err
}

// TouchFactor notes the use of a factor that counts nothing.
func (tx *Tx) TouchFactor(_ context.Context, factor id.Factor) {
	tx.queue(`
		update factors
		set last_used = $1
		where organization = $2 and id = $3`, micros(tx.now), tx.Organization, factor)
}

// RenameFactor gives a factor another name.
func (tx *Tx) RenameFactor(_ context.Context, user id.User, factor id.Factor, name string) {
	tx.queue(`
		update factors
		set name = $1
		where organization = $2 and user_id = $3 and id = $4`, name, tx.Organization, user, factor)
}

// PreferFactor makes one of a user's factors the one that is asked for first; no id: none of them.
func (tx *Tx) PreferFactor(_ context.Context, user id.User, factor id.Factor) {
	tx.queue(`
		update factors
		set preferred = (id = $3)
		where organization = $1 and user_id = $2`, tx.Organization, user, factor)
}

// RemoveFactor takes one away.
func (tx *Tx) RemoveFactor(ctx context.Context, user id.User, factor id.Factor) error {
	n, err := tx.exec(ctx, `
		delete from factors
		where organization = $1 and user_id = $2 and id = $3`, tx.Organization, user, factor)
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "This way to prove who you are is no longer there.")
	}
	return err
}

// RemoveFactors takes everything a user enrolled away and says how much that was: for an administrator's reset.
func (tx *Tx) RemoveFactors(ctx context.Context, user id.User) (int64, error) {
	n, err := tx.exec(ctx, `
		delete from factors
		where organization = $1 and user_id = $2`, tx.Organization, user)
	tx.queue(`
		delete from recovery_codes
		where organization = $1 and user_id = $2`, tx.Organization, user)
	return n, err
}

// KeepRecoveryCodes replaces a user's recovery codes.
func (tx *Tx) KeepRecoveryCodes(_ context.Context, user id.User, hashes []string) {
	tx.queue(`
		delete from recovery_codes
		where organization = $1 and user_id = $2`, tx.Organization, user)
	for _, h := range hashes {
		tx.queue(`
			insert into recovery_codes (organization, user_id, hash, created)
			values ($1, $2, $3, $4)`, tx.Organization, user, h, micros(tx.now))
	}
}

// RecoveryCodes says how many of a user's recovery codes are unused.
func (tx *Tx) RecoveryCodes(ctx context.Context, user id.User) (left int64, err error) {
	err = tx.queryRow(ctx, `
		select count(*)
		from recovery_codes
		where organization = $1 and user_id = $2 and used is null`, tx.Organization, user).Scan(&left)
	return left, err
}

// UseRecoveryCode spends a recovery code, given by its hash under each of the node's keys: once.
func (tx *Tx) UseRecoveryCode(ctx context.Context, user id.User, hashes []string) (bool, error) {
	for _, h := range hashes {
		n, err := tx.exec(ctx, `
			update recovery_codes
			set used = $1
			where organization = $2 and user_id = $3 and hash = $4 and used is null`, micros(tx.now), tx.Organization, user, h)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}

// FactorOfCredential finds whose passkey a credential id is: the one question about factors that is asked before the organization
// is known.
func (tx *SystemTx) FactorOfCredential(ctx context.Context, credential string) (id.Organization, Factor, error) {
	var org id.Organization
	var f Factor
	var confirmed, used int64
	err := tx.queryRow(ctx, `
		select organization, `+factorColumns+`
		from factors
		where credential = $1 and confirmed is not null`, credential).
		Scan(&org, &f.ID, &f.User, &f.Kind, &f.Name, orEmpty(&f.Credential), orEmpty(&f.Secret), &f.Counter, &f.Preferred,
			at(&f.Created), orZero(&confirmed), orZero(&used))
	f.Confirmed, f.LastUsed = momentOf(confirmed), momentOf(used)
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "This passkey is not known here. It may have been removed.").WithCode("passkey-unknown")
	}
	return org, f, err
}

// Challenge is a question that one browser was asked: a passkey's ceremony, or a code that was sent.
type Challenge struct {
	ID      string
	Browser string
	Kind    string
	Secret  string // sealed for ChallengePlace, or hashed
	Tries   int64
	Created time.Time
	Expires time.Time
}

// ChallengePlace is where a challenge's secret is sealed to.
func ChallengePlace(challenge string) string { return "challenge/" + challenge }

// challengeOver is the one answer for a challenge that is spent, expired, or another browser's.
func challengeOver() error {
	return fault.New(fault.Gone, "This question is over: it was answered already, or it took too long. Ask for a new one.").WithCode("challenge-over")
}

// KeepChallenge keeps one. One of the same id, asked before, is over.
func (w *work) KeepChallenge(_ context.Context, c Challenge) {
	w.queue(`
		insert into challenges (id, browser_hash, kind, secret, tries, created, expires)
		values ($1, $2, $3, $4, 0, $5, $6)
		on conflict (id) do update
		set browser_hash = excluded.browser_hash, kind = excluded.kind, secret = excluded.secret, tries = 0,
			created = excluded.created, expires = excluded.expires`,
		c.ID, c.Browser, c.Kind, c.Secret, micros(w.now), micros(c.Expires))
}

// TakeChallenge spends one: once, by the browser that was asked.
func (w *work) TakeChallenge(ctx context.Context, challenge, browser, kind string) (Challenge, error) {
	return w.oneChallenge(ctx, `
		delete from challenges
		where id = $1 and browser_hash = $2 and kind = $3 and expires > $4
		returning id, browser_hash, kind, secret, tries, created, expires`, challenge, browser, kind)
}

// TryChallenge counts a try at a code and gives what to compare with. The count is in the statement, so that parallel guesses on
// several nodes are counted each.
func (w *work) TryChallenge(ctx context.Context, challenge, browser, kind string, most int64) (Challenge, error) {
	c, err := w.oneChallenge(ctx, `
		update challenges
		set tries = tries + 1
		where id = $1 and browser_hash = $2 and kind = $3 and expires > $4
		returning id, browser_hash, kind, secret, tries, created, expires`, challenge, browser, kind)
	if err == nil && c.Tries > most {
		return c, challengeOver()
	}
	return c, err
}

// DropChallenge forgets one that was answered.
func (w *work) DropChallenge(_ context.Context, challenge string) {
	w.queue(`
		delete from challenges
		where id = $1`, challenge)
}

func (w *work) oneChallenge(ctx context.Context, sql, challenge, browser, kind string) (c Challenge, err error) {
	err = w.queryRow(ctx, sql, challenge, browser, kind, micros(w.now)).
		Scan(&c.ID, &c.Browser, &c.Kind, &c.Secret, &c.Tries, at(&c.Created), at(&c.Expires))
	if errors.Is(err, errNoRows) {
		err = challengeOver()
	}
	return c, err
}

// ProveAttempt keeps what a sign-in has proved so far, sealed, while it is asked for more, and ties it to the organization.
func (tx *Tx) ProveAttempt(ctx context.Context, attempt id.Attempt, browser, proved string) error {
	n, err := tx.exec(ctx, `
		update attempts
		set proved = $1, organization = $2, state_hash = null, nonce = null, verifier = null
		where id = $3 and browser_hash = $4 and finished is null and session_id is null and expires > $5`,
		proved, tx.Organization, attempt, browser, micros(tx.now))
	if err == nil && n == 0 {
		err = attemptOver()
	}
	return err
}

// HomeAttempt ties a sign-in that went through no connection to the organization it found.
func (tx *Tx) HomeAttempt(_ context.Context, attempt id.Attempt, browser string) {
	tx.queue(`
		update attempts
		set organization = $1
		where id = $2 and browser_hash = $3 and finished is null and session_id is null`, tx.Organization, attempt, browser)
}

// ProvedAttempt gives what a sign-in has proved so far, sealed, and "" where it has proved nothing.
func (w *work) ProvedAttempt(ctx context.Context, attempt id.Attempt, browser string) (org id.Organization, proved string, err error) {
	err = w.queryRow(ctx, `
		select organization, proved
		from attempts
		where id = $1 and browser_hash = $2 and finished is null and session_id is null and expires > $3`,
		attempt, browser, micros(w.now)).Scan(orEmpty(&org), orEmpty(&proved))
	if errors.Is(err, errNoRows) {
		err = attemptOver()
	}
	return org, proved, err
}

// AccessIn is what a user may do in a session in which these methods were shown: what asks for a second factor is left out where
// none was. Access is the same for whoever has shown everything.
func (tx *Tx) AccessIn(ctx context.Context, user id.User, amr []string) (*access.Effective, error) {
	f, err := tx.AccessFacts(ctx, user)
	if err != nil {
		return nil, err
	}
	f.User.MFA = mfa.Two(amr)
	return access.Decide(f, tx.now), nil
}

// AccessShown is what a user may do by what they showed when they signed in to an application, as long as that goes on: what is asked
// about somebody without holding a token of theirs. Where a session is named, what was shown in it alone counts. It takes one statement, one
// more for a provider's user and, where a second factor is demanded, one for what was shown. A provider's user to whom nothing was given
// here is nobody's here, as in ProviderUsers: a fault of kind NotFound, as for whoever does not exist.
func (tx *Tx) AccessShown(ctx context.Context, user id.User, session id.Session) (*access.Effective, error) {
	f, err := tx.AccessFacts(ctx, user)
	if err != nil {
		return nil, err
	}
	e := access.Decide(f, tx.now)
	if e.External() && len(e.Grants) == 0 && !e.BeyondDefaults() {
		return nil, fault.New(fault.NotFound, "There is no user %q in this organization.", user)
	}
	if len(e.Demands) == 0 {
		return e, nil
	}
	if f.User.MFA, err = tx.shownFactor(ctx, f.User, session); err != nil {
		return nil, err
	}
	return access.Decide(f, tx.now), nil
}

// goesOn is the condition on a family f that what was shown for it counts still, at the time $3: the session that it began in lasts, or
// it can be renewed.
const goesOn = `f.revoked is null
			and f.expires > $3
			and (
				exists (
					select 1
					from sessions s
					where s.organization = f.organization
						and s.id = f.session_id
						and s.ended is null
						and s.expires > $3)
				or exists (
					select 1
					from refresh_tokens t
					where t.organization = f.organization
						and t.family = f.id
						and t.used is null
						and t.expires > $3))`

// shownQuery reads what was shown by a user for each family that goes on, or for those of one session where it is named.
const shownQuery = `
		select f.amr
		from families f
		where f.organization = $1
			and f.user_id = $2
			and ($4 = '' or f.session_id = $4)
			and ` + goesOn

// shownFactor reports whether a second factor was shown for what goes on.
func (tx *Tx) shownFactor(ctx context.Context, u access.User, session id.Session) (shown bool, err error) {
	if u.Home != tx.Organization {
		return tx.providerShownFactor(ctx, u, session)
	}
	return twoAmong(tx.query(ctx, shownQuery, tx.Organization, u.ID, micros(tx.now), session))
}

// twoAmong reports whether one of many lists of methods is two factors.
func twoAmong(all rows, err error) (bool, error) {
	lists, err := collect[[]string](all, err)(func(s scanner) (amr []string, err error) {
		err = s.Scan(decode(&amr))
		return amr, err
	})
	if err != nil {
		return false, fmt.Errorf("read what was shown: %w", err)
	}
	return slices.ContainsFunc(lists, mfa.Two), nil
}

// MFADemand says why a user must show a second factor to have everything that was given.
func (tx *Tx) MFADemand(ctx context.Context, user id.User) (mfa.Demand, error) {
	e, err := tx.Access(ctx, user)
	if err != nil {
		return mfa.Demand{}, err
	}
	return mfa.Demand{Multiple: e.Demands}, nil
}

// EndOtherSessions ends a user's sessions but one, and says how many those were.
func (tx *Tx) EndOtherSessions(ctx context.Context, user id.User, but id.Session) (int, error) {
	others, err := column[id.Session](tx.query(ctx, `
		select id
		from sessions
		where organization = $1 and user_id = $2 and id <> $3 and ended is null and expires > $4`,
		tx.Organization, user, but, micros(tx.now)))
	if err != nil {
		return 0, err
	}
	ended := 0
	for _, s := range others {
		open, err := tx.EndSession(ctx, s)
		if err != nil {
			return ended, err
		}
		if open {
			ended++
		}
	}
	return ended, nil
}

// RecordFactor writes the event of a change to a user's factors. Neither secret nor number stands in it.
func (tx *Tx) RecordFactor(ctx context.Context, actor audit.Actor, action string, user id.User, f Factor, reason string) {
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: action, TargetKind: "factor", TargetID: string(f.ID), TargetName: string(f.Kind), User: user,
		After: json.RawMessage(encode(map[string]string{"kind": string(f.Kind)})), Reason: reason,
	})
}

// ResetFactors takes everything away that a user enrolled, and ends their sessions: what an administrator does for somebody who has
// lost it all. Nobody resets the factors of who holds what they could not give: with a mailbox or a password of that person at hand,
// an administrator of users would come by an owner's roles.
func (tx *Tx) ResetFactors(ctx context.Context, user id.User, actor audit.Actor, reason, ip, base string) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return err
	}
	if err := tx.mayManage(ctx, giver, user); err != nil {
		return err
	}
	if err := tx.mayEntrust(ctx, actor, user); err != nil {
		return err
	}
	had, err := tx.RemoveFactors(ctx, user)
	if err != nil {
		return err
	}
	ended, err := tx.EndOtherSessions(ctx, user, "")
	if err != nil {
		return err
	}
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "factors.reset", TargetKind: "user", TargetID: string(user), TargetName: u.Name(), User: user,
		Before: auditJSON(map[string]int64{"factors": had}), After: auditJSON(map[string]int{"factors": 0, "sessions_ended": ended}), Reason: reason,
	})
	return tx.PostSecurityNotice(ctx, user, "Your second factors were reset by an administrator.", ip, "", base)
}

// Demanded refuses to take a user's last second factor away while one is demanded of them: they would be locked out by their own
// hand. Without is how many of theirs would be left.
func (tx *Tx) Demanded(ctx context.Context, user id.User, without int) error {
	if without > 0 {
		return nil
	}
	e, err := tx.Access(ctx, user)
	if err != nil || len(e.Demands) == 0 {
		return err
	}
	return fault.New(fault.Conflict, "This is your last second factor, and you need one: %s Add another one first.", e.Demands[0]).WithCode("last-factor")
}

// HasFactors says whether a user has anything enrolled.
func (tx *Tx) HasFactors(ctx context.Context, user id.User) (has bool, err error) {
	err = tx.queryRow(ctx, `
		select exists (
				select 1
				from factors
				where organization = $1 and user_id = $2)
			or exists (
				select 1
				from recovery_codes
				where organization = $1 and user_id = $2)`, tx.Organization, user).Scan(&has)
	return has, err
}

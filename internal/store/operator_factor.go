package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// OperatorFactors lists an operator's factors, the oldest first. All of them were shown to work: one that is being enrolled lies
// with the question, not here.
func (tx *SystemTx) OperatorFactors(ctx context.Context, o id.Operator) ([]Factor, error) {
	return collect[Factor](tx.query(ctx, `
		select id, kind, name, credential, secret, counter, created, last_used
		from operator_factors
		where operator_id = $1
		order by id`, o))(func(s scanner) (f Factor, err error) {
		var used int64
		err = s.Scan(&f.ID, &f.Kind, &f.Name, orEmpty(&f.Credential), &f.Secret, &f.Counter, at(&f.Created), orZero(&used))
		f.Confirmed, f.LastUsed = f.Created, momentOf(used)
		return f, err
	})
}

// AddOperatorFactor keeps a factor that was shown to work.
func (tx *SystemTx) AddOperatorFactor(ctx context.Context, o id.Operator, f Factor) error {
	have, err := tx.OperatorFactors(ctx, o)
	if err != nil {
		return err
	}
	if len(have) >= maxFactors {
		return fault.New(fault.Conflict, "You have %d ways to prove who you are. Remove one that you no longer use first.", len(have))
	}
	n, err := tx.exec(ctx, `
		insert into operator_factors (id, operator_id, kind, name, credential, secret, counter, created)
		values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (credential) do nothing`,
		f.ID, o, f.Kind, f.Name, orNull(f.Credential), f.Secret, f.Counter, micros(tx.now))
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, "This passkey is enrolled already.")
	}
	return err
}

// UseOperatorFactor is UseFactor for an operator's: a time step that was reached before is a replay.
func (tx *SystemTx) UseOperatorFactor(ctx context.Context, factor id.Factor, counter int64) (bool, error) {
	n, err := tx.exec(ctx, `
		update operator_factors
		set counter = $1, last_used = $2
		where id = $3 and counter < $1`, counter, micros(tx.now), factor)
	return n > 0, err
}

// UseOperatorCredential is UseCredential for an operator's passkey.
func (tx *SystemTx) UseOperatorCredential(ctx context.Context, factor id.Factor, before, counter int64, secret string) (bool, error) {
	n, err := tx.exec(ctx, `
		update operator_factors
		set counter = $1, last_used = $2, secret = $3
		where id = $4 and counter = $5`, counter, micros(tx.now), secret, factor, before)
	return n > 0, err
}

// RemoveOperatorFactor takes one away.
func (tx *SystemTx) RemoveOperatorFactor(ctx context.Context, o id.Operator, factor id.Factor) error {
	n, err := tx.exec(ctx, `
		delete from operator_factors
		where operator_id = $1 and id = $2`, o, factor)
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "This way to prove who you are is no longer there.")
	}
	return err
}

// KeepOperatorCodes replaces an operator's recovery codes.
func (tx *SystemTx) KeepOperatorCodes(_ context.Context, o id.Operator, hashes []string) {
	tx.queue(`
		delete from operator_recovery_codes
		where operator_id = $1`, o)
	for _, h := range hashes {
		tx.queue(`
			insert into operator_recovery_codes (operator_id, hash, created)
			values ($1, $2, $3)`, o, h, micros(tx.now))
	}
}

// OperatorCodes says how many of an operator's recovery codes are unused.
func (tx *SystemTx) OperatorCodes(ctx context.Context, o id.Operator) (left int64, err error) {
	err = tx.queryRow(ctx, `
		select count(*)
		from operator_recovery_codes
		where operator_id = $1 and used is null`, o).Scan(&left)
	return left, err
}

// UseOperatorCode spends a recovery code, given by its hash under each of the node's keys: once.
func (tx *SystemTx) UseOperatorCode(ctx context.Context, o id.Operator, hashes []string) (bool, error) {
	for _, h := range hashes {
		n, err := tx.exec(ctx, `
			update operator_recovery_codes
			set used = $1
			where operator_id = $2 and hash = $3 and used is null`, micros(tx.now), o, h)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}

// Operator finds one by its id.
func (tx *SystemTx) Operator(ctx context.Context, o id.Operator) (Operator, error) {
	out := Operator{ID: o}
	err := tx.queryRow(ctx, `
		select email, name, created, last_login
		from operators
		where id = $1`, o).Scan(&out.Email, &out.Name, at(&out.Created), at(&out.LastLogin))
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "There is no such operator.")
	}
	return out, err
}

// OperatorSessionLine is where an operator is signed in.
type OperatorSessionLine struct {
	Hash      string
	Created   time.Time
	LastSeen  time.Time
	IP        string
	UserAgent string
	AMR       []string
}

// OperatorSessions lists where an operator is signed in, the latest first.
func (tx *SystemTx) OperatorSessions(ctx context.Context, o id.Operator) ([]OperatorSessionLine, error) {
	return collect[OperatorSessionLine](tx.query(ctx, `
		select hash, created, last_seen, ip, user_agent, amr
		from operator_sessions
		where operator_id = $1
			and expires > $2
			and last_seen > $3
		order by created desc, hash`, o, micros(tx.now), micros(tx.now.Add(-OperatorSessionIdle))))(
		func(s scanner) (l OperatorSessionLine, err error) {
			var amr string
			err = s.Scan(&l.Hash, at(&l.Created), at(&l.LastSeen), &l.IP, &l.UserAgent, orEmpty(&amr))
			l.AMR = methodsOf(amr)
			return l, err
		})
}

// EndOtherOperatorSessions ends an operator's sessions but one, given by its hash, and says how many those were.
func (tx *SystemTx) EndOtherOperatorSessions(ctx context.Context, o id.Operator, but string) (int, error) {
	n, err := tx.exec(ctx, `
		delete from operator_sessions
		where operator_id = $1 and hash <> $2`, o, but)
	return int(n), err
}

// methodsOf reads the methods of an operator's session. One of a release before was begun by a password.
func methodsOf(amr string) []string {
	if amr == "" {
		return []string{mfa.Password}
	}
	return strings.Fields(amr)
}

// OperatorRecoveryLifetime is how long a link by which an operator comes back can be used: they stand at the terminal, or beside
// somebody who does.
const OperatorRecoveryLifetime = time.Hour

// MakeOperatorRecovery makes a one-time link by which an operator who lost password or factor comes back, and gives its token. An
// earlier one is void. Nothing else changes until the link is used.
func (tx *SystemTx) MakeOperatorRecovery(ctx context.Context, email string, actor audit.Actor) (token string, o Operator, err error) {
	if o, _, err = tx.OperatorByEmail(ctx, email); err != nil {
		return "", o, err
	}
	token = seal.Handle()
	tx.queue(`
		update operator_recoveries
		set used = $1
		where operator_id = $2 and used is null`, micros(tx.now), o.ID)
	tx.queue(`
		insert into operator_recoveries (hash, operator_id, created, expires)
		values ($1, $2, $3, $4)`, seal.Fingerprint(token), o.ID, micros(tx.now), micros(tx.now.Add(OperatorRecoveryLifetime)))
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "operator.recovery-link-made", TargetKind: "operator", TargetID: string(o.ID), TargetName: o.Name,
	})
	return token, o, nil
}

// OperatorOfRecovery finds whose link a token is, while it can be used. Looking spends nothing.
func (tx *SystemTx) OperatorOfRecovery(ctx context.Context, token string) (Operator, error) {
	var o id.Operator
	err := tx.queryRow(ctx, `
		select operator_id
		from operator_recoveries
		where hash = $1 and used is null and expires > $2`, seal.Fingerprint(token), micros(tx.now)).Scan(&o)
	if errors.Is(err, errNoRows) {
		return Operator{}, linkOver()
	}
	if err != nil {
		return Operator{}, err
	}
	return tx.Operator(ctx, o)
}

// RecoverOperator spends such a link: the operator has a new password, given by its PHC string, the factors and recovery codes of
// before stop working, and every session ends.
func (tx *SystemTx) RecoverOperator(ctx context.Context, token, password string, from audit.Actor) (Operator, error) {
	o, err := tx.OperatorOfRecovery(ctx, token)
	if err != nil {
		return o, err
	}
	// Of two browsers with the same link one gets it.
	n, err := tx.exec(ctx, `
		update operator_recoveries
		set used = $1
		where hash = $2 and used is null`, micros(tx.now), seal.Fingerprint(token))
	if err == nil && n == 0 {
		err = linkOver()
	}
	if err != nil {
		return o, err
	}
	had, err := tx.exec(ctx, `
		delete from operator_factors
		where operator_id = $1`, o.ID)
	if err != nil {
		return o, err
	}
	tx.queue(`
		delete from operator_recovery_codes
		where operator_id = $1`, o.ID)
	tx.queue(`
		update operators
		set password = $1
		where id = $2`, password, o.ID)
	ended, err := tx.EndOtherOperatorSessions(ctx, o.ID, "")
	if err != nil {
		return o, err
	}
	from.Kind, from.ID, from.Name = audit.ActorOperator, string(o.ID), o.Name
	tx.Record(ctx, audit.Event{
		Actor: from, Action: "operator.recovered", TargetKind: "operator", TargetID: string(o.ID), TargetName: o.Name,
		Before: auditJSON(map[string]int64{"factors": had}), After: auditJSON(map[string]int{"factors": 0, "sessions_ended": ended}),
	})
	return o, tx.PostOperatorNotice(ctx, o, "Your password was replaced, and your second factors were taken away, by a link made at the terminal.", from.IP, "")
}

// RecordOperatorFactor writes the event of a change to an operator's factors. No secret stands in it.
func (tx *SystemTx) RecordOperatorFactor(ctx context.Context, actor audit.Actor, action string, f Factor) {
	after, _ := json.Marshal(map[string]string{"kind": string(f.Kind), "name": f.Name}) // two strings always encode
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: action, TargetKind: "factor", TargetID: string(f.ID), TargetName: string(f.Kind), After: after,
	})
}

// PostOperatorNotice tells an operator by mail what happened to the security of their account.
func (tx *SystemTx) PostOperatorNotice(ctx context.Context, o Operator, what, ip, device string) error {
	_, err := tx.PostLetter(ctx, mail.Letter{
		Template: mail.SecurityNotice, To: mail.Address{Name: o.Name, Email: o.Email},
		Data: map[string]any{
			"Organization": "this installation", "What": what, "At": mail.When(tx.now), "IP": ip, "Device": device,
			"Link": tx.db.Public + "/operator/security",
		},
	})
	return err
}

// Guesses at an operator's second factor within one window: here, and from everywhere, so that who guesses elsewhere shuts nobody out.
const (
	operatorGuessesHere = 10
	operatorGuesses     = 100
)

// CountOperatorGuess counts an answer to the question for a second factor and refuses one too many.
func (tx *SystemTx) CountOperatorGuess(ctx context.Context, o id.Operator, ip string) error {
	return tx.countOperator(ctx, []limit{
		{"operator-factor/" + string(o) + "/" + Network(ip), operatorGuessesHere},
		{"operator-factor/" + string(o), operatorGuesses},
	})
}

// SeeChallenge reads a challenge of a browser and spends nothing of it.
func (w *work) SeeChallenge(ctx context.Context, challenge, browser, kind string) (Challenge, error) {
	return w.oneChallenge(ctx, `
		select id, browser_hash, kind, secret, tries, created, expires
		from challenges
		where id = $1 and browser_hash = $2 and kind = $3 and expires > $4`, challenge, browser, kind)
}

// OperatorKinds gives the kinds of factor that an operator can be asked for.
func (tx *SystemTx) OperatorKinds(ctx context.Context, o id.Operator) (factors []Factor, kinds []mfa.Kind, err error) {
	if factors, err = tx.OperatorFactors(ctx, o); err != nil {
		return nil, nil, err
	}
	for _, f := range factors {
		if !slices.Contains(kinds, f.Kind) {
			kinds = append(kinds, f.Kind)
		}
	}
	left, err := tx.OperatorCodes(ctx, o)
	if left > 0 {
		kinds = append(kinds, mfa.Recovery)
	}
	return factors, kinds, err
}

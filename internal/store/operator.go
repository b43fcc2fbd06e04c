package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// Operator runs the installation and belongs to no organization.
type Operator struct {
	ID        id.Operator
	Email     string
	Name      string
	Created   time.Time
	LastLogin time.Time
	// AMR is what was shown for the session that somebody acts in, as the methods of RFC 8176.
	AMR []string
}

// NewOperator is what somebody who holds a one-time link says about themselves. Password is a PHC string: hashing is slow
// and happens before the transaction.
type NewOperator struct {
	Email    string
	Name     string
	Password string
}

// OperatorLinkLifetime is how long a one-time link to become an operator can be used: a working day to get from the
// terminal to the browser.
const OperatorLinkLifetime = 24 * time.Hour

// Operator sessions are shorter than anybody else's may be: the operator can do everything.
const (
	OperatorSessionLifetime = 12 * time.Hour
	OperatorSessionIdle     = 2 * time.Hour
	operatorTouchEvery      = time.Minute
)

// HasOperator reports whether anybody runs this installation yet.
func (tx *SystemTx) HasOperator(ctx context.Context) (bool, error) {
	var n int64
	err := tx.queryRow(ctx, `select count(*) from operators`).Scan(&n)
	return n > 0, err
}

// CreateOperatorLink makes a one-time link and gives its token, of which only the hash is kept. Links made earlier stay
// good until one is used: nodes that start together print one each, and any of them may be the one that is clicked.
func (tx *SystemTx) CreateOperatorLink(ctx context.Context) (token string, err error) {
	token = seal.Handle()
	_, err = tx.exec(ctx, `
		insert into operator_links (hash, created, expires)
		values ($1, $2, $3)`,
		seal.Fingerprint(token), micros(tx.now), micros(tx.now.Add(OperatorLinkLifetime)))
	return token, err
}

// OperatorLinkOpen reports whether any one-time link can still be used.
func (tx *SystemTx) OperatorLinkOpen(ctx context.Context) (bool, error) {
	var n int64
	err := tx.queryRow(ctx, `
		select count(*)
		from operator_links
		where used is null
			and expires > $1`, micros(tx.now)).Scan(&n)
	return n > 0, err
}

// OperatorLinkUsable reports whether this one-time link can still be used, so that nobody's password is hashed for
// nothing. ClaimOperatorLink decides.
func (tx *SystemTx) OperatorLinkUsable(ctx context.Context, token string) (bool, error) {
	var n int64
	err := tx.queryRow(ctx, `
		select count(*)
		from operator_links
		where hash = $1
			and used is null
			and expires > $2`, seal.Fingerprint(token), micros(tx.now)).Scan(&n)
	return n > 0, err
}

// ClaimOperatorLink makes an operator of whoever holds a one-time link. The link, and every other that is still open, is
// spent in the same transaction: a link left in a terminal's history is worth nothing afterwards. An unknown, a used and an
// expired link get the same answer.
func (tx *SystemTx) ClaimOperatorLink(ctx context.Context, token string, n NewOperator, from audit.Actor) (Operator, error) {
	// One conditional statement: of two browsers with the same link one gets it.
	claimed, err := tx.exec(ctx, `
		update operator_links
		set used = $1
		where hash = $2
			and used is null
			and expires > $1`, micros(tx.now), seal.Fingerprint(token))
	if err != nil {
		return Operator{}, err
	}
	if claimed == 0 {
		return Operator{}, fault.New(fault.Gone, "This one-time link was used already, has expired, or is not one of ours.")
	}
	if _, err := tx.exec(ctx, `
		update operator_links
		set used = $1
		where used is null`, micros(tx.now)); err != nil {
		return Operator{}, err
	}
	o := Operator{ID: id.New[id.Operator](), Email: n.Email, Name: n.Name, Created: tx.now}
	if _, err := tx.exec(ctx, `
		insert into operators (id, email, email_key, name, password, created)
		values ($1, $2, $3, $4, $5, $6)`,
		o.ID, o.Email, operatorKey(o.Email), o.Name, n.Password, micros(o.Created)); err != nil {
		return Operator{}, err
	}
	from.Kind, from.ID, from.Name = audit.ActorOperator, string(o.ID), o.Name
	after, err := json.Marshal(map[string]string{"email": o.Email, "name": o.Name})
	if err != nil {
		return Operator{}, err
	}
	tx.Record(ctx, audit.Event{
		Actor: from, Action: "operator.created", TargetKind: "operator", TargetID: string(o.ID), TargetName: o.Name, After: after,
	})
	return o, nil
}

// OperatorByEmail gives an operator with the PHC string of their password; a fault of kind NotFound where there is none.
func (tx *SystemTx) OperatorByEmail(ctx context.Context, email string) (Operator, string, error) {
	var o Operator
	var password string
	err := tx.queryRow(ctx, `
		select id, email, name, created, last_login, password
		from operators
		where email_key = $1`, operatorKey(email)).Scan(&o.ID, &o.Email, &o.Name, at(&o.Created), at(&o.LastLogin), &password)
	if errors.Is(err, errNoRows) {
		return Operator{}, "", fault.New(fault.NotFound, "There is no operator with this address.")
	}
	return o, password, err
}

// RenewOperatorHash keeps the same password's hash of today's parameters, unless the password was changed meanwhile. What it
// opens stays the same, so no event is recorded.
func (tx *SystemTx) RenewOperatorHash(_ context.Context, o id.Operator, was, now string) {
	tx.queue(`
		update operators
		set password = $1
		where id = $2
			and password = $3`, now, o, was)
}

// StartOperatorSession begins a session of an operator, in which AMR was shown, and gives the handle for the cookie.
func (tx *SystemTx) StartOperatorSession(ctx context.Context, o Operator, userAgent string, from audit.Actor) (handle string, err error) {
	handle = seal.Handle()
	if _, err := tx.exec(ctx, `
		insert into operator_sessions (hash, operator_id, created, last_seen, expires, ip, user_agent, amr)
		values ($1, $2, $3, $3, $4, $5, $6, $7)`,
		seal.Fingerprint(handle), o.ID, micros(tx.now), micros(tx.now.Add(OperatorSessionLifetime)), from.IP,
		clipped(userAgent, 400), strings.Join(o.AMR, " ")); err != nil {
		return "", err
	}
	if _, err := tx.exec(ctx, `
		update operators
		set last_login = $1
		where id = $2`, micros(tx.now), o.ID); err != nil {
		return "", err
	}
	if _, err := tx.exec(ctx, `
		delete from operator_sessions
		where expires < $1`, micros(tx.now)); err != nil {
		return "", err
	}
	from.Kind, from.ID, from.Name, from.AMR = audit.ActorOperator, string(o.ID), o.Name, o.AMR
	tx.Record(ctx, audit.Event{
		Actor: from, Action: "session.started", TargetKind: "operator", TargetID: string(o.ID), TargetName: o.Name,
		After: auditJSON(map[string][]string{"amr": o.AMR}),
	})
	return handle, nil
}

// OperatorSession gives the operator of a live session, by the hash of its handle. stale says that its last use is long
// enough ago to be written down (TouchOperatorSession). A fault of kind Unauthenticated where there is none.
func (tx *SystemTx) OperatorSession(ctx context.Context, hash string) (o Operator, stale bool, err error) {
	var seen time.Time
	var amr string
	err = tx.queryRow(ctx, `
		select o.id, o.email, o.name, o.created, o.last_login, s.last_seen, s.amr
		from operator_sessions s
		join operators o on o.id = s.operator_id
		where s.hash = $1
			and s.expires > $2
			and s.last_seen > $3`,
		hash, micros(tx.now), micros(tx.now.Add(-OperatorSessionIdle))).
		Scan(&o.ID, &o.Email, &o.Name, at(&o.Created), at(&o.LastLogin), at(&seen), orEmpty(&amr))
	o.AMR = methodsOf(amr)
	if errors.Is(err, errNoRows) {
		return Operator{}, false, fault.New(fault.Unauthenticated, "Your session is over.")
	}
	return o, tx.now.Sub(seen) > operatorTouchEvery, err
}

// TouchOperatorSession writes down that a session is in use.
func (tx *SystemTx) TouchOperatorSession(ctx context.Context, hash string) error {
	_, err := tx.exec(ctx, `
		update operator_sessions
		set last_seen = $1
		where hash = $2
			and last_seen < $1`, micros(tx.now), hash)
	return err
}

// EndOperatorSession ends a session; ending one that is over already is no error.
func (tx *SystemTx) EndOperatorSession(ctx context.Context, hash string, from audit.Actor) error {
	n, err := tx.exec(ctx, `
		delete from operator_sessions
		where hash = $1`, hash)
	if err != nil || n == 0 {
		return err
	}
	tx.Record(ctx, audit.Event{
		Actor: from, Action: "session.ended", TargetKind: "operator", TargetID: from.ID, TargetName: from.Name,
	})
	return nil
}

// Attempts to sign in as an operator within one window. By address and origin together, so that a stranger who knows the
// operator's address cannot lock them out from elsewhere; by origin alone, against one who tries many addresses; by address
// alone, much wider, against many origins.
const (
	operatorWindow      = 15 * time.Minute
	operatorPerPair     = 10
	operatorPerIP       = 40
	operatorPerAddress  = 200
	operatorPerIPClaims = 20
)

// CountOperatorSignIn counts an attempt to sign in as an operator and refuses one too many.
func (tx *SystemTx) CountOperatorSignIn(ctx context.Context, email, ip string) error {
	key, ip := seal.Fingerprint(operatorKey(email)), Network(ip) // what was typed is a stranger's text of any length
	return tx.countOperator(ctx, []limit{
		{"operator-sign-in/" + key + "/" + ip, operatorPerPair},
		{"operator-sign-in/ip/" + ip, operatorPerIP},
		{"operator-sign-in/email/" + key, operatorPerAddress},
	})
}

// CountOperatorClaim counts an attempt to use a one-time link and refuses one too many.
func (tx *SystemTx) CountOperatorClaim(ctx context.Context, ip string) error {
	return tx.countOperator(ctx, []limit{{"operator-claim/ip/" + Network(ip), operatorPerIPClaims}})
}

type limit struct {
	name string
	hits int64
}

// countOperator takes its counters always in the same order, so that two attempts at once wait and never deadlock.
func (tx *SystemTx) countOperator(ctx context.Context, limits []limit) error {
	tooMany := false
	for _, l := range limits {
		hits, err := tx.Hit(ctx, l.name, operatorWindow)
		if err != nil {
			return err
		}
		tooMany = tooMany || hits > l.hits
	}
	if tooMany {
		return fault.New(fault.TooMany, "There were too many attempts to sign in. Try again in a quarter of an hour.")
	}
	return nil
}

func operatorKey(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

func clipped(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

package store

import (
	"context"
	"errors"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	sessions "github.com/vestibule-id/vestibule/internal/session"
)

// A session is found together with its user's state, in one statement and without a cache before it: from the commit that
// takes a person's access on, every node refuses.
const liveSession = `
	select s.id, s.user_id, s.connection, s.identity, s.created, s.last_seen, s.expires, s.idle_seconds, s.ip,
		s.user_agent, s.auth_time, s.acr, s.amr, s.upstream_sid, u.email, u.email_verified, u.display_name, u.user_name
	from sessions s
	join users u on u.organization = s.organization and u.id = s.user_id
	where s.organization = $1
		and s.ended is null
		and s.expires > $2
		and s.last_seen + s.idle_seconds * 1000000 > $2
		and u.status = 'active'
		and u.seated`

func (tx *Tx) scanSession(r scanner) (sessions.Session, error) {
	s := sessions.Session{Organization: tx.Organization}
	var idle, authTime int64
	err := r.Scan(&s.ID, &s.User, orEmpty(&s.Connection), orEmpty(&s.Identity), at(&s.Created), at(&s.LastSeen),
		at(&s.Expires), &idle, &s.IP, &s.UserAgent, &authTime, orEmpty(&s.ACR), decode(&s.AMR),
		orEmpty(&s.UpstreamSID), orEmpty(&s.Email), &s.EmailVerified, &s.DisplayName, &s.UserName)
	s.Idle = time.Duration(idle) * time.Second
	if authTime != 0 {
		s.AuthTime = fromMicros(authTime)
	}
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.Unauthenticated, "You are not signed in, or your session has ended.")
	}
	return s, err
}

// Session finds the live session of a cookie's fingerprint (session.Cookies.Hash) while its user may be signed in, and moves
// last_seen on, at most once in session.TouchEvery. The fault is Unauthenticated when there is none, for whatever reason.
func (db *DB) Session(ctx context.Context, org id.Organization, hash string) (sessions.Session, error) {
	var s sessions.Session
	if hash == "" || !id.Declared(string(org)) {
		return s, fault.New(fault.Unauthenticated, "You are not signed in.")
	}
	err := db.Read(ctx, org, func(tx *Tx) (err error) {
		s, err = tx.scanSession(tx.lastRow(ctx, liveSession+` and s.hash = $3`, tx.Organization, micros(tx.now), hash))
		return err
	})
	if err != nil || db.now().Sub(s.LastSeen) < sessions.TouchEvery {
		return s, err
	}
	err = db.Write(ctx, org, func(tx *Tx) error {
		tx.queue(`
			update sessions
			set last_seen = $1
			where organization = $2 and id = $3 and ended is null and last_seen < $1`, micros(tx.now), tx.Organization, s.ID)
		tx.queue(`
			update users
			set last_seen = $1
			where organization = $2 and id = $3`, micros(tx.now), tx.Organization, s.User)
		return nil
	})
	if err != nil {
		// The person is signed in; that the clock beside it stands still for a minute is no reason to turn them away.
		db.log.WarnContext(ctx, "last_seen not moved", "organization", org, "session", s.ID, "error", err)
	}
	return s, nil
}

// StartSession keeps a new session, ends the one it replaces and counts the sign-in on the user. The caller records the event.
func (tx *Tx) StartSession(ctx context.Context, s sessions.Start) error {
	now := micros(tx.now)
	// The user's row first: whoever takes this person's access holds it while they end the sessions there are, so that either
	// they see ours or we see that they came first.
	n, err := tx.exec(ctx, `
		update users
		set last_login = $1, last_seen = $1, last_login_ip = $2, logins = logins + 1
		where organization = $3 and id = $4 and status = 'active' and seated`, now, s.IP, tx.Organization, s.User)
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.New(fault.Conflict, "The account was changed in this very moment.")
	}
	if s.Replaces != "" {
		if err := tx.replaceSession(ctx, s); err != nil {
			return err
		}
	}
	var authTime int64
	if !s.AuthTime.IsZero() {
		authTime = micros(s.AuthTime)
	}
	var amr any
	if len(s.AMR) > 0 {
		amr = encode(s.AMR)
	}
	tx.queue(`
		insert into sessions (organization, id, hash, user_id, connection, identity, created, last_seen, expires,
			idle_seconds, ip, user_agent, auth_time, acr, amr, upstream_sid)
		values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		tx.Organization, s.ID, s.Hash, s.User, orNull(s.Connection), orNull(s.Identity), now, micros(s.Expires),
		int64(s.Idle/time.Second), s.IP, s.UserAgent, authTime, orNull(s.ACR), amr, orNull(s.UpstreamSID))
	return nil
}

// replaceSession ends the session this browser held before. What applications got from it goes over to the new session if it
// is the same person who signed in again, and ends with it if it is somebody else at the same browser.
func (tx *Tx) replaceSession(ctx context.Context, s sessions.Start) error {
	var old id.Session
	var user id.User
	err := tx.queryRow(ctx, `
		select id, user_id
		from sessions
		where organization = $1 and hash = $2 and ended is null`+tx.d.forUpdate(), tx.Organization, s.Replaces).Scan(&old, &user)
	if errors.Is(err, errNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if user == s.User {
		// With what was shown in the new session: a token that lacked a role for want of a second factor has it from here on.
		amr := any(nil)
		if told := mfa.Told(s.AMR); len(told) > 0 {
			amr = encode(told)
		}
		tx.queue(`
			update families
			set session_id = $1, amr = $4
			where organization = $2 and session_id = $3 and revoked is null`, s.ID, tx.Organization, old, amr)
	}
	_, err = tx.EndSession(ctx, old)
	return err
}

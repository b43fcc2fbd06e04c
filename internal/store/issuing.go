package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

// What issuing asks of the store. Codes and tokens carry their organization in front of their random part, so each is
// found by its whole key in one probe; the statement that finds one reads its person's state with it.

// inForce is the condition under which anything of a person may be used: the person is active and seated.
const inForce = `u.status = 'active' and u.seated`

// Family is everything that came of one authorization, with its person as the same statement read them.
type Family struct {
	ID          id.Family
	User        id.User
	Application id.Application
	Client      id.Organization // which it speaks of, served by the person's home; empty: the home itself
	Session     id.Session
	Scope       []string
	AuthTime    time.Time // zero where the upstream provider did not say
	ACR         string
	AMR         []string
	Expires     time.Time
	// NameID and NameFormat are what a SAML application was told the person's name is. They are written, and read by SessionParticipants and Named.
	NameID, NameFormat string

	DisplayName   string
	Email         string
	EmailVerified bool
}

const familyColumns = `f.id, f.user_id, f.application, f.client, f.session_id, f.scope, f.auth_time, f.acr, f.amr, f.expires,
	u.display_name, u.email, u.email_verified`

func (f *Family) columns(scope *string, authTime *int64) []any {
	return []any{
		&f.ID, &f.User, &f.Application, orEmpty(&f.Client), &f.Session, scope, authTime, orEmpty(&f.ACR), decode(&f.AMR), at(&f.Expires),
		&f.DisplayName, orEmpty(&f.Email), &f.EmailVerified,
	}
}

func scanFamily(s scanner, more ...any) (Family, error) {
	var f Family
	var scope string
	var authTime int64
	if err := s.Scan(append(f.columns(&scope, &authTime), more...)...); err != nil {
		return Family{}, err
	}
	f.Scope = strings.Fields(scope)
	if authTime != 0 {
		f.AuthTime = fromMicros(authTime)
	}
	return f, nil
}

// Code is an authorization code as kept: its hash and what it is bound to.
type Code struct {
	Hash        string
	RedirectURI string
	Challenge   string
	Nonce       string
	Expires     time.Time
}

// Token is an access or refresh token as kept.
type Token struct {
	Hash    string
	Scope   []string // of an access token; a refresh token has its family's
	Created time.Time
	Expires time.Time
}

// KeepCode begins a family and keeps its code.
func (tx *Tx) KeepCode(ctx context.Context, f Family, c Code) {
	tx.KeepFamily(ctx, f)
	tx.queue(`
		insert into codes (organization, hash, family, application, redirect_uri, challenge, nonce, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		tx.Organization, c.Hash, f.ID, f.Application, c.RedirectURI, c.Challenge, orNull(c.Nonce), micros(tx.now), micros(c.Expires))
}

// KeepFamily begins a family. That of an assertion has neither code nor token: it says that the application has a session that came of
// this one.
func (tx *Tx) KeepFamily(_ context.Context, f Family) {
	authTime := int64(0)
	if !f.AuthTime.IsZero() {
		authTime = micros(f.AuthTime)
	}
	var amr json.RawMessage
	if len(f.AMR) > 0 {
		amr = json.RawMessage(encode(f.AMR))
	}
	tx.queue(`
		insert into families (organization, id, user_id, application, session_id, scope, auth_time, acr, amr, created, expires,
			client, name_id, name_format)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		tx.Organization, f.ID, f.User, f.Application, f.Session, strings.Join(f.Scope, " "), authTime,
		orNull(f.ACR), jsonOrNull(amr), micros(tx.now), micros(f.Expires), orNull(f.Client), orNull(f.NameID), orNull(f.NameFormat))
}

// Taking says what became of a code or refresh token that was presented.
type Taking int

// What may become of it.
const (
	Taken    Taking = iota
	Refused         // unknown, expired, another's, or its person's access has ended
	Replayed        // taken before: the family is revoked in this transaction
)

// TakeCode consumes a code. The one statement compares everything the code is bound to, so two that present it at once
// cannot both win; one that presents it later revokes the family (RFC 6749 section 4.1.2).
func (tx *Tx) TakeCode(ctx context.Context, app id.Application, c Code) (f Family, nonce string, t Taking, err error) {
	var family id.Family
	err = tx.queryRow(ctx, `
		update codes
		set consumed = $1
		where organization = $2
			and hash = $3
			and application = $4
			and redirect_uri = $5
			and challenge = $6
			and consumed is null
			and expires > $1
		returning family, nonce`,
		micros(tx.now), tx.Organization, c.Hash, app, c.RedirectURI, c.Challenge).Scan(&family, orEmpty(&nonce))
	if errors.Is(err, errNoRows) {
		t, err = tx.replayed(ctx, `
			select family
			from codes
			where organization = $1
				and hash = $2
				and consumed is not null`, c.Hash)
		return f, "", t, err
	}
	if err != nil {
		return f, "", Refused, err
	}
	f, err = scanFamily(tx.queryRow(ctx, `
		select `+familyColumns+`
		from families f
		join users u on u.organization = f.organization and u.id = f.user_id
		where f.organization = $1
			and f.id = $2
			and f.revoked is null
			and f.expires > $3
			and `+inForce+`
			and `+servedStill,
		tx.Organization, family, micros(tx.now)))
	if errors.Is(err, errNoRows) {
		return f, "", Refused, nil
	}
	return f, nonce, Taken, err
}

// TakeRefresh spends a refresh token. Reading comes first, so that a token that is not this application's spends nothing; the
// conditional update decides between two that present it at once, and the loser counts as a replay.
func (tx *Tx) TakeRefresh(ctx context.Context, app id.Application, hash string, scope []string) (Family, Taking, error) {
	var used int64
	f, err := scanFamily(tx.queryRow(ctx, `
		select `+familyColumns+`, coalesce(t.used, 0)
		from refresh_tokens t
		join families f on f.organization = t.organization and f.id = t.family
		join users u on u.organization = f.organization and u.id = f.user_id
		where t.organization = $1
			and t.hash = $2
			and t.expires > $3
			and f.application = $4
			and f.revoked is null
			and f.expires > $3
			and `+inForce+`
			and `+servedStill,
		tx.Organization, hash, micros(tx.now), app), &used)
	if errors.Is(err, errNoRows) {
		return f, Refused, nil
	}
	if err != nil {
		return f, Refused, err
	}
	if used == 0 {
		for _, s := range scope {
			if !strings.Contains(" "+strings.Join(f.Scope, " ")+" ", " "+s+" ") {
				return f, Taken, ErrScope
			}
		}
		n, err := tx.exec(ctx, `
			update refresh_tokens
			set used = $1
			where organization = $2
				and hash = $3
				and used is null`,
			micros(tx.now), tx.Organization, hash)
		if err != nil || n == 1 {
			return f, Taken, err
		}
	}
	tx.revokeFamily(f.ID)
	return f, Replayed, nil
}

// ErrScope says that a refresh asked for more than was granted; nothing is spent.
var ErrScope = errors.New("the scope is wider than what was granted")

func (tx *Tx) replayed(ctx context.Context, sql, hash string) (Taking, error) {
	var family id.Family
	err := tx.queryRow(ctx, sql, tx.Organization, hash).Scan(&family)
	if errors.Is(err, errNoRows) {
		return Refused, nil
	}
	if err != nil {
		return Refused, err
	}
	tx.revokeFamily(family)
	return Replayed, nil
}

func (tx *Tx) revokeFamily(family id.Family) {
	tx.queue(`
		update families
		set revoked = $1
		where organization = $2
			and id = $3
			and revoked is null`,
		micros(tx.now), tx.Organization, family)
}

// KeepTokens keeps an access token of a family and, unless its hash is empty, a refresh token.
func (tx *Tx) KeepTokens(_ context.Context, family id.Family, access, refresh Token) {
	tx.queue(`
		insert into access_tokens (organization, hash, family, scope, created, expires)
		values ($1, $2, $3, $4, $5, $6)`,
		tx.Organization, access.Hash, family, strings.Join(access.Scope, " "), micros(tx.now), micros(access.Expires))
	if refresh.Hash == "" {
		return
	}
	tx.queue(`
		insert into refresh_tokens (organization, hash, family, created, expires)
		values ($1, $2, $3, $4, $5)`,
		tx.Organization, refresh.Hash, family, micros(tx.now), micros(refresh.Expires))
}

// AccessToken reads an access token with its family and its person's state, or says there is none in force.
func (tx *Tx) AccessToken(ctx context.Context, hash string) (Family, Token, bool, error) {
	t := Token{Hash: hash}
	var scope string
	f, err := scanFamily(tx.queryRow(ctx, `
		select `+familyColumns+`, t.scope, t.created, t.expires
		from access_tokens t
		join families f on f.organization = t.organization and f.id = t.family
		join users u on u.organization = f.organization and u.id = f.user_id
		where t.organization = $1
			and t.hash = $2
			and t.revoked is null
			and t.expires > $3
			and f.revoked is null
			and `+inForce+`
			and `+servedStill,
		tx.Organization, hash, micros(tx.now)), &scope, at(&t.Created), at(&t.Expires))
	if errors.Is(err, errNoRows) {
		return f, t, false, nil
	}
	t.Scope = strings.Fields(scope)
	return f, t, err == nil, err
}

// RefreshToken is the same for a refresh token that was not used yet.
func (tx *Tx) RefreshToken(ctx context.Context, hash string) (Family, Token, bool, error) {
	t := Token{Hash: hash}
	f, err := scanFamily(tx.queryRow(ctx, `
		select `+familyColumns+`, t.created, t.expires
		from refresh_tokens t
		join families f on f.organization = t.organization and f.id = t.family
		join users u on u.organization = f.organization and u.id = f.user_id
		where t.organization = $1
			and t.hash = $2
			and t.used is null
			and t.expires > $3
			and f.revoked is null
			and f.expires > $3
			and `+inForce+`
			and `+servedStill,
		tx.Organization, hash, micros(tx.now)), at(&t.Created), at(&t.Expires))
	if errors.Is(err, errNoRows) {
		return f, t, false, nil
	}
	t.Scope = f.Scope
	return f, t, err == nil, err
}

// RevokeToken ends an application's own token: an access token alone, or with a refresh token its family (RFC 7009 section
// 2.1). It says whether there was anything to end.
func (tx *Tx) RevokeToken(ctx context.Context, app id.Application, hash string) (bool, error) {
	families, err := tx.exec(ctx, `
		update families
		set revoked = $1
		where organization = $2
			and application = $3
			and revoked is null
			and id in (select family from refresh_tokens where organization = $2 and hash = $4)`,
		micros(tx.now), tx.Organization, app, hash)
	if err != nil || families > 0 {
		return families > 0, err
	}
	tokens, err := tx.exec(ctx, `
		update access_tokens
		set revoked = $1
		where organization = $2
			and hash = $4
			and revoked is null
			and family in (select id from families where organization = $2 and application = $3)`,
		micros(tx.now), tx.Organization, app, hash)
	return tokens > 0, err
}

// LogoutNotice is the payload of a back-channel logout delivery. The token is made when it is sent: it lives two minutes.
type LogoutNotice struct {
	Application id.Application `json:"application"`
	User        id.User        `json:"user"`
	Session     id.Session     `json:"session"`
}

// EndUserSessions ends everything a person could still use: sessions, codes, refresh and access tokens, and queues the
// logout of every application that was told of one of the sessions. It belongs into the transaction that takes the person's
// access; that one records the event.
func (tx *Tx) EndUserSessions(ctx context.Context, user id.User) (sessions int64, err error) {
	return tx.endSessions(ctx, `user_id`, `user_id`, string(user))
}

// EndSession is the same for one session. It says whether the session was still open.
func (tx *Tx) EndSession(ctx context.Context, session id.Session) (open bool, err error) {
	n, err := tx.endSessions(ctx, `id`, `session_id`, string(session))
	return n > 0, err
}

// endSessions takes the names of the columns from this file only.
func (tx *Tx) endSessions(ctx context.Context, ofSession, ofFamily, value string) (int64, error) {
	if err := tx.queueLogouts(ctx, ofFamily, value); err != nil {
		return 0, err
	}
	tx.queue(`
		update families
		set revoked = $1
		where organization = $2
			and `+ofFamily+` = $3
			and revoked is null`, micros(tx.now), tx.Organization, value)
	return tx.exec(ctx, `
		update sessions
		set ended = $1
		where organization = $2
			and `+ofSession+` = $3
			and ended is null`, micros(tx.now), tx.Organization, value)
}

// queueLogouts posts a back-channel logout for each application and session that still has something in force. It runs
// before that is revoked, and takes the column's name from this file only.
func (tx *Tx) queueLogouts(ctx context.Context, column, value string) error {
	type told struct {
		notice   LogoutNotice
		settings application.Application
	}
	all, err := collect[told](tx.query(ctx, `
		select f.application, f.user_id, f.session_id, a.document
		from families f
		join applications a on a.id = f.application
		where f.organization = $1
			and f.`+column+` = $2
			and f.revoked is null
			and f.expires > $3
		order by f.application, f.session_id`, tx.Organization, value, micros(tx.now)))(func(s scanner) (told, error) {
		var t told
		err := s.Scan(&t.notice.Application, &t.notice.User, &t.notice.Session, decode(&t.settings))
		return t, err
	})
	if err != nil {
		return err
	}
	queued := map[LogoutNotice]bool{}
	for _, t := range all {
		if t.settings.BackchannelLogoutURI == "" || queued[t.notice] {
			continue
		}
		queued[t.notice] = true
		tx.Post(ctx, outbox.Delivery{
			Kind: outbox.BackChannelLogout, Destination: string(t.notice.Application), Payload: json.RawMessage(encode(t.notice)),
		})
	}
	return nil
}

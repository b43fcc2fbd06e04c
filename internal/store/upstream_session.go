package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
)

// KeepUpstreamToken keeps the provider's ID token beside the session that came of it, sealed by the caller: the hint by which the
// provider's own session is ended.
func (tx *Tx) KeepUpstreamToken(_ context.Context, s id.Session, sealed string) {
	tx.queue(`
		update sessions
		set upstream_token = $1
		where organization = $2 and id = $3`, sealed, tx.Organization, s)
}

// CarryUpstreamToken gives a session what its predecessor had: the person proved themselves anew, and the provider's session is the same.
func (tx *Tx) CarryUpstreamToken(_ context.Context, from, to id.Session) {
	tx.queue(`
		update sessions
		set upstream_token = (select s.upstream_token from sessions s where s.organization = $1 and s.id = $2)
		where organization = $1 and id = $3`, tx.Organization, from, to)
}

// UpstreamToken gives it, or "" where none was kept.
func (tx *Tx) UpstreamToken(ctx context.Context, s id.Session) (sealed string, err error) {
	err = tx.queryRow(ctx, `
		select upstream_token
		from sessions
		where organization = $1
			and id = $2`, tx.Organization, s).Scan(orEmpty(&sealed))
	if errors.Is(err, errNoRows) {
		return "", nil
	}
	return sealed, err
}

// UpstreamSessionsNamed lists the live sessions that a logout names: of a subject, of a session of the provider, or of both. Of a
// subject's, those whose session there is not known to us are named too, since they may be the one.
func (tx *Tx) UpstreamSessionsNamed(ctx context.Context, c connection.Connection, issuer, subject, sid string) ([]UpstreamSession, error) {
	all, err := collect[UpstreamSession](tx.query(ctx, `
		select s.id, s.user_id, s.upstream_sid
		from sessions s
		join identities i on i.organization = s.organization and i.id = s.identity
		where s.organization = $1
			and s.connection = $2
			and s.ended is null
			and i.connection = $2
			and i.issuer = $3
			and ($4 = '' or i.subject = $4)
			and ($5 = '' or s.upstream_sid = $5 or ($4 <> '' and s.upstream_sid is null))
		order by s.id`, tx.Organization, c.ID, issuer, subject, sid))(func(s scanner) (u UpstreamSession, err error) {
		err = s.Scan(&u.ID, &u.User, orEmpty(&u.UpstreamSID))
		return u, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the sessions that a provider's logout names: %w", err)
	}
	return all, nil
}

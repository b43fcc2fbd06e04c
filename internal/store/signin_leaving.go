package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
)

// Leaving is what an attempt of the purpose session.ForLogout keeps: whose session ended here and is to end at the provider,
// and where the browser goes afterwards. To was judged by whoever began it: a path of ours, or an address that an application
// registered. With Ask the person follows a link there instead of a redirect.
type Leaving struct {
	Session id.Session `json:"session"`
	To      string     `json:"to,omitempty"`
	Ask     bool       `json:"ask,omitempty"`
}

// BeginLeaving keeps, in the transaction that has ended a session, what is left for its browser to do: tell the SAML applications
// that the session opened, and leave the provider. It gives the path of ours where the browser goes for that, "" where there is nothing.
func (tx *Tx) BeginLeaving(ctx context.Context, s sessions.Session, browser string, l Leaving) (path string, err error) {
	if browser == "" {
		return "", nil
	}
	participants, err := tx.SessionParticipants(ctx, s.ID)
	if err != nil {
		return "", err
	}
	way, err := tx.leaveProvider(ctx, s, browser, l)
	if err != nil || !slices.ContainsFunc(participants, Participant.takes) {
		return way, err
	}
	p := Parting{Session: s.ID, User: s.User, Person: s.DisplayName, Participants: participants, To: l.To, Ask: l.Ask}
	if way != "" {
		p.To, p.Ask = way, false // from there it goes on to where the logout was to end
	}
	return tx.beginParting(id.New[id.Attempt](), browser, p), nil
}

// leaveProvider keeps that a session's person leaves the provider too.
func (tx *Tx) leaveProvider(ctx context.Context, s sessions.Session, browser string, l Leaving) (path string, err error) {
	if s.Connection == "" || s.Identity == "" {
		return "", nil
	}
	way, err := tx.SignInConnection(ctx, s.Connection)
	if fault.KindOf(err) == fault.NotFound {
		return "", nil
	}
	if err != nil || way.Settings.Closed() || !way.Settings.UpstreamLogout {
		return "", err
	}
	l.Session = s.ID
	attempt := id.New[id.Attempt]()
	tx.queue(`
		insert into attempts (id, browser_hash, organization, connection, request, purpose, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8)`,
		attempt, browser, tx.Organization, s.Connection, encode(l), sessions.ForLogout, micros(tx.now),
		micros(tx.now.Add(sessions.AttemptLifetime)))
	return "/sso/" + string(tx.Organization) + "/" + string(s.Connection) + "/leave?attempt=" + url.QueryEscape(string(attempt)), nil
}

// Leaver is who leaves: the subject as the provider knows them.
type Leaver struct {
	User            id.User
	Issuer, Subject string
	UpstreamSID     string
}

// Leaving reads what an attempt to leave began with, and who it is.
func (tx *Tx) Leaving(ctx context.Context, a sessions.Attempt) (l Leaving, who Leaver, err error) {
	if a.Purpose != sessions.ForLogout {
		return l, who, attemptOver()
	}
	if err := json.Unmarshal(a.Request, &l); err != nil {
		return l, who, err
	}
	err = tx.queryRow(ctx, `
		select s.user_id, i.issuer, i.subject, s.upstream_sid
		from sessions s
		join identities i on i.organization = s.organization and i.id = s.identity
		where s.organization = $1 and s.id = $2`, tx.Organization, l.Session).
		Scan(&who.User, &who.Issuer, &who.Subject, orEmpty(&who.UpstreamSID))
	if errors.Is(err, errNoRows) {
		err = attemptOver()
	}
	return l, who, err
}

// FinishLeaving ends the attempt, so that its address leads nowhere twice.
func (tx *Tx) FinishLeaving(_ context.Context, attempt id.Attempt) {
	tx.queue(`
		update attempts
		set finished = $1, state_hash = null
		where id = $2 and purpose = $3 and finished is null`, micros(tx.now), attempt, sessions.ForLogout)
}

// UpstreamSession is a live session of ours that came of a provider's.
type UpstreamSession struct {
	ID          id.Session
	User        id.User
	UpstreamSID string
}

// UpstreamSessions lists the live sessions of one subject of a connection's provider.
func (tx *Tx) UpstreamSessions(ctx context.Context, c connection.Connection, issuer, subject string) ([]UpstreamSession, error) {
	all, err := collect[UpstreamSession](tx.query(ctx, `
		select s.id, s.user_id, s.upstream_sid
		from sessions s
		join identities i on i.organization = s.organization and i.id = s.identity
		where s.organization = $1
			and i.connection = $2
			and i.issuer = $3
			and i.subject = $4
			and s.connection = $2
			and s.ended is null
		order by s.id`, tx.Organization, c.ID, issuer, subject))(func(s scanner) (u UpstreamSession, err error) {
		err = s.Scan(&u.ID, &u.User, orEmpty(&u.UpstreamSID))
		return u, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the sessions of a provider's subject: %w", err)
	}
	return all, nil
}

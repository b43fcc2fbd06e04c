package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
)

// Telling SAML applications that a session has ended. They are told through the browser, one after the other, so what is left to do
// lies in an attempt of the purpose session.ForParting.

// Parted is what became of telling an application.
type Parted string

// What may become of it; empty: it was not told yet.
const (
	PartedAsked  Parted = "asked"  // the browser was sent there
	PartedDone   Parted = "done"   // it confirmed
	PartedFailed Parted = "failed" // it said that it could not, or could not be asked
	PartedSilent Parted = "silent" // the browser came back without an answer
)

// Participant is an application that was told of a session by an assertion, by one name (SAML Core 3.7.3.2: a session participant).
type Participant struct {
	Application id.Application `json:"application"`
	Name        string         `json:"name"`
	NameID      string         `json:"name_id"`
	NameFormat  string         `json:"name_format"`
	Indexes     []string       `json:"indexes"`
	Takes       bool           `json:"takes"` // it registered where it takes this
	Request     string         `json:"request,omitempty"`
	State       Parted         `json:"state,omitempty"`
}

func (p Participant) takes() bool { return p.Takes }

// Told says whether the application is through: it was told, or cannot be.
func (p Participant) Told() bool { return !p.Takes || p.State != "" && p.State != PartedAsked }

// Missed says whether it was to be told and did not confirm.
func (p Participant) Missed() bool { return p.Takes && p.State != PartedDone }

// LogoutAsked is the request of the application that a logout began at, which is answered last.
type LogoutAsked struct {
	Application id.Application `json:"application"`
	Request     string         `json:"request"`
	RelayState  string         `json:"relay_state,omitempty"`
	// Partial says that beside what this browser can do, something went untold.
	Partial bool `json:"partial,omitempty"`
}

// Parting is what such an attempt keeps. To and Ask are those of Leaving. Where an application asked, it is answered once the browser
// is back from To.
type Parting struct {
	Organization id.Organization `json:"-"`
	Session      id.Session      `json:"session"`
	User         id.User         `json:"user"`
	Person       string          `json:"person"` // the user's name
	Participants []Participant   `json:"participants"`
	To           string          `json:"to,omitempty"`
	Ask          bool            `json:"ask,omitempty"`
	Asked        *LogoutAsked    `json:"asked,omitempty"`
	kept         string          // as it was read
}

// PartingPath is where a browser goes on with it.
func PartingPath(attempt id.Attempt) string {
	return "/saml/idp/leave?attempt=" + url.QueryEscape(string(attempt))
}

// SessionParticipants lists the SAML applications that still are in a session, or were until this transaction ended it.
func (tx *Tx) SessionParticipants(ctx context.Context, s id.Session) ([]Participant, error) {
	type told struct {
		family   string
		p        Participant
		settings application.Application
	}
	all, err := collect[told](tx.query(ctx, `
		select f.id, f.application, a.name, a.document, f.name_id, f.name_format
		from families f
		join applications a on a.id = f.application
		where f.organization = $1
			and f.session_id = $2
			and f.name_id is not null
			and f.expires > $3
			and (f.revoked is null or f.revoked = $3)
		order by f.application, f.created, f.id`, tx.Organization, s, micros(tx.now)))(func(s scanner) (t told, err error) {
		err = s.Scan(&t.family, &t.p.Application, &t.p.Name, decode(&t.settings), &t.p.NameID, orEmpty(&t.p.NameFormat))
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("read who takes part in session %s: %w", s, err)
	}
	var out []Participant
	for _, t := range all {
		if n := len(out) - 1; n >= 0 && out[n].Application == t.p.Application && out[n].NameID == t.p.NameID && out[n].NameFormat == t.p.NameFormat {
			out[n].Indexes = append(out[n].Indexes, t.family)
			continue
		}
		t.p.Indexes, t.p.Takes = []string{t.family}, t.settings.SLOURL != ""
		out = append(out, t.p)
	}
	return out, nil
}

// BeginLeavingAsked is BeginLeaving for a session that an application asked to end: it is told nothing, and is answered last.
func (tx *Tx) BeginLeavingAsked(ctx context.Context, s sessions.Session, browser string, asked LogoutAsked) (path string, err error) {
	if browser == "" {
		return "", nil
	}
	attempt := id.New[id.Attempt]()
	p := Parting{Session: s.ID, User: s.User, Person: s.DisplayName, Asked: &asked}
	participants, err := tx.SessionParticipants(ctx, s.ID)
	if err != nil {
		return "", err
	}
	for _, other := range participants {
		if other.Application != asked.Application {
			p.Participants = append(p.Participants, other)
		}
	}
	if p.To, err = tx.leaveProvider(ctx, s, browser, Leaving{To: PartingPath(attempt)}); err != nil {
		return "", err
	}
	if len(p.Participants) == 0 && p.To == "" {
		return "", nil
	}
	return tx.beginParting(attempt, browser, p), nil
}

func (tx *Tx) beginParting(attempt id.Attempt, browser string, p Parting) (path string) {
	tx.queue(`
		insert into attempts (id, browser_hash, organization, request, purpose, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7)`,
		attempt, browser, tx.Organization, encode(p), sessions.ForParting, micros(tx.now), micros(tx.now.Add(sessions.AttemptLifetime)))
	return PartingPath(attempt)
}

// Parting reads what is left to tell, for the browser that holds it. The fault is Gone where there is none.
func (tx *SystemTx) Parting(ctx context.Context, attempt id.Attempt, browser string) (Parting, error) {
	return scanParting(tx.queryRow(ctx, `
		select organization, request
		from attempts
		where id = $1 and browser_hash = $2 and purpose = $3 and finished is null and expires > $4`,
		attempt, browser, sessions.ForParting, micros(tx.now)))
}

// PartingAnswered is the same for an application's answer, which a form may bring without our cookies. The caller believes nothing but
// what the application signed.
func (tx *SystemTx) PartingAnswered(ctx context.Context, attempt id.Attempt) (Parting, error) {
	return scanParting(tx.queryRow(ctx, `
		select organization, request
		from attempts
		where id = $1 and purpose = $2 and finished is null and expires > $3`,
		attempt, sessions.ForParting, micros(tx.now)))
}

// UnfinishedParting gives the latest sign-out that a browser left half way, "" where there is none.
func (tx *SystemTx) UnfinishedParting(ctx context.Context, browser string) (attempt id.Attempt, p Parting, err error) {
	err = tx.queryRow(ctx, `
		select id
		from attempts
		where browser_hash = $1 and purpose = 'parting' and finished is null and expires > $2
		order by created desc, id desc
		limit 1`, browser, micros(tx.now)).Scan(&attempt)
	if errors.Is(err, errNoRows) {
		return "", p, nil
	}
	if err == nil {
		p, err = tx.Parting(ctx, attempt, browser)
	}
	return attempt, p, err
}

func scanParting(s scanner) (p Parting, err error) {
	var org id.Organization
	if err = s.Scan(&org, &p.kept); errors.Is(err, errNoRows) {
		return p, attemptOver()
	}
	if err == nil {
		err = json.Unmarshal([]byte(p.kept), &p)
	}
	p.Organization = org
	return p, err
}

// KeepParting keeps what has become of it, and says whether it still was as it was read: two tabs, or an answer that comes late, may
// change it at once.
func (tx *SystemTx) KeepParting(ctx context.Context, attempt id.Attempt, p Parting) (kept bool, err error) {
	n, err := tx.exec(ctx, `
		update attempts
		set request = $1
		where id = $2 and purpose = $3 and finished is null and cast(request as text) = $4`,
		encode(p), attempt, sessions.ForParting, p.kept)
	return n == 1, err
}

// FinishParting ends it, and says whether it was this call that did.
func (tx *Tx) FinishParting(ctx context.Context, attempt id.Attempt) (bool, error) {
	n, err := tx.exec(ctx, `
		update attempts
		set finished = $1
		where id = $2 and organization = $3 and purpose = $4 and finished is null`,
		micros(tx.now), attempt, tx.Organization, sessions.ForParting)
	return n == 1, err
}

// Named is a session that an application was told of under a name.
type Named struct {
	Organization id.Organization
	Family       id.Family
	Session      id.Session
	User         id.User
	NameFormat   string
	Open         bool
}

// Named lists the sessions that an application knows by a person's name, in whichever organizations: its request names none. Those that
// have ended are among them as long as they are kept.
func (tx *SystemTx) Named(ctx context.Context, app id.Application, name string) ([]Named, error) {
	all, err := collect[Named](tx.query(ctx, `
		select f.organization, f.id, f.session_id, f.user_id, f.name_format, coalesce(f.revoked, 0), coalesce(s.ended, 0)
		from families f
		join sessions s on s.organization = f.organization and s.id = f.session_id
		where f.application = $1
			and f.name_id = $2
		order by f.organization, f.session_id, f.id`, app, name))(func(s scanner) (n Named, err error) {
		var revoked, ended int64
		err = s.Scan(&n.Organization, &n.Family, &n.Session, &n.User, orEmpty(&n.NameFormat), &revoked, &ended)
		n.Open = revoked == 0 && ended == 0
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the sessions that application %s knows by a name: %w", app, err)
	}
	return all, nil
}

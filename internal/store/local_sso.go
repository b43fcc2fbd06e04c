package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/scim"
)

// Enforcement is whether an organization demands single sign-on, and where that is in force.
type Enforcement struct {
	File    bool      // the operator's file demands it
	Since   time.Time // an administrator demands it since then
	MadeBy  string
	Domains []EnforcedDomain
}

// EnforcedDomain is a proven domain with the connection its people go through.
type EnforcedDomain struct {
	Domain     string
	Connection id.Connection
	Name       string // of the connection
	Disabled   bool
	// Works: somebody has come in through the connection, or a test sign-in has passed. Before that, demanding it would lock
	// everybody out, so the demand waits.
	Works bool
}

// Demanded says that single sign-on is demanded at all.
func (e Enforcement) Demanded() bool { return e.File || !e.Since.IsZero() }

// InForce says that it is demanded and has a domain where it holds.
func (e Enforcement) InForce() bool {
	if !e.Demanded() {
		return false
	}
	for _, d := range e.Domains {
		if d.Works {
			return true
		}
	}
	return false
}

const connectionWorks = `(exists (
				select 1
				from identities i
				where i.organization = d.organization
					and i.connection = d.connection)
			or exists (
				select 1
				from connection_tests t
				where t.organization = d.organization
					and t.connection = d.connection
					and t.passed is not null))`

// Enforcement reads the organization's.
func (tx *Tx) Enforcement(ctx context.Context) (e Enforcement, err error) {
	self, err := tx.Self(ctx)
	if err != nil {
		return e, err
	}
	e.File = self.Settings.EnforceSSO
	err = tx.queryRow(ctx, `
		select since, made_by
		from sso_enforcements
		where organization = $1`, tx.Organization).Scan(at(&e.Since), &e.MadeBy)
	if err != nil && !errors.Is(err, errNoRows) {
		return e, fmt.Errorf("read whether single sign-on is demanded: %w", err)
	}
	e.Domains, err = collect[EnforcedDomain](tx.query(ctx, `
		select d.domain, d.connection, coalesce(c.name, d.connection), c.document, `+connectionWorks+`
		from domains d
		left join connections c on c.organization = d.organization and c.id = d.connection
		where d.organization = $1
		order by d.domain`, tx.Organization))(func(s scanner) (d EnforcedDomain, err error) {
		var settings connection.Settings
		err = s.Scan(&d.Domain, &d.Connection, &d.Name, decode(&settings), &d.Works)
		d.Disabled = settings.Closed()
		return d, err
	})
	return e, err
}

// enforcedFor says whether somebody of these addresses has to come through a provider.
func (tx *Tx) enforcedFor(ctx context.Context, self *Organization, addresses ...string) (bool, error) {
	var domains []string
	for _, a := range addresses {
		if d := connection.DomainOf(a); d != "" {
			domains = append(domains, d)
		}
	}
	if len(domains) == 0 {
		return false, nil
	}
	in, args := placeholders(2, domains)
	var proven, demanded bool
	err := tx.queryRow(ctx, `
		select exists (
			select 1
			from domains d
			where d.organization = $1
				and d.domain in (`+in+`)
				and `+connectionWorks+`),
			exists (
			select 1
			from sso_enforcements
			where organization = $1)`, append([]any{tx.Organization}, args...)...).Scan(&proven, &demanded)
	if err != nil {
		return false, fmt.Errorf("read whether single sign-on is demanded: %w", err)
	}
	return proven && (demanded || self.Settings.EnforceSSO), nil
}

// EnforceSSO demands single sign-on for the organization's proven domains. Whoever closes every other door must have gone through this
// one: tester, an id of a user or an operator, passed a test sign-in through the connection of each domain as it is set up now. With
// no tester, as for a script, anybody's pass counts. And there must be somebody who is let in when the provider is not: a
// break-glass exception.
func (tx *Tx) EnforceSSO(ctx context.Context, actor audit.Actor, tester string) error {
	tx.Lock(ctx, "enforce-sso")
	e, err := tx.Enforcement(ctx)
	if err != nil {
		return err
	}
	if !e.Since.IsZero() {
		return nil
	}
	if len(e.Domains) == 0 {
		return fault.New(fault.Conflict, "No domain is proven to belong to the organization, so there is nobody it would hold for. Prove a domain first.").WithCode("no-domain")
	}
	for _, d := range e.Domains {
		if d.Disabled {
			return fault.New(fault.Conflict, "%s, through which people of %s sign in, is switched off.", d.Name, d.Domain).WithCode(string(connection.CodeConnectionDisabled))
		}
		_, passed, err := tx.PassedTest(ctx, d.Connection, tester)
		if err != nil {
			return err
		}
		if !passed {
			return fault.New(fault.Conflict, "Sign in through %s once as a test, as it is set up now: whoever closes the other ways must know that this one is open.", d.Name).WithCode("not-tested")
		}
	}
	var left int64
	err = tx.queryRow(ctx, `
		select count(*)
		from sso_exceptions e
		where e.organization = $1
			and e.kind = $2
			and e.expires > $3
			and exists (
				select 1
				from users u
				where u.organization = e.organization
					and u.email_key = e.address_key
					and u.status = 'active'
					and u.seated)`, tx.Organization, BreakGlass, micros(tx.now)).Scan(&left)
	if err != nil {
		return err
	}
	if left == 0 {
		return fault.New(fault.Conflict, "Name somebody as a break-glass exception first: who gets in on the day the identity provider does not answer.").WithCode("no-break-glass")
	}
	tx.queue(`
		insert into sso_enforcements (organization, since, made_by)
		values ($1, $2, $3)`, tx.Organization, micros(tx.now), actor.Name)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "sso.enforced", TargetKind: "organization", TargetID: string(tx.Organization),
		Before: object(map[string]any{"enforced": e.File}), After: object(map[string]any{"enforced": true}),
	})
	return nil
}

// ReleaseSSO no longer demands single sign-on. What the operator's file demands only the file takes back.
func (tx *Tx) ReleaseSSO(ctx context.Context, actor audit.Actor) error {
	self, err := tx.Self(ctx)
	if err != nil {
		return err
	}
	n, err := tx.exec(ctx, `
		delete from sso_enforcements
		where organization = $1`, tx.Organization)
	if err != nil {
		return err
	}
	if n == 0 && self.Settings.EnforceSSO {
		return fault.New(fault.Conflict, "The operator's file demands single sign-on (enforce_sso). Only the file takes that back.").WithCode("declared")
	}
	if n > 0 {
		tx.Record(ctx, audit.Event{
			Actor: actor, Action: "sso.released", TargetKind: "organization", TargetID: string(tx.Organization),
			Before: object(map[string]any{"enforced": true}), After: object(map[string]any{"enforced": self.Settings.EnforceSSO}),
		})
	}
	return nil
}

// The kinds of exception from single sign-on.
const (
	BreakGlass = "break-glass" // comes in when the provider does not answer
	Guest      = "guest"       // has an address of the domain and no account at the provider
)

// ExceptionLongest is how far ahead an exception may end: whoever needs it longer is asked again.
const ExceptionLongest = 366 * 24 * time.Hour

// SSOException lets one address in without the provider, for a time.
type SSOException struct {
	ID       id.SSOException
	Address  string
	Kind     string
	Reason   string
	Source   string // console, api, file
	MadeBy   string
	Created  time.Time
	Expires  time.Time
	HasCode  bool // its holder has a break-glass code that was not used
	CodeUsed time.Time
}

// Over says that an exception no longer counts.
func (e SSOException) Over(now time.Time) bool { return !e.Expires.After(now) }

// SSOExceptions lists them, those that end first first.
func (tx *Tx) SSOExceptions(ctx context.Context) ([]SSOException, error) {
	return tx.ssoExceptions(ctx, "")
}

func (tx *Tx) ssoExceptions(ctx context.Context, where string, args ...any) ([]SSOException, error) {
	return collect[SSOException](tx.query(ctx, `
		select id, address, kind, reason, source, made_by, created, expires, code_hash is not null and code_used is null, code_used
		from sso_exceptions
		where organization = $1`+where+`
		order by expires, id`, append([]any{tx.Organization}, args...)...))(func(s scanner) (e SSOException, err error) {
		err = s.Scan(&e.ID, &e.Address, &e.Kind, &e.Reason, &e.Source, &e.MadeBy, at(&e.Created), at(&e.Expires), &e.HasCode, at(&e.CodeUsed))
		return e, err
	})
}

// SSOExceptionOf gives the exception in force for an address, or nil.
func (tx *Tx) SSOExceptionOf(ctx context.Context, address string) (*SSOException, error) {
	list, err := tx.ssoExceptions(ctx, `
			and address_key = $2
			and expires > $3`, scim.Fold(address), micros(tx.now))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// CheckException says what is wrong with an exception's form.
func CheckException(e SSOException, now time.Time) error {
	f := fault.New(fault.Invalid, "The exception is not complete.")
	if connection.DomainOf(e.Address) == "" {
		f.WithField("address", "This is not an email address. It looks like name@company.example.")
	}
	if e.Kind != BreakGlass && e.Kind != Guest {
		f.WithField("kind", "%q is neither %s nor %s.", e.Kind, BreakGlass, Guest)
	}
	switch {
	case e.Expires.IsZero():
		f.WithField("expires", "Say when the exception ends; none is for ever.")
	case !e.Expires.After(now) && e.Source != fromFile:
		// A file stays as it is while time goes on: what is over in it lets nobody in, and is no error.
		f.WithField("expires", "This lies in the past.")
	case e.Expires.Sub(now) > ExceptionLongest:
		f.WithField("expires", "An exception ends within a year; it can be renewed.")
	}
	if r := strings.TrimSpace(e.Reason); (r == "" && e.Source != fromFile) || len(r) > 400 {
		f.WithField("reason", "Say why, in at most 400 characters: whoever reads the log next year wants to know.")
	}
	if len(f.Fields) > 0 {
		return f
	}
	return nil
}

// PutException names an exception, or renews the one of the same address.
func (tx *Tx) PutException(ctx context.Context, e SSOException, actor audit.Actor) (SSOException, error) {
	before, e, err := tx.keepException(ctx, e, actor)
	if err != nil {
		return e, err
	}
	action := "sso-exception.made"
	if len(before) > 0 {
		action = "sso-exception.changed"
	}
	tx.recordException(ctx, actor, action, e, before, exceptionSaid(e))
	return e, nil
}

// keepException keeps one, and gives what was there before. The caller records the event.
func (tx *Tx) keepException(ctx context.Context, e SSOException, actor audit.Actor) (map[string]any, SSOException, error) {
	e.Address, e.Reason = strings.TrimSpace(e.Address), strings.TrimSpace(e.Reason)
	if err := CheckException(e, tx.now); err != nil {
		return nil, e, err
	}
	list, err := tx.ssoExceptions(ctx, ` and address_key = $2`, scim.Fold(e.Address))
	if err != nil {
		return nil, e, err
	}
	var before map[string]any
	e.ID, e.Created, e.MadeBy = id.New[id.SSOException](), tx.now, actor.Name
	if len(list) > 0 {
		if list[0].Source == fromFile && e.Source != fromFile {
			return nil, e, fault.New(fault.Conflict, "The operator's file has named this address already. Change it there.").WithCode("declared")
		}
		e.ID, e.Created = list[0].ID, list[0].Created
		before = exceptionSaid(list[0])
	}
	// A change of kind, or of an exception that was over, leaves no code behind.
	tx.queue(`
		insert into sso_exceptions (organization, id, address, address_key, kind, reason, source, made_by, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		on conflict (organization, address_key) do update
		set address = excluded.address, reason = excluded.reason, source = excluded.source,
			made_by = excluded.made_by, expires = excluded.expires,
			code_hash = case when sso_exceptions.kind = excluded.kind and sso_exceptions.expires > $11 then sso_exceptions.code_hash end,
			kind = excluded.kind`,
		tx.Organization, e.ID, e.Address, scim.Fold(e.Address), e.Kind, e.Reason, e.Source, e.MadeBy, micros(e.Created), micros(e.Expires),
		micros(tx.now))
	return before, e, nil
}

func exceptionSaid(e SSOException) map[string]any {
	return map[string]any{"address": e.Address, "kind": e.Kind, "expires": e.Expires.UTC(), "reason": e.Reason, "source": e.Source}
}

func (tx *Tx) recordException(ctx context.Context, actor audit.Actor, action string, e SSOException, before, after map[string]any) {
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: action, TargetKind: "sso-exception", TargetID: string(e.ID), TargetName: e.Address,
		Before: object(before), After: object(after), Reason: e.Reason,
	})
}

// EndException takes an exception away at once. Sessions that came of it end too: they were let in on its word.
func (tx *Tx) EndException(ctx context.Context, exception id.SSOException, actor audit.Actor) (SSOException, error) {
	list, err := tx.ssoExceptions(ctx, ` and id = $2`, exception)
	if err != nil {
		return SSOException{}, err
	}
	if len(list) == 0 {
		return SSOException{}, fault.New(fault.NotFound, "There is no such exception any more.")
	}
	e := list[0]
	if e.Source == fromFile {
		return e, fault.New(fault.Conflict, "The operator's file names this exception. Take it out there.").WithCode("declared")
	}
	tx.recordException(ctx, actor, "sso-exception.ended", e, exceptionSaid(e), nil)
	return e, tx.dropException(ctx, e)
}

// dropException takes one away, with the sessions that came of it. The caller records the event.
func (tx *Tx) dropException(ctx context.Context, e SSOException) error {
	tx.queue(`
		delete from sso_exceptions
		where organization = $1
			and id = $2`, tx.Organization, e.ID)
	users, err := column[id.User](tx.query(ctx, liveUsers("id", "email_key = $2", "user_name_key = $3"),
		tx.Organization, scim.Fold(e.Address), scim.UserNameKey(e.Address)))
	if err != nil {
		return err
	}
	for _, u := range users {
		local, err := column[id.Session](tx.query(ctx, `
			select id
			from sessions
			where organization = $1
				and user_id = $2
				and connection is null
				and ended is null`, tx.Organization, u))
		if err != nil {
			return err
		}
		for _, s := range local {
			if _, err := tx.EndSession(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// NewExceptionCode makes the break-glass code of an exception's holder, and voids an earlier one. Only the holder ever sees it: who
// names exceptions must not be able to come in as somebody else.
func (tx *Tx) NewExceptionCode(ctx context.Context, user id.User, actor audit.Actor) (string, error) {
	u, err := tx.User(ctx, user)
	if err != nil {
		return "", err
	}
	e, err := tx.SSOExceptionOf(ctx, u.Email)
	if err != nil {
		return "", err
	}
	if e == nil || e.Kind != BreakGlass {
		return "", fault.New(fault.Forbidden, "A break-glass code is for who is named as a break-glass exception. An administrator does that.")
	}
	code := spokenCode()
	tx.queue(`
		update sso_exceptions
		set code_hash = $1, code_used = null
		where organization = $2
			and id = $3`, seal.Fingerprint(plainCode(code)), tx.Organization, e.ID)
	tx.recordException(ctx, actor, "sso-exception.code-made", *e, nil, nil)
	return code, nil
}

// SpendExceptionCode takes a break-glass code of an address: once.
func (tx *Tx) SpendExceptionCode(ctx context.Context, address, code string) (bool, error) {
	n, err := tx.exec(ctx, `
		update sso_exceptions
		set code_used = $1
		where organization = $2
			and address_key = $3
			and kind = $4
			and code_hash = $5
			and code_used is null
			and expires > $1`,
		micros(tx.now), tx.Organization, scim.Fold(address), BreakGlass, seal.Fingerprint(plainCode(code)))
	return n > 0, err
}

// codeLetters leave out what is mistaken for something else on paper.
const codeLetters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// spokenCode is 120 random bits in groups of four: to be printed and typed by somebody in a hurry.
func spokenCode() string {
	var b strings.Builder
	for i, r := range seal.Random(24) {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(codeLetters[int(r)%len(codeLetters)]) // 32 letters: no bias
	}
	return b.String()
}

func plainCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(code))
}

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
)

// BeginTest starts a test sign-in through a connection, whatever its state: an attempt of this browser, and the row that its report
// will stand in. Both have the id of the attempt. Where it ends is returnTo, a path of this host.
func (tx *SystemTx) BeginTest(ctx context.Context, org id.Organization, c id.Connection, browser, returnTo string, by audit.Actor) (id.Attempt, error) {
	in := tx.In(org)
	way, err := in.SignInConnection(ctx, c)
	if err != nil {
		return "", err
	}
	version, err := in.connectionVersion(ctx, c)
	if err != nil {
		return "", err
	}
	attempt := id.New[id.Attempt]()
	hints := sessions.Hints{Organization: org, Connection: c, ReturnTo: sessions.OwnPath(returnTo + string(attempt))}
	if err := tx.CreateAttempt(ctx, sessions.Attempt{
		ID: attempt, Browser: browser, Purpose: sessions.ForTest, Request: json.RawMessage(encode(hints)),
	}); err != nil {
		return "", err
	}
	tx.queue(`
		insert into connection_tests (organization, id, connection, version, tester_kind, tester, tester_name, started)
		values ($1, $2, $3, $4, $5, $6, $7, $8)`,
		org, attempt, c, version, string(by.Kind), by.ID, by.Name, micros(tx.now))
	in.Record(ctx, audit.Event{
		Actor: by, Action: "connection.test-started", TargetKind: "connection", TargetID: string(c), TargetName: way.Name,
	})
	return attempt, nil
}

func (tx *Tx) connectionVersion(ctx context.Context, c id.Connection) (version int64, err error) {
	err = tx.queryRow(ctx, `
		select version
		from connections
		where organization = $1
			and id = $2`, tx.Organization, c).Scan(&version)
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "This organization has no such way to sign in.").WithCode(string(connection.CodeUnknownConnection))
	}
	return version, err
}

// FinishTest keeps what a test sign-in showed and ends its attempt. It writes nothing else: no user, identity or session. A pass
// counts only if the settings are still those the test began with.
func (tx *Tx) FinishTest(ctx context.Context, attempt id.Attempt, r *connection.Report, user id.User, by audit.Actor) error {
	t, err := tx.Test(ctx, attempt)
	if err != nil {
		return err
	}
	version, err := tx.connectionVersion(ctx, t.Connection)
	if err != nil {
		return err
	}
	passed := r.Passed() && version == t.Version
	var at any
	if passed {
		at = micros(tx.now)
	}
	n, err := tx.exec(ctx, `
		update connection_tests
		set finished = $1, passed = $2, user_id = $3, report = $4
		where organization = $5 and id = $6 and finished is null`,
		micros(tx.now), at, orNull(user), encode(r), tx.Organization, attempt)
	if err != nil {
		return fmt.Errorf("keep the report of test %s: %w", attempt, err)
	}
	if n == 0 {
		return attemptOver()
	}
	tx.queue(`
		update attempts
		set finished = $1, state_hash = null, nonce = null, verifier = null
		where id = $2 and purpose = $3`, micros(tx.now), attempt, sessions.ForTest)
	e := audit.Event{
		Actor: by, Action: "connection.tested", TargetKind: "connection", TargetID: string(t.Connection), User: user,
		After: auditJSON(map[string]any{"passed": passed, "started_by": t.TesterName, "version": t.Version}),
	}
	if !passed {
		e.Outcome, e.Code = audit.Refused, "test-failed"
		for _, c := range r.Checks {
			if c.Outcome == connection.Failed {
				e.Reason = string(c.Name) + ": " + c.Said
				break
			}
		}
	}
	tx.Record(ctx, e)
	return nil
}

const testColumns = `t.id, t.connection, t.version, t.tester_kind, t.tester, t.tester_name, t.started, t.finished, t.passed, t.user_id, t.report`

func scanTest(s scanner) (t connection.Test, err error) {
	var report json.RawMessage
	err = s.Scan(&t.ID, &t.Connection, &t.Version, &t.TesterKind, &t.Tester, &t.TesterName, at(&t.Started), at(&t.Finished),
		at(&t.Passed), orEmpty(&t.User), rawJSON(&report))
	if err == nil && len(report) > 0 {
		t.Report = &connection.Report{}
		err = json.Unmarshal(report, t.Report)
	}
	return t, err
}

// Test reads one test sign-in.
func (tx *Tx) Test(ctx context.Context, attempt id.Attempt) (connection.Test, error) {
	t, err := scanTest(tx.queryRow(ctx, `
		select `+testColumns+`
		from connection_tests t
		where t.organization = $1
			and t.id = $2`, tx.Organization, attempt))
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "There is no such test sign-in; its report is kept for 30 days.")
	}
	return t, err
}

// Tests lists the latest test sign-ins of a connection, the newest first.
func (tx *Tx) Tests(ctx context.Context, c id.Connection, limit int) ([]connection.Test, error) {
	return collect[connection.Test](tx.query(ctx, `
		select `+testColumns+`
		from connection_tests t
		where t.organization = $1
			and t.connection = $2
		order by t.started desc, t.id desc
		limit $3`, tx.Organization, c, limit))(scanTest)
}

// PassedTest gives the latest test sign-in that counts for a connection as it is set up now, and says whether there is one. With a
// tester, an id of a user or an operator, only one that he started counts: who is about to close every other door must have gone
// through this one himself.
func (tx *Tx) PassedTest(ctx context.Context, c id.Connection, tester string) (connection.Test, bool, error) {
	t, err := scanTest(tx.queryRow(ctx, `
		select `+testColumns+`
		from connection_tests t
		join connections c on c.organization = t.organization and c.id = t.connection and c.version = t.version
		where t.organization = $1
			and t.connection = $2
			and t.passed is not null
			and ($3 = '' or t.tester = $3)
		order by t.passed desc
		limit 1`, tx.Organization, c, tester))
	if errors.Is(err, errNoRows) {
		return t, false, nil
	}
	return t, err == nil, err
}

// sampled is how many records a report compares with the value that came: enough to see a wrong mapping, quick on any directory.
const sampled = 1000

// Coverage counts the records of a connection's directory that nobody could be found by, and those whose key does not look like the
// value that just came.
func (tx *Tx) Coverage(ctx context.Context, c connection.Connection, value string) (*connection.Coverage, error) {
	if c.Directory == "" {
		return nil, nil
	}
	name, err := tx.DirectoryName(ctx, c.Directory)
	if err != nil {
		return nil, err
	}
	out := &connection.Coverage{Directory: c.Directory, Name: name}
	key := `r.external_id`
	if c.Settings.Match.Attribute == connection.UserName {
		key = `u.user_name`
	}
	err = tx.queryRow(ctx, `
		select count(*), count(*) - count(`+key+`), count(`+key+`) - count(distinct `+key+`)
		from directory_records r
		join users u on u.organization = r.organization and u.id = r.user_id
		where r.organization = $1
			and r.directory = $2
			and r.active`, tx.Organization, c.Directory).Scan(&out.Records, &out.Keyless, &out.Shared)
	if err != nil {
		return nil, fmt.Errorf("count the records of directory %s: %w", c.Directory, err)
	}
	if value == "" {
		return out, nil
	}
	keys, err := collect[string](tx.query(ctx, `
		select `+key+`
		from directory_records r
		join users u on u.organization = r.organization and u.id = r.user_id
		where r.organization = $1
			and r.directory = $2
			and r.active
			and `+key+` is not null
		order by r.user_id
		limit $3`, tx.Organization, c.Directory, sampled))(func(s scanner) (k string, err error) {
		err = s.Scan(&k)
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("sample the records of directory %s: %w", c.Directory, err)
	}
	shape := connection.ShapeOf(value)
	for _, k := range keys {
		out.Sampled++
		if connection.ShapeOf(k) != shape {
			out.Unlike++
			out.Example = k
		}
	}
	return out, nil
}

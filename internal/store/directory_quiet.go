package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// A full sync that finds everything as it was sends thousands of changes that change nothing, and most of the others are of what
// the document alone holds: a title, a department, a phone number. ModifyUser locks the record and the user, since a change may
// be of both; on PostgreSQL its transaction is two round trips with half a dozen statements. To find out by a plain read that
// nothing changed takes a third of that. What changed in the document alone is then written by one statement, which is its own
// transaction and finds the record only as it was read. SQLite has no round trips to save, so there ModifyUser writes.
//
// A read before each other change would be wasted, so it is only made for a directory whose last change was one of these.

// Quiet is whether the last change that a directory sent for a user was of nothing, or of its document alone. It is a guess
// about the next one.
func (db *DB) Quiet(org id.Organization, dir id.Directory) *atomic.Bool {
	q, _ := db.quiet.LoadOrStore([2]string{string(org), string(dir)}, &atomic.Bool{})
	return q.(*atomic.Bool)
}

// IsQuiet reports whether a change of a user, decided over a record, is one that ChangeQuietly would make.
func (db *DB) IsQuiet(by *Pusher, before scim.Attributes, r scim.Result) bool {
	return !r.Changed || db.d == postgresDialect && by.documentOnly(before, r.Attributes)
}

// documentOnly reports whether nothing changes that stands anywhere but in the document.
func (by *Pusher) documentOnly(before, after scim.Attributes) bool {
	if len(by.Directory.Roles.Accept) > 0 || by.Directory.Declares() {
		return false
	}
	was, is := profileOf(before), profileOf(after)
	return was.userName == is.userName && was.externalID == is.externalID && was.displayName == is.displayName && was.given == is.given &&
		was.family == is.family && was.active == is.active && was.saysActive == is.saysActive && was.shown(before) == is.shown(after) &&
		encode(was.emails) == encode(is.emails) && managerOf(before) == managerOf(after)
}

// glance is a record as it was read without a lock, and what a change makes of it.
type glance struct {
	res            *scim.Resource
	current        scim.Attributes
	decided        scim.Result
	undone, unsaid time.Time
	verified       bool // whether the user's address, if there is one, is
}

// ChangeQuietly is ModifyUser for a change of nothing, or of the document alone. It gives no resource and no error where
// ModifyUser has to decide; then nothing was written.
func (db *DB) ChangeQuietly(ctx context.Context, org id.Organization, by Pusher, user string, check Check, change func(scim.Attributes) (scim.Result, error), want scim.Want) (*scim.Resource, []audit.Event, error) {
	var g glance
	err := db.Read(ctx, org, func(tx *Tx) (err error) {
		g, err = tx.Push(by).glance(ctx, user, check, change, want)
		return err
	})
	switch {
	case err != nil || !g.undone.IsZero():
		return nil, nil, err
	case !g.decided.Changed:
		return g.res, nil, nil
	case !db.IsQuiet(&by, g.current, g.decided), !g.verified, g.unsaid.IsZero() && !profileOf(g.decided.Attributes).saysActive:
		return nil, nil, nil
	}
	var events []audit.Event
	err = db.Write(ctx, org, func(tx *Tx) (err error) {
		events, err = tx.Push(by).writeDocument(ctx, user, &g)
		return err
	})
	if err != nil || events == nil {
		return nil, nil, err
	}
	return g.res, events, nil
}

func (p *Push) glance(ctx context.Context, user string, check Check, change func(scim.Attributes) (scim.Result, error), want scim.Want) (g glance, err error) {
	g.res = &scim.Resource{ID: user}
	var doc, raw json.RawMessage
	dest := []any{&g.res.Version, at(&g.res.Created), at(&g.res.Modified), rawJSON(&doc), at(&g.undone), at(&g.unsaid), &g.verified}
	columns := recordColumns + `, r.undone, r.unsaid, exists (
				select 1
				from users u
				where u.organization = $1
					and u.id = $3
					and (u.email is null or u.email_verified = true))`
	if want.Groups {
		columns += ", " + p.groupsOf("$3", "$2")
		dest = append(dest, rawJSON(&raw))
	}
	err = p.tx.lastRow(ctx, `
		select `+columns+`
		from directory_records r
		where r.organization = $1
			and r.directory = $2
			and r.user_id = $3`, p.tx.Organization, p.Directory.ID, user).Scan(dest...)
	if errors.Is(err, errNoRows) {
		return g, p.noResource(p.User, user)
	}
	if err != nil {
		return g, fmt.Errorf("read record %s: %w", user, err)
	}
	if check != nil {
		if err := check(g.res.Version); err != nil {
			return g, err
		}
	}
	g.res.Document = doc
	if g.current, err = scim.DecodeStored(doc); err != nil {
		return g, fmt.Errorf("record %s: %w", user, err)
	}
	g.current["id"] = user
	if g.decided, err = change(g.current); err != nil {
		return g, err
	}
	g.res.Groups, err = readReferences(raw)
	return g, err
}

// documentStatement writes a document with its event, where the record is as it was read.
const documentStatement = `
	with r as (
		update directory_records
		set document = $4, folded = $5, version = version + 1, modified = $6
		where organization = $1
			and directory = $2
			and user_id = $3
			and version = $7
			and undone is null
		returning user_id
	), a as (
		insert into audit (organization, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, target_name, user_id,
			outcome, before, after, ip, door, request)
		select $1, $8, $6, $9, $10, $11, 'user.changed', 'user', r.user_id, $12, r.user_id, 'done', cast($13 as json), cast($14 as json),
			$15, $16, $17
		from r
	)
	select user_id
	from r`

// writeDocument makes the change of a glance, and gives its event, or none where the record is no longer as it was.
func (p *Push) writeDocument(ctx context.Context, user string, g *glance) ([]audit.Event, error) {
	a := g.decided.Attributes
	document := p.User.StoredDocument(a)
	before, after := changes(g.current, a)
	e := audit.Event{
		ID: id.New[id.Event](), At: micros(p.tx.now), Actor: p.Actor, Action: "user.changed", TargetKind: "user", TargetID: user,
		TargetName: profileOf(a).shown(a), User: id.User(user), Outcome: audit.Done, Before: before, After: after,
	}
	written, err := column[string](p.tx.onlyQuery(ctx, documentStatement, p.tx.Organization, p.Directory.ID, user, string(document), p.folded(p.User, a), e.At,
		g.res.Version, e.ID, e.Actor.Kind, e.Actor.ID, e.Actor.Name, e.TargetName, jsonOrNull(before), jsonOrNull(after), e.Actor.IP, e.Actor.Door, e.Actor.Request))
	if err != nil || len(written) == 0 {
		return nil, err
	}
	g.res.Version++
	g.res.Modified, g.res.Document = p.now(), document
	return []audit.Event{e}, nil
}

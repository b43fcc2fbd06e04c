package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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
// transaction, finds the record only as it was read, and is shared by changes that arrive together, as newcomers share theirs.
// SQLite has no round trips to save, so there ModifyUser writes.
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

// ChangeQuietly is ModifyUser for a change of nothing, or of the document alone. It gives no resource and no error where
// ModifyUser has to decide; then nothing was written.
func (db *DB) ChangeQuietly(ctx context.Context, org id.Organization, by Pusher, user string, check Check, change func(scim.Attributes) (scim.Result, error), want scim.Want) (*scim.Resource, []audit.Event, error) {
	// The others who change something now are looking up what they change, or will in a moment: one statement can serve all.
	who := pushingOf(org, &by)
	var coming *coming[pushing, *rewrite]
	if db.d == postgresDialect {
		coming = db.rewrites.expect(who)
		defer coming.Over()
	}
	found, err := db.lookUp(ctx, by.looking(org), lookupShape{by: byID, groups: want.Groups, change: true}, user)
	if err != nil {
		return nil, nil, fmt.Errorf("read record %s: %w", user, err)
	}
	if len(found) == 0 {
		return nil, nil, by.noResource(by.User, user)
	}
	r := found[0]
	if check != nil {
		if err := check(r.Version); err != nil {
			return nil, nil, err
		}
	}
	current, err := scim.DecodeStored(r.Document)
	if err != nil {
		return nil, nil, fmt.Errorf("record %s: %w", user, err)
	}
	current["id"] = user
	decided, err := change(current)
	res, a := &r.Resource, decided.Attributes
	switch {
	case err != nil || !r.undone.IsZero():
		return nil, nil, err
	case !decided.Changed:
		return res, nil, nil
	case !db.IsQuiet(&by, current, decided), !r.verified, r.unsaid.IsZero() && !profileOf(a).saysActive:
		return nil, nil, nil
	}
	p := &Push{Pusher: by}
	n := &rewrite{
		ctx: ctx, user: user, version: res.Version, stored: by.User.StoredDocument(a), folded: p.folded(by.User, a), shown: profileOf(a).shown(a),
		event: id.New[id.Event](), actor: by.Actor, turn: make(chan bool, 1),
	}
	n.before, n.after = changes(current, a)
	if coming.enter(&db.rewrites, who, n) || <-n.turn {
		db.rewrites.lead(who, n, func(all []*rewrite) { db.writeDocuments(ctx, who, all) })
	}
	if n.err != nil || n.written.IsZero() {
		return nil, nil, n.err
	}
	res.Version++
	res.Modified, res.Document = n.written, n.stored
	return res, []audit.Event{{
		ID: n.event, At: micros(n.written), Actor: n.actor, Action: "user.changed", TargetKind: "user", TargetID: user, TargetName: n.shown,
		User: id.User(user), Outcome: audit.Done, Before: n.before, After: n.after,
	}}, nil
}

// rewrite is one change of a document on its way.
type rewrite struct {
	ctx           context.Context
	user          string
	version       int64 // that it was decided over
	stored        []byte
	folded, shown string
	before, after json.RawMessage
	event         id.Event
	actor         audit.Actor

	turn    chan bool
	written time.Time // zero where the record is no longer as it was
	err     error
}

func (n *rewrite) waits() chan bool { return n.turn }

// writeDocuments writes a batch; ctx is its leader's.
func (db *DB) writeDocuments(ctx context.Context, who pushing, all []*rewrite) {
	of := make(map[string]*rewrite, len(all))
	for _, n := range all {
		switch {
		case n.ctx.Err() != nil:
			n.err = classify(n.ctx.Err())
		case of[n.user] == nil: // a second change of a record was decided over what the first one replaces
			of[n.user] = n
		}
	}
	if len(of) == 0 {
		return
	}
	// One caller's leaving must not undo what the others are told was written.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	err := db.Write(ctx, who.organization, func(tx *Tx) error { return tx.writeDocuments(ctx, who, of) })
	if err != nil {
		for _, n := range of {
			n.written, n.err = time.Time{}, err
		}
	}
}

// documentStatement writes documents with their events, each where its record is as it was read.
const documentStatement = `
	with s as (
		select
			unnest(cast($8 as text[])) as user_id, unnest(cast($9 as text[])) as document,
			unnest(cast($10 as text[])) as folded, unnest(cast($11 as text[])) as event, unnest(cast($12 as text[])) as shown,
			unnest(cast($13 as text[])) as before, unnest(cast($14 as text[])) as after, unnest(cast($15 as text[])) as ip,
			unnest(cast($16 as text[])) as request, unnest(cast($17 as bigint[])) as version
	), r as (
		update directory_records r
		set document = cast(s.document as json), folded = cast(s.folded as json), version = r.version + 1, modified = $3
		from s
		where r.organization = $1
			and r.directory = $2
			and r.user_id = s.user_id
			and r.version = s.version
			and r.undone is null
		returning r.user_id
	), a as (
		insert into audit (organization, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, target_name, user_id,
			outcome, before, after, ip, door, request)
		select $1, s.event, $3, $4, $5, $6, 'user.changed', 'user', s.user_id, s.shown, s.user_id, 'done', cast(nullif(s.before, '') as json),
			cast(nullif(s.after, '') as json), s.ip, $7, s.request
		from s
		where s.user_id in (select user_id from r)
	)
	select user_id
	from r`

// writeDocuments runs the statement and notes what was written. All nodes lock the records in the order of their ids.
func (tx *Tx) writeDocuments(ctx context.Context, who pushing, of map[string]*rewrite) error {
	const columns = 9
	var text [columns][]string
	versions := make([]int64, 0, len(of))
	for _, user := range slices.Sorted(maps.Keys(of)) {
		n := of[user]
		n.written = time.Time{}
		versions = append(versions, n.version)
		for c, s := range [columns]string{
			user, string(n.stored), n.folded, string(n.event), n.shown, string(n.before), string(n.after), n.actor.IP, n.actor.Request,
		} {
			text[c] = append(text[c], s)
		}
	}
	args := appendTexts([]any{who.organization, who.directory, micros(tx.now), who.kind, who.id, who.name, who.door}, text[:])
	written, err := column[string](tx.onlyQuery(ctx, documentStatement, append(args, versions)...))
	if err != nil {
		return err
	}
	for _, user := range written {
		of[user].written = tx.now.UTC()
	}
	return nil
}

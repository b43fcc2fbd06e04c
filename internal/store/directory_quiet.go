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
// transaction, finds the record only as it was when that was decided, and is shared by changes that arrive together, as newcomers share theirs.
// SQLite has no round trips to save, so there ModifyUser writes.
//
// On PostgreSQL it is decided over the record as this node saw it last, where it has (directory_recent.go), and read only where
// that did not hold or nothing changes. A read before each other change would be wasted, so it is only made for a directory whose last change was one of these.

// Quiet is whether the last change that a directory sent for a user was of nothing, or of its document alone. It is a guess
// about the next one.
func (db *DB) Quiet(org id.Organization, dir id.Directory) *atomic.Bool {
	return db.quietIn(looking{org, dir})
}

func (db *DB) quietIn(in looking) *atomic.Bool {
	q, ok := db.quiet.Load(in)
	if !ok {
		q, _ = db.quiet.LoadOrStore(in, &atomic.Bool{})
	}
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
		scim.Same(was.emails, is.emails) && managerOf(before) == managerOf(after)
}

// ChangeQuietly is ModifyUser for a change of nothing, or of the document alone. It gives no resource and no error where
// ModifyUser has to decide; then nothing was written.
func (db *DB) ChangeQuietly(ctx context.Context, org id.Organization, by Pusher, user string, check Check, change func(scim.Attributes) (scim.Result, error), want scim.Want) (*scim.Resource, []audit.Event, error) {
	// The others who change something now are looking up what they change, or will in a moment: one statement can serve all.
	c := quietChange{db: db, by: by, who: pushingOf(org, &by), in: by.looking(org), user: user, check: check, change: change, want: want}
	if db.d == postgresDialect {
		c.coming = db.rewrites.expect(c.who)
		defer c.coming.Over()
		if res, events, err := c.overRemembered(ctx); res != nil || err != nil {
			return res, events, err
		}
	}
	return c.overRead(ctx)
}

// quietChange is one change that may be made quietly.
type quietChange struct {
	db     *DB
	by     Pusher
	who    pushing
	in     looking
	user   string
	check  Check
	change func(scim.Attributes) (scim.Result, error)
	want   scim.Want
	coming *coming[pushing, *rewrite]

	// What was decided, and over which version of the record.
	version         int64
	current, became scim.Attributes
	changed         bool
}

// overRemembered makes the change where the record is as it is remembered. It gives no resource where it has to be read.
func (c *quietChange) overRemembered(ctx context.Context) (*scim.Resource, []audit.Event, error) {
	r := c.db.recent.of(c.in, c.user, c.db.now())
	if r == nil || c.decide(r) != nil || !c.changed || !c.quiet(r) {
		return nil, nil, nil
	}
	res, events, err := c.write(ctx, r, c.want.Groups)
	if res == nil {
		c.db.recent.forget(c.in, c.user)
	}
	return res, events, err
}

// overRead makes the change over the record as it is read for it.
func (c *quietChange) overRead(ctx context.Context) (*scim.Resource, []audit.Event, error) {
	found, err := c.db.lookUp(ctx, c.in, lookupShape{by: byID, groups: c.want.Groups, change: c.db.d == postgresDialect}, c.user)
	if err != nil {
		return nil, nil, fmt.Errorf("read record %s: %w", c.user, err)
	}
	if len(found) == 0 {
		return nil, nil, c.by.noResource(c.by.User, c.user)
	}
	r := found[0]
	err = c.decide(r)
	switch {
	case err != nil:
		return nil, nil, err
	case !r.undone.IsZero():
		return nil, nil, nil
	case !c.changed:
		return &r.Resource, nil, nil
	case c.db.d == postgresDialect && c.quiet(r):
		return c.write(ctx, r, false)
	case !r.unsettled:
		c.db.recent.forget(c.in, c.user) // it will be another one
	}
	return nil, nil, nil
}

// decide works out what the change makes of the record, unless that is known already.
func (c *quietChange) decide(r *lookedUp) (err error) {
	if c.check != nil {
		if err := c.check(r.Version); err != nil {
			return err
		}
	}
	if r.Version == c.version {
		return nil
	}
	c.version = 0
	if c.current, err = scim.DecodeStored(r.Document); err != nil {
		return fmt.Errorf("record %s: %w", c.user, err)
	}
	c.current["id"] = c.user
	decided, err := c.change(c.current)
	if err != nil {
		return err
	}
	c.version, c.became, c.changed = r.Version, decided.Attributes, decided.Changed
	return nil
}

// quiet reports whether what was decided can be written quietly.
func (c *quietChange) quiet(r *lookedUp) bool {
	return r.undone.IsZero() && !r.unsettled && (!r.unsaid.IsZero() || profileOf(c.became).saysActive) && c.by.documentOnly(c.current, c.became)
}

// write writes what was decided, where the record is still as it was decided over.
func (c *quietChange) write(ctx context.Context, r *lookedUp, groups bool) (*scim.Resource, []audit.Event, error) {
	p := &Push{Pusher: c.by}
	n := &rewrite{
		ctx: ctx, user: c.user, version: r.Version, groups: groups,
		stored: c.by.User.StoredDocument(c.became), folded: p.folded(c.by.User, c.became), shown: profileOf(c.became).shown(c.became),
		event: id.New[id.Event](), actor: c.by.Actor, turn: make(chan bool, 1),
	}
	n.before, n.after = changes(c.current, c.became)
	if c.coming.enter(&c.db.rewrites, c.who, n) || <-n.turn {
		c.db.rewrites.lead(c.who, n, func(all []*rewrite) { c.db.writeDocuments(ctx, c.who, all) })
	}
	if n.err != nil || n.written.IsZero() {
		return nil, nil, n.err
	}
	now := *r
	now.Version, now.Modified, now.Document = r.Version+1, n.written, n.stored
	if groups {
		now.Groups = n.inGroups
	}
	c.db.recent.note(c.in, &now, false, c.db.now())
	return &now.Resource, []audit.Event{{
		ID: n.event, At: micros(n.written), Actor: n.actor, Action: "user.changed", TargetKind: "user", TargetID: c.user, TargetName: n.shown,
		User: id.User(c.user), Outcome: audit.Done, Before: n.before, After: n.after,
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
	groups        bool // whether the groups are to be read

	turn     chan bool
	written  time.Time // zero where the record is no longer as it was
	inGroups []scim.Reference
	err      error
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

// documentStatement writes documents with their events, each where its record is as it was when the change was decided, and where
// nothing has come about that ModifyUser would have to see to. Whatever the planner believes of the tables, each record is found by
// its key: of a limit that it cannot see it expects a single row, and nothing else that an index begins with is known before. Where
// nobody of a batch asks for groups, they are not set up to be read.
var (
	documentStatement  = documentText("null")
	documentsAndGroups = documentText("case when r.groups then " + postgresDialect.groupsOf("r.user_id", "$2") + " end")
)

func documentText(groups string) string {
	return `
	with s as (
		select
			cast($1 as text) as organization, cast($2 as text) as directory,
			unnest(cast($8 as text[])) as user_id, unnest(cast($9 as text[])) as document,
			unnest(cast($10 as text[])) as folded, unnest(cast($11 as text[])) as event, unnest(cast($12 as text[])) as shown,
			unnest(cast($13 as text[])) as before, unnest(cast($14 as text[])) as after, unnest(cast($15 as text[])) as ip,
			unnest(cast($16 as text[])) as request, unnest(cast($17 as bigint[])) as version,
			unnest(cast($18 as boolean[])) as groups
		limit $19
	), r as (
		update directory_records r
		set document = cast(s.document as json), folded = cast(s.folded as json), version = r.version + 1, modified = $3
		from s
		where r.organization = s.organization
			and r.directory = s.directory
			and r.user_id = s.user_id
			and r.version = s.version
			and r.undone is null
			and ` + lookupSettled + `
		returning r.user_id, s.event, s.shown, s.before, s.after, s.ip, s.request, s.groups
	), a as (
		insert into audit (organization, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, target_name, user_id,
			outcome, before, after, ip, door, request)
		select $1, event, $3, $4, $5, $6, 'user.changed', 'user', user_id, shown, user_id, 'done', cast(nullif(before, '') as json),
			cast(nullif(after, '') as json), ip, $7, request
		from r
	)
	select r.user_id, ` + groups + `
	from r`
}

// writeDocuments runs the statement and notes what was written. All nodes lock the records in the order of their ids.
func (tx *Tx) writeDocuments(ctx context.Context, who pushing, of map[string]*rewrite) error {
	const columns = 9
	var text [columns][]string
	versions, groups := make([]int64, 0, len(of)), make([]bool, 0, len(of))
	for _, user := range slices.Sorted(maps.Keys(of)) {
		n := of[user]
		n.written = time.Time{}
		versions, groups = append(versions, n.version), append(groups, n.groups)
		for c, s := range [columns]string{
			user, string(n.stored), n.folded, string(n.event), n.shown, string(n.before), string(n.after), n.actor.IP, n.actor.Request,
		} {
			text[c] = append(text[c], s)
		}
	}
	args := appendTexts([]any{who.organization, who.directory, micros(tx.now), who.kind, who.id, who.name, who.door}, text[:])
	args = append(args, versions, groups, len(of))
	statement := documentStatement
	if slices.Contains(groups, true) {
		statement = documentsAndGroups
	}
	rows, err := tx.onlyQuery(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var user string
		var in json.RawMessage
		if err := rows.Scan(&user, rawJSON(&in)); err != nil {
			return err
		}
		n := of[user]
		n.written = tx.now.UTC()
		if n.inGroups, err = readReferences(in); err != nil {
			return err
		}
	}
	return rows.Err()
}

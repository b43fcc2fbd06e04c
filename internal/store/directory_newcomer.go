package store

import (
	"context"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// A directory's first sync pushes one person after the other, several at the same moment, and nearly all of them are met by
// nobody here: no user has the name, nobody has signed in as them, no seat is counted. On PostgreSQL such pushes share one
// statement, which is its own transaction: what PostgreSQL and pgx do for each statement, each table and each commit costs
// several times what the rows themselves do. On SQLite they share a transaction, which is what its commit and its savepoint
// cost them (directory_newcomer_sqlite.go).
//
// Whoever is found without any of that is stored and the others are left out. Those go through Push.CreateUser, which
// decides everything; so does everybody of a batch that met somebody else's push at the same moment.

// newcomer is one push on its way.
type newcomer struct {
	ctx      context.Context
	user     id.User
	event    id.Event
	profile  profile
	nameKey  string
	shown    string
	manager  string
	document []byte
	folded   string
	key      [2]string // by which the directory identifies the person, as sent and folded
	actor    audit.Actor

	turn    chan bool // true: lead the next batch; false: this push is through
	created time.Time // zero where it was left out
	err     error
}

func (n *newcomer) waits() chan bool { return n.turn }

// newcomers are the pushes of newcomers that wait, and those that are on their way.
type newcomers = queue[pushing, *newcomer]

// Coming is a push of a user whose request has begun. The zero value and nil are of no consequence.
type Coming = coming[pushing, *newcomer]

// Expect says that somebody may be about to be pushed. Whoever says so calls Over when the request has ended.
func (db *DB) Expect(org id.Organization, by *Pusher) *Coming {
	return db.newcomers.expect(pushingOf(org, by))
}

// CreateNewcomer stores a pushed user whom nobody here knows, as Push.CreateUser would, and gives the events it recorded.
// Where it gives no resource and no error nothing was written, and Push.CreateUser has to decide.
func (db *DB) CreateNewcomer(ctx context.Context, org id.Organization, by Pusher, r scim.Result) (*scim.Resource, []audit.Event, error) {
	if len(by.Directory.Roles.Accept) > 0 || by.Directory.Declares() {
		return nil, nil, nil
	}
	p := &Push{Pusher: by}
	n := &newcomer{
		ctx: ctx, user: id.New[id.User](), event: id.New[id.Event](), profile: profileOf(r.Attributes), manager: managerOf(r.Attributes),
		document: by.User.StoredDocument(r.Attributes), folded: p.folded(by.User, r.Attributes), actor: by.Actor, turn: make(chan bool, 1),
	}
	n.nameKey, n.shown = scim.UserNameKey(n.profile.userName), n.profile.shown(r.Attributes)
	n.key[0], n.key[1] = p.key(n.profile)
	who := pushingOf(org, &by)
	if by.Coming.enter(&db.newcomers, who, n) || <-n.turn {
		db.newcomers.lead(who, n, func(all []*newcomer) { db.storeNewcomers(ctx, who, all) })
	}
	if n.err != nil || n.created.IsZero() {
		return nil, nil, n.err
	}
	res := &scim.Resource{ID: string(n.user), Version: 1, Created: n.created, Modified: n.created, Document: n.document}
	return res, []audit.Event{{
		ID: n.event, At: micros(n.created), Actor: n.actor, Action: "user.created", TargetKind: "user", TargetID: string(n.user),
		TargetName: n.shown, User: n.user, Outcome: audit.Done, After: n.document,
	}}, nil
}

// storeNewcomers stores a batch; ctx is its leader's.
func (db *DB) storeNewcomers(ctx context.Context, who pushing, all []*newcomer) {
	names := make(map[string]bool, len(all))
	batch := make([]*newcomer, 0, len(all))
	for _, n := range all {
		switch {
		case n.ctx.Err() != nil:
			n.err = classify(n.ctx.Err())
		case !names[n.nameKey]: // a second push of the name comes after the first
			names[n.nameKey] = true
			batch = append(batch, n)
		}
	}
	if len(batch) == 0 {
		return
	}
	// One caller's leaving must not undo what the others are told was stored.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	err := db.Write(ctx, who.organization, func(tx *Tx) error { return tx.storeNewcomers(ctx, who, batch) })
	for _, n := range batch {
		switch {
		case err == nil:
		case fault.KindOf(err) == fault.Conflict: // somebody else was faster with one of the names
			n.created = time.Time{}
		default:
			n.created, n.err = time.Time{}, err
		}
	}
}

// newcomerUnmet says of a newcomer s that there is nothing to decide. Each of whom it asks is found by a scalar subquery: it is
// looked up in an index whatever the planner knows of the tables, where an "exists" could become a join that reads them.
const newcomerUnmet = `(
				select 1
				from organizations o
				where o.organization = $1
					and o.seat_limit is null) = 1
			and (
				select 1
				from directories d
				where d.organization = $1
					and d.id = $2) = 1
			and (
				select u.id
				from users u
				where u.organization = $1
					and u.user_name_key = s.user_name_key
					and u.status <> 'deleted') is null
			and (
				select r.user_id
				from directory_records r
				where r.organization = $1
					and r.directory = $2
					and r.user_name_key = s.user_name_key) is null
			and (
				select i.id
				from connections c
				cross join identities i
				where c.organization = $1
					and c.directory = $2
					and i.organization = $1
					and i.connection = c.id
					and i.match_value in (s.key_sent, s.key_folded)
					and i.closed is null
				limit 1) is null
			and s.user_id > coalesce((
				select max(x.fence)
				from name_indexes x
				where x.organization = $1
					and x.directory in ($2, '')), '')
			and (s.manager = '' or (
				select m.user_id
				from directory_records m
				where m.organization = $1
					and m.directory = $2
					and m.user_id = s.manager) is not null)`

// newcomerStatement stores a batch on PostgreSQL. Its arrays stand in a select's list: in its from each would be copied into a store
// of its own first, and then all into another.
const newcomerStatement = `
	with fresh as materialized (
		select s.*
		from (
			select
				unnest(cast($8 as text[])) as user_id, unnest(cast($9 as text[])) as event,
				unnest(cast($10 as text[])) as user_name, unnest(cast($11 as text[])) as user_name_key,
				unnest(cast($12 as text[])) as email, unnest(cast($13 as text[])) as email_key,
				unnest(cast($14 as text[])) as domain, unnest(cast($15 as text[])) as shown,
				unnest(cast($16 as text[])) as given_name, unnest(cast($17 as text[])) as family_name,
				unnest(cast($18 as text[])) as external_id, unnest(cast($19 as text[])) as display_name_key,
				unnest(cast($20 as boolean[])) as active, unnest(cast($21 as text[])) as manager,
				unnest(cast($22 as text[])) as document, unnest(cast($23 as text[])) as folded,
				unnest(cast($24 as text[])) as key_sent, unnest(cast($25 as text[])) as key_folded,
				unnest(cast($26 as text[])) as ip, unnest(cast($27 as text[])) as request) s
		where ` + newcomerUnmet + `
	), u as (
		insert into users (organization, id, status, seated, user_name, user_name_key, email, email_key, email_verified,
			display_name, given_name, family_name, kept_without_directory, custom_access, created, updated, logins)
		select $1, user_id, case when active then 'active' else 'suspended' end, active, user_name, user_name_key,
			nullif(email, ''), nullif(email_key, ''), (
				select 1
				from domains m
				where m.domain = fresh.domain
					and m.organization = $1) is not null,
			shown, nullif(given_name, ''), nullif(family_name, ''), false, false, $3, $3, 0
		from fresh
	), r as (
		insert into directory_records (organization, directory, user_id, external_id, user_name_key, display_name_key, active,
			manager, document, folded, version, created, modified)
		select $1, $2, user_id, nullif(external_id, ''), user_name_key, nullif(display_name_key, ''), active,
			nullif(manager, ''), cast(document as json), cast(folded as json), 1, $3, $3
		from fresh
	), e as (
		insert into record_emails (organization, directory, user_id, position, type_key, value_key, is_primary)
		select $1, $2, m.user_id, m.position, nullif(m.type_key, ''), nullif(m.value_key, ''), m.is_primary
		from (
			select
				unnest(cast($28 as text[])) as user_id, unnest(cast($29 as bigint[])) as position,
				unnest(cast($30 as text[])) as type_key, unnest(cast($31 as text[])) as value_key,
				unnest(cast($32 as boolean[])) as is_primary) m
		where m.user_id in (select user_id from fresh)
	), a as (
		insert into audit (organization, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, target_name,
			user_id, outcome, after, ip, door, request)
		select $1, event, $3, $4, $5, $6, 'user.created', 'user', user_id, shown, user_id, 'done', cast(document as json), ip, $7, request
		from fresh
	)
	select user_id
	from fresh`

// storeNewcomers runs the statement and notes who was stored.
func (tx *Tx) storeNewcomers(ctx context.Context, who pushing, batch []*newcomer) error {
	for _, n := range batch { // it may run a second time
		n.created = time.Time{}
	}
	if tx.d == sqliteDialect {
		return tx.storeNewcomersEach(ctx, who, batch)
	}
	const columns = 20
	var text [columns][]string
	for i := range text {
		text[i] = make([]string, len(batch))
	}
	active := make([]bool, len(batch))
	by := make(map[id.User]*newcomer, len(batch))
	var of, kinds, values []string
	var positions []int64
	var primary []bool
	for i, n := range batch {
		pr := &n.profile
		by[n.user] = n
		active[i] = pr.active
		for c, s := range [columns]string{
			string(n.user), string(n.event), pr.userName, n.nameKey, pr.email, scim.Fold(pr.email), domainOf(pr.email), n.shown, pr.given,
			pr.family, pr.externalID, scim.Fold(pr.displayName), "", n.manager, string(n.document), n.folded, n.key[0], n.key[1],
			n.actor.IP, n.actor.Request,
		} {
			text[c][i] = s
		}
		for at, e := range pr.emails {
			m, _ := e.(map[string]any)
			of, positions = append(of, string(n.user)), append(positions, int64(at))
			kinds, values = append(kinds, scim.Fold(asText(m, "type"))), append(values, scim.Fold(asText(m, "value")))
			primary = append(primary, m["primary"] == true)
		}
	}
	args := []any{who.organization, who.directory, micros(tx.now), who.kind, who.id, who.name, who.door}
	for c := range text {
		switch c {
		case 0:
			args = append(args, texts{text[0], append(text[1:], of, kinds, values)})
		case 12: // where the one column stands that is no text
			args = append(args, active)
		default:
			args = append(args, text[c])
		}
	}
	args = append(args, of, positions, kinds, values, primary)
	stored, err := column[id.User](tx.onlyQuery(ctx, newcomerStatement, args...))
	if err != nil {
		return err
	}
	for _, user := range stored {
		by[user].created = tx.now.UTC()
	}
	return nil
}

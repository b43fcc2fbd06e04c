package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// Most of what a directory asks is for one user: by id, or by the value that it looks for before it pushes. Such a lookup has a
// statement that is put together once, while a filter is compiled for each request. On PostgreSQL lookups that arrive together
// share one, as pushes do: to send, to bind to the organization and to answer costs several times what the row itself does.

// lookupBy is by what a record is looked up; of a batch, all that any of its lookups goes by.
type lookupBy int

const (
	byID lookupBy = 1 << iota
	byUserName
	byExternalID
	byEmail
	byAll = byID | byUserName | byExternalID | byEmail
)

// looking is where a directory looks; lookups there may share a statement.
type looking struct {
	organization id.Organization
	directory    id.Directory
}

func (in looking) place() looking { return in }

// lookupShape is what is looked for, and what of it is read.
type lookupShape struct {
	by     lookupBy
	groups bool // the groups as well
	change bool // what stands in the way of a quiet change as well; on PostgreSQL alone, where there is one
}

// lookedUp is a record as a lookup found it.
type lookedUp struct {
	scim.Resource
	undone, unsaid time.Time
	unsettled      bool // whether something is to be found out about the user's address; read for a change
}

// lookup is one on its way.
type lookup struct {
	lookupShape
	value string

	turn  chan bool
	done  bool // false where the batch failed as one
	found []*lookedUp
	err   error
}

func (n *lookup) waits() chan bool { return n.turn }

// lookupMost is how many records with one value a lookup tells apart; with more of them it is a list.
const lookupMost = 2

// GetUser gives the record of a user. A fault of kind NotFound for users under which the directory has none.
func (db *DB) GetUser(ctx context.Context, org id.Organization, by *Pusher, user string, want scim.Want) (*scim.Resource, error) {
	found, err := db.lookUp(ctx, by.looking(org), lookupShape{by: byID, groups: want.Groups}, user)
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w", user, err)
	}
	if len(found) == 0 {
		return nil, by.noResource(by.User, user)
	}
	return &found[0].Resource, nil
}

// FindUser answers a query for whoever has one id, userName, externalId or address. It gives no page and no error for any other
// query, and where more have it than a lookup tells apart: then Push.List has to answer.
func (db *DB) FindUser(ctx context.Context, org id.Organization, by *Pusher, q scim.Query) (*scim.Page, error) {
	column, value, ok := lookupOf(q)
	if !ok {
		return nil, nil
	}
	found, err := db.lookUp(ctx, by.looking(org), lookupShape{by: column, groups: q.Want.Groups}, value)
	if err != nil || len(found) > lookupMost {
		return nil, err
	}
	found = inOrder(found)
	page := &scim.Page{Total: len(found), More: len(found) > q.Count}
	for _, r := range found[:min(len(found), q.Count)] {
		page.Resources, page.Place = append(page.Resources, &r.Resource), r.ID
	}
	return page, nil
}

// lookupOf tells whether a query is a lookup, and of what. The filter's value is folded as its column is.
func lookupOf(q scim.Query) (by lookupBy, value string, ok bool) {
	if q.Filter == nil || q.SortBy != nil || q.Offset > 0 || q.After != "" || q.Count == 0 {
		return 0, "", false
	}
	x, ok := q.Filter.Expr.(scim.Compare)
	if !ok || x.Op != scim.Eq || x.Path.Extension != nil || x.Path.Attribute == nil {
		return 0, "", false
	}
	value, ok = x.Value.(string)
	name := x.Path.Attribute.Name
	if x.Path.Sub != nil {
		name += "." + x.Path.Sub.Name
	}
	switch name {
	case "id":
		return byID, value, ok
	case "userName":
		return byUserName, value, ok
	case "externalId":
		return byExternalID, value, ok
	case "emails.value":
		return byEmail, value, ok
	}
	return 0, "", false
}

func (by *Pusher) looking(org id.Organization) looking { return looking{org, by.Directory.ID} }

// lookUp gives the records that have a value, in any order; one more than lookupMost says that there may be more.
func (db *DB) lookUp(ctx context.Context, in looking, shape lookupShape, value string) ([]*lookedUp, error) {
	if db.d == sqliteDialect { // there is no round trip to share
		return db.lookUpAlone(ctx, in, shape, value)
	}
	n := &lookup{lookupShape: shape, value: value, turn: make(chan bool, 1)}
	if db.lookups.enter(in, n) || <-n.turn {
		db.lookups.lead(in, n, func(all []*lookup) { db.lookUpTogether(ctx, in, all) })
	}
	if !n.done { // whose fault it was shows alone
		n.found, n.err = db.lookUpAlone(ctx, in, shape, value)
	}
	if db.quietIn(in).Load() {
		for _, r := range n.found {
			db.recent.note(in, r, shape.change, db.now())
		}
	}
	return n.found, n.err
}

// lookUpAlone is one lookup in a statement of its own.
func (db *DB) lookUpAlone(ctx context.Context, in looking, shape lookupShape, value string) (found []*lookedUp, err error) {
	err = db.Read(ctx, in.organization, func(tx *Tx) (err error) {
		found, err = tx.lookUp(ctx, in.directory, shape, value)
		return err
	})
	return found, err
}

// lookUp is the same within a transaction; of a reading one it is the last statement.
func (tx *Tx) lookUp(ctx context.Context, dir id.Directory, shape lookupShape, value string) ([]*lookedUp, error) {
	return collect[*lookedUp](tx.boundQuery(ctx, lookupTexts()[tx.d][shape], tx.Organization, dir, value))(func(s scanner) (*lookedUp, error) {
		return scanLookedUp(s)
	})
}

// lookUpTogether is a batch of them in one; ctx is its leader's.
func (db *DB) lookUpTogether(ctx context.Context, in looking, all []*lookup) {
	if len(all) == 1 {
		n := all[0]
		n.found, n.err = db.lookUpAlone(ctx, in, n.lookupShape, n.value)
		n.done = true
		return
	}
	var shape lookupShape
	values, by, groups, change := make([]string, len(all)), make([]int64, len(all)), make([]bool, len(all)), make([]bool, len(all))
	nth := make([]int64, len(all))
	for i, n := range all {
		values[i], by[i], groups[i], change[i], nth[i] = n.value, int64(n.by), n.groups, n.change, int64(i)
		shape.by |= n.by
		shape.groups, shape.change = shape.groups || n.groups, shape.change || n.change
	}
	// One caller's leaving must not leave the others without an answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	found := make([][]*lookedUp, len(all))
	err := db.Read(ctx, in.organization, func(tx *Tx) error {
		clear(found) // it may run a second time
		rows, err := tx.boundQuery(ctx, lookupsTexts()[shape], in.organization, in.directory, values, by, groups, change, nth)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var at int64
			r, err := scanLookedUp(rows, &at)
			if err != nil {
				return err
			}
			found[at] = append(found[at], r)
		}
		return rows.Err()
	})
	if err != nil {
		return
	}
	for i, n := range all {
		n.found, n.done = found[i], true
	}
}

// inOrder gives records the order of a list. Whoever has an address twice was found twice.
func inOrder(found []*lookedUp) []*lookedUp {
	slices.SortFunc(found, func(a, b *lookedUp) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(found, func(a, b *lookedUp) bool { return a.ID == b.ID })
}

// What a lookup reads of a record. The last two cost something, and are read where they are asked for.
const (
	lookupColumns = `r.user_id, r.version, r.created, r.modified, r.document, r.undone, r.unsaid`
	lookupSettled = `coalesce((
				select u.email is null or u.email_verified or (
					select m.domain
					from domains m
					where m.domain = split_part(u.email_key, '@', 2)
						and m.organization = $1) is null
				from users u
				where u.organization = $1
					and u.id = r.user_id), false)`
)

// lookupTexts are the statements of one lookup. They are put together once: some are two kilobytes long.
var lookupTexts = sync.OnceValue(func() map[dialect]map[lookupShape]string {
	return map[dialect]map[lookupShape]string{sqliteDialect: sqliteLookupTexts(), postgresDialect: postgresLookupTexts(false)}
})

// lookupsTexts are those of a batch on PostgreSQL: of values, by what each is looked up, and what is read with it.
var lookupsTexts = sync.OnceValue(func() map[lookupShape]string { return postgresLookupTexts(true) })

// sqliteLookupTexts are those of SQLite. What it is not told the name of a column of, it calls by all of its text, which the driver
// copies for each query.
func sqliteLookupTexts() map[lookupShape]string {
	texts := map[lookupShape]string{}
	for by, condition := range map[lookupBy]string{byID: "r.user_id = $3", byUserName: "r.user_name_key = $3", byExternalID: "r.external_id = $3", byEmail: ""} {
		from := "directory_records r"
		if by == byEmail { // to set up a list costs it more than to find who is in it
			from = "record_emails e cross join directory_records r"
			condition = `e.organization = $1
			and e.directory = $2
			and e.value_key = $3
			and r.user_id = e.user_id`
		}
		for _, groups := range []string{"null", sqliteDialect.groupsOf("r.user_id", "$2")} {
			texts[lookupShape{by: by, groups: groups != "null"}] = fmt.Sprintf(`
		select %s, %s as unsettled, %s as groups
		from %s
		where r.organization = $1
			and r.directory = $2
			and %s
		limit %d`, lookupColumns, sqlFalse, groups, from, condition, lookupMost+1)
		}
	}
	return texts
}

// postgresLookupTexts are those of PostgreSQL, for one lookup or for a batch of what a shape says of all together. Each is looked up for
// itself, behind a limit, and what else is asked is a scalar subquery: whatever the planner believes of the tables, it cannot make a
// join or a hash of it that reads all records. To set up a part of a plan costs more than to run it, and most batches go by one
// thing and ask for nothing more, so what nobody of a batch asks for is not in its statement.
func postgresLookupTexts(batch bool) map[lookupShape]string {
	searched, inGroups, isUnsettled, more := "cast($3 as text) as value", "%s", "not %s", ""
	if batch {
		searched = `unnest(cast($3 as text[])) as value, unnest(cast($4 as bigint[])) as by,
				unnest(cast($5 as boolean[])) as groups, unnest(cast($6 as boolean[])) as change, unnest(cast($7 as bigint[])) as nth`
		inGroups, isUnsettled, more = "case when s.groups then %s end", "s.change and not %s", ", s.nth"
	}
	record := func(condition string) string {
		return fmt.Sprintf(`(
				select r.*
				from directory_records r
				where r.organization = s.organization
					and r.directory = $2
					and r.%s
				limit %d)`, condition, lookupMost+1)
	}
	holders := func(condition string) string {
		return fmt.Sprintf(`(
				select r.*
				from (
					select e.user_id
					from record_emails e
					where e.organization = s.organization
						and e.directory = $2
						and e.value_key = s.value
						%s
					limit %d) e
				cross join lateral %s r)`, condition, lookupMost+1, record("user_id = e.user_id"))
	}
	ways := []struct {
		by      lookupBy
		records func(of string) string
	}{
		{byID, func(of string) string { return record("user_id = s.value" + of) }},
		{byUserName, func(of string) string { return record("user_name_key = s.value" + of) }},
		{byExternalID, func(of string) string { return record("external_id = s.value" + of) }},
		{byEmail, holders},
	}
	texts := map[lookupShape]string{}
	for by := byID; by <= byAll; by++ {
		var found []string
		for _, way := range ways {
			switch by & way.by {
			case 0:
			case by:
				found = append(found, way.records(""))
			default:
				found = append(found, way.records(fmt.Sprintf(" and s.by = %d", way.by)))
			}
		}
		if len(found) > 1 && !batch {
			continue
		}
		for _, groups := range []string{"null", fmt.Sprintf(inGroups, postgresDialect.groupsOf("r.user_id", "$2"))} {
			for _, unsettled := range []string{sqlFalse, fmt.Sprintf(isUnsettled, lookupSettled)} {
				texts[lookupShape{by, groups != "null", unsettled != sqlFalse}] = fmt.Sprintf(`
		select %s, %s, %s%s
		from (
			select %s, %s) s
		cross join lateral (
			%s) r`, lookupColumns, unsettled, groups, more, boundBy, searched, strings.Join(found, `
			union all
			`))
			}
		}
	}
	return texts
}

// scanLookedUp reads a row of one of them; more is what stands behind it.
func scanLookedUp(s scanner, more ...any) (*lookedUp, error) {
	r := &lookedUp{}
	var doc, groups json.RawMessage
	err := s.Scan(append([]any{
		&r.ID, &r.Version, at(&r.Created), at(&r.Modified), rawJSON(&doc), at(&r.undone), at(&r.unsaid), &r.unsettled, rawJSON(&groups),
	}, more...)...)
	if err != nil {
		return nil, err
	}
	r.Document = doc
	r.Groups, err = readReferences(groups)
	return r, err
}

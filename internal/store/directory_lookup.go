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

// lookupBy is by what a record is looked up.
type lookupBy int

const (
	byID lookupBy = iota
	byUserName
	byExternalID
	byEmail
)

// looking is what a directory looks for; lookups of the same may share a statement.
type looking struct {
	organization id.Organization
	directory    id.Directory
	lookupShape
}

// lookupShape is what the statement of a lookup depends on.
type lookupShape struct {
	by     lookupBy
	groups bool // the groups as well
	change bool // what a change of the record is decided by as well
}

// lookedUp is a record as a lookup found it.
type lookedUp struct {
	scim.Resource
	undone, unsaid time.Time
	verified       bool // whether the user's address, if there is one, is
}

// lookup is one on its way.
type lookup struct {
	ctx   context.Context
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
	found, err := db.lookUp(ctx, by.looking(org, byID, want), user)
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
	found, err := db.lookUp(ctx, by.looking(org, column, q.Want), value)
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

func (by *Pusher) looking(org id.Organization, column lookupBy, want scim.Want) looking {
	return looking{org, by.Directory.ID, lookupShape{by: column, groups: want.Groups}}
}

// lookUp gives the records that have a value, in any order; one more than lookupMost says that there may be more.
func (db *DB) lookUp(ctx context.Context, in looking, value string) ([]*lookedUp, error) {
	if db.d == sqliteDialect { // there is no round trip to share
		return db.lookUpAlone(ctx, in, value)
	}
	n := &lookup{ctx: ctx, value: value, turn: make(chan bool, 1)}
	if db.lookups.enter(in, n) || <-n.turn {
		db.lookups.lead(in, n, func(all []*lookup) { db.lookUpTogether(ctx, in, all) })
	}
	if !n.done { // whose fault it was shows alone
		return db.lookUpAlone(ctx, in, value)
	}
	return n.found, n.err
}

// lookUpAlone is one lookup in a statement of its own.
func (db *DB) lookUpAlone(ctx context.Context, in looking, value string) (found []*lookedUp, err error) {
	err = db.Read(ctx, in.organization, func(tx *Tx) (err error) {
		found, err = tx.lookUp(ctx, in, value)
		return err
	})
	return found, err
}

// lookUp is the same within a transaction; of a reading one it is the last statement.
func (tx *Tx) lookUp(ctx context.Context, in looking, value string) ([]*lookedUp, error) {
	text := lookupTexts()[lookupStatement{tx.d, false, in.lookupShape}]
	return collect[*lookedUp](tx.lastQuery(ctx, text, in.organization, in.directory, value))(func(s scanner) (*lookedUp, error) { return in.scan(s) })
}

// lookUpTogether is a batch of them in one; ctx is its leader's.
func (db *DB) lookUpTogether(ctx context.Context, in looking, all []*lookup) {
	if len(all) == 1 {
		all[0].found, all[0].err = db.lookUpAlone(ctx, in, all[0].value)
		all[0].done = true
		return
	}
	values := make([]string, len(all))
	for i, n := range all {
		values[i] = n.value
	}
	// One caller's leaving must not leave the others without an answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	found := make([][]*lookedUp, len(all))
	err := db.Read(ctx, in.organization, func(tx *Tx) error {
		clear(found) // it may run a second time
		rows, err := tx.lastQuery(ctx, lookupTexts()[lookupStatement{tx.d, true, in.lookupShape}], in.organization, in.directory, values)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var nth int64
			r, err := in.scan(rows, &nth)
			if err != nil {
				return err
			}
			found[nth-1] = append(found[nth-1], r)
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

// lookupStatement is which text a lookup takes.
type lookupStatement struct {
	d        dialect
	together bool
	lookupShape
}

var lookupTexts = sync.OnceValue(func() map[lookupStatement]string {
	texts := map[lookupStatement]string{}
	for _, by := range []lookupBy{byID, byUserName, byExternalID, byEmail} {
		for _, groups := range []bool{false, true} {
			for _, change := range []bool{false, true} {
				shape := lookupShape{by, groups, change}
				for _, s := range []lookupStatement{{sqliteDialect, false, shape}, {postgresDialect, false, shape}, {postgresDialect, true, shape}} {
					texts[s] = s.text()
				}
			}
		}
	}
	return texts
})

// text is the statement. Of a batch each value is looked up for itself, behind a limit: whatever the planner knows of the tables,
// it cannot make a join of it that reads all records.
func (s lookupStatement) text() string {
	columns := `r.user_id, r.version, r.created, r.modified, r.document`
	if s.change {
		columns += `, r.undone, r.unsaid, exists (
				select 1
				from users u
				where u.organization = $1
					and u.id = r.user_id
					and (u.email is null or u.email_verified = true))`
	}
	if s.groups {
		columns += ", " + s.d.groupsOf("r.user_id", "$2")
	}
	value := "$3"
	if s.together {
		value = "s.value"
	}
	limit := fmt.Sprintf("\n\t\tlimit %d", lookupMost+1)
	holders := `
			select e.user_id
			from record_emails e
			where e.organization = $1
				and e.directory = $2
				and e.value_key = ` + value
	var condition string
	switch {
	case s.by == byEmail && s.together:
		condition = "r.user_id = e.user_id"
	case s.by == byEmail:
		condition = s.d.amongFew("r.user_id", holders)
	default:
		condition = map[lookupBy]string{byID: "r.user_id", byUserName: "r.user_name_key", byExternalID: "r.external_id"}[s.by] + " = " + value
	}
	records := `directory_records r
		where r.organization = $1
			and r.directory = $2
			and ` + condition + limit
	if !s.together {
		return `
		select ` + columns + `
		from ` + records
	}
	from := "unnest(cast($3 as text[])) with ordinality as s (value, nth)"
	if s.by == byEmail {
		from += "\n\t\tcross join lateral (" + holders + limit + ") e"
	}
	return `
		select ` + columns + `, s.nth
		from ` + from + `
		cross join lateral (
			select r.*
			from ` + records + `) r`
}

// scan reads a row of the statement; more is what stands behind it.
func (in looking) scan(s scanner, more ...any) (*lookedUp, error) {
	r := &lookedUp{}
	var doc, groups json.RawMessage
	dest := make([]any, 0, 10)
	dest = append(dest, &r.ID, &r.Version, at(&r.Created), at(&r.Modified), rawJSON(&doc))
	if in.change {
		dest = append(dest, at(&r.undone), at(&r.unsaid), &r.verified)
	}
	if in.groups {
		dest = append(dest, rawJSON(&groups))
	}
	if err := s.Scan(append(dest, more...)...); err != nil {
		return nil, err
	}
	r.Document = doc
	var err error
	r.Groups, err = readReferences(groups)
	return r, err
}

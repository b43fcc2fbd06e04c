package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/scim"
)

// DefaultPatience is how long a search may take: longer than any that an index serves, and shorter than an identity
// provider waits.
const DefaultPatience = 10 * time.Second

// List answers a page of the directory's users or groups. A filter or an order that no index serves may read all of a large
// directory; when that takes too long it is refused as RFC 7644 section 3.12 has it, since the same request would fare no
// better a second time and a 503 would have it sent again.
func (p *Push) List(ctx context.Context, rt *scim.ResourceType, q scim.Query) (*scim.Page, error) {
	if q.SortBy == nil && (q.Filter == nil || pointed(q.Filter.Expr)) {
		return p.list(ctx, rt, q)
	}
	patience := p.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	page, err := p.list(limited, rt, q)
	if err != nil && ctx.Err() == nil && (limited.Err() != nil || stoppedForTime(err)) {
		return nil, scim.Errorf(http.StatusBadRequest, scim.TooMany,
			"This search reads more than can be read in %s. Filter by userName, externalId, displayName, emails.value or id, or list without a filter or an order.", patience)
	}
	return page, err
}

// list answers a page. The store's own order is by id: it is total and stable. A page that goes on behind a place reads only
// itself.
func (p *Push) list(ctx context.Context, rt *scim.ResourceType, q scim.Query) (*scim.Page, error) {
	f := &filterSQL{p: p, rt: rt, args: []any{p.tx.Organization, p.Directory.ID}}
	from := `
			from directory_records r
			where r.organization = $1
				and r.directory = $2`
	if !f.users() {
		from = `
			from groups g
			where g.organization = $1
				and g.directory = $2`
	}
	if q.Filter != nil {
		if err := f.look(ctx, q.Filter.Expr); err != nil {
			return nil, err
		}
		found, err := p.find(ctx, f, q.Filter.Expr)
		if err != nil {
			return nil, err
		}
		from += "\n\t\t\t\tand (" + f.where(q.Filter.Expr) + ")"
		switch {
		case !found.page(q):
		case q.SortBy == nil:
			return found.list(ctx, p, f, q, from)
		default:
			ids, err := found.ids(ctx)
			if err != nil {
				return nil, err
			}
			from += "\n\t\t\t\tand " + f.among(ids)
		}
	}
	return p.inOrder(ctx, f, q, from)
}

// inOrder answers a page by reading the list in its order.
func (p *Push) inOrder(ctx context.Context, f *filterSQL, q scim.Query, from string) (*scim.Page, error) {
	rt, exact := f.rt, exactTotal
	if q.Filter != nil {
		exact = exactFound
	}
	page := &scim.Page{}
	if q.Count == 0 {
		var err error
		page.Total, err = p.total(ctx, from, f.args, exact)
		return page, err
	}
	sort := f.sorting(q.SortBy, q.Descending)

	// The rows of a pointed filter are few, so they are counted where they are found; of others the page comes first, and the
	// total only where the page does not tell it.
	if q.Filter != nil && pointed(q.Filter.Expr) && q.Offset == 0 && q.After == "" && q.SortBy == nil {
		// Found by the value's own index and then sorted: an order that an index has would tempt the planner to read all
		// resources in that order until it meets the few.
		err := p.page(ctx, f, page, q, nil, "count(*) over ()", from, f.idColumn()+" || ''")
		return page, err
	}
	runs := []run{func(*filterSQL) string { return sqlTrue }}
	order := f.idColumn()
	if sort != nil {
		order = sort.order(sort.expr, sort.id)
	}
	here := q
	switch {
	case q.After == "" && q.Offset > 0 && sort == nil:
		// Whom a jump leaves out is counted in the index alone; with their documents it would be the whole table.
		var last string
		counted := &filterSQL{p: p, rt: rt, args: slices.Clone(f.args)}
		err := p.tx.queryRow(ctx, `
			select `+f.idColumn()+from+`
			order by `+f.idColumn()+`
			limit 1
			offset `+counted.arg(q.Offset-1), counted.args...).Scan(&last)
		if errors.Is(err, errNoRows) {
			page.Total, err = p.total(ctx, from, f.args, exact)
			return page, err
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", rt.Endpoint, err)
		}
		here.Offset = 0
		runs = []run{func(f *filterSQL) string { return f.idColumn() + " > " + f.arg(last) }}
	case q.After == "":
	case sort == nil:
		runs = []run{func(f *filterSQL) string { return f.idColumn() + " > " + f.arg(q.After) }}
	default:
		place, err := sort.place(q.After)
		if err != nil {
			return nil, err
		}
		runs = sort.behind(place)
	}
	args := f.args
	for _, run := range runs {
		f.args = slices.Clone(args)
		part := from + "\n\t\t\t\tand (" + run(f) + ")"
		if err := p.page(ctx, f, page, here, sort, "0", part, order); err != nil {
			return nil, err
		}
		if page.More {
			break
		}
	}
	var err error
	switch behind := q.Before + len(page.Resources); {
	case q.After != "" && !page.More:
		page.Total = behind
	case q.After != "":
		f.args = slices.Clone(args)
		var any []string
		for _, run := range runs {
			any = append(any, "("+run(f)+")")
		}
		page.Total, err = p.totalBehind(ctx, from, args, from+"\n\t\t\t\tand ("+strings.Join(any, " or ")+")", f.args, q.Before, exact)
	case !page.More && (len(page.Resources) > 0 || q.Offset == 0):
		page.Total = q.Offset + len(page.Resources)
	default:
		page.Total, err = p.total(ctx, from, args, exact)
	}
	return page, err
}

// page reads up to as many resources as the page still has room for, and whether another one follows.
func (p *Push) page(ctx context.Context, f *filterSQL, page *scim.Page, q scim.Query, sort *sorting, counted, from, order string) error {
	row := f.row()
	// The page is cut before anything is worked out for its rows. To SQLite the second query and its sort cost as much as to find a
	// row, and the rows of a pointed filter are few.
	few := counted != "0" && f.users() && p.tx.d == sqliteDialect
	outer, user := "s.id, s.version, s.created, s.modified, s.document, s.counted, s.value", "s.id"
	if few {
		user = f.idColumn()
	}
	var references string
	switch {
	case q.Want.Groups && f.users():
		references = p.groupsOf(user, "$2")
	case q.Want.Rows && !f.users():
		references = p.membersOf("s.id")
	}
	if references != "" {
		outer += ", " + references
	}
	value, outerOrder := "null", "s.id"
	if sort != nil {
		value, outerOrder = sort.expr, sort.order("s.value", "s.id")
	}
	room := q.Count - len(page.Resources)
	kept := room
	offset := q.Offset
	if q.After != "" {
		offset = 0
	}
	columns := fmt.Sprintf(`%s as id, %[2]s.version, %[2]s.created, %[2]s.modified, %[2]s.document, %[3]s as counted, %[4]s as value`,
		f.idColumn(), row, counted, value)
	if few && references != "" {
		columns += ", " + references
	}
	sql := p.tx.d.cut(`
			select `+columns+from+`
			order by `+order, outerOrder, max(q.Count, scim.MaxPage)+1, f.arg(room+1), f.arg(offset))
	if !few {
		sql = fmt.Sprintf(`
		select %s
		from (%s) s
		order by %[3]s`, outer, sql, outerOrder)
	}
	query := p.tx.query
	if counted != "0" {
		query = p.tx.lastQuery
	}
	var last any
	found, err := collect[*scim.Resource](query(ctx, sql, f.args...))(func(s scanner) (*scim.Resource, error) {
		r := &scim.Resource{}
		var doc, raw json.RawMessage
		var v any
		dest := []any{&r.ID, &r.Version, at(&r.Created), at(&r.Modified), rawJSON(&doc), orZero(&page.Total), &v}
		if references != "" {
			dest = append(dest, rawJSON(&raw))
		}
		if err := s.Scan(dest...); err != nil {
			return nil, err
		}
		if kept > 0 {
			kept, last = kept-1, v
		}
		r.Document = doc
		refs, err := readReferences(raw)
		if f.users() {
			r.Groups = refs
		} else {
			r.Rows = refs
		}
		return r, err
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", f.rt.Endpoint, err)
	}
	page.Resources = append(page.Resources, found...)
	if page.More = len(page.Resources) > q.Count; page.More {
		page.Resources = page.Resources[:q.Count]
	}
	switch n := len(page.Resources); {
	case room == kept: // none of them is on the page
	case sort == nil:
		page.Place = page.Resources[n-1].ID
	default:
		page.Place = sortPlace{page.Resources[n-1].ID, last}.write()
	}
	return nil
}

// Totals. A total of many thousands costs more than the page, and changes while it is read: one that was counted a moment ago
// serves, on this node. RFC 7644 section 3.4.2.4 leaves that open.
const (
	// exactTotal is up to where every total of a list is counted. With a filter it is exactFound: each that matches is judged
	// for it, and often many more.
	exactTotal = 10_000
	exactFound = 1000
	// A total serves for a second, and where counting takes longer than a twentieth of that, for twenty times as long as it
	// took: who walks through a million must not have them counted over and over.
	totalAge   = time.Second
	totalShare = 20
	maxTotals  = 1000
)

type totals struct {
	mu    sync.Mutex
	known map[string]countedTotal // guarded by mu
}

type countedTotal struct {
	n   int
	at  time.Time
	age time.Duration
}

func (t *totals) get(key string, now time.Time) (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.known[key]
	return c.n, ok && now.Sub(c.at) < c.age && !now.Before(c.at)
}

func (t *totals) put(key string, n int, now time.Time, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxTotals {
		t.known = map[string]countedTotal{}
	}
	t.known[key] = countedTotal{n, now, max(totalAge, totalShare*took)}
}

// total counts what a list has, exactly up to a number.
func (p *Push) total(ctx context.Context, from string, args []any, exact int) (int, error) {
	key := fmt.Sprintf("%s %q", from, args)
	if n, ok := p.tx.db.totals.get(key, p.tx.db.now()); ok {
		return n, nil
	}
	began := time.Now()
	var n int
	if err := p.tx.queryRow(ctx, `
			select count(*)`+from, args...).Scan(orZero(&n)); err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	if n > exact {
		p.tx.db.totals.put(key, n, p.tx.db.now(), time.Since(began))
	}
	return n, nil
}

// totalBehind counts what a list has for who walks through it: the resources before the place and all behind it. As far as
// there are many behind, the list's own total says it.
func (p *Push) totalBehind(ctx context.Context, from string, args []any, behind string, behindArgs []any, before, exact int) (int, error) {
	if all, ok := p.tx.db.totals.get(fmt.Sprintf("%s %q", from, args), p.tx.db.now()); ok && all-before > exact {
		return all, nil
	}
	var n int
	if err := p.tx.queryRow(ctx, `
		select count(*)
		from (
			select 1`+behind+`
			limit `+strconv.Itoa(exact+1)+`) s`, behindArgs...).Scan(orZero(&n)); err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	if n <= exact {
		return before + n, nil
	}
	all, err := p.total(ctx, from, args, exact)
	return max(all, before+n), err
}

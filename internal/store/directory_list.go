package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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

// list answers a page. The store's own order is by id: it is total, stable, and a page that goes on behind an id reads only
// itself.
func (p *Push) list(ctx context.Context, rt *scim.ResourceType, q scim.Query) (*scim.Page, error) {
	f := &filterSQL{p: p, rt: rt, args: []any{p.tx.Organization, p.Directory.ID}}
	from := `
			from directory_records r
			where r.organization = $1
				and r.directory = $2`
	row := "r"
	if !f.users() {
		row = "g"
		from = `
			from groups g
			where g.organization = $1
				and g.directory = $2`
	}
	if q.Filter != nil {
		from += "\n\t\t\t\tand (" + f.where(q.Filter.Expr) + ")"
	}
	page := &scim.Page{}
	if q.Count == 0 {
		return page, p.count(ctx, page, from, f.args)
	}

	// The rows of a pointed filter are few, so they are counted where they are found; of others the page comes first, and the
	// total only where the page does not tell it.
	inline := q.Filter != nil && pointed(q.Filter.Expr) && q.Offset == 0 && q.After == "" && q.SortBy == nil
	counted := "0"
	if inline {
		counted = "count(*) over ()"
	}
	countArgs := len(f.args)
	paged := from
	if q.After != "" {
		paged += "\n\t\t\t\tand " + f.idColumn() + " > " + f.arg(q.After)
	}
	// The page is cut before anything is worked out for its rows.
	outer := "s.id, s.version, s.created, s.modified, s.document, s.counted"
	var references string
	switch {
	case q.Want.Groups && f.users():
		references = p.groupsOf("s.id", "$2")
	case q.Want.Rows && !f.users():
		references = p.membersOf("s.id")
	}
	if references != "" {
		outer += ", " + references
	}
	order, place := f.order(q.SortBy, q.Descending), ""
	behind := "s.id"
	if q.SortBy != nil {
		place, behind = ", row_number() over (order by "+order+") as place", "s.place"
	}
	if inline {
		// Found by the value's own index and then sorted: an order that an index has would tempt the planner to read all
		// resources in that order until it meets the few.
		order = f.idColumn() + " || ''"
	}
	// The cast keeps SQLite from planning by the number: it would plan anew for each request, which costs more than the rest.
	sql := fmt.Sprintf(`
		select %s
		from (
			select %s as id, %[3]s.version, %[3]s.created, %[3]s.modified, %[3]s.document, %[4]s as counted%[5]s%[6]s
			order by %[7]s
			limit cast(%[8]s as bigint)
			offset %[9]s) s
		order by %[10]s`,
		outer, f.idColumn(), row, counted, place, paged, order, f.arg(q.Count+1), f.arg(q.Offset), behind)
	query := p.tx.query
	if inline {
		query = p.tx.lastQuery
	}
	all, err := collect[*scim.Resource](query(ctx, sql, f.args...))(func(s scanner) (*scim.Resource, error) {
		r := &scim.Resource{}
		var doc, raw json.RawMessage
		dest := []any{&r.ID, &r.Version, at(&r.Created), at(&r.Modified), rawJSON(&doc), orZero(&page.Total)}
		if references != "" {
			dest = append(dest, rawJSON(&raw))
		}
		if err := s.Scan(dest...); err != nil {
			return nil, err
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
		return nil, fmt.Errorf("list %s: %w", rt.Endpoint, err)
	}
	if page.More = len(all) > q.Count; page.More {
		all = all[:q.Count]
	}
	page.Resources = all
	switch {
	case inline:
		return page, nil
	case !page.More && q.After == "" && (len(all) > 0 || q.Offset == 0):
		page.Total = q.Offset + len(all)
		return page, nil
	}
	return page, p.count(ctx, page, from, f.args[:countArgs])
}

func (p *Push) count(ctx context.Context, page *scim.Page, from string, args []any) error {
	err := p.tx.lastRow(ctx, `
			select count(*)`+from, args...).Scan(orZero(&page.Total))
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	return nil
}

package scim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	listURN   = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	searchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
)

// listing is a list request as it was asked, by GET or by .search.
type listing struct {
	filter, sortBy, sortOrder string
	attributes, excluded      []string
	startIndex, count         *int
	cursor                    *string
}

func (h *Handler) list(c *call, rt *ResourceType) error {
	l, err := listingFromQuery(c)
	if err != nil {
		return err
	}
	return h.answerList(c, []*ResourceType{rt}, l)
}

func (h *Handler) root(c *call) error {
	l, err := listingFromQuery(c)
	if err != nil {
		return err
	}
	return h.answerList(c, h.Types, l)
}

func (h *Handler) search(c *call, rt *ResourceType) error {
	return h.searchIn(c, []*ResourceType{rt})
}

func (h *Handler) rootSearch(c *call) error { return h.searchIn(c, h.Types) }

func (h *Handler) searchIn(c *call, types []*ResourceType) error {
	raw, err := c.body(MaxBody)
	if err != nil {
		return err
	}
	l, err := listingFromBody(raw)
	if err != nil {
		return err
	}
	return h.answerList(c, types, l)
}

func listingFromQuery(c *call) (listing, error) {
	q := c.query
	l := listing{
		filter: q.Get("filter"), sortBy: q.Get("sortBy"), sortOrder: q.Get("sortOrder"),
		attributes: names(q["attributes"]), excluded: names(q["excludedAttributes"]),
	}
	for _, number := range []struct {
		name string
		to   **int
	}{{"startIndex", &l.startIndex}, {"count", &l.count}} {
		if s := strings.TrimSpace(q.Get(number.name)); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				return l, badRequest(InvalidValue, "%s must be an integer, not %q.", number.name, s)
			}
			*number.to = &n
		}
	}
	if q.Has("cursor") {
		s := q.Get("cursor")
		l.cursor = &s
	}
	return l, nil
}

func listingFromBody(raw Attributes) (listing, error) {
	var l listing
	if !namesSchema(raw, searchURN) {
		return l, badRequest(InvalidSyntax, "A search must list the schema %s.", searchURN)
	}
	text := func(v any, name string, to *string) error {
		s, ok := v.(string)
		if !ok {
			return badRequest(InvalidValue, "%s must be a string.", name)
		}
		*to = s
		return nil
	}
	number := func(v any, name string, to **int) error {
		n, ok := v.(int64)
		if !ok {
			return badRequest(InvalidValue, "%s must be an integer.", name)
		}
		i := int(n)
		*to = &i
		return nil
	}
	list := func(v any, name string, to *[]string) error {
		if s, ok := v.(string); ok {
			v = []any{s}
		}
		items, ok := v.([]any)
		if !ok {
			return badRequest(InvalidValue, "%s must be an array of strings.", name)
		}
		for _, item := range items {
			s, ok := item.(string)
			if !ok {
				return badRequest(InvalidValue, "%s must be an array of strings.", name)
			}
			*to = append(*to, names([]string{s})...)
		}
		return nil
	}
	for key, v := range raw {
		if v == nil {
			continue
		}
		var err error
		switch strings.ToLower(key) {
		case "filter":
			err = text(v, "filter", &l.filter)
		case "sortby":
			err = text(v, "sortBy", &l.sortBy)
		case "sortorder":
			err = text(v, "sortOrder", &l.sortOrder)
		case "cursor":
			l.cursor = new(string)
			err = text(v, "cursor", l.cursor)
		case "startindex":
			err = number(v, "startIndex", &l.startIndex)
		case "count":
			err = number(v, "count", &l.count)
		case "attributes":
			err = list(v, "attributes", &l.attributes)
		case "excludedattributes":
			err = list(v, "excludedAttributes", &l.excluded)
		}
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// namesSchema tells whether a message lists the schema it must list.
func namesSchema(raw Attributes, urn string) bool {
	for key, v := range raw {
		if !strings.EqualFold(key, "schemas") {
			continue
		}
		items, _ := v.([]any)
		for _, item := range items {
			if s, ok := item.(string); ok && strings.EqualFold(s, urn) {
				return true
			}
		}
	}
	return false
}

// plan is what a listing means for one resource type.
type plan struct {
	rt         *ResourceType
	query      Query
	projection *Projection
}

// answerList serves a query over one resource type, or over several as one list after the other (RFC
// 7644 section 3.4.2.1).
func (h *Handler) answerList(c *call, types []*ResourceType, l listing) error {
	plans := make([]plan, 0, len(types))
	for _, rt := range types {
		p, err := h.plan(c.tenant, rt, l, len(types) > 1)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	}

	count := DefaultPage
	if l.count != nil {
		count = min(max(*l.count, 0), MaxPage)
	}
	start := 1
	if l.startIndex != nil {
		start = max(*l.startIndex, 1)
	}
	// Only a list of more than one page has to be known again.
	listed := sync.OnceValue(func() listID { return h.identify(c.tenant, plans) })
	var at cursor
	if l.cursor != nil {
		if l.startIndex != nil {
			return badRequest(InvalidCursor, "startIndex and cursor exclude each other.")
		}
		var err error
		if at, err = readCursor(*l.cursor, listed(), count, h.Now()); err != nil {
			return err
		}
		start = at.offset + 1
	}

	// What is left to skip and to fill as the lists follow one another.
	skip, room, total := start-1, count, 0
	var began time.Time
	var pages []*Page
	for i := range plans {
		p := &plans[i]
		q := p.query
		q.Count = room
		q.Offset = skip
		if len(plans) == 1 {
			began = at.began
			switch {
			case skip == 0:
				began = h.Now()
			case l.cursor == nil:
				// Deletions shift startIndex; who walks on from a page we served goes on behind its last
				// resource and loses nobody (RFC 7644 section 3.4.2.4 promises nothing).
				place := h.placeOf(c, listed(), skip)
				at.after, began = place.After, place.Began
			}
			if at.after != "" {
				q.After, q.Before, q.Offset = at.after, skip, 0
			}
		}
		page, err := c.tenant.Store.List(c.r.Context(), p.rt, q)
		if err != nil {
			return err
		}
		total += page.Total
		room -= len(page.Resources)
		skip = max(0, skip-page.Total)
		pages = append(pages, page)
	}

	buf := blank()
	defer done(buf)
	returned := count - room
	buf.WriteString(`{"schemas":["` + listURN + `"],"totalResults":` + strconv.Itoa(total))
	if l.cursor == nil {
		buf.WriteString(`,"startIndex":` + strconv.Itoa(start))
	}
	buf.WriteString(`,"itemsPerPage":` + strconv.Itoa(returned) + `,"Resources":[`)
	first := true
	for i, page := range pages {
		for _, r := range page.Resources {
			if !first {
				buf.WriteByte(',')
			}
			first = false
			if err := h.render(buf, c.tenant, plans[i].rt, r, plans[i].projection, nil); err != nil {
				return err
			}
		}
	}
	buf.WriteByte(']')
	if count > 0 {
		next := cursor{offset: start - 1 + returned}
		// The store knows whether a walk by key goes on; by offset only the total tells.
		more := next.offset < total
		if len(pages) == 1 {
			more, next.after, next.began = pages[0].More, pages[0].Place, began
		}
		switch {
		case l.cursor != nil && more:
			buf.WriteString(`,"nextCursor":"` + next.write(listed(), count, h.Now()) + `"`)
		case more && next.after != "":
			h.keepPlace(c, listed(), next)
		case !more && !began.IsZero() && plans[0].query.Filter == nil:
			if w, ok := c.tenant.Store.(Walker); ok {
				w.Walked(plans[0].rt, began, next.offset)
			}
		}
	}
	buf.WriteByte('}')
	send(c.w, http.StatusOK, buf.Bytes())
	return nil
}

func (h *Handler) plan(t *Tenant, rt *ResourceType, l listing, root bool) (plan, error) {
	projection, err := h.projectionOf(rt, l.attributes, l.excluded)
	if err != nil {
		return plan{}, err
	}
	parse := ParseFilter
	if root {
		parse = ParseRootFilter
	}
	filter, err := parse(rt, l.filter, t.Dialect)
	if err != nil {
		return plan{}, err
	}
	if filter != nil {
		t.repaired(filter.Repairs)
	}
	p := plan{rt: rt, projection: projection, query: Query{Filter: filter, Want: h.want(rt, projection)}}
	switch strings.ToLower(l.sortOrder) {
	case "", "ascending":
	case "descending":
		p.query.Descending = true
	default:
		return plan{}, badRequest(InvalidValue, "sortOrder is ascending or descending, not %q.", l.sortOrder)
	}
	if l.sortBy == "" {
		p.query.Descending = false
		return p, nil
	}
	path, ok := rt.Resolve(l.sortBy)
	if !ok && root {
		return p, nil // a type without the attribute comes in its own order
	}
	if ok {
		path, ok = sortable(rt, path)
	}
	if !ok {
		return plan{}, badRequest(InvalidValue, "Nothing can be sorted by %q.", l.sortBy)
	}
	p.query.SortBy = &path
	return p, nil
}

// sortable finds the simple value a path is sorted by: that of a multi-valued attribute is the value of
// its primary element, else of its first (RFC 7644 section 3.4.2.3). What may not be read may not order
// either, since an order tells values.
func sortable(rt *ResourceType, p Path) (Path, bool) {
	if p.Attribute == nil || p.Attribute.Returned == ReturnedNever || p.Attribute.Name == rt.Rows || p.Attribute.Name == "groups" {
		return p, false
	}
	if p.Attribute.Type == TypeComplex && p.Sub == nil {
		p.Sub = p.Attribute.SubAttribute("value")
		if p.Sub == nil {
			return p, false
		}
	}
	if leaf := p.Leaf(); leaf.Returned == ReturnedNever || leaf.Type == TypeBinary {
		return p, false
	}
	return p, true
}

// listID is the fingerprint of a list: whose it is, of what, filtered and sorted how. A cursor of
// another list is refused by it.
type listID [8]byte

func (l listID) String() string { return base64.RawURLEncoding.EncodeToString(l[:]) }

func (h *Handler) identify(t *Tenant, plans []plan) listID {
	s := sha256.New()
	fmt.Fprintf(s, "%s\n", t.Base)
	for _, p := range plans {
		by, filter := "", ""
		if p.query.SortBy != nil {
			by = p.query.SortBy.String()
		}
		if p.query.Filter != nil {
			filter = p.query.Filter.String()
		}
		fmt.Fprintf(s, "%s\n%s\n%s %t\n", p.rt.Name, filter, by, p.query.Descending)
	}
	return listID(s.Sum(nil))
}

// cursor is a position of RFC 9865: behind a resource, or at an offset where the store names no place.
// It is not sealed: it names nothing but a place in a list that its holder may read anyway.
type cursor struct {
	offset int
	after  string
	began  time.Time
}

// cursorVersion changes with what a cursor is made of.
const cursorVersion = 2

func (c cursor) write(list listID, count int, now time.Time) string {
	b := append([]byte{cursorVersion}, list[:]...)
	b = binary.AppendVarint(b, now.Unix())
	b = binary.AppendVarint(b, int64(count))
	b = binary.AppendVarint(b, int64(c.offset))
	var began int64
	if !c.began.IsZero() {
		began = c.began.UnixMicro()
	}
	b = binary.AppendVarint(b, began)
	return base64.RawURLEncoding.EncodeToString(append(b, c.after...))
}

func readCursor(s string, list listID, count int, now time.Time) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	invalid := badRequest(InvalidCursor, "This cursor is not of this list.")
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 1+len(list) || b[0] != cursorVersion || listID(b[1:1+len(list)]) != list {
		return cursor{}, invalid
	}
	b = b[1+len(list):]
	var numbers [4]int64
	for i := range numbers {
		n, size := binary.Varint(b)
		if size <= 0 {
			return cursor{}, invalid
		}
		numbers[i], b = n, b[size:]
	}
	made, asked, offset := time.Unix(numbers[0], 0), int(numbers[1]), numbers[2]
	switch {
	case offset < 0 || offset > 1<<40 || made.After(now.Add(time.Minute)):
		return cursor{}, invalid
	case now.Sub(made) > CursorTimeout:
		return cursor{}, badRequest(ExpiredCursor, "This cursor is older than %s; begin again without one.", CursorTimeout)
	case asked != count:
		return cursor{}, badRequest(InvalidCount, "This list was begun with count %d and goes on with it.", asked)
	}
	c := cursor{offset: int(offset), after: string(b)}
	if numbers[3] > 0 && numbers[3] <= numbers[0]*1e6+1e6 {
		c.began = time.UnixMicro(numbers[3])
	}
	return c, nil
}

// placeOf finds where the page before the asked one ended: this node remembers, or another one does.
func (h *Handler) placeOf(c *call, list listID, before int) Place {
	if p, ok := h.hints.get(hint{list, before}, h.Now()); ok {
		return p
	}
	if w, ok := c.tenant.Store.(Walker); ok {
		p, _ := w.PlaceOf(c.r.Context(), list.String(), before)
		return p
	}
	return Place{}
}

func (h *Handler) keepPlace(c *call, list listID, at cursor) {
	p := Place{After: at.after, Began: at.began}
	h.hints.put(hint{list, at.offset}, p, h.Now())
	if w, ok := c.tenant.Store.(Walker); ok {
		w.KeepPlace(c.r.Context(), list.String(), at.offset, p)
	}
}

// hints remember where pages ended, so that a walk by startIndex is a walk by key. They are only hints:
// without one the store counts.
type hints struct {
	mu   sync.Mutex
	seen map[hint]hinted // guarded by mu
}

type hint struct {
	list   listID
	before int
}

type hinted struct {
	Place
	at time.Time
}

const (
	// PlaceAge is how long a place is good for: longer than any client takes between two pages.
	PlaceAge = 10 * time.Minute
	maxHints = 20_000
)

func (h *hints) get(k hint, now time.Time) (Place, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.seen[k]
	return v.Place, ok && now.Sub(v.at) < PlaceAge
}

func (h *hints) put(k hint, p Place, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil || len(h.seen) >= maxHints {
		h.seen = map[hint]hinted{}
	}
	h.seen[k] = hinted{p, now}
}

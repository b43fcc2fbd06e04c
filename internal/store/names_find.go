package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

const (
	// soughtGrams is how many grams of a text are looked for: more of them narrow little.
	soughtGrams = 32
	// rareGrams is how many lists of a pack are read for each text that is looked for: the shortest ones, a few at a time, and as
	// long as they narrow.
	rareGrams, gramsAtOnce = 8, 2
	// askedPacks is of how many packs is asked which lists are short. The names of a directory are much the same in all.
	askedPacks = 4
	// mostFound is how many records the index may name. Where more may match, the list's own order meets them soon.
	mostFound = 20_000
	// fewFound is up to where all of them are named in the list's statement.
	fewFound = 1000
	// earlyFound is how many of the first who may match are judged for each that a page has room for, before all are.
	earlyFound = 4
)

// sought is what must be true of a record's names for a filter to match it: less than the filter says, and never more.
type sought struct {
	grams []int64  // all of these are in the record's names, or
	all   []sought // each of these is true, or
	any   []sought // one of these is
}

// soughtBy gives what a filter over users asks of names; false where a record may match whatever its names are.
func soughtBy(x scim.Expr) (sought, bool) {
	switch x := x.(type) {
	case scim.And:
		var out sought
		for _, term := range x.Terms {
			if s, ok := soughtBy(term); ok {
				out.all = append(out.all, s)
			}
		}
		return out, len(out.all) > 0
	case scim.Or:
		var out sought
		for _, term := range x.Terms {
			s, ok := soughtBy(term)
			if !ok {
				return sought{}, false
			}
			out.any = append(out.any, s)
		}
		return out, len(out.any) > 0
	case scim.Compare:
		if x.Path.Attribute == nil || x.Path.Extension != nil || x.Path.Sub != nil {
			return sought{}, false
		}
		var mark int64
		switch x.Path.Attribute.Name {
		case "userName":
			mark = userNameMark
		case "displayName":
			mark = displayNameMark
		default:
			return sought{}, false
		}
		text, ok := x.Value.(string)
		if !ok || !utf8.ValidString(text) || !slices.Contains([]scim.Op{scim.Eq, scim.Co, scim.Sw, scim.Ew}, x.Op) {
			return sought{}, false
		}
		var out sought
		grams(text, mark, func(gram int64) {
			if len(out.grams) < soughtGrams && !slices.Contains(out.grams, gram) {
				out.grams = append(out.grams, gram)
			}
		})
		return out, len(out.grams) > 0
	}
	return sought{}, false
}

// each visits the texts that are looked for.
func (s *sought) each(visit func(*sought)) {
	if s.grams != nil {
		visit(s)
	}
	for i := range s.all {
		s.all[i].each(visit)
	}
	for i := range s.any {
		s.any[i].each(visit)
	}
}

// in gives the places of a pack of which it is true, as far as the first so many lists of each text tell.
func (s *sought) in(lists map[int64]*places, first int) places {
	var out places
	switch {
	case s.any != nil:
		for i := range s.any {
			other := s.any[i].in(lists, first)
			for w := range out {
				out[w] |= other[w]
			}
		}
		return out
	case s.all != nil:
		out = s.all[0].in(lists, first)
		for i := range s.all[1:] {
			other := s.all[i+1].in(lists, first)
			for w := range out {
				out[w] &= other[w]
			}
		}
		return out
	}
	for i, gram := range s.grams[:min(len(s.grams), first)] {
		list := lists[gram]
		switch {
		case list == nil:
			return places{}
		case i == 0:
			out = *list
		default:
			for w := range out {
				out[w] &= list[w]
			}
		}
	}
	return out
}

// find gives whom a filter may match; nil where the index does not help.
func (p *Push) find(ctx context.Context, f *filterSQL, x scim.Expr) (*found, error) {
	s, ok := soughtBy(x)
	if !ok || !f.users() || pointed(x) {
		return nil, nil
	}
	reached, packs, err := p.tx.nameIndex(ctx, p.Directory.ID)
	if err != nil || len(packs) == 0 {
		return nil, err
	}
	out := &found{tx: p.tx, directory: p.Directory.ID}
	if out.packs, out.n, err = p.tx.inPacks(ctx, p.Directory.ID, s, packs); err != nil {
		return nil, err
	}
	if out.beside, err = p.besidePacks(ctx, f, x, reached); err != nil {
		return nil, err
	}
	slices.Sort(out.beside)
	out.n += len(out.beside)
	return out, nil
}

// nameIndex gives what the packs of a directory reach, and the packs.
func (tx *Tx) nameIndex(ctx context.Context, dir id.Directory) (reached string, packs []int64, err error) {
	packs, err = collect[int64](tx.query(ctx, `
		select x.reached, s.pack
		from name_indexes x
		cross join name_packs s
		where x.organization = $1
			and x.directory = $2
			and s.organization = $1
			and s.directory = $2
			and s.published = true`, tx.Organization, dir))(func(s scanner) (pack int64, err error) {
		err = s.Scan(&reached, &pack)
		return pack, err
	})
	if err != nil {
		return "", nil, fmt.Errorf("read the name index of %s: %w", dir, err)
	}
	return reached, packs, nil
}

// inPacks gives the places of whom the packs name, by pack, and how many they are.
func (tx *Tx) inPacks(ctx context.Context, dir id.Directory, s sought, packs []int64) (map[int64]places, int, error) {
	// First how many records of some packs have each gram, then the lists of the rarest, of all packs.
	in := tx.d.amongFew("pack", tx.d.numbers("$3")) + "\n\t\t\tand " + tx.d.amongFew("gram", tx.d.numbers("$4"))
	var asked, some []int64
	s.each(func(s *sought) { asked = append(asked, s.grams...) })
	for i := range min(len(packs), askedPacks) {
		some = append(some, packs[i*len(packs)/min(len(packs), askedPacks)])
	}
	often := make(map[int64]int, len(asked))
	if _, err := collect[struct{}](tx.query(ctx, `
		select gram, records
		from name_grams
		where organization = $1
			and directory = $2
			and `+in, tx.Organization, dir, encode(some), encode(asked)))(func(row scanner) (none struct{}, err error) {
		var gram int64
		var n int
		err = row.Scan(&gram, &n)
		often[gram] += n
		return none, err
	}); err != nil {
		return nil, 0, fmt.Errorf("look for a part of a name: %w", err)
	}
	s.each(func(s *sought) {
		slices.SortStableFunc(s.grams, func(a, b int64) int { return often[a] - often[b] })
		s.grams = s.grams[:min(len(s.grams), rareGrams)]
	})
	lists := make(map[int64]map[int64]*places, len(packs))
	for _, pack := range packs {
		lists[pack] = map[int64]*places{}
	}
	out := make(map[int64]places, len(packs))
	n, before := len(packs)*packRecords, math.MaxInt
	for read := 0; read < rareGrams; read += gramsAtOnce {
		asked = asked[:0]
		s.each(func(s *sought) {
			asked = append(asked, s.grams[min(read, len(s.grams)):min(read+gramsAtOnce, len(s.grams))]...)
		})
		// To judge one record of each pack costs about as much as to read one list more of it, and the shorter lists came first.
		if len(asked) == 0 || n <= len(lists) || 2*n > before {
			break
		}
		if _, err := collect[struct{}](tx.query(ctx, `
		select pack, gram, list
		from name_grams
		where organization = $1
			and directory = $2
			and `+in, tx.Organization, dir, encode(slices.Sorted(maps.Keys(lists))), encode(asked)))(func(row scanner) (none struct{}, err error) {
			var pack, gram int64
			var list []byte
			if err = row.Scan(&pack, &gram, &list); err == nil {
				lists[pack][gram] = unpacked(list)
			}
			return none, err
		}); err != nil {
			return nil, 0, fmt.Errorf("look for a part of a name: %w", err)
		}
		before, n = n, 0
		for pack, of := range lists {
			set := s.in(of, read+gramsAtOnce)
			here := 0
			for _, word := range set {
				here += bits.OnesCount64(word)
			}
			if n += here; here == 0 {
				delete(lists, pack) // and whatever else is read of it
				delete(out, pack)
				continue
			}
			out[pack] = set
		}
	}
	return out, n, nil
}

// besidePacks gives the ids of those who match among the records that are in no pack, or in one that is out of date.
func (p *Push) besidePacks(ctx context.Context, f *filterSQL, x scim.Expr, reached string) ([]string, error) {
	own := &filterSQL{p: p, rt: f.rt, args: slices.Clone(f.args), within: f.within}
	condition := own.where(x)
	ids, err := column[string](p.tx.query(ctx, fmt.Sprintf(`
		select r.user_id
		from directory_records r
		where r.organization = $1
			and r.directory = $2
			and r.user_id > %s
			and (%s)
		union all
		select r.user_id
		from directory_records r
		where r.organization = $1
			and r.directory = $2
			and %s
			and (%[2]s)`, own.arg(reached), condition, p.tx.d.amongFew("r.user_id", `
				select c.user_id
				from name_changes c
				where c.organization = $1
					and c.directory = $2`)), own.args...))
	if err != nil {
		return nil, fmt.Errorf("search beside the name index: %w", err)
	}
	return ids, nil
}

// found are a list's records as far as the name index has narrowed them down.
type found struct {
	tx        *Tx
	directory id.Directory
	packs     map[int64]places
	beside    []string // those of no pack, who match; in order
	n         int      // so many at most
}

// page tells whether they serve for a page. Many only do where it is the first one.
func (c *found) page(q scim.Query) bool {
	return c != nil && (c.n <= mostFound || q.SortBy == nil && q.Count > 0 && q.Offset == 0 && q.After == "")
}

// ids gives the ids of all, in order.
func (c *found) ids(ctx context.Context) ([]string, error) { return c.first(ctx, c.n) }

// first gives the ids of the first n of them, or of a few more, in order.
func (c *found) first(ctx context.Context, n int) ([]string, error) {
	r := c.read()
	if n >= c.n {
		r.most = c.n
	}
	return r.more(ctx, n)
}

// reader reads the ids of whom the index has found, in order. The records of a pack are in order, so each is read from where the
// reader stands, until what is unread of every pack comes behind what is asked for.
type reader struct {
	of       *found
	readings map[int64]*reading
	open     []*reading // what is unread, that which was read least far first
	after    string     // the ids up to this one are left out
	ids      []string   // read, and not given yet
	most     int        // read so many of each pack at first
}

// read begins.
func (c *found) read() *reader {
	r := &reader{of: c, readings: make(map[int64]*reading, len(c.packs)), ids: slices.Clone(c.beside), most: 1}
	for pack, set := range c.packs {
		r.readings[pack] = &reading{pack: pack, set: set}
		r.open = append(r.open, r.readings[pack])
	}
	return r
}

// more gives the next n, or a few more; fewer where there are no more.
func (r *reader) more(ctx context.Context, n int) ([]string, error) {
	for {
		settled := len(r.ids)
		if len(r.open) > 0 {
			// What is unread comes behind the least of what was read last.
			settled, _ = slices.BinarySearch(r.ids, r.open[0].last+"\x00")
		}
		if len(r.open) == 0 || settled >= n {
			out := r.ids[:settled]
			r.ids = r.ids[settled:]
			return out, nil
		}
		var parts []int64
		if r.most > 0 {
			for _, of := range r.open {
				parts = of.on(parts, r.most)
			}
			r.most = 0
		} else {
			parts = r.open[0].on(parts, n)
		}
		slices.Sort(parts)
		if err := r.of.tx.readParts(ctx, r.of.directory, parts, r.take); err != nil {
			return nil, fmt.Errorf("read whom a part of a name leads to: %w", err)
		}
		r.open = slices.DeleteFunc(r.open, func(of *reading) bool { return of.next == packParts })
		slices.SortFunc(r.open, func(a, b *reading) int { return cmp.Compare(a.last, b.last) })
		slices.Sort(r.ids)
		r.ids = slices.Compact(r.ids)
	}
}

// take takes the places of a part.
func (r *reader) take(part int64, raw []byte) {
	of := r.readings[part/packParts]
	for w, word := range of.words(int(part % packParts)) {
		for ; word != 0; word &= word - 1 {
			at := 16 * (64*w + bits.TrailingZeros64(word))
			id := uuid.UUID(raw[at : at+16]).String()
			if of.last = max(of.last, id); id > r.after {
				r.ids = append(r.ids, id)
			}
		}
	}
}

// skip goes on behind an id: of each pack at the part in which it would stand.
func (r *reader) skip(ctx context.Context, after string) error {
	if after == "" {
		return nil
	}
	r.after = after
	at, _ := slices.BinarySearch(r.ids, after+"\x00")
	r.ids = r.ids[at:]
	// First where each pack begins and ends, then all parts of those it stands amid.
	var parts []int64
	for _, of := range r.open {
		parts = append(parts, of.on(nil, 1)...)
		parts = append(parts, of.pack*packParts+int64(of.end()))
		of.next = 0
	}
	behind := func(part int64, first string) {
		if of := r.readings[part/packParts]; first <= after {
			of.begun, of.next = true, max(of.next, int(part%packParts))
		}
	}
	if err := r.of.tx.beginnings(ctx, r.of.directory, parts, behind); err != nil {
		return err
	}
	parts = parts[:0]
	for _, of := range r.open {
		if of.begun && of.next < of.end() {
			parts = of.on(parts, packRecords)
			of.next = 0
		}
	}
	return r.of.tx.beginnings(ctx, r.of.directory, parts, behind)
}

// beginnings gives the first id of each of some rows of ids.
func (tx *Tx) beginnings(ctx context.Context, dir id.Directory, parts []int64, each func(part int64, first string)) error {
	if len(parts) == 0 {
		return nil
	}
	_, err := collect[struct{}](tx.query(ctx, `
		select part, substr(ids, 1, 16)
		from name_ids
		where organization = $1
			and directory = $2
			and `+tx.d.amongFew("part", tx.d.numbers("$3")), tx.Organization, dir, encode(parts)))(func(s scanner) (none struct{}, err error) {
		var part int64
		var first []byte
		if err = s.Scan(&part, &first); err == nil {
			each(part, uuid.UUID(first).String())
		}
		return none, err
	})
	if err != nil {
		return fmt.Errorf("look where whom a part of a name leads to begins: %w", err)
	}
	return nil
}

// reading is how far the places of a pack have been read.
type reading struct {
	pack int64
	set  places
	next int    // the part to go on with
	last string // the id read last
	// begun says that some of it stands before where the reader goes on.
	begun bool
}

// end is the last part where there is anything.
func (r *reading) end() int {
	for part := packParts - 1; part > 0; part-- {
		if slices.ContainsFunc(r.words(part), func(word uint64) bool { return word != 0 }) {
			return part
		}
	}
	return 0
}

// words are the places of a part.
func (r *reading) words(part int) []uint64 {
	const words = partRecords / 64
	return r.set[part*words : (part+1)*words]
}

// on reads on up to as many places, or the end: it adds the parts where they are.
func (r *reading) on(parts []int64, most int) []int64 {
	for ; r.next < packParts; r.next++ {
		here := 0
		for _, word := range r.words(r.next) {
			here += bits.OnesCount64(word)
		}
		switch {
		case here == 0:
			continue
		case most <= 0:
			return parts
		}
		most -= here
		parts = append(parts, r.pack*packParts+int64(r.next))
	}
	return parts
}

// among is the condition that a record is one of these.
func (f *filterSQL) among(ids []string) string {
	return f.p.tx.d.amongFew("r.user_id", f.p.tx.d.elements(f.arg(encode(append([]string{}, ids...)))))
}

// list answers a page in the store's own order. The filter, which stands in from, judges each of them: so many at once that a
// page is soon full.
func (c *found) list(ctx context.Context, p *Push, f *filterSQL, q scim.Query, from string) (*scim.Page, error) {
	args := f.args
	of := func(part []string) string {
		f.args = slices.Clone(args)
		return from + "\n\t\t\t\tand " + f.among(part)
	}
	key := fmt.Sprintf("%s %q", from, args)
	n, counted := p.tx.db.totals.get(key, p.tx.db.now())
	// The first page of many need not name all of them, where they were counted a moment ago or are too many to count like this.
	if q.Count > 0 && q.Offset == 0 && q.After == "" && (c.n > mostFound || counted && c.n > fewFound) {
		early, err := c.first(ctx, earlyFound*(q.Count+1))
		if err != nil {
			return nil, err
		}
		page := &scim.Page{}
		part := early[:min(len(early), earlyFound*(q.Count+1))]
		if err := p.page(ctx, f, page, q, nil, "0", of(part), f.idColumn()); err != nil {
			return nil, err
		}
		if page.More {
			if !counted {
				n, err = p.total(ctx, from, args, exactFound)
			}
			page.Total = max(n, len(page.Resources)+1)
			return page, err
		}
	}
	if c.n > mostFound {
		f.args = args
		return p.inOrder(ctx, f, q, from)
	}
	ids, err := c.ids(ctx)
	if err != nil {
		return nil, err
	}
	count := func(ids []string) (n int, err error) {
		for part := range slices.Chunk(ids, fewFound) {
			var m int
			text := of(part)
			if err := p.tx.queryRow(ctx, `
			select count(*)`+text, f.args...).Scan(orZero(&m)); err != nil {
				return 0, fmt.Errorf("count: %w", err)
			}
			n += m
		}
		return n, nil
	}
	page := &scim.Page{}
	rest, skip := ids, q.Offset
	if q.After != "" {
		at, _ := slices.BinarySearch(ids, q.After+"\x00")
		rest, skip = ids[at:], 0
	}
	for part := range slices.Chunk(rest, fewFound) {
		if q.Count == 0 || page.More {
			break
		}
		if skip > 0 {
			n, err := count(part)
			if err != nil {
				return nil, err
			}
			if n <= skip {
				skip -= n
				continue
			}
		}
		here := q
		here.Offset, here.After = skip, ""
		if err := p.page(ctx, f, page, here, nil, "0", of(part), f.idColumn()); err != nil {
			return nil, err
		}
		skip = 0
	}
	known, all := len(page.Resources), ids
	switch {
	case q.Count > 0 && q.After != "":
		known, all = q.Before+known, rest
	case q.Count > 0:
		known += q.Offset
	}
	if q.Count > 0 && !page.More && (q.After != "" || len(page.Resources) > 0 || q.Offset == 0) {
		page.Total = known
		return page, nil
	}
	// Of many, the total of a moment ago serves, and says it for a walk as well.
	if counted {
		page.Total = max(n, known)
		return page, nil
	}
	if len(rest) > exactFound {
		all = ids
	}
	began := time.Now()
	if n, err = count(all); err != nil {
		return nil, err
	}
	switch {
	case n > exactFound:
		p.tx.db.totals.put(key, n, p.tx.db.now(), time.Since(began))
		page.Total = max(n, known)
	case len(all) < len(ids):
		page.Total = q.Before + n
	default:
		page.Total = n
	}
	return page, nil
}

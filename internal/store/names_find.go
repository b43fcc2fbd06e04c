package store

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

const (
	// rareGrams is how many lists of a pack are read for each text that is looked for: the shortest ones.
	rareGrams = 4
	// mostFound is how many records the index may name. Where more may match, the list's own order meets them soon.
	mostFound = 20_000
	// fewFound is up to where all of them are named in the list's statement.
	fewFound = 1000
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
			if !slices.Contains(out.grams, gram) {
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

// in gives the places of a pack of which it is true.
func (s *sought) in(lists map[int64]*places) places {
	var out places
	switch {
	case s.any != nil:
		for i := range s.any {
			other := s.any[i].in(lists)
			for w := range out {
				out[w] |= other[w]
			}
		}
		return out
	case s.all != nil:
		out = s.all[0].in(lists)
		for i := range s.all[1:] {
			other := s.all[i+1].in(lists)
			for w := range out {
				out[w] &= other[w]
			}
		}
		return out
	}
	for i, gram := range s.grams {
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

// find gives the ids of all records that a filter may match, in order; false where the index does not help.
func (p *Push) find(ctx context.Context, f *filterSQL, x scim.Expr) (found, bool, error) {
	s, ok := soughtBy(x)
	if !ok || !f.users() || pointed(x) {
		return nil, false, nil
	}
	reached, packs, err := p.tx.nameIndex(ctx, p.Directory.ID)
	if err != nil || len(packs) == 0 {
		return nil, false, err
	}
	ids, ok, err := p.tx.inPacks(ctx, p.Directory.ID, s, packs)
	if err != nil || !ok {
		return nil, false, err
	}
	beside, err := p.besidePacks(ctx, f, x, reached)
	if err != nil || len(ids)+len(beside) > mostFound {
		return nil, false, err
	}
	ids = append(ids, beside...)
	slices.Sort(ids)
	return slices.Compact(ids), true, nil
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

// inPacks gives the ids of whom the packs name; false where they are too many.
func (tx *Tx) inPacks(ctx context.Context, dir id.Directory, s sought, packs []int64) ([]string, bool, error) {
	// First how many records of each pack have each gram, then the lists of the rarest.
	var asked []int64
	s.each(func(s *sought) { asked = append(asked, s.grams...) })
	in := tx.d.amongFew("pack", tx.d.numbers("$3")) + "\n\t\t\tand " + tx.d.amongFew("gram", tx.d.numbers("$4"))
	often := make(map[int64]int, len(asked))
	if _, err := collect[struct{}](tx.query(ctx, `
		select gram, records
		from name_grams
		where organization = $1
			and directory = $2
			and `+in, tx.Organization, dir, encode(packs), encode(asked)))(func(row scanner) (none struct{}, err error) {
		var gram int64
		var n int
		err = row.Scan(&gram, &n)
		often[gram] += n
		return none, err
	}); err != nil {
		return nil, false, fmt.Errorf("look for a part of a name: %w", err)
	}
	asked = asked[:0]
	s.each(func(s *sought) {
		slices.SortFunc(s.grams, func(a, b int64) int { return often[a] - often[b] })
		s.grams = s.grams[:min(len(s.grams), rareGrams)]
		asked = append(asked, s.grams...)
	})
	lists := make(map[int64]map[int64]*places, len(packs))
	if _, err := collect[struct{}](tx.query(ctx, `
		select pack, gram, list
		from name_grams
		where organization = $1
			and directory = $2
			and `+in, tx.Organization, dir, encode(packs), encode(asked)))(func(row scanner) (none struct{}, err error) {
		var pack, gram int64
		var list []byte
		if err = row.Scan(&pack, &gram, &list); err == nil {
			if lists[pack] == nil {
				lists[pack] = make(map[int64]*places, len(asked))
			}
			lists[pack][gram] = unpacked(list)
		}
		return none, err
	}); err != nil {
		return nil, false, fmt.Errorf("look for a part of a name: %w", err)
	}
	found := 0
	wanted := map[int64][]int{} // by the row of ids, the places in it
	var parts []int64
	for pack, of := range lists {
		set := s.in(of)
		for w, word := range set {
			found += bits.OnesCount64(word)
			for ; word != 0; word &= word - 1 {
				place := 64*w + bits.TrailingZeros64(word)
				part := pack*packParts + int64(place/partRecords)
				if wanted[part] == nil {
					parts = append(parts, part)
				}
				wanted[part] = append(wanted[part], place%partRecords)
			}
		}
		if found > mostFound {
			return nil, false, nil
		}
	}
	ids := make([]string, 0, found)
	if len(parts) == 0 {
		return ids, true, nil
	}
	slices.Sort(parts)
	err := tx.readParts(ctx, dir, parts, func(part int64, raw []byte) {
		for _, place := range wanted[part] {
			ids = append(ids, uuid.UUID(raw[16*place:16*place+16]).String())
		}
	})
	if err != nil {
		return nil, false, fmt.Errorf("read whom a part of a name leads to: %w", err)
	}
	return ids, true, nil
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

// found are the ids of a list's records as far as the name index has narrowed them down, in order.
type found []string

// here is the condition that a record is one of them.
func (ids found) here(f *filterSQL) string {
	return f.p.tx.d.amongFew("r.user_id", f.p.tx.d.elements(f.arg(encode(append(found{}, ids...)))))
}

// list answers a page in the store's own order. The filter, which stands in from, judges each of them: so many at once that a
// page is soon full.
func (ids found) list(ctx context.Context, p *Push, f *filterSQL, q scim.Query, from string) (*scim.Page, error) {
	args := f.args
	of := func(part found) string {
		f.args = slices.Clone(args)
		return from + "\n\t\t\t\tand " + part.here(f)
	}
	count := func(ids found) (n int, err error) {
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
	key := fmt.Sprintf("%s %q", from, args)
	n, counted := p.tx.db.totals.get(key, p.tx.db.now())
	if counted {
		page.Total = max(n, known)
		return page, nil
	}
	if len(rest) > exactTotal {
		all = ids
	}
	began := time.Now()
	n, err := count(all)
	if err != nil {
		return nil, err
	}
	switch {
	case n > exactTotal:
		p.tx.db.totals.put(key, n, p.tx.db.now(), time.Since(began))
		page.Total = max(n, known)
	case len(all) < len(ids):
		page.Total = q.Before + n
	default:
		page.Total = n
	}
	return page, nil
}

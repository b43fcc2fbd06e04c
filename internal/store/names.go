package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// Who searches a directory for a part of a userName or a displayName reads its name index first. PostgreSQL's own trigram
// index could not serve: row-level security keeps every condition that might leak away from rows it has not judged, and "like"
// is one that might; and it would mix the names of all organizations in one index. So the index is rows like all others: a pack
// lists, for each three characters in a row, which of its records have them. It says who may match, never who does: the
// filter itself still judges each record as it is now, so that what is out of date in a pack costs time and is no wrong answer.
//
// Nobody may be missing, though. A pack is made of many records at once, in the background; what is in no pack yet is
// searched one by one. Those are the records whose ids come after what was reached, and those noted in name_changes. Ids grow
// with time, so new people come last by themselves and a push writes nothing here. A push that changes a name, or that
// stores an id below the fence (a record for a user who was here before), notes it. The fence is raised while nobody writes
// in the organization, and the records up to it are read after that: whoever is read as below it then is committed, and
// whoever comes later sees it.
//
// The organization's people, whom administrators search by a part of a name, a userName or an address, have an index like a
// directory's (names_people.go). A user has many doors to be renamed by, so a trigger notes it.

// people stands where a directory's id does, for the index of all users of an organization.
const people id.Directory = ""

// The measures of the name index.
const (
	// packRecords is how many records a pack has at most. A record's place in it fits two bytes, and a list of all of them 2 kB.
	packRecords = 1 << 14
	// partRecords is how many ids stand in one row: what is read of a pack for each record that may match.
	partRecords  = 128
	packParts    = packRecords / partRecords
	gramLength   = 3
	gramRows     = 2000 // of a pack, in one transaction: SQLite's writer serves others in between
	changesRead  = packRecords
	smallPacks   = 8 // more of them than this are made into one
	abandonedAge = 10 * time.Minute
)

// WorthIndexing is how many records outside of packs make a pack worth while. A search reads as many in about a millisecond.
const WorthIndexing = 1024

// The marks tell the grams of one attribute from those of the other: 63 bits are the characters, one is the mark.
const (
	userNameMark    int64 = 0
	displayNameMark int64 = math.MinInt64
)

// grams gives each three characters in a row of a text, as numbers: three code points of 21 bits.
func grams(text string, mark int64, into func(int64)) {
	var window int64
	n := 0
	for _, r := range text {
		window = (window<<21 | int64(r)) & math.MaxInt64
		if n++; n >= gramLength {
			into(window | mark)
		}
	}
}

// shortGrams gives each one, two and three characters in a row of a text.
func shortGrams(text string, into func(int64)) {
	var one, two int64
	n := 0
	for _, r := range text {
		three := (two<<21 | int64(r)) & math.MaxInt64
		two = (one<<21 | int64(r))
		one = int64(r)
		into(one)
		if n++; n >= 2 {
			into(two)
		}
		if n >= gramLength {
			into(three)
		}
	}
}

// pack is one under way.
type pack struct {
	ids   []uuid.UUID
	lists map[int64][]uint16
}

func newPack() *pack { return &pack{lists: map[int64][]uint16{}} }

func (p *pack) add(r *namedRecord) error {
	u, err := uuid.Parse(r.id)
	if err != nil || u.String() != r.id {
		return fmt.Errorf("the id %q of a record is no UUID", r.id)
	}
	place := uint16(len(p.ids)) // below packRecords
	p.ids = append(p.ids, u)
	into := func(gram int64) {
		if list := p.lists[gram]; len(list) == 0 || list[len(list)-1] != place {
			p.lists[gram] = append(list, place)
		}
	}
	r.grams(into)
	return nil
}

// places is a set of places in a pack.
type places [packRecords / 64]uint64

// packed writes a list: the places one after the other, or a bit for each place, whichever is shorter.
func packed(list []uint16) []byte {
	if 2*len(list) < packRecords/8 {
		out := make([]byte, 0, 2*len(list))
		for _, place := range list {
			out = binary.LittleEndian.AppendUint16(out, place)
		}
		return out
	}
	out := make([]byte, packRecords/8)
	for _, place := range list {
		out[place/8] |= 1 << (place % 8)
	}
	return out
}

// unpacked reads what packed wrote.
func unpacked(raw []byte) *places {
	var out places
	if len(raw) < packRecords/8 {
		for ; len(raw) >= 2; raw = raw[2:] {
			place := binary.LittleEndian.Uint16(raw)
			out[place/64%uint16(len(out))] |= 1 << (place % 64)
		}
		return &out
	}
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	return &out
}

// IndexNames makes packs of the records that are in none, in every directory where there are at least so many. Nodes may do
// it at the same time: who comes second with a directory's next pack throws it away.
func (db *DB) IndexNames(ctx context.Context, least int) error {
	type due struct {
		organization id.Organization
		directory    id.Directory
	}
	var list []due
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		list, err = collect[due](tx.lastQuery(ctx, `
			select d.organization, d.id
			from directories d
			where (
					select count(*)
					from (
						select 1
						from directory_records r
						where r.organization = d.organization
							and r.directory = d.id
							and r.user_id > coalesce((
								select x.reached
								from name_indexes x
								where x.organization = d.organization
									and x.directory = d.id), '')
						limit cast($1 as bigint)) s) >= cast($1 as bigint)
				or (
					select count(*)
					from (
						select 1
						from name_changes c
						where c.organization = d.organization
							and c.directory = d.id
						limit cast($1 as bigint)) s) >= cast($1 as bigint)
			order by d.organization, d.id`, least))(func(s scanner) (d due, err error) {
			err = s.Scan(&d.organization, &d.directory)
			return d, err
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("look for names to index: %w", err)
	}
	var failed []error
	for _, d := range list {
		if err := db.indexNames(ctx, d.organization, d.directory, least); err != nil {
			failed = append(failed, fmt.Errorf("index the names of %s/%s: %w", d.organization, d.directory, err))
		}
	}
	return errors.Join(failed...)
}

// IndexPeople does the same for the users of every organization.
func (db *DB) IndexPeople(ctx context.Context, least int) error {
	var list []id.Organization
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		list, err = column[id.Organization](tx.lastQuery(ctx, `
			select o.organization
			from organizations o
			where (
					select count(*)
					from (
						select 1
						from users u
						where u.organization = o.organization
							and u.id > coalesce((
								select x.reached
								from name_indexes x
								where x.organization = o.organization
									and x.directory = ''), '')
						limit cast($1 as bigint)) s) >= cast($1 as bigint)
				or (
					select count(*)
					from (
						select 1
						from name_changes c
						where c.organization = o.organization
							and c.directory = ''
						limit cast($1 as bigint)) s) >= cast($1 as bigint)
			order by o.organization`, least))
		return err
	})
	if err != nil {
		return fmt.Errorf("look for people to index: %w", err)
	}
	var failed []error
	for _, org := range list {
		if err := db.indexNames(ctx, org, people, least); err != nil {
			failed = append(failed, fmt.Errorf("index the people of %s: %w", org, err))
		}
	}
	return errors.Join(failed...)
}

// errOvertaken says that another node has made the same pack.
var errOvertaken = errors.New("another node was faster")

func (db *DB) indexNames(ctx context.Context, org id.Organization, dir id.Directory, least int) error {
	if err := db.raiseFence(ctx, org, dir); err != nil {
		return err
	}
	if err := db.dropPacks(ctx, org, dir); err != nil {
		return err
	}
	again := true
	for again {
		var batch nameBatch
		err := db.Read(ctx, org, func(tx *Tx) (err error) {
			batch, err = tx.namesToIndex(ctx, dir, least)
			return err
		})
		if err != nil || len(batch.records)+len(batch.changed) == 0 {
			return err
		}
		again = batch.more
		if err := db.storePack(ctx, org, dir, batch); err != nil {
			if errors.Is(err, errOvertaken) {
				return nil
			}
			return err
		}
	}
	return db.dropPacks(ctx, org, dir)
}

// raiseFence makes everybody who is here the business of packs.
func (db *DB) raiseFence(ctx context.Context, org id.Organization, dir id.Directory) error {
	err := db.System().Write(ctx, func(system *SystemTx) error {
		tx := system.In(org)
		if sql := tx.d.impatient(); sql != "" {
			tx.queue(sql) // pushes wait behind this one; it comes back in a while
		}
		tx.alone()
		tx.queue(`
			insert into name_indexes (organization, directory, fence, reached, version, packs)
			select d.organization, d.directory, coalesce((
					select max(r.user_id)
					from `+nameSource(dir)+` r
					where r.organization = $1
						and r.directory = $2), ''), '', 1, 0
			from `+nameOwner(dir)+` d
			where d.organization = $1
				and d.directory = $2
			on conflict (organization, directory) do update
			set fence = excluded.fence
			where excluded.fence > name_indexes.fence`, org, dir)
		return nil
	})
	if waitedTooLong(err) {
		return nil // what was below the fence before is worth a pack as well
	}
	return err
}

// nameSource are the records of a directory, or the people of an organization in their place.
func nameSource(dir id.Directory) string {
	if dir == people {
		return `(
				select u.organization, '' as directory, u.id as user_id, u.user_name_key, u.display_name as display_name_key, u.email_key
				from users u)`
	}
	return `(
				select d.organization, d.directory, d.user_id, d.user_name_key, d.display_name_key, null as email_key
				from directory_records d)`
}

// nameOwner is what an index is of and goes with: a directory, or an organization.
func nameOwner(dir id.Directory) string {
	if dir == people {
		return `(
				select organization, '' as directory
				from organizations)`
	}
	return `(
				select organization, id as directory
				from directories)`
}

// namedRecord is a record as the index sees it, or a user.
type namedRecord struct {
	id, userName, displayName, email string
	user                             bool
}

// grams gives what a record is listed by. A user's texts are searched together, and by one or two characters as well.
func (r *namedRecord) grams(into func(int64)) {
	if !r.user {
		grams(r.userName, userNameMark, into)
		grams(r.displayName, displayNameMark, into)
		return
	}
	shortGrams(r.userName, into)
	shortGrams(scim.Fold(r.displayName), into)
	if r.email != r.userName {
		shortGrams(r.email, into)
	}
}

const namedColumns = "r.user_id, r.user_name_key, r.display_name_key, r.email_key"

func scanNamed(dir id.Directory) func(s scanner) (namedRecord, error) {
	return func(s scanner) (namedRecord, error) {
		r := namedRecord{user: dir == people}
		err := s.Scan(&r.id, &r.userName, orEmpty(&r.displayName), orEmpty(&r.email))
		return r, err
	}
}

// changedName is a note that a record's name has changed, and how often it was made.
type changedName struct {
	id    string
	times int64
}

// nameBatch is what goes into one pack.
type nameBatch struct {
	records []namedRecord
	version int64         // of the index, as it was read
	reached string        // up to where no record is outside of packs, with this one
	changed []changedName // what the pack settles
	instead []int64       // packs that it takes the place of
	anew    bool          // nothing of what is there stays: it is mostly out of date
	more    bool
}

// namesToIndex reads the next batch, of one moment.
func (tx *Tx) namesToIndex(ctx context.Context, dir id.Directory, least int) (b nameBatch, err error) {
	var fence string
	err = tx.queryRow(ctx, `
		select fence, reached, version
		from name_indexes
		where organization = $1
			and directory = $2`, tx.Organization, dir).Scan(&fence, &b.reached, &b.version)
	if errors.Is(err, errNoRows) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	b.records, err = collect[namedRecord](tx.query(ctx, `
		select `+namedColumns+`
		from `+nameSource(dir)+` r
		where r.organization = $1
			and r.directory = $2
			and r.user_id > $3
			and r.user_id <= $4
		order by r.user_id
		limit cast($5 as bigint)`, tx.Organization, dir, b.reached, fence, packRecords))(scanNamed(dir))
	if err != nil {
		return b, err
	}
	if b.more = len(b.records) == packRecords; b.more {
		b.reached = b.records[packRecords-1].id
		return b, nil
	}
	behind := len(b.records)
	b.reached = max(b.reached, fence)
	if b.changed, err = collect[changedName](tx.query(ctx, `
		select user_id, times
		from name_changes
		where organization = $1
			and directory = $2
		order by user_id
		limit cast($3 as bigint)`, tx.Organization, dir, packRecords-behind))(func(s scanner) (c changedName, err error) {
		err = s.Scan(&c.id, &c.times)
		return c, err
	}); err != nil {
		return b, err
	}
	if behind+len(b.changed) < least {
		return nameBatch{}, nil
	}
	ids := make([]string, len(b.changed))
	for i, c := range b.changed {
		ids[i] = c.id
	}
	if err := tx.addNamed(ctx, dir, &b, ids); err != nil {
		return b, err
	}
	b.more = len(b.changed) >= least && len(b.changed) == packRecords-behind
	return b, tx.unite(ctx, dir, &b)
}

// addNamed adds records to a batch by their ids: those of them who are still there and not in it.
func (tx *Tx) addNamed(ctx context.Context, dir id.Directory, b *nameBatch, ids []string) error {
	found, err := collect[namedRecord](tx.query(ctx, `
		select `+namedColumns+`
		from `+nameSource(dir)+` r
		where r.organization = $1
			and r.directory = $2
			and `+tx.d.amongFew("r.user_id", tx.d.elements("$3")), tx.Organization, dir, encode(append([]string{}, ids...))))(scanNamed(dir))
	if err != nil {
		return err
	}
	b.records = append(b.records, found...)
	slices.SortFunc(b.records, func(a, b namedRecord) int { return cmp.Compare(a.id, b.id) })
	b.records = slices.CompactFunc(b.records, func(a, b namedRecord) bool { return a.id == b.id })
	return nil
}

// unite takes what small packs hold into a batch, where there are many of them: each pack is looked into by each search.
// Where the packs hold twice as many records as there are, most of them are out of date and all is made anew.
func (tx *Tx) unite(ctx context.Context, dir id.Directory, b *nameBatch) error {
	packs, err := tx.publishedPacks(ctx, dir)
	if err != nil {
		return err
	}
	var all, here int
	var small []int64
	room := packRecords - len(b.records)
	few := 0
	for _, p := range packs {
		if all += p.records; p.records < packRecords/2 {
			if few++; p.records <= room {
				small, room = append(small, p.number), room-p.records
			}
		}
	}
	if len(b.changed) > 0 && all > packRecords {
		if err := tx.queryRow(ctx, `
			select count(*)
			from `+nameSource(dir)+` r
			where r.organization = $1
				and r.directory = $2`, tx.Organization, dir).Scan(&here); err != nil {
			return err
		}
		if b.anew = all > 2*here; b.anew {
			return nil
		}
	}
	if few <= smallPacks {
		return nil
	}
	var ids []string
	for _, p := range packs {
		if !slices.Contains(small, p.number) {
			continue
		}
		parts := make([]int64, 0, packParts)
		for part := range int64((p.records + partRecords - 1) / partRecords) {
			parts = append(parts, p.number*packParts+part)
		}
		err := tx.readParts(ctx, dir, parts, func(_ int64, raw []byte) {
			for ; len(raw) >= 16; raw = raw[16:] {
				ids = append(ids, uuid.UUID(raw[:16]).String())
			}
		})
		if err != nil {
			return err
		}
	}
	b.instead = small
	return tx.addNamed(ctx, dir, b, ids)
}

// publishedPack is a pack that searches look into.
type publishedPack struct {
	number  int64
	records int
}

func (tx *Tx) publishedPacks(ctx context.Context, dir id.Directory) ([]publishedPack, error) {
	return collect[publishedPack](tx.query(ctx, `
		select pack, records
		from name_packs
		where organization = $1
			and directory = $2
			and published = true
		order by pack`, tx.Organization, dir))(func(s scanner) (p publishedPack, err error) {
		err = s.Scan(&p.number, &p.records)
		return p, err
	})
}

// readParts reads rows of ids.
func (tx *Tx) readParts(ctx context.Context, dir id.Directory, parts []int64, each func(part int64, ids []byte)) error {
	_, err := collect[struct{}](tx.query(ctx, `
		select part, ids
		from name_ids
		where organization = $1
			and directory = $2
			and `+tx.d.amongFew("part", tx.d.numbers("$3")), tx.Organization, dir, encode(parts)))(func(s scanner) (none struct{}, err error) {
		var part int64
		var ids []byte
		if err = s.Scan(&part, &ids); err == nil {
			each(part, ids)
		}
		return none, err
	})
	return err
}

// storePack writes a pack, in several transactions, and lets searches see it with the last one.
func (db *DB) storePack(ctx context.Context, org id.Organization, dir id.Directory, b nameBatch) error {
	if b.anew {
		return db.write(ctx, org, dir, b.version, func(tx *Tx) error {
			tx.queue(`
				update name_packs
				set published = false, made = 0
				where organization = $1
					and directory = $2`, org, dir)
			tx.queue(`
				delete from name_changes
				where organization = $1
					and directory = $2`, org, dir)
			tx.queue(`
				update name_indexes
				set reached = '', fence = ''
				where organization = $1
					and directory = $2`, org, dir)
			return nil
		})
	}
	if len(b.records) == 0 { // whoever was changed has gone since
		return db.publish(ctx, org, dir, b, 0)
	}
	made := newPack()
	for i := range b.records {
		if err := made.add(&b.records[i]); err != nil {
			return err
		}
	}
	var number int64
	err := db.Write(ctx, org, func(tx *Tx) error {
		err := tx.queryRow(ctx, `
			update name_indexes
			set packs = packs + 1
			where organization = $1
				and directory = $2
			returning packs`, org, dir).Scan(&number)
		if errors.Is(err, errNoRows) {
			return errOvertaken // the directory is gone
		}
		tx.queue(`
			insert into name_packs (organization, directory, pack, records, published, made)
			values ($1, $2, $3, $4, false, $5)`, org, dir, number, len(made.ids), micros(tx.now))
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(made.lists)), gramRows) {
		if err := db.Write(ctx, org, func(tx *Tx) error {
			rows := make([][]any, len(part))
			for i, gram := range part {
				rows[i] = []any{gram, len(made.lists[gram]), packed(made.lists[gram])}
			}
			tx.queueRows("insert into name_grams (organization, directory, pack, gram, records, list)", []any{org, dir, number}, rows)
			return nil
		}); err != nil {
			return err
		}
	}
	if err := db.Write(ctx, org, func(tx *Tx) error {
		var rows [][]any
		for part := range slices.Chunk(made.ids, partRecords) {
			raw := make([]byte, 0, 16*len(part))
			for _, u := range part {
				raw = append(raw, u[:]...)
			}
			rows = append(rows, []any{number*packParts + int64(len(rows)), raw})
		}
		tx.queueRows("insert into name_ids (organization, directory, part, ids)", []any{org, dir}, rows)
		return nil
	}); err != nil {
		return err
	}
	return db.publish(ctx, org, dir, b, number)
}

// publish lets searches look into a pack, if there is one, from the moment on in which they stop to look at its records.
func (db *DB) publish(ctx context.Context, org id.Organization, dir id.Directory, b nameBatch, number int64) error {
	return db.write(ctx, org, dir, b.version, func(tx *Tx) error {
		if number > 0 {
			n, err := tx.exec(ctx, `
				update name_packs
				set published = true
				where organization = $1
					and directory = $2
					and pack = $3`, org, dir, number)
			if err == nil && n == 0 {
				err = errOvertaken // it took so long that somebody has thrown it away
			}
			if err != nil {
				return err
			}
		}
		tx.queue(`
			update name_indexes
			set reached = $3
			where organization = $1
				and directory = $2`, org, dir, b.reached)
		for _, old := range b.instead {
			tx.queue(`
				update name_packs
				set published = false, made = 0
				where organization = $1
					and directory = $2
					and pack = $3`, org, dir, old)
		}
		// A note that was made once more meanwhile stays.
		for _, c := range b.changed {
			tx.queue(`
				delete from name_changes
				where organization = $1
					and directory = $2
					and user_id = $3
					and times = $4`, org, dir, c.id, c.times)
		}
		return nil
	})
}

// write changes an index that is still as it was read.
func (db *DB) write(ctx context.Context, org id.Organization, dir id.Directory, version int64, fn func(tx *Tx) error) error {
	return db.Write(ctx, org, func(tx *Tx) error {
		n, err := tx.exec(ctx, `
			update name_indexes
			set version = version + 1
			where organization = $1
				and directory = $2
				and version = $3`, org, dir, version)
		if err == nil && n == 0 {
			err = errOvertaken
		}
		if err != nil {
			return err
		}
		return fn(tx)
	})
}

// dropPacks deletes what no search looks into: packs whose place others took, and those whose maker died.
func (db *DB) dropPacks(ctx context.Context, org id.Organization, dir id.Directory) error {
	var gone []int64
	err := db.Read(ctx, org, func(tx *Tx) (err error) {
		gone, err = column[int64](tx.lastQuery(ctx, `
			select pack
			from name_packs
			where organization = $1
				and directory = $2
				and published = false
				and made < $3`, org, dir, micros(tx.now.Add(-abandonedAge))))
		return err
	})
	if err != nil {
		return err
	}
	for _, number := range gone {
		for left := int64(gramRows); left == gramRows; {
			err := db.Write(ctx, org, func(tx *Tx) (err error) {
				left, err = tx.exec(ctx, `
					delete from name_grams
					where organization = $1
						and directory = $2
						and pack = $3
						and gram in (
							select gram
							from name_grams
							where organization = $1
								and directory = $2
								and pack = $3
							limit cast($4 as bigint))`, org, dir, number, gramRows)
				return err
			})
			if err != nil {
				return err
			}
		}
		if err := db.Write(ctx, org, func(tx *Tx) error {
			tx.queue(`
				delete from name_ids
				where organization = $1
					and directory = $2
					and part >= $3
					and part < $4`, org, dir, number*packParts, (number+1)*packParts)
			tx.queue(`
				delete from name_packs
				where organization = $1
					and directory = $2
					and pack = $3`, org, dir, number)
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// noteName notes that somebody's name is not, or no longer, what a pack of the directory or of the people may say. Behind the
// fence it goes without saying.
func (tx *Tx) noteName(dir id.Directory, user id.User) {
	tx.queue(`
		insert into name_changes (organization, directory, user_id, times)
		select x.organization, x.directory, $3, 1
		from name_indexes x
		where x.organization = $1
			and x.directory in ($2, '')
			and x.fence >= $3
		on conflict (organization, directory, user_id) do update
		set times = name_changes.times + 1`, tx.Organization, dir, user)
}

// queueRows inserts many rows that begin with the same values, in statements of few shapes: each is prepared once.
func (w *work) queueRows(insert string, same []any, rows [][]any) {
	for _, size := range []int{256, 32, 1} {
		for len(rows) >= size {
			args := slices.Clone(same)
			var b strings.Builder
			b.WriteString(insert + " values ")
			for i, row := range rows[:size] {
				if i > 0 {
					b.WriteString(", ")
				}
				b.WriteString("(")
				for j := range same {
					fmt.Fprintf(&b, "$%d, ", j+1)
				}
				for j := range row {
					if j > 0 {
						b.WriteString(", ")
					}
					fmt.Fprintf(&b, "$%d", len(args)+j+1)
				}
				b.WriteString(")")
				args = append(args, row...)
			}
			w.queue(b.String(), args...)
			rows = rows[size:]
		}
	}
}

// numbers is elements for an array of numbers.
func (d dialect) numbers(placeholder string) string {
	return "select cast(v.n as bigint) from (" + d.elements(placeholder, "n") + ") v"
}

// impatient lets a transaction wait only shortly for locks, or is "".
func (d dialect) impatient() string {
	if d == postgresDialect {
		return `select set_config('lock_timeout', '500ms', true)`
	}
	return ""
}

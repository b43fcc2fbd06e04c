package store_test

import (
	"testing"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// uniques lists every unique rule of the schema as name and columns. SQLite knows no names for what a table declares
// itself, so there the columns are the name too.
var uniques = map[storetest.Kind]string{
	storetest.SQLite: `
		select '', (
			select group_concat(name, ', ')
			from (
				select t.name || '.' || i.name as name
				from pragma_index_info(l.name) i
				order by i.seqno))
		from sqlite_master t
		join pragma_index_list(t.name) l
		where t.type = 'table'
		and l."unique" = 1`,
	storetest.Postgres: `
		select n.relname, (
			select string_agg(t.relname || '.' || a.attname, ', ' order by k.position)
			from unnest(i.indkey) with ordinality k (number, position)
			join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number)
		from pg_index i
		join pg_class n on n.oid = i.indexrelid
		join pg_class t on t.oid = i.indrelid
		where i.indisunique
		and t.relnamespace = 'public'::regnamespace`,
}

func TestViolation_EverySentenceBelongsToARuleOfTheSchema(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db := storetest.Open(t, kind)
		named, columns := map[string]string{}, map[string]bool{}
		err := db.System().Read(t.Context(), func(tx *store.SystemTx) error {
			rows, err := tx.Query(t.Context(), uniques[kind])
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var n, c string
				if err := rows.Scan(&n, &c); err != nil {
					return err
				}
				named[n], columns[c] = c, true
			}
			return rows.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range store.ConstraintColumns() {
			if kind == storetest.Postgres && named[name] != want {
				t.Errorf("%s is a rule over %q, want %q", name, named[name], want)
			}
			if !columns[want] {
				t.Errorf("no rule is over %s", want)
			}
		}
	})
}

// PostgreSQL takes no NUL and nothing that is not UTF-8. What somebody typed is their mistake, not a failure of ours.
func TestQuery_TextThatIsNoneIsNotOurFailure(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, text := range []id.User{"a\x00b", "a\xff"} {
			err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				_, err := tx.User(t.Context(), text)
				return err
			})
			if kind := fault.KindOf(err); kind != fault.NotFound && kind != fault.Invalid {
				t.Errorf("%q: got %v of kind %s", text, err, kind)
			}
		}
	})
}

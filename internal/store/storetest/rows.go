package storetest

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/vestibule-id/vestibule/internal/store"
)

// watchers are those who look into the stores of tests from outside.
var watchers sync.Map // of *store.DB to *watcher

// watcher reads a store behind its back, as nobody in the house may: every row of every table, of all organizations.
type watcher struct {
	url   string
	query func(ctx context.Context, sql string) ([][2]string, error)
	close func()
	rows  string // the statement that reads everything
	err   error
	once  sync.Once
}

func watch(t testing.TB, db *store.DB, url string) {
	w := &watcher{url: url}
	watchers.Store(db, w)
	t.Cleanup(func() {
		watchers.Delete(db)
		if w.close != nil {
			w.close()
		}
	})
}

// Rows gives every row of the store by its table, but for the tables named: what a refused act has to leave as it was.
func Rows(t testing.TB, db *store.DB, except ...string) map[string][]string {
	t.Helper()
	found, ok := watchers.Load(db)
	if !ok {
		t.Fatal("this store was not opened by storetest")
	}
	w := found.(*watcher) //nolint:forcetypeassert // nothing else is stored there
	w.once.Do(func() { w.err = w.open(t) })
	if w.err != nil {
		t.Fatalf("look into the store: %v", w.err)
	}
	all, err := w.query(context.Background(), w.rows)
	if err != nil {
		t.Fatalf("read all rows: %v", err)
	}
	out := map[string][]string{}
	for _, row := range all {
		if !slices.Contains(except, row[0]) {
			out[row[0]] = append(out[row[0]], row[1])
		}
	}
	for _, rows := range out {
		slices.Sort(rows)
	}
	return out
}

func (w *watcher) open(t testing.TB) error {
	ctx := context.Background()
	columns := `
		select m.name, p.name
		from sqlite_schema m
		join pragma_table_info(m.name) p
		where m.type = 'table'
			and m.name not like 'sqlite_%'
			and m.name <> 'goose_db_version'
		order by m.name, p.cid`
	row := func(of []string) string { return "quote(" + strings.Join(of, ") || ', ' || quote(") + ")" }
	if path, isFile := strings.CutPrefix(w.url, "sqlite:"); isFile {
		file, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
		if err != nil {
			return err
		}
		w.close = func() { _ = file.Close() }
		w.query = func(ctx context.Context, text string) (out [][2]string, err error) {
			rows, err := file.QueryContext(ctx, text)
			if err != nil {
				return nil, err
			}
			defer func() { _ = rows.Close() }()
			for rows.Next() {
				var r [2]string
				if err := rows.Scan(&r[0], &r[1]); err != nil {
					return nil, err
				}
				out = append(out, r)
			}
			return out, rows.Err()
		}
	} else {
		conn, err := pgx.Connect(ctx, AdminURL(t, w.url)) // whom row-level security does not bind
		if err != nil {
			return err
		}
		w.close = func() { _ = conn.Close(ctx) }
		w.query = func(ctx context.Context, text string) ([][2]string, error) {
			rows, err := conn.Query(ctx, text)
			if err != nil {
				return nil, err
			}
			return pgx.CollectRows(rows, func(r pgx.CollectableRow) (out [2]string, err error) {
				err = r.Scan(&out[0], &out[1])
				return out, err
			})
		}
		columns = `
			select c.relname::text, 't'
			from pg_class c
			where c.relkind in ('r', 'p')
				and not c.relispartition
				and c.relnamespace = 'public'::regnamespace
				and c.relname <> 'goose_db_version'
			order by c.relname`
		row = func([]string) string { return "t::text" }
	}
	found, err := w.query(ctx, columns)
	if err != nil {
		return err
	}
	var parts []string
	for i := 0; i < len(found); {
		table, of := found[i][0], []string{}
		for ; i < len(found) && found[i][0] == table; i++ {
			of = append(of, `"`+found[i][1]+`"`)
		}
		parts = append(parts, "select '"+table+"', "+row(of)+` from "`+table+`" t`)
	}
	w.rows = strings.Join(parts, " union all ")
	return nil
}

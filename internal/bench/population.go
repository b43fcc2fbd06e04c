package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A million people are not pushed to measure how one of them is found: what a push stores of one is copied, with another
// number and another id, by SQL and beside the measured node. What follows from a push by and by (statistics, the index of
// names) is waited for.

// loadFrom is how many people are worth copying.
const loadFrom = 5000

// model is the number of whoever is copied: no text of a user's holds it by chance.
const model = 987_654_321

// loadedID is the id of person n: a UUIDv7 of a time that is over, so that whoever is pushed comes later.
func loadedID(n int64) string {
	const begin = 1_700_000_000_000
	h := fmt.Sprintf("%012x", begin+n)
	return h[:8] + "-" + h[8:] + "-7000-8000-000000000000"
}

// loadedIDSQL is loadedID in the words of a store.
func (v *vestibule) loadedIDSQL() string {
	if v.kind == "postgres" {
		return `substr(lpad(to_hex(1700000000000 + n), 12, '0'), 1, 8) || '-' || substr(lpad(to_hex(1700000000000 + n), 12, '0'), 9) || '-7000-8000-000000000000'`
	}
	return `substr(printf('%012x', 1700000000000 + n), 1, 8) || '-' || substr(printf('%012x', 1700000000000 + n), 9) || '-7000-8000-000000000000'`
}

// sqlOf runs a statement on the node's store and gives the rows' columns, joined.
func (v *vestibule) sqlOf(ctx context.Context, statement string) ([]string, error) {
	if v.kind == "postgres" {
		out, err := exec.CommandContext(ctx, "psql", replaceDatabase(os.Getenv("VESTIBULE_TEST_POSTGRES"), "bench"), "-qAtX", "-F", " ", "-v", "ON_ERROR_STOP=1", "-c", statement).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("psql: %w: %.500s", err, out)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(v.dir, "vestibule.db")+"?_pragma=busy_timeout(60000)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if !strings.HasPrefix(statement, "select") {
		_, err := db.ExecContext(ctx, statement)
		return nil, err
	}
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		columns, err := rows.Columns()
		if err != nil {
			return nil, err
		}
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		texts := make([]string, len(values))
		for i, value := range values {
			texts[i] = value.String
		}
		out = append(out, strings.Join(texts, " "))
	}
	return out, rows.Err()
}

// load copies the model for the next people, until n are there.
func (v *vestibule) load(ctx context.Context, n int) error {
	from := v.created.Load() + 1
	to := from + int64(n-len(v.users)) - 1
	v.created.Store(to)
	body, err := v.sqlOf(ctx, fmt.Sprintf(`select id from users where user_name = 'person%d@bench.example'`, model))
	if err != nil {
		return err
	}
	if len(body) == 0 || body[0] == "" {
		if _, err := v.call("POST", scimBase+"/Users", userBody(model), 201); err != nil {
			return err
		}
		if body, err = v.sqlOf(ctx, fmt.Sprintf(`select id from users where user_name = 'person%d@bench.example'`, model)); err != nil {
			return err
		}
	}
	of := body[0]
	const chunk = 50_000
	for at := from; at <= to; at += chunk {
		for _, table := range []string{"users", "directory_records", "record_emails"} {
			statement, err := v.copies(ctx, table, of, at, min(at+chunk-1, to))
			if err == nil {
				_, err = v.sqlOf(ctx, statement)
			}
			if err != nil {
				return fmt.Errorf("load %s: %w", table, err)
			}
		}
	}
	// The ids that came so late lie below what the packs reach, and nobody has noted them: the index begins anew.
	if _, err := v.sqlOf(ctx, "delete from name_indexes"); err != nil {
		return err
	}
	for i := from; i <= to; i++ {
		user := loadedID(i)
		v.users = append(v.users, user)
		v.numbers[user] = i
	}
	if v.kind == "postgres" {
		if _, err := v.sqlOf(ctx, "vacuum analyze users, directory_records, record_emails"); err != nil {
			return err
		}
	}
	// What is outside of packs is searched one by one: at most so many.
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(time.Second) {
		packed, err := v.sqlOf(ctx, `select coalesce(sum(records), 0) from name_packs where published = true and directory <> ''`)
		if err != nil {
			return err
		}
		var records int64
		if _, err := fmt.Sscan(packed[0], &records); err == nil && records+1024 > to {
			return nil
		}
	}
	return fmt.Errorf("the names of %d users were not indexed within ten minutes", to)
}

// copies gives the statement that copies the model's rows of a table.
func (v *vestibule) copies(ctx context.Context, table, of string, from, to int64) (string, error) {
	kinds, series, number := `select name, type from pragma_table_info('`+table+`') order by cid`, `with recursive s (n) as (select %d union all select n + 1 from s where n < %d) `, `printf('%012d', n)`
	text := "cast(n as text)"
	if v.kind == "postgres" {
		kinds = `select column_name, data_type from information_schema.columns where table_name = '` + table + `' order by ordinal_position`
		series, number = `with s (n) as (select generate_series(cast(%d as bigint), cast(%d as bigint))) `, `lpad(cast(n as text), 12, '0')`
	}
	columns, err := v.sqlOf(ctx, kinds)
	if err != nil {
		return "", err
	}
	user := "user_id"
	if table == "users" {
		user = "id"
	}
	var names, values []string
	for _, column := range columns {
		name, kind, _ := strings.Cut(strings.ToLower(column), " ")
		value := "t." + name
		copied := fmt.Sprintf("replace(replace(cast(t.%s as text), '%012d', %s), '%d', %s)", name, model, number, model, text)
		switch {
		case name == user:
			value = v.loadedIDSQL()
		case kind == "json":
			value = "cast(" + copied + " as json)"
		case kind == "text":
			value = copied
		}
		names, values = append(names, name), append(values, value)
	}
	return fmt.Sprintf("insert into %s (%s) ", table, strings.Join(names, ", ")) + fmt.Sprintf(series, from, to) +
		fmt.Sprintf("select %s from %s t cross join s where t.organization = 'bench' and t.%s = '%s'", strings.Join(values, ", "), table, user, of), nil
}

package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// rows is what a query answers, the same on both stores. While rows are open the transaction runs no other statement.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// scanner is one row: of rows, or of queryRow.
type scanner interface {
	Scan(dest ...any) error
}

// errNoRows is what a queryRow's Scan answers where there is no row.
var errNoRows = sql.ErrNoRows

// collect reads all rows and closes them: collect(tx.query(ctx, ...))(scan).
func collect[T any](r rows, err error) func(scan func(scanner) (T, error)) ([]T, error) {
	return func(scan func(scanner) (T, error)) ([]T, error) {
		if err != nil {
			return nil, err
		}
		defer r.Close()
		var out []T
		for r.Next() {
			v, err := scan(r)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, r.Err()
	}
}

// column reads the one column of all rows.
func column[T any](r rows, err error) ([]T, error) {
	return collect[T](r, err)(func(s scanner) (v T, err error) {
		err = s.Scan(&v)
		return v, err
	})
}

// micros is how a time is stored: UTC microseconds.
func micros(t time.Time) int64 { return t.UnixMicro() }

// fromMicros is the time of a stored number.
func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

// microsOrNull is micros with the zero time as null.
func microsOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// orNull stores a zero value (an empty string, a number 0) as null.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// jsonOrNull stores an empty document as null.
func jsonOrNull(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	return string(raw)
}

// text reads a nullable text column into a string or an id, null as "".
type text[T ~string] struct{ to *T }

// orEmpty scans a nullable text column: row.Scan(orEmpty(&u.Email)).
func orEmpty[T ~string](to *T) text[T] { return text[T]{to} }

// Scan implements sql.Scanner.
func (t text[T]) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t.to = ""
	case string:
		*t.to = T(v)
	case []byte:
		*t.to = T(v)
	default:
		return fmt.Errorf("a text column holds a %T", src)
	}
	return nil
}

type number[T ~int | ~int64] struct{ to *T }

// orZero scans a nullable number, null as 0.
func orZero[T ~int | ~int64](to *T) number[T] { return number[T]{to} }

// Scan implements sql.Scanner.
func (n number[T]) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*n.to = 0
	case int64:
		*n.to = T(v)
	default:
		return fmt.Errorf("a number column holds a %T", src)
	}
	return nil
}

type moment struct{ to *time.Time }

// at scans a column of microseconds, null as the zero time.
func at(to *time.Time) moment { return moment{to} }

// Scan implements sql.Scanner.
func (m moment) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*m.to = time.Time{}
	case int64:
		*m.to = fromMicros(v)
	default:
		return fmt.Errorf("a time column holds a %T", src)
	}
	return nil
}

// ScanInt64 is Scan for pgx, which would have to make a value of any type of it first.
func (m moment) ScanInt64(v pgtype.Int8) error {
	*m.to = time.Time{}
	if v.Valid {
		*m.to = fromMicros(v.Int64)
	}
	return nil
}

type document struct{ to any }

// decode scans a JSON column into a value; null leaves it as it is.
func decode(to any) document { return document{to} }

// Scan implements sql.Scanner.
func (d document) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), d.to)
	case []byte:
		return json.Unmarshal(v, d.to)
	default:
		return fmt.Errorf("a JSON column holds a %T", src)
	}
}

type raw struct{ to *json.RawMessage }

// rawJSON scans a JSON column as its text, null as nil.
func rawJSON(to *json.RawMessage) raw { return raw{to} }

// Scan implements sql.Scanner.
func (r raw) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*r.to = nil
	case string:
		*r.to = json.RawMessage(v)
	case []byte:
		*r.to = append(json.RawMessage(nil), v...)
	default:
		return fmt.Errorf("a JSON column holds a %T", src)
	}
	return nil
}

// ScanBytes is Scan for pgx, which would copy the document once more.
func (r raw) ScanBytes(v []byte) error {
	*r.to = append(json.RawMessage(nil), v...)
	return nil
}

// encode gives a value as the text of a JSON column. It is for our own structs, which always encode.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T for the store: %v", v, err))
	}
	return string(b)
}

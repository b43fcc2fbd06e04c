package store

import "context"

// Strings reads one column of text.
func (tx *Tx) Strings(ctx context.Context, sql string, args ...any) ([]string, error) {
	return column[string](tx.query(ctx, sql, args...))
}

package store_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// What is written as an array comes back as it was, whatever it holds; null stays null and an empty array empty.
func TestTextArrays_ArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.Postgres)
	for name, sent := range map[string][]string{
		"null": nil, "empty": {}, "one empty text": {""},
		"texts": {"plain", "", `{"a": [1, "\\x"]}`, "null", "ſ Ævar 漢", `a,b"c\`, strings.Repeat("x", 300_000)},
	} {
		t.Run(name, func(t *testing.T) {
			var null bool
			var count int
			var got []string
			err := db.System().Read(t.Context(), func(tx *store.SystemTx) error {
				if err := tx.Row(t.Context(), `select cast($1 as text[]) is null, coalesce(cardinality(cast($1 as text[])), 0)`, sent).Scan(&null, &count); err != nil {
					return err
				}
				rows, err := tx.Query(t.Context(), `select s.v from unnest(cast($1 as text[])) with ordinality as s (v, n) order by s.n`, sent)
				if err != nil {
					return err
				}
				defer rows.Close()
				for rows.Next() {
					var v string
					if err := rows.Scan(&v); err != nil {
						return err
					}
					got = append(got, v)
				}
				return rows.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			if null != (sent == nil) || count != len(sent) {
				t.Errorf("null %v with %d elements for %d", null, count, len(sent))
			}
			if len(sent) > 0 {
				if diff := cmp.Diff(got, sent); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

package store_test

import (
	"math"
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

func TestNumberArrays_ArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.Postgres)
	for sent, expected := range map[any]string{
		"no numbers": "null", "no truths": "null", "empty": "{}", "numbers": "{0,-1,9223372036854775807,-9223372036854775808}", "truths": "{t,f,t}",
	} {
		t.Run(sent.(string), func(t *testing.T) {
			value := map[any]any{
				"no numbers": []int64(nil), "no truths": []bool(nil), "empty": []int64{}, "numbers": []int64{0, -1, math.MaxInt64, math.MinInt64},
				"truths": []bool{true, false, true},
			}[sent]
			kind := "bigint[]"
			if _, truths := value.([]bool); truths {
				kind = "boolean[]"
			}
			var got string
			err := db.System().Read(t.Context(), func(tx *store.SystemTx) error {
				return tx.Row(t.Context(), `select coalesce(cast(cast($1 as `+kind+`) as text), 'null')`, value).Scan(&got)
			})
			if err != nil || got != expected {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

// What a connection keeps to write arrays into holds nothing of the statement before, however long that was, and a statement whose
// arrays are announced twice writes both.
func TestTextArrays_OneStatementAfterTheOther(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.Postgres)
	err := db.System().Read(t.Context(), func(tx *store.SystemTx) error {
		for i, length := range []int{10, 300_000, 3, 2_000_000, 700, 70_000, 0} {
			a, b, c := strings.Repeat("a", length), strings.Repeat("b", length/2), strings.Repeat("c", length/3)
			args := store.AppendTexts([]any{int64(i)}, [][]string{{a, b}, {}, {c}})
			args = store.AppendTexts(args, [][]string{{b, c, a}, {a}})
			var same bool
			if err := tx.Row(t.Context(), `
				select cast($1 as bigint) = cast($7 as bigint) and cast($2 as text[]) = array[$8, $9] and cardinality(cast($3 as text[])) = 0 and cast($4 as text[]) = array[$10]
					and cast($5 as text[]) = array[$9, $10, $8] and cast($6 as text[]) = array[$8]`,
				append(args, int64(i), a, b, c)...).Scan(&same); err != nil {
				return err
			}
			if !same {
				t.Errorf("texts of up to %d bytes did not arrive as they were sent", length)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

package decision_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// BenchmarkEvaluation asks one question, and a hundred about one person and about ten, through the handlers and the store.
func BenchmarkEvaluation(b *testing.B) {
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			w := newWorld(b, kind)
			var people []id.User
			for i := range 10 {
				p := w.person(northwind, fmt.Sprintf("P%d", i))
				w.give(northwind, p, "editor", "emea")
				people = append(people, p)
			}
			several := func(n int) string {
				q := question(people[0], "assets.update", "site", "london-1", "")
				var list []any
				for i := range 100 {
					list = append(list, map[string]any{"subject": map[string]any{"type": "user", "id": people[i%n]}})
				}
				q["evaluations"] = list
				return text(q)
			}
			for _, bench := range []struct{ name, path, body string }{
				{"one", "/access/v1/evaluation", text(question(people[0], "assets.update", "site", "london-1", ""))},
				{"hundred-of-one", "/access/v1/evaluations", several(1)},
				{"hundred-of-ten", "/access/v1/evaluations", several(10)},
			} {
				b.Run(bench.name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if rec := w.post("reports", bench.path, bench.body); rec.Code != http.StatusOK {
							b.Fatalf("%d %s", rec.Code, rec.Body)
						}
					}
				})
			}
		})
	}
}

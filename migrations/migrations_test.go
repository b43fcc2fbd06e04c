package migrations

import (
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What PostgreSQL says differently on purpose: text is compared by bytes, as SQLite does; a document is checked for being
// JSON; and a block of its own (row-level security) stands between goose's marks. What SQLite alone needs stands there too.
var (
	block   = regexp.MustCompile(`(?s)(-- [^\n]*\n)*-- \+goose StatementBegin\n.*?-- \+goose StatementEnd\n`)
	collate = regexp.MustCompile(` collate "C"`)
	json    = regexp.MustCompile(`\bjson\b`)
	bytea   = regexp.MustCompile(`\bbytea\b`)
	rowid   = regexp.MustCompile(`\) without rowid;`)
	blank   = regexp.MustCompile(`\n{2,}`)
)

func TestFolders_DescribeTheSameSchema(t *testing.T) {
	t.Parallel()
	sqlite, postgres := read(t, SQLite()), read(t, Postgres())
	for name := range postgres {
		if _, ok := sqlite[name]; !ok {
			t.Errorf("%s is missing for SQLite", name)
		}
	}
	for name, text := range sqlite {
		other, ok := postgres[name]
		if !ok {
			t.Errorf("%s is missing for PostgreSQL", name)
			continue
		}
		other = json.ReplaceAllString(collate.ReplaceAllString(block.ReplaceAllString(other, ""), ""), "text")
		other = bytea.ReplaceAllString(other, "blob")
		text = rowid.ReplaceAllString(block.ReplaceAllString(text, ""), ");")
		if diff := cmp.Diff(blank.ReplaceAllString(text, "\n"), blank.ReplaceAllString(other, "\n")); diff != "" {
			t.Errorf("%s: SQLite (-) and PostgreSQL (+) differ:\n%s", name, diff)
		}
	}
}

// A text column without the collation sorts by the database's language on PostgreSQL, and a keyset cursor then skips rows.
func TestPostgres_TextIsComparedByBytes(t *testing.T) {
	t.Parallel()
	for name, text := range read(t, Postgres()) {
		for _, line := range strings.Split(block.ReplaceAllString(text, ""), "\n") {
			if regexp.MustCompile(`^  \w+ text\b`).MatchString(line) && !collate.MatchString(line) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func TestSteps_OnlyGoUpAndAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	files := read(t, SQLite())
	for n := int64(1); n <= Latest(); n++ {
		found := ""
		for name := range files {
			if number, _, _ := strings.Cut(name, "_"); strings.TrimLeft(number, "0") == strconv.FormatInt(n, 10) {
				found = name
			}
		}
		if found == "" {
			t.Errorf("step %d is missing", n)
		}
	}
	if int64(len(files)) != Latest() {
		t.Errorf("got %d files for %d steps", len(files), Latest())
	}
	for _, folder := range []fs.FS{SQLite(), Postgres()} {
		for name, text := range read(t, folder) {
			if !strings.HasPrefix(text, "-- +goose Up\n") || strings.Contains(text, "+goose Down") {
				t.Errorf("%s does not only go up", name)
			}
			if !strings.Contains(text, "schema_info") {
				t.Errorf("%s does not say which step the schema is at, and which binaries it serves", name)
			}
		}
	}
}

func read(t *testing.T, folder fs.FS) map[string]string {
	t.Helper()
	names, err := fs.Glob(folder, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range names {
		raw, err := fs.ReadFile(folder, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(raw)
	}
	if len(out) == 0 {
		t.Fatal("there are no migrations")
	}
	return out
}

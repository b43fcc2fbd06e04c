// Command standards keeps the index of cited clauses in docs/standards.md: it collects every "RFC n section s" in the
// sources and rewrites the part of the page between its markers. A test fails while the page is stale, so a citation cannot
// come or go without the index knowing.
package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	page  = "docs/standards.md"
	begin = "<!-- clauses: made by make standards -->\n"
	end   = "<!-- end of clauses -->\n"
)

func main() {
	log.SetFlags(0)
	text, err := os.ReadFile(page)
	if err != nil {
		log.Fatal(err)
	}
	fresh, err := refreshed(".", string(text))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(page, []byte(fresh), 0o644); err != nil {
		log.Fatal(err)
	}
}

// refreshed gives the page with its index made anew from the sources below root.
func refreshed(root, text string) (string, error) {
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("%s has lost its markers", page)
	}
	index, err := clauses(root)
	if err != nil {
		return "", err
	}
	return before + begin + index + end + after, nil
}

var citation = regexp.MustCompile(`RFC (\d{3,5}),? sections? (\d+(?:\.\d+)*)`)

type clause struct {
	rfc     int
	section string
}

// clauses makes the table: clause, the files that cite it, the tests that do.
func clauses(root string) (string, error) {
	code := map[clause][]string{}
	tests := map[clause][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "standards" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_templ.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		into := code
		if strings.HasSuffix(path, "_test.go") {
			into = tests
		}
		// A citation may be broken over two lines of a comment.
		flat := strings.Join(strings.Fields(strings.ReplaceAll(string(b), "//", " ")), " ")
		for _, m := range citation.FindAllStringSubmatch(flat, -1) {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return err
			}
			c := clause{n, m[2]}
			if !slices.Contains(into[c], name) {
				into[c] = append(into[c], name)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	all := map[clause]bool{}
	for c := range code {
		all[c] = true
	}
	for c := range tests {
		all[c] = true
	}
	var keys []clause
	for c := range all {
		keys = append(keys, c)
	}
	slices.SortFunc(keys, func(a, b clause) int {
		return cmp.Or(cmp.Compare(a.rfc, b.rfc), compareSections(a.section, b.section))
	})
	var out strings.Builder
	out.WriteString("\n| clause | in | tested in |\n|---|---|---|\n")
	for _, c := range keys {
		fmt.Fprintf(&out, "| RFC %d section %s | %s | %s |\n", c.rfc, c.section, list(code[c]), list(tests[c]))
	}
	out.WriteString("\n")
	return out.String(), nil
}

func list(files []string) string {
	slices.Sort(files)
	for i, f := range files {
		files[i] = "`" + f + "`"
	}
	return strings.Join(files, ", ")
}

// compareSections orders 3.4.2 before 3.10.
func compareSections(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return cmp.Compare(m, n)
		}
	}
	return cmp.Compare(len(x), len(y))
}

package apply

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Problem is one wrong part of a file.
type Problem struct {
	File    string
	Line    int
	Field   string
	Message string
}

func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Field, p.Message)
}

// Problems is everything wrong with the files at once: an operator mends a file in one pass, not in ten.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, q := range p {
		lines[i] = q.String()
	}
	return strings.Join(lines, "\n")
}

// sorted orders the problems as they stand in the files; one that was found twice stands once.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return slices.Compact(p)
}

// source is one file, with the line of every field in it.
type source struct {
	name  string
	lines map[string]int
}

// place is where something was declared.
type place struct {
	source *source
	path   string
}

// String is for a sentence: "northwind.yaml:12".
func (p place) String() string { return fmt.Sprintf("%s:%d", p.source.name, p.line("")) }

// line gives the line of a field below the place, or of what is nearest above it.
func (p place) line(field string) int {
	for path := join(p.path, field); ; path = parent(path) {
		if line, ok := p.source.lines[path]; ok {
			return line
		}
		if path == "" {
			return 1
		}
	}
}

func join(path, field string) string {
	switch {
	case path == "":
		return field
	case field == "" || field[0] == '[':
		return path + field
	}
	return path + "." + field
}

var lastStep = regexp.MustCompile(`(^|\.)[^.\[]+$|\[\d+\]$`)

func parent(path string) string { return lastStep.ReplaceAllString(path, "") }

// problem notes what is wrong with a field below a place.
func (p *Problems) at(where place, field, format string, args ...any) {
	*p = append(*p, Problem{
		File: where.source.name, Line: where.line(field), Field: join(where.path, field), Message: fmt.Sprintf(format, args...),
	})
}

package invitation

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
)

// MaxRows is how many a list may have: a company's department, read and judged in a second.
const MaxRows = 1000

func tooMany() error {
	return fault.New(fault.TooLarge, "A list may have %d people; send the rest with a second one.", MaxRows)
}

// Read reads what was pasted or uploaded: a CSV if its first line names a column "email", else addresses with anything
// between them. Roles says what people get for whom a row says nothing of it.
func Read(text string, roles []access.Want, root id.Resource) ([]Row, error) {
	// A spreadsheet writes a byte order mark in front.
	text = strings.TrimPrefix(text, "\ufeff")
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, fault.New(fault.Invalid, "The list is not text in UTF-8. Save it as “CSV UTF-8” and try again.")
	}
	if strings.TrimSpace(text) == "" {
		return nil, fault.New(fault.Invalid, "The list is empty. Paste addresses, or choose a CSV file.")
	}
	first, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), "\n")
	if comma, columns := header(first); columns != nil {
		return readCSV(text, comma, columns, roles, root)
	}
	return readPaste(text, roles)
}

// readPaste reads addresses as people copy them out of a mail or a sheet: one on each line, or with commas, semicolons or
// spaces between, with or without a name in front and angle brackets around.
func readPaste(text string, roles []access.Want) ([]Row, error) {
	var rows []Row
	add := func(line int, name, email string) {
		rows = append(rows, Row{Line: line, Email: email, Name: mail.Line(strings.Trim(strings.TrimSpace(name), `"'`)), Grants: roles})
	}
	// One function says what stands between addresses: where it is cut and what is cut away must be the same, or a kind of space
	// that only one of them knows, as a mail program's non-breaking one, would never be got past.
	between := func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) }
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		for line != "" && len(rows) <= MaxRows {
			var part string
			if open := strings.IndexByte(line, '<'); open >= 0 && !strings.ContainsAny(line[:open], ";@") {
				// Name <address>: the name may hold a comma ("Doe, Jane").
				end := strings.IndexByte(line, '>')
				if end < open {
					end = len(line)
				}
				add(number, line[:open], strings.TrimSpace(line[open+1:end]))
				line = strings.TrimLeftFunc(line[min(end+1, len(line)):], between)
				continue
			}
			cut := strings.IndexFunc(line, between)
			if cut < 0 {
				cut = len(line)
			}
			part, line = line[:cut], strings.TrimLeftFunc(line[cut:], between)
			if part = strings.Trim(part, "<>"); part != "" {
				add(number, "", part)
			}
		}
	}
	if len(rows) > MaxRows {
		return nil, tooMany()
	}
	return rows, nil
}

// header finds out whether a line names columns, and what stands between them.
func header(line string) (comma rune, columns []string) {
	for _, comma := range []rune{',', ';', '\t'} {
		r := csv.NewReader(strings.NewReader(line))
		r.Comma = comma
		fields, err := r.Read()
		if err != nil {
			continue
		}
		for i, f := range fields {
			fields[i] = strings.ToLower(strings.TrimSpace(f))
		}
		if slices.Contains(fields, "email") {
			return comma, fields
		}
	}
	return 0, nil
}

// readCSV reads the columns email, name, roles and resource, in any order. Roles stand with spaces or semicolons between,
// each for the row's resource or, as role@resource, for its own.
func readCSV(text string, comma rune, columns []string, roles []access.Want, root id.Resource) ([]Row, error) {
	for _, c := range columns {
		if !slices.Contains([]string{"email", "name", "roles", "role", "resource"}, c) {
			return nil, fault.New(fault.Invalid, "The list has a column %q. The columns are email, name, roles and resource.", mail.Line(c))
		}
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = comma, -1, true, true
	var rows []Row
	for first := true; ; first = false {
		fields, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return rows, nil
		case err != nil:
			return nil, fault.Wrap(err, fault.Invalid, "The list cannot be read as CSV: %v.", err)
		case first:
			continue
		}
		line, _ := r.FieldPos(0)
		row := Row{Line: line, Grants: roles}
		var named []string
		at := root
		for i, f := range fields {
			f = strings.TrimSpace(f)
			switch {
			case i >= len(columns):
				if f != "" {
					row.Fault = "The row has more fields than the first line has columns."
				}
			case columns[i] == "email":
				row.Email = f
			case columns[i] == "name":
				row.Name = mail.Line(f)
			case columns[i] == "resource" && f != "":
				at = id.Resource(f)
			case columns[i] == "roles" || columns[i] == "role":
				named = strings.FieldsFunc(f, func(r rune) bool { return r == ';' || r == ',' || unicode.IsSpace(r) })
			}
		}
		if strings.TrimSpace(strings.Join(fields, "")) == "" {
			continue
		}
		if len(named) > 0 {
			row.Grants = nil
		}
		for _, n := range named {
			role, resource, own := strings.Cut(n, "@")
			w := access.Want{Role: id.Role(role), Resource: at}
			if own {
				w.Resource = id.Resource(resource)
			}
			row.Grants = append(row.Grants, w)
		}
		if rows = append(rows, row); len(rows) > MaxRows {
			return nil, tooMany()
		}
	}
}

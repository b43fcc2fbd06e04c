// Package migrations holds the schema of both stores, one folder each, as numbered steps that only go up. The two folders
// describe the same tables; a test compares them.
package migrations

import (
	"embed"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed sqlite/*.sql postgres/*.sql
var files embed.FS

// SQLite is the schema in SQLite's words.
func SQLite() fs.FS { return folder("sqlite") }

// Postgres is the schema in PostgreSQL's words.
func Postgres() fs.FS { return folder("postgres") }

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // the name is a constant of this package
	}
	return sub
}

// Latest is the number of the newest step, the schema this binary is written for.
func Latest() int64 { return latest }

var latest = func() int64 {
	entries, err := fs.ReadDir(files, "sqlite")
	if err != nil {
		panic(err) // embedded at build time
	}
	var n int64
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if v, err := strconv.ParseInt(number, 10, 64); err == nil && v > n {
			n = v
		}
	}
	return n
}()

package apply_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// withSettings is the contract's file with more said of the directory northwind/entra.
func withSettings(t *testing.T, lines string) string {
	t.Helper()
	const key = "        key: externalId "
	return edited(t, key, lines+key)
}

func TestRun_SettingsOfADirectory(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		mustRun(t, db, apply.Options{}, getenv(), contract)
		changed := withSettings(t, "        rate_limit: {per_minute: 1200}\n        roles: {accept: [viewer, asset-editor@london-1]}\n")
		out := mustRun(t, db, apply.Options{}, getenv(), changed)
		if !strings.Contains(out, "rate_limit.per_minute: 6000 -> 1200") {
			t.Errorf("the change is not told: %s", out)
		}
		d, _ := state(t, db)
		got := d.Directories[1].Settings
		want := directory.Settings{
			RateLimit: directory.RateLimit{PerMinute: 1200},
			Roles:     directory.Roles{Accept: []directory.RoleAt{{Role: "viewer"}, {Role: "asset-editor", Resource: "london-1"}}},
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRun_WrongSettingsOfADirectoryAreRefused(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	for lines, want := range map[string]string{
		"rate_limit: {per_minute: 0}":          "between 1 and",
		"rate_limit: {per_minute: -5}":         "between 1 and",
		"rate_limit: {per_second: 5}":          "per_second",
		"rate_limit: {per_minute: 1000000000}": "between 1 and",
		"brake: {percent: 101}":                "between 1 and 100",
		"brake: {percent: 0}":                  "between 1 and 100",
		"brake: {minimum: 0}":                  "at least 1",
		"roles: {accept: [emperor]}":           "roles.accept[0]: there is no role",
		"roles: {accept: [viewer@nowhere]}":    "roles.accept[0]: there is no resource",
	} {
		_, err := run(db, apply.Options{}, getenv(), withSettings(t, "        "+lines+"\n"))
		var problems apply.Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", lines, err)
		}
	}
}

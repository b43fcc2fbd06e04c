package storetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestLeftover_OnlyWhatNobodyComesBackForGoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schema, what string
		age          time.Duration
		want         bool
	}{
		{fingerprint(), unfinished, 0, true},
		{fingerprint(), "template", 48 * time.Hour, false},
		{fingerprint(), "0123456789ab", 48 * time.Hour, false},
		{"another", "0123456789ab", time.Minute, false},
		{"another", "0123456789ab", 2 * time.Hour, true},
		{noSchema, "0123456789ab", time.Minute, false},
		{noSchema, "0123456789ab", time.Hour, true},
	} {
		if got := leftover(c.schema, c.what, c.age); got != c.want {
			t.Errorf("%s of %s after %s: got %v", c.what, c.schema, c.age, got)
		}
	}
}

func TestRemoveDead_LeavesAClusterThatRuns(t *testing.T) {
	t.Parallel()
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, pid := range map[string]string{
		"postgres-runs": strconv.Itoa(os.Getpid()), "postgres-killed": strconv.Itoa(ended.Process.Pid), "postgres-odd": "?", "postgres-stopped": "", "other": "",
	} {
		data := filepath.Join(dir, name, "data")
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if pid != "" {
			if err := os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(pid+"\n"+data+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	removeDead(dir)
	for name, want := range map[string]bool{"postgres-runs": true, "postgres-killed": false, "postgres-odd": true, "postgres-stopped": false, "other": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: there is %v, want %v", name, err == nil, want)
		}
	}
}

package config_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/config"
)

type commands struct {
	Serve struct {
		config.Config
	} `cmd:""`
	Migrate struct {
		config.Store
	} `cmd:""`
}

func parse(t *testing.T, args ...string) (config.Config, error) {
	t.Helper()
	var c commands
	k, err := kong.New(&c, kong.Exit(func(int) { t.Fatal("kong wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.Parse(args)
	return c.Serve.Config, err
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vestibule.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Not parallel: the environment belongs to the whole process.
func TestPrecedence_FlagThenEnvironmentThenFileThenDefault(t *testing.T) {
	file := write(t, "addr: 127.0.0.1:3\nallow_private_networks: true\n")
	steps := []struct {
		name string
		args []string
		env  string
		want string
	}{
		{"default", nil, "", "127.0.0.1:8080"},
		{"file over default", []string{"--config", file}, "", "127.0.0.1:3"},
		{"environment over file", []string{"--config", file}, "127.0.0.1:2", "127.0.0.1:2"},
		{"flag over environment", []string{"--config", file, "--addr", "127.0.0.1:1"}, "127.0.0.1:2", "127.0.0.1:1"},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			if s.env != "" {
				t.Setenv("VESTIBULE_ADDR", s.env)
			}
			c, err := parse(t, append([]string{"serve"}, s.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			if c.Addr != s.want {
				t.Errorf("addr: got %s, want %s", c.Addr, s.want)
			}
		})
	}
}

func TestPrecedence_AnEmptyVariableHasNotSpoken(t *testing.T) {
	t.Setenv("VESTIBULE_ADDR", "")
	t.Setenv("VESTIBULE_ALLOW_PRIVATE_NETWORKS", "")
	t.Setenv("VESTIBULE_CONFIG", write(t, "allow_private_networks: on\ntrusted_proxies: [10.0.0.0/8, 192.0.2.1]\n"))
	c, err := parse(t, "serve")
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "127.0.0.1:8080" || !bool(c.AllowPrivateNetworks) {
		t.Errorf("got addr %q and private networks %v, want the default and the file's", c.Addr, c.AllowPrivateNetworks)
	}
	if diff := cmp.Diff(c.TrustedProxies, []string{"10.0.0.0/8", "192.0.2.1"}); diff != "" {
		t.Error(diff)
	}
}

func TestFile_OneFileServesAllCommands(t *testing.T) {
	t.Parallel()
	file := write(t, "addr: 127.0.0.1:3\n# nothing else\n")
	if _, err := parse(t, "migrate", "--config", file); err != nil {
		t.Errorf("a key of another command was refused: %v", err)
	}
}

func TestFile_Refusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":   {"addr: 127.0.0.1:3\n  \nadress: x\n", "vestibule.yaml:3:1: adress: no such key; the keys are database,"},
		"syntax":        {"addr: [1\n", "vestibule.yaml:1:"},
		"not a mapping": {"- addr\n", "a mapping of keys to values is wanted"},
		"nested":        {"addr: {host: x}\n", "vestibule.yaml:1:1: addr: a plain value"},
		"bad value":     {"addr: nowhere\n", `addr: "nowhere" is not HOST:PORT`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, "serve", "--config", write(t, c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	if _, err := parse(t, "serve", "--config", filepath.Join(t.TempDir(), "none.yaml")); err == nil {
		t.Error("a named file that is not there was accepted")
	}
}

func TestKeys_AreTheContractsVariables(t *testing.T) {
	t.Parallel()
	want := []string{
		"database", "database_direct", "key", "addr", "url", "allow_private_networks",
		"smtp_url", "mail_from", "operator_mfa", "trusted_proxies",
	}
	if diff := cmp.Diff(config.Keys(), want); diff != "" {
		t.Error(diff)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--url=https://id.example.com/":                "",
		"--url=https://id.example.com/sso":             "must end after the host",
		"--url=id.example.com":                         "is not an address",
		"--database=mysql://x":                         "must be sqlite:PATH or postgres://",
		"--database=mysql://u:hunter2@x":               "xxxxx",
		"--database=sqlite:":                           "needs a path",
		"--database-direct=postgres://x/y":             "only PostgreSQL",
		"--addr=127.0.0.1:99999":                       "no port between",
		"--trusted-proxies=10.0.0.0/40":                "neither a network",
		"--allow-private-networks=perhaps":             "neither on nor off",
		"--allow-private-networks --addr=127.0.0.1:80": "",
	} {
		_, err := parse(t, append([]string{"serve"}, strings.Fields(args)...)...)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", args, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q in it", args, err, want)
		}
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for listening, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		"[::]:8080":      "http://127.0.0.1:8080",
		"[::1]:80":       "http://[::1]:80",
	} {
		if got := (&config.Config{}).BaseURL(listening); got != want {
			t.Errorf("%s: got %s, want %s", listening, got, want)
		}
	}
}

func TestKeys_MadeOnceBesideSQLite(t *testing.T) {
	t.Parallel()
	s := config.Store{Database: "sqlite:" + filepath.Join(t.TempDir(), "var", "v.db")}
	sealed := make([]string, 8)
	var wg sync.WaitGroup
	for i := range sealed {
		wg.Go(func() {
			k, err := s.Keys()
			if err != nil {
				t.Error(err)
				return
			}
			sealed[i] = k.Seal("here", []byte("secret"))
		})
	}
	wg.Wait()
	k, err := s.Keys()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range sealed {
		if _, err := k.Open("here", v); err != nil {
			t.Error("two commands that started together made two keys")
		}
	}
	path, _ := s.SQLitePath()
	info, err := os.Stat(strings.TrimSuffix(path, ".db") + ".key")
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != fs.FileMode(0o600) {
		t.Errorf("mode: got %o, want 600", got)
	}
}

func TestKeys_AStoreWithoutItsKeyGetsNoNewOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "v.db")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := config.Store{Database: "sqlite:" + path}
	if _, err := s.Keys(); err == nil || !strings.Contains(err.Error(), "put the key back") {
		t.Errorf("got %v, want a refusal", err)
	}
	folder := config.Store{Database: "sqlite:" + t.TempDir()}
	if _, err := folder.Keys(); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("got %v, want that it is a folder", err)
	}
}

func TestKeys_RequiredOnPostgreSQL(t *testing.T) {
	t.Parallel()
	s := config.Store{Database: "postgres://x/y"}
	if _, err := s.Keys(); err == nil || !strings.Contains(err.Error(), "VESTIBULE_KEY") {
		t.Errorf("got %v, want a sentence naming VESTIBULE_KEY", err)
	}
}

func TestKeys_ListRotates(t *testing.T) {
	t.Parallel()
	const a, b = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
	old, err := (&config.Store{Key: a}).Keys()
	if err != nil {
		t.Fatal(err)
	}
	both, err := (&config.Store{Key: b + "," + a}).Keys()
	if err != nil {
		t.Fatal(err)
	}
	sealed := old.Seal("p", []byte("s"))
	if got, err := both.Open("p", sealed); err != nil || string(got) != "s" || both.Current(sealed) {
		t.Errorf("got %q, %v, current %v; want it opened and not current", got, err, both.Current(sealed))
	}
}

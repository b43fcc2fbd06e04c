package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

type composeFile struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Build       string            `yaml:"build"`
		Command     any               `yaml:"command"`
		Volumes     []string          `yaml:"volumes"`
		Environment map[string]string `yaml:"environment"`
	} `yaml:"services"`
}

var interpolation = regexp.MustCompile(`\$\{(\w+)(?::[-?]([^}]*))?\}`)

// TestCompose_TheSameCommandsAndEnvironmentAsProcesses starts what docker-compose.yml starts, without an engine: its nodes'
// own commands and environment, with only the addresses of the engine's network replaced, and a round-robin in the proxy's place.
func TestCompose_TheSameCommandsAndEnvironmentAsProcesses(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var compose composeFile
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	caddyfile, err := os.ReadFile("../../deploy/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if mounted := compose.Services["proxy"].Volumes; !slices.Contains(mounted, "./deploy/Caddyfile:/etc/caddy/Caddyfile:ro") {
		t.Errorf("the proxy does not read deploy/Caddyfile: %v", mounted)
	}
	if !regexp.MustCompile(`(?m)^\s*respond /metrics 404$`).Match(caddyfile) {
		t.Errorf("the proxy hands /metrics to the public:\n%s", caddyfile)
	}
	passesTo := regexp.MustCompile(`(?m)^\s*reverse_proxy (.+)$`).FindStringSubmatch(string(caddyfile))
	if passesTo == nil {
		t.Fatalf("the proxy passes nothing on:\n%s", caddyfile)
	}

	var turn atomic.Int64
	var nodes []*url.URL
	hits := map[string]*atomic.Int64{}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		to := nodes[int(turn.Add(1))%len(nodes)]
		hits[to.Host].Add(1)
		r.SetURL(to)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(proxy.Close)

	given := map[string]string{"VESTIBULE_KEY": seal.NewKey(), "VESTIBULE_URL": proxy.URL}
	database := storetest.EmptyURL(t, storetest.Postgres)
	var environment []string
	for name, service := range compose.Services {
		if service.Build == "" {
			continue
		}
		if !slices.Contains(strings.Fields(passesTo[1]), name+":8080") {
			t.Errorf("the proxy does not know %s: %s", name, passesTo[1])
		}
		environment = os.Environ()
		for variable, value := range service.Environment {
			value = interpolation.ReplaceAllStringFunc(value, func(m string) string {
				found := interpolation.FindStringSubmatch(m)
				if v, ok := given[found[1]]; ok {
					return v
				}
				return found[2]
			})
			switch {
			case strings.Contains(value, "@postgres:5432/"):
				value = database
			case value == "0.0.0.0:8080":
				value = "127.0.0.1:0"
			}
			environment = append(environment, variable+"="+value)
		}
		var args []string
		for _, a := range service.Command.([]any) {
			args = append(args, a.(string))
		}
		address := startProcess(t, environment, args...)
		nodes = append(nodes, address)
		hits[address.Host] = &atomic.Int64{}
	}
	if len(nodes) != 2 {
		t.Fatalf("got %d nodes, want two", len(nodes))
	}
	for _, n := range nodes {
		if status, body := call(t, http.MethodGet, n.String()+"/readyz", "", nil); status != http.StatusOK {
			t.Errorf("%s is not ready: %d %s", n, status, body)
		}
	}

	const token = "scim-token-of-the-compose-test"
	file := filepath.Join(t.TempDir(), "world.yaml")
	world := "version: 1\norganizations: [{id: northwind, directories: [{id: entra, tokens: [{id: main, secret: {env: TOKEN}}]}]}]\n"
	if err := os.WriteFile(file, []byte(world), 0o600); err != nil {
		t.Fatal(err)
	}
	apply := exec.CommandContext(t.Context(), "vestibule", "apply", file)
	apply.Env = append(environment, "TOKEN="+token) //nolint:gocritic // the last node's is as good as any
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("apply: %v: %s", err, out)
	}
	base := proxy.URL + "/scim/northwind/entra/v2/Users"
	for i := range 6 {
		status, body := call(t, http.MethodPost, base, token, map[string]any{
			"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": fmt.Sprintf("user%d@northwind.example", i), "active": true,
		})
		var made struct {
			ID   string
			Meta struct{ Location string }
		}
		if err := json.Unmarshal(body, &made); status != http.StatusCreated || err != nil {
			t.Fatalf("push %d: %d %s", i, status, body)
		}
		if want := base + "/" + made.ID; made.Meta.Location != want {
			t.Errorf("location: got %s, want %s", made.Meta.Location, want)
		}
		// The next turn is the other node's: what one has acknowledged the other knows.
		if status, body := call(t, http.MethodGet, base+"/"+made.ID, token, nil); status != http.StatusOK {
			t.Errorf("read %d: %d %s", i, status, body)
		}
	}
	for _, n := range nodes {
		if hits[n.Host].Load() == 0 {
			t.Errorf("%s was asked nothing", n)
		}
	}
}

// startProcess starts the program itself and gives the address it prints. With the test it is told to stop, and must end with 0.
func startProcess(t *testing.T, environment []string, args ...string) *url.URL {
	t.Helper()
	cmd := exec.Command("vestibule", args...)
	cmd.Env, cmd.Dir = environment, t.TempDir()
	var logged bytes.Buffer
	cmd.Stderr = &logged
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if at, ok := strings.CutPrefix(lines.Text(), "Vestibule listens on "); ok {
				address <- at
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("vestibule %v: %v: %s", args, err, logged.String())
		}
	})
	select {
	case at := <-address:
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		return u
	case <-read:
		t.Fatalf("vestibule %v ended: %s", args, logged.String())
	case <-time.After(30 * time.Second):
		t.Fatalf("vestibule %v printed no address: %s", args, logged.String())
	}
	return nil
}

func call(t *testing.T, method, address, token string, body any) (int, []byte) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/scim+json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, said
}

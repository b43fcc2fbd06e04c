package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// vestibule is the measured node with its store.
type vestibule struct {
	o           options
	kind        string
	dir         string
	base        string
	env         []string
	cmd         *exec.Cmd
	pg          *pgFloor
	pgCPU       func() time.Duration
	client      *http.Client
	issuer      *issuer
	created     atomic.Int64
	users       []string         // ids, in order of creation
	numbers     map[string]int64 // of a user's id, as in userBody
	usersMu     sync.Mutex
	idleRSS     float64
	readyMedian time.Duration
	readyAll    []time.Duration
}

const (
	scimToken    = "bench-scim-token-0123456789abcdef"
	clientSecret = "bench-client-secret-0123456789abcdef"
	scimBase     = "/scim/bench/push/v2"
)

const benchConfiguration = `version: 1
permissions:
  - {id: assets.read, name: View assets}
roles:
  - {id: viewer, name: Viewer, permissions: [assets.read]}
organizations:
  - id: bench
    name: Bench
    default_roles: [viewer]
    directories:
      - id: push
        name: Push
        dialect: rfc
        key: externalId
        rate_limit: {per_minute: 10000000}
        tokens:
          - {id: main, secret: {env: BENCH_SCIM_TOKEN}}
    connections:
      - id: corp
        name: Bench sign-in
        protocol: oidc
        issuer: {env: BENCH_ISSUER}
        client_id: vestibule
        client_secret: {env: BENCH_CLIENT_SECRET}
        scopes: [openid, email, profile]
        domains: [bench.example]
        directory: push
        match: {claim: oid, attribute: externalId}
        provisioning: directory-only
applications:
  - id: app
    name: App
    protocol: oidc
    client_secret: {env: BENCH_CLIENT_SECRET}
    redirect_uris: [http://127.0.0.1:9401/callback]
    grant_types: [authorization_code, refresh_token, client_credentials]
    claims: [roles, grants, groups, organization]
    organizations: ["*"]
`

func startVestibule(ctx context.Context, o options, kind string) (*vestibule, error) {
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return nil, err
	}
	o.binary = binary
	dir, err := os.MkdirTemp("", "vestibule-bench-")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	issuer, err := startIssuer()
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	v := &vestibule{
		o: o, kind: kind, dir: dir, numbers: map[string]int64{}, base: "http://" + addr, issuer: issuer, pgCPU: noCPU,
		client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       10 * time.Minute,
		},
	}
	database := "sqlite:" + filepath.Join(dir, "vestibule.db")
	if kind == "postgres" {
		admin := os.Getenv("VESTIBULE_TEST_POSTGRES")
		v.pg = o.pg
		for _, statement := range []string{
			"drop database if exists bench", "drop role if exists bench", "create role bench login nosuperuser nobypassrls", "create database bench owner bench",
		} {
			if err := psql(admin, statement); err != nil {
				return nil, err
			}
		}
		u, err := url.Parse(replaceDatabase(admin, "bench"))
		if err != nil {
			return nil, err
		}
		u.User = url.User("bench")
		database = u.String()
		pid, err := postmaster(admin)
		if err != nil {
			return nil, err
		}
		v.pgCPU = treeCPU(pid)
	}
	v.env = append(os.Environ(),
		"VESTIBULE_ADDR="+addr, "VESTIBULE_URL="+v.base, "VESTIBULE_DATABASE="+database,
		"VESTIBULE_KEY="+base64.StdEncoding.EncodeToString(key), "VESTIBULE_ALLOW_PRIVATE_NETWORKS=true",
		"BENCH_SCIM_TOKEN="+scimToken, "BENCH_CLIENT_SECRET="+clientSecret, "BENCH_ISSUER="+issuer.base)
	config := filepath.Join(dir, "bench.yaml")
	if err := os.WriteFile(config, []byte(benchConfiguration), 0o600); err != nil {
		return nil, err
	}
	if err := v.command(ctx, "migrate"); err != nil {
		return nil, err
	}
	if err := v.command(ctx, "apply", config); err != nil {
		return nil, err
	}
	// The first start makes the signing keys; the five after it are what an operator's restart costs.
	if _, err := v.start(ctx); err != nil {
		return nil, err
	}
	if v.readyMedian, v.readyAll, err = v.restart(ctx); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Second): // idle means that start-up garbage had its time
	}
	v.idleRSS = residentMB(v.cmd.Process.Pid)
	return v, nil
}

// restart ends the node and starts it again, five times: how long each took until it was ready, and the median.
func (v *vestibule) restart(ctx context.Context) (median time.Duration, all []time.Duration, err error) {
	for range 5 {
		if err := v.terminate(); err != nil {
			return 0, nil, err
		}
		took, err := v.start(ctx)
		if err != nil {
			return 0, nil, err
		}
		all = append(all, took)
	}
	return slices.Sorted(slices.Values(all))[len(all)/2], all, nil
}

func (v *vestibule) command(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, v.o.binary, args...)
	cmd.Env, cmd.Dir = v.env, v.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("vestibule %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (v *vestibule) start(ctx context.Context) (time.Duration, error) {
	v.cmd = exec.CommandContext(ctx, v.o.binary, "serve")
	v.cmd.Env, v.cmd.Dir = v.env, v.dir
	logFile, err := os.OpenFile(filepath.Join(v.dir, "serve.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer logFile.Close()
	v.cmd.Stdout, v.cmd.Stderr = logFile, logFile
	begin := time.Now()
	if err := v.cmd.Start(); err != nil {
		return 0, err
	}
	if err := waitFor(ctx, v.base+"/readyz"); err != nil {
		text, _ := os.ReadFile(filepath.Join(v.dir, "serve.log"))
		return 0, fmt.Errorf("%w: %s", err, text)
	}
	return time.Since(begin).Round(100 * time.Microsecond), nil
}

func (v *vestibule) terminate() error {
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return v.cmd.Wait()
}

func (v *vestibule) stop() {
	_ = v.terminate()
	v.issuer.stop()
	_ = os.RemoveAll(v.dir)
}

func (v *vestibule) cpu() func() time.Duration { return processCPU(v.cmd.Process.Pid) }

// call makes one request and gives the body; any status but want is an error.
func (v *vestibule) call(method, where, body string, want int) ([]byte, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequest(method, v.base+where, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+scimToken)
	if body != "" {
		request.Header.Set("Content-Type", "application/scim+json")
	}
	return do(request, want)
}

// scimAnswer is an answer of any status.
type scimAnswer struct {
	status   int
	scimType string
}

// answer gets what may be refused.
func (v *vestibule) answer(where string) (a scimAnswer, err error) {
	request, err := http.NewRequest(http.MethodGet, v.base+where, http.NoBody)
	if err != nil {
		return a, err
	}
	request.Header.Set("Authorization", "Bearer "+scimToken)
	response, err := v.client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	var body struct{ ScimType string }
	a.status = response.StatusCode
	err = json.NewDecoder(response.Body).Decode(&body)
	a.scimType = body.ScimType
	return a, err
}

// lean is how everything that is measured in numbers is asked for.
var lean wire

// do makes one request and gives the body; any status but want is an error.
func do(request *http.Request, want int) ([]byte, error) {
	status, body, err := lean.do(request)
	if err != nil {
		return nil, err
	}
	if status != want {
		return nil, fmt.Errorf("%s %s: %d, not %d: %.300s", request.Method, request.URL.Path, status, want, body)
	}
	return body, nil
}

// userBody is what Entra sends for a person, about 1.1 kB.
func userBody(n int64) string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"0a21f0f2-8d2a-4f8e-bf98-%012d","userName":"person%d@bench.example","active":true,"displayName":"Person %d of the Bench","emails":[{"primary":true,"type":"work","value":"person%d@bench.example"},{"type":"home","value":"person%d@home.example"}],"meta":{"resourceType":"User"},"name":{"formatted":"Person %d","familyName":"Number %d","givenName":"Person"},"title":"Engineer of the second class","preferredLanguage":"en-GB","addresses":[{"type":"work","streetAddress":"12 Quay Street","locality":"Bristol","region":"Avon","postalCode":"BS1 4ND","country":"GB","formatted":"12 Quay Street, Bristol"}],"phoneNumbers":[{"type":"work","value":"+44 117 496 %04d"},{"type":"mobile","value":"+44 7700 90%04d"}],"roles":[],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Facilities and Energy","employeeNumber":"%d","costCenter":"4130","organization":"Bench","division":"Operations"}}`, n, n, n, n, n, n, n, n%10000, n%10000, n)
}

func (v *vestibule) createUser() error {
	n := v.created.Add(1)
	body, err := v.call(http.MethodPost, scimBase+"/Users", userBody(n), http.StatusCreated)
	if err != nil {
		return err
	}
	var user struct{ ID string }
	if err := json.Unmarshal(body, &user); err != nil {
		return err
	}
	v.usersMu.Lock()
	v.users = append(v.users, user.ID)
	v.numbers[user.ID] = n
	v.usersMu.Unlock()
	return nil
}

// populate pushes users until n are there, or copies them where they are many.
func (v *vestibule) populate(n int) error {
	if n-len(v.users) >= loadFrom {
		return v.load(context.Background(), n)
	}
	errs := make(chan error, 16)
	var left atomic.Int64
	left.Store(int64(n - len(v.users)))
	for range cap(errs) {
		go func() {
			for left.Add(-1) >= 0 {
				if err := v.createUser(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range cap(errs) {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// waitFor polls until the address answers 200, closely, since the time until then is itself a figure.
func waitFor(ctx context.Context, where string) error {
	client := &http.Client{Timeout: time.Second}
	end := time.Now().Add(30 * time.Second)
	for time.Now().Before(end) && ctx.Err() == nil {
		if r, err := client.Get(where); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("%s did not answer 200 within 30 s", where)
}

func psql(address, statement string) error {
	if out, err := exec.Command("psql", address, "-qX", "-v", "ON_ERROR_STOP=1", "-c", statement).CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, out)
	}
	return nil
}

// postmaster finds the process of the cluster at address.
func postmaster(address string) (int, error) {
	out, err := exec.Command("psql", address, "-AtqX", "-c", "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)").Output()
	if err != nil {
		return 0, fmt.Errorf("psql: %w", err)
	}
	var pid int
	_, err = fmt.Sscan(string(out), &pid)
	return pid, err
}

func replaceDatabase(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Path = "/" + name
	return u.String()
}

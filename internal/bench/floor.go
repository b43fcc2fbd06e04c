package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver Vestibule itself uses, without Vestibule
)

// floorServer is the hello handler in a process of its own, so that its CPU can be read.
type floorServer struct {
	base string
	cmd  *exec.Cmd
	dir  string
}

func startFloor(ctx context.Context) (*floorServer, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "vestibule-bench-")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-child", addr)
	cmd.Stderr, cmd.Dir = os.Stderr, dir
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &floorServer{base: "http://" + addr, cmd: cmd, dir: dir}
	return f, waitFor(ctx, f.base+"/hello")
}

func (f *floorServer) stop() {
	_ = f.cmd.Process.Kill()
	_ = f.cmd.Wait()
	_ = os.RemoveAll(f.dir)
}

func (f *floorServer) cpu() func() time.Duration { return processCPU(f.cmd.Process.Pid) }

// serveFloor is the child: /hello answers a small JSON document, /null decodes a SCIM user, adds an id and meta, and encodes
// it again, with no store behind it. /bare is /null with a row stored by the store's driver, and /row reads one.
func serveFloor(addr string) error {
	hello := []byte(`{"hello":"world"}`)
	var bare bareStores
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(hello)
	})
	var n atomic.Int64
	copied := func(r *http.Request) (id int64, out []byte, err error) {
		body, err := io.ReadAll(r.Body)
		var user map[string]any
		if err == nil {
			err = json.Unmarshal(body, &user)
		}
		if err != nil {
			return 0, nil, err
		}
		id = n.Add(1)
		user["id"] = fmt.Sprintf("%032d", id)
		user["meta"] = map[string]any{"resourceType": "User", "created": time.Now(), "lastModified": time.Now()}
		out, err = json.Marshal(user)
		return id, out, err
	}
	answer := func(w http.ResponseWriter, status int, out []byte, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/scim+json")
		w.WriteHeader(status)
		_, _ = w.Write(out)
	}
	mux.HandleFunc("/null", func(w http.ResponseWriter, r *http.Request) {
		_, out, err := copied(r)
		answer(w, http.StatusCreated, out, err)
	})
	mux.HandleFunc("/bare", func(w http.ResponseWriter, r *http.Request) {
		id, out, err := copied(r)
		var store bareStore
		if err == nil {
			store, err = bare.of(r.URL.Query().Get("store"))
		}
		if err == nil {
			err = store.insert(r.Context(), id, string(out))
		}
		answer(w, http.StatusCreated, out, err)
	})
	mux.HandleFunc("/row", func(w http.ResponseWriter, r *http.Request) {
		store, err := bare.of(r.URL.Query().Get("store"))
		var out string
		if err == nil {
			out, err = store.read(r.Context(), bare.n.Add(7919)%bareRows)
		}
		answer(w, http.StatusOK, []byte(out), err)
	})
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return server.ListenAndServe()
}

// pgFloor runs pgbench scripts in a database of its own on the same cluster.
type pgFloor struct {
	url string
	dir string
}

// The SCIM-shaped row: 1 kB of jsonb and three indexes, as facts about the machine's disk and PostgreSQL, not about us.
const floorSchema = `create table scim_row (
  organization text not null, id uuid primary key default gen_random_uuid(), user_name text not null,
  external_id text, document jsonb not null);
create unique index on scim_row (organization, user_name);
create index on scim_row (organization, external_id);
create table counter_row (id int primary key, document jsonb not null, version bigint not null);
insert into counter_row select n, jsonb_build_object('filler', repeat('x', 1000)), 1 from generate_series(1, 10000) n;`

func newPGFloor(admin string) (*pgFloor, error) {
	if admin == "" {
		return nil, errors.New("VESTIBULE_TEST_POSTGRES is not set; run by make bench")
	}
	dir, err := os.MkdirTemp("", "vestibule-bench-")
	if err != nil {
		return nil, err
	}
	f := &pgFloor{url: replaceDatabase(admin, "floor"), dir: dir}
	if err := psql(admin, "drop database if exists floor"); err != nil {
		return nil, err
	}
	if err := psql(admin, "create database floor"); err != nil {
		return nil, err
	}
	if err := psql(f.url, floorSchema); err != nil {
		return nil, err
	}
	filler := strings.Repeat("x", 900)
	scripts := map[string]string{
		// pgbench puts no variable inside a literal in prepared mode, hence the concatenation.
		"insert": `\set n random(1, 2000000000)
\set m random(1, 2000000000)
insert into scim_row (organization, user_name, external_id, document) values ('bench', 'user-' || :n || '-' || :m, 'ext-' || :n, '{"filler":"` + filler + `"}');`,
		"update": `\set n random(1, 10000)
update counter_row set version = version + 1 where id = :n;`,
		"select": `\set n random(1, 10000)
select document from counter_row where id = :n;`,
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// run gives a pgbench script's transactions per second.
func (f *pgFloor) run(ctx context.Context, script string, clients int, span time.Duration, cpu func() time.Duration) (result, error) {
	seconds := max(1, int(span.Seconds()+0.5))
	before := cpu()
	out, err := exec.CommandContext(ctx, "/usr/lib/postgresql/15/bin/pgbench", "-n", "-M", "prepared", "-f", filepath.Join(f.dir, script),
		"-c", fmt.Sprint(clients), "-j", "2", "-T", fmt.Sprint(seconds), f.url).CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	var r result
	for line := range strings.Lines(string(out)) {
		if _, err := fmt.Sscanf(line, "number of transactions actually processed: %d", &r.n); err == nil {
			break
		}
	}
	r.elapsed = time.Duration(seconds) * time.Second
	r.cpuOther = cpu() - before
	return r, nil
}

const (
	rawSchema = `create table scim_row (organization text not null, id text primary key, user_name text not null, external_id text, document text not null);
create unique index scim_row_user_name on scim_row (organization, user_name);
create index scim_row_external_id on scim_row (organization, external_id)`
	rawInsert = `insert into scim_row (organization, id, user_name, external_id, document) values ('bench', $1, $2, $3, $4)`
)

// rawSQLite inserts a SCIM-shaped row with three keys in a transaction each, WAL and synchronous FULL, one writer: what the
// driver and the disk give at best without group commit.
func rawSQLite(ctx context.Context, span time.Duration) (float64, error) {
	dir, err := os.MkdirTemp("", "vestibule-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "floor.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, rawSchema); err != nil {
		return 0, err
	}
	insert, err := db.PrepareContext(ctx, rawInsert)
	if err != nil {
		return 0, err
	}
	defer insert.Close()
	document := `{"filler":"` + strings.Repeat("x", 1000) + `"}`
	n := 0
	start := time.Now()
	for time.Since(start) < span {
		n++
		if _, err := insert.ExecContext(ctx, fmt.Sprintf("%032d", n), fmt.Sprintf("user-%d", n), fmt.Sprintf("ext-%d", n), document); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

type signerRates struct{ es256, rs256 float64 }

// measureSigners signs a token's digest on two goroutines: the limit of any token endpoint on this machine.
func measureSigners(span time.Duration) signerRates {
	digest := sha256.Sum256(make([]byte, 700))
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	rate := func(sign func() error) float64 {
		var n atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for range 2 {
			wg.Go(func() {
				for time.Since(start) < span {
					if sign() == nil {
						n.Add(1)
					}
				}
			})
		}
		wg.Wait()
		return float64(n.Load()) / time.Since(start).Seconds()
	}
	return signerRates{
		es256: rate(func() error { _, err := ecdsa.SignASN1(rand.Reader, ec, digest[:]); return err }),
		rs256: rate(func() error { _, err := rsa.SignPKCS1v15(rand.Reader, rs, crypto.SHA256, digest[:]); return err }),
	}
}

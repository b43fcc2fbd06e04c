package storetest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// role is what the store connects as: it owns its databases and nothing else.
const (
	role         = "vestibule_test"
	rolePassword = "vestibule_test"
)

const install = "Storage is tested on PostgreSQL too. Install its server (Debian: apt install postgresql), " +
	"or name a running one: VESTIBULE_TEST_POSTGRES=postgres://admin:password@host/postgres"

// postgresServer is the server all tests of this process share.
//
// Making a database takes half a second of file creation, emptying one a few milliseconds. So databases are kept and used
// again, by later processes too: whoever uses one holds an advisory lock of its name, which ends with its session, and
// empties it before use.
type postgresServer struct {
	address *url.URL      // with the administrator's credential
	admin   *pgxpool.Pool // few connections, for creating and dropping databases
	// template is made at the first clone.
	template func() (*template, error)

	mu    sync.Mutex
	locks *pgx.Conn // holds the locks of this process's databases; guarded by mu
	using map[string]bool
}

// template is a migrated database to clone, and the script that makes a used clone like it again.
type template struct {
	name  string
	reset string
}

var sharedServer = sync.OnceValues(startServer)

func server(t testing.TB) *postgresServer {
	t.Helper()
	s, err := sharedServer()
	if err != nil {
		t.Fatalf("%v\n%s", err, install)
	}
	return s
}

func startServer() (*postgresServer, error) {
	raw := os.Getenv("VESTIBULE_TEST_POSTGRES")
	if raw == "" {
		var err error
		if raw, err = throwaway(); err != nil {
			return nil, err
		}
	}
	address, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("VESTIBULE_TEST_POSTGRES is not a URL")
	}
	config, err := pgxpool.ParseConfig(raw)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 2
	admin, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	s := &postgresServer{address: address, admin: admin, using: map[string]bool{}}
	s.template = sync.OnceValues(s.makeTemplate)
	return s, s.prepare()
}

// exclusive runs fn while no other test process of this server does.
func (s *postgresServer) exclusive(fn func(ctx context.Context, conn *pgxpool.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := s.admin.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock(7361621)"); err != nil {
		return err
	}
	defer func() { _, _ = conn.Exec(ctx, "select pg_advisory_unlock(7361621)") }()
	return fn(ctx, conn)
}

// prepare makes the role, and drops what was left behind: by killed tests, and by tests of other schemas an hour ago.
func (s *postgresServer) prepare() error {
	return s.exclusive(func(ctx context.Context, conn *pgxpool.Conn) error {
		var n int
		if err := conn.QueryRow(ctx, "select count(*) from pg_roles where rolname = $1", role).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			if _, err := conn.Exec(ctx, "create role "+role+" login nosuperuser nocreatedb nocreaterole nobypassrls password '"+rolePassword+"'"); err != nil {
				return err
			}
		}
		names, err := conn.Query(ctx, `select datname from pg_database where datname like 'vt\_%'`)
		if err != nil {
			return err
		}
		old, err := pgx.CollectRows(names, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, name := range old {
			parts := strings.Split(name, "_") // see databaseName
			made, err := strconv.ParseInt(parts[1], 36, 64)
			if err != nil || len(parts) != 4 || !leftover(parts[2], parts[3], time.Since(time.Unix(made, 0))) {
				continue
			}
			var unused bool
			if err := conn.QueryRow(ctx, "select pg_try_advisory_lock("+lockByName+")", name).Scan(&unused); err != nil {
				return err
			}
			if unused {
				_, _ = conn.Exec(ctx, "drop database if exists "+name+" with (force)")
				_, _ = conn.Exec(ctx, "select pg_advisory_unlock("+lockByName+")", name)
			}
		}
		return nil
	})
}

// leftover says whether a database that nobody holds the lock of may go.
func leftover(schema, what string, age time.Duration) bool {
	switch {
	case what == unfinished:
		return true // whoever makes a template is alone, as we are now: its maker is gone
	case schema == noSchema:
		return age > 10*time.Minute // a test drops its own, and one that is being created is not locked yet
	}
	// Another branch's databases are its own to use again.
	return schema != fingerprint() && age > time.Hour
}

// makeTemplate gives a database with the schema, made once for each schema and server. Its comment keeps the script.
func (s *postgresServer) makeTemplate() (*template, error) {
	t := &template{}
	err := s.exclusive(func(ctx context.Context, conn *pgxpool.Conn) error {
		const find = `
			select d.datname, c.description
			from pg_database d
			join pg_shdescription c on c.objoid = d.oid
			where d.datname like $1`
		if err := conn.QueryRow(ctx, find, `vt\_%\_`+fingerprint()+`\_template`).Scan(&t.name, &t.reset); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		// Only when it is complete does it get the name it is looked for by.
		t.name = databaseName(fingerprint(), "template")
		work := databaseName(fingerprint(), unfinished)
		if _, err := conn.Exec(ctx, "create database "+work+" owner "+role); err != nil {
			return err
		}
		db, err := store.Open(ctx, store.Options{URL: s.url(work), Migrate: true, MaxConns: 2})
		if err != nil {
			return err
		}
		db.Close()
		if t.reset, err = s.resetScript(ctx, work); err != nil {
			return err
		}
		for _, sql := range []string{
			"comment on database " + work + " is " + quote(t.reset),
			"alter database " + work + " rename to " + t.name,
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	return t, err
}

// resetScript empties every table and puts back the rows that the migrations themselves made.
func (s *postgresServer) resetScript(ctx context.Context, database string) (string, error) {
	conn, err := pgx.Connect(ctx, s.url(database))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	// A table is younger than those it refers to: the youngest is emptied first.
	found, err := conn.Query(ctx, `
		select relname
		from pg_class
		where relkind = 'r'
		and relnamespace = 'public'::regnamespace
		and relname <> 'goose_db_version'
		order by oid desc`)
	if err != nil {
		return "", err
	}
	tables, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	script := "select set_config('vestibule.system', 'on', true);\n"
	refill := ""
	for _, table := range tables {
		script += "delete from " + table + ";\n"
		var rows *string
		if err := conn.QueryRow(ctx, "select json_agg(t)::text from "+table+" t").Scan(&rows); err != nil {
			return "", err
		}
		if rows != nil {
			refill = "insert into " + table + " select * from json_populate_recordset(null::" + table + ", " + quote(*rows) + ");\n" + refill
		}
	}
	return script + refill, nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// clone gives the address of a migrated database that only this test uses.
func (s *postgresServer) clone(t testing.TB) string {
	t.Helper()
	template, err := s.template()
	if err != nil {
		t.Fatalf("prepare the PostgreSQL template: %v", err)
	}
	name, fresh, err := s.claim(template)
	if err != nil {
		t.Fatalf("find a database: %v", err)
	}
	t.Cleanup(func() { s.release(t, name) })
	if fresh {
		_, err = s.admin.Exec(context.Background(), "create database "+name+" template "+template.name+" owner "+role)
	} else {
		err = s.reset(template, name)
	}
	if err != nil {
		t.Fatalf("prepare a database: %v", err)
	}
	return s.url(name)
}

// What stands in a name for a template that is being made, and for a database without tables.
const (
	unfinished = "template0"
	noSchema   = "empty"
)

const lockByName = "hashtextextended($1, 7361621)"

// claim takes a database that nobody uses, or the name of a fresh one.
func (s *postgresServer) claim(template *template) (name string, fresh bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.connectLocks(ctx); err != nil {
		return "", false, err
	}
	rows, err := s.locks.Query(ctx, "select datname from pg_database where datname ~ '^vt_[0-9a-z]+_"+fingerprint()+"_[0-9a-f]{12}$'")
	if err != nil {
		return "", false, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", false, err
	}
	names = append(names, databaseName(fingerprint(), random()))
	for i, name := range names {
		// A session may take its own lock twice, so what this process uses is known here.
		if s.using[name] {
			continue
		}
		if free, err := s.hold(ctx, name); err != nil || free {
			return name, i == len(names)-1, err
		}
	}
	return "", false, errors.New("even a fresh name is taken")
}

// connectLocks opens the session that holds the locks; the caller holds mu.
func (s *postgresServer) connectLocks(ctx context.Context) (err error) {
	if s.locks == nil {
		s.locks, err = pgx.Connect(ctx, s.address.String())
	}
	return err
}

// hold takes a database for a test of this process, unless another process has it; the caller holds mu.
func (s *postgresServer) hold(ctx context.Context, name string) (free bool, err error) {
	if err := s.locks.QueryRow(ctx, "select pg_try_advisory_lock("+lockByName+")", name).Scan(&free); err != nil {
		return false, err
	}
	if free {
		s.using[name] = true
	}
	return free, nil
}

func (s *postgresServer) release(t testing.TB, name string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.using, name)
	if _, err := s.locks.Exec(context.Background(), "select pg_advisory_unlock("+lockByName+")", name); err != nil {
		t.Errorf("release the database: %v", err)
	}
}

// reset makes a used clone like its template. It undoes no change of the schema: a test that makes one takes an empty
// database instead (EmptyURL).
func (s *postgresServer) reset(template *template, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url(name))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	// What is left of a test that crashed may still hold rows.
	_, err = conn.Exec(ctx, `
		select pg_terminate_backend(pid)
		from pg_stat_activity
		where datname = $1
			and pid <> pg_backend_pid()
			and backend_type = 'client backend'`, name) // autovacuum belongs to the superuser, and is in nobody's way
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, template.reset)
	return err
}

// databaseName says when a database was made and of which schema, so that later tests know what may go.
func databaseName(schema, what string) string {
	return fmt.Sprintf("vt_%s_%s_%s", strconv.FormatInt(time.Now().Unix(), 36), schema, what)
}

func random() string { return hex.EncodeToString(seal.Random(6)) }

// empty gives the address of a database without tables, dropped with the test.
func (s *postgresServer) empty(t testing.TB) string {
	t.Helper()
	name := databaseName(noSchema, random())
	s.mu.Lock()
	err := s.connectLocks(context.Background())
	if err == nil {
		_, err = s.hold(context.Background(), name)
	}
	s.mu.Unlock()
	if err != nil {
		t.Fatalf("lock a database: %v", err)
	}
	if _, err := s.admin.Exec(context.Background(), "create database "+name+" owner "+role); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		defer s.release(t, name)
		if _, err := s.admin.Exec(context.Background(), "drop database if exists "+name+" with (force)"); err != nil {
			t.Errorf("drop the database: %v", err)
		}
	})
	return s.url(name)
}

// url is the address of a database for the ordinary role.
func (s *postgresServer) url(database string) string {
	u := *s.address
	u.User = url.UserPassword(role, rolePassword)
	u.Path = "/" + database
	return u.String()
}

// AdminURL is the address of the same database for the server's administrator, for tests that watch from outside.
func AdminURL(t testing.TB, storeURL string) string {
	t.Helper()
	u, err := url.Parse(storeURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = server(t).address.User
	return u.String()
}

// throwaway gives the administrator's URL of this machine's cluster for tests, starting it where it does not run.
func throwaway() (string, error) {
	dir, err := home()
	if err != nil {
		return "", err
	}
	// Only one process starts it; the others wait here. The lock ends with the process that holds it.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "address")
	if raw, err := os.ReadFile(file); err == nil && alive(string(raw)) {
		return string(raw), nil
	}
	address, err := initialize(dir)
	if err != nil {
		return "", err
	}
	return address, os.WriteFile(file, []byte(address), 0o600)
}

func alive(address string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// initialize makes and starts a cluster that may lose everything: nothing is forced to disk.
func initialize(dir string) (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	removeDead(dir)
	data := filepath.Join(dir, "postgres-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", err
	}
	run := func(name string, args ...string) error {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = "/"
		if os.Getuid() == 0 { // PostgreSQL refuses to run as root
			if cmd.SysProcAttr, err = asPostgres(data); err != nil {
				return err
			}
		}
		// A buffer instead of a file would keep us waiting for the server's own output to end.
		out, err := os.CreateTemp(dir, name)
		if err != nil {
			return err
		}
		defer func() { _, _ = out.Close(), os.Remove(out.Name()) }()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			said, _ := os.ReadFile(out.Name())
			return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said))
		}
		return nil
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	if err := run("initdb", "-D", filepath.Join(data, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"); err != nil {
		return "", err
	}
	settings := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off "+
		"-c synchronous_commit=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=64MB "+
		"-c autovacuum=off -c log_min_messages=fatal -c deadlock_timeout=20ms", port)
	if err := run("pg_ctl", "start", "-w", "-D", filepath.Join(data, "data"), "-l", filepath.Join(data, "log"), "-o", settings); err != nil {
		return "", err
	}
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), nil
}

// removeDead removes the folders of clusters that no longer run; the caller holds the lock under which one is started.
func removeDead(dir string) {
	clusters, _ := filepath.Glob(filepath.Join(dir, "postgres-*"))
	for _, cluster := range clusters {
		// The first line of this file is the server's process, which removes it when it ends in good order.
		text, err := os.ReadFile(filepath.Join(cluster, "data", "postmaster.pid"))
		if err == nil {
			first, _, _ := strings.Cut(string(text), "\n")
			pid, err := strconv.Atoi(first)
			if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				continue
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			continue
		}
		_ = os.RemoveAll(cluster)
	}
}

// binaries finds the folder with initdb and pg_ctl; Debian keeps them out of PATH, the newest version last.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql@*/bin/initdb"} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL's initdb is not on this machine")
	}
	sort.Strings(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// asPostgres makes a command run as the user postgres, who then owns data.
func asPostgres(data string) (*syscall.SysProcAttr, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("root may not run PostgreSQL, and there is no user postgres: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(data, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

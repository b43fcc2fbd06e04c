package store_test

import (
	"database/sql"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/migrations"
)

func TestTry_KeepsNothingAndMeetsTheRulesOfTheSchema(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		organization(t, db, "northwind")
		ran := 0
		err := db.Try(t.Context(), "northwind", func(tx *store.Tx) error {
			ran++
			if _, err := tx.Exec(t.Context(), insertResource, tx.Organization, "hamburg"); err != nil {
				return err
			}
			tx.Queue(insertResource, tx.Organization, "berlin")
			tx.Record(t.Context(), audit.Event{Action: "resource.created", TargetID: "berlin"})
			if got := tx.Recorded(); len(got) != 1 || got[0].TargetID != "berlin" {
				t.Errorf("recorded: %v", got)
			}
			return nil
		})
		if err != nil || ran == 0 {
			t.Fatalf("ran %d times: %v", ran, err)
		}
		if diff := cmp.Diff(resources(t, db, "northwind"), []string(nil)); diff != "" {
			t.Errorf("something stayed: %s", diff)
		}
		var events []audit.Event
		if err := db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
			events, err = tx.Events(t.Context(), store.AuditFilter{})
			return err
		}); err != nil || len(events) != 0 {
			t.Errorf("events: %v, %v", events, err)
		}

		// What is only queued is refused here as it would be at the commit.
		err = db.Try(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Queue(insertResource, tx.Organization, "berlin")
			tx.Queue(insertResource, tx.Organization, "berlin")
			return nil
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("the same id twice: %v", err)
		}
		if err := db.Try(t.Context(), "northwind", func(*store.Tx) error { return errRefused }); !errors.Is(err, errRefused) {
			t.Errorf("the closure's own error: %v", err)
		}
	})
}

// logRequests puts rows into the log of Northwind's directory, one for each moment; its id was made so much later.
func logRequests(t *testing.T, db *store.DB, later time.Duration, moments ...time.Time) {
	t.Helper()
	list := make([]directory.Request, len(moments))
	for i, m := range moments {
		list[i] = directory.Request{Directory: "entra", ID: id.At[id.Request](m.Add(later)), At: m, Status: 200, TokenState: directory.TokenGood}
	}
	err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
		tx.LogRequests(t.Context(), list)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// loggedMoments gives the moments of the log in order, listed by a filter.
func loggedMoments(t *testing.T, db *store.DB, f store.RequestFilter) (out []time.Time) {
	t.Helper()
	f.Limit = 10000
	err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
		list, err := tx.Requests(t.Context(), "entra", f)
		for i := range list {
			out = append(out, list[i].At)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// Nodes whose clocks differ, and a release that made ids when it wrote, leave rows whose ids are not in the order of their moments. All
// of them go, at most so much later, and none stands in the way of others.
func TestCleanup_DropsRequestsWhoseIdsAreOutOfOrder(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		if err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
			d := store.DeclaredDirectory{Organization: "northwind", ID: "entra", Name: "Entra", Dialect: "entra", Key: directory.KeyExternalID}
			d.RequestLog.RetentionSeconds = 3600
			tx.PutDeclaredDirectory(d)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		begin := clock.Now()
		var ours, theirs, old []time.Time
		for i := range 200 {
			m := begin.Add(time.Duration(i) * 100 * time.Millisecond)
			ours, theirs, old = append(ours, m), append(theirs, m.Add(-3*time.Second)), append(old, m)
		}
		logRequests(t, db, 0, ours...)
		logRequests(t, db, 0, theirs...)
		logRequests(t, db, 2*time.Second, old...)
		// A whole page that is older by its ids than by its moments: a clock was set back.
		logRequests(t, db, -8760*time.Hour, slices.Repeat([]time.Time{begin.Add(8760 * time.Hour)}, 300)...)

		step := func(d time.Duration) []time.Time {
			t.Helper()
			clock.Advance(d)
			if _, err := db.Cleanup(t.Context()); err != nil {
				t.Fatal(err)
			}
			return loggedMoments(t, db, store.RequestFilter{})
		}
		if got := len(step(59 * time.Minute)); got != 900 {
			t.Errorf("%d rows are left before anything is due, want 900", got)
		}
		left := step(time.Minute + 10*time.Second)
		due := clock.Now().Add(-time.Hour)
		for _, m := range left {
			if m.Before(due.Add(-2 * time.Second)) {
				t.Errorf("the row of %s is left %s after it was due", m, due.Sub(m))
			}
		}
		if want := 2*100 + 100 - 30 + 20; len(left) != want {
			t.Errorf("%d rows are left halfway, want %d", len(left), want)
		}
		if left = step(12 * time.Second); len(left) != 0 {
			t.Errorf("%d rows are left at the end: %v", len(left), left[0])
		}
	})
}

// A listing is bounded by ids and judged by moments, whichever release made the ids.
func TestRequests_BetweenTwoMoments(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db, _ := newcomers(t, kind)
		begin := db.Now()
		var all []time.Time
		for i := range 20 {
			all = append(all, begin.Add(time.Duration(i)*time.Second))
		}
		logRequests(t, db, 0, all[:10]...)
		logRequests(t, db, 30*time.Second, all[10:]...)
		for _, c := range []struct {
			from, to time.Time
			want     []time.Time
		}{
			{want: all},
			{from: all[5], want: all[5:]},
			{from: all[15], want: all[15:]},
			{to: all[5], want: all[:5]},
			{to: all[15], want: all[:15]},
			{from: all[3].Add(time.Microsecond), to: all[12].Add(time.Microsecond), want: all[4:13]},
		} {
			if diff := cmp.Diff(loggedMoments(t, db, store.RequestFilter{From: c.from, To: c.to}), c.want); diff != "" {
				t.Errorf("from %s to %s: %s", c.from, c.to, diff)
			}
		}
	})
}

// A log may hold billions of rows: what looks for a time in it is bounded by the key, and nothing is read to be sorted.
func TestRequests_AreFoundByTimeInTheKey(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db, _ := newcomers(t, kind)
		bound := map[string]*regexp.Regexp{}
		for name, by := range map[string]string{"drop": "id<", "list": "id> id<", "refused": "id>", "calls": "id<"} {
			if kind == storetest.SQLite {
				bound[name] = regexp.MustCompile(`\(organization=\? AND directory=\? AND ` + strings.ReplaceAll(by, " ", `\? AND `) + `\?\)`)
				continue
			}
			bound[name] = regexp.MustCompile(`Index Cond: .*` + strings.NewReplacer(" ", ".*", "id", `\(id `, ">", ">=").Replace(by))
		}
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			plans, err := tx.RequestPlans(t.Context(), "entra", db.Now())
			for name, plan := range plans {
				if !bound[name].MatchString(plan) || strings.Contains(plan, "SCAN scim_requests") || strings.Contains(plan, "Seq Scan") {
					t.Errorf("%s is not bounded by the key:\n%s", name, plan)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What was in the log before it was ordered by its ids alone is all there afterwards.
func TestMigrate_KeepsTheRequestLog(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url := storetest.EmptyURL(t, kind)
		driver, name, dialect, steps := "pgx", url, goose.DialectPostgres, migrations.Postgres()
		if kind == storetest.SQLite {
			driver, name, dialect, steps = "sqlite", strings.TrimPrefix(url, "sqlite:"), goose.DialectSQLite3, migrations.SQLite()
		}
		old, err := sql.Open(driver, name)
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		old.SetMaxOpenConns(1)
		p, err := goose.NewProvider(dialect, old, steps, goose.WithDisableGlobalRegistry(true))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.UpTo(t.Context(), 22); err != nil {
			t.Fatal(err)
		}
		exec := func(text string, args ...any) {
			t.Helper()
			if _, err := old.ExecContext(t.Context(), text, args...); err != nil {
				t.Fatal(err)
			}
		}
		if kind == storetest.Postgres {
			exec(`select set_config('vestibule.system', 'on', false)`)
		}
		exec(`insert into organizations (organization, name, settings, flags, version, created) values ('northwind', 'Northwind', '{}', '{}', 1, 1)`)
		exec(`insert into directories (organization, id, name, dialect, match_key, document, version, created)
			values ('northwind', 'entra', 'Entra', 'entra', 'externalId', '{}', 1, 1)`)
		begin := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
		var want []directory.Request
		for i := range 300 {
			r := directory.Request{
				Directory: "entra", ID: id.At[id.Request](begin.Add(time.Duration(i) * time.Second)), At: begin.Add(time.Duration(i) * time.Second),
				Method: "POST", Path: "/Users", Status: 201, Took: time.Millisecond, Operation: "Created ann", Search: "ann", TokenState: directory.TokenGood,
				IP: "192.0.2.1", Request: "r", Whole: true, Body: strings.Repeat("b", 200*i), Answer: "{}",
			}
			exec(`insert into scim_requests (organization, directory, id, at, method, path, query, status, duration_us, operation, search,
					token_state, ip, request, whole, request_body, response_body)
				values ('northwind', 'entra', $1, $2, $3, $4, '', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
				string(r.ID), r.At.UnixMicro(), r.Method, r.Path, r.Status, r.Took.Microseconds(), r.Operation, r.Search, string(r.TokenState), r.IP,
				r.Request, r.Whole, r.Body, r.Answer)
			want = append(want, r)
		}
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}

		db := storetest.OpenURL(t, url, func(o *store.Options) { o.Migrate = true })
		err = db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			for i := range want {
				got, err := tx.Request(t.Context(), "entra", want[i].ID)
				if err != nil {
					return err
				}
				if diff := cmp.Diff(got, want[i]); diff != "" {
					t.Fatalf("request %d (-got +want):\n%s", i, diff)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(loggedMoments(t, db, store.RequestFilter{})); got != len(want) {
			t.Errorf("%d rows are listed, want %d", got, len(want))
		}
	})
}

// However many rows a statement takes: what belongs to a directory that is gone by now takes none of the others along.
func TestLogRequests_LeaveOutWhatIsOfADirectoryThatIsGone(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db, _ := newcomers(t, kind)
		var list []directory.Request
		for i := range 32 + 4 + 2 {
			r := directory.Request{Directory: "entra", ID: id.At[id.Request](db.Now()), At: db.Now(), Status: 200 + i, TokenState: directory.TokenGood}
			if i%3 == 0 {
				r.Directory = "gone"
			}
			list = append(list, r)
		}
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.LogRequests(t.Context(), list)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			var n, sum int
			err := tx.Row(t.Context(), `
				select count(*), sum(status)
				from scim_requests
				where organization = 'northwind'
					and directory = 'entra'`).Scan(&n, &sum)
			if n != 25 || sum != 25*200+469 {
				t.Errorf("%d rows are kept, their statuses add up to %d", n, sum)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

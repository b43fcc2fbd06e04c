package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// lookedUp is a store in which values are held by nobody, one, two, three and somebody of another organization.
func lookedUp(t *testing.T, kind storetest.Kind) (db *store.DB, by store.Pusher, people []string) {
	t.Helper()
	db, by = newcomers(t, kind)
	push := func(org id.Organization, body string) string {
		var res *scim.Resource
		err := db.Write(t.Context(), org, func(tx *store.Tx) (err error) {
			var refusal error
			res, refusal, err = tx.Push(by).CreateUser(t.Context(), decided(t, by.User, body), scim.Want{})
			return cmp2(refusal, err)
		})
		if err != nil {
			t.Fatal(err)
		}
		return res.ID
	}
	for i, body := range []string{
		`"userName":"Ada@northwind.example","externalId":"E-1","emails":[{"value":"Ada@northwind.example","type":"work"},{"value":"ada@northwind.example","type":"home"}]`,
		`"userName":"bob","externalId":"e-1","emails":[{"value":"two@northwind.example"},{"value":"three@northwind.example"}]`,
		`"userName":"cleo","externalId":"e-1","emails":[{"value":"two@northwind.example"},{"value":"three@northwind.example"}]`,
		`"userName":"dan","externalId":"e-3","emails":[{"value":"three@northwind.example"}],"active":false`,
		`"userName":"eve","externalId":"e-3"`,
		`"userName":"fay","externalId":"e-3"`,
	} {
		people = append(people, push("northwind", body))
		if i == 0 {
			push("fieldserv", `"userName":"elsewhere","externalId":"e-else","emails":[{"value":"else@northwind.example"}]`)
		}
	}
	err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error { return groupOf(t, tx, by, "Team", people[0], people[3]) })
	if err != nil {
		t.Fatal(err)
	}
	return db, by, people
}

// groupOf pushes a group.
func groupOf(t *testing.T, tx *store.Tx, by store.Pusher, name string, members ...string) error {
	t.Helper()
	var in []string
	for _, user := range members {
		in = append(in, fmt.Sprintf(`{"value":%q}`, user))
	}
	body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q,"members":[%s]}`, name, strings.Join(in, ","))
	raw, err := scim.DecodeJSON([]byte(body), scim.DefaultLimits)
	if err != nil {
		return err
	}
	r, err := by.Group.Create(raw, scim.RFC)
	if err != nil {
		return err
	}
	_, err = tx.Push(by).CreateGroup(t.Context(), r, scim.Want{})
	return err
}

func query(t *testing.T, by store.Pusher, filter string, q scim.Query) scim.Query {
	t.Helper()
	f, err := scim.ParseFilter(by.User, filter, scim.RFC)
	if err != nil {
		t.Fatal(err)
	}
	q.Filter = f
	return q
}

// A lookup answers what the list answers, alone and where many share a statement, and leaves to the list what is none.
func TestFindUser_AnswersWhatTheListAnswers(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db, by, people := lookedUp(t, kind)
		ctx := t.Context()
		var lookups, lists []scim.Query
		for _, q := range []scim.Query{{Count: 100}, {Count: 100, Want: scim.Want{Groups: true}}, {Count: 1, Want: scim.Want{Groups: true}}} {
			for _, filter := range []string{
				`id eq "` + people[3] + `"`, `id eq "` + strings.ToUpper(people[3]) + `"`, `id eq "nobody"`,
				`userName eq "ADA@northwind.example"`, `username EQ "bob"`, `userName eq "nobody"`, `userName eq "elsewhere"`,
				`externalId eq "E-1"`, `externalId eq "e-1"`, `externalId eq "e-2"`, `externalId eq "e-else"`,
				`emails.value eq "ADA@northwind.example"`, `emails.value eq "two@northwind.example"`, `emails.value eq "else@northwind.example"`,
				`urn:ietf:params:scim:schemas:core:2.0:User:userName eq "bob"`,
			} {
				lookups = append(lookups, query(t, by, filter, q))
			}
			for _, filter := range []string{`externalId eq "e-3"`, `emails.value eq "three@northwind.example"`} { // more than it tells apart
				lists = append(lists, query(t, by, filter, q))
			}
		}
		for _, filter := range []string{
			`userName ne "bob"`, `userName co "bob"`, `not (userName eq "bob")`, `userName eq "bob" and active eq true`, `displayName eq "x"`,
			`emails.type eq "work"`, `emails[value eq "two@northwind.example"]`, `name.familyName eq "x"`, `externalId pr`, `active eq true`, `userName eq ""`,
			`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber eq "1"`, `userName eq null`,
		} {
			f, err := scim.ParseFilter(by.User, filter, scim.RFC)
			if err == nil {
				lists = append(lists, scim.Query{Filter: f, Count: 100})
			}
		}
		bob := query(t, by, `userName eq "bob"`, scim.Query{Count: 100})
		for _, change := range []func(q *scim.Query){
			func(q *scim.Query) { q.Count = 0 }, func(q *scim.Query) { q.Offset = 1 }, func(q *scim.Query) { q.After = people[0] },
			func(q *scim.Query) { q.SortBy = &scim.Path{Attribute: q.Filter.Expr.(scim.Compare).Path.Attribute} },
			func(q *scim.Query) { q.Filter = nil },
		} {
			q := bob
			change(&q)
			lists = append(lists, q)
		}

		var wg sync.WaitGroup
		for range 3 { // so that values stand in a batch more than once
			for _, q := range lookups {
				wg.Go(func() {
					got, err := db.FindUser(ctx, "northwind", &by, q)
					if err != nil || got == nil {
						t.Errorf("%v: got %v, %v", q.Filter.Expr, got, err)
						return
					}
					var want *scim.Page
					err = db.Read(ctx, "northwind", func(tx *store.Tx) (err error) {
						want, err = tx.Push(by).List(ctx, by.User, q)
						return err
					})
					if diff := cmp.Diff(want, got); diff != "" || err != nil {
						t.Errorf("%v, count %d: %v, the list (-), the lookup (+):\n%s", q.Filter.Expr, q.Count, err, diff)
					}
				})
			}
		}
		wg.Wait()
		for _, q := range lists {
			if page, err := db.FindUser(ctx, "northwind", &by, q); page != nil || err != nil {
				t.Errorf("%+v: got %v, %v", q, page, err)
			}
		}
	})
}

// Whatever a batch's lookups go by, each is found by its own way and by no other.
func TestLookups_EachGoesItsWay(t *testing.T) {
	t.Parallel()
	db, _, people := lookedUp(t, storetest.Postgres)
	ways := []string{"id", "userName", "externalId", "emails.value"}
	values := []string{people[0], "bob", "e-1", "two@northwind.example"}
	finds := [][]string{{people[0]}, {people[1]}, {people[1], people[2]}, {people[1], people[2]}}
	for set := 1; set < 1<<len(ways); set++ {
		var by, asked []string
		var want [][]string
		for w, way := range ways {
			if set&(1<<w) == 0 {
				continue
			}
			for v, value := range values {
				by, asked = append(by, way), append(asked, value)
				want = append(want, nil)
				if v == w {
					want[len(want)-1] = finds[v]
				}
			}
		}
		got := db.FindTogether(t.Context(), "northwind", "entra", by, asked)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %v, %v:\n%s", by, asked, diff)
		}
	}
}

// Lookups that share a statement are answered each for itself: what cannot be looked up, who has gone and who leads spoil
// nobody else's.
func TestGetUser_IsAnsweredForItself(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		db, by, people := lookedUp(t, kind)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		ask := func(i int) {
			user := people[i%len(people)]
			switch i % 8 {
			case 6:
				if _, err := db.GetUser(gone, "northwind", &by, user, scim.Want{}); err == nil {
					return // it may have been part of another's batch
				} else if fault.KindOf(err) == fault.NotFound {
					t.Errorf("who has gone was told %v", err)
				}
			case 7:
				for _, no := range []string{"nobody", "", "a\x00b", "\xff"} { // PostgreSQL knows neither of the last two as texts
					if res, err := db.GetUser(t.Context(), "northwind", &by, no, scim.Want{}); res != nil || err == nil {
						t.Errorf("%q: got %v", no, res)
					}
				}
			default:
				res, err := db.GetUser(t.Context(), "northwind", &by, user, scim.Want{Groups: i%2 == 0})
				if err != nil || res.ID != user || !json.Valid(res.Document) {
					t.Errorf("got %v, %v", res, err)
				}
				if in := i%len(people) == 0; i%2 == 0 && err == nil && in != (len(res.Groups) == 1) {
					t.Errorf("%s is in %v", user, res.Groups)
				}
			}
		}
		var wg sync.WaitGroup
		for worker := range 16 {
			wg.Go(func() {
				for i := range 48 {
					ask(worker + i)
				}
			})
		}
		wg.Wait()
		if kind == storetest.Postgres {
			asked := []string{people[2], "nobody", people[0], people[2], "x"}
			if diff := cmp.Diff([]string{people[2], "", people[0], people[2], ""}, db.GetTogether(t.Context(), "northwind", "entra", asked)); diff != "" {
				t.Errorf("in one statement: want (-), got (+):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"failed", "failed"}, db.GetTogether(t.Context(), "northwind", "entra", []string{people[0], "a\x00b"})); diff != "" {
				t.Errorf("with what is no text: want (-), got (+):\n%s", diff)
			}
		}
		if res, err := db.GetUser(t.Context(), "fieldserv", &by, people[0], scim.Want{}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("another organization: got %v, %v", res, err)
		}
	})
}

// A lookup on PostgreSQL binds itself to its organization: it finds nothing of another one, nothing stays bound behind it, it goes
// through a pooler, and the loss of its connection is not noticed.
func TestLookup_BindsItself(t *testing.T) {
	t.Parallel()
	for _, pool := range []string{"", "&pool=transaction"} {
		url := storetest.URL(t, storetest.Postgres)
		db := storetest.OpenURL(t, url+pool, storetest.WithClock(storetest.NewClock()), storetest.With(func(o *store.Options) { o.MaxConns = 1 }))
		by := pusherTo(t, db)
		var user string
		err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			res, refusal, err := tx.Push(by).CreateUser(t.Context(), decided(t, by.User, `"userName":"ada"`), scim.Want{})
			user = res.ID
			return cmp2(refusal, err)
		})
		if err != nil {
			t.Fatal(err)
		}
		admin, err := pgx.Connect(t.Context(), storetest.AdminURL(t, url))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if res, err := db.GetUser(t.Context(), "northwind", &by, user, scim.Want{Groups: true}); err != nil || res.ID != user {
				t.Errorf("got %v, %v", res, err)
			}
			if res, err := db.GetUser(t.Context(), "fieldserv", &by, user, scim.Want{}); fault.KindOf(err) != fault.NotFound {
				t.Errorf("another organization: got %v, %v", res, err)
			}
			var bound string
			err = db.System().Read(t.Context(), func(tx *store.SystemTx) error {
				return tx.LastRow(t.Context(), "select coalesce(current_setting('vestibule.organization', true), '')").Scan(&bound)
			})
			if err != nil || bound != "" {
				t.Errorf("%q stays bound (%v)", bound, err)
			}
			if _, err := admin.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"); err != nil {
				t.Fatal(err)
			}
		}
		if err := admin.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// readsAll is how the stores' plans say that a table is read as a whole, or by so little of an index. The array of what is asked for
// is none.
var readsAll = regexp.MustCompile(`(?m)Index Cond: \([regmu](_\d+)?\.organization = [^()]*\)$|Seq Scan|Hash|hashed|Merge|SCAN (r|e|m|g|u|grants|restrictions)\b|AUTOMATIC`)

// What a lookup or a decision costs must not grow with the directory: each statement goes by an index on the value, on both
// stores, whatever the planner knows of the tables or last saw in them.
func TestLookups_GoByAnIndex(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		whatever(t, kind, func(db *store.DB, state string) {
			err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				for text, args := range tx.IndexedTexts() {
					plan, err := tx.KeptPlan(t.Context(), text, args)
					if err != nil {
						return err
					}
					if found := readsAll.FindString(strings.ReplaceAll(plan, "SCAN e VIRTUAL TABLE", "")); found != "" {
						t.Errorf("%s\nis planned, with %s, with a %s:\n%s", text, state, found, plan)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	})
}

// whatever checks a store in each state that its planner may have found the tables in when it made a plan, which is kept while they
// grow: PostgreSQL looks at a table by itself, and not before a minute has passed. SQLite never looks.
func whatever(t *testing.T, kind storetest.Kind, check func(db *store.DB, state string)) {
	t.Helper()
	if kind == storetest.SQLite {
		db, _, _ := lookedUp(t, kind)
		check(db, "a few people")
		return
	}
	// A database of its own: those that tests share remember what they once held.
	url := storetest.EmptyURL(t, kind)
	db := storetest.OpenURL(t, url, storetest.WithClock(storetest.NewClock()), storetest.With(func(o *store.Options) { o.Migrate = true }))
	pusherTo(t, db)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	run := func(statements ...string) {
		t.Helper()
		for _, sql := range statements {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	const grown = `
		insert into users (organization, id, status, seated, user_name, user_name_key, email, email_key, email_verified, display_name,
			kept_without_directory, custom_access, created, updated, logins)
		select 'northwind', md5(%[2]d || 'u' || n), 'active', true, md5(%[2]d || 'u' || n), md5(%[2]d || 'u' || n), md5(%[2]d || 'u' || n), md5(%[2]d || 'u' || n), true, 'U', false, false, 1, 1, 0
		from generate_series(1, %[1]d) n;
		insert into directory_records (organization, directory, user_id, external_id, user_name_key, display_name_key, active, document,
			folded, version, created, modified)
		select 'northwind', 'entra', md5(%[2]d || 'u' || n), md5(%[2]d || 'u' || n), md5(%[2]d || 'u' || n), 'u', true, '{}', '{}', 1, 1, 1
		from generate_series(1, %[1]d) n;
		insert into record_emails (organization, directory, user_id, position, value_key, is_primary)
		select 'northwind', 'entra', md5(%[2]d || 'u' || n), 0, md5(%[2]d || 'u' || n), true
		from generate_series(1, %[1]d) n;
		insert into groups (organization, id, directory, external_id, display_name, display_name_key, document, folded, version, created,
			modified)
		select 'northwind', md5(%[2]d || 'g' || n), 'entra', md5(%[2]d || 'g' || n), md5(%[2]d || 'g' || n), md5(%[2]d || 'g' || n), '{}', '{}', 1, 1, 1
		from generate_series(1, %[1]d) n;
		insert into group_members (organization, group_id, member_id, kind, source, added)
		select 'northwind', md5(%[2]d || 'g' || n), md5(%[2]d || 'u' || n), 'user', 'scim', 1
		from generate_series(1, %[1]d) n;
		insert into identities (organization, id, user_id, connection, issuer, subject, created, last_used)
		select 'northwind', md5(%[2]d || 'i' || n), md5(%[2]d || 'u' || n), 'corp', 'i', md5(%[2]d || 'u' || n), 1, 1
		from generate_series(1, %[1]d) n`
	const emptied = "delete from identities; delete from group_members; delete from groups; delete from directory_records; delete from users"
	run("select set_config('vestibule.system', 'on', false)")
	names, err := conn.Query(t.Context(), "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(names, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		run("alter table " + table + " set (autovacuum_enabled = off)") // each state is made, and stays
	}
	check(db, "nothing in them")
	run("analyze")
	check(db, "nothing in them, which is known")
	// What those leave behind who are gone makes one index deeper than another.
	for i, n := range []int{1, 2, 3, 7, 50, 300, 3000} {
		run(fmt.Sprintf(grown, n, i))
		check(db, fmt.Sprintf("%d people", n))
		run("vacuum")
		check(db, fmt.Sprintf("%d people, counted", n))
		run("analyze")
		check(db, fmt.Sprintf("%d people, which is known", n))
		run(emptied)
	}
	run(fmt.Sprintf(grown, 7, 7), "vacuum")
	check(db, "7 people left of 3000")
}

// PostgreSQL is told of every table that an organization may be all of it: a table that a migration adds says so too.
func TestTables_MayBelongToOneOrganization(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), storetest.URL(t, storetest.Postgres))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), `
		select c.relname || ' ' || coalesce(array_to_string(a.attoptions, ','), 'says nothing')
		from pg_class c
		join pg_attribute a on a.attrelid = c.oid
		where c.relkind = 'r'
			and c.relnamespace = 'public'::regnamespace
			and a.attname = 'organization'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 30 {
		t.Fatalf("got %d tables, %v", len(tables), err)
	}
	for _, table := range tables {
		if !strings.HasSuffix(table, " n_distinct=1") {
			t.Errorf("%s; its migration is to say: alter table … alter column organization set (n_distinct = 1)", table)
		}
	}
}

// readsEverybody is how the stores' plans say that the people of an organization are read.
var readsEverybody = regexp.MustCompile(`(?m)Index Cond: \([^()]*\borganization = [^()]*\)$|Seq Scan|Hash Join|Hash Semi|hashed|Merge Join|SCAN (u|p|k|users|passwords)\b|\(organization=\?\)$|AUTOMATIC`)

// Who holds an address, or has it as their userName, is found without reading everybody: anybody may ask at the sign-in page.
func TestHoldersOfAnAddress_AreFoundByAnIndex(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		undo := errors.New("nothing of it is to stay")
		whatever(t, kind, func(db *store.DB, state string) {
			err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
				texts, err := tx.AddressTexts(t.Context(), "northwind", "ada@northwind.example")
				if err != nil {
					return err
				}
				if want := 11; len(texts) != want {
					t.Errorf("got %d statements, want %d", len(texts), want)
				}
				for text, args := range texts {
					plan, err := tx.KeptPlan(t.Context(), text, args)
					if err != nil {
						return err
					}
					// Those who were found are gone through, once each.
					plan = strings.ReplaceAll(plan, "USE TEMP B-TREE FOR DISTINCT\nSCAN u", "")
					if found := readsEverybody.FindString(plan); found != "" {
						t.Errorf("%s\nis planned, with %s, with a %s:\n%s", text, state, found, plan)
					}
				}
				return undo
			})
			if !errors.Is(err, undo) {
				t.Fatal(err)
			}
		})
	})
}

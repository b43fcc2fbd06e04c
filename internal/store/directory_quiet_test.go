package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// quiet changes people's records on one of several nodes.
type quiet struct {
	t    *testing.T
	db   *store.DB
	by   store.Pusher
	over []any // the titles it was decided over
}

var errStale = errors.New("another version")

// set gives a record an attribute; with a version above 0 only where it is of that one.
func (q *quiet) set(user, name, value string, version int64) (*scim.Resource, error) {
	q.over = nil
	check := func(at int64) error {
		if version > 0 && at != version {
			return errStale
		}
		return nil
	}
	res, events, err := q.db.ChangeQuietly(q.t.Context(), "northwind", q.by, user, check, func(current scim.Attributes) (scim.Result, error) {
		q.over = append(q.over, current["title"])
		next := maps.Clone(current)
		next[name] = value
		return scim.Result{Attributes: next, Changed: current[name] != value}, nil
	}, scim.Want{Groups: true})
	if (res == nil || err != nil) && len(events) > 0 {
		q.t.Errorf("%s %q: events %v of what was not done", name, value, events)
	}
	return res, err
}

// A change is decided over the record as this node saw it last, which is a guess. Whatever came between, nothing of it is lost,
// nothing is answered that is not so, and what has to be decided the long way still is.
func TestChangeQuietly_WhateverCameBetween(t *testing.T) {
	t.Parallel()
	// On SQLite a quiet change is one of nothing; all others are ModifyUser's.
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		url, clock := storetest.URL(t, kind), storetest.NewClock()
		here := &quiet{t: t, db: storetest.OpenURL(t, url, storetest.WithClock(clock))}
		there := &quiet{t: t, db: storetest.OpenURL(t, url, storetest.WithClock(clock))}
		here.by = pusherTo(t, here.db)
		there.by = here.by
		here.db.Quiet("northwind", "entra").Store(true) // as after the first change of this kind
		writes := kind == storetest.Postgres
		sql := func(text string, args ...any) {
			err := here.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
				n, err := tx.Exec(t.Context(), text, args...)
				if err == nil && n != 1 {
					err = fmt.Errorf("%d rows", n)
				}
				return err
			})
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		elsewhere := func(name, value string) func(user string) {
			return func(user string) {
				if res, err := there.set(user, name, value, 0); writes && (res == nil || err != nil) {
					t.Fatalf("the other node: %v, %v", res, err)
				} else if !writes {
					sql(`update directory_records set document = json_set(document, '$.'||$3, $4), version = version + 1 where organization = $1 and user_id = $2`, "northwind", user, name, value)
				}
			}
		}
		for i, c := range []struct {
			name    string
			between func(user string)
			value   string // of the title
			version int64  // that is asked for
			over    []any  // what it is decided over
			done    bool
			fails   error
			after   string // the title in the end
			at      int64  // the version in the end
		}{
			{name: "nothing", value: "Head", over: []any{"Engineer"}, done: true, after: "Head", at: 2},
			{name: "nothing, as asked for", value: "Head", version: 1, over: []any{"Engineer"}, done: true, after: "Head", at: 2},
			{name: "nothing, and it changes nothing", value: "Engineer", over: []any{"Engineer"}, done: true, after: "Engineer", at: 1},
			{name: "another title", between: elsewhere("title", "Chief"), value: "Head", over: []any{"Engineer", "Chief"}, done: true, after: "Head", at: 3},
			{name: "the same title", between: elsewhere("title", "Head"), value: "Head", over: []any{"Engineer", "Head"}, done: true, after: "Head", at: 2},
			{name: "another title, and the old one is wanted", between: elsewhere("title", "Chief"), value: "Engineer", over: []any{"Engineer", "Chief"}, done: true, after: "Engineer", at: 3},
			{name: "another attribute", between: elsewhere("nickName", "A"), value: "Head", over: []any{"Engineer", "Engineer"}, done: true, after: "Head", at: 3},
			{name: "a version that is no longer", between: elsewhere("title", "Chief"), value: "Head", version: 1, over: []any{"Engineer"}, fails: errStale, after: "Chief", at: 2},
			{name: "the version that is now", between: elsewhere("title", "Chief"), value: "Head", version: 2, over: []any{"Chief"}, done: true, after: "Head", at: 3},
			{name: "time", between: func(string) { clock.Advance(time.Minute) }, value: "Head", over: []any{"Engineer"}, done: true, after: "Head", at: 2},
			{name: "an address in doubt", between: func(user string) {
				sql(`update users set email_verified = $1 where organization = $2 and id = $3`, false, "northwind", user)
			}, value: "Head", over: []any{"Engineer"}, after: "Engineer", at: 1},
			{name: "an address of nobody's domain", between: func(user string) {
				sql(`update users set email_verified = $1, email_key = 'x@elsewhere.example' where organization = $2 and id = $3`, false, "northwind", user)
			}, value: "Head", over: []any{"Engineer"}, done: true, after: "Head", at: 2},
			{name: "an undone deactivation", between: func(user string) {
				sql(`update directory_records set undone = $1 where organization = $2 and user_id = $3`, 1, "northwind", user)
			}, value: "Head", over: []any{"Engineer"}, after: "Engineer", at: 1},
			{name: "the end", between: func(user string) {
				sql(`delete from directory_records where organization = $1 and user_id = $2`, "northwind", user)
			}, value: "Head", over: []any{"Engineer"}, fails: fault.New(fault.NotFound, "")},
		} {
			created, _, err := here.db.CreateNewcomer(t.Context(), "northwind", here.by, decided(t, here.by.User,
				fmt.Sprintf(`"userName":"person%d","title":"Engineer","active":true,"emails":[{"value":"person%d@northwind.example"}]`, i, i)))
			if err != nil || created == nil {
				t.Fatalf("%s: %v, %v", c.name, created, err)
			}
			user := created.ID
			if _, err := here.db.GetUser(t.Context(), "northwind", &here.by, user, scim.Want{}); err != nil {
				t.Fatal(err)
			}
			if c.between != nil {
				c.between(user)
			}
			over, done, after, at := c.over, c.done, c.after, c.at
			if !writes { // it reads, and leaves what is to be written
				over = over[len(over)-1:]
				if c.fails != nil {
					over = nil
				}
				if c.after == c.value && over[0] != c.value {
					done, at = false, c.at-1
					after = over[0].(string)
				}
			}
			res, err := here.set(user, "title", c.value, c.version)
			if (res != nil) != done || fault.KindOf(err) != fault.KindOf(c.fails) || errors.Is(c.fails, errStale) != errors.Is(err, errStale) {
				t.Errorf("%s: answered %v, %v", c.name, res, err)
				continue
			}
			if diff := cmp.Diff(over, here.over); diff != "" {
				t.Errorf("%s: decided over, want (-), got (+):\n%s", c.name, diff)
			}
			if after == "" {
				continue
			}
			now, err := there.db.GetUser(t.Context(), "northwind", &there.by, user, scim.Want{Groups: true})
			if err != nil {
				t.Fatal(err)
			}
			stored, err := scim.DecodeStored(now.Document)
			if err != nil {
				t.Fatal(err)
			}
			if stored["title"] != after || now.Version != at {
				t.Errorf("%s: in the end title %v, version %d; want %s, %d", c.name, stored["title"], now.Version, after, at)
			}
			if diff := cmp.Diff(now, res); res != nil && diff != "" {
				t.Errorf("%s: what is stored (-), answered (+):\n%s", c.name, diff)
			}
			if c.name == "another attribute" && stored["nickName"] != "A" {
				t.Errorf("what the other node wrote is lost: %s", now.Document)
			}
		}
	})
}

// What is remembered of a user is their record in one directory of one organization, and never what groups they are in.
func TestChangeQuietly_GroupsAreOfNowAndOthersAreNobody(t *testing.T) {
	t.Parallel()
	db, by, people := lookedUp(t, storetest.Postgres)
	q := &quiet{t: t, db: db, by: by}
	eve := people[4]
	db.Quiet("northwind", "entra").Store(true)
	look := func() {
		if _, err := db.GetUser(t.Context(), "northwind", &by, eve, scim.Want{Groups: true}); err != nil {
			t.Fatal(err)
		}
	}
	look()
	err := db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
		return groupOf(t, tx, by, "Late", eve)
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := q.set(eve, "title", "Head", 0)
	if err != nil || res == nil || len(res.Groups) != 1 || res.Groups[0].Display != "Late" {
		t.Fatalf("answered %+v, %v", res, err)
	}
	if len(q.over) != 1 {
		t.Errorf("it was read although it was remembered: %v", q.over)
	}
	look()
	for _, other := range []struct {
		org id.Organization
		dir id.Directory
	}{{"fieldserv", "entra"}, {"northwind", "okta"}} {
		theirs := by
		theirs.Directory.ID = other.dir
		res, events, err := db.ChangeQuietly(context.Background(), other.org, theirs, eve, nil, func(scim.Attributes) (scim.Result, error) {
			t.Errorf("%v decides over it", other)
			return scim.Result{}, nil
		}, scim.Want{})
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%v: got %v, %v, %v", other, res, events, err)
		}
	}
}

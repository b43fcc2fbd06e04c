package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func events(t *testing.T, db *store.DB, o id.Organization, f store.AuditFilter) []audit.Event {
	t.Helper()
	var out []audit.Event
	err := db.Read(t.Context(), o, func(tx *store.Tx) (err error) {
		out, err = tx.Events(t.Context(), f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func record(t *testing.T, db *store.DB, o id.Organization, list ...audit.Event) {
	t.Helper()
	err := db.Write(t.Context(), o, func(tx *store.Tx) error {
		for _, e := range list {
			tx.Record(t.Context(), e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEvents_ComeBackAsRecorded(t *testing.T) {
	t.Parallel()
	clock := storetest.NewClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		want := audit.Event{
			Actor: audit.Actor{
				Kind: audit.ActorUser, ID: "u1", Name: "Ada Lovelace", Organization: "northwind", Door: audit.Console,
				IP: "192.0.2.1", Request: "r1",
			},
			Action: "grant.given", TargetKind: "user", TargetID: "u2", TargetName: "Grace Hopper", User: "u2",
			Before: json.RawMessage(`{"roles": []}`), After: json.RawMessage(`{"roles": ["viewer"]}`), Reason: "new on the team",
		}
		record(t, db, "northwind", want)
		record(t, db, "eastwind", audit.Event{Action: "grant.given"})
		got := events(t, db, "northwind", store.AuditFilter{})
		if len(got) != 1 {
			t.Fatalf("got %d events, want one", len(got))
		}
		if !id.IsUUID(string(got[0].ID)) {
			t.Errorf("got the id %q", got[0].ID)
		}
		want.ID, want.Outcome, want.At = got[0].ID, audit.Done, clock.Now().UnixMicro()
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Error(diff)
		}
		err := db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			one, err := tx.Event(t.Context(), want.ID)
			if diff := cmp.Diff(want, one); diff != "" {
				t.Error(diff)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}, storetest.WithClock(clock))
}

func TestEvents_FilterShowsExactlyWhatItSays(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		start := clock.Now()
		for i, e := range []audit.Event{
			{Action: "grant.given", User: "u1", TargetID: "g1", TargetName: "50%_off", Actor: audit.Actor{ID: "a1", Name: "Ada", IP: "192.0.2.1"}},
			{Action: "grant.revoked", User: "u1", TargetID: "g1", TargetName: "5000 off", Actor: audit.Actor{ID: "a2", Name: "Bea", IP: "192.0.2.2"}},
			{Action: "sign-in.refused", User: "u2", Outcome: audit.Refused, Code: "K7M2", Reason: "no record", Actor: audit.Actor{ID: "a1", Name: "Ada", IP: "192.0.2.2"}},
			{Action: "grants.listed", User: "u2", Actor: audit.Actor{ID: "a3", Name: "cleo"}},
		} {
			e.Actor.Request = fmt.Sprint(i)
			record(t, db, "northwind", e)
			clock.Advance(time.Hour)
		}
		for name, c := range map[string]struct {
			f    store.AuditFilter
			want string
		}{
			"all":              {store.AuditFilter{}, "3210"},
			"user":             {store.AuditFilter{User: "u1"}, "10"},
			"action":           {store.AuditFilter{Action: "grant.given"}, "0"},
			"object":           {store.AuditFilter{Action: "grant."}, "10"},
			"actor":            {store.AuditFilter{Actor: "a1"}, "20"},
			"ip":               {store.AuditFilter{IP: "192.0.2.2"}, "21"},
			"target":           {store.AuditFilter{Target: "g1"}, "10"},
			"from":             {store.AuditFilter{From: start.Add(2 * time.Hour)}, "32"},
			"to":               {store.AuditFilter{To: start.Add(2 * time.Hour)}, "10"},
			"outcome":          {store.AuditFilter{Outcome: audit.Refused}, "2"},
			"code":             {store.AuditFilter{Code: "K7M2"}, "2"},
			"text in a name":   {store.AuditFilter{Text: "CLEO"}, "3"},
			"text in a reason": {store.AuditFilter{Text: "record"}, "2"},
			"text, literally":  {store.AuditFilter{Text: "50%_"}, "0"},
			"together":         {store.AuditFilter{User: "u1", Actor: "a1", Text: "grant"}, "0"},
			"limit":            {store.AuditFilter{Limit: 2}, "32"},
			"nothing":          {store.AuditFilter{User: "u1", Outcome: audit.Refused}, ""},
		} {
			got := ""
			for _, e := range events(t, db, "northwind", c.f) {
				got += e.Actor.Request
			}
			if got != c.want {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
			if c.f.Limit > 0 {
				continue
			}
			streamed := ""
			for e, err := range db.EachEvent(t.Context(), "northwind", c.f) {
				if err != nil {
					t.Fatal(err)
				}
				streamed += e.Actor.Request
			}
			if streamed != c.want {
				t.Errorf("%s, streamed: got %q, want %q", name, streamed, c.want)
			}
		}
	})
}

func TestEachEvent_WalksEveryPageOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const n = 1203
		var list []audit.Event
		for i := range n {
			list = append(list, audit.Event{Action: "user.created", TargetID: fmt.Sprint(i)})
		}
		record(t, db, "northwind", list...)
		seen := map[string]bool{}
		var last id.Event
		for e, err := range db.EachEvent(t.Context(), "northwind", store.AuditFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen[e.TargetID] || last != "" && e.ID >= last {
				t.Fatalf("event %s comes twice or out of order", e.TargetID)
			}
			seen[e.TargetID], last = true, e.ID
			if len(seen) == 10 {
				record(t, db, "northwind", audit.Event{Action: "user.created", TargetID: "late"})
			}
		}
		if len(seen) != n || seen["late"] {
			t.Errorf("got %d events, want the %d that were there at the start", len(seen), n)
		}
	})
}

func TestSystem_EventsAreTheInstallationsOwn(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		record(t, db, "northwind", audit.Event{Action: "user.created"})
		err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.Record(t.Context(), audit.Event{Action: "operator.created"})
			tx.In("northwind").Record(t.Context(), audit.Event{Action: "organization.renamed"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.System().Read(t.Context(), func(tx *store.SystemTx) error {
			own, err := tx.Events(t.Context(), store.AuditFilter{})
			if len(own) != 1 || own[0].Action != "operator.created" {
				t.Errorf("got %v, want the operator's creation alone", own)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if got := len(events(t, db, "northwind", store.AuditFilter{})); got != 2 {
			t.Errorf("got %d events of the organization, want 2", got)
		}
	})
}

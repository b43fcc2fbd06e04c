package store

import (
	"context"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/scim"
)

// What the tests of this package, which stand outside it because storetest imports it, may reach.

func (w *work) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	return w.exec(ctx, sql, args...)
}

func (w *work) Queue(sql string, args ...any) { w.queue(sql, args...) }

func (w *work) Row(ctx context.Context, sql string, args ...any) row {
	return w.queryRow(ctx, sql, args...)
}

func (w *work) LastRow(ctx context.Context, sql string, args ...any) row {
	return w.lastRow(ctx, sql, args...)
}

func (w *work) Query(ctx context.Context, sql string, args ...any) (rows, error) {
	return w.query(ctx, sql, args...)
}

var ErrNoRows = errNoRows

// ConstraintColumns gives, by its name on PostgreSQL, the columns SQLite says of each constraint that has a sentence.
func ConstraintColumns() map[string]string {
	out := map[string]string{}
	for _, c := range constraints {
		out[c.name] = c.columns
	}
	return out
}

// Members and RolesOfGroup are the walks down and up the groups.
func (tx *Tx) Members(ctx context.Context, group id.Group) ([]id.User, error) {
	return tx.members(ctx, group)
}

func (tx *Tx) RolesOfGroup(ctx context.Context, group id.Group) ([]id.Role, error) {
	return tx.rolesOfGroup(ctx, group)
}

// counting is a runner that counts what waits for an answer.
type counting struct {
	runner
	n int
}

func (c *counting) query(ctx context.Context, sql string, args []any) (rows, error) {
	c.n++
	return c.runner.query(ctx, sql, args)
}

// Counted gives how many queries fn makes in the transaction.
func (w *work) Counted(fn func() error) (int, error) {
	c := &counting{runner: w.s}
	w.s = c
	defer func() { w.s = c.runner }()
	err := fn()
	return c.n, err
}

// IndexedTexts gives the statements that must never read more than what they look for, each with arguments.
func (w *work) IndexedTexts() map[string][]any {
	out := map[string][]any{
		factsQueries()[w.d]: {"northwind", "x"}, manyFactsQueries()[w.d]: {"northwind", `["x", "y"]`}, w.d.outerGroups("$2") + " select id from outer_groups": {"northwind", "x"},
		shownQuery: {"northwind", "x", int64(1), "x"},
	}
	for _, text := range lookupTexts()[w.d] {
		out[text] = []any{"northwind", "entra", "x"}
	}
	if w.d == postgresDialect {
		// Of many: what a page of a list asks of each row.
		out["select "+w.d.groupsOf("r.user_id", "$2")+" from (select cast(n as text) collate \"C\" as user_id from generate_series(1, 100000) n) r"] = []any{"northwind", "entra"}
		two := []string{"x", "y"}
		for _, text := range []string{documentStatement, documentsAndGroups} {
			out[text] = []any{"northwind", "entra", int64(1), "token", "x", "x", "scim", two, two, two, two, two, two, two, two, two, []int64{1, 2}, []bool{true, false}, 2}
		}
		for _, text := range lookupsTexts() {
			out[text] = []any{"northwind", "entra", two, []int64{0, 1}, []bool{true, false}, []bool{true, false}, []int64{0, 1}}
		}
	}
	return out
}

// KeptPlan is how the store goes about a statement, whatever its arguments are.
func (w *work) KeptPlan(ctx context.Context, sql string, args []any) (string, error) {
	explain, columns := "explain query plan "+sql, 4
	if w.d == postgresDialect { // the plan that is kept is made without knowing the arguments
		if _, err := w.exec(ctx, "prepare kept as "+sql); err != nil {
			return "", err
		}
		explain, columns = "explain (verbose) execute kept("+strings.TrimSuffix(strings.Repeat("null, ", len(args)), ", ")+")", 1
		args = nil
	}
	lines, err := collect[string](w.query(ctx, explain, args...))(func(s scanner) (line string, err error) {
		var number int
		err = s.Scan([]any{&number, &number, &number, &line}[4-columns:]...)
		return line, err
	})
	if err == nil && w.d == postgresDialect {
		_, err = w.exec(ctx, "deallocate kept")
	}
	return strings.Join(lines, "\n"), err
}

// asking is a runner that keeps what is asked.
type asking struct {
	runner
	asked map[string][]any
}

func (a *asking) query(ctx context.Context, sql string, args []any) (rows, error) {
	a.asked[sql] = args
	return a.runner.query(ctx, sql, args)
}

// AddressTexts asks, in every way there is, who of an organization holds an address, and gives the statements with their arguments.
func (tx *SystemTx) AddressTexts(ctx context.Context, org id.Organization, address string) (map[string][]any, error) {
	a := &asking{tx.s, map[string][]any{}}
	tx.s = a
	defer func() { tx.s = a.runner }()
	in := tx.In(org)
	for _, at := range []id.Organization{"", org} {
		for _, typed := range []string{address, "nobody@elsewhere.example"} { // who may be a provider's
			if _, err := tx.LocalAccounts(ctx, at, typed, "browser"); err != nil {
				return nil, err
			}
		}
	}
	if _, err := in.HolderOf(ctx, "corp", address); err != nil {
		return nil, err
	}
	if err := in.addressFacts(ctx, connection.Connection{}, connection.Person{Email: address}, &connection.Facts{}); err != nil {
		return nil, err
	}
	if err := in.dropException(ctx, SSOException{Address: address}); err != nil {
		return nil, err
	}
	if _, err := in.EarlierUsers(ctx, directory.User{UserName: address, Email: address}); err != nil {
		return nil, err
	}
	if err := in.holders(ctx, []invitation.Row{{Email: address}}, map[string]invitation.Holder{}); err != nil {
		return nil, err
	}
	// These refuse what is held already, or find nobody: what they asked is enough.
	_ = in.changeAddress(ctx, &directory.User{ID: "x"}, address)
	_, _ = in.createLocal(ctx, NewUser{Email: address}, audit.Actor{})
	_, _, _ = in.RecoveryLink(ctx, address, audit.Actor{})
	for text := range a.asked {
		if !strings.Contains(text, "email_key = ") && !strings.Contains(text, "email_key in") {
			delete(a.asked, text)
		}
	}
	return a.asked, nil
}

// GetTogether is GetUser of many in one batch: their ids, and "" for whom nobody has.
func (db *DB) GetTogether(ctx context.Context, org id.Organization, dir id.Directory, users []string) []string {
	all := make([]*lookup, len(users))
	for i, user := range users {
		all[i] = &lookup{lookupShape: lookupShape{by: byID}, value: user}
	}
	db.lookUpTogether(ctx, looking{org, dir}, all)
	out := make([]string, len(all))
	for i, n := range all {
		switch {
		case !n.done || n.err != nil:
			out[i] = "failed"
		case len(n.found) > 0:
			out[i] = n.found[0].ID
		}
	}
	return out
}

// FindTogether looks values up in one batch, each by one of these ways: "id", "userName", "externalId" or "emails.value". It gives whom
// each found.
func (db *DB) FindTogether(ctx context.Context, org id.Organization, dir id.Directory, ways, values []string) [][]string {
	all := make([]*lookup, len(values))
	for i, value := range values {
		by := map[string]lookupBy{"id": byID, "userName": byUserName, "externalId": byExternalID, "emails.value": byEmail}[ways[i]]
		all[i] = &lookup{lookupShape: lookupShape{by: by}, value: value}
	}
	db.lookUpTogether(ctx, looking{org, dir}, all)
	out := make([][]string, len(all))
	for i, n := range all {
		for _, r := range inOrder(n.found) {
			out[i] = append(out[i], r.ID)
		}
		if !n.done || n.err != nil {
			out[i] = []string{"failed"}
		}
	}
	return out
}

// AppendTexts appends arrays to a statement's arguments, announced as one.
var AppendTexts = appendTexts

// Recent is what a node remembers of the records of one directory.
type Recent struct{ of recentRecords }

// Note remembers a record as if it had been read, for a change or not; text is as long as its document.
func (r *Recent) Note(user string, version int64, text string, change, unsettled bool, now time.Time) {
	r.of.note(looking{"northwind", "entra"}, &lookedUp{Resource: scim.Resource{ID: user, Version: version, Document: []byte(text)}, unsettled: unsettled}, change, now)
}

// Known gives the version of what is remembered of a user, 0 for nothing, and whether they are known to be unsettled.
func (r *Recent) Known(user string, now time.Time) (version int64, unsettled bool) {
	if known := r.of.of(looking{"northwind", "entra"}, user, now); known != nil {
		return known.Version, known.unsettled
	}
	return 0, false
}

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
)

// runner is one transaction on one connection of a store. A failed statement ends it on both: later ones answer the same
// failure, and it cannot be committed.
type runner interface {
	query(ctx context.Context, sql string, args []any) (rows, error)
	exec(ctx context.Context, sql string, args []any) (int64, error)
	queue(sql string, args []any)
	// last says that the next query of a reading transaction is the only statement to come, so that the end can travel with it.
	last()
	// bound says as much as last, and that the statement binds itself to the organization, as boundBy has it.
	bound()
	// only says the same of a writing one, which is then committed with it.
	only()
}

// work is what a transaction of either sort can do.
type work struct {
	s   runner
	now time.Time
	d   dialect
	db  *DB
	// bumped says that this transaction changed something cached: what it reads then is not committed yet.
	bumped bool
	// everywhere says that rows of every organization are in reach: of the installation's own transactions, and of one about a
	// provider relationship while it looks at the other side.
	everywhere bool

	// changed is whose access people changed in this transaction, and how: each is told in one letter at its end.
	changed map[userAt]*accessChange

	// recorded are the audit events written so far.
	recorded []audit.Event

	// What the node does once this is committed.
	announced []string
	posted    bool
}

// Now is the time of the transaction: everything written in it carries the same.
func (w *work) Now() time.Time { return w.now }

// query runs a statement that answers rows.
func (w *work) query(ctx context.Context, sql string, args ...any) (rows, error) {
	r, err := w.s.query(ctx, sql, args)
	return r, refused(err)
}

// queryRow runs a statement that answers at most one row.
func (w *work) queryRow(ctx context.Context, sql string, args ...any) row {
	r, err := w.s.query(ctx, sql, args)
	return row{r, refused(err)}
}

// exec runs a statement and gives the number of rows it touched.
func (w *work) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	n, err := w.s.exec(ctx, sql, args)
	return n, refused(err)
}

// queue runs a statement whose result nobody reads; on PostgreSQL it travels with the next one or with the commit.
func (w *work) queue(sql string, args ...any) {
	w.s.queue(sql, args)
}

// lastQuery is query for a read transaction's only remaining statement: on PostgreSQL the whole transaction is then one
// round trip. In a writing transaction it is query.
func (w *work) lastQuery(ctx context.Context, sql string, args ...any) (rows, error) {
	w.s.last()
	return w.query(ctx, sql, args...)
}

// boundQuery is lastQuery for a statement that binds itself to the organization (boundBy), so that it travels alone on PostgreSQL.
// It is for what an index answers in a moment: it is not broken off when its caller leaves.
func (w *work) boundQuery(ctx context.Context, sql string, args ...any) (rows, error) {
	w.s.bound()
	return w.query(ctx, sql, args...)
}

// lastRow is queryRow for a read transaction's only remaining statement.
func (w *work) lastRow(ctx context.Context, sql string, args ...any) row {
	w.s.last()
	return w.queryRow(ctx, sql, args...)
}

// onlyQuery is query for a writing transaction that is this one statement: on PostgreSQL it is committed with it, in one round
// trip, once its rows are read, and nothing that the closure finds afterwards can undo it.
func (w *work) onlyQuery(ctx context.Context, sql string, args ...any) (rows, error) {
	w.s.only()
	return w.query(ctx, sql, args...)
}

// row is the answer of queryRow.
type row struct {
	rows rows
	err  error
}

// Scan reads the row, or answers errNoRows.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return refused(err)
		}
		return errNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return refused(r.rows.Err())
}

// Tx is a transaction bound to one organization, which every statement in it names.
type Tx struct {
	*work
	Organization id.Organization
}

// SystemTx is a transaction of the installation itself: the marked exception that sees every organization.
type SystemTx struct {
	*work
}

// In gives the same transaction bound to one organization.
func (tx *SystemTx) In(org id.Organization) *Tx {
	return &Tx{work: tx.work, Organization: org}
}

// Record writes the audit event of this transaction's change.
func (tx *Tx) Record(_ context.Context, e audit.Event) { tx.record(tx.Organization, e) }

// Record writes the audit event of a change to the installation.
func (tx *SystemTx) Record(_ context.Context, e audit.Event) { tx.record("", e) }

// Post puts a delivery into the outbox; it goes out once this transaction is committed.
func (tx *Tx) Post(_ context.Context, d outbox.Delivery) id.Delivery {
	return tx.post(tx.Organization, d)
}

// Post puts a delivery of the installation into the outbox.
func (tx *SystemTx) Post(_ context.Context, d outbox.Delivery) id.Delivery {
	return tx.post(d.Organization, d)
}

// Bump says that something cached under name has changed: "configuration" (catalogue, applications, relationships,
// domains) or "keys".
func (tx *SystemTx) Bump(_ context.Context, name string) { tx.bump(name) }

// Bump is the same from a transaction of one organization.
func (tx *Tx) Bump(_ context.Context, name string) { tx.bump(name) }

// BumpOrganization says that what is cached of the organization (tree, settings, directories, connections) has changed.
func (tx *Tx) BumpOrganization(_ context.Context) {
	tx.bumped = true
	tx.queue(`
		update organizations
		set version = version + 1
		where organization = $1`, tx.Organization)
}

func (w *work) bump(name string) {
	w.bumped = true
	w.queue(`
		insert into versions (name, version)
		values ($1, 1)
		on conflict (name) do update set version = versions.version + 1`, name)
	w.announced = append(w.announced, name)
	if sql := w.d.notify(); sql != "" {
		w.queue(sql, name)
	}
}

// alone waits until nobody else writes in the organization: before it goes, or a directory of it, with all that is under it.
func (tx *Tx) alone() {
	if sql := tx.d.alone(); sql != "" {
		tx.queue(sql, tx.Organization)
	}
}

// Lock makes transactions of the organization that name the same lock run one after the other: for a rule over several
// rows ("one administrator is left") that no constraint can hold. SQLite writes one after the other anyway.
func (tx *Tx) Lock(_ context.Context, name string) {
	if sql := tx.d.lock(); sql != "" {
		tx.queue(sql, fmt.Sprintf("%s/%s", tx.Organization, name))
	}
}

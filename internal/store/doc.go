// Package store is the only SQL in the house. One set of statements serves SQLite (modernc, embedded) and PostgreSQL (pgx);
// what differs stands in dialect.go, sqlite.go and postgres.go.
//
// # Transactions
//
// Everything goes through four doors:
//
//	db.Read(ctx, org, func(tx *Tx) error)             a read-only transaction bound to one organization
//	db.Write(ctx, org, func(tx *Tx) error)            a writing one; the closure may run twice and makes no network call
//	db.System().Read(ctx, func(tx *SystemTx) error)   the marked exception: what belongs to the installation
//	db.System().Write(ctx, func(tx *SystemTx) error)  ... and tx.In(org) gives a *Tx on the same transaction
//
// A *Tx knows its organization (tx.Organization) and passes it to every statement; on PostgreSQL row-level security bound
// by set_config in the same round trip is the second belt. A closure never opens another transaction (dex's deadlock), and
// everything slow (argon2, signing, fetching) happens before it.
//
// The audit event of a write is recorded inside it with tx.Record(ctx, event), outbox rows with tx.Post(ctx, delivery).
//
// Inside the package a statement is run with
//
//	tx.query(ctx, sql, args...)     rows: Next, Scan, Err, Close
//	tx.queryRow(ctx, sql, args...)  Scan; errNoRows when there is none (compare with errors.Is)
//	tx.exec(ctx, sql, args...)      rows affected
//	tx.queue(sql, args...)          a statement whose result nobody reads: sent with the next one or with the commit, so that
//	                                a create is one round trip on PostgreSQL. A violated constraint then surfaces at the
//	                                commit, already turned into a fault by the constraint's name
//
//	tx.lastRow, tx.lastQuery        the same for the one statement of a reading transaction: one round trip in all
//
// with $1 placeholders. A failed statement fails the transaction, also where the closure overlooks it; while rows are open
// no other statement runs. On PostgreSQL a writing transaction sees what others commit meanwhile: what must not change
// between reading and writing is read with tx.d.forUpdate(), compared by its version, held by a constraint, or kept apart
// with tx.Lock(ctx, name). A reading one sees a single moment on both stores.
//
// Times are int64 UTC microseconds (micros(t), fromMicros(n)), JSON columns are read and written as
// text, booleans as bool, ids as their typed strings. tx.Now() is the time of the transaction. tx.d is the dialect.
//
// # Caches
//
// Configuration (catalogue, applications, keys, an organization's tree and settings) is cached per node. Writers bump the
// row in versions (tx.Bump(ctx, "configuration"), "keys") or organizations.version (tx.BumpOrganization(ctx)) in their
// transaction. Readers compare the version in the transaction that decides, or ask db.Version, which looks at least each
// second; LISTEN/NOTIFY only makes it sooner. People's state is never cached.
package store

package store

import (
	"context"
	"errors"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// dialect is where the two stores' words differ. Its methods give pieces of SQL.
type dialect int

const (
	sqliteDialect dialect = iota
	postgresDialect
)

// forShare ends a select whose rows may not change before this transaction ends.
func (d dialect) forShare() string {
	if d == postgresDialect {
		return " for share"
	}
	return ""
}

// forUpdate ends a select whose rows this transaction is about to change. SQLite's one writer holds them all already.
func (d dialect) forUpdate() string {
	if d == postgresDialect {
		return " for update"
	}
	return ""
}

// skipLocked ends a select that takes rows nobody else is working on.
func (d dialect) skipLocked() string {
	if d == postgresDialect {
		return " for update skip locked"
	}
	return ""
}

// lock is the statement that takes a named lock until the transaction ends, or "".
func (d dialect) lock() string {
	if d == postgresDialect {
		return `select pg_advisory_xact_lock(hashtextextended($1, 0))`
	}
	return ""
}

// organizationLock tells the lock of an organization from those that Tx.Lock names.
const organizationLock = "7361621"

// across is the statement that puts the rows of other organizations in reach, or takes them out of it; or "".
func (d dialect) across() string {
	if d == postgresDialect {
		return `select set_config('vestibule.system', $1, true)`
	}
	return ""
}

// alone is the statement that waits until nobody else writes in an organization, and keeps everybody from it until the
// transaction ends; or "".
func (d dialect) alone() string {
	if d == postgresDialect {
		return `select pg_advisory_xact_lock(hashtextextended($1, ` + organizationLock + `))`
	}
	return ""
}

// ilike is like without regard to case; the pattern is escaped with a backslash.
func (d dialect) ilike() string {
	if d == postgresDialect {
		return "ilike"
	}
	return "like"
}

// idFrom is id.From of a moment that only the statement knows, in microseconds; its beginning, which sorts the same.
func (d dialect) idFrom(micros string) string {
	ms, rest := "("+micros+" / 1000)", "("+micros+" % 1000 * 1000 >> 8)"
	if d == postgresDialect {
		hex := func(number, digits string) string { return "lpad(to_hex(" + number + "), " + digits + ", '0')" }
		return hex(ms+" >> 16", "8") + " || '-' || " + hex(ms+" & 65535", "4") + " || '-7' || " + hex(rest, "3") + " || '-8'"
	}
	return "printf('%08x-%04x-7%03x-8', " + ms + " >> 16, " + ms + " & 65535, " + rest + ")"
}

// notify tells the other nodes that name has changed, or is "". It is sent at the commit and only makes sooner what they
// would find within a second.
func (d dialect) notify() string {
	if d == postgresDialect {
		return `select pg_notify('` + channel + `', $1)`
	}
	return ""
}

// channel is what PostgreSQL's nodes listen on.
const channel = "vestibule"

// classify gives every error of the store its kind; what fn answered itself stays as it is.
func classify(err error) error {
	switch {
	case err == nil, fault.As(err) != nil:
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "The request ended before its work was done.")
	}
	if f := violation(err); f != nil {
		return f
	}
	if unreachable(err) {
		return fault.Wrap(err, fault.Unavailable, "The store cannot be reached. Trying again may help.")
	}
	return err
}

// hasty lets a transaction's commit not wait for the disk, or is "": for what is only a hint, and of no use after a crash.
func (d dialect) hasty() string {
	if d == postgresDialect {
		return `select set_config('synchronous_commit', 'off', true)` // "set local" has the server complain of each batch
	}
	return ""
}

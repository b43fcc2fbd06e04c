package store

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// constraint is a rule of the schema a person may run into, with what to tell them. PostgreSQL names the constraint,
// SQLite its columns.
type constraint struct {
	name    string
	columns string
	message string
}

var constraints = []constraint{
	{"organizations_pkey", "organizations.organization", "An organization with this id exists already."},
	{"users_user_name", "users.organization, users.user_name_key", "A user with this userName exists already in this organization."},
	{"directory_records_user_name", "directory_records.organization, directory_records.directory, directory_records.user_name_key", "A record with this userName exists already in this directory."},
	{"directory_records_pkey", "directory_records.organization, directory_records.directory, directory_records.user_id", "This directory has a record of this user already."},
	{"directory_tokens_hash", "directory_tokens.organization, directory_tokens.hash", "This token is in use already."},
	{"identities_subject", "identities.organization, identities.connection, identities.issuer, identities.subject", "This upstream subject is linked to another user already."},
	{"conflicts_open", "conflicts.organization, conflicts.kind, conflicts.subject", "This conflict is open already."},
	{"domains_pkey", "domains.domain", "This domain belongs to an organization already."},
	{"operators_email_key_key", "operators.email_key", "An operator with this address exists already."},
	{"group_members_pkey", "group_members.organization, group_members.group_id, group_members.member_id", "This member is in the group already."},
	{"directories_pkey", "directories.organization, directories.id", "A directory with this id exists already in this organization."},
	{"connections_pkey", "connections.organization, connections.id", "A connection with this id exists already in this organization."},
	{"resources_pkey", "resources.organization, resources.id", "A resource with this id exists already in this organization."},
	{"applications_pkey", "applications.id", "An application with this id exists already."},
	{"unique_values_pkey", "unique_values.organization, unique_values.directory, unique_values.resource, unique_values.attribute, unique_values.digest", "Another resource of this directory has a value that must be unique."},
	{"relationships_pkey", "relationships.provider, relationships.client", "This provider relationship exists already."},
}

const (
	alreadyThere = "It exists already."
	notThere     = "It refers to something that does not exist, or no longer."
	notText      = "It holds the character NUL, or bytes that are not UTF-8: no text does."
)

// violation turns a violated constraint into a fault, or gives nil.
func violation(err error) *fault.Fault {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "23505": // unique_violation
			for _, c := range constraints {
				if c.name == pg.ConstraintName {
					return fault.Wrap(err, fault.Conflict, "%s", c.message)
				}
			}
			return fault.Wrap(err, fault.Conflict, alreadyThere)
		case "23503": // foreign_key_violation
			return fault.Wrap(err, fault.Conflict, notThere)
		case "22021", "22P05": // character_not_in_repertoire, untranslatable_character
			return fault.Wrap(err, fault.Invalid, notText)
		}
		return nil
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		for _, c := range constraints {
			// "... constraint failed: t.a, t.b (2067)": the code says what happened, the list in it says where.
			if strings.Contains(err.Error(), "constraint failed: "+c.columns+" (") {
				return fault.Wrap(err, fault.Conflict, "%s", c.message)
			}
		}
		return fault.Wrap(err, fault.Conflict, alreadyThere)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fault.Wrap(err, fault.Conflict, notThere)
	}
	return nil
}

// refused gives a violated constraint as its fault, and any other error as it is.
func refused(err error) error {
	if err != nil {
		if f := violation(err); f != nil {
			return f
		}
	}
	return err
}

// stoppedForTime reports whether PostgreSQL stopped a statement for taking too long (57014, query_canceled).
func stoppedForTime(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "57014"
}

// waitedTooLong reports whether a transaction that is impatient gave up waiting for a lock (55P03, lock_not_available).
func waitedTooLong(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

// unreachable reports whether the store, and not the statement, is what failed.
func unreachable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// Class 08 connection, 53 resources (too many connections, disk full), 57 shutting down or stopped for taking too
		// long; 40 a conflict that outlasted every retry; 25006 a standby that takes no writes.
		switch pg.Code[:2] {
		case "08", "53", "57", "40":
			return true
		}
		return pg.Code == "25006"
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || disconnected(err) || errors.Is(err, errClosed) || sqliteBusy(err) || sqliteStuck(err)
}

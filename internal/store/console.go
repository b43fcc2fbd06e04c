package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	sessions "github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/scim"
)

// What follows only the console's pages ask for.

// UserCounts says how many users of an organization are in which state.
type UserCounts struct {
	Active, Suspended, Pending, Deleted int
	Waiting                             int // active beyond the seat limit; not among Active
	Never                               int // active, and never signed in
}

// CountUsers counts the organization's users by their state.
func (tx *Tx) CountUsers(ctx context.Context) (c UserCounts, err error) {
	err = tx.queryRow(ctx, `
		select count(case when status = 'active' and seated then 1 end),
			count(case when status = 'suspended' then 1 end),
			count(case when status = 'pending' then 1 end),
			count(case when status = 'deleted' then 1 end),
			count(case when status = 'active' and not seated then 1 end),
			count(case when status = 'active' and seated and logins = 0 then 1 end)
		from users
		where organization = $1`, tx.Organization).
		Scan(&c.Active, &c.Suspended, &c.Pending, &c.Deleted, &c.Waiting, &c.Never)
	if err != nil {
		return c, fmt.Errorf("count users: %w", err)
	}
	return c, nil
}

// CountConflicts counts what waits for a decision.
func (tx *Tx) CountConflicts(ctx context.Context) (int, error) {
	var n int
	err := tx.queryRow(ctx, `
		select count(*)
		from conflicts
		where organization = $1
			and resolved is null`, tx.Organization).Scan(&n)
	return n, err
}

// DirectoryName gives a directory's name, or its id where it is gone.
func (tx *Tx) DirectoryName(ctx context.Context, dir id.Directory) (string, error) {
	var name string
	err := tx.queryRow(ctx, `
		select name
		from directories
		where organization = $1
			and id = $2`, tx.Organization, dir).Scan(&name)
	if errors.Is(err, errNoRows) {
		return string(dir), nil
	}
	return name, err
}

// DirectoryNames are the names of the organization's directories.
type DirectoryNames map[id.Directory]string

// Of is DirectoryName.
func (n DirectoryNames) Of(dir id.Directory) string {
	if name, ok := n[dir]; ok {
		return name
	}
	return string(dir)
}

// DirectoryNames gives the names of all directories, for lists whose lines name them.
func (tx *Tx) DirectoryNames(ctx context.Context) (DirectoryNames, error) {
	names := DirectoryNames{}
	_, err := collect[struct{}](tx.query(ctx, `
		select id, name
		from directories
		where organization = $1`, tx.Organization))(func(s scanner) (none struct{}, err error) {
		var dir id.Directory
		var name string
		err = s.Scan(&dir, &name)
		names[dir] = name
		return none, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the names of directories: %w", err)
	}
	return names, nil
}

// DirectoryCounts says how much a directory has pushed.
type DirectoryCounts struct {
	Users, Inactive, Groups int
}

// CountDirectory counts what a directory has pushed.
func (tx *Tx) CountDirectory(ctx context.Context, dir id.Directory) (c DirectoryCounts, err error) {
	err = tx.queryRow(ctx, `
		select count(*), count(case when not active then 1 end), (
			select count(*)
			from groups
			where organization = $1
				and directory = $2)
		from directory_records
		where organization = $1
			and directory = $2`, tx.Organization, dir).Scan(&c.Users, &c.Inactive, &c.Groups)
	if err != nil {
		return c, fmt.Errorf("count directory %s: %w", dir, err)
	}
	return c, nil
}

// UserRecords gives what directories say about a user.
func (tx *Tx) UserRecords(ctx context.Context, user id.User) ([]directory.Record, error) {
	records, err := collect[directory.Record](tx.query(ctx, `
		select directory, user_id, external_id, active, unsaid, document, version, created, modified
		from directory_records
		where organization = $1
			and user_id = $2
		order by created, directory`, tx.Organization, user))(func(s scanner) (r directory.Record, err error) {
		var document string
		err = s.Scan(&r.Directory, &r.User, orEmpty(&r.ExternalID), &r.Active, at(&r.Unsaid), orEmpty(&document), &r.Version, at(&r.Created),
			at(&r.Modified))
		r.Document = []byte(document)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the records of user %s: %w", user, err)
	}
	return records, nil
}

// UserIdentity is a link between a user and an upstream subject, as the console shows it.
type UserIdentity struct {
	ID             id.Identity
	Connection     id.Connection
	ConnectionName string
	Issuer         string
	Subject        string
	MatchValue     string
	Created        time.Time
	LastUsed       time.Time
	Closed         time.Time // zero while it is in force
}

// UserIdentities gives a user's identities, closed ones too, oldest first.
func (tx *Tx) UserIdentities(ctx context.Context, user id.User) ([]UserIdentity, error) {
	identities, err := collect[UserIdentity](tx.query(ctx, `
		select i.id, i.connection, coalesce(c.name, i.connection), i.issuer, i.subject, i.match_value, i.created, i.last_used,
			i.closed
		from identities i
		left join connections c on c.organization = i.organization and c.id = i.connection
		where i.organization = $1
			and i.user_id = $2
		order by i.id`, tx.Organization, user))(func(s scanner) (i UserIdentity, err error) {
		err = s.Scan(&i.ID, &i.Connection, &i.ConnectionName, &i.Issuer, &i.Subject, orEmpty(&i.MatchValue), at(&i.Created),
			at(&i.LastUsed), at(&i.Closed))
		return i, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the identities of user %s: %w", user, err)
	}
	return identities, nil
}

// Connections gives the organization's ways to sign in, by id.
func (tx *Tx) Connections(ctx context.Context) ([]connection.Connection, error) {
	all, err := collect[connection.Connection](tx.query(ctx, `
		select id, name, protocol, directory, document
		from connections
		where organization = $1
		order by id`, tx.Organization))(func(s scanner) (c connection.Connection, err error) {
		c.Organization = tx.Organization
		err = s.Scan(&c.ID, &c.Name, &c.Protocol, orEmpty(&c.Directory), decode(&c.Settings))
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return all, nil
}

// RoleCounts counts, by role, the grants and mappings that give it directly.
func (tx *Tx) RoleCounts(ctx context.Context) (map[id.Role]int, error) {
	out := map[id.Role]int{}
	_, err := collect[struct{}](tx.query(ctx, `
		select role, count(*)
		from (
			select role
			from grants
			where organization = $1
				and (expires is null or expires > $2)
			union all
			select role
			from group_roles
			where organization = $1
		) given
		group by role`, tx.Organization, micros(tx.now)))(func(s scanner) (none struct{}, err error) {
		var r id.Role
		var n int
		err = s.Scan(&r, &n)
		out[r] = n
		return none, err
	})
	if err != nil {
		return nil, fmt.Errorf("count the grants of roles: %w", err)
	}
	return out, nil
}

// ResourceCounts counts, by resource, the grants and mappings that are given exactly there.
func (tx *Tx) ResourceCounts(ctx context.Context) (map[id.Resource]int, error) {
	out := map[id.Resource]int{}
	_, err := collect[struct{}](tx.query(ctx, `
		select resource, count(*)
		from (
			select resource
			from grants
			where organization = $1
				and (expires is null or expires > $2)
			union all
			select resource
			from group_roles
			where organization = $1
		) given
		group by resource`, tx.Organization, micros(tx.now)))(func(s scanner) (none struct{}, err error) {
		var r id.Resource
		var n int
		err = s.Scan(&r, &n)
		out[r] = n
		return none, err
	})
	if err != nil {
		return nil, fmt.Errorf("count the grants at resources: %w", err)
	}
	return out, nil
}

// OwnApplications lists the applications that serve the transaction's organization. They belong to the installation; what
// is read here is what each organization they serve may know of them.
func (tx *Tx) OwnApplications(ctx context.Context) ([]application.Application, error) {
	all, err := (&SystemTx{tx.work}).Applications(ctx)
	return slices.DeleteFunc(all, func(a application.Application) bool { return !a.Serves(tx.Organization) }), err
}

// SessionsOf lists a user's live sessions, newest first.
func (tx *Tx) SessionsOf(ctx context.Context, user id.User) ([]sessions.Session, error) {
	list, err := collect[sessions.Session](tx.query(ctx, liveSession+`
		and s.user_id = $3
		order by s.id desc`, tx.Organization, micros(tx.now), user))(tx.scanSession)
	if err != nil {
		return nil, fmt.Errorf("list the sessions of user %s: %w", user, err)
	}
	return list, nil
}

// UserNames gives the names of users by their ids, those of deleted ones too.
func (tx *Tx) UserNames(ctx context.Context, users []id.User) (map[id.User]string, error) {
	names := map[id.User]string{}
	if len(users) == 0 {
		return names, nil
	}
	// One text for however many: a list of placeholders would be planned anew for each number of them.
	_, err := collect[struct{}](tx.query(ctx, `
		select u.id, case when u.display_name <> '' then u.display_name else u.user_name end
		from (`+tx.d.elements("$2", "id")+`) e
		cross join users u
		where u.organization = $1
			and u.id = e.id`, tx.Organization, encode(users)))(func(s scanner) (none struct{}, err error) {
		var u id.User
		var name string
		err = s.Scan(&u, &name)
		names[u] = name
		return none, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the names of users: %w", err)
	}
	return names, nil
}

// EarlierUsers lists deleted users whose userName or address a user has now, the latest first: the same person come back, as
// far as anybody can tell, which is for an administrator to say.
func (tx *Tx) EarlierUsers(ctx context.Context, user directory.User) ([]directory.User, error) {
	users, err := collect[directory.User](tx.query(ctx, deletedUsers(userColumns, "u.user_name_key = $2", "u.email_key = $3")+`
		order by deleted_at desc, id desc
		limit 3`, tx.Organization, scim.UserNameKey(user.UserName), orNull(scim.Fold(user.Email))))(func(s scanner) (directory.User, error) { return tx.scanUser(s) })
	if err != nil {
		return nil, fmt.Errorf("look for earlier accounts of user %s: %w", user.ID, err)
	}
	return users, nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

const userColumns = `u.id, u.status, u.suspended_at, u.suspended_by, u.seated, u.user_name, u.email, u.email_verified,
	u.display_name, u.given_name, u.family_name, u.local_source, u.kept_without_directory, u.custom_access, u.settled_at,
	u.settled_by, u.note, u.noted_at, u.created, u.updated, u.deleted_at, u.last_seen, u.last_login, u.last_login_ip, u.logins`

func (tx *Tx) scanUser(s scanner, more ...any) (directory.User, error) {
	u := directory.User{Organization: tx.Organization}
	err := s.Scan(append([]any{
		&u.ID, &u.Status, at(&u.SuspendedAt), orEmpty(&u.SuspendedBy), &u.Seated, &u.UserName, orEmpty(&u.Email), &u.EmailVerified,
		&u.DisplayName, orEmpty(&u.GivenName), orEmpty(&u.FamilyName), orEmpty(&u.Local), &u.KeptWithoutDirectory, &u.CustomAccess, at(&u.SettledAt),
		orEmpty(&u.SettledBy), orEmpty(&u.Note), at(&u.NotedAt), at(&u.Created), at(&u.Updated), at(&u.DeletedAt), at(&u.LastSeen), at(&u.LastLogin),
		orEmpty(&u.LastLoginIP), orZero(&u.Logins),
	}, more...)...)
	return u, err
}

// liveUsers selects columns of the organization's users, $1, who are not deleted and whom one of the conditions fits: who holds an
// address, or has it as their userName. Each condition is looked for by itself, since with an or between them SQLite reads everybody;
// and it does so too for a union, whose halves it would have in order.
func liveUsers(columns string, either ...string) string {
	return usersWho("<> 'deleted'", columns, either)
}

// deletedUsers is liveUsers of those who are deleted.
func deletedUsers(columns string, either ...string) string {
	return usersWho("= 'deleted'", columns, either)
}

func usersWho(status, columns string, either []string) string {
	parts := make([]string, len(either))
	for i, condition := range either {
		parts[i] = `
			select ` + columns + `
			from users u
			where u.organization = $1
				and u.status ` + status + `
				and ` + condition
	}
	return `
		select distinct *
		from (` + strings.Join(parts, `
			union all`) + `) either`
}

func noUser(user id.User) error {
	return fault.New(fault.NotFound, "There is no user %s in this organization.", user)
}

// User gives one user, a deleted one too. A fault of kind NotFound where there is none.
func (tx *Tx) User(ctx context.Context, user id.User) (*directory.User, error) {
	return tx.oneUser(ctx, user, "")
}

func (tx *Tx) oneUser(ctx context.Context, user id.User, lock string) (*directory.User, error) {
	u, err := tx.scanUser(tx.queryRow(ctx, `
		select `+userColumns+`
		from users u
		where u.organization = $1
			and u.id = $2`+lock, tx.Organization, user))
	if errors.Is(err, errNoRows) {
		return nil, noUser(user)
	}
	if err != nil {
		return nil, fmt.Errorf("read user %s: %w", user, err)
	}
	return &u, nil
}

// UserDetail is User with what it rests on and the groups it is in directly.
func (tx *Tx) UserDetail(ctx context.Context, user id.User) (*directory.User, error) {
	u, err := tx.User(ctx, user)
	if err != nil {
		return nil, err
	}
	u.Groups, err = collect[directory.Group](tx.query(ctx, `
		select `+groupColumns+`
		from group_members m
		join groups g on g.organization = m.organization and g.id = m.group_id
		where m.organization = $1
			and m.member_id = $2
		order by g.display_name_key, g.id`, tx.Organization, user))(scanGroup)
	if err != nil {
		return nil, fmt.Errorf("read the groups of user %s: %w", user, err)
	}
	one := []directory.User{*u}
	if err := tx.ReadSources(ctx, one); err != nil {
		return nil, err
	}
	return &one[0], nil
}

// ReadSources adds to users what they rest on.
func (tx *Tx) ReadSources(ctx context.Context, users []directory.User) error {
	ids := make([]id.User, len(users))
	places := make(map[id.User]int, len(users))
	for i := range users {
		ids[i] = users[i].ID
		places[users[i].ID] = i
	}
	_, err := collect[struct{}](tx.query(ctx, `
		select user_id, directory, active, unsaid is not null, undone is not null, created
		from directory_records
		where organization = $1
			and `+tx.d.amongFew("user_id", tx.d.elements("$2"))+`
		order by created, directory`, tx.Organization, encode(ids)))(func(s scanner) (none struct{}, err error) {
		var user id.User
		from := directory.Source{Kind: directory.SourceRecord}
		if err = s.Scan(&user, &from.Directory, &from.Active, &from.Unsaid, &from.Undone, at(&from.Since)); err == nil {
			of := &users[places[user]]
			of.Sources = append(of.Sources, from)
		}
		return none, err
	})
	if err != nil {
		return fmt.Errorf("read what users rest on: %w", err)
	}
	for i := range users {
		u := &users[i]
		if u.KeptWithoutDirectory {
			u.Sources = append(u.Sources, directory.Source{Kind: directory.WithoutOne, Active: true})
		}
		if u.Local != directory.NoSource && u.Status != directory.Deleted {
			u.Sources = append(u.Sources, directory.Source{Kind: u.Local, Active: true, Since: u.Created})
		}
	}
	return nil
}

// UserFilter narrows a list of users.
type UserFilter struct {
	Query    string           // part of the name, the address or the userName, in any case
	Status   directory.Status // empty: every status but deleted
	Role     id.Role          // holds it: directly, by inclusion, through any group, or by default
	Resource id.Resource      // holds something there or above, beyond defaults; with Role: holds that role there
	Awaiting bool             // the inbox: signed in or pushed, nothing beyond defaults, not left as it is
	Deleted  bool             // show deleted ones too
	// Only narrows to these users, unless it is nil: what an administrator below the root may see.
	Only   []id.User
	Cursor string
	Limit  int // 0: 50; at most 500
}

// ListUsers gives users by age and the cursor of the next page, empty on the last one.
func (tx *Tx) ListUsers(ctx context.Context, f UserFilter) ([]directory.User, string, error) {
	after, limit, err := page(f.Cursor, f.Limit)
	if err != nil {
		return nil, "", err
	}
	base := arguments{tx.Organization}
	var where strings.Builder
	and := func(format string, a ...any) { fmt.Fprintf(&where, "\n\t\t\tand "+format, a...) }
	switch {
	case f.Status == directory.Active:
		and("u.status = %s", base.add(f.Status))
	case f.Status != "":
		and("u.status <> 'active' and u.status = %s", base.add(f.Status)) // as the index of the few has it
	case !f.Deleted:
		and("u.status <> 'deleted'")
	}
	if f.Only != nil {
		and("u.id in (%s)", tx.d.elements(base.add(encode(f.Only))))
	}
	if f.Role != "" || f.Resource != "" {
		holding, err := tx.holding(ctx, f.Role, f.Resource, base.add)
		if err != nil {
			return nil, "", err
		}
		and("%s", holding)
	}
	if f.Awaiting {
		and("%s", tx.awaiting(base.add))
	}
	list := listed[directory.User]{
		names:  userNamed,
		narrow: f.Status != "" && f.Status != directory.Active || f.Only != nil || f.Role != "" || f.Resource != "" || f.Awaiting,
		read: func(ctx context.Context, ids []string, after string, limit int) ([]directory.User, error) {
			args := slices.Clone(base)
			query := `
			select ` + userColumns + `
			from users u
			where u.organization = $1` + where.String()
			if ids != nil {
				query += `
			and ` + tx.d.amongFew("u.id", tx.d.elements(args.add(encode(ids)))) + `
			order by u.id`
			} else {
				query = tx.d.cut(query+`
			and u.id > `+args.add(after)+`
			order by u.id`, "s.id", fewFound, args.add(limit), "0")
			}
			users, err := collect[directory.User](tx.query(ctx, query, args...))(func(s scanner) (directory.User, error) { return tx.scanUser(s) })
			if err != nil {
				return nil, fmt.Errorf("list users: %w", err)
			}
			return users, nil
		},
	}
	var users []directory.User
	if n, ok := needleOf(f.Query); ok {
		users, err = list.named(ctx, tx, n, after, limit+1)
	} else {
		users, err = list.read(ctx, nil, after, limit+1)
	}
	if err != nil {
		return nil, "", err
	}
	users, next := nextPage(users, limit, func(u directory.User) string { return string(u.ID) })
	return users, next, nil
}

// CountAwaiting gives the size of the inbox, up to 1000.
func (tx *Tx) CountAwaiting(ctx context.Context, only []id.User) (int, error) {
	n, cursor := 0, ""
	for {
		users, next, err := tx.ListUsers(ctx, UserFilter{Awaiting: true, Only: only, Cursor: cursor, Limit: 500})
		if err != nil {
			return 0, err
		}
		n += len(users)
		if cursor = next; next == "" || n >= 1000 {
			return n, nil
		}
	}
}

// escapeLike makes a pattern of a text that matches only itself.
func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Grant is a role at a resource, given to a user or to a group.
type Grant struct {
	ID            id.Grant
	User          id.User // one of User and Group
	Group         id.Group
	Role          id.Role
	Resource      id.Resource // never empty: the organization is its root
	Source        access.Source
	GrantedBy     string
	GrantedByName string
	Reason        string
	Created       time.Time
	Starts        time.Time // zero: at once
	Expires       time.Time // zero: never
}

const grantColumns = `id, user_id, group_id, role, resource, source, granted_by, granted_by_name, reason, created, starts, expires`

func scanGrant(s scanner) (g Grant, err error) {
	err = s.Scan(&g.ID, orEmpty(&g.User), orEmpty(&g.Group), &g.Role, &g.Resource, &g.Source, &g.GrantedBy, &g.GrantedByName,
		&g.Reason, at(&g.Created), at(&g.Starts), at(&g.Expires))
	return g, err
}

// grantRecord is a grant as the audit log keeps it.
type grantRecord struct {
	User     id.User       `json:"user,omitempty"`
	Group    id.Group      `json:"group,omitempty"`
	Role     id.Role       `json:"role"`
	Resource id.Resource   `json:"resource"`
	Source   access.Source `json:"source"`
	Starts   *time.Time    `json:"starts,omitempty"`
	Expires  *time.Time    `json:"expires,omitempty"`
}

func (g Grant) record() grantRecord {
	return grantRecord{g.User, g.Group, g.Role, g.Resource, g.Source, optional(g.Starts), optional(g.Expires)}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Give gives a role at a resource to a user or a group, under every rule of access.Give, and audits it. The same role
// given again at the same resource renews the grant's term instead of making a second one.
func (tx *Tx) Give(ctx context.Context, actor audit.Actor, want Grant) (Grant, error) {
	if (want.User == "") == (want.Group == "") {
		return Grant{}, fault.New(fault.Invalid, "A role is given to a user or to a group.").
			WithField("user", "Name a user or a group, not both.")
	}
	tx.Lock(ctx, accessLock)
	ground, err := tx.ground(ctx)
	if err != nil {
		return Grant{}, err
	}
	if want.Resource == "" {
		want.Resource = ground.Tree.Root()
	}
	if want.Source == "" {
		want.Source = access.Manual
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return Grant{}, err
	}
	receivers, err := tx.receivers(ctx, ground, want)
	if err != nil {
		return Grant{}, err
	}
	wanted := access.Want{Role: want.Role, Resource: want.Resource, Starts: want.Starts, Expires: want.Expires}
	if err := access.Give(giver, ground, wanted, tx.now, receivers...); err != nil {
		return Grant{}, err
	}
	// What is answered is what is stored.
	want.Starts, want.Expires = want.Starts.Truncate(time.Microsecond), want.Expires.Truncate(time.Microsecond)
	given, err := tx.insertGrant(ctx, actor, want)
	if err != nil {
		return Grant{}, err
	}
	if want.User != "" {
		tx.noteProviderUser(receivers[0])
	}
	return given, tx.noteGiven(ctx, ground, given)
}

// receivers gives the access of those whom a role would be given to, as far as access.Give asks for it: the user, or those
// members of the group who were given a role that excludes it.
func (tx *Tx) receivers(ctx context.Context, ground *access.Facts, want Grant) ([]*access.Effective, error) {
	if want.User != "" {
		e, err := tx.Access(ctx, want.User)
		if fault.KindOf(err) == fault.NotFound || err == nil && e.User.Status == statusDeleted {
			return nil, fault.New(fault.Invalid, "There is no user %q in this organization.", want.User).
				WithField("user", "There is no such user.")
		}
		return []*access.Effective{e}, err
	}
	var name string
	err := tx.queryRow(ctx, `
		select display_name
		from groups
		where organization = $1
			and id = $2`, tx.Organization, want.Group).Scan(&name)
	if errors.Is(err, errNoRows) {
		return nil, fault.New(fault.Invalid, "There is no group %q in this organization.", want.Group).
			WithField("group", "There is no such group.")
	}
	if err != nil {
		return nil, err
	}
	return tx.excludedMembers(ctx, ground, want.Group, want.Role)
}

// excludedMembers gives the access of members of a group who were given a role that excludes another.
func (tx *Tx) excludedMembers(
	ctx context.Context, ground *access.Facts, group id.Group, role id.Role,
) ([]*access.Effective, error) {
	excluded := ground.Catalogue.Excluded(role)
	if len(excluded) == 0 {
		return nil, nil
	}
	members, err := tx.members(ctx, group)
	if err != nil {
		return nil, err
	}
	concerned := members
	if !slices.ContainsFunc(ground.Organization.DefaultRoles, func(d access.RoleAt) bool {
		return slices.Contains(excluded, d.Role)
	}) {
		given, err := tx.givenTo(ctx, excluded, nil, "", 0)
		if err != nil {
			return nil, err
		}
		concerned = slices.DeleteFunc(members, func(u id.User) bool {
			_, holds := slices.BinarySearch(given, u)
			return !holds
		})
	}
	// One is enough to refuse; several only make the sentence no clearer.
	if len(concerned) > 20 {
		concerned = concerned[:20]
	}
	return tx.accessOf(ctx, concerned)
}

// statusDeleted is the status of a tombstone.
const statusDeleted = "deleted"

// insertGrant writes a grant and its event, or renews the term of the same grant.
func (tx *Tx) insertGrant(ctx context.Context, actor audit.Actor, g Grant) (Grant, error) {
	earlier, err := scanGrant(tx.queryRow(ctx, `
		select `+grantColumns+`
		from grants
		where organization = $1
			and coalesce(user_id, '') = $2
			and coalesce(group_id, '') = $3
			and role = $4
			and resource = $5
			and source = $6`, tx.Organization, g.User, g.Group, g.Role, g.Resource, g.Source))
	switch {
	case err == nil:
		return tx.renewGrant(ctx, actor, earlier, g)
	case !errors.Is(err, errNoRows):
		return Grant{}, err
	}
	g.GrantedBy, g.GrantedByName = actor.ID, actor.Name
	return tx.newGrant(ctx, actor, g)
}

// newGrant writes a grant and its event.
func (tx *Tx) newGrant(ctx context.Context, actor audit.Actor, g Grant) (Grant, error) {
	g.ID, g.Created = id.New[id.Grant](), tx.now.UTC().Truncate(time.Microsecond)
	if _, err := tx.exec(ctx, `
		insert into grants (organization, `+grantColumns+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		tx.Organization, g.ID, orNull(g.User), orNull(g.Group), g.Role, g.Resource, g.Source, g.GrantedBy, g.GrantedByName,
		g.Reason, micros(g.Created), microsOrNull(g.Starts), microsOrNull(g.Expires)); err != nil {
		return Grant{}, fmt.Errorf("write a grant: %w", err)
	}
	return g, tx.recordGrant(ctx, actor, "grant.given", nil, &g)
}

func (tx *Tx) renewGrant(ctx context.Context, actor audit.Actor, earlier, g Grant) (Grant, error) {
	if earlier.Starts.Equal(g.Starts) && earlier.Expires.Equal(g.Expires) {
		return earlier, nil
	}
	renewed := earlier
	renewed.Starts, renewed.Expires, renewed.Reason = g.Starts, g.Expires, g.Reason
	renewed.GrantedBy, renewed.GrantedByName = actor.ID, actor.Name
	if narrower(earlier, renewed) {
		if err := tx.mayEnd(ctx, earlier); err != nil {
			return Grant{}, err
		}
	}
	if err := tx.putTerm(ctx, renewed); err != nil {
		return Grant{}, err
	}
	return renewed, tx.recordGrant(ctx, actor, "grant.renewed", &earlier, &renewed)
}

// narrower reports whether a term takes something of an earlier one away.
func narrower(earlier, term Grant) bool {
	return term.Starts.After(earlier.Starts) ||
		!term.Expires.IsZero() && (earlier.Expires.IsZero() || term.Expires.Before(earlier.Expires))
}

// mayEnd refuses to end what the last holder of a protected role holds it by: a grant that is made to begin tomorrow, or to
// end in a minute, is taken away as much as a revoked one.
func (tx *Tx) mayEnd(ctx context.Context, g Grant) error {
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	users, err := tx.protectedBy(ctx, ground, g.User, g.Group, g.Role)
	if err != nil || len(users) == 0 {
		return err
	}
	g.Expires = tx.now
	return tx.keepHolders(ctx, users, func() error { return tx.putTerm(ctx, g) })
}

func (tx *Tx) putTerm(ctx context.Context, g Grant) error {
	if _, err := tx.exec(ctx, `
		update grants
		set starts = $1, expires = $2, reason = $3, granted_by = $4, granted_by_name = $5
		where organization = $6
			and id = $7`,
		microsOrNull(g.Starts), microsOrNull(g.Expires), g.Reason, g.GrantedBy, g.GrantedByName, tx.Organization, g.ID); err != nil {
		return fmt.Errorf("renew grant %s: %w", g.ID, err)
	}
	return nil
}

func (tx *Tx) recordGrant(ctx context.Context, actor audit.Actor, action string, before, after *Grant) error {
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	e := audit.Event{Actor: actor, Action: action, TargetKind: "grant"}
	for _, g := range []*Grant{before, after} {
		if g == nil {
			continue
		}
		e.TargetID, e.User, e.Reason = string(g.ID), g.User, g.Reason
		e.TargetName = fmt.Sprintf("%s at %s", ground.Catalogue.Name(g.Role), ground.Tree.Name(g.Resource))
	}
	if before != nil {
		e.Before = auditJSON(before.record())
	}
	if after != nil {
		e.After = auditJSON(after.record())
	}
	tx.Record(ctx, e)
	tx.noteChanged(actor, e.User, action, e.TargetName)
	return nil
}

// noteGiven does what follows from a grant: a protected role that is held again needs no alarm.
func (tx *Tx) noteGiven(ctx context.Context, ground *access.Facts, g Grant) error {
	if g.User == "" || !carriesProtected(ground.Catalogue, g.Role) {
		return nil
	}
	e, err := tx.Access(ctx, g.User)
	if err != nil {
		return err
	}
	return tx.liftHolderFlags(ctx, e)
}

func carriesProtected(c *access.Catalogue, role id.Role) bool {
	return slices.ContainsFunc(c.Protected(), func(p id.Role) bool { return c.Carries(role, p) })
}

// Grant gives one grant. A fault of kind NotFound where the organization has none of that id.
func (tx *Tx) Grant(ctx context.Context, grant id.Grant) (Grant, error) {
	g, err := scanGrant(tx.queryRow(ctx, `
		select `+grantColumns+`
		from grants
		where organization = $1
			and id = $2`, tx.Organization, grant))
	if errors.Is(err, errNoRows) {
		return g, notFound("grant", grant)
	}
	return g, err
}

// RevokeGrant takes a grant away, under the ceiling it was given under, and never from the last holder of a protected role.
func (tx *Tx) RevokeGrant(ctx context.Context, actor audit.Actor, grant id.Grant, reason string) error {
	tx.Lock(ctx, accessLock)
	g, err := tx.Grant(ctx, grant)
	if err != nil {
		return err
	}
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return err
	}
	if err := access.Revoke(giver, ground, access.Grant{
		ID: g.ID, Role: g.Role, Resource: g.Resource, Source: g.Source, By: g.GrantedByName,
	}); err != nil {
		return err
	}
	users, err := tx.protectedBy(ctx, ground, g.User, g.Group, g.Role)
	if err != nil {
		return err
	}
	return tx.keepHolders(ctx, users, func() error {
		if _, err := tx.exec(ctx, `
			delete from grants
			where organization = $1
				and id = $2`, tx.Organization, g.ID); err != nil {
			return fmt.Errorf("delete grant %s: %w", g.ID, err)
		}
		if reason != "" {
			g.Reason = reason
		}
		if err := tx.recordGrant(ctx, actor, "grant.revoked", &g, nil); err != nil {
			return err
		}
		return tx.reviewParked(ctx)
	})
}

// protectedBy gives those who might lose a protected role with a role: nobody, where the role carries none.
func (tx *Tx) protectedBy(ctx context.Context, ground *access.Facts, user id.User, group id.Group, role id.Role) ([]id.User, error) {
	switch {
	case !carriesProtected(ground.Catalogue, role):
		return nil, nil
	case user != "":
		return []id.User{user}, nil
	case group != "":
		return tx.members(ctx, group)
	}
	return nil, nil
}

// GrantFilter narrows a list of grants. Empty fields narrow nothing.
type GrantFilter struct {
	User     id.User
	Group    id.Group
	Role     id.Role
	Resource id.Resource
	Source   access.Source
	Only     []id.Resource // unless nil: at these resources, which is what a viewer below the root sees
	Cursor   string
	Limit    int // 0: 50; at most 500
}

// ListGrants gives stored grants, oldest first, and the cursor of the next page, empty on the last one.
func (tx *Tx) ListGrants(ctx context.Context, f GrantFilter) ([]Grant, string, error) {
	after, limit, err := page(f.Cursor, f.Limit)
	if err != nil {
		return nil, "", err
	}
	args := arguments{tx.Organization, after, f.User, f.Group, f.Role, f.Resource, f.Source, limit + 1}
	only := ""
	if f.Only != nil {
		only = "\n\t\t\tand " + in("resource", f.Only, args.add)
	}
	grants, err := collect[Grant](tx.query(ctx, `
		select `+grantColumns+`
		from grants
		where organization = $1
			and id > $2
			and ($3 = '' or user_id = $3)
			and ($4 = '' or group_id = $4)
			and ($5 = '' or role = $5)
			and ($6 = '' or resource = $6)
			and ($7 = '' or source = $7)`+only+`
		order by id
		limit $8`, args...))(scanGrant)
	if err != nil {
		return nil, "", fmt.Errorf("list grants: %w", err)
	}
	grants, next := nextPage(grants, limit, func(g Grant) string { return string(g.ID) })
	return grants, next, nil
}

// page reads a cursor and a limit; nextPage cuts the one row too many off and names it.
func page(cursor string, limit int) (after string, size int, err error) {
	if limit <= 0 {
		limit = 50
	}
	if cursor == "" {
		return "", min(limit, 500), nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", 0, fault.Wrap(err, fault.Invalid, "This cursor is not of this list.").WithField("cursor", "It cannot be read.")
	}
	return string(raw), min(limit, 500), nil
}

func nextPage[T any](items []T, limit int, key func(T) string) ([]T, string) {
	if len(items) <= limit {
		return items, ""
	}
	items = items[:limit]
	return items, base64.RawURLEncoding.EncodeToString([]byte(key(items[limit-1])))
}

// GrantsOf gives what users hold by grants of their own, oldest first, however much it is.
func (tx *Tx) GrantsOf(ctx context.Context, users []id.User) (map[id.User][]Grant, error) {
	if len(users) == 0 {
		return nil, nil
	}
	out := map[id.User][]Grant{}
	_, err := collect[struct{}](tx.query(ctx, `
		select `+grantColumns+`
		from grants
		where organization = $1
			and `+tx.d.amongFew("user_id", tx.d.elements("$2"))+`
		order by id`, tx.Organization, encode(users)))(func(s scanner) (none struct{}, err error) {
		g, err := scanGrant(s)
		out[g.User] = append(out[g.User], g)
		return none, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the grants of users: %w", err)
	}
	return out, nil
}

// placeholders gives "$n, $n+1, ..." for values that follow n-1 others, and the values as arguments.
func placeholders[T any](n int, values []T) (string, []any) {
	list, args := "", make([]any, len(values))
	for i, v := range values {
		if i > 0 {
			list += ", "
		}
		list += fmt.Sprintf("$%d", n+i)
		args[i] = v
	}
	return list, args
}

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Restriction takes actions away from a user or a group's members at a resource and below.
type Restriction struct {
	ID        id.Restriction
	User      id.User // one of User and Group
	Group     id.Group
	Resource  id.Resource
	Actions   []string
	Reason    string
	GrantedBy string
	Created   time.Time
}

const restrictionColumns = `id, user_id, group_id, resource, actions, reason, granted_by, created`

func scanRestriction(s scanner) (r Restriction, err error) {
	err = s.Scan(&r.ID, orEmpty(&r.User), orEmpty(&r.Group), &r.Resource, decode(&r.Actions), &r.Reason, &r.GrantedBy, at(&r.Created))
	return r, err
}

type restrictionRecord struct {
	User     id.User     `json:"user,omitempty"`
	Group    id.Group    `json:"group,omitempty"`
	Resource id.Resource `json:"resource"`
	Actions  []string    `json:"actions"`
}

func (r Restriction) record() restrictionRecord {
	return restrictionRecord{r.User, r.Group, r.Resource, r.Actions}
}

// Restrictions lists those of a user ("": of everyone), the oldest first; those of the user's groups are not among them.
func (tx *Tx) Restrictions(ctx context.Context, user id.User) ([]Restriction, error) {
	return collect[Restriction](tx.query(ctx, `
		select `+restrictionColumns+`
		from restrictions
		where organization = $1
			and ($2 = '' or user_id = $2)
		order by id`, tx.Organization, user))(scanRestriction)
}

// Restrict puts a restriction on a user or a group, under the rules of access.Restrict.
func (tx *Tx) Restrict(ctx context.Context, actor audit.Actor, r Restriction) (Restriction, error) {
	if (r.User == "") == (r.Group == "") {
		return r, fault.New(fault.Invalid, "A restriction is put on a user or on a group.").
			WithField("user", "Name a user or a group, not both.")
	}
	if r.Group != "" {
		if _, err := tx.Group(ctx, r.Group); fault.KindOf(err) == fault.NotFound {
			return r, fault.New(fault.Invalid, "There is no group %q in this organization.", r.Group).
				WithField("group", "There is no such group.")
		} else if err != nil {
			return r, err
		}
	}
	r.ID, r.GrantedBy, r.Created = id.New[id.Restriction](), actor.ID, tx.now.UTC().Truncate(time.Microsecond)
	if r.Resource == "" {
		r.Resource = id.Resource(tx.Organization)
	}
	slices.Sort(r.Actions)
	r.Actions = slices.Compact(r.Actions)
	err := tx.restrict(ctx, actor, "restriction.set", r, func() error {
		_, err := tx.exec(ctx, `
			insert into restrictions (organization, `+restrictionColumns+`)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			tx.Organization, r.ID, orNull(r.User), orNull(r.Group), r.Resource, encode(r.Actions), r.Reason, r.GrantedBy,
			micros(r.Created))
		return err
	})
	return r, err
}

// LiftRestriction takes a restriction away, under the rules it was put under.
func (tx *Tx) LiftRestriction(ctx context.Context, actor audit.Actor, restriction id.Restriction) error {
	r, err := scanRestriction(tx.queryRow(ctx, `
		select `+restrictionColumns+`
		from restrictions
		where organization = $1
			and id = $2`, tx.Organization, restriction))
	if errors.Is(err, errNoRows) {
		return notFound("restriction", restriction)
	}
	if err != nil {
		return err
	}
	return tx.restrict(ctx, actor, "restriction.lifted", r, func() error {
		_, err := tx.exec(ctx, `
			delete from restrictions
			where organization = $1
				and id = $2`, tx.Organization, r.ID)
		return err
	})
}

func (tx *Tx) restrict(ctx context.Context, actor audit.Actor, action string, r Restriction, change func() error) error {
	tx.Lock(ctx, accessLock)
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil {
		return err
	}
	users := []id.User{r.User}
	if r.Group != "" {
		if users, err = tx.members(ctx, r.Group); err != nil {
			return err
		}
	}
	if giver.Operator && r.Group != "" {
		// The ceiling is no question then; who holds a protected role still is.
		if users, err = tx.protectedAmong(ctx, ground, users); err != nil {
			return err
		}
	}
	receivers, err := tx.accessOf(ctx, users)
	if fault.KindOf(err) == fault.NotFound {
		return fault.New(fault.Invalid, "There is no user %q in this organization.", r.User).
			WithField("user", "There is no such user.")
	}
	if err != nil {
		return err
	}
	if err := access.Restrict(giver, ground, access.Restriction{
		User: r.User, Group: r.Group, Resource: r.Resource, Actions: r.Actions,
	}, receivers...); err != nil {
		return err
	}
	if r.User != "" {
		tx.noteProviderUser(receivers[0])
	}
	return tx.keepHolders(ctx, users, func() error {
		if err := change(); err != nil {
			return fmt.Errorf("write restriction %s: %w", r.ID, err)
		}
		e := audit.Event{
			Actor: actor, Action: action, TargetKind: "restriction", TargetID: string(r.ID),
			TargetName: ground.Tree.Name(r.Resource), User: r.User, Reason: r.Reason,
		}
		if action == "restriction.lifted" {
			e.Before = auditJSON(r.record())
		} else {
			e.After = auditJSON(r.record())
		}
		tx.Record(ctx, e)
		return nil
	})
}

// guardRestrictions refuses letting someone into a group that restrictions are on, or out of it, to whoever could not put
// them on that person or lift them: membership is a door here too. It gives those whom a restriction would come to.
func (tx *Tx) guardRestrictions(
	ctx context.Context, actor audit.Actor, group id.Group, member string, kind directory.MemberKind,
) ([]id.User, error) {
	on, err := collect[Restriction](tx.query(ctx, tx.d.outerGroups("$2")+`
		select `+restrictionColumns+`
		from restrictions
		where organization = $1
			and group_id in (select id from outer_groups)
		order by id`, tx.Organization, group))(scanRestriction)
	if err != nil || len(on) == 0 {
		return nil, err
	}
	users := []id.User{id.User(member)}
	if kind == directory.GroupMember {
		if users, err = tx.members(ctx, id.Group(member)); err != nil {
			return nil, err
		}
	}
	giver, err := tx.Giver(ctx, actor)
	if err != nil || giver.Operator {
		return users, err
	}
	ground, err := tx.ground(ctx)
	if err != nil {
		return nil, err
	}
	receivers, err := tx.accessOf(ctx, users)
	if err != nil {
		return nil, err
	}
	for _, r := range on {
		if err := access.Restrict(giver, ground, access.Restriction{
			Group: r.Group, Resource: r.Resource, Actions: r.Actions,
		}, receivers...); err != nil {
			return nil, err
		}
	}
	return users, nil
}

// protectedAmong gives those of some users to whom a protected role was given.
func (tx *Tx) protectedAmong(ctx context.Context, ground *access.Facts, users []id.User) ([]id.User, error) {
	roles := []id.Role{}
	for _, p := range ground.Catalogue.Protected() {
		roles = append(roles, ground.Catalogue.Carriers(p)...)
	}
	given, err := tx.givenTo(ctx, roles, nil, "", 0)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(users, func(u id.User) bool {
		_, holds := slices.BinarySearch(given, u)
		return !holds
	}), nil
}

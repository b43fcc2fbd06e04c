package store

import (
	"context"
	"encoding/json"
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

// Conflict is something that waits for an administrator's decision.
type Conflict struct {
	ID         id.Conflict
	Kind       string
	Subject    string
	Document   json.RawMessage
	Created    time.Time
	Resolved   time.Time
	Resolution string
}

// The kinds of conflict about access.
const (
	ConflictExclusive = "exclusive-roles" // subject: the user
	ConflictGroupName = "group-name"      // subject: mapping/group
)

type groupNameConflict struct {
	Mapping   id.GroupRole `json:"mapping"`
	GroupName string       `json:"name"`
	Bound     id.Group     `json:"bound"`
	Group     id.Group     `json:"group"`
	Directory id.Directory `json:"directory,omitempty"`
}

type exclusiveConflict struct {
	User  id.User         `json:"user"`
	Name  string          `json:"name"`
	Roles []id.Role       `json:"roles"`
	Held  []access.RoleAt `json:"parked"`
}

const conflictColumns = `id, kind, subject, document, created, resolved, resolution`

func scanConflict(s scanner) (c Conflict, err error) {
	err = s.Scan(&c.ID, &c.Kind, &c.Subject, rawJSON(&c.Document), at(&c.Created), at(&c.Resolved), orEmpty(&c.Resolution))
	return c, err
}

// Conflicts lists what waits for a decision, oldest first; one kind of it, or all with "".
func (tx *Tx) Conflicts(ctx context.Context, kind string) ([]Conflict, error) {
	return collect[Conflict](tx.query(ctx, `
		select `+conflictColumns+`
		from conflicts
		where organization = $1
			and ($2 = '' or kind = $2)
			and resolved is null
		order by id`, tx.Organization, kind))(scanConflict)
}

// concluded is who acts where what happened follows from the rules by itself, in the wake of another change.
var concluded = audit.Actor{Kind: audit.ActorSystem, Name: "access rules"}

// openConflict lists a conflict once, however often it is met, and records the first time. Name is what it is called in the
// log; user, where there is one, whom it is about.
func (tx *Tx) openConflict(ctx context.Context, c Conflict, name string, user id.User) error {
	c.ID = id.New[id.Conflict]()
	n, err := tx.exec(ctx, `
		insert into conflicts (organization, id, kind, subject, document, created)
		values ($1, $2, $3, $4, $5, $6)
		on conflict do nothing`,
		tx.Organization, c.ID, c.Kind, c.Subject, string(c.Document), micros(tx.now))
	if err != nil {
		return fmt.Errorf("list a conflict: %w", err)
	}
	if n == 0 {
		return nil
	}
	tx.Record(ctx, audit.Event{
		Actor: concluded, Action: "conflict.opened", TargetKind: "conflict", TargetID: string(c.ID), TargetName: name,
		User: user, Code: c.Kind, After: c.Document,
	})
	what := "Roles that nobody may hold together have come to " + name + ". What collides has no effect until you decide."
	if c.Kind == ConflictGroupName {
		what = "A second group has the name " + name + ", by which a group gives roles here. The second gives nothing until you decide."
	}
	return tx.tellConflict(ctx, what)
}

// conflictOver takes a conflict off the list that ended by itself, and records it.
func (tx *Tx) conflictOver(ctx context.Context, kind, subject string) error {
	closed, err := tx.closeConflict(ctx, kind, subject, "over")
	for _, c := range closed {
		tx.Record(ctx, audit.Event{
			Actor: concluded, Action: "conflict.over", TargetKind: "conflict", TargetID: string(c), Code: kind,
		})
	}
	return err
}

func (tx *Tx) closeConflict(ctx context.Context, kind, subject, resolution string) ([]id.Conflict, error) {
	closed, err := column[id.Conflict](tx.query(ctx, `
		update conflicts
		set resolved = $1, resolution = $2
		where organization = $3
			and kind = $4
			and subject = $5
			and resolved is null
		returning id`, micros(tx.now), resolution, tx.Organization, kind, subject))
	if err != nil {
		return nil, fmt.Errorf("close a conflict: %w", err)
	}
	return closed, nil
}

// The decisions about a group name that a second source uses.
const (
	KeepBound = "keep" // the mapping stays with the group it is bound to
	Rebind    = "rebind"
)

// ResolveGroupName decides a conflict over a mapping's group name: it stays where it is bound, or moves to the other group,
// under the ceiling of giving the role.
func (tx *Tx) ResolveGroupName(ctx context.Context, actor audit.Actor, conflict id.Conflict, decision string) error {
	tx.Lock(ctx, accessLock)
	c, err := scanConflict(tx.queryRow(ctx, `
		select `+conflictColumns+`
		from conflicts
		where organization = $1
			and id = $2
			and kind = $3`, tx.Organization, conflict, ConflictGroupName))
	if errors.Is(err, errNoRows) || err == nil && !c.Resolved.IsZero() {
		return notFound("open conflict", conflict)
	}
	if err != nil {
		return err
	}
	if decision != KeepBound && decision != Rebind {
		return fault.New(fault.Invalid, "A mapping is kept where it is, or bound to the other group.").
			WithField("decision", "keep or rebind")
	}
	var doc groupNameConflict
	if err := json.Unmarshal(c.Document, &doc); err != nil {
		return fmt.Errorf("conflict %s: %w", c.ID, err)
	}
	m, err := scanMapping(tx.queryRow(ctx, `
		select `+mappingColumns+`
		from group_roles
		where organization = $1
			and id = $2`, tx.Organization, doc.Mapping))
	if err != nil && !errors.Is(err, errNoRows) {
		return err
	}
	if err == nil {
		ground, err := tx.ground(ctx)
		if err != nil {
			return err
		}
		giver, err := tx.Giver(ctx, actor)
		if err != nil {
			return err
		}
		if err := access.Give(giver, ground, access.Want{Role: m.Role, Resource: m.Resource}, tx.now); err != nil {
			return err
		}
		if decision == Rebind {
			users, err := tx.protectedBy(ctx, ground, "", m.Group, m.Role)
			if err != nil {
				return err
			}
			if err := tx.keepHolders(ctx, users, func() error {
				return tx.bind(ctx, actor, m, doc.Group, m.GroupName)
			}); err != nil {
				return err
			}
		}
	}
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "conflict.resolved", TargetKind: "conflict", TargetID: string(c.ID), TargetName: doc.GroupName,
		Before: c.Document, After: auditJSON(map[string]string{"resolution": decision}),
	})
	_, err = tx.closeConflict(ctx, c.Kind, c.Subject, decision)
	return err
}

// NoteParked brings the conflict list up to date after something arrived by sync: users whose roles exclude each other are
// listed, users for whom that is over are taken off. Group, where it is not empty, is the one whose members changed, so that
// a push to a group without such roles costs one statement whatever its size.
func (tx *Tx) NoteParked(ctx context.Context, group id.Group, users ...id.User) error {
	catalogue, err := tx.Catalogue(ctx)
	if err != nil {
		return err
	}
	if !catalogue.HasExclusive() {
		return nil
	}
	if group != "" {
		roles, err := tx.rolesOfGroup(ctx, group)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(roles, func(r id.Role) bool { return len(catalogue.Excluded(r)) > 0 }) {
			return nil
		}
	}
	for _, user := range users {
		e, err := tx.Access(ctx, user)
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		if len(e.Parked) == 0 {
			if err := tx.conflictOver(ctx, ConflictExclusive, string(user)); err != nil {
				return err
			}
			continue
		}
		doc := exclusiveConflict{User: user, Name: e.User.Name, Roles: e.Parked[0].Against}
		for _, p := range e.Parked {
			doc.Held = append(doc.Held, access.RoleAt{Role: p.Role, Resource: p.Resource})
		}
		found := Conflict{Kind: ConflictExclusive, Subject: string(user), Document: auditJSON(doc)}
		if err := tx.openConflict(ctx, found, e.User.Name, user); err != nil {
			return err
		}
	}
	return nil
}

// reviewParked takes off the conflict list whose roles exclude each other no longer: after something that may have ended
// it was taken away.
func (tx *Tx) reviewParked(ctx context.Context) error {
	open, err := tx.Conflicts(ctx, ConflictExclusive)
	if err != nil {
		return err
	}
	catalogue, err := tx.Catalogue(ctx)
	if err != nil {
		return err
	}
	users := make([]id.User, len(open))
	for i, c := range open {
		users[i] = id.User(c.Subject)
		if catalogue.HasExclusive() {
			continue
		}
		if err := tx.conflictOver(ctx, c.Kind, c.Subject); err != nil {
			return err
		}
	}
	return tx.NoteParked(ctx, "", users...)
}

// NoteAllParked brings the conflict list up to date after the catalogue or the organization's settings have changed.
func (tx *Tx) NoteAllParked(ctx context.Context) error {
	catalogue, err := tx.Catalogue(ctx)
	if err != nil {
		return err
	}
	var excluding []id.Role
	for _, r := range catalogue.Roles() {
		if len(catalogue.Excluded(r.ID)) > 0 {
			excluding = append(excluding, r.ID)
		}
	}
	if len(excluding) > 0 {
		users, err := tx.givenTo(ctx, excluding, nil, "", 0)
		if err != nil {
			return err
		}
		if err := tx.NoteParked(ctx, "", users...); err != nil {
			return err
		}
	}
	return tx.reviewParked(ctx)
}

// rolesOfGroup gives the roles that members of a group get through it or through groups it is in.
func (tx *Tx) rolesOfGroup(ctx context.Context, group id.Group) ([]id.Role, error) {
	return column[id.Role](tx.query(ctx, tx.d.outerGroups("$2")+`
		select role
		from group_roles
		where organization = $1
			and group_id in (select id from outer_groups)
		union
		select role
		from grants
		where organization = $1
			and group_id in (select id from outer_groups)`, tx.Organization, group))
}

// GuardMembership refuses letting someone into a local group, or taking them out, to whoever could not give what the group
// gives: membership is a door too. It is called before the change.
func (tx *Tx) GuardMembership(ctx context.Context, actor audit.Actor, group id.Group) error {
	tx.Lock(ctx, accessLock)
	giver, err := tx.Giver(ctx, actor)
	if err != nil || giver.Operator {
		return err
	}
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	given, err := collect[access.RoleAt](tx.query(ctx, tx.d.outerGroups("$2")+`
		select role, resource
		from group_roles
		where organization = $1
			and group_id in (select id from outer_groups)
		union
		select role, resource
		from grants
		where organization = $1
			and group_id in (select id from outer_groups)`, tx.Organization, group))(func(s scanner) (r access.RoleAt, err error) {
		err = s.Scan(&r.Role, &r.Resource)
		return r, err
	})
	if err != nil {
		return err
	}
	for _, r := range given {
		if err := access.Give(giver, ground, access.Want{Role: r.Role, Resource: r.Resource}, tx.now); err != nil {
			return err
		}
	}
	return nil
}

// refuseExclusive refuses what people have just done to a group when a member would now hold roles that exclude each other.
// What arrives by sync is parked instead: NoteParked.
func (tx *Tx) refuseExclusive(ctx context.Context, member string, kind directory.MemberKind) error {
	catalogue, err := tx.Catalogue(ctx)
	if err != nil || !catalogue.HasExclusive() {
		return err
	}
	users := []id.User{id.User(member)}
	if kind != directory.UserMember {
		if users, err = tx.members(ctx, id.Group(member)); err != nil {
			return err
		}
	}
	for _, user := range users {
		e, err := tx.Access(ctx, user)
		if err != nil {
			return err
		}
		if err := access.Exclusive(e); err != nil {
			return err
		}
	}
	return nil
}

// protectedMembers gives the users among a member (a user, or a group's users) who might lose a protected role by leaving a
// group.
func (tx *Tx) protectedMembers(ctx context.Context, group id.Group, member string) ([]id.User, error) {
	ground, err := tx.ground(ctx)
	if err != nil {
		return nil, err
	}
	roles, err := tx.rolesOfGroup(ctx, group)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(roles, func(r id.Role) bool { return carriesProtected(ground.Catalogue, r) }) {
		return nil, nil
	}
	users, err := tx.members(ctx, id.Group(member))
	if err != nil || len(users) > 0 {
		return users, err
	}
	if _, err := tx.User(ctx, id.User(member)); err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return nil, nil
		}
		return nil, err
	}
	return []id.User{id.User(member)}, nil
}

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
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// guardLastHolder refuses what takes all access away from a user (a suspension, a deletion by people) who is the last active
// holder of a protected role. It is called before the change, at the doors of people; a directory is never refused.
func (tx *Tx) guardLastHolder(ctx context.Context, user id.User) error {
	tx.Lock(ctx, accessLock)
	before, err := tx.Access(ctx, user)
	if err != nil {
		return err
	}
	return tx.stillHeld(ctx, []*access.Effective{before}, nil)
}

// keepHolders makes a change to the access of users and refuses it when it leaves a protected role without any active
// holder.
func (tx *Tx) keepHolders(ctx context.Context, users []id.User, change func() error) error {
	tx.Lock(ctx, accessLock)
	before, err := tx.accessOf(ctx, users)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	before = slices.DeleteFunc(before, func(e *access.Effective) bool { return len(e.ProtectedHeld()) == 0 })
	if len(before) == 0 {
		return nil
	}
	after, err := tx.accessOf(ctx, users)
	if err != nil {
		return err
	}
	return tx.stillHeld(ctx, before, after)
}

// stillHeld asks access.LastHolder, with the other holder of each protected role that those concerned lose.
func (tx *Tx) stillHeld(ctx context.Context, before, after []*access.Effective) error {
	var except []id.User
	for _, e := range before {
		except = append(except, e.User.ID)
	}
	for _, e := range before {
		for _, r := range e.ProtectedHeld() {
			until, _ := e.ProtectedUntil(r)
			if slices.ContainsFunc(after, func(e *access.Effective) bool {
				end, held := e.ProtectedUntil(r)
				return held && access.Outlasts(end, until)
			}) {
				continue
			}
			other, err := tx.holder(ctx, e.Catalogue(), r, until, except)
			if err != nil {
				return err
			}
			if other != nil {
				after = append(after, other)
			}
		}
	}
	return access.LastHolder(before, after)
}

// accessOf gives the access of several users.
func (tx *Tx) accessOf(ctx context.Context, users []id.User) ([]*access.Effective, error) {
	var out []*access.Effective
	for _, u := range users {
		e, err := tx.Access(ctx, u)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// holder gives an active user, not among the excepted, who holds a protected role for the organization until a time (zero:
// for ever), else whoever holds it longest, or nil. The statement finds who may hold it, from whatever source;
// access.Decide says who does.
func (tx *Tx) holder(ctx context.Context, c *access.Catalogue, role id.Role, until time.Time, except []id.User) (*access.Effective, error) {
	var last id.User
	var longest *access.Effective
	for {
		users, err := tx.givenTo(ctx, c.Carriers(role), []id.Resource{id.Resource(tx.Organization)}, last, 20)
		if err != nil || len(users) == 0 {
			return longest, err
		}
		for _, u := range users {
			last = u
			if slices.Contains(except, u) {
				continue
			}
			e, err := tx.Access(ctx, u)
			if err != nil {
				return nil, err
			}
			end, held := e.ProtectedUntil(role)
			if !held {
				continue
			}
			if access.Outlasts(end, until) {
				return e, nil
			}
			if longest == nil {
				longest = e
			} else if most, _ := longest.ProtectedUntil(role); access.Outlasts(end, most) {
				longest = e
			}
		}
	}
}

// members lists the users of a group, those of groups within it included.
func (tx *Tx) members(ctx context.Context, group id.Group) ([]id.User, error) {
	return column[id.User](tx.query(ctx, `
		with recursive inner_groups (id) as (
			select id
			from groups
			where organization = $1
				and id = $2
			union
			select m.member_id
			from inner_groups
			`+tx.d.each("group_members m", "m.member_id", `m.organization = $1
				and m.group_id = inner_groups.id
				and m.kind = 'group'`)+`
		)
		select u.id
		from users u
		where u.organization = $1
			and `+tx.d.amongFew("u.id", `
				select m.member_id
				from inner_groups
				cross join group_members m
				where m.organization = $1
					and m.group_id = inner_groups.id`)+`
			and u.status <> 'deleted'
		order by u.id`, tx.Organization, group))
}

// HolderLost is called after a directory took someone's access away. A write of a directory is never refused, since a
// refused deactivation leaves a leaver signed in; instead, when a protected role is left without any active holder, the
// organization is flagged for operator and administrators and the successor that its settings name is promoted.
// Before is the user's access before the write.
func (tx *Tx) HolderLost(ctx context.Context, actor audit.Actor, before *access.Effective) error {
	held := before.ProtectedHeld()
	if len(held) > 0 {
		// Two directories that take the last two at once: the second one waits, and then sees that the first is gone.
		tx.Lock(ctx, accessLock)
	}
	for _, role := range held {
		other, err := tx.holder(ctx, before.Catalogue(), role, tx.now, nil)
		if err != nil {
			return err
		}
		if other != nil {
			continue
		}
		if err := tx.flagHolderLost(ctx, actor, before, role); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) flagHolderLost(ctx context.Context, actor audit.Actor, before *access.Effective, role id.Role) error {
	self, err := tx.Self(ctx)
	if err != nil {
		return err
	}
	name := before.Catalogue().Name(role)
	sentence := fmt.Sprintf("Since %s left, nobody active is %s of %s.", before.User.Name, name, self.Name)
	flag := "last-holder/" + string(role)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "organization.holder-lost", TargetKind: "organization", TargetID: string(self.ID),
		TargetName: self.Name, User: before.User.ID, Code: access.CodeLast, Reason: sentence,
	})
	if self.Settings.Successor != "" {
		var successor id.User
		err := tx.queryRow(ctx, `
			select id
			from users
			where organization = $1
				and email_key = $2
				and status = 'active'
			order by seated desc, id
			limit 1`, tx.Organization, scim.Fold(self.Settings.Successor)).Scan(&successor)
		switch {
		case err == nil:
			_, err = tx.insertGrant(ctx, actor, Grant{
				User: successor, Role: role, Resource: id.Resource(tx.Organization), Source: access.Manual,
				Reason: "Named successor. " + sentence,
			})
			if err != nil {
				return err
			}
			// One without a seat, or under a restriction, holds nothing yet.
			e, err := tx.Access(ctx, successor)
			if err != nil || slices.Contains(e.ProtectedHeld(), role) {
				return err
			}
		case !errors.Is(err, errNoRows):
			return err
		}
	}
	return tx.setFlag(ctx, self, flag, sentence)
}

// setFlag sets one of the organization's flags, or lifts it with an empty sentence.
func (tx *Tx) setFlag(ctx context.Context, self *Organization, name, sentence string) error {
	var flags map[string]string
	err := tx.queryRow(ctx, `
		select flags
		from organizations
		where organization = $1`+tx.d.forUpdate(), tx.Organization).Scan(decode(&flags))
	if err != nil {
		return fmt.Errorf("read the flags of %s: %w", self.ID, err)
	}
	if flags[name] == sentence {
		return nil
	}
	if flags == nil {
		flags = map[string]string{}
	}
	flags[name] = sentence
	if sentence == "" {
		delete(flags, name)
	}
	_, err = tx.exec(ctx, `
		update organizations
		set flags = $1
		where organization = $2`, encode(flags), tx.Organization)
	tx.BumpOrganization(ctx)
	return err
}

// holdersFound lifts the flags of roles without a holder which one of the users holds again.
func (tx *Tx) holdersFound(ctx context.Context, users []id.User) error {
	self, err := tx.Self(ctx)
	if err != nil || len(self.Flags) == 0 {
		return err
	}
	for _, u := range users {
		e, err := tx.Access(ctx, u)
		if err != nil {
			return err
		}
		if err := tx.liftHolderFlags(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// liftHolderFlags takes flags of lost holders away for roles that are held again.
func (tx *Tx) liftHolderFlags(ctx context.Context, e *access.Effective) error {
	held := e.ProtectedHeld()
	if len(held) == 0 {
		return nil
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return err
	}
	for _, r := range held {
		if _, set := self.Flags["last-holder/"+string(r)]; set {
			if err := tx.setFlag(ctx, self, "last-holder/"+string(r), ""); err != nil {
				return err
			}
			tx.Record(ctx, audit.Event{
				Actor: concluded, Action: "organization.holder-found", TargetKind: "organization", TargetID: string(self.ID),
				TargetName: self.Name, User: e.User.ID, Code: access.CodeLast,
				Reason: fmt.Sprintf("%s is %s of %s now.", e.User.Name, e.Catalogue().Name(r), self.Name),
			})
		}
	}
	return nil
}

// auditJSON gives a value as an audit event's before or after.
func auditJSON(v any) json.RawMessage { return json.RawMessage(encode(v)) }

// notFound is the answer about anything the organization does not have, an id of another organization included.
func notFound(what string, name any) error {
	return fault.New(fault.NotFound, "There is no %s %q in this organization.", what, fmt.Sprint(name))
}

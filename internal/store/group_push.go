package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// CreateGroup stores a pushed group with its members.
func (p *Push) CreateGroup(ctx context.Context, r scim.Result, want scim.Want) (*scim.Resource, error) {
	name := asText(r.Attributes, "displayName")
	if err := p.checkGroupName(ctx, name, ""); err != nil {
		return nil, err
	}
	if err := p.checkUnique(ctx, p.Group, "", nil, r.Attributes); err != nil {
		return nil, err
	}
	group := id.New[id.Group]()
	res := &scim.Resource{
		ID: string(group), Version: 1, Created: p.now(), Modified: p.now(), Document: p.Group.StoredDocument(r.Attributes),
	}
	p.tx.queue(`
		insert into groups (organization, id, directory, display_name, display_name_key, external_id, document, folded, version,
			created, modified)
		values ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)`,
		p.tx.Organization, group, p.Directory.ID, name, scim.Fold(name), orNull(asText(r.Attributes, "externalId")),
		string(res.Document), p.folded(p.Group, r.Attributes), micros(p.tx.now))
	p.claim(p.Group, string(group), nil, r.Attributes)
	changed, err := p.changeMembers(ctx, group, r.Members)
	if err != nil {
		return nil, err
	}
	p.record(ctx, audit.Event{
		Action: "group.created", TargetKind: "group", TargetID: string(group), TargetName: name, After: res.Document,
	})
	p.recordMembers(ctx, group, name, changed)
	if err := p.tx.BindGroupRoles(ctx, p.Actor, group); err != nil {
		return nil, err
	}
	if len(changed.added) > 0 {
		if err := p.refuseHeld(ctx, group); err != nil {
			return nil, err
		}
	}
	if err := p.follow(ctx, group, changed, nil); err != nil {
		return nil, err
	}
	if want.Rows && len(r.Members) > 0 {
		if res.Rows, err = p.members(ctx, group); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// checkGroupName holds the demand of those providers that match groups by name: one name, one group.
func (p *Push) checkGroupName(ctx context.Context, name string, except id.Group) error {
	if !p.Dialect.Allows(scim.UniqueGroupNames) {
		return nil
	}
	p.tx.Lock(ctx, "group-names/"+string(p.Directory.ID))
	var taken bool
	err := p.tx.queryRow(ctx, `
		select exists (
			select 1
			from groups
			where organization = $1
				and directory = $2
				and display_name_key = $3
				and id <> $4)`, p.tx.Organization, p.Directory.ID, scim.Fold(name), except).Scan(&taken)
	if err != nil {
		return fmt.Errorf("look for a group %s: %w", name, err)
	}
	if taken {
		return fault.New(fault.Conflict, "This directory has a group with the displayName %q already.", name)
	}
	return nil
}

// GetGroup gives a pushed group. A fault of kind NotFound for groups of anybody else.
func (p *Push) GetGroup(ctx context.Context, group string, want scim.Want) (*scim.Resource, error) {
	read := p.tx.queryRow
	if !want.Rows {
		read = p.tx.lastRow
	}
	res, err := p.readGroup(ctx, group, read)
	if err == nil && want.Rows {
		res.Rows, err = p.members(ctx, id.Group(group))
	}
	return res, err
}

func (p *Push) readGroup(ctx context.Context, group string, read func(ctx context.Context, sql string, args ...any) row) (*scim.Resource, error) {
	res := &scim.Resource{ID: group}
	var doc json.RawMessage
	err := read(ctx, `
		select g.version, g.created, g.modified, g.document
		from groups g
		where g.organization = $1
			and g.directory = $2
			and g.id = $3`, p.tx.Organization, p.Directory.ID, group).
		Scan(&res.Version, at(&res.Created), at(&res.Modified), rawJSON(&doc))
	if errors.Is(err, errNoRows) {
		return nil, p.noResource(p.Group, group)
	}
	if err != nil {
		return nil, fmt.Errorf("read group %s: %w", group, err)
	}
	res.Document = doc
	return res, nil
}

// lockGroup reads a group that is about to change, without its members, and whether anybody has a role by being in it.
func (p *Push) lockGroup(ctx context.Context, group string, check Check) (res *scim.Resource, bears bool, err error) {
	res = &scim.Resource{ID: group}
	var doc json.RawMessage
	err = p.tx.queryRow(ctx, `
		select g.version, g.created, g.modified, g.document, exists (
			`+p.tx.d.outerGroups("$3")+`
			select 1
			from outer_groups
			where exists (select 1 from group_roles x where x.organization = $1 and x.group_id = outer_groups.id)
				or exists (select 1 from grants x where x.organization = $1 and x.group_id = outer_groups.id))
		from groups g
		where g.organization = $1
			and g.directory = $2
			and g.id = $3`+p.tx.d.forUpdate(), p.tx.Organization, p.Directory.ID, group).
		Scan(&res.Version, at(&res.Created), at(&res.Modified), rawJSON(&doc), &bears)
	if errors.Is(err, errNoRows) {
		return nil, false, p.noResource(p.Group, group)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read group %s: %w", group, err)
	}
	res.Document = doc
	if check != nil {
		err = check(res.Version)
	}
	return res, bears, err
}

// A directory sees, changes and takes away the memberships it has pushed ('scim') and no others: who is in its group by the
// claim of a sign-in is none of its members, and may be nobody it knows.

// memberType is what is answered of the kind of a row of group_members, called m.
const memberType = `case when m.kind = 'group' then 'Group' else 'User' end`

// memberDisplay is what is answered of its name. It is looked up row by row: a join that a planner without statistics gets wrong
// reads every record for every member.
func (d dialect) memberDisplay() string {
	return `case when m.kind = 'group' then (
				select g.display_name
				from groups g
				where g.organization = $1
					and g.id = m.member_id)
			else (
				select r.document ->> 'displayName'
				from ` + d.namedRecords() + `
				where r.organization = $1
					and r.directory = $2
					and r.user_id = m.member_id) end`
}

// namedRecords are the records as r, from which no more than displayName is read.
func (d dialect) namedRecords() string {
	if d == sqliteDialect {
		return "directory_records r indexed by directory_records_names"
	}
	return "directory_records r"
}

// memberPage is how many members are read at once: enough that a statement costs little beside them.
const memberPage = 2000

// eachMembers reads the members a page at a time, each behind the last of the one before: a large group costs the memory of
// a page. The slice is used again for the next one.
//
// To look a name up by its id costs SQLite six times what it costs to go on to the next one. From the second page on it therefore
// reads members and names beside each other, in the order of both, until it passes more people who are no members than are.
func (p *Push) eachMembers(ctx context.Context, group id.Group, page func([]scim.Reference) error) error {
	refs := make([]scim.Reference, 0, 64)
	after, beside, sparse := "", false, p.tx.d != sqliteDialect
	for {
		var err error
		if refs, err = p.readMembers(ctx, group, after, !beside, refs[:0]); err == nil && beside {
			sparse, err = p.nameMembers(ctx, refs)
		}
		if err != nil {
			return fmt.Errorf("read the members of group %s: %w", group, err)
		}
		if beside && sparse {
			beside = false
			continue
		}
		if len(refs) == 0 {
			return nil
		}
		if err := page(refs); err != nil || len(refs) < memberPage {
			return err
		}
		after, beside = refs[len(refs)-1].Value, !sparse
	}
}

// readMembers reads a page of members into refs. Without people's names only nested groups are named.
func (p *Push) readMembers(ctx context.Context, group id.Group, after string, people bool, refs []scim.Reference) ([]scim.Reference, error) {
	rows, err := p.tx.query(ctx, memberTexts()[p.tx.d][people], p.tx.Organization, p.Directory.ID, group, after, memberPage)
	if err != nil {
		return refs, err
	}
	defer rows.Close()
	for rows.Next() {
		ref := scim.Reference{Type: "User"}
		var kind directory.MemberKind
		if err := rows.Scan(&ref.Value, &kind, orEmpty(&ref.Display)); err != nil {
			return refs, err
		}
		if kind == directory.GroupMember {
			ref.Type = "Group"
		}
		refs = append(refs, ref)
	}
	return refs, rows.Err()
}

var memberTexts = sync.OnceValue(func() map[dialect]map[bool]string {
	texts := map[dialect]map[bool]string{}
	for _, d := range []dialect{sqliteDialect, postgresDialect} {
		texts[d] = map[bool]string{}
		for people, display := range map[bool]string{true: d.memberDisplay(), false: "case when m.kind = 'group' then " + d.memberDisplay() + " end"} {
			texts[d][people] = `
			select m.member_id, m.kind, ` + display + ` as display
			from group_members m
			where m.organization = $1
				and m.group_id = $3
				and m.source = 'scim'
				and m.member_id > $4
			order by m.member_id
			limit cast($5 as bigint)`
		}
	}
	return texts
})

// nameMembers reads the names of a page of members from first to last, and reports whether it gave up: where most of the directory's
// people between them are no members.
func (p *Push) nameMembers(ctx context.Context, refs []scim.Reference) (sparse bool, err error) {
	if len(refs) == 0 {
		return false, nil
	}
	most := 2 * len(refs)
	rows, err := p.tx.query(ctx, `
		select r.user_id, r.document ->> 'displayName' as display
		from `+p.tx.d.namedRecords()+`
		where r.organization = $1
			and r.directory = $2
			and r.user_id >= $3
			and r.user_id <= $4
		order by r.user_id
		limit $5`, p.tx.Organization, p.Directory.ID, refs[0].Value, refs[len(refs)-1].Value, most+1)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	var user, display string
	for n, at := 0, 0; rows.Next(); n++ {
		if n == most {
			return true, nil
		}
		if err := rows.Scan(&user, orEmpty(&display)); err != nil {
			return false, err
		}
		for at < len(refs) && refs[at].Value < user {
			at++
		}
		if at < len(refs) && refs[at].Value == user {
			refs[at].Display = display
		}
	}
	return false, rows.Err()
}

// members reads all members as rows: of a large group an array in one cell would be built twice.
func (p *Push) members(ctx context.Context, group id.Group) (all []scim.Reference, err error) {
	err = p.eachMembers(ctx, group, func(page []scim.Reference) error {
		all = append(all, page...)
		return nil
	})
	return all, err
}

// StreamGroup hands over a pushed group and then its members, a page at a time and all of one moment.
func (p *Push) StreamGroup(ctx context.Context, group string, begin func(*scim.Resource) error, rows func([]scim.Reference) error) error {
	res, err := p.readGroup(ctx, group, p.tx.queryRow)
	if err == nil {
		err = begin(res)
	}
	if err != nil {
		return err
	}
	return p.eachMembers(ctx, id.Group(group), rows)
}

// ModifyGroup changes a group as change decides. Its members are never loaded for it: a change of one is one row and the
// group's version.
func (p *Push) ModifyGroup(ctx context.Context, group string, check Check, change func(scim.Attributes) (scim.Result, error), want scim.Want) (*scim.Resource, error) {
	res, bears, err := p.lockGroup(ctx, group, check)
	if err != nil {
		return nil, err
	}
	current, err := scim.DecodeStored(res.Document)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	current["id"] = group
	r, err := change(current)
	if err != nil {
		return nil, err
	}
	was, name := asText(current, "displayName"), asText(r.Attributes, "displayName")
	if name != was {
		if err := p.checkGroupName(ctx, name, id.Group(group)); err != nil {
			return nil, err
		}
	}
	if err := p.checkUnique(ctx, p.Group, group, current, r.Attributes); err != nil {
		return nil, err
	}
	var guard holders
	if bears {
		if guard, err = p.guard(ctx, id.Group(group)); err != nil {
			return nil, err
		}
	}
	changed, err := p.changeMembers(ctx, id.Group(group), r.Members)
	if err != nil {
		return nil, err
	}
	if r.Changed || !changed.empty() {
		res.Version++
		res.Modified = p.now()
		if r.Changed {
			p.claim(p.Group, group, current, r.Attributes)
			res.Document = p.Group.StoredDocument(r.Attributes)
			p.tx.queue(`
				update groups
				set display_name = $4, display_name_key = $5, external_id = $6, document = $7, folded = $8, version = $9, modified = $10
				where organization = $1
					and directory = $2
					and id = $3`,
				p.tx.Organization, p.Directory.ID, group, name, scim.Fold(name), orNull(asText(r.Attributes, "externalId")),
				string(res.Document), p.folded(p.Group, r.Attributes), res.Version, micros(p.tx.now))
			before, after := changes(current, r.Attributes)
			p.record(ctx, audit.Event{
				Action: "group.changed", TargetKind: "group", TargetID: group, TargetName: name, Before: before, After: after,
			})
		} else {
			p.tx.queue(`
				update groups
				set version = $4, modified = $5
				where organization = $1
					and directory = $2
					and id = $3`, p.tx.Organization, p.Directory.ID, group, res.Version, micros(p.tx.now))
		}
		p.recordMembers(ctx, id.Group(group), name, changed)
		if name != was {
			if err := p.tx.BindGroupRoles(ctx, p.Actor, id.Group(group)); err != nil {
				return nil, err
			}
		}
		if name != was || bears && len(changed.added) > 0 {
			if err := p.refuseHeld(ctx, id.Group(group)); err != nil {
				return nil, err
			}
		}
		if bears {
			if err := p.follow(ctx, id.Group(group), changed, guard); err != nil {
				return nil, err
			}
		}
	}
	if want.Rows {
		if res.Rows, err = p.members(ctx, id.Group(group)); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// DeleteGroup deletes a pushed group. Its members stay; what they had through it ends with this transaction.
func (p *Push) DeleteGroup(ctx context.Context, group string, check Check) error {
	res, bears, err := p.lockGroup(ctx, group, check)
	if err == nil {
		err = p.refusePurge(ctx, id.Group(group), bears)
	}
	if err != nil {
		return err
	}
	var guard holders
	if bears {
		if guard, err = p.guard(ctx, id.Group(group)); err != nil {
			return err
		}
	}
	a, err := scim.DecodeStored(res.Document)
	if err != nil {
		return fmt.Errorf("group %s: %w", group, err)
	}
	p.unclaim(group)
	if err := p.tx.dropGroup(ctx, p.Actor, id.Group(group)); err != nil {
		return err
	}
	p.record(ctx, audit.Event{
		Action: "group.deleted", TargetKind: "group", TargetID: group, TargetName: asText(a, "displayName"), Before: res.Document,
	})
	if err := p.tx.BindGroupRoles(ctx, p.Actor, id.Group(group)); err != nil {
		return err
	}
	if bears {
		if err := p.tx.reviewParked(ctx); err != nil {
			return err
		}
	}
	return p.lost(ctx, guard)
}

// membership is who came into a group and who went, each with its kind.
type membership struct {
	added, removed map[string]directory.MemberKind
}

func (m membership) empty() bool { return len(m.added) == 0 && len(m.removed) == 0 }

type moved struct {
	id   string
	kind directory.MemberKind
}

func scanMoved(s scanner) (m moved, err error) {
	err = s.Scan(&m.id, &m.kind)
	return m, err
}

// changeMembers applies the steps to the group's rows.
func (p *Push) changeMembers(ctx context.Context, group id.Group, steps []scim.MemberChange) (membership, error) {
	all := membership{map[string]directory.MemberKind{}, map[string]directory.MemberKind{}}
	for _, step := range steps {
		ids := make([]string, len(step.Members))
		for i, m := range step.Members {
			ids[i] = m.Value
		}
		var added, removed []moved
		var err error
		switch step.Op {
		case scim.MembersAdd:
			added, err = p.addMembers(ctx, group, ids)
		case scim.MembersRemove:
			// A few are named one by one, so that each is a probe of the key whatever a planner thinks of the group's size.
			if len(ids) <= 50 {
				in, args := placeholders(3, ids)
				removed, err = p.removeMembers(ctx, group, "m.member_id in ("+in+")", args...)
			} else {
				removed, err = p.removeMembers(ctx, group, "m.member_id in ("+p.tx.d.elements("$3")+")", encode(ids))
			}
		case scim.MembersReplace:
			removed, err = p.removeMembers(ctx, group, "m.member_id not in ("+p.tx.d.elements("$3")+")", encode(ids))
			if err == nil && len(ids) > 0 {
				added, err = p.addMembers(ctx, group, ids)
			}
		case scim.MembersRemoveWhere:
			f := &filterSQL{p: p, rt: p.Group, args: []any{p.tx.Organization, group}}
			condition := f.memberCondition(step.Where)
			removed, err = p.removeMembers(ctx, group, condition, f.args[2:]...)
		}
		if err != nil {
			return membership{}, err
		}
		// Who goes and comes again within one request has not moved.
		move(removed, all.added, all.removed)
		move(added, all.removed, all.added)
	}
	return all, nil
}

func move(who []moved, undoes, into map[string]directory.MemberKind) {
	for _, m := range who {
		if _, ok := undoes[m.id]; ok {
			delete(undoes, m.id)
		} else {
			into[m.id] = m.kind
		}
	}
}

func (p *Push) removeMembers(ctx context.Context, group id.Group, condition string, args ...any) ([]moved, error) {
	removed, err := collect[moved](p.tx.query(ctx, `
		delete from group_members as m
		where m.organization = $1
			and m.group_id = $2
			and m.source = 'scim'
			and (`+condition+`)
		returning member_id, kind`, append([]any{p.tx.Organization, group}, args...)...))(scanMoved)
	if err != nil {
		return nil, fmt.Errorf("remove members of group %s: %w", group, err)
	}
	return removed, nil
}

// addMembers inserts the rows of those who are not there yet, in one statement for any number, each looked up by its key. A
// value that names no user and no group of this directory refuses the whole request and is named, unless the dialect lets it
// pass.
func (p *Push) addMembers(ctx context.Context, group id.Group, ids []string) ([]moved, error) {
	added, err := collect[moved](p.tx.query(ctx, `
		insert into group_members (organization, group_id, member_id, kind, source, added)
		select $1, $2, s.id, s.kind, $5, cast($6 as bigint)
		from (
			select e.id, coalesce((
					select 'user'
					from directory_records r
					where r.organization = $1
						and r.directory = $4
						and r.user_id = e.id), (
					select 'group'
					from groups g
					where g.organization = $1
						and g.directory = $4
						and g.id = e.id)) as kind
			from (`+p.tx.d.elements("$3", "id")+`) e) s
		where s.kind is not null
		on conflict do nothing
		returning member_id, kind`,
		p.tx.Organization, group, encode(ids), p.Directory.ID, directory.MemberPushed, micros(p.tx.now)))(scanMoved)
	if err != nil {
		return nil, fmt.Errorf("add members to group %s: %w", group, err)
	}
	if len(added) == len(ids) {
		return added, nil
	}
	// Who was there by a claim alone is the directory's from now on: a later claim must not take what the directory gave.
	adopted, err := collect[moved](p.tx.query(ctx, `
		update group_members
		set source = 'scim'
		where organization = $1
			and group_id = $2
			and source <> 'scim'
			and member_id in (`+p.tx.d.elements("$3")+`)
			and exists (
				select 1
				from directory_records r
				where r.organization = $1
					and r.directory = $4
					and r.user_id = group_members.member_id)
		returning member_id, kind`, p.tx.Organization, group, encode(ids), p.Directory.ID))(scanMoved)
	if err != nil {
		return nil, fmt.Errorf("adopt members of group %s: %w", group, err)
	}
	added = append(added, adopted...)
	there, err := column[string](p.tx.query(ctx, `
		select m.member_id
		from group_members m
		where m.organization = $1
			and m.group_id = $2
			and m.source = 'scim'
			and m.member_id in (`+p.tx.d.elements("$3")+`)`, p.tx.Organization, group, encode(ids)))
	if err != nil {
		return nil, fmt.Errorf("look for members of group %s: %w", group, err)
	}
	known := make(map[string]bool, len(there))
	for _, id := range there {
		known[id] = true
	}
	var unknown []string
	for _, id := range ids {
		if !known[id] {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 && !p.Dialect.Allows(scim.SkipUnknownMembers) {
		shown, rest := unknown, ""
		if len(shown) > 20 {
			shown, rest = shown[:20], fmt.Sprintf(" and %d more", len(unknown)-20)
		}
		return nil, fault.New(fault.Invalid, "These members are neither users nor groups of this directory: %s%s.", strings.Join(shown, ", "), rest)
	}
	return added, nil
}

// mostNamed is how many members an event names one by one.
const mostNamed = 1000

// recordMembers writes who came and who went: one event each for a few, so that each stands in the person's own history,
// and one for all when a whole company is pushed.
func (p *Push) recordMembers(ctx context.Context, group id.Group, name string, m membership) {
	e := audit.Event{TargetKind: "group", TargetID: string(group), TargetName: name}
	if len(m.added)+len(m.removed) <= 20 {
		p.recordEach(ctx, e, "group.member-added", m.added)
		p.recordEach(ctx, e, "group.member-removed", m.removed)
		return
	}
	said := func(who map[string]directory.MemberKind) json.RawMessage {
		if len(who) == 0 {
			return nil
		}
		ids := slices.Sorted(maps.Keys(who))
		return object(map[string]any{"count": len(ids), "members": ids[:min(len(ids), mostNamed)]})
	}
	e.Action, e.Before, e.After = "group.members-changed", said(m.removed), said(m.added)
	p.record(ctx, e)
}

func (p *Push) recordEach(ctx context.Context, e audit.Event, action string, who map[string]directory.MemberKind) {
	for _, member := range slices.Sorted(maps.Keys(who)) {
		e.Action, e.User = action, ""
		if who[member] == directory.UserMember {
			e.User = id.User(member)
		}
		e.After = object(map[string]any{"member": member, "kind": who[member]})
		p.record(ctx, e)
	}
}

// holders are the users who hold a protected role by a group, as they were before a change of it.
type holders []*access.Effective

// guard remembers who holds a protected role by being in the group.
func (p *Push) guard(ctx context.Context, group id.Group) (holders, error) {
	catalogue, err := p.tx.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	roles, err := p.tx.rolesOfGroup(ctx, group)
	if err != nil {
		return nil, err
	}
	guarded := catalogue.Protected()
	if !slices.ContainsFunc(roles, func(held id.Role) bool {
		return slices.ContainsFunc(guarded, func(r id.Role) bool { return catalogue.Carries(held, r) })
	}) {
		return nil, nil
	}
	users, err := p.tx.members(ctx, group)
	if err != nil {
		return nil, err
	}
	var out holders
	for _, u := range users {
		e, err := p.tx.Access(ctx, u)
		if err != nil {
			return nil, err
		}
		if len(e.ProtectedHeld()) > 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

// lost flags the organization where a change took the last holder of a protected role: a directory is never refused.
func (p *Push) lost(ctx context.Context, before holders) error {
	for _, e := range before {
		if err := p.tx.HolderLost(ctx, p.Actor, e); err != nil {
			return err
		}
	}
	return nil
}

// follow does what follows for the access of those who came and went: roles that exclude each other are listed, a protected
// role without a holder is flagged, and the flag is lifted once somebody holds it again.
func (p *Push) follow(ctx context.Context, group id.Group, m membership, before holders) error {
	if m.empty() {
		return nil
	}
	var users []id.User
	for _, who := range []map[string]directory.MemberKind{m.added, m.removed} {
		for member, kind := range who {
			if kind == directory.UserMember {
				users = append(users, id.User(member))
				continue
			}
			inner, err := p.tx.members(ctx, id.Group(member))
			if err != nil {
				return err
			}
			users = append(users, inner...)
		}
	}
	slices.Sort(users)
	users = slices.Compact(users)
	if err := p.tx.NoteParked(ctx, group, users...); err != nil {
		return err
	}
	if err := p.lost(ctx, before); err != nil {
		return err
	}
	return p.tx.holdersFound(ctx, users)
}

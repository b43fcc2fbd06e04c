package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/scim"
)

// Pusher is a directory at the door: what every statement of its requests depends on.
type Pusher struct {
	Directory directory.Directory
	Dialect   *scim.Dialect
	Actor     audit.Actor
	Base      string // its SCIM root, which stands in meta.location and $ref
	User      *scim.ResourceType
	Group     *scim.ResourceType
	// Repaired hears what the dialect had to forgive in the store; it may be nil.
	Repaired func(scim.Repairs)
	Patience time.Duration // how long a search may take; DefaultPatience where it is 0
	// Coming is what DB.Expect gave for this request; it may be nil.
	Coming *Coming
}

// Push is what a directory sees and changes in a transaction: the users under which it has a record, with that record's own
// attributes, and the groups that it pushed. What belongs to another directory does not exist here.
type Push struct {
	tx *Tx
	Pusher
}

// Push opens the directory's view.
func (tx *Tx) Push(by Pusher) *Push { return &Push{tx, by} }

// Check asks about the version of what is about to change; nil asks nothing.
type Check func(version int64) error

func (by *Pusher) noResource(rt *scim.ResourceType, id string) error {
	return fault.New(fault.NotFound, "%s %s does not exist in this directory.", rt.Name, id)
}

// readReferences reads a JSON array of [value, display, type] that one statement gathered.
func readReferences(raw json.RawMessage) ([]scim.Reference, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("[]")) || bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	var rows [][]any
	if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	out := make([]scim.Reference, len(rows))
	for i, row := range rows {
		value, _ := row[0].(string)
		display, _ := row[1].(string)
		kind, _ := row[2].(string)
		out[i] = scim.Reference{Value: value, Display: display, Type: kind}
	}
	return out, nil
}

// groupsOf is a scalar subquery of the groups of this directory that a user is in: member and directory are placeholders.
// A set of pairs ends by itself where groups contain each other. The cross joins keep SQLite to the order in which they are
// written: without statistics it would read all memberships of the organization for each step.
func (p *Push) groupsOf(member, dir string) string { return p.tx.d.groupsOf(member, dir) }

func (d dialect) groupsOf(member, dir string) string {
	groups := `(
			with recursive up (group_id, direct) as (
				select m.group_id, 1
				from group_members m
				where m.organization = $1
					and m.member_id = ` + member + `
					and m.source = 'scim'
				union
				select m.group_id, 0
				from up
				` + d.each("group_members m", "m.group_id", `m.organization = $1
					and m.member_id = up.group_id`) + `
			)
			select ` + d.jsonRows(`s.id, s.display_name, case when s.direct = 1 then 'direct' else 'indirect' end`) + `
			from (
				select g.id, g.display_name, max(up.direct) as direct
				from up
				` + d.each("groups g", "g.id, g.display_name", `g.organization = $1
					and g.id = up.group_id
					and g.directory = `+dir) + `
				group by g.id, g.display_name
				order by g.id) s)`
	// Whoever is in no group is found out by one look; to set up all of that is a third of a record's reading. Of an "exists"
	// PostgreSQL would make a hash of all memberships, where it believes that many are asked about.
	return `case when (
				select m.member_id
				from group_members m
				where m.organization = $1
					and m.member_id = ` + member + `
				limit 1) is not null then ` + groups + ` end`
}

// membersOf is a scalar subquery of a group's members as this directory knows them.
func (p *Push) membersOf(group string) string {
	return `(
			select ` + p.tx.d.jsonRows(`s.member_id, s.display, s.type`) + `
			from (
				select m.member_id, ` + p.tx.d.memberDisplay() + ` as display, ` + memberType + ` as type
				from group_members m
				where m.organization = $1
					and m.group_id = ` + group + `
					and m.source = 'scim'
				order by m.member_id) s)`
}

// changes gives the attributes that differ between two documents, as they were and as they are.
func changes(before, after scim.Attributes) (was, is json.RawMessage) {
	old, now := map[string]any{}, map[string]any{}
	for name, v := range after {
		if name == "id" || name == "meta" || name == "schemas" {
			continue
		}
		if had, ok := before[name]; !ok || !scim.Same(had, v) && encode(had) != encode(v) {
			now[name] = v
			if ok {
				old[name] = had
			}
		}
	}
	for name, v := range before {
		if _, ok := after[name]; !ok && name != "id" && name != "meta" && name != "schemas" {
			old[name] = v
		}
	}
	return object(old), object(now)
}

func (p *Push) record(ctx context.Context, e audit.Event) {
	e.Actor = p.Actor
	p.tx.Record(ctx, e)
}

func (p *Push) now() time.Time { return p.tx.now.UTC() }

// asText reads a string attribute.
func asText(a map[string]any, name string) string {
	s, _ := a[name].(string)
	return s
}

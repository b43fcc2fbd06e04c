package store

import (
	"context"
	"fmt"

	"github.com/vestibule-id/vestibule/scim"
)

// A filter by the one group that people are in ("groups.value eq") is asked of large directories. Who is in the group is
// looked up before the list is: a few are then found by their keys, and of many each record in the list's order is asked for
// its membership, so that a page ends when it is full. One statement for both would be planned for the wrong one.

// fewMembers is up to where a group's members are named in the list's statement.
const fewMembers = 5000

// within is who is in a group, directly or through others.
type within struct {
	root   string
	few    []string // its members, where they are few
	groups []string // else the groups whose members they are, the root among them
}

// groupNamed gives the group of a comparison with one group's id.
func groupNamed(x scim.Expr) (string, bool) {
	if v, ok := x.(scim.ValuePath); ok {
		x = v.Expr
	}
	c, ok := x.(scim.Compare)
	if !ok || c.Op != scim.Eq || c.Path.Sub == nil || c.Path.Sub.Name != "value" {
		return "", false
	}
	group, ok := c.Value.(string)
	return group, ok
}

// look finds who is in the groups that a filter names.
func (f *filterSQL) look(ctx context.Context, x scim.Expr) error {
	switch x := x.(type) {
	case scim.And:
		return f.lookAll(ctx, x.Terms)
	case scim.Or:
		return f.lookAll(ctx, x.Terms)
	case scim.Not:
		return f.look(ctx, x.Expr)
	}
	path := pathOf(x)
	if !f.users() || path.Attribute == nil || path.Extension != nil || path.Attribute.Name != "groups" {
		return nil
	}
	group, ok := groupNamed(x)
	if _, known := f.within[group]; !ok || known {
		return nil
	}
	w, err := f.p.within(ctx, group)
	if f.within == nil {
		f.within = map[string]*within{}
	}
	f.within[group] = w
	return err
}

func (f *filterSQL) lookAll(ctx context.Context, terms []scim.Expr) error {
	for _, t := range terms {
		if err := f.look(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (p *Push) within(ctx context.Context, group string) (*within, error) {
	w := &within{root: group}
	var err error
	w.few, err = column[string](p.tx.query(ctx, `
		with recursive down (member) as (
			select m.member_id
			from groups g
			cross join group_members m
			where g.organization = $1
				and g.directory = $2
				and g.id = $3
				and m.organization = $1
				and m.group_id = g.id
				and m.source = 'scim'
			union
			select m.member_id
			from down
			`+p.tx.d.each("group_members m", "m.member_id", `m.organization = $1
				and m.group_id = down.member`)+`
		)
		select member
		from down
		limit cast($4 as bigint)`, p.tx.Organization, p.Directory.ID, group, fewMembers+1))
	if err == nil && len(w.few) > fewMembers {
		w.few = nil
		w.groups, err = column[string](p.tx.query(ctx, `
			with recursive down (id) as (
				select g.id
				from groups g
				where g.organization = $1
					and g.id = $2
				union
				select m.member_id
				from down
				`+p.tx.d.each("group_members m", "m.member_id", `m.organization = $1
					and m.group_id = down.id
					and m.kind = 'group'`)+`
			)
			select id
			from down`, p.tx.Organization, group))
	}
	if err != nil {
		return nil, fmt.Errorf("look for the members of group %s: %w", group, err)
	}
	return w, nil
}

// inGroup is true of a user who is in the group.
func (f *filterSQL) inGroup(w *within) string {
	if w.groups == nil {
		return f.p.tx.d.amongFew("r.user_id", f.p.tx.d.elements(f.arg(encode(append([]string{}, w.few...)))))
	}
	groups := f.p.tx.d.elements(f.arg(encode(w.groups)))
	if len(w.groups) == 1 {
		groups = f.arg(w.root)
	}
	// As a value, and not as a condition, so that it stays a probe of the key for each row.
	return fmt.Sprintf(`coalesce((
				select 1
				from group_members m
				where m.organization = $1
					and m.group_id in (%s)
					and m.member_id = r.user_id
					and (m.source = 'scim' or m.group_id <> %s)
				limit 1), 0) = 1`, groups, f.arg(w.root))
}

package apply

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Verb is what happens to an object.
type Verb byte

// The verbs, as they are printed.
const (
	Add    Verb = '+'
	Modify Verb = '~'
	Remove Verb = '-'
)

// Change is one step from what the store holds to what the files declare.
type Change struct {
	Verb   Verb
	object object
	before map[string]field
	fields []field // what differs, as it becomes
	// touches says how many people a removal touches.
	touches string
}

// Plan is everything to do, in order.
type Plan struct {
	Changes []Change
	Waits   []string // what is declared and begins later by itself
}

// Empty says that the store is as the files declare.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 }

// diff compares two states. Without prune, what the files no longer declare stays; only a domain follows its connection,
// whose field it is.
func diff(current, want *store.Declared, prune bool) *Plan {
	plan := &Plan{}
	have := map[string]object{}
	for _, o := range objects(current) {
		have[o.key()] = o
	}
	wanted := map[string]bool{}
	for _, o := range objects(want) {
		wanted[o.key()] = true
		old, exists := have[o.key()]
		if !exists {
			plan.Changes = append(plan.Changes, Change{Verb: Add, object: o, fields: filled(o.fields)})
			continue
		}
		if c := compare(old, o); len(c.fields) > 0 {
			plan.Changes = append(plan.Changes, c)
		}
	}
	ours := map[id.Organization]map[id.Connection]bool{}
	for _, c := range want.Connections {
		if ours[c.Organization] == nil {
			ours[c.Organization] = map[id.Connection]bool{}
		}
		ours[c.Organization][c.ID] = true
	}
	forsaken := map[string]bool{}
	for _, m := range current.Domains {
		forsaken[key(domainKind, "", m.Domain)] = ours[m.Organization][m.Connection]
	}
	gone := objects(current)
	slices.Reverse(gone)
	for _, o := range gone {
		if wanted[o.key()] || !prune && !forsaken[o.key()] {
			continue
		}
		if o.kind != organizationKind && prune && o.org != "" && !wanted[key(organizationKind, o.org, "")] {
			continue // it goes with its organization
		}
		plan.Changes = append(plan.Changes, Change{Verb: Remove, object: o, before: byName(o.fields)})
	}
	return plan
}

func byName(fields []field) map[string]field {
	out := map[string]field{}
	for _, f := range fields {
		out[f.name] = f
	}
	return out
}

func filled(fields []field) []field {
	var out []field
	for _, f := range fields {
		if f.value != "" {
			out = append(out, f)
		}
	}
	return sortFields(out)
}

func sortFields(fields []field) []field {
	slices.SortFunc(fields, func(a, b field) int { return cmp.Compare(a.name, b.name) })
	return fields
}

func compare(old, now object) Change {
	c := Change{Verb: Modify, object: now, before: byName(old.fields)}
	after := byName(now.fields)
	for name, was := range c.before {
		if _, still := after[name]; !still && was.value != "" {
			c.fields = append(c.fields, field{name: name, secret: was.secret})
		}
	}
	for _, f := range now.fields {
		if c.before[f.name].value != f.value {
			c.fields = append(c.fields, f)
		}
	}
	sortFields(c.fields)
	return c
}

// Print writes the plan for a person: + added, ~ changed with what it was and what it becomes, - removed. Secrets are never
// printed.
func (p *Plan) Print(w io.Writer) {
	count := map[Verb]int{}
	for _, c := range p.Changes {
		count[c.Verb]++
		_, _ = fmt.Fprintf(w, "%c %s\n", c.Verb, c.object.title())
		if c.touches != "" {
			_, _ = fmt.Fprintf(w, "    %s\n", c.touches)
		}
		if c.Verb == Modify {
			for _, f := range c.shown() {
				_, _ = fmt.Fprintf(w, "    %s\n", f)
			}
		}
	}
	for _, late := range p.Waits {
		_, _ = fmt.Fprintf(w, "declared, not in force yet: %s\n", late)
	}
	if p.Empty() {
		_, _ = fmt.Fprintln(w, "nothing to change")
		return
	}
	_, _ = fmt.Fprintf(w, "%d to add, %d to change, %d to remove\n", count[Add], count[Modify], count[Remove])
}

func (c Change) shown() []string {
	var out []string
	quiet := ""
	for _, f := range c.fields {
		switch was := c.before[f.name]; {
		case f.quiet:
			quiet = "its place in the order"
		case (f.secret || was.secret) && was.value != "" && f.value != "" && seal.KeyOf(was.value) != seal.KeyOf(f.value):
			out = append(out, "secret changed, or only the key it lies under")
		case f.secret || was.secret:
			out = append(out, "secret changed")
		default:
			out = append(out, fmt.Sprintf("%s: %s -> %s", f.name, shown(was.value), shown(f.value)))
		}
	}
	if len(out) == 0 && quiet != "" {
		return []string{quiet}
	}
	return out
}

// shown keeps a metadata document from filling the screen.
func shown(v string) string {
	if v == "" {
		return "(none)"
	}
	v = strings.Join(strings.Fields(v), " ")
	if r := []rune(v); len(r) > 120 {
		return string(r[:117]) + "..."
	}
	return v
}

// event is the audit event of a change: what it was and what it became, without secrets.
func (c Change) event(actor audit.Actor) audit.Event {
	verb := map[Verb]string{Add: "created", Modify: "changed", Remove: "removed"}[c.Verb]
	e := audit.Event{
		Actor: actor, Action: kinds[c.object.kind].noun + "." + verb, TargetKind: kinds[c.object.kind].noun,
		TargetID: strings.ReplaceAll(c.object.local, "\x00", "/"), TargetName: c.object.label,
	}
	if c.object.kind == organizationKind {
		e.TargetID = string(c.object.org)
	}
	before, after := map[string]string{}, map[string]string{}
	note := func(m map[string]string, f field) {
		if f.secret {
			f.value = "(secret)"
		}
		if f.value != "" && !f.quiet {
			m[f.name] = f.value
		}
	}
	for _, f := range c.fields {
		note(after, f)
		if was, ok := c.before[f.name]; ok {
			note(before, was)
		}
	}
	if c.Verb == Remove {
		for _, f := range c.before {
			note(before, f)
		}
	}
	e.Before, e.After = document(before), document(after)
	return e
}

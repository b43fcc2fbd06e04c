package console

import (
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// impact is what a change to a group does to its members: of each permission at each resource, who gains or loses it.
type impact struct {
	Members int // of the group, those of groups within it included
	Seen    int // for how many of them it was worked out
	Changed int // how many of those gain or lose anything
	Lines   []impactLine
	Refused string // why it cannot be: a member would hold roles that exclude each other
}

type impactLine struct {
	Resource     string
	Gained, Lost []impactItem
}

// impactItem is one permission and the people it comes to or goes from.
type impactItem struct {
	Name   string
	People string
}

const (
	// impactOver bounds for how many members a preview is worked out.
	impactOver = 200
	// named bounds how many people a line names before it counts the rest.
	named = 5
)

// impactOf works out a change of facts for the members of a group, with the same code that decides afterwards.
func impactOf(v *visit, tx *store.Tx, users []id.User, change func(f *access.Facts)) (impact, error) {
	i := impact{Members: len(users), Seen: min(len(users), impactOver)}
	type cell struct {
		resource   id.Resource
		permission id.Permission
		lost       bool
	}
	people := map[cell][]string{}
	facts, err := tx.AccessFactsOf(v.ctx, users[:i.Seen])
	if err != nil {
		return i, err
	}
	for _, u := range users[:i.Seen] {
		f := facts[u]
		if f == nil { // gone since the members were read
			continue
		}
		before := access.Decide(f, v.now)
		change(f)
		after := access.Decide(f, v.now)
		if err := access.Exclusive(after); err != nil && access.Exclusive(before) == nil && i.Refused == "" {
			i.Refused = sentence(err)
		}
		changes := access.Compare(before, after)
		for _, c := range changes {
			for _, p := range c.Gained {
				people[cell{c.Resource, p, false}] = append(people[cell{c.Resource, p, false}], f.User.Name)
			}
			for _, p := range c.Lost {
				people[cell{c.Resource, p, true}] = append(people[cell{c.Resource, p, true}], f.User.Name)
			}
		}
		if len(changes) > 0 {
			i.Changed++
		}
	}
	for _, r := range v.viewer.ground.Tree.All() {
		line := impactLine{Resource: v.viewer.ground.Tree.Name(r.ID)}
		for _, p := range v.viewer.ground.Catalogue.Permissions() {
			name := either(p.Name, string(p.ID))
			if who := people[cell{r.ID, p.ID, false}]; len(who) > 0 {
				line.Gained = append(line.Gained, impactItem{name, namesOf(who)})
			}
			if who := people[cell{r.ID, p.ID, true}]; len(who) > 0 {
				line.Lost = append(line.Lost, impactItem{name, namesOf(who)})
			}
		}
		if len(line.Gained)+len(line.Lost) > 0 {
			i.Lines = append(i.Lines, line)
		}
	}
	return i, nil
}

// namesOf counts people and names the first few.
func namesOf(who []string) string {
	who = slices.Clone(who)
	slices.Sort(who)
	rest := len(who) - named
	if rest > 0 {
		return peopleWord(len(who)) + ": " + strings.Join(who[:named], ", ") + " and " + number(rest) + " more"
	}
	return peopleWord(len(who)) + ": " + strings.Join(who, ", ")
}

func peopleWord(n int) string {
	if n == 1 {
		return "1 person"
	}
	return number(n) + " people"
}

// said sums an impact up in a sentence.
func (i impact) said() string {
	var s string
	switch {
	case i.Members == 0:
		return "The group has no members, so nobody gains or loses anything now. Whoever joins it will."
	case i.Changed == 0:
		s = "Nobody gains or loses anything: other ways carry the same."
	default:
		does := []string{"gain", "gains"}
		gained := slices.ContainsFunc(i.Lines, func(l impactLine) bool { return len(l.Gained) > 0 })
		switch lost := slices.ContainsFunc(i.Lines, func(l impactLine) bool { return len(l.Lost) > 0 }); {
		case gained && lost:
			does = []string{"gain or lose", "gains or loses"}
		case lost:
			does = []string{"lose", "loses"}
		}
		verb := does[0]
		if i.Changed == 1 {
			verb = does[1]
		}
		s = peopleWord(i.Changed) + " of " + number(i.Seen) + " " + verb + " something."
	}
	if i.Seen < i.Members {
		s += " Worked out for the first " + number(i.Seen) + " of " + number(i.Members) + " members."
	}
	return s
}

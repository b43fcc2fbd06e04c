package simulate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// person is somebody in the provider's directory, as the server should hold them.
type person struct {
	n          int
	id         string
	external   string
	active     bool
	deleted    bool
	attributes map[string]string // by path, without those that have no value
}

// The paths a person's attributes are known by, as a PATCH writes them.
const (
	userName   = "userName"
	givenName  = "name.givenName"
	familyName = "name.familyName"
	display    = "displayName"
	email      = `emails[type eq "work"].value`
	title      = "title"
	country    = `addresses[type eq "work"].country`
	department = enterprise + ":department"
	manager    = enterprise + ":manager"
)

// with gives the person with other attributes; an empty value takes one away.
func (p *person) with(pairs ...string) *person {
	next := *p
	next.attributes = maps.Clone(p.attributes)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(next.attributes, pairs[i])
		} else {
			next.attributes[pairs[i]] = pairs[i+1]
		}
	}
	return &next
}

func (p *person) at(path string) string { return p.attributes[path] }

// group is a group in the provider's directory.
type group struct {
	n        int
	id       string
	external string
	name     string
	members  map[string]bool
	deleted  bool
}

func (g *group) ids() []string { return slices.Sorted(maps.Keys(g.members)) }

// Names with what breaks careless servers: an apostrophe, accents, a blank, letters outside Latin-1.
var (
	givenNames  = [][2]string{{"Ann", "ann"}, {"Zoë", "zoe"}, {"José", "jose"}, {"Łukasz", "lukasz"}, {"Mei", "mei"}, {"Anne Marie", "annemarie"}, {"Siobhán", "siobhan"}, {"Omar", "omar"}}
	familyNames = [][2]string{{"Lee", "lee"}, {"O'Brien", "obrien"}, {"Müller", "mueller"}, {"García Márquez", "garcia"}, {"Nguyễn", "nguyen"}, {"Smith", "smith"}, {"山田", "yamada"}}
	departments = []string{"Sales", "Service & Support", "Finance", "Engineering"}
	titles      = []string{"Technician", "Team lead", "Dispatcher", "Controller"}
)

// directory makes the people and groups of a run.
func directory(o Options) ([]*person, []*group) {
	// Reproducible on purpose: the same seed is the same directory.
	random := rand.New(rand.NewPCG(o.Seed, 0x5eed))
	domain := fmt.Sprintf("simulate-%d.example", o.Seed)
	people := make([]*person, o.Users)
	for i := range people {
		g, f := givenNames[random.IntN(len(givenNames))], familyNames[random.IntN(len(familyNames))]
		login := fmt.Sprintf("%s.%s.%04d@%s", g[1], f[1], i+1, domain)
		people[i] = &person{
			n: i, external: fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(o.Seed), i+1), active: true,
			attributes: map[string]string{
				userName: login, givenName: g[0], familyName: f[0], display: g[0] + " " + f[0], email: login,
				title: titles[random.IntN(len(titles))],
			},
		}
	}
	groups := make([]*group, o.Groups)
	for i := range groups {
		groups[i] = &group{n: i, name: fmt.Sprintf("Simulated group %d of %d", i+1, o.Seed), external: fmt.Sprintf("%08x-0000-4000-9000-%012x", uint32(o.Seed), i+1), members: map[string]bool{}}
	}
	return people, groups
}

// stored reads from a resource what a path names, and says when it stands there in a wrong shape.
func stored(resource map[string]any, path string) (string, error) {
	at := resource
	if rest, ok := strings.CutPrefix(path, enterprise+":"); ok {
		at, _ = resource[enterprise].(map[string]any)
		path = rest
	}
	if path == "manager" {
		switch v := at["manager"].(type) {
		case nil:
			return "", nil
		case map[string]any:
			s, _ := v["value"].(string)
			return s, nil
		default:
			return "", fmt.Errorf("manager is %s, not an object with a value", quote(v))
		}
	}
	if name, rest, ok := strings.Cut(path, `[type eq "work"].`); ok {
		list, _ := at[name].([]any)
		for _, x := range list {
			if e, ok := x.(map[string]any); ok && e["type"] == "work" {
				return text(e[rest])
			}
		}
		return "", nil
	}
	if name, sub, ok := strings.Cut(path, "."); ok {
		at, _ = at[name].(map[string]any)
		path = sub
	}
	return text(at[path])
}

func text(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("it is %s, not a string", quote(v))
}

package access

import (
	"cmp"
	"slices"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Resource is a node of an organization's tree. A parent of "" (or the organization) hangs it under the root.
type Resource struct {
	ID       id.Resource
	Parent   id.Resource
	Type     string
	Name     string
	Position int64
}

// Tree is the resources of one organization; the organization itself is the root. It never changes after it was made.
type Tree struct {
	root  id.Resource
	order []Resource // depth first, the root at 0
	index map[id.Resource]int
	end   []int // end[i] is one past the last resource below order[i]
	up    []int // up[i] is the parent's place; -1 for the root
}

// NewTree makes the tree of an organization. Resources whose parent is unknown, ids used twice and loops are refused.
func NewTree(organization id.Organization, name string, resources []Resource) (*Tree, error) {
	root := Resource{ID: id.Resource(organization), Type: "organization", Name: name}
	t := &Tree{root: root.ID, index: make(map[id.Resource]int, len(resources)+1)}
	known := map[id.Resource]bool{root.ID: true}
	children := map[id.Resource][]Resource{}
	for _, r := range resources {
		if known[r.ID] {
			return nil, fault.New(fault.Invalid, "The resource %s is declared twice in %s.", r.ID, organization)
		}
		known[r.ID] = true
		if r.Parent == "" {
			r.Parent = root.ID
		}
		children[r.Parent] = append(children[r.Parent], r)
	}
	for _, r := range resources {
		if r.Parent != "" && !known[r.Parent] {
			return nil, fault.New(fault.Invalid, "The resource %s lies below %s, which %s does not have.", r.ID, r.Parent,
				organization)
		}
	}
	var walk func(r Resource, parent int)
	walk = func(r Resource, parent int) {
		at := len(t.order)
		t.index[r.ID] = at
		t.order = append(t.order, r)
		t.up = append(t.up, parent)
		t.end = append(t.end, 0)
		below := children[r.ID]
		slices.SortFunc(below, func(a, b Resource) int {
			return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.ID, b.ID))
		})
		for _, child := range below {
			walk(child, at)
		}
		t.end[at] = len(t.order)
	}
	walk(root, -1)
	// What the walk from the root never met hangs in a loop.
	for _, r := range resources {
		if _, met := t.index[r.ID]; !met {
			return nil, fault.New(fault.Invalid, "The resource %s of %s lies below itself.", r.ID, organization)
		}
	}
	return t, nil
}

// Root gives the organization as a resource.
func (t *Tree) Root() id.Resource { return t.root }

// All gives every resource, depth first, the root first.
func (t *Tree) All() []Resource { return t.order }

// Get gives one resource.
func (t *Tree) Get(r id.Resource) (Resource, bool) {
	i, ok := t.index[r]
	if !ok {
		return Resource{}, false
	}
	return t.order[i], true
}

// Name gives a resource's name, or its id where it is not known.
func (t *Tree) Name(r id.Resource) string {
	if got, ok := t.Get(r); ok && got.Name != "" {
		return got.Name
	}
	return string(r)
}

// Depth gives how far below the root a resource lies; -1 where it is not known.
func (t *Tree) Depth(r id.Resource) int { return len(t.Path(r)) - 1 }

// Path gives the way from a resource up to the root, both included; nil where it is not known.
func (t *Tree) Path(r id.Resource) []id.Resource {
	i, ok := t.index[r]
	if !ok {
		return nil
	}
	var out []id.Resource
	for ; i >= 0; i = t.up[i] {
		out = append(out, t.order[i].ID)
	}
	return out
}

// Below gives a resource and everything below it, depth first; nil where it is not known.
func (t *Tree) Below(r id.Resource) []id.Resource {
	i, ok := t.index[r]
	if !ok {
		return nil
	}
	out := make([]id.Resource, 0, t.end[i]-i)
	for _, at := range t.order[i:t.end[i]] {
		out = append(out, at.ID)
	}
	return out
}

// Reaches reports whether what holds at one resource holds at another: the same, or below it.
func (t *Tree) Reaches(from, to id.Resource) bool {
	i, ok := t.index[from]
	if !ok {
		return false
	}
	j, ok := t.index[to]
	return ok && i <= j && j < t.end[i]
}

package scim

import (
	"context"
	"time"
)

// Resource is a resource as a Store keeps it: the document a client decided about, and beside it what
// the server adds.
type Resource struct {
	ID       string
	Version  int64
	Created  time.Time
	Modified time.Time

	// Document is the EncodeJSON of a Result's Attributes: no id, no meta, none of the rows. It is
	// answered as it stands, so a store must not change it.
	Document []byte

	// Rows are the elements of the resource type's Rows attribute, loaded when Want.Rows asks.
	Rows []Reference

	// Groups are the groups a resource is in, loaded when Want.Groups asks.
	Groups []Reference
}

// Reference names another resource of the same tenant.
type Reference struct {
	Value string
	// Type is the name of the resource type for an element of Rows, "direct" or "indirect" for a
	// group (RFC 7643 sections 4.1.2 and 4.2).
	Type    string
	Display string
}

// Want says what beyond the document an answer needs, so that nobody loads 100,000 members to leave
// them out.
type Want struct{ Rows, Groups bool }

// Query is a checked query over one resource type.
type Query struct {
	Filter     *Filter // nil matches all
	SortBy     *Path   // nil leaves the store's own order, which is total and stable
	Descending bool

	// Offset counts from the start. Where After is set the page goes on behind it instead: it is the
	// Place of an earlier page of the same list, and Before is how many resources the pages up to there
	// had.
	Offset int
	After  string
	Before int
	Count  int // 0 asks for the total alone
	Want   Want
}

// Page is part of the answer to a Query.
type Page struct {
	// Total is how many there are; of a page behind After, Before and what comes from there on. Who
	// walks until so many have come then reads everything, also where others go meanwhile.
	Total     int
	Resources []*Resource
	More      bool // whether something comes behind the last of Resources
	// Place is where the last of Resources stands, for After; "" where the list has to be counted through.
	Place string
}

// Place is where a page of a listing ended.
type Place struct {
	After string
	// Began is when the first page of the walk was served; zero where a page before this one was not.
	Began time.Time
}

// Walker is a Store that more than one node serves, or that wants to know when a client has read all
// there is.
type Walker interface {
	// PlaceOf gives the end of a page of the list with so many resources up to there, as some node kept
	// it lately.
	PlaceOf(ctx context.Context, list string, before int) (Place, bool)
	// KeepPlace keeps it for other nodes.
	KeepPlace(ctx context.Context, list string, before int, p Place)
	// Walked hears that somebody has read a whole list, from its first page at began to its last one now.
	Walked(rt *ResourceType, began time.Time, seen int)
}

// Store keeps the resources of one tenant. Every method is one transaction. Errors are *Error where
// the client is to blame; another error answers 500 and says nothing.
type Store interface {
	// Create stores a new resource under an id of the store's choice, or answers 409 uniqueness.
	Create(ctx context.Context, rt *ResourceType, r Result, want Want) (*Resource, error)

	// Get answers 404 for what does not exist, and for what belongs to another tenant.
	Get(ctx context.Context, rt *ResourceType, id string, want Want) (*Resource, error)

	// List answers a page. A total is exact, or nearly so of many thousands.
	List(ctx context.Context, rt *ResourceType, q Query) (*Page, error)

	// Modify loads the resource, asks check about its version (nil asks nothing) and change about its
	// attributes, and stores what change decided; nothing at all when nothing changed, in which case
	// version and time stay. check and change may be called more than once.
	Modify(ctx context.Context, rt *ResourceType, id string, check func(version int64) error, change func(current Attributes) (Result, error), want Want) (*Resource, error)

	// Delete removes the resource and every reference to it.
	Delete(ctx context.Context, rt *ResourceType, id string, check func(version int64) error) error
}

// Tenant is whom one request speaks for: a client's own base URL and resources.
type Tenant struct {
	// Base is the absolute URL of the SCIM root as the client knows it, without a slash at the end.
	Base    string
	Store   Store
	Dialect *Dialect
	// Repaired hears what the dialect had to forgive; it may be nil.
	Repaired func(Repairs)
}

func (t *Tenant) repaired(r Repairs) {
	if t.Repaired != nil && len(r) > 0 {
		t.Repaired(r)
	}
}

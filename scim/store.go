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

	// Offset counts from the start, or from behind After where that is set: the id of the last
	// resource of an earlier page in the store's own order.
	Offset int
	After  string
	Count  int // 0 asks for the total alone
	Want   Want
}

// Page is part of the answer to a Query.
type Page struct {
	Total     int
	Resources []*Resource
	More      bool // whether something comes behind the last of Resources
}

// Store keeps the resources of one tenant. Every method is one transaction. Errors are *Error where
// the client is to blame; another error answers 500 and says nothing.
type Store interface {
	// Create stores a new resource under an id of the store's choice, or answers 409 uniqueness.
	Create(ctx context.Context, rt *ResourceType, r Result, want Want) (*Resource, error)

	// Get answers 404 for what does not exist, and for what belongs to another tenant.
	Get(ctx context.Context, rt *ResourceType, id string, want Want) (*Resource, error)

	// List answers a page. A total is exact.
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

package scim

// Member is one element of a resource type's Rows attribute, as a client named it. Display and $ref
// are the server's to compute (RFC 7643 section 4.2); where a client sends only $ref, Value is the
// last segment of it.
type Member struct {
	Value string
	Type  string // "User", "Group" or ""
}

// MemberOp is what a MemberChange does.
type MemberOp int

// The kinds of change.
const (
	MembersAdd         MemberOp = iota + 1 // insert Members; those that are there already stay
	MembersRemove                          // delete Members; those that are not there are no error
	MembersReplace                         // afterwards exactly Members, none when it is empty
	MembersRemoveWhere                     // delete those that satisfy Where
)

// MemberChange is one step of what a request does to the Rows attribute. The steps are applied in
// order. None of them needs the other members loaded, so that adding one person to a group of
// 100,000 is one row.
type MemberChange struct {
	Op      MemberOp
	Members []Member // without repetition, in the order given
	// Where looks only at the sub-attributes value and type of members.
	Where Expr
}

// Result is what Create, Replace and Apply decided.
type Result struct {
	// Attributes is the whole new resource, without the Rows attribute and without anything whose
	// returned is "never": a password is checked and then forgotten.
	Attributes Attributes
	// Members says what happens to the Rows attribute. Whether that changes anything only the store
	// can tell.
	Members []MemberChange
	// Changed tells whether Attributes differ from what was stored. When it is false and no member
	// changes, version and lastModified stay (RFC 7644 section 3.5.2.1).
	Changed bool
	// Repairs counts what the dialect had to forgive.
	Repairs Repairs
}

// MaxOperations is how many operations one PATCH may hold.
const MaxOperations = 1000

// PatchURN names the message of a PATCH.
const PatchURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// Patch is a PatchOp message, parsed and checked as far as that is possible without the resource.
type Patch struct {
	rt         *ResourceType
	dialect    *Dialect
	operations []operation
	sent       Attributes
	repairs    Repairs
}

// Sent tells which attributes the message names, in the form that Project takes.
func (p *Patch) Sent() Attributes { return p.sent }

// operation is one step. An operation of the message without a path becomes one step an attribute.
type operation struct {
	number int    // of the operation in the message, from 1
	kind   string // "add", "replace", "remove"; "id" compares value with the resource's id
	path   Path
	filter Expr // over the elements of path's attribute, nil for none
	// seed is the element that filter describes, nil when it describes none or none may be made.
	seed  map[string]any
	value any           // converted; nil with "remove"
	rows  *MemberChange // instead of the rest where the path names the Rows attribute
}

// ParsePatch reads the body of a PATCH request (RFC 7644 section 3.5.2).
func ParsePatch(rt *ResourceType, body []byte, d *Dialect) (*Patch, error) {
	raw, err := DecodeJSON(body, DefaultLimits)
	if err != nil {
		return nil, err
	}
	return PatchFrom(rt, raw, d)
}

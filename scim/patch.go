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

// Patch is a PatchOp message, parsed and checked as far as that is possible without the resource.
type Patch struct {
	rt         *ResourceType
	dialect    *Dialect
	operations []operation
	repairs    Repairs
}

// ParsePatch reads the body of a PATCH request (RFC 7644 section 3.5.2).
func ParsePatch(rt *ResourceType, body []byte, d *Dialect) (*Patch, error) {
	raw, err := DecodeJSON(body, DefaultLimits)
	if err != nil {
		return nil, err
	}
	return PatchFrom(rt, raw, d)
}

// PatchFrom is ParsePatch over a message that is decoded already, such as the data of a bulk
// operation.
func PatchFrom(rt *ResourceType, raw Attributes, d *Dialect) (*Patch, error) {
	return patchFrom(rt, raw, d)
}

// Apply computes what the resource becomes. It is pure and atomic: current is not touched, and an
// error means that no operation took place. For a resource type with Rows, current holds none of
// them.
func Apply(rt *ResourceType, current Attributes, p *Patch) (Result, error) {
	return apply(rt, current, p)
}

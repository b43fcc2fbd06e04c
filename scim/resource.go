package scim

// The URNs of the schemas this package defines.
const (
	UserURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	GroupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// Extension is a schema that adds attributes to a resource type under its own URN.
type Extension struct {
	Schema   *Schema
	Required bool
}

// ResourceType says what a resource is made of (RFC 7643 section 6). Make the two of the standard
// with UserType and GroupType, others as a literal. It is read-only once in use.
type ResourceType struct {
	Name, Endpoint, Description string
	Schema                      *Schema
	Extensions                  []Extension

	// Defaults holds the value of an attribute that a client leaves out on create, such as active.
	// A PUT that leaves such an attribute out keeps what is stored (RFC 7644 section 3.5.1 leaves the
	// choice to us). A PATCH that removes it makes it unassigned, and the default does not come back:
	// what a store makes of an unassigned one is the store's, and silence about active should neither
	// deactivate nor re-activate anybody.
	Defaults map[string]any

	// Rows names a multi-valued complex attribute with a "value" that the store keeps as rows, not
	// in the document: "members" of a Group. It never stands in a Result's Attributes; what happens
	// to it is told as MemberChanges.
	Rows string

	// ReadOnly types are listed and read; every other method answers 405.
	ReadOnly bool

	// Key names the attribute whose value is compared as a user name (see UserNameKey): "userName".
	Key string
}

// UserType is the User of RFC 7643 section 4.1, with the given extensions.
func UserType(extensions ...Extension) *ResourceType {
	return &ResourceType{
		Name: "User", Endpoint: "/Users", Description: "User Account", Schema: User(), Extensions: extensions,
		Defaults: map[string]any{"active": true}, Key: "userName",
	}
}

// GroupType is the Group of RFC 7643 section 4.2, with the given extensions.
func GroupType(extensions ...Extension) *ResourceType {
	return &ResourceType{
		Name: "Group", Endpoint: "/Groups", Description: "Group", Schema: Group(), Extensions: extensions,
		Rows: "members",
	}
}

package scim

import ast "github.com/scim2/filter-parser/v2"

// Op is a comparison. There is no "ne" and no "pr": ParseFilter turns "ne" into Not{eq}, so that
// an absent attribute matches, and "pr" into Present.
type Op string

// The comparisons.
const (
	Eq Op = "eq"
	Co Op = "co"
	Sw Op = "sw"
	Ew Op = "ew"
	Gt Op = "gt"
	Ge Op = "ge"
	Lt Op = "lt"
	Le Op = "le"
)

// Expr is a node of a resolved filter: And, Or, Not, Compare, Present, ValuePath or Never.
type Expr interface{ expr() }

// And holds when every term holds. It has at least two terms.
type And struct{ Terms []Expr }

// Or holds when some term holds. It has at least two terms.
type Or struct{ Terms []Expr }

// Not holds when its expression does not. There is no third truth value: a comparison with an
// absent attribute is false, so its Not is true.
type Not struct{ Expr Expr }

// Compare holds when some value of the path compares as said with Value. On a path through a
// multi-valued attribute any element will do.
//
// Value has the type of the leaf as it stands in a Folded resource: string (already folded unless
// the leaf is caseExact, or made a user name key for the resource type's Key), bool, int64, float64,
// and int64 microseconds since 1970 UTC for a dateTime. It is never an empty string and holds no NUL,
// so that a back end may compare bytes.
type Compare struct {
	Path  Path
	Op    Op
	Value any
}

// Present holds when the path has a value: for a complex attribute a non-empty node.
type Present struct{ Path Path }

// ValuePath holds when one element of the path's attribute satisfies Expr by itself. The paths
// inside Expr are absolute: Attribute is the same, Sub is the element's sub-attribute, or nil where
// the elements are simple values.
type ValuePath struct {
	Path Path
	Expr Expr
}

// Never holds for no resource. It stands for a comparison that no stored value can satisfy, such as
// one with an attribute that this resource type lacks in a query over several types
// (RFC 7644 section 3.4.2.1).
type Never struct{}

func (And) expr()       {}
func (Or) expr()        {}
func (Not) expr()       {}
func (Compare) expr()   {}
func (Present) expr()   {}
func (ValuePath) expr() {}
func (Never) expr()     {}

// Filter is a filter of RFC 7644 section 3.4.2.2, checked against a resource type.
type Filter struct {
	Expr Expr

	// Repairs counts what the dialect had to forgive.
	Repairs Repairs

	rt     *ResourceType
	syntax ast.Expression
}

// String prints the filter in one normal form, with every parenthesis that its meaning needs.
func (f *Filter) String() string { return printExpression(f.syntax) }

// Match evaluates the filter over a resource as it is answered. A nil filter matches everything.
func (f *Filter) Match(a Attributes) bool { return f == nil || matches(f.Expr, Folded(f.rt, a)) }

// MatchFolded evaluates the filter over what Folded returned.
func (f *Filter) MatchFolded(folded Attributes) bool { return f == nil || matches(f.Expr, folded) }

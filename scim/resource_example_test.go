package scim_test

import (
	"fmt"

	"github.com/vestibule-id/vestibule/scim"
)

// Entra deactivates a user with a string, and names a manager by a bare id.
func ExampleApply() {
	user := scim.UserType(scim.Extension{Schema: scim.EnterpriseUser()})
	current := scim.Attributes{"userName": "ann@x.org", "active": true}

	patch, err := scim.ParsePatch(user, []byte(`{
		"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
		"Operations": [
			{"op": "Replace", "path": "active", "value": "False"},
			{"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "value": "usr_7"}
		]}`), scim.Entra)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := scim.Apply(user, current, patch)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(user.EncodeJSON(result.Attributes)))
	fmt.Println(result.Changed, result.Repairs)
	// Output:
	// {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"ann@x.org","active":false,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"usr_7"}}}
	// true map[boolean-strings:1 loose-complex:1]
}

// One element must satisfy everything inside the brackets.
func ExampleParseFilter() {
	user := scim.UserType()
	filter, err := scim.ParseFilter(user, `emails[type eq "work" and value ew "@X.ORG"] and title ne "Guest"`, scim.RFC)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(filter.Match(scim.Attributes{
		"emails": []any{map[string]any{"type": "work", "value": "ann@x.org"}},
	}))
	// Output: true
}

// A group's members are never loaded: what a request does to them comes as steps for the store.
func ExampleMemberChange() {
	group := scim.GroupType()
	patch, err := scim.ParsePatch(group, []byte(`{
		"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
		"Operations": [
			{"op": "remove", "path": "members[value eq \"usr_1\"]"},
			{"op": "add", "path": "members", "value": [{"value": "usr_2"}]}
		]}`), scim.Okta)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := scim.Apply(group, scim.Attributes{"displayName": "London"}, patch)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, change := range result.Members {
		fmt.Println(change.Op == scim.MembersAdd, change.Members[0].Value)
	}
	// Output:
	// false usr_1
	// true usr_2
}

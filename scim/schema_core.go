package scim

// User is the core User schema of RFC 7643 section 4.1.
func User() *Schema { return mustLoad("user") }

// Group is the core Group schema of RFC 7643 section 4.2.
func Group() *Schema { return mustLoad("group") }

// EnterpriseUser is the extension of RFC 7643 section 4.3.
func EnterpriseUser() *Schema { return mustLoad("enterprise") }

func mustLoad(string) *Schema { panic("pending") }

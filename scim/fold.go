package scim

// Fold maps a string to the form in which values of a caseExact=false attribute are compared:
// Unicode normalization form C, full case folding, and form C again (Unicode 3.13, D145). Two
// strings that differ only in case or in composition fold to the same bytes.
func Fold(s string) string { return fold(s) }

// UserNameKey maps a user name to the form in which it is unique: the PRECIS profile
// UsernameCaseMapped (RFC 8265 section 3.3, asked for by RFC 7644 section 5), which also unites
// full-width forms, and Fold of it. Names that the profile refuses (it allows no blanks) are kept
// and compared by Fold alone: refusing them would lock out people whom their directory knows.
func UserNameKey(s string) string { return userNameKey(s) }

// Folded is the copy of a resource that a store keeps to filter by: every caseExact=false string
// folded, every dateTime int64 microseconds since 1970 UTC, empty strings left out. On it a Filter
// needs only plain comparisons of bytes and numbers.
func Folded(rt *ResourceType, a Attributes) Attributes { return folded(rt, a) }

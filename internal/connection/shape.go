package connection

import "regexp"

// ShapeOf says what a key looks like, so that a claim and an attribute that can never be equal are seen before anybody signs in: a
// mail nickname is pushed where an object id is sent.
func ShapeOf(key string) string {
	for _, s := range shapes {
		if s.is.MatchString(key) {
			return s.name
		}
	}
	return "a text of another form"
}

var shapes = []struct {
	name string
	is   *regexp.Regexp
}{
	{"a GUID", regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)},
	{"an Okta user id", regexp.MustCompile(`^00u[0-9A-Za-z]{17}$`)},
	{"24 hexadecimal digits", regexp.MustCompile(`^[0-9a-f]{24}$`)},
	{"a number", regexp.MustCompile(`^[0-9]+$`)},
	{"an email address", regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)},
	{"a base64 value", regexp.MustCompile(`^[A-Za-z0-9+/]{22,}={1,2}$`)},
	{"a plain name", regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)},
}

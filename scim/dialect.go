package scim

import "strings"

// Deviation is one way in which an identity provider departs from the standard.
type Deviation string

// Allowance is a line of a dialect's table: a deviation it may use and where that was seen.
type Allowance struct {
	Deviation Deviation
	Source    string
}

// Dialect is a named table of deviations. What a dialect does not list is read by the letter of
// the standard.
type Dialect struct {
	Name       string
	Allowances []Allowance
}

// Allows tells whether the table has the deviation. A nil dialect allows nothing.
func (d *Dialect) Allows(x Deviation) bool {
	if d != nil {
		for _, a := range d.Allowances {
			if a.Deviation == x {
				return true
			}
		}
	}
	return false
}

// DialectNamed finds a dialect: entra, okta, onelogin, google, jumpcloud, ping or rfc.
func DialectNamed(name string) (*Dialect, bool) {
	for _, d := range Dialects {
		if strings.EqualFold(d.Name, name) {
			return d, true
		}
	}
	return nil, false
}

// Repairs counts the deviations that were forgiven in one request, for the directory's log.
type Repairs map[Deviation]int

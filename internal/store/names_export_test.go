package store

import (
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// InsertRecord stores a record for a user who is there.
func (p *Push) InsertRecord(user id.User, r scim.Result) {
	p.insertRecord(user, r, profileOf(r.Attributes))
}

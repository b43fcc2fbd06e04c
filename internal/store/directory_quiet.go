package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// A full sync that finds everything as it was sends thousands of changes that change nothing. To find that out ModifyUser
// takes a lock and commits; a plain read does it for a third. But a read before each real change would be wasted, so it is
// only made for a directory whose last change came to nothing.

// Quiet is whether the last change that a directory sent for a user changed nothing. It is a guess about the next one.
func (db *DB) Quiet(org id.Organization, dir id.Directory) *atomic.Bool {
	q, _ := db.quiet.LoadOrStore([2]string{string(org), string(dir)}, &atomic.Bool{})
	return q.(*atomic.Bool)
}

// UnchangedUser is ModifyUser for a change that changes nothing, of which it makes sure by reading. It gives no resource and
// no error where ModifyUser has to decide.
func (p *Push) UnchangedUser(ctx context.Context, user string, check Check, change func(scim.Attributes) (scim.Result, error), want scim.Want) (*scim.Resource, error) {
	res := &scim.Resource{ID: user}
	var doc, raw json.RawMessage
	var undone time.Time
	dest := []any{&res.Version, at(&res.Created), at(&res.Modified), rawJSON(&doc), at(&undone)}
	columns := recordColumns + ", r.undone"
	if want.Groups {
		columns += ", " + p.groupsOf("$3", "$2")
		dest = append(dest, rawJSON(&raw))
	}
	err := p.tx.lastRow(ctx, `
		select `+columns+`
		from directory_records r
		where r.organization = $1
			and r.directory = $2
			and r.user_id = $3`, p.tx.Organization, p.Directory.ID, user).Scan(dest...)
	if errors.Is(err, errNoRows) {
		return nil, p.noResource(p.User, user)
	}
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w", user, err)
	}
	if check != nil {
		if err := check(res.Version); err != nil {
			return nil, err
		}
	}
	current, err := scim.DecodeStored(doc)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", user, err)
	}
	current["id"] = user
	r, err := change(current)
	if err != nil || r.Changed || !undone.IsZero() {
		return nil, err
	}
	res.Document = doc
	res.Groups, err = readReferences(raw)
	return res, err
}

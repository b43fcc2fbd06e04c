package store

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
)

// Names are what a person is called.
type Names struct{ Display, Given, Family string }

const nameLimit = 100

// KeepsNames says whether a user's names are the person's own to change: no directory has a record of them, and no provider made the
// user, which would bring its names again at the next sign-in (RefreshProfile).
func (tx *Tx) KeepsNames(ctx context.Context, u *directory.User) (bool, error) {
	if u.Local == directory.JustInTime {
		return false, nil
	}
	records, err := tx.recordsOf(ctx, u.ID)
	return len(records) == 0, err
}

// ChangeNames changes a user's names, as the person says, where nobody upstream says them.
func (tx *Tx) ChangeNames(ctx context.Context, actor audit.Actor, user id.User, n Names) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil {
		return err
	}
	keeps, err := tx.KeepsNames(ctx, u)
	switch {
	case err != nil:
		return err
	case !keeps:
		return fault.New(fault.Forbidden, "Your name comes from your organization's directory or identity provider. It is changed there.").
			WithCode("profile-elsewhere")
	case u.Status != directory.Active:
		return fault.New(fault.Forbidden, "Your account is not active.")
	}
	// A name stands in letters and lists: what would break a line or hide in it is taken out.
	n = Names{mail.Line(n.Display), mail.Line(n.Given), mail.Line(n.Family)}
	bad := fault.New(fault.Invalid, "A name has at most %d characters.", nameLimit)
	if n.Display == "" {
		bad = fault.New(fault.Invalid, "Say what you are called.").WithField("name", "Say what you are called.")
	}
	for field, value := range map[string]string{"name": n.Display, "given": n.Given, "family": n.Family} {
		if utf8.RuneCountInString(value) > nameLimit {
			bad = bad.WithField(field, "At most %d characters.", nameLimit)
		}
	}
	if len(bad.Fields) > 0 {
		return bad
	}
	before, after := map[string]any{}, map[string]any{}
	for name, v := range map[string][2]string{
		"display_name": {u.DisplayName, n.Display}, "given_name": {u.GivenName, n.Given}, "family_name": {u.FamilyName, n.Family},
	} {
		if v[0] != v[1] {
			before[name], after[name] = v[0], v[1]
		}
	}
	if len(after) == 0 {
		return nil
	}
	if _, err := tx.exec(ctx, `
		update users
		set display_name = $1, given_name = $2, family_name = $3, updated = $4
		where organization = $5
			and id = $6`,
		n.Display, orNull(n.Given), orNull(n.Family), micros(tx.now), tx.Organization, user); err != nil {
		return fmt.Errorf("name user %s: %w", user, err)
	}
	u.DisplayName = n.Display
	tx.recordUser(ctx, actor, "user.updated", u, before, after, "by the person")
	return nil
}

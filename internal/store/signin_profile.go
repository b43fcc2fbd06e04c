package store

import (
	"context"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// RefreshProfile brings the names and the address of a user who exists by signing in alone to what the provider says now. For
// whom a directory speaks, the directory does; what the provider leaves out stays. A new address must meet what a newcomer's
// has to, and one that somebody else of the organization holds is not taken over: the old one stays.
func (tx *Tx) RefreshProfile(ctx context.Context, actor audit.Actor, c connection.Connection, user id.User, p connection.Person, n NewUser) error {
	u, err := tx.oneUser(ctx, user, tx.d.forUpdate())
	if err != nil || u.Local != directory.JustInTime {
		return err
	}
	records, err := tx.recordsOf(ctx, user)
	if err != nil || len(records) > 0 {
		return err
	}
	was := *u
	for _, f := range []struct{ to, says *string }{
		{&u.DisplayName, &n.DisplayName}, {&u.GivenName, &n.GivenName}, {&u.FamilyName, &n.FamilyName},
	} {
		if *f.says != "" {
			*f.to = *f.says
		}
	}
	if p.Email != "" && scim.Fold(p.Email) != scim.Fold(u.Email) {
		var f connection.Facts
		if err := tx.addressFacts(ctx, c, p, &f); err != nil {
			return err
		}
		if connection.MayHold(p, f) {
			u.Email = p.Email
		}
	}
	if scim.Fold(p.Email) == scim.Fold(u.Email) {
		u.EmailVerified = p.EmailVerified == connection.Yes
	}
	before, after := map[string]any{}, map[string]any{}
	for name, v := range map[string][2]any{
		"display_name": {was.DisplayName, u.DisplayName}, "given_name": {was.GivenName, u.GivenName},
		"family_name": {was.FamilyName, u.FamilyName}, "email": {was.Email, u.Email},
		"email_verified": {was.EmailVerified, u.EmailVerified},
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
		set display_name = $1, given_name = $2, family_name = $3, email = $4, email_key = $5, email_verified = $6, updated = $7
		where organization = $8
			and id = $9`,
		u.DisplayName, orNull(u.GivenName), orNull(u.FamilyName), orNull(u.Email), orNull(scim.Fold(u.Email)), u.EmailVerified,
		micros(tx.now), tx.Organization, user); err != nil {
		return fmt.Errorf("refresh user %s: %w", user, err)
	}
	tx.recordUser(ctx, actor, "user.updated", u, before, after, "")
	return nil
}

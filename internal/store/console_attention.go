package store

import (
	"context"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
)

// ProtectedHolders gives up to so many active holders of a protected role.
func (tx *Tx) ProtectedHolders(ctx context.Context, role id.Role, most int) ([]*access.Effective, error) {
	catalogue, err := tx.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	var found []*access.Effective
	var except []id.User
	for len(found) < most {
		e, err := tx.holder(ctx, catalogue, role, tx.now, except)
		if err != nil || e == nil {
			return found, err
		}
		found, except = append(found, e), append(except, e.User.ID)
	}
	return found, nil
}

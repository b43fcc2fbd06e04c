package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// NewUser is a user that comes by another way than a directory.
type NewUser struct {
	UserName      string // the address where it is empty
	Email         string
	EmailVerified bool
	DisplayName   string
	GivenName     string
	FamilyName    string
	Source        directory.LocalSource
}

// CreateJustInTime makes a user at the first sign-in. It is refused while a live user of the organization holds that
// address or userName, since the person at the door may be somebody else, and while no seat is free.
func (tx *Tx) CreateJustInTime(ctx context.Context, n NewUser, actor audit.Actor) (*directory.User, error) {
	n.Source = directory.JustInTime
	return tx.createLocal(ctx, n, actor)
}

func (tx *Tx) createLocal(ctx context.Context, n NewUser, actor audit.Actor) (*directory.User, error) {
	if n.UserName == "" {
		n.UserName = n.Email
	}
	if n.UserName == "" {
		return nil, fault.New(fault.Invalid, "A user needs an address or a userName.")
	}
	var holder directory.User
	holder, err := tx.scanUser(tx.queryRow(ctx, liveUsers(userColumns, "u.user_name_key = $2", "u.email_key = $3")+`
		order by id
		limit 1`, tx.Organization, scim.UserNameKey(n.UserName), orNull(scim.Fold(n.Email))))
	switch {
	case err == nil:
		return nil, fault.New(fault.Conflict, "%s holds this address or userName already.", holder.Name()).WithCode("address-taken")
	case !errors.Is(err, errNoRows):
		return nil, fmt.Errorf("look for a holder of the address: %w", err)
	}
	free, err := tx.seatFree(ctx)
	if err != nil {
		return nil, err
	}
	if !free {
		return nil, fault.New(fault.Conflict, "All seats of this organization are taken.").WithCode("no-seat")
	}
	u := directory.User{
		Organization: tx.Organization, ID: id.New[id.User](), Status: directory.Active, Seated: true,
		UserName: n.UserName, Email: n.Email, EmailVerified: n.EmailVerified, DisplayName: n.DisplayName,
		GivenName: n.GivenName, FamilyName: n.FamilyName, Local: n.Source, Created: tx.now.UTC(), Updated: tx.now.UTC(),
	}
	if u.DisplayName == "" {
		u.DisplayName = u.Name()
	}
	tx.insertUser(&u)
	tx.recordUser(ctx, actor, "user.created", &u, nil, map[string]any{
		"user_name": u.UserName, "email": u.Email, "status": u.Status, "source": u.Local,
	}, "")
	return &u, nil
}

func (tx *Tx) insertUser(u *directory.User) {
	tx.queue(`
		insert into users (organization, id, status, seated, user_name, user_name_key, email, email_key, email_verified,
			display_name, given_name, family_name, local_source, kept_without_directory, custom_access, created, updated, logins)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, false, false, $14, $14, 0)`,
		tx.Organization, u.ID, u.Status, u.Seated, u.UserName, scim.UserNameKey(u.UserName), orNull(u.Email), orNull(scim.Fold(u.Email)), u.EmailVerified,
		u.DisplayName, orNull(u.GivenName), orNull(u.FamilyName), orNull(u.Local), micros(tx.now))
	tx.noteName(people, u.ID)
}

// UserNamed finds the live user who holds a userName, or nil.
func (tx *Tx) UserNamed(ctx context.Context, userName string) (*directory.User, error) {
	u, err := tx.scanUser(tx.queryRow(ctx, `
		select `+userColumns+`
		from users u
		where u.organization = $1
			and u.user_name_key = $2
			and u.status <> 'deleted'`, tx.Organization, scim.UserNameKey(userName)))
	if errors.Is(err, errNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the userName %s: %w", userName, err)
	}
	return &u, nil
}

package store

import (
	"context"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// DeclaredException is an exception from single sign-on that a file names.
type DeclaredException struct {
	Organization id.Organization
	SSOException
}

func (tx *SystemTx) declaredExceptions(ctx context.Context, d *Declared) (err error) {
	d.Exceptions, err = collect[DeclaredException](tx.query(ctx, `
		select organization, address, kind, reason, source, expires
		from sso_exceptions
		where source = $1
		order by organization, address_key`, fromFile))(func(s scanner) (e DeclaredException, err error) {
		err = s.Scan(&e.Organization, &e.Address, &e.Kind, &e.Reason, &e.Source, at(&e.Expires))
		return e, err
	})
	return err
}

// PutDeclaredException names an exception, or takes one that was made by hand over.
func (tx *SystemTx) PutDeclaredException(ctx context.Context, e DeclaredException, actor audit.Actor) error {
	e.Source = fromFile
	_, _, err := tx.In(e.Organization).keepException(ctx, e.SSOException, actor)
	return err
}

// DropDeclaredException ends an exception that the file no longer names.
func (tx *SystemTx) DropDeclaredException(ctx context.Context, e DeclaredException) error {
	in := tx.In(e.Organization)
	list, err := in.ssoExceptions(ctx, ` and address_key = $2`, scim.Fold(e.Address))
	if err != nil || len(list) == 0 {
		return err
	}
	return in.dropException(ctx, list[0])
}

// ConnectionWorks says whether somebody has come in through a connection, or a test sign-in through it has passed.
func (tx *SystemTx) ConnectionWorks(ctx context.Context, org id.Organization, c id.Connection) (works bool, err error) {
	err = tx.queryRow(ctx, `
		select `+connectionWorks+`
		from (select cast($1 as text) as organization, cast($2 as text) as connection) d`, org, c).Scan(&works)
	return works, err
}

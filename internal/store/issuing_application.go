package store

import (
	"context"
	"errors"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

const applicationColumns = `id, name, protocol, secret_hash, version, document`

func scanApplication(s scanner) (application.Application, error) {
	var a application.Application
	err := s.Scan(&a.ID, &a.Name, &a.Protocol, orEmpty(&a.SecretHash), &a.Version, decode(&a))
	return a, err
}

// Applications lists all applications by id.
func (tx *SystemTx) Applications(ctx context.Context) ([]application.Application, error) {
	return collect[application.Application](tx.query(ctx, `
		select `+applicationColumns+`
		from applications
		order by id`))(scanApplication)
}

// Application gives one application.
func (tx *SystemTx) Application(ctx context.Context, app id.Application) (application.Application, error) {
	a, err := scanApplication(tx.queryRow(ctx, `
		select `+applicationColumns+`
		from applications
		where id = $1`, app))
	if errors.Is(err, errNoRows) {
		return a, fault.New(fault.NotFound, "There is no application %s.", app)
	}
	return a, err
}

// SaveApplication makes an application or replaces what it was. The caller has checked it, and records the event.
func (tx *SystemTx) SaveApplication(ctx context.Context, a application.Application) {
	tx.queue(`
		insert into applications (id, name, protocol, secret_hash, document, version, created)
		values ($1, $2, $3, $4, $5, 1, $6)
		on conflict (id) do update set
			name = excluded.name,
			protocol = excluded.protocol,
			secret_hash = excluded.secret_hash,
			document = excluded.document,
			version = applications.version + 1`,
		a.ID, a.Name, a.Protocol, orNull(a.SecretHash), encode(a), micros(tx.Now()))
	tx.Bump(ctx, "configuration")
}

// RemoveApplication takes an application away; its tokens die with it, since a token without its client is not in force.
func (tx *SystemTx) RemoveApplication(ctx context.Context, app id.Application) {
	tx.queue(`
		delete from applications
		where id = $1`, app)
	tx.Bump(ctx, "configuration")
}

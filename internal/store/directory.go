package store

import (
	"context"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

const directoryColumns = `d.id, d.name, d.dialect, d.match_key, d.document, d.version, d.created, d.last_request`

func scanDirectory(s scanner) (directory.Directory, error) {
	var d directory.Directory
	err := s.Scan(&d.ID, &d.Name, &d.Dialect, &d.Key, decode(&d.Settings), &d.Version, at(&d.Created), at(&d.LastRequest))
	return d, err
}

// Directories gives the organization's directories without their tokens, by id.
func (tx *Tx) Directories(ctx context.Context) ([]directory.Directory, error) {
	all, err := collect[directory.Directory](tx.query(ctx, `
		select `+directoryColumns+`
		from directories d
		where d.organization = $1
		order by d.id`, tx.Organization))(scanDirectory)
	if err != nil {
		return nil, fmt.Errorf("list directories: %w", err)
	}
	return all, nil
}

// Directory gives one directory with its tokens and its clients, in one statement: who asks with a wrong token must not learn
// from the time it takes whether the directory exists. A fault of kind NotFound where there is none.
func (tx *Tx) Directory(ctx context.Context, dir id.Directory) (*directory.Directory, error) {
	var found *directory.Directory
	_, err := collect[struct{}](tx.lastQuery(ctx, `
		select `+directoryColumns+`, c.kind, c.id, c.hash, c.prefix, c.source, c.made_by, c.created, c.expires, c.first_used,
			c.last_used, c.jwks, c.jwks_uri
		from directories d
		left join (
			select 'token' as kind, id, hash, prefix, source, made_by, created, expires, first_used, last_used, '' as jwks,
				'' as jwks_uri
			from directory_tokens
			where organization = $1
				and directory = $2
			union all
			select 'client', id, secret_hash, '', '', '', created, null, null, last_used, cast(jwks as text), jwks_uri
			from directory_clients
			where organization = $1
				and directory = $2) c on 1 = 1
		where d.organization = $1
			and d.id = $2
		order by c.created, c.id`, tx.Organization, dir))(func(s scanner) (none struct{}, err error) {
		var d directory.Directory
		var t directory.Token
		var c directory.Client
		var kind string
		err = s.Scan(&d.ID, &d.Name, &d.Dialect, &d.Key, decode(&d.Settings), &d.Version, at(&d.Created), at(&d.LastRequest),
			orEmpty(&kind), orEmpty(&t.ID), orEmpty(&t.Hash), orEmpty(&t.Prefix), orEmpty(&t.Source), orEmpty(&t.MadeBy), at(&t.Created),
			at(&t.Expires), at(&t.FirstUsed), at(&t.LastUsed), orEmpty(&c.Keys), orEmpty(&c.KeysURL))
		if found == nil {
			found = &d
		}
		switch kind {
		case "token":
			found.Tokens = append(found.Tokens, t)
		case "client":
			c.ID, c.SecretHash, c.Created, c.LastUsed = t.ID, t.Hash, t.Created, t.LastUsed
			found.Clients = append(found.Clients, c)
		}
		return none, err
	})
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", dir, err)
	}
	if found == nil {
		return nil, fault.New(fault.NotFound, "There is no directory %q in this organization.", dir)
	}
	return found, nil
}

// SaveDirectoryToken adds a token, or gives the one with this id another secret or expiry.
func (tx *Tx) SaveDirectoryToken(ctx context.Context, dir id.Directory, t directory.Token) {
	tx.queue(`
		insert into directory_tokens (organization, directory, id, hash, prefix, source, made_by, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		on conflict (organization, directory, id) do update
		set hash = excluded.hash, prefix = excluded.prefix, source = excluded.source, made_by = excluded.made_by,
			expires = excluded.expires`,
		tx.Organization, dir, t.ID, t.Hash, t.Prefix, t.Source, t.MadeBy, micros(tx.now), microsOrNull(t.Expires))
	tx.BumpOrganization(ctx)
}

// TouchDirectoryToken notes that a token was used. The caller asks at most once a minute: a write for each request would
// cost more than the request.
func (tx *Tx) TouchDirectoryToken(_ context.Context, dir id.Directory, token string) {
	tx.queue(`
		update directory_tokens
		set first_used = case when last_used is null then $4 else first_used end, last_used = $4
		where organization = $1
			and directory = $2
			and id = $3`, tx.Organization, dir, token, micros(tx.now))
	tx.touchClient(dir, token)
	tx.queue(`
		update directories
		set last_request = $3
		where organization = $1
			and id = $2`, tx.Organization, dir, micros(tx.now))
}

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

// Directory gives one directory with its tokens, in one statement: who asks with a wrong token must not learn from the time
// it takes whether the directory exists. A fault of kind NotFound where there is none.
func (tx *Tx) Directory(ctx context.Context, dir id.Directory) (*directory.Directory, error) {
	var found *directory.Directory
	_, err := collect[struct{}](tx.lastQuery(ctx, `
		select `+directoryColumns+`, t.id, t.hash, t.prefix, t.source, t.created, t.expires, t.last_used
		from directories d
		left join directory_tokens t on t.organization = d.organization
			and t.directory = d.id
		where d.organization = $1
			and d.id = $2
		order by t.created, t.id`, tx.Organization, dir))(func(s scanner) (none struct{}, err error) {
		var d directory.Directory
		var t directory.Token
		err = s.Scan(&d.ID, &d.Name, &d.Dialect, &d.Key, decode(&d.Settings), &d.Version, at(&d.Created), at(&d.LastRequest),
			orEmpty(&t.ID), orEmpty(&t.Hash), orEmpty(&t.Prefix), orEmpty(&t.Source), at(&t.Created), at(&t.Expires), at(&t.LastUsed))
		if found == nil {
			found = &d
		}
		if t.ID != "" {
			found.Tokens = append(found.Tokens, t)
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
		insert into directory_tokens (organization, directory, id, hash, prefix, source, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (organization, directory, id) do update
		set hash = excluded.hash, prefix = excluded.prefix, source = excluded.source, expires = excluded.expires`,
		tx.Organization, dir, t.ID, t.Hash, t.Prefix, t.Source, micros(tx.now), microsOrNull(t.Expires))
	tx.BumpOrganization(ctx)
}

// TouchDirectoryToken notes that a token was used. The caller asks at most once a minute: a write for each request would
// cost more than the request.
func (tx *Tx) TouchDirectoryToken(_ context.Context, dir id.Directory, token string) {
	tx.queue(`
		update directory_tokens
		set last_used = $4
		where organization = $1
			and directory = $2
			and id = $3`, tx.Organization, dir, token, micros(tx.now))
	tx.queue(`
		update directories
		set last_request = $3
		where organization = $1
			and id = $2`, tx.Organization, dir, micros(tx.now))
}

package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// DeclaredClient is an OAuth client of a directory.
type DeclaredClient struct {
	Organization id.Organization
	Directory    id.Directory
	ID           string
	SecretHash   string // one of these three
	Keys         string // a JWK Set
	KeysURL      string
}

func (tx *SystemTx) declaredClients(ctx context.Context, d *Declared) (err error) {
	d.Clients, err = collect[DeclaredClient](tx.query(ctx, `
		select organization, directory, id, secret_hash, cast(jwks as text), jwks_uri
		from directory_clients
		order by organization, directory, id`))(func(s scanner) (c DeclaredClient, err error) {
		err = s.Scan(&c.Organization, &c.Directory, &c.ID, orEmpty(&c.SecretHash), orEmpty(&c.Keys), orEmpty(&c.KeysURL))
		return c, err
	})
	if err != nil {
		return fmt.Errorf("read the clients of directories: %w", err)
	}
	return nil
}

// PutDeclaredClient makes a directory's client or replaces it. A client with another secret or other keys is refused with
// what it got before.
func (tx *SystemTx) PutDeclaredClient(c DeclaredClient) {
	tx.queue(`
		insert into directory_clients (organization, directory, id, secret_hash, jwks, jwks_uri, created)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (organization, directory, id) do update set secret_hash = excluded.secret_hash, jwks = excluded.jwks,
			jwks_uri = excluded.jwks_uri`,
		c.Organization, c.Directory, c.ID, orNull(c.SecretHash), orNull(c.Keys), orNull(c.KeysURL), micros(tx.Now()))
}

// DropDeclaredClient takes a directory's client away.
func (tx *SystemTx) DropDeclaredClient(c DeclaredClient) {
	tx.queue(`delete from directory_clients where organization = $1 and directory = $2 and id = $3`, c.Organization, c.Directory, c.ID)
}

// ClientMark starts the id under which a client's use is noted: no token has a blank in its id.
const ClientMark = "client "

// touchClient notes that a directory's client was used.
func (tx *Tx) touchClient(dir id.Directory, of string) {
	if client, is := strings.CutPrefix(of, ClientMark); is {
		tx.queue(`
			update directory_clients
			set last_used = $4
			where organization = $1
				and directory = $2
				and id = $3`, tx.Organization, dir, client, micros(tx.now))
	}
}

// Once reports whether a name is met for the first time, on all nodes together, and remembers it until a time: what makes a
// thing single use.
func (db *DB) Once(ctx context.Context, name string, until time.Time) (bool, error) {
	var hits int64
	err := db.System().Write(ctx, func(tx *SystemTx) error {
		return tx.queryRow(ctx, `
			insert into counters (name, started, expires, hits)
			values ($1, 0, $2, 1)
			on conflict (name, started) do update set hits = counters.hits + 1
			returning hits`, name, micros(until)).Scan(&hits)
	})
	return hits == 1, err
}

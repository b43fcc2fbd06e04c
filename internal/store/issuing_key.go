package store

import (
	"context"
	"time"
)

// SigningKey is a key of the OpenID Provider as kept. Private is sealed for the place "signing-key/ID".
type SigningKey struct {
	ID        string
	Algorithm string
	State     string // next, active, retiring; gone once its private half was dropped
	Private   string
	Public    string // the public half as a JWK
	Created   time.Time
	Activates time.Time
	Retires   time.Time // of a retiring key: when it may go
}

// SigningKeys lists the keys that are not gone, oldest first.
func (tx *SystemTx) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	return collect[SigningKey](tx.query(ctx, `
		select id, algorithm, state, private_key, public_key, created, activates, retires
		from signing_keys
		where gone is null
		order by created, id`))(func(s scanner) (SigningKey, error) {
		var k SigningKey
		err := s.Scan(&k.ID, &k.Algorithm, &k.State, &k.Private, &k.Public, at(&k.Created), at(&k.Activates), at(&k.Retires))
		return k, err
	})
}

// LockSigningKeys makes two nodes that rotate at once do it one after the other.
func (tx *SystemTx) LockSigningKeys(ctx context.Context) { tx.In("").Lock(ctx, "signing-keys") }

// AddSigningKey keeps a new key.
func (tx *SystemTx) AddSigningKey(ctx context.Context, k SigningKey) {
	tx.queue(`
		insert into signing_keys (id, algorithm, state, private_key, public_key, created, activates)
		values ($1, $2, $3, $4, $5, $6, $7)`,
		k.ID, k.Algorithm, k.State, k.Private, k.Public, micros(tx.now), micros(k.Activates))
	tx.Bump(ctx, "keys")
}

// KeyTable is where the keys of one protocol stand. Their rows live the same life.
type KeyTable string

// The tables of keys: those of the OpenID Provider, every row of which is published as one, and those of the SAML identity provider.
const (
	SigningKeys   KeyTable = "signing_keys"
	AssertionKeys KeyTable = "assertion_keys"
)

// MoveKey takes a key to its next state; retires says until when a retiring one stays published.
func (tx *SystemTx) MoveKey(ctx context.Context, in KeyTable, key, state string, retires time.Time) {
	tx.queue(`
		update `+string(in)+`
		set state = $1,
			retires = $2
		where id = $3`,
		state, microsOrNull(retires), key)
	tx.Bump(ctx, "keys")
}

// ScheduleKey says anew when a next key is to sign.
func (tx *SystemTx) ScheduleKey(ctx context.Context, in KeyTable, key string, activates time.Time) {
	tx.queue(`
		update `+string(in)+`
		set activates = $1
		where id = $2`, micros(activates), key)
	tx.Bump(ctx, "keys")
}

// DropKey takes a key out of use for good; the row stays as a record, without the private half.
func (tx *SystemTx) DropKey(ctx context.Context, in KeyTable, key string) {
	tx.queue(`
		update `+string(in)+`
		set state = 'gone',
			private_key = '',
			gone = $1
		where id = $2`,
		micros(tx.now), key)
	tx.Bump(ctx, "keys")
}

// ResealKey keeps a key sealed anew, after the node's own key was rotated.
func (tx *SystemTx) ResealKey(_ context.Context, in KeyTable, key, private string) {
	tx.queue(`
		update `+string(in)+`
		set private_key = $1
		where id = $2`,
		private, key)
}

// Version gives the counter that says whether something cached has changed, at most a second old: "configuration" or "keys".
func (db *DB) Version(ctx context.Context, name string) (int64, error) {
	return db.versions.current(ctx, name)
}

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// APIToken opens the admin API with operator rights.
type APIToken struct {
	ID       id.APIToken
	Name     string
	Prefix   string // the first characters, for people to tell tokens apart
	Created  time.Time
	Expires  time.Time // zero: never
	LastUsed time.Time
	Revoked  time.Time
}

// apiTokenMark starts every API token, so that a scanner for leaked secrets knows one when it sees it.
const apiTokenMark = "vop_"

// touchEvery bounds how often the use of a token is written down.
const touchEvery = time.Minute

// CreateAPIToken makes an API token with operator rights and gives it: it is shown once, and only its hash is kept. A zero
// expiry is never.
func (tx *SystemTx) CreateAPIToken(ctx context.Context, actor audit.Actor, name string, expires time.Time) (string, APIToken, error) {
	if !expires.IsZero() && !expires.After(tx.now) {
		return "", APIToken{}, fault.New(fault.Invalid, "The token would be over before it began.").WithField("expires", "It lies in the past.")
	}
	secret := apiTokenMark + seal.Handle()
	t := APIToken{ID: id.New[id.APIToken](), Name: name, Prefix: secret[:len(apiTokenMark)+6], Created: tx.now, Expires: expires}
	if _, err := tx.exec(ctx, `
		insert into api_tokens (id, hash, prefix, name, created, expires)
		values ($1, $2, $3, $4, $5, $6)`,
		t.ID, tx.db.Keys.Hash(secret), t.Prefix, t.Name, micros(t.Created), microsOrNull(t.Expires)); err != nil {
		return "", APIToken{}, fmt.Errorf("write an API token: %w", err)
	}
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "api-token.created", TargetKind: "api-token", TargetID: string(t.ID), TargetName: t.Name,
		After: auditJSON(map[string]any{"prefix": t.Prefix, "expires": optional(t.Expires)}),
	})
	return secret, t, nil
}

// APIToken gives the token that a secret is, and whether its last use is long enough ago to be written down (TouchAPIToken).
// Unknown, expired and revoked tokens get the same fault of kind Unauthenticated.
func (tx *SystemTx) APIToken(ctx context.Context, secret string) (t APIToken, stale bool, err error) {
	args := arguments{micros(tx.now)}
	err = tx.lastRow(ctx, `
		select id, name, prefix, created, expires, last_used
		from api_tokens
		where revoked is null
			and (expires is null or expires > $1)
			and `+in("hash", tx.db.Keys.Hashes(secret), args.add), args...).
		Scan(&t.ID, &t.Name, &t.Prefix, at(&t.Created), at(&t.Expires), at(&t.LastUsed))
	if errors.Is(err, errNoRows) {
		return APIToken{}, false, fault.New(fault.Unauthenticated, "This token is not valid, or no longer.")
	}
	return t, tx.now.Sub(t.LastUsed) > touchEvery, err
}

// TouchAPIToken writes down that a token is in use.
func (tx *SystemTx) TouchAPIToken(ctx context.Context, token id.APIToken) error {
	_, err := tx.exec(ctx, `
		update api_tokens
		set last_used = $1
		where id = $2`, micros(tx.now), token)
	return err
}

// RevokeAPIToken ends a token; ending one that is over already is no error.
func (tx *SystemTx) RevokeAPIToken(ctx context.Context, actor audit.Actor, token id.APIToken) error {
	var name string
	err := tx.queryRow(ctx, `
		update api_tokens
		set revoked = $1
		where id = $2
			and revoked is null
		returning name`, micros(tx.now), token).Scan(&name)
	if errors.Is(err, errNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("revoke API token %s: %w", token, err)
	}
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "api-token.revoked", TargetKind: "api-token", TargetID: string(token), TargetName: name,
	})
	return nil
}

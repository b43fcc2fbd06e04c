package store

import (
	"context"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// CreateDirectoryToken makes a bearer token for a directory. The secret is given to the caller alone; what is kept is its
// hash and how it begins.
func (tx *Tx) CreateDirectoryToken(
	ctx context.Context, actor audit.Actor, dir id.Directory, t directory.Token,
) (secret string, made directory.Token, err error) {
	d, err := tx.Directory(ctx, dir)
	if err != nil {
		return "", t, err
	}
	if !t.Live(tx.now) {
		return "", t, fault.New(fault.Invalid, "This token would be over before it began.").WithField("expires", "Choose a day to come.")
	}
	secret = directory.TokenMark + seal.Handle()
	t.ID, t.Hash, t.Prefix = string(id.New[id.Event]()), tx.db.Keys.Hash(secret), secret[:len(directory.TokenMark)+6]
	t.MadeBy, t.Created = actor.Name, tx.now
	tx.SaveDirectoryToken(ctx, dir, t)
	tx.recordToken(ctx, actor, "directory-token.created", d, t, nil, tokenRecord(t), "")
	return secret, t, nil
}

// RevokeDirectoryToken takes a token away, from the next request on. One that a file declares is taken away there, or the next
// apply would bring it back.
func (tx *Tx) RevokeDirectoryToken(ctx context.Context, actor audit.Actor, dir id.Directory, token, reason string) error {
	d, err := tx.Directory(ctx, dir)
	if err != nil {
		return err
	}
	for _, t := range d.Tokens {
		switch {
		case t.ID != token:
			continue
		case t.Source == directory.TokenFromFile:
			return fault.New(fault.Conflict, "The token %s of %s is declared in the operator's file and is taken away there.", t.ID, d.Name)
		}
		tx.queue(`
			delete from directory_tokens
			where organization = $1
				and directory = $2
				and id = $3`, tx.Organization, dir, token)
		tx.BumpOrganization(ctx)
		tx.recordToken(ctx, actor, "directory-token.revoked", d, t, tokenRecord(t), nil, reason)
		return nil
	}
	return fault.New(fault.NotFound, "%s has no such token.", d.Name)
}

// tokenRecord is a token as the audit log keeps it: without anything it could be recognized by.
func tokenRecord(t directory.Token) map[string]any {
	m := map[string]any{"prefix": t.Prefix, "source": t.Source}
	if !t.Expires.IsZero() {
		m["expires"] = t.Expires.UTC()
	}
	return m
}

func (tx *Tx) recordToken(
	ctx context.Context, actor audit.Actor, action string, d *directory.Directory, t directory.Token, before, after map[string]any,
	reason string,
) {
	e := audit.Event{
		Actor: actor, Action: action, TargetKind: "directory-token", TargetID: string(d.ID) + "/" + t.ID, TargetName: d.Name,
		Reason: reason,
	}
	if before != nil {
		e.Before = object(before)
	}
	if after != nil {
		e.After = object(after)
	}
	tx.Record(ctx, e)
}

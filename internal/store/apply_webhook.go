package store

import (
	"context"
	"fmt"

	"github.com/vestibule-id/vestibule/internal/id"
)

// DeclaredWebhook is a webhook that a file names. Its secret is sealed for WebhookPlace.
type DeclaredWebhook struct {
	Organization id.Organization
	Webhook
}

func (tx *SystemTx) declaredWebhooks(ctx context.Context, d *Declared) (err error) {
	d.Webhooks, err = collect[DeclaredWebhook](tx.query(ctx, `
		select organization, id, url, secret, kinds, source, made_by
		from webhooks
		where source = $1
		order by organization, id`, fromFile))(func(s scanner) (w DeclaredWebhook, err error) {
		err = s.Scan(&w.Organization, &w.ID, &w.URL, &w.Secret, decode(&w.Kinds), &w.Source, &w.MadeBy)
		return w, err
	})
	if err != nil {
		return fmt.Errorf("read webhooks: %w", err)
	}
	return nil
}

// PutDeclaredWebhook makes a webhook or changes it.
func (tx *SystemTx) PutDeclaredWebhook(w DeclaredWebhook) {
	tx.queue(`
		insert into webhooks (organization, id, url, secret, kinds, source, made_by, created)
		values ($1, $2, $3, $4, $5, $6, '', $7)
		on conflict (organization, id) do update
		set url = excluded.url, secret = excluded.secret, kinds = excluded.kinds, source = excluded.source`,
		w.Organization, w.ID, w.URL, w.Secret, encode(w.Kinds), fromFile, micros(tx.now))
}

// DropDeclaredWebhook takes a webhook away that the file no longer names.
func (tx *SystemTx) DropDeclaredWebhook(w DeclaredWebhook) {
	tx.queue(`
		delete from webhooks
		where organization = $1
			and id = $2
			and source = $3`, w.Organization, w.ID, fromFile)
}

// People says how many people a removal would touch: those a directory speaks for, those who come in through a connection, or all of
// an organization.
func (tx *SystemTx) People(ctx context.Context, org id.Organization, of string, name string) (n int64, err error) {
	sql := map[string]string{
		"directory":    `select count(*) from directory_records where organization = $1 and directory = $2`,
		"connection":   `select count(distinct user_id) from identities where organization = $1 and connection = $2 and closed is null`,
		"organization": `select count(*) from users where organization = $1 and organization = $2 and status <> 'deleted'`,
	}[of]
	err = tx.queryRow(ctx, sql, org, name).Scan(&n)
	return n, err
}

package store

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// What issuing asks of the store for SAML applications.

// AssertionKey is a key of the SAML identity provider as kept. Private is sealed for the place "assertion-key/ID".
type AssertionKey struct {
	ID          string
	State       string // next, active, retiring; gone once its private half was dropped
	Private     string // PKCS #8
	Certificate *x509.Certificate
	Created     time.Time
	Activates   time.Time
	Retires     time.Time // of a retiring key: when it may go
}

// AssertionKeys lists the keys that are not gone, the active one first and then the next.
func (tx *SystemTx) AssertionKeys(ctx context.Context) ([]AssertionKey, error) {
	all, err := collect[AssertionKey](tx.query(ctx, `
		select id, state, private_key, certificate, created, activates, retires
		from assertion_keys
		where gone is null
		order by state, created, id`))(func(s scanner) (AssertionKey, error) {
		var k AssertionKey
		var certificate string
		if err := s.Scan(&k.ID, &k.State, &k.Private, &certificate, at(&k.Created), at(&k.Activates), at(&k.Retires)); err != nil {
			return k, err
		}
		der, err := base64.StdEncoding.DecodeString(certificate)
		if err != nil {
			return k, err
		}
		k.Certificate, err = x509.ParseCertificate(der)
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the keys of the SAML identity provider: %w", err)
	}
	return all, nil
}

// AssertionCertificates gives the certificates that the SAML identity provider publishes, as base64, the one in use first. They belong
// to the installation; what is read here is what everybody may know.
func (tx *Tx) AssertionCertificates(ctx context.Context) ([]string, error) {
	return collect[string](tx.query(ctx, `
		select certificate
		from assertion_keys
		where state in ('active', 'next')
		order by state, created, id`))(func(s scanner) (c string, err error) {
		err = s.Scan(&c)
		return c, err
	})
}

// LockAssertionKeys makes two nodes that rotate at once do it one after the other.
func (tx *SystemTx) LockAssertionKeys(ctx context.Context) { tx.In("").Lock(ctx, "assertion-keys") }

// AddAssertionKey keeps a new key.
func (tx *SystemTx) AddAssertionKey(ctx context.Context, k AssertionKey) {
	tx.queue(`
		insert into assertion_keys (id, state, private_key, certificate, created, activates)
		values ($1, $2, $3, $4, $5, $6)`,
		k.ID, k.State, k.Private, base64.StdEncoding.EncodeToString(k.Certificate.Raw), micros(tx.now), micros(k.Activates))
	tx.Bump(ctx, "keys")
}

// NameID gives what a SAML application knows a person by, and makes it at first use. Of two transactions that make it at once one
// does.
func (tx *Tx) NameID(ctx context.Context, app id.Application, user id.User) (string, error) {
	var value string
	err := tx.queryRow(ctx, `
		insert into application_subjects (organization, application, user_id, value, created)
		values ($1, $2, $3, $4, $5)
		on conflict (organization, application, user_id) do update set
			value = application_subjects.value
		returning value`,
		tx.Organization, app, user, seal.Handle(), micros(tx.now)).Scan(&value)
	if err != nil {
		return "", fmt.Errorf("name user %s for application %s: %w", user, app, err)
	}
	return value, nil
}

// ExternalID gives the externalId that a person's live directory records agree on, or "".
func (tx *Tx) ExternalID(ctx context.Context, user id.User) (string, error) {
	var value string
	var several bool
	err := tx.queryRow(ctx, `
		select coalesce(min(external_id), ''), count(distinct external_id) > 1
		from directory_records
		where organization = $1
			and user_id = $2
			and active = true`, tx.Organization, user).Scan(&value, &several)
	if errors.Is(err, errNoRows) || several {
		return "", nil
	}
	return value, err
}

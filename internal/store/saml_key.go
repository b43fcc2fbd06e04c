package store

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// KeyPurpose says what one of our keys towards a SAML provider is for.
type KeyPurpose string

// The purposes. Two keys, since a decryption key that also signs would sign for whoever can ask it to decrypt.
const (
	KeySigns    KeyPurpose = "signing"
	KeyDecrypts KeyPurpose = "encryption"
)

// KeyState is where a key is in its life.
//
//	next      published beside the current one, so that the provider knows it before it is used; decrypts already
//	current   in use
//	former    signs nothing, is published no more, still decrypts what the provider has not stopped sending
type KeyState string

// The states. There is one next and one current key of each purpose at most.
const (
	KeyNext    KeyState = "next"
	KeyCurrent KeyState = "current"
	KeyFormer  KeyState = "former"
)

// SAMLKey is one of our keys towards one connection's provider.
type SAMLKey struct {
	ID          string
	Purpose     KeyPurpose
	State       KeyState
	Private     string // PKCS #8, sealed for connection.KeyPlace
	Certificate *x509.Certificate
	Created     time.Time
	Changed     time.Time // when it came to its state
}

// SAMLKeys lists a connection's keys in the order in which they are published: the current one first.
func (tx *Tx) SAMLKeys(ctx context.Context, c id.Connection) ([]SAMLKey, error) {
	all, err := collect[SAMLKey](tx.query(ctx, `
		select id, purpose, state, private_key, certificate, created, changed
		from saml_keys
		where organization = $1 and connection = $2
		order by purpose desc, case state when 'current' then 0 when 'next' then 1 else 2 end, created desc, id`,
		tx.Organization, c))(func(s scanner) (k SAMLKey, err error) {
		var certificate string
		if err := s.Scan(&k.ID, &k.Purpose, &k.State, &k.Private, &certificate, at(&k.Created), at(&k.Changed)); err != nil {
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
		return nil, fmt.Errorf("read the keys of connection %s: %w", c, err)
	}
	return all, nil
}

// MakeSAMLKey makes a key before the transaction that keeps it (AddSAMLKey), since it takes a moment.
func (db *DB) MakeSAMLKey(org id.Organization, c id.Connection, purpose KeyPurpose) (SAMLKey, error) {
	private, certificate, err := saml.MakeKey(db.Now())
	if err != nil {
		return SAMLKey{}, fmt.Errorf("make a key for connection %s: %w", c, err)
	}
	k := SAMLKey{ID: seal.Handle()[:16], Purpose: purpose, Certificate: certificate}
	k.Private = db.Keys.Seal(connection.KeyPlace(org, c, k.ID), private)
	return k, nil
}

// EnsureSAMLKeys gives a connection the keys of its first day; of two nodes that do so at once, one does.
func (db *DB) EnsureSAMLKeys(ctx context.Context, org id.Organization, c id.Connection) (keys []SAMLKey, err error) {
	read := func(tx *Tx) (err error) {
		keys, err = tx.SAMLKeys(ctx, c)
		return err
	}
	if err := db.Read(ctx, org, read); err != nil || len(keys) > 0 {
		return keys, err
	}
	var made []SAMLKey
	for _, purpose := range []KeyPurpose{KeySigns, KeyDecrypts} {
		k, err := db.MakeSAMLKey(org, c, purpose)
		if err != nil {
			return nil, err
		}
		made = append(made, k)
	}
	err = db.Write(ctx, org, func(tx *Tx) error {
		tx.Lock(ctx, "saml-keys/"+string(c))
		if err := read(tx); err != nil || len(keys) > 0 {
			return err
		}
		for _, k := range made {
			tx.addSAMLKey(ctx, audit.Actor{Kind: audit.ActorSystem, Door: audit.SignIn}, c, k, KeyCurrent)
		}
		return nil
	})
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	return keys, db.Read(ctx, org, read)
}

// SAMLConnection gives a connection that signs people in by SAML; a fault of kind NotFound for any other.
func (tx *Tx) SAMLConnection(ctx context.Context, c id.Connection) (connection.Connection, error) {
	found, err := tx.SignInConnection(ctx, c)
	if err == nil && found.Protocol != connection.SAML {
		err = fault.New(fault.NotFound, "%s does not sign people in by SAML.", found.Name)
	}
	return found.Connection, err
}

// KeyedConnection gives a connection whose provider knows us by keys of our own, and by keys of these purposes; a fault of kind
// NotFound for any other connection, of kind Invalid for another purpose.
func (tx *Tx) KeyedConnection(ctx context.Context, c id.Connection, purposes ...KeyPurpose) (connection.Connection, error) {
	found, err := tx.SignInConnection(ctx, c)
	if err == nil && !found.OwnsKeys() {
		err = fault.New(fault.NotFound, "%s does not know us by keys of our own.", found.Name)
	}
	for _, p := range purposes {
		switch {
		case err != nil:
		case p != KeySigns && p != KeyDecrypts:
			err = fault.New(fault.Invalid, "It was not said what the key is for.").WithField("purpose", "It is %s or %s.", KeySigns, KeyDecrypts)
		case p != KeySigns && found.Protocol != connection.SAML:
			err = fault.New(fault.Invalid, "Towards an OpenID Provider there are keys that sign only.").WithField("purpose", "It is %s.", KeySigns)
		}
	}
	return found.Connection, err
}

// AddSAMLKey keeps a made key as the next one of its purpose.
func (tx *Tx) AddSAMLKey(ctx context.Context, actor audit.Actor, c id.Connection, k SAMLKey) error {
	if _, err := tx.KeyedConnection(ctx, c, k.Purpose); err != nil {
		return err
	}
	keys, err := tx.lockedSAMLKeys(ctx, c)
	if err != nil {
		return err
	}
	for _, other := range keys {
		if other.Purpose == k.Purpose && other.State == KeyNext {
			return fault.New(fault.Conflict, "There is a next key already. Put it in use or take it away first.")
		}
	}
	tx.addSAMLKey(ctx, actor, c, k, KeyNext)
	return nil
}

func (tx *Tx) addSAMLKey(ctx context.Context, actor audit.Actor, c id.Connection, k SAMLKey, state KeyState) {
	tx.queue(`
		insert into saml_keys (organization, connection, id, purpose, state, private_key, certificate, created, changed)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $8)`,
		tx.Organization, c, k.ID, k.Purpose, state, k.Private, base64.StdEncoding.EncodeToString(k.Certificate.Raw), micros(tx.now))
	tx.recordSAMLKey(ctx, actor, "connection.key-made", c, k)
}

func (tx *Tx) recordSAMLKey(ctx context.Context, actor audit.Actor, action string, c id.Connection, k SAMLKey) {
	actor.Organization = tx.Organization
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: action, TargetKind: "connection", TargetID: string(c),
		After: auditJSON(map[string]any{"key": k.ID, "purpose": k.Purpose, "certificate": saml.Fingerprint(k.Certificate)}),
	})
}

// UseSAMLKey puts the next key in use; the current one becomes a former one.
func (tx *Tx) UseSAMLKey(ctx context.Context, actor audit.Actor, c id.Connection, key string) error {
	k, keys, err := tx.samlKey(ctx, c, key)
	if err != nil {
		return err
	}
	if k.State != KeyNext {
		return fault.New(fault.Conflict, "Only a next key is put in use; this one is %s.", k.State)
	}
	for _, other := range keys {
		if other.Purpose == k.Purpose && other.State == KeyCurrent {
			tx.setSAMLKey(c, other.ID, KeyFormer)
		}
	}
	tx.setSAMLKey(c, k.ID, KeyCurrent)
	tx.recordSAMLKey(ctx, actor, "connection.key-used", c, k)
	return nil
}

// RemoveSAMLKey takes a key away that is not in use.
func (tx *Tx) RemoveSAMLKey(ctx context.Context, actor audit.Actor, c id.Connection, key string) error {
	k, _, err := tx.samlKey(ctx, c, key)
	if err != nil {
		return err
	}
	if k.State == KeyCurrent {
		return fault.New(fault.Conflict, "This key is in use. Make a next one and put that in use first.")
	}
	tx.queue(`
		delete from saml_keys
		where organization = $1 and connection = $2 and id = $3`, tx.Organization, c, k.ID)
	tx.recordSAMLKey(ctx, actor, "connection.key-removed", c, k)
	return nil
}

// ResealSAMLKey keeps a key sealed anew, after the node's own key was rotated.
func (tx *Tx) ResealSAMLKey(_ context.Context, c id.Connection, key, private string) {
	tx.queue(`
		update saml_keys
		set private_key = $1
		where organization = $2 and connection = $3 and id = $4`, private, tx.Organization, c, key)
}

func (tx *Tx) setSAMLKey(c id.Connection, key string, state KeyState) {
	tx.queue(`
		update saml_keys
		set state = $1, changed = $2
		where organization = $3 and connection = $4 and id = $5`, state, micros(tx.now), tx.Organization, c, key)
}

func (tx *Tx) lockedSAMLKeys(ctx context.Context, c id.Connection) ([]SAMLKey, error) {
	if _, err := tx.SignInConnection(ctx, c); err != nil {
		return nil, err
	}
	tx.Lock(ctx, "saml-keys/"+string(c))
	return tx.SAMLKeys(ctx, c)
}

func (tx *Tx) samlKey(ctx context.Context, c id.Connection, key string) (SAMLKey, []SAMLKey, error) {
	keys, err := tx.lockedSAMLKeys(ctx, c)
	if err != nil {
		return SAMLKey{}, nil, err
	}
	for _, k := range keys {
		if k.ID == key {
			return k, keys, nil
		}
	}
	return SAMLKey{}, nil, fault.New(fault.NotFound, "This connection has no such key.")
}

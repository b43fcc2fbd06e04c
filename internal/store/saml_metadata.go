package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// SAMLMetadata is what a connection knows of its provider: the document that counts, and one that waits for an administrator,
// since it names other keys or addresses.
type SAMLMetadata struct {
	Approved, Pending ConnectionDocument // Body "": none
	Declined          string             // the fingerprint of the newest document that an administrator did not want
	Fetched           bool               // from an address; else the settings hold the document
	Renewed           bool               // not fetched, and renewed by hand since (setup_renewal.go): the settings' own counts no more
}

// The kinds of a connection's documents. Whatever decides which document is trusted is part of the kind, so that a connection
// that is led elsewhere never meets the old provider's keys.
func samlKind(kind string, c connection.Connection) string {
	s := c.Settings
	return kind + ":" + seal.Fingerprint(strings.Join([]string{s.Metadata, s.SAML.EntityID, s.SAML.MetadataSignedBy}, "\n"))[:16]
}

const (
	samlApproved = "saml-metadata"
	samlPending  = "saml-pending"
	samlDeclined = "saml-declined"
)

// declinedFor is how long a refused document is remembered; what is still published then is asked about again.
const declinedFor = 365 * 24 * time.Hour

// SAMLMetadata reads it.
func (tx *Tx) SAMLMetadata(ctx context.Context, c connection.Connection) (SAMLMetadata, error) {
	m := SAMLMetadata{Fetched: !strings.HasPrefix(c.Settings.Metadata, "<")}
	var err error
	if m.Approved, _, err = tx.ConnectionDocument(ctx, c.ID, samlKind(samlApproved, c)); err != nil {
		return m, err
	}
	if !m.Fetched {
		// The kind names the settings' document: one that is declared anew voids what was handed in before it.
		if m.Renewed = m.Approved.Body != ""; !m.Renewed {
			m.Approved.Body = c.Settings.Metadata
		}
	}
	if m.Pending, _, err = tx.ConnectionDocument(ctx, c.ID, samlKind(samlPending, c)); err != nil {
		return m, err
	}
	declined, _, err := tx.ConnectionDocument(ctx, c.ID, samlKind(samlDeclined, c))
	m.Declined = declined.Body
	return m, err
}

// KeepSAMLMetadata keeps the document that counts, good for ttl before it is asked for again; what waited is settled by it. With an
// event, what it changes is recorded.
func (tx *Tx) KeepSAMLMetadata(ctx context.Context, c connection.Connection, body string, ttl time.Duration, e *audit.Event) {
	tx.KeepConnectionDocument(ctx, c.ID, samlKind(samlApproved, c), body, ttl)
	tx.dropConnectionDocument(c.ID, samlKind(samlPending, c))
	if e != nil {
		tx.Record(ctx, *e)
	}
}

// KeepSAMLPending keeps a document that waits, and records it once, not at each look.
func (tx *Tx) KeepSAMLPending(ctx context.Context, c connection.Connection, known SAMLMetadata, body string, ttl time.Duration, e audit.Event) {
	// The approved one was looked at again, too.
	tx.KeepConnectionDocument(ctx, c.ID, samlKind(samlApproved, c), known.Approved.Body, ttl)
	if known.Declined == seal.Fingerprint(body) {
		return
	}
	tx.KeepConnectionDocument(ctx, c.ID, samlKind(samlPending, c), body, ttl)
	if known.Pending.Body != body {
		tx.Record(ctx, e)
	}
}

// ClaimSAMLFetch takes the right to ask the address again (ClaimFetch).
func (tx *Tx) ClaimSAMLFetch(ctx context.Context, c connection.Connection, every time.Duration) (bool, error) {
	return tx.ClaimFetch(ctx, c.ID, samlKind(samlApproved, c), every)
}

// DecideSAMLMetadata approves or declines the document that waits. Fingerprint names it (seal.Fingerprint of its body): what the
// administrator saw is what counts from now on, not what came meanwhile.
func (tx *Tx) DecideSAMLMetadata(ctx context.Context, actor audit.Actor, way id.Connection, fingerprint string, approve bool, reason string) error {
	found, err := tx.SignInConnection(ctx, way)
	if err != nil {
		return err
	}
	c := found.Connection
	tx.Lock(ctx, "saml-metadata/"+string(c.ID))
	m, err := tx.SAMLMetadata(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case m.Pending.Body == "":
		return fault.New(fault.Conflict, "No changed metadata of %s waits any more.", c.Name)
	case seal.Fingerprint(m.Pending.Body) != fingerprint:
		return fault.New(fault.Conflict, "%s has published other metadata meanwhile. Look at it again.", c.Name)
	}
	actor.Organization = tx.Organization
	e := audit.Event{
		Actor: actor, Action: "connection.metadata-approved", TargetKind: "connection", TargetID: string(c.ID), TargetName: c.Name,
		Reason: reason, Before: SAMLMetadataShown(c, m.Approved.Body), After: SAMLMetadataShown(c, m.Pending.Body),
	}
	if approve {
		// Due at once: what the provider publishes next is asked for at the next look.
		tx.KeepSAMLMetadata(ctx, c, m.Pending.Body, 0, &e)
		return nil
	}
	e.Action = "connection.metadata-declined"
	tx.KeepConnectionDocument(ctx, c.ID, samlKind(samlDeclined, c), fingerprint, declinedFor)
	tx.dropConnectionDocument(c.ID, samlKind(samlPending, c))
	tx.Record(ctx, e)
	return nil
}

func (tx *Tx) dropConnectionDocument(c id.Connection, kind string) {
	tx.queue(`
		delete from connection_documents
		where organization = $1 and connection = $2 and kind = $3`, tx.Organization, c, kind)
}

// ReadSAMLMetadata reads a document that was believed when it was kept: whatever its own time, and without asking for the
// signature again.
func ReadSAMLMetadata(c connection.Connection, body string) (*saml.Metadata, error) {
	return saml.ReadMetadata([]byte(body), saml.MetadataOptions{EntityID: c.Settings.SAML.EntityID, AllowHTTP: true})
}

// SAMLMetadataShown is what an administrator compares of a document, and what the audit log keeps.
func SAMLMetadataShown(c connection.Connection, body string) json.RawMessage {
	m, err := ReadSAMLMetadata(c, body)
	if err != nil {
		return auditJSON(map[string]string{"error": err.Error()})
	}
	var certificates, addresses, logouts []string
	for _, c := range m.Certificates {
		certificates = append(certificates, saml.Fingerprint(c))
	}
	for _, e := range m.SSO {
		addresses = append(addresses, e.URL)
	}
	for _, e := range m.SLO {
		logouts = append(logouts, e.URL)
	}
	return auditJSON(map[string]any{"entity_id": m.EntityID, "certificates": certificates, "addresses": addresses, "logout_addresses": logouts})
}

// SAMLConnections lists the connections by SAML of all organizations, but for those that are switched off.
func (tx *SystemTx) SAMLConnections(ctx context.Context) ([]connection.Connection, error) {
	all, err := collect[connection.Connection](tx.query(ctx, `
		select organization, id, name, protocol, directory, document
		from connections
		where protocol = $1
		order by organization, id`, connection.SAML))(func(s scanner) (c connection.Connection, err error) {
		err = s.Scan(&c.Organization, &c.ID, &c.Name, &c.Protocol, orEmpty(&c.Directory), decode(&c.Settings))
		return c, err
	})
	return slices.DeleteFunc(all, func(c connection.Connection) bool { return c.Settings.Disabled }), err
}

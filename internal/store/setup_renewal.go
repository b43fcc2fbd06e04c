package store

import (
	"context"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml"
)

// A provider whose metadata stands in the settings publishes nothing that could be asked for: its certificates are renewed by hand, through
// a setup link. What is handed in waits for an administrator, since whoever holds a link could otherwise sign in as anyone with a
// key of their own; only where the link may open the connection does it count at once.

// renewal gives what a link for certificates is about, held until the transaction ends.
func (tx *Tx) renewal(ctx context.Context, l *SetupLink) (connection.Connection, SAMLMetadata, saml.MetadataOptions, error) {
	var o saml.MetadataOptions
	if err := setupScope(l, connection.SetUpCertificate); err != nil {
		return connection.Connection{}, SAMLMetadata{}, o, err
	}
	found, err := tx.SignInConnection(ctx, l.Renews)
	if err != nil {
		return connection.Connection{}, SAMLMetadata{}, o, err
	}
	c := found.Connection
	tx.Lock(ctx, "saml-metadata/"+string(c.ID))
	known, err := tx.SAMLMetadata(ctx, c)
	switch {
	case err != nil:
		return c, known, o, err
	case known.Fetched:
		return c, known, o, fault.New(fault.Conflict, "The metadata of %s is asked for at its address. What is published there is what can be approved.", c.Name)
	}
	pinned, err := c.Settings.SAML.Pinned()
	return c, known, saml.MetadataOptions{EntityID: c.Settings.SAML.EntityID, Pinned: pinned, AllowHTTP: true, Now: tx.now}, err
}

// HandInSAML takes a certificate or metadata that the contact of a link hands in, and says whether it waits for an administrator.
// The certificates that counted go on counting beside the new ones.
func (tx *Tx) HandInSAML(ctx context.Context, actor audit.Actor, l *SetupLink, given string) (waits bool, err error) {
	c, known, o, err := tx.renewal(ctx, l)
	if err != nil {
		return false, err
	}
	body, err := saml.Renewed([]byte(known.Approved.Body), given, o)
	if err != nil {
		return false, err
	}
	was, err := ReadSAMLMetadata(c, known.Approved.Body)
	if err != nil {
		return false, err
	}
	becomes, err := ReadSAMLMetadata(c, body)
	if err != nil {
		return false, err
	}
	changes := saml.Compare(was.IdentityProvider, becomes)
	if changes.None() {
		return false, fault.New(fault.Conflict, "That is known already: nothing new would count.").WithCode("nothing-new")
	}
	e := audit.Event{
		Actor: actor, Action: "connection.metadata-approved", TargetKind: "connection", TargetID: string(c.ID), TargetName: c.Name,
		Before: SAMLMetadataShown(c, known.Approved.Body), After: SAMLMetadataShown(c, body),
		Reason: "Handed in by the contact of a setup link that may open the connection.",
	}
	if l.Opens && !changes.Endpoints {
		tx.KeepSAMLMetadata(ctx, c, body, 0, &e)
		return false, nil
	}
	e.Action, e.Outcome, e.Code = "connection.metadata-changed", audit.Refused, "metadata-waits"
	e.Reason = "Handed in by the contact of a setup link. What was approved serves on until an administrator approves it."
	tx.KeepConnectionDocument(ctx, c.ID, samlKind(samlPending, c), body, declinedFor)
	tx.Record(ctx, e)
	return true, nil
}

// RetireSAMLCertificate stops one certificate of several from counting, on the word of a link's contact that the provider signs with
// another one. Taking trust away needs nobody's approval.
func (tx *Tx) RetireSAMLCertificate(ctx context.Context, actor audit.Actor, l *SetupLink, fingerprint string) error {
	c, known, o, err := tx.renewal(ctx, l)
	if err != nil {
		return err
	}
	switch {
	case known.Pending.Body != "":
		return fault.New(fault.Conflict, "A new certificate waits for an administrator. Retire the old one once it counts, and your provider signs with it.")
	case len(o.Pinned) > 0:
		return fault.New(fault.Conflict, "This connection takes signed metadata alone: hand in the document without the certificate.")
	}
	body, err := saml.WithoutCertificate([]byte(known.Approved.Body), fingerprint, saml.MetadataOptions{EntityID: o.EntityID, AllowHTTP: true})
	if err != nil {
		return err
	}
	tx.KeepSAMLMetadata(ctx, c, body, 0, &audit.Event{
		Actor: actor, Action: "connection.certificate-retired", TargetKind: "connection", TargetID: string(c.ID), TargetName: c.Name,
		Before: SAMLMetadataShown(c, known.Approved.Body), After: SAMLMetadataShown(c, body), Reason: "By the contact of a setup link.",
	})
	return nil
}

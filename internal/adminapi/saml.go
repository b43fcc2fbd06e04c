package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// OfConnection is a call about one connection.
type OfConnection struct {
	Of
	Connection id.Connection `path:"connection" doc:"The connection's id"`
}

// SAMLCertificate is a certificate of a provider's metadata.
type SAMLCertificate struct {
	Fingerprint string    `json:"fingerprint" doc:"SHA-256, in hexadecimal"`
	Subject     string    `json:"subject"`
	NotAfter    time.Time `json:"not_after"`
}

// SAMLDocument is a provider's metadata as far as it is used.
type SAMLDocument struct {
	Fingerprint     string            `json:"fingerprint" doc:"Names this very document when it is approved or declined"`
	EntityID        string            `json:"entity_id"`
	Certificates    []SAMLCertificate `json:"certificates"`
	Addresses       []string          `json:"addresses" doc:"Where people are sent"`
	LogoutAddresses []string          `json:"logout_addresses"`
	ValidUntil      *time.Time        `json:"valid_until"`
	Fetched         *time.Time        `json:"fetched" doc:"When its address was last asked; null where it stands in the settings"`
}

// SAMLMetadata is what a connection knows of its provider.
type SAMLMetadata struct {
	Approved *SAMLDocument `json:"approved" doc:"What counts; null until the first sign-in has asked the address"`
	Pending  *SAMLDocument `json:"pending" doc:"What waits for an administrator, since it names other keys or addresses"`
}

// SAMLKey is one of our keys towards a provider.
type SAMLKey struct {
	ID          string          `json:"id"`
	Purpose     string          `json:"purpose" enum:"signing,encryption"`
	State       string          `json:"state" enum:"current,next,former"`
	Certificate SAMLCertificate `json:"certificate"`
	Created     time.Time       `json:"created"`
}

type decideMetadata struct {
	OfConnection
	Body struct {
		Fingerprint string `json:"fingerprint" doc:"Of the pending document, as it was looked at" maxLength:"100"`
		Reason      string `json:"reason,omitempty" maxLength:"500" doc:"Kept in the audit log"`
	}
}

type makeKey struct {
	OfConnection
	Body struct {
		Purpose string `json:"purpose" enum:"signing,encryption"`
	}
}

type ofKey struct {
	OfConnection
	Key string `path:"key" doc:"The key's id"`
}

func samlDocument(c connection.Connection, d store.ConnectionDocument) (*SAMLDocument, error) {
	if d.Body == "" {
		return nil, nil
	}
	m, err := store.ReadSAMLMetadata(c, d.Body)
	if err != nil {
		return nil, err
	}
	out := &SAMLDocument{
		Fingerprint: seal.Fingerprint(d.Body), EntityID: m.EntityID, Certificates: []SAMLCertificate{}, Addresses: []string{},
		LogoutAddresses: []string{}, ValidUntil: optional(m.ValidUntil), Fetched: optional(d.Fetched),
	}
	for _, cert := range m.Certificates {
		out.Certificates = append(out.Certificates, SAMLCertificate{saml.Fingerprint(cert), cert.Subject.String(), cert.NotAfter.UTC()})
	}
	for _, e := range m.SSO {
		out.Addresses = append(out.Addresses, e.URL)
	}
	for _, e := range m.SLO {
		out.LogoutAddresses = append(out.LogoutAddresses, e.URL)
	}
	return out, nil
}

func samlKey(k store.SAMLKey) SAMLKey {
	return SAMLKey{
		ID: k.ID, Purpose: string(k.Purpose), State: string(k.State), Created: k.Created.UTC(),
		Certificate: SAMLCertificate{saml.Fingerprint(k.Certificate), k.Certificate.Subject.String(), k.Certificate.NotAfter.UTC()},
	}
}

func (a *API) samlMetadata(api huma.API) {
	const path = "/organizations/{organization}/connections/{connection}/metadata"
	handle(a, api, huma.Operation{
		OperationID: "get-connection-metadata", Method: http.MethodGet, Path: path,
		Summary: "What a SAML connection knows of its identity provider, and what waits to be approved",
	}, func(ctx context.Context, in *OfConnection) (out *one[SAMLMetadata], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			c, err := tx.SAMLConnection(ctx, in.Connection)
			if err != nil {
				return err
			}
			known, err := tx.SAMLMetadata(ctx, c)
			if err != nil {
				return err
			}
			out = &one[SAMLMetadata]{}
			if out.Body.Approved, err = samlDocument(c, known.Approved); err != nil {
				return err
			}
			out.Body.Pending, err = samlDocument(c, known.Pending)
			return err
		})
		return out, err
	})
	for _, decision := range []struct {
		name, summary string
		approve       bool
	}{
		{"approve", "Let the metadata that waits count", true},
		{"decline", "Keep what was approved, and do not ask about this document again", false},
	} {
		handle(a, api, huma.Operation{
			OperationID: decision.name + "-connection-metadata", Method: http.MethodPost, Path: path + "/" + decision.name,
			DefaultStatus: http.StatusNoContent, Summary: decision.summary,
		}, func(ctx context.Context, in *decideMetadata) (*Nothing, error) {
			return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
				if _, err := tx.SAMLConnection(ctx, in.Connection); err != nil {
					return err
				}
				return tx.DecideSAMLMetadata(ctx, actorOf(ctx), in.Connection, in.Body.Fingerprint, decision.approve, in.Body.Reason)
			})
		})
	}
	handle(a, api, huma.Operation{
		OperationID: "refresh-connection-metadata", Method: http.MethodPost, Path: path + "/refresh", DefaultStatus: http.StatusNoContent,
		Summary: "Ask the identity provider's metadata address now",
	}, func(ctx context.Context, in *OfConnection) (*Nothing, error) {
		return &Nothing{}, a.Metadata(ctx, in.Organization, in.Connection)
	})
}

func (a *API) samlKeys(api huma.API) {
	const path = "/organizations/{organization}/connections/{connection}/keys"
	handle(a, api, huma.Operation{
		OperationID: "list-connection-keys", Method: http.MethodGet, Path: path, Summary: "Our own keys towards an identity provider: SAML, or OpenID Connect with private_key_jwt",
	}, func(ctx context.Context, in *OfConnection) (out *List[SAMLKey], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			c, err := tx.KeyedConnection(ctx, in.Connection)
			if err != nil {
				return err
			}
			keys, err := tx.SAMLKeys(ctx, c.ID)
			out = listOf(keys, "", samlKey)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "make-connection-key", Method: http.MethodPost, Path: path, DefaultStatus: http.StatusCreated,
		Summary: "Make the next key: it is published at once, and used once it is put in use",
	}, func(ctx context.Context, in *makeKey) (*one[SAMLKey], error) {
		err := a.read(ctx, in.Organization, func(tx *store.Tx) error {
			_, err := tx.KeyedConnection(ctx, in.Connection, store.KeyPurpose(in.Body.Purpose))
			return err
		})
		if err != nil {
			return nil, err
		}
		if _, err := a.DB.EnsureSAMLKeys(ctx, in.Organization, in.Connection); err != nil {
			return nil, err
		}
		// Before the transaction that keeps it, since it takes a moment.
		key, err := a.DB.MakeSAMLKey(in.Organization, in.Connection, store.KeyPurpose(in.Body.Purpose))
		if err != nil {
			return nil, err
		}
		key.State, key.Created = store.KeyNext, a.DB.Now()
		return &one[SAMLKey]{samlKey(key)}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.AddSAMLKey(ctx, actorOf(ctx), in.Connection, key)
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "use-connection-key", Method: http.MethodPost, Path: path + "/{key}/use", DefaultStatus: http.StatusNoContent,
		Summary: "Put the next key in use; the current one becomes a former one",
	}, func(ctx context.Context, in *ofKey) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.UseSAMLKey(ctx, actorOf(ctx), in.Connection, in.Key)
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "remove-connection-key", Method: http.MethodDelete, Path: path + "/{key}", DefaultStatus: http.StatusNoContent,
		Summary: "Take away a key that is not in use",
	}, func(ctx context.Context, in *ofKey) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.RemoveSAMLKey(ctx, actorOf(ctx), in.Connection, in.Key)
		})
	})
}

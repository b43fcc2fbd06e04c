package signin

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

const (
	metadataTTL   = 24 * time.Hour
	metadataRetry = 10 * time.Minute // between two tries for a document whose time is over
	maxMetadata   = 1 << 20
	// certificateYears is how long our certificate holds. Providers compare its key and would otherwise lock everybody out on
	// one day that nobody remembers.
	certificateYears = 20
)

// service is us as a SAML service provider.
type service struct {
	*upstream
	url  string
	kept atomic.Pointer[saml.Key] // it never changes once it is made
}

// connection is one provider and us towards it.
func (s *service) connection(ctx context.Context, c connection.Connection) (*saml.Connection, error) {
	idp, err := s.provider(ctx, c)
	if err != nil {
		return nil, err
	}
	way, err := s.ours(ctx, c)
	if err != nil {
		return nil, err
	}
	way.IdP = *idp
	return way, nil
}

func (s *service) ours(ctx context.Context, c connection.Connection) (*saml.Connection, error) {
	key, err := s.key(ctx)
	if err != nil {
		return nil, err
	}
	base := connectionURL(s.url, c)
	return &saml.Connection{
		SP:       saml.ServiceProvider{EntityID: base + "/metadata", ACS: base + "/acs", Signing: []saml.Key{*key}},
		Settings: saml.Settings{SignRequests: true}, Now: s.db.Now,
	}, nil
}

// describe gives our metadata. It needs nothing of the provider, so either side can be set up first.
func (s *service) describe(ctx context.Context, c connection.Connection) ([]byte, error) {
	way, err := s.ours(ctx, c)
	if err != nil {
		return nil, err
	}
	return way.Metadata()
}

func samlKeyPlace(key string) string { return "signing-key/" + key }

// key is the one that signs our requests, for all connections and on all nodes. The first sign-in or reader makes it.
func (s *service) key(ctx context.Context) (*saml.Key, error) {
	if key := s.kept.Load(); key != nil {
		return key, nil
	}
	var row store.SigningKey
	var found bool
	read := func(tx *store.SystemTx) (err error) {
		row, found, err = tx.SAMLKey(ctx)
		return err
	}
	if err := s.db.System().Read(ctx, read); err != nil {
		return nil, err
	}
	if !found {
		// Made before the transaction, since it takes a moment; of two nodes the second finds the first one's and drops its own.
		made, err := s.make()
		if err != nil {
			return nil, err
		}
		err = s.db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.LockSigningKeys(ctx)
			if err := read(tx); err != nil || found {
				return err
			}
			row = made
			tx.AddSAMLKey(ctx, made)
			tx.Record(ctx, audit.Event{
				Actor: audit.Actor{Kind: audit.ActorSystem, Door: audit.SignIn}, Action: "signing-key.made", TargetKind: "signing-key",
				TargetID: made.ID, TargetName: "SAML",
			})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	key, err := s.open(ctx, row)
	if err != nil {
		return nil, fmt.Errorf("the key for SAML: %w", err)
	}
	s.kept.Store(key)
	return key, nil
}

// published is the key's public half: the certificate alone, where a JWK has it (RFC 7517 section 4.7).
type published struct {
	Chain [][]byte `json:"x5c"`
}

func (s *service) make() (store.SigningKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return store.SigningKey{}, err
	}
	serial := new(big.Int).SetBytes(seal.Random(16))
	now := s.db.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Vestibule"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(certificateYears, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return store.SigningKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return store.SigningKey{}, err
	}
	id := "saml-" + seal.Handle()[:16]
	return store.SigningKey{
		ID: id, Private: s.db.Keys.Seal(samlKeyPlace(id), der), Public: string(encode(published{[][]byte{certificate}})),
	}, nil
}

// open gives a kept key, and seals it anew under the node's first key so that an older one can go.
func (s *service) open(ctx context.Context, row store.SigningKey) (*saml.Key, error) {
	der, err := s.db.Keys.Open(samlKeyPlace(row.ID), row.Private)
	if err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T signs nothing", private)
	}
	var public published
	if err := json.Unmarshal([]byte(row.Public), &public); err != nil || len(public.Chain) != 1 {
		return nil, errors.Join(err, errors.New("it has no certificate"))
	}
	certificate, err := x509.ParseCertificate(public.Chain[0])
	if err != nil {
		return nil, err
	}
	if !s.db.Keys.Current(row.Private) {
		if err := s.db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.ResealSigningKey(ctx, row.ID, s.db.Keys.Seal(samlKeyPlace(row.ID), der))
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return &saml.Key{Private: signer, Certificate: certificate}, nil
}

// provider gives what the connection's metadata says: of the document in its settings, or of the one its URL gave, kept for all
// nodes. Once a day the URL is asked again, and what changes the keys or the addresses is not taken from it unseen.
func (s *service) provider(ctx context.Context, c connection.Connection) (*saml.IdentityProvider, error) {
	source := c.Settings.Metadata
	if strings.HasPrefix(source, "<") {
		m, err := s.read([]byte(source), s.db.Now())
		if err != nil {
			return nil, err
		}
		return &m.IdentityProvider, nil
	}
	kind := kindOf("saml-metadata", source)
	var kept store.ConnectionDocument
	var found bool
	err := s.db.Read(ctx, c.Organization, func(tx *store.Tx) (err error) {
		kept, found, err = tx.ConnectionDocument(ctx, c.ID, kind)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !found {
		m, body, err := s.fetch(ctx, source)
		if err != nil {
			return nil, err
		}
		ctx = context.WithoutCancel(ctx)
		return &m.IdentityProvider, s.db.Write(ctx, c.Organization, func(tx *store.Tx) error {
			tx.KeepConnectionDocument(ctx, c.ID, kind, body, metadataTTL)
			return nil
		})
	}
	// What was approved stays what was approved, even when its own time is over: the next one is compared with it.
	approved, err := s.read([]byte(kept.Body), time.Time{})
	if err != nil {
		return nil, err
	}
	over := func(m *saml.Metadata) bool { return !m.ValidUntil.IsZero() && !s.db.Now().Before(m.ValidUntil) }
	if !s.db.Now().Before(kept.Expires) || over(approved) {
		approved = s.renewed(ctx, c, kind, kept, approved)
	}
	if over(approved) {
		return nil, refuse(CodeProvider, "the metadata was valid until "+approved.ValidUntil.UTC().Format(time.RFC3339))
	}
	return &approved.IdentityProvider, nil
}

// renewed asks the URL again, one node once in a while, and gives what counts from now on. Whatever goes wrong, the document
// that was approved serves on.
func (s *service) renewed(
	ctx context.Context, c connection.Connection, kind string, kept store.ConnectionDocument, approved *saml.Metadata,
) *saml.Metadata {
	renewed, err := s.renewal(context.WithoutCancel(ctx), c, kind, kept, approved)
	if err != nil {
		s.log.WarnContext(ctx, "metadata not renewed, the approved one serves",
			"organization", c.Organization, "connection", c.ID, "error", err)
		return approved
	}
	return renewed
}

func (s *service) renewal(
	ctx context.Context, c connection.Connection, kind string, kept store.ConnectionDocument, approved *saml.Metadata,
) (*saml.Metadata, error) {
	var mayFetch bool
	err := s.db.Write(ctx, c.Organization, func(tx *store.Tx) (err error) {
		mayFetch, err = tx.ClaimFetch(ctx, c.ID, kind, metadataRetry)
		return err
	})
	if err != nil || !mayFetch {
		return approved, err
	}
	published, body, err := s.fetch(ctx, c.Settings.Metadata)
	if err != nil {
		return nil, err
	}
	changes := saml.Compare(approved.IdentityProvider, published)
	event := audit.Event{
		Actor: audit.Actor{
			Kind: audit.ActorConnection, ID: string(c.ID), Name: c.Name, Organization: c.Organization, Door: audit.SignIn,
		},
		Action: "connection.metadata-changed", TargetKind: "connection", TargetID: string(c.ID), TargetName: c.Name,
		Before: encode(shown(approved)), After: encode(shown(published)),
	}
	if waits(changes) {
		event.Outcome, event.Code = audit.Refused, "metadata-waits"
		event.Reason = "The provider's metadata now names other keys or addresses. The approved ones serve on until the document itself is declared."
		return approved, s.db.Write(ctx, c.Organization, func(tx *store.Tx) error {
			pending := strings.Replace(kind, "saml-metadata", "saml-pending", 1)
			told, found, err := tx.ConnectionDocument(ctx, c.ID, pending)
			if err != nil {
				return err
			}
			tx.KeepConnectionDocument(ctx, c.ID, kind, kept.Body, metadataTTL)
			tx.KeepConnectionDocument(ctx, c.ID, pending, body, metadataTTL)
			if !found || told.Body != body {
				tx.Record(ctx, event) // once for each document, not once a day
			}
			return nil
		})
	}
	return published, s.db.Write(ctx, c.Organization, func(tx *store.Tx) error {
		tx.KeepConnectionDocument(ctx, c.ID, kind, body, metadataTTL)
		if !changes.None() {
			tx.Record(ctx, event)
		}
		return nil
	})
}

// waits says whether an administrator must look first. A key that comes while every known one stays is a rollover as providers
// announce it; one that comes in place of another, or with another address, may be whoever took the document's host over.
func waits(c saml.Changes) bool {
	return c.EntityID || c.Endpoints || len(c.Kept) == 0 || len(c.Added) > 0 && len(c.Removed) > 0
}

// shown is what an administrator compares.
func shown(m *saml.Metadata) map[string]any {
	var certificates, addresses []string
	for _, c := range m.Certificates {
		certificates = append(certificates, saml.Fingerprint(c))
	}
	for _, e := range m.SSO {
		addresses = append(addresses, e.URL)
	}
	return map[string]any{"entity_id": m.EntityID, "certificates": certificates, "addresses": addresses}
}

// read reads a provider's metadata, as far as we use it.
func (s *service) read(raw []byte, now time.Time) (*saml.Metadata, error) {
	m, err := saml.ReadMetadata(raw, saml.MetadataOptions{AllowHTTP: true, Now: now}) // the guard judges the addresses below
	if err != nil {
		return nil, refuse(CodeProvider, said(err))
	}
	m.SSO = slices.DeleteFunc(m.SSO, func(e saml.Endpoint) bool { return e.Binding != saml.Redirect })
	m.SLO = nil
	if len(m.SSO) == 0 {
		return nil, refuse(CodeProvider, "the metadata has no SingleSignOnService for HTTP-Redirect")
	}
	for _, e := range m.SSO {
		if err := s.guard.Check(e.URL); err != nil {
			return nil, refuse(CodeProvider, "the metadata: "+said(err))
		}
	}
	return m, nil
}

func said(err error) string {
	if f := fault.As(err); f != nil {
		return f.Message
	}
	return err.Error()
}

// fetch gets metadata from its URL. Where it redirects to is not followed: the URL is what the operator vouched for.
func (s *service) fetch(ctx context.Context, address string) (*saml.Metadata, string, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", unreachable(err)
	}
	r.Header.Set("Accept", "application/samlmetadata+xml, application/xml, text/xml")
	response, err := s.client.Do(r)
	if err != nil {
		return nil, "", unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMetadata+1))
	switch {
	case err != nil:
		return nil, "", unreachable(err)
	case response.StatusCode != http.StatusOK:
		return nil, "", refuse(CodeProvider, fmt.Sprintf("%s answered %d for the metadata", r.URL.Host, response.StatusCode))
	case len(body) > maxMetadata:
		return nil, "", refuse(CodeProvider, "the metadata of "+r.URL.Host+" is too large")
	}
	m, err := s.read(body, s.db.Now())
	return m, string(body), err
}

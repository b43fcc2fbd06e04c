package signin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/store"
)

const (
	metadataTTL   = 6 * time.Hour
	metadataRetry = 10 * time.Minute // between two tries for a document whose time is over, or that lacks a key
	maxMetadata   = 1 << 20
)

// service is us as a SAML service provider.
type service struct {
	*upstream
	url string
}

// connection is one provider and us towards it.
func (s *service) connection(ctx context.Context, c connection.Connection) (*saml.Connection, error) {
	idp, err := s.provider(ctx, c)
	if err != nil {
		return nil, err
	}
	return s.towards(ctx, c, idp)
}

func (s *service) towards(ctx context.Context, c connection.Connection, idp *saml.IdentityProvider) (*saml.Connection, error) {
	way, err := s.ours(ctx, c)
	if err != nil {
		return nil, err
	}
	way.IdP = *idp
	if want := map[string]saml.Binding{connection.RequestRedirect: saml.Redirect, connection.RequestPost: saml.Post}[c.Settings.SAML.Binding]; want != "" {
		way.IdP.SSO = slices.DeleteFunc(slices.Clone(way.IdP.SSO), func(e saml.Endpoint) bool { return e.Binding != want })
	}
	return way, nil
}

var signatures = map[string]saml.Signed{
	"assertion": saml.SignedAssertion, "response": saml.SignedResponse, "both": saml.SignedBoth,
}

func (s *service) ours(ctx context.Context, c connection.Connection) (*saml.Connection, error) {
	keys, err := s.db.EnsureSAMLKeys(ctx, c.Organization, c.ID)
	if err != nil {
		return nil, err
	}
	base, chosen := connectionURL(s.url, c), c.Settings.SAML
	way := &saml.Connection{
		SP: saml.ServiceProvider{EntityID: base + "/metadata", ACS: base + "/acs", SLO: base + "/slo"},
		Settings: saml.Settings{
			ClockSkew: chosen.ClockSkew(), Signed: signatures[chosen.Signed], SignRequests: true, NameIDFormat: chosen.Format(),
			AllowUnsolicited: chosen.Unsolicited, IgnoreCertificateDates: chosen.IgnoreCertificateDates,
		},
		Now: s.db.Now,
	}
	if chosen.NameIDFormat == connection.NoNameIDPolicy {
		way.Settings.NameIDFormat, way.Settings.NoNameIDPolicy = "", true
	}
	for _, k := range keys {
		if k.Purpose == store.KeySigns && k.State == store.KeyFormer {
			continue
		}
		key, err := s.open(ctx, c, k)
		if err != nil {
			return nil, fmt.Errorf("the key %s of connection %s: %w", k.ID, c.ID, err)
		}
		key.Former = k.State == store.KeyFormer
		if k.Purpose == store.KeySigns {
			way.SP.Signing = append(way.SP.Signing, key)
		} else {
			way.SP.Encryption = append(way.SP.Encryption, key)
		}
	}
	return way, nil
}

// open gives a kept key, and seals it anew under the node's first key so that an older one can go.
func (s *service) open(ctx context.Context, c connection.Connection, k store.SAMLKey) (saml.Key, error) {
	place := connection.KeyPlace(c.Organization, c.ID, k.ID)
	der, err := s.db.Keys.Open(place, k.Private)
	if err != nil {
		return saml.Key{}, err
	}
	if !s.db.Keys.Current(k.Private) {
		if err := s.db.Write(ctx, c.Organization, func(tx *store.Tx) error {
			tx.ResealSAMLKey(ctx, c.ID, k.ID, s.db.Keys.Seal(place, der))
			return nil
		}); err != nil {
			return saml.Key{}, err
		}
	}
	return saml.OpenKey(der, k.Certificate)
}

// describe gives our metadata. It needs nothing of the provider, so either side can be set up first.
func (s *service) describe(ctx context.Context, c connection.Connection) ([]byte, error) {
	way, err := s.ours(ctx, c)
	if err != nil {
		return nil, err
	}
	return way.Metadata()
}

// provider gives what the connection's metadata says: of the document in its settings, or of the one that its address gave and
// that counts, kept for all nodes. The first one is trusted as it comes; RefreshMetadata asks for newer ones.
func (s *service) provider(ctx context.Context, c connection.Connection) (*saml.IdentityProvider, error) {
	var known store.SAMLMetadata
	err := s.db.Read(ctx, c.Organization, func(tx *store.Tx) (err error) {
		known, err = tx.SAMLMetadata(ctx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !known.Fetched && !known.Renewed {
		m, err := s.read(c, []byte(known.Approved.Body), s.db.Now())
		if err != nil {
			return nil, err
		}
		return &m.IdentityProvider, nil
	}
	if known.Approved.Body == "" {
		m, body, err := s.fetch(ctx, c)
		if err != nil {
			return nil, err
		}
		ctx = context.WithoutCancel(ctx)
		return &m.IdentityProvider, s.db.Write(ctx, c.Organization, func(tx *store.Tx) error {
			e := s.changed(c, "", body)
			e.Reason = "The first document of the address is trusted as it comes."
			tx.KeepSAMLMetadata(ctx, c, body, metadataTTL, &e)
			return nil
		})
	}
	approved, err := s.read(c, []byte(known.Approved.Body), time.Time{})
	if err == nil && over(approved, s.db.Now()) {
		if s.renew(ctx, c) {
			return s.provider(ctx, c)
		}
		err = refuse(CodeProvider, "the metadata was valid until "+approved.ValidUntil.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return nil, err
	}
	return &approved.IdentityProvider, nil
}

func over(m *saml.Metadata, now time.Time) bool {
	return !m.ValidUntil.IsZero() && !now.Before(m.ValidUntil)
}

// renew asks the address out of turn, once in a while for all nodes together, and says whether another document counts now.
// Whatever goes wrong, the one that was approved serves on.
func (s *service) renew(ctx context.Context, c connection.Connection) (changed bool) {
	if strings.HasPrefix(c.Settings.Metadata, "<") {
		return false
	}
	ctx = context.WithoutCancel(ctx) // the caller may be gone; what was fetched serves the next one
	var mayFetch bool
	err := s.db.Write(ctx, c.Organization, func(tx *store.Tx) (err error) {
		mayFetch, err = tx.ClaimSAMLFetch(ctx, c, metadataRetry)
		return err
	})
	if err == nil && mayFetch {
		changed, err = s.renewal(ctx, c)
	}
	if err != nil {
		s.log.WarnContext(ctx, "metadata not renewed, the approved one serves",
			"organization", c.Organization, "connection", c.ID, "error", err)
	}
	return changed
}

// renewal asks the address for a connection that has an approved document, and keeps what comes: in its place where nobody needs
// to look at it first, else beside it.
func (s *service) renewal(ctx context.Context, c connection.Connection) (changed bool, err error) {
	published, body, err := s.fetch(ctx, c)
	if err != nil {
		return false, err
	}
	err = s.db.Write(ctx, c.Organization, func(tx *store.Tx) error {
		changed = false
		known, err := tx.SAMLMetadata(ctx, c)
		if err != nil || known.Approved.Body == "" {
			return err
		}
		approved, err := s.read(c, []byte(known.Approved.Body), time.Time{})
		if err != nil {
			return err
		}
		changes := saml.Compare(approved.IdentityProvider, published)
		e := s.changed(c, known.Approved.Body, body)
		if changes.NeedsApproval() {
			e.Outcome, e.Code = audit.Refused, "metadata-waits"
			e.Reason = "The provider now publishes other keys or addresses. The approved ones serve on until an administrator approves the new ones."
			tx.KeepSAMLPending(ctx, c, known, body, metadataTTL, e)
			return nil
		}
		changed = known.Approved.Body != body
		if changes.None() {
			tx.KeepSAMLMetadata(ctx, c, body, metadataTTL, nil)
		} else {
			tx.KeepSAMLMetadata(ctx, c, body, metadataTTL, &e)
		}
		return nil
	})
	return changed, err
}

func (s *service) changed(c connection.Connection, before, after string) audit.Event {
	e := audit.Event{
		Actor: audit.Actor{
			Kind: audit.ActorConnection, ID: string(c.ID), Name: c.Name, Organization: c.Organization, Door: audit.JobRunner,
		},
		Action: "connection.metadata-changed", TargetKind: "connection", TargetID: string(c.ID), TargetName: c.Name,
		After: store.SAMLMetadataShown(c, after),
	}
	if before != "" {
		e.Before = store.SAMLMetadataShown(c, before)
	}
	return e
}

// RefreshMetadata asks all addresses whose documents are due, and tells of certificates that end soon. It is periodic work of one
// node.
func (s *SignIn) RefreshMetadata(ctx context.Context) error {
	service := s.service()
	var all []connection.Connection
	err := s.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		all, err = tx.SAMLConnections(ctx)
		return err
	})
	for _, c := range all {
		if ctx.Err() != nil {
			break
		}
		var known store.SAMLMetadata
		failed := s.DB.Read(ctx, c.Organization, func(tx *store.Tx) (err error) {
			known, err = tx.SAMLMetadata(ctx, c)
			return err
		})
		// What no sign-in has asked for yet is fetched by the first one, or by the test of the connection.
		if failed == nil && known.Fetched && known.Approved.Body != "" && !s.DB.Now().Before(known.Approved.Expires) {
			_, failed = service.renewal(ctx, c)
		}
		if failed != nil {
			// One provider that does not answer keeps no other from being asked.
			s.Log.WarnContext(ctx, "metadata not renewed, the approved one serves",
				"organization", c.Organization, "connection", c.ID, "error", failed)
		}
	}
	return err
}

// AskMetadata asks one connection's address now, because an administrator said so.
func (s *SignIn) AskMetadata(ctx context.Context, org id.Organization, way id.Connection) error {
	var c store.SignInConnection
	var known store.SAMLMetadata
	err := s.DB.Read(ctx, org, func(tx *store.Tx) (err error) {
		if c, err = tx.SignInConnection(ctx, way); err != nil || c.Protocol != connection.SAML {
			return err
		}
		known, err = tx.SAMLMetadata(ctx, c.Connection)
		return err
	})
	switch {
	case err != nil:
		return err
	case c.Protocol != connection.SAML || !known.Fetched:
		return fault.New(fault.Conflict, "The metadata of %s stands in its settings; there is no address to ask.", c.Name)
	}
	service := s.service()
	if known.Approved.Body == "" {
		_, err = service.provider(ctx, c.Connection)
	} else {
		_, err = service.renewal(ctx, c.Connection)
	}
	var why *refusal
	if errors.As(err, &why) {
		return fault.Wrap(err, fault.Unavailable, "The metadata of %s could not be read: %s.", c.Name, strings.TrimSuffix(why.detail, "."))
	}
	return err
}

func (s *SignIn) service() *service {
	return &service{upstream: newUpstream(s.DB, s.Guard, s.Log), url: s.URL}
}

// read reads a provider's metadata, as far as we use it. With a time it must hold then, and be signed if the connection pins
// the key that signs it; without one it is a document that was judged when it came.
func (s *service) read(c connection.Connection, raw []byte, now time.Time) (*saml.Metadata, error) {
	var pinned []*x509.Certificate
	if !now.IsZero() {
		var err error
		if pinned, err = c.Settings.SAML.Pinned(); err != nil {
			return nil, err
		}
	}
	m, err := saml.ReadMetadata(raw, saml.MetadataOptions{
		EntityID: c.Settings.SAML.EntityID, Pinned: pinned, AllowHTTP: true, Now: now, // the guard judges the addresses below
	})
	if err != nil {
		return nil, refuse(CodeProvider, said(err))
	}
	for _, e := range m.SSO {
		if err := s.guard.Check(e.URL); err != nil {
			return nil, refuse(CodeProvider, "the metadata: "+said(err))
		}
	}
	// Signing out is best-effort: an address for it that cannot be used keeps nobody from signing in.
	m.SLO = slices.DeleteFunc(m.SLO, func(e saml.Endpoint) bool {
		return s.guard.Check(e.URL) != nil || e.ResponseURL != "" && s.guard.Check(e.ResponseURL) != nil
	})
	return m, nil
}

func said(err error) string {
	if f := fault.As(err); f != nil {
		return f.Message
	}
	return err.Error()
}

// fetch gets metadata from its URL. Where it redirects to is not followed: the URL is what the operator vouched for.
func (s *service) fetch(ctx context.Context, c connection.Connection) (*saml.Metadata, string, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Settings.Metadata, nil)
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
	m, err := s.read(c, body, s.db.Now())
	return m, string(body), err
}

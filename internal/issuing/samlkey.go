package issuing

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// The life of the key that assertions are signed with. Applications that were given a certificate by hand never look at the metadata
// again by themselves, so a key lives for years and its successor is published for two months before it signs. What a key signed is
// over in five minutes: once it signs no more it is published no more.
var assertionSpan = span{
	algorithms: []string{expiry.Assertions}, life: expiry.AssertionKeyLife, announce: expiry.AssertionKeyAhead,
}

// issuer is us as a SAML identity provider, as of one version of the keys. It is shared and never changed.
type issuer struct {
	*saml.Issuer
	version  int64
	metadata []byte
	etag     string
}

// Where the SAML identity provider is mounted. Its name is the address of its metadata.
const (
	pathSAMLMetadata = "/saml/idp/metadata"
	pathSAMLSignOn   = "/saml/idp/sso"
	pathSAMLResume   = "/saml/idp/resume"
	pathSAMLLogout   = "/saml/idp/slo"
	pathSAMLLeave    = "/saml/idp/leave" // store.PartingPath
)

// issuer gives us as an identity provider, at most a second behind the store. The first who asks has the first key made: an
// installation without SAML applications needs none.
func (p *Provider) issuer(ctx context.Context) (*issuer, error) {
	version, err := p.db.Version(ctx, "keys")
	if err != nil {
		return nil, err
	}
	if i := p.asserting.Load(); i != nil && i.version == version {
		return i, nil
	}
	p.loading.Lock()
	defer p.loading.Unlock()
	if i := p.asserting.Load(); i != nil && i.version == version {
		return i, nil
	}
	i, err := p.loadIssuer(ctx)
	if err == nil && len(i.Signing) == 0 {
		if err = p.rotateAssertions(ctx, true); err == nil {
			i, err = p.loadIssuer(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if i.metadata, err = i.Metadata(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(i.metadata)
	i.version, i.etag = version, `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`
	p.asserting.Store(i)
	return i, nil
}

func (p *Provider) loadIssuer(ctx context.Context) (*issuer, error) {
	keys, err := p.assertionKeys(ctx)
	if err != nil {
		return nil, err
	}
	i := &issuer{Issuer: &saml.Issuer{EntityID: p.url + pathSAMLMetadata, SSO: p.url + pathSAMLSignOn, SLO: p.url + pathSAMLLogout, Now: p.db.Now}}
	for _, k := range keys {
		if k.State == string(oidc.KeyRetiring) {
			continue
		}
		der, err := p.db.Keys.Open(assertionPlace(k.ID), k.Private)
		if err != nil {
			return nil, fmt.Errorf("assertion key %s: %w", k.ID, err)
		}
		key, err := saml.OpenKey(der, k.Certificate)
		if err != nil {
			return nil, fmt.Errorf("assertion key %s: %w", k.ID, err)
		}
		// The active one comes first, and the first signs.
		i.Signing = append(i.Signing, key)
	}
	return i, nil
}

func assertionPlace(key string) string { return "assertion-key/" + key }

func (p *Provider) assertionKeys(ctx context.Context) (keys []store.AssertionKey, err error) {
	err = p.db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		keys, err = tx.AssertionKeys(ctx)
		return err
	})
	return keys, err
}

// rotateAssertions does what the keys are due, and seals anew what an older node key sealed. Where there is no key at all it makes
// the first one only if it is asked to.
func (p *Provider) rotateAssertions(ctx context.Context, first bool) error {
	keys, err := p.assertionKeys(ctx)
	if err != nil || len(keys) == 0 && !first {
		return err
	}
	turns := assertionSpan.plan(timesOf(keys), p.db.Now())
	stale := slices.ContainsFunc(keys, func(k store.AssertionKey) bool { return !p.db.Keys.Current(k.Private) })
	if len(turns) == 0 && !stale {
		return nil
	}
	var made *store.AssertionKey
	if slices.ContainsFunc(turns, func(t turn) bool { return t.key == "" }) {
		// Before the transaction, since it takes a moment.
		private, certificate, err := saml.MakeKey(p.db.Now())
		if err != nil {
			return err
		}
		made = &store.AssertionKey{ID: seal.Handle()[:16], Certificate: certificate}
		made.Private = p.db.Keys.Seal(assertionPlace(made.ID), private)
	}
	return p.db.System().Write(ctx, func(tx *store.SystemTx) error {
		// Two nodes may have found the same keys due: the second one to come finds nothing left to do.
		tx.LockAssertionKeys(ctx)
		keys, err := tx.AssertionKeys(ctx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if p.db.Keys.Current(k.Private) {
				continue
			}
			der, err := p.db.Keys.Open(assertionPlace(k.ID), k.Private)
			if err != nil {
				return fmt.Errorf("assertion key %s: %w", k.ID, err)
			}
			tx.ResealKey(ctx, store.AssertionKeys, k.ID, p.db.Keys.Seal(assertionPlace(k.ID), der))
		}
		for _, t := range assertionSpan.plan(timesOf(keys), tx.Now()) {
			if t.key != "" || made != nil {
				p.turn(ctx, tx, store.AssertionKeys, t, func() string {
					made.State, made.Activates = string(t.to), t.at
					tx.AddAssertionKey(ctx, *made)
					return made.ID
				})
			}
		}
		return nil
	})
}

// ChangeAssertionKey has the key that assertions are signed with followed before its time, and gives its successor's certificate and when
// that signs. With a term the successor is published from now on, as with every rotation; without one, for a key that may have leaked,
// it signs at once and the old one is published no more: applications that were given a certificate refuse people until they have it.
func ChangeAssertionKey(ctx context.Context, db *store.DB, actor audit.Actor, in time.Duration) (cert *x509.Certificate, from time.Time, err error) {
	private, made, err := saml.MakeKey(db.Now())
	if err != nil {
		return nil, from, err
	}
	successor := store.AssertionKey{ID: seal.Handle()[:16], State: string(oidc.KeyNext), Certificate: made}
	successor.Private = db.Keys.Seal(assertionPlace(successor.ID), private)
	err = db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.LockAssertionKeys(ctx)
		keys, err := tx.AssertionKeys(ctx)
		if err != nil {
			return err
		}
		record := func(action, key string) {
			e := audit.Event{
				Actor: actor, Action: "signing-key." + action, TargetKind: "signing-key", TargetID: key, TargetName: expiry.Assertions,
			}
			if action != "dropped" {
				e.After, _ = json.Marshal(map[string]time.Time{"activates": from})
			}
			tx.Record(ctx, e)
		}
		at := func(state oidc.KeyState) int {
			return slices.IndexFunc(keys, func(k store.AssertionKey) bool { return k.State == string(state) })
		}
		active, next := at(oidc.KeyActive), at(oidc.KeyNext)
		if active < 0 {
			return fault.New(fault.NotFound, "There is no key to change: the first one is made when a SAML application or its operator asks for %s.", pathSAMLMetadata)
		}
		from = tx.Now().Add(in)
		follows, action := successor, "made"
		if next >= 0 && in > 0 {
			// Applications hold it already, as far as they read the metadata.
			follows, action = keys[next], "scheduled"
			tx.ScheduleKey(ctx, store.AssertionKeys, follows.ID, from)
		} else {
			if in <= 0 {
				// The next one lay where the leaked one did.
				follows.State = string(oidc.KeyActive)
				for _, k := range keys {
					tx.DropKey(ctx, store.AssertionKeys, k.ID)
					record("dropped", k.ID)
				}
			}
			follows.Activates = from
			tx.AddAssertionKey(ctx, follows)
		}
		record(action, follows.ID)
		cert = follows.Certificate
		return nil
	})
	return cert, from, err
}

// timesOf gives what a rotation is planned by.
func timesOf(keys []store.AssertionKey) []store.SigningKey {
	var out []store.SigningKey
	for _, k := range keys {
		out = append(out, store.SigningKey{ID: k.ID, Algorithm: expiry.Assertions, State: k.State, Activates: k.Activates, Retires: k.Retires})
	}
	return out
}

package issuing

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// A signing key's life. A quarter bounds what a key that leaked unseen can do; a day of announcement is many times what
// applications cache the document for (an hour); a day of retirement many times what the longest token signed by it lives
// (a quarter of an hour), so that nobody who verifies with a stale document meets an unknown key.
const (
	keyActive   = expiry.SigningKeyLife
	keyAnnounce = 24 * time.Hour
	keyRetire   = 24 * time.Hour
)

var algorithms = []string{oidc.ES256, oidc.RS256}

// span is how long keys of some algorithms live, and how long before and after that they are published.
type span struct {
	algorithms             []string
	life, announce, retire time.Duration
}

var signingSpan = span{algorithms, keyActive, keyAnnounce, keyRetire}

// turn is one step of a rotation.
type turn struct {
	key       string // of the key to move; empty: a new one
	algorithm string
	to        oidc.KeyState // gone when empty
	at        time.Time     // activates, or retires
}

func plan(keys []store.SigningKey, now time.Time) []turn { return signingSpan.plan(keys, now) }

// plan says which turns the keys are due, from their states and times alone.
func (s span) plan(keys []store.SigningKey, now time.Time) []turn {
	var turns []turn
	for _, algorithm := range s.algorithms {
		var active, next *store.SigningKey
		for i := range keys {
			k := &keys[i]
			switch {
			case k.Algorithm != algorithm:
			case k.State == string(oidc.KeyActive):
				active = k
			case k.State == string(oidc.KeyNext):
				next = k
			case k.State == string(oidc.KeyRetiring) && !k.Retires.After(now):
				turns = append(turns, turn{key: k.ID, algorithm: algorithm})
			}
		}
		switch {
		case active == nil && next != nil:
			turns = append(turns, turn{next.ID, algorithm, oidc.KeyActive, now})
		case active == nil:
			turns = append(turns, turn{"", algorithm, oidc.KeyActive, now})
		case next != nil && !next.Activates.After(now):
			turns = append(turns,
				turn{active.ID, algorithm, oidc.KeyRetiring, now.Add(s.retire)},
				turn{next.ID, algorithm, oidc.KeyActive, now})
		case next == nil && !active.Activates.Add(s.life-s.announce).After(now):
			turns = append(turns, turn{"", algorithm, oidc.KeyNext, now.Add(s.announce)})
		}
	}
	return turns
}

// Rotate does what the keys are due, and seals anew what an older node key sealed; it is the job's to call, hourly or so, on
// any node, and does nothing most of the time.
func (p *Provider) Rotate(ctx context.Context) error {
	if err := p.rotateAssertions(ctx, false); err != nil {
		return err
	}
	var keys []store.SigningKey
	err := p.db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		keys, err = tx.SigningKeys(ctx)
		return err
	})
	if err != nil {
		return err
	}
	turns := plan(keys, p.db.Now())
	stale := slices.ContainsFunc(keys, func(k store.SigningKey) bool { return !p.db.Keys.Current(k.Private) })
	if len(turns) == 0 && !stale {
		return nil
	}
	made, err := p.make(turns)
	if err != nil {
		return err
	}
	return p.db.System().Write(ctx, func(tx *store.SystemTx) error {
		// Two nodes may have found the same keys due: the second one to come finds nothing left to do.
		tx.LockSigningKeys(ctx)
		keys, err := tx.SigningKeys(ctx)
		if err != nil {
			return err
		}
		if err := p.reseal(ctx, tx, keys); err != nil {
			return err
		}
		for _, t := range plan(keys, tx.Now()) {
			k, ok := made[t.algorithm]
			if t.key == "" && !ok {
				continue // due only since a moment ago: the next call makes it
			}
			p.turn(ctx, tx, store.SigningKeys, t, func() string {
				k.State, k.Activates = string(t.to), t.at
				tx.AddSigningKey(ctx, k)
				return k.ID
			})
		}
		return nil
	})
}

// Replace drops every key at once and signs with new ones from now on: for keys that may have leaked. What the old ones
// signed is refused from the next second on; sessions and opaque tokens are not touched.
func (p *Provider) Replace(ctx context.Context, actor audit.Actor) error {
	var turns []turn
	for _, algorithm := range algorithms {
		turns = append(turns, turn{"", algorithm, oidc.KeyActive, p.db.Now()})
	}
	made, err := p.make(turns)
	if err != nil {
		return err
	}
	return p.db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.LockSigningKeys(ctx)
		keys, err := tx.SigningKeys(ctx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			tx.DropKey(ctx, store.SigningKeys, k.ID)
			tx.Record(ctx, audit.Event{
				Actor: actor, Action: "signing-key.dropped", TargetKind: "signing-key", TargetID: k.ID, TargetName: k.Algorithm,
			})
		}
		for _, t := range turns {
			k := made[t.algorithm]
			k.State, k.Activates = string(t.to), tx.Now()
			tx.AddSigningKey(ctx, k)
			tx.Record(ctx, audit.Event{
				Actor: actor, Action: "signing-key.made", TargetKind: "signing-key", TargetID: k.ID, TargetName: k.Algorithm,
			})
		}
		return nil
	})
}

// make generates the keys that the turns ask for, before the transaction: an RSA key takes a good part of a second.
func (p *Provider) make(turns []turn) (map[string]store.SigningKey, error) {
	made := map[string]store.SigningKey{}
	for _, t := range turns {
		if t.key != "" {
			continue
		}
		k, err := oidc.GenerateKey(t.algorithm)
		if err != nil {
			return nil, err
		}
		private, err := x509.MarshalPKCS8PrivateKey(k.Signer)
		if err != nil {
			return nil, err
		}
		public, err := json.Marshal(jose.JSONWebKey{Key: k.Signer.Public(), KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"})
		if err != nil {
			return nil, err
		}
		made[t.algorithm] = store.SigningKey{
			ID: k.ID, Algorithm: k.Algorithm, Private: p.db.Keys.Seal(keyPlace(k.ID), private), Public: string(public),
		}
	}
	return made, nil
}

func keyPlace(key string) string { return "signing-key/" + key }

// turn does what a key is due, with its event. Add keeps one that was made, and gives its id.
func (p *Provider) turn(ctx context.Context, tx *store.SystemTx, in store.KeyTable, t turn, add func() string) {
	event := audit.Event{
		Actor:      audit.Actor{Kind: audit.ActorSystem, Name: "key rotation", Door: audit.JobRunner},
		TargetKind: "signing-key", TargetID: t.key, TargetName: t.algorithm,
	}
	switch {
	case t.key == "":
		event.Action, event.TargetID = "signing-key.made", add()
	case t.to == "":
		tx.DropKey(ctx, in, t.key)
		event.Action = "signing-key.dropped"
	case t.to == oidc.KeyRetiring:
		tx.MoveKey(ctx, in, t.key, string(t.to), t.at)
		event.Action = "signing-key.retired"
	default:
		tx.MoveKey(ctx, in, t.key, string(t.to), time.Time{})
		event.Action = "signing-key.activated"
	}
	tx.Record(ctx, event)
}

// loadKeys reads and opens the keys.
func (p *Provider) loadKeys(ctx context.Context) (*oidc.KeySet, error) {
	var kept []store.SigningKey
	err := p.db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		kept, err = tx.SigningKeys(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	var keys []oidc.Key
	for _, k := range kept {
		der, err := p.db.Keys.Open(keyPlace(k.ID), k.Private)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		private, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("signing key %s: a %T signs nothing", k.ID, private)
		}
		keys = append(keys, oidc.Key{ID: k.ID, Algorithm: k.Algorithm, State: oidc.KeyState(k.State), Signer: signer})
	}
	return oidc.NewKeySet(keys)
}

// refreshKeys loads the keys anew if the store's have changed.
func (p *Provider) refreshKeys(ctx context.Context) error {
	version, err := p.db.Version(ctx, "keys")
	if err != nil || version == p.keys.Load() {
		return err
	}
	p.loading.Lock()
	defer p.loading.Unlock()
	if version == p.keys.Load() {
		return nil
	}
	keys, err := p.loadKeys(ctx)
	if err != nil {
		return err
	}
	p.oidc.SetKeys(keys)
	p.keys.Store(version)
	return nil
}

// reseal seals the private keys anew under the node's first key, so that an older one can leave VESTIBULE_KEY.
func (p *Provider) reseal(ctx context.Context, tx *store.SystemTx, keys []store.SigningKey) error {
	for _, k := range keys {
		if p.db.Keys.Current(k.Private) {
			continue
		}
		der, err := p.db.Keys.Open(keyPlace(k.ID), k.Private)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		tx.ResealKey(ctx, store.SigningKeys, k.ID, p.db.Keys.Seal(keyPlace(k.ID), der))
	}
	return nil
}

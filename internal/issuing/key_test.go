package issuing_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/issuing"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/oidc"
)

// oldKey is what storetest opens its stores with.
const oldKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func (w *world) keys(algorithm string) (out []store.SigningKey) {
	w.t.Helper()
	w.must(w.db.System().Read(w.ctx, func(tx *store.SystemTx) error {
		all, err := tx.SigningKeys(w.ctx)
		for _, k := range all {
			if k.Algorithm == algorithm {
				out = append(out, k)
			}
		}
		return err
	}))
	return out
}

func states(keys []store.SigningKey) string {
	var s []string
	for _, k := range keys {
		s = append(s, k.State)
	}
	return strings.Join(s, " ")
}

func TestRotate_111_NextIsAnnouncedThenSignsAndTheOldRetires(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		step := func(after time.Duration, want string) {
			t.Helper()
			w.clock.Advance(after)
			w.must(w.node.Rotate(w.ctx))
			w.must(w.node.Rotate(w.ctx)) // and nothing more
			if got := states(w.keys(oidc.ES256)); got != want {
				t.Errorf("keys %q, want %q", got, want)
			}
		}
		step(0, "active")
		step(88*24*time.Hour, "active")
		step(24*time.Hour, "active next")
		step(23*time.Hour, "active next")
		step(time.Hour, "retiring active")
		step(23*time.Hour, "retiring active")
		step(time.Hour, "active")
		for _, k := range w.keys(oidc.ES256) {
			if strings.Contains(k.Private, "BEGIN") || !strings.HasPrefix(k.Private, "v1.") {
				t.Errorf("the private key is kept as %.20s", k.Private)
			}
		}
	})
}

func TestNew_NodesThatStartTogetherOnAnEmptyStoreAgreeOnTheKeys(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		address := storetest.URL(t, kind)
		w := &world{t: t, ctx: context.Background()}
		var wg sync.WaitGroup
		for range 3 {
			w.db = storetest.OpenURL(t, address)
			db := w.db
			wg.Go(func() {
				if _, err := issuing.New(w.ctx, issuing.Options{DB: db, URL: issuer}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, algorithm := range []string{oidc.ES256, oidc.RS256} {
			if got := states(w.keys(algorithm)); got != "active" {
				t.Errorf("%s keys %q", algorithm, got)
			}
		}
	})
}

func TestReplace_OneNodeSignsForTheOtherUntilTheKeysAreReplaced(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		address := storetest.URL(t, kind)
		w := newWorld(t, clock, storetest.OpenURL(t, address, storetest.WithClock(clock)))
		second, handler := w.start(storetest.OpenURL(t, address, storetest.WithClock(clock)))
		if got := states(w.keys(oidc.RS256)); got != "active" {
			t.Errorf("keys %q", got)
		}
		m := w.tokens()
		rec := w.send(handler, newGet("/end_session?id_token_hint="+m["id_token"].(string)))
		if rec.Code != http.StatusOK {
			t.Errorf("a token of one node at the other: %d %s", rec.Code, rec.Body)
		}
		w.must(second.Replace(w.ctx, operator))
		if got := states(w.keys(oidc.ES256)); got != "active" {
			t.Errorf("keys after replacing %q", got)
		}
	})
}

func TestRotate_SealsAnewUnderTheFirstNodeKey(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		address := storetest.URL(t, kind)
		w := newWorld(t, clock, storetest.OpenURL(t, address, storetest.WithClock(clock)))
		with := func(keys string) *store.DB {
			ring, err := seal.ParseKeys(keys)
			w.must(err)
			return storetest.OpenURL(t, address, storetest.WithClock(clock), storetest.With(func(o *store.Options) { o.Keys = ring }))
		}
		fresh := seal.NewKey()
		if _, err := issuing.New(w.ctx, issuing.Options{DB: with(fresh), URL: issuer}); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("a node without the old key: %v", err)
		}
		w.start(with(fresh + "," + oldKey))
		w.start(with(fresh))
	})
}

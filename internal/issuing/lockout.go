package issuing

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// Guessing an application's secret: ten wrong ones a minute from one address, counted in the store for all nodes together.
// The address is part of the count, so that nobody locks an application out from elsewhere.
const (
	wrongSecrets = 10
	wrongWindow  = time.Minute
)

// lockout remembers on this node who guessed too often, until when. A right secret therefore costs no look into the store;
// a node that has not met the guesser yet learns of it with his first wrong guess there.
type lockout struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu
}

func (l *lockout) left(name string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until[name].Sub(now)
}

func (l *lockout) set(name string, until, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil {
		l.until = map[string]time.Time{}
	}
	for n, t := range l.until { // each entry cost its maker ten requests within the last minute
		if !t.After(now) {
			delete(l.until, n)
		}
	}
	l.until[name] = until
}

func (p *Provider) checkSecret(ctx context.Context, a application.Application, secret string) (bool, error) {
	c, _ := ctx.Value(callKey{}).(call)
	name := "client-secret/" + string(a.ID) + "/" + store.Network(c.ip)
	now := p.db.Now()
	if left := p.locked.left(name, now); left > 0 {
		return false, tooOften(left)
	}
	if p.db.Keys.Matches(secret, a.SecretHash) {
		return true, nil
	}
	hits, err := p.db.Hit(ctx, name, wrongWindow)
	if err != nil {
		return false, translate(err)
	}
	if hits > wrongSecrets {
		until := now.Truncate(wrongWindow).Add(wrongWindow)
		p.locked.set(name, until, now)
		return false, tooOften(until.Sub(now))
	}
	return false, nil
}

func tooOften(left time.Duration) error {
	return &oidc.Error{
		Code: oidc.InvalidClient, Status: http.StatusTooManyRequests, RetryAfter: left,
		Description: "Too many wrong secrets from this address. Wait a minute.",
	}
}

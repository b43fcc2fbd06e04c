package provisioning

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/scim"
)

// A directory is answered so many requests a minute on all nodes together. Counting each in the store would cost as much as
// the request, so a node takes a lease of a share of the minute's requests and spends it by itself: one write for many
// requests. What a node leases and does not spend is lost until the minute is over, which is why a share is small.
const (
	leaseShare = 20  // a lease is this part of the minute's requests
	maxLease   = 500 // and no more than a node spends soon
)

type limiter struct {
	take func(ctx context.Context, name string, window time.Duration, n int64) (total int64, err error)
	now  func() time.Time

	mu   sync.Mutex
	each map[place]*allowance // guarded by mu
}

// allowance is what a node may still answer to one directory.
type allowance struct {
	mu     sync.Mutex
	window time.Time // guarded by mu, as the rest
	left   int64
	spent  bool // all nodes together have answered everything for this window
}

func (l *limiter) of(at place) *allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.each[at]
	if a == nil {
		if len(l.each) >= maxKnown {
			clear(l.each)
		}
		a = &allowance{}
		l.each[at] = a
	}
	return a
}

// admit counts one request of a directory, or refuses it with the time when the next one is answered (RFC 6585 section 4).
// Who holds no token of the directory is refused before it is counted: a stranger must not use up its requests.
func (l *limiter) admit(ctx context.Context, at place, limit directory.RateLimit) error {
	now, requests := l.now(), limit.Requests()
	a := l.of(at)
	a.mu.Lock()
	defer a.mu.Unlock()
	if window := now.Truncate(directory.RateWindow); !window.Equal(a.window) {
		a.window, a.left, a.spent = window, 0, false
	}
	if a.left == 0 && !a.spent {
		lease := min(max(requests/leaseShare, 1), maxLease)
		total, err := l.take(ctx, limitName(at), directory.RateWindow, lease)
		if err != nil {
			return toSCIM(err)
		}
		a.left = max(0, min(lease, requests-(total-lease)))
		a.spent = a.left == 0
	}
	if a.left > 0 {
		a.left--
		return nil
	}
	wait := a.window.Add(directory.RateWindow).Sub(now)
	refusal := scim.Errorf(http.StatusTooManyRequests, "",
		"This directory sends more than %d requests a minute. The next is answered in %d seconds.", requests, int64((wait+time.Second-1)/time.Second))
	refusal.RetryAfter = wait
	return refusal
}

func limitName(at place) string {
	return "scim/" + string(at.organization) + "/" + string(at.directory)
}

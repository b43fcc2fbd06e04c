package provisioning

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// Whom a directory has met. Lists are walked by place, on whichever node; and the log's writer, which knows whom each request
// was about, notes who was named, so that those who never are can be shown (store.Walk says why).

var _ scim.Walker = (*tenant)(nil)

// PlaceOf asks the store where another node ended a page. A single node remembers by itself.
func (t *tenant) PlaceOf(ctx context.Context, list string, before int) (p scim.Place, found bool) {
	if !t.db.Shared() {
		return p, false
	}
	err := t.db.Read(ctx, t.organization, func(tx *store.Tx) (err error) {
		p, found, err = tx.PlaceOf(ctx, t.pusher.Directory.ID, list, before)
		return err
	})
	return p, found && err == nil // without it the list is counted through
}

// KeepPlace is of use before the answer goes out, since the next request may meet another node.
func (t *tenant) KeepPlace(ctx context.Context, list string, before int, p scim.Place) {
	if t.dry || !t.db.Shared() {
		return
	}
	_ = t.db.Write(ctx, t.organization, func(tx *store.Tx) error { // without it the list is counted through
		tx.KeepPlace(ctx, t.pusher.Directory.ID, list, before, p)
		return nil
	})
}

// Walked leaves word for the log's writer.
func (t *tenant) Walked(rt *scim.ResourceType, began time.Time, seen int) {
	if t.trace != nil && !t.dry {
		t.trace.walked = &walked{rt.Name, began, seen}
	}
}

// walked is a list that a request has read the end of.
type walked struct {
	kind  string
	began time.Time
	seen  int
}

const (
	// sightAgain is how long a sighting is not written again: less than the pause that ends a pass, so none is missed.
	sightAgain = 10 * time.Minute
	// passAgain is how often a pass that goes on is noted.
	passAgain = time.Minute
	// maxSighted bounds what a node remembers of whom it has noted.
	maxSighted = 200_000
)

// sights remembers what this node has noted lately.
type sights struct {
	mu    sync.Mutex
	named map[sighted]time.Time // guarded by mu
	pass  map[pass]time.Time    // guarded by mu
}

type sighted struct {
	place
	resource string
}

type pass struct {
	place
	kind string
}

// named tells whether a request named the one resource it was about, as the directory's own request that was done.
func named(r *directory.Request) bool {
	return r.TokenState == directory.TokenGood && r.ReplayOf == "" && r.Status < http.StatusBadRequest && r.Method != http.MethodDelete &&
		r.ResourceKind != "" && id.IsUUID(r.ResourceID)
}

// take picks from a batch of one organization what has to be noted: resources by directory, and passes.
func (s *sights) take(org id.Organization, list []*trace, rows []directory.Request, now time.Time) (map[id.Directory][]string, []pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named == nil || len(s.named) > maxSighted {
		s.named, s.pass = map[sighted]time.Time{}, map[pass]time.Time{}
	}
	resources := map[id.Directory][]string{}
	var passes []pass
	for i := range rows {
		r := &rows[i]
		if !named(r) {
			continue
		}
		at := place{org, r.Directory}
		if p := (pass{at, r.ResourceKind}); now.Sub(s.pass[p]) >= passAgain {
			s.pass[p] = now
			passes = append(passes, p)
		}
		// What was changed tells the time itself.
		if k := (sighted{at, r.ResourceID}); len(list[i].events) == 0 && now.Sub(s.named[k]) >= sightAgain {
			s.named[k] = now
			resources[r.Directory] = append(resources[r.Directory], r.ResourceID)
		}
	}
	return resources, passes
}

// note keeps, in the transaction of the batch, whom the requests named and which lists they read to their end.
func note(tx *store.Tx, list []*trace, resources map[id.Directory][]string) {
	for _, t := range list {
		if t.walked != nil {
			tx.Listed(t.at.directory, t.walked.kind, t.walked.began, t.walked.seen)
		}
	}
	for dir, ids := range resources {
		tx.Sighted(dir, ids)
	}
}

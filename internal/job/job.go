// Package job does what no request waits for: it carries out the deliveries of the outbox, and runs what is due from time
// to time. Every node runs a worker; a lease in the store keeps two of them from the same piece of work, and ends with a
// node that dies.
package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Handler carries out one delivery and gives the receipt. An error of kind Unavailable, TooMany or none means try again;
// any other kind is final, since the same message would be refused the same way.
//
// A handler may meet a delivery twice (a node died between sending and noting it), so what it sends names the delivery's
// id, by which the other side can tell.
type Handler func(ctx context.Context, d outbox.Delivery) (receipt json.RawMessage, err error)

// A worker's measures.
const (
	look    = time.Second      // how often it looks for due deliveries when nobody tells it of one
	lease   = time.Minute      // how long a node has a delivery before another may try it
	attempt = 40 * time.Second // how long one try may take, well within the lease
	window  = 64               // how many due deliveries it looks at together; how many it carries out at once is its room's affair
)

// Worker does the deliveries and the periodic work of one node.
type Worker struct {
	db       *store.DB
	log      *slog.Logger
	handlers map[outbox.Kind]Handler
	periodic []periodic
	room     *room
	ended    chan struct{} // has something to receive when a place became free
}

type periodic struct {
	name  string
	every time.Duration
	run   func(ctx context.Context) error
}

// New makes a worker without handlers.
func New(db *store.DB, log *slog.Logger) *Worker {
	return &Worker{db: db, log: log, handlers: map[outbox.Kind]Handler{}, room: newRoom(), ended: make(chan struct{}, 1)}
}

// Handle says who carries out deliveries of a kind. All are said before Run.
func (w *Worker) Handle(kind outbox.Kind, h Handler) { w.handlers[kind] = h }

// Every runs fn once in each interval, on one node of all. Fn must bear a second run: leases end.
func (w *Worker) Every(name string, interval time.Duration, fn func(ctx context.Context) error) {
	w.periodic = append(w.periodic, periodic{name, interval, fn})
}

// Run works until ctx ends, and returns when what was under way is through.
func (w *Worker) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, p := range w.periodic {
		running.Go(func() { w.repeat(ctx, p) })
	}
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		var ended <-chan struct{}
		if _, waiting := w.fill(ctx, &running); waiting {
			ended = w.ended // a free place is of interest only where somebody may wait for it
		}
		select {
		case <-ctx.Done():
			return
		case <-w.db.Posted():
		case <-ticker.C:
		case <-ended:
		}
	}
}

// Deliver carries out what is due now and has a place, and gives the number of tries made when all of them are through.
func (w *Worker) Deliver(ctx context.Context) int {
	var tries sync.WaitGroup
	begun, _ := w.fill(ctx, &tries)
	tries.Wait()
	return begun
}

// fill begins the deliveries that are due and that there is room for, each by itself: it waits for none of them. It gives how many it
// began, and whether more may be waiting for a place. A delivery is taken only when it can begin, since its lease runs from then on.
func (w *Worker) fill(ctx context.Context, tries *sync.WaitGroup) (begun int, waiting bool) {
	for ctx.Err() == nil {
		full := w.room.full()
		waiting = waiting || full.Any()
		due, err := w.db.DueDeliveries(ctx, window, full)
		if err != nil {
			w.cannot(ctx, err)
			return begun, waiting
		}
		chosen := map[id.Delivery]outbox.Delivery{}
		for _, d := range due {
			if w.room.enter(d) {
				chosen[d.ID] = d
			} else {
				waiting = true
			}
		}
		if len(chosen) > 0 {
			taken, err := w.db.LeaseDeliveries(ctx, len(chosen), lease, slices.Collect(maps.Keys(chosen))...)
			for _, d := range taken {
				delete(chosen, d.ID)
				begun++
				tries.Go(func() {
					defer w.leave(d)
					w.try(ctx, d)
				})
			}
			for _, d := range chosen { // another node was quicker
				w.room.leave(d)
			}
			if err != nil {
				w.cannot(ctx, err)
			}
			if err != nil || len(taken) == 0 {
				return begun, waiting
			}
		}
		if len(due) < window {
			return begun, waiting
		}
	}
	return begun, waiting
}

func (w *Worker) leave(d outbox.Delivery) {
	w.room.leave(d)
	select {
	case w.ended <- struct{}{}:
	default: // it is told already
	}
}

func (w *Worker) cannot(ctx context.Context, err error) {
	if ctx.Err() == nil {
		w.log.Error("deliveries cannot be read", "error", err)
	}
}

// try carries out one delivery and notes how it went. A try that has begun is finished even when the node is stopping.
func (w *Worker) try(ctx context.Context, d outbox.Delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
	defer cancel()
	receipt, err := w.handle(ctx, d)
	log := w.log.With("delivery", d.ID, "kind", d.Kind, "organization", d.Organization, "attempt", d.Attempts)
	noted, stop := context.WithTimeout(context.WithoutCancel(ctx), lease-attempt)
	defer stop()
	if err == nil {
		if err := w.db.Delivered(noted, d, receipt); err != nil {
			log.Error("a receipt cannot be kept; the delivery will be tried again", "error", err)
		}
		return
	}
	var again time.Time
	if d.Attempts < outbox.MaxAttempts && mayPass(err) {
		// A tenth more or less, so that what failed together does not come back together.
		wait := outbox.Backoff(d.Attempts)
		again = w.db.Now().Add(wait - wait/10 + rand.N(wait/5))
	}
	log.Warn("a delivery failed", "error", err, "again", again)
	if err := w.db.Undelivered(noted, d, sentence(err), again); err != nil {
		log.Error("a failed delivery cannot be noted", "error", err)
	}
}

func (w *Worker) handle(ctx context.Context, d outbox.Delivery) (receipt json.RawMessage, err error) {
	h := w.handlers[d.Kind]
	if h == nil {
		// Perhaps a newer node's kind: it is left for that node, which tries sooner or later.
		return nil, fault.New(fault.Unavailable, "This node does not know deliveries of the kind %s.", d.Kind)
	}
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("a delivery panicked", "delivery", d.ID, "kind", d.Kind, "panic", p, "stack", string(debug.Stack()))
			err = errors.New("it panicked")
		}
	}()
	return h(ctx, d)
}

// mayPass reports whether the same message may be taken at another time.
func mayPass(err error) bool {
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable, fault.TooMany:
		return true
	default:
		return false
	}
}

// sentence is what the receipt shows of a failure.
func sentence(err error) string {
	if f := fault.As(err); f != nil {
		return f.Message
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "It took too long."
	}
	return "It failed for a reason that stands in the log."
}

// repeat runs one periodic work until ctx ends.
func (w *Worker) repeat(ctx context.Context, p periodic) {
	for {
		if err := w.Once(ctx, p.name); err != nil && ctx.Err() == nil {
			w.log.Error("periodic work failed", "work", p.name, "error", err)
		}
		// Nodes spread over the interval instead of meeting at its start.
		pause := time.NewTimer(p.every/2 + rand.N(p.every/2))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// Once runs the periodic work of that name if no node has in this interval. The interval's first hit of a counter in the
// store is the lease.
func (w *Worker) Once(ctx context.Context, name string) error {
	for _, p := range w.periodic {
		if p.name != name {
			continue
		}
		hits, err := w.db.Hit(ctx, "job/"+p.name, p.every)
		if err != nil || hits > 1 {
			return err
		}
		return w.guarded(ctx, p)
	}
	return fmt.Errorf("there is no periodic work %q", name)
}

func (w *Worker) guarded(ctx context.Context, p periodic) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s panicked: %v\n%s", p.name, r, debug.Stack())
		}
	}()
	return p.run(ctx)
}

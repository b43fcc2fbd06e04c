package simulate

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Report is what a run saw.
type Report struct {
	Dialect       Dialect
	Base          string
	Users, Groups int
	Took          time.Duration
	Retries       int // after 429 and 503
	Requests      []Requests
	Findings      []Finding
	// Stopped is why the run ended early; nil when it played to the end.
	Stopped error
}

// Requests are those of one kind.
type Requests struct {
	Kind          string
	Count         int
	P50, P99, Max time.Duration
}

// Finding is something the provider would not understand, or that the server did not keep. Those alike are one, with the
// first as the example.
type Finding struct {
	Phase   string
	Row     Row
	Problem string
	Request string
	Answer  string
	Count   int

	phase, order int
}

// Clean says that the run played to the end and that nothing was found.
func (r *Report) Clean() bool { return r.Stopped == nil && len(r.Findings) == 0 }

// stats collects requests and findings of the workers.
type stats struct {
	mu       sync.Mutex // guards all below
	took     map[string][]time.Duration
	total    int
	retries  int
	findings []*Finding
}

func (s *stats) add(kind string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took[kind] = append(s.took[kind], took)
	s.total++
}

func (s *stats) retried() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retries++
}

func (s *stats) counts() (requests, findings int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total, len(s.findings)
}

func (s *stats) found(f Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.findings {
		if other.phase != f.phase || other.Row.ID != f.Row.ID || other.Problem != f.Problem {
			continue
		}
		// The example is the first of the directory, not of the clock: a run can be repeated.
		if f.order < other.order {
			other.Request, other.Answer, other.order = f.Request, f.Answer, f.order
		}
		other.Count++
		return
	}
	f.Count = 1
	s.findings = append(s.findings, &f)
}

func (s *stats) report(r *Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for kind, took := range s.took {
		slices.Sort(took)
		at := func(q int) time.Duration { return took[(len(took)-1)*q/100] }
		r.Requests = append(r.Requests, Requests{Kind: kind, Count: len(took), P50: at(50), P99: at(99), Max: took[len(took)-1]})
	}
	slices.SortFunc(r.Requests, func(a, b Requests) int { return cmp.Compare(a.Kind, b.Kind) })
	for _, f := range s.findings {
		r.Findings = append(r.Findings, *f)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.order, b.order), cmp.Compare(a.Row.ID, b.Row.ID), cmp.Compare(a.Problem, b.Problem))
	})
	r.Retries = s.retries
}

// Print writes the report for a person.
func (r *Report) Print(w io.Writer) {
	var b strings.Builder
	count := 0
	for _, q := range r.Requests {
		count += q.Count
	}
	fmt.Fprintf(&b, "%s against %s: %d users, %d groups, %d requests in %s\n\n", r.Dialect.Product, r.Base, r.Users, r.Groups, count, r.Took.Round(time.Millisecond))
	fmt.Fprintf(&b, "  %-34s %7s %10s %10s %10s\n", "requests", "count", "p50", "p99", "max")
	for _, q := range r.Requests {
		fmt.Fprintf(&b, "  %-34s %7d %10s %10s %10s\n", q.Kind, q.Count, short(q.P50), short(q.P99), short(q.Max))
	}
	if r.Retries > 0 {
		fmt.Fprintf(&b, "  %d times the server asked for patience (429 or 503) and was asked again\n", r.Retries)
	}
	for i, f := range r.Findings {
		fmt.Fprintf(&b, "\n%d. %s: %s", i+1, f.Phase, f.Problem)
		if f.Count > 1 {
			fmt.Fprintf(&b, " (%d times; the first:)", f.Count)
		}
		b.WriteByte('\n')
		for _, part := range []struct{ name, text string }{
			{"sent", f.Request},
			{"came", f.Answer},
			{"why it matters", f.Row.Breaks},
			{"known from", f.Row.Source + " (" + f.Row.ID + ": " + f.Row.Sends + ")"},
		} {
			fmt.Fprintf(&b, "   %s: %s\n", part.name, strings.ReplaceAll(strings.TrimSpace(part.text), "\n", "\n     "))
		}
	}
	switch {
	case r.Stopped != nil:
		fmt.Fprintf(&b, "\nThe run stopped early: %v\n", r.Stopped)
	case len(r.Findings) == 0:
		fmt.Fprintf(&b, "\nClean: %s would get on with this server.\n", r.Dialect.Product)
	default:
		fmt.Fprintf(&b, "\n%d kinds of answers that %s would not get on with.\n", len(r.Findings), r.Dialect.Product)
	}
	_, _ = io.WriteString(w, b.String())
}

func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// Progress is where a run stands.
type Progress struct {
	Phase              string
	Done, Of           int
	Requests, Findings int
}

// Show gives a Progress function that writes to w: on a terminal one line that changes, elsewhere a line for each phase.
func Show(w io.Writer, terminal bool, now func() time.Time) func(Progress) {
	var mu sync.Mutex
	var last time.Time
	return func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		over := p.Done == p.Of
		line := fmt.Sprintf("%-12s %d/%d, %d requests, %d findings", p.Phase, p.Done, p.Of, p.Requests, p.Findings)
		switch {
		case terminal && over:
			_, _ = fmt.Fprintf(w, "\r\x1b[K%s\n", line)
		case terminal && now().Sub(last) >= 50*time.Millisecond:
			last = now()
			_, _ = fmt.Fprintf(w, "\r\x1b[K%s", line)
		case !terminal && over:
			_, _ = fmt.Fprintln(w, line)
		}
	}
}

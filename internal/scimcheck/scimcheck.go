// Package scimcheck walks a SCIM server, any server, and says where it keeps to RFC 7643, RFC 7644 and RFC 9865 and where
// not: discovery, creating, reading, replacing, patching and deleting users and groups, filters, projection, paging, entity
// tags, errors, and bulk, sorting and cursors where the server says that it has them.
//
// A check has an id, the clause it stands on, and a force: what the clause makes of it, or "choice" where the standard
// leaves it open or says two things and a good server has to choose. A check that fails says what was sent, what came and
// what should have come. What a server does not advertise is not held against it.
//
// Every record has a name that begins with Prefix, and is removed at the end. No other record is read by its id or written.
package scimcheck

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Prefix begins the name of every record that a walk makes.
const Prefix = "vestibule-check-"

// Force is what the standard makes of a check.
type Force string

// The forces.
const (
	Must   Force = "MUST"
	Should Force = "SHOULD"
	Choice Force = "choice"
)

// Outcome is how a check went.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// Result is what one check found.
type Result struct {
	ID      string  `json:"id"`
	Force   Force   `json:"force"`
	Clause  string  `json:"clause"`
	Title   string  `json:"title"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // why it was skipped
	Sent    string  `json:"sent,omitempty"`
	Came    string  `json:"came,omitempty"`
	Wanted  string  `json:"wanted,omitempty"`
}

// Report is what a walk found.
type Report struct {
	Base    string        `json:"base"`
	Took    time.Duration `json:"took"`
	Results []Result      `json:"results"`
	// LeftBehind are records that could not be removed.
	LeftBehind []string `json:"leftBehind,omitempty"`
}

// FailedMust counts the failed checks of that force.
func (r *Report) FailedMust() int { return r.count(Failed, Must) }

func (r *Report) count(o Outcome, f Force) int {
	n := 0
	for _, x := range r.Results {
		if x.Outcome == o && x.Force == f {
			n++
		}
	}
	return n
}

// Options say what is walked.
type Options struct {
	Base, Token string
	HTTP        *http.Client // nil: one of its own, which follows no redirects
	Progress    func(done, of int, id string)
	Now         func() time.Time
}

// check is one row of the tables.
type check struct {
	id     string
	force  Force
	clause string
	title  string
	needs  feature
	run    func(*step)
}

// feature is what a server may not have.
type feature string

const (
	always     feature = ""
	patching   feature = "patch"
	filtering  feature = "filter"
	sorting    feature = "sort"
	tagging    feature = "etag"
	bulking    feature = "bulk"
	cursors    feature = "cursor"
	grouping   feature = "groups"
	enterprise feature = "enterprise"
)

// walk is one walk under way.
type walk struct {
	Options
	base string
	mark string // in every name of this walk
	has  map[feature]bool
	made []string // paths to remove
	n    int
}

// Run walks a server. The error says why it could not be walked at all.
func Run(ctx context.Context, o Options) (*Report, error) {
	u, err := url.Parse(o.Base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fault.New(fault.Invalid, "The base %q is not the http or https address of a SCIM root.", o.Base)
	}
	if o.HTTP == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		defer transport.CloseIdleConnections()
		o.HTTP = &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string) {}
	}
	var mark [4]byte
	_, _ = rand.Read(mark[:]) // it never fails
	w := &walk{Options: o, base: strings.TrimRight(o.Base, "/"), mark: hex.EncodeToString(mark[:])}
	began := o.Now()
	if err := w.discover(ctx); err != nil {
		return nil, err
	}
	report := &Report{Base: w.base}
	tables := slices.Concat(discoveryChecks, httpChecks, createChecks, readChecks, listChecks, filterChecks, replaceChecks, patchChecks, deleteChecks, groupChecks, searchChecks, bulkChecks)
	for i, c := range tables {
		if ctx.Err() != nil {
			break
		}
		report.Results = append(report.Results, w.play(ctx, c))
		o.Progress(i+1, len(tables), c.id)
	}
	report.LeftBehind = w.cleanup(context.WithoutCancel(ctx))
	report.Took = o.Now().Sub(began)
	if err := context.Cause(ctx); err != nil {
		left := "its records were removed"
		if len(report.LeftBehind) > 0 {
			left = "these records could not be removed: " + strings.Join(report.LeftBehind, ", ")
		}
		return nil, fault.Wrap(err, fault.Unavailable, "The walk was interrupted; %s.", left)
	}
	return report, nil
}

func (w *walk) play(ctx context.Context, c check) Result {
	r := Result{ID: c.id, Force: c.force, Clause: c.clause, Title: c.title, Outcome: Passed}
	if c.needs != always && !w.has[c.needs] {
		r.Outcome, r.Reason = Skipped, "the server does not advertise "+string(c.needs)
		return r
	}
	s := &step{w: w, ctx: ctx}
	c.run(s)
	switch {
	case s.skipped != "":
		r.Outcome, r.Reason = Skipped, s.skipped
	case s.wanted != "":
		r.Outcome, r.Wanted, r.Sent, r.Came = Failed, s.wanted, s.sent, s.came
	}
	return r
}

// discover reads what the server says it has. Without its word it is taken to have what the core of the protocol is.
func (w *walk) discover(ctx context.Context) error {
	s := &step{w: w, ctx: ctx}
	w.has = map[feature]bool{patching: true, filtering: true, grouping: true, enterprise: true}
	config := s.get("/ServiceProviderConfig")
	if s.broken != nil {
		return fault.Wrap(s.broken, fault.Unavailable, "%s does not answer.", w.base)
	}
	if config.status == http.StatusUnauthorized || config.status == http.StatusForbidden {
		return fault.New(fault.Unauthenticated, "The server refuses the token with %d.", config.status)
	}
	if config.status == http.StatusOK {
		for _, f := range []feature{patching, filtering, sorting, tagging, bulking} {
			w.has[f] = at(config.body, string(f)+".supported") == true
		}
		w.has[cursors] = at(config.body, "pagination.cursor") == true
	}
	if types := s.get("/ResourceTypes"); types.status == http.StatusOK && len(types.resources()) > 0 {
		w.has[grouping], w.has[enterprise] = false, false
		for _, t := range types.resources() {
			w.has[grouping] = w.has[grouping] || t["schema"] == coreGroup
			extensions, _ := t["schemaExtensions"].([]any)
			for _, x := range extensions {
				w.has[enterprise] = w.has[enterprise] || at(x, "schema") == enterpriseUser
			}
		}
	}
	return nil
}

// cleanup removes what was made, last things first, and says what it could not remove.
func (w *walk) cleanup(ctx context.Context) []string {
	ctx, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	var left []string
	for _, path := range slices.Backward(w.made) {
		s := &step{w: w, ctx: ctx}
		if a := s.send("DELETE", path, nil); a.status != http.StatusNoContent && a.status != http.StatusNotFound && a.status != http.StatusOK {
			left = append(left, path)
		}
	}
	return left
}

// Print writes the report for a person.
func (r *Report) Print(out io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d checks in %s\n\n", r.Base, len(r.Results), r.Took.Round(time.Millisecond))
	for _, x := range r.Results {
		word := map[Outcome]string{Passed: "ok", Failed: "FAIL", Skipped: "skip"}[x.Outcome]
		fmt.Fprintf(&b, "%-4s %-5s %-6s %-14s %s\n", word, x.ID, x.Force, x.Clause, x.Title)
		for _, part := range [][2]string{{"because", x.Reason}, {"sent", x.Sent}, {"came", x.Came}, {"wanted", x.Wanted}} {
			if part[1] != "" {
				fmt.Fprintf(&b, "       %s: %s\n", part[0], strings.ReplaceAll(part[1], "\n", "\n         "))
			}
		}
	}
	b.WriteByte('\n')
	for _, f := range []Force{Must, Should, Choice} {
		fmt.Fprintf(&b, "%-6s %3d passed, %d failed, %d skipped\n", f, r.count(Passed, f), r.count(Failed, f), r.count(Skipped, f))
	}
	if len(r.LeftBehind) > 0 {
		fmt.Fprintf(&b, "\nThese records of the walk could not be removed: %s\n", strings.Join(r.LeftBehind, ", "))
	}
	_, _ = io.WriteString(out, b.String())
}

// JSON writes the report for a program.
func (r *Report) JSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		*Report
		Took       string `json:"took"`
		FailedMust int    `json:"failedMust"`
	}{r, r.Took.Round(time.Millisecond).String(), r.FailedMust()})
}

func sorted(s []string) []string {
	out := slices.Clone(s)
	slices.SortFunc(out, cmp.Compare[string])
	return out
}

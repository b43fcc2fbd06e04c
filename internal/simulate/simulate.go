package simulate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Options say what is played against whom.
type Options struct {
	Dialect       string
	Base, Token   string
	Users, Groups int
	Seed          uint64
	Concurrency   int
	Cleanup       bool

	HTTP     *http.Client     // nil: one of its own, which follows no redirects
	Progress func(Progress)   // nil: silence
	Now      func() time.Time // nil: the clock
}

// run is one run under way.
type run struct {
	Options
	dialect *Dialect
	base    string
	stats   stats
	people  []*person
	groups  []*group
	stop    context.CancelCauseFunc
	name    string // of the phase
	phase   int
}

// Run plays a dialect's cycle. The error says why nothing could be played; what the server did wrong stands in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	d, ok := Named(o.Dialect)
	if !ok {
		return nil, fault.New(fault.Invalid, "There is no dialect %q; there are %s.", o.Dialect, strings.Join(Names(), ", "))
	}
	u, err := url.Parse(o.Base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fault.New(fault.Invalid, "The base %q is not the http or https address of a SCIM root.", o.Base)
	}
	if o.Users < 1 || o.Groups < 0 || o.Users > 1_000_000 || o.Groups > 100_000 {
		return nil, fault.New(fault.Invalid, "A run has 1 to 1,000,000 users and 0 to 100,000 groups.")
	}
	o.Concurrency = max(o.Concurrency, 1)
	if o.HTTP == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = o.Concurrency
		defer transport.CloseIdleConnections()
		// A provider does not follow a redirect with a body and a token.
		o.HTTP = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if !d.groups {
		o.Groups = 0
	}
	began := o.Now()
	playing, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &run{Options: o, dialect: d, base: strings.TrimRight(o.Base, "/"), stop: stop, stats: stats{took: map[string][]time.Duration{}}}
	r.people, r.groups = directory(o)
	r.play(playing)
	if r.Cleanup {
		// Also after an interrupt: what was made here is taken away.
		cleaning, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		cleaning, r.stop = context.WithCancelCause(cleaning)
		r.cleanup(cleaning)
		r.stop(nil)
		done()
	}
	report := &Report{Dialect: *d, Base: r.base, Users: o.Users, Groups: o.Groups, Took: o.Now().Sub(began)}
	if playing.Err() != nil {
		report.Stopped = context.Cause(playing)
	}
	r.stats.report(report)
	return report, nil
}

func (r *run) suffix() string { return strconv.FormatUint(r.Seed, 10) }

// dialogue is the exchange about one person or group.
type dialogue struct {
	r   *run
	ctx context.Context //nolint:containedctx // it lives no longer than the exchange
	n   int
}

func (x *dialogue) do(c call) (answer, bool) { return x.r.do(x.ctx, x.n, c) }

func (x *dialogue) found(c call, a answer, problem string) { x.r.found(x.n, c, a.String(), problem) }

// do sends a call and judges the answer; false where the provider would not go on with it.
func (r *run) do(ctx context.Context, n int, c call) (answer, bool) {
	if ctx.Err() != nil {
		return answer{}, false
	}
	a, err := r.send(ctx, c)
	if err != nil {
		if ctx.Err() == nil {
			r.found(n, c, err.Error(), "no answer came")
			r.stop(fmt.Errorf("%s %s: %w", c.method, c.path, err))
		}
		return answer{}, false
	}
	if err := understood(c, a); err != nil {
		r.found(n, c, a.String(), err.Error())
		if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
			// No provider goes on with a credential that does not hold.
			r.stop(fmt.Errorf("%s %s: the server refuses the token with %d", c.method, c.path, a.status))
		}
		return a, false
	}
	return a, true
}

func (r *run) found(n int, c call, came, problem string) {
	r.stats.found(Finding{Phase: r.name, phase: r.phase, order: n, Row: r.dialect.row(c.row), Problem: problem, Request: c.String(), Answer: came})
}

// each runs a phase: f for 0 to n-1, several at once.
func (r *run) each(ctx context.Context, name string, n int, f func(*dialogue)) {
	r.name, r.phase = name, r.phase+1
	if n == 0 || ctx.Err() != nil {
		return
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	done, next := 0, make(chan int)
	for range min(r.Concurrency, n) {
		wg.Go(func() {
			for i := range next {
				f(&dialogue{r, ctx, i})
				mu.Lock()
				done++
				requests, findings := r.stats.counts()
				r.Progress(Progress{Phase: name, Done: done, Of: n, Requests: requests, Findings: findings})
				mu.Unlock()
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func (r *run) play(ctx context.Context) {
	d := r.dialect
	r.each(ctx, "probe", 1, func(x *dialogue) { d.probe(x) })
	r.each(ctx, "push", len(r.people), r.push)
	r.each(ctx, "duplicate", min(1, len(r.people)), r.duplicate)
	r.each(ctx, "groups", len(r.groups), r.pushGroup)
	boss := r.people[0].id
	r.each(ctx, "change", len(r.people), func(x *dialogue) {
		p := r.people[x.n]
		next := []string{title, titles[(p.n+1)%len(titles)], department, departments[p.n%len(departments)], country, "DE"}
		if p.n > 0 && boss != "" {
			next = append(next, manager, boss)
		}
		r.alter(x, p.with(next...))
	})
	r.each(ctx, "rename", len(r.people)+len(r.groups), func(x *dialogue) {
		if x.n >= len(r.people) {
			r.renameGroup(x, r.groups[x.n-len(r.people)])
			return
		}
		if p := r.people[x.n]; renamed(p) {
			// The manager goes at the same time, in the odd half.
			boss := p.at(manager)
			if p.n%2 == 1 {
				boss = ""
			}
			r.alter(x, p.with(userName, married(p), email, married(p), familyName, "Married", display, p.at(givenName)+" Married", manager, boss))
		}
	})
	r.each(ctx, "membership", len(r.groups), r.move)
	leavers := r.pick(func(p *person) bool { return p.active && p.n%5 == 4 })
	r.each(ctx, "deactivate", len(leavers), func(x *dialogue) { r.setActive(x, leavers[x.n], false) })
	back := r.pick(func(p *person) bool { return !p.active && (p.n/5)%2 == 0 })
	r.each(ctx, "reactivate", len(back), func(x *dialogue) { r.setActive(x, back[x.n], true) })
	gone := r.pick(func(p *person) bool { return d.deletes && !p.active })
	r.each(ctx, "delete", len(gone), func(x *dialogue) { r.deleteUser(x, gone[x.n]) })
	for _, p := range gone {
		for _, g := range r.groups {
			delete(g.members, p.id)
		}
	}
	if over := len(r.groups) - 1; over > 0 {
		r.each(ctx, "unlink", 1, func(x *dialogue) { r.deleteGroup(x, r.groups[over]) })
	}
	if d.pages {
		r.each(ctx, "import", 1, r.walk)
	}
	r.each(ctx, "resync", len(r.people)+len(r.groups), func(x *dialogue) {
		if x.n < len(r.people) {
			r.again(x, r.people[x.n])
		} else {
			r.groupAgain(x, r.groups[x.n-len(r.people)])
		}
	})
}

func renamed(p *person) bool { return p.n%3 == 1 }

// married is the userName after the rename, as the seed has it.
func married(p *person) string {
	login, domain, _ := strings.Cut(p.at(userName), "@")
	given, rest, _ := strings.Cut(login, ".")
	_, number, _ := strings.Cut(rest, ".")
	return given + ".married." + number + "@" + domain
}

// pick lists people the server knows.
func (r *run) pick(f func(*person) bool) []*person {
	var out []*person
	for _, p := range r.people {
		if p.id != "" && !p.deleted && f(p) {
			out = append(out, p)
		}
	}
	return out
}

// push looks somebody up and creates them, or adopts whom an earlier run left behind.
func (r *run) push(x *dialogue) {
	p := r.people[x.n]
	if r.dialect.bornDisabled && p.n%7 == 6 {
		p.active = false
	}
	found, ok := r.lookUp(x, r.dialect.find(p.at(userName)))
	if !ok {
		return
	}
	if found == nil && renamed(p) {
		c := r.dialect.find(married(p))
		c.ours = true
		if found, ok = r.lookUp(x, c); !ok {
			return
		}
	}
	if found != nil {
		r.adopt(x, p, found)
		return
	}
	c := r.dialect.create(p)
	a, ok := x.do(c)
	if !ok {
		return
	}
	p.id = a.id()
	// What the provider's create did not carry is not there yet.
	r.people[x.n] = r.carried(p)
	r.verify(x.ctx, x.n, r.people[x.n], c)
}

// carried leaves of a person only what the dialect sends.
func (r *run) carried(p *person) *person {
	var drop []string
	for path := range p.attributes {
		if !slices.Contains(r.dialect.attributes, path) {
			drop = append(drop, path, "")
		}
	}
	return p.with(drop...)
}

// lookUp gives the one resource of a list, nil where there is none.
func (r *run) lookUp(x *dialogue, c call) (object, bool) {
	a, ok := x.do(c)
	if !ok {
		return nil, false
	}
	resources := a.resources()
	switch {
	case len(resources) == 0:
		return nil, true
	case len(resources) > 1:
		x.found(c, a, "a filter for one name finds several")
		return nil, false
	}
	if id, _ := resources[0]["id"].(string); id == "" {
		x.found(c, a, "a resource in the list has no id")
		return nil, false
	}
	if wanted, got := r.filtered(c), fmt.Sprint(resources[0]["userName"], resources[0]["displayName"]); !strings.Contains(strings.ToLower(got), strings.ToLower(wanted)) {
		x.found(c, a, "a filter for one name finds another")
		return nil, false
	}
	return resources[0], true
}

// filtered is the name that a lookup asks for.
func (r *run) filtered(c call) string {
	u, err := url.Parse(c.path)
	if err != nil {
		return ""
	}
	_, value, _ := strings.Cut(u.Query().Get("filter"), `"`)
	return strings.TrimSuffix(value, `"`)
}

func (r *run) adopt(x *dialogue, p *person, found object) {
	p = r.carried(p)
	p.id = found["id"].(string)
	old := p.with()
	old.active, _ = found["active"].(bool)
	old.attributes = map[string]string{}
	for _, path := range r.dialect.attributes {
		if v, err := stored(found, path); err == nil && v != "" {
			old.attributes[path] = v
		}
	}
	r.people[x.n] = old
	if old.active != p.active {
		r.setActive(x, old, p.active)
	}
	next := p.with()
	next.active = r.people[x.n].active
	for path, v := range old.attributes {
		if next.at(path) == "" {
			next.attributes[path] = v // a provider does not clear what it was never told of
		}
	}
	r.alter(x, next)
}

// alter brings a person from what the server holds to next.
func (r *run) alter(x *dialogue, next *person) {
	old := r.people[x.n]
	next = r.carried(next)
	if old.id == "" || old.deleted || len(r.dialect.changed(old, next)) == 0 {
		return
	}
	next.id = old.id
	current, ok := r.current(x, old)
	if !ok {
		return
	}
	var last call
	for _, c := range r.dialect.change(current, old, next) {
		last = c
		if _, ok := x.do(c); !ok {
			return
		}
	}
	r.people[x.n] = next
	r.verify(x.ctx, x.n, next, last)
}

// current reads a person for the dialects that do before they change anything.
func (r *run) current(x *dialogue, p *person) (object, bool) {
	if !r.dialect.reads {
		return nil, true
	}
	a, ok := x.do(call{row: r.dialect.changeRow, method: "GET", path: userPath(p), want: []int{200}, shape: resource})
	return a.body, ok
}

func (r *run) setActive(x *dialogue, p *person, active bool) {
	current, ok := r.current(x, p)
	if !ok {
		return
	}
	next := p.with()
	next.active = active
	var last call
	for _, c := range r.dialect.active(current, next) {
		last = c
		if _, ok := x.do(c); !ok {
			return
		}
	}
	r.people[p.n] = next
	r.verify(x.ctx, x.n, next, last)
	if active {
		return
	}
	c := r.dialect.find(next.at(userName))
	if found, ok := r.lookUp(x, c); ok && found == nil {
		r.found(x.n, c, "nobody", "a disabled person is not found any more, and would be created again")
	}
}

func (r *run) duplicate(x *dialogue) {
	p := r.people[0]
	if p.id == "" {
		return
	}
	c := r.dialect.create(p)
	c.want, c.shape = []int{http.StatusConflict}, anything
	if r.dialect.row("N4").Source != "" {
		c.row = "N4"
	} else if r.dialect.row("O4").Source != "" {
		c.row = "O4"
	}
	a, ok := x.do(c)
	if !ok && a.status == http.StatusCreated && a.id() != "" && a.id() != p.id {
		// The second record is in the way of everything that follows.
		x.do(call{row: c.row, method: "DELETE", path: "/Users/" + url.PathEscape(a.id()), want: []int{204}, ours: true})
	}
}

// verify reads a person back.
func (r *run) verify(ctx context.Context, n int, p *person, last call) {
	x := &dialogue{r, ctx, n}
	c := call{row: last.row, method: "GET", path: userPath(p), want: []int{200}, shape: resource, ours: true}
	a, ok := x.do(c)
	if !ok {
		return
	}
	differs := func(row, what, sent string) {
		sentBy := last
		sentBy.row = row
		if sentBy.method == "" {
			sentBy = c
			sentBy.row = row
		}
		r.found(n, sentBy, a.String()+"\nwanted: "+what+" "+sent, "reading back gives another "+what)
	}
	if a.id() != p.id {
		differs(last.row, "id", quote(p.id))
	}
	if active, ok := a.body["active"].(bool); a.body["active"] != nil && !ok {
		differs(last.row, "type of active", "true or false")
	} else if active != p.active && (ok || !p.active) {
		differs(last.row, "active", strconv.FormatBool(p.active))
	}
	for _, path := range r.dialect.attributes {
		row := last.row
		if last.method == "PATCH" {
			row = r.dialect.attributeRow(path)
		}
		got, err := stored(a.body, path)
		if err != nil {
			differs(row, "type of "+path, err.Error())
		} else if got != p.at(path) {
			differs(row, path, quote(p.at(path)))
		}
	}
}

// pushGroup looks a group up, creates or adopts it, and fills it.
func (r *run) pushGroup(x *dialogue) {
	g, d := r.groups[x.n], r.dialect
	found, ok := r.lookUp(x, d.findG(g.name))
	if !ok {
		return
	}
	if found == nil {
		c := d.findG(newName(g))
		c.ours = true
		if found, ok = r.lookUp(x, c); !ok {
			return
		}
	}
	if found != nil {
		g.id = found["id"].(string)
		a, ok := x.do(call{row: d.createG(g).row, method: "GET", path: groupPath(g), want: []int{200}, shape: resource, ours: true})
		if !ok {
			g.id = ""
			return
		}
		g.members = memberIDs(a.body)
		for _, c := range d.renameG(g) {
			x.do(c)
		}
	} else {
		a, ok := x.do(d.createG(g))
		if !ok {
			return
		}
		g.id = a.id()
	}
	wanted := map[string]bool{}
	for _, p := range r.people {
		if p.id != "" && (p.n%len(r.groups) == g.n || (p.n*7+3)%len(r.groups) == g.n) {
			wanted[p.id] = true
		}
	}
	var add, remove []string
	for id := range wanted {
		if !g.members[id] {
			add = append(add, id)
		}
	}
	for id := range g.members {
		if !wanted[id] {
			remove = append(remove, id)
		}
	}
	slices.Sort(add)
	slices.Sort(remove)
	if found == nil && len(add) > 0 {
		r.regroup(x, g, d.fill(g, add), add, nil)
	} else if len(add)+len(remove) > 0 {
		r.regroup(x, g, d.members(g, add, remove), add, remove)
	}
}

// regroup sends calls that change a group's members, and reads it back.
func (r *run) regroup(x *dialogue, g *group, calls []call, add, remove []string) {
	var last call
	for _, c := range calls {
		last = c
		if _, ok := x.do(c); !ok {
			return
		}
	}
	for _, id := range add {
		g.members[id] = true
	}
	for _, id := range remove {
		delete(g.members, id)
	}
	r.verifyGroup(x, g, last)
}

func newName(g *group) string { return g.name + ", renamed" }

func (r *run) renameGroup(x *dialogue, g *group) {
	if g.id == "" {
		return
	}
	g.name = newName(g)
	r.regroup(x, g, r.dialect.renameG(g), nil, nil)
}

// move lets one member leave a group and another come.
func (r *run) move(x *dialogue) {
	g := r.groups[x.n]
	if g.id == "" || len(g.members) == 0 {
		return
	}
	out := []string{g.ids()[0]}
	var in []string
	for _, p := range r.people {
		if p.id != "" && !g.members[p.id] {
			in = append(in, p.id)
			break
		}
	}
	r.regroup(x, g, r.dialect.members(g, in, out), in, out)
}

func memberIDs(group object) map[string]bool {
	out := map[string]bool{}
	items, _ := group["members"].([]any)
	for _, item := range items {
		m, _ := item.(object)
		if id, ok := m["value"].(string); ok {
			out[id] = true
		}
	}
	return out
}

func (r *run) verifyGroup(x *dialogue, g *group, last call) {
	a, ok := x.do(call{row: last.row, method: "GET", path: groupPath(g), want: []int{200}, shape: resource, ours: true})
	if !ok {
		return
	}
	if a.body["displayName"] != g.name {
		r.found(x.n, last, a.String()+"\nwanted: "+quote(g.name), "reading back gives another displayName")
	}
	got := memberIDs(a.body)
	missing, extra := 0, 0
	for id := range g.members {
		if !got[id] {
			missing++
		}
	}
	gone := false
	for id := range got {
		if !g.members[id] {
			extra++
			gone = gone || slices.ContainsFunc(r.people, func(p *person) bool { return p.deleted && p.id == id })
		}
	}
	came := fmt.Sprintf("%s\nwanted: %d members; %d of them are missing, %d others are there", a, len(g.members), missing, extra)
	switch {
	case len(got) == 0 && len(g.members) > 0:
		r.found(x.n, last, came, "the group is empty now")
	case missing > 0:
		r.found(x.n, last, came, "members are missing")
	case gone:
		removed := last
		removed.row = r.dialect.remove
		r.found(x.n, removed, came, "a deleted person is still a member")
	case extra > 0:
		r.found(x.n, last, came, "there are members who should not be")
	}
	if items, _ := a.body["members"].([]any); len(items) > len(got) {
		r.found(x.n, last, came, "somebody is a member twice")
	}
}

func (r *run) deleteUser(x *dialogue, p *person) {
	c := call{row: r.dialect.remove, method: "DELETE", path: userPath(p), want: []int{204}}
	a, ok := x.do(c)
	if !ok {
		return
	}
	next := p.with()
	next.deleted = true
	r.people[p.n] = next
	if found, ok := r.lookUp(x, r.dialect.find(p.at(userName))); ok && found != nil {
		x.found(c, a, "a deleted person is still found")
	}
	x.do(call{row: c.row, method: "GET", path: c.path, want: []int{404}, ours: true})
	// A provider that lost count deletes twice, and takes 404 for done.
	c.want = []int{404, 204}
	x.do(c)
}

func (r *run) deleteGroup(x *dialogue, g *group) {
	if g.id == "" {
		return
	}
	if all := g.ids(); len(all) > 0 {
		calls := r.dialect.members(g, nil, all)
		if r.dialect.row("O11").Source != "" {
			calls = r.dialect.fill(g, []string{}) // by an empty list
		}
		r.regroup(x, g, calls, nil, all)
	}
	c := call{row: r.dialect.removeG, method: "DELETE", path: groupPath(g), want: []int{204}}
	if _, ok := x.do(c); !ok {
		return
	}
	g.deleted = true
	x.do(call{row: c.row, method: "GET", path: c.path, want: []int{404}, ours: true})
}

// walk lists everybody page by page, as an import does.
func (r *run) walk(x *dialogue) {
	const size, most = 100, 100_000
	row := "O12"
	if r.dialect.row(row).Source == "" {
		row = r.dialect.find("").row
	}
	seen := map[string]int{}
	for start, pages := 1, 0; pages < most; pages++ {
		c := call{row: row, method: "GET", path: fmt.Sprintf("/Users?startIndex=%d&count=%d", start, size), want: []int{200}, shape: list}
		a, ok := x.do(c)
		if !ok {
			return
		}
		page := a.resources()
		for _, p := range page {
			id, _ := p["id"].(string)
			if seen[id]++; seen[id] == 2 {
				x.found(c, a, "somebody stands on two pages")
			}
		}
		start += len(page)
		total, _ := a.body["totalResults"].(float64)
		if len(page) == 0 || start > int(total) {
			if len(seen) < int(total) {
				x.found(c, a, "the pages hold fewer people than totalResults says")
			}
			lost := r.pick(func(p *person) bool { return seen[p.id] == 0 })
			if len(lost) > 0 {
				x.found(c, a, fmt.Sprintf("people who are there stand on no page (%s first)", lost[0].at(userName)))
			}
			return
		}
	}
}

// again looks somebody up once more: the same record, unchanged.
func (r *run) again(x *dialogue, p *person) {
	if p.id == "" || p.deleted {
		return
	}
	name := p.at(userName)
	if r.dialect.mixedCase && p.n%2 == 0 {
		name = strings.ToUpper(name)
	}
	c := r.dialect.find(name)
	found, ok := r.lookUp(x, c)
	if !ok {
		return
	}
	if found == nil || found["id"] != p.id {
		r.found(x.n, c, quote(found), "a person who is there is not found again, and would be created a second time")
		return
	}
	r.verify(x.ctx, x.n, p, c)
}

func (r *run) groupAgain(x *dialogue, g *group) {
	if g.id == "" || g.deleted {
		return
	}
	c := r.dialect.findG(g.name)
	found, ok := r.lookUp(x, c)
	if !ok {
		return
	}
	if found == nil || found["id"] != g.id {
		r.found(x.n, c, quote(found), "a group that is there is not found again, and would be created a second time")
		return
	}
	if strings.Contains(c.path, "excludedAttributes=members") && found["members"] != nil {
		r.found(x.n, c, quote(found), "members are answered although excludedAttributes names them")
	}
	// What is there already is sent once more: nothing may change.
	if all := g.ids(); len(all) > 0 {
		r.regroup(x, g, r.dialect.members(g, all[:1], nil), nil, nil)
	}
}

// cleanup deletes whatever the run made or adopted.
func (r *run) cleanup(ctx context.Context) {
	r.each(ctx, "cleanup", len(r.groups)+len(r.people), func(x *dialogue) {
		path := ""
		if x.n < len(r.groups) {
			if g := r.groups[x.n]; g.id != "" && !g.deleted {
				path = groupPath(g)
			}
		} else if p := r.people[x.n-len(r.groups)]; p.id != "" && !p.deleted {
			path = userPath(p)
		}
		if path == "" {
			return
		}
		c := call{row: "cleanup", method: "DELETE", path: path, want: []int{204, 404}, ours: true}
		a, err := r.send(ctx, c)
		switch {
		case err != nil && ctx.Err() == nil:
			r.stop(err)
			r.leftBehind(x.n, c, err.Error())
		case err == nil && !slices.Contains(c.want, a.status):
			r.leftBehind(x.n, c, a.String())
		}
	})
	if err := context.Cause(ctx); err != nil && errors.Is(err, context.DeadlineExceeded) {
		r.leftBehind(0, call{}, err.Error())
	}
}

func (r *run) leftBehind(n int, c call, came string) {
	row := Row{ID: "cleanup", Sends: "DELETE of what this run made", Breaks: "Records of this run were left behind.", Source: "this program"}
	r.stats.found(Finding{Phase: r.name, phase: r.phase, order: n, Row: row, Problem: "a record could not be removed", Request: c.String(), Answer: came})
}

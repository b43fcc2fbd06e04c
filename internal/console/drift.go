package console

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountDrift adds the pages about who is here although a directory may not know, and about its brake.
func (c *Console) mountDrift(r chi.Router) {
	const at = "/directories/{directory}"
	r.Get(at+"/drift", c.view("directories", "Drift", c.drift))
	r.Get(at+"/drift.csv", c.show(c.driftCSV))
	r.Get(at+"/wave", c.view("directories", "Brake", c.wave))
	r.Get(at+"/wave.csv", c.show(c.waveCSV))
	r.Get(at+"/wave/undo", c.show(c.undoDialog))
	r.Post(at+"/wave/undo", c.change(c.undoWave))
	r.Get(at+"/wave/release", c.view("directories", "Release", c.releaseDialog))
	r.Post(at+"/wave/release", c.change(c.releaseWave))
}

// driftFilter is what of a directory's drift is shown, as it stands in the address.
type driftFilter struct {
	Kind   store.Drift
	Groups bool
	Days   int
	Means  store.WalkMeans
}

func readDriftFilter(q url.Values) (driftFilter, error) {
	f := driftFilter{Kind: store.Drift(either(q.Get("kind"), string(store.DriftUnseen))), Groups: q.Get("of") == "groups", Days: 90, Means: store.WalkMeans(q.Get("means"))}
	if s := q.Get("days"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 3650 {
			return f, fault.New(fault.Invalid, "The number of days is a number from 1 to 3650, not %q.", s)
		}
		f.Days = n
	}
	return f, nil
}

func (f driftFilter) query(more ...string) []string {
	of := ""
	if f.Groups {
		of = "groups"
	}
	return append([]string{"kind", string(f.Kind), "of", of, "days", strconv.Itoa(f.Days), "means", string(f.Means)}, more...)
}

// driftWords says what a kind of drift is, and what one does about it.
var driftWords = map[store.Drift]struct{ name, about, do string }{
	store.DriftUnseen: {
		"Not met in the last full walk", "Active here, and the directory did not meet them when it last went through everybody it knows.",
		"Look for them at the provider. Still employed: assign them there again. Left: suspend them here; the directory will not tell.",
	},
	store.DriftStale: {
		"Stale", "Pushed and active, but neither changed by the directory nor seen here for so long.",
		"Ask whether they still need access. If not, take them out of the provider's assignment.",
	},
	store.DriftManual: {
		"No directory speaks for them", "Invited, signed in just in time, or made by an operator: when they leave, no directory says so.",
		"Have the provider push them: with the same key the record joins them. Otherwise suspend them when they leave.",
	},
	store.DriftOrphaned: {
		"Kept by an administrator", "Their directory dropped them or calls them inactive, and an administrator's word keeps them.",
		"Open the user and take the word back when it is no longer needed.",
	},
}

var groupDriftWords = map[store.Drift]struct{ name, about, do string }{
	store.DriftUnseen: {
		"Not met in the last full walk", "The directory did not meet these groups when it last went through all it knows.",
		"Look for the group at the provider. If it is gone there, its members keep what it gives until you take that away here.",
	},
	store.DriftStale: {
		"Stale", "Neither changed nor named by the directory for so long.",
		"Check at the provider that the group is still pushed.",
	},
	store.DriftManual: {
		"Made here", "Groups of this organization's own, and those that a sign-in's claims name.",
		"Nothing, as long as somebody here looks after their members.",
	},
}

// driftLine is somebody, or a group, of the list.
type driftLine struct {
	Name, Sub string
	Link      templ.SafeURL
	Status    statusLine
	Why       string
	Since     when
	LastSeen  when
	Members   int64
}

type driftPage struct {
	pushed
	Filter       driftFilter
	Kinds, Means []choice
	Walks        []walkLine
	Lines        []driftLine
	Next         string
	About, Do    string
}

// walkLine is a full walk in words.
type walkLine struct {
	How, Said string
	At        when
}

func (p *pushed) walkLine(w store.Walk, groups bool) walkLine {
	noun := "user"
	if groups {
		noun = "group"
	}
	l := walkLine{At: p.when(w.Finished, ""), How: "By name", Said: "It named " + plural(int(w.Seen), noun) + " one after the other"}
	if w.Means == store.WalkListed {
		l.How, l.Said = "By list", "It read its whole list of "+plural(int(w.Seen), noun)+" from the first page to the last"
	}
	if took := w.Finished.Sub(w.Started).Round(time.Second); took > 0 {
		l.Said += ", within " + took.String()
	}
	l.Said += "."
	return l
}

const driftPerPage = 50

// driftOf reads a part of a directory's drift: whom it shows needs both to set up and to see everybody.
func (c *Console) driftOf(v *visit, tx *store.Tx, limit int) (driftPage, string, error) {
	p, err := v.pushes(tx)
	if err != nil {
		return driftPage{}, "", err
	}
	if !v.viewer.everywhere(access.UsersRead) {
		return driftPage{}, "", fault.New(fault.Forbidden, "This page needs the permission %q for all of %s, and you do not hold it there. An administrator of %s can give you a role that carries it.",
			access.UsersRead, v.organization.Name, v.organization.Name)
	}
	d := driftPage{pushed: p}
	if d.Filter, err = readDriftFilter(v.r.URL.Query()); err != nil {
		return d, "", err
	}
	words := driftWords
	if d.Filter.Groups {
		words = groupDriftWords
	}
	if _, ok := driftWords[d.Filter.Kind]; !ok {
		return d, "", fault.New(fault.Invalid, "There is no such list.")
	}
	if _, ok := words[d.Filter.Kind]; !ok {
		d.Filter.Kind = store.DriftUnseen // a kind that groups do not have, chosen before
	}
	for _, k := range []store.Drift{store.DriftUnseen, store.DriftStale, store.DriftManual, store.DriftOrphaned} {
		if w, ok := words[k]; ok {
			d.Kinds = append(d.Kinds, choice{string(k), w.name, k == d.Filter.Kind})
		}
	}
	d.About, d.Do = words[d.Filter.Kind].about, words[d.Filter.Kind].do

	walks, err := tx.Walks(v.ctx, p.Directory.ID, d.Filter.Groups)
	if err != nil {
		return d, "", err
	}
	q := store.DriftQuery{Directory: p.Directory.ID, Kind: d.Filter.Kind, Before: v.now.AddDate(0, 0, -d.Filter.Days), Limit: limit + 1}
	for _, w := range walks {
		d.Walks = append(d.Walks, p.walkLine(w, d.Filter.Groups))
		if q.Walk.Means == "" && (d.Filter.Means == "" || d.Filter.Means == w.Means) {
			q.Walk = w
		}
	}
	if len(walks) > 1 {
		names := map[store.WalkMeans]string{store.WalkListed: "By list", store.WalkNamed: "By name"}
		for _, m := range []store.WalkMeans{store.WalkListed, store.WalkNamed} {
			d.Means = append(d.Means, choice{string(m), names[m], q.Walk.Means == m})
		}
	}
	if d.Filter.Kind == store.DriftUnseen && q.Walk.Means == "" {
		return d, "", nil
	}
	if d.Filter.Kind == store.DriftUnseen && q.Walk.Means == store.WalkListed {
		d.About = "The directory reads all that it pushed, and these are not among that: nobody pushed them."
		d.Do = words[store.DriftManual].do
	}
	if d.Filter.Groups {
		last, err := d.groups(v, tx, q, limit)
		return d, last, err
	}
	last, err := d.people(v, tx, q, limit)
	return d, last, err
}

func (d *driftPage) people(v *visit, tx *store.Tx, q store.DriftQuery, limit int) (last string, err error) {
	found, err := tx.Drifted(v.ctx, q, id.User(v.query("after")))
	if err != nil {
		return "", err
	}
	if len(found) > limit {
		found = found[:limit]
		last = string(found[limit-1].User)
	}
	sources := map[directory.LocalSource]string{
		directory.JustInTime: "First sign-in", directory.Invited: "Invited", directory.Invitation: "Invitation", directory.ByOperator: "Made by the operator",
	}
	for _, u := range found {
		why := either(sources[u.Source], "Pushed by "+d.Directory.Name)
		if d.Filter.Kind == store.DriftOrphaned {
			why = "Kept without directory"
		}
		d.Lines = append(d.Lines, driftLine{
			Name: either(u.Name, u.UserName), Sub: u.UserName, Link: d.at("users/" + string(u.User)), Why: why,
			Status: statusOf(&directory.User{Status: u.Status, Seated: true}), Since: d.when(u.Since, ""), LastSeen: d.when(u.LastSeen, "Never"),
		})
	}
	return last, nil
}

func (d *driftPage) groups(v *visit, tx *store.Tx, q store.DriftQuery, limit int) (last string, err error) {
	found, err := tx.DriftedGroups(v.ctx, q, id.Group(v.query("after")))
	if err != nil {
		return "", err
	}
	if len(found) > limit {
		found = found[:limit]
		last = string(found[limit-1].Group)
	}
	for _, g := range found {
		why := "Made here"
		if g.Directory != "" {
			why = "Pushed by " + d.Directory.Name
		}
		d.Lines = append(d.Lines, driftLine{
			Name: g.Name, Link: d.at("groups/" + string(g.Group)), Why: why, Since: d.when(g.Since, ""), Members: g.Members,
		})
	}
	return last, nil
}

func (c *Console) drift(v *visit, tx *store.Tx) (templ.Component, error) {
	d, last, err := c.driftOf(v, tx, driftPerPage)
	if err != nil {
		return nil, err
	}
	v.title = "Drift of " + d.Directory.Name
	if last != "" {
		d.Next = string(d.path("drift", d.Filter.query("after", last)...))
	}
	return driftTemplate(d), nil
}

// csvMost bounds an export of a page; a directory of that many strangers has another problem.
const csvMost = 100_000

func (c *Console) driftCSV(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visit(w, r, "directories", "")
	if err != nil {
		return redirected(w, r, err)
	}
	var d driftPage
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		d, _, err = c.driftOf(v, tx, csvMost)
		return err
	})
	if err != nil {
		return c.refusedPage(v, err)
	}
	rows := [][]string{{"name", "user_name", "id", "status", "why", "since", "last_seen", "what_to_do"}}
	if d.Filter.Groups {
		rows = [][]string{{"name", "id", "why", "since", "members", "what_to_do"}}
	}
	for _, l := range d.Lines {
		_, of := splitLast(string(l.Link))
		if d.Filter.Groups {
			rows = append(rows, []string{l.Name, of, l.Why, stamp(l.Since), strconv.FormatInt(l.Members, 10), d.Do})
		} else {
			rows = append(rows, []string{l.Name, l.Sub, of, l.Status.Word, l.Why, stamp(l.Since), stamp(l.LastSeen), d.Do})
		}
	}
	return sendCSV(w, string(organizationOf(r))+"-"+string(d.Directory.ID)+"-drift-"+v.now.UTC().Format(time.DateOnly), rows)
}

// stamp is a time for a machine, "" for none.
func stamp(m when) string {
	if m.zero() {
		return ""
	}
	return m.machine()
}

// splitLast cuts an address before its last part.
func splitLast(s string) (rest, last string) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return s[:i], s[i+1:]
		}
	}
	return "", s
}

// sendCSV answers rows as a file.
func sendCSV(w http.ResponseWriter, name string, rows [][]string) error {
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	h.Set("Cache-Control", "no-store")
	out := csv.NewWriter(w)
	for _, row := range rows {
		for i := range row {
			row[i] = audit.Cell(row[i])
		}
		if out.Write(row) != nil {
			return nil // the reader went away
		}
	}
	out.Flush()
	return nil
}

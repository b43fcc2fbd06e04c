package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Provisioning stands in for a directory: it shows what a request would do, and sends a refused one again.
type Provisioning interface {
	DryRun(ctx context.Context, org id.Organization, dir id.Directory, p directory.Pasted, actor audit.Actor) (directory.Request, error)
	Replay(ctx context.Context, org id.Organization, dir id.Directory, request id.Request, actor audit.Actor) (directory.Request, error)
}

// mountRequests adds the request log of each directory.
func (c *Console) mountRequests(r chi.Router) {
	r.Route("/directories/{directory}", func(r chi.Router) {
		r.Get("/requests", c.view("directories", "Request log", c.requests))
		r.Get("/requests/{request}", c.view("directories", "Request", c.request))
		r.Get("/requests/{request}/replay", c.view("directories", "Send again", c.replayDialog))
		r.Post("/requests/{request}/replay", c.show(c.replay))
		r.Get("/why", c.view("directories", "Why did somebody not arrive?", c.why))
		r.Get("/try", c.view("directories", "Dry run", c.tryForm))
		r.Post("/try", c.show(c.try))
	})
}

// pushed is what the pages of one directory's requests share.
type pushed struct {
	*frame
	Directory directory.Directory
	Base      string
}

func (p *pushed) path(rest string, query ...string) templ.SafeURL {
	return p.at("directories/"+url.PathEscape(string(p.Directory.ID))+"/"+rest, query...)
}

// pushes finds the directory of the address, for those who may see how it is set up.
func (v *visit) pushes(tx *store.Tx) (pushed, error) {
	if err := v.setsUp(); err != nil {
		return pushed{}, err
	}
	d, err := tx.Directory(v.ctx, id.Directory(chi.URLParam(v.r, "directory")))
	if err != nil {
		return pushed{}, err
	}
	return pushed{v.frame, *d, v.c.URL + "/scim/" + url.PathEscape(string(v.organization.ID)) + "/" + url.PathEscape(string(d.ID)) + "/v2"}, nil
}

// requestLine is a request as the pages show it.
type requestLine struct {
	directory.Request
	When   when
	Link   templ.SafeURL
	Lasted string
	Advice *directory.Advice // of a refused one
}

func (p *pushed) line(r directory.Request) requestLine {
	l := requestLine{Request: r, When: p.when(r.At, ""), Link: p.path("requests/" + string(r.ID)), Lasted: took(r.Took)}
	if r.Failed() {
		a := directory.AdviceFor(p.Directory.Dialect, r.Status, r.Type, r.Detail)
		l.Advice = &a
	}
	return l
}

func took(d time.Duration) string {
	switch {
	case d <= 0:
		return "not measured"
	case d < time.Millisecond:
		return strconv.FormatInt(d.Microseconds(), 10) + " µs"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
}

// tone says how a request went, by color, icon and word.
func (l requestLine) tone() (tone, icon, said string) {
	if l.Failed() {
		return "bad", "stop", "Refused, " + strconv.Itoa(l.Status)
	}
	return "ok", "check", "Done, " + strconv.Itoa(l.Status)
}

// record is the page of what the request is about, or "".
func (l requestLine) record(f *frame) templ.SafeURL {
	switch {
	case l.ResourceID == "" || !id.IsUUID(l.ResourceID):
		return ""
	case l.ResourceKind == "User":
		return f.at("users/" + l.ResourceID)
	case l.ResourceKind == "Group":
		return f.at("groups/" + l.ResourceID)
	}
	return ""
}

// effects gives what the request did, without what it did to access.
func (l requestLine) effects() []directory.Effect {
	return slices.DeleteFunc(slices.Clone(l.Effects), func(e directory.Effect) bool { return e.Access != "" })
}

func (l requestLine) access(which string) []directory.Effect {
	return slices.DeleteFunc(slices.Clone(l.Effects), func(e directory.Effect) bool { return e.Access != which })
}

// repairs lists what the dialect forgave.
func (l requestLine) repairs() []string {
	var out []string
	for deviation, n := range l.Repairs {
		said := either(directory.RepairWords[deviation], string(deviation))
		if n > 1 {
			said += " (" + number(n) + " times)"
		}
		out = append(out, strings.ToUpper(said[:1])+said[1:])
	}
	slices.Sort(out)
	return out
}

// token says what the request showed at the door.
func (l requestLine) token() string {
	switch l.TokenState {
	case directory.TokenGood:
		return l.Token
	case directory.TokenExpired:
		return l.Token + ", which had expired"
	case directory.TokenUnknown:
		return "None of this directory's"
	case directory.TokenNone:
		return "None: an administrator sent it"
	}
	return l.Token
}

// curl is the request as a command. The token is never in it.
func (l requestLine) curl(base string) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	to := base + l.Path
	if l.Query != "" {
		to += "?" + l.Query
	}
	s := "curl -X " + l.Method + " " + quote(to) + ` -H "Authorization: Bearer $TOKEN"`
	if l.Body != "" {
		s += " -H 'Content-Type: application/scim+json' --data-binary " + quote(l.Body)
	}
	return s
}

func (l requestLine) showBody() string   { return pretty([]byte(l.Body)) }
func (l requestLine) showAnswer() string { return pretty([]byte(l.Answer)) }

// requestFilter is the filter of the log as it stands in the address.
type requestFilter struct {
	Text, Method, From, To string
	Errors, Live           bool
}

func (f requestFilter) any() bool {
	f.Live = false
	return f != requestFilter{}
}

func readRequestFilter(q url.Values) (requestFilter, store.RequestFilter, error) {
	f := requestFilter{
		Text: strings.TrimSpace(q.Get("q")), Method: q.Get("method"), From: q.Get("from"), To: q.Get("to"),
		Errors: q.Get("errors") != "", Live: q.Get("live") != "",
	}
	s := store.RequestFilter{Text: f.Text, Method: f.Method, Errors: f.Errors, Before: id.Request(q.Get("before"))}
	var err error
	if s.From, err = parseDay(f.From); err != nil {
		return f, s, err
	}
	s.To, err = endOf(f.To)
	return f, s, err
}

// query is the filter as pairs of a query.
func (f requestFilter) query(more ...string) []string {
	on := func(b bool) string {
		if b {
			return "1"
		}
		return ""
	}
	return append([]string{"q", f.Text, "method", f.Method, "from", f.From, "to", f.To, "errors", on(f.Errors), "live", on(f.Live)}, more...)
}

type requestLog struct {
	pushed
	Filter   requestFilter
	Methods  []choice
	Requests []requestLine
	Self     templ.SafeURL
	Next     string
	Kept     string
}

const requestsPerPage = 50

func (c *Console) requests(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := v.pushes(tx)
	if err != nil {
		return nil, err
	}
	shown, filter, err := readRequestFilter(v.r.URL.Query())
	if err != nil {
		return nil, err
	}
	v.title = "Request log of " + p.Directory.Name
	l := requestLog{pushed: p, Filter: shown, Self: p.path("requests", shown.query("before", string(filter.Before))...)}
	filter.Limit = requestsPerPage + 1
	list, err := tx.Requests(v.ctx, p.Directory.ID, filter)
	if err != nil {
		return nil, err
	}
	if len(list) > requestsPerPage {
		list = list[:requestsPerPage]
		l.Next = string(p.path("requests", shown.query("live", "", "before", string(list[requestsPerPage-1].ID))...))
	}
	for _, r := range list {
		l.Requests = append(l.Requests, p.line(r))
	}
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		l.Methods = append(l.Methods, choice{m, m, m == shown.Method})
	}
	l.Kept = plural(max(1, int(p.Directory.RequestLog.Retention()/(24*time.Hour))), "day")
	return requestsPage(l), nil
}

type oneRequest struct {
	pushed
	requestLine
	Replayable bool
	DryRun     bool // it is not in the log: nothing of it was kept
}

func (c *Console) request(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := v.pushes(tx)
	if err != nil {
		return nil, err
	}
	r, err := tx.Request(v.ctx, p.Directory.ID, id.Request(chi.URLParam(v.r, "request")))
	if err != nil {
		return nil, err
	}
	v.title = r.Operation
	return requestPage(oneRequest{pushed: p, requestLine: p.line(r), Replayable: r.Replayable() == nil}), nil
}

func (c *Console) replayDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := v.pushes(tx)
	if err != nil {
		return nil, err
	}
	r, err := tx.Request(v.ctx, p.Directory.ID, id.Request(chi.URLParam(v.r, "request")))
	if err != nil {
		return nil, err
	}
	if err := r.Replayable(); err != nil {
		return nil, err
	}
	return replayPage(oneRequest{pushed: p, requestLine: p.line(r), Replayable: true}), nil
}

// entrusted looks who asks, and finds the directory, for what runs outside the page's own transaction.
func (c *Console) entrusted(w http.ResponseWriter, r *http.Request, title string) (*visit, pushed, error) {
	if err := r.ParseForm(); err != nil {
		return nil, pushed{}, fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "directories", title)
	if err != nil {
		return nil, pushed{}, redirected(w, r, err)
	}
	var p pushed
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		p, err = v.pushes(tx)
		return err
	})
	if err != nil {
		return nil, p, redirected(w, r, err)
	}
	return v, p, nil
}

func (c *Console) replay(w http.ResponseWriter, r *http.Request) error {
	v, p, err := c.entrusted(w, r, "Send again")
	if v == nil {
		return err
	}
	again, err := c.Provisioning.Replay(v.ctx, v.organization.ID, p.Directory.ID, id.Request(chi.URLParam(r, "request")), v.viewer.actor)
	if err != nil {
		return c.refusedChange(v, err)
	}
	done := "Sent again, and done."
	if again.Failed() {
		done = "Sent again, and refused again."
	}
	c.setFlash(w, done)
	http.Redirect(w, r, string(p.path("requests/"+string(again.ID))), http.StatusSeeOther)
	return nil
}

type trial struct {
	pushed
	directory.Pasted
	Methods []choice
	Result  *oneRequest
	Refused string // why it could not be run at all
}

func (p *pushed) trial(pasted directory.Pasted) trial {
	t := trial{pushed: *p, Pasted: pasted}
	for _, m := range []string{"POST", "PATCH", "PUT", "DELETE", "GET"} {
		t.Methods = append(t.Methods, choice{m, m, strings.EqualFold(m, pasted.Method)})
	}
	return t
}

func (c *Console) tryForm(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := v.pushes(tx)
	if err != nil {
		return nil, err
	}
	var pasted directory.Pasted
	if of := v.query("request"); of != "" {
		r, err := tx.Request(v.ctx, p.Directory.ID, id.Request(of))
		if err != nil {
			return nil, err
		}
		pasted = directory.Pasted{Method: r.Method, Path: r.Path, Body: pretty([]byte(r.Body))}
		if r.Query != "" {
			pasted.Path += "?" + r.Query
		}
	}
	return tryPage(p.trial(pasted)), nil
}

func (c *Console) try(w http.ResponseWriter, r *http.Request) error {
	v, p, err := c.entrusted(w, r, "Dry run")
	if v == nil {
		return err
	}
	pasted := directory.Pasted{Method: v.form("method"), Path: v.form("path"), Body: v.form("body")}
	t := p.trial(pasted)
	got, err := c.Provisioning.DryRun(v.ctx, v.organization.ID, p.Directory.ID, pasted, v.viewer.actor)
	switch f := fault.As(err); {
	case err == nil:
		t.Result = &oneRequest{pushed: p, requestLine: p.line(got), DryRun: true}
	case f != nil && f.Kind != fault.Internal:
		t.Refused = f.Message
	default:
		return err
	}
	return page.Render(w, r, http.StatusOK, tryPage(t))
}

// finding is one answer to why somebody did not arrive.
type finding struct {
	Tone   string
	Title  string
	Said   string
	Advice *directory.Advice
	Link   templ.SafeURL
	Open   string // what the link says
	At     when
}

type whyNot struct {
	pushed
	Query    string
	Findings []finding
	Requests []requestLine
}

// why answers why somebody did not arrive, from what is known: whether the directory is let in at all, who is here, and what
// the directory sent about the person.
func (c *Console) why(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := v.pushes(tx)
	if err != nil {
		return nil, err
	}
	w := whyNot{pushed: p, Query: strings.TrimSpace(v.query("q"))}
	if w.Query == "" {
		return whyPage(w), nil
	}
	door, err := p.door(v, tx)
	if err != nil {
		return nil, err
	}
	w.Findings = append(w.Findings, door...)

	people, err := tx.FindPushed(v.ctx, p.Directory.ID, w.Query)
	if err != nil {
		return nil, err
	}
	here := false
	for _, person := range people {
		here = here || person.Directory != ""
		w.Findings = append(w.Findings, p.personFinding(v, person))
	}
	list, err := tx.Requests(v.ctx, p.Directory.ID, store.RequestFilter{Text: w.Query, Limit: 20})
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		w.Requests = append(w.Requests, p.line(r))
	}
	refused := slices.IndexFunc(w.Requests, func(l requestLine) bool {
		return l.Failed() && l.TokenState != directory.TokenExpired && l.TokenState != directory.TokenUnknown
	})
	wrote := slices.ContainsFunc(w.Requests, func(l requestLine) bool { return l.Method != http.MethodGet })
	switch {
	case refused >= 0:
		l := w.Requests[refused]
		f := finding{Tone: "bad", Title: l.Operation, Said: l.Detail, Advice: l.Advice, Link: l.Link, Open: "Open the request", At: l.When}
		if here {
			f.Tone, f.Title = "warn", "The last refused request: "+l.Operation
		}
		w.Findings = append(w.Findings, f)
	case len(list) == 0 && !here && len(door) == 0:
		a := directory.AdviceForSilence(p.Directory.Dialect)
		w.Findings = append(w.Findings, finding{
			Tone: "warn", Title: p.Directory.Name + " has never spoken of “" + w.Query + "”", Advice: &a,
			Said: "No request of the last " + plural(max(1, int(p.Directory.RequestLog.Retention()/(24*time.Hour))), "day") + " names this person.",
		})
	case len(list) > 0 && !wrote && !here:
		a := directory.AdviceForSilence(p.Directory.Dialect)
		a.Problem = ""
		w.Findings = append(w.Findings, finding{
			Tone: "warn", Title: p.Directory.Name + " looked for them and sent nothing", Advice: &a,
			Said: "It asked whether they are here, and did not go on to create them: they are out of its scope, or it may not create users.",
		})
	}
	return whyPage(w), nil
}

// door says whether the directory is let in at all.
func (p *pushed) door(v *visit, tx *store.Tx) ([]finding, error) {
	refused, admitted, err := tx.TokenRefusals(v.ctx, p.Directory.ID)
	if err != nil {
		return nil, err
	}
	if refused != nil && refused.At.After(admitted) {
		a := directory.AdviceFor(p.Directory.Dialect, refused.Status, refused.Type, refused.Detail)
		said := refused.Detail
		if !admitted.IsZero() {
			said += " The last request that was let in came " + p.when(admitted, "").words() + "."
		}
		return []finding{{
			Tone: "bad", Title: p.Directory.Name + " is turned away at the door", Said: said, Advice: &a,
			Link: p.path("requests/" + string(refused.ID)), Open: "Open the last refused request", At: p.when(refused.At, ""),
		}}, nil
	}
	usable := slices.ContainsFunc(p.Directory.Tokens, func(t directory.Token) bool { return t.Expires.IsZero() || v.now.Before(t.Expires) })
	if !usable {
		a := directory.AdviceFor(p.Directory.Dialect, http.StatusUnauthorized, "", `The token "" expired`)
		a.Problem = "No token of this directory is valid."
		return []finding{{Tone: "bad", Title: p.Directory.Name + " cannot come in", Said: "None of its tokens is valid now.", Advice: &a}}, nil
	}
	return nil, nil
}

// personFinding says how somebody who is here stands.
func (p *pushed) personFinding(v *visit, of store.PushedPerson) finding {
	f := finding{Tone: "ok", Link: p.at("users/" + string(of.User)), Open: "Open " + of.Name, At: p.when(of.Since, "")}
	switch {
	case of.Directory == "":
		f.Tone = "warn"
		f.Title = of.Name + " is here, and not by " + p.Directory.Name
		f.Said = "The userName " + of.UserName + " is theirs. When the directory pushes somebody of that name, it is listed under Conflicts until an administrator decides."
	case of.Status == directory.Suspended && !of.Active:
		f.Tone = "warn"
		f.Title = of.Name + " has arrived, and is not active"
		f.Said = p.Directory.Name + " says active: false. Activate or assign them there."
	case of.Status == directory.Suspended:
		f.Tone = "warn"
		f.Title = of.Name + " has arrived, and is suspended here"
		f.Said = "An administrator suspended them; the directory cannot lift that."
	case !of.Seated:
		f.Tone = "warn"
		f.Title = of.Name + " has arrived, and waits for a seat"
		f.Said = "All seats are taken. They get access by themselves when one is free."
	default:
		f.Title = of.Name + " has arrived"
		f.Said = "They are active, as " + of.UserName + "."
	}
	return f
}

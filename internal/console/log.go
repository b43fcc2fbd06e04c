package console

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

const eventsPerPage = 50

// eventLine is one event as the log shows it.
type eventLine struct {
	ID      id.Event
	At      when
	Actor   string
	Kind    string
	Act     string // in words
	Action  string // as it is filtered
	Target  string
	User    id.User
	Whom    string // the user's name, where the event is about something of theirs
	Refused bool
	Code    string
	Reason  string
	IP      string
	Door    string
	Request string
	Before  string
	After   string
}

func eventLines(v *visit, tx *store.Tx, events []audit.Event) ([]eventLine, error) {
	var users []id.User
	for _, e := range events {
		if e.User != "" && !slices.Contains(users, e.User) {
			users = append(users, e.User)
		}
	}
	names, err := tx.UserNames(v.ctx, users)
	if err != nil {
		return nil, err
	}
	var out []eventLine
	for _, e := range events {
		line := eventLineOf(v.frame, e)
		if e.TargetKind != "user" || line.Target == "" {
			line.Whom = either(names[e.User], string(e.User))
		}
		// A session or an identity has no name: whose it is says more than its id, which stands in the details of the log.
		if line.Whom != "" && e.TargetName == "" && id.IsUUID(e.TargetID) {
			line.Target = ""
		}
		out = append(out, line)
	}
	return out, nil
}

func eventLineOf(f *frame, e audit.Event) eventLine {
	return eventLine{
		ID: e.ID, At: f.when(time.UnixMicro(e.At), ""), Actor: either(e.Actor.Name, e.Actor.ID, "Vestibule"), Kind: string(e.Actor.Kind),
		Act: words(e.Action), Action: e.Action, Target: either(e.TargetName, e.TargetID), User: e.User,
		Refused: e.Outcome == audit.Refused, Code: e.Code, Reason: e.Reason, IP: e.Actor.IP, Door: string(e.Actor.Door),
		Request: e.Actor.Request, Before: pretty(e.Before), After: pretty(e.After),
	}
}

// words says an action as a person would: "grant.given" is "Grant given".
func words(action string) string {
	object, verb, _ := strings.Cut(action, ".")
	s := strings.ReplaceAll(object, "-", " ") + " " + strings.ReplaceAll(verb, "-", " ")
	s = strings.TrimSpace(s)
	if s == "" {
		return action
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// logFilter is the filter of the log as it stands in the address. Page and CSV read it with one function.
type logFilter struct {
	Text, User, Action, IP, From, To, Outcome string
}

func (f logFilter) any() bool { return f != logFilter{} }

func readLogFilter(q url.Values) (logFilter, store.AuditFilter, error) {
	f := logFilter{
		Text: strings.TrimSpace(q.Get("q")), User: strings.TrimSpace(q.Get("user")), Action: strings.TrimSpace(q.Get("action")),
		IP: strings.TrimSpace(q.Get("ip")), From: q.Get("from"), To: q.Get("to"), Outcome: q.Get("outcome"),
	}
	s := store.AuditFilter{Text: f.Text, User: id.User(f.User), Action: f.Action, IP: f.IP, Outcome: f.Outcome}
	var err error
	if s.From, err = parseDay(f.From); err != nil {
		return f, s, err
	}
	// The last day is meant as a whole.
	s.To, err = endOf(f.To)
	return f, s, err
}

// address is the filter as a query.
func (f logFilter) address(more ...string) string {
	v := url.Values{}
	pairs := append([]string{
		"q", f.Text, "user", f.User, "action", f.Action, "ip", f.IP, "from", f.From, "to", f.To, "outcome", f.Outcome,
	}, more...)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

type auditLog struct {
	*frame
	Filter   logFilter
	Actions  []choice
	UserName string
	Events   []eventLine
	Next     string
	CSV      templ.SafeURL
}

// objects are what events are about: the filter offers them, and takes any single action typed into the address too.
var objects = []choice{
	{Value: "user.", Name: "Users"},
	{Value: "invitation.", Name: "Invitations"},
	{Value: "grant.", Name: "Grants"},
	{Value: "restriction.", Name: "Restrictions"},
	{Value: "group.", Name: "Groups and their members"},
	{Value: "mapping.", Name: "What groups give"},
	{Value: "custom-role.", Name: "Custom roles"},
	{Value: "provider.", Name: "Service providers"},
	{Value: "sign-in.", Name: "Sign-ins"},
	{Value: "session.", Name: "Sessions"},
	{Value: "identity.", Name: "Identities"},
	{Value: "password.", Name: "Passwords"},
	{Value: "factor.", Name: "Second factors"},
	{Value: "factors.", Name: "Second factors reset"},
	{Value: "recovery-code.", Name: "Recovery codes used"},
	{Value: "application.", Name: "Applications opened"},
	{Value: "token.", Name: "Tokens"},
	{Value: "directory.", Name: "Directories"},
	{Value: "directory-token.", Name: "Directory tokens"},
	{Value: "connection.", Name: "Connections"},
	{Value: "domain.", Name: "Domains"},
	{Value: "sso.", Name: "Single sign-on demanded"},
	{Value: "sso-exception.", Name: "Exceptions from single sign-on"},
	{Value: "setup-link.", Name: "Setup links"},
	{Value: "webhook.", Name: "Webhooks"},
	{Value: "delivery.", Name: "Letters and deliveries"},
	{Value: "resource.", Name: "Resources"},
	{Value: "organization.", Name: "Organization"},
	{Value: "conflict.", Name: "Conflicts"},
}

// readsLog refuses who may not read the log of the whole organization: events are about everything in it.
func (v *visit) readsLog() error {
	if v.viewer.everywhere(access.AuditRead) {
		return nil
	}
	return fault.New(fault.Forbidden, "The audit log needs the permission %q for all of %s, and you do not hold it there. An administrator of %s can give you a role that carries it.",
		access.AuditRead, v.organization.Name, v.organization.Name)
}

func (c *Console) log(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.readsLog(); err != nil {
		return nil, err
	}
	shown, filter, err := readLogFilter(v.r.URL.Query())
	if err != nil {
		return nil, err
	}
	l := auditLog{frame: v.frame, Filter: shown, CSV: v.at("audit.csv") + templ.SafeURL(shown.address())}
	filter.Before, filter.Limit = id.Event(v.query("before")), eventsPerPage+1
	events, err := tx.Events(v.ctx, filter)
	if err != nil {
		return nil, err
	}
	if len(events) > eventsPerPage {
		events = events[:eventsPerPage]
		l.Next = string(v.at("audit")) + shown.address("before", string(events[eventsPerPage-1].ID))
	}
	if l.Events, err = eventLines(v, tx, events); err != nil {
		return nil, err
	}
	known := shown.Action == ""
	for _, o := range objects {
		o.Chosen = o.Value == shown.Action
		known = known || o.Chosen
		l.Actions = append(l.Actions, o)
	}
	if !known {
		l.Actions = append(l.Actions, choice{shown.Action, words(shown.Action), true})
	}
	if shown.User != "" {
		l.UserName = shown.User
		if u, err := tx.User(v.ctx, id.User(shown.User)); err == nil {
			l.UserName = u.Name()
		} else if fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
	}
	return auditPage(l), nil
}

// installationLog is what happened to the installation itself: operators, their sign-ins, what files declared.
type installationLog struct {
	*frame
	Text   string
	Events []eventLine
	Next   string
}

func (c *Console) operatorLog(w http.ResponseWriter, r *http.Request) error {
	o, err := c.operator(r.Context(), r)
	if err != nil {
		return err
	}
	if o == nil {
		http.Redirect(w, r, "/operator/signin?return_to=/operator/log", http.StatusSeeOther)
		return nil
	}
	q := r.URL.Query()
	l := installationLog{
		frame: &frame{viewer: &viewer{operator: o, actor: operatorActor(*o, c.from(r))}, now: c.DB.Now(), title: "Installation log"},
		Text:  strings.TrimSpace(q.Get("q")),
	}
	var events []audit.Event
	if err := c.DB.System().Read(r.Context(), func(tx *store.SystemTx) (err error) {
		events, err = tx.Events(r.Context(), store.AuditFilter{Text: l.Text, Before: id.Event(q.Get("before")), Limit: eventsPerPage + 1})
		return err
	}); err != nil {
		return err
	}
	if len(events) > eventsPerPage {
		events = events[:eventsPerPage]
		l.Next = "/operator/log" + logFilter{Text: l.Text}.address("before", string(events[eventsPerPage-1].ID))
	}
	for _, e := range events {
		l.Events = append(l.Events, eventLineOf(l.frame, e))
	}
	return page.Render(w, r, http.StatusOK, installationLogPage(l))
}

// logCSV writes the log, as exactly the filter of the page shows it, while it is read: years fit through.
func (c *Console) logCSV(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visit(w, r, "audit", "")
	if err != nil {
		return redirected(w, r, err)
	}
	_, filter, err := readLogFilter(r.URL.Query())
	if err != nil {
		return err
	}
	org := organizationOf(r)
	if err := c.DB.Read(v.ctx, org, func(tx *store.Tx) error {
		if err := v.again(tx); err != nil {
			return err
		}
		return v.readsLog()
	}); err != nil {
		return c.refusedPage(v, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+string(org)+`-audit-`+v.now.UTC().Format(time.DateOnly)+`.csv"`)
	h.Set("Cache-Control", "no-store")
	out := csv.NewWriter(w)
	_ = out.Write(audit.CSVHeader) // an error of the writer is kept and seen at the end
	for e, err := range c.DB.EachEvent(v.ctx, org, filter) {
		if err != nil {
			// The answer has begun: cutting the connection is the only way left to say that it is not whole.
			c.Log.ErrorContext(v.ctx, "audit export broke off", "organization", org, "error", err)
			panic(http.ErrAbortHandler)
		}
		if out.Write(audit.CSVRow(e)) != nil {
			return nil // the reader went away
		}
	}
	out.Flush()
	return nil
}

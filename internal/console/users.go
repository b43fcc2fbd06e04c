package console

import (
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// manyPicks is how long a list of choices may be before it scrolls by itself and can be narrowed: about what a phone shows.
const manyPicks = 12

// perPage is how many users a page shows.
const perPage = 25

// userLine is a user in a list.
type userLine struct {
	ID          id.User
	Name, Email string
	External    bool
	Groups      []string
	Roles       []string
	Status      statusLine
	Created     when
	LastSeen    when
	Logins      int
	LastIP      string
	Deleted     bool
}

// statusLine is a status as people read it: tone, icon and words.
type statusLine struct {
	Tone, Icon, Word, Why string
}

func statusOf(u *directory.User) statusLine {
	switch {
	case u.Status == directory.Deleted:
		return statusLine{"plain", "trash", "Deleted", "Kept as a record. Can be restored."}
	case u.Status == directory.Pending:
		return statusLine{"warn", "clock", "Invited", "Has not accepted the invitation yet."}
	case u.Status == directory.Suspended && !u.SuspendedAt.IsZero():
		return statusLine{"bad", "pause", "Suspended", "By " + either(u.SuspendedBy, "an administrator") + ". Cannot sign in."}
	case u.Status == directory.Suspended:
		return statusLine{"bad", "pause", "Inactive", "The directory says that this account is not active."}
	case !u.Seated:
		return statusLine{"warn", "warn", "Over the limit", "Waits for a free seat and has no access until then."}
	}
	return statusLine{"ok", "check", "Active", ""}
}

// userFilters are the filters of the list as they stand in the address.
type userFilters struct {
	Query, Status, Role, Resource string
	Deleted                       bool
}

func (f userFilters) any() bool {
	return f.Query != "" || f.Status != "" || f.Role != "" || f.Resource != "" || f.Deleted
}

type usersList struct {
	*frame
	Filters   userFilters
	Roles     []choice
	Resources []choice
	Users     []userLine
	Next      string
	Seats     string
	Full      bool
	Scope     string             // what part of the organization the viewer sees, if not all
	Invites   bool               // the viewer may invite
	Gives     bool               // the viewer may give roles
	Providers []relationshipLine // whose people work here too, for those who decide on that
}

// choice is one option of a select.
type choice struct {
	Value, Name string
	Chosen      bool
}

func (c *Console) users(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.viewer.demand(v.frame, access.UsersRead); err != nil {
		return nil, err
	}
	l := usersList{frame: v.frame, Filters: userFilters{
		Query: strings.TrimSpace(v.query("q")), Status: v.query("status"), Role: v.query("role"), Resource: v.query("resource"),
		Deleted: v.query("deleted") != "",
	}}
	list, next, err := tx.ListUsers(v.ctx, store.UserFilter{
		Query: l.Filters.Query, Status: directory.Status(l.Filters.Status), Role: id.Role(l.Filters.Role),
		Resource: id.Resource(l.Filters.Resource), Deleted: l.Filters.Deleted, Only: v.viewer.only, Cursor: v.query("cursor"),
		Limit: perPage,
	})
	if err != nil {
		return nil, err
	}
	if l.Users, err = userLines(v, tx, list); err != nil {
		return nil, err
	}
	if next != "" {
		deleted := ""
		if l.Filters.Deleted {
			deleted = "1"
		}
		l.Next = string(v.at("users", "q", l.Filters.Query, "status", l.Filters.Status, "role", l.Filters.Role, "resource",
			l.Filters.Resource, "deleted", deleted, "cursor", next))
	}
	for _, r := range v.viewer.ground.Catalogue.Roles() {
		l.Roles = append(l.Roles, choice{string(r.ID), v.viewer.ground.Catalogue.Name(r.ID), string(r.ID) == l.Filters.Role})
	}
	l.Resources = resourceChoices(v.viewer.ground.Tree, l.Filters.Resource)
	limit, used, err := tx.Seats(v.ctx)
	if err != nil {
		return nil, err
	}
	l.Seats, l.Full = seats(limit, used), limit > 0 && used >= limit
	l.Invites, l.Gives = v.viewer.may(access.UsersManage), v.viewer.gives()
	if v.provides() == nil {
		serving, err := tx.Providers(v.ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range serving {
			if r.InForce(v.now) {
				l.Providers = append(l.Providers, v.line(r))
			}
		}
	}
	if v.viewer.only != nil {
		l.Scope = "You see the users with a role at " + names(v.viewer.ground.Tree, v.viewer.access.Resources(access.UsersRead)) + "."
	}
	return usersPage(l), nil
}

// resourceChoices lists the tree for a select, each resource indented by its depth.
func resourceChoices(t *access.Tree, chosen string) []choice {
	var out []choice
	for _, r := range t.All() {
		out = append(out, choice{
			string(r.ID), strings.Repeat("\u00a0\u00a0", t.Depth(r.ID)) + t.Name(r.ID), string(r.ID) == chosen,
		})
	}
	return out
}

// names says a few resources in words: only the topmost of them.
func names(t *access.Tree, list []id.Resource) string {
	var out []string
	for _, r := range list {
		if up := t.Path(r); len(up) > 1 && slices.Contains(list, up[1]) {
			continue
		}
		out = append(out, t.Name(r))
	}
	return strings.Join(out, ", ")
}

func userLines(v *visit, tx *store.Tx, users []directory.User) ([]userLine, error) {
	held, err := tx.AccessOf(v.ctx, idsOf(users))
	if err != nil {
		return nil, err
	}
	var out []userLine
	for i := range users {
		u := &users[i]
		e := held[u.ID]
		if e == nil { // gone since the list was read
			continue
		}
		line := userLine{
			ID: u.ID, Name: u.Name(), Email: either(u.Email, u.UserName), External: e.User.Home != "" && e.User.Home != v.organization.ID,
			Status: statusOf(u), Created: v.when(u.Created, ""), LastSeen: v.when(u.LastSeen, "Never"), Logins: int(u.Logins),
			LastIP: u.LastLoginIP, Deleted: u.Status == directory.Deleted, Groups: e.GroupNames(), Roles: roleTags(e),
		}
		out = append(out, line)
	}
	return out, nil
}

func idsOf(users []directory.User) []id.User {
	out := make([]id.User, len(users))
	for i := range users {
		out[i] = users[i].ID
	}
	return out
}

// roleTags says which roles somebody holds, or would hold once active again, and where.
func roleTags(e *access.Effective) []string {
	var out []string
	for _, h := range e.Kept() {
		tag := e.Catalogue().Name(h.Role)
		if h.Resource != e.Tree().Root() {
			tag += " at " + e.Tree().Name(h.Resource)
		}
		if !slices.Contains(out, tag) {
			out = append(out, tag)
		}
	}
	return out
}

// inboxLine is a user who waits for somebody to decide.
type inboxLine struct {
	ID                  id.User
	Name, Email, Source string
	Groups              []string
	Since               when
	LastLogin           when
	Note                string
	NotedAt             when
	Defaults            []string
}

type inbox struct {
	*frame
	Lines []inboxLine
	Query string
	Next  string
}

func (c *Console) inbox(v *visit, tx *store.Tx) (templ.Component, error) {
	if !v.viewer.gives() {
		return nil, fault.New(fault.Forbidden, "The inbox is for those who may give roles in %s, and you hold no role that may. An administrator of %s can give you one.",
			v.organization.Name, v.organization.Name)
	}
	b := inbox{frame: v.frame, Query: strings.TrimSpace(v.query("q"))}
	list, next, err := tx.ListUsers(v.ctx, store.UserFilter{
		Awaiting: true, Query: b.Query, Only: v.viewer.inboxOnly(), Cursor: v.query("cursor"), Limit: perPage,
	})
	if err != nil {
		return nil, err
	}
	if next != "" {
		b.Next = string(v.at("inbox", "q", b.Query, "cursor", next))
	}
	if err := tx.ReadSources(v.ctx, list); err != nil {
		return nil, err
	}
	held, err := tx.AccessOf(v.ctx, idsOf(list))
	if err != nil {
		return nil, err
	}
	names, err := tx.DirectoryNames(v.ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		u := &list[i]
		e := held[u.ID]
		if e == nil {
			continue
		}
		b.Lines = append(b.Lines, inboxLine{
			ID: u.ID, Name: u.Name(), Email: either(u.Email, u.UserName), Source: strings.Join(sourceWords(u, names), ", "), Groups: e.GroupNames(),
			Since: v.when(u.Created, ""), LastLogin: v.when(u.LastLogin, "Has not signed in yet"), Note: u.Note,
			NotedAt: v.when(u.NotedAt, ""), Defaults: roleTags(e),
		})
	}
	return inboxPage(b), nil
}

// inboxOnly narrows the inbox: whoever may give a role at the organization itself sees all of it, whoever gives below only
// whom they see anyway.
func (v *viewer) inboxOnly() []id.User {
	if v.operator != nil || len(v.giver().Roles(v.ground, v.ground.Tree.Root())) > 0 {
		return nil
	}
	return v.only
}

// meets reports whether the viewer comes upon somebody at all: whom users.read reaches, and of the inbox whoever the viewer may
// give a role to.
func (v *viewer) meets(e *access.Effective) bool {
	return v.reaches(access.UsersRead, e) || v.gives() && v.inboxOnly() == nil && !e.BeyondDefaults()
}

// sourceWords says where a user comes from.
func sourceWords(u *directory.User, names store.DirectoryNames) []string {
	var out []string
	for _, s := range u.Sources {
		switch s.Kind {
		case directory.SourceRecord:
			word := "Pushed by " + names.Of(s.Directory)
			switch {
			case s.Unsaid && (s.Active || s.Undone):
				word += " (which no longer says whether this person is active; kept: active)"
			case s.Unsaid:
				word += " (which no longer says whether this person is active; kept: inactive)"
			case s.Undone:
				word += " (inactive there, undone by an administrator)"
			case !s.Active:
				word += " (inactive there)"
			}
			out = append(out, word)
		case directory.JustInTime:
			out = append(out, "First sign-in")
		case directory.Invited:
			out = append(out, "Invited")
		case directory.Invitation:
			out = append(out, "Invitation")
		case directory.ByOperator:
			out = append(out, "Made by the operator")
		case directory.WithoutOne:
			out = append(out, "Kept without directory")
		case directory.NoSource:
		}
	}
	if len(out) == 0 {
		out = append(out, "No source left")
	}
	return out
}

// settle is "leave as is" in the inbox.
func (c *Console) settle(v *visit, tx *store.Tx) (string, string, error) {
	u, err := tx.User(v.ctx, userOf(v))
	if err != nil {
		return "", "", err
	}
	if !v.viewer.gives() || (v.viewer.inboxOnly() != nil && !slices.Contains(v.viewer.inboxOnly(), u.ID)) {
		return "", "", fault.New(fault.Forbidden, "Leaving someone as they are is for those who may give them roles.")
	}
	if err := tx.Settle(v.ctx, v.viewer.actor, u.ID); err != nil {
		return "", "", err
	}
	return u.Name() + " stays as is and no longer waits here.", string(v.at("inbox")), nil
}

// settledAtOnce is how many are left as they are in one step: one transaction with an event for each.
const settledAtOnce = 500

// settleAll asks before everybody in the inbox, or whom the search found there, is left as is.
type settleAll struct {
	*frame
	Query string
	Found int // settledAtOnce at most
	More  bool
}

// whoWaits lists the next of the inbox that a search finds.
func (v *visit) whoWaits(tx *store.Tx, query string) (list []directory.User, more bool, err error) {
	if !v.viewer.gives() {
		return nil, false, fault.New(fault.Forbidden, "Leaving people as they are is for those who may give them roles.")
	}
	list, next, err := tx.ListUsers(v.ctx, store.UserFilter{Awaiting: true, Query: query, Only: v.viewer.inboxOnly(), Limit: settledAtOnce})
	return list, next != "", err
}

func (c *Console) confirmSettleAll(v *visit, tx *store.Tx) (templ.Component, error) {
	s := settleAll{frame: v.frame, Query: strings.TrimSpace(v.query("q"))}
	list, more, err := v.whoWaits(tx, s.Query)
	s.Found, s.More = len(list), more
	return settleAllPage(s), err
}

// settleAll is "leave all as is": for a directory's first push, when everybody comes at once.
func (c *Console) settleAll(v *visit, tx *store.Tx) (string, string, error) {
	query := strings.TrimSpace(v.form("q"))
	list, more, err := v.whoWaits(tx, query)
	if err != nil {
		return "", "", err
	}
	if err := tx.Settle(v.ctx, v.viewer.actor, idsOf(list)...); err != nil {
		return "", "", err
	}
	said := people(len(list)) + " stay as they are and no longer wait here."
	if len(list) == 1 {
		said = list[0].Name() + " stays as is and no longer waits here."
	}
	if more {
		said += " More still wait: do it again for the next."
	}
	return said, string(v.at("inbox", "q", query)), nil
}

// parseDay reads the value of a date field: the first moment of that day, UTC.
func parseDay(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "%q is not a date. It should look like 2026-12-31.", s)
	}
	return t, nil
}

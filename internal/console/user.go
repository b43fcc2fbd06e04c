package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

func userOf(v *visit) id.User { return id.User(chi.URLParam(v.r, "user")) }

// person is what every page about one user shows: who it is, in what state, and what can be done.
type person struct {
	*frame
	User    *directory.User
	Access  *access.Effective
	Status  statusLine
	Sources []string
	Manages bool // the viewer may suspend, delete and so on
	Pushed  bool // a directory speaks for the user
	Proves  bool // the user has second factors, or recovery codes
	Sends   bool // a link to choose a password can be sent to the user
	Tab     string
}

// at gives the address of a page below the user's.
func (p person) at(path string, query ...string) templ.SafeURL {
	to := "users/" + string(p.User.ID)
	if path != "" {
		to += "/" + path
	}
	return p.frame.at(to, query...)
}

// person reads a user the viewer may see: whom users.read reaches, and of the inbox whoever the viewer may give a role to.
// Anybody else is not there for them.
func (c *Console) person(v *visit, tx *store.Tx) (person, error) {
	v.section = "users"
	if !v.viewer.gives() {
		if err := v.viewer.demand(v.frame, access.UsersRead); err != nil {
			return person{}, err
		}
	}
	u, err := tx.UserDetail(v.ctx, userOf(v))
	if err != nil {
		return person{}, err
	}
	e, err := tx.Access(v.ctx, u.ID)
	if err != nil {
		return person{}, err
	}
	if !v.viewer.meets(e) {
		return person{}, fault.New(fault.NotFound, "There is no user %s in this organization.", u.ID)
	}
	p := person{frame: v.frame, User: u, Access: e, Status: statusOf(u), Manages: v.viewer.reaches(access.UsersManage, e)}
	p.Pushed = slices.ContainsFunc(u.Sources, func(s directory.Source) bool { return s.Kind == directory.SourceRecord })
	v.title = u.Name()
	if p.Manages {
		if p.Proves, err = tx.HasFactors(v.ctx, u.ID); err != nil {
			return p, err
		}
		if p.Sends, err = sendsReset(v.ctx, tx, u.ID); err != nil {
			return p, err
		}
	}
	names, err := tx.DirectoryNames(v.ctx)
	p.Sources = sourceWords(u, names)
	return p, err
}

// known is person for pages that show more than a giver of roles needs.
func (c *Console) known(v *visit, tx *store.Tx) (person, error) {
	p, err := c.person(v, tx)
	if err == nil && !v.viewer.reaches(access.UsersRead, p.Access) {
		err = v.viewer.demand(v.frame, access.UsersRead)
	}
	return p, err
}

// grantLine is one grant with the way it reaches the user.
type grantLine struct {
	Grant    id.Grant
	Role     string
	Resource string
	Source   string
	Hops     []hopLine
	Until    when
	From     when
	Includes []string
	Remove   bool   // the viewer may take it away here
	Why      string // why not
	Note     string // parked, outside its time
}

type hopLine struct {
	Text string
	Link templ.SafeURL
}

// grantLines explains grants; editable says whether the page offers to take them away.
func grantLines(v *visit, e *access.Effective, held []access.Held, editable bool) []grantLine {
	var out []grantLine
	c, t := e.Catalogue(), e.Tree()
	for _, h := range held {
		line := grantLine{
			Grant: h.Grant, Role: c.Name(h.Role), Resource: t.Name(h.Resource), Source: sourceName(h.Source),
			Until: v.when(h.Expires, ""), From: v.when(h.Starts, ""),
		}
		for _, included := range c.Expand(h.Role)[1:] {
			line.Includes = append(line.Includes, c.Name(included))
		}
		for _, hop := range h.Why {
			line.Hops = append(line.Hops, hopOf(v, hop))
		}
		if editable {
			line.Remove, line.Why = removable(v, h)
		}
		out = append(out, line)
	}
	return out
}

// removable says whether the viewer may take a grant away on the user's page, or why it is not to be had there.
func removable(v *visit, h access.Held) (bool, string) {
	switch {
	case h.Mapping != "":
		return false, "Comes with the group. Take the user out of the group, or change what the group gives."
	case h.Group != "":
		return false, "Given to the group. Take it from the group, or the user out of it."
	case h.Source == access.Default:
		return false, "Everybody has it. Switch the user to custom access to take it away."
	case h.Source == access.SCIM || h.Source == access.SSO:
		return false, "The identity provider sends it. It is taken away there."
	case h.Source == access.Provider:
		return false, "Comes with the provider relationship."
	case h.Grant == "":
		return false, ""
	}
	if _, may := v.viewer.giver().May(v.viewer.ground, h.Role, h.Resource); !may {
		return false, "Beyond what you may give, so not yours to take."
	}
	return true, ""
}

func sourceName(s access.Source) string {
	switch s {
	case access.Manual:
		return "Given by hand"
	case access.Invitation:
		return "Invitation"
	case access.SCIM:
		return "Directory"
	case access.SSO:
		return "Sign-in claim"
	case access.ByGroup:
		return "Group"
	case access.Default:
		return "Default role"
	case access.Provider:
		return "Provider"
	}
	return string(s)
}

func hopOf(v *visit, h access.Hop) hopLine {
	switch h.Kind {
	case access.HopGroup:
		line := hopLine{"Member of " + h.Name, ""}
		if v.viewer.everywhere(access.UsersRead) {
			line.Link = v.at("groups/" + h.ID)
		}
		return line
	case access.HopMapping:
		return hopLine{"which gives", ""}
	case access.HopGrant:
		return hopLine{"Given by " + either(h.Name, "someone"), ""}
	case access.HopDefault:
		return hopLine{"Default role of " + v.organization.Name, ""}
	case access.HopProvider:
		return hopLine{"Default role of " + h.Name + ", within the terms", ""}
	case access.HopRole:
		return hopLine{h.Name, roleLink(v, h.ID)}
	case access.HopIncluded:
		return hopLine{"includes " + h.Name, roleLink(v, h.ID)}
	case access.HopResource:
		return hopLine{"at " + h.Name, ""}
	case access.HopInherited:
		return hopLine{"and so at " + h.Name, ""}
	}
	return hopLine{h.Name, ""}
}

// roleLink leads to a role, for who may open the page: nothing is offered that leads to a refusal.
func roleLink(v *visit, role string) templ.SafeURL {
	if !v.viewer.may(access.UsersRead) {
		return ""
	}
	return v.at("roles") + templ.SafeURL("#"+role)
}

// userAccess is the first page about a user: what may she do, and why.
type userAccess struct {
	person
	Grants       []grantLine
	Waiting      []grantLine // parked, not yet in force, or over
	Restrictions []restrictionLine
	Permissions  []resourcePermissions
	Gives        bool
	Earlier      []earlier
	Question     question
}

type restrictionLine struct {
	ID        id.Restriction
	Resource  string
	Actions   []string
	Reason    string
	FromGroup string
	Lift      bool
}

// question is "can she ... at ...?" with its answer.
type question struct {
	Permissions []choice
	Resources   []choice
	Asked       bool
	Allowed     bool
	Answer      string
	Paths       [][]hopLine
}

func (c *Console) user(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.person(v, tx)
	if fault.KindOf(err) == fault.NotFound && v.provides() == nil {
		return v.external(tx, userOf(v))
	}
	if err != nil {
		return nil, err
	}
	p.Tab = "access"
	a := userAccess{person: p, Gives: v.viewer.gives()}
	e := p.Access
	held := e.Grants
	if e.Nothing != "" {
		held = e.Kept()
	}
	a.Grants = grantLines(v, e, held, v.viewer.gives())
	for _, h := range e.Parked {
		line := grantLines(v, e, []access.Held{h.Held}, v.viewer.gives())[0]
		line.Note = "Waits in the conflict list: it may not be held together with " + roleNames(e, h.Against) + "."
		a.Waiting = append(a.Waiting, line)
	}
	for _, h := range e.Outside {
		line := grantLines(v, e, []access.Held{h}, v.viewer.gives())[0]
		line.Note = "Not in force yet."
		if !h.Expires.IsZero() && !h.Expires.After(v.now) {
			line.Note = "Is over."
		}
		a.Waiting = append(a.Waiting, line)
	}
	for _, r := range e.Restrictions {
		line := restrictionLine{ID: r.ID, Resource: e.Tree().Name(r.Resource), Actions: r.Actions, Reason: r.Reason}
		if r.Group != "" {
			line.FromGroup = groupName(e, r.Group)
		} else {
			line.Lift = access.Restrict(v.viewer.giver(), v.viewer.ground, r, e) == nil
		}
		a.Restrictions = append(a.Restrictions, line)
	}
	a.Permissions = permissionsOf(e)
	a.Question = ask(v, e)
	a.Earlier, err = earlierOf(v, tx, p)
	return userAccessPage(a), err
}

func roleNames(e *access.Effective, roles []id.Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, e.Catalogue().Name(r))
	}
	return strings.Join(out, " and ")
}

func groupName(e *access.Effective, g id.Group) string {
	for _, of := range e.Groups {
		if of.ID == g {
			return of.Name
		}
	}
	return string(g)
}

func ask(v *visit, e *access.Effective) question {
	permission, resource := id.Permission(v.query("permission")), id.Resource(v.query("at"))
	q := question{Asked: permission != "", Resources: resourceChoices(e.Tree(), string(resource))}
	for _, p := range e.Catalogue().Permissions() {
		q.Permissions = append(q.Permissions, choice{string(p.ID), either(p.Name, string(p.ID)), p.ID == permission})
	}
	if !q.Asked {
		return q
	}
	if resource == "" {
		resource = e.Tree().Root()
	}
	answer := e.Can(permission, resource)
	q.Allowed, q.Answer = answer.Allowed, answer.Reason
	for _, way := range answer.Paths {
		var hops []hopLine
		for _, h := range way {
			hops = append(hops, hopOf(v, h))
		}
		q.Paths = append(q.Paths, hops)
	}
	return q
}

type userGroups struct {
	person
	Groups []groupOfUser
}

type groupOfUser struct {
	ID      id.Group
	Name    string
	Source  string
	Direct  bool
	Through []string
}

func (c *Console) userGroups(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.known(v, tx)
	if err != nil {
		return nil, err
	}
	p.Tab = "groups"
	g := userGroups{person: p}
	var ids []id.Group
	for _, of := range p.Access.Groups {
		ids = append(ids, of.ID)
	}
	groups, err := tx.GroupsOf(v.ctx, ids)
	if err != nil {
		return nil, err
	}
	names, err := tx.DirectoryNames(v.ctx)
	if err != nil {
		return nil, err
	}
	for _, of := range p.Access.Groups {
		line := groupOfUser{ID: of.ID, Name: of.Name, Direct: of.Direct}
		for _, via := range of.Through {
			line.Through = append(line.Through, groupName(p.Access, via))
		}
		group := groups[of.ID]
		line.Source = groupSource(&group, names)
		g.Groups = append(g.Groups, line)
	}
	return userGroupsPage(g), nil
}

type userIdentities struct {
	person
	Records    []recordLine
	Identities []identityLine
}

type recordLine struct {
	Directory, ExternalID string
	Active                bool
	Unsaid                when // since then it does not say whether the person is active
	Created, Modified     when
	Parts                 []recordPart
	Document              string
}

type identityLine struct {
	store.UserIdentity
	Created, LastUsed, Closed when
}

func (c *Console) userIdentities(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.known(v, tx)
	if err != nil {
		return nil, err
	}
	p.Tab = "identities"
	i := userIdentities{person: p}
	records, err := tx.UserRecords(v.ctx, p.User.ID)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		line := recordLine{
			ExternalID: r.ExternalID, Active: r.Active, Created: v.when(r.Created, ""), Modified: v.when(r.Modified, ""),
			Unsaid: v.when(r.Unsaid, ""), Document: pretty(r.Document),
		}
		d, err := tx.Directory(v.ctx, r.Directory)
		if err != nil {
			return nil, err
		}
		types, err := d.Types()
		if err != nil {
			return nil, err
		}
		if line.Parts, err = recordParts(r.Document, types.User); err != nil {
			return nil, err
		}
		line.Directory = d.Name
		i.Records = append(i.Records, line)
	}
	identities, err := tx.UserIdentities(v.ctx, p.User.ID)
	if err != nil {
		return nil, err
	}
	for _, of := range identities {
		i.Identities = append(i.Identities, identityLine{
			of, v.when(of.Created, ""), v.when(of.LastUsed, "Never"), v.when(of.Closed, ""),
		})
	}
	return userIdentitiesPage(i), nil
}

// pretty indents JSON for reading.
func pretty(raw []byte) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

type userSessions struct {
	person
	Sessions []sessionLine
}

type sessionLine struct {
	ID       id.Session
	Browser  string
	IP       string
	Through  string
	Started  when
	LastSeen when
	Ends     when
	This     bool
}

func sessionLines(v *visit, tx *store.Tx, user id.User) ([]sessionLine, error) {
	list, err := tx.SessionsOf(v.ctx, user)
	if err != nil {
		return nil, err
	}
	var out []sessionLine
	for _, s := range list {
		out = append(out, sessionLine{
			ID: s.ID, Browser: browserName(s), IP: s.IP, Through: string(s.Connection), Started: v.when(s.Created, ""),
			LastSeen: v.when(s.LastSeen, ""), Ends: v.when(s.Expires, ""),
			This: v.viewer.session != nil && v.viewer.session.ID == s.ID,
		})
	}
	return out, nil
}

// browserName says in words what a User-Agent says in riddles; only for people to tell their sessions apart.
func browserName(s session.Session) string {
	browser, system := "Unknown browser", ""
	for _, b := range [][2]string{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	} {
		if strings.Contains(s.UserAgent, b[0]) {
			browser = b[1]
			break
		}
	}
	for _, o := range [][2]string{
		{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(s.UserAgent, o[0]) {
			system = " on " + o[1]
			break
		}
	}
	return browser + system
}

func (c *Console) userSessions(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.known(v, tx)
	if err != nil {
		return nil, err
	}
	p.Tab = "sessions"
	s := userSessions{person: p}
	s.Sessions, err = sessionLines(v, tx, p.User.ID)
	return userSessionsPage(s), err
}

type userActivity struct {
	person
	Events []eventLine
	Next   string
}

func (c *Console) userActivity(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.known(v, tx)
	if err != nil {
		return nil, err
	}
	if !v.viewer.everywhere(access.AuditRead) {
		return nil, fault.New(fault.Forbidden, "Activity is read from the audit log, which needs the permission %q for all of %s.",
			access.AuditRead, v.organization.Name)
	}
	p.Tab = "activity"
	events, err := tx.Events(v.ctx, store.AuditFilter{User: p.User.ID, Before: id.Event(v.query("before")), Limit: eventsPerPage + 1})
	if err != nil {
		return nil, err
	}
	a := userActivity{person: p}
	if len(events) > eventsPerPage {
		events = events[:eventsPerPage]
		a.Next = string(p.at("activity", "before", string(events[eventsPerPage-1].ID)))
	}
	a.Events, err = eventLines(v, tx, events)
	return userActivityPage(a), err
}

// act is something an administrator can do to a user: what it is called, what follows from it, and how it is done.
type act struct {
	Name    string // in the address
	Heading string // "Suspend Dana?"
	Button  string
	Danger  bool
	Asks    bool // for a reason
	Follows []string
	Blocked string // why it cannot be done now
	do      func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error)
}

// acts lists what can be done to a user in its present state.
func (p person) acts() []act {
	if !p.Manages {
		return nil
	}
	u := p.User
	name := u.Name()
	suspend := act{
		Name: "suspend", Heading: "Suspend " + name + "?", Button: "Suspend", Danger: true, Asks: true,
		Follows: []string{
			name + " is signed out everywhere at once, and applications lose their tokens.",
			"Signing in is refused until the suspension is lifted, whatever the directory says.",
			"The seat becomes free.", "Roles given by hand are kept and come back when the suspension is lifted.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return name + " is suspended and signed out everywhere.", tx.Suspend(v.ctx, u.ID, v.viewer.actor, reason)
		},
	}
	lift := act{
		Name: "reactivate", Heading: "Lift the suspension of " + name + "?", Button: "Lift suspension", Asks: true,
		Follows: []string{
			name + " can sign in again and takes a seat.", "The roles from before are in force again.",
			"Old sessions and tokens stay dead.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return "The suspension of " + name + " is lifted.", tx.Reactivate(v.ctx, u.ID, v.viewer.actor, reason)
		},
	}
	end := act{
		Name: "end-sessions", Heading: "End all sessions of " + name + "?", Button: "End all sessions", Danger: true,
		Follows: []string{
			name + " is signed out in every browser, and applications lose their tokens.",
			"Signing in again stays possible. To prevent that, suspend the user.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, _ string) (string, error) {
			n, err := tx.EndUserSessions(v.ctx, u.ID)
			if err != nil {
				return "", err
			}
			tx.Record(v.ctx, audit.Event{
				Actor: v.viewer.actor, Action: "session.ended", TargetKind: "user", TargetID: string(u.ID), TargetName: name, User: u.ID,
				Reason: "all sessions ended by an administrator",
			})
			return plural(int(n), "session") + " of " + name + " ended.", nil
		},
	}
	remove := act{
		Name: "delete", Heading: "Delete " + name + "?", Button: "Delete", Danger: true, Asks: true,
		Follows: []string{
			name + " is signed out everywhere at once and can no longer sign in.",
			"The seat becomes free, and so does the userName: somebody new may take it.",
			"The record stays under “show deleted” and can be restored, with its roles.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return name + " is deleted.", tx.DeleteUser(v.ctx, u.ID, v.viewer.actor, reason)
		},
	}
	if p.Pushed {
		remove.Blocked = "A directory pushes this user, and would go on telling of it. Remove the user there, or suspend it here."
	}
	restore := act{
		Name: "restore", Heading: "Restore " + name + "?", Button: "Restore", Asks: true,
		Follows: []string{
			name + " takes a seat and gets the roles given by hand back.",
			"Old sessions and tokens stay dead. Signing in works as before, unless somebody else has come by that way since.",
			"No directory speaks for this user any more: you keep the user, on your word.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return name + " is restored.", tx.RestoreUser(v.ctx, u.ID, v.viewer.actor, reason)
		},
	}
	keep := act{
		Name: "keep", Heading: "Keep " + name + " without the directory?", Button: "Keep without directory", Asks: true,
		Follows: []string{
			name + " can sign in though the directory says that the account is inactive.",
			"You vouch for this user until you take it back; the log says so.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return name + " is kept without the directory.", tx.KeepWithoutDirectory(v.ctx, u.ID, true, v.viewer.actor, reason)
		},
	}
	let := act{
		Name: "unkeep", Heading: "Let the directory decide about " + name + " again?", Button: "Let the directory decide", Danger: true, Asks: true,
		Follows: []string{"From now on " + name + " is what the directories say. If none speaks for the user, the user is deleted."},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return "The directory decides about " + name + " again.", tx.KeepWithoutDirectory(v.ctx, u.ID, false, v.viewer.actor, reason)
		},
	}
	custom := act{
		Name: "custom", Heading: "Switch " + name + " to custom access?", Button: "Switch to custom access", Danger: true, Asks: true,
		Follows: []string{
			"The default roles of " + p.organization.Name + " no longer apply to " + name + ": only what was given to the user or its groups.",
			"The switch can be turned back at any time.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return name + " has custom access now.", tx.SetCustomAccess(v.ctx, u.ID, true, v.viewer.actor, reason)
		},
	}
	defaults := act{
		Name: "defaults", Heading: "Give " + name + " the default roles again?", Button: "Back to default roles", Asks: true,
		Follows: []string{"The default roles of " + p.organization.Name + " apply to " + name + " again, beside what was given."},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return name + " has the default roles again.", tx.SetCustomAccess(v.ctx, u.ID, false, v.viewer.actor, reason)
		},
	}
	if u.Status == directory.Deleted {
		return []act{restore}
	}
	var out []act
	switch {
	case !u.SuspendedAt.IsZero():
		out = append(out, lift)
	case u.Status == directory.Suspended && !u.KeptWithoutDirectory:
		out = append(out, keep, suspend)
	default:
		out = append(out, suspend, end)
	}
	if u.KeptWithoutDirectory {
		out = append(out, let)
	}
	if u.CustomAccess {
		out = append(out, defaults)
	} else {
		out = append(out, custom)
	}
	if p.Sends {
		out = append(out, sendReset(name, u.Email))
	}
	if p.Proves {
		out = append(out, resetFactors(name))
	}
	return append(out, remove)
}

func (p person) act(name string) (act, error) {
	if !p.Manages {
		return act{}, fault.New(fault.Forbidden, "This needs the permission %q, and yours does not reach %s. An administrator of %s can do it.",
			access.UsersManage, p.User.Name(), p.organization.Name)
	}
	for _, a := range p.acts() {
		if a.Name == name {
			return a, nil
		}
	}
	return act{}, fault.New(fault.Conflict, "That does not apply to %s, who is %s now.", p.User.Name(), strings.ToLower(p.Status.Word))
}

// has reports whether an act is offered.
func (p person) has(name string) bool {
	return slices.ContainsFunc(p.acts(), func(a act) bool { return a.Name == name })
}

// confirm is the page, or the dialog, that names what an act leads to before it is done.
type confirm struct {
	person
	Act     act
	Changes []changeLine
}

func (c *Console) confirmAct(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return nil, err
	}
	a, err := p.act(chi.URLParam(v.r, "act"))
	if err != nil {
		return nil, err
	}
	page := confirm{person: p, Act: a}
	if a.Name == "custom" || a.Name == "defaults" {
		facts, err := tx.AccessFacts(v.ctx, p.User.ID)
		if err != nil {
			return nil, err
		}
		facts.User.CustomAccess = a.Name == "custom"
		page.Changes = changeLines(p.Access, access.Decide(facts, v.now))
	}
	return confirmPage(page), nil
}

func (c *Console) doAct(v *visit, tx *store.Tx) (string, string, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return "", "", err
	}
	a, err := p.act(chi.URLParam(v.r, "act"))
	switch {
	case err != nil:
		return "", "", err
	case a.Blocked != "":
		return "", "", fault.New(fault.Conflict, "%s", a.Blocked)
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	done, err := a.do(v, tx, p.User, reason)
	return done, string(p.at("")), err
}

// reasonOf reads the reason somebody gave for a change.
func reasonOf(v *visit) (string, error) {
	reason := strings.TrimSpace(v.form("reason"))
	if len(reason) > 500 {
		return "", fault.New(fault.Invalid, "A reason of at most 500 characters fits into the log; this has %d.", len(reason))
	}
	return reason, nil
}

// endSession ends one session of a user.
func (c *Console) endSession(v *visit, tx *store.Tx) (string, string, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return "", "", err
	}
	if !p.Manages {
		return "", "", fault.New(fault.Forbidden, "Ending sessions needs the permission %q, and yours does not reach %s.",
			access.UsersManage, p.User.Name())
	}
	return endSessionOf(v, tx, p.User, id.Session(chi.URLParam(v.r, "session")), string(p.at("sessions")))
}

// endOwnSession ends one of the viewer's own.
func (c *Console) endOwnSession(v *visit, tx *store.Tx) (string, string, error) {
	u, err := tx.User(v.ctx, v.viewer.self())
	if err != nil {
		return "", "", err
	}
	return endSessionOf(v, tx, u, id.Session(chi.URLParam(v.r, "session")), string(v.at("me")))
}

func endSessionOf(v *visit, tx *store.Tx, u *directory.User, s id.Session, to string) (string, string, error) {
	live, err := tx.SessionByID(v.ctx, s)
	if fault.KindOf(err) == fault.Unauthenticated || err == nil && live.User != u.ID {
		return "The session was over already.", to, nil
	}
	if err != nil {
		return "", "", err
	}
	if _, err := tx.EndSession(v.ctx, s); err != nil {
		return "", "", err
	}
	tx.Record(v.ctx, audit.Event{
		Actor: v.viewer.actor, Action: "session.ended", TargetKind: "session", TargetID: string(s), TargetName: u.Name(), User: u.ID,
	})
	return fmt.Sprintf("The session in %s is ended.", browserName(live)), to, nil
}

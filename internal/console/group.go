package console

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountGroups adds the pages of groups and what is changed on them.
func (c *Console) mountGroups(r chi.Router) {
	r.Get("/groups", c.view("groups", "Groups", c.groups))
	r.Get("/new-group", c.view("groups", "New group", c.newGroup))
	r.Post("/new-group", c.change(c.createGroup))
	r.Route("/groups/{group}", func(r chi.Router) {
		r.Get("/", c.view("groups", "Group", c.group))
		r.Get("/give", c.view("groups", "Give roles", c.groupGiveDialog))
		r.Post("/give", c.show(c.save("groups", c.chooseForGroup)))
		r.Get("/{kind:grants|mappings}/{given}/remove", c.view("groups", "Take a role away", c.groupTakeDialog))
		r.Post("/{kind:grants|mappings}/{given}/remove", c.change(c.groupTake))
		r.Get("/add", c.view("groups", "Add members", c.addMemberDialog))
		r.Post("/members", c.change(c.addMember))
		r.Get("/members/{member}/remove", c.view("groups", "Take out", c.removeMemberDialog))
		r.Post("/members/{member}/remove", c.change(c.removeMember))
		r.Get("/rename", c.view("groups", "Rename", c.renameDialog))
		r.Post("/rename", c.change(c.rename))
		r.Get("/delete", c.view("groups", "Delete", c.deleteGroupDialog))
		r.Post("/delete", c.change(c.deleteGroup))
	})
}

// group is what every page about one group shows: what it is, whose it is, and what it gives.
type group struct {
	*frame
	Group    *directory.Group
	Source   string
	Owner    string // who fills it, where that is not people here
	Declared bool   // by the operator's file
	Manages  bool   // the viewer may change its name and its members
	Gives    bool   // the viewer may give roles
	Access   *access.Effective
	Facts    *access.Facts
	Given    []givenLine
	Members  []memberLine
	Next     string
}

// givenLine is a role that a group gives, and how it came to.
type givenLine struct {
	Role, Resource string
	Includes       []string
	Source         string
	Through        string // the group around this one that gives it
	ThroughLink    templ.SafeURL
	Until          when
	Note           string
	Remove         string // the address at which it is taken away
	Why            string // why not here
}

type memberLine struct {
	ID     string
	Link   templ.SafeURL
	Name   string
	Kind   string
	Source string
	Since  when
	Remove templ.SafeURL
}

const membersPerPage = 50

// at gives the address of a page below the group's.
func (g group) at(path string, query ...string) templ.SafeURL {
	to := "groups/" + string(g.Group.ID)
	if path != "" {
		to += "/" + path
	}
	return g.frame.at(to, query...)
}

// own reports whether people may rename and delete the group here.
func (g group) own() bool { return g.Manages && g.Group.Local() && !g.Declared }

// fills reports whether the viewer puts members in and takes them out here.
func (g group) fills() bool { return g.Manages && g.Group.Local() }

// oneGroup reads the group of the address with what it gives.
func (c *Console) oneGroup(v *visit, tx *store.Tx) (group, error) {
	v.section = "groups"
	if err := v.wholeOrganization(); err != nil {
		return group{}, err
	}
	of, err := tx.Group(v.ctx, id.Group(chi.URLParam(v.r, "group")))
	if err != nil {
		return group{}, err
	}
	v.title = of.Name
	g := group{frame: v.frame, Group: of, Manages: v.viewer.everywhere(access.UsersManage), Gives: v.viewer.gives()}
	names, err := tx.DirectoryNames(v.ctx)
	if err != nil {
		return g, err
	}
	g.Source = groupSource(of, names)
	switch {
	case of.Directory != "":
		g.Owner = names.Of(of.Directory)
	case of.Connection != "":
		g.Owner = string(of.Connection)
	default:
		g.Declared, err = tx.GroupDeclared(v.ctx, of.ID)
	}
	if err != nil {
		return g, err
	}
	if g.Facts, err = tx.GroupFacts(v.ctx, of.ID); err != nil {
		return g, err
	}
	g.Access = access.Decide(g.Facts, v.now)
	return g, nil
}

// manages is oneGroup for whoever changes the group itself.
func (c *Console) manages(v *visit, tx *store.Tx) (group, error) {
	g, err := c.oneGroup(v, tx)
	if err == nil && !g.Manages {
		err = v.managesAll()
	}
	return g, err
}

// managesAll refuses who does not manage users everywhere: a group's members may be any of them.
func (v *visit) managesAll() error {
	if v.viewer.everywhere(access.UsersManage) {
		return nil
	}
	return fault.New(fault.Forbidden, "Groups are made and filled by those who hold the permission %q for all of %s.", access.UsersManage,
		v.organization.Name)
}

// givenLines lists what a group gives, by mapping and by grant, with what comes from groups around it.
func givenLines(v *visit, tx *store.Tx, g group) ([]givenLine, error) {
	mappings, err := tx.Mappings(v.ctx)
	if err != nil {
		return nil, err
	}
	c, t, giver := g.Facts.Catalogue, g.Facts.Tree, v.viewer.giver()
	line := func(of id.Group, role id.Role, at id.Resource, remove string) givenLine {
		l := givenLine{Role: c.Name(role), Resource: t.Name(at), Until: v.when(time.Time{}, "")}
		for _, included := range c.Expand(role)[1:] {
			l.Includes = append(l.Includes, c.Name(included))
		}
		switch _, may := giver.May(g.Facts, role, at); {
		case of != g.Group.ID:
			l.Through, l.ThroughLink = groupName(g.Access, of), v.at("groups/"+string(of))
			l.Why = "Given to the group around this one. Change it there."
		case !may:
			l.Why = "Beyond what you may give, so not yours to take."
		default:
			l.Remove = string(g.at(remove))
		}
		return l
	}
	var out []givenLine
	for _, of := range g.Facts.Mappings {
		l := line(of.Group, of.Role, of.Resource, "mappings/"+string(of.ID)+"/remove")
		if i := slices.IndexFunc(mappings, func(m store.Mapping) bool { return m.ID == of.ID }); i >= 0 {
			l.Source = mappingSource(mappings[i])
			if mappings[i].Source == store.MappingDeclared && l.Through == "" {
				l.Remove, l.Why = "", "Declared in the operator's file, and changed there."
			}
		}
		out = append(out, l)
	}
	for _, of := range g.Facts.Grants {
		l := line(of.Group, of.Role, of.Resource, "grants/"+string(of.ID)+"/remove")
		l.Source = "Given by " + either(of.By, "someone") + ", " + v.when(of.Created, "").words()
		l.Until = v.when(of.Expires, "")
		switch {
		case !of.Expires.IsZero() && !v.now.Before(of.Expires):
			l.Note = "Over"
		case v.now.Before(of.Starts):
			l.Note = "Begins " + v.when(of.Starts, "").words()
		}
		out = append(out, l)
	}
	return out, nil
}

func (c *Console) group(v *visit, tx *store.Tx) (templ.Component, error) {
	g, err := c.oneGroup(v, tx)
	if err != nil {
		return nil, err
	}
	if g.Given, err = givenLines(v, tx, g); err != nil {
		return nil, err
	}
	members, err := tx.GroupMembers(v.ctx, g.Group.ID, v.query("after"), membersPerPage+1)
	if err != nil {
		return nil, err
	}
	if len(members) > membersPerPage {
		members = members[:membersPerPage]
		g.Next = string(g.at("", "after", members[membersPerPage-1].ID))
	}
	for _, m := range members {
		line := memberLine{ID: m.ID, Name: either(m.Name, m.ID), Kind: "User", Source: "Directory", Since: v.when(m.Added, ""), Link: v.at("users/" + m.ID)}
		if m.Kind == directory.GroupMember {
			line.Kind, line.Link = "Group", v.at("groups/"+m.ID)
		}
		switch m.Source {
		case directory.MemberByHand:
			line.Source = "By hand"
			if g.fills() {
				line.Remove = g.at("members/" + m.ID + "/remove")
			}
		case directory.MemberClaimed:
			line.Source = "Sign-in claim"
		case directory.MemberPushed:
		}
		g.Members = append(g.Members, line)
	}
	return groupPage(g), nil
}

// chooseForGroup works out the dialog in which a group is given roles.
func (c *Console) chooseForGroup(v *visit, tx *store.Tx, chosen url.Values) (giveForm, error) {
	g, err := c.oneGroup(v, tx)
	if err != nil {
		return giveForm{}, err
	}
	if !g.Gives {
		return giveForm{}, v.givesNothing()
	}
	f := giveForm{
		person: person{frame: v.frame, Access: g.Access}, Title: "Give " + g.Group.Name + " roles", Form: g.at("give"), Home: g.at(""),
	}
	before := len(g.Facts.Grants)
	f.pick(v, g.Facts, access.Grant{Group: g.Group.ID}, chosen)
	if f.Problem != "" {
		return f, nil
	}
	added := g.Facts.Grants[before:]
	users, err := tx.UsersInGroup(v.ctx, g.Group.ID)
	if err != nil {
		return f, err
	}
	i, err := impactOf(v, tx, users, func(of *access.Facts) { of.Grants = append(of.Grants, added...) })
	f.Impact, f.Problem = &i, i.Refused
	f.Gives = f.grants(store.Grant{Group: g.Group.ID})
	f.Saved, f.Then = g.Group.Name+" gives "+f.Summary+" now.", g.at("")
	return f, err
}

func (c *Console) groupGiveDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	f, err := c.chooseForGroup(v, tx, v.r.URL.Query())
	if err != nil {
		return nil, err
	}
	return givePage(f), nil
}

// groupChange is a dialog that says what a change to a group leads to before it is done.
type groupChange struct {
	group
	Heading string
	Follows []string
	Impact  *impact
	Blocked string
	Button  string
	Asks    bool // for a reason, which then stands in the log
	Form    templ.SafeURL
}

// taken finds the grant or the mapping of the address among those of this very group.
func taken(v *visit, g group) (access.Grant, access.Mapping, error) {
	given := chi.URLParam(v.r, "given")
	for _, of := range g.Facts.Grants {
		if chi.URLParam(v.r, "kind") == "grants" && string(of.ID) == given && of.Group == g.Group.ID {
			return of, access.Mapping{}, nil
		}
	}
	for _, of := range g.Facts.Mappings {
		if chi.URLParam(v.r, "kind") == "mappings" && string(of.ID) == given && of.Group == g.Group.ID {
			return access.Grant{Role: of.Role, Resource: of.Resource, Source: access.Manual}, of, nil
		}
	}
	return access.Grant{}, access.Mapping{}, fault.New(fault.NotFound, "%s gives no such role.", g.Group.Name)
}

func (c *Console) groupTakeDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	g, err := c.oneGroup(v, tx)
	if err != nil {
		return nil, err
	}
	grant, mapping, err := taken(v, g)
	if err != nil {
		return nil, err
	}
	what := summary(g.Facts, []id.Role{grant.Role}, []id.Resource{grant.Resource})
	d := groupChange{
		group: g, Heading: "Take " + what + " away from " + g.Group.Name + "?", Button: "Take away", Asks: grant.ID != "",
		Form: g.at(chi.URLParam(v.r, "kind") + "/" + chi.URLParam(v.r, "given") + "/remove"),
	}
	if err := access.Revoke(v.viewer.giver(), g.Facts, grant); err != nil {
		d.Blocked = sentence(err)
	}
	if mapping.ID != "" {
		if m, err := tx.Mapping(v.ctx, mapping.ID); err != nil {
			return nil, err
		} else if m.Source == store.MappingDeclared {
			d.Blocked = "This is declared in the operator's file, and changed there."
		}
	}
	users, err := tx.UsersInGroup(v.ctx, g.Group.ID)
	if err != nil {
		return nil, err
	}
	i, err := impactOf(v, tx, users, func(f *access.Facts) {
		f.Grants = slices.DeleteFunc(f.Grants, func(o access.Grant) bool { return grant.ID != "" && o.ID == grant.ID })
		f.Mappings = slices.DeleteFunc(f.Mappings, func(o access.Mapping) bool { return mapping.ID != "" && o.ID == mapping.ID })
	})
	d.Impact = &i
	return groupChangePage(d), err
}

func (c *Console) groupTake(v *visit, tx *store.Tx) (string, string, error) {
	g, err := c.oneGroup(v, tx)
	if err != nil {
		return "", "", err
	}
	grant, mapping, err := taken(v, g)
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	if mapping.ID != "" {
		err = tx.Unmap(v.ctx, v.viewer.actor, mapping.ID)
	} else {
		err = tx.RevokeGrant(v.ctx, v.viewer.actor, grant.ID, reason)
	}
	return summary(g.Facts, []id.Role{grant.Role}, []id.Resource{grant.Resource}) + " is taken from " + g.Group.Name + ".", string(g.at("")), err
}

// picked is somebody in the search for members.
type picked struct {
	ID, Name, Email string
	Member          bool
}

// memberSearch is the dialog that finds people and puts them into a group.
type memberSearch struct {
	group
	Query   string
	Found   []picked
	More    bool
	Brings  []string // what whoever is added will hold
	Blocked string
}

const peopleFound = 8

func (c *Console) addMemberDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	g, err := c.manages(v, tx)
	if err != nil {
		return nil, err
	}
	s := memberSearch{group: g, Query: strings.TrimSpace(v.query("q")), Blocked: g.closed(v)}
	for _, h := range g.Access.Kept() {
		s.Brings = append(s.Brings, summary(g.Facts, []id.Role{h.Role}, []id.Resource{h.Resource}))
	}
	if s.Blocked != "" {
		return addMemberPage(s), nil
	}
	users, next, err := tx.ListUsers(v.ctx, store.UserFilter{Query: s.Query, Only: v.viewer.only, Limit: peopleFound})
	if err != nil {
		return nil, err
	}
	s.More = next != ""
	ids := make([]string, len(users))
	for i := range users {
		ids[i] = string(users[i].ID)
	}
	in, err := tx.InGroup(v.ctx, g.Group.ID, ids)
	for i := range users {
		u := &users[i]
		s.Found = append(s.Found, picked{ID: string(u.ID), Name: u.Name(), Email: either(u.Email, u.UserName), Member: in[string(u.ID)]})
	}
	return addMemberPage(s), err
}

// closed says why the viewer may put nobody into the group, or "": membership is a way to give what the group gives.
func (g group) closed(v *visit) string {
	if !g.Group.Local() {
		return "The members of " + g.Group.Name + " come from " + g.Owner + ", and are changed there."
	}
	for _, h := range g.Access.Kept() {
		if _, may := v.viewer.giver().May(g.Facts, h.Role, h.Resource); !may {
			return g.Group.Name + " gives " + summary(g.Facts, []id.Role{h.Role}, []id.Resource{h.Resource}) +
				", which you may not give; so you may not change who is in it."
		}
	}
	return ""
}

func (c *Console) addMember(v *visit, tx *store.Tx) (string, string, error) {
	g, err := c.manages(v, tx)
	if err != nil {
		return "", "", err
	}
	u, err := tx.User(v.ctx, id.User(v.form("member")))
	switch {
	case err != nil:
		return "", "", err
	case u.Status == directory.Deleted:
		return "", "", fault.New(fault.Conflict, "%s is deleted. Restore the user first.", u.Name())
	}
	if err := tx.AddMember(v.ctx, g.Group.ID, string(u.ID), directory.UserMember, v.viewer.actor); err != nil {
		return "", "", err
	}
	return u.Name() + " is in " + g.Group.Name + " now.", string(g.at("")), nil
}

// leaving changes facts to those without one membership; Decide finds out what hung on it.
func leaving(f *access.Facts, group id.Group, member string) {
	for i := range f.Groups {
		of := &f.Groups[i]
		if of.ID != group {
			continue
		}
		if string(f.User.ID) == member {
			of.Direct = false
		}
		of.Through = slices.DeleteFunc(of.Through, func(inner id.Group) bool { return string(inner) == member })
	}
}

func (c *Console) removeMemberDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	g, err := c.manages(v, tx)
	if err != nil {
		return nil, err
	}
	m, err := tx.GroupMember(v.ctx, g.Group.ID, chi.URLParam(v.r, "member"))
	if err != nil {
		return nil, err
	}
	d := groupChange{
		group: g, Heading: "Take " + either(m.Name, m.ID) + " out of " + g.Group.Name + "?", Button: "Take out",
		Form: g.at("members/" + m.ID + "/remove"), Blocked: g.closed(v),
	}
	users := []id.User{id.User(m.ID)}
	if m.Kind == directory.GroupMember {
		if users, err = tx.UsersInGroup(v.ctx, id.Group(m.ID)); err != nil {
			return nil, err
		}
	}
	i, err := impactOf(v, tx, users, func(f *access.Facts) { leaving(f, g.Group.ID, m.ID) })
	d.Impact = &i
	return groupChangePage(d), err
}

func (c *Console) removeMember(v *visit, tx *store.Tx) (string, string, error) {
	g, err := c.manages(v, tx)
	if err != nil {
		return "", "", err
	}
	m, err := tx.GroupMember(v.ctx, g.Group.ID, chi.URLParam(v.r, "member"))
	if err != nil {
		return "", "", err
	}
	return either(m.Name, m.ID) + " is no longer in " + g.Group.Name + ".", string(g.at("")),
		tx.RemoveMember(v.ctx, g.Group.ID, m.ID, v.viewer.actor)
}

// groupNaming is the dialog in which a group gets its name.
type groupNaming struct {
	*frame
	Heading, Name, Button string
	About                 string
	Form, Home            templ.SafeURL
}

func (c *Console) newGroup(v *visit, _ *store.Tx) (templ.Component, error) {
	if err := v.managesAll(); err != nil {
		return nil, err
	}
	return groupNamePage(groupNaming{
		frame: v.frame, Heading: "New group", Button: "Make the group", Form: v.at("new-group"), Home: v.at("groups"),
		About: "A group of " + v.organization.Name + "'s own: people here put members in and take them out, and what is given to it, all of them hold.",
	}), nil
}

func (c *Console) createGroup(v *visit, tx *store.Tx) (string, string, error) {
	if err := v.managesAll(); err != nil {
		return "", "", err
	}
	g, err := tx.CreateGroup(v.ctx, v.viewer.actor, v.form("name"))
	if err != nil {
		return "", "", err
	}
	return g.Name + " is made. Add members, and give it roles.", string(v.at("groups/" + string(g.ID))), nil
}

func (c *Console) renameDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	g, err := c.manages(v, tx)
	if err != nil {
		return nil, err
	}
	return groupNamePage(groupNaming{
		frame: v.frame, Heading: "Rename " + g.Group.Name, Name: g.Group.Name, Button: "Rename", Form: g.at("rename"), Home: g.at(""),
		About: "Members and roles stay as they are. Applications that are told the names of groups are told the new one.",
	}), nil
}

func (c *Console) rename(v *visit, tx *store.Tx) (string, string, error) {
	g, err := c.manages(v, tx)
	if err != nil {
		return "", "", err
	}
	return "The group is called " + strings.TrimSpace(v.form("name")) + " now.", string(g.at("")),
		tx.RenameGroup(v.ctx, v.viewer.actor, g.Group.ID, v.form("name"))
}

func (c *Console) deleteGroupDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	g, err := c.manages(v, tx)
	if err != nil {
		return nil, err
	}
	d := groupChange{
		group: g, Heading: "Delete " + g.Group.Name + "?", Button: "Delete the group", Asks: true, Form: g.at("delete"), Blocked: g.closed(v),
		Follows: []string{
			"Its members stay users; they lose what only this group gave them.",
			"What was given to the group is gone with it, and a new group of the same name does not bring it back.",
		},
	}
	if g.Declared {
		d.Blocked = g.Group.Name + " is declared in the operator's file, and taken away there."
	}
	users, err := tx.UsersInGroup(v.ctx, g.Group.ID)
	if err != nil {
		return nil, err
	}
	i, err := impactOf(v, tx, users, func(f *access.Facts) {
		f.Groups = slices.DeleteFunc(f.Groups, func(o access.Group) bool { return o.ID == g.Group.ID })
	})
	d.Impact = &i
	return groupChangePage(d), err
}

func (c *Console) deleteGroup(v *visit, tx *store.Tx) (string, string, error) {
	g, err := c.manages(v, tx)
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	return g.Group.Name + " is deleted.", string(v.at("groups")), tx.DeleteGroup(v.ctx, v.viewer.actor, g.Group.ID, reason)
}

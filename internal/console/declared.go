package console

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// leaf is a resource in the tree.
type leaf struct {
	ID, Name, Type string
	Given          int // grants exactly here
	Children       []leaf
}

func treeOf(t *access.Tree, given map[id.Resource]int) leaf {
	all := t.All()
	at := 0
	var walk func(depth int) leaf
	walk = func(depth int) leaf {
		r := all[at]
		l := leaf{ID: string(r.ID), Name: t.Name(r.ID), Type: r.Type, Given: given[r.ID]}
		at++
		for at < len(all) && t.Depth(all[at].ID) > depth {
			l.Children = append(l.Children, walk(depth+1))
		}
		return l
	}
	return walk(0)
}

type resources struct {
	*frame
	Tree  leaf
	Count int
}

func (c *Console) resources(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.viewer.demand(v.frame, access.UsersRead); err != nil {
		return nil, err
	}
	given := map[id.Resource]int{}
	if v.viewer.everywhere(access.UsersRead) {
		var err error
		if given, err = tx.ResourceCounts(v.ctx); err != nil {
			return nil, err
		}
	}
	return resourcesPage(resources{v.frame, treeOf(v.organization.Tree, given), len(v.organization.Tree.All())}), nil
}

// directoryLine is a directory with how it is doing.
type directoryLine struct {
	ID, Name, Dialect, Key string
	Base                   string
	Tone, Icon, Said       string // the status sentence
	Counts                 store.DirectoryCounts
	Last                   when
	Tokens                 []tokenLine
	Matters                []matter
	Refused                int // requests in the last day, to refusedShown at most
	Extensions             []extensionLine
	Repairs                []repairLine
}

// refusedShown is as far as refused requests are counted: beyond it the number says nothing more.
const refusedShown = 1000

// refused says how many requests were refused in the last day.
func (d directoryLine) refused() string {
	if d.Refused >= refusedShown {
		return "More than " + plural(refusedShown, "request") + " refused in 24 hours"
	}
	return plural(d.Refused, "request") + " refused in 24 hours"
}

// pushed says how much a directory has pushed.
func (d directoryLine) pushed() string {
	users := plural(d.Counts.Users, "user")
	if d.Counts.Inactive > 0 {
		users += " (" + number(d.Counts.Inactive) + " inactive there)"
	}
	return users + ", " + plural(d.Counts.Groups, "group")
}

// cadence says how often a provider normally calls, so that silence can be judged.
var cadence = map[string]string{
	"entra": "It normally calls about every 40 minutes.", "okta": "It calls when something changes.",
	"onelogin": "It calls when something changes.", "jumpcloud": "It calls when something changes.",
	"google": "It normally calls every few hours.", "ping": "It calls when something changes.",
}

func directoryLines(v *visit, tx *store.Tx) ([]directoryLine, error) {
	list, err := tx.Directories(v.ctx)
	if err != nil {
		return nil, err
	}
	var out []directoryLine
	for _, d := range list {
		full, err := tx.Directory(v.ctx, d.ID)
		if err != nil {
			return nil, err
		}
		line := directoryLine{
			ID: string(d.ID), Name: d.Name, Dialect: d.Dialect, Key: d.Key, Last: v.when(d.LastRequest, "Never"),
			Base: v.c.URL + "/scim/" + url.PathEscape(string(v.organization.ID)) + "/" + url.PathEscape(string(d.ID)) + "/v2",
		}
		if line.Counts, err = tx.CountDirectory(v.ctx, d.ID); err != nil {
			return nil, err
		}
		if line.Refused, err = tx.RefusedRequests(v.ctx, d.ID, v.now.Add(-24*time.Hour), refusedShown); err != nil {
			return nil, err
		}
		types, err := full.Types()
		if err != nil {
			return nil, err
		}
		line.Extensions = extensionLines(types)
		repaired, err := tx.Repairs(v.ctx, d.ID)
		if err != nil {
			return nil, err
		}
		line.Repairs = repairLines(v, repaired)
		for i := range full.Tokens {
			line.Tokens = append(line.Tokens, tokenLineOf(v, &full.Tokens[i]))
		}
		rhythm, err := tx.Rhythm(v.ctx, full)
		if err != nil {
			return nil, err
		}
		line.Matters = directoryMatters(v, full, rhythm)
		line.Tone, line.Icon, line.Said = directoryStatus(v, full, rhythm)
		out = append(out, line)
	}
	return out, nil
}

// directoryStatus says in a sentence how a directory is doing. We only know when it last called us; it is amber when it
// could call and never did.
func directoryStatus(v *visit, d *directory.Directory, r directory.Rhythm) (tone, icon, said string) {
	switch {
	case !d.Usable(v.now):
		return "bad", "stop", "No token is valid, so " + d.Name + " cannot reach us. Make one, or renew it in the file."
	case d.LastRequest.IsZero():
		return "warn", "warn", d.Name + " has never called. Enter the base URL and the token there, and start provisioning."
	case silent(d, r, v.now) != "":
		return "warn", "warn", silent(d, r, v.now)
	}
	return "ok", "check", strings.TrimSpace("Last call " + v.when(d.LastRequest, "").words() + ". " + cadence[d.Dialect])
}

type directories struct {
	*frame
	Directories []directoryLine
}

// setsUp refuses who may not see how sign-in and provisioning are set up.
func (v *visit) setsUp() error {
	if v.viewer.everywhere(access.ConnectionsManage) {
		return nil
	}
	return fault.New(fault.Forbidden, "This page needs the permission %q for all of %s, and you do not hold it there. An administrator of %s can give you a role that carries it.",
		access.ConnectionsManage, v.organization.Name, v.organization.Name)
}

func (c *Console) directories(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.setsUp(); err != nil {
		return nil, err
	}
	list, err := directoryLines(v, tx)
	return directoriesPage(directories{v.frame, list}), err
}

type applications struct {
	*frame
	Applications []application.Application
	Issuer       string
	Certificates []string // of the SAML identity provider, the one in use first; none before anybody asked for its metadata
}

func (c *Console) applications(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.setsUp(); err != nil {
		return nil, err
	}
	all, err := tx.OwnApplications(v.ctx)
	if err != nil {
		return nil, err
	}
	certificates, err := tx.AssertionCertificates(v.ctx)
	return applicationsPage(applications{v.frame, all, c.URL, certificates}), err
}

// groupLine is a group in the list.
type groupLine struct {
	ID      id.Group
	Name    string
	Source  string
	Members int
	Gives   []string
}

type groups struct {
	*frame
	Groups  []groupLine
	Waiting []mappingLine // mappings whose group has not arrived
	Query   string
}

type mappingLine struct {
	Group, Role, Resource, Source string
	Directory                     string
}

func groupSource(g *directory.Group, names store.DirectoryNames) string {
	switch {
	case g.Directory != "":
		return "Pushed by " + names.Of(g.Directory)
	case g.Connection != "":
		return "Claimed at sign-in through " + string(g.Connection)
	}
	return "Made here"
}

// gives lists what a group gives its members, by mapping and by grant.
func gives(v *visit, tx *store.Tx) (map[id.Group][]string, []mappingLine, error) {
	mappings, err := tx.Mappings(v.ctx)
	if err != nil {
		return nil, nil, err
	}
	out := map[id.Group][]string{}
	var waiting []mappingLine
	for _, m := range mappings {
		what := summary(v.viewer.ground, []id.Role{m.Role}, []id.Resource{m.Resource})
		if m.Group == "" {
			waiting = append(waiting, mappingLine{Group: m.GroupName, Role: what, Directory: string(m.Directory), Source: mappingSource(m)})
			continue
		}
		out[m.Group] = append(out[m.Group], what)
	}
	return out, waiting, nil
}

func mappingSource(m store.Mapping) string {
	if m.Source == store.MappingDeclared {
		return "Managed by file"
	}
	return "Made here by " + either(m.GrantedBy, "someone")
}

func (c *Console) groups(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.wholeOrganization(); err != nil {
		return nil, err
	}
	list, err := tx.Groups(v.ctx)
	if err != nil {
		return nil, err
	}
	given, waiting, err := gives(v, tx)
	if err != nil {
		return nil, err
	}
	names, err := tx.DirectoryNames(v.ctx)
	if err != nil {
		return nil, err
	}
	l := groups{frame: v.frame, Waiting: waiting, Query: strings.TrimSpace(v.query("q"))}
	for i := range list {
		g := &list[i]
		if !strings.Contains(strings.ToLower(g.Name), strings.ToLower(l.Query)) {
			continue
		}
		l.Groups = append(l.Groups, groupLine{
			ID: g.ID, Name: g.Name, Members: g.MemberCount, Gives: given[g.ID], Source: groupSource(g, names),
		})
	}
	return groupsPage(l), nil
}

// wholeOrganization refuses who sees only part of the organization's users: a group's members may be any of them.
func (v *visit) wholeOrganization() error {
	if v.viewer.everywhere(access.UsersRead) {
		return nil
	}
	return fault.New(fault.Forbidden, "Groups may hold anybody, so they need the permission %q for all of %s. You hold it for a part.",
		access.UsersRead, v.organization.Name)
}

// conflictLine is something that waits for a decision, in words.
type conflictLine struct {
	ID      id.Conflict
	Title   string
	Said    string
	Since   when
	User    id.User
	Choices []choice
	Facts   string
}

type conflicts struct {
	*frame
	Conflicts []conflictLine
}

func (v *visit) decides() error {
	if v.viewer.everywhere(access.UsersManage) {
		return nil
	}
	return fault.New(fault.Forbidden, "Conflicts are decided by those who hold the permission %q for all of %s.", access.UsersManage,
		v.organization.Name)
}

func (c *Console) conflictList(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.decides(); err != nil {
		return nil, err
	}
	list, err := tx.Conflicts(v.ctx, "")
	if err != nil {
		return nil, err
	}
	docs := make([]conflictDocument, len(list))
	var ids []id.Group
	for i, of := range list {
		// A document of a shape this page does not know is shown as it is.
		_ = json.Unmarshal(of.Document, &docs[i])
		if of.Kind == store.ConflictGroupName {
			ids = append(ids, docs[i].Bound, docs[i].Group)
		}
	}
	groups, err := tx.GroupsOf(v.ctx, ids)
	if err != nil {
		return nil, err
	}
	directories, err := tx.DirectoryNames(v.ctx)
	if err != nil {
		return nil, err
	}
	l := conflicts{frame: v.frame}
	for i, of := range list {
		l.Conflicts = append(l.Conflicts, conflictWords(v, of, docs[i], groups, directories))
	}
	return conflictsPage(l), nil
}

// conflictDocument is what the kinds of conflict say.
type conflictDocument struct {
	User       id.User      `json:"user"`
	Name       string       `json:"name"`
	Roles      []id.Role    `json:"roles"`
	Bound      id.Group     `json:"bound"`
	Group      id.Group     `json:"group"`
	Directory  id.Directory `json:"directory"`
	UserName   string       `json:"user_name"`
	Email      string       `json:"email"`
	Holder     id.User      `json:"holder"`
	HolderName string       `json:"holder_name"`
}

// conflictWords says what collided and what the choices are.
func conflictWords(
	v *visit, of store.Conflict, doc conflictDocument, groups map[id.Group]directory.Group, directories store.DirectoryNames,
) conflictLine {
	line := conflictLine{ID: of.ID, Since: v.when(of.Created, ""), Facts: pretty(of.Document)}
	switch of.Kind {
	case store.ConflictExclusive:
		var names []string
		for _, r := range doc.Roles {
			names = append(names, v.viewer.ground.Catalogue.Name(r))
		}
		line.User = doc.User
		line.Title = doc.Name + " would hold " + strings.Join(names, " and ") + " together"
		line.Said = "Nobody may hold these together, so what arrived by sync is parked and not in force. Take one of the two away, here or in the directory: then the other comes into force by itself."
	case store.ConflictGroupName:
		line.Title = "Two groups are called " + doc.Name
		sources := make([]string, 2)
		for i, g := range []id.Group{doc.Bound, doc.Group} {
			sources[i] = "a group that is gone"
			if found, ok := groups[g]; ok {
				sources[i] = groupSource(&found, directories)
			}
		}
		line.Said = "What this name gives stays with the first group (" + sources[0] + ") until you decide. The second: " + sources[1] + "."
		line.Choices = []choice{{Value: store.KeepBound, Name: "Leave it with the first"}, {Value: store.Rebind, Name: "Move it to the second"}}
	case store.ConflictCollision:
		line.User = doc.Holder
		line.Title = directories.Of(doc.Directory) + " pushes somebody whose user name is taken"
		line.Said = either(doc.Name, doc.Email, doc.UserName) + " (" + doc.UserName + ") was pushed, and " + doc.HolderName +
			" holds that user name. If they are the same person, the next push joins them; else one of the two must be renamed."
		line.Choices = []choice{{Value: store.SamePerson, Name: "The same person"}, {Value: differentPeople, Name: "Different people"}}
	default:
		line.Title = words(of.Kind)
		line.Said = "About " + either(doc.Name, of.Subject) + "."
		line.User = doc.User
	}
	return line
}

const differentPeople = "different-people"

func (c *Console) decide(v *visit, tx *store.Tx) (string, string, error) {
	if err := v.decides(); err != nil {
		return "", "", err
	}
	conflict, to := id.Conflict(chi.URLParam(v.r, "conflict")), string(v.at("conflicts"))
	switch decision := v.form("decision"); decision {
	case store.SamePerson:
		return "The next push joins them.", to, tx.ResolveCollision(v.ctx, conflict, true, v.viewer.actor)
	case differentPeople:
		return "They stay apart. Rename one of the two.", to, tx.ResolveCollision(v.ctx, conflict, false, v.viewer.actor)
	default:
		return "Decided.", to, tx.ResolveGroupName(v.ctx, v.viewer.actor, conflict, decision)
	}
}

package console

import (
	"fmt"
	"net/http"
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
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// giveForm is the dialog in which roles are given: what is chosen so far, what can be chosen and why not the rest, and what
// it would change. The whole is worked out anew at each choice, by the code that decides when it is saved.
type giveForm struct {
	person                        // who would hold them; of a group and of several only the frame, and what it gives
	Several   []*access.Effective // of several people: who would hold them
	Title     string
	Form      templ.SafeURL // where it is sent
	Home      templ.SafeURL // where Cancel leads
	Roles     []pick
	Resources []pick
	Expires   string
	Limit     string // the giver's own limit, as a date
	Reason    string
	Wants     []access.Want
	Changes   []changeLine
	Impact    *impact // of a group: who of its members gains what
	Summary   string
	Problem   string        // why it cannot be saved as chosen
	Fault     string        // why saving was refused
	First     string        // the input that gets the focus
	Back      string        // "inbox" for who came from there
	Gives     []store.Grant // what saving it writes
	Saved     string        // what is said then
	Then      templ.SafeURL // and where it leads
}

// pick is one checkbox: chosen by hand, ticked because something else brings it, or greyed with the reason.
type pick struct {
	ID, Name, Detail string
	Type             string
	Depth            int
	Chosen           bool
	Ticked           bool // without being chosen: implied or held
	Blocked          bool
	Why              string
}

// changeLine is what somebody gains or loses at a resource and below.
type changeLine struct {
	Resource string
	Gained   []permissionLine
	Lost     []permissionLine
}

func changeLines(before, after *access.Effective) []changeLine {
	names := map[id.Permission]string{}
	for _, p := range after.Catalogue().Permissions() {
		names[p.ID] = p.Name
	}
	lines := func(list []id.Permission) (out []permissionLine) {
		for _, p := range list {
			out = append(out, permissionLine{string(p), either(names[p], string(p))})
		}
		return out
	}
	var out []changeLine
	for _, c := range access.Compare(before, after) {
		out = append(out, changeLine{after.Tree().Name(c.Resource), lines(c.Gained), lines(c.Lost)})
	}
	return out
}

// givesNothing refuses who may give no role anywhere.
func (v *visit) givesNothing() error {
	return fault.New(fault.Forbidden, "You hold no role in %s that may give others. An administrator of %s can give you one.",
		v.organization.Name, v.organization.Name)
}

// choose works out the dialog from what is chosen.
func (c *Console) choose(v *visit, tx *store.Tx, chosen url.Values) (giveForm, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return giveForm{}, err
	}
	if !v.viewer.gives() {
		return giveForm{}, v.givesNothing()
	}
	if p.User.Status == directory.Deleted {
		return giveForm{}, fault.New(fault.Conflict, "%s is deleted. Restore the user first.", p.User.Name())
	}
	f := giveForm{person: p, Title: "Give " + p.User.Name() + " roles", Form: p.at("give"), Home: p.at("")}
	facts, err := tx.AccessFacts(v.ctx, p.User.ID)
	if err != nil {
		return giveForm{}, err
	}
	f.pick(v, facts, access.Grant{User: p.User.ID}, chosen, p.Access)
	if f.Problem != "" {
		return f, nil
	}
	f.Changes = changeLines(p.Access, access.Decide(facts, v.now))
	f.Gives = f.grants(store.Grant{User: p.User.ID})
	f.Saved, f.Then = p.User.Name()+" holds "+f.Summary+" now.", p.at("")
	// Who gives without users.read no longer reaches the user now.
	if f.Back == "inbox" || !v.viewer.reaches(access.UsersRead, p.Access) {
		f.Then = v.at("inbox")
	}
	return f, nil
}

// grants is what is wanted, for one who gets it.
func (f *giveForm) grants(to store.Grant) (out []store.Grant) {
	for _, want := range f.Wants {
		to.Role, to.Resource, to.Expires = want.Role, want.Resource, want.Expires
		out = append(out, to)
	}
	return out
}

// pick works out what is chosen and what can be, and adds what would be given to the facts. To is the user or the group that
// would hold it; receivers are those whose roles it must not exclude.
func (f *giveForm) pick(v *visit, facts *access.Facts, to access.Grant, chosen url.Values, receivers ...*access.Effective) {
	f.Expires, f.Reason, f.Back = chosen.Get("expires"), chosen.Get("reason"), chosen.Get("back")
	g := v.viewer.giver()
	roles, noRole := known(chosen["role"], func(r id.Role) bool { _, ok := facts.Catalogue.Role(r); return ok })
	resources, noResource := known(chosen["resource"], func(r id.Resource) bool { _, ok := facts.Tree.Get(r); return ok })
	// A resource below another chosen one adds nothing.
	resources = slices.DeleteFunc(resources, func(r id.Resource) bool {
		return slices.ContainsFunc(resources, func(o id.Resource) bool { return o != r && facts.Tree.Reaches(o, r) })
	})
	roles = slices.DeleteFunc(roles, func(r id.Role) bool {
		return slices.ContainsFunc(roles, func(o id.Role) bool { return o != r && facts.Catalogue.Carries(o, r) })
	})
	holders := f.Several
	if len(holders) == 0 {
		holders = []*access.Effective{f.Access}
	}
	f.Roles = rolePicks(g, facts, holders, roles, resources)
	f.Resources = resourcePicks(g, facts, roles, resources)
	// The dialog opens on its first choice. When a choice re-renders it, the focus stays where it is.
	rerendered := strings.HasPrefix(v.r.Header.Get("HX-Source"), "form")
	for _, r := range append(slices.Clone(f.Roles), f.Resources...) {
		if !rerendered && !r.Blocked && !r.Ticked {
			f.First = r.ID
			break
		}
	}
	expires, err := endOf(f.Expires)
	if err != nil {
		f.Problem = fault.As(err).Message
		return
	}
	var until time.Time
	for _, r := range roles {
		for _, at := range resources {
			f.Wants = append(f.Wants, access.Want{Role: r, Resource: at, Expires: expires})
			if end, may := g.May(facts, r, at); may && !end.IsZero() && (until.IsZero() || end.Before(until)) {
				until = end
			}
		}
	}
	if !until.IsZero() {
		f.Limit = until.Format(time.DateOnly)
	}
	switch {
	case noRole != "" || noResource != "":
		// The page is older than the catalogue or the tree. Saving the rest of a choice would not be what was chosen.
		f.Problem = fmt.Sprintf("There is no %q any more. Choose again.", either(noRole, noResource))
		return
	case len(roles) == 0 && len(resources) == 0:
		f.Problem = "Choose a role, and where it holds."
		return
	case len(roles) == 0:
		f.Problem = "Choose a role."
		return
	case len(resources) == 0:
		f.Problem = "Choose where it holds."
		return
	}
	for _, w := range f.Wants {
		if err := access.Give(g, facts, w, v.now, receivers...); err != nil {
			f.Problem = sentence(err)
			return
		}
		to.ID, to.Role, to.Resource, to.Expires = id.New[id.Grant](), w.Role, w.Resource, w.Expires
		to.Source, to.By, to.Created = access.Manual, v.viewer.name(), v.now
		facts.Grants = append(facts.Grants, to)
	}
	f.Summary = summary(facts, roles, resources)
}

// sentence is what a fault says to a person.
func sentence(err error) string {
	if f := fault.As(err); f != nil {
		return f.Message
	}
	return err.Error()
}

func summary(f *access.Facts, roles []id.Role, resources []id.Resource) string {
	var what, where []string
	for _, r := range roles {
		what = append(what, f.Catalogue.Name(r))
	}
	for _, r := range resources {
		where = append(where, f.Tree.Name(r))
	}
	return strings.Join(what, " and ") + " at " + strings.Join(where, " and ")
}

// known gives what there is of what was chosen, each once, and the first that there is not.
func known[T ~string](in []string, is func(T) bool) (out []T, not string) {
	for _, s := range in {
		switch t := T(s); {
		case !is(t):
			not = either(not, s)
		case !slices.Contains(out, t):
			out = append(out, t)
		}
	}
	return out, not
}

// endOf reads the end date of a grant: the role holds through that day, UTC.
func endOf(day string) (time.Time, error) {
	t, err := parseDay(day)
	if err != nil || t.IsZero() {
		return t, err
	}
	return t.AddDate(0, 0, 1), nil
}

// rolePicks says of each role whether it can be chosen: implied by a chosen one, held already, excluded, beyond the ceiling.
func rolePicks(g access.Giver, f *access.Facts, holders []*access.Effective, chosen []id.Role, at []id.Resource) []pick {
	var out []pick
	for _, r := range f.Catalogue.Roles() {
		p := pick{ID: string(r.ID), Name: f.Catalogue.Name(r.ID), Detail: detailOf(f.Catalogue, r.ID), Type: kindOf(r)}
		brings := slices.IndexFunc(chosen, func(o id.Role) bool { return o != r.ID && f.Catalogue.Carries(o, r.ID) })
		held := heldByAll(holders, r.ID, at)
		switch {
		case slices.Contains(chosen, r.ID):
			p.Chosen = true
		case brings >= 0:
			p.Ticked, p.Why = true, "Included in "+f.Catalogue.Name(chosen[brings])
		case held != "":
			p.Ticked, p.Why = true, held
		default:
			p.Why = blockedRole(g, f, holders, r.ID, at)
			p.Blocked = p.Why != ""
		}
		out = append(out, p)
	}
	return out
}

// heldByAll says why everybody of some holds a role at all of the resources already, or "".
func heldByAll(holders []*access.Effective, r id.Role, at []id.Resource) (because string) {
	for _, e := range holders {
		if because = heldAt(e, r, at); because == "" {
			return ""
		}
	}
	if len(holders) > 1 {
		because = "All of them hold it already"
	}
	return because
}

// heldAt says why a role is held at all of the resources already, or "".
func heldAt(e *access.Effective, r id.Role, at []id.Resource) string {
	if len(at) == 0 {
		at = []id.Resource{e.Tree().Root()}
	}
	var because string
	for _, where := range at {
		i := slices.IndexFunc(e.Grants, func(h access.Held) bool {
			return e.Catalogue().Carries(h.Role, r) && e.Tree().Reaches(h.Resource, where)
		})
		if i < 0 {
			return ""
		}
		h := e.Grants[i]
		because = "Held already"
		if h.Role != r {
			because += ", included in " + e.Catalogue().Name(h.Role)
		}
		if h.Source == access.Default {
			because += " (default role)"
		} else if h.Group != "" {
			because += " through " + groupName(e, h.Group)
		}
	}
	return because
}

func blockedRole(g access.Giver, f *access.Facts, holders []*access.Effective, r id.Role, at []id.Resource) string {
	if !f.Catalogue.Covers(f.Organization.Available, r) {
		return f.Organization.Name + " may not use this role; an operator decides on that."
	}
	for _, e := range holders {
		for _, h := range e.Kept() {
			if !slices.Contains(f.Catalogue.Excluded(r), h.Role) {
				continue
			}
			why := "Nobody may hold this together with " + f.Catalogue.Name(h.Role) + "."
			if len(holders) > 1 {
				why = e.User.Name + " holds " + f.Catalogue.Name(h.Role) + ", and nobody may hold this together with it."
			}
			return why
		}
	}
	where := at
	if len(where) == 0 {
		for _, all := range f.Tree.All() {
			if _, may := g.May(f, r, all.ID); may {
				return ""
			}
		}
		return "Above what you may give."
	}
	for _, one := range where {
		if _, may := g.May(f, r, one); !may {
			return "You may not give this at " + f.Tree.Name(one) + "."
		}
	}
	return ""
}

// detailOf says what a role allows, in short.
func detailOf(c *access.Catalogue, r id.Role) string {
	names := map[id.Permission]string{}
	for _, p := range c.Permissions() {
		names[p.ID] = either(p.Name, string(p.ID))
	}
	role, _ := c.Role(r)
	var out []string
	for _, i := range role.Includes {
		out = append(out, "all of "+c.Name(i))
	}
	for _, p := range role.Permissions {
		out = append(out, names[p])
	}
	const most = 3
	if len(out) > most {
		return strings.Join(out[:most], ", ") + " and " + number(len(out)-most) + " more"
	}
	return strings.Join(out, ", ")
}

// resourcePicks says of each resource whether the giver may give the chosen roles there.
func resourcePicks(g access.Giver, f *access.Facts, roles []id.Role, chosen []id.Resource) []pick {
	var out []pick
	for _, r := range f.Tree.All() {
		p := pick{ID: string(r.ID), Name: f.Tree.Name(r.ID), Type: r.Type, Depth: f.Tree.Depth(r.ID)}
		above := slices.IndexFunc(chosen, func(o id.Resource) bool { return o != r.ID && f.Tree.Reaches(o, r.ID) })
		switch {
		case slices.Contains(chosen, r.ID):
			p.Chosen = true
		case above >= 0:
			p.Ticked, p.Why = true, "Included in "+f.Tree.Name(chosen[above])
		case len(g.Roles(f, r.ID)) == 0:
			p.Blocked, p.Why = true, "You may give nothing here"
		default:
			for _, role := range roles {
				if _, may := g.May(f, role, r.ID); !may {
					p.Blocked, p.Why = true, "You may not give "+f.Catalogue.Name(role)+" here"
					break
				}
			}
		}
		out = append(out, p)
	}
	return out
}

func (c *Console) giveDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	f, err := c.choose(v, tx, v.r.URL.Query())
	if err != nil {
		return nil, err
	}
	return givePage(f), nil
}

// save is the door at which one of these dialogs is sent: all of what was chosen is given, or nothing.
func (c *Console) save(section string, choose func(*visit, *store.Tx, url.Values) (giveForm, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return fault.Wrap(err, fault.Invalid, "The form could not be read.")
		}
		v, err := c.visit(w, r, section, "")
		if err != nil {
			return redirected(w, r, err)
		}
		var f giveForm
		err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
			if err = v.fill(tx); err != nil {
				return err
			}
			if f, err = choose(v, tx, r.PostForm); err != nil {
				return err
			}
			if f.Problem != "" {
				return fault.New(fault.Invalid, "%s", f.Problem)
			}
			reason, err := reasonOf(v)
			if err != nil {
				return err
			}
			for _, g := range f.Gives {
				g.Reason = reason
				if _, err := tx.Give(v.ctx, v.viewer.actor, g); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			// Nothing was saved; what was chosen stays on the page, with the reason above it.
			if kind := fault.KindOf(err); f.Title != "" && kind != fault.Internal && kind != fault.Unavailable {
				status, failure := page.FailureOf(err)
				f.Fault = failure.Said
				return page.Render(w, r, status, givePage(f))
			}
			return c.refusedChange(v, err)
		}
		c.setFlash(w, f.Saved)
		http.Redirect(w, r, string(f.Then), http.StatusSeeOther)
		return nil
	}
}

// removal is the dialog that takes a grant away: what is lost, and what remains through other ways.
type removal struct {
	person
	Grant    store.Grant
	What     string
	Changes  []changeLine
	Remains  []string
	LastWord string // why it will be refused
}

func grantOf(v *visit) id.Grant { return id.Grant(chi.URLParam(v.r, "grant")) }

func (c *Console) removeDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return nil, err
	}
	g, err := tx.Grant(v.ctx, grantOf(v))
	if err != nil {
		return nil, err
	}
	if g.User != p.User.ID {
		return nil, fault.New(fault.NotFound, "%s has no such grant.", p.User.Name())
	}
	facts, err := tx.AccessFacts(v.ctx, p.User.ID)
	if err != nil {
		return nil, err
	}
	r := removal{person: p, Grant: g, What: summary(facts, []id.Role{g.Role}, []id.Resource{g.Resource})}
	if err := access.Revoke(v.viewer.giver(), facts, access.Grant{
		ID: g.ID, Role: g.Role, Resource: g.Resource, Source: g.Source, By: g.GrantedByName,
	}); err != nil {
		r.LastWord = sentence(err)
	}
	facts.Grants = slices.DeleteFunc(facts.Grants, func(o access.Grant) bool { return o.ID == g.ID })
	after := access.Decide(facts, v.now)
	r.Changes, r.Remains = changeLines(p.Access, after), roleTags(after)
	return removePage(r), nil
}

func (c *Console) remove(v *visit, tx *store.Tx) (string, string, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return "", "", err
	}
	g, err := tx.Grant(v.ctx, grantOf(v))
	switch {
	case err != nil:
		return "", "", err
	case g.User != p.User.ID:
		return "", "", fault.New(fault.NotFound, "%s has no such grant.", p.User.Name())
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	if err := tx.RevokeGrant(v.ctx, v.viewer.actor, g.ID, reason); err != nil {
		return "", "", err
	}
	return summary(v.viewer.ground, []id.Role{g.Role}, []id.Resource{g.Resource}) + " is taken from " + p.User.Name() + ".",
		string(p.at("")), nil
}

// restrictForm is the dialog that takes actions away at a resource and below.
type restrictForm struct {
	person
	Resources []choice
	Actions   []pick
}

func (c *Console) restrictDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return nil, err
	}
	if !v.viewer.reaches(access.UsersManage, p.Access) {
		return nil, fault.New(fault.Forbidden, "Restrictions are set by those who manage users, and yours does not reach %s.", p.User.Name())
	}
	f := restrictForm{person: p}
	for _, r := range v.viewer.ground.Tree.All() {
		if v.viewer.mayAt(access.UsersManage, r.ID) {
			f.Resources = append(f.Resources, choice{
				Value: string(r.ID), Name: strings.Repeat("\u00a0\u00a0", v.viewer.ground.Tree.Depth(r.ID)) + v.viewer.ground.Tree.Name(r.ID),
			})
		}
	}
	for _, permission := range v.viewer.ground.Catalogue.Permissions() {
		action := access.Action(permission.ID)
		name := either(permission.Name, string(permission.ID))
		i := slices.IndexFunc(f.Actions, func(a pick) bool { return a.ID == action })
		if i < 0 {
			f.Actions = append(f.Actions, pick{ID: action, Name: action, Detail: name})
		} else {
			f.Actions[i].Detail += ", " + name
		}
	}
	return restrictPage(f), nil
}

func (c *Console) restrict(v *visit, tx *store.Tx) (string, string, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	r, err := tx.Restrict(v.ctx, v.viewer.actor, store.Restriction{
		User: p.User.ID, Resource: id.Resource(v.form("resource")), Actions: v.r.PostForm["action"], Reason: reason,
	})
	if err != nil {
		return "", "", err
	}
	return p.User.Name() + " may no longer " + strings.Join(r.Actions, ", ") + " at " + v.viewer.ground.Tree.Name(r.Resource) + ".",
		string(p.at("")), nil
}

func (c *Console) lift(v *visit, tx *store.Tx) (string, string, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return "", "", err
	}
	r := id.Restriction(chi.URLParam(v.r, "restriction"))
	// The address names the user: a restriction of somebody else is not lifted through it.
	if !slices.ContainsFunc(p.Access.Restrictions, func(x access.Restriction) bool { return x.ID == r && x.User == p.User.ID }) {
		return "", "", fault.New(fault.NotFound, "%s has no such restriction.", p.User.Name())
	}
	if err := tx.LiftRestriction(v.ctx, v.viewer.actor, r); err != nil {
		return "", "", err
	}
	return "The restriction of " + p.User.Name() + " is lifted.", string(p.at("")), nil
}

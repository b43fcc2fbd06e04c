package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// organizationLine is one organization in the list of those somebody can open.
type organizationLine struct {
	ID, Name, Seats, Flag string
}

// home is the root: nobody runs this yet; the operator's list of organizations; where a user is signed in; or the doors.
func (c *Console) home(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	o, err := c.operator(ctx, r)
	if err != nil {
		return err
	}
	if o != nil {
		return c.organizations(w, r, o)
	}
	var claimed, declared bool
	if err := c.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		if claimed, err = tx.HasOperator(ctx); err != nil || claimed {
			return err
		}
		all, err := tx.Organizations(ctx)
		declared = len(all) > 0
		return err
	}); err != nil {
		return err
	}
	var here []id.Organization
	for _, org := range c.cookies().Organizations(r) {
		_, err := c.DB.Session(ctx, org, c.cookies().Hash(r, org))
		switch {
		case err == nil:
			here = append(here, org)
		case fault.KindOf(err) != fault.Unauthenticated:
			return err
		}
	}
	switch {
	case len(here) == 1 && r.URL.Query().Get("choose") == "":
		http.Redirect(w, r, "/o/"+url.PathEscape(string(here[0])), http.StatusSeeOther)
		return nil
	case len(here) > 0:
		var list []organizationLine
		for _, org := range here {
			if err := c.DB.Read(ctx, org, func(tx *store.Tx) error {
				self, err := tx.Self(ctx)
				if err == nil {
					list = append(list, organizationLine{ID: string(self.ID), Name: self.Name})
				}
				return err
			}); err != nil {
				return err
			}
		}
		return page.Render(w, r, http.StatusOK, choosePage(list))
	case !claimed:
		return page.Render(w, r, http.StatusOK, unclaimedPage(declared))
	}
	return page.Render(w, r, http.StatusOK, doorsPage())
}

func (c *Console) organizations(w http.ResponseWriter, r *http.Request, o *store.Operator) error {
	var all []store.OrganizationSummary
	if err := c.DB.System().Read(r.Context(), func(tx *store.SystemTx) (err error) {
		all, err = tx.Organizations(r.Context())
		return err
	}); err != nil {
		return err
	}
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	var list []organizationLine
	for _, s := range all {
		if !strings.Contains(strings.ToLower(s.Name+" "+string(s.ID)), strings.ToLower(q)) {
			continue
		}
		line := organizationLine{ID: string(s.ID), Name: s.Name, Seats: seats(s.SeatLimit, s.Seated)}
		if len(s.Flags) > 0 {
			line.Flag = plural(len(s.Flags), "matter")
		}
		list = append(list, line)
	}
	f := &frame{viewer: &viewer{operator: o, actor: operatorActor(*o, c.from(r))}, now: c.DB.Now(), title: "Organizations"}
	ends, err := c.installationEnds(r, f)
	if err != nil {
		return err
	}
	return page.Render(w, r, http.StatusOK, organizationsPage(f, q, list, installationMatters(ends)))
}

// seats says how many seats are taken, and of how many.
func seats(limit, used int64) string {
	if limit == 0 {
		return number(int(used)) + " used, no limit"
	}
	return number(int(used)) + " of " + number(int(limit))
}

// overview is what the first page of an organization shows.
type overview struct {
	*frame
	Attention   []matter
	Seats       string // how many are taken
	SeatsOf     string // of how many
	Users       store.UserCounts
	Directories []directoryLine
	Recent      []eventLine
}

func (c *Console) overview(v *visit, tx *store.Tx) (templ.Component, error) {
	if !v.viewer.opens() {
		return c.me(v, tx)
	}
	o := overview{frame: v.frame, Attention: flagMatters(v)}
	limit, used, err := tx.Seats(v.ctx)
	if err != nil {
		return nil, err
	}
	o.Seats, o.SeatsOf = number(int(used)), "seats used, no limit"
	if limit > 0 {
		o.SeatsOf = "of " + plural(int(limit), "seat") + " used"
	}
	if v.viewer.everywhere(access.UsersRead) {
		if o.Users, err = tx.CountUsers(v.ctx); err != nil {
			return nil, err
		}
		holders, err := holderMatters(v, tx)
		if err != nil {
			return nil, err
		}
		o.Attention = append(append(o.Attention, holders...), seatMatter(v, limit, used)...)
	}
	if v.viewer.everywhere(access.ConnectionsManage) {
		if o.Directories, err = directoryLines(v, tx); err != nil {
			return nil, err
		}
		for _, d := range o.Directories {
			o.Attention = append(o.Attention, d.Matters...)
		}
		matters, err := samlMatters(v, tx)
		if err != nil {
			return nil, err
		}
		o.Attention = append(o.Attention, matters...)
		ends, err := tx.Expiries(v.ctx)
		if err != nil {
			return nil, err
		}
		// Tokens are spoken of with their directories.
		ends = slices.DeleteFunc(ends, func(i expiry.Item) bool { return i.Kind == expiry.Token })
		o.Attention = append(o.Attention, endingMatters(v, ends)...)
	}
	if v.viewer.everywhere(access.AuditRead) {
		events, err := tx.Events(v.ctx, store.AuditFilter{Limit: 8})
		if err != nil {
			return nil, err
		}
		if o.Recent, err = eventLines(v, tx, events); err != nil {
			return nil, err
		}
	}
	return overviewPage(o), nil
}

// mine is what a person may see about themselves.
type mine struct {
	*frame
	User        *directory.User
	Grants      []grantLine
	Permissions []resourcePermissions
	Nothing     string
	Sessions    []sessionLine
}

// me is a user's own page: who am I here, what may I do, and why. It needs no permission.
func (c *Console) me(v *visit, tx *store.Tx) (templ.Component, error) {
	if v.viewer.session == nil {
		return nil, fault.New(fault.NotFound, "An operator belongs to no organization and holds no role in it.")
	}
	v.section, v.title = "me", "My access"
	u, err := tx.UserDetail(v.ctx, v.viewer.self())
	if err != nil {
		return nil, err
	}
	m := mine{frame: v.frame, User: u, Nothing: v.viewer.access.Nothing}
	m.Grants = grantLines(v, v.viewer.access, v.viewer.access.Grants, false)
	m.Permissions = permissionsOf(v.viewer.access)
	if m.Sessions, err = sessionLines(v, tx, u.ID); err != nil {
		return nil, err
	}
	return mePage(m), nil
}

// leave signs a user out of one organization.
func (c *Console) leave(w http.ResponseWriter, r *http.Request) error {
	org := organizationOf(r)
	if !id.Declared(string(org)) {
		return fault.New(fault.NotFound, "There is no organization at this address.")
	}
	to := "/"
	if hash := c.cookies().Hash(r, org); hash != "" {
		from := c.from(r)
		err := c.DB.Write(r.Context(), org, func(tx *store.Tx) error {
			s, err := tx.SessionByHash(r.Context(), hash)
			if fault.KindOf(err) == fault.Unauthenticated {
				return nil
			}
			if err != nil {
				return err
			}
			from.Kind, from.ID, from.Organization = audit.ActorUser, string(s.User), org
			from.Name = either(s.DisplayName, s.Email, s.UserName)
			if _, err := tx.EndSession(r.Context(), s.ID); err != nil {
				return err
			}
			tx.Record(r.Context(), audit.Event{
				Actor: from, Action: "session.ended", TargetKind: "session", TargetID: string(s.ID), TargetName: from.Name,
				User: s.User, Reason: "signed out",
			})
			if way, err := tx.BeginLeaving(r.Context(), s, c.cookies().Browser(r), store.Leaving{}); err != nil || way != "" {
				to = way
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	http.SetCookie(w, c.cookies().Clear(org))
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// resourcePermissions is what somebody may do at one resource, and below it as far as no other line says something else.
type resourcePermissions struct {
	Resource    string
	Type        string
	Permissions []permissionLine // none where a restriction takes everything away
}

type permissionLine struct {
	ID, Name string
}

// permissionsOf lists what somebody may do in tree order, at the root and wherever it differs from the resource above: a tree
// of thousands of sites stays a page.
func permissionsOf(e *access.Effective) []resourcePermissions {
	names := map[id.Permission]string{}
	for _, p := range e.Catalogue().Permissions() {
		names[p.ID] = p.Name
	}
	tree, by := e.Tree(), e.ByResource()
	var out []resourcePermissions
	for _, r := range tree.All() {
		list := by[r.ID]
		if up := tree.Path(r.ID); len(up) == 1 && len(list) == 0 || len(up) > 1 && slices.Equal(by[up[1]], list) {
			continue
		}
		line := resourcePermissions{Resource: tree.Name(r.ID), Type: r.Type}
		for _, p := range list {
			line.Permissions = append(line.Permissions, permissionLine{string(p), cmp.Or(names[p], string(p))})
		}
		out = append(out, line)
	}
	return out
}

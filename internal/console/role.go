package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountRoles adds the page of roles, and what is made and changed on it.
func (c *Console) mountRoles(r chi.Router) {
	r.Get("/roles", c.view("roles", "Roles", c.roles))
	r.Get("/roles/new", c.view("roles", "New role", c.newRole))
	r.Post("/roles", c.show(c.makeRole))
	r.Get("/roles/{role}/edit", c.view("roles", "Change a role", c.editRole))
	r.Post("/roles/{role}/edit", c.show(c.changeRole))
	r.Get("/roles/{role}/delete", c.view("roles", "Delete a role", c.deleteRoleDialog))
	r.Post("/roles/{role}/delete", c.change(c.deleteRole))
}

// kindOf says of a role in a list that it is one of the organization's own.
func kindOf(r access.Role) string {
	if r.Custom {
		return "custom role"
	}
	return ""
}

// roleCard is a role with what it contains.
type roleCard struct {
	ID, Name    string
	Description string
	Custom      bool
	Declared    bool // a custom role by the operator's file
	Permissions []permissionLine
	Inherited   []permissionLine
	Includes    []string
	MayGive     string
	Protected   bool
	MFA         bool
	Available   bool
	Default     bool
	Excluded    []string
	Given       int
	By          string
	At          when
}

// anchor is the card's id on the page: a colon in one would have to be escaped wherever it is named.
func (r roleCard) anchor() string { return strings.ReplaceAll(r.ID, ":", "-") }

type roles struct {
	*frame
	Custom, Roles []roleCard
	Makes         bool // the viewer makes and changes custom roles
}

// seesRoles refuses who may neither see users nor make roles.
func (v *visit) seesRoles() error {
	if v.viewer.makesRoles() {
		return nil
	}
	return v.viewer.demand(v.frame, access.UsersRead)
}

func (v *visit) managesRoles() error {
	if v.viewer.makesRoles() {
		return nil
	}
	return fault.New(fault.Forbidden, "Custom roles are made by those who hold the permission %q for all of %s. An administrator of %s can give you a role that carries it.",
		access.RolesManage, v.organization.Name, v.organization.Name)
}

func (c *Console) roles(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.seesRoles(); err != nil {
		return nil, err
	}
	given := map[id.Role]int{}
	if v.viewer.everywhere(access.UsersRead) {
		var err error
		if given, err = tx.RoleCounts(v.ctx); err != nil {
			return nil, err
		}
	}
	made, err := tx.CustomRoles(v.ctx)
	if err != nil {
		return nil, err
	}
	l := roles{frame: v.frame, Makes: v.viewer.makesRoles()}
	for _, r := range v.viewer.ground.Catalogue.Roles() {
		card := v.roleCard(r)
		card.Given = given[r.ID]
		if !r.Custom {
			l.Roles = append(l.Roles, card)
			continue
		}
		if i := slices.IndexFunc(made, func(m store.CustomRole) bool { return m.ID == r.ID }); i >= 0 {
			card.Declared = made[i].Declared()
			card.By, card.At = made[i].MadeByName, v.when(made[i].Modified, "")
		}
		l.Custom = append(l.Custom, card)
	}
	return rolesPage(l), nil
}

func (v *visit) roleCard(r access.Role) roleCard {
	catalogue, organization := v.viewer.ground.Catalogue, v.viewer.ground.Organization
	names := map[id.Permission]string{}
	for _, p := range catalogue.Permissions() {
		names[p.ID] = either(p.Name, string(p.ID))
	}
	roleNames := func(list []id.Role) (out []string) {
		for _, r := range list {
			out = append(out, catalogue.Name(r))
		}
		return out
	}
	card := roleCard{
		ID: string(r.ID), Name: catalogue.Name(r.ID), Description: r.Description, Custom: r.Custom,
		Includes: roleNames(catalogue.Expand(r.ID)[1:]), Protected: r.Protected, MFA: catalogue.AsksMFA(r.ID),
		Available: catalogue.Covers(organization.Available, r.ID), Excluded: roleNames(catalogue.Excluded(r.ID)),
		Default: slices.ContainsFunc(organization.DefaultRoles, func(d access.RoleAt) bool { return d.Role == r.ID }),
	}
	for _, p := range catalogue.PermissionsOf(r.ID) {
		line := permissionLine{string(p), names[p]}
		if slices.Contains(r.Permissions, p) {
			card.Permissions = append(card.Permissions, line)
		} else {
			card.Inherited = append(card.Inherited, line)
		}
	}
	var may []id.Role
	for _, other := range catalogue.Roles() {
		if catalogue.MayGrant(r.ID, other.ID) {
			may = append(may, other.ID)
		}
	}
	switch {
	case len(may) == len(catalogue.Roles()):
		card.MayGive = "Every role"
	case len(may) > 0:
		card.MayGive = strings.Join(roleNames(may), ", ")
	}
	return card
}

// roleForm is the form of a custom role, new or not.
type roleForm struct {
	*frame
	Role        access.Role // what is typed, or what the role is
	Version     int64       // 0: it is new
	Typed       string      // as its id
	Permissions []pick
	Includes    []pick
	Grants      []pick
	People      int
	Used        []string // where it is in use, each as part of a sentence
	Withdrawn   []string // what it names that is not in force any more
	CannotGive  bool     // the viewer could not give the role itself
	Shut        string   // why the viewer may not change it
	Fault       string
	Faults      map[string]string // of single fields
}

func (f roleForm) title() string {
	if f.Version == 0 {
		return "New role"
	}
	return "Change " + f.Role.Name
}

func (f roleForm) to() templ.SafeURL {
	if f.Version == 0 {
		return f.at("roles")
	}
	return f.at("roles/" + url.PathEscape(string(f.Role.ID)) + "/edit")
}

// reached says before a change whom it reaches.
func (f roleForm) reached() string {
	switch f.People {
	case 0:
		return "Nobody has this role now."
	case 1:
		return "1 person has this role. What you change here holds for them from the moment it is saved."
	}
	return number(f.People) + " people have this role. What you change here holds for them from the moment it is saved."
}

// uses says where the role is in use.
func (f roleForm) uses() string {
	if len(f.Used) == 0 {
		return ""
	}
	return "In use: " + strings.Join(f.Used, "; ") + "."
}

// fill works out what can be chosen.
func (f *roleForm) fill(ctx context.Context, v *visit, tx *store.Tx) error {
	f.frame = v.frame
	ground, giver := v.viewer.ground, v.viewer.giver()
	own := ground.Catalogue.Own(ground.Organization.Available)
	at := ground.Tree.Name(ground.Tree.Root())
	for _, p := range own.Permissions() {
		chosen := slices.Contains(f.Role.Permissions, p.ID)
		if !own.InReach(p.ID) {
			if chosen {
				f.Withdrawn = append(f.Withdrawn, either(p.Name, string(p.ID)))
			}
			continue
		}
		choice := pick{ID: string(p.ID), Name: either(p.Name, string(p.ID)), Detail: string(p.ID), Chosen: chosen}
		if !chosen && !giver.MayPut(p.ID) {
			choice.Blocked, choice.Why = true, "You do not hold it at "+at+" for good, so you cannot put it into a role."
		}
		f.Permissions = append(f.Permissions, choice)
	}
	named := func(r access.Role, list []id.Role) pick {
		p := pick{ID: string(r.ID), Name: own.Name(r.ID), Type: kindOf(r), Detail: detailOf(own, r.ID), Chosen: slices.Contains(list, r.ID)}
		if !p.Chosen && !giver.MayName(ground, f.Role.ID, r.ID) {
			p.Blocked, p.Why = true, "You may not give it at "+at+" for good, so you cannot put it into a role."
		}
		return p
	}
	every := named(access.Role{ID: access.Every}, f.Role.MayGrant)
	every.Name, every.Detail = "Every role", "Those that are made later too"
	if every.Blocked {
		every.Why = "You may not give every role yourself."
	}
	f.Grants = append(f.Grants, every)
	for _, r := range own.Roles() {
		if !own.Covers(ground.Organization.Available, r.ID) {
			if slices.Contains(f.Role.Includes, r.ID) || slices.Contains(f.Role.MayGrant, r.ID) {
				f.Withdrawn = append(f.Withdrawn, own.Name(r.ID))
			}
			continue
		}
		f.Grants = append(f.Grants, named(r, f.Role.MayGrant))
		if r.ID == f.Role.ID {
			continue
		}
		p := named(r, f.Role.Includes)
		if !p.Chosen && !p.Blocked && f.Version > 0 && own.Carries(r.ID, f.Role.ID) {
			p.Blocked, p.Why = true, "It includes this role."
		}
		f.Includes = append(f.Includes, p)
	}
	if f.Version == 0 {
		f.CannotGive = !giver.MayName(ground, "", access.Every)
		return nil
	}
	_, may := giver.May(ground, f.Role.ID, ground.Tree.Root())
	f.CannotGive = !may
	n, err := tx.CountPeople(ctx, f.Role.ID)
	if err != nil {
		return err
	}
	use, err := tx.RoleUse(ctx, f.Role.ID)
	if err != nil {
		return err
	}
	f.People, f.Used = int(n), use.Sentences()
	return nil
}

func (c *Console) newRole(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.managesRoles(); err != nil {
		return nil, err
	}
	var f roleForm
	err := f.fill(v.ctx, v, tx)
	return roleFormPage(f), err
}

// roleOf is the role of the address.
func (v *visit) roleOf(tx *store.Tx) (store.CustomRole, error) {
	if err := v.managesRoles(); err != nil {
		return store.CustomRole{}, err
	}
	return tx.CustomRole(v.ctx, id.Role(chi.URLParam(v.r, "role")))
}

func (c *Console) editRole(v *visit, tx *store.Tx) (templ.Component, error) {
	r, err := v.roleOf(tx)
	if err != nil {
		return nil, err
	}
	v.title = "Change " + r.Name
	f := roleForm{Role: r.Role, Version: r.Version}
	if err := f.fill(v.ctx, v, tx); err != nil {
		return nil, err
	}
	if err := access.Undefine(v.viewer.giver(), v.viewer.ground, r.Role); err != nil {
		f.Shut = sentence(err)
	}
	if r.Declared() {
		f.Shut = r.Name + " is declared in the operator's file, and changed there."
	}
	return roleFormPage(f), nil
}

// typedRole reads the form.
func (v *visit) typedRole(r id.Role) roleForm {
	f := roleForm{Typed: v.form("id"), Role: access.Role{
		ID: r, Name: strings.TrimSpace(v.form("name")), Description: strings.TrimSpace(v.form("description")), RequireMFA: v.form("mfa") != "",
	}}
	for _, p := range v.r.PostForm["permission"] {
		f.Role.Permissions = append(f.Role.Permissions, id.Permission(p))
	}
	for _, p := range v.r.PostForm["include"] {
		f.Role.Includes = append(f.Role.Includes, id.Role(p))
	}
	for _, p := range v.r.PostForm["grant"] {
		f.Role.MayGrant = append(f.Role.MayGrant, id.Role(p))
	}
	return f
}

func (c *Console) makeRole(w http.ResponseWriter, r *http.Request) error {
	return c.saveRole(w, r, "is made. Give it to people on their pages, or to a group.",
		func(v *visit, tx *store.Tx, f *roleForm) (store.CustomRole, error) {
			f.Role.ID = ""
			role := f.Role
			role.ID = access.CustomID(f.Typed, role.Name)
			return tx.MakeRole(v.ctx, v.viewer.actor, role)
		})
}

func (c *Console) changeRole(w http.ResponseWriter, r *http.Request) error {
	return c.saveRole(w, r, "is changed, for all who have it.",
		func(v *visit, tx *store.Tx, f *roleForm) (store.CustomRole, error) {
			was, err := v.roleOf(tx)
			if err != nil {
				return was, err
			}
			f.Version, err = v.version()
			if err != nil {
				return was, err
			}
			return tx.ChangeRole(v.ctx, v.viewer.actor, f.Role, f.Version)
		})
}

// version is the state of the role that the form was made of. A form without one would overwrite whatever is there.
func (v *visit) version() (int64, error) {
	n, err := strconv.ParseInt(v.form("version"), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Invalid, "The form does not say which state of the role it was made of. Open it again.")
	}
	return n, nil
}

// saveRole answers a form: with the list and the role in it, or with the form as it was typed and what is wrong with it.
func (c *Console) saveRole(w http.ResponseWriter, r *http.Request, done string, save func(*visit, *store.Tx, *roleForm) (store.CustomRole, error)) error {
	v, err := c.filled(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	v.section = "roles"
	var f roleForm
	var saved store.CustomRole
	refused := c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		if err := v.managesRoles(); err != nil {
			return err
		}
		f = v.typedRole(id.Role(chi.URLParam(r, "role")))
		f.frame = v.frame
		var err error
		saved, err = save(v, tx, &f)
		return err
	})
	if refused == nil {
		c.setFlash(w, saved.Name+" "+done)
		http.Redirect(w, r, string(v.at("roles"))+"#"+roleCard{ID: string(saved.ID)}.anchor(), http.StatusSeeOther)
		return nil
	}
	if kind := fault.KindOf(refused); f.frame == nil || kind == fault.Internal || kind == fault.Unavailable || kind == fault.NotFound {
		return c.refusedChange(v, refused)
	}
	// Nothing was saved, and what was typed stays on the page.
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		f.Permissions, f.Includes, f.Grants, f.Withdrawn = nil, nil, nil, nil
		v.title = f.title()
		return f.fill(v.ctx, v, tx)
	})
	if err != nil {
		return redirected(w, r, err)
	}
	status, failure := page.FailureOf(refused)
	f.Fault, f.Faults = failure.Said, map[string]string{}
	if one := fault.As(refused); one != nil {
		for _, field := range one.Fields {
			name, _, _ := strings.Cut(field.Path, "[")
			if f.Faults[name] == "" {
				f.Faults[name] = field.Message
			}
		}
	}
	return page.Render(w, r, status, roleFormPage(f))
}

// roleEnd is the dialog in which a role is deleted.
type roleEnd struct {
	*frame
	Role store.CustomRole
	Used []string
	Form templ.SafeURL
}

func (c *Console) deleteRoleDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	r, err := v.roleOf(tx)
	if err != nil {
		return nil, err
	}
	use, err := tx.RoleUse(v.ctx, r.ID)
	return deleteRolePage(roleEnd{v.frame, r, use.Sentences(), v.at("roles/" + url.PathEscape(string(r.ID)) + "/delete")}), err
}

func (c *Console) deleteRole(v *visit, tx *store.Tx) (string, string, error) {
	r, err := v.roleOf(tx)
	if err != nil {
		return "", "", err
	}
	version, err := v.version()
	if err != nil {
		return "", "", err
	}
	return r.Name + " is deleted.", string(v.at("roles")), tx.DeleteRole(v.ctx, v.viewer.actor, r.ID, version)
}

package console

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// The pages about service providers: who may work for this organization, and for whom its own people work. Both sides see the same
// terms; the organization that is served sets them, and either side ends them.

func (c *Console) mountProviders(r chi.Router) {
	r.Get("/providers", c.view("providers", "Service providers", c.providers))
	r.Get("/providers/offer", c.view("providers", "Offer to serve", c.offerForm))
	r.Post("/providers/offer", c.change(c.offer))
	r.Get("/providers/{provider}", c.view("providers", "Service provider", c.provider))
	r.Get("/providers/{provider}/terms", c.view("providers", "Terms", c.termsForm))
	r.Post("/providers/{provider}/terms", c.change(c.setTerms))
	r.Get("/providers/{provider}/give", c.view("providers", "Give a role", c.giveProviderForm))
	r.Post("/providers/{provider}/give", c.change(c.giveProvider))
	r.Get("/providers/{provider}/users/{user}", c.view("providers", "Somebody of a provider", c.providerUser))
	r.Post("/providers/{provider}/grants/{grant}/remove", c.change(c.takeProvider))
	r.Get("/providers/{provider}/cut", c.view("providers", "Cut", c.cutForm))
	r.Post("/providers/{provider}/cut", c.change(c.cut))
}

// relationshipLine is a relationship as a page shows it.
type relationshipLine struct {
	store.Relationship
	frame *frame
	Words string // the terms
}

// Other is the side that is not the viewer's.
func (l relationshipLine) Other() (id.Organization, string) {
	if l.Provider == l.frame.organization.ID {
		return l.Client, l.ClientName
	}
	return l.Provider, l.ProviderName
}

// ours reports whether the viewer's organization is the one that is served.
func (l relationshipLine) ours() bool { return l.Client == l.frame.organization.ID }

func (l relationshipLine) otherName() string { _, name := l.Other(); return name }

func (l relationshipLine) path(more string) string {
	other, _ := l.Other()
	to := "providers/" + url.PathEscape(string(other))
	if more != "" {
		to += "/" + more
	}
	return to
}

func (l relationshipLine) badge() (tone, icon, words string) {
	switch l.State(l.frame.now) {
	case store.RelationshipProposed:
		if l.ours() {
			return "warn", "clock", "Waits for your approval"
		}
		return "warn", "clock", "Waits for their approval"
	case store.RelationshipInForce:
		return "ok", "check", "In force"
	}
	return "off", "stop", "Ended"
}

type providersView struct {
	*frame
	Serving []relationshipLine // who serves us
	Served  []relationshipLine // whom we serve
}

// provides refuses who does not decide on relationships: those who set up how people come in, for the whole organization.
func (v *visit) provides() error {
	if v.viewer.everywhere(access.ConnectionsManage) {
		return nil
	}
	return fault.New(fault.Forbidden, "Service providers are decided on by those who hold %q for all of %s.", access.ConnectionsManage, v.organization.Name)
}

func (v *visit) line(r store.Relationship) relationshipLine {
	l := relationshipLine{Relationship: r, frame: v.frame}
	if l.ours() {
		l.Words = r.Terms.Terms(v.viewer.ground.Catalogue, v.viewer.ground.Tree)
		return l
	}
	// The client's resources are its own: their ids are what the two sides have agreed on.
	var roles []string
	for _, role := range r.Terms.AllowedRoles {
		roles = append(roles, v.viewer.ground.Catalogue.Name(role))
	}
	at := r.ClientName
	if len(r.Terms.Resources) > 0 {
		var ids []string
		for _, resource := range r.Terms.Resources {
			ids = append(ids, string(resource))
		}
		at = strings.Join(ids, ", ")
	}
	l.Words = strings.Join(roles, ", ") + " at " + at
	if !r.Terms.Expires.IsZero() {
		l.Words += ", until " + r.Terms.Expires.UTC().Format("2 January 2006")
	}
	if r.Terms.RequireMFA {
		l.Words += ", with a second factor"
	}
	return l
}

func (c *Console) providers(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.provides(); err != nil {
		return nil, err
	}
	page := providersView{frame: v.frame}
	serving, err := tx.Providers(v.ctx)
	if err != nil {
		return nil, err
	}
	served, err := tx.Clients(v.ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range serving {
		page.Serving = append(page.Serving, v.line(r))
	}
	for _, r := range served {
		page.Served = append(page.Served, v.line(r))
	}
	return providersPage(page), nil
}

// relationship finds what the address names, from whichever side the viewer's organization is on.
func (v *visit) relationship(tx *store.Tx) (relationshipLine, error) {
	if err := v.provides(); err != nil {
		return relationshipLine{}, err
	}
	other := id.Organization(chi.URLParam(v.r, "provider"))
	r, err := tx.Relationship(v.ctx, other, tx.Organization)
	if fault.KindOf(err) == fault.NotFound {
		r, err = tx.Relationship(v.ctx, tx.Organization, other)
	}
	if err != nil {
		return relationshipLine{}, err
	}
	return v.line(r), nil
}

// providerOf is the same where only the side that is served acts.
func (v *visit) providerOf(tx *store.Tx) (relationshipLine, error) {
	l, err := v.relationship(tx)
	if err == nil && !l.ours() {
		err = fault.New(fault.Forbidden, "What your people may do for %s is decided there.", l.ClientName)
	}
	return l, err
}

type providerView struct {
	*frame
	Line   relationshipLine
	People []providerPerson
	Query  string
	Next   string
	All    []string // what everybody of the provider holds by its default roles
}

type providerPerson struct {
	store.ProviderUser
	Grants []providerGrant
	Has    []string // what is in force
	Why    string   // nothing is
}

// providerGrant is what was given to somebody of a provider by hand: what is in force of it, the terms decide.
type providerGrant struct {
	ID      id.Grant
	Words   string
	By      string
	Reason  string
	Created when
	Until   when
	Left    string // what the terms leave of it, where that is not all
	May     bool   // the viewer may take it away
}

func (c *Console) provider(v *visit, tx *store.Tx) (templ.Component, error) {
	l, err := v.relationship(tx)
	if err != nil {
		return nil, err
	}
	page := providerView{frame: v.frame, Line: l}
	if !l.ours() || l.Approved.IsZero() {
		return providerPage(page), nil
	}
	all, err := tx.ProviderDefaults(v.ctx, l.Provider)
	if err != nil {
		return nil, err
	}
	page.All = heldWords(all)
	page.Query = strings.TrimSpace(v.query("q"))
	people, next, err := tx.ProviderUsers(v.ctx, l.Provider, page.Query, v.query("cursor"), perPage)
	if err != nil {
		return nil, err
	}
	if next != "" {
		page.Next = string(v.at(l.path(""), "q", page.Query, "cursor", next))
	}
	ids := make([]id.User, len(people))
	for i, u := range people {
		ids[i] = u.User
	}
	held, err := tx.AccessOf(v.ctx, ids)
	if err != nil {
		return nil, err
	}
	given, err := tx.GrantsOf(v.ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, u := range people {
		if e := held[u.User]; e != nil { // else gone since the list was read
			page.People = append(page.People, providerPerson{
				ProviderUser: u, Has: heldWords(e), Why: e.Nothing, Grants: v.givenTo(given[u.User], e),
			})
		}
	}
	return providerPage(page), nil
}

// heldWords says what is in force, each once.
func heldWords(e *access.Effective) (out []string) {
	for _, h := range e.Grants {
		if words := e.Catalogue().Name(h.Role) + " at " + e.Tree().Name(h.Resource); !slices.Contains(out, words) {
			out = append(out, words)
		}
	}
	return out
}

// givenTo lists what was given to somebody of a provider by hand, as it was given.
func (v *visit) givenTo(given []store.Grant, e *access.Effective) (out []providerGrant) {
	for _, g := range given {
		line := providerGrant{
			ID: g.ID, Words: e.Catalogue().Name(g.Role) + " at " + e.Tree().Name(g.Resource), By: g.GrantedByName, Reason: g.Reason,
			Created: v.when(g.Created, ""), Until: v.when(g.Expires, "No end"),
		}
		_, line.May = v.viewer.giver().May(v.viewer.ground, g.Role, g.Resource)
		var left []string
		for _, h := range e.Grants {
			if h.Grant == g.ID {
				left = append(left, e.Catalogue().Name(h.Role)+" at "+e.Tree().Name(h.Resource))
			}
		}
		if line.Left = strings.Join(left, ", "); line.Left == "" {
			line.Left = "nothing"
		} else if line.Left == line.Words {
			line.Left = ""
		}
		out = append(out, line)
	}
	return out
}

// providerUserView is what somebody of a provider may do here, and why. It shows nothing of what they are at home, or at another
// customer's.
type providerUserView struct {
	*frame
	Line         relationshipLine
	Person       store.ProviderUser
	Nothing      string
	Held         []grantLine
	Given        []providerGrant
	Restrictions []restrictionLine
	Permissions  []resourcePermissions
	Question     question
}

// address is that of the page.
func (p providerUserView) address() string { return p.Line.path("users/" + string(p.Person.User)) }

func (c *Console) providerUser(v *visit, tx *store.Tx) (templ.Component, error) {
	l, err := v.providerOf(tx)
	if err != nil {
		return nil, err
	}
	return v.somebodyOf(tx, l, userOf(v))
}

// external is the page of somebody of a provider under a user's address, to which the audit log leads; a fault of kind NotFound for
// anybody else.
func (v *visit) external(tx *store.Tx, user id.User) (templ.Component, error) {
	u, err := tx.ProviderUser(v.ctx, user)
	if err != nil {
		return nil, err
	}
	r, err := tx.Relationship(v.ctx, u.Home, tx.Organization)
	if err != nil {
		return nil, err
	}
	v.section = "providers"
	return v.somebodyOf(tx, v.line(r), user)
}

func (v *visit) somebodyOf(tx *store.Tx, l relationshipLine, user id.User) (templ.Component, error) {
	u, e, err := tx.ProviderUserHere(v.ctx, l.Provider, user)
	if err != nil {
		return nil, err
	}
	v.title = u.Name
	page := providerUserView{
		frame: v.frame, Line: l, Person: u, Nothing: e.Nothing, Held: grantLines(v, e, e.Grants, false), Permissions: permissionsOf(e),
		Question: ask(v, e),
	}
	for i, h := range e.Grants {
		// Nothing outlasts the relationship, whatever its own end.
		if end := l.Terms.Expires; !end.IsZero() && (h.Expires.IsZero() || end.Before(h.Expires)) {
			page.Held[i].Until = v.when(end, "")
		}
	}
	for _, r := range e.Restrictions {
		page.Restrictions = append(page.Restrictions, restrictionLine{Resource: e.Tree().Name(r.Resource), Actions: r.Actions, Reason: r.Reason})
	}
	given, err := tx.GrantsOf(v.ctx, []id.User{u.User})
	if err != nil {
		return nil, err
	}
	page.Given = v.givenTo(given[u.User], e)
	return providerUserPage(page), nil
}

// termsView is the form of a relationship's terms, or of a role for one person.
type termsView struct {
	*frame
	Line      relationshipLine
	Offer     bool
	Roles     []pick
	Resources []pick
	Expires   string
	MFA       bool
}

func (v *visit) rolePicks(chosen func(id.Role) bool) (out []pick) {
	ground := v.viewer.ground
	for _, r := range ground.Catalogue.Roles() {
		if ground.Catalogue.Covers(ground.Organization.Available, r.ID) {
			out = append(out, pick{ID: string(r.ID), Name: ground.Catalogue.Name(r.ID), Type: kindOf(r), Chosen: chosen(r.ID)})
		}
	}
	return out
}

func (v *visit) resourcePicks(chosen func(id.Resource) bool) (out []pick) {
	tree := v.viewer.ground.Tree
	for _, r := range tree.All() {
		out = append(out, pick{ID: string(r.ID), Name: tree.Name(r.ID), Type: r.Type, Depth: len(tree.Path(r.ID)) - 1, Chosen: chosen(r.ID)})
	}
	return out
}

// declaredPicks is rolePicks of what a relationship can name: no custom roles.
func (v *visit) declaredPicks(chosen func(id.Role) bool) []pick {
	return slices.DeleteFunc(v.rolePicks(chosen), func(p pick) bool { return access.IsCustom(id.Role(p.ID)) })
}

func (c *Console) termsForm(v *visit, tx *store.Tx) (templ.Component, error) {
	l, err := v.providerOf(tx)
	if err != nil {
		return nil, err
	}
	root := v.viewer.ground.Tree.Root()
	page := termsView{
		frame: v.frame, Line: l, MFA: l.Terms.RequireMFA,
		Roles: v.declaredPicks(func(r id.Role) bool {
			return slices.Contains(l.Terms.AllowedRoles, r) || slices.Contains(l.Terms.AllowedRoles, access.Every)
		}),
		Resources: v.resourcePicks(func(r id.Resource) bool {
			return slices.Contains(l.Terms.Resources, r) || len(l.Terms.Resources) == 0 && r == root
		}),
	}
	if !l.Terms.Expires.IsZero() {
		// The last whole day: what is read again from the form is the same end.
		page.Expires = l.Terms.Expires.UTC().Add(-time.Nanosecond).Format("2006-01-02")
	}
	return termsPage(page), nil
}

// terms reads the form.
func (v *visit) terms() (t access.RelationshipSettings, err error) {
	for _, r := range v.r.PostForm["role"] {
		t.AllowedRoles = append(t.AllowedRoles, id.Role(r))
	}
	t.RequireMFA = v.form("mfa") != ""
	t.Expires, err = endOf(v.form("expires"))
	return t, err
}

func (c *Console) setTerms(v *visit, tx *store.Tx) (done, to string, err error) {
	l, err := v.providerOf(tx)
	if err != nil {
		return "", "", err
	}
	terms, err := v.terms()
	if err != nil {
		return "", "", err
	}
	root := string(v.viewer.ground.Tree.Root())
	chosen := v.r.PostForm["resource"]
	if len(chosen) == 0 {
		return "", "", fault.New(fault.Invalid, "Choose where they may work: at the whole organization, or at some of its resources.")
	}
	if !slices.Contains(chosen, root) {
		for _, r := range chosen {
			terms.Resources = append(terms.Resources, id.Resource(r))
		}
	}
	r, err := tx.SetTerms(v.ctx, v.viewer.actor, l.Provider, terms)
	if err != nil {
		return "", "", err
	}
	done = r.ProviderName + " may work for " + r.ClientName + " on these terms."
	return done, string(v.at(l.path(""))), nil
}

func (c *Console) offerForm(v *visit, _ *store.Tx) (templ.Component, error) {
	if err := v.provides(); err != nil {
		return nil, err
	}
	return termsPage(termsView{frame: v.frame, Offer: true, Roles: v.declaredPicks(func(id.Role) bool { return false })}), nil
}

func (c *Console) offer(v *visit, tx *store.Tx) (done, to string, err error) {
	if err := v.provides(); err != nil {
		return "", "", err
	}
	terms, err := v.terms()
	if err != nil {
		return "", "", err
	}
	for _, r := range strings.FieldsFunc(v.form("resources"), func(c rune) bool { return c == ',' || c == ' ' || c == '\n' || c == '\r' }) {
		terms.Resources = append(terms.Resources, id.Resource(r))
	}
	r, err := tx.Propose(v.ctx, v.viewer.actor, id.Organization(strings.TrimSpace(v.form("client"))), terms)
	if err != nil {
		return "", "", err
	}
	return r.ClientName + " can now approve it. Nothing is in force before.", string(v.at("providers")), nil
}

func (c *Console) giveProviderForm(v *visit, tx *store.Tx) (templ.Component, error) {
	l, err := v.providerOf(tx)
	if err != nil {
		return nil, err
	}
	allowed := func(r id.Role) bool { return v.viewer.ground.Catalogue.Covers(l.Terms.AllowedRoles, r) }
	page := termsView{frame: v.frame, Line: l, Resources: v.resourcePicks(func(id.Resource) bool { return false })}
	for _, p := range v.rolePicks(func(id.Role) bool { return false }) {
		if allowed(id.Role(p.ID)) {
			page.Roles = append(page.Roles, p)
		}
	}
	return giveProviderPage(page), nil
}

func (c *Console) giveProvider(v *visit, tx *store.Tx) (done, to string, err error) {
	l, err := v.providerOf(tx)
	if err != nil {
		return "", "", err
	}
	u, err := tx.ProviderUserByAddress(v.ctx, l.Provider, strings.TrimSpace(v.form("email")))
	if err != nil {
		return "", "", err
	}
	expires, err := endOf(v.form("expires"))
	if err != nil {
		return "", "", err
	}
	if len(v.r.PostForm["role"]) == 0 || len(v.r.PostForm["resource"]) == 0 {
		return "", "", fault.New(fault.Invalid, "Choose at least one role, and where it holds.")
	}
	for _, role := range v.r.PostForm["role"] {
		for _, at := range v.r.PostForm["resource"] {
			if _, err := tx.Give(v.ctx, v.viewer.actor, store.Grant{
				User: u.User, Role: id.Role(role), Resource: id.Resource(at), Expires: expires, Reason: v.form("reason"),
			}); err != nil {
				return "", "", err
			}
		}
	}
	return u.Name + " has it now, within what " + u.HomeName + " is allowed.", string(v.at(l.path(""))), nil
}

func (c *Console) takeProvider(v *visit, tx *store.Tx) (done, to string, err error) {
	l, err := v.providerOf(tx)
	if err != nil {
		return "", "", err
	}
	g, err := tx.Grant(v.ctx, id.Grant(chi.URLParam(v.r, "grant")))
	if err != nil {
		return "", "", err
	}
	if u, err := tx.ProviderUser(v.ctx, g.User); err != nil {
		return "", "", err
	} else if u.Home != l.Provider {
		return "", "", fault.New(fault.NotFound, "This was not given to somebody of %s.", l.ProviderName)
	}
	if err := tx.RevokeGrant(v.ctx, v.viewer.actor, g.ID, ""); err != nil {
		return "", "", err
	}
	back := l.path("")
	if v.form("back") == "person" {
		back = l.path("users/" + url.PathEscape(string(g.User)))
	}
	return "It is taken away, at once and everywhere.", string(v.at(back)), nil
}

func (c *Console) cutForm(v *visit, tx *store.Tx) (templ.Component, error) {
	l, err := v.relationship(tx)
	if err != nil {
		return nil, err
	}
	return cutPage(providerView{frame: v.frame, Line: l}), nil
}

func (c *Console) cut(v *visit, tx *store.Tx) (done, to string, err error) {
	l, err := v.relationship(tx)
	if err != nil {
		return "", "", err
	}
	if err := tx.Cut(v.ctx, v.viewer.actor, l.Provider, l.Client, v.form("reason")); err != nil {
		return "", "", err
	}
	return "It is over: nobody of " + l.ProviderName + " works for " + l.ClientName + " any more.", string(v.at("providers")), nil
}

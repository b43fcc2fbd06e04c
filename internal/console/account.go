package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountAccount adds the pages about a person's own account: who they are here and who says so, what they prove it with, and where
// they are signed in. Enrolling itself is signing in's business, since it happens on the way in too.
func (c *Console) mountAccount(r chi.Router) {
	r.Get("/me/security", c.show(func(w http.ResponseWriter, r *http.Request) error {
		elsewhere, err := c.memberships(r)
		if err != nil {
			return err
		}
		c.view("account", "My account", func(v *visit, tx *store.Tx) (templ.Component, error) { return c.account(v, tx, elsewhere) })(w, r)
		return nil
	}))
	r.Get("/me/profile", c.view("account", "Your name", c.ownProfile))
	r.Post("/me/profile", c.show(c.keepProfile))
	r.Post("/me/factors/{factor}/rename", c.change(c.renameFactor))
	r.Post("/me/factors/{factor}/prefer", c.change(c.preferFactor))
	r.Get("/me/factors/{factor}/remove", c.view("account", "Remove", c.confirmFactor))
	r.Post("/me/factors/{factor}/remove", c.change(c.removeFactor))
	r.Post("/me/sessions/end-others", c.change(c.endOtherSessions))
}

// proveAnew is the way to show once more who one is, and back to a page.
func proveAnew(org id.Organization, back string, enrol mfa.Kind) string {
	q := url.Values{"organization": {string(org)}, "return_to": {back}}
	if enrol != "" {
		q.Set("enrol", string(enrol))
	}
	return "/signin/again?" + q.Encode()
}

// fresh refuses what is sensitive to a session that was not proved lately, with the way to prove it. A browser that somebody left
// open then shows much and changes little. Who has a second factor is asked for it.
func (v *visit) fresh(tx *store.Tx) error {
	back := v.r.URL.RequestURI()
	if v.r.Method != http.MethodGet {
		back = string(v.at(""))
		if from, err := url.Parse(v.r.Referer()); err == nil && from.Path != "" {
			back = session.OwnPath(from.RequestURI())
		}
	}
	done := string(v.at("me/proved"))
	s := v.viewer.session
	if s == nil {
		if v.viewer.proved {
			return nil
		}
		return signIn{operatorAnew(back), operatorAnew(done)}
	}
	factors, err := tx.Factors(v.ctx, s.User)
	if err != nil {
		return err
	}
	if mfa.FreshSession(s.AuthTime, s.Created, tx.Now()) && (len(factors) == 0 || mfa.Two(s.AMR)) {
		return nil
	}
	return signIn{proveAnew(tx.Organization, back, ""), proveAnew(tx.Organization, done, "")}
}

// owned is a field of the profile with who says it, and where the person changes it if that is theirs to do.
type owned struct {
	Name, Value, By string
	Change          templ.SafeURL
}

// factorLine is one of a person's factors.
type factorLine struct {
	ID        id.Factor
	Kind      mfa.Kind
	What      string
	Name      string
	Added     when
	Used      when
	Preferred bool
	Renames   bool
}

// membership is an organization that this browser is signed in to.
type membership struct {
	ID   id.Organization
	Name string
	As   string
	This bool
}

type account struct {
	*frame
	User          *directory.User
	Profile       []owned
	Factors       []factorLine
	Recovery      int64
	Demands       []string
	Missing       bool // something is demanded that this session has not shown
	Add           []addable
	Password      when
	HasPassword   bool
	MayPassword   bool // the person may have one here
	BreakGlass    bool // named as a break-glass exception
	Sessions      []sessionLine
	Organizations []membership
}

type addable struct {
	Kind mfa.Kind
	Text string
	To   templ.SafeURL
}

var factorNames = map[mfa.Kind]string{
	mfa.Passkey: "Passkey", mfa.TOTP: "Authenticator app", mfa.Mail: "Codes by mail", mfa.SMS: "Codes by text message",
}

// account is a person's own page about their account.
func (c *Console) account(v *visit, tx *store.Tx, elsewhere []membership) (templ.Component, error) {
	if v.viewer.session == nil {
		return nil, fault.New(fault.NotFound, "An operator belongs to no organization and has no account in it.")
	}
	u, err := tx.UserDetail(v.ctx, v.viewer.self())
	if err != nil {
		return nil, err
	}
	a := account{frame: v.frame, User: u, Demands: v.viewer.access.Demands}
	a.Missing = len(a.Demands) > 0 && !mfa.Two(v.viewer.session.AMR)
	if a.Profile, err = profileOf(v, tx, u); err != nil {
		return nil, err
	}
	factors, err := tx.Factors(v.ctx, u.ID)
	if err != nil {
		return nil, err
	}
	has := map[mfa.Kind]bool{}
	for _, own := range factors {
		has[own.Kind] = true
		a.Factors = append(a.Factors, factorLine{
			ID: own.ID, Kind: own.Kind, What: factorNames[own.Kind], Name: own.Name, Added: v.when(own.Created, ""),
			Used: v.when(own.LastUsed, "Not yet"), Preferred: own.Preferred, Renames: own.Kind == mfa.Passkey || own.Kind == mfa.TOTP,
		})
	}
	if a.Recovery, err = tx.RecoveryCodes(v.ctx, u.ID); err != nil {
		return nil, err
	}
	add := func(kind mfa.Kind, text string) {
		a.Add = append(a.Add, addable{kind, text, templ.SafeURL(proveAnew(tx.Organization, string(v.at("me/security")), kind))})
	}
	add(mfa.Passkey, "Add a passkey")
	if !has[mfa.TOTP] {
		add(mfa.TOTP, "Add an authenticator app")
	}
	if !has[mfa.Mail] && u.Email != "" && c.Mail != nil && c.Mail.Mode() != mail.Off {
		add(mfa.Mail, "Get codes by mail")
	}
	if !has[mfa.SMS] && v.organization.Settings.Messages.URL != "" {
		add(mfa.SMS, "Get codes by text message")
	}
	hash, changed, err := tx.PasswordOf(v.ctx, u.ID)
	if err != nil {
		return nil, err
	}
	a.HasPassword, a.Password = hash != "", v.when(changed, "")
	facts, _, err := tx.LocalFacts(v.ctx, u.ID)
	if err != nil {
		return nil, err
	}
	a.MayPassword = connection.Local(connection.Password, facts) == ""
	if exception, err := tx.SSOExceptionOf(v.ctx, u.Email); err != nil {
		return nil, err
	} else if exception != nil {
		a.BreakGlass = exception.Kind == store.BreakGlass
	}
	if a.Sessions, err = sessionLines(v, tx, u.ID); err != nil {
		return nil, err
	}
	a.Organizations = append([]membership{{v.organization.ID, v.organization.Name, v.viewer.name(), true}}, elsewhere...)
	return accountPage(a), nil
}

// memberships lists the other organizations that this browser is signed in to. That somebody of the same address has an account
// elsewhere is not told: an address proves nothing there.
func (c *Console) memberships(r *http.Request) ([]membership, error) {
	var out []membership
	for _, org := range c.cookies().Organizations(r) {
		if org == organizationOf(r) || len(out) == 8 {
			continue
		}
		s, err := c.DB.Session(r.Context(), org, c.cookies().Hash(r, org))
		if fault.KindOf(err) == fault.Unauthenticated {
			continue
		}
		if err != nil {
			return nil, err
		}
		m := membership{ID: org, As: either(s.DisplayName, s.Email, s.UserName)}
		err = c.DB.Read(r.Context(), org, func(tx *store.Tx) error {
			self, err := tx.Self(r.Context())
			if err == nil {
				m.Name = self.Name
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// profileOf says of each field who it comes from, so that nobody looks in the wrong place for how to change it.
func profileOf(v *visit, tx *store.Tx, u *directory.User) ([]owned, error) {
	const mine = "You, or an administrator"
	var names []string
	for _, s := range u.Sources {
		if s.Directory == "" {
			continue
		}
		name := string(s.Directory)
		if d, err := tx.Directory(v.ctx, s.Directory); err == nil {
			name = either(d.Name, name)
		} else if fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
		names = append(names, name)
	}
	by := "Your organization's identity provider: it is changed there"
	if len(names) > 0 {
		by = "The directory " + strings.Join(names, " and ") + ": it is changed there"
	} else if v.viewer.session.Connection != "" {
		way, err := tx.SignInConnection(v.ctx, v.viewer.session.Connection)
		if err == nil {
			by = "Your sign-in through " + way.Name + ": it is changed there"
		} else if fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
	}
	named, address := owned{By: by}, owned{By: by}
	keeps, err := tx.KeepsNames(v.ctx, u)
	if err != nil {
		return nil, err
	}
	if keeps {
		named = owned{By: mine, Change: v.at("me/profile")}
	}
	facts, _, err := tx.LocalFacts(v.ctx, u.ID)
	if err != nil {
		return nil, err
	}
	if !facts.Upstream {
		address = owned{By: mine, Change: v.at("me/email")}
	}
	field := func(name, value string, of owned) owned {
		of.Name, of.Value = name, either(value, "None")
		return of
	}
	userName := field("User name", u.UserName, address)
	userName.Change = "" // it follows the address where it is one
	return []owned{
		field("Name", u.DisplayName, named), field("Given name", u.GivenName, named), field("Family name", u.FamilyName, named),
		field("Email", u.Email, address), userName,
	}, nil
}

// ownProfile is the form with which a person says what they are called.
type ownProfile struct {
	*frame
	Names store.Names
	Wrong map[string]string
}

func (c *Console) ownProfile(v *visit, tx *store.Tx) (templ.Component, error) {
	o, err := own(v, tx)
	if err != nil {
		return nil, err
	}
	keeps, err := tx.KeepsNames(v.ctx, o.User)
	if err == nil && !keeps {
		err = fault.New(fault.Forbidden, "Your name comes from your organization's directory or identity provider. It is changed there.").
			WithCode("profile-elsewhere")
	}
	return ownProfilePage(ownProfile{frame: v.frame, Names: store.Names{Display: o.User.DisplayName, Given: o.User.GivenName, Family: o.User.FamilyName}}), err
}

// keepProfile shows the form again, with what was typed, where something of it cannot be kept.
func (c *Console) keepProfile(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "account", "Your name")
	if err != nil {
		return redirected(w, r, err)
	}
	n := store.Names{Display: v.form("name"), Given: v.form("given"), Family: v.form("family")}
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		o, err := own(v, tx)
		if err != nil {
			return err
		}
		return tx.ChangeNames(v.ctx, v.viewer.actor, o.User.ID, n)
	})
	if f := fault.As(err); f != nil && f.Kind == fault.Invalid && len(f.Fields) > 0 {
		wrong := map[string]string{}
		for _, field := range f.Fields {
			wrong[field.Path] = field.Message
		}
		return page.Render(w, r, http.StatusUnprocessableEntity, ownProfilePage(ownProfile{v.frame, n, wrong}))
	}
	if err != nil {
		return c.refusedChange(v, err)
	}
	c.setFlash(w, "Your name is kept.")
	http.Redirect(w, r, string(v.at("me/security")), http.StatusSeeOther)
	return nil
}

// ownFactor finds the factor that a request names.
func ownFactor(v *visit, tx *store.Tx) (store.Factor, error) {
	if v.viewer.session == nil {
		return store.Factor{}, fault.New(fault.NotFound, "An operator has no account here.")
	}
	return tx.Factor(v.ctx, v.viewer.self(), id.Factor(chi.URLParam(v.r, "factor")))
}

func (c *Console) renameFactor(v *visit, tx *store.Tx) (string, string, error) {
	own, err := ownFactor(v, tx)
	if err != nil {
		return "", "", err
	}
	name := strings.Join(strings.Fields(v.form("name")), " ")
	if name == "" || len([]rune(name)) > 60 || own.Kind == mfa.Mail || own.Kind == mfa.SMS {
		return "", "", fault.New(fault.Invalid, "A name has between 1 and 60 characters.")
	}
	tx.RenameFactor(v.ctx, own.User, own.ID, name)
	before := own.Name
	tx.Record(v.ctx, audit.Event{
		Actor: v.viewer.actor, Action: "factor.renamed", TargetKind: "factor", TargetID: string(own.ID), TargetName: string(own.Kind),
		User: own.User, Before: namedAs(before), After: namedAs(name),
	})
	return "It is called “" + name + "” now.", string(v.at("me/security")), nil
}

func namedAs(name string) json.RawMessage {
	raw, _ := json.Marshal(map[string]string{"name": name}) // two strings always encode
	return raw
}

func (c *Console) preferFactor(v *visit, tx *store.Tx) (string, string, error) {
	own, err := ownFactor(v, tx)
	if err != nil {
		return "", "", err
	}
	tx.PreferFactor(v.ctx, own.User, own.ID)
	tx.RecordFactor(v.ctx, v.viewer.actor, "factor.preferred", own.User, own, "")
	return factorNames[own.Kind] + " is asked for first from now on.", string(v.at("me/security")), nil
}

type factorRemoval struct {
	*frame
	Factor store.Factor
	What   string
}

func (c *Console) confirmFactor(v *visit, tx *store.Tx) (templ.Component, error) {
	own, err := ownFactor(v, tx)
	if err != nil {
		return nil, err
	}
	if err := v.fresh(tx); err != nil {
		return nil, err
	}
	return removeFactorPage(factorRemoval{v.frame, own, factorNames[own.Kind]}), nil
}

func (c *Console) removeFactor(v *visit, tx *store.Tx) (string, string, error) {
	own, err := ownFactor(v, tx)
	if err != nil {
		return "", "", err
	}
	if err := v.fresh(tx); err != nil {
		return "", "", err
	}
	// Of two that are removed at once, the second sees that the first is gone.
	tx.Lock(v.ctx, "factors/"+string(own.User))
	factors, err := tx.Factors(v.ctx, own.User)
	if err != nil {
		return "", "", err
	}
	if err := tx.Demanded(v.ctx, own.User, len(factors)-1); err != nil {
		return "", "", err
	}
	if err := tx.RemoveFactor(v.ctx, own.User, own.ID); err != nil {
		return "", "", err
	}
	// Whoever holds another session may hold what is removed here: that is often why it is removed.
	ended, err := tx.EndOtherSessions(v.ctx, own.User, v.viewer.session.ID)
	if err != nil {
		return "", "", err
	}
	tx.RecordFactor(v.ctx, v.viewer.actor, "factor.removed", own.User, own, "")
	what := factorNames[own.Kind] + " “" + own.Name + "” was removed from your account."
	if err := tx.PostSecurityNotice(v.ctx, own.User, what, v.viewer.actor.IP, browserName(*v.viewer.session), c.URL); err != nil {
		return "", "", err
	}
	done := factorNames[own.Kind] + " “" + own.Name + "” is removed."
	if ended > 0 {
		done += " " + plural(ended, "other session") + " ended with it."
	}
	return done, string(v.at("me/security")), nil
}

func (c *Console) endOtherSessions(v *visit, tx *store.Tx) (string, string, error) {
	if v.viewer.session == nil {
		return "", "", fault.New(fault.NotFound, "An operator has no account here.")
	}
	ended, err := tx.EndOtherSessions(v.ctx, v.viewer.self(), v.viewer.session.ID)
	if err != nil || ended == 0 {
		return "There is no other session.", string(v.at("me/security")), err
	}
	tx.Record(v.ctx, audit.Event{
		Actor: v.viewer.actor, Action: "session.ended", TargetKind: "user", TargetID: string(v.viewer.self()), TargetName: v.viewer.name(),
		User: v.viewer.self(), Reason: "all other sessions, by the person",
	})
	return plural(ended, "other session") + " ended.", string(v.at("me/security")), nil
}

// resetFactors is what an administrator does for somebody who has lost every factor.
func resetFactors(name string) act {
	return act{
		Name: "reset-factors", Heading: "Reset the second factors of " + name + "?", Button: "Reset factors", Danger: true, Asks: true,
		Follows: []string{
			"Every passkey, app, number and recovery code of " + name + " stops working, and all sessions end.",
			"Where a second factor is demanded, " + name + " sets up a new one at the next sign-in.",
			name + " is told by mail. Make sure that it is " + name + " who asks.",
		},
		do: func(v *visit, tx *store.Tx, u *directory.User, reason string) (string, error) {
			return "The second factors of " + name + " are reset.",
				tx.ResetFactors(v.ctx, u.ID, v.viewer.actor, reason, v.viewer.actor.IP, v.c.URL)
		},
	}
}

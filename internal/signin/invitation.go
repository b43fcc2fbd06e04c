package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/password"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Accepting an invitation.
//
//	request                                  does
//	---------------------------------------  --------------------------------------------------------------------
//	GET  /invitation/{organization}/{token}  begins an attempt of this browser that names the invitation, and leads on:
//	                                         the token stands in no later address
//	GET  /invitation?attempt=                says who invites to what, and offers the ways
//	POST /invitation                         goes to the provider; callback and ACS end in accept, by way of findFor
//	POST /invitation/password                accepts with a password
//	POST /invitation/passkey                 goes to enrol a passkey; pass accepts once it is kept
//
// Opening spends nothing, since scanners of mail open links too. What accepts is bound to the browser that opened the link,
// by the attempt, and to that very link, by its hash: a later letter voids what an earlier one began.
func (f *flow) mountInvitations(mount func(method, pattern string, serve http.HandlerFunc)) {
	mount(http.MethodGet, "/invitation/{organization}/{token}", headless(f.openInvitation))
	mount(http.MethodGet, "/invitation", f.invitation)
	mount(http.MethodPost, "/invitation", f.acceptUpstream)
	mount(http.MethodPost, "/invitation/password", f.acceptPassword)
	mount(http.MethodPost, "/invitation/passkey", f.acceptPasskey)
}

const invitationsPerMinute = 60

func (f *flow) openInvitation(w http.ResponseWriter, r *http.Request) {
	if !f.allow(w, r, "invitation", invitationsPerMinute) {
		return
	}
	ctx, org := r.Context(), id.Organization(r.PathValue("organization"))
	hash := seal.Fingerprint(r.PathValue("token"))
	w.Header().Set("Referrer-Policy", "no-referrer") // the address is a credential
	var i *store.Invitation
	var err error
	if !id.Declared(string(org)) || len(r.PathValue("token")) != 43 {
		err = fault.New(fault.NotFound, "This link is not whole. Copy all of it from the letter.").WithCode(invitation.CodeUnknown)
	} else {
		err = f.DB.Write(ctx, org, func(tx *store.Tx) (err error) {
			i, err = tx.OpenInvitation(ctx, hash, f.actor(r, ""))
			return err
		})
	}
	if err != nil {
		f.invitationRefused(w, r, org, err)
		return
	}
	attempt, err := f.invitationAttempt(w, r, session.Hints{
		Organization: org, LoginHint: i.Email, ReturnTo: "/o/" + string(org) + "/me", Invitation: i.ID, InvitationHash: hash,
	})
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	http.Redirect(w, r, "/invitation?attempt="+string(attempt.ID), http.StatusSeeOther)
}

// invitationAttempt begins an attempt of this browser.
func (f *flow) invitationAttempt(w http.ResponseWriter, r *http.Request, hints session.Hints) (session.Attempt, error) {
	browser, cookie := f.cookies.EnsureBrowser(r)
	attempt := session.Attempt{
		ID: id.New[id.Attempt](), Browser: browser, Purpose: session.ForConsole, Request: encode(hints), Created: f.DB.Now(),
	}
	err := f.DB.System().Write(r.Context(), func(tx *store.SystemTx) error { return tx.CreateAttempt(r.Context(), attempt) })
	if err == nil && cookie != nil {
		http.SetCookie(w, cookie)
	}
	return attempt, err
}

// invitationRefused says why a link opens nothing, and what to do. It is no sign-in that could end.
func (f *flow) invitationRefused(w http.ResponseWriter, r *http.Request, org id.Organization, err error) {
	why := fault.As(err)
	if why == nil || why.Kind != fault.Gone && why.Kind != fault.NotFound {
		page.Refuse(w, r, f.Log, err)
		return
	}
	status, failure := page.FailureOf(err)
	failure.Title, failure.Back, failure.Where = "This invitation cannot be used", "/signin?return_to=/", "Sign in"
	if why.Kind == fault.NotFound {
		failure.Do = "Is there no newer letter, ask whoever invited you to send it again. Whoever has accepted already signs in."
	}
	if id.Declared(string(org)) && (why.Code == invitation.CodeUsed || why.Code == invitation.CodeOvertaken) {
		failure.Back = "/signin?" + url.Values{"organization": {string(org)}, "return_to": {"/o/" + string(org) + "/me"}}.Encode()
	}
	page.RefuseWith(w, r, f.Log, status, failure)
}

// invitationView is the page of an invitation.
type invitationView struct {
	attempt      id.Attempt
	organization string
	email, name  string
	inviter      string
	until        time.Time
	roles        []string
	ways         []connection.Connection
	password     bool
	passkey      bool
	wrong        string // about the password
	typed        string // the name that was typed
}

// invited finds the invitation of an attempt: pending still, and by the link that began the attempt.
type invited struct {
	attempt session.Attempt
	hints   session.Hints
	*store.Invitation
	view invitationView
}

func (f *flow) invited(r *http.Request, attempt string) (v invited, err error) {
	ctx := r.Context()
	if v.attempt, err = f.attempt(ctx, id.Attempt(attempt), f.cookies.Browser(r)); err != nil {
		return v, err
	}
	if v.hints, err = v.attempt.Hints(); err != nil {
		return v, err
	}
	if v.hints.Invitation == "" {
		return v, refuse(CodeAttempt, "the attempt is of no invitation")
	}
	err = f.DB.Read(ctx, v.hints.Organization, func(tx *store.Tx) error {
		i, err := tx.Invitation(ctx, v.hints.Invitation)
		if err != nil {
			return err
		}
		self, err := tx.Self(ctx)
		if err != nil {
			return err
		}
		catalogue, err := tx.Catalogue(ctx)
		if err != nil {
			return err
		}
		if i.TokenHash != v.hints.InvitationHash {
			return fault.New(fault.Gone, "This invitation was sent once more. Take the link of the newest letter.").WithCode(invitation.CodeRevoked)
		}
		if err := i.State(tx.Now()).Open(self.Name); err != nil {
			return err
		}
		v.Invitation = i
		v.view = invitationView{
			attempt: v.attempt.ID, organization: self.Name, email: i.Email, name: i.Name, inviter: i.Inviter(), until: i.Expires, typed: i.Name,
		}
		for _, g := range i.Grants {
			v.view.roles = append(v.view.roles, fmt.Sprintf("%s at %s", catalogue.Name(g.Role), self.Tree.Name(g.Resource)))
		}
		all, err := tx.Connections(ctx)
		if err != nil {
			return err
		}
		for _, c := range all {
			if !c.Settings.Closed() {
				v.view.ways = append(v.view.ways, c)
			}
		}
		facts, _, err := tx.LocalFacts(ctx, i.User)
		if err != nil {
			return err
		}
		facts.Standing = connection.Active // which the user is once the invitation is accepted
		v.view.password = connection.Local(connection.Password, facts) == ""
		v.view.passkey = connection.Local(connection.Passkey, facts) == "" && f.passkeys != nil
		return nil
	})
	return v, err
}

func (f *flow) invitation(w http.ResponseWriter, r *http.Request) {
	v, err := f.invited(r, r.URL.Query().Get("attempt"))
	if err != nil {
		f.notInvited(w, r, v, err)
		return
	}
	f.render(w, r, http.StatusOK, invitationPage(v.view))
}

// notInvited answers what went wrong on the way to the page.
func (f *flow) notInvited(w http.ResponseWriter, r *http.Request, v invited, err error) {
	if why := fault.As(err); why != nil && strings.HasPrefix(why.Code, "invitation-") {
		f.invitationRefused(w, r, v.hints.Organization, err)
		return
	}
	f.fail(w, r, stop{recorded: true, organization: v.hints.Organization, name: v.view.organization}, err)
}

// posted reads a form of the invitation's page.
func (f *flow) posted(w http.ResponseWriter, r *http.Request) (invited, bool) {
	if err := smallForm(w, r); err != nil {
		page.Refuse(w, r, f.Log, err)
		return invited{}, false
	}
	for _, name := range []string{"attempt", "connection", "password", "name"} {
		if _, one := single(r.PostForm, name); !one {
			page.Refuse(w, r, f.Log, fault.New(fault.Invalid, "A field stands there twice."))
			return invited{}, false
		}
	}
	v, err := f.invited(r, r.PostForm.Get("attempt"))
	if err != nil {
		f.notInvited(w, r, v, err)
		return v, false
	}
	return v, true
}

// acceptUpstream sends the person to the organization's provider.
func (f *flow) acceptUpstream(w http.ResponseWriter, r *http.Request) {
	v, ok := f.posted(w, r)
	if !ok {
		return
	}
	f.send(w, r, v.attempt, v.hints, stop{
		attempt: v.attempt.ID, organization: v.hints.Organization, name: v.view.organization,
		connection: id.Connection(r.PostForm.Get("connection")),
	}, true)
}

// acceptPassword accepts with a password that the person chooses.
func (f *flow) acceptPassword(w http.ResponseWriter, r *http.Request) {
	v, ok := f.posted(w, r)
	if !ok {
		return
	}
	ctx := r.Context()
	chosen := r.PostForm.Get("password")
	v.view.typed = mail.Line(r.PostForm.Get("name"))
	if len(v.view.typed) > 200 {
		v.view.typed = v.view.typed[:200]
	}
	if bad := password.Judge(chosen, password.Whose{Name: v.view.typed, Address: v.Email, Organization: v.view.organization}); bad != "" {
		v.view.wrong = bad
		f.render(w, r, http.StatusUnprocessableEntity, invitationPage(v.view))
		return
	}
	at := stop{attempt: v.attempt.ID, organization: v.hints.Organization, name: v.view.organization}
	hash, err := password.Hash(ctx, chosen)
	var landed landing
	if err == nil {
		err = f.DB.Write(ctx, v.hints.Organization, func(tx *store.Tx) error {
			u, err := f.accept(ctx, tx, r, v.hints, store.Acceptance{DisplayName: v.view.typed, By: "password"})
			if err != nil {
				return err
			}
			if err := tx.MayLocal(ctx, u.ID, connection.Password); err != nil {
				return err
			}
			if err := tx.SetPassword(ctx, u.ID, store.NewPassword{Hash: hash, How: "invitation", Device: plain(r.UserAgent())},
				f.self(r, tx.Organization, u)); err != nil {
				return err
			}
			tx.KnowBrowser(ctx, u.ID, v.attempt.Browser)
			landed, err = f.pass(ctx, tx, r, v.attempt, v.hints, proof{
				User: u.ID, Name: u.Name(), How: "invitation", AMR: []string{mfa.Password}, AuthTime: tx.Now(),
			})
			return err
		})
	}
	if err == nil {
		landed, err = f.onward(ctx, v.attempt, v.hints, landed)
	}
	f.finish(w, r, at, landed, err)
}

// acceptPasskey leads to where a passkey is enrolled. The invitation is accepted in the transaction that keeps it.
func (f *flow) acceptPasskey(w http.ResponseWriter, r *http.Request) {
	v, ok := f.posted(w, r)
	if !ok {
		return
	}
	ctx := r.Context()
	at := stop{organization: v.hints.Organization, name: v.view.organization}
	hints := v.hints
	hints.Enrol = string(mfa.Passkey)
	attempt, err := f.invitationAttempt(w, r, hints)
	var landed landing
	if err == nil {
		at.attempt = attempt.ID
		err = f.DB.Write(ctx, v.hints.Organization, func(tx *store.Tx) error {
			if !v.view.passkey {
				return tx.MayLocal(ctx, v.User, connection.Passkey)
			}
			landed, err = f.pass(ctx, tx, r, attempt, hints, proof{
				User: v.User, Name: either(v.Name, v.Email), How: "invitation", AMR: []string{mfa.OneTime}, AuthTime: tx.Now(),
			})
			return err
		})
	}
	if err == nil {
		landed, err = f.onward(ctx, attempt, hints, landed)
	}
	f.finish(w, r, at, landed, err)
}

// accept accepts the invitation that an attempt names, in the transaction that keeps what the person will come back with.
func (f *flow) accept(
	ctx context.Context, tx *store.Tx, r *http.Request, hints session.Hints, a store.Acceptance,
) (*directory.User, error) {
	a.Invitation, a.TokenHash = hints.Invitation, hints.InvitationHash
	i, err := tx.Invitation(ctx, a.Invitation)
	if err != nil {
		return nil, err
	}
	actor := f.actor(r, "")
	actor.Kind, actor.ID, actor.Name, actor.Organization = audit.ActorUser, string(i.User), either(a.DisplayName, i.Name, i.Email), tx.Organization
	u, err := tx.AcceptInvitation(ctx, a, actor)
	var over *fault.Fault
	if errors.As(err, &over) && over.Kind == fault.Gone {
		return nil, &refusal{code: CodeInvitationOver, said: over.Message, detail: over.Code}
	}
	return u, err
}

// acceptEnrolled accepts for a person who has just enrolled the passkey with which they accept. Pass calls it before all
// else: the session is one of an active user.
func (f *flow) acceptEnrolled(ctx context.Context, tx *store.Tx, r *http.Request, hints session.Hints, p proof) error {
	if hints.Invitation == "" || hints.Enrol == "" || !p.Enrolled {
		return nil
	}
	u, err := tx.User(ctx, p.User)
	if err != nil || u.Status != directory.Pending {
		return err
	}
	if u, err = f.accept(ctx, tx, r, hints, store.Acceptance{By: hints.Enrol}); err != nil {
		return err
	}
	return tx.MayLocal(ctx, u.ID, connection.Passkey)
}

// findFor is find for every sign-in, and for one that accepts an invitation the decision which of the two it is: the person
// whom the provider vouches for is either the one who was invited, and becomes the pending user, or somebody else, and is
// told so.
func (f *flow) findFor(
	ctx context.Context, tx *store.Tx, r *http.Request, hints session.Hints, c connection.Connection, who arrival, actor audit.Actor,
) (connection.Finding, error) {
	if hints.Invitation == "" {
		return f.find(ctx, tx, c, who, actor)
	}
	facts, err := tx.SignInFacts(ctx, c, who.person)
	if err != nil {
		return connection.Finding{}, err
	}
	i, err := tx.Invitation(ctx, hints.Invitation)
	if err != nil {
		return connection.Finding{}, err
	}
	switch invitation.Match(i.Email, who.person, facts) {
	case invitation.Fits:
	case invitation.Known:
		return connection.Finding{}, &refusal{code: CodeInvitationKnown, detail: "the provider's account belongs to a user already"}
	case invitation.OtherAddress:
		said := fmt.Sprintf("You were invited as %s, and signed in as %s.", i.Email, either(mail.Line(who.person.Email), "somebody without an address"))
		return connection.Finding{}, &refusal{code: CodeInvitationOther, said: said, detail: said}
	case invitation.Unproven:
		return connection.Finding{}, refuse(connection.CodeUnverified, "the address fits the invitation, and the provider does not vouch for it")
	}
	u, err := f.accept(ctx, tx, r, hints, store.Acceptance{
		EmailVerified: true, DisplayName: who.name, GivenName: who.givenName, FamilyName: who.familyName, By: string(c.ID),
	})
	if err != nil {
		return connection.Finding{}, err
	}
	finding := connection.Finding{Step: connection.Bind, How: "invitation", User: u.ID}
	finding.Identity = tx.AttachIdentity(ctx, c.ID, u.ID, who.person)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "identity.attached", TargetKind: "identity", TargetID: string(finding.Identity), User: u.ID,
		After: encode(map[string]string{
			"connection": string(c.ID), "subject": who.person.Subject, "found_by": finding.How, "match_value": who.person.Match,
		}),
	})
	return finding, nil
}

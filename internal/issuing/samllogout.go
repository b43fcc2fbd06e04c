package issuing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Single logout towards SAML applications (SAML Profiles section 4.4). Our own session has ended before any application is told, so
// nothing that fails here keeps anybody signed in to us.
//
//	request                    does
//	-------------------------  -------------------------------------------------------------------------------------------
//	GET, POST /saml/idp/slo    an application's demand to end somebody's session, which is carried out at once; or its answer to
//	                           ours. A demand by POST goes on as a GET, as with sign-in, so that the browser shows its cookies.
//	GET /saml/idp/leave        sends the browser from one application to the next, and then to where the logout was to end
//
// Applications are told in the browser's own window, one after the other. A frame for each would be faster, and most browsers keep the
// application's cookies from a frame of another site: it would confirm what it had not done. The price is that one which does not
// answer has the browser; the page before it leads past it, and whoever comes back to it is led on. Who was not told is said.
//
// Where the browser does not hold the session that an application names, or an application registered no address, somebody goes
// untold, and the answer says so: PartialLogout (Core 3.7.3.2). OpenID applications are told by back-channel logout, whose receipts
// come later than the answer: they do not count in it.

// maxIndexes bounds what one request names: it travels in an address.
const maxIndexes = 50

// logoutAsked is an application's request once it was believed.
type logoutAsked struct {
	EntityID    string      `json:"entity_id"`
	ID          string      `json:"id"`
	RelayState  string      `json:"relay_state,omitempty"`
	Subject     saml.NameID `json:"subject"`
	Narrow      bool        `json:"narrow,omitempty"` // it names sessions: Indexes, as far as they can be ours
	Indexes     []string    `json:"indexes,omitempty"`
	ReplayUntil time.Time   `json:"replay_until"`
	Until       time.Time   `json:"until"` // of a sealed one
}

func (p *Provider) samlLogout(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	us, all, err := p.asIssuer(r.Context())
	if err != nil {
		page.Refuse(w, r, p.log, err)
		return
	}
	if sealed := r.URL.Query().Get("continue"); sealed != "" && r.Method == http.MethodGet {
		var asked logoutAsked
		if err := p.unseal(pathSAMLLogout, sealed, &asked, &asked.Until); err != nil {
			p.logoutRefuse(w, r, nil, err)
			return
		}
		p.samlEnd(w, r, us, all, asked)
		return
	}
	in, err := incoming(w, r)
	if err != nil {
		p.logoutRefuse(w, r, nil, err)
		return
	}
	values := in.Form
	if in.Binding == saml.Redirect {
		values = r.URL.Query()
	}
	switch asks, answers := values.Has("SAMLRequest"), values.Has("SAMLResponse"); {
	case asks == answers:
		p.logoutRefuse(w, r, nil, &saml.Refusal{Check: saml.CheckShape, Reason: "neither a logout request nor an answer to one"})
	case asks:
		p.samlDemand(w, r, us, all, in)
	default:
		p.samlConfirm(w, r, us, all, in, values)
	}
}

// samlDemand reads an application's request. No answer goes to whoever sent one that is not believed: it is not shown to be the
// application.
func (p *Provider) samlDemand(w http.ResponseWriter, r *http.Request, us *issuer, all *clients, in saml.Incoming) {
	request, from, err := us.ReadLogoutRequest(in, all.registered)
	var to *party
	if from != nil {
		to = all.parties[from.EntityID]
	}
	if err == nil && len(request.SessionIndexes) > maxIndexes {
		err = &saml.Refusal{Check: saml.CheckShape, Reason: fmt.Sprintf("%d session indexes", len(request.SessionIndexes))}
	}
	if err != nil {
		p.logoutRefuse(w, r, to, err)
		return
	}
	asked := logoutAsked{
		EntityID: from.EntityID, ID: request.ID, RelayState: request.RelayState, Subject: request.Subject,
		Narrow: len(request.SessionIndexes) > 0, ReplayUntil: request.ReplayUntil,
	}
	for _, index := range request.SessionIndexes {
		if id.IsUUID(index) {
			asked.Indexes = append(asked.Indexes, index)
		}
	}
	if in.Binding == saml.Post {
		asked.Until = p.db.Now().Add(continueFor)
		p.seal(w, r, pathSAMLLogout, asked)
		return
	}
	p.samlEnd(w, r, us, all, asked)
}

// samlEnd carries out an application's demand: the sessions that the person's name and the indexes pick at this application end with
// everything that came of them, in one transaction. Those of other browsers end too; their applications are not told, since only their
// own browser could.
func (p *Provider) samlEnd(w http.ResponseWriter, r *http.Request, us *issuer, all *clients, asked logoutAsked) {
	ctx := r.Context()
	to := all.parties[asked.EntityID]
	if to == nil {
		p.logoutRefuse(w, r, nil, &saml.Refusal{Check: saml.CheckIssuer, Reason: "the application is registered no longer"})
		return
	}
	live, err := p.live(ctx, r)
	if err != nil {
		page.Refuse(w, r, p.log, err)
		return
	}
	var known bool
	var answer store.LogoutAsked
	var path string
	var left []id.Organization
	err = p.db.System().Write(ctx, func(tx *store.SystemTx) error {
		known, path, left = false, "", nil
		answer = store.LogoutAsked{Application: to.ID, Request: asked.ID, RelayState: asked.RelayState}
		fresh, err := tx.In("").ConsumeMessage(ctx, "saml-logout/"+string(to.ID)+"/"+seal.Fingerprint(asked.ID), asked.ReplayUntil)
		if err != nil {
			return err
		}
		if !fresh {
			return errUsed
		}
		named, err := tx.Named(ctx, to.ID, asked.Subject.Value)
		if err != nil {
			return err
		}
		ending, ended := map[id.Session]store.Named{}, map[id.Session]bool{}
		for _, n := range named {
			told := p.qualified(to, saml.NameID{Value: asked.Subject.Value, Format: n.NameFormat})
			if !saml.SameSubject(asked.Subject, told) || asked.Narrow && !slices.Contains(asked.Indexes, string(n.Family)) {
				continue
			}
			known = true
			if n.Open {
				ending[n.Session] = n
			} else {
				ended[n.Session] = true
			}
		}
		// The browser's own last: by then it is known whether anything goes untold elsewhere.
		for _, n := range ending {
			if !slices.ContainsFunc(live, func(s session.Session) bool { return s.ID == n.Session }) {
				untold, err := p.endElsewhere(ctx, tx.In(n.Organization), to, n)
				if err != nil {
					return err
				}
				answer.Partial = answer.Partial || untold
			}
		}
		for _, s := range live {
			n, is := ending[s.ID]
			if !is {
				continue
			}
			in := tx.In(n.Organization)
			if _, err := p.endAsked(ctx, in, to, n); err != nil {
				return err
			}
			left = append(left, n.Organization)
			next, err := in.BeginLeavingAsked(ctx, s, p.cookies.Browser(r), answer)
			if err != nil {
				return err
			}
			if next != "" {
				// A browser that holds sessions of two organizations under one name tells the applications of the last.
				answer.Partial = answer.Partial || path != ""
				path = next
			}
		}
		if path == "" && len(ended) > 0 {
			path, err = p.resumeParting(ctx, tx, r, &answer, ended)
		}
		return err
	})
	if errors.Is(err, errUsed) {
		err = &saml.Refusal{Check: saml.CheckReplay, Reason: "the request was used before"}
	}
	if err != nil {
		p.logoutRefuse(w, r, to, err)
		return
	}
	for _, org := range left {
		http.SetCookie(w, p.cookies.Clear(org))
	}
	switch {
	case path != "":
		w.Header().Set("Location", path)
		w.WriteHeader(http.StatusSeeOther)
	case !known:
		p.recordRefusal(ctx, to, page.Code(), "subject", "no session of this application has that name and index")
		p.samlAnswerLogout(w, r, us, to, answer, saml.LogoutUnknown)
	default:
		p.samlAnswerLogout(w, r, us, to, answer, resultOf(answer.Partial))
	}
}

// resumeParting goes on with a sign-out of the same session that this browser left half way, as at an application that did not answer:
// the one that asks again is answered at its end. One that began elsewhere ends there, and what it has not told yet is told as partial.
func (p *Provider) resumeParting(
	ctx context.Context, tx *store.SystemTx, r *http.Request, answer *store.LogoutAsked, ended map[id.Session]bool,
) (path string, err error) {
	browser := p.cookies.Browser(r)
	if browser == "" {
		return "", nil
	}
	attempt, parting, err := tx.UnfinishedParting(ctx, browser)
	if err != nil || attempt == "" || !ended[parting.Session] {
		return "", err
	}
	if parting.Asked == nil || parting.Asked.Application != answer.Application {
		answer.Partial = true
		return "", nil
	}
	answer.Partial = answer.Partial || parting.Asked.Partial
	again := *answer
	parting.Asked = &again
	kept, err := tx.KeepParting(ctx, attempt, parting)
	if err == nil && !kept {
		err = fault.New(fault.Conflict, "This sign-out goes on in another tab.")
	}
	return store.PartingPath(attempt), err
}

func resultOf(partial bool) string {
	if partial {
		return saml.LogoutPartial
	}
	return saml.LogoutDone
}

// endAsked ends a session that an application asked to end, with its event.
func (p *Provider) endAsked(ctx context.Context, tx *store.Tx, to *party, n store.Named) (open bool, err error) {
	if open, err = tx.EndSession(ctx, n.Session); err != nil || !open {
		return open, err
	}
	by := p.actor(ctx, audit.ActorApplication, string(to.ID), to.Name)
	by.Door = audit.SAML
	tx.Record(ctx, audit.Event{
		Actor: by, Action: "session.ended", TargetKind: "session", TargetID: string(n.Session), User: n.User,
		Reason: "signed out at " + to.Name,
	})
	return true, nil
}

// endElsewhere ends a session that this browser does not hold, and says whether an application goes untold.
func (p *Provider) endElsewhere(ctx context.Context, tx *store.Tx, to *party, n store.Named) (untold bool, err error) {
	if _, err := p.endAsked(ctx, tx, to, n); err != nil {
		return false, err
	}
	others, err := tx.SessionParticipants(ctx, n.Session)
	return slices.ContainsFunc(others, func(o store.Participant) bool { return o.Application != to.ID }), err
}

// samlAnswerLogout answers an application's demand at the address that it registered, or ends on a page where it registered none.
func (p *Provider) samlAnswerLogout(w http.ResponseWriter, r *http.Request, us *issuer, to *party, asked store.LogoutAsked, result string) {
	if len(to.SLO) == 0 {
		p.partingPage(w, r, page.Parting{Title: "Signed out", Heading: "You are signed out", On: "/", Label: "Sign in again"})
		return
	}
	out, err := us.LogoutResponse(to.Party, &saml.LogoutRequest{ID: asked.Request, RelayState: asked.RelayState}, result)
	if err != nil {
		page.Refuse(w, r, p.log, fmt.Errorf("answer the logout of the SAML application %s: %w", to.ID, err))
		return
	}
	if out.Binding == saml.Post {
		p.samlPost(w, r, to.Name, out)
		return
	}
	p.goTo(w, r, out.URL, "Back to "+to.Name)
}

// goTo sends the browser on by a page: a redirect would be held against the form-action of whichever page's form began this.
func (p *Provider) goTo(w http.ResponseWriter, r *http.Request, to, label string) {
	w.Header().Set("Refresh", "0; url="+to)
	p.partingPage(w, r, page.Parting{Title: "Signed out", Heading: "You are signed out", On: to, Label: label})
}

func (p *Provider) partingPage(w http.ResponseWriter, r *http.Request, shown page.Parting) {
	if err := page.Render(w, r, http.StatusOK, page.PartingPage(shown)); err != nil {
		page.Refuse(w, r, p.log, err)
	}
}

// samlConfirm reads an application's answer to our demand. It may come by a form without our cookies: what it belongs to is found by its
// RelayState, and it is believed because the application that was asked signed it, in answer to what it was asked. One that is not
// believed changes nothing, and the browser goes on all the same: it is on its way.
func (p *Provider) samlConfirm(w http.ResponseWriter, r *http.Request, us *issuer, all *clients, in saml.Incoming, values url.Values) {
	ctx := r.Context()
	attempt := id.Attempt(values.Get("RelayState"))
	for kept := false; !kept; {
		parting, err := p.parting(ctx, attempt, func(tx *store.SystemTx) (store.Parting, error) { return tx.PartingAnswered(ctx, attempt) })
		if err != nil {
			p.strayParting(w, r, err)
			return
		}
		i, state, err := confirmed(us, all, in, parting.Participants)
		var refusal *saml.Refusal
		if errors.As(err, &refusal) {
			p.recordRefusal(ctx, nil, page.Code(), string(refusal.Check), refusal.Reason)
			break
		}
		if err == nil {
			parting.Participants[i].State = state
			kept, err = p.keepParting(ctx, attempt, parting)
		}
		if err != nil {
			page.Refuse(w, r, p.log, err)
			return
		}
	}
	w.Header().Set("Location", store.PartingPath(attempt))
	w.WriteHeader(http.StatusSeeOther)
}

// confirmed says whose answer it is, and what it says.
func confirmed(us *issuer, all *clients, in saml.Incoming, asked []store.Participant) (int, store.Parted, error) {
	err := error(&saml.Refusal{Check: saml.CheckRequest, Reason: "no application was asked"})
	for i, o := range asked {
		to := all.byApplication(o.Application)
		if to == nil || o.Request == "" {
			continue
		}
		var answer *saml.LogoutAnswer
		answer, err = us.ReadLogoutResponse(in, to.Party, o.Request)
		var refusal *saml.Refusal
		switch {
		case err == nil && answer.Complete:
			return i, store.PartedDone, nil
		case err == nil, errors.As(err, &refusal) && refusal.Check == saml.CheckStatus:
			return i, store.PartedFailed, nil
		}
	}
	return 0, "", err
}

func (c *clients) byApplication(app id.Application) *party {
	for _, to := range c.parties {
		if to.ID == app {
			return to
		}
	}
	return nil
}

func (p *Provider) parting(ctx context.Context, attempt id.Attempt, read func(tx *store.SystemTx) (store.Parting, error)) (out store.Parting, err error) {
	if !id.IsUUID(string(attempt)) {
		return out, fault.New(fault.Gone, "There is no such sign-out.")
	}
	err = p.db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		out, err = read(tx)
		return err
	})
	return out, err
}

func (p *Provider) keepParting(ctx context.Context, attempt id.Attempt, parting store.Parting) (kept bool, err error) {
	err = p.db.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		kept, err = tx.KeepParting(ctx, attempt, parting)
		return err
	})
	return kept, err
}

// samlLeave serves the step after a logout, and every step after an application was told.
func (p *Provider) samlLeave(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	w.Header().Set("Cache-Control", "no-store")
	us, all, err := p.asIssuer(ctx)
	if err != nil {
		page.Refuse(w, r, p.log, err)
		return
	}
	attempt, browser := id.Attempt(r.URL.Query().Get("attempt")), p.cookies.Browser(r)
	if browser == "" {
		attempt = ""
	}
	parting, err := p.parting(ctx, attempt, func(tx *store.SystemTx) (store.Parting, error) { return tx.Parting(ctx, attempt, browser) })
	if err != nil {
		p.strayParting(w, r, err)
		return
	}
	next := -1
	var form *saml.Outgoing
	for i := range parting.Participants {
		o := &parting.Participants[i]
		if o.State == store.PartedAsked {
			// The browser is here again, and the answer is not. One that comes later still counts.
			o.State = store.PartedSilent
		}
		if next >= 0 || o.Told() {
			continue
		}
		to := all.byApplication(o.Application)
		if to != nil {
			form, err = us.LogoutRequest(to.Party, p.qualified(to, saml.NameID{Value: o.NameID, Format: o.NameFormat}), o.Indexes, string(attempt))
		}
		if to == nil || err != nil {
			p.log.WarnContext(ctx, "SAML application not told of a logout", "application", o.Application, "error", err)
			o.State = store.PartedFailed
			continue
		}
		o.State, o.Request, next = store.PartedAsked, form.ID, i
	}
	if next < 0 {
		p.parted(w, r, us, all, attempt, parting, r.URL.Query().Has("on"))
		return
	}
	kept, err := p.keepParting(ctx, attempt, parting)
	if err != nil {
		page.Refuse(w, r, p.log, err)
		return
	}
	if !kept {
		w.Header().Set("Location", store.PartingPath(attempt))
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	shown := page.Parting{
		Title: "Signing out", Heading: "Signing you out", Lead: "You are signed out here. Now the applications that you opened are told.",
		Applications: partingLines(parting), Name: parting.Participants[next].Name, Action: form.URL, Fields: hiddenOf(form),
		Past: store.PartingPath(attempt),
	}
	page.SetHeaders(w)
	if form.Binding == saml.Post {
		allowForm(w, form)
	} else {
		w.Header().Set("Refresh", "0; url="+form.URL)
	}
	p.partingPage(w, r, shown)
}

// parted is where everybody was told who could be. What was missed is shown before anything goes on, on says that it was.
func (p *Provider) parted(
	w http.ResponseWriter, r *http.Request, us *issuer, all *clients, attempt id.Attempt, parting store.Parting, on bool,
) {
	ctx := r.Context()
	missed := slices.ContainsFunc(parting.Participants, store.Participant.Missed)
	if parting.Asked != nil && (missed && !on || parting.To != "") {
		// The application is answered last, so this is not the end yet.
		then := parting.To
		if !missed || on {
			parting.To = ""
		}
		if kept, err := p.keepParting(ctx, attempt, parting); err != nil {
			page.Refuse(w, r, p.log, err)
			return
		} else if !kept {
			then = store.PartingPath(attempt)
		}
		if missed && !on {
			p.partingPage(w, r, missedPage(parting, store.PartingPath(attempt)+"&on=1"))
			return
		}
		p.goTo(w, r, then, "Continue")
		return
	}
	first, err := p.recordParting(ctx, attempt, parting, missed)
	if err == nil && !first {
		err = fault.New(fault.Gone, "It was finished in another tab.")
	}
	if err != nil {
		p.strayParting(w, r, err)
		return
	}
	switch {
	case parting.Asked != nil:
		to := all.byApplication(parting.Asked.Application)
		if to == nil {
			p.partingPage(w, r, missedPage(parting, ""))
			return
		}
		partial := parting.Asked.Partial || slices.ContainsFunc(parting.Participants, func(o store.Participant) bool {
			return o.State != store.PartedDone
		})
		p.samlAnswerLogout(w, r, us, to, *parting.Asked, resultOf(partial))
	case missed || parting.To == "" || parting.Ask:
		p.partingPage(w, r, missedPage(parting, parting.To))
	default:
		p.goTo(w, r, parting.To, "Continue")
	}
}

// recordParting ends it with its event, and says whether it was this call that did.
func (p *Provider) recordParting(ctx context.Context, attempt id.Attempt, parting store.Parting, missed bool) (first bool, err error) {
	e := audit.Event{
		Actor:  p.person(ctx, parting.Organization, parting.User, parting.Person),
		Action: "session.ended-applications", TargetKind: "session", TargetID: string(parting.Session), User: parting.User,
	}
	e.Actor.Door = audit.SAML
	told := map[id.Application]string{}
	for _, o := range parting.Participants {
		told[o.Application] = string(o.State)
		if !o.Takes {
			told[o.Application] = "no address"
		}
	}
	e.After, _ = json.Marshal(told)
	if missed {
		e.Outcome, e.Code, e.Reason = audit.Refused, "logout-incomplete", "Not every application confirmed that the session there has ended."
	}
	err = p.db.Write(ctx, parting.Organization, func(tx *store.Tx) (err error) {
		if first, err = tx.FinishParting(ctx, attempt); err == nil && first {
			tx.Record(ctx, e)
		}
		return err
	})
	return first, err
}

func missedPage(parting store.Parting, on string) page.Parting {
	shown := page.Parting{
		Title: "Signed out", Heading: "You are signed out", Applications: partingLines(parting), On: on, Label: "Continue",
	}
	var names []string
	for _, o := range parting.Participants {
		if o.Missed() {
			names = append(names, o.Name)
		}
	}
	if len(names) > 0 {
		shown.Warn = strings.Join(names, ", ") + " did not confirm that your session there has ended. Sign out there too, or close the browser, before somebody else uses it."
	}
	if on == "" {
		shown.On, shown.Label = "/", "Sign in again"
	}
	return shown
}

func partingLines(parting store.Parting) (out []page.PartingLine) {
	for _, o := range parting.Participants {
		line := page.PartingLine{Name: o.Name, Icon: "clock", Said: "is told next"}
		switch {
		case !o.Takes:
			line.Icon, line.Said = "pause", "takes no sign-out from here: a session there goes on until it ends by itself"
		case o.State == store.PartedAsked:
			line.Icon, line.Said = "sync", "is being told"
		case o.State == store.PartedDone:
			line.Icon, line.Said = "check", "signed out"
		case o.State == store.PartedFailed:
			line.Icon, line.Said = "warn", "could not sign you out"
		case o.State == store.PartedSilent:
			line.Icon, line.Said = "warn", "did not answer"
		}
		out = append(out, line)
	}
	return out
}

// strayParting ends a step that belongs to no sign-out of this browser.
func (p *Provider) strayParting(w http.ResponseWriter, r *http.Request, err error) {
	if fault.KindOf(err) != fault.Gone {
		page.Refuse(w, r, p.log, err)
		return
	}
	p.samlPage(w, r, http.StatusBadRequest, page.Failure{
		Title: "This sign-out cannot be continued",
		Said:  "It was begun in another browser, has ended already, or has been left too long.",
		Do:    "You are signed out here. Where an application still shows you as signed in, sign out there.",
	})
}

// logoutRefuse ends what cannot be trusted on a page of ours, with one event.
func (p *Provider) logoutRefuse(w http.ResponseWriter, r *http.Request, to *party, err error) {
	p.samlRefuseWith(w, r, to, err, page.Failure{
		Title: "This sign-out cannot be carried out",
		Do:    "Nothing was ended here. Sign out at the console, or tell whoever runs the application; the code leads to the reason in the audit log.",
	})
}

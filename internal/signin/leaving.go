package signin

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Leaving the provider too. Our own session has ended before anything here happens, so nothing that fails here keeps anybody
// signed in to us: whatever the provider says, the person is told, and goes on to where the logout was to end.
//
//	request                  does
//	-----------------------  ---------------------------------------------------------------------------------------------
//	GET .../leave?attempt=   sends the browser to the provider's logout, with a request that names whose session it is
//	GET, POST .../slo        SAML: the provider's answer; or its own demand to end sessions, which is carried out at once

// depart serves the step after a logout of ours.
func (f *flow) depart(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	way, at, ok := f.answered(w, r, "")
	if !ok {
		return
	}
	at.recorded = true // a stray address is nobody's sign-in
	name, one := single(r.URL.Query(), "attempt")
	if !one {
		name = ""
	}
	attempt, err := f.attempt(ctx, id.Attempt(name), f.cookies.Browser(r))
	var leaving store.Leaving
	var who store.Leaver
	if err == nil && (attempt.Organization != at.organization || attempt.Connection != at.connection) {
		err = refuse(CodeAttempt, "")
	}
	if err == nil {
		err = f.DB.Read(ctx, at.organization, func(tx *store.Tx) (err error) {
			leaving, who, err = tx.Leaving(ctx, attempt)
			return err
		})
	}
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	var to string
	var form *saml.Outgoing
	var away store.Away
	switch way.Protocol {
	case connection.SAML:
		to, form, away, err = f.askSAMLLogout(ctx, way.Connection, who)
	default:
		to, away, err = f.askOpenIDLogout(ctx, way.Connection, leaving)
	}
	if err == nil {
		away.Organization, away.Connection = at.organization, at.connection
		err = f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
			return tx.SendAttempt(ctx, attempt.ID, attempt.Browser, away)
		})
	}
	switch {
	case err != nil:
		f.gone(w, r, way, attempt, leaving, who, err)
	case form != nil:
		f.post(w, r, "Signing out", way.Name, form)
	default:
		// As with sending somebody to sign in: a redirect would be held against the form-action of the page whose button it was.
		w.Header().Set("Refresh", "0; url="+to)
		f.render(w, r, http.StatusOK, goingPage(way.Name, to))
	}
}

// errNoLogout is a provider that cannot be told.
var errNoLogout = fault.New(fault.Unsupported, "Your identity provider takes no logout from us.")

// askSAMLLogout makes a LogoutRequest: where to, or what goes by a form, and what to keep.
func (f *flow) askSAMLLogout(ctx context.Context, c connection.Connection, who store.Leaver) (string, *saml.Outgoing, store.Away, error) {
	way, err := f.saml.connection(ctx, c)
	if err != nil {
		return "", nil, store.Away{}, err
	}
	if len(way.IdP.SLO) == 0 {
		return "", nil, store.Away{}, errNoLogout
	}
	relay := seal.Handle()
	var sessions []string
	if who.UpstreamSID != "" {
		sessions = []string{who.UpstreamSID}
	}
	out, err := way.LogoutRequest(nameOf(way.IdP.EntityID, who.Issuer, who.Subject), sessions, relay)
	if err != nil {
		return "", nil, store.Away{}, err
	}
	away := store.Away{StateHash: seal.Fingerprint(relay), Nonce: out.ID}
	if out.Binding == saml.Post {
		return "", out, away, nil
	}
	return out.URL, nil, away, nil
}

// gone ends a logout: the attempt, the event and the last page. Nothing was done at the provider if there is a cause.
func (f *flow) gone(
	w http.ResponseWriter, r *http.Request, way store.SignInConnection, attempt session.Attempt, leaving store.Leaving, who store.Leaver, cause error,
) {
	ctx := context.WithoutCancel(r.Context())
	actor := f.actor(r, way.ID)
	actor.Organization = way.Organization
	e := audit.Event{
		Actor: actor, Action: "session.ended-upstream", TargetKind: "session", TargetID: string(leaving.Session), User: who.User,
	}
	var left string
	if cause != nil {
		var why *refusal
		e.Outcome, e.Code, e.Reason = audit.Refused, "logout-incomplete", said(cause)
		if errors.As(cause, &why) {
			e.Reason = either(why.detail, string(why.code))
		}
		left = way.Name + " did not confirm that your session there has ended."
		if errors.Is(cause, errNoLogout) {
			left = way.Name + " takes no logout from us, so your session there goes on."
		}
	}
	err := f.DB.Write(ctx, way.Organization, func(tx *store.Tx) error {
		tx.FinishLeaving(ctx, attempt.ID)
		tx.Record(ctx, e)
		return nil
	})
	if err != nil {
		f.Log.ErrorContext(ctx, "a logout at the provider not recorded", "organization", way.Organization, "connection", way.ID, "error", err)
	}
	if left == "" && leaving.To != "" && !leaving.Ask {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, leaving.To, http.StatusSeeOther)
		return
	}
	f.render(w, r, http.StatusOK, gonePage(way.Name, left, leaving.To))
}

// slo serves the single logout service (SAML Profiles section 4.4).
func (f *flow) slo(w http.ResponseWriter, r *http.Request) {
	way, at, ok := f.answered(w, r, connection.SAML)
	if !ok {
		return
	}
	in := saml.Incoming{Binding: saml.Redirect, RawQuery: r.URL.RawQuery}
	values := r.URL.Query()
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxPosted)
		if err := r.ParseForm(); err != nil {
			f.fail(w, r, at, f.stray(r, refuse(CodeProvider, "the message is not a form, or too large")))
			return
		}
		in, values = saml.Incoming{Binding: saml.Post, Form: r.PostForm}, r.PostForm
	}
	switch asks, answers := values.Has("SAMLRequest"), values.Has("SAMLResponse"); {
	case asks == answers:
		f.fail(w, r, at, f.stray(r, refuse(CodeProvider, "the message is neither a logout request nor an answer to one")))
	case asks:
		f.ended(w, r, at, way.Connection, in)
	default:
		relay, one := single(values, "RelayState")
		if !one {
			relay = ""
		}
		f.departed(w, r, at, way, in, relay)
	}
}

// departed reads the provider's answer to our request. It may come by a form without our cookies, so any browser may bring it: all
// that it leads to is the end of this logout.
func (f *flow) departed(w http.ResponseWriter, r *http.Request, at stop, way store.SignInConnection, in saml.Incoming, relay string) {
	ctx := r.Context()
	var attempt session.Attempt
	var away store.Away
	var leaving store.Leaving
	var who store.Leaver
	err := f.DB.Write(ctx, at.organization, func(tx *store.Tx) (err error) {
		if attempt, away, err = tx.AnswerAttempt(ctx, at.connection, seal.Fingerprint(relay)); err == nil {
			leaving, who, err = tx.Leaving(ctx, attempt)
		}
		return err
	})
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	sp, err := f.saml.connection(ctx, way.Connection)
	if err == nil {
		var answer *saml.LogoutAnswer
		if answer, err = sp.ReadLogoutResponse(in, away.Nonce); err == nil && !answer.Complete {
			err = refuse(CodeDenied, "the provider ended some of its sessions only (PartialLogout)")
		}
		err = refusedBySAML(err)
	}
	f.gone(w, r, way, attempt, leaving, who, err)
}

// ended carries out the provider's demand: every live session of that NameID at this connection ends, or those of the session
// indexes it names. A session whose index is not known to us ends too, since it may be the one.
func (f *flow) ended(w http.ResponseWriter, r *http.Request, at stop, c connection.Connection, in saml.Incoming) {
	ctx := r.Context()
	way, err := f.saml.connection(ctx, c)
	var request *saml.LogoutRequest
	if err == nil {
		request, err = way.ReadLogoutRequest(in)
		err = refusedBySAML(err)
	}
	if err != nil {
		// No answer goes to whoever asked: it is not shown to be the provider.
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	issuer := issuerOf(way.IdP.EntityID, request.Subject, way.SP.EntityID)
	actor := f.actor(r, c.ID)
	actor.Organization, actor.Name = c.Organization, c.Name
	err = f.DB.Write(ctx, c.Organization, func(tx *store.Tx) error {
		if err := request.Once(ctx, replay{tx, c}); err != nil {
			return refusedBySAML(err)
		}
		live, err := tx.UpstreamSessions(ctx, c, issuer, request.Subject.Value)
		if err != nil {
			return err
		}
		for _, s := range live {
			if len(request.SessionIndexes) > 0 && s.UpstreamSID != "" && !slices.Contains(request.SessionIndexes, s.UpstreamSID) {
				continue
			}
			if _, err := tx.EndSession(ctx, s.ID); err != nil {
				return err
			}
			tx.Record(ctx, audit.Event{
				Actor: actor, Action: "session.ended", TargetKind: "session", TargetID: string(s.ID), User: s.User,
				Reason: "signed out at the identity provider",
			})
		}
		return nil
	})
	if err != nil {
		f.fail(w, r, at, err)
		return
	}
	if len(way.IdP.SLO) == 0 {
		f.render(w, r, http.StatusOK, gonePage(c.Name, "", ""))
		return
	}
	out, err := way.LogoutResponse(request, saml.LogoutDone)
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if out.Binding == saml.Post {
		f.post(w, r, "Signing out", c.Name, out)
		return
	}
	http.Redirect(w, r, out.URL, http.StatusSeeOther)
}

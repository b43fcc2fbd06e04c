package signin

import (
	"encoding/json"
	"net/http"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Whom a provider sends unasked (SAML Profiles section 4.1.5) comes with a response that any page could have sent through this
// browser. Where the connection takes such people at all, the response must not answer a request (it would be somebody's, stolen
// on its way), is used once, and leads to a page that says who one would be; only the person's own press of its button signs in.
// It lands on one fixed page: what the provider sent as RelayState is not read.

// unasked judges a response that nobody asked for and parks what it says.
func (f *flow) unasked(w http.ResponseWriter, r *http.Request, at stop, c connection.Connection) {
	ctx := r.Context()
	want := saml.Expectation{AuthnContexts: c.Settings.ACRValues}
	if c.Settings.SAML.ForceAuthn {
		want.AuthenticatedAfter = f.DB.Now().Add(-session.AttemptLifetime)
	}
	assertion, err := f.judgeResponse(ctx, c, r.PostForm, want)
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	handle := seal.Handle()
	attempt := session.Attempt{ID: id.New[id.Attempt](), Purpose: session.ForConsole, Request: encode(session.Hints{
		Organization: c.Organization, Connection: c.ID, ReturnTo: "/o/" + string(c.Organization) + "/me",
	})}
	parked := f.DB.Keys.Seal(parkedPlace(attempt), encode(assertion))
	err = f.DB.Write(ctx, c.Organization, func(tx *store.Tx) error {
		if err := assertion.Once(ctx, replay{tx, c}); err != nil {
			return refusedBySAML(err)
		}
		tx.ParkUnasked(ctx, attempt, c.ID, seal.Fingerprint(handle), parked)
		return nil
	})
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, connectionURL("", c)+"/sent?state="+handle, http.StatusSeeOther)
}

// sent asks whether the person means it. The first browser that comes is the one it asks.
func (f *flow) sent(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	way, at, ok := f.answered(w, r, connection.SAML)
	if !ok {
		return
	}
	state, one := single(r.URL.Query(), "state")
	browser, cookie := f.cookies.EnsureBrowser(r)
	var assertion saml.Assertion
	err := error(refuse(CodeAttempt, "the handle is missing or stands there twice"))
	if one && state != "" {
		var attempt id.Attempt
		var sealed string
		err = f.DB.Write(ctx, at.organization, func(tx *store.Tx) (err error) {
			attempt, sealed, err = tx.ClaimUnasked(ctx, at.connection, seal.Fingerprint(state), browser)
			return err
		})
		if err == nil {
			var raw []byte
			if raw, err = f.DB.Keys.Open(parkedPlace(session.Attempt{ID: attempt}), sealed); err == nil {
				err = json.Unmarshal(raw, &assertion)
			}
		}
	}
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	if cookie != nil {
		http.SetCookie(w, cookie)
	}
	who, err := arriveSAML(way.Connection, connectionURL(f.URL, way.Connection)+"/metadata", &assertion)
	if err != nil {
		f.fail(w, r, at, refusedBySAML(err))
		return
	}
	f.render(w, r, http.StatusOK, sentPage(connectionURL("", way.Connection)+"/sent", state, way.OrganizationName,
		either(who.person.Email, who.name, who.person.Subject)))
}

// enterSent signs in whom sent asked.
func (f *flow) enterSent(w http.ResponseWriter, r *http.Request) {
	way, at, ok := f.answered(w, r, connection.SAML)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	state, one := "", false
	if r.ParseForm() == nil {
		state, one = single(r.PostForm, "state")
	}
	f.enterParked(w, r, way.Connection, at, state, one)
}

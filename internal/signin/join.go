package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Joining: a provider vouches for somebody, and an account that the provider was never used with has the address. An address alone
// joins nobody to anything, since a provider may claim any. So what the provider said waits, bound to this browser, until the person
// has signed in to the account the way they did before; then they are asked, and both become one.

// parkedArrival is an arrival as it waits.
type parkedArrival struct {
	Person     connection.Person `json:"person"`
	Name       string            `json:"name,omitempty"`
	GivenName  string            `json:"given_name,omitempty"`
	FamilyName string            `json:"family_name,omitempty"`
	ACR        string            `json:"acr,omitempty"`
	AMR        []string          `json:"amr,omitempty"`
	SID        string            `json:"sid,omitempty"`
	AuthTime   time.Time         `json:"auth_time,omitzero"`
	Until      time.Time         `json:"until,omitzero"`
}

func parked(who arrival) parkedArrival {
	return parkedArrival{who.person, who.name, who.givenName, who.familyName, who.acr, who.amr, who.sid, who.authTime, who.until}
}

func (p parkedArrival) arrival() arrival {
	return arrival{
		person: p.Person, name: p.Name, givenName: p.GivenName, familyName: p.FamilyName, acr: p.ACR, amr: p.AMR, sid: p.SID,
		authTime: p.AuthTime, until: p.Until,
	}
}

// offerJoin keeps what a provider said of somebody who was refused because an account has the address, and gives the way to go on; ""
// where there is none: several have it, or it is out, or somebody else of this provider has it.
func (f *flow) offerJoin(
	ctx context.Context, tx *store.Tx, attempt session.Attempt, c connection.Connection, who arrival, finding connection.Finding,
) (string, error) {
	if finding.Code != connection.CodeEmailTaken {
		return "", nil
	}
	holder, err := tx.HolderOf(ctx, c.ID, who.person.Email)
	if err != nil || holder == nil {
		return "", err
	}
	p := store.PendingIdentity{
		ID: id.New[id.PendingIdentity](), Browser: attempt.Browser, Attempt: attempt.ID, Connection: c.ID, User: holder.ID,
	}
	p.Arrival = f.DB.Keys.Seal(store.PendingPlace(p.ID), encode(parked(who)))
	tx.KeepPending(ctx, p)
	return joinPath(tx.Organization, p.ID), nil
}

func joinPath(org id.Organization, pending id.PendingIdentity) string {
	return "/signin/join?" + url.Values{"organization": {string(org)}, "pending": {string(pending)}}.Encode()
}

// joining is what the pages of a joining look at.
type joining struct {
	store.PendingIdentity
	who     arrival
	way     store.SignInConnection
	holder  string // the account's name, for who has shown to be its holder
	session *session.Session
}

// joinable reads what waits, and whether this browser has shown the other way just now.
func (f *flow) joinable(ctx context.Context, tx *store.Tx, r *http.Request, pending id.PendingIdentity) (joining, error) {
	var j joining
	var err error
	if j.PendingIdentity, err = tx.Pending(ctx, pending, f.cookies.Browser(r)); err != nil {
		return j, err
	}
	raw, err := f.DB.Keys.Open(store.PendingPlace(j.ID), j.Arrival)
	if err != nil {
		return j, err
	}
	var kept parkedArrival
	if err := json.Unmarshal(raw, &kept); err != nil {
		return j, err
	}
	j.who = kept.arrival()
	if j.way, err = tx.SignInConnection(ctx, j.Connection); err != nil {
		return j, err
	}
	if j.way.Settings.Closed() {
		return j, refuse(connection.CodeConnectionDisabled, "")
	}
	s, err := tx.SessionOf(ctx, f.cookies.Hash(r, tx.Organization))
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		return j, nil
	case err != nil:
		return j, err
	}
	// Fresh: the one who sits here now has shown it, not whoever left the browser open.
	if s.User == j.User && !s.AuthTime.IsZero() && tx.Now().Sub(s.AuthTime) <= joinFresh {
		j.session, j.holder = &s, either(s.DisplayName, s.Email, s.UserName)
	}
	return j, nil
}

func joinOf(values url.Values) (id.Organization, id.PendingIdentity, error) {
	org, pending := id.Organization(values.Get("organization")), id.PendingIdentity(values.Get("pending"))
	if !id.Declared(string(org)) || !id.IsUUID(string(pending)) {
		return org, pending, refuse(CodeAttempt, "")
	}
	return org, pending, nil
}

// join serves GET /signin/join.
func (f *flow) join(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if !f.allow(w, r, "start", startsPerMinute) {
		return
	}
	org, pending, err := joinOf(r.URL.Query())
	var j joining
	if err == nil {
		err = f.DB.Read(ctx, org, func(tx *store.Tx) (err error) {
			j, err = f.joinable(ctx, tx, r, pending)
			return err
		})
	}
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	if j.session == nil {
		f.render(w, r, http.StatusOK, joinPage(joinView{
			name: j.way.OrganizationName, connection: j.way.Name, email: j.who.person.Email,
			signIn: "/signin?" + url.Values{
				"organization": {string(org)}, "login_hint": {j.who.person.Email}, "way": {"other"}, "return_to": {joinPath(org, pending)},
			}.Encode(),
		}))
		return
	}
	f.render(w, r, http.StatusOK, confirmPage(confirmView{
		title: "Join both ways to sign in", action: "/signin/join", label: "Join " + j.way.Name + " to my account",
		said:   "You have shown that the account of " + j.holder + " is yours, and " + j.way.Name + " knows you as " + either(j.who.person.Email, j.who.person.Subject) + ".",
		note:   "From now on " + j.way.Name + " opens this account. Every other session of it ends, and so does whatever was begun and not finished: a change of address, a factor that was never used.",
		hidden: [][2]string{{"organization", string(org)}, {"pending", string(pending)}},
	}))
}

// errNotShown: the other way was not shown, or not just now.
var errNotShown = errors.New("the account's holder has not shown themselves just now")

// joined serves POST /signin/join.
func (f *flow) joined(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if err := smallForm(w, r); err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	org, pending, err := joinOf(r.PostForm)
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	var waiting id.Attempt
	err = f.DB.Read(ctx, org, func(tx *store.Tx) error {
		p, err := tx.Pending(ctx, pending, f.cookies.Browser(r))
		waiting = p.Attempt
		return err
	})
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	// The sign-in that began it may have grown old over the other one; then it ends at the person's own page.
	attempt, err := f.attempt(ctx, waiting, f.cookies.Browser(r))
	hints, hintsErr := attempt.Hints()
	if err != nil || hintsErr != nil || attempt.Session != "" {
		if attempt, hints, err = f.own(w, r, org, "/o/"+string(org)+"/me"); err != nil {
			f.fail(w, r, stop{recorded: true}, err)
			return
		}
	}
	at := stop{attempt: attempt.ID, organization: org}
	var landed landing
	err = f.DB.Write(ctx, org, func(tx *store.Tx) error {
		j, err := f.joinable(ctx, tx, r, pending)
		if err != nil {
			return err
		}
		if j.session == nil {
			return errNotShown
		}
		at.connection, at.name = j.Connection, j.way.OrganizationName
		// What held when the provider vouched must hold now: nobody has the subject, and this account alone has the address.
		facts, err := tx.SignInFacts(ctx, j.way.Connection, j.who.person)
		if err != nil {
			return err
		}
		finding := connection.Find(j.way.Connection, j.who.person, facts)
		holder, err := tx.HolderOf(ctx, j.Connection, j.who.person.Email)
		if err != nil {
			return err
		}
		if finding.Step != connection.Refuse || finding.Code != connection.CodeEmailTaken || holder == nil || holder.ID != j.User {
			return refuse(CodeAttempt, "the account was changed meanwhile")
		}
		identity, err := tx.LinkIdentity(ctx, j.Connection, j.User, j.who.person, j.session.ID, f.URL, f.self(r, org, holder))
		if err != nil {
			return err
		}
		p := upstreamProof(j.way.Connection, j.who, connection.Finding{User: j.User, Identity: identity, How: "linked by the person"})
		p.AMR = mfa.Join(p.AMR, j.session.AMR)
		// A new session in place of the one it was shown in: what came before the joining is over.
		landed, err = f.pass(ctx, tx, r, attempt, hints, p)
		return err
	})
	switch {
	case errors.Is(err, errNotShown):
		http.Redirect(w, r, joinPath(org, pending), http.StatusSeeOther)
		return
	case err == nil:
		landed, err = f.onward(ctx, attempt, hints, landed)
	}
	f.finish(w, r, at, landed, err)
}

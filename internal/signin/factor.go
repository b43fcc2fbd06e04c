package signin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// What happens after a first factor, whichever it was, happens here. pass asks package mfa what is demanded against what was shown:
// either the session is made, with amr, acr and auth_time, or what was shown is kept on the attempt, sealed, and the browser goes to
// the page that asks for more. The attempt stays bound to its browser, so a second factor given elsewhere opens nothing.
//
//	proved on the attempt       reached by                                left by
//	--------------------------  ----------------------------------------  ----------------------------------------------
//	nothing                     GET /signin                               a first factor -> session, or kept
//	kept                        a first factor that was not enough        a factor, or an enrolment -> session
//	again                       /signin/again: a session that is to be    a factor of the same person, an upstream sign-in
//	                            proved anew                               younger than the attempt -> a new session

// proof is what a sign-in has shown so far. It is what a first factor hands to pass, and what lies sealed on the attempt.
type proof struct {
	User       id.User       `json:"user"`
	Name       string        `json:"name"`                 // of the person, for the log
	Connection id.Connection `json:"connection,omitempty"` // none for a password or a passkey
	Identity   id.Identity   `json:"identity,omitempty"`
	How        string        `json:"how"` // how the person was found, or the factor by its kind
	AMR        []string      `json:"amr,omitempty"`
	ACR        string        `json:"acr,omitempty"` // as the upstream provider says
	AuthTime   time.Time     `json:"auth_time,omitzero"`
	Until      time.Time     `json:"until,omitzero"` // the upstream provider's own session ends then
	SID        string        `json:"sid,omitempty"`
	Hint       string        `json:"hint,omitempty"` // the provider's ID token, where our logout will name it there
	// Again says that a person who is signed in must prove it anew before anything else; Session is the one they hold.
	Again   bool       `json:"again,omitempty"`
	Session id.Session `json:"session,omitempty"`
	// Enrolled says that the factor for whose enrolment the attempt was begun is kept.
	Enrolled bool `json:"enrolled,omitempty"`
}

func provedPlace(attempt id.Attempt) string { return "attempt/" + string(attempt) + "/proved" }

// pass takes a proof in the transaction that found the person. What it gives is for finish, after the commit.
func (f *flow) pass(
	ctx context.Context, tx *store.Tx, r *http.Request, attempt session.Attempt, hints session.Hints, p proof,
) (landing, error) {
	if err := f.acceptEnrolled(ctx, tx, r, hints, p); err != nil {
		return landing{}, err
	}
	if p.Session == "" {
		var err error
		if p, err = f.again(ctx, tx, attempt, p); err != nil {
			return landing{}, err
		}
	}
	if p.Session != "" {
		// What a session has shown ends with it: a step-up that was begun before a sign-out, or before somebody ended the session,
		// must not bring it back by a second factor alone (negative case 179).
		if _, err := tx.SessionByID(ctx, p.Session); fault.KindOf(err) == fault.Unauthenticated {
			return landing{}, refuse(CodeAttempt, "the session that was proved anew has ended")
		} else if err != nil {
			return landing{}, err
		}
	}
	verdict, err := f.verdict(ctx, tx, hints, p)
	if err != nil {
		return landing{}, err
	}
	switch {
	case p.Again || verdict.Step != mfa.Enter:
		return f.keep(ctx, tx, attempt, p, "/signin/factor", url.Values{})
	case hints.Enrol != "" && !p.Enrolled:
		return f.keep(ctx, tx, attempt, p, "/signin/enrol", url.Values{"kind": {hints.Enrol}})
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return landing{}, err
	}
	lasts := self.Settings.Session.Lifetime()
	if !p.Until.IsZero() {
		// The provider's own session bounds ours, however it is extended here.
		lasts = min(lasts, p.Until.Sub(tx.Now()))
	}
	if lasts <= 0 {
		return landing{}, refuse(CodeToken, "the provider's session has ended")
	}
	ip, _ := f.From(r)
	handle := seal.Handle()
	started := session.Start{
		ID: id.New[id.Session](), Hash: seal.Fingerprint(handle), User: p.User, Connection: p.Connection, Identity: p.Identity,
		Expires: tx.Now().Add(lasts), Idle: self.Settings.Session.Idle(), IP: ip, UserAgent: plain(r.UserAgent()),
		AuthTime: p.AuthTime, ACR: mfa.ACR(p.ACR, p.AMR, hints.ACRValues), AMR: p.AMR, UpstreamSID: p.SID,
		Replaces: f.cookies.Hash(r, tx.Organization),
	}
	if err := tx.StartSession(ctx, started); err != nil {
		return landing{}, err
	}
	switch {
	case p.Hint != "":
		tx.KeepUpstreamToken(ctx, started.ID, f.DB.Keys.Seal(hintPlace(tx.Organization, p.Connection), []byte(p.Hint)))
	case p.Session != "":
		tx.CarryUpstreamToken(ctx, p.Session, started.ID)
	}
	if attempt.Organization != tx.Organization {
		tx.HomeAttempt(ctx, attempt.ID, attempt.Browser)
	}
	if err := tx.LandAttempt(ctx, attempt.ID, attempt.Browser, started.ID); err != nil {
		return landing{}, err
	}
	actor := f.actor(r, p.Connection)
	actor.Organization = tx.Organization
	tx.Record(ctx, startedEvent(actor, p, started))
	return landing{handle: handle, lifetime: lasts}, nil
}

// keep puts a proof on the attempt and leads to the page that asks for more.
func (f *flow) keep(ctx context.Context, tx *store.Tx, attempt session.Attempt, p proof, to string, q url.Values) (landing, error) {
	q.Set("attempt", string(attempt.ID))
	sealed := f.DB.Keys.Seal(provedPlace(attempt.ID), encode(p))
	return landing{to: to + "?" + q.Encode(), pending: true}, tx.ProveAttempt(ctx, attempt.ID, attempt.Browser, sealed)
}

// verdict says what a proof still lacks.
func (f *flow) verdict(ctx context.Context, tx *store.Tx, hints session.Hints, p proof) (mfa.Verdict, error) {
	demand, err := tx.MFADemand(ctx, p.User)
	if err != nil {
		return mfa.Verdict{}, err
	}
	toward, err := tx.MFADemandToward(ctx, hints.Organization, p.User)
	if err != nil {
		return mfa.Verdict{}, err
	}
	demand.Multiple = append(demand.Multiple, toward.Multiple...)
	demand.Asked(hints.ACRValues, "The application")
	if demand.Nothing() && hints.Enrol == "" {
		return mfa.Verdict{Step: mfa.Enter}, nil
	}
	has, err := f.kinds(ctx, tx, p.User)
	if err != nil {
		return mfa.Verdict{}, err
	}
	if hints.Enrol != "" && len(has) > 0 && !p.Enrolled {
		// Whoever found a browser signed in by a password alone must not add a factor of their own beside the person's.
		demand.Multiple = append(demand.Multiple, "You have set up a second factor, so adding another one asks for it.")
	}
	return mfa.Next(mfa.Facts{Shown: p.AMR, Demand: demand, Has: has, May: f.enrollable()}), nil
}

// kinds gives the kinds of factor that a user can be asked for.
func (f *flow) kinds(ctx context.Context, tx *store.Tx, user id.User) ([]mfa.Kind, error) {
	factors, err := tx.Factors(ctx, user)
	if err != nil {
		return nil, err
	}
	var out []mfa.Kind
	for _, own := range factors {
		if !slices.Contains(out, own.Kind) {
			out = append(out, own.Kind)
		}
	}
	left, err := tx.RecoveryCodes(ctx, user)
	if left > 0 {
		out = append(out, mfa.Recovery)
	}
	return out, err
}

// enrollable are the kinds that a person may enrol in the middle of signing in: those that need nothing but the person.
func (f *flow) enrollable() []mfa.Kind {
	if f.passkeys == nil {
		return []mfa.Kind{mfa.TOTP}
	}
	return []mfa.Kind{mfa.Passkey, mfa.TOTP}
}

// again joins a new proof to that of the session that is being proved anew, where one is: it must be the same person's, and younger
// than the question where that was the question.
func (f *flow) again(ctx context.Context, tx *store.Tx, attempt session.Attempt, p proof) (proof, error) {
	_, sealed, err := tx.ProvedAttempt(ctx, attempt.ID, attempt.Browser)
	if err != nil || sealed == "" {
		return p, err
	}
	before, err := f.open(attempt.ID, sealed)
	switch {
	case err != nil:
		return p, err
	case before.Session == "":
		return p, nil // another first factor was shown instead: it stands alone
	case before.User != p.User:
		return p, refuse(CodeOtherPerson, "")
	case before.Again && p.AuthTime.Before(attempt.Created.Truncate(time.Second)):
		return p, refuse(CodeNotFresh, "")
	}
	p.AMR, p.Session = mfa.Join(before.AMR, p.AMR), before.Session
	if p.AuthTime.Before(before.AuthTime) {
		p.AuthTime = before.AuthTime
	}
	if p.Connection == "" {
		p.Connection, p.Identity, p.SID, p.ACR, p.Until = before.Connection, before.Identity, before.SID, before.ACR, before.Until
	}
	return p, nil
}

// open reads what was proved in an attempt so far.
func (f *flow) open(attempt id.Attempt, sealed string) (proof, error) {
	var p proof
	raw, err := f.DB.Keys.Open(provedPlace(attempt), sealed)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(raw, &p)
}

// upstreamProof is what a sign-in through a connection proves. What the provider says of its methods counts, and is told on, only
// where the connection is trusted with it; otherwise a provider would answer for the organization's own demands.
func upstreamProof(c connection.Connection, who arrival, finding connection.Finding) proof {
	p := proof{
		User: finding.User, Name: either(who.name, who.person.Email, who.person.Subject), Connection: c.ID, Identity: finding.Identity,
		How: finding.How, ACR: who.acr, AMR: []string{mfa.Federation}, AuthTime: who.authTime, Until: who.until, SID: who.sid, Hint: who.hint,
	}
	if !c.Settings.TrustAMR {
		if mfa.Own(p.ACR) {
			p.ACR = "" // what we say ourselves of what we saw ourselves
		}
		return p
	}
	if mfa.Classed(who.amr) {
		p.AMR = mfa.Join(nil, who.amr)
	}
	if who.acr != "" && slices.Contains(c.Settings.MFAContexts, who.acr) {
		p.AMR = mfa.Join(p.AMR, []string{mfa.Multiple})
	}
	return p
}

func startedEvent(actor audit.Actor, p proof, s session.Start) audit.Event {
	actor.Kind, actor.ID, actor.Name = audit.ActorUser, string(p.User), p.Name
	said := map[string]any{"found_by": p.How}
	if p.Connection != "" {
		said["connection"] = string(p.Connection)
	}
	if told := mfa.Told(p.AMR); len(told) > 0 {
		said["amr"] = told
	}
	if p.Session != "" {
		said["instead_of"] = string(p.Session)
	}
	return audit.Event{
		Actor: actor, Action: "session.started", TargetKind: "session", TargetID: string(s.ID), User: p.User, After: encode(said),
	}
}

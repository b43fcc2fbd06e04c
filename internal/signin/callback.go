package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// verifierPlace binds a sealed PKCE verifier to its attempt.
func verifierPlace(attempt id.Attempt) string { return "attempt/" + string(attempt) }

// send keeps on the attempt what the answer will be judged by and sends the browser to the provider.
func (f *flow) send(w http.ResponseWriter, r *http.Request, attempt session.Attempt, hints session.Hints, at stop, fromForm bool) {
	ctx := r.Context()
	var way store.SignInConnection
	err := f.DB.Read(ctx, at.organization, func(tx *store.Tx) (err error) {
		way, err = tx.SignInConnection(ctx, at.connection)
		return err
	})
	var to string
	var form *saml.Outgoing // a message that goes by a form instead
	var away store.Away
	switch {
	case err != nil:
	case way.Protocol == connection.SAML:
		to, form, away, err = f.askSAML(ctx, way.Connection, attempt, hints)
	default:
		to, away, err = f.askOpenID(ctx, way.Connection, attempt, hints)
	}
	if err != nil {
		f.fail(w, r, at, err)
		return
	}
	away.Organization, away.Connection = at.organization, at.connection
	err = f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		return tx.SendAttempt(ctx, attempt.ID, attempt.Browser, away)
	})
	if err != nil {
		f.fail(w, r, at, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if form != nil {
		f.post(w, r, "Signing in", way.Name, form)
		return
	}
	if fromForm {
		// A redirect after a form would need the provider's origin in this page's form-action, and which provider it is was not
		// known when the page was made. A page that goes on by itself is a new navigation.
		w.Header().Set("Refresh", "0; url="+to)
		f.render(w, r, http.StatusOK, leavingPage(way.Name, to))
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// askOpenID makes an authorization request: where to, and the state, nonce and verifier to keep.
func (f *flow) askOpenID(
	ctx context.Context, c connection.Connection, attempt session.Attempt, hints session.Hints,
) (string, store.Away, error) {
	m, err := f.upstream.discover(ctx, c)
	if err != nil {
		return "", store.Away{}, err
	}
	state, nonce, verifier := seal.Handle(), seal.Handle(), seal.Handle()
	contexts, err := f.contexts(ctx, c, attempt, hints)
	if err != nil {
		return "", store.Away{}, err
	}
	to, err := f.authorizeURL(c, m, hints, contexts, state, nonce, verifier)
	if err != nil {
		return "", store.Away{}, refuse(CodeProvider, "authorization_endpoint is not a URL")
	}
	return to, store.Away{
		StateHash: seal.Fingerprint(state), Nonce: nonce, Verifier: f.DB.Keys.Seal(verifierPlace(attempt.ID), []byte(verifier)),
	}, nil
}

func (f *flow) authorizeURL(
	c connection.Connection, m metadata, hints session.Hints, contexts []string, state, nonce, verifier string,
) (string, error) {
	u, err := url.Parse(m.authorization)
	if err != nil {
		return "", err
	}
	challenge := sha256.Sum256([]byte(verifier))
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": c.Settings.ClientID, "redirect_uri": callbackURL(f.URL, c.Organization, c.ID),
		"scope": strings.Join(c.Settings.Scopes, " "), "state": state, "nonce": nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	if connection.DomainOf(hints.LoginHint) != "" {
		q.Set("login_hint", hints.LoginHint)
	}
	if len(contexts) > 0 {
		q.Set("acr_values", strings.Join(contexts, " "))
	}
	switch {
	case hints.Forced():
		q.Set("prompt", "login")
		q.Set("max_age", "0")
	case hints.MaxAge != nil:
		q.Set("max_age", strconv.FormatInt(*hints.MaxAge, 10))
	}
	if slices.Contains(hints.Prompt, "select_account") && !hints.Forced() {
		q.Set("prompt", "select_account")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// maxHint is how long an ID token may be to go into a logout's address later.
const maxHint = 6 << 10

// maxCallback bounds the query of a callback; codes of a few kilobytes exist (Entra).
const maxCallback = 16 << 10

// answered finds the connection that an answer has come for. It is the one of the address: who the answer says it is from
// counts only against that. Addresses from which answers come that fit nothing are slowed down. Any protocol will do where none is named.
func (f *flow) answered(w http.ResponseWriter, r *http.Request, speaks connection.Protocol) (way store.SignInConnection, at stop, ok bool) {
	ctx := r.Context()
	at = stop{organization: id.Organization(r.PathValue("organization")), connection: id.Connection(r.PathValue("connection"))}
	hits, err := f.DB.Hits(ctx, f.strayName(r), time.Minute)
	if err != nil || !f.within(w, r, hits, strayPerMinute-1) {
		if err != nil {
			f.fail(w, r, stop{recorded: true}, err)
		}
		return way, at, false
	}
	if !id.Declared(string(at.organization)) || !id.Declared(string(at.connection)) {
		err = refuse(connection.CodeUnknownConnection, "")
	} else {
		err = f.DB.Read(ctx, at.organization, func(tx *store.Tx) (err error) {
			way, err = tx.SignInConnection(ctx, at.connection)
			return err
		})
	}
	if err == nil && speaks != "" && way.Protocol != speaks {
		err = refuse(connection.CodeUnknownConnection, "")
	}
	if err != nil {
		// Nothing is known of such a connection: the event is the installation's.
		at.organization, at.connection = "", ""
		f.fail(w, r, at, f.stray(r, err))
		return way, at, false
	}
	at.name = way.OrganizationName
	return way, at, true
}

func (f *flow) strayName(r *http.Request) string {
	ip, _ := f.From(r)
	return "signin/stray/" + store.Network(ip)
}

// stray counts an answer that fits no attempt.
func (f *flow) stray(r *http.Request, err error) error {
	if _, counted := f.DB.Hit(r.Context(), f.strayName(r), time.Minute); counted != nil {
		return errors.Join(err, counted)
	}
	return err
}

// callback serves what an OpenID Provider sends back through the browser.
func (f *flow) callback(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	way, at, ok := f.answered(w, r, connection.OIDC)
	if !ok {
		return
	}
	answer, err := readAnswer(r.URL.RawQuery)
	var attempt session.Attempt
	var away store.Away
	if err == nil {
		err = f.DB.Write(ctx, at.organization, func(tx *store.Tx) (err error) {
			attempt, away, err = tx.TakeAttempt(ctx, at.connection, seal.Fingerprint(answer.state), f.cookies.Browser(r))
			return err
		})
	}
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	at.attempt, at.trial = attempt.ID, trialOf(attempt)
	if at.trial != nil {
		who, err := f.judgeAnswer(ctx, way.Connection, attempt, session.Hints{}, away, answer, at.trial)
		f.tested(w, r, at, &who, err)
		return
	}
	landed, err := f.land(r, way, attempt, away, answer)
	f.finish(w, r, at, landed, err)
}

// finish gives the browser its session and sends it on, or tells why there is none.
func (f *flow) finish(w http.ResponseWriter, r *http.Request, at stop, landed landing, err error) {
	if err != nil {
		var found *found
		if errors.As(err, &found) {
			at.recorded, at.join, err = true, found.join, found.refusal
		}
		f.fail(w, r, at, err)
		return
	}
	if !landed.pending {
		http.SetCookie(w, f.cookies.Session(at.organization, landed.handle, landed.lifetime))
	}
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodPost && strings.HasPrefix(landed.to, "/authorize/") {
		// From here redirects lead to the application, and Chromium holds the whole chain after a form against form-action. A page
		// that goes on by itself is a new navigation.
		w.Header().Set("Refresh", "0; url="+landed.to)
		f.render(w, r, http.StatusOK, arrivedPage(landed.to))
		return
	}
	http.Redirect(w, r, landed.to, http.StatusSeeOther)
}

// answer is an authorization response.
type answer struct {
	state, code, issuer string
	failure             string // error, as a plain code
}

// readAnswer reads a callback's query. Strictly: a parameter twice, or both a code and an error, is no answer of a provider.
func readAnswer(rawQuery string) (answer, error) {
	var a answer
	if len(rawQuery) > maxCallback {
		return a, refuse(CodeProvider, "the authorization response is too large")
	}
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return a, refuse(CodeProvider, "the authorization response is not a query")
	}
	for name, to := range map[string]*string{"state": &a.state, "code": &a.code, "iss": &a.issuer, "error": &a.failure} {
		value, once := single(q, name)
		if !once {
			return answer{}, refuse(CodeProvider, "the authorization response has "+name+" twice")
		}
		*to = value
	}
	if a.state == "" {
		return a, refuse(CodeAttempt, "the authorization response has no state")
	}
	if a.failure != "" && !plainCode(a.failure) {
		a.failure = "an error that is no code"
	}
	return a, nil
}

// landing is where a person who has signed in goes, and with what.
type landing struct {
	handle   string
	lifetime time.Duration
	to       string
	pending  bool // more is asked before there is a session
}

// land judges an answer whose state was good and signs the person in.
func (f *flow) land(
	r *http.Request, way store.SignInConnection, attempt session.Attempt, away store.Away, a answer,
) (landing, error) {
	c := way.Connection
	if barred(c, attempt) {
		return landing{}, refuse(connection.CodeConnectionDisabled, "")
	}
	hints, err := attempt.Hints()
	if err != nil {
		return landing{}, err
	}
	who, err := f.judgeAnswer(r.Context(), c, attempt, hints, away, a, nil)
	if err != nil {
		return landing{}, err
	}
	return f.enter(r, attempt, hints, c, who)
}

// judgeAnswer gives the person of an answer whose state was good, once everything about it is proved.
func (f *flow) judgeAnswer(
	ctx context.Context, c connection.Connection, attempt session.Attempt, hints session.Hints, away store.Away, a answer, seen *trial,
) (arrival, error) {
	m, err := f.upstream.discover(ctx, c)
	if err != nil {
		return arrival{}, err
	}
	seen.pass(connection.CheckProvider)
	switch {
	case a.issuer != "" && a.issuer != c.Settings.Issuer:
		// RFC 9207 section 2.4: the answer of another provider, whose code must not go to this one's token endpoint.
		return arrival{}, refuse(CodeIssuer, "iss names another provider")
	case a.issuer == "" && m.saysIssuer:
		return arrival{}, refuse(CodeIssuer, "the provider says it sends iss, and this answer has none")
	case a.failure != "" && a.code != "":
		return arrival{}, refuse(CodeProvider, "the answer has both a code and an error")
	case a.failure != "":
		return arrival{}, refuse(CodeDenied, "the provider answered "+a.failure)
	case a.code == "":
		return arrival{}, refuse(CodeProvider, "the answer has no code")
	}
	seen.pass(connection.CheckAnswer)
	verifier, err := f.DB.Keys.Open(verifierPlace(attempt.ID), away.Verifier)
	if err != nil {
		return arrival{}, err
	}
	t, err := f.upstream.exchange(ctx, c, m, a.code, string(verifier), callbackURL(f.URL, c.Organization, c.ID))
	if err != nil {
		return arrival{}, err
	}
	seen.pass(connection.CheckCode)
	want := expected{
		issuer: c.Settings.Issuer, clientID: c.Settings.ClientID, nonce: away.Nonce, algorithms: c.Settings.SigningAlgorithms(),
		accessToken: t.access, tenant: c.Settings.Tenant, domain: c.Settings.HostedDomain, acrValues: c.Settings.ACRValues,
		now: f.DB.Now(), maxAge: hints.MaxAge, keys: f.upstream.keySet(c, m), passed: seen.pass,
	}
	if hints.Forced() {
		want.maxAge, want.since = nil, attempt.Created
	}
	token, err := verify(ctx, t.id, want)
	if err != nil {
		seen.sawUnproven(c, t.id)
		var known *refusal
		if errors.As(err, &known) || fault.As(err) != nil {
			return arrival{}, err
		}
		return arrival{}, refuse(CodeToken, err.Error())
	}
	seen.saw(c, "ID token", token)
	var userinfo object
	if t.access != "" && m.userinfo != "" && wanted(c, token) {
		if userinfo, err = f.upstream.userInfo(ctx, m, t.access, token.text("sub")); err != nil {
			return arrival{}, err
		}
		seen.saw(c, "userinfo", userinfo)
	}
	who := arrive(c, token, userinfo)
	if c.Settings.UpstreamLogout && m.endSession != "" && len(t.id) <= maxHint {
		who.hint = t.id
	}
	seen.grouped(c, who, token, userinfo)
	if hints.Forced() && who.authTime.Before(attempt.Created) {
		// The provider's clock was allowed to be behind; the session's time must prove the same to whoever asks it.
		who.authTime = attempt.Created
	}
	return who, nil
}

// found is a refusal whose event was written where it was found, with the way to go on, if there is one.
type found struct {
	*refusal
	join string
}

// Unwrap gives the refusal.
func (f *found) Unwrap() error { return f.refusal }

// enter finds the person and makes the session, in one transaction; on refusal that transaction holds one audit event.
func (f *flow) enter(
	r *http.Request, attempt session.Attempt, hints session.Hints, c connection.Connection, who arrival,
) (landing, error) {
	ctx := r.Context()
	actor := f.actor(r, c.ID)
	actor.Organization = c.Organization
	var stopped *refusal
	var join string
	var landed landing
	once := func() error {
		return f.DB.Write(ctx, c.Organization, func(tx *store.Tx) error {
			stopped, join = nil, ""
			// Read again: an administrator may have switched the connection off while the person was away.
			now, err := tx.SignInConnection(ctx, c.ID)
			if err != nil {
				return err
			}
			if now.Settings.Closed() {
				return refuse(connection.CodeConnectionDisabled, "")
			}
			finding, err := f.findFor(ctx, tx, r, hints, c, who, actor)
			if err != nil {
				return err
			}
			if finding.Step == connection.Refuse {
				stopped = &refusal{code: finding.Code}
				tx.Record(ctx, refusedEvent(actor, c, who, finding))
				join, err = f.offerJoin(ctx, tx, attempt, c, who, finding)
				return err
			}
			if who.grouped {
				if err := tx.ClaimGroups(ctx, actor, c, finding.User, who.groups); err != nil {
					return err
				}
			}
			landed, err = f.pass(ctx, tx, r, attempt, hints, upstreamProof(c, who, finding))
			return err
		})
	}
	err := once()
	if fault.KindOf(err) == fault.Conflict {
		// Another tab of the same person has just been linked or made: the second look finds what it wrote.
		err = once()
	}
	if err != nil {
		return landing{}, err
	}
	if stopped != nil {
		return landing{}, &found{stopped, join}
	}
	return f.onward(ctx, attempt, hints, landed)
}

// find decides who the person is and carries the decision out.
func (f *flow) find(
	ctx context.Context, tx *store.Tx, c connection.Connection, who arrival, actor audit.Actor,
) (connection.Finding, error) {
	facts, err := tx.SignInFacts(ctx, c, who.person)
	if err != nil {
		return connection.Finding{}, err
	}
	finding := connection.Find(c, who.person, facts)
	profile := store.NewUser{
		Email: who.person.Email, EmailVerified: who.person.EmailVerified == connection.Yes,
		DisplayName: who.name, GivenName: who.givenName, FamilyName: who.familyName,
	}
	switch finding.Step {
	case connection.SignIn:
		tx.UseIdentity(ctx, finding.Identity, who.person.Match)
		return finding, tx.RefreshProfile(ctx, actor, c, finding.User, who.person, profile)
	case connection.Create:
		u, err := tx.CreateJustInTime(ctx, profile, actor)
		if err != nil {
			return finding, err
		}
		finding.User = u.ID
	case connection.Bind:
	case connection.Refuse:
		return finding, nil
	}
	finding.Identity = tx.AttachIdentity(ctx, c.ID, finding.User, who.person)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "identity.attached", TargetKind: "identity", TargetID: string(finding.Identity), User: finding.User,
		After: encode(map[string]string{
			"connection": string(c.ID), "subject": who.person.Subject, "found_by": finding.How, "match_value": who.person.Match,
		}),
	})
	return finding, nil
}

// refusedEvent tells the administrator both values: what the provider sent, and what the record holds where that differs.
func refusedEvent(actor audit.Actor, c connection.Connection, who arrival, finding connection.Finding) audit.Event {
	said := map[string]string{"subject": who.person.Subject, "email": who.person.Email}
	if claim := c.Settings.Match.Claim; claim != "" {
		said["claim"], said["value"], said["attribute"] = claim, who.person.Match, string(c.Settings.Match.Attribute)
		said["record_value"] = finding.Held
	}
	return audit.Event{
		Actor: actor, Action: "sign-in.refused", TargetKind: "connection", TargetID: string(c.ID), TargetName: c.Name,
		User: finding.User, Outcome: audit.Refused, Code: string(finding.Code), After: encode(said),
	}
}

// onward completes a landing after its transaction: who has a session goes where the attempt was to lead.
func (f *flow) onward(ctx context.Context, attempt session.Attempt, hints session.Hints, landed landing) (landing, error) {
	if landed.pending {
		return landed, nil
	}
	var err error
	landed.to, err = f.leave(ctx, attempt, hints)
	return landed, err
}

// leave says where a landed attempt goes on. Issuing consumes its own; the console's is consumed here.
func (f *flow) leave(ctx context.Context, attempt session.Attempt, hints session.Hints) (string, error) {
	switch attempt.Purpose {
	case session.ForApplication:
		return "/authorize/resume?attempt=" + url.QueryEscape(string(attempt.ID)), nil
	case session.ForSAML:
		return "/saml/idp/resume?attempt=" + url.QueryEscape(string(attempt.ID)), nil
	case session.ForConsole, session.ForTest, session.ForLogout:
	}
	err := f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		_, err := tx.FinishAttempt(ctx, attempt.ID, attempt.Browser)
		return err
	})
	return session.OwnPath(hints.ReturnTo), err
}

func either(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// encode gives a value of ours as JSON; such values always encode.
func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("signin: encode: " + err.Error())
	}
	return raw
}

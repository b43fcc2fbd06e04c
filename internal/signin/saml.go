package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// A SAML sign-in in the attempt's row: the RelayState's hash stands where OpenID keeps the state's, and the request's id where it
// keeps the nonce. The response comes by a form of the provider's page, without our cookies. So it is judged first, and what it
// says is parked, sealed, under a new handle; a redirect brings the handle back in a request that carries the cookies, and there
// the browser is compared before anybody is signed in (login CSRF, and negative case 143).

// parkedPlace binds a parked assertion to its attempt.
func parkedPlace(attempt session.Attempt) string {
	return "attempt/" + string(attempt.ID) + "/assertion"
}

// needed is the moment that an authentication must not be older than for this attempt and connection, or the zero time.
func needed(c connection.Connection, attempt session.Attempt, hints session.Hints) time.Time {
	if since := fresh(attempt, hints); !since.IsZero() || !c.Settings.SAML.ForceAuthn {
		return since
	}
	return attempt.Created
}

// fresh is what the request of an application or of ours says of it, or the zero time. SAML knows no age, so whoever gives one is
// authenticated anew, and what comes back is held against the age.
func fresh(attempt session.Attempt, hints session.Hints) time.Time {
	switch {
	case hints.Forced():
		return attempt.Created
	case hints.MaxAge != nil:
		return attempt.Created.Add(-time.Duration(*hints.MaxAge) * time.Second)
	}
	return time.Time{}
}

// askSAML makes an AuthnRequest: where to, or what goes by a form, and what to keep.
func (f *flow) askSAML(
	ctx context.Context, c connection.Connection, attempt session.Attempt, hints session.Hints,
) (string, *saml.Outgoing, store.Away, error) {
	way, err := f.saml.connection(ctx, c)
	if err != nil {
		return "", nil, store.Away{}, err
	}
	relay := seal.Handle()
	out, err := way.AuthnRequest(saml.AuthnOptions{
		RelayState: relay, ForceAuthn: !needed(c, attempt, hints).IsZero(), AuthnContexts: c.Settings.ACRValues,
	})
	if err != nil {
		return "", nil, store.Away{}, err
	}
	away := store.Away{StateHash: seal.Fingerprint(relay), Nonce: out.ID}
	if out.Binding == saml.Post {
		return "", out, away, nil
	}
	return out.URL, nil, away, nil
}

// post renders a form that carries a message to the provider. The page's policy admits the provider's origin, and any https
// origin after it: Chromium holds the whole redirect chain after a form against it, and where a provider's own sign-in leads is
// not ours to know. The page holds nothing that a stranger wrote.
func (f *flow) post(w http.ResponseWriter, r *http.Request, title, name string, out *saml.Outgoing) {
	to, err := url.Parse(out.URL)
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	page.AllowForms(w, to.Scheme+"://"+to.Host, "https:")
	w.Header().Set("Cache-Control", "no-store")
	f.render(w, r, http.StatusOK, page.Posting(title, name, "You come back by yourself.", out.URL, hidden(out)))
}

// maxPosted bounds a response's form: the message's own limit in base64, percent-encoded at worst, and its RelayState.
const maxPosted = 512 << 10

// acs serves the assertion consumer service: a response, posted by the provider's page.
func (f *flow) acs(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	way, at, ok := f.answered(w, r, connection.SAML)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPosted)
	if err := r.ParseForm(); err != nil {
		f.fail(w, r, at, f.stray(r, refuse(CodeProvider, "the response is not a form, or too large")))
		return
	}
	var attempt session.Attempt
	var away store.Away
	relay, one := single(r.PostForm, "RelayState")
	var err error
	switch {
	case !one:
		err = refuse(CodeProvider, "the response has RelayState twice")
	case (len(relay) != len(seal.Handle()) || saml.Handle(relay) == "") && way.Settings.SAML.Unsolicited && !way.Settings.Closed():
		f.unasked(w, r, at, way.Connection)
		return
	case len(relay) != len(seal.Handle()) || saml.Handle(relay) == "":
		// What a provider's own portal sends along is an address of its choosing or nothing.
		err = refuse(CodeUnasked, "the RelayState is none of ours")
	default:
		err = f.DB.Write(ctx, at.organization, func(tx *store.Tx) (err error) {
			attempt, away, err = tx.AnswerAttempt(ctx, at.connection, seal.Fingerprint(relay))
			return err
		})
	}
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	at.attempt, at.trial = attempt.ID, trialOf(attempt)
	handle, err := f.believe(ctx, way.Connection, attempt, away, r.PostForm)
	if err != nil {
		f.fail(w, r, at, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, connectionURL("", way.Connection)+"/landed?state="+handle, http.StatusSeeOther)
}

// believe judges a response and parks what it says. The handle it gives leads there.
func (f *flow) believe(
	ctx context.Context, c connection.Connection, attempt session.Attempt, away store.Away, form url.Values,
) (string, error) {
	if barred(c, attempt) {
		return "", refuse(connection.CodeConnectionDisabled, "")
	}
	hints, err := attempt.Hints()
	if err != nil {
		return "", err
	}
	if away.Nonce == "" {
		return "", refuse(CodeAttempt, "")
	}
	assertion, err := f.judgeResponse(ctx, c, form, saml.Expectation{
		RequestID: away.Nonce, AuthnContexts: c.Settings.ACRValues, AuthenticatedAfter: needed(c, attempt, hints),
	})
	if err != nil {
		return "", err
	}
	handle := seal.Handle()
	parked := f.DB.Keys.Seal(parkedPlace(attempt), encode(assertion))
	return handle, f.DB.Write(ctx, c.Organization, func(tx *store.Tx) error {
		if err := assertion.Once(ctx, replay{tx, c}); err != nil {
			return refusedBySAML(err)
		}
		return tx.ParkAttempt(ctx, attempt.ID, c.ID, seal.Fingerprint(handle), parked)
	})
}

// judgeResponse reads a response. One that no known certificate signed may be signed by one that the provider publishes since: its
// metadata is asked again, once in a while, and where that changed what counts the response is read anew.
func (f *flow) judgeResponse(ctx context.Context, c connection.Connection, form url.Values, want saml.Expectation) (*saml.Assertion, error) {
	way, err := f.saml.connection(ctx, c)
	if err != nil {
		return nil, err
	}
	assertion, err := way.ReadResponse(form, want)
	var why *saml.Refusal
	if errors.As(err, &why) && (why.Check == saml.CheckSignature || why.Check == saml.CheckDecryption) && f.saml.renew(ctx, c) {
		if way, err = f.saml.connection(ctx, c); err != nil {
			return nil, err
		}
		assertion, err = way.ReadResponse(form, want)
	}
	return assertion, refusedBySAML(err)
}

// replay remembers the messages of one connection.
type replay struct {
	tx *store.Tx
	c  connection.Connection
}

// Consume implements saml.Replay.
func (r replay) Consume(ctx context.Context, message string, until time.Time) (bool, error) {
	return r.tx.ConsumeMessage(ctx, "saml/"+string(r.c.Organization)+"/"+string(r.c.ID)+"/"+seal.Fingerprint(message), until)
}

// refusedBySAML gives a refusal of the messages' reader its code. Its reason holds nothing from inside an assertion.
func refusedBySAML(err error) error {
	var r *saml.Refusal
	if err == nil || !errors.As(err, &r) {
		return err
	}
	switch r.Check {
	case saml.CheckStatus:
		return refuse(CodeDenied, r.Reason)
	case saml.CheckIssuer:
		return refuse(CodeIssuer, r.Reason)
	}
	return refuse(CodeToken, string(r.Check)+": "+r.Reason)
}

// landed serves the step after the assertion consumer service: the first one that knows which browser this is.
func (f *flow) landed(w http.ResponseWriter, r *http.Request) {
	way, at, ok := f.answered(w, r, connection.SAML)
	if !ok {
		return
	}
	state, one := single(r.URL.Query(), "state")
	f.enterParked(w, r, way.Connection, at, state, one)
}

// enterParked spends the handle of a parked assertion, by the browser that it belongs to, and signs in.
func (f *flow) enterParked(w http.ResponseWriter, r *http.Request, c connection.Connection, at stop, state string, one bool) {
	ctx := r.Context()
	var attempt session.Attempt
	var away store.Away
	err := error(refuse(CodeAttempt, "the handle is missing or stands there twice"))
	if one && state != "" {
		err = f.DB.Write(ctx, at.organization, func(tx *store.Tx) (err error) {
			attempt, away, err = tx.TakeAttempt(ctx, at.connection, seal.Fingerprint(state), f.cookies.Browser(r))
			return err
		})
	}
	if err == nil && away.Verifier == "" {
		err = refuse(CodeAttempt, "nothing is parked there") // a RelayState that never went to the provider
	}
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	at.attempt, at.trial = attempt.ID, trialOf(attempt)
	if at.trial != nil {
		who, err := f.unpark(c, attempt, session.Hints{}, away, at.trial)
		f.tested(w, r, at, &who, err)
		return
	}
	landed, err := f.landSAML(r, c, attempt, away)
	f.finish(w, r, at, landed, err)
}

func (f *flow) landSAML(r *http.Request, c connection.Connection, attempt session.Attempt, away store.Away) (landing, error) {
	hints, err := attempt.Hints()
	if err != nil {
		return landing{}, err
	}
	who, err := f.unpark(c, attempt, hints, away, nil)
	if err != nil {
		return landing{}, err
	}
	return f.enter(r, attempt, hints, c, who)
}

// unpark gives the person of a parked assertion.
func (f *flow) unpark(c connection.Connection, attempt session.Attempt, hints session.Hints, away store.Away, seen *trial) (arrival, error) {
	raw, err := f.DB.Keys.Open(parkedPlace(attempt), away.Verifier)
	if err != nil {
		return arrival{}, err
	}
	var assertion saml.Assertion
	if err := json.Unmarshal(raw, &assertion); err != nil {
		return arrival{}, err
	}
	seen.sawAssertion(c, &assertion)
	who, err := arriveSAML(c, connectionURL(f.URL, c)+"/metadata", &assertion)
	if err != nil {
		return arrival{}, refusedBySAML(err)
	}
	if !who.until.IsZero() && !who.until.After(f.DB.Now()) {
		return arrival{}, refuse(CodeToken, string(saml.CheckTime)+": the provider's session has ended")
	}
	if hints.Forced() && who.authTime.Before(attempt.Created) {
		// The provider's clock was allowed to be behind; the session's time must prove the same to whoever asks it.
		who.authTime = attempt.Created
	}
	return who, nil
}

// metadata serves what the connection's provider needs to know of us.
func (f *flow) metadata(w http.ResponseWriter, r *http.Request) {
	way, at, ok := f.answered(w, r, connection.SAML)
	if !ok {
		return
	}
	document, err := f.saml.describe(r.Context(), way.Connection)
	if err != nil {
		at.recorded = true // nobody's sign-in
		f.fail(w, r, at, err)
		return
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	if _, err := w.Write(document); err != nil {
		page.Refuse(w, r, f.Log, fault.Wrap(err, fault.Unavailable, "The document was not sent."))
	}
}

// The names under which providers commonly send what a user's record holds: short, as object identifiers (RFC 4519, X.520,
// inetOrgPerson), and as Microsoft's claim addresses.
const microsoft = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"

var (
	mailNames = []string{
		"email", "mail", "emailAddress", "Email", "urn:oid:0.9.2342.19200300.100.1.3", "urn:oid:1.2.840.113549.1.9.1", microsoft + "emailaddress",
	}
	displayNames = []string{
		"displayName", "urn:oid:2.16.840.1.113730.3.1.241", "http://schemas.microsoft.com/identity/claims/displayname", "cn", "urn:oid:2.5.4.3",
	}
	givenNames  = []string{"givenName", "firstName", "given_name", "urn:oid:2.5.4.42", microsoft + "givenname"}
	familyNames = []string{"sn", "surname", "lastName", "familyName", "family_name", "urn:oid:2.5.4.4", microsoft + "surname"}
)

// nameIDClaim is the claim of a match that is the NameID rather than an attribute of that name.
const nameIDClaim = "nameid"

// overage is what Entra sends in place of the groups where there are too many.
const overage = "http://schemas.microsoft.com/claims/groups.link"

// arriveSAML reads a believed assertion. No attribute of SAML says that an address was verified, so none counts as that: the
// address may make a user in the connection's own domains and never joins one.
func arriveSAML(c connection.Connection, self string, a *saml.Assertion) (arrival, error) {
	who := arrival{
		person: connection.Person{Issuer: issuerOf(a.Issuer, a.Subject, self), Subject: a.Subject.Value},
		acr:    short(a.AuthnContext), sid: short(a.SessionIndex), authTime: a.AuthenticatedAt, until: a.SessionNotOnOrAfter,
	}
	for _, name := range mailNames {
		value, found, err := a.Single(name)
		if err != nil {
			return who, err
		}
		if found && address(value) != "" {
			who.person.Email = address(value)
			break
		}
	}
	if who.person.Email == "" && a.Subject.Format == saml.EmailAddress {
		who.person.Email = address(a.Subject.Value)
	}
	who.name, who.givenName, who.familyName = first(a, displayNames), first(a, givenNames), first(a, familyNames)
	switch claim := c.Settings.Match.Claim; claim {
	case "":
	case nameIDClaim:
		who.person.Match = key(a.Subject.Value)
	default:
		value, _, err := a.Single(claim)
		if err != nil {
			return who, err
		}
		who.person.Match = key(value)
	}
	if name := c.Settings.GroupsClaim; name != "" {
		who.groups, who.grouped = samlGroups(a, name)
	}
	return who, nil
}

// issuerOf gives the provider as the identity keeps it. The same value under another format or qualifier is somebody else (SAML
// Core section 2.2.2), so what differs from the plain case stands behind the provider's name. A qualifier that repeats who the two
// sides are says nothing (section 8.3.7).
func issuerOf(issuer string, name saml.NameID, self string) string {
	q := url.Values{}
	if name.Format != saml.Unspecified {
		q.Set("format", name.Format)
	}
	if n := name.NameQualifier; n != "" && n != issuer {
		q.Set("name_qualifier", n)
	}
	if n := name.SPNameQualifier; n != "" && n != self {
		q.Set("sp_name_qualifier", n)
	}
	if len(q) == 0 {
		return issuer
	}
	return issuer + "#" + q.Encode()
}

// nameOf is the way back: the NameID of a kept identity. The provider's name is its entity id as it is now.
func nameOf(entity, issuer, subject string) saml.NameID {
	name := saml.NameID{Value: subject, Format: saml.Unspecified}
	q, err := url.ParseQuery(strings.TrimPrefix(strings.TrimPrefix(issuer, entity), "#"))
	if err != nil || !strings.HasPrefix(issuer, entity) {
		return name
	}
	if format := q.Get("format"); format != "" {
		name.Format = format
	}
	name.NameQualifier, name.SPNameQualifier = q.Get("name_qualifier"), q.Get("sp_name_qualifier")
	return name
}

func first(a *saml.Assertion, names []string) string {
	for _, name := range names {
		if values := a.Values(name); len(values) > 0 {
			return plain(values[0])
		}
	}
	return ""
}

// samlGroups reads the group attribute and says whether it is there and may be believed to be complete.
func samlGroups(a *saml.Assertion, name string) (out []string, complete bool) {
	named := func(name string) bool {
		return slices.ContainsFunc(a.Attributes, func(a saml.Attribute) bool { return a.Name == name })
	}
	values := a.Values(name)
	if !named(name) || named(overage) || len(values) > maxGroups {
		return nil, false
	}
	for _, v := range values {
		if v = plain(v); v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out, true
}

// connectionURL is where a connection's addresses begin.
func connectionURL(base string, c connection.Connection) string {
	return base + "/sso/" + string(c.Organization) + "/" + string(c.ID)
}

// hidden gives a message's fields as the page that carries it has them.
func hidden(out *saml.Outgoing) []page.Hidden {
	var fields []page.Hidden
	for _, f := range out.Fields {
		fields = append(fields, page.Hidden(f))
	}
	return fields
}

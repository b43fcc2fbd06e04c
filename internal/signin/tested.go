package signin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// A test sign-in is a sign-in whose attempt has a purpose of its own (session.ForTest). It takes every step of a real one, through a
// connection that may not be open yet, and ends before anybody is signed in: what was seen and decided on the way becomes the report
// that an administrator reads. No user, identity or session is written.

// trial is a test sign-in under way, with what it has shown in this request. On a real sign-in it is nil, and notes nothing.
type trial struct {
	attempt  session.Attempt
	passed   []connection.CheckName
	claims   []connection.Claim
	unproven bool
	groups   connection.Grouped
}

func trialOf(a session.Attempt) *trial {
	if a.Purpose != session.ForTest {
		return nil
	}
	return &trial{attempt: a}
}

func (t *trial) pass(names ...connection.CheckName) {
	if t != nil {
		t.passed = append(t.passed, names...)
	}
}

// barred says whether nobody may pass through a connection. A test may.
func barred(c connection.Connection, attempt session.Attempt) bool {
	return c.Settings.Closed() && attempt.Purpose != session.ForTest
}

// maxShown bounds what a report keeps of one claim.
const maxShown = 512

// masked are claims that tie messages together or open something: that they came is enough to know.
var masked = []string{"nonce", "at_hash", "c_hash", "s_hash", "sid", "jti", "access_token", "refresh_token", "id_token"}

func (t *trial) claim(from, name string, values []string, means string) {
	if len(t.claims) >= 200 {
		return
	}
	c := connection.Claim{From: from, Name: name, Means: means}
	for _, v := range values[:min(len(values), 100)] {
		if slices.Contains(masked, name) {
			v, c.Masked = "…", true
		}
		if len(v) > maxShown {
			v = strings.ToValidUTF8(v[:maxShown], "") + "…"
		}
		c.Values = append(c.Values, strings.ToValidUTF8(v, "\ufffd"))
	}
	t.claims = append(t.claims, c)
}

// saw keeps the claims of a token or of userinfo, in order.
func (t *trial) saw(c connection.Connection, from string, o object) {
	if t == nil {
		return
	}
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		values, plain := o.texts(name)
		if !plain {
			raw, err := json.Marshal(o[name])
			if err != nil {
				continue
			}
			values = []string{string(raw)}
		}
		t.claim(from, name, values, meaning(c, name))
	}
}

// sawUnproven keeps what stands in a token that was refused: for finding out why, and for nothing else.
func (t *trial) sawUnproven(c connection.Connection, token string) {
	if t == nil {
		return
	}
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 {
		return
	}
	for i, from := range []string{"ID token's header", "ID token"} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || !utf8.Valid(raw) {
			continue
		}
		if o, err := parseObject(raw); err == nil {
			t.unproven = true
			t.saw(c, from, o)
		}
	}
}

// grouped notes how the group claim came. One that is there and not complete is an overage, or nothing that can be read.
func (t *trial) grouped(c connection.Connection, who arrival, from ...object) {
	if t == nil || c.Settings.GroupsClaim == "" {
		return
	}
	if who.grouped {
		t.groups = connection.Complete
		return
	}
	for _, o := range from {
		_, there := o[c.Settings.GroupsClaim]
		_, elsewhere := o["_claim_names"]
		_, has := o["hasgroups"]
		if there || elsewhere || has {
			t.groups = connection.Overage
		}
	}
}

func (t *trial) sawAssertion(c connection.Connection, a *saml.Assertion) {
	if t == nil {
		return
	}
	means := "with its format and qualifiers, the identity"
	if c.Settings.Match.Claim == nameIDClaim {
		means += "; matched with " + string(c.Settings.Match.Attribute)
	}
	t.claim("assertion", "Issuer", []string{a.Issuer}, "the provider")
	t.claim("assertion", "NameID", []string{a.Subject.Value}, means)
	t.claim("assertion", "NameID format", []string{a.Subject.Format}, "")
	t.claim("assertion", "AuthnContextClassRef", []string{a.AuthnContext}, "acr")
	t.claim("assertion", "AuthnInstant", []string{a.AuthenticatedAt.UTC().Format("2006-01-02 15:04:05 UTC")}, "when the person signed in")
	if name := c.Settings.GroupsClaim; name != "" {
		if _, complete := samlGroups(a, name); complete {
			t.groups = connection.Complete
		} else if slices.ContainsFunc(a.Attributes, func(a saml.Attribute) bool { return a.Name == name || a.Name == overage }) {
			t.groups = connection.Overage
		}
	}
	for _, attribute := range a.Attributes {
		t.claim("assertion", attribute.Name, a.Values(attribute.Name), meaning(c, attribute.Name))
	}
}

// meaning says what a claim is taken for.
func meaning(c connection.Connection, name string) string {
	s := c.Settings
	var means []string
	if name == s.Match.Claim && s.Match.Attribute != "" {
		means = append(means, "matched with "+string(s.Match.Attribute))
	}
	if name == s.GroupsClaim && name != "" {
		means = append(means, "groups")
	}
	if c.Protocol == connection.OIDC {
		means = append(means, map[string][]string{
			"iss": {"the provider"}, "sub": {"with iss, the identity"}, "email": {"the address"}, "email_verified": {"whether the provider vouches for the address"},
			"name": {"the name"}, "auth_time": {"when the person signed in"}, "acr": {"how"}, "amr": {"how"}, "tid": {"the tenant"}, "hd": {"the hosted domain"},
		}[name]...)
	} else if slices.Contains(mailNames, name) {
		means = append(means, "the address")
	}
	return strings.Join(means, "; ")
}

// tested ends a test sign-in, with whoever was believed or with why nobody was: the report is kept, and the browser goes to the page
// that shows it.
func (f *flow) tested(w http.ResponseWriter, r *http.Request, at stop, who *arrival, cause error) {
	ctx, t := r.Context(), at.trial
	at.trial = nil // what fails from here on is our own fault
	hints, err := t.attempt.Hints()
	if err == nil {
		err = f.DB.Write(ctx, at.organization, func(tx *store.Tx) error {
			way, err := tx.SignInConnection(ctx, at.connection)
			if err != nil {
				return err
			}
			report, user, err := f.report(ctx, tx, way, t, who, cause)
			if err != nil {
				return err
			}
			actor := f.actor(r, at.connection)
			actor.Organization = at.organization
			return tx.FinishTest(ctx, t.attempt.ID, report, user, actor)
		})
	}
	if err != nil {
		f.fail(w, r, at, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, session.OwnPath(hints.ReturnTo), http.StatusSeeOther)
}

func (f *flow) report(
	ctx context.Context, tx *store.Tx, way store.SignInConnection, t *trial, who *arrival, cause error,
) (*connection.Report, id.User, error) {
	c := way.Connection
	dialect := ""
	if c.Directory != "" {
		d, err := tx.Directory(ctx, c.Directory)
		if err != nil {
			return nil, "", err
		}
		dialect = d.Dialect
	}
	provider := connection.ProviderOf(c, dialect)
	report := &connection.Report{Protocol: c.Protocol, Provider: provider.ID, Claims: t.claims, Unproven: t.unproven}
	if cause != nil {
		report.Checks = failed(c, provider, t, cause)
		return report, "", nil
	}
	facts, err := tx.SignInFacts(ctx, c, who.person)
	if err != nil {
		return nil, "", err
	}
	finding := connection.Find(c, who.person, facts)
	coverage, err := tx.Coverage(ctx, c, who.person.Match)
	if err != nil {
		return nil, "", err
	}
	said := "A new user would be made."
	if finding.Code != "" {
		said = named(wordsOf[finding.Code].said, way.OrganizationName)
	}
	if finding.User != "" {
		u, err := tx.User(ctx, finding.User)
		if err != nil {
			return nil, "", err
		}
		report.User = either(u.DisplayName, u.UserName, u.Email)
		if finding.Step != connection.Refuse {
			said = report.User + " would be signed in."
		}
	}
	reached := connection.Checks(c.Protocol)
	for _, name := range reached[:len(reached)-len(judged)] {
		report.Checks = append(report.Checks, connection.Check{Name: name, Outcome: connection.Passed})
	}
	report.Checks = append(report.Checks,
		connection.JudgePerson(c, provider, who.person, finding, t.groups, who.groups, coverage, said)...)
	report.Person, report.Finding, report.Coverage, report.Groups = &who.person, &finding, coverage, who.groups
	report.Why = connection.Explain(c, who.person, facts, finding)
	return report, finding.User, nil
}

// judged are the checks of whoever was believed.
var judged = []connection.CheckName{connection.CheckMatch, connection.CheckAddress, connection.CheckGroups, connection.CheckRecord}

// failed gives the checks of a sign-in that ended before anybody was believed: what had passed, what it ended at, and the rest.
func failed(c connection.Connection, provider connection.Provider, t *trial, cause error) []connection.Check {
	why := refusalOf(cause)
	at, known := checkOf[why.code]
	for name, is := range samlChecks {
		if c.Protocol == connection.SAML && strings.HasPrefix(why.detail, string(name)+": ") {
			at, known = is, true
		}
	}
	var out []connection.Check
	ended := false
	for _, name := range connection.Checks(c.Protocol) {
		check := connection.Check{Name: name, Outcome: connection.NotReached}
		switch {
		case ended:
		case known && c.Protocol == connection.SAML && name != at, slices.Contains(t.passed, name):
			check.Outcome = connection.Passed
		default:
			ended = true
			check.Outcome, check.Said = connection.Failed, saidOf(why)
			check.Fix = connection.Fix(provider, c.Protocol, name)
		}
		out = append(out, check)
	}
	return out
}

func saidOf(why *refusal) string {
	if why.detail != "" {
		return why.detail
	}
	if w, known := wordsOf[why.code]; known {
		return w.title + "."
	}
	return fmt.Sprintf("It ended with the code %s.", why.code)
}

// checkOf says at which check of SAML a refusal ended that does not name one. OpenID notes each check as it passes.
var checkOf = map[connection.Code]connection.CheckName{
	CodeProvider: connection.CheckProvider, CodeUnreachable: connection.CheckProvider, CodeInternal: connection.CheckProvider,
	CodeDenied: connection.CheckStatus, CodeIssuer: connection.CheckIssuer, CodeAttempt: connection.CheckNonce,
}

// samlChecks are the names under which the reader of SAML messages refuses.
var samlChecks = map[saml.Check]connection.CheckName{
	saml.CheckShape: connection.CheckShape, saml.CheckDestination: connection.CheckDestination, saml.CheckRequest: connection.CheckNonce,
	saml.CheckDecryption: connection.CheckDecryption, saml.CheckSignature: connection.CheckSignature, saml.CheckTime: connection.CheckTimes,
	saml.CheckAudience: connection.CheckAudience, saml.CheckSubject: connection.CheckSubject, saml.CheckAuthnContext: connection.CheckContext,
	saml.CheckAttribute: connection.CheckAttributes, saml.CheckReplay: connection.CheckReplay,
}

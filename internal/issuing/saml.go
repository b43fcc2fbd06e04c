package issuing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// The SAML identity provider towards applications. A request is read by package saml and becomes what an authorize request is, so that
// one set of rules says which session may answer it, what is asked of a person, and what an application is told.
//
//	GET, POST /saml/idp/sso       reads and judges the request. A POST goes on as a GET of the same address, since a form on the
//	                              application's page brings no cookie of ours along (SameSite=Lax): what was judged travels sealed.
//	GET /saml/idp/resume          goes on once the person has signed in
//	GET, POST /saml/idp/slo       single logout: samllogout.go
//
// Either answers with a form that posts to the address registered: an assertion, or a status that says why there is none. Only what
// cannot be trusted to come from the application ends on a page of ours. A request is used once: its id is kept in the transaction
// that answers it or keeps it.

// maxSAMLBody is a message in base64 with what stands beside it.
const maxSAMLBody = 400 << 10

// continueFor is how long a judged request may take from the POST to the GET that follows it.
const continueFor = time.Minute

// Refusals that anybody can cause are recorded so many times a minute for each address; beyond that, they leave only the page.
const (
	recordedRefusals = 60
	refusalWindow    = time.Minute
)

// party is a SAML application with what was registered of it, read once.
type party struct {
	application.Application
	*saml.Party
}

func (p *Provider) party(ctx context.Context, a application.Application) *party {
	registered := &saml.Party{EntityID: a.EntityID, ACS: a.ACSURL}
	for _, given := range a.Certificates {
		cert, err := saml.ReadCertificate(given)
		if err != nil {
			// Checked when it was declared. Without it, requests would be taken unsigned.
			p.log.ErrorContext(ctx, "certificate of a SAML application not read; it is not served", "application", a.ID, "error", err)
			return nil
		}
		registered.Certificates = append(registered.Certificates, cert)
	}
	if a.EncryptionCertificate != "" {
		cert, err := saml.ReadCertificate(a.EncryptionCertificate)
		if err != nil {
			p.log.ErrorContext(ctx, "certificate of a SAML application not read; it is not served", "application", a.ID, "error", err)
			return nil
		}
		registered.Encryption = cert
	}
	if a.SLOURL != "" {
		binding := saml.Redirect
		if a.SLOBinding == application.Post {
			binding = saml.Post
		}
		registered.SLO = []saml.Endpoint{{Binding: binding, URL: a.SLOURL, ResponseURL: a.SLOResponseURL}}
	}
	return &party{a, registered}
}

// registered gives the application of an entity id, nil for none.
func (c *clients) registered(entityID string) *saml.Party {
	if found := c.parties[entityID]; found != nil {
		return found.Party
	}
	return nil
}

// samlAsked is what an attempt keeps of a SAML request: what sign-in and the rules about sessions read, by the names of an authorize
// request, and what the answer needs.
type samlAsked struct {
	oidc.AuthorizeRequest
	SAML  samlQuery `json:"saml"`
	Until time.Time `json:"until"` // of a sealed one
}

type samlQuery struct {
	EntityID    string    `json:"entity_id"`
	ID          string    `json:"id"`
	RelayState  string    `json:"relay_state,omitempty"`
	Comparison  string    `json:"comparison,omitempty"`
	Contexts    []string  `json:"contexts,omitempty"`
	ReplayUntil time.Time `json:"replay_until"`
}

// errUsed says that a request was answered or kept before.
var errUsed = errors.New("the SAML request was used before")

// errStatus is a status that a request is answered with in place of an assertion.
type errStatus struct{ saml.Answer }

func (e *errStatus) Error() string { return "SAML status " + e.SubCode + ": " + e.Message }

func (p *Provider) samlMetadata(w http.ResponseWriter, r *http.Request) {
	us, err := p.issuer(r.Context())
	if err != nil {
		page.Refuse(w, r, p.log, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/samlmetadata+xml")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("ETag", us.etag)
	if r.Header.Get("If-None-Match") == us.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(us.metadata)
	}
}

// asIssuer gives us as an identity provider, and the applications as they are registered now.
func (p *Provider) asIssuer(ctx context.Context) (*issuer, *clients, error) {
	us, err := p.issuer(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := p.current(ctx)
	return us, all, err
}

func (p *Provider) samlSignOn(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	us, all, err := p.asIssuer(ctx)
	if err != nil {
		page.Refuse(w, r, p.log, err)
		return
	}
	var asked samlAsked
	if sealed := r.URL.Query().Get("continue"); sealed != "" && r.Method == http.MethodGet {
		err = p.unseal(pathSAMLSignOn, sealed, &asked, &asked.Until)
	} else {
		var query *saml.AuthnQuery
		in, refused := incoming(w, r)
		if refused != nil {
			p.samlRefuse(w, r, nil, refused)
			return
		}
		query, err = us.ReadAuthnRequest(in, all.registered)
		if err == nil {
			to := all.parties[query.Issuer]
			if asked, err = p.samlJudge(to, query, r.URL.Query()); err != nil {
				p.samlAnswer(w, r, us, to, asked, oidc.Outcome{}, nil, err)
				return
			}
			if r.Method == http.MethodPost {
				p.samlContinue(w, r, asked)
				return
			}
		}
	}
	to := all.parties[asked.SAML.EntityID]
	if err == nil && to == nil {
		err = &saml.Refusal{Check: saml.CheckIssuer, Reason: "the application is registered no longer"}
	}
	if err != nil {
		p.samlRefuse(w, r, nil, err)
		return
	}
	var said *saml.Statement
	out, err := p.begin(ctx, r, p.saying(to, asked, &said))
	p.samlAnswer(w, r, us, to, asked, out, said, err)
}

// incoming takes a message as it came, by either binding.
func incoming(w http.ResponseWriter, r *http.Request) (saml.Incoming, error) {
	if r.Method != http.MethodPost {
		return saml.Incoming{Binding: saml.Redirect, RawQuery: r.URL.RawQuery}, nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxSAMLBody)
	if err := r.ParseForm(); err != nil {
		return saml.Incoming{}, &saml.Refusal{Check: saml.CheckShape, Reason: "not a form, or too large"}
	}
	return saml.Incoming{Binding: saml.Post, Form: r.PostForm}, nil
}

// samlContinue sends the browser on with what was judged of its POST. The seal keeps it as it was; that another browser might follow is
// no more than that it might follow the application's own redirect, and the application knows whose request it was.
func (p *Provider) samlContinue(w http.ResponseWriter, r *http.Request, asked samlAsked) {
	asked.Until = p.db.Now().Add(continueFor)
	p.seal(w, r, pathSAMLSignOn, asked)
}

// seal sends the browser on to a path, with what was judged sealed for it alone.
func (p *Provider) seal(w http.ResponseWriter, r *http.Request, path string, judged any) {
	kept, err := json.Marshal(judged)
	if err != nil {
		page.Refuse(w, r, p.log, err)
		return
	}
	w.Header().Set("Location", path+"?"+url.Values{"continue": {p.db.Keys.Seal(path, kept)}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func (p *Provider) unseal(path, sealed string, judged any, until *time.Time) error {
	kept, err := p.db.Keys.Open(path, sealed)
	if err == nil {
		err = json.Unmarshal(kept, judged)
	}
	if err == nil && until.Before(p.db.Now()) {
		err = errors.New("it is over")
	}
	if err != nil {
		return &saml.Refusal{Check: saml.CheckTime, Reason: "what goes on from a form was altered, or is too old"}
	}
	return nil
}

func (p *Provider) samlResume(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	w.Header().Set("Cache-Control", "no-store")
	us, all, err := p.asIssuer(ctx)
	if err != nil {
		page.Refuse(w, r, p.log, err)
		return
	}
	var to *party
	var asked samlAsked
	var said *saml.Statement
	_, out, err := p.takeUp(ctx, r, r.URL.Query().Get("attempt"), session.ForSAML, func(kept json.RawMessage) (asking, error) {
		asked, said = samlAsked{}, nil
		if err := json.Unmarshal(kept, &asked); err != nil {
			return asking{}, err
		}
		// What was registered when the request came may have been taken away since.
		to = all.parties[asked.SAML.EntityID]
		if to == nil || string(to.ID) != asked.ClientID || to.ACSURL != asked.RedirectURI {
			return asking{}, oidc.ErrNotFound
		}
		a := p.saying(to, asked, &said)
		a.once = nil // it was used when it was kept
		return a, nil
	})
	if errors.Is(err, oidc.ErrNotFound) || to == nil {
		p.samlPage(w, r, http.StatusBadRequest, page.Failure{
			Title: "This sign-in cannot be continued",
			Said:  "It was begun in another browser, has been used already, or has been left too long.",
			Do:    "Go back to the application and start again.",
		})
		return
	}
	p.samlAnswer(w, r, us, to, asked, out, said, err)
}

// samlJudge makes of a request what an authorize request is, or says by which status it is refused.
func (p *Provider) samlJudge(to *party, q *saml.AuthnQuery, beside url.Values) (samlAsked, error) {
	asked := samlAsked{
		AuthorizeRequest: oidc.AuthorizeRequest{
			ClientID: string(to.ID), RedirectURI: to.ACSURL, LoginHint: q.LoginHint, Started: p.db.Now().UTC(),
		},
		SAML: samlQuery{
			EntityID: to.Application.EntityID, ID: q.ID, RelayState: q.RelayState, Comparison: q.Comparison, Contexts: q.Contexts,
			ReplayUntil: q.ReplayUntil,
		},
	}
	if q.ForceAuthn {
		asked.Prompt = append(asked.Prompt, "login")
	}
	if q.IsPassive {
		asked.Prompt = append(asked.Prompt, "none")
	}
	if q.Refusal != nil {
		return asked, &errStatus{*q.Refusal}
	}
	// Where the person signs in is chosen beside the message, as in an authorize request: applications have an address to set, and no
	// element for it.
	for name, into := range map[string]*string{
		"login_hint": &asked.LoginHint, "organization": &asked.Organization, "connection": &asked.Connection,
	} {
		given := beside[name]
		if len(given) > 1 || len(given) == 1 && (len(given[0]) > 320 || strings.ContainsFunc(given[0], func(c rune) bool { return c < ' ' || c == 0x7f })) {
			return asked, &errStatus{saml.Answer{Code: saml.Requester, SubCode: saml.RequestUnsupported, Message: "The parameter " + name + " is given twice, or is no such thing."}}
		}
		if len(given) == 1 && given[0] != "" {
			*into = given[0]
		}
	}
	if format := nameFormat(to.NameID); q.NameIDFormat != "" && q.NameIDFormat != saml.Unspecified && q.NameIDFormat != format ||
		q.SPNameQualifier != "" && q.SPNameQualifier != to.Application.EntityID {
		return asked, &errStatus{saml.Answer{Code: saml.Requester, SubCode: saml.InvalidNameIDPolicy, Message: "This application is given people's names as " + format + "."}}
	}
	// A second factor is asked for only where nothing less would do.
	if len(q.Contexts) > 0 && q.Comparison != "maximum" && !slices.ContainsFunc(q.Contexts, func(c string) bool { return !mfa.Own(c) }) {
		asked.ACRValues = q.Contexts
	}
	return asked, nil
}

// saying is a SAML request as an asking. What is to be said lands in said, and is signed once the transaction is through: it may run
// twice, and a signature is what costs.
func (p *Provider) saying(to *party, asked samlAsked, said **saml.Statement) asking {
	return asking{
		app: to.Application, req: asked.AuthorizeRequest, purpose: session.ForSAML, kept: asked,
		once: func(ctx context.Context, tx *store.Tx) error {
			// An id is unique for its sender alone (Core 1.3.4).
			fresh, err := tx.ConsumeMessage(ctx, "saml-request/"+string(to.ID)+"/"+seal.Fingerprint(asked.SAML.ID), asked.SAML.ReplayUntil)
			if err == nil && !fresh {
				err = errUsed
			}
			return err
		},
		open: func(ctx context.Context, tx *store.Tx, s session.Session, effective *access.Effective) (oidc.Outcome, error) {
			out, statement, err := p.state(ctx, tx, to, asked, s, effective)
			*said = statement
			return out, err
		},
	}
}

// state gives what an application is told of a person, with the family that says so and its event, if its person has access at all.
func (p *Provider) state(
	ctx context.Context, tx *store.Tx, to *party, asked samlAsked, s session.Session, effective *access.Effective,
) (oidc.Outcome, *saml.Statement, error) {
	at := place{tx.Organization, spokenOf(asked.AuthorizeRequest, s)}
	if len(effective.Grants) == 0 {
		if asked.Asks("none") {
			return oidc.Outcome{}, nil, &errStatus{saml.Answer{Code: saml.Responder, SubCode: saml.RequestDenied, Message: "The person has no access yet."}}
		}
		out, err := withoutAccess(to.Application, asked.AuthorizeRequest, at)
		return out, nil, err
	}
	class, met := contextClass(s, asked.SAML.Comparison, asked.SAML.Contexts)
	if !met {
		return oidc.Outcome{}, nil, &errStatus{saml.Answer{Code: saml.Responder, SubCode: saml.NoAuthnContext, Message: "The person did not sign in in a way that was asked for."}}
	}
	name, err := p.nameID(ctx, tx, to, s)
	if err != nil {
		return oidc.Outcome{}, nil, err
	}
	family := store.Family{
		ID: id.New[id.Family](), User: s.User, Application: to.ID, Client: at.client(), Session: s.ID, AuthTime: s.AuthTime,
		NameID: name.Value, NameFormat: name.Format,
		ACR: class, AMR: mfa.Told(s.AMR), Expires: s.Expires, DisplayName: s.DisplayName, Email: s.Email, EmailVerified: s.EmailVerified,
	}
	tx.KeepFamily(ctx, family)
	attributes, err := attributesOf(s.User, claims(to.Application, family, effective))
	if err != nil {
		return oidc.Outcome{}, nil, err
	}
	by := p.person(ctx, tx.Organization, s.User, s.DisplayName)
	by.Door = audit.SAML
	if err := recordOpened(ctx, tx, to.Application, at, s, by); err != nil {
		return oidc.Outcome{}, nil, err
	}
	authenticated := s.AuthTime
	if authenticated.IsZero() {
		authenticated = s.Created // an instant is demanded (Core 2.7.2), and this is when we learned of it
	}
	return oidc.Outcome{}, &saml.Statement{
		Subject: name, Attributes: attributes, SessionIndex: string(family.ID), AuthenticatedAt: authenticated, AuthnContext: class,
		SessionNotOnOrAfter: s.Expires,
	}, nil
}

// nameFormat is the format in which an application is given people's names.
func nameFormat(n application.NameID) string {
	switch n {
	case application.Email:
		return saml.EmailAddress
	case application.UserName, application.ExternalID:
		return saml.Unspecified
	case application.Persistent:
	}
	return saml.Persistent
}

// nameID gives what an application knows a person by.
func (p *Provider) nameID(ctx context.Context, tx *store.Tx, to *party, s session.Session) (n saml.NameID, err error) {
	n = saml.NameID{Format: nameFormat(to.NameID)}
	lacking := ""
	switch to.NameID {
	case application.Email:
		// An address that nobody vouches for may be another person's account at the application.
		if n.Value = s.Email; !s.EmailVerified {
			n.Value = ""
		}
		lacking = "a verified email address"
	case application.UserName:
		n.Value, lacking = s.UserName, "a user name"
	case application.ExternalID:
		n.Value, err = tx.ExternalID(ctx, s.User)
		lacking = "one external id"
	default:
		n.Value, err = tx.NameID(ctx, to.ID, s.User)
	}
	n = p.qualified(to, n)
	if err == nil && n.Value == "" {
		err = &errStatus{saml.Answer{Code: saml.Responder, SubCode: saml.RequestDenied, Message: "The person has not got " + lacking + ", by which this application knows people."}}
	}
	return n, err
}

// qualified says within whose names a name counts: a persistent one is ours for this application alone (Core 8.3.7).
func (p *Provider) qualified(to *party, n saml.NameID) saml.NameID {
	if n.Format == saml.Persistent {
		n.NameQualifier, n.SPNameQualifier = p.url+pathSAMLMetadata, to.Application.EntityID
	}
	return n
}

// attributesOf gives claims as attributes: a list as one value each, and what is more than a text as its JSON.
func attributesOf(user id.User, claims map[string]any) ([]saml.Attribute, error) {
	claims["sub"] = string(user)
	// Through JSON, so that they are what the ID token of another application holds.
	raw, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	var told map[string]any
	if err := json.Unmarshal(raw, &told); err != nil {
		return nil, err
	}
	var out []saml.Attribute
	for _, name := range slices.Sorted(maps.Keys(told)) {
		values, many := told[name].([]any)
		if !many {
			values = []any{told[name]}
		}
		a := saml.Attribute{Name: name}
		for _, v := range values {
			text, is := v.(string)
			if !is {
				raw, err := json.Marshal(v)
				if err != nil {
					return nil, err
				}
				text = string(raw)
			}
			a.Values = append(a.Values, text)
		}
		out = append(out, a)
	}
	return out, nil
}

// contextClass gives the authentication context that is told of a session, and whether it is one that was asked for (Core 3.3.2.2.1).
// Only what the person really did is told: a password where there was one, a second factor where there was, else what the upstream
// provider said, or nothing in particular.
func contextClass(s session.Session, comparison string, asked []string) (class string, met bool) {
	password := slices.Contains(s.AMR, mfa.Password)
	own := func(acr string) bool { return mfa.ACR("", s.AMR, []string{acr}) == acr }
	level := 0
	switch {
	case own(mfa.ACRPhishing):
		level = 3
	case own(mfa.ACRRefeds):
		level = 2
	case password:
		level = 1
	}
	switch {
	case strings.Contains(s.ACR, ":"):
		class = s.ACR
	case level >= 2:
		class = mfa.ACRRefeds
	case password:
		class = saml.ContextTypedOverTLS
	default:
		class = saml.ContextUnspecified
	}
	levels := map[string]int{
		saml.ContextUnspecified: 0, saml.ContextTyped: 1, saml.ContextTypedOverTLS: 1, mfa.ACRRefedsOne: 1,
		mfa.ACRMultiple: 2, mfa.ACRRefeds: 2, mfa.ACRPhishing: 3,
	}
	if len(asked) == 0 {
		return class, true
	}
	above, below := true, false
	for _, a := range asked {
		wanted, known := levels[a]
		switch {
		case comparison != "exact":
			met = met || a == s.ACR && a != "" || known && level >= wanted
			above = above && known && level > wanted
			below = below || known && level <= wanted
			continue
		case a == class, a == saml.ContextUnspecified, a == s.ACR && a != "":
		case (a == saml.ContextTypedOverTLS || a == saml.ContextTyped) && password:
		case mfa.Own(a) && own(a):
		default:
			continue
		}
		return a, true
	}
	switch comparison {
	case "better":
		met = above
	case "maximum":
		met = below
	}
	return class, met
}

// statusOf is the one place that turns an error into a SAML status; passive says that nobody may be asked anything. Nil: it is our
// fault, and its text stays in the log.
func statusOf(err error, passive bool) *saml.Answer {
	var said *errStatus
	if errors.As(err, &said) {
		return &said.Answer
	}
	var shown *oidc.PageError
	if errors.As(err, &shown) {
		return &saml.Answer{Code: saml.Responder, SubCode: saml.RequestDenied, Message: shown.Message}
	}
	var refused *oidc.Error
	if !errors.As(translate(err), &refused) {
		return nil
	}
	a := &saml.Answer{Code: saml.Responder, Message: refused.Description}
	switch refused.Code {
	case oidc.LoginRequired, oidc.InteractionRequired, oidc.AccountSelectionRequired:
		if a.SubCode = saml.AuthnFailed; passive {
			a.SubCode = saml.NoPassive
		}
	case oidc.AccessDenied:
		a.SubCode = saml.RequestDenied
	case oidc.InvalidRequest:
		a.Code, a.SubCode = saml.Requester, saml.RequestUnsupported
	case oidc.InvalidGrant:
		a.SubCode = saml.AuthnFailed
	}
	return a
}

// samlAnswer posts what came of a request to the application, or sends the browser on.
func (p *Provider) samlAnswer(
	w http.ResponseWriter, r *http.Request, us *issuer, to *party, asked samlAsked, out oidc.Outcome, said *saml.Statement, err error,
) {
	ctx := r.Context()
	for _, c := range out.Cookies {
		http.SetCookie(w, c)
	}
	if errors.Is(err, errUsed) {
		p.samlRefuse(w, r, to, &saml.Refusal{Check: saml.CheckReplay, Reason: "the request was used before"})
		return
	}
	if err == nil && out.Location != "" {
		w.Header().Set("Location", out.Location)
		w.WriteHeader(http.StatusFound)
		return
	}
	var form *saml.Outgoing
	if err == nil && said != nil {
		form, err = us.Respond(to.Party, asked.SAML.ID, asked.SAML.RelayState, *said)
	}
	if err != nil {
		status := statusOf(err, asked.Asks("none"))
		if status == nil {
			p.log.ErrorContext(ctx, "SAML request not answered", "application", to.ID, "error", err)
			status = &saml.Answer{Code: saml.Responder, Message: "The request could not be answered. Try again."}
		}
		p.recordRefusal(ctx, to, page.Code(), status.SubCode[strings.LastIndexByte(status.SubCode, ':')+1:], status.Message)
		form, err = us.Refuse(to.Party, asked.SAML.ID, asked.SAML.RelayState, *status)
	}
	if err != nil || form == nil {
		page.Refuse(w, r, p.log, fmt.Errorf("answer the SAML application %s: %w", to.ID, err))
		return
	}
	p.samlPost(w, r, to.Name, form)
}

// samlPost carries a message to an application by a form.
func (p *Provider) samlPost(w http.ResponseWriter, r *http.Request, name string, form *saml.Outgoing) {
	page.SetHeaders(w)
	allowForm(w, form)
	if err := page.Render(w, r, http.StatusOK, page.Posting(name, name, "", form.URL, hiddenOf(form))); err != nil {
		page.Refuse(w, r, p.log, err)
	}
}

// allowForm lets a page post a message. Chromium holds every redirect that follows a form against form-action, and where an application
// leads from its address it alone knows.
func allowForm(w http.ResponseWriter, form *saml.Outgoing) {
	page.AllowForms(w, originOf(form.URL), "https:")
}

func hiddenOf(form *saml.Outgoing) []page.Hidden {
	fields := make([]page.Hidden, 0, len(form.Fields))
	for _, f := range form.Fields {
		fields = append(fields, page.Hidden(f))
	}
	return fields
}

func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// refusals is what a person is told whose application's request was not believed. What exactly was wrong stands in the audit log, since
// whoever made the request may be anybody.
var refusals = map[saml.Check]string{
	saml.CheckIssuer:      "No application is registered here under the name that the request gives.",
	saml.CheckRequest:     "The request wants its answer at an address that is not registered for the application.",
	saml.CheckDestination: "The request was made for another address than this one.",
	saml.CheckSignature:   "The application signs its requests, and this one is not signed as registered.",
	saml.CheckTime:        "The request is too old, or was made in the future.",
	saml.CheckReplay:      "The request was used already, as happens with the browser's back button.",
}

// samlRefuse ends what cannot be trusted on a page of ours, with one event.
func (p *Provider) samlRefuse(w http.ResponseWriter, r *http.Request, to *party, err error) {
	p.samlRefuseWith(w, r, to, err, page.Failure{
		Title: "This sign-in cannot be answered",
		Do:    "Go back to the application and start again. If it happens again, tell whoever runs the application; the code leads to the reason in the audit log.",
	})
}

func (p *Provider) samlRefuseWith(w http.ResponseWriter, r *http.Request, to *party, err error, f page.Failure) {
	var refusal *saml.Refusal
	if !errors.As(err, &refusal) {
		page.Refuse(w, r, p.log, err)
		return
	}
	f.Said, f.Code = refusals[refusal.Check], page.Code()
	if f.Said == "" {
		f.Said = "The application's message cannot be read."
	}
	p.recordRefusal(r.Context(), to, f.Code, string(refusal.Check), refusal.Reason)
	p.samlPage(w, r, http.StatusBadRequest, f)
}

func (p *Provider) samlPage(w http.ResponseWriter, r *http.Request, status int, f page.Failure) {
	page.SetHeaders(w)
	page.RefuseWith(w, r, p.log, status, f)
}

// recordRefusal writes that an application's request was refused. It belongs to the installation: whose person it would have been is
// not known, or not believed.
func (p *Provider) recordRefusal(ctx context.Context, to *party, code, check, reason string) {
	c, _ := ctx.Value(callKey{}).(call)
	if hits, err := p.db.Hit(ctx, "saml-refused/"+store.Network(c.ip), refusalWindow); err != nil || hits > recordedRefusals {
		return
	}
	e := audit.Event{
		Actor: p.actor(ctx, audit.ActorApplication, "", ""), Action: "application.refused", TargetKind: "application",
		Outcome: audit.Refused, Code: code,
	}
	e.Actor.Door = audit.SAML
	if to != nil {
		e.TargetID, e.TargetName = string(to.ID), to.Name
	}
	e.After, _ = json.Marshal(map[string]string{"check": check, "reason": reason})
	if err := p.db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.Record(ctx, e)
		return nil
	}); err != nil {
		p.log.ErrorContext(ctx, "refused SAML request not recorded", "error", err)
	}
}

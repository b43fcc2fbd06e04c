package signin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// hintPlace binds the provider's ID token, which is the hint of our logout there, to its connection: a session that is proven anew
// takes it along.
func hintPlace(org id.Organization, c id.Connection) string {
	return connection.SecretPlace(org, c) + "/upstream-token"
}

// askOpenIDLogout makes a logout request (RP-Initiated Logout 1.0 section 2): where to, and the state to keep.
func (f *flow) askOpenIDLogout(ctx context.Context, c connection.Connection, leaving store.Leaving) (string, store.Away, error) {
	m, err := f.upstream.discover(ctx, c)
	if err != nil {
		return "", store.Away{}, err
	}
	u, err := url.Parse(m.endSession)
	if err != nil || m.endSession == "" {
		return "", store.Away{}, errNoLogout
	}
	state := seal.Handle()
	q := u.Query()
	q.Set("client_id", c.Settings.ClientID)
	q.Set("post_logout_redirect_uri", connectionURL(f.URL, c)+"/left")
	q.Set("state", state)
	var sealed string
	err = f.DB.Read(ctx, c.Organization, func(tx *store.Tx) (err error) {
		sealed, err = tx.UpstreamToken(ctx, leaving.Session)
		return err
	})
	if err != nil {
		return "", store.Away{}, err
	}
	if sealed != "" {
		// Without the hint many providers ask the person, or do not come back.
		hint, err := f.DB.Keys.Open(hintPlace(c.Organization, c.ID), sealed)
		if err != nil {
			return "", store.Away{}, err
		}
		q.Set("id_token_hint", string(hint))
	}
	u.RawQuery = q.Encode()
	return u.String(), store.Away{StateHash: seal.Fingerprint(state)}, nil
}

// left serves the browser that comes back from the provider's logout. The answer proves nothing, and nothing hangs on it: our own
// session had ended before.
func (f *flow) left(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	way, at, ok := f.answered(w, r, connection.OIDC)
	if !ok {
		return
	}
	at.recorded = true // nobody's sign-in
	state, one := single(r.URL.Query(), "state")
	if !one {
		state = ""
	}
	var leaving store.Leaving
	var who store.Leaver
	var attempt session.Attempt
	err := f.DB.Write(ctx, at.organization, func(tx *store.Tx) error {
		var err error
		if attempt, _, err = tx.TakeAttempt(ctx, at.connection, seal.Fingerprint(state), f.cookies.Browser(r)); err == nil {
			leaving, who, err = tx.Leaving(ctx, attempt)
		}
		return err
	})
	if err != nil {
		f.fail(w, r, at, f.stray(r, err))
		return
	}
	f.gone(w, r, way, attempt, leaving, who, nil)
}

// logoutEvent is the member of a logout token that makes it one (Back-Channel Logout 1.0 section 2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// maxLogoutAge is how old a logout token may be, and so how long its jti is remembered.
const maxLogoutAge = 10 * time.Minute

// logoutToken is what a believed logout token says.
type logoutToken struct {
	subject, session, id string
}

// readLogoutToken judges a logout token in the order of section 2.6. It is signed like an ID token and must not be one: whoever got
// hold of somebody's ID token could otherwise sign them out, and the reverse is barred by the events an ID token may not have.
func readLogoutToken(ctx context.Context, token string, want expected) (logoutToken, error) {
	want.types = []string{"logout+jwt", "JWT"}
	payload, _, err := verifySignature(ctx, token, want)
	if err != nil {
		return logoutToken{}, err
	}
	c, err := parseObject(payload)
	if err != nil {
		return logoutToken{}, errors.New("the logout token's claims are not JSON that can be read in one way only")
	}
	if err := checkIssuer(c, want); err != nil {
		return logoutToken{}, err
	}
	if audience, ok := c.texts("aud"); !ok || !slices.Equal(audience, []string{want.clientID}) {
		return logoutToken{}, errors.New("the logout token is for another client")
	}
	iat, ok := c.seconds("iat")
	if issued := time.Unix(iat, 0); !ok || issued.After(want.now.Add(skew)) || issued.Before(want.now.Add(-maxLogoutAge)) {
		return logoutToken{}, errors.New("the logout token is not of now")
	}
	if _, there := c["exp"]; there {
		if exp, ok := c.seconds("exp"); !ok || !want.now.Before(time.Unix(exp, 0).Add(skew)) {
			return logoutToken{}, errors.New("the logout token has expired")
		}
	}
	events, _ := c["events"].(object)
	if _, is := events[logoutEvent].(object); !is {
		return logoutToken{}, errors.New("the token's events do not name a logout")
	}
	if _, there := c["nonce"]; there {
		return logoutToken{}, errors.New("the logout token has a nonce, which is an ID token's")
	}
	t := logoutToken{subject: c.text("sub"), session: short(c.text("sid")), id: c.text("jti")}
	switch {
	case t.id == "" || len(t.id) > maxSubject:
		return logoutToken{}, errors.New("the logout token has no jti")
	case t.subject == "" && t.session == "" || len(t.subject) > maxSubject:
		return logoutToken{}, errors.New("the logout token names neither a subject nor a session")
	}
	return t, nil
}

// backChannel serves an OpenID Provider's demand to end sessions, from server to server (Back-Channel Logout 1.0 section 2.5). It can
// only ever take access away.
func (f *flow) backChannel(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	way, at, ok := f.answered(w, r, connection.OIDC)
	if !ok {
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	c := way.Connection
	err := f.endByToken(w, r, c)
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	why := refusalOf(f.stray(r, err))
	status, code := http.StatusBadRequest, "invalid_request"
	if why.code == CodeInternal || why.code == CodeUnreachable {
		// Not the token's fault: the provider may try again.
		status, code = http.StatusInternalServerError, "server_error"
		f.Log.ErrorContext(ctx, "a provider's logout was not carried out", "organization", c.Organization, "connection", c.ID, "error", err)
	}
	e := audit.Event{
		Actor: f.actor(r, c.ID), Action: "sign-out.refused", TargetKind: "connection", TargetID: string(c.ID), TargetName: c.Name,
		Outcome: audit.Refused, Code: string(why.code), Reason: why.detail,
	}
	e.Actor.Organization = at.organization
	if err := f.DB.Write(context.WithoutCancel(ctx), at.organization, func(tx *store.Tx) error {
		tx.Record(ctx, e)
		return nil
	}); err != nil {
		f.Log.ErrorContext(ctx, "refused logout not recorded", "organization", c.Organization, "connection", c.ID, "error", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
}

// endByToken carries out one logout token, once.
func (f *flow) endByToken(w http.ResponseWriter, r *http.Request, c connection.Connection) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, maxToken+1024)
	if err := r.ParseForm(); err != nil {
		return refuse(CodeProvider, "the logout is not a form, or too large")
	}
	raw, one := single(r.PostForm, "logout_token")
	if !one || raw == "" {
		return refuse(CodeProvider, "the form has no logout_token, or several")
	}
	m, err := f.upstream.discover(ctx, c)
	if err != nil {
		return err
	}
	token, err := readLogoutToken(ctx, raw, expected{
		issuer: c.Settings.Issuer, clientID: c.Settings.ClientID, algorithms: c.Settings.SigningAlgorithms(), now: f.DB.Now(),
		keys: f.upstream.keySet(c, m),
	})
	if err != nil {
		var known *refusal
		if errors.As(err, &known) || fault.As(err) != nil {
			return err
		}
		return refuse(CodeToken, err.Error())
	}
	actor := f.actor(r, c.ID)
	actor.Organization, actor.Name = c.Organization, c.Name
	return f.DB.Write(ctx, c.Organization, func(tx *store.Tx) error {
		fresh, err := replay{tx, c}.Consume(ctx, "logout/"+token.id, tx.Now().Add(maxLogoutAge+2*skew))
		if err != nil {
			return err
		}
		if !fresh {
			return refuse(CodeToken, "the logout token was used before")
		}
		live, err := tx.UpstreamSessionsNamed(ctx, c, c.Settings.Issuer, token.subject, token.session)
		if err != nil {
			return err
		}
		for _, s := range live {
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
}

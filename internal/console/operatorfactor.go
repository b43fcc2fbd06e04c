package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/password"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// An operator's sign-in, after the password. What was shown so far lies sealed as a challenge of this browser, under an id that the
// addresses carry; package mfa says what is still missing.
//
//	shown so far                  reached by                            left by
//	----------------------------  ------------------------------------  -------------------------------------------------
//	nothing                       GET /operator/signin                  the password -> a session, or kept
//	kept                          a password that is not enough         a factor, or an enrolment -> a session
//	kept, to be proved anew       a sensitive door, with a session      a factor -> a new session, the one before ended
//
//	GET  /operator/factor         asks for a factor, or offers enrolment where there is none and one is demanded
//	POST /operator/factor         judges a passkey's answer or a code
//	GET  /operator/enrol          enrols one: in the middle of signing in, or from the operator's own page
//	POST /operator/enrol          the same
//	GET  /operator/security       what the operator proves with, and where they are signed in
func (c *Console) mountOperatorFactors(r chi.Router) {
	r.Get("/operator/factor", c.show(c.operatorFactor))
	r.Post("/operator/factor", c.show(c.operatorAnswer))
	r.Get("/operator/enrol", c.show(c.operatorEnrol))
	r.Post("/operator/enrol", c.show(c.operatorEnrolled))
	r.Get("/operator/enrol/qr.png", c.operatorQR)
	r.Get("/operator/recover", c.show(c.operatorRecover))
	r.Post("/operator/recover", c.show(c.operatorRecovered))
	r.Get("/operator/calendar", c.show(c.operatorCalendarPage))
	r.Get("/operator/security", c.show(c.operatorSecurity))
	r.Get("/operator/security/add", c.show(c.operatorAdd))
	r.Get("/operator/security/{factor}/remove", c.show(c.operatorRemoval))
	r.Post("/operator/security/{factor}/remove", c.show(c.operatorRemove))
	r.Post("/operator/security/end-others", c.show(c.operatorEndOthers))
}

// operatorProof is what an operator's sign-in has shown so far.
type operatorProof struct {
	Operator id.Operator `json:"operator"`
	AMR      []string    `json:"amr"`
	// Fresh says that something was shown in this sign-in; else it begins with what the session Session has shown.
	Fresh    bool     `json:"fresh,omitempty"`
	Session  string   `json:"session,omitempty"` // by its hash: it ends when the new one begins
	Enrol    mfa.Kind `json:"enrol,omitempty"`   // what this is for, if it is for that
	Enrolled bool     `json:"enrolled,omitempty"`
	App      string   `json:"app,omitempty"` // the address of the app that is being enrolled
	To       string   `json:"to"`
}

// operatorPending is a sign-in under way, as a request names it.
type operatorPending struct {
	id, browser string
	operator    store.Operator
	proof       operatorProof
}

const (
	operatorShown   = "operator/shown"
	operatorPasskey = "operator/passkey/" // with the id of what was shown
)

// operatorStep is where an operator's sign-in goes on: to a page, with the handle of a session where one has begun.
type operatorStep struct{ to, handle string }

// passOperator takes what was shown, in the transaction that judged it, and begins a session or keeps it.
func (c *Console) passOperator(ctx context.Context, tx *store.SystemTx, r *http.Request, p operatorPending) (operatorStep, error) {
	verdict, _, err := c.operatorVerdict(ctx, tx, p.proof)
	if err != nil {
		return operatorStep{}, err
	}
	to := ""
	switch {
	case !p.proof.Fresh || verdict.Step != mfa.Enter:
		to = "/operator/factor"
	case p.proof.Enrol != "" && !p.proof.Enrolled:
		to = "/operator/enrol"
	}
	if to != "" {
		c.keepOperator(ctx, tx, &p)
		q := url.Values{"shown": {p.id}}
		if to == "/operator/enrol" {
			q.Set("kind", string(p.proof.Enrol))
		}
		return operatorStep{to: to + "?" + q.Encode()}, nil
	}
	if p.id != "" {
		// Once: of two answers one begins a session.
		if _, err := tx.TakeChallenge(ctx, p.id, p.browser, operatorShown); err != nil {
			return operatorStep{}, err
		}
	}
	from := c.from(r)
	p.operator.AMR = p.proof.AMR
	if p.proof.Session != "" {
		// The handle from before opens nothing any more.
		if err := tx.EndOperatorSession(ctx, p.proof.Session, operatorActor(p.operator, from)); err != nil {
			return operatorStep{}, err
		}
	}
	handle, err := tx.StartOperatorSession(ctx, p.operator, r.UserAgent(), from)
	return operatorStep{session.OwnPath(p.proof.To), handle}, err
}

// keepOperator keeps what was shown, for this browser.
func (c *Console) keepOperator(ctx context.Context, tx *store.SystemTx, p *operatorPending) {
	if p.id == "" {
		p.id = seal.Handle()
	}
	raw, _ := json.Marshal(p.proof) // texts always encode
	tx.KeepChallenge(ctx, store.Challenge{
		ID: p.id, Browser: p.browser, Kind: operatorShown, Secret: c.DB.Keys.Seal(store.ChallengePlace(p.id), raw),
		Expires: tx.Now().Add(session.AttemptLifetime),
	})
}

// operatorVerdict says what an operator's sign-in still lacks. Who has a second factor is asked for it, whether one is demanded or not.
func (c *Console) operatorVerdict(ctx context.Context, tx *store.SystemTx, p operatorProof) (mfa.Verdict, []store.Factor, error) {
	factors, kinds, err := tx.OperatorKinds(ctx, p.Operator)
	if err != nil {
		return mfa.Verdict{}, nil, err
	}
	var demand mfa.Demand
	if c.OperatorMFA {
		demand.Multiple = append(demand.Multiple, "This installation asks its operators for a second factor.")
	} else if len(kinds) > 0 {
		demand.Multiple = append(demand.Multiple, "You have set up a second factor, so it is asked for.")
	}
	may := []mfa.Kind{mfa.TOTP}
	if c.passkeys != nil {
		may = append(may, mfa.Passkey)
	}
	v := mfa.Next(mfa.Facts{Shown: p.AMR, Demand: demand, Has: kinds, May: may})
	if v.Step == mfa.Enter && !p.Fresh {
		// Nothing is missing but that it was a while ago: every way will do.
		v.Choices = kinds
	}
	return v, factors, nil
}

// onward answers where an operator's sign-in goes on.
func (c *Console) onward(w http.ResponseWriter, r *http.Request, s operatorStep, browser *http.Cookie) error {
	if browser != nil {
		http.SetCookie(w, browser)
	}
	if s.handle != "" {
		http.SetCookie(w, c.operatorCookieOf(s.handle, store.OperatorSessionLifetime))
	}
	http.Redirect(w, r, s.to, http.StatusSeeOther)
	return nil
}

// proveOperator begins to prove a live session anew, by a factor of the operator; nothing where there is none to ask for.
func (c *Console) proveOperator(r *http.Request, o store.Operator, to string, enrol mfa.Kind, fresh bool) (operatorStep, *http.Cookie, error) {
	ctx := r.Context()
	browser, cookie := c.cookies().EnsureBrowser(r)
	p := operatorPending{browser: browser, operator: o, proof: operatorProof{
		Operator: o.ID, AMR: o.AMR, Fresh: fresh, Session: c.operatorHash(r), Enrol: enrol, To: to,
	}}
	var next operatorStep
	err := c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		p.id = ""
		if _, kinds, err := tx.OperatorKinds(ctx, o.ID); err != nil || len(kinds) == 0 && !fresh {
			next = operatorStep{}
			return err
		}
		var err error
		next, err = c.passOperator(ctx, tx, r, p)
		return err
	})
	return next, cookie, err
}

// pendingOperator reads the sign-in that a request names.
func (c *Console) pendingOperator(r *http.Request, name string) (operatorPending, error) {
	ctx := r.Context()
	p := operatorPending{id: name, browser: c.cookies().Browser(r)}
	var kept store.Challenge
	err := c.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		if kept, err = tx.SeeChallenge(ctx, name, p.browser, operatorShown); err != nil {
			return err
		}
		raw, err := c.DB.Keys.Open(store.ChallengePlace(name), kept.Secret)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &p.proof); err != nil {
			return err
		}
		if p.operator, err = tx.Operator(ctx, p.proof.Operator); err != nil || p.proof.Fresh && p.proof.Enrol == "" {
			return err
		}
		// What rests on a session ends with it.
		_, _, err = tx.OperatorSession(ctx, p.proof.Session)
		return err
	})
	if kind := fault.KindOf(err); kind == fault.Gone || kind == fault.Unauthenticated {
		err = fault.New(fault.Gone, "This sign-in is over: it was finished already, or it took too long. Begin again.").WithCode("challenge-over")
	}
	return p, err
}

// operatorWay is one way to show a second factor.
type operatorWay struct {
	Kind        mfa.Kind
	Label, Hint string
}

var operatorWays = map[mfa.Kind]operatorWay{
	mfa.Passkey:  {mfa.Passkey, "A passkey", "Your fingerprint, your face or the PIN of your device, or a security key"},
	mfa.TOTP:     {mfa.TOTP, "An authenticator app", "The six digits that the app on your telephone shows"},
	mfa.Recovery: {mfa.Recovery, "A recovery code", "One of the codes that you kept for when nothing else is at hand"},
}

// operatorFactorView is the page that asks for a factor, or offers to set up the first one.
type operatorFactorView struct {
	Shown, Person string
	Anew          bool
	Why           []string
	Ways, Offer   []operatorWay
	Current       mfa.Kind
	Challenge     string
	Options       string
	Wrong         string
}

func (v operatorFactorView) heading() string {
	switch {
	case len(v.Offer) > 0:
		return "Set up a second factor"
	case v.Anew:
		return "Show that it is you"
	}
	return "One more step"
}

func (c *Console) operatorFactor(w http.ResponseWriter, r *http.Request) error {
	p, err := c.pendingOperator(r, r.URL.Query().Get("shown"))
	if err != nil {
		return err
	}
	return c.showOperatorFactor(w, r, p, http.StatusOK, mfa.Kind(r.URL.Query().Get("way")), "")
}

func (c *Console) showOperatorFactor(w http.ResponseWriter, r *http.Request, p operatorPending, status int, way mfa.Kind, wrong string) error {
	ctx := r.Context()
	v := operatorFactorView{Shown: p.id, Person: p.operator.Name, Anew: !p.proof.Fresh}
	err := c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		v.Ways, v.Offer, v.Current, v.Wrong, v.Challenge, v.Options = nil, nil, "", wrong, "", ""
		verdict, factors, err := c.operatorVerdict(ctx, tx, p.proof)
		if err != nil {
			return err
		}
		v.Why = verdict.Why
		for _, k := range mfa.Kinds {
			if line, known := operatorWays[k]; known && slices.Contains(verdict.Choices, k) {
				if verdict.Step == mfa.Enrol {
					v.Offer = append(v.Offer, line)
				} else {
					v.Ways = append(v.Ways, line)
				}
				if v.Current == "" || k == way {
					v.Current = k
				}
			}
		}
		if verdict.Step == mfa.Enrol {
			v.Current = ""
		}
		if len(v.Ways)+len(v.Offer) == 0 {
			return fault.New(fault.Conflict, "There is nothing left that you could show. Whoever has the machine can make a way back: vestibule recover --operator %s.", p.operator.Email)
		}
		if v.Current != mfa.Passkey || c.passkeys == nil {
			return nil
		}
		ceremony, err := c.passkeys.Ask(c.operatorHolder(p.operator, factors))
		if err != nil {
			return err
		}
		v.Options, v.Challenge = ceremony.Options, c.askOperator(ctx, tx, p, ceremony)
		return nil
	})
	if err != nil {
		return err
	}
	return page.Render(w, r, status, operatorFactorPage(v))
}

// askOperator keeps what a passkey's answer will be judged by: for this browser, once.
func (c *Console) askOperator(ctx context.Context, tx *store.SystemTx, p operatorPending, ceremony mfa.Ceremony) string {
	name := seal.Handle()
	tx.KeepChallenge(ctx, store.Challenge{
		ID: name, Browser: p.browser, Kind: operatorPasskey + p.id,
		Secret: c.DB.Keys.Seal(store.ChallengePlace(name), []byte(ceremony.State)), Expires: tx.Now().Add(session.AttemptLifetime),
	})
	return name
}

// operatorHolder is an operator as the ceremonies know them, with the passkeys they have.
func (c *Console) operatorHolder(o store.Operator, factors []store.Factor) mfa.Holder {
	h := mfa.Holder{ID: string(o.ID), Name: o.Email + " (operator)", DisplayName: o.Name}
	for _, own := range factors {
		if own.Kind != mfa.Passkey {
			continue
		}
		// One that cannot be opened is of a node key that is gone: it asks nobody, and the others still work.
		if record, err := c.DB.Keys.Open(store.FactorPlace(own.ID), own.Secret); err == nil {
			h.Records = append(h.Records, string(record))
		}
	}
	return h
}

// errWrongCode is an answer that does not fit.
var errWrongCode = errors.New("the code does not fit")

// operatorForm reads a form about a sign-in under way, and counts the answer before it is judged.
func (c *Console) operatorForm(r *http.Request) (operatorPending, error) {
	if err := r.ParseForm(); err != nil {
		return operatorPending{}, fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	p, err := c.pendingOperator(r, r.PostForm.Get("shown"))
	if err != nil {
		return p, err
	}
	from := c.from(r)
	return p, c.DB.System().Write(r.Context(), func(tx *store.SystemTx) error {
		return tx.CountOperatorGuess(r.Context(), p.operator.ID, from.IP)
	})
}

func (c *Console) operatorAnswer(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	p, err := c.operatorForm(r)
	if err != nil {
		return err
	}
	way := mfa.Kind(r.PostForm.Get("way"))
	actor := operatorActor(p.operator, c.from(r))
	var asked store.Challenge
	if way == mfa.Passkey {
		// The question is spent by every answer, right or wrong (WebAuthn section 13.4.3: a challenge is good for one ceremony).
		err := c.DB.System().Write(ctx, func(tx *store.SystemTx) (err error) {
			asked, err = tx.TakeChallenge(ctx, r.PostForm.Get("challenge"), p.browser, operatorPasskey+p.id)
			return err
		})
		if err != nil {
			return err
		}
	}
	var next operatorStep
	err = c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		methods, err := c.judgeOperator(ctx, tx, r, p, way, asked)
		if err != nil {
			return err
		}
		if way == mfa.Recovery {
			left, err := tx.OperatorCodes(ctx, p.operator.ID)
			if err != nil {
				return err
			}
			tx.Record(ctx, audit.Event{
				Actor: actor, Action: "recovery-code.used", TargetKind: "operator", TargetID: string(p.operator.ID), TargetName: p.operator.Name,
				After: said(map[string]int64{"left": left}),
			})
			if err := tx.PostOperatorNotice(ctx, p.operator, "A recovery code of yours was used.", actor.IP, ""); err != nil {
				return err
			}
		}
		after := p
		after.proof.AMR, after.proof.Fresh = mfa.Join(after.proof.AMR, methods), true
		next, err = c.passOperator(ctx, tx, r, after)
		return err
	})
	if errors.Is(err, errWrongCode) || fault.KindOf(err) == fault.Forbidden {
		if refused := c.refusedOperator(ctx, actor, p, way, err); refused != nil {
			return refused
		}
	}
	if errors.Is(err, errWrongCode) {
		return c.showOperatorFactor(w, r, p, http.StatusUnprocessableEntity, way, "This code does not fit. Check it, or wait for the next one: a code works once.")
	}
	if err != nil {
		return err
	}
	return c.onward(w, r, next, nil)
}

// refusedOperator writes down a factor that was not believed.
func (c *Console) refusedOperator(ctx context.Context, actor audit.Actor, p operatorPending, way mfa.Kind, why error) error {
	code := "wrong-code"
	if f := fault.As(why); f != nil && f.Code != "" {
		code = f.Code
	}
	return c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.Record(ctx, audit.Event{
			Actor: actor, Action: "factor.refused", TargetKind: "operator", TargetID: string(p.operator.ID), TargetName: p.operator.Name,
			Outcome: audit.Refused, Code: code, Reason: string(way),
		})
		return nil
	})
}

// judgeOperator compares an answer and spends it.
func (c *Console) judgeOperator(
	ctx context.Context, tx *store.SystemTx, r *http.Request, p operatorPending, way mfa.Kind, asked store.Challenge,
) ([]string, error) {
	factors, err := tx.OperatorFactors(ctx, p.operator.ID)
	if err != nil {
		return nil, err
	}
	switch form := r.PostForm; way {
	case mfa.Passkey:
		return c.judgePasskey(ctx, tx, p, factors, asked, form.Get("answer"))
	case mfa.TOTP:
		for _, own := range factors {
			if own.Kind != mfa.TOTP {
				continue
			}
			address, err := c.DB.Keys.Open(store.FactorPlace(own.ID), own.Secret)
			if err != nil {
				return nil, err
			}
			if step := mfa.TOTPStep(string(address), form.Get("code"), tx.Now()); step != 0 {
				if used, err := tx.UseOperatorFactor(ctx, own.ID, step); err != nil || used {
					return way.Methods(), err
				}
			}
		}
	case mfa.Recovery:
		if code := mfa.RecoveryForm(form.Get("code")); code != "" {
			used, err := tx.UseOperatorCode(ctx, p.operator.ID, c.DB.Keys.Hashes(operatorCodeText(p.operator.ID, code)))
			if err != nil || used {
				return way.Methods(), err
			}
		}
	}
	return nil, errWrongCode
}

// operatorCodeText is what is hashed of a recovery code: bound to whom it is of.
func operatorCodeText(o id.Operator, code string) string {
	return "operator-recovery/" + string(o) + "/" + code
}

func (c *Console) judgePasskey(ctx context.Context, tx *store.SystemTx, p operatorPending, factors []store.Factor, asked store.Challenge, answer string) ([]string, error) {
	if c.passkeys == nil {
		return nil, fault.New(fault.Unsupported, "This installation's address allows no passkeys.")
	}
	state, err := c.DB.Keys.Open(store.ChallengePlace(asked.ID), asked.Secret)
	if err != nil {
		return nil, err
	}
	use, err := c.passkeys.Answered(c.operatorHolder(p.operator, factors), string(state), answer)
	if err != nil {
		return nil, err
	}
	for _, own := range factors {
		if own.Credential != use.Credential {
			continue
		}
		kept, err := tx.UseOperatorCredential(ctx, own.ID, own.Counter, use.Counter, c.DB.Keys.Seal(store.FactorPlace(own.ID), []byte(use.Record)))
		if err == nil && !kept {
			err = fault.New(fault.Conflict, "This passkey was used elsewhere in this moment. Try again.")
		}
		return use.Methods, err
	}
	return nil, fault.New(fault.Forbidden, "This passkey is not one of yours here.").WithCode("passkey-unknown")
}

// operatorEnrolView is a page that enrols a factor.
type operatorEnrolView struct {
	Shown     string
	Kind      mfa.Kind
	Inside    bool // from the operator's own page, rather than on the way in
	Options   string
	Challenge string
	App       page.App
	Codes     []string
	File      string
	Wrong     string
}

// mayEnrolOperator says whether a kind may be enrolled at this point: where it is missing on the way in, or where this is what the
// sign-in is for and everything else was shown.
func (c *Console) mayEnrolOperator(ctx context.Context, tx *store.SystemTx, p operatorPending, kind mfa.Kind) ([]store.Factor, error) {
	verdict, factors, err := c.operatorVerdict(ctx, tx, p.proof)
	switch {
	case err != nil:
		return nil, err
	case !p.proof.Fresh:
	case verdict.Step == mfa.Enrol && slices.Contains(verdict.Choices, kind),
		verdict.Step == mfa.Enter && p.proof.Enrol == kind:
		return factors, nil
	}
	return nil, fault.New(fault.Forbidden, "Show first who you are. Begin again from the page about your security.")
}

func (c *Console) operatorEnrol(w http.ResponseWriter, r *http.Request) error {
	p, err := c.pendingOperator(r, r.URL.Query().Get("shown"))
	if err != nil {
		return err
	}
	return c.showOperatorEnrol(w, r, p, mfa.Kind(r.URL.Query().Get("kind")), http.StatusOK, operatorEnrolView{})
}

func (c *Console) showOperatorEnrol(w http.ResponseWriter, r *http.Request, p operatorPending, kind mfa.Kind, status int, v operatorEnrolView) error {
	ctx := r.Context()
	v.Shown, v.Kind, v.Inside = p.id, kind, p.proof.Enrol != ""
	err := c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		factors, err := c.mayEnrolOperator(ctx, tx, p, kind)
		if err != nil {
			return err
		}
		switch kind {
		case mfa.Passkey:
			if c.passkeys == nil {
				return nil // the page says so
			}
			ceremony, err := c.passkeys.Create(c.operatorHolder(p.operator, factors))
			if err != nil {
				return err
			}
			v.Options, v.Challenge = ceremony.Options, c.askOperator(ctx, tx, p, ceremony)
		case mfa.TOTP:
			if p.proof.App == "" {
				if _, p.proof.App, err = mfa.NewTOTP("Vestibule", p.operator.Email+" (operator)"); err != nil {
					return err
				}
				c.keepOperator(ctx, tx, &p)
			}
			v.App = page.App{Picture: "/operator/enrol/qr.png?shown=" + url.QueryEscape(p.id), Key: mfa.SecretOf(p.proof.App), Address: p.proof.App}
		default:
		}
		return nil
	})
	if err != nil {
		return err
	}
	return page.Render(w, r, status, operatorEnrolPage(v))
}

// operatorQR serves the picture of an app's address, from here: the secret goes to nobody else.
func (c *Console) operatorQR(w http.ResponseWriter, r *http.Request) {
	p, err := c.pendingOperator(r, r.URL.Query().Get("shown"))
	if err != nil || p.proof.App == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "no-store")
	if err := mfa.WriteQR(w, p.proof.App); err != nil {
		c.Log.ErrorContext(r.Context(), "picture not drawn", "error", err)
	}
}

// operatorAdded says to an operator what was added.
var operatorAdded = map[mfa.Kind]string{
	mfa.Passkey: "A passkey was added to your account.", mfa.TOTP: "An authenticator app was added to your account.",
	mfa.Recovery: "New recovery codes were made for your account.",
}

func (c *Console) operatorEnrolled(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	p, err := c.operatorForm(r)
	if err != nil {
		return err
	}
	kind, form := mfa.Kind(r.PostForm.Get("kind")), r.PostForm
	actor := operatorActor(p.operator, c.from(r))
	var next operatorStep
	var codes []string
	err = c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		codes = nil
		factors, err := c.mayEnrolOperator(ctx, tx, p, kind)
		if err != nil {
			return err
		}
		after := p
		own := store.Factor{ID: id.New[id.Factor](), Kind: kind}
		switch kind {
		case mfa.Recovery:
			if form.Get("kept") == "" {
				if err := firstTime(ctx, tx.In(""), form.Get("once"), shownOnce{
					"A list of recovery codes", "If you did not keep it, make another: it voids the one before.",
					templ.SafeURL("/operator/enrol?" + url.Values{"shown": {p.id}, "kind": {string(kind)}}.Encode()), "Make another list",
				}); err != nil {
					return err
				}
				codes = c.makeOperatorCodes(ctx, tx, actor, p.operator)
				return tx.PostOperatorNotice(ctx, p.operator, operatorAdded[kind], actor.IP, "")
			}
			after.proof.Enrolled = true
			next, err = c.passOperator(ctx, tx, r, after)
			return err
		case mfa.Passkey:
			record, err := c.newPasskey(ctx, tx, p, factors, &own, form)
			if err != nil {
				return err
			}
			after.proof.AMR = mfa.Join(p.proof.AMR, mfa.MethodsOf(record))
		default:
			if own.Counter = mfa.TOTPStep(p.proof.App, form.Get("code"), tx.Now()); own.Counter == 0 {
				return errWrongCode
			}
			own.Name, own.Secret = "Authenticator app", c.DB.Keys.Seal(store.FactorPlace(own.ID), []byte(p.proof.App))
			after.proof.AMR = mfa.Join(p.proof.AMR, kind.Methods())
		}
		if err := tx.AddOperatorFactor(ctx, p.operator.ID, own); err != nil {
			return err
		}
		tx.RecordOperatorFactor(ctx, actor, "factor.added", own)
		if err := tx.PostOperatorNotice(ctx, p.operator, operatorAdded[kind], actor.IP, ""); err != nil {
			return err
		}
		after.proof.Enrolled, after.proof.App = true, ""
		next, err = c.passOperator(ctx, tx, r, after)
		return err
	})
	var twice sentTwice
	switch {
	case errors.As(err, &twice):
		status, f := twice.failure()
		page.RefuseWith(w, r, c.Log, status, f)
		return nil
	case errors.Is(err, errWrongCode):
		return c.showOperatorEnrol(w, r, p, kind, http.StatusUnprocessableEntity,
			operatorEnrolView{Wrong: "This code does not fit. Wait for the next one and try again."})
	case err != nil:
		return err
	case codes != nil:
		text := "Recovery codes of " + p.operator.Name + ", operator of " + c.URL + ", each good once:\n\n" + strings.Join(codes, "\n") + "\n"
		return c.showOperatorEnrol(w, r, p, kind, http.StatusOK,
			operatorEnrolView{Codes: codes, File: "data:text/plain;charset=utf-8," + url.PathEscape(text)})
	}
	return c.onward(w, r, next, nil)
}

// newPasskey judges the answer to the question for a new passkey and fills the factor with it.
func (c *Console) newPasskey(
	ctx context.Context, tx *store.SystemTx, p operatorPending, factors []store.Factor, own *store.Factor, form url.Values,
) (record string, err error) {
	if c.passkeys == nil {
		return "", fault.New(fault.Unsupported, "This installation's address allows no passkeys.")
	}
	asked, err := tx.TakeChallenge(ctx, form.Get("challenge"), p.browser, operatorPasskey+p.id)
	if err != nil {
		return "", err
	}
	state, err := c.DB.Keys.Open(store.ChallengePlace(asked.ID), asked.Secret)
	if err != nil {
		return "", err
	}
	if own.Credential, record, err = c.passkeys.Created(c.operatorHolder(p.operator, factors), string(state), form.Get("answer")); err != nil {
		return "", err
	}
	own.Name = strings.Join(strings.Fields(form.Get("name")), " ")
	if own.Name == "" || len([]rune(own.Name)) > 60 {
		own.Name = "Passkey of " + tx.Now().UTC().Format("2 January 2006")
	}
	own.Secret = c.DB.Keys.Seal(store.FactorPlace(own.ID), []byte(record))
	return record, nil
}

// makeOperatorCodes makes recovery codes in place of those there were.
func (c *Console) makeOperatorCodes(ctx context.Context, tx *store.SystemTx, actor audit.Actor, o store.Operator) []string {
	codes := mfa.NewRecoveryCodes()
	hashes := make([]string, len(codes))
	for i, code := range codes {
		hashes[i] = c.DB.Keys.Hash(operatorCodeText(o.ID, mfa.RecoveryForm(code)))
	}
	tx.KeepOperatorCodes(ctx, o.ID, hashes)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "recovery-codes.made", TargetKind: "operator", TargetID: string(o.ID), TargetName: o.Name,
	})
	return codes
}

// said is what an event says about before or after.
func said(v any) json.RawMessage {
	raw, _ := json.Marshal(v) // maps of texts and numbers always encode
	return raw
}

// operatorRecover is where a link made at the terminal leads. Its token stands behind the #, and the page's script puts it into the
// form: it is in no log and no Referer.
func (c *Console) operatorRecover(w http.ResponseWriter, r *http.Request) error {
	return page.Render(w, r, http.StatusOK, operatorRecoverPage("", ""))
}

func (c *Console) operatorRecovered(w http.ResponseWriter, r *http.Request) error {
	ctx, from := r.Context(), c.from(r)
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	token := strings.TrimSpace(r.PostForm.Get("token"))
	if _, fragment, found := strings.Cut(token, "#"); found {
		token = fragment // what is pasted may be the whole link
	}
	var o store.Operator
	err := c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		return tx.CountOperatorClaim(ctx, from.IP)
	})
	if err == nil {
		err = c.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
			o, err = tx.OperatorOfRecovery(ctx, token)
			return err
		})
	}
	if err != nil {
		return err
	}
	chosen := r.PostForm.Get("password")
	if bad := password.Judge(chosen, password.Whose{Name: o.Name, Address: o.Email}); bad != "" {
		return page.Render(w, r, http.StatusUnprocessableEntity, operatorRecoverPage(token, bad))
	}
	hash, err := password.Hash(ctx, chosen)
	if err != nil {
		return err
	}
	browser, cookie := c.cookies().EnsureBrowser(r)
	var next operatorStep
	err = c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		o, err := tx.RecoverOperator(ctx, token, hash, from)
		if err != nil {
			return err
		}
		next, err = c.passOperator(ctx, tx, r, operatorPending{browser: browser, operator: o, proof: operatorProof{
			Operator: o.ID, AMR: []string{mfa.Password}, Fresh: true, To: "/operator/security",
		}})
		return err
	})
	if err != nil {
		return err
	}
	return c.onward(w, r, next, cookie)
}

// operatorAccount is an operator's own page.
type operatorAccount struct {
	*frame
	Said     string
	Demanded bool
	Factors  []factorLine
	HasApp   bool
	Codes    int64
	Sessions []operatorSessionLine
}

type operatorSessionLine struct {
	This     bool
	Browser  string
	IP       string
	Began    when
	LastSeen when
	Two      bool
}

// atOperator gives the frame of an operator's own page; where nobody is signed in it leads to where one signs in, and gives nil.
func (c *Console) atOperator(w http.ResponseWriter, r *http.Request, title string) (*frame, error) {
	f, err := c.frameOfOperator(r, title)
	if err == nil && f == nil {
		http.Redirect(w, r, operatorAnew("/operator/security"), http.StatusSeeOther)
	}
	return f, err
}

func (c *Console) operatorSecurity(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	f, err := c.atOperator(w, r, "Your security")
	if err != nil || f == nil {
		return err
	}
	a := operatorAccount{frame: f, Said: c.takeFlash(w, r), Demanded: c.OperatorMFA}
	here := c.operatorHash(r)
	err = c.DB.System().Read(ctx, func(tx *store.SystemTx) error {
		factors, err := tx.OperatorFactors(ctx, f.viewer.operator.ID)
		if err != nil {
			return err
		}
		a.Factors, a.Sessions = nil, nil
		for _, own := range factors {
			a.HasApp = a.HasApp || own.Kind == mfa.TOTP
			a.Factors = append(a.Factors, factorLine{
				ID: own.ID, Kind: own.Kind, What: factorNames[own.Kind], Name: own.Name, Added: f.when(own.Created, ""), Used: f.when(own.LastUsed, "Not yet"),
			})
		}
		if a.Codes, err = tx.OperatorCodes(ctx, f.viewer.operator.ID); err != nil {
			return err
		}
		sessions, err := tx.OperatorSessions(ctx, f.viewer.operator.ID)
		for _, s := range sessions {
			a.Sessions = append(a.Sessions, operatorSessionLine{
				s.Hash == here, browserName(session.Session{UserAgent: s.UserAgent}), s.IP, f.when(s.Created, ""), f.when(s.LastSeen, ""), mfa.Two(s.AMR),
			})
		}
		return err
	})
	if err != nil {
		return err
	}
	return page.Render(w, r, http.StatusOK, operatorSecurityPage(a))
}

// operatorAdd begins to enrol a factor, after a proof that is not old.
func (c *Console) operatorAdd(w http.ResponseWriter, r *http.Request) error {
	kind := mfa.Kind(r.URL.Query().Get("kind"))
	if _, known := operatorWays[kind]; !known {
		return fault.New(fault.NotFound, "There is no such way to prove who you are.")
	}
	f, err := c.atOperator(w, r, "")
	if err != nil || f == nil {
		return err
	}
	fresh, err := c.freshOperator(r)
	if err != nil {
		return err
	}
	next, cookie, err := c.proveOperator(r, *f.viewer.operator, "/operator/security", kind, fresh)
	if err != nil {
		return err
	}
	if next.to == "" {
		next.to = operatorAnew(r.URL.RequestURI()) // nothing but the password to ask for
	}
	return c.onward(w, r, next, cookie)
}

// operatorOwn finds the factor that a request names, for an operator whose proof is not old.
func (c *Console) operatorOwn(w http.ResponseWriter, r *http.Request) (*frame, *store.Factor, error) {
	f, err := c.atOperator(w, r, "Remove")
	if err != nil || f == nil {
		return nil, nil, err
	}
	var own *store.Factor
	err = c.DB.System().Read(r.Context(), func(tx *store.SystemTx) error {
		factors, err := tx.OperatorFactors(r.Context(), f.viewer.operator.ID)
		at := slices.IndexFunc(factors, func(own store.Factor) bool { return string(own.ID) == chi.URLParam(r, "factor") })
		if err != nil || at < 0 {
			return cmp.Or[error](err, fault.New(fault.NotFound, "This way to prove who you are is no longer there."))
		}
		own = &factors[at]
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	fresh, err := c.freshOperator(r)
	if err == nil && !fresh {
		http.Redirect(w, r, operatorAnew("/operator/security/"+string(own.ID)+"/remove"), http.StatusSeeOther)
		return nil, nil, nil
	}
	return f, own, err
}

func (c *Console) operatorRemoval(w http.ResponseWriter, r *http.Request) error {
	f, own, err := c.operatorOwn(w, r)
	if err != nil || f == nil {
		return err
	}
	return page.Render(w, r, http.StatusOK, operatorRemovePage(factorRemoval{f, *own, factorNames[own.Kind]}))
}

func (c *Console) operatorRemove(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	f, own, err := c.operatorOwn(w, r)
	if err != nil || f == nil {
		return err
	}
	here, ended := c.operatorHash(r), 0
	err = c.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		factors, err := tx.OperatorFactors(ctx, f.viewer.operator.ID)
		if err != nil {
			return err
		}
		if c.OperatorMFA && len(factors) < 2 {
			return fault.New(fault.Conflict, "This is your last second factor, and this installation asks its operators for one. Add another one first.").WithCode("last-factor")
		}
		if err := tx.RemoveOperatorFactor(ctx, f.viewer.operator.ID, own.ID); err != nil {
			return err
		}
		if len(factors) == 1 {
			tx.KeepOperatorCodes(ctx, f.viewer.operator.ID, nil) // codes stand in for a factor, and none is left
		}
		if ended, err = tx.EndOtherOperatorSessions(ctx, f.viewer.operator.ID, here); err != nil {
			return err
		}
		tx.RecordOperatorFactor(ctx, f.viewer.actor, "factor.removed", *own)
		return tx.PostOperatorNotice(ctx, *f.viewer.operator, factorNames[own.Kind]+" “"+own.Name+"” was removed from your account.", f.viewer.actor.IP, "")
	})
	if err != nil {
		return err
	}
	done := factorNames[own.Kind] + " “" + own.Name + "” is removed."
	if ended > 0 {
		done += " " + plural(ended, "other session") + " ended with it."
	}
	c.setFlash(w, done)
	http.Redirect(w, r, "/operator/security", http.StatusSeeOther)
	return nil
}

func (c *Console) operatorEndOthers(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	f, err := c.atOperator(w, r, "")
	if err != nil || f == nil {
		return err
	}
	here, ended := c.operatorHash(r), 0
	err = c.DB.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		if ended, err = tx.EndOtherOperatorSessions(ctx, f.viewer.operator.ID, here); err == nil && ended > 0 {
			tx.Record(ctx, audit.Event{
				Actor: f.viewer.actor, Action: "session.ended", TargetKind: "operator", TargetID: string(f.viewer.operator.ID),
				TargetName: f.viewer.operator.Name, Reason: "all other sessions, by the operator",
			})
		}
		return err
	})
	if err != nil {
		return err
	}
	c.setFlash(w, plural(ended, "other session")+" ended.")
	http.Redirect(w, r, "/operator/security", http.StatusSeeOther)
	return nil
}

package signin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountFactors adds the routes of what is asked after a first factor, and of passkeys as one.
//
//	request                     does
//	--------------------------  ----------------------------------------------------------------------------------
//	GET  /signin/again          begins to prove a session anew, on the way to something that needs it
//	GET  /signin/factor         asks for another factor, offers the ways there are, or enrolment where there is none
//	POST /signin/factor         judges a code: of an app, sent, or a recovery code
//	POST /signin/factor/send    sends a code by mail or to a telephone
//	POST /signin/passkey        judges a passkey's answer, as a first factor or as another one
//	GET  /signin/enrol          enrols a factor, in the middle of signing in or after proving a session anew
//	POST /signin/enrol          the same
//	GET  /signin/enrol/qr.png   the picture that an authenticator app reads
func (f *flow) mountFactors(mount func(method, pattern string, serve http.HandlerFunc)) {
	mount(http.MethodGet, "/signin/again", f.anew)
	mount(http.MethodGet, "/signin/factor", f.factor)
	mount(http.MethodPost, "/signin/factor", f.answer)
	mount(http.MethodPost, "/signin/factor/send", f.sendCode)
	mount(http.MethodPost, "/signin/passkey", f.passkey)
	mount(http.MethodGet, "/signin/enrol", f.enrol)
	mount(http.MethodPost, "/signin/enrol", f.enrolled)
	mount(http.MethodGet, "/signin/enrol/qr.png", f.qr)
}

// The kinds of challenge.
const (
	askedAnyone = "passkey/anyone" // of whoever is there
	askedPerson = "passkey/person"
	askedCreate = "passkey/create"
	askedCode   = "code/"      // with the factor's kind
	askedProof  = "code/enrol" // of an address or a number that is being enrolled
)

// Rates of wrong answers. A person and an address count together, so that whoever guesses elsewhere shuts nobody out (negative case
// 185); what all addresses together may guess is bounded too, except from where the person came in last.
const (
	guessWindow    = 15 * time.Minute
	guessesPerHere = 10
	guessesPerUser = 100
	codesPerUser   = 5 // codes sent, in the same time
)

// pending is a sign-in that has proved something, with what goes with it.
type pending struct {
	attempt session.Attempt
	hints   session.Hints
	org     id.Organization
	proof   proof
}

func (p pending) at() stop {
	return stop{attempt: p.attempt.ID, organization: p.org, connection: p.proof.Connection}
}

// pending reads the attempt that a request names.
func (f *flow) pending(ctx context.Context, r *http.Request, name string) (pending, error) {
	var p pending
	browser := f.cookies.Browser(r)
	if browser == "" || !id.IsUUID(name) {
		return p, refuse(CodeAttempt, "")
	}
	var sealed string
	err := f.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		if p.attempt, err = tx.Attempt(ctx, id.Attempt(name), browser); err != nil {
			return err
		}
		p.org, sealed, err = tx.ProvedAttempt(ctx, p.attempt.ID, browser)
		return err
	})
	if err != nil {
		return p, err
	}
	if p.org == "" || sealed == "" {
		return p, refuse(CodeAttempt, "nothing was proved yet")
	}
	if p.hints, err = p.attempt.Hints(); err != nil {
		return p, err
	}
	p.proof, err = f.open(p.attempt.ID, sealed)
	return p, err
}

// anew serves GET /signin/again: the way to prove a session anew before something that asks for it. The attempt begins with what the
// session has shown; a session that is fresh enough goes on at once.
func (f *flow) anew(w http.ResponseWriter, r *http.Request) {
	ctx, q := r.Context(), r.URL.Query()
	if !f.allow(w, r, "start", startsPerMinute) {
		return
	}
	org := id.Organization(q.Get("organization"))
	back := session.OwnPath(q.Get("return_to"))
	s, err := f.DB.Session(ctx, org, f.cookies.Hash(r, org))
	if fault.KindOf(err) == fault.Unauthenticated {
		http.Redirect(w, r, "/signin?"+url.Values{"organization": {string(org)}, "return_to": {back}}.Encode(), http.StatusSeeOther)
		return
	}
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	enrol := mfa.Kind(q.Get("enrol"))
	if enrol != "" && !slices.Contains(mfa.Kinds, enrol) {
		page.Refuse(w, r, f.Log, fault.New(fault.Invalid, "There is no such way to prove who you are."))
		return
	}
	hints := session.Hints{Organization: org, ReturnTo: back, StepUp: true, Prompt: []string{"login"}, Enrol: string(enrol)}
	browser, cookie := f.cookies.EnsureBrowser(r)
	attempt := session.Attempt{ID: id.New[id.Attempt](), Browser: browser, Purpose: session.ForConsole, Request: encode(hints)}
	if cookie != nil {
		http.SetCookie(w, cookie)
	}
	f.stepUp(w, r, attempt, hints, s, true)
}

// stepUp puts a session's proof on an attempt that is new and asks for what is missing. Anew says that the session itself must be
// proved again unless it is fresh.
func (f *flow) stepUp(w http.ResponseWriter, r *http.Request, attempt session.Attempt, hints session.Hints, s session.Session, anew bool) {
	ctx := r.Context()
	p := proofOf(s)
	var landed landing
	err := f.DB.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		if attempt.Created.IsZero() {
			if err := tx.CreateAttempt(ctx, attempt); err != nil {
				return err
			}
		}
		in := tx.In(s.Organization)
		p.Again = anew && !mfa.FreshSession(s.AuthTime, s.Created, tx.Now())
		landed, err = f.pass(ctx, in, r, attempt, hints, p)
		return err
	})
	if err == nil {
		landed, err = f.onward(ctx, attempt, hints, landed)
	}
	f.finish(w, r, stop{attempt: attempt.ID, organization: s.Organization, connection: s.Connection}, landed, err)
}

// proofOf is what a session has shown.
func proofOf(s session.Session) proof {
	return proof{
		User: s.User, Name: either(s.DisplayName, s.Email, s.UserName), Connection: s.Connection, Identity: s.Identity, How: "session",
		AMR: s.AMR, ACR: s.ACR, AuthTime: s.AuthTime, Until: s.Expires, SID: s.UpstreamSID, Session: s.ID,
	}
}

// way is one way on the page that asks for a factor.
type way struct {
	Kind  mfa.Kind
	Label string
	Hint  string
	To    string // for mail and telephone: where the code goes, masked
}

// factorView is the page that asks for a factor.
type factorView struct {
	attempt      id.Attempt
	organization string
	person       string
	again        bool
	enrolling    bool
	why          []string
	ways         []way
	current      mfa.Kind
	offer        []way // to enrol
	connection   string
	theirs       bool            // the connection's provider is asked for its second factor
	password     id.Organization // where a password will do; empty: nowhere
	passkey      mfa.Ceremony
	challenge    string
	sent         bool
	slow         string // what has become of a code that was sent, where that is not well
	notice       string // why a code does not serve, above everything else, with its code
	code         connection.Code
	wrong        string
}

func (v factorView) way() way {
	for _, w := range v.ways {
		if w.Kind == v.current {
			return w
		}
	}
	return way{}
}

// others are the ways but the one shown.
func (v factorView) others() []way {
	return slices.DeleteFunc(slices.Clone(v.ways), func(w way) bool { return w.Kind == v.current })
}

var labels = map[mfa.Kind]way{
	mfa.Passkey:  {mfa.Passkey, "A passkey", "Your fingerprint, your face or the PIN of your device, or a security key", ""},
	mfa.TOTP:     {mfa.TOTP, "An authenticator app", "The six digits that the app on your telephone shows", ""},
	mfa.SMS:      {mfa.SMS, "A code to your telephone", "Six digits by text message", ""},
	mfa.Mail:     {mfa.Mail, "A code by mail", "Eight digits to your address", ""},
	mfa.Recovery: {mfa.Recovery, "A recovery code", "One of the codes that you kept for when nothing else is at hand", ""},
}

// factor serves GET /signin/factor.
func (f *flow) factor(w http.ResponseWriter, r *http.Request) {
	p, err := f.pending(r.Context(), r, r.URL.Query().Get("attempt"))
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	chosen, sent := mfa.Kind(r.URL.Query().Get("way")), id.Delivery(r.URL.Query().Get("sent"))
	slow := f.slow(r.Context(), p, chosen, sent)
	f.showFactor(w, r, p, http.StatusOK, func(v *factorView) {
		if chosen != "" {
			v.current = chosen
		}
		v.sent, v.slow = sent != "", slow
	})
}

// showFactor makes the page. Complete says what this moment adds.
func (f *flow) showFactor(w http.ResponseWriter, r *http.Request, p pending, status int, complete func(*factorView)) {
	ctx := r.Context()
	v := factorView{attempt: p.attempt.ID, person: p.proof.Name, again: p.proof.Again, enrolling: p.hints.Enrol != ""}
	stuck := false
	err := f.DB.Write(ctx, p.org, func(tx *store.Tx) error {
		v.ways, v.offer, v.why, v.connection, v.theirs, v.password, stuck = nil, nil, nil, "", false, "", false
		self, err := tx.Self(ctx)
		if err != nil {
			return err
		}
		v.organization = self.Name
		factors, err := tx.Factors(ctx, p.proof.User)
		if err != nil {
			return err
		}
		verdict, err := f.verdict(ctx, tx, p.hints, p.proof)
		if err != nil {
			return err
		}
		choices, preferred := verdict.Choices, mfa.Kind("")
		v.why = verdict.Why
		if verdict.Step == mfa.Enter && p.proof.Again {
			// Nothing is missing but that it was a while ago: every way will do, and so will the sign-in itself.
			if choices, err = f.kinds(ctx, tx, p.proof.User); err != nil {
				return err
			}
		}
		if p.proof.Connection != "" {
			c, err := tx.SignInConnection(ctx, p.proof.Connection)
			if err == nil && !c.Settings.Closed() {
				// Its second factor is one way more, but for those who are to add a factor or to show a passkey.
				v.theirs = !p.proof.Again && p.hints.Enrol == "" && givesSecond(c.Connection) && verdict.Second
				if p.proof.Again || v.theirs {
					v.connection = c.Name
				}
			} else if err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
		}
		if p.proof.Again {
			hash, _, err := tx.PasswordOf(ctx, p.proof.User)
			if err != nil {
				return err
			}
			facts, _, err := tx.LocalFacts(ctx, p.proof.User)
			if err != nil {
				return err
			}
			if hash != "" && connection.Local(connection.Password, facts) == "" {
				v.password = p.org
			}
		}
		for _, k := range mfa.Kinds {
			if !slices.Contains(choices, k) {
				continue
			}
			way := labels[k]
			for _, own := range factors {
				if own.Kind != k {
					continue
				}
				if own.Preferred {
					preferred = k
				}
				if k == mfa.Mail || k == mfa.SMS {
					way.To = own.Name
				}
			}
			if verdict.Step == mfa.Enrol {
				v.offer = append(v.offer, way)
			} else {
				v.ways = append(v.ways, way)
			}
		}
		stuck = verdict.Step == mfa.Stuck && !v.theirs
		if preferred != "" {
			v.current = preferred
		} else if len(v.ways) > 0 {
			v.current = v.ways[0].Kind
		}
		complete(&v)
		if v.way().Kind == "" && len(v.ways) > 0 {
			v.current = v.ways[0].Kind
		}
		if v.current != mfa.Passkey || f.passkeys == nil {
			return nil
		}
		holder := holderOf(p.proof, "", factors, f.DB.Keys)
		if v.passkey, err = f.passkeys.Ask(holder); err != nil {
			return err
		}
		v.challenge = f.askPasskey(ctx, tx, p.attempt, askedPerson, v.passkey)
		return nil
	})
	if err != nil {
		f.fail(w, r, p.at(), err)
		return
	}
	if stuck || len(v.ways) == 0 && len(v.offer) == 0 && v.connection == "" && v.password == "" {
		f.fail(w, r, stop{attempt: p.attempt.ID, organization: p.org, name: v.organization, connection: p.proof.Connection},
			refuse(CodeNoFactor, strings.Join(v.why, " ")))
		return
	}
	f.render(w, r, status, factorPage(v))
}

// askPasskey keeps what an answer will be judged by: in the store, for this browser, once.
func (f *flow) askPasskey(ctx context.Context, tx interface {
	KeepChallenge(context.Context, store.Challenge)
	Now() time.Time
}, attempt session.Attempt, kind string, c mfa.Ceremony,
) string {
	name := seal.Handle()
	tx.KeepChallenge(ctx, store.Challenge{
		ID: name, Browser: attempt.Browser, Kind: kind + "/" + string(attempt.ID),
		Secret: f.DB.Keys.Seal(store.ChallengePlace(name), []byte(c.State)), Expires: tx.Now().Add(session.AttemptLifetime),
	})
	return name
}

// beside makes the question that stands beside the address: whose passkey answers it, nobody knows yet.
func (f *flow) beside(ctx context.Context, attempt session.Attempt) (challenge, options string, err error) {
	if f.passkeys == nil {
		return "", "", nil
	}
	c, err := f.passkeys.AskAnyone()
	if err != nil {
		return "", "", err
	}
	err = f.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		challenge = f.askPasskey(ctx, tx, attempt, askedAnyone, c)
		return nil
	})
	return challenge, c.Options, err
}

// holderOf is a person as the ceremonies know them, with the passkeys they have.
func holderOf(p proof, organization string, factors []store.Factor, keys *seal.Keys) mfa.Holder {
	h := mfa.Holder{ID: string(p.User), Name: p.Name, DisplayName: p.Name}
	if organization != "" {
		h.Name += " (" + organization + ")"
	}
	for _, own := range factors {
		if own.Kind != mfa.Passkey {
			continue
		}
		// One that cannot be opened is of a node key that is gone: it asks nobody, and the others still work.
		if record, err := keys.Open(store.FactorPlace(own.ID), own.Secret); err == nil {
			h.Records = append(h.Records, string(record))
		}
	}
	return h
}

// form reads a small form and the attempt that it names.
func (f *flow) form(w http.ResponseWriter, r *http.Request) (pending, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		page.Refuse(w, r, f.Log, fault.New(fault.TooLarge, "This form is too large."))
		return pending{}, false
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			page.Refuse(w, r, f.Log, fault.New(fault.Invalid, "The field %.64q stands there twice.", name))
			return pending{}, false
		}
	}
	if !f.allow(w, r, "address", addressesPerMinute) {
		return pending{}, false
	}
	p, err := f.pending(r.Context(), r, r.PostForm.Get("attempt"))
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return p, false
	}
	return p, true
}

// errWrong is an answer that does not fit: nothing was spent but the try.
var errWrong = errors.New("the code does not fit")

// answer serves POST /signin/factor.
func (f *flow) answer(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	p, ok := f.form(w, r)
	if !ok {
		return
	}
	kind, code := mfa.Kind(r.PostForm.Get("way")), r.PostForm.Get("code")
	if err := f.guess(ctx, r, p, false); err != nil {
		f.fail(w, r, p.at(), err)
		return
	}
	var landed landing
	err := f.DB.Write(ctx, p.org, func(tx *store.Tx) error {
		methods, err := f.judge(ctx, tx, p, kind, code)
		if err != nil {
			return err
		}
		landed, err = f.shown(ctx, tx, r, p, kind, methods)
		return err
	})
	if errors.Is(err, errWrong) {
		if err := f.wrongCode(ctx, r, p, kind); err != nil {
			f.fail(w, r, p.at(), err)
			return
		}
		f.showFactor(w, r, p, http.StatusUnprocessableEntity, func(v *factorView) {
			v.current, v.sent = kind, kind == mfa.Mail || kind == mfa.SMS
			v.wrong = "This code does not fit. Check it, or ask for a new one: a code works once."
		})
		return
	}
	if f.insteadOfCode(w, r, p, kind, false, err) {
		return
	}
	f.complete(w, r, p, landed, err)
}

// insteadOfCode answers a code that is over, or one that is not sent, on the page where another one is asked for and the other ways
// stand: somebody whose message came late is not before a closed door. It says false of every other error.
func (f *flow) insteadOfCode(w http.ResponseWriter, r *http.Request, p pending, kind mfa.Kind, sent bool, err error) bool {
	if err == nil || kind != mfa.Mail && kind != mfa.SMS {
		return false
	}
	why := f.codeOver(r, p, err)
	if why == nil {
		return false
	}
	f.showFactor(w, r, p, wordsOf[why.code].status, func(v *factorView) {
		v.current, v.sent, v.code, v.notice = kind, sent, why.code, why.said
	})
	return true
}

// codeOver is a refusal about a code that was sent or is to be sent, with what the page says of it, once its event is kept; nil is
// another error.
func (f *flow) codeOver(r *http.Request, p pending, err error) *refusal {
	why := refusalOf(err)
	switch why.code {
	case CodeChallenge:
		why.said = "This code is over: it was used, more than ten minutes have passed, or too many others were tried. Ask for another one."
	case CodeTooMany, CodeNoAddress:
		why.said = why.detail
	default:
		return nil
	}
	if err := f.recordRefusal(context.WithoutCancel(r.Context()), r, p.at(), why); err != nil {
		f.Log.ErrorContext(r.Context(), "refused code not recorded", "organization", p.org, "code", why.code, "error", err)
	}
	return why
}

// slow says what has become of a code that was sent, if whoever carries it has not taken it: the person then does not wait for
// nothing. Why it was not taken is for the administrators, who see the delivery.
func (f *flow) slow(ctx context.Context, p pending, kind mfa.Kind, sent id.Delivery) string {
	if sent == "" || kind != mfa.SMS && kind != mfa.Mail {
		return ""
	}
	taken, tried := false, false
	for limit := time.Now().Add(f.Patience); ; {
		err := f.DB.Read(ctx, p.org, func(tx *store.Tx) (err error) {
			taken, tried, err = tx.CodeTaken(ctx, sent)
			return err
		})
		if err != nil || taken {
			return ""
		}
		if tried || time.Now().After(limit) {
			break
		}
		select {
		case <-ctx.Done():
			return ""
		case <-time.After(50 * time.Millisecond):
		}
	}
	what := "text message"
	if kind == mfa.Mail {
		what = "letter"
	}
	if tried {
		return "The " + what + " could not be handed over: whoever carries it does not answer, or refused it. It is tried again by itself while the code is good. If none comes, choose another way."
	}
	return "The " + what + " has not been handed over yet. That can take a minute; if none comes, choose another way."
}

// complete ends a request that has shown a factor.
func (f *flow) complete(w http.ResponseWriter, r *http.Request, p pending, landed landing, err error) {
	if err == nil {
		if err = f.guess(r.Context(), r, p, true); err == nil {
			landed, err = f.onward(r.Context(), p.attempt, p.hints, landed)
		}
	}
	f.finish(w, r, p.at(), landed, err)
}

// shown takes a factor that was shown, and goes on from there.
func (f *flow) shown(ctx context.Context, tx *store.Tx, r *http.Request, p pending, kind mfa.Kind, methods []string) (landing, error) {
	next := p.proof
	next.AMR, next.AuthTime, next.Again = mfa.Join(next.AMR, methods), tx.Now(), false
	if kind == mfa.Recovery {
		left, err := tx.RecoveryCodes(ctx, next.User)
		if err != nil {
			return landing{}, err
		}
		tx.Record(ctx, audit.Event{
			Actor: f.person(r, p), Action: "recovery-code.used", TargetKind: "user", TargetID: string(next.User), TargetName: next.Name,
			User: next.User, After: encode(map[string]int64{"left": left}),
		})
		if err := f.notice(ctx, tx, r, next.User, "A recovery code of yours was used."); err != nil {
			return landing{}, err
		}
	}
	return f.pass(ctx, tx, r, p.attempt, p.hints, next)
}

// judge compares a code and spends it.
func (f *flow) judge(ctx context.Context, tx *store.Tx, p pending, kind mfa.Kind, code string) ([]string, error) {
	switch kind {
	case mfa.TOTP:
		factors, err := tx.Factors(ctx, p.proof.User)
		if err != nil {
			return nil, err
		}
		for _, own := range factors {
			if own.Kind != mfa.TOTP {
				continue
			}
			address, err := f.DB.Keys.Open(store.FactorPlace(own.ID), own.Secret)
			if err != nil {
				return nil, err
			}
			step := mfa.TOTPStep(string(address), code, tx.Now())
			if step == 0 {
				continue
			}
			if fresh, err := tx.UseFactor(ctx, own.ID, step); err != nil || fresh {
				return kind.Methods(), err
			}
		}
	case mfa.Recovery:
		if form := mfa.RecoveryForm(code); form != "" {
			used, err := tx.UseRecoveryCode(ctx, p.proof.User, f.DB.Keys.Hashes(recoveryText(p.proof.User, form)))
			if err != nil || used {
				return kind.Methods(), err
			}
		}
	case mfa.Mail, mfa.SMS:
		name := codeName(p.attempt.ID, kind)
		c, err := tx.TryChallenge(ctx, name, p.attempt.Browser, askedCode+string(kind), mfa.Tries)
		if err != nil {
			return nil, err
		}
		if f.DB.Keys.Matches(codeText(name, mfa.Digits(code)), c.Secret) {
			tx.DropChallenge(ctx, name)
			if own, err := f.ownOf(ctx, tx, p.proof.User, kind); err == nil {
				tx.TouchFactor(ctx, own.ID)
			}
			return kind.Methods(), nil
		}
	}
	return nil, errWrong
}

// recoveryText and codeText are what is hashed: bound to whom and what it is for, so that a hash copied to another row fits nothing.
func recoveryText(user id.User, form string) string { return "recovery/" + string(user) + "/" + form }

func codeText(challenge, code string) string { return "code/" + challenge + "/" + code }

func codeName(attempt id.Attempt, kind mfa.Kind) string { return string(attempt) + "/" + string(kind) }

func (f *flow) ownOf(ctx context.Context, tx *store.Tx, user id.User, kind mfa.Kind) (store.Factor, error) {
	factors, err := tx.Factors(ctx, user)
	if err != nil {
		return store.Factor{}, err
	}
	for _, own := range factors {
		if own.Kind == kind {
			return own, nil
		}
	}
	return store.Factor{}, fault.New(fault.NotFound, "This way to prove who you are is no longer there.")
}

// wrongCode keeps the event of an answer that did not fit, and the try at a code that was sent, which the refused transaction lost.
func (f *flow) wrongCode(ctx context.Context, r *http.Request, p pending, kind mfa.Kind) error {
	return f.DB.Write(ctx, p.org, func(tx *store.Tx) error {
		if kind == mfa.Mail || kind == mfa.SMS {
			_, err := tx.TryChallenge(ctx, codeName(p.attempt.ID, kind), p.attempt.Browser, askedCode+string(kind), mfa.Tries)
			if err != nil && fault.KindOf(err) != fault.Gone {
				return err
			}
		}
		tx.Record(ctx, audit.Event{
			Actor: f.person(r, p), Action: "factor.refused", TargetKind: "factor", TargetName: string(kind), User: p.proof.User,
			Outcome: audit.Refused, Code: "wrong-code",
		})
		return nil
	})
}

// guess counts a try at a factor before it is judged; done forgets the tries that came before a success.
func (f *flow) guess(ctx context.Context, r *http.Request, p pending, done bool) error {
	ip, _ := f.From(r)
	here, all := "factor/"+string(p.org)+"/"+string(p.proof.User)+"/"+store.Network(ip), "factor/"+string(p.org)+"/"+string(p.proof.User)
	if done {
		return f.DB.Forget(ctx, here)
	}
	tries, err := f.DB.Hit(ctx, here, guessWindow)
	if err != nil {
		return err
	}
	if tries > guessesPerHere {
		return tooManyCodes()
	}
	tries, err = f.DB.Hit(ctx, all, guessWindow)
	if err != nil || tries <= guessesPerUser {
		return err
	}
	var known bool
	err = f.DB.Read(ctx, p.org, func(tx *store.Tx) error {
		u, err := tx.User(ctx, p.proof.User)
		known = err == nil && u.LastLoginIP == ip
		return err
	})
	if err == nil && !known {
		err = tooManyCodes()
	}
	return err
}

func tooManyCodes() error {
	return fault.New(fault.TooMany, "Too many codes were tried. Wait a quarter of an hour, or use a passkey.").WithCode(string(CodeTooMany))
}

// person is the actor of a sign-in that has proved who it is of.
func (f *flow) person(r *http.Request, p pending) audit.Actor {
	a := f.actor(r, "")
	a.Kind, a.ID, a.Name, a.Organization, a.AMR = audit.ActorUser, string(p.proof.User), p.proof.Name, p.org, p.proof.AMR
	return a
}

// sendCode serves POST /signin/factor/send.
func (f *flow) sendCode(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	p, ok := f.form(w, r)
	if !ok {
		return
	}
	kind := mfa.Kind(r.PostForm.Get("way"))
	if err := f.mayCode(ctx, p); err != nil {
		if !f.insteadOfCode(w, r, p, kind, true, err) {
			f.fail(w, r, p.at(), err)
		}
		return
	}
	var sent id.Delivery
	err := f.DB.Write(ctx, p.org, func(tx *store.Tx) error {
		own, err := f.ownOf(ctx, tx, p.proof.User, kind)
		if err != nil {
			return err
		}
		to, err := f.DB.Keys.Open(store.FactorPlace(own.ID), own.Secret)
		if err != nil {
			return err
		}
		sent, err = f.postCode(ctx, tx, p, kind, askedCode+string(kind), string(to))
		return err
	})
	if f.insteadOfCode(w, r, p, kind, false, err) {
		return
	}
	if err != nil {
		f.fail(w, r, p.at(), err)
		return
	}
	q := url.Values{"attempt": {string(p.attempt.ID)}, "way": {string(kind)}, "sent": {string(sent)}}
	http.Redirect(w, r, "/signin/factor?"+q.Encode(), http.StatusSeeOther)
}

// mayCode bounds how many codes a person is sent: a flood is a nuisance and, by telephone, a bill.
func (f *flow) mayCode(ctx context.Context, p pending) error {
	n, err := f.DB.Hit(ctx, "factor/sent/"+string(p.org)+"/"+string(p.proof.User), guessWindow)
	if err == nil && n > codesPerUser {
		err = fault.New(fault.TooMany, "Several codes were sent to you just now. Use the last one, or wait a quarter of an hour.").WithCode(string(CodeTooMany))
	}
	return err
}

// postCode makes a code and posts it in the same transaction. One that was sent before for the same is void.
func (f *flow) postCode(ctx context.Context, tx *store.Tx, p pending, kind mfa.Kind, asked, to string) (id.Delivery, error) {
	name, code := codeName(p.attempt.ID, kind), mfa.NewCode(kind)
	tx.KeepChallenge(ctx, store.Challenge{
		ID: name, Browser: p.attempt.Browser, Kind: asked, Secret: f.DB.Keys.Hash(codeText(name, code)), Expires: tx.Now().Add(mfa.SentFor),
	})
	if kind == mfa.SMS {
		return tx.PostMessage(ctx, to, code)
	}
	return tx.PostLetter(ctx, mail.Letter{
		Template: mail.SignInCode, To: mail.Address{Name: p.proof.Name, Email: to},
		Data: map[string]any{"Code": code, "Minutes": int(mfa.SentFor / time.Minute)},
	})
}

// notice tells a person by mail what happened to the security of their account, where an address is known.
func (f *flow) notice(ctx context.Context, tx *store.Tx, r *http.Request, user id.User, what string) error {
	ip, _ := f.From(r)
	return tx.PostSecurityNotice(ctx, user, what, ip, plain(r.UserAgent()), f.URL)
}

// passkey serves POST /signin/passkey.
func (f *flow) passkey(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		page.Refuse(w, r, f.Log, fault.New(fault.TooLarge, "This form is too large."))
		return
	}
	if !f.allow(w, r, "address", addressesPerMinute) {
		return
	}
	attempt, err := f.attempt(ctx, id.Attempt(r.PostForm.Get("attempt")), f.cookies.Browser(r))
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	at := stop{attempt: attempt.ID, organization: attempt.Organization}
	org, landed, hints, err := f.usePasskey(ctx, r, attempt, r.PostForm.Get("challenge"), r.PostForm.Get("answer"), r.PostForm.Get("asked"))
	if org != "" {
		at.organization = org
	}
	if err == nil {
		landed, err = f.onward(ctx, attempt, hints, landed)
	}
	f.finish(w, r, at, landed, err)
}

func (f *flow) usePasskey(
	ctx context.Context, r *http.Request, attempt session.Attempt, challenge, answer, asked string,
) (org id.Organization, landed landing, hints session.Hints, err error) {
	if hints, err = attempt.Hints(); err != nil {
		return org, landed, hints, err
	}
	if f.passkeys == nil {
		return org, landed, hints, fault.New(fault.Unsupported, "This installation's address allows no passkeys.")
	}
	if asked != askedPerson {
		asked = askedAnyone
	}
	credential, err := mfa.CredentialOf(answer)
	if err != nil {
		return org, landed, hints, err
	}
	// The question is spent by every answer, right or wrong (WebAuthn section 13.4.3: a challenge is good for one ceremony).
	var c store.Challenge
	var named store.Factor
	err = f.DB.System().Write(ctx, func(tx *store.SystemTx) (err error) {
		c, err = tx.TakeChallenge(ctx, challenge, attempt.Browser, asked+"/"+string(attempt.ID))
		return err
	})
	if err != nil {
		return org, landed, hints, err
	}
	err = f.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		org, named, err = tx.FactorOfCredential(ctx, credential)
		return err
	})
	if err != nil {
		return "", landed, hints, err
	}
	if err := f.serves(ctx, org, hints.Organization); err != nil {
		return hints.Organization, landed, hints, err
	}
	state, err := f.DB.Keys.Open(store.ChallengePlace(c.ID), c.Secret)
	if err != nil {
		return org, landed, hints, err
	}
	err = f.DB.Write(ctx, org, func(tx *store.Tx) error {
		// Read again: two answers with one count cannot both be right, which keeping it says.
		own, err := tx.Factor(ctx, named.User, named.ID)
		if err != nil {
			return err
		}
		record, err := f.DB.Keys.Open(store.FactorPlace(own.ID), own.Secret)
		if err != nil {
			return err
		}
		all := []string{string(record)}
		p := proof{User: own.User, How: string(mfa.Passkey)}
		if asked == askedPerson {
			held, sealed, err := tx.ProvedAttempt(ctx, attempt.ID, attempt.Browser)
			if err != nil {
				return err
			}
			if held != org || sealed == "" {
				return refuse(CodeOtherPerson, "")
			}
			if p, err = f.open(attempt.ID, sealed); err != nil {
				return err
			}
			if p.User != own.User {
				return refuse(CodeOtherPerson, "")
			}
			// What was asked for names all of the person's passkeys, so all of them are judged against.
			factors, err := tx.Factors(ctx, own.User)
			if err != nil {
				return err
			}
			all = holderOf(p, "", factors, f.DB.Keys).Records
		} else if p.Name, err = f.entering(ctx, tx, own.User); err != nil {
			return err
		}
		use, err := f.passkeys.Answered(mfa.Holder{ID: string(own.User), Name: p.Name, DisplayName: p.Name, Records: all}, string(state), answer)
		if err != nil {
			return err
		}
		if use.Credential != own.Credential {
			return refuse(CodeOtherPerson, "")
		}
		kept, err := tx.UseCredential(ctx, own.ID, own.Counter, use.Counter, f.DB.Keys.Seal(store.FactorPlace(own.ID), []byte(use.Record)))
		if err != nil {
			return err
		}
		if !kept {
			return refuse(CodeAttempt, "the passkey was used elsewhere in this moment")
		}
		p.AMR, p.AuthTime, p.Again = mfa.Join(p.AMR, use.Methods), tx.Now(), false
		landed, err = f.pass(ctx, tx, r, attempt, hints, p)
		return err
	})
	return org, landed, hints, err
}

// entering says who comes in by a factor of their own, or why they may not.
func (f *flow) entering(ctx context.Context, tx *store.Tx, user id.User) (string, error) {
	facts, u, err := tx.LocalFacts(ctx, user)
	if err != nil {
		return "", err
	}
	if code := connection.Local(connection.Passkey, facts); code != "" {
		return "", refuse(code, "")
	}
	return u.Name(), nil
}

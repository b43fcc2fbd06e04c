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
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Enrolling happens in two places with the same pages: in the middle of a sign-in that demands a factor of somebody who has none, and
// from a person's account, after the session was proved anew. Both end in a session with a new handle.

// enrolView is a page that enrols a factor.
type enrolView struct {
	attempt      id.Attempt
	kind         mfa.Kind
	organization string
	person       string
	inside       bool // from the person's account, rather than on the way in
	back         string
	passkey      mfa.Ceremony
	challenge    string
	secret       string // of an app, as one types it
	address      string // of an app, as a link that opens one on the same device
	to           string // where a code goes, masked
	value        string // what was typed
	sent         bool   // a code to somebody's address, or the form that makes recovery codes
	slow         string // as on the page that asks for a factor
	notice       string
	code         connection.Code
	codes        []string // recovery codes, once
	wrong        string
}

// download is the recovery codes as a file. It is made of the page itself: nothing of it is kept here.
func (v enrolView) download() string {
	text := "Recovery codes of " + v.person + " for " + v.organization + ", each good once:\n\n" + strings.Join(v.codes, "\n") + "\n"
	return "data:text/plain;charset=utf-8," + url.PathEscape(text)
}

// mayEnrol says whether a kind may be enrolled at this point of a sign-in.
func (f *flow) mayEnrol(ctx context.Context, tx *store.Tx, p pending, kind mfa.Kind) error {
	verdict, err := f.verdict(ctx, tx, p.hints, p.proof)
	switch {
	case err != nil:
		return err
	case p.proof.Again:
	case verdict.Step == mfa.Enrol && slices.Contains(verdict.Choices, kind):
		return nil
	case verdict.Step == mfa.Enter && mfa.Kind(p.hints.Enrol) == kind:
		return nil
	}
	return refuse(CodeAttempt, "nothing may be enrolled at this point")
}

// enrol serves GET /signin/enrol.
func (f *flow) enrol(w http.ResponseWriter, r *http.Request) {
	p, err := f.pending(r.Context(), r, r.URL.Query().Get("attempt"))
	if err != nil {
		f.fail(w, r, stop{recorded: true}, err)
		return
	}
	kind, sent := mfa.Kind(r.URL.Query().Get("kind")), id.Delivery(r.URL.Query().Get("sent"))
	slow := f.slow(r.Context(), p, kind, sent)
	f.showEnrol(w, r, p, kind, http.StatusOK, func(v *enrolView) { v.sent, v.slow = sent != "", slow })
}

func (f *flow) showEnrol(w http.ResponseWriter, r *http.Request, p pending, kind mfa.Kind, status int, complete func(*enrolView)) {
	ctx := r.Context()
	v := enrolView{attempt: p.attempt.ID, kind: kind, person: p.proof.Name, inside: p.hints.Enrol != "", back: p.hints.ReturnTo}
	err := f.DB.Write(ctx, p.org, func(tx *store.Tx) error {
		if err := f.mayEnrol(ctx, tx, p, kind); err != nil {
			return err
		}
		self, err := tx.Self(ctx)
		if err != nil {
			return err
		}
		v.organization = self.Name
		switch kind {
		case mfa.Passkey:
			if f.passkeys == nil {
				return nil // the page says so
			}
			factors, err := tx.Factors(ctx, p.proof.User)
			if err != nil {
				return err
			}
			if v.passkey, err = f.passkeys.Create(holderOf(p.proof, self.Name, factors, f.DB.Keys)); err != nil {
				return err
			}
			v.challenge = f.askPasskey(ctx, tx, p.attempt, askedCreate, v.passkey)
		case mfa.TOTP:
			own, err := f.begun(ctx, tx, p, self.Name)
			if err != nil {
				return err
			}
			address, err := f.DB.Keys.Open(store.FactorPlace(own.ID), own.Secret)
			if err != nil {
				return err
			}
			v.address, v.secret = string(address), mfa.SecretOf(string(address))
		case mfa.Mail:
			u, err := tx.User(ctx, p.proof.User)
			if err != nil {
				return err
			}
			if u.Email == "" {
				return fault.New(fault.Conflict, "Your account has no email address, so no code can be sent to it.").WithCode(string(CodeNoAddress))
			}
			v.to = mfa.Masked(u.Email)
		case mfa.SMS:
			if self.Settings.Messages.URL == "" {
				return fault.New(fault.Unsupported, "%s has not set up how text messages are sent.", self.Name).WithCode(string(CodeNoAddress))
			}
			if own, err := tx.UnfinishedFactor(ctx, p.proof.User, mfa.SMS); err == nil {
				v.to = own.Name
			} else if fault.KindOf(err) != fault.NotFound {
				return err
			}
		case mfa.Recovery:
		}
		return nil
	})
	if err != nil {
		f.fail(w, r, p.at(), err)
		return
	}
	complete(&v)
	f.render(w, r, status, enrolPage(v))
}

// begun gives the app that a person is enrolling: the one a page showed already, or a new one.
func (f *flow) begun(ctx context.Context, tx *store.Tx, p pending, organization string) (store.Factor, error) {
	own, err := tx.UnfinishedFactor(ctx, p.proof.User, mfa.TOTP)
	if err == nil && tx.Now().Sub(own.Created) < 15*time.Minute || err != nil && fault.KindOf(err) != fault.NotFound {
		return own, err
	}
	_, address, err := mfa.NewTOTP(organization, p.proof.Name)
	if err != nil {
		return own, err
	}
	own = store.Factor{ID: id.New[id.Factor](), User: p.proof.User, Kind: mfa.TOTP, Name: "Authenticator app"}
	own.Secret = f.DB.Keys.Seal(store.FactorPlace(own.ID), []byte(address))
	return own, tx.AddFactor(ctx, own)
}

// qr serves the picture of an app's address, from here: the secret goes to nobody else.
func (f *flow) qr(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	p, err := f.pending(ctx, r, r.URL.Query().Get("attempt"))
	var address []byte
	if err == nil {
		err = f.DB.Read(ctx, p.org, func(tx *store.Tx) error {
			own, err := tx.UnfinishedFactor(ctx, p.proof.User, mfa.TOTP)
			if err != nil {
				return err
			}
			address, err = f.DB.Keys.Open(store.FactorPlace(own.ID), own.Secret)
			return err
		})
	}
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "no-store")
	if err := mfa.WriteQR(w, string(address)); err != nil {
		f.Log.ErrorContext(ctx, "picture not drawn", "error", err)
	}
}

// enrolled serves POST /signin/enrol.
func (f *flow) enrolled(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	p, ok := f.form(w, r)
	if !ok {
		return
	}
	kind, form := mfa.Kind(r.PostForm.Get("kind")), r.PostForm
	if form.Get("code") != "" {
		if err := f.guess(ctx, r, p, false); err != nil {
			f.fail(w, r, p.at(), err)
			return
		}
	}
	var landed landing
	var codes []string
	var sent id.Delivery
	err := f.DB.Write(ctx, p.org, func(tx *store.Tx) (err error) {
		codes, sent = nil, ""
		if err := f.mayEnrol(ctx, tx, p, kind); err != nil {
			return err
		}
		next := p.proof
		var own store.Factor
		switch {
		case kind == mfa.Recovery && form.Get("kept") == "":
			first, err := tx.SentFirst(ctx, form.Get("once"))
			switch {
			case err != nil:
				return err
			case !first:
				return errSentTwice
			}
			codes, err = f.newCodes(ctx, tx, r, p)
			return err
		case kind == mfa.Recovery:
			next.Enrolled = true
			landed, err = f.pass(ctx, tx, r, p.attempt, p.hints, next)
			return err
		case kind == mfa.Passkey:
			own, next.AMR, err = f.enrolPasskey(ctx, tx, p, form)
		case kind == mfa.TOTP:
			own, err = f.enrolApp(ctx, tx, p, form.Get("code"))
			next.AMR = mfa.Join(next.AMR, kind.Methods())
		case form.Get("code") == "":
			sent, err = f.proveTo(ctx, tx, p, kind, form.Get("number"))
			return err
		default:
			own, err = f.enrolSent(ctx, tx, p, kind, form.Get("code"))
			next.AMR = mfa.Join(next.AMR, kind.Methods())
		}
		if err != nil {
			return err
		}
		tx.RecordFactor(ctx, f.person(r, p), "factor.added", p.proof.User, own, "")
		if err := f.notice(ctx, tx, r, p.proof.User, added[kind]); err != nil {
			return err
		}
		next.Enrolled, next.AuthTime = true, tx.Now()
		landed, err = f.pass(ctx, tx, r, p.attempt, p.hints, next)
		return err
	})
	var bad *fault.Fault
	switch {
	case errors.Is(err, errSentTwice):
		f.showEnrol(w, r, p, kind, http.StatusConflict, func(v *enrolView) { v.sent = true })
		return
	case errors.Is(err, errWrong) && kind == mfa.TOTP:
		f.showEnrol(w, r, p, kind, http.StatusUnprocessableEntity, func(v *enrolView) {
			v.wrong = "This code does not fit. Wait for the next one and try again."
		})
		return
	case errors.Is(err, errWrong):
		if err := f.wrongProof(ctx, p, kind); err != nil {
			f.fail(w, r, p.at(), err)
			return
		}
		f.showEnrol(w, r, p, kind, http.StatusUnprocessableEntity, func(v *enrolView) {
			v.sent, v.wrong = true, "This code does not fit. Check it, or ask for a new one: a code works once."
		})
		return
	case errors.As(err, &bad) && bad.Kind == fault.Invalid:
		f.showEnrol(w, r, p, kind, http.StatusUnprocessableEntity, func(v *enrolView) {
			v.wrong, v.value = bad.Message, form.Get("number")
		})
		return
	case err == nil && codes != nil:
		f.showEnrol(w, r, p, kind, http.StatusOK, func(v *enrolView) { v.codes = codes })
		return
	case err == nil && sent != "":
		q := url.Values{"attempt": {string(p.attempt.ID)}, "kind": {string(kind)}, "sent": {string(sent)}}
		http.Redirect(w, r, "/signin/enrol?"+q.Encode(), http.StatusSeeOther)
		return
	case err != nil && (kind == mfa.Mail || kind == mfa.SMS):
		if why := f.codeOver(r, p, err); why != nil {
			f.showEnrol(w, r, p, kind, wordsOf[why.code].status, func(v *enrolView) {
				// Of several codes that went out just now the last one still serves.
				v.sent, v.code, v.notice = why.code == CodeTooMany, why.code, why.said
			})
			return
		}
	}
	f.complete(w, r, p, landed, err)
}

// errSentTwice is a form that was sent before: what it made is not made again.
var errSentTwice = errors.New("the form was sent before")

// added says to the person what was added.
var added = map[mfa.Kind]string{
	mfa.Passkey: "A passkey was added to your account.", mfa.TOTP: "An authenticator app was added to your account.",
	mfa.Mail: "Codes by mail were switched on for your account.", mfa.SMS: "Codes by text message were switched on for your account.",
	mfa.Recovery: "New recovery codes were made for your account.",
}

func (f *flow) enrolPasskey(ctx context.Context, tx *store.Tx, p pending, form url.Values) (store.Factor, []string, error) {
	own := store.Factor{ID: id.New[id.Factor](), User: p.proof.User, Kind: mfa.Passkey, Name: plain(form.Get("name")), Confirmed: tx.Now()}
	if own.Name == "" {
		own.Name = "Passkey of " + tx.Now().UTC().Format("2 January 2006")
	}
	if f.passkeys == nil {
		return own, nil, fault.New(fault.Unsupported, "This installation's address allows no passkeys.")
	}
	c, err := tx.TakeChallenge(ctx, form.Get("challenge"), p.attempt.Browser, askedCreate+"/"+string(p.attempt.ID))
	if err != nil {
		return own, nil, err
	}
	state, err := f.DB.Keys.Open(store.ChallengePlace(c.ID), c.Secret)
	if err != nil {
		return own, nil, err
	}
	factors, err := tx.Factors(ctx, p.proof.User)
	if err != nil {
		return own, nil, err
	}
	var record string
	own.Credential, record, err = f.passkeys.Created(holderOf(p.proof, "", factors, f.DB.Keys), string(state), form.Get("answer"))
	if err != nil {
		return own, nil, err
	}
	own.Secret = f.DB.Keys.Seal(store.FactorPlace(own.ID), []byte(record))
	return own, mfa.Join(p.proof.AMR, mfa.MethodsOf(record)), tx.AddFactor(ctx, own)
}

func (f *flow) enrolApp(ctx context.Context, tx *store.Tx, p pending, code string) (store.Factor, error) {
	own, err := tx.UnfinishedFactor(ctx, p.proof.User, mfa.TOTP)
	if err != nil {
		return own, err
	}
	address, err := f.DB.Keys.Open(store.FactorPlace(own.ID), own.Secret)
	if err != nil {
		return own, err
	}
	step := mfa.TOTPStep(string(address), code, tx.Now())
	if step == 0 {
		return own, errWrong
	}
	return own, tx.ConfirmFactor(ctx, own.ID, step)
}

// proveTo sends a code to an address or a number that is being enrolled: it counts once its owner has shown that it arrives.
func (f *flow) proveTo(ctx context.Context, tx *store.Tx, p pending, kind mfa.Kind, number string) (id.Delivery, error) {
	if err := f.codesLeft(ctx, tx, p); err != nil {
		return "", err
	}
	own := store.Factor{ID: id.New[id.Factor](), User: p.proof.User, Kind: kind}
	to := ""
	switch kind {
	case mfa.Mail:
		u, err := tx.User(ctx, p.proof.User)
		if err != nil {
			return "", err
		}
		to = u.Email
	case mfa.SMS:
		if to = mfa.Number(number); to == "" {
			return "", fault.New(fault.Invalid, "This is not a telephone number. It begins with + and the country, as in +49 170 1234567.")
		}
	default:
		return "", refuse(CodeAttempt, "nothing is sent for this kind")
	}
	own.Name, own.Secret = mfa.Masked(to), f.DB.Keys.Seal(store.FactorPlace(own.ID), []byte(to))
	if err := tx.AddFactor(ctx, own); err != nil {
		return "", err
	}
	return f.postCode(ctx, tx, p, kind, askedProof+"/"+string(kind), to)
}

// codesLeft bounds codes within this transaction; mayCode is the same for codes to what is enrolled already.
func (f *flow) codesLeft(ctx context.Context, tx *store.Tx, p pending) error {
	n, err := tx.HitHere(ctx, "factor/sent/"+string(p.org)+"/"+string(p.proof.User), guessWindow)
	if err == nil && n > codesPerUser {
		err = fault.New(fault.TooMany, "Several codes were sent to you just now. Use the last one, or wait a quarter of an hour.").WithCode(string(CodeTooMany))
	}
	return err
}

func (f *flow) enrolSent(ctx context.Context, tx *store.Tx, p pending, kind mfa.Kind, code string) (store.Factor, error) {
	name := codeName(p.attempt.ID, kind)
	c, err := tx.TryChallenge(ctx, name, p.attempt.Browser, askedProof+"/"+string(kind), mfa.Tries)
	if err != nil {
		return store.Factor{}, err
	}
	if !f.DB.Keys.Matches(codeText(name, mfa.Digits(code)), c.Secret) {
		return store.Factor{}, errWrong
	}
	own, err := tx.UnfinishedFactor(ctx, p.proof.User, kind)
	if err != nil {
		return own, err
	}
	tx.DropChallenge(ctx, name)
	// One address and one number: the new one takes the place of the old.
	if old, err := f.ownOf(ctx, tx, p.proof.User, kind); err == nil {
		if err := tx.RemoveFactor(ctx, p.proof.User, old.ID); err != nil {
			return own, err
		}
	} else if fault.KindOf(err) != fault.NotFound {
		return own, err
	}
	return own, tx.ConfirmFactor(ctx, own.ID, 0)
}

// wrongProof keeps the try that the refused transaction lost.
func (f *flow) wrongProof(ctx context.Context, p pending, kind mfa.Kind) error {
	return f.DB.Write(ctx, p.org, func(tx *store.Tx) error {
		_, err := tx.TryChallenge(ctx, codeName(p.attempt.ID, kind), p.attempt.Browser, askedProof+"/"+string(kind), mfa.Tries)
		if fault.KindOf(err) == fault.Gone {
			return nil
		}
		return err
	})
}

// newCodes makes recovery codes in place of those there were.
func (f *flow) newCodes(ctx context.Context, tx *store.Tx, r *http.Request, p pending) ([]string, error) {
	codes := mfa.NewRecoveryCodes()
	hashes := make([]string, len(codes))
	for i, c := range codes {
		hashes[i] = f.DB.Keys.Hash(recoveryText(p.proof.User, mfa.RecoveryForm(c)))
	}
	tx.KeepRecoveryCodes(ctx, p.proof.User, hashes)
	tx.Record(ctx, audit.Event{
		Actor: f.person(r, p), Action: "recovery-codes.made", TargetKind: "user", TargetID: string(p.proof.User), TargetName: p.proof.Name,
		User: p.proof.User,
	})
	return codes, f.notice(ctx, tx, r, p.proof.User, added[mfa.Recovery])
}

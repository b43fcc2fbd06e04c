package mfa

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Passkeys judges the ceremonies of WebAuthn (Level 3) for one installation. The relying party is the public URL's host, and the only
// origin is that URL: a page of a sibling host, or of a phisher, signs for another one and is refused (section 13.4.9).
type Passkeys struct{ w *webauthn.WebAuthn }

// NewPasskeys makes one for a public base URL. Browsers know no passkeys for bare addresses: there it gives nil, and a page says so.
func NewPasskeys(publicURL string) (*Passkeys, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return nil, err
	}
	if protocol.ValidateRPID(u.Hostname()) != nil || u.Scheme == "http" && u.Hostname() != "localhost" {
		return nil, nil
	}
	resident := true
	w, err := webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Vestibule", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			// Verification is required of both ceremonies: it is what makes one passkey two factors.
			UserVerification: protocol.VerificationRequired, ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: &resident,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys for %s: %w", publicURL, err)
	}
	return &Passkeys{w}, nil
}

// Holder is whose passkeys a ceremony is about. ID is the user's id: it says nothing about the person (section 14.6.1).
type Holder struct {
	ID          string
	Name        string // as the browser shows it beside the passkey
	DisplayName string
	Records     []string // of their passkeys, as kept
}

type holder struct {
	Holder
	credentials []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.ID) }
func (h holder) WebAuthnName() string                       { return h.Name }
func (h holder) WebAuthnDisplayName() string                { return h.DisplayName }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.credentials }

func (h Holder) read() (holder, error) {
	out := holder{Holder: h}
	for _, r := range h.Records {
		var c webauthn.Credential
		if err := json.Unmarshal([]byte(r), &c); err != nil {
			return out, fmt.Errorf("read a passkey: %w", err)
		}
		out.credentials = append(out.credentials, c)
	}
	return out, nil
}

// Ceremony is a question to a browser: Options go to its page, State stays here until the answer.
type Ceremony struct {
	Options string
	State   string
}

func ceremony(options any, state *webauthn.SessionData, err error) (Ceremony, error) {
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin a passkey's ceremony: %w", err)
	}
	o, err := json.Marshal(options)
	if err != nil {
		return Ceremony{}, err
	}
	s, err := json.Marshal(state)
	return Ceremony{string(o), string(s)}, err
}

// Create asks for a new passkey of a person. Those they have are named, so that one device does not enrol twice.
func (p *Passkeys) Create(of Holder) (Ceremony, error) {
	h, err := of.read()
	if err != nil {
		return Ceremony{}, err
	}
	options, state, err := p.w.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.credentials).CredentialDescriptors()))
	return ceremony(options, state, err)
}

// Created judges the answer and gives the passkey's credential id and its record.
func (p *Passkeys) Created(of Holder, state, answer string) (credential, record string, err error) {
	h, err := of.read()
	if err != nil {
		return "", "", err
	}
	s, err := stateOf(state)
	if err != nil {
		return "", "", err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return "", "", refused(err)
	}
	c, err := p.w.CreateCredential(h, s, parsed)
	if err != nil {
		return "", "", refused(err)
	}
	raw, err := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(c.ID), string(raw), err
}

// Ask asks for one of a person's passkeys.
func (p *Passkeys) Ask(of Holder) (Ceremony, error) {
	h, err := of.read()
	if err != nil {
		return Ceremony{}, err
	}
	options, state, err := p.w.BeginLogin(h)
	return ceremony(options, state, err)
}

// AskAnyone asks for whichever passkey the person in front of the browser has here.
func (p *Passkeys) AskAnyone() (Ceremony, error) {
	options, state, err := p.w.BeginDiscoverableLogin()
	return ceremony(options, state, err)
}

// CredentialOf reads which credential an answer is of, without believing anything else of it.
func CredentialOf(answer string) (credential string, err error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return "", refused(err)
	}
	return base64.RawURLEncoding.EncodeToString(parsed.RawID), nil
}

// Use is a passkey that was used.
type Use struct {
	Credential string
	Record     string // to be kept in place of the one before
	Counter    int64
	Methods    []string
}

// Answered judges an answer to Ask or AskAnyone against the person whose credential it names.
func (p *Passkeys) Answered(of Holder, state, answer string) (Use, error) {
	h, err := of.read()
	if err != nil {
		return Use{}, err
	}
	s, err := stateOf(state)
	if err != nil {
		return Use{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return Use{}, refused(err)
	}
	var c *webauthn.Credential
	if len(s.UserID) == 0 {
		c, err = p.w.ValidateDiscoverableLogin(func([]byte, []byte) (webauthn.User, error) { return h, nil }, s, parsed)
	} else {
		c, err = p.w.ValidateLogin(h, s, parsed)
	}
	switch {
	case err != nil:
		return Use{}, refused(err)
	case c.Authenticator.CloneWarning:
		// Section 6.1.1: a count that does not grow means that two devices hold the key, and only one of them is the person's.
		return Use{}, fault.New(fault.Forbidden,
			"This passkey counted backwards, as a copy of it would. Use another way, remove this passkey and enrol a new one.").WithCode("passkey-copied")
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return Use{}, err
	}
	return Use{
		Credential: base64.RawURLEncoding.EncodeToString(c.ID), Record: string(raw), Counter: int64(c.Authenticator.SignCount),
		Methods: MethodsOf(string(raw)),
	}, nil
}

func stateOf(state string) (s webauthn.SessionData, err error) {
	return s, json.Unmarshal([]byte(state), &s)
}

// refused says that an answer was not believed. Why is for the log.
func refused(err error) error {
	return fault.Wrap(err, fault.Forbidden, "The passkey could not be verified. Try again, or choose another way.").WithCode("passkey-refused")
}

// MethodsOf gives what a passkey proves, from its record: whether it is bound to one device.
func MethodsOf(record string) []string {
	var c webauthn.Credential
	if json.Unmarshal([]byte(record), &c) == nil && c.Flags.BackupEligible {
		return []string{Software, Present, Multiple}
	}
	return []string{Hardware, Present, Multiple}
}

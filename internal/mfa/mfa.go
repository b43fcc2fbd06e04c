// Package mfa decides what a sign-in must still prove. It knows what was shown (as the methods of RFC 8176), what is demanded and
// why, and what the person has to prove it with; from these it says what comes next: in, a challenge, an enrolment, or a closed
// door with the name of who opens it. It decides over facts and touches no store.
//
// Two things are two factors: one authenticator that proves both possession and a person (a passkey with user verification), or
// two methods of different classes (something known, something held, something one is). A sign-in through a connection counts as
// one factor whatever its provider did; what that provider says of a second one counts only where the connection is declared to be
// trusted with it, since otherwise anybody's identity provider could open what the organization wanted closed.
package mfa

import (
	"slices"
	"time"
)

// The methods that we record ourselves, by their names in RFC 8176 section 2. Multiple stands beside the others once two factors
// were shown: it is what the rest of the house asks for.
const (
	Password   = "pwd"
	OneTime    = "otp"  // a code of an authenticator app, of a mail, or a recovery code
	Message    = "sms"  // a code sent to a telephone
	Hardware   = "hwk"  // a passkey that does not leave its device
	Software   = "swk"  // a passkey that its provider carries from device to device
	Present    = "user" // somebody was there
	Multiple   = "mfa"
	Federation = "fed" // not of RFC 8176: a connection vouched; never told to applications
)

// class is what sort of thing a method proves.
var class = map[string]string{
	Password: "known", "pin": "known", "kba": "known", Federation: "known",
	OneTime: "held", Message: "held", Hardware: "held", Software: "held", "sc": "held", "tel": "held", "pop": "held",
	"face": "is", "fpt": "is", "iris": "is", "retina": "is", "vbm": "is",
}

// Two reports whether the methods are two factors together.
func Two(amr []string) bool {
	if slices.Contains(amr, Multiple) {
		return true
	}
	var seen []string
	for _, m := range amr {
		if c := class[m]; c != "" && !slices.Contains(seen, c) {
			seen = append(seen, c)
		}
	}
	return len(seen) > 1
}

// Join gives both lists of methods as one, with Multiple where they are two factors together.
func Join(first, second []string) []string {
	var out []string
	for _, m := range append(slices.Clone(first), second...) {
		if m != "" && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	if Two(out) && !slices.Contains(out, Multiple) {
		out = append(out, Multiple)
	}
	return out
}

// Classed reports whether the methods say anything about a factor.
func Classed(amr []string) bool {
	return slices.ContainsFunc(amr, func(m string) bool { return m == Multiple || class[m] != "" && m != Federation })
}

// Told gives the methods as applications are told them.
func Told(amr []string) []string {
	return slices.DeleteFunc(slices.Clone(amr), func(m string) bool { return m == Federation })
}

// The authentication contexts that applications may ask for and that we answer for ourselves.
const (
	ACRMultiple  = "urn:vestibule:acr:mfa"
	ACRPhishing  = "phr" // OpenID Connect Extended Authentication Profile ACR values: phishing-resistant
	ACRRefeds    = "https://refeds.org/profile/mfa"
	ACRRefedsOne = "https://refeds.org/profile/sfa"
)

// Own reports whether a context is one that we answer for ourselves.
func Own(acr string) bool {
	return slices.Contains([]string{ACRMultiple, ACRPhishing, ACRRefeds, ACRRefedsOne}, acr)
}

// Kind is a sort of factor that a person enrols here.
type Kind string

// The kinds, in the order in which they are offered where the person prefers none.
const (
	Passkey  Kind = "passkey"
	TOTP     Kind = "totp"
	Mail     Kind = "mail"
	SMS      Kind = "sms"
	Recovery Kind = "recovery"
)

// Kinds in the order in which they are offered.
var Kinds = []Kind{Passkey, TOTP, SMS, Mail, Recovery}

// Methods gives what passing a factor of a kind proves. A passkey says itself whether it is bound to one device.
func (k Kind) Methods() []string {
	switch k {
	case Passkey:
		return []string{Hardware, Present, Multiple}
	case SMS:
		return []string{Message}
	case TOTP, Mail, Recovery:
		return []string{OneTime}
	}
	return nil
}

// Demand is why a second factor, or a resistant one, is asked for. Each reason is a sentence for the person.
type Demand struct {
	Multiple []string
	Phishing []string
}

// Nothing reports whether one factor is enough.
func (d Demand) Nothing() bool { return len(d.Multiple) == 0 && len(d.Phishing) == 0 }

// Asked adds what an application's acr_values ask for. Values that are not ours ask nothing of us: acr_values is a wish (OpenID
// Connect Core section 3.1.2.1), and the connection's own values are its own business.
func (d *Demand) Asked(acrValues []string, application string) {
	// In order of preference: the first that we know is what is asked for.
	for _, v := range acrValues {
		switch v {
		case ACRRefedsOne:
			return
		case ACRMultiple, ACRRefeds:
			d.Multiple = append(d.Multiple, application+" asks for a second factor.")
			return
		case ACRPhishing:
			d.Phishing = append(d.Phishing, application+" asks for a passkey.")
			return
		}
	}
}

// resistant reports whether a passkey was used.
func resistant(amr []string) bool {
	return slices.Contains(amr, Hardware) || slices.Contains(amr, Software)
}

// Missing gives the reasons of a demand that the methods do not meet.
func (d Demand) Missing(amr []string) []string {
	var out []string
	if !Two(amr) {
		out = append(out, d.Multiple...)
	}
	if !resistant(amr) {
		out = append(out, d.Phishing...)
	}
	return out
}

// ACR gives the context that a sign-in met, for applications: what the upstream provider said, unless more was shown here.
func ACR(upstream string, amr []string, asked []string) string {
	for _, v := range asked {
		switch {
		case v == ACRPhishing && resistant(amr), (v == ACRMultiple || v == ACRRefeds) && Two(amr), v == ACRRefedsOne:
			return v
		case v == upstream && v != "":
			return v
		}
	}
	if Two(amr) && upstream == "" {
		return ACRMultiple
	}
	return upstream
}

// Facts is what Next looks at.
type Facts struct {
	Shown  []string // amr so far
	Demand Demand
	Has    []Kind // what the person has enrolled and can be asked for now
	May    []Kind // what the person may enrol at this point
}

// Step is what comes next.
type Step int

// The steps.
const (
	Enter Step = iota
	Challenge
	Enrol
	Stuck
)

// Verdict is a step with why, and with what can be chosen there.
type Verdict struct {
	Step    Step
	Why     []string
	Choices []Kind
	Second  bool // any second factor would do, whoever asks for it
}

// Next decides.
func Next(f Facts) Verdict {
	why := f.Demand.Missing(f.Shown)
	if len(why) == 0 {
		return Verdict{Step: Enter}
	}
	serves := func(k Kind) bool { return len(f.Demand.Missing(Join(f.Shown, k.Methods()))) == 0 }
	var can, may []Kind
	for _, k := range Kinds {
		if !serves(k) {
			continue
		}
		if slices.Contains(f.Has, k) {
			can = append(can, k)
		}
		if slices.Contains(f.May, k) && k != Recovery {
			may = append(may, k)
		}
	}
	second := len(f.Demand.Missing(Join(f.Shown, []string{Multiple}))) == 0
	switch {
	case len(can) > 0:
		return Verdict{Challenge, why, can, second}
	case len(f.Has) > 0 && len(f.Demand.Phishing) == 0:
		// Something is enrolled but cannot be asked for at the moment: who has only a first factor must not enrol past it.
		return Verdict{Stuck, why, nil, second}
	case len(may) > 0:
		return Verdict{Enrol, why, may, second}
	}
	return Verdict{Stuck, why, nil, second}
}

// FreshFor is how long an authentication counts as fresh for a sensitive act: long enough to finish what was begun, short enough
// that a browser left open does not carry it out.
const FreshFor = 10 * time.Minute

// Fresh reports whether an authentication at a moment is still fresh.
func Fresh(authTime, now time.Time) bool {
	return !authTime.IsZero() && now.Sub(authTime) <= FreshFor
}

// FreshSession is Fresh for a session. Providers exist that never say when somebody authenticated; the moment at which the person came
// from there is then the best there is, and without it they would stand before a closed door.
func FreshSession(authTime, created, now time.Time) bool {
	if authTime.IsZero() {
		authTime = created
	}
	return Fresh(authTime, now)
}

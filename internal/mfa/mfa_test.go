package mfa_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

	"github.com/vestibule-id/vestibule/internal/mfa"
)

func TestTwo_CountsClassesAndNotMethods(t *testing.T) {
	t.Parallel()
	for methods, want := range map[string]bool{
		"": false, "pwd": false, "fed": false, "otp": false, "pwd fed": false, "otp sms": false, "user": false, "unheard-of": false,
		"pwd otp": true, "fed otp": true, "fed hwk": true, "fpt pin": true, "mfa": true, "hwk user mfa": true,
	} {
		if got := mfa.Two(strings.Fields(methods)); got != want {
			t.Errorf("%q: got %v", methods, got)
		}
	}
}

func TestJoin_SaysWhenItIsTwoAndToldHidesWhatIsOurs(t *testing.T) {
	t.Parallel()
	got := mfa.Join([]string{"fed"}, mfa.TOTP.Methods())
	if diff := cmp.Diff(got, []string{"fed", "otp", "mfa"}); diff != "" {
		t.Errorf("got before want:\n%s", diff)
	}
	if diff := cmp.Diff(mfa.Told(got), []string{"otp", "mfa"}); diff != "" {
		t.Errorf("told; got before want:\n%s", diff)
	}
}

func TestNext_IsNeverADeadEndWithoutAReason(t *testing.T) {
	t.Parallel()
	second := mfa.Demand{Multiple: []string{"The organization asks for a second factor."}}
	resistant := mfa.Demand{Phishing: []string{"The application asks for a passkey."}}
	both := []mfa.Kind{mfa.Passkey, mfa.TOTP}
	for name, c := range map[string]struct {
		facts   mfa.Facts
		step    mfa.Step
		choices []mfa.Kind
	}{
		"nothing demanded":                     {mfa.Facts{Shown: []string{"pwd"}}, mfa.Enter, nil},
		"demanded and shown":                   {mfa.Facts{Shown: []string{"pwd", "otp"}, Demand: second}, mfa.Enter, nil},
		"demanded, an app is there":            {mfa.Facts{Shown: []string{"fed"}, Demand: second, Has: []mfa.Kind{mfa.Recovery, mfa.TOTP}, May: both}, mfa.Challenge, []mfa.Kind{mfa.TOTP, mfa.Recovery}},
		"demanded, nothing is there":           {mfa.Facts{Shown: []string{"fed"}, Demand: second, May: both}, mfa.Enrol, both},
		"demanded, nothing is there or may be": {mfa.Facts{Shown: []string{"fed"}, Demand: second}, mfa.Stuck, nil},
		"an app is no second factor to a code": {mfa.Facts{Shown: []string{"otp"}, Demand: second, Has: []mfa.Kind{mfa.TOTP}, May: both}, mfa.Stuck, nil},
		"a passkey is":                         {mfa.Facts{Shown: []string{"otp"}, Demand: second, Has: []mfa.Kind{mfa.Passkey}}, mfa.Challenge, []mfa.Kind{mfa.Passkey}},
		"a passkey demanded, an app there":     {mfa.Facts{Shown: []string{"fed"}, Demand: resistant, Has: []mfa.Kind{mfa.TOTP}, May: both}, mfa.Enrol, []mfa.Kind{mfa.Passkey}},
		"a passkey demanded and shown":         {mfa.Facts{Shown: []string{"swk", "mfa"}, Demand: resistant}, mfa.Enter, nil},
	} {
		v := mfa.Next(c.facts)
		if v.Step != c.step {
			t.Errorf("%s: got %v, want %v", name, v.Step, c.step)
		}
		if diff := cmp.Diff(v.Choices, c.choices); diff != "" {
			t.Errorf("%s; got before want:\n%s", name, diff)
		}
		if v.Step != mfa.Enter && len(v.Why) == 0 {
			t.Errorf("%s: no reason is given", name)
		}
	}
}

func TestACR_SaysNothingThatWasNotShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		upstream   string
		amr, asked []string
		want       string
	}{
		"nothing asked, nothing shown":      {"", []string{"pwd"}, nil, ""},
		"nothing asked, two shown":          {"", []string{"pwd", "otp", "mfa"}, nil, mfa.ACRMultiple},
		"the provider's word stands":        {"1", []string{"fed"}, nil, "1"},
		"a passkey asked for, none shown":   {"1", []string{"fed", "otp", "mfa"}, []string{mfa.ACRPhishing}, "1"},
		"a passkey asked for and shown":     {"1", []string{"fed", "hwk", "mfa"}, []string{mfa.ACRPhishing}, mfa.ACRPhishing},
		"the second wish is met":            {"", []string{"pwd", "otp", "mfa"}, []string{"loa4", mfa.ACRRefeds}, mfa.ACRRefeds},
		"two factors asked for, one shown":  {"", []string{"pwd"}, []string{mfa.ACRMultiple}, ""},
		"the provider's own value is asked": {"loa2", []string{"fed"}, []string{"loa2"}, "loa2"},
	} {
		if got := mfa.ACR(c.upstream, c.amr, c.asked); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestTOTPStep_TakesTheStepsBesideNowAndNoOther(t *testing.T) {
	t.Parallel()
	secret, address, err := mfa.NewTOTP("Northwind Energy", "ann@northwind.example")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for late, want := range map[time.Duration]bool{
		-90 * time.Second: false, -60 * time.Second: false, -30 * time.Second: true, 0: true, 30 * time.Second: true, 60 * time.Second: false,
	} {
		code, err := totp.GenerateCode(secret, now.Add(late))
		if err != nil {
			t.Fatal(err)
		}
		if got := mfa.TOTPStep(address, code, now) != 0; got != want {
			t.Errorf("%v: got %v", late, got)
		}
	}
	for _, junk := range []string{"", "12345", "1234567", "abcdef", strings.Repeat("0", 1000)} {
		if mfa.TOTPStep(address, junk, now) != 0 {
			t.Errorf("%.10q is taken for a code", junk)
		}
	}
	if mfa.TOTPStep("not an address", "123456", now) != 0 {
		t.Error("a code of nothing")
	}
}

func TestRecoveryCodes_AreUnlikeEachOtherAndTypedHoweverOneLikes(t *testing.T) {
	t.Parallel()
	codes := mfa.NewRecoveryCodes()
	if slices.Sort(codes); len(slices.Compact(codes)) != mfa.RecoveryCount {
		t.Errorf("codes: %v", codes)
	}
	want := mfa.RecoveryForm(codes[0])
	if len(want) != 16 || mfa.RecoveryForm(" "+strings.ToUpper(strings.ReplaceAll(codes[0], "-", " "))) != want {
		t.Errorf("%q as %q", codes[0], want)
	}
}

func TestNumber_TakesWhatPeopleWriteAndNothingElse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"+49 170 1234567": "+491701234567", "0049 (170) 123-4567": "+491701234567", "+1.202.555.0100": "+12025550100",
		"0170 1234567": "", "+49": "", "+49 170 1234567 ext 3": "", "+1234567890123456": "", "": "", "+49170\r\n1234567": "",
	} {
		if got := mfa.Number(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"ann@northwind.example": "a***@northwind.example", "+491701234567": "***567", "x": "***"} {
		if got := mfa.Masked(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestNewCode_HasItsLength(t *testing.T) {
	t.Parallel()
	for range 200 {
		if m, s := mfa.NewCode(mfa.Mail), mfa.NewCode(mfa.SMS); len(m) != 8 || len(s) != 6 || mfa.Digits(m) != m {
			t.Fatalf("%q and %q", m, s)
		}
	}
}

func TestFreshSession_TakesTheBestThereIs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		auth, created time.Time
		want          bool
	}{
		"lately":                   {now.Add(-mfa.FreshFor), now.Add(-time.Hour), true},
		"a while ago":              {now.Add(-mfa.FreshFor - time.Second), now, false},
		"unsaid, come just now":    {time.Time{}, now.Add(-time.Minute), true},
		"unsaid, come a while ago": {time.Time{}, now.Add(-time.Hour), false},
	} {
		if got := mfa.FreshSession(c.auth, c.created, now); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

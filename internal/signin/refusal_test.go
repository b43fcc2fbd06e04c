package signin

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
)

func TestWords_EveryCodeHasThem(t *testing.T) {
	t.Parallel()
	codes := append([]connection.Code{
		CodeAttempt, CodeProvider, CodeUnreachable, CodeDenied, CodeToken, CodeIssuer, CodeUnasked, CodeInternal, CodeWrongPassword,
		CodeOtherPerson, CodeNotFresh, CodeNoFactor, CodeNoAddress, CodeTooMany, CodeChallenge, CodeUnknownKey, CodeRefusedKey, CodeCopiedKey,
		CodeInvitationOver, CodeInvitationOther, CodeInvitationKnown,
	}, connection.Codes...)
	for _, code := range codes {
		w, ok := wordsOf[code]
		if !ok || w.status < 400 || w.title == "" || !strings.HasSuffix(w.said, ".") || !strings.HasSuffix(w.do, ".") {
			t.Errorf("%s: %+v", code, w)
		}
		for _, sentence := range []string{w.title, named(w.said, "Northwind"), named(w.do, "Northwind")} {
			if strings.Contains(sentence, "%") {
				t.Errorf("%s: %s", code, sentence)
			}
		}
	}
	if len(codes) != len(wordsOf) {
		t.Errorf("%d codes, words of %d", len(codes), len(wordsOf))
	}
}

func TestRefusalOf_EveryKind(t *testing.T) {
	t.Parallel()
	for _, kind := range fault.Kinds {
		want := CodeInternal
		if kind == fault.Gone {
			want = CodeAttempt
		}
		if got := refusalOf(fmt.Errorf("around: %w", fault.New(kind, "a sentence"))).code; got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
	}
	if got := refusalOf(fault.New(fault.Conflict, "a sentence").WithCode("address-taken")).code; got != connection.CodeEmailTaken {
		t.Errorf("a fault with a code: got %s", got)
	}
	if got := refusalOf(fmt.Errorf("around: %w", refuse(CodeToken, "why"))); got.code != CodeToken || got.detail != "why" {
		t.Errorf("a refusal: got %+v", got)
	}
	if got := refusalOf(errors.New("unclassified")); got.code != CodeInternal || got.detail != "" {
		t.Errorf("an unclassified error: got %+v", got)
	}
}

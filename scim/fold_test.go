package scim

import (
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/secure/precis"
	"pgregory.net/rapid"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"ANN": "ann", "STRASSE": "straße", "\u00c5": "A\u030a", "\u212b": "\u00e5", "ΣΊΣΥΦΟΣ": "σίσυφος", "\ufb03": "FFI", "\u1e9e": "ss", "\u13a0": "\uab70",
	} {
		if Fold(a) != Fold(b) {
			t.Errorf("Fold(%q) = %q, Fold(%q) = %q", a, Fold(a), b, Fold(b))
		}
	}
	for a, b := range map[string]string{"a": "b", "\u0131": "i", "a ": "a"} {
		if Fold(a) == Fold(b) {
			t.Errorf("%q and %q fold to the same", a, b)
		}
	}
}

func TestUserNameKey_C06(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"ann@x.org": "ＡＮＮ@x.org", "zo\u00e9": "ZOE\u0301", "Ann Smith": "ann smith", "ｱ": "ア",
	} {
		if UserNameKey(a) != UserNameKey(b) {
			t.Errorf("%q has the key %q, %q has %q", a, UserNameKey(a), b, UserNameKey(b))
		}
	}
}

// Whatever names PRECIS calls the same have the same key.
func TestUserNameKey_UnitesWhatPRECISUnites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOfN(rapid.RuneFrom([]rune("aZ@.-09"), unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Cherokee, unicode.Katakana, unicode.Mn), 1, 8, -1).Draw(t, "name")
		mapped, err := precis.UsernameCaseMapped.String(s)
		if err != nil {
			return
		}
		if UserNameKey(mapped) != UserNameKey(s) {
			t.Fatalf("%q has the key %q, mapped %q has %q", s, UserNameKey(s), mapped, UserNameKey(mapped))
		}
	})
}

func TestFold_IsStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		if Fold(Fold(s)) != Fold(s) {
			t.Fatalf("%q folds to %q, then to %q", s, Fold(s), Fold(Fold(s)))
		}
	})
}

func TestFolded(t *testing.T) {
	t.Parallel()
	got := Folded(userType(), decoded(t, ann))
	want := Attributes{
		"schemas": []any{"urn:ietf:params:scim:schemas:core:2.0:user", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user"},
		"id":      "usr_A", "externalId": "E1", "userName": "bjensen", "displayName": "bärbel", "active": true,
		"name":        map[string]any{"givenName": "barbara", "familyName": "jensen"},
		"emails":      []any{map[string]any{"type": "work", "value": "b@example.com", "primary": true}, map[string]any{"type": "home", "value": "babs@home.org"}},
		"groups":      []any{map[string]any{"value": "grp_G", "type": "direct"}},
		EnterpriseURN: map[string]any{"department": "tours", "manager": map[string]any{"value": "usr_M"}},
		"urn:example:my-ext:1.0:User": map[string]any{
			"floor": int64(7), "height": 1.75, "hired": int64(1767222000000000), "key": "aGk=", "tags": []any{"red", "blue"}, "badge": "B7",
		},
		"meta": map[string]any{"resourceType": "User", "lastModified": int64(1772359200500000)},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got before want:\n%s", diff)
	}
	if got := Folded(userType(), Attributes{"title": "", "name": map[string]any{"givenName": ""}, "password": "x"}); len(got) != 0 {
		t.Errorf("empty values and secrets are kept: %v", got)
	}
}

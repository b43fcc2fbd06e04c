package seal_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/seal"
)

func keys(t *testing.T, list ...string) *seal.Keys {
	t.Helper()
	k, err := seal.ParseKeys(strings.Join(list, ","))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOpen_GivesBackWhatWasSealedForThatPlaceAlone(t *testing.T) {
	t.Parallel()
	k := keys(t, seal.NewKey())
	sealed := k.Seal("connection/northwind/corp", []byte("secret"))
	if strings.Contains(sealed, "secret") {
		t.Fatalf("got %q, which shows the secret", sealed)
	}
	got, err := k.Open("connection/northwind/corp", sealed)
	if err != nil || string(got) != "secret" {
		t.Fatalf("got %q, %v", got, err)
	}
	// A sealed value copied into another organization's row must not open there.
	if _, err := k.Open("connection/fieldserv/corp", sealed); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("opened for another place: %v", err)
	}
	if again := k.Seal("connection/northwind/corp", []byte("secret")); again == sealed {
		t.Error("the same secret sealed twice looks the same")
	}
}

func TestOpen_RefusesWhatWasAltered(t *testing.T) {
	t.Parallel()
	k := keys(t, seal.NewKey())
	sealed := k.Seal("p", []byte("secret"))
	for i := range len(sealed) {
		bent := []byte(sealed)
		bent[i] ^= 1
		if plain, err := k.Open("p", string(bent)); err == nil && string(bent) != sealed {
			// The last character of unpadded base64 may carry bits nobody reads.
			if i != len(sealed)-1 {
				t.Errorf("byte %d altered and still opened: %q", i, plain)
			}
		}
	}
	for _, junk := range []string{"", "v1", "v1.", "v1..", "v2.aa.bb", "v1.00000000.!!", sealed[:len(sealed)/2]} {
		if _, err := k.Open("p", junk); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%q: got %v", junk, err)
		}
	}
}

func TestKeys_RotateByPuttingTheNewOneInFront(t *testing.T) {
	t.Parallel()
	before, after := seal.NewKey(), seal.NewKey()
	old := keys(t, before)
	sealed, hash := old.Seal("p", []byte("secret")), old.Hash("token")

	both := keys(t, after, before)
	if got, err := both.Open("p", sealed); err != nil || string(got) != "secret" {
		t.Errorf("the old key no longer opens: %q, %v", got, err)
	}
	if !both.Matches("token", hash) || both.Matches("other", hash) {
		t.Error("a hash under the old key is not compared")
	}
	if both.Current(sealed) || !both.Current(both.Seal("p", nil)) {
		t.Error("what is sealed under which key is not told apart")
	}
	if both.Current(hash) || both.Place(seal.KeyOf(hash)) != 2 || both.Place(seal.KeyOf(sealed)) != 2 || both.Place(seal.KeyOf(both.Hash("x"))) != 1 {
		t.Error("the key of a sealed value or of a hash is not found by its place")
	}
	fresh := keys(t, after)
	if _, err := fresh.Open("p", sealed); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("a key that is gone still opens: %v", err)
	}
	if fresh.Place(seal.KeyOf(hash)) != 0 {
		t.Error("a key that is gone has a place")
	}
	if fresh.Matches("token", hash) {
		t.Error("a key that is gone still matches")
	}
}

func TestParseKeys_SaysWhatIsWrongWithWhichKey(t *testing.T) {
	t.Parallel()
	raw := strings.Repeat("k", seal.KeySize)
	for _, good := range []string{
		base64.StdEncoding.EncodeToString([]byte(raw)), base64.RawURLEncoding.EncodeToString([]byte(raw)), " " + seal.NewKey() + " ",
	} {
		if _, err := seal.ParseKeys(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"":                    "key 1",
		"not base64!":         "not base64",
		"c2hvcnQ=":            "5 bytes",
		seal.NewKey() + ",xx": "key 2",
	} {
		if _, err := seal.ParseKeys(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", bad, err, want)
		}
	}
}

func TestHandle_IsLongAndNeverTheSame(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		h := seal.Handle()
		if len(h) != 43 || seen[h] {
			t.Fatalf("handle %q: 43 characters and new wanted", h)
		}
		seen[h] = true
	}
	h := seal.Handle()
	if first, second := seal.Fingerprint(h), seal.Fingerprint(h); first == h || first != second {
		t.Error("a fingerprint is a stable one-way image")
	}
}

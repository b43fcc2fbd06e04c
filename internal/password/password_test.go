package password

import (
	"context"
	"encoding/base64"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/vestibule-id/vestibule/internal/fault"
)

func TestVerify_FitsItsOwnHashAlone(t *testing.T) {
	t.Parallel()
	hash, err := Hash(t.Context(), "three herons left early")
	if err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]bool{
		"three herons left early": true, "three herons left earlY": false, "": false, strings.Repeat("a", Max+1): false,
	} {
		if fits, outdated, err := Verify(t.Context(), typed, hash); err != nil || fits != want || outdated {
			t.Errorf("%.30q: got %v %v %v, want %v", typed, fits, outdated, err, want)
		}
	}
	if fits, _, _ := Verify(t.Context(), "", Nobody); fits {
		t.Error("somebody is nobody")
	}
}

// SP 800-63B section 3.1.1.2: one keyboard sends é as one character, another as two.
func TestVerify_OneTextInTwoFormsIsOnePassword(t *testing.T) {
	t.Parallel()
	hash, err := Hash(t.Context(), "caf\u00e9 under the bridge")
	if err != nil {
		t.Fatal(err)
	}
	if fits, _, err := Verify(t.Context(), "cafe\u0301 under the bridge", hash); !fits || err != nil {
		t.Errorf("got %v %v", fits, err)
	}
}

func TestVerify_SaysWhichHashIsOfEarlierParameters(t *testing.T) {
	t.Parallel()
	old := parameters{memory: 8 * 1024, passes: 1, lanes: 1}
	salt := []byte("0123456789abcdef")
	hash := phc(old, salt, argon2.IDKey([]byte("three herons left early"), salt, old.passes, old.memory, old.lanes, keySize))
	if fits, outdated, err := Verify(t.Context(), "three herons left early", hash); !fits || !outdated || err != nil {
		t.Errorf("got %v %v %v, want true true", fits, outdated, err)
	}
	if fits, outdated, _ := Verify(t.Context(), "another one altogether", hash); fits || outdated {
		t.Errorf("a wrong one: got %v %v", fits, outdated)
	}
}

// A row that somebody could write must not make the node take all its memory.
func TestVerify_AHashThatAsksForTooMuchIsNone(t *testing.T) {
	t.Parallel()
	salt, key := base64.RawStdEncoding.EncodeToString(make([]byte, 16)), base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	for _, hash := range []string{
		"", "plain", "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + key, "$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=19456,t=4000000000,p=1$" + salt + "$" + key, "$argon2id$v=19$m=19456,t=2,p=255$" + salt + "$" + key,
		"$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + key, "$argon2id$v=19$m=19456,t=2,p=1$$" + key,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$", "$argon2id$v=18$m=19456,t=2,p=1$" + salt + "$" + key,
	} {
		if fits, _, err := Verify(t.Context(), "", hash); fits || err != nil {
			t.Errorf("%s: got %v %v", hash, fits, err)
		}
	}
}

// A flood is turned away once the queue is full; it never holds more memory than one hash for each processor.
func TestHash_AFloodIsTurnedAway(t *testing.T) { //nolint:paralleltest // it fills what the others use
	const flood = queue + 40
	var mu sync.Mutex
	turned := 0
	var wg sync.WaitGroup
	for range cap(slots) {
		slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	for range flood {
		wg.Go(func() {
			_, err := Hash(ctx, "three herons left early")
			mu.Lock()
			defer mu.Unlock()
			if fault.KindOf(err) == fault.Unavailable {
				turned++
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		mu.Lock()
		enough := turned == flood-queue
		mu.Unlock()
		if enough {
			break
		}
	}
	cancel()
	wg.Wait()
	for range cap(slots) {
		<-slots
	}
	if turned != flood-queue || waiting.Load() != 0 {
		t.Errorf("%d were turned away and %d still wait, want %d and 0", turned, waiting.Load(), flood-queue)
	}
	if _, err := Hash(t.Context(), "three herons left early"); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	ann := Whose{Name: "Ann Archer", Address: "ann.archer@northwind.example", Organization: "Northwind Energy"}
	for password, good := range map[string]bool{
		"three herons left early":      true,
		"dragon tea beside the canal":  true, // a common word among others is no harm
		"xKf9-q2Lw-77aB":               true,
		"Unter der Brücke wohnt Otto":  true,
		"橋の下に住む猫が静かに眠る夜":               true,
		"elevenchars":                  false,
		"":                             false,
		"password1234":                 false,
		"P@ssw0rd2026!":                false,
		"Passwort-2026":                false,
		"qwertyuiop123":                false,
		"1qaz2wsx3edc4rfv":             false,
		"monkeymonkey":                 false,
		"monkeymonkey99":               false,
		"counterstrike1":               false, // on the list, decorated
		"Finalfantasy!!":               false,
		"abcdefghijkl":                 false,
		"aaaaaaaaaaaaaaaa":             false,
		"123456789012":                 false,
		"annarcher2026":                false,
		"Northwind-2026":               false,
		"NorthwindEnergy!":             false,
		"archer.archer":                false,
		"vestibule-2026":               false,
		"correct horse battery staple": false, // the most famous passphrase there is
		strings.Repeat("long ", 60):    false,
		"herons \xff left early":       false,
		"Summer2026!!!":                false,
	} {
		if got := Judge(password, ann); (got == "") != good {
			t.Errorf("%q: got %q, good is %v", password, got, good)
		}
	}
}

func TestKnown_IsTheWholeList(t *testing.T) {
	t.Parallel()
	if n := len(known()); n < 45_000 {
		t.Errorf("%d words", n)
	}
	for _, word := range []string{"123456", "password", "qwertyuiop", "finalfantasy"} {
		if !isKnown(word) {
			t.Errorf("%q is missing", word)
		}
	}
}

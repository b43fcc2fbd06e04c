package console

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/vestibule-id/vestibule/internal/seal"
)

// argon2id with 19 MiB, two passes, one lane: OWASP's first choice for a server that also does other work; 46 ms here.
const (
	argonMemory  = 19 * 1024
	argonPasses  = 2
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16
)

const (
	passwordMin = 12
	passwordMax = 256 // a passphrase fits; a megabyte to hash does not
)

// hashing bounds how many passwords are hashed at once: each takes 19 MiB, and a crowd at the sign-in page must not take
// the node's memory with it.
var hashing = make(chan struct{}, max(1, runtime.NumCPU()))

// hashPassword gives the PHC string of a password.
func hashPassword(password string) string {
	salt := seal.Random(argonSalt)
	return phc(salt, derive(password, salt, argonPasses, argonMemory, argonThreads))
}

func phc(salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

func derive(password string, salt []byte, passes, memory uint32, threads uint8) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, passes, memory, threads, argonKey)
}

// nobody's password: verified when the address is unknown, so that the answer takes as long as for a known one. Its key is
// the hash of no password that anybody knows, so none need be hashed while the program starts.
var nobody = phc(seal.Random(argonSalt), seal.Random(argonKey))

// verifyPassword reports whether a password fits a PHC string.
func verifyPassword(password, phc string) bool {
	if len(password) > passwordMax {
		return false
	}
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false
	}
	var version int
	var memory, passes uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) != argonKey {
		return false
	}
	got := derive(password, salt, passes, memory, threads)
	return subtle.ConstantTimeCompare(got, want) == 1
}

// judgePassword says what is wrong with a new password, or "". Length is what makes one strong; the rest refuses what
// every attacker tries first. There are no rules about kinds of characters: they make passwords worse (NIST SP 800-63B
// section 5.1.1.2).
func judgePassword(password, name, email string) string {
	n := utf8.RuneCountInString(password)
	switch {
	case n < passwordMin:
		return fmt.Sprintf("Use at least %d characters; this has %d. A few words in a row are easy to keep in mind.", passwordMin, n)
	case len(password) > passwordMax:
		return fmt.Sprintf("Use at most %d characters.", passwordMax)
	}
	plain := letters(password)
	for _, known := range obvious {
		// What is left beside the well-known word must carry the length by itself.
		if strings.Contains(plain, known) && utf8.RuneCountInString(plain)-len(known) < passwordMin/2 {
			return "This is one of the first passwords an attacker tries. Choose something less common."
		}
	}
	local, domain, _ := strings.Cut(strings.ToLower(email), "@")
	host, _, _ := strings.Cut(domain, ".")
	for _, own := range append(strings.Fields(strings.ToLower(name)), local, host) {
		if o := letters(own); len(o) >= 4 && strings.Contains(plain, o) && utf8.RuneCountInString(plain)-len(o) < passwordMin {
			return "This leans on your own name or address. Choose something nobody can look up."
		}
	}
	distinct := map[rune]bool{}
	steps := map[rune]int{}
	before := rune(-1)
	for _, c := range password {
		distinct[c] = true
		if before >= 0 {
			steps[c-before]++
		}
		before = c
	}
	if len(distinct) < 5 || steps[1]+steps[-1]+steps[0] > n*2/3 {
		return "This is a pattern that is quick to guess. Choose a few unrelated words."
	}
	return ""
}

// letters folds a text to what is compared: lower case, letters and digits, with the usual disguises undone.
func letters(s string) string {
	disguise := map[rune]rune{'0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't', '@': 'a', '$': 's', '!': 'i'}
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		if plain, ok := disguise[c]; ok {
			c = plain
		}
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// obvious is what stands at the top of every list of leaked passwords, already folded by letters, and our own name.
var obvious = []string{
	"password", "passwort", "qwerty", "qwertz", "qwertyuiop", "qwertzuiop", "asdfghjkl", "yxcvbnm", "zxcvbnm", "letmein", "welcome", "iloveyou", "admin", "administrator", "operator",
	"monkey", "dragon", "football", "baseball", "superman", "sunshine", "princess", "trustnoi", "changeme", "default",
	"vestibule", "secret", "login", "master", "abci2e", "asdfgh", "zxcvbn", "i2eas6",
}

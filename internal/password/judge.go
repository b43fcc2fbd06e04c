package password

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the list of known passwords
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// knownList holds what people choose first, as leaks show it: the list of the zxcvbn-ts project (language-common 4.1.3), lower
// case, sorted, from four characters on. Its licence (MIT) lies beside it in known.LICENSE.txt.
//
//go:embed known.txt.gz
var knownList []byte

// known are the words of the list and, folded, their disguises. Read at the first password that somebody chooses.
var known = sync.OnceValue(func() []string {
	z, err := gzip.NewReader(bytes.NewReader(knownList))
	if err != nil {
		panic("password: the embedded list: " + err.Error())
	}
	text, err := io.ReadAll(z)
	if err != nil {
		panic("password: the embedded list: " + err.Error())
	}
	words := strings.Fields(string(text))
	for _, w := range words[:len(words):len(words)] {
		if f := fold(w); f != w && len(f) >= 4 {
			words = append(words, f)
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
})

func isKnown(word string) bool {
	_, found := slices.BinarySearch(known(), word)
	return found
}

// Whose is what an attacker knows of the person: words that a password must not lean on.
type Whose struct {
	Name         string
	Address      string
	Organization string // its name
}

// Judge says what is wrong with a new password, as a sentence to the person, or "".
func Judge(password string, of Whose) string {
	password = normal(password)
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password):
		return "This holds something that is no text."
	case n < Min:
		return fmt.Sprintf("Use at least %d characters; this has %d. A few words in a row are easy to keep in mind.", Min, n)
	case len(password) > Max:
		return fmt.Sprintf("Use at most %d characters.", Max)
	}
	for _, word := range of.words() {
		// What is left beside the well-known word must carry the length by itself.
		if plain := fold(password); strings.Contains(plain, word) && utf8.RuneCountInString(strings.ReplaceAll(plain, word, "")) < Min {
			return "This leans on your own name, address or organization. Choose something nobody can look up."
		}
	}
	if common(password) {
		return "This is one of the first passwords an attacker tries. Choose something less common."
	}
	if pattern(password) {
		return "This is a pattern that is quick to guess. Choose a few unrelated words."
	}
	return ""
}

// words are those of the person, folded, that are long enough to mean them.
func (w Whose) words() []string {
	local, domain, _ := strings.Cut(w.Address, "@")
	host, _, _ := strings.Cut(domain, ".")
	own := []string{w.Name, local, host, w.Organization, "vestibule"}
	for _, text := range []string{w.Name, local, w.Organization} {
		own = append(own, strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	}
	var out []string
	for _, text := range own {
		if f := fold(text); utf8.RuneCountInString(f) >= 4 && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// common says whether a password is on the list, or is a word of it with the decoration that a rule about length or digits
// brings about: digits or signs around it, other letters for some of its own, or the same again.
func common(password string) bool {
	lower := strings.ToLower(password)
	core := strings.TrimFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, form := range []string{lower, core, fold(lower), fold(core), fold(unit(core)), unit(fold(lower))} {
		if len(form) >= 4 && isKnown(form) {
			return true
		}
	}
	// A famous word and not much beside it: "Password!2026ab".
	plain := fold(password)
	for _, word := range famous {
		if strings.Contains(plain, word) && utf8.RuneCountInString(strings.ReplaceAll(plain, word, "")) < Min/2 {
			return true
		}
	}
	return false
}

// unit is what a text repeats: "monkey" for "monkeymonkey".
func unit(s string) string {
	for n := 1; n <= len(s)/2; n++ {
		if len(s)%n == 0 && strings.Repeat(s[:n], len(s)/n) == s {
			return s[:n]
		}
	}
	return s
}

// pattern says whether a password is a run along the keyboard's or the alphabet's row, or the same few characters again and again.
func pattern(password string) bool {
	distinct := map[rune]bool{}
	steps := map[rune]int{}
	before, n := rune(-1), 0
	for _, c := range password {
		distinct[c] = true
		if before >= 0 {
			steps[c-before]++
		}
		before = c
		n++
	}
	return len(distinct) < 5 || steps[1]+steps[-1]+steps[0] > n*2/3
}

// fold gives a text as it is compared: lower case, letters and digits, with the usual disguises undone.
func fold(s string) string {
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

// famous stands at the top of every list in every length and decoration, already folded.
var famous = []string{
	"password", "passwort", "passwd", "motdepasse", "contrasena", "qwerty", "qwertz", "azerty", "asdfgh", "yxcvbn", "zxcvbn", "iqaz2wsx",
	"qazwsx", "letmein", "welcome", "willkommen", "iloveyou", "admin", "administrator", "operator", "monkey", "dragon", "football",
	"baseball", "superman", "sunshine", "princess", "trustnoi", "changeme", "default", "secret", "login", "master", "abci2e", "i2eas6",
	"ieasoo", "correcthorsebatterystaple", "summer", "winter", "spring", "autumn", "sommer", "fruehling", "herbst",
}

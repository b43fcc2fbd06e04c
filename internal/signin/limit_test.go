package signin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// spelled gives the n-th of the spellings that find the account of a userName as the address itself does: letters in full width, in
// capitals, and blanks around.
func spelled(address string, n int) string {
	var b strings.Builder
	for _, c := range address {
		switch {
		case c >= 'a' && c <= 'z' && n&1 == 1:
			b.WriteRune(c - 'a' + 'ａ')
		case c >= 'a' && c <= 'z' && n&2 == 2:
			b.WriteRune(c - 'a' + 'A')
		default:
			b.WriteRune(c)
		}
		n >>= 1
	}
	return b.String()
}

// 184: the tenth guess is the tenth however the address is spelled, and from whichever address of one network it comes.
func TestPassword_184_NoSpellingAndNoNeighbourGetsMoreGuesses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			address string
			guess   func(i int) (address, ip string)
		}{
			"spellings of the address": {"gus@northwind.example", func(i int) (string, string) {
				return strings.Repeat(" ", i%3) + spelled("gus", i) + "@northwind.example", "192.0.2.7"
			}},
			"addresses of one IPv6 network": {"gil@northwind.example", func(i int) (string, string) {
				return "gil@northwind.example", fmt.Sprintf("2001:db8:0:1::%x", i)
			}},
		} {
			w.chosen(w.guest(c.address), herons)
			w.browser = newBrowser()
			refused := 0
			for i := range 12 {
				var address string
				address, w.ip = c.guess(i + 1)
				a := w.enter(address, lantern)
				switch {
				case i < 10 && a.status != http.StatusUnauthorized:
					t.Errorf("%s: guess %d: %d", name, i, a.status)
				case a.status == http.StatusTooManyRequests:
					refused++
				}
			}
			if refused != 2 {
				t.Errorf("%s: %d of the last two guesses were refused", name, refused)
			}
			w.ip = "192.0.2.1"
		}
	})
}

// 184: a flood of letters to somebody is a flood however the address is spelled.
func TestForgot_184_NoSpellingGetsMoreLetters(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.guest("gus@northwind.example")
		for i := range 8 {
			if a := w.forget(spelled("gus", i) + "@northwind.example"); a.status != http.StatusOK {
				t.Errorf("%d: %d", i, a.status)
			}
		}
		if n := len(w.letters()); n != 3 {
			t.Errorf("%d letters, want 3", n)
		}
	})
}

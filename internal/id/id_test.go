package id_test

import (
	"slices"
	"testing"

	"github.com/vestibule-id/vestibule/internal/id"
)

func TestNew_GrowsWithTime(t *testing.T) {
	t.Parallel()
	made := make([]id.User, 1000)
	for i := range made {
		made[i] = id.New[id.User]()
		if !id.IsUUID(string(made[i])) {
			t.Fatalf("%q is no UUID", made[i])
		}
	}
	if !slices.IsSorted(made) {
		t.Error("ids made one after the other are not in order, so a listing by id is none by age")
	}
}

func TestDeclared_TakesWhatNeedsNoEscaping(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"northwind": true, "london-1": true, "a.b_c": true, "0": true,
		"": false, "North": false, "-a": false, "a/b": false, "a b": false, "ä": false, "a%2f": false,
		string(make([]byte, 64)): false,
	} {
		if got := id.Declared(s); got != want {
			t.Errorf("Declared(%q) = %t, want %t", s, got, want)
		}
	}
}
